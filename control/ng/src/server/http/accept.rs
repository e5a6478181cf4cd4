//! Takes connections and drives each to its end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::{
    super::{STOP_CHECK, canonical, now},
    Service,
    client::Client,
    refusal::Refusals,
    timed::Timed,
};
use crate::{
    limits::HTTP_HEADER_BYTES,
    source::{Source, Transport},
};

/// Time that connections have to end when the listener stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// Accepts connections until the service is stopped.
pub(super) async fn run(listener: std::net::TcpListener, service: Arc<Service>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let refusals = Refusals::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = service.stopped() => break,
        };
        match accepted {
            Ok((stream, peer)) => admit(&service, &refusals, stream, peer),
            Err(error) => {
                // Out of descriptors, as a rule: the next round must not spin.
                tracing::warn!(%error, "HTTP accept");
                sleep(STOP_CHECK).await;
            }
        }
    }
    drop(listener);
    let _ = timeout(FAREWELL, service.slots.emptied()).await;
    Ok(())
}

/// Starts a task for a connection that may stay.
fn admit(service: &Arc<Service>, refusals: &Refusals, stream: TcpStream, peer: SocketAddr) {
    let tls = service.tls();
    let source = Source {
        addr: canonical(peer),
        local: stream.local_addr().ok().map(canonical),
        transport: if tls.is_some() {
            Transport::Https
        } else {
            Transport::Http
        },
    };
    if !service.shared.admits_by(&service.access, &source, now()) {
        // A handshake is more than a stranger gets.
        if tls.is_none() {
            refusals.refuse(stream);
        }
        return;
    }
    let Some(slot) = service.slots.take(source.addr.ip()) else {
        service
            .shared
            .drop_message(&source, "too many HTTP connections", now());
        return;
    };
    let slot = Arc::new(slot);
    // Responses are small; a peer that is gone shows at the next read.
    let _ = stream.set_nodelay(true);
    let client = Arc::new(Client::new(Arc::clone(service), source, Arc::clone(&slot)));
    let options = &service.options;
    let handshake_timeout = options.header_timeout;
    let stream = Timed::new(stream, slot, options.idle_timeout, options.write_timeout);
    tokio::spawn(async move {
        let Some(tls) = tls else {
            return serve(stream, client).await;
        };
        match timeout(handshake_timeout, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => serve(stream, client).await,
            Ok(Err(error)) => tracing::info!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::info!(%peer, "TLS handshake timed out"),
        }
    });
}

/// Serves the requests of one connection.
async fn serve<S>(stream: S, client: Arc<Client>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let peer = client.source.addr;
    let service = Arc::clone(&client.service);
    let respond = service_fn(move |request| {
        let client = Arc::clone(&client);
        async move { Ok::<_, std::convert::Infallible>(client.respond(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(service.options.header_timeout)
        .max_buf_size(HTTP_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), respond)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = service.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "HTTP connection ended");
    }
}
