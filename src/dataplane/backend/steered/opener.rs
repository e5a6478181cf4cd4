//! Ports are leased, if nobody else has them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use windlass_kernel_assist::steer::Steering;

use super::SteeredPort;
use crate::dataplane::backend::epoll;
use crate::dataplane::clock;
use crate::flow::port::{OpenPort, PortHandle};

/// How long an address that was found to be this host's is taken for it. Addresses come and go
/// with links and with the peers of a standby.
const ADDRESS_FOR: Duration = Duration::from_secs(1);

/// Opens ports without sockets, and with one where an address is not steered.
#[derive(Debug)]
pub(in crate::dataplane) struct Opener {
    steering: Arc<Steering>,
    /// When each address was last found to be this host's.
    seen: RwLock<HashMap<IpAddr, Instant>>,
}

impl Opener {
    pub(in crate::dataplane) fn new(steering: Arc<Steering>) -> Self {
        Self {
            steering,
            seen: RwLock::default(),
        }
    }

    /// The system would say it of a socket: the address is this host's, the ports are nobody's.
    fn check(&self, locals: &[SocketAddr]) -> io::Result<()> {
        for local in locals {
            self.check_address(local.ip())?;
        }
        match self.steering.held(locals) {
            Ok(0) => Ok(()),
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            // The right to ask may be gone since the start.
            Err(_) => locals
                .iter()
                .try_for_each(|local| UdpSocket::bind(local).map(drop)),
        }
    }

    fn check_address(&self, address: IpAddr) -> io::Result<()> {
        let now = clock();
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

    fn port(&self, local: SocketAddr) -> Option<SteeredPort> {
        let slot = self.steering.slot(local)?;
        Some(SteeredPort {
            steering: Arc::clone(&self.steering),
            slot,
            local,
            tos: 0,
            kept_out: self.steering.refused(slot),
        })
    }
}

impl OpenPort for Opener {
    fn open(&self, local: SocketAddr) -> io::Result<PortHandle> {
        let Some(port) = self.port(local) else {
            return epoll::Opener.open(local);
        };
        self.check(&[local])?;
        Ok(PortHandle::new(port))
    }

    fn open_pair(&self, locals: [SocketAddr; 2]) -> io::Result<[PortHandle; 2]> {
        let [Some(first), Some(second)] = locals.map(|local| self.port(local)) else {
            let [first, second] = locals;
            return Ok([self.open(first)?, self.open(second)?]);
        };
        self.check(&locals)?;
        Ok([PortHandle::new(first), PortHandle::new(second)])
    }
}
