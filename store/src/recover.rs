//! What comes back at a start (spec/survive.md §2.5): from the run-time directory, or else from the
//! copies on disk; how old everything is; and one line that says so.
//!
//! Nothing is opened or bound here: who calls this restores the calls, and says of each that it
//! cannot why ([`Summary::lose`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::journal::scan::{Calls, Live, Newest};
use crate::limits;
use crate::record::{Ended, Stamp};

/// Where the state comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The journal in memory, as the process left it.
    RunDir,
    /// The copies on disk: what came last may be missing.
    StateDir,
}

/// What is known of now and of before.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Where it comes from.
    pub source: Source,
    /// Now.
    pub now: Stamp,
    /// When the owner was last alive, of the live area ([`crate::live::Live::heartbeat_ns`] in the
    /// boot of its owner); `None`: nothing says.
    pub heartbeat: Option<(u32, u64)>,
    /// The longest gap that calls outlive, within a boot.
    pub max_age: Duration,
}

impl Circumstances {
    /// The time since something was written.
    ///
    /// Within a boot CLOCK_BOOTTIME says it. Over a reboot it is the wall clock, which may have
    /// been set meanwhile: it is at least the time since the boot, and at most
    /// [`limits::AGE_MAX`].
    #[must_use]
    pub fn since(&self, written: Stamp) -> Duration {
        if written.boot == self.now.boot {
            return Duration::from_nanos(self.now.boot_ns.saturating_sub(written.boot_ns));
        }
        let wall = Duration::from_millis(self.now.wall_ms.saturating_sub(written.wall_ms));
        let uptime = Duration::from_nanos(self.now.boot_ns);
        wall.clamp(uptime.min(limits::AGE_MAX), limits::AGE_MAX)
    }

    /// An instant that was written as an age: how long ago it is now.
    #[must_use]
    pub fn age(&self, age_when_written: Duration, written: Stamp) -> Duration {
        age_when_written.saturating_add(self.since(written))
    }
}

/// A call to restore.
#[derive(Clone, Debug)]
pub struct Restorable<'a> {
    /// Its number.
    pub number: u64,
    /// Its state.
    pub live: Live<'a>,
    /// The time since that was written.
    pub since: Duration,
}

/// A call that is over and answers repeated requests for some time.
#[derive(Clone, Debug)]
pub struct Remembered<'a> {
    /// Its number.
    pub number: u64,
    /// How it ended.
    pub ended: Ended<'a>,
    /// How long it is still kept.
    pub left: Duration,
}

/// Why a call does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lost {
    /// Its local address is no longer there.
    AddressGone,
    /// It was in hand in two crashes.
    Quarantine,
    /// Nobody served it for longer than `restore_max_age`.
    TooOld,
    /// Its state cannot be read.
    Unreadable,
}

impl Lost {
    /// As logs and call records have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AddressGone => "ADDRESS_GONE",
            Self::Quarantine => "QUARANTINE",
            Self::TooOld => "TOO_OLD",
            Self::Unreadable => "UNREADABLE",
        }
    }
}

/// What came back, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Where it came from.
    pub source: Source,
    /// Calls that go on.
    pub restored: u64,
    /// Calls that do not.
    pub lost: BTreeMap<Lost, u64>,
    /// The time without an owner.
    pub gap: Duration,
    /// Writers that died within a record.
    pub holes: u64,
    /// Records with a wrong sum.
    pub corrupt: u64,
    /// Records of a newer program.
    pub unread: u64,
}

impl Summary {
    /// A call that was to be restored is lost after all.
    pub fn lose(&mut self, why: Lost) {
        self.restored = self.restored.saturating_sub(1);
        *self.lost.entry(why).or_default() += 1;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::RunDir => "memory",
            Source::StateDir => "disk",
        };
        let gap_ms = self.gap.as_millis();
        write!(
            f,
            "{} calls restored from {source} after {gap_ms} ms",
            self.restored
        )?;
        let lost: u64 = self.lost.values().sum();
        write!(f, ", {lost} lost")?;
        for (at, (why, count)) in self.lost.iter().enumerate() {
            let before = if at == 0 { " (" } else { ", " };
            write!(f, "{before}{} {count}", why.name())?;
        }
        if !self.lost.is_empty() {
            f.write_str(")")?;
        }
        let counts = [
            (self.holes, "holes"),
            (self.corrupt, "corrupt records"),
            (self.unread, "records of a newer program"),
        ];
        for (count, what) in counts {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// What there is to restore.
#[derive(Clone, Debug)]
pub struct Recovered<'a> {
    /// Calls to restore, by number.
    pub calls: Vec<Restorable<'a>>,
    /// Calls to end, each with its record and why.
    pub ended: Vec<(Restorable<'a>, Lost)>,
    /// Calls that are over.
    pub remembered: Vec<Remembered<'a>>,
    /// Settings of before.
    pub settings: Option<&'a [u8]>,
    /// The line, as if all calls to restore came back.
    pub summary: Summary,
}

/// Sorts what a journal or a copy says: what goes on, what has to end, what is over.
#[must_use]
pub fn recover<'a>(
    calls: Calls<'a>,
    circumstances: &Circumstances,
    quarantine: &BTreeSet<u64>,
) -> Recovered<'a> {
    let (gap, is_same_boot) = gap(&calls, circumstances);
    let allowed = match is_same_boot {
        true => circumstances.max_age,
        false => circumstances.max_age.max(limits::RESTORE_AFTER_BOOT),
    };
    let is_too_old = gap > allowed;
    let mut recovered = Recovered {
        calls: Vec::new(),
        ended: Vec::new(),
        remembered: Vec::new(),
        settings: calls.settings.map(|(_, body)| body),
        summary: Summary {
            source: circumstances.source,
            restored: 0,
            lost: BTreeMap::new(),
            gap,
            holes: calls.holes,
            corrupt: calls.corrupt,
            unread: calls.unread,
        },
    };
    for (number, newest) in calls.calls {
        let live = match newest {
            Newest::Live(live) => live,
            Newest::Ended(ended, _) => {
                let kept = Duration::from_millis(limits::ENDED_MS);
                let left = kept.saturating_sub(circumstances.since(ended.written));
                if !left.is_zero() {
                    recovered.remembered.push(Remembered {
                        number,
                        ended,
                        left,
                    });
                }
                continue;
            }
        };
        let since = circumstances.since(live.call.written);
        let call = Restorable {
            number,
            live,
            since,
        };
        let lost = if quarantine.contains(&number) {
            Some(Lost::Quarantine)
        } else {
            is_too_old.then_some(Lost::TooOld)
        };
        recovered.summary.restored += 1;
        match lost {
            Some(why) => {
                recovered.summary.lose(why);
                recovered.ended.push((call, why));
            }
            None => recovered.calls.push(call),
        }
    }
    recovered
}

/// The time without an owner: since its last sign of life, or since the last record. And whether
/// that was in this boot.
fn gap(calls: &Calls<'_>, circumstances: &Circumstances) -> (Duration, bool) {
    let now = circumstances.now;
    let written = calls.calls.values().map(|newest| match newest {
        Newest::Live(live) => live.call.written,
        Newest::Ended(ended, _) => ended.written,
    });
    let last = written
        .map(|written| (circumstances.since(written), written.boot == now.boot))
        .min_by_key(|(since, _)| *since);
    let beat = circumstances
        .heartbeat
        .filter(|(boot, _)| *boot == now.boot);
    let beat = beat.map(|(_, at_ns)| {
        let since_ns = now.boot_ns.saturating_sub(at_ns);
        (Duration::from_nanos(since_ns), true)
    });
    let both = [last, beat].into_iter().flatten();
    both.min_by_key(|(since, _)| *since)
        .unwrap_or((Duration::ZERO, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Call;

    const BOOT: u32 = 1;
    const SECOND: u64 = 1_000_000_000;
    const WALL: u64 = 1_700_000_000_000;

    fn stamp(boot_s: u64, wall_s: u64) -> Stamp {
        Stamp {
            boot: BOOT,
            boot_ns: boot_s * SECOND,
            wall_ms: WALL + wall_s * 1000,
        }
    }

    /// At a time of a boot.
    fn circumstances(now: Stamp, boot: u32) -> Circumstances {
        Circumstances {
            source: Source::RunDir,
            now: Stamp { boot, ..now },
            heartbeat: None,
            max_age: Duration::from_secs(60),
        }
    }

    fn calls(written: &[(u64, Stamp)]) -> Calls<'static> {
        let live = |(number, written): &(u64, Stamp)| {
            let call = Call {
                call_id: b"x",
                state: b"s",
                written: *written,
                ..Call::default()
            };
            let live = Live {
                number: *number,
                format: 1,
                call,
                legs: Vec::new(),
            };
            (*number, Newest::Live(live))
        };
        Calls {
            calls: written.iter().map(live).collect(),
            ..Calls::default()
        }
    }

    #[test]
    fn within_a_boot_the_wall_clock_does_not_matter() {
        for wall in [0, 3600, 1_000_000] {
            let now = circumstances(stamp(1010, wall), BOOT);
            let written = stamp(1000, 5000);
            assert_eq!(now.since(written), Duration::from_secs(10));
            let age = now.age(Duration::from_secs(7), written);
            assert_eq!(age, Duration::from_secs(17));
        }
    }

    #[test]
    fn over_a_reboot_the_wall_clock_is_clamped() {
        let other = 2;
        let written = stamp(90_000, 10_000);
        let since = |boot, wall| {
            circumstances(stamp(boot, wall), other)
                .since(written)
                .as_secs()
        };
        assert_eq!(since(30, 10_090), 90);
        // Set back an hour: at least the time since the boot.
        assert_eq!(since(30, 10_090 - 3600), 30);
        // Set ahead by a year.
        assert_eq!(since(30, 10_090 + 31_536_000), limits::AGE_MAX.as_secs());
    }

    #[test]
    fn calls_that_nobody_served_for_too_long_end() {
        let quarantine = BTreeSet::from([2]);
        let all = calls(&[(1, stamp(100, 0)), (2, stamp(990, 0))]);
        // A call that was quiet for long goes on: its owner was there.
        let mut now = circumstances(stamp(1000, 0), BOOT);
        now.heartbeat = Some((BOOT, 999 * SECOND));
        let recovered = recover(all.clone(), &now, &quarantine);
        assert_eq!(recovered.calls.len(), 1);
        assert_eq!(recovered.calls[0].since, Duration::from_secs(900));
        assert_eq!(recovered.ended[0].1, Lost::Quarantine);
        let mut summary = recovered.summary;
        assert_eq!(
            summary.to_string(),
            "1 calls restored from memory after 1000 ms, 1 lost (QUARANTINE 1)"
        );
        summary.lose(Lost::AddressGone);
        summary.holes = 2;
        assert_eq!(
            summary.to_string(),
            "0 calls restored from memory after 1000 ms, 2 lost (ADDRESS_GONE 1, QUARANTINE 1), 2 holes"
        );
        // Nobody was there for 61 s.
        let mut late = circumstances(stamp(1061, 0), BOOT);
        late.heartbeat = Some((BOOT, 999 * SECOND));
        let recovered = recover(all.clone(), &late, &BTreeSet::new());
        assert_eq!(recovered.summary.lost, BTreeMap::from([(Lost::TooOld, 2)]));
        // After a reboot it is an hour.
        let reboot = circumstances(stamp(20, 1500), 2);
        let recovered = recover(all.clone(), &reboot, &BTreeSet::new());
        assert_eq!(recovered.calls.len(), 2);
        let reboot = circumstances(stamp(20, 3601), 2);
        assert_eq!(recover(all, &reboot, &BTreeSet::new()).calls.len(), 0);
    }

    #[test]
    fn ended_calls_answer_for_the_rest_of_a_minute() {
        let ended = |written| {
            let ended = Ended {
                reply: b"r",
                written,
                ..Ended::default()
            };
            Newest::Ended(ended, 5)
        };
        let all = Calls {
            calls: BTreeMap::from([(1, ended(stamp(100, 0))), (2, ended(stamp(50, 0)))]),
            ..Calls::default()
        };
        let recovered = recover(all, &circumstances(stamp(120, 0), BOOT), &BTreeSet::new());
        let left: Vec<_> = recovered
            .remembered
            .iter()
            .map(|call| (call.number, call.left))
            .collect();
        assert_eq!(left, [(1, Duration::from_secs(40))]);
        assert_eq!(recovered.summary.restored, 0);
    }
}
