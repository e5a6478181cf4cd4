//! `offer` and `answer` (spec: ng-protocol §10).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rand::RngCore;
use windlass_ng::errors;
use windlass_ng::request::SipMessageType;
use windlass_ng::{CallId, Command, Dict, Reply, Request};
use windlass_sdp::{ParseOptions, SessionDescription};

use super::exchange::{Context, ExchangeError, Host};
use super::model::call::{Call, Now};
use super::model::dialogue::{Dialogue, Role};
use super::ports::LeaseError;
use super::print::Printing;
use super::serve::{Calls, RecordedSdp};
use super::table::{Entry, lock};
use super::timeouts::EndReason;
use crate::flow::PlanError;
use crate::observe::log;

impl Calls {
    pub(super) fn offer(
        &self,
        request: &Request,
        source: SocketAddr,
        now: Now,
        rng: &mut dyn RngCore,
    ) -> Reply {
        let offering = match request.require_offer() {
            Ok(offering) => offering,
            Err(reason) => return Reply::error(reason),
        };
        // What comes back to us does not make a call.
        if request.flags.loop_protect() && self.is_our_own(offering.sdp.shared()) {
            let sdp = offering.sdp.to_vec();
            return Reply::ok(Dict::new().with("sdp", sdp));
        }
        let (entry, is_new) = match self.find_or_create(request, offering.call_id, source, now) {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        let mut slot = lock(&entry);
        let Some(call) = slot.as_mut() else {
            return Reply::error(errors::UNKNOWN_CALL_ID);
        };
        if request.flags.fragment() {
            if let Err(refusal) = self.read_sdp(call, offering.sdp.shared(), request) {
                return self.conclude(
                    Err(refusal),
                    is_new,
                    offering.call_id,
                    &entry,
                    &mut slot,
                    now,
                );
            }
            call.take_fragment(offering.from_tag, offering.sdp, now.instant);
            // Its agent hears of them at once; flows stay as they are.
            if let Err(error) = self.carry_out(call, Vec::new()) {
                return Reply::error(Refusal::Forwarding(error).reply());
            }
            return Reply::ok(Dict::new());
        }
        let dialogue = Dialogue {
            role: Role::Offer,
            from: offering.from_tag,
            to: request.to_tag.as_ref(),
            branch: request.via_branch.as_ref(),
            new_branch: request.flags.new_branch(),
            provisional: request.flags.provisional(),
        };
        let outcome = self.exchange(
            call,
            offering.sdp.shared(),
            (request, source),
            dialogue,
            now,
            rng,
        );
        self.conclude(outcome, is_new, offering.call_id, &entry, &mut slot, now)
    }

    pub(super) fn answer(
        &self,
        request: &Request,
        source: SocketAddr,
        now: Now,
        rng: &mut dyn RngCore,
    ) -> Reply {
        let answering = match request.require_answer() {
            Ok(answering) => answering,
            Err(reason) => return Reply::error(reason),
        };
        let Some(entry) = self.table.find(answering.call_id) else {
            return Reply::error(errors::UNKNOWN_CALL_ID);
        };
        let mut slot = lock(&entry);
        let Some(call) = slot.as_mut() else {
            return Reply::error(errors::UNKNOWN_CALL_ID);
        };
        let dialogue = Dialogue {
            role: Role::Answer,
            from: answering.to_tag,
            to: Some(answering.from_tag),
            branch: request.via_branch.as_ref(),
            new_branch: request.flags.new_branch(),
            provisional: request.flags.provisional(),
        };
        let outcome = self.exchange(
            call,
            answering.sdp.shared(),
            (request, source),
            dialogue,
            now,
            rng,
        );
        if outcome.is_ok()
            && request.sip_message_type == Some(SipMessageType::Reply)
            && request.sip_code >= 200
            && let Some(index) = call.leg_by_tag(answering.to_tag)
            && let Some(leg) = call.legs.get_mut(index)
        {
            leg.final_response = true;
        }
        self.conclude(outcome, false, answering.call_id, &entry, &mut slot, now)
    }

    /// The entry of a call, which is created if there is none and the load allows it; and whether
    /// it was.
    pub(super) fn find_or_create(
        &self,
        request: &Request,
        id: &CallId,
        source: SocketAddr,
        now: Now,
    ) -> Result<(Entry, bool), Reply> {
        loop {
            let existing = self.table.find(id);
            // Limits are for offers alone (media-behaviour §10).
            if existing.is_none()
                && request.command == Command::Offer
                && let Some(message) = self.limit_reached()
            {
                return Err(Reply::load_limit(request.supports_load_limit, message));
            }
            let entry = existing.unwrap_or_else(|| self.table.find_or_insert(id));
            let mut slot = lock(&entry);
            if slot.is_some() {
                drop(slot);
                return Ok((entry, false));
            }
            // Another thread may have ended this call while we waited for its lock; its entry is
            // out of the table then, and ours must not be the only one to know it.
            let current = self.table.find(id);
            if !current.is_some_and(|current| Arc::ptr_eq(&current, &entry)) {
                continue;
            }
            let number = self.next_number.fetch_add(1, Relaxed);
            let worker = self.forwarding.pick_worker();
            let is_quiet = log::is_quiet();
            *slot = Some(Call::new(id.clone(), number, worker, source, now, is_quiet));
            self.statistics.call_created();
            tracing::info!(call_id = %id, "Creating new call");
            drop(slot);
            self.give_number(number, &entry);
            return Ok((entry, true));
        }
    }

    /// Takes an SDP in, prints the SDP for the other party, brings the data plane in line. The call
    /// changes if all of this succeeds.
    fn exchange(
        &self,
        call: &mut Call,
        text: &Arc<[u8]>,
        (request, source): (&Request, SocketAddr),
        dialogue: Dialogue<'_>,
        now: Now,
        rng: &mut dyn RngCore,
    ) -> Result<Vec<u8>, Refusal> {
        let sdp = self.read_sdp(call, text, request)?;
        if request.flags.loop_protect() && self.is_looped(&sdp) {
            return Ok(text.to_vec());
        }
        let flags = &request.flags;
        if flags.strict_source() && flags.media_handover() {
            tracing::warn!(
                call_id = %call.id,
                "strict-source and media-handover exclude each other; strict-source counts"
            );
        }
        let route = |peer| self.forwarding.route_to(peer);
        let host = self.host(&route);
        let mut context = Context {
            request,
            dialogue,
            host,
            source,
            now,
            rng: &mut *rng,
            replaced: None,
            leases: Vec::new(),
        };
        let random = context.rng.next_u64();
        let mut draft = call.clone();
        self.watch_digits(&mut draft, request);
        let parties = draft.exchange(text, &sdp, &mut context)?;
        let leases = std::mem::take(&mut context.leases);
        draft.apply_early_fragments(parties.sender, now.instant);
        let mut printing = Printing {
            request,
            role: dialogue.role,
            host,
            rng,
        };
        let printed = draft.print(parties, &sdp, &mut printing);
        if dialogue.role == Role::Offer {
            draft.set_aside(call, parties, now);
        }
        // Nothing but the data plane can refuse from here on.
        self.record_as_asked(&mut draft, request, random);
        self.commit(call, draft, leases, now)
            .map_err(Refusal::Forwarding)?;
        if call.recording_file().is_some()
            && let Some(sender) = call.leg(parties.sender)
        {
            let sdp = RecordedSdp {
                label: sender.label.as_ref().map(windlass_ng::Label::as_bytes),
                is_offer: dialogue.role == Role::Offer,
                body: &printed,
                at: sender.created.unix,
            };
            self.recorder.sdp(call.number, sdp);
        }
        Ok(printed)
    }

    /// Reads an SDP of a request; what is read refers to its text.
    pub(super) fn read_sdp(
        &self,
        call: &Call,
        text: &Arc<[u8]>,
        request: &Request,
    ) -> Result<SessionDescription, Refusal> {
        let options = ParseOptions {
            fragment: request.flags.fragment(),
            reject_invalid: self.defaults.reject_invalid_sdp,
            ..ParseOptions::default()
        };
        let sdp = SessionDescription::parse_shared(text, options);
        if sdp.as_ref().is_ok_and(|sdp| sdp.has_stray_byte) {
            tracing::debug!(call_id = %call.id, "one byte behind the last line of the SDP is ignored");
            self.statistics.stray_byte_ignored();
        }
        sdp.map_err(|error| {
            tracing::warn!(call_id = %call.id, %error, "cannot read the SDP");
            Refusal::Sdp {
                is_incomplete: error.is_incomplete(),
            }
        })
    }

    /// Whether we wrote every part of this SDP ourselves.
    fn is_looped(&self, sdp: &SessionDescription) -> bool {
        let ours = self.identity.loop_id();
        !sdp.parts.is_empty() && sdp.parts.iter().all(|part| part.loop_ids.contains(ours))
    }

    /// The same of a text; one that cannot be read is not ours.
    fn is_our_own(&self, text: &Arc<[u8]>) -> bool {
        SessionDescription::parse_shared(text, ParseOptions::default())
            .is_ok_and(|sdp| self.is_looped(&sdp))
    }

    pub(super) fn host<'a>(&'a self, route: &'a dyn Fn(IpAddr) -> Option<IpAddr>) -> Host<'a> {
        Host {
            interfaces: &self.interfaces,
            identity: &self.identity,
            defaults: &self.defaults,
            route,
        }
    }

    /// The reply to an offer or answer, and the end of a call that cannot go on.
    fn conclude(
        &self,
        outcome: Result<Vec<u8>, Refusal>,
        is_new: bool,
        id: &CallId,
        entry: &Entry,
        slot: &mut Option<Call>,
        now: Now,
    ) -> Reply {
        let refusal = match outcome {
            Ok(sdp) => {
                let files = slot.as_ref().and_then(Call::recordings);
                let reply = Dict::new().with("sdp", sdp);
                return Reply::ok(reply.with_some("recordings", files));
            }
            Err(refusal) => refusal,
        };
        tracing::warn!(call_id = %id, %refusal, "offer or answer refused");
        // A call that its first offer did not fill would stay empty.
        if is_new {
            self.end(id, entry, slot, EndReason::Forced, now);
        }
        Reply::error(refusal.reply())
    }
}

/// Reasons why an offer or answer was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the SDP cannot be read")]
    Sdp { is_incomplete: bool },
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    Forwarding(PlanError),
}

impl Refusal {
    /// The protocol's error text (ng-protocol §14).
    pub(super) fn reply(&self) -> &'static str {
        match self {
            Self::Sdp {
                is_incomplete: true,
            } => errors::SDP_INCOMPLETE,
            Self::Sdp {
                is_incomplete: false,
            } => errors::SDP_PARSE,
            Self::Exchange(ExchangeError::NoAddress { .. }) => errors::SDP_INCOMPLETE,
            Self::Exchange(ExchangeError::TooManyLines) => errors::SDP_PARSE,
            Self::Exchange(ExchangeError::Dialogue(_)) => errors::DIALOGUE_ASSOCIATION,
            Self::Exchange(ExchangeError::Ports(
                LeaseError::Exhausted { .. } | LeaseError::System { .. },
            ))
            | Self::Exchange(ExchangeError::NoInterface)
            | Self::Forwarding(_) => errors::OUT_OF_PORTS,
        }
    }
}
