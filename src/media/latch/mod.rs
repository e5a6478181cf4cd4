//! Learns the real source of a party and refuses all others (spec: media-behaviour §3, §3.1).
//!
//! A [`Latch`] is the source gate of one flow. It is asked about every packet and answers whether
//! the packet may pass; where media for the party goes is [`Latch::destination`]. Time is passed
//! in; [`Latch::handle_timeout`] is to be called about once a second while
//! [`Latch::awaits_time`].

mod authentic;
mod candidates;
mod guarded;
mod peer;
mod reference;
mod run;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use peer::{Learning, PeerSpec, Refusal, Validated};

use authentic::Authentic;
use guarded::Guarded;
use reference::Reference;

/// Time after signalling in which a better source may still take over.
const WINDOW: Duration = Duration::from_secs(3);

/// A source that was silent for this long may be replaced.
const SILENCE: Duration = Duration::from_secs(3);

/// The fields of a packet that the latch needs.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Source address.
    pub from: SocketAddr,
    /// Kind of the packet.
    pub kind: Kind,
    /// The address that RTP of the same stream is settled on, for RTCP flows.
    pub sibling: Option<SocketAddr>,
}

/// Kinds of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RTP.
    Rtp {
        /// Synchronisation source.
        ssrc: u32,
        /// Sequence number.
        sequence: u16,
        /// The payload type was negotiated.
        negotiated: bool,
    },
    /// RTCP: it makes no run.
    Rtcp {
        /// RTCP other than APP on a port for RTP. It may come from another port of the party, so
        /// nothing is learned from it.
        stray: bool,
    },
    /// A datagram of a protocol that is not looked into.
    Opaque,
}

/// Verdict on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The packet passes.
    Accept,
    /// The packet is dropped.
    Drop(Refusal),
}

/// Events about a flow's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The source is settled.
    Settled(SocketAddr),
    /// A settled source moved.
    Moved {
        /// From here
        from: SocketAddr,
        /// to here.
        to: SocketAddr,
    },
    /// Packets from somewhere else are being dropped. Told once.
    Unexpected(SocketAddr),
    /// Another source sends a consistent stream to the port. Reported once.
    Contested(SocketAddr),
    /// Settled on an address that contradicts the SIP source: a proxy in front may be missing in
    /// `signalling_hops`.
    AgainstSignalling(SocketAddr),
}

/// The source that a call leaves behind on a port: a phone that did not hear of its end goes on
/// sending.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    source: SocketAddr,
    ssrc: Option<u32>,
    signalled: Option<SocketAddr>,
    at: Instant,
}

impl Left {
    /// Time for which it counts.
    pub const TIME: Duration = Duration::from_secs(60);

    /// Whether it still counts.
    pub fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < Self::TIME
    }
}

/// The source gate of one flow.
#[derive(Clone, Debug)]
pub struct Latch {
    mode: Mode,
    /// Not looked at while a source is settled.
    peer: Box<PeerSpec>,
    /// Where media should go, and where it goes: the same, or nowhere.
    wanted: Option<SocketAddr>,
    destination: Option<SocketAddr>,
}

#[derive(Clone, Debug)]
enum Mode {
    Guarded(Guarded),
    Reference(Reference),
    /// The party is where ICE says.
    Validated,
    /// The party is where its authentic packets come from.
    Authentic(Authentic),
}

impl Mode {
    fn of(peer: &PeerSpec) -> Self {
        match (&peer.validated, peer.learning) {
            (Some(_), _) => Self::Validated,
            (None, Learning::Off) => Self::Reference(Reference::default()),
            (None, _) if peer.is_authenticated => Self::Authentic(Authentic::default()),
            (None, Learning::Guarded) => Self::Guarded(Guarded::default()),
            (None, _) => Self::Reference(Reference::default()),
        }
    }

    /// Whether a party with these facts is learned in the same way.
    fn fits(&self, peer: &PeerSpec) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(&Self::of(peer))
    }
}

impl Latch {
    /// A latch with the facts of signalling.
    pub fn new(peer: PeerSpec) -> Self {
        let mode = Mode::of(&peer);
        let mut latch = Self {
            mode,
            peer: Box::new(peer),
            wanted: None,
            destination: None,
        };
        latch.set_destination();
        latch
    }

    /// What signalling says of the party.
    pub fn peer(&self) -> &PeerSpec {
        &self.peer
    }

    /// Signalling touched the party. What was learned stays, unless the party moved.
    pub fn update(&mut self, peer: PeerSpec, now: Instant) {
        let before = std::mem::replace(&mut *self.peer, peer);
        if !self.mode.fits(&self.peer) {
            self.mode = Mode::of(&self.peer);
        }
        let moved = before.signalled != self.peer.signalled;
        let signalled = before.signalled_at != self.peer.signalled_at;
        match &mut self.mode {
            Mode::Guarded(guarded) if moved => guarded.reopen(&before, &self.peer, now),
            Mode::Authentic(authentic) if moved => authentic.reopen(now),
            Mode::Guarded(_) | Mode::Validated | Mode::Authentic(_) => {}
            Mode::Reference(reference) => reference.signalled(moved, signalled),
        }
        self.wanted = None;
        self.destination = None;
        self.set_destination();
    }

    /// Lets a packet of the one settled source pass: nothing changes then but when it was heard
    /// last. `false`: [`Self::on_packet`] has to judge it.
    pub fn passes_settled(&mut self, now: Instant, from: SocketAddr, kind: Kind) -> bool {
        match &mut self.mode {
            Mode::Guarded(guarded) => guarded.passes_settled(now, from, kind),
            Mode::Reference(_) => false,
            Mode::Validated => self.peer.is_validated(from),
            Mode::Authentic(authentic) => authentic.passes_settled(now, from),
        }
    }

    /// Why a source is not the party, whatever its packets say: they are not looked into. `None`: it
    /// may be.
    pub fn shuts_out(&self, from: SocketAddr) -> Option<Refusal> {
        match &self.mode {
            Mode::Validated => (!self.peer.is_validated(from)).then_some(Refusal::NotValidated),
            Mode::Authentic(authentic) => authentic.shuts_out(&self.peer, from),
            Mode::Reference(reference) => reference.shuts_out(&self.peer, from),
            Mode::Guarded(_) => None,
        }
    }

    /// Whether a source is settled that this one is not. What has no tag is not opened then: it would
    /// count as a packet of the party.
    pub fn is_settled_elsewhere(&self, from: SocketAddr) -> bool {
        self.is_settled() && self.learned() != Some(from)
    }

    /// Judges one packet, and learns from it. An event, if any, is put into `event`.
    pub fn on_packet(
        &mut self,
        now: Instant,
        arrival: &Arrival,
        event: &mut Option<Event>,
    ) -> Verdict {
        let verdict = match &mut self.mode {
            Mode::Guarded(guarded) => guarded.on_packet(&self.peer, now, arrival, event),
            Mode::Reference(reference) => reference.on_packet(&self.peer, now, arrival, event),
            Mode::Validated if self.peer.is_validated(arrival.from) => Verdict::Accept,
            Mode::Validated => Verdict::Drop(Refusal::NotValidated),
            Mode::Authentic(authentic) => authentic.on_packet(&self.peer, now, arrival, event),
        };
        self.set_destination();
        verdict
    }

    /// Lets time act: candidates that had to wait, and sources that fell silent.
    pub fn handle_timeout(&mut self, now: Instant, event: &mut Option<Event>) {
        if let Mode::Guarded(guarded) = &mut self.mode {
            guarded.handle_timeout(&self.peer, now, event);
        }
        self.set_destination();
    }

    /// Whether time alone may change what is learned.
    pub fn awaits_time(&self) -> bool {
        matches!(&self.mode, Mode::Guarded(guarded) if guarded.awaits_time())
    }

    /// Where media for the party goes; `None`: nowhere.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.destination
    }

    /// Notes where media goes from now on. Whether it may go there is asked once per address.
    fn set_destination(&mut self) {
        let wanted = self.wanted_destination();
        if wanted != self.wanted {
            self.wanted = wanted;
            self.destination = wanted.filter(|to| self.peer.reach.barred(*to).is_none());
        }
    }

    /// Destination by signalling and learning.
    fn wanted_destination(&self) -> Option<SocketAddr> {
        if !self.peer.wants {
            return None;
        }
        if let Some(validated) = &self.peer.validated {
            return validated.destination;
        }
        if self.peer.asymmetric {
            return self.peer.signalled;
        }
        let learned = match &self.mode {
            Mode::Guarded(guarded) => guarded.followed(),
            Mode::Reference(reference) => reference.followed(),
            Mode::Validated => None,
            Mode::Authentic(authentic) => authentic.source(),
        };
        let is_lost = matches!(&self.mode, Mode::Guarded(guarded) if guarded.is_lost());
        learned.or_else(|| self.peer.signalled.filter(|_| !is_lost))
    }

    /// The only source that can be heard now, which is also the destination of media. Learning is
    /// over, and only its silence lets another source in.
    pub fn sole_source(&self, now: Instant) -> Option<SocketAddr> {
        match &self.mode {
            Mode::Guarded(guarded) if !self.peer.asymmetric && self.peer.wants => {
                guarded.sole_source(&self.peer, now)
            }
            Mode::Authentic(authentic) if !self.peer.asymmetric && self.peer.wants => {
                authentic.sole_source(&self.peer)
            }
            _ => None,
        }
    }

    /// The source whose packets pass whatever they are, as long as nothing else is heard and nothing is
    /// signalled: learning is over.
    pub fn steady_source(&self, now: Instant) -> Option<SocketAddr> {
        match &self.mode {
            Mode::Guarded(guarded) => guarded.steady_source(&self.peer, now),
            Mode::Reference(reference) if reference.is_confirmed() => reference.source(),
            Mode::Reference(_) | Mode::Validated | Mode::Authentic(_) => None,
        }
    }

    /// Packets of the settled source passed elsewhere, the last one at `at`, of this SSRC and
    /// number.
    pub fn heard_elsewhere(&mut self, at: Instant, ssrc: u32, sequence: u16) {
        if let Mode::Guarded(guarded) = &mut self.mode {
            guarded.heard_elsewhere(at, ssrc, sequence);
        }
    }

    /// Silence of the sole source after which others may be heard.
    pub fn gate_silence(&self) -> Duration {
        match &self.mode {
            Mode::Guarded(guarded) => guarded.gate_silence(),
            Mode::Authentic(authentic) => authentic.gate_silence(),
            Mode::Reference(_) | Mode::Validated => Duration::ZERO,
        }
    }

    /// State that the next call on the port needs; `None` if there is none.
    pub fn leave(&self, now: Instant) -> Option<Left> {
        let Mode::Guarded(guarded) = &self.mode else {
            return None;
        };
        let (source, ssrc) = guarded.settled_source()?;
        Some(Left {
            source,
            ssrc,
            signalled: self.peer.signalled,
            at: now,
        })
    }

    /// Takes notice of an earlier call on the port: its source is not to be heard in this one.
    /// The same party is, be it in another call.
    pub fn follow(&mut self, left: &Left) {
        if let Mode::Guarded(guarded) = &mut self.mode
            && left.signalled != self.peer.signalled
        {
            guarded.shun(left.source, left.ssrc, left.at + Left::TIME);
        }
    }

    /// The source that was learned, if there is one.
    pub fn learned(&self) -> Option<SocketAddr> {
        match &self.mode {
            Mode::Guarded(guarded) => guarded.source(),
            Mode::Reference(reference) => reference.source(),
            Mode::Validated => self.peer.validated_destination(),
            Mode::Authentic(authentic) => authentic.source(),
        }
    }

    /// Whether a packet of the party itself has come, as far as that is known. A stranger's packet
    /// does not open the party's NAT.
    pub fn has_heard_party(&self) -> bool {
        match &self.mode {
            Mode::Guarded(guarded) => guarded.followed().is_some(),
            Mode::Reference(reference) => reference.source().is_some() || reference.is_confirmed(),
            Mode::Validated => self.peer.validated_destination().is_some(),
            Mode::Authentic(authentic) => authentic.source().is_some(),
        }
    }

    /// Whether learning is over.
    pub fn is_settled(&self) -> bool {
        match &self.mode {
            Mode::Guarded(guarded) => guarded.is_settled(),
            Mode::Reference(reference) => reference.is_confirmed(),
            Mode::Validated => self.peer.validated_destination().is_some(),
            Mode::Authentic(authentic) => authentic.source().is_some(),
        }
    }
}
