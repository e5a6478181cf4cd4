//! Parse errors of a description, with the line.

/// A description that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// Line number from 1; 0 where the text as a whole is meant.
    pub line: usize,
    /// The fault in that line.
    pub reason: Reason,
}

impl ParseError {
    pub(crate) fn new(line: usize, reason: Reason) -> Self {
        Self { line, reason }
    }

    /// Whether the syntax was fine and a media cannot be used for want of an address or of payload
    /// types: the `Incomplete SDP specification` of the ng protocol, where everything else is
    /// `Failed to parse SDP`.
    pub fn is_incomplete(&self) -> bool {
        matches!(self.reason, Reason::NoAddress | Reason::PayloadType)
    }
}

/// Faults of a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// A letter that stands for the session stands after an `m=` line.
    #[error("{0}= is not allowed after m=")]
    AfterMedia(char),
    /// `c=` is not `IN IP4|IP6 address`.
    #[error("connection must be IN IP4 or IN IP6 and an address")]
    Connection,
    /// A line that may stand once per section stands twice.
    #[error("second {0}= in its section")]
    Duplicate(char),
    /// Nothing to parse.
    #[error("empty description")]
    Empty,
    /// An empty line, where the caller wants none.
    #[error("empty line")]
    EmptyLine,
    /// RFC 8866 §9 allows neither NUL nor, inside a line, CR. Let through, a CR could hide an
    /// attribute from us that the next parser sees.
    #[error("byte {0:#04x} inside a line")]
    ForbiddenByte(u8),
    /// `m=` lacks media, port or transport.
    #[error("media must be type, port, transport and formats")]
    Media,
    /// Neither the media nor the session says where to send.
    #[error("media has no connection address")]
    NoAddress,
    /// The second byte of a line is not `=`.
    #[error("line must be a letter and =")]
    NoEquals,
    /// `o=` has fewer than six tokens.
    #[error("origin must be six tokens")]
    Origin,
    /// More of something than [`crate::Limits`] allows.
    #[error("more than {limit} {cap}")]
    OverLimit {
        /// The bound that was exceeded.
        cap: Cap,
        /// Its value.
        limit: usize,
    },
    /// A payload type of an RTP media is not a number from 0 to 127, or there is none.
    #[error("RTP media needs payload types from 0 to 127")]
    PayloadType,
    /// The port is above 65535 or no number, or the port count is not from 1 to 10.
    #[error("port must be 0 to 65535, port count 1 to 10")]
    Port,
    /// A line letter SDP does not have.
    #[error("unknown line type {0:?}")]
    UnknownLine(char),
    /// The first line or a later `v=` is not `v=0`.
    #[error("version must be v=0")]
    Version,
}

/// The bounds of [`crate::Limits`], by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// `a=` lines of one section.
    Attributes,
    /// Bytes of the whole text.
    Bytes,
    /// Usable candidates of one media.
    Candidates,
    /// Payload types of one `m=` line.
    Formats,
    /// `m=` lines.
    Media,
    /// Session parts.
    Parts,
}

impl std::fmt::Display for Cap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Attributes => "attributes in one section",
            Self::Bytes => "bytes",
            Self::Candidates => "candidates in one media",
            Self::Formats => "formats in one media",
            Self::Media => "media lines",
            Self::Parts => "session parts",
        })
    }
}
