//! The kernel's figures become part of a flow's own: from one look to the next, what was added is
//! added.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use smallvec::SmallVec;
use windlass_kernel_assist::flows::{Figures, Order, SourceFigures};

use super::KernelClock;
use crate::flow::stats::{FlowStats, SsrcStats};
use crate::media::quality::{Counted, Reception};

/// A flow whose figures these are.
pub(in crate::dataplane) struct Counters<'a> {
    /// Of what comes in.
    pub(in crate::dataplane) stats: &'a FlowStats,
    /// Of the port that it leaves from.
    pub(in crate::dataplane) out: &'a FlowStats,
    /// Reception by source; `None` once the flow is gone.
    pub(in crate::dataplane) receptions: Option<&'a mut SmallVec<[Reception; 1]>>,
    pub(in crate::dataplane) clock_rate: u32,
    pub(in crate::dataplane) clock: &'a KernelClock,
    /// The start of the data plane.
    pub(in crate::dataplane) started: Instant,
}

/// What a look at the figures has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataplane) struct Heard {
    /// When the last packet came.
    pub(in crate::dataplane) at: Instant,
    /// Its source and the highest number of that.
    pub(in crate::dataplane) ssrc: u32,
    pub(in crate::dataplane) sequence: u16,
    /// A source is among them that the flow had not heard before.
    pub(in crate::dataplane) is_new: bool,
}

/// Figures to go on from: of each source, what was heard of it; counts begin at 0. `None`: there are
/// more sources than the kernel has room for.
pub(in crate::dataplane) fn seeds(receptions: &[Reception]) -> Option<Vec<SourceFigures>> {
    let heard = receptions.iter().filter_map(|reception| {
        let (highest, jitter_16) = reception.handed_down()?;
        Some(SourceFigures {
            ssrc: reception.ssrc,
            order: Some(Order {
                first: highest,
                highest,
            }),
            jitter_16,
            ..SourceFigures::default()
        })
    });
    let seeds: Vec<_> = heard.collect();
    (seeds.len() <= windlass_kernel_assist::flows::layout::SOURCES).then_some(seeds)
}

/// Adds what happened between two looks. `None`: nothing.
pub(in crate::dataplane) fn fold(
    before: &Figures,
    after: &Figures,
    counters: &mut Counters<'_>,
) -> Option<Heard> {
    let packets = after.packets.saturating_sub(before.packets);
    let bytes = after.bytes.saturating_sub(before.bytes);
    let Counters { stats, out, .. } = *counters;
    FlowStats::add(&stats.packets_in, packets);
    FlowStats::add(&stats.bytes_in, bytes);
    FlowStats::add(&out.packets_out, packets);
    FlowStats::add(&out.bytes_out, bytes);
    let kernel = stats.kernel.get_or_init(Box::default);
    FlowStats::add(&kernel.packets_in, packets);
    FlowStats::add(&kernel.bytes_in, bytes);
    let mut is_new = false;
    let mut latest: Option<SourceFigures> = None;
    for source in &after.sources {
        let known = before.sources.iter().find(|it| it.ssrc == source.ssrc);
        let earlier = known.copied().unwrap_or_default();
        if *source == earlier {
            continue;
        }
        is_new |= known.is_none();
        count(source, &earlier, counters);
        if latest.is_none_or(|it| it.last_ns <= source.last_ns) {
            latest = Some(*source);
        }
    }
    let latest = latest.filter(|source| source.last_ns > 0)?;
    let at = counters.clock.instant(latest.last_ns);
    let uptime = at.saturating_duration_since(counters.started).as_millis();
    let mark = u64::try_from(uptime).unwrap_or(u64::MAX).saturating_add(1);
    let before = stats.last_packet_ms.load(Relaxed);
    if before < mark {
        if before != kernel.last_packet_ms.load(Relaxed) {
            kernel.last_user_ms.store(before, Relaxed);
        }
        stats.last_packet_ms.store(mark, Relaxed);
    }
    kernel.last_packet_ms.store(mark, Relaxed);
    Some(Heard {
        at,
        ssrc: latest.ssrc,
        sequence: number(&latest),
        is_new,
    })
}

/// Adds what came from one source.
fn count(source: &SourceFigures, before: &SourceFigures, counters: &mut Counters<'_>) {
    let packets = source.packets.saturating_sub(before.packets);
    let bytes = source.bytes.saturating_sub(before.bytes);
    let timestamp = source.timestamp(counters.clock_rate);
    if packets > 0 {
        let last = (number(source), timestamp);
        counters
            .out
            .count_sent_below(source.ssrc, (packets, bytes), last);
    }
    let counted = Counted {
        packets,
        late: source.late.saturating_sub(before.late),
        highest: source.order.map_or(0, |order| order.highest),
        jitter_16: source.jitter_16,
    };
    let Some(receptions) = counters.receptions.as_deref_mut() else {
        return count_gone(source, before, &counted, counters.stats);
    };
    let place = receptions.iter().position(|it| it.ssrc == source.ssrc);
    let place = place.unwrap_or(receptions.len());
    let Some(stats) = counters.stats.ssrcs.slot(place) else {
        return;
    };
    if place == receptions.len() {
        receptions.push(Reception::unheard(source.ssrc));
    }
    let Some(reception) = receptions.get_mut(place) else {
        return;
    };
    if let Some(order) = source.order {
        reception.begin_elsewhere(order.first);
    }
    reception.absorb(&counted);
    stats.ssrc.store(source.ssrc, Relaxed);
    add_packets(stats, packets, bytes, timestamp);
    stats.last_sequence.store(reception.highest(), Relaxed);
    stats.lost.store(reception.lost(), Relaxed);
    stats.duplicates.store(reception.duplicates(), Relaxed);
    stats.reordered.store(reception.reordered(), Relaxed);
    stats.jitter.store(reception.jitter(), Relaxed);
}

/// The last packets of a flow that is gone already: its counters are all that is left of it.
fn count_gone(
    source: &SourceFigures,
    before: &SourceFigures,
    counted: &Counted,
    stats: &FlowStats,
) {
    let is_its = |it: &&SsrcStats| it.is_known() && it.ssrc.load(Relaxed) == source.ssrc;
    let Some(stats) = stats.ssrcs.iter().find(is_its) else {
        return;
    };
    let highest = |it: &SourceFigures| it.order.map_or(0, |order| order.highest);
    let step = u64::from(highest(source).wrapping_sub(highest(before)));
    let lost = stats.lost.load(Relaxed).saturating_add(step);
    stats
        .lost
        .store(lost.saturating_sub(counted.packets), Relaxed);
    add_packets(stats, counted.packets, source.bytes - before.bytes, None);
}

fn add_packets(stats: &SsrcStats, packets: u64, bytes: u64, timestamp: Option<u32>) {
    FlowStats::add(&stats.packets, packets);
    FlowStats::add(&stats.bytes, bytes);
    if let Some(timestamp) = timestamp {
        stats.last_timestamp.store(timestamp, Relaxed);
    }
}

/// The highest number, without its cycles.
fn number(source: &SourceFigures) -> u16 {
    let highest = source.order.map_or(0, |order| order.highest);
    u16::try_from(highest & 0xffff).unwrap_or_default()
}
