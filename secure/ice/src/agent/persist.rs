//! An agent as data, for a successor after a restart or on another node (spec: survive.md).
//!
//! Checks that are open start again, consent counts anew: the time between is not the peer's fault.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::consent::{Liveness, Use};
use super::memory::{Replies, Requests};
use super::pair::{Pair, Stage};
use super::{
    Agent, Component, Config, Counters, Generation, LocalCandidate, Mode, PerComponent, Phase,
    Previous, Remote, RemoteParameters, RemoteSide, Role, Side, StartError,
};
use crate::{Credentials, limits};

/// All of an agent but its configuration, its counters and what waits to be pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentState {
    version: u8,
    mode: Mode,
    role: Role,
    tie_breaker: u64,
    current: GenerationState,
    previous: Option<PreviousState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct GenerationState {
    local: Credentials,
    remote: Option<RemoteParameters>,
    locals: Vec<LocalCandidate>,
    remotes: Vec<Remote>,
    pairs: Vec<PairState>,
    used: Vec<UseState>,
    phase: PhaseState,
    has_rtcp: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PreviousState {
    role: Role,
    local: Credentials,
    remote: Option<RemoteParameters>,
    used: Vec<UseState>,
    sources: Vec<(Component, SocketAddr, SocketAddr)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PairState {
    component: Component,
    local: u8,
    remote: SocketAddr,
    remote_priority: u32,
    foundation: u64,
    stage: StageState,
    /// Since the last answer.
    proven_ms: Option<u64>,
    is_authenticated: bool,
    is_nominated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StageState {
    Failed,
    Frozen,
    Lost,
    Succeeded,
    Waiting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UseState {
    component: Component,
    local: SocketAddr,
    remote: SocketAddr,
    is_selected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum PhaseState {
    AwaitingRemote,
    Checking {
        /// Until it may fail.
        left_ms: u64,
    },
    Completed,
    Failed,
}

/// Why a state is no agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Its local candidates are unusable.
    #[error(transparent)]
    Candidates(#[from] StartError),
    /// A pair names a local candidate that is not there.
    #[error("pair with local candidate {0}, which is not there")]
    Pair(u8),
    /// More of something than an agent has.
    #[error("{0} pairs, candidates or sources, more than an agent has")]
    TooMany(usize),
    /// Written by a later version.
    #[error("format {0}, known is {known}", known = VERSION)]
    Version(u8),
}

const VERSION: u8 = 1;

impl Agent {
    /// All that a successor needs to go on.
    pub fn save(&self, now: Instant) -> AgentState {
        AgentState {
            version: VERSION,
            mode: self.config.mode,
            role: self.role,
            tie_breaker: self.tie_breaker,
            current: self.current.save(now),
            previous: self.previous.as_deref().map(Previous::save),
        }
    }

    /// Goes on where `state` was saved: the pairs in use stay in use. The mode is that of the state.
    pub fn restore(
        state: AgentState,
        config: Config,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> Result<Self, RestoreError> {
        if state.version != VERSION {
            return Err(RestoreError::Version(state.version));
        }
        let config = Config {
            mode: state.mode,
            tie_breaker: state.tie_breaker,
            ..config
        };
        let mut revive = |used: &UseState, pair: u32| Use {
            pair,
            local: used.local,
            remote: used.remote,
            is_selected: used.is_selected,
            heard: now,
            liveness: Liveness::new(config.mode, config.freshness, now, now, rng),
        };
        let current = state.current.restore(state.role, now, &mut revive)?;
        let previous = state.previous;
        let previous = previous.map(|previous| previous.restore(&mut revive));
        let mut agent = Self {
            role: state.role,
            tie_breaker: state.tie_breaker,
            conflicts: 0,
            current,
            previous: previous.transpose()?.map(Box::new),
            is_unsettled: true,
            run_at: now,
            followed_at: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            replies: Replies::new(),
            requests: Requests::default(),
            config,
        };
        agent.cut_software();
        Ok(agent)
    }
}

type Revive<'a> = dyn FnMut(&UseState, u32) -> Use + 'a;

impl Generation {
    fn save(&self, now: Instant) -> GenerationState {
        GenerationState {
            local: self.local.credentials.clone(),
            remote: self.remote.as_ref().map(RemoteSide::save),
            locals: self.locals.clone(),
            remotes: self.remotes.clone(),
            pairs: self.pairs.iter().map(|pair| pair.save(now)).collect(),
            used: save_uses(&self.used),
            phase: match self.phase {
                Phase::AwaitingRemote => PhaseState::AwaitingRemote,
                Phase::Checking { until } => PhaseState::Checking {
                    left_ms: millis(until.saturating_duration_since(now)),
                },
                Phase::Completed => PhaseState::Completed,
                Phase::Failed => PhaseState::Failed,
            },
            has_rtcp: self.has_rtcp,
        }
    }
}

impl GenerationState {
    fn restore(
        self,
        role: Role,
        now: Instant,
        revive: &mut Revive<'_>,
    ) -> Result<Generation, RestoreError> {
        let mut generation = Generation::new(self.local, self.locals)?;
        let remotes = limits::REMOTE_CANDIDATES + limits::LEARNED_CANDIDATES;
        bound(self.remotes.len(), remotes)?;
        bound(self.pairs.len(), limits::PAIRS)?;
        for (id, saved) in (0..).zip(&self.pairs) {
            let local = generation.locals.get(usize::from(saved.local));
            let local = local.ok_or(RestoreError::Pair(saved.local))?;
            let (address, priority) = (local.address, local.priority);
            let fits = |used: &&UseState| used.local == address && used.remote == saved.remote;
            let used = self.used.iter().find(fits);
            let mut pair = saved.restore(id, now);
            pair.rank(role, priority);
            if let Some(used) = used {
                pair.proven = Some(now);
                *generation.used.get_mut(pair.component) = Some(revive(used, id));
            }
            generation.pairs.push(pair);
            generation.next_id = id + 1;
        }
        generation.remote = self.remote.map(RemoteSide::from);
        generation.remotes = self.remotes;
        generation.has_rtcp = self.has_rtcp;
        generation.phase = match self.phase {
            PhaseState::AwaitingRemote => Phase::AwaitingRemote,
            PhaseState::Checking { left_ms } => Phase::Checking {
                until: now + Duration::from_millis(left_ms).min(limits::PATIENCE),
            },
            PhaseState::Completed => Phase::Completed,
            PhaseState::Failed => Phase::Failed,
        };
        Ok(generation)
    }
}

impl Previous {
    fn save(&self) -> PreviousState {
        PreviousState {
            role: self.role,
            local: self.local.credentials.clone(),
            remote: self.remote.as_ref().map(RemoteSide::save),
            used: save_uses(&self.used),
            sources: self.sources.clone(),
        }
    }
}

impl PreviousState {
    fn restore(self, revive: &mut Revive<'_>) -> Result<Previous, RestoreError> {
        bound(self.sources.len(), limits::PAIRS)?;
        let mut used = PerComponent::default();
        for saved in &self.used {
            *used.get_mut(saved.component) = Some(revive(saved, u32::MAX));
        }
        Ok(Previous {
            role: self.role,
            local: Side::new(self.local),
            remote: self.remote.map(RemoteSide::from),
            used,
            sources: self.sources,
        })
    }
}

impl RemoteSide {
    fn save(&self) -> RemoteParameters {
        RemoteParameters {
            credentials: self.side.credentials.clone(),
            mode: self.mode,
            has_ice2: self.has_ice2,
        }
    }
}

impl Pair {
    fn save(&self, now: Instant) -> PairState {
        let proven = self.proven;
        let proven = proven.map(|proven| millis(now.saturating_duration_since(proven)));
        PairState {
            component: self.component,
            local: self.local,
            remote: self.remote,
            remote_priority: self.remote_priority,
            foundation: self.foundation,
            stage: match self.stage {
                Stage::Failed => StageState::Failed,
                Stage::Frozen => StageState::Frozen,
                Stage::InProgress(_) | Stage::Waiting => StageState::Waiting,
                Stage::Lost => StageState::Lost,
                Stage::Nominating(_) | Stage::Succeeded => StageState::Succeeded,
            },
            proven_ms: proven,
            is_authenticated: self.is_authenticated,
            is_nominated: self.is_nominated,
        }
    }
}

impl PairState {
    fn restore(&self, id: u32, now: Instant) -> Pair {
        let ago = self.proven_ms.map(Duration::from_millis);
        Pair {
            id,
            component: self.component,
            local: self.local,
            remote: self.remote,
            remote_priority: self.remote_priority,
            foundation: self.foundation,
            priority: 0,
            stage: match self.stage {
                StageState::Failed => Stage::Failed,
                StageState::Frozen => Stage::Frozen,
                StageState::Lost => Stage::Lost,
                StageState::Succeeded => Stage::Succeeded,
                StageState::Waiting => Stage::Waiting,
            },
            proven: ago.and_then(|ago| now.checked_sub(ago)),
            is_authenticated: self.is_authenticated,
            is_nominated: self.is_nominated,
        }
    }
}

fn save_uses(uses: &PerComponent<Option<Use>>) -> Vec<UseState> {
    let used = Component::ALL.into_iter().filter_map(|component| {
        let used = uses.get(component).as_ref()?;
        Some(UseState {
            component,
            local: used.local,
            remote: used.remote,
            is_selected: used.is_selected,
        })
    });
    used.collect()
}

fn bound(there: usize, most: usize) -> Result<(), RestoreError> {
    if there > most {
        return Err(RestoreError::TooMany(there));
    }
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
