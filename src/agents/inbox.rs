//! Datagrams on their way from the data plane to the agents. Workers never wait for it, but for the
//! moment that somebody else takes to put one in.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use foldhash::fast::RandomState;
use parking_lot::{Condvar, Mutex};

use crate::flow::agent::{AgentInbox, AgentNumber};
use crate::limits::{AGENT_BATCH, AGENT_DATAGRAM_BYTES, AGENT_DATAGRAMS, AGENT_DATAGRAMS_EACH};

/// A datagram for an agent.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) agent: AgentNumber,
    pub(super) local: SocketAddr,
    pub(super) from: SocketAddr,
    pub(super) datagram: Box<[u8]>,
}

/// A queue for each thread.
pub struct Inbox {
    queues: Box<[Queue]>,
    lost: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrival: Condvar,
}

#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<Arrived>,
    /// How many of them each agent has.
    shares: HashMap<AgentNumber, usize, RandomState>,
    is_woken: bool,
    is_stopped: bool,
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
    fn put(&mut self, arrived: Arrived) -> bool {
        let share = self.shares.get(&arrived.agent).copied().unwrap_or(0);
        if self.datagrams.len() >= AGENT_DATAGRAMS || share >= AGENT_DATAGRAMS_EACH {
            return false;
        }
        self.shares.insert(arrived.agent, share + 1);
        self.datagrams.push_back(arrived);
        true
    }

    fn take_batch(&mut self) -> Vec<Arrived> {
        let batch = self.datagrams.len().min(AGENT_BATCH);
        let batch: Vec<Arrived> = self.datagrams.drain(..batch).collect();
        for arrived in &batch {
            if let Some(share) = self.shares.get_mut(&arrived.agent) {
                *share -= 1;
                if *share == 0 {
                    self.shares.remove(&arrived.agent);
                }
            }
        }
        batch
    }
}

impl AgentInbox for Inbox {
    fn take(&self, agent: AgentNumber, local: SocketAddr, from: SocketAddr, bytes: &[u8]) -> bool {
        let queue = self.queues.get(self.shard_of(agent));
        let is_taken = queue.is_some_and(|queue| {
            let is_taken = bytes.len() <= AGENT_DATAGRAM_BYTES
                && queue.waiting.lock().put(Arrived {
                    agent,
                    local,
                    from,
                    datagram: bytes.into(),
                });
            if is_taken {
                queue.arrival.notify_one();
            }
            is_taken
        });
        if !is_taken {
            self.lost.fetch_add(1, Relaxed);
        }
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_at_one_agent_leaves_room_for_others() {
        let inbox = Inbox::new(1);
        let (one, other) = (AgentNumber::default(), AgentNumber::default());
        let at: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let taken = (0..10 * AGENT_DATAGRAMS).filter(|_| inbox.take(one, at, at, &[22]));
        assert_eq!(taken.count(), AGENT_DATAGRAMS_EACH);
        assert!(inbox.take(other, at, at, &[22]));
        assert!(!inbox.take(other, at, at, &[0; AGENT_DATAGRAM_BYTES + 1]));
        let lost = 10 * AGENT_DATAGRAMS - AGENT_DATAGRAMS_EACH + 1;
        assert_eq!(inbox.lost(), lost as u64);
        let mut taken = Vec::new();
        while taken.len() <= AGENT_DATAGRAMS_EACH {
            taken.extend(inbox.wait(0, None).unwrap());
        }
        assert_eq!(taken.last().unwrap().agent, other);
        assert!(inbox.take(one, at, at, &[22]), "its share is free again");
        inbox.stop();
        assert!(inbox.wait(0, None).is_none());
    }
}
