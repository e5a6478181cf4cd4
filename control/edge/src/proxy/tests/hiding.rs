//! Topology hiding (spec §10, E06): what each side sees, and that calls work nevertheless.
//!
//! All that the public side is ever sent is searched for what the inner side has written, and the
//! other way round.

mod calls;
mod cost;
mod dialogs;
mod headers;
mod tokens;
mod transfers;

use super::*;
use crate::config::{CORE, Hiding, Link, OneUpstream};

const INNER: &str = "10.0.0.1:5060";
/// The proxy of the inner side, which the edge sends to.
const PROXY: &str = "10.0.0.20:5070";
const UDP: u16 = 0;
const TCP: u16 = 1;
const CORE_SIDE: u16 = 2;

/// What only the inner side writes, and only the public one.
const OF_INNER: [&str; 5] = [
    "10.0.0.2",
    "10.0.0.3",
    "inner.example",
    "PBX/1.0",
    "inner-id",
];
const OF_PUBLIC: [&str; 3] = ["198.51.100", "phone.example", "Phone/9"];

fn hidden(change: impl FnOnce(&mut Hiding)) -> World {
    hidden_of(change, |_| {})
}

fn hidden_of(change: impl FnOnce(&mut Hiding), more: impl FnOnce(&mut Config)) -> World {
    let short = OneUpstream::new(vec![addr(EDGE)], addr(PROXY), addr("127.0.0.1:2223"));
    let mut config = Config::from(short);
    let mut hide = Hiding {
        call_id: true,
        ..Hiding::default()
    };
    change(&mut hide);
    config.links.push(Link {
        hide: Some(hide),
        ..Link::new([CORE, PUBLIC])
    });
    more(&mut config);
    World::of(
        config,
        vec![
            Listener::new(PUBLIC, Protocol::Udp, addr(EDGE), None),
            Listener::new(PUBLIC, Protocol::Tcp, addr(EDGE), None),
            Listener::new(CORE, Protocol::Udp, addr(INNER), None),
        ],
    )
}

/// Nobody was told of the other side, whatever was sent so far.
fn assert_hidden(world: &World, hides_call_id: bool) {
    for sent in &world.sent {
        let text = sent.text();
        let of_other: &[&str] = match sent.listener {
            CORE_SIDE => &OF_PUBLIC,
            _ => &OF_INNER,
        };
        for part in of_other {
            let is_known = *part == "inner-id" && !hides_call_id;
            assert!(is_known || !text.contains(part), "{part} in\n{text}");
        }
        let call_id = sent.all(HeaderId::CallId).concat();
        if hides_call_id && sent.listener == CORE_SIDE {
            assert_ne!(call_id, "outer-id");
        }
    }
}

/// A user agent, with the proxy between it and the edge, if any.
#[derive(Clone, Copy)]
struct Agent {
    flow: Flow,
    host: &'static str,
    contact: &'static str,
    agent: &'static str,
    /// Record-Route and Via of the proxy.
    proxy: &'static str,
}

const TARGET: &str = "sip:100@10.0.0.21:5062;x=y";

fn phone() -> Agent {
    Agent {
        flow: datagram(UDP, ALICE),
        host: "198.51.100.7:5060",
        contact: "sip:alice@198.51.100.7:5060",
        agent: "User-Agent: Phone/9\r\n",
        proxy: "",
    }
}

fn phone_on_tcp() -> Agent {
    Agent {
        flow: Flow {
            connection: 7,
            ..datagram(TCP, "198.51.100.7:41000")
        },
        host: "phone.example;transport=tcp",
        contact: "sip:alice@phone.example;transport=tcp",
        ..phone()
    }
}

fn pbx() -> Agent {
    Agent {
        flow: datagram(CORE_SIDE, PROXY),
        host: "10.0.0.21:5062",
        contact: TARGET,
        agent: "Server: PBX/1.0\r\nWarning: 399 pbx.inner.example \"late\"\r\n",
        proxy: "sip:10.0.0.20:5070;lr",
    }
}

/// The other end of a dialog as an agent knows it.
#[derive(Clone, Debug)]
struct Leg {
    uri: String,
    from: String,
    to: String,
    call_id: String,
    routes: Vec<String>,
}

impl Leg {
    /// What the callee learns from the INVITE that it answers with `tag`.
    fn of_callee(invite: &Sent, tag: &str) -> Self {
        let value = |id| invite.all(id).concat();
        Self {
            uri: uri_in(&value(HeaderId::Contact)),
            from: format!("{};tag={tag}", value(HeaderId::To)),
            to: value(HeaderId::From),
            call_id: value(HeaderId::CallId),
            routes: invite.all(HeaderId::RecordRoute),
        }
    }

    /// What the caller learns from the response.
    fn of_caller(ok: &Sent) -> Self {
        let value = |id| ok.all(id).concat();
        let mut routes = ok.all(HeaderId::RecordRoute);
        routes.reverse();
        Self {
            uri: uri_in(&value(HeaderId::Contact)),
            from: value(HeaderId::From),
            to: value(HeaderId::To),
            call_id: value(HeaderId::CallId),
            routes,
        }
    }
}

fn uri_in(contact: &str) -> String {
    let start = contact.find('<').expect("a Contact in brackets") + 1;
    contact[start..contact.find('>').unwrap()].to_owned()
}

impl Agent {
    /// A request in a dialog; what the edge sent because of it.
    fn says(self, world: &mut World, leg: &Leg, method: &str, cseq: u32, body: &str) -> Vec<Sent> {
        self.says_with(world, leg, method, cseq, ("", body))
    }

    fn says_with(
        self,
        world: &mut World,
        leg: &Leg,
        method: &str,
        cseq: u32,
        (extra, body): (&str, &str),
    ) -> Vec<Sent> {
        let protocol = if self.flow.listener == TCP {
            "TCP"
        } else {
            "UDP"
        };
        let host = self.host.split(';').next().unwrap();
        let routes: String = leg
            .routes
            .iter()
            .filter(|route| !route.contains("10.0.0.20"))
            .map(|route| format!("Route: {route}\r\n"))
            .collect();
        let proxied = match self.proxy {
            "" => String::new(),
            _ => format!("Via: SIP/2.0/UDP 10.0.0.20:5070;branch=z9hG4bKp{method}{cseq}\r\n"),
        };
        let body_type = match body {
            "" => "",
            _ => "Content-Type: application/sdp\r\n",
        };
        let text = format!(
            "{method} {} SIP/2.0\r\n{proxied}Via: SIP/2.0/{protocol} {host};branch=z9hG4bK{method}{cseq}\r\n\
             {routes}Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Contact: \"x\" <{}>;audio\r\n{}{extra}{body_type}Content-Length: {}\r\n\r\n{body}",
            leg.uri,
            leg.from,
            leg.to,
            leg.call_id,
            self.contact,
            self.agent,
            body.len(),
        );
        world.recv_by(self.flow, text.as_bytes())
    }

    /// Answers what it got.
    fn answers(
        self,
        world: &mut World,
        to: &Sent,
        status: &str,
        tag: &str,
        body: &str,
    ) -> Vec<Sent> {
        let routes = match self.proxy {
            "" => String::new(),
            proxy => format!("Record-Route: <{proxy}>\r\n"),
        };
        let extra = format!(
            "Contact: <{}>;audio;+sip.instance=\"i\"\r\n{routes}{}",
            self.contact, self.agent
        );
        let text = response(to, status, tag, &extra, body);
        world.recv_by(self.flow, text.as_bytes())
    }

    fn invites(self, world: &mut World, uri: &str) -> Sent {
        let (tag, id) = match self.proxy {
            "" => ("a", "outer-id"),
            _ => ("i", "inner-id"),
        };
        let leg = Leg {
            uri: uri.to_owned(),
            from: format!("<sip:f@x.example>;tag={tag}"),
            to: "<sip:t@x.example>".to_owned(),
            call_id: id.to_owned(),
            routes: Vec::new(),
        };
        let recorded = match self.proxy {
            "" => "",
            _ => "Record-Route: <sip:10.0.0.20:5070;lr>\r\n",
        };
        let sent = self.says_with(world, &leg, "INVITE", 1, (recorded, "offer"));
        forwarded(&sent)
    }
}

/// The first message of `sent` that is no 100.
fn first(sent: &[Sent]) -> Sent {
    let is_trying = |sent: &&Sent| !sent.line().contains(" 100 ");
    sent.iter().find(is_trying).cloned().expect("a message")
}
