//! Questions put to name servers, over UDP and, for long answers, TCP.
//!
//! `hickory-resolver` knows the servers, their failures, random ports and identifiers, truncation
//! and CNAMEs. Its cache is off: what is known, and for how long, is [`super::Resolve`]'s business.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as NoAnswer, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Resolver, TokioResolver};

use super::{Answer, Naptr, Query, RecordKind, Records, Srv};

/// Who is asked, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsServers {
    /// Name servers with their ports; empty: those of `file`.
    pub addresses: Vec<SocketAddr>,
    /// Default `/etc/resolv.conf`. Its search list completes names without a dot, also for
    /// `addresses`; it may be missing if these are given.
    pub file: PathBuf,
    /// Whether `/etc/hosts` goes before DNS. Default true.
    pub hosts: bool,
    /// Wait for one server. Default 1 s, so that a second one is asked before a parked request has
    /// waited its time; the option of `file` is for programs with more patience.
    pub timeout: Duration,
    /// How often each server is asked again. Default 1.
    pub retries: usize,
}

impl Default for DnsServers {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            file: PathBuf::from("/etc/resolv.conf"),
            hosts: true,
            timeout: Duration::from_secs(1),
            retries: 1,
        }
    }
}

/// Reasons for not being able to ask.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DnsError {
    #[error("{file}: no name server; add one, or name servers in the configuration")]
    NoServer { file: PathBuf },
    #[error("{file}: {error}")]
    Read { file: PathBuf, error: io::Error },
    #[error("the DNS client cannot start: {0}")]
    Start(NetError),
    #[error("{file}: {error}")]
    Syntax {
        file: PathBuf,
        error: resolv_conf::ParseError,
    },
}

/// A client of name servers; clones share it. It must be used inside a tokio runtime.
#[derive(Clone, Debug)]
pub(crate) struct Dns {
    resolver: TokioResolver,
    /// One for each server: the first failure among all ends a question of `resolver`.
    each: Vec<TokioResolver>,
}

impl Dns {
    /// # Errors
    /// When no server is known, or the file of servers cannot be read. A later change of the file
    /// needs a new client.
    pub(crate) fn new(servers: &DnsServers) -> Result<Self, DnsError> {
        let system = match read(&servers.file) {
            Err(DnsError::Read { .. }) if !servers.addresses.is_empty() => {
                resolv_conf::Config::new()
            }
            read => read?,
        };
        let addresses = if servers.addresses.is_empty() {
            system.nameservers.iter().map(address_of).collect()
        } else {
            servers.addresses.clone()
        };
        if addresses.is_empty() {
            let file = servers.file.clone();
            return Err(DnsError::NoServer { file });
        }
        let search = system.get_last_search_or_domain();
        let search = search.filter_map(|domain| Name::from_utf8(domain).ok());
        let search: Vec<Name> = search.collect();
        let client = |addresses: &[SocketAddr]| {
            let addresses = addresses.iter().map(server).collect();
            let config = ResolverConfig::from_parts(None, search.clone(), addresses);
            let provider = TokioRuntimeProvider::default();
            let mut builder = Resolver::builder_with_config(config, provider);
            *builder.options_mut() = options(servers);
            builder.build().map_err(DnsError::Start)
        };
        let each = addresses.chunks(1).filter(|_| addresses.len() > 1);
        Ok(Self {
            resolver: client(&addresses)?,
            each: each.map(client).collect::<Result<_, _>>()?,
        })
    }

    /// Asks; ends after all servers had their time and retries.
    pub(crate) async fn ask(&self, query: &Query) -> Answer {
        let Ok(mut name) = Name::from_utf8(&query.name) else {
            return Answer::Nothing { ttl: None };
        };
        // Domains are complete; a bare host name is one of the search list.
        name.set_fqdn(query.name.contains('.'));
        let kind = match query.kind {
            RecordKind::A => RecordType::A,
            RecordKind::Aaaa => RecordType::AAAA,
            RecordKind::Naptr => RecordType::NAPTR,
            RecordKind::Srv => RecordType::SRV,
        };
        let mut result = self.resolver.lookup(name.clone(), kind).await;
        for one in &self.each {
            if !result.as_ref().is_err_and(is_refusal) {
                break;
            }
            result = one.lookup(name.clone(), kind).await;
        }
        match result {
            Ok(lookup) => answer(query.kind, lookup.query().name(), lookup.answers()),
            Err(NetError::Dns(NoAnswer::NoRecordsFound(none)))
                if matches!(
                    none.response_code,
                    ResponseCode::NXDomain | ResponseCode::NoError
                ) =>
            {
                let ttl = none.negative_ttl.map(|ttl| Duration::from_secs(ttl.into()));
                Answer::Nothing { ttl }
            }
            Err(error) => {
                tracing::debug!(name = &*query.name, %error, "no answer of DNS");
                Answer::Failed
            }
        }
    }
}

fn read(file: &Path) -> Result<resolv_conf::Config, DnsError> {
    let text = fs::read(file).map_err(|error| DnsError::Read {
        file: file.to_owned(),
        error,
    })?;
    resolv_conf::Config::parse(text).map_err(|error| DnsError::Syntax {
        file: file.to_owned(),
        error,
    })
}

fn address_of(server: &resolv_conf::ScopedIp) -> SocketAddr {
    match server {
        resolv_conf::ScopedIp::V4(ip) => SocketAddr::new(IpAddr::V4(*ip), 53),
        resolv_conf::ScopedIp::V6(ip, _) => SocketAddr::V6(SocketAddrV6::new(*ip, 53, 0, 0)),
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

/// Whether a server has answered that it cannot answer; another one may.
fn is_refusal(error: &NetError) -> bool {
    match error {
        NetError::Dns(NoAnswer::NoRecordsFound(none)) => !matches!(
            none.response_code,
            ResponseCode::NXDomain | ResponseCode::NoError
        ),
        NetError::Dns(_) => true,
        _ => false,
    }
}

fn options(servers: &DnsServers) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = servers.timeout;
    options.attempts = servers.retries;
    options.cache_size = 0;
    // The chain of aliases says which records belong to the name.
    options.preserve_intermediates = true;
    options.use_hosts_file = if servers.hosts {
        ResolveHosts::Always
    } else {
        ResolveHosts::Never
    };
    options
}

/// The records of the type and name that were asked for, or of what this name is an alias of.
/// Others in the message, which a server may have put there to be believed, are left.
fn answer(kind: RecordKind, name: &Name, records: &[Record]) -> Answer {
    let mut names = vec![name];
    // Aliases may come in any order; each round that finds none is the last.
    while let Some(alias) = records.iter().find_map(|record| match &record.data {
        RData::CNAME(alias) if names.contains(&&record.name) => {
            Some(&alias.0).filter(|alias| !names.contains(alias))
        }
        _ => None,
    }) {
        names.push(alias);
    }
    let belongs = |record: &&Record| names.contains(&&record.name);
    let ttl = records
        .iter()
        .filter(belongs)
        .map(|record| record.ttl)
        .min();
    let data = records.iter().filter(belongs).map(|record| &record.data);
    let (found, is_empty) = match kind {
        RecordKind::A | RecordKind::Aaaa => {
            let ips = data.filter_map(|data| match data {
                RData::A(ip) if kind == RecordKind::A => Some(IpAddr::V4(ip.0)),
                RData::AAAA(ip) if kind == RecordKind::Aaaa => Some(IpAddr::V6(ip.0)),
                _ => None,
            });
            let ips: Vec<IpAddr> = ips.collect();
            let is_empty = ips.is_empty();
            (Records::Addresses(ips), is_empty)
        }
        RecordKind::Naptr => {
            let all = data.filter_map(|data| match data {
                RData::NAPTR(naptr) => Some(Naptr {
                    order: naptr.order,
                    preference: naptr.preference,
                    flags: naptr.flags.clone(),
                    service: naptr.services.clone(),
                    replacement: text(&naptr.replacement),
                }),
                _ => None,
            });
            let all: Vec<Naptr> = all.collect();
            let is_empty = all.is_empty();
            (Records::Naptr(all), is_empty)
        }
        RecordKind::Srv => {
            let all = data.filter_map(|data| match data {
                RData::SRV(srv) => Some(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    host: text(&srv.target),
                }),
                _ => None,
            });
            let all: Vec<Srv> = all.collect();
            let is_empty = all.is_empty();
            (Records::Srv(all), is_empty)
        }
    };
    match ttl {
        Some(ttl) if !is_empty => Answer::Records {
            records: found,
            ttl: Duration::from_secs(ttl.into()),
        },
        _ => Answer::Nothing { ttl: None },
    }
}

/// Lower case, without the final dot; the root is empty.
fn text(name: &Name) -> Box<str> {
    let name = name.to_ascii().to_ascii_lowercase();
    name.strip_suffix('.').unwrap_or(&name).into()
}
