//! The kernel side of a flow: the types that the eBPF program and its loader will share.
//!
//! Nothing is loaded yet. The layout is fixed here first, because both sides are built against it.
#![forbid(unsafe_code)]

/// Key of the flow map: the local address and port that a datagram is for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// IPv6 address, or IPv4 address mapped into it, network byte order.
    pub address: [u8; 16],
    /// UDP port, network byte order.
    pub port: [u8; 2],
    /// Zero.
    pub padding: [u8; 2],
}

/// What the kernel does with datagrams of a settled flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowAction {
    /// The only source that is forwarded; from others the datagram goes up.
    pub source: FlowKey,
    /// Source of what is sent: the local address of the sink.
    pub from: FlowKey,
    /// Destination of what is sent.
    pub to: FlowKey,
    /// Negotiated payload types, a bit each, least significant word first.
    pub payload_types: [u32; 4],
}

/// Counters of a flow in the kernel, one value per core.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// Datagrams forwarded.
    pub packets: u64,
    /// Their UDP payload bytes.
    pub bytes: u64,
    /// Datagrams of this flow that went up instead.
    pub passed_up: u64,
    /// Time of the last forwarded datagram, in nanoseconds of the monotonic clock.
    pub last_packet_ns: u64,
}

const _: () = assert!(size_of::<FlowKey>() == 20);
const _: () = assert!(size_of::<FlowAction>() == 76);
const _: () = assert!(size_of::<FlowCounters>() == 32);
