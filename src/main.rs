//! The command line: parse, dispatch, nothing else.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use windlass::config::compat;

use cli::{Cli, Command};

/// The command that was asked for. Under rtpengine's name the command line is rtpengine's.
fn command() -> Command {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    if compat::is_program(&program.to_string_lossy()) {
        let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
        return Command::Run(Box::new(cli::run::RunArgs::compat(arguments.collect())));
    }
    Cli::parse().command
}

fn main() -> ExitCode {
    let outcome = match command() {
        Command::Run(args) => cli::run::run(&args),
        Command::Check(args) => cli::run::check(&args),
        Command::Import(args) => cli::import::import(&args),
        Command::Demo(args) => cli::demo::demo(&args),
        Command::Ng(args) => cli::ng::ng(&args),
        Command::Edge(args) => cli::edge::edge(&args),
        Command::Codecs(args) => cli::codecs::codecs(&args),
        Command::Explain(args) => cli::explain::explain(&args),
        Command::Shadow(args) => cli::shadow::shadow(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("windlass: {}", cli::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
