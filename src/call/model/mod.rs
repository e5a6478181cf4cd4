//! A call as signalling made it: plain state without the service around it. Nothing here knows the
//! table of calls, locks, requests' answers or the data plane; of the rooms beside it, it names
//! [`ports`](super::ports) alone.

pub(crate) mod call;
pub(crate) mod codecs;
pub(crate) mod codes;
pub(crate) mod dialogue;
pub(crate) mod digit_block;
pub(crate) mod foreign;
pub(crate) mod in_force;
pub(crate) mod keys;
pub(crate) mod leg;
pub(crate) mod media;
pub(crate) mod proposal;
pub(crate) mod share;
pub(crate) mod told;
pub(crate) mod traffic;
