//! The o= line (spec: sdp-rewriting §4).

use std::net::{IpAddr, Ipv4Addr};

use rand::RngCore;
use windlass_ng::Request;
use windlass_sdp::{Origin, Text};

use crate::call::model::leg::Printed;

pub(super) fn origin(
    received: Option<&Origin>,
    printed: Option<&Printed>,
    address: Option<IpAddr>,
    request: &Request,
    rng: &mut dyn RngCore,
) -> Origin {
    let replace = &request.replace;
    let out = printed.map(|printed| &printed.origin);
    let mut origin = match (received, out) {
        (Some(received), _) => received.clone(),
        (None, Some(out)) => out.clone(),
        (None, None) => generated(address, rng),
    };
    let full = replace.origin_full;
    if let Some(out) = out {
        if full || replace.username {
            origin.username.clone_from(&out.username);
        }
        if full {
            origin.session_id.clone_from(&out.session_id);
        }
        if full || replace.sdp_version {
            origin.version.clone_from(&out.version);
        }
        if replace.force_increment_sdp_version {
            origin.version.clone_from(&out.version);
            origin.increment_version();
        }
    }
    if full || replace.origin {
        match out {
            Some(out) => {
                origin.network.clone_from(&out.network);
                origin.family.clone_from(&out.family);
                origin.address.clone_from(&out.address);
            }
            None => {
                if let Some(address) = address {
                    origin.set_address(address);
                }
            }
        }
    }
    origin
}

/// An o= line for an SDP that has none of its own.
pub(super) fn generated(address: Option<IpAddr>, rng: &mut dyn RngCore) -> Origin {
    let mut number = || Text::from(rng.next_u32().to_string());
    let mut origin = Origin {
        session_id: number(),
        version: number(),
        ..Origin::unknown()
    };
    origin.set_address(address.unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into()));
    origin
}
