//! From the state of a call to the flows that it asks for.

use std::net::{IpAddr, SocketAddr};

use super::leg::{EndpointMap, Leg, LegIndex, Media, Port};
use super::scope;
use super::state::Call;
use crate::flow::{Carries, Component, FlowSpec, Learning, Payload, PayloadTypes, PeerSpec, Sink};

/// What applies to every flow where the call does not say otherwise.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// How sources are learned.
    pub learning: Learning,
    /// TOS / traffic class of media.
    pub tos: Option<u8>,
    /// Addresses of proxies in front: a SIP source that is one of them is not the phone's.
    pub signalling_hops: Vec<IpAddr>,
}

/// All flows of a call, in no particular order.
pub(crate) fn of_call(call: &Call, defaults: &Defaults) -> Vec<FlowSpec> {
    let mut flows = Vec::new();
    for (leg_index, leg) in call.legs.iter().enumerate() {
        for (media_index, media) in leg.medias.iter().enumerate() {
            for map in &media.maps {
                let at = Place {
                    call,
                    defaults,
                    leg_index,
                    leg,
                    media_index,
                    media,
                    map,
                };
                flows.push(at.flow(Component::Rtp, &map.rtp));
                if let Some(rtcp) = &map.rtcp {
                    flows.push(at.flow(Component::Rtcp, rtcp));
                }
            }
        }
    }
    flows
}

/// One port set of one media of one leg, and what its flows are made from.
struct Place<'a> {
    call: &'a Call,
    defaults: &'a Defaults,
    leg_index: LegIndex,
    leg: &'a Leg,
    media_index: usize,
    media: &'a Media,
    map: &'a EndpointMap,
}

impl Place<'_> {
    fn flow(&self, component: Component, port: &Port) -> FlowSpec {
        let media = self.media;
        FlowSpec {
            local: port.local,
            component,
            rtp_sibling: (component == Component::Rtcp).then_some(self.map.rtp.local),
            payload: self.payload(),
            peer: self.peer(component, port.local.ip()),
            receive: media.recv,
            discard: self.call.discard,
            sinks: self.sinks(component),
            tos: self.call.tos.or(self.defaults.tos),
        }
    }

    fn payload(&self) -> Payload {
        // DTLS records travel on the same port as the media that they key (RFC 5764 §5.1.2).
        if !self.media.transport.is_rtp() || self.media.transport.is_dtls() {
            return Payload::Opaque;
        }
        let mut types = PayloadTypes::default();
        let listeners = self
            .listeners()
            .filter_map(|(_, media)| media.description.as_ref());
        for description in self.media.description.iter().chain(listeners) {
            for codec in &description.codecs {
                types.insert(codec.payload_type);
            }
        }
        let own = self
            .media
            .description
            .iter()
            .flat_map(|description| &description.codecs);
        let clock_rate = own.map(|codec| codec.clock_rate).next().unwrap_or(0);
        Payload::Rtp { types, clock_rate }
    }

    fn peer(&self, component: Component, local: IpAddr) -> PeerSpec {
        let (leg, media) = (self.leg, self.media);
        let signalled = media.endpoint.map(|endpoint| match component {
            Component::Rtp => endpoint.rtp,
            Component::Rtcp => endpoint.rtcp,
        });
        let is_private = signalled.is_some_and(|s| scope::is_private_from(s.ip(), local));
        let rules = &leg.source_rules;
        PeerSpec {
            signalled,
            signalled_private: is_private,
            received_from: rules
                .received_from
                .filter(|&from| self.may_be_the_partys_own(from, is_private, local)),
            sends: media.recv && !media.zero_address,
            wants: !media.rejected
                && !media.zero_address
                && signalled.is_some_and(|s| !scope::is_forbidden(s, local)),
            learning: rules.learning.unwrap_or(self.defaults.learning),
            asymmetric: rules.asymmetric,
            strict_source: rules.strict_source,
            media_handover: rules.media_handover,
            signalled_at: leg.signalled_at,
        }
    }

    /// Whether the SIP source can be where the phone itself is (spec: media-behaviour §3.1, R).
    fn may_be_the_partys_own(&self, from: IpAddr, signalled_private: bool, local: IpAddr) -> bool {
        !self.defaults.signalling_hops.contains(&from)
            && self.call.created_from.ip() != from
            && !(signalled_private && scope::is_private_from(from, local))
    }

    /// The medias that receive what arrives here: the same m= line of every leg that has this
    /// one as a source.
    fn listeners(&self) -> impl Iterator<Item = (LegIndex, &Media)> {
        let (me, media_index) = (self.leg_index, self.media_index);
        self.call
            .legs
            .iter()
            .enumerate()
            .filter_map(move |(index, leg)| {
                let hears = leg.is_here() && leg.sources.contains(&me);
                Some((index, hears.then(|| leg.medias.get(media_index))??))
            })
    }

    fn sinks(&self, component: Component) -> Vec<Sink> {
        // One listener, RTP and RTCP, is the rule; forks make it grow.
        let mut sinks = Vec::with_capacity(2);
        for (_, listener) in self.listeners() {
            let Some(ports) = listener.ports() else {
                continue;
            };
            let rtp = ports.rtp.local;
            let rtcp = match &ports.rtcp {
                Some(port) if !listener.mux.agreed => port.local,
                _ => rtp,
            };
            let opaque = matches!(self.payload(), Payload::Opaque);
            match component {
                Component::Rtp if opaque => sinks.push(Sink {
                    via: rtp,
                    carries: Carries::All,
                }),
                Component::Rtcp if opaque => sinks.push(Sink {
                    via: rtcp,
                    carries: Carries::All,
                }),
                Component::Rtp => {
                    sinks.push(Sink {
                        via: rtp,
                        carries: Carries::Rtp,
                    });
                    sinks.push(Sink {
                        via: rtcp,
                        carries: Carries::Rtcp,
                    });
                }
                Component::Rtcp => sinks.push(Sink {
                    via: rtcp,
                    carries: Carries::Rtcp,
                }),
            }
        }
        sinks
    }
}

/// The RTCP address of an RTP address without `a=rtcp` (RFC 3550 §11).
pub(crate) fn implicit_rtcp(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1))
}
