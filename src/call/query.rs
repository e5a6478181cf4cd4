//! What a call looks like to the proxy (spec: ng-protocol §12).

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use windlass_ng::{Dict, Tag, Value};

use super::leg::{Leg, LegIndex, Media, Port};
use super::state::Call;
use crate::flow::Component;
use crate::flow::stats::SsrcStats;

/// Converts the data plane's packet clock to wall time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketClock {
    /// The packet clock now, in milliseconds.
    pub(crate) now_ms: u64,
    /// Wall time now, in seconds since 1970.
    pub(crate) unix_s: u64,
}

impl PacketClock {
    /// Unix seconds of a mark made by the data plane; 0: never.
    fn unix_seconds(self, mark: u64) -> u64 {
        match mark.checked_sub(1) {
            None => 0,
            Some(at) => self
                .unix_s
                .saturating_sub(self.now_ms.saturating_sub(at) / 1000),
        }
    }
}

/// Which legs a reply describes.
pub(crate) enum Selection {
    All,
    Legs(Vec<LegIndex>),
}

impl Call {
    /// The legs that a tag selects: its own, and those it hears.
    pub(crate) fn selection_of(&self, tag: &Tag) -> Selection {
        let mut legs = Vec::new();
        if let Some(index) = self.leg_by_tag(tag) {
            legs.push(index);
            if let Some(leg) = self.leg(index) {
                legs.extend(leg.sources.iter().filter(|&&source| source != index));
            }
        }
        Selection::Legs(legs)
    }

    /// The structure of a `query` or `delete` reply.
    pub(crate) fn describe(&self, selection: &Selection, clock: PacketClock) -> Dict {
        let mut reply = Dict::new();
        let created = self.created.unix;
        reply.push("created", int(created.as_secs()));
        reply.push("created_us", int(u64::from(created.subsec_micros())));
        reply.push(
            "created_ts",
            int(u64::try_from(created.as_micros()).unwrap_or(u64::MAX)),
        );
        reply.push("last signal", int(self.last_signal.unix.as_secs()));
        reply.push("last redis update", int(0));
        let mut sources = Dict::new();
        let mut tags = Dict::new();
        let mut totals = Totals::default();
        for (index, leg) in self.legs.iter().enumerate() {
            let selected = match selection {
                Selection::All => true,
                Selection::Legs(legs) => legs.contains(&index),
            };
            if !selected {
                continue;
            }
            let name = match &leg.tag {
                Some(tag) => tag.as_bytes().to_vec(),
                None => format!("<untagged {index}>").into_bytes(),
            };
            tags.push_bytes(name, self.describe_leg(index, leg, clock, &mut totals));
            for media in &leg.medias {
                for (port, _) in ports_of(media).filter(|(_, c)| *c == Component::Rtp) {
                    for source in heard(port) {
                        let key = source.ssrc.load(Relaxed).to_string();
                        sources.push_bytes(key.into_bytes(), describe_source(source));
                    }
                }
            }
        }
        reply.push("SSRC", sources);
        reply.push("tags", tags);
        reply.push("totals", totals.describe());
        reply
    }

    fn describe_leg(
        &self,
        index: LegIndex,
        leg: &Leg,
        clock: PacketClock,
        totals: &mut Totals,
    ) -> Dict {
        let mut dict = Dict::new();
        if let Some(tag) = &leg.tag {
            dict.push("tag", bytes(tag.as_bytes()));
        }
        if let Some(branch) = &leg.branch {
            dict.push("via-branch", bytes(branch.as_bytes()));
        }
        if !leg.aliases.is_empty() {
            let aliases = leg
                .aliases
                .iter()
                .map(|tag| bytes(tag.as_bytes()))
                .collect();
            dict.push("tag-aliases", Value::List(aliases));
        }
        if let Some(label) = &leg.label {
            dict.push("label", bytes(label));
        }
        dict.push("created", int(leg.created.unix.as_secs()));
        if let Some(metadata) = &leg.metadata {
            dict.push("metadata", bytes(metadata));
        }
        let subscriptions = leg
            .sources
            .iter()
            .filter_map(|&source| self.describe_peer(source));
        dict.push("subscriptions", Value::List(subscriptions.collect()));
        let subscribers = self.legs.iter().enumerate();
        let subscribers = subscribers
            .filter(|(_, other)| other.sources.contains(&index))
            .filter_map(|(other, _)| self.describe_peer(other));
        dict.push("subscribers", Value::List(subscribers.collect()));
        let medias = leg.medias.iter().enumerate();
        let medias = medias.map(|(i, media)| describe_media(i, leg, media, clock, totals).into());
        dict.push("medias", Value::List(medias.collect()));
        dict.push("VSC", Value::List(Vec::new()));
        dict
    }

    fn describe_peer(&self, index: LegIndex) -> Option<Value> {
        let leg = self.leg(index)?;
        let tag = leg.tag.as_ref().map_or(&b""[..], |tag| tag.as_bytes());
        let mut dict = Dict::new();
        dict.push("tag", bytes(tag));
        dict.push("type", text("offer/answer"));
        Some(dict.into())
    }
}

fn describe_media(
    index: usize,
    leg: &Leg,
    media: &Media,
    clock: PacketClock,
    totals: &mut Totals,
) -> Dict {
    let mut dict = Dict::new();
    dict.push("index", int(index as u64 + 1));
    dict.push("type", bytes(media.kind.as_bytes()));
    dict.push("protocol", bytes(media.transport.name().as_bytes()));
    if let Some(codec) = codec_in_use(media) {
        dict.push("codec", Value::Bytes(codec));
    }
    let mut streams = Vec::new();
    for (port, component) in ports_of(media) {
        totals.count(port, component);
        streams.push(describe_stream(leg, media, port, component, clock).into());
    }
    dict.push("streams", Value::List(streams));
    let mut flags = Vec::new();
    let mut flag = |is_set: bool, name| is_set.then(|| flags.push(text(name)));
    flag(media.endpoint.is_some(), "initialized");
    flag(leg.source_rules.asymmetric, "asymmetric");
    flag(media.send, "send");
    flag(media.recv, "recv");
    flag(media.mux.agreed, "rtcp-mux");
    dict.push("flags", Value::List(flags));
    let ingress = ports_of(media).filter(|(_, component)| *component == Component::Rtp);
    let ingress = ingress.flat_map(|(port, _)| heard(port)).map(|source| {
        let mut entry = Dict::new();
        entry.push("SSRC", int(u64::from(source.ssrc.load(Relaxed))));
        for (key, value) in describe_source(source) {
            entry.push_bytes(key, value);
        }
        entry.into()
    });
    dict.push("ingress SSRCs", Value::List(ingress.collect()));
    dict.push("egress SSRCs", Value::List(Vec::new()));
    dict
}

fn describe_stream(
    leg: &Leg,
    media: &Media,
    port: &Port,
    component: Component,
    clock: PacketClock,
) -> Dict {
    let stats = &port.stats;
    let peer = stats.peer();
    let signalled = media.endpoint.map(|endpoint| match component {
        Component::Rtp => endpoint.rtp,
        Component::Rtcp => endpoint.rtcp,
    });
    let last = clock.unix_seconds(stats.last_packet_ms.load(Relaxed));
    let mut dict = Dict::new();
    dict.push("local port", int(u64::from(port.local.port())));
    dict.push("local address", Value::from(port.local.ip().to_string()));
    dict.push("family", text(family(port.local.ip())));
    dict.push("endpoint", describe_address(peer.destination.or(signalled)));
    dict.push("advertised endpoint", describe_address(signalled));
    dict.push("last packet", int(last));
    dict.push("last kernel packet", int(0));
    dict.push("last user packet", int(last));
    if component == Component::Rtp
        && let Some(first) = heard(port).next()
    {
        dict.push("SSRC", int(u64::from(first.ssrc.load(Relaxed))));
    }
    let mut flags = Vec::new();
    let mut flag = |is_set: bool, name| is_set.then(|| flags.push(text(name)));
    flag(component == Component::Rtp, "RTP");
    flag(component == Component::Rtcp || media.mux.agreed, "RTCP");
    flag(
        component == Component::Rtcp && media.mux.agreed,
        "fallback RTCP",
    );
    flag(signalled.is_some(), "filled");
    flag(peer.settled, "confirmed");
    flag(leg.source_rules.strict_source, "strict source address");
    flag(leg.source_rules.media_handover, "media handover");
    dict.push("flags", Value::List(flags));
    let counters = |packets: u64, bytes: u64, errors: u64| {
        let mut dict = Dict::new();
        dict.push("packets", int(packets));
        dict.push("bytes", int(bytes));
        dict.push("errors", int(errors));
        dict
    };
    dict.push(
        "stats",
        counters(
            stats.packets_in.load(Relaxed),
            stats.bytes_in.load(Relaxed),
            stats.errors_in.load(Relaxed),
        ),
    );
    dict.push(
        "stats_out",
        counters(
            stats.packets_out.load(Relaxed),
            stats.bytes_out.load(Relaxed),
            stats.errors_out.load(Relaxed),
        ),
    );
    dict
}

fn describe_address(address: Option<SocketAddr>) -> Dict {
    let mut dict = Dict::new();
    if let Some(address) = address {
        dict.push("family", text(family(address.ip())));
        dict.push("address", Value::from(address.ip().to_string()));
        dict.push("port", int(u64::from(address.port())));
    }
    dict
}

fn describe_source(source: &SsrcStats) -> Dict {
    let mut dict = Dict::new();
    dict.push("bytes", int(source.bytes.load(Relaxed)));
    dict.push("packets", int(source.packets.load(Relaxed)));
    dict.push(
        "last RTP timestamp",
        int(u64::from(source.last_timestamp.load(Relaxed))),
    );
    dict.push(
        "last RTP seq",
        int(u64::from(source.last_sequence.load(Relaxed))),
    );
    dict
}

/// The codec of the payload type that was heard last, as `name/clock`.
fn codec_in_use(media: &Media) -> Option<Vec<u8>> {
    let port = &media.ports()?.rtp;
    let source = heard(port).max_by_key(|source| source.packets.load(Relaxed))?;
    let payload_type = source.payload_type.load(Relaxed);
    let codecs = &media.description.as_ref()?.codecs;
    let codec = codecs
        .iter()
        .find(|codec| u32::from(codec.payload_type) == payload_type)?;
    let mut name = codec.name.as_bytes().to_vec();
    name.extend_from_slice(format!("/{}", codec.clock_rate).as_bytes());
    if codec.channels > 1 {
        name.extend_from_slice(format!("/{}", codec.channels).as_bytes());
    }
    Some(name)
}

fn ports_of(media: &Media) -> impl Iterator<Item = (&Port, Component)> {
    media.ports().into_iter().flat_map(|map| {
        let rtcp = map.rtcp.as_ref().map(|port| (port, Component::Rtcp));
        std::iter::once((&map.rtp, Component::Rtp)).chain(rtcp)
    })
}

/// The sources that were heard on a port.
fn heard(port: &Port) -> impl Iterator<Item = &SsrcStats> {
    let sources = port
        .stats
        .ssrcs
        .get()
        .into_iter()
        .flat_map(|sources| sources.iter());
    sources.filter(|source| source.packets.load(Relaxed) > 0)
}

/// Packets, bytes and errors of all streams of a reply.
#[derive(Default)]
struct Totals {
    rtp: [u64; 3],
    rtcp: [u64; 3],
}

impl Totals {
    fn count(&mut self, port: &Port, component: Component) {
        let sums = match component {
            Component::Rtp => &mut self.rtp,
            Component::Rtcp => &mut self.rtcp,
        };
        let stats = &port.stats;
        let [packets, bytes, errors] = sums;
        *packets += stats.packets_in.load(Relaxed);
        *bytes += stats.bytes_in.load(Relaxed);
        *errors += stats.errors_in.load(Relaxed);
    }

    fn describe(&self) -> Dict {
        let mut dict = Dict::new();
        for (name, [packets, bytes, errors]) in [("RTP", self.rtp), ("RTCP", self.rtcp)] {
            let mut sums = Dict::new();
            sums.push("packets", int(packets));
            sums.push("bytes", int(bytes));
            sums.push("errors", int(errors));
            dict.push(name, sums);
        }
        dict
    }
}

fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

/// An integer of a reply; values that do not fit are cut at the largest that does.
pub(crate) fn int(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn text(value: &'static str) -> Value {
    Value::from(value)
}

fn bytes(value: &[u8]) -> Value {
    Value::Bytes(value.to_vec())
}
