//! The system's log: syslog, or journald behind the same socket (RFC 3164 in its local form).

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clock::Wall;
use super::spool::Append;

/// Where messages come from (RFC 3164 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facility {
    Daemon,
    /// `auth`, where fail2ban looks.
    Auth,
    /// `local0` to `local7`.
    Local(u8),
}

impl Facility {
    fn number(self) -> u8 {
        match self {
            Self::Daemon => 3,
            Self::Auth => 4,
            Self::Local(n) => 16 + n.min(7),
        }
    }
}

/// One connection to `/dev/log`.
#[derive(Debug)]
pub(crate) struct Syslog {
    path: PathBuf,
    priority: u8,
    socket: UnixDatagram,
}

impl Syslog {
    pub(crate) fn open(path: &Path, facility: Facility) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        // A log daemon that hangs: lines wait in the spool.
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            path: path.to_owned(),
            priority: facility.number() * 8 + WARNING,
            socket,
        })
    }
}

impl Append for Syslog {
    fn append(&mut self, line: &[u8], _at: Wall) -> io::Result<()> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let head = format!("<{}>windlass-edge: ", self.priority);
        let message = [head.as_bytes(), line].concat();
        if self.socket.send(&message).is_err() {
            // The daemon was started anew: its socket is another one.
            self.socket.connect(&self.path)?;
            self.socket.send(&message)?;
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.socket.connect(&self.path)
    }
}

/// RFC 3164 §4.1.1.
const WARNING: u8 = 4;
const PATIENCE: Duration = Duration::from_secs(1);
