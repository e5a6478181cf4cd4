//! Learning where a party really sends from, and refusing everybody else
//! (spec: media-behaviour §3, §3.1).
//!
//! A [`Latch`] is the source gate of one flow. It is asked about every packet and answers whether
//! the packet may pass; where media for the party goes is [`Latch::destination`]. Time is passed
//! in; [`Latch::handle_timeout`] is to be called about once a second while
//! [`Latch::awaits_time`].

mod candidates;
mod guarded;
mod peer;
mod reference;
mod run;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use peer::{Learning, PeerSpec, Refusal};

use guarded::Guarded;
use reference::Reference;

/// How long after signalling a better source may still take over.
const WINDOW: Duration = Duration::from_secs(3);

/// A source that was silent for this long may be replaced.
const SILENCE: Duration = Duration::from_secs(3);

/// One packet, as far as its source matters.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Where it came from.
    pub from: SocketAddr,
    /// What it is.
    pub kind: Kind,
    /// The address that RTP of the same stream is settled on, for RTCP flows.
    pub sibling: Option<SocketAddr>,
}

/// What a packet is.
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
        /// It came to a port for RTP and is no APP packet: it may come from another port of the
        /// party, and teaches nothing.
        stray: bool,
    },
    /// A datagram of a protocol that is not looked into.
    Opaque,
}

/// What happens to the packet that was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Accept,
    /// It may not.
    Drop(Refusal),
}

/// What somebody may want to know about a flow's source.
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
    /// Somebody else sends a consistent stream to the port. Told once.
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
    /// For how long it counts.
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
}

impl Mode {
    fn of(peer: &PeerSpec) -> Self {
        match peer.learning {
            Learning::Guarded => Self::Guarded(Guarded::default()),
            _ => Self::Reference(Reference::default()),
        }
    }
}

impl Latch {
    /// A latch that knows what signalling said.
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
        if (before.learning == Learning::Guarded) != (self.peer.learning == Learning::Guarded) {
            self.mode = Mode::of(&self.peer);
        }
        let moved = before.signalled != self.peer.signalled;
        let signalled = before.signalled_at != self.peer.signalled_at;
        match &mut self.mode {
            Mode::Guarded(guarded) if moved => guarded.reopen(&before, &self.peer, now),
            Mode::Guarded(_) => {}
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
        }
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

    /// Where signalling and learning would have media go.
    fn wanted_destination(&self) -> Option<SocketAddr> {
        if !self.peer.wants {
            return None;
        }
        if self.peer.asymmetric {
            return self.peer.signalled;
        }
        let learned = match &self.mode {
            Mode::Guarded(guarded) => guarded.followed(),
            Mode::Reference(reference) => reference.followed(),
        };
        let is_lost = matches!(&self.mode, Mode::Guarded(guarded) if guarded.is_lost());
        learned.or_else(|| self.peer.signalled.filter(|_| !is_lost))
    }

    /// The one source that can be heard now, and where media goes: learning is over, and nothing
    /// but its silence would let anybody else in.
    pub fn sole_source(&self, now: Instant) -> Option<SocketAddr> {
        match &self.mode {
            Mode::Guarded(guarded) if !self.peer.asymmetric && self.peer.wants => {
                guarded.sole_source(&self.peer, now)
            }
            _ => None,
        }
    }

    /// How long its sole source must be silent before others are to be heard.
    pub fn gate_silence(&self) -> Duration {
        match &self.mode {
            Mode::Guarded(guarded) => guarded.gate_silence(),
            Mode::Reference(_) => Duration::ZERO,
        }
    }

    /// What the next call on the port has to know of this one; `None`: nothing.
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
        }
    }

    /// Whether a packet of the party itself has come, as far as that is known: one of a stranger
    /// who is only heard does not open the party's NAT.
    pub fn has_heard_party(&self) -> bool {
        match &self.mode {
            Mode::Guarded(guarded) => guarded.followed().is_some(),
            Mode::Reference(reference) => reference.source().is_some() || reference.is_confirmed(),
        }
    }

    /// Whether learning is over.
    pub fn is_settled(&self) -> bool {
        match &self.mode {
            Mode::Guarded(guarded) => guarded.is_settled(),
            Mode::Reference(reference) => reference.is_confirmed(),
        }
    }
}
