//! Logging: `tracing` events to stderr, for people or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat};

/// Starts logging for this process. Called once, by `main`.
///
/// # Errors
/// The level is no filter, or something logs already.
pub fn start(log: &Log) -> Result<(), String> {
    let filter = filter(&log.level)?;
    let builder = fmt::Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Human => builder
            .with_ansi(io::stderr().is_terminal())
            .with_target(true)
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| format!("logging cannot be started: {error}"))
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
}
