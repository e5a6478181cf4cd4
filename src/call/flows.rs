//! Derives the flows of a call from its state.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use windlass_ng::request::VscCodes;

use super::agents::AgentView;
use super::conversion;
use super::exchange::{AudioDefaults, mid_of};
use super::final_stats::Marks;
use super::model::call::Call;
use super::model::leg::{Leg, LegIndex, Muted};
use super::model::media::{Endpoint, EndpointMap, Media, Port, PortSet};
use super::voiced::Voiced;
use super::voip::Measure;
use crate::flow::bundle::{Bundle, BundledLine};
use crate::flow::digits::DigitBlock;
use crate::flow::extensions::{ExtensionIds, ExtensionRules, MidElement};
use crate::flow::secure::Security;
use crate::flow::{
    Carries, Change, Component, FlowSpec, Guards, Payload, PayloadTypes, Reports, Sink, SinkRules,
    Taps, Withhold,
};
use crate::media::dtmf;
use crate::media::g711;
use crate::media::latch::{Learning, PeerSpec};
use crate::media::reach::{self, Reach};

/// Values for calls whose signalling does not name others.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Learning mode.
    pub learning: Learning,
    /// TOS / traffic class of media.
    pub tos: Option<u8>,
    /// Addresses of proxies in front: a SIP source that is one of them is not the phone's.
    pub signalling_hops: Vec<IpAddr>,
    /// Forbidden destinations of media.
    pub reach: Arc<reach::Rules>,
    /// The SIP source stands in for the addresses of SDP (`--sip-source`).
    pub sip_source: bool,
    /// We leave the start of DTLS to a party that leaves it to us (`--dtls-passive`).
    pub dtls_passive: bool,
    /// ICE has ports on one address alone (`--save-interface-ports`).
    pub save_interface_ports: bool,
    /// Broken SDP is refused instead of read as far as it goes (`--reject-invalid-sdp`).
    pub reject_invalid_sdp: bool,
    /// Digits are reported.
    pub report_digits: bool,
    /// DTMF codes that control recording, where a request has none of its own.
    pub codes: VscCodes,
    /// A longer pause between digits ends a code; zero: [`crate::media::dtmf::DIGIT_GAP`].
    pub digit_gap: Duration,
    /// Place of single sources in `query`.
    pub ssrc_reporting: SsrcReporting,
    /// Quality samples that are taken.
    pub measure: Measure,
    /// What is known of decoded audio.
    pub audio: AudioDefaults,
    /// Marks around addresses and tags in the log.
    pub log_marks: Marks,
}

impl Defaults {
    /// A longer pause between digits ends a code.
    pub(crate) fn digit_gap(&self) -> Duration {
        match self.digit_gap {
            Duration::ZERO => dtmf::DIGIT_GAP,
            gap => gap,
        }
    }
}

/// Places of single sources in `query` (`--ssrc-reporting`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SsrcReporting {
    /// Beside the parties and inside their medias.
    #[default]
    Full,
    /// Inside the medias.
    Inline,
    /// Beside the parties.
    Global,
    /// Nowhere.
    None,
}

/// All flows of a call, in no particular order.
pub(crate) fn of_call(call: &Call, defaults: &Defaults) -> Vec<FlowSpec> {
    let hearers = hearers(call);
    let mut flows = Vec::with_capacity(4);
    for (leg_index, leg) in call.legs.iter().enumerate() {
        for (media_index, media) in leg.medias.iter().enumerate() {
            for map in &media.maps {
                for set in map.sets() {
                    let at = Place {
                        call,
                        defaults,
                        hearers: hearers.get(leg_index).map_or(&[], Vec::as_slice),
                        leg_index,
                        leg,
                        media_index,
                        media,
                        set,
                    };
                    flows.push(at.flow(Component::Rtp, &set.rtp));
                    if let Some(rtcp) = &set.rtcp {
                        flows.push(at.flow(Component::Rtcp, rtcp));
                    }
                }
            }
        }
    }
    flows
}

/// For every leg, the legs that may receive its media, in order: forks and conferences have
/// hundreds.
fn hearers(call: &Call) -> Vec<Vec<LegIndex>> {
    let mut hearers: Vec<Vec<LegIndex>> = vec![Vec::new(); call.legs.len()];
    let mut add = |source: LegIndex, hearer: LegIndex| {
        if let Some(list) = hearers.get_mut(source)
            && list.last() != Some(&hearer)
        {
            list.push(hearer);
        }
    };
    for (index, leg) in call.legs.iter().enumerate() {
        leg.sources.iter().for_each(|&source| add(source, index));
        let extras = leg
            .medias
            .iter()
            .filter_map(|media| media.extras.as_deref());
        for subscription in extras.flat_map(|extras| &extras.subscriptions) {
            add(subscription.leg, index);
        }
    }
    hearers
}

/// One port set of one media of one leg, with the data for its flows.
struct Place<'a> {
    call: &'a Call,
    defaults: &'a Defaults,
    /// The legs that may hear this one.
    hearers: &'a [LegIndex],
    leg_index: LegIndex,
    leg: &'a Leg,
    media_index: usize,
    media: &'a Media,
    set: &'a PortSet,
}

/// A media that receives the packets of another.
struct Listener<'a> {
    leg: &'a Leg,
    media: &'a Media,
    /// The ports that it is sent from.
    map: &'a EndpointMap,
    /// It gets RTP. A subscriber that is not to receive any still gets RTCP.
    takes_media: bool,
    /// It gets RTCP.
    takes_reports: bool,
    /// It hears what the peers of the source hear, as they do.
    egress: bool,
    /// What is known of its agent.
    agent: AgentView<'a>,
}

impl Listener<'_> {
    /// The local port that its RTP leaves from: that of the pair that ICE found.
    fn rtp_port(&self) -> SocketAddr {
        let path = self.agent.path(Component::Rtp);
        path.map_or(self.map.main.rtp.local, |path| path.local)
    }

    /// The local port that its RTCP leaves from.
    fn rtcp_port(&self) -> SocketAddr {
        if let Some(path) = self.agent.path(Component::Rtcp) {
            return path.local;
        }
        match &self.map.main.rtcp {
            Some(port) if !self.media.mux.agreed => port.local,
            _ => self.map.main.rtp.local,
        }
    }
}

impl<'a> Place<'a> {
    fn flow(&self, component: Component, port: &Port) -> FlowSpec {
        let media = self.media;
        let payload = self.payload();
        let security = self.security(component);
        FlowSpec {
            local: port.local,
            component,
            rtp_sibling: (component == Component::Rtcp).then_some(self.set.rtp.local),
            peer: self.peer(component, port.local, &security),
            receive: self.members().any(|member| member.recv),
            discard: self.call.discard || media.extra(|extras| extras.blackhole),
            sinks: self.sinks(component, port, &payload),
            tos: self.call.tos.or(self.defaults.tos),
            taps: self.taps(component),
            reports: self.reports(component, port),
            guards: Guards {
                loops: media.extra(|extras| extras.is_loop_checked),
                short: self.leg.source_rules.block_short
                    && component == Component::Rtp
                    && payload != Payload::Opaque,
            },
            payload,
            security,
            agent: self.agent().of_flow(component),
            bundle: self.bundle(),
        }
    }

    /// What is known of the agent of these ports.
    fn agent(&self) -> AgentView<'a> {
        AgentView::new(self.call, self.leg, self.media)
    }

    /// Protection of what passes here.
    fn security(&self, component: Component) -> Security {
        let by_dtls = self.agent().security(component);
        let by_dtls = by_dtls.filter(|_| !self.is_opaque());
        by_dtls.unwrap_or_else(|| head_of(self.leg, self.media).security())
    }

    /// How the packets of the lines that share the port are told apart.
    fn bundle(&self) -> Option<Box<Bundle>> {
        // A bundle of one line may have another by the time that its packets come.
        let is_named = || {
            let extras = self.media.extras.as_deref();
            let mid = extras.and_then(|extras| mid_of(&extras.extensions.list));
            mid.is_some() && self.media.mid.is_some() && self.leg.bundles()
        };
        if self.members().nth(1).is_none() && !is_named() {
            return None;
        }
        let own: Vec<PayloadTypes> = self.members().map(|member| member.formats.types).collect();
        let heard: Vec<PayloadTypes> = self
            .members()
            .map(|member| {
                let types = self.listeners(member).map(|to| to.media.formats.types);
                types.fold(PayloadTypes::default(), PayloadTypes::union)
            })
            .collect();
        let ((named, ambiguous), (_, heard_twice)) = (repeated(&own), repeated(&heard));
        let types = own.iter().zip(&heard).map(|(own, heard)| {
            // What a listener takes comes without having been named by the sender.
            let beside = heard.without(heard_twice).without(named);
            own.without(ambiguous).union(beside)
        });
        let lines = self.members().zip(types).map(|(member, types)| {
            let mid = member.mid.as_ref().map_or(&b""[..], |mid| mid.as_bytes());
            BundledLine {
                mid: mid.into(),
                types,
            }
        });
        let mut members = self.members();
        let position = members.position(|member| member.line == self.media.line);
        let head = head_of(self.leg, self.media);
        let extras = head.extras.as_deref();
        Some(Box::new(Bundle {
            mid: extras.and_then(|extras| mid_of(&extras.extensions.list)),
            lines: lines.collect(),
            own: position.and_then(|own| u8::try_from(own).ok()).unwrap_or(0),
        }))
    }

    /// The medias whose packets arrive on these ports: one, or those of a bundle.
    fn members(&self) -> impl Iterator<Item = &'a Media> {
        // A port that a line had before its bundle is served like the shared one.
        let extras = self.media.extras.as_deref();
        let head = extras.and_then(|extras| extras.bundle_head);
        let (head, own) = (head.unwrap_or(self.media_index), self.media.line);
        let medias = self.leg.medias.iter();
        medias.filter(move |media| {
            media.line == own
                || media.extra(|extras| extras.bundle_head == Some(head)) && !media.rejected
        })
    }

    fn is_opaque(&self) -> bool {
        let media = self.media;
        // DTLS records travel on the same port as the media that they key (RFC 5764 §5.1.2).
        !media.transport.is_rtp() || media.is_passed_through()
    }

    fn payload(&self) -> Payload {
        if self.is_opaque() {
            return Payload::Opaque;
        }
        let mut types = PayloadTypes::default();
        for member in self.members() {
            types = types.union(member.formats.types);
            for listener in self.listeners(member) {
                types = types.union(listener.media.formats.types);
            }
        }
        Payload::Rtp {
            types,
            clock_rate: self.media.formats.clock_rate,
        }
    }

    fn peer(&self, component: Component, at: SocketAddr, security: &Security) -> PeerSpec {
        let (leg, media, local) = (self.leg, self.media, at.ip());
        let of = |endpoint: Endpoint| match component {
            Component::Rtp => endpoint.rtp,
            Component::Rtcp => endpoint.rtcp,
        };
        let signalled = media.endpoint.map(of);
        let extras = media.extras.as_deref();
        let proposed = extras.and_then(|extras| extras.proposed).map(of);
        // A party that does not know yet that its bundle is taken up sends from all of its ports.
        let mut others: Vec<SocketAddr> = self
            .members()
            .filter_map(|member| member.endpoint.map(of))
            .collect();
        others.retain(|other| Some(*other) != signalled);
        others.sort_unstable();
        others.dedup();
        // Ports on an address of the other family cannot reach what SDP named; ICE says where to.
        let signalled = signalled.filter(|s| s.is_ipv4() == local.is_ipv4() || !media.has_ice());
        let is_private = signalled.is_some_and(|s| reach::is_private_from(s.ip(), local));
        let rules = &leg.source_rules;
        let learning = rules.learning.unwrap_or(self.defaults.learning);
        PeerSpec {
            signalled,
            proposed: proposed.filter(|proposed| Some(*proposed) != signalled),
            others_signalled: others.into(),
            signalled_private: is_private,
            trusts_signalled: rules.trusts_signalled,
            received_from: rules
                .received_from
                .filter(|&from| self.may_be_the_partys_own(from, is_private, local)),
            sends: self
                .members()
                .any(|member| member.recv && !member.zero_address),
            wants: self
                .members()
                .any(|member| !member.rejected && !member.zero_address)
                // With ICE, the pair says where to.
                && (signalled.is_some() || media.has_ice()),
            reach: Reach::new(local, self.defaults.reach.clone()),
            // `guarded` goes by its table alone; an answer changes none of its flows.
            is_shown: learning == Learning::Guarded || !leg.is_unseen,
            learning,
            asymmetric: rules.asymmetric,
            strict_source: rules.strict_source,
            media_handover: rules.media_handover,
            nat_wait: rules.nat_wait,
            pierce_nat: rules.pierce_nat,
            is_authenticated: match security {
                Security::Plain => false,
                Security::Awaited => true,
                Security::Keyed(protection) => protection.is_authenticated(),
            },
            validated: self.agent().validated(component, at),
            signalled_at: leg.signalled_at,
        }
    }

    /// Whether the SIP source can be where the phone itself is (spec: media-behaviour §3.1, R).
    fn may_be_the_partys_own(&self, from: IpAddr, signalled_private: bool, local: IpAddr) -> bool {
        !self.defaults.signalling_hops.contains(&from)
            && self.call.created_from.ip() != from
            && !(signalled_private && reach::is_private_from(from, local))
    }

    /// The medias that receive what arrives for one media here: the same m= line of every leg
    /// that has this one as a source, and those that subscribed to it.
    fn listeners(&self, member: &'a Media) -> impl Iterator<Item = Listener<'a>> {
        let (me, line) = (self.leg_index, member.line);
        let position = self.leg.medias.iter().position(|media| media.line == line);
        let legs = self.hearers.iter();
        let legs = legs.filter_map(|&leg| self.call.legs.get(leg));
        legs.filter(|leg| leg.is_here()).flat_map(move |leg| {
            let hears_leg = leg.sources.contains(&me);
            leg.medias.iter().filter_map(move |media| {
                let by_answer = hears_leg && media.line == line;
                let subscriptions = media
                    .extras
                    .as_deref()
                    .map(|extras| extras.subscriptions.as_slice());
                let mut mine = subscriptions
                    .unwrap_or_default()
                    .iter()
                    .filter(|other| other.leg == me && Some(other.media) == position)
                    .peekable();
                let is_subscribed = mine.peek().is_some();
                let egress = is_subscribed && mine.all(|subscription| subscription.egress);
                let (takes_media, takes_reports) = (
                    by_answer || is_subscribed && media.send,
                    by_answer || is_subscribed && !egress,
                );
                let map = head_of(leg, media).ports();
                let map = map.filter(|_| (takes_media || takes_reports) && !media.rejected)?;
                Some(Listener {
                    leg,
                    media,
                    map,
                    takes_media,
                    takes_reports,
                    egress: egress && !by_answer,
                    agent: AgentView::new(self.call, leg, media),
                })
            })
        })
    }

    /// The parties that get the RTCP of a subscriber (flag `rtcp-mirror`): its sources.
    fn mirrors(&self, member: &'a Media) -> impl Iterator<Item = Listener<'a>> {
        let extras = member.extras.as_deref();
        let subscriptions = extras.map(|extras| extras.subscriptions.as_slice());
        let mirrored = subscriptions.unwrap_or_default().iter();
        let mirrored = mirrored.filter(|subscription| subscription.mirrors_rtcp);
        mirrored.filter_map(|subscription| {
            let leg = self.call.legs.get(subscription.leg)?;
            let media = leg.medias.get(subscription.media)?;
            let map = head_of(leg, media).ports();
            Some(Listener {
                leg,
                media,
                map: map.filter(|_| leg.is_here() && !media.rejected)?,
                takes_media: false,
                takes_reports: true,
                egress: false,
                agent: AgentView::new(self.call, leg, media),
            })
        })
    }

    fn sinks(&self, component: Component, port: &Port, payload: &Payload) -> Vec<Sink> {
        // One listener, RTP and RTCP, is the rule; forks make it grow.
        let mut sinks = Vec::with_capacity(2);
        if self.media.extra(|extras| extras.echo) {
            sinks.push(Sink {
                via: port.local,
                carries: Carries::All,
                rules: None,
            });
            return sinks;
        }
        let is_bundle = self.members().nth(1).is_some();
        // The party's reports end here; the listeners get ours.
        let makes_reports = self.media.makes_reports();
        for (line, member) in self.members().enumerate() {
            let line = u8::try_from(line).ok().filter(|_| is_bundle);
            for listener in self.listeners(member).chain(self.mirrors(member)) {
                let rtp = listener.rtp_port();
                let rtcp = listener.rtcp_port();
                let mut add = |via, carries, rules| {
                    let is_heard = |sink: &Sink| sink.via == via && sink.carries == carries;
                    let wanted = match carries {
                        Carries::Rtcp => listener.takes_reports,
                        Carries::All if component == Component::Rtcp => listener.takes_reports,
                        Carries::Rtp | Carries::All => listener.takes_media,
                    };
                    // A mirrored source may hear the subscriber's RTCP as well.
                    if wanted && (carries != Carries::Rtcp || !sinks.iter().any(is_heard)) {
                        sinks.push(Sink {
                            via,
                            carries,
                            rules,
                        });
                    }
                };
                match (component, payload) {
                    (Component::Rtp, Payload::Opaque) => add(rtp, Carries::All, None),
                    (Component::Rtcp, Payload::Opaque) => add(rtcp, Carries::All, None),
                    (Component::Rtcp, Payload::Rtp { .. }) if makes_reports => {}
                    (Component::Rtp, Payload::Rtp { .. }) => {
                        // A flow of one media is closed as a whole; see `receive`.
                        if member.recv || !is_bundle {
                            add(rtp, Carries::Rtp, self.rules(member, &listener, line));
                        }
                        if !makes_reports {
                            add(rtcp, Carries::Rtcp, self.report_rules(&listener));
                        }
                    }
                    (Component::Rtcp, Payload::Rtp { .. }) => {
                        add(rtcp, Carries::Rtcp, self.report_rules(&listener));
                    }
                }
            }
        }
        sinks
    }

    /// A party without an AVPF profile does not get the feedback of one that has it, unless it
    /// said that it understands some (media-behaviour §8).
    fn report_rules(&self, listener: &Listener<'_>) -> Option<Box<SinkRules>> {
        let is_told = listener.media.endpoint.is_some();
        let is_spared = self.media.transport.has_feedback()
            && is_told
            && !listener.media.transport.has_feedback()
            && !listener.media.formats.has_feedback;
        is_spared.then(|| {
            Box::new(SinkRules {
                change: Change {
                    drop_feedback: true,
                    ..Change::default()
                },
                ..SinkRules::default()
            })
        })
    }

    /// Rules of a sink: packets that are withheld, and edits.
    fn rules(
        &self,
        member: &Media,
        listener: &Listener<'_>,
        line: Option<u8>,
    ) -> Option<Box<SinkRules>> {
        // What is said of a party comes before what is said of all.
        let mut muted = listener
            .leg
            .muted_from(self.leg_index)
            .or(self.leg.muted())
            .or(self.call.muted());
        if listener.egress {
            let peers = self.hearers.iter();
            let peers = peers.filter_map(|&peer| self.call.legs.get(peer));
            let peers = peers.filter(|peer| peer.sources.contains(&self.leg_index));
            muted = peers.fold(muted, |muted, peer| {
                muted.or(peer.muted_from(self.leg_index))
            });
        }
        let extensions = extension_rules(member, listener.media);
        let conversion = conversion::between(member, listener.media, &self.defaults.audio);
        let is_plain = line.is_none() && extensions.is_none() && conversion.is_none();
        if muted == Muted::default() && is_plain {
            return None;
        }
        let events = member.formats.events;
        let withhold = Withhold {
            line,
            drop_media: muted.media,
            digits: muted.dtmf,
            events: events.union(listener.media.formats.events),
        };
        let change = Change {
            extensions,
            ..change(member, listener, muted)
        };
        Some(Box::new(SinkRules {
            withhold,
            change,
            conversion,
        }))
    }

    /// Reports of our own to the party.
    fn reports(&self, component: Component, port: &Port) -> Option<Box<Reports>> {
        let is_main = self.agent().rtp_port() == Some(port.local);
        if component != Component::Rtp || !is_main || !self.media.makes_reports() {
            return None;
        }
        let rtcp = self.set.rtcp.as_ref().filter(|_| !self.media.mux.agreed);
        let mid = self.media.mid.as_ref();
        Some(Box::new(Reports {
            via: rtcp.unwrap_or(port).local,
            mid: mid.map(|mid| String::from_utf8_lossy(mid.as_bytes()).into()),
        }))
    }

    fn taps(&self, component: Component) -> Option<Box<Taps>> {
        let is_recorded = self.call.is_recording()
            && !self
                .leg
                .extras
                .as_deref()
                .is_some_and(|extras| extras.is_unrecorded);
        let events = self
            .members()
            .fold(PayloadTypes::default(), |events, member| {
                events.union(member.formats.events)
            });
        let reports = self.defaults.report_digits || self.call.reports_digits();
        let has_events =
            reports && component == Component::Rtp && events != PayloadTypes::default();
        if !is_recorded && !has_events {
            return None;
        }
        Some(Box::new(Taps {
            recording: is_recorded.then_some(self.call.number),
            events: has_events.then_some(events),
        }))
    }
}

/// What is in any of the sets, and what is in more than one.
fn repeated(sets: &[PayloadTypes]) -> (PayloadTypes, PayloadTypes) {
    let none = (PayloadTypes::default(), PayloadTypes::default());
    sets.iter().fold(none, |(any, twice), set| {
        (any.union(*set), twice.union(any.intersection(*set)))
    })
}

/// The media whose ports a media of the leg has: its own, or the first of its bundle.
pub(super) fn head_of<'a>(leg: &'a Leg, media: &'a Media) -> &'a Media {
    let extras = media.extras.as_deref();
    let head = extras.and_then(|extras| extras.bundle_head);
    head.and_then(|head| leg.medias.get(head)).unwrap_or(media)
}

/// Edits of a media's packets for a sink.
fn change(member: &Media, listener: &Listener<'_>, muted: Muted) -> Change {
    let mut voiced = match muted.dtmf == DigitBlock::default() {
        true => Voiced::default(),
        false => Voiced::of(member),
    };
    // Before any audio was heard, it is best coded as the listener wants it.
    let wanted = listener.media.formats.types;
    let is_unwanted = |payload_type| !wanted.contains(payload_type);
    voiced
        .voices
        .sort_by_key(|voice| is_unwanted(voice.payload_type));
    Change {
        voices: voiced.voices,
        voiced_events: voiced.events,
        redundant: voiced.redundant,
        drop_feedback: false,
        silence: match muted.silenced {
            true => silence(member),
            false => Vec::new(),
        },
        ..Change::default()
    }
}

/// Rules for header extensions from one line to another.
fn extension_rules(from: &Media, to: &Media) -> Option<ExtensionRules> {
    let list = |media: &Media| -> ExtensionIds {
        let extras = media.extras.as_deref();
        let list = extras.map(|extras| extras.extensions.list.iter());
        list.into_iter().flatten().map(|extmap| extmap.id).collect()
    };
    let (mut sender, receiver) = (list(from), list(to));
    let is_empty = sender == ExtensionIds::default() && receiver == ExtensionIds::default();
    if is_empty || !from.transport.is_rtp() {
        return None;
    }
    // MID belongs to one line: it is never passed on, nor is what would be taken for it.
    for media in [from, to] {
        let extras = media.extras.as_deref();
        if let Some(id) = extras.and_then(|extras| mid_of(&extras.extensions.list)) {
            sender.remove(id);
        }
    }
    Some(ExtensionRules {
        sender,
        receiver,
        allows_mixed: !to.extra(|extras| extras.extensions.excludes_mixed),
        mid: mid_element(to),
    })
}

/// The MID element of a line: it has the extension, and a mid that fits.
fn mid_element(media: &Media) -> Option<MidElement> {
    let id = mid_of(&media.extras.as_deref()?.extensions.list)?;
    let value = media.mid.as_ref()?.as_bytes();
    (1..=255).contains(&value.len()).then(|| MidElement {
        id,
        value: value.into(),
    })
}

/// The byte that is silence, for every payload type that has one.
fn silence(media: &Media) -> Vec<(u8, u8)> {
    let voices = Voiced::of(media).voices.into_iter();
    voices
        .map(|voice| (voice.payload_type, g711::silence(voice.law)))
        .collect()
}
