//! The header page: who owns the directory, when it was last heard of, which call each thread has
//! in hand, and which calls were in hand in a crash.

use std::sync::atomic::Ordering;

use super::Live;
use crate::limits;
use crate::quarantine::{Crash, History};

pub(super) const LAYOUT: usize = 0;
pub(super) const SLOTS: usize = 1;
const EPOCH: usize = 2;
const PID: usize = 3;
const STARTED: usize = 4;
const HEARTBEAT: usize = 5;
const BOOT: usize = 6;
/// When it crashed: nanoseconds since the boot, the newest first; the highest bit says that the
/// crash is explained. 0: unused.
const CRASHES: usize = 8;
/// The call that a thread has in hand.
const IN_HAND: usize = 64;
/// Strikes: call, and by which crash.
const STRIKES: usize = IN_HAND + limits::THREADS;

const _: () = assert!(CRASHES + limits::CRASHES <= IN_HAND);
const _: () = assert!(STRIKES + 2 * limits::STRIKES <= super::HEADER_WORDS);

const EXPLAINED: u64 = 1 << 63;

/// The bytes of "WLLIVE", and the number of the layout.
pub(super) const LAYOUT_VALUE: u64 = u64::from_le_bytes(*b"WLLIVE\0\x01");

/// Who owns a run-time directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The count of its epoch; 0 for nobody.
    pub epoch: u64,
    /// The process.
    pub pid: u32,
    /// When the process was started, as its `/proc` `stat` counts: another one of that number is not
    /// meant.
    pub started: u64,
    /// The boot of the machine that times belong to ([`crate::record::Stamp`]).
    pub boot: u32,
}

/// Somebody else owns the directory now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("epoch {found} owns the live area, epoch {expected} was expected")]
pub struct TakeError {
    /// The epoch that was to be replaced.
    pub expected: u64,
    /// The epoch that stands there.
    pub found: u64,
}

impl Live {
    /// Who owns it.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner {
            epoch: self.map.load(EPOCH, Ordering::Acquire),
            pid: super::low32(self.map.load(PID, Ordering::Relaxed)),
            started: self.map.load(STARTED, Ordering::Relaxed),
            boot: super::low32(self.map.load(BOOT, Ordering::Relaxed)),
        }
    }

    /// Owns it in the place of epoch `before`.
    ///
    /// # Errors
    /// Somebody else did meanwhile.
    pub fn take(&self, before: u64, owner: &Owner) -> Result<(), TakeError> {
        let taken = self.map.exchange(EPOCH, before, owner.epoch);
        taken.map_err(|found| TakeError {
            expected: before,
            found,
        })?;
        self.map.store(PID, owner.pid.into(), Ordering::Relaxed);
        self.map.store(STARTED, owner.started, Ordering::Relaxed);
        if self.owner().boot != owner.boot {
            // What counts from another boot says nothing.
            self.map.store(HEARTBEAT, 0, Ordering::Relaxed);
            self.map.store(BOOT, owner.boot.into(), Ordering::Release);
        }
        Ok(())
    }

    /// Whether this epoch still owns it. Who finds another one stops.
    #[must_use]
    pub fn is_owned_by(&self, epoch: u64) -> bool {
        self.map.load(EPOCH, Ordering::Acquire) == epoch
    }

    /// Says that the owner is alive, in nanoseconds since the boot.
    pub fn beat(&self, now_ns: u64) {
        self.map.store(HEARTBEAT, now_ns, Ordering::Relaxed);
    }

    /// When the owner was last alive; 0 for never.
    #[must_use]
    pub fn heartbeat_ns(&self) -> u64 {
        self.map.load(HEARTBEAT, Ordering::Relaxed)
    }

    /// Names the call that a thread works on from now on; 0 for none.
    pub fn in_hand(&self, thread: usize, call: u64) {
        if thread < limits::THREADS {
            // Before what the call may do to the process.
            self.map.store(IN_HAND + thread, call, Ordering::Release);
        }
    }

    /// The calls that threads had in hand, each once. What is read after a crash is counted by
    /// [`History::crash`].
    #[must_use]
    pub fn all_in_hand(&self) -> Vec<u64> {
        let words = IN_HAND..IN_HAND + limits::THREADS;
        let calls = words.map(|word| self.map.load(word, Ordering::Acquire));
        let mut calls: Vec<u64> = calls.filter(|call| *call != 0).collect();
        calls.sort_unstable();
        calls.dedup();
        calls
    }

    /// Crashes and strikes as they were saved.
    #[must_use]
    pub fn history(&self) -> History {
        let load = |word| self.map.load(word, Ordering::Relaxed);
        let mut crashes: Vec<Crash> = Vec::new();
        for word in CRASHES..CRASHES + limits::CRASHES {
            let word = load(word);
            if word != 0 {
                crashes.push(Crash {
                    at_ns: word & !EXPLAINED,
                    calls: Vec::new(),
                    is_explained: word & EXPLAINED != 0,
                });
            }
        }
        for strike in 0..limits::STRIKES {
            let (call, at_ns) = (load(STRIKES + 2 * strike), load(STRIKES + 2 * strike + 1));
            if call != 0
                && let Some(crash) = crashes.iter_mut().find(|crash| crash.at_ns == at_ns)
            {
                crash.calls.push(call);
            }
        }
        crashes.sort_by_key(|crash| crash.at_ns);
        History { crashes }
    }

    /// Saves crashes and strikes, and takes all calls out of hand: what is counted once is not
    /// counted again.
    pub fn save_history(&self, history: &History) {
        let store = |word, value| self.map.store(word, value, Ordering::Release);
        // A strike counts with its crash, so crashes come last. Those that are overwritten are
        // the oldest ones.
        let strikes = history.crashes.iter().rev();
        let strikes = strikes.flat_map(|crash| crash.calls.iter().map(|call| (*call, crash.at_ns)));
        let mut strikes: Vec<_> = strikes.take(limits::STRIKES).collect();
        strikes.resize(limits::STRIKES, (0, 0));
        for (at, (call, at_ns)) in strikes.into_iter().enumerate() {
            store(STRIKES + 2 * at, 0);
            store(STRIKES + 2 * at + 1, at_ns);
            store(STRIKES + 2 * at, call);
        }
        let crashes = history.crashes.iter().rev();
        let crashes = crashes.map(|crash| match crash.is_explained {
            true => crash.at_ns | EXPLAINED,
            false => crash.at_ns,
        });
        let mut crashes: Vec<u64> = crashes.take(limits::CRASHES).collect();
        crashes.resize(limits::CRASHES, 0);
        for (at, at_ns) in crashes.into_iter().enumerate() {
            store(CRASHES + at, at_ns);
        }
        for thread in 0..limits::THREADS {
            self.in_hand(thread, 0);
        }
    }
}
