//! Counters of messages and delays (spec §15), each with a bounded number of labels.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often something took how long.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// Upper ends of the ranges in microseconds: from the cost of one message to the longest ringing.
pub(crate) const BOUNDS_US: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000,
    5_000_000, 20_000_000, 60_000_000,
];

/// What a [`Histogram`] counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delays {
    /// One for each of [`BOUNDS_US`], and one for what took longer.
    pub(crate) counts: Vec<u64>,
    pub(crate) sum_us: u64,
}

impl Histogram {
    pub(crate) fn count(&self, delay: Duration) {
        let us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS_US.iter().position(|bound| us <= *bound);
        if let Some(count) = self.counts.get(at.unwrap_or(BOUNDS_US.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Adds what was counted so far.
    pub(crate) fn add_to(&self, all: &mut Delays) {
        all.counts.resize(self.counts.len(), 0);
        for (sum, count) in all.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
        all.sum_us += self.sum_us.load(Ordering::Relaxed);
    }
}

/// Messages of one shard, by the zone of their listener.
#[derive(Debug, Default)]
pub(crate) struct Messages(Vec<ZoneMessages>);

#[derive(Debug)]
struct ZoneMessages {
    /// In and out.
    requests: [[AtomicU64; METHODS.len() + 1]; 2],
    responses: [[AtomicU64; CODES]; 2],
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In = 0,
    Out = 1,
}

/// Methods with a count of their own; others count together.
const METHODS: [&str; 14] = [
    "ACK",
    "BYE",
    "CANCEL",
    "INFO",
    "INVITE",
    "MESSAGE",
    "NOTIFY",
    "OPTIONS",
    "PRACK",
    "PUBLISH",
    "REFER",
    "REGISTER",
    "SUBSCRIBE",
    "UPDATE",
];

/// Status codes from 100 on (RFC 3261 §7.2).
const CODES: usize = 600;

/// One count of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) zone: usize,
    pub(crate) direction: Direction,
    /// A method or `other`, or a status code.
    pub(crate) what: String,
    pub(crate) is_request: bool,
    pub(crate) count: u64,
}

impl Messages {
    pub(crate) fn new(zones: usize) -> Self {
        let zone = |_| ZoneMessages {
            requests: Default::default(),
            responses: [const { [const { AtomicU64::new(0) }; CODES] }; 2],
        };
        Self((0..zones).map(zone).collect())
    }

    /// Counts a message by its first bytes. What is no SIP is not counted here.
    pub(crate) fn count(&self, zone: usize, direction: Direction, bytes: &[u8]) {
        let Some(zone) = self.0.get(zone) else {
            return;
        };
        let at = direction as usize;
        let counter = match bytes.strip_prefix(b"SIP/2.0 ") {
            Some(rest) => code(rest).and_then(|code| zone.responses.get(at)?.get(code)),
            None => {
                let end = bytes.iter().take(32).position(|byte| *byte == b' ');
                let method = end.and_then(|end| bytes.get(..end));
                let is_it = |method: &[u8], name: &&str| name.as_bytes() == method;
                method.and_then(|method| {
                    let known = METHODS.iter().position(|name| is_it(method, name));
                    zone.requests.get(at)?.get(known.unwrap_or(METHODS.len()))
                })
            }
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All counts that are not zero.
    pub(crate) fn counts(&self) -> Vec<Counted> {
        let mut all = Vec::new();
        for (zone, counters) in self.0.iter().enumerate() {
            for direction in [Direction::In, Direction::Out] {
                let at = direction as usize;
                let mut add = |is_request, what: String, counter: &AtomicU64| {
                    let count = counter.load(Ordering::Relaxed);
                    if count > 0 {
                        all.push(Counted {
                            zone,
                            direction,
                            what,
                            is_request,
                            count,
                        });
                    }
                };
                let names = METHODS.iter().copied().chain(["other"]);
                let requests = counters.requests.get(at).into_iter().flatten();
                for (name, counter) in names.zip(requests) {
                    add(true, name.to_owned(), counter);
                }
                let responses = counters.responses.get(at).into_iter().flatten();
                for (code, counter) in (100..).zip(responses) {
                    let code: u16 = code;
                    add(false, code.to_string(), counter);
                }
            }
        }
        all
    }
}

/// The place of a status code.
fn code(text: &[u8]) -> Option<usize> {
    let digits = text.get(..3)?;
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    let code = digits
        .iter()
        .try_fold(0, |n, byte| Some(n * 10 + digit(byte)?))?;
    code.checked_sub(100).filter(|at| *at < CODES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_count_by_zone_direction_and_first_line() {
        let messages = Messages::new(2);
        for (zone, direction, text) in [
            (0, Direction::In, &b"INVITE sip:a SIP/2.0\r\n"[..]),
            (0, Direction::In, b"INVITE sip:b SIP/2.0\r\n"),
            (0, Direction::In, b"FROBNICATE sip:b SIP/2.0\r\n"),
            (1, Direction::Out, b"SIP/2.0 487 Request Terminated\r\n"),
            (1, Direction::Out, b"SIP/2.0 099 x\r\n"),
            (1, Direction::Out, b"SIP/2.0 7xx\r\n"),
            (1, Direction::Out, b"SIP/2.0 7"),
            (2, Direction::In, b"INVITE sip:a SIP/2.0\r\n"),
            (0, Direction::In, b"\r\n\r\n"),
        ] {
            messages.count(zone, direction, text);
        }
        let told: Vec<_> = messages
            .counts()
            .into_iter()
            .map(|c| (c.zone, c.direction, c.what, c.is_request, c.count))
            .collect();
        let expected = [
            (0, Direction::In, "INVITE".to_owned(), true, 2),
            (0, Direction::In, "other".to_owned(), true, 1),
            (1, Direction::Out, "487".to_owned(), false, 1),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn delays_count_in_the_range_that_they_end_in() {
        let histogram = Histogram::default();
        for ms in [0, 1, 3, 120_000] {
            histogram.count(Duration::from_millis(ms));
        }
        let mut all = Delays::default();
        histogram.add_to(&mut all);
        histogram.add_to(&mut all);
        assert_eq!(all.sum_us, 2 * 120_004_000);
        assert_eq!(all.counts[0], 2);
        assert_eq!(all.counts[3], 2, "1 ms");
        assert_eq!(all.counts[5], 2, "3 ms");
        assert_eq!(all.counts[15], 2, "longer than all ranges");
    }
}
