//! `[[upstream]]` with its `[[upstream.target]]`, and `[[route]]`.

use toml::de::DeTable;
use windlass_toml::{Place, Reader};

use super::{is_domain, refuse_double, unknown, zone_index};
use crate::config::{Config, Rule, Target, Upstream};
use crate::message::{Span, Uri};

pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>, config: &mut Config) {
    for (at, table) in reader.tables(root, "upstream", &["name", "zone", "target"]) {
        for key in ["name", "zone", "target"] {
            if !table.contains_key(key) {
                reader.missing(at, "an upstream", key);
            }
        }
        let zone = zone_index(reader, table, "zone", &config.zones);
        let mut targets = Vec::new();
        for (at, target) in reader.tables(table, "target", &["uri", "server_name"]) {
            targets.extend(read_target(reader, target, at));
        }
        let Some(name) = reader.string(table, "name") else {
            continue;
        };
        let before = config.upstreams.iter().map(|upstream| &*upstream.name);
        refuse_double(reader, &name, "upstream", before);
        config.upstreams.push(Upstream {
            name: name.value,
            // A zone that does not exist is a problem already.
            zone: zone.unwrap_or_default(),
            targets,
        });
    }
    for (at, table) in reader.tables(root, "route", &["match", "to"]) {
        let rule = read_rule(reader, table, at, config);
        config.routes.extend(rule);
    }
}

fn read_target(reader: &mut Reader<'_>, table: &DeTable<'_>, at: Place) -> Option<Target> {
    if !table.contains_key("uri") {
        reader.missing(at, "a target", "uri");
    }
    let uri = reader.string(table, "uri")?;
    let bytes = uri.value.as_bytes();
    let parsed = Uri::parse(bytes, Span::new(0, bytes.len())).ok();
    let hop = parsed.and_then(|uri| uri.hop(bytes));
    let Some(hop) = hop else {
        let message = format!(
            "`uri` is \"{}\", expected a SIP URI with an address such as \"sip:192.0.2.1:5060\" or \
             \"sip:192.0.2.1;transport=tcp\"",
            uri.value
        );
        reader.problem_at(uri.at, message);
        return None;
    };
    let mut target = Target::new(hop.protocol, hop.address);
    let name = reader.string(table, "server_name");
    target.server_name = name.map(|name| name.value);
    Some(target)
}

fn read_rule(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    at: Place,
    config: &Config,
) -> Option<Rule> {
    let mut rule = Rule::default();
    if let Some(matching) = reader.section(table, "match", &["domain", "from_zone"]) {
        rule.from_zone = zone_index(reader, matching, "from_zone", &config.zones);
        if let Some(domain) = reader.string(matching, "domain") {
            if !is_domain(&domain.value) {
                let message = format!("\"{}\" is no domain name", domain.value);
                reader.problem_at(domain.at, message);
            }
            rule.domain = Some(domain.value);
        }
    }
    if !table.contains_key("to") {
        reader.missing(at, "a route", "to");
    }
    let names = reader.list::<String>(table, "to", "the name of an upstream")?;
    let [name] = &*names else {
        reader.problem_at(at, "`to` of a route is one upstream".to_owned());
        return None;
    };
    let mut upstreams = config.upstreams.iter();
    match upstreams.position(|upstream| upstream.name == name.value) {
        Some(index) => rule.to = index,
        None => {
            let names: Vec<&str> = config.upstreams.iter().map(|u| &*u.name).collect();
            unknown(reader, name, "upstream", &names);
        }
    }
    Some(rule)
}
