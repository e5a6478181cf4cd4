//! What stands between calls and everything else: the data plane behind them, ng before them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use windlass_ng::{Handler, Reply, Request, Source};

use super::now;
use crate::call::{Calls, Forwarding, ForwardingError};
use crate::dataplane::Dataplane;
use crate::flow::port::PortLease;
use crate::flow::{Injection, Plan};

/// The data plane, as calls see it.
pub(super) struct Link(pub(super) Arc<Dataplane>);

impl Forwarding for Link {
    fn pick_worker(&self) -> usize {
        self.0.pick_worker()
    }

    fn apply(
        &self,
        plan: &Plan,
        leases: Vec<PortLease>,
    ) -> Result<Vec<PortLease>, ForwardingError> {
        let applied = self.0.apply(plan, leases);
        applied.map_err(|error| ForwardingError {
            reason: error.to_string(),
        })
    }

    fn packet_clock_ms(&self) -> u64 {
        self.0.clock_ms()
    }

    fn inject(&self, worker: usize, injection: Injection) -> Result<(), &'static str> {
        self.0.inject(worker, injection)
    }

    fn route_to(&self, peer: IpAddr) -> Option<IpAddr> {
        // Connecting a UDP socket sends nothing; it only makes the system choose an address.
        let any: IpAddr = match peer {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((peer, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }
}

/// The calls, as the ng transports see them.
pub(super) struct Commands(pub(super) Arc<Calls>);

impl Handler for Commands {
    fn handle(&self, request: &Request, source: &Source) -> Reply {
        let began = now();
        let reply = self.0.serve(request, source.addr, began, &mut rand::rng());
        let took = now().instant.saturating_duration_since(began.instant);
        let failed = reply.is_error();
        self.0
            .count_command(source.addr, Some(request.command), took, failed);
        reply
    }

    fn refused(&self, source: &Source, reason: &str) {
        tracing::debug!(source = %source.addr, reason, "request refused");
        self.0
            .count_command(source.addr, None, Duration::ZERO, true);
    }
}
