//! What the timers know of each call without looking at it. Ten thousand calls on hold would cost
//! four per cent of a core if all of each were read once a second; a counter per port is enough to
//! see that nothing happened.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::media::EndpointMap;
use super::ports::Interfaces;
use super::state::Call;
use super::voip::{Traffic, interface_index};
use crate::flow::stats::FlowStats;

/// A call in which nothing happens is looked at after this time all the same: what was only sent
/// on it is counted then.
const LONGEST: Duration = Duration::from_secs(10);

/// What a call was like when the timers looked at it last.
#[derive(Debug)]
pub(super) struct Watch {
    ports: Vec<Arc<FlowStats>>,
    /// Datagrams that had come to these.
    packets: u64,
    /// Until when nothing is due, on the packets' clock in ms.
    until_ms: u64,
}

impl Watch {
    /// Of a call in which nothing is due for a time.
    pub(super) fn new(call: &Call, clock_ms: u64, nothing_due: Duration) -> Self {
        let quiet = nothing_due.min(LONGEST).as_millis();
        let mut watch = Self {
            ports: ports(call).map(|(_, stats)| stats.clone()).collect(),
            packets: 0,
            until_ms: clock_ms.saturating_add(u64::try_from(quiet).unwrap_or(u64::MAX)),
        };
        watch.packets = watch.heard();
        watch
    }

    /// Whether the timers have nothing to do with the call.
    pub(super) fn is_quiet(&self, clock_ms: u64) -> bool {
        clock_ms < self.until_ms && self.heard() == self.packets
    }

    fn heard(&self) -> u64 {
        let packets = self.ports.iter().map(|stats| &stats.packets_in);
        packets.map(|packets| packets.load(Relaxed)).sum()
    }
}

/// The ports of a call with the names of their interfaces.
fn ports(call: &Call) -> impl Iterator<Item = (&EndpointMap, &Arc<FlowStats>)> {
    let medias = call.legs.iter().flat_map(|leg| &leg.medias);
    let maps = medias.flat_map(|media| &media.maps);
    maps.flat_map(|map| map.ports().map(move |port| (map, &port.stats)))
}

/// The sums over all running calls, as the timers saw each last.
#[derive(Debug, Default)]
pub(super) struct Live(Mutex<Sums>);

#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// Medias of which something was heard.
    pub(super) medias: u64,
    /// Those of them that the kernel forwards.
    pub(super) medias_below: u64,
    /// By interface.
    pub(super) traffic: Vec<Traffic>,
}

impl Live {
    /// The sums now.
    pub(super) fn sums(&self) -> Sums {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a call in the sums. It leaves them with the last copy of the call.
#[derive(Debug)]
pub(crate) struct Share {
    live: Arc<Live>,
    part: Mutex<Part>,
}

#[derive(Debug, Default)]
struct Part {
    medias: u64,
    medias_below: u64,
    /// By number of the interface; a call has one or two.
    traffic: Vec<(usize, Traffic)>,
}

impl Share {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self {
            live,
            part: Mutex::default(),
        }
    }

    /// Brings the sums up to date with a call.
    pub(super) fn update(&self, call: &Call, interfaces: &Interfaces) {
        let mut part = Part::default();
        for media in call.legs.iter().flat_map(|leg| &leg.medias) {
            let mut ports = media.maps.iter().flat_map(EndpointMap::ports);
            let is_heard = ports.any(|port| port.stats.packets_in.load(Relaxed) > 0);
            part.medias += u64::from(is_heard);
            let mut ports = media.maps.iter().flat_map(EndpointMap::ports);
            let is_below = ports.any(|port| port.stats.path.get().is_kernel());
            part.medias_below += u64::from(is_below);
            for map in &media.maps {
                for port in map.ports() {
                    let index = interface_index(interfaces, &map.interface, port.local.ip());
                    let known = part.traffic.iter_mut().find(|(known, _)| *known == index);
                    match known {
                        Some((_, traffic)) => traffic.count(&port.stats),
                        None => {
                            let mut traffic = Traffic::default();
                            traffic.count(&port.stats);
                            part.traffic.push((index, traffic));
                        }
                    }
                }
            }
        }
        let mut current = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = self.live.lock();
        let count = interfaces.addresses().len();
        sums.traffic.resize(count, Traffic::default());
        current.leave(&mut sums);
        part.join(&mut sums);
        *current = part;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let part = self.part.get_mut().unwrap_or_else(PoisonError::into_inner);
        part.leave(&mut self.live.lock());
    }
}

impl Part {
    fn join(&self, sums: &mut Sums) {
        sums.medias += self.medias;
        sums.medias_below += self.medias_below;
        for (index, traffic) in &self.traffic {
            if let Some(sum) = sums.traffic.get_mut(*index) {
                sum.add(traffic);
            }
        }
    }

    fn leave(&self, sums: &mut Sums) {
        sums.medias = sums.medias.saturating_sub(self.medias);
        sums.medias_below = sums.medias_below.saturating_sub(self.medias_below);
        for (index, traffic) in &self.traffic {
            if let Some(sum) = sums.traffic.get_mut(*index) {
                sum.take_back(traffic);
            }
        }
    }
}
