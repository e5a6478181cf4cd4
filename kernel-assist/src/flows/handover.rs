//! Flows that outlive their process (spec: survive §2.4).
//!
//! Programs, maps and links are descriptors. Whoever holds a copy keeps the flows in force, and
//! whoever gets all of them is their owner from then on. Their names say what they are.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

use super::attach::{Attached, Attachment, Point, Why};
use super::flow::{Flow, address};
use super::layout::{Key, LAYOUT, flag};
use super::slots::Slots;
use super::{Entry, Flows, FlowsError, Programs};
use crate::sys::bpf::{self, Fence, LinkInfo, ProgramInfo};
use crate::sys::interface;

/// A descriptor with its name: `flows.` and what it is.
#[derive(Debug)]
pub struct Handed {
    /// The same name for all links of a kind: several may have it.
    pub name: String,
    /// The descriptor.
    pub fd: OwnedFd,
}

const PREFIX: &str = "flows.";
const LINK: &str = "flows.link.";

/// `enum bpf_prog_type`.
const SCHED_CLS: u32 = 3;
const XDP: u32 = 6;

impl Flows {
    /// Copies of all descriptors, for somebody who holds them in case this process dies. Links
    /// that are made later are not among them.
    ///
    /// # Errors
    /// The system's: too many descriptors.
    pub fn share(&self) -> io::Result<Vec<Handed>> {
        let own = [
            ("index", self.index.fd()),
            ("specs", self.specs.fd()),
            ("figures", &self.figures.fd),
            ("state", &self.state.fd),
            ("keys", &self.keys.fd),
            ("fence", self.fence.fd()),
            ("tc", &self.programs.tc),
            ("xdp", &self.programs.xdp),
            ("generic", &self.programs.generic),
        ];
        let own = own
            .into_iter()
            .map(|(name, fd)| (format!("{PREFIX}{name}"), fd));
        let links = self.attachments.iter().map(|it| {
            let name = format!("{LINK}{}", it.attached.point.name());
            (name, &it.link)
        });
        own.chain(links)
            .map(|(name, fd)| {
                let fd = fd.try_clone()?;
                Ok(Handed { name, fd })
            })
            .collect()
    }

    /// Gives everything away; flows stay in force. Flows that were withdrawn and not settled are
    /// forgotten.
    pub fn into_fds(self) -> Vec<Handed> {
        let handed = |name: String, fd| Handed { name, fd };
        let own = [
            ("index", self.index.into_fd()),
            ("specs", self.specs.into_fd()),
            ("figures", self.figures.fd),
            ("state", self.state.fd),
            ("keys", self.keys.fd),
            ("fence", self.fence.into_fd()),
            ("tc", self.programs.tc),
            ("xdp", self.programs.xdp),
            ("generic", self.programs.generic),
        ];
        let own = own
            .into_iter()
            .map(|(name, fd)| handed(format!("{PREFIX}{name}"), fd));
        let links = self.attachments.into_iter().map(|it| {
            let name = format!("{LINK}{}", it.attached.point.name());
            handed(name, it.link)
        });
        own.chain(links).collect()
    }

    /// Takes over what another process had: programs, attachments, and the flows in force. What
    /// has another name is closed. Nobody else may change them from now on.
    ///
    /// # Errors
    /// [`FlowsError::Handover`] names what is missing or is something else,
    /// [`FlowsError::Layout`] flows of another version; all is closed then.
    pub fn from_fds(handed: impl IntoIterator<Item = Handed>) -> Result<Self, FlowsError> {
        let mut own = HashMap::new();
        let mut links = Vec::new();
        for Handed { name, fd } in handed {
            match name.strip_prefix(LINK) {
                Some(point) => {
                    let of = |known: &Point| known.name() == point;
                    let point = Point::ALL.into_iter().find(of);
                    let point = point.ok_or_else(|| unfit(&name, "no such attachment"))?;
                    links.push((point, fd));
                }
                None => {
                    own.insert(name, fd);
                }
            }
        }
        let mut take = |what: &str| {
            let name = format!("{PREFIX}{what}");
            let fd = own.remove(&name);
            fd.ok_or_else(|| unfit(&name, "missing"))
        };
        let programs = Programs {
            tc: take("tc")?,
            xdp: take("xdp")?,
            generic: take("generic")?,
        };
        let ids = program_ids(&programs)?;
        let maps = [
            take("index")?,
            take("specs")?,
            take("figures")?,
            take("state")?,
            take("keys")?,
        ];
        let refused = |what: &str| {
            let name = format!("{PREFIX}{what}");
            move |source| FlowsError::Handover { name, source }
        };
        let fence = Fence::adopt(take("fence")?).map_err(refused("fence"))?;
        let mut flows =
            Self::of_maps(programs, maps, fence).map_err(|(name, source)| refused(name)(source))?;
        match flows.state().layout.load(Relaxed) {
            LAYOUT => {}
            other => return Err(FlowsError::Layout(other)),
        }
        for (point, link) in links {
            let attachment = adopt_link(point, link, ids)?;
            flows.attachments.push(attachment);
        }
        flows.read_in_force()?;
        Ok(flows)
    }

    /// Finds out what is in force, and what is free.
    fn read_in_force(&mut self) -> Result<(), FlowsError> {
        let failed = FlowsError::system("cannot read the flows in force");
        let mut key: Option<Key> = None;
        // No more than there is room for: a map that changes meanwhile might go round in circles.
        for _ in 0..=self.max_flows() {
            key = self.index.next_key(key.as_ref()).map_err(&failed)?;
            let Some(key) = &key else { break };
            let Some(place) = self.index.lookup(key).map_err(&failed)? else {
                continue;
            };
            let spec = self.specs.lookup(&place).map_err(&failed)?;
            let spec = spec.filter(|spec| {
                let is_known = Flow::of_spec(spec).is_some();
                spec.key == *key && spec.stats < self.max_flows() && is_known
            });
            let Some(spec) = spec else {
                let name = format!("{PREFIX}specs");
                return Err(unfit(&name, "a flow that this program would not write"));
            };
            let local = address(key.address, key.port);
            self.has_srtp |= spec.flags & (flag::OPEN | flag::SEAL) != 0;
            self.in_force.insert(local, Entry { place, spec });
        }
        let entries = self.in_force.values();
        let places = entries.clone().map(|entry| entry.place);
        self.free_specs = Slots::without(self.specs.entries(), places);
        let figures = entries.map(|entry| entry.spec.stats);
        self.free_figures = Slots::without(self.index.entries(), figures);
        // Programs may still be busy with what the other process has removed last.
        self.wait_for_programs()
    }
}

fn unfit(name: &str, what: &str) -> FlowsError {
    FlowsError::Handover {
        name: name.to_owned(),
        source: io::Error::other(what.to_owned()),
    }
}

/// Numbers of the programs, by where they are attached.
fn program_ids(programs: &Programs) -> Result<[(Point, u32); 3], FlowsError> {
    let id = |fd: &OwnedFd, kind, name: &str| {
        let info = bpf::info::<ProgramInfo>(fd.as_fd());
        let info = info.map_err(|error| unfit(name, &error.to_string()))?;
        match info.kind == kind {
            true => Ok(info.id),
            false => Err(unfit(name, "a program of another type")),
        }
    };
    Ok([
        (Point::Tcx, id(&programs.tc, SCHED_CLS, "flows.tc")?),
        (Point::XdpNative, id(&programs.xdp, XDP, "flows.xdp")?),
        (
            Point::XdpGeneric,
            id(&programs.generic, XDP, "flows.generic")?,
        ),
    ])
}

fn adopt_link(
    point: Point,
    link: OwnedFd,
    ids: [(Point, u32); 3],
) -> Result<Attachment, FlowsError> {
    let name = format!("{LINK}{}", point.name());
    let info = bpf::info::<LinkInfo>(link.as_fd());
    let info = info.map_err(|error| unfit(&name, &error.to_string()))?;
    if info.kind != point.link_type() || !ids.contains(&(point, info.program)) {
        return Err(unfit(&name, "a link of another program"));
    }
    let attached = Attached {
        interface: interface::name(info.interface).unwrap_or_default(),
        index: info.interface,
        point,
        why: Why::HandedOver,
    };
    Ok(Attachment { attached, link })
}
