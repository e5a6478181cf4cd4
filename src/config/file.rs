//! The TOML file: text to draft, noting every mistake with its place.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::check;
use super::draft::{Draft, DraftEdge, DraftInterface};
use super::flags::Flags;
use super::problem::{Place, Placed, Problem, Problems, nearest};
use super::{AddressFamily, Config, LogFormat};
use crate::flow::Learning;

/// Reads the file, if any, lays the flags over it and checks the whole.
pub(super) fn load(path: Option<&Path>, flags: &Flags) -> Result<Config, Problems> {
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
    parse(&text, flags).map_err(with_path)
}

/// Parses and checks the text of a file with flags laid over it.
///
/// # Errors
/// Every problem, in order of place.
pub fn parse(text: &str, flags: &Flags) -> Result<Config, Vec<Problem>> {
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
    let mut reader = Reader {
        text,
        problems: Vec::new(),
    };
    let mut draft = reader.document(document.get_ref());
    flags.lay_over(&mut draft);
    let mut found = reader.problems;
    let config = check(draft, &mut found);
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
        Place::Flag(_) | Place::Whole => None,
    }
}

/// Takes typed values out of the parsed text and keeps count of what is not as it should be.
struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn document(&mut self, root: &DeTable<'_>) -> Draft {
        const SECTIONS: [&str; 9] = [
            "interface",
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
        self.refuse_unknown("", root, &SECTIONS);
        if let Some(value) = root.get("interface") {
            draft.interfaces = self.interfaces(value);
        }
        if let Some(ports) = self.section(root, "ports", &["min", "max"]) {
            draft.port_min = self.number(ports, "min", 1..=65_535);
            draft.port_max = self.number(ports, "max", 1..=65_535);
        }
        if let Some(ng) = self.section(root, "ng", &["udp", "tcp"]) {
            draft.ng_udp = self.list(ng, "udp", SOCKET_ADDRESS);
            draft.ng_tcp = self.list(ng, "tcp", SOCKET_ADDRESS);
        }
        if let Some(media) = self.section(root, "media", &["learning", "signalling_hops", "tos"]) {
            draft.learning = self.word(media, "learning", &LEARNING);
            draft.signalling_hops = self.list(media, "signalling_hops", ADDRESS);
            draft.tos = self.number(media, "tos", 0..=255);
        }
        let timeouts = ["media", "silent", "offer", "final", "delete_delay"];
        if let Some(timeouts) = self.section(root, "timeouts", &timeouts) {
            draft.timeout_media = self.number(timeouts, "media", 1..=YEAR);
            draft.timeout_silent = self.number(timeouts, "silent", 1..=YEAR);
            draft.timeout_offer = self.number(timeouts, "offer", 1..=YEAR);
            draft.timeout_final = self.number(timeouts, "final", 0..=YEAR);
            draft.delete_delay = self.number(timeouts, "delete_delay", 0..=YEAR);
        }
        if let Some(limits) = self.section(root, "limits", &["max_sessions"]) {
            draft.max_sessions = self.number(limits, "max_sessions", 0..=u32::MAX.into());
        }
        if let Some(log) = self.section(root, "log", &["level", "format"]) {
            draft.log_level = self.string(log, "level");
            draft.log_format = self.word(log, "format", &LOG_FORMAT);
        }
        if let Some(workers) = self.section(root, "workers", &["count"]) {
            draft.workers = self.number(workers, "count", 1..=1024);
        }
        draft.edge = self.edge(root);
        draft
    }

    fn interfaces(&mut self, value: &Value<'_>) -> Vec<DraftInterface> {
        const KEYS: [&str; 5] = ["name", "address", "advertise", "port_min", "port_max"];
        let entries: &[Value<'_>] = match value.get_ref() {
            DeValue::Array(entries) => entries,
            _ => {
                self.problem(
                    value,
                    "write [[interface]], with two brackets, for each address",
                );
                return Vec::new();
            }
        };
        let mut interfaces = Vec::new();
        for entry in entries {
            let Some(table) = entry.get_ref().as_table() else {
                self.wrong_type(entry, "interface", "a table");
                continue;
            };
            self.refuse_unknown("interface", table, &KEYS);
            let address = self.parsed(table, "address", ADDRESS);
            interfaces.push(DraftInterface {
                at: self.place(entry),
                name: self.string(table, "name"),
                address_is_bad: address.is_none() && table.contains_key("address"),
                address,
                advertise: self.parsed(table, "advertise", ADDRESS),
                port_min: self.number(table, "port_min", 1..=65_535),
                port_max: self.number(table, "port_max", 1..=65_535),
            });
        }
        interfaces
    }

    fn edge(&mut self, root: &DeTable<'_>) -> Option<DraftEdge> {
        const KEYS: [&str; 6] = [
            "listen",
            "advertise",
            "upstream",
            "ng",
            "direction",
            "address_family",
        ];
        let at = self.place(root.get("edge")?);
        let edge = self.section(root, "edge", &KEYS)?;
        let upstream = self.parsed(edge, "upstream", SOCKET_ADDRESS);
        Some(DraftEdge {
            at,
            listen: self.list(edge, "listen", SOCKET_ADDRESS),
            advertise: self.string(edge, "advertise"),
            upstream_is_bad: upstream.is_none() && edge.contains_key("upstream"),
            upstream,
            ng: self.parsed(edge, "ng", SOCKET_ADDRESS),
            direction: self.direction(edge),
            address_family: self.word(edge, "address_family", &FAMILY),
        })
    }

    fn direction(&mut self, edge: &DeTable<'_>) -> Option<Placed<Vec<Placed<String>>>> {
        let value = edge.get("direction")?;
        let names = self.list(edge, "direction", NAME)?;
        Some(Placed {
            value: names,
            at: self.place(value),
        })
    }

    /// The table of a section, its unknown keys refused.
    fn section<'a, 'i>(
        &mut self,
        root: &'a DeTable<'i>,
        name: &str,
        keys: &[&str],
    ) -> Option<&'a DeTable<'i>> {
        let value = root.get(name)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(value, name, "a table");
            return None;
        };
        self.refuse_unknown(name, table, keys);
        Some(table)
    }

    fn refuse_unknown(&mut self, section: &str, table: &DeTable<'_>, keys: &[&str]) {
        let (what, place) = if section.is_empty() {
            ("section", String::new())
        } else {
            ("key", format!(" in [{section}]"))
        };
        for key in table.keys() {
            let name: &str = key.get_ref();
            if keys.contains(&name) {
                continue;
            }
            let hint = match nearest(name, keys) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", keys.join(", ")),
            };
            self.problems.push(Problem {
                at: Place::of(self.text, key.span().start),
                message: format!("unknown {what} `{name}`{place}; {hint}"),
            });
        }
    }

    fn string(&mut self, table: &DeTable<'_>, key: &str) -> Option<Placed<String>> {
        self.parsed(table, key, NAME)
    }

    fn parsed<T: FromStr>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        expected: &str,
    ) -> Option<Placed<T>> {
        let value = table.get(key)?;
        self.parse_value(value, key, expected)
    }

    fn list<T: FromStr>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        expected: &str,
    ) -> Option<Vec<Placed<T>>> {
        let value = table.get(key)?;
        let DeValue::Array(entries) = value.get_ref() else {
            self.wrong_type(value, key, &format!("a list, each entry {expected}"));
            return None;
        };
        // A bad entry is reported and left out; the list itself is not missing.
        Some(
            entries
                .iter()
                .filter_map(|entry| self.parse_value(entry, key, expected))
                .collect(),
        )
    }

    fn parse_value<T: FromStr>(
        &mut self,
        value: &Value<'_>,
        key: &str,
        expected: &str,
    ) -> Option<Placed<T>> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(value, key, expected);
            return None;
        };
        match text.parse() {
            Ok(parsed) => Some(Placed {
                value: parsed,
                at: self.place(value),
            }),
            Err(_) => {
                self.problem(
                    value,
                    &format!("`{key}` is \"{text}\", expected {expected}"),
                );
                None
            }
        }
    }

    fn number<T: TryFrom<u64>>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<Placed<T>> {
        let value = table.get(key)?;
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(value, key, &expected);
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            self.problem(value, &format!("`{key}` is {integer}, expected {expected}"));
        }
        Some(Placed {
            value: number?,
            at: self.place(value),
        })
    }

    fn word<T: Copy>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<Placed<T>> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let expected = format!("one of {}", names.join(", "));
        let value = table.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(value, key, &expected);
            return None;
        };
        let Some((_, meaning)) = words.iter().find(|(name, _)| name == &text) else {
            let hint = nearest(text, &names)
                .map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
            self.problem(
                value,
                &format!("`{key}` is \"{text}\", expected {expected}{hint}"),
            );
            return None;
        };
        Some(Placed {
            value: *meaning,
            at: self.place(value),
        })
    }

    fn wrong_type(&mut self, value: &Value<'_>, key: &str, expected: &str) {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) {
            "an"
        } else {
            "a"
        };
        self.problem(
            value,
            &format!("`{key}` is {article} {found}, expected {expected}"),
        );
    }

    fn problem(&mut self, value: &Value<'_>, message: &str) {
        if value.span().is_empty() {
            // Put there by the parser in place of what it could not read, and reported by it.
            return;
        }
        self.problems.push(Problem {
            at: self.place(value),
            message: message.to_owned(),
        });
    }

    fn place(&self, value: &Value<'_>) -> Place {
        Place::of(self.text, value.span().start)
    }
}

/// The longest time that can be set, in seconds.
const YEAR: u64 = 31_536_000;

const ADDRESS: &str = "an IPv4 or IPv6 address such as \"203.0.113.1\"";
const SOCKET_ADDRESS: &str = "an address and port such as \"127.0.0.1:2223\" or \"[::1]:2223\"";
const NAME: &str = "a string";

const LEARNING: [(&str, Learning); 5] = [
    ("guarded", Learning::Guarded),
    ("heuristic", Learning::Heuristic),
    ("delayed", Learning::Delayed),
    ("immediate", Learning::Immediate),
    ("off", Learning::Off),
];

const LOG_FORMAT: [(&str, LogFormat); 2] = [("human", LogFormat::Human), ("json", LogFormat::Json)];

const FAMILY: [(&str, AddressFamily); 2] =
    [("IP4", AddressFamily::Ip4), ("IP6", AddressFamily::Ip6)];
