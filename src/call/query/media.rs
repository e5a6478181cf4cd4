//! One media of a party, and its streams.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use windlass_ng::{Dict, Value};
use windlass_sdp::Setup;

use super::{PacketClock, Totals, counters, describe_address, family, heard, ports_of};
use crate::call::flows::SsrcReporting;
use crate::call::leg::Leg;
use crate::call::media::{LegacyPair, Media};
use crate::flow::Component;
use crate::flow::quality::{Look, Quality};
use crate::flow::stats::{FlowStats, SsrcStats};

pub(super) fn describe(
    index: usize,
    leg: &Leg,
    media: &Media,
    egress: &[&SsrcStats],
    clock: PacketClock,
    totals: &mut Totals,
    reporting: SsrcReporting,
) -> Dict {
    let mut dict = Dict::with_capacity(8)
        .with("index", index as u64 + 1)
        .with("type", media.kind_text.as_bytes())
        .with("protocol", media.transport.name().as_bytes());
    if let Some(codec) = codec_in_use(media) {
        dict.push("codec", codec);
    }
    for (port, component) in ports_of(media) {
        totals.count(port, component);
    }
    // Both are always there, with or without ports.
    let streams = [Component::Rtp, Component::Rtcp];
    let streams = streams.map(|component| describe_stream(leg, media, component, clock).into());
    dict.push("streams", Value::List(streams.into()));
    dict.push("flags", flags(leg, media));
    let is_inline = matches!(reporting, SsrcReporting::Full | SsrcReporting::Inline);
    let sources = |sources: Vec<&SsrcStats>| -> Value {
        let entries = sources.into_iter().filter(|_| is_inline).map(|source| {
            let mut entry = Dict::new().with("SSRC", u64::from(source.ssrc.load(Relaxed)));
            entry.extend(describe_source(source, clock).into_entries());
            entry
        });
        Value::List(entries.map(Value::from).collect())
    };
    dict.push("ingress SSRCs", sources(ingress(media).collect()));
    dict.push("egress SSRCs", sources(egress.to_vec()));
    dict
}

/// The sources that were heard on the RTP port of a media.
pub(super) fn ingress(media: &Media) -> impl Iterator<Item = &SsrcStats> {
    let rtp = ports_of(media).filter(|(_, component)| *component == Component::Rtp);
    rtp.flat_map(|(port, _)| heard(port))
}

fn flags(leg: &Leg, media: &Media) -> Value {
    let rules = &leg.source_rules;
    let extras = media.extras.as_deref();
    let extra = |read: fn(&crate::call::media::Extras) -> bool| extras.is_some_and(read);
    let dtls = extras.and_then(|extras| extras.dtls.as_ref());
    let listed = [
        (media.endpoint.is_some(), "initialized"),
        (rules.asymmetric, "asymmetric"),
        (media.send, "send"),
        (media.recv, "recv"),
        (media.mux.agreed, "rtcp-mux"),
        (dtls.is_some(), "DTLS-SRTP"),
        (
            dtls.is_some_and(|dtls| dtls.ours == Setup::Active),
            "DTLS role active",
        ),
        (
            dtls.is_some_and(|dtls| dtls.ours == Setup::Passive),
            "DTLS role passive",
        ),
        (extra(|extras| extras.sdes.is_active), "SDES"),
        (media.is_passed_through(), "passthrough"),
        (media.has_ice(), "ICE"),
        (extra(|e| e.ice.is_active && e.ice.trickle), "trickle ICE"),
        (
            extra(|e| e.ice.is_active && e.ice.controlling),
            "ICE controlling",
        ),
        (
            extra(|e| e.ice.is_active && e.ice.peer_lite),
            "ICE-lite peer",
        ),
        (extra(|e| e.ice.is_active && e.ice.lite), "ICE-lite self"),
        (rules.unidirectional, "unidirectional"),
        (
            extra(|extras| extras.is_loop_checked)
                || leg.extras.as_deref().is_some_and(|e| e.is_loop_checked),
            "loop check",
        ),
        (extra(|extras| extras.ptime.is_some()), "ptime-override"),
        (media.transport.has_feedback(), "RTCP feedback"),
        (extra(|extras| extras.makes_reports), "RTCP generator"),
        (extra(|extras| extras.echo), "echo"),
        (extra(|extras| extras.blackhole), "blackhole"),
        (
            extra(|extras| extras.legacy == Some(LegacyPair::RtpFirst)),
            "legacy OSRTP",
        ),
        (
            extra(|extras| extras.legacy == Some(LegacyPair::SrtpFirst)),
            "reverse legacy OSRTP",
        ),
    ];
    listed
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, name)| Value::word(name))
        .collect()
}

fn describe_stream(leg: &Leg, media: &Media, component: Component, clock: PacketClock) -> Dict {
    let ports = media.ports().map(|map| &map.main);
    let port = ports.and_then(|set| match component {
        Component::Rtp => Some(&set.rtp),
        Component::Rtcp => set.rtcp.as_ref(),
    });
    let stats = port.map(|port| &*port.stats);
    let peer = stats.map(FlowStats::peer).unwrap_or_default();
    let counted = |read: fn(&FlowStats) -> &AtomicU64| stats.map_or(0, |s| read(s).load(Relaxed));
    let signalled = media.endpoint.map(|endpoint| match component {
        Component::Rtp => endpoint.rtp,
        Component::Rtcp => endpoint.rtcp,
    });
    let last = clock.unix_seconds(counted(|stats| &stats.last_packet_ms));
    let mut dict = Dict::with_capacity(13);
    if let Some(set) = ports {
        // RTCP that shares the port of RTP has none of its own.
        let local = set.rtp.local.ip();
        dict.push("local port", port.map_or(0, |port| port.local.port()));
        dict.push("local address", local);
        dict.push("family", Value::word(family(local)));
    }
    let endpoint = describe_address(peer.destination.or(signalled));
    dict.push("endpoint", endpoint);
    dict.push("advertised endpoint", describe_address(signalled));
    let sdes = media.extras.as_deref().map(|extras| &extras.sdes);
    let suite = sdes
        .filter(|sdes| sdes.is_active)
        .and_then(|sdes| match sdes.theirs.len() {
            // Until the party answered, which suite will be used is open.
            1 => sdes.theirs.first(),
            _ => sdes.ours.first().filter(|_| sdes.ours.len() == 1),
        });
    if let Some(name) = suite.and_then(|line| line.suite.known_name()) {
        dict.push("crypto suite", name);
    }
    dict.push("last packet", last);
    dict.push("last kernel packet", 0_u64);
    dict.push("last user packet", last);
    if let Some(first) = ingress(media).next() {
        dict.push("SSRC", u64::from(first.ssrc.load(Relaxed)));
    }
    let is_rtcp = component == Component::Rtcp;
    let listed = [
        (!is_rtcp, "RTP"),
        (is_rtcp || media.mux.agreed, "RTCP"),
        (is_rtcp && media.mux.agreed, "fallback RTCP"),
        (signalled.is_some(), "filled"),
        (peer.settled, "confirmed"),
        (leg.source_rules.strict_source, "strict source address"),
        (leg.source_rules.media_handover, "media handover"),
    ];
    let flags = listed
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, name)| Value::word(name));
    dict.push("flags", flags.collect::<Value>());
    let received = counters(
        counted(|stats| &stats.packets_in),
        counted(|stats| &stats.bytes_in),
        counted(|stats| &stats.errors_in),
    );
    dict.push("stats", received);
    let sent = counters(
        counted(|stats| &stats.packets_out),
        counted(|stats| &stats.bytes_out),
        counted(|stats| &stats.errors_out),
    );
    dict.push("stats_out", sent);
    dict
}

pub(super) fn describe_source(source: &SsrcStats, clock: PacketClock) -> Dict {
    let mut dict = Dict::new()
        .with("bytes", source.bytes.load(Relaxed))
        .with("packets", source.packets.load(Relaxed))
        .with(
            "last RTP timestamp",
            u64::from(source.last_timestamp.load(Relaxed)),
        )
        .with(
            "last RTP seq",
            u64::from(source.last_sequence.load(Relaxed)),
        );
    if let Some(quality) = source.quality.get() {
        let quality = quality.lock().unwrap_or_else(PoisonError::into_inner);
        describe_quality(&mut dict, &quality, clock);
    }
    dict
}

/// What the receivers of a source reported, once there is a score.
fn describe_quality(dict: &mut Dict, quality: &Quality, clock: PacketClock) {
    dict.push("cumulative loss", i64::from(quality.lost));
    let (Some(lowest), Some(highest)) = (&quality.lowest, &quality.highest) else {
        return;
    };
    let average = Dict::new()
        .with("MOS", whole(quality.sums.mos.average() * 10.0))
        .with(
            "round-trip time",
            whole(quality.sums.round_trip_us.average()),
        )
        .with(
            "round-trip time leg",
            whole(quality.sums.round_trip_leg_us.average()),
        )
        .with("jitter", whole(quality.sums.jitter_ms.average()))
        .with("packet loss", whole(quality.sums.loss_percent.average()))
        .with("samples", quality.sums.mos.samples);
    dict.push("average MOS", average);
    dict.push("lowest MOS", describe_look(lowest, clock));
    dict.push("highest MOS", describe_look(highest, clock));
    let entries = quality
        .course
        .iter()
        .map(|look| describe_look(look, clock).into());
    let course = Dict::new()
        .with("interval", quality.interval_s)
        .with("entries", Value::List(entries.collect()));
    dict.push("MOS progression", course);
}

fn describe_look(look: &Look, clock: PacketClock) -> Dict {
    let sample = &look.sample;
    let us = |time: std::time::Duration| whole(time.as_secs_f64() * 1e6);
    Dict::new()
        .with("MOS", whole(sample.mos.unwrap_or_default() * 10.0))
        .with("round-trip time", us(sample.round_trip))
        .with("round-trip time leg", us(sample.round_trip_leg))
        .with("jitter", whole(sample.jitter_ms))
        .with("packet loss", whole(sample.loss_percent))
        .with("reported at", clock.unix_seconds(look.at_ms + 1))
}

fn whole(value: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded, and far from the ends"
    )]
    let whole = value.round() as i64;
    whole
}

/// The codec of the payload type with the most packets, as `name/clock`.
pub(crate) fn codec_in_use(media: &Media) -> Option<Vec<u8>> {
    let source = ingress(media).max_by_key(|source| source.packets.load(Relaxed))?;
    let payload_type = source.payload_type.load(Relaxed);
    let said = media.said.as_ref()?.read()?;
    let codec = said
        .codecs
        .iter()
        .find(|codec| u32::from(codec.payload_type) == payload_type && codec.is_known())?;
    let mut name = codec.name.as_bytes().to_vec();
    name.extend_from_slice(format!("/{}", codec.clock_rate).as_bytes());
    if let Some(channels) = codec.channels.filter(|channels| *channels > 1) {
        name.extend_from_slice(format!("/{channels}").as_bytes());
    }
    Some(name)
}
