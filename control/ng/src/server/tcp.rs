//! The TCP listener: a stream of `COOKIE SP BENCODE` without separators, replies alike.
//!
//! Only bencode ends by itself, so JSON never completes here. Between replies the engine may tell
//! every client something unasked, see [`Broadcaster`].

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{
    STOP_CHECK,
    broadcast::{Broadcaster, Subscription},
    canonical, listen, now,
    places::{Bounds, Place, Places},
    splitter::Splitter,
};
use crate::{
    limits::{
        STREAM_CONNECTIONS, STREAM_CONNECTIONS_PER_SOURCE, STREAM_REQUEST_BYTES, STREAM_SILENCE,
    },
    serve::Shared,
    source::{Source, Transport},
};

/// A peer that does not read its replies for this long is disconnected.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct TcpOptions {
    /// Open connections. For one more, the source with most of them loses the one that is silent
    /// for longest.
    pub connections: usize,
    /// Open connections of one source address. For one more, its own that is silent for longest
    /// is closed.
    pub connections_per_source: usize,
    /// One whose last request is younger is not closed for another, unless its source has more
    /// than its share: the new one is.
    pub silence: Duration,
    /// Bytes of one message. The reference closes a connection on which more than 1024 bytes of
    /// an incomplete message wait, which breaks any offer split over two segments; we wait for
    /// as much as a request may have as long as it looks like one. Set 1024 for its behaviour.
    pub message_bytes: usize,
    /// Longest time from the first byte of a message to its last.
    pub message_timeout: Duration,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            connections: STREAM_CONNECTIONS,
            connections_per_source: STREAM_CONNECTIONS_PER_SOURCE,
            silence: STREAM_SILENCE,
            message_bytes: STREAM_REQUEST_BYTES,
            message_timeout: Duration::from_secs(10),
        }
    }
}

/// A running listener. Dropped, it stops.
#[derive(Debug)]
pub struct TcpServer {
    local: SocketAddr,
    stop: Arc<AtomicBool>,
    broadcaster: Broadcaster,
    acceptor: Option<JoinHandle<()>>,
}

impl TcpServer {
    /// Binds `addr` and serves each connection on a thread of its own.
    ///
    /// # Errors
    /// If the socket cannot be bound or the thread not be started.
    pub fn start(addr: SocketAddr, options: TcpOptions, shared: Arc<Shared>) -> io::Result<Self> {
        let socket = listen(addr)?;
        // Linux applies the receive timeout to accept as well.
        socket.set_read_timeout(Some(STOP_CHECK))?;
        let listener = TcpListener::from(socket);
        let local = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let broadcaster = Broadcaster::default();
        let acceptor = Acceptor {
            listener,
            options,
            shared,
            stop: Arc::clone(&stop),
            broadcaster: broadcaster.clone(),
        };
        let acceptor = thread::Builder::new()
            .name("ng-tcp".to_owned())
            .spawn(move || acceptor.run())?;
        Ok(Self {
            local,
            stop,
            broadcaster,
            acceptor: Some(acceptor),
        })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sends messages to all clients of this listener.
    pub fn broadcaster(&self) -> Broadcaster {
        self.broadcaster.clone()
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

struct Acceptor {
    listener: TcpListener,
    options: TcpOptions,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    broadcaster: Broadcaster,
}

impl Acceptor {
    fn run(self) {
        let mut places = Places::new(Bounds {
            connections: self.options.connections,
            per_source: self.options.connections_per_source,
            silence: self.options.silence,
        });
        while !self.stop.load(Ordering::Relaxed) {
            match self.listener.accept() {
                Ok((stream, peer)) => self.admit(stream, peer, &mut places),
                Err(error) if is_timeout(&error) => {}
                Err(error) => {
                    // Out of descriptors, as a rule: the next round must not spin.
                    tracing::warn!(%error, "ng accept");
                    thread::park_timeout(STOP_CHECK);
                }
            }
        }
        places.join();
    }

    /// Starts a thread for a connection that may stay.
    fn admit(&self, stream: TcpStream, peer: SocketAddr, places: &mut Places) {
        let connection = Connection::new(stream, peer, self.options);
        // It would get broadcasts even if it never sent a request.
        if !self.shared.admits(&connection.source, now()) {
            return;
        }
        let place = Arc::clone(&connection.place);
        if !places.make_room(connection.source.addr.ip(), now()) {
            let (limit, of_one) = (
                self.options.connections,
                self.options.connections_per_source,
            );
            tracing::warn!(%peer, limit, of_one, "too many ng connections, closed");
            return;
        }
        let (shared, stop) = (Arc::clone(&self.shared), Arc::clone(&self.stop));
        let broadcaster = self.broadcaster.clone();
        let serve = move || {
            if let Err(reason) = connection.serve(&shared, &broadcaster, &stop) {
                tracing::info!(%peer, "ng connection closed: {reason}");
            }
        };
        let spawned = thread::Builder::new()
            .name("ng-tcp-conn".to_owned())
            .spawn(serve);
        match spawned {
            Ok(thread) => places.hold(&place, thread),
            Err(error) => tracing::warn!(%error, "no thread for an ng connection"),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

struct Connection {
    place: Arc<Place>,
    source: Source,
    splitter: Splitter,
    message_timeout: Duration,
}

/// Reasons for closing a connection from this side.
#[derive(Debug, thiserror::Error)]
enum CloseReason {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0} bytes wait that are no message, or too long a one")]
    Unparsed(usize),
    #[error("a message was not complete in time")]
    TooSlow,
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
            place: Place::new(stream, source.addr.ip(), now()),
            source,
            splitter: Splitter::new(options.message_bytes),
            message_timeout: options.message_timeout,
        }
    }

    fn serve(
        mut self,
        shared: &Shared,
        broadcaster: &Broadcaster,
        stop: &AtomicBool,
    ) -> Result<(), CloseReason> {
        let place = Arc::clone(&self.place);
        let mut stream = place.stream();
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STOP_CHECK))?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let subscription = broadcaster.subscribe()?;
        let mut chunk = vec![0; 16 * 1024];
        // Since when an incomplete message waits.
        let mut begun: Option<Instant> = None;
        while !stop.load(Ordering::Relaxed) {
            let ready = self.wait(&subscription)?;
            if ready.broadcast {
                for message in subscription.take() {
                    stream.write_all(&message)?;
                }
            }
            if begun.is_some_and(|at| now().duration_since(at) >= self.message_timeout) {
                return Err(CloseReason::TooSlow);
            }
            if !ready.request {
                continue;
            }
            let len = match stream.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if is_timeout(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            self.splitter.extend(chunk.get(..len).unwrap_or_default());
            while let Some(message) = self.splitter.next_message() {
                begun = None;
                place.serving();
                if let Some(reply) = shared.respond(message, &self.source, now()) {
                    stream.write_all(&reply)?;
                }
                place.served(now());
            }
            self.splitter.check().map_err(CloseReason::Unparsed)?;
            if self.splitter.is_waiting() {
                begun = begun.or_else(|| Some(now()));
            }
        }
        Ok(())
    }

    /// Waits until there is something to do, or for [`STOP_CHECK`].
    fn wait(&self, subscription: &Subscription) -> io::Result<Ready> {
        let stream = PollFd::new(self.place.stream().as_fd(), PollFlags::POLLIN);
        let wake = PollFd::new(subscription.wake_fd(), PollFlags::POLLIN);
        let mut fds = [stream, wake];
        let timeout = PollTimeout::try_from(STOP_CHECK).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [stream, wake] = fds;
        Ok(Ready {
            // A reset shows by reading, too.
            request: stream.any().unwrap_or(true),
            broadcast: wake.any().unwrap_or(true),
        })
    }
}

/// Work of a connection.
struct Ready {
    request: bool,
    broadcast: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::{Access, Rule},
        reply::Reply,
        request::Request,
        serve::Handler,
    };

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
    fn broadcasts_reach_every_client_between_replies() {
        let server = start();
        let broadcaster = server.broadcaster();
        let mut clients = [connect(&server), connect(&server)];
        for client in &mut clients {
            client.write_all(b"a d7:command4:pinge").unwrap();
            read(client, 18);
        }
        broadcaster.send(&crate::value::Dict::new().with("notify", "onDTMF"));
        for client in &mut clients {
            let message = read(client, 17 + 18);
            assert_eq!(&message[16..], " d6:notify6:onDTMFe");
            client.write_all(b"b d7:command4:pinge").unwrap();
            assert_eq!(read(client, 18), "b d6:result4:ponge");
        }
        assert_eq!(broadcaster.dropped(), 0);
    }

    #[test]
    fn a_client_that_reads_nothing_does_not_hold_up_the_broadcaster() {
        let server = start();
        let broadcaster = server.broadcaster();
        let mut client = connect(&server);
        client.write_all(b"a d7:command4:pinge").unwrap();
        read(&mut client, 18);
        let dict = crate::value::Dict::new().with("x", "y".repeat(100_000));
        // More than the socket buffers and the queue hold together.
        while broadcaster.dropped() == 0 {
            broadcaster.send(&dict);
        }
    }

    #[test]
    fn a_source_without_access_gets_no_broadcasts() {
        let access = Access::new(Rule::Allow(Vec::new()));
        let shared = Arc::new(Shared::new(Arc::new(Pong)).with_access(Arc::new(access)));
        let options = TcpOptions::default();
        let server = TcpServer::start("127.0.0.1:0".parse().unwrap(), options, shared).unwrap();
        assert!(matches!(connect(&server).read(&mut [0; 9]), Ok(0) | Err(_)));
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
        // Those that are in use stay.
        for stream in &mut open {
            stream.write_all(b"b d7:command4:pinge").unwrap();
            read(stream, 18);
        }
    }

    #[test]
    fn a_connection_that_is_given_up_is_closed_at_once() {
        let server = start();
        let mut stream = connect(&server);
        stream.write_all(&b"y".repeat(1_100)).unwrap();
        let closed = stream.read(&mut [0; 9]);
        let is_timeout = closed.as_ref().is_err_and(is_timeout);
        assert!(!is_timeout && !matches!(closed, Ok(1..)), "{closed:?}");
    }

    #[test]
    fn a_silent_connection_makes_room_and_one_in_use_does_not() {
        let options = TcpOptions {
            connections: 2,
            silence: Duration::from_millis(300),
            ..TcpOptions::default()
        };
        let shared = Arc::new(Shared::new(Arc::new(Pong)));
        let server = TcpServer::start("127.0.0.1:0".parse().unwrap(), options, shared).unwrap();
        let mut open = [connect(&server), connect(&server)];
        let ping = |stream: &mut TcpStream| {
            stream.write_all(b"a d7:command4:pinge").unwrap();
            read(stream, 18)
        };
        open.iter_mut().for_each(|stream| drop(ping(stream)));
        thread::park_timeout(Duration::from_millis(400));
        ping(&mut open[0]);
        let mut third = connect(&server);
        assert_eq!(ping(&mut third), "a d6:result4:ponge");
        assert_eq!(ping(&mut open[0]), "a d6:result4:ponge");
        assert_eq!(open[1].read(&mut [0; 9]).unwrap(), 0, "the silent one");
    }
}
