//! The structures of `bpf/steer.bpf.c`; of them, addresses are those of the flow programs, too.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicU32};

/// An address as the programs compare it: IPv6, or IPv4 mapped into it; network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address(pub [u8; 16]);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        })
    }
}

/// Position of an address's ports in the table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Index of the first port.
    pub base: u32,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

/// One port of an address, in memory that the eBPF program reads at any time.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Port {
    /// [`OPEN`], [`GATED`], [`LEASED`], and above [`SOCKET_SHIFT`] the first socket of the worker.
    pub state: AtomicU32,
    /// Datagrams that the gate kept out; only counts up.
    pub refused: AtomicU32,
    /// The only accepted source, if gated: an [`Address`] in four words of its bytes.
    pub source: [AtomicU32; 4],
    /// Its port, network byte order.
    pub source_port: AtomicU16,
    /// Nothing.
    pub padding: [u16; 3],
}

/// Datagrams are steered.
pub const OPEN: u32 = 1;
/// Only the source of the entry may send (port gate).
pub const GATED: u32 = 2;
/// The port is leased, and perhaps not open yet; the program does not look at this bit.
pub const LEASED: u32 = 4;
/// Lowest bit of the socket number.
pub const SOCKET_SHIFT: u32 = 8;

/// Input of the program `holders`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// 4 or 6.
    pub version: u16,
    /// Network byte order.
    pub port: [u8; 2],
    /// Local address.
    pub address: Address,
}

impl From<SocketAddr> for Question {
    fn from(local: SocketAddr) -> Self {
        Self {
            version: if local.is_ipv4() { 4 } else { 6 },
            port: local.port().to_be_bytes(),
            address: local.ip().into(),
        }
    }
}

/// An address with ports in the table, for programs that look at all of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The address.
    pub address: Address,
    /// Its ports.
    pub range: Range,
}

/// Owner of the leased ports.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Cookie of a socket (SO_COOKIE): the process that binds it is the owner.
    pub cookie: u64,
    /// Cookie of the network namespace that the ports are of (SO_NETNS_COOKIE).
    pub netns: u64,
    /// The owner's process id as the kernel counts it; the program sets it.
    pub process: u32,
    /// Number of [`Listed`] addresses.
    pub addresses: u32,
}

const _: () = assert!(size_of::<Address>() == 16);
const _: () = assert!(size_of::<Listed>() == 24);
const _: () = assert!(size_of::<Owner>() == 24);
const _: () = assert!(size_of::<Range>() == 8);
const _: () = assert!(size_of::<Port>() == 32);
const _: () = assert!(size_of::<Question>() == 20);
