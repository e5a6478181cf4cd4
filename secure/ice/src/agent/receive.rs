//! What becomes of a STUN message (RFC 8445 §7.2.5, §7.3; RFC 8489 §9.1.3).
//!
//! Cheap tests go first: form, fingerprint, transaction or user name, path, and only then the HMAC.
//! Nothing is kept of a message before its MESSAGE-INTEGRITY is right.

use std::net::SocketAddr;
use std::time::Instant;

use rand::RngCore;

use super::candidate::{Component, hash, reflexive_priority};
use super::event::{Event, Outcome, Refusal};
use super::output::{Age, Answer, Outgoing};
use super::pair::Stage;
use super::{Agent, Mode, Role};
use crate::limits;
use crate::stun::{Class, Fingerprint, Message, Tie, is_stun};

/// The way that a datagram took.
#[derive(Clone, Copy)]
struct Path {
    local: SocketAddr,
    from: SocketAddr,
}

impl Agent {
    pub(super) fn receive(
        &mut self,
        local: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> Outcome {
        if !is_stun(datagram) {
            return Outcome::NotStun;
        }
        let path = Path { local, from };
        let result = match Message::parse(datagram) {
            Err(_) => Err(Refusal::Malformed),
            Ok(message) if message.fingerprint() != Fingerprint::Right => return Outcome::NotStun,
            Ok(message) => match message.class() {
                Class::Request => self.answer(path, &message, now, rng),
                Class::Success | Class::Error => self.take_response(path, &message, now, rng),
                Class::Indication => Ok(()),
            },
        };
        match result {
            Ok(()) => Outcome::Taken,
            Err(refusal) => {
                self.counters.note(refusal);
                Outcome::Dropped(refusal)
            }
        }
    }

    /// Answers a request; one of the present generation says where the peer is.
    fn answer(
        &mut self,
        path: Path,
        message: &Message<'_>,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> Result<(), Refusal> {
        let (age, peer) = match self.authenticate(message) {
            Ok(found) => found,
            Err(refusal) => {
                let (code, reason) = match refusal {
                    Refusal::BadRequest => (400, "Bad request"),
                    _ => (401, "Unauthorized"),
                };
                if !self.replies.admits(now) {
                    self.counters.unanswered_in = self.counters.unanswered_in.wrapping_add(1);
                    return Err(refusal);
                }
                let room = message.len();
                let answer = Answer::Unauthenticated { code, reason, room };
                self.reply(path, message, answer);
                return Err(refusal);
            }
        };
        if self.is_other_peer(age, peer) {
            return Err(Refusal::OtherPeer);
        }
        if self.requests.is_replayed(message.transaction(), path.from) {
            return Err(Refusal::Replayed);
        }
        self.counters.requests_in = self.counters.requests_in.wrapping_add(1);
        if !message.unknown().as_slice().is_empty() {
            let answer = Answer::UnknownAttributes(age, *message.unknown());
            self.reply(path, message, answer);
            return Err(Refusal::UnknownAttribute);
        }
        if age == Age::Current && self.has_conflict(message) {
            self.reply(path, message, Answer::RoleConflict);
            return Err(Refusal::RoleConflict);
        }
        self.reply(path, message, Answer::Success(age));
        self.hear(age, path, now);
        // Another branch of a forked offer is answered, but it is not the peer.
        let remote = self.current.remote.as_ref();
        let is_peer =
            remote.is_none_or(|remote| remote.side.credentials.ufrag().as_bytes() == peer);
        if age == Age::Current && is_peer {
            self.learn(path, message, hash(peer), now, rng);
        }
        Ok(())
    }

    /// Which generation a request is for, and the ufrag that the sender gives itself.
    fn authenticate<'m>(&self, message: &Message<'m>) -> Result<(Age, &'m [u8]), Refusal> {
        let username = message.username().filter(|_| message.has_integrity());
        let username = username.ok_or(Refusal::BadRequest)?;
        let colon = username.iter().position(|byte| *byte == b':');
        let halves = colon.and_then(|colon| username.split_at_checked(colon));
        let (ours, peer) = halves.ok_or(Refusal::UnknownUser)?;
        let previous = self.previous.as_ref().map(|previous| &previous.local);
        let (age, side) = if self.current.local.credentials.ufrag().as_bytes() == ours {
            (Age::Current, &self.current.local)
        } else {
            let is_ours = |credentials: &str| credentials.as_bytes() == ours;
            let previous = previous.filter(|side| is_ours(side.credentials.ufrag()));
            (Age::Previous, previous.ok_or(Refusal::UnknownUser)?)
        };
        if !message.is_authentic(&side.key) {
            return Err(Refusal::Unauthentic);
        }
        Ok((age, peer.get(1..).unwrap_or_default()))
    }

    /// Whether media goes to a peer, or went to it before the restart, that is not this one.
    fn is_other_peer(&self, age: Age, ufrag: &[u8]) -> bool {
        let (remote, is_settled) = match (age, self.previous.as_deref()) {
            (Age::Previous, Some(previous)) => (previous.remote.as_ref(), true),
            _ => {
                let is_used = self.current.used.iter().any(Option::is_some);
                (self.current.remote.as_ref(), is_used)
            }
        };
        is_settled
            && remote.is_some_and(|remote| remote.side.credentials.ufrag().as_bytes() != ufrag)
    }

    /// Settles a role conflict (RFC 8445 §7.3.1.1). `true` if the peer is the one to change.
    fn has_conflict(&mut self, message: &Message<'_>) -> bool {
        // Whoever sends checks is full, and to a full one a lite one is controlled, also before the
        // answer says that the peer is full (RFC 8445 §6.1.1).
        if self.config.mode == Mode::Lite {
            if self.role == Role::Controlling {
                self.switch_role(Role::Controlled);
            }
            return matches!(message.tie(), Some(Tie::Controlled(_)));
        }
        let wins = match (self.role, message.tie()) {
            (Role::Controlling, Some(Tie::Controlling(theirs))) => self.tie_breaker >= theirs,
            (Role::Controlled, Some(Tie::Controlled(theirs))) => self.tie_breaker < theirs,
            _ => return false,
        };
        if wins {
            return true;
        }
        self.switch_role(self.role.other());
        false
    }

    fn reply(&mut self, path: Path, message: &Message<'_>, answer: Answer) {
        self.send(Outgoing::Reply {
            local: path.local,
            to: path.from,
            transaction: message.transaction(),
            answer,
        });
    }

    /// The peer said something on this path.
    fn hear(&mut self, age: Age, path: Path, now: Instant) {
        for component in Component::ALL {
            if let Some(used) = self.used_mut(age, component)
                && used.local == path.local
                && used.remote == path.from
            {
                used.heard = now;
            }
        }
    }

    /// The peer is at the other end of this path (RFC 8445 §7.3.1.3 to §7.3.1.5).
    fn learn(
        &mut self,
        path: Path,
        message: &Message<'_>,
        ufrag: u64,
        now: Instant,
        rng: &mut dyn RngCore,
    ) {
        let Some(local) = self.current.local_at(path.local) else {
            return;
        };
        let Some(candidate) = self.current.locals.get(local) else {
            return;
        };
        if !self.current.has(candidate.component) {
            return;
        }
        // Some peers leave PRIORITY out of consent checks.
        let own = reflexive_priority(candidate.priority);
        let priority = message.priority().unwrap_or(own);
        let known = self.current.pair_on(path.local, path.from);
        let id = known.map(|pair| pair.id);
        let learned = || {
            self.current
                .learn(local, path.from, priority, ufrag, self.role)
        };
        let Some(id) = id.or_else(learned) else {
            return;
        };
        let is_known = self.current.remote.is_some();
        let was_source = self.current.is_source(id, self.config.mode);
        let Some(pair) = self.current.pair_mut(id) else {
            return;
        };
        let component = pair.component;
        pair.is_authenticated = true;
        if message.uses_candidate() && self.role == Role::Controlled {
            pair.is_nominated = true;
        }
        let is_nominated = pair.is_nominated;
        match (self.config.mode, &pair.stage) {
            // The answer to our SDP is not there yet: see `adopt_early`.
            _ if !is_known => {}
            (_, Stage::Lost) => {}
            (Mode::Lite, _) => {
                pair.stage = Stage::Succeeded;
                pair.proven = Some(now);
            }
            (Mode::Full, Stage::Succeeded | Stage::Nominating(_)) => {}
            (Mode::Full, Stage::Failed | Stage::Frozen) => {
                pair.stage = Stage::Waiting;
                self.current.trigger(id, false);
            }
            (Mode::Full, Stage::InProgress(_) | Stage::Waiting) => self.current.trigger(id, false),
        }
        if !was_source && self.current.is_source(id, self.config.mode) {
            self.tell(Event::Authenticated {
                component,
                local: path.local,
                remote: path.from,
            });
        }
        let works = self.current.pair(id).is_some_and(|pair| pair.works());
        if !works || !is_known {
            return;
        }
        // A nomination that came too early for the pair in use is taken up when that has fallen silent.
        let used = self.current.used.get(component).as_ref();
        let is_in_doubt = used.is_some_and(|used| used.is_in_doubt(now));
        if is_nominated && (message.uses_candidate() || is_in_doubt) {
            self.accept_nomination(id, now, rng);
        }
        if self.config.mode == Mode::Lite {
            self.settle(now, rng);
        }
    }

    fn take_response(
        &mut self,
        path: Path,
        message: &Message<'_>,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> Result<(), Refusal> {
        let transaction = message.transaction();
        let mut pairs = self.current.pairs.iter();
        let checked = pairs.find(|pair| {
            let check = pair.check();
            check.is_some_and(|check| check.transaction == transaction)
        });
        if let Some(pair) = checked {
            let local = self.current.address_of(pair);
            if pair.remote != path.from || local != Some(path.local) {
                return Err(Refusal::WrongPath);
            }
            let id = pair.id;
            self.verify(Age::Current, message)?;
            self.hear(Age::Current, path, now);
            return self.conclude(id, message, now, rng);
        }
        for age in [Age::Current, Age::Previous] {
            for component in Component::ALL {
                let used = self.used_mut(age, component);
                let Some(used) = used.filter(|used| used.awaits(transaction)) else {
                    continue;
                };
                if used.local != path.local || used.remote != path.from {
                    return Err(Refusal::WrongPath);
                }
                self.verify(age, message)?;
                let code = message.error().map(|error| error.code);
                if message.class() == Class::Success {
                    self.refresh(age, component, now);
                } else if age == Age::Current && code == Some(ROLE_CONFLICT) {
                    // The next consent check has the other role.
                    self.yield_to(self.role, rng);
                }
                return Ok(());
            }
        }
        Err(Refusal::UnknownTransaction)
    }

    /// A response counts only with the peer's MESSAGE-INTEGRITY (RFC 8489 §9.1.4): errors for want of
    /// one have none, and the check runs into its time-out.
    fn verify(&mut self, age: Age, message: &Message<'_>) -> Result<(), Refusal> {
        let remote = match age {
            Age::Current => self.current.remote.as_ref(),
            Age::Previous => {
                let previous = self.previous.as_ref();
                previous.and_then(|previous| previous.remote.as_ref())
            }
        };
        if !remote.is_some_and(|remote| message.is_authentic(&remote.side.key)) {
            return Err(Refusal::Unauthentic);
        }
        self.counters.responses_in = self.counters.responses_in.wrapping_add(1);
        Ok(())
    }

    fn refresh(&mut self, age: Age, component: Component, now: Instant) {
        let Some(used) = self.used_mut(age, component) else {
            return;
        };
        used.consent(now);
        let id = used.pair;
        if age == Age::Current
            && let Some(pair) = self.current.pair_mut(id)
        {
            pair.proven = Some(now);
        }
    }

    /// A check has its response (RFC 8445 §7.2.5).
    fn conclude(
        &mut self,
        id: u32,
        message: &Message<'_>,
        now: Instant,
        rng: &mut dyn RngCore,
    ) -> Result<(), Refusal> {
        let code = message.error().map(|error| error.code);
        let is_success = message.class() == Class::Success;
        if !is_success && code == Some(ROLE_CONFLICT) {
            self.yield_role(id, now, rng);
            return Ok(());
        }
        // RFC 8489 §6.3.3: a success that we do not understand is none.
        if !is_success || !message.unknown().as_slice().is_empty() {
            self.fail(id, now, rng);
            return Ok(());
        }
        let is_new = !self.current.is_source(id, self.config.mode);
        let Some(pair) = self.current.pair_mut(id) else {
            return Ok(());
        };
        let is_nominating = matches!(pair.stage, Stage::Nominating(_));
        pair.stage = Stage::Succeeded;
        pair.proven = Some(now);
        pair.is_authenticated = true;
        let (component, remote, is_nominated) = (pair.component, pair.remote, pair.is_nominated);
        let (foundation, at) = (pair.foundation, usize::from(pair.local));
        self.current.unfreeze(foundation);
        if is_new && let Some(local) = self.current.locals.get(at) {
            let local = local.address;
            self.tell(Event::Authenticated {
                component,
                local,
                remote,
            });
        }
        if let Some(used) = self.used_mut(Age::Current, component)
            && used.pair == id
        {
            used.consent(now);
        }
        if is_nominating {
            self.put_to_use(id, true, now, rng);
        } else if is_nominated && self.role == Role::Controlled {
            self.accept_nomination(id, now, rng);
        }
        self.settle(now, rng);
        Ok(())
    }

    /// The peer refuses our role: we take the other one, and check again (RFC 8445 §7.2.5.1).
    fn yield_role(&mut self, id: u32, now: Instant, rng: &mut dyn RngCore) {
        let Some(pair) = self.current.pair(id) else {
            return;
        };
        let sent_as = pair.check().map_or(self.role, |check| check.role);
        if !self.yield_to(sent_as, rng) {
            self.fail(id, now, rng);
            return;
        }
        if let Some(pair) = self.current.pair_mut(id) {
            if matches!(pair.stage, Stage::InProgress(_)) {
                pair.stage = Stage::Waiting;
            }
            self.current.trigger(id, false);
        }
    }

    /// Takes the role other than `sent_as`; `false` if that has happened too often.
    fn yield_to(&mut self, sent_as: Role, rng: &mut dyn RngCore) -> bool {
        self.conflicts = self.conflicts.saturating_add(1);
        if self.conflicts > limits::ROLE_CONFLICTS {
            return false;
        }
        let remote = self.current.remote.as_ref().map(|remote| remote.mode);
        // Between a full and a lite side there is no choice.
        if sent_as == self.role && remote != Some(Mode::Lite) {
            self.switch_role(self.role.other());
            self.tie_breaker = rng.next_u64();
        }
        true
    }
}

const ROLE_CONFLICT: u16 = 487;
