//! The core in virtual time: a caller, the upstream and a relay that marks every SDP it touches.

mod calls;
mod carriers;
mod checks;
mod failover;
mod forks;
mod guard;
mod hiding;
mod hygiene;
mod listing;
mod media;
mod overload;
mod pools;
mod registrations;
mod reload;
mod repeats;
mod sessions;
mod silence;
mod spirals;
mod strangers;
mod teardown;
mod torture;
mod zones;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::config::{PUBLIC, Protocol};
use crate::message::{HeaderId, Message};
use crate::relay::{MediaCommand, MediaError, MediaReply};

pub(super) const EDGE: &str = "192.0.2.1:5060";
pub(super) const ALICE: &str = "198.51.100.7:5060";
pub(super) const BOB: &str = "203.0.113.9:5070";

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The flow of a datagram.
pub(super) fn datagram(listener: u16, peer: &str) -> Flow {
    Flow {
        listener,
        peer: addr(peer),
        connection: 0,
    }
}

/// A message that the core sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) to: SocketAddr,
    pub(super) listener: u16,
    pub(super) way: Destination,
    pub(super) token: u64,
    pub(super) message: Message,
}

impl Sent {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.message.bytes).into_owned()
    }

    pub(super) fn line(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    pub(super) fn body(&self) -> String {
        String::from_utf8_lossy(self.message.text(self.message.parsed.body)).into_owned()
    }

    /// All values of a header, in order.
    pub(super) fn all(&self, id: HeaderId) -> Vec<String> {
        let text = |span| String::from_utf8_lossy(self.message.text(span)).into_owned();
        self.message.values(id).map(text).collect()
    }
}

/// The core with a simulated network around it.
pub(super) struct World {
    pub(super) proxy: Proxy,
    pub(super) now: Instant,
    pub(super) sent: Vec<Sent>,
    /// Commands the relay saw: `offer a>b`.
    pub(super) relay: Vec<String>,
    pub(super) requests: Vec<MediaRequest>,
    /// Connections that were to be kept open, or not any more.
    pub(super) uses: Vec<(Flow, bool)>,
    /// The relay does not answer by itself; its questions wait here.
    pub(super) hold: Option<Vec<u64>>,
    pub(super) refuse: bool,
    /// When the relay heard the parties, for a query; `None`: it does not know the call.
    pub(super) heard: Option<Vec<(String, u64)>>,
    pub(super) alerts: Vec<Alerted>,
    pub(super) records: Vec<Finished>,
    pub(super) events: Vec<Event>,
    /// Names that were asked for.
    pub(super) lookups: Vec<Query>,
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {}, &[EDGE])
    }

    pub(super) fn with(change: impl FnOnce(&mut Config), listeners: &[&str]) -> Self {
        let mut config = Config::new(addr(EDGE), addr(BOB), addr("127.0.0.1:2223"));
        change(&mut config);
        let listeners = listeners
            .iter()
            .map(|l| Listener::new(PUBLIC, Protocol::Udp, addr(l), None))
            .collect();
        Self::of(config, listeners)
    }

    pub(super) fn of(config: Config, listeners: Vec<Listener>) -> Self {
        let now = origin();
        let screen = crate::guard::settings::screen(&config, now).unwrap();
        let routing = Arc::new(Routing::new(&config).unwrap());
        let config = Arc::new(config);
        let proxy = Proxy::new(config, listeners, routing, 0, [1, 2], Arc::default());
        Self {
            proxy: proxy.screened(screen),
            now,
            alerts: Vec::new(),
            records: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            relay: Vec::new(),
            requests: Vec::new(),
            uses: Vec::new(),
            hold: None,
            refuse: false,
            heard: Some(Vec::new()),
            lookups: Vec::new(),
        }
    }

    /// Delivers one message; returns the datagrams sent because of it.
    pub(super) fn recv(&mut self, from: &str, text: &str) -> Vec<Sent> {
        self.recv_on(0, from, text.as_bytes())
    }

    pub(super) fn recv_on(&mut self, listener: u16, from: &str, bytes: &[u8]) -> Vec<Sent> {
        self.recv_by(datagram(listener, from), bytes)
    }

    pub(super) fn recv_by(&mut self, flow: Flow, bytes: &[u8]) -> Vec<Sent> {
        self.proxy.handle_message(self.now, flow, bytes.into());
        self.pull()
    }

    /// Time passes, timers fire; what leaves.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.now + time;
        let mut all = Vec::new();
        while let Some(at) = self.proxy.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.proxy.handle_timeout(self.now);
            all.extend(self.pull());
        }
        self.now = end;
        all
    }

    pub(super) fn answer(
        &mut self,
        token: u64,
        result: Result<MediaReply, MediaError>,
    ) -> Vec<Sent> {
        self.proxy.handle_media(self.now, token, result);
        self.pull()
    }

    fn pull(&mut self) -> Vec<Sent> {
        let mut out = Vec::new();
        while let Some(action) = self.proxy.poll() {
            match action {
                Action::Send { to, packet, token } => {
                    let (listener, peer) = match &to {
                        Destination::Flow(flow) => (flow.listener, flow.peer),
                        Destination::Open { listener, peer, .. } => (*listener, *peer),
                    };
                    let mut parsed = Parsed::default();
                    // Our answers to broken requests repeat what is broken in them.
                    let _ = parsed.parse(&packet, &Default::default());
                    out.push(Sent {
                        to: peer,
                        listener,
                        way: to,
                        token,
                        message: Message {
                            bytes: packet,
                            parsed,
                        },
                    });
                }
                Action::Alert(alerted) => self.alerts.push(*alerted),
                Action::Record(finished) => self.records.push(*finished),
                Action::Close { .. } => {}
                Action::Tell(event) => self.events.push(*event),
                Action::Lookup(query) => self.lookups.push(query),
                Action::Use { flow, is_needed } => self.uses.push((flow, is_needed)),
                Action::Media { token, request } => {
                    let name = match request.command {
                        MediaCommand::Offer => "offer",
                        MediaCommand::Answer => "answer",
                        MediaCommand::Delete | MediaCommand::DeleteBranch => "delete",
                        MediaCommand::Query => "query",
                    };
                    let to = request.to_tag.clone().unwrap_or_default();
                    self.relay.push(format!("{name} {}>{to}", request.from_tag));
                    let sdp = request
                        .sdp
                        .as_ref()
                        .map_or(Vec::new(), |sdp| [b"relayed ", &sdp[..]].concat());
                    self.requests.push(*request);
                    if let Some(held) = &mut self.hold {
                        held.push(token);
                    } else if self.requests.last().unwrap().command == MediaCommand::Query {
                        let heard = self.heard.clone().map(|last_packets| MediaReply {
                            last_packets,
                            ..MediaReply::default()
                        });
                        let unknown = || MediaError::Refused("Unknown call-id".to_owned());
                        let answer = heard.ok_or_else(unknown);
                        self.proxy.handle_media(self.now, token, answer);
                    } else if self.refuse {
                        self.proxy
                            .handle_media(self.now, token, Err(MediaError::Timeout));
                    } else {
                        self.proxy.handle_media(self.now, token, Ok(sdp_reply(sdp)));
                    }
                }
            }
        }
        self.sent.extend(out.iter().cloned());
        out
    }

    /// Everything that lingers has gone.
    pub(super) fn assert_forgotten(&mut self) {
        self.pass(Duration::from_secs(90));
        assert!(self.proxy.transits.is_empty(), "{:?}", self.proxy.transits);
        assert!(self.proxy.by_server_key.is_empty());
        assert!(self.proxy.dialogs.is_empty(), "{:?}", self.proxy.dialogs);
        assert!(self.proxy.by_call.is_empty());
        assert!(self.proxy.numbers.is_empty());
        assert!(self.proxy.media_tokens.is_empty());
        assert!(self.proxy.memory.is_empty(), "{:?}", self.proxy.memory);
        assert!(self.proxy.in_setup.is_empty());
        assert!(self.proxy.uses.is_empty());
        assert!(self.proxy.by_branch.is_empty());
        assert!(self.proxy.own.is_empty());
        assert!(self.proxy.questions.is_empty());
        assert!(self.proxy.refused.is_empty());
        assert!(self.proxy.terms.is_empty());
        assert!(self.proxy.unacknowledged.is_empty());
        assert!(self.proxy.waiting.is_empty());
        for target in self.proxy.routing.pools.targets() {
            assert_eq!(target.live().calls(), 0, "{}", target.uri);
        }
    }
}

fn sdp_reply(sdp: Vec<u8>) -> MediaReply {
    MediaReply {
        sdp,
        ..MediaReply::default()
    }
}

/// Builds one message; `extra` is whole lines, `body` is SDP if not empty.
pub(super) fn request(
    line: &str,
    via: &str,
    tags: (&str, &str),
    cseq: &str,
    extra: &str,
    body: &str,
) -> String {
    let to_tag = if tags.1.is_empty() {
        String::new()
    } else {
        format!(";tag={}", tags.1)
    };
    let body_type = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!(
        "{line} SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nMax-Forwards: 70\r\nFrom: <sip:f@x.example>;tag={}\r\n\
         To: <sip:t@x.example>{to_tag}\r\nCall-ID: c1\r\nCSeq: {cseq}\r\n{extra}{body_type}Content-Length: {}\r\n\r\n{body}",
        tags.0,
        body.len()
    )
}

/// The response of a user agent to what it received.
pub(super) fn response(to: &Sent, status: &str, tag: &str, extra: &str, body: &str) -> String {
    let mut out = format!("SIP/2.0 {status}\r\n");
    for header in &to.message.parsed.headers {
        let row = || String::from_utf8_lossy(to.message.text(header.row)).into_owned();
        match header.id {
            HeaderId::To if to.message.to_tag().is_none() => {
                out.push_str(row().trim_end());
                out.push_str(&format!(";tag={tag}\r\n"));
            }
            HeaderId::Via
            | HeaderId::From
            | HeaderId::To
            | HeaderId::CallId
            | HeaderId::CSeq
            | HeaderId::RecordRoute => {
                out.push_str(&row());
            }
            _ => {}
        }
    }
    let body_type = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    out + extra + body_type + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

pub(super) fn invite(body: &str) -> String {
    request(
        "INVITE sip:bob@edge.example",
        "198.51.100.7:5060;branch=z9hG4bKinv;rport",
        ("a", ""),
        "1 INVITE",
        "Contact: <sip:alice@198.51.100.7:5060>\r\n",
        body,
    )
}

/// The same, with more header lines before its Call-ID.
pub(super) fn invite_with(body: &str, headers: &str) -> String {
    invite(body).replace("Call-ID", &format!("{headers}Call-ID"))
}

pub(super) const BOB_CONTACT: &str = "Contact: <sip:bob@203.0.113.9:5070>\r\n";

/// The INVITE that went on.
pub(super) fn forwarded(sent: &[Sent]) -> Sent {
    let is_invite = |sent: &&Sent| sent.line().starts_with("INVITE");
    sent.iter().find(is_invite).cloned().expect("an INVITE")
}

/// A confirmed call; the Route header line both sides use.
pub(super) fn call(world: &mut World) -> String {
    let sent = world.recv(ALICE, &invite("alice"));
    let invite = forwarded(&sent);
    world.recv(BOB, &response(&invite, "180 Ringing", "b", BOB_CONTACT, ""));
    world.recv(BOB, &response(&invite, "200 OK", "b", BOB_CONTACT, "bob"));
    let route = format!(
        "Route: {}\r\n",
        invite.all(HeaderId::RecordRoute).join(", ")
    );
    let ack = request(
        "ACK sip:bob@203.0.113.9:5070",
        "198.51.100.7:5060;branch=z9hG4bKack",
        ("a", "b"),
        "1 ACK",
        &route,
        "",
    );
    world.recv(ALICE, &ack);
    route
}
