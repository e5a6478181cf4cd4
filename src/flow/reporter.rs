//! RTCP that a port makes itself, in place of what its party and the others would say to each
//! other (spec: media-behaviour §8, `generate-RTCP`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::flow::Reports;
use crate::flow::stats::MAX_SSRCS;
use crate::media::own_report::{self, Heard, Sent};
use crate::media::quality::Reception;

/// Reports come up to this much later than their interval, so that those of many calls do not
/// come at once.
const SPREAD_MS: u64 = 1000;

/// Settings of own reports.
#[derive(Clone, Debug)]
pub(crate) struct Reporting {
    /// Canonical name of the relay.
    pub(crate) name: Arc<str>,
    pub(crate) interval: Duration,
}

/// The reports of one port to its party.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) spec: Reports,
    pub(crate) due: Instant,
    /// Who reports while nothing is sent.
    own_ssrc: u32,
    sent: Option<Outbound>,
    /// Sender reports of the party: source, middle of the NTP timestamp, arrival.
    sender_reports: Vec<(u32, u32, Instant)>,
    /// State of the last report per source of the party: source, packets expected and received.
    told: Vec<(u32, u64, u64)>,
}

/// The stream to the party.
#[derive(Clone, Copy, Debug)]
struct Outbound {
    ssrc: u32,
    packets: u32,
    octets: u32,
    timestamp: u32,
    at: Instant,
    /// A packet was sent since the last report.
    is_live: bool,
}

impl Reporter {
    pub(crate) fn new(spec: Reports, now: Instant, reporting: &Reporting) -> Self {
        Self {
            spec,
            due: next_after(now, reporting),
            own_ssrc: rand::rng().random(),
            sent: None,
            sender_reports: Vec::new(),
            told: Vec::new(),
        }
    }

    /// A packet went to the party.
    pub(crate) fn sent(&mut self, ssrc: u32, timestamp: u32, octets: usize, now: Instant) {
        let same = self.sent.filter(|sent| sent.ssrc == ssrc);
        let (packets, before) = same.map_or((0, 0), |sent| (sent.packets, sent.octets));
        self.sent = Some(Outbound {
            ssrc,
            packets: packets.wrapping_add(1),
            octets: before.wrapping_add(u32::try_from(octets).unwrap_or_default()),
            timestamp,
            at: now,
            is_live: true,
        });
    }

    /// The party told when it sends.
    pub(crate) fn sender_report(&mut self, ssrc: u32, ntp_middle: u32, now: Instant) {
        self.sender_reports.retain(|(known, ..)| *known != ssrc);
        if self.sender_reports.len() >= MAX_SSRCS {
            self.sender_reports.remove(0);
        }
        self.sender_reports.push((ssrc, ntp_middle, now));
    }

    /// Writes the report that is due, and sets the time of the next. Gives back the source and the
    /// NTP timestamp of a sender report; nothing is written if there is nothing to tell.
    pub(crate) fn report(
        &mut self,
        receptions: &[Reception],
        clock_rate: u32,
        (now, unix): (Instant, Duration),
        reporting: &Reporting,
        out: &mut Vec<u8>,
    ) -> Option<(u32, u64)> {
        self.due = next_after(now, reporting);
        let heard: Vec<Heard> = receptions
            .iter()
            .filter_map(|reception| self.block(reception, now))
            .collect();
        let live = self.sent.as_mut().filter(|sent| sent.is_live);
        let sent = live.map(|sent| {
            sent.is_live = false;
            let elapsed = now.saturating_duration_since(sent.at).as_micros();
            let ticks = elapsed * u128::from(clock_rate) / 1_000_000;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "timestamps wrap, so does this"
            )]
            let timestamp = sent.timestamp.wrapping_add(ticks as u32);
            Sent {
                ntp: own_report::ntp(unix),
                timestamp,
                packets: sent.packets,
                octets: sent.octets,
            }
        });
        if sent.is_none() && heard.is_empty() {
            return None;
        }
        let ssrc = self.sent.map_or(self.own_ssrc, |sent| sent.ssrc);
        let reporter = own_report::Reporter {
            ssrc,
            name: reporting.name.as_bytes(),
            mid: self.spec.mid.as_deref().map(str::as_bytes),
        };
        own_report::write(reporter, sent.as_ref(), &heard, out);
        sent.map(|sent| (ssrc, sent.ntp))
    }

    /// Report block of a source since the last report; `None` if nothing arrived.
    fn block(&mut self, reception: &Reception, now: Instant) -> Option<Heard> {
        let (ssrc, received, lost) = (reception.ssrc, reception.received(), reception.lost());
        let expected = received + lost;
        let known = self.told.iter().position(|(told, ..)| *told == ssrc);
        let index = known.unwrap_or_else(|| {
            self.told.push((ssrc, 0, 0));
            self.told.len() - 1
        });
        let told = self.told.get_mut(index)?;
        let (_, expected_before, received_before) =
            std::mem::replace(told, (ssrc, expected, received));
        let new = expected.saturating_sub(expected_before);
        let arrived = received.saturating_sub(received_before);
        if arrived == 0 {
            return None;
        }
        let missing = new.saturating_sub(arrived);
        let fraction_lost = (missing << 8).checked_div(new).unwrap_or_default();
        let mut reports = self.sender_reports.iter();
        let last = reports.find(|(source, ..)| *source == ssrc);
        let delay = last.map_or(Duration::ZERO, |(.., at)| {
            now.saturating_duration_since(*at)
        });
        Some(Heard {
            ssrc,
            fraction_lost: u8::try_from(fraction_lost).unwrap_or(u8::MAX),
            lost: u32::try_from(lost).unwrap_or(u32::MAX),
            highest: reception.highest(),
            jitter: reception.jitter(),
            last_sender_report: last.map_or(0, |(_, ntp_middle, _)| *ntp_middle),
            delay: u32::try_from(delay.as_micros() * 65_536 / 1_000_000).unwrap_or(u32::MAX),
        })
    }
}

fn next_after(now: Instant, reporting: &Reporting) -> Instant {
    let spread = rand::rng().random_range(0..=SPREAD_MS);
    now + reporting.interval + Duration::from_millis(spread)
}
