//! Work of the timers on all calls, once a second, and their observations.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use super::model::call::{Call, Now};
use super::model::media::EndpointMap;
use super::model::share::Share;
use super::model::traffic::Traffic;
use super::ports::Interfaces;
use super::serve::Calls;
use super::table::{lock, lock_to_look};
use super::timeouts::Timeouts;
use super::voip::{Measure, Quality};
use super::watched::Watch;

/// Observations of the timers at their last turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    /// Medias of which something was heard.
    pub(crate) medias: u64,
    /// Those of them that the kernel forwards.
    pub(crate) medias_below: u64,
    /// Packets and bytes over the last second that the kernel forwarded.
    pub(crate) rates_below: [u64; 2],
    /// Over the last second.
    pub(crate) packet_rate: u64,
    /// Over the last second.
    pub(crate) byte_rate: u64,
    /// Over the last second.
    pub(crate) error_rate: u64,
    /// Traffic since the start, by interface.
    pub(crate) traffic: Vec<Traffic>,
    /// Quality since the start, by interface.
    pub(crate) quality: Vec<Quality>,
    /// The time-outs that calls were looked at with.
    timeouts: Option<Timeouts>,
}

impl Turn {
    /// Sum over all interfaces.
    pub(crate) fn whole_traffic(&self) -> Traffic {
        let mut sum = Traffic::default();
        self.traffic.iter().for_each(|traffic| sum.add(traffic));
        sum
    }

    /// Sum over all interfaces.
    pub(crate) fn whole_quality(&self) -> Quality {
        let mut sum = Quality::default();
        self.quality.iter().for_each(|quality| sum.merge(quality));
        sum
    }

    /// Takes quality samples of one running call. `since_ms` is when the last turn was, on the
    /// packets' clock.
    fn observe(&mut self, call: &Call, interfaces: &Interfaces, since_ms: u64, measure: Measure) {
        for media in call.legs.iter().flat_map(|leg| &leg.medias) {
            for map in &media.maps {
                for port in map.ports() {
                    // Marks are one too high, so that 0 can mean "never".
                    if port.stats.last_packet_ms.load(Relaxed) <= since_ms + 1 {
                        continue;
                    }
                    let index = interfaces.position(&map.interface, port.local.ip());
                    if let Some(quality) = self.quality.get_mut(index) {
                        quality.measure(&port.stats, media.formats.clock_rate, measure);
                    }
                }
            }
        }
    }
}

impl Calls {
    /// Lets time act on every call; to be called once a second.
    pub fn handle_timeout(&self, now: Now) {
        let clock = self.forwarding.packet_clock_ms();
        let timeouts = self.timeouts();
        let count = self.interfaces.addresses().len();
        let mut before = {
            let last = self.running.lock();
            last.unwrap_or_else(PoisonError::into_inner).clone()
        };
        let mut turn = Turn {
            timeouts: Some(timeouts),
            quality: std::mem::take(&mut before.quality),
            ..Turn::default()
        };
        turn.quality.resize_with(count, Quality::default);
        let calls = match before.timeouts == Some(timeouts) {
            true => self.table.awake(clock),
            false => self.table.entries(),
        };
        for (id, entry) in calls {
            let mut slot = lock_to_look(&entry);
            let Some(call) = slot.as_mut() else { continue };
            if let Some(reason) = call.expired(&timeouts, now.instant, clock) {
                self.end(&id, &entry, &mut slot, reason, now);
                continue;
            }
            let is_due = call.release_due(now.instant) | call.end_blocks(now.instant);
            if is_due && let Err(error) = self.carry_out(call, Vec::new()) {
                tracing::error!(call_id = %id, %error, "cannot tell the data plane what time changed");
            }
            // A merged call stands in the table under each of its names.
            if call.id == id {
                let since = clock.saturating_sub(1000);
                turn.observe(call, &self.interfaces, since, self.defaults.measure);
                let share = call
                    .share
                    .get_or_insert_with(|| Arc::new(Share::new(self.live.clone())));
                share.clone().update(call, &self.interfaces);
                entry.watch(Watch::new(
                    call,
                    clock,
                    call.nothing_due(&timeouts, now.instant, clock),
                ));
            }
        }
        let sums = self.live.sums();
        turn.medias = sums.medias;
        turn.medias_below = sums.medias_below;
        turn.traffic = sums.traffic;
        turn.traffic.resize(count, Traffic::default());
        // Read last: what ended on the way is in here.
        for (sum, ended) in turn.traffic.iter_mut().zip(self.statistics.ended_traffic()) {
            sum.add(&ended);
        }
        let (sum, last) = (turn.whole_traffic(), before.whole_traffic());
        let [packets, bytes, errors] = sum.ingress;
        turn.packet_rate = packets.saturating_sub(last.ingress[0]);
        turn.byte_rate = bytes.saturating_sub(last.ingress[1]);
        turn.error_rate = errors.saturating_sub(last.ingress[2]);
        let [packets, bytes] = sum.below;
        turn.rates_below = [
            packets.saturating_sub(last.below[0]),
            bytes.saturating_sub(last.below[1]),
        ];
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    /// Bytes that were relayed since the start, at the last turn of the timers.
    pub fn relayed_bytes(&self) -> u64 {
        let turn = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        turn.whole_traffic().ingress[1]
    }

    /// What the current calls have carried so far.
    pub(super) fn carried(&self) -> Traffic {
        let mut sum = Traffic::default();
        for (id, entry) in self.table.entries() {
            let slot = lock(&entry);
            // A merged call stands in the table under each of its names.
            let Some(call) = slot.as_ref().filter(|call| call.id == id) else {
                continue;
            };
            let maps = call.legs.iter().flat_map(|leg| &leg.medias);
            let maps = maps.flat_map(|media| &media.maps);
            let ports = maps.flat_map(EndpointMap::ports);
            ports.for_each(|port| sum.count(&port.stats));
        }
        sum
    }

    /// Observations of the timers at their last turn.
    pub(super) fn last_turn(&self) -> Turn {
        let turn = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        turn.clone()
    }
}
