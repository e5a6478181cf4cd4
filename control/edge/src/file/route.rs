//! `[[upstream]]` with its `[[upstream.target]]`, and `[[route]]` (spec §14, §19).

use std::time::Duration;

use toml::de::DeTable;
use windlass_toml::{Place, Placed, Reader};

use super::{DAY, is_domain, named_zone, refuse_double, set, unknown};
use crate::config::{
    Algorithm, CodeRange, Config, Failover, HashKey, PoolConfig, Probe, ProbeConfig, Redirects,
    RouteConfig, RouteMatch, RouteTo, Slots, TargetConfig,
};
use crate::limits;
use crate::resolve::Destination;

const ALGORITHM: [(&str, Algorithm); 9] = [
    ("first", Algorithm::First),
    ("hash:aor", Algorithm::Hash(HashKey::Aor)),
    ("hash:callid", Algorithm::Hash(HashKey::CallId)),
    ("hash:ruri", Algorithm::Hash(HashKey::Ruri)),
    ("hash:user", Algorithm::Hash(HashKey::User)),
    ("least_calls", Algorithm::LeastCalls),
    ("resource", Algorithm::Resource(Slots::Absolute)),
    ("resource:relative", Algorithm::Resource(Slots::Relative)),
    ("weight", Algorithm::Weight),
];

const PROBE: [(&str, Probe); 3] = [
    ("always", Probe::Always),
    ("never", Probe::Never),
    ("when_down", Probe::WhenDown),
];

const REDIRECTS: [(&str, Redirects); 2] =
    [("follow", Redirects::Follow), ("pass", Redirects::Pass)];

/// What `to` has in the place of pools.
const REQUEST_URI: &str = "request_uri";

const URI: &str =
    "a SIP URI such as \"sip:192.0.2.1:5060\" or \"sip:pbx.example.com;transport=tls\"";

/// No wait for a target is shorter.
const SHORTEST: Duration = Duration::from_millis(100);

pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>, config: &mut Config) {
    const KEYS: [&str; 6] = ["name", "zone", "algorithm", "probe", "probing", "target"];
    for (at, table) in reader.tables(root, "upstream", &KEYS) {
        for key in ["name", "zone", "target"] {
            if !table.contains_key(key) {
                reader.missing(at, "an upstream", key);
            }
        }
        let zone = reader.string(table, "zone");
        if let Some(zone) = &zone {
            named_zone(reader, zone, &config.zones);
        }
        let Some(name) = reader.string(table, "name") else {
            continue;
        };
        let before = config.upstreams.iter().map(|upstream| &*upstream.name);
        refuse_double(reader, &name, "upstream", before);
        if name.value == REQUEST_URI {
            let message =
                format!("no upstream is called \"{REQUEST_URI}\": it has a meaning in `to`");
            reader.problem_at(name.at, message);
        }
        let zone = zone.map(|zone| zone.value).unwrap_or_default();
        let mut pool = PoolConfig::new(&name.value, &zone, &[]);
        set(
            &mut pool.algorithm,
            reader.word(table, "algorithm", &ALGORITHM),
        );
        set(&mut pool.probe, reader.word(table, "probe", &PROBE));
        pool.probing = read_probing(reader, table);
        pool.targets = read_targets(reader, table, at);
        config.upstreams.push(pool);
    }
    const ROUTE: [&str; 4] = ["match", "to", "failover", "resources"];
    for (at, table) in reader.tables(root, "route", &ROUTE) {
        let route = read_route(reader, table, at, config);
        config.routes.extend(route);
    }
}

/// Reads `targets` of a peer: an upstream of its name, in its zone.
pub(super) fn read_peer(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    at: Place,
    (name, zone): (&str, Option<usize>),
    config: &mut Config,
) {
    let zone = zone.and_then(|zone| config.zones.get(zone));
    let Some(zone) = zone.map(|zone| zone.name.clone()) else {
        if !table.contains_key("zone") {
            let message = "a peer with `targets` has to say in which `zone` they are";
            reader.problem_at(at, message.to_owned());
        }
        return;
    };
    let uris = reader.list::<String>(table, "targets", "a SIP URI");
    let uris = uris.unwrap_or_default();
    if let Some(first) = uris.first().filter(|_| uris.len() > limits::POOL_TARGETS) {
        let message = format!("a peer has {} targets at most", limits::POOL_TARGETS);
        reader.problem_at(first.at, message);
    }
    if uris.is_empty() {
        reader.problem_at(at, "`targets` of a peer name none".to_owned());
    }
    let mut pool = PoolConfig::new(name, &zone, &[]);
    for uri in uris {
        pool.targets.extend(target_of(reader, &uri, &pool.targets));
    }
    config.upstreams.push(pool);
}

fn read_probing(reader: &mut Reader<'_>, table: &DeTable<'_>) -> ProbeConfig {
    const KEYS: [&str; 5] = ["interval", "timeout", "misses", "alive", "failed"];
    let mut probing = ProbeConfig::default();
    let Some(table) = reader.section(table, "probing", &KEYS) else {
        return probing;
    };
    let times = SHORTEST..=DAY;
    set(
        &mut probing.interval,
        reader.duration(table, "interval", times.clone()),
    );
    set(
        &mut probing.timeout,
        reader.duration(table, "timeout", times),
    );
    set(
        &mut probing.misses,
        reader.number(table, "misses", 1..=1000),
    );
    if let Some(alive) = read_codes(reader, table, "alive") {
        probing.alive = alive.into_iter().map(|code| code.value).collect();
    }
    if let Some(failed) = read_codes(reader, table, "failed") {
        probing.failed = failed.into_iter().map(|code| code.value).collect();
    }
    probing
}

fn read_targets(reader: &mut Reader<'_>, table: &DeTable<'_>, at: Place) -> Vec<TargetConfig> {
    const KEYS: [&str; 5] = ["uri", "group", "weight", "resources", "probe"];
    let tables = reader.tables(table, "target", &KEYS);
    if tables.len() > limits::POOL_TARGETS {
        let message = format!(
            "an upstream has {} targets, {} at most",
            tables.len(),
            limits::POOL_TARGETS
        );
        reader.problem_at(at, message);
    }
    let mut targets: Vec<TargetConfig> = Vec::new();
    for (at, table) in tables {
        if let Some(target) = read_target(reader, table, at, &targets) {
            targets.push(target);
        }
    }
    targets
}

/// A target by its URI alone.
fn target_of(
    reader: &mut Reader<'_>,
    uri: &Placed<String>,
    before: &[TargetConfig],
) -> Option<TargetConfig> {
    if let Err(error) = Destination::parse(uri.value.as_bytes()) {
        let message = format!("`uri` is \"{}\", expected {URI}; {error}", uri.value);
        reader.problem_at(uri.at, message);
        return None;
    }
    if before.iter().any(|target| target.uri == uri.value) {
        let message = format!("the upstream has two targets \"{}\"", uri.value);
        reader.problem_at(uri.at, message);
    }
    Some(TargetConfig::new(&uri.value))
}

fn read_target(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    at: Place,
    before: &[TargetConfig],
) -> Option<TargetConfig> {
    if !table.contains_key("uri") {
        reader.missing(at, "a target", "uri");
    }
    let uri = reader.string(table, "uri")?;
    let mut target = target_of(reader, &uri, before)?;
    set(&mut target.group, reader.number(table, "group", 0..=255));
    let weights = 0..=limits::TARGET_WEIGHT.into();
    set(&mut target.weight, reader.number(table, "weight", weights));
    target.probe = reader.word(table, "probe", &PROBE).map(|probe| probe.value);
    if let Some(value) = table.get("resources") {
        let Some(resources) = value.get_ref().as_table() else {
            reader.wrong_type(value, "resources", "a table such as { channels = 300 }");
            return Some(target);
        };
        if resources.len() > limits::TARGET_RESOURCES {
            let most = limits::TARGET_RESOURCES;
            reader.problem(value, &format!("a target has at most {most} resources"));
        }
        for name in resources.keys() {
            let slots = reader.number(resources, name.get_ref(), 0..=10_000_000);
            let resource = slots.map(|slots| (name.get_ref().to_string(), slots.value));
            target.resources.extend(resource);
        }
    }
    Some(target)
}

fn read_route(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    at: Place,
    config: &Config,
) -> Option<RouteConfig> {
    let matching = read_match(reader, table, config);
    let failover = read_failover(reader, table);
    if !table.contains_key("to") {
        reader.missing(at, "a route", "to");
    }
    let names = reader.list::<String>(table, "to", "the name of an upstream")?;
    let to = read_to(reader, &names, at, config)?;
    let resources = reader.list::<String>(table, "resources", "the name of a resource");
    let resources = resources.map(|names| {
        for name in &names {
            let targets = config.upstreams.iter().flat_map(|pool| &pool.targets);
            let known = targets.flat_map(|target| &target.resources);
            let known: Vec<&str> = known.map(|(name, _)| &**name).collect();
            if !known.contains(&&*name.value) {
                unknown(reader, name, "resource", &known);
            }
        }
        names.into_iter().map(|name| name.value).collect()
    });
    Some(RouteConfig {
        matching,
        to,
        failover,
        resources,
    })
}

fn read_match(reader: &mut Reader<'_>, table: &DeTable<'_>, config: &Config) -> RouteMatch {
    const KEYS: [&str; 6] = ["domain", "from_zone", "method", "methods", "peer", "prefix"];
    let mut found = RouteMatch::default();
    let Some(table) = reader.section(table, "match", &KEYS) else {
        return found;
    };
    if let Some(zone) = reader.string(table, "from_zone") {
        named_zone(reader, &zone, &config.zones);
        found.from_zone = Some(zone.value);
    }
    if let Some(domain) = reader.string(table, "domain") {
        // `*.` stands for everything below a domain.
        if !is_domain(domain.value.strip_prefix("*.").unwrap_or(&domain.value)) {
            let message = format!("\"{}\" is no domain name", domain.value);
            reader.problem_at(domain.at, message);
        }
        found.domain = Some(domain.value);
    }
    let one = reader.string(table, "method");
    let methods = reader.list::<String>(table, "methods", "a method such as \"INVITE\"");
    for method in one.into_iter().chain(methods.into_iter().flatten()) {
        let is_method =
            !method.value.is_empty() && method.value.bytes().all(|b| b.is_ascii_uppercase());
        if !is_method {
            let message = format!(
                "\"{}\" is no method; they are in upper case, such as \"INVITE\"",
                method.value
            );
            reader.problem_at(method.at, message);
        }
        found.methods.push(method.value);
    }
    found.peer = reader.string(table, "peer").map(|peer| peer.value);
    found.prefix = reader.string(table, "prefix").map(|prefix| prefix.value);
    found
}

fn read_to(
    reader: &mut Reader<'_>,
    names: &[Placed<String>],
    at: Place,
    config: &Config,
) -> Option<RouteTo> {
    if let [name] = names
        && name.value == REQUEST_URI
    {
        return Some(RouteTo::RequestUri);
    }
    if names.is_empty() {
        reader.problem_at(at, "`to` of a route names no upstream".to_owned());
        return None;
    }
    let known: Vec<&str> = config.upstreams.iter().map(|pool| &*pool.name).collect();
    let mut pools = Vec::new();
    for name in names {
        match known.contains(&&*name.value) {
            true => pools.push(name.value.clone()),
            false => unknown(reader, name, "upstream", &known),
        }
    }
    Some(RouteTo::Pools(pools))
}

fn read_failover(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Failover {
    const KEYS: [&str; 7] = [
        "codes",
        "answer_timeout",
        "ringing_timeout",
        "ring_timeout",
        "request_timeout",
        "after_early_media",
        "redirects",
    ];
    let mut failover = Failover::default();
    let Some(table) = reader.section(table, "failover", &KEYS) else {
        return failover;
    };
    if let Some(codes) = read_codes(reader, table, "codes") {
        failover.codes.clear();
        for code in codes {
            let CodeRange(from, to) = code.value;
            if let Some(answer) = (from..=to).find(|code| Failover::is_answer(*code)) {
                let message = format!(
                    "failover code {answer} is an answer: no other target is tried after it"
                );
                reader.problem_at(code.at, message);
            }
            failover.codes.push(code.value);
        }
    }
    let times = SHORTEST..=DAY;
    let mut time = |key| reader.duration(table, key, times.clone());
    set(&mut failover.answer_timeout, time("answer_timeout"));
    failover.ringing_timeout = time("ringing_timeout").map(|time| time.value);
    set(&mut failover.ring_timeout, time("ring_timeout"));
    set(&mut failover.request_timeout, time("request_timeout"));
    set(
        &mut failover.after_early_media,
        reader.flag(table, "after_early_media"),
    );
    set(
        &mut failover.redirects,
        reader.word(table, "redirects", &REDIRECTS),
    );
    failover
}

/// Status codes: numbers, and ranges such as `"500-599"`.
fn read_codes(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    key: &str,
) -> Option<Vec<Placed<CodeRange>>> {
    let value = table.get(key)?;
    let expected = "a list of final status codes such as [408, \"500-599\"]";
    let Some(entries) = value.get_ref().as_array() else {
        reader.wrong_type(value, key, expected);
        return None;
    };
    let mut codes = Vec::new();
    for entry in entries.iter() {
        let number = entry.get_ref().as_integer();
        let number = number.and_then(|n| u16::from_str_radix(n.as_str(), n.radix()).ok());
        let single = number.map(|code| (code, code));
        let range = entry.get_ref().as_str().and_then(|text| {
            let (from, to) = text.split_once('-')?;
            Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
        });
        match single.or(range) {
            Some((from, to)) if (200..=to).contains(&from) && to <= 699 => codes.push(Placed {
                value: CodeRange(from, to),
                at: reader.place(entry),
            }),
            _ => reader.problem(
                entry,
                &format!("an entry of `{key}` is wrong, expected {expected}"),
            ),
        }
    }
    Some(codes)
}
