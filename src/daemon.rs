//! Start-up and shutdown: wires control, calls, data plane and edge.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::StdRng;
use windlass_ng::serve::Shared;
use windlass_ng::server::{TcpOptions, TcpServer, UdpServer};
use windlass_ng::{Handler, Reply, Request, Source};

use crate::call::ports::{Interfaces, LocalAddress, PortPool};
use crate::call::{self, Calls, Forwarding, ForwardingError, Identity, Now};
use crate::config::Config;
use crate::dataplane::{Dataplane, FlowEvent, Happening};
use crate::flow::port::PortLease;
use crate::flow::{Injection, Plan};
use crate::media::certificate::{Certificate, CertificateError};
use crate::media::latch::Event;

/// Threads per ng UDP address: commands of different calls run beside each other, and a `ping`
/// finds one free.
const NG_THREADS: usize = 4;

/// Why the relay does not run.
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
    /// An ng address is not to be had.
    #[error("cannot listen for ng on {protocol} {address}: {source}")]
    Listen {
        /// `udp` or `tcp`.
        protocol: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
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
    udp: Vec<UdpServer>,
    tcp: Vec<TcpServer>,
    timers: Option<Timers>,
    calls: Arc<Calls>,
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
        let started = now().instant;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = config.workers.unwrap_or(cores);
        let (dataplane, events) =
            Dataplane::start(workers, started, Arc::new(())).map_err(Error::Dataplane)?;
        let dataplane = Arc::new(dataplane);
        let interfaces = Interfaces::new(addresses(config), dataplane.opener());
        let calls = Arc::new(Calls::new(
            interfaces,
            identity(config)?,
            Arc::new(Link(dataplane.clone())),
            defaults(config),
            timeouts(config),
            call::Limits {
                max_sessions: config.limits.max_sessions.map(|max| max as u64),
            },
            started,
        ));
        let shared = Arc::new(Shared::new(Arc::new(Commands(calls.clone()))));
        let listen = |protocol, address, source| Error::Listen {
            protocol,
            address,
            source,
        };
        let mut udp = Vec::new();
        for &address in &config.ng.udp {
            let server = UdpServer::start(address, NG_THREADS, shared.clone());
            udp.push(server.map_err(|source| listen("udp", address, source))?);
        }
        let mut tcp = Vec::new();
        for &address in &config.ng.tcp {
            let server = TcpServer::start(address, TcpOptions::default(), shared.clone());
            tcp.push(server.map_err(|source| listen("tcp", address, source))?);
        }
        let timers = Timers::start(calls.clone(), events).map_err(Error::Process)?;
        let edge = match &config.edge {
            None => None,
            Some(edge) => {
                let own = udp.first().map(UdpServer::local_addr);
                let ng = edge.ng.or(own).ok_or(Error::NoNg)?;
                Some(EdgeThread::start(edge.settings(ng)).map_err(Error::Edge)?)
            }
        };
        Ok(Self {
            edge,
            udp,
            tcp,
            timers: Some(timers),
            calls,
        })
    }

    /// Where ng requests are taken over UDP.
    pub fn ng_udp(&self) -> Vec<SocketAddr> {
        self.udp.iter().map(UdpServer::local_addr).collect()
    }

    /// Where ng requests are taken over TCP.
    pub fn ng_tcp(&self) -> Vec<SocketAddr> {
        self.tcp.iter().map(TcpServer::local_addr).collect()
    }

    /// Where the edge takes SIP; empty without an edge.
    pub fn edge(&self) -> Vec<SocketAddr> {
        self.edge
            .as_ref()
            .map(|edge| edge.addresses.clone())
            .unwrap_or_default()
    }

    /// Ends everything: the edge, the listeners, every call, the workers.
    pub fn stop(mut self) {
        drop(self.edge.take());
        self.udp.clear();
        self.tcp.clear();
        drop(self.timers.take());
        self.calls.end_all(now());
    }
}

/// Runs a relay until SIGINT or SIGTERM.
///
/// # Errors
/// It did not start.
pub fn run(config: &Config) -> Result<(), Error> {
    let mut signals = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(Error::Process)?;
    let daemon = Daemon::start(config)?;
    for (protocol, addresses) in [("udp", daemon.ng_udp()), ("tcp", daemon.ng_tcp())] {
        for address in addresses {
            tracing::info!(%address, "ng over {protocol}");
        }
    }
    for address in daemon.edge() {
        tracing::info!(%address, "SIP edge over udp");
    }
    tracing::info!("ready");
    wait_for_signal(&mut signals).map_err(Error::Process)?;
    tracing::info!(calls = daemon.calls.count(), "stopping");
    daemon.stop();
    tracing::info!("stopped");
    Ok(())
}

fn wait_for_signal(runtime: &mut tokio::runtime::Runtime) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
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

/// Media addresses and their pools. Entries of one address and range share a pool.
fn addresses(config: &Config) -> Vec<LocalAddress> {
    let mut rng = StdRng::from_os_rng();
    let mut addresses: Vec<LocalAddress> = Vec::new();
    for interface in &config.interfaces {
        let range = (interface.ports.min, interface.ports.max);
        let shared = addresses
            .iter()
            .find(|other| other.address == interface.address && other.pool.range() == range);
        let pool = match shared {
            Some(other) => other.pool.clone(),
            None => Arc::new(PortPool::new(range.0, range.1, &mut rng)),
        };
        addresses.push(LocalAddress {
            name: interface.name.as_str().into(),
            address: interface.address,
            advertised: interface.advertised(),
            pool,
        });
    }
    addresses
}

fn defaults(config: &Config) -> call::Defaults {
    call::Defaults {
        learning: config.media.learning,
        tos: Some(config.media.tos).filter(|&tos| tos > 0),
        signalling_hops: config.media.signalling_hops.clone(),
        ..call::Defaults::default()
    }
}

/// What this relay shows of itself, drawn anew with every start.
fn identity(config: &Config) -> Result<Identity, Error> {
    let software = concat!("windlass-", env!("CARGO_PKG_VERSION"));
    let certificate = Certificate::generate(software).map_err(Error::Certificate)?;
    let addresses = config.interfaces.iter().map(|interface| interface.address);
    let mut rng = StdRng::from_os_rng();
    Ok(Identity::new(certificate, addresses, software, &mut rng))
}

fn timeouts(config: &Config) -> call::Timeouts {
    call::Timeouts {
        media: config.timeouts.media,
        silent: config.timeouts.silent,
        offer: config.timeouts.offer,
        total: config.timeouts.final_limit,
        delete_delay: config.timeouts.delete_delay,
    }
}

/// The data plane, as calls see it.
struct Link(Arc<Dataplane>);

impl Forwarding for Link {
    fn pick_worker(&self) -> usize {
        self.0.pick_worker()
    }

    fn apply(
        &self,
        plan: &Plan,
        leases: Vec<PortLease>,
    ) -> Result<Vec<PortLease>, ForwardingError> {
        let applied = self.0.apply(plan, leases);
        applied.map_err(|error| ForwardingError {
            reason: error.to_string(),
        })
    }

    fn packet_clock_ms(&self) -> u64 {
        self.0.clock_ms()
    }

    fn inject(&self, worker: usize, injection: Injection) -> Result<(), &'static str> {
        self.0.inject(worker, injection)
    }

    fn route_to(&self, peer: IpAddr) -> Option<IpAddr> {
        // Connecting a UDP socket sends nothing; it only makes the system choose an address.
        let any: IpAddr = match peer {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((peer, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }
}

/// The calls, as the ng transports see them.
struct Commands(Arc<Calls>);

impl Handler for Commands {
    fn handle(&self, request: &Request, source: &Source) -> Reply {
        let began = now();
        let reply = self.0.serve(request, source.addr, began, &mut rand::rng());
        let took = now().instant.saturating_duration_since(began.instant);
        self.0
            .count_command(source.addr, Some(request.command), took, reply.is_error());
        reply
    }

    fn refused(&self, source: &Source, reason: &str) {
        tracing::debug!(source = %source.addr, reason, "request refused");
        self.0
            .count_command(source.addr, None, Duration::ZERO, true);
    }
}

/// The thread that lets time act on calls and logs what flows learned.
struct Timers {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Timers {
    fn start(calls: Arc<Calls>, events: Receiver<FlowEvent>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("timers".to_owned());
        let thread = thread.spawn(move || tick(&calls, &events, &stopped))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn tick(calls: &Calls, events: &Receiver<FlowEvent>, stop: &AtomicBool) {
    const TURN: Duration = Duration::from_secs(1);
    let mut next = now().instant + TURN;
    while !stop.load(Relaxed) {
        let left = next.saturating_duration_since(now().instant);
        match events.recv_timeout(left.min(Duration::from_millis(200))) {
            Ok(event) => tell(calls, &event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = now();
        if now.instant >= next {
            next = now.instant + TURN;
            calls.handle_timeout(now);
        }
    }
}

fn tell(_calls: &Calls, event: &FlowEvent) {
    if let Happening::Source(source) = &event.event {
        log_source(event, source);
    }
}

fn log_source(flow: &FlowEvent, event: &Event) {
    let FlowEvent { call, local, .. } = flow;
    match event {
        Event::Settled(source) => tracing::debug!(call, %local, %source, "source settled"),
        Event::Moved { from, to } => tracing::info!(call, %local, %from, %to, "source moved"),
        Event::Unexpected(source) => {
            tracing::info!(call, %local, %source, "packets of an unexpected source are dropped");
        }
        Event::Contested(source) => tracing::warn!(
            call, %local, %source, "contested: another source sends a consistent stream"
        ),
        Event::AgainstSignalling(source) => tracing::warn!(
            call, %local, %source,
            "settled on a source that signalling contradicts; is a proxy missing in signalling_hops?"
        ),
    }
}

/// The edge, on a thread with a runtime of its own.
struct EdgeThread {
    addresses: Vec<SocketAddr>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EdgeThread {
    fn start(config: windlass_edge::Config) -> io::Result<Self> {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("edge".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime = match runtime {
                    Ok(runtime) => runtime,
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                runtime.block_on(async {
                    match windlass_edge::Edge::start(config).await {
                        Ok(edge) => {
                            let _ = started.send(Ok(edge.local_addrs().to_vec()));
                            let _ = stopped.await;
                            edge.stop().await;
                        }
                        Err(error) => {
                            let _ = started.send(Err(error));
                        }
                    }
                });
            })?;
        let addresses = start
            .recv()
            .map_err(|_| io::Error::other("the edge ended at once"))??;
        Ok(Self {
            addresses,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for EdgeThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
