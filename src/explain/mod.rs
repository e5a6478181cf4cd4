//! Explains ng requests without a network. Every request runs on the real calls, with a data plane
//! that only records flows; the result becomes text.
//!
//! `read` splits a file into requests. `exchange`, `session` and `media` find the reason of every
//! changed line of SDP. `flows` prints the plan for the data plane. `effect` names the parts of a
//! request without effect. Reasons are found from outside, by comparing input, output and the state
//! of the call: the engine has no code for it.

mod books;
pub(crate) mod compare;
mod conversion;
mod effect;
mod exchange;
mod flows;
mod media;
pub mod read;
mod refusal;
mod session;
#[cfg(test)]
mod tests;
mod text;

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use windlass_dtls::CertificateError;
use windlass_ng::reply::Outcome;
use windlass_ng::{Command, Dict, Reply, Request, Templates, Value, read_request};
use windlass_sdp::{ParseOptions, SessionDescription};

use crate::call::ports::Interfaces;
use crate::call::{CallPicture, Calls, Now};
use crate::config::Config;
use crate::setup;
use books::{Books, OpensAll};
pub use exchange::Explained;
use exchange::{Exchange, Role};
use read::Message;
pub use text::Keys;
use text::printable;

/// Runs requests one after the other and explains the result of each.
pub struct Explainer {
    calls: Calls,
    books: Arc<Books>,
    templates: Templates,
    parse: ParseOptions,
    now: Now,
    rng: StdRng,
    count: usize,
    /// Cookies so far, each with the number of its request and the reply.
    cookies: HashMap<Vec<u8>, (usize, Explanation)>,
    keys: Keys,
}

impl fmt::Debug for Explainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explainer")
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

/// Result of one request.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The explanation, in lines.
    pub text: String,
    /// Whether the request was refused.
    pub is_refused: bool,
    /// The reply, as the proxy would get it.
    pub reply: Dict,
    /// The lines of the SDP in the reply; empty without one. Keys in them are not redacted.
    pub lines: Vec<Explained>,
}

/// Seed of everything that is drawn at random: two runs over one input print the same ports.
const SEED: u64 = 7;

impl Explainer {
    /// A relay with this configuration, as of `now`.
    ///
    /// # Errors
    /// The system gives no random numbers for a certificate.
    pub fn new(config: &Config, now: Now) -> Result<Self, CertificateError> {
        let mut rng = StdRng::seed_from_u64(SEED);
        let identity = setup::identity(config, now.unix, &mut rng)?;
        let interfaces = Interfaces::new(setup::addresses(config, &mut rng), Arc::new(OpensAll));
        let books = Arc::new(Books::default());
        let calls = Calls::new(
            interfaces,
            identity,
            books.clone(),
            // What else the host of this configuration has is not known here.
            setup::defaults(
                config,
                &setup::libraries(config),
                Arc::new(setup::reach(config, Vec::new())),
            ),
            setup::timeouts(config),
            setup::limits(config),
            now.instant,
        );
        Ok(Self {
            calls,
            books,
            templates: setup::templates(config),
            parse: ParseOptions {
                reject_invalid: config.signalling.reject_invalid_sdp,
                ..ParseOptions::default()
            },
            now,
            rng,
            count: 0,
            cookies: HashMap::new(),
            keys: Keys::default(),
        })
    }

    /// What becomes of keys in the explanations to come; they are redacted otherwise. Replies
    /// ([`Explanation::reply`]) hold them in any case.
    #[must_use]
    pub fn with_keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// The calls as the requests so far left them.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Time at which the requests run.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The time at which the next requests run.
    pub fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    /// Does what is due at this time, such as the end of calls that were deleted.
    pub fn turn(&mut self, now: Now) {
        self.now = now;
        self.calls.handle_timeout(now);
        let _ = self.books.turn_page();
    }

    /// Runs one request. One that has the cookie of an earlier one gets its reply.
    pub fn explain(&mut self, message: &Message<'_>) -> Explanation {
        self.count += 1;
        let known = message.cookie.and_then(|cookie| self.cookies.get(cookie));
        if let Some((first, explanation)) = known {
            return Explanation {
                text: format!(
                    "== {}. the cookie of {first}\n\nits reply is sent again, and nothing is done\n",
                    self.count
                ),
                ..explanation.clone()
            };
        }
        let explanation = self.run(message);
        if let Some(cookie) = message.cookie {
            let entry = (self.count, explanation.clone());
            self.cookies.insert(cookie.to_vec(), entry);
        }
        explanation
    }

    fn run(&mut self, message: &Message<'_>) -> Explanation {
        let (request, _) = read_request(message.payload, &self.templates);
        let mut text = String::new();
        let request = match request {
            Ok(request) => request,
            Err(reason) => {
                let _ = writeln!(
                    text,
                    "== {}. no request (line {})",
                    self.count, message.line
                );
                let _ = writeln!(text, "\nrefused: {reason}");
                if let Some(why) = refusal::undecodable(message) {
                    self.keys.item(&mut text, &why);
                }
                return Explanation {
                    text,
                    is_refused: true,
                    reply: Reply::error(reason).into_dict(),
                    lines: Vec::new(),
                };
            }
        };
        self.title(&mut text, &request);
        let view = |calls: &Calls, now| {
            request
                .call_id
                .as_ref()
                .and_then(|id| calls.picture(id, now))
        };
        let before = view(&self.calls, self.now);
        let source = SocketAddr::from(([127, 0, 0, 1], 0));
        let reply = self.calls.serve(&request, source, self.now, &mut self.rng);
        let after = view(&self.calls, self.now);
        let around = [before.as_ref(), after.as_ref()];
        let lines = self.reply(&mut text, &request, &reply, around);
        let lists = [
            ("ignored:", effect::ignored(&request)),
            ("without effect in this build:", effect::idle(&request)),
        ];
        for (title, entries) in lists {
            if !entries.is_empty() {
                let _ = writeln!(text, "\n{title}");
                entries
                    .iter()
                    .for_each(|entry| self.keys.item(&mut text, entry));
            }
        }
        let page = self.books.turn_page();
        text.push_str(&flows::print(&page, after.as_ref()));
        Explanation {
            text,
            is_refused: reply.is_error() || matches!(reply.outcome, Outcome::LoadLimit(_)),
            reply: reply.into_tree(),
            lines,
        }
    }

    fn title(&self, text: &mut String, request: &Request) {
        let _ = write!(text, "== {}. {}", self.count, request.command.name());
        let names = [
            ("call-id", request.call_id.as_ref().map(ToString::to_string)),
            (
                "from-tag",
                request.from_tag.as_ref().map(ToString::to_string),
            ),
            ("to-tag", request.to_tag.as_ref().map(ToString::to_string)),
            (
                "via-branch",
                request.via_branch.as_ref().map(ToString::to_string),
            ),
        ];
        for (key, name) in names {
            if let Some(name) = name {
                let _ = write!(text, "  {key}={}", printable(&name));
            }
        }
        text.push('\n');
    }

    fn reply(
        &self,
        text: &mut String,
        request: &Request,
        reply: &Reply,
        [before, after]: [Option<&CallPicture>; 2],
    ) -> Vec<Explained> {
        match &reply.outcome {
            Outcome::Error(reason) => {
                let _ = writeln!(text, "\nrefused: {}", printable(reason));
                let options = ParseOptions {
                    fragment: request.flags.fragment(),
                    ..self.parse
                };
                let more = refusal::explain(request, reason, options, self.calls.interfaces());
                more.iter().for_each(|line| self.keys.item(text, line));
                return Vec::new();
            }
            Outcome::LoadLimit(message) => {
                let _ = writeln!(text, "\nrefused: load limit: {message}");
                return Vec::new();
            }
            Outcome::OkWithWarning(warning) => {
                let _ = writeln!(text, "\nok, with a warning: {}", printable(warning));
            }
            Outcome::Ok => self.fate(text, request, before, after),
            Outcome::Pong => text.push_str("\npong\n"),
        }
        let Some(Value::Bytes(sdp)) = reply.body.get("sdp") else {
            return Vec::new();
        };
        text.push_str("\nSDP of the reply (+ added, ~ changed, - not carried on):\n");
        let lines = self.sdp(request, sdp, before, after);
        for line in &lines {
            self.keys.annotated(text, line);
        }
        if request.command == Command::Offer && is_pending(request, after) {
            text.push_str(PENDING);
        }
        lines
    }

    /// Effect on the call, where no SDP shows it.
    fn fate(
        &self,
        text: &mut String,
        request: &Request,
        before: Option<&CallPicture>,
        after: Option<&CallPicture>,
    ) {
        let Some(after) = after else {
            text.push_str(if before.is_some() {
                "\nok: the call has ended\n"
            } else {
                "\nok\n"
            });
            return;
        };
        if request.command != Command::Delete {
            text.push_str("\nok\n");
            return;
        }
        if let Some(ends_in) = after.ends_in {
            let _ = writeln!(
                text,
                "\nok: the call ends in {} s, unless an offer or answer comes before",
                ends_in.as_secs()
            );
            return;
        }
        text.push_str("\nok: the call goes on\n");
        for (index, party) in after.parties.iter().enumerate() {
            let was_gone = before
                .and_then(|before| before.parties.get(index))
                .is_none_or(|party| party.is_gone);
            let name = after.name(index);
            match party.leaves_in {
                _ if party.is_gone && !was_gone => {
                    self.keys.item(text, &format!("{name} is out of it"))
                }
                Some(after) => self
                    .keys
                    .item(text, &format!("{name} leaves in {} s", after.as_secs())),
                None => {}
            }
        }
    }

    fn sdp(
        &self,
        request: &Request,
        printed: &[u8],
        before: Option<&CallPicture>,
        after: Option<&CallPicture>,
    ) -> Vec<Explained> {
        let said: &[u8] = request.sdp.as_deref().unwrap_or_default();
        let tag = |tag: Option<&windlass_ng::Tag>| after?.party(&tag?.to_string());
        let (from, to) = (tag(request.from_tag.as_ref()), tag(request.to_tag.as_ref()));
        let (role, sender, receiver) = match request.command {
            Command::Offer => (Role::Offer, from, None),
            Command::Answer => (Role::Answer, to, from),
            _ => (Role::Own, None, None),
        };
        // An offer may wait for its answer, and an answer is one to what waited.
        let (before, after) = match role {
            Role::Offer => (before, after.map(|after| after.as_offered_by(sender))),
            Role::Answer => (before.map(|before| before.as_offered_by(receiver)), after),
            Role::Own => (before, after),
        };
        let options = ParseOptions {
            fragment: true,
            ..ParseOptions::default()
        };
        let parse = |text| SessionDescription::parse(text, options).unwrap_or_default();
        let (said_sdp, printed_sdp) = (parse(said), parse(printed));
        let receiver = receiver
            .or_else(|| after.and_then(|after| owner(after, &printed_sdp, sender)))
            .or_else(|| to.filter(|_| role == Role::Offer));
        let exchange = Exchange {
            request,
            role,
            said: &said_sdp,
            printed: &printed_sdp,
            before,
            after,
            sender,
            receiver,
            interfaces: self.calls.interfaces(),
        };
        exchange.lines(
            &String::from_utf8_lossy(said),
            &String::from_utf8_lossy(printed),
        )
    }
}

const PENDING: &str = "\nthe offer waits for its answer: until then, and if it is refused, media goes on as agreed; \
     only new ports listen\n";

/// Whether an offer waits for its answer.
fn is_pending(request: &Request, after: Option<&CallPicture>) -> bool {
    let Some(after) = after else { return false };
    let from = request.from_tag.as_ref();
    let from = from.and_then(|tag| after.party(&tag.to_string()));
    let offered = after.offered.as_deref();
    offered.is_some_and(|offered| Some(offered.from) == from)
}

/// The party that a printed SDP is for: its ports are those of that party.
fn owner(call: &CallPicture, sdp: &SessionDescription, sender: Option<usize>) -> Option<usize> {
    let printed: Vec<u16> = sdp.media.iter().map(|media| media.port).collect();
    let mut parties = call.parties.iter().enumerate();
    let found = parties.find(|(index, party)| {
        let mut ports = party.medias.iter().flat_map(|media| &media.ports);
        Some(*index) != sender
            && ports.any(|port| port.is_selected && printed.contains(&port.local.port()))
    });
    found.map(|(index, _)| index)
}
