//! Commands on calls in virtual time, with a data plane that only keeps books.
#![expect(clippy::disallowed_methods, reason = "tests need a start of time")]

mod agents;
mod bounds;
mod branches;
mod created;
mod joined;
mod leaks;
mod lifecycle;
mod masks;
mod media_01_interfaces;
mod media_02_guards;
mod media_03_codecs;
mod media_03_conversions;
mod media_03_learning;
mod media_04_timeouts;
mod media_08_reports;
mod media_10_limits;
mod media_11_blocking;
mod media_11_digits;
mod media_13_recording;
mod media_16_log;
mod media_16_records;
mod merged;
mod ng_05_commands;
mod ng_05_digits;
mod ng_05_recording;
mod ng_05_subscribers;
mod ng_05_subscriptions;
mod ng_05_transform;
mod ng_06_effects;
mod ng_08_ice;
mod ng_08_ice_more;
mod ng_08_rtcp_mux;
mod ng_10_offer_answer;
mod ng_10_parties;
mod ng_11_delete;
mod ng_12_query;
mod ng_13_statistics;
mod ng_14_strings;
mod ng_14_subscriptions;
mod ng_15_defects;
mod proposals;
mod proxy_sequences;
mod refused;
mod reoffers;
mod sdp_01_parsing;
mod sdp_02_carried;
mod sdp_02_extensions;
mod sdp_03_lines;
mod sdp_03_order;
mod sdp_04_origin;
mod sdp_05_ports;
mod sdp_06_direction;
mod sdp_07_reoffers;
mod sdp_07_sdes;
mod sdp_08_dtls;
mod sdp_09_bundle;
mod sdp_09_bundling;
mod sdp_10_ice;
mod sdp_11_not_rtp;
mod sdp_12_answers;
mod sdp_12_codecs;
mod sdp_13_publish;
mod secure;
mod subscribers;
mod texts;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use windlass_dtls::CertificateConfig;
use windlass_ng::limits::REPLY_ELEMENTS;
use windlass_ng::{Dict, Encoding, Templates, Value, bencode, read_request};

use super::ports::{Interfaces, LocalAddress, PortPool};
use super::{Calls, Defaults, Forwarding, Identity, Limits, Loss, Now, Observer, Timeouts};
use crate::flow::agent::AgentSpec;
use crate::flow::port::{OpenPort, PortHandle, PortLease};
use crate::flow::state::LeasedFlow;
use crate::flow::{FlowChange, FlowSpec, Injection, Plan, PlanError, PlanRefused};

/// Flows in force, with their leases.
#[derive(Default)]
struct Books {
    flows: Mutex<HashMap<SocketAddr, (FlowSpec, PortLease)>>,
    /// Agents in force, of whatever call.
    agents: Mutex<Vec<AgentSpec>>,
    clock_ms: Mutex<u64>,
    /// Digits that were to be played.
    played: Mutex<Vec<Injection>>,
    /// So many flows are still installed before the system refuses one.
    room: Mutex<Option<usize>>,
}

impl Forwarding for Books {
    fn pick_worker(&self) -> usize {
        0
    }

    fn losses(&self) -> Vec<Loss> {
        vec![Loss {
            name: "flow_events",
            warning: None,
            count: 3,
        }]
    }

    fn apply(
        &self,
        plan: Plan,
        mut leases: Vec<LeasedFlow>,
    ) -> Result<Vec<LeasedFlow>, PlanRefused> {
        let mut flows = self.flows.lock().unwrap();
        let is_install = |change: &&FlowChange| matches!(change, FlowChange::Install(_));
        let installs = plan.changes.iter().filter(is_install).count();
        let mut room = self.room.lock().unwrap();
        if let Some(left) = *room {
            if installs > left {
                *room = None;
                let reason = PlanError::NoWorker(plan.worker);
                return Err(PlanRefused { reason, leases });
            }
            *room = Some(left - installs);
        }
        let mut removed = Vec::new();
        for change in plan.changes {
            match change {
                FlowChange::Install(spec) => {
                    let mut places = leases.iter();
                    let position = places.position(|flow| flow.lease.local() == spec.local);
                    let lease = leases.swap_remove(position.expect("a lease for every install"));
                    let lease = lease.lease;
                    assert!(flows.insert(spec.local, (spec, lease)).is_none());
                }
                FlowChange::Change(spec) => {
                    let flow = flows.get_mut(&spec.local).expect("a flow to change");
                    flow.0 = spec;
                }
                FlowChange::Remove(local) => {
                    let (_, lease) = flows.remove(&local).expect("a flow to remove");
                    removed.push(lease.into());
                }
            }
        }
        for (spec, _) in flows.values() {
            for sink in &spec.sinks {
                assert!(flows.contains_key(&sink.via), "a sink without a flow");
            }
        }
        if let Some(agents) = plan.agents {
            *self.agents.lock().unwrap() = agents;
        }
        removed.append(&mut leases);
        Ok(removed)
    }

    fn packet_clock_ms(&self) -> u64 {
        *self.clock_ms.lock().unwrap()
    }

    fn inject(&self, _: usize, injection: Injection) -> Result<(), &'static str> {
        self.played.lock().unwrap().push(injection);
        Ok(())
    }
}

struct OpensAll;

impl OpenPort for OpensAll {
    fn open(&self, _local: SocketAddr) -> io::Result<PortHandle> {
        Ok(PortHandle::new(()))
    }
}

/// A relay without a network.
pub(crate) struct Bench {
    pub(crate) calls: Calls,
    books: Arc<Books>,
    pub(crate) now: Now,
    rng: StdRng,
}

impl Bench {
    /// `203.0.113.1` and `2001:db8::1`, as in the specification's examples.
    pub(crate) fn new() -> Self {
        Self::on(
            &[
                ("default", "203.0.113.1", None),
                ("default", "2001:db8::1", None),
            ],
            30_000,
            39_999,
        )
    }

    /// The dual-homed host of the examples.
    fn dual_homed() -> Self {
        let int = ("int", "192.0.2.10", Some("198.51.100.99"));
        let ext = [("ext", "203.0.113.1", None), ("ext", "2001:db8::1", None)];
        Self::on(&[ext[0], ext[1], int], 30_000, 39_999)
    }

    /// Whose ended calls are told to somebody.
    fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self {
            calls: self.calls.with_observer(observer),
            ..self
        }
    }

    fn on(addresses: &[(&str, &str, Option<&str>)], min: u16, max: u16) -> Self {
        let mut rng = StdRng::seed_from_u64(11);
        let addresses = addresses
            .iter()
            .map(|(name, address, advertised)| LocalAddress {
                name: (*name).into(),
                address: address.parse().unwrap(),
                advertised: advertised.unwrap_or(address).parse().unwrap(),
                pool: Arc::new(PortPool::new(min, max, &mut rng)),
            });
        let interfaces = Interfaces::new(addresses.collect(), Arc::new(OpensAll));
        let books = Arc::new(Books::default());
        let started = Instant::now();
        let local = interfaces.addresses().iter().map(|a| a.address);
        let unix = Duration::from_secs(1_700_000_000);
        let certificate = CertificateConfig::default();
        let identity = Identity::new(certificate, unix, local, "windlass-1", &mut rng).unwrap();
        let calls = Calls::new(
            interfaces,
            identity,
            books.clone(),
            Defaults::default(),
            Timeouts {
                total: Some(Duration::from_secs(36_000)),
                ..Timeouts::default()
            },
            Limits::default(),
            started,
        );
        let now = Now {
            instant: started,
            unix: Duration::from_secs(1_700_000_000),
        };
        Self {
            calls,
            books,
            now,
            rng: StdRng::seed_from_u64(5),
        }
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now.instant += Duration::from_secs(seconds);
        self.now.unix += Duration::from_secs(seconds);
        *self.books.clock_ms.lock().unwrap() += seconds * 1000;
        self.calls.handle_timeout(self.now);
    }

    /// The reply, as the proxy reads it.
    pub(crate) fn ask(&mut self, request: Dict) -> Dict {
        self.ask_from("127.0.0.1:2222", request)
    }

    /// The same for another proxy.
    fn ask_from(&mut self, source: &str, request: Dict) -> Dict {
        let (request, _) = read_request(&request.to_bencode(), &Templates::new());
        let request = request.unwrap();
        let source = source.parse().unwrap();
        let reply = self.calls.serve(&request, source, self.now, &mut self.rng);
        let mut text = Vec::new();
        reply.write(Encoding::Bencode, usize::MAX, &mut text);
        bencode::decode(&text, REPLY_ELEMENTS)
            .unwrap()
            .root()
            .to_dict()
    }

    /// The SDP of a reply, its lines ended by LF.
    fn sdp(&mut self, request: Dict) -> String {
        let reply = self.ask(request);
        let sdp = reply.get_str("sdp").unwrap_or_else(|| panic!("{reply:?}"));
        sdp.replace("\r\n", "\n")
    }

    pub(crate) fn leased(&self) -> usize {
        self.calls
            .interfaces()
            .addresses()
            .iter()
            .map(|address| address.pool.used())
            .sum()
    }

    pub(crate) fn flows(&self) -> usize {
        self.books.flows.lock().unwrap().len()
    }
}

pub(crate) fn offer(sdp: &str) -> Dict {
    message("offer", sdp).with("from-tag", "F")
}

pub(crate) fn answer(sdp: &str) -> Dict {
    message("answer", sdp)
        .with("from-tag", "F")
        .with("to-tag", "T")
}

fn message(command: &'static str, sdp: &str) -> Dict {
    Dict::new()
        .with("command", command)
        .with("call-id", "call")
        .with("sdp", sdp.replace('\n', "\r\n"))
}

/// An offer of the answerer.
fn offer_of_b(lines: &str) -> Dict {
    message("offer", &party("198.51.100.20", lines))
        .with("from-tag", "T")
        .with("to-tag", "F")
}

/// The offerer's answer to it.
fn answer_of_a(lines: &str) -> Dict {
    message("answer", &party("198.51.100.10", lines))
        .with("from-tag", "T")
        .with("to-tag", "F")
}

fn strings(list: &[&str]) -> Value {
    Value::List(list.iter().map(|text| Value::from(*text)).collect())
}

/// A description of these media lines.
fn party(host: &str, lines: &str) -> String {
    format!("v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\n{lines}")
}

/// The offer of the caller, at .10.
fn from_a(lines: &str) -> Dict {
    offer(&party("198.51.100.10", lines))
}

/// The answer of the callee, at .20.
fn from_b(lines: &str) -> Dict {
    answer(&party("198.51.100.20", lines))
}

/// A command on the call, or with `id` another one.
fn command(name: &'static str) -> Dict {
    Dict::new().with("command", name).with("call-id", "call")
}

/// What a reply says: `ok`, the warning, or the reason of an error.
fn said(reply: &Dict) -> &str {
    match reply.get_str("result") {
        Some("ok") => reply.get_str("warning").unwrap_or("ok"),
        Some("error") => reply.get_str("error-reason").unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The value at a path through dictionaries and lists: `tags/F/medias/0`.
fn find<'a>(dict: &'a Dict, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let mut value = dict.get(first)?;
    for step in rest.split('/').filter(|step| !step.is_empty()) {
        value = match value {
            Value::Dict(dict) => dict.get(step)?,
            Value::List(list) => list.get(step.parse::<usize>().unwrap())?,
            _ => return None,
        };
    }
    Some(value)
}

/// The same where it must be.
fn at<'a>(dict: &'a Dict, path: &str) -> &'a Value {
    find(dict, path).unwrap_or_else(|| panic!("no {path} in {dict:?}"))
}

/// The keys of the dictionary at a path, in order.
fn keys(dict: &Dict, path: &str) -> Vec<String> {
    let dict = if path.is_empty() {
        dict
    } else {
        at(dict, path).as_dict().unwrap()
    };
    dict.iter()
        .map(|(key, _)| key.escape_ascii().to_string())
        .collect()
}

/// A phone's SDP: one PCMA stream, with lines added.
pub(crate) fn audio(host: &str, port: u16, more: &str) -> String {
    let family = if host.contains(':') { "IP6" } else { "IP4" };
    format!(
        "v=0\no=- 1 1 IN {family} {host}\ns=-\nc=IN {family} {host}\nt=0 0\n\
         m=audio {port} RTP/AVP 8\n{more}"
    )
}

/// The port of the n-th m= line.
fn port(sdp: &str, line: usize) -> u16 {
    let media = sdp.split("\nm=").nth(line + 1).unwrap();
    media.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Port numbers of the pool by order of appearance, for golden texts.
pub(crate) fn numbered(sdp: &str) -> String {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut out = String::new();
    let mut rest = sdp;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        out.push_str(before);
        let is_ours = number.len() == 5 && ("30000"..="39999").contains(&number);
        if is_ours {
            let next = format!("PORT{}", names.len());
            out.push_str(names.entry(number.to_owned()).or_insert(next));
        } else {
            out.push_str(number);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// What a closure gives, and what it logs.
fn logged<T>(closure: impl FnOnce() -> T) -> (T, String) {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let outcome = tracing::subscriber::with_default(subscriber, closure);
    let bytes = lines.0.lock().unwrap().clone();
    (outcome, String::from_utf8(bytes).unwrap())
}
