//! A jitter buffer: packets of one media leave at the pace of their timestamps.
//!
//! A packet is due when the first one arrived, plus the time between their timestamps: so without
//! jitter nothing is delayed. What comes early waits, what comes late but in order leaves at once,
//! and what comes after a later one has left is dropped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::{MAX_JITTER_PACKETS, MAX_PAYLOAD, SEQUENCE_RESET};
use crate::packet::Header;

/// How a buffer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JitterSettings {
    /// Packets that wait at most.
    pub packets: usize,
    /// RTP clock in Hz.
    pub clock: u32,
    /// Follow the sender's clock if it is off.
    pub follow_drift: bool,
    /// Delay everything by what the jitter asks for, within these bounds.
    pub adaptive: Option<(Duration, Duration)>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It came after a later one had left, or twice.
    Late,
    /// It waits for its time, which may be now.
    Queued,
}

/// Packets that wait.
#[derive(Debug)]
pub struct JitterBuffer {
    settings: JitterSettings,
    queue: VecDeque<Waiting>,
    /// Payloads' memory, to be used again.
    free: Vec<Vec<u8>>,
    /// When a timestamp is due.
    anchor: Option<(Instant, u32)>,
    ssrc: u32,
    /// The number of the packet that left last.
    left: Option<u16>,
    drift: Mean,
    jitter: Mean,
    /// What everything is delayed by.
    delay: Duration,
    current: Vec<u8>,
}

#[derive(Debug)]
struct Waiting {
    header: Header,
    due: Instant,
    payload: Vec<u8>,
}

/// Mean and variance of deviations, in µs.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    count: u32,
    sum: i64,
    squares: i128,
}

/// Packets after which a drift is corrected (100 are two seconds), and the delay is computed anew.
const DRIFT_PACKETS: u32 = 100;
const ADAPT_PACKETS: u32 = 10;

impl Mean {
    fn add(&mut self, value: i64) {
        self.count += 1;
        self.sum += value;
        self.squares += i128::from(value) * i128::from(value);
    }

    fn mean(self) -> i64 {
        self.sum / i64::from(self.count.max(1))
    }

    /// Standard deviation.
    fn deviation(self) -> i64 {
        let mean = i128::from(self.mean());
        let variance = self.squares / i128::from(self.count.max(1)) - mean * mean;
        i64::try_from(variance.max(0).isqrt()).unwrap_or(i64::MAX)
    }
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new(settings: JitterSettings) -> Self {
        let delay = settings.adaptive.map_or(Duration::ZERO, |(least, _)| least);
        Self {
            settings: JitterSettings {
                packets: settings.packets.clamp(1, MAX_JITTER_PACKETS),
                clock: settings.clock.max(1),
                ..settings
            },
            queue: VecDeque::new(),
            free: Vec::new(),
            anchor: None,
            ssrc: 0,
            left: None,
            drift: Mean::default(),
            jitter: Mean::default(),
            delay,
            current: Vec::new(),
        }
    }

    /// Takes a packet in. `is_event` tells that it is one of telephone-event: these, a marker, a new
    /// source and a jump of the numbers let everything go that waits.
    pub fn push(&mut self, now: Instant, header: Header, payload: &[u8], is_event: bool) -> Pushed {
        let newest = self
            .queue
            .back()
            .map(|last| last.header.sequence)
            .or(self.left);
        let jump = newest.is_some_and(|newest| {
            let ahead = header.sequence.wrapping_sub(newest).cast_signed();
            !(-SEQUENCE_RESET..SEQUENCE_RESET).contains(&ahead)
        });
        let is_begin = self.anchor.is_none() || self.ssrc != header.ssrc || jump;
        if is_begin || header.marker || is_event {
            for waiting in &mut self.queue {
                waiting.due = now;
            }
            self.anchor = Some((now + self.delay, header.timestamp));
            self.drift = Mean::default();
        }
        if is_begin {
            self.ssrc = header.ssrc;
            self.left = None;
        }
        let earlier = |left: u16| header.sequence.wrapping_sub(left).cast_signed() <= 0;
        if self.left.is_some_and(earlier) {
            return Pushed::Late;
        }
        let due = self.due(now, header.timestamp);
        self.measure(now, due);
        let place = if is_begin {
            self.queue.len()
        } else {
            let before = |known: &Waiting| {
                known.header.ssrc != header.ssrc
                    || known
                        .header
                        .sequence
                        .wrapping_sub(header.sequence)
                        .cast_signed()
                        < 0
            };
            self.queue.partition_point(before)
        };
        let same = self
            .queue
            .get(place)
            .map(|known| (known.header.ssrc, known.header.sequence));
        if same == Some((header.ssrc, header.sequence)) {
            return Pushed::Late;
        }
        let mut memory = self.free.pop().unwrap_or_default();
        memory.clear();
        memory.extend_from_slice(payload.get(..MAX_PAYLOAD).unwrap_or(payload));
        let waiting = Waiting {
            header,
            due,
            payload: memory,
        };
        self.queue.insert(place, waiting);
        let surplus = self.queue.len().saturating_sub(self.settings.packets);
        for oldest in self.queue.iter_mut().take(surplus) {
            oldest.due = now;
        }
        Pushed::Queued
    }

    /// When the next packet is due.
    pub fn next_at(&self) -> Option<Instant> {
        self.queue.front().map(|waiting| waiting.due)
    }

    /// A packet that is due. To be called until there is none.
    pub fn poll(&mut self, now: Instant) -> Option<(Header, &[u8])> {
        if self.queue.front()?.due > now {
            return None;
        }
        let waiting = self.queue.pop_front()?;
        if waiting.header.ssrc == self.ssrc {
            self.left = Some(waiting.header.sequence);
        }
        let old = std::mem::replace(&mut self.current, waiting.payload);
        if self.free.len() < self.settings.packets {
            self.free.push(old);
        }
        Some((waiting.header, &self.current))
    }

    /// What everything is delayed by at present.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    fn due(&self, now: Instant, timestamp: u32) -> Instant {
        let Some((begin, first)) = self.anchor else {
            return now;
        };
        let ticks = i64::from(timestamp.wrapping_sub(first).cast_signed());
        let micros = ticks * 1_000_000 / i64::from(self.settings.clock);
        let distance = Duration::from_micros(micros.unsigned_abs());
        if micros >= 0 {
            begin + distance
        } else {
            begin.checked_sub(distance).unwrap_or(now)
        }
    }

    /// Takes into account how far a packet is from its time.
    fn measure(&mut self, now: Instant, due: Instant) {
        let late = micros(now.saturating_duration_since(due));
        let early = micros(due.saturating_duration_since(now));
        let off = late - early;
        self.drift.add(off);
        if self.settings.follow_drift && self.drift.count == DRIFT_PACKETS {
            let mean = std::mem::take(&mut self.drift).mean();
            if mean.abs() > FRAME_MICROS {
                let distance = Duration::from_micros(mean.unsigned_abs());
                self.anchor = self.anchor.map(|(begin, first)| {
                    let moved = if mean > 0 {
                        Some(begin + distance)
                    } else {
                        begin.checked_sub(distance)
                    };
                    (moved.unwrap_or(begin), first)
                });
            }
        }
        if let Some((least, most)) = self.settings.adaptive {
            self.jitter.add((off + micros(self.delay)).abs());
            if self.jitter.count == ADAPT_PACKETS {
                let jitter = std::mem::take(&mut self.jitter);
                let wanted = jitter.mean().saturating_add(4 * jitter.deviation());
                let wanted = Duration::from_micros(wanted.unsigned_abs());
                let delay = wanted.clamp(least, most.max(least));
                self.anchor = self.anchor.map(|(begin, first)| {
                    let undelayed = begin.checked_sub(self.delay).unwrap_or(begin);
                    (undelayed + delay, first)
                });
                self.delay = delay;
            }
        }
    }
}

/// A drift of less than a frame, 20 ms, is left alone.
const FRAME_MICROS: i64 = 20_000;

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "jitter_tests.rs"]
mod tests;
