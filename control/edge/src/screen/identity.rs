//! Who a source is, how well that is proven, and whom a ban may hit.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::address::Source;
use super::ban::{Evidence, Reason};
use super::config::{PeerSource, Trust, Zone};
use super::verdict::{Banned, Identity, Stage};
use super::{Arrival, Screen, Seen};

impl Screen {
    /// Who sent the request: what is said first and longest of its address.
    pub(crate) fn identify(&self, seen: &Seen<'_>) -> Identity {
        let arrival = &seen.arrival;
        let mut peers = self.peers.of(arrival.source.ip());
        let peer = peers.find(|(at, source)| {
            let certified = match &source.certificate {
                Some(name) => seen
                    .certificate
                    .iter()
                    .any(|c| c.eq_ignore_ascii_case(name)),
                None => true,
            };
            certified && self.is_peer(*at, source, arrival)
        });
        match peer {
            Some((at, _)) => Identity::Peer(*at),
            None if !seen.aors.is_empty() => Identity::Registered,
            None => Identity::Unknown,
        }
    }

    pub(super) fn is_peer(&self, at: u16, source: &PeerSource, arrival: &Arrival) -> bool {
        let peer = self.config.peers.get(usize::from(at));
        let is_zone = peer.is_some_and(|p| p.zone.is_none_or(|zone| zone == arrival.zone));
        let protocol = source.protocol.as_deref();
        is_zone
            && source.port.is_none_or(|port| port == arrival.source.port())
            && protocol.is_none_or(|p| p.eq_ignore_ascii_case(arrival.protocol))
    }

    /// A peer that its address alone makes known.
    pub(super) fn is_peer_by_address(&self, arrival: &Arrival) -> bool {
        let mut peers = self.peers.of(arrival.source.ip());
        peers.any(|(at, s)| s.certificate.is_none() && self.is_peer(*at, s, arrival))
    }

    pub(super) fn never_bans(&self, arrival: &Arrival) -> bool {
        self.never_ban.of(arrival.source.ip()).next().is_some()
    }

    pub(super) fn is_trusted(
        &self,
        seen: &Seen<'_>,
        zone: &Zone,
        identity: Identity,
        now: Instant,
    ) -> bool {
        if zone.trust == Trust::Inside || identity != Identity::Unknown {
            return true;
        }
        let source = seen.arrival.source;
        let part = self.shared.part(Source::whole(source.ip())).lock();
        part.standings
            .is_trusted(Source::port(source), self.tick(now))
    }

    /// Whether a phone registers, or did of late, from any port of the address.
    pub(super) fn knows_address(&self, source: SocketAddr, now: Instant) -> bool {
        let whole = Source::whole(source.ip());
        let part = self.shared.part(whole).lock();
        part.standings.is_protected(whole) || part.standings.is_trusted(whole, self.tick(now))
    }

    /// How well the source of a request is proven.
    pub(super) fn evidence(&self, seen: &Seen<'_>) -> Evidence {
        let whole = Source::whole(seen.arrival.source.ip());
        let knows_nonce = || {
            let part = self.shared.part(whole).lock();
            let knows = |nonce: &[u8]| {
                !nonce.is_empty() && part.guesses.knows(whole, self.shared.nonce(nonce))
            };
            knows(seen.nonce) || seen.others.iter().any(|(_, nonce)| knows(nonce))
        };
        evidence_of(seen.arrival.is_stream || seen.answers_us || knows_nonce())
    }

    /// Bans a source as far as its protection allows: peers and `never_ban` not at all, an address
    /// with live bindings or dialogs only at another port than theirs, and only on verified
    /// evidence.
    pub(super) fn ban_source(
        &self,
        arrival: &Arrival,
        stage: Stage,
        evidence: Evidence,
        lasts: Option<Duration>,
        now: Instant,
    ) -> Option<Banned> {
        if self.is_never_banned(arrival.source.ip()) {
            return None;
        }
        let (whole, port) = (
            Source::whole(arrival.source.ip()),
            Source::port(arrival.source),
        );
        let tick = self.tick(now);
        let mut part = self.shared.part(whole).lock();
        let source = if !part.standings.is_protected(whole) {
            whole
        } else if evidence == Evidence::Verified && !part.standings.is_protected(port) {
            port
        } else {
            return None;
        };
        let reason = Reason::Stage(stage);
        let durations = &self.config.bans;
        let lasts = lasts.unwrap_or(durations.verified);
        let placed = part
            .bans
            .place(source, reason, evidence, lasts, durations, tick);
        // Refused by a table that is full of better evidence: the source stays untrusted.
        let placed = placed.ok()?;
        if placed.ban.evidence == Evidence::Verified {
            part.standings.demote(port);
        }
        placed.is_new.then(|| Banned {
            source,
            ban: placed.ban,
            lasts: placed.ban.until.since(tick),
        })
    }
}

pub(super) fn evidence_of(is_verified: bool) -> Evidence {
    if is_verified {
        Evidence::Verified
    } else {
        Evidence::Unverified
    }
}
