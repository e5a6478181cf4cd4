//! One request in transit: its server transaction, its branch, and the messages that wait for them.

use std::net::SocketAddr;
use std::time::Instant;

use super::Registering;
use super::hide::Back;
use super::session::Asked;
use crate::message::{Message, Method, Parsed};
use crate::route::Route;
use crate::side::Side;
use crate::target::{Attempt, Pick};
use crate::transaction::{Client, Packet, Server};
use crate::transport::{Destination, Flow};

/// A relayed request.
#[derive(Debug)]
pub(crate) struct Transit {
    pub(crate) request: Message,
    pub(crate) source: Flow,
    /// Where its responses go.
    pub(crate) reply_to: Flow,
    /// The address in its Via, where they go if that way is closed.
    pub(crate) sent_by: Option<SocketAddr>,
    pub(crate) key: Box<[u8]>,
    /// The To tag of responses we make ourselves.
    pub(crate) own_tag: String,
    pub(crate) server: Server,
    /// What it asks for, if it is a REGISTER that the edge takes part in.
    pub(crate) registering: Option<Box<Registering>>,
    pub(crate) route: Route,
    pub(crate) branch: Option<Branch>,
    /// The transaction in the branch parameter of `branch`; of the first one, the transit's own.
    pub(crate) number: u64,
    /// Branches that were given up for another target.
    pub(crate) spent: Vec<Spent>,
    /// The targets that it may go to, if a route names them.
    pub(crate) pick: Option<Box<Pick>>,
    /// The target it was sent to.
    pub(crate) attempt: Option<Attempt>,
    /// The look-up it waits for.
    pub(crate) resolving: Option<u64>,
    /// Failures of targets: number of the attempt, sender, response. One of them goes back if no
    /// target is left.
    pub(crate) failures: Vec<(usize, Flow, Message)>,
    pub(crate) dialog: Option<u64>,
    /// Sender, if the request belongs to a call.
    pub(crate) side: Side,
    /// The request opens the call.
    pub(crate) initial: bool,
    /// What its sender hears again, if it is hidden from who answers.
    pub(crate) back: Option<Box<Back>>,
    /// The request carried an SDP offer that the relay accepted.
    pub(crate) offered: bool,
    /// What its 2xx gets for its session timer.
    pub(super) session: Option<Asked>,
    /// It is cancelled.
    pub(crate) cancelled: Option<Cancelled>,
    /// The edge ended its call before it was answered.
    pub(crate) is_ended: bool,
    /// The edge ended its call; the caller is told then if the callee does not answer the CANCEL.
    pub(crate) give_up: Option<Instant>,
    /// The media relay failed on its 2xx: the callee gets this ACK for each.
    pub(crate) refused: Option<Packet>,
    /// It is answered then if no other timer runs: whatever it waits for was lost.
    pub(crate) last_resort: Instant,
    /// The earliest entry of this transit in the timer heap.
    pub(crate) scheduled: Option<Instant>,
    /// It counts among those of its source whose refusal was not acknowledged.
    pub(crate) is_unacknowledged: bool,
    /// Bytes that it counts for.
    pub(crate) weight: usize,
}

/// Why a request is cancelled.
#[derive(Debug)]
pub(crate) enum Cancelled {
    /// Its sender wants no answer; these Reason rows go with our CANCEL.
    ByCaller(Vec<u8>),
    /// The edge ends it, with these rows.
    ByUs(Vec<u8>),
}

impl Cancelled {
    /// Reason rows of our CANCEL.
    pub(crate) fn reasons(&self) -> &[u8] {
        match self {
            Self::ByCaller(rows) | Self::ByUs(rows) => rows,
        }
    }
}

/// A branch that was given up for another target. It sends nothing by itself.
#[derive(Debug)]
pub(crate) struct Spent {
    pub(crate) number: u64,
    pub(crate) branch: Branch,
    pub(crate) to: Destination,
}

/// The way a request was sent.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) client: Client,
    /// Our own CANCEL or BYE.
    pub(crate) own: Option<Client>,
    /// Timer C (RFC 3261 §16.6 step 11).
    pub(crate) ringing: Option<Instant>,
    /// End of the wait for a response after our CANCEL.
    pub(crate) cancel_by: Option<Instant>,
}

impl Transit {
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let last_resort = || self.server.is_open().then_some(self.last_resort);
        self.running().or_else(last_resort)
    }

    /// The next of its timers.
    fn running(&self) -> Option<Instant> {
        let branch = self.branch.as_ref();
        [
            self.server.next_timeout(),
            self.give_up,
            self.pick_timeout(),
            branch.and_then(|b| b.client.next_timeout()),
            branch.and_then(|b| b.own.as_ref()?.next_timeout()),
            branch.and_then(|b| b.ringing),
            branch.and_then(|b| b.cancel_by),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Its sender waits, and nothing else will ever wake it.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        self.server.is_open() && self.running().is_none() && self.last_resort <= now
    }

    /// Times of the target in use. While the media relay is asked they wait: its own limit is short.
    pub(crate) fn pick_timeout(&self) -> Option<Instant> {
        let waits = self.branch.is_some() || self.resolving.is_some();
        self.pick.as_ref().filter(|_| waits)?.next_timeout()
    }

    /// Reduces an answered request to the part that matches late responses: a transaction stays for
    /// half a minute.
    pub(crate) fn shrink(&mut self) {
        let name = self.request.parsed.method_name;
        if self.request.method() != Method::Invite {
            // Only to an INVITE another response may come.
            self.back = None;
        }
        let bytes: Packet = self.request.text(name).into();
        let parsed = Parsed::of_method(self.request.method(), bytes.len());
        self.request = Message { bytes, parsed };
    }

    /// Nothing can come of it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.server.is_terminated()
            && self.branch.as_ref().is_none_or(|b| {
                b.client.is_terminated() && b.own.as_ref().is_none_or(Client::is_terminated)
            })
    }
}
