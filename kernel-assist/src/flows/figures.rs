//! What the programs count.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::layout::{self, ARRIVAL_KNOWN, CYCLE, SOURCES, Stats, TAKEN};

/// Figures of a flow since it was inserted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Packets forwarded.
    pub packets: u64,
    /// Their bytes: payload of UDP.
    pub bytes: u64,
    /// Arrival of the last of them: CLOCK_MONOTONIC, ns; 0: none.
    pub last_ns: u64,
    /// Packets passed up, from whomever.
    pub passed_up: u64,
    /// Why.
    pub reasons: Reasons,
    /// By synchronisation source, in the order of their appearance.
    pub sources: Vec<SourceFigures>,
}

/// Figures of a synchronisation source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceFigures {
    /// Its number.
    pub ssrc: u32,
    /// Packets forwarded.
    pub packets: u64,
    /// Their bytes: payload of UDP.
    pub bytes: u64,
    /// Packets that were not ahead of all before: late ones, and doubles.
    pub late: u64,
    /// What its packets say of its order; `None` before the first.
    pub order: Option<Order>,
    /// Interarrival jitter in units of the timestamps, times 16 (RFC 3550 §A.8).
    pub jitter_16: u32,
    /// Arrival less timestamp of the last packet that was ahead of all before, in units of the
    /// timestamps; `None` before the first, and without a clock.
    pub transit: Option<u32>,
    /// Arrival of the last packet: CLOCK_MONOTONIC, ns; 0: none.
    pub last_ns: u64,
}

/// Sequence numbers of a source (RFC 3550 §A.1), extended by the cycles; that of the first packet
/// is one cycle above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Of the first packet.
    pub first: u32,
    /// The highest.
    pub highest: u32,
}

impl SourceFigures {
    /// Packets expected less packets received, not below 0 (RFC 3550 §A.3).
    pub fn lost(&self) -> u64 {
        let expected = self.order.map_or(0, |order| {
            u64::from(order.highest.wrapping_sub(order.first)) + 1
        });
        expected.saturating_sub(self.packets)
    }

    /// Interarrival jitter in units of the timestamps.
    pub fn jitter(&self) -> u32 {
        self.jitter_16 >> 4
    }

    /// Timestamp of the last packet; of a late one, that of its place in time. `clock_rate` is that of
    /// the flow.
    pub fn timestamp(&self, clock_rate: u32) -> Option<u32> {
        const SECOND: u64 = 1_000_000_000;
        let rate = u64::from(clock_rate);
        let (seconds, rest) = (self.last_ns / SECOND, self.last_ns % SECOND);
        let units = seconds
            .wrapping_mul(rate)
            .wrapping_add(rest * rate / SECOND);
        let (_, units) = halves(units);
        Some(units.wrapping_sub(self.transit?))
    }

    fn read(source: &layout::Source) -> Option<Self> {
        let owner = source.owner.load(Relaxed);
        if owner & TAKEN == 0 {
            return None;
        }
        let (_, ssrc) = halves(owner);
        let (highest, first) = halves(source.order.load(Relaxed));
        let arrival = source.arrival.load(Relaxed);
        let (jitter, transit) = halves(arrival & !ARRIVAL_KNOWN);
        Some(Self {
            ssrc,
            packets: source.packets.load(Relaxed),
            bytes: source.bytes.load(Relaxed),
            late: source.late.load(Relaxed),
            order: (highest != 0).then_some(Order { first, highest }),
            jitter_16: jitter,
            transit: (arrival & ARRIVAL_KNOWN != 0).then_some(transit),
            last_ns: source.last.load(Relaxed),
        })
    }

    /// Begins where another left off. The transit time is not taken over: its clock may be another.
    fn write(&self, source: &layout::Source) {
        let word = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        source.packets.store(self.packets, Relaxed);
        source.bytes.store(self.bytes, Relaxed);
        source.late.store(self.late, Relaxed);
        let order = self.order.map_or(0, |it| word(it.highest, it.first));
        source.order.store(order, Relaxed);
        source.arrival.store(word(self.jitter_16, 0), Relaxed);
        source.last.store(self.last_ns, Relaxed);
        source.owner.store(TAKEN | u64::from(self.ssrc), Relaxed);
    }
}

impl Order {
    /// A stream whose first packet has this number.
    pub fn starting(sequence: u16) -> Self {
        let first = CYCLE + u32::from(sequence);
        let highest = first;
        Self { first, highest }
    }
}

impl Figures {
    pub(super) fn read(stats: &Stats) -> Self {
        let mut sources = Vec::with_capacity(SOURCES);
        sources.extend(stats.sources.iter().map_while(SourceFigures::read));
        Self {
            packets: stats.packets.load(Relaxed),
            bytes: stats.bytes.load(Relaxed),
            last_ns: stats.last.load(Relaxed),
            passed_up: stats.passed_up.load(Relaxed),
            reasons: Reasons(stats.reasons.load(Relaxed)),
            sources,
        }
    }

    /// Makes figures those of a new flow. No program may use them.
    pub(super) fn start(stats: &Stats, sources: &[SourceFigures]) {
        let own = [
            &stats.packets,
            &stats.bytes,
            &stats.last,
            &stats.passed_up,
            &stats.reasons,
        ];
        let of_sources = stats.sources.iter().flat_map(|source| {
            [
                &source.owner,
                &source.packets,
                &source.bytes,
                &source.late,
                &source.order,
                &source.arrival,
                &source.last,
            ]
        });
        own.into_iter()
            .chain(of_sources)
            .for_each(|word: &AtomicU64| word.store(0, Relaxed));
        let places = stats.sources.iter();
        sources.iter().zip(places).for_each(|(it, to)| it.write(to));
    }
}

fn halves(word: u64) -> (u32, u32) {
    let half = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
    (half(word >> 32), half(word))
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $text:literal)*) => {
        /// Why a packet of a flow was passed up. In the order of `bpf/flows.h`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// A word for metrics and logs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// Nobody has said that the flows are still wanted.
    Lease "lease"
    /// Another VLAN.
    Vlan "vlan"
    /// Another source.
    Source "source"
    /// STUN (RFC 7983).
    Stun "stun"
    /// DTLS (RFC 7983).
    Dtls "dtls"
    /// Neither RTP nor one of these.
    NotRtp "not_rtp"
    /// RTCP on the same port (RFC 5761).
    Rtcp "rtcp"
    /// Header, extension or padding do not fit.
    Malformed "malformed"
    /// A payload type that is not forwarded.
    PayloadType "payload_type"
    /// A payload type that somebody watches.
    Watched "watched"
    /// The marker bit, where that is asked for.
    Marker "marker"
    /// Another synchronisation source than the expected one.
    Ssrc "ssrc"
    /// More synchronisation sources than a flow keeps figures of.
    Sources "sources"
    /// The sequence numbers jumped: the source began anew.
    Sequence "sequence"
    /// No route, another interface, or that is gone.
    Route "route"
    /// The neighbour is not known.
    Neighbour "neighbour"
    /// Longer than the link carries.
    Mtu "mtu"
    /// Too long to take a sum that IPv6 needs; or, in generic XDP, a sum that may be left to a device.
    Checksum "checksum"
    /// No room before the packet for longer headers.
    Room "room"
    /// Dropped: the system failed in the middle of the change.
    Spoiled "spoiled"
    /// SRTP, where the program does none.
    Crypt "crypt"
    /// Longer than what is opened or sealed.
    Long "long"
    /// Not sealed under the key of the flow, or not where it was expected.
    Tag "tag"
    /// SRTP whose index was used before, or is too old to tell.
    Replayed "replayed"
    /// SRTP whose state another CPU, or the owner of the flow, has.
    Busy "busy"
}

/// A set of [`Reason`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons(u64);

impl Reasons {
    /// Whether a reason is in it.
    pub fn contains(self, reason: Reason) -> bool {
        self.0 >> (reason as u8) & 1 == 1
    }

    /// All that are in it.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        let all = Reason::ALL.iter().copied();
        all.filter(move |reason| self.contains(*reason))
    }
}
