//! One source of a direction: its packets, and the stream that is made of them.

use std::collections::VecDeque;

use super::mask::{Mask, Sound};
use super::path::Path;
use super::{Gaps, Injection, SKIPPED, Shared, StreamState, Verdict};
use crate::codec::cn;
use crate::dtmf::{Event, Tone};
use crate::format::Format;
use crate::input::{Reorder, Step};
use crate::limits::{MAX_FRAME_MS, SEQUENCE_RESET};
use crate::negotiate::{Route, Treatment};
use crate::output::Output;
use crate::packet::{Header, Out};

/// Errors of a codec in a row after which it is made anew.
const FAULTS: u32 = 50;

/// Audio so much later than the last of an event, in ms, means that its end was lost.
const LOST_END_MS: u32 = 100;

/// Packets that say that an event is over (RFC 4733 §2.5.1.4).
const END_PACKETS: usize = 3;

/// One source.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    reorder: Reorder,
    body: Body,
}

/// What happens to packets that are in order.
#[derive(Debug)]
struct Body {
    output: Option<Output>,
    /// The conversion in use, and the route that it is for.
    path: Option<(u8, Path)>,
    faults: u32,
    /// The event that comes in.
    incoming: Option<Incoming>,
    /// The event that we make: of a digit that was heard, or is played.
    made: Option<Made>,
    /// Ticks of silence that are left of a digit that was played.
    pause: u32,
    tone: Option<Tone>,
    /// The digit that is heard, and what covers it.
    covered: Option<(u8, Option<Sound>)>,
    noise: cn::Generator,
}

/// An event of the sender.
#[derive(Clone, Copy, Debug)]
struct Incoming {
    /// Its timestamp as received, and as sent.
    timestamp: u32,
    sent_timestamp: u32,
    /// How long it has lasted, in the sender's clock.
    duration: u16,
    clock: u32,
    is_over: bool,
    /// What takes its place, as was decided at its begin.
    mask: Mask,
    /// The sound that goes out for it.
    sound: Option<Sound>,
}

/// An event of our own.
#[derive(Clone, Copy, Debug)]
struct Made {
    event: u8,
    volume: u8,
    timestamp: u32,
    duration: u32,
    /// The digit in the audio that it stands for.
    heard: u8,
    /// For a digit that is played: how long it lasts, and the pause after it, in ticks.
    until: Option<(u32, u32)>,
}

impl Stream {
    pub(super) fn new(ssrc: u32, reorder: Reorder, seed: u32) -> Self {
        Self {
            ssrc,
            reorder,
            body: Body {
                output: None,
                path: None,
                faults: 0,
                incoming: None,
                made: None,
                pause: 0,
                tone: None,
                covered: None,
                noise: cn::Generator::new(seed),
            },
        }
    }

    pub(super) fn output(&self) -> Option<&Output> {
        self.body.output.as_ref()
    }

    /// Whether a digit is played.
    pub(super) fn plays(&self) -> bool {
        let made = self.body.made.as_ref();
        made.is_some_and(|made| made.until.is_some())
    }

    pub(super) fn request_mode(&mut self, mode: u8) {
        if let Some((_, path)) = &mut self.body.path {
            path.request_mode(mode);
        }
    }

    pub(super) fn save(&self) -> StreamState {
        StreamState {
            ssrc: self.ssrc,
            expected: self.reorder.expected(),
            output: self.body.output,
        }
    }

    pub(super) fn restore(state: StreamState, seed: u32) -> Self {
        let mut stream = Self::new(state.ssrc, Reorder::resume(state.expected), seed);
        stream.body.output = state.output;
        stream
    }

    pub(super) fn push(
        &mut self,
        header: Header,
        payload: &[u8],
        shared: &Shared,
        waiting: &mut VecDeque<Injection>,
        out: &mut Out,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let body = &mut self.body;
        let refused = self.reorder.push(header, payload, |header, payload, step| {
            body.take(&header, payload, step, shared, waiting, out, &mut verdict);
        });
        verdict.refused = refused.err();
        verdict
    }
}

impl Stream {
    pub(super) fn push_in_order(
        &mut self,
        header: Header,
        payload: &[u8],
        gaps: Gaps,
        shared: &Shared,
        waiting: &mut VecDeque<Injection>,
        out: &mut Out,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let ahead = self
            .reorder
            .expected()
            .map(|expected| header.sequence.wrapping_sub(expected));
        let step = match (ahead, gaps) {
            (None, _) => Step::First,
            (Some(lost), Gaps::Skipped) if lost < SEQUENCE_RESET.cast_unsigned() => {
                Step::Next { lost }
            }
            _ => Step::Next { lost: 0 },
        };
        self.reorder = Reorder::resume(Some(header.sequence.wrapping_add(1)));
        let body = &mut self.body;
        body.take(&header, payload, step, shared, waiting, out, &mut verdict);
        verdict
    }

    pub(super) fn fill(
        &mut self,
        ticks: u32,
        noise: Option<&cn::Description>,
        shared: &Shared,
        waiting: &mut VecDeque<Injection>,
        out: &mut Out,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let Body {
            path,
            noise: generator,
            ..
        } = &mut self.body;
        if let Some((_, path)) = path {
            let samples = path.samples_of(ticks);
            path.append(|pending| match noise {
                Some(noise) => generator.generate(noise, samples, pending),
                None => pending.resize(pending.len() + samples, 0),
            });
            self.body.cut(shared, waiting, out, &mut verdict);
        }
        verdict
    }
}

impl Body {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a chain, borrowed apart"
    )]
    fn take(
        &mut self,
        header: &Header,
        payload: &[u8],
        step: Step,
        shared: &Shared,
        waiting: &mut VecDeque<Injection>,
        out: &mut Out,
        verdict: &mut Verdict,
    ) {
        if header.payload_type == SKIPPED {
            if let (Some(output), Step::Next { lost }) = (&mut self.output, step) {
                output.skip(lost);
            }
            return;
        }
        let mut routes = shared.setup.routes.iter();
        let route = routes.find(|route| route.from.payload_type == header.payload_type);
        let clock = route.map_or(8000, |route| route.from.clock);
        let to_clock = route.map_or(clock, |route| match &route.treatment {
            Treatment::Convert(to) | Treatment::Rescale(to) | Treatment::Sound(to) => to.clock,
            Treatment::Pass(_) | Treatment::Drop => route.from.clock,
        });
        let output = self
            .output
            .get_or_insert_with(|| Output::begin(header, clock, to_clock));
        if let Step::Next { lost } = step
            && lost > 0
        {
            output.skip(lost);
            if shared.setup.timestamp_gaps {
                output.advance(self.path.as_ref().map_or(0, |(_, path)| {
                    path.ticks(path.frame).saturating_mul(u32::from(lost))
                }));
            }
        }
        let Some(route) = route else {
            self.pass(header, header.payload_type, payload, out);
            return;
        };
        let from = &route.from;
        match &route.treatment {
            Treatment::Drop => {}
            Treatment::Pass(_) | Treatment::Rescale(_) | Treatment::Sound(_) if from.is_event() => {
                let known = self.incoming.filter(|it| it.timestamp == header.timestamp);
                let mask = known.map_or(shared.mask, |known| known.mask);
                match (&route.treatment, mask) {
                    (Treatment::Sound(to), mask) if mask != Mask::Drop => {
                        self.sound(header, payload, route, to, shared, waiting, out, verdict);
                    }
                    (_, Mask::Silence | Mask::Tone { .. }) => {
                        if let Some(to) = self.audio_output(shared) {
                            self.sound(header, payload, route, &to, shared, waiting, out, verdict);
                        }
                    }
                    (Treatment::Rescale(to), _) => {
                        let clocks = (from.clock, to.clock);
                        self.event(header, payload, to.payload_type, clocks, mask, out);
                    }
                    (Treatment::Pass(number), _) => {
                        let clocks = (from.clock, from.clock);
                        self.event(header, payload, *number, clocks, mask, out);
                    }
                    _ => {}
                }
            }
            Treatment::Pass(number) => self.pass(header, *number, payload, out),
            Treatment::Rescale(to) => self.pass(header, to.payload_type, payload, out),
            Treatment::Sound(to) => {
                if self.prepare_as_audio(route, to, shared, verdict) {
                    self.comfort(payload);
                    self.cut(shared, waiting, out, verdict);
                }
            }
            Treatment::Convert(to) => {
                if self.is_silenced(header, shared) || !self.prepare(route, to, shared, verdict) {
                    return;
                }
                self.convert(header, payload, shared, waiting, out, verdict);
            }
        }
    }

    /// A packet that nothing converts goes between those that are made here.
    fn pass(&mut self, header: &Header, number: u8, payload: &[u8], out: &mut Out) {
        let Some(output) = &mut self.output else {
            return;
        };
        let timestamp = output.map(header.timestamp);
        output.move_to(timestamp);
        output.anchor(header.timestamp, 0);
        let sent = Header {
            marker: header.marker,
            ..output.next_at(number, timestamp)
        };
        out.push(sent, payload);
    }

    /// An event that stays one, in its own clock or in another.
    fn event(
        &mut self,
        header: &Header,
        payload: &[u8],
        number: u8,
        (clock, to_clock): (u32, u32),
        mask: Mask,
        out: &mut Out,
    ) {
        let (Some(output), Some(mut event)) = (&mut self.output, Event::parse(payload)) else {
            return;
        };
        let same = |known: &&mut Incoming| known.timestamp == header.timestamp;
        let sent_timestamp = match self.incoming.as_mut().filter(same) {
            Some(known) => known.sent_timestamp,
            None => output.timestamp(),
        };
        self.incoming = Some(Incoming {
            timestamp: header.timestamp,
            sent_timestamp,
            duration: event.duration,
            clock,
            is_over: event.is_end,
            mask,
            sound: None,
        });
        match mask.digit(event.event, event.volume) {
            Some((digit, volume)) => (event.event, event.volume) = (digit, volume),
            None => return,
        }
        let scaled = event.rescale(clock, to_clock);
        let sent = Header {
            marker: header.marker,
            ..output.next_at(number, sent_timestamp)
        };
        out.push(sent, &scaled.to_bytes());
        // Audio goes on behind the event, unless it has gone beyond already.
        let after = sent_timestamp.wrapping_add(u32::from(scaled.duration));
        if after.wrapping_sub(output.timestamp()).cast_signed() > 0 {
            output.move_to(after);
        }
    }

    /// An event that becomes a tone: as much of it as the packet says has passed.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a chain, borrowed apart"
    )]
    fn sound(
        &mut self,
        header: &Header,
        payload: &[u8],
        route: &Route,
        to: &Format,
        shared: &Shared,
        waiting: &mut VecDeque<Injection>,
        out: &mut Out,
        verdict: &mut Verdict,
    ) {
        let Some(event) = Event::parse(payload) else {
            return;
        };
        if !self.prepare_as_audio(route, to, shared, verdict) {
            return;
        }
        let Some((_, path)) = &mut self.path else {
            return;
        };
        let known = self
            .incoming
            .filter(|known| known.timestamp == header.timestamp);
        let mut incoming = known.unwrap_or_else(|| Incoming {
            timestamp: header.timestamp,
            sent_timestamp: 0,
            duration: 0,
            clock: route.from.clock,
            is_over: false,
            mask: shared.mask,
            sound: shared.mask.sound(event.volume, path.rate).or_else(|| {
                let tone = Tone::of_event(event.event, event.volume, path.rate);
                tone.map(Sound::Tone)
            }),
        });
        let passed = event.duration.saturating_sub(incoming.duration);
        incoming.duration = incoming.duration.max(event.duration);
        incoming.is_over |= event.is_end;
        let most = u64::from(path.rate * MAX_FRAME_MS / 1000);
        let samples = u64::from(passed) * u64::from(path.rate) / u64::from(incoming.clock.max(1));
        let samples = usize::try_from(samples.min(most)).unwrap_or_default();
        if let Some(sound) = &mut incoming.sound {
            path.append(|pending| sound.generate(samples, pending));
        }
        self.incoming = Some(incoming);
        self.cut(shared, waiting, out, verdict);
    }

    /// The codec that the output has, or would have.
    fn audio_output(&self, shared: &Shared) -> Option<Format> {
        if let Some((_, path)) = &self.path {
            return Some(path.to.clone());
        }
        let mut routes = shared.setup.routes.iter();
        routes.find_map(|route| match &route.treatment {
            Treatment::Convert(to) => Some(to.clone()),
            _ => None,
        })
    }

    /// Whether audio is left out because an event is under way.
    fn is_silenced(&mut self, header: &Header, shared: &Shared) -> bool {
        let Some(incoming) = &mut self.incoming else {
            return false;
        };
        if incoming.is_over || incoming.sound.is_none() || shared.setup.keep_audio_in_events {
            return false;
        }
        let after = header
            .timestamp
            .wrapping_sub(incoming.timestamp)
            .cast_signed();
        let limit = u32::from(incoming.duration) + incoming.clock / 1000 * LOST_END_MS;
        if after > 0 && after.cast_unsigned() > limit {
            incoming.is_over = true;
        }
        !incoming.is_over
    }

    /// Has a conversion for the route; a change of the codec discards what was left of the other.
    fn prepare(
        &mut self,
        route: &Route,
        to: &Format,
        shared: &Shared,
        verdict: &mut Verdict,
    ) -> bool {
        let number = route.from.payload_type;
        let is_ready = self
            .path
            .as_ref()
            .is_some_and(|(known, _)| *known == number);
        if is_ready && self.faults < FAULTS {
            return true;
        }
        self.faults = 0;
        self.set_path(number, Path::new(&route.from, to, shared), verdict)
    }

    /// The same for what is no audio itself, such as events: any conversion to the output will do.
    fn prepare_as_audio(
        &mut self,
        route: &Route,
        to: &Format,
        shared: &Shared,
        verdict: &mut Verdict,
    ) -> bool {
        if self.path.as_ref().is_some_and(|(_, path)| path.to == *to) {
            return true;
        }
        // The route of a codec that becomes this output, whose next packets then find it ready.
        let mut routes = shared.setup.routes.iter();
        let audio = routes.find(|other| other.treatment == Treatment::Convert(to.clone()));
        let (number, from) = match audio {
            Some(audio) => (audio.from.payload_type, &audio.from),
            None => (route.from.payload_type, to),
        };
        self.set_path(number, Path::new(from, to, shared), verdict)
    }

    fn set_path(
        &mut self,
        number: u8,
        path: Result<Path, crate::codec::CodecError>,
        verdict: &mut Verdict,
    ) -> bool {
        match path {
            Ok(path) => self.path = Some((number, path)),
            Err(_) => {
                verdict.codec_errors += 1;
                self.path = None;
            }
        }
        self.path.is_some()
    }

    fn convert(
        &mut self,
        header: &Header,
        payload: &[u8],
        shared: &Shared,
        waiting: &mut VecDeque<Injection>,
        out: &mut Out,
        verdict: &mut Verdict,
    ) {
        let (Some(output), Some((_, path))) = (&mut self.output, &mut self.path) else {
            return;
        };
        let ahead = path.ticks(path.pending.len());
        output.set_clocks(path.from_clock, path.to.clock);
        output.anchor(header.timestamp, ahead);
        let digit = &mut verdict.digit;
        match path.decode(payload, |change| *digit = Some(change)) {
            Ok(()) => {
                self.faults = 0;
                verdict.requested_mode = path.requested_mode();
                let (samples, rate) = path.decoded();
                verdict.decoded.add(path.codecs[0], samples, rate);
            }
            Err(_) => {
                self.faults += 1;
                verdict.codec_errors += 1;
                return;
            }
        }
        self.cut(shared, waiting, out, verdict);
    }

    /// A frame of the noise that a packet describes.
    fn comfort(&mut self, payload: &[u8]) {
        let Some((_, path)) = &mut self.path else {
            return;
        };
        let noise = cn::Description::parse(payload);
        let samples = path.frame / usize::from(path.channels);
        let generator = &mut self.noise;
        path.append(|pending| generator.generate(&noise, samples, pending));
    }

    /// Sends the packets that are full.
    fn cut(
        &mut self,
        shared: &Shared,
        waiting: &mut VecDeque<Injection>,
        out: &mut Out,
        verdict: &mut Verdict,
    ) {
        while self
            .path
            .as_ref()
            .is_some_and(|(_, path)| path.pending.len() >= path.frame)
        {
            self.next_digit(waiting, shared);
            if !self.made_event(shared, out) {
                self.cover(shared);
                self.audio_frame(shared, out, verdict);
            }
            if let Some((_, path)) = &mut self.path {
                path.next_frame();
            }
        }
    }

    /// The digit that the next frame belongs to: one that is played, else one that is heard.
    fn next_digit(&mut self, waiting: &mut VecDeque<Injection>, shared: &Shared) {
        let (Some((_, path)), Some(output)) = (&self.path, &self.output) else {
            return;
        };
        let events_clock = shared.setup.events.as_ref().map(|events| events.clock);
        let clock = events_clock.unwrap_or(path.to.clock);
        if self.made.is_some() {
            return;
        }
        if self.pause > 0 {
            self.pause = self.pause.saturating_sub(path.ticks(path.frame));
            return;
        }
        if let Some(next) = waiting.pop_front() {
            let ticks = |ms: u32| ms.saturating_mul(clock / 1000);
            self.made = Some(Made {
                event: next.event,
                volume: next.volume,
                timestamp: output.timestamp(),
                duration: 0,
                heard: next.event,
                until: Some((ticks(next.duration_ms), ticks(next.pause_ms))),
            });
            self.tone = Tone::of_event(next.event, next.volume, path.rate);
        } else if shared.setup.events.is_some()
            && let Some((heard, volume)) = path.heard()
            && self.covered.is_none_or(|(known, _)| known != heard)
            && let Some((event, volume)) = shared.mask.digit(heard, volume)
        {
            self.made = Some(Made {
                event,
                volume,
                timestamp: output.timestamp(),
                duration: 0,
                heard,
                until: None,
            });
        }
    }

    /// Puts an event or a tone of ours in place of the frame. Whether it did.
    fn made_event(&mut self, shared: &Shared, out: &mut Out) -> bool {
        let (Some(made), Some((_, path)), Some(output)) =
            (&mut self.made, &mut self.path, &mut self.output)
        else {
            return false;
        };
        let frame = path.ticks(path.frame);
        let Some(events) = &shared.setup.events else {
            // The receiver has no events: a tone in the audio.
            if let Some(tone) = &mut self.tone {
                path.replace_frame(tone);
            }
            made.duration += frame;
            if let Some((until, pause)) = made.until
                && made.duration >= until
            {
                self.made = None;
                self.pause = pause;
            }
            return false;
        };
        let heard = path.heard();
        let is_on = match made.until {
            Some((until, _)) => made.duration < until,
            None => heard.is_some_and(|(event, _)| event == made.heard),
        };
        let first = made.duration == 0;
        if is_on {
            made.duration += frame;
        }
        if let Some((until, _)) = made.until {
            made.duration = made.duration.min(until.max(1));
        }
        let is_end = match made.until {
            Some((until, _)) => made.duration >= until,
            None => !is_on,
        };
        let payload = Event {
            event: made.event,
            is_end,
            volume: made.volume,
            duration: u16::try_from(made.duration).unwrap_or(u16::MAX),
        };
        for repeat in 0..if is_end { END_PACKETS } else { 1 } {
            let sent = Header {
                marker: first && repeat == 0,
                ..output.next_at(events.payload_type, made.timestamp)
            };
            out.push(sent, &payload.to_bytes());
        }
        if is_on {
            output.advance(frame);
        }
        if is_end {
            self.pause = made.until.map_or(0, |(_, pause)| pause);
            self.made = None;
        }
        // The end of a digit that was heard takes no time: the frame is audio again.
        is_on
    }

    /// Covers the frame if a digit is heard in it that is not to be.
    fn cover(&mut self, shared: &Shared) {
        let Some((_, path)) = &mut self.path else {
            return;
        };
        let Some((event, volume)) = path.heard() else {
            self.covered = None;
            return;
        };
        let is_played = self.made.is_some_and(|made| made.until.is_some());
        if is_played {
            return;
        }
        let known = self.covered.filter(|(known, _)| *known == event);
        let (_, sound) = self
            .covered
            .insert(known.unwrap_or_else(|| (event, shared.mask.sound(volume, path.rate))));
        if let Some(sound) = sound {
            path.cover_frame(sound);
        }
    }

    fn audio_frame(&mut self, shared: &Shared, out: &mut Out, verdict: &mut Verdict) {
        let (Some((_, path)), Some(output)) = (&mut self.path, &mut self.output) else {
            return;
        };
        let ticks = path.ticks(path.frame);
        if shared.is_muted {
            path.cover_frame(&mut Sound::Silence);
        }
        if let Some(silence) = &shared.setup.silence
            && path.is_quiet(silence.threshold)
        {
            let header = output.next(silence.noise.payload_type, ticks);
            out.push(header, &silence.payload);
            return;
        }
        let header = output.next(path.to.payload_type, ticks);
        if out.try_push(header, |bytes| path.encode(bytes)).is_err() {
            self.faults += 1;
            verdict.codec_errors += 1;
        } else {
            let (samples, rate) = path.framed();
            verdict.encoded.add(path.codecs[1], samples, rate);
        }
    }
}
