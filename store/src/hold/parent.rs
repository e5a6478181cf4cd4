//! `windlass run --hold`: a parent that does nothing but hold descriptors and start its child again.
//!
//! What holds must be too small to fail: one thread, no eBPF, no configuration, some tens of
//! descriptors. It is fit as PID 1 of a container: it forwards signals, reaps what is left to it,
//! and ends as its child ends.
//!
//! The child has a NOTIFY_SOCKET of it, as a service of systemd has, and is given back what it sent
//! there with `FDSTORE=1`. `MAINPID=` (an upgrade) makes another process of this session the child.
//! A child that ends by itself with success, or after a signal that asks it to, is the end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::passed::FIRST;
use crate::limits;

mod exec;

/// Signals that are passed on to the child.
const FORWARDED: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// What the child is asked to end by.
const ENDING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];

/// The holder, with one child.
#[derive(Debug)]
pub struct Parent {
    program: OsString,
    arguments: Vec<OsString>,
    held: VecDeque<(String, OwnedFd)>,
    notify: UnixDatagram,
    address: OsString,
    signals: SignalFd,
    child: Pid,
    /// The child was asked to end.
    is_ending: bool,
    /// Crashes in a row without a `READY=1` between them.
    failures: u32,
}

impl Parent {
    /// Starts the child. `nonce` makes the address of its notifications.
    ///
    /// Signals that are passed on, and SIGCHLD, are blocked in this thread from now on. The process
    /// has no other thread, which would get them.
    ///
    /// # Errors
    /// The system's: the program cannot be started.
    pub fn start(program: OsString, arguments: Vec<OsString>, nonce: u64) -> io::Result<Self> {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("windlass-hold-{nonce:016x}");
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name)?;
        let notify = UnixDatagram::bind_addr(&address)?;
        notify.set_nonblocking(true)?;
        // Anybody of this network namespace can write to it: what counts is who the kernel says.
        setsockopt(&notify, sockopt::PassCred, &true)?;
        let mut set = SigSet::empty();
        FORWARDED.iter().for_each(|signal| set.add(*signal));
        set.add(Signal::SIGCHLD);
        set.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = SignalFd::with_flags(&set, flags)?;
        // What is left of a child that died comes to us, even if we are not PID 1.
        nix::sys::prctl::set_child_subreaper(true)?;
        let mut parent = Self {
            program,
            arguments,
            held: VecDeque::new(),
            notify,
            address: OsString::from(format!("@{name}")),
            signals,
            child: Pid::from_raw(0),
            is_ending: false,
            failures: 0,
        };
        parent.child = parent.spawn()?;
        Ok(parent)
    }

    /// The child.
    #[must_use]
    pub fn child(&self) -> u32 {
        u32::try_from(self.child.as_raw()).unwrap_or(0)
    }

    /// Names of what is held.
    pub fn held(&self) -> impl Iterator<Item = &str> {
        self.held.iter().map(|(name, _)| name.as_str())
    }

    /// Serves until the child has ended for good; gives back how: its exit code, or 128 and the
    /// signal.
    ///
    /// # Errors
    /// The system's: the child cannot be started again.
    pub fn run(mut self) -> io::Result<ExitCode> {
        loop {
            if let Some(code) = self.turn(None)? {
                return Ok(ExitCode::from(code));
            }
        }
    }

    /// Waits for something to happen, at most so long, and deals with it. Gives back the exit code
    /// once the child has ended for good.
    ///
    /// # Errors
    /// The system's: the child cannot be started again.
    pub fn turn(&mut self, most: Option<Duration>) -> io::Result<Option<u8>> {
        let timeout = most.map_or(PollTimeout::NONE, |most| {
            PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX)
        });
        let mut ready = [
            PollFd::new(self.notify.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        // What the child said before it died counts.
        self.take_notifications();
        self.forward()?;
        self.reap()
    }

    fn forward(&mut self) -> io::Result<()> {
        while let Some(info) = self.signals.read_signal()? {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            let Ok(signal) = Signal::try_from(number) else {
                continue;
            };
            if signal == Signal::SIGCHLD {
                continue;
            }
            self.is_ending |= ENDING.contains(&signal);
            // It may be gone already: then it is reaped next.
            let _ = kill(self.child, signal);
        }
        Ok(())
    }

    fn reap(&mut self) -> io::Result<Option<u8>> {
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(status) => status,
                Err(Errno::ECHILD) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let (pid, code) = match status {
                WaitStatus::Exited(pid, code) => (pid, u8::try_from(code & 0xff).unwrap_or(1)),
                WaitStatus::Signaled(pid, signal, _) => {
                    (pid, u8::try_from(128 + signal as i32).unwrap_or(255))
                }
                WaitStatus::StillAlive => return Ok(None),
                _ => continue,
            };
            if pid != self.child {
                continue;
            }
            // What it had said before, and what an upgrade made the child.
            self.take_notifications();
            if pid != self.child {
                continue;
            }
            if code == 0 || self.is_ending {
                return Ok(Some(code));
            }
            self.failures += 1;
            if self.failures > limits::FAILED_STARTS {
                // It never became ready: that is a configuration, not a crash.
                return Ok(Some(code));
            }
            self.child = self.spawn()?;
        }
    }

    /// Starts the child with what is held.
    fn spawn(&self) -> io::Result<Pid> {
        let names: Vec<&str> = self.held.iter().map(|(name, _)| name.as_str()).collect();
        let own = [
            ("NOTIFY_SOCKET", self.address.clone()),
            ("LISTEN_FDS", names.len().to_string().into()),
            ("LISTEN_FDNAMES", names.join(":").into()),
        ];
        let inherited = std::env::vars_os()
            .filter(|(name, _)| name != "LISTEN_PID" && own.iter().all(|(own, _)| name != *own));
        let inherited: Vec<_> = inherited.collect();
        let own = own
            .iter()
            .map(|(name, value)| (OsString::from(name), value.clone()));
        let child = exec::start(exec::Start {
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            environment: inherited.into_iter().chain(own).collect(),
            descriptors: self.held.iter().map(|(_, fd)| fd.as_raw_fd()).collect(),
            first: FIRST,
        })?;
        Ok(Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)))
    }

    fn take_notifications(&mut self) {
        let mut text = [0; limits::NOTIFICATION_BYTES];
        loop {
            let mut space = nix::cmsg_space!([RawFd; 253], libc::ucred);
            let mut slices = [IoSliceMut::new(&mut text)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            let socket = self.notify.as_raw_fd();
            let Ok(message) = recvmsg::<()>(socket, &mut slices, Some(&mut space), flags) else {
                return;
            };
            let len = message.bytes;
            let mut descriptors = Vec::new();
            let mut sender = None;
            for control in message.cmsgs().into_iter().flatten() {
                match control {
                    ControlMessageOwned::ScmRights(raw) => descriptors.extend(exec::own(raw)),
                    ControlMessageOwned::ScmCredentials(who) => sender = Some(who.pid()),
                    _ => {}
                }
            }
            let is_childs = sender == Some(self.child.as_raw());
            let text = text.get(..len).and_then(|text| str::from_utf8(text).ok());
            if let Some(text) = text.filter(|_| is_childs) {
                self.notified(text, descriptors);
            }
        }
    }

    fn notified(&mut self, text: &str, descriptors: Vec<OwnedFd>) {
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            lines.find(|(of, _)| *of == key).map(|(_, value)| value)
        };
        let name = value("FDNAME").filter(|name| super::check(name).is_ok());
        if value("FDSTORE") == Some("1") {
            for descriptor in descriptors {
                if self.held.len() < limits::DESCRIPTORS {
                    let name = name.unwrap_or("stored").to_owned();
                    self.held.push_back((name, descriptor));
                }
            }
        }
        if value("FDSTOREREMOVE") == Some("1") {
            self.held.retain(|(held, _)| Some(held.as_str()) != name);
        }
        if value("READY") == Some("1") {
            self.failures = 0;
        }
        if let Some(pid) = value("MAINPID").and_then(|pid| pid.parse::<i32>().ok())
            && pid > 1
            && Pid::from_raw(pid) != getpid()
        {
            self.child = Pid::from_raw(pid);
        }
    }
}
