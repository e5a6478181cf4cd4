//! Gaps are filled: packets are delayed a little, and when one is not there in its time, something
//! is made in its place (`dtx-delay`). So the output has no gaps, whether a sender is silent on
//! purpose (discontinuous transmission) or packets are lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::{MAX_DTX_DELAY, MAX_DTX_PACKETS, MAX_PAYLOAD};
use crate::packet::Header;

/// How gaps are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DtxSettings {
    /// What every packet is delayed by (`dtx-delay`).
    pub delay: Duration,
    /// Filling ends so long after the last packet (`max-dtx`); `None`: never.
    pub longest: Option<Duration>,
    /// More packets than this that wait are too many (`dtx-buffer`) ...
    pub buffer: usize,
    /// ... if they also are longer than this (`dtx-lag`).
    pub lag: Duration,
    /// What the timer is shortened or lengthened by (`dtx-shift`); zero: packets are dropped instead.
    pub shift: Duration,
    /// RTP clock in Hz.
    pub clock: u32,
    /// Packet time until two packets have shown it.
    pub ptime: Duration,
}

/// What the timer brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Tick<'a> {
    /// So many ticks of audio are missing.
    Fill(u32),
    /// A packet in its time.
    Packet(Header, &'a [u8]),
}

/// The shortest packet that is believed: 5 ms. A sender must not set the timer's pace to each tick.
const STEPS_PER_SECOND: u32 = 200;

/// The packets that wait, and the timer.
#[derive(Debug)]
pub struct Dtx {
    settings: DtxSettings,
    queue: VecDeque<(Header, Vec<u8>)>,
    free: Vec<Vec<u8>>,
    current: Vec<u8>,
    next: Option<Instant>,
    /// The timestamp that is due.
    expected: u32,
    /// Ticks of a packet.
    step: u32,
    last_arrival: Option<Instant>,
    ssrc: Option<u32>,
}

impl Dtx {
    /// Nothing waits yet.
    pub fn new(settings: DtxSettings) -> Self {
        let clock = settings.clock.max(1);
        Self {
            settings: DtxSettings {
                delay: settings.delay.min(MAX_DTX_DELAY),
                clock,
                ..settings
            },
            queue: VecDeque::new(),
            free: Vec::new(),
            current: Vec::new(),
            next: None,
            expected: 0,
            step: ticks(settings.ptime, clock)
                .max(clock / STEPS_PER_SECOND)
                .max(1),
            last_arrival: None,
            ssrc: None,
        }
    }

    /// Takes a packet in. Whether it waits; otherwise it came too late, or there is no room.
    pub fn push(&mut self, now: Instant, header: Header, payload: &[u8]) -> bool {
        if self.ssrc != Some(header.ssrc) {
            self.queue.clear();
            self.next = None;
            self.ssrc = Some(header.ssrc);
        }
        self.last_arrival = Some(now);
        let longest = self.settings.longest.unwrap_or(Duration::from_secs(30));
        let limit = i64::from(ticks(longest, self.settings.clock));
        let ahead = i64::from(header.timestamp.wrapping_sub(self.expected).cast_signed());
        if self.next.is_none() || ahead.abs() > limit {
            // A begin, or a jump that nothing is filled for.
            self.queue.clear();
            self.expected = header.timestamp;
            self.next = Some(now + self.settings.delay);
        } else if ahead < 0 {
            return false;
        }
        if self.queue.len() >= MAX_DTX_PACKETS {
            return false;
        }
        let before = |(known, _): &(Header, Vec<u8>)| {
            known.timestamp.wrapping_sub(header.timestamp).cast_signed() < 0
        };
        let place = self.queue.partition_point(before);
        if self
            .queue
            .get(place)
            .is_some_and(|(known, _)| known.timestamp == header.timestamp)
        {
            return false;
        }
        let mut memory = self.free.pop().unwrap_or_default();
        memory.clear();
        memory.extend_from_slice(payload.get(..MAX_PAYLOAD).unwrap_or(payload));
        self.queue.insert(place, (header, memory));
        self.measure();
        true
    }

    /// When the timer is due; `None` while the sender is silent for good.
    pub fn next_at(&self) -> Option<Instant> {
        self.next
    }

    /// What the time brings. To be called until there is nothing.
    pub fn poll(&mut self, now: Instant) -> Option<Tick<'_>> {
        let due = self.next.filter(|due| *due <= now)?;
        let is_over = self.queue.is_empty()
            && self.settings.longest.is_some_and(|longest| {
                let last = self.last_arrival.unwrap_or(due);
                due.saturating_duration_since(last) >= longest + self.settings.delay
            });
        if is_over {
            self.next = None;
            return None;
        }
        let step = self.duration(self.step);
        // Whoever was not asked for a second goes on from now, not through all that was missed.
        let from = if now.saturating_duration_since(due) > MAX_DTX_DELAY {
            now
        } else {
            due
        };
        self.next = Some(from + self.shifted(step));
        self.shed();
        let expected = self.expected;
        self.expected = expected.wrapping_add(self.step);
        let is_there = self.queue.front().is_some_and(|(front, _)| {
            // Half a packet off is the packet, too: senders do not count exactly after silence.
            let ahead = front.timestamp.wrapping_sub(expected).cast_signed();
            i64::from(ahead) * 2 <= i64::from(self.step)
        });
        if !is_there {
            return Some(Tick::Fill(self.step));
        }
        let (header, payload) = self.queue.pop_front()?;
        self.expected = header.timestamp.wrapping_add(self.step);
        let old = std::mem::replace(&mut self.current, payload);
        if self.free.len() < MAX_DTX_PACKETS {
            self.free.push(old);
        }
        Some(Tick::Packet(header, &self.current))
    }

    /// The length of a packet, from two that follow each other.
    fn measure(&mut self) {
        for (one, two) in self.queue.iter().zip(self.queue.iter().skip(1)) {
            let (one, two) = (&one.0, &two.0);
            let between = two.timestamp.wrapping_sub(one.timestamp);
            // A jump of ten packets and more is no length.
            let shortest = (self.settings.clock / STEPS_PER_SECOND).max(1);
            let is_plausible = (shortest..self.step.saturating_mul(10)).contains(&between);
            if two.sequence == one.sequence.wrapping_add(1) && is_plausible {
                self.step = between;
            }
        }
    }

    fn is_lagging(&self) -> bool {
        let (Some((first, _)), Some((last, _))) = (self.queue.front(), self.queue.back()) else {
            return false;
        };
        let waiting = self.duration(last.timestamp.wrapping_sub(first.timestamp));
        self.queue.len() > self.settings.buffer && waiting > self.settings.lag
    }

    /// The timer goes faster while too much waits, and slower while nothing does.
    fn shifted(&self, step: Duration) -> Duration {
        if self.is_lagging() {
            step.saturating_sub(self.settings.shift)
        } else if self.queue.is_empty() {
            step + self.settings.shift
        } else {
            step
        }
    }

    /// Without a shift, what is too much is dropped.
    fn shed(&mut self) {
        while self.settings.shift.is_zero() && self.is_lagging() {
            self.queue.pop_front();
            if let Some((front, _)) = self.queue.front() {
                self.expected = front.timestamp;
            }
        }
    }

    fn duration(&self, ticks: u32) -> Duration {
        Duration::from_micros(u64::from(ticks) * 1_000_000 / u64::from(self.settings.clock))
    }
}

fn ticks(duration: Duration, clock: u32) -> u32 {
    let ticks = duration.as_micros() * u128::from(clock) / 1_000_000;
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "dtx_tests.rs"]
mod tests;
