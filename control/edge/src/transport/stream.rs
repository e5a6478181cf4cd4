//! The tasks of streams: accept, connect, shake hands, read, write, and close in time.
//!
//! A listener has one task, a connection one. What a slow or silent peer can cost is bounded by
//! [`Patience`] on the way in and by the write queue on the way out.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::rustls::pki_types::ServerName;

use super::config::StreamLimits;
use super::connection::{Connection, Form, Origin, Queued};
use super::framing::{Framed, Framing, FramingError};
use super::limits::{
    ACCEPT_REST, BACKLOG, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, LINGER, READ_BYTES, UNACKNOWLEDGED,
};
use super::shared::{Shared, StreamListener};
use super::stats::{CloseReason, RefuseReason, TransportStats};
use super::{Arrived, Flow, clock, tls, ws};

/// Opens a listening socket; IPv6 sockets take IPv6 only, so that addresses have one form.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        let socket = TcpSocket::new_v6()?;
        SockRef::from(&socket).set_only_v6(true)?;
        socket
    };
    // Connections of before a restart that linger do not hold the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until the transports stop.
pub(super) async fn accept(shared: Arc<Shared>, index: u16, listener: TcpListener) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                shared.stats.refuse(RefuseReason::System);
                if !is_of_the_connection(&error) {
                    tracing::warn!(%error, "cannot accept SIP connections");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
                continue;
            }
        };
        if !shared.shards.admits(peer.ip(), &shared.stats) {
            continue;
        }
        let Some(place) = Place::take(&shared, peer) else {
            continue;
        };
        TransportStats::add(&shared.stats.accepted);
        let shared = shared.clone();
        tokio::spawn(async move {
            take(shared, index, stream, peer).await;
            drop(place);
        });
    }
}

/// The peer was gone before its connection was taken.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// The right of an address to one connection, given back on drop.
struct Place {
    shared: Arc<Shared>,
    peer: SocketAddr,
}

impl Place {
    fn take(shared: &Arc<Shared>, peer: SocketAddr) -> Option<Self> {
        let limits = &shared.limits;
        if shared.stats.connections.load(Ordering::Relaxed) >= limits.total as u64 {
            shared.stats.refuse(RefuseReason::Total);
            return None;
        }
        let entered = shared.addresses.lock().enter(peer.ip(), limits.per_address);
        if !entered {
            shared.stats.refuse(RefuseReason::Address);
            return None;
        }
        TransportStats::add(&shared.stats.connections);
        Some(Self {
            shared: shared.clone(),
            peer,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.addresses.lock().leave(self.peer.ip());
        self.shared
            .stats
            .connections
            .fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a connection that a peer opened.
async fn take(shared: Arc<Shared>, index: u16, stream: TcpStream, peer: SocketAddr) {
    let Some(listener) = shared.stream_listener(index) else {
        return;
    };
    let flow = Flow {
        listener: index,
        peer,
        connection: shared.number(),
    };
    tune(&stream);
    let start = |names| {
        let limit = shared.limits.queue;
        let (connection, queue) = Connection::new(flow, listener.protocol, Origin::Peer, limit);
        connection.prove(names);
        shared.insert(connection.clone());
        (connection, queue)
    };
    let limit = shared.limits.handshake;
    // Each step has a box of its own: a connection that waits for years holds no room for its
    // handshake.
    let shaken: Result<(), CloseReason> = async {
        match listener.tls() {
            None => {
                let stream = Box::pin(upgrade(&shared, listener, stream)).await?;
                let (connection, queue) = start(Vec::new());
                Box::pin(run(&shared, listener, &connection, queue, stream)).await;
            }
            Some(tls) => {
                let accepting = Box::pin(tls.acceptor.accept(stream));
                let accepted = timeout(limit, accepting).await;
                let stream =
                    accepted
                        .map_err(|_| CloseReason::HandshakeTime)?
                        .map_err(|error| {
                            tracing::debug!(%peer, %error, "TLS failed");
                            CloseReason::Handshake
                        })?;
                let names = stream.get_ref().1.peer_certificates();
                let names = names.and_then(<[_]>::first).map(tls::identities);
                let stream = Box::pin(upgrade(&shared, listener, stream)).await?;
                let (connection, queue) = start(names.unwrap_or_default());
                Box::pin(run(&shared, listener, &connection, queue, stream)).await;
            }
        }
        Ok(())
    }
    .await;
    if let Err(reason) = shaken {
        shared.stats.close(reason);
    }
}

async fn upgrade<S>(shared: &Shared, listener: &StreamListener, stream: S) -> Result<S, CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(config) = &listener.ws else {
        return Ok(stream);
    };
    timeout(shared.limits.handshake, ws::upgrade(stream, config))
        .await
        .map_err(|_| CloseReason::HandshakeTime)?
        .map_err(|_| CloseReason::Handshake)
}

/// Serves a connection that we open: what is queued for it meanwhile leaves once it is there, or
/// comes back as unsendable.
pub(super) async fn open(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    queue: UnboundedReceiver<Queued>,
) {
    let flow = connection.flow;
    let Some(listener) = shared.stream_listener(flow.listener) else {
        return;
    };
    let connected = tokio::select! {
        connected = timeout(shared.limits.connect, connect(listener.local, flow.peer)) => {
            connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
        _ = connection.closing() => Err(io::ErrorKind::ConnectionAborted.into()),
    };
    shared.connecting.fetch_sub(1, Ordering::Relaxed);
    let stream = match connected {
        Ok(stream) => stream,
        Err(error) => return fail(&shared, &connection, queue, CloseReason::Connect, &error).await,
    };
    let Some(tls) = listener.tls() else {
        TransportStats::add(&shared.stats.opened);
        return Box::pin(run(&shared, listener, &connection, queue, stream)).await;
    };
    let shaken = async {
        let name = server_name(&connection)?;
        let connecting = Box::pin(tls.connector.connect(name, stream));
        let limit = shared.limits.handshake;
        let stream = timeout(limit, connecting).await;
        stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
    .await;
    match shaken {
        Ok(stream) => {
            if tls.verifies
                && let Some(certificate) = stream.get_ref().1.peer_certificates()
            {
                let names = certificate.first().map(tls::identities);
                connection.prove(names.unwrap_or_default());
            }
            TransportStats::add(&shared.stats.opened);
            Box::pin(run(&shared, listener, &connection, queue, stream)).await;
        }
        Err(error) => {
            tracing::debug!(peer = %flow.peer, %error, "TLS failed");
            let reason = if error.kind() == io::ErrorKind::TimedOut {
                CloseReason::HandshakeTime
            } else {
                CloseReason::Handshake
            };
            fail(&shared, &connection, queue, reason, &error).await;
        }
    }
}

fn server_name(connection: &Connection) -> io::Result<ServerName<'static>> {
    match &connection.origin {
        Origin::Us {
            server_name: Some(name),
        } => ServerName::try_from(name.to_string())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error)),
        _ => Ok(ServerName::IpAddress(connection.flow.peer.ip().into())),
    }
}

async fn connect(local: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if !local.ip().is_unspecified() {
        socket.bind(SocketAddr::new(local.ip(), 0))?;
    }
    let stream = socket.connect(peer).await?;
    tune(&stream);
    Ok(stream)
}

/// Small messages leave at once, and a peer that vanished is noticed. Best effort: a connection
/// without it works.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    let ms = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    let _ = setsockopt(stream, sockopt::TcpUserTimeout, &ms);
}

/// Reads and writes until the connection ends, and tells what became of it.
async fn run<S>(
    shared: &Shared,
    listener: &StreamListener,
    connection: &Connection,
    mut queue: UnboundedReceiver<Queued>,
    stream: S,
) where
    S: AsyncRead + AsyncWrite,
{
    let (reader, mut writer) = tokio::io::split(stream);
    let mut leaving = None;
    let reason = tokio::select! {
        reason = read(shared, listener, connection, reader) => reason,
        reason = write(shared, listener, connection, &mut queue, &mut leaving, &mut writer) => reason,
        reason = closing(connection) => reason,
    };
    // Nobody finds it from here on, so that nothing more is queued.
    shared.table.write().remove(connection.flow);
    let error = io::ErrorKind::ConnectionReset;
    return_queued(shared, connection, queue, leaving, error).await;
    shared.stats.close(reason);
    tracing::debug!(peer = %connection.flow.peer, reason = reason.as_str(), "connection closed");
    let closed = Arrived::Closed {
        flow: connection.flow,
    };
    shared.shards.tell_all(&closed).await;
    // The peer may not read any more.
    let _ = timeout(LINGER, writer.shutdown()).await;
}

/// Waits until the connection is to be closed. Who asks for that may have sent a refusal before: it
/// leaves first, if the peer reads.
async fn closing(connection: &Connection) -> CloseReason {
    let reason = connection.closing().await;
    if reason == CloseReason::Asked {
        let _ = timeout(LINGER, connection.drained()).await;
    }
    reason
}

/// Ends a connection that never was one.
async fn fail(
    shared: &Shared,
    connection: &Connection,
    queue: UnboundedReceiver<Queued>,
    reason: CloseReason,
    error: &io::Error,
) {
    shared.table.write().remove(connection.flow);
    shared.stats.close(reason);
    return_queued(shared, connection, queue, None, error.kind()).await;
}

/// Tells the shards of messages that did not leave.
async fn return_queued(
    shared: &Shared,
    connection: &Connection,
    mut queue: UnboundedReceiver<Queued>,
    leaving: Option<Queued>,
    error: io::ErrorKind,
) {
    queue.close();
    let mut next = leaving;
    loop {
        let Some(queued) = next.or_else(|| queue.try_recv().ok()) else {
            return;
        };
        next = None;
        if queued.token == 0 {
            continue;
        }
        TransportStats::add(&shared.stats.unsendable);
        let unsendable = Arrived::Unsendable {
            to: connection.flow,
            error,
            token: queued.token,
        };
        let shard = usize::from(queued.shard);
        shared.shards.tell(shard, unsendable).await;
    }
}

async fn read<S: AsyncRead>(
    shared: &Shared,
    listener: &StreamListener,
    connection: &Connection,
    mut reader: ReadHalf<S>,
) -> CloseReason {
    let mut framing = if listener.ws.is_some() {
        Framing::web_socket(shared.messages)
    } else {
        Framing::sip(shared.messages, connection.flow.peer)
    };
    let mut patience = Patience::new(&shared.limits, clock(), &connection.origin);
    loop {
        let until = patience.until(clock(), connection.last_active(), connection.is_used());
        let until = match until {
            Ok(until) => until,
            Err(reason) => return reason,
        };
        match timeout_at(until.into(), receive(&mut reader, &mut framing)).await {
            // Patience says next whether that was it.
            Err(_) => continue,
            Ok(Ok(0)) => return CloseReason::Peer,
            Ok(Ok(_)) => connection.on_received(),
            Ok(Err(_)) => return CloseReason::Io,
        }
        let mut whole = false;
        loop {
            match framing.next() {
                Ok(Some(framed)) => {
                    whole |= matches!(framed, Framed::Message(_));
                    if let Err(reason) = deliver(shared, connection, framed).await {
                        return reason;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(peer = %connection.flow.peer, %error, "stream broken");
                    if let FramingError::Sip {
                        response: Some(response),
                        ..
                    } = error
                    {
                        // It leaves, if the peer reads.
                        let _ = connection.enqueue(raw(response));
                        let _ = timeout(LINGER, connection.drained()).await;
                    }
                    return CloseReason::Framing;
                }
            }
        }
        patience.on_read(clock(), whole, framing.is_incomplete());
    }
}

/// Reads what is there. The bytes lie on the stack only while there are some.
async fn receive<S: AsyncRead>(
    reader: &mut ReadHalf<S>,
    framing: &mut Framing,
) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        let mut bytes = [0; READ_BYTES];
        let mut buffer = tokio::io::ReadBuf::new(&mut bytes);
        let polled = std::pin::Pin::new(&mut *reader).poll_read(cx, &mut buffer);
        polled.map_ok(|()| {
            framing.push(buffer.filled());
            buffer.filled().len()
        })
    })
    .await
}

async fn deliver(
    shared: &Shared,
    connection: &Connection,
    framed: Framed,
) -> Result<(), CloseReason> {
    let flow = connection.flow;
    let answer = match framed {
        Framed::Message(bytes) => {
            TransportStats::add(&shared.stats.messages);
            shared.shards.message(flow, bytes).await;
            return Ok(());
        }
        Framed::Close(answer) => {
            // Its answer leaves, if the peer still reads.
            let _ = connection.enqueue(raw(answer));
            let _ = timeout(LINGER, connection.drained()).await;
            return Err(CloseReason::Peer);
        }
        Framed::Ping(answer) => Some(answer),
        Framed::Pong => None,
    };
    TransportStats::add(&shared.stats.keepalives);
    if let Some(answer) = answer {
        // A peer that pings and does not read fills its queue, and is closed.
        let _ = connection.enqueue(raw(answer));
    }
    // A connection lives as long as it is held: no shard has anything to learn, and none is woken by
    // whoever pings as fast as it can.
    Ok(())
}

fn raw(bytes: crate::transaction::Packet) -> Queued {
    Queued {
        bytes,
        form: Form::Raw,
        shard: 0,
        token: 0,
    }
}

/// Writes what is queued. `leaving` holds the message that is on its way when this is given up.
async fn write<S: AsyncWrite>(
    shared: &Shared,
    listener: &StreamListener,
    connection: &Connection,
    queue: &mut UnboundedReceiver<Queued>,
    leaving: &mut Option<Queued>,
    writer: &mut WriteHalf<S>,
) -> CloseReason {
    while let Some(queued) = queue.recv().await {
        let queued = leaving.insert(queued);
        let wraps = listener.ws.is_some() && queued.form == Form::Message;
        let wrapped = Framing::wrap(wraps, &queued.bytes);
        let bytes = wrapped.as_ref().unwrap_or(&queued.bytes);
        let written = async {
            writer.write_all(bytes).await?;
            writer.flush().await
        };
        match timeout(shared.limits.write, written).await {
            Err(_) => return CloseReason::Stalled,
            Ok(Err(_)) => return CloseReason::Io,
            Ok(Ok(())) => {}
        }
        connection.dequeued(queued);
        connection.on_sent();
        *leaving = None;
    }
    // The connection holds the other end, so that this is not reached while it lives.
    CloseReason::Asked
}

/// How long a connection may do nothing useful. Pure: the clock is passed in.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    limits: &'a StreamLimits,
    /// Until the first whole message; `None` once it came, and for connections that we opened.
    first: Option<Instant>,
    /// Until the message that has started is whole.
    whole: Option<Instant>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(limits: &'a StreamLimits, now: Instant, origin: &Origin) -> Self {
        Self {
            limits,
            first: (*origin == Origin::Peer).then(|| now + limits.first_message),
            whole: None,
        }
    }

    /// Bytes came: with them `whole` messages or none, and a message that is not complete or none.
    pub(super) fn on_read(&mut self, now: Instant, whole: bool, is_incomplete: bool) {
        if whole {
            self.first = None;
            self.whole = None;
        }
        if !is_incomplete {
            self.whole = None;
        } else if self.whole.is_none() {
            // Counted from the first byte: one that comes now and then does not help.
            self.whole = Some(now + self.limits.message);
        }
    }

    /// When to ask again, at the latest.
    ///
    /// # Errors
    ///
    /// Why the connection is to be closed now.
    pub(super) fn until(
        &self,
        now: Instant,
        last_active: Instant,
        is_used: bool,
    ) -> Result<Instant, CloseReason> {
        let idle_from = if is_used { now } else { last_active };
        let idle = (idle_from + self.limits.idle, CloseReason::Idle);
        let first = self.first.map(|at| (at, CloseReason::FirstMessage));
        let whole = self.whole.map(|at| (at, CloseReason::Incomplete));
        let soonest = [first, whole].into_iter().flatten();
        let (at, reason) = soonest.fold(idle, |a, b| if b.0 < a.0 { b } else { a });
        if at <= now { Err(reason) } else { Ok(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{Config, ListenerConfig, ListenerKind};
    use super::super::{Shards, Transports};
    use super::*;

    /// A hundred thousand phones have 0.6 GB (spec §23): what waits with each of them is small, and
    /// what is needed for a handshake alone is gone after it.
    #[tokio::test]
    async fn a_waiting_connection_takes_little_memory() {
        let config = Config {
            listeners: vec![ListenerConfig {
                bind: "127.0.0.1:0".parse().unwrap(),
                kind: ListenerKind::Tcp,
            }],
            ..Config::default()
        };
        let (shards, _inboxes) = Shards::new(1, |_| 0);
        let transports = Transports::open(&config, shards).unwrap();
        let shared = transports.sender(0).shared.clone();
        let listener = shared.stream_listener(0).unwrap();
        let stream = || TcpStream::connect(listener.local);
        let flow = Flow {
            listener: 0,
            peer: listener.local,
            connection: 1,
        };
        let (connection, queue) = Connection::new(flow, listener.protocol, Origin::Peer, 1);
        let taking = take(shared.clone(), 0, stream().await.unwrap(), flow.peer);
        let running = run(
            &shared,
            listener,
            &connection,
            queue,
            stream().await.unwrap(),
        );
        let both = size_of_val(&taking) + size_of_val(&running);
        assert!(both < 4096, "{both}");
    }
}
