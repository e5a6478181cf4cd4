//! Processes, ports and phones of the tests.

pub(crate) mod aiortc;
pub(crate) mod baresip;
pub(crate) mod browser;
pub(crate) mod calls;
pub(crate) mod ffmpeg;
pub(crate) mod kamailio;
pub(crate) mod netns;
pub(crate) mod phone;
pub(crate) mod process;
pub(crate) mod rtpengine;
pub(crate) mod sdp;
pub(crate) mod secure_party;
pub(crate) mod secure_phone;
pub(crate) mod sip;
pub(crate) mod sip_js;
pub(crate) mod sipp;
pub(crate) mod sipvicious;
pub(crate) mod tone;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Waits until something is there.
pub(crate) fn wait_for<T>(what: &str, at_most: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + at_most;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {at_most:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// One test with namespaces, or one benchmark, at a time on this machine.
pub(crate) fn lock_machine() -> File {
    let lock = File::create(std::env::temp_dir().join("windlass-machine.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// A directory of one test, removed at its end.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("windlass-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a program is there. If not: a failure where peers are required, else said and skipped.
pub(crate) fn has_program(path: &str) -> bool {
    let there = std::path::Path::new(path).exists();
    if !there {
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!required, "{path} is missing");
        println!("skipped: {path} is not installed");
    }
    there
}

/// Whether this is root. If not: as for a missing program.
pub(crate) fn is_root() -> bool {
    let root = std::fs::metadata("/proc/self")
        .is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0);
    if !root {
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!required, "network namespaces need root");
        println!("skipped: network namespaces need root");
    }
    root
}

/// Whether attacks are to be as long as promised, not as short as they can prove something
/// (`tests/run --long`).
pub(crate) fn is_long() -> bool {
    std::env::var_os("WINDLASS_LONG").is_some()
}
