//! Peers by name: a host and a port, and secrets that do not show in logs.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A host, by address or name, and a port: `192.0.2.1:9060`, `[2001:db8::1]:9060`, `hep:9060`. A
/// name is resolved when the connection is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Address or name, without brackets.
    pub host: String,
    /// The port; never 0.
    pub port: u16,
}

/// A text that is no host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a host and port such as \"192.0.2.1:9060\"")]
pub struct HostPortError;

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError)?;
        let port = port.parse().map_err(|_| HostPortError)?;
        let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let is_name = |host: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            !host.is_empty() && host.bytes().all(fits)
        };
        let host = match inner {
            Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            None if is_name(host) || host.parse::<Ipv6Addr>().is_ok() => host,
            _ => return Err(HostPortError),
        };
        if port == 0 {
            return Err(HostPortError);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// A password or key. Printed for debugging it is `…`; only [`Self::reveal`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Writes a [`Secret`] into a configuration file; used nowhere else.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Redis database: `[PASSWORD@]HOST:PORT/DB`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAddress {
    /// The password of AUTH, if one is needed.
    pub password: Option<Secret>,
    /// The server.
    pub server: HostPort,
    /// The number of the database.
    pub database: u32,
}

/// A text that is no Redis database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a database such as \"127.0.0.1:6379/0\"")]
pub struct RedisAddressError;

impl FromStr for RedisAddress {
    type Err = RedisAddressError;

    fn from_str(text: &str) -> Result<Self, RedisAddressError> {
        // A password may contain both separators.
        let (password, address) = match text.rsplit_once('@') {
            Some((password, address)) => (Some(Secret(password.to_owned())), address),
            None => (None, text),
        };
        let (server, database) = address.rsplit_once('/').ok_or(RedisAddressError)?;
        Ok(Self {
            password,
            server: server.parse().map_err(|_| RedisAddressError)?,
            database: database.parse().map_err(|_| RedisAddressError)?,
        })
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(password) = &self.password {
            write!(f, "{password}@")?;
        }
        write!(f, "{}/{}", self.server, self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_print_as_they_parse() {
        for text in ["192.0.2.1:9060", "[2001:db8::1]:9060", "hep.example.com:1"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        for bad in [
            "9060",
            ":9060",
            "host:",
            "host:0",
            "host:65536",
            "a b:1",
            "[x]:1",
        ] {
            assert_eq!(bad.parse::<HostPort>(), Err(HostPortError), "{bad}");
        }
    }

    #[test]
    fn redis_password_is_not_shown() {
        let address: RedisAddress = "p@ss/w:rd@192.0.2.1:6379/3".parse().unwrap();
        assert_eq!(address.password.as_ref().unwrap().reveal(), "p@ss/w:rd");
        assert_eq!((address.server.port, address.database), (6379, 3));
        assert_eq!(address.to_string(), "p@ss/w:rd@192.0.2.1:6379/3");
        assert!(!format!("{address:?}").contains("p@ss"));
        for bad in ["192.0.2.1:6379", "192.0.2.1/0", "192.0.2.1:6379/x"] {
            assert!(bad.parse::<RedisAddress>().is_err(), "{bad}");
        }
    }
}
