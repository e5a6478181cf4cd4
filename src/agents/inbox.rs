//! Datagrams on their way from the data plane to the agents. Workers never wait for it, but for the
//! moment that somebody else takes to put one in.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use foldhash::fast::RandomState;
use parking_lot::{Condvar, Mutex};

use super::gate::{Gates, Sender};
use crate::flow::agent::{AgentInbox, AgentNumber, Handed};
use crate::limits::{
    AGENT_BATCH, AGENT_DATAGRAM_BYTES, AGENT_DATAGRAMS, AGENT_DATAGRAMS_EACH,
    AGENT_DATAGRAMS_OF_STRANGERS, AGENT_DATAGRAMS_OF_STRANGERS_EACH,
};

/// Something for an agent.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) agent: AgentNumber,
    pub(super) local: SocketAddr,
    pub(super) from: SocketAddr,
    pub(super) what: What,
}

/// What arrived.
#[derive(Debug)]
pub(super) enum What {
    /// STUN or DTLS.
    Datagram(Box<[u8]>),
    /// Media; see [`AgentInbox::hear`].
    Media,
}

/// A queue for each thread.
pub struct Inbox {
    queues: Box<[Queue]>,
    lost: AtomicU64,
}

#[derive(Default)]
struct Queue {
    gates: Arc<Gates>,
    waiting: Mutex<Waiting>,
    arrival: Condvar,
}

#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<(Arrived, Sender)>,
    /// How many of them each agent has.
    shares: HashMap<AgentNumber, Share, RandomState>,
    /// Datagrams of strangers.
    strange: usize,
    is_woken: bool,
    is_stopped: bool,
}

/// Places that an agent has taken.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    all: usize,
    strange: usize,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

impl Inbox {
    pub(super) fn new(queues: usize) -> Self {
        Self {
            queues: (0..queues).map(|_| Queue::default()).collect(),
            lost: AtomicU64::new(0),
        }
    }

    /// The gates of the agents of a thread.
    pub(super) fn gates(&self, index: usize) -> Arc<Gates> {
        let queue = self.queues.get(index);
        queue.map(|queue| queue.gates.clone()).unwrap_or_default()
    }

    /// Which thread has an agent.
    pub(super) fn shard_of(&self, agent: AgentNumber) -> usize {
        let queues = u64::try_from(self.queues.len()).unwrap_or(1).max(1);
        usize::try_from(agent.get() % queues).unwrap_or(0)
    }

    /// Datagrams that there was no room for.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Lets a thread look at its agents.
    pub(super) fn wake(&self, index: usize) {
        if let Some(queue) = self.queues.get(index) {
            queue.waiting.lock().is_woken = true;
            queue.arrival.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        for queue in &self.queues {
            queue.waiting.lock().is_stopped = true;
            queue.arrival.notify_one();
        }
    }

    /// Waits for datagrams, a wake-up or a time, and takes up to [`AGENT_BATCH`] datagrams; `None`:
    /// it is over.
    pub(super) fn wait(&self, index: usize, due: Option<Instant>) -> Option<Vec<Arrived>> {
        let queue = self.queues.get(index)?;
        let mut waiting = queue.waiting.lock();
        loop {
            if waiting.is_stopped {
                return None;
            }
            if std::mem::take(&mut waiting.is_woken) || !waiting.datagrams.is_empty() {
                return Some(waiting.take_batch());
            }
            match due {
                Some(due) if queue.arrival.wait_until(&mut waiting, due).timed_out() => {
                    return (!waiting.is_stopped).then(|| waiting.take_batch());
                }
                Some(_) => {}
                None => queue.arrival.wait(&mut waiting),
            }
        }
    }
}

impl Waiting {
    fn put(&mut self, arrived: Arrived, sender: Sender) -> bool {
        let share = self.shares.get(&arrived.agent).copied();
        let mut share = share.unwrap_or_default();
        let is_strange = sender == Sender::Stranger;
        let is_full = self.datagrams.len() >= AGENT_DATAGRAMS || share.all >= AGENT_DATAGRAMS_EACH;
        let is_crowded = self.strange >= AGENT_DATAGRAMS_OF_STRANGERS
            || share.strange >= AGENT_DATAGRAMS_OF_STRANGERS_EACH;
        if is_full || is_strange && is_crowded {
            return false;
        }
        share.all += 1;
        share.strange += usize::from(is_strange);
        self.strange += usize::from(is_strange);
        self.shares.insert(arrived.agent, share);
        self.datagrams.push_back((arrived, sender));
        true
    }

    fn take_batch(&mut self) -> Vec<Arrived> {
        let batch = self.datagrams.len().min(AGENT_BATCH);
        let batch: Vec<(Arrived, Sender)> = self.datagrams.drain(..batch).collect();
        let taken = batch.into_iter().map(|(arrived, sender)| {
            let strange = usize::from(sender == Sender::Stranger);
            self.strange -= strange;
            if let Some(share) = self.shares.get_mut(&arrived.agent) {
                share.all -= 1;
                share.strange -= strange;
                if share.all == 0 {
                    self.shares.remove(&arrived.agent);
                }
            }
            arrived
        });
        taken.collect()
    }
}

impl Inbox {
    fn put(&self, queue: &Queue, arrived: Arrived, sender: Sender) -> Handed {
        if !queue.waiting.lock().put(arrived, sender) {
            self.lost.fetch_add(1, Relaxed);
            return Handed::NoRoom;
        }
        queue.arrival.notify_one();
        Handed::Taken
    }
}

impl AgentInbox for Inbox {
    fn take(
        &self,
        agent: AgentNumber,
        local: SocketAddr,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Handed {
        let Some(queue) = self.queues.get(self.shard_of(agent)) else {
            return Handed::Refused;
        };
        let sender = queue.gates.sender(agent, (local, from), bytes);
        let Some(sender) = sender.filter(|_| bytes.len() <= AGENT_DATAGRAM_BYTES) else {
            return Handed::Refused;
        };
        let arrived = Arrived {
            agent,
            local,
            from,
            what: What::Datagram(bytes.into()),
        };
        self.put(queue, arrived, sender)
    }

    fn hear(&self, agent: AgentNumber, local: SocketAddr, from: SocketAddr) {
        if let Some(queue) = self.queues.get(self.shard_of(agent))
            && queue.gates.has(agent)
        {
            let arrived = Arrived {
                agent,
                local,
                from,
                what: What::Media,
            };
            self.put(queue, arrived, Sender::Stranger);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gate::Gate;
    use super::*;

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn a_flood_at_one_agent_leaves_room_for_its_party_and_for_others() {
        let inbox = Inbox::new(1);
        let (one, other) = (AgentNumber::default(), AgentNumber::default());
        let (ours, theirs, stranger) = (at(1), at(2), at(3));
        let take = |agent, from| inbox.take(agent, ours, from, &[22]);
        assert_eq!(take(one, theirs), Handed::Refused, "there is no such agent");
        for agent in [one, other] {
            let gate = Gate {
                valid: vec![(ours, theirs)],
                is_open: agent == one,
                ..Gate::default()
            };
            inbox.gates(0).set(agent, gate);
        }
        let taken = |agent, from, times| {
            let all = (0..times).filter(|_| take(agent, from) == Handed::Taken);
            all.count()
        };
        let strange = AGENT_DATAGRAMS_OF_STRANGERS_EACH;
        assert_eq!(taken(one, stranger, 10 * AGENT_DATAGRAMS), strange);
        assert_eq!(taken(other, stranger, 100), 0);
        assert_eq!(taken(one, theirs, 100), AGENT_DATAGRAMS_EACH - strange);
        assert_eq!(take(other, theirs), Handed::Taken);
        let long = inbox.take(other, ours, theirs, &[22; AGENT_DATAGRAM_BYTES + 1]);
        assert_eq!(long, Handed::Refused);
        // What is refused is not lost.
        let lost = 10 * AGENT_DATAGRAMS - strange + 100 - (AGENT_DATAGRAMS_EACH - strange);
        assert_eq!(inbox.lost(), lost as u64);
        let mut taken = Vec::new();
        while taken.len() <= AGENT_DATAGRAMS_EACH {
            taken.extend(inbox.wait(0, None).unwrap());
        }
        assert_eq!(taken.last().unwrap().agent, other);
        assert_eq!(
            take(one, stranger),
            Handed::Taken,
            "its share is free again"
        );
        inbox.gates(0).remove(one);
        assert_eq!(take(one, theirs), Handed::Refused);
        inbox.stop();
        assert!(inbox.wait(0, None).is_none());
    }

    #[test]
    fn strangers_at_all_agents_leave_half_of_the_room() {
        let inbox = Inbox::new(1);
        let (ours, theirs, stranger) = (at(1), at(2), at(3));
        let agents: Vec<AgentNumber> = (0..1000).map(|_| AgentNumber::default()).collect();
        for agent in &agents {
            let gate = Gate {
                valid: vec![(ours, theirs)],
                is_open: true,
                ..Gate::default()
            };
            inbox.gates(0).set(*agent, gate);
        }
        for _ in 0..AGENT_DATAGRAMS_EACH {
            for agent in &agents {
                inbox.take(*agent, ours, stranger, &[22]);
            }
        }
        for agent in &agents {
            let taken = (0..8).filter(|_| inbox.take(*agent, ours, theirs, &[22]) == Handed::Taken);
            assert_eq!(taken.count(), 8);
        }
    }
}
