//! One request path for every transport: cookie, cache, decode, serve, encode.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cookie::{Claim, CookieCache};
use crate::limits::MAX_COOKIE;
use crate::request::Ignored;
use crate::{Command, Dict, Reply, Request, Value, bencode, errors, json};

/// The encoding of a message; a reply takes its request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `d…e`
    Bencode,
    /// `{…}`
    Json,
}

/// Carries out requests.
pub trait Handler: Send + Sync {
    /// Carries out one request of the peer at `source`.
    fn serve(&self, request: &Request, source: SocketAddr) -> Reply;

    /// A request was answered after `took`; `command` is `None` when it could not be read.
    fn served(&self, source: SocketAddr, command: Option<Command>, took: Duration, failed: bool);
}

/// What all transports of one relay share.
pub struct Responder {
    handler: Arc<dyn Handler>,
    cookies: CookieCache,
    warned: Mutex<HashMap<String, Instant>>,
}

/// How long the same remark about an ignored key is not repeated.
const REMARK_INTERVAL: Duration = Duration::from_secs(60);

/// Remarks remembered; beyond this many all are forgotten.
const MAX_REMARKS: usize = 256;

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}

impl Responder {
    /// A request path to `handler`.
    pub fn new(handler: Arc<dyn Handler>, now: Instant) -> Self {
        Self {
            handler,
            cookies: CookieCache::new(now),
            warned: Mutex::default(),
        }
    }

    /// Answers one `COOKIE SP PAYLOAD` message. `None`: say nothing. `clock` is read again after
    /// the request was served, for its duration.
    pub fn respond(
        &self,
        message: &[u8],
        source: SocketAddr,
        fits_datagram: bool,
        clock: impl Fn() -> Instant,
    ) -> Option<Arc<[u8]>> {
        let space = message.iter().position(|&byte| byte == b' ').unwrap_or(0);
        if space == 0 || space > MAX_COOKIE {
            tracing::warn!(%source, "request without a cookie, dropped");
            return None;
        }
        let (cookie, payload) = message.split_at_checked(space)?;
        let payload = payload.get(1..).unwrap_or_default();
        let started = clock();
        let ticket = match self.cookies.claim(cookie, started) {
            Claim::Serve(ticket) => ticket,
            Claim::Resend(reply) => return Some(reply),
            Claim::GiveUp => return None,
        };
        let (encoding, command, reply) = self.serve(payload, source, started);
        let failed = reply.refusal().is_some();
        if let Some(reason) = reply.refusal() {
            tracing::warn!(%source, command = command.map(Command::name), reason, "refused");
        }
        let reply: Arc<[u8]> = reply.encode(cookie, encoding, fits_datagram).into();
        self.handler.served(
            source,
            command,
            clock().saturating_duration_since(started),
            failed,
        );
        ticket.fulfil(reply.clone());
        Some(reply)
    }

    fn serve(
        &self,
        payload: &[u8],
        source: SocketAddr,
        now: Instant,
    ) -> (Encoding, Option<Command>, Reply) {
        let (encoding, dict) = match payload.first() {
            None => return (Encoding::Bencode, None, Reply::error(errors::NO_PAYLOAD)),
            Some(b'd') => (Encoding::Bencode, decode_bencode(payload)),
            Some(b'{') => (Encoding::Json, json::decode(payload)),
            Some(_) => return (Encoding::Bencode, None, Reply::error(errors::BAD_FORMAT)),
        };
        let request = match dict.and_then(|dict| Request::from_dict(&dict)) {
            Ok(request) => request,
            Err(reason) => return (encoding, None, Reply::error(reason)),
        };
        for ignored in &request.ignored {
            self.remark(ignored, source, now);
        }
        // A defect in one command must not take the relay down, nor the proxy's other calls.
        let served = catch_unwind(AssertUnwindSafe(|| self.handler.serve(&request, source)));
        let reply = served.unwrap_or_else(|_| {
            tracing::error!(%source, command = request.command.name(), "command panicked");
            Reply::error(errors::INTERNAL)
        });
        (encoding, Some(request.command), reply)
    }

    /// Says once in a while what was ignored.
    fn remark(&self, ignored: &Ignored, source: SocketAddr, now: Instant) {
        let key = format!("{} {}", ignored.place, ignored.text);
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned
            .get(&key)
            .is_some_and(|at| now.saturating_duration_since(*at) < REMARK_INTERVAL)
        {
            return;
        }
        if warned.len() >= MAX_REMARKS {
            warned.clear();
        }
        warned.insert(key, now);
        drop(warned);
        match ignored.nearest {
            Some(nearest) => tracing::warn!(
                %source, place = ignored.place, text = ignored.text,
                "unknown and ignored; did you mean '{nearest}'?"
            ),
            None => tracing::warn!(
                %source, place = ignored.place, text = ignored.text, "unknown and ignored"
            ),
        }
    }
}

fn decode_bencode(payload: &[u8]) -> Result<Dict, &'static str> {
    match bencode::decode(payload) {
        Ok((Value::Dict(dict), _)) => Ok(dict),
        _ => Err(errors::BAD_BENCODE),
    }
}
