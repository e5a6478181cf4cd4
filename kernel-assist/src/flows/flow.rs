//! What a flow is: which packets it takes, and what becomes of them.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use super::layout::{Key, Spec, flag};
use crate::layout::Address;

/// The hop limit of what a host sends (RFC 1700, IANA).
pub const HOP_LIMIT: u8 = 64;

/// A stream from one party to another, as the kernel forwards it.
///
/// Packets that it does not take are passed up to the sockets of this host, unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where its packets arrive; the key of the flow.
    pub local: SocketAddr,
    /// The VLAN that they arrive in; `None` for untagged ones.
    pub vlan: Option<u16>,
    /// The only source that is accepted; `None` accepts all.
    pub source: Option<SocketAddr>,
    /// The only synchronisation source that is accepted; `None` accepts
    /// [`layout::SOURCES`](super::layout::SOURCES), and passes up others.
    pub ssrc: Option<u32>,
    /// Payload types that are forwarded.
    pub forwarded: PayloadTypes,
    /// Payload types that are passed up although they are forwarded: those that somebody watches,
    /// as telephone events.
    pub watched: PayloadTypes,
    /// What becomes of packets with the marker bit.
    pub marker: Marker,
    /// Clock of the timestamps in Hz, for the jitter; 0: none is measured.
    pub clock_rate: u32,
    /// Source of the packets that leave: a port of this host.
    pub from: SocketAddr,
    /// Their destination; of the family of `from`, which may be another than that of `local`.
    pub to: SocketAddr,
    /// Their DSCP (RFC 2474), 0–63; `None` keeps it. ECN is always kept.
    pub dscp: Option<u8>,
    /// Their hop limit or time to live: a relay sends packets of its own.
    pub hop_limit: u8,
    /// Whether routers may fragment them, if they are IPv4.
    pub fragmentation: Fragmentation,
    /// How they leave.
    pub next_hop: NextHop,
    /// What arrives is SRTP, which is opened; needs keys
    /// ([`Flows::insert_srtp`](super::Flows::insert_srtp)), the synchronisation source, and a
    /// program at tc.
    pub opens: bool,
    /// What leaves is sealed: SRTP. Needs the same.
    pub seals: bool,
}

/// What becomes of packets with the marker bit (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marker {
    /// They are forwarded as others.
    #[default]
    Forward,
    /// They are passed up.
    PassUp,
}

/// "Don't fragment" of IPv4 (RFC 791).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragmentation {
    /// As it arrived; what arrived as IPv6 is not to be fragmented.
    #[default]
    Keep,
    /// Routers may fragment.
    Allow,
    /// Routers must not.
    Forbid,
}

/// The way of packets out of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// The routes and neighbours of the system, asked for every packet.
    ///
    /// With an interface, programs at tc let the system resolve the neighbour, and packets wait
    /// for it. All other programs ask for route and neighbour first: an unknown neighbour passes
    /// the packet up, another interface does as well, and the system answers only if the interface
    /// of *arrival* has the sysctl `forwarding`. XDP reaches no VLAN interface this way.
    Route {
        /// Index of the interface; `None`: the one that the routes say.
        interface: Option<NonZeroU32>,
    },
    /// A known neighbour. The owner of the flow keeps it up to date.
    Ethernet {
        /// Index of the interface; for XDP a real one, not a VLAN interface.
        interface: NonZeroU32,
        /// Address of that interface.
        source: [u8; 6],
        /// Address of the neighbour.
        destination: [u8; 6],
        /// Tag of what leaves.
        vlan: Option<u16>,
    },
}

/// A set of RTP payload types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadTypes([u64; 2]);

impl PayloadTypes {
    /// Those that RTP may have beside RTCP on the same port: not 64–95 (RFC 5761 §4).
    pub const ALL: Self = Self([u64::MAX, !0xffff_ffff]);

    /// Adds a payload type; 128 and more change nothing.
    #[must_use]
    pub fn with(mut self, payload_type: u8) -> Self {
        if let Some(word) = self.0.get_mut(usize::from(payload_type / 64)) {
            *word |= 1 << (payload_type % 64);
        }
        self
    }

    /// Whether a payload type is in it.
    pub fn contains(&self, payload_type: u8) -> bool {
        let word = self.0.get(usize::from(payload_type / 64));
        word.is_some_and(|word| word >> (payload_type % 64) & 1 == 1)
    }
}

impl FromIterator<u8> for PayloadTypes {
    fn from_iter<I: IntoIterator<Item = u8>>(types: I) -> Self {
        types.into_iter().fold(Self::default(), Self::with)
    }
}

/// Reasons why the kernel cannot forward a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// Nobody, or everybody.
    #[error("{0} is no address of one party")]
    Address(SocketAddr),
    /// Longer than six bits.
    #[error("DSCP {0}, but the highest is 63")]
    Dscp(u8),
    /// Source and destination of what leaves.
    #[error("{from} cannot send to {to}: another family")]
    Families {
        /// Source.
        from: SocketAddr,
        /// Destination.
        to: SocketAddr,
    },
    /// The packets would not leave.
    #[error("hop limit 0")]
    HopLimit,
    /// RTCP looks so.
    #[error("payload type {0} cannot be told from RTCP (RFC 5761 §4)")]
    PayloadType(u8),
    /// State is kept of one synchronisation source.
    #[error("SRTP of any synchronisation source")]
    Ssrc,
    /// Packets of the one family do not come from the other.
    #[error("{expected} cannot send to {local}: another family")]
    Source {
        /// Where they arrive.
        local: SocketAddr,
        /// Expected source.
        expected: SocketAddr,
    },
    /// Reserved (IEEE 802.1Q §9.6).
    #[error("VLAN {0}; there are 1 to 4094")]
    Vlan(u16),
}

impl Flow {
    /// A flow that takes all payload types of one source, if that is given, and keeps what it can.
    pub fn new(
        local: SocketAddr,
        source: Option<SocketAddr>,
        [from, to]: [SocketAddr; 2],
        next_hop: NextHop,
    ) -> Self {
        Self {
            local,
            vlan: None,
            source,
            ssrc: None,
            forwarded: PayloadTypes::ALL,
            watched: PayloadTypes::default(),
            marker: Marker::Forward,
            clock_rate: 8000,
            from,
            to,
            dscp: None,
            hop_limit: HOP_LIMIT,
            fragmentation: Fragmentation::Keep,
            next_hop,
            opens: false,
            seals: false,
        }
    }

    /// As the programs have it, without the index of its figures.
    pub(super) fn spec(&self) -> Result<Spec, FlowError> {
        self.check()?;
        let (from, to) = (canonical(self.from), canonical(self.to));
        let mut spec = Spec {
            key: key(self.local),
            from: from.ip().into(),
            to: to.ip().into(),
            from_port: from.port().to_be_bytes(),
            to_port: to.port().to_be_bytes(),
            vlan_in: self.vlan.unwrap_or(0),
            hop_limit: self.hop_limit,
            clock_rate: self.clock_rate,
            address_sum: address_sum([from.ip().into(), to.ip().into()]),
            forwarded: self.forwarded.0,
            watched: self.watched.0,
            ..Spec::default()
        };
        if let Some(source) = self.source.map(canonical) {
            spec.flags |= flag::SOURCE;
            spec.source = source.ip().into();
            spec.source_port = source.port().to_be_bytes();
        }
        if let Some(ssrc) = self.ssrc {
            spec.flags |= flag::SSRC;
            spec.ssrc = ssrc;
        }
        if let Some(dscp) = self.dscp {
            spec.flags |= flag::DSCP;
            spec.tos = dscp << 2;
        }
        if to.is_ipv4() {
            spec.flags |= flag::TO_V4;
        }
        for (is, flag) in [(self.opens, flag::OPEN), (self.seals, flag::SEAL)] {
            if is {
                spec.flags |= flag;
            }
        }
        if self.marker == Marker::PassUp {
            spec.flags |= flag::MARKER_UP;
        }
        spec.flags |= match self.fragmentation {
            Fragmentation::Keep => 0,
            Fragmentation::Allow => flag::NO_DF,
            Fragmentation::Forbid => flag::DF,
        };
        match self.next_hop {
            NextHop::Route { interface } => spec.interface = interface.map_or(0, NonZeroU32::get),
            NextHop::Ethernet {
                interface,
                source,
                destination,
                vlan,
            } => {
                spec.flags |= flag::ETHERNET;
                spec.interface = interface.get();
                spec.ethernet = [destination, source];
                spec.vlan_out = vlan.unwrap_or(0);
            }
        }
        Ok(spec)
    }

    /// The flow that the programs have; `None` if this program would not have written it.
    pub(super) fn of_spec(spec: &Spec) -> Option<Self> {
        let is = |flag| spec.flags & flag != 0;
        let vlan = |tag: u16| (tag != 0).then_some(tag);
        let interface = NonZeroU32::new(spec.interface);
        let [destination, source] = spec.ethernet;
        let next_hop = match is(flag::ETHERNET) {
            true => NextHop::Ethernet {
                interface: interface?,
                source,
                destination,
                vlan: vlan(spec.vlan_out),
            },
            false => NextHop::Route { interface },
        };
        let flow = Self {
            local: address(spec.key.address, spec.key.port),
            vlan: vlan(spec.vlan_in),
            source: is(flag::SOURCE).then(|| address(spec.source, spec.source_port)),
            ssrc: is(flag::SSRC).then_some(spec.ssrc),
            forwarded: PayloadTypes(spec.forwarded),
            watched: PayloadTypes(spec.watched),
            marker: match is(flag::MARKER_UP) {
                true => Marker::PassUp,
                false => Marker::Forward,
            },
            clock_rate: spec.clock_rate,
            from: address(spec.from, spec.from_port),
            to: address(spec.to, spec.to_port),
            dscp: is(flag::DSCP).then_some(spec.tos >> 2),
            hop_limit: spec.hop_limit,
            fragmentation: match (is(flag::DF), is(flag::NO_DF)) {
                (true, _) => Fragmentation::Forbid,
                (_, true) => Fragmentation::Allow,
                _ => Fragmentation::Keep,
            },
            next_hop,
            opens: is(flag::OPEN),
            seals: is(flag::SEAL),
        };
        let mut written = flow.spec().ok()?;
        written.stats = spec.stats;
        (written == *spec).then_some(flow)
    }

    fn check(&self) -> Result<(), FlowError> {
        let [local, from, to] = [self.local, self.from, self.to].map(canonical);
        for address in [Some(local), Some(from), Some(to), self.source] {
            let is_one = |of: &SocketAddr| {
                let ip = of.ip();
                let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
                !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast && of.port() != 0
            };
            if let Some(address) = address.filter(|address| !is_one(address)) {
                return Err(FlowError::Address(address));
            }
        }
        if from.is_ipv4() != to.is_ipv4() {
            return Err(FlowError::Families { from, to });
        }
        let other = |source: &SocketAddr| source.is_ipv4() != local.is_ipv4();
        if let Some(expected) = self.source.map(canonical).filter(other) {
            return Err(FlowError::Source { local, expected });
        }
        if let Some(dscp) = self.dscp.filter(|&dscp| dscp > 63) {
            return Err(FlowError::Dscp(dscp));
        }
        if (self.opens || self.seals) && self.ssrc.is_none() {
            return Err(FlowError::Ssrc);
        }
        if self.hop_limit == 0 {
            return Err(FlowError::HopLimit);
        }
        if let Some(refused) = (64..96).find(|&it| self.forwarded.contains(it)) {
            return Err(FlowError::PayloadType(refused));
        }
        let vlan_out = match self.next_hop {
            NextHop::Ethernet { vlan, .. } => vlan,
            NextHop::Route { .. } => None,
        };
        let is_reserved = |&vlan: &u16| !(1..=4094).contains(&vlan);
        let vlans = [self.vlan, vlan_out].into_iter().flatten();
        match vlans.into_iter().find(is_reserved) {
            Some(vlan) => Err(FlowError::Vlan(vlan)),
            None => Ok(()),
        }
    }
}

/// The address without a mapping into IPv6.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

pub(super) fn key(local: SocketAddr) -> Key {
    Key {
        address: canonical(local).ip().into(),
        port: local.port().to_be_bytes(),
        padding: 0,
    }
}

pub(super) fn address(Address(bytes): Address, port: [u8; 2]) -> SocketAddr {
    let ip = IpAddr::from(bytes).to_canonical();
    SocketAddr::new(ip, u16::from_be_bytes(port))
}

/// The sum of the 16-bit words, folded, in the byte order of this host as the programs have it.
fn address_sum(addresses: [Address; 2]) -> u32 {
    let bytes = addresses.map(|Address(bytes)| bytes).concat();
    let words = bytes.chunks_exact(2).map(|pair| {
        let pair = pair.try_into().unwrap_or_default();
        u32::from(u16::from_ne_bytes(pair))
    });
    // 16 words: one folding leaves at most a carry, the second takes that in.
    let folded = |sum: u32| (sum & 0xffff) + (sum >> 16);
    folded(folded(words.sum()))
}
