//! RTCP data about the streams that pass.

use std::sync::PoisonError;
use std::time::Instant;

use super::Flows;
use super::reports::reporter_of;
use crate::dataplane::backend::Backend;
use crate::media::report::{self, Said};

impl<B: Backend> Flows<B> {
    /// Takes the reports of a compound in.
    pub(super) fn learn_quality(&mut self, index: usize, compound: &[u8], now: Instant) {
        let Some(call) = self.entries.get(index).map(|entry| entry.call) else {
            return;
        };
        let reports = report::read(compound);
        if reports.is_empty() {
            return;
        }
        let sources = self.sources.entry(call).or_default();
        let siblings = self.by_call.get(&call).map_or(&[][..], Vec::as_slice);
        for said in reports {
            match said {
                Said::Sends { ssrc, ntp_middle } => {
                    sources.sent(ssrc, ntp_middle, now);
                    if let Some(reporter) = reporter_of(&mut self.entries, index) {
                        reporter.sender_report(ssrc, ntp_middle, now);
                    }
                }
                Said::RoundTrip { ssrc, ms } => sources.measured(ssrc, ms),
                Said::Received(block) => {
                    let entries = &self.entries;
                    let mut entries = siblings.iter().filter_map(|&index| entries.get(index));
                    let found = entries.find_map(|entry| Some((entry, entry.source(block.ssrc)?)));
                    let Some((entry, stats)) = found else {
                        continue;
                    };
                    let sample = sources.received(&block, entry.clock_rate(), self.scoring, now);
                    let uptime = now.saturating_duration_since(self.started);
                    let at_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
                    let quality = stats.quality.get_or_init(Box::default);
                    let mut quality = quality.lock().unwrap_or_else(PoisonError::into_inner);
                    quality.observe(sample, block.lost, at_ms);
                }
            }
        }
    }
}
