//! `windlass run --rtpengine-compat`, and the same under the name `rtpengine`.

use std::path::Path;
use std::process::ExitCode;

use windlass::config::compat::{DEFAULT_FILE, Request, read};
use windlass::config::names::Names;

use super::{Outcome, print, run};

pub(crate) fn run(arguments: &[String]) -> Outcome {
    match read(arguments, Path::new(DEFAULT_FILE), &Names::of_this_host()) {
        Ok(Request::Run(mut request)) => {
            let redis = &mut request.config.redis;
            redis.take_passwords(|name| std::env::var(name).ok());
            run::start(&request.config, None, &request.warnings)
        }
        Ok(Request::Print(text)) => {
            print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            eprintln!("{problems}");
            Ok(ExitCode::FAILURE)
        }
    }
}
