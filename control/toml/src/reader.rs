//! Takes typed values out of parsed TOML and notes mistakes, with their places.

use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Place, Placed, Problem, nearest};

/// A reader of one text; every mistake it meets is kept.
#[derive(Debug)]
pub struct Reader<'t> {
    text: &'t str,
    /// All mistakes so far, in the order in which they were met.
    pub problems: Vec<Problem>,
}

/// A value and the bytes of the text that it stands in.
pub type Value<'i> = Spanned<DeValue<'i>>;

impl<'t> Reader<'t> {
    /// A reader of a table that was parsed from `text`.
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            problems: Vec::new(),
        }
    }

    /// The table called `name`, which may have `keys` alone; `None` if there is none.
    pub fn section<'a, 'i>(
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

    /// Notes keys of a table that are not among `keys`, each with the nearest that is.
    /// `section` names the table in messages; it is empty for the whole file.
    pub fn refuse_unknown(&mut self, section: &str, table: &DeTable<'_>, keys: &[&str]) {
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

    /// A string.
    pub fn string(&mut self, table: &DeTable<'_>, key: &str) -> Option<Placed<String>> {
        self.parsed(table, key, NAME)
    }

    /// A string that is read as a `T`; `expected` completes "expected ...".
    pub fn parsed<T: FromStr>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        expected: &str,
    ) -> Option<Placed<T>> {
        let value = table.get(key)?;
        self.parse_value(value, key, expected)
    }

    /// A list of strings, each read as a `T`. A bad entry is noted and left out.
    pub fn list<T: FromStr>(
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

    /// A value that is a string and is read as a `T`; `key` names it in messages.
    pub fn parse_value<T: FromStr>(
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

    /// A whole number in `range`.
    pub fn number<T: TryFrom<u64>>(
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

    /// One of some words, and its meaning.
    pub fn word<T: Copy>(
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

    /// Notes that a value is of another type than `expected`.
    pub fn wrong_type(&mut self, value: &Value<'_>, key: &str, expected: &str) {
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

    /// Notes what is wrong with a value.
    pub fn problem(&mut self, value: &Value<'_>, message: &str) {
        if value.span().is_empty() {
            // Put there by the parser in place of what it could not read, and reported by it.
            return;
        }
        self.problems.push(Problem {
            at: self.place(value),
            message: message.to_owned(),
        });
    }

    /// The place of a value.
    pub fn place(&self, value: &Value<'_>) -> Place {
        Place::of(self.text, value.span().start)
    }
}

const NAME: &str = "a string";
