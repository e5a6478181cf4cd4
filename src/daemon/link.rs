//! Adapters around calls: the data plane for them, and the command handler for ng.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use windlass_ng::{Command, Dict, Handler, Outcome, Reply, Request, Source, Value, errors};

use super::console::Operator;
use super::now;
use super::recorder::OpenRecordings;
use crate::agents::Agents;
use crate::call::{Forwarding, Loss};
use crate::ctl::{NO_READER, Role};
use crate::dataplane::Dataplane;
use crate::flow::state::LeasedFlow;
use crate::flow::stats::WorkerStats;
use crate::flow::{FlowChange, Injection, Plan, PlanRefused};
use crate::observe::lines;
use crate::observe::log::{self, LeftOut, LogBudget};

/// The data plane, as calls see it.
pub(super) struct Link {
    pub(super) dataplane: Arc<Dataplane>,
    pub(super) agents: Arc<Agents>,
    pub(super) recordings: Option<Arc<OpenRecordings>>,
}

impl Forwarding for Link {
    fn pick_worker(&self) -> usize {
        self.dataplane.pick_worker()
    }

    fn apply(
        &self,
        mut plan: Plan,
        leases: Vec<LeasedFlow>,
    ) -> Result<Vec<LeasedFlow>, PlanRefused> {
        let (call, worker, agents) = (plan.call, plan.worker, plan.agents.take());
        let tell = |agents| {
            self.agents.apply(call, worker, agents, |departures| {
                self.dataplane.send_all(departures);
            });
        };
        let is_removal = |change: &FlowChange| matches!(change, FlowChange::Remove(_));
        match agents {
            // Nothing of it can be refused; agents say good-bye from ports that are still there.
            Some(agents) if plan.changes.iter().all(is_removal) => {
                tell(agents);
                self.dataplane.apply(plan, leases)
            }
            Some(agents) => {
                let removed = self.dataplane.apply(plan, leases)?;
                tell(agents);
                Ok(removed)
            }
            None => self.dataplane.apply(plan, leases),
        }
    }

    fn catch_up(&self, worker: usize, call: u64) {
        self.dataplane.catch_up(worker, call);
    }

    fn packet_clock_ms(&self) -> u64 {
        self.dataplane.clock_ms()
    }

    fn worker_stats(&self) -> Vec<Arc<WorkerStats>> {
        self.dataplane.worker_stats()
    }

    fn losses(&self) -> Vec<Loss> {
        let workers = self.dataplane.worker_stats();
        let sum = |counter: fn(&WorkerStats) -> &AtomicU64| {
            let counters = workers.iter().map(|worker| counter(worker).load(Relaxed));
            counters.sum()
        };
        let recorder = self.recordings.as_ref();
        let recorder = recorder.map(|recordings| recordings.counters());
        let recorder = recorder.unwrap_or_default();
        let loss = |name, warning, count| Loss {
            name,
            warning: Some(warning),
            count,
        };
        vec![
            Loss {
                name: "log_lines",
                warning: None,
                count: lines::lost(),
            },
            loss(
                "flow_events",
                "events of flows lost: digits and sources may be missing from log and reports",
                self.dataplane.lost_events(),
            ),
            loss(
                "agent_datagrams",
                "STUN or DTLS lost: more than the agents can handle",
                self.agents.inbox().lost(),
            ),
            loss(
                "queued_packets",
                "packets lost: a worker cannot keep up with its queue",
                sum(|worker| &worker.overflowed),
            ),
            loss(
                "worker_waits",
                "a worker cannot wait for packets",
                sum(|worker| &worker.failed_waits),
            ),
            loss(
                "recorder_queue",
                "packets or SDP not recorded: too many wait for the disk",
                recorder.dropped,
            ),
            Loss {
                name: "recorder_disk",
                warning: None,
                count: recorder.lost,
            },
        ]
    }

    fn inject(&self, worker: usize, injection: Injection) -> Result<(), &'static str> {
        self.dataplane.inject(worker, injection)
    }

    fn route_to(&self, peer: IpAddr) -> Option<IpAddr> {
        // Connecting a UDP socket sends nothing; it only makes the system choose an address.
        let any: IpAddr = match peer {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((peer, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }
}

/// The calls, as the ng transports see them.
pub(super) struct Commands {
    pub(super) operator: Arc<Operator>,
    pub(super) strangers: Arc<Strangers>,
}

/// Requests of those whom nobody has named, and of the edge, which asks for whoever calls: what they
/// write into the log has a budget.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// Where the edge asks from.
    pub(super) edge: OnceLock<SocketAddr>,
    budget: LogBudget,
}

impl Strangers {
    /// Whether a request is left out of the log.
    fn is_left_out(&self, operator: &Operator, request: &Request, source: &Source) -> bool {
        let is_of_edge = self.edge.get() == Some(&source.addr);
        if !is_of_edge && operator.roles.of(source) == Role::Reader {
            return false;
        }
        let id = request.call_id.as_ref();
        if id.is_some_and(|id| operator.calls.is_quiet(id)) {
            return true;
        }
        let host = match is_of_edge {
            false => Some(source.addr.ip()),
            true => request.received_from,
        };
        host.is_some_and(|host| {
            let (is_logged, left_out) = self.budget.spend(host, now().instant);
            if let Some(LeftOut(requests)) = left_out {
                tracing::warn!(
                    requests,
                    "requests of strangers not logged: more than their share"
                );
            }
            !is_logged
        })
    }
}

impl Handler for Commands {
    fn handle(&self, request: &Request, source: &Source) -> Reply {
        let is_left_out = self.strangers.is_left_out(&self.operator, request, source);
        log::quietly(is_left_out, || self.serve(request, source))
    }

    fn refused(&self, source: &Source, reason: &str) {
        tracing::debug!(source = %source.addr, reason, "request refused");
        let calls = &self.operator.calls;
        calls.count_command(source.addr, None, Duration::ZERO, true);
    }
}

impl Commands {
    fn serve(&self, request: &Request, source: &Source) -> Reply {
        let began = now();
        let calls = &self.operator.calls;
        let id = request.call_id.as_ref();
        let debugged = id.filter(|id| calls.is_debugged(id));
        let (name, from) = (request.command.name(), source.addr);
        if let Some(id) = id {
            tracing::info!(call_id = %id, "Received command '{name}' from {from}");
        }
        if let Some(id) = debugged {
            let command = name;
            let sdp = request.sdp.as_deref().map(without_keys);
            tracing::info!(
                call_id = %id, source = %source.addr, command, ?request, sdp, "debug: request"
            );
        }
        let reply = match request.command {
            Command::Cli => self.cli(request, source),
            Command::List if self.operator.roles.of(source) != Role::Reader => {
                Reply::error(NO_READER)
            }
            _ => calls.serve(request, source.addr, began, &mut rand::rng()),
        };
        if let Some(id) = id.filter(|_| request.flags.debug()) {
            calls.set_debug(id, true);
        }
        let took = now().instant.saturating_duration_since(began.instant);
        let failed = reply.is_error();
        if let Outcome::Error(reason) = &reply.outcome {
            let (id, what) = (id.map(tracing::field::display), summary(request));
            tracing::warn!(
                call_id = id,
                "Protocol error in packet from {from}: {reason} [{what}]"
            );
        }
        if let Some(id) = debugged {
            let sdp = reply.body.get("sdp").and_then(Value::as_bytes);
            let (sdp, outcome) = (sdp.map(without_keys), &reply.outcome);
            tracing::info!(call_id = %id, ?outcome, sdp, ?took, "debug: reply");
        }
        if let Some(id) = id {
            let seconds = took.as_secs_f64();
            tracing::info!(
                call_id = %id,
                "Replying to '{name}' from {from} (elapsed time {seconds:.6} sec)"
            );
        }
        calls.count_command(source.addr, Some(request.command), took, failed);
        reply
    }

    fn cli(&self, request: &Request, source: &Source) -> Reply {
        match &request.rare.body {
            Some(line) => Reply::ok(Dict::new().with("response", self.operator.run(line, source))),
            None => Reply::error(errors::NO_BODY),
        }
    }
}

/// A request for the log: what it is about, without its SDP, which may hold keys.
fn summary(request: &Request) -> String {
    let mut text = request.command.name().to_owned();
    let tags = [("from-tag", &request.from_tag), ("to-tag", &request.to_tag)];
    for (key, tag) in tags {
        if let Some(tag) = tag {
            text.push_str(&format!(" {key}={tag}"));
        }
    }
    text
}

/// An SDP for the log: keys and passwords are left out.
fn without_keys(sdp: &[u8]) -> String {
    let text = String::from_utf8_lossy(sdp);
    let lines = text.lines().map(|line| {
        let at = ["inline:", "a=ice-pwd:", "k="]
            .into_iter()
            .find_map(|secret| {
                let at = line
                    .find(secret)
                    .filter(|at| *at == 0 || secret == "inline:")?;
                Some(at + secret.len())
            });
        let shown = at.and_then(|at| line.get(..at));
        shown.map_or_else(|| line.to_owned(), |shown| format!("{shown}…"))
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_summed_up() {
        let request = Dict::new()
            .with("command", "answer")
            .with("call-id", "c")
            .with("from-tag", "a")
            .with("to-tag", "b")
            .with("sdp", "a=crypto:1 x inline:secret");
        let payload = request.to_bencode();
        let (request, _) = windlass_ng::read_request(&payload, &windlass_ng::Templates::new());
        assert_eq!(summary(&request.unwrap()), "answer from-tag=a to-tag=b");
    }

    #[test]
    fn keys_are_not_logged() {
        let sdp = b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret\r\n\
            a=ice-pwd:secret\r\nk=clear:secret\r\na=mark=1\r\n";
        assert_eq!(
            without_keys(sdp),
            "v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…\r\na=ice-pwd:…\r\nk=…\r\na=mark=1"
        );
    }
}
