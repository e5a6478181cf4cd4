//! Settings as they were said: typed, with their places, not yet checked against each other.

use std::net::{IpAddr, SocketAddr};

use super::problem::{Place, Placed};
use super::{AddressFamily, LogFormat};
use crate::flow::Learning;

/// A configuration before it is checked; what was not said is `None`.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) interfaces: Vec<DraftInterface>,
    pub(super) port_min: Option<Placed<u16>>,
    pub(super) port_max: Option<Placed<u16>>,
    pub(super) ng_udp: Option<Vec<Placed<SocketAddr>>>,
    pub(super) ng_tcp: Option<Vec<Placed<SocketAddr>>>,
    pub(super) learning: Option<Placed<Learning>>,
    pub(super) signalling_hops: Option<Vec<Placed<IpAddr>>>,
    pub(super) tos: Option<Placed<u8>>,
    pub(super) timeout_media: Option<Placed<u64>>,
    pub(super) timeout_silent: Option<Placed<u64>>,
    pub(super) timeout_offer: Option<Placed<u64>>,
    pub(super) timeout_final: Option<Placed<u64>>,
    pub(super) delete_delay: Option<Placed<u64>>,
    pub(super) max_sessions: Option<Placed<u32>>,
    pub(super) log_level: Option<Placed<String>>,
    pub(super) log_format: Option<Placed<LogFormat>>,
    pub(super) workers: Option<Placed<u16>>,
    pub(super) edge: Option<DraftEdge>,
}

/// One `[[interface]]`, or one `--interface`.
#[derive(Debug)]
pub(super) struct DraftInterface {
    pub(super) at: Place,
    pub(super) name: Option<Placed<String>>,
    pub(super) address: Option<Placed<IpAddr>>,
    /// An address was written, but it is none: said already, not to be called missing too.
    pub(super) address_is_bad: bool,
    pub(super) advertise: Option<Placed<IpAddr>>,
    pub(super) port_min: Option<Placed<u16>>,
    pub(super) port_max: Option<Placed<u16>>,
}

/// `[edge]`.
#[derive(Debug)]
pub(super) struct DraftEdge {
    pub(super) at: Place,
    pub(super) listen: Option<Vec<Placed<SocketAddr>>>,
    pub(super) advertise: Option<Placed<String>>,
    pub(super) upstream: Option<Placed<SocketAddr>>,
    /// As [`DraftInterface::address_is_bad`].
    pub(super) upstream_is_bad: bool,
    pub(super) ng: Option<Placed<SocketAddr>>,
    pub(super) direction: Option<Placed<Vec<Placed<String>>>>,
    pub(super) address_family: Option<Placed<AddressFamily>>,
}
