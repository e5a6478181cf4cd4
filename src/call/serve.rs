//! The commands of the ng protocol on the table of calls.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use rand::RngCore;
use windlass_ng::errors;
use windlass_ng::{CallId, Command, Dict, Reply, Request};

use super::debug::Debugged;
use super::delete::Deletion;
use super::ended::Observer;
use super::flows::Defaults;
use super::identity::Identity;
use super::model::call::{Call, Now};
use super::model::foreign::ForeignCount;
use super::model::leg::Presence;
use super::model::share::Live;
use super::offer::Refusal;
use super::ports::Interfaces;
use super::query::Selection;
use super::settings::{Limits, Settings};
use super::statistics::Statistics;
use super::table::{CallTable, Entry, lock};
use super::timeouts::{EndReason, Timeouts};
use super::turn::Turn;
use crate::flow::port::PortLease;
use crate::flow::state::LeasedFlow;
use crate::flow::stats::WorkerStats;
use crate::flow::{Injection, Plan, PlanError, PlanRefused};
use crate::observe::load::LoadExceeded;
use crate::observe::pcap::NotRecorded;

/// The data plane, as calls see it.
pub trait Forwarding: Send + Sync {
    /// The worker that a new call should live on.
    fn pick_worker(&self) -> usize;

    /// Puts a plan in force before it returns. Gives back the ports of the removed flows, with
    /// what these have learned.
    ///
    /// # Errors
    /// Nothing of the plan is in force.
    fn apply(&self, plan: Plan, leases: Vec<LeasedFlow>) -> Result<Vec<LeasedFlow>, PlanRefused>;

    /// Brings the counters of a call's flows up to date, where somebody counts beside the workers.
    fn catch_up(&self, _worker: usize, _call: u64) {}

    /// The clock on which flows mark their last packet, in milliseconds.
    fn packet_clock_ms(&self) -> u64;

    /// The local address from which the system would send to `peer`; `None` if it has no route.
    fn route_to(&self, _peer: IpAddr) -> Option<IpAddr> {
        None
    }

    /// The counters of the workers, by their numbers.
    fn worker_stats(&self) -> Vec<Arc<WorkerStats>> {
        Vec::new()
    }

    /// What was lost since the start, by name.
    fn losses(&self) -> Vec<Loss> {
        Vec::new()
    }

    /// Plays a digit into a stream.
    ///
    /// # Errors
    /// There is no stream for it; worded as in the protocol.
    fn inject(&self, _worker: usize, _injection: Injection) -> Result<(), &'static str> {
        Err(errors::NO_DTMF_INJECTION)
    }
}

/// Something that was meant for somebody outside, and did not fit a queue or a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Name in statistics.
    pub name: &'static str,
    /// How the log says it; `None`: it says so itself.
    pub warning: Option<&'static str>,
    /// How many since the start.
    pub count: u64,
}

/// Where recordings go; `()` is nowhere.
pub trait Recorder: Send + Sync {
    /// Starts the recording of a call and says where it is written. `random` makes its name
    /// unique, `file` is a name that the proxy wants.
    ///
    /// # Errors
    /// [`NotRecorded`].
    fn open(
        &self,
        call: u64,
        id: &CallId,
        random: u64,
        file: Option<&str>,
    ) -> Result<String, NotRecorded>;

    /// An SDP of a call that is being recorded.
    fn sdp(&self, call: u64, sdp: RecordedSdp<'_>);

    /// The recording is complete. Times are since 1970.
    fn finish(&self, call: u64, started: Duration, ended: Duration, metadata: Option<&str>);

    /// The recording is to be thrown away.
    fn discard(&self, call: u64);
}

/// An SDP on its way into a recording.
#[derive(Clone, Copy, Debug)]
pub struct RecordedSdp<'a> {
    /// Label of its author.
    pub label: Option<&'a [u8]>,
    /// Whether it is an offer.
    pub is_offer: bool,
    /// The text.
    pub body: &'a [u8],
    /// Time of arrival, since 1970.
    pub at: Duration,
}

impl Recorder for () {
    fn open(&self, _: u64, _: &CallId, _: u64, _: Option<&str>) -> Result<String, NotRecorded> {
        Err(NotRecorded::NoDirectory)
    }

    fn sdp(&self, _: u64, _: RecordedSdp<'_>) {}

    fn finish(&self, _: u64, _: Duration, _: Duration, _: Option<&str>) {}

    fn discard(&self, _: u64) {}
}

/// All calls, and the services that commands on them need.
pub struct Calls {
    pub(super) table: CallTable,
    pub(super) interfaces: Interfaces,
    pub(super) identity: Identity,
    pub(super) forwarding: Arc<dyn Forwarding>,
    pub(super) recorder: Arc<dyn Recorder>,
    observer: Option<Arc<dyn Observer>>,
    /// Load limit that is exceeded, in addition to the number of calls, by [`LoadExceeded`]; 0:
    /// none.
    overload: AtomicU8,
    pub(super) defaults: Defaults,
    pub(super) settings: RwLock<Settings>,
    pub(super) statistics: Statistics,
    pub(super) started: Instant,
    pub(super) next_number: AtomicU64,
    /// Result of the timers' last turn.
    pub(super) running: Mutex<Turn>,
    /// Sums over the running calls.
    pub(super) live: Arc<Live>,
    /// Calls by their number, which is all that their flows know.
    pub(super) numbers: Mutex<HashMap<u64, Entry>>,
    /// Calls whose commands are logged in full.
    pub(super) debugged: Debugged,
    /// Calls of another engine.
    pub(super) foreign: ForeignCount,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("running", &self.statistics.running())
            .finish_non_exhaustive()
    }
}

impl Calls {
    /// Whether an address and port is one that the media of a call uses now.
    pub fn is_media_port(&self, endpoint: SocketAddr) -> bool {
        self.interfaces.is_leased(endpoint)
    }

    /// No calls yet.
    pub fn new(
        interfaces: Interfaces,
        identity: Identity,
        forwarding: Arc<dyn Forwarding>,
        defaults: Defaults,
        timeouts: Timeouts,
        limits: Limits,
        started: Instant,
    ) -> Self {
        Self {
            table: CallTable::new(),
            interfaces,
            identity,
            forwarding,
            recorder: Arc::new(()),
            observer: None,
            overload: AtomicU8::new(0),
            defaults,
            settings: RwLock::new(Settings { timeouts, limits }),
            statistics: Statistics::default(),
            started,
            next_number: AtomicU64::new(1),
            running: Mutex::default(),
            live: Arc::default(),
            numbers: Mutex::default(),
            debugged: Debugged::default(),
            foreign: ForeignCount::default(),
        }
    }

    /// Recordings go here.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Ended calls are told to `observer`.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Says what the load of the machine means for new calls, until it is said anew.
    pub fn set_overload(&self, exceeded: Option<LoadExceeded>) {
        let code = match exceeded {
            None => 0,
            Some(LoadExceeded::LoadAverage) => 1,
            Some(LoadExceeded::Cpu) => 2,
            Some(LoadExceeded::Bandwidth) => 3,
        };
        self.overload.store(code, Relaxed);
    }

    /// Running calls.
    pub fn count(&self) -> u64 {
        self.statistics.running()
    }

    /// What the relay shows of itself.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The local media addresses and their ports.
    pub fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// The limit that refuses another call, as the protocol's text.
    pub(super) fn limit_reached(&self) -> Option<&'static str> {
        let is_full = self
            .limits()
            .max_sessions
            .is_some_and(|max| self.own_count() >= max);
        if is_full {
            self.statistics.offer_rejected();
            return Some(errors::SESSION_LIMIT);
        }
        match self.overload.load(Relaxed) {
            0 => None,
            1 => Some(errors::LOAD_LIMIT),
            2 => Some(errors::CPU_LIMIT),
            _ => Some(errors::BANDWIDTH_LIMIT),
        }
    }

    /// Carries out one command.
    pub fn serve(
        &self,
        request: &Request,
        source: SocketAddr,
        now: Now,
        rng: &mut dyn RngCore,
    ) -> Reply {
        match request.command {
            Command::Ping => Reply::pong(),
            Command::Offer => self.offer(request, source, now, rng),
            Command::Answer => self.answer(request, source, now, rng),
            Command::Delete => self.delete(request, now),
            Command::Query => self.query(request, now),
            Command::List => self.list(request),
            Command::Statistics => self.describe_statistics(now),
            Command::Cli => Reply::error(errors::NO_HANDLER),
            _ => self.on_parties(request, source, now, rng),
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

    /// Puts a changed copy in the place of its call, once the data plane has followed.
    ///
    /// # Errors
    /// The data plane refused the plan: the call is as it was, and `leases` are closed.
    pub(super) fn commit(
        &self,
        call: &mut Call,
        draft: Call,
        leases: Vec<PortLease>,
        now: Now,
    ) -> Result<(), PlanError> {
        let leases = leases.into_iter().map(LeasedFlow::from).collect();
        let done = self.commit_flows(call, draft, leases, now);
        done.map_err(|refused| refused.reason)
    }

    /// The same, with ports whose flows were in force elsewhere.
    ///
    /// # Errors
    /// The same; the ports come back.
    pub(super) fn commit_flows(
        &self,
        call: &mut Call,
        mut draft: Call,
        leases: Vec<LeasedFlow>,
        now: Now,
    ) -> Result<(), PlanRefused> {
        if let Err(refused) = self.put_in_force(&mut draft, leases) {
            tracing::error!(call_id = %call.id, error = %refused, "command not carried out");
            self.take_back_recording(call, &draft);
            return Err(refused);
        }
        self.settle_recording(&mut draft, now);
        *call = draft;
        Ok(())
    }

    /// Tells the data plane what changed; closes and returns the ports that are not needed.
    ///
    /// # Errors
    /// The data plane refused the plan, and its flows are as they were; `leases` are closed.
    pub(super) fn carry_out(
        &self,
        call: &mut Call,
        leases: Vec<PortLease>,
    ) -> Result<(), PlanError> {
        let leases = leases.into_iter().map(LeasedFlow::from).collect();
        let done = self.put_in_force(call, leases);
        done.map_err(|refused| refused.reason)
    }

    /// The same, with ports whose flows were in force elsewhere.
    ///
    /// # Errors
    /// The same; the ports come back.
    pub(super) fn put_in_force(
        &self,
        call: &mut Call,
        leases: Vec<LeasedFlow>,
    ) -> Result<(), PlanRefused> {
        call.settle_keys();
        let (plan, in_force) = call.plan(&self.defaults);
        if plan.is_empty() {
            return Ok(());
        }
        let removed = self.forwarding.apply(plan, leases);
        // Leases of ports that the state has let go of again are closed here, like removed ones.
        drop(removed?);
        call.set_in_force(in_force);
        Ok(())
    }

    fn delete(&self, request: &Request, now: Now) -> Reply {
        let id = match request.require_call_id() {
            Ok(id) => id,
            Err(reason) => return Reply::error(reason),
        };
        let unknown = || match request.flags.fatal() {
            true => Reply::error(errors::DELETE_NOT_FOUND),
            false => Reply::warning(Dict::new(), errors::DELETE_NOT_FOUND),
        };
        let Some(entry) = self.table.find(id) else {
            return unknown();
        };
        let mut slot = lock(&entry);
        let Some(call) = slot.as_mut() else {
            return unknown();
        };
        self.forwarding.catch_up(call.worker, call.number);
        let clock = self.packet_clock(now);
        let mut draft = call.clone();
        let (selection, ends) =
            match draft.delete(request, self.timeouts().delete_delay, now.instant) {
                Deletion::NoMatch => return unknown(),
                Deletion::WholeCall { immediately } => (Selection::All, immediately),
                Deletion::Leg(selection) => (selection, false),
                Deletion::EndedBranch => {
                    // The recording and the counters are those of the dialogue that goes on.
                    *call = draft;
                    return Reply::ok(Dict::new());
                }
            };
        if request.flags.discard_recording() {
            draft.end_recording(true);
        }
        let reply = match request.flags.fast() {
            true => Dict::new(),
            false => draft.describe(&selection, clock, &self.defaults),
        };
        if ends {
            *call = draft;
            self.end(id, &entry, &mut slot, EndReason::Regular, now);
        } else if let Err(error) = self.commit(call, draft, Vec::new(), now) {
            return Reply::error(Refusal::Forwarding(error).reply());
        }
        Reply::ok(reply)
    }

    /// Ends a call: its flows go, its ports are closed and free when this returns.
    pub(super) fn end(
        &self,
        id: &CallId,
        entry: &Entry,
        slot: &mut Option<Call>,
        reason: EndReason,
        now: Now,
    ) {
        self.table.remove(id, entry);
        let Some(mut call) = slot.take() else { return };
        for alias in call.aliases() {
            self.table.remove(alias, entry);
        }
        self.table.remove(&call.id, entry);
        call.end_recording(false);
        self.settle_recording(&mut call, now);
        self.take_number(call.number);
        self.forwarding.catch_up(call.worker, call.number);
        let duration = call.age(now);
        let clock = self.packet_clock(now);
        if tracing::enabled!(tracing::Level::INFO) && !call.is_quiet {
            for line in call.final_stats(now, clock, &self.defaults.log_marks) {
                tracing::info!(call_id = %id, "{line}");
            }
        }
        // Of a foreign call, the engine that answers for it tells.
        if let Some(observer) = self.observer.as_ref().filter(|_| !call.is_foreign()) {
            observer.call_ended(&call.ended(reason, now, clock, self.defaults.tos));
        }
        self.statistics
            .call_ended(&call, reason, duration, &self.interfaces);
        self.undebug(&call);
        if !call.is_quiet {
            tracing::info!(
                call_id = %id, reason = reason.name(), duration_s = duration.as_secs_f32(),
                "call ended"
            );
        }
        for leg in &mut call.legs {
            leg.presence = Presence::Gone;
        }
        call.release_absent();
        if let Err(error) = self.carry_out(&mut call, Vec::new()) {
            tracing::error!(call_id = %id, %error, "cannot take a call out of the data plane");
        }
    }
}
