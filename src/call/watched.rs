//! What the timers know of each call without looking at it. Ten thousand calls on hold would cost
//! four per cent of a core if all of each were read once a second; a counter per port is enough to
//! see that nothing happened.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::model::call::Call;
use super::model::media::EndpointMap;
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
