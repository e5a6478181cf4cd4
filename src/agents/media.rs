//! The agent of one media: ICE, and a DTLS session per component.

use std::net::SocketAddr;
use std::time::Instant;

use windlass_dtls::{
    Connected, Event as DtlsEvent, FailReason, HeldFlight, Peer, Session, SessionConfig, UnderWay,
    is_client_hello, is_dtls,
};
use windlass_ice::agent::{
    Agent as IceAgent, Config, Event as IceEvent, LocalCandidate, RemoteCandidate, Role as IceRole,
    Start,
};
use windlass_srtp::{Keys, Suite};

use super::admission::With;
use super::gate::{Gate, Way};
use super::shard::{Context, Output};
use super::telling::Telling;
use crate::flow::Component;
use crate::flow::agent::{
    AgentEvent, AgentNumber, AgentSpec, Components, Departure, DtlsSpec, Found, IceSpec, Path,
};
use crate::flow::secure::Protection;
use crate::limits::HEARD_SOURCES;

const COMPONENTS: [Component; 2] = [Component::Rtp, Component::Rtcp];

/// The agent of one media.
#[derive(Debug)]
pub(super) struct MediaAgent {
    number: AgentNumber,
    call: u64,
    worker: usize,
    /// `None` before the first.
    spec: Option<AgentSpec>,
    pub(super) ice: Option<Box<IceAgent>>,
    pub(super) dtls: Components<Side>,
    /// What workers let in.
    gate: Gate,
    telling: Telling,
}

/// DTLS of one component.
#[derive(Default)]
pub(super) struct Side {
    pub(super) session: Option<Box<Session>>,
    /// What came before the session could be, or a moment before ICE has shown its source.
    held: HeldFlight,
    /// Where the last datagram came in.
    heard_on: Option<SocketAddr>,
    /// Our hello, as long as nobody has answered it.
    hello: Option<Vec<u8>>,
    /// Where it goes, too: a party behind NAT sent media from there.
    beside: Vec<Way>,
    pub(super) keys: Option<Protection>,
    /// A failure was told since it was connected last.
    has_failed: bool,
}

impl Side {
    /// One that goes on for another.
    pub(super) fn going_on(session: Session, keys: Protection) -> Self {
        Self {
            session: Some(Box::new(session)),
            keys: Some(keys),
            ..Self::default()
        }
    }
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side")
            .field("has_session", &self.session.is_some())
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl MediaAgent {
    pub(super) fn new(number: AgentNumber, call: u64, worker: usize) -> Self {
        Self {
            number,
            call,
            worker,
            spec: None,
            ice: None,
            dtls: Components::default(),
            gate: Gate::default(),
            telling: Telling::default(),
        }
    }

    pub(super) fn call(&self) -> u64 {
        self.call
    }

    /// Its call lives there now; gives back the call that it was of.
    pub(super) fn move_to(&mut self, call: u64, worker: usize) -> u64 {
        self.worker = worker;
        if call != self.call {
            self.telling.begin_anew();
        }
        std::mem::replace(&mut self.call, call)
    }

    /// Its call is to hear all that it has found, whatever was told before.
    pub(super) fn tell_anew(&mut self) {
        self.telling.begin_anew();
    }

    /// Its call did not take in what it has found.
    pub(super) fn tell_again(&mut self, now: Instant) {
        self.telling.again(now);
    }

    /// Signalling says this to an agent that goes on for another.
    pub(super) fn go_on(&mut self, spec: AgentSpec, context: &mut Context<'_>) {
        let dtls = spec.dtls.clone();
        self.spec = Some(spec);
        self.update_ice(context);
        self.update_dtls(dtls, context);
    }

    /// Signalling says this from now on.
    pub(super) fn update(&mut self, spec: AgentSpec, context: &mut Context<'_>) {
        let before = self.spec.replace(spec);
        self.update_ice(context);
        self.update_dtls(before.and_then(|before| before.dtls), context);
    }

    fn update_ice(&mut self, context: &mut Context<'_>) {
        let Some(AgentSpec { ice, mux, .. }) = &self.spec else {
            return;
        };
        let Some(spec) = ice else {
            self.ice = None;
            return;
        };
        match &mut self.ice {
            Some(agent) if *agent.credentials() == spec.ours => {}
            Some(agent) => {
                if let Err(error) = agent.restart(start(spec, self.call)) {
                    tracing::error!(call = self.call, %error, "ICE cannot be restarted");
                }
            }
            none => *none = new_agent(spec, self.call, context).map(Box::new),
        }
        let Some(agent) = &mut self.ice else { return };
        if *mux {
            agent.use_mux();
        }
        if let Some(theirs) = &spec.theirs {
            if agent.set_remote(theirs.clone(), context.now).is_err() {
                // Nobody asked for a restart: it is another party that answers, on another phone.
                match new_agent(spec, self.call, context) {
                    Some(mut fresh) => {
                        if *mux {
                            fresh.use_mux();
                        }
                        // One that is new takes any.
                        let _ = fresh.set_remote(theirs.clone(), context.now);
                        **agent = fresh;
                    }
                    None => return,
                }
            }
            for candidate in &spec.remote {
                // Those that are known, or that nothing of ours can reach, are of no use.
                let _ = agent.add_remote(RemoteCandidate {
                    component: candidate.component.into(),
                    address: candidate.address,
                    priority: candidate.priority,
                    foundation: &candidate.foundation,
                });
            }
        }
    }

    fn update_dtls(&mut self, before: Option<DtlsSpec>, context: &mut Context<'_>) {
        let Some(spec) = &self.spec else { return };
        let (dtls, mux) = (spec.dtls.clone(), spec.mux);
        for component in COMPONENTS {
            let is_used = component == Component::Rtp || !mux;
            let Some(dtls) = dtls.as_ref().filter(|_| is_used) else {
                self.close_side(component, context);
                *self.dtls.get_mut(component) = Side::default();
                continue;
            };
            let Some(session) = &mut self.dtls.get_mut(component).session else {
                continue;
            };
            let (Some(role), Some(before)) = (dtls.role, &before) else {
                continue;
            };
            if *before == *dtls {
                continue;
            }
            let fingerprints = dtls.fingerprints.clone();
            let is_first_word = before.fingerprints.is_none()
                && before.role == dtls.role
                && before.tls_id == dtls.tls_id;
            match fingerprints {
                Some(fingerprints) if is_first_word => {
                    session.set_fingerprints(fingerprints, context.now);
                }
                // Another certificate, tls-id or role is another association (RFC 8842 §5).
                fingerprints => {
                    let tls_id = String::from_utf8_lossy(&dtls.tls_id).into_owned();
                    let certificate = dtls.certificate.clone();
                    session.renew(certificate, role, fingerprints, Some(tls_id), context.now);
                }
            }
        }
    }

    /// A STUN or DTLS datagram came.
    pub(super) fn handle_datagram(
        &mut self,
        local: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
        context: &mut Context<'_>,
    ) {
        let Some(spec) = &self.spec else { return };
        // What is never sent to is not answered either.
        if spec.reach.0.barred(from, local.ip()).is_some() {
            return;
        }
        if !is_dtls(datagram) {
            if let Some(ice) = &mut self.ice {
                ice.handle_datagram(local, from, datagram, context.now, context.rng);
            }
            return;
        }
        let component = self.component_of(local);
        let may_speak = self.may_speak(component, local, from);
        let side = self.dtls.get_mut(component);
        if may_speak && side.session.is_some() {
            return self.take_dtls(component, (local, from), datagram, context);
        }
        // Whoever is being checked may be the party in a moment.
        if may_speak || self.gate.checked.contains(&(local, from)) {
            side.held.hold(local, from, datagram);
        }
    }

    /// Gives a session what came from one who may speak.
    fn take_dtls(
        &mut self,
        component: Component,
        (local, from): Way,
        datagram: &[u8],
        context: &mut Context<'_>,
    ) {
        let (number, peer) = (self.number, self.peer(component));
        let side = self.dtls.get_mut(component);
        let Some(session) = &mut side.session else {
            return;
        };
        let is_new = !session.is_connected() || is_client_hello(datagram);
        let with = With::Reached(from.ip());
        if is_new && !context.admission.admits(number, component, with) {
            return;
        }
        side.heard_on = Some(local);
        session.set_peer(peer);
        session.handle_datagram(from, datagram, context.now);
    }

    /// Takes in what was held, as far as its sources may speak now.
    fn release_held(&mut self, component: Component, context: &mut Context<'_>) {
        let side = self.dtls.get_mut(component);
        if side.held.is_empty() || side.session.is_none() {
            return;
        }
        for held in side.held.release() {
            let (local, from) = (held.local, held.from);
            if self.may_speak(component, local, from) {
                self.take_dtls(component, (local, from), &held.datagram, context);
            } else if self.gate.checked.contains(&(local, from)) {
                let side = self.dtls.get_mut(component);
                side.held.hold(local, from, &held.datagram);
            }
        }
    }

    /// Media came from where none goes to. With ICE, the pair in use follows a party that nominates
    /// (spec: media-behaviour §5). Without, our hello goes there as well, if the party is behind NAT:
    /// one that waits for it never says anything in DTLS.
    pub(super) fn hear(&mut self, local: SocketAddr, from: SocketAddr, context: &mut Context<'_>) {
        let Some(spec) = &self.spec else { return };
        if spec.reach.0.barred(from, local.ip()).is_some() {
            return;
        }
        if let Some(ice) = &mut self.ice {
            if ice.role() == IceRole::Controlled {
                ice.follow(local, from, context.now, context.rng);
            }
            return;
        }
        let role = spec.dtls.as_ref().and_then(|dtls| dtls.role);
        let is_private = spec.is_private;
        let component = self.component_of(local);
        let side = self.dtls.get_mut(component);
        let session = side.session.as_ref();
        let is_unanswered = session.is_none_or(|session| {
            !session.is_connected() && session.under_way() == Some(UnderWay::Unanswered)
        });
        if !is_private
            || role != Some(windlass_dtls::Role::Active)
            || !is_unanswered
            || side.beside.contains(&(local, from))
        {
            return;
        }
        // Strangers that came first keep the party out no longer than until it is heard.
        if side.beside.len() >= HEARD_SOURCES {
            side.beside.remove(0);
        }
        side.beside.push((local, from));
        if let Some(hello) = &side.hello {
            context.outputs.push_back(Output::Send(Departure {
                worker: self.worker,
                local,
                to: from,
                datagram: hello.clone(),
            }));
        }
    }

    /// What a port carries. With rtcp-mux all is RTP's.
    fn component_of(&self, local: SocketAddr) -> Component {
        let Some(spec) = self.spec.as_ref().filter(|spec| !spec.mux) else {
            return Component::Rtp;
        };
        match spec.rtcp_ports.contains(&local) {
            true => Component::Rtcp,
            false => Component::Rtp,
        }
    }

    /// Whether DTLS of a source is taken (spec: security promise 5): with ICE it has shown that it is
    /// the party; else SDP named it, unless the party is behind NAT, where its certificate tells.
    fn may_speak(&self, component: Component, local: SocketAddr, from: SocketAddr) -> bool {
        let Some(spec) = &self.spec else { return false };
        match &self.ice {
            Some(ice) => ice.is_valid_source(local, from),
            None => spec.is_private || *spec.signalled.get(component) == Some(from),
        }
    }

    pub(super) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if let Some(ice) = &mut self.ice {
            ice.handle_timeout(context.now, context.rng);
        }
        for component in COMPONENTS {
            if let Some(session) = &mut self.dtls.get_mut(component).session {
                session.handle_timeout(context.now);
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ice = self.ice.as_ref().and_then(|ice| ice.poll_timeout());
        let sides = COMPONENTS.map(|component| self.dtls.get(component));
        let sessions = sides.into_iter().filter_map(|side| side.session.as_ref());
        let told = self.telling.due();
        sessions
            .filter_map(|session| session.poll_timeout())
            .chain(ice)
            .chain(told)
            .min()
    }

    /// The media needs it no more.
    pub(super) fn close(&mut self, context: &mut Context<'_>) {
        for component in COMPONENTS {
            self.close_side(component, context);
        }
        self.ice = None;
        self.spec = None;
    }

    fn close_side(&mut self, component: Component, context: &mut Context<'_>) {
        if let Some(session) = &mut self.dtls.get_mut(component).session {
            session.close();
            self.send_dtls(component, context);
        }
        self.dtls.get_mut(component).session = None;
        context.admission.note(self.number, component, None);
    }

    /// Everything that the last step has caused.
    pub(super) fn pump(&mut self, context: &mut Context<'_>) {
        self.open_gate(context);
        self.pump_ice(context);
        for component in COMPONENTS {
            self.begin(component, context);
            self.release_held(component, context);
            self.hear_session(component, context);
            self.send_dtls(component, context);
        }
        // Sources that have shown themselves by a handshake.
        if self.ice.is_none() {
            self.open_gate(context);
        }
        if self.spec.is_some()
            && let Some(found) = self.telling.poll(self.found(), context.now)
        {
            context.outputs.push_back(Output::Found {
                call: self.call,
                agent: self.number,
                found,
            });
        }
    }

    /// Lets workers know what may come in, before anything leaves that it answers.
    fn open_gate(&mut self, context: &Context<'_>) {
        let gate = self.wanted_gate();
        if gate != self.gate {
            self.gate = gate.clone();
            context.gates.set(self.number, gate);
        }
    }

    fn wanted_gate(&self) -> Gate {
        let mut gate = Gate::default();
        let Some(spec) = &self.spec else { return gate };
        if let Some(ice) = &self.ice {
            gate.ufrags = ice.ufrags().map(|ufrag| ufrag.as_bytes().into()).collect();
            let valid = ice.valid_sources();
            gate.valid = valid.map(|(_, local, from)| (local, from)).collect();
            gate.checked = ice.checked_paths().collect();
        } else if spec.dtls.is_some() {
            gate.is_open = spec.is_private;
            let signalled = COMPONENTS.map(|component| *spec.signalled.get(component));
            let signalled = signalled.into_iter().filter(|_| !spec.is_private);
            let shown = COMPONENTS.map(|component| {
                let session = self.dtls.get(component).session.as_ref()?;
                match session.under_way() {
                    Some(UnderWay::With(source)) => Some(source),
                    _ => session.source(),
                }
            });
            gate.named = signalled.chain(shown).flatten().collect();
            gate.named.sort_unstable();
            gate.named.dedup();
        }
        for ways in [&mut gate.valid, &mut gate.checked] {
            ways.sort_unstable();
            ways.dedup();
        }
        gate
    }

    fn pump_ice(&mut self, context: &mut Context<'_>) {
        let Some(ice) = &mut self.ice else { return };
        let mut buffer = [0; windlass_ice::limits::MESSAGE];
        while let Some(transmit) = ice.poll_transmit(&mut buffer) {
            context.outputs.push_back(Output::Send(Departure {
                worker: self.worker,
                local: transmit.local,
                to: transmit.to,
                datagram: buffer.get(..transmit.len).unwrap_or_default().to_vec(),
            }));
        }
        while let Some(event) = ice.poll_event() {
            let event = match event {
                IceEvent::ConsentLost { local, remote, .. } => {
                    AgentEvent::ConsentLost { local, remote }
                }
                IceEvent::Failed => AgentEvent::IceFailed,
                IceEvent::Selected { local, remote, .. } => {
                    AgentEvent::PairSelected { local, remote }
                }
                _ => continue,
            };
            let call = self.call;
            context.outputs.push_back(Output::Tell { call, event });
        }
    }

    /// Makes the session of a component once it can be: the roles are agreed, and one that opens the
    /// association knows where to.
    fn begin(&mut self, component: Component, context: &mut Context<'_>) {
        let Some(spec) = &self.spec else { return };
        let Some((dtls, role)) = spec.dtls.as_ref().and_then(|dtls| Some((dtls, dtls.role?)))
        else {
            return;
        };
        let is_used = match component {
            Component::Rtp => true,
            Component::Rtcp => !spec.mux && spec.ports.rtcp.is_some(),
        };
        if !is_used || self.dtls.get(component).session.is_some() {
            return;
        }
        if role == windlass_dtls::Role::Active {
            let with = self.with_unanswered(component);
            let admits = |with| context.admission.admits(self.number, component, with);
            if !with.is_some_and(admits) {
                return;
            }
        }
        let config = SessionConfig {
            fingerprints: dtls.fingerprints.clone(),
            mtu: context.settings.mtu,
            tls_id: Some(String::from_utf8_lossy(&dtls.tls_id).into_owned()),
            ..SessionConfig::new(dtls.certificate.clone(), role)
        };
        let mut session = match Session::new(config, context.now) {
            Ok(session) => Box::new(session),
            Err(error) => {
                tracing::error!(call = self.call, %error, "DTLS cannot be started");
                return;
            }
        };
        session.set_peer(self.peer(component));
        self.dtls.get_mut(component).session = Some(session);
    }

    /// From where to where a component's own words go: the pair that ICE found, or as SDP says.
    fn way(&self, component: Component) -> Option<(SocketAddr, SocketAddr)> {
        let spec = self.spec.as_ref()?;
        if let Some(ice) = &self.ice {
            let pair = ice.pair(component.into())?;
            return Some((pair.local, pair.remote));
        }
        let named = spec
            .ports
            .get(component)
            .zip(*spec.signalled.get(component));
        let may = |(local, to): &Way| {
            to.is_ipv4() == local.is_ipv4() && spec.reach.0.barred(*to, local.ip()).is_none()
        };
        let heard = self.dtls.get(component).beside.first().copied();
        named.filter(may).or(heard)
    }

    /// With whom a handshake is that nobody has answered yet.
    fn with_unanswered(&self, component: Component) -> Option<With> {
        let to = self.way(component)?.1.ip();
        Some(match self.ice {
            Some(_) => With::Reached(to),
            None => With::Unanswered(to),
        })
    }

    /// Who takes part in a handshake: with ICE, whoever may speak. Where a party behind NAT is, SDP does
    /// not say.
    fn peer(&self, component: Component) -> Peer {
        let is_private = self.spec.as_ref().is_some_and(|spec| spec.is_private);
        if self.ice.is_some() {
            return Peer::Proven;
        }
        let way = self.way(component).filter(|_| !is_private);
        way.map_or(Peer::Unknown, |(_, to)| Peer::At(to))
    }

    fn send_dtls(&mut self, component: Component, context: &mut Context<'_>) {
        let way = self.way(component);
        let unanswered = self.with_unanswered(component);
        let has_ice = self.ice.is_some();
        let side = self.dtls.get_mut(component);
        let Some(session) = &mut side.session else {
            return;
        };
        let mut buffer = Vec::new();
        while let Some(transmit) = session.poll_transmit(&mut buffer) {
            // With ICE the pair is the way, wherever the peer's last word came from.
            let answered = side.heard_on.zip(transmit.to);
            let way = match has_ice {
                true => way.or(answered),
                false => answered.or(way),
            };
            let mut ways: Vec<Way> = way.into_iter().collect();
            if !has_ice && transmit.to.is_none() {
                side.hello = Some(buffer.clone());
                ways.extend(side.beside.iter().filter(|other| Some(**other) != way));
            }
            for (local, to) in ways {
                context.outputs.push_back(Output::Send(Departure {
                    worker: self.worker,
                    local,
                    to,
                    datagram: buffer.clone(),
                }));
            }
        }
        let with = match session.under_way() {
            Some(UnderWay::With(source)) => Some(With::Reached(source.ip())),
            Some(UnderWay::Unanswered) => unanswered,
            None => None,
        };
        if session.is_connected() && with.is_none() {
            side.hello = None;
            side.beside.clear();
        }
        context.admission.note(self.number, component, with);
    }

    fn hear_session(&mut self, component: Component, context: &mut Context<'_>) {
        let call = self.call;
        let dtls = self.spec.as_ref().and_then(|spec| spec.dtls.as_ref());
        let side = self.dtls.get_mut(component);
        let Some(session) = &mut side.session else {
            return;
        };
        while let Some(event) = session.poll_event() {
            let failed = |reason: String, goes_on| AgentEvent::DtlsFailed {
                component,
                reason,
                goes_on,
            };
            let event = match event {
                DtlsEvent::Connected(connected) => match protection(&connected) {
                    Some(protection) => {
                        side.keys = Some(protection);
                        side.has_failed = false;
                        let profile = connected.profile.name();
                        AgentEvent::DtlsConnected { component, profile }
                    }
                    None => failed("keys that SRTP cannot use".to_owned(), false),
                },
                DtlsEvent::Closed(_) => AgentEvent::DtlsClosed { component },
                DtlsEvent::Failed(reason) => {
                    // Who did not answer by now gets no more of our hellos, unless it is heard again.
                    side.beside.clear();
                    // The party may be there later.
                    let hopes = matches!(reason, FailReason::TimedOut { .. });
                    if let Some(dtls) = dtls.filter(|_| hopes)
                        && let Some(role @ windlass_dtls::Role::Active) = dtls.role
                    {
                        let fingerprints = dtls.fingerprints.clone();
                        let tls_id = String::from_utf8_lossy(&dtls.tls_id).into_owned();
                        let certificate = dtls.certificate.clone();
                        session.renew(certificate, role, fingerprints, Some(tls_id), context.now);
                    }
                    if std::mem::replace(&mut side.has_failed, true) {
                        continue;
                    }
                    failed(reason.to_string(), false)
                }
                DtlsEvent::Refused(reason) => failed(reason.to_string(), true),
                DtlsEvent::Setback(reason) => AgentEvent::DtlsSetback {
                    component,
                    reason: reason.to_string(),
                },
            };
            context.outputs.push_back(Output::Tell { call, event });
        }
    }

    /// All that is known.
    fn found(&self) -> Found {
        let mut found = Found::default();
        for component in COMPONENTS {
            let pair = self.ice.as_ref().and_then(|ice| ice.pair(component.into()));
            *found.paths.get_mut(component) = pair.map(|pair| Path {
                local: pair.local,
                remote: pair.remote,
                is_selected: pair.is_selected,
            });
            (*found.keys.get_mut(component)).clone_from(&self.dtls.get(component).keys);
        }
        if let Some(ice) = &self.ice {
            let sources = ice.valid_sources();
            found.sources = sources.map(|(_, local, from)| (local, from)).collect();
            found.sources.sort_unstable();
            found.sources.dedup();
        }
        found
    }
}

/// An agent that knows nothing of the party yet.
fn new_agent(spec: &IceSpec, call: u64, context: &Context<'_>) -> Option<IceAgent> {
    let config = Config {
        mode: spec.mode,
        ..context.settings.ice.clone()
    };
    let agent = IceAgent::new(config, start(spec, call), context.now);
    let told = |error: &_| tracing::error!(call, %error, "ICE cannot be started");
    agent.inspect_err(told).ok()
}

fn start(spec: &IceSpec, call: u64) -> Start {
    Start {
        credentials: spec.ours.clone(),
        role: match spec.is_controlling {
            true => IceRole::Controlling,
            false => IceRole::Controlled,
        },
        candidates: local_candidates(spec, call),
    }
}

/// Our candidates, the best of them if there are more than an agent has room for. The others are
/// printed, but nobody answers there.
fn local_candidates(spec: &IceSpec, call: u64) -> Vec<LocalCandidate> {
    let most = windlass_ice::limits::LOCAL_CANDIDATES;
    let mut candidates = spec.candidates.clone();
    if candidates.len() > most {
        tracing::warn!(
            call,
            candidates = candidates.len(),
            used = most,
            "more ICE candidates of our own than an agent has room for: those of the lowest \
             priority are not used"
        );
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
        candidates.truncate(most);
    }
    candidates
}

/// The protection that an association agreed on (RFC 5764 §4.2). Numbers of packets start anew, as
/// they do at the peer: its keys are new, too.
fn protection(connected: &Connected) -> Option<Protection> {
    let suite = Suite::from_dtls_profile(connected.profile.id())?;
    let keys =
        |of: &windlass_dtls::SrtpKeys| Keys::new(suite, of.key.as_bytes(), of.salt.as_bytes()).ok();
    Protection::new(vec![keys(&connected.remote)?], keys(&connected.local)?).ok()
}
