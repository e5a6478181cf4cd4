//! Every bound of the crate, with the reason for its number.

/// Characters of a ufrag or a password (RFC 8839 §5.4).
pub const CREDENTIAL: usize = 256;
/// Unknown attributes that a 420 names. Four tell enough.
pub const UNKNOWN_ATTRIBUTES: usize = 4;
