//! Leases ports that no other socket has.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use windlass_kernel_assist::limits::MAX_QUESTIONS;
use windlass_kernel_assist::steer::Steering;

use super::SteeredPort;
use crate::dataplane::backend::epoll;
use crate::dataplane::clock;
use crate::flow::port::{OpenPort, PortHandle};

/// Time for which an address counts as local after it was found so. Addresses come and go with
/// links and with the peers of a standby.
const ADDRESS_FOR: Duration = Duration::from_secs(1);

/// Time for which a port counts as free after it was found so. Other processes can take a port
/// after it is leased, so a moment before matters as little.
const FREE_FOR: Duration = Duration::from_millis(20);

/// Opens ports without sockets, and with one where an address is not steered.
#[derive(Debug)]
pub(in crate::dataplane) struct Opener {
    steering: Arc<Steering>,
    /// Time at which each address was last found to be local.
    seen: RwLock<HashMap<IpAddr, Instant>>,
    /// Ports that were found free, and when.
    free: Mutex<Vec<(SocketAddr, Instant)>>,
}

impl Opener {
    pub(in crate::dataplane) fn new(steering: Arc<Steering>) -> Self {
        Self {
            steering,
            seen: RwLock::default(),
            free: Mutex::default(),
        }
    }

    /// Checks what bind(2) would check: the address is local and the ports are free.
    fn check(&self, locals: &[SocketAddr], soon: &[u16]) -> io::Result<()> {
        let Some(address) = locals.first().map(SocketAddr::ip) else {
            return Ok(());
        };
        let now = clock();
        self.check_address(address, now)?;
        if self.were_free(locals, now) {
            return Ok(());
        }
        let soon = soon.iter().filter(|&&port| port != 0);
        let soon = soon.map(|&port| SocketAddr::new(address, port));
        let asked: Vec<_> = locals
            .iter()
            .copied()
            .chain(soon)
            .take(MAX_QUESTIONS)
            .collect();
        let Ok(held) = self.steering.held(&asked) else {
            // The right to ask may be gone since the start.
            return locals
                .iter()
                .try_for_each(|local| UdpSocket::bind(local).map(drop));
        };
        let is_held = |index: usize| held >> index & 1 == 1;
        if (0..locals.len()).any(is_held) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let ahead = asked.iter().enumerate().skip(locals.len());
        let ahead = ahead.filter(|&(index, _)| !is_held(index));
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.retain(|(local, _)| !asked.contains(local));
        free.extend(ahead.map(|(_, &local)| (local, now)));
        Ok(())
    }

    /// Whether all of these ports were free a moment ago. Each answer is used once.
    fn were_free(&self, locals: &[SocketAddr], now: Instant) -> bool {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = 0;
        free.retain(|(local, at)| {
            let is_asked = locals.contains(local);
            let is_fresh = now.saturating_duration_since(*at) < FREE_FOR;
            found += usize::from(is_asked && is_fresh);
            is_fresh && !is_asked
        });
        found == locals.len()
    }

    fn check_address(&self, address: IpAddr, now: Instant) -> io::Result<()> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let at = seen.get(&address).copied();
        drop(seen);
        if at.is_some_and(|at| now.saturating_duration_since(at) < ADDRESS_FOR) {
            return Ok(());
        }
        UdpSocket::bind((address, 0))?;
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        seen.insert(address, now);
        Ok(())
    }

    /// Takes a port; `None` if its address is not steered. Dropped, it is free again.
    fn take(&self, local: SocketAddr) -> io::Result<Option<SteeredPort>> {
        let Some(slot) = self.steering.slot(local) else {
            return Ok(None);
        };
        // Two interfaces may share an address and some of its ports.
        if !self.steering.claim(slot) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(Some(SteeredPort {
            steering: Arc::clone(&self.steering),
            slot,
            local,
            tos: 0,
            kept_out: self.steering.refused(slot),
        }))
    }
}

impl OpenPort for Opener {
    fn open(&self, local: SocketAddr) -> io::Result<PortHandle> {
        let Some(port) = self.take(local)? else {
            return epoll::Opener.open(local);
        };
        self.check(&[local], &[])?;
        Ok(PortHandle::new(port))
    }

    fn open_pair(&self, locals: [SocketAddr; 2], soon: &[u16]) -> io::Result<[PortHandle; 2]> {
        let [first, second] = locals;
        if locals
            .iter()
            .any(|&local| self.steering.slot(local).is_none())
        {
            return Ok([self.open(first)?, self.open(second)?]);
        }
        let (first, second) = (self.take(first)?, self.take(second)?);
        let (Some(first), Some(second)) = (first, second) else {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        };
        self.check(&locals, soon)?;
        Ok([PortHandle::new(first), PortHandle::new(second)])
    }
}
