//! Moving packets: one worker thread per core, each with the flows of its own calls.
//!
//! Control puts a [`Plan`] in force between two turns of the worker, so that an ng reply never
//! leaves before its flows. What workers learn comes back as [`FlowEvent`]s and in the counters of
//! each flow, which are read without stopping anybody.

use crate::limits::{AGENT_SENDS, FLOW_EVENTS};

mod audio;
mod backend;
mod by_local;
mod elsewhere;
mod entry;
mod flows;
mod guard;
mod hops;
mod left;
mod offload;
mod rewrite;
mod sys;
pub mod tap;
#[cfg(test)]
mod tests;
mod timers;
mod worker;

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use windlass_audio::library::Libraries;

use crate::flow::agent::{AgentInbox, Departure};
use crate::flow::conversion::AudioStats;
use crate::flow::outgoing::NO_STREAM;
use crate::flow::path::Path;
use crate::flow::port::OpenPort;
use crate::flow::state::LeasedFlow;
use crate::flow::stats::WorkerStats;
use crate::flow::{FlowChange, Injection, Plan, PlanError, PlanRefused};
use crate::media::dtmf::Pressed;
use crate::media::latch::Event;
use crate::media::report::Scoring;

pub use audio::Audio;
use audio::converter::Prepared;
use audio::pool::Pool;
use backend::ladder::{Ladder, Rungs};
use backend::{Closer, MediaQueue};
use flows::{EventSink, Flows, Offloading, conversions};
use offload::KernelClock;
use offload::kernel::Kernel;
pub use offload::{Offload, OffloadMode};
use tap::{Recorded, Recordings};
use worker::Shared;

/// Something a flow learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEvent {
    /// Number of the call, as in its plans.
    pub call: u64,
    /// Local address of the flow.
    pub local: SocketAddr,
    /// The event.
    pub event: Happening,
}

/// Services of the data plane in addition to relaying.
#[derive(Clone)]
pub struct Services {
    /// Destination of recorded flows.
    pub recordings: Arc<dyn Recordings>,
    /// Who takes STUN and DTLS.
    pub agents: Arc<dyn AgentInbox>,
    /// The packets that are recorded.
    pub recorded: Recorded,
    /// Settings of the mean opinion score.
    pub scoring: Scoring,
    /// Which streams the kernel forwards.
    pub offload: Offload,
    /// Shortest interval of own reports.
    pub report_interval: Duration,
    /// Canonical name of the relay in them.
    pub name: Arc<str>,
    /// Codecs, and the threads of the heavy ones.
    pub audio: Audio,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("recorded", &self.recorded)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Default for Services {
    fn default() -> Self {
        Self {
            recordings: Arc::new(()),
            agents: Arc::new(()),
            recorded: Recorded::default(),
            scoring: Scoring::default(),
            offload: Offload::default(),
            report_interval: Duration::from_secs(5),
            name: "windlass".into(),
            audio: Audio::default(),
        }
    }
}

/// Whether the datagrams of all ports are steered to a few sockets per worker, or every port has a
/// socket of its own (spec: dataplane §2).
#[derive(Clone, Debug, Default)]
pub enum Steering {
    /// A socket per port.
    #[default]
    Off,
    /// Steered where this host lets us.
    Auto(SteeredPorts),
    /// Steered, or it does not start.
    Required(SteeredPorts),
}

/// Ports without sockets.
#[derive(Clone, Debug, Default)]
pub struct SteeredPorts {
    /// All media addresses with their ports.
    pub ranges: Vec<PortRange>,
    /// Whether other processes are kept from binding a port that is in use, where this host lets us.
    pub refuse_binds: bool,
}

/// A local address with its first and last port.
pub type PortRange = (IpAddr, u16, u16);

impl Steering {
    fn rungs(&self, workers: usize) -> io::Result<Rungs> {
        let (ports, is_required) = match self {
            Self::Off => return Ok(Rungs::sockets()),
            Self::Auto(ports) => (ports, false),
            Self::Required(ports) => (ports, true),
        };
        match Rungs::steered(ports, workers) {
            Ok((rungs, exposed)) => {
                if let Some(reason) = exposed {
                    tracing::warn!(
                        reason,
                        "a process of this host can bind a media port that is in use, and take the \
                         media of its call: keep local users off this host, or set steering = \
                         \"off\" in [dataplane]"
                    );
                }
                tracing::info!(workers, "ports are steered: no socket per port");
                Ok(rungs)
            }
            Err(reason) if is_required => Err(io::Error::other(format!(
                "ports cannot be steered: {reason}"
            ))),
            Err(reason) => {
                let missing = windlass_kernel_assist::rights::missing().join(" ");
                tracing::info!(%reason, missing, "ports are not steered: a socket for each");
                Ok(Rungs::sockets())
            }
        }
    }
}

/// Events of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// An event about the source of its packets.
    Source(Event),
    /// A party pressed a digit.
    Digit {
        /// The digit and its duration.
        pressed: Pressed,
        /// Source of the packet.
        from: SocketAddr,
    },
    /// Its packets take another path from now on.
    Path(Path),
    /// A defect shut it: what it receives is discarded from now on.
    Shut,
    /// The system refused the type of service of its port.
    NotMarked {
        /// Type of service or traffic class.
        tos: u8,
        /// The system's number of the error.
        errno: i32,
    },
    /// The system keeps its port bound to the peer: nobody else is heard.
    NotReleased {
        /// The system's number of the error.
        errno: i32,
    },
}

/// An error with what is behind it, as far as it does not say that itself: which right is missing
/// is at the end of the chain.
fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        behind = error.source();
    }
    words
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// The workers.
pub struct Dataplane {
    workers: Vec<Handle>,
    opener: Arc<dyn OpenPort>,
    started: Instant,
    lost_events: Arc<AtomicU64>,
    /// Fetches the last figures of the kernel.
    settler: Option<Settler>,
    /// The threads of heavy codecs; ended after the workers.
    _codecs: Pool,
    libraries: Libraries,
}

/// A thread that waits for the kernel's programs, so that no worker has to.
struct Settler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// How often it looks whether somebody waits for last figures.
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);

/// How often it looks for media addresses that came to an interface.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(5);

impl fmt::Debug for Dataplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataplane")
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

struct Handle {
    shared: Arc<Shared<Ladder>>,
    /// Of each thread.
    stats: Vec<Arc<WorkerStats>>,
    flows: AtomicUsize,
    audio: Arc<AudioStats>,
    /// Ends the waiting for settled media.
    closer: Option<Closer>,
    threads: Vec<JoinHandle<()>>,
}

impl Dataplane {
    /// Starts this many workers, each pinned to a core if there are several cores for them.
    /// Events come out of the receiver.
    ///
    /// # Errors
    /// The system refuses a thread or an epoll instance.
    pub fn start(
        workers: usize,
        started: Instant,
        services: Services,
        steering: &Steering,
    ) -> io::Result<(Self, Receiver<FlowEvent>)> {
        let workers = workers.max(1);
        let mut rungs = steering.rungs(workers)?;
        let (sender, events) = sync_channel(FLOW_EVENTS);
        let lost_events = Arc::new(AtomicU64::new(0));
        let sink = EventSink {
            sender,
            lost: lost_events.clone(),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let codecs = Pool::start(services.audio.threads)?;
        let queue = codecs.queue();
        let mut dataplane = Self {
            _codecs: codecs,
            libraries: services.audio.libraries.clone(),
            workers: Vec::new(),
            opener: rungs.opener(),
            started,
            lost_events,
            settler: None,
        };
        let kernel = Kernel::start(&services.offload).map(Arc::new);
        let clock = KernelClock::now()?;
        let left = Arc::<left::LeftSources>::default();
        let hops = Arc::<hops::Hops>::default();
        for index in 0..workers {
            let stats = Arc::<WorkerStats>::default();
            let (backend, wait, waker) = rungs.worker(index, Arc::clone(&stats))?;
            let mut flows = Flows::new(
                backend,
                sink.clone(),
                services.clone(),
                left.clone(),
                hops.clone(),
                started,
            );
            if let Some(kernel) = &kernel {
                flows.offloading = Some(Offloading::new(kernel.clone(), clock));
            }
            flows.desk.queue = queue.clone();
            let (audio, returns) = (flows.desk.stats.clone(), flows.desk.returns.clone());
            let flows = Mutex::new(flows);
            let media_stats = Arc::<WorkerStats>::default();
            let media = flows.lock().backend.media_queue(media_stats.clone())?;
            let closer = media.as_ref().map(MediaQueue::closer).transpose()?;
            let shared = Arc::new(Shared {
                flows,
                stop: AtomicBool::new(false),
                waker,
            });
            let awaiting = Arc::downgrade(&shared);
            returns.wake_by(move || {
                if let Some(shared) = awaiting.upgrade() {
                    // Its timers may be far away.
                    let _ = shared.waker.wake();
                }
            });
            dataplane.workers.push(Handle {
                audio,
                shared: shared.clone(),
                stats: vec![stats.clone()],
                flows: AtomicUsize::new(0),
                closer,
                threads: Vec::new(),
            });
            let Some(handle) = dataplane.workers.last_mut() else {
                continue;
            };
            let pin = (workers > 1 && cores > 1).then_some(index % cores);
            let worker = shared.clone();
            handle
                .threads
                .push(spawn(format!("worker-{index}"), pin, move || {
                    worker::run(&worker, &stats, wait, started);
                })?);
            if let Some(queue) = media {
                handle.stats.push(media_stats.clone());
                handle
                    .threads
                    .push(spawn(format!("media-{index}"), pin, move || {
                        worker::run_media(&shared, &media_stats, queue, started);
                    })?);
            }
        }
        if let Some(kernel) = kernel {
            dataplane.settler = Some(dataplane.settle(kernel)?);
        }
        Ok((dataplane, events))
    }

    /// Starts to hand last figures to the workers.
    fn settle(&self, kernel: Arc<Kernel>) -> io::Result<Settler> {
        let workers = self.workers.iter().map(|worker| worker.shared.clone());
        let workers: Vec<_> = workers.collect();
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let thread = spawn("offload".to_owned(), None, move || {
            let mut followed = clock();
            while !stopped.load(Relaxed) {
                std::thread::park_timeout(SETTLE_INTERVAL);
                let now = clock();
                if now.saturating_duration_since(followed) >= FOLLOW_INTERVAL {
                    followed = now;
                    kernel.follow_interfaces();
                }
                let settled = kernel.settle();
                if settled.is_empty() {
                    continue;
                }
                for worker in &workers {
                    worker.flows.lock().take_in_last(&settled);
                }
            }
        })?;
        Ok(Settler { stop, thread })
    }

    /// The worker with the fewest flows.
    pub fn pick_worker(&self) -> usize {
        let loads = self
            .workers
            .iter()
            .map(|worker| worker.flows.load(Relaxed))
            .enumerate();
        loads
            .min_by_key(|&(_, flows)| flows)
            .map_or(0, |(index, _)| index)
    }

    /// Opens ports as the workers' backend needs them.
    pub fn opener(&self) -> Arc<dyn OpenPort> {
        Arc::clone(&self.opener)
    }

    /// Puts a plan in force; returns when it is. The ports of removed flows come back with what
    /// these have learned, so that they are closed by the caller and not by the worker.
    ///
    /// # Errors
    /// [`PlanRefused`]: nothing of the plan is in force.
    pub fn apply(
        &self,
        plan: Plan,
        leases: Vec<LeasedFlow>,
    ) -> Result<Vec<LeasedFlow>, PlanRefused> {
        let Some(worker) = self.workers.get(plan.worker) else {
            let reason = PlanError::NoWorker(plan.worker);
            return Err(PlanRefused { reason, leases });
        };
        let goes_on = leases.iter().any(|flow| flow.state.is_some());
        let now = clock();
        let prepared = self.prepare(&plan, worker);
        let mut flows = worker.shared.flows.lock();
        flows.desk.prepared = prepared;
        let removed = flows.apply(plan, leases, now);
        let unused = std::mem::take(&mut flows.desk.prepared);
        worker.flows.store(flows.entries.len(), Relaxed);
        drop(flows);
        drop(unused);
        if goes_on {
            // Its timers may be due sooner than the worker would look.
            let _ = worker.shared.waker.wake();
        }
        removed
    }

    /// Makes the chains that a plan asks for, while the worker goes on.
    fn prepare(&self, plan: &Plan, worker: &Handle) -> Vec<Prepared> {
        let converts = |change: &FlowChange| match change {
            FlowChange::Install(spec) | FlowChange::Change(spec) => {
                conversions(&spec.sinks).next().is_some()
            }
            FlowChange::Remove(_) => false,
        };
        if !plan.changes.iter().any(converts) {
            return Vec::new();
        }
        let mut lacking = worker.shared.flows.lock().lacking(plan);
        for chain in &mut lacking {
            chain.make(&self.libraries);
        }
        lacking
    }

    /// Plays a digit into a stream.
    ///
    /// # Errors
    /// There is no such stream, or no packet went through it yet; worded as in the protocol.
    pub fn inject(&self, worker: usize, injection: Injection) -> Result<(), &'static str> {
        let worker = self.workers.get(worker).ok_or(NO_STREAM)?;
        worker.shared.flows.lock().inject(injection, clock())?;
        // It may be waiting for longer than the first packet may wait.
        let _ = worker.shared.waker.wake();
        Ok(())
    }

    /// Sends datagrams of agents, as they are. Where the flow of a port is gone, so is the reason to send.
    pub fn send_all(&self, mut departures: Vec<Departure>) {
        // What leaves from one port keeps its order.
        departures.sort_by_key(|departure| departure.worker);
        for of_worker in departures.chunk_by(|one, next| one.worker == next.worker) {
            let place = of_worker.first().map(|departure| departure.worker);
            let Some(worker) = place.and_then(|place| self.workers.get(place)) else {
                continue;
            };
            for some in of_worker.chunks(AGENT_SENDS) {
                let mut flows = worker.shared.flows.lock();
                for departure in some {
                    flows.send_from(departure.local, departure.to, &departure.datagram);
                }
                flows.flush();
                MutexGuard::unlock_fair(flows);
            }
        }
    }

    /// Brings the counters of a call's flows up to date with the kernel's.
    pub fn catch_up(&self, worker: usize, call: u64) {
        let Some(worker) = self.workers.get(worker).filter(|_| self.settler.is_some()) else {
            return;
        };
        worker.shared.flows.lock().catch_up(call, clock());
    }

    /// Milliseconds since the start: the clock of `last_packet_ms`.
    pub fn clock_ms(&self) -> u64 {
        let uptime = clock().saturating_duration_since(self.started);
        u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX)
    }

    /// The counters of the workers.
    pub fn worker_stats(&self) -> Vec<Arc<WorkerStats>> {
        let workers = self.workers.iter();
        workers.flat_map(|worker| worker.stats.clone()).collect()
    }

    /// The counters of converted audio, of each worker.
    pub fn audio_stats(&self) -> Vec<Arc<AudioStats>> {
        self.workers.iter().map(|it| it.audio.clone()).collect()
    }

    /// Events that were lost because the queue was full.
    pub fn lost_events(&self) -> u64 {
        self.lost_events.load(Relaxed)
    }
}

impl Drop for Dataplane {
    /// Ends the workers; ports still in force are closed.
    fn drop(&mut self) {
        if let Some(settler) = self.settler.take() {
            settler.stop.store(true, Relaxed);
            settler.thread.thread().unpark();
            let _ = settler.thread.join();
        }
        for worker in &self.workers {
            worker.shared.stop.store(true, Relaxed);
            let _ = worker.shared.waker.wake();
            if let Some(closer) = &worker.closer {
                closer.close();
            }
        }
        for worker in &mut self.workers {
            for thread in worker.threads.drain(..) {
                let _ = thread.join();
            }
        }
    }
}

/// Starts a thread on one core, or on any.
fn spawn(
    name: String,
    core: Option<usize>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        if let Some(core) = core {
            pin_to(core);
        }
        work();
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the data plane has the clock of its packets"
)]
fn clock() -> Instant {
    Instant::now()
}

/// Keeps the calling thread on one core.
fn pin_to(core: usize) {
    let mut cores = nix::sched::CpuSet::new();
    let pinned = cores
        .set(core)
        .and_then(|()| nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores));
    if let Err(error) = pinned {
        tracing::debug!(core, %error, "worker not pinned");
    }
}
