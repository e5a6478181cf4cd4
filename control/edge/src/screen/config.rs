//! What operators set of the screen, with the defaults of spec §12 and §19.

use std::time::Duration;

use super::address::Network;
use super::ban::Durations;
use super::fingerprint::Patterns;
use super::flood::Flood;
use super::verdict::{Do, Stage};
pub(crate) use crate::config::Trust;
use crate::limit::{Limit, Template};

/// The whole screen. One snapshot; a reload makes another screen over the same tables.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Zones, in the order that [`super::Seen::zone`] counts in.
    pub(crate) zones: Vec<Zone>,
    pub(crate) peers: Vec<Peer>,
    /// Never banned and never dropped as a flood: `never_ban`, and the addresses of upstreams.
    pub(crate) never_ban: Vec<Network>,
    /// Domains that are served, lower case; `*.` and a domain for all below it. Empty: all.
    pub(crate) domains: Vec<String>,
    pub(crate) bans: Durations,
    pub(crate) auth_failures: AuthFailures,
    pub(crate) fingerprints: Patterns,
    pub(crate) rates: Vec<Rate>,
    pub(crate) lists: Vec<ListFile>,
    pub(crate) limits: Vec<Limit>,
    /// How long an accepted registration or call makes a source trusted. Default 1 h.
    pub(crate) trust_for: Duration,
    /// Share of a busy shard's time for untrusted messages, in percent. Default 30.
    pub(crate) untrusted_share: u8,
    pub(crate) tables: Tables,
}

/// The policy of one zone.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    pub(crate) name: String,
    pub(crate) trust: Trust,
    pub(crate) stages: Stages,
    pub(crate) flood: Flood,
    /// Methods that are relayed, upper case. Empty: all.
    pub(crate) methods: Vec<String>,
    /// INVITE from an unknown source is refused. Default only in peer zones.
    pub(crate) require_registered: bool,
    /// Malformed messages of one source and minute, after which they raise an event. Default 3.
    pub(crate) malformed_per_minute: u32,
}

/// One stage of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StagePolicy {
    pub(crate) enabled: bool,
    pub(crate) action: Do,
    /// Whether it writes to the security log.
    pub(crate) log: bool,
}

/// The stages of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stages([StagePolicy; Stage::ALL.len()]);

/// A party that is known by its address (spec §19, `[[peer]]`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// Index of the zone it comes by. `None`: any.
    pub(crate) zone: Option<u16>,
    pub(crate) sources: Vec<PeerSource>,
    /// Users that its From and P-Asserted-Identity may name. Empty: all.
    pub(crate) users: Vec<String>,
}

/// Where a peer sends from. What is `None` may be anything.
#[derive(Clone, Debug)]
pub(crate) struct PeerSource {
    pub(crate) network: Network,
    pub(crate) port: Option<u16>,
    /// `UDP`, `TCP`, …, upper case as in Via.
    pub(crate) protocol: Option<String>,
    /// A name in the client certificate.
    pub(crate) certificate: Option<String>,
}

/// Spec §19, `[screen.auth_failures]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuthFailures {
    /// The failure that bans, or refuses strangers the user. Default 6.
    pub(crate) max: u32,
    /// Default 300 s.
    pub(crate) window: Duration,
}

/// A rate class (spec §12, stage 14).
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    pub(crate) name: String,
    pub(crate) key: Template,
    /// Methods that count. Empty: all.
    pub(crate) methods: Vec<String>,
    /// Requests a second. Default 50.
    pub(crate) rate: u32,
    /// Requests at once. Default 50.
    pub(crate) burst: u32,
}

/// A deny list file (spec §12, stage 15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListFile {
    pub(crate) name: String,
    pub(crate) side: Side,
}

/// The number that a list looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Called,
    Caller,
}

/// Bounds of the tables, over all parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    /// 52 bytes each, and ten of their index.
    pub(crate) bans: usize,
    /// Addresses whose messages are counted.
    pub(crate) floods: usize,
    /// Entries of protected and trusted sources: two for each flow, one of its address and one of its
    /// port.
    pub(crate) trusted: usize,
    /// Addresses whose authentication failures, challenges and malformed messages are counted.
    pub(crate) auth: usize,
    /// Users whose authentication failures are counted.
    pub(crate) users: usize,
    /// Keys of each rate class.
    pub(crate) rates: usize,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            bans: 1 << 20,
            floods: 1 << 18,
            trusted: 1 << 20,
            auth: 1 << 17,
            users: 1 << 16,
            rates: 1 << 16,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            zones: Vec::new(),
            peers: Vec::new(),
            never_ban: Vec::new(),
            domains: Vec::new(),
            bans: Durations::default(),
            auth_failures: AuthFailures::default(),
            fingerprints: Patterns::default(),
            rates: Vec::new(),
            lists: Vec::new(),
            limits: Vec::new(),
            trust_for: Duration::from_secs(3600),
            untrusted_share: 30,
            tables: Tables::default(),
        }
    }
}

impl Default for AuthFailures {
    fn default() -> Self {
        Self {
            max: 6,
            window: Duration::from_secs(300),
        }
    }
}

impl Zone {
    /// The defaults of a zone of this trust.
    pub(crate) fn new(name: &str, trust: Trust) -> Self {
        let methods: &[&str] = match trust {
            Trust::Untrusted => &UNTRUSTED_METHODS,
            Trust::Peer | Trust::Inside => &[],
        };
        Self {
            name: name.to_owned(),
            trust,
            stages: Stages::new(trust),
            flood: Flood::default(),
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
            require_registered: trust == Trust::Peer,
            malformed_per_minute: 3,
        }
    }
}

const UNTRUSTED_METHODS: [&str; 11] = [
    "INVITE", "ACK", "CANCEL", "BYE", "PRACK", "UPDATE", "OPTIONS", "REGISTER", "REFER", "NOTIFY",
    "INFO",
];

impl Stages {
    /// The defaults of a zone of this trust. Inside, nothing is banned, counted or suspected; what
    /// the operator configures on purpose (rates, lists, limits) holds everywhere.
    pub(crate) fn new(trust: Trust) -> Self {
        Self(Stage::ALL.map(|stage| {
            let (enabled_in, action) = match stage {
                Stage::Bans | Stage::Flood => (Trust::Peer, Do::Drop),
                Stage::Sanity if trust == Trust::Untrusted => (Trust::Inside, Do::Drop),
                Stage::Sanity => (Trust::Inside, Do::Reject(400)),
                Stage::Fingerprints => (Trust::Untrusted, Do::Ban(None)),
                Stage::Methods => (Trust::Inside, Do::Reject(405)),
                Stage::Options => (Trust::Inside, Do::Drop),
                Stage::Dialog => (Trust::Inside, Do::Allow),
                Stage::Identity => (Trust::Peer, Do::Reject(403)),
                Stage::Domain => (Trust::Untrusted, Do::Reject(403)),
                Stage::Binding => (Trust::Peer, Do::Reject(403)),
                Stage::AuthFailures => (Trust::Peer, Do::Reject(403)),
                Stage::Rates => (Trust::Inside, Do::Reject(503)),
                Stage::Lists => (Trust::Inside, Do::Reject(403)),
                Stage::Limits => (Trust::Inside, Do::Reject(403)),
            };
            StagePolicy {
                enabled: trust <= enabled_in,
                action,
                log: !matches!(stage, Stage::Bans | Stage::Options | Stage::Dialog),
            }
        }))
    }

    pub(crate) fn of(&self, stage: Stage) -> StagePolicy {
        let at = Stage::ALL.iter().position(|other| *other == stage);
        let off = StagePolicy {
            enabled: false,
            action: Do::Count,
            log: false,
        };
        at.and_then(|at| self.0.get(at)).copied().unwrap_or(off)
    }

    /// The policy of one stage, to be set.
    pub(crate) fn set(&mut self, stage: Stage, policy: StagePolicy) {
        let at = Stage::ALL.iter().position(|other| *other == stage);
        if let Some(place) = at.and_then(|at| self.0.get_mut(at)) {
            *place = policy;
        }
    }
}
