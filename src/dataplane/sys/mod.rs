//! System calls without a safe wrapper: the only unsafe code of the engine.
#![expect(
    unsafe_code,
    reason = "recvmmsg(2), sendmmsg(2), SO_MEMINFO and connect(2) to nowhere have no safe wrapper"
)]

mod address;
pub(super) mod connect;
pub(super) mod meminfo;
pub(super) mod recv;
pub(super) mod send;

/// Bytes between buffers of a batch beside their room: a power of two between them would have all of
/// them meet in a few sets of the cache.
const STAGGER: usize = 64;
