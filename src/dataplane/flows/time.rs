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

/// The same of flows that the kernel forwards, whose worker is to sleep: a source that moves is heard
/// as much later at the most.
const STEP_BELOW: Duration = Duration::from_millis(64);

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
        Due::Gate | Due::Second if entry.is_lowered => timers.round_up(at, STEP_BELOW),
        Due::Gate | Due::Second => timers.round_up(at, STEP),
        Due::Audio | Due::Digit | Due::Report | Due::Knocks => at,
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

/// Sets the timer of [`Flows::hear_knocks`].
fn await_knocks(timers: &mut Timers, now: Instant) {
    let at = timers.round_up(now + STEP_BELOW, STEP_BELOW);
    timers.set(
        at,
        Timer {
            flow: usize::MAX,
            generation: 0,
            due: Due::Knocks,
        },
    );
}

impl<B: Backend> Flows<B> {
    /// Does what is due. What is to be sent is queued.
    pub(in crate::dataplane) fn handle_timers(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.take(now, &mut due);
        for timer in due.drain(..) {
            if timer.due == Due::Knocks {
                self.hear_knocks(now);
                continue;
            }
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
                Due::Knocks => {}
                Due::Audio => self.poll_audio(timer.flow, now),
            }
        }
        self.due = due;
    }

    /// Lets a flow hear everybody again, if its source fell silent
    /// (spec: media-behaviour §3.1, NAT rebinding).
    fn open_gate(&mut self, index: usize, now: Instant) {
        if self.await_knock(index, now) {
            return;
        }
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

    /// Leaves the gate of a flow that the kernel forwards shut until somebody is kept out: its worker
    /// sees no packet, and a look at each gate whenever its source may have fallen silent costs as
    /// much as the packets did. `false`: the flow is not below, or its gate cannot tell.
    fn await_knock(&mut self, index: usize, now: Instant) -> bool {
        let Some(offloading) = &mut self.offloading else {
            return false;
        };
        let entry = self.entries.get_mut(index);
        let Some(entry) = entry.filter(|it| it.is_lowered && it.is_bound) else {
            return false;
        };
        if !self.backend.tells_kept_out(&entry.port) {
            return false;
        }
        if std::mem::replace(&mut entry.awaits_knock, true) {
            return true;
        }
        if offloading.shut.is_empty() {
            await_knocks(&mut self.timers, now);
        }
        offloading.shut.push((index, entry.generation));
        true
    }

    /// Looks who was kept out of the ports of flows that the kernel forwards.
    fn hear_knocks(&mut self, now: Instant) {
        let Some(offloading) = &mut self.offloading else {
            return;
        };
        let mut shut = std::mem::take(&mut offloading.shut);
        shut.retain(|&(index, generation)| self.stays_shut(index, generation, now));
        if !shut.is_empty() {
            await_knocks(&mut self.timers, now);
        }
        if let Some(offloading) = &mut self.offloading {
            offloading.shut = shut;
        }
    }

    fn stays_shut(&mut self, index: usize, generation: u32, now: Instant) -> bool {
        let is_it = |entry: &&mut Entry<B::Port>| entry.generation == generation;
        let Some(entry) = self.entries.get_mut(index).filter(is_it) else {
            return false;
        };
        if entry.is_lowered && entry.is_bound {
            if count_kept_out(&mut self.backend, entry) == 0 {
                return true;
            }
            // The kernel has heard the source, or not.
            self.take_in_figures(index, now);
        }
        let Some(entry) = self.entries.get_mut(index) else {
            return false;
        };
        let due = entry.gate_due();
        if entry.is_lowered && entry.is_bound && due > now {
            return true;
        }
        entry.awaits_knock = false;
        match entry.is_bound {
            true if due <= now => release(&mut self.backend, entry, &self.events),
            // Its worker hears it again.
            true => set(&mut self.timers, index, entry, Due::Gate, due),
            false => {}
        }
        false
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
