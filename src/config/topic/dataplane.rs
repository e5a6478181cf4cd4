//! Transport of packets.

use crate::config::codec::{Flag, Word};
use crate::config::setting::settings;

settings! {
    /// Transport of packets (spec: dataplane §2).
    pub struct Dataplane ["dataplane"] {
        /// Whether the datagrams of all ports are steered to a few sockets by an eBPF program, or
        /// every port has a socket of its own.
        steering: Steering = Steering::Auto, Word(&STEERING), "steering";
        /// Whether the media ports are kept from sockets that ask the system for any port, while
        /// the relay runs (net.ipv4.ip_local_reserved_ports); needs CAP_NET_ADMIN.
        reserve_ports: bool = true, Flag, "reserve_ports";
        /// Whether other processes of this host are kept from binding a steered port that is in
        /// use, where the system lets us (an eBPF program at the root of the control groups).
        refuse_binds: bool = true, Flag, "refuse_binds";
    }
}

/// Whether ports are steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// If the system allows it: CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_NET_RAW at the start.
    Auto,
    /// Never.
    Off,
    /// Always: without the rights for it, it does not start.
    Required,
}

const STEERING: [(&str, Steering); 3] = [
    ("auto", Steering::Auto),
    ("off", Steering::Off),
    ("required", Steering::Required),
];
