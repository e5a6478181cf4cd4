//! The control listeners and their access policy (spec: ng-protocol §1, security 12).

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use windlass_ng::limits::UDP_STRANGER_REPLY_BYTES;
use windlass_ng::serve::Shared;
use windlass_ng::server::{TcpOptions, TcpServer, UdpServer};
use windlass_ng::{Access, HttpOptions, HttpServer, Page, Resources, Rule, Secret, Source, Tls};

use super::Error;
use super::console::{CliServer, Operator};
use crate::call::Calls;
use crate::config::Config;
use crate::limits::NG_THREADS;
use crate::media::reach::Rules;

/// All control listeners.
#[derive(Default)]
pub(super) struct Listeners {
    pub(super) udp: Vec<UdpServer>,
    pub(super) tcp: Vec<TcpServer>,
    pub(super) http: Vec<HttpServer>,
    pub(super) https: Vec<HttpServer>,
    pub(super) cli: Vec<CliServer>,
}

impl Listeners {
    pub(super) fn start(
        config: &Config,
        shared: &Arc<Shared>,
        operator: &Arc<Operator>,
    ) -> Result<Self, Error> {
        let mut listeners = Self::default();
        let pages = Arc::new(Pages(operator.clone()));
        for &address in &config.ng.udp {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let threads = (cores + 1).min(NG_THREADS);
            let server = UdpServer::start(address, threads, shared.clone());
            listeners.udp.push(server.map_err(refused("udp", address))?);
        }
        for &address in &config.ng.tcp {
            let server = TcpServer::start(address, tcp(config), shared.clone());
            listeners.tcp.push(server.map_err(refused("tcp", address))?);
        }
        let control = &config.control;
        for &address in &control.http {
            let server = HttpServer::start(address, http(config), shared.clone(), pages.clone());
            listeners
                .http
                .push(server.map_err(refused("http", address))?);
        }
        for &address in &control.https {
            let mut options = http(config);
            options.tls = Some(tls(config)?);
            let server = HttpServer::start(address, options, shared.clone(), pages.clone());
            listeners
                .https
                .push(server.map_err(refused("https", address))?);
        }
        for &address in &control.cli {
            let server = CliServer::start(address, operator.clone(), shared.clone());
            listeners.cli.push(server.map_err(refused("cli", address))?);
        }
        Ok(listeners)
    }

    /// Every address with its protocol.
    pub(super) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let udp = self
            .udp
            .iter()
            .map(|server| ("ng over udp", server.local_addr()));
        let tcp = self
            .tcp
            .iter()
            .map(|server| ("ng over tcp", server.local_addr()));
        let http = self.http.iter().map(|server| ("http", server.local_addr()));
        let https = self
            .https
            .iter()
            .map(|server| ("https", server.local_addr()));
        let cli = self
            .cli
            .iter()
            .map(|server| ("command line over tcp", server.local_addr()));
        udp.chain(tcp).chain(http).chain(https).chain(cli).collect()
    }
}

fn refused(protocol: &'static str, address: SocketAddr) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Listen {
        protocol,
        address,
        source,
    }
}

fn tcp(config: &Config) -> TcpOptions {
    let message_bytes = usize::try_from(config.control.tcp_message_bytes);
    TcpOptions {
        message_bytes: message_bytes.unwrap_or(usize::MAX),
        ..TcpOptions::default()
    }
}

fn http(config: &Config) -> HttpOptions {
    let control = &config.control;
    let secret = control
        .secret
        .as_ref()
        .and_then(|secret| Secret::new(secret.reveal()));
    // Who proves to know the secret need not come from a network that is allowed.
    let is_proven = secret.is_some() && control.allow.is_empty();
    HttpOptions {
        header_timeout: control.http_idle_timeout,
        access: is_proven.then(|| Arc::new(Access::new(Rule::Open))),
        secret,
        origins: control.origins.clone(),
        ..HttpOptions::default()
    }
}

fn tls(config: &Config) -> Result<Tls, Error> {
    let control = &config.control;
    let certificate = control.https_cert.as_deref().unwrap_or_default();
    let key = control.https_key.as_deref().unwrap_or(certificate);
    let authority = control.client_ca.as_deref().map(Path::new);
    Tls::load(Path::new(certificate), Path::new(key), authority).map_err(|error| Error::Tls {
        reason: error.to_string(),
    })
}

/// Access policy of the listeners by the configuration.
pub(super) fn access(config: &Config, calls: &Arc<Calls>, reach: &Arc<Rules>) -> Arc<Access> {
    let hint = |source| format!("[control] allow = [\"{source}\"], or --control-allow={source},");
    let access = Access::new(config.access.clone()).with_udp_reply_cap(UDP_STRANGER_REPLY_BYTES);
    // What media can be made to say is no request: ours, and that of others on this host.
    let (calls, reach) = (Arc::clone(calls), Arc::clone(reach));
    let is_media = move |source| calls.is_media_port(source) || reach.is_beside(source);
    let access = access.with_media_ports(is_media);
    Arc::new(access.with_hint(hint))
}

/// HTTP resources in addition to ng.
struct Pages(Arc<Operator>);

impl Resources for Pages {
    fn get(&self, _path: &str, _source: &Source) -> Option<Page> {
        None
    }

    fn cli(&self, line: &str, source: &Source) -> Option<String> {
        Some(self.0.run(line, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_have_the_bounds_of_the_configuration() {
        let mut config = Config::default();
        let bytes = |config: &Config| tcp(config).message_bytes;
        assert_eq!(bytes(&config), TcpOptions::default().message_bytes);
        config.control.tcp_message_bytes = 1024;
        assert_eq!(bytes(&config), 1024);
        assert_eq!(http(&config).origins, [""; 0]);
        config.control.origins = vec!["https://example.com".to_owned()];
        assert_eq!(http(&config).origins, config.control.origins);
    }
}
