//! `windlass demo`.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use windlass::config::Config;
use windlass::daemon::Daemon;
use windlass::demo::{self, Engine, Options};
use windlass::observe::log;
use windlass::setup;

use super::Outcome;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts relay and SIP edge on loopback and places a call through them. The caller sits behind a
simulated NAT: its SDP names an address that it does not have. The callee speaks IPv6. Both send
G.711 audio; what each hears is measured. Needs no configuration, no root and no network.

Exits with 0 if at least 99.9 % of the packets arrived in each direction, else with 1.

Examples:
  windlass demo
  windlass demo --seconds 60 --json
  windlass demo --keep                          # then call it with a softphone on this host
  windlass demo --keep --address 192.168.1.20   # or from any phone that reaches this address")]
pub(crate) struct DemoArgs {
    /// How long the phones talk
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=Options::MAX_SECONDS)
    )]
    seconds: u64,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    /// Stay when the call is over and answer calls of real phones with an echo, until Ctrl-C
    #[arg(long)]
    keep: bool,

    /// IPv4 address of this host for relay and edge, so that phones elsewhere reach them
    #[arg(long, value_name = "IP", default_value_t = Ipv4Addr::LOCALHOST)]
    address: Ipv4Addr,

    /// What is logged meanwhile: error, warn, info, debug, trace, or a filter per target
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log_level: String,
}

pub(crate) fn demo(args: &DemoArgs) -> Outcome {
    let mut quiet = Config::default();
    quiet.log.level.clone_from(&args.log_level);
    let _log = log::start(setup::logging(&quiet))?;
    let options = Options {
        seconds: args.seconds,
        json: args.json,
        keep: args.keep,
        address: Some(args.address).filter(|address| !address.is_loopback()),
    };
    let passed = demo::run(options, engine)?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Starts the relay with its edge in this process.
fn engine(config: Config) -> Result<Engine, String> {
    let daemon = Daemon::start(&config).map_err(|error| error.to_string())?;
    let ng_udp = daemon
        .ng_udp()
        .first()
        .copied()
        .ok_or("the relay has no ng address")?;
    let edge = daemon.edge();
    Ok(Engine {
        ng_udp,
        edge,
        stop: Box::new(|| daemon.stop()),
    })
}
