//! Lines for the local syslog daemon (RFC 3164) on `/dev/log`: call records and digits, if
//! `log-facility-cdr` or `log-facility-dtmf` asks for them, and the engine's own log, if it does not
//! go to stderr, see [`super::log`] (spec: media-behaviour §16, §20).

use std::fmt;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::calendar::date;

/// Socket of the syslog daemon.
pub const SOCKET: &str = "/dev/log";

/// Facility of a line (RFC 3164 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// System daemons: what a program uses that is told nothing else.
    pub const DAEMON: Self = Self(3);
}

/// How grave a line is (RFC 3164 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Error: 3.
    Error,
    /// Warning: 4.
    Warning,
    /// Notice: 5.
    Notice,
    /// Informational: 6.
    Info,
    /// Debug: 7.
    Debug,
}

/// A name that is no facility.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no syslog facility; expected daemon, user, local0 to local7 or another of RFC 3164"
)]
pub struct UnknownFacility(pub String);

impl FromStr for Facility {
    type Err = UnknownFacility;

    /// The names of syslog(3) without `LOG_`, in either case.
    fn from_str(name: &str) -> Result<Self, UnknownFacility> {
        let found = FACILITIES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        match found {
            Some((_, code)) => Ok(Self(*code)),
            None => Err(UnknownFacility(name.to_owned())),
        }
    }
}

impl fmt::Display for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = FACILITIES.iter().find(|(_, code)| *code == self.0);
        f.write_str(found.map_or("unknown", |(name, _)| name))
    }
}

const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// How long a line waits for room in the queue of a daemon that is busy, before it is tried anew.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes lines of one facility. Waits for a daemon that is busy: for a thread of its own, see
/// [`LineQueue`](super::lines::LineQueue).
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    facility: Facility,
    /// Name of the program.
    ident: String,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// A writer for the daemon that listens on `path` (usually [`SOCKET`]). Connects with the first
    /// line, and again after the daemon was restarted.
    pub fn new(path: &Path, facility: Facility, ident: &str) -> Self {
        Self {
            path: path.to_path_buf(),
            facility,
            ident: ident.to_owned(),
            socket: None,
        }
    }

    /// Sends one line, without a line end.
    ///
    /// # Errors
    /// There is no daemon, or the line is too long for it. The line is lost.
    pub fn send(&mut self, now: SystemTime, severity: Severity, line: &str) -> io::Result<()> {
        let process = std::process::id();
        let datagram = datagram(self.facility, severity, now, &self.ident, process, line);
        if let Some(socket) = &self.socket {
            match send_patiently(socket, datagram.as_bytes()) {
                Ok(()) => return Ok(()),
                // A daemon that was restarted has another socket.
                Err(_) => self.socket = None,
            }
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        socket.connect(&self.path)?;
        send_patiently(&socket, datagram.as_bytes())?;
        self.socket = Some(socket);
        Ok(())
    }
}

fn send_patiently(socket: &UnixDatagram, datagram: &[u8]) -> io::Result<()> {
    loop {
        match socket.send(datagram) {
            Ok(_) => return Ok(()),
            Err(error) if is_busy(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// The datagram of a line, in the form of syslog(3): no host name. The time is UTC; daemons replace
/// it by that of arrival unless told otherwise.
pub fn datagram(
    facility: Facility,
    severity: Severity,
    now: SystemTime,
    ident: &str,
    process: u32,
    line: &str,
) -> String {
    let severity = match severity {
        Severity::Error => 3,
        Severity::Warning => 4,
        Severity::Notice => 5,
        Severity::Info => 6,
        Severity::Debug => 7,
    };
    let priority = facility.0 * 8 + severity;
    let time = Timestamp(now);
    format!("<{priority}>{time} {ident}[{process}]: {line}")
}

/// `Mmm dd hh:mm:ss`, the day padded with a space (RFC 3164 §4.1.2).
struct Timestamp(SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (_, month, day) = date(seconds / 86_400);
        let month = usize::try_from(month).unwrap_or(1).saturating_sub(1) * 3;
        let month = MONTHS.get(month..month + 3).unwrap_or("Jan");
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{month} {day:>2} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn facilities_have_names() {
        assert_eq!("daemon".parse(), Ok(Facility(3)));
        assert_eq!("LOCAL7".parse(), Ok(Facility(23)));
        assert_eq!(Facility(16).to_string(), "local0");
        for bad in ["", "local8", "log_daemon"] {
            assert_eq!(
                bad.parse::<Facility>(),
                Err(UnknownFacility(bad.to_owned()))
            );
        }
    }

    #[test]
    fn a_line_is_a_datagram_of_rfc_3164() {
        let line = |now| datagram(Facility(16), Severity::Info, now, "windlass", 42, "ci=a, ");
        assert_eq!(
            line(at(1_795_187_669)),
            "<134>Nov 20 15:14:29 windlass[42]: ci=a, "
        );
        assert_eq!(line(at(0)), "<134>Jan  1 00:00:00 windlass[42]: ci=a, ");
    }

    #[test]
    fn lines_arrive_also_after_the_daemon_was_restarted() {
        let name = format!("windlass-syslog-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let mut syslog = Syslog::new(&path, Facility(3), "windlass");
        assert!(syslog.send(at(0), Severity::Info, "lost").is_err());
        for round in ["first", "second"] {
            let daemon = UnixDatagram::bind(&path).unwrap();
            syslog.send(at(0), Severity::Error, round).unwrap();
            let mut buffer = [0; 200];
            let length = daemon.recv(&mut buffer).unwrap();
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            assert!(text.starts_with("<27>Jan  1 "), "{text}");
            assert!(text.ends_with(&format!("]: {round}")), "{text}");
            drop(daemon);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
