//! Streams that the kernel forwards: which ones move down from user space, and when they are back
//! (spec: dataplane §8).
//!
//! - [`wish`](mod@wish): what a flow would be below, or why it has to stay. Asked of the flow as it is; remembers
//!   nothing.
//! - [`descent`]: whether it is time, so that no stream moves to and fro.
//! - [`fold`]: what the kernel counts becomes part of the flow's own counters.
//! - [`kernel`]: the programs, by [`windlass_kernel_assist`].
//!
//! `flows/offload.rs` moves. Everything that a worker knows of a stream stays with it meanwhile: what
//! the kernel does not take, from whomever, is looked at there as ever, after the kernel's count was
//! taken in.

pub(super) mod descent;
pub(super) mod fold;
pub(super) mod kernel;
pub(super) mod wish;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use windlass_kernel_assist::flows::{Figures, SourceFigures};

use crate::flow::path::{Path, WhyUp};
use wish::Wish;

/// Which programs forward streams below user space.
#[derive(Clone, Debug, Default)]
pub struct Offload {
    /// Where they are attached.
    pub mode: OffloadMode,
    /// Local addresses of media: the programs are attached to the interfaces that have them.
    pub addresses: Vec<IpAddr>,
    /// Streams that there is room for; the system takes the memory at once, some 650 bytes each.
    pub max_flows: u32,
}

/// Where programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffloadMode {
    /// Nowhere.
    #[default]
    Off,
    /// tc at ingress, which every interface has.
    Auto,
    /// The same, because it was asked for.
    Tc,
    /// XDP in the driver; tc where the driver has none.
    Xdp,
}

/// Who forwards below user space: one for all workers.
pub(super) trait Below: Send + Sync {
    /// Begins to forward. `sources` is what was heard so far.
    ///
    /// # Errors
    /// Why it cannot be; nothing has changed then.
    fn lower(&self, wish: &Wish, sources: &[SourceFigures], now: Instant) -> Result<Path, WhyUp>;

    /// Figures of a flow since it was lowered.
    fn read(&self, local: SocketAddr) -> Option<Figures>;

    /// Whether packets of a lowered flow still leave in the way that was found for them.
    ///
    /// # Errors
    /// They do not, or not for sure.
    fn check(&self, wish: &Wish, now: Instant) -> Result<(), WhyUp>;

    /// Ends forwarding, and gives the figures so far. What a CPU is busy with at this moment is told
    /// some milliseconds later ([`Kernel::settle`](kernel::Kernel::settle)).
    fn raise(&self, local: SocketAddr) -> Option<Figures>;
}

/// The clock of the kernel's figures, beside that of the engine: both are CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelClock {
    at: Instant,
    ns: u64,
}

impl KernelClock {
    /// Reads both.
    ///
    /// # Errors
    /// The system's: it has no such clock.
    pub(super) fn now() -> io::Result<Self> {
        let at = super::clock();
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
        let ns = Duration::from(now).as_nanos();
        Ok(Self::new(at, u64::try_from(ns).unwrap_or(u64::MAX)))
    }

    /// Both at the same moment.
    pub(super) fn new(at: Instant, ns: u64) -> Self {
        Self { at, ns }
    }

    /// The time of a figure, not before the clock was read.
    pub(super) fn instant(&self, ns: u64) -> Instant {
        self.at + Duration::from_nanos(ns.saturating_sub(self.ns))
    }
}
