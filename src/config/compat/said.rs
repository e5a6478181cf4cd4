//! The options that count: those of the file, overridden by the command line.

use std::collections::BTreeMap;

use windlass_toml::{Place, Placed, Problem};

use super::command_line::CommandLine;
use super::ini::{self, Ini};
use super::options::{OptionRow, Takes};
use crate::config::codec::{integer, shown};

/// Options by name with all their values, and the sections of the file.
#[derive(Debug)]
pub(super) struct Said {
    options: BTreeMap<&'static str, (&'static OptionRow, Vec<Placed<String>>)>,
    pub(super) ini: Ini,
    unknown: Vec<String>,
    stray: Vec<String>,
    /// A file alone, to be translated, or a process to be started.
    pub(super) is_start: bool,
}

impl Said {
    /// Lays a command line over the text of a file.
    pub(super) fn new(line: &CommandLine, text: &str, problems: &mut Vec<Problem>) -> Self {
        let section = line.last("config-section");
        let mut said = Self::of_file(text, section.map_or("rtpengine", |s| &s.value), problems);
        if let Some(section) = section
            && !text.is_empty()
            && said.ini.section(&section.value).is_none()
        {
            problems.push(Problem {
                at: section.at,
                message: format!(
                    "config-section {}: the file has no such section",
                    section.value
                ),
            });
        }
        let mut over: BTreeMap<&'static str, _> = BTreeMap::new();
        for (row, value) in &line.given {
            let (_, values) = over.entry(row.name).or_insert_with(|| (*row, Vec::new()));
            said.check_value(row, value, problems);
            values.extend(entries(row, value));
        }
        said.options.extend(over);
        said.stray.clone_from(&line.stray);
        said.is_start = true;
        said
    }

    /// The options of a section of a file.
    pub(super) fn of_file(text: &str, section: &str, problems: &mut Vec<Problem>) -> Self {
        let (ini, mistakes) = Ini::parse(text);
        problems.extend(mistakes);
        let mut said = Self {
            options: BTreeMap::new(),
            ini,
            unknown: Vec::new(),
            stray: Vec::new(),
            is_start: false,
        };
        let found = said.ini.section(section).cloned();
        for entry in found.into_iter().flat_map(|section| section.entries) {
            let Some(row) = OptionRow::of(&entry.key) else {
                said.unknown.push(match OptionRow::near(&entry.key) {
                    Some(near) => format!("{} (did you mean {near}?)", entry.key),
                    None => entry.key,
                });
                continue;
            };
            said.check_value(row, &entry.value, problems);
            let values = entries(row, &entry.value);
            said.options.insert(row.name, (row, values));
        }
        said
    }

    /// Every option, with its values; never without one.
    pub(super) fn options(
        &self,
    ) -> impl Iterator<Item = (&'static OptionRow, &Placed<String>, &[Placed<String>])> {
        self.options.values().filter_map(|(row, values)| {
            let last = values.last()?;
            Some((*row, last, values.as_slice()))
        })
    }

    /// The values of an option; none if it was not given.
    pub(super) fn values(&self, name: &str) -> &[Placed<String>] {
        self.options.get(name).map_or(&[], |(_, values)| values)
    }

    /// The value of an option.
    pub(super) fn last(&self, name: &str) -> Option<&Placed<String>> {
        self.values(name).last()
    }

    /// Whether a flag was given and is not `false`.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.last(name).is_some_and(|value| value.value != "false")
    }

    /// Warnings for options without effect, one line per kind.
    pub(super) fn warnings(&self) -> Vec<String> {
        let is_off = |value: &str| matches!(value, "false" | "" | "-1");
        let unused: Vec<&str> = self
            .options()
            .filter(|(row, last, _)| !row.is_used && !is_off(&last.value))
            .map(|(row, ..)| row.name)
            .collect();
        let mut warnings = Vec::new();
        let mut warn = |what: &str, names: &[&str]| {
            if !names.is_empty() {
                warnings.push(format!("{what}: {}", names.join(", ")));
            }
        };
        warn("options without a meaning here, ignored", &unused);
        let unknown: Vec<&str> = self.unknown.iter().map(String::as_str).collect();
        warn("keys of the file that are no option, ignored", &unknown);
        let stray: Vec<&str> = self.stray.iter().map(String::as_str).collect();
        warn("arguments that belong to no option, ignored", &stray);
        warnings
    }

    /// Flags are true or false, and numbers are numbers, whether they mean something or not.
    fn check_value(&self, row: &OptionRow, value: &Placed<String>, problems: &mut Vec<Problem>) {
        let text = value.value.as_str();
        let expected = match row.takes {
            Takes::Flag if !matches!(text, "true" | "false" | "1" | "0" | "yes" | "no") => {
                "true or false"
            }
            Takes::Number if integer(text).is_none() => "a whole number",
            _ => return,
        };
        problems.push(wrong(row.name, text, value.at, expected));
    }
}

/// A value that its option cannot have.
pub(super) fn wrong(name: &str, value: &str, at: Place, expected: &str) -> Problem {
    Problem {
        at,
        message: format!("`{name}` is \"{}\", expected {expected}", shown(value)),
    }
}

/// The values in a value: several for lists.
fn entries(row: &OptionRow, value: &Placed<String>) -> Vec<Placed<String>> {
    let placed = |text: &str| Placed {
        value: text.to_owned(),
        at: value.at,
    };
    match row.takes {
        Takes::List => ini::split(&value.value).map(placed).collect(),
        Takes::Flag => vec![placed(match value.value.as_str() {
            "0" | "no" | "false" => "false",
            _ => "true",
        })],
        Takes::Number | Takes::Value => vec![placed(value.value.trim())],
    }
}
