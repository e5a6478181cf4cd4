//! Reports of our own, in time.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use slab::Slab;

use super::Flows;
use crate::dataplane::backend::Backend;
use crate::dataplane::entry::Entry;
use crate::dataplane::reporter::Reporter;
use crate::flow::Reports;
use crate::flow::stats::FlowStats;
use crate::media::own_report::middle;

impl<B: Backend> Flows<B> {
    /// Begins, changes or ends the reports of a flow.
    pub(super) fn set_reports(
        &mut self,
        local: SocketAddr,
        reports: Option<Box<Reports>>,
        now: Instant,
    ) {
        let index = self.by_local.get(&local).copied();
        let entry = index.and_then(|index| Some((index, self.entries.get_mut(index)?)));
        let Some((index, entry)) = entry else { return };
        if reports.is_none() && entry.services.is_none() {
            return;
        }
        let reporter = &mut entry.services.get_or_insert_default().reporter;
        match (reports, reporter.as_deref_mut()) {
            (None, _) => *reporter = None,
            (Some(spec), Some(reporter)) => reporter.spec = *spec,
            (Some(spec), None) => {
                let made = Reporter::new(*spec, now, &self.reporting);
                let due = self.next_report.into_iter().chain([made.due]);
                self.next_report = due.min();
                *reporter = Some(Box::new(made));
                if !self.reporters.contains(&index) {
                    self.reporters.push(index);
                }
            }
        }
    }

    /// Sends the reports that are due, and says when the next one is.
    pub(super) fn report(&mut self, now: Instant) -> Option<Instant> {
        if self.next_report.is_none_or(|next| next > now) {
            return self.next_report;
        }
        let unix = since_1970();
        let reporters = std::mem::take(&mut self.reporters);
        self.next_report = None;
        for index in reporters {
            // Flows come and go: the place may be another's by now.
            let Some(due) = self.report_of(index, now, unix) else {
                continue;
            };
            self.reporters.push(index);
            self.next_report = self.next_report.into_iter().chain([due]).min();
        }
        self.next_report
    }

    /// Sends the report of one flow, if it is due; gives back when its next one is.
    fn report_of(&mut self, index: usize, now: Instant, unix: Duration) -> Option<Instant> {
        let entry = self.entries.get_mut(index)?;
        let clock_rate = entry.clock_rate();
        let call = entry.call;
        let reporter = entry.services.as_deref_mut()?.reporter.as_deref_mut()?;
        if reporter.due > now {
            return Some(reporter.due);
        }
        self.scratch.clear();
        let told = reporter.report(
            &entry.receptions,
            clock_rate,
            (now, unix),
            &self.reporting,
            &mut self.scratch,
        );
        let (due, via) = (reporter.due, reporter.spec.via);
        let sender = self.by_local.get(&via).copied();
        let sender = sender.and_then(|sender| self.entries.get_mut(sender));
        if let Some(sender) = sender
            && let Some(destination) = sender.destination
            && !self.scratch.is_empty()
        {
            let handle = sender.lease.handle_mut();
            match self.backend.send(handle, &self.scratch, destination) {
                Ok(()) => {
                    FlowStats::add(&sender.stats.packets_out, 1);
                    FlowStats::add(&sender.stats.bytes_out, self.scratch.len() as u64);
                }
                Err(_) => FlowStats::add(&sender.stats.errors_out, 1),
            }
            if let Some((ssrc, ntp)) = told {
                // The party's report on it tells the round trip.
                let sources = self.sources.entry(call).or_default();
                sources.sent(ssrc, middle(ntp), now);
            }
        }
        Some(due)
    }
}

/// What reports to the party of a flow, be it the flow of its RTP or of its RTCP.
pub(super) fn reporter_of(entries: &mut Slab<Entry>, index: usize) -> Option<&mut Reporter> {
    let index = entries.get(index)?.sibling.unwrap_or(index);
    let services = entries.get_mut(index)?.services.as_deref_mut()?;
    services.reporter.as_deref_mut()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a report tells the time of the wall"
)]
fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}
