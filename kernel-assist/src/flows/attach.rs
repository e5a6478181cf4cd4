//! Where the programs see packets.

use std::os::fd::{AsFd, OwnedFd};
use std::{fmt, io};

use super::{Flows, FlowsError};
use crate::sys::bpf::{self, LinkInfo};
use crate::sys::interface;

/// `enum bpf_attach_type`.
const XDP: u32 = 37;
const TCX_INGRESS: u32 = 46;
/// `XDP_FLAGS_SKB_MODE` and `XDP_FLAGS_DRV_MODE`.
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;

/// What the caller asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attach {
    /// XDP in the driver, if it has that and is no veth (where a packet buffer exists anyway); else tc.
    #[default]
    Auto,
    /// tc at ingress (tcx, Linux 6.6).
    Tc,
    /// XDP outside of the driver; works everywhere, and is no faster than tc. Packets whose sum is
    /// left to a device, as a veth leaves them, are passed up.
    XdpGeneric,
    /// XDP in the driver.
    XdpNative,
}

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// tcx at ingress: among programs of others, and after those that were there before.
    Tcx,
    /// XDP outside of the driver.
    XdpGeneric,
    /// XDP in the driver.
    XdpNative,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcx, Self::XdpGeneric, Self::XdpNative];

    /// A word for logs, and for names of descriptors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::XdpGeneric => "xdp-generic",
            Self::XdpNative => "xdp-native",
        }
    }

    /// What the system calls a link of it (`enum bpf_link_type`).
    pub(super) fn link_type(self) -> u32 {
        match self {
            Self::Tcx => 11,
            Self::XdpGeneric | Self::XdpNative => 6,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why it is attached there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The caller asked for it.
    Asked,
    /// The driver has XDP.
    Driver(String),
    /// Another process attached it.
    HandedOver,
    /// The driver refuses XDP, for this reason.
    Refused(String),
    /// An interface without hardware, where XDP costs more; with its driver, if it has one.
    Virtual(Option<String>),
}

/// An interface with the flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its name when it was attached to.
    pub interface: String,
    /// Its index; 0 once it is gone.
    pub index: u32,
    /// Where at it.
    pub point: Point,
    /// Why there.
    pub why: Why,
}

impl Attached {
    /// Whether the interface was removed: nothing arrives there any more.
    pub fn is_gone(&self) -> bool {
        self.index == 0
    }
}

/// The same, with the link that holds the program there.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) attached: Attached,
    pub(super) link: OwnedFd,
}

impl Flows {
    /// Takes packets at an interface of this network namespace, by its name. Only what arrives
    /// there is forwarded; where it leaves is a matter of the flow.
    ///
    /// # Errors
    /// [`FlowsError::Interface`], [`FlowsError::Attached`], or [`FlowsError::Attach`] with the
    /// place that the system refuses, for which [`FlowsError::is_taken`] may hold.
    pub fn attach(&mut self, interface: &str, how: Attach) -> Result<Attached, FlowsError> {
        let index = interface::index(interface).map_err(|source| FlowsError::Interface {
            interface: interface.to_owned(),
            source,
        })?;
        if self.attached().any(|it| it.index == index) {
            return Err(FlowsError::Attached(interface.to_owned()));
        }
        let (point, why, link) = match how {
            Attach::Auto => self.link_best(interface, index),
            Attach::Tc => self.link(index, Point::Tcx, Why::Asked),
            Attach::XdpGeneric => self.link(index, Point::XdpGeneric, Why::Asked),
            Attach::XdpNative => self.link(index, Point::XdpNative, Why::Asked),
        }
        .map_err(|(point, source)| FlowsError::Attach {
            interface: interface.to_owned(),
            point,
            source,
        })?;
        let attached = Attached {
            interface: interface.to_owned(),
            index,
            point,
            why,
        };
        self.attachments.push(Attachment {
            attached: attached.clone(),
            link,
        });
        Ok(attached)
    }

    /// Takes no packets at an interface any more, by the name that it was attached to; `false` if
    /// it was not.
    pub fn detach(&mut self, interface: &str) -> bool {
        let before = self.attachments.len();
        self.attachments
            .retain(|it| it.attached.interface != interface);
        self.attachments.len() != before
    }

    /// Interfaces where packets are taken, and those that are gone.
    pub fn attached(&self) -> impl Iterator<Item = Attached> {
        self.attachments.iter().map(|attachment| {
            let info = bpf::info::<LinkInfo>(attachment.link.as_fd());
            Attached {
                index: info.map_or(0, |info| info.interface),
                ..attachment.attached.clone()
            }
        })
    }

    fn link_best(&self, interface: &str, index: u32) -> Linked {
        let driver = interface::driver(interface);
        let Some(driver) = driver.clone().filter(|driver| driver != "veth") else {
            return self.link(index, Point::Tcx, Why::Virtual(driver));
        };
        match self.link(index, Point::XdpNative, Why::Driver(driver)) {
            Err((_, error)) => self.link(index, Point::Tcx, Why::Refused(error.to_string())),
            linked => linked,
        }
    }

    fn link(&self, index: u32, point: Point, why: Why) -> Linked {
        let (program, attach_type, flags) = match point {
            Point::Tcx => (&self.programs.tc, TCX_INGRESS, 0),
            Point::XdpGeneric => (&self.programs.generic, XDP, GENERIC),
            Point::XdpNative => (&self.programs.xdp, XDP, NATIVE),
        };
        let link = bpf::link(program.as_fd(), index, attach_type, flags);
        match link {
            Ok(link) => Ok((point, why, link)),
            Err(source) => Err((point, source)),
        }
    }
}

type Linked = Result<(Point, Why, OwnedFd), (Point, io::Error)>;
