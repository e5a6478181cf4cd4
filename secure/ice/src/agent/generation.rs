//! What begins with a set of credentials and ends with a restart: candidates, pairs, decisions.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use super::candidate::{CandidateRefused, hash, is_usable, same_family};
use super::consent::Use;
use super::pair::{Pair, Stage, foundation};
use super::{
    Component, LocalCandidate, Mode, Origin, PerComponent, Remote, RemoteParameters, Role,
    StartError,
};
use crate::stun::IntegrityKey;
use crate::{Credentials, limits};

#[derive(Debug)]
pub(super) struct Generation {
    pub(super) local: Side,
    pub(super) remote: Option<RemoteSide>,
    pub(super) locals: Vec<LocalCandidate>,
    pub(super) remotes: Vec<Remote>,
    pub(super) pairs: Vec<Pair>,
    pub(super) next_id: u32,
    pub(super) triggered: VecDeque<Triggered>,
    pub(super) used: PerComponent<Option<Use>>,
    pub(super) nomination: Nomination,
    pub(super) phase: Phase,
    pub(super) has_rtcp: bool,
    /// Pairs whose checks were started with all of their retransmissions, unasked.
    pub(super) patient: u8,
}

/// Credentials of one side, ready to be used.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) credentials: Credentials,
    pub(super) key: IntegrityKey,
}

/// The peer.
#[derive(Debug)]
pub(super) struct RemoteSide {
    pub(super) side: Side,
    pub(super) mode: Mode,
    pub(super) has_ice2: bool,
}

/// A check that goes before all others (RFC 8445 §6.1.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Triggered {
    pub(super) pair: u32,
    /// With USE-CANDIDATE.
    pub(super) nominates: bool,
}

/// Our nomination (RFC 8445 §8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nomination {
    Idle,
    Running,
    Scheduled(Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    AwaitingRemote,
    /// Has not failed before `until`.
    Checking {
        until: Instant,
    },
    Completed,
    Failed,
}

impl Side {
    pub(super) fn new(credentials: Credentials) -> Self {
        let key = IntegrityKey::new(credentials.pwd().expose().as_bytes());
        Self { credentials, key }
    }
}

impl From<RemoteParameters> for RemoteSide {
    fn from(parameters: RemoteParameters) -> Self {
        Self {
            side: Side::new(parameters.credentials),
            mode: parameters.mode,
            has_ice2: parameters.has_ice2,
        }
    }
}

impl Generation {
    pub(super) fn new(
        credentials: Credentials,
        locals: Vec<LocalCandidate>,
    ) -> Result<Self, StartError> {
        if locals.len() > limits::LOCAL_CANDIDATES {
            return Err(StartError::TooMany(locals.len()));
        }
        for (at, local) in locals.iter().enumerate() {
            let mut before = locals.iter().take(at);
            if before.any(|other| other.address == local.address) {
                return Err(StartError::Duplicate(local.address));
            }
        }
        let has = |component| locals.iter().any(|local| local.component == component);
        if !has(Component::Rtp) {
            return Err(StartError::NoRtp);
        }
        Ok(Self {
            local: Side::new(credentials),
            remote: None,
            has_rtcp: has(Component::Rtcp),
            locals,
            remotes: Vec::new(),
            pairs: Vec::new(),
            next_id: 0,
            triggered: VecDeque::new(),
            used: PerComponent::default(),
            nomination: Nomination::Idle,
            phase: Phase::AwaitingRemote,
            patient: 0,
        })
    }

    /// The components that need a pair.
    pub(super) fn components(&self) -> impl Iterator<Item = Component> + use<> {
        let has_rtcp = self.has_rtcp;
        Component::ALL
            .into_iter()
            .filter(move |component| *component == Component::Rtp || has_rtcp)
    }

    pub(super) fn has(&self, component: Component) -> bool {
        component == Component::Rtp || self.has_rtcp
    }

    /// Takes in the peer's credentials. What somebody with another ufrag (another branch of a forked
    /// offer) has shown before does not count.
    pub(super) fn set_remote(&mut self, parameters: RemoteParameters) {
        let expected = hash(parameters.credentials.ufrag().as_bytes());
        let is_other = |remote: &Remote| match remote.origin {
            Origin::Learned { ufrag } => ufrag != expected,
            Origin::Signalled => false,
        };
        for remote in self.remotes.extract_if(.., |remote| is_other(remote)) {
            let lost =
                |pair: &Pair| pair.remote == remote.address && pair.component == remote.component;
            self.pairs.retain(|pair| !lost(pair));
        }
        self.remote = Some(parameters.into());
    }

    pub(super) fn is_selected(&self, component: Component) -> bool {
        let used = self.used.get(component);
        used.as_ref().is_some_and(|used| used.is_selected)
    }

    /// Both sides are lite: there are no checks, and the order of priorities decides.
    pub(super) fn is_unchecked(&self, mode: Mode) -> bool {
        let remote = self.remote.as_ref().map(|remote| remote.mode);
        mode == Mode::Lite && remote == Some(Mode::Lite)
    }

    pub(super) fn pair(&self, id: u32) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.id == id)
    }

    pub(super) fn pair_mut(&mut self, id: u32) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.id == id)
    }

    /// The pair between a socket and an address of the peer.
    pub(super) fn pair_on(&self, local: SocketAddr, remote: SocketAddr) -> Option<&Pair> {
        let at = self.local_at(local)?;
        let fits = |pair: &&Pair| usize::from(pair.local) == at && pair.remote == remote;
        self.pairs.iter().find(fits)
    }

    pub(super) fn local_at(&self, address: SocketAddr) -> Option<usize> {
        let mut locals = self.locals.iter();
        locals.position(|local| local.address == address)
    }

    pub(super) fn address_of(&self, pair: &Pair) -> Option<SocketAddr> {
        let local = self.locals.get(usize::from(pair.local))?;
        Some(local.address)
    }

    /// Pairs with proof that the peer is at their other end.
    pub(super) fn sources(
        &self,
        mode: Mode,
    ) -> impl Iterator<Item = (Component, SocketAddr, SocketAddr)> {
        let proven = self.pairs.iter().filter(move |pair| self.shows(pair, mode));
        proven.filter_map(|pair| Some((pair.component, self.address_of(pair)?, pair.remote)))
    }

    pub(super) fn is_source(&self, id: u32, mode: Mode) -> bool {
        self.pair(id).is_some_and(|pair| self.shows(pair, mode))
    }

    /// Whether the peer has shown that it is at the other end. A request can be sent again by others
    /// under a source of their choice, so one from an address that was not signalled shows it only to
    /// those who cannot check it: a lite agent, or one that does not know its peer yet.
    fn shows(&self, pair: &Pair, mode: Mode) -> bool {
        let is_signalled = |remote: &Remote| {
            remote.origin == Origin::Signalled
                && remote.address == pair.remote
                && remote.component == pair.component
        };
        pair.is_authenticated
            && (pair.proven.is_some()
                || mode == Mode::Lite
                || self.remote.is_none()
                || self.remotes.iter().any(is_signalled))
    }

    /// Adds a signalled candidate, and pairs it with ours.
    pub(super) fn add_remote(
        &mut self,
        remote: Remote,
        role: Role,
        mode: Mode,
    ) -> Result<(), CandidateRefused> {
        let address = remote.address;
        if !is_usable(address) {
            return Err(CandidateRefused::Unusable(address));
        }
        let fits = |local: &LocalCandidate| {
            local.component == remote.component && same_family(local.address, address)
        };
        if !self.has(remote.component) || !self.locals.iter().any(fits) {
            return Err(CandidateRefused::NoLocal(address));
        }
        let is_same =
            |known: &&mut Remote| known.address == address && known.component == remote.component;
        let signalled = self
            .remotes
            .iter()
            .filter(|known| known.origin == Origin::Signalled);
        let is_full = signalled.clone().count() >= limits::REMOTE_CANDIDATES;
        let of_host = signalled.filter(|known| {
            known.address.ip() == address.ip() && known.component == remote.component
        });
        let is_host_full = of_host.count() >= limits::CANDIDATES_OF_A_HOST;
        match self.remotes.iter_mut().find(is_same) {
            Some(known) if known.origin == Origin::Signalled => {
                return Err(CandidateRefused::Duplicate(address));
            }
            _ if is_full => return Err(CandidateRefused::TooMany),
            _ if is_host_full => return Err(CandidateRefused::TooManyOfHost(address.ip())),
            // Learned before it was signalled.
            Some(known) => *known = remote,
            None => self.remotes.push(remote),
        }
        if self.is_selected(remote.component) && !self.is_unchecked(mode) {
            return Ok(());
        }
        for at in 0..self.locals.len() {
            if self.locals.get(at).is_some_and(fits) {
                self.add_pair(at, &remote, role, Entry::Signalled);
            }
        }
        Ok(())
    }

    /// Learns a peer-reflexive candidate from an authenticated request, or finds the known one
    /// (RFC 8445 §7.3.1.3). `None` if there is no room.
    pub(super) fn learn(
        &mut self,
        local: usize,
        from: SocketAddr,
        priority: u32,
        ufrag: u64,
        role: Role,
    ) -> Option<u32> {
        let component = self.locals.get(local)?.component;
        let mut remotes = self.remotes.iter();
        let known = remotes
            .find(|known| known.address == from && known.component == component)
            .copied();
        let remote = match known {
            Some(known) => known,
            None => {
                let remote = Remote {
                    component,
                    address: from,
                    priority,
                    // RFC 8445 §7.3.1.3: unlike all others.
                    foundation: hash(from.to_string().as_bytes()),
                    origin: Origin::Learned { ufrag },
                };
                if !self.has_room_to_learn() {
                    return None;
                }
                self.remotes.push(remote);
                remote
            }
        };
        self.add_pair(local, &remote, role, Entry::Proven)
    }

    /// Whether a candidate can be learned. The oldest learned one makes room, first of those that came
    /// to nothing, then of those that are not in use.
    fn has_room_to_learn(&mut self) -> bool {
        let is_learned = |remote: &&Remote| remote.origin != Origin::Signalled;
        let learned = self.remotes.iter().filter(is_learned);
        if learned.clone().count() < limits::LEARNED_CANDIDATES {
            return true;
        }
        let pairs_of = |remote: &Remote| {
            let (component, address) = (remote.component, remote.address);
            let pairs = self.pairs.iter();
            pairs.filter(move |pair| pair.remote == address && pair.component == component)
        };
        let idle = learned.filter(|remote| !pairs_of(remote).any(|pair| self.is_bound(pair)));
        let oldest = idle.min_by_key(|remote| pairs_of(remote).any(Pair::works));
        let Some(oldest) = oldest.copied() else {
            return false;
        };
        self.remotes.retain(|remote| *remote != oldest);
        self.pairs
            .retain(|pair| pair.remote != oldest.address || pair.component != oldest.component);
        true
    }

    /// Whether a pair must not be given up: media uses it, or it may be under nomination.
    fn is_bound(&self, pair: &Pair) -> bool {
        let used = self.used.get(pair.component).as_ref();
        let is_used = used.is_some_and(|used| used.pair == pair.id);
        is_used || pair.works() && self.nomination == Nomination::Running
    }

    /// The pair of both, new or known. `None` if there is no room for it.
    fn add_pair(&mut self, local: usize, remote: &Remote, role: Role, entry: Entry) -> Option<u32> {
        let candidate = *self.locals.get(local)?;
        let local = u8::try_from(local).ok()?;
        let is_same = |pair: &&mut Pair| pair.local == local && pair.remote == remote.address;
        if let Some(pair) = self.pairs.iter_mut().find(is_same) {
            pair.remote_priority = remote.priority;
            pair.rank(role, candidate.priority);
            return Some(pair.id);
        }
        let stage = match remote.component {
            Component::Rtp => Stage::Waiting,
            Component::Rtcp => Stage::Frozen,
        };
        let id = self.next_id;
        let mut pair = Pair {
            id,
            component: remote.component,
            local,
            remote: remote.address,
            remote_priority: remote.priority,
            foundation: foundation(candidate.address, remote.foundation),
            priority: 0,
            stage,
            proven: None,
            is_authenticated: false,
            is_nominated: false,
        };
        pair.rank(role, candidate.priority);
        if self.pairs.len() >= limits::PAIRS {
            self.make_room(&pair, entry)?;
        }
        self.next_id = self.next_id.wrapping_add(1);
        self.pairs.push(pair);
        Some(id)
    }

    /// Removes the worst pair that can be spared for the new one.
    fn make_room(&mut self, new: &Pair, entry: Entry) -> Option<()> {
        let is_spare = |pair: &Pair| match entry {
            Entry::Proven => !self.is_bound(pair),
            Entry::Signalled => {
                !pair.works() && !pair.is_authenticated && pair.priority < new.priority
            }
        };
        let pairs = self.pairs.iter().enumerate();
        let spare = pairs.filter(|(_, pair)| is_spare(pair));
        let worth = |pair: &Pair| (pair.works(), pair.is_authenticated, pair.priority);
        let (worst, _) = spare.min_by_key(|(_, pair)| worth(pair))?;
        self.pairs.swap_remove(worst);
        Some(())
    }

    pub(super) fn trigger(&mut self, pair: u32, nominates: bool) {
        let triggered = Triggered { pair, nominates };
        if !self.triggered.contains(&triggered) {
            self.triggered.push_back(triggered);
        }
    }

    /// How often the check of a pair that is about to start is repeated. Anybody's address can be
    /// signalled: beyond a few, pairs of which nothing was heard get less.
    pub(super) fn retransmissions(&mut self, pair: u32) -> u8 {
        let is_heard = |pair: &Pair| pair.is_authenticated || pair.proven.is_some();
        if self.pair(pair).is_some_and(is_heard) {
            return limits::RETRANSMISSIONS;
        }
        if self.patient >= limits::PATIENT_PAIRS {
            return limits::RETRANSMISSIONS_OF_MANY;
        }
        self.patient += 1;
        limits::RETRANSMISSIONS
    }

    /// RFC 8445 §7.2.5.3.3: pairs with the foundation of one that succeeded are not frozen any more.
    pub(super) fn unfreeze(&mut self, foundation: u64) {
        for pair in &mut self.pairs {
            if pair.foundation == foundation && matches!(pair.stage, Stage::Frozen) {
                pair.stage = Stage::Waiting;
            }
        }
    }

    /// RFC 8445 §8.1.2: after a nomination, pairs of the component that cannot be better end.
    pub(super) fn prune(&mut self, component: Component, selected: u32) {
        let best = self.pair(selected).map_or(0, |pair| pair.priority);
        self.pairs.retain(|pair| {
            pair.component != component
                || pair.works()
                || pair.is_authenticated
                || matches!(pair.stage, Stage::InProgress(_)) && pair.priority > best
        });
        let worth = |pair: &Pair| pair.component != component || pair.priority > best;
        for pair in &mut self.pairs {
            let goes_on = worth(pair);
            if !goes_on && matches!(pair.stage, Stage::InProgress(_)) {
                pair.stage = Stage::Failed;
            }
        }
        let pairs = &self.pairs;
        self.triggered.retain(|triggered| {
            pairs
                .iter()
                .any(|pair| pair.id == triggered.pair && worth(pair))
        });
        self.pairs.shrink_to_fit();
    }

    pub(super) fn drop_rtcp(&mut self) {
        self.has_rtcp = false;
        self.pairs.retain(|pair| pair.component == Component::Rtp);
        self.remotes
            .retain(|remote| remote.component == Component::Rtp);
        *self.used.get_mut(Component::Rtcp) = None;
    }
}

/// How a pair comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// An authenticated request came on it.
    Proven,
    Signalled,
}

/// What is left of the generation before a restart: its pairs in use, until the new generation has
/// some, and its credentials, for requests that were on the way.
#[derive(Debug)]
pub(super) struct Previous {
    /// Of that generation: the peer may not know of the restart yet.
    pub(super) role: Role,
    pub(super) local: Side,
    pub(super) remote: Option<RemoteSide>,
    pub(super) used: PerComponent<Option<Use>>,
    pub(super) sources: Vec<(Component, SocketAddr, SocketAddr)>,
}

impl Previous {
    pub(super) fn new(ended: Generation, role: Role, mode: Mode) -> Self {
        Self {
            role,
            sources: ended.sources(mode).collect(),
            local: ended.local,
            remote: ended.remote,
            used: ended.used,
        }
    }

    pub(super) fn is_used(&self) -> bool {
        self.used.iter().any(Option::is_some)
    }

    pub(super) fn drop_rtcp(&mut self) {
        *self.used.get_mut(Component::Rtcp) = None;
        self.sources
            .retain(|(component, _, _)| *component == Component::Rtp);
    }

    /// The new generation has taken over.
    pub(super) fn end(&mut self) {
        self.used = PerComponent::default();
        self.sources = Vec::new();
    }
}
