//! The offers and answers of one call (spec §11), and their meaning for the media relay.
//!
//! The relay is asked about one message of a call at a time; messages behind it wait in
//! [`MediaState::queue`], so that they leave in the order they came.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits::REMEMBERED_SDP;
use crate::message::body::{self, Body};
use crate::message::{HeaderId, Message, Method, Span};
use crate::relay::{MediaCommand, MediaRequest};
use crate::route::Route;
use crate::side::Side;
use crate::transport::Flow;

/// One message that passes through the edge.
#[derive(Debug)]
pub(crate) enum Job {
    /// A request with a server transaction of its own.
    Request { transit: u64 },
    /// An ACK for a 2xx.
    Ack {
        ack: Box<Message>,
        source: Flow,
        route: Route,
        /// The call, and who acknowledges.
        call: (u64, Side),
    },
    /// A response to a relayed request.
    Response {
        transit: u64,
        response: Box<Message>,
        source: Flow,
    },
    /// No message: the relay is to delete the call.
    Delete,
    /// No message: the relay is to delete what it has of one callee, and keep the call.
    DeleteBranch(Gone),
    /// No message: a change was refused, and the relay is given the agreed session again.
    Restore(VecDeque<MediaRequest>),
}

/// A callee that is no part of its call any more.
#[derive(Debug)]
pub(crate) enum Gone {
    /// A target that was given up, by its number.
    Target(u32),
    /// One of several that answered, by its tag.
    Callee(Box<[u8]>),
}

/// A job at the relay.
#[derive(Debug)]
pub(crate) struct Busy {
    pub(crate) token: u64,
    pub(crate) job: Job,
    pub(crate) query: Option<Query>,
}

/// Media state of one call.
#[derive(Debug, Default)]
pub(crate) struct MediaState {
    /// The message whose SDP is at the relay.
    pub(crate) busy: Option<Busy>,
    /// Jobs that wait behind it.
    pub(crate) queue: VecDeque<Job>,
    /// The relay knows the call.
    pub(crate) active: bool,
    /// The callee made the offer; ACK or PRACK brings the answer.
    late_offer: bool,
    answered_late: bool,
    /// The last offer and answer at the relay.
    proposed: Option<MediaRequest>,
    answered: Option<MediaRequest>,
    /// The offer and the answer that are in force (RFC 3261 §14.1: a refused change leaves them).
    agreed: Option<Box<[MediaRequest; 2]>>,
    /// The last offer passed the relay by, and its answer does.
    is_bypassed: bool,
    /// Number of the target that is tried (`via-branch`); 0: there is only one. And whether the relay
    /// has an offer for it.
    branch: u32,
    is_offered: bool,
    /// Results for repeated messages.
    seen: VecDeque<(u64, Arc<[u8]>)>,
}

/// A question to the relay about one SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) command: MediaCommand,
    pub(crate) sdp: Span,
    /// The party of the To header is the offerer: the offer came in a response, or this is the
    /// answer to such an offer.
    pub(crate) swapped: bool,
    /// Identifies the message for repeats.
    pub(crate) fingerprint: u64,
}

/// Meaning of a message for the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing to ask; forward as it is.
    Pass,
    /// Signed or encrypted: it cannot be anchored.
    Sealed(MediaCommand),
    /// Forward with this SDP, which the relay gave earlier for the same message.
    Known(Span, Arc<[u8]>),
    Ask(Query),
}

impl MediaState {
    /// Looks at a request, or an ACK, of the call.
    pub(crate) fn plan_request(&self, message: &Message, hash: impl Fn(&[&[u8]]) -> u64) -> Plan {
        let command = match message.method() {
            Method::Invite | Method::Update => MediaCommand::Offer,
            Method::Prack if !self.late_offer => MediaCommand::Offer,
            Method::Prack | Method::Ack => MediaCommand::Answer,
            _ => return Plan::Pass,
        };
        let swapped = command == MediaCommand::Answer;
        let unexpected = message.method() == Method::Ack && !self.late_offer;
        match self.plan(message, command, swapped, hash) {
            Plan::Ask(_) if unexpected => Plan::Pass,
            plan => plan,
        }
    }

    /// Looks at a response; `offered` tells whether its request carried an offer.
    pub(crate) fn plan_response(
        &self,
        message: &Message,
        offered: bool,
        hash: impl Fn(&[&[u8]]) -> u64,
    ) -> Plan {
        let status = message.parsed.status();
        let carries = matches!(
            message.method(),
            Method::Invite | Method::Update | Method::Prack
        );
        if !carries || !(101..300).contains(&status) {
            return Plan::Pass;
        }
        if offered {
            return self.plan(message, MediaCommand::Answer, false, hash);
        }
        let reliable = status >= 200 || message.lists(HeaderId::Require, "100rel");
        if message.method() != Method::Invite || !reliable {
            return Plan::Pass;
        }
        self.plan(message, MediaCommand::Offer, true, hash)
    }

    fn plan(
        &self,
        message: &Message,
        command: MediaCommand,
        swapped: bool,
        hash: impl Fn(&[&[u8]]) -> u64,
    ) -> Plan {
        let sdp = match body::find(message) {
            Body::None => return Plan::Pass,
            Body::Sealed => return Plan::Sealed(command),
            Body::Sdp(sdp) => sdp,
        };
        let fingerprint = hash(&[
            &[u8::from(message.parsed.is_request())],
            &message.parsed.cseq.to_be_bytes(),
            message.sender_tag(),
            message.to_tag().unwrap_or_default(),
            message.text(sdp),
        ]);
        match self.seen.iter().find(|(seen, _)| *seen == fingerprint) {
            Some((_, result)) => Plan::Known(sdp, result.clone()),
            None => Plan::Ask(Query {
                command,
                sdp,
                swapped,
                fingerprint,
            }),
        }
    }

    /// The relay does not serve an offer, which passes as it is.
    pub(crate) fn bypass(&mut self) {
        self.is_bypassed = true;
        self.proposed = None;
        self.answered = None;
    }

    /// Whether the answer to the last offer passes as it is.
    pub(crate) fn is_bypassed(&self) -> bool {
        self.is_bypassed
    }

    /// Whether the relay stands between the parties.
    pub(crate) fn is_agreed(&self) -> bool {
        self.active && self.agreed.is_some()
    }

    /// Whether media of both parties is to be expected at the relay: they agreed on it, and none
    /// holds.
    pub(crate) fn expects_both(&self) -> bool {
        let sdps = self.agreed.as_deref().map(|agreed| {
            let sdp = |request: &MediaRequest| request.sdp.clone().unwrap_or_default();
            agreed.each_ref().map(sdp)
        });
        self.active && sdps.is_some_and(|sdps| !sdps.iter().any(|sdp| body::holds(sdp)))
    }

    /// The relay served `query`.
    pub(crate) fn settle(&mut self, query: &Query, result: Arc<[u8]>) {
        if query.command == MediaCommand::Offer {
            self.is_bypassed = false;
        }
        if self.seen.len() >= REMEMBERED_SDP {
            self.seen.pop_front();
        }
        self.seen.push_back((query.fingerprint, result));
        self.is_offered |= self.branch > 0 && !query.swapped;
        self.answered_late = query.swapped && query.command == MediaCommand::Answer;
        if query.swapped {
            self.late_offer = query.command == MediaCommand::Offer;
        }
    }

    /// The relay is told this.
    pub(crate) fn ask(&mut self, request: &MediaRequest) {
        match request.command {
            MediaCommand::Offer => {
                self.proposed = Some(request.clone());
                self.answered = None;
            }
            MediaCommand::Answer => self.answered = Some(request.clone()),
            MediaCommand::Delete | MediaCommand::DeleteBranch | MediaCommand::Query => {}
        }
    }

    /// Another target is tried: it gets an offer of its own. The number of the one before, if the relay
    /// knows it.
    pub(crate) fn begin_branch(&mut self) -> Option<u32> {
        let before = Some(self.branch).filter(|_| self.is_offered);
        self.forget_session();
        self.branch += 1;
        before
    }

    /// What the relay knows the target by that `message` of the first INVITE goes to or comes from.
    pub(crate) fn via_branch(&self, query: &Query) -> Option<String> {
        (self.branch > 0 && !query.swapped).then(|| format!("b{}", self.branch))
    }

    /// Puts the last offer and answer in force.
    pub(crate) fn agree(&mut self) {
        if self.is_bypassed {
            // The relay has nothing of what is in force.
            self.agreed = None;
        }
        if let (Some(offer), Some(answer)) = (self.proposed.take(), self.answered.take()) {
            self.agreed = Some(Box::new([offer, answer]));
        }
    }

    /// Refuses the last offered change; returns the requests that restore the session at the relay,
    /// if any.
    pub(crate) fn restore(&mut self) -> Option<VecDeque<MediaRequest>> {
        self.proposed = None;
        self.answered = None;
        self.is_bypassed &= self.agreed.is_none();
        // Had it been the same message again, it would be known.
        self.seen.clear();
        Some(self.agreed.as_deref()?.to_vec().into())
    }

    /// The last thing the relay settled was an answer brought by ACK or PRACK.
    pub(crate) fn last_was_answer(&self) -> bool {
        self.answered_late
    }

    /// A new session begins under the same call.
    pub(crate) fn forget_session(&mut self) {
        self.is_offered = false;
        self.late_offer = false;
        self.is_bypassed = false;
        self.proposed = None;
        self.answered = None;
        self.agreed = None;
        self.seen.clear();
    }
}
