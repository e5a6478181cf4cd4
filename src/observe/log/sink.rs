//! The way of an event's lines into their queue.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::quiet::is_quiet;
use crate::observe::lines::LineQueue;
use crate::observe::syslog::Severity;

/// Hands the lines of events to a queue.
pub(super) struct Sink(pub(super) LineQueue);

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Entry<'a>;

    fn make_writer(&'a self) -> Entry<'a> {
        Entry {
            queue: Some(&self.0),
            severity: Severity::Info,
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Entry<'a> {
        let severity = match *meta.level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            Level::INFO => Severity::Info,
            Level::DEBUG | Level::TRACE => Severity::Debug,
        };
        let is_left_out = is_quiet() && severity != Severity::Error;
        Entry {
            queue: (!is_left_out).then_some(&self.0),
            severity,
        }
    }
}

/// Takes the lines of one event, in one piece.
pub(super) struct Entry<'a> {
    /// None, if the event is left out.
    queue: Option<&'a LineQueue>,
    severity: Severity,
}

impl Write for Entry<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(queue) = self.queue {
            queue.push(self.severity, bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
