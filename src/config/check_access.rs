//! Checks that access to the control listeners is configured (spec: security 12).

use std::iter::repeat;
use std::net::SocketAddr;

use windlass_ng::Rule;
use windlass_toml::Place;

use super::access::allow;
use super::check::Checker;
use super::draft::Draft;

impl Checker<'_> {
    /// The access that follows from listeners and settings. A bind that others can reach must say
    /// who they are; in rtpengine's manner it need not, and neighbours are answered.
    pub(super) fn access(&mut self, draft: &Draft) -> Rule {
        let control = &draft.groups.control;
        let [cli, http, https] = &draft.control_places;
        let plain = |list: &[SocketAddr], places: &[Place]| -> Vec<(Place, SocketAddr)> {
            // Those of a flag have no place in the file.
            let places = places.iter().copied().chain(repeat(Place::Whole));
            places.zip(list.iter().copied()).collect()
        };
        let placed = |list: &Option<Vec<windlass_toml::Placed<SocketAddr>>>| {
            let list = list.iter().flatten();
            list.map(|address| (address.at, address.value)).collect()
        };
        let listeners: [(&str, Vec<(Place, SocketAddr)>); 5] = [
            ("ng `udp`", placed(&draft.ng_udp)),
            ("ng `tcp`", placed(&draft.ng_tcp)),
            ("control `cli`", plain(&control.cli, cli)),
            ("control `http`", plain(&control.http, http)),
            ("control `https`", plain(&control.https, https)),
        ];
        let mut is_wide = false;
        for (key, addresses) in &listeners {
            let wide = addresses.iter().filter(|(_, a)| !a.ip().is_loopback());
            for (at, address) in wide {
                is_wide = true;
                let is_safe = !control.allow.is_empty()
                    || control.secret.is_some()
                    || *key == "control `https`" && control.client_ca.is_some();
                if !is_safe && !draft.is_compat {
                    let message = format!(
                        "{key} on {address}: whoever can reach this port controls every call, so \
                         only loopback addresses are taken by themselves; a wider bind needs the \
                         list of allowed peers, `allow = [\"10.0.0.0/8\"]` in [control], or a \
                         `secret` there, or for `https` a `client_ca`"
                    );
                    self.problem(*at, &message);
                }
            }
        }
        if !control.https.is_empty() && control.https_cert.is_none() {
            let at = https.first().copied().unwrap_or(Place::Whole);
            self.problem(at, "HTTPS listeners need a certificate: `https_cert`");
        }
        match control.allow.is_empty() && draft.is_compat && is_wide {
            true => Rule::Compat,
            false => allow(&control.allow),
        }
    }
}
