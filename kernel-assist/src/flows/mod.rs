//! Kernel flows: settled RTP that goes from one party to the other without a socket (spec:
//! dataplane §8).
//!
//! An eBPF program at the ingress of an interface (tc or XDP, `bpf/flows.bpf.c`) finds the
//! [`Flow`] of a datagram by its destination, checks it, rewrites addresses, ports and sums, counts
//! it, and sends it on. Whatever it does not take is passed up unchanged to the sockets of the
//! host: strangers, RTCP, STUN, DTLS, fragments, packets that do not fit, unknown neighbours. So a
//! flow can be inserted beside an open port, and removed, at any time, and no packet is lost.
//!
//! [`Flows`] owns programs, maps and attachments as descriptors ([`handover`]). Nothing is pinned:
//! when the last process that has them is gone, so are they.

mod attach;
mod figures;
mod flow;
pub mod handover;
pub mod layout;
mod routes;
mod settling;
mod slots;
pub mod srtp;
pub mod trial;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::{fmt, fs, io};

use aya::programs::{ProgramError, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfLoader};

pub use attach::{Attach, Attached, Point, Why};
pub use figures::{Figures, Order, Reason, Reasons, SourceFigures};
pub use flow::{Flow, FlowError, Fragmentation, HOP_LIMIT, Marker, NextHop, PayloadTypes};
pub use routes::{Routes, Way};
pub use settling::{Settling, Waiter};

use self::attach::Attachment;
use self::flow::{canonical, key};
use self::layout::{Control, Crypt, Key, Spec, Stats};
use self::slots::Slots;
use self::srtp::Srtp;
use crate::limits::{MAX_FLOWS, SPARE_SPECS};
use crate::sys::Mapped;
use crate::sys::bpf::{self, EXIST, Fence, NO_EXIST, TypedMap};

/// The object of `bpf/flows.bpf.c`, as `bpf/build` makes it.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/flows.bpf.o");

/// Reasons why the kernel forwards nothing, or not this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowsError {
    /// The system refuses a program at an interface; see [`Self::is_taken`].
    #[error("cannot attach to {interface} ({point}): {source}")]
    Attach {
        /// Name of the interface.
        interface: String,
        /// Where at it.
        point: Point,
        /// The system's error.
        source: io::Error,
    },
    /// These flows are attached to the interface already.
    #[error("{0} has these flows already")]
    Attached(String),
    /// The key has a flow.
    #[error("a flow for {0} exists")]
    Exists(SocketAddr),
    /// No kernel can forward it.
    #[error(transparent)]
    Flow(#[from] FlowError),
    /// There is no room for another.
    #[error("{0} flows are in force, and there is room for no more")]
    Full(u32),
    /// A descriptor that was handed over is missing, or is something else.
    #[error("{name} was not handed over: {source}")]
    Handover {
        /// Name of the descriptor.
        name: String,
        /// What is wrong.
        source: io::Error,
    },
    /// No such interface in this network namespace.
    #[error("no interface {interface}: {source}")]
    Interface {
        /// Its name.
        interface: String,
        /// The system's error.
        source: io::Error,
    },
    /// Keys of SRTP are missing, or are not to be used.
    #[error("no keys of SRTP for {0}")]
    Keys(SocketAddr),
    /// The maps are of another version of this program.
    #[error("flows of layout {0}, but this program has {version}", version = layout::LAYOUT)]
    Layout(u32),
    /// The system refuses the maps: no CAP_BPF or CAP_NET_ADMIN, or no eBPF at all.
    #[error("cannot make the eBPF maps: {0}")]
    Load(#[from] aya::EbpfError),
    /// None, or more than [`MAX_FLOWS`].
    #[error("room for {0} flows; there can be 1 to {MAX_FLOWS}")]
    MaxFlows(u32),
    /// The object is not what this program expects.
    #[error("the eBPF object has no {0}")]
    Missing(&'static str),
    /// There is no flow of this key.
    #[error("no flow for {0}")]
    NoFlow(SocketAddr),
    /// The system refuses a program.
    #[error("cannot load the eBPF programs: {0}")]
    Program(#[from] ProgramError),
    /// More sources than a flow keeps figures of.
    #[error("figures of {0} sources; a flow has room for {room}", room = layout::SOURCES)]
    Sources(usize),
    /// The system refuses something else.
    #[error("{what}: {source}")]
    System {
        /// The step that failed.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl FlowsError {
    /// Whether somebody else's program is where ours was to be.
    pub fn is_taken(&self) -> bool {
        let Self::Attach { source, .. } = self else {
            return false;
        };
        matches!(source.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
    }

    fn system(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Sizes, fixed when the maps are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Flows that there is room for; the memory is taken at once (some 650 bytes each).
    pub max_flows: u32,
    /// Flows may open and seal SRTP, at tc. Takes another 576 bytes each, and a larger program.
    pub srtp: bool,
}

/// The flows of this host that the kernel forwards.
///
/// Dropping it ends them, unless another process has the descriptors as well.
pub struct Flows {
    programs: Programs,
    index: TypedMap<Key, u32>,
    specs: TypedMap<u32, Spec>,
    figures: Table<Stats>,
    state: Table<Control>,
    /// Keys and state of SRTP; one that is not used without.
    keys: Table<Crypt>,
    has_srtp: bool,
    fence: Fence,
    attachments: Vec<Attachment>,
    in_force: HashMap<SocketAddr, Entry>,
    /// No longer found by the programs, but perhaps under the hand of one.
    withdrawn: Vec<(SocketAddr, Entry)>,
    free_specs: Slots,
    free_figures: Slots,
}

impl fmt::Debug for Flows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flows")
            .field("in_force", &self.in_force.len())
            .field("attachments", &self.attachments)
            .finish_non_exhaustive()
    }
}

/// The programs, by where they are attached.
#[derive(Debug)]
struct Programs {
    tc: OwnedFd,
    xdp: OwnedFd,
    generic: OwnedFd,
}

/// A map and its memory.
struct Table<T> {
    fd: OwnedFd,
    memory: Mapped<T>,
}

impl<T: crate::sys::Shared> Table<T> {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        let memory = Mapped::new(fd.as_fd())?;
        Ok(Self { fd, memory })
    }
}

/// A flow in force.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Index among the specs.
    place: u32,
    spec: Spec,
}

impl Flows {
    /// Makes maps and programs; nothing is attached yet. Flows that are inserted are in force for
    /// good, as long as [`Self::forward_until`] is not called.
    ///
    /// # Errors
    /// [`FlowsError`]: without the rights, above all ([`crate::rights`]).
    pub fn load(config: Config) -> Result<Self, FlowsError> {
        let max_flows = config.max_flows;
        if max_flows == 0 || max_flows > MAX_FLOWS {
            return Err(FlowsError::MaxFlows(max_flows));
        }
        let mut object = EbpfLoader::new()
            .map_max_entries("flow_index", max_flows)
            .map_max_entries("flow_specs", max_flows + SPARE_SPECS)
            .map_max_entries("flow_figures", max_flows)
            .map_max_entries("flow_crypt", if config.srtp { max_flows } else { 1 })
            .load(OBJECT)?;
        let programs = Programs {
            tc: {
                let name = if config.srtp {
                    "flows_srtp"
                } else {
                    "flows_tc"
                };
                let program = object.program_mut(name);
                let program: &mut SchedClassifier =
                    program.ok_or(FlowsError::Missing(name))?.try_into()?;
                program.load()?;
                copy(program.fd()?.as_fd())?
            },
            xdp: load_xdp(&mut object, "flows_xdp")?,
            generic: load_xdp(&mut object, "flows_generic")?,
        };
        let map = |name| {
            let map = object.map(name).ok_or(FlowsError::Missing(name))?;
            let (aya::maps::Map::HashMap(data) | aya::maps::Map::Array(data)) = map else {
                return Err(FlowsError::Missing(name));
            };
            copy(data.fd().as_fd())
        };
        let state = map("flow_state")?;
        let made = FlowsError::system("cannot use the eBPF maps");
        let fence = Fence::new(state.as_fd()).map_err(&made)?;
        let mut flows = Self::of_maps(
            programs,
            [
                map("flow_index")?,
                map("flow_specs")?,
                map("flow_figures")?,
                state,
                map("flow_crypt")?,
            ],
            fence,
        )
        .map_err(|(_, source)| made(source))?;
        flows.has_srtp = config.srtp;
        let state = flows.state();
        state.layout.store(layout::LAYOUT, Relaxed);
        state.until.store(u64::MAX, Relaxed);
        Ok(flows)
    }

    /// Puts maps together that are empty, or whose content is yet to be read. An error names the
    /// map that does not fit.
    fn of_maps(
        programs: Programs,
        [index, specs, figures, state, keys]: [OwnedFd; 5],
        fence: Fence,
    ) -> Result<Self, (&'static str, io::Error)> {
        let of = |name| move |source| (name, source);
        let index = TypedMap::adopt(index, bpf::TYPE_HASH).map_err(of("index"))?;
        let specs = TypedMap::adopt(specs, bpf::TYPE_ARRAY).map_err(of("specs"))?;
        let figures: Table<Stats> = Table::new(figures).map_err(of("figures"))?;
        let state: Table<Control> = Table::new(state).map_err(of("state"))?;
        let keys: Table<Crypt> = Table::new(keys).map_err(of("keys"))?;
        let length = u32::try_from(figures.memory.entries().len()).unwrap_or(0);
        if length != index.entries() || state.memory.entries().is_empty() {
            let source = io::Error::other("the maps are not of one set");
            return Err(("figures", source));
        }
        Ok(Self {
            free_specs: Slots::new(specs.entries()),
            free_figures: Slots::new(length),
            programs,
            index,
            specs,
            figures,
            state,
            // One entry is what a set without SRTP has; a set of one flow says it by its flows.
            has_srtp: length > 1 && u32::try_from(keys.memory.entries().len()) == Ok(length),
            keys,
            fence,
            attachments: Vec::new(),
            in_force: HashMap::new(),
            withdrawn: Vec::new(),
        })
    }

    /// Flows that there is room for.
    pub fn max_flows(&self) -> u32 {
        self.index.entries()
    }

    /// Number of flows in force.
    pub fn len(&self) -> usize {
        self.in_force.len()
    }

    /// Whether no flow is in force.
    pub fn is_empty(&self) -> bool {
        self.in_force.is_empty()
    }

    /// Keys of the flows in force.
    pub fn locals(&self) -> impl Iterator<Item = SocketAddr> {
        self.in_force.keys().copied()
    }

    /// The flow of a key, as the programs have it.
    pub fn flow(&self, local: SocketAddr) -> Option<Flow> {
        Flow::of_spec(&self.in_force.get(&canonical(local))?.spec)
    }

    /// Begins to forward. `sources` are the figures to go on from, as those that were received in
    /// user space: with them the kernel's count of losses and jitter is that of the whole stream.
    ///
    /// # Errors
    /// [`FlowsError::Exists`], [`FlowsError::Full`], a flow that cannot be; nothing has changed
    /// then.
    pub fn insert(&mut self, flow: &Flow, sources: &[SourceFigures]) -> Result<(), FlowsError> {
        if flow.opens || flow.seals {
            return Err(FlowsError::Keys(canonical(flow.local)));
        }
        self.insert_with(flow, None, sources)
    }

    fn insert_with(
        &mut self,
        flow: &Flow,
        srtp: Option<&Srtp>,
        sources: &[SourceFigures],
    ) -> Result<(), FlowsError> {
        let mut spec = flow.spec()?;
        let local = canonical(flow.local);
        if self.in_force.contains_key(&local) {
            return Err(FlowsError::Exists(local));
        }
        if sources.len() > layout::SOURCES {
            return Err(FlowsError::Sources(sources.len()));
        }
        let full = FlowsError::Full(self.max_flows());
        spec.stats = self.free_figures.take().ok_or(full)?;
        if let Some(stats) = self.stats(spec.stats) {
            Figures::start(stats, sources);
        }
        if let Some((crypt, srtp)) = self.crypt(spec.stats).zip(srtp) {
            crypt.begin(srtp);
        }
        match self.put(local, spec, NO_EXIST) {
            Ok(()) => Ok(()),
            Err(error) => {
                if let Some(crypt) = self.crypt(spec.stats).filter(|_| srtp.is_some()) {
                    crypt.end();
                }
                self.free_figures.give_back(spec.stats);
                Err(error)
            }
        }
    }

    /// Changes a flow, by its key; the figures go on. A packet is treated in the old way or in the
    /// new one, never in a mixture.
    ///
    /// # Errors
    /// [`FlowsError::NoFlow`], a flow that cannot be, [`FlowsError::Keys`]: other ends or another
    /// source of SRTP; the flow is as it was then.
    pub fn replace(&mut self, flow: &Flow) -> Result<(), FlowsError> {
        let mut spec = flow.spec()?;
        let local = canonical(flow.local);
        let before = self.in_force.get(&local).copied();
        let before = before.ok_or(FlowsError::NoFlow(local))?;
        let ends = |of: &Spec| of.flags & (layout::flag::OPEN | layout::flag::SEAL);
        let is_secure = ends(&spec) | ends(&before.spec) != 0;
        let is_other = ends(&spec) != ends(&before.spec) || spec.ssrc != before.spec.ssrc;
        if is_secure && is_other {
            return Err(FlowsError::Keys(local));
        }
        spec.stats = before.spec.stats;
        self.put(local, spec, EXIST)?;
        self.free_specs.retire(before.place);
        Ok(())
    }

    /// Ends flows: from now on, the packets of their keys are passed up. Their last figures follow
    /// with [`Self::settle`]; until then they take up room.
    ///
    /// # Errors
    /// [`FlowsError::NoFlow`]; flows that were named before it have ended.
    pub fn withdraw(
        &mut self,
        locals: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<(), FlowsError> {
        for local in locals.into_iter().map(canonical) {
            let entry = self.in_force.get(&local).copied();
            let entry = entry.ok_or(FlowsError::NoFlow(local))?;
            if entry.spec.flags & (layout::flag::OPEN | layout::flag::SEAL) != 0 {
                self.withdraw_srtp(local)?;
                continue;
            }
            self.withdraw_plain(local)?;
        }
        Ok(())
    }

    fn withdraw_plain(&mut self, local: SocketAddr) -> Result<(), FlowsError> {
        if let Some(entry) = self.in_force.get(&local).copied() {
            let refused = FlowsError::system("cannot remove a flow");
            self.index.delete(&key(local)).map_err(refused)?;
            self.in_force.remove(&local);
            self.withdrawn.push((local, entry));
        }
        Ok(())
    }

    /// Figures of a flow that was withdrawn and is not settled: of several of one key, of the last.
    pub fn read_withdrawn(&self, local: SocketAddr) -> Option<Figures> {
        let local = canonical(local);
        let mut withdrawn = self.withdrawn.iter().rev();
        let (_, entry) = withdrawn.find(|(key, _)| *key == local)?;
        self.stats(entry.spec.stats).map(Figures::read)
    }

    /// The last figures of all flows that were withdrawn: every packet that the kernel forwarded is
    /// in them. Waits until no CPU is busy with a packet of theirs, which takes some milliseconds,
    /// however many there are.
    ///
    /// # Errors
    /// The system's; the flows stay withdrawn, and can be settled again.
    pub fn settle(&mut self) -> Result<Vec<(SocketAddr, Figures)>, FlowsError> {
        if self.withdrawn.is_empty() {
            return Ok(Vec::new());
        }
        self.wait_for_programs()?;
        let withdrawn = std::mem::take(&mut self.withdrawn);
        Ok(self.last_figures(withdrawn))
    }

    /// Figures of flows that no program can be busy with any more; their places are free.
    fn last_figures(&mut self, withdrawn: Vec<(SocketAddr, Entry)>) -> Vec<(SocketAddr, Figures)> {
        let last = withdrawn.into_iter().map(|(local, entry)| {
            let stats = self.stats(entry.spec.stats);
            let figures = stats.map(Figures::read).unwrap_or_default();
            self.free_specs.give_back(entry.place);
            self.free_figures.give_back(entry.spec.stats);
            (local, figures)
        });
        last.collect()
    }

    /// [`Self::withdraw`] and [`Self::settle`] in one.
    ///
    /// # Errors
    /// As theirs.
    pub fn remove(
        &mut self,
        locals: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<(SocketAddr, Figures)>, FlowsError> {
        self.withdraw(locals)?;
        self.settle()
    }

    /// Figures of a flow in force. Costs no call of the system.
    pub fn read(&self, local: SocketAddr) -> Option<Figures> {
        let entry = self.in_force.get(&canonical(local))?;
        self.stats(entry.spec.stats).map(Figures::read)
    }

    /// Figures of all flows in force. Costs no call of the system.
    pub fn read_all(&self) -> impl Iterator<Item = (SocketAddr, Figures)> {
        self.in_force.iter().filter_map(|(local, entry)| {
            let stats = self.stats(entry.spec.stats)?;
            Some((*local, Figures::read(stats)))
        })
    }

    /// Packets of flows that were passed up since the maps were made, by reason.
    pub fn passed_up(&self) -> impl Iterator<Item = (Reason, u64)> {
        let counted = self.state().reasons.iter();
        let reasons = Reason::ALL.iter().copied();
        reasons.zip(counted.map(|count| count.load(Relaxed)))
    }

    /// Lets flows be in force until CLOCK_MONOTONIC shows this many nanoseconds, and passes all
    /// up from then on: what is left of a process that died forwards no longer than that. A write
    /// to memory.
    pub fn forward_until(&self, monotonic_ns: u64) {
        self.state().until.store(monotonic_ns, Relaxed);
    }

    /// Memory that the system takes for the maps.
    ///
    /// # Errors
    /// The system's: `/proc` cannot be read.
    pub fn memory_bytes(&self) -> io::Result<u64> {
        let maps = [
            self.index.fd(),
            self.specs.fd(),
            &self.figures.fd,
            &self.state.fd,
            &self.keys.fd,
            self.fence.fd(),
        ];
        maps.into_iter().map(map_bytes).sum()
    }

    /// Writes a flow where programs find it.
    fn put(&mut self, local: SocketAddr, spec: Spec, flags: u64) -> Result<(), FlowsError> {
        let place = match self.free_specs.take() {
            Some(place) => place,
            None => {
                // All that is left is retired; nobody uses it any more after this.
                self.wait_for_programs()?;
                let full = FlowsError::Full(self.max_flows());
                self.free_specs.take().ok_or(full)?
            }
        };
        let written = self.specs.update(&place, &spec, 0);
        match written.and_then(|()| self.index.update(&spec.key, &place, flags)) {
            Ok(()) => {
                self.in_force.insert(local, Entry { place, spec });
                Ok(())
            }
            Err(source) => {
                self.free_specs.give_back(place);
                Err(FlowsError::system("cannot write a flow")(source))
            }
        }
    }

    fn wait_for_programs(&mut self) -> Result<(), FlowsError> {
        let waited = self.fence.wait(self.state.fd.as_fd());
        waited.map_err(FlowsError::system("cannot wait for the eBPF programs"))?;
        self.free_specs.reclaim();
        Ok(())
    }

    fn stats(&self, index: u32) -> Option<&Stats> {
        let entries = self.figures.memory.entries();
        entries.get(usize::try_from(index).ok()?)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "of_maps refuses a map without an entry"
    )]
    fn state(&self) -> &Control {
        &self.state.memory.entries()[0]
    }
}

fn load_xdp(object: &mut Ebpf, name: &'static str) -> Result<OwnedFd, FlowsError> {
    let program = object.program_mut(name);
    let program: &mut Xdp = program.ok_or(FlowsError::Missing(name))?.try_into()?;
    program.load()?;
    copy(program.fd()?.as_fd())
}

fn copy(fd: BorrowedFd<'_>) -> Result<OwnedFd, FlowsError> {
    let copied = fd.try_clone_to_owned();
    copied.map_err(FlowsError::system("cannot keep a descriptor"))
}

fn map_bytes(map: &OwnedFd) -> io::Result<u64> {
    use std::os::fd::AsRawFd as _;

    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    let bytes = line.and_then(|bytes| bytes.trim().parse().ok());
    bytes.ok_or_else(|| io::Error::other("no size of a map in /proc/self/fdinfo"))
}
