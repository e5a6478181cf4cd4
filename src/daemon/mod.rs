//! Start-up and shutdown: wires control, calls, data plane and edge.

mod agents;
mod console;
mod edge;
mod link;
mod listen;
pub mod privileges;
mod recorder;
mod role;
mod tell;
mod timers;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::StdRng;
use windlass_dtls::CertificateError;
use windlass_kernel_assist::reserve::Reservation;
use windlass_ng::serve::Shared;
use windlass_ng::server::{TcpServer, UdpServer};

use crate::agents::{Agents, Outside, Threads};
use crate::call::ports::Interfaces;
use crate::call::{Calls, Now, Whose};
use crate::config::Config;
use crate::config::names::host_addresses;
use crate::config::topic::{RecordingFormat, RecordingMethod};
use crate::ctl::{Console, Process as _};
use crate::dataplane::tap::{Recorded, Recordings};
use crate::dataplane::{Audio, Dataplane, Services};
use crate::observe::pcap::{PcapFormat, Recorder, RecorderLimits, RecorderOptions};
use crate::observe::supervisor::{READY, STOPPING, notify};
use crate::setup;

use agents::Surroundings;
use console::{Operator, ThisProcess};
pub use edge::Origin;
use edge::{EdgeThread, Source};
use link::{Commands, Link, Strangers};
use listen::Listeners;
use recorder::OpenRecordings;
use role::Roles;
use tell::{DigitReports, Endings};
use timers::Timers;

/// Reasons why the relay does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The workers did not start.
    #[error("cannot start the workers: {0}")]
    Dataplane(io::Error),
    /// There is no certificate for DTLS.
    #[error(transparent)]
    Certificate(CertificateError),
    /// The SIP edge did not start.
    #[error("cannot start the SIP edge: {0}")]
    Edge(io::Error),
    /// An address is not to be had.
    #[error("cannot listen on {protocol} {address}: {source}")]
    Listen {
        /// `udp`, `tcp`, `http`, `https` or `cli`.
        protocol: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// HTTPS has no certificate.
    #[error("no certificate for HTTPS: {reason}")]
    Tls {
        /// The fault.
        reason: String,
    },
    /// The URL for call-backs is of no use.
    #[error("b2b-url: {reason}")]
    CallBack {
        /// The fault.
        reason: String,
    },
    /// Recordings have nowhere to go.
    #[error("cannot record to {dir}: {source}")]
    Recording {
        /// The directory.
        dir: String,
        /// The system's error.
        source: io::Error,
    },
    /// The edge needs a relay that listens on UDP.
    #[error("the edge needs ng: give it `ng` in [edge], or listen on UDP in [ng]")]
    NoNg,
    /// Signals or threads are not to be had.
    #[error("cannot set up the process: {0}")]
    Process(io::Error),
}

/// A running relay.
pub struct Daemon {
    // In this order: no new calls, then no calls, then no workers.
    edge: Option<EdgeThread>,
    listeners: Listeners,
    timers: Option<Timers>,
    calls: Arc<Calls>,
    _agents: Threads,
    operator: Arc<Operator>,
    // Media ports are given back last.
    _reservation: Option<Reservation>,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon")
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

impl Daemon {
    /// Starts everything that the configuration asks for.
    ///
    /// # Errors
    /// [`Error`]; what had started is stopped again.
    pub fn start(config: &Config) -> Result<Self, Error> {
        Self::start_from(config, None)
    }

    /// As [`Self::start`], with the place that the configuration came from: what can change while it
    /// runs is read from there again.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_from(config: &Config, origin: Option<Origin>) -> Result<Self, Error> {
        let started = now().instant;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = config.workers.unwrap_or(cores);
        let recordings = recordings(config)?;
        let taps: Arc<dyn Recordings> = match &recordings {
            Some(recordings) => recordings.clone(),
            None => Arc::new(()),
        };
        let identity = setup::identity(config, now().unix, &mut StdRng::from_os_rng());
        let identity = identity.map_err(Error::Certificate)?;
        let reach = Arc::new(setup::reach(config, host_addresses()));
        let agents = Agents::new(&setup::agents(config));
        let libraries = setup::libraries(config);
        let services = Services {
            recordings: taps,
            agents: agents.inbox(),
            recorded: match (config.recording.both, config.recording.egress) {
                (true, _) => Recorded::Both,
                (false, true) => Recorded::Egress,
                (false, false) => Recorded::Ingress,
            },
            scoring: setup::scoring(config),
            offload: setup::offload(config),
            report_interval: config.quality.rtcp_interval,
            name: identity.instance().into(),
            audio: Audio {
                libraries: libraries.clone(),
                threads: config.audio.codec_threads.into(),
            },
        };
        let reservation = reserve_ports(config);
        let dataplane = Dataplane::start(workers, started, services, &setup::steering(config));
        let (dataplane, events) = dataplane.map_err(Error::Dataplane)?;
        let dataplane = Arc::new(dataplane);
        let interfaces = Interfaces::new(
            setup::addresses(config, &mut StdRng::from_os_rng()),
            dataplane.opener(),
        );
        let surroundings = Arc::new(Surroundings {
            dataplane: dataplane.clone(),
            calls: OnceLock::new(),
        });
        let link = Link {
            agents: agents.clone(),
            dataplane,
            recordings: recordings.clone(),
        };
        let mut calls = Calls::new(
            interfaces,
            identity,
            Arc::new(link),
            setup::defaults(config, &libraries, reach.clone()),
            setup::timeouts(config),
            setup::limits(config),
            started,
        );
        if let Some(recordings) = recordings {
            calls = calls.with_recorder(recordings);
        }
        if let Some(endings) = Endings::new(config)? {
            calls = calls.with_observer(Arc::new(endings));
        }
        let calls = Arc::new(calls);
        // Set once: the calls are there before anything can ask for an agent.
        let _ = surroundings.calls.set(Arc::downgrade(&calls));
        let outside: Arc<dyn Outside> = surroundings;
        let agents = agents.start(&outside).map_err(Error::Process)?;
        let process = Arc::new(ThisProcess::default());
        let operator = Arc::new(Operator {
            calls: calls.clone(),
            roles: Roles::new(config),
            console: Console::new(config, process.clone(), &calls),
        });
        let strangers = Arc::new(Strangers::default());
        let shared = Shared::new(Arc::new(Commands {
            operator: operator.clone(),
            strangers: strangers.clone(),
        }));
        let shared = Arc::new(shared.with_access(listen::access(config, &calls, &reach)));
        shared.set_templates(setup::templates(config));
        let listeners = Listeners::start(config, &shared, &operator)?;
        process.listens(listeners.udp.iter().map(UdpServer::tos).collect());
        if let tos @ 1.. = config.control.tos
            && let Err(reason) = process.set_control_tos(tos)
        {
            tracing::warn!(
                tos,
                reason,
                "cannot mark replies to ng with this type of service"
            );
        }
        let clients = listeners.tcp.iter().map(TcpServer::broadcaster).collect();
        let reports = DigitReports::new(config, clients).map_err(Error::Process)?;
        let timers = Timers::start(calls.clone(), reach.clone(), events, reports);
        let timers = timers.map_err(Error::Process)?;
        let edge = match &config.edge {
            None => None,
            Some(edge) => {
                let own = listeners.udp.first().map(UdpServer::local_addr);
                let ng = edge.ng().or(own).ok_or(Error::NoNg)?;
                let ng_of_ours = own.unwrap_or(ng);
                let source = origin.map(|origin| {
                    let ng = ng_of_ours;
                    Arc::new(Source { origin, ng }) as Arc<dyn windlass_edge::ConfigSource>
                });
                let edge = EdgeThread::start(edge.settings(ng), source).map_err(Error::Edge)?;
                if let Some(asks_from) = edge.asks_from {
                    // Set once: there is one edge.
                    let _ = strangers.edge.set(asks_from);
                }
                Some(edge)
            }
        };
        let daemon = Self {
            edge,
            listeners,
            timers: Some(timers),
            calls,
            _agents: agents,
            operator,
            _reservation: reservation,
        };
        let control = daemon.listeners.addresses().into_iter();
        let control = control.map(|(_, address)| address);
        let admin = daemon.edge.as_ref().and_then(|edge| edge.admin);
        let control = control.chain(admin);
        reach.listen(control.chain(daemon.edge()).collect());
        Ok(daemon)
    }

    /// UDP addresses of the ng listeners.
    pub fn ng_udp(&self) -> Vec<SocketAddr> {
        self.listeners
            .udp
            .iter()
            .map(UdpServer::local_addr)
            .collect()
    }

    /// TCP addresses of the ng listeners.
    pub fn ng_tcp(&self) -> Vec<SocketAddr> {
        self.listeners
            .tcp
            .iter()
            .map(TcpServer::local_addr)
            .collect()
    }

    /// SIP addresses of the edge; empty without an edge.
    pub fn edge(&self) -> Vec<SocketAddr> {
        self.edge
            .as_ref()
            .map(|edge| edge.addresses.clone())
            .unwrap_or_default()
    }

    /// Ends everything: the edge, the listeners, every call, the workers.
    pub fn stop(mut self) {
        drop(self.edge.take());
        self.listeners = Listeners::default();
        drop(self.timers.take());
        self.calls.end_those(Whose::All, now());
    }
}

/// Keeps the media ports from sockets that ask for any port, if that is asked for and needed.
fn reserve_ports(config: &Config) -> Option<Reservation> {
    if !config.dataplane.reserve_ports {
        return None;
    }
    let ranges = config.interfaces.iter().map(|one| one.ports);
    let ranges = ranges.map(|ports| ports.min..=ports.max);
    // A socket that got one of these by chance could not speak ng.
    let beside = config.media.destinations.host_ports.iter();
    let ranges = ranges.chain(beside.map(|ports| ports.first..=ports.last));
    let ranges: Vec<_> = ranges.collect();
    let reservation = Reservation::add(&ranges);
    let told = |error: io::Error| {
        // Without the right for it the checks before the start said what to do.
        if error.kind() != io::ErrorKind::PermissionDenied {
            tracing::warn!(
                %error,
                "media ports cannot be reserved: where they overlap net.ipv4.ip_local_port_range, \
                 add them to net.ipv4.ip_local_reserved_ports on the host"
            );
        }
    };
    reservation.map_err(told).ok()
}

/// Recorder of calls, if recording is configured.
fn recordings(config: &Config) -> Result<Option<Arc<OpenRecordings>>, Error> {
    let Some(dir) = &config.recording.dir else {
        return Ok(None);
    };
    if config.recording.method == RecordingMethod::Proc {
        tracing::warn!(
            "recording-method=proc needs a daemon that is not built; calls are written to pcap files"
        );
    }
    let options = RecorderOptions {
        format: match config.recording.format {
            RecordingFormat::Raw => PcapFormat::Raw,
            RecordingFormat::Ethernet => PcapFormat::Ethernet,
        },
        limits: RecorderLimits {
            queue_bytes: usize::try_from(config.recording.queue_bytes).unwrap_or(usize::MAX),
            file_bytes: config.recording.file_bytes,
            free_bytes: config.recording.free_bytes,
        },
    };
    let recorder = Recorder::start(Path::new(dir), options).map_err(|source| Error::Recording {
        dir: dir.clone(),
        source,
    })?;
    Ok(Some(Arc::new(OpenRecordings::new(recorder))))
}

/// Reasons why a relay stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// SIGINT or SIGTERM.
    Terminated,
    /// SIGHUP without a SIP edge: the supervisor should start it again.
    HungUp,
}

/// Runs a relay until SIGINT, SIGTERM or SIGHUP; with a SIP edge, SIGHUP reads its configuration
/// again instead, from `origin`. SIGUSR1 and SIGUSR2 make the log say less and more.
/// `ready` is called once everything is served; a service manager is told, too.
///
/// # Errors
/// It did not start.
pub fn run(
    config: &Config,
    origin: Option<Origin>,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<Stopped, Error> {
    let mut signals = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(Error::Process)?;
    let is_reloadable = origin.is_some() && config.edge.is_some();
    let daemon = Daemon::start_from(config, origin)?;
    for (what, address) in daemon.listeners.addresses() {
        tracing::info!(%address, "{what}");
    }
    for address in daemon.edge() {
        tracing::info!(%address, "SIP edge over udp");
    }
    tracing::info!("ready");
    ready().map_err(Error::Process)?;
    tell_manager(READY);
    let edge = daemon.edge.as_ref().filter(|_| is_reloadable);
    let stopped =
        wait_for_signal(&mut signals, &daemon.operator.console, edge).map_err(Error::Process)?;
    tell_manager(STOPPING);
    tracing::info!(calls = daemon.calls.count(), "stopping");
    daemon.stop();
    tracing::info!("stopped");
    Ok(stopped)
}

fn tell_manager(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = notify(&socket, state) {
        tracing::warn!(%error, state, "the service manager was not told");
    }
}

fn wait_for_signal(
    runtime: &mut tokio::runtime::Runtime,
    console: &Console,
    edge: Option<&EdgeThread>,
) -> io::Result<Stopped> {
    use tokio::signal::unix::{SignalKind, signal};
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut less = signal(SignalKind::user_defined1())?;
        let mut more = signal(SignalKind::user_defined2())?;
        loop {
            let step = tokio::select! {
                _ = terminate.recv() => return Ok(Stopped::Terminated),
                _ = interrupt.recv() => return Ok(Stopped::Terminated),
                _ = hangup.recv() => match edge {
                    None => return Ok(Stopped::HungUp),
                    Some(edge) => {
                        edge.reload();
                        continue;
                    }
                },
                _ = less.recv() => -1,
                _ = more.recv() => 1,
            };
            if let Err(reason) = console.step_log_levels(step) {
                tracing::warn!(reason, "the level of the log stays");
            }
        }
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver reads the clocks, call/ does not"
)]
fn now() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        instant: Instant::now(),
        unix,
    }
}
