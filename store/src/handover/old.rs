//! The side of the process that serves.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::message::{Digest, Message};
use super::{Deadlines, Failure, Step};
use crate::limits;

/// What the driver has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send `Here` with run-time directory and descriptors.
    SendHere,
    /// Send a message.
    Send(Message),
    /// Compare these digests with our own, and call [`Old::compared`].
    Compare(BTreeMap<u64, Digest>),
    /// Begin no DTLS handshakes and let those under way end; read no control sockets; finish
    /// commands; end the workers' turns; close followers; append `Handover`. Then call
    /// [`Old::frozen`], or [`Old::failed`].
    Freeze,
    /// Send `Go` with what is not in the journal.
    SendGo {
        /// The number of the last record.
        number: u64,
    },
    /// Kill the child and wait for its end; then call [`Old::reaped`].
    Kill,
    /// Give up a freeze that is still under way, take the epoch back, reload indexes from the live area (windows full below), start the
    /// workers, read control sockets again.
    TakeBack,
    /// Tell who supervises us about the new main process, send `Yours`, end connections, exit.
    Leave,
    /// The hand-over did not come about; this process serves on.
    Report(Failure),
}

#[derive(Debug)]
enum State {
    Hello,
    Ready(BTreeMap<u64, Digest>),
    Comparing,
    Freezing,
    Alive,
    /// Waits for the end of the child.
    Killing {
        is_frozen: bool,
        why: Failure,
    },
    /// This process serves, and no child is there.
    RolledBack,
    Left,
}

/// The old process' part of one hand-over.
#[derive(Debug)]
pub struct Old {
    deadlines: Deadlines,
    /// Formats that this process writes, by kind.
    formats: Vec<(u8, u8)>,
    /// Calls that may differ (`--allow`).
    allowed: usize,
    state: State,
    due: Option<Duration>,
    actions: VecDeque<Action>,
}

impl Old {
    /// The child was started.
    #[must_use]
    pub fn new(
        deadlines: Deadlines,
        formats: Vec<(u8, u8)>,
        allowed: usize,
        now: Duration,
    ) -> Self {
        Self {
            deadlines,
            formats,
            allowed,
            state: State::Hello,
            due: Some(now + deadlines.hello),
            actions: VecDeque::new(),
        }
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.due
    }

    /// Whether it is over: this process serves on alone, or has left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::RolledBack | State::Left)
    }

    /// A message of the child.
    pub fn handle_message(&mut self, message: Message, now: Duration) {
        match (&mut self.state, message) {
            (State::Hello, Message::Hello { formats, .. }) => match self.unread(&formats) {
                Some(reason) => {
                    let refused = Message::Refused {
                        reason: reason.clone(),
                    };
                    self.actions.push_back(Action::Send(refused));
                    self.roll_back(Failure::Refused(reason));
                }
                None => {
                    self.actions.push_back(Action::SendHere);
                    self.state = State::Ready(BTreeMap::new());
                    self.due = Some(now + self.deadlines.ready);
                }
            },
            (State::Ready(digests), Message::Digests { calls }) => {
                digests.extend(calls);
                if digests.len() > limits::DIGESTS {
                    self.roll_back(Failure::Protocol(Step::Ready));
                }
            }
            (State::Ready(digests), Message::Ready { calls }) => {
                let theirs = std::mem::take(digests);
                if theirs.len() as u64 == calls {
                    self.actions.push_back(Action::Compare(theirs));
                    self.state = State::Comparing;
                } else {
                    self.roll_back(Failure::Protocol(Step::Ready));
                }
            }
            (State::Alive, Message::Alive) => {
                // From here on nothing is rolled back.
                self.actions.push_back(Action::Leave);
                self.state = State::Left;
                self.due = None;
            }
            (State::Killing { .. } | State::RolledBack | State::Left, _) => {}
            (_, Message::Failed { reason }) => self.roll_back(Failure::Failed(self.step(), reason)),
            _ => self.roll_back(Failure::Protocol(self.step())),
        }
    }

    /// The connection is over, or what came is no message.
    pub fn closed(&mut self) {
        self.roll_back(Failure::Closed(self.step()));
    }

    /// Calls that differ from ours.
    pub fn compared(&mut self, differing: Vec<u64>, now: Duration) {
        if !matches!(self.state, State::Comparing) {
            return;
        }
        if differing.len() > self.allowed {
            self.roll_back(Failure::Differs(differing));
            return;
        }
        self.actions.push_back(Action::Freeze);
        self.state = State::Freezing;
        self.due = Some(now + self.deadlines.handshakes + self.deadlines.commands);
    }

    /// Everything stands still; this is the number of the last record.
    pub fn frozen(&mut self, number: u64, now: Duration) {
        if matches!(self.state, State::Freezing) {
            self.actions.push_back(Action::SendGo { number });
            self.state = State::Alive;
            self.due = Some(now + self.deadlines.alive);
        }
    }

    /// What this process was to do for the hand-over failed.
    pub fn failed(&mut self, reason: String) {
        self.roll_back(Failure::Failed(self.step(), reason));
    }

    /// The child is dead and reaped.
    pub fn reaped(&mut self) {
        let before = std::mem::replace(&mut self.state, State::RolledBack);
        match before {
            State::Killing { is_frozen, why } => {
                if is_frozen {
                    self.actions.push_back(Action::TakeBack);
                }
                self.actions.push_back(Action::Report(why));
            }
            State::RolledBack => {}
            // The successor serves alone; its end is a crash like any other.
            State::Left => self.state = State::Left,
            before => {
                self.state = before;
                let is_frozen = self.is_frozen();
                let why = Failure::Closed(self.step());
                self.state = State::Killing { is_frozen, why };
                self.due = None;
                self.reaped();
            }
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.due.is_some_and(|due| due <= now) {
            self.roll_back(Failure::Deadline(self.step()));
        }
    }

    fn roll_back(&mut self, why: Failure) {
        if matches!(
            self.state,
            State::Killing { .. } | State::RolledBack | State::Left
        ) {
            return;
        }
        let is_frozen = self.is_frozen();
        self.actions.push_back(Action::Kill);
        self.state = State::Killing { is_frozen, why };
        self.due = None;
    }

    /// Whether something was stopped that has to be started again.
    fn is_frozen(&self) -> bool {
        matches!(self.state, State::Freezing | State::Alive)
    }

    fn step(&self) -> Step {
        match &self.state {
            State::Hello => Step::Hello,
            State::Ready(_) | State::Comparing => Step::Ready,
            State::Freezing => Step::Freeze,
            State::Alive | State::Killing { .. } => Step::Alive,
            State::RolledBack | State::Left => Step::Yours,
        }
    }

    /// A format of ours that the successor does not read, in words.
    fn unread(&self, reads: &[(u8, u8, u8)]) -> Option<String> {
        self.formats.iter().find_map(|(kind, format)| {
            match reads.iter().find(|(of, ..)| of == kind) {
                Some((_, low, high)) if (low..=high).contains(&format) => None,
                Some((_, low, high)) => Some(format!(
                    "state format {format} of record kind {kind}, you read {low}-{high}"
                )),
                None => Some(format!("record kind {kind}, you do not read it")),
            }
        })
    }
}

/// Calls that differ, are missing or are too many in the successor.
#[must_use]
pub fn differences(ours: &BTreeMap<u64, Digest>, theirs: &BTreeMap<u64, Digest>) -> Vec<u64> {
    let changed = ours
        .iter()
        .filter(|(call, digest)| theirs.get(call) != Some(digest));
    let more = theirs.keys().filter(|call| !ours.contains_key(call));
    let mut differing: Vec<u64> = changed
        .map(|(call, _)| *call)
        .chain(more.copied())
        .collect();
    differing.sort_unstable();
    differing
}
