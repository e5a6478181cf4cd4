//! Telling the SIP side that a call timed out, by XML-RPC (`b2b-url`, `xmlrpc-format`; spec:
//! media-behaviour §4): the bodies, and a thread that posts them. Plain HTTP only.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ureq::Agent;

use crate::limits::CALL_BACKS;

/// What the SIP side understands (`xmlrpc-format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XmlRpcFormat {
    /// 0, SEMS: `di(sbc, postControlCmd, TAG, teardown)` for each tag.
    #[default]
    Sems,
    /// 1: `teardown(CALL-ID)`.
    CallId,
    /// 2, Kamailio: `dlg.terminate_dlg(CALL-ID, FROM-TAG, TO-TAG)` for each pair of tags.
    Dialogue,
}

impl XmlRpcFormat {
    /// The format of a configured number, 0–2.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Sems),
            1 => Some(Self::CallId),
            2 => Some(Self::Dialogue),
            _ => None,
        }
    }

    /// The bodies to post for a call, one request each. Bytes that XML cannot carry are replaced.
    pub fn bodies(self, call: &TimedOutCall<'_>) -> Vec<String> {
        match self {
            Self::Sems => {
                let body =
                    |tag: &&[u8]| method_call("di", &[b"sbc", b"postControlCmd", tag, b"teardown"]);
                call.tags.iter().map(body).collect()
            }
            Self::CallId => vec![method_call("teardown", &[call.call_id])],
            Self::Dialogue => {
                let body = |(from, to): &(&[u8], &[u8])| {
                    method_call("dlg.terminate_dlg", &[call.call_id, from, to])
                };
                call.pairs.iter().map(body).collect()
            }
        }
    }
}

/// A call that ended without the proxy's doing.
#[derive(Clone, Copy, Debug)]
pub struct TimedOutCall<'a> {
    /// The call's id.
    pub call_id: &'a [u8],
    /// Tags of all parties.
    pub tags: &'a [&'a [u8]],
    /// From-tag and to-tag of each dialogue.
    pub pairs: &'a [(&'a [u8], &'a [u8])],
}

/// A `methodCall` of string parameters.
fn method_call(method: &str, parameters: &[&[u8]]) -> String {
    let mut body = String::from("<?xml version=\"1.0\"?>\n<methodCall><methodName>");
    body.push_str(method);
    body.push_str("</methodName><params>");
    for parameter in parameters {
        body.push_str("<param><value><string>");
        escape(&String::from_utf8_lossy(parameter), &mut body);
        body.push_str("</string></value></param>");
    }
    body.push_str("</params></methodCall>\n");
    body
}

/// Appends text as XML character data (XML 1.0 §2.2, §2.4).
fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // A reader would turn line ends into one kind.
            '\t' | '\n' | '\r' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "&#{};", u32::from(letter));
            }
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            other => out.push(other),
        }
    }
}

/// A `b2b-url` that cannot be posted to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The URL begins with `https://`.
    #[error("`{0}` is https, which is not supported here; expected http://HOST[:PORT]/PATH")]
    Https(String),
    /// The text is no URL.
    #[error("`{0}` is no URL; expected http://HOST[:PORT]/PATH, where %% stands for an address")]
    Syntax(String),
}

/// Target of the requests: a URL in which `%%` stands for the address of the SIP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate(String);

impl UrlTemplate {
    /// Checks a configured URL.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let template = Self(url.to_owned());
        let example = template.fill(IpAddr::from([192, 0, 2, 1]));
        let uri: ureq::http::Uri = example
            .parse()
            .map_err(|_| UrlError::Syntax(url.to_owned()))?;
        match uri.scheme_str() {
            Some("https") => Err(UrlError::Https(url.to_owned())),
            Some("http") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(template),
            _ => Err(UrlError::Syntax(url.to_owned())),
        }
    }

    /// The URL for a SIP side at `callback`: the `xmlrpc-callback` of the call, or else where its
    /// signalling came from. An IPv6 address is put in brackets.
    pub fn fill(&self, callback: IpAddr) -> String {
        let template = self.0.replace("[%%]", "%%");
        let address: Cow<'static, str> = match callback.to_canonical() {
            IpAddr::V4(address) => address.to_string().into(),
            IpAddr::V6(address) => format!("[{address}]").into(),
        };
        template.replace("%%", &address)
    }
}

/// Results of the requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifierCounters {
    /// Answered with success.
    pub delivered: u64,
    /// Given up after [`TRIES`].
    pub failed: u64,
    /// Requests dropped because too many were waiting.
    pub dropped: u64,
}

/// Number of tries of a request.
pub const TRIES: u32 = 3;

/// Longest duration of one try.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Posts requests from a thread of its own.
#[derive(Debug)]
pub struct Notifier {
    queue: SyncSender<Notification>,
    counters: Arc<Counters>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Notification {
    url: String,
    bodies: Vec<String>,
}

#[derive(Debug, Default)]
struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Notifier {
    /// Starts the thread. It ends with the notifier, after what is waiting then.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start() -> io::Result<Self> {
        let (queue, waiting) = sync_channel(CALL_BACKS);
        let counters = Arc::new(Counters::default());
        let count = Arc::clone(&counters);
        let thread = std::thread::Builder::new()
            .name("xmlrpc".to_owned())
            .spawn(move || deliver_all(&waiting, &count))?;
        Ok(Self {
            queue,
            counters,
            thread,
        })
    }

    /// Posts bodies to a URL, one after another, some time later. Returns at once; if too many
    /// calls are waiting, they are dropped and counted.
    pub fn notify(&self, url: String, bodies: Vec<String>) {
        let requests = count(bodies.len());
        let notification = Notification { url, bodies };
        if self.queue.try_send(notification).is_err() {
            self.counters.dropped.fetch_add(requests, Ordering::Relaxed);
        }
    }

    /// Results of the requests so far.
    pub fn counters(&self) -> NotifierCounters {
        self.counters.read()
    }

    /// Waits until everything has been tried.
    pub fn finish(self) -> NotifierCounters {
        drop(self.queue);
        // A panic of the thread has been reported, and what was counted still holds.
        let _ = self.thread.join();
        self.counters.read()
    }
}

impl Counters {
    fn read(&self) -> NotifierCounters {
        NotifierCounters {
            delivered: self.delivered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }
}

fn deliver_all(waiting: &Receiver<Notification>, counters: &Counters) {
    let config = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .proxy(None)
        .user_agent("windlass")
        // Requests are rare; a connection kept from the last one is likely closed.
        .max_idle_connections(0)
        .build();
    let agent = Agent::from(config);
    for Notification { url, bodies } in waiting {
        let total = bodies.len();
        for (index, body) in bodies.into_iter().enumerate() {
            let Err(error) = deliver(&agent, &url, &body) else {
                counters.delivered.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            tracing::warn!(%url, %error, tries = TRIES, "the SIP side was not told of a timed-out call");
            // One that answers may accept the next tag; one that does not answer will not.
            if matches!(error, ureq::Error::StatusCode(_)) {
                counters.failed.fetch_add(1, Ordering::Relaxed);
            } else {
                let rest = count(total - index);
                counters.failed.fetch_add(rest, Ordering::Relaxed);
                break;
            }
        }
    }
}

/// Posts one body until it is accepted.
fn deliver(agent: &Agent, url: &str, body: &str) -> Result<(), ureq::Error> {
    let attempt = || {
        let request = agent.post(url).header("content-type", "text/xml");
        request.send(body).map(drop)
    };
    let mut result = attempt();
    for _ in 1..TRIES {
        if result.is_ok() {
            break;
        }
        result = attempt();
    }
    result
}

fn count(requests: usize) -> u64 {
    u64::try_from(requests).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "xmlrpc_tests.rs"]
mod tests;
