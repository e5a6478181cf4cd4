//! The proxy core (spec §5): datagrams, relay answers and time in; datagrams and relay questions out.
//!
//! ```text
//! handle_message ─┐                       ┌ Action::Send
//! handle_media    ├─> Proxy (no I/O) ──>  │
//! handle_timeout  ┘                       └ Action::Media
//! ```
//!
//! After each call: drain [`Proxy::poll`], then ask [`Proxy::next_timeout`]. Every `Action::Media`
//! must be answered by exactly one `handle_media` with its token, by an error if need be.

pub(crate) mod attempts;
mod cancel;
mod checks;
mod explain;
mod failover;
mod forks;
mod forward;
mod guard;
mod hide;
mod list;
mod lookup;
pub(crate) mod measured;
mod media;
mod memory;
mod overload;
mod probe;
mod refused;
mod register;
mod reload;
mod request;
mod response;
mod route;
mod routing;
mod session;
mod silence;
mod teardown;
mod timeout;
mod told;
mod transit;
mod uses;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::config::Config;
use crate::cookie::Key;
use crate::dialog::Dialog;
use crate::guard::{Alerted, Finished};
use crate::hygiene::Hygiene;
use crate::keys::{TokenKeys, TokenSecret};
use crate::limits::CALL_ID_TRIES;
use crate::message::{Message, Parsed, Splices};
use crate::record::event::Event;
use crate::register::SharedBindings;
use crate::relay::MediaRequest;
use crate::resolve::{Query, Resolve};
use crate::screen::standing::Bond;
use crate::side::Side;
use crate::stats::{DropReason, Stats};
use crate::transaction::Packet;
use crate::transport::{Choice, Destination, Flow};
pub(crate) use explain::Explained;
use forks::Forks;
pub use list::{Call, CallFilter, CallState};
pub(crate) use list::{Listed, Registration};
use memory::Memory;
pub(crate) use register::Registering;
pub(crate) use reload::Snapshot;
pub(crate) use route::Listener;
use route::request_uri;
pub(crate) use routing::Routing;
use transit::Transit;
use uses::Uses;

/// Actions for the driver.
#[derive(Debug)]
pub(crate) enum Action {
    /// If it cannot leave, [`Proxy::handle_unsendable`] is told with the token; not if that is 0.
    Send {
        to: Destination,
        packet: Packet,
        token: u64,
    },
    /// A connection is needed from now on though nothing is sent, or not any more.
    Use { flow: Flow, is_needed: bool },
    /// To be answered by exactly one [`Proxy::handle_lookup`].
    Lookup(Query),
    Media {
        token: u64,
        request: Box<MediaRequest>,
    },
    /// A line for the security log.
    Alert(Box<Alerted>),
    /// For whoever listens to events.
    Tell(Box<Event>),
    /// A call attempt is over.
    Record(Box<Finished>),
    /// A connection is to be closed.
    Close { flow: Flow },
}

/// Everything one shard knows.
#[derive(Debug)]
pub(crate) struct Proxy {
    config: Arc<Config>,
    stats: Arc<Stats>,
    shard: u8,
    listeners: Vec<Listener>,
    routing: Arc<Routing>,
    targets: routing::KnownTargets,
    resolve: Resolve,
    /// Who waits for names, by the token of the look-up.
    waiting: HashMap<u64, lookup::Waiting, foldhash::fast::RandomState>,
    probes: probe::Probes,
    rng: StdRng,
    key: Key,
    tokens: TokenKeys,
    /// Which shard a Call-ID belongs to.
    choice: Choice,
    hygiene: Hygiene,
    hidings: hide::Hidings,
    sequence: u64,
    transits: HashMap<u64, Transit, foldhash::fast::RandomState>,
    /// Transits by the numbers of their branches after the first.
    by_branch: HashMap<u64, u64, foldhash::fast::RandomState>,
    by_server_key: HashMap<Box<[u8]>, u64, foldhash::quality::RandomState>,
    dialogs: HashMap<u64, Dialog, foldhash::fast::RandomState>,
    by_call: Forks,
    /// Numbers of all calls, for lists that are read page by page.
    numbers: BTreeSet<u64>,
    /// BYEs of our own.
    own: HashMap<u64, teardown::Own, foldhash::fast::RandomState>,
    media_tokens: HashMap<u64, u64, foldhash::fast::RandomState>,
    /// Calls whose silence the relay is asked about, by the token of the question.
    questions: HashMap<u64, u64, foldhash::fast::RandomState>,
    timers: BinaryHeap<Reverse<(Instant, Timed)>>,
    /// When the term of each call ends, one entry for each.
    terms: BTreeSet<(Instant, u64)>,
    actions: VecDeque<Action>,
    draining: bool,
    memory: Memory,
    bindings: SharedBindings,
    uses: Uses,
    /// Calls in set-up by the source of their INVITE.
    in_setup: InSetup,
    /// Refused INVITEs that were not acknowledged yet, by their source.
    unacknowledged: HashMap<IpAddr, usize, foldhash::quality::RandomState>,
    scratch: Scratch,
    guard: Option<guard::Guard>,
    shedding: overload::Shedding,
    /// INVITEs that the screen refused.
    refused: HashMap<u64, refused::Refused, foldhash::fast::RandomState>,
}

type InSetup = HashMap<IpAddr, usize, foldhash::quality::RandomState>;

/// The call counts for its caller until it is answered or over.
fn enter_setup(counts: &mut InSetup, dialog: &mut Dialog) {
    leave_setup(counts, dialog);
    let source = dialog.party(Side::Caller).flow.owner();
    *counts.entry(source).or_default() += 1;
    dialog.in_setup = Some(source);
}

fn leave_setup(counts: &mut InSetup, dialog: &mut Dialog) {
    let Some(source) = dialog.in_setup.take() else {
        return;
    };
    if let Some(count) = counts.get_mut(&source) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&source);
        }
    }
}

/// What a sent message was, in its token beside the transit's number.
const REQUEST: u64 = 1;
const RESPONSE: u64 = 2;

/// Owner of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timed {
    /// Names of targets are to be looked up again.
    Names,
    Own(u64),
    Refused(u64),
    Transit(u64),
    /// The media of a call.
    Watch(u64),
}

/// Buffers that are reused from message to message.
#[derive(Debug, Default)]
struct Scratch {
    parsed: Parsed,
    splices: Splices,
    key: Vec<u8>,
    text: String,
}

impl Scratch {
    /// A message of our own again, to make its ACK or CANCEL. Rare: once per refused or cancelled
    /// call.
    fn reparse(&self, bytes: &Packet, limits: &crate::message::limits::Limits) -> Option<Message> {
        let mut parsed = Parsed::default();
        parsed.parse(bytes, limits).ok()?;
        Some(Message {
            bytes: bytes.clone(),
            parsed,
        })
    }
}

impl Proxy {
    /// `secret` seeds branches, tags and cookies; it must be random and unknown outside.
    pub(crate) fn new(
        config: Arc<Config>,
        listeners: Vec<Listener>,
        routing: Arc<Routing>,
        shard: u8,
        secret: [u64; 2],
        stats: Arc<Stats>,
    ) -> Self {
        let key = Key(secret[0], secret[1]);
        let mut proxy = Self {
            tokens: TokenKeys::new(&config.token_secrets, key),
            choice: Choice::new(key, &config.call_id_prefix, config.shards.max(1).into()),
            hygiene: Hygiene::new(&config),
            hidings: hide::hidings(&config),
            config,
            stats,
            shard,
            listeners,
            routing,
            targets: routing::KnownTargets::default(),
            resolve: Resolve::default(),
            waiting: HashMap::default(),
            probes: probe::Probes::default(),
            rng: StdRng::seed_from_u64(key.hash([&[shard][..], b"rng"])),
            key,
            sequence: 0,
            by_branch: HashMap::default(),
            transits: HashMap::default(),
            by_server_key: HashMap::default(),
            dialogs: HashMap::default(),
            by_call: Forks::default(),
            numbers: BTreeSet::new(),
            own: HashMap::default(),
            media_tokens: HashMap::default(),
            questions: HashMap::default(),
            timers: BinaryHeap::new(),
            terms: BTreeSet::new(),
            actions: VecDeque::new(),
            draining: false,
            memory: Memory::default(),
            bindings: SharedBindings::default(),
            uses: Uses::default(),
            in_setup: HashMap::default(),
            unacknowledged: HashMap::default(),
            scratch: Scratch::default(),
            guard: None,
            shedding: overload::Shedding::default(),
            refused: HashMap::default(),
        };
        proxy.learn_configured();
        proxy.configure_lookups();
        proxy
    }

    /// Registrations are known to all shards that share these.
    pub(crate) fn registering_in(mut self, bindings: SharedBindings) -> Self {
        self.bindings = bindings;
        self
    }

    /// Takes one message.
    pub(crate) fn handle_message(&mut self, now: Instant, from: Flow, bytes: Packet) {
        if !self.may_speak(now, from, &bytes) {
            return;
        }
        self.bindings.lock().heard(from, now);
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            self.stats.drop_for(DropReason::Keepalive);
            return;
        }
        let mut parsed = std::mem::take(&mut self.scratch.parsed);
        let limits = match self.protocol_of(from.listener).is_stream() {
            true => self.config.limits.of_stream(),
            false => self.config.limits,
        };
        let result = parsed.parse(&bytes, &limits);
        let mut message = Message { bytes, parsed };
        match result {
            Ok(()) if message.parsed.is_request() => {
                Stats::add(&self.stats.requests);
                self.on_request(now, from, &mut message);
            }
            Ok(()) => {
                Stats::add(&self.stats.responses);
                self.on_response(now, from, &mut message);
            }
            Err(error) if message.parsed.can_answer() => {
                Stats::add(&self.stats.requests);
                match self.may_answer_malformed(now, from) {
                    true => self.reply_stateless(from, &message, error.response(), b""),
                    false => self.stats.drop_for(DropReason::Malformed),
                }
            }
            Err(_) => {
                self.may_answer_malformed(now, from);
                self.stats.drop_for(DropReason::Malformed);
            }
        }
        // Unless the message was kept, its header table serves the next one.
        self.scratch.parsed = message.parsed;
        self.publish_gauges();
    }

    /// A flow was kept alive by its peer.
    pub(crate) fn handle_keepalive(&mut self, now: Instant, flow: Flow) {
        self.bindings.lock().heard(flow, now);
    }

    /// A connection is closed.
    pub(crate) fn handle_closed(&mut self, flow: Flow) {
        self.bindings.lock().close(flow);
    }

    /// The next action; `None` once all were handed out.
    pub(crate) fn poll(&mut self) -> Option<Action> {
        while let Some((flow, is_bound)) = self.poll_binding() {
            self.protect(flow, Bond::Binding, is_bound);
            self.change_use(flow, is_bound);
        }
        if let Some((flow, is_needed)) = self.uses.poll() {
            return Some(Action::Use { flow, is_needed });
        }
        if let Some(lookup) = self.poll_lookup() {
            return Some(lookup);
        }
        self.actions.pop_front()
    }

    /// Tokens are written with the first of these secrets from now on, and read with the first two.
    pub(crate) fn change_secrets(&mut self, secrets: &[TokenSecret]) {
        self.tokens = TokenKeys::new(secrets, self.key);
    }

    /// New calls are refused from now on, or taken again.
    pub(crate) fn drain(&mut self, is_draining: bool) {
        self.draining = is_draining;
    }

    /// Whether no request waits for its final response and no question for its answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.media_tokens.is_empty()
            && self.own.keys().all(|id| self.probes.is_running(*id))
            && self.transits.values().all(|t| !t.server.is_open())
    }

    fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Tell(Box::new(event)));
    }

    fn change_use(&mut self, flow: Flow, is_needed: bool) {
        if !self.protocol_of(flow.listener).is_stream() || flow.connection == 0 {
            return;
        }
        match is_needed {
            true => self.uses.take(flow),
            false => self.uses.release(flow),
        }
    }

    fn send(&mut self, to: Destination, packet: Packet) {
        self.push(to, packet, 0);
    }

    /// Sends the request of a transit; its branch ends if it cannot leave.
    fn request(&mut self, transit: u64, to: Destination, packet: Packet) {
        self.push(to, packet, transit | REQUEST);
    }

    /// Sends a response to the request of a transit.
    fn reply(&mut self, transit: u64, to: Flow, packet: Packet) {
        self.push(to.into(), packet, transit | RESPONSE);
    }

    fn push(&mut self, to: Destination, packet: Packet, token: u64) {
        self.actions.push_back(Action::Send { to, packet, token });
    }

    /// A number that cannot be guessed and does not repeat. Its last bits are free for [`REQUEST`]
    /// and [`RESPONSE`].
    fn unique(&mut self) -> u64 {
        self.sequence += 1;
        let shard = [self.shard];
        let random = self
            .key
            .hash([&self.sequence.to_be_bytes()[..], &shard, b"unique"]);
        random & !(REQUEST | RESPONSE)
    }

    fn tag(&mut self) -> String {
        format!("{:016x}", self.unique())
    }

    fn poll_binding(&self) -> Option<(Flow, bool)> {
        self.bindings.lock().poll_flow(self.shard)
    }

    /// A Call-ID of our own, whose answers come to this shard.
    fn own_call_id(&mut self) -> String {
        let mut call_id = self.tag();
        for _ in 0..CALL_ID_TRIES {
            if self.choice.of_call_id(call_id.as_bytes()) == self.shard {
                break;
            }
            call_id = self.tag();
        }
        call_id
    }

    fn publish_gauges(&self) {
        let set = |gauge: &std::sync::atomic::AtomicU64, n: usize| {
            gauge.store(n as u64, Ordering::Relaxed);
        };
        set(&self.stats.dialogs, self.dialogs.len());
        set(&self.stats.transactions, self.transits.len());
    }
}
