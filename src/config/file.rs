//! The TOML file: text to draft, noting every mistake with its place.

use std::fs;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use windlass_toml::{Place, Placed, Problem, Problems, Reader, Value};

use super::check::check;
use super::codec::{Above, List, Maybe, Whole};
use super::draft::{Draft, DraftEdge, DraftInterface, Groups};
use super::flags::Flags;
use super::names::Names;
use super::setting::{Group as _, take};
use super::topic::{Destinations, YEAR};
use super::{Config, Family, LogFormat};
use crate::media::latch::Learning;

/// Reads the file, if any, lays the flags over it and checks the whole.
pub(super) fn load(path: Option<&Path>, flags: &Flags, names: &Names) -> Result<Config, Problems> {
    let with_path = |list| Problems {
        path: path.map(Path::to_path_buf),
        list,
    };
    let text = match path {
        None => String::new(),
        Some(path) => fs::read_to_string(path).map_err(|error| {
            with_path(vec![Problem {
                at: Place::Whole,
                message: format!("cannot be read: {error}"),
            }])
        })?,
    };
    let dir = path.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    parse_in(&text, dir, flags, names).map_err(with_path)
}

/// Parses and checks the text of a file with flags laid over it.
///
/// # Errors
/// Every problem, in order of place.
pub fn parse(text: &str, flags: &Flags, names: &Names) -> Result<Config, Vec<Problem>> {
    parse_in(text, Path::new(""), flags, names)
}

/// As [`parse`], of a file in `dir`, which names of files are relative to.
fn parse_in(text: &str, dir: &Path, flags: &Flags, names: &Names) -> Result<Config, Vec<Problem>> {
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    let broken = !syntax_errors.is_empty();
    let mut problems: Vec<Problem> = syntax_errors
        .iter()
        .map(|error| Problem {
            at: Place::of(text, error.span().map_or(0, |span| span.start)),
            message: error.message().trim().replace('\n', ", "),
        })
        .collect();
    // The first error of a line is the cause, the others follow from it.
    problems.dedup_by_key(|problem| line_of(problem.at));
    let mut reader = Reader::new(text);
    let mut draft = self::document(&mut reader, document.get_ref(), dir);
    flags.lay_over(&mut draft);
    let mut found = reader.problems;
    let config = check(draft, names, &mut found);
    // What the parser made of a broken line says nothing, and what seems to be missing from a
    // half-read file may stand in it.
    let broken_lines: Vec<Option<usize>> = problems.iter().map(|p| line_of(p.at)).collect();
    found.retain(|problem| {
        !broken || problem.at != Place::Whole && !broken_lines.contains(&line_of(problem.at))
    });
    problems.append(&mut found);
    if problems.is_empty() {
        return Ok(config);
    }
    problems.sort_by_key(|problem| problem.at);
    Err(problems)
}

fn line_of(place: Place) -> Option<usize> {
    match place {
        Place::File { line, .. } => Some(line),
        Place::Argument(_) | Place::Flag(_) | Place::Whole => None,
    }
}

/// Places of the entries of a list of [control].
fn entry_places(reader: &Reader<'_>, root: &DeTable<'_>, key: &str) -> Vec<Place> {
    let control = root
        .get("control")
        .and_then(|value| value.get_ref().as_table());
    let list = control.and_then(|control| control.get(key)?.get_ref().as_array());
    let entries = list.into_iter().flat_map(|list| list.iter());
    entries.map(|entry| reader.place(entry)).collect()
}

fn document(reader: &mut Reader<'_>, root: &DeTable<'_>, dir: &Path) -> Draft {
    const SECTIONS: [&str; 11] = [
        "interface",
        "aliases",
        "templates",
        "ports",
        "ng",
        "media",
        "timeouts",
        "limits",
        "log",
        "workers",
        "edge",
    ];
    let mut draft = Draft::default();
    let known = [
        &SECTIONS[..],
        &windlass_edge::file::SECTIONS,
        Groups::SECTIONS,
    ];
    reader.refuse_unknown("", root, &known.concat());
    draft.groups = Groups::read(reader, root);
    draft.control_places = ["cli", "http", "https"].map(|key| entry_places(reader, root, key));
    if let Some(value) = root.get("interface") {
        draft.interfaces = interfaces(reader, value);
    }
    if let Some(aliases) = names(reader, root, "aliases") {
        draft.aliases = aliases.into_iter().collect();
    }
    if let Some(templates) = names(reader, root, "templates") {
        let plain = templates.into_iter().map(|(name, text)| (name, text.value));
        draft.templates = plain.collect();
    }
    if let Some(ports) = reader.section(root, "ports", &["min", "max"]) {
        draft.port_min = reader.number(ports, "min", 1..=65_535);
        draft.port_max = reader.number(ports, "max", 1..=65_535);
    }
    if let Some(ng) = reader.section(root, "ng", &["udp", "tcp"]) {
        draft.ng_udp = reader.list(ng, "udp", SOCKET_ADDRESS);
        draft.ng_tcp = reader.list(ng, "tcp", SOCKET_ADDRESS);
    }
    let own = &["learning", "signalling_hops", "tos"][..];
    let of_edge = &windlass_edge::file::MEDIA_KEYS;
    let media = [own, Destinations::KEYS, of_edge].concat();
    if let Some(media) = reader.section(root, "media", &media) {
        refuse_without_zones(reader, root, media, of_edge);
        draft.destinations.read(reader, media);
        draft.learning = reader.word(media, "learning", &LEARNING);
        draft.signalling_hops = reader.list(media, "signalling_hops", ADDRESS);
        draft.tos = reader.number(media, "tos", 0..=255);
    }
    let timeouts = ["media", "silent", "offer", "final", "delete_delay"];
    if let Some(timeouts) = reader.section(root, "timeouts", &timeouts) {
        draft.timeout_media = reader.number(timeouts, "media", 1..=YEAR);
        draft.timeout_silent = reader.number(timeouts, "silent", 1..=YEAR);
        draft.timeout_offer = reader.number(timeouts, "offer", 1..=YEAR);
        draft.timeout_final = reader.number(timeouts, "final", 0..=YEAR);
        draft.delete_delay = reader.number(timeouts, "delete_delay", 0..=YEAR);
    }
    let limits = ["max_sessions", "max_load", "max_cpu", "max_bandwidth"];
    if let Some(limits) = reader.section(root, "limits", &limits) {
        draft.max_load = take(reader, limits, "max_load", &Above).flatten();
        draft.max_cpu = take(reader, limits, "max_cpu", &Above).flatten();
        let bandwidth = Maybe(Whole(1..=u64::MAX));
        draft.max_bandwidth = take(reader, limits, "max_bandwidth", &bandwidth).flatten();
        draft.max_sessions = reader.number(limits, "max_sessions", 0..=u32::MAX.into());
    }
    let keys = [&["level", "format"][..], &windlass_edge::file::LOG_KEYS].concat();
    if let Some(log) = reader.section(root, "log", &keys) {
        draft.log_level = reader.string(log, "level");
        draft.log_format = reader.word(log, "format", &LOG_FORMAT);
        refuse_without_zones(reader, root, log, &windlass_edge::file::LOG_KEYS);
    }
    if let Some(workers) = reader.section(root, "workers", &["count"]) {
        draft.workers = reader.number(workers, "count", 1..=1024);
    }
    match windlass_edge::file::has_zones(root) {
        true => draft.zones = windlass_edge::file::read(reader, root, dir),
        false => draft.edge = edge(reader, root),
    }
    draft
}

/// Keys of a table that only an edge with zones has.
fn refuse_without_zones(
    reader: &mut Reader<'_>,
    root: &DeTable<'_>,
    table: &DeTable<'_>,
    keys: &[&str],
) {
    if windlass_edge::file::has_zones(root) {
        return;
    }
    for key in keys {
        if let Some(value) = table.get(*key) {
            let message = format!("`{key}` is of an edge with zones, and there is no [[zone]]");
            reader.problem(value, &message);
        }
    }
}

fn interfaces(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<DraftInterface> {
    const KEYS: [&str; 6] = [
        "name",
        "address",
        "advertise",
        "port_min",
        "port_max",
        "exclude_ports",
    ];
    let entries: &[Value<'_>] = match value.get_ref() {
        DeValue::Array(entries) => entries,
        _ => {
            reader.problem(
                value,
                "write [[interface]], with two brackets, for each address",
            );
            return Vec::new();
        }
    };
    let mut interfaces = Vec::new();
    for entry in entries {
        let Some(table) = entry.get_ref().as_table() else {
            reader.wrong_type(entry, "interface", "a table");
            continue;
        };
        reader.refuse_unknown("interface", table, &KEYS);
        let address = reader.parsed(table, "address", LOCAL);
        interfaces.push(DraftInterface {
            at: reader.place(entry),
            name: reader.string(table, "name"),
            address_is_bad: address.is_none() && table.contains_key("address"),
            address,
            advertise: reader.parsed(table, "advertise", ADDRESS_OR_NAME),
            port_min: reader.number(table, "port_min", 1..=65_535),
            port_max: reader.number(table, "port_max", 1..=65_535),
            exclude_ports: take(reader, table, "exclude_ports", &List(Whole(1..=65_535)))
                .unwrap_or_default(),
        });
    }
    interfaces
}

fn edge(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<DraftEdge> {
    const KEYS: [&str; 9] = [
        "listen",
        "advertise",
        "upstream",
        "ng",
        "direction",
        "address_family",
        "calls",
        "setups_per_source",
        "bytes_per_source",
    ];
    let at = reader.place(root.get("edge")?);
    let edge = reader.section(root, "edge", &KEYS)?;
    let upstream = reader.parsed(edge, "upstream", SOCKET_ADDRESS);
    Some(DraftEdge {
        at,
        listen: reader.list(edge, "listen", SOCKET_ADDRESS),
        advertise: reader.string(edge, "advertise"),
        upstream_is_bad: upstream.is_none() && edge.contains_key("upstream"),
        upstream,
        ng: reader.parsed(edge, "ng", SOCKET_ADDRESS),
        direction: direction(reader, edge),
        address_family: reader.word(edge, "address_family", &FAMILY),
        calls: reader.number(edge, "calls", 1..=10_000_000),
        setups_per_source: reader.number(edge, "setups_per_source", 1..=10_000_000),
        bytes_per_source: reader.number(edge, "bytes_per_source", 65_536..=1 << 40),
    })
}

/// A section whose keys are names of the operator's choice.
fn names(
    reader: &mut Reader<'_>,
    root: &DeTable<'_>,
    name: &str,
) -> Option<Vec<(String, Placed<String>)>> {
    let value = root.get(name)?;
    let Some(table) = value.get_ref().as_table() else {
        reader.wrong_type(value, name, "a table");
        return None;
    };
    let mut named = Vec::new();
    for (key, value) in table.iter() {
        let key: &str = key.get_ref();
        if let Some(value) = reader.parse_value(value, key, NAME) {
            named.push((key.to_owned(), value));
        }
    }
    Some(named)
}

fn direction(reader: &mut Reader<'_>, edge: &DeTable<'_>) -> Option<Placed<Vec<Placed<String>>>> {
    let value = edge.get("direction")?;
    let names = reader.list(edge, "direction", NAME)?;
    Some(Placed {
        value: names,
        at: reader.place(value),
    })
}

const ADDRESS: &str = "an IPv4 or IPv6 address such as \"203.0.113.1\"";
const ADDRESS_OR_NAME: &str = "an IPv4 or IPv6 address such as \"203.0.113.1\", or a host name";
const LOCAL: &str = "an IPv4 or IPv6 address such as \"203.0.113.1\", a network interface, a DNS \
                     name or \"any\"";
const SOCKET_ADDRESS: &str = "an address and port such as \"127.0.0.1:2223\" or \"[::1]:2223\"";
const NAME: &str = "a string";

pub(super) const LEARNING: [(&str, Learning); 5] = [
    ("guarded", Learning::Guarded),
    ("heuristic", Learning::Heuristic),
    ("delayed", Learning::Delayed),
    ("immediate", Learning::Immediate),
    ("off", Learning::Off),
];

pub(super) const LOG_FORMAT: [(&str, LogFormat); 3] = [
    ("human", LogFormat::Human),
    ("json", LogFormat::Json),
    ("rtpengine", LogFormat::Rtpengine),
];

const FAMILY: [(&str, Family); 2] = [("IP4", Family::Ip4), ("IP6", Family::Ip6)];
