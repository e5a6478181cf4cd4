//! A party whose packets prove by their tag that they are its own (spec: media-behaviour §3.1, row
//! Y): where they come from, it is. Asked about packets that were authenticated and are no replays.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::peer::{PeerSpec, Refusal};
use super::{Arrival, Event, Kind, Verdict, WINDOW};

/// A gate for one source opens after this silence: the party may have moved.
const GATE_SILENCE: Duration = Duration::from_millis(60);

/// A source that was heard just now is not left for another one: a copy of a packet that was caught
/// and overtook the packet itself would draw media away.
const HEARD_JUST_NOW: Duration = Duration::from_millis(200);

/// The latch of a party with keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Authentic {
    current: Option<Source>,
    /// Where signalling moved the party away from, and when: what was on its way from there does not
    /// draw media back.
    left: Option<(SocketAddr, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    address: SocketAddr,
    last_at: Instant,
}

impl Authentic {
    /// The source whose packets came last.
    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.current.map(|source| source.address)
    }

    /// The party named another address: media goes there until it is heard again.
    pub(super) fn reopen(&mut self, now: Instant) {
        if let Some(current) = self.current.take() {
            self.left = Some((current.address, now));
        }
    }

    pub(super) fn passes_settled(&mut self, now: Instant, from: SocketAddr) -> bool {
        match &mut self.current {
            Some(current) if current.address == from => {
                current.last_at = now;
                true
            }
            _ => false,
        }
    }

    /// Why a source is not heard, whatever it sends.
    pub(super) fn shuts_out(&self, peer: &PeerSpec, from: SocketAddr) -> Option<Refusal> {
        let source = self.source();
        if source == Some(from) || !peer.strict_source {
            return None;
        }
        let named = peer.signalled.filter(|_| !peer.signalled_private);
        let expected = source.or(named)?;
        (expected != from).then_some(Refusal::UnexpectedSource)
    }

    pub(super) fn on_packet(
        &mut self,
        peer: &PeerSpec,
        now: Instant,
        arrival: &Arrival,
        event: &mut Option<Event>,
    ) -> Verdict {
        let from = arrival.from;
        if self.passes_settled(now, from) {
            return Verdict::Accept;
        }
        // Reports may come from another port than media, and media from one of each bundled line.
        let is_beside =
            arrival.kind == (Kind::Rtcp { stray: true }) || peer.others_signalled.contains(&from);
        if let Some(refusal) = self.shuts_out(peer, from) {
            return Verdict::Drop(refusal);
        }
        if is_beside {
            return Verdict::Accept;
        }
        // Heard all the same: it is the party's own packet. A party that goes on from there for long
        // never sends from the port that it names.
        let is_left = self.left.is_some_and(|(left, since)| {
            left == from && now.saturating_duration_since(since) < WINDOW
        });
        match self.current {
            None if is_left && peer.signalled != Some(from) => {}
            Some(current)
                if now.saturating_duration_since(current.last_at) < HEARD_JUST_NOW
                    && current.address.ip() != from.ip() =>
            {
                // Heard all the same: it is the party's own packet.
            }
            before => {
                self.current = Some(Source {
                    address: from,
                    last_at: now,
                });
                *event = Some(match before {
                    Some(before) => Event::Moved {
                        from: before.address,
                        to: from,
                    },
                    None => Event::Settled(from),
                });
            }
        }
        Verdict::Accept
    }

    /// The source that a gate may be set for: it speaks.
    pub(super) fn sole_source(&self, peer: &PeerSpec) -> Option<SocketAddr> {
        self.source().filter(|_| peer.others_signalled.is_empty())
    }

    pub(super) fn gate_silence(&self) -> Duration {
        GATE_SILENCE
    }
}
