//! The look of a log line in rtpengine's form (spec: media-behaviour §16):
//! `[seconds] LEVEL: [call-id]: [subsystem] text`.

use std::fmt::{self, Write};
use std::time::Duration;

use tracing::Level;
use windlass_ng::shown::{Escape, needs_escape};

/// How a log line names its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallPrefix {
    /// `[call-id]: `.
    #[default]
    Brackets,
    /// `ID="call-id"`.
    Parsable,
}

/// Form of log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// How a line names its call.
    pub call_prefix: CallPrefix,
    /// The time stands first.
    pub timestamps: bool,
    /// A text of several lines is several lines of log.
    pub split: bool,
    /// Longer lines are broken; `None`: none is.
    pub max_chars: Option<usize>,
    /// Stands before addresses and tags.
    pub mark_prefix: String,
    /// Stands after them.
    pub mark_suffix: String,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            call_prefix: CallPrefix::default(),
            timestamps: true,
            split: false,
            max_chars: None,
            mark_prefix: String::new(),
            mark_suffix: String::new(),
        }
    }
}

/// One event to log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// Time since 1970.
    pub(crate) at: Duration,
    pub(crate) level: Level,
    pub(crate) subsystem: &'static str,
    pub(crate) call_id: Option<&'a str>,
    pub(crate) text: &'a str,
}

impl Form {
    /// Writes the lines of an entry, each with its end.
    pub(crate) fn write(&self, out: &mut impl Write, entry: Entry<'_>) -> fmt::Result {
        if !self.split {
            return self.line(out, entry, entry.text);
        }
        let parts = entry.text.split('\n');
        let parts = parts.map(|part| part.trim_end_matches('\r'));
        for part in parts.filter(|part| !part.is_empty()) {
            self.line(out, entry, part)?;
        }
        Ok(())
    }

    fn line(&self, out: &mut impl Write, entry: Entry<'_>, text: &str) -> fmt::Result {
        let Some(max) = self.max_chars else {
            self.head(out, entry, "")?;
            self.body(out, entry, text)?;
            return out.write_char('\n');
        };
        let mut body = String::new();
        self.body(&mut body, entry, text)?;
        let (mut rest, mut before) = (body.as_str(), "");
        loop {
            let cut = rest.char_indices().nth(max);
            let (piece, left) = rest.split_at(cut.map_or(rest.len(), |(at, _)| at));
            self.head(out, entry, before)?;
            out.write_str(piece)?;
            out.write_str(if left.is_empty() { "\n" } else { " ...\n" })?;
            if left.is_empty() {
                return Ok(());
            }
            (rest, before) = (left, "... ");
        }
    }

    /// What stands first in every line.
    fn head(&self, out: &mut impl Write, entry: Entry<'_>, before: &str) -> fmt::Result {
        if self.timestamps {
            let (seconds, micros) = (entry.at.as_secs(), entry.at.subsec_micros());
            write!(out, "[{seconds}.{micros:06}] ")?;
        }
        out.write_str(name(entry.level))?;
        out.write_str(": ")?;
        out.write_str(before)
    }

    fn body(&self, out: &mut impl Write, entry: Entry<'_>, text: &str) -> fmt::Result {
        if let Some(id) = entry.call_id {
            let (before, after) = match self.call_prefix {
                CallPrefix::Brackets => ("[", "]: "),
                CallPrefix::Parsable => ("[ID=\"", "\"]: "),
            };
            out.write_str(before)?;
            write_safe(out, id)?;
            out.write_str(after)?;
        }
        out.write_char('[')?;
        out.write_str(entry.subsystem)?;
        out.write_str("] ")?;
        write_safe(out, text)
    }
}

/// rtpengine's name of a level.
fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// Text of peers must not pass for lines of ours, nor steer a terminal.
fn write_safe(out: &mut impl Write, text: &str) -> fmt::Result {
    // The usual text, in one piece.
    if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        return out.write_str(text);
    }
    for c in text.chars() {
        match c {
            '\t' => out.write_char(' ')?,
            c if needs_escape(c) => write!(out, "{}", Escape(c))?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(form: &Form, entry: Entry<'_>) -> String {
        let mut lines = String::new();
        form.write(&mut lines, entry).unwrap();
        lines
    }

    fn entry<'a>(call_id: Option<&'a str>, text: &'a str) -> Entry<'a> {
        Entry {
            at: Duration::new(1_795_259_206, 248_917_000),
            level: Level::INFO,
            subsystem: "control",
            call_id,
            text,
        }
    }

    #[test]
    fn line_has_rtpengines_prefix() {
        let form = Form::default();
        let received = "Received command 'offer' from 127.0.0.1:47542";
        assert_eq!(
            lines(&form, entry(Some("c1"), received)),
            "[1795259206.248917] INFO: [c1]: [control] Received command 'offer' from 127.0.0.1:47542\n"
        );
        let warning = Entry {
            level: Level::WARN,
            subsystem: "core",
            ..entry(None, "odd")
        };
        assert_eq!(
            lines(&form, warning),
            "[1795259206.248917] WARNING: [core] odd\n"
        );
    }

    #[test]
    fn settings_change_the_line() {
        let form = Form {
            call_prefix: CallPrefix::Parsable,
            timestamps: false,
            ..Form::default()
        };
        assert_eq!(
            lines(&form, entry(Some("c1"), "x")),
            "INFO: [ID=\"c1\"]: [control] x\n"
        );
        let long = "y".repeat(600);
        let whole = lines(&Form::default(), entry(None, &long));
        assert_eq!(whole.lines().count(), 1);
    }

    #[test]
    fn long_lines_are_broken() {
        let form = Form {
            max_chars: Some(15),
            timestamps: false,
            ..Form::default()
        };
        assert_eq!(
            lines(&form, entry(None, "abcdefghij")),
            "INFO: [control] abcde ...\nINFO: ... fghij\n"
        );
    }

    #[test]
    fn texts_of_several_lines_are_split_or_stay_one() {
        let text = "v=0\r\ns=-\r\n";
        let whole = Form {
            timestamps: false,
            ..Form::default()
        };
        assert_eq!(
            lines(&whole, entry(None, text)),
            "INFO: [control] v=0\\r\\ns=-\\r\\n\n"
        );
        let split = Form {
            split: true,
            ..whole
        };
        assert_eq!(
            lines(&split, entry(Some("c"), text)),
            "INFO: [c]: [control] v=0\nINFO: [c]: [control] s=-\n"
        );
    }

    #[test]
    fn hostile_call_ids_make_no_lines_of_their_own() {
        let form = Form {
            split: true,
            timestamps: false,
            ..Form::default()
        };
        assert_eq!(
            lines(&form, entry(Some("a\nERR: [core] \u{1b}[2J"), "x")),
            "INFO: [a\\nERR: [core] \\u{1b}[2J]: [control] x\n"
        );
        assert_eq!(
            lines(
                &form,
                entry(Some("a\u{2028}\u{202e}\u{9b}b"), "\u{feff}\u{e0041}")
            ),
            "INFO: [a\\u{2028}\\u{202e}\\u{9b}b]: [control] \\u{feff}\\u{e0041}\n"
        );
    }
}
