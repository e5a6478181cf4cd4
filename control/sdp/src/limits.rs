//! How large an SDP may be. Over a limit it is refused as a whole, naming the limit.

/// Bytes of one SDP. A UDP control message holds 65,535 at most; trickled browser SDPs stay below
/// 32 KiB.
pub const MAX_BYTES: usize = 256 * 1024;

/// m= lines. Large conferences use some dozens.
pub const MAX_MEDIA: usize = 64;

/// Lines of one section (session or media). A video m= line with all of its formats has some
/// two hundred.
pub const MAX_SECTION_LINES: usize = 1024;

/// Formats of one m= line: there are 128 RTP payload types.
pub const MAX_FORMATS: usize = 256;
