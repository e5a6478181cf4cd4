//! Where a message goes.

use std::net::SocketAddr;

/// The way of a request: the next hop and the socket towards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) target: SocketAddr,
    pub(crate) listener: usize,
    /// How many leading Route values are ours and leave.
    pub(crate) strip: usize,
}
