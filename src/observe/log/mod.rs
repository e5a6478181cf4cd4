//! Logging: `tracing` events to stderr, for people or as JSON, or to stderr or the syslog in
//! rtpengine's form.

mod event;
pub(crate) mod line;
mod sink;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::{fmt, reload};

use super::syslog::Facility;
use crate::config::topic::Syslog;
use crate::config::{Log, LogFormat};
use line::Form;
use sink::Sink;

/// Starts logging for this process. Called once, by `main`. What goes to the syslog has
/// rtpengine's form, whatever `log` says.
///
/// # Errors
/// The level is no filter, or something logs already.
pub fn start(log: &Log, syslog: &Syslog) -> Result<(), String> {
    let filter = filter(&log.level)?;
    if syslog.engine || log.format == LogFormat::Rtpengine {
        let facility: Result<Facility, _> = syslog.facility.to_string().parse();
        let sink = match syslog.engine {
            true => Sink::syslog(facility.map_err(|error| error.to_string())?, &syslog.name),
            false => Sink::Stderr,
        };
        let builder = fmt::Subscriber::builder()
            .with_env_filter(filter)
            .with_writer(sink)
            .event_format(Form::new(syslog))
            .with_filter_reloading();
        keep(builder.reload_handle());
        return builder.try_init().map_err(not_started);
    }
    let builder = fmt::Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Human | LogFormat::Rtpengine => {
            let builder = builder.with_ansi(io::stderr().is_terminal());
            let builder = builder.with_target(true).with_filter_reloading();
            keep(builder.reload_handle());
            builder.try_init()
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            keep(builder.reload_handle());
            builder.try_init()
        }
    };
    started.map_err(not_started)
}

fn not_started(error: impl std::fmt::Display) -> String {
    format!("logging cannot be started: {error}")
}

/// Replaces the filter of this process.
///
/// # Errors
/// The level is no filter, or nothing logs yet.
pub fn set_filter(level: &str) -> Result<(), String> {
    let filter = filter(level)?;
    let replace = REPLACE.get().ok_or("logging was not started")?;
    replace(filter)
}

/// A level of syslog as one of ours. 5, notice, has no counterpart: what it would leave out is
/// shown.
pub fn level_name(severity: i64) -> &'static str {
    match severity {
        ..0 => "off",
        0..=3 => "error",
        4 => "warn",
        5 | 6 => "info",
        7 => "debug",
        8.. => "trace",
    }
}

/// The next level below (`step` −1) or above (1) that says less or more.
pub fn stepped(severity: i64, step: i64) -> i64 {
    let mut next = severity;
    while (-1..=8).contains(&(next + step)) {
        next += step;
        if level_name(next) != level_name(severity) {
            break;
        }
    }
    next
}

/// A level of ours as one of syslog: of a filter, what holds for everything else.
pub fn severity(filter: &str) -> i64 {
    let mut directives = filter.split(',').map(str::trim);
    match directives.find(|directive| LEVELS.contains(directive)) {
        Some("off") => -1,
        Some("error") => 3,
        Some("warn") => 4,
        Some("debug") => 7,
        Some("trace") => 8,
        _ => 6,
    }
}

type Replace = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Replaces the filter of the process; logging exists once per process.
static REPLACE: OnceLock<Replace> = OnceLock::new();

fn keep<S: 'static>(handle: reload::Handle<EnvFilter, S>) {
    let replace = move |filter| {
        let replaced = handle.reload(filter);
        replaced.map_err(|error| error.to_string())
    };
    // A second start fails in any case.
    let _ = REPLACE.set(Box::new(replace));
}

/// Whether `level` is a level or a filter per target.
///
/// # Errors
/// What it should have been.
pub fn check_filter(level: &str) -> Result<(), String> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    // The filter language takes any word for a target; what stands alone must be a level here, or
    // a typing error would silently log nothing.
    let spans = level.contains('[');
    for directive in level.split(',').map(str::trim) {
        if !spans && !directive.contains('=') && !LEVELS.contains(&directive) {
            return Err(format!(
                "`{directive}` is no log level; levels are {}, for one target write \
                 windlass::call=debug",
                LEVELS.join(", ")
            ));
        }
    }
    EnvFilter::try_new(level).map_err(|error| format!("`{level}` is no log filter: {error}"))
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_or_targets() {
        for good in ["info", "warn,windlass::call=debug", "windlass=trace"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["inof", "", "info,verbose", "windlass=loud"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn severities_are_levels_and_back() {
        for (filter, expected) in [("info", 6), ("debug,hyper=off", 7), ("hyper=off", 6)] {
            assert_eq!(severity(filter), expected, "{filter}");
        }
        for level in LEVELS {
            assert_eq!(level_name(severity(level)), level);
        }
    }
}
