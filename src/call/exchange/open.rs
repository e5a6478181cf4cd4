//! The local ports that both parties are shown (spec: ng-protocol §10.4; media-behaviour §1.2).

use std::net::SocketAddr;
use std::sync::Arc;

use rand::RngCore;

use super::dtls::tls_id;
use super::lines::Line;
use super::{Context, ExchangeError};
use crate::call::identity;
use crate::call::model::call::Call;
use crate::call::model::dialogue::{Parties, Role};
use crate::call::model::leg::{Leg, LegIndex};
use crate::call::model::media::{EndpointMap, Media, MuxPolicy, Port, PortSet};
use crate::call::ports::{Family, Interfaces, LeaseError, LocalAddress};
use crate::flow::port::PortLease;
use crate::limits::PORT_SETS_PER_MEDIA;

impl Call {
    /// Opens the ports that both parties need for one line, or finds those opened before.
    pub(super) fn open_line(
        &mut self,
        parties: Parties,
        line: &Line,
        context: &mut Context<'_>,
    ) -> Result<(), ExchangeError> {
        let sender = self
            .legs
            .get(parties.sender)
            .and_then(|leg| leg.medias.get(line.sender));
        let Some((sender, endpoint)) = sender.and_then(|media| Some((media, media.endpoint?)))
        else {
            return Ok(());
        };
        // The ports inside a bundle say nothing of those that the other side sends to.
        let is_bundled = sender.extra(|extras| extras.bundle_head.is_some());
        let receiver = line.receiver.and_then(|index| {
            self.legs
                .get(parties.receiver)
                .and_then(|leg| leg.medias.get(index))
        });
        // Whoever does not send to its ports, or learns of others by ICE, keeps them.
        let is_latched = is_bundled || receiver.is_some_and(|to| !to.recv || to.has_ice());
        // The ports of a sender are opened with its offer, for the first party that answers.
        let wanted = [
            (parties.sender, Some(line.sender), None),
            (parties.receiver, line.receiver, Some(endpoint.rtp)),
        ];
        for (leg, media, key) in wanted {
            if let Some(media) = media {
                self.open_ports(leg, media, key, is_latched, endpoint.rtp, context)?;
            }
        }
        Ok(())
    }

    /// Opens or finds the ports shown to one party. `key` is what they are opened for; `near` is
    /// an address whose family serves where nothing else says which.
    pub(crate) fn open_ports(
        &mut self,
        party: LegIndex,
        index: usize,
        key: Option<SocketAddr>,
        is_latched: bool,
        near: SocketAddr,
        context: &mut Context<'_>,
    ) -> Result<(), ExchangeError> {
        let Some(leg) = self.legs.get_mut(party) else {
            return Ok(());
        };
        let rules = leg.source_rules;
        let old_name = leg.interface.as_deref().filter(|_| leg.family.is_none());
        let old_name = old_name.and_then(|name| context.host.interfaces.family_of_old(name));
        let family = old_name.or_else(|| leg.family_of(index));
        let family = family.or_else(|| Some(Family::of(near.ip())));
        if let Some(name) = context.host.interfaces.next_of(leg.interface.as_deref()) {
            leg.interface = Some(name);
        }
        let name = leg.interface.clone();
        let Some(media) = leg.medias.get_mut(index) else {
            return Ok(());
        };
        if media.rejected {
            return Ok(());
        }
        let interfaces = context.host.interfaces;
        if media.shares_ports_of_another(index) {
            return Ok(());
        }
        let on = interfaces
            .select(name.as_deref(), family)
            .ok_or(ExchangeError::NoInterface)?;
        // A line that is not agreed on has its ports in the offer that this one replaces.
        let replaced = context.replaced.as_ref();
        let replaced = replaced.and_then(|replaced| replaced.medias_of(party)?.get(index));
        if media.maps.is_empty()
            && let Some(replaced) = replaced
        {
            media.maps.clone_from(&replaced.maps);
            media.selected = replaced.selected;
        }
        media.release_spare_rtcp(context.dialogue.role);
        let before = media.ports().map(|map| map.main.rtp.local);
        let latches = rules.port_latching || is_latched && !rules.no_port_latching;
        let position = match media.find_ports(key, on, latches) {
            Some(position) => position,
            None => {
                if media.maps.len() >= PORT_SETS_PER_MEDIA {
                    media.maps.remove(0);
                }
                let main = open_set(interfaces, on, media.needs_one_port(), &mut context.leases)?;
                media.maps.reserve_exact(1);
                media.maps.push(EndpointMap {
                    key: None,
                    interface: on.name.clone(),
                    main,
                    others: Vec::new(),
                });
                media.maps.len() - 1
            }
        };
        media.selected = position;
        let after = media.ports().map(|map| map.main.rtp.local);
        if before.is_some() && before != after {
            media.start_anew(replaced, context.rng);
        }
        let (has_ice, one_port) = (
            media.has_ice() || media.is_passed_through(),
            media.needs_one_port(),
        );
        let Some(map) = media.maps.get_mut(position) else {
            return Ok(());
        };
        map.key = map.key.or(key);
        if !has_ice || context.host.defaults.save_interface_ports {
            map.others.clear();
        } else if map.others.is_empty() {
            for other in interfaces.alternatives(on) {
                let set = open_set(interfaces, other, one_port, &mut context.leases)?;
                map.others.push(set);
            }
        }
        Ok(())
    }
}

/// Leases one port, or a pair, on one address.
fn open_set(
    interfaces: &Interfaces,
    on: &LocalAddress,
    one_port: bool,
    leases: &mut Vec<PortLease>,
) -> Result<PortSet, LeaseError> {
    let (rtp, rtcp) = if one_port {
        (interfaces.lease_one(on)?, None)
    } else {
        let (rtp, rtcp) = interfaces.lease_pair(on)?;
        (rtp, Some(rtcp))
    };
    let mut port = |lease: PortLease| {
        let port = Port {
            local: lease.local(),
            stats: Arc::clone(lease.stats()),
        };
        leases.push(lease);
        port
    };
    Ok(PortSet {
        advertised: on.advertised,
        rtp: port(rtp),
        rtcp: rtcp.map(port),
    })
}

impl Leg {
    /// The address family towards this party for a media: what was asked, else its own.
    pub(crate) fn family_of(&self, media: usize) -> Option<Family> {
        let media = self.medias.get(media);
        let ports = media.and_then(Media::ports);
        let in_use = ports.map(|map| Family::of(map.main.rtp.local.ip()));
        // With ICE running, a change of family would break it.
        let has_ice = media.is_some_and(Media::has_ice);
        let asked = self.family.filter(|_| in_use.is_none() || !has_ice);
        let said = media.and_then(|media| media.family).filter(|_| !has_ice);
        let own = || {
            media?
                .endpoint
                .map(|endpoint| Family::of(endpoint.rtp.ip()))
        };
        asked.or(said).or(in_use).or_else(own)
    }
}

impl Media {
    /// The port set to go on with, by its position.
    fn find_ports(
        &self,
        key: Option<SocketAddr>,
        on: &LocalAddress,
        latches: bool,
    ) -> Option<usize> {
        let one_port = self.needs_one_port();
        let fits = |map: &EndpointMap| {
            map.interface == on.name
                && map.main.rtp.local.ip() == on.address
                && (one_port || map.main.rtcp.is_some())
        };
        let is_current = self.ports().is_some_and(fits);
        match key {
            None if is_current => Some(self.selected),
            Some(_) if is_current && latches => Some(self.selected),
            None => self.maps.iter().position(fits),
            Some(key) => {
                let is_for = |map: &&EndpointMap| map.key.is_some_and(|k| same_endpoint(k, key));
                let known = self.maps.iter().position(|map| fits(map) && is_for(&map));
                known.or_else(|| {
                    self.maps
                        .iter()
                        .position(|map| fits(map) && map.key.is_none())
                })
            }
        }
    }

    /// Other ports are another generation of ICE (RFC 8445 §9), and without ICE another DTLS
    /// association (RFC 8842 §4): a peer would keep the one whose keys the port does not have.
    /// What was made up for the same ports in an offer that is `replaced` before it was answered
    /// is shown again.
    fn start_anew(&mut self, replaced: Option<&Self>, rng: &mut dyn RngCore) {
        let has_ice = self.has_ice();
        let port = |media: &Self| media.ports().map(|map| map.main.rtp.local);
        let replaced = replaced.filter(|replaced| port(replaced) == port(self));
        let replaced = replaced.and_then(|replaced| replaced.extras.as_deref());
        let Some(extras) = self.extras.as_deref_mut() else {
            return;
        };
        if has_ice {
            let shown = replaced.and_then(|replaced| replaced.ice.ours.clone());
            extras.ice.ours = Some(shown.unwrap_or_else(|| identity::credentials(rng)));
        } else if let Some(dtls) = extras.dtls.as_mut() {
            let shown = replaced.and_then(|replaced| replaced.dtls.as_ref());
            let shown = shown.map(|replaced| replaced.tls_id.clone());
            dtls.tls_id = shown.unwrap_or_else(|| tls_id(rng));
        }
    }

    /// Whether the ports are those of the first media of its bundle.
    pub(crate) fn shares_ports_of_another(&self, index: usize) -> bool {
        self.extra(|extras| extras.bundle_head.is_some_and(|head| head != index))
    }

    /// After an agreed mux the RTCP port is free to go with the next offer, unless that offer ends
    /// the mux.
    fn release_spare_rtcp(&mut self, role: Role) {
        let stays = self.mux.agreed && self.mux.policy != MuxPolicy::Reject;
        if role == Role::Offer && stays {
            for map in &mut self.maps {
                map.main.rtcp = None;
                for set in &mut map.others {
                    set.rtcp = None;
                }
            }
        }
    }

    /// Whether RTCP certainly shares the RTP port.
    fn needs_one_port(&self) -> bool {
        self.mux.single || self.mux.agreed
    }
}

/// Whether two endpoints are one for the choice of ports: an unspecified address counts as any.
fn same_endpoint(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}
