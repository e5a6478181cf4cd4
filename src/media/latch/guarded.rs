//! The default: ranks of sources, runs of packets, one settled peer
//! (spec: media-behaviour §3.1).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::candidates::Candidates;
use super::peer::{PeerSpec, Refusal};
use super::run::{self, Run};
use super::{Arrival, Event, Kind, Left, SILENCE, Verdict, WINDOW};

/// A rebinding of the peer's NAT is believed after its old address was silent for this long.
const REBIND_SILENCE: Duration = Duration::from_millis(60);

/// Packets that prove a rebinding.
const REBIND_RUN: usize = 2;

/// A handover to another address needs this much silence of the old one.
const HANDOVER_SILENCE: Duration = Duration::from_secs(1);

/// After a move, packets of the old source pass for this long as long as the new one is silent, so
/// that the end of a sentence is heard.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A gate for one source stays shut for at least this long after its last packet.
const GATE_SILENCE: Duration = Duration::from_millis(60);

/// Gaps between packets after which such a gate opens, and the longest it stays shut.
const GATE_GAPS: u32 = 3;
const MAX_GATE_SILENCE: Duration = Duration::from_secs(1);

/// Sequence numbers that continue a stream after a rebinding.
const MAX_CONTINUITY: u16 = 50;

/// Match of a source with signalling; lower is better.
type Rank = u8;

/// Its rank while the party's SDP is not known.
const UNKNOWN: Rank = 5;

/// The latch of `guarded`.
#[derive(Clone, Debug, Default)]
pub(super) struct Guarded {
    /// The source whose packets pass.
    current: Option<Source>,
    /// `current` is settled.
    settled: bool,
    /// The settled source before: it keeps flowing while learning is open again, and wins back
    /// what silence lost it.
    former: Option<Box<Source>>,
    /// Signalling moved the party within its NAT; `former` is in force until the new source
    /// settles.
    reopened: bool,
    /// The destination of media is unknown: the party moved behind another NAT.
    lost: bool,
    /// A source of an earlier call on this port.
    shunned: Option<Box<Shunned>>,
    /// Reports of the party came from another port than its media.
    hears_stray: bool,
    /// Made when the first source has to prove itself: most flows never see one.
    candidates: Candidates,
    /// The source that continues the silent peer's stream.
    mover: Option<Box<Mover>>,
    told_unexpected: bool,
    told_contested: bool,
}

/// A source whose packets pass.
#[derive(Clone, Copy, Debug)]
struct Source {
    address: SocketAddr,
    rank: Rank,
    /// Media is sent to it.
    followed: bool,
    run: Run,
    /// The source has sent a run.
    proven: bool,
    first_at: Instant,
    last_at: Instant,
}

impl Source {
    fn is_silent(&self, now: Instant, for_time: Duration) -> bool {
        now.saturating_duration_since(self.last_at) >= for_time
    }

    fn note(&mut self, now: Instant, kind: Kind) {
        self.last_at = now;
        self.run.observe(now, kind);
        self.proven |= self.run.is_complete();
    }
}

/// A source that is not the party any more: that of an earlier call on the port, or that which
/// signalling moved the party away from. It is not accepted as a stranger.
#[derive(Clone, Copy, Debug)]
struct Shunned {
    address: SocketAddr,
    ssrc: Option<u32>,
    until: Instant,
    /// When signalling moved the party away from it. It is not accepted on the host of the party
    /// either, then: phones, gateways and servers have all their ports at one address.
    moved_at: Option<Instant>,
}

/// A source that goes on where the silent peer stopped.
#[derive(Clone, Copy, Debug)]
struct Mover {
    address: SocketAddr,
    run: Run,
    /// Its packets since the peer has been silent for long enough.
    packets: usize,
}

impl Guarded {
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.current
            .as_ref()
            .or(self.former.as_deref())
            .map(|source| source.address)
    }

    /// The learned source that media is sent to.
    pub(super) fn followed(&self) -> Option<SocketAddr> {
        if let Some(former) = &self.former
            && self.reopened
        {
            return Some(former.address);
        }
        // A source that is heard and not followed leaves media where it went before.
        let sources = self.current.iter().chain(self.former.as_deref());
        let mut followed = sources.filter(|source| source.followed);
        followed.next().map(|source| source.address)
    }

    /// Whether nothing that signalling says tells where media goes.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// The settled source and its SSRC.
    pub(super) fn settled_source(&self) -> Option<(SocketAddr, Option<u32>)> {
        let settled = match &self.current {
            Some(current) if self.settled => Some(current),
            _ => self.former.as_deref(),
        };
        settled.map(|source| (source.address, source.run.ssrc()))
    }

    /// Marks a source as that of an earlier call on this port.
    pub(super) fn shun(&mut self, address: SocketAddr, ssrc: Option<u32>, until: Instant) {
        self.shunned = Some(Box::new(Shunned {
            address,
            ssrc,
            until,
            moved_at: None,
        }));
    }

    /// Silence of the settled source after which its port gate opens.
    pub(super) fn gate_silence(&self) -> Duration {
        let gap = self
            .current
            .as_ref()
            .map(|current| current.run.longest_gap());
        let patience = gap.unwrap_or_default().saturating_mul(GATE_GAPS);
        patience.clamp(GATE_SILENCE, MAX_GATE_SILENCE)
    }

    /// The settled source, when no rule but its silence could replace it. A gate knows one port:
    /// a party whose reports come from another has none.
    pub(super) fn sole_source(&self, peer: &PeerSpec, now: Instant) -> Option<SocketAddr> {
        let window_over = now.saturating_duration_since(peer.signalled_at) >= WINDOW;
        let is_sole = self.settled
            && self.former.is_none()
            && window_over
            && !self.hears_stray
            && peer.proposed.is_none()
            && peer.others_signalled.is_empty();
        self.current
            .filter(|_| is_sole)
            .map(|current| current.address)
    }

    /// The settled source, when nothing that it sends changes what is known of it.
    pub(super) fn steady_source(&self, peer: &PeerSpec, now: Instant) -> Option<SocketAddr> {
        let window_over = now.saturating_duration_since(peer.signalled_at) >= WINDOW;
        let is_steady = self.settled
            && self.former.is_none()
            && window_over
            && peer.proposed.is_none()
            && peer.others_signalled.is_empty();
        let current = self.current.filter(|_| is_steady);
        current.map(|current| current.address)
    }

    /// Packets of the settled source were let pass elsewhere.
    pub(super) fn heard_elsewhere(&mut self, at: Instant, ssrc: u32, sequence: u16) {
        let Some(current) = self.current.as_mut().filter(|_| self.settled) else {
            return;
        };
        if at > current.last_at {
            current.last_at = at;
            current.run.go_on(at, ssrc, sequence);
            // It speaks: whoever goes on in its place does not.
            self.mover = None;
        }
    }

    /// Signalling moved the party, or told its address for the first time.
    pub(super) fn reopen(&mut self, before: &PeerSpec, peer: &PeerSpec, now: Instant) {
        self.candidates.clear();
        self.mover = None;
        let mut current = self.current.take();
        let was_settled = std::mem::take(&mut self.settled);
        let settled = match current {
            Some(current) if was_settled => Some(current),
            _ => self.former.as_deref().copied(),
        };
        self.former = None;
        self.reopened = false;
        self.lost = false;
        if let Some(settled) = settled {
            // A party that was found where it said, though that is private, is not behind a NAT
            // as seen from here.
            let is_reachable = settled.rank == 0 && before.signalled == Some(settled.address);
            let is_public = !peer.signalled_private || peer.trusts_signalled || is_reachable;
            if is_public || !peer.sends {
                self.leave(&settled, now);
            } else if may_be_nat_of(settled.address, before, peer) {
                self.former = Some(Box::new(settled));
                self.reopened = true;
            } else {
                self.lost = true;
            }
            return;
        }
        // One that was heard at another port than signalled, and had not settled there yet, is left
        // behind as well.
        let is_left = |open: &mut Source| {
            before.signalled.is_some() && open.rank <= 2 && peer.signalled != Some(open.address)
        };
        if !peer.signalled_private
            && let Some(left) = current.take_if(is_left)
        {
            self.leave(&left, now);
        }
        if let Some(mut open) = current {
            let again = Arrival {
                from: open.address,
                kind: Kind::Opaque,
                sibling: None,
            };
            open.rank = rank(peer, &again);
            open.followed = is_followed_at_once(open.rank, peer);
            // A stranger to the new address is judged anew.
            if open.rank <= 3 {
                self.current = Some(open);
                self.try_settle(peer, now, &mut None);
            }
        }
    }

    /// Signalling moved the party away from a source.
    fn leave(&mut self, source: &Source, now: Instant) {
        self.shunned = Some(Box::new(Shunned {
            address: source.address,
            ssrc: source.run.ssrc(),
            until: now + Left::TIME,
            moved_at: Some(now),
        }));
    }

    /// Notes a packet of the settled source, if it is one and nothing else is to be done for it.
    pub(super) fn passes_settled(&mut self, now: Instant, from: SocketAddr, kind: Kind) -> bool {
        match &mut self.current {
            Some(current) if self.settled && current.address == from && self.mover.is_none() => {
                current.note(now, kind);
                true
            }
            _ => false,
        }
    }

    pub(super) fn on_packet(
        &mut self,
        peer: &PeerSpec,
        now: Instant,
        arrival: &Arrival,
        event: &mut Option<Event>,
    ) -> Verdict {
        if let Some(current) = &mut self.current
            && current.address == arrival.from
        {
            current.note(now, arrival.kind);
            self.mover = None;
            if !self.settled {
                self.try_settle(peer, now, event);
            }
            return Verdict::Accept;
        }
        // Another line of the party: it is heard beside whoever is settled.
        if peer.others_signalled.contains(&arrival.from) {
            return Verdict::Accept;
        }
        let rank = rank(peer, arrival);
        if let Some(former) = &mut self.former
            && former.address == arrival.from
            && (rank > 0 || !self.reopened)
        {
            former.note(now, arrival.kind);
            if !self.reopened {
                self.win_back(event);
            }
            return Verdict::Accept;
        }
        if arrival.kind == (Kind::Rtcp { stray: true }) && self.is_home_to(arrival.from, rank) {
            self.hears_stray = true;
            return Verdict::Accept;
        }
        if rank > 0
            && let Some(verdict) = self.judge_shunned(peer, now, arrival, rank, event)
        {
            return verdict;
        }
        match self.current {
            Some(current) if self.settled => {
                self.judge_rival(peer, now, arrival, rank, current, event)
            }
            _ => self.judge_open(peer, now, arrival, rank, event),
        }
    }

    /// Whether the party's reports may come from there: its own address once it is settled, before
    /// that one that signalling knows.
    fn is_home_to(&self, from: SocketAddr, rank: Rank) -> bool {
        match &self.current {
            Some(current) if self.settled => current.address.ip() == from.ip(),
            _ => rank <= 2,
        }
    }

    /// Verdict on a packet from a source that is not the party any more; `None` if it is from
    /// another, or may be the party again.
    fn judge_shunned(
        &mut self,
        peer: &PeerSpec,
        now: Instant,
        arrival: &Arrival,
        rank: Rank,
        event: &mut Option<Event>,
    ) -> Option<Verdict> {
        let shunned = self.shunned.as_deref().copied()?;
        if now >= shunned.until {
            self.shunned = None;
            return None;
        }
        if shunned.address != arrival.from {
            return None;
        }
        let has_successor = self.current.is_some();
        if rank >= 3 {
            let is_same = match arrival.kind {
                Kind::Rtp { ssrc, .. } => shunned.ssrc == Some(ssrc),
                Kind::Rtcp { .. } | Kind::Opaque => true,
            };
            if !is_same {
                return None;
            }
        } else {
            let since = now.saturating_duration_since(shunned.moved_at?);
            // A party that never sends from the port that it names comes back: it goes on from the
            // old one, and nobody speaks from the new one.
            if since >= WINDOW && peer.sends && !has_successor {
                return match arrival.kind {
                    Kind::Rtcp { .. } => None,
                    _ => self.is_unproven(now, arrival),
                };
            }
        }
        let moved_at = shunned.moved_at;
        let is_last_words =
            moved_at.is_some_and(|moved_at| now.saturating_duration_since(moved_at) < LAST_WORDS);
        match is_last_words && !has_successor {
            true => Some(Verdict::Accept),
            false => Some(self.refuse(now, arrival, event)),
        }
    }

    /// A packet of a run that is not complete yet is dropped; `None` if it is complete.
    fn is_unproven(&mut self, now: Instant, arrival: &Arrival) -> Option<Verdict> {
        let candidate = self.candidates.count(now, arrival);
        let is_proven = candidate.is_some_and(|candidate| candidate.run.is_complete());
        (!is_proven).then_some(Verdict::Drop(Refusal::Unproven))
    }

    /// The source that fell silent is back: it is the peer again.
    fn win_back(&mut self, event: &mut Option<Event>) {
        let Some(former) = self.former.take() else {
            return;
        };
        if let Some(usurper) = self.current.replace(*former) {
            *event = Some(Event::Moved {
                from: usurper.address,
                to: former.address,
            });
        }
        self.settled = true;
    }

    /// Judges a packet from another source while one is settled.
    fn judge_rival(
        &mut self,
        peer: &PeerSpec,
        now: Instant,
        arrival: &Arrival,
        rank: Rank,
        current: Source,
        event: &mut Option<Event>,
    ) -> Verdict {
        let in_window = now.saturating_duration_since(peer.signalled_at) < WINDOW;
        if rank < current.rank && in_window {
            return self.judge_open(peer, now, arrival, rank, event);
        }
        let same_host = arrival.from.ip() == current.address.ip();
        if (same_host || peer.media_handover)
            && let Some(mover) = self.mover_of(arrival, &current)
        {
            let (patience, needed) = match same_host {
                true => (REBIND_SILENCE, REBIND_RUN),
                false => (HANDOVER_SILENCE, run::LENGTH),
            };
            if current.is_silent(now, patience) {
                return self.follow_after(needed, mover, now, arrival, event);
            }
            // It is heard once the peer was silent for long enough; by then the numbers of its
            // packets may be far from the peer's last one.
            self.keep_mover(mover, now, arrival);
        }
        // Whether it moves there is for the answer to say; until then it is heard from both.
        if peer.proposed.is_some_and(|to| to.ip() == arrival.from.ip()) {
            return Verdict::Accept;
        }
        // Silence lets in no source that fits worse than the silent one.
        if current.is_silent(now, SILENCE) && rank <= current.rank {
            return self.judge_open(peer, now, arrival, rank, event);
        }
        self.refuse(now, arrival, event)
    }

    /// The source of a packet that goes on with the stream of the settled one.
    fn mover_of(&self, arrival: &Arrival, current: &Source) -> Option<Mover> {
        let known = self.mover.as_deref().copied();
        let known = known.filter(|mover| mover.address == arrival.from);
        let mover = known.unwrap_or(Mover {
            address: arrival.from,
            run: current.run,
            packets: 0,
        });
        let continues = mover.run.is_continued_by(arrival.kind, MAX_CONTINUITY);
        continues.then_some(mover)
    }

    fn keep_mover(&mut self, mut mover: Mover, now: Instant, arrival: &Arrival) {
        mover.run.observe(now, arrival.kind);
        match self.mover.as_deref_mut() {
            Some(kept) => *kept = mover,
            None => self.mover = Some(Box::new(mover)),
        }
    }

    /// Moves the settled source once enough packets prove that it is the same stream.
    fn follow_after(
        &mut self,
        needed: usize,
        mut mover: Mover,
        now: Instant,
        arrival: &Arrival,
        event: &mut Option<Event>,
    ) -> Verdict {
        mover.packets += 1;
        if mover.packets < needed {
            self.keep_mover(mover, now, arrival);
            return Verdict::Drop(Refusal::Unproven);
        }
        self.mover = None;
        if let Some(current) = &mut self.current {
            *event = Some(Event::Moved {
                from: current.address,
                to: arrival.from,
            });
            current.address = arrival.from;
            current.note(now, arrival.kind);
        }
        self.candidates.forget(arrival.from);
        Verdict::Accept
    }

    /// Judges a packet from another source while learning is open.
    fn judge_open(
        &mut self,
        peer: &PeerSpec,
        now: Instant,
        arrival: &Arrival,
        rank: Rank,
        event: &mut Option<Event>,
    ) -> Verdict {
        let is_stranger = matches!(rank, 3 | 4);
        if is_stranger && !peer.sends || rank == 4 && peer.strict_source {
            return self.refuse(now, arrival, event);
        }
        if let Some(current) = &self.current
            && rank >= current.rank
            && !current.is_silent(now, SILENCE)
        {
            return self.refuse(now, arrival, event);
        }
        // RTCP has no runs; a stranger's is believed only after its RTP.
        if rank >= 3 && matches!(arrival.kind, Kind::Rtcp { .. }) {
            return Verdict::Drop(Refusal::Unproven);
        }
        let candidate = if rank >= 3 {
            self.candidates.count(now, arrival)
        } else {
            None
        };
        let proven = candidate.is_some_and(|candidate| candidate.run.is_complete());
        if rank >= 3 && !proven {
            return Verdict::Drop(Refusal::Unproven);
        }
        let first_at = candidate.map_or(now, |candidate| candidate.first_at);
        let mut source = Source {
            address: arrival.from,
            rank,
            followed: is_followed_at_once(rank, peer),
            run: Run::new(now),
            proven,
            first_at,
            last_at: now,
        };
        match candidate {
            // It has taken this packet in.
            Some(candidate) => source.run = candidate.run,
            None => source.note(now, arrival.kind),
        }
        if let Some(before) = self.current.replace(source)
            && self.settled
        {
            self.former = Some(Box::new(before));
            self.reopened = false;
        }
        self.settled = false;
        self.try_settle(peer, now, event);
        Verdict::Accept
    }

    /// Settles the current source if its rank and time allow it.
    fn try_settle(&mut self, peer: &PeerSpec, now: Instant, event: &mut Option<Event>) {
        let Some(current) = &mut self.current else {
            return;
        };
        let window_over = now.saturating_duration_since(peer.signalled_at) >= WINDOW;
        let settles = match current.rank {
            0 => true,
            1 | 2 => current.proven || window_over,
            3 if peer.received_from.is_none() => true,
            3 => {
                let alone = !self.candidates.has_others(current.address);
                let known = peer.received_from;
                let fits = known.is_some_and(|known| known.is_ipv4() == current.address.is_ipv4());
                alone
                    && fits
                    && peer.sends
                    && now.saturating_duration_since(current.first_at) >= WINDOW
            }
            _ => false,
        };
        if !settles {
            return;
        }
        current.followed = true;
        self.lost = false;
        let against_signalling = current.rank == 3 && peer.received_from.is_some();
        *event = Some(match against_signalling {
            true => Event::AgainstSignalling(current.address),
            false => Event::Settled(current.address),
        });
        self.settled = true;
        if self.reopened {
            self.reopened = false;
            self.former = None;
        }
        let address = current.address;
        self.candidates.forget(address);
    }

    /// Whether a source has to wait, or candidates to be forgotten.
    pub(super) fn awaits_time(&self) -> bool {
        let is_open = !self.settled && self.current.is_some();
        is_open || self.reopened || !self.candidates.is_empty()
    }

    pub(super) fn handle_timeout(
        &mut self,
        peer: &PeerSpec,
        now: Instant,
        event: &mut Option<Event>,
    ) {
        if !self.settled {
            self.try_settle(peer, now, event);
        }
        // The party kept its NAT after all: it still speaks from there.
        let window_over = now.saturating_duration_since(peer.signalled_at) >= WINDOW;
        if self.reopened
            && window_over
            && self.current.is_none()
            && let Some(former) = self
                .former
                .take_if(|former| !former.is_silent(now, SILENCE))
        {
            self.current = Some(*former);
            self.settled = true;
            self.reopened = false;
        }
        self.candidates.forget_silent(now);
    }

    fn refuse(&mut self, now: Instant, arrival: &Arrival, event: &mut Option<Event>) -> Verdict {
        let proven = self
            .candidates
            .count(now, arrival)
            .is_some_and(|candidate| candidate.run.is_complete());
        if proven && !self.told_contested {
            self.told_contested = true;
            *event = Some(Event::Contested(arrival.from));
        } else if !self.told_unexpected {
            self.told_unexpected = true;
            *event = Some(Event::Unexpected(arrival.from));
        }
        Verdict::Drop(Refusal::UnexpectedSource)
    }
}

fn rank(peer: &PeerSpec, arrival: &Arrival) -> Rank {
    let from = arrival.from;
    let by_signalling = match peer.signalled {
        None => UNKNOWN,
        Some(signalled) if signalled == from => 0,
        Some(signalled) if signalled.ip() == from.ip() => 1,
        Some(_) if peer.received_from == Some(from.ip()) => 2,
        Some(_) if peer.signalled_private => 3,
        Some(_) => 4,
    };
    // RTCP of the party whose RTP is settled may come from any port of it.
    match arrival.sibling {
        Some(sibling) if sibling.ip() == from.ip() => by_signalling.min(1),
        _ => by_signalling,
    }
}

/// Whether a source can still be the NAT of a party whose private address changed.
fn may_be_nat_of(source: SocketAddr, before: &PeerSpec, peer: &PeerSpec) -> bool {
    let host = |peer: &PeerSpec| peer.signalled.map(|signalled| signalled.ip());
    let same_way = peer.received_from.is_none() || peer.received_from == before.received_from;
    same_way && host(peer) == host(before) || peer.received_from == Some(source.ip())
}

fn is_followed_at_once(rank: Rank, peer: &PeerSpec) -> bool {
    rank <= 2 || rank == 3 && peer.received_from.is_none()
}
