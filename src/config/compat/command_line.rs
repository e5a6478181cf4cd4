//! The command line as GLib reads it: `--name=value`, `--name value`, `-Lvalue`, `-L value`, several
//! letters behind one dash, `--` at the end.

use windlass_toml::{Place, Placed, Problem};

use super::options::{OptionRow, Takes};

/// Options of a command line, in order.
#[derive(Debug, Default)]
pub(super) struct CommandLine {
    /// Options and their values; a flag has the value `true`.
    pub(super) given: Vec<(&'static OptionRow, Placed<String>)>,
    /// Arguments that belong to no option.
    pub(super) stray: Vec<String>,
    /// `--help`, `-h` or `-?` was among them.
    pub(super) wants_help: bool,
}

impl CommandLine {
    /// Parses the arguments behind the program's name.
    pub(super) fn parse(arguments: &[String]) -> (Self, Vec<Problem>) {
        let mut parser = Parser {
            line: Self::default(),
            problems: Vec::new(),
            left: arguments.iter().zip(1..),
        };
        while let Some((argument, number)) = parser.left.next() {
            let at = Place::Argument(number);
            if argument == "--" {
                let rest = parser.left.by_ref().map(|(word, _)| word.clone());
                parser.line.stray.extend(rest);
            } else if let Some(long) = argument.strip_prefix("--") {
                parser.long(long, at);
            } else if let Some(letters) = argument.strip_prefix('-')
                && !letters.is_empty()
            {
                parser.letters(letters, at);
            } else {
                parser.line.stray.push(argument.clone());
            }
        }
        (parser.line, parser.problems)
    }

    /// The last value of an option.
    pub(super) fn last(&self, name: &str) -> Option<&Placed<String>> {
        let mut given = self.given.iter().rev();
        given
            .find(|(row, _)| row.name == name)
            .map(|(_, value)| value)
    }
}

struct Parser<'a, I: Iterator<Item = (&'a String, usize)>> {
    line: CommandLine,
    problems: Vec<Problem>,
    left: I,
}

impl<'a, I: Iterator<Item = (&'a String, usize)>> Parser<'a, I> {
    /// Reads the part after `--`.
    fn long(&mut self, text: &str, at: Place) {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if matches!(name, "help" | "help-all") {
            self.line.wants_help = true;
            return;
        }
        let Some(row) = OptionRow::of(name) else {
            let hint = OptionRow::near(name).map_or_else(
                || "--help lists those there are".to_owned(),
                |near| format!("did you mean --{near}?"),
            );
            self.problem(at, format!("unknown option --{name}; {hint}"));
            return;
        };
        match value {
            Some(value) => self.give(row, value, at),
            None => self.value_follows(row, at),
        }
    }

    /// Reads the part after `-`.
    fn letters(&mut self, text: &str, at: Place) {
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if matches!(letter, 'h' | '?') {
                self.line.wants_help = true;
                continue;
            }
            let Some(row) = OptionRow::of_letter(letter) else {
                self.problem(at, format!("unknown option -{letter} in `-{text}`"));
                return;
            };
            let rest = letters.as_str();
            if row.takes != Takes::Flag && !rest.is_empty() {
                self.give(row, rest, at);
                return;
            }
            self.value_follows(row, at);
        }
    }

    fn value_follows(&mut self, row: &'static OptionRow, at: Place) {
        if row.takes == Takes::Flag {
            self.give(row, "true", at);
        } else if let Some((value, number)) = self.left.next() {
            // Also when it starts with a dash: -t -1.
            self.give(row, value, Place::Argument(number));
        } else {
            self.problem(at, format!("--{} needs a value", row.name));
        }
    }

    fn give(&mut self, row: &'static OptionRow, value: &str, at: Place) {
        let value = Placed {
            value: value.to_owned(),
            at,
        };
        self.line.given.push((row, value));
    }

    fn problem(&mut self, at: Place, message: String) {
        self.problems.push(Problem { at, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> (CommandLine, Vec<Problem>) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        CommandLine::parse(&words)
    }

    #[track_caller]
    fn assert_given(line: &str, expected: &[(&str, &str)]) {
        let (parsed, problems) = parse(line);
        assert_eq!(problems, []);
        let given = parsed.given.iter();
        let given: Vec<(&str, &str)> = given
            .map(|(row, value)| (row.name, value.value.as_str()))
            .collect();
        assert_eq!(given, expected);
    }

    #[test]
    fn long_and_short_forms_are_the_same() {
        assert_given(
            "-f -E -L 7 -t -1",
            &[
                ("foreground", "true"),
                ("log-stderr", "true"),
                ("log-level", "7"),
                ("table", "-1"),
            ],
        );
        assert_given(
            "-fEL7 --log-level=6 --log-level 5 --table=-1",
            &[
                ("foreground", "true"),
                ("log-stderr", "true"),
                ("log-level", "7"),
                ("log-level", "6"),
                ("log-level", "5"),
                ("table", "-1"),
            ],
        );
        assert_given("-fL 7", &[("foreground", "true"), ("log-level", "7")]);
        assert_given("--foreground=false", &[("foreground", "false")]);
        assert_given("--software-id=a=b", &[("software-id", "a=b")]);
    }

    #[test]
    fn mistakes_name_option_and_argument() {
        let (_, problems) = parse("-f --portmin 5 -fZ -n");
        let found: Vec<(Place, &str)> = problems
            .iter()
            .map(|problem| (problem.at, problem.message.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (
                    Place::Argument(2),
                    "unknown option --portmin; did you mean --port-min?"
                ),
                (Place::Argument(4), "unknown option -Z in `-fZ`"),
                (Place::Argument(5), "--listen-ng needs a value"),
            ]
        );
    }

    #[test]
    fn stray_arguments_and_help_are_kept_apart() {
        let (line, problems) = parse("x - -h -- -f y");
        assert_eq!(problems, []);
        assert!(line.wants_help && line.given.is_empty());
        assert_eq!(line.stray, ["x", "-", "-f", "y"]);
    }
}
