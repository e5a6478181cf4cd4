//! What the data plane has of a call, as far as the call keeps it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::flow::agent::{AgentNumber, AgentSpec};

/// The flows and agents of a call that are in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct InForce {
    /// Local addresses in order, with digests of the flows' descriptions.
    flows: Vec<(SocketAddr, u64)>,
    agents: Arc<[AgentSpec]>,
}

impl InForce {
    /// Flows by local address and digest, in any order, and agents.
    pub(crate) fn new(mut flows: Vec<(SocketAddr, u64)>, agents: Arc<[AgentSpec]>) -> Self {
        flows.sort_unstable_by_key(|(local, _)| *local);
        Self { flows, agents }
    }

    /// The digest of the flow at an address; `None`: none is in force there.
    pub(crate) fn digest(&self, local: SocketAddr) -> Option<u64> {
        let found = self.flows.binary_search_by_key(&local, |(local, _)| *local);
        Some(self.flows.get(found.ok()?)?.1)
    }

    /// The addresses of the flows.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.flows.iter().map(|(local, _)| *local)
    }

    pub(crate) fn agents(&self) -> &[AgentSpec] {
        &self.agents
    }

    /// Whether an agent is in force.
    pub(crate) fn has_agent(&self, number: AgentNumber) -> bool {
        self.agents.iter().any(|agent| agent.number == number)
    }
}
