//! Who keeps the descriptors while no process of ours is alive (spec/survive.md §2.4): datagrams
//! wait in a socket that somebody keeps open.
//!
//! There are two holders behind one trait: systemd's descriptor store, and a small parent of our
//! own ([`parent`]). What they hold they give to the next process by name, as systemd does:
//! LISTEN_FDS, LISTEN_FDNAMES, from descriptor 3 on. So a start is the same under both.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

use crate::limits;

pub mod parent;
mod passed;
#[cfg(test)]
mod tests;

pub use passed::passed;

/// Why a descriptor is not held. The process goes on; after a crash that descriptor is made anew,
/// and what waited in it is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// A name with other characters than the holders allow, or too long.
    #[error("{0:?}: a name has 1 to {max} letters, digits, '.', '_' and '-'", max = limits::NAME_BYTES)]
    Name(String),
    /// The system's.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Keeps descriptors.
pub trait Holder {
    /// Keeps a descriptor under a name. One of that name is kept, too, until it is removed.
    ///
    /// # Errors
    /// A wrong name, or the system's.
    fn hold(&self, name: &str, descriptor: BorrowedFd<'_>) -> Result<(), HoldError>;

    /// Keeps nothing of that name any more.
    ///
    /// # Errors
    /// A wrong name, or the system's.
    fn remove(&self, name: &str) -> Result<(), HoldError>;
}

/// Descriptors that were handed to this process, by name. Several may have one.
pub type Held = BTreeMap<String, Vec<OwnedFd>>;

/// Who is on the other side of NOTIFY_SOCKET: systemd, or [`parent`]. Both keep what comes with
/// `FDSTORE=1` (sd_pid_notify_with_fds(3)).
#[derive(Debug)]
pub struct Notified {
    socket: UnixDatagram,
    to: Address,
}

#[derive(Debug)]
enum Address {
    Path(UnixAddr),
    Abstract(UnixAddr),
}

impl Notified {
    /// The holder at an address: the value of NOTIFY_SOCKET, a path, or a name behind `@`.
    ///
    /// # Errors
    /// The system's: no such address.
    pub fn new(address: &std::ffi::OsStr) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        let to = match address.as_bytes() {
            [b'@', name @ ..] => {
                // Checks the length as the standard library does.
                SocketAddr::from_abstract_name(name)?;
                Address::Abstract(UnixAddr::new_abstract(name)?)
            }
            _ => Address::Path(UnixAddr::new(Path::new(address))?),
        };
        Ok(Self { socket, to })
    }

    fn send(&self, text: &str, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let raw = descriptor.map(|descriptor| descriptor.as_raw_fd());
        let rights = raw.as_slice();
        let control = [ControlMessage::ScmRights(rights)];
        let control = if rights.is_empty() { &[][..] } else { &control };
        let (Address::Path(to) | Address::Abstract(to)) = &self.to;
        let text = [IoSlice::new(text.as_bytes())];
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg(self.socket.as_raw_fd(), &text, control, flags, Some(to))?;
        Ok(())
    }
}

impl Holder for Notified {
    fn hold(&self, name: &str, descriptor: BorrowedFd<'_>) -> Result<(), HoldError> {
        check(name)?;
        // Without FDPOLL=0 an ICMP error on a connected socket (POLLERR) would drop it.
        let text = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
        Ok(self.send(&text, Some(descriptor))?)
    }

    fn remove(&self, name: &str) -> Result<(), HoldError> {
        check(name)?;
        Ok(self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None)?)
    }
}

/// Nobody: ports are opened again after a crash, and the gap is lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Holder for Nobody {
    fn hold(&self, name: &str, _descriptor: BorrowedFd<'_>) -> Result<(), HoldError> {
        check(name)
    }

    fn remove(&self, name: &str) -> Result<(), HoldError> {
        check(name)
    }
}

/// Names go through a list with colons and lines with `=`.
fn check(name: &str) -> Result<(), HoldError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=limits::NAME_BYTES).contains(&name.len()) && name.chars().all(is_allowed) {
        Ok(())
    } else {
        Err(HoldError::Name(name.to_owned()))
    }
}
