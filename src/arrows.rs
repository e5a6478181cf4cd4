//! Holds the arrows of ARCHITECTURE.md: who names whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms and crates with those that they name.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The crates of the workspace beside this one.
const CRATES: [&str; 10] = [
    "audio",
    "control/ng",
    "control/sdp",
    "control/edge",
    "control/toml",
    "kernel-assist",
    "secure/dtls",
    "secure/ice",
    "secure/srtp",
    "store",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The list under "Dependencies": a line per room, `room -> others`.
fn written() -> Arrows {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let list = page
        .lines()
        .skip_while(|line| !line.starts_with("Dependencies point"));
    let list = list.skip_while(|line| *line != "```").skip(1);
    let list = list.take_while(|line| *line != "```");
    let lines = list.filter_map(|line| line.split_once(" -> "));
    let rooms = lines.map(|(room, others)| {
        let others = others.split_whitespace().map(str::to_owned);
        (room.trim().to_owned(), others.collect())
    });
    rooms.collect()
}

/// What the files say, tests aside.
fn found() -> Arrows {
    let mut arrows = Arrows::new();
    let mut files = Vec::new();
    files_below(&root().join("src"), &mut files);
    for file in files {
        let path = file.strip_prefix(root().join("src")).unwrap();
        let room = path.iter().next().unwrap().to_str().unwrap();
        let room = room.trim_end_matches(".rs");
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let others = arrows.entry(room.to_owned()).or_default();
        for line in code.lines() {
            others.extend(named(line, matches!(room, "main" | "cli")));
        }
        others.remove(room);
    }
    for own in ["lib", "arrows"] {
        arrows.remove(own);
    }
    for name in CRATES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let manifest = manifest
            .lines()
            .skip_while(|line| *line != "[dependencies]")
            .skip(1)
            // What tests alone name is no arrow.
            .take_while(|line| !line.starts_with('['));
        let crates = manifest.filter_map(|line| line.split(['.', ' ']).next());
        let crates = crates.filter(|name| name.starts_with("windlass"));
        let others = crates.map(|name| name.trim_start_matches("windlass-").to_owned());
        let name = name.trim_start_matches("control/");
        let name = name.trim_start_matches("secure/");
        arrows.insert(name.to_owned(), others.collect());
    }
    arrows.retain(|_, others| !others.is_empty());
    arrows
}

/// Rooms and crates that a line of code names. The program sees the engine from outside.
fn named(line: &str, is_program: bool) -> Vec<String> {
    let line = line.split("//").next().unwrap_or_default();
    if is_program && !line.trim_start().starts_with("use ") {
        // Help texts name modules, too.
        return Vec::new();
    }
    let own = if is_program { "windlass::" } else { "crate::" };
    let word = |text: &str| -> String {
        let word = text
            .chars()
            .take_while(|c| c.is_ascii_alphabetic() || *c == '_');
        word.collect()
    };
    let rooms = line.match_indices(own).filter(|(at, _)| {
        // A text: a log filter, not a path.
        line[..*at].matches('"').count().is_multiple_of(2)
            && line[..*at]
                .chars()
                .last()
                .is_none_or(|c| !c.is_alphanumeric() && c != '_')
    });
    let rooms = rooms.map(|(at, own)| word(&line[at + own.len()..]));
    let crates = line
        .match_indices("windlass_")
        .filter(|(at, _)| line[..*at].matches('"').count().is_multiple_of(2));
    let crates = crates.map(|(at, own)| word(&line[at + own.len()..]).replace('_', "-"));
    let known = |name: &String| {
        root().join("src").join(name).is_dir()
            || root().join(format!("src/{name}.rs")).is_file()
            || CRATES
                .iter()
                .any(|path| path.rsplit('/').next() == Some(name))
    };
    rooms.chain(crates).filter(known).collect()
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            files_below(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
            files.push(path);
        }
    }
}

#[test]
fn arrows_are_those_of_the_page() {
    let (written, found) = (written(), found());
    for (room, others) in &found {
        let allowed = written.get(room).cloned().unwrap_or_default();
        let more: Vec<_> = others.difference(&allowed).collect();
        assert!(
            more.is_empty(),
            "{room} names {more:?}: not in ARCHITECTURE.md"
        );
        let stale: Vec<_> = allowed.difference(others).collect();
        assert!(
            stale.is_empty(),
            "ARCHITECTURE.md lets {room} name {stale:?}: it does not"
        );
    }
    assert_eq!(
        written.keys().collect::<Vec<_>>(),
        found.keys().collect::<Vec<_>>()
    );
}

#[test]
fn no_arrow_leads_back() {
    let mut left = written();
    assert!(left.len() > 10, "{left:?}");
    while !left.is_empty() {
        let ground =
            |others: &BTreeSet<String>| others.iter().all(|other| !left.contains_key(other));
        let free: Vec<String> = left
            .iter()
            .filter(|(_, others)| ground(others))
            .map(|(room, _)| room.clone())
            .collect();
        assert!(!free.is_empty(), "a circle among {:?}", left.keys());
        left.retain(|room, _| !free.contains(room));
    }
}

/// The model of a call is read without the service around it.
#[test]
fn the_model_of_a_call_names_no_service() {
    let mut files = Vec::new();
    files_below(&root().join("src/call/model"), &mut files);
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let uses = text.lines().filter(|line| line.starts_with("use "));
        let outside = uses.filter(|line| line.contains("super::super") || line.contains("call::"));
        let outside =
            outside.filter(|line| !line.contains(" super::") && !line.contains("call::ports::"));
        let outside: Vec<_> = outside.collect();
        assert!(outside.is_empty(), "{}: {outside:?}", file.display());
    }
}

#[test]
fn lines_name_rooms_and_crates() {
    let lib = |line: &str| named(line, false);
    assert_eq!(lib("use crate::call::Calls;"), ["call"]);
    assert_eq!(
        lib("    let x: crate::media::rtp::A = windlass_ng::b();"),
        ["media", "ng"]
    );
    assert_eq!(lib("// crate::call"), [""; 0]);
    assert_eq!(lib("use super::call;"), [""; 0]);
    assert_eq!(lib("&[\"windlass_edge\"],"), [""; 0]);
    assert_eq!(named("use windlass::daemon::Daemon;", true), ["daemon"]);
    assert_eq!(named("use crate::cli::Cli;", true), [""; 0]);
}
