//! Why an SDP was refused.

/// An SDP that cannot be used, with the line (from 1) where it went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: Reason,
}

impl ParseError {
    /// Whether the syntax is right but a media cannot be used: "incomplete" in the ng protocol's
    /// words.
    pub fn is_incomplete(&self) -> bool {
        matches!(self.reason, Reason::PayloadType)
    }
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// `c=` is not network type, address type and address.
    #[error("c= must be 'IN IP4|IP6 address'")]
    Connection,
    /// A line has a carriage return or a NUL inside.
    #[error("a line must not have a carriage return or a NUL inside")]
    ControlByte,
    /// A line that may stand once stands twice.
    #[error("the line may stand only once on its level")]
    Duplicate,
    /// There is no line.
    #[error("the body is empty")]
    Empty,
    /// A line starts with a letter that SDP does not know.
    #[error("unknown line type")]
    LineType,
    /// `m=` is not media, port, transport and formats.
    #[error("m= must be 'media port[/count] transport formats', port 0-65535, count 1-10")]
    Media,
    /// A line has no `=` as its second byte.
    #[error("a line must be 'letter=value'")]
    NoEquals,
    /// `o=` is not six fields.
    #[error("o= must have six fields")]
    Origin,
    /// An RTP payload type is not a number of 0-127.
    #[error("RTP payload types must be numbers from 0 to 127")]
    PayloadType,
    /// The SDP is over a limit.
    #[error("more than {limit} {what}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The first line is not `v=0`.
    #[error("the first line must be v=0")]
    Version,
    /// A session-level line stands below an m= line.
    #[error("the line belongs to the session level")]
    Misplaced,
}
