//! The modes known from rtpengine: heuristic, delayed, immediate, off
//! (spec: media-behaviour §3).

use std::net::SocketAddr;
use std::time::Instant;

use super::peer::{Learning, PeerSpec, Refusal};
use super::{Arrival, Event, Kind, Verdict, WINDOW};

/// The latch of the reference modes.
#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    /// The source in use.
    learned: Option<SocketAddr>,
    /// Rank of the best source since the last signalling; lower is better.
    best: Option<u8>,
    /// Learning is over until the next signalling.
    confirmed: bool,
}

impl Reference {
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.learned
    }

    pub(super) fn followed(&self) -> Option<SocketAddr> {
        self.learned
    }

    /// Signalling touched the party; `moved`: its SDP address changed.
    pub(super) fn signalled(&mut self, moved: bool, again: bool) {
        if again || moved {
            self.confirmed = false;
            self.best = None;
        }
        if moved {
            self.learned = None;
        }
    }

    /// Why a source is not heard, whatever it sends.
    pub(super) fn shuts_out(&self, peer: &PeerSpec, from: SocketAddr) -> Option<Refusal> {
        let signalled = peer.signalled.filter(|_| peer.strict_source)?;
        let unexpected = Some(Refusal::UnexpectedSource);
        // Where nothing is learned, nothing has to be waited for.
        if peer.learning == Learning::Off && signalled != from {
            return unexpected;
        }
        let is_over = self.confirmed && peer.is_shown;
        unexpected.filter(|_| is_over && !self.is_known(peer, from, signalled))
    }

    /// Whether a source is the one that counts after learning is over.
    fn is_known(&self, peer: &PeerSpec, from: SocketAddr, signalled: SocketAddr) -> bool {
        // Of an asymmetric line, only the learned source counts once there is one.
        let is_signalled = from == signalled && !(peer.asymmetric && peer.strict_source);
        self.learned.unwrap_or(signalled) == from || is_signalled
    }

    pub(super) fn on_packet(
        &mut self,
        peer: &PeerSpec,
        now: Instant,
        arrival: &Arrival,
        event: &mut Option<Event>,
    ) -> Verdict {
        let from = arrival.from;
        if let Some(refusal) = self.shuts_out(peer, from) {
            return Verdict::Drop(refusal);
        }
        // Nothing is learned from a party whose SDP is not known, nor of one that does not know
        // ours, nor from RTCP on an RTP port.
        let Some(signalled) = peer.signalled.filter(|_| peer.is_shown) else {
            return Verdict::Accept;
        };
        if self.confirmed {
            return self.check(peer, from, signalled, event);
        }
        if arrival.kind == (Kind::Rtcp { stray: true }) {
            return Verdict::Accept;
        }
        let window_over = now.saturating_duration_since(peer.signalled_at) > WINDOW;
        match peer.learning {
            Learning::Off | Learning::Guarded => self.confirmed = true,
            Learning::Immediate => {
                self.learned = Some(from);
                self.confirmed = true;
            }
            Learning::Delayed => {
                self.learned = Some(from);
                self.confirmed = window_over;
            }
            Learning::Heuristic => {
                let rank = match (from.ip() == signalled.ip(), from.port() == signalled.port()) {
                    (true, true) => 0,
                    (true, false) => 1,
                    (false, true) => 2,
                    (false, false) => 3,
                };
                if self.best.is_none_or(|best| rank <= best) {
                    self.best = Some(rank);
                    self.learned = Some(from);
                } else if peer.strict_source {
                    return Verdict::Drop(Refusal::UnexpectedSource);
                }
                self.confirmed = rank == 0 || window_over;
            }
        }
        if self.confirmed
            && let Some(learned) = self.learned
        {
            *event = Some(Event::Settled(learned));
        }
        Verdict::Accept
    }

    /// A packet after learning is over.
    fn check(
        &mut self,
        peer: &PeerSpec,
        from: SocketAddr,
        signalled: SocketAddr,
        event: &mut Option<Event>,
    ) -> Verdict {
        if self.is_known(peer, from, signalled) {
            return Verdict::Accept;
        }
        if peer.media_handover {
            let before = self.learned.replace(from).unwrap_or(signalled);
            self.confirmed = false;
            *event = Some(Event::Moved {
                from: before,
                to: from,
            });
        }
        Verdict::Accept
    }
}
