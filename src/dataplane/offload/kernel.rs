//! The programs of [`windlass_kernel_assist::flows`]: attached at the start, before rights are needed
//! elsewhere, and asked by all workers.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use nix::net::if_::InterfaceFlags;
use parking_lot::Mutex;
use windlass_kernel_assist::flows::{
    Attach, Config, Figures, Flow, Flows, FlowsError, NextHop, PayloadTypes, Point, Routes,
    Settling, SourceFigures, Waiter, Why,
};

use super::wish::Wish;
use super::{Below, Offload, OffloadMode};
use crate::dataplane::in_words;
use crate::flow::path::{Path, WhyUp};
use crate::limits::KNOWN_WAYS;

/// A way that was found is looked up again after this time.
const WAY_AGE: Duration = Duration::from_millis(900);

/// Kernel flows of this process.
pub(in crate::dataplane) struct Kernel {
    inner: Mutex<Inner>,
    waiter: Waiter,
}

struct Inner {
    flows: Flows,
    routes: Routes,
    mode: OffloadMode,
    /// Local addresses of media.
    addresses: Vec<IpAddr>,
    /// The interface that has each of them, and the program there.
    points: Vec<(IpAddr, String, Point)>,
    /// Interfaces that take no program, and why.
    refused: Vec<(String, String)>,
    /// How flows in force leave.
    hops: HashMap<SocketAddr, NextHop, RandomState>,
    ways: HashMap<Link, Way, RandomState>,
}

/// From, to, and whether the program is at tc, which needs less.
type Link = (IpAddr, IpAddr, bool);

/// What was found, and when.
type Way = (Result<NextHop, WhyUp>, Instant);

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

impl Kernel {
    /// Loads the programs and attaches them; says where, and why not in a faster way. `None`: all
    /// media stays with the workers, and the log says why.
    pub(in crate::dataplane) fn start(offload: &Offload) -> Option<Self> {
        if offload.mode == OffloadMode::Off {
            tracing::info!("kernel flows are off by configuration: workers forward all media");
            return None;
        }
        match Self::attach(offload) {
            Ok(kernel) => Some(kernel),
            Err(reason) => {
                let missing = windlass_kernel_assist::rights::missing().join(" ");
                tracing::info!(
                    reason,
                    missing,
                    "no kernel flows: workers forward all media"
                );
                None
            }
        }
    }

    /// # Errors
    /// Why no interface can have the programs, in words.
    fn attach(offload: &Offload) -> Result<Self, String> {
        let is_remote = |address: &&IpAddr| !address.to_canonical().is_loopback();
        let addresses = offload.addresses.iter().filter(is_remote);
        let addresses: Vec<_> = addresses.copied().collect();
        if addresses.is_empty() {
            return Err("media has no address but those of loopback".to_owned());
        }
        let max_flows = offload.max_flows;
        let flows = Flows::load(Config {
            max_flows,
            srtp: false,
        });
        let flows = flows.map_err(|error| in_words(&error))?;
        let system = |what: &str, error| format!("{what}: {error}");
        let waiter = flows.waiter().map_err(|error| system("no fence", error))?;
        let routes = Routes::open().map_err(|error| system("no netlink", error))?;
        let mut inner = Inner {
            flows,
            routes,
            mode: offload.mode,
            addresses,
            points: Vec::new(),
            refused: Vec::new(),
            hops: HashMap::default(),
            ways: HashMap::default(),
        };
        inner.attach_missing();
        match inner.points.is_empty() {
            true if !inner.refused.is_empty() => {
                let reasons = inner.refused.iter().map(|(_, reason)| reason.as_str());
                return Err(reasons.collect::<Vec<_>>().join("; "));
            }
            true => tracing::info!(
                "no interface has a media address: the kernel forwards media once one has"
            ),
            false => {
                for (interface, reason) in &inner.refused {
                    tracing::warn!(
                        interface,
                        reason,
                        "the kernel forwards no media that arrives at this interface"
                    );
                }
            }
        }
        Ok(Self {
            inner: Mutex::new(inner),
            waiter,
        })
    }

    /// Follows addresses that come, and interfaces that go. To be called now and then.
    pub(in crate::dataplane) fn follow_interfaces(&self) {
        self.inner.lock().attach_missing();
    }

    /// The last figures of flows that were raised up to now, in that order. Takes some milliseconds
    /// if there are any, in which the others go on. For one thread.
    pub(in crate::dataplane) fn settle(&self) -> Vec<(SocketAddr, Figures)> {
        let settling = self.inner.lock().flows.settling();
        if settling.is_empty() {
            return Vec::new();
        }
        if let Err(error) = self.waiter.wait() {
            // Their figures may lack a packet then; their places must not be used again.
            tracing::warn!(%error, "cannot wait for the eBPF programs");
            std::mem::forget::<Settling>(settling);
            return Vec::new();
        }
        self.inner.lock().flows.settled(settling)
    }
}

impl Below for Kernel {
    fn lower(&self, wish: &Wish, sources: &[SourceFigures], now: Instant) -> Result<Path, WhyUp> {
        let mut inner = self.inner.lock();
        let point = inner.point(wish.local).ok_or(WhyUp::NoProgram)?;
        let next_hop = inner.next_hop(wish, point, now)?;
        let mut flow = Flow::new(
            wish.local,
            Some(wish.source),
            [wish.from, wish.to],
            next_hop,
        );
        let types = (0..128).filter(|it| wish.types.contains(*it));
        flow.forwarded = types.collect::<PayloadTypes>();
        flow.clock_rate = wish.clock_rate;
        flow.dscp = Some(wish.dscp);
        match inner.flows.insert(&flow, sources) {
            Ok(()) => {
                inner.hops.insert(wish.local, next_hop);
                Ok(path(point))
            }
            Err(FlowsError::Full(_)) => Err(WhyUp::Full),
            Err(error) => {
                tracing::debug!(local = %wish.local, %error, "no kernel flow");
                Err(WhyUp::Refused)
            }
        }
    }

    fn read(&self, local: SocketAddr) -> Option<Figures> {
        self.inner.lock().flows.read(local)
    }

    fn check(&self, wish: &Wish, now: Instant) -> Result<(), WhyUp> {
        let mut inner = self.inner.lock();
        let point = inner.point(wish.local).ok_or(WhyUp::NoProgram)?;
        let next_hop = inner.next_hop(wish, point, now)?;
        match inner.hops.get(&wish.local) {
            Some(hop) if *hop == next_hop => Ok(()),
            _ => Err(WhyUp::NoRoute),
        }
    }

    fn raise(&self, local: SocketAddr) -> Option<Figures> {
        let mut inner = self.inner.lock();
        inner.hops.remove(&local);
        match inner.flows.withdraw([local]) {
            Ok(()) => inner.flows.read_withdrawn(local),
            Err(error) => {
                tracing::error!(%local, %error, "a kernel flow cannot be ended");
                None
            }
        }
    }
}

impl Inner {
    fn point(&self, local: SocketAddr) -> Option<Point> {
        let mut points = self.points.iter();
        let found = points.find(|(address, ..)| *address == local.ip());
        found.map(|(.., point)| *point)
    }

    /// Attaches the programs to interfaces that have media addresses and no program, and says so.
    fn attach_missing(&mut self) {
        let gone = self.flows.attached().filter(|attached| attached.is_gone());
        let gone: Vec<_> = gone.map(|attached| attached.interface).collect();
        for interface in gone {
            self.flows.detach(&interface);
            self.points.retain(|(_, known, _)| *known != interface);
        }
        let is_missing = |wanted: &&IpAddr| self.points.iter().all(|(it, ..)| it != *wanted);
        let missing = self.addresses.iter().filter(is_missing);
        let missing: Vec<_> = missing.copied().collect();
        if missing.is_empty() {
            return;
        }
        for (interface, addresses) in interfaces(&missing) {
            if self.refused.iter().any(|(known, _)| *known == interface) {
                continue;
            }
            let known = self.flows.attached().find(|it| it.interface == interface);
            let point = match known {
                Some(attached) => attached.point,
                None => match attach_to(&mut self.flows, &interface, self.mode) {
                    Ok((point, reason)) => {
                        tracing::info!(
                            interface,
                            path = path(point).name(),
                            reason,
                            "the kernel forwards settled media"
                        );
                        point
                    }
                    Err(reason) => {
                        self.refused.push((interface, reason));
                        continue;
                    }
                },
            };
            let having = addresses
                .into_iter()
                .map(|it| (it, interface.clone(), point));
            self.points.extend(having);
        }
    }

    /// How packets of a flow leave.
    fn next_hop(&mut self, wish: &Wish, point: Point, now: Instant) -> Result<NextHop, WhyUp> {
        let is_tc = point == Point::Tcx;
        let key = (wish.from.ip(), wish.to.ip(), is_tc);
        let is_recent = |at: Instant| now.saturating_duration_since(at) < WAY_AGE;
        if let Some((known, at)) = self.ways.get(&key)
            && is_recent(*at)
        {
            return *known;
        }
        let found = self.find_next_hop(key);
        if self.ways.len() >= KNOWN_WAYS {
            self.ways.retain(|_, (_, at)| is_recent(*at));
        }
        if self.ways.len() < KNOWN_WAYS {
            self.ways.insert(key, (found, now));
        }
        found
    }

    fn find_next_hop(&mut self, (from, to, is_tc): Link) -> Result<NextHop, WhyUp> {
        let way = self.routes.way(from, to).map_err(|_| WhyUp::NoRoute)?;
        if is_tc {
            // tc asks for the neighbour itself, and packets wait for it.
            let interface = Some(way.interface);
            return Ok(NextHop::Route { interface });
        }
        let mac = |found: std::io::Result<Option<[u8; 6]>>| {
            found.ok().flatten().ok_or(WhyUp::NoNeighbour)
        };
        Ok(NextHop::Ethernet {
            interface: way.interface,
            source: mac(self.routes.ethernet(way.interface))?,
            destination: mac(self.routes.neighbour(way))?,
            vlan: None,
        })
    }
}

fn path(point: Point) -> Path {
    match point {
        Point::Tcx => Path::Tc,
        Point::XdpGeneric => Path::XdpGeneric,
        Point::XdpNative => Path::XdpNative,
    }
}

/// Attaches the programs to an interface; gives where, and why there.
fn attach_to(
    flows: &mut Flows,
    interface: &str,
    mode: OffloadMode,
) -> Result<(Point, String), String> {
    let how = match mode {
        OffloadMode::Xdp => Attach::XdpNative,
        OffloadMode::Off | OffloadMode::Auto | OffloadMode::Tc => Attach::Tc,
    };
    let attached = match flows.attach(interface, how) {
        Err(error) if mode == OffloadMode::Xdp => {
            let attached = flows.attach(interface, Attach::Tc);
            let attached = attached
                .map_err(|second| format!("{}; {}", in_words(&error), in_words(&second)))?;
            return Ok((attached.point, in_words(&error)));
        }
        attached => attached.map_err(|error| in_words(&error))?,
    };
    let reason = match (&attached.why, mode) {
        (Why::Asked, OffloadMode::Auto) => {
            "XDP is taken on request alone: mode = \"xdp\" in [offload]"
        }
        _ => "as configured",
    };
    Ok((attached.point, reason.to_owned()))
}

/// The interfaces that have these addresses. Loopback is none: what arrives there goes to this host.
fn interfaces(addresses: &[IpAddr]) -> Vec<(String, Vec<IpAddr>)> {
    let Ok(found) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let mut interfaces: Vec<(String, Vec<IpAddr>)> = Vec::new();
    for entry in found {
        if entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let address = entry.address.as_ref().and_then(|storage| {
            let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
            v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
        });
        // Link-local addresses are several interfaces' at once.
        let is_link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let Some(address) = address.filter(|it| addresses.contains(it) && !is_link_local(*it))
        else {
            continue;
        };
        // A second address may have a label behind the name.
        let mut name = entry.interface_name;
        name.truncate(name.find(':').unwrap_or(name.len()));
        match interfaces.iter_mut().find(|(known, _)| *known == name) {
            Some((_, addresses)) => addresses.push(address),
            None => interfaces.push((name, vec![address])),
        }
    }
    interfaces
}
