//! Agents as data, for a successor on the same ports (spec: survive.md). Holds keys and passwords: keep
//! it where the process keeps its own.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use windlass_dtls::{ConnectedState, Role, Session, SessionConfig, SessionError};
use windlass_ice::agent::{Agent as IceAgent, Config};
use windlass_srtp::{Freshness, StateError};

use super::media::{MediaAgent, Side};
use super::shard::Context;
use crate::flow::Component;
use crate::flow::agent::{AgentSpec, DtlsSpec};
use crate::flow::secure::{Protection, ProtectionState};

/// What a successor of an agent needs beside what signalling says: ICE with its pairs and consent, the
/// associations, and the keys with how far each source got. A handshake under way is not kept: a
/// client repeats its hello.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentState {
    version: u8,
    ice: Option<windlass_ice::agent::AgentState>,
    rtp: SideState,
    rtcp: SideState,
}

/// DTLS of one component.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SideState {
    association: Option<ConnectedState>,
    keys: Option<ProtectionState>,
}

const VERSION: u8 = 1;

/// Why an agent could not go on. It begins anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The DTLS session.
    #[error("DTLS: {0}")]
    Dtls(#[from] SessionError),
    /// The ICE agent.
    #[error("ICE: {0}")]
    Ice(#[from] windlass_ice::agent::RestoreError),
    /// The keys of media.
    #[error("SRTP: {0}")]
    Keys(#[from] StateError),
    /// Written by a later version.
    #[error("format {0}, known is {VERSION}")]
    Version(u8),
}

impl MediaAgent {
    /// All that a successor needs. Nobody is told: the agent goes on until it is dropped.
    pub(super) fn save(&self, now: Instant) -> AgentState {
        let side = |component| {
            let side = self.dtls.get(component);
            SideState {
                association: side.session.as_ref().and_then(|session| session.save()),
                keys: side.keys.as_ref().map(Protection::save),
            }
        };
        AgentState {
            version: VERSION,
            ice: self.ice.as_ref().map(|ice| ice.save(now)),
            rtp: side(Component::Rtp),
            rtcp: side(Component::Rtcp),
        }
    }

    /// Goes on where another stopped. It tells its call at once what is known.
    pub(super) fn restore(
        (call, worker): (u64, usize),
        spec: AgentSpec,
        state: AgentState,
        freshness: Freshness,
        context: &mut Context<'_>,
    ) -> Result<Self, RestoreError> {
        if state.version != VERSION {
            return Err(RestoreError::Version(state.version));
        }
        let mut agent = Self::new(spec.number, call, worker);
        if let Some(ice) = &spec.ice
            && let Some(state) = state.ice
        {
            let config = Config {
                mode: ice.mode,
                ..context.settings.ice.clone()
            };
            let restored = IceAgent::restore(state, config, context.now, context.rng)?;
            agent.ice = Some(Box::new(restored));
        }
        if let Some(dtls) = &spec.dtls {
            let sides = [(Component::Rtp, state.rtp), (Component::Rtcp, state.rtcp)];
            for (component, state) in sides {
                *agent.dtls.get_mut(component) = side(dtls, state, freshness, context)?;
            }
        }
        agent.tell_anew();
        // Signalling may have gone on.
        agent.go_on(spec, context);
        Ok(agent)
    }
}

/// DTLS of a component goes on. Without signalling browsers refuse a new association that we begin, so
/// none is: the keys stay good, and a hello of the party is taken (spec: survive.md).
fn side(
    dtls: &DtlsSpec,
    state: SideState,
    freshness: Freshness,
    context: &Context<'_>,
) -> Result<Side, RestoreError> {
    let Some(keys) = state.keys else {
        return Ok(Side::default());
    };
    let keys = Protection::restore(keys, freshness)?;
    let config = SessionConfig {
        fingerprints: dtls.fingerprints.clone(),
        mtu: context.settings.mtu,
        tls_id: Some(String::from_utf8_lossy(&dtls.tls_id).into_owned()),
        ..SessionConfig::new(dtls.certificate.clone(), Role::Passive)
    };
    let session = match state.association {
        Some(association) => Session::restore(config.clone(), association),
        None => Session::new(config.clone(), context.now),
    };
    // Keys without their association are enough for media.
    let session = session.or_else(|_| Session::new(config, context.now))?;
    Ok(Side::going_on(session, keys))
}
