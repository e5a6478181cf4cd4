//! The command line, one file per command.

pub(crate) mod background;
pub(crate) mod codecs;
mod compat;
pub(crate) mod demo;
pub(crate) mod edge;
pub(crate) mod explain;
pub(crate) mod import;
pub(crate) mod ng;
pub(crate) mod run;
pub(crate) mod shadow;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use windlass_ng::shown::needs_escape;

/// Result of a command: an exit code, or an error for `main` to print.
pub(crate) type Outcome = Result<ExitCode, Box<dyn Error>>;

/// An RTP media relay for SIP proxies: a drop-in for rtpengine.
///
/// A proxy (Kamailio, OpenSIPS, or the bundled SIP edge) hands every offer and answer over the ng
/// protocol; Windlass opens ports, rewrites the SDP and relays the media.
#[derive(Debug, Parser)]
#[command(name = "windlass", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  windlass demo                              see it work: no configuration, no root, no network
  windlass run --interface 203.0.113.1       relay media on one public address
  windlass run --config /etc/windlass.toml   the same from a file
  windlass check /etc/windlass.toml          name every mistake in the file
  windlass import /etc/rtpengine/rtpengine.conf > windlass.toml
                                             move from rtpengine
  windlass ng list                           ask a running relay for its calls
  windlass explain offer.json                why the SDP comes out as it does

'windlass help COMMAND' says more about each.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the relay, and the SIP edge if the file has one
    Run(Box<run::RunArgs>),
    /// Check a configuration file: every mistake with its line and column
    Check(run::CheckArgs),
    /// Print an rtpengine.conf as a configuration file of Windlass
    Import(import::ImportArgs),
    /// Place a call between two built-in phones and measure it
    Demo(demo::DemoArgs),
    /// Send one ng command to a running relay and print the reply
    Ng(ng::NgArgs),
    /// Ask a running SIP edge: calls, bans, limits, lists, targets, reload
    Edge(edge::EdgeArgs),
    /// Name the codecs that are converted here, and the libraries that bring them
    Codecs(codecs::CodecsArgs),
    /// Say what the relay makes of ng requests, line by line, without a network
    Explain(explain::ExplainArgs),
    /// Stand before a running rtpengine and say where Windlass would answer otherwise
    Shadow(shadow::ShadowArgs),
}

/// Prints to standard output; a closed pipe is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The same JSON, with what must not reach a terminal as `\uNNNN`. Such a character can stand
/// inside of strings only; line ends are those between the values.
fn escaped_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && needs_escape(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn error_is_printed_with_its_causes() {
        let inner = io::Error::other("disk on fire");
        let outer = windlass::demo::Error::from(inner);
        assert_eq!(chain(&outer), "the demo failed: disk on fire");
    }
}
