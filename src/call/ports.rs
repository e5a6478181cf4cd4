//! Local interfaces and their port pools (spec: media-behaviour §1).
//!
//! A pool hands out port numbers in random order and takes them back at the tail, so a number is
//! used again as late as possible and a late packet of an old call meets no new one. Pairs start
//! at an even port (RTP) with the next odd one for RTCP (RFC 3550 §11).

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::Rng;
use rand::seq::SliceRandom;
pub use windlass_ng::Family;

use crate::flow::port::{OpenPort, PortLease, ReturnPort};

/// One local media address of a logical interface, with its ports.
#[derive(Clone, Debug)]
pub struct LocalAddress {
    /// Name of the logical interface.
    pub name: Arc<str>,
    /// The address that ports are opened on.
    pub address: IpAddr,
    /// The address that is printed in SDP.
    pub advertised: IpAddr,
    /// The ports of the address.
    pub pool: Arc<PortPool>,
}

/// All local media addresses, in the order of the configuration.
pub struct Interfaces {
    addresses: Vec<LocalAddress>,
    /// Turns of the interfaces that take turns.
    turn: AtomicUsize,
    opener: Arc<dyn OpenPort>,
}

impl fmt::Debug for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interfaces")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// The name that stands for all interfaces in turn.
pub const ROUND_ROBIN_CALLS: &str = "round-robin-calls";

/// Pairs that are looked at before they are leased: asking the system for several at once costs
/// little more than for one.
const PAIRS_AHEAD: usize = 3;

/// Ports that a media needs on one address.
const PORTS_OF_A_MEDIA: usize = 2;

/// Reasons why no port could be leased.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Every port of the range is leased, or refused by the system.
    #[error("no free port left on {address}: {leased} of {total} leased")]
    Exhausted {
        /// The local address.
        address: IpAddr,
        /// Leased ports.
        leased: usize,
        /// Ports of the range.
        total: usize,
    },
    /// The system refuses to open any port.
    #[error("cannot open a port on {address}: {source}")]
    System {
        /// The local address.
        address: IpAddr,
        /// The system's error.
        source: io::Error,
    },
}

impl Interfaces {
    /// Interfaces in order of preference; `opener` opens their ports.
    pub fn new(addresses: Vec<LocalAddress>, opener: Arc<dyn OpenPort>) -> Self {
        Self {
            addresses,
            turn: AtomicUsize::new(0),
            opener,
        }
    }

    /// Position of the interface of a port; several may have one address. `usize::MAX`: none has it.
    pub(crate) fn position(&self, name: &str, address: IpAddr) -> usize {
        let is_there = |local: &LocalAddress| local.address == address;
        let exactly = |local: &LocalAddress| is_there(local) && &*local.name == name;
        let found = self.addresses.iter().position(exactly);
        let found = found.or_else(|| self.addresses.iter().position(is_there));
        found.unwrap_or(usize::MAX)
    }

    /// All addresses, in the order of the configuration.
    pub fn addresses(&self) -> &[LocalAddress] {
        &self.addresses
    }

    /// Whether an address and port is leased to a call now.
    pub fn is_leased(&self, endpoint: SocketAddr) -> bool {
        let ip = endpoint.ip().to_canonical();
        let mut own = self.addresses.iter().filter(|own| own.address == ip);
        own.any(|own| own.pool.has_leased(endpoint.port()))
    }

    /// Whether an address and port may be one of the relay's own.
    pub fn is_ours(&self, endpoint: SocketAddr) -> bool {
        self.addresses.iter().any(|own| {
            let (min, max) = own.pool.range();
            let ip = endpoint.ip();
            (own.address == ip || own.advertised == ip) && (min..=max).contains(&endpoint.port())
        })
    }

    /// Whether there is a logical interface of this name.
    pub fn is_known(&self, name: &str) -> bool {
        self.addresses.iter().any(|a| &*a.name == name)
    }

    /// The interface whose turn it is, where a name stands for several: `BASE` for all
    /// `BASE:SUFFIX`, [`ROUND_ROBIN_CALLS`] for all there are, and no name for those of the first
    /// one's base. One that has no ports left is passed over. `None`: the name stands for itself.
    pub fn next_of(&self, name: Option<&str>) -> Option<Arc<str>> {
        let base_of = |name: &str| name.split_once(':').map(|(base, _)| base.to_owned());
        let base = match name {
            Some(ROUND_ROBIN_CALLS) => None,
            Some(name) if self.is_known(name) => return None,
            Some(name) => Some(name.to_owned()),
            None => Some(base_of(&self.addresses.first()?.name)?),
        };
        let mut names: Vec<&Arc<str>> = Vec::new();
        for local in &self.addresses {
            let is_of = base.is_none() || base_of(&local.name) == base;
            if is_of && !names.contains(&&local.name) {
                names.push(&local.name);
            }
        }
        if names.is_empty() {
            return None;
        }
        let turn = self.turn.fetch_add(1, Relaxed);
        let has_room = |name: &Arc<str>| {
            let mut addresses = self.addresses.iter().filter(|a| a.name == *name);
            addresses.all(|address| address.pool.free() >= PORTS_OF_A_MEDIA)
        };
        let in_turn = || (0..names.len()).filter_map(|step| names.get((turn + step) % names.len()));
        let chosen = in_turn()
            .find(|name| has_room(name))
            .or_else(|| in_turn().next());
        chosen.map(|name| Arc::clone(name))
    }

    /// Address family that the old names `internal` and `external` stand for, if no interface has
    /// such a name.
    pub(crate) fn family_of_old(&self, name: &str) -> Option<Family> {
        match name {
            _ if self.is_known(name) => None,
            "internal" => Some(Family::Ip4),
            "external" => Some(Family::Ip6),
            _ => None,
        }
    }

    /// The address for a media: of the named logical interface, preferring the family; without a
    /// name (or with an unknown one) of the first logical interface that has the family.
    ///
    /// The old names `internal` and `external` mean IPv4 and IPv6 where no interface bears them.
    pub fn select(&self, name: Option<&str>, family: Option<Family>) -> Option<&LocalAddress> {
        let of_family = |a: &&LocalAddress| family.is_none_or(|f| Family::of(a.address) == f);
        if let Some(name) = name {
            let named = || self.addresses.iter().filter(|a| &*a.name == name);
            if let Some(found) = named().find(of_family).or_else(|| named().next()) {
                return Some(found);
            }
            if let Some(legacy) = self.family_of_old(name) {
                return self.select(None, family.or(Some(legacy)));
            }
        }
        self.addresses
            .iter()
            .find(of_family)
            .or_else(|| self.addresses.first())
    }

    /// The other addresses of the same logical interface, those of the same family first.
    pub fn alternatives<'a>(
        &'a self,
        on: &'a LocalAddress,
    ) -> impl Iterator<Item = &'a LocalAddress> + 'a {
        let is_other = |a: &&LocalAddress| a.name == on.name && a.address != on.address;
        let same = |a: &&LocalAddress| Family::of(a.address) == Family::of(on.address);
        let others = move || self.addresses.iter().filter(is_other);
        others()
            .filter(same)
            .chain(others().filter(move |a| !same(a)))
    }

    /// Leases an even port for RTP and the next odd one for RTCP, both open.
    ///
    /// # Errors
    /// [`LeaseError`]; nothing stays leased then.
    pub fn lease_pair(&self, on: &LocalAddress) -> Result<(PortLease, PortLease), LeaseError> {
        self.attempt(on, PortPool::take_pair, |base, refused| {
            let locals = [base, base + 1].map(|port| SocketAddr::new(on.address, port));
            match self.opener.open_pair(locals, &on.pool.next_pairs()) {
                Ok(handles) => {
                    let [rtp, rtcp] = locals;
                    let [rtp_handle, rtcp_handle] = handles;
                    let pool = || on.pool.clone();
                    let rtp = PortLease::new(rtp, rtp_handle, pool());
                    Ok((rtp, PortLease::new(rtcp, rtcp_handle, pool())))
                }
                Err(error) => {
                    refused.extend([base, base + 1]);
                    Err(error)
                }
            }
        })
    }

    /// Leases one open port of any parity.
    ///
    /// # Errors
    /// [`LeaseError`]; nothing stays leased then.
    pub fn lease_one(&self, on: &LocalAddress) -> Result<PortLease, LeaseError> {
        self.attempt(on, PortPool::take_one, |port, refused| {
            self.open(on, port, refused)
        })
    }

    /// Opens a port whose number is taken from the pool; the number goes to `refused` when that
    /// fails.
    fn open(&self, on: &LocalAddress, port: u16, refused: &mut Vec<u16>) -> io::Result<PortLease> {
        let local = SocketAddr::new(on.address, port);
        match self.opener.open(local) {
            Ok(handle) => Ok(PortLease::new(local, handle, on.pool.clone())),
            Err(error) => {
                refused.push(port);
                Err(error)
            }
        }
    }

    fn attempt<T>(
        &self,
        on: &LocalAddress,
        take: impl Fn(&PortPool) -> Option<u16>,
        open: impl Fn(u16, &mut Vec<u16>) -> io::Result<T>,
    ) -> Result<T, LeaseError> {
        // What the system refuses stays out of the pool until a port is found: given back at
        // once, a half of a split pair would be the next to be tried again.
        let mut refused = Vec::new();
        let outcome = loop {
            let Some(port) = take(&on.pool) else {
                break None;
            };
            match open(port, &mut refused) {
                Ok(lease) => break Some(Ok(lease)),
                Err(source) if is_port_taken(&source) => {}
                Err(source) => {
                    break Some(Err(LeaseError::System {
                        address: on.address,
                        source,
                    }));
                }
            }
        };
        for port in refused {
            on.pool.give_back(port);
        }
        outcome.unwrap_or_else(|| {
            Err(LeaseError::Exhausted {
                address: on.address,
                leased: on.pool.used(),
                total: on.pool.total(),
            })
        })
    }
}

/// Whether another port may succeed where this one failed.
fn is_port_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

/// The port numbers of one local address.
#[derive(Debug)]
pub struct PortPool {
    min: u16,
    max: u16,
    /// Ports that are never leased.
    kept: usize,
    state: Mutex<PoolState>,
}

#[derive(Debug)]
struct PoolState {
    /// Even ports whose pair is wholly free, next to be leased first.
    pairs: VecDeque<u16>,
    /// Free ports whose other half is leased or out of range. Entries may have gone stale; they
    /// are checked when taken.
    singles: VecDeque<u16>,
    /// Per port of the range: leased.
    leased: Vec<bool>,
    used: usize,
}

impl PortPool {
    /// A pool of the ports `min..=max`, in an order drawn from `rng`.
    pub fn new(min: u16, max: u16, rng: &mut impl Rng) -> Self {
        let mut pairs: Vec<u16> = Vec::new();
        let mut singles: Vec<u16> = Vec::new();
        for port in min..=max {
            if port % 2 == 0 && port < max {
                pairs.push(port);
            } else if port % 2 == 0 || port == min {
                singles.push(port);
            }
        }
        pairs.shuffle(rng);
        let leased = vec![false; usize::from(max.saturating_sub(min)) + 1];
        Self {
            min,
            max,
            kept: 0,
            state: Mutex::new(PoolState {
                pairs: pairs.into(),
                singles: singles.into(),
                leased,
                used: 0,
            }),
        }
    }

    /// The same, less some ports that are never leased.
    pub fn without(min: u16, max: u16, kept: &BTreeSet<u16>, rng: &mut impl Rng) -> Self {
        let mut pool = Self::new(min, max, rng);
        {
            let mut state = pool.lock();
            for &port in kept {
                pool.mark(&mut state, port, true);
                // Its other half can still serve where one port is enough.
                let mate = pool.mate(port).filter(|mate| !kept.contains(mate));
                state.singles.extend(mate);
            }
        }
        let marked = pool.lock().used;
        pool.kept = marked;
        pool
    }

    /// First and last port of the range.
    pub fn range(&self) -> (u16, u16) {
        (self.min, self.max)
    }

    /// Number of ports that can be leased.
    pub fn total(&self) -> usize {
        usize::from(self.max - self.min) + 1 - self.kept
    }

    /// Number of leased ports.
    pub fn used(&self) -> usize {
        self.lock().used - self.kept
    }

    /// Whether a port of the range is leased.
    fn has_leased(&self, port: u16) -> bool {
        (self.min..=self.max).contains(&port) && self.is_leased(&self.lock(), port)
    }

    /// Number of ports that are not leased.
    pub fn free(&self) -> usize {
        self.total() - self.used()
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks both ports of a free pair as leased and gives the even one.
    fn take_pair(&self) -> Option<u16> {
        let mut state = self.lock();
        while let Some(base) = state.pairs.pop_front() {
            // Splitting a pair for a single port leaves its entry behind.
            if !self.is_leased(&state, base) && !self.is_leased(&state, base + 1) {
                self.mark(&mut state, base, true);
                self.mark(&mut state, base + 1, true);
                return Some(base);
            }
        }
        None
    }

    /// Marks one free port as leased; halves of split pairs first.
    /// The pairs that will be leased next.
    fn next_pairs(&self) -> [u16; 2 * PAIRS_AHEAD] {
        let state = self.lock();
        let mut next = [0; 2 * PAIRS_AHEAD];
        for (to, &base) in next.chunks_exact_mut(2).zip(&state.pairs) {
            if let [rtp, rtcp] = to {
                (*rtp, *rtcp) = (base, base + 1);
            }
        }
        next
    }

    fn take_one(&self) -> Option<u16> {
        let mut state = self.lock();
        while let Some(port) = state.singles.pop_front() {
            let mate_free = self
                .mate(port)
                .is_some_and(|mate| !self.is_leased(&state, mate));
            if !self.is_leased(&state, port) && !mate_free {
                self.mark(&mut state, port, true);
                return Some(port);
            }
        }
        while let Some(base) = state.pairs.pop_front() {
            if !self.is_leased(&state, base) && !self.is_leased(&state, base + 1) {
                self.mark(&mut state, base, true);
                state.singles.push_back(base + 1);
                return Some(base);
            }
        }
        None
    }

    /// The other half of the pair, when it is in the range.
    fn mate(&self, port: u16) -> Option<u16> {
        let mate = port ^ 1;
        (self.min..=self.max).contains(&mate).then_some(mate)
    }

    fn is_leased(&self, state: &PoolState, port: u16) -> bool {
        let index = usize::from(port.wrapping_sub(self.min));
        state.leased.get(index).copied().unwrap_or(true)
    }

    fn mark(&self, state: &mut PoolState, port: u16, leased: bool) -> bool {
        let index = usize::from(port.wrapping_sub(self.min));
        let Some(slot) = state.leased.get_mut(index) else {
            return false;
        };
        if *slot == leased {
            return false;
        }
        *slot = leased;
        if leased {
            state.used += 1;
        } else {
            state.used -= 1;
        }
        true
    }
}

impl ReturnPort for PortPool {
    fn give_back(&self, port: u16) {
        let mut state = self.lock();
        if !self.mark(&mut state, port, false) {
            return;
        }
        match self.mate(port) {
            Some(mate) if !self.is_leased(&state, mate) => {
                state.pairs.push_back(port & !1);
            }
            _ => {
                // Stale entries are dropped before they outnumber the ports.
                if state.singles.len() > self.total() {
                    let mut seen = HashSet::new();
                    let mut singles = std::mem::take(&mut state.singles);
                    singles.retain(|&p| !self.is_leased(&state, p) && seen.insert(p));
                    state.singles = singles;
                }
                state.singles.push_back(port);
            }
        }
    }
}

#[cfg(test)]
#[path = "ports_tests.rs"]
mod tests;
