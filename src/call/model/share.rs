//! The sums over all running calls, and the part of each in them.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use super::call::Call;
use super::media::EndpointMap;
use super::traffic::Traffic;
use crate::call::ports::Interfaces;

/// The sums over all running calls, as the timers saw each last.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<Sums>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    /// Medias of which something was heard.
    pub(crate) medias: u64,
    /// Those of them that the kernel forwards.
    pub(crate) medias_below: u64,
    /// By interface.
    pub(crate) traffic: Vec<Traffic>,
}

impl Live {
    /// The sums now.
    pub(crate) fn sums(&self) -> Sums {
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
    pub(crate) fn new(live: Arc<Live>) -> Self {
        Self {
            live,
            part: Mutex::default(),
        }
    }

    /// Brings the sums up to date with a call.
    pub(crate) fn update(&self, call: &Call, interfaces: &Interfaces) {
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
                    let index = interfaces.position(&map.interface, port.local.ip());
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
