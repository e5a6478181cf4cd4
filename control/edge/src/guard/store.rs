//! The file of the screen's saved state (spec §9 "Restart").

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::limits;
use crate::record::clock::Wall;
use crate::screen::{Screen, saved};

/// Where the state of a screen is kept.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    file: PathBuf,
}

impl Store {
    /// In a directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made or written to; the message names it.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", dir.display()));
        fs::create_dir_all(dir).map_err(named)?;
        let store = Self {
            file: dir.join("screen.state"),
        };
        File::create(store.beside()).map_err(named)?;
        Ok(store)
    }

    /// Takes up what is in the file, if there is one. A file that cannot be read is left where it is,
    /// under another name, and the screen begins with nothing.
    pub(crate) fn restore(&self, screen: &Screen, now: Instant, wall: Wall) {
        let text = match self.text() {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(error) => return self.put_aside(&error.to_string()),
        };
        let restored = saved::read(&text).map_err(|error| error.to_string());
        let restored = restored.and_then(|(state, at)| {
            let down = Duration::from_millis(wall.0.saturating_sub(at.0));
            let taken = screen.restore(&state, down, now);
            taken.map_err(|error| error.to_string())
        });
        if let Err(error) = restored {
            self.put_aside(&error);
        }
    }

    /// Writes the state of the screen; the file is the old one or the new one, whatever happens.
    ///
    /// # Errors
    ///
    /// Those of the disk; the file is the old one then.
    pub(crate) fn save(&self, screen: &Screen, now: Instant, wall: Wall) -> io::Result<()> {
        let text = saved::write(&screen.save(now), wall);
        let mut beside = File::create(self.beside())?;
        beside.write_all(text.as_bytes())?;
        beside.sync_all()?;
        fs::rename(self.beside(), &self.file)
    }

    fn beside(&self) -> PathBuf {
        self.file.with_extension("state.new")
    }

    fn text(&self) -> io::Result<Option<String>> {
        let file = match File::open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut text = String::new();
        file.take(limits::SAVED_BYTES).read_to_string(&mut text)?;
        Ok(Some(text))
    }

    fn put_aside(&self, error: &str) {
        let file = self.file.display();
        tracing::warn!(%file, error, "the saved state cannot be used");
        // It may be of a later version, which somebody goes back to.
        let _ = fs::rename(&self.file, self.file.with_extension("state.bad"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Config, Trust, Zone};
    use crate::guard::settings;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn screen() -> (Arc<Screen>, Instant) {
        let zones = vec![Zone::new("public", Trust::Untrusted)];
        let config = Config::of_zones(zones, "127.0.0.1:2223".parse().unwrap());
        let now = Instant::now();
        (settings::screen(&config, now).unwrap().unwrap(), now)
    }

    fn dir(name: &str) -> PathBuf {
        let dir =
            std::env::temp_dir().join(format!("windlass-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn bans_are_there_again_less_the_time_between() {
        let dir = dir("again");
        let store = Store::open(&dir.join("made")).unwrap();
        let (before, now) = screen();
        store.restore(&before, now, Wall(0));
        let ip = "198.51.100.7".parse().unwrap();
        before.ban(ip, None, Duration::from_secs(600), now).unwrap();
        store.save(&before, now, Wall(1_000_000)).unwrap();
        let (after, now) = screen();
        store.restore(&after, now, Wall(1_100_000));
        let (_, ban) = after.bans()[0];
        assert_eq!(after.remaining(&ban, now), Duration::from_secs(500));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn file_that_cannot_be_used_is_put_aside() {
        let dir = dir("aside");
        let store = Store::open(&dir).unwrap();
        for text in [
            "windlass-screen 99 0\nend 0\n",
            "",
            "windlass-screen 1 0\nban\n",
        ] {
            fs::write(dir.join("screen.state"), text).unwrap();
            let (screen, now) = screen();
            store.restore(&screen, now, Wall(0));
            assert!(screen.bans().is_empty());
            assert!(!dir.join("screen.state").exists());
            assert_eq!(
                fs::read_to_string(dir.join("screen.state.bad")).unwrap(),
                text
            );
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn directory_that_cannot_be_made_is_named() {
        let file = dir("file");
        fs::write(&file, "").unwrap();
        let error = Store::open(&file.join("state")).unwrap_err().to_string();
        assert!(error.contains("windlass-store-file"), "{error}");
        fs::remove_file(&file).unwrap();
    }
}
