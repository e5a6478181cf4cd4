//! The look of a log line in rtpengine's form (spec: media-behaviour §16):
//! `[seconds] LEVEL: [call-id]: [subsystem] text`.

use std::fmt::Write as _;
use std::time::Duration;

use tracing::Level;
use windlass_ng::shown::{Escape, needs_escape};

use crate::config::topic::{CallPrefix, Syslog};

/// Form of log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    call_prefix: CallPrefix,
    /// The time stands first.
    timestamps: bool,
    /// A text of several lines is several lines of log.
    split: bool,
    /// Longer lines are broken.
    max_chars: Option<usize>,
    mark_prefix: String,
    mark_suffix: String,
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
    /// The form that the settings ask for. A syslog knows the time itself, and takes no long lines.
    pub(crate) fn new(settings: &Syslog) -> Self {
        let max = match (settings.max_line_length, settings.engine) {
            (Some(max), _) => usize::try_from(max).unwrap_or(usize::MAX),
            (None, true) => SYSLOG_LINE_CHARS,
            (None, false) => 0,
        };
        Self {
            call_prefix: settings.call_prefix,
            timestamps: settings.timestamps && !settings.engine,
            split: settings.split_lines,
            max_chars: (max > 0).then_some(max),
            mark_prefix: settings.mark_prefix.clone(),
            mark_suffix: settings.mark_suffix.clone(),
        }
    }

    /// The lines of an entry, each with its end.
    pub(crate) fn lines(&self, entry: Entry<'_>) -> String {
        let mut out = String::new();
        let parts = entry
            .text
            .split('\n')
            .map(|part| part.trim_end_matches('\r'));
        match self.split {
            true => {
                for part in parts.filter(|part| !part.is_empty()) {
                    self.line(&mut out, entry, part);
                }
            }
            false => self.line(&mut out, entry, entry.text),
        }
        out
    }

    /// A value between the marks.
    pub(crate) fn marked(&self, value: &str) -> String {
        format!("{}{value}{}", self.mark_prefix, self.mark_suffix)
    }

    fn line(&self, out: &mut String, entry: Entry<'_>, text: &str) {
        let mut body = String::new();
        if let Some(id) = entry.call_id {
            let before = match self.call_prefix {
                CallPrefix::Brackets => "[",
                CallPrefix::Parsable => "[ID=\"",
            };
            body.push_str(before);
            write_safe(&mut body, id);
            body.push_str(match self.call_prefix {
                CallPrefix::Brackets => "]: ",
                CallPrefix::Parsable => "\"]: ",
            });
        }
        let _ = write!(body, "[{}] ", entry.subsystem);
        write_safe(&mut body, text);
        let mut rest = body.as_str();
        let mut is_first = true;
        loop {
            let cut = self.max_chars.and_then(|max| rest.char_indices().nth(max));
            let (piece, left) = rest.split_at(cut.map_or(rest.len(), |(at, _)| at));
            if self.timestamps {
                let _ = write!(
                    out,
                    "[{}.{:06}] ",
                    entry.at.as_secs(),
                    entry.at.subsec_micros()
                );
            }
            let before = if is_first { "" } else { "... " };
            let after = if left.is_empty() { "" } else { " ..." };
            let _ = writeln!(out, "{}: {before}{piece}{after}", name(entry.level));
            if left.is_empty() {
                return;
            }
            (rest, is_first) = (left, false);
        }
    }
}

/// Longest line for a syslog that is not told another (spec: media-behaviour §20).
const SYSLOG_LINE_CHARS: usize = 500;

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
fn write_safe(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            c if needs_escape(c) => {
                let _ = write!(out, "{}", Escape(c));
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let form = Form::new(&Syslog::default());
        assert_eq!(
            form.lines(entry(
                Some("c1"),
                "Received command 'offer' from 127.0.0.1:47542"
            )),
            "[1795259206.248917] INFO: [c1]: [control] Received command 'offer' from 127.0.0.1:47542\n"
        );
        let warning = Entry {
            level: Level::WARN,
            subsystem: "core",
            ..entry(None, "odd")
        };
        assert_eq!(
            form.lines(warning),
            "[1795259206.248917] WARNING: [core] odd\n"
        );
    }

    #[test]
    fn settings_change_the_line() {
        let form = Form::new(&Syslog {
            call_prefix: CallPrefix::Parsable,
            timestamps: false,
            mark_prefix: "<<".to_owned(),
            mark_suffix: ">>".to_owned(),
            ..Syslog::default()
        });
        assert_eq!(
            form.lines(entry(Some("c1"), "x")),
            "INFO: [ID=\"c1\"]: [control] x\n"
        );
        assert_eq!(form.marked("192.0.2.1:4000"), "<<192.0.2.1:4000>>");
        let to_syslog = Form::new(&Syslog {
            engine: true,
            ..Syslog::default()
        });
        let long = "y".repeat(600);
        let lines = to_syslog.lines(entry(None, &long));
        assert!(lines.starts_with("INFO: [control] yyy"), "{lines}");
        assert_eq!(lines.lines().count(), 2);
        let to_stderr = Form::new(&Syslog::default());
        assert_eq!(to_stderr.lines(entry(None, &long)).lines().count(), 1);
    }

    #[test]
    fn long_lines_are_broken() {
        let form = Form::new(&Syslog {
            max_line_length: Some(15),
            timestamps: false,
            ..Syslog::default()
        });
        assert_eq!(
            form.lines(entry(None, "abcdefghij")),
            "INFO: [control] abcde ...\nINFO: ... fghij\n"
        );
    }

    #[test]
    fn texts_of_several_lines_are_split_or_stay_one() {
        let text = "v=0\r\ns=-\r\n";
        let settings = Syslog {
            timestamps: false,
            ..Syslog::default()
        };
        assert_eq!(
            Form::new(&settings).lines(entry(None, text)),
            "INFO: [control] v=0\\r\\ns=-\\r\\n\n"
        );
        let split = Form::new(&Syslog {
            split_lines: true,
            ..settings
        });
        assert_eq!(
            split.lines(entry(Some("c"), text)),
            "INFO: [c]: [control] v=0\nINFO: [c]: [control] s=-\n"
        );
    }

    #[test]
    fn hostile_call_ids_make_no_lines_of_their_own() {
        let form = Form::new(&Syslog {
            split_lines: true,
            timestamps: false,
            ..Syslog::default()
        });
        assert_eq!(
            form.lines(entry(Some("a\nERR: [core] \u{1b}[2J"), "x")),
            "INFO: [a\\nERR: [core] \\u{1b}[2J]: [control] x\n"
        );
        assert_eq!(
            form.lines(entry(Some("a\u{2028}\u{202e}\u{9b}b"), "\u{feff}\u{e0041}")),
            "INFO: [a\\u{2028}\\u{202e}\\u{9b}b]: [control] \\u{feff}\\u{e0041}\n"
        );
    }
}
