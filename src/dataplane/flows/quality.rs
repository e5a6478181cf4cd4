//! RTCP data about the streams that pass.

use std::sync::PoisonError;
use std::time::Instant;

use super::Flows;
use super::reports::reporter_of;
use crate::dataplane::backend::Backend;
use crate::media::report::{self, Block, Said};

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
        for said in reports {
            let sources = self.sources.entry(call).or_default();
            match said {
                Said::Sends { ssrc, ntp_middle } => {
                    sources.sent(ssrc, ntp_middle, now);
                    if let Some(reporter) = reporter_of(&mut self.entries, index) {
                        reporter.sender_report(ssrc, ntp_middle, now);
                    }
                }
                Said::RoundTrip { ssrc, ms } => sources.measured(ssrc, ms),
                Said::Received(block) => {
                    let block = self.in_clock_of_source(index, &block);
                    self.take_sample(index, &block, now);
                }
            }
        }
    }

    /// Takes the blocks of a report of our own as if the source whose name it bears had sent it
    /// (spec: media-behaviour §8.1).
    pub(super) fn take_own_report(&mut self, call: u64, blocks: &mut [Block], now: Instant) {
        for block in blocks {
            let siblings = self.by_call.get(&call).map_or(&[][..], Vec::as_slice);
            let sends = |index: &&usize| {
                let entry = self.entries.get(**index);
                entry.is_some_and(|entry| entry.hears(block.reporter))
            };
            let Some(&index) = siblings.iter().find(sends) else {
                continue;
            };
            if let Some(sources) = self.sources.get(&call) {
                sources.answer(block, now);
            }
            self.take_sample(index, block, now);
        }
    }

    /// A block that came from the party of a flow: a sample of how its author hears, unless the
    /// block is about something that we did not send there.
    fn take_sample(&mut self, index: usize, block: &Block, now: Instant) {
        let rtp = self.entries.get(index).and_then(|entry| entry.sibling);
        let rtp = rtp.unwrap_or(index);
        let Some(entry) = self.entries.get(rtp) else {
            return;
        };
        if !entry.stats.has_sent(block.ssrc) {
            return;
        }
        let call = entry.call;
        let siblings = self.by_call.get(&call).map_or(&[][..], Vec::as_slice);
        let mut entries = siblings.iter().filter_map(|&index| self.entries.get(index));
        let Some(heard) = entries.find(|entry| entry.hears(block.ssrc)) else {
            return;
        };
        let clock_rate = heard.clock_rate();
        let sources = self.sources.entry(call).or_default();
        let Some(sample) = sources.received(block, clock_rate, self.scoring, now) else {
            return;
        };
        let uptime = now.saturating_duration_since(self.started);
        let at_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        let entry = self.entries.get_mut(rtp);
        if let Some(stats) = entry.and_then(|entry| entry.reporting_source(block.reporter)) {
            let quality = stats.quality.get_or_init(Box::default);
            let mut quality = quality.lock().unwrap_or_else(PoisonError::into_inner);
            quality.observe(sample, at_ms);
        }
    }
}
