//! The agents of calls: ICE and DTLS-SRTP (spec: media-behaviour §5, §6), on threads of their own. No
//! packet of media waits for a handshake.
//!
//! Calls say which agents there are ([`Agents::apply`]), the data plane hands over STUN and DTLS
//! ([`Inbox`]), agents send from the ports of their media and tell what they have found ([`Outside`]).
//! Agents are shared out among the threads by their numbers. What they do is in `shard` and `media`:
//! no socket, no clock; only this file and `inbox` have threads.

mod admission;
mod gate;
mod inbox;
mod media;
mod persist;
mod shard;
mod telling;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use rand::SeedableRng;
use rand::rngs::StdRng;
use windlass_srtp::Freshness;

use crate::flow::agent::{AgentEvent, AgentNumber, AgentSpec, Departure, Found};
use crate::limits::{AGENT_STEP, AGENT_THREADS};

pub use inbox::Inbox;
pub use persist::{AgentState, RestoreError};
use shard::{Output, Shard};

/// What all agents have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lite or full is each agent's own matter.
    pub ice: windlass_ice::agent::Config,
    /// Longest DTLS datagram, in bytes without IP and UDP headers.
    pub mtu: usize,
}

/// Where agents act. Called without any lock held.
pub trait Outside: Send + Sync {
    /// Datagrams leave, each from the port of a flow.
    fn send(&self, departures: Vec<Departure>);

    /// An agent has found something. `false`: nothing of it is in force, and the agent is to say it
    /// again.
    fn found(&self, call: u64, agent: AgentNumber, found: Found) -> bool;

    /// Something happened that people want to read of.
    fn tell(&self, call: u64, event: AgentEvent);
}

/// All agents.
pub struct Agents {
    inbox: Arc<Inbox>,
    shards: Box<[Mutex<Shard>]>,
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl Agents {
    /// None yet, for as many threads as there are cores, up to [`AGENT_THREADS`].
    pub fn new(settings: &Settings) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = cores.clamp(1, AGENT_THREADS);
        let inbox = Inbox::new(shards);
        let shard = |index| {
            let rng = StdRng::from_os_rng();
            Mutex::new(Shard::new(settings.clone(), inbox.gates(index), rng))
        };
        Arc::new(Self {
            shards: (0..shards).map(shard).collect(),
            inbox: Arc::new(inbox),
        })
    }

    /// Where the data plane puts datagrams.
    pub fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// A call has these agents from now on. Those that it has no more say good-bye, through `send`:
    /// call this while their flows are there.
    pub fn apply(
        &self,
        call: u64,
        worker: usize,
        specs: Vec<AgentSpec>,
        mut send: impl FnMut(Vec<Departure>),
    ) {
        let mut shares: Vec<Vec<AgentSpec>> = Vec::new();
        shares.resize_with(self.shards.len(), Vec::new);
        for spec in specs {
            if let Some(share) = shares.get_mut(self.inbox.shard_of(spec.number)) {
                share.push(spec);
            }
        }
        let now = clock();
        for (index, (shard, share)) in self.shards.iter().zip(shares).enumerate() {
            let mut locked = shard.lock();
            locked.apply(call, worker, share, now);
            let departures = locked.take_departures();
            drop(locked);
            if !departures.is_empty() {
                send(departures);
            }
            // It may have something to tell, or be due sooner than its thread would look.
            self.inbox.wake(index);
        }
    }

    /// The agents of a call as data, for a successor on the same ports. They go on; what happens to
    /// them afterwards the successor does not know.
    pub fn save(&self, call: u64) -> Vec<(AgentNumber, AgentState)> {
        let now = clock();
        let shards = self.shards.iter();
        shards
            .flat_map(|shard| shard.lock().save(call, now))
            .collect()
    }

    /// A call has these agents, which go on where others stopped; `freshness` says what may have
    /// happened since. Those that cannot begin anew, and are named with the reason. What they send
    /// leaves with the next turn of their threads.
    pub fn restore(
        &self,
        call: u64,
        worker: usize,
        agents: Vec<(AgentSpec, AgentState)>,
        freshness: Freshness,
    ) -> Vec<(AgentNumber, RestoreError)> {
        let mut shares: Vec<Vec<(AgentSpec, AgentState)>> = Vec::new();
        shares.resize_with(self.shards.len(), Vec::new);
        for agent in agents {
            if let Some(share) = shares.get_mut(self.inbox.shard_of(agent.0.number)) {
                share.push(agent);
            }
        }
        let now = clock();
        let mut failed = Vec::new();
        for (index, (shard, share)) in self.shards.iter().zip(shares).enumerate() {
            failed.extend(shard.lock().restore(call, worker, share, freshness, now));
            self.inbox.wake(index);
        }
        failed
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// The system refuses one.
    pub fn start(self: &Arc<Self>, outside: &Arc<dyn Outside>) -> io::Result<Threads> {
        let mut threads = Threads {
            inbox: self.inbox.clone(),
            threads: Vec::new(),
        };
        for index in 0..self.shards.len() {
            let (agents, outside) = (self.clone(), outside.clone());
            let thread = std::thread::Builder::new().name(format!("agents-{index}"));
            let thread = thread.spawn(move || agents.run(index, &*outside))?;
            threads.threads.push(thread);
        }
        Ok(threads)
    }

    /// Turns until it is told to stop: wait, datagrams, time, and what comes of them.
    fn run(&self, index: usize, outside: &dyn Outside) {
        let Some(shard) = self.shards.get(index) else {
            return;
        };
        loop {
            let due = shard.lock().poll_timeout();
            let Some(datagrams) = self.inbox.wait(index, due) else {
                return;
            };
            let now = clock();
            // Whoever changes a call waits for a step, not for all that there is to do.
            for some in datagrams.chunks(AGENT_STEP) {
                let mut locked = shard.lock();
                for arrived in some {
                    locked.handle_arrived(arrived, now);
                }
                Self::carry_out(shard, locked, outside);
            }
            loop {
                let mut locked = shard.lock();
                let is_more_due = locked.handle_timeout(now, AGENT_STEP);
                Self::carry_out(shard, locked, outside);
                if !is_more_due {
                    break;
                }
            }
        }
    }

    /// Does what came out of a shard, after it has let others at it.
    fn carry_out(shard: &Mutex<Shard>, mut locked: MutexGuard<'_, Shard>, outside: &dyn Outside) {
        let departures = locked.take_departures();
        let others = locked.take_outputs();
        MutexGuard::unlock_fair(locked);
        if !departures.is_empty() {
            outside.send(departures);
        }
        for output in others {
            match output {
                // Those were taken already.
                Output::Send(departure) => outside.send(vec![departure]),
                Output::Found { call, agent, found } => {
                    if !outside.found(call, agent, found) {
                        shard.lock().tell_again(agent, clock());
                    }
                }
                Output::Tell { call, event } => outside.tell(call, event),
            }
        }
    }
}

/// The running threads; they end when this is dropped.
#[derive(Debug)]
pub struct Threads {
    inbox: Arc<Inbox>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.inbox.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the driver reads the clock, agents do not"
)]
fn clock() -> Instant {
    Instant::now()
}
