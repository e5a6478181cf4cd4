//! Takes typed values out of parsed TOML and notes mistakes, with their places.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

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
        range: RangeInclusive<u64>,
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

    /// `true` or `false`.
    pub fn flag(&mut self, table: &DeTable<'_>, key: &str) -> Option<Placed<bool>> {
        let value = table.get(key)?;
        let Some(flag) = value.get_ref().as_bool() else {
            self.wrong_type(value, key, "true or false");
            return None;
        };
        Some(Placed {
            value: flag,
            at: self.place(value),
        })
    }

    /// A time such as `"300ms"`, `"4s"` or `"1h30m"`, in `range`.
    pub fn duration(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Placed<Duration>> {
        let value = table.get(key)?;
        let expected = format!(
            "a time from {} to {}, such as \"{}\"",
            written(*range.start()),
            written(*range.end()),
            written(*range.end().min(&Duration::from_secs(30)).max(range.start())),
        );
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(value, key, &expected);
            return None;
        };
        let Some(duration) = duration(text).filter(|duration| range.contains(duration)) else {
            self.problem(
                value,
                &format!("`{key}` is \"{text}\", expected {expected}"),
            );
            return None;
        };
        Some(Placed {
            value: duration,
            at: self.place(value),
        })
    }

    /// The tables of an array of tables (`[[name]]`), each of which may have `keys` alone.
    pub fn tables<'a, 'i>(
        &mut self,
        table: &'a DeTable<'i>,
        name: &str,
        keys: &[&str],
    ) -> Vec<(Place, &'a DeTable<'i>)> {
        let Some(value) = table.get(name) else {
            return Vec::new();
        };
        let DeValue::Array(entries) = value.get_ref() else {
            self.problem(
                value,
                &format!("`{name}` is one table; write [[{name}]], with two brackets, for each"),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for entry in entries {
            match entry.get_ref().as_table() {
                Some(table) => {
                    self.refuse_unknown(name, table, keys);
                    tables.push((self.place(entry), table));
                }
                None => self.wrong_type(entry, name, "a table"),
            }
        }
        tables
    }

    /// Notes that a table lacks a key it must have.
    pub fn missing(&mut self, at: Place, what: &str, key: &str) {
        self.problems.push(Problem {
            at,
            message: format!("{what} has no `{key}`"),
        });
    }

    /// Notes what is wrong at a place.
    pub fn problem_at(&mut self, at: Place, message: String) {
        self.problems.push(Problem { at, message });
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

/// Reads a time: numbers with the units `ms`, `s`, `m`, `h` and `d`, the largest first. `None` for
/// anything else.
pub fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, worth) = units.find(|(name, _)| *name == unit)?;
        let number: u64 = number.parse().ok()?;
        total = total.checked_add(number.checked_mul(*worth)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(Duration::from_millis(total))
}

/// A time as [`duration`] reads it, in its largest whole unit.
fn written(duration: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    let ms = duration.as_millis();
    let mut units = UNITS.iter();
    match units.find(|(worth, _)| ms > 0 && ms.is_multiple_of(*worth)) {
        Some((worth, name)) => format!("{}{name}", ms / worth),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_the_largest_first() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("300ms"), Some(300));
        assert_eq!(ms("25s"), Some(25_000));
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("2d"), Some(172_800_000));
        assert_eq!(ms("0s"), Some(0));
        for bad in [
            "",
            "5",
            "s",
            "1x",
            "1s1h",
            "1.5s",
            "-1s",
            "1 s",
            "99999999999999999999d",
        ] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_written_time_is_read_as_itself() {
        for ms in [0, 1, 1500, 60_000, 3_600_000, 86_400_000, 90_061_001] {
            let time = Duration::from_millis(ms);
            assert_eq!(duration(&written(time)), Some(time));
        }
    }

    #[test]
    fn mistakes_have_their_places_and_all_are_kept() {
        let text = "[a]\nwait = \"5\"\nis = 1\nwiat = 2\n[b]\n";
        let (document, _) = DeTable::parse_recoverable(text);
        let mut reader = Reader::new(text);
        let root = document.get_ref();
        let table = reader.section(root, "a", &["wait", "is"]).unwrap();
        let range = Duration::from_secs(1)..=Duration::from_secs(60);
        assert_eq!(reader.duration(table, "wait", range), None);
        assert_eq!(reader.flag(table, "is"), None);
        assert!(reader.tables(root, "b", &[]).is_empty());
        let said: Vec<String> = reader
            .problems
            .iter()
            .map(|problem| format!("{:?} {}", problem.at, problem.message))
            .collect();
        let expected = [
            "File { line: 4, column: 1 } unknown key `wiat` in [a]; did you mean `wait`?",
            "File { line: 2, column: 8 } `wait` is \"5\", expected a time from 1s to 1m, such as \
             \"30s\"",
            "File { line: 3, column: 6 } `is` is an integer, expected true or false",
            "File { line: 5, column: 1 } `b` is one table; write [[b]], with two brackets, for each",
        ];
        assert_eq!(said, expected);
    }
}
