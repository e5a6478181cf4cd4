//! The text of an rtpengine.conf: sections of `key = value`, comment lines, blanks at the end
//! trimmed. Not what the keys mean.

use windlass_toml::{Place, Placed, Problem};

/// The sections of a file, in its order; a section that is opened again goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ini {
    sections: Vec<Section>,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) entries: Vec<Entry>,
}

/// One `key = value`; the place is that of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Placed<String>,
}

impl Ini {
    /// Parses the text; lines that are nothing are reported and skipped.
    pub(super) fn parse(text: &str) -> (Self, Vec<Problem>) {
        let mut ini = Self::default();
        let mut problems = Vec::new();
        let mut current = None;
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let content = line.trim();
            let indent = line.chars().take_while(|c| c.is_whitespace()).count();
            let at = Place::File {
                line: index + 1,
                column: indent + 1,
            };
            let mut problem = |message: String| problems.push(Problem { at, message });
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            if let Some(rest) = content.strip_prefix('[') {
                match rest.strip_suffix(']') {
                    Some(name) => current = Some(ini.open(name.trim(), at)),
                    None => problem(format!("`{content}` opens a section but lacks the `]`")),
                }
                continue;
            }
            let Some((key, value)) = content.split_once('=') else {
                problem(format!("`{content}` is no `key = value`"));
                continue;
            };
            let Some(section) = current.and_then(|index: usize| ini.sections.get_mut(index)) else {
                let key = key.trim();
                problem(format!("`{key}` stands before any [section]"));
                continue;
            };
            section.entries.push(Entry {
                key: key.trim().to_owned(),
                value: Placed {
                    value: unescape(value.trim()),
                    at,
                },
            });
        }
        (ini, problems)
    }

    /// The section of a name.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The sections `[PREFIX-NAME]`, with their names.
    pub(super) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Section)> {
        self.sections.iter().filter_map(move |section| {
            let name = section.name.strip_prefix(prefix)?.strip_prefix('-')?;
            Some((name, section))
        })
    }

    fn open(&mut self, name: &str, at: Place) -> usize {
        let known = self.sections.iter().position(|s| s.name == name);
        known.unwrap_or_else(|| {
            self.sections.push(Section {
                name: name.to_owned(),
                at,
                entries: Vec::new(),
            });
            self.sections.len() - 1
        })
    }
}

impl Section {
    /// The value of a key, the last one if it is given again.
    pub(super) fn get(&self, key: &str) -> Option<&Placed<String>> {
        let mut entries = self.entries.iter().rev();
        entries.find(|entry| entry.key == key).map(|e| &e.value)
    }
}

/// The entries of a list: separated by `;`, blanks around them trimmed, empty ones left out.
pub(super) fn split(value: &str) -> impl Iterator<Item = &str> {
    let entries = value.split(';').map(str::trim);
    entries.filter(|entry| !entry.is_empty())
}

/// Resolves `\s`, `\t`, `\n`, `\r` and `\\`; any other backslash stays.
fn unescape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('s') => text.push(' '),
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('\\') | None => text.push('\\'),
            Some(other) => text.extend(['\\', other]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_hold_keys_and_values() {
        let (ini, problems) = Ini::parse(
            "\u{feff}# comment\n; another\n\n[rtpengine]\ninterface = a;b \t\n  timeout=60\r\n\
             name = x = y\nempty =\n[if-ext]\naddress=1\n[rtpengine]\ntimeout = 30\n",
        );
        assert_eq!(problems, []);
        let section = ini.section("rtpengine").unwrap();
        let value = |key| section.get(key).unwrap();
        assert_eq!(value("interface").value, "a;b");
        assert_eq!(value("name").value, "x = y");
        assert_eq!(value("empty").value, "");
        assert_eq!(value("timeout").value, "30");
        assert_eq!(
            value("timeout").at,
            Place::File {
                line: 12,
                column: 1
            }
        );
        let names: Vec<&str> = ini.with_prefix("if").map(|(name, _)| name).collect();
        assert_eq!(names, ["ext"]);
        assert_eq!(ini.section("other"), None);
    }

    #[test]
    fn lines_that_are_nothing_are_named() {
        let (_, problems) = Ini::parse("early = 1\n[rtpengine\n[x]\nnonsense\n  more\n");
        let lines: Vec<Place> = problems.iter().map(|problem| problem.at).collect();
        let place = |line, column| Place::File { line, column };
        assert_eq!(lines, [place(1, 1), place(2, 1), place(4, 1), place(5, 3)]);
        assert!(problems[0].message.contains("early"));
    }

    #[test]
    fn lists_and_escapes() {
        assert_eq!(split(" a ; b;;").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(unescape(r"a\sb\\c\d\"), r"a b\c\d\");
    }
}
