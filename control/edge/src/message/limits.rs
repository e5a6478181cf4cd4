//! Bounds of one message, checked before anything is stored.

/// Bounds of one message (spec §3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest message in a datagram, in bytes.
    pub message_bytes: usize,
    /// Longest message on a stream, in bytes.
    pub stream_message_bytes: usize,
    /// Longest start line and headers on a stream, in bytes.
    pub stream_head_bytes: usize,
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
    /// Spaces at the end of a Request-Line are noise, and do not go on.
    pub lenient_start_line: bool,
}

impl Limits {
    /// The bounds of one message that came on a stream.
    pub fn of_stream(mut self) -> Self {
        self.message_bytes = self.stream_message_bytes;
        self
    }
}

/// Levels of multipart in multipart that are searched for an SDP. Each reads its content again, so
/// this bounds the work; ISUP beside SDP needs one, a signed part in between two.
pub(super) const MULTIPART_DEPTH: usize = 4;

/// Parts of a multipart body that are looked at. Phones send two or three.
pub(super) const MULTIPART_PARTS: usize = 32;

/// Parameters and headers of a URI that are compared, each with all of the other URI. With more,
/// URIs count as different.
pub(super) const COMPARED_PARAMS: usize = 32;

/// Header rows that the table of a parser has room for from the start; messages of phones have ten
/// to thirty.
pub(super) const EXPECTED_HEADERS: usize = 64;

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 65_535,
            stream_message_bytes: 262_144,
            stream_head_bytes: 65_536,
            headers: 128,
            header_bytes: 8_192,
            // As many hops as a Max-Forwards of 70 allows.
            vias: 70,
            routes: 32,
            lenient_eol: false,
            lenient_start_line: false,
        }
    }
}
