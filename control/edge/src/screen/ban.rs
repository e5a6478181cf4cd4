//! Bans: who is denied, why, and until when (spec §12, "Rules that keep screening from hurting
//! customers").
//!
//! An unverified ban rests on a datagram that anybody could have sent in the name of the banned
//! address. So it is short, twice as long each time, and first to be forgotten.

use std::time::Duration;

use super::address::Source;
use super::aging::{Aging, Full, Place, Rank};
use super::time::Tick;
use super::verdict::Stage;
use crate::limits;

/// How well the cause of a ban is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Evidence {
    /// One datagram; its source can be forged.
    Unverified,
    /// It came over a stream, or repeated a nonce or tag that was sent to that address.
    Verified,
}

/// Who banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Operator,
    Stage(Stage),
}

impl Reason {
    /// The name in logs, events and the admin interface.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Stage(stage) => stage.as_str(),
        }
    }
}

/// One ban, in force or remembered for its repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ban {
    pub(crate) reason: Reason,
    pub(crate) evidence: Evidence,
    /// Bans so far, without an hour of good conduct between them; saturates.
    pub(crate) times: u8,
    pub(crate) first: Tick,
    pub(crate) last: Tick,
    pub(crate) until: Tick,
    /// Messages refused by the last ban; saturates.
    pub(crate) refused: u32,
    /// Whether the end of the ban was told.
    pub(crate) is_told: bool,
}

// A million of them take 64 MB with their index (spec §12).
const _: () = assert!(size_of::<(Source, Ban)>() <= 40);

/// How long bans last (spec §12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Durations {
    /// After verified evidence. Default 1 h; also the longest unverified ban.
    pub(crate) verified: Duration,
    /// The first one after unverified evidence. Default 60 s.
    pub(crate) unverified: Duration,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            verified: Duration::from_secs(3600),
            unverified: Duration::from_secs(60),
        }
    }
}

/// The bans of one part of the address space.
#[derive(Debug)]
pub(crate) struct Bans {
    table: Aging<Source, Ban>,
    /// Entries of single ports: as long as there are none, they are not looked for.
    ports: usize,
}

/// What became of a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) ban: Ban,
    /// It was not in force before.
    pub(crate) is_new: bool,
}

impl Bans {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            table: Aging::new(capacity),
            ports: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The ban in force on a port: of the whole address, or of the port.
    #[inline]
    pub(crate) fn in_force(&mut self, whole: Source, port: Source, now: Tick) -> Option<&mut Ban> {
        if let Some(place) = self.running(whole, now) {
            return self.table.at_mut(place);
        }
        if self.ports == 0 {
            return None;
        }
        let place = self.running(port, now)?;
        self.table.at_mut(place)
    }

    #[inline]
    fn running(&mut self, key: Source, now: Tick) -> Option<Place> {
        let place = self.table.place(&key)?;
        (self.table.at_mut(place)?.until > now).then_some(place)
    }

    /// Bans for `asked`, or less if the evidence is unverified and the source's earlier bans ask
    /// for less. A ban in force is never shortened.
    pub(crate) fn place(
        &mut self,
        key: Source,
        reason: Reason,
        evidence: Evidence,
        asked: Duration,
        durations: &Durations,
        now: Tick,
    ) -> Result<Placed, Full> {
        let known = self.table.get(&key);
        let known = known.filter(|ban| ban.until.after(limits::BAN_MEMORY) > now);
        let is_new = known.is_none_or(|ban| ban.until <= now);
        let mut ban = known.copied().unwrap_or(Ban {
            reason,
            evidence,
            times: 0,
            first: now,
            last: now,
            until: now,
            refused: 0,
            is_told: false,
        });
        if is_new {
            ban.times = ban.times.saturating_add(1);
            (ban.is_told, ban.refused) = (false, 0);
        }
        let stronger = evidence > ban.evidence;
        if is_new || stronger {
            (ban.reason, ban.evidence) = (reason, evidence);
            let until = now.after(match evidence {
                Evidence::Verified => asked,
                Evidence::Unverified => {
                    let doublings =
                        u32::from(ban.times.saturating_sub(1)).min(limits::BAN_DOUBLINGS);
                    let doubled = durations.unverified.saturating_mul(1 << doublings);
                    doubled.min(durations.verified).min(asked)
                }
            });
            ban.until = ban.until.max(until);
        }
        ban.last = now;
        let rank = match (reason, ban.evidence) {
            (Reason::Operator, _) => Rank::Pinned,
            (_, Evidence::Verified) => Rank::Verified,
            (_, Evidence::Unverified) => Rank::Unverified,
        };
        self.put(key, ban, rank)?;
        Ok(Placed { ban, is_new })
    }

    /// Puts a ban back that was saved.
    pub(crate) fn restore(&mut self, key: Source, ban: Ban) -> Result<(), Full> {
        let rank = match (ban.reason, ban.evidence) {
            (Reason::Operator, _) => Rank::Pinned,
            (_, Evidence::Verified) => Rank::Verified,
            (_, Evidence::Unverified) => Rank::Unverified,
        };
        self.put(key, ban, rank)
    }

    fn put(&mut self, key: Source, ban: Ban, rank: Rank) -> Result<(), Full> {
        let before = self.table.len();
        let (entry, gone) = self.table.touch(&key, rank, || ban)?;
        *entry = ban;
        let gone_port = gone.is_some_and(|(key, _)| key.only_port().is_some());
        let is_added = self.table.len() > before || gone.is_some();
        self.ports -= usize::from(gone_port);
        self.ports += usize::from(is_added && key.only_port().is_some());
        Ok(())
    }

    /// Lifts a ban and forgets earlier ones.
    pub(crate) fn lift(&mut self, key: Source) -> Option<Ban> {
        let ban = self.table.remove(&key)?;
        self.ports -= usize::from(key.only_port().is_some());
        Some(ban)
    }

    /// Lifts what rests on unverified evidence: the source has shown to be a customer.
    pub(crate) fn lift_unverified(&mut self, key: Source) -> Option<Ban> {
        let ban = self.table.get(&key)?;
        let is_weak = ban.evidence == Evidence::Unverified && ban.reason != Reason::Operator;
        if is_weak { self.lift(key) } else { None }
    }

    /// Tells of bans that ended and forgets those that ended long ago, of the next `budget`
    /// entries.
    pub(crate) fn sweep(&mut self, budget: usize, now: Tick, mut ended: impl FnMut(Source, Ban)) {
        let mut ports = 0;
        let is_over = |key: &Source, ban: &mut Ban| {
            if ban.until <= now && !ban.is_told {
                ban.is_told = true;
                ended(*key, *ban);
            }
            ban.until.after(limits::BAN_MEMORY) <= now
        };
        self.table.sweep(budget, is_over, |key: Source, _| {
            ports += usize::from(key.only_port().is_some());
        });
        self.ports -= ports;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Source, Ban)> {
        self.table.iter().map(|(key, ban, _)| (*key, *ban))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ports are looked for exactly as long as there are some.
    #[test]
    fn ports_are_counted_through_eviction_and_time() {
        let durations = Durations::default();
        let mut bans = Bans::new(8);
        let mut now = Tick::default().after(Duration::from_secs(1));
        for n in 0..1000_u16 {
            let address = ([192, 0, 2, (n % 50) as u8], n % 3 * 1000).into();
            let key = Source::port(address);
            let evidence = if n % 7 == 0 {
                Evidence::Verified
            } else {
                Evidence::Unverified
            };
            let reason = Reason::Stage(Stage::Fingerprints);
            let hour = Duration::from_secs(3600);
            let _ = bans.place(key, reason, evidence, hour, &durations, now);
            if n % 11 == 0 {
                bans.lift(key);
            }
            now = now.after(Duration::from_secs(60));
            bans.sweep(2, now, |_, _| ());
            let ports = bans.iter().filter(|(key, _)| key.only_port().is_some());
            assert_eq!(bans.ports, ports.count());
        }
    }
}
