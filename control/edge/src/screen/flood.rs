//! Floods: messages counted per address and per neighbourhood, before they are parsed (spec §12,
//! stage 3).

use std::time::Duration;

use super::address::Source;
use super::aging::{Aging, Rank};
use super::time::{Part, Tick, Window};

/// Bounds of what one source may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flood {
    /// Messages of an unidentified address in a window. Default 30.
    pub(crate) limit: u32,
    /// Messages of a registered flow in a window. What is more is dropped, and nothing else. Default 300.
    pub(crate) identified: u32,
    /// Messages of all unidentified addresses of a /24 or /64 in a window. Default 300.
    pub(crate) neighbourhood: u32,
    /// Default 2 s.
    pub(crate) window: Duration,
    /// How long a flooding source is dropped. Default 120 s.
    pub(crate) hold: Duration,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            limit: 30,
            identified: 300,
            neighbourhood: 300,
            window: Duration::from_secs(2),
            hold: Duration::from_secs(120),
        }
    }
}

/// What is known of a source before its message is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A stranger.
    Unidentified,
    /// Another port of an address that is protected: counted like a stranger, but never dropped as
    /// a whole.
    Neighbour,
    /// A registered flow: it counts by itself, so that who has the port of one takes nothing from the
    /// others of its address.
    Identified,
    /// A peer, or an address that is never banned. Anybody can send in the name of one: no count
    /// may take its messages away. It has its own limits for calls.
    Peer,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Pass,
    /// More than the class may send, and nothing is held against the source.
    Excess,
    /// With this message the flood begins: told once.
    Begins,
    Held,
}

/// The counts of one part of the address space.
#[derive(Debug)]
pub(crate) struct Floods {
    sources: Aging<Source, Count>,
    neighbourhoods: Aging<Source, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    window: Window,
    held_until: Tick,
    /// Protected sources that were told of exceeding: until this.
    told_until: Tick,
}

impl Floods {
    pub(crate) fn new(sources: usize, neighbourhoods: usize) -> Self {
        Self {
            sources: Aging::new(sources),
            neighbourhoods: Aging::new(neighbourhoods),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sources.len() + self.neighbourhoods.len()
    }

    /// Counts a message.
    pub(crate) fn count(
        &mut self,
        (whole, port): (Source, Source),
        class: Class,
        bounds: &Flood,
        part: Part,
        now: Tick,
    ) -> Flow {
        let hold = now.after(bounds.hold);
        let (rank, limit) = match class {
            Class::Unidentified => (Rank::Unverified, bounds.limit),
            Class::Neighbour => (Rank::Verified, bounds.limit),
            Class::Identified => (Rank::Verified, bounds.identified),
            Class::Peer => return Flow::Pass,
        };
        // The two classes of a protected address do not count into each other: a stranger behind
        // the same NAT, or in its name, takes nothing from its registered flows.
        let key = match class {
            Class::Unidentified | Class::Peer => whole,
            Class::Identified => port,
            Class::Neighbour => whole.strangers(),
        };
        let Ok((count, _)) = self.sources.touch(&key, rank, Count::default) else {
            return Flow::Pass;
        };
        match class {
            Class::Unidentified => {
                let verdict = count.check(limit, part, now, hold);
                if verdict != Flow::Pass {
                    return verdict;
                }
                // What one address sends in vain does not count against its neighbours. A full
                // table leaves the count of the address.
                let near = whole.neighbourhood();
                let entry = self
                    .neighbourhoods
                    .touch(&near, Rank::Unverified, Count::default);
                let Ok((count, _)) = entry else {
                    return Flow::Pass;
                };
                count.check(bounds.neighbourhood, part, now, hold)
            }
            Class::Neighbour | Class::Identified | Class::Peer => {
                if count.window.count(part) <= limit {
                    return Flow::Pass;
                }
                let is_told = count.told_until > now;
                count.told_until = hold;
                if is_told { Flow::Excess } else { Flow::Begins }
            }
        }
    }

    /// What [`Self::count`] would say, without counting.
    pub(crate) fn peek(
        &self,
        (whole, port): (Source, Source),
        class: Class,
        bounds: &Flood,
        part: Part,
        now: Tick,
    ) -> Flow {
        let (key, limit) = match class {
            Class::Unidentified => (whole, bounds.limit),
            Class::Neighbour => (whole.strangers(), bounds.limit),
            Class::Identified => (port, bounds.identified),
            Class::Peer => return Flow::Pass,
        };
        let judge = |count: Option<&Count>, limit| match count {
            Some(count) if count.held_until > now && class == Class::Unidentified => Flow::Held,
            Some(count) if count.window.peek(part) >= limit => Flow::Excess,
            _ => Flow::Pass,
        };
        if class == Class::Unidentified {
            let near = self.neighbourhoods.get(&whole.neighbourhood());
            let near = judge(near, bounds.neighbourhood);
            if near != Flow::Pass {
                return near;
            }
        }
        judge(self.sources.get(&key), limit)
    }

    /// Ends what is held against an address: it has shown to be a customer.
    pub(crate) fn forgive(&mut self, whole: Source) {
        self.sources.remove(&whole);
    }
}

impl Count {
    fn check(&mut self, limit: u32, part: Part, now: Tick, hold: Tick) -> Flow {
        if self.held_until > now {
            return Flow::Held;
        }
        if self.window.count(part) <= limit {
            return Flow::Pass;
        }
        self.held_until = hold;
        // After the hold the source starts anew.
        self.window = Window::default();
        Flow::Begins
    }
}
