//! Digits of our own in a stream that passes (RFC 4733; spec: media-behaviour §11).
//!
//! A digit takes the stream's SSRC and goes on with its sequence numbers and timestamps. What the
//! source sends meanwhile is held back, and what it sends later is numbered on, so that the
//! receiver sees one unbroken stream.

use std::collections::VecDeque;
use std::time::Instant;

use crate::flow::Injection;
use crate::media::dtmf::{DigitPlan, EventPacket, EventSender};
use crate::media::rtp::RtpHeader;

/// Digits that may wait in one stream.
const MAX_QUEUED: usize = 64;

/// Bytes of an RTP packet with one event.
pub(crate) const EVENT_PACKET: usize = 16;

pub(crate) const NO_STREAM: &str = "No SSRC context present for DTMF injection";
const QUEUE_FULL: &str = "too many digits are waiting to be played";

/// The RTP that leaves from one port.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    last: Option<Last>,
    /// Added to the sequence numbers of the source.
    shift: u16,
    playing: Option<Box<Playing>>,
    /// The number that the source's next packet gets, after digits.
    resume_at: Option<u16>,
}

/// The packet that went out last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) at: Instant,
}

#[derive(Debug)]
struct Playing {
    ssrc: u32,
    payload_type: u8,
    sender: EventSender,
    began: Instant,
    next: Option<EventPacket>,
    queue: VecDeque<Injection>,
}

impl Outgoing {
    /// What becomes of a packet of the source: its sequence number, or nothing while a digit is
    /// being played.
    pub(crate) fn pass(&mut self, header: &RtpHeader, now: Instant) -> Option<u16> {
        if self
            .playing
            .as_ref()
            .is_some_and(|playing| playing.ssrc == header.ssrc)
        {
            return None;
        }
        let is_same = self.last.is_some_and(|last| last.ssrc == header.ssrc);
        if !is_same {
            self.shift = 0;
            self.resume_at = None;
        }
        if let Some(number) = self.resume_at.take() {
            self.shift = number.wrapping_sub(header.sequence);
        }
        let sequence = header.sequence.wrapping_add(self.shift);
        self.last = Some(Last {
            ssrc: header.ssrc,
            sequence,
            timestamp: header.timestamp,
            at: now,
        });
        Some(sequence)
    }

    /// A packet of the source is taken out of the stream: what follows is numbered on.
    pub(crate) fn skip(&mut self, header: &RtpHeader) {
        let last = self.last.filter(|last| last.ssrc == header.ssrc);
        let Some(last) = last.filter(|_| self.resume_at.is_none()) else {
            return;
        };
        let number = header.sequence.wrapping_add(self.shift);
        // A copy, or one that was overtaken, leaves no gap.
        if matches!(number.wrapping_sub(last.sequence), 1..0x8000) {
            self.shift = self.shift.wrapping_sub(1);
        }
    }

    /// Starts a digit, or puts it in line. `heard` is what came last from the source.
    pub(crate) fn play(
        &mut self,
        injection: Injection,
        heard: Option<Last>,
        now: Instant,
    ) -> Result<(), &'static str> {
        if let Some(playing) = self.playing.as_mut() {
            if playing.queue.len() >= MAX_QUEUED {
                return Err(QUEUE_FULL);
            }
            playing.queue.push_back(injection);
            return Ok(());
        }
        let last = self.last.or(heard).ok_or(NO_STREAM)?;
        let elapsed = now.saturating_duration_since(last.at).as_micros();
        let elapsed = elapsed * u128::from(injection.clock_rate) / 1_000_000;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "timestamps wrap, so does this"
        )]
        let timestamp = last.timestamp.wrapping_add(elapsed as u32);
        let sequence = last.sequence.wrapping_add(1);
        let mut sender = sender(injection, sequence, timestamp);
        let next = sender.next();
        self.playing = Some(Box::new(Playing {
            ssrc: last.ssrc,
            payload_type: injection.payload_type,
            sender,
            began: now,
            next,
            queue: VecDeque::new(),
        }));
        Ok(())
    }

    /// When the next packet is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let playing = self.playing.as_ref()?;
        let at = playing
            .next
            .as_ref()
            .map_or_else(|| playing.sender.length(), |next| next.at);
        Some(playing.began + at)
    }

    /// The next packet, if it is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<[u8; EVENT_PACKET]> {
        if self.due()? > now {
            return None;
        }
        let playing = self.playing.as_mut()?;
        let Some(event) = playing.next.take() else {
            self.go_on(now);
            return None;
        };
        playing.next = playing.sender.next();
        let mut packet = [0; EVENT_PACKET];
        let marker = if event.marker { 0x80 } else { 0 };
        let [s0, s1] = event.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = event.timestamp.to_be_bytes();
        let [c0, c1, c2, c3] = playing.ssrc.to_be_bytes();
        let [p0, p1, p2, p3] = event.payload;
        packet.copy_from_slice(&[
            0x80,
            marker | playing.payload_type,
            s0,
            s1,
            t0,
            t1,
            t2,
            t3,
            c0,
            c1,
            c2,
            c3,
            p0,
            p1,
            p2,
            p3,
        ]);
        self.last = Some(Last {
            ssrc: playing.ssrc,
            sequence: event.sequence,
            timestamp: event.timestamp,
            at: now,
        });
        Some(packet)
    }

    /// A digit and its pause are over: the next one, or the source again.
    fn go_on(&mut self, now: Instant) {
        let Some(playing) = self.playing.as_mut() else {
            return;
        };
        let (sequence, timestamp) = (
            playing.sender.next_sequence(),
            playing.sender.next_timestamp(),
        );
        match playing.queue.pop_front() {
            Some(injection) => {
                playing.payload_type = injection.payload_type;
                playing.sender = sender(injection, sequence, timestamp);
                playing.began = now;
                playing.next = playing.sender.next();
            }
            None => {
                self.playing = None;
                self.resume_at = Some(sequence);
            }
        }
    }
}

fn sender(injection: Injection, sequence: u16, timestamp: u32) -> EventSender {
    EventSender::new(DigitPlan {
        digit: injection.digit,
        duration_ms: injection.duration_ms,
        pause_ms: injection.pause_ms,
        volume: injection.volume,
        clock_rate: injection.clock_rate,
        sequence,
        timestamp,
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::media::dtmf::{Digit, TelephoneEvent};

    fn header(sequence: u16) -> RtpHeader {
        RtpHeader {
            marker: false,
            payload_type: 8,
            sequence,
            timestamp: u32::from(sequence) * 160,
            ssrc: 7,
            payload_at: 12,
        }
    }

    fn five() -> Injection {
        let local = SocketAddr::from(([127, 0, 0, 1], 4000));
        Injection {
            from: local,
            via: local,
            digit: Digit::from_char('5').unwrap(),
            duration_ms: 100,
            pause_ms: 100,
            volume: 8,
            payload_type: 101,
            clock_rate: 8000,
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    fn packets_that_are_taken_out_leave_no_gap() {
        let start = Instant::now();
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.pass(&header(41), start), Some(41));
        outgoing.skip(&header(42));
        outgoing.skip(&header(42));
        outgoing.skip(&header(43));
        assert_eq!(outgoing.pass(&header(44), start), Some(42));
        outgoing.skip(&header(43));
        assert_eq!(outgoing.pass(&header(45), start), Some(43));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    fn a_digit_is_part_of_the_stream() {
        let start = Instant::now();
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.play(five(), None, start), Err(NO_STREAM));
        assert_eq!(outgoing.pass(&header(41), start), Some(41));
        outgoing.play(five(), None, start).unwrap();
        let mut sequences = Vec::new();
        let mut now = start;
        while let Some(due) = outgoing.due() {
            // The source is held back.
            assert_eq!(outgoing.pass(&header(42), now), None);
            now = due;
            let Some(packet) = outgoing.poll(now) else {
                continue;
            };
            let read = RtpHeader::parse(&packet).unwrap();
            assert_eq!((read.ssrc, read.payload_type), (7, 101));
            assert_eq!(TelephoneEvent::parse(&packet[12..]).unwrap().code, 5);
            sequences.push(read.sequence);
        }
        let count = u16::try_from(sequences.len()).unwrap();
        assert!(count >= 7, "{sequences:?}");
        assert_eq!(sequences, (42..42 + count).collect::<Vec<_>>());
        assert!(now - start >= Duration::from_millis(200));
        // The source goes on where the digit ended, whatever was held back.
        assert_eq!(outgoing.pass(&header(52), now), Some(42 + count));
        assert_eq!(outgoing.pass(&header(53), now), Some(43 + count));
    }
}
