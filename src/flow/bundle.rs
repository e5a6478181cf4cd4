//! Several m= lines on one port (RFC 9143 §9.2).

use super::PayloadTypes;

/// The lines of a bundle, and how their RTP is told apart: by MID, then by what MID said of the
/// SSRC, then by payload type; what is left belongs to the line whose port it came to. A party that
/// bundles may have one line: what it names otherwise belongs to another that is not agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bundle {
    /// Identifier of the MID header extension, in the list of the bundle's first line.
    pub mid: Option<u8>,
    /// The lines.
    pub lines: Vec<BundledLine>,
    /// Position of the line whose port it is.
    pub own: u8,
}

/// One line of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BundledLine {
    /// `a=mid` of the line.
    pub mid: Box<[u8]>,
    /// Payload types that no other line of the bundle has.
    pub types: PayloadTypes,
}

impl Bundle {
    /// The line that is named so.
    pub fn named(&self, mid: &[u8]) -> Option<u8> {
        self.position(|line| *line.mid == *mid)
    }

    /// The line that alone has a payload type.
    pub fn of_type(&self, payload_type: u8) -> Option<u8> {
        self.position(|line| line.types.contains(payload_type))
    }

    fn position(&self, is_it: impl FnMut(&BundledLine) -> bool) -> Option<u8> {
        let position = self.lines.iter().position(is_it)?;
        u8::try_from(position).ok()
    }
}
