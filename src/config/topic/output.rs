//! The process and its log lines, as far as [`crate::config::Log`] does not say.

use super::COUNT;
use crate::config::codec::{Flag, Maybe, Not, Whole, Word, text};
use crate::config::setting::settings;
use crate::observe::log::CallPrefix;
use crate::observe::syslog::Facility;

settings! {
    /// User and rights, background and pidfile.
    pub struct Process ["process"] {
        /// A file with the process number, removed at the end.
        pidfile: Option<String> = None, Maybe(text("a path")), "pidfile", "pidfile";
        /// The command ends when the relay works, which goes on in a session of its own.
        background: bool = false, Not, "background", "foreground";
        /// Who the process runs as, by name or number; `None`: who starts it. It needs to be
        /// started as root then.
        user: Option<String> = None, Maybe(text("the name of a user")), "user";
        /// Its group; `None`: that of the user.
        group: Option<String> = None, Maybe(text("the name of a group")), "group";
        /// Whether capabilities that the configuration does not need are given up at the start.
        drop_privileges: bool = true, Flag, "drop_privileges";
    }
}

settings! {
    /// Log lines for a syslog, and the special logs that only exist when they have a facility
    /// (spec: media-behaviour §16).
    pub struct Syslog ["syslog"] {
        /// The engine's own log goes there, in rtpengine's form, and not to stderr.
        engine: bool = false, Not, "engine", "log-stderr";
        /// Of everything else.
        facility: Facility = Facility::DAEMON, text(FACILITY), "facility",
            "log-facility";
        /// A line at the end of each call; `None`: there is none.
        cdr: Option<Facility> = None, Maybe(text(FACILITY)), "cdr", "log-facility-cdr";
        /// RTCP; `None`: it is not logged.
        rtcp: Option<Facility> = None, Maybe(text(FACILITY)), "rtcp", "log-facility-rtcp";
        /// DTMF digits; `None`: they are not logged.
        dtmf: Option<Facility> = None, Maybe(text(FACILITY)), "dtmf", "log-facility-dtmf";
        /// Name of this program in the lines.
        name: String = "windlass".to_owned(), text("a string"), "name", "log-name";
        /// Form of the call-id in a line.
        call_prefix: CallPrefix = CallPrefix::Brackets, Word(&CALL_PREFIX), "call_prefix",
            "log-format";
        /// Lines carry the time.
        timestamps: bool = true, Not, "timestamps", "no-log-timestamps";
        /// Texts of several lines are logged line by line.
        split_lines: bool = false, Flag, "split_lines", "split-logs";
        /// Longer lines are broken; 0: none is; `None`: those of 500 characters to the syslog.
        max_line_length: Option<u32> = None, Maybe(Whole(0..=COUNT)), "max_line_length",
            "max-log-line-length";
        /// Stands before addresses and tags, so that they can be masked later.
        mark_prefix: String = String::new(), text("a string"), "mark_prefix", "log-mark-prefix";
        /// Stands after them.
        mark_suffix: String = String::new(), text("a string"), "mark_suffix", "log-mark-suffix";
    }
}

const CALL_PREFIX: [(&str, CallPrefix); 2] = [
    ("default", CallPrefix::Brackets),
    ("parsable", CallPrefix::Parsable),
];

const FACILITY: &str = "a syslog facility such as daemon or local0";
