//! Counters of one flow: written by its worker alone, read by other threads without stopping it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

use super::conversion::ConvertedStats;
use super::path::SharedPath;
use super::quality::Quality;
use crate::limits::SSRCS_PER_FLOW;
use crate::media::latch::Refusal;

/// Counters of a flow. One writer: `store(load + n)`, no read-modify-write.
///
/// The order is that of a packet: what each one that comes in touches, what each one that goes out
/// does, and the rest.
#[derive(Debug, Default)]
#[repr(C)]
pub struct FlowStats {
    /// Datagrams received on the local port, accepted or not; without those for an agent.
    pub packets_in: AtomicU64,
    /// UDP payload bytes received.
    pub bytes_in: AtomicU64,
    /// Time of the last accepted datagram, in milliseconds since the start of the data plane plus
    /// one; 0: none yet.
    pub last_packet_ms: AtomicU64,
    /// Per synchronisation source.
    pub ssrcs: PerSource<SsrcStats>,
    /// The same of what was sent.
    pub sent: PerSource<SentStats>,
    /// Datagrams sent from the local port.
    pub packets_out: AtomicU64,
    /// UDP payload bytes sent.
    pub bytes_out: AtomicU64,
    /// Datagrams that were dropped, for whatever reason, or could not be sent on.
    pub errors_in: AtomicU64,
    /// Datagrams that could not be sent from the local port.
    pub errors_out: AtomicU64,
    /// Drops by reason; index is `DropReason as usize`.
    pub drops: [AtomicU64; DropReason::COUNT],
    /// What of all this the kernel forwarded; made when it begins to.
    pub kernel: OnceLock<Box<KernelStats>>,
    /// What of it was decoded; made with the first packet that is.
    pub converted: OnceLock<Box<ConvertedStats>>,
    /// Where its packets are forwarded.
    pub path: SharedPath,
    /// View of the source. It changes seldom, so a lock is fine; never locked per packet.
    pub peer: Mutex<PeerView>,
}

/// Counters of synchronisation sources, in the order in which they appeared: at most
/// [`SSRCS_PER_FLOW`]. Those of the first one, which is mostly the only one, are in line; those of
/// others are made when one appears.
#[derive(Debug, Default)]
#[repr(C)]
pub struct PerSource<T> {
    first: T,
    others: OnceLock<Box<[T; SSRCS_PER_FLOW - 1]>>,
}

impl<T: Default> PerSource<T> {
    /// The counters of the source that appeared as this one, from 0 on; `None` beyond the last.
    pub fn slot(&self, index: usize) -> Option<&T> {
        match index.checked_sub(1) {
            None => Some(&self.first),
            Some(index) if index < SSRCS_PER_FLOW - 1 => {
                self.others.get_or_init(Box::default).get(index)
            }
            Some(_) => None,
        }
    }

    /// The counters that were made so far. Those of sources that did not appear are 0.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let others = self.others.get().into_iter();
        std::iter::once(&self.first).chain(others.flat_map(|others| others.iter()))
    }
}

impl FlowStats {
    /// Adds `n` to a counter of which the caller is the only writer.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes `n` back from a counter of which the caller is the only writer.
    pub fn take_back(counter: &AtomicU64, n: u64) {
        counter.store(counter.load(Relaxed).saturating_sub(n), Relaxed);
    }

    /// Counts an RTP packet that was sent.
    pub fn count_sent(&self, packet: SentPacket) {
        let of_packet = |source: &&SentStats| {
            source.packets.load(Relaxed) == 0 || source.ssrc.load(Relaxed) == packet.ssrc
        };
        let mut slots = (0..SSRCS_PER_FLOW).map_while(|index| self.sent.slot(index));
        if let Some(source) = slots.find(of_packet) {
            source.count(packet);
        }
    }

    /// Counts RTP packets of one source that the kernel sent. `last`: number, and timestamp, of the
    /// last.
    pub fn count_sent_below(
        &self,
        ssrc: u32,
        (packets, bytes): (u64, u64),
        last: (u16, Option<u32>),
    ) {
        let of_source = |source: &&SentStats| {
            source.packets.load(Relaxed) == 0 || source.ssrc.load(Relaxed) == ssrc
        };
        let mut slots = (0..SSRCS_PER_FLOW).map_while(|index| self.sent.slot(index));
        if let Some(source) = slots.find(of_source) {
            source.count_below(ssrc, (packets, bytes), last);
        }
    }

    /// When the last datagram was accepted: by the kernel, and by a worker; as
    /// [`Self::last_packet_ms`].
    pub fn last_packets_ms(&self) -> [u64; 2] {
        let last = self.last_packet_ms.load(Relaxed);
        let Some(kernel) = self.kernel.get() else {
            return [0, last];
        };
        let below = kernel.last_packet_ms.load(Relaxed);
        let is_from_below = last == below;
        let user = match is_from_below {
            true => kernel.last_user_ms.load(Relaxed),
            false => last,
        };
        [below, user]
    }

    /// Datagrams and bytes received that the kernel forwarded.
    pub fn received_below(&self) -> [u64; 2] {
        let kernel = self.kernel.get();
        kernel.map_or([0; 2], |kernel| {
            [
                kernel.packets_in.load(Relaxed),
                kernel.bytes_in.load(Relaxed),
            ]
        })
    }

    /// Whether RTP of a source was sent.
    pub fn has_sent(&self, ssrc: u32) -> bool {
        let mut sources = self.sent.iter();
        sources.any(|sent| sent.packets.load(Relaxed) > 0 && sent.ssrc.load(Relaxed) == ssrc)
    }

    /// The learned source and the current destination.
    pub fn peer(&self) -> PeerView {
        *self
            .peer
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The part of a flow's counters that the kernel made: packets that no worker saw. One writer, as with
/// [`FlowStats`], which has their sum.
#[derive(Debug, Default)]
pub struct KernelStats {
    /// Datagrams received on the local port and forwarded.
    pub packets_in: AtomicU64,
    /// UDP payload bytes of them.
    pub bytes_in: AtomicU64,
    /// As [`FlowStats::last_packet_ms`].
    pub last_packet_ms: AtomicU64,
    /// The same of the last one that a worker saw, once the kernel has seen later ones.
    pub last_user_ms: AtomicU64,
}

/// Counters of one worker thread. One writer, as with [`FlowStats`].
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// The system's number of the thread.
    pub thread_id: AtomicU64,
    /// Turns: how often it came back from waiting.
    pub wakeups: AtomicU64,
    /// Ports, or queues that ports share, that were ready in these turns.
    pub items: AtomicU64,
    /// Datagrams that its shared queues had no space for, and those that were more than their port's
    /// share of a queue that was about to be full.
    pub overflowed: AtomicU64,
    /// Waits for packets that the system refused.
    pub failed_waits: AtomicU64,
}

/// Address of a flow's party, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerView {
    /// Current destination of datagrams for the party.
    pub destination: Option<SocketAddr>,
    /// The source that was learned from packets.
    pub learned: Option<SocketAddr>,
    /// Learning is over: the source is settled.
    pub settled: bool,
}

/// Counters of one synchronisation source (RFC 3550 §6.4.1, §A.3, §A.8). Valid once it
/// [is known](Self::is_known).
#[derive(Debug, Default)]
pub struct SsrcStats {
    /// The source's identifier.
    pub ssrc: AtomicU32,
    /// Packets received.
    pub packets: AtomicU64,
    /// Bytes of its datagrams.
    pub bytes: AtomicU64,
    /// RTP timestamp of the last packet.
    pub last_timestamp: AtomicU32,
    /// Extended highest sequence number received.
    pub last_sequence: AtomicU32,
    /// Packets expected less packets received, not below 0.
    pub lost: AtomicU64,
    /// Packets received twice.
    pub duplicates: AtomicU64,
    /// Packets received out of order.
    pub reordered: AtomicU64,
    /// Interarrival jitter in timestamp units.
    pub jitter: AtomicU32,
    /// Payload type of most packets.
    pub payload_type: AtomicU32,
    /// How it hears, by its reports; made with the first that counts (spec: media-behaviour §9.1).
    pub quality: OnceLock<Box<Mutex<Quality>>>,
}

impl SsrcStats {
    /// Whether the source sent anything, or reported.
    pub fn is_known(&self) -> bool {
        self.packets.load(Relaxed) > 0 || self.quality.get().is_some()
    }
}

/// An RTP packet that was sent.
#[derive(Clone, Copy, Debug)]
pub struct SentPacket {
    /// Its source's identifier.
    pub ssrc: u32,
    /// Its number.
    pub sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its length, header included.
    pub bytes: usize,
}

/// Counters of one synchronisation source whose packets were sent. Valid once `packets` is not 0.
#[derive(Debug, Default)]
pub struct SentStats {
    /// The source's identifier.
    pub ssrc: AtomicU32,
    /// Packets sent.
    pub packets: AtomicU64,
    /// Bytes sent.
    pub bytes: AtomicU64,
    /// RTP timestamp of the last packet.
    pub last_timestamp: AtomicU32,
    /// Extended highest sequence number sent.
    pub last_sequence: AtomicU32,
}

impl SentStats {
    fn count_below(
        &self,
        ssrc: u32,
        (packets, bytes): (u64, u64),
        (sequence, timestamp): (u16, Option<u32>),
    ) {
        self.advance(sequence);
        self.ssrc.store(ssrc, Relaxed);
        if let Some(timestamp) = timestamp {
            self.last_timestamp.store(timestamp, Relaxed);
        }
        FlowStats::add(&self.bytes, bytes);
        FlowStats::add(&self.packets, packets);
    }

    /// The number of another packet.
    fn advance(&self, sequence: u16) {
        let is_first = self.packets.load(Relaxed) == 0;
        let highest = self.last_sequence.load(Relaxed);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low half is what is compared"
        )]
        let ahead = sequence.wrapping_sub(highest as u16);
        if is_first {
            self.last_sequence.store(u32::from(sequence), Relaxed);
        } else if ahead < 0x8000 {
            let highest = highest.wrapping_add(u32::from(ahead));
            self.last_sequence.store(highest, Relaxed);
        }
    }

    fn count(&self, packet: SentPacket) {
        self.advance(packet.sequence);
        self.ssrc.store(packet.ssrc, Relaxed);
        self.last_timestamp.store(packet.timestamp, Relaxed);
        FlowStats::add(&self.bytes, packet.bytes as u64);
        // Last, since it says that the others are valid.
        FlowStats::add(&self.packets, 1);
    }
}

/// Reasons why a datagram was dropped. Counted per flow; never logged per packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum DropReason {
    /// Neither a well-formed RTP nor RTCP packet on an RTP flow.
    Malformed,
    /// The source is not the party.
    UnexpectedSource,
    /// The source is not known well enough yet (the run is incomplete).
    Unproven,
    /// The direction of the media does not let the party send.
    NotReceiving,
    /// Traffic is discarded on command.
    Discarded,
    /// Nowhere to send it: the other party is on hold, unknown or gone.
    NoDestination,
    /// The kernel refused to send it.
    SendFailed,
    /// The flow has no sink for this kind of datagram.
    NoSink,
    /// Blocked on command, or not meant for the other party.
    Withheld,
    /// A copy of a copy: it goes round in a loop.
    Looping,
    /// RTP that is shorter than others of its payload type were.
    Short,
    /// The keys of a party are not known yet, on the way in or out.
    AwaitsKeys,
    /// SRTP that was not sealed under the key of its party, or cannot be sealed under it.
    NotAuthentic,
    /// SRTP that was here before.
    Replayed,
    /// ICE has not shown that the source is the party.
    NotValidated,
    /// STUN or DTLS that the agents had no room for.
    AgentBusy,
    /// Audio that the threads of codecs had no time for.
    CodecBusy,
    /// Audio that its codec could not read, or that there is no codec for.
    CodecError,
}

impl DropReason {
    /// Number of reasons.
    pub const COUNT: usize = 18;

    /// All reasons, by index.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Malformed,
        Self::UnexpectedSource,
        Self::Unproven,
        Self::NotReceiving,
        Self::Discarded,
        Self::NoDestination,
        Self::SendFailed,
        Self::NoSink,
        Self::Withheld,
        Self::Looping,
        Self::Short,
        Self::AwaitsKeys,
        Self::NotAuthentic,
        Self::Replayed,
        Self::NotValidated,
        Self::AgentBusy,
        Self::CodecBusy,
        Self::CodecError,
    ];

    /// Name in logs, metrics and replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnexpectedSource => "unexpected_source",
            Self::Unproven => "unproven_source",
            Self::NotReceiving => "not_receiving",
            Self::Discarded => "discarded",
            Self::NoDestination => "no_destination",
            Self::SendFailed => "send_failed",
            Self::NoSink => "no_sink",
            Self::Withheld => "withheld",
            Self::Looping => "looping",
            Self::Short => "short",
            Self::AwaitsKeys => "awaits_keys",
            Self::NotAuthentic => "not_authentic",
            Self::Replayed => "replayed",
            Self::NotValidated => "not_validated",
            Self::AgentBusy => "agent_busy",
            Self::CodecBusy => "codec_busy",
            Self::CodecError => "codec_error",
        }
    }
}

impl From<Refusal> for DropReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotValidated => Self::NotValidated,
            Refusal::UnexpectedSource => Self::UnexpectedSource,
            Refusal::Unproven => Self::Unproven,
        }
    }
}
