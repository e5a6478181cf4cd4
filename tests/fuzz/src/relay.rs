//! A relay without a network: its data plane only keeps books.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use windlass::call::ports::{Interfaces, LocalAddress, PortPool};
use windlass::call::{Calls, Defaults, Forwarding, Identity, Limits, Now, Timeouts, Whose};
use windlass::flow::port::{OpenPort, PortHandle, PortLease};
use windlass::flow::state::LeasedFlow;
use windlass::flow::{FlowChange, FlowSpec, Plan, PlanRefused};
use windlass_dtls::CertificateConfig;
use windlass_ng::limits::REPLY_ELEMENTS;
use windlass_ng::{Dict, Encoding, Request, bencode};

/// First and last media port.
pub(crate) const PORTS: (u16, u16) = (40_000, 40_199);

/// Flows in force, with their leases.
#[derive(Default)]
struct Books(Mutex<HashMap<SocketAddr, (FlowSpec, PortLease)>>);

impl Forwarding for Books {
    fn pick_worker(&self) -> usize {
        0
    }

    fn apply(
        &self,
        plan: Plan,
        mut leases: Vec<LeasedFlow>,
    ) -> Result<Vec<LeasedFlow>, PlanRefused> {
        let mut flows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut removed = Vec::new();
        for change in plan.changes {
            match change {
                FlowChange::Install(spec) => {
                    let mut places = leases.iter();
                    let position = places.position(|flow| flow.lease.local() == spec.local);
                    let lease = leases.swap_remove(position.expect("a lease for every install"));
                    let lease = lease.lease;
                    assert!(flows.insert(spec.local, (spec, lease)).is_none());
                }
                FlowChange::Change(spec) => {
                    let flow = flows.get_mut(&spec.local).expect("a flow to change");
                    flow.0 = spec;
                }
                FlowChange::Remove(local) => {
                    let (_, lease) = flows.remove(&local).expect("a flow to remove");
                    removed.push(lease.into());
                }
            }
        }
        for (spec, _) in flows.values() {
            for sink in &spec.sinks {
                assert!(flows.contains_key(&sink.via), "a sink without a flow");
            }
        }
        removed.append(&mut leases);
        Ok(removed)
    }

    fn packet_clock_ms(&self) -> u64 {
        0
    }
}

struct OpensAll;

impl OpenPort for OpensAll {
    fn open(&self, _local: SocketAddr) -> io::Result<PortHandle> {
        Ok(PortHandle::new(()))
    }
}

pub(crate) struct Relay {
    calls: Calls,
    books: Arc<Books>,
    now: Now,
    rng: StdRng,
}

impl Relay {
    pub(crate) fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let addresses = [
            ("ext", "203.0.113.1"),
            ("ext", "2001:db8::1"),
            ("int", "192.0.2.10"),
        ]
        .map(|(name, address)| LocalAddress {
            name: name.into(),
            address: address.parse().expect("an address"),
            advertised: address.parse().expect("an address"),
            pool: Arc::new(PortPool::new(PORTS.0, PORTS.1, &mut rng)),
        });
        let interfaces = Interfaces::new(addresses.into(), Arc::new(OpensAll));
        let local = interfaces.addresses().iter().map(|a| a.address);
        let unix = Duration::from_secs(1_700_000_000);
        let certificate = CertificateConfig::default();
        let identity = Identity::new(certificate, unix, local, "windlass-fuzz", &mut rng);
        let identity = identity.expect("a certificate");
        let books = Arc::new(Books::default());
        #[expect(
            clippy::disallowed_methods,
            reason = "the targets need a start of time"
        )]
        let started = Instant::now();
        let calls = Calls::new(
            interfaces,
            identity,
            books.clone(),
            Defaults::default(),
            Timeouts::default(),
            Limits::default(),
            started,
        );
        let now = Now {
            instant: started,
            unix,
        };
        Self {
            calls,
            books,
            now,
            rng,
        }
    }

    /// Serves one request; afterwards there is a flow for every port, and for no other.
    pub(crate) fn ask(&mut self, request: &Request) -> Dict {
        let source = SocketAddr::from(([127, 0, 0, 1], 2222));
        let reply = self.calls.serve(request, source, self.now, &mut self.rng);
        let mut text = Vec::new();
        reply.write(Encoding::Bencode, usize::MAX, &mut text);
        let tape = bencode::decode(&text, REPLY_ELEMENTS).expect("a reply that decodes");
        self.check();
        tape.root().to_dict()
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix += time;
        self.calls.handle_timeout(self.now);
        self.check();
    }

    pub(crate) fn end(self) {
        self.calls.end_those(Whose::All, self.now);
        assert_eq!((self.calls.count(), self.leased(), self.flows()), (0, 0, 0));
    }

    fn check(&self) {
        assert_eq!(self.leased(), self.flows(), "leased ports and flows");
    }

    fn leased(&self) -> usize {
        let addresses = self.calls.interfaces().addresses().iter();
        addresses.map(|address| address.pool.used()).sum()
    }

    fn flows(&self) -> usize {
        let flows = self.books.0.lock().unwrap_or_else(PoisonError::into_inner);
        flows.len()
    }
}
