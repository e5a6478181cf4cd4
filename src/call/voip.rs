//! Traffic and quality by interface (spec: media-behaviour §9, ng-protocol §13).
//!
//! Quality samples come from the reports of the peers; with `measure-rtp` what the relay measures
//! itself, per synchronisation source, counts too.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use windlass_ng::{Dict, Value};

use super::ports::{Family, Interfaces, LocalAddress};
use super::turn::Turn;
use crate::flow::quality::{Sum, Sums};
use crate::flow::stats::{FlowStats, SsrcStats};
use crate::media::report::{Sample, Scoring, whole_ms};

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
}

impl Traffic {
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

/// Five entries of a sum, `NAME_total` and so on.
fn describe_sum(sum: &Sum, name: &str, dict: &mut Dict) {
    let number = |value: f64| Value::from(format!("{value:.6}"));
    dict.push(format!("{name}_total"), number(sum.total));
    dict.push(format!("{name}2_total"), number(sum.squares));
    dict.push(format!("{name}_samples_total"), sum.samples);
    dict.push(format!("{name}_average"), number(sum.average()));
    dict.push(format!("{name}_stddev"), number(sum.deviation()));
}

/// Quality samples that a relay takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Its own measurements are quality samples (`--measure-rtp`).
    pub own: bool,
    /// Settings of the score.
    pub scoring: Scoring,
}

/// Quality samples of the streams of one interface.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quality {
    /// 1.0 to 4.5.
    pub(crate) mos: Sum,
    /// Milliseconds.
    pub(crate) jitter: Sum,
    /// Microseconds, end to end.
    pub(crate) rtt_e2e: Sum,
    /// Microseconds, one leg.
    pub(crate) rtt_leg: Sum,
    /// Per cent.
    pub(crate) loss: Sum,
    /// Milliseconds, by our own clock.
    pub(crate) jitter_measured: Sum,
}

impl Quality {
    /// Takes a sample of each source of a port that was heard just now.
    pub(crate) fn measure(&mut self, stats: &FlowStats, clock_rate: u32, measure: Measure) {
        for source in sources(stats) {
            self.take_reported(source);
            if clock_rate == 0 || source.packets.load(Relaxed) == 0 {
                continue;
            }
            let jitter_ms = whole_ms(source.jitter.load(Relaxed), clock_rate);
            self.jitter_measured.add(f64::from(jitter_ms));
            if measure.own {
                let loss_percent = loss_percent(source);
                let scoring = measure.scoring;
                let mut own = Sums::default();
                own.add(&Sample {
                    jitter_ms,
                    loss_percent,
                    mos: scoring.score(clock_rate, 0, jitter_ms, loss_percent),
                    ..Sample::default()
                });
                self.take(&own);
            }
        }
    }

    /// Takes what a source reported since the last time.
    fn take_reported(&mut self, source: &SsrcStats) {
        let Some(reported) = source.quality.get() else {
            return;
        };
        let fresh = reported
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take_fresh();
        self.take(&fresh);
    }

    fn take(&mut self, fresh: &Sums) {
        self.mos.merge(&fresh.mos);
        self.jitter.merge(&fresh.jitter_ms);
        self.loss.merge(&fresh.loss_percent);
        self.rtt_e2e.merge(&fresh.round_trip_us);
        self.rtt_leg.merge(&fresh.round_trip_leg_us);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.mos.merge(&other.mos);
        for ((_, sum), (_, more)) in self.parts_mut().into_iter().zip(other.parts()) {
            sum.merge(more);
        }
    }

    /// The parts beside MOS, by their names in replies.
    pub(crate) fn parts(&self) -> [(&'static str, &Sum); 5] {
        [
            ("jitter", &self.jitter),
            ("rtt_e2e", &self.rtt_e2e),
            ("rtt_dsct", &self.rtt_leg),
            ("packetloss", &self.loss),
            ("jitter_measured", &self.jitter_measured),
        ]
    }

    fn parts_mut(&mut self) -> [(&'static str, &mut Sum); 5] {
        [
            ("jitter", &mut self.jitter),
            ("rtt_e2e", &mut self.rtt_e2e),
            ("rtt_dsct", &mut self.rtt_leg),
            ("packetloss", &mut self.loss),
            ("jitter_measured", &mut self.jitter_measured),
        ]
    }

    fn describe(&self, dict: &mut Dict) {
        for (name, samples) in self.parts() {
            describe_sum(samples, name, dict);
        }
    }
}

/// The whole relay: `mos`.
pub(crate) fn describe_mos(turn: &Turn) -> Dict {
    let mut dict = Dict::new();
    describe_sum(&turn.whole_quality().mos, "mos", &mut dict);
    dict
}

/// The whole relay: `voip_metrics`.
pub(crate) fn describe_voip(turn: &Turn) -> Dict {
    let mut dict = Dict::new();
    turn.whole_quality().describe(&mut dict);
    let traffic = turn.whole_traffic();
    dict.push("packets_lost", traffic.lost);
    dict.push("rtp_duplicates", traffic.duplicates);
    // Neither jumps nor restarts of sequence numbers are told apart from loss.
    dict.push("rtp_skips", 0_u64);
    dict.push("rtp_seq_resets", 0_u64);
    dict.push("rtp_reordered", traffic.reordered);
    dict
}

/// `interfaces`.
pub(crate) fn describe_interfaces(interfaces: &Interfaces, turn: &Turn) -> Value {
    let list = interfaces.addresses().iter().enumerate();
    let list = list.map(|(index, local)| {
        let traffic = turn.traffic.get(index).copied().unwrap_or_default();
        let quality = turn.quality.get(index).copied().unwrap_or_default();
        let mut voip = Dict::new();
        describe_sum(&quality.mos, "mos", &mut voip);
        quality.describe(&mut voip);
        Dict::new()
            .with("name", Value::from(local.name.to_string()))
            .with("address", Value::from(local.address.to_string()))
            .with("ports", describe_ports(local))
            .with("packets_lost", traffic.lost)
            .with("duplicates", traffic.duplicates)
            .with("voip_metrics", voip)
            .with("ingress", counters(traffic.ingress))
            .with("egress", counters(traffic.egress))
            .into()
    });
    Value::List(list.collect())
}

fn describe_ports(local: &LocalAddress) -> Dict {
    let (min, max) = local.pool.range();
    let (used, total) = (local.pool.used(), local.pool.total());
    #[expect(
        clippy::cast_precision_loss,
        reason = "a range has at most 65,536 ports"
    )]
    let percent = used as f64 * 100.0 / total.max(1) as f64;
    Dict::new()
        .with("min", u64::from(min))
        .with("max", u64::from(max))
        .with("used", used as u64)
        .with("used_pct", Value::from(format!("{percent:.2}")))
        .with("free", local.pool.free() as u64)
        .with("totals", total as u64)
}

fn counters([packets, bytes, errors]: [u64; 3]) -> Dict {
    Dict::new()
        .with("packets", packets)
        .with("bytes", bytes)
        .with("errors", errors)
}

/// Interface of a port; several may have one address.
pub(crate) fn interface_index(interfaces: &Interfaces, name: &str, address: IpAddr) -> usize {
    let addresses = interfaces.addresses();
    let is_there = |local: &LocalAddress| local.address == address;
    let exactly = |local: &LocalAddress| is_there(local) && &*local.name == name;
    let found = addresses.iter().position(exactly);
    let found = found.or_else(|| addresses.iter().position(is_there));
    found.unwrap_or(usize::MAX)
}

/// The families that the ports of running calls are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyCounts {
    /// Calls on IPv4 alone.
    pub ip4: u64,
    /// Calls on IPv6 alone.
    pub ip6: u64,
    /// Calls on both.
    pub mixed: u64,
}

impl FamilyCounts {
    /// Takes in a call by the addresses of its ports.
    pub(crate) fn count(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        let (mut has_ip4, mut has_ip6) = (false, false);
        for address in addresses {
            match Family::of(address) {
                Family::Ip4 => has_ip4 = true,
                Family::Ip6 => has_ip6 = true,
            }
        }
        match (has_ip4, has_ip6) {
            (true, true) => self.mixed += 1,
            (true, false) => self.ip4 += 1,
            (false, true) => self.ip6 += 1,
            (false, false) => {}
        }
    }
}

/// The sources that were heard on a port.
fn sources(stats: &FlowStats) -> impl Iterator<Item = &SsrcStats> {
    stats.ssrcs.iter().filter(|source| source.is_known())
}

fn loss_percent(source: &SsrcStats) -> u8 {
    let (lost, received) = (source.lost.load(Relaxed), source.packets.load(Relaxed));
    let percent = lost.saturating_mul(100) / (lost + received).max(1);
    u8::try_from(percent).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::report::Basis;

    #[test]
    fn own_measurements_are_quality_only_on_demand() {
        let stats = FlowStats::default();
        let source = stats.ssrcs.slot(0).unwrap();
        source.packets.store(90, Relaxed);
        source.lost.store(10, Relaxed);
        source.jitter.store(80, Relaxed);
        let mut quality = Quality::default();
        quality.measure(&stats, 8000, Measure::default());
        assert_eq!(
            (quality.jitter_measured.total, quality.loss.samples),
            (10.0, 0)
        );
        let measure = Measure {
            own: true,
            scoring: Scoring {
                basis: Basis::Listening,
                ..Scoring::default()
            },
        };
        quality.measure(&stats, 8000, measure);
        assert_eq!((quality.jitter.total, quality.loss.total), (10.0, 10.0));
        assert_eq!((quality.mos.samples, quality.rtt_e2e.samples), (1, 0));
        // Its clock is unknown: nothing can be said of it.
        quality.measure(&stats, 0, measure);
        assert_eq!(quality.jitter_measured.samples, 2);
    }
}
