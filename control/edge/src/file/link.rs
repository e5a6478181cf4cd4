//! `[[link]]`: what holds between two zones (spec §10). And what goes with it: `strip` (§5), and the
//! keys of tokens (§6).

use std::path::Path;
use std::time::Duration;

use toml::de::DeTable;
use windlass_toml::{Place, Placed, Reader};

use super::{DAY, named_zone, set};
use crate::config::{Config, Hiding, History, Link, SessionTimer, StripConfig, TokenSecret};
use crate::hygiene::Glob;
use crate::limits;
use crate::message::span::is_token;

/// Keys that say how a link hides.
const HIDING: [&str; 6] = [
    "hide_user",
    "hide_callid",
    "history",
    "agent",
    "pass_params",
    "pass_uri_params",
];

pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>, config: &mut Config) {
    let keys: Vec<&str> = ["zones", "session_timer", "anchor_media", "hide"]
        .into_iter()
        .chain(HIDING)
        .collect();
    for (at, table) in reader.tables(root, "link", &keys) {
        let zones = read_zones(reader, table, at, config);
        let session_timer = read_session_timer(reader, table);
        let anchors = reader.flag(table, "anchor_media");
        let hide = read_hiding(reader, table);
        if let Some(zones) = zones {
            config.links.push(Link {
                zones,
                hide,
                anchor_media: anchors.is_none_or(|anchors| anchors.value),
                session_timer,
            });
        }
    }
}

/// The two zones of a link, which no other link joins.
fn read_zones(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    at: Place,
    config: &Config,
) -> Option<[usize; 2]> {
    if !table.contains_key("zones") {
        reader.missing(at, "a link", "zones");
    }
    let names = reader.list::<String>(table, "zones", "the name of a zone")?;
    let zones: Vec<_> = names
        .iter()
        .map(|name| named_zone(reader, name, &config.zones))
        .collect();
    let [one, other] = zones[..] else {
        reader.problem_at(at, "`zones` of a link are two".to_owned());
        return None;
    };
    let zones = [one?, other?];
    let swapped = [zones[1], zones[0]];
    let mut before = config.links.iter();
    if before.any(|link| link.zones == zones || link.zones == swapped) {
        let message = "there is a link between these zones already".to_owned();
        reader.problem_at(at, message);
    }
    Some(zones)
}

fn read_session_timer(reader: &mut Reader<'_>, link: &DeTable<'_>) -> SessionTimer {
    let mut timer = SessionTimer::default();
    let keys = ["min_se", "insert", "interval"];
    let Some(table) = reader.section(link, "session_timer", &keys) else {
        return timer;
    };
    set(&mut timer.min_se, interval(reader, table, "min_se"));
    set(&mut timer.insert, reader.flag(table, "insert"));
    let said = interval(reader, table, "interval");
    if let Some(said) = said.filter(|said| said.value < timer.min_se) {
        let message = "`interval` of a session timer is shorter than its `min_se`";
        reader.problem_at(said.at, message.to_owned());
    } else {
        set(&mut timer.interval, said);
    }
    timer
}

/// A session interval: a time, or seconds as in SIP. None is shorter than 90 s (RFC 4028 §5).
fn interval(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Option<Placed<Duration>> {
    let is_number = table.get(key)?.get_ref().as_integer().is_some();
    if !is_number {
        return reader.duration(table, key, Duration::from_secs(90)..=DAY);
    }
    let seconds = reader.number(table, key, 90..=DAY.as_secs())?;
    Some(Placed {
        value: Duration::from_secs(seconds.value),
        at: seconds.at,
    })
}

fn read_hiding(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Hiding> {
    let hides = reader.flag(table, "hide").is_some_and(|hide| hide.value);
    if !hides {
        for key in HIDING {
            if let Some(value) = table.get(key) {
                let message = format!("`{key}` has no meaning without `hide = true`");
                reader.problem(value, &message);
            }
        }
        return None;
    }
    let mut hide = Hiding::default();
    set(&mut hide.user, reader.flag(table, "hide_user"));
    set(&mut hide.call_id, reader.flag(table, "hide_callid"));
    set(&mut hide.history, reader.word(table, "history", &HISTORY));
    if let Some(agent) = reader.string(table, "agent") {
        if agent.value.is_empty() || agent.value.chars().any(char::is_control) {
            let message = "`agent` is a text of one line such as \"Example\"".to_owned();
            reader.problem_at(agent.at, message);
        }
        hide.agent = Some(agent.value);
    }
    hide.params = read_params(reader, table, "pass_params");
    hide.uri_params = read_params(reader, table, "pass_uri_params");
    for name in ["did", "way"] {
        if hide.uri_params.iter().any(|param| param == name) {
            let message = format!("`pass_uri_params` cannot have \"{name}\", which is ours");
            reader.problem_at(Place::Whole, message);
        }
    }
    Some(hide)
}

fn read_params(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Vec<String> {
    let list = reader.list::<String>(table, key, "the name of a parameter");
    let mut names = Vec::new();
    for name in list.unwrap_or_default() {
        if name.value.is_empty() || !name.value.bytes().all(is_token) {
            let message = format!("\"{}\" is no name of a parameter", name.value);
            reader.problem_at(name.at, message);
        }
        names.push(name.value.to_ascii_lowercase());
    }
    names
}

/// Reads `strip` of a zone or a peer.
pub(super) fn read_strip(reader: &mut Reader<'_>, table: &DeTable<'_>) -> StripConfig {
    let mut strip = StripConfig::default();
    if let Some(table) = reader.section(table, "strip", &["in", "out"]) {
        strip.inward = read_globs(reader, table, "in");
        strip.outward = read_globs(reader, table, "out");
    }
    strip
}

fn read_globs(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Vec<String> {
    let list = reader.list::<String>(table, key, "the name of a header, with * for any letters");
    let list = list.unwrap_or_default();
    if let Some(first) = list.first().filter(|_| list.len() > limits::STRIP_GLOBS) {
        let message = format!("`{key}` has {} at most", limits::STRIP_GLOBS);
        reader.problem_at(first.at, message);
    }
    for glob in &list {
        if let Err(error) = glob.value.parse::<Glob>() {
            reader.problem_at(glob.at, format!("\"{}\": {error}", glob.value));
        }
    }
    list.into_iter().map(|glob| glob.value).collect()
}

/// Reads `token_keys` and `callid_prefix` of `[edge]`.
pub(super) fn read_secrets(
    reader: &mut Reader<'_>,
    edge: &DeTable<'_>,
    config: &mut Config,
    dir: &Path,
) {
    let files = reader.list::<String>(edge, "token_keys", "the name of a file");
    let files = files.unwrap_or_default();
    if let Some(third) = files.get(limits::TOKEN_KEYS) {
        let message = "`token_keys` are two at most: the one in use, and the one before it";
        reader.problem_at(third.at, message.to_owned());
    }
    config.token_secrets = files
        .iter()
        .filter_map(|file| read_secret(reader, file, dir))
        .collect();
    let Some(prefix) = reader.string(edge, "callid_prefix") else {
        return;
    };
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let length = prefix.value.len();
    if !(1..=limits::CALL_ID_PREFIX).contains(&length) || !prefix.value.bytes().all(is_letter) {
        let message = format!(
            "`callid_prefix` is \"{}\", expected one to {} letters, digits, \"-\", \".\" or \"_\"",
            prefix.value,
            limits::CALL_ID_PREFIX
        );
        reader.problem_at(prefix.at, message);
    }
    config.call_id_prefix = prefix.value;
}

fn read_secret(reader: &mut Reader<'_>, file: &Placed<String>, dir: &Path) -> Option<TokenSecret> {
    let path = dir.join(&file.value);
    let wrong = match std::fs::read_to_string(&path) {
        Ok(text) => match TokenSecret::read(&text) {
            Some(secret) => return Some(secret),
            None => "a token key is 64 hexadecimal digits, as `openssl rand -hex 32` makes them"
                .to_owned(),
        },
        Err(error) => error.to_string(),
    };
    reader.problem_at(file.at, format!("{}: {wrong}", path.display()));
    None
}

const HISTORY: [(&str, History); 3] = [
    ("keep", History::Keep),
    ("hosts", History::Hosts),
    ("remove", History::Remove),
];
