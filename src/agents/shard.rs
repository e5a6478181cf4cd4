//! The agents of one thread: which there are, when each is due, and what comes out of them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use rand::rngs::StdRng;
use windlass_srtp::Freshness;

use super::Settings;
use super::admission::Admission;
use super::gate::Gates;
use super::inbox::{Arrived, What};
use super::media::MediaAgent;
use super::persist::{AgentState, RestoreError};
use crate::flow::Component;
use crate::flow::agent::{AgentEvent, AgentNumber, AgentSpec, Departure, Found};

/// Something that comes out of an agent.
#[derive(Debug)]
pub(super) enum Output {
    /// A datagram leaves from the port of a flow.
    Send(Departure),
    /// All that an agent has found so far.
    Found {
        call: u64,
        agent: AgentNumber,
        found: Found,
    },
    /// For the log.
    Tell { call: u64, event: AgentEvent },
}

/// What an agent needs of its shard.
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    pub(super) now: Instant,
    pub(super) rng: &'a mut StdRng,
    pub(super) admission: &'a mut Admission,
    pub(super) gates: &'a Gates,
    pub(super) outputs: &'a mut VecDeque<Output>,
}

/// The agents of one thread.
#[derive(Debug)]
pub(super) struct Shard {
    settings: Settings,
    agents: HashMap<AgentNumber, Place, RandomState>,
    by_call: HashMap<u64, Vec<AgentNumber>, RandomState>,
    due: BTreeSet<(Instant, AgentNumber)>,
    admission: Admission,
    gates: Arc<Gates>,
    outputs: VecDeque<Output>,
    rng: StdRng,
}

/// An agent, and when it is due.
#[derive(Debug)]
struct Place {
    agent: MediaAgent,
    due: Option<Instant>,
}

impl Shard {
    /// What comes in by `gates` is for its agents.
    pub(super) fn new(settings: Settings, gates: Arc<Gates>, rng: StdRng) -> Self {
        Self {
            settings,
            agents: HashMap::default(),
            by_call: HashMap::default(),
            due: BTreeSet::new(),
            admission: Admission::default(),
            gates,
            outputs: VecDeque::new(),
            rng,
        }
    }

    /// A call has these agents here from now on. One that was another call's goes on.
    pub(super) fn apply(&mut self, call: u64, worker: usize, specs: Vec<AgentSpec>, now: Instant) {
        let numbers: Vec<AgentNumber> = specs.iter().map(|spec| spec.number).collect();
        let before = match numbers.is_empty() {
            true => self.by_call.remove(&call),
            false => self.by_call.insert(call, numbers.clone()),
        };
        for gone in before.unwrap_or_default() {
            if !numbers.contains(&gone) {
                self.remove(gone, call, now);
            }
        }
        for spec in specs {
            let number = spec.number;
            if let Some(place) = self.agents.get_mut(&number) {
                let before = place.agent.move_to(call, worker);
                if before != call
                    && let Some(others) = self.by_call.get_mut(&before)
                {
                    others.retain(|other| *other != number);
                    if others.is_empty() {
                        self.by_call.remove(&before);
                    }
                }
            } else {
                let agent = MediaAgent::new(number, call, worker);
                self.agents.insert(number, Place { agent, due: None });
            }
            self.with(number, now, |agent, context| agent.update(spec, context));
        }
    }

    /// The agents of a call as data, in the order of its medias.
    pub(super) fn save(&self, call: u64, now: Instant) -> Vec<(AgentNumber, AgentState)> {
        let numbers = self.by_call.get(&call).into_iter().flatten();
        let agents = numbers.filter_map(|number| Some((*number, self.agents.get(number)?)));
        agents
            .map(|(number, place)| (number, place.agent.save(now)))
            .collect()
    }

    /// A call has these agents here, which go on where others stopped. Those that cannot begin anew,
    /// and are named with the reason.
    pub(super) fn restore(
        &mut self,
        call: u64,
        worker: usize,
        agents: Vec<(AgentSpec, AgentState)>,
        freshness: Freshness,
        now: Instant,
    ) -> Vec<(AgentNumber, RestoreError)> {
        let mut failed = Vec::new();
        let mut specs = Vec::new();
        for (spec, state) in agents {
            let number = spec.number;
            specs.push(spec.clone());
            let mut context = Context {
                settings: &self.settings,
                now,
                rng: &mut self.rng,
                admission: &mut self.admission,
                gates: &self.gates,
                outputs: &mut self.outputs,
            };
            let place = (call, worker);
            match MediaAgent::restore(place, spec, state, freshness, &mut context) {
                Ok(agent) => {
                    self.agents.insert(number, Place { agent, due: None });
                }
                Err(error) => failed.push((number, error)),
            }
        }
        // Those of them that are there hear nothing new.
        self.apply(call, worker, specs, now);
        failed
    }

    /// An agent of a call is needed no more.
    fn remove(&mut self, number: AgentNumber, call: u64, now: Instant) {
        let is_its = |place: &Place| place.agent.call() == call;
        if self.agents.get(&number).is_some_and(is_its) {
            self.with(number, now, |agent, context| agent.close(context));
            self.drop_agent(number);
        }
    }

    fn drop_agent(&mut self, number: AgentNumber) {
        // One that a defect ended did not say that its handshakes are over.
        for component in [Component::Rtp, Component::Rtcp] {
            self.admission.note(number, component, None);
        }
        self.gates.remove(number);
        if let Some(place) = self.agents.remove(&number)
            && let Some(due) = place.due
        {
            self.due.remove(&(due, number));
        }
    }

    pub(super) fn handle_arrived(&mut self, arrived: &Arrived, now: Instant) {
        let (local, from) = (arrived.local, arrived.from);
        self.with(arrived.agent, now, |agent, context| match &arrived.what {
            What::Datagram(datagram) => agent.handle_datagram(local, from, datagram, context),
            What::Media => agent.hear(local, from, context),
        });
    }

    /// The call of an agent did not take in what it has found.
    pub(super) fn tell_again(&mut self, number: AgentNumber, now: Instant) {
        self.with(number, now, |agent, context| agent.tell_again(context.now));
    }

    /// Does what is due, of this many agents at the most. Whether there are more.
    pub(super) fn handle_timeout(&mut self, now: Instant, at_most: usize) -> bool {
        for _ in 0..at_most {
            let Some(&(_, number)) = self.due.first().filter(|(due, _)| *due <= now) else {
                return false;
            };
            self.due.pop_first();
            if let Some(place) = self.agents.get_mut(&number) {
                place.due = None;
            }
            self.with(number, now, |agent, context| agent.handle_timeout(context));
            // One that is due at once again has its turn later: others are waiting.
            if let Some(place) = self.agents.get_mut(&number)
                && let Some(again) = place.due.filter(|again| *again <= now)
            {
                self.due.remove(&(again, number));
                let later = now + Duration::from_millis(1);
                place.due = Some(later);
                self.due.insert((later, number));
            }
        }
        self.due.first().is_some_and(|(due, _)| *due <= now)
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.outputs.is_empty() {
            true => self.due.first().map(|(due, _)| *due),
            false => None,
        }
    }

    /// What came out since the last time, in order.
    pub(super) fn take_outputs(&mut self) -> VecDeque<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// The datagrams among it; the rest stays.
    pub(super) fn take_departures(&mut self) -> Vec<Departure> {
        let mut departures = Vec::new();
        for output in std::mem::take(&mut self.outputs) {
            match output {
                Output::Send(departure) => departures.push(departure),
                other => self.outputs.push_back(other),
            }
        }
        departures
    }

    /// Lets an agent act, and sees to what comes of it. A defect in one agent ends that agent alone.
    fn with(
        &mut self,
        number: AgentNumber,
        now: Instant,
        act: impl FnOnce(&mut MediaAgent, &mut Context<'_>),
    ) {
        let Some(place) = self.agents.get_mut(&number) else {
            return;
        };
        let mut context = Context {
            settings: &self.settings,
            now,
            rng: &mut self.rng,
            admission: &mut self.admission,
            gates: &self.gates,
            outputs: &mut self.outputs,
        };
        let agent = &mut place.agent;
        let acted = catch_unwind(AssertUnwindSafe(|| {
            act(agent, &mut context);
            agent.pump(&mut context);
            agent.poll_timeout()
        }));
        let Ok(due) = acted else {
            tracing::error!(call = place.agent.call(), "agent shut after a defect");
            return self.drop_agent(number);
        };
        if due != place.due {
            if let Some(before) = std::mem::replace(&mut place.due, due) {
                self.due.remove(&(before, number));
            }
            self.due.extend(due.map(|due| (due, number)));
        }
    }
}
