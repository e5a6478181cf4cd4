//! Settings of the admin interface (spec §17, §19 `[admin]`): plain data.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where operators ask. Without any of it there is no admin interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminConfig {
    /// The socket of the command line. Who may write to it may do everything.
    pub unix: Option<UnixSocket>,
    /// HTTP.
    pub http: Option<HttpAdmin>,
}

/// A Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// Its file.
    pub path: PathBuf,
    /// Its permissions. Default 0600.
    pub mode: u32,
    /// Its group, by name. Default: that of the process.
    pub group: Option<String>,
}

/// The HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAdmin {
    /// Where it listens. Only loopback may be without TLS.
    pub bind: SocketAddr,
    /// Who is let in: a file of `[[token]]` and `[[certificate]]`.
    pub tokens: PathBuf,
    /// TLS.
    pub tls: Option<HttpTls>,
}

/// Certificates of the HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTls {
    /// PEM file of our certificate and those above it.
    pub chain: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
    /// PEM file of the authorities of client certificates. `None`: tokens alone.
    pub client_ca: Option<PathBuf>,
}

impl UnixSocket {
    /// A socket for its owner alone.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mode: 0o600,
            group: None,
        }
    }
}
