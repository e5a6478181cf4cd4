//! Steered ports: the datagrams of every leased port arrive at a few sockets.
//!
//! An eBPF program in the socket look-up of the network namespace (`sk_lookup`) finds a leased
//! port in a table and names the socket of its worker. A port that is not leased behaves as if the
//! program were not there. Opening a port is a write to memory; so is the gate, which lets only
//! one source through and costs strangers nothing but the look-up (spec: dataplane §5).

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::sync::atomic::fence;

use aya::maps::{Array, HashMap, Map, SockMap};
use aya::programs::{CgroupAttachMode, CgroupSockAddr, ProgramError, SkLookup, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use socket2::SockRef;

use crate::layout::{self, Address, GATED, LEASED, OPEN, Question, SOCKET_SHIFT};
use crate::limits::{MAX_ADDRESSES, MAX_PORTS, MAX_QUESTIONS};
use crate::sys::{self, Mapped};

/// The object of `bpf/steer.bpf.c`, as `bpf/build` makes it.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../bpf/steer.bpf.o");

/// Sockets of a worker: IPv4 and IPv6 for ports that hear everybody, then for gated ones.
pub const SOCKETS_PER_WORKER: u32 = 4;

/// Reasons why ports cannot be steered.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// More addresses than [`MAX_ADDRESSES`].
    #[error("{0} media addresses; at most {MAX_ADDRESSES} can be steered")]
    Addresses(usize),
    /// The object is not what this program expects.
    #[error("the eBPF object has no {0}")]
    Missing(&'static str),
    /// The system refuses the maps: no CAP_BPF or CAP_NET_ADMIN, or no eBPF at all.
    #[error("cannot make the eBPF maps: {0}")]
    Load(#[from] aya::EbpfError),
    /// The system refuses a program.
    #[error("cannot load the eBPF programs: {0}")]
    Program(#[from] ProgramError),
    /// More ports than [`MAX_PORTS`].
    #[error("{0} media ports on all addresses together; at most {MAX_PORTS} can be steered")]
    Ports(u32),
    /// The system refuses an entry.
    #[error("cannot fill the eBPF maps: {0}")]
    Map(#[from] aya::maps::MapError),
    /// The system refuses something else.
    #[error("{what}: {source}")]
    System {
        /// The step that failed.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// The ports of one local address.
#[derive(Clone, Copy, Debug)]
struct Steered {
    address: IpAddr,
    range: layout::Range,
}

/// The steering of one network namespace; ends when it is dropped.
pub struct Steering {
    addresses: Vec<Steered>,
    ports: Mapped<layout::Port>,
    holders: OwnedFd,
    sockets: SockMap<aya::maps::MapData>,
    // Keeps the programs and their links to the namespace and to the control group.
    programs: Ebpf,
}

impl fmt::Debug for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steering")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Position of a port in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

mod pod {
    #![expect(unsafe_code, reason = "Pod is a promise about a layout")]

    use super::{Address, Pod, layout};

    // SAFETY: plain bytes.
    unsafe impl Pod for Address {}
    // SAFETY: integers without padding between or behind them.
    unsafe impl Pod for layout::Range {}
    // SAFETY: as above.
    unsafe impl Pod for layout::Listed {}
    // SAFETY: as above.
    unsafe impl Pod for layout::Owner {}
}

impl Steering {
    /// Loads and attaches the program for `workers` workers; no port is open yet. Ranges of the
    /// same address are united.
    ///
    /// # Errors
    /// [`SteerError`]; nothing is attached then.
    pub fn attach(ranges: &[(IpAddr, u16, u16)], workers: usize) -> Result<Self, SteerError> {
        let addresses = lay_out(ranges)?;
        let entries = addresses.last().map_or(1, |last| end(&last.range));
        let sockets = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        let sockets = sockets.saturating_mul(SOCKETS_PER_WORKER);
        let mut programs = EbpfLoader::new()
            .map_max_entries("ports", entries)
            .map_max_entries("sockets", sockets)
            .load(OBJECT)?;
        // Maps stay where they are: programs that are loaded later name them.
        let table = programs.map_mut("addresses");
        let table = table.ok_or(SteerError::Missing("map of addresses"))?;
        let mut table = HashMap::<_, Address, layout::Range>::try_from(table)?;
        for steered in &addresses {
            table.insert(Address::from(steered.address), steered.range, 0)?;
        }
        let Some(Map::Array(ports)) = programs.map("ports") else {
            return Err(SteerError::Missing("array of ports"));
        };
        let ports = Mapped::new(ports.fd().as_fd()).map_err(|source| {
            let what = "cannot map the table of ports";
            SteerError::System { what, source }
        })?;
        let sockets = programs.take_map("sockets");
        let sockets = SockMap::try_from(sockets.ok_or(SteerError::Missing("map of sockets"))?)?;
        let holders = load_holders(&mut programs)?;
        let steer = programs.program_mut("steer");
        let steer: &mut SkLookup = steer.ok_or(SteerError::Missing("steer"))?.try_into()?;
        steer.load()?;
        // Of this thread: its sockets are opened there, wherever the process was started.
        let namespace = File::open("/proc/thread-self/ns/net").map_err(|source| {
            let what = "cannot open the network namespace";
            SteerError::System { what, source }
        })?;
        steer.attach(namespace)?;
        Ok(Self {
            addresses,
            ports,
            holders,
            sockets,
            programs,
        })
    }

    /// Keeps other processes of this network namespace from binding a leased port: bind(2) fails
    /// with "address in use", as if the port had a socket. The wildcard address of IPv6 counts for
    /// both families. Holds for all processes below `cgroup`, the root of the control groups of
    /// version 2 ([`cgroup_root`]), until `self` is dropped.
    ///
    /// # Errors
    /// The system refuses the programs (before Linux 5.18) or their place. Nothing is kept then,
    /// and steering goes on.
    pub fn keep_from_others(&mut self, cgroup: &Path) -> Result<(), SteerError> {
        let refused = |what| move |source| SteerError::System { what, source };
        let group = File::open(cgroup).map_err(refused("cannot open the control group"))?;
        let socket = UdpSocket::from(
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)
                .map_err(refused("cannot open a socket"))?,
        );
        let map = self.programs.map_mut("listed");
        let mut listed = Array::try_from(map.ok_or(SteerError::Missing("list of addresses"))?)?;
        for (index, steered) in (0..).zip(&self.addresses) {
            let address = Address::from(steered.address);
            let range = steered.range;
            listed.set(index, layout::Listed { address, range }, 0)?;
        }
        let cookie = sys::socket_cookie(socket.as_fd()).map_err(refused("no socket cookie"))?;
        let netns = sys::netns_cookie(socket.as_fd());
        let owner = layout::Owner {
            cookie,
            netns: netns.map_err(refused("no cookie of the network namespace"))?,
            process: 0,
            addresses: u32::try_from(self.addresses.len()).unwrap_or(0),
        };
        let map = self.programs.map_mut("owner");
        let mut map = Array::try_from(map.ok_or(SteerError::Missing("map of the owner"))?)?;
        map.set(0, owner, 0)?;
        for name in ["bind4", "bind6"] {
            let program = self.programs.program_mut(name);
            let program: &mut CgroupSockAddr =
                program.ok_or(SteerError::Missing(name))?.try_into()?;
            program.load()?;
            // A link stands beside those of others whatever the mode.
            program.attach(&group, CgroupAttachMode::Single)?;
        }
        // The program learns from this socket which process is the owner.
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        SockRef::from(&socket)
            .bind(&any.into())
            .map_err(refused("cannot bind a socket"))
    }

    /// Makes `socket` the one of this number: [`SOCKETS_PER_WORKER`] for each worker. It must be a
    /// bound UDP socket.
    ///
    /// # Errors
    /// The system refuses the socket.
    pub fn set_socket(&mut self, number: u32, socket: &impl AsRawFd) -> Result<(), SteerError> {
        Ok(self.sockets.set(number, socket, 0)?)
    }

    /// Position of a local address and port in the table; `None` if it is not steered.
    pub fn slot(&self, local: SocketAddr) -> Option<Slot> {
        let is_of = |steered: &&Steered| steered.address == local.ip();
        let range = self.addresses.iter().find(is_of)?.range;
        let is_within = (range.first..=range.last).contains(&local.port());
        is_within.then(|| Slot(range.base + u32::from(local.port() - range.first)))
    }

    /// Asks which of up to [`MAX_QUESTIONS`] local ports belong to an unconnected socket, of this
    /// program or another. One bit each; the lowest bit is the first port.
    ///
    /// # Errors
    /// The system refuses to say.
    pub fn held(&self, locals: &[SocketAddr]) -> io::Result<u32> {
        if locals.len() > MAX_QUESTIONS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let mut questions = [Question::from(nobody); MAX_QUESTIONS];
        for (question, &local) in questions.iter_mut().zip(locals) {
            *question = local.into();
        }
        let asked = questions.get(..locals.len()).unwrap_or_default();
        sys::ask(self.holders.as_fd(), asked)
    }

    /// Claims a port for the caller until it is closed; `false` if it is claimed already. No
    /// datagram arrives before the port is opened.
    pub fn claim(&self, slot: Slot) -> bool {
        let port = self.port(slot);
        port.is_some_and(|port| {
            port.state
                .compare_exchange(0, LEASED, AcqRel, Relaxed)
                .is_ok()
        })
    }

    /// Opens a claimed port: its datagrams arrive at the worker's sockets for ports without a gate.
    pub fn open(&self, slot: Slot, worker: u32) {
        if let Some(port) = self.port(slot) {
            let socket = worker.saturating_mul(SOCKETS_PER_WORKER);
            let state = LEASED | OPEN | socket << SOCKET_SHIFT;
            port.state.store(state, Release);
        }
    }

    /// Sets the port gate: only datagrams from `source` arrive, at the sockets for gated ports.
    /// `None` removes the gate.
    pub fn gate(&self, slot: Slot, source: Option<SocketAddr>) {
        let Some(port) = self.port(slot) else {
            return;
        };
        let open = port.state.load(Relaxed) & !GATED;
        // While it is changed, the gate is open: a datagram more comes up, none is lost.
        port.state.store(open, Release);
        // The source is not to be seen to change before the gate is seen open.
        fence(Release);
        let Some(source) = source else {
            return;
        };
        let Address(bytes) = Address::from(source.ip());
        for (word, bytes) in port.source.iter().zip(bytes.chunks_exact(4)) {
            let bytes = bytes.try_into().unwrap_or_default();
            word.store(u32::from_ne_bytes(bytes), Relaxed);
        }
        port.source_port.store(source.port().to_be(), Relaxed);
        port.state.store(open | GATED, Release);
    }

    /// Closes the port and gives up the claim.
    pub fn close(&self, slot: Slot) {
        if let Some(port) = self.port(slot) {
            port.state.store(0, Release);
        }
    }

    /// Datagrams that the gate of a port kept out, since the start; wraps.
    pub fn refused(&self, slot: Slot) -> u32 {
        self.port(slot).map_or(0, |port| port.refused.load(Relaxed))
    }

    fn port(&self, Slot(index): Slot) -> Option<&layout::Port> {
        self.ports.entries().get(usize::try_from(index).ok()?)
    }
}

/// Root of the control groups of version 2 as this process sees it.
pub fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    cgroup_root_in(&mounts)
}

fn cgroup_root_in(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })
}

/// Loads the program that tells the holder of a port; run by hand, never attached.
fn load_holders(programs: &mut Ebpf) -> Result<OwnedFd, SteerError> {
    let holders = programs.program_mut("holders");
    let holders: &mut Xdp = holders.ok_or(SteerError::Missing("holders"))?.try_into()?;
    holders.load()?;
    let holders = holders.fd()?.as_fd().try_clone_to_owned();
    holders.map_err(|source| SteerError::System {
        what: "cannot keep a program",
        source,
    })
}

/// A place in the table for every port of every address.
fn lay_out(ranges: &[(IpAddr, u16, u16)]) -> Result<Vec<Steered>, SteerError> {
    let mut addresses: Vec<Steered> = Vec::new();
    for &(address, first, last) in ranges {
        let known = addresses.iter_mut().find(|known| known.address == address);
        match known {
            Some(known) => {
                known.range.first = known.range.first.min(first);
                known.range.last = known.range.last.max(last);
            }
            None => addresses.push(Steered {
                address,
                range: layout::Range {
                    base: 0,
                    first,
                    last: last.max(first),
                },
            }),
        }
    }
    if addresses.len() > MAX_ADDRESSES {
        return Err(SteerError::Addresses(addresses.len()));
    }
    let mut base = 0;
    for steered in &mut addresses {
        steered.range.base = base;
        base = end(&steered.range);
    }
    match base > MAX_PORTS {
        true => Err(SteerError::Ports(base)),
        false => Ok(addresses),
    }
}

/// The first index behind a range.
fn end(range: &layout::Range) -> u32 {
    range.base + u32::from(range.last - range.first) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_an_address_are_united_and_follow_each_other() {
        let (a, b): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "::1".parse().unwrap());
        let laid = lay_out(&[(a, 2000, 2001), (b, 5000, 5009), (a, 3000, 3001)]).unwrap();
        let ranges: Vec<_> = laid.iter().map(|s| (s.address, s.range)).collect();
        let range = |base, first, last| layout::Range { base, first, last };
        assert_eq!(
            ranges,
            [(a, range(0, 2000, 3001)), (b, range(1002, 5000, 5009))]
        );
    }

    #[test]
    fn control_groups_of_version_2_are_found_wherever_they_are() {
        let both = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let found = cgroup_root_in(both);
        assert_eq!(found, Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(cgroup_root_in("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn addresses_and_ports_are_bounded() {
        let hosts = |count: u32| (1..=count).map(|host| IpAddr::from(host.to_be_bytes()));
        let of = |count, last| -> Vec<_> { hosts(count).map(|host| (host, 0, last)).collect() };
        assert_eq!(lay_out(&of(256, 999)).unwrap().len(), 256);
        let refused = lay_out(&of(257, 0)).unwrap_err();
        assert!(matches!(refused, SteerError::Addresses(257)));
        assert!(lay_out(&of(64, u16::MAX)).is_ok());
        let refused = lay_out(&of(256, u16::MAX)).unwrap_err();
        assert!(matches!(refused, SteerError::Ports(16_777_216)));
        // Far too many do no harm either.
        assert!(lay_out(&of(70_000, u16::MAX)).is_err());
    }
}
