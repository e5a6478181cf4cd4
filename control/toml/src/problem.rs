//! Mistakes in a configuration, with their places.

use std::fmt;
use std::path::PathBuf;

use strsim::levenshtein;

/// One thing that is wrong, and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Place of the mistake.
    pub at: Place,
    /// The mistake, and what was expected.
    pub message: String,
}

/// Place of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A flag of the command line, or its environment variable.
    Flag(&'static str),
    /// An argument of a command line in rtpengine's manner; the first is 1.
    Argument(usize),
    /// A place in the file; both numbers count from 1, columns in characters.
    File {
        /// Line of the file.
        line: usize,
        /// Column of the line.
        column: usize,
    },
    /// The configuration as a whole: something is missing.
    Whole,
}

impl Place {
    /// The place of a byte offset in `text`.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self::File {
            line: before.matches('\n').count() + 1,
            column: before.chars().count() - before[..line_start].chars().count() + 1,
        }
    }
}

/// A value and where it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: Place,
}

impl<T> Placed<T> {
    /// A value of a flag of the command line.
    pub fn flag(name: &'static str, value: T) -> Self {
        Self {
            value,
            at: Place::Flag(name),
        }
    }
}

/// Everything that is wrong with a configuration, in order of place; one line each when printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file, if one was read.
    pub path: Option<PathBuf>,
    /// All mistakes; at least one.
    pub list: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (problem.at, &self.path) {
                (Place::Flag(flag), _) => write!(f, "{flag}: ")?,
                (Place::Argument(number), _) => write!(f, "argument {number}: ")?,
                (Place::File { line, column }, Some(path)) => {
                    write!(f, "{}:{line}:{column}: ", path.display())?;
                }
                (Place::File { line, column }, None) => write!(f, "{line}:{column}: ")?,
                (Place::Whole, Some(path)) => write!(f, "{}: ", path.display())?,
                (Place::Whole, None) => {}
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The entry of `valid` that `word` was probably meant to be.
pub fn nearest<'v>(word: &str, valid: &[&'v str]) -> Option<&'v str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    valid
        .iter()
        .map(|candidate| {
            (
                levenshtein(&word, &candidate.to_ascii_lowercase()),
                *candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_counts_lines_and_characters_from_one() {
        let text = "a = 1\n\"ü\" = 2 # x\n";
        assert_eq!(Place::of(text, 0), Place::File { line: 1, column: 1 });
        let offset = text.find('2').unwrap();
        assert_eq!(Place::of(text, offset), Place::File { line: 2, column: 7 });
    }

    #[test]
    fn nearest_forgives_typing_errors_only() {
        let keys = ["media", "silent", "delete_delay"];
        assert_eq!(nearest("medai", &keys), Some("media"));
        assert_eq!(nearest("delete-delay", &keys), Some("delete_delay"));
        assert_eq!(nearest("colour", &keys), None);
    }
}
