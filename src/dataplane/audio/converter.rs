//! The conversion of one sink: its chain, wherever that is, and what stands before it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_audio::catalogue::Cost;
use windlass_audio::chain::{Chain, ChainState, Gaps, Injection, Mask, Setup};
use windlass_audio::codec::cn;
use windlass_audio::dtx::{Dtx, Tick};
use windlass_audio::jitter::{JitterBuffer, Pushed};
use windlass_audio::library::Libraries;
use windlass_audio::negotiate::Treatment;
use windlass_audio::output::Output;
use windlass_audio::packet::{Header, Out};

use super::Desk;
use super::job::{Input, Inputs, Job, Kind, Outcome, Ticket, Tool};
use super::pool::{Queue, Returns};
use crate::flow::PayloadTypes;
use crate::flow::conversion::{Conversion, ConversionState, Converted};
use crate::limits::{CONVERTED_SOURCES, QUEUED_DIGITS};

/// Packets that are asked for at a time, of a source that packets wait of: each becomes one or two.
const ROOM: usize = 8;

/// A source that says nothing for so long is silent: digits are played without it.
const SILENCE: Duration = Duration::from_millis(60);

/// What becomes of the audio at one sink.
#[derive(Debug)]
pub(in crate::dataplane) struct Converter {
    /// The sink: the local address that packets leave from.
    pub(in crate::dataplane) via: SocketAddr,
    pub(in crate::dataplane) conversion: Conversion,
    /// Tells it from others of the worker.
    pub(in crate::dataplane) number: u32,
    slot: Slot,
    front: Front,
    /// Inputs that wait for the chain to come back.
    waiting: Inputs,
    /// The same of digits to be played, and of what AMR's receiver asked for.
    digits: Vec<Injection>,
    mode: Option<u8>,
    /// The last packet of the source, and how it was to be treated.
    last: Option<(Header, Mask, bool)>,
    /// While a digit is played: when the source counts as silent, or the next piece of it is due.
    play_due: Option<Instant>,
    /// What goes out as events.
    events: PayloadTypes,
    /// What went out.
    pub(in crate::dataplane) sent: Vec<Converted>,
    /// The block of header extensions of the last packet (RFC 3550 §5.3.1).
    pub(in crate::dataplane) extension: Vec<u8>,
    /// The source of the last packet.
    pub(in crate::dataplane) from: Option<SocketAddr>,
    /// How often that passed the relay before.
    pub(in crate::dataplane) passed: u32,
}

/// Where the chain is.
#[derive(Debug)]
enum Slot {
    /// Here, for good.
    Cheap(Box<Tool>),
    /// Here, and ready to go.
    Heavy(Box<Job>),
    /// With a thread of codecs; this is how it left.
    Away(Box<ChainState>),
    /// There is none: a codec is not there.
    Missing,
}

/// What puts packets into time.
#[derive(Debug)]
enum Front {
    None,
    Jitter(Box<JitterBuffer>),
    Dtx(Box<Dtx>),
}

/// Where a chain that is heavy goes.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataplane) struct Way<'a> {
    pub(in crate::dataplane) queue: &'a Queue,
    pub(in crate::dataplane) returns: &'a Arc<Returns>,
    pub(in crate::dataplane) ticket: Ticket,
}

/// A chain that is made before it is needed: codecs allocate, and filters are computed.
#[derive(Debug)]
pub(in crate::dataplane) struct Prepared {
    /// The flow, its sink, and what it is for.
    local: SocketAddr,
    via: SocketAddr,
    conversion: Conversion,
    /// `None`: not made yet, or a codec is not there.
    chain: Option<Chain>,
}

impl Prepared {
    pub(in crate::dataplane) fn new(
        local: SocketAddr,
        via: SocketAddr,
        conversion: &Conversion,
    ) -> Self {
        Self {
            local,
            via,
            conversion: conversion.clone(),
            chain: None,
        }
    }

    /// Makes the chain.
    pub(in crate::dataplane) fn make(&mut self, libraries: &Libraries) {
        self.chain = Slot::chain(&self.conversion, libraries);
    }
}

impl Desk {
    /// The chain of a conversion that was prepared, else a new one.
    pub(in crate::dataplane) fn chain(
        &mut self,
        (local, via): (SocketAddr, SocketAddr),
        conversion: &Conversion,
    ) -> Option<Chain> {
        let is_it =
            |it: &Prepared| (it.local, it.via) == (local, via) && it.conversion == *conversion;
        match self.prepared.iter().position(is_it) {
            Some(place) => self.prepared.swap_remove(place).chain,
            None => Slot::chain(conversion, &self.libraries),
        }
    }

    /// The way of a converter's job.
    pub(in crate::dataplane) fn way(&self, ticket: Ticket) -> Way<'_> {
        Way {
            queue: &self.queue,
            returns: &self.returns,
            ticket,
        }
    }
}

impl Converter {
    /// A converter that goes on with the numbers of another. Where its codecs are not there, it drops
    /// what comes.
    pub(in crate::dataplane) fn new(
        via: SocketAddr,
        conversion: &Conversion,
        state: Option<ConversionState>,
        chain: Option<Chain>,
        number: u32,
    ) -> Self {
        let (state, sent) = match state {
            Some(state) => (Some(state.chain), state.sent),
            None => (None, Vec::new()),
        };
        let front = match (conversion.dtx, conversion.jitter) {
            (Some(settings), _) => Front::Dtx(Box::new(Dtx::new(settings))),
            (None, Some(settings)) => Front::Jitter(Box::new(JitterBuffer::new(settings))),
            (None, None) => Front::None,
        };
        Self {
            via,
            slot: Slot::of(chain, conversion, state),
            front,
            waiting: Inputs::default(),
            digits: Vec::new(),
            mode: None,
            last: None,
            play_due: None,
            events: events(conversion),
            sent,
            extension: Vec::new(),
            from: None,
            passed: 0,
            conversion: conversion.clone(),
            number,
        }
    }

    /// What it has learned.
    pub(in crate::dataplane) fn save(&self) -> Option<ConversionState> {
        let chain = match &self.slot {
            Slot::Cheap(tool) => tool.chain.save(),
            Slot::Heavy(job) => job.tool.chain.save(),
            Slot::Away(state) => (**state).clone(),
            Slot::Missing => return None,
        };
        Some(ConversionState {
            via: self.via,
            chain,
            sent: self.sent.clone(),
        })
    }

    /// Takes a packet in. What it completes is in `out`, unless the chain is away; afterwards
    /// [`Self::drain`] brings what is due.
    pub(in crate::dataplane) fn accept(
        &mut self,
        input: &Input<'_>,
        now: Instant,
        way: Way<'_>,
        out: &mut Out,
        outcome: &mut Outcome,
    ) {
        self.last = Some((input.header, input.mask, input.is_muted));
        if self.plays() {
            self.play_due = Some(now + SILENCE);
        }
        let (header, payload) = (input.header, input.payload);
        match &mut self.front {
            Front::None => self.feed(input, way, out, outcome),
            // What is not to go out is as if it had been lost.
            _ if input.kind == Kind::Passing => {}
            Front::Jitter(buffer) => {
                let mut routes = self.conversion.routes.iter();
                let route = routes.find(|it| it.from.payload_type == header.payload_type);
                let is_event = route.is_some_and(|route| route.from.is_event());
                let pushed = buffer.push(now, header, payload, is_event);
                outcome.late += u32::from(pushed == Pushed::Late);
            }
            Front::Dtx(dtx) => outcome.late += u32::from(!dtx.push(now, header, payload)),
        }
    }

    /// Brings what is due. Whether there is more: `out` is to be emptied first.
    pub(in crate::dataplane) fn drain(
        &mut self,
        now: Instant,
        way: Way<'_>,
        out: &mut Out,
        outcome: &mut Outcome,
    ) -> bool {
        let Some((last, mask, is_muted)) = self.last else {
            return false;
        };
        let template = Input {
            kind: Kind::Passing,
            mask,
            is_muted,
            header: last,
            payload: &[],
        };
        let mut front = std::mem::replace(&mut self.front, Front::None);
        let mut has_more = true;
        while has_more && out.len() < ROOM {
            has_more = match &mut front {
                Front::None => false,
                Front::Jitter(buffer) => buffer.poll(now).is_some_and(|(header, payload)| {
                    let input = Input {
                        kind: Kind::InOrder(Gaps::Skipped),
                        header,
                        payload,
                        ..template
                    };
                    self.feed(&input, way, out, outcome);
                    true
                }),
                Front::Dtx(dtx) => dtx.poll(now).is_some_and(|tick| {
                    let input = match tick {
                        Tick::Fill(ticks) => Input {
                            kind: Kind::Missing(ticks),
                            ..template
                        },
                        Tick::Packet(header, payload) => Input {
                            kind: Kind::InOrder(Gaps::Filled),
                            header,
                            payload,
                            ..template
                        },
                    };
                    self.feed(&input, way, out, outcome);
                    true
                }),
            };
        }
        self.front = front;
        if let Some(due) = self.play_due.filter(|due| *due <= now) {
            self.play_in_silence(due, last, way, out, outcome);
        }
        has_more
    }

    /// A piece of silence for a digit, whose source says nothing.
    fn play_in_silence(
        &mut self,
        due: Instant,
        last: Header,
        way: Way<'_>,
        out: &mut Out,
        outcome: &mut Outcome,
    ) {
        self.play_due = None;
        if !self.plays() || matches!(self.front, Front::Dtx(_)) {
            return;
        }
        let ptime_ms = self.conversion.ptime_ms.clamp(10, 120);
        let clock = self.output(last.ssrc).map_or(8000, |it| it.clocks().0);
        let ticks = (u64::from(clock) * u64::from(ptime_ms) / 1000).try_into();
        let input = Input {
            kind: Kind::Missing(ticks.unwrap_or(160)),
            mask: Mask::None,
            is_muted: false,
            header: last,
            payload: &[],
        };
        let before = out.len();
        self.feed(&input, way, out, outcome);
        let is_cheap = matches!(self.slot, Slot::Cheap(_));
        // A chain that makes nothing of it has had no audio yet.
        if out.len() > before || !is_cheap {
            self.play_due = Some(due + Duration::from_millis(u64::from(ptime_ms)));
        }
    }

    /// When there is something to [drain](Self::drain).
    pub(in crate::dataplane) fn due(&self) -> Option<Instant> {
        let front = match &self.front {
            Front::None => None,
            Front::Jitter(buffer) => buffer.next_at(),
            Front::Dtx(dtx) => dtx.next_at(),
        };
        front.into_iter().chain(self.play_due).min()
    }

    /// A chain is back. What waited for it goes on its way; it is known whether it is of this
    /// converter.
    pub(in crate::dataplane) fn take_back(
        &mut self,
        mut job: Box<Job>,
        libraries: &Libraries,
        way: Way<'_>,
        outcome: &mut Outcome,
    ) {
        job.out.clear();
        job.outcome = Outcome::default();
        let left = std::mem::replace(&mut self.slot, Slot::Missing);
        self.slot = match left {
            Slot::Away(state) if job.is_broken => {
                let chain = Slot::chain(&self.conversion, libraries);
                Slot::of(chain, &self.conversion, Some(*state))
            }
            Slot::Away(_) => Slot::Heavy(job),
            // It has another one by now.
            other => other,
        };
        if self.waiting.len() > 0 {
            self.dispatch(way, outcome);
        }
    }

    /// Plays a digit to the receiver, as a tone or an event in the audio. Whether there was room.
    pub(in crate::dataplane) fn play(&mut self, digit: Injection, now: Instant) -> bool {
        let is_taken = match &mut self.slot {
            Slot::Cheap(tool) => tool.chain.play_digit(digit),
            Slot::Heavy(job) => job.tool.chain.play_digit(digit),
            Slot::Away(_) if self.digits.len() < QUEUED_DIGITS => {
                self.digits.push(digit);
                true
            }
            Slot::Away(_) | Slot::Missing => false,
        };
        if is_taken && self.play_due.is_none() {
            self.play_due = Some(now + SILENCE);
        }
        is_taken
    }

    /// Whether the source was heard.
    pub(in crate::dataplane) fn is_heard(&self) -> bool {
        self.last.is_some()
    }

    /// Whether packets of a type are events for the receiver.
    pub(in crate::dataplane) fn sends_events_as(&self, payload_type: u8) -> bool {
        self.events.contains(payload_type)
    }

    /// Has AMR sent in a mode that the receiver asks for.
    pub(in crate::dataplane) fn request_mode(&mut self, mode: u8) {
        match &mut self.slot {
            Slot::Cheap(tool) => tool.chain.request_mode(mode),
            Slot::Heavy(job) => job.tool.chain.request_mode(mode),
            Slot::Away(_) => self.mode = Some(mode),
            Slot::Missing => {}
        }
    }

    /// The numbers of the output of a source, once there is any.
    pub(in crate::dataplane) fn output(&self, ssrc: u32) -> Option<Output> {
        let output = match &self.slot {
            Slot::Cheap(tool) => tool.chain.output(ssrc),
            Slot::Heavy(job) => job.tool.chain.output(ssrc),
            Slot::Away(state) => state.output(ssrc),
            Slot::Missing => None,
        };
        output.copied()
    }

    /// A packet went out.
    pub(in crate::dataplane) fn count(&mut self, ssrc: u32, octets: usize) {
        let known = self.sent.iter().position(|sent| sent.ssrc == ssrc);
        let place = known.unwrap_or_else(|| {
            if self.sent.len() >= CONVERTED_SOURCES {
                self.sent.remove(0);
            }
            self.sent.push(Converted {
                ssrc,
                ..Converted::default()
            });
            self.sent.len() - 1
        });
        if let Some(sent) = self.sent.get_mut(place) {
            let octets = u32::try_from(octets).unwrap_or_default();
            sent.packets = sent.packets.wrapping_add(1);
            sent.octets = sent.octets.wrapping_add(octets);
        }
    }

    fn plays(&self) -> bool {
        match &self.slot {
            Slot::Cheap(tool) => tool.chain.plays(),
            Slot::Heavy(job) => job.tool.chain.plays(),
            Slot::Away(_) => self.play_due.is_some() || !self.digits.is_empty(),
            Slot::Missing => false,
        }
    }

    fn feed(&mut self, input: &Input<'_>, way: Way<'_>, out: &mut Out, outcome: &mut Outcome) {
        match &mut self.slot {
            Slot::Cheap(tool) => tool.feed(input, out, outcome),
            Slot::Heavy(_) => {
                outcome.busy += u32::from(!self.waiting.push(input));
                self.dispatch(way, outcome);
            }
            Slot::Away(_) => outcome.busy += u32::from(!self.waiting.push(input)),
            Slot::Missing => outcome.errors += 1,
        }
    }

    /// Sends the chain to the threads of codecs, with all that waits.
    fn dispatch(&mut self, way: Way<'_>, outcome: &mut Outcome) {
        let mut job = match std::mem::replace(&mut self.slot, Slot::Missing) {
            Slot::Heavy(job) => job,
            other => {
                self.slot = other;
                return;
            }
        };
        for digit in self.digits.drain(..) {
            job.tool.chain.play_digit(digit);
        }
        if let Some(mode) = self.mode.take() {
            job.tool.chain.request_mode(mode);
        }
        let left = Box::new(job.tool.chain.save());
        std::mem::swap(&mut job.inputs, &mut self.waiting);
        job.ticket = way.ticket;
        self.slot = match way.queue.push(job, way.returns) {
            Ok(()) => Slot::Away(left),
            Err(mut job) => {
                outcome.busy += u32::try_from(job.inputs.len()).unwrap_or(u32::MAX);
                job.inputs.clear();
                Slot::Heavy(job)
            }
        };
    }
}

impl Slot {
    /// The chain of a conversion, if its codecs are there.
    fn chain(conversion: &Conversion, libraries: &Libraries) -> Option<Chain> {
        let setup = Setup {
            routes: conversion.routes.clone(),
            ptime_ms: conversion.ptime_ms,
            encoder: conversion.encoder.clone(),
            libraries: libraries.clone(),
            timestamp_gaps: conversion.timestamp_gaps,
            keep_audio_in_events: conversion.keep_audio_in_events,
            detect: conversion.detect,
            events: conversion.events.clone(),
            silence: conversion.silence.clone(),
            seed: rand::random(),
        };
        Chain::new(setup).ok()
    }

    /// A chain that goes on with the numbers of another; `None`: there is none.
    fn of(chain: Option<Chain>, conversion: &Conversion, state: Option<ChainState>) -> Self {
        let Some(mut chain) = chain else {
            return Self::Missing;
        };
        if let Some(state) = state {
            // What is not understood is begun anew.
            let _ = chain.resume(state);
        }
        let noise = &conversion.dtx_noise;
        let noise = (!noise.is_empty()).then(|| cn::Description::parse(noise));
        let cost = chain.cost();
        let tool = Tool { chain, noise };
        match cost {
            Cost::Cheap => Self::Cheap(Box::new(tool)),
            Cost::Heavy => Self::Heavy(Box::new(Job::new(tool))),
        }
    }
}

/// Types of packets that are events for the receiver.
fn events(conversion: &Conversion) -> PayloadTypes {
    let mut events = PayloadTypes::default();
    for route in conversion.routes.iter().filter(|it| it.from.is_event()) {
        match &route.treatment {
            Treatment::Pass(number) => events.insert(*number),
            Treatment::Rescale(to) => events.insert(to.payload_type),
            Treatment::Convert(_) | Treatment::Drop | Treatment::Sound(_) => {}
        }
    }
    if let Some(to) = &conversion.events {
        events.insert(to.payload_type);
    }
    events
}
