//! The files that alerts and call records go to.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::Config;
use crate::proxy::attempts::Tried;
use crate::record::cdr::{Attempt, Cdr, Selection};
use crate::record::clock::Wall;
use crate::record::file::Rotation;
use crate::record::security::{Event, Line, SecurityLog};
use crate::record::writer::Writer;

/// An alert with what the message said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alerted {
    pub(crate) source: SocketAddr,
    pub(crate) event: Event,
    /// Index of the zone.
    pub(crate) zone: usize,
    pub(crate) protocol: &'static str,
    pub(crate) action: &'static str,
    pub(crate) method: Vec<u8>,
    pub(crate) ruri: Vec<u8>,
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
    pub(crate) user_agent: Vec<u8>,
    pub(crate) call_id: Vec<u8>,
}

/// A call attempt that is over. The times of its record are those of the wall clock, which the
/// driver has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finished {
    pub(crate) cdr: Cdr,
    pub(crate) tried: Vec<Tried>,
    pub(crate) began: Instant,
    pub(crate) answered: Option<Instant>,
    pub(crate) ended: Instant,
}

/// The logs of one edge; shards share them.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    security: Option<(Mutex<SecurityLog>, Writer)>,
    cdr: Option<(Selection, Writer)>,
    zones: Vec<String>,
}

impl Logs {
    /// Opens the files that are wanted.
    ///
    /// # Errors
    ///
    /// When one cannot be opened; the message names it.
    pub(crate) fn open(config: &Config) -> io::Result<Self> {
        let open = |path: &std::path::Path, daily| {
            let rotation = Rotation { bytes: None, daily };
            Writer::open(path, rotation).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })
        };
        let mut logs = Self {
            zones: config.zones.iter().map(|zone| zone.name.clone()).collect(),
            ..Self::default()
        };
        if let Some(settings) = &config.security_log {
            // Times are UTC.
            let log = SecurityLog::new(settings.format, 0);
            let writer = open(&settings.file, settings.daily)?;
            logs.security = Some((Mutex::new(log), writer));
        }
        if let Some(settings) = &config.cdr {
            let selection = Selection {
                missed: settings.missed,
                failed: settings.failed,
            };
            logs.cdr = Some((selection, open(&settings.file, settings.daily)?));
        }
        Ok(logs)
    }

    /// Opens the files anew, after something else moved them away.
    pub(crate) fn reopen(&self) {
        self.writers().for_each(|(_, writer)| writer.reopen());
    }

    /// Lines of each log that wait for the disk.
    pub(crate) fn waiting(&self) -> Vec<(&'static str, u64)> {
        let all = self.writers();
        all.map(|(name, writer)| (name, writer.waiting())).collect()
    }

    /// Lines of each log that were lost.
    pub(crate) fn lost(&self) -> Vec<(&'static str, u64)> {
        let all = self.writers();
        all.map(|(name, writer)| (name, writer.lost())).collect()
    }

    fn writers(&self) -> impl Iterator<Item = (&'static str, &Writer)> {
        let security = self.security.iter().map(|(_, writer)| ("security", writer));
        security.chain(self.cdr.iter().map(|(_, writer)| ("cdr", writer)))
    }

    pub(crate) fn alert(&self, alerted: &Alerted, now: Instant, wall: Wall) {
        let Some((log, writer)) = &self.security else {
            return;
        };
        let zone = self.zones.get(alerted.zone);
        let line = Line {
            source: alerted.source,
            event: alerted.event,
            zone: zone.map_or("", |zone| zone),
            protocol: alerted.protocol,
            action: alerted.action,
            method: &alerted.method,
            ruri: &alerted.ruri,
            from: &alerted.from,
            to: &alerted.to,
            user_agent: &alerted.user_agent,
            call_id: &alerted.call_id,
        };
        let mut out = String::new();
        log.lock().log(&line, now, wall, &mut out);
        if !out.is_empty() {
            writer.write(out, wall);
        }
    }

    pub(crate) fn record(&self, finished: Finished, now: Instant, wall: Wall) {
        let Some((selection, writer)) = &self.cdr else {
            return;
        };
        let at = |then: Instant| {
            let ago = now.saturating_duration_since(then).as_millis();
            Wall(
                wall.0
                    .saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX)),
            )
        };
        let attempts = finished.tried.into_iter().map(|tried| Attempt {
            start: at(tried.began),
            target: tried.target,
            code: tried.code,
            reason: String::from_utf8_lossy(&tried.reason).into_owned(),
        });
        let cdr = Cdr {
            attempts: attempts.collect(),
            setup: at(finished.began),
            answer: finished.answered.map(at),
            end: at(finished.ended),
            ..finished.cdr
        };
        if selection.takes(&cdr) {
            writer.write(cdr.into_line(), wall);
        }
    }

    /// Writes the summaries of lines that were too many. To be called once a second.
    pub(crate) fn handle_timeout(&self, now: Instant, wall: Wall) {
        if let Some((log, writer)) = &self.security {
            let mut out = String::new();
            log.lock().handle_timeout(now, wall, &mut out);
            if !out.is_empty() {
                writer.write(out, wall);
            }
        }
    }
}
