//! The text of a saved [`State`] (spec §9 "Restart"), for a file: a head with the version, a line for
//! each entry, and a last line with their number, so that a file that was cut short is known as such.
//!
//! ```text
//! windlass-screen 1 1767225600000
//! ban 00…13c4 5 1 2 17 3600000 0 60000 1000
//! end 1
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use super::address::Source;
use super::auth::SavedGuess;
use super::persist::{SavedBan, SavedTrust, SavedUser, State, VERSION};
use crate::limits;
use crate::record::clock::Wall;

/// Why a text is no saved state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextError {
    #[error("line {0} is broken")]
    Line(usize),
    #[error("it is cut short")]
    Short,
    #[error("format {0}, {VERSION} and earlier are known")]
    Version(u16),
}

/// The text of a state that was saved at `at`. What is over [`limits::SAVED_LINES`] is left out,
/// bans last.
pub(crate) fn write(state: &State, at: Wall) -> String {
    let mut out = String::new();
    let mut lines = 0;
    let mut line = |text: std::fmt::Arguments<'_>| {
        if lines < limits::SAVED_LINES {
            lines += 1;
            // Writing to a string cannot fail.
            let _ = out.write_fmt(text);
            out.push('\n');
        }
    };
    for ban in &state.bans {
        let stage = ban.stage.map_or_else(|| "-".to_owned(), |s| s.to_string());
        line(format_args!(
            "ban {} {stage} {} {} {} {} {} {} {}",
            hex(&ban.source.to_bytes()),
            u8::from(ban.is_verified),
            ban.times,
            ban.refused,
            ban.remaining.as_millis(),
            ban.over_for.as_millis(),
            ban.first.as_millis(),
            ban.last.as_millis(),
        ));
    }
    for guess in &state.sources {
        line(format_args!(
            "source {} {} {}",
            hex(&guess.source.to_bytes()),
            counts(&guess.failures),
            counts(&guess.verified),
        ));
    }
    for user in &state.users {
        line(format_args!(
            "user {} {}",
            hex(&user.user),
            counts(&user.failures)
        ));
    }
    for trust in &state.trusted {
        line(format_args!(
            "trust {} {}",
            hex(&trust.source.to_bytes()),
            trust.remaining.as_millis(),
        ));
    }
    format!(
        "windlass-screen {} {}\n{out}end {lines}\n",
        state.version, at.0
    )
}

/// The state in a text, and when it was saved.
pub(crate) fn read(text: &str) -> Result<(State, Wall), TextError> {
    let mut lines = text.lines().enumerate();
    let (_, head) = lines.next().ok_or(TextError::Short)?;
    let mut words = head.split(' ');
    let (Some("windlass-screen"), Some(version), Some(at), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(TextError::Line(1));
    };
    let version = version.parse().map_err(|_| TextError::Line(1))?;
    if version > VERSION {
        return Err(TextError::Version(version));
    }
    let at = Wall(at.parse().map_err(|_| TextError::Line(1))?);
    let mut state = State {
        version,
        ..State::default()
    };
    for (number, line) in lines {
        if number > limits::SAVED_LINES + 1 {
            return Err(TextError::Line(number + 1));
        }
        match entry(line, &mut state) {
            Some(Entry::Taken) => {}
            Some(Entry::End(count)) if count == number - 1 => return Ok((state, at)),
            _ => return Err(TextError::Line(number + 1)),
        }
    }
    Err(TextError::Short)
}

enum Entry {
    Taken,
    End(usize),
}

fn entry(line: &str, state: &mut State) -> Option<Entry> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    let mut word = || words.next();
    match kind {
        "ban" => state.bans.push(SavedBan {
            source: source(word()?)?,
            stage: match word()? {
                "-" => None,
                stage => Some(stage.parse().ok()?),
            },
            is_verified: word()? == "1",
            times: word()?.parse().ok()?,
            refused: word()?.parse().ok()?,
            remaining: time(word()?)?,
            over_for: time(word()?)?,
            first: time(word()?)?,
            last: time(word()?)?,
        }),
        "source" => state.sources.push(SavedGuess {
            source: source(word()?)?,
            failures: sixteen(word()?)?,
            verified: sixteen(word()?)?,
        }),
        "user" => state.users.push(SavedUser {
            user: unhex(word()?)?,
            failures: sixteen(word()?)?,
        }),
        "trust" => state.trusted.push(SavedTrust {
            source: source(word()?)?,
            remaining: time(word()?)?,
        }),
        "end" => return Some(Entry::End(word()?.parse().ok()?)),
        _ => return None,
    }
    words.next().is_none().then_some(Entry::Taken)
}

fn time(word: &str) -> Option<Duration> {
    word.parse().ok().map(Duration::from_millis)
}

fn source(word: &str) -> Option<Source> {
    let bytes = unhex(word)?;
    Some(Source::from_bytes(bytes.try_into().ok()?))
}

fn counts(counts: &[u16; 16]) -> String {
    counts.map(|count| count.to_string()).join(",")
}

fn sixteen(word: &str) -> Option<[u16; 16]> {
    let counts: Option<Vec<u16>> = word.split(',').map(|count| count.parse().ok()).collect();
    counts?.try_into().ok()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_whole = text.len() <= limits::KEY_BYTES * 2 && text.len().is_multiple_of(2);
    digits.map(byte).collect::<Option<_>>().filter(|_| is_whole)
}
