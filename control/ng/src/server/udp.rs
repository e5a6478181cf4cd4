//! The UDP listener.
//!
//! A reply leaves from exactly the address that its request arrived at: proxies use connected
//! sockets, whose kernel drops replies from other addresses. On a wildcard bind, packet info names
//! the address.

mod datagram;

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, setsockopt, sockopt},
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{
    STOP_CHECK,
    lanes::{Lanes, Turn},
    now,
};
use crate::{
    cookie::ReplyBytes,
    limits::{QUEUED_REQUESTS, SOCKET_QUEUE_BYTES, UDP_REQUEST_BYTES},
    serve::Shared,
};
use datagram::{Envelope, receive};

/// Fewest threads: one executing, one waiting for its reply (a duplicate), one for `ping`.
const MIN_THREADS: usize = 3;

/// A running listener. Dropped, it stops.
#[derive(Debug)]
pub struct UdpServer {
    local: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    tos: ReplyTos,
}

/// The type of service of a listener's replies, which can be changed while it runs.
#[derive(Clone, Debug)]
pub struct ReplyTos(Weak<UdpSocket>);

impl ReplyTos {
    /// Marks replies with this TOS or traffic class from now on. A listener that has stopped has
    /// none.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn set(&self, tos: u8) -> io::Result<()> {
        let Some(socket) = self.0.upgrade() else {
            return Ok(());
        };
        let is_v6 = socket.local_addr()?.is_ipv6();
        let socket = SockRef::from(socket.as_ref());
        match is_v6 {
            true => socket.set_tclass_v6(tos.into()),
            false => socket.set_tos_v4(tos.into()),
        }
    }
}

impl UdpServer {
    /// Binds `addr` and serves it with `threads` threads, at least three. An IPv6 wildcard does
    /// not take IPv4: bind both.
    ///
    /// # Errors
    /// If the socket cannot be bound or a thread not be started.
    pub fn start(addr: SocketAddr, threads: usize, shared: Arc<Shared>) -> io::Result<Self> {
        let socket = bind(addr)?;
        let local = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let socket = Arc::new(socket);
        let mut server = Self {
            local,
            stop: Arc::clone(&stop),
            threads: Vec::new(),
            tos: ReplyTos(Arc::downgrade(&socket)),
        };
        let executing = threads.max(MIN_THREADS) - 1;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let lanes = Arc::new(Lanes::new(cores.min(executing)));
        for i in 0..=executing {
            let listener = Listener {
                socket: Arc::clone(&socket),
                local,
                lanes: Arc::clone(&lanes),
                shared: Arc::clone(&shared),
                stop: Arc::clone(&stop),
            };
            let is_guard = i == executing;
            let worker = thread::Builder::new().name(format!("ng-udp-{i}"));
            let worker = worker.spawn(move || match is_guard {
                true => listener.guard(executing),
                false => listener.execute(),
            })?;
            server.threads.push(worker);
        }
        Ok(server)
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The type of service of its replies.
    pub fn tos(&self) -> ReplyTos {
        self.tos.clone()
    }

    /// Stops and waits for requests in progress; takes up to a quarter second.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic was logged by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Replies of a socket that is bound to one address leave from there by themselves.
    match addr.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        IpAddr::V6(v6) if v6.is_unspecified() => {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        _ => {}
    }
    // Bursts of offers queue here while all threads work. Less is fine, where the rights for more
    // than the system's `net.core.rmem_max` are missing.
    if setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_QUEUE_BYTES).is_err() {
        let _ = socket.set_recv_buffer_size(SOCKET_QUEUE_BYTES);
    }
    socket.set_read_timeout(Some(STOP_CHECK))?;
    // A way out that is stuck must not hold the threads; the proxy asks again, and is answered from
    // the cache.
    socket.set_write_timeout(Some(STOP_CHECK))?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// State of each thread of a listener.
struct Listener {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    lanes: Arc<Lanes<Job>>,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
}

impl Listener {
    /// Takes requests from the socket and executes them, a batch at a time.
    fn execute(&self) {
        let mut room = Room::new();
        let mut full_batches = 0;
        while !self.stop.load(Ordering::Relaxed) {
            if !self.lanes.await_call() {
                continue;
            }
            while !self.stop.load(Ordering::Relaxed) {
                self.take_batch(&mut room);
                if room.taken.is_empty() && !self.lanes.has_put_off() {
                    // No request came in all that time, so the guard may sleep.
                    continue;
                }
                let is_full = room.is_full();
                full_batches = if is_full { full_batches + 1 } else { 0 };
                if full_batches > CROWDED_BATCHES {
                    self.sort_crowd(&mut room);
                }
                self.lanes.leave(is_full);
                self.serve(&mut room);
                if !self.lanes.attend_again() {
                    break;
                }
            }
        }
    }

    /// Takes the datagrams that wait at the socket, up to a batch; else the next one. None if none
    /// comes in time.
    fn take_batch(&self, room: &mut Room) {
        room.taken.clear();
        for buffer in &mut room.buffers {
            // What is put off does not wait for the next datagram.
            let flags = match room.taken.is_empty() && !self.lanes.has_put_off() {
                true => MsgFlags::empty(),
                false => MsgFlags::MSG_DONTWAIT,
            };
            let Some((envelope, message)) = self.take(buffer, flags) else {
                break;
            };
            let turn = match Turn::of(message) {
                // Replies to others must not wait with it.
                Turn::InOrder if self.shared.is_in_progress(message, &envelope.source()) => {
                    Turn::Last
                }
                turn => turn,
            };
            room.taken.push((envelope, turn, message.len()));
        }
    }

    /// Empties the socket into the queue that is fair between senders: where more comes than is
    /// executed, the socket's own queue is full, and has room for who sends most. The batch that was
    /// taken goes the same way.
    fn sort_crowd(&self, room: &mut Room) {
        for (&(envelope, _, length), buffer) in room.taken.iter().zip(&room.buffers) {
            if let Some(message) = buffer.get(..length) {
                self.put_off(envelope, message);
            }
        }
        room.taken.clear();
        let Some(buffer) = room.buffers.first_mut() else {
            return;
        };
        for _ in 0..SORTED_REQUESTS {
            let Some((envelope, message)) = self.take(buffer, MsgFlags::MSG_DONTWAIT) else {
                return;
            };
            self.put_off(envelope, message);
        }
    }

    /// Puts a request off, if its sender may ask at all.
    fn put_off(&self, envelope: Envelope, message: &[u8]) {
        let source = envelope.source();
        if !self.shared.admits(&source, now()) {
            return;
        }
        let job = Job {
            envelope,
            message: Box::from(message),
        };
        if let Some((_, job)) = self.lanes.put_off(source.addr, job) {
            let source = job.envelope.source();
            self.shared
                .drop_message(&source, "too many requests wait", now());
        }
    }

    /// Executes deferred jobs, as many as a batch has, then a batch. Replies leave together, so that
    /// a proxy that waits for several is woken once.
    fn serve(&self, room: &mut Room) {
        let deferred = std::iter::from_fn(|| self.lanes.pop()).take(BATCH);
        for Job { envelope, message } in deferred {
            self.respond(envelope, &message);
        }
        let of = |turn| {
            let taken = room.taken.iter().zip(&room.buffers);
            taken.filter_map(move |(&(envelope, its_turn, length), buffer)| {
                let message = buffer.get(..length)?;
                (its_turn == turn).then_some((envelope, message))
            })
        };
        for (envelope, message) in of(Turn::First) {
            self.respond(envelope, message);
        }
        for (envelope, message) in of(Turn::InOrder) {
            if let Some(reply) = self.shared.respond(message, &envelope.source(), now()) {
                room.replies.push((envelope, reply));
            }
        }
        for (envelope, reply) in room.replies.drain(..) {
            envelope.send(&self.socket, &reply);
        }
        for (envelope, message) in of(Turn::Last) {
            self.respond(envelope, message);
        }
    }

    /// Answers pings while all others are busy.
    fn guard(&self, executing: usize) {
        let mut buf = vec![0; UDP_REQUEST_BYTES];
        while !self.stop.load(Ordering::Relaxed) {
            let look = || {
                for _ in 0..QUEUED_REQUESTS {
                    let taken = self.take(&mut buf, MsgFlags::MSG_DONTWAIT);
                    let Some((envelope, message)) = taken else {
                        break;
                    };
                    match Turn::of(message) {
                        Turn::First => self.respond(envelope, message),
                        _ => self.put_off(envelope, message),
                    }
                }
            };
            let execute = |job: Job| self.respond(job.envelope, &job.message);
            let is_over = || self.stop.load(Ordering::Relaxed);
            self.lanes.guard(executing, is_over, look, execute);
        }
    }

    fn respond(&self, envelope: Envelope, message: &[u8]) {
        if let Some(reply) = self.shared.respond(message, &envelope.source(), now()) {
            envelope.send(&self.socket, &reply);
        }
    }

    /// A datagram, if one comes in time.
    fn take<'a>(&self, buf: &'a mut [u8], flags: MsgFlags) -> Option<(Envelope, &'a [u8])> {
        let (len, envelope) = match receive(&self.socket, self.local, buf, flags) {
            Ok(received) => received?,
            Err(Errno::EAGAIN | Errno::EINTR) => return None,
            // Errors of earlier sends (an ICMP unreachable) come up here and mean nothing.
            Err(error) => {
                tracing::debug!(%error, "ng receive");
                return None;
            }
        };
        Some((envelope, buf.get(..len).unwrap_or_default()))
    }
}

/// Requests that a thread executes before it looks at the socket again, at most.
const BATCH: usize = 16;

/// Full batches in a row, after which the socket's queue counts as crowded: a burst of a busy proxy
/// is over before.
const CROWDED_BATCHES: usize = 8;

/// Datagrams that are taken from a crowded socket at a time: two queues of the usual length.
const SORTED_REQUESTS: usize = 2 * QUEUED_REQUESTS;

/// The batch of one thread. Buffers that were never filled take no memory.
struct Room {
    buffers: Vec<Vec<u8>>,
    /// Turn and length of each message in the first buffers.
    taken: Vec<(Envelope, Turn, usize)>,
    replies: Vec<(Envelope, ReplyBytes)>,
}

impl Room {
    fn new() -> Self {
        Self {
            buffers: (0..BATCH).map(|_| vec![0; UDP_REQUEST_BYTES]).collect(),
            taken: Vec::with_capacity(BATCH),
            replies: Vec::with_capacity(BATCH),
        }
    }

    fn is_full(&self) -> bool {
        self.taken.len() == BATCH
    }
}

/// A datagram that waits for a thread.
struct Job {
    envelope: Envelope,
    message: Box<[u8]>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        reply::Reply,
        request::{Command, Request},
        serve::Handler,
        source::Source,
    };

    struct Slow;

    impl Handler for Slow {
        fn handle(&self, request: &Request, source: &Source) -> Reply {
            if request.command == Command::Delete {
                thread::park_timeout(Duration::from_millis(300));
            }
            let local = source.local.unwrap().to_string();
            Reply::ok(crate::value::Dict::new().with("local", local))
        }
    }

    fn start(addr: &str) -> UdpServer {
        start_with(addr, 1)
    }

    fn start_with(addr: &str, threads: usize) -> UdpServer {
        UdpServer::start(
            addr.parse().unwrap(),
            threads,
            Arc::new(Shared::new(Arc::new(Slow))),
        )
        .unwrap()
    }

    fn client(addr: impl std::net::ToSocketAddrs, bind: &str) -> UdpSocket {
        let socket = UdpSocket::bind(bind).unwrap();
        socket.connect(addr).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        socket
    }

    fn receive_text(socket: &UdpSocket) -> String {
        let mut buf = [0; 2_000];
        let len = socket.recv(&mut buf).unwrap();
        String::from_utf8(buf[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_wildcard_socket_replies_from_the_address_asked() {
        let server = start("0.0.0.0:0");
        let port = server.local_addr().port();
        for addr in ["127.0.0.1", "127.0.0.53"] {
            let socket = client((addr, port), "127.0.0.2:0");
            socket
                .send(format!("{addr} d7:command4:pinge").as_bytes())
                .unwrap();
            assert!(receive_text(&socket).contains(&format!("{addr}:{port}")));
        }
        server.stop();
        if let Ok(probe) = UdpSocket::bind("[::1]:0") {
            drop(probe);
            let server = start("[::]:0");
            let socket = client(("::1", server.local_addr().port()), "[::1]:0");
            socket.send(b"6 d7:command4:pinge").unwrap();
            assert!(receive_text(&socket).contains("[::1]:"));
        }
    }

    #[test]
    fn replies_have_the_type_of_service_that_is_set() {
        for addr in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(probe) = UdpSocket::bind(addr) else {
                continue;
            };
            drop(probe);
            let server = start(addr);
            let tos = server.tos();
            tos.set(184).unwrap();
            let socket = tos.0.upgrade().unwrap();
            let socket = SockRef::from(socket.as_ref());
            let set = match server.local_addr().is_ipv6() {
                true => socket.tclass_v6(),
                false => socket.tos_v4(),
            };
            assert_eq!(set.unwrap(), 184, "{addr}");
            server.stop();
            tos.set(0).unwrap();
        }
    }

    #[test]
    fn neither_way_holds_a_thread_for_long() {
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(socket.read_timeout().unwrap().unwrap() <= STOP_CHECK * 2);
        assert!(socket.write_timeout().unwrap().unwrap() <= STOP_CHECK * 2);
    }

    #[test]
    fn nobody_is_woken_while_no_requests_come() {
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let short = Some(Duration::from_millis(1));
        socket.set_read_timeout(short).unwrap();
        let listener = Listener {
            local: socket.local_addr().unwrap(),
            socket: Arc::new(socket),
            lanes: Arc::new(Lanes::new(1)),
            shared: Arc::new(Shared::new(Arc::new(Slow))),
            stop: Arc::default(),
        };
        thread::scope(|scope| {
            scope.spawn(|| listener.execute());
            thread::park_timeout(Duration::from_millis(50));
            listener.stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(listener.lanes.batches(), 0);
    }

    #[test]
    fn nobody_waits_with_the_duplicate_of_a_slow_request() {
        let server = start_with("127.0.0.1:0", 4);
        let socket = client(server.local_addr(), "127.0.0.1:0");
        let ask = |cookie: &str, command: &str| {
            let message = format!("{cookie} d7:command{}:{command}e", command.len());
            socket.send(message.as_bytes()).unwrap();
        };
        ask("slow", "delete");
        thread::park_timeout(Duration::from_millis(20));
        ask("slow", "delete");
        ask("fast", "offer");
        let order = [0; 3].map(|_| receive_text(&socket)[..4].to_owned());
        assert_eq!(order, ["fast", "slow", "slow"]);
    }

    #[test]
    fn ping_does_not_wait_for_slow_requests() {
        let server = start("127.0.0.1:0");
        let socket = client(server.local_addr(), "127.0.0.1:0");
        // One is executed, its duplicate waits for it, two more find no thread and are queued.
        for slow in ["slow", "slow", "slo2", "slo3"] {
            socket
                .send(format!("{slow} d7:command6:deletee").as_bytes())
                .unwrap();
        }
        socket.send(b"fast d7:command4:pinge").unwrap();
        let order = [0; 5].map(|_| receive_text(&socket)[..4].to_owned());
        assert_eq!(order[0], "fast");
        assert_eq!(order.iter().filter(|cookie| *cookie == "slow").count(), 2);
    }
    #[test]
    fn a_client_that_floods_does_not_lose_the_pings_of_others() {
        struct Busy;
        impl Handler for Busy {
            fn handle(&self, request: &Request, _: &Source) -> Reply {
                if request.command != Command::Ping {
                    thread::park_timeout(Duration::from_micros(100));
                }
                Reply::ok(crate::value::Dict::new())
            }
        }
        let shared = Arc::new(Shared::new(Arc::new(Busy)));
        let server = UdpServer::start("127.0.0.1:0".parse().unwrap(), 1, shared).unwrap();
        let flooding = client(server.local_addr(), "127.0.0.2:0");
        let other = client(server.local_addr(), "127.0.0.3:0");
        let patience = Some(Duration::from_millis(200));
        other.set_read_timeout(patience).unwrap();
        let is_over = AtomicBool::new(false);
        let answered = thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..2_000_000 {
                    let _ = flooding.send(format!("{number} d7:command6:deletee").as_bytes());
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            thread::park_timeout(Duration::from_millis(100));
            let mut buf = [0; 200];
            let answered = (0..20).filter(|number| {
                other
                    .send(format!("p{number} d7:command4:pinge").as_bytes())
                    .unwrap();
                other.recv(&mut buf).is_ok()
            });
            let answered = answered.count();
            is_over.store(true, Ordering::Relaxed);
            answered
        });
        // One whose queue is full for all answers none or one of them.
        assert!(answered >= 15, "{answered} of 20");
        server.stop();
    }
}
