//! The sockets of the admin interface: a Unix socket and HTTP, with the same paths (RFC 9112).
//!
//! Connections, heads and bodies are bounded, and every wait has an end. Who asks is known before
//! the body is read.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::unistd::Group;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::config::{AdminConfig, HttpAdmin, UnixSocket};
use super::desk::{Answer, Desk};
use super::order::{Order, Refusal};
use super::role::{Keys, Role, Who};
use super::stream::Content;
use super::timed::Timed;
use crate::limits::{ADMIN_BODY_BYTES, ADMIN_CONNECTIONS, ADMIN_HEAD_BYTES, ADMIN_PATIENCE};
use crate::transport::Tls;
use crate::transport::config::{
    CertificateConfig, ClientCertificates, ServerVerification, TlsConfig,
};

/// The open sockets. Nobody is answered before [`Self::serve`]; dropping it closes them.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    unix: Option<UnixListener>,
    /// The file of the Unix socket, to be removed.
    path: Option<PathBuf>,
    http: Option<(TcpListener, Option<Tls>)>,
    address: Option<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Servers {
    /// Opens the sockets, and reads who may use HTTP.
    ///
    /// # Errors
    /// Names what cannot be had.
    pub(crate) async fn open(config: &AdminConfig) -> io::Result<(Self, Keys)> {
        let mut servers = Self::default();
        let mut keys = Keys::default();
        if let Some(http) = &config.http {
            keys = Keys::load(&http.tokens).map_err(io::Error::other)?;
            let opened = open_http(http, &keys).await.map_err(|error| {
                let message = format!("admin http {}: {error}", http.bind);
                io::Error::new(error.kind(), message)
            })?;
            servers.address = Some(opened.0.local_addr()?);
            servers.http = Some(opened);
        }
        if let Some(unix) = &config.unix {
            let listener = open_unix(unix).map_err(|error| {
                let message = format!("admin socket {}: {error}", unix.path.display());
                io::Error::new(error.kind(), message)
            })?;
            servers.unix = Some(listener);
            servers.path = Some(unix.path.clone());
        }
        Ok((servers, keys))
    }

    /// The address of HTTP, with the port that the system chose.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Answers from now on.
    pub(crate) fn serve(&mut self, desk: &Arc<Desk>) {
        if let Some(listener) = self.unix.take() {
            let accepting = accept_unix(listener, desk.clone());
            self.tasks.push(tokio::spawn(accepting));
        }
        if let Some((listener, tls)) = self.http.take() {
            let accepting = accept_http(listener, tls, desk.clone());
            self.tasks.push(tokio::spawn(accepting));
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Some(path) = &self.path {
            // Whoever removed it before us meant it.
            let _ = fs::remove_file(path);
        }
    }
}

/// Binds beside the path and renames: there is no moment in which others than meant can connect.
fn open_unix(config: &UnixSocket) -> io::Result<UnixListener> {
    let path = &config.path;
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let message = "there is a file that is no socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            let message = "another process answers there";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        _ => {}
    }
    let group = match &config.group {
        None => None,
        Some(name) => match Group::from_name(name)? {
            Some(group) => Some(group.gid.as_raw()),
            None => {
                let message = format!("there is no group {name}");
                return Err(io::Error::new(io::ErrorKind::NotFound, message));
            }
        },
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = Path::new(&beside);
    // Of an earlier process with this number.
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(beside)?;
    let put = fs::set_permissions(beside, fs::Permissions::from_mode(config.mode))
        .and_then(|()| std::os::unix::fs::chown(beside, None, group))
        .and_then(|()| fs::rename(beside, path));
    put.inspect_err(|_| drop(fs::remove_file(beside)))?;
    Ok(listener)
}

async fn open_http(config: &HttpAdmin, keys: &Keys) -> io::Result<(TcpListener, Option<Tls>)> {
    let refuse = |message: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    if keys.is_empty() {
        return refuse("its tokens let nobody in");
    }
    let tls = match &config.tls {
        None if config.bind.ip().is_loopback() => None,
        None => return refuse("without TLS it listens on loopback alone"),
        Some(files) => {
            let clients = files.client_ca.clone();
            let settings = TlsConfig {
                certificates: vec![CertificateConfig {
                    names: vec!["*".to_owned()],
                    chain: files.chain.clone(),
                    key: files.key.clone(),
                }],
                clients: clients.map_or(ClientCertificates::Ignore, ClientCertificates::Optional),
                servers: ServerVerification::Off,
            };
            let tls = Tls::load(&settings).map_err(io::Error::other)?;
            Some(tls)
        }
    };
    Ok((TcpListener::bind(config.bind).await?, tls))
}

async fn accept_unix(listener: UnixListener, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    loop {
        // Others wait in the backlog until one is done.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = desk.clone();
                tokio::spawn(async move {
                    let who = who_connects(&stream);
                    serve(stream, desk, Some(who), "unix".to_owned()).await;
                    drop(place);
                });
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Whoever may write to the socket may do everything.
fn who_connects(stream: &UnixStream) -> Who {
    let uid = stream.peer_cred().map(|peer| peer.uid());
    Who {
        name: uid.map_or_else(|_| "uid ?".to_owned(), |uid| format!("uid {uid}")),
        role: Role::Admin,
    }
}

async fn accept_http(listener: TcpListener, tls: Option<Tls>, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (desk, tls) = (desk.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, desk, None, peer.to_string()).await,
                        Some(tls) => serve_tls(stream, &tls, desk, peer).await,
                    }
                    drop(place);
                });
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Out of descriptors, as a rule: the next round must not spin.
async fn pause(error: &io::Error) {
    tracing::warn!(%error, "the admin interface cannot take a connection");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
}

async fn serve_tls(stream: TcpStream, tls: &Tls, desk: Arc<Desk>, peer: SocketAddr) {
    let stream = match timeout(ADMIN_PATIENCE, tls.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "admin handshake failed");
            return;
        }
        Err(_) => return,
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|all| all.first());
    let who = certificate.and_then(|der| {
        let certificate = webpki::EndEntityCert::try_from(der).ok()?;
        desk.keys.read().of_names(certificate.valid_dns_names())
    });
    serve(stream, desk, who, peer.to_string()).await;
}

/// Serves the requests of one connection.
async fn serve<S>(stream: S, desk: Arc<Desk>, who: Option<Who>, from: String)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let respond = service_fn(|request| {
        let (desk, who, from) = (desk.clone(), who.clone(), from.clone());
        async move { Ok::<_, Infallible>(respond(request, &desk, who, &from).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ADMIN_PATIENCE)
        .max_buf_size(ADMIN_HEAD_BYTES)
        .serve_connection(TokioIo::new(Timed::new(stream)), respond);
    if let Err(error) = connection.await {
        tracing::debug!(from, %error, "admin connection ended");
    }
}

async fn respond(
    request: Request<Incoming>,
    desk: &Arc<Desk>,
    who: Option<Who>,
    from: &str,
) -> Response<Content> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let token = bearer(&request);
    let who = match &token {
        // Over the Unix socket nobody is asked for one.
        Some(token) if who.is_none() => desk.keys.read().of_token(token),
        _ => who,
    };
    let name = who
        .as_ref()
        .map_or_else(|| "?".to_owned(), |who| who.name.clone());
    let (order, answer) = match read(request, who.as_ref()).await {
        Ok(order) => {
            let answer = carry_out(&order, desk, who.as_ref()).await;
            (Some(order), answer)
        }
        Err(refusal) => (None, Err(refusal)),
    };
    let result = match &answer {
        Ok(_) => "done",
        Err(refusal) => {
            let (path, status) = (uri.path(), refusal.status);
            tracing::debug!(from, name, %method, path, status, "admin request refused");
            refusal.error.as_str()
        }
    };
    if let Some(order) = &order {
        audit(order, &name, from, result);
    }
    answer.unwrap_or_else(|refusal| refused(&refusal))
}

/// The order in a request. Strangers' bodies are not read.
async fn read(request: Request<Incoming>, who: Option<&Who>) -> Result<Order, Refusal> {
    let (head, body) = request.into_parts();
    let uri = &head.uri;
    if who.is_none() && !matches!(uri.path(), "/healthz" | "/readyz") {
        let error = "a token is needed: Authorization: Bearer …";
        return Err(Refusal::new(401, error));
    }
    if is_foreign(&head.headers) {
        let error = "a page of another origin asks";
        return Err(Refusal::new(403, error));
    }
    let body = Limited::new(body, ADMIN_BODY_BYTES).collect();
    let body = match timeout(ADMIN_PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let error = format!("the body has more than {ADMIN_BODY_BYTES} bytes");
            return Err(Refusal::new(413, error));
        }
        Ok(Err(_)) => return Err(Refusal::new(400, "the body ended early")),
        Err(_) => return Err(Refusal::new(408, "the body did not come in time")),
    };
    let query = uri.query().unwrap_or_default();
    Order::parse(head.method.as_str(), uri.path(), query, &body)
}

/// A browser sends this for a page that is not ours. It adds the client certificate that makes an
/// operator by itself, so that any page could give orders.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_cross = |site: &str| !matches!(site, "same-origin" | "none");
    let host = text("host").unwrap_or_default();
    let is_other = |origin: &str| {
        origin
            .split_once("://")
            .is_none_or(|(_, named)| named != host)
    };
    text("sec-fetch-site").is_some_and(is_cross) || text("origin").is_some_and(is_other)
}

async fn carry_out(
    order: &Order,
    desk: &Arc<Desk>,
    who: Option<&Who>,
) -> Result<Response<Content>, Refusal> {
    let role = who.map(|who| who.role);
    if !order.is_public() && role.is_none_or(|role| role < order.needs()) {
        let has = role.map_or("none", Role::as_str);
        let error = format!("this needs the role {}, not {has}", order.needs().as_str());
        return Err(Refusal::new(403, error));
    }
    let answer = desk.obey(order.clone()).await?;
    shown(answer, desk, role.is_some())
}

fn shown(answer: Answer, desk: &Arc<Desk>, is_known: bool) -> Result<Response<Content>, Refusal> {
    Ok(match answer {
        Answer::Json(json) => {
            let text = format!("{json}\n");
            response(200, "application/json", Content::whole(text))
        }
        Answer::Metrics(text) => {
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            response(200, kind, Content::whole(text))
        }
        Answer::Events => response(200, "text/event-stream", Content::events(desk)?),
        Answer::Health(troubles) => {
            let status = if troubles.is_empty() { 200 } else { 503 };
            let mut text = match troubles.is_empty() {
                true => "ok\n".to_owned(),
                false => "not ready\n".to_owned(),
            };
            // Why is for those who may look.
            for trouble in troubles.iter().filter(|_| is_known) {
                text.push_str(trouble);
                text.push('\n');
            }
            response(status, "text/plain; charset=utf-8", Content::whole(text))
        }
    })
}

fn refused(refusal: &Refusal) -> Response<Content> {
    let text = format!("{}\n", refusal.to_json());
    let mut response = response(refusal.status, "application/json", Content::whole(text));
    let headers = response.headers_mut();
    match refusal.status {
        401 => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        405 => {
            let allowed = refusal.error.split_once(" is not among ");
            let allowed = allowed.and_then(|(_, all)| HeaderValue::from_str(all).ok());
            headers.extend(allowed.map(|allowed| (ALLOW, allowed)));
        }
        _ => {}
    }
    response
}

fn response(status: u16, kind: &'static str, content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The token of `Authorization: Bearer` (RFC 6750 §2.1).
fn bearer(request: &Request<Incoming>) -> Option<Vec<u8>> {
    let value = request.headers().get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| token.trim_ascii().to_vec())
}

/// Every change has a line that says who wanted it and what became of it.
fn audit(order: &Order, who: &str, from: &str, result: &str) {
    if order.is_change() {
        // What operators write is shown escaped.
        tracing::info!(target: "windlass_edge::audit", who, from, ?order, result, "admin change");
    }
}
