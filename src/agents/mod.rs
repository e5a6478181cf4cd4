//! The agents of calls: ICE and DTLS-SRTP (spec: media-behaviour §5, §6), on threads of their own. No
//! packet of media waits for a handshake.
//!
//! Calls say which agents there are ([`Agents::apply`]), the data plane hands over STUN and DTLS
//! ([`Inbox`]), agents send from the ports of their media and tell what they have found ([`Outside`]).
//! Agents are shared out among the threads by their numbers. What they do is in `shard` and `media`:
//! no socket, no clock; only this file and `inbox` have threads.

mod admission;
mod inbox;
mod media;
mod shard;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::flow::agent::{AgentEvent, AgentNumber, AgentSpec, Found};
use crate::limits::AGENT_THREADS;

pub use inbox::Inbox;
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
    /// A datagram leaves from the port of a flow.
    fn send(&self, worker: usize, local: SocketAddr, to: SocketAddr, datagram: &[u8]);

    /// An agent has found something.
    fn found(&self, call: u64, agent: AgentNumber, found: Found);

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
        let shard = |_| Mutex::new(Shard::new(settings.clone(), StdRng::from_os_rng()));
        Arc::new(Self {
            inbox: Arc::new(Inbox::new(shards)),
            shards: (0..shards).map(shard).collect(),
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
        mut send: impl FnMut(usize, SocketAddr, SocketAddr, &[u8]),
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
            let sends = locked.take_sends();
            drop(locked);
            for output in sends {
                if let Output::Send {
                    worker,
                    local,
                    to,
                    datagram,
                } = output
                {
                    send(worker, local, to, &datagram);
                }
            }
            // It may have something to tell, or be due sooner than its thread would look.
            self.inbox.wake(index);
        }
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
            let mut locked = shard.lock();
            for arrived in datagrams {
                locked.handle_datagram(&arrived, now);
            }
            locked.handle_timeout(now);
            let outputs = locked.take_outputs();
            drop(locked);
            for output in outputs {
                match output {
                    Output::Send {
                        worker,
                        local,
                        to,
                        datagram,
                    } => outside.send(worker, local, to, &datagram),
                    Output::Found { call, agent, found } => outside.found(call, agent, found),
                    Output::Tell { call, event } => outside.tell(call, event),
                }
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
