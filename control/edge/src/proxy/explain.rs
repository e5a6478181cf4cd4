//! What would become of a message (spec §17, `explain`): each stage's verdict, the target, and the
//! message that would leave. Nothing is sent, counted, banned or reserved.

use std::net::SocketAddr;
use std::time::Instant;

use rand::Rng as _;

use super::forward::Outgoing;
use super::route::Refusal;
use super::routing::hop_of;
use super::{Proxy, route::RouteSet};
use crate::cookie::{Branch, Key};
use crate::keys::TokenKeys;
use crate::message::{Message, Method, Parsed};
use crate::route::Route;
use crate::screen::verdict::Step;
use crate::screen::{self, Stage};
use crate::target::{Explanation, Standing};
use crate::transaction::Packet;
use crate::transport::Flow;

/// What is said of a message.
#[derive(Debug, Default)]
pub(crate) struct Explained {
    /// Name of the zone that it would come from.
    pub(crate) zone: String,
    /// Code and reason, if it cannot be parsed.
    pub(crate) malformed: Option<String>,
    /// It is a response: those follow their request.
    pub(crate) is_response: bool,
    /// The call that it belongs to.
    pub(crate) call: Option<u64>,
    /// The checks of RFC 3261 §16.3 refuse it.
    pub(crate) check: Option<Refusal>,
    /// Stages of the screen; empty: nothing is screened.
    pub(crate) steps: Vec<Step>,
    /// The verdict of the screen, and the stage that it is by.
    pub(crate) verdict: Option<(screen::Action, Option<Stage>)>,
    pub(crate) routing: Option<Explanation>,
    /// No way is known or allowed.
    pub(crate) refused: Option<Refusal>,
    /// Identity and URI of the target of an upstream, or the address.
    pub(crate) target: Option<String>,
    /// The target's name would be looked up first.
    pub(crate) is_name: bool,
    /// The head of the message that would leave, from its start line to its last header. The SDP is
    /// the relay's matter.
    pub(crate) leaves: Option<Vec<u8>>,
}

impl Proxy {
    /// Explains a message that would come from `source`, by the first listener of the zone that
    /// fits; `None` if there is no such zone.
    pub(crate) fn explain(
        &mut self,
        now: Instant,
        source: SocketAddr,
        zone: Option<&str>,
        bytes: Packet,
    ) -> Option<Explained> {
        let zone = match zone {
            Some(name) => self.zone_named(name)?,
            None => 0,
        };
        let mut explained = Explained {
            zone: self.config.zones.get(zone)?.name.clone(),
            ..Explained::default()
        };
        let mut parsed = Parsed::default();
        let result = parsed.parse(&bytes, &self.config.limits.of_stream());
        let message = Message { bytes, parsed };
        if let Err(error) = result {
            let (code, reason) = error.response();
            explained.malformed = Some(format!("{code} {reason}"));
            return Some(explained);
        }
        if !message.parsed.is_request() {
            explained.is_response = true;
            return Some(explained);
        }
        let flow = self.flow_from(&message, zone, source);
        if let Err((refusal, _)) = self.check(&message, self.is_ping(&message, flow)) {
            explained.check = Some(refusal);
            return Some(explained);
        }
        let set = self.route_set(&message);
        let found = self.find_dialog(&message, &set, flow);
        explained.call = found.map(|(id, _)| id);
        let mut peer = None;
        if let Some(screen) = self.screen() {
            let (verdict, steps) = self.with_seen(flow, &message, found.is_some(), |seen| {
                screen.explain(seen, now)
            });
            peer = screen.peer_name(verdict.identity).map(str::to_owned);
            explained.steps = steps;
            let passes = verdict.action == screen::Action::Pass;
            explained.verdict = Some((verdict.action, verdict.stage));
            if !passes {
                return Some(explained);
            }
        }
        self.explain_way(
            now,
            &message,
            flow,
            (&set, found),
            peer.as_deref(),
            &mut explained,
        );
        Some(explained)
    }

    fn explain_way(
        &mut self,
        now: Instant,
        message: &Message,
        flow: Flow,
        (set, found): (&RouteSet, Option<(u64, crate::side::Side)>),
        peer: Option<&str>,
        explained: &mut Explained,
    ) {
        let zone = self.zone_of(flow);
        let known = found.and_then(|(id, side)| Some((self.dialogs.get(&id)?, side)));
        let routed = match (message.to_tag(), known) {
            (None, _) => self.route_initial(now, message, flow, set, peer),
            (Some(_), Some((dialog, side))) => self
                .route_in_dialog(message, set, dialog, side)
                .map(|route| (route, None)),
            (Some(_), None) => self
                .route_unknown_dialog(message, set, flow)
                .map(|route| (route, None)),
        };
        let (mut route, is_picked) = match routed {
            Ok((route, pick)) => {
                let is_picked = pick.is_some();
                // It took no slot yet.
                drop(pick);
                (route, is_picked)
            }
            Err(refusal) => {
                explained.refused = Some(refusal);
                return;
            }
        };
        if is_picked {
            let routing = self.routing.clone();
            let mut rng = self.rng.clone();
            let explanation = self.with_routed(message, zone, peer, |seen| {
                routing.routes().explain(&routing.pools, seen, &mut rng)
            });
            let first = (explanation.targets.iter())
                .find(|target| matches!(target.state, Standing::Tried(_)));
            let id = first.map(|first| first.id.clone());
            explained.target = first.map(|first| format!("{} {}", first.id, first.uri));
            let is_anywhere = explanation.by_request_uri;
            explained.routing = Some(explanation);
            let target = routing
                .pools
                .targets()
                .find(|t| Some(&*t.id) == id.as_deref());
            match target {
                Some(target) => {
                    let strip = route.strip;
                    let zone = self.zone_named(&target.zone).unwrap_or(route.zone);
                    match target.destination.direct() {
                        Some(address) => match self.toward(zone, hop_of(&address), flow, strip) {
                            Ok(toward) => route = toward,
                            Err(refusal) => {
                                explained.refused = Some(refusal);
                                return;
                            }
                        },
                        None => explained.is_name = true,
                    }
                }
                None if is_anywhere => explained.is_name = true,
                None => {
                    explained.refused = Some((503, "Service Unavailable"));
                    return;
                }
            }
        } else {
            explained.target = Some(route.flow().peer.to_string());
        }
        // Who may look gets nothing that the edge would take for its own.
        let other = TokenKeys::new(&[], Key(self.rng.random(), self.rng.random()));
        let keys = std::mem::replace(&mut self.tokens, other);
        explained.leaves = self.head_of(message, flow, &route, found);
        self.tokens = keys;
    }

    /// The head of the message as it would leave.
    fn head_of(
        &mut self,
        message: &Message,
        source: Flow,
        route: &Route,
        call: Option<(u64, crate::side::Side)>,
    ) -> Option<Vec<u8>> {
        let registering = match message.method() {
            Method::Register => self.registering(message, source, route.listener()).ok()?,
            _ => None,
        };
        let forms = message.method().forms_dialog() && message.to_tag().is_none();
        let loop_hash = self.loop_hash(message);
        let timer = self.config.session_timer(self.zone_of(source), route.zone);
        let mut rows = String::new();
        timer.request_rows(message, timer.ask(message), &mut rows);
        let packet = self.compose_request(&Outgoing {
            message,
            source,
            route,
            branch: Branch {
                shard: self.shard,
                transaction: 0,
                loop_hash,
            },
            record: forms.then(|| (source.listener, call.map_or(0, |(id, _)| id))),
            registering: registering.as_ref(),
            rows: &rows,
            call,
            sdp: None,
        });
        let end = memchr::memmem::find(&packet, b"\r\n\r\n").unwrap_or(packet.len());
        packet.get(..end).map(<[u8]>::to_vec)
    }

    /// A flow by which a message with this top Via would come into a zone.
    fn flow_from(&self, message: &Message, zone: usize, peer: SocketAddr) -> Flow {
        let via = message
            .value(crate::message::HeaderId::Via)
            .unwrap_or_default();
        let speaks = |listener: &super::Listener| {
            let name = format!("SIP/2.0/{}", listener.protocol.via());
            let rest = via.get(..name.len());
            rest.is_some_and(|via| via.eq_ignore_ascii_case(name.as_bytes()))
                && via
                    .get(name.len())
                    .is_some_and(|b| !b.is_ascii_alphanumeric())
        };
        let of_zone = |listener: &super::Listener| listener.zone == zone;
        let mut all = self.listeners.iter();
        let at = all.position(|listener| of_zone(listener) && speaks(listener));
        let at = at.or_else(|| self.listeners.iter().position(of_zone));
        Flow {
            listener: at.and_then(|at| u16::try_from(at).ok()).unwrap_or(0),
            peer,
            connection: 0,
        }
    }
}
