//! `windlass run` and `windlass check`.

use std::path::PathBuf;
use std::process::ExitCode;

use windlass::config::{Config, Flags, preflight};
use windlass::observe::log;

use super::Outcome;

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

const RUN_HELP: &str = "\
Every flag overrides the file. Flags can be given as environment variables too: --log-level is
WINDLASS_LOG_LEVEL, and so on; several values are separated by ';'.

Examples:
  windlass run --interface 203.0.113.1
  windlass run --interface ext/10.0.0.1!198.51.100.99 --interface int/10.0.0.1 \\
               --port-min 20000 --port-max 29999
  windlass run --config /etc/windlass.toml --log-level debug

A file with everything in it; all but one [[interface]] is optional, values shown are the defaults
unless marked with (*):
  [[interface]]
  name = \"ext\"                     # (*) what `direction` of an ng command calls it
  address = \"203.0.113.1\"          # (*) a local IPv4 or IPv6 address
  advertise = \"198.51.100.99\"      # (*) what peers are told, behind a 1:1 NAT
  port_min = 30000                 # (*) ports of this address, if not those of [ports]
  port_max = 30999
  [ports]
  min = 30000
  max = 39999
  [ng]
  udp = [\"127.0.0.1:2223\"]         # loopback only
  tcp = []
  [media]
  learning = \"guarded\"             # heuristic, delayed, immediate, off
  signalling_hops = []             # proxies in front of the one that speaks ng
  tos = 0
  [timeouts]                       # seconds
  media = 60
  silent = 3600
  offer = 3600
  final = 0                        # 0: none
  delete_delay = 30
  [limits]
  max_sessions = 1000              # (*) default: no limit
  [log]
  level = \"info\"
  format = \"human\"                 # json
  [workers]
  count = 2                        # (*) default: one per core
  [edge]                           # (*) the bundled SIP edge; default: none
  listen = [\"127.0.0.1:5060\"]
  advertise = \"sip.example.com:5060\"
  upstream = \"127.0.0.1:5080\"
  ng = \"127.0.0.1:2223\"            # default: the relay of this process
  direction = [\"ext\", \"int\"]       # interfaces towards callers and towards upstream
  address_family = \"IP6\"           # of the SDP sent upstream; default: as received";

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
    relay(config)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(args: &CheckArgs) -> Outcome {
    match Config::load(Some(&args.file), &Flags::default()) {
        Ok(_) => {
            println!("ok");
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            println!("{problems}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Runs the relay until it is asked to end.
fn relay(_config: Config) -> Result<(), String> {
    Err("this build has no relay yet".to_owned())
}
