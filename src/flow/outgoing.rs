//! Digits of our own in a stream that passes (RFC 4733; spec: media-behaviour §11.1).
//!
//! The timestamps of the stream are the clock: a digit takes the place of the source's packets one
//! for one, with their sequence numbers, and what comes later is numbered on by the copies of its
//! end. A clock of our own goes only while the source is silent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::flow::Injection;
use crate::limits::QUEUED_DIGITS;
use crate::media::dtmf::{DigitPlan, END_PACKETS, EventPacket, EventSender, TelephoneEvent, units};
use crate::media::rtp::{self, HEADER_LENGTH, RtpHeader};

/// Packet times without a packet after which a source counts as silent.
const SILENCE_PACKETS: u32 = 3;

/// The time of a packet of which nothing is known, in ms, and the longest that is believed.
const PACKET_MS: u32 = 20;
const LONGEST_PACKET_MS: u32 = 200;

/// Packets that come this much later than others are taken for late, and not for a new beginning.
const REORDERED: u16 = 100;

/// Timestamps that are further apart than this, in ms, have nothing to do with each other.
const LEAP_MS: u32 = 1000;

/// Copies of the end behind the first.
const MORE_ENDS: u16 = END_PACKETS - 1;

pub(crate) const NO_STREAM: &str = "No SSRC context present for DTMF injection";
pub(crate) const QUEUE_FULL: &str = "too many digits are waiting to be played";

/// The RTP that leaves from one port.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    stream: Option<Stream>,
    playing: Option<Box<Playing>>,
    copies: Option<Copies>,
}

/// What is known of a source that was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) at: Instant,
}

/// A source, and how its packets leave.
#[derive(Clone, Copy, Debug)]
struct Stream {
    /// Its last packet.
    heard: Last,
    /// Ticks between two of its packets; 0: unknown.
    step: u32,
    /// The type of its last packet; `None`: unknown.
    payload_type: Option<u8>,
    /// The number that left last.
    sequence: u16,
    /// Added to its sequence numbers.
    shift: u16,
    /// Numbers were used up while it was silent: its next packet follows on them.
    must_follow: bool,
    /// The packet in whose place a digit ended: those before it are too late.
    ended_at: Option<u16>,
    /// The next digit begins at this timestamp at the earliest: so many ticks behind the last one.
    not_before: Option<(u32, u32)>,
}

/// Digits that are played, or wait; dropped with the last one.
#[derive(Debug)]
struct Playing {
    ssrc: u32,
    /// Not empty.
    queue: VecDeque<Injection>,
    /// The first of the queue, once it has begun.
    sender: Option<EventSender>,
    /// When a packet of our own clock is due.
    due: Instant,
}

/// An event that goes out in place of a packet, or in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    ssrc: u32,
    sequence: u16,
    payload_type: u8,
    packet: EventPacket,
}

/// Copies of an end in silence, that are still to be sent.
#[derive(Clone, Copy, Debug)]
struct Copies {
    event: Event,
    left: u16,
    due: Instant,
}

/// What becomes of a packet of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It goes with this number, if it goes at all.
    Numbered(u16),
    /// An event goes in its place.
    Event(Event),
    /// It comes too late for its number.
    Late,
}

impl Event {
    /// Turns a copy of the packet that it takes the place of into itself.
    pub(crate) fn apply(&self, payload_at: usize, packet: &mut Vec<u8>) {
        packet.truncate(payload_at);
        rtp::set_unpadded(packet);
        rtp::set_payload_type(packet, self.payload_type);
        rtp::set_marker(packet, self.packet.marker);
        rtp::set_sequence(packet, self.sequence);
        rtp::set_timestamp(packet, self.packet.timestamp);
        packet.extend_from_slice(&self.packet.payload);
    }

    /// A packet of its own.
    fn write(&self) -> Vec<u8> {
        let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 0];
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        self.apply(HEADER_LENGTH, &mut packet);
        packet
    }

    /// Packets that follow it as copies with the next numbers.
    pub(crate) fn copies(&self) -> u16 {
        if self.packet.end { MORE_ENDS } else { 0 }
    }

    fn numbered(self, sequence: u16) -> Self {
        Self { sequence, ..self }
    }
}

impl Outgoing {
    /// What becomes of an RTP packet that arrives for this port, whether or not it is to go out.
    /// `is_event`: it tells of telephone events.
    pub(crate) fn on_packet(
        &mut self,
        header: &RtpHeader,
        is_event: bool,
        payload: &[u8],
        now: Instant,
    ) -> Passage {
        let playing = self.playing.as_deref_mut();
        if playing.as_ref().is_some_and(|p| p.ssrc != header.ssrc) {
            // A digit stays in the stream that it was meant for.
            return Passage::Numbered(header.sequence);
        }
        let played = playing.as_ref().and_then(|playing| playing.queue.front());
        let is_event = is_event || played.is_some_and(|p| p.payload_type == header.payload_type);
        // An event stands where it has lasted to: its timestamp is that of its beginning.
        let event = TelephoneEvent::parse(payload).filter(|_| is_event);
        let lasted = event.map_or(0, |event| u32::from(event.duration));
        let time = header.timestamp.wrapping_add(lasted);
        let known = self
            .stream
            .filter(|stream| stream.heard.ssrc == header.ssrc);
        let mut stream = known.unwrap_or_else(|| Stream::of(Last::of(header, time, now)));
        stream.measure(header, time, is_event);
        let passage = stream.take_in(header, time, now, playing);
        self.stream = Some(stream);
        if let Some(playing) = self.playing.as_deref_mut() {
            match playing.queue.front() {
                Some(next) => playing.due = stream.silent_at(next.clock_rate),
                None => self.playing = None,
            }
        }
        passage
    }

    /// A packet goes out with its number.
    pub(crate) fn went(&mut self, header: &RtpHeader, sequence: u16) {
        if let Some(stream) = self.stream_of(header) {
            stream.went(header.sequence, sequence);
        }
    }

    /// Whether packets leave with the numbers that they came with, and nothing is put between them.
    pub(crate) fn is_as_it_came(&self) -> bool {
        let is_plain = |stream: &Stream| {
            stream.shift == 0
                && !stream.must_follow
                && stream.ended_at.is_none()
                && stream.not_before.is_none()
        };
        self.playing.is_none() && self.copies.is_none() && self.stream.as_ref().is_none_or(is_plain)
    }

    /// Packets pass elsewhere from now on: the last one that is known is not the last one. For
    /// streams that are [as they came](Self::is_as_it_came).
    pub(crate) fn forget(&mut self) {
        self.stream = None;
    }

    /// A packet of the source is taken out of the stream: what follows is numbered on.
    pub(crate) fn skip(&mut self, header: &RtpHeader) {
        let Some(stream) = self.stream_of(header).filter(|s| !s.must_follow) else {
            return;
        };
        let number = header.sequence.wrapping_add(stream.shift);
        // A copy, or one that was overtaken, leaves no gap.
        if matches!(number.wrapping_sub(stream.sequence), 1..0x8000) {
            stream.shift = stream.shift.wrapping_sub(1);
        }
    }

    fn stream_of(&mut self, header: &RtpHeader) -> Option<&mut Stream> {
        let stream = self.stream.as_mut();
        stream.filter(|stream| stream.heard.ssrc == header.ssrc)
    }

    /// Puts a digit in line. `heard` is what came last from the source.
    pub(crate) fn play(
        &mut self,
        injection: Injection,
        heard: Option<Last>,
        now: Instant,
    ) -> Result<(), &'static str> {
        if let Some(playing) = self.playing.as_mut() {
            if playing.queue.len() > QUEUED_DIGITS {
                return Err(QUEUE_FULL);
            }
            playing.queue.push_back(injection);
            return Ok(());
        }
        let stream = self.stream.or_else(|| heard.map(Stream::of));
        let stream = stream.ok_or(NO_STREAM)?;
        self.stream = Some(stream);
        self.playing = Some(Box::new(Playing {
            ssrc: stream.heard.ssrc,
            queue: VecDeque::from([injection]),
            sender: None,
            due: stream.silent_at(injection.clock_rate).max(now),
        }));
        Ok(())
    }

    /// When the source counts as silent, and from then on when a packet of our own clock is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let copies = self.copies.map(|copies| copies.due);
        copies.or_else(|| self.playing.as_ref().map(|playing| playing.due))
    }

    /// The next packet of our own clock, if it is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.due()? > now {
            return None;
        }
        if let Some(copies) = self.copies {
            let left = copies.left - 1;
            self.copies = (left > 0).then_some(Copies { left, ..copies });
            let number = copies.event.sequence.wrapping_add(MORE_ENDS - left);
            let mut copy = copies.event.numbered(number);
            copy.packet.marker = false;
            return Some(copy.write());
        }
        let playing = self.playing.as_deref_mut()?;
        let (Some(injection), Some(stream)) = (playing.queue.front(), self.stream.as_mut()) else {
            self.playing = None;
            return None;
        };
        let clock_rate = injection.clock_rate;
        let step = stream.step(clock_rate);
        let time = stream.time_at(now, clock_rate);
        if playing.sender.is_none()
            && let Some(wait) = stream.wait(time)
        {
            playing.due = now + time_of(wait, clock_rate);
            return None;
        }
        playing.due = now + time_of(step, clock_rate);
        let sequence = stream.sequence.wrapping_add(1);
        let Advance::Told(event, pause) = playing.advance(time, step) else {
            return None;
        };
        let event = event.numbered(sequence);
        stream.must_follow = true;
        stream.sequence = sequence.wrapping_add(event.copies());
        if event.packet.end {
            stream.not_before = Some((time.wrapping_add(step).wrapping_add(pause), pause));
            self.copies = Some(Copies {
                event,
                left: MORE_ENDS,
                due: now,
            });
        }
        if playing.queue.is_empty() {
            self.playing = None;
        }
        Some(event.write())
    }
}

impl Last {
    fn of(header: &RtpHeader, timestamp: u32, at: Instant) -> Self {
        Self {
            ssrc: header.ssrc,
            sequence: header.sequence,
            timestamp,
            at,
        }
    }
}

impl Stream {
    fn of(heard: Last) -> Self {
        Self {
            heard,
            step: 0,
            payload_type: None,
            sequence: heard.sequence,
            shift: 0,
            must_follow: false,
            ended_at: None,
            not_before: None,
        }
    }

    /// Learns the ticks of a packet from two of a kind. An event tells where it ends, audio where it
    /// begins.
    fn measure(&mut self, header: &RtpHeader, time: u32, is_event: bool) {
        let before = self.payload_type.replace(header.payload_type);
        let is_alike = before.map_or(!is_event, |before| before == header.payload_type);
        let is_next = header.sequence.wrapping_sub(self.heard.sequence) == 1;
        let step = time.wrapping_sub(self.heard.timestamp);
        if is_alike && is_next && step > 0 {
            self.step = step;
        }
    }

    fn take_in(
        &mut self,
        header: &RtpHeader,
        time: u32,
        now: Instant,
        playing: Option<&mut Playing>,
    ) -> Passage {
        if self.is_too_late(header.sequence) {
            return Passage::Late;
        }
        let ahead = header.sequence.wrapping_sub(self.heard.sequence);
        match ahead > REORDERED.wrapping_neg() {
            // Others have overtaken it.
            true => self.heard.at = now,
            false => self.heard = Last::of(header, time, now),
        }
        let number = match self.must_follow {
            true => self.sequence.wrapping_add(1),
            false => header.sequence.wrapping_add(self.shift),
        };
        let Some(playing) = playing else {
            return Passage::Numbered(number);
        };
        let Some(injection) = playing.queue.front() else {
            return Passage::Numbered(number);
        };
        let step = self.step(injection.clock_rate);
        if playing.sender.is_none() && self.wait(time).is_some() {
            return Passage::Numbered(number);
        }
        match playing.advance(time, step) {
            Advance::Before => Passage::Numbered(number),
            Advance::Late => Passage::Late,
            Advance::Told(event, pause) => {
                self.went(header.sequence, number);
                if event.packet.end {
                    self.shift = self.shift.wrapping_add(MORE_ENDS);
                    self.sequence = number.wrapping_add(MORE_ENDS);
                    self.ended_at = Some(header.sequence);
                    self.not_before = Some((time.wrapping_add(step).wrapping_add(pause), pause));
                }
                Passage::Event(event.numbered(number))
            }
        }
    }

    /// Whether a packet was overtaken by the end of a digit, whose copies have its number.
    fn is_too_late(&mut self, sequence: u16) -> bool {
        let Some(ended_at) = self.ended_at else {
            return false;
        };
        let ahead = sequence.wrapping_sub(ended_at);
        let is_late = ahead == 0 || ahead > REORDERED.wrapping_neg();
        if !is_late && ahead > REORDERED {
            self.ended_at = None;
        }
        is_late
    }

    /// A packet of the source left with a number.
    fn went(&mut self, source: u16, number: u16) {
        self.shift = number.wrapping_sub(source);
        self.must_follow = false;
        if number.wrapping_sub(self.sequence) < 0x8000 {
            self.sequence = number;
        }
    }

    /// Ticks of a packet.
    fn step(&self, clock_rate: u32) -> u32 {
        let longest = units(LONGEST_PACKET_MS, clock_rate);
        match self.step {
            0 => units(PACKET_MS, clock_rate).max(1),
            step if step > longest => units(PACKET_MS, clock_rate).max(1),
            step => step,
        }
    }

    /// Where the stream would be now.
    fn time_at(&self, now: Instant, clock_rate: u32) -> u32 {
        let elapsed = now.saturating_duration_since(self.heard.at).as_micros();
        let ticks = elapsed * u128::from(clock_rate) / 1_000_000;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "timestamps wrap, so does this"
        )]
        let ticks = ticks as u32;
        self.heard.timestamp.wrapping_add(ticks)
    }

    /// Ticks until the next digit may begin; `None`: it may.
    fn wait(&mut self, time: u32) -> Option<u32> {
        let (not_before, pause) = self.not_before?;
        let left = not_before.wrapping_sub(time);
        if !(1..=pause).contains(&left) {
            self.not_before = None;
            return None;
        }
        Some(left)
    }

    fn silent_at(&self, clock_rate: u32) -> Instant {
        self.heard.at + SILENCE_PACKETS * time_of(self.step(clock_rate), clock_rate)
    }
}

/// What a digit makes of a packet.
enum Advance {
    /// The event for it, with its number open, and the pause behind it in ticks.
    Told(Event, u32),
    /// It is of the time before the digit.
    Before,
    /// Its time was told already.
    Late,
}

impl Playing {
    /// The stream has come to a time, and goes on for a packet.
    fn advance(&mut self, time: u32, step: u32) -> Advance {
        let Some(&injection) = self.queue.front() else {
            return Advance::Before;
        };
        let clock_rate = injection.clock_rate;
        let sender = self.sender.get_or_insert_with(|| {
            EventSender::new(DigitPlan {
                digit: injection.digit,
                duration_ms: injection.duration_ms,
                volume: injection.volume,
                clock_rate,
                timestamp: time,
            })
        });
        let leap = units(LEAP_MS, clock_rate);
        let more = time
            .wrapping_add(step)
            .wrapping_sub(sender.begin())
            .wrapping_sub(sender.elapsed());
        let more = match more.cast_signed() {
            // The source began anew, or was away: the packet counts by itself.
            more if more.unsigned_abs() > leap => step,
            1.. => more,
            _ if time.wrapping_sub(sender.begin()).cast_signed() < 0 => return Advance::Before,
            _ => return Advance::Late,
        };
        let Some(packet) = sender.lasts(sender.elapsed().saturating_add(more)) else {
            return Advance::Late;
        };
        if packet.end {
            self.sender = None;
            self.queue.pop_front();
        }
        let event = Event {
            ssrc: self.ssrc,
            sequence: 0,
            payload_type: injection.payload_type,
            packet,
        };
        Advance::Told(event, units(injection.pause_ms, clock_rate))
    }
}

/// The time that ticks take, at least a microsecond.
fn time_of(ticks: u32, clock_rate: u32) -> Duration {
    let us = u64::from(ticks) * 1_000_000 / u64::from(clock_rate.max(1));
    Duration::from_micros(us.max(1))
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
