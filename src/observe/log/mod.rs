//! Logging: `tracing` events to stderr, for people or as JSON, or to stderr or the syslog in
//! rtpengine's form. Nobody who logs waits for the reader of the log, see [`super::lines`].

mod budget;
mod event;
pub(crate) mod line;
mod quiet;
mod sink;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::{fmt, reload};

use super::lines::{LineQueue, Outlet};
use super::syslog::Facility;
pub use budget::{LeftOut, LogBudget};
pub use line::{CallPrefix, Form};
pub use quiet::{is_quiet, quietly};
use sink::Sink;

/// What is logged, how and where to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A level, or a filter per target.
    pub level: String,
    /// How the lines look.
    pub shape: Shape,
    /// Who gets them: the syslog, under this facility and name of the program, or standard error.
    pub syslog: Option<(Facility, String)>,
}

/// How lines look.
#[derive(Clone, Debug)]
pub enum Shape {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
    /// rtpengine's.
    Rtpengine(Form),
}

/// The running log. Dropped, it writes what it has (no longer than a few seconds), so it outlives
/// what logs.
#[derive(Debug)]
#[must_use = "the last lines are written when it is dropped"]
pub struct Logging(LineQueue);

impl Logging {
    /// Writes what was logged until now; gives up on a reader that stalls.
    pub fn flush(&self) {
        self.0.flush();
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Starts logging for this process. Called once, by `main`. Panics are logged from then on.
///
/// # Errors
/// The level is no filter, something logs already, or there is no thread to write.
pub fn start(settings: Settings) -> Result<Logging, String> {
    let filter = filter(&settings.level)?;
    let outlet = match &settings.syslog {
        Some((facility, name)) => Outlet::syslog(*facility, name),
        None => Outlet::Stderr,
    };
    let queue = LineQueue::start("log", outlet).map_err(not_started)?;
    let builder = fmt::Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(Sink(queue.clone()));
    let started = match settings.shape {
        Shape::Human => {
            let is_read_by_people = settings.syslog.is_none() && io::stderr().is_terminal();
            let builder = builder.with_ansi(is_read_by_people);
            let builder = builder.with_target(true).with_filter_reloading();
            keep(builder.reload_handle());
            builder.try_init()
        }
        Shape::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            keep(builder.reload_handle());
            builder.try_init()
        }
        Shape::Rtpengine(form) => {
            let builder = builder.event_format(form).with_filter_reloading();
            keep(builder.reload_handle());
            builder.try_init()
        }
    };
    started.map_err(not_started)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(Logging(queue))
}

/// The default hook would write to standard error, and wait for whoever reads it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let reason = panic.payload_as_str().unwrap_or("not said");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let at = panic.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => format!("\n{backtrace}"),
        _ => String::new(),
    };
    tracing::error!(thread, at, "panicked: {reason}{backtrace}");
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
