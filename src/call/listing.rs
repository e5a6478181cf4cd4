//! `query`, `list` and `statistics` (spec: ng-protocol §5, §12, §13).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use windlass_ng::errors;
use windlass_ng::{Dict, Reply, Request, Tag, Value};

use super::conversion;
use super::model::call::Now;
use super::query::{PacketClock, Selection};
use super::serve::{Calls, Loss};
use super::table::{lock, lock_to_look};

/// Default of `list`'s limit (ng-protocol §5).
const DEFAULT_LIST_LIMIT: usize = 32;

impl Calls {
    pub(super) fn query(&self, request: &Request, now: Now) -> Reply {
        let id = match request.require_call_id() {
            Ok(id) => id,
            Err(reason) => return Reply::error(reason),
        };
        let Some(entry) = self.table.find(id) else {
            return Reply::error(errors::UNKNOWN_CALL_ID);
        };
        let slot = lock(&entry);
        let Some(call) = slot.as_ref() else {
            return Reply::error(errors::UNKNOWN_CALL_ID);
        };
        let not_empty = |tag: &&Tag| !tag.is_empty();
        let to_tag = request.to_tag.as_ref().filter(not_empty);
        let tag = to_tag.or(request.from_tag.as_ref());
        let selection = tag.map_or(Selection::All, |tag| call.selection_of(tag));
        self.forwarding.catch_up(call.worker, call.number);
        let mut reply = call.describe(&selection, self.packet_clock(now), &self.defaults);
        if let Some((tag, live)) = tag.and_then(|tag| Some((tag, call.successor_of(tag)?))) {
            let ended = Dict::new().with("tag", tag).with("followed by", live);
            reply.push("ended branch", ended);
        }
        Reply::ok(reply)
    }

    pub(super) fn list(&self, request: &Request) -> Reply {
        let limit = match request.limit {
            None => DEFAULT_LIST_LIMIT,
            Some(limit) => match usize::try_from(limit) {
                Ok(limit) => limit,
                Err(_) => return Reply::error(errors::INVALID_LIMIT),
            },
        };
        let ids: Vec<Value> = self.table.ids(limit).iter().map(Value::from).collect();
        Reply::ok(Dict::new().with("calls", Value::List(ids)))
    }

    pub(super) fn describe_statistics(&self, now: Now) -> Reply {
        Reply::ok(Dict::new().with("statistics", self.statistics_dict(now)))
    }

    /// The structure of the `statistics` command.
    pub fn statistics_dict(&self, now: Now) -> Dict {
        let uptime = now.instant.saturating_duration_since(self.started);
        let turn = self.last_turn();
        let carried = self.carried();
        let sessions = [self.own_count(), self.foreign_count()];
        let mut dict = self.statistics.describe(
            uptime,
            sessions,
            self.transcoders(),
            &self.interfaces,
            &turn,
            &carried,
        );
        let workers = self.forwarding.worker_stats();
        let workers = workers.iter().zip(0_u64..).map(|(worker, index)| {
            Dict::new()
                .with("index", index)
                .with("pid", worker.thread_id.load(Relaxed))
                .with("wakeups", worker.wakeups.load(Relaxed))
                .with("items", worker.items.load(Relaxed))
                .into()
        });
        dict.set("poller_threads", Value::List(workers.collect()));
        let losses = self.losses().into_iter();
        let lost = losses.fold(Dict::new(), |lost, loss| lost.with(loss.name, loss.count));
        dict.set("lost", lost);
        dict
    }

    /// Medias whose audio is converted, and the pairs of codecs between which it is, with the number
    /// of directions that do so.
    pub fn transcoders(&self) -> (u64, Vec<(String, u64)>) {
        let (mut medias, mut chains) = (0, BTreeMap::<String, u64>::new());
        for (id, entry) in self.table.entries() {
            let slot = lock_to_look(&entry);
            // A merged call stands in the table under each of its names.
            let Some(call) = slot.as_ref().filter(|call| call.id == id) else {
                continue;
            };
            let converted = conversion::of_call(call, &self.defaults.audio);
            let mut places: Vec<_> = converted.iter().flat_map(|c| [c.from, c.to]).collect();
            places.sort_unstable();
            places.dedup();
            medias += places.len() as u64;
            for name in converted.iter().flat_map(conversion::Converted::names) {
                *chains.entry(name).or_default() += 1;
            }
        }
        (medias, chains.into_iter().collect())
    }

    /// What was lost on its way to somebody outside since the start.
    pub fn losses(&self) -> Vec<Loss> {
        self.forwarding.losses()
    }

    pub(super) fn packet_clock(&self, now: Now) -> PacketClock {
        PacketClock {
            now_ms: self.forwarding.packet_clock_ms(),
            unix_s: now.unix.as_secs(),
        }
    }
}
