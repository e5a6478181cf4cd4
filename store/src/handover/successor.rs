//! The side of the process that takes over.

use std::collections::VecDeque;
use std::time::Duration;

use super::message::Message;
use super::{Deadlines, Failure, Step};
use crate::limits;

/// What the driver has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a message.
    Send(Message),
    /// Map journal and live area read-only, restore all calls, compute all plans, open nothing;
    /// then call [`Successor::restored`], or [`Successor::failed`].
    Restore {
        /// The run-time directory.
        run_dir: String,
        /// Names of the descriptors that came, in their order.
        names: Vec<String>,
    },
    /// Read the last records, take the epoch, start the workers; when each has turned and a ping
    /// went through, call [`Successor::started`], or [`Successor::failed`].
    Start {
        /// The number of the last record.
        number: u64,
        /// The count of the epoch that ends.
        epoch: u64,
        /// What the engine saved beside the journal.
        saved: Vec<u8>,
    },
    /// Read control sockets, say that we are ready, start followers.
    Serve,
    /// Exit without a word to anybody else.
    Exit(Failure),
}

#[derive(Debug)]
enum State {
    /// Names and number of the frames so far.
    Here(Vec<String>, u64),
    Restoring,
    /// Bytes and number of the frames so far.
    Go(Vec<u8>, u64),
    Starting,
    Yours,
    Serving,
    Gone,
}

/// The successor's part of one hand-over.
#[derive(Debug)]
pub struct Successor {
    deadlines: Deadlines,
    state: State,
    due: Option<Duration>,
    actions: VecDeque<Action>,
}

impl Successor {
    /// The configuration is read and checked: say hello.
    #[must_use]
    pub fn new(deadlines: Deadlines, hello: Message, now: Duration) -> Self {
        Self {
            deadlines,
            state: State::Here(Vec::new(), 0),
            due: Some(now + deadlines.hello),
            actions: VecDeque::from([Action::Send(hello)]),
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

    /// Whether this process is the one that serves, for good.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        matches!(self.state, State::Serving)
    }

    /// A message of the old process.
    pub fn handle_message(&mut self, message: Message, now: Duration) {
        match (&mut self.state, message) {
            (
                State::Here(all, parts),
                Message::Here {
                    run_dir,
                    names,
                    part,
                    has_more,
                },
            ) => {
                let is_next = part == *parts;
                *parts += 1;
                all.extend(names);
                if !is_next || all.len() > limits::DESCRIPTORS {
                    self.exit(Failure::Protocol(Step::Hello));
                } else if !has_more {
                    let names = std::mem::take(all);
                    self.actions.push_back(Action::Restore { run_dir, names });
                    self.state = State::Restoring;
                    self.due = Some(now + self.deadlines.ready);
                }
            }
            (State::Here(..), Message::Refused { reason }) => self.exit(Failure::Refused(reason)),
            (
                State::Go(saved, parts),
                Message::Go {
                    number,
                    epoch,
                    piece,
                    part,
                    has_more,
                },
            ) => {
                let is_next = part == *parts;
                *parts += 1;
                saved.extend_from_slice(&piece);
                if !is_next || saved.len() > limits::SAVED_BYTES {
                    self.exit(Failure::Protocol(Step::Freeze));
                } else if !has_more {
                    let saved = std::mem::take(saved);
                    self.actions.push_back(Action::Start {
                        number,
                        epoch,
                        saved,
                    });
                    self.state = State::Starting;
                    self.due = Some(now + self.deadlines.alive);
                }
            }
            (State::Yours, Message::Yours) => {
                self.actions.push_back(Action::Serve);
                self.state = State::Serving;
                self.due = None;
            }
            (State::Serving | State::Gone, _) => {}
            _ => self.exit(Failure::Protocol(self.step())),
        }
    }

    /// The connection is over. Before `Yours` that is our end: the old process goes on, or who
    /// holds the descriptors starts anew.
    pub fn closed(&mut self) {
        self.exit(Failure::Closed(self.step()));
    }

    /// All calls are restored; `digests` are what `Ready` is preceded by.
    pub fn restored(&mut self, digests: &[(u64, super::message::Digest)], now: Duration) {
        if !matches!(self.state, State::Restoring) {
            return;
        }
        for calls in digests.chunks(limits::DIGESTS_A_FRAME) {
            let calls = calls.to_vec();
            self.actions
                .push_back(Action::Send(Message::Digests { calls }));
        }
        let calls = digests.len() as u64;
        self.actions
            .push_back(Action::Send(Message::Ready { calls }));
        self.state = State::Go(Vec::new(), 0);
        // The old one compares, and its handshakes end.
        let wait = self.deadlines.ready + self.deadlines.handshakes + self.deadlines.commands;
        self.due = Some(now + wait);
    }

    /// Every worker has turned, and a ping went through.
    pub fn started(&mut self, now: Duration) {
        if matches!(self.state, State::Starting) {
            self.actions.push_back(Action::Send(Message::Alive));
            self.state = State::Yours;
            self.due = Some(now + self.deadlines.yours);
        }
    }

    /// What this process was to do failed.
    pub fn failed(&mut self, reason: String) {
        if !matches!(self.state, State::Serving | State::Gone) {
            let step = self.step();
            let said = reason.clone();
            self.actions
                .push_back(Action::Send(Message::Failed { reason: said }));
            self.exit(Failure::Failed(step, reason));
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.due.is_some_and(|due| due <= now) {
            self.exit(Failure::Deadline(self.step()));
        }
    }

    fn exit(&mut self, why: Failure) {
        if matches!(self.state, State::Serving | State::Gone) {
            return;
        }
        self.actions.push_back(Action::Exit(why));
        self.state = State::Gone;
        self.due = None;
    }

    fn step(&self) -> Step {
        match self.state {
            State::Here(..) => Step::Hello,
            State::Restoring => Step::Ready,
            State::Go(..) => Step::Freeze,
            State::Starting => Step::Alive,
            State::Yours | State::Serving | State::Gone => Step::Yours,
        }
    }
}
