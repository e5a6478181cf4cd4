//! The way of one INVITE through the core, for `benches/message.rs` (spec §23): parsed, checked, routed
//! to a target and written anew. Tables of transactions and calls, timers and the relay are not in it.

use std::sync::Arc;
use std::time::Instant;

use super::forward::Outgoing;
use super::routing::hop_of;
use super::{Listener, Proxy, Routing};
use crate::config::{Config, Protocol, Trust, Zone};
use crate::cookie::Branch;
use crate::message::{Message, Parsed};
use crate::target::{PoolConfig, RouteConfig, RouteMatch, Step};
use crate::transaction::Packet;
use crate::transport::Flow;

/// An edge with a public zone and a core with one target.
#[derive(Debug)]
pub struct Passage {
    proxy: Proxy,
    parsed: Parsed,
    source: Flow,
}

impl Passage {
    /// `None` if the configuration of this measurement is wrong.
    pub fn new() -> Option<Self> {
        let [public, core] = [([198, 51, 100, 10], 5060), ([10, 0, 0, 10], 5060)];
        let zones = vec![
            Zone::new("public", Trust::Untrusted),
            Zone::new("core", Trust::Inside),
        ];
        let mut config = Config::of_zones(zones, ([127, 0, 0, 1], 2223).into());
        let uri = "sip:10.0.0.20:5060";
        config
            .upstreams
            .push(PoolConfig::new("pbx", "core", &[uri]));
        let public_zone = RouteMatch {
            from_zone: Some("public".to_owned()),
            ..RouteMatch::default()
        };
        config.routes.push(RouteConfig::new(public_zone, &["pbx"]));
        let routing = Arc::new(Routing::new(&config).ok()?);
        let listeners = vec![
            Listener::new(0, Protocol::Udp, public.into(), None),
            Listener::new(1, Protocol::Udp, core.into(), None),
        ];
        let config = Arc::new(config);
        Some(Self {
            proxy: Proxy::new(config, listeners, routing, 0, [1, 2], Arc::default()),
            parsed: Parsed::default(),
            source: Flow {
                listener: 0,
                peer: ([203, 0, 113, 9], 5060).into(),
                connection: 0,
            },
        })
    }

    /// What leaves of an INVITE without a To tag; `None` if it is refused.
    pub fn forward(&mut self, now: Instant, invite: &Arc<[u8]>) -> Option<Arc<[u8]>> {
        let bytes: Packet = invite.clone();
        let mut parsed = std::mem::take(&mut self.parsed);
        let result = parsed.parse(&bytes, &self.proxy.config.limits);
        let message = Message { bytes, parsed };
        let left = match result {
            Ok(()) => self.pass(now, &message),
            Err(_) => None,
        };
        self.parsed = message.parsed;
        left
    }

    fn pass(&mut self, now: Instant, message: &Message) -> Option<Packet> {
        let (proxy, source) = (&mut self.proxy, self.source);
        proxy.check(message, false).ok()?;
        let set = proxy.route_set(message);
        let routed = proxy.route_initial(now, message, source, &set, None);
        let (provisional, pick) = routed.ok()?;
        let mut pick = pick?;
        let Step::Try(attempt) = pick.start(now, &mut proxy.rng) else {
            return None;
        };
        let hop = hop_of(&attempt.address);
        let route = proxy.toward(provisional.zone, hop, source, provisional.strip);
        let route = route.ok()?;
        let loop_hash = proxy.loop_hash(message);
        let transaction = proxy.unique();
        let packet = proxy.compose_request(&Outgoing {
            message,
            source,
            route: &route,
            branch: Branch {
                shard: 0,
                transaction,
                loop_hash,
            },
            record: Some((source.listener, transaction)),
            registering: None,
            rows: "",
            call: None,
            sdp: None,
        });
        pick.give_up();
        Some(packet.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn invite_passes() {
        let mut passage = Passage::new().unwrap();
        let text = "INVITE sip:b@example.com SIP/2.0\r\n\
                    Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKa\r\nMax-Forwards: 9\r\n\
                    From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: c\r\n\
                    CSeq: 1 INVITE\r\nContact: <sip:a@203.0.113.9>\r\nContent-Length: 0\r\n\r\n";
        let invite = Arc::from(text.as_bytes());
        for _ in 0..3 {
            let left = passage.forward(Instant::now(), &invite).unwrap();
            let left = String::from_utf8_lossy(&left).into_owned();
            assert_eq!(left.matches("\r\nRecord-Route: ").count(), 2, "{left}");
            assert_eq!(left.matches("\r\nVia: ").count(), 2, "{left}");
            assert!(left.contains("\r\nMax-Forwards: 8\r\n"), "{left}");
        }
    }
}
