//! Streams that move below user space, and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_kernel_assist::flows::Figures;

use super::time::{self, SECOND};
use super::{EventSink, Flows};
use crate::dataplane::Happening;
use crate::dataplane::backend::Backend;
use crate::dataplane::entry::Entry;
use crate::dataplane::offload::fold::{self, Counters, Heard};
use crate::dataplane::offload::wish::Wish;
use crate::dataplane::offload::{Below, KernelClock};
use crate::dataplane::timers::Due;
use crate::flow::path::{Path, WhyUp};
use crate::flow::stats::FlowStats;
use crate::media::rtp::Received;

/// Silence after which a stream is back with its worker: another source may be heard then
/// (spec: media-behaviour §3.1).
const SILENCE: Duration = Duration::from_secs(3);

/// A flow is looked at for so long after its last packet.
const WATCHED: Duration = Duration::from_secs(5);

/// The kernel's part of a worker.
pub(in crate::dataplane) struct Offloading {
    pub(in crate::dataplane) below: Arc<dyn Below>,
    pub(in crate::dataplane) clock: KernelClock,
    /// Flows that were raised, until their last figures are known.
    leaving: Vec<Leaving>,
    /// Lowered flows whose gates are shut: place, and what tells it from later ones there.
    pub(super) shut: Vec<(usize, u32)>,
}

impl Offloading {
    pub(in crate::dataplane) fn new(below: Arc<dyn Below>, clock: KernelClock) -> Self {
        Self {
            below,
            clock,
            leaving: Vec::new(),
            shut: Vec::new(),
        }
    }
}

/// A flow that was raised.
struct Leaving {
    local: SocketAddr,
    /// Its place, and what tells it from later ones there.
    index: usize,
    generation: u32,
    seen: Figures,
    stats: Arc<FlowStats>,
    out: Arc<FlowStats>,
    clock_rate: u32,
}

impl<B: Backend> Flows<B> {
    /// An RTP packet was accepted: its flow may be one for the kernel.
    pub(super) fn watch(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        entry.is_watched = true;
        entry.descent.get_or_insert_default();
        time::set(&mut self.timers, index, entry, Due::Second, now + SECOND);
    }

    /// Looks, once a second, where a flow should be.
    pub(super) fn consider(&mut self, index: usize, now: Instant) {
        let Some(below) = self.offloading.as_ref().map(|it| it.below.clone()) else {
            return;
        };
        self.take_in_figures(index, now);
        let wish = self.wish(index, now);
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let silence = now.saturating_duration_since(entry.last_at);
        let descent = entry.descent.get_or_insert_default();
        if let Some(down) = descent.down() {
            let verdict = match wish {
                Ok(wish) if wish != down.wish => Err(WhyUp::Moved),
                Ok(_) if silence >= SILENCE => Err(WhyUp::Silent),
                Ok(wish) => below.check(&wish, now),
                Err(why) => Err(why),
            };
            match verdict {
                Ok(()) => self.bind_again(index, now),
                Err(why) => self.raise(index, why, now),
            }
            return;
        }
        entry.is_watched = silence < WATCHED;
        let wish = match wish {
            Ok(_) if silence >= SECOND => Err(WhyUp::Silent),
            wish => wish,
        };
        let why = match wish {
            Err(why) => {
                descent.is_unfit();
                why
            }
            Ok(wish) if descent.is_fit(now) => {
                return self.lower(index, &wish, &*below, now);
            }
            Ok(_) => WhyUp::Trial,
        };
        entry.stats.path.set(Path::UserSpace(why));
    }

    /// What a flow would be below.
    fn wish(&self, index: usize, now: Instant) -> Result<Wish, WhyUp> {
        let entry = self.entries.get(index).ok_or(WhyUp::Off)?;
        let target = entry.plain.of(false);
        let target = target.and_then(|target| self.entries.get(target));
        Wish::of(entry, target, now)
    }

    fn lower(&mut self, index: usize, wish: &Wish, below: &dyn Below, now: Instant) {
        let target = self.entries.get(index).and_then(|it| it.plain.of(false));
        let Some(target) = target.and_then(|target| self.entries.get_mut(target)) else {
            return;
        };
        let out = target.stats.clone();
        if let Some(services) = &mut target.services {
            services.state.outgoing.forget();
        }
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let lowered = fold::seeds(&entry.receptions)
            .ok_or(WhyUp::Sources)
            .and_then(|seeds| Ok((below.lower(wish, &seeds, now)?, seeds)));
        let descent = entry.descent.get_or_insert_default();
        match lowered {
            Ok((path, sources)) => {
                let seen = Figures {
                    sources,
                    ..Figures::default()
                };
                descent.lowered(*wish, seen, out, now);
                entry.is_lowered = true;
                tell(&self.events, entry, path);
            }
            Err(why) => {
                descent.refused();
                entry.stats.path.set(Path::UserSpace(why));
            }
        }
    }

    /// Takes in what the kernel has counted. Costs no call of the system.
    pub(in crate::dataplane) fn take_in_figures(&mut self, index: usize, now: Instant) {
        let Some(offloading) = &self.offloading else {
            return;
        };
        let Some(entry) = self.entries.get_mut(index).filter(|it| it.is_lowered) else {
            return;
        };
        let clock_rate = entry.clock_rate();
        let Some(down) = entry.descent.as_mut().and_then(|it| it.down_mut()) else {
            return;
        };
        let Some(figures) = offloading.below.read(down.wish.local) else {
            return;
        };
        let mut counters = Counters {
            stats: &entry.stats,
            out: &down.out,
            receptions: Some(&mut entry.receptions),
            clock_rate,
            clock: &offloading.clock,
            started: self.started,
        };
        let heard = fold::fold(&down.seen, &figures, &mut counters);
        down.seen = figures;
        let Some(heard) = heard else { return };
        hear(entry, &heard);
        if heard.is_new {
            // The kernel does not say what it sends.
            self.raise(index, WhyUp::NewSource, now);
        }
    }

    /// The same of all flows of a call.
    pub(in crate::dataplane) fn catch_up(&mut self, call: u64, now: Instant) {
        for index in self.lowered(call) {
            self.take_in_figures(index, now);
        }
    }

    /// The flows of a call that the kernel forwards.
    fn lowered(&self, call: u64) -> Vec<usize> {
        let flows = self.by_call.get(&call).map_or(&[][..], Vec::as_slice);
        let is_lowered = |index: &&usize| self.entries.get(**index).is_some_and(|it| it.is_lowered);
        flows.iter().filter(is_lowered).copied().collect()
    }

    /// Has a worker forward a flow again: its next packet comes up.
    pub(in crate::dataplane) fn raise(&mut self, index: usize, why: WhyUp, now: Instant) {
        let Some(offloading) = &mut self.offloading else {
            return;
        };
        let Some(entry) = self.entries.get_mut(index).filter(|it| it.is_lowered) else {
            return;
        };
        entry.is_lowered = false;
        entry.is_watched = true;
        let clock_rate = entry.clock_rate();
        let Some(down) = entry.descent.as_mut().and_then(|it| it.raised(why, now)) else {
            return;
        };
        let local = down.wish.local;
        let figures = offloading.below.raise(local);
        let mut counters = Counters {
            stats: &entry.stats,
            out: &down.out,
            receptions: Some(&mut entry.receptions),
            clock_rate,
            clock: &offloading.clock,
            started: self.started,
        };
        if let Some(figures) = figures {
            if let Some(heard) = fold::fold(&down.seen, &figures, &mut counters) {
                hear(entry, &heard);
            }
            offloading.leaving.push(Leaving {
                local,
                index,
                generation: entry.generation,
                seen: figures,
                stats: entry.stats.clone(),
                out: down.out,
                clock_rate,
            });
        }
        tell(&self.events, entry, Path::UserSpace(why));
        time::set(&mut self.timers, index, entry, Due::Second, now + SECOND);
    }

    /// The same of all flows of a call.
    pub(in crate::dataplane) fn raise_call(&mut self, call: u64, why: WhyUp, now: Instant) {
        if self.offloading.is_none() {
            return;
        }
        for index in self.lowered(call) {
            self.raise(index, why, now);
        }
    }

    /// An RTP packet of a lowered flow came up.
    pub(super) fn note_stray(
        &mut self,
        index: usize,
        received: &Received,
        from: SocketAddr,
        now: Instant,
    ) {
        let entry = self.entries.get_mut(index);
        let down = entry.and_then(|entry| entry.descent.as_mut()?.down_mut());
        let is_too_many = down
            .is_some_and(|down| down.wish.takes(from, received.payload_type) && down.strays(now));
        if is_too_many {
            self.raise(index, WhyUp::PassedUp, now);
        }
    }

    /// Takes in the last figures of flows that were raised; in the order in which they were.
    pub(in crate::dataplane) fn take_in_last(&mut self, settled: &[(SocketAddr, Figures)]) {
        let Some(offloading) = &mut self.offloading else {
            return;
        };
        for (local, figures) in settled {
            let place = offloading.leaving.iter().position(|it| it.local == *local);
            let Some(place) = place else { continue };
            let leaving = offloading.leaving.remove(place);
            let entry = self.entries.get_mut(leaving.index);
            let mut entry = entry.filter(|entry| entry.generation == leaving.generation);
            let receptions = entry.as_deref_mut().map(|entry| &mut entry.receptions);
            let mut counters = Counters {
                stats: &leaving.stats,
                out: &leaving.out,
                receptions,
                clock_rate: leaving.clock_rate,
                clock: &offloading.clock,
                started: self.started,
            };
            let heard = fold::fold(&leaving.seen, figures, &mut counters);
            if let (Some(entry), Some(heard)) = (entry, heard) {
                hear(entry, &heard);
            }
        }
    }

    /// The gate of a lowered flow opens with its silence; its worker sees no packet that would shut it
    /// again.
    fn bind_again(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let Some(source) = entry.latch.sole_source(now) else {
            return;
        };
        if entry.is_bound || !entry.may_bind(now) || entry.gate_due() <= now {
            return;
        }
        self.bind(index, source, now);
    }
}

/// The source of a flow was heard below.
fn hear<P>(entry: &mut Entry<P>, heard: &Heard) {
    entry.last_at = entry.last_at.max(heard.at);
    entry
        .latch
        .heard_elsewhere(heard.at, heard.ssrc, heard.sequence);
}

/// Another path from now on.
fn tell<P>(events: &EventSink, entry: &Entry<P>, path: Path) {
    entry.stats.path.set(path);
    events.tell(entry.call, entry.lease.local(), Happening::Path(path));
}
