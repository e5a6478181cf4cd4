//! The ICE agent of one media (RFC 8445; spec: media-behaviour §5).
//!
//! Order of calls:
//!
//! 1. [`Agent::new`] when our SDP is printed. Requests of the peer are answered from now on.
//! 2. [`Agent::set_remote`] when its SDP is there, [`Agent::add_remote`] for each candidate, also later
//!    ones (trickle). [`Agent::use_mux`] when rtcp-mux was agreed on.
//! 3. Each STUN datagram into [`Agent::handle_datagram`]; [`Agent::handle_timeout`] when
//!    [`Agent::poll_timeout`] is reached.
//! 4. After each of these calls: [`Agent::poll_transmit`] and [`Agent::poll_event`] until they are
//!    empty, then [`Agent::poll_timeout`].
//! 5. [`Agent::restart`] for an ICE restart, then step 2 again. What waits to be sent is dropped by it.
//!
//! Where what is: `receive` takes datagrams in, `checks` has the schedule, `nominate` decides which
//! pair is used, `consent` keeps it alive, `output` writes messages, `persist` makes data of it all.
//!
//! Deviations from RFC 8445, which the spec asks for: pairs of RTP start in Waiting, those of RTCP in
//! Frozen, whatever their foundation; a triggered check of a pair in progress repeats its request
//! instead of starting another; a response on another path is ignored and fails nothing.

mod candidate;
mod checks;
mod consent;
mod event;
mod generation;
mod memory;
mod nominate;
mod output;
mod pair;
mod persist;
mod receive;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rand::RngCore;
use serde::{Deserialize, Serialize};

pub use candidate::{CandidateRefused, Component, LocalCandidate, RemoteCandidate};
pub use event::{Counters, Event, Outcome, Refusal};
pub use output::Transmit;
pub use persist::{AgentState, RestoreError};

use crate::{Credentials, limits};
use candidate::{Origin, PerComponent, Remote};
use consent::Use;
use generation::{Generation, Nomination, Phase, Previous, RemoteSide, Side};
use memory::{Replies, Requests};
use output::{Age, Outgoing};

/// What all agents of a relay have in common.
#[derive(Clone, Debug)]
pub struct Config {
    /// Full or lite.
    pub mode: Mode,
    /// How pairs in use are kept alive.
    pub freshness: Freshness,
    /// SOFTWARE of messages to authenticated peers; empty for none. Cut after 128 bytes.
    pub software: Arc<str>,
    /// Settles role conflicts; drawn once per process (RFC 8445 §16.1).
    pub tie_breaker: u64,
}

/// How much of ICE a side does (RFC 8445 §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Checks and answers.
    Full,
    /// Only answers.
    Lite,
}

/// How pairs in use are kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Keep-alives; the pair is used until the call ends.
    Assumed,
    /// Consent checks (RFC 7675): after 30 s without a response the pair is not used any more.
    /// Lite agents send none and behave as with `Assumed`.
    Consent,
}

/// Who nominates (RFC 8445 §6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The peer nominates.
    Controlled,
    /// We nominate.
    Controlling,
}

impl Role {
    fn other(self) -> Self {
        match self {
            Self::Controlled => Self::Controlling,
            Self::Controlling => Self::Controlled,
        }
    }
}

/// Our side of a new generation: at first, or after a restart.
#[derive(Clone, Debug)]
pub struct Start {
    /// As printed in our SDP.
    pub credentials: Credentials,
    /// Controlling if we made the offer. That one side is lite is told by the mode.
    pub role: Role,
    /// As printed in our SDP; RTCP is a component if it has a candidate.
    pub candidates: Vec<LocalCandidate>,
}

/// The peer's side of a generation, without candidates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteParameters {
    /// `ice-ufrag` and `ice-pwd`.
    pub credentials: Credentials,
    /// Lite if its SDP has `a=ice-lite`.
    pub mode: Mode,
    /// `ice2` is among its `ice-options`: it nominates one pair and means it (RFC 8445 §10).
    pub has_ice2: bool,
}

/// A pair that media uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedPair {
    /// Our side: send from there.
    pub local: SocketAddr,
    /// The peer's side: send to there.
    pub remote: SocketAddr,
    /// Nominated, not only usable.
    pub is_selected: bool,
}

/// Where an agent stands. See also [`Agent::pair`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The peer's credentials are not known.
    AwaitingRemote,
    /// Pairs are tried.
    Checking,
    /// All components have a selected pair.
    Completed,
    /// No pair works, or consent for a selected one is gone.
    Failed,
}

/// Why an agent cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Two candidates have one address.
    #[error("two local candidates at {0}")]
    Duplicate(SocketAddr),
    /// No candidate for RTP.
    #[error("no local candidate for RTP")]
    NoRtp,
    /// Too many candidates.
    #[error("{0} local candidates, more than {max}", max = limits::LOCAL_CANDIDATES)]
    TooMany(usize),
}

/// The peer's credentials changed without a restart; the old ones stay in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer's ICE credentials changed without a restart")]
pub struct CredentialsChanged;

/// An ICE agent with host candidates.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    role: Role,
    tie_breaker: u64,
    /// 487 responses of this generation.
    conflicts: u8,
    current: Generation,
    previous: Option<Box<Previous>>,
    /// Something was added that the next timeout has to look at.
    is_unsettled: bool,
    /// Before this, nothing new is checked.
    run_at: Instant,
    followed_at: Option<Instant>,
    out: VecDeque<Outgoing>,
    events: VecDeque<Event>,
    counters: Counters,
    replies: Replies,
    requests: Requests,
}

impl Agent {
    /// An agent that answers the peer's checks, but does not know yet whom to check.
    pub fn new(config: Config, start: Start, now: Instant) -> Result<Self, StartError> {
        let mut agent = Self {
            role: start.role,
            tie_breaker: config.tie_breaker,
            conflicts: 0,
            current: Generation::new(start.credentials, start.candidates)?,
            previous: None,
            is_unsettled: false,
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

    /// Starts the checks. The same credentials again change nothing; others are refused: they are
    /// those of a restart, which comes with [`Agent::restart`].
    pub fn set_remote(
        &mut self,
        parameters: RemoteParameters,
        now: Instant,
    ) -> Result<(), CredentialsChanged> {
        if let Some(known) = &mut self.current.remote {
            if known.side.credentials != parameters.credentials {
                return Err(CredentialsChanged);
            }
            known.has_ice2 = parameters.has_ice2;
            return Ok(());
        }
        // RFC 8445 §6.1.1: a lite side is controlled, if the other is full.
        let role = match (self.config.mode, parameters.mode) {
            (Mode::Full, Mode::Lite) => Role::Controlling,
            (Mode::Lite, Mode::Full) => Role::Controlled,
            _ => self.role,
        };
        self.current.set_remote(parameters);
        self.current.phase = Phase::Checking {
            until: now + limits::PATIENCE,
        };
        self.is_unsettled = true;
        if role != self.role {
            self.switch_role(role);
        }
        Ok(())
    }

    /// Adds a candidate of the peer, before or after [`Agent::set_remote`].
    pub fn add_remote(&mut self, candidate: RemoteCandidate<'_>) -> Result<(), CandidateRefused> {
        let remote = candidate.into();
        self.current
            .add_remote(remote, self.role, self.config.mode)?;
        self.is_unsettled = true;
        Ok(())
    }

    /// The peer has no more candidates. An agent without a working pair may then fail as soon as
    /// nothing is left to be tried, but not before the 39.5 s of RFC 8863: it changes nothing, and
    /// need not be called.
    pub fn end_of_candidates(&mut self) {
        self.is_unsettled = true;
    }

    /// RTCP comes with RTP (rtcp-mux): the second component ends.
    pub fn use_mux(&mut self) {
        self.current.drop_rtcp();
        if let Some(previous) = &mut self.previous {
            previous.drop_rtcp();
        }
        self.is_unsettled = true;
    }

    /// New credentials and candidates, perhaps of another IP version (RFC 8445 §9). The pair in use
    /// stays in use until the new generation has one.
    pub fn restart(&mut self, start: Start) -> Result<(), StartError> {
        let fresh = Generation::new(start.credentials, start.candidates)?;
        let ended = std::mem::replace(&mut self.current, fresh);
        let previous = self.previous.as_ref();
        let is_needed = previous.is_some_and(|previous| previous.is_used());
        if ended.used.iter().any(Option::is_some) || !is_needed {
            self.previous = Some(Box::new(Previous::new(ended, self.role, self.config.mode)));
        }
        self.role = start.role;
        self.conflicts = 0;
        self.followed_at = None;
        self.requests.clear();
        // Messages name pairs and credentials of the generation that ended.
        self.out.clear();
        Ok(())
    }

    /// Takes in a datagram that arrived on the socket `local`. Addresses are compared as they are: an
    /// IPv4 address must not come once as such and once mapped into IPv6.
    pub fn handle_datagram(
        &mut self,
        local: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> Outcome {
        self.receive(local, from, datagram, now, rng)
    }

    /// Does what is due. May be called too early.
    pub fn handle_timeout(&mut self, now: Instant, rng: &mut dyn RngCore) {
        self.keep_alive(now, rng);
        if std::mem::take(&mut self.is_unsettled) {
            self.adopt_early(now, rng);
            self.settle(now, rng);
        }
        self.check(now, rng);
    }

    /// When to call [`Agent::handle_timeout`] next; may be past. `None` if time alone changes nothing.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let settling = self.is_unsettled.then_some(self.run_at);
        let previous = self.previous.iter().map(|previous| &previous.used);
        let uses = previous.chain([&self.current.used]);
        let kept = uses.flat_map(PerComponent::iter).flatten();
        let kept = kept.map(Use::next_timeout);
        kept.chain(settling).chain(self.next_check()).min()
    }

    /// Writes the next datagram to `buffer`, which should have [`limits::MESSAGE`] bytes: what does
    /// not fit is lost.
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        while let Some(outgoing) = self.out.pop_front() {
            let transmit = self.write(outgoing, buffer);
            if transmit.is_some() {
                return transmit;
            }
        }
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Where the agent stands.
    pub fn state(&self) -> State {
        match self.current.phase {
            Phase::AwaitingRemote => State::AwaitingRemote,
            Phase::Checking { .. } => State::Checking,
            Phase::Completed => State::Completed,
            Phase::Failed => State::Failed,
        }
    }

    /// The present role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Our credentials of the present generation.
    pub fn credentials(&self) -> &Credentials {
        &self.current.local.credentials
    }

    /// The peer's credentials of the present generation, if they are known.
    pub fn remote_credentials(&self) -> Option<&Credentials> {
        let remote = self.current.remote.as_ref();
        remote.map(|remote| &remote.side.credentials)
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The pair that media of this component uses: the selected one, else a usable one, else that of
    /// before the restart. `None`: nothing may be sent.
    pub fn pair(&self, component: Component) -> Option<UsedPair> {
        let previous = self.previous.as_ref();
        let before = previous.and_then(|previous| previous.used.get(component).as_ref());
        let used = self.current.used.get(component).as_ref().or(before)?;
        Some(UsedPair {
            local: used.local,
            remote: used.remote,
            is_selected: used.is_selected,
        })
    }

    /// Whether `from` has shown on the socket `local` that it is the peer. DTLS and media of others
    /// are not to be let in (spec: media-behaviour §2). A request shows it of a signalled source; a
    /// full agent that knows its peer believes others when they have answered a check. Stays true when consent to send is lost. Between
    /// two lite sides nothing is shown, and every signalled address counts.
    pub fn is_valid_source(&self, local: SocketAddr, from: SocketAddr) -> bool {
        self.valid_sources()
            .any(|(_, at, source)| at == local && source == from)
    }

    /// All sources by [`Agent::is_valid_source`], with their component and socket.
    pub fn valid_sources(&self) -> impl Iterator<Item = (Component, SocketAddr, SocketAddr)> {
        let current = self.current.sources(self.config.mode);
        let previous = self.previous.iter();
        current.chain(previous.flat_map(|previous| previous.sources.iter().copied()))
    }

    /// Our ufrags that a request may be for: that of the present generation, and that of the one before
    /// while that is in use.
    pub fn ufrags(&self) -> impl Iterator<Item = &str> {
        let previous = self.previous.as_ref().map(|previous| &previous.local);
        let locals = [Some(&self.current.local), previous];
        locals
            .into_iter()
            .flatten()
            .map(|side| side.credentials.ufrag())
    }

    /// The paths that a response may come on: our sockets, and addresses of the peer that are being
    /// checked, or whose consent is.
    pub fn checked_paths(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        let pairs = self.current.pairs.iter();
        let checked = pairs.filter(|pair| pair.check().is_some());
        let checked =
            checked.filter_map(|pair| Some((self.current.address_of(pair)?, pair.remote)));
        let previous = self.previous.iter().map(|previous| &previous.used);
        let used = previous.chain([&self.current.used]);
        let used = used.flat_map(PerComponent::iter).flatten();
        checked.chain(used.map(|used| (used.local, used.remote)))
    }

    /// Media came from a source that is not the one in use: the pair in use moves there, if it works
    /// and at most every 3 s (spec: media-behaviour §5). Returns whether it moved; the event says
    /// where to.
    pub fn follow(
        &mut self,
        local: SocketAddr,
        from: SocketAddr,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> bool {
        let waits = |at: Instant| now < at + limits::FOLLOW_INTERVAL;
        if self.followed_at.is_some_and(waits) {
            return false;
        }
        let Some(pair) = self.current.pair_on(local, from) else {
            return false;
        };
        let (id, component) = (pair.id, pair.component);
        let used = self.current.used.get(component).as_ref();
        let Some(used) = used.filter(|used| used.pair != id) else {
            return false;
        };
        let is_selected = used.is_selected;
        if !pair.works() {
            return false;
        }
        if !self.is_current(id, now) {
            self.recheck(id);
            return false;
        }
        self.followed_at = Some(now);
        self.put_to_use(id, is_selected, now, rng);
        true
    }

    fn cut_software(&mut self) {
        let software = &self.config.software;
        if software.len() > limits::SOFTWARE {
            let end = software.floor_char_boundary(limits::SOFTWARE);
            self.config.software = software.get(..end).unwrap_or_default().into();
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() == limits::EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn used_mut(&mut self, age: Age, component: Component) -> Option<&mut Use> {
        let uses = match age {
            Age::Current => &mut self.current.used,
            Age::Previous => &mut self.previous.as_mut()?.used,
        };
        uses.get_mut(component).as_mut()
    }
}
