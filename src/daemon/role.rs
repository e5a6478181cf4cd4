//! The reading role: learning the ids of calls without knowing one (spec: security 12). A source
//! that knows an id takes part in its call; one that can list ids reaches every call.

use std::net::IpAddr;

use windlass_ng::{Network, Rule, Source, Transport};

use crate::config::Config;
use crate::ctl::Role;

/// Gives sources their role.
pub(super) struct Roles {
    /// Networks with the reading role, besides this host.
    readers: Vec<Network>,
    /// HTTP is answered only to clients that know the secret.
    http_is_proven: bool,
    /// HTTPS, too, or only to those with a client certificate.
    https_is_proven: bool,
}

impl Roles {
    pub(super) fn new(config: &Config) -> Self {
        let control = &config.control;
        let readers = match (&config.access, control.read.is_empty()) {
            (_, false) => control.read.clone(),
            (Rule::Allow(allowed), true) => allowed.clone(),
            // Nobody has named these.
            (Rule::Compat | Rule::Open, true) => Vec::new(),
        };
        Self {
            readers,
            http_is_proven: control.secret.is_some(),
            https_is_proven: control.secret.is_some() || control.client_ca.is_some(),
        }
    }

    /// The role of a source whose requests are answered.
    pub(super) fn of(&self, source: &Source) -> Role {
        let ip = source.addr.ip().to_canonical();
        let is_proven = match source.transport {
            Transport::Udp | Transport::Tcp => false,
            Transport::Http | Transport::WebSocket => self.http_is_proven,
            Transport::Https | Transport::SecureWebSocket => self.https_is_proven,
        };
        let is_named = || self.readers.iter().any(|network| network.contains(ip));
        match is_proven || is_this_host(ip, source) || is_named() {
            true => Role::Reader,
            false => Role::Stranger,
        }
    }
}

/// The system drops packets from outside that claim to be from an address of its own.
fn is_this_host(ip: IpAddr, source: &Source) -> bool {
    let local = source.local.map(|local| local.ip().to_canonical());
    ip.is_loopback() || local == Some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::access::allow;

    fn source(addr: &str, local: Option<&str>, transport: Transport) -> Source {
        Source {
            addr: (addr.parse::<IpAddr>().unwrap(), 5060).into(),
            local: local.map(|local| (local.parse::<IpAddr>().unwrap(), 2223).into()),
            transport,
        }
    }

    fn role(config: &Config, addr: &str, transport: Transport) -> Role {
        Roles::new(config).of(&source(addr, Some("10.0.0.1"), transport))
    }

    #[test]
    fn neighbours_that_nobody_named_do_not_read() {
        let mut config = Config {
            access: Rule::Compat,
            ..Config::default()
        };
        assert_eq!(role(&config, "10.0.0.9", Transport::Udp), Role::Stranger);
        for own in ["127.0.0.1", "::1", "10.0.0.1", "::ffff:10.0.0.1"] {
            assert_eq!(role(&config, own, Transport::Udp), Role::Reader, "{own}");
        }
        config.control.read = vec!["10.0.0.9".parse().unwrap()];
        assert_eq!(role(&config, "10.0.0.9", Transport::Tcp), Role::Reader);
        assert_eq!(role(&config, "10.0.0.8", Transport::Tcp), Role::Stranger);
    }

    #[test]
    fn who_is_allowed_reads_unless_readers_are_named() {
        let mut config = Config {
            access: allow(&["10.0.0.0/24".parse().unwrap()]),
            ..Config::default()
        };
        assert_eq!(role(&config, "10.0.0.9", Transport::Udp), Role::Reader);
        config.control.read = vec!["10.0.0.8".parse().unwrap()];
        assert_eq!(role(&config, "10.0.0.9", Transport::Udp), Role::Stranger);
        assert_eq!(role(&config, "10.0.0.8", Transport::Udp), Role::Reader);
    }

    #[test]
    fn a_proof_is_as_good_as_a_name() {
        let mut config = Config::default();
        config.control.client_ca = Some("ca.pem".to_owned());
        assert_eq!(role(&config, "203.0.113.9", Transport::Https), Role::Reader);
        assert_eq!(
            role(&config, "203.0.113.9", Transport::Http),
            Role::Stranger
        );
        config.control.secret = "s".parse().ok();
        assert_eq!(
            role(&config, "203.0.113.9", Transport::WebSocket),
            Role::Reader
        );
        assert_eq!(role(&config, "203.0.113.9", Transport::Udp), Role::Stranger);
    }
}
