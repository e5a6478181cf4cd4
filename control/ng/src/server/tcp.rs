//! The TCP listener: a stream of `COOKIE SP BENCODE` without separators, replies alike.
//!
//! Only bencode ends by itself, so JSON never completes here.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{STOP_CHECK, canonical, now};
use crate::{
    bencode::{Framer, NotADictionary},
    limits::{COOKIE_BYTES, STREAM_CONNECTIONS, STREAM_GARBAGE_BYTES, STREAM_REQUEST_BYTES},
    serve::{Shared, Source, Transport},
};

/// A peer that does not read its replies for this long is disconnected.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct TcpOptions {
    /// Open connections; more are closed at once.
    pub connections: usize,
    /// Bytes of one message. The reference closes a connection on which more than 1024 bytes of
    /// an incomplete message wait, which breaks any offer split over two segments; we wait for
    /// as much as a request may have as long as it looks like one. Set 1024 for its behaviour.
    pub message_bytes: usize,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            connections: STREAM_CONNECTIONS,
            message_bytes: STREAM_REQUEST_BYTES,
        }
    }
}

/// A running listener. Dropped, it stops.
#[derive(Debug)]
pub struct TcpServer {
    local: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl TcpServer {
    /// Binds `addr` and serves each connection on a thread of its own.
    ///
    /// # Errors
    /// If the socket cannot be bound or the thread not be started.
    pub fn start(addr: SocketAddr, options: TcpOptions, shared: Arc<Shared>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        // Linux applies the receive timeout to accept as well.
        socket.set_read_timeout(Some(STOP_CHECK))?;
        socket.bind(&addr.into())?;
        socket.listen(128)?;
        let listener = TcpListener::from(socket);
        let local = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let acceptor = thread::Builder::new()
            .name("ng-tcp".to_owned())
            .spawn(move || accept(&listener, options, &shared, &flag))?;
        Ok(Self {
            local,
            stop,
            acceptor: Some(acceptor),
        })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Stops, closes all connections and waits for requests in progress.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(acceptor) = self.acceptor.take() {
            // A panic was logged by the thread itself.
            let _ = acceptor.join();
        }
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn accept(
    listener: &TcpListener,
    options: TcpOptions,
    shared: &Arc<Shared>,
    stop: &Arc<AtomicBool>,
) {
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let accepted = listener.accept();
        connections.retain(|connection| !connection.is_finished());
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_timeout(&error) => continue,
            Err(error) => {
                // Out of descriptors, as a rule: the next round must not spin.
                tracing::warn!(%error, "ng accept");
                thread::park_timeout(STOP_CHECK);
                continue;
            }
        };
        if connections.len() >= options.connections {
            tracing::warn!(%peer, limit = options.connections, "too many ng connections, closed");
            continue;
        }
        let (shared, stop) = (Arc::clone(shared), Arc::clone(stop));
        let spawned = thread::Builder::new()
            .name("ng-tcp-conn".to_owned())
            .spawn(move || {
                if let Err(reason) = Connection::new(stream, peer, options).serve(&shared, &stop) {
                    tracing::info!(%peer, "ng connection closed: {reason}");
                }
            });
        match spawned {
            Ok(connection) => connections.push(connection),
            Err(error) => tracing::warn!(%error, "no thread for an ng connection"),
        }
    }
    for connection in connections {
        let _ = connection.join();
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

struct Connection {
    stream: TcpStream,
    source: Source,
    splitter: Splitter,
}

/// Why a connection is closed by us.
#[derive(Debug, thiserror::Error)]
enum CloseReason {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0} bytes wait that are no message, or too long a one")]
    Unparsed(usize),
}

impl Connection {
    fn new(stream: TcpStream, peer: SocketAddr, options: TcpOptions) -> Self {
        let local = stream.local_addr().ok().map(canonical);
        let source = Source {
            addr: canonical(peer),
            local,
            transport: Transport::Tcp,
        };
        Self {
            stream,
            source,
            splitter: Splitter::new(options.message_bytes),
        }
    }

    fn serve(mut self, shared: &Shared, stop: &AtomicBool) -> Result<(), CloseReason> {
        self.stream.set_nodelay(true)?;
        self.stream.set_read_timeout(Some(STOP_CHECK))?;
        self.stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let mut chunk = vec![0; 16 * 1024];
        while !stop.load(Ordering::Relaxed) {
            let len = match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if is_timeout(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            self.splitter.extend(chunk.get(..len).unwrap_or_default());
            while let Some(message) = self.splitter.next_message() {
                if let Some(reply) = shared.respond(message, &self.source, now()) {
                    self.stream.write_all(&reply)?;
                }
            }
            self.splitter.check().map_err(CloseReason::Unparsed)?;
        }
        Ok(())
    }
}

/// Cuts a stream into messages. Every byte is looked at a bounded number of times.
#[derive(Debug)]
struct Splitter {
    buf: Vec<u8>,
    /// Where the current message starts; what is before is taken.
    start: usize,
    /// Offset of its payload from there, once the space was seen.
    payload: Option<usize>,
    framer: Framer,
    broken: bool,
    message_bytes: usize,
}

impl Splitter {
    fn new(message_bytes: usize) -> Self {
        Self {
            buf: Vec::new(),
            start: 0,
            payload: None,
            framer: Framer::default(),
            broken: false,
            message_bytes,
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.buf.drain(..self.start);
        self.start = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// The next complete message, cookie included.
    fn next_message(&mut self) -> Option<&[u8]> {
        if self.broken {
            return None;
        }
        let message = self.buf.get(self.start..)?;
        let payload = match self.payload {
            Some(payload) => payload,
            None => {
                let window = message.get(..=COOKIE_BYTES).unwrap_or(message);
                let payload = window.iter().position(|&b| b == b' ')? + 1;
                self.payload = Some(payload);
                payload
            }
        };
        match self.framer.advance(message.get(payload..)?) {
            Ok(None) => None,
            Err(NotADictionary) => {
                self.broken = true;
                None
            }
            Ok(Some(len)) => {
                let (from, to) = (self.start, self.start + payload + len);
                self.start = to;
                self.payload = None;
                self.framer = Framer::default();
                self.buf.get(from..to)
            }
        }
    }

    /// Whether what waits may stay, after all complete messages were taken.
    fn check(&self) -> Result<(), usize> {
        let waiting = self.buf.len() - self.start;
        let promising = !self.broken && self.payload.is_some();
        let limit = if promising {
            self.message_bytes
        } else {
            STREAM_GARBAGE_BYTES
        };
        // A string may announce more than we would ever take.
        let needed = self
            .payload
            .map_or(0, |payload| payload.saturating_add(self.framer.needed()));
        let hopeless = promising && needed > self.message_bytes.max(STREAM_REQUEST_BYTES);
        if waiting > limit || hopeless {
            Err(waiting)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{reply::Reply, request::Request, serve::Handler};

    struct Pong;

    impl Handler for Pong {
        fn handle(&self, _: &Request, _: &Source) -> Reply {
            Reply::pong()
        }
    }

    fn connect(server: &TcpServer) -> TcpStream {
        let stream = TcpStream::connect(server.local_addr()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        stream
    }

    fn read(stream: &mut TcpStream, len: usize) -> String {
        let mut buf = vec![0; len];
        stream.read_exact(&mut buf).unwrap();
        String::from_utf8(buf).unwrap()
    }

    fn start() -> TcpServer {
        let options = TcpOptions {
            connections: 2,
            ..TcpOptions::default()
        };
        let shared = Arc::new(Shared::new(Arc::new(Pong)));
        TcpServer::start("127.0.0.1:0".parse().unwrap(), options, shared).unwrap()
    }

    #[test]
    fn pipelined_and_split_messages() {
        let server = start();
        let mut stream = connect(&server);
        stream
            .write_all(b"a d7:command4:pingeb d7:command4:pingec d7:comm")
            .unwrap();
        assert_eq!(
            read(&mut stream, 36),
            "a d6:result4:pongeb d6:result4:ponge"
        );
        stream.write_all(b"and4:pinge").unwrap();
        assert_eq!(read(&mut stream, 18), "c d6:result4:ponge");
        // Longer than 1024 bytes and in two parts.
        let sdp = "x".repeat(3_000);
        stream
            .write_all(format!("d d3:sdp3000:{}", &sdp[..2_000]).as_bytes())
            .unwrap();
        stream
            .write_all(format!("{}7:command4:pinge", &sdp[2_000..]).as_bytes())
            .unwrap();
        assert_eq!(read(&mut stream, 18), "d d6:result4:ponge");
        server.stop();
        assert_eq!(
            stream.read(&mut [0; 9]).unwrap(),
            0,
            "closed with the listener"
        );
    }

    #[test]
    fn what_is_no_message_is_closed_beyond_1024_bytes() {
        let server = start();
        for garbage in [&b"c {\"command\":\"ping\"}"[..], b"nospace", b"c dX"] {
            let mut stream = connect(&server);
            stream.write_all(garbage).unwrap();
            stream.write_all(&b"y".repeat(1_100)).unwrap();
            // Closed with bytes unread is a reset; both count.
            assert!(matches!(stream.read(&mut [0; 9]), Ok(0) | Err(_)));
        }
    }

    #[test]
    fn connections_are_bounded() {
        let server = start();
        let mut open = [connect(&server), connect(&server)];
        for stream in &mut open {
            stream.write_all(b"a d7:command4:pinge").unwrap();
            read(stream, 18);
        }
        assert!(matches!(connect(&server).read(&mut [0; 9]), Ok(0) | Err(_)));
    }

    #[test]
    fn the_splitter_limits_what_it_keeps() {
        let mut splitter = Splitter::new(2_000);
        splitter.extend(b"c d3:sdp999999999:");
        assert!(splitter.next_message().is_none());
        assert!(splitter.check().is_err(), "announced too much");
        let mut splitter = Splitter::new(2_000);
        splitter.extend(&[&b"c d3:sdp5000:"[..], &[b'x'; 1_500]].concat());
        assert!(splitter.next_message().is_none());
        assert!(splitter.check().is_ok());
        splitter.extend(&[b'x'; 1_000]);
        assert!(splitter.check().is_err());
    }
}
