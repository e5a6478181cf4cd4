//! The operator's command line, as the listeners see it, and its own listener: one line per
//! connection, text back, closed (spec: media-behaviour §19).

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use windlass_ng::serve::Shared;
use windlass_ng::{Bounds, Grant, Place, Places, ReplyTos, Source, Transport};

use super::now;
use super::role::Roles;
use crate::call::Calls;
use crate::ctl::{self, Console};
use crate::limits::{CLI_CONNECTIONS, CLI_CONNECTIONS_PER_SOURCE, CLI_LINE_BYTES};
use crate::observe::log;

/// The console with the calls that it is for.
pub(super) struct Operator {
    pub(super) calls: Arc<Calls>,
    pub(super) console: Console,
    pub(super) roles: Roles,
}

impl Operator {
    /// Carries out one line.
    pub(super) fn run(&self, line: &str, source: &Source) -> String {
        let (from, shown) = (source.addr, line.trim_end().escape_debug());
        // Monitoring asks every few seconds; what changes something is worth a line.
        match line.split_ascii_whitespace().next() {
            Some("list" | "get") => tracing::debug!(%from, line = %shown, "operator"),
            _ => tracing::info!(%from, line = %shown, "operator"),
        }
        let role = self.roles.of(source);
        self.console.run(&self.calls, line, role, now())
    }
}

/// This process.
#[derive(Default)]
pub(super) struct ThisProcess {
    replies: Mutex<Vec<ReplyTos>>,
}

impl ThisProcess {
    /// Its ng listeners over UDP.
    pub(super) fn listens(&self, replies: Vec<ReplyTos>) {
        *self.replies.lock().unwrap_or_else(PoisonError::into_inner) = replies;
    }
}

impl ctl::Process for ThisProcess {
    fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        log::set_filter(filter)
    }

    fn max_open_files(&self) -> Option<u64> {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        Some(soft)
    }

    fn set_max_open_files(&self, files: u64) -> Result<(), i32> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| errno as i32)?;
        let set = setrlimit(Resource::RLIMIT_NOFILE, files, hard.max(files));
        set.map_err(|errno| errno as i32)
    }

    fn set_control_tos(&self, tos: u8) -> Result<(), String> {
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut set = replies.iter().map(|replies| replies.set(tos));
        set.try_for_each(|set| set.map_err(|error| error.to_string()))
    }

    fn id(&self) -> u32 {
        std::process::id()
    }
}

/// Connections at a time. For one more, a silent one is closed: every command takes one of its own,
/// and sends its line at once.
const PLACES: Bounds = Bounds {
    connections: CLI_CONNECTIONS,
    per_source: CLI_CONNECTIONS_PER_SOURCE,
    silence: Duration::from_millis(500),
};

/// A line that is not complete by then is dropped; output that is not taken by then, too.
const PATIENCE: Duration = Duration::from_secs(5);

/// Interval at which a thread without traffic checks whether to stop.
const STOP_CHECK: Duration = Duration::from_millis(250);

/// A running listener. Dropped, it stops.
pub(super) struct CliServer {
    local: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl CliServer {
    /// Binds `address`; `shared` has the access policy.
    pub(super) fn start(
        address: SocketAddr,
        operator: Arc<Operator>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let listener = listen(address)?;
        let local = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let acceptor = Acceptor {
            listener,
            operator,
            shared,
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new().name("cli".to_owned());
        Ok(Self {
            local,
            stop,
            acceptor: Some(thread.spawn(move || acceptor.run())?),
        })
    }

    /// The bound address.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for CliServer {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            // A panic was logged by the thread itself.
            let _ = acceptor.join();
        }
    }
}

/// A listening socket. An IPv6 wildcard does not take IPv4.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    // Linux applies the receive time-out to accept as well.
    socket.set_read_timeout(Some(STOP_CHECK))?;
    socket.bind(&address.into())?;
    socket.listen(16)?;
    Ok(TcpListener::from(socket))
}

struct Acceptor {
    listener: TcpListener,
    operator: Arc<Operator>,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
}

impl Acceptor {
    fn run(self) {
        let mut places = Places::new(PLACES);
        while !self.stop.load(Relaxed) {
            match self.listener.accept() {
                Ok((stream, peer)) => self.admit(stream, peer, &mut places),
                Err(error) if is_timeout(&error) => {}
                Err(error) => {
                    // Out of descriptors, as a rule: the next round must not spin.
                    tracing::warn!(%error, "cli accept");
                    std::thread::park_timeout(STOP_CHECK);
                }
            }
        }
        places.join();
    }

    /// Starts a thread for a connection that may stay.
    fn admit(&self, stream: TcpStream, peer: SocketAddr, places: &mut Places) {
        let canonical = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        let source = Source {
            addr: canonical(peer),
            local: stream.local_addr().ok().map(canonical),
            transport: Transport::Tcp,
        };
        let now = now().instant;
        if self.shared.access().check(&source, now) == Grant::Refused {
            return;
        }
        if !places.make_room(source.addr.ip(), now) {
            let limit = PLACES.connections;
            tracing::warn!(%peer, limit, of_one = PLACES.per_source, "too many cli connections, closed");
            return;
        }
        let place = Place::new(stream, source.addr.ip(), now);
        let (operator, stop) = (self.operator.clone(), self.stop.clone());
        let served = place.clone();
        let serve = move || {
            if let Err(error) = serve(&served, &operator, &source, &stop) {
                tracing::debug!(%peer, %error, "cli connection closed");
            }
        };
        let thread = std::thread::Builder::new().name("cli-conn".to_owned());
        let spawned = thread.spawn(serve);
        match spawned {
            Ok(thread) => places.hold(&place, thread),
            Err(error) => tracing::warn!(%error, "no thread for a cli connection"),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// Executes one line and writes its output.
fn serve(place: &Place, operator: &Operator, source: &Source, stop: &AtomicBool) -> io::Result<()> {
    let mut stream = place.stream();
    stream.set_read_timeout(Some(STOP_CHECK))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(line) = read_line(place, stop)? else {
        return Ok(());
    };
    place.serving();
    let line = String::from_utf8_lossy(&line);
    let output = operator.run(&line, source);
    stream.write_all(output.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)
}

/// The first line, without its end. A client that shuts its side down has ended its line, too.
fn read_line(place: &Place, stop: &AtomicBool) -> io::Result<Option<Vec<u8>>> {
    let mut stream = place.stream();
    let deadline = now().instant + PATIENCE;
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    while !stop.load(Relaxed) {
        if now().instant >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let read = match stream.read(&mut chunk) {
            // Half a line is none if it was us who ended it.
            Ok(0) => return Ok(Some(line).filter(|_| !place.must_go())),
            Ok(read) => chunk.get(..read).unwrap_or_default(),
            Err(error) if is_timeout(&error) => continue,
            Err(error) => return Err(error),
        };
        // Empty lines before it are none.
        let read = match line.is_empty() {
            true => read.trim_ascii_start(),
            false => read,
        };
        let end = read.iter().position(|&byte| byte == b'\n');
        line.extend_from_slice(read.get(..end.unwrap_or(read.len())).unwrap_or_default());
        if line.len() > CLI_LINE_BYTES {
            return Err(io::Error::other("the line is too long"));
        }
        if end.is_some() {
            return Ok(Some(line));
        }
    }
    Ok(None)
}
