//! System calls without a safe wrapper elsewhere: the only unsafe code of the data plane.
#![expect(
    unsafe_code,
    reason = "recvmmsg(2) has no safe wrapper that keeps its arrays"
)]

pub(super) mod mmsg;
