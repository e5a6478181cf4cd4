//! Every bound of the parser, with the reason for its number. Over a bound the parse fails and
//! the error names the bound; nothing is cut off silently.

use crate::error::Cap;

/// Bounds for one description. [`Limits::default`] holds the constants below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole text.
    pub bytes: usize,
    /// Session parts (`v=` lines).
    pub parts: usize,
    /// `m=` lines, over all parts.
    pub media: usize,
    /// `a=` lines of one section (a session part or a media).
    pub attributes: usize,
    /// Usable candidates of one media.
    pub candidates: usize,
    /// Payload types of one `m=` line.
    pub formats: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: BYTES,
            parts: PARTS,
            media: MEDIA,
            attributes: ATTRIBUTES,
            candidates: CANDIDATES,
            formats: FORMATS,
        }
    }
}

impl Limits {
    /// The number behind `cap`.
    pub fn of(&self, cap: Cap) -> usize {
        match cap {
            Cap::Attributes => self.attributes,
            Cap::Bytes => self.bytes,
            Cap::Candidates => self.candidates,
            Cap::Formats => self.formats,
            Cap::Media => self.media,
            Cap::Parts => self.parts,
        }
    }
}

/// A browser's offer with a screenful of participants is some 60 kB; ng over UDP ends at 64 kB.
const BYTES: usize = 256 * 1024;
/// Only a few gateways ever send two; each costs a fallback table.
const PARTS: usize = 8;
/// Conference offers add one m-line per participant; each m-line may cost us two ports, so a
/// single request must not drain the pool.
const MEDIA: usize = 128;
/// Simulcast video with all its `ssrc` and `rtcp-fb` lines stays below 300.
const ATTRIBUTES: usize = 1024;
/// Hosts with many interfaces reach some 60 (families x interfaces x STUN x TURN x components);
/// connectivity checks grow with the square.
const CANDIDATES: usize = 256;
/// Payload types are seven bits.
const FORMATS: usize = 128;
/// Keys of one `a=crypto` line behind the first. A new key beside the old one is what they are for;
/// whoever sends packets under them pays with a search per packet. What is more is left out, as a key
/// that cannot be used.
pub(crate) const FURTHER_KEYS: usize = 7;
/// Fingerprints of the strongest hash that a part or a media names: a party has one certificate, a
/// cluster of gateways a few.
pub(crate) const FINGERPRINTS: usize = 8;
