//! `windlass run` and `windlass check`.

use std::path::PathBuf;
use std::process::ExitCode;

use windlass::config::{Config, Flags, preflight};
use windlass::daemon;
use windlass::observe::log;

use super::{Outcome, print};

#[derive(Debug, clap::Args)]
#[command(after_help = RUN_HELP)]
pub(crate) struct RunArgs {
    /// The configuration file (TOML)
    #[arg(
        long,
        short,
        value_name = "FILE",
        env = "WINDLASS_CONFIG",
        hide_env = true
    )]
    config: Option<PathBuf>,

    #[command(flatten)]
    flags: Flags,
}

const RUN_HELP: &str = concat!(
    "\
Every flag overrides the file. Flags can be given as environment variables too: --log-level is
WINDLASS_LOG_LEVEL, and so on; several values are separated by ';'.

Examples:
  windlass run --interface 203.0.113.1
  windlass run --interface ext/10.0.0.1!198.51.100.99 --interface int/10.0.0.1 \\
               --port-min 20000 --port-max 29999
  windlass run --config /etc/windlass.toml --log-level debug

A configuration file:

",
    include_str!("../config/example.toml")
);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints 'ok' and exits with 0, or prints FILE:LINE:COLUMN: MISTAKE for every mistake and exits
with 1. Reads nothing but the file: whether the addresses are local is checked by 'run'.")]
pub(crate) struct CheckArgs {
    /// The configuration file (TOML)
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &RunArgs) -> Outcome {
    let config = match Config::load(args.config.as_deref(), &args.flags) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    log::start(&config.log)?;
    for warning in preflight::run(&config)? {
        tracing::warn!("{warning}");
    }
    daemon::run(&config)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(args: &CheckArgs) -> Outcome {
    match Config::load(Some(&args.file), &Flags::default()) {
        Ok(_) => {
            print("ok\n")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            print(&format!("{problems}\n"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}
