//! Telephone events (RFC 4733): read, detected, planned for sending, matched against a code.
//!
//! ```text
//!  0                   1                   2                   3
//! |     event     |E|R| volume    |          duration             |
//! ```
//! Only the digits `0`–`9`, `*`, `#`, `A`–`D` count here (spec: media-behaviour §11); other events
//! and tones in the audio are not looked at. An RFC 2198 packet has to be unpacked before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::CODE_DIGITS;

/// Bytes of one event in a payload.
pub const EVENT_LENGTH: usize = 4;

/// A pause of more than this between two digits starts a [`Trigger`] anew (`dtmf-digit-delay`).
pub const DIGIT_GAP: Duration = Duration::from_millis(2500);

/// A key of the telephone: event codes 0–15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digit(u8);

impl Digit {
    /// The digit of an RFC 4733 event code; `None` above 15.
    pub fn from_code(code: u8) -> Option<Self> {
        (usize::from(code) < KEYS.len()).then_some(Self(code))
    }

    /// The digit of a character of `0123456789*#ABCD`, letters in either case.
    pub fn from_char(key: char) -> Option<Self> {
        let key = key.to_ascii_uppercase();
        let code = KEYS.iter().position(|known| *known == key)?;
        u8::try_from(code).ok().map(Self)
    }

    /// The RFC 4733 event code, 0–15.
    pub fn code(self) -> u8 {
        self.0
    }

    /// The character on the key.
    pub fn to_char(self) -> char {
        KEYS.get(usize::from(self.0)).copied().unwrap_or('?')
    }
}

/// Keys in the order of their event codes (RFC 4733 §3.2, table 3).
const KEYS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D',
];

/// One report of a telephone event (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Event code; 0–15 are digits.
    pub code: u8,
    /// The event is over.
    pub end: bool,
    /// Level below 0 dBm0, in dB: 0–63.
    pub volume: u8,
    /// Duration so far, in units of the payload's clock.
    pub duration: u16,
}

impl TelephoneEvent {
    /// The first event of a payload; `None` if it is too short for one.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [code, flags, high, low] = *payload.first_chunk::<EVENT_LENGTH>()?;
        Some(Self {
            code,
            end: flags & END != 0,
            volume: flags & VOLUME,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The payload. A volume above 63 is sent as 63.
    pub fn encode(self) -> [u8; EVENT_LENGTH] {
        let end = if self.end { END } else { 0 };
        let [high, low] = self.duration.to_be_bytes();
        [self.code, end | self.volume.min(VOLUME), high, low]
    }
}

const END: u8 = 0x80;
const VOLUME: u8 = 0x3f;

/// A digit that was pressed and let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressed {
    /// The digit.
    pub digit: Digit,
    /// Duration in ms.
    pub duration_ms: u32,
    /// Level below 0 dBm0, in dB: 0–63.
    pub volume: u8,
}

/// Finds the digits in the telephone events of one synchronisation source.
///
/// Each RTP timestamp is one digit, reported once: with the first packet that has the end bit, or,
/// if all of these were lost, when the next digit begins or on [`Self::flush`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Detector {
    current: Option<Current>,
}

/// The event whose packets arrive.
#[derive(Clone, Copy, Debug)]
struct Current {
    digit: Digit,
    timestamp: u32,
    /// Units of earlier segments of a long event (RFC 4733 §2.5.1.3).
    before: u64,
    duration: u16,
    volume: u8,
    clock_rate: u32,
    reported: bool,
}

/// A packet that is older than the current event by less than this came late, it is no restart.
const LATE_S: u32 = 10;

/// The clock rate of a payload type without one.
const DEFAULT_CLOCK_RATE: u32 = 8000;

impl Detector {
    /// Takes one packet of the telephone-event payload type. `clock_rate` in Hz; 0 is taken as
    /// 8000.
    ///
    /// Returns, in order, the previous digit if its end was lost, and the digit that ends with this
    /// packet.
    pub fn on_packet(
        &mut self,
        payload: &[u8],
        timestamp: u32,
        marker: bool,
        clock_rate: u32,
    ) -> [Option<Pressed>; 2] {
        let Some(event) = TelephoneEvent::parse(payload) else {
            return [None; 2];
        };
        let Some(digit) = Digit::from_code(event.code) else {
            return [None; 2];
        };
        let clock_rate = match clock_rate {
            0 => DEFAULT_CLOCK_RATE,
            rate => rate,
        };
        let mut before = None;
        let mut current = match self.current {
            Some(current) if current.timestamp == timestamp => current,
            Some(current) if !marker && current.is_late(timestamp) => return [None; 2],
            Some(current) if !marker && current.is_continued_by(digit, timestamp) => Current {
                timestamp,
                before: current.before + u64::from(current.duration),
                duration: 0,
                ..current
            },
            previous => {
                before = previous.and_then(|mut previous| previous.report());
                Current {
                    digit,
                    timestamp,
                    before: 0,
                    duration: 0,
                    volume: event.volume,
                    clock_rate,
                    reported: false,
                }
            }
        };
        // Packets may overtake one another; the duration only grows.
        current.duration = current.duration.max(event.duration);
        let ended = event.end.then(|| current.report()).flatten();
        self.current = Some(current);
        [before, ended]
    }

    /// The digit whose end has not been seen, when no more packets are expected.
    pub fn flush(&mut self) -> Option<Pressed> {
        self.current.as_mut().and_then(Current::report)
    }
}

impl Current {
    fn is_late(&self, timestamp: u32) -> bool {
        let behind = self.timestamp.wrapping_sub(timestamp);
        behind < self.clock_rate.saturating_mul(LATE_S).min(1 << 31)
    }

    fn is_continued_by(&self, digit: Digit, timestamp: u32) -> bool {
        !self.reported
            && self.digit == digit
            && self.duration == u16::MAX
            && timestamp == self.timestamp.wrapping_add(u32::from(u16::MAX))
    }

    /// The digit, the first time.
    fn report(&mut self) -> Option<Pressed> {
        if self.reported {
            return None;
        }
        self.reported = true;
        let units = self.before + u64::from(self.duration);
        let duration_ms = units.saturating_mul(1000) / u64::from(self.clock_rate);
        Some(Pressed {
            digit: self.digit,
            duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
            volume: self.volume,
        })
    }
}

/// A digit to be sent, and where in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigitPlan {
    /// The digit.
    pub digit: Digit,
    /// How long it sounds at least, in ms. At least one packet is sent.
    pub duration_ms: u32,
    /// Level below 0 dBm0, in dB: 0–63.
    pub volume: u8,
    /// Clock of the payload type, in Hz; 0 is taken as 8000.
    pub clock_rate: u32,
    /// RTP timestamp at which the digit begins.
    pub timestamp: u32,
}

/// One packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// RTP payload.
    pub payload: [u8; EVENT_LENGTH],
    /// RTP marker bit: set on the first packet only.
    pub marker: bool,
    /// RTP timestamp: the beginning of the digit, or of its segment if it is a very long one.
    pub timestamp: u32,
    /// The digit is over: the packet is sent [`END_PACKETS`] times.
    pub end: bool,
}

/// The packets of one digit (RFC 4733 §2.5.1).
///
/// Nothing is timed here: the stream that the digit is part of says how long it has lasted (spec:
/// media-behaviour §11.1).
#[derive(Clone, Copy, Debug)]
pub struct EventSender {
    plan: DigitPlan,
    /// Units of the whole digit.
    total: u32,
    /// Units where the current segment begins.
    segment: u32,
    /// Units told so far.
    elapsed: u32,
    is_over: bool,
}

/// Copies of the last packet (RFC 4733 §2.5.1.4).
pub const END_PACKETS: u16 = 3;

/// Digits and pauses beyond a minute are cut to one.
const LONGEST_MS: u32 = 60_000;

impl EventSender {
    /// The packets of a plan.
    pub fn new(mut plan: DigitPlan) -> Self {
        if plan.clock_rate == 0 {
            plan.clock_rate = DEFAULT_CLOCK_RATE;
        }
        Self {
            plan,
            total: units(plan.duration_ms, plan.clock_rate).max(1),
            segment: 0,
            elapsed: 0,
            is_over: false,
        }
    }

    /// RTP timestamp at which the digit began.
    pub fn begin(&self) -> u32 {
        self.plan.timestamp
    }

    /// Units that it was told to have lasted.
    pub fn elapsed(&self) -> u32 {
        self.elapsed
    }

    /// The packet that tells how long the digit has lasted, in units of its clock. `None`: that was
    /// told before, or it is over.
    pub fn lasts(&mut self, elapsed: u32) -> Option<EventPacket> {
        if self.is_over || elapsed <= self.elapsed {
            return None;
        }
        let is_first = self.elapsed == 0;
        self.elapsed = elapsed;
        self.is_over = elapsed >= self.total;
        let segment = self.segment;
        let within = elapsed.saturating_sub(segment);
        let duration = u16::try_from(within).unwrap_or(u16::MAX);
        if within > u32::from(u16::MAX) && !self.is_over {
            // The field is full: this segment is closed without an end, the next one follows it
            // (RFC 4733 §2.5.1.3).
            self.segment += within / u32::from(u16::MAX) * u32::from(u16::MAX);
        }
        let event = TelephoneEvent {
            code: self.plan.digit.code(),
            end: self.is_over,
            volume: self.plan.volume,
            duration,
        };
        Some(EventPacket {
            payload: event.encode(),
            marker: is_first,
            timestamp: self.plan.timestamp.wrapping_add(segment),
            end: self.is_over,
        })
    }
}

/// Units of a clock in a time of at most a minute.
pub fn units(milliseconds: u32, clock_rate: u32) -> u32 {
    let units = u64::from(milliseconds.min(LONGEST_MS)) * u64::from(clock_rate) / 1000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// Waits for a code, such as `*97#`, among the digits of one party.
#[derive(Clone, Debug)]
pub struct Trigger {
    code: Vec<Digit>,
    gap: Duration,
    /// The last digits, at most as many as the code has.
    heard: VecDeque<Digit>,
    last: Option<Instant>,
}

impl Trigger {
    /// A trigger for a code of digits; a pause of more than `gap` starts it anew (usually
    /// [`DIGIT_GAP`]). `None` if the code is empty, longer than [`CODE_DIGITS`], or has a character
    /// that is no digit.
    pub fn new(code: &str, gap: Duration) -> Option<Self> {
        if code.is_empty() || code.len() > CODE_DIGITS {
            return None;
        }
        let code: Vec<_> = code.chars().map(Digit::from_char).collect::<Option<_>>()?;
        Some(Self {
            heard: VecDeque::with_capacity(code.len()),
            code,
            gap,
            last: None,
        })
    }

    /// Whether this digit completes the code. It can then be typed again.
    pub fn on_digit(&mut self, digit: Digit, now: Instant) -> bool {
        let last = self.last.replace(now);
        if last.is_some_and(|last| now.saturating_duration_since(last) > self.gap) {
            self.heard.clear();
        }
        if self.heard.len() == self.code.len() {
            self.heard.pop_front();
        }
        self.heard.push_back(digit);
        let complete = self.heard.iter().eq(&self.code);
        if complete {
            self.heard.clear();
        }
        complete
    }
}

#[cfg(test)]
#[path = "dtmf_tests.rs"]
mod tests;
