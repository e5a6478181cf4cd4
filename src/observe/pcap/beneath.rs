//! Files that never lie outside of the recording directory, whatever names come from outside
//! (spec: security promise 20).
//!
//! A path is resolved beneath the directory by the system, without links; a file is always made
//! anew, so what was there before is neither overwritten nor removed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// The recording directory.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    directory: OwnedFd,
}

/// A file that was made here.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) file: File,
    /// Device and inode: what lies at the path later may be another one.
    identity: (u64, u64),
}

impl Made {
    pub(super) fn identity(&self) -> (u64, u64) {
        self.identity
    }
}

/// `path` without the directory, if it names a file beneath it.
pub(super) fn beneath<'a>(root: &Path, path: &'a Path) -> Option<&'a Path> {
    let inside = path.strip_prefix(root).ok()?;
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let ends_in_a_name = path.as_os_str().as_encoded_bytes().last() != Some(&b'/');
    let is_inside = inside.components().all(is_plain) && inside.file_name().is_some();
    (is_inside && ends_in_a_name).then_some(inside)
}

impl Root {
    /// # Errors
    /// The directory cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = std::fs::OpenOptions::new();
        let directory = options.read(true).custom_flags(libc::O_DIRECTORY);
        Ok(Self {
            path: path.to_path_buf(),
            directory: directory.open(path)?.into(),
        })
    }

    /// Makes a file for writing.
    ///
    /// # Errors
    /// The path is not beneath the directory, goes through a link, is taken, or the system refuses.
    pub(super) fn create(&self, path: &Path) -> io::Result<Made> {
        let (parent, name) = self.place(path)?;
        // A pipe without a reader must not stop all recordings.
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_EXCL
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP;
        let file = File::from(openat(&parent, name, flags, mode)?);
        let found = file.metadata()?;
        let identity = (found.dev(), found.ino());
        Ok(Made { file, identity })
    }

    /// Removes a file that was made here; another one in its place stays.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn remove(&self, path: &Path, identity: (u64, u64)) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        let found = fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if (found.st_dev, found.st_ino) != identity {
            return Ok(());
        }
        Ok(unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Gives a file that was made here another name.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (old_parent, old) = self.place(from)?;
        let (new_parent, new) = self.place(to)?;
        Ok(renameat(&old_parent, old, &new_parent, new)?)
    }

    /// Bytes that unprivileged programs can still write on the disk.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let found = nix::sys::statvfs::fstatvfs(&self.directory)?;
        Ok(found
            .blocks_available()
            .saturating_mul(found.fragment_size()))
    }

    /// The directory of a path, and the name in it.
    fn place<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a Path)> {
        let outside = || {
            let reason = format!("not a file beneath {}", self.path.display());
            io::Error::new(io::ErrorKind::PermissionDenied, reason)
        };
        let inside = beneath(&self.path, path).ok_or_else(outside)?;
        let name = inside.file_name().map(Path::new).ok_or_else(outside)?;
        let parent = inside.parent().unwrap_or_else(|| Path::new(""));
        Ok((self.directory_at(parent)?, name))
    }

    fn directory_at(&self, inside: &Path) -> io::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        if inside.as_os_str().is_empty() {
            return self.directory.try_clone();
        }
        let resolve = ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags).resolve(resolve);
        match openat2(&self.directory, inside, how) {
            // Before Linux 5.6, and where a container's filter does not know the call.
            Err(Errno::ENOSYS | Errno::EPERM) => walk(&self.directory, inside),
            opened => Ok(opened?),
        }
    }
}

/// The same a name at a time.
fn walk(directory: &OwnedFd, inside: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut at = directory.try_clone()?;
    for part in inside.components() {
        let Component::Normal(name) = part else {
            return Err(io::ErrorKind::PermissionDenied.into());
        };
        at = openat(&at, name, flags, Mode::empty())?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_beneath_the_directory_are_taken() {
        let root = Path::new("/rec");
        for good in ["/rec/a.pcap", "/rec/b/c.pcap", "/rec//b/./c.pcap"] {
            assert!(beneath(root, Path::new(good)).is_some(), "{good}");
        }
        for bad in [
            "/rec",
            "/rec/",
            "/rec/a/",
            "/rec/../etc/x",
            "/rec/a/../../x",
            "/etc/x",
            "x",
            "/record/x",
            "",
        ] {
            assert!(beneath(root, Path::new(bad)).is_none(), "{bad}");
        }
    }

    #[test]
    fn walking_refuses_links_too() {
        let dir = std::env::temp_dir().join(format!("windlass-walk-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("real/deep")).unwrap();
        std::os::unix::fs::symlink("real", dir.join("link")).unwrap();
        let root = Root::open(&dir).unwrap();
        assert!(walk(&root.directory, Path::new("real/deep")).is_ok());
        assert!(walk(&root.directory, Path::new("link/deep")).is_err());
        assert!(root.directory_at(Path::new("real/deep")).is_ok());
        assert!(root.directory_at(Path::new("link/deep")).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
