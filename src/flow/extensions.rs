//! RTP header extensions between two lines (RFC 8285; spec: media-behaviour §2, header
//! extensions).

/// Identifiers of header extensions, 1 to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExtensionIds([u128; 2]);

impl ExtensionIds {
    /// Adds one identifier.
    pub fn insert(&mut self, id: u8) {
        let (low, high) = (u32::from(id & 0x7f), usize::from(id >> 7));
        if let Some(half) = self.0.get_mut(high) {
            *half |= 1 << low;
        }
    }

    /// Takes one identifier out.
    pub fn remove(&mut self, id: u8) {
        let (low, high) = (u32::from(id & 0x7f), usize::from(id >> 7));
        if let Some(half) = self.0.get_mut(high) {
            *half &= !(1 << low);
        }
    }

    /// The identifiers, from the lowest on.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |id| self.contains(*id))
    }

    /// Whether the identifier is in the set.
    pub fn contains(self, id: u8) -> bool {
        let (low, high) = (u32::from(id & 0x7f), usize::from(id >> 7));
        self.0.get(high).is_some_and(|half| half >> low & 1 == 1)
    }

    /// The numbers in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    /// Whether the set has an identifier above 14, which one-byte elements cannot have.
    pub fn needs_two_bytes(self) -> bool {
        self.0[0] >> 15 != 0 || self.0[1] != 0
    }
}

impl FromIterator<u8> for ExtensionIds {
    fn from_iter<I: IntoIterator<Item = u8>>(ids: I) -> Self {
        let mut set = Self::default();
        ids.into_iter().for_each(|id| set.insert(id));
        set
    }
}

/// Treatment of RTP header extensions from one line to another. Without rules, when neither line
/// has an extension in its list, packets keep theirs byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExtensionRules {
    /// The list of the sender's line, without MID.
    pub sender: ExtensionIds,
    /// The list of the receiver's line. An element passes if it is in both.
    pub receiver: ExtensionIds,
    /// The receiver takes one-byte and two-byte elements in one stream
    /// (`a=extmap-allow-mixed`).
    pub allows_mixed: bool,
    /// The MID element (RFC 9143 §15) that is written into every packet to the receiver; that of
    /// the sender does not pass.
    pub mid: Option<MidElement>,
}

/// The MID header extension of one line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MidElement {
    /// Identifier in the list of the line.
    pub id: u8,
    /// `a=mid` of the line, 1 to 255 bytes.
    pub value: Box<[u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_identifiers_knows_its_members_and_its_form() {
        let low: ExtensionIds = [1, 14].into_iter().collect();
        let high: ExtensionIds = [14, 255].into_iter().collect();
        assert!(low.contains(1) && low.contains(14) && !low.contains(2));
        assert!(high.contains(255) && !high.contains(127));
        assert!(!low.needs_two_bytes() && high.needs_two_bytes());
        let mut both = low.intersection(high);
        assert_eq!(both.iter().collect::<Vec<_>>(), [14]);
        both.remove(14);
        assert_eq!(both, ExtensionIds::default());
    }
}
