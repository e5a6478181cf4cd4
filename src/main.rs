//! The command line: parse, dispatch, nothing else.

mod cli;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => cli::run::run(&args),
        Command::Check(args) => cli::run::check(&args),
        Command::Demo(args) => cli::demo::demo(&args),
        Command::Ng(args) => cli::ng::ng(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("windlass: {}", cli::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
