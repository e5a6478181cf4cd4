//! `windlass import`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use windlass::config::{Problems, compat};

use super::{Outcome, print};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the equivalent TOML; comments at its top name what has no counterpart. A file that
contradicts itself is refused as 'run' would refuse it: FILE:LINE:COLUMN: MISTAKE, and 1 as the
exit code.

Examples:
  windlass import /etc/rtpengine/rtpengine.conf > windlass.toml
  windlass check windlass.toml")]
pub(crate) struct ImportArgs {
    /// The configuration file of rtpengine
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The section of the file that counts
    #[arg(long, value_name = "NAME", default_value = compat::PROGRAM)]
    section: String,
}

pub(crate) fn import(args: &ImportArgs) -> Outcome {
    let text = fs::read_to_string(&args.file)
        .map_err(|error| format!("{}: {error}", args.file.display()))?;
    match compat::import(&text, &args.section) {
        Ok(toml) => {
            print(&toml)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(list) => {
            let path = Some(args.file.clone());
            eprintln!("{}", Problems { path, list });
            Ok(ExitCode::FAILURE)
        }
    }
}
