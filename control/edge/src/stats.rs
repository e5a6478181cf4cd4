//! Counters of one edge: one writer per shard, read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::meter::Histogram;
use crate::screen::{self, Stage};
use crate::transport::{CloseReason, RefuseReason, TransportStats};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Reasons for dropping a datagram: neither answered nor relayed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in logs and metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// It came with a token that the edge did not write, from a zone that is not told so.
    BadToken => "bad_token",
    /// Nothing but line ends or NULs.
    Keepalive => "keepalive",
    /// Not SIP; no response can be built.
    Malformed => "malformed",
    /// The media relay failed on a message that cannot be refused.
    Media => "media",
    /// The datagrams came faster than the shard takes them.
    Overload => "overload",
    /// More messages of one call wait for the media relay than allowed.
    Parked => "parked",
    /// Screening: its source is banned, or it is none of what may be relayed.
    Screened => "screened",
    /// An ACK that belongs to no call.
    StrayAck => "stray_ack",
    /// A response whose top Via is not ours or whose transaction is gone.
    StrayResponse => "stray_response",
    /// No socket of the target's address family, or the send failed.
    Unsendable => "unsendable",
}

/// Names of what a verdict does, in the order of the counters.
const ACTIONS: [&str; 7] = [
    "pass", "answer", "drop", "reject", "fake200", "close", "tarpit",
];

/// Counters, written by the core, read through [`Stats::snapshot`].
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) requests: AtomicU64,
    pub(crate) responses: AtomicU64,
    pub(crate) retransmissions: AtomicU64,
    pub(crate) media_failures: AtomicU64,
    pub(crate) dialogs: AtomicU64,
    pub(crate) transactions: AtomicU64,
    /// From the arrival of a message to its shard.
    pub(crate) queue_delay: Histogram,
    /// From an INVITE to the first sign of the callee.
    pub(crate) setup_delay: Histogram,
    /// Verdicts of the screen, by stage and action.
    verdicts: [[AtomicU64; ACTIONS.len()]; Stage::ALL.len()],
    dropped: [AtomicU64; DropReason::ALL.len()],
}

/// The counters of an edge at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// Requests received, retransmissions included.
    pub requests: u64,
    /// Responses received, retransmissions included.
    pub responses: u64,
    /// Messages sent again by a timer or for a repeated request.
    pub retransmissions: u64,
    /// ng requests that failed or timed out.
    pub media_failures: u64,
    /// Calls in the dialog table now.
    pub active_dialogs: u64,
    /// Requests being relayed now, including those that linger for retransmissions.
    pub active_transactions: u64,
    /// Contacts that registrars granted through the edge.
    pub bindings: u64,
    /// Flows that those are reached by.
    pub flows: u64,
    /// Verdicts of the screen other than to pass on to the next stage: stage, action, count.
    pub verdicts: Vec<(&'static str, &'static str, u64)>,
    /// Connections open now.
    pub connections: u64,
    /// Connections not taken, by reason.
    pub connections_refused: Vec<(&'static str, u64)>,
    /// Connections closed, by reason.
    pub connections_closed: Vec<(&'static str, u64)>,
    /// Datagrams dropped, by reason.
    pub dropped: Vec<(DropReason, u64)>,
}

impl Stats {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn drop_for(&self, reason: DropReason) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            Self::add(counter);
        }
    }

    /// A stage of the screen has decided.
    pub(crate) fn judged(&self, stage: Option<Stage>, action: &screen::Action) {
        let Some(stage) = stage else {
            return;
        };
        let at = Stage::ALL.iter().position(|other| *other == stage);
        let action = match action {
            screen::Action::Pass => 0,
            screen::Action::Answer => 1,
            screen::Action::Drop => 2,
            screen::Action::Reject(_) => 3,
            screen::Action::Fake200 => 4,
            screen::Action::Close => 5,
            screen::Action::Tarpit => 6,
        };
        let counters = at.and_then(|at| self.verdicts.get(at));
        if let Some(counter) = counters.and_then(|counters| counters.get(action)) {
            Self::add(counter);
        }
    }

    pub(crate) fn snapshot(&self) -> StatsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatsSnapshot {
            requests: read(&self.requests),
            responses: read(&self.responses),
            retransmissions: read(&self.retransmissions),
            media_failures: read(&self.media_failures),
            active_dialogs: read(&self.dialogs),
            active_transactions: read(&self.transactions),
            bindings: 0,
            flows: 0,
            verdicts: std::iter::zip(Stage::ALL, &self.verdicts)
                .flat_map(|(stage, actions)| {
                    let counts = std::iter::zip(ACTIONS, actions);
                    counts.map(move |(action, count)| (stage.as_str(), action, read(count)))
                })
                .collect(),
            connections: 0,
            connections_refused: Vec::new(),
            connections_closed: Vec::new(),
            dropped: DropReason::ALL
                .iter()
                .zip(&self.dropped)
                .map(|(reason, counter)| (*reason, read(counter)))
                .collect(),
        }
    }
}

impl StatsSnapshot {
    /// The counters of all shards together.
    pub(crate) fn sum(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Stats::default().snapshot(), |mut sum, one| {
            sum.requests += one.requests;
            sum.responses += one.responses;
            sum.retransmissions += one.retransmissions;
            sum.media_failures += one.media_failures;
            sum.active_dialogs += one.active_dialogs;
            sum.active_transactions += one.active_transactions;
            for (all, (.., n)) in sum.verdicts.iter_mut().zip(&one.verdicts) {
                all.2 += n;
            }
            for (reason, n) in one.dropped {
                sum.add(reason, n);
            }
            sum
        })
    }

    /// Adds what transports count, which are one for all shards.
    pub(crate) fn add_transports(&mut self, transports: &TransportStats) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.add(DropReason::Keepalive, read(&transports.keepalives));
        self.add(DropReason::Overload, read(&transports.overload));
        self.connections = read(&transports.connections);
        let refused = RefuseReason::ALL.iter();
        self.connections_refused = refused
            .map(|reason| (reason.as_str(), transports.refused(*reason)))
            .collect();
        let closed = CloseReason::ALL.iter();
        self.connections_closed = closed
            .map(|reason| (reason.as_str(), transports.closed(*reason)))
            .collect();
    }

    fn add(&mut self, reason: DropReason, n: u64) {
        let counter = self.dropped.iter_mut().find(|(r, _)| *r == reason);
        if let Some((_, count)) = counter {
            *count += n;
        }
    }

    /// Number of datagrams dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped
            .iter()
            .find(|(r, _)| *r == reason)
            .map_or(0, |(_, n)| *n)
    }
}
