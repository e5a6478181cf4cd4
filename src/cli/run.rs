//! `windlass run` and `windlass check`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use windlass::config::unbuilt::unbuilt;
use windlass::config::{Config, Flags, codecs, preflight};
use windlass::daemon::{self, Origin, Stopped, privileges};
use windlass::observe::log;
use windlass::setup;

use super::{Outcome, background, compat, print};

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

    /// Take everything that follows as rtpengine's own command line: its options, its file
    /// (/etc/rtpengine/rtpengine.conf), its defaults. What stands before it does not count. The
    /// same happens when the program is called `rtpengine`
    #[arg(
        long,
        value_name = "OPTION",
        num_args = 0..,
        allow_hyphen_values = true
    )]
    rtpengine_compat: Option<Vec<String>>,
}

impl RunArgs {
    /// Reads the arguments after `--rtpengine-compat`.
    pub(crate) fn compat(arguments: Vec<String>) -> Self {
        Self {
            config: None,
            flags: Flags::default(),
            rtpengine_compat: Some(arguments),
        }
    }
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
  windlass run --rtpengine-compat --config-file=/etc/rtpengine/rtpengine.conf -f -E -L 7
  windlass run --rtpengine-compat --help        # rtpengine's options

A configuration file:

",
    include_str!("../config/example.toml")
);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints 'ok' and exits with 0, or prints FILE:LINE:COLUMN: MISTAKE for every mistake and exits
with 1. What will trouble the relay on this host (ports that the system gives away, too few open
files) is said on standard error. Whether the addresses are local is checked by 'run'.")]
pub(crate) struct CheckArgs {
    /// The configuration file (TOML)
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &RunArgs) -> Outcome {
    if let Some(arguments) = &args.rtpengine_compat {
        return compat::run(arguments);
    }
    let config = match Config::load(args.config.as_deref(), &args.flags) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let origin = args.config.clone().map(|path| Origin {
        path,
        flags: args.flags.clone(),
    });
    start(&config, origin, &[])
}

/// Exit status after SIGHUP, as supervisors of rtpengine know it (spec: media-behaviour §20).
const HUNG_UP: u8 = 42;

/// Runs the relay to its end.
pub(super) fn start(config: &Config, origin: Option<Origin>, warnings: &[String]) -> Outcome {
    let in_background = config.process.background;
    if in_background && !background::is_there() {
        return Ok(background::start()?);
    }
    if in_background {
        background::leave_terminal()?;
    }
    // Before there are threads: each has capabilities of its own.
    let kept = privileges::reduce(config)?;
    let log = log::start(setup::logging(config))?;
    for warning in warnings.iter().chain(&kept) {
        tracing::warn!("{warning}");
    }
    let unbuilt = unbuilt(config);
    if !unbuilt.is_empty() {
        let names = unbuilt.join(", ");
        tracing::warn!("settings that change nothing yet, by rtpengine's names: {names}");
    }
    for warning in preflight::run(config)? {
        tracing::warn!("{warning}");
    }
    let mut pidfile = None;
    // Not earlier: one that cannot start leaves the file of the one that runs.
    let ready = || {
        pidfile = config
            .process
            .pidfile
            .as_deref()
            .map(Pidfile::write)
            .transpose()?;
        match in_background {
            true => {
                log.flush();
                background::ready(!config.syslog.engine)
            }
            false => Ok(()),
        }
    };
    let stopped = daemon::run(config, origin, ready);
    drop(pidfile);
    Ok(match stopped? {
        Stopped::Terminated => ExitCode::SUCCESS,
        Stopped::HungUp => ExitCode::from(HUNG_UP),
    })
}

/// A file with the number of this process; it is removed with the value.
struct Pidfile(PathBuf);

impl Pidfile {
    fn write(path: &str) -> io::Result<Self> {
        Self::put(path).map_err(|error| {
            let reason = format!("the pidfile {path} cannot be written: {error}");
            io::Error::new(error.kind(), reason)
        })?;
        Ok(Self(PathBuf::from(path)))
    }

    /// Writes a new file beside it and renames that: a link at either name is replaced, never
    /// followed, and a reader sees the whole number.
    fn put(path: &str) -> io::Result<()> {
        let beside = format!("{path}.{}", std::process::id());
        // Of an earlier process with this number.
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::File::create_new(&beside)?;
        let written = writeln!(file, "{}", std::process::id());
        let put = written.and_then(|()| std::fs::rename(&beside, path));
        put.inspect_err(|_| drop(std::fs::remove_file(&beside)))
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // Whoever removed it before us meant it.
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) fn check(args: &CheckArgs) -> Outcome {
    match Config::inspect(&args.file) {
        Ok(config) => {
            for warning in preflight::warnings(&config) {
                eprintln!("warning: {warning}");
            }
            let (_, found) = codecs::open(&config.audio);
            for line in codecs::libraries(&found).lines() {
                eprintln!("library {line}");
            }
            print("ok\n")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            print(&format!("{problems}\n"))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Pidfile;
    use crate::cli::{Cli, Command};

    #[test]
    fn pidfile_replaces_a_link_and_leaves_its_target() {
        let dir = std::env::temp_dir().join(format!("windlass-pidfile-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (precious, path) = (dir.join("precious"), dir.join("pid"));
        std::fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        let pidfile = Pidfile::write(path.to_str().unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "kept");
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
        let number = format!("{}\n", std::process::id());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), number);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2);
        drop(pidfile);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn everything_behind_the_compat_flag_is_left_to_it() {
        let line = "windlass run --rtpengine-compat -f -E -L 7 -t -1 --help --config-file=x -- y";
        let words: Vec<&str> = line.split(' ').collect();
        // A word of its own, `--` would end the options of ours.
        for end in [words.len() - 2, words.len() - 4, 3] {
            let command = Cli::try_parse_from(&words[..end]).unwrap().command;
            let Command::Run(args) = command else {
                panic!("{command:?}");
            };
            assert_eq!(args.rtpengine_compat.unwrap(), &words[3..end]);
        }
    }
}
