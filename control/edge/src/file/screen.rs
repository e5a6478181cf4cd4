//! `[screen]`, `[[peer]]`, `[[limit]]`, and the logs of `[log]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;
use windlass_toml::{Place, Placed, Reader};

use super::{DAY, LOG_KEYS, named_zone, refuse_double, set};
use crate::config::Config;
use crate::guard::settings::{self, LogFormat};
use crate::guard::{
    CallLimit, CdrConfig, NumberCategory, NumberList, OnBanned, PeerConfig, RateLimit,
    ScreenConfig, SecurityLogConfig,
};

/// Where the texts stand that something may be wrong about.
#[derive(Debug, Default)]
struct Places(Vec<(String, Place)>);

impl Places {
    fn note(&mut self, text: &str, at: Place) {
        self.0.push((text.to_owned(), at));
    }

    fn of(&self, text: &str) -> Place {
        let found = self.0.iter().find(|(other, _)| other == text);
        found.map_or(Place::Whole, |(_, at)| *at)
    }
}

pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>, config: &mut Config, dir: &Path) {
    const KEYS: [&str; 11] = [
        "on_banned",
        "untrusted_share",
        "never_ban",
        "ban",
        "unverified_ban",
        "flood",
        "fingerprints",
        "methods",
        "auth_failures",
        "rate",
        "list",
    ];
    let mut screen = ScreenConfig::default();
    let mut places = Places::default();
    if let Some(table) = reader.section(root, "screen", &KEYS) {
        set(
            &mut screen.on_banned,
            reader.word(table, "on_banned", &ON_BANNED),
        );
        screen.never_ban = texts(reader, table, "never_ban", NETWORK, &mut places);
        let ban = reader.duration(table, "ban", SECOND..=DAY * 365);
        screen.ban = ban.map(|ban| ban.value);
        let ban = reader.duration(table, "unverified_ban", SECOND..=DAY);
        screen.unverified_ban = ban.map(|ban| ban.value);
        let share = reader.number(table, "untrusted_share", 0..=100);
        screen.untrusted_share = share.map(|share| share.value);
        read_stages(reader, table, &mut screen, &mut places);
        read_rates(reader, table, &mut screen.rates, &mut places);
        for (at, table) in reader.tables(table, "list", &["name", "file", "side"]) {
            let Some((name, file)) = named(reader, table, at, "a list", "file") else {
                continue;
            };
            places.note(&dir.join(&file).display().to_string(), at);
            let before = screen.lists.iter().map(|list| &*list.name);
            refuse_double(reader, &name, "list", before);
            let caller = reader.word(table, "side", &[("called", false), ("caller", true)]);
            screen.lists.push(NumberList {
                name: name.value,
                file: dir.join(file),
                caller: caller.is_some_and(|caller| caller.value),
            });
        }
    }
    for (at, table) in reader.tables(root, "category", &["name", "file"]) {
        if let Some((name, file)) = named(reader, table, at, "a category", "file") {
            places.note(&dir.join(&file).display().to_string(), at);
            let before = screen.categories.iter().map(|category| &*category.name);
            refuse_double(reader, &name, "category", before);
            screen.categories.push(NumberCategory {
                name: name.value,
                file: dir.join(file),
            });
        }
    }
    read_peers(reader, root, config, &mut screen.peers, &mut places);
    const LIMIT: [&str; 6] = ["name", "key", "category", "calls", "cps", "max_call"];
    for (at, table) in reader.tables(root, "limit", &LIMIT) {
        let Some((name, key)) = named(reader, table, at, "a limit", "key") else {
            continue;
        };
        places.note(&name.value, name.at);
        let before = screen.limits.iter().map(|limit| &*limit.name);
        refuse_double(reader, &name, "limit", before);
        let (calls, cps) = bounds(reader, table);
        let category = reader.string(table, "category");
        screen.limits.push(CallLimit {
            name: name.value,
            key,
            category: category.map(|category| category.value),
            calls,
            cps,
            max_call: max_call(reader, table),
        });
    }
    config.screen = Some(screen);
    for problem in settings::problems(config) {
        let at = places.of(&problem.about);
        reader.problem_at(at, format!("screening: {}", problem.text));
    }
    read_logs(reader, root, config, dir);
}

fn read_stages(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    screen: &mut ScreenConfig,
    places: &mut Places,
) {
    let counts = 1..=1_000_000;
    let keys = ["enabled", "limit", "window", "hold"];
    if let Some(table) = reader.section(table, "flood", &keys) {
        let flood = &mut screen.flood;
        set(&mut flood.enabled, reader.flag(table, "enabled"));
        set(
            &mut flood.limit,
            reader.number(table, "limit", counts.clone()),
        );
        let window = reader.duration(table, "window", SECOND..=DAY);
        set(&mut flood.window, window);
        set(
            &mut flood.hold,
            reader.duration(table, "hold", SECOND..=DAY),
        );
    }
    let keys = [
        "enabled",
        "use_shipped",
        "user_agent",
        "from_host",
        "from_user",
    ];
    if let Some(table) = reader.section(table, "fingerprints", &keys) {
        let prints = &mut screen.fingerprints;
        set(&mut prints.enabled, reader.flag(table, "enabled"));
        set(&mut prints.use_shipped, reader.flag(table, "use_shipped"));
        prints.user_agent = texts(reader, table, "user_agent", "a regular expression", places);
        prints.from_host = texts(reader, table, "from_host", "a host", places);
        prints.from_user = texts(reader, table, "from_user", "a user", places);
    }
    if let Some(table) = reader.section(table, "methods", &["deny_code", "allow"]) {
        let code = reader.number(table, "deny_code", 400..=699);
        screen.methods.deny_code = code.map(|code| code.value);
        let allow = reader.list::<String>(table, "allow", METHOD);
        screen.methods.allow = allow.map(|allow| allow.into_iter().map(|m| m.value).collect());
    }
    if let Some(table) = reader.section(table, "auth_failures", &["max", "window"]) {
        let bounds = &mut screen.auth_failures;
        set(&mut bounds.max, reader.number(table, "max", counts));
        let window = reader.duration(table, "window", SECOND..=DAY);
        set(&mut bounds.window, window);
    }
}

fn read_rates(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    rates: &mut Vec<RateLimit>,
    places: &mut Places,
) {
    const KEYS: [&str; 5] = ["name", "key", "methods", "rate", "burst"];
    for (at, table) in reader.tables(table, "rate", &KEYS) {
        let Some((name, key)) = named(reader, table, at, "a rate", "key") else {
            continue;
        };
        places.note(&name.value, name.at);
        refuse_double(reader, &name, "rate", rates.iter().map(|rate| &*rate.name));
        let mut rate = RateLimit {
            name: name.value,
            key,
            methods: texts(reader, table, "methods", METHOD, places),
            rate: 50,
            burst: 50,
        };
        set(&mut rate.rate, reader.number(table, "rate", 1..=1_000_000));
        set(
            &mut rate.burst,
            reader.number(table, "burst", 1..=1_000_000),
        );
        rates.push(rate);
    }
}

fn read_peers(
    reader: &mut Reader<'_>,
    root: &DeTable<'_>,
    config: &Config,
    peers: &mut Vec<PeerConfig>,
    places: &mut Places,
) {
    const PEER: [&str; 6] = ["name", "zone", "source", "targets", "limits", "max_call"];
    for (at, table) in reader.tables(root, "peer", &PEER) {
        for key in ["name", "source"] {
            if !table.contains_key(key) {
                reader.missing(at, "a peer", key);
            }
        }
        let Some(name) = reader.string(table, "name") else {
            continue;
        };
        places.note(&name.value, name.at);
        refuse_double(reader, &name, "peer", peers.iter().map(|peer| &*peer.name));
        let zone = reader.string(table, "zone");
        let zone = zone.and_then(|zone| named_zone(reader, &zone, &config.zones));
        let mut peer = PeerConfig {
            name: name.value,
            zone,
            source: texts(reader, table, "source", NETWORK, places),
            max_call: max_call(reader, table),
            ..PeerConfig::default()
        };
        if let Some(table) = reader.section(table, "limits", &["calls", "cps"]) {
            (peer.calls, peer.cps) = bounds(reader, table);
        }
        peers.push(peer);
    }
}

fn read_logs(reader: &mut Reader<'_>, root: &DeTable<'_>, config: &mut Config, dir: &Path) {
    // Who reads the whole file knows all keys of `[log]`.
    let Some(log) = root.get("log").and_then(|log| log.get_ref().as_table()) else {
        return;
    };
    let [security, cdr] = LOG_KEYS;
    if let Some(table) = reader.section(log, security, &["file", "format", "rotate"])
        && let Some((file, daily)) = log_file(reader, table, dir)
    {
        let format = reader.word(table, "format", &FORMAT);
        config.security_log = Some(SecurityLogConfig {
            file,
            format: format.map_or(LogFormat::Fields, |format| format.value),
            daily,
        });
    }
    if let Some(table) = reader.section(log, cdr, &["file", "rotate", "missed", "failed"])
        && let Some((file, daily)) = log_file(reader, table, dir)
    {
        let mut cdr = CdrConfig {
            file,
            daily,
            missed: true,
            failed: true,
        };
        set(&mut cdr.missed, reader.flag(table, "missed"));
        set(&mut cdr.failed, reader.flag(table, "failed"));
        config.cdr = Some(cdr);
    }
}

fn log_file(reader: &mut Reader<'_>, table: &DeTable<'_>, dir: &Path) -> Option<(PathBuf, bool)> {
    if !table.contains_key("file") {
        reader.missing(Place::Whole, "a log", "file");
    }
    let daily = reader.word(table, "rotate", &[("never", false), ("daily", true)]);
    let file = reader.string(table, "file")?;
    Some((dir.join(file.value), daily.is_some_and(|daily| daily.value)))
}

/// The name, and the text that it cannot be without.
fn named(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    at: Place,
    what: &str,
    needed: &str,
) -> Option<(Placed<String>, String)> {
    for key in ["name", needed] {
        if !table.contains_key(key) {
            reader.missing(at, what, key);
        }
    }
    let name = reader.string(table, "name");
    let text = reader.string(table, needed);
    Some((name?, text?.value))
}

fn bounds(reader: &mut Reader<'_>, table: &DeTable<'_>) -> (Option<u32>, Option<u32>) {
    let most = 1..=10_000_000;
    let calls = reader.number(table, "calls", most.clone());
    let cps = reader.number(table, "cps", most);
    (calls.map(|n| n.value), cps.map(|n| n.value))
}

fn max_call(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Duration> {
    let longest = reader.duration(table, "max_call", SECOND..=DAY);
    longest.map(|longest| longest.value)
}

fn texts(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    key: &str,
    what: &str,
    places: &mut Places,
) -> Vec<String> {
    let list = reader.list::<String>(table, key, what).unwrap_or_default();
    let texts = list.into_iter().map(|text| {
        places.note(&text.value, text.at);
        text.value
    });
    texts.collect()
}

const SECOND: Duration = Duration::from_secs(1);

const NETWORK: &str = "an address or network such as \"192.0.2.0/24\"";

const METHOD: &str = "a method in upper case";

const ON_BANNED: [(&str, OnBanned); 2] = [("drop", OnBanned::Drop), ("fake200", OnBanned::Fake200)];

const FORMAT: [(&str, LogFormat); 3] = [
    ("fields", LogFormat::Fields),
    ("pipe", LogFormat::Pipe),
    ("json", LogFormat::Json),
];
