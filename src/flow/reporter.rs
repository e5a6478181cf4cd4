//! RTCP that a port makes itself, in place of what its party and the others would say to each
//! other (spec: media-behaviour §8, `generate-RTCP`; media-behaviour §8.1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;

use crate::flow::Reports;
use crate::limits::SSRCS_PER_FLOW;
use crate::media::own_report::{self, Heard, Sent};
use crate::media::quality::Reception;
use crate::media::report::{Block, units};

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
    /// Who reports while nothing was sent.
    own_ssrc: u32,
    /// Streams to the party, at most [`SSRCS_PER_FLOW`].
    sent: Vec<Outbound>,
    /// Sender reports of the party: source, middle of the NTP timestamp, arrival.
    sender_reports: Vec<(u32, u32, Instant)>,
}

/// A stream to the party.
#[derive(Clone, Copy, Debug)]
struct Outbound {
    ssrc: u32,
    packets: u32,
    octets: u32,
    timestamp: u32,
    at: Instant,
}

/// A report that was written.
#[derive(Debug)]
pub(crate) struct Written {
    /// The source whose name it bears, and the NTP timestamp of a sender report.
    pub(crate) sends: Option<(u32, u64)>,
    /// What it says of the party's sources.
    pub(crate) blocks: Vec<Block>,
    pub(crate) compound: Vec<u8>,
}

impl Reporter {
    pub(crate) fn new(spec: Reports, now: Instant, reporting: &Reporting) -> Self {
        Self {
            spec,
            due: now + distance(reporting),
            own_ssrc: rand::rng().random(),
            sent: Vec::new(),
            sender_reports: Vec::new(),
        }
    }

    /// A packet went to the party.
    pub(crate) fn sent(&mut self, ssrc: u32, timestamp: u32, octets: usize, now: Instant) {
        let packet = Outbound {
            ssrc,
            packets: 0,
            octets: 0,
            timestamp,
            at: now,
        };
        let known = self.sent.iter().position(|stream| stream.ssrc == ssrc);
        let index = known.unwrap_or_else(|| {
            if self.sent.len() >= SSRCS_PER_FLOW {
                // The one that has been silent for longest is over.
                let streams = self.sent.iter().enumerate();
                let oldest = streams.min_by_key(|(_, stream)| stream.at);
                let oldest = oldest.map_or(0, |(index, _)| index);
                self.sent.remove(oldest);
            }
            self.sent.push(packet);
            self.sent.len() - 1
        });
        if let Some(stream) = self.sent.get_mut(index) {
            let octets = u32::try_from(octets).unwrap_or_default();
            stream.packets = stream.packets.wrapping_add(1);
            stream.octets = stream.octets.wrapping_add(octets);
            stream.timestamp = timestamp;
            stream.at = now;
        }
    }

    /// The party told when it sends.
    pub(crate) fn sender_report(&mut self, ssrc: u32, ntp_middle: u32, now: Instant) {
        self.sender_reports.retain(|(known, ..)| *known != ssrc);
        if self.sender_reports.len() >= SSRCS_PER_FLOW {
            self.sender_reports.remove(0);
        }
        self.sender_reports.push((ssrc, ntp_middle, now));
    }

    /// Writes the reports that are due, one for every source that was ever sent, and sets the time of
    /// the next. Nothing is written if nothing was ever sent or heard.
    pub(crate) fn report(
        &mut self,
        receptions: &[Reception],
        clock_rate: u32,
        (now, unix): (Instant, Duration),
        reporting: &Reporting,
    ) -> Vec<Written> {
        // From the time that was due, so that a late turn does not put off all that follow.
        self.due += distance(reporting);
        if self.due <= now {
            self.due = now + distance(reporting);
        }
        let heard = receptions.iter().filter(|source| source.received() > 0);
        let heard: Vec<Heard> = heard.map(|source| self.block(source, now)).collect();
        let ntp = own_report::ntp(unix);
        let of_stream = |stream: &Outbound| {
            let elapsed = now.saturating_duration_since(stream.at).as_micros();
            let ticks = elapsed * u128::from(clock_rate) / 1_000_000;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "timestamps wrap, so does this"
            )]
            let timestamp = stream.timestamp.wrapping_add(ticks as u32);
            let sent = Sent {
                ntp,
                timestamp,
                packets: stream.packets,
                octets: stream.octets,
            };
            self.write(stream.ssrc, Some(&sent), &heard, reporting)
        };
        match self.sent.is_empty() {
            true if heard.is_empty() => Vec::new(),
            true => vec![self.write(self.own_ssrc, None, &heard, reporting)],
            false => self.sent.iter().map(of_stream).collect(),
        }
    }

    fn write(
        &self,
        ssrc: u32,
        sent: Option<&Sent>,
        heard: &[Heard],
        reporting: &Reporting,
    ) -> Written {
        let others = heard.iter().filter(|heard| heard.ssrc != ssrc);
        let heard: Vec<Heard> = others.copied().collect();
        let reporter = own_report::Reporter {
            ssrc,
            name: reporting.name.as_bytes(),
            mid: self.spec.mid.as_deref().map(str::as_bytes),
        };
        let mut compound = Vec::new();
        own_report::write(reporter, sent, &heard, &mut compound);
        let block = |heard: &Heard| Block {
            reporter: ssrc,
            ssrc: heard.ssrc,
            fraction_lost: heard.fraction_lost,
            lost: i32::try_from(heard.lost).unwrap_or(i32::MAX),
            jitter: heard.jitter,
            last_sender_report: heard.last_sender_report,
            delay: heard.delay,
        };
        Written {
            sends: sent.map(|sent| (ssrc, sent.ntp)),
            blocks: heard.iter().map(block).collect(),
            compound,
        }
    }

    /// How a source arrived, over its life.
    fn block(&self, reception: &Reception, now: Instant) -> Heard {
        let (ssrc, received, lost) = (reception.ssrc, reception.received(), reception.lost());
        let fraction_lost = (lost << 8).checked_div(received + lost);
        let mut reports = self.sender_reports.iter();
        let last = reports.find(|(source, ..)| *source == ssrc);
        let delay = last.map_or(Duration::ZERO, |(.., at)| {
            now.saturating_duration_since(*at)
        });
        Heard {
            ssrc,
            fraction_lost: u8::try_from(fraction_lost.unwrap_or_default()).unwrap_or(u8::MAX),
            lost: u32::try_from(lost).unwrap_or(u32::MAX),
            highest: reception.highest(),
            jitter: reception.jitter(),
            last_sender_report: last.map_or(0, |(_, ntp_middle, _)| *ntp_middle),
            delay: units(delay),
        }
    }
}

/// Time between two reports.
fn distance(reporting: &Reporting) -> Duration {
    let spread = rand::rng().random_range(0..=SPREAD_MS);
    reporting.interval + Duration::from_millis(spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::report::{Said, read};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    fn the_mean_distance_is_the_interval_and_half_a_second() {
        let reporting = Reporting {
            name: "0123456789ab".into(),
            interval: Duration::from_secs(5),
        };
        let start = Instant::now();
        let spec = Reports {
            via: ([127, 0, 0, 1], 4000).into(),
            mid: None,
        };
        let mut reporter = Reporter::new(spec, start, &reporting);
        for sequence in 0..4 {
            reporter.sent(7, sequence * 160, 160, start);
        }
        let (mut now, mut reports) = (start, 0);
        while now < start + Duration::from_secs(3600) {
            now += Duration::from_millis(90);
            if reporter.due > now {
                continue;
            }
            let clocks = (now, Duration::from_secs(1_700_000_000));
            let written = reporter.report(&[], 8000, clocks, &reporting);
            // Nothing was sent since the last one, and still there is a report.
            assert_eq!(written.len(), 1);
            assert!(matches!(
                read(&written[0].compound)[..],
                [Said::Sends { ssrc: 7, .. }]
            ));
            reports += 1;
        }
        // 3600 / 5.5 = 655; had the due time been counted from each late turn, 649.
        assert!((645..=665).contains(&reports), "{reports}");
        // A relay that was stopped for long does not make up for it.
        now += Duration::from_secs(100);
        let clocks = (now, Duration::from_secs(1_700_000_000));
        reporter.report(&[], 8000, clocks, &reporting);
        assert!(reporter.due >= now + reporting.interval);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    fn only_as_many_streams_as_are_counted_are_told_of() {
        let reporting = Reporting {
            name: "0123456789ab".into(),
            interval: Duration::from_secs(5),
        };
        let start = Instant::now();
        let spec = Reports {
            via: ([127, 0, 0, 1], 4000).into(),
            mid: None,
        };
        let mut reporter = Reporter::new(spec, start, &reporting);
        for ssrc in 0..10_000 {
            reporter.sent(ssrc, 0, 160, start + Duration::from_millis(u64::from(ssrc)));
        }
        let clocks = (start, Duration::from_secs(1_700_000_000));
        let written = reporter.report(&[], 8000, clocks, &reporting);
        let sends = written.iter().filter_map(|report| report.sends);
        let ssrcs: Vec<u32> = sends.map(|(ssrc, _)| ssrc).collect();
        assert_eq!(ssrcs, [9996, 9997, 9998, 9999]);
    }
}
