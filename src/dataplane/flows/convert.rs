//! Packets whose audio is decoded and encoded on their way to a sink (spec: media-services §4).

use std::net::SocketAddr;
use std::time::Instant;

use rand::Rng;
use smallvec::SmallVec;
use windlass_audio::chain::{self, Mask};
use windlass_audio::packet::{Header, Out};

use super::Flows;
use super::send::{count_source, milliseconds, send};
use crate::dataplane::Happening;
use crate::dataplane::audio::converter::{Converter, Prepared};
use crate::dataplane::audio::job::{Input, Kind, Outcome, Ticket};
use crate::dataplane::backend::Backend;
use crate::dataplane::entry::Entry;
use crate::dataplane::rewrite;
use crate::dataplane::timers::{Due, Timer};
use crate::flow::conversion::{AudioDrop, Conversion};
use crate::flow::digits::DigitRule;
use crate::flow::outgoing::{NO_STREAM, QUEUE_FULL};
use crate::flow::outgoing_digits::Step;
use crate::flow::secure::Numbering;
use crate::flow::stats::DropReason;
use crate::flow::{FlowChange, Injection, Plan, Sink, SinkRules};
use crate::media::dtmf::Digit;
use crate::media::rtp::{self, HEADER_LENGTH, RtpHeader};

impl<B: Backend> Flows<B> {
    /// Has the converters that the sinks of a flow ask for. One whose conversion stays as it is stays,
    /// too; any other goes on with the numbers of the one before.
    pub(super) fn set_converters(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let wanted = || conversions(&entry.sinks);
        if entry.services.is_none() && wanted().next().is_none() {
            return;
        }
        let local = entry.lease.local();
        let services = entry.services.get_or_insert_default();
        let mut before = std::mem::take(&mut services.converters);
        let mut left = std::mem::take(&mut services.state.conversions);
        for (via, conversion) in wanted() {
            if services.converters.iter().any(|known| known.via == via) {
                continue;
            }
            let known = before.iter().position(|known| known.via == via);
            let known = known.map(|place| before.swap_remove(place));
            let state = match known {
                Some(known) if known.conversion == *conversion => {
                    services.converters.push(known);
                    continue;
                }
                Some(known) => known.save(),
                None => {
                    let place = left.iter().position(|state| state.via == via);
                    place.map(|place| left.swap_remove(place))
                }
            };
            self.desk.converters = self.desk.converters.wrapping_add(1);
            let number = self.desk.converters;
            let chain = self.desk.chain((local, via), conversion);
            let converter = Converter::new(via, conversion, state, chain, number);
            services.converters.push(converter);
        }
    }

    /// The chains that a plan asks for and that are not there.
    pub(in crate::dataplane) fn lacking(&self, plan: &Plan) -> Vec<Prepared> {
        let mut lacking = Vec::new();
        for change in &plan.changes {
            let (FlowChange::Install(spec) | FlowChange::Change(spec)) = change else {
                continue;
            };
            let index = self.by_local.get(spec.local);
            let entry = index.and_then(|index| self.entries.get(index));
            let services = entry.and_then(|entry| entry.services.as_deref());
            let known = services.map_or(&[][..], |services| &services.converters[..]);
            for (via, conversion) in conversions(&spec.sinks) {
                let is_known = |it: &Converter| it.via == via && it.conversion == *conversion;
                if !known.iter().any(is_known) {
                    lacking.push(Prepared::new(spec.local, via, conversion));
                }
            }
        }
        lacking
    }

    /// Takes an RTP packet to the converter of one sink. Whether something may come of it.
    pub(super) fn convert(
        &mut self,
        index: usize,
        via: SocketAddr,
        header: &RtpHeader,
        packet: &[u8],
        from: SocketAddr,
        now: Instant,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(index) else {
            return false;
        };
        let mut sinks = entry.sinks.iter();
        let rules = sinks
            .find(|sink| sink.via == via)
            .and_then(|sink| sink.rules.as_deref());
        let services = entry.services.as_deref_mut();
        let (Some(rules), Some(services)) = (rules, services) else {
            return false;
        };
        let mut converters = services.converters.iter_mut();
        let Some(converter) = converters.find(|known| known.via == via) else {
            return false;
        };
        let is_meant = rules.withhold.is_meant_for(header.payload_type)
            && Step::of(rules, header, packet, now) != Step::Packed;
        let input = Input {
            kind: if is_meant {
                Kind::Packet
            } else {
                Kind::Passing
            },
            mask: mask(rules, now),
            is_muted: converter.conversion.mute || !rules.change.silence.is_empty(),
            header: Header {
                payload_type: header.payload_type,
                sequence: header.sequence,
                timestamp: header.timestamp,
                ssrc: header.ssrc,
                marker: header.marker,
            },
            payload: rtp::payload(packet, header),
        };
        converter.extension.clear();
        converter
            .extension
            .extend_from_slice(rtp::extension(packet, header));
        converter.from = Some(from);
        converter.passed = self.passed;
        let ticket = Ticket {
            flow: index,
            generation: entry.generation,
            number: converter.number,
        };
        let mut out = self.desk.out.take().unwrap_or_default();
        out.clear();
        let mut outcome = Outcome::default();
        converter.accept(&input, now, self.desk.way(ticket), &mut out, &mut outcome);
        self.drain(index, via, (&mut out, outcome), now);
        self.desk.out = Some(out);
        is_meant
    }

    /// Brings what is due at the converters of a flow.
    pub(super) fn poll_audio(&mut self, index: usize, now: Instant) {
        let entry = self.entries.get_mut(index);
        let Some(services) = entry.and_then(|entry| entry.services.as_deref_mut()) else {
            return;
        };
        if services.audio_at.is_some_and(|at| at <= now) {
            services.audio_at = None;
        }
        let converters = services.converters.iter();
        let due: SmallVec<[_; 4]> = converters.map(|it| (it.via, it.due())).collect();
        for (via, due) in due {
            if due.is_some_and(|due| due <= now) {
                let mut out = self.desk.out.take().unwrap_or_default();
                out.clear();
                self.drain(index, via, (&mut out, Outcome::default()), now);
                self.desk.out = Some(out);
            } else {
                self.set_audio_timer(index, via);
            }
        }
    }

    /// Sends what a converter has made, and what is due there.
    fn drain(
        &mut self,
        index: usize,
        via: SocketAddr,
        (out, mut outcome): (&mut Out, Outcome),
        now: Instant,
    ) {
        loop {
            let Some(entry) = self.entries.get_mut(index) else {
                return;
            };
            let generation = entry.generation;
            let Some(converter) = converter_of(Some(entry), via) else {
                return;
            };
            let ticket = Ticket {
                flow: index,
                generation,
                number: converter.number,
            };
            let has_more = converter.drain(now, self.desk.way(ticket), out, &mut outcome);
            self.leave(index, via, out, &outcome, now);
            if !has_more {
                break;
            }
            out.clear();
            outcome = Outcome::default();
        }
        self.set_audio_timer(index, via);
    }

    fn set_audio_timer(&mut self, index: usize, via: SocketAddr) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let generation = entry.generation;
        let Some(due) = converter_of(Some(&mut *entry), via).and_then(|it| it.due()) else {
            return;
        };
        let Some(services) = entry.services.as_deref_mut() else {
            return;
        };
        // One that is sooner than the one that is set goes beside it.
        if services.audio_at.is_none_or(|at| due < at) {
            services.audio_at = Some(due);
            let timer = Timer {
                flow: index,
                generation,
                due: Due::Audio,
            };
            self.timers.set(due, timer);
        }
    }

    /// Sends what the threads of codecs have made.
    pub(in crate::dataplane) fn take_converted(&mut self, now: Instant) {
        for job in self.desk.returns.take() {
            let Ticket {
                flow,
                generation,
                number,
            } = job.ticket;
            let entry = self.entries.get_mut(flow);
            let entry = entry.filter(|entry| entry.generation == generation);
            let services = entry.and_then(|entry| entry.services.as_deref_mut());
            let converters = services.map(|services| &services.converters);
            let found = converters.and_then(|all| all.iter().find(|it| it.number == number));
            let Some(via) = found.map(|it| it.via) else {
                continue;
            };
            self.leave(flow, via, &job.out, &job.outcome, now);
            let mut outcome = Outcome::default();
            let way = self.desk.way(job.ticket);
            if let Some(converter) = converter_of(self.entries.get_mut(flow), via) {
                converter.take_back(job, &self.desk.libraries, way, &mut outcome);
            }
            self.tell_outcome(flow, via, &outcome);
        }
    }

    /// Sends the packets that a converter has made, and tells what came of the others.
    fn leave(&mut self, index: usize, via: SocketAddr, out: &Out, outcome: &Outcome, now: Instant) {
        self.tell_outcome(index, via, outcome);
        let Some(entry) = self.entries.get(index) else {
            return;
        };
        let converts = |rules: &SinkRules| rules.conversion.is_some();
        let mut sinks = entry.sinks.iter();
        let sink =
            sinks.position(|sink| sink.via == via && sink.rules.as_deref().is_some_and(converts));
        let target = sink.and_then(|sink| Some((sink, (*entry.targets.get(sink)?)?)));
        let Some((sink, target)) = target else {
            return;
        };
        let numbering = entry.security.numbering();
        if let Some(mode) = outcome.requested_mode {
            // The other direction is what its receiver speaks of.
            let back = entry.lease.local();
            if let Some(converter) = converter_of(self.entries.get_mut(target), back) {
                converter.request_mode(mode);
            }
        }
        for (header, payload) in out.packets() {
            let sent = self.send_converted((index, sink, target), numbering, header, payload, now);
            if let Err(reason) = sent
                && let Some(entry) = self.entries.get(index)
            {
                entry.count_drop(reason);
            }
        }
    }

    /// Counts what came of packets, beside others; and reports digits.
    fn tell_outcome(&mut self, index: usize, via: SocketAddr, outcome: &Outcome) {
        let stats = &self.desk.stats;
        stats.decoded(&outcome.decoded);
        stats.encoded(&outcome.encoded);
        for (reason, packets) in [
            (AudioDrop::CodecBusy, outcome.busy),
            (AudioDrop::CodecError, outcome.errors),
            (AudioDrop::Late, outcome.late),
            (AudioDrop::Overflow, outcome.overflow),
            (AudioDrop::Reorder, outcome.reordered),
        ] {
            if packets > 0 {
                stats.dropped(reason, packets);
            }
        }
        let Some(entry) = self.entries.get(index) else {
            return;
        };
        if outcome.decoded.frames > 0 {
            let converted = entry.stats.converted.get_or_init(Box::default);
            converted.count(&outcome.decoded, outcome.bytes);
        }
        if outcome.busy > 0 {
            entry.count_drops(DropReason::CodecBusy, u64::from(outcome.busy));
        }
        if outcome.errors > 0 {
            entry.count_drops(DropReason::CodecError, u64::from(outcome.errors));
        }
        if outcome.pressed.is_empty() {
            return;
        }
        // Where several sinks listen, one of them speaks.
        let services = entry.services.as_deref();
        let mut converters = services.into_iter().flat_map(|it| &it.converters);
        let speaker = converters.find(|it| it.conversion.detect);
        if let Some(speaker) = speaker.filter(|speaker| speaker.via == via)
            && let Some(from) = speaker.from
        {
            for pressed in outcome.pressed.iter().copied() {
                let event = Happening::Digit { pressed, from };
                self.events.tell(entry.call, entry.lease.local(), event);
            }
        }
    }

    /// Sends a packet that was made for a sink, with what the sink and the port change of it.
    fn send_converted(
        &mut self,
        (index, sink, target): (usize, usize, usize),
        numbering: Numbering,
        header: Header,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let mut is_two_byte = self.entries.get(target).is_some_and(Entry::is_two_byte);
        let entry = self.entries.get(index).ok_or(DropReason::NoSink)?;
        let rules = entry.sinks.get(sink).and_then(|sink| sink.rules.as_deref());
        let rules = rules.ok_or(DropReason::NoSink)?;
        let services = entry.services.as_deref();
        let via = entry.sinks.get(sink).map(|sink| sink.via);
        let converters = services.map_or(&[][..], |services| &services.converters[..]);
        let converter = converters.iter().find(|it| Some(it.via) == via);
        let converter = converter.ok_or(DropReason::NoSink)?;
        let is_event = converter.sends_events_as(header.payload_type);
        let passed = converter.passed;
        let made = &mut self.desk.made;
        let header = write(&header, &converter.extension, payload, made);
        let extensions = rules.change.extensions.as_ref();
        let extended = (extensions, &header, &made[..]);
        rewrite::extend_only(extended, &mut is_two_byte, &mut self.scratch);
        let header = rewrite::moved(&header, made, &self.scratch);
        let sender = self.entries.get_mut(target).ok_or(DropReason::NoSink)?;
        let services = sender.services.get_or_insert_default();
        services.state.is_two_byte |= is_two_byte;
        let payload = self.scratch.get(header.payload_at..).unwrap_or_default();
        let edit = services.number(&header, is_event, payload, now);
        let edit = edit.ok_or(DropReason::Withheld)?;
        edit.apply(&header, &mut self.scratch);
        let copies = edit.copies();
        let destination = sender.destination.ok_or(DropReason::NoDestination)?;
        let (backend, sealed) = (&mut self.backend, &mut self.sealed);
        send(
            backend,
            sealed,
            sender,
            (&self.scratch, numbering),
            destination,
        )?;
        if self.recorded.takes_egress() {
            sender.record_sent(now, destination, &self.scratch);
        }
        let octets = self.scratch.len().saturating_sub(header.payload_at);
        count_source(&sender.stats, &header.arrival(&self.scratch), &self.scratch);
        if let Some(hop) = &sender.hop_out {
            hop.raise(passed + 1, milliseconds(self.started, now));
        }
        sender.count_sent(header.ssrc, header.timestamp, octets, now);
        if let Some(via) = via
            && let Some(converter) = converter_of(self.entries.get_mut(index), via)
        {
            converter.count(header.ssrc, octets);
        }
        if copies > 0 {
            self.send_copies(target, destination, copies, now);
        }
        Ok(())
    }

    /// Plays a digit into a stream that is converted; `None`: it is none, or its receiver has events,
    /// which are played where they leave.
    pub(super) fn play_converted(
        &mut self,
        injection: &Injection,
        now: Instant,
    ) -> Option<Result<(), &'static str>> {
        let index = self.by_local.get(injection.from)?;
        let converter = converter_of(self.entries.get_mut(index), injection.via)?;
        if !converter.is_heard() {
            return Some(Err(NO_STREAM));
        }
        if converter.sends_events_as(injection.payload_type) {
            return None;
        }
        let digit = chain::Injection {
            event: injection.digit.code(),
            volume: injection.volume,
            duration_ms: injection.duration_ms,
            pause_ms: injection.pause_ms,
        };
        if !converter.play(digit, now) {
            return Some(Err(QUEUE_FULL));
        }
        self.set_audio_timer(index, injection.via);
        Some(Ok(()))
    }
}

/// The sinks that convert.
pub(in crate::dataplane) fn conversions(
    sinks: &[Sink],
) -> impl Iterator<Item = (SocketAddr, &Conversion)> {
    let rules = sinks.iter().map(|sink| (sink.via, sink.rules.as_deref()));
    rules.filter_map(|(via, rules)| Some((via, rules?.conversion.as_deref()?)))
}

/// The converter of a sink.
pub(super) fn converter_of<P>(
    entry: Option<&mut Entry<P>>,
    via: SocketAddr,
) -> Option<&mut Converter> {
    let converters = &mut entry?.services.as_deref_mut()?.converters;
    converters.iter_mut().find(|converter| converter.via == via)
}

/// What takes the place of digits that begin now.
fn mask(rules: &SinkRules, now: Instant) -> Mask {
    let digit = |digit: Digit, volume| Mask::Digit {
        event: digit.code(),
        volume,
    };
    match rules.withhold.digits.at(now) {
        DigitRule::Pass => Mask::None,
        DigitRule::Drop => Mask::Drop,
        DigitRule::Digit { digit: it, volume } => digit(it, volume),
        // Not only others than the one pressed: that would tell which it is not.
        DigitRule::Random { volume } => Mask::Digit {
            event: rand::rng().random_range(0..10),
            volume,
        },
        DigitRule::Silence => Mask::Silence,
        DigitRule::Tone(tone) => Mask::Tone {
            frequencies: tone.hz,
            volume: tone.volume,
        },
    }
}

/// Writes a packet with a block of header extensions, which may be empty.
fn write(header: &Header, extension: &[u8], payload: &[u8], packet: &mut Vec<u8>) -> RtpHeader {
    let flags = if extension.is_empty() { 0x80 } else { 0x90 };
    packet.clear();
    packet.push(flags);
    packet.push(u8::from(header.marker) << 7 | header.payload_type & 0x7f);
    packet.extend_from_slice(&header.sequence.to_be_bytes());
    packet.extend_from_slice(&header.timestamp.to_be_bytes());
    packet.extend_from_slice(&header.ssrc.to_be_bytes());
    packet.extend_from_slice(extension);
    packet.extend_from_slice(payload);
    RtpHeader {
        marker: header.marker,
        payload_type: header.payload_type & 0x7f,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
        payload_at: HEADER_LENGTH + extension.len(),
    }
}
