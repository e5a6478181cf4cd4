//! Settings of the screen (spec §12, §13, §19), and the screen made of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Config, StripConfig, Trust};
use crate::limit::{Categories, Limit, Pace, Template};
pub use crate::record::security::Format as LogFormat;
use crate::resolve::Destination;
use crate::screen::Screen;
use crate::screen::address::{Network, NetworkError};
use crate::screen::ban::Durations;
use crate::screen::check::ConfigError;
use crate::screen::config as rules;
use crate::screen::fingerprint::{Fingerprints, PatternError, Patterns};
use crate::screen::flood::Flood;
use crate::screen::list::List;
use crate::screen::verdict::{Do, Stage};

/// Screening. The defaults are those of spec §12: in zones that are not trusted, scanners and who
/// guesses passwords are banned, floods are dropped, and methods that phones do not need are
/// refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScreenConfig {
    /// What a banned source gets.
    pub on_banned: OnBanned,
    /// Addresses and networks (`192.0.2.0/24`) that are never banned or dropped as a flood. Those of
    /// upstreams are not either.
    pub never_ban: Vec<String>,
    /// Length of a ban on evidence that cannot be forged. Default 1 h.
    pub ban: Option<Duration>,
    /// Length of the first ban on other evidence; it doubles with each. Default 60 s.
    pub unverified_ban: Option<Duration>,
    /// Of 100: the time of a busy shard that sources get which are not trusted. Default 30.
    pub untrusted_share: Option<u8>,
    /// Messages of one address that are too many.
    pub flood: FloodConfig,
    /// Software that scans.
    pub fingerprints: FingerprintConfig,
    /// Methods that are relayed.
    pub methods: MethodPolicy,
    /// Guessing of passwords.
    pub auth_failures: AuthFailureLimits,
    /// Requests a second, per key.
    pub rates: Vec<RateLimit>,
    /// Parties that are known by their address.
    pub peers: Vec<PeerConfig>,
    /// Calls at once and calls a second, per key.
    pub limits: Vec<CallLimit>,
    /// Numbers that may not be called, or call.
    pub lists: Vec<NumberList>,
    /// Categories of called numbers, for limits.
    pub categories: Vec<NumberCategory>,
}

/// A list of numbers (spec §19, `[[screen.list]]`), read when the edge starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberList {
    /// Its name.
    pub name: String,
    /// CSV with the columns `prefix`, `action` (`allow` or `deny`) and, if wanted, `user`.
    pub file: PathBuf,
    /// It is about the calling number, not the called one.
    pub caller: bool,
}

/// A category of called numbers (spec §19, `[[category]]`), read when the edge starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberCategory {
    /// Its name.
    pub name: String,
    /// CSV with the column `prefix`.
    pub file: PathBuf,
}

/// What a banned source gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBanned {
    /// Nothing.
    #[default]
    Drop,
    /// 200 to REGISTER and OPTIONS, so that it believes in success; nothing to other methods.
    Fake200,
}

/// Messages of one address that are too many (spec §19, `[screen.flood]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloodConfig {
    /// Whether they are counted. Default on.
    pub enabled: bool,
    /// Messages of an unknown address in a window. Default 30.
    pub limit: u32,
    /// Default 2 s.
    pub window: Duration,
    /// How long a flooding address is dropped. Default 120 s.
    pub hold: Duration,
}

impl Default for FloodConfig {
    fn default() -> Self {
        let flood = Flood::default();
        Self {
            enabled: true,
            limit: flood.limit,
            window: flood.window,
            hold: flood.hold,
        }
    }
}

/// Software that scans (spec §19, `[screen.fingerprints]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FingerprintConfig {
    /// Whether it is looked for. Default on.
    pub enabled: bool,
    /// Adds the list that comes with the edge. Default on.
    pub use_shipped: bool,
    /// Regular expressions that are searched in User-Agent.
    pub user_agent: Vec<String>,
    /// Hosts in From.
    pub from_host: Vec<String>,
    /// Users in From.
    pub from_user: Vec<String>,
}

impl Default for FingerprintConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            use_shipped: true,
            user_agent: Vec::new(),
            from_host: Vec::new(),
            from_user: Vec::new(),
        }
    }
}

/// Methods of zones that are not trusted (spec §19, `[screen.methods]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodPolicy {
    /// Methods that are relayed, in upper case. `None`: those of spec §12; empty: all.
    pub allow: Option<Vec<String>>,
    /// Status code for others, 400 to 699. Default 405.
    pub deny_code: Option<u16>,
}

/// Guessing of passwords (spec §19, `[screen.auth_failures]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthFailureLimits {
    /// The failure in a window that bans. Default 6.
    pub max: u32,
    /// Default 300 s.
    pub window: Duration,
}

impl Default for AuthFailureLimits {
    fn default() -> Self {
        let rules::AuthFailures { max, window } = rules::AuthFailures::default();
        Self { max, window }
    }
}

/// Requests a second (spec §19, `[[screen.rate]]`). More are refused with 503.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Name in logs.
    pub name: String,
    /// What counts together, such as `{ruri_user}`. There are the fields `category`, `method`,
    /// `peer`, `ruri_user`, `src_ip`, `user` and `zone`.
    pub key: String,
    /// Methods that count, in upper case. Empty: all.
    pub methods: Vec<String>,
    /// Requests a second.
    pub rate: u32,
    /// Requests at once.
    pub burst: u32,
}

/// A party that is known by its address (spec §19, `[[peer]]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerConfig {
    /// Name in limits and records.
    pub name: String,
    /// Index of the zone it comes by. `None`: any.
    pub zone: Option<usize>,
    /// Its addresses and networks.
    pub source: Vec<String>,
    /// Calls at once. `None`: any number.
    pub calls: Option<u32>,
    /// Calls a second. `None`: any number.
    pub cps: Option<u32>,
    /// Longest call. `None`: that of the edge.
    pub max_call: Option<Duration>,
    /// Headers that are removed from what comes from it, and from what goes to it.
    pub strip: StripConfig,
}

/// A class of calls (spec §19, `[[limit]]`). More calls at once are refused with 403, more calls a
/// second with 503.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLimit {
    /// Name in logs.
    pub name: String,
    /// What counts together; see [`RateLimit::key`].
    pub key: String,
    /// Only calls to numbers of this category.
    pub category: Option<String>,
    /// Calls at once. `None`: any number.
    pub calls: Option<u32>,
    /// Calls a second. `None`: any number.
    pub cps: Option<u32>,
    /// Longest call. `None`: that of the edge.
    pub max_call: Option<Duration>,
}

/// The security log (spec §16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityLogConfig {
    /// Its file.
    pub file: PathBuf,
    /// Form of its lines.
    pub format: LogFormat,
    /// A new file each day (UTC).
    pub daily: bool,
}

/// Call records (spec §15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdrConfig {
    /// Their file: one JSON object a line.
    pub file: PathBuf,
    /// A new file each day (UTC).
    pub daily: bool,
    /// Also calls that nobody answered: cancelled, busy, declined.
    pub missed: bool,
    /// Also calls that were refused or reached no target.
    pub failed: bool,
}

/// Something that is wrong, and the text in the file that it is about: a name, a network, a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) about: String,
    pub(crate) text: String,
}

impl Wrong {
    fn new(about: &str, text: impl Into<String>) -> Self {
        Self {
            about: about.to_owned(),
            text: text.into(),
        }
    }
}

/// The screen of a configuration; `None` if it has none.
///
/// # Errors
///
/// Names everything in it that cannot be used.
pub(crate) fn screen(config: &Config, now: Instant) -> io::Result<Option<Arc<Screen>>> {
    let Some(settings) = &config.screen else {
        return Ok(None);
    };
    let made = made(config, settings, |rules, categories| {
        Screen::new(rules, categories, now)
    });
    let made = made.map_err(|wrong| {
        let texts: Vec<String> = wrong.into_iter().map(|wrong| wrong.text).collect();
        let message = format!("screening: {}", texts.join("; "));
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })?;
    Ok(Some(made.in_force()))
}

/// The screen that `make` makes of the settings, if all of them can be used, and its lists.
fn made(
    config: &Config,
    settings: &ScreenConfig,
    make: impl FnOnce(rules::Config, Arc<Categories>) -> Result<Screen, PatternError>,
) -> Result<Rescreened, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let rules = rules_of(config, settings, &mut wrong);
    wrong.extend(rules.check().iter().map(ConfigError::told));
    let (categories, lists) = load(settings, &mut wrong);
    if wrong.is_empty() {
        match make(rules, Arc::new(categories)) {
            Ok(screen) => return Ok(Rescreened { screen, lists }),
            Err(error) => wrong.push(Wrong::new("", error.to_string())),
        }
    }
    Err(wrong)
}

/// A screen, and the lists to be put into it.
#[derive(Debug)]
pub(crate) struct Rescreened {
    screen: Screen,
    lists: Vec<(String, List)>,
}

/// The screen of another configuration over the tables of `before`. Nothing has changed before
/// [`Rescreened::in_force`].
///
/// # Errors
/// Everything that cannot be used.
pub(crate) fn rescreen(before: &Screen, config: &Config) -> Result<Rescreened, Vec<String>> {
    let settings = config.screen.clone().unwrap_or_default();
    let made = made(config, &settings, |rules, categories| {
        before.reload(rules, categories)
    });
    made.map_err(|wrong| {
        // One line for each row of a list.
        let lines = wrong.iter().flat_map(|wrong| wrong.text.lines());
        lines.map(str::to_owned).collect()
    })
}

impl Rescreened {
    /// The screen, with its lists.
    pub(crate) fn in_force(self) -> Arc<Screen> {
        for (name, list) in self.lists {
            if let Some(place) = self.screen.list(&name) {
                *place.write() = list;
            }
        }
        self.screen.spare();
        Arc::new(self.screen)
    }
}

/// What is wrong with the settings of the screen; empty if nothing is. Names
/// that are there twice are for the reader of the file, who knows their place.
pub(crate) fn problems(config: &Config) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if let Some(settings) = &config.screen {
        let rules = rules_of(config, settings, &mut wrong);
        let mut errors = rules.check();
        errors.retain(|error| !matches!(error, ConfigError::Twice { .. }));
        wrong.extend(errors.iter().map(ConfigError::told));
        load(settings, &mut wrong);
        // One by one, to know which of them it is.
        for pattern in &settings.fingerprints.user_agent {
            let alone = Patterns {
                user_agent: vec![pattern.clone()],
                ..Patterns::default()
            };
            let error = Fingerprints::compile(alone).err();
            wrong.extend(error.map(|error| Wrong::new(pattern, error.to_string())));
        }
        if wrong.is_empty() {
            let error = Fingerprints::compile(rules.fingerprints).err();
            wrong.extend(error.map(|error| Wrong::new("", error.to_string())));
        }
    }
    wrong
}

/// The files of lists and categories.
fn load(settings: &ScreenConfig, wrong: &mut Vec<Wrong>) -> (Categories, Vec<(String, List)>) {
    let mut categories = Categories::default();
    let mut lists = Vec::new();
    for category in &settings.categories {
        if let Some((file, text)) = text_of(&category.file, wrong) {
            let added = categories.add(&category.name, &file, &text, false);
            wrong.extend(added.err().map(|e| Wrong::new(&file, e.to_string())));
        }
    }
    for list in &settings.lists {
        if let Some((file, text)) = text_of(&list.file, wrong) {
            match List::read(&file, &text, false) {
                Ok((read, _)) => lists.push((list.name.clone(), read)),
                Err(errors) => wrong.push(Wrong::new(&file, errors.to_string())),
            }
        }
    }
    (categories, lists)
}

fn text_of(file: &Path, wrong: &mut Vec<Wrong>) -> Option<(String, String)> {
    let name = file.display().to_string();
    match std::fs::read_to_string(file) {
        Ok(text) => Some((name, text)),
        Err(error) => {
            wrong.push(Wrong::new(&name, format!("{name}: {error}")));
            None
        }
    }
}

fn rules_of(config: &Config, settings: &ScreenConfig, wrong: &mut Vec<Wrong>) -> rules::Config {
    let durations = Durations::default();
    let mut never_ban = networks(&settings.never_ban, wrong);
    let targets = config.upstreams.iter().flat_map(|u| &u.targets);
    // Those of names are known by what they answer, as any other party.
    let addresses = targets.filter_map(|target| {
        let destination = Destination::parse(target.uri.as_bytes()).ok()?;
        Some(destination.direct()?.peer.ip())
    });
    never_ban.extend(addresses.map(Network::from));
    let named = config
        .routes
        .iter()
        .filter_map(|rule| rule.matching.domain.clone());
    let mut domains = config.register.domains.clone();
    if !domains.is_empty() {
        domains.extend(named.map(|domain| domain.to_ascii_lowercase()));
    }
    let prints = &settings.fingerprints;
    let mut rules = rules::Config {
        zones: config.zones.iter().map(|z| zone_of(z, settings)).collect(),
        never_ban,
        domains,
        bans: Durations {
            verified: settings.ban.unwrap_or(durations.verified),
            unverified: settings.unverified_ban.unwrap_or(durations.unverified),
        },
        auth_failures: rules::AuthFailures {
            max: settings.auth_failures.max,
            window: settings.auth_failures.window,
        },
        fingerprints: Patterns {
            use_shipped: prints.use_shipped,
            user_agent: prints.user_agent.clone(),
            from_user: prints.from_user.clone(),
            from_host: prints.from_host.clone(),
            ..Patterns::default()
        },
        ..rules::Config::default()
    };
    rules.untrusted_share = settings.untrusted_share.unwrap_or(rules.untrusted_share);
    for rate in &settings.rates {
        if let Some(key) = template(&rate.name, &rate.key, wrong) {
            rules.rates.push(rules::Rate {
                name: rate.name.clone(),
                key,
                methods: rate.methods.clone(),
                rate: rate.rate,
                burst: rate.burst,
            });
        }
    }
    rules
        .lists
        .extend(settings.lists.iter().map(|list| rules::ListFile {
            name: list.name.clone(),
            side: match list.caller {
                true => rules::Side::Caller,
                false => rules::Side::Called,
            },
        }));
    for limit in &settings.limits {
        let is_known = |name: &String| settings.categories.iter().any(|c| c.name == *name);
        if let Some(name) = limit.category.as_ref().filter(|name| !is_known(name)) {
            let text = format!("{:?}: no category is called {name:?}", limit.name);
            wrong.push(Wrong::new(&limit.name, text));
        }
        if let Some(key) = template(&limit.name, &limit.key, wrong) {
            rules.limits.push(Limit {
                category: limit.category.clone(),
                calls: limit.calls,
                cps: limit.cps.map(pace),
                max_call: limit.max_call,
                ..Limit::new(&limit.name, key)
            });
        }
    }
    for peer in &settings.peers {
        add_peer(peer, &mut rules, wrong);
    }
    rules
}

fn add_peer(peer: &PeerConfig, rules: &mut rules::Config, wrong: &mut Vec<Wrong>) {
    let sources = networks(&peer.source, wrong).into_iter();
    rules.peers.push(rules::Peer {
        name: peer.name.clone(),
        zone: peer
            .zone
            .map(|zone| u16::try_from(zone).unwrap_or(u16::MAX)),
        sources: sources
            .map(|network| rules::PeerSource {
                network,
                port: None,
                protocol: None,
                certificate: None,
            })
            .collect(),
        users: Vec::new(),
    });
    if (peer.calls, peer.cps, peer.max_call) == (None, None, None) {
        return;
    }
    if let Some(key) = template(&peer.name, "{peer}", wrong) {
        // Apart from the names of limits.
        let name = format!("peer {}", peer.name);
        rules.limits.push(Limit {
            peer: Some(peer.name.clone()),
            calls: peer.calls,
            cps: peer.cps.map(pace),
            max_call: peer.max_call,
            ..Limit::new(&name, key)
        });
    }
}

impl ConfigError {
    fn told(&self) -> Wrong {
        let about = match self {
            Self::Action { zone, .. } | Self::Code { zone, .. } | Self::FloodWindow { zone } => {
                zone
            }
            Self::Limit { name, .. } | Self::Rate { name } | Self::Twice { name, .. } => name,
            Self::Zone { peer } => peer,
            Self::Share(_) => "",
        };
        // Those of a peer have its name with a word before it.
        let about = about.strip_prefix("peer ").unwrap_or(about);
        Wrong::new(about, self.to_string())
    }
}

fn pace(rate: u32) -> Pace {
    Pace { rate, burst: rate }
}

fn template(name: &str, text: &str, wrong: &mut Vec<Wrong>) -> Option<Template> {
    let parsed = Template::parse(text);
    parsed
        .map_err(|error| wrong.push(Wrong::new(name, format!("{name:?}: {error}"))))
        .ok()
}

fn networks(texts: &[String], wrong: &mut Vec<Wrong>) -> Vec<Network> {
    let mut networks = Vec::new();
    for text in texts {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(error) => {
                let error: NetworkError = error;
                wrong.push(Wrong::new(text, format!("{text:?}: {error}")));
            }
        }
    }
    networks
}

fn zone_of(zone: &crate::config::Zone, settings: &ScreenConfig) -> rules::Zone {
    let mut rules = rules::Zone::new(&zone.name, zone.trust);
    let mut change = |stage, enabled: bool, action: Option<Do>| {
        let mut policy = rules.stages.of(stage);
        policy.enabled &= enabled;
        policy.action = action.unwrap_or(policy.action);
        rules.stages.set(stage, policy);
    };
    change(Stage::Flood, settings.flood.enabled, None);
    change(Stage::Fingerprints, settings.fingerprints.enabled, None);
    let fakes = settings.on_banned == OnBanned::Fake200;
    change(Stage::Bans, true, fakes.then_some(Do::Fake200));
    change(
        Stage::Methods,
        true,
        settings.methods.deny_code.map(Do::Reject),
    );
    rules.flood = Flood {
        limit: settings.flood.limit,
        window: settings.flood.window,
        hold: settings.flood.hold,
        ..Flood::default()
    };
    if let Some(methods) = &settings.methods.allow
        && zone.trust == Trust::Untrusted
    {
        rules.methods.clone_from(methods);
    }
    rules
}
