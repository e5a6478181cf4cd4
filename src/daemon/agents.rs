//! What agents do outside: they send through the data plane, and calls follow what they find.

use std::sync::{Arc, OnceLock, Weak};

use super::now;
use crate::agents::Outside;
use crate::call::Calls;
use crate::dataplane::Dataplane;
use crate::flow::agent::{AgentEvent, AgentNumber, Departure, Found};

/// The rest of the relay, as agents see it.
pub(super) struct Surroundings {
    pub(super) dataplane: Arc<Dataplane>,
    /// Set once they are there.
    pub(super) calls: OnceLock<Weak<Calls>>,
}

impl Surroundings {
    fn calls(&self) -> Option<Arc<Calls>> {
        self.calls.get()?.upgrade()
    }
}

impl Outside for Surroundings {
    fn send(&self, departures: Vec<Departure>) {
        self.dataplane.send_all(departures);
    }

    fn found(&self, call: u64, agent: AgentNumber, found: Found) -> bool {
        let calls = self.calls();
        calls.is_some_and(|calls| calls.agent_found(call, agent, found, now()).is_some())
    }

    fn tell(&self, call: u64, event: AgentEvent) {
        let Some(call_id) = self.calls().and_then(|calls| calls.id_of(call)) else {
            return;
        };
        match event {
            AgentEvent::ConsentLost { local, remote } => tracing::warn!(
                %call_id, %local, %remote,
                "the party agrees no longer to being sent to (RFC 7675): media to it stops"
            ),
            AgentEvent::DtlsConnected { component, profile } => {
                tracing::info!(%call_id, ?component, profile, "DTLS connected");
            }
            AgentEvent::DtlsClosed { component } => {
                tracing::info!(%call_id, ?component, "DTLS closed by the party");
            }
            AgentEvent::DtlsFailed {
                component,
                reason,
                goes_on: false,
            } => tracing::warn!(%call_id, ?component, reason, "DTLS failed"),
            AgentEvent::DtlsFailed {
                component, reason, ..
            } => tracing::warn!(
                %call_id, ?component, reason, "new DTLS association refused: the present one goes on"
            ),
            AgentEvent::DtlsSetback { component, reason } => tracing::warn!(
                %call_id, ?component, reason, "a DTLS handshake came to nothing, another may follow"
            ),
            AgentEvent::IceFailed => tracing::warn!(%call_id, "ICE failed: no pair works"),
            AgentEvent::PairSelected { local, remote } => {
                tracing::info!(%call_id, %local, %remote, "ICE pair selected");
            }
        }
    }
}
