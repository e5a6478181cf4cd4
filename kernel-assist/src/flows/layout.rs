//! The structures of `bpf/flows.h`.

use std::sync::atomic::{AtomicU32, AtomicU64};

use aya::Pod;

use crate::layout::Address;

/// Number of this layout: who takes maps over with another one cannot read them.
pub const LAYOUT: u32 = 2;
/// Synchronisation sources that a flow keeps figures of.
pub const SOURCES: usize = 4;

/// Where a packet arrives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key {
    /// Destination address.
    pub address: Address,
    /// Network byte order.
    pub port: [u8; 2],
    /// 0.
    pub padding: u16,
}

/// Bits of [`Spec::flags`], as in `flows.h`.
pub mod flag {
    #![expect(missing_docs, reason = "bpf/flows.h says it")]

    pub const SOURCE: u16 = 1;
    pub const SSRC: u16 = 2;
    pub const ETHERNET: u16 = 4;
    pub const DSCP: u16 = 8;
    pub const TO_V4: u16 = 16;
    pub const MARKER_UP: u16 = 32;
    pub const DF: u16 = 64;
    pub const NO_DF: u16 = 128;
    pub const OPEN: u16 = 256;
    pub const SEAL: u16 = 512;
}

/// What happens to the packets of a flow. Ports are in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// The flow's own key.
    pub key: Key,
    /// Index of its figures.
    pub stats: u32,
    /// Expected source.
    pub source: Address,
    /// Its port.
    pub source_port: [u8; 2],
    /// [`flag`].
    pub flags: u16,
    /// Expected synchronisation source.
    pub ssrc: u32,
    /// Source of what leaves.
    pub from: Address,
    /// Destination of what leaves.
    pub to: Address,
    /// Port of `from`.
    pub from_port: [u8; 2],
    /// Port of `to`.
    pub to_port: [u8; 2],
    /// Index of the interface; 0: by the routes.
    pub interface: u32,
    /// Destination and source address.
    pub ethernet: [[u8; 6]; 2],
    /// 0: no tag.
    pub vlan_in: u16,
    /// 0: no tag.
    pub vlan_out: u16,
    /// The DSCP, where it is in a TOS.
    pub tos: u8,
    /// Hop limit, time to live.
    pub hop_limit: u8,
    /// 0.
    pub padding: u16,
    /// Hz; 0: no jitter.
    pub clock_rate: u32,
    /// Sum of the words of `from` and `to`, folded, as they are in memory.
    pub address_sum: u32,
    /// A bit per payload type.
    pub forwarded: [u64; 2],
    /// A bit per payload type.
    pub watched: [u64; 2],
}

/// Figures of one synchronisation source; written by the programs at any time.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Source {
    /// The SSRC and [`TAKEN`]; 0: free.
    pub owner: AtomicU64,
    /// Packets.
    pub packets: AtomicU64,
    /// Payload of UDP.
    pub bytes: AtomicU64,
    /// Packets that were not ahead of all before.
    pub late: AtomicU64,
    /// Extended highest sequence number, and in the lower half that of the first packet.
    pub order: AtomicU64,
    /// [`ARRIVAL_KNOWN`], jitter times 16, and in the lower half the transit time.
    pub arrival: AtomicU64,
    /// Monotonic clock, ns.
    pub last: AtomicU64,
    /// Nothing.
    pub padding: u64,
}

/// Bit of [`Source::owner`].
pub const TAKEN: u64 = 1 << 32;
/// Bit of [`Source::arrival`].
pub const ARRIVAL_KNOWN: u64 = 1 << 63;
/// What the sequence number of the first packet of a source is put above, so that packets from
/// before it have a number, too.
pub const CYCLE: u32 = 0x1_0000;

/// Figures of one flow; written by the programs at any time.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Stats {
    /// Packets.
    pub packets: AtomicU64,
    /// Payload of UDP.
    pub bytes: AtomicU64,
    /// Monotonic clock, ns.
    pub last: AtomicU64,
    /// Packets that were passed up.
    pub passed_up: AtomicU64,
    /// A bit per reason that occurred.
    pub reasons: AtomicU64,
    /// Nothing.
    pub padding: [u64; 3],
    /// By synchronisation source.
    pub sources: [Source; SOURCES],
}

/// One direction of SRTP; written by whoever has the [`hold`].
#[repr(C)]
#[derive(Debug)]
pub struct Half {
    /// The highest index that was used.
    pub highest: AtomicU64,
    /// A bit for each of the 64 up to it.
    pub window: AtomicU64,
    /// Round keys of AES.
    pub keys: [AtomicU32; 44],
    /// Of the counter.
    pub salt: [AtomicU32; 4],
    /// SHA-1 behind the inner pad.
    pub inner: [AtomicU32; 5],
    /// The same of the outer one.
    pub outer: [AtomicU32; 5],
    /// Bytes of the tag.
    pub tag: AtomicU32,
    /// Nothing.
    pub padding: u32,
}

/// Keys and state of a flow.
#[repr(C)]
#[derive(Debug)]
pub struct Crypt {
    /// [`hold`].
    pub hold: AtomicU32,
    /// Nothing.
    pub padding: [u32; 15],
    /// What arrives.
    pub open: Half,
    /// What leaves.
    pub seal: Half,
}

/// Values of [`Crypt::hold`], as in `flows.h`: who may use the state.
pub mod hold {
    #![expect(missing_docs, reason = "bpf/flows.h says it")]

    pub const FREE: u32 = 0;
    pub const USER: u32 = 2;
}

/// What concerns all flows.
#[repr(C)]
#[derive(Debug)]
pub struct Control {
    /// [`LAYOUT`].
    pub layout: AtomicU32,
    /// Nothing.
    pub padding: u32,
    /// Flows are in force up to then: monotonic clock, ns.
    pub until: AtomicU64,
    /// Nothing.
    pub padding2: [u64; 6],
    /// Packets that were passed up, by reason.
    pub reasons: [AtomicU64; 32],
}

const _: () = assert!(size_of::<Key>() == 20);
const _: () = assert!(size_of::<Spec>() == 152);
const _: () = assert!(size_of::<Source>() == 64);
const _: () = assert!(size_of::<Stats>() == 320);
const _: () = assert!(size_of::<Control>() == 320);
const _: () = assert!(size_of::<Half>() == 256);
const _: () = assert!(size_of::<Crypt>() == 576);

mod pod {
    #![expect(unsafe_code, reason = "Pod is a promise about a layout")]

    use super::{Key, Pod, Spec};

    // SAFETY: integers, without padding between or behind them.
    unsafe impl Pod for Key {}
    // SAFETY: as above: all 152 bytes are fields.
    unsafe impl Pod for Spec {}
}
