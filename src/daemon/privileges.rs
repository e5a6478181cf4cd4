//! What the process may do while it serves: as little as that takes (spec: security 28).
//!
//! Everything that a start takes can be had with the capabilities that stay, so they are given up
//! first, before there are other threads: capabilities and the like belong to a thread, and new
//! threads inherit them.

use std::ffi::CString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::prctl;
use nix::unistd::{
    AccessFlags, Gid, Group, Uid, User, faccessat, initgroups, setgroups, setresgid, setresuid,
};

use crate::config::Config;
use crate::config::topic::{OffloadMode, Steering};

/// Why privileges are not given up. The process must end then: it may have less than it needs.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The system refuses to give capabilities up.
    #[error("cannot give up capabilities: {0}")]
    Capabilities(#[from] CapsError),
    /// The user to run as, or the group, is none of this host.
    #[error("`{name}`, the {what} in [process], is not known to this host")]
    Unknown {
        /// `user` or `group`.
        what: &'static str,
        /// As in the configuration.
        name: String,
    },
    /// The system refuses something else.
    #[error("cannot {what}: {errno}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        errno: Errno,
    },
}

/// Gives up what serving does not take: all capabilities but the ones that this configuration
/// needs, the user if another one is named, and what a program that is started could gain. Gives
/// what is worth a warning.
///
/// To be called while the process has one thread.
///
/// # Errors
/// [`PrivilegeError`].
pub fn reduce(config: &Config) -> Result<Vec<String>, PrivilegeError> {
    let process = &config.process;
    if !process.drop_privileges && process.user.is_none() && process.group.is_none() {
        return Ok(Vec::new());
    }
    let identity = Identity::find(process.user.as_deref(), process.group.as_deref())?;
    let permitted = caps::read(None, CapSet::Permitted)?;
    if let Some(identity) = &identity {
        identity.take()?;
    }
    let mut kept = match process.drop_privileges {
        true => needed(config, &permitted),
        false => permitted.clone(),
    };
    caps::set(None, CapSet::Effective, &kept)?;
    let mut warnings = Vec::new();
    if process.drop_privileges && process.user.is_none() {
        warnings = keep_access(config, &permitted, &mut kept)?;
    }
    if process.drop_privileges {
        give_up(&permitted, &kept)?;
    }
    prctl::set_keepcaps(false).map_err(refused("forget about kept capabilities"))?;
    prctl::set_no_new_privs().map_err(refused("forbid new privileges"))?;
    Ok(warnings)
}

/// The capabilities that serving takes, of those that there are.
fn needed(config: &Config, permitted: &CapsHashSet) -> CapsHashSet {
    let mut needed = CapsHashSet::new();
    let steers = config.dataplane.steering != Steering::Off;
    if steers || config.offload.mode != OffloadMode::Off {
        // Of the eBPF programs at the start, and of flows that go into the kernel.
        needed.extend([
            Capability::CAP_BPF,
            Capability::CAP_PERFMON,
            Capability::CAP_NET_ADMIN,
        ]);
        if steers {
            // Of raw sockets for every new address and TOS.
            needed.insert(Capability::CAP_NET_RAW);
        }
        // Before Linux 5.8, and in containers that know no better, this is what these two are.
        let new = [Capability::CAP_BPF, Capability::CAP_PERFMON];
        if !new.iter().all(|capability| permitted.contains(capability)) {
            needed.insert(Capability::CAP_SYS_ADMIN);
        }
    }
    if config.dataplane.reserve_ports {
        // At the start, and to give them back.
        needed.insert(Capability::CAP_NET_ADMIN);
    }
    let is_low = |port: u16| port < FIRST_OPEN_PORT;
    let listens_low = config.listeners().iter().map(SocketAddr::port).any(is_low);
    let serves_low = config.interfaces.iter().any(|one| is_low(one.ports.min));
    if listens_low || serves_low {
        needed.insert(Capability::CAP_NET_BIND_SERVICE);
    }
    &needed & permitted
}

/// Ports below may be bound with CAP_NET_BIND_SERVICE only.
const FIRST_OPEN_PORT: u16 = 1024;

/// Keeps the rights over the files of others where the configuration names some that are shut
/// without, and says so: root needs them for a directory that belongs to another user.
fn keep_access(
    config: &Config,
    permitted: &CapsHashSet,
    kept: &mut CapsHashSet,
) -> Result<Vec<String>, PrivilegeError> {
    let mut warnings = Vec::new();
    for (path, access) in files(config) {
        let is_shut = |path: &Path| faccessat(AT_FDCWD, path, access, AtFlags::AT_EACCESS).is_err();
        let capability = match access.contains(AccessFlags::W_OK) {
            true => Capability::CAP_DAC_OVERRIDE,
            false => Capability::CAP_DAC_READ_SEARCH,
        };
        if !is_shut(&path) || kept.contains(&capability) || !permitted.contains(&capability) {
            continue;
        }
        let mut more = kept.clone();
        more.insert(capability);
        caps::set(None, CapSet::Effective, &more)?;
        if is_shut(&path) {
            // It is not that.
            caps::set(None, CapSet::Effective, kept)?;
            continue;
        }
        *kept = more;
        warnings.push(format!(
            "{} belongs to another user: the relay keeps {capability} for it; give it to the user \
             that the relay runs as, or name its user in [process]",
            path.display()
        ));
    }
    Ok(warnings)
}

/// Files that are opened later than now, or written to, and how.
fn files(config: &Config) -> Vec<(PathBuf, AccessFlags)> {
    let write = AccessFlags::W_OK | AccessFlags::X_OK;
    let pidfile = config.process.pidfile.as_deref();
    let pidfile_dir = pidfile.and_then(|file| Path::new(file).parent());
    let written = [pidfile_dir, config.recording.dir.as_deref().map(Path::new)];
    let control = &config.control;
    let read = [&control.client_ca, &control.https_cert, &control.https_key];
    let written = written.into_iter().flatten().map(|dir| match dir {
        dir if dir.as_os_str().is_empty() => (PathBuf::from("."), write),
        dir => (existing(dir).to_owned(), write),
    });
    let read = read.into_iter().flatten();
    let read = read.map(|file| (PathBuf::from(file), AccessFlags::R_OK));
    written.chain(read).collect()
}

/// A directory, or what it will be made in.
fn existing(dir: &Path) -> &Path {
    dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir)
}

/// Leaves the calling thread `kept` of its capabilities, and programs that it starts no others.
fn give_up(permitted: &CapsHashSet, kept: &CapsHashSet) -> Result<(), PrivilegeError> {
    if permitted.contains(&Capability::CAP_SETPCAP) {
        let mut able = kept.clone();
        able.insert(Capability::CAP_SETPCAP);
        caps::set(None, CapSet::Effective, &able)?;
        for capability in caps::read(None, CapSet::Bounding)?.difference(kept) {
            caps::drop(None, CapSet::Bounding, *capability)?;
        }
    }
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient)?;
    }
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, kept)?;
    caps::set(None, CapSet::Permitted, kept)?;
    Ok(())
}

/// Who to run as.
struct Identity {
    /// Its number, and its name for the groups that it is in; `None`: the group alone changes.
    user: Option<(Uid, CString)>,
    group: Gid,
}

impl Identity {
    /// By name or number; `None` if neither is given.
    fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Self>, PrivilegeError> {
        let known = user.map(find_user).transpose()?;
        let group = group.map(find_group).transpose()?;
        Ok(match known {
            Some(user) => Some(Self {
                group: group.unwrap_or(user.gid),
                user: Some((user.uid, CString::new(user.name).unwrap_or_default())),
            }),
            None => group.map(|group| Self { user: None, group }),
        })
    }

    /// Becomes this user. The permitted capabilities stay until they are given up.
    fn take(&self) -> Result<(), PrivilegeError> {
        prctl::set_keepcaps(true).map_err(refused("keep capabilities"))?;
        match &self.user {
            Some((_, name)) => initgroups(name, self.group),
            None => setgroups(&[self.group]),
        }
        .map_err(refused("take the groups of the user in [process]"))?;
        setresgid(self.group, self.group, self.group)
            .map_err(refused("take the group in [process]"))?;
        if let Some((user, _)) = self.user {
            setresuid(user, user, user).map_err(refused("become the user in [process]"))?;
        }
        Ok(())
    }
}

fn find_user(name: &str) -> Result<User, PrivilegeError> {
    let found = match name.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(name),
    };
    known("user", name, found)
}

fn find_group(name: &str) -> Result<Gid, PrivilegeError> {
    let found = match name.parse() {
        Ok(number) => return Ok(Gid::from_raw(number)),
        Err(_) => Group::from_name(name),
    };
    known("group", name, found).map(|group| group.gid)
}

fn known<T>(
    what: &'static str,
    name: &str,
    found: nix::Result<Option<T>>,
) -> Result<T, PrivilegeError> {
    let found = found.map_err(refused("read the users of this host"))?;
    found.ok_or_else(|| PrivilegeError::Unknown {
        what,
        name: name.to_owned(),
    })
}

fn refused(what: &'static str) -> impl FnOnce(Errno) -> PrivilegeError {
    move |errno| PrivilegeError::System { what, errno }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> CapsHashSet {
        caps::all()
    }

    fn set(capabilities: &[Capability]) -> CapsHashSet {
        capabilities.iter().copied().collect()
    }

    #[test]
    fn what_is_needed_follows_from_the_configuration() {
        use Capability::{
            CAP_BPF, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_PERFMON, CAP_SYS_ADMIN,
        };
        let mut config = Config::default();
        let steered = set(&[CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW]);
        assert_eq!(needed(&config, &all()), steered);
        let mut old = all();
        old.remove(&CAP_BPF);
        old.remove(&CAP_PERFMON);
        assert_eq!(
            needed(&config, &old),
            set(&[CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW])
        );
        assert_eq!(needed(&config, &set(&[])), set(&[]));
        config.dataplane.steering = Steering::Off;
        let kernel_flows = set(&[CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN]);
        assert_eq!(needed(&config, &all()), kernel_flows);
        config.offload.mode = OffloadMode::Off;
        assert_eq!(needed(&config, &all()), set(&[CAP_NET_ADMIN]));
        config.dataplane.reserve_ports = false;
        assert_eq!(needed(&config, &all()), set(&[]));
        config.control.https = vec!["192.0.2.1:443".parse().unwrap()];
        assert_eq!(needed(&config, &all()), set(&[CAP_NET_BIND_SERVICE]));
    }

    #[test]
    fn who_to_run_as_is_a_name_or_a_number() {
        let found = |user, group| Identity::find(user, group).map(|found| found.unwrap());
        for root in ["root", "0"] {
            let identity = found(Some(root), None).unwrap();
            let (uid, name) = identity.user.unwrap();
            assert_eq!((uid.as_raw(), name.as_bytes()), (0, &b"root"[..]));
            assert_eq!(identity.group.as_raw(), 0);
        }
        assert_eq!(found(None, Some("4711")).unwrap().group.as_raw(), 4711);
        assert!(Identity::find(None, None).unwrap().is_none());
        let error = Identity::find(Some("no such user"), None).err().unwrap();
        assert!(error.to_string().contains("`no such user`"), "{error}");
    }

    #[test]
    fn a_directory_to_be_made_is_asked_for_where_it_will_be() {
        let mut config = Config::default();
        config.recording.dir = Some("/proc/none/of/these".to_owned());
        config.process.pidfile = Some("pid".to_owned());
        config.control.https_key = Some("/key".to_owned());
        let write = AccessFlags::W_OK | AccessFlags::X_OK;
        assert_eq!(
            files(&config),
            [
                (PathBuf::from("."), write),
                (PathBuf::from("/proc"), write),
                (PathBuf::from("/key"), AccessFlags::R_OK),
            ]
        );
    }
}
