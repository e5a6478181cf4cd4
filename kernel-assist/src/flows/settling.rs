//! The last figures of withdrawn flows, for owners that cannot stand still until they are there.
//!
//! [`Flows::settle`](super::Flows::settle) waits for the programs itself. Here the owner takes the
//! withdrawn flows out, lets another thread wait, and comes back.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use super::{Entry, Figures, Flows};
use crate::sys::bpf::Fence;

/// Flows that were withdrawn, on their way to their last figures. Their places stay taken if it is
/// dropped.
#[derive(Debug)]
pub struct Settling(Vec<(SocketAddr, Entry)>);

impl Settling {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Waits for the programs, without the flows.
pub struct Waiter {
    fence: Fence,
    state: OwnedFd,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}

impl Waiter {
    /// Returns when no CPU is busy any more with a packet of a flow that was withdrawn before the call.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&self) -> io::Result<()> {
        self.fence.wait(self.state.as_fd())
    }
}

impl Flows {
    /// Somebody who can wait while the flows are used.
    ///
    /// # Errors
    /// The system's: too many descriptors.
    pub fn waiter(&self) -> io::Result<Waiter> {
        Ok(Waiter {
            fence: Fence::adopt(self.fence.fd().try_clone()?)?,
            state: self.state.fd.try_clone()?,
        })
    }

    /// The flows that were withdrawn so far. [`Waiter::wait`] comes next, then [`Self::settled`].
    pub fn settling(&mut self) -> Settling {
        Settling(std::mem::take(&mut self.withdrawn))
    }

    /// The last figures of flows that were waited for, in the order in which they were withdrawn.
    pub fn settled(&mut self, settling: Settling) -> Vec<(SocketAddr, Figures)> {
        self.last_figures(settling.0)
    }
}
