//! Configuration of pools and routes: plain data with the defaults of spec §14 and §19.

use std::time::Duration;

use crate::limits;
use crate::resolve::DestinationError;

/// Servers that serve the same requests: an `[[upstream]]`, or the targets of a `[[peer]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Unique among upstreams and peers; routes name it.
    pub name: String,
    /// The zone that its targets are reached from.
    pub zone: String,
    /// How one of a group is chosen. Default [`Algorithm::First`].
    pub algorithm: Algorithm,
    /// Default [`Probe::WhenDown`]; targets may differ.
    pub probe: Probe,
    /// How often, and what counts as alive.
    pub probing: ProbeConfig,
    /// Its servers, in the order of [`Algorithm::First`].
    pub targets: Vec<TargetConfig>,
}

impl PoolConfig {
    /// A pool with the defaults, one target per URI, all in one group.
    pub fn new(name: &str, zone: &str, uris: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            zone: zone.to_owned(),
            algorithm: Algorithm::default(),
            probe: Probe::default(),
            probing: ProbeConfig::default(),
            targets: uris.iter().map(|uri| TargetConfig::new(uri)).collect(),
        }
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetConfig {
    /// `sip:` or `sips:` URI. With a domain name, each of its addresses is tried (RFC 3263 §4.3).
    pub uri: String,
    /// Targets of a higher group are used once none of the lower ones is left. Default 0.
    pub group: u8,
    /// Share of the requests in its group. 0: only when no other target of the group is left.
    /// Default 1, at most 65,535.
    pub weight: u32,
    /// Slots by name, such as `channels`; each call takes one. Default none: no limit.
    pub resources: Vec<(String, u32)>,
    /// Default: that of the pool.
    pub probe: Option<Probe>,
}

impl TargetConfig {
    /// A target with the defaults.
    pub fn new(uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            group: 0,
            weight: 1,
            resources: Vec::new(),
            probe: None,
        }
    }
}

/// How one target of a group is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// The first one that is usable, in the order of the configuration.
    #[default]
    First,
    /// The same target for the same key as long as it is usable (rendezvous hashing by weight): a
    /// target that fails moves its own keys and no others.
    Hash(HashKey),
    /// Fewest calls for its weight; ties at random.
    LeastCalls,
    /// Most free slots; ties at random.
    Resource(Slots),
    /// At random in proportion to the weights.
    Weight,
}

/// What is hashed, without regard to case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The address of record that the request is about, so that everything of a user meets one
    /// registrar (spec §8).
    Aor,
    /// The Call-ID.
    CallId,
    /// The Request-URI without parameters.
    Ruri,
    /// The user who sends (spec §13).
    User,
}

/// How free slots of targets are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slots {
    /// By their number.
    #[default]
    Absolute,
    /// By their share of all slots.
    Relative,
}

/// When OPTIONS are sent to a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// At all times.
    Always,
    /// Never; nor do failures of calls change its state, since nothing would bring it up again.
    Never,
    /// From the failure of calls until it answers.
    #[default]
    WhenDown,
}

/// How targets are probed, and what counts as a sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// Default 30 s.
    pub interval: Duration,
    /// Wait for an answer to OPTIONS. Default 4 s; at most the interval.
    pub timeout: Duration,
    /// Misses in a row, of probes and calls, after which a target is down. Default 3.
    pub misses: u32,
    /// Responses that show a server at work: to OPTIONS they bring it up, to calls they end a row of
    /// misses. Default all final ones but 408 and other 5xx than 501: also who refuses OPTIONS is
    /// alive. Other responses to OPTIONS are misses.
    pub alive: Vec<CodeRange>,
    /// Responses to calls that count as a miss. Default none: a gateway says 503 also of one
    /// destination, and three of those must not take it from all others.
    pub failed: Vec<CodeRange>,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(4),
            misses: 3,
            alive: vec![
                CodeRange(200, 407),
                CodeRange(409, 499),
                CodeRange(501, 501),
                CodeRange(600, 699),
            ],
            failed: Vec::new(),
        }
    }
}

/// Status codes from the first to the second, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeRange(
    /// The first one.
    pub u16,
    /// The last one.
    pub u16,
);

impl CodeRange {
    pub(super) fn contains(self, code: u16) -> bool {
        (self.0..=self.1).contains(&code)
    }

    pub(super) fn any(ranges: &[Self], code: u16) -> bool {
        ranges.iter().any(|range| range.contains(code))
    }
}

/// When a request goes on to the next target, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Final responses after which the next target is tried. Default 408 and 5xx. The answers of a
    /// user or of a registrar cannot be among them; see [`Failover::is_answer`].
    pub codes: Vec<CodeRange>,
    /// Wait for a first response, 100 included. Default 4 s.
    pub answer_timeout: Duration,
    /// Wait for the first response of 180 and above. Default none.
    pub ringing_timeout: Option<Duration>,
    /// Time for all targets together; an INVITE that is not answered then ends. Default 120 s.
    pub ring_timeout: Duration,
    /// The same for other requests. Default 30 s, below the 32 s after which their senders give up
    /// (RFC 3261 timer F).
    pub request_timeout: Duration,
    /// Go on also after the caller has heard early media. Default false.
    pub after_early_media: bool,
    /// Default [`Redirects::Pass`].
    pub redirects: Redirects,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            codes: vec![CodeRange(408, 408), CodeRange(500, 599)],
            answer_timeout: Duration::from_secs(4),
            ringing_timeout: None,
            ring_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            after_early_media: false,
            redirects: Redirects::default(),
        }
    }
}

impl Failover {
    /// Whether nothing is tried after this response, whatever `codes` says: success, redirection,
    /// challenges, the answers of a callee, and those of a registrar about its user (spec §8).
    pub fn is_answer(code: u16) -> bool {
        matches!(code, 200..=399 | 401 | 407 | 423 | 486 | 600..)
    }
}

/// What becomes of a 3xx.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// Its contacts are tried, five at most, if they are targets of a pool or their hosts are.
    Follow,
    /// The caller gets it.
    #[default]
    Pass,
}

/// One `[[route]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Which requests it is for.
    pub matching: RouteMatch,
    /// Where they go.
    pub to: RouteTo,
    /// When they go on to another target.
    pub failover: Failover,
    /// Names of the resources of which a call takes a slot; targets without one of them are left
    /// out. Default `None`: each resource that a target has.
    pub resources: Option<Vec<String>>,
}

impl RouteConfig {
    /// A route with the default failover.
    pub fn new(matching: RouteMatch, pools: &[&str]) -> Self {
        Self {
            matching,
            to: RouteTo::Pools(pools.iter().map(|&pool| pool.to_owned()).collect()),
            failover: Failover::default(),
            resources: None,
        }
    }
}

/// Conditions of a route; all that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMatch {
    /// Host of the Request-URI, or `*.` and a domain for everything below it.
    pub domain: Option<String>,
    /// The zone that the request comes from.
    pub from_zone: Option<String>,
    /// Methods, upper case.
    pub methods: Vec<String>,
    /// The peer that the request comes from.
    pub peer: Option<String>,
    /// Begin of the user part of the Request-URI.
    pub prefix: Option<String>,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTo {
    /// Pools, the next one once no target of one before is left.
    Pools(Vec<String>),
    /// The destination in the Request-URI, by DNS. For zones that are trusted.
    RequestUri,
}

/// Faults in the configuration of pools and routes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("failover code {code} is an answer: no other target is tried after it")]
    AnswerCode { code: u16 },
    #[error("codes {from}-{to} are no range of final responses")]
    CodeRange { from: u16, to: u16 },
    #[error("pool {pool} has the resource {resource} twice on {uri}")]
    DoubleResource {
        pool: String,
        uri: String,
        resource: String,
    },
    #[error("pool {pool} has {uri} twice")]
    DoubleTarget { pool: String, uri: String },
    #[error("there are two pools called {pool}")]
    DoublePool { pool: String },
    #[error("route {route} names no pool")]
    NoPool { route: usize },
    #[error("pool {pool} has no target")]
    NoTarget { pool: String },
    #[error("pool {pool}: target {uri}: {error}")]
    Target {
        pool: String,
        uri: String,
        error: DestinationError,
    },
    #[error("pool {pool}: {what} is {value}, but {limit} is the limit")]
    TooMany {
        pool: String,
        what: &'static str,
        value: usize,
        limit: usize,
    },
    #[error("route {route} names the pool {pool}, which does not exist")]
    UnknownPool { route: usize, pool: String },
    #[error("route {route} asks for the resource {resource}, which no target of its pools has")]
    UnknownResource { route: usize, resource: String },
    #[error("{what} is zero")]
    Zero { what: &'static str },
}

impl PoolConfig {
    /// Bounds and values that stand for themselves; URIs are read when the pool is built.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let pool = || self.name.clone();
        let bound = |what, value, limit| {
            let error = || ConfigError::TooMany {
                pool: pool(),
                what,
                value,
                limit,
            };
            (value <= limit).then_some(()).ok_or_else(error)
        };
        if self.targets.is_empty() {
            return Err(ConfigError::NoTarget { pool: pool() });
        }
        bound(
            "the number of targets",
            self.targets.len(),
            limits::POOL_TARGETS,
        )?;
        for target in &self.targets {
            let weight = usize::try_from(target.weight).unwrap_or(usize::MAX);
            bound("a weight", weight, limits::TARGET_WEIGHT as usize)?;
            let resources = target.resources.len();
            bound(
                "the number of resources",
                resources,
                limits::TARGET_RESOURCES,
            )?;
            for (at, (name, _)) in target.resources.iter().enumerate() {
                let before = target.resources.iter().take(at);
                if before.into_iter().any(|(other, _)| other == name) {
                    return Err(ConfigError::DoubleResource {
                        pool: pool(),
                        uri: target.uri.clone(),
                        resource: name.clone(),
                    });
                }
            }
        }
        let probing = &self.probing;
        not_zero("the probing interval", !probing.interval.is_zero())?;
        not_zero("the probing timeout", !probing.timeout.is_zero())?;
        not_zero("the number of misses", probing.misses != 0)?;
        probing
            .alive
            .iter()
            .chain(&probing.failed)
            .try_for_each(|range| range.check())
    }
}

impl Failover {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        not_zero("the answer timeout", !self.answer_timeout.is_zero())?;
        not_zero("the ring timeout", !self.ring_timeout.is_zero())?;
        not_zero("the request timeout", !self.request_timeout.is_zero())?;
        for range in &self.codes {
            range.check()?;
            if let Some(code) = (range.0..=range.1).find(|code| Self::is_answer(*code)) {
                return Err(ConfigError::AnswerCode { code });
            }
        }
        Ok(())
    }
}

impl CodeRange {
    fn check(self) -> Result<(), ConfigError> {
        let Self(from, to) = self;
        let is_range = (200..=699).contains(&from) && (from..=699).contains(&to);
        let error = ConfigError::CodeRange { from, to };
        is_range.then_some(()).ok_or(error)
    }
}

fn not_zero(what: &'static str, holds: bool) -> Result<(), ConfigError> {
    holds.then_some(()).ok_or(ConfigError::Zero { what })
}
