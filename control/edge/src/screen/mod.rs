//! Screening (spec §12): what reaches the edge is passed, refused or not answered, stage by stage.
//!
//! ```text
//! judge_before_parsing   bans, flood                         by source alone
//! judge_malformed        sanity                              what the parser refused
//! judge                  fingerprints … limits               a request outside a transaction
//! judge_response         authentication failures             what the upstream answered
//! ```
//!
//! Connection limits (stage 1) are the transports', Max-Forwards and loops (6) the proxy's.
//! Nothing here owns a socket or a clock, and a message is seen through [`Seen`] alone, so that
//! [`Screen::explain`] can go through the stages without a trace in any table.
//!
//! Bans, floods and failures count over all shards: a source reaches several of them, since the
//! kernel and the hash of Call-IDs spread its messages. So the tables are shared, in parts by /24
//! (or /64) with a lock each. An address and its network are in one part, so a message takes one lock
//! before it is parsed; every table takes constant time, so a lock is held for some hundred
//! nanoseconds at most, by a sweep for some microseconds. (One owner that shards ask would cost
//! each message a switch of threads.)

pub(crate) mod address;
pub(crate) mod aging;
mod answered;
pub(crate) mod auth;
pub(crate) mod ban;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod csv;
mod early;
pub(crate) mod fingerprint;
pub(crate) mod flood;
mod identity;
pub(crate) mod list;
mod part;
pub(crate) mod persist;
mod pipeline;
pub(crate) mod prefix;
pub(crate) mod saved;
pub(crate) mod share;
pub(crate) mod standing;
#[cfg(test)]
mod tests;
pub(crate) mod time;
pub(crate) mod verdict;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::limit::{Buckets, Categories, Limits, User};
use crate::limits;
use address::{Networks, Source};
use aging::Full;
use ban::{Ban, Evidence, Reason};
pub(crate) use config::Config;
use config::{PeerSource, Rate};
use fingerprint::{Fingerprints, PatternError};
use list::List;
use part::Shared;
use standing::{Bond, Level};
use time::Tick;
use verdict::Banned;
pub(crate) use verdict::{Action, Alert, Identity, Stage};

/// Where bytes came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) source: SocketAddr,
    /// Index in [`Config::zones`].
    pub(crate) zone: u16,
    /// As in Via: `UDP`, `TCP`, `TLS`, `WS`, `WSS`.
    pub(crate) protocol: &'static str,
    /// Nobody can forge its source.
    pub(crate) is_stream: bool,
}

/// A request, as the stages see it. Texts are empty where the message has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) arrival: Arrival,
    /// Names in the client certificate.
    pub(crate) certificate: &'a [&'a str],
    pub(crate) method: &'a [u8],
    pub(crate) ruri_user: &'a [u8],
    /// Without brackets and port, like all hosts here.
    pub(crate) ruri_host: &'a [u8],
    pub(crate) from_display: &'a [u8],
    pub(crate) from_user: &'a [u8],
    pub(crate) from_host: &'a [u8],
    pub(crate) to_user: &'a [u8],
    pub(crate) to_host: &'a [u8],
    pub(crate) contact_user: &'a [u8],
    pub(crate) contact_host: &'a [u8],
    /// User of P-Asserted-Identity or P-Preferred-Identity.
    pub(crate) asserted_user: &'a [u8],
    pub(crate) call_id: &'a [u8],
    pub(crate) user_agent: &'a [u8],
    /// Of [`fingerprint::header_order`].
    pub(crate) header_order: u64,
    /// The Request-URI is an address of the edge.
    pub(crate) to_us: bool,
    /// It belongs to a dialog that the edge has.
    pub(crate) known_dialog: bool,
    /// It repeats a tag that only its receiver can know.
    pub(crate) answers_us: bool,
    /// user@realm of Authorization or Proxy-Authorization, empty if it cannot be read; `None`: no
    /// credentials.
    pub(crate) credentials: Option<&'a [u8]>,
    /// Nonce of the credentials.
    pub(crate) nonce: &'a [u8],
    /// More credentials of the request: whoever checks them takes the row that it likes.
    pub(crate) others: &'a [Credentials<'a>],
    /// AoRs (user@domain) of the registered flow that it came by. Empty: none.
    pub(crate) aors: &'a [&'a [u8]],
    /// User of credentials that the upstream accepted from this flow.
    pub(crate) accepted_user: Option<&'a [u8]>,
    /// User that was verified here.
    pub(crate) digest_user: Option<&'a [u8]>,
}

/// user@realm and nonce of one row of credentials.
pub(crate) type Credentials<'a> = (&'a [u8], &'a [u8]);

/// A final response to a request of a client, as the stages see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'a> {
    /// Where the request came from.
    pub(crate) arrival: Arrival,
    pub(crate) method: &'a [u8],
    pub(crate) code: u16,
    /// user@realm of the request's credentials; empty if they cannot be read.
    pub(crate) credentials: Option<&'a [u8]>,
    /// Nonce of the request's credentials.
    pub(crate) nonce: &'a [u8],
    /// More credentials of the request.
    pub(crate) others: &'a [Credentials<'a>],
    /// AoR of the request: To of a REGISTER, From of others.
    pub(crate) aor: &'a [u8],
    /// A challenge says `stale=true`.
    pub(crate) stale: bool,
    /// Nonces of the challenges.
    pub(crate) challenges: &'a [&'a [u8]],
}

/// The verdict before a message is parsed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Early {
    pub(crate) action: Action,
    pub(crate) stage: Option<Stage>,
    pub(crate) alert: Option<Alert>,
    pub(crate) banned: Option<Banned>,
    /// For the order in which a busy shard reads.
    pub(crate) level: Level,
}

/// The screen of one configuration. Shards share it; a reload makes another over the same tables.
#[derive(Debug)]
pub(crate) struct Screen {
    config: Config,
    fingerprints: Fingerprints,
    /// Index of a peer, and of one of its sources.
    peers: Networks<(u16, PeerSource)>,
    never_ban: Networks<()>,
    rates: Vec<(Rate, Arc<Buckets>)>,
    lists: Vec<(config::ListFile, Arc<RwLock<List>>)>,
    limits: Limits,
    shared: Arc<Shared>,
}

/// Entries of the tables, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// In force and remembered.
    pub(crate) bans: usize,
    pub(crate) floods: usize,
    pub(crate) standings: usize,
    pub(crate) guesses: usize,
    pub(crate) users: usize,
}

/// Why an operator's ban is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BanError {
    #[error("the table is full of bans by operators")]
    Full,
    #[error("the address is that of a peer or of never_ban")]
    Protected,
}

impl Screen {
    /// `now` is the origin of its time.
    pub(crate) fn new(
        config: Config,
        categories: Arc<Categories>,
        now: Instant,
    ) -> Result<Self, PatternError> {
        let limits = Limits::new(config.limits.clone(), categories, now);
        let shared = Arc::new(Shared::new(&config.tables, now));
        Self::over(config, limits, shared, &[], &[])
    }

    /// Another configuration over the same tables. Sizes of tables stay; lists and rates whose name
    /// stays keep what they hold. [`Self::spare`] belongs to it once it is in force.
    pub(crate) fn reload(
        &self,
        config: Config,
        categories: Arc<Categories>,
    ) -> Result<Self, PatternError> {
        let limits = self.limits.reload(config.limits.clone(), categories);
        let shared = self.shared.clone();
        Self::over(config, limits, shared, &self.rates, &self.lists)
    }

    /// Lifts the bans of addresses that are protected now.
    pub(crate) fn spare(&self) {
        for (source, ban) in self.bans() {
            if ban.reason != Reason::Operator && self.is_never_banned(source.ip()) {
                self.lift(source);
            }
        }
    }

    fn over(
        config: Config,
        limits: Limits,
        shared: Arc<Shared>,
        rates: &[(Rate, Arc<Buckets>)],
        lists: &[(config::ListFile, Arc<RwLock<List>>)],
    ) -> Result<Self, PatternError> {
        let numbered = config.peers.iter().zip(0_u16..);
        let peers = numbered.flat_map(|(peer, at)| {
            let sources = peer.sources.iter();
            sources.map(move |source| (source.network, (at, source.clone())))
        });
        let buckets = |rate: &Rate| {
            let known = rates.iter().find(|(other, _)| other.name == rate.name);
            known.map_or_else(
                || Arc::new(Buckets::new(config.tables.rates, shared.epoch)),
                |(_, buckets)| buckets.clone(),
            )
        };
        let list = |file: &config::ListFile| {
            let known = lists.iter().find(|(other, _)| other.name == file.name);
            known.map_or_else(Default::default, |(_, list)| list.clone())
        };
        Ok(Self {
            fingerprints: Fingerprints::compile(config.fingerprints.clone())?,
            peers: peers.collect(),
            never_ban: config.never_ban.iter().map(|n| (*n, ())).collect(),
            rates: config
                .rates
                .iter()
                .map(|r| (r.clone(), buckets(r)))
                .collect(),
            lists: config.lists.iter().map(|l| (l.clone(), list(l))).collect(),
            limits,
            shared,
            config,
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The list of that name, to be replaced by a reload of its file or edited by the admin
    /// interface.
    pub(crate) fn list(&self, name: &str) -> Option<&RwLock<List>> {
        let mut lists = self.lists.iter();
        let (_, list) = lists.find(|(file, _)| file.name == name)?;
        Some(list)
    }

    /// Methods for `Allow` of responses in this zone; empty: no such header.
    pub(crate) fn allowed_methods(&self, zone: u16) -> &[String] {
        let zone = self.config.zones.get(usize::from(zone));
        zone.map_or(&[], |zone| &zone.methods)
    }

    /// A binding or a dialog is alive at the source, until [`Self::unbind`]. Unverified bans of it
    /// end. Refused only by a table that is full of such sources: then nothing protects it, and
    /// `unbind` must not be called for it.
    pub(crate) fn bind(&self, source: SocketAddr, bond: Bond) -> Result<(), Full> {
        let (whole, port) = (Source::whole(source.ip()), Source::port(source));
        let mut part = self.shared.part(whole).lock();
        part.standings.bind(whole, bond)?;
        if let Err(full) = part.standings.bind(port, bond) {
            part.standings.unbind(whole, bond);
            return Err(full);
        }
        part.bans.lift_unverified(whole);
        part.bans.lift_unverified(port);
        part.floods.forgive(whole);
        Ok(())
    }

    /// The binding or dialog is over.
    pub(crate) fn unbind(&self, source: SocketAddr, bond: Bond) {
        let (whole, port) = (Source::whole(source.ip()), Source::port(source));
        let mut part = self.shared.part(whole).lock();
        part.standings.unbind(whole, bond);
        part.standings.unbind(port, bond);
    }

    /// The upstream accepted a registration or call of the source: it is trusted for a while.
    pub(crate) fn accepted(&self, source: SocketAddr, now: Instant) {
        let until = self.tick(now).after(self.config.trust_for);
        let whole = Source::whole(source.ip());
        let mut part = self.shared.part(whole).lock();
        part.standings.promote(Source::port(source), until);
        // For a phone that comes back from another port.
        part.standings.promote(whole, until);
    }

    /// How much a source is believed now.
    pub(crate) fn level(&self, source: SocketAddr, now: Instant) -> Level {
        let (whole, port) = (Source::whole(source.ip()), Source::port(source));
        let tick = self.tick(now);
        let mut part = self.shared.part(whole).lock();
        if part.bans.in_force(whole, port, tick).is_some() {
            Level::Denied
        } else if part.standings.is_trusted(port, tick)
            || part.standings.has_binding(port)
            || self.is_never_banned(source.ip())
        {
            Level::Trusted
        } else {
            Level::Untrusted
        }
    }

    /// A ban by an operator, which holds even for a registered phone. `port`: of that port alone.
    pub(crate) fn ban(
        &self,
        ip: IpAddr,
        port: Option<u16>,
        lasts: Duration,
        now: Instant,
    ) -> Result<Banned, BanError> {
        if self.is_never_banned(ip) {
            return Err(BanError::Protected);
        }
        let whole = Source::whole(ip);
        let source = port.map_or(whole, |port| Source::port(SocketAddr::new(ip, port)));
        let tick = self.tick(now);
        let mut part = self.shared.part(whole).lock();
        let durations = self.config.bans;
        let (reason, evidence) = (Reason::Operator, Evidence::Verified);
        let placed = part
            .bans
            .place(source, reason, evidence, lasts, &durations, tick)
            .map_err(|Full| BanError::Full)?;
        Ok(Banned {
            source,
            ban: placed.ban,
            lasts: placed.ban.until.since(tick),
        })
    }

    /// Lifts a ban, also one that ended and is remembered.
    pub(crate) fn lift(&self, source: Source) -> Option<Ban> {
        self.shared.part(source).lock().bans.lift(source)
    }

    /// All bans, in force and remembered. One part of the table is locked at a time.
    pub(crate) fn bans(&self) -> Vec<(Source, Ban)> {
        let mut bans = Vec::new();
        for part in self.shared.parts() {
            bans.extend(part.lock().bans.iter());
        }
        bans
    }

    /// The ban of a source, in force or remembered.
    pub(crate) fn ban_of(&self, source: Source) -> Option<Ban> {
        let part = self.shared.part(source).lock();
        let mut bans = part.bans.iter();
        bans.find(|(other, _)| *other == source).map(|(_, ban)| ban)
    }

    /// Bans in force, at most `most`. One part of the table is locked at a time.
    pub(crate) fn bans_in_force(&self, most: usize, now: Instant) -> Vec<(Source, Ban)> {
        let tick = self.tick(now);
        let mut bans = Vec::new();
        for part in self.shared.parts() {
            let part = part.lock();
            let in_force = part.bans.iter().filter(|(_, ban)| ban.until > tick);
            bans.extend(in_force.take(most - bans.len()));
            if bans.len() == most {
                break;
            }
        }
        bans
    }

    /// Names of the lists, with their entries counted.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (&config::ListFile, usize)> {
        self.lists
            .iter()
            .map(|(file, list)| (file, list.read().len()))
    }

    /// How long ago a moment of a ban was.
    pub(crate) fn since(&self, tick: Tick, now: Instant) -> Duration {
        self.tick(now).since(tick)
    }

    /// How full the tables are.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage {
            users: self.shared.users.lock().len(),
            ..Usage::default()
        };
        for part in self.shared.parts() {
            let part = part.lock();
            usage.bans += part.bans.len();
            usage.floods += part.floods.len();
            usage.standings += part.standings.len();
            usage.guesses += part.guesses.len();
        }
        usage
    }

    /// What is left of a ban at `now`; zero if it ended.
    pub(crate) fn remaining(&self, ban: &Ban, now: Instant) -> Duration {
        ban.until.since(self.tick(now))
    }

    /// Forgets what is over, a bounded number of entries: to be called once a second. Bans that
    /// ended are told, each once.
    pub(crate) fn handle_timeout(&self, now: Instant, mut unbanned: impl FnMut(Source, Ban)) {
        let tick = self.tick(now);
        let budget = limits::SWEPT_PER_PART;
        for part in self.shared.parts() {
            let mut part = part.lock();
            part.bans.sweep(budget, tick, &mut unbanned);
            part.standings.sweep(budget, tick);
        }
    }

    /// The user that a request belongs to (spec §13). `None`: its source address is all there is.
    pub(crate) fn user<'a>(&'a self, seen: &Seen<'a>, identity: Identity) -> Option<&'a [u8]> {
        let user = User {
            digest: seen.digest_user,
            aor: aor_of(seen),
            accepted: seen.accepted_user,
            peer: self.peer_name(identity),
        };
        user.name()
    }

    /// The name of the peer.
    pub(crate) fn peer_name(&self, identity: Identity) -> Option<&str> {
        match identity {
            Identity::Peer(at) => {
                let peer = self.config.peers.get(usize::from(at));
                peer.map(|peer| peer.name.as_str())
            }
            Identity::Registered | Identity::Unknown => None,
        }
    }

    fn is_never_banned(&self, ip: IpAddr) -> bool {
        self.never_ban.of(ip).next().is_some()
            || self.peers.of(ip).any(|(_, s)| s.certificate.is_none())
    }

    fn tick(&self, now: Instant) -> Tick {
        Tick::at(self.shared.epoch, now)
    }
}

/// The AoR of the flow that From names, or the only one.
fn aor_of<'a>(seen: &Seen<'a>) -> Option<&'a [u8]> {
    let is_from = |aor: &&&[u8]| user_of(aor) == seen.from_user;
    let named = seen.aors.iter().find(is_from);
    named.or_else(|| seen.aors.first()).copied()
}

/// The user of user@domain.
fn user_of(aor: &[u8]) -> &[u8] {
    let at = aor.iter().rposition(|b| *b == b'@');
    at.and_then(|at| aor.get(..at)).unwrap_or(aor)
}

/// Whether a lie may be told: no response is longer than its request, or the edge would amplify
/// what is sent in a victim's name.
pub(crate) fn may_fake(response_bytes: usize, request_bytes: usize) -> bool {
    response_bytes <= request_bytes
}
