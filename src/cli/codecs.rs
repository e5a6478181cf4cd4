//! `windlass codecs`.

use std::path::PathBuf;
use std::process::ExitCode;

use windlass::config::{Config, Flags, codecs, topic::Audio};

use super::{Outcome, print};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Codecs that are not supported pass as they are: they are never added to an offer, decoded or
encoded. A library is opened when the relay starts; nothing has to be built.

Examples:
  windlass codecs
  windlass codecs --config /etc/windlass.toml")]
pub(crate) struct CodecsArgs {
    /// The configuration whose [audio] section counts
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn codecs(args: &CodecsArgs) -> Outcome {
    let audio = match &args.config {
        Some(path) => match Config::load(Some(path), &Flags::default()) {
            Ok(config) => config.audio,
            Err(problems) => {
                eprintln!("{problems}");
                return Ok(ExitCode::FAILURE);
            }
        },
        None => Audio::default(),
    };
    let (libraries, found) = codecs::open(&audio);
    print(&codecs::table(&libraries))?;
    print(&format!("\n{}", codecs::libraries(&found)))?;
    Ok(ExitCode::SUCCESS)
}
