//! What time does to flows: gates open, learning goes on, digits, reports and audio are sent.

use std::time::{Duration, Instant};

use super::Flows;
use super::change::{count_kept_out, open_nat, release};
use crate::dataplane::Happening;
use crate::dataplane::backend::Backend;
use crate::dataplane::entry::Entry;
use crate::dataplane::timers::{Due, Timer, Timers};
use crate::flow::path::WhyUp;

/// How often time acts on a flow that learns, and its gate is asked whom it kept out.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Gates and learning are looked at in steps of this, so that those of many flows share a turn of
/// the worker.
const STEP: Duration = Duration::from_millis(16);

/// Sets a timer of a flow, unless it is set.
pub(super) fn set<P>(
    timers: &mut Timers,
    flow: usize,
    entry: &mut Entry<P>,
    due: Due,
    at: Instant,
) {
    if entry.pending.has(due) {
        return;
    }
    entry.pending.note(due);
    let generation = entry.generation;
    let at = match due {
        Due::Gate | Due::Second => timers.round_up(at, STEP),
        Due::Audio | Due::Digit | Due::Report => at,
    };
    timers.set(
        at,
        Timer {
            flow,
            generation,
            due,
        },
    );
}

impl<B: Backend> Flows<B> {
    /// Does what is due. What is to be sent is queued.
    pub(in crate::dataplane) fn handle_timers(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.take(now, &mut due);
        for timer in due.drain(..) {
            let Some(entry) = self.entries.get_mut(timer.flow) else {
                continue;
            };
            if entry.generation != timer.generation {
                continue;
            }
            entry.pending.clear(timer.due);
            match timer.due {
                Due::Gate => self.open_gate(timer.flow, now),
                Due::Second => self.pass_second(timer.flow, now),
                Due::Digit => self.play(timer.flow, now),
                Due::Report => self.report(timer.flow, now),
                Due::Audio => self.poll_audio(timer.flow, now),
            }
        }
        self.due = due;
    }

    /// Lets a flow hear everybody again, if its source fell silent
    /// (spec: media-behaviour §3.1, NAT rebinding).
    fn open_gate(&mut self, index: usize, now: Instant) {
        // The kernel may have heard it since.
        self.take_in_figures(index, now);
        let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.is_bound) else {
            return;
        };
        let due = entry.gate_due();
        match due <= now {
            true => release(&mut self.backend, entry, &self.events),
            false => set(&mut self.timers, index, entry, Due::Gate, due),
        }
    }

    fn pass_second(&mut self, index: usize, now: Instant) {
        // Who was heard by the kernel is not silent.
        self.take_in_figures(index, now);
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if entry.is_bound {
            count_kept_out(&mut self.backend, entry);
        }
        // A dummy that does not get out is sent again a second later.
        open_nat(&mut self.backend, entry);
        let before = entry.party();
        let event = entry.handle_timeout(&self.hops, now);
        let call = entry.call;
        let has_moved = entry.party() != before;
        if let Some(event) = event {
            let event = Happening::Source(event);
            self.events.tell(call, entry.lease.local(), event);
        }
        let is_watched = entry.is_watched || entry.is_lowered;
        if has_moved {
            self.raise_call(call, WhyUp::Moved, now);
        }
        if is_watched {
            self.consider(index, now);
        }
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if entry.awaits_second() {
            set(&mut self.timers, index, entry, Due::Second, now + SECOND);
        }
    }
}
