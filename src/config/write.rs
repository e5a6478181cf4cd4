//! A draft as the text of a TOML file: only settings that were given or differ from the defaults.

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;

use windlass_toml::Placed;

use super::codec::{Above, Codec, quoted};
use super::draft::{Draft, DraftInterface};
use super::file::LEARNING;
use super::setting::Group as _;

/// Writes everything but the edge and the log format, which no other product's file has.
pub(super) fn write(draft: &Draft) -> String {
    let mut out = String::new();
    for interface in &draft.interfaces {
        section(&mut out, "[[interface]]", interface_lines(interface));
    }
    let named = |name: &str, value: &str| (quoted(name), quoted(value));
    let aliases = draft.aliases.iter();
    let aliases = aliases.map(|(alias, name)| named(alias, &name.value));
    section(&mut out, "[aliases]", aliases.collect());
    let templates = draft.templates.iter();
    let templates = templates.map(|(name, text)| named(name, text));
    section(&mut out, "[templates]", templates.collect());

    let mut lines = Lines::default();
    lines.number("min", draft.port_min.as_ref());
    lines.number("max", draft.port_max.as_ref());
    section(&mut out, "[ports]", lines.0);

    let mut lines = Lines::default();
    lines.push("udp", draft.ng_udp.as_deref().map(listeners));
    lines.push("tcp", draft.ng_tcp.as_deref().map(listeners));
    section(&mut out, "[ng]", lines.0);

    let mut lines = Lines::default();
    let mode = draft.learning.as_ref().and_then(|learning| {
        let mut words = LEARNING.iter();
        words.find(|(_, mode)| *mode == learning.value)
    });
    lines.push("learning", mode.map(|(word, _)| quoted(word)));
    let hops = draft.signalling_hops.as_deref().map(|hops| {
        let hops = hops.iter().map(|hop| quoted(&hop.value.to_string()));
        format!("[{}]", hops.collect::<Vec<_>>().join(", "))
    });
    lines.push("signalling_hops", hops);
    lines.number("tos", draft.tos.as_ref());
    for (key, value) in draft.destinations.lines() {
        lines.push(key, Some(value));
    }
    section(&mut out, "[media]", lines.0);

    let mut lines = Lines::default();
    lines.number("media", draft.timeout_media.as_ref());
    lines.number("silent", draft.timeout_silent.as_ref());
    lines.number("offer", draft.timeout_offer.as_ref());
    lines.number("final", draft.timeout_final.as_ref());
    lines.number("delete_delay", draft.delete_delay.as_ref());
    section(&mut out, "[timeouts]", lines.0);

    let mut lines = Lines::default();
    lines.number("max_sessions", draft.max_sessions.as_ref());
    lines.push("max_load", Above.write(&draft.max_load));
    lines.push("max_cpu", Above.write(&draft.max_cpu));
    lines.push(
        "max_bandwidth",
        draft.max_bandwidth.map(|max| max.to_string()),
    );
    section(&mut out, "[limits]", lines.0);

    let mut lines = Lines::default();
    lines.push(
        "level",
        draft.log_level.as_ref().map(|level| quoted(&level.value)),
    );
    section(&mut out, "[log]", lines.0);

    let mut lines = Lines::default();
    lines.number("count", draft.workers.as_ref());
    section(&mut out, "[workers]", lines.0);

    for (name, lines) in draft.groups.lines() {
        let lines = lines
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        section(&mut out, &format!("[{name}]"), lines.collect());
    }
    out
}

fn interface_lines(interface: &DraftInterface) -> Vec<(String, String)> {
    let mut lines = Lines::default();
    lines.push(
        "name",
        interface.name.as_ref().map(|name| quoted(&name.value)),
    );
    let address = interface.address.as_ref();
    lines.push("address", address.map(|a| quoted(&a.value.to_string())));
    let advertise = interface.advertise.as_ref();
    lines.push("advertise", advertise.map(|a| quoted(&a.value.to_string())));
    lines.number("port_min", interface.port_min.as_ref());
    lines.number("port_max", interface.port_max.as_ref());
    if !interface.exclude_ports.is_empty() {
        lines.push(
            "exclude_ports",
            Some(format!("{:?}", interface.exclude_ports)),
        );
    }
    lines.0
}

/// Keys and values of a section.
#[derive(Default)]
struct Lines(Vec<(String, String)>);

impl Lines {
    fn push(&mut self, key: &str, value: Option<String>) {
        self.0.extend(value.map(|value| (key.to_owned(), value)));
    }

    fn number<T: Display>(&mut self, key: &str, value: Option<&Placed<T>>) {
        self.push(key, value.map(|value| value.value.to_string()));
    }
}

fn listeners(list: &[Placed<SocketAddr>]) -> String {
    let list = list
        .iter()
        .map(|address| quoted(&address.value.to_string()));
    format!("[{}]", list.collect::<Vec<_>>().join(", "))
}

fn section(out: &mut String, header: &str, lines: Vec<(String, String)>) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{header}");
    for (key, value) in lines {
        let _ = writeln!(out, "{key} = {value}");
    }
}
