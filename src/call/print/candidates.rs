//! Our candidates (spec: sdp-rewriting §10; RFC 8839).

use std::net::SocketAddr;

use windlass_ng::Request;
use windlass_sdp::{Candidate, CandidateKind, Text};

use super::shown;
use crate::call::identity::Identity;
use crate::call::model::media::{EndpointMap, Passthrough, Port, PortSet};

/// Type preference of host candidates (RFC 8445 §5.1.2.2).
const HOST_PREFERENCE: u32 = 126;

/// Input for our candidates.
pub(super) struct Source<'a> {
    pub(super) map: &'a EndpointMap,
    pub(super) identity: &'a Identity,
    pub(super) request: &'a Request,
    /// RTCP has a port of its own.
    pub(super) has_rtcp: bool,
}

impl Source<'_> {
    /// One candidate per component and address: component 1 of all addresses first.
    pub(super) fn candidates(
        &self,
        passthrough: Option<Passthrough>,
        theirs: &[Candidate],
    ) -> Vec<Candidate> {
        let kind = match passthrough {
            Some(Passthrough::Relay) => CandidateKind::Relay,
            _ => CandidateKind::Host,
        };
        let components = if self.has_rtcp { 1..=2 } else { 1..=1 };
        let mut candidates = Vec::new();
        for component in components {
            for (index, set) in self.map.sets().enumerate() {
                let Some(port) = port_of(set, component) else {
                    continue;
                };
                let address =
                    SocketAddr::new(shown(set.advertised, self.request), port.local.port());
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                let priority = match passthrough {
                    Some(Passthrough::Optional) => below(theirs, index, component),
                    Some(Passthrough::Relay) => priority(0, index, component),
                    _ => priority(HOST_PREFERENCE, index, component),
                };
                candidates.push(Candidate {
                    foundation: self.identity.foundation(port.local.ip()),
                    component,
                    transport: "UDP".into(),
                    priority,
                    address,
                    kind,
                    related: (kind == CandidateKind::Relay).then_some(address),
                    extensions: Text::new(),
                });
            }
        }
        candidates
    }
}

fn port_of(set: &PortSet, component: u16) -> Option<&Port> {
    match component {
        1 => Some(&set.rtp),
        _ => set.rtcp.as_ref(),
    }
}

/// Priority of our host candidate of a component on an address, by its place in the logical interface.
pub(in crate::call) fn host_priority(index: usize, component: u16) -> u32 {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    priority(HOST_PREFERENCE, index, component)
}

/// RFC 8445 §5.1.2.1; `index` is that of the address within its logical interface.
fn priority(preference: u32, index: u32, component: u16) -> u32 {
    let local = 65_535_u32.saturating_sub(index);
    (preference << 24) + (local << 8) + (256 - u32::from(component).min(256))
}

/// A priority below that of every host candidate of the party: the next lower type preference, and
/// for further addresses the lowest there is.
fn below(theirs: &[Candidate], index: u32, component: u16) -> u32 {
    let is_host = |candidate: &&Candidate| candidate.kind == CandidateKind::Host;
    let hosts = theirs.iter().filter(is_host);
    let lowest = hosts.map(|candidate| candidate.priority).min();
    let preference = lowest.map_or(HOST_PREFERENCE, |lowest| lowest >> 24);
    match index {
        0 => (preference.saturating_sub(1) << 24) + 256 - u32::from(component).min(255),
        _ => 1,
    }
}
