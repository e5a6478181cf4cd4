//! The common path of a request over every transport.

use std::{
    cell::RefCell,
    fmt,
    hash::BuildHasher as _,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use bytes::BytesMut;

use crate::{
    access::{Access, Grant},
    bencode,
    cookie::{Admission, CookieCache, ReplyBytes},
    errors, json,
    limits::{COOKIE_BYTES, REQUEST_ELEMENTS, UDP_REPLY_BYTES, UDP_STRANGER_RATIO},
    reply::{Encoding, Reply},
    request::{Request, Templates},
    source::{Source, Transport},
    tape::Tape,
    warned::Warned,
};

/// The engine that executes requests.
///
/// Called from several threads at once. A panic ends only its request, which is answered with an
/// error.
pub trait Handler: Send + Sync {
    /// Executes one request.
    fn handle(&self, request: &Request, source: &Source) -> Reply;

    /// A message was not executed: undecodable, unknown command, or from a source without access.
    fn refused(&self, _source: &Source, _reason: &str) {}
}

/// Result for a message from a source that has access.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The same request is being executed, and was not done within the wait.
    Busy,
    /// Nothing to match a reply by.
    NoCookie,
    /// Reply to send.
    Reply(ReplyBytes),
    /// A reply made for another transport, too long for this one.
    TooLong,
}

const NO_ACCESS: &str = "no access";

/// Buffer space that a thread keeps after its last reply.
const DRAFT_BYTES: usize = 16 * 1024;

/// Replies live in blocks of this size. They are forgotten in the order they came in, so a block
/// goes as a whole; one by one they would cut the heap to pieces.
const BLOCK_BYTES: usize = 64 * 1024;

/// Reply buffers of a thread.
#[derive(Default)]
struct Room {
    draft: Vec<u8>,
    block: BytesMut,
}

impl Room {
    /// The draft as a reply to keep.
    fn keep(&mut self) -> ReplyBytes {
        let length = self.draft.len();
        if self.block.capacity() < length {
            self.block = BytesMut::with_capacity(length.max(BLOCK_BYTES));
        }
        self.block.extend_from_slice(&self.draft);
        self.draft.clear();
        self.draft.shrink_to(DRAFT_BYTES);
        self.block.split().freeze()
    }
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// State shared by all transports of a daemon: handler, access policy, cookie cache, templates.
pub struct Shared {
    handler: Arc<dyn Handler>,
    access: Arc<Access>,
    cookies: CookieCache,
    hasher: foldhash::quality::RandomState,
    templates: RwLock<Arc<Templates>>,
    warned: Warned,
}

impl Shared {
    /// Requests go to `handler`; the default access policy, no templates.
    pub fn new(handler: Arc<dyn Handler>) -> Self {
        Self::with_cookies(handler, CookieCache::default())
    }

    /// As [`Self::new`], with a cookie cache of other bounds.
    pub fn with_cookies(handler: Arc<dyn Handler>, cookies: CookieCache) -> Self {
        Self {
            handler,
            access: Arc::default(),
            cookies,
            hasher: foldhash::quality::RandomState::default(),
            templates: RwLock::default(),
            warned: Warned::default(),
        }
    }

    /// Sets the access policy, which is asked before anything is decoded.
    #[must_use]
    pub fn with_access(mut self, access: Arc<Access>) -> Self {
        self.access = access;
        self
    }

    /// The policy in force.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// Replaces the templates, for requests from now on.
    pub fn set_templates(&self, templates: Templates) {
        *self
            .templates
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(templates);
    }

    /// The reply to one message `COOKIE SP PAYLOAD`, framed alike. `None`: send nothing.
    ///
    /// May block: on the handler, and for a bounded time on the same request in progress.
    pub fn respond(&self, message: &[u8], source: &Source, now: Instant) -> Option<ReplyBytes> {
        let limit = self.reply_limit(source, message.len(), now)?;
        match self.answer(message, source, limit, now) {
            Answer::Reply(reply) => Some(reply),
            Answer::Busy | Answer::NoCookie | Answer::TooLong => None,
        }
    }

    /// Whether a message is the duplicate of a request that is being executed, so that its reply
    /// is waited for.
    pub(crate) fn is_in_progress(&self, message: &[u8], source: &Source) -> bool {
        split_cookie(message).is_some_and(|(cookie, payload)| {
            let key = self.cookie_key(cookie, payload, source);
            self.cookies.is_in_progress(&key)
        })
    }

    /// Key of a duplicate on any transport: cookie, source and body. Another client may count alike
    /// and must not get this reply, and another body is another request.
    fn cookie_key(&self, cookie: &[u8], payload: &[u8], source: &Source) -> Vec<u8> {
        let mut key = Vec::with_capacity(24 + cookie.len());
        let ip = match source.addr.ip().to_canonical() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        key.extend_from_slice(&ip.octets());
        key.extend_from_slice(&self.hasher.hash_one(payload).to_be_bytes());
        key.extend_from_slice(cookie);
        key
    }

    /// As [`Self::respond`] for a source that has access, with the result.
    pub(crate) fn answer(
        &self,
        message: &[u8],
        source: &Source,
        limit: usize,
        now: Instant,
    ) -> Answer {
        let Some((cookie, payload)) = split_cookie(message) else {
            self.drop_message(source, "message without a cookie", now);
            return Answer::NoCookie;
        };
        let reply = match self
            .cookies
            .admit(&self.cookie_key(cookie, payload, source), now)
        {
            Admission::Resend(reply) => reply,
            Admission::Busy => return Answer::Busy,
            Admission::Execute(ticket) => {
                let (reply, encoding) = self.execute(payload, source, now);
                let reply = ROOM.with_borrow_mut(|room| {
                    let out = &mut room.draft;
                    out.extend_from_slice(cookie);
                    out.push(b' ');
                    reply.write(encoding, limit, out);
                    room.keep()
                });
                ticket.finish(reply.clone());
                reply
            }
        };
        // A reply cached for another transport may not fit this one.
        if reply.len() <= limit {
            Answer::Reply(reply)
        } else {
            Answer::TooLong
        }
    }

    /// The reply to a bare payload, where the transport itself matches replies to requests
    /// (`/ng-plain`). `None` if the source has no access.
    pub fn respond_plain(
        &self,
        payload: &[u8],
        source: &Source,
        now: Instant,
    ) -> Option<(Vec<u8>, Encoding)> {
        let limit = self.reply_limit(source, payload.len(), now)?;
        Some(self.answer_plain(payload, source, limit, now))
    }

    /// As [`Self::respond_plain`] for a source that has access.
    pub(crate) fn answer_plain(
        &self,
        payload: &[u8],
        source: &Source,
        limit: usize,
        now: Instant,
    ) -> (Vec<u8>, Encoding) {
        let (reply, encoding) = self.execute(payload, source, now);
        let mut out = Vec::with_capacity(512);
        reply.write(encoding, limit, &mut out);
        (out, encoding)
    }

    /// Whether this source may talk to us at all; counted as refused if not. For transports that
    /// answer more than requests.
    pub(crate) fn admits(&self, source: &Source, now: Instant) -> bool {
        self.admits_by(&self.access, source, now)
    }

    /// As [`Self::admits`], asking the policy of one listener.
    pub(crate) fn admits_by(&self, access: &Access, source: &Source, now: Instant) -> bool {
        let admitted = access.check(source, now) != Grant::Refused;
        if !admitted {
            self.handler.refused(source, NO_ACCESS);
        }
        admitted
    }

    /// Longest reply to this source; `None` without access.
    fn reply_limit(&self, source: &Source, request: usize, now: Instant) -> Option<usize> {
        let transport = match source.transport {
            Transport::Udp => UDP_REPLY_BYTES,
            _ => usize::MAX,
        };
        match self.access.check(source, now) {
            Grant::Full => Some(transport),
            Grant::Capped(cap) => {
                let ratio = request.saturating_mul(UDP_STRANGER_RATIO);
                Some(cap.max(ratio).min(transport))
            }
            Grant::Refused => {
                self.handler.refused(source, NO_ACCESS);
                None
            }
        }
    }

    fn execute(&self, payload: &[u8], source: &Source, now: Instant) -> (Reply, Encoding) {
        let templates = self
            .templates
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let templates = Arc::clone(&templates);
        let (request, encoding) = read_request(payload, &templates);
        let request = match request {
            Ok(request) => request,
            Err(reason) => {
                if self.warned.is_due(reason, now) {
                    let from = source.addr;
                    tracing::warn!("Protocol error in packet from {from}: {reason}");
                }
                self.handler.refused(source, reason);
                return (Reply::error(reason), encoding);
            }
        };
        if !request.ignored.is_empty() {
            self.warned.ignored(request.command, &request.ignored, now);
        }
        // The handler keeps its own state consistent across panics; nothing of ours is shared
        // with it mutably.
        let reply = catch_unwind(AssertUnwindSafe(|| self.handler.handle(&request, source)));
        let reply = reply.unwrap_or_else(|_| {
            let command = request.command.name();
            let id = request.call_id.as_ref().map(tracing::field::display);
            tracing::error!(command, call_id = id, "fault while serving a request");
            Reply::error(errors::INTERNAL)
        });
        (reply, encoding)
    }

    pub(crate) fn drop_message(&self, source: &Source, reason: &'static str, now: Instant) {
        if self.warned.is_due(reason, now) {
            tracing::warn!(source = %source.addr, transport = ?source.transport, "dropped: {reason}");
        }
        self.handler.refused(source, reason);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Cookie and payload of a message; `None` without a cookie, or with one beyond the bound.
pub fn split_cookie(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let window = message.get(..=COOKIE_BYTES).unwrap_or(message);
    let at = window
        .iter()
        .position(|&b| b == b' ')
        .filter(|&at| at > 0)?;
    let (cookie, rest) = message.split_at_checked(at)?;
    Some((cookie, rest.get(1..)?))
}

/// Reads the request in a payload; beside it the encoding that its reply takes.
///
/// # Errors
/// The `error-reason` for the peer.
pub fn read_request(
    payload: &[u8],
    templates: &Templates,
) -> (Result<Request, &'static str>, Encoding) {
    let (tape, encoding) = decode(payload);
    let request = tape
        .and_then(|tape| Request::parse(tape.root(), templates).map_err(|error| error.reason()));
    (request, encoding)
}

/// Decodes a payload by its first byte. Replies use the same encoding, bencode in doubt.
fn decode(payload: &[u8]) -> (Result<Tape<'_>, &'static str>, Encoding) {
    match payload.first() {
        None => (Err(errors::NO_PAYLOAD), Encoding::Bencode),
        Some(b'd') => {
            let tape = bencode::decode(payload, REQUEST_ELEMENTS);
            (tape.map_err(|_| errors::BENCODE), Encoding::Bencode)
        }
        Some(b'{') => {
            let tape = json::decode(payload, REQUEST_ELEMENTS).map_err(|error| match error {
                json::JsonError::NoObject => errors::JSON_DICTIONARY,
                json::JsonError::Syntax(_) => errors::JSON_PARSE,
            });
            (tape, Encoding::Json)
        }
        Some(_) => (Err(errors::DATA_FORMAT), Encoding::Bencode),
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
