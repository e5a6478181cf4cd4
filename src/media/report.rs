//! Contents of RTCP reports (RFC 3550 §6.4, RFC 3611 §4.7), and the quality samples made of them
//! (spec: media-behaviour §9).

use std::time::{Duration, Instant};

use super::quality::Model;

/// RTCP packet types.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const EXTENDED_REPORT: u8 = 207;
/// Transport-layer and payload-specific feedback (RFC 4585 §6.1).
const FEEDBACK: [u8; 2] = [205, 206];
/// Block type of VoIP metrics in an extended report.
const VOIP_METRICS: u8 = 7;

/// Report blocks of one compound that are looked at.
const MAX_BLOCKS: usize = 16;

/// One item of a compound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A source sends, and when by its clock: the middle 32 bits of the NTP timestamp.
    Sends {
        /// The source.
        ssrc: u32,
        /// Its clock.
        ntp_middle: u32,
    },
    /// Reception of a source.
    Received(Block),
    /// The round trip that an endpoint measured, in ms (extended report).
    RoundTrip {
        /// The source that it is about.
        ssrc: u32,
        /// Milliseconds.
        ms: u16,
    },
}

/// One report block (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// SSRC of the reporter.
    pub reporter: u32,
    /// SSRC that the block is about.
    pub ssrc: u32,
    /// Packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost in all; may be negative.
    pub lost: i32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// The middle of the NTP timestamp of the last sender report; 0: none came.
    pub last_sender_report: u32,
    /// Time since that came, in 65,536ths of a second.
    pub delay: u32,
}

/// The items of a compound packet, as far as it can be read.
pub fn read(compound: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    for packet in packets(compound) {
        let (Some(&[flags, kind]), Some(reporter)) = (packet.first_chunk::<2>(), word(packet, 4))
        else {
            break;
        };
        let blocks = usize::from(flags & 0x1f);
        let first_block = match kind {
            SENDER_REPORT => {
                if let (Some(high), Some(low)) = (word(packet, 8), word(packet, 12)) {
                    said.push(Said::Sends {
                        ssrc: reporter,
                        ntp_middle: high << 16 | low >> 16,
                    });
                }
                28
            }
            RECEIVER_REPORT => 8,
            EXTENDED_REPORT => {
                read_extended(packet, &mut said);
                continue;
            }
            _ => continue,
        };
        for block in 0..blocks {
            if let Some(block) = read_block(packet, first_block + 24 * block, reporter) {
                said.push(Said::Received(block));
            }
        }
        if said.len() >= MAX_BLOCKS {
            break;
        }
    }
    said.truncate(MAX_BLOCKS);
    said
}

fn read_block(packet: &[u8], at: usize, reporter: u32) -> Option<Block> {
    let loss = word(packet, at + 4)?;
    Some(Block {
        reporter,
        ssrc: word(packet, at)?,
        fraction_lost: loss.to_be_bytes()[0],
        // 24 bits with a sign.
        lost: (loss << 8).cast_signed() >> 8,
        jitter: word(packet, at + 12)?,
        last_sender_report: word(packet, at + 16)?,
        delay: word(packet, at + 20)?,
    })
}

fn read_extended(packet: &[u8], said: &mut Vec<Said>) {
    let mut at = 8;
    while let Some(header) = word(packet, at) {
        let [kind, ..] = header.to_be_bytes();
        let length = 4 + 4 * usize::try_from(header & 0xffff).unwrap_or(0);
        if kind == VOIP_METRICS
            && let (Some(ssrc), Some(delays)) = (word(packet, at + 4), word(packet, at + 16))
        {
            let [high, low, ..] = delays.to_be_bytes();
            let ms = u16::from_be_bytes([high, low]);
            said.push(Said::RoundTrip { ssrc, ms });
        }
        at += length;
    }
}

/// Leaves out feedback packets, which a party without an AVPF profile does not understand
/// (spec: media-behaviour §8). `false`: there are none, and `out` is left alone.
pub fn without_feedback(compound: &[u8], out: &mut Vec<u8>) -> bool {
    let is_feedback = |packet: &&[u8]| packet.get(1).is_some_and(|kind| FEEDBACK.contains(kind));
    if !packets(compound).any(|packet| is_feedback(&packet)) {
        return false;
    }
    out.clear();
    for packet in packets(compound).filter(|packet| !is_feedback(packet)) {
        out.extend_from_slice(packet);
    }
    true
}

/// The packets of a compound.
fn packets(compound: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = compound;
    std::iter::from_fn(move || {
        let &[flags, _, high, low] = rest.first_chunk::<4>()?;
        let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        if flags >> 6 != 2 {
            return None;
        }
        let (packet, others) = rest.split_at_checked(length)?;
        rest = others;
        Some(packet)
    })
}

fn word(packet: &[u8], at: usize) -> Option<u32> {
    let bytes = packet.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*bytes))
}

/// One quality sample of a stream, from a report of its receiver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Interarrival jitter in ms.
    pub jitter_ms: f64,
    /// Packets lost since the last report, per cent.
    pub loss_percent: f64,
    /// Round trip between us and the reporter; zero if unknown.
    pub round_trip_leg: Duration,
    /// Round trip from end to end; zero if unknown.
    pub round_trip: Duration,
    /// Mean opinion score, 1 to 4.5; `None` where the round trip is needed and unknown.
    pub mos: Option<f64>,
}

/// Kind of MOS that is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// Includes the round trip; no MOS without one.
    #[default]
    Conversational,
    /// Assumes no delay.
    Listening,
}

/// Settings of the score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scoring {
    /// Whether the round trip counts.
    pub basis: Basis,
    /// The formula.
    pub model: Model,
}

/// Sources of one call whose reports are followed.
const MAX_SOURCES: usize = 8;
/// Sender reports of one source that a report may answer to.
const MAX_SENT: usize = 4;

/// The sources of one call, as their reports show them.
#[derive(Debug, Default)]
pub struct Sources(Vec<Source>);

#[derive(Debug)]
struct Source {
    ssrc: u32,
    /// Its sender reports: middle of the NTP timestamp, and when it passed here.
    sent: Vec<(u32, Instant)>,
    /// Round trip between us and it, by its reports.
    leg: Option<Duration>,
    /// The round trip that it measured itself.
    own: Option<Duration>,
}

impl Sources {
    /// A sender report passed.
    pub fn sent(&mut self, ssrc: u32, ntp_middle: u32, now: Instant) {
        if let Some(source) = self.of(ssrc) {
            if source.sent.len() >= MAX_SENT {
                source.sent.remove(0);
            }
            source.sent.push((ntp_middle, now));
        }
    }

    /// Takes out what is known of some sources.
    pub fn take(&mut self, ssrcs: impl Iterator<Item = u32>) -> Self {
        let take = |ssrc| {
            let place = self.0.iter().position(|source| source.ssrc == ssrc)?;
            Some(self.0.swap_remove(place))
        };
        Self(ssrcs.filter_map(take).collect())
    }

    /// Takes over what is known of sources elsewhere, as far as there is room.
    pub fn absorb(&mut self, others: Self) {
        let room = MAX_SOURCES.saturating_sub(self.0.len());
        self.0.extend(others.0.into_iter().take(room));
    }

    /// An endpoint told the round trip that it measured.
    pub fn measured(&mut self, ssrc: u32, ms: u16) {
        if ms > 0
            && let Some(source) = self.of(ssrc)
        {
            source.own = Some(Duration::from_millis(u64::from(ms)));
        }
    }

    /// A report passed; `clock_rate` is that of the source it is about, in Hz.
    pub fn received(
        &mut self,
        block: &Block,
        clock_rate: u32,
        scoring: Scoring,
        now: Instant,
    ) -> Sample {
        let leg = self.leg(block, now);
        if let (Some(leg), Some(reporter)) = (leg, self.of(block.reporter)) {
            reporter.leg = Some(leg);
        }
        let other = self.0.iter().find(|source| source.ssrc == block.ssrc);
        let measured = other.and_then(|source| source.own);
        let both = leg.zip(other.and_then(|source| source.leg));
        let round_trip = measured.or_else(|| both.map(|(leg, other)| leg + other));
        let jitter_ms = match clock_rate {
            0 => 0.0,
            rate => f64::from(block.jitter) * 1000.0 / f64::from(rate),
        };
        let loss_percent = f64::from(block.fraction_lost) * 100.0 / 256.0;
        let trip = round_trip.unwrap_or_default();
        let score = |ms| scoring.model.mos(ms, jitter_ms, loss_percent);
        let mos = match scoring.basis {
            Basis::Listening => Some(score(0.0)),
            Basis::Conversational if trip.is_zero() => None,
            Basis::Conversational => Some(score(trip.as_secs_f64() * 1000.0)),
        };
        Sample {
            jitter_ms,
            loss_percent,
            round_trip_leg: leg.unwrap_or_default(),
            round_trip: trip,
            mos,
        }
    }

    /// Now, less when the sender report passed here, less what the reporter kept it for.
    fn leg(&self, block: &Block, now: Instant) -> Option<Duration> {
        if block.last_sender_report == 0 {
            return None;
        }
        let source = self.0.iter().find(|source| source.ssrc == block.ssrc)?;
        let sent = source.sent.iter().rev();
        let (_, at) = sent
            .into_iter()
            .find(|(ntp, _)| *ntp == block.last_sender_report)?;
        let kept = Duration::from_secs_f64(f64::from(block.delay) / 65_536.0);
        now.saturating_duration_since(*at).checked_sub(kept)
    }

    fn of(&mut self, ssrc: u32) -> Option<&mut Source> {
        let known = self.0.iter().position(|source| source.ssrc == ssrc);
        let index = match known {
            Some(index) => index,
            None if self.0.len() < MAX_SOURCES => {
                self.0.push(Source {
                    ssrc,
                    sent: Vec::new(),
                    leg: None,
                    own: None,
                });
                self.0.len() - 1
            }
            None => return None,
        };
        self.0.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compound(packets: &[&[u32]]) -> Vec<u8> {
        let words = packets.iter().flat_map(|packet| packet.iter());
        words.flat_map(|word| word.to_be_bytes()).collect()
    }

    const SENDER: [u32; 7] = [0x80c8_0006, 7, 0x0000_1234, 0x5678_0000, 0, 10, 1600];
    const RECEIVER: [u32; 8] = [0x81c9_0007, 9, 7, 0x40ff_fffe, 100, 80, 0x1234_5678, 32_768];

    #[test]
    fn reports_are_read() {
        let said = read(&compound(&[&SENDER, &RECEIVER]));
        let block = Block {
            reporter: 9,
            ssrc: 7,
            fraction_lost: 64,
            lost: -2,
            jitter: 80,
            last_sender_report: 0x1234_5678,
            delay: 32_768,
        };
        let sends = Said::Sends {
            ssrc: 7,
            ntp_middle: 0x1234_5678,
        };
        assert_eq!(said, [sends, Said::Received(block)]);
    }

    #[test]
    fn voip_metrics_tell_the_round_trip() {
        let extended = [
            0x80cf_000a,
            9,
            0x0700_0008,
            7,
            0,
            0,
            0x007b_0001,
            0,
            0,
            0,
            0,
        ];
        assert_eq!(
            read(&compound(&[&extended])),
            [Said::RoundTrip { ssrc: 7, ms: 123 }]
        );
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    fn round_trips_of_both_legs_add_up() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut sources = Sources::default();
        sources.sent(7, 70, at(0));
        sources.sent(9, 90, at(10));
        let block = |reporter, ssrc, last_sender_report| Block {
            reporter,
            ssrc,
            fraction_lost: 0,
            lost: 0,
            jitter: 80,
            last_sender_report,
            delay: 65_536 / 2,
        };
        let first = sources.received(&block(9, 7, 70), 8000, Scoring::default(), at(540));
        assert_eq!(first.round_trip_leg, Duration::from_millis(40));
        assert_eq!((first.round_trip, first.mos), (Duration::ZERO, None));
        assert!((first.jitter_ms - 10.0).abs() < 1e-9);
        let second = sources.received(&block(7, 9, 90), 8000, Scoring::default(), at(570));
        assert_eq!(second.round_trip_leg, Duration::from_millis(60));
        assert_eq!(second.round_trip, Duration::from_millis(100));
        assert!(second.mos.is_some_and(|mos| mos > 4.2), "{second:?}");
        let scoring = Scoring {
            basis: Basis::Listening,
            ..Scoring::default()
        };
        let listening = sources.received(&block(9, 7, 0), 8000, scoring, at(600));
        assert!(listening.mos.is_some());
    }

    #[test]
    fn feedback_is_taken_out() {
        let feedback = [0x81ce_0002, 7, 9];
        let mut out = Vec::new();
        assert!(without_feedback(
            &compound(&[&RECEIVER, &feedback]),
            &mut out
        ));
        assert_eq!(out, compound(&[&RECEIVER]));
        assert!(!without_feedback(&compound(&[&RECEIVER]), &mut out));
        assert!(without_feedback(&compound(&[&feedback]), &mut out));
        assert!(out.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_return(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read(&bytes);
            let _ = without_feedback(&bytes, &mut Vec::new());
            let headed = [&[0x9f, 207, 0, 40, 0, 0, 0, 0], bytes.as_slice()].concat();
            let _ = read(&headed);
        }
    }
}
