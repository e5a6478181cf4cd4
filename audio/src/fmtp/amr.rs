//! Parameters of AMR and AMR-WB (RFC 4867 §8).

use super::parameters;

/// What decides how frames are packed, and which may be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `octet-align`: parts of the payload begin at bytes.
    pub octet_align: bool,
    /// `crc`: frames have checksums.
    pub crc: bool,
    /// `robust-sorting`: bits are sorted by their weight.
    pub robust_sorting: bool,
    /// `interleaving`: frames are out of order.
    pub interleaving: bool,
    /// `mode-set`: modes that may be sent to who says it.
    pub mode_set: Option<ModeSet>,
    /// `mode-change-period`: frames from one change of the mode to the next.
    pub mode_change_period: Option<u32>,
    /// `mode-change-neighbor`: only to the next mode of the set.
    pub mode_change_neighbor: bool,
}

/// A set of modes: 0 to 7 of AMR, 0 to 8 of AMR-WB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModeSet(u16);

impl ModeSet {
    /// Modes separated by commas; what is no mode is left out.
    pub fn parse(text: &str) -> Self {
        let modes = text.split(',').filter_map(|mode| mode.trim().parse().ok());
        let modes = modes.filter(|mode: &u8| *mode <= 8);
        Self(modes.fold(0, |set, mode| set | 1 << mode))
    }

    /// The modes below a number.
    pub fn below(count: u8) -> Self {
        Self((1 << count.min(9)) - 1)
    }

    /// The modes of both sets.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the mode may be sent.
    pub fn contains(self, mode: u8) -> bool {
        mode <= 8 && self.0 >> mode & 1 == 1
    }

    /// Whether every mode of another set is in this one.
    pub fn contains_all(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// The modes, lowest first.
    pub fn modes(self) -> impl Iterator<Item = u8> {
        (0..=8).filter(move |mode| self.contains(*mode))
    }

    /// The highest mode that is not above `bound`, else the lowest there is.
    pub fn at_most(self, bound: u8) -> Option<u8> {
        let below = self.modes().take_while(|mode| *mode <= bound).last();
        below.or_else(|| self.modes().next())
    }
}

impl Parameters {
    /// Reads an `a=fmtp`; what is absent is off.
    pub fn parse(fmtp: &str) -> Self {
        let mut read = Self::default();
        for (name, value) in parameters(fmtp) {
            let is_on = value == "1";
            match name.to_ascii_lowercase().as_str() {
                "octet-align" => read.octet_align = is_on,
                "crc" => read.crc = is_on,
                "robust-sorting" => read.robust_sorting = is_on,
                // The value is the size of a group.
                "interleaving" => read.interleaving = value != "0",
                "mode-set" => read.mode_set = Some(ModeSet::parse(value)),
                "mode-change-period" => read.mode_change_period = value.parse().ok(),
                "mode-change-neighbor" => read.mode_change_neighbor = is_on,
                _ => {}
            }
        }
        read
    }

    /// Whether both pack their frames alike.
    pub fn has_framing_of(&self, other: &Self) -> bool {
        let framing = |of: &Self| (of.octet_align, of.crc, of.robust_sorting, of.interleaving);
        framing(self) == framing(other)
    }
}
