//! Contents of RTCP reports (RFC 3550 §6.4, RFC 3611 §4.7), and the quality samples made of them
//! (spec: media-behaviour §9).

pub mod converted;

use std::time::{Duration, Instant};

use super::quality::Model;
use super::rtcp::is_rtcp;
use crate::limits::{REPORT_ITEMS, REPORTED_SOURCES, SENDER_REPORTS};

/// RTCP packet types.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const EXTENDED_REPORT: u8 = 207;
/// Transport-layer and payload-specific feedback (RFC 4585 §6.1).
const FEEDBACK: [u8; 2] = [205, 206];
/// Block type of VoIP metrics in an extended report.
const VOIP_METRICS: u8 = 7;

/// Bytes of a report before its blocks, and of a block (RFC 3550 §6.4.1, §6.4.2).
const SENDER_HEAD: usize = 28;
const RECEIVER_HEAD: usize = 8;
const BLOCK: usize = 24;

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

/// What a compound says, as far as it can be read.
///
/// Some senders write a length into a report that is too short for its blocks. They are read as far
/// as the datagram goes if the length covers what comes before them and as many bytes as they have;
/// the next packet is where the length says (spec: media-behaviour §8).
pub fn read(compound: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    let mut rest = compound;
    while let Some((packet, others)) = split(rest) {
        let (Some(&[flags, kind]), Some(reporter)) = (packet.first_chunk::<2>(), word(packet, 4))
        else {
            break;
        };
        let blocks = usize::from(flags & 0x1f);
        let head = match kind {
            SENDER_REPORT => {
                if let (Some(high), Some(low)) = (word(packet, 8), word(packet, 12)) {
                    said.push(Said::Sends {
                        ssrc: reporter,
                        ntp_middle: high << 16 | low >> 16,
                    });
                }
                Some(SENDER_HEAD)
            }
            RECEIVER_REPORT => Some(RECEIVER_HEAD),
            EXTENDED_REPORT => {
                read_extended(packet, &mut said);
                None
            }
            kind if is_rtcp(kind) => None,
            _ => break,
        };
        if let Some(head) = head {
            let is_covered = packet.len() >= head.max(blocks * BLOCK);
            let within = if is_covered { rest } else { packet };
            let blocks = (0..blocks).map(|block| head + BLOCK * block);
            let blocks = blocks.map_while(|at| read_block(within, at, reporter));
            said.extend(blocks.map(Said::Received));
        }
        if said.len() >= REPORT_ITEMS {
            break;
        }
        rest = others;
    }
    said.truncate(REPORT_ITEMS);
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
        let (packet, others) = split(rest)?;
        rest = others;
        Some(packet)
    })
}

/// The first packet of a compound, by its length field, and what follows.
fn split(compound: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[flags, _, high, low] = compound.first_chunk::<4>()?;
    let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    match flags >> 6 {
        2 => compound.split_at_checked(length),
        _ => None,
    }
}

fn word(packet: &[u8], at: usize) -> Option<u32> {
    let bytes = packet.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*bytes))
}

/// One look at a stream, from a report of who hears it. All numbers are whole, cut off before any
/// use (spec: media-behaviour §9.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Interarrival jitter in ms.
    pub jitter_ms: u32,
    /// Packets lost since the last report, per cent.
    pub loss_percent: u8,
    /// Mean opinion score in tenths, 10 to 45; `None` where the round trip is needed and unknown.
    pub mos: Option<u8>,
    /// Round trip between us and the reporter in µs; zero if unknown.
    pub round_trip_leg_us: u32,
    /// Round trip from end to end in µs; zero if unknown.
    pub round_trip_us: u32,
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

impl Scoring {
    /// The mean opinion score in tenths, cut off. `clock_rate` is that of the codec in Hz; a round
    /// trip of 0 is unknown.
    pub fn score(
        self,
        clock_rate: u32,
        round_trip_us: u32,
        jitter_ms: u32,
        loss_percent: u8,
    ) -> Option<u8> {
        let round_trip_ms = match (self.basis, round_trip_us) {
            (Basis::Listening, _) => 0.0,
            (Basis::Conversational, 0) => return None,
            (Basis::Conversational, us) => f64::from(us) / 1000.0,
        };
        let (jitter, loss) = (f64::from(jitter_ms), f64::from(loss_percent));
        let mos = self.model.mos(clock_rate, round_trip_ms, jitter, loss);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1.0 and 4.5, and to be cut off"
        )]
        let tenths = (mos * 10.0) as u8;
        Some(tenths)
    }
}

/// Jitter in whole ms; `clock_rate` in Hz.
pub fn whole_ms(jitter: u32, clock_rate: u32) -> u32 {
    let ms = u64::from(jitter) * 1000 / u64::from(clock_rate.max(1));
    u32::try_from(ms).unwrap_or(u32::MAX)
}

/// Reports tell times in 65,536ths of a second: what is less cannot be told from nothing.
const RESOLUTION_US: u32 = 16;
/// A round trip between us and a reporter that is longer is none: a clock was set, or a report
/// answers to another relay.
const MAX_LEG: Duration = Duration::from_secs(10);

/// The sources of one call, as their reports show them.
#[derive(Debug, Default)]
pub struct Sources(Vec<Source>);

#[derive(Debug)]
struct Source {
    ssrc: u32,
    /// Its sender reports: middle of the NTP timestamp, and when it passed here.
    sent: Vec<(u32, Instant)>,
    /// Round trip between us and who hears it, as they reported last.
    leg: Option<u32>,
    /// The round trip from end to end that who hears it measured, in ms.
    measured_ms: Option<u16>,
}

impl Sources {
    /// A sender report passed, or one of our own was sent.
    pub fn sent(&mut self, ssrc: u32, ntp_middle: u32, now: Instant) {
        if let Some(source) = self.of(ssrc) {
            if source.sent.len() >= SENDER_REPORTS {
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
        let room = REPORTED_SOURCES.saturating_sub(self.0.len());
        self.0.extend(others.0.into_iter().take(room));
    }

    /// An endpoint told the round trip that it measured to a source.
    pub fn measured(&mut self, ssrc: u32, ms: u16) {
        if ms > 0
            && let Some(source) = self.of(ssrc)
        {
            source.measured_ms = Some(ms);
        }
    }

    /// Lets a block of our own answer to the last sender report that went out for its source, where
    /// the party sent none.
    pub fn answer(&self, block: &mut Block, now: Instant) {
        let source = self.known(block.ssrc);
        if block.last_sender_report == 0
            && let Some(&(ntp_middle, at)) = source.and_then(|source| source.sent.last())
        {
            block.last_sender_report = ntp_middle;
            block.delay = units(now.saturating_duration_since(at));
        }
    }

    /// What a report says of how its author hears. `clock_rate` is that of the source it is about,
    /// in Hz. `None`: it says nothing, since it answers to no sender report.
    pub fn received(
        &mut self,
        block: &Block,
        clock_rate: u32,
        scoring: Scoring,
        now: Instant,
    ) -> Option<Sample> {
        if block.last_sender_report == 0 || block.delay == 0 || clock_rate == 0 {
            return None;
        }
        let leg = self.leg(block, now);
        if let (Some(leg), Some(source)) = (leg, self.of(block.ssrc)) {
            source.leg = Some(leg);
        }
        let measured = self.known(block.ssrc).and_then(|source| source.measured_ms);
        // How far those are who hear the reporter.
        let opposite = self.known(block.reporter).and_then(|source| source.leg);
        let round_trip_us = match measured {
            Some(ms) => u32::from(ms) * 1000,
            None => leg.zip(opposite).map_or(0, |(leg, other)| leg + other),
        };
        let jitter_ms = whole_ms(block.jitter, clock_rate);
        let loss_percent = whole_percent(block.fraction_lost);
        Some(Sample {
            jitter_ms,
            loss_percent,
            mos: scoring.score(clock_rate, round_trip_us, jitter_ms, loss_percent),
            round_trip_leg_us: leg.unwrap_or_default(),
            round_trip_us,
        })
    }

    /// Now, less when the sender report passed here, less what the reporter kept it for; in µs.
    fn leg(&self, block: &Block, now: Instant) -> Option<u32> {
        let mut sent = self.known(block.ssrc)?.sent.iter().rev();
        let (_, at) = sent.find(|(ntp, _)| *ntp == block.last_sender_report)?;
        let kept = Duration::from_secs_f64(f64::from(block.delay) / 65_536.0);
        let leg = now.saturating_duration_since(*at).checked_sub(kept)?;
        let us = u32::try_from(leg.as_micros()).ok()?;
        (us > RESOLUTION_US && leg <= MAX_LEG).then_some(us)
    }

    fn known(&self, ssrc: u32) -> Option<&Source> {
        self.0.iter().find(|source| source.ssrc == ssrc)
    }

    fn of(&mut self, ssrc: u32) -> Option<&mut Source> {
        let known = self.0.iter().position(|source| source.ssrc == ssrc);
        let index = match known {
            Some(index) => index,
            None if self.0.len() < REPORTED_SOURCES => {
                self.0.push(Source {
                    ssrc,
                    sent: Vec::new(),
                    leg: None,
                    measured_ms: None,
                });
                self.0.len() - 1
            }
            None => return None,
        };
        self.0.get_mut(index)
    }
}

/// A part in 256ths, in whole per cent.
fn whole_percent(fraction: u8) -> u8 {
    u8::try_from(u16::from(fraction) * 100 / 256).unwrap_or(u8::MAX)
}

/// A time in the units of a report: 65,536ths of a second.
pub fn units(time: Duration) -> u32 {
    u32::try_from(time.as_micros() * 65_536 / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod samples;
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
