//! The targets of one request, one after the other (spec §14, Failover; RFC 3263 §4.3).
//!
//! Use: [`Pick::start`], then for each [`Step`]
//! - `Resolve`: look the destination up and give the end to [`Pick::resolved`];
//! - `Try`: send, tell [`Pick::progress`] of provisional responses, call [`Pick::timed_out`] when
//!   [`Pick::next_timeout`] has come, and give the outcome to [`Pick::next`];
//! - `Done`: answer the sender, take [`Pick::take_held`] into the dialog if there is an answer.
//!
//! Each of these returns the next step, and each call ends with `Done`: it is `Done` that has given
//! every slot back but the one of an answer. A request that is given up goes through
//! `next(…, Outcome::Cancelled)` therefore.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;

use super::choose::choose;
use super::config::{CodeRange, Failover, Redirects};
use super::live::{Held, Target};
use super::pools::{Pool, Pools};
use super::routes::{Rule, Seen};
use crate::limits;
use crate::message::{Span, Uri};
use crate::resolve::{Address, Destination, DestinationError, ResolveError};

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Takes slots, and may ring.
    Invite,
    Other,
    /// 403 and 404 say something about the user, not about the registrar (spec §8).
    Register,
}

/// What is to be done for the request.
#[derive(Debug)]
pub(crate) enum Step {
    Done(End),
    /// Look this up.
    Resolve(Destination),
    Try(Attempt),
}

/// One sending of the request, a branch of its own.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// From 1, for the record of the call.
    pub(crate) number: usize,
    /// `None`: the destination in the Request-URI.
    pub(crate) target: Option<Arc<Target>>,
    pub(crate) address: Address,
    /// The Request-URI of a redirection (RFC 3261 §8.1.3.4).
    pub(crate) request_uri: Option<Box<str>>,
}

/// How the last attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The sender has cancelled, or the edge ends the call.
    Cancelled,
    /// A final response.
    Final(u16),
    /// Nothing came within the answer timeout. The branch may be alive: cancel it once it rings.
    NoResponse,
    /// It was received and does not ring. The branch is cancelled.
    NotRinging,
    /// A 3xx with its contacts, by preference.
    Redirected(u16, Vec<Contact>),
    /// The time for all targets is over. The branch is cancelled.
    RingTimeout,
    /// No connection, an ICMP error, or a failure to send.
    Unreachable,
}

/// How a request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A 2xx was relayed.
    Answered,
    Cancelled,
    /// A response of our own. A request other than INVITE gets no 408 (RFC 4320 §4.2).
    Refuse {
        code: u16,
        retry_after: Option<Duration>,
    },
    /// The response that this attempt got; a 503 leaves as 500 (RFC 3261 §16.7 step 6).
    Relay {
        code: u16,
        attempt: usize,
    },
}

/// Where a 3xx points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(super) uri: Box<str>,
    destination: Destination,
}

impl Contact {
    /// The URI of a Contact value, without angle brackets and header parameters. Headers in the URI
    /// are left: a Request-URI has none, and what they ask for is the redirecting server's wish alone.
    pub(crate) fn parse(uri: &[u8]) -> Result<Self, DestinationError> {
        let destination = Destination::parse(uri)?;
        let headers = Uri::parse(uri, Span::new(0, uri.len()))?.headers;
        let before = uri.get(..headers.from()).unwrap_or_default();
        let before = before.strip_suffix(b"?").unwrap_or(before);
        let text = std::str::from_utf8(before).map_err(|_| DestinationError::Syntax)?;
        Ok(Self {
            uri: text.into(),
            destination,
        })
    }
}

/// The way of one request.
#[derive(Debug)]
pub(crate) struct Pick {
    pools: Arc<Pools>,
    rule: Arc<Rule>,
    kind: Kind,
    /// Hashes for the pools of the rule.
    keys: Vec<u64>,
    /// Destination in the Request-URI, where the rule leads there.
    request_uri: Option<Destination>,
    tried: Vec<Arc<Target>>,
    redirects: VecDeque<Contact>,
    /// Redirections that were tried or wait for it.
    followed: Vec<Box<str>>,
    /// The pool in use, as a place in the rule.
    pool: usize,
    attempts: usize,
    current: Option<Current>,
    best: Option<Best>,
    has_early_media: bool,
    give_up: Instant,
    end: Option<End>,
    answered: Option<Held>,
}

/// The target in use.
#[derive(Debug)]
struct Current {
    target: Option<Arc<Target>>,
    held: Option<Held>,
    request_uri: Option<Box<str>>,
    /// Addresses that were not tried.
    addresses: VecDeque<Address>,
    /// The one that the last attempt went to.
    sent_to: Option<Address>,
    /// How often the target had worked before that.
    worked: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Resolving,
    Sent {
        /// Until the first response.
        answer_by: Option<Instant>,
        /// Until the first 180 or above.
        ring_by: Option<Instant>,
    },
}

/// The best failure so far.
#[derive(Clone, Copy, Debug)]
struct Best {
    code: u16,
    /// Its attempt; `None` if the code is ours.
    attempt: Option<usize>,
}

impl Pick {
    /// For a request that falls under `rule`. `request_uri` is needed by rules that lead there.
    pub(crate) fn new(
        now: Instant,
        pools: Arc<Pools>,
        rule: Arc<Rule>,
        kind: Kind,
        seen: &Seen<'_>,
        request_uri: Option<Destination>,
    ) -> Self {
        let algorithm = |at: &usize| pools.pool(*at).map(|pool| pool.algorithm);
        let of_rule = rule.pools.iter().flatten();
        let keys = of_rule.map(|at| algorithm(at).map_or(0, |a| seen.key(a)));
        let total = match kind {
            Kind::Invite => rule.failover.ring_timeout,
            Kind::Other | Kind::Register => rule.failover.request_timeout,
        };
        Self {
            keys: keys.collect(),
            request_uri: request_uri.filter(|_| rule.pools.is_none()),
            pools,
            rule,
            kind,
            tried: Vec::new(),
            redirects: VecDeque::new(),
            followed: Vec::new(),
            pool: 0,
            attempts: 0,
            current: None,
            best: None,
            has_early_media: false,
            give_up: now + total,
            end: None,
            answered: None,
        }
    }

    /// The first step.
    pub(crate) fn start(&mut self, now: Instant, rng: &mut impl Rng) -> Step {
        self.go_on(now, rng)
    }

    /// The step after the last attempt.
    pub(crate) fn next(&mut self, now: Instant, last: Outcome, rng: &mut impl Rng) -> Step {
        if let Some(end) = &self.end {
            return Step::Done(end.clone());
        }
        match last {
            Outcome::Cancelled => return self.done(End::Cancelled),
            Outcome::Final(code) => return self.on_final(now, code, rng),
            Outcome::NoResponse => self.fail(now, 408, Miss::Counts),
            Outcome::NotRinging => {
                self.fail(now, 408, Miss::None);
                self.forget_addresses();
            }
            Outcome::Redirected(code, contacts) => {
                return self.on_redirect(now, code, contacts, rng);
            }
            Outcome::RingTimeout => {
                return self.done(End::Refuse {
                    code: 408,
                    retry_after: None,
                });
            }
            Outcome::Unreachable => self.fail(now, 503, Miss::Counts),
        }
        self.go_on(now, rng)
    }

    /// The step after a [`Step::Resolve`].
    pub(crate) fn resolved(
        &mut self,
        now: Instant,
        result: Result<Vec<Address>, ResolveError>,
        rng: &mut impl Rng,
    ) -> Step {
        if let Some(end) = &self.end {
            return Step::Done(end.clone());
        }
        match (result, &mut self.current) {
            (Ok(addresses), Some(current)) => {
                let mut addresses = addresses;
                addresses.truncate(limits::ADDRESSES);
                if let Some(target) = &current.target {
                    target.put_back_silent(now, &mut addresses);
                }
                current.addresses = addresses.into();
            }
            (Ok(_), None) => {}
            // DNS has failed, not the target.
            (Err(error), _) => self.fail(now, error.code(), Miss::None),
        }
        self.go_on(now, rng)
    }

    /// A provisional response to the last attempt; `early_media` if it has SDP.
    pub(crate) fn progress(&mut self, code: u16, early_media: bool) {
        self.has_early_media |= early_media;
        let current = self.current.as_mut();
        if let Some(Phase::Sent { answer_by, ring_by }) = current.map(|c| &mut c.phase) {
            *answer_by = None;
            if code >= 180 {
                *ring_by = None;
            }
        }
    }

    /// When to ask [`Self::timed_out`].
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let current = self.current.as_ref()?;
        let (answer_by, ring_by) = match current.phase {
            Phase::Resolving => (None, None),
            Phase::Sent { answer_by, ring_by } => (answer_by, ring_by),
        };
        let timers = [Some(self.give_up), answer_by, ring_by];
        timers.into_iter().flatten().min()
    }

    /// The outcome that time alone has brought, to be given to [`Self::next`].
    pub(crate) fn timed_out(&self, now: Instant) -> Option<Outcome> {
        let current = self.current.as_ref()?;
        if self.give_up <= now {
            return Some(Outcome::RingTimeout);
        }
        let Phase::Sent { answer_by, ring_by } = current.phase else {
            return None;
        };
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(answer_by) {
            Some(Outcome::NoResponse)
        } else {
            is_due(ring_by).then_some(Outcome::NotRinging)
        }
    }

    /// A 2xx to an attempt that was given up before: the call is there, whatever was tried since.
    /// The last attempt is to be cancelled. Ends as [`End::Answered`].
    pub(crate) fn answered_late(&mut self, attempt: &Attempt) -> Step {
        if self.end != Some(End::Answered) {
            self.release();
            if let Some(target) = &attempt.target {
                target.works();
                target.live().count_answer();
                if self.kind == Kind::Invite {
                    target.live().count_answered_invite();
                    self.answered = Some(target.hold(self.rule.resources.as_deref()));
                }
            }
            self.end = Some(End::Answered);
        }
        Step::Done(End::Answered)
    }

    /// The place and slots of an answered INVITE; they belong to its dialog.
    pub(crate) fn take_held(&mut self) -> Option<Held> {
        self.answered.take()
    }

    /// The request is forgotten, whatever became of it: nothing stays taken.
    pub(crate) fn give_up(&mut self) {
        self.release();
        if let Some(held) = self.answered.take() {
            held.release();
        }
        self.end.get_or_insert(End::Cancelled);
    }

    fn on_final(&mut self, now: Instant, code: u16, rng: &mut impl Rng) -> Step {
        if (200..300).contains(&code) {
            let current = self.current.take();
            if let Some(current) = current {
                if let Some(target) = &current.target {
                    target.works();
                    target.live().count_answer();
                    if self.kind == Kind::Invite {
                        target.live().count_answered_invite();
                    }
                }
                self.answered = current.held;
            }
            return self.done(End::Answered);
        }
        let is_answer =
            Failover::is_answer(code) || self.kind == Kind::Register && matches!(code, 403 | 404);
        let goes_on = !is_answer && CodeRange::any(&self.rule.failover.codes, code);
        if let Some(current) = &self.current
            && let Some(target) = &current.target
        {
            if code == 503 {
                current.remember_silence(now, target);
            }
            if code != 503 || current.addresses.is_empty() {
                self.pools.judge(target, code);
            }
            if goes_on {
                target.live().count_failure();
            }
        }
        let attempt = self.attempts;
        if !goes_on {
            return self.done(End::Relay { code, attempt });
        }
        self.consider(code, Some(attempt));
        // Another address of the name is another server if this one has no time (RFC 3263 §4.3).
        if code != 503 {
            self.forget_addresses();
        }
        self.go_on(now, rng)
    }

    fn on_redirect(
        &mut self,
        now: Instant,
        code: u16,
        contacts: Vec<Contact>,
        rng: &mut impl Rng,
    ) -> Step {
        if let Some(target) = self.current.as_ref().and_then(|c| c.target.as_ref()) {
            target.works();
        }
        let attempt = self.attempts;
        let before = self.redirects.len();
        if self.rule.failover.redirects == Redirects::Follow && self.may_go_on(now) {
            for contact in contacts {
                let is_new = !self.followed.contains(&contact.uri);
                let is_allowed = self.pools.peer_at(&contact.destination).is_some();
                if is_new && is_allowed && self.followed.len() < limits::REDIRECTS {
                    self.followed.push(contact.uri.clone());
                    self.redirects.push_back(contact);
                }
            }
        }
        if self.redirects.len() == before {
            return self.done(End::Relay { code, attempt });
        }
        self.forget_addresses();
        self.go_on(now, rng)
    }

    fn may_go_on(&self, now: Instant) -> bool {
        let is_silent = !self.has_early_media || self.rule.failover.after_early_media;
        now < self.give_up && self.attempts < limits::ATTEMPTS && is_silent
    }

    /// The next address of the target, the next redirection, the next target, or the end.
    fn go_on(&mut self, now: Instant, rng: &mut impl Rng) -> Step {
        if !self.may_go_on(now) {
            return self.exhausted(rng);
        }
        if let Some(step) = self.next_address(now) {
            return step;
        }
        self.release();
        while let Some(contact) = self.redirects.pop_front() {
            let target = self.pools.peer_at(&contact.destination).cloned();
            if let Some(step) = self.enter(now, target, contact.destination, Some(contact.uri)) {
                return step;
            }
        }
        if let Some(destination) = self.request_uri.take()
            && let Some(step) = self.enter(now, None, destination, None)
        {
            return step;
        }
        while let Some(target) = self.choose(rng) {
            self.tried.push(target.clone());
            let destination = target.destination.clone();
            if let Some(step) = self.enter(now, Some(target), destination, None) {
                return step;
            }
        }
        self.exhausted(rng)
    }

    fn next_address(&mut self, now: Instant) -> Option<Step> {
        let failover = &self.rule.failover;
        let current = self.current.as_mut()?;
        let address = current.addresses.pop_front()?;
        self.attempts += 1;
        current.sent_to = Some(address.clone());
        if let Some(target) = &current.target {
            target.live().count_attempt();
            if self.kind == Kind::Invite {
                target.live().count_invite();
            }
            current.worked = target.live().worked();
        }
        let rings = failover
            .ringing_timeout
            .filter(|_| self.kind == Kind::Invite);
        current.phase = Phase::Sent {
            answer_by: Some(now + failover.answer_timeout),
            ring_by: rings.map(|after| now + after),
        };
        Some(Step::Try(Attempt {
            number: self.attempts,
            target: current.target.clone(),
            address,
            request_uri: current.request_uri.clone(),
        }))
    }

    /// Takes a slot and begins with a target; `None` if it has no slot.
    fn enter(
        &mut self,
        now: Instant,
        target: Option<Arc<Target>>,
        destination: Destination,
        request_uri: Option<Box<str>>,
    ) -> Option<Step> {
        let held = match &target {
            Some(target) if self.kind == Kind::Invite => {
                Some(target.reserve(self.rule.resources.as_deref())?)
            }
            _ => None,
        };
        let direct = destination.direct();
        let is_named = direct.is_none();
        self.current = Some(Current {
            target,
            held,
            request_uri,
            addresses: direct.into_iter().collect(),
            sent_to: None,
            worked: 0,
            phase: Phase::Resolving,
        });
        if is_named {
            return Some(Step::Resolve(destination));
        }
        self.next_address(now)
    }

    /// The next target that is usable and was not tried, of the first pool and group that has one.
    fn choose(&mut self, rng: &mut impl Rng) -> Option<Arc<Target>> {
        let wanted = self.rule.resources.as_deref();
        loop {
            let index = *self.rule.pools.as_ref()?.get(self.pool)?;
            let key = self.keys.get(self.pool).copied().unwrap_or_default();
            if let Some(pool) = self.pools.pool(index) {
                let group = candidates(pool, wanted, &self.tried);
                if let Some(target) = choose(&group, pool.algorithm, key, wanted, rng) {
                    return Some(target.clone());
                }
            }
            self.pool += 1;
        }
    }

    /// The last attempt has failed without a response of its own.
    fn fail(&mut self, now: Instant, code: u16, miss: Miss) {
        if let Some(current) = &self.current
            && let Some(target) = &current.target
        {
            target.live().count_failure();
            if miss == Miss::Counts {
                current.remember_silence(now, target);
                // One call is one miss: that of the last address. Who has answered others since does
                // not want this one: strangers could take a target down by what it never answers.
                let is_dead = target.live().worked() == current.worked;
                if current.addresses.is_empty() && is_dead {
                    self.pools.tell(target.miss());
                }
            }
        }
        self.consider(code, None);
    }

    fn consider(&mut self, code: u16, attempt: Option<usize>) {
        if self.best.is_none_or(|best| rank(code) < rank(best.code)) {
            self.best = Some(Best { code, attempt });
        }
    }

    fn forget_addresses(&mut self) {
        if let Some(current) = &mut self.current {
            current.addresses.clear();
        }
    }

    fn exhausted(&mut self, rng: &mut impl Rng) -> Step {
        let refuse = |code: u16, rng: &mut dyn FnMut() -> u64| End::Refuse {
            code,
            retry_after: (code == 503).then(|| Duration::from_secs(rng())),
        };
        // At random, so that callers do not come back all at once (spec §5).
        let mut seconds = || rng.random_range(5..=30);
        let end = match self.best {
            Some(Best {
                code,
                attempt: Some(attempt),
            }) => End::Relay { code, attempt },
            Some(Best {
                code,
                attempt: None,
            }) => refuse(code, &mut seconds),
            None => refuse(503, &mut seconds),
        };
        self.done(end)
    }

    fn done(&mut self, end: End) -> Step {
        self.release();
        self.end = Some(end.clone());
        Step::Done(end)
    }

    fn release(&mut self) {
        let current = self.current.take();
        if let Some(held) = current.and_then(|current| current.held) {
            held.release();
        }
    }
}

impl Current {
    /// The next calls try another address of the name first.
    fn remember_silence(&self, now: Instant, target: &Target) {
        let of_name = self.sent_to.as_ref().filter(|a| a.server_name.is_some());
        if let Some(address) = of_name {
            target.note_silent(now, address);
        }
    }
}

/// Whether a failure counts against the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Miss {
    Counts,
    None,
}

/// The usable targets of the first group that has any.
pub(super) fn candidates<'a>(
    pool: &'a Pool,
    wanted: Option<&[Box<str>]>,
    tried: &[Arc<Target>],
) -> Vec<&'a Arc<Target>> {
    let is_left = |target: &&Arc<Target>| {
        target.is_usable()
            && target.has(wanted)
            && !tried.iter().any(|other| Arc::ptr_eq(other, target))
    };
    let left: Vec<_> = pool.targets.iter().filter(is_left).collect();
    let group = left.iter().map(|target| target.group).min();
    let of_group = left.into_iter().filter(|t| Some(t.group) == group);
    of_group.collect()
}

/// Lower is better: the lowest class, and in 4xx what tells the sender how to change the request
/// (RFC 3261 §16.7 step 6).
fn rank(code: u16) -> (u16, bool) {
    let is_preferred = matches!(code, 401 | 407 | 415 | 420 | 484);
    (code / 100, !is_preferred)
}
