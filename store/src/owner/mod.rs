//! Who owns a call when several nodes have it (spec/survive.md §5.3): the one with its address.
//!
//! The rules:
//!
//! 1. An epoch is (count, node), compared in this order, so no two nodes have the same. Owning anew
//!    raises the count.
//! 2. States count, not events. A node without the address releases the call and says so. A node
//!    with it that does not own takes over when it gains the address, when the epoch's node says
//!    that it does not own, or when that is silent for 3 s.
//! 3. A higher epoch that is met replaces ours, and nothing is merged. A lower one gets ours back.
//! 4. An end is final, whatever the epoch, and remembered.
//! 5. Signalling takes over only where the address is. Elsewhere a delete is carried out and told;
//!    everything else is refused, so that the caller anchors the call anew.
//!
//! Pure: words of others, the address, commands and time go in; words to others come out. The
//! driver asks [`Node::poll_word`] until nothing is left, and [`Node::poll_timeout`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::limits;

#[cfg(test)]
mod tests;

/// The name of a node, as its configuration has it.
pub type NodeName = String;

/// Who owns, counted over all nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Raised by each node that begins to own.
    pub count: u64,
    /// That node.
    pub node: NodeName,
}

/// What a node says of its own part in a copy that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It owns the call.
    Owns,
    /// The epoch is its own, and it does not own any more.
    Released,
    /// It has a copy of another node's.
    Copy,
}

/// What nodes say to each other about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word<S> {
    /// The state of a call.
    State {
        /// The epoch that wrote it.
        epoch: Epoch,
        /// Rises within the epoch.
        version: u64,
        /// Whether the sender owns it.
        claim: Claim,
        /// The state.
        state: S,
    },
    /// The call is over.
    Ended,
}

/// To whom a word goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// All others.
    All,
    /// One.
    Node(NodeName),
}

/// A call as a node has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held<S> {
    /// The epoch that wrote the state.
    pub epoch: Epoch,
    /// Rises within the epoch.
    pub version: u64,
    /// The state.
    pub state: S,
    part: Part,
}

/// The part that a node has in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It owns it.
    Owner,
    /// The epoch's node is believed to own it.
    Follows,
    /// The epoch's node has said that it does not, or is this one and has lost the address.
    Orphan,
}

impl<S> Held<S> {
    /// Whether this node owns it.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        self.part == Part::Owner
    }
}

/// What a command on a call comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The address is elsewhere: the call has to be anchored anew (§5.4).
    Elsewhere,
    /// The call is over.
    Ended,
}

/// What a node keeps over a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved<S> {
    /// The calls.
    pub calls: BTreeMap<u64, Held<S>>,
    /// Calls that are over, and how long they are still remembered.
    pub ended: BTreeMap<u64, Duration>,
}

impl<S> Default for Saved<S> {
    fn default() -> Self {
        Self {
            calls: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }
}

/// One node's part in the calls of one address. Times are those of a clock that only goes forward.
#[derive(Debug)]
pub struct Node<S> {
    name: NodeName,
    has_address: bool,
    calls: BTreeMap<u64, Held<S>>,
    ended: BTreeMap<u64, Duration>,
    /// When others were last heard.
    heard: BTreeMap<NodeName, Duration>,
    started: Duration,
    /// How long an end is remembered: twice the media time-out.
    remembers: Duration,
    words: VecDeque<(To, u64, Word<S>)>,
    #[cfg(test)]
    mutant: Option<tests::Mutant>,
}

impl<S: Clone> Node<S> {
    /// A node that starts, with what it had saved.
    #[must_use]
    pub fn new(
        name: NodeName,
        saved: Saved<S>,
        has_address: bool,
        media_timeout: Duration,
        now: Duration,
    ) -> Self {
        let ended = saved.ended.into_iter();
        let mut node = Self {
            name,
            has_address,
            calls: saved.calls,
            ended: ended
                .map(|(call, left)| (call, now.saturating_add(left)))
                .collect(),
            heard: BTreeMap::new(),
            started: now,
            remembers: media_timeout.saturating_mul(2),
            words: VecDeque::new(),
            #[cfg(test)]
            mutant: None,
        };
        node.settle_all(now, false);
        node
    }

    /// What has to outlive the process.
    #[must_use]
    pub fn save(&self, now: Duration) -> Saved<S> {
        let ended = self.ended.iter();
        Saved {
            calls: self.calls.clone(),
            ended: ended
                .map(|(call, until)| (*call, until.saturating_sub(now)))
                .collect(),
        }
    }

    /// A call as it is here.
    #[must_use]
    pub fn call(&self, call: u64) -> Option<&Held<S>> {
        self.calls.get(&call)
    }

    /// All calls.
    pub fn calls(&self) -> impl Iterator<Item = (u64, &Held<S>)> {
        self.calls.iter().map(|(call, held)| (*call, held))
    }

    /// The address is here now, or is not (netlink, an operator).
    pub fn set_address(&mut self, has_address: bool, now: Duration) {
        let gains = has_address && !self.has_address;
        self.has_address = has_address;
        self.settle_all(now, gains);
    }

    /// A connection to another node is there: it gets all that this one has.
    pub fn connected(&mut self, to: &NodeName, now: Duration) {
        self.heard.insert(to.clone(), now);
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        for call in calls {
            self.tell(To::Node(to.clone()), call);
        }
        for call in self.ended.keys() {
            let word = (To::Node(to.clone()), *call, Word::Ended);
            self.words.push_back(word);
        }
    }

    /// A sign of life of another node.
    pub fn heard(&mut self, from: &NodeName, now: Duration) {
        self.heard.insert(from.clone(), now);
    }

    /// A word of another node.
    pub fn handle_word(&mut self, from: &NodeName, call: u64, word: Word<S>, now: Duration) {
        self.heard.insert(from.clone(), now);
        let (epoch, version, claim, state) = match word {
            Word::Ended => {
                self.finish(call, now);
                return;
            }
            Word::State {
                epoch,
                version,
                claim,
                state,
            } => (epoch, version, claim, state),
        };
        if self.ended.contains_key(&call) {
            if !self.is_mutant_ended(&epoch) {
                self.words
                    .push_back((To::Node(from.clone()), call, Word::Ended));
                return;
            }
            self.ended.remove(&call);
        }
        // Only the epoch's own node knows whether it owns.
        let says = (*from == epoch.node).then_some(claim);
        let is_released = says == Some(Claim::Released);
        let news = match self.calls.get(&call) {
            None => News::Newer,
            Some(held) => self.compare(held, &epoch, version),
        };
        match news {
            News::Newer => {
                let part = if is_released || epoch.node == self.name {
                    Part::Orphan
                } else {
                    Part::Follows
                };
                let held = Held {
                    epoch,
                    version,
                    state,
                    part,
                };
                self.calls.insert(call, held);
            }
            News::Same => {
                if let Some(held) = self.calls.get_mut(&call)
                    && held.part != Part::Owner
                    && let Some(says) = says
                {
                    held.part = match says {
                        Claim::Released => Part::Orphan,
                        Claim::Owns | Claim::Copy => Part::Follows,
                    };
                }
            }
            News::Older => self.tell(To::Node(from.clone()), call),
        }
        self.settle(call, now, false);
    }

    /// A command that makes a call or changes its state.
    pub fn change(&mut self, call: u64, state: S, now: Duration) -> Outcome {
        if self.ended.contains_key(&call) {
            return Outcome::Ended;
        }
        if !self.has_address && !self.is_mutant_anywhere() {
            return Outcome::Elsewhere;
        }
        let is_owned = self.calls.get(&call).is_some_and(Held::is_owned);
        if !is_owned {
            let count = self.calls.get(&call).map_or(0, |held| held.epoch.count);
            self.own(call, count, state.clone());
        }
        if let Some(held) = self.calls.get_mut(&call) {
            held.version += 1;
            held.state = state;
        }
        self.tell(To::All, call);
        self.settle(call, now, false);
        Outcome::Done
    }

    /// A command that ends a call. It is carried out wherever it comes: a node that hears no
    /// packets would else time the call out.
    pub fn delete(&mut self, call: u64, now: Duration) -> Outcome {
        if self.ended.contains_key(&call) {
            return Outcome::Ended;
        }
        self.finish(call, now);
        self.words.push_back((To::All, call, Word::Ended));
        Outcome::Done
    }

    /// The next word to others.
    pub fn poll_word(&mut self) -> Option<(To, u64, Word<S>)> {
        self.words.pop_front()
    }

    /// When [`Self::handle_timeout`] is due; `None`: nothing changes by time alone.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let follows = self
            .calls
            .values()
            .filter(|held| held.part == Part::Follows);
        let silent = follows.filter(|_| self.has_address).map(|held| {
            let heard = self.heard.get(&held.epoch.node).copied();
            heard
                .unwrap_or(self.started)
                .saturating_add(limits::OWNER_SILENT)
        });
        silent.chain(self.ended.values().copied()).min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.ended.retain(|_, until| *until > now);
        self.settle_all(now, false);
    }

    fn settle_all(&mut self, now: Duration, gains: bool) {
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        for call in calls {
            self.settle(call, now, gains);
        }
    }

    /// Rule 2: what address and others' words make of a call.
    fn settle(&mut self, call: u64, now: Duration, gains: bool) {
        let Some(held) = self.calls.get(&call) else {
            return;
        };
        match (held.part, self.has_address) {
            (Part::Owner, false) => {
                if let Some(held) = self.calls.get_mut(&call) {
                    held.part = Part::Orphan;
                }
                if !self.is_mutant_silent() {
                    self.tell(To::All, call);
                }
            }
            (Part::Follows, true) if gains || self.is_silent(&held.epoch.node, now) => {
                self.take_over(call);
            }
            (Part::Orphan, true) => self.take_over(call),
            _ => {}
        }
    }

    fn is_silent(&self, node: &NodeName, now: Duration) -> bool {
        let heard = self.heard.get(node).copied().unwrap_or(self.started);
        now.saturating_sub(heard) >= limits::OWNER_SILENT && !self.is_mutant_patient()
    }

    fn take_over(&mut self, call: u64) {
        if let Some(held) = self.calls.get(&call) {
            let (count, state) = (held.epoch.count, held.state.clone());
            self.own(call, count, state);
            self.tell(To::All, call);
        }
    }

    /// Rule 1: a new epoch, above the one that was.
    fn own(&mut self, call: u64, before: u64, state: S) {
        let count = if self.is_mutant_same_count() {
            before.max(1)
        } else {
            before.saturating_add(1)
        };
        let held = Held {
            epoch: Epoch {
                count,
                node: self.name.clone(),
            },
            version: 0,
            state,
            part: Part::Owner,
        };
        self.calls.insert(call, held);
    }

    fn finish(&mut self, call: u64, now: Duration) {
        self.calls.remove(&call);
        self.ended.insert(call, now.saturating_add(self.remembers));
    }

    fn tell(&mut self, to: To, call: u64) {
        let Some(held) = self.calls.get(&call) else {
            return;
        };
        let claim = match held.part {
            Part::Owner => Claim::Owns,
            _ if held.epoch.node == self.name => Claim::Released,
            _ => Claim::Copy,
        };
        let word = Word::State {
            epoch: held.epoch.clone(),
            version: held.version,
            claim,
            state: held.state.clone(),
        };
        self.words.push_back((to, call, word));
    }

    /// Rule 3: whether what is met replaces what is held.
    fn compare(&self, held: &Held<S>, epoch: &Epoch, version: u64) -> News {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = self.epoch_order(epoch, &held.epoch);
        let order = match order {
            Greater if self.is_mutant_merge() => version.cmp(&held.version).then(Greater),
            order => order.then(version.cmp(&held.version)),
        };
        match order {
            Greater => News::Newer,
            Equal => News::Same,
            Less => News::Older,
        }
    }

    fn epoch_order(&self, one: &Epoch, other: &Epoch) -> std::cmp::Ordering {
        if self.is_mutant_count_only() {
            return one.count.cmp(&other.count);
        }
        one.cmp(other)
    }
}

enum News {
    Newer,
    Same,
    Older,
}

/// Each rule can be broken in a test, which has to notice.
macro_rules! mutants {
    ($($name:ident $mutant:ident ($($argument:ident: $type:ty),*)),* $(,)?) => {
        #[cfg(test)]
        impl<S> Node<S> {
            $(fn $name(&self $(, $argument: $type)*) -> bool {
                $(let _ = $argument;)*
                self.mutant == Some(tests::Mutant::$mutant)
            })*
        }

        #[cfg(not(test))]
        impl<S> Node<S> {
            $(#[inline]
            fn $name(&self $(, $argument: $type)*) -> bool {
                $(let _ = $argument;)*
                false
            })*
        }
    };
}

mutants! {
    is_mutant_count_only CountOnly (),
    is_mutant_same_count SameCount (),
    is_mutant_silent SilentRelease (),
    is_mutant_patient NoSilence (),
    is_mutant_merge Merge (),
    is_mutant_ended EndYields (epoch: &Epoch),
    is_mutant_anywhere Anywhere (),
}
