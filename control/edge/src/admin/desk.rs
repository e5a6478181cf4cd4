//! Carries out the orders of operators.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::order::{Cursor, Ending, Order, Page, Refusal};
use super::reload::ConfigSource;
use super::role::Keys;
use crate::config::TokenSecret;
use crate::edge::clock;
use crate::guard::Logs;
use crate::limits;
use crate::meter::Messages;
use crate::proxy::{Call, CallFilter, Listed, Proxy, Registration, Snapshot};
use crate::record::event::Events;
use crate::register::SharedBindings;
use crate::stats::{Stats, StatsSnapshot};
use crate::transport::{Choice, Transports};

/// What a shard is told from outside.
pub(crate) enum Command {
    /// To be done between two messages. It is short.
    Ask(Job),
    /// Another configuration; answered once it is in force.
    Reload(Snapshot, oneshot::Sender<()>),
}

type Job = Box<dyn FnOnce(&mut Proxy, Instant) + Send>;

/// An answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Json(Value),
    /// Prometheus's text format.
    Metrics(String),
    /// The stream of events.
    Events,
    /// For a balancer: whether all is well, and what is not.
    Health(Vec<String>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(super) shards: Vec<mpsc::Sender<Command>>,
    pub(super) choice: Choice,
    /// The configuration in force.
    pub(super) snapshot: RwLock<Snapshot>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) events: Events,
    pub(super) stats: Vec<Arc<Stats>>,
    bindings: SharedBindings,
    pub(super) messages: Vec<Arc<Messages>>,
    /// The edge owns the sockets, and closes them.
    pub(super) transports: Weak<Transports>,
    pub(super) source: Option<Arc<dyn ConfigSource>>,
    /// Who may ask over HTTP.
    pub(super) keys: RwLock<Keys>,
    /// Reloads and edits of lists: one after the other.
    pub(super) changing: tokio::sync::Mutex<()>,
    pub(super) draining: AtomicBool,
    drainer: Mutex<Option<JoinHandle<()>>>,
    pub(super) readers: AtomicUsize,
}

/// The parts of a running edge that a desk works with.
pub(crate) struct Parts {
    pub(crate) shards: Vec<mpsc::Sender<Command>>,
    pub(crate) choice: Choice,
    pub(crate) snapshot: Snapshot,
    pub(crate) logs: Arc<Logs>,
    pub(crate) events: Events,
    pub(crate) stats: Vec<Arc<Stats>>,
    pub(crate) bindings: SharedBindings,
    pub(crate) messages: Vec<Arc<Messages>>,
    pub(crate) transports: Weak<Transports>,
    pub(crate) source: Option<Arc<dyn ConfigSource>>,
    pub(crate) keys: Keys,
}

impl Desk {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            shards: parts.shards,
            choice: parts.choice,
            snapshot: RwLock::new(parts.snapshot),
            logs: parts.logs,
            events: parts.events,
            stats: parts.stats,
            bindings: parts.bindings,
            messages: parts.messages,
            transports: parts.transports,
            source: parts.source,
            keys: RwLock::new(parts.keys),
            changing: tokio::sync::Mutex::default(),
            draining: AtomicBool::new(false),
            drainer: Mutex::default(),
            readers: AtomicUsize::new(0),
        }
    }

    /// The counters of all shards, with what they share.
    pub(crate) fn stats(&self) -> StatsSnapshot {
        let mut all = StatsSnapshot::sum(self.stats.iter().map(|stats| stats.snapshot()));
        let bindings = self.bindings.lock();
        (all.bindings, all.flows) = (bindings.len() as u64, bindings.flows() as u64);
        drop(bindings);
        if let Some(transports) = self.transports.upgrade() {
            all.add_transports(&transports.stats());
        }
        all
    }

    /// The configuration in force.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.snapshot.read().clone()
    }

    /// Carries an order out.
    ///
    /// # Errors
    /// Why nothing was done.
    pub(crate) async fn obey(self: &Arc<Self>, order: Order) -> Result<Answer, Refusal> {
        let json = match order {
            Order::Events => return Ok(Answer::Events),
            Order::Health => return Ok(Answer::Health(self.faults())),
            Order::Ready => return Ok(Answer::Health(self.troubles())),
            Order::Metrics => return Ok(Answer::Metrics(self.metrics().await)),
            Order::Calls(page) => self.list_calls(&page).await,
            Order::Call(id) => self.show_call(id).await?,
            Order::EndCall { id, ending } => self.end_one(id, &ending).await?,
            Order::EndCalls {
                filter,
                max,
                ending,
            } => json!({ "ended": self.end_calls(&filter, max, &ending).await }),
            Order::Limits => self.limits()?,
            Order::Limit { class, key } => self.limit(&class, key.as_deref())?,
            Order::Bans { limit } => self.bans(limit)?,
            Order::Ban(source) => self.ban(source)?,
            Order::AddBan { ip, port, lasts } => self.add_ban(ip, port, lasts)?,
            Order::LiftBan(source) => self.lift_ban(source)?,
            Order::Lists => self.lists()?,
            Order::List { name } => self.list(&name)?,
            Order::TestList { name, number, user } => self.test_list(&name, &number, &user)?,
            Order::PutEntry {
                name,
                prefix,
                user,
                rule,
            } => self.edit_list(&name, &prefix, &user, Some(rule)).await?,
            Order::RemoveEntry { name, prefix, user } => {
                self.edit_list(&name, &prefix, &user, None).await?
            }
            Order::Targets => self.targets(),
            Order::Target(id) => self.target(&id)?,
            Order::ChangeTarget { id, change } => self.change_target(&id, &change).await?,
            Order::Route(run) => self.dry_run(&run)?,
            Order::Registrations { aor, limit, after } => {
                self.registrations(aor, limit, after).await
            }
            Order::RemoveRegistrations { aor } => {
                let mut removed = 0;
                for shard in 0..self.shards.len() {
                    let aor = aor.clone();
                    let one = self.ask(shard, move |proxy, _| proxy.remove_registrations(&aor));
                    removed += one.await.unwrap_or_default();
                }
                json!({ "removed": removed })
            }
            Order::Reload { file } => self.reload(file.as_deref()).await?,
            Order::Explain(puzzle) => self.explain(*puzzle).await?,
            Order::Drain { deadline } => self.drain(deadline).await,
            Order::Undrain => {
                self.stop_draining().await;
                json!({ "draining": false })
            }
        };
        Ok(Answer::Json(json))
    }

    /// Has a shard do something between two messages. `None`: it has stopped.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        shard: usize,
        job: impl FnOnce(&mut Proxy, Instant) -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |proxy, now| {
            // Who asked may have gone meanwhile.
            let _ = tell.send(job(proxy, now));
        });
        self.shards.get(shard)?.send(Command::Ask(job)).await.ok()?;
        told.await.ok()
    }

    /// The calls that `filter` names, at most `most`, and where the list goes on.
    pub(crate) async fn calls(
        &self,
        filter: &CallFilter,
        most: usize,
        after: Option<Cursor>,
    ) -> (Vec<Call>, Option<Cursor>) {
        let mut all = Vec::new();
        let mut at = after.unwrap_or_default();
        while at.shard < self.shards.len() {
            if all.len() >= most {
                return (all, Some(at));
            }
            let (filter, after, most) = (filter.clone(), at.after, most - all.len());
            let asked = self.ask(at.shard, move |proxy, now| {
                proxy.calls(now, &filter, after, most)
            });
            let page = asked.await.unwrap_or(Listed {
                found: Vec::new(),
                next: None,
            });
            all.extend(page.found);
            at = following(at, page.next);
        }
        (all, None)
    }

    /// Ends the calls that `filter` names, at most `most`; how many those are. Their parties are told
    /// meanwhile.
    pub(crate) async fn end_calls(
        &self,
        filter: &CallFilter,
        most: usize,
        ending: &Ending,
    ) -> usize {
        let mut count = 0;
        let mut at = Cursor::default();
        while at.shard < self.shards.len() && count < most {
            let (filter, ending) = (filter.clone(), ending.clone());
            let bounds = (at.after, most - count);
            let asked = self.ask(at.shard, move |proxy, now| {
                proxy.end_calls(now, &filter, bounds, (ending.cause, &ending.text))
            });
            let page = asked.await.unwrap_or(Listed {
                found: 0,
                next: None,
            });
            count += page.found;
            at = following(at, page.next);
        }
        count
    }

    /// Shards write tokens with the first of these secrets from now on.
    pub(crate) async fn change_secrets(&self, secrets: &[TokenSecret]) {
        for shard in 0..self.shards.len() {
            let secrets = secrets.to_vec();
            // A shard that has stopped writes none.
            let _ = self
                .ask(shard, move |proxy, _| proxy.change_secrets(&secrets))
                .await;
        }
    }

    async fn list_calls(&self, page: &Page) -> Value {
        let (calls, next) = self.calls(&page.filter, page.limit, page.after).await;
        let calls: Vec<Value> = calls.iter().map(call_json).collect();
        json!({ "calls": calls, "cursor": next.map(Cursor::to_text) })
    }

    async fn show_call(&self, id: u64) -> Result<Value, Refusal> {
        let (calls, _) = self.calls(&of_id(id), 1, None).await;
        calls.first().map(call_json).ok_or_else(no_call)
    }

    async fn end_one(&self, id: u64, ending: &Ending) -> Result<Value, Refusal> {
        match self.end_calls(&of_id(id), 1, ending).await {
            0 => Err(no_call()),
            ended => Ok(json!({ "ended": ended })),
        }
    }

    async fn registrations(
        &self,
        aor: Option<Vec<u8>>,
        limit: usize,
        after: Option<Cursor>,
    ) -> Value {
        let mut all = Vec::new();
        let mut at = after.unwrap_or_default();
        while at.shard < self.shards.len() && all.len() < limit {
            let (aor, after, most) = (aor.clone(), at.after, limit - all.len());
            let asked = self.ask(at.shard, move |proxy, now| {
                proxy.registrations(now, aor.as_deref(), after, most)
            });
            let page = asked.await.unwrap_or(Listed {
                found: Vec::new(),
                next: None,
            });
            all.extend(page.found);
            at = following(at, page.next);
        }
        let next = (at.shard < self.shards.len()).then(|| at.to_text());
        let all: Vec<Value> = all.iter().map(registration_json).collect();
        json!({ "registrations": all, "cursor": next })
    }

    async fn explain(&self, puzzle: super::order::Puzzle) -> Result<Value, Refusal> {
        let super::order::Puzzle {
            message,
            source,
            zone,
        } = puzzle;
        let shard = self.choice.of(&message);
        let named = zone.clone();
        let asked = self.ask(shard, move |proxy, now| {
            proxy.explain(now, source, zone.as_deref(), message.as_slice().into())
        });
        let explained = asked.await.ok_or_else(stopped)?;
        let explained = explained.ok_or_else(|| {
            let zone = named.unwrap_or_default();
            Refusal::new(422, format!("no zone is called \"{zone}\""))
        })?;
        Ok(super::explain::to_json(&explained))
    }

    /// New calls are refused from now on; with a deadline, calls that are left then are ended.
    pub(crate) async fn drain(self: &Arc<Self>, deadline: Option<Duration>) -> Value {
        self.set_draining(true).await;
        let drainer = deadline.map(|deadline| {
            let desk = Arc::downgrade(self);
            tokio::spawn(async move {
                tokio::time::sleep(deadline).await;
                let Some(desk) = desk.upgrade() else {
                    return;
                };
                let ended = desk.end_all("Drained").await;
                tracing::info!(ended, "the time to drain is over");
            })
        });
        // The last order counts, also if it has no deadline.
        if let Some(before) = std::mem::replace(&mut *self.drainer.lock(), drainer) {
            before.abort();
        }
        json!({ "draining": true, "deadline_s": deadline.map(|d| d.as_secs()) })
    }

    /// Ends every call; how many those were.
    pub(crate) async fn end_all(&self, text: &str) -> usize {
        let ending = Ending {
            cause: 503,
            text: text.to_owned(),
        };
        self.end_calls(&CallFilter::default(), usize::MAX, &ending)
            .await
    }

    async fn stop_draining(&self) {
        if let Some(drainer) = self.drainer.lock().take() {
            drainer.abort();
        }
        self.set_draining(false).await;
    }

    async fn set_draining(&self, is_draining: bool) {
        self.draining.store(is_draining, Ordering::Relaxed);
        for shard in 0..self.shards.len() {
            self.ask(shard, move |proxy, _| proxy.drain(is_draining))
                .await;
        }
    }

    /// Why the process is to be started again.
    pub(crate) fn faults(&self) -> Vec<String> {
        let dead = self.shards.iter().filter(|shard| shard.is_closed()).count();
        let fault = || format!("{dead} of {} shards have failed", self.shards.len());
        (dead > 0).then(fault).into_iter().collect()
    }

    /// Why no calls should be sent here.
    fn troubles(&self) -> Vec<String> {
        let mut troubles = self.faults();
        if self.draining.load(Ordering::Relaxed) {
            troubles.push("draining".to_owned());
        }
        for (log, waiting) in self.logs.waiting() {
            if waiting > 0 {
                troubles.push(format!("{log}: {waiting} lines wait for the disk"));
            }
        }
        let pools = self.snapshot.read().routing.pools().clone();
        for pool in pools.names().filter(|pool| !pools.is_available(pool)) {
            troubles.push(format!("upstream {pool} has no target that works"));
        }
        troubles
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(drainer) = self.drainer.get_mut().take() {
            drainer.abort();
        }
    }
}

/// Where a list goes on after a page of a shard.
fn following(at: Cursor, next: Option<u64>) -> Cursor {
    match next {
        Some(after) => Cursor {
            after: Some(after),
            ..at
        },
        None => Cursor {
            shard: at.shard + 1,
            after: None,
        },
    }
}

fn of_id(id: u64) -> CallFilter {
    CallFilter {
        id: Some(id),
        ..CallFilter::default()
    }
}

fn no_call() -> Refusal {
    Refusal::new(404, "there is no such call")
}

pub(super) fn stopped() -> Refusal {
    Refusal::new(503, "the edge is stopping")
}

fn call_json(call: &Call) -> Value {
    json!({
        "id": format!("{:016x}", call.id),
        "state": call.state.as_str(),
        "caller": call.caller,
        "callee": call.callee,
        "user": call.user,
        "peer": call.peer,
        "src": call.source.to_string(),
        "target": call.target_id,
        "target_addr": call.target.to_string(),
        "zone_in": call.zones.0,
        "zone_out": call.zones.1,
        "age_s": call.age.as_secs(),
        "answered_s": call.answered.map(|since| since.as_secs()),
        "call_id": call.call_id,
        "from_tag": call.tags.0,
        "to_tag": call.tags.1,
        "limits": call.classes,
    })
}

fn registration_json(one: &Registration) -> Value {
    json!({
        "aor": String::from_utf8_lossy(&one.aor),
        "contact": String::from_utf8_lossy(&one.contact),
        "src": one.source.to_string(),
        "zone": one.zone,
        "proto": one.protocol,
        "expires_s": one.expires.as_secs(),
    })
}

/// Now, for what the desk itself reads.
pub(super) fn now() -> Instant {
    clock()
}

/// A place among the readers of events; it is given back with the value.
#[derive(Debug)]
pub(super) struct Reader(Arc<Desk>);

impl Reader {
    pub(super) fn take(desk: &Arc<Desk>) -> Result<Self, Refusal> {
        let before = desk.readers.fetch_add(1, Ordering::Relaxed);
        let reader = Self(desk.clone());
        if before >= limits::EVENT_READERS {
            let most = limits::EVENT_READERS;
            return Err(Refusal::new(
                503,
                format!("{most} readers of events already"),
            ));
        }
        Ok(reader)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}
