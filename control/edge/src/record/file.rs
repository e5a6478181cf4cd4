//! A log file that moves aside by size or day.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::clock::Wall;
use super::spool::Append;

/// When a file moves aside. Both may be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// Before it becomes longer than this.
    pub(crate) bytes: Option<u64>,
    /// With the first line of a day (UTC).
    pub(crate) daily: bool,
}

/// See the module. `log` moves to `log.2026-01-31`, and to `log.2026-01-31.2` if that exists.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    length: u64,
    /// Day of its last line.
    day: u64,
}

impl LogFile {
    /// Opens `path`, to go on at its end; made if it is missing, readable by owner and group.
    pub(crate) fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(path)?;
        let metadata = file.metadata()?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
        let modified = modified.map_or(0, |since| since.as_secs() / 86_400);
        Ok(Self {
            path: path.to_owned(),
            rotation,
            file,
            length: metadata.len(),
            day: modified,
        })
    }

    fn is_due(&self, line: &[u8], at: Wall) -> bool {
        let grown = self.length + line.len() as u64;
        self.length > 0
            && (self.rotation.bytes.is_some_and(|most| grown > most)
                || self.rotation.daily && at.day() > self.day)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let day = Wall(self.day * 86_400_000).utc().date();
        let aside = (1..=ASIDE).map(|n| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{day}"));
            if n > 1 {
                name.push(format!(".{n}"));
            }
            PathBuf::from(name)
        });
        let free = |path: &PathBuf| !path.exists();
        let aside = aside
            .into_iter()
            .find(free)
            .ok_or(io::ErrorKind::AlreadyExists)?;
        fs::rename(&self.path, aside)?;
        self.reopen()
    }
}

impl Append for LogFile {
    fn append(&mut self, line: &[u8], at: Wall) -> io::Result<()> {
        if self.is_due(line, at) {
            // A file that cannot move aside grows on: its lines are worth more.
            let _ = self.rotate();
        }
        if let Err(error) = self.file.write_all(line) {
            // A part of the line may be there. Where it cannot be cut off (a pipe), it stays.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += line.len() as u64;
        self.day = at.day();
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path, self.rotation)?;
        Ok(())
    }
}

/// Files of one day that can lie aside.
const ASIDE: u32 = 10_000;
