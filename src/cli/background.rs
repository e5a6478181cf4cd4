//! Going to the background, as rtpengine does without `--foreground`: the command ends once the relay
//! works, or with its status if it does not.
//!
//! No fork: it would leave threads behind. The program is started a second time, in a session of its
//! own, and tells the first by a pipe on its standard output when it is ready.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};

/// Set for the second process.
const MARK: &str = "WINDLASS_IN_BACKGROUND";

/// Message on the pipe.
const READY: &[u8] = b"ready";

/// Whether this process was started to be the one in the background.
pub(super) fn is_there() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the process that stays, with the arguments of this one, and waits until it works.
///
/// # Errors
/// It cannot be started.
pub(super) fn start() -> io::Result<ExitCode> {
    let mut arguments = std::env::args_os();
    // The name counts: under another one the command line is read differently.
    let name = arguments.next().unwrap_or_default();
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg0(name)
        .args(arguments)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut said = Vec::new();
    if let Some(mut pipe) = child.stdout.take() {
        // Ends when it lets go of its output, or ends.
        pipe.read_to_end(&mut said)?;
    }
    if said.ends_with(READY) {
        return Ok(ExitCode::SUCCESS);
    }
    let code = child
        .wait()?
        .code()
        .and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Leaves the session of the terminal.
///
/// # Errors
/// The system does not allow it.
pub(super) fn leave_terminal() -> io::Result<()> {
    setsid().map(drop).map_err(io::Error::from)
}

/// Tells the first process that all is well and lets go of its terminal; of standard error, too,
/// unless the log goes there.
///
/// # Errors
/// There is no /dev/null.
pub(super) fn ready(keeps_stderr: bool) -> io::Result<()> {
    let mut out = io::stdout();
    // Whoever started it may be gone by now.
    let _ = out.write_all(READY).and_then(|()| out.flush());
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    if !keeps_stderr {
        dup2_stderr(&null)?;
    }
    Ok(())
}
