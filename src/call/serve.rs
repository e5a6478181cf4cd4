//! The commands of the ng protocol on the table of calls.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rand::Rng;
use windlass_ng::errors;
use windlass_ng::{CallId, Command, Dict, Reply, Request, Tag, Value};
use windlass_sdp::{ParseOptions, SessionDescription};

use super::delete::Deletion;
use super::dialogue::{Dialogue, Role};
use super::exchange::{Context, ExchangeError};
use super::flows::Defaults;
use super::leg::Presence;
use super::ports::{Interfaces, LeaseError};
use super::query::{PacketClock, Selection};
use super::state::{Call, Now};
use super::statistics::{RunningTotals, Statistics};
use super::table::{CallTable, Entry, lock};
use super::timeouts::{EndReason, Timeouts};
use crate::flow::Plan;
use crate::flow::port::PortLease;

/// The data plane, as calls see it.
pub trait Forwarding: Send + Sync {
    /// The worker that a new call should live on.
    fn pick_worker(&self) -> usize;

    /// Puts a plan in force before it returns. Gives back the leases of the removed flows.
    ///
    /// # Errors
    /// The plan is not in force; leases that were handed over are gone.
    fn apply(&self, plan: &Plan, leases: Vec<PortLease>)
    -> Result<Vec<PortLease>, ForwardingError>;

    /// The clock on which flows mark their last packet, in milliseconds.
    fn packet_clock_ms(&self) -> u64;
}

/// The data plane could not carry out a plan.
#[derive(Debug, thiserror::Error)]
#[error("the data plane refused the plan: {reason}")]
pub struct ForwardingError {
    /// What it said.
    pub reason: String,
}

/// How many calls may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls at a time; `None`: as many as there are ports.
    pub max_sessions: Option<u64>,
}

/// Default of `list`'s limit (ng-protocol §5).
const DEFAULT_LIST_LIMIT: usize = 32;

/// All calls, and everything that a command on them needs.
pub struct Calls {
    table: CallTable,
    interfaces: Interfaces,
    forwarding: Arc<dyn Forwarding>,
    defaults: Defaults,
    timeouts: Timeouts,
    limits: Limits,
    statistics: Statistics,
    started: Instant,
    next_number: AtomicU64,
    running: Mutex<Rates>,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("running", &self.statistics.running())
            .finish_non_exhaustive()
    }
}

/// Sums over running calls at the last turn of the timers, for rates.
#[derive(Debug, Default)]
struct Rates {
    totals: RunningTotals,
    packets: u64,
    bytes: u64,
    errors: u64,
}

impl Calls {
    /// No calls yet.
    pub fn new(
        interfaces: Interfaces,
        forwarding: Arc<dyn Forwarding>,
        defaults: Defaults,
        timeouts: Timeouts,
        limits: Limits,
        started: Instant,
    ) -> Self {
        Self {
            table: CallTable::new(),
            interfaces,
            forwarding,
            defaults,
            timeouts,
            limits,
            statistics: Statistics::default(),
            started,
            next_number: AtomicU64::new(1),
            running: Mutex::default(),
        }
    }

    /// Running calls.
    pub fn count(&self) -> u64 {
        self.statistics.running()
    }

    /// The local media addresses and their ports.
    pub fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// Carries out one command.
    pub fn serve(
        &self,
        request: &Request,
        source: SocketAddr,
        now: Now,
        rng: &mut impl Rng,
    ) -> Reply {
        match request.command {
            Command::Ping => Reply::pong(),
            Command::Offer => self.offer(request, source, now, rng),
            Command::Answer => self.answer(request, source, now, rng),
            Command::Delete => self.delete(request, now),
            Command::Query => self.query(request, now),
            Command::List => self.list(request),
            Command::Statistics => self.describe_statistics(now),
            other => Reply::error(format!("command '{}' is not supported", other.name())),
        }
    }

    /// A command was answered; `took` is its time in the relay.
    pub fn count_command(
        &self,
        source: SocketAddr,
        command: Option<Command>,
        took: Duration,
        failed: bool,
    ) {
        self.statistics
            .command_done(source.ip(), command, took, failed);
    }

    fn offer(&self, request: &Request, source: SocketAddr, now: Now, rng: &mut impl Rng) -> Reply {
        let Some(sdp) = &request.sdp else {
            return Reply::error(errors::NO_SDP);
        };
        let Some(id) = &request.call_id else {
            return Reply::error(errors::NO_CALL_ID);
        };
        let Some(from) = &request.from_tag else {
            return Reply::error(errors::NO_FROM_TAG);
        };
        loop {
            let existing = self.table.find(id);
            if existing.is_none()
                && let Some(max) = self.limits.max_sessions
                && self.count() >= max
            {
                self.statistics.offer_rejected();
                return match request.supports_load_limit {
                    true => Reply::load_limit(errors::SESSION_LIMIT),
                    false => Reply::error(errors::SESSION_LIMIT),
                };
            }
            let entry = existing.unwrap_or_else(|| self.table.find_or_insert(id));
            let mut slot = lock(&entry);
            let is_new = slot.is_none();
            if is_new {
                // Another thread may have ended this call while we waited for its lock; its
                // entry is out of the table then, and ours must not be the only one to know it.
                if !self
                    .table
                    .find(id)
                    .is_some_and(|current| Arc::ptr_eq(&current, &entry))
                {
                    continue;
                }
                let number = self.next_number.fetch_add(1, Relaxed);
                let worker = self.forwarding.pick_worker();
                *slot = Some(Call::new(id.clone(), number, worker, source, now));
                self.statistics.call_created();
                tracing::info!(call_id = %id, "creating new call");
            }
            let Some(call) = slot.as_mut() else { continue };
            let dialogue = Dialogue {
                role: Role::Offer,
                from,
                to: request.to_tag.as_ref(),
                branch: request.via_branch.as_ref(),
                new_branch: request.flags.new_branch,
                provisional: request.flags.provisional,
            };
            let outcome = self.exchange(call, sdp, request, dialogue, now, rng);
            return self.conclude(outcome, is_new, id, &entry, &mut slot, now);
        }
    }

    fn answer(
        &self,
        request: &Request,
        _source: SocketAddr,
        now: Now,
        rng: &mut impl Rng,
    ) -> Reply {
        let Some(sdp) = &request.sdp else {
            return Reply::error(errors::NO_SDP);
        };
        let Some(id) = &request.call_id else {
            return Reply::error(errors::NO_CALL_ID);
        };
        let Some(from) = &request.from_tag else {
            return Reply::error(errors::NO_FROM_TAG);
        };
        let Some(to) = &request.to_tag else {
            return Reply::error(errors::NO_TO_TAG);
        };
        let Some(entry) = self.table.find(id) else {
            return Reply::error(errors::UNKNOWN_CALL_ID);
        };
        let mut slot = lock(&entry);
        let Some(call) = slot.as_mut() else {
            return Reply::error(errors::UNKNOWN_CALL_ID);
        };
        let dialogue = Dialogue {
            role: Role::Answer,
            from: to,
            to: Some(from),
            branch: request.via_branch.as_ref(),
            new_branch: request.flags.new_branch,
            provisional: request.flags.provisional,
        };
        let outcome = self.exchange(call, sdp, request, dialogue, now, rng);
        self.conclude(outcome, false, id, &entry, &mut slot, now)
    }

    /// Takes an SDP in, brings the data plane in line, prints the SDP for the other party.
    fn exchange(
        &self,
        call: &mut Call,
        sdp: &[u8],
        request: &Request,
        dialogue: Dialogue<'_>,
        now: Now,
        rng: &mut impl Rng,
    ) -> Result<Vec<u8>, Refusal> {
        let options = ParseOptions {
            fragment: request.flags.fragment,
            ..Default::default()
        };
        let session = SessionDescription::parse(sdp, options).map_err(|error| {
            tracing::warn!(call_id = %call.id, %error, "cannot read the SDP");
            Refusal::Sdp {
                is_incomplete: error.is_incomplete(),
            }
        })?;
        let mut context = Context {
            request,
            dialogue,
            interfaces: &self.interfaces,
            now,
            leases: Vec::new(),
        };
        let outcome = call.exchange(session, &mut context);
        // Also after a refusal: what was changed up to there is in the state, with its ports.
        self.carry_out(call, context.leases)
            .map_err(Refusal::Forwarding)?;
        let parties = outcome?;
        Ok(call.print(parties, request, dialogue.role, rng))
    }

    /// Tells the data plane what changed; closes and returns the ports that are not needed.
    fn carry_out(&self, call: &mut Call, leases: Vec<PortLease>) -> Result<(), ForwardingError> {
        let plan = call.plan(&self.defaults);
        if plan.is_empty() {
            return Ok(());
        }
        // Leases of ports that the state has let go of again are closed here, like removed ones.
        drop(self.forwarding.apply(&plan, leases)?);
        Ok(())
    }

    /// The reply to an offer or answer, and the end of a call that cannot go on.
    fn conclude(
        &self,
        outcome: Result<Vec<u8>, Refusal>,
        is_new: bool,
        id: &CallId,
        entry: &Entry,
        slot: &mut Option<Call>,
        now: Now,
    ) -> Reply {
        let refusal = match outcome {
            Ok(sdp) => return Reply::ok(Dict::new().with("sdp", Value::Bytes(sdp))),
            Err(refusal) => refusal,
        };
        tracing::warn!(call_id = %id, %refusal, "offer or answer refused");
        // A call that got no port cannot carry media; one that its first offer did not fill
        // would stay empty.
        if is_new || refusal.ends_call() {
            self.end(id, entry, slot, EndReason::Forced, now);
        }
        Reply::error(refusal.reply())
    }

    fn delete(&self, request: &Request, now: Now) -> Reply {
        let Some(id) = &request.call_id else {
            return Reply::error(errors::NO_CALL_ID);
        };
        let unknown = || match request.flags.fatal {
            true => Reply::error(errors::CALL_ID_NOT_FOUND),
            false => Reply::ok(Dict::new()).with_warning(errors::CALL_ID_NOT_FOUND),
        };
        let Some(entry) = self.table.find(id) else {
            return unknown();
        };
        let mut slot = lock(&entry);
        let Some(call) = slot.as_mut() else {
            return unknown();
        };
        let clock = self.packet_clock(now);
        let (selection, ends) = match call.delete(request, self.timeouts.delete_delay, now.instant)
        {
            Deletion::NoMatch => return unknown(),
            Deletion::WholeCall { immediately } => (Selection::All, immediately),
            Deletion::Leg(selection) => (selection, false),
        };
        let reply = match request.flags.fast {
            true => Dict::new(),
            false => call.describe(&selection, clock),
        };
        if ends {
            self.end(id, &entry, &mut slot, EndReason::Regular, now);
        } else if let Err(error) = self.carry_out(call, Vec::new()) {
            tracing::error!(call_id = %id, %error, "cannot take a leg out of the data plane");
        }
        Reply::ok(reply)
    }

    fn query(&self, request: &Request, now: Now) -> Reply {
        let Some(id) = &request.call_id else {
            return Reply::error(errors::NO_CALL_ID);
        };
        let Some(entry) = self.table.find(id) else {
            return Reply::error(errors::UNKNOWN_CALL_ID);
        };
        let slot = lock(&entry);
        let Some(call) = slot.as_ref() else {
            return Reply::error(errors::UNKNOWN_CALL_ID);
        };
        let not_empty = |tag: &&Tag| !tag.as_bytes().is_empty();
        let tag = request
            .to_tag
            .as_ref()
            .filter(not_empty)
            .or(request.from_tag.as_ref());
        let selection = tag.map_or(Selection::All, |tag| call.selection_of(tag));
        Reply::ok(call.describe(&selection, self.packet_clock(now)))
    }

    fn list(&self, request: &Request) -> Reply {
        let limit = match request.limit {
            None => DEFAULT_LIST_LIMIT,
            Some(limit) => match usize::try_from(limit) {
                Ok(limit) => limit,
                Err(_) => return Reply::error(errors::INVALID_LIMIT),
            },
        };
        let ids = self.table.ids(limit);
        let ids = ids
            .iter()
            .map(|id| Value::Bytes(id.as_bytes().to_vec()))
            .collect();
        Reply::ok(Dict::new().with("calls", Value::List(ids)))
    }

    fn describe_statistics(&self, now: Now) -> Reply {
        let uptime = now.instant.saturating_duration_since(self.started);
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .totals;
        let statistics = self.statistics.describe(uptime, &self.interfaces, &running);
        Reply::ok(Dict::new().with("statistics", statistics))
    }

    fn packet_clock(&self, now: Now) -> PacketClock {
        PacketClock {
            now_ms: self.forwarding.packet_clock_ms(),
            unix_s: now.unix.as_secs(),
        }
    }

    /// Lets time act on every call; to be called once a second.
    pub fn handle_timeout(&self, now: Now) {
        let clock = self.forwarding.packet_clock_ms();
        let (mut medias, mut packets, mut bytes, mut errors) = (0, 0, 0, 0);
        for (id, entry) in self.table.entries() {
            let mut slot = lock(&entry);
            let Some(call) = slot.as_mut() else { continue };
            if let Some(reason) = call.expired(&self.timeouts, now.instant, clock) {
                self.end(&id, &entry, &mut slot, reason, now);
                continue;
            }
            if call.release_due(now.instant)
                && let Err(error) = self.carry_out(call, Vec::new())
            {
                tracing::error!(call_id = %id, %error, "cannot take a leg out of the data plane");
            }
            for media in call.legs.iter().flat_map(|leg| &leg.medias) {
                medias += u64::from(!media.maps.is_empty());
                for map in &media.maps {
                    for port in std::iter::once(&map.rtp).chain(&map.rtcp) {
                        packets += port.stats.packets_in.load(Relaxed);
                        bytes += port.stats.bytes_in.load(Relaxed);
                        errors += port.stats.errors_in.load(Relaxed);
                    }
                }
            }
        }
        let mut rates = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = RunningTotals {
            medias,
            packet_rate: packets.saturating_sub(rates.packets),
            byte_rate: bytes.saturating_sub(rates.bytes),
            error_rate: errors.saturating_sub(rates.errors),
        };
        *rates = Rates {
            totals,
            packets,
            bytes,
            errors,
        };
    }

    /// Ends every call, as the relay stops.
    pub fn end_all(&self, now: Now) {
        for (id, entry) in self.table.entries() {
            let mut slot = lock(&entry);
            self.end(&id, &entry, &mut slot, EndReason::Forced, now);
        }
    }

    /// Ends a call: its flows go, its ports are closed and free when this returns.
    fn end(
        &self,
        id: &CallId,
        entry: &Entry,
        slot: &mut Option<Call>,
        reason: EndReason,
        now: Now,
    ) {
        self.table.remove(id, entry);
        let Some(mut call) = slot.take() else { return };
        let duration = now.instant.saturating_duration_since(call.created.instant);
        self.statistics.call_ended(&call, reason, duration);
        tracing::info!(
            call_id = %id, reason = reason.name(), duration_s = duration.as_secs_f32(),
            "call ended"
        );
        for leg in &mut call.legs {
            leg.presence = Presence::Gone;
        }
        call.release_absent();
        if let Err(error) = self.carry_out(&mut call, Vec::new()) {
            tracing::error!(call_id = %id, %error, "cannot take a call out of the data plane");
        }
    }
}

/// Why an offer or answer was refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the SDP cannot be read")]
    Sdp { is_incomplete: bool },
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    Forwarding(ForwardingError),
}

impl Refusal {
    /// The proxy's words for it (ng-protocol §14).
    fn reply(&self) -> &'static str {
        match self {
            Self::Sdp {
                is_incomplete: true,
            } => errors::INCOMPLETE_SDP,
            Self::Sdp {
                is_incomplete: false,
            } => errors::SDP_PARSE_FAILED,
            Self::Exchange(ExchangeError::NoAddress { .. }) => errors::INCOMPLETE_SDP,
            Self::Exchange(ExchangeError::Dialogue(_)) => errors::INVALID_DIALOGUE,
            Self::Exchange(ExchangeError::Ports(LeaseError::Exhausted { .. }))
            | Self::Exchange(ExchangeError::Ports(LeaseError::System { .. }))
            | Self::Exchange(ExchangeError::NoInterface)
            | Self::Forwarding(_) => errors::OUT_OF_PORTS,
        }
    }

    /// Whether the call cannot go on.
    fn ends_call(&self) -> bool {
        matches!(
            self,
            Self::Exchange(ExchangeError::Ports(_) | ExchangeError::NoInterface)
                | Self::Forwarding(_)
        )
    }
}
