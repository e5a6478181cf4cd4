//! Traffic of ports.

use std::sync::atomic::Ordering::Relaxed;

use crate::flow::stats::{FlowStats, SsrcStats};

/// Counters of the ports of one interface.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// Received: packets, bytes, errors.
    pub(crate) ingress: [u64; 3],
    /// Sent: packets, bytes, errors.
    pub(crate) egress: [u64; 3],
    /// Packets and bytes received that the kernel forwarded.
    pub(crate) below: [u64; 2],
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) reordered: u64,
}

impl Traffic {
    /// Takes in one port.
    pub(crate) fn count(&mut self, stats: &FlowStats) {
        let mut more = Self {
            ingress: [&stats.packets_in, &stats.bytes_in, &stats.errors_in]
                .map(|counter| counter.load(Relaxed)),
            egress: [&stats.packets_out, &stats.bytes_out, &stats.errors_out]
                .map(|counter| counter.load(Relaxed)),
            below: stats.received_below(),
            ..Self::default()
        };
        for source in sources(stats) {
            more.lost += source.lost.load(Relaxed);
            more.duplicates += source.duplicates.load(Relaxed);
            more.reordered += source.reordered.load(Relaxed);
        }
        self.add(&more);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let sums = self.ingress.iter_mut().chain(&mut self.egress);
        for (sum, more) in sums.zip(other.ingress.iter().chain(&other.egress)) {
            *sum += more;
        }
        for (sum, more) in self.below.iter_mut().zip(other.below) {
            *sum += more;
        }
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
    }

    /// Takes what was added before out again.
    pub(crate) fn take_back(&mut self, other: &Self) {
        let sums = self.ingress.iter_mut().chain(&mut self.egress);
        for (sum, less) in sums.zip(other.ingress.iter().chain(&other.egress)) {
            *sum = sum.saturating_sub(*less);
        }
        for (sum, less) in self.below.iter_mut().zip(other.below) {
            *sum = sum.saturating_sub(less);
        }
        self.lost = self.lost.saturating_sub(other.lost);
        self.duplicates = self.duplicates.saturating_sub(other.duplicates);
        self.reordered = self.reordered.saturating_sub(other.reordered);
    }
}

/// The sources that were heard on a port.
pub(crate) fn sources(stats: &FlowStats) -> impl Iterator<Item = &SsrcStats> {
    stats.ssrcs.iter().filter(|source| source.is_known())
}
