//! Registrations that pass through (spec §8): which address of record is reached by which flow, for
//! how long, and the flows that have to be kept open.
//!
//! The registrar is elsewhere. This is an index of what it granted, as far as it passed here.

pub(crate) mod token;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::limits;
use crate::transport::Flow;

pub(crate) use token::{FlowToken, TokenCheck};

/// The bindings of all shards: a phone that registered by one of them calls, and is called, by others. It
/// is locked for a look-up or an entry, never while a message is read.
pub(crate) type SharedBindings = Arc<Mutex<Bindings>>;

type Map<K, V> = HashMap<K, V, foldhash::quality::RandomState>;

/// One granted Contact.
#[derive(Debug)]
struct Binding {
    aor: Arc<[u8]>,
    /// The URI of its Contact, as the phone wrote it.
    contact: Box<[u8]>,
    flow: Flow,
    expires: Instant,
}

/// A binding, for those who ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'b> {
    pub(crate) aor: &'b [u8],
    pub(crate) contact: &'b [u8],
    pub(crate) flow: Flow,
    pub(crate) expires: Instant,
}

/// A flow that closes by itself when nothing is sent.
#[derive(Clone, Copy, Debug)]
struct Kept {
    heard: Instant,
    /// Pings since then.
    asked: u8,
    /// Its only entry among the timers.
    next: Instant,
}

/// Bindings, and the flows that they are by.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    /// By number: the order in which they were granted.
    bindings: BTreeMap<u64, Binding>,
    by_aor: Map<Arc<[u8]>, Vec<u64>>,
    by_flow: Map<Flow, OfFlow>,
    kept: Map<Flow, Kept>,
    last: u64,
    /// Flows that got their first binding or lost their last, with the shard that is to know.
    changed: VecDeque<(u8, Flow, bool)>,
    /// One entry for each binding and each flow that is kept: what is forgotten leaves none.
    timers: BTreeSet<(Instant, Timed)>,
}

/// Bindings by one flow.
#[derive(Debug)]
struct OfFlow {
    /// The shard that the first of them was made by: it keeps the flow open.
    keeper: u8,
    ids: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timed {
    Binding(u64),
    /// Listener, peer, connection of a flow.
    Flow(u16, std::net::SocketAddr, u64),
}

/// What the owner is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Send something to this flow.
    Ping(Flow),
    /// It did not answer; its bindings are gone.
    Dead(Flow),
}

/// How flows are kept open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pings {
    /// Silence after which one is sent; zero: none are.
    pub(crate) pause: Duration,
    /// Phones answer them, and are dead if they do not.
    pub(crate) answered: bool,
}

impl Binding {
    fn shown(&self) -> Bound<'_> {
        Bound {
            aor: &self.aor,
            contact: &self.contact,
            flow: self.flow,
            expires: self.expires,
        }
    }
}

impl Bindings {
    pub(crate) fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Flows that have bindings.
    pub(crate) fn flows(&self) -> usize {
        self.by_flow.len()
    }

    /// The bindings of an address of record.
    pub(crate) fn of(&self, aor: &[u8]) -> impl Iterator<Item = Bound<'_>> {
        let of_aor = self.by_aor.get(aor).into_iter().flatten();
        of_aor
            .filter_map(|id| self.bindings.get(id))
            .map(Binding::shown)
    }

    /// Bindings with numbers above `after`, in their order.
    pub(crate) fn behind(&self, after: Option<u64>) -> impl Iterator<Item = (u64, Bound<'_>)> {
        let from = after.map_or(ops::Bound::Unbounded, ops::Bound::Excluded);
        let behind = self.bindings.range((from, ops::Bound::Unbounded));
        behind.map(|(number, binding)| (*number, binding.shown()))
    }

    /// How many Contacts of this address of record are bound, other than `contacts`.
    pub(crate) fn others<'a>(
        &self,
        aor: &[u8],
        contacts: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> usize {
        let of_aor = self.by_aor.get(aor).into_iter().flatten();
        of_aor
            .filter_map(|id| self.bindings.get(id))
            .filter(|binding| !contacts.clone().any(|c| *c == *binding.contact))
            .count()
    }

    /// Whether this Contact of an address of record is bound.
    pub(crate) fn has(&self, aor: &[u8], contact: &[u8]) -> bool {
        let mut of_aor = self.by_aor.get(aor).into_iter().flatten();
        of_aor.any(|id| {
            let binding = self.bindings.get(id);
            binding.is_some_and(|binding| *binding.contact == *contact)
        })
    }

    /// The registrar granted this Contact of an address of record until `expires`, and `shard` heard of
    /// it.
    pub(crate) fn renew(
        &mut self,
        shard: u8,
        (aor, contact, flow): (&[u8], &[u8], Flow),
        expires: Instant,
    ) {
        // A refresh takes nothing off its flow, which stays kept and held.
        let of_aor = self.by_aor.get(aor).into_iter().flatten();
        let same = of_aor.copied().find_map(|id| {
            let binding = self.bindings.get(&id)?;
            (*binding.contact == *contact).then_some((id, binding.flow, binding.expires))
        });
        if let Some((id, _, before)) = same.filter(|(_, by, _)| *by == flow) {
            self.timers.remove(&(before, Timed::Binding(id)));
            self.timers.insert((expires, Timed::Binding(id)));
            if let Some(binding) = self.bindings.get_mut(&id) {
                binding.expires = expires;
            }
            return;
        }
        self.remove(aor, contact);
        self.last += 1;
        let id = self.last;
        let aor: Arc<[u8]> = aor.into();
        self.by_aor.entry(aor.clone()).or_default().push(id);
        let of_flow = self.by_flow.entry(flow).or_insert_with(|| {
            self.changed.push_back((shard, flow, true));
            OfFlow {
                keeper: shard,
                ids: Vec::new(),
            }
        });
        of_flow.ids.push(id);
        self.timers.insert((expires, Timed::Binding(id)));
        let binding = Binding {
            aor,
            contact: contact.into(),
            flow,
            expires,
        };
        self.bindings.insert(id, binding);
    }

    /// Keeps a flow with bindings open from now on. `spread` puts the first ping somewhere in the
    /// pause, so that those of many phones do not leave together.
    pub(crate) fn keep(&mut self, flow: Flow, now: Instant, spread: u64, pings: Pings) {
        if pings.pause.is_zero() || !self.by_flow.contains_key(&flow) {
            return;
        }
        if self.kept.contains_key(&flow) {
            self.heard(flow, now);
            return;
        }
        let part = u32::try_from(spread % 1000).unwrap_or(0);
        let next = now + pings.pause / 2 + pings.pause * part / 2000;
        let kept = Kept {
            heard: now,
            asked: 0,
            next,
        };
        self.kept.insert(flow, kept);
        self.timers.insert((next, timed(flow)));
    }

    pub(crate) fn remove(&mut self, aor: &[u8], contact: &[u8]) {
        let ids = self.by_aor.get(aor).into_iter().flatten().copied();
        let found = ids
            .filter(|id| {
                self.bindings
                    .get(id)
                    .is_some_and(|b| *b.contact == *contact)
            })
            .collect::<Vec<_>>();
        found.into_iter().for_each(|id| self.forget(id));
    }

    /// All Contacts of an address of record are gone.
    pub(crate) fn remove_all(&mut self, aor: &[u8]) {
        let ids = self.by_aor.get(aor).cloned().unwrap_or_default();
        ids.into_iter().for_each(|id| self.forget(id));
    }

    /// The connection is closed.
    pub(crate) fn close(&mut self, flow: Flow) {
        let ids = self.by_flow.get(&flow).map(|of| of.ids.clone());
        ids.into_iter().flatten().for_each(|id| self.forget(id));
    }

    /// Something came by this flow.
    pub(crate) fn heard(&mut self, flow: Flow, now: Instant) {
        if !self.kept.is_empty()
            && let Some(kept) = self.kept.get_mut(&flow)
        {
            kept.heard = now;
            kept.asked = 0;
        }
    }

    /// A flow of this shard that got its first binding or lost its last.
    pub(crate) fn poll_flow(&mut self, shard: u8) -> Option<(Flow, bool)> {
        let at = self.changed.iter().position(|(of, ..)| *of == shard)?;
        let (_, flow, is_bound) = self.changed.remove(at)?;
        Some((flow, is_bound))
    }

    /// The addresses of record that are registered by this flow.
    pub(crate) fn aors(&self, flow: Flow) -> Vec<Arc<[u8]>> {
        let ids = self.by_flow.get(&flow).into_iter().flat_map(|of| &of.ids);
        ids.filter_map(|id| Some(self.bindings.get(id)?.aor.clone()))
            .collect()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What is due, one at a time; `None` once nothing is.
    pub(crate) fn handle_timeout(&mut self, now: Instant, pings: Pings) -> Option<Due> {
        while let Some((at, timed)) = self.timers.first().copied() {
            if at > now {
                return None;
            }
            self.timers.pop_first();
            match timed {
                Timed::Binding(id) => self.forget(id),
                Timed::Flow(listener, peer, connection) => {
                    let flow = Flow {
                        listener,
                        peer,
                        connection,
                    };
                    if let Some(due) = self.ping(flow, now, pings) {
                        return Some(due);
                    }
                }
            }
        }
        None
    }

    fn ping(&mut self, flow: Flow, now: Instant, pings: Pings) -> Option<Due> {
        let kept = self.kept.get_mut(&flow)?;
        let silent_until = kept.heard + pings.pause;
        let is_silent = silent_until <= now || kept.asked > 0;
        if is_silent && pings.answered && kept.asked >= limits::LOST_PINGS {
            self.close(flow);
            return Some(Due::Dead(flow));
        }
        kept.next = match is_silent {
            true => now + pings.pause,
            false => silent_until,
        };
        self.timers.insert((kept.next, timed(flow)));
        if !is_silent {
            return None;
        }
        kept.asked = kept.asked.saturating_add(1);
        Some(Due::Ping(flow))
    }

    fn forget(&mut self, id: u64) {
        let Some(binding) = self.bindings.remove(&id) else {
            return;
        };
        self.timers.remove(&(binding.expires, Timed::Binding(id)));
        if let Some(ids) = self.by_aor.get_mut(&binding.aor) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_aor.remove(&binding.aor);
            }
        }
        if let Some(of_flow) = self.by_flow.get_mut(&binding.flow) {
            of_flow.ids.retain(|other| *other != id);
            if of_flow.ids.is_empty() {
                let keeper = of_flow.keeper;
                self.by_flow.remove(&binding.flow);
                if let Some(kept) = self.kept.remove(&binding.flow) {
                    self.timers.remove(&(kept.next, timed(binding.flow)));
                }
                self.changed.push_back((keeper, binding.flow, false));
            }
        }
    }
}

fn timed(flow: Flow) -> Timed {
    Timed::Flow(flow.listener, flow.peer, flow.connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PINGS: Pings = Pings {
        pause: Duration::from_secs(20),
        answered: true,
    };

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn flow(port: u16) -> Flow {
        Flow {
            listener: 0,
            peer: ([192, 0, 2, 7], port).into(),
            connection: 0,
        }
    }

    fn run(bindings: &mut Bindings, until: Instant) -> Vec<(Instant, Due)> {
        let mut all = Vec::new();
        while let Some(at) = bindings.next_timeout().filter(|at| *at <= until) {
            while let Some(due) = bindings.handle_timeout(at, PINGS) {
                all.push((at, due));
            }
        }
        all
    }

    #[test]
    fn bindings_end_with_their_time_their_flow_or_by_wish() {
        let t0 = origin();
        let mut bindings = Bindings::default();
        let minute = Duration::from_secs(60);
        bindings.renew(0, (b"a@x", b"sip:a@1", flow(1)), t0 + minute);
        bindings.renew(0, (b"a@x", b"sip:a@2", flow(2)), t0 + 2 * minute);
        bindings.renew(0, (b"a@x", b"sip:a@2", flow(3)), t0 + 2 * minute);
        bindings.renew(0, (b"b@x", b"sip:b@2", flow(3)), t0 + 2 * minute);
        assert!(bindings.aors(flow(2)).is_empty(), "the phone moved");
        let aors = |bindings: &Bindings| {
            bindings
                .aors(flow(3))
                .iter()
                .map(|aor| aor.to_vec())
                .collect::<Vec<_>>()
        };
        assert_eq!(aors(&bindings), [b"a@x", b"b@x"]);
        assert_eq!(bindings.others(b"a@x", [&b"sip:a@2"[..]].into_iter()), 1);
        run(&mut bindings, t0 + minute);
        assert_eq!(bindings.len(), 2);
        bindings.remove(b"a@x", b"sip:a@2");
        assert_eq!(aors(&bindings), [b"b@x"]);
        bindings.close(flow(3));
        assert_eq!(bindings.len(), 0);
        bindings.renew(0, (b"a@x", b"sip:a@1", flow(1)), t0 + minute);
        bindings.renew(0, (b"a@x", b"sip:a@2", flow(1)), t0 + minute);
        bindings.remove_all(b"a@x");
        assert!(bindings.by_flow.is_empty() && bindings.by_aor.is_empty());
        assert!(bindings.bindings.is_empty() && bindings.kept.is_empty());
    }

    #[test]
    fn flow_is_kept_by_the_shard_that_bound_it_first() {
        let t0 = origin();
        let mut bindings = Bindings::default();
        let end = t0 + Duration::from_secs(60);
        bindings.renew(1, (b"a@x", b"sip:a@1", flow(1)), end);
        bindings.renew(0, (b"b@x", b"sip:b@1", flow(1)), end);
        bindings.renew(0, (b"c@x", b"sip:c@1", flow(2)), end);
        assert_eq!(bindings.poll_flow(0), Some((flow(2), true)));
        assert_eq!(bindings.poll_flow(0), None);
        assert_eq!(bindings.poll_flow(1), Some((flow(1), true)));
        bindings.remove_all(b"a@x");
        assert_eq!(bindings.poll_flow(1), None, "one is left");
        bindings.remove_all(b"b@x");
        assert_eq!(bindings.poll_flow(0), None);
        assert_eq!(bindings.poll_flow(1), Some((flow(1), false)));
    }

    #[test]
    fn refresh_leaves_one_timer_and_its_flow_alone() {
        let t0 = origin();
        let mut bindings = Bindings::default();
        let at = |seconds| t0 + Duration::from_secs(seconds);
        for n in 0..50 {
            let bound = (&b"a@x"[..], &b"sip:a@1"[..], flow(1));
            bindings.renew(0, bound, at(n + 3600));
            bindings.keep(flow(1), at(n), 500, PINGS);
        }
        assert_eq!(bindings.timers.len(), 2, "the binding's and the flow's");
        assert_eq!(bindings.poll_flow(0), Some((flow(1), true)));
        assert_eq!(bindings.poll_flow(0), None);
        let due = run(&mut bindings, at(75));
        assert_eq!(due, [(at(69), Due::Ping(flow(1)))]);
        // A shorter grant ends it sooner, another flow takes it over whole.
        bindings.renew(0, (b"a@x", b"sip:a@1", flow(1)), at(80));
        run(&mut bindings, at(80));
        assert_eq!((bindings.len(), bindings.timers.len()), (0, 0));
        bindings.renew(0, (b"a@x", b"sip:a@1", flow(1)), at(200));
        bindings.keep(flow(1), at(90), 500, PINGS);
        bindings.renew(0, (b"a@x", b"sip:a@1", flow(2)), at(200));
        assert_eq!((bindings.len(), bindings.timers.len()), (1, 1));
    }

    #[test]
    fn silent_flow_is_pinged_and_after_three_dead() {
        let t0 = origin();
        let mut bindings = Bindings::default();
        bindings.renew(
            0,
            (b"a@x", b"sip:a@1", flow(1)),
            t0 + Duration::from_secs(3600),
        );
        bindings.keep(flow(1), t0, 500, PINGS);
        let at = |seconds| t0 + Duration::from_secs(seconds);
        assert!(run(&mut bindings, at(19)).is_empty(), "it just spoke");
        bindings.heard(flow(1), at(19));
        assert!(run(&mut bindings, at(38)).is_empty());
        let due = run(&mut bindings, at(45));
        assert_eq!(due, [(at(39), Due::Ping(flow(1)))]);
        bindings.heard(flow(1), at(45));
        let due = run(&mut bindings, at(300));
        let expected = [
            (at(65), Due::Ping(flow(1))),
            (at(85), Due::Ping(flow(1))),
            (at(105), Due::Ping(flow(1))),
            (at(125), Due::Dead(flow(1))),
        ];
        assert_eq!(due, expected);
        assert_eq!(bindings.len(), 0);
    }
}
