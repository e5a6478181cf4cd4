//! The media driver (spec §11): each message of a call passes here, in order, on its way out.

use std::sync::Arc;
use std::time::Instant;

use windlass_ng::Family;

use super::forward::Outgoing;
use super::transit::Branch;
use super::{Action, Proxy};
use crate::config::{OnMediaError, Zone};
use crate::cookie::Branch as BranchId;
use crate::dialog::media::{Busy, Gone, Job, Plan, Query};
use crate::dialog::{Dialog, Party};
use crate::message::{HeaderId, Message, Method, NameAddr, Span, Uri, values};
use crate::relay::{MediaCommand, MediaError, MediaReply, MediaRequest};
use crate::side::Side;
use crate::stats::{DropReason, Stats};
use crate::transaction::{Client, Kind, Packet};
use crate::transport::Flow;

impl Proxy {
    /// The answer to `Action::Media` with this token.
    pub(crate) fn handle_media(
        &mut self,
        now: Instant,
        token: u64,
        result: Result<MediaReply, MediaError>,
    ) {
        if self.on_media_heard(now, token, &result) {
            return;
        }
        let Some(id) = self.media_tokens.remove(&token) else {
            return;
        };
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        let Some(Busy { job, query, .. }) = dialog.media.busy.take_if(|busy| busy.token == token)
        else {
            return;
        };
        match (result, query) {
            (Ok(reply), Some(query)) => {
                let sdp: Arc<[u8]> = reply.sdp.into();
                dialog.media.settle(&query, sdp.clone());
                if completes(&job) {
                    dialog.media.agree();
                }
                self.finish(now, job, Some((query.sdp, sdp)));
            }
            (Ok(_), None) => {
                // The answer follows the offer before anything else.
                if let Job::Restore(rest) = job
                    && !rest.is_empty()
                {
                    dialog.media.queue.push_front(Job::Restore(rest));
                }
            }
            (Err(error), query) => {
                Stats::add(&self.stats.media_failures);
                tracing::warn!(%error, "media relay failed");
                // RFC 3261 §21.4.26: the same session would be refused elsewhere, too.
                let is_offer = query.is_some_and(|query| query.command == MediaCommand::Offer);
                let refusal = match error.is_failover() || !is_offer {
                    true => (503, "Media Unavailable"),
                    false => (488, "Not Acceptable Here"),
                };
                let may_bypass = self.config.media.on_error == OnMediaError::Bypass;
                if may_bypass && is_offer && error.is_failover() {
                    dialog.media.bypass();
                    self.finish(now, job, None);
                } else if query.is_some() {
                    self.fail(now, id, job, refusal);
                }
            }
        }
        self.drain_queue(now, id);
        self.publish_gauges();
    }

    fn drain_queue(&mut self, now: Instant, id: u64) {
        while let Some(dialog) = self.dialogs.get_mut(&id) {
            if dialog.media.busy.is_some() {
                return;
            }
            let Some(job) = dialog.media.queue.pop_front() else {
                return;
            };
            self.begin(now, id, job);
        }
    }

    /// Takes a message of a call (or of none) to its turn.
    pub(super) fn run(&mut self, now: Instant, dialog: Option<u64>, job: Job) {
        let Some((id, dialog)) = dialog.and_then(|id| Some((id, self.dialogs.get_mut(&id)?)))
        else {
            self.finish(now, job, None);
            return;
        };
        if dialog.media.busy.is_none() {
            self.begin(now, id, job);
        } else if dialog.media.queue.len() < self.config.tables.parked_per_call
            || matches!(job, Job::Delete | Job::DeleteBranch(_) | Job::Restore(_))
        {
            dialog.media.queue.push_back(job);
        } else {
            self.stats.drop_for(DropReason::Parked);
            self.turn_away(now, id, job);
        }
    }

    /// There is no place behind the relay for a message. What has a transaction gets its end: nobody
    /// else would give it one.
    fn turn_away(&mut self, now: Instant, dialog: u64, job: Job) {
        match job {
            Job::Request { transit } => {
                let initial = self.transits.get(&transit).is_some_and(|t| t.initial);
                let refusal = match initial {
                    true => (503, "Service Unavailable"),
                    false => (500, "Server Internal Error"),
                };
                self.respond(now, transit, refusal, b"Retry-After: 1\r\n");
                self.end_failed_call(now, transit);
            }
            Job::Response { ref response, .. } => {
                let is_final = response.parsed.status() >= 200;
                let is_plain = response.parsed.body.is_empty() || response.parsed.status() >= 300;
                match (is_final, is_plain) {
                    (true, true) => self.finish(now, job, None),
                    (true, false) => self.fail(now, dialog, job, (503, "Media Unavailable")),
                    // The final one is to come.
                    (false, _) => {}
                }
            }
            // A 2xx comes again until its ACK has arrived.
            Job::Ack { .. } | Job::Delete | Job::DeleteBranch(_) | Job::Restore(_) => {}
        }
    }

    fn begin(&mut self, now: Instant, id: u64, job: Job) {
        let Some(dialog) = self.dialogs.get(&id) else {
            return;
        };
        let key = self.key;
        let hash = |parts: &[&[u8]]| key.hash(parts.iter().copied());
        let plan = match &job {
            Job::Request { transit } => match self.transits.get(transit) {
                // Cancelled while it waited: answered already.
                Some(t) if t.server.is_open() => dialog.media.plan_request(&t.request, hash),
                _ => return,
            },
            Job::Ack { ack, .. } => dialog.media.plan_request(ack, hash),
            Job::Response {
                transit, response, ..
            } => match self.transits.get(transit) {
                Some(t) => dialog.media.plan_response(response, t.offered, hash),
                None => return,
            },
            Job::Delete => {
                self.delete(id);
                return;
            }
            Job::DeleteBranch(_) => {
                self.delete_branch(id, job);
                return;
            }
            Job::Restore(_) => {
                self.restore(id, job);
                return;
            }
        };
        let plan = self.plan_of(id, plan);
        let passes = matches!(plan, Plan::Pass | Plan::Known(..));
        if passes
            && completes(&job)
            && let Some(dialog) = self.dialogs.get_mut(&id)
        {
            dialog.media.agree();
        }
        match plan {
            Plan::Pass => self.finish(now, job, None),
            Plan::Known(span, sdp) => self.finish(now, job, Some((span, sdp))),
            Plan::Sealed(_) => self.fail(now, id, job, (493, "Undecipherable")),
            Plan::Ask(query) => self.ask(id, job, query),
        }
    }

    /// What becomes of a message of the call: where the relay does not stand between the parties,
    /// SDP passes.
    pub(super) fn plan_of(&mut self, id: u64, plan: Plan) -> Plan {
        let command = match &plan {
            Plan::Pass | Plan::Known(..) => return plan,
            Plan::Ask(query) => query.command,
            Plan::Sealed(command) => *command,
        };
        let is_offer = command == MediaCommand::Offer;
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return plan;
        };
        let [from, to] = [Side::Caller, Side::Callee].map(|side| dialog.party(side).zone);
        let may_bypass = self.config.media.on_error == OnMediaError::Bypass;
        if !self.config.anchors(from, to) {
            return Plan::Pass;
        }
        if is_offer && may_bypass && matches!(plan, Plan::Sealed(_)) {
            dialog.media.bypass();
            return Plan::Pass;
        }
        match dialog.media.is_bypassed() && !is_offer {
            true => Plan::Pass,
            false => plan,
        }
    }

    fn ask(&mut self, id: u64, job: Job, query: Query) {
        let token = self.unique();
        let Some(dialog) = self.dialogs.get(&id) else {
            return;
        };
        let request = match &job {
            Job::Request { transit } => self
                .transits
                .get(transit)
                .map(|t| self.media_request(dialog, &t.request, t.source, query)),
            Job::Ack { ack, source, .. } => Some(self.media_request(dialog, ack, *source, query)),
            Job::Response {
                response, source, ..
            } => Some(self.media_request(dialog, response, *source, query)),
            Job::Delete | Job::DeleteBranch(_) | Job::Restore(_) => None,
        };
        let Some(request) = request else {
            return;
        };
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.media.active = true;
            dialog.media.ask(&request);
            dialog.media.busy = Some(Busy {
                token,
                job,
                query: Some(query),
            });
            self.media_tokens.insert(token, id);
            self.actions.push_back(Action::Media {
                token,
                request: Box::new(request),
            });
        }
    }

    /// Tells the relay the next message of the agreed session.
    fn restore(&mut self, id: u64, job: Job) {
        let token = self.unique();
        let Job::Restore(mut rest) = job else {
            return;
        };
        let Some(dialog) = self.dialogs.get_mut(&id).filter(|d| d.media.active) else {
            return;
        };
        let Some(request) = rest.pop_front() else {
            return;
        };
        dialog.media.busy = Some(Busy {
            token,
            job: Job::Restore(rest),
            query: None,
        });
        self.media_tokens.insert(token, id);
        self.actions.push_back(Action::Media {
            token,
            request: Box::new(request),
        });
    }

    /// A change of the session was refused: the session stays as it was (RFC 3261 §14.1).
    pub(super) fn restore_session(&mut self, now: Instant, id: u64) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        if let Some(agreed) = dialog.media.restore() {
            self.run(now, Some(id), Job::Restore(agreed));
        }
    }

    fn delete(&mut self, id: u64) {
        let token = self.unique();
        let Some(dialog) = self.dialogs.get_mut(&id).filter(|d| d.media.active) else {
            return;
        };
        dialog.media.active = false;
        // Without an answer no packets for the call are in flight.
        let extra = match dialog.answered {
            true => Vec::new(),
            false => vec![AT_ONCE.map(str::to_owned).into()],
        };
        let request = deletion(dialog, extra);
        self.tell_relay(id, token, Job::Delete, request);
    }

    /// Tells the relay that a callee is gone (spec §11). Of the call it keeps what the caller has, and
    /// what the others have.
    fn delete_branch(&mut self, id: u64, job: Job) {
        let token = self.unique();
        let dialog = self.dialogs.get(&id).filter(|d| d.media.active);
        let (Some(dialog), Job::DeleteBranch(gone)) = (dialog, &job) else {
            return;
        };
        let request = match gone {
            Gone::Callee(tag) => {
                MediaRequest::bare(MediaCommand::DeleteBranch, &dialog.media_id, text(tag))
            }
            Gone::Target(number) => {
                let branch = (VIA_BRANCH.to_owned(), format!("b{number}"));
                let extra = vec![branch, AT_ONCE.map(str::to_owned).into()];
                MediaRequest {
                    command: MediaCommand::DeleteBranch,
                    ..deletion(dialog, extra)
                }
            }
        };
        self.tell_relay(id, token, job, request);
    }

    /// Tells the relay something that no message waits for.
    fn tell_relay(&mut self, id: u64, token: u64, job: Job, request: MediaRequest) {
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        dialog.media.busy = Some(Busy {
            token,
            job,
            query: None,
        });
        self.media_tokens.insert(token, id);
        self.actions.push_back(Action::Media {
            token,
            request: Box::new(request),
        });
    }

    fn media_request(
        &self,
        dialog: &Dialog,
        message: &Message,
        source: Flow,
        query: Query,
    ) -> MediaRequest {
        let mut tags = (Some(text(message.sender_tag())), message.to_tag().map(text));
        if query.swapped {
            std::mem::swap(&mut tags.0, &mut tags.1);
        }
        let from_caller = message.sender_tag() == dialog.caller_tag;
        let sender = match (from_caller, message.parsed.is_request()) {
            (true, true) | (false, false) => Side::Caller,
            _ => Side::Callee,
        };
        let (from, to) = (dialog.party(sender), dialog.party(sender.other()));
        let offer = query.command == MediaCommand::Offer;
        let zone = |party: &Party| self.config.zones.get(party.zone);
        let (from_zone, to_zone) = (zone(from), zone(to));
        let configured = to_zone.and_then(|zone| zone.address_family);
        let family = |party: &Party| Family::of(party.flow.peer.ip());
        let bridged = (family(from) != family(to)).then(|| family(to));
        let label = |zone: Option<&Zone>| zone.and_then(|zone| zone.media_interface.clone());
        let direction = label(from_zone).zip(label(to_zone));
        let profile = to_zone.map_or(&[][..], |zone| zone.media.options());
        let explicit = to_zone.map_or(&[][..], |zone| zone.media_options.as_slice());
        let flags = to_zone.map_or(&[][..], |zone| zone.media.flags());
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        let flags = self
            .config
            .media_flags
            .iter()
            .cloned()
            .chain(flags)
            .collect();
        let of_invite =
            message.method() == Method::Invite && message.parsed.cseq == dialog.invite_cseq;
        let branch = dialog.media.via_branch(&query).filter(|_| of_invite);
        let branch = branch.map(|branch| (VIA_BRANCH.to_owned(), branch));
        let is_explicit = |key: &str| explicit.iter().any(|(own, _)| own == key);
        let of_profile = profile.iter().filter(|(key, _)| !is_explicit(key));
        let of_profile = of_profile.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        MediaRequest {
            command: query.command,
            call_id: dialog.media_id.clone(),
            from_tag: tags.0.unwrap_or_default(),
            to_tag: tags.1,
            sdp: Some(message.text(query.sdp).to_vec()),
            received_from: Some(source.peer.ip()),
            direction: direction.filter(|_| offer),
            address_family: configured.or(bridged).filter(|_| offer),
            flags,
            // The transport of an answer is that of its offer.
            extra: of_profile
                .chain(explicit.iter().cloned())
                .filter(|(key, _)| offer || key != "transport-protocol")
                .chain(branch)
                .collect(),
        }
    }

    /// The message leaves, with the relay's SDP if it has one.
    fn finish(&mut self, now: Instant, job: Job, sdp: Option<(Span, Arc<[u8]>)>) {
        let sdp = sdp.as_ref().map(|(span, sdp)| (*span, &sdp[..]));
        match job {
            Job::Request { transit } => self.start_branch(now, transit, sdp),
            Job::Ack {
                ack,
                source,
                route,
                call,
            } => self.forward_ack(&ack, source, route, Some(call), sdp),
            Job::Response {
                transit, response, ..
            } => self.forward_response(now, transit, &response, sdp),
            Job::Delete | Job::DeleteBranch(_) | Job::Restore(_) => {}
        }
    }

    fn start_branch(&mut self, now: Instant, id: u64, sdp: Option<(Span, &[u8])>) {
        let timers = self.config.timers;
        // Taken out while its message is composed.
        let Some(mut transit) = self.transits.remove(&id) else {
            return;
        };
        let method = transit.request.method();
        let is_wanted = transit.server.is_open() && transit.branch.is_none();
        if is_wanted && let Err(refusal) = self.begin_hiding(&mut transit) {
            self.transits.insert(id, transit);
            self.respond(now, id, refusal, b"");
            self.end_failed_call(now, id);
            return;
        }
        if is_wanted {
            let answering = method == Method::Prack
                && transit.dialog.is_some_and(|d| {
                    self.dialogs
                        .get(&d)
                        .is_some_and(|d| d.media.last_was_answer())
                });
            let dialog = transit.dialog.and_then(|d| self.dialogs.get(&d));
            let is_bypassed = dialog.is_some_and(|dialog| dialog.media.is_bypassed());
            transit.offered = (sdp.is_some() || is_bypassed) && !answering;
            let forms = method.forms_dialog() && transit.request.to_tag().is_none();
            let record = forms.then(|| (transit.source.listener, transit.dialog.unwrap_or(id)));
            let loop_hash = self.loop_hash(&transit.request);
            let zone = self.zone_of(transit.source);
            let timer = self.config.session_timer(zone, transit.route.zone);
            transit.session = timer.ask(&transit.request);
            let mut rows = String::new();
            timer.request_rows(&transit.request, transit.session, &mut rows);
            let packet: Packet = self
                .compose_request(&Outgoing {
                    message: &transit.request,
                    source: transit.source,
                    route: &transit.route,
                    branch: BranchId {
                        shard: self.shard,
                        transaction: transit.number,
                        loop_hash,
                    },
                    record,
                    registering: transit.registering.as_deref(),
                    rows: &rows,
                    call: transit.dialog.map(|dialog| (dialog, transit.side)),
                    sdp,
                })
                .into();
            let kind = if method == Method::Invite {
                Kind::Invite
            } else {
                Kind::NonInvite
            };
            let carrier = self.carrier(transit.route.listener());
            let client = Client::start_over(carrier, kind, packet.clone(), &timers, now);
            transit.branch = Some(Branch {
                client,
                own: None,
                ringing: None,
                cancel_by: None,
            });
            self.request(transit.number, transit.route.to.clone(), packet);
        }
        self.transits.insert(id, transit);
        self.schedule(id);
    }

    /// The relay failed on this message: refused requests keep the dialog as it was.
    fn fail(&mut self, now: Instant, dialog: u64, job: Job, (status, reason): (u16, &'static str)) {
        match job {
            Job::Request { transit } => self.refuse(now, transit, (status, reason)),
            // The callee repeats its 2xx, the caller its ACK: that is the next attempt.
            Job::Ack { .. } | Job::Delete | Job::DeleteBranch(_) | Job::Restore(_) => {
                self.stats.drop_for(DropReason::Media);
            }
            Job::Response { response, .. } if response.parsed.status() < 200 => {
                self.stats.drop_for(DropReason::Media);
            }
            Job::Response {
                transit, response, ..
            } => {
                if response.method() == Method::Invite {
                    self.hang_up(now, transit, &response);
                }
                self.refuse(now, transit, (status, reason));
                let opened = self.transits.get(&transit).is_some_and(|t| t.initial);
                self.end_dialog(now, opened.then_some(dialog));
            }
        }
    }

    fn refuse(&mut self, now: Instant, id: u64, (status, reason): (u16, &'static str)) {
        let initial = self.transits.get(&id).is_some_and(|t| t.initial);
        let answer = if initial || status != 503 {
            (status, reason)
        } else {
            (500, reason)
        };
        self.respond(now, id, answer, b"");
        self.end_failed_call(now, id);
    }

    /// The callee accepted what cannot be carried: its 2xx is acknowledged and, if it opened the
    /// call, followed by our BYE (spec §9).
    pub(super) fn hang_up(&mut self, now: Instant, id: u64, response: &Message) {
        let timers = self.config.timers;
        let sequence = self.unique();
        let Some(transit) = self.transits.get(&id) else {
            return;
        };
        let (to, initial) = (transit.route.to.clone(), transit.initial);
        let listener = transit.route.listener();
        let carrier = self.carrier(listener);
        let ack: Packet = self
            .to_callee(response, "ACK", 0, listener, sequence)
            .into();
        let bye: Packet = self.to_callee(response, "BYE", 1, listener, id).into();
        self.send(to.clone(), ack.clone());
        if initial {
            self.send(to, bye.clone());
        }
        if let Some(transit) = self.transits.get_mut(&id) {
            transit.refused = Some(ack);
            if let Some(branch) = transit.branch.as_mut().filter(|_| initial) {
                let bye = Client::start_over(carrier, Kind::NonInvite, bye, &timers, now);
                branch.own = Some(bye);
            }
        }
        self.schedule(id);
    }

    /// A request of ours toward the sender of a 2xx, by its Contact and the Record-Route values
    /// above ours.
    pub(super) fn to_callee(
        &self,
        ok: &Message,
        method: &str,
        step: u32,
        listener: u16,
        transaction: u64,
    ) -> Vec<u8> {
        let bytes = &ok.bytes;
        let contact = ok.values(HeaderId::Contact).next();
        let contact = contact
            .and_then(|value| NameAddr::parse(bytes, value))
            .unwrap_or_default();
        let own = |value: &Span| {
            let addr = NameAddr::parse(bytes, *value).unwrap_or_default();
            let uri = Uri::parse(bytes, addr.uri).unwrap_or_default();
            self.is_own(bytes, uri.host, uri.port)
        };
        let mut routes: Vec<Span> = ok
            .rows(HeaderId::RecordRoute)
            .flat_map(|row| values(bytes, row.value))
            .take_while(|value| !own(value))
            .collect();
        routes.reverse();
        let via = self.own_via(listener, transaction);
        let mut out = Vec::with_capacity(512);
        let mut add = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        add(&[
            method.as_bytes(),
            b" ",
            ok.text(contact.uri),
            b" SIP/2.0\r\n",
        ]);
        add(&[via.as_bytes(), b"Max-Forwards: 70\r\n"]);
        for route in routes {
            add(&[b"Route: ", ok.text(route), b"\r\n"]);
        }
        for header in &ok.parsed.headers {
            if matches!(header.id, HeaderId::From | HeaderId::To | HeaderId::CallId) {
                add(&[ok.text(header.row)]);
            }
        }
        let cseq = ok.parsed.cseq.saturating_add(step).to_string();
        add(&[
            b"CSeq: ",
            cseq.as_bytes(),
            b" ",
            method.as_bytes(),
            b"\r\nContent-Length: 0\r\n\r\n",
        ]);
        out
    }
}

/// The key by which the relay tells the targets of an INVITE apart.
const VIA_BRANCH: &str = "via-branch";

/// The key that leaves no time to packets in flight.
const AT_ONCE: [&str; 2] = ["delete-delay", "0"];

/// Deletes the call at the relay, or what `extra` names of it.
fn deletion(dialog: &Dialog, extra: Vec<(String, String)>) -> MediaRequest {
    let from_tag = text(&dialog.caller_tag);
    MediaRequest {
        extra,
        ..MediaRequest::bare(MediaCommand::Delete, &dialog.media_id, from_tag)
    }
}

/// Whether an offer and its answer are in force once this message has passed.
fn completes(job: &Job) -> bool {
    match job {
        Job::Response { response, .. } => {
            let changes = matches!(response.method(), Method::Invite | Method::Update);
            changes && (200..300).contains(&response.parsed.status())
        }
        Job::Ack { .. } => true,
        Job::Request { .. } | Job::Delete | Job::DeleteBranch(_) | Job::Restore(_) => false,
    }
}

/// ng takes tags and Call-IDs as text; SIP ones are ASCII unless the peer is broken.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
