//! From a destination with a name to addresses, over what the cache knows (RFC 3263 §4).
//!
//! ```text
//! port given ───────────────────────────────────────────┐
//! transport given ──────────────┐                       │
//! neither ── NAPTR ── services ─┴── SRV ── hosts, ports ┴── A, AAAA ── addresses
//! ```
//!
//! Nothing is kept between two walks: with every answer that comes in, a waiting request is walked
//! again from the start. A walk goes on past a missing answer as if there was nothing, so that what
//! is needed in that case is asked for at the same time: a server that never answers for NAPTR
//! costs the deadline, not the call.

use std::net::SocketAddr;

use rand::Rng;

use super::cache::{Cache, Found, Reading};
use super::machine::{Families, ResolveConfig};
use super::order::{by_preference, by_weight};
use super::{
    Address, Destination, Host, Query, RecordKind, Records, ResolveError, protocol_of_service,
    srv_prefix,
};
use crate::limits;
use crate::transport::Protocol;

/// Where a walk ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walk {
    Failed(ResolveError),
    /// Questions to be asked first.
    Missing(Vec<Query>),
    /// In the order in which they are tried; never empty.
    Ready(Vec<Address>),
}

pub(super) fn walk(
    destination: &Destination,
    config: &ResolveConfig,
    cache: &Cache,
    reading: Reading,
    rng: &mut impl Rng,
) -> Walk {
    let name = match (&destination.host, destination.direct()) {
        (_, Some(address)) => return Walk::Ready(vec![address]),
        (Host::Name(name), None) => name,
        (Host::Ip(_), None) => return Walk::Failed(ResolveError::NoSuchName),
    };
    let mut walker = Walker {
        config,
        cache,
        reading,
        missing: Vec::new(),
        has_failed: false,
    };
    let Some(hosts) = walker.hosts(destination, name, rng) else {
        return walker.end(Vec::new());
    };
    let mut addresses = Vec::new();
    for host in hosts.iter().take(limits::SRV_HOSTS) {
        walker.addresses(host, destination, &mut addresses);
    }
    walker.end(addresses)
}

/// A host with the protocol and port by which it is reached.
struct Endpoint {
    protocol: Protocol,
    name: Box<str>,
    port: u16,
}

struct Walker<'a> {
    config: &'a ResolveConfig,
    cache: &'a Cache,
    reading: Reading,
    missing: Vec<Query>,
    has_failed: bool,
}

impl<'a> Walker<'a> {
    /// `None`: there is an end without addresses.
    fn hosts(
        &mut self,
        destination: &Destination,
        name: &str,
        rng: &mut impl Rng,
    ) -> Option<Vec<Endpoint>> {
        let protocol = destination.protocol;
        let at = |protocol: Protocol, port: Option<u16>| {
            Some(vec![Endpoint {
                protocol,
                name: name.into(),
                port: port.unwrap_or_else(|| protocol.default_port()),
            }])
        };
        let by_default = protocol.unwrap_or_else(|| destination.protocol_by_default());
        if destination.port.is_some() {
            return at(by_default, destination.port);
        }
        let services = match protocol {
            Some(protocol) => srv_name(protocol, name).into_iter().collect(),
            None => self.services(destination, name),
        };
        let mut hosts = Vec::new();
        let mut is_refused = false;
        for (protocol, srv) in services {
            match self.look(&srv, RecordKind::Srv) {
                Found::Records(Records::Srv(records)) => {
                    is_refused |= records.iter().all(|srv| srv.host.is_empty());
                    for srv in by_weight(records, rng) {
                        if !srv.host.is_empty() && srv.port != 0 {
                            hosts.push(Endpoint {
                                protocol,
                                name: srv.host.clone(),
                                port: srv.port,
                            });
                        }
                    }
                }
                Found::Failed | Found::Missing | Found::Nothing | Found::Records(_) => {}
            }
        }
        if !hosts.is_empty() {
            return Some(hosts);
        }
        // A server that did not answer for SRV may have had another port and protocol to tell.
        if is_refused || self.has_failed {
            return None;
        }
        at(by_default, None)
    }

    /// The SRV names to ask, by preference (RFC 3263 §4.1).
    fn services(&mut self, destination: &Destination, name: &str) -> Vec<(Protocol, Box<str>)> {
        let config = self.config;
        let is_usable = |protocol: &Protocol| {
            config.protocols.contains(protocol) && (!destination.secure || protocol.is_secure())
        };
        if config.naptr {
            match self.look(name, RecordKind::Naptr) {
                Found::Records(Records::Naptr(records)) => {
                    let protocol = |service: &[u8]| protocol_of_service(service).filter(is_usable);
                    let chosen = by_preference(records, |n| protocol(&n.service).is_some());
                    let services: Vec<_> = chosen
                        .iter()
                        .filter_map(|n| Some((protocol(&n.service)?, n.replacement.clone())))
                        .filter(|(_, replacement)| !replacement.is_empty())
                        .collect();
                    if !services.is_empty() {
                        return services;
                    }
                }
                // Some servers fail for types they do not know.
                Found::Failed => self.has_failed = false,
                Found::Missing | Found::Nothing | Found::Records(_) => {}
            }
        }
        let usable = config.protocols.iter().copied().filter(is_usable);
        usable.filter_map(|p| srv_name(p, name)).collect()
    }

    fn addresses(&mut self, host: &Endpoint, destination: &Destination, out: &mut Vec<Address>) {
        let kinds = match self.config.families {
            Families::Both => &[RecordKind::Aaaa, RecordKind::A][..],
            Families::V4 => &[RecordKind::A],
            Families::V6 => &[RecordKind::Aaaa],
        };
        for kind in kinds {
            let Found::Records(Records::Addresses(ips)) = self.look(&host.name, *kind) else {
                continue;
            };
            for ip in ips {
                let address = Address {
                    protocol: host.protocol,
                    peer: SocketAddr::new(*ip, host.port),
                    server_name: destination.server_name.clone(),
                };
                if out.len() < limits::ADDRESSES && !out.contains(&address) {
                    out.push(address);
                }
            }
        }
    }

    fn look(&mut self, name: &str, kind: RecordKind) -> Found<'a> {
        let query = Query {
            name: name.into(),
            kind,
        };
        let found = self.cache.look(&query, self.reading);
        match found {
            Found::Missing if !self.missing.contains(&query) => self.missing.push(query),
            Found::Failed => self.has_failed = true,
            _ => {}
        }
        found
    }

    fn end(self, addresses: Vec<Address>) -> Walk {
        if !self.missing.is_empty() {
            Walk::Missing(self.missing)
        } else if !addresses.is_empty() {
            Walk::Ready(addresses)
        } else if self.has_failed {
            Walk::Failed(ResolveError::Unavailable)
        } else {
            Walk::Failed(ResolveError::NoSuchName)
        }
    }
}

fn srv_name(protocol: Protocol, name: &str) -> Option<(Protocol, Box<str>)> {
    Some((protocol, format!("{}{name}", srv_prefix(protocol)?).into()))
}
