//! One HTTP client: responses to its requests.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, CONNECTION, CONTENT_LENGTH,
            CONTENT_TYPE, HOST, ORIGIN, UPGRADE, WWW_AUTHENTICATE,
        },
    },
};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    super::now,
    Service,
    resource::{Page, cli_line},
    slots::Slot,
    websocket,
};
use crate::serve::Answer;
use crate::source::Source;

const NG: &str = "application/x-rtpengine-ng";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

/// The peer of one connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) service: Arc<Service>,
    pub(super) source: Source,
    pub(super) slot: Arc<Slot>,
}

/// Purpose of a POST.
#[derive(Clone, Copy)]
enum Post {
    Cli,
    Ng,
    /// Its content type, which the response repeats.
    NgPlain(&'static str),
}

impl Client {
    pub(super) fn new(service: Arc<Service>, source: Source, slot: Arc<Slot>) -> Self {
        Self {
            service,
            source,
            slot,
        }
    }

    /// The response to one request.
    pub(super) async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let options = &self.service.options;
        let secret = options.secret.is_some();
        let readers = match options.origins.is_empty() {
            true => Some(HeaderValue::from_static("*")),
            false => {
                let named = self.is_origin_allowed(request.headers());
                request.headers().get(ORIGIN).cloned().filter(|_| named)
            }
        };
        let slot = Arc::clone(&self.slot);
        let mut response = self.route(request).await;
        slot.done();
        share(response.headers_mut(), secret, readers);
        response
    }

    async fn route(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let service = &self.service;
        // Asked for every request: the rule may have changed since the connection came.
        if !service
            .shared
            .admits_by(&service.access, &self.source, now())
        {
            return closing(StatusCode::FORBIDDEN, "forbidden\n");
        }
        let headers = request.headers();
        if !self.is_origin_allowed(headers) || !is_host_plausible(request.uri().path(), headers) {
            return closing(StatusCode::FORBIDDEN, "forbidden\n");
        }
        if request.method() == Method::OPTIONS {
            // A browser asks before it sends JSON, and never with the secret.
            return status(StatusCode::NO_CONTENT, "");
        }
        let secret = service.options.secret.as_ref();
        if secret.is_some_and(|secret| !secret.is_in(headers)) {
            service
                .shared
                .drop_message(&self.source, "wrong or no secret", now());
            let mut response = closing(StatusCode::UNAUTHORIZED, "unauthorized\n");
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            return response;
        }
        match *request.method() {
            Method::GET if asks_for_websocket(headers) => {
                websocket::upgrade(Arc::clone(&self), request).await
            }
            Method::GET => self.get(request.uri().path()).await,
            Method::POST => self.post(request).await,
            _ => not_found(),
        }
    }

    fn is_origin_allowed(&self, headers: &HeaderMap) -> bool {
        let allowed = &self.service.options.origins;
        let Some(origin) = headers.get(ORIGIN) else {
            // Browsers leave it out of images and links, and say where those come from.
            let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
            return allowed.is_empty() || matches!(site, None | Some(b"none" | b"same-origin"));
        };
        allowed.is_empty()
            || allowed
                .iter()
                .any(|allowed| origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
    }

    async fn get(&self, path: &str) -> Response<Body> {
        if path == "/ping" {
            return status(StatusCode::OK, "pong\n");
        }
        if let Some(words) = path.strip_prefix("/cli/") {
            let line = cli_line(words);
            // Any page can make a browser GET; a change takes a POST.
            return match shows_only(&line) {
                true => self.cli_page(line).await,
                false => status(StatusCode::METHOD_NOT_ALLOWED, "use POST /cli\n"),
            };
        }
        let path = path.to_owned();
        let work = move |service: &Service, source: &Source| service.resources.get(&path, source);
        page(self.work(work).await)
    }

    async fn post(&self, request: Request<Incoming>) -> Response<Body> {
        let content_type = media_type(request.headers());
        let is = |wanted: &str| content_type.is_some_and(|is| is.eq_ignore_ascii_case(wanted));
        let post = match request.uri().path() {
            "/ng" if is(NG) => Post::Ng,
            "/ng-plain" if is(NG) => Post::NgPlain(NG),
            "/ng-plain" if is(JSON) => Post::NgPlain(JSON),
            "/cli" if is(TEXT) => Post::Cli,
            _ => return not_found(),
        };
        let body = match self.body(request).await {
            Ok(body) => body,
            Err(response) => return response,
        };
        match post {
            Post::Ng => match self.answer(body, self.source).await {
                Some(Answer::Reply(reply)) => typed(NG, Bytes::from_owner(reply)),
                Some(Answer::NoCookie) => status(no_cookie(), "error\n"),
                Some(Answer::Busy) => status(StatusCode::SERVICE_UNAVAILABLE, "busy\n"),
                Some(Answer::TooLong) | None => fault(),
            },
            Post::NgPlain(content_type) => match self.answer_plain(body, self.source).await {
                Some(reply) => typed(content_type, reply),
                None => fault(),
            },
            Post::Cli => {
                let line = String::from_utf8_lossy(&body).trim().to_owned();
                self.cli_page(line).await
            }
        }
    }

    /// The whole body of a POST, or the response if there is none.
    async fn body(&self, request: Request<Incoming>) -> Result<Bytes, Response<Body>> {
        let options = &self.service.options;
        let length = request.headers().get(CONTENT_LENGTH);
        let Some(length) = length.and_then(|length| length.to_str().ok()) else {
            return Err(closing(StatusCode::LENGTH_REQUIRED, "length required\n"));
        };
        // The body ends there, and no reader gets more.
        match length.parse::<usize>() {
            Ok(length) if length <= options.body_bytes => {}
            _ => return Err(closing(StatusCode::PAYLOAD_TOO_LARGE, "too large\n")),
        }
        match timeout(options.body_timeout, request.into_body().collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(_)) => Err(closing(StatusCode::BAD_REQUEST, "incomplete\n")),
            Err(_) => Err(closing(StatusCode::REQUEST_TIMEOUT, "too slow\n")),
        }
    }

    async fn cli_page(&self, line: String) -> Response<Body> {
        page(
            self.cli(line, self.source)
                .await
                .map(|out| out.map(Page::text)),
        )
    }

    /// The output of a CLI line; the outer `None` after a fault.
    pub(super) async fn cli(&self, line: String, source: Source) -> Option<Option<String>> {
        self.work(move |service, _| service.resources.cli(&line, &source))
            .await
    }

    /// Response to `COOKIE SP PAYLOAD`; `None` after a fault.
    pub(super) async fn answer(&self, message: Bytes, source: Source) -> Option<Answer> {
        self.work(move |service, _| service.shared.answer(&message, &source, usize::MAX, now()))
            .await
    }

    /// The reply to a bare payload; `None` after a fault.
    pub(super) async fn answer_plain(&self, payload: Bytes, source: Source) -> Option<Vec<u8>> {
        self.work(move |service, _| {
            let shared = &service.shared;
            shared.answer_plain(&payload, &source, usize::MAX, now()).0
        })
        .await
    }

    /// Does `work` where it may block.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Service, &Source) -> T + Send + 'static,
    ) -> Option<T> {
        let (service, source) = (Arc::clone(&self.service), self.source);
        // A panic was logged by the thread itself.
        spawn_blocking(move || work(&service, &source)).await.ok()
    }
}

/// Whether a line of the command line changes nothing.
fn shows_only(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let (first, last) = (words.next(), words.next_back());
    match first {
        None | Some("list" | "get" | "usage" | "help" | "kslist") => true,
        Some("call") => last == Some("info"),
        Some("params") => last != Some("revert"),
        Some(_) => false,
    }
}

/// Whether the name in `Host` can be one of ours. A page whose name suddenly means this host (DNS
/// rebinding) asks under a public name of its own; we are asked by address, or by a name of the
/// local network. What only shows figures is open to any name.
fn is_host_plausible(path: &str, headers: &HeaderMap) -> bool {
    if matches!(path, "/ping" | "/metrics") {
        return true;
    }
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return true;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_local = |name: &str| {
        let ends = [".localhost", ".local", ".internal", ".lan", ".home.arpa"];
        let name = name.to_ascii_lowercase();
        ends.iter().any(|end| name.ends_with(end))
    };
    bare.parse::<IpAddr>().is_ok() || !name.contains('.') || is_local(name)
}

/// The content type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

/// Other upgrades (curl asks for `h2c`) are ignored, RFC 9110 §7.8.
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).map(HeaderValue::as_bytes);
    upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case(b"websocket"))
}

/// Lets web pages read the response: those of any origin, as the reference does, unless some are
/// named.
fn share(headers: &mut HeaderMap, secret: bool, readers: Option<HeaderValue>) {
    let allowed = if secret {
        "Content-Type, Authorization"
    } else {
        "Content-Type"
    };
    let Some(readers) = readers else {
        return;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, readers);
    for (name, value) in [
        (ACCESS_CONTROL_MAX_AGE, "86400"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, allowed),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The status of the reference for a body without a cookie; no RFC knows it.
fn no_cookie() -> StatusCode {
    StatusCode::from_u16(600).unwrap_or(StatusCode::BAD_REQUEST)
}

pub(super) fn not_found() -> Response<Body> {
    status(StatusCode::NOT_FOUND, "not found\n")
}

fn fault() -> Response<Body> {
    status(StatusCode::INTERNAL_SERVER_ERROR, "error\n")
}

/// A page, 404 without one, 500 after a fault.
fn page(page: Option<Option<Page>>) -> Response<Body> {
    match page {
        Some(Some(page)) => typed(&page.content_type, page.body),
        Some(None) => not_found(),
        None => fault(),
    }
}

fn typed(content_type: &str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let content_type = HeaderValue::from_str(content_type);
    let content_type = content_type.unwrap_or(HeaderValue::from_static(TEXT));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn status(status: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = typed(TEXT, body);
    *response.status_mut() = status;
    response
}

/// The last response of a connection; further requests on it are not read.
fn closing(code: StatusCode, body: &'static str) -> Response<Body> {
    let mut response = status(code, body);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}
