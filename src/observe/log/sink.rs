//! Destination of lines in rtpengine's form: stderr, or the syslog.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::observe::syslog::{Facility, SOCKET, Severity, Syslog};

/// The end of the log.
pub(super) enum Sink {
    Stderr,
    Syslog(Mutex<Syslog>),
}

impl Sink {
    pub(super) fn syslog(facility: Facility, ident: &str) -> Self {
        Self::Syslog(Mutex::new(Syslog::new(Path::new(SOCKET), facility, ident)))
    }

    fn write_line(&self, severity: Severity, line: &str) -> io::Result<()> {
        let Self::Syslog(syslog) = self else {
            return writeln!(io::stderr().lock(), "{line}");
        };
        let sent = {
            let mut syslog = syslog.lock().unwrap_or_else(PoisonError::into_inner);
            syslog.send(now(), severity, line)
        };
        match sent {
            // The daemon is there and cannot keep up; waiting for it would hold up calls.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            // Containers have none: better said there than nowhere.
            Err(_) => writeln!(io::stderr().lock(), "{line}"),
            Ok(()) => Ok(()),
        }
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Lines<'a>;

    fn make_writer(&'a self) -> Lines<'a> {
        Lines {
            sink: self,
            severity: Severity::Info,
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Lines<'a> {
        let severity = match *meta.level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            Level::INFO => Severity::Info,
            Level::DEBUG | Level::TRACE => Severity::Debug,
        };
        Lines {
            sink: self,
            severity,
        }
    }
}

/// Takes the lines of one event, in one piece.
pub(super) struct Lines<'a> {
    sink: &'a Sink,
    severity: Severity,
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        for line in text.lines() {
            self.sink.write_line(self.severity, line)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a log line has the clock of the wall"
)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}
