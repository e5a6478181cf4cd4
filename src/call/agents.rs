//! Derives the agents of a call from its state, and takes in what they have found.

use std::net::SocketAddr;
use std::sync::Arc;

use windlass_ice::agent::{Component as IceComponent, LocalCandidate, Mode, RemoteParameters};
use windlass_ng::CallId;
use windlass_sdp::{HashFunction, Setup};

use super::flows::{Defaults, head_of};
use super::model::call::{Call, Now};
use super::model::leg::Leg;
use super::model::media::{Dtls, EndpointMap, Media, Port};
use super::print::host_priority;
use super::serve::Calls;
use super::table::lock;
use crate::flow::Component;
use crate::flow::agent::{
    AgentNumber, AgentSpec, Components, Destinations, DtlsSpec, FlowAgent, Found, IceCandidate,
    IceSpec, Path,
};
use crate::flow::secure::{Protection, Security};
use crate::media::latch::Validated;
use crate::media::reach::{self, Rules};

/// All agents of a call, in the order of its medias.
pub(super) fn of_call(call: &Call, defaults: &Defaults) -> Vec<AgentSpec> {
    let legs = call.legs.iter().filter(|leg| leg.is_here());
    let all = legs.flat_map(|leg| leg.medias.iter().enumerate().map(move |at| (leg, at)));
    let own = all.filter(|(_, (index, media))| !media.shares_ports_of_another(*index));
    own.filter_map(|(leg, (_, media))| of_media(leg, media, defaults))
        .collect()
}

fn of_media(leg: &Leg, media: &Media, defaults: &Defaults) -> Option<AgentSpec> {
    let extras = media.extras.as_deref()?;
    let map = media.ports().filter(|_| has_agent(media))?;
    let ice = extras
        .ice
        .is_active
        .then(|| ice(leg, media, map, &defaults.reach));
    let dtls = extras.dtls.as_ref().filter(|_| media.is_secure());
    let rtp = map.main.rtp.local;
    let endpoint = media.endpoint;
    Some(AgentSpec {
        number: extras.agent,
        ports: Components {
            rtp: Some(rtp),
            rtcp: rtcp_of(media, &map.main.rtcp).map(|port| port.local),
        },
        rtcp_ports: {
            let ports = map.sets().filter_map(|set| rtcp_of(media, &set.rtcp));
            ports.map(|port| port.local).collect()
        },
        mux: media.mux.agreed,
        ice: ice.flatten(),
        dtls: dtls.map(|dtls| self::dtls(leg, media, dtls)),
        signalled: Components {
            rtp: endpoint.map(|endpoint| endpoint.rtp),
            rtcp: endpoint.map(|endpoint| endpoint.rtcp),
        },
        is_private: endpoint.is_none_or(|at| reach::is_private_from(at.rtp.ip(), rtp.ip())),
        reach: Destinations(defaults.reach.clone()),
    })
}

/// Whether a media with ports of its own has an agent.
fn has_agent(media: &Media) -> bool {
    let Some(extras) = media.extras.as_deref() else {
        return false;
    };
    !media.rejected
        && !media.is_passed_through()
        && media.transport.is_rtp()
        && (extras.ice.is_active || extras.dtls.is_some() && media.is_secure())
}

/// The RTCP port of a set, as long as RTCP may come there.
fn rtcp_of<'a>(media: &Media, port: &'a Option<Port>) -> Option<&'a Port> {
    port.as_ref().filter(|_| !media.mux.agreed)
}

fn ice(leg: &Leg, media: &Media, map: &EndpointMap, rules: &Arc<Rules>) -> Option<IceSpec> {
    let ice = &media.extras.as_deref()?.ice;
    // A party that has not seen ours yet cannot answer checks.
    let theirs = ice.theirs.as_ref().filter(|_| leg.printed.is_some());
    let ours = credentials(ice.ours.as_ref()?)?;
    let mut candidates = Vec::new();
    for (index, set) in map.sets().enumerate() {
        let rtcp = rtcp_of(media, &set.rtcp);
        let ports = [
            (IceComponent::Rtp, Some(&set.rtp)),
            (IceComponent::Rtcp, rtcp),
        ];
        for (component, port) in ports {
            candidates.extend(port.map(|port| LocalCandidate {
                component,
                address: port.local,
                priority: host_priority(index, component.id()),
            }));
        }
    }
    let is_allowed = |candidate: &windlass_sdp::Candidate| {
        candidates.iter().any(|own| {
            own.address.is_ipv4() == candidate.address.is_ipv4()
                && rules.barred(candidate.address, own.address.ip()).is_none()
        })
    };
    let allowed = ice
        .candidates
        .iter()
        .filter(|candidate| is_allowed(candidate));
    let remote = allowed.filter_map(|candidate| {
        Some(IceCandidate {
            component: IceComponent::from_id(candidate.component)?.into(),
            address: candidate.address,
            priority: candidate.priority,
            foundation: candidate.foundation.as_bytes().into(),
        })
    });
    Some(IceSpec {
        ours,
        mode: mode(ice.lite),
        is_controlling: ice.controlling,
        remote: remote.collect(),
        candidates,
        theirs: theirs
            .and_then(credentials)
            .map(|credentials| RemoteParameters {
                credentials,
                mode: mode(ice.peer_lite),
                has_ice2: ice.their_ice2,
            }),
    })
}

fn mode(lite: bool) -> Mode {
    match lite {
        true => Mode::Lite,
        false => Mode::Full,
    }
}

/// Credentials as the agent takes them; `None`: no agent could use them.
fn credentials(of: &super::model::media::Credentials) -> Option<windlass_ice::Credentials> {
    let text = |text: &windlass_sdp::Text| String::from_utf8(text.as_bytes().to_vec()).ok();
    windlass_ice::Credentials::new(&text(&of.ufrag)?, &text(&of.pwd)?).ok()
}

fn dtls(leg: &Leg, media: &Media, dtls: &Dtls) -> DtlsSpec {
    let theirs = dtls.fingerprint.as_ref();
    // Before both have spoken, what we do is open.
    let role = match dtls.ours {
        _ if media.endpoint.is_none() || leg.printed.is_none() => None,
        Setup::Active => Some(windlass_dtls::Role::Active),
        Setup::Passive => Some(windlass_dtls::Role::Passive),
        Setup::Actpass | Setup::Holdconn => None,
    };
    DtlsSpec {
        certificate: dtls.certificate.0.clone(),
        role,
        fingerprints: theirs.map(|theirs| fingerprints(theirs, &dtls.more_fingerprints)),
        their_tls_id: dtls.their_tls_id.as_ref().map(|id| id.as_bytes().into()),
        tls_id: dtls.tls_id.as_bytes().into(),
    }
}

/// Fingerprints as the DTLS crate has them. In which order they were named says nothing.
fn fingerprints(
    first: &windlass_sdp::Fingerprint,
    more: &[windlass_sdp::Fingerprint],
) -> Vec<windlass_dtls::Fingerprint> {
    let mut all: Vec<_> = [first].into_iter().chain(more).collect();
    all.sort_unstable_by_key(|one| (one.hash, &one.digest));
    let all = all.into_iter();
    let as_theirs = |one: &windlass_sdp::Fingerprint| {
        windlass_dtls::Fingerprint::new(hash(one.hash), one.digest.clone()).ok()
    };
    all.filter_map(as_theirs).collect()
}

/// The hash function of a fingerprint, as the DTLS crate calls it.
pub(super) fn hash(hash: HashFunction) -> windlass_dtls::HashFunction {
    match hash {
        HashFunction::Sha1 => windlass_dtls::HashFunction::Sha1,
        HashFunction::Sha224 => windlass_dtls::HashFunction::Sha224,
        HashFunction::Sha256 => windlass_dtls::HashFunction::Sha256,
        HashFunction::Sha384 => windlass_dtls::HashFunction::Sha384,
        HashFunction::Sha512 => windlass_dtls::HashFunction::Sha512,
    }
}

/// What is known of the agent that a media shares with the lines of its bundle.
#[derive(Clone, Copy)]
pub(super) struct AgentView<'a> {
    head: &'a Media,
    found: Option<&'a Found>,
}

impl<'a> AgentView<'a> {
    pub(super) fn new(call: &'a Call, leg: &'a Leg, media: &'a Media) -> Self {
        let head = head_of(leg, media);
        let extras = head.extras.as_deref().filter(|_| has_agent(head));
        Self {
            head,
            found: extras.and_then(|extras| call.found(extras.agent)),
        }
    }

    /// The pair that media of a component takes.
    pub(super) fn path(&self, component: Component) -> Option<Path> {
        let component = match component {
            Component::Rtcp if self.head.mux.agreed => Component::Rtp,
            own => own,
        };
        *self.found?.paths.get(component)
    }

    /// The port that RTP comes in on and leaves from: that of the pair, else the printed one.
    pub(super) fn rtp_port(&self) -> Option<SocketAddr> {
        let path = self.path(Component::Rtp);
        path.map(|path| path.local)
            .or_else(|| Some(self.head.ports()?.main.rtp.local))
    }

    /// What ICE says of where the party is for a local port; `None`: ICE is not in use.
    pub(super) fn validated(
        &self,
        component: Component,
        local: SocketAddr,
    ) -> Option<Box<Validated>> {
        if !has_agent(self.head) || !self.head.has_ice() {
            return None;
        }
        let sources = self.found.map_or(&[][..], |found| &found.sources);
        let own = sources.iter().filter(|(at, _)| *at == local);
        let path = self.path(component).filter(|path| path.local == local);
        Some(Box::new(Validated {
            sources: own.map(|(_, from)| *from).collect(),
            destination: path.map(|path| path.remote),
        }))
    }

    /// What was agreed on by DTLS.
    pub(super) fn keys(&self, component: Component) -> Option<&'a Protection> {
        let component = match self.head.mux.agreed {
            true => Component::Rtp,
            false => component,
        };
        self.found?.keys.get(component).as_ref()
    }

    /// Protection by DTLS; `None`: DTLS is not in use.
    pub(super) fn security(&self, component: Component) -> Option<Security> {
        let extras = self.head.extras.as_deref()?;
        extras.dtls.as_ref().filter(|_| self.head.is_secure())?;
        Some(match self.keys(component) {
            Some(keys) => Security::Keyed(keys.clone()),
            None => Security::Awaited,
        })
    }

    /// Where the STUN and DTLS of a flow goes.
    pub(super) fn of_flow(&self, component: Component) -> Option<FlowAgent> {
        let extras = self
            .head
            .extras
            .as_deref()
            .filter(|_| has_agent(self.head))?;
        let awaits_keys =
            extras.dtls.is_some() && !matches!(self.security(component), Some(Security::Keyed(_)));
        Some(FlowAgent {
            number: extras.agent,
            hears_all: extras.ice.is_active || awaits_keys,
        })
    }
}

impl Calls {
    /// An agent has found something: the flows of its call follow. Gives back the call's id, for the
    /// log; `None` if nothing of it is in force: the call has become part of another or is over, or
    /// the flows could not follow. The agent is to say it again.
    pub fn agent_found(
        &self,
        number: u64,
        agent: AgentNumber,
        found: Found,
        now: Now,
    ) -> Option<CallId> {
        let entry = self.numbered(number)?;
        let mut slot = lock(&entry);
        let call = slot.as_mut()?;
        if !call.in_force.has_agent(agent) {
            return None;
        }
        if call.found(agent).cloned().unwrap_or_default() != found {
            let mut draft = call.clone();
            draft.set_found(agent, found);
            if let Err(error) = self.commit(call, draft, Vec::new(), now) {
                tracing::error!(call_id = %call.id, %error, "cannot follow an agent");
                return None;
            }
        }
        Some(call.id.clone())
    }
}
