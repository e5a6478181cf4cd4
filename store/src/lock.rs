//! Who may write in a run-time directory: who holds the lock on its file `owner` (spec/survive.md
//! §3.3). The kernel frees it with the last descriptor, so a death frees it; a successor is handed
//! the descriptor, and has the lock with it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Why the directory cannot be owned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it: the live area names it. Ask again for a second, then kill that one.
    #[error("another process owns the directory")]
    Busy,
    /// The system's.
    #[error("owner lock: {0}")]
    System(#[from] io::Error),
}

/// The lock of a run-time directory.
#[derive(Debug)]
pub struct Lock(Held);

#[derive(Debug)]
enum Held {
    Taken(Flock<File>),
    Inherited(OwnedFd),
}

impl Lock {
    /// Takes the lock, without waiting.
    ///
    /// # Errors
    /// Another process has it, or the system's.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = options.open(dir.join("owner"))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self(Held::Taken(lock))),
            Err((_, Errno::EWOULDBLOCK)) => Err(LockError::Busy),
            Err((_, error)) => Err(LockError::System(error.into())),
        }
    }

    /// The lock that an old process has handed over with its descriptor.
    #[must_use]
    pub fn inherit(descriptor: OwnedFd) -> Self {
        Self(Held::Inherited(descriptor))
    }

    /// What a successor is given.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Held::Taken(lock) => lock.as_fd(),
            Held::Inherited(descriptor) => descriptor.as_fd(),
        }
    }

    /// Leaves it to the successor, which has its descriptor: closing ours frees nothing.
    pub fn leave(self) {
        if let Held::Taken(lock) = self.0 {
            // Dropping a `Flock` would unlock it for all who share it.
            std::mem::forget(lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::Dir;

    #[test]
    fn lock_goes_with_its_descriptor() {
        let dir = Dir::new();
        let old = Lock::take(&dir.0).unwrap();
        assert!(matches!(Lock::take(&dir.0), Err(LockError::Busy)));
        let handed = old.descriptor().try_clone_to_owned().unwrap();
        let successor = Lock::inherit(handed);
        old.leave();
        assert!(matches!(Lock::take(&dir.0), Err(LockError::Busy)));
        drop(successor);
        // The descriptor that was left is open until this process ends, as in an old one.
        assert!(matches!(Lock::take(&dir.0), Err(LockError::Busy)));
        let other = Dir::new();
        drop(Lock::take(&other.0).unwrap());
        assert!(Lock::take(&other.0).is_ok());
        assert!(matches!(
            Lock::take(Path::new("/nonexistent")),
            Err(LockError::System(_))
        ));
    }
}
