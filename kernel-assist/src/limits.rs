//! Every bound of this crate, with the reason for its number.

/// Addresses that the table of ports has room for: a host with media on more has several relays. The
/// program has the same number.
pub const MAX_ADDRESSES: usize = 256;

/// Ports that the table has room for, at 32 bytes each: the whole range on 64 addresses. The system
/// takes the memory for all of them at once.
pub const MAX_PORTS: u32 = 1 << 22;

/// Local ports that one run of the program `holders` is asked about: those of two medias. The verifier
/// bounds its steps, and the program has the same number.
pub const MAX_QUESTIONS: usize = 8;

/// Flows that the kernel has room for at most: the media ports of 16 addresses, at some 650 bytes
/// each.
pub const MAX_FLOWS: u32 = 1 << 20;

/// Changes of flows before the process waits for the programs once, so that their old form can be
/// written over: milliseconds shared by this many.
pub(crate) const SPARE_SPECS: u32 = 256;
