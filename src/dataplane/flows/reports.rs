//! Reports of our own, in time.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use slab::Slab;

use super::send::send;
use super::{Flows, time};
use crate::dataplane::backend::Backend;
use crate::dataplane::entry::Entry;
use crate::dataplane::timers::Due;
use crate::flow::Reports;
use crate::flow::reporter::Reporter;
use crate::flow::secure::Numbering;
use crate::media::own_report::middle;

impl<B: Backend> Flows<B> {
    /// Begins, changes or ends the reports of a flow.
    pub(super) fn set_reports(
        &mut self,
        index: usize,
        reports: Option<Box<Reports>>,
        now: Instant,
    ) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if reports.is_none() && entry.services.is_none() {
            return;
        }
        let reporter = &mut entry.services.get_or_insert_default().state.reporter;
        let Some(spec) = reports else {
            *reporter = None;
            return;
        };
        let due = match reporter.as_deref_mut() {
            Some(reporter) => {
                reporter.spec = *spec;
                reporter.due
            }
            None => {
                let made = Reporter::new(*spec, now, &self.reporting);
                reporter.insert(Box::new(made)).due
            }
        };
        time::set(&mut self.timers, index, entry, Due::Report, due);
    }

    /// Sends the report of one flow, if it is due.
    pub(super) fn report(&mut self, index: usize, now: Instant) {
        if let Some(due) = self.report_of(index, now)
            && let Some(entry) = self.entries.get_mut(index)
        {
            time::set(&mut self.timers, index, entry, Due::Report, due);
        }
    }

    /// Gives back when its next one is due.
    fn report_of(&mut self, index: usize, now: Instant) -> Option<Instant> {
        let entry = self.entries.get_mut(index)?;
        let clock_rate = entry.clock_rate();
        let call = entry.call;
        let reporter = entry
            .services
            .as_deref_mut()?
            .state
            .reporter
            .as_deref_mut()?;
        if reporter.due > now {
            return Some(reporter.due);
        }
        let unix = since_1970();
        let reports = reporter.report(&entry.receptions, clock_rate, (now, unix), &self.reporting);
        let (due, via) = (reporter.due, reporter.spec.via);
        for mut report in reports {
            self.send_report(via, &report.compound, now);
            self.take_own_report(call, &mut report.blocks, now);
            if let Some((ssrc, ntp)) = report.sends {
                // The party's report on it tells the round trip.
                let sources = self.sources.entry(call).or_default();
                sources.sent(ssrc, middle(ntp), now);
            }
        }
        Some(due)
    }

    fn send_report(&mut self, via: SocketAddr, compound: &[u8], now: Instant) {
        let sender = self.by_local.get(via);
        let sender = sender.and_then(|sender| self.entries.get_mut(sender));
        let Some((sender, destination)) =
            sender.and_then(|sender| sender.destination.map(|destination| (sender, destination)))
        else {
            return;
        };
        // A report that does not get out is followed by the next one.
        let (backend, sealed) = (&mut self.backend, &mut self.sealed);
        let own = (compound, Numbering::Proven);
        let is_sent = send(backend, sealed, sender, own, destination).is_ok();
        if is_sent && self.recorded.takes_egress() {
            sender.record_sent(now, destination, compound);
        }
    }
}

/// What reports to the party of a flow, be it the flow of its RTP or of its RTCP.
pub(super) fn reporter_of<P>(entries: &mut Slab<Entry<P>>, index: usize) -> Option<&mut Reporter> {
    let index = entries.get(index)?.sibling.unwrap_or(index);
    let services = entries.get_mut(index)?.services.as_deref_mut()?;
    services.state.reporter.as_deref_mut()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a report tells the time of the wall"
)]
fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}
