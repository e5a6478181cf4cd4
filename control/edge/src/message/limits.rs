//! Bounds of one message, checked before anything is stored.

/// Bounds of one message (spec §3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest message, in bytes.
    pub message_bytes: usize,
    /// Most header rows.
    pub headers: usize,
    /// Longest header row including its name and folding, in bytes.
    pub header_bytes: usize,
    /// Most Via values.
    pub vias: usize,
    /// Most Route values, and most Record-Route values.
    pub routes: usize,
    /// A line may end in a bare LF.
    pub lenient_eol: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 65_535,
            headers: 128,
            header_bytes: 8_192,
            vias: 32,
            routes: 32,
            lenient_eol: false,
        }
    }
}
