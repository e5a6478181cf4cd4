//! The edge's keys of `[media]` (spec §11, §19): which relay, and what becomes of calls without it.

use std::net::SocketAddr;
use std::time::Duration;

use toml::de::DeTable;
use windlass_toml::{Placed, Reader};

use super::{DAY, MEDIA_KEYS, set};
use crate::config::{Config, OnMediaError, SilentSides};
use crate::limits;

/// Reads the keys; the first ng daemon that they name, if they do. Who reads the whole file knows all
/// keys of the table.
pub(super) fn read(
    reader: &mut Reader<'_>,
    root: &DeTable<'_>,
    config: &mut Config,
) -> Option<Placed<SocketAddr>> {
    let policy = &mut config.media;
    let table = root.get("media")?.get_ref().as_table()?;
    let [backend, on_error, silence, silent_sides] = MEDIA_KEYS;
    set(
        &mut policy.on_error,
        reader.word(table, on_error, &ON_ERROR),
    );
    set(
        &mut policy.silent_sides,
        reader.word(table, silent_sides, &SIDES),
    );
    if let Some(silence) = reader.duration(table, silence, Duration::ZERO..=DAY) {
        policy.silence = Some(silence.value).filter(|silence| !silence.is_zero());
    }
    let value = table.get(backend)?;
    if value.get_ref().as_str() == Some("local") {
        return None;
    }
    if value.get_ref().as_array().is_none() {
        reader.problem(value, &format!("`{backend}` is wrong, expected {BACKEND}"));
        return None;
    }
    let nodes = reader.list::<String>(table, backend, BACKEND)?;
    if nodes.is_empty() || nodes.len() > limits::RELAYS {
        let (count, most) = (nodes.len(), limits::RELAYS);
        let message = format!("`{backend}` names {count} relays, expected 1 to {most}");
        reader.problem(value, &message);
        return None;
    }
    let mut addresses: Vec<Placed<SocketAddr>> = Vec::new();
    for node in nodes {
        let text = &node.value;
        let Some(Ok(address)) = text.strip_prefix("udp:").map(str::parse) else {
            let message = format!("`{backend}` has \"{text}\", expected {BACKEND}");
            reader.problem_at(node.at, message);
            continue;
        };
        if addresses.iter().any(|other| other.value == address) {
            let message = format!("`{backend}` names \"{text}\" twice");
            reader.problem_at(node.at, message);
            continue;
        }
        addresses.push(Placed {
            value: address,
            at: node.at,
        });
    }
    let (first, more) = addresses.split_first()?;
    config.more_ng = more.iter().map(|node| node.value).collect();
    Some(*first)
}

const BACKEND: &str = "\"local\" or ng daemons such as [\"udp:127.0.0.1:2223\"]";

const ON_ERROR: [(&str, OnMediaError); 2] = [
    ("bypass", OnMediaError::Bypass),
    ("reject", OnMediaError::Reject),
];

const SIDES: [(&str, SilentSides); 2] = [("both", SilentSides::Both), ("one", SilentSides::One)];
