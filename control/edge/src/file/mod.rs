//! The edge's part of a configuration file (spec §19): tables of TOML to a [`Config`].
//!
//! Every mistake is kept by the reader, with its place; what depends on the rest of the file (the
//! labels of the relay's interfaces, its ng address) is for the caller to check and to set.

mod admin;
mod link;
mod media;
mod route;
mod screen;
mod zone;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use toml::de::DeTable;
use windlass_toml::{Place, Placed, Reader};

use crate::config::{
    Config, PingMethod, Register, RegisterMode, RouteConfig, RouteMatch, Tables, Zone,
};

/// Tables of the file beside `[edge]` that are the edge's.
pub const SECTIONS: [&str; 10] = [
    "zone", "link", "upstream", "route", "register", "screen", "peer", "limit", "category", "admin",
];

/// Keys of `[log]` that are the edge's.
pub const LOG_KEYS: [&str; 2] = ["security", "cdr"];

/// Keys of `[media]` that are the edge's.
pub const MEDIA_KEYS: [&str; 4] = ["backend", "on_error", "silence", "silent_sides"];

/// Keys of `[edge]`.
const KEYS: [&str; 18] = [
    "domains",
    "token_keys",
    "callid_prefix",
    "server_header",
    "state_dir",
    "shed_after",
    "priority",
    "ng",
    "calls",
    "setups_per_source",
    "bytes_per_source",
    "max_call",
    "max_call_header",
    "max_forwards",
    "media_timeout",
    "drain",
    "end_calls",
    "shards",
];

/// A day; no wait of the edge is longer.
const DAY: Duration = Duration::from_secs(86_400);

/// How long calls are waited for at the end (spec §18).
const DRAIN: Duration = Duration::from_secs(30);

/// What a file says of the edge.
#[derive(Clone, Debug)]
pub struct Read {
    /// The settings. Their `ng` is that of the file, or has port 0.
    pub config: Config,
    /// The ng daemon that was named, if one was.
    pub ng: Option<Placed<SocketAddr>>,
    /// Interfaces of the relay that zones name.
    pub interfaces: Vec<Placed<String>>,
    /// Addresses that datagrams are listened for on.
    pub datagrams: Vec<Placed<SocketAddr>>,
}

/// Whether a file describes the edge by zones.
pub fn has_zones(root: &DeTable<'_>) -> bool {
    SECTIONS.iter().any(|section| root.contains_key(*section))
}

/// Reads an edge of zones. Names of files are relative to `dir`. `None` if something is missing
/// without which the rest has no meaning; the reader knows what.
pub fn read(reader: &mut Reader<'_>, root: &DeTable<'_>, dir: &Path) -> Option<Read> {
    let mut found = zone::read(reader, root, dir);
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut config = Config::of_zones(std::mem::take(&mut found.zones), nowhere);
    config.drain = DRAIN;
    let mut ng = None;
    let mut domains = Vec::new();
    if let Some(edge) = reader.section(root, "edge", &KEYS) {
        domains = reader
            .list::<String>(edge, "domains", "a domain name")
            .unwrap_or_default();
        for domain in &domains {
            if !is_domain(&domain.value) {
                reader.problem_at(domain.at, format!("\"{}\" is no domain name", domain.value));
            }
        }
        ng = reader.parsed::<SocketAddr>(edge, "ng", SOCKET_ADDRESS);
        if let Some(ng) = &ng {
            config.ng = ng.value;
        }
        read_tables(reader, edge, &mut config.tables);
        link::read_secrets(reader, edge, &mut config, dir);
        let wait = Duration::from_millis(1)..=DAY;
        set(
            &mut config.max_call,
            reader.duration(edge, "max_call", wait.clone()),
        );
        if let Some(server) = edge.get("server_header") {
            // An empty text says what is so anyway.
            let text = server.get_ref().as_str();
            match text {
                Some(text) if text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) => {
                    config.server_header = text.trim().to_owned();
                }
                Some(_) => reader.problem(server, "`server_header` is no printable text"),
                None => reader.wrong_type(server, "server_header", "a text"),
            }
        }
        let state_dir = reader.string(edge, "state_dir");
        config.state_dir = state_dir.map(|state| dir.join(state.value));
        set(
            &mut config.overload.shed_after,
            reader.duration(edge, "shed_after", Duration::ZERO..=DAY),
        );
        let priority = reader.list::<String>(edge, "priority", "a number");
        let priority = priority.unwrap_or_default().into_iter();
        config.overload.priority = priority.map(|number| number.value).collect();
        if let Some(header) = reader.string(edge, "max_call_header") {
            let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
            if !header.value.bytes().all(is_token) {
                let message = format!("\"{}\" is no name of a header", header.value);
                reader.problem_at(header.at, message);
            }
            config.max_call_header = Some(header.value);
        }
        set(
            &mut config.media_timeout,
            reader.duration(edge, "media_timeout", wait),
        );
        set(&mut config.end_calls, reader.flag(edge, "end_calls"));
        set(&mut config.shards, reader.number(edge, "shards", 1..=64));
        set(
            &mut config.drain,
            reader.duration(edge, "drain", Duration::ZERO..=DAY),
        );
        set(
            &mut config.max_forwards,
            reader.number(edge, "max_forwards", 1..=255),
        );
    }
    let backend = media::read(reader, root, &mut config);
    if let Some(backend) = backend {
        if ng.is_some() {
            let message = "`ng` of [edge] names a relay as well".to_owned();
            reader.problem_at(backend.at, message);
        }
        config.ng = backend.value;
        ng = Some(backend);
    }
    link::read(reader, root, &mut config);
    // Routes name them as upstreams.
    let peers = screen::read_peers(reader, root, &mut config);
    route::read(reader, root, &mut config);
    config.register = read_register(reader, root);
    read_registrar(reader, root, &mut config);
    config.register.domains = domains
        .into_iter()
        .map(|domain| domain.value.to_ascii_lowercase())
        .collect();
    screen::read(reader, root, &mut config, (peers, dir));
    config.admin = admin::read(reader, root, dir);
    if config.zones.is_empty() {
        let message = "the edge needs at least one [[zone]]".to_owned();
        reader.problem_at(Place::Whole, message);
        return None;
    }
    Some(Read {
        config,
        ng,
        interfaces: found.interfaces,
        datagrams: found.datagrams,
    })
}

fn read_tables(reader: &mut Reader<'_>, edge: &DeTable<'_>, tables: &mut Tables) {
    let counts = 1..=10_000_000;
    set(
        &mut tables.dialogs,
        reader.number(edge, "calls", counts.clone()),
    );
    set(
        &mut tables.setups_per_source,
        reader.number(edge, "setups_per_source", counts),
    );
    set(
        &mut tables.bytes_per_source,
        reader.number(edge, "bytes_per_source", 65_536..=1 << 40),
    );
    // One source may take all that there is, if it is told so.
    tables.bytes = tables.bytes.max(tables.bytes_per_source);
}

fn read_register(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Register {
    const KEYS: [&str; 6] = [
        "mode",
        "upstream",
        "nat_ping",
        "max_contacts_per_aor",
        "max_bindings",
        "third_party",
    ];
    let mut register = Register::default();
    let Some(table) = reader.section(root, "register", &KEYS) else {
        return register;
    };
    set(
        &mut register.mode,
        reader.word(table, "mode", &REGISTER_MODE),
    );
    set(
        &mut register.max_contacts_per_aor,
        reader.number(table, "max_contacts_per_aor", 1..=1000),
    );
    set(
        &mut register.max_bindings,
        reader.number(table, "max_bindings", 1..=10_000_000),
    );
    set(&mut register.third_party, reader.flag(table, "third_party"));
    if let Some(ping) = reader.section(table, "nat_ping", &["every", "method"]) {
        set(
            &mut register.nat_ping,
            reader.duration(ping, "every", Duration::ZERO..=DAY),
        );
        set(
            &mut register.nat_ping_method,
            reader.word(ping, "method", &PING_METHOD),
        );
    }
    register
}

/// The upstream that registrations go to, whatever routes say of them.
fn read_registrar(reader: &mut Reader<'_>, root: &DeTable<'_>, config: &mut Config) {
    let register = root
        .get("register")
        .and_then(|register| register.get_ref().as_table());
    let Some(name) = register.and_then(|register| reader.string(register, "upstream")) else {
        return;
    };
    let known: Vec<&str> = config.upstreams.iter().map(|pool| &*pool.name).collect();
    if !known.contains(&&*name.value) {
        unknown(reader, &name, "upstream", &known);
        return;
    }
    let matching = RouteMatch {
        methods: vec!["REGISTER".to_owned()],
        ..RouteMatch::default()
    };
    // Of rules that fit alike the first one counts.
    let route = RouteConfig::new(matching, &[&name.value]);
    config.routes.insert(0, route);
}

/// The index of the zone with a name.
fn named_zone(reader: &mut Reader<'_>, name: &Placed<String>, zones: &[Zone]) -> Option<usize> {
    let index = zones.iter().position(|zone| zone.name == name.value);
    if index.is_none() {
        let names: Vec<&str> = zones.iter().map(|zone| zone.name.as_str()).collect();
        unknown(reader, name, "zone", &names);
    }
    index
}

/// Notes that something is named that does not exist.
fn unknown(reader: &mut Reader<'_>, name: &Placed<String>, what: &str, names: &[&str]) {
    let hint = match windlass_toml::nearest(&name.value, names) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names.is_empty() => "there is none".to_owned(),
        None => format!("there are {}", names.join(", ")),
    };
    reader.problem_at(
        name.at,
        format!("no {what} is called \"{}\"; {hint}", name.value),
    );
}

/// A name that was given before.
fn refuse_double<'n>(
    reader: &mut Reader<'_>,
    name: &Placed<String>,
    what: &str,
    mut before: impl Iterator<Item = &'n str>,
) {
    if before.any(|other| other == name.value) {
        reader.problem_at(
            name.at,
            format!("there are two {what}s called \"{}\"", name.value),
        );
    }
}

fn set<T>(place: &mut T, said: Option<Placed<T>>) {
    if let Some(said) = said {
        *place = said.value;
    }
}

/// Labels of letters, digits and hyphens with dots between them, or an address.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let is_v6 = inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    is_v6 || text.len() <= 253 && text.split('.').all(is_label)
}

/// Whether a text is a host, or a host and a port, as it stands in Via: `sip.example.com:5061`.
pub fn is_host_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    port.is_none_or(is_port) && is_domain(host)
}

const SOCKET_ADDRESS: &str = "an address and port such as \"127.0.0.1:2223\" or \"[::1]:2223\"";

const REGISTER_MODE: [(&str, RegisterMode); 3] = [
    ("path", RegisterMode::Path),
    ("alias", RegisterMode::Alias),
    ("off", RegisterMode::Off),
];

const PING_METHOD: [(&str, PingMethod); 2] =
    [("crlf", PingMethod::Crlf), ("options", PingMethod::Options)];
