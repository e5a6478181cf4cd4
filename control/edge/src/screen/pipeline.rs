//! Stages 5 to 16, in their order: a request that was parsed.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::address::Source;
use super::aging::Rank;
use super::config::{Side, Zone};
use super::list::Rule;
use super::time::Part;
use super::verdict::{Action, Alert, Do, Identity, Refusal, Said, Stage, Step, Verdict};
use super::{Arrival, Screen, Seen, user_of};
use crate::limit::{Fields, Pace, Refused, Slots};
use crate::limits;
use crate::record::security::Event;

/// What one stage thinks of a message.
enum Opinion {
    /// It is not about such messages.
    Skip,
    Next,
    /// The pipeline ends here, well.
    Pass(&'static str),
    /// An OPTIONS to us from somebody who may know.
    Answer,
    Object(Objection),
}

pub(super) struct Objection {
    pub(super) why: &'static str,
    pub(super) event: Option<Event>,
    /// In place of the code of the stage's action, if that is a rejection.
    pub(super) code: Option<u16>,
    pub(super) wait: Option<Duration>,
}

/// Whether tables change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Judge,
    Explain,
}

/// What the stages of one message share.
struct Context<'a> {
    zone: &'a Zone,
    identity: Identity,
    is_trusted: bool,
    class: Option<String>,
    slots: Option<Slots>,
    mode: Mode,
    now: Instant,
}

impl Screen {
    /// Stages 5 to 16: a request that belongs to no transaction yet. For an INVITE that passes, the
    /// verdict holds its places in the limits.
    pub(crate) fn judge(&self, seen: &Seen<'_>, now: Instant) -> Verdict {
        self.run(seen, now, Mode::Judge, &mut |_| ())
    }

    /// What [`Self::judge_before_parsing`] and [`Self::judge`] would say of the message, stage by
    /// stage. Nothing is counted, banned or reserved.
    pub(crate) fn explain(&self, seen: &Seen<'_>, now: Instant) -> (Verdict, Vec<Step>) {
        let mut steps = Vec::new();
        if let Some(verdict) = self.explain_early(seen, now, &mut steps) {
            return (verdict, steps);
        }
        let verdict = self.run(seen, now, Mode::Explain, &mut |step| steps.push(step));
        (verdict, steps)
    }

    fn run(
        &self,
        seen: &Seen<'_>,
        now: Instant,
        mode: Mode,
        note: &mut dyn FnMut(Step),
    ) -> Verdict {
        let mut verdict = Verdict::pass();
        let Some(zone) = self.config.zones.get(usize::from(seen.arrival.zone)) else {
            verdict.action = Action::Drop;
            return verdict;
        };
        let identity = self.identify(seen);
        let mut context = Context {
            zone,
            identity,
            is_trusted: self.is_trusted(seen, zone, identity, now),
            class: None,
            slots: None,
            mode,
            now,
        };
        verdict.identity = identity;
        for stage in PARSED {
            let policy = zone.stages.of(stage);
            if !policy.enabled {
                let said = Said::Off;
                note(Step { stage, said });
                continue;
            }
            let opinion = self.ask(stage, seen, &mut context);
            let said = match &opinion {
                Opinion::Skip => Said::Skipped,
                Opinion::Next => Said::Next,
                Opinion::Pass(why) => Said::Passes(why),
                Opinion::Answer => Said::Passes("answered"),
                Opinion::Object(objection) => Said::Objects(objection.why, policy.action),
            };
            note(Step { stage, said });
            let objection = match opinion {
                Opinion::Skip | Opinion::Next => continue,
                Opinion::Pass(_) => {
                    verdict.stage = Some(stage);
                    break;
                }
                Opinion::Answer => {
                    (verdict.action, verdict.stage) = (Action::Answer, Some(stage));
                    break;
                }
                Opinion::Object(objection) => objection,
            };
            if let Do::Ban(lasts) = policy.action
                && mode == Mode::Judge
            {
                let evidence = self.evidence(seen);
                verdict.banned = self.ban_source(&seen.arrival, stage, evidence, lasts, now);
            }
            if let (Some(event), true) = (objection.event, policy.log) {
                let action = match policy.action {
                    // The source is protected, or banned already.
                    Do::Ban(_) if verdict.banned.is_none() => Do::Drop.as_str(),
                    action => action.as_str(),
                };
                verdict.alerts.push(Alert { event, action });
            }
            match policy.action {
                Do::Count => continue,
                Do::Allow => {
                    verdict.stage = Some(stage);
                    break;
                }
                _ => {}
            }
            verdict.stage = Some(stage);
            verdict.class = context.class.take();
            verdict.action =
                self.action(&seen.arrival, seen.method, policy.action, &objection, now);
            return verdict;
        }
        verdict.slots = context.slots.take();
        verdict
    }

    fn ask(&self, stage: Stage, seen: &Seen<'_>, context: &mut Context<'_>) -> Opinion {
        match stage {
            // Asked before the message was parsed.
            Stage::Bans | Stage::Flood | Stage::Sanity => Opinion::Skip,
            Stage::Fingerprints => self.ask_fingerprints(seen),
            Stage::Methods => ask_methods(seen, context.zone),
            Stage::Options => ask_options(seen, context),
            Stage::Dialog if seen.known_dialog => Opinion::Pass("known dialog"),
            Stage::Dialog => Opinion::Next,
            Stage::Identity => ask_identity(seen, context),
            Stage::Domain => self.ask_domain(seen),
            Stage::Binding => self.ask_binding(seen, context.identity),
            Stage::AuthFailures => self.ask_auth_failures(seen, context),
            Stage::Rates => self.ask_rates(seen, context),
            Stage::Lists => self.ask_lists(seen, context.identity),
            Stage::Limits => self.ask_limits(seen, context),
        }
    }

    fn ask_fingerprints(&self, seen: &Seen<'_>) -> Opinion {
        match self.fingerprints.find(seen) {
            Some(why) => object(why, Some(Event::Scanner)),
            None => Opinion::Next,
        }
    }

    fn ask_domain(&self, seen: &Seen<'_>) -> Opinion {
        let serves = |host: &[u8]| {
            let mut domains = self.config.domains.iter();
            domains.any(|domain| match domain.strip_prefix('*') {
                // Everything below, as in a route.
                Some(below) => {
                    let end = host.len().saturating_sub(below.len());
                    end > 0 && host.split_at(end).1.eq_ignore_ascii_case(below.as_bytes())
                }
                None => domain.as_bytes().eq_ignore_ascii_case(host),
            })
        };
        if self.config.domains.is_empty() || matches!(seen.method, b"ACK" | b"CANCEL") {
            Opinion::Skip
        } else if seen.method == b"REGISTER" {
            // A registrar's Request-URI may be our address (RFC 3261 §10.2 wants its domain); To
            // is what is registered.
            if serves(seen.to_host) && (seen.to_us || serves(seen.ruri_host)) {
                Opinion::Next
            } else {
                object("domain is not served", Some(Event::RegisterWrongDomain))
            }
        } else if seen.to_us || serves(seen.ruri_host) {
            Opinion::Next
        } else {
            let event = Event::RequestToUnknownDestination;
            object("domain is not served", Some(event))
        }
    }

    fn ask_binding(&self, seen: &Seen<'_>, identity: Identity) -> Opinion {
        // A phone may register several users over one flow; their credentials bind them.
        if seen.method == b"REGISTER" {
            return Opinion::Skip;
        }
        let is_anonymous = seen.from_host.eq_ignore_ascii_case(b"anonymous.invalid");
        let belongs = |owns: &dyn Fn(&[u8]) -> bool| {
            (is_anonymous || owns(seen.from_user))
                && (seen.asserted_user.is_empty() || owns(seen.asserted_user))
        };
        let is_bound = match identity {
            Identity::Registered if !seen.aors.is_empty() => {
                belongs(&|user| seen.aors.iter().any(|aor| user_of(aor) == user))
            }
            Identity::Peer(at) => match self.config.peers.get(usize::from(at)) {
                Some(peer) if !peer.users.is_empty() => {
                    belongs(&|user| peer.users.iter().any(|own| own.as_bytes() == user))
                }
                _ => return Opinion::Skip,
            },
            Identity::Registered | Identity::Unknown => return Opinion::Skip,
        };
        if is_bound {
            Opinion::Next
        } else {
            object("From names another user", None)
        }
    }

    fn ask_auth_failures(&self, seen: &Seen<'_>, context: &Context<'_>) -> Opinion {
        let (Some(user), Identity::Unknown) = (seen.credentials, context.identity) else {
            return Opinion::Skip;
        };
        if context.is_trusted || self.knows_address(seen.arrival.source, context.now) {
            return Opinion::Skip;
        }
        let bounds = self.config.auth_failures;
        let part = Part::at(self.shared.epoch, context.now, bounds.window);
        let users = self.shared.users.lock();
        let all = seen.others.iter().map(|(user, _)| *user).chain([user]);
        let failures = all.map(|user| users.get(cut(user)).map_or(0, |w| w.peek(part)));
        let failures = failures.max().unwrap_or(0);
        drop(users);
        if failures >= bounds.max {
            object("somebody guesses at this user", Some(Event::AuthFailures))
        } else {
            Opinion::Next
        }
    }

    fn ask_rates(&self, seen: &Seen<'_>, context: &mut Context<'_>) -> Opinion {
        let user = self.user_key(seen, context.identity);
        let fields = self.fields(seen, context, &user);
        let rank = match context.identity {
            Identity::Unknown => Rank::Unverified,
            Identity::Peer(_) | Identity::Registered => Rank::Verified,
        };
        let mut opinion = Opinion::Skip;
        let mut key = Vec::new();
        for (rate, buckets) in &self.rates {
            let counts =
                rate.methods.is_empty() || rate.methods.iter().any(|m| m.as_bytes() == seen.method);
            key.clear();
            if !counts || !rate.key.render(&fields, &mut key) {
                continue;
            }
            let pace = Pace {
                rate: rate.rate,
                burst: rate.burst,
            };
            let taken = match context.mode {
                Mode::Judge => buckets.take(&key, rank, pace, context.now),
                Mode::Explain => buckets.peek(&key, pace, context.now),
            };
            if let Err(wait) = taken {
                context.class = Some(rate.name.clone());
                return Opinion::Object(Objection {
                    why: "rate",
                    event: Some(Event::LimitExceeded),
                    code: None,
                    wait: Some(wait),
                });
            }
            opinion = Opinion::Next;
        }
        opinion
    }

    fn ask_lists(&self, seen: &Seen<'_>, identity: Identity) -> Opinion {
        if seen.method != b"INVITE" || self.lists.is_empty() {
            return Opinion::Skip;
        }
        let user = self.user(seen, identity);
        for (file, list) in &self.lists {
            let number = match file.side {
                Side::Called => seen.ruri_user,
                Side::Caller => seen.from_user,
            };
            if list.read().rule(user, number) == Some(Rule::Deny) {
                return object("number is denied", None);
            }
        }
        Opinion::Next
    }

    fn ask_limits(&self, seen: &Seen<'_>, context: &mut Context<'_>) -> Opinion {
        if seen.method != b"INVITE" {
            return Opinion::Skip;
        }
        let user = self.user_key(seen, context.identity);
        let fields = self.fields(seen, context, &user);
        let admitted = match context.mode {
            Mode::Judge => self.limits.admit(&fields, context.now).map(Some),
            Mode::Explain => self.limits.peek(&fields, context.now).map(|()| None),
        };
        let (code, wait, why, class) = match admitted {
            Ok(slots) => {
                context.slots = slots;
                return Opinion::Next;
            }
            Err(Refused::Calls { code, class }) => (code, None, "calls at once", class),
            Err(Refused::Pace { wait, class }) => (503, Some(wait), "calls a second", class),
        };
        context.class = Some(class);
        Opinion::Object(Objection {
            why,
            event: Some(Event::LimitExceeded),
            code: Some(code),
            wait,
        })
    }

    fn fields<'a>(&'a self, seen: &Seen<'a>, context: &Context<'a>, user: &'a [u8]) -> Fields<'a> {
        Fields {
            source: seen.arrival.source.ip(),
            user,
            peer: self.peer_name(context.identity),
            ruri_user: seen.ruri_user,
            method: seen.method,
            category: None,
            zone: &context.zone.name,
        }
    }

    fn user_key(&self, seen: &Seen<'_>, identity: Identity) -> SmallVec<[u8; 64]> {
        match self.user(seen, identity) {
            Some(user) => SmallVec::from_slice(user),
            None => {
                let ip = seen.arrival.source.ip().to_canonical();
                SmallVec::from_slice(ip.to_string().as_bytes())
            }
        }
    }

    /// What an action means for this message.
    pub(super) fn action(
        &self,
        arrival: &Arrival,
        method: &[u8],
        action: Do,
        objection: &Objection,
        now: Instant,
    ) -> Action {
        match action {
            // An ACK is never answered (RFC 3261 §17).
            Do::Reject(_) if method == b"ACK" => Action::Drop,
            Do::Reject(code) => {
                let code = objection.code.unwrap_or(code);
                let wait = objection.wait;
                let seconds = wait.map(|w| w.as_millis().div_ceil(1000).max(1));
                Action::Reject(Refusal {
                    code,
                    reason: reason_of(code),
                    retry_after: seconds.map(|s| u32::try_from(s).unwrap_or(u32::MAX)),
                    allow: code == 405,
                })
            }
            Do::Fake200 if matches!(method, b"REGISTER" | b"OPTIONS") => {
                let whole = Source::whole(arrival.source.ip());
                let tick = self.tick(now);
                if self.shared.part(whole).lock().may_fake(whole, tick) {
                    Action::Fake200
                } else {
                    Action::Drop
                }
            }
            Do::Close if arrival.is_stream => Action::Close,
            Do::Tarpit if arrival.is_stream => Action::Tarpit,
            Do::Count | Do::Allow => Action::Pass,
            Do::Drop | Do::Fake200 | Do::Close | Do::Ban(_) | Do::Tarpit => Action::Drop,
        }
    }
}

fn ask_methods(seen: &Seen<'_>, zone: &Zone) -> Opinion {
    let mut methods = zone.methods.iter();
    if zone.methods.is_empty() || methods.any(|method| method.as_bytes() == seen.method) {
        Opinion::Next
    } else {
        object("method is not allowed", Some(Event::MethodDenied))
    }
}

fn ask_options(seen: &Seen<'_>, context: &Context<'_>) -> Opinion {
    if seen.method != b"OPTIONS" || !seen.to_us || seen.known_dialog {
        Opinion::Skip
    } else if context.is_trusted {
        Opinion::Answer
    } else {
        object("source is not trusted", None)
    }
}

fn ask_identity(seen: &Seen<'_>, context: &Context<'_>) -> Opinion {
    if seen.method != b"INVITE" || !context.zone.require_registered {
        Opinion::Skip
    } else if context.identity == Identity::Unknown {
        let event = Event::InviteFromUnknownSource;
        object("source is unknown", Some(event))
    } else {
        Opinion::Next
    }
}

fn object(why: &'static str, event: Option<Event>) -> Opinion {
    Opinion::Object(Objection {
        why,
        event,
        code: None,
        wait: None,
    })
}

pub(super) fn cut(user: &[u8]) -> &[u8] {
    user.get(..limits::KEY_BYTES).unwrap_or(user)
}

/// Reason phrases of the codes that stages use (RFC 3261 §21).
fn reason_of(code: u16) -> &'static str {
    match code {
        400 => "Bad Request",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        480 => "Temporarily Unavailable",
        484 => "Address Incomplete",
        486 => "Busy Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        607 => "Unwanted",
        _ => "Refused",
    }
}

/// The stages that see a parsed message.
const PARSED: [Stage; 11] = [
    Stage::Fingerprints,
    Stage::Methods,
    Stage::Options,
    Stage::Dialog,
    Stage::Identity,
    Stage::Domain,
    Stage::Binding,
    Stage::AuthFailures,
    Stage::Rates,
    Stage::Lists,
    Stage::Limits,
];
