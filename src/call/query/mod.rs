//! The `query` reply for a call (spec: ng-protocol §12).

mod media;

pub(crate) use media::codec_in_use;

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use windlass_ng::{Bencoded, Dict, DictWriter, ListWriter, Tag};

use super::agents::AgentView;
use super::conversion;
use super::flows::{Defaults, SsrcReporting};
use super::model::call::Call;
use super::model::leg::{Leg, LegExtras, LegIndex};
use super::model::media::{Media, Port};
use super::model::proposal::Proposal;
use crate::flow::Component;
use crate::flow::stats::{SentStats, SsrcStats};

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
    pub(crate) fn unix_seconds(self, mark: u64) -> u64 {
        match mark.checked_sub(1) {
            None => 0,
            Some(at) => self
                .unix_s
                .saturating_sub(self.now_ms.saturating_sub(at) / 1000),
        }
    }
}

/// Legs that a reply describes.
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
            for (source, _) in self.sources_of(index) {
                if !legs.contains(&source) {
                    legs.push(source);
                }
            }
        }
        Selection::Legs(legs)
    }

    /// The legs that a leg hears, and whether by offer and answer.
    pub(crate) fn sources_of(&self, index: LegIndex) -> Vec<(LegIndex, Kind)> {
        let Some(leg) = self.leg(index) else {
            return Vec::new();
        };
        let mut sources: Vec<(LegIndex, Kind)> = leg
            .sources
            .iter()
            .map(|&source| (source, Kind::OfferAnswer))
            .collect();
        let extras = leg
            .medias
            .iter()
            .filter_map(|media| media.extras.as_deref());
        for subscription in extras.flat_map(|extras| &extras.subscriptions) {
            if !sources.iter().any(|(known, _)| *known == subscription.leg) {
                sources.push((subscription.leg, Kind::PubSub));
            }
        }
        sources
    }

    /// The live dialogue of a party, where a tag is that of one which a later answer put an end to.
    pub(crate) fn successor_of(&self, tag: &Tag) -> Option<&Tag> {
        let leg = self.leg(self.leg_by_tag(tag)?)?;
        leg.tag.as_ref().filter(|_| leg.is_ended_branch(tag))
    }

    /// The structure of a `query` or `delete` reply.
    pub(crate) fn describe(
        &self,
        selection: &Selection,
        clock: PacketClock,
        defaults: &Defaults,
    ) -> Dict {
        let created = self.created.unix;
        let mut reply = Dict::with_capacity(12)
            .with("created", created.as_secs())
            .with("created_us", u64::from(created.subsec_micros()))
            .with(
                "created_ts",
                u64::try_from(created.as_micros()).unwrap_or(u64::MAX),
            )
            .with("last signal", self.last_signal.unix.as_secs())
            .with("last redis update", 0_u64);
        if let Some(metadata) = self
            .extras
            .as_deref()
            .and_then(|extras| extras.metadata.as_deref())
        {
            reply.push("metadata", metadata);
        }
        let is_selected = |index: LegIndex| match selection {
            Selection::All => true,
            Selection::Legs(legs) => legs.contains(&index),
        };
        let selected = || {
            self.legs
                .iter()
                .enumerate()
                .filter(|&(i, _)| is_selected(i))
        };
        let is_global = matches!(
            defaults.ssrc_reporting,
            SsrcReporting::Full | SsrcReporting::Global
        );
        if is_global {
            let sources =
                selected().flat_map(|(_, leg)| leg.medias.iter().flat_map(media::ingress));
            let sources = Bencoded::dict(|dict| {
                // Several medias may hear one source: the first gives the entry.
                let mut known = HashSet::new();
                for source in sources {
                    let ssrc = source.ssrc.load(Relaxed);
                    if !known.insert(ssrc) {
                        continue;
                    }
                    dict.dict(ssrc.to_string(), |dict| {
                        media::describe_source(source, clock, dict)
                    });
                }
            });
            reply.push("SSRC", sources);
        }
        let mut totals = Totals::default();
        let tags = Bencoded::dict(|tags| {
            for (index, leg) in selected() {
                let name = match &leg.tag {
                    Some(tag) => Cow::Borrowed(tag.as_bytes()),
                    None => Cow::Owned(format!("<untagged {index}>").into_bytes()),
                };
                tags.dict(name, |dict| {
                    self.describe_leg(index, leg, clock, &mut totals, defaults, dict);
                });
            }
        });
        reply.push("tags", tags);
        reply.push("totals", totals.describe());
        if self.has_recording() {
            let recording = Dict::new()
                .with("call recording", u64::from(self.is_recording()))
                .with("forwarding", u64::from(self.is_forwarding()));
            reply.push("recording", recording);
        }
        reply
    }

    fn describe_leg(
        &self,
        index: LegIndex,
        leg: &Leg,
        clock: PacketClock,
        totals: &mut Totals,
        defaults: &Defaults,
        dict: &mut DictWriter<'_>,
    ) {
        // A party that has not answered has an empty one.
        dict.put("tag", tag_of(leg));
        if let Some(branch) = &leg.branch {
            dict.put("via-branch", branch.as_bytes());
        }
        if !leg.aliases.is_empty() {
            dict.list("tag-aliases", |list| {
                let tags = leg.aliases.iter().map(|alias| alias.tag.as_bytes());
                tags.for_each(|tag| list.put(tag));
            });
        }
        let ended = || leg.aliases.iter().filter(|alias| alias.is_ended_branch);
        if ended().next().is_some() {
            dict.list("ended branches", |list| {
                ended().for_each(|alias| list.put(alias.tag.as_bytes()));
            });
        }
        if let Some(label) = &leg.label {
            dict.put("label", label.as_bytes());
        }
        dict.put("created", leg.created.unix.as_secs());
        if let Some(metadata) = &leg.metadata {
            dict.put("metadata", &**metadata);
        }
        dict.list("subscriptions", |list| {
            for (source, kind) in self.sources_of(index) {
                self.describe_peer(source, kind, list);
            }
        });
        dict.list("subscribers", |list| {
            for other in 0..self.legs.len() {
                let sources = self.sources_of(other);
                let by = sources.into_iter().find(|(source, _)| *source == index);
                if let Some((_, kind)) = by {
                    self.describe_peer(other, kind, list);
                }
            }
        });
        let converted = conversion::of_call(self, &defaults.audio);
        dict.list("medias", |list| {
            for (i, media) in leg.medias.iter().enumerate() {
                let egress = self.egress(leg, media);
                let reporting = defaults.ssrc_reporting;
                list.dict(|dict| {
                    let agent = AgentView::new(self, leg, media);
                    let is_converted = converted.iter().any(|chain| chain.involves(index, i));
                    media::describe(
                        i,
                        leg,
                        media,
                        agent,
                        is_converted,
                        &egress,
                        clock,
                        totals,
                        reporting,
                        dict,
                    );
                });
            }
        });
        self.describe_proposals(index, leg, clock, dict);
        let codes = self.extras.as_deref().and_then(|e| e.codes.as_ref());
        dict.list("VSC", |list| {
            if let Some(codes) = codes {
                codes.describe(list);
            }
        });
        if self.has_recording() {
            let extras = leg.extras.as_deref();
            let is = |read: fn(&LegExtras) -> bool| u64::from(extras.is_some_and(read));
            dict.dict("recording", |dict| {
                dict.put("excluded", is(|extras| extras.is_unrecorded));
                dict.put("forwarding", is(|extras| extras.is_forwarding));
            });
        }
    }

    /// What a party has offered and nobody has answered: its medias as they would be then.
    fn describe_proposals(
        &self,
        index: LegIndex,
        leg: &Leg,
        clock: PacketClock,
        dict: &mut DictWriter<'_>,
    ) {
        let is_own = |proposal: &&Proposal| proposal.parties.sender == index;
        if !self.proposals().iter().any(|proposal| is_own(&proposal)) {
            return;
        }
        dict.list("pending offers", |list| {
            for proposal in self.proposals().iter().filter(is_own) {
                let medias = proposal.medias_of(index).unwrap_or(&leg.medias);
                list.dict(|dict| {
                    if let Some(to) = self.leg(proposal.parties.receiver) {
                        dict.put("to-tag", tag_of(to));
                    }
                    dict.put("created", proposal.at.unix.as_secs());
                    dict.list("medias", |list| {
                        for (i, media) in medias.iter().enumerate() {
                            // Its streams are counted where they are agreed.
                            let (none, mut totals) = (SsrcReporting::None, Totals::default());
                            list.dict(|dict| {
                                let agent = AgentView::new(self, leg, media);
                                media::describe(
                                    i,
                                    leg,
                                    media,
                                    agent,
                                    false,
                                    &[],
                                    clock,
                                    &mut totals,
                                    none,
                                    dict,
                                );
                            });
                        }
                    });
                });
            }
        });
    }

    /// Whether something of the call is recorded, was until it was paused, or is forwarded.
    fn has_recording(&self) -> bool {
        let forwards = |leg: &Leg| leg.extras.as_deref().is_some_and(|e| e.is_forwarding);
        self.recording_file().is_some() || self.is_forwarding() || self.legs.iter().any(forwards)
    }

    fn is_forwarding(&self) -> bool {
        self.extras
            .as_deref()
            .is_some_and(|extras| extras.is_forwarding)
    }

    /// The sources whose packets went to a party, with the data of the flow that they arrived on.
    /// They keep their SSRCs, so these are the sources that the party receives.
    fn egress<'a>(&'a self, leg: &Leg, media: &'a Media) -> Vec<Egress<'a>> {
        let by_offer = leg.sources.iter().filter_map(|&source| {
            let medias = &self.leg(source)?.medias;
            medias.iter().find(|other| other.line == media.line)
        });
        let subscriptions = media.extras.as_deref().into_iter();
        let subscriptions = subscriptions.flat_map(|extras| &extras.subscriptions);
        let subscribed =
            subscriptions.filter_map(|source| self.leg(source.leg)?.medias.get(source.media));
        let heard: Vec<&SsrcStats> = by_offer
            .chain(subscribed)
            .flat_map(media::ingress)
            .collect();
        let sent = ports_of(media).flat_map(|(port, _)| port.stats.sent.iter());
        let sent = sent.filter(|source| source.packets.load(Relaxed) > 0);
        let egress = sent.map(|sent| {
            let ssrc = sent.ssrc.load(Relaxed);
            let heard = heard.iter().find(|heard| heard.ssrc.load(Relaxed) == ssrc);
            Egress {
                sent,
                heard: heard.copied(),
            }
        });
        egress.collect()
    }

    fn describe_peer(&self, index: LegIndex, kind: Kind, list: &mut ListWriter<'_>) {
        let Some(leg) = self.leg(index) else {
            return;
        };
        list.dict(|dict| {
            dict.put("tag", tag_of(leg));
            let kind = match kind {
                Kind::OfferAnswer => "offer/answer",
                Kind::PubSub => "pub/sub",
            };
            dict.put("type", kind);
        });
    }
}

/// The tag of a leg, empty without one.
fn tag_of(leg: &Leg) -> &[u8] {
    leg.tag.as_ref().map_or(&[], |tag| tag.as_bytes())
}

/// A source whose packets went to a party.
pub(crate) struct Egress<'a> {
    sent: &'a SentStats,
    /// Statistics of the flow that it arrived on.
    heard: Option<&'a SsrcStats>,
}

/// Kind of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    OfferAnswer,
    PubSub,
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

    fn describe(&self) -> Bencoded {
        Bencoded::dict(|dict| {
            for (name, sums) in [("RTP", self.rtp), ("RTCP", self.rtcp)] {
                put_counters(dict, name, sums);
            }
        })
    }
}

/// Packets, bytes and errors.
fn put_counters(dict: &mut DictWriter<'_>, key: &str, [packets, bytes, errors]: [u64; 3]) {
    dict.dict(key, |dict| {
        dict.put("packets", packets);
        dict.put("bytes", bytes);
        dict.put("errors", errors);
    });
}

/// The ports of a media with their components: those in use.
pub(crate) fn ports_of(media: &Media) -> impl Iterator<Item = (&Port, Component)> {
    media.ports().into_iter().flat_map(|map| {
        // With ICE there are several sets, and the party chooses.
        map.sets().flat_map(|set| {
            let rtcp = set.rtcp.as_ref().map(|port| (port, Component::Rtcp));
            std::iter::once((&set.rtp, Component::Rtp)).chain(rtcp)
        })
    })
}

/// The sources that sent to a port or report there.
pub(crate) fn heard(port: &Port) -> impl Iterator<Item = &SsrcStats> {
    let sources = port.stats.ssrcs.iter();
    sources.filter(|source| source.is_known())
}

/// The way the protocol shows an address and port; empty without one.
fn put_endpoint(dict: &mut DictWriter<'_>, key: &str, endpoint: Option<SocketAddr>) {
    dict.dict(key, |dict| {
        if let Some(endpoint) = endpoint {
            dict.put("family", family(endpoint.ip()));
            dict.put("address", endpoint.ip());
            dict.put("port", endpoint.port());
        }
    });
}

fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}
