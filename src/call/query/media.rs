//! One media of a party, and its streams.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use windlass_ng::{DictWriter, ListWriter};
use windlass_sdp::Setup;

use super::{Egress, PacketClock, Totals, family, heard, ports_of, put_counters, put_endpoint};
use crate::call::agents::AgentView;
use crate::call::flows::SsrcReporting;
use crate::call::model::leg::Leg;
use crate::call::model::media::{LegacyPair, Media, PacketTime, Port};
use crate::flow::Component;
use crate::flow::path::{Path, WhyUp};
use crate::flow::quality::{Look, Quality};
use crate::flow::stats::{FlowStats, SsrcStats};
use crate::media::report::Sample;

#[expect(
    clippy::too_many_arguments,
    reason = "what a media shows comes from many places"
)]
pub(super) fn describe(
    index: usize,
    leg: &Leg,
    media: &Media,
    agent: AgentView<'_>,
    is_converted: bool,
    egress: &[Egress<'_>],
    clock: PacketClock,
    totals: &mut Totals,
    reporting: SsrcReporting,
    dict: &mut DictWriter<'_>,
) {
    dict.put("index", index as u64 + 1);
    dict.put("type", media.kind_text.as_bytes());
    dict.put("protocol", media.transport.name().as_bytes());
    if let Some(codec) = codec_in_use(media) {
        dict.put("codec", &*codec);
    }
    for (port, component) in ports_of(media) {
        totals.count(port, component);
    }
    dict.list("streams", |list| {
        // Both are always there, with or without ports.
        for component in [Component::Rtp, Component::Rtcp] {
            list.dict(|dict| describe_stream(leg, media, agent, component, clock, dict));
        }
    });
    dict.list("flags", |list| put_flags(leg, media, is_converted, list));
    let is_inline = matches!(reporting, SsrcReporting::Full | SsrcReporting::Inline);
    dict.list("ingress SSRCs", |list| {
        for source in ingress(media).filter(|_| is_inline) {
            list.dict(|dict| {
                dict.put("SSRC", source.ssrc.load(Relaxed));
                describe_source(source, clock, dict);
            });
        }
    });
    dict.list("egress SSRCs", |list| {
        for Egress { sent, heard } in egress.iter().filter(|_| is_inline) {
            list.dict(|dict| {
                dict.put("SSRC", sent.ssrc.load(Relaxed));
                dict.put("bytes", sent.bytes.load(Relaxed));
                dict.put("packets", sent.packets.load(Relaxed));
                dict.put("last RTP timestamp", sent.last_timestamp.load(Relaxed));
                dict.put("last RTP seq", sent.last_sequence.load(Relaxed));
                if let Some(source) = heard {
                    describe_reported(source, clock, dict);
                }
            });
        }
    });
}

/// The sources that sent to the RTP port of a media, or report there.
pub(super) fn ingress(media: &Media) -> impl Iterator<Item = &SsrcStats> {
    let rtp = ports_of(media).filter(|(_, component)| *component == Component::Rtp);
    rtp.flat_map(|(port, _)| heard(port))
}

fn put_flags(leg: &Leg, media: &Media, is_converted: bool, list: &mut ListWriter<'_>) {
    let rules = &leg.source_rules;
    let extras = media.extras.as_deref();
    let extra = |read: fn(&crate::call::model::media::Extras) -> bool| extras.is_some_and(read);
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
            match media.has_ice() {
                true => extra(|extras| extras.ice.controlling),
                false => media.transport.is_rtp() && media.is_offered_to,
            },
            "ICE controlling",
        ),
        (
            extra(|e| e.ice.is_active && e.ice.peer_lite),
            "ICE-lite peer",
        ),
        (extra(|e| e.ice.is_active && e.ice.lite), "ICE-lite self"),
        (rules.unidirectional, "unidirectional"),
        (extra(|extras| extras.is_loop_checked), "loop check"),
        (
            matches!(media.packet_time, PacketTime::Set(_)),
            "ptime-override",
        ),
        (media.transport.has_feedback(), "RTCP feedback"),
        (extra(|extras| extras.makes_reports), "RTCP generator"),
        (extra(|extras| extras.echo), "echo"),
        (extra(|extras| extras.blackhole), "blackhole"),
        (extra(|extras| extras.sdes.prefers_first), "SDES reordered"),
        (
            extra(|extras| extras.legacy == Some(LegacyPair::RtpFirst)),
            "legacy OSRTP",
        ),
        (
            extra(|extras| extras.legacy == Some(LegacyPair::SrtpFirst)),
            "reverse legacy OSRTP",
        ),
        (is_converted, "transcoding"),
    ];
    put_set(list, &listed);
}

/// The names of what is set.
fn put_set(list: &mut ListWriter<'_>, listed: &[(bool, &str)]) {
    let set = listed.iter().filter(|(is_set, _)| *is_set);
    set.for_each(|&(_, name)| list.put(name));
}

fn describe_stream(
    leg: &Leg,
    media: &Media,
    agent: AgentView<'_>,
    component: Component,
    clock: PacketClock,
    dict: &mut DictWriter<'_>,
) {
    let map = media.ports();
    // With ICE, the ports are those of the pair that media takes.
    let of_pair = agent.path(component).and_then(|path| {
        let is_its = |port: &Port| port.local == path.local;
        let mut sets = map?.sets();
        sets.find(|set| is_its(&set.rtp) || set.rtcp.as_ref().is_some_and(is_its))
    });
    let ports = of_pair.or_else(|| map.map(|map| &map.main));
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
    let last_packets = stats.map_or([0; 2], FlowStats::last_packets_ms);
    let [last_kernel, last_user] = last_packets.map(|mark| clock.unix_seconds(mark));
    let path = stats.map(|stats| stats.path.get());
    let why_up = path.and_then(Path::why_up);
    if let Some(set) = ports {
        // RTCP that shares the port of RTP has none of its own.
        let local = set.rtp.local.ip();
        dict.put("local port", port.map_or(0, |port| port.local.port()));
        dict.put("local address", local);
        dict.put("family", family(local));
    }
    put_endpoint(dict, "endpoint", peer.destination.or(signalled));
    put_endpoint(dict, "advertised endpoint", signalled);
    // What is in use, not what was spoken of.
    let by_dtls = agent.keys(component);
    let extras = media.extras.as_deref();
    let by_sdes = extras.and_then(|extras| extras.sdes.protection.as_ref());
    if let Some(protection) = by_dtls.or(by_sdes) {
        dict.put("crypto suite", protection.suite());
        if let Some(left_out) = protection.left_out() {
            dict.put("crypto parameters", &*left_out);
        }
    }
    dict.put("last packet", last);
    dict.put("last kernel packet", last_kernel);
    dict.put("last user packet", last_user);
    if let Some(first) = ingress(media).next() {
        dict.put("SSRC", first.ssrc.load(Relaxed));
    }
    let is_rtcp = component == Component::Rtcp;
    let listed = [
        (!is_rtcp, "RTP"),
        (is_rtcp || media.mux.agreed, "RTCP"),
        (is_rtcp && media.mux.agreed, "fallback RTCP"),
        (signalled.is_some(), "filled"),
        (peer.settled, "confirmed"),
        (path.is_some_and(Path::is_kernel), "kernelized"),
        (why_up.is_some_and(WhyUp::needs_worker), "no kernel support"),
        (by_dtls.is_some(), "DTLS fingerprint verified"),
        (leg.source_rules.strict_source, "strict source address"),
        (leg.source_rules.media_handover, "media handover"),
    ];
    dict.list("flags", |list| put_set(list, &listed));
    let received = [
        counted(|stats| &stats.packets_in),
        counted(|stats| &stats.bytes_in),
        counted(|stats| &stats.errors_in),
    ];
    put_counters(dict, "stats", received);
    let sent = [
        counted(|stats| &stats.packets_out),
        counted(|stats| &stats.bytes_out),
        counted(|stats| &stats.errors_out),
    ];
    put_counters(dict, "stats_out", sent);
    if let Some(path) = path.filter(|_| !is_rtcp) {
        dict.put("path", path.name());
        if let Some(why) = why_up {
            dict.put("path reason", why.text());
        }
    }
}

pub(super) fn describe_source(source: &SsrcStats, clock: PacketClock, dict: &mut DictWriter<'_>) {
    dict.put("bytes", source.bytes.load(Relaxed));
    dict.put("packets", source.packets.load(Relaxed));
    dict.put("last RTP timestamp", source.last_timestamp.load(Relaxed));
    dict.put("last RTP seq", source.last_sequence.load(Relaxed));
    describe_reported(source, clock, dict);
}

fn describe_reported(source: &SsrcStats, clock: PacketClock, dict: &mut DictWriter<'_>) {
    if let Some(quality) = source.quality.get() {
        let quality = quality.lock().unwrap_or_else(PoisonError::into_inner);
        describe_quality(dict, &quality, source.lost.load(Relaxed), clock);
    }
}

/// How a source hears, once there is a score (spec: media-behaviour §9.1). `lost` is our own count of
/// what is missing of its packets.
fn describe_quality(dict: &mut DictWriter<'_>, quality: &Quality, lost: u64, clock: PacketClock) {
    let (Some(lowest), Some(highest)) = (&quality.lowest, &quality.highest) else {
        return;
    };
    dict.put("cumulative loss", lost);
    dict.dict("average MOS", |dict| {
        describe_sample(&quality.scored.average(), dict);
        dict.put("samples", quality.scored.samples.max(1));
    });
    dict.dict("lowest MOS", |dict| describe_look(lowest, clock, dict));
    dict.dict("highest MOS", |dict| describe_look(highest, clock, dict));
    dict.dict("MOS progression", |dict| {
        let progression = quality.progression();
        dict.put("interval", progression.interval_s);
        dict.list("entries", |list| {
            for look in &progression.entries {
                list.dict(|dict| describe_look(look, clock, dict));
            }
        });
    });
}

fn describe_look(look: &Look, clock: PacketClock, dict: &mut DictWriter<'_>) {
    describe_sample(&look.sample, dict);
    dict.put("reported at", clock.unix_seconds(look.at_ms + 1));
}

fn describe_sample(sample: &Sample, dict: &mut DictWriter<'_>) {
    dict.put("MOS", u64::from(sample.mos.unwrap_or_default()));
    dict.put("round-trip time", u64::from(sample.round_trip_us));
    dict.put("round-trip time leg", u64::from(sample.round_trip_leg_us));
    dict.put("jitter", u64::from(sample.jitter_ms));
    dict.put("packet loss", u64::from(sample.loss_percent));
}

/// The codec of the payload type with the most packets, as `name/clock`.
pub(crate) fn codec_in_use(media: &Media) -> Option<Vec<u8>> {
    let sending = ingress(media).filter(|source| source.packets.load(Relaxed) > 0);
    let source = sending.max_by_key(|source| source.packets.load(Relaxed))?;
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
