//! Calls, registrations and probes of an edge with several shards.

use super::*;
use crate::config::{Hiding, Link};
use crate::stats::DropReason;

/// Calls of zones that hide their Call-IDs meet at the shard that they began at, whichever side speaks,
/// and when the key of tokens changes (E06).
#[tokio::test]
async fn hidden_calls_meet_their_shards() {
    let (mut caller, mut callee) = (Phone::new("127.0.0.1:0"), Phone::new("127.0.0.2:0"));
    let (us, pbx) = (caller.address(), callee.address());
    let public = Zone::new("public", Trust::Untrusted)
        .listening(ListenerKind::Udp, "127.0.0.1:0".parse().unwrap());
    let core = Zone::new("core", Trust::Inside)
        .listening(ListenerKind::Udp, "127.0.0.2:0".parse().unwrap());
    let mut config = Config::of_zones(vec![public, core], "127.0.0.1:9".parse().unwrap());
    config.shards = 4;
    config.screen = None;
    config.links.push(Link {
        hide: Some(Hiding {
            call_id: true,
            ..Hiding::default()
        }),
        ..Link::new([0, 1])
    });
    let secret = |byte| TokenSecret::new([byte; TokenSecret::BYTES]);
    config.token_secrets = vec![secret(1)];
    let pool = PoolConfig::new("pbx", "core", &[&format!("sip:{pbx}")]);
    config.upstreams.push(pool);
    config.routes.push(from_public("pbx"));
    let relay = Arc::new(Marker::default());
    let edge = Edge::start_with_relay(config, relay).await.unwrap();
    let (to_edge, inner) = (edge.local_addr(), edge.local_addrs()[1]);
    for number in 0..12 {
        let invite = format!(
            "INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKi{number}\r\n\
             From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>\r\nCall-ID: {number}-{us}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:a@{us}>\r\nContent-Length: 0\r\n\r\n"
        );
        caller.send(&invite, to_edge).await;
        let (received, from) = callee.recv("INVITE").await;
        assert_eq!(from, inner);
        assert!(!received.contains(&us.to_string()), "{received}");
        callee
            .send(&reply(&received, "200 OK", &pbx.to_string(), ""), from)
            .await;
        let (ok, _) = caller.recv("SIP/2.0 200").await;
        assert!(!ok.contains("127.0.0.2"), "{ok}");
        if number == 6 {
            edge.change_token_secrets(&[secret(2), secret(1)]).await;
        }
        let contact = rows(&received, &["Contact"]);
        let uri = contact.split(['<', '>']).nth(1).unwrap();
        let call_id = rows(&received, &["Call-ID"]);
        let bye = format!(
            "BYE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {pbx};branch=z9hG4bKb{number}\r\n\
             From: <sip:b@x>;tag=b\r\nTo: <sip:a@x>;tag=a\r\n{call_id}CSeq: 1 BYE\r\n\
             Content-Length: 0\r\n\r\n"
        );
        callee.send(&bye, inner).await;
        let (bye, _) = caller.recv("BYE").await;
        assert!(bye.starts_with(&format!("BYE sip:a@{us} ")), "{bye}");
        assert!(
            bye.contains(&format!("Call-ID: {number}-{us}\r\n")),
            "{bye}"
        );
        caller.send(&reply(&bye, "200 OK", "x", ""), to_edge).await;
        callee.recv("SIP/2.0 200").await;
    }
    edge.stop().await;
}

/// A network with two zones and a registrar inside, whose calls two shards share.
async fn on_two_shards(registrar: &Phone, change: impl FnOnce(&mut Config)) -> Edge {
    let public = Zone::new("public", Trust::Untrusted)
        .listening(ListenerKind::Udp, "127.0.0.1:0".parse().unwrap());
    let core = Zone::new("core", Trust::Inside)
        .listening(ListenerKind::Udp, "127.0.0.2:0".parse().unwrap());
    let mut config = Config::of_zones(vec![public, core], "127.0.0.1:9".parse().unwrap());
    config.shards = 2;
    let uri = format!("sip:{}", registrar.address());
    config
        .upstreams
        .push(PoolConfig::new("registrar", "core", &[&uri]));
    config.routes.push(from_public("registrar"));
    change(&mut config);
    let relay = Arc::new(Marker::default());
    Edge::start_with_relay(config, relay).await.unwrap()
}

/// A phone that registered by one shard is known to both: its calls are its user's, it is called, and
/// the calls of both directions end from either side.
#[tokio::test]
async fn registered_phone_is_known_to_all_shards() {
    let mut registrar = Phone::new("127.0.0.2:0");
    let edge = on_two_shards(&registrar, |_| {}).await;
    let (to_edge, inner) = (edge.local_addr(), edge.local_addrs()[1]);
    let mut phone = Phone::new("127.0.0.3:0");
    let us = phone.address();
    let register = format!(
        "REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKr\r\n\
         From: <sip:b@x>;tag=p\r\nTo: <sip:b@x>\r\nCall-ID: r{us}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:b@{us}>\r\nExpires: 60\r\nContent-Length: 0\r\n\r\n"
    );
    phone.send(&register, to_edge).await;
    let (received, from) = registrar.recv("REGISTER").await;
    let way = rows(&received, &["Path"]).replace("Path", "Route");
    let granted = reply(&received, "200 OK", "x", "").replace(
        "<sip:b@x>\r\nContent",
        &format!("<sip:b@{us}>;expires=60\r\nContent"),
    );
    registrar.send(&granted, from).await;
    phone.recv("SIP/2.0 200").await;
    assert_eq!(edge.stats().bindings, 1);

    for number in 0..24 {
        let by_phone = number % 2 == 0;
        let (caller, callee) = match by_phone {
            true => ((&mut phone, to_edge), (&mut registrar, inner)),
            false => ((&mut registrar, inner), (&mut phone, to_edge)),
        };
        let (own, other) = (caller.0.address(), callee.0.address());
        let (route, user) = if by_phone { ("", "b") } else { (&*way, "a") };
        let invite = format!(
            "INVITE sip:b@{us} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKi{number}\r\n{route}\
             From: <sip:{user}@x>;tag=a\r\nTo: <sip:c@x>\r\nCall-ID: {number}-{own}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:{user}@{own}>\r\nContent-Length: 0\r\n\r\n"
        );
        caller.0.send(&invite, caller.1).await;
        let (received, from) = callee.0.recv("INVITE").await;
        let ok = reply(&received, "200 OK", &other.to_string(), "");
        callee.0.send(&ok, from).await;
        let (ok, _) = caller.0.recv("SIP/2.0 200").await;
        let all = edge.calls(&CallFilter::default(), 100).await;
        let calls: Vec<_> = all
            .iter()
            .filter(|call| call.state != crate::CallState::Ended)
            .collect();
        assert_eq!(calls.len(), 1, "{all:?}");
        if by_phone {
            assert_eq!(calls[0].user, "b@x", "{calls:?}");
        }
        // One ends it, by turns.
        let routes = rows(&ok, &["Record-Route"]);
        let routes: Vec<&str> = routes.lines().collect();
        let by_caller = number % 4 < 2;
        let routes: String = match by_caller {
            true => routes
                .iter()
                .rev()
                .map(|row| format!("{row}\r\n"))
                .collect(),
            false => routes.iter().map(|row| format!("{row}\r\n")).collect(),
        };
        let routes = routes.replace("Record-Route", "Route");
        let (from_tag, to_tag) = if by_caller { ("a", "b") } else { ("b", "a") };
        let (ending, ended, at, uri) = match by_caller {
            true => (caller.0, callee.0, caller.1, other),
            false => (callee.0, caller.0, callee.1, own),
        };
        let from = ending.address();
        let bye = format!(
            "BYE sip:b@{uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKb{number}\r\n{routes}\
             From: <sip:{from_tag}@x>;tag={from_tag}\r\nTo: <sip:x@x>;tag={to_tag}\r\n\
             Call-ID: {number}-{own}\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        ending.send(&bye, at).await;
        let (bye, back) = ended.recv("BYE").await;
        ended.send(&reply(&bye, "200 OK", "x", ""), back).await;
        ending.recv("SIP/2.0 200").await;
    }
    edge.stop().await;
}

/// The OPTIONS that one shard sends are answered to it, by their Call-ID.
#[tokio::test]
async fn probes_are_answered_to_the_shard_that_asks() {
    let mut pbx = Phone::new("127.0.0.2:0");
    let edge = on_two_shards(&pbx, |config| {
        let pool = &mut config.upstreams[0];
        pool.probe = crate::Probe::Always;
        pool.probing.interval = Duration::from_millis(100);
        pool.probing.timeout = Duration::from_millis(100);
        // This machine may be slow.
        pool.probing.misses = 1000;
    })
    .await;
    for _ in 0..20 {
        let (options, from) = pbx.recv("OPTIONS").await;
        pbx.send(&reply(&options, "200 OK", "x", ""), from).await;
    }
    // One after them shows that all have been read.
    pbx.recv("OPTIONS").await;
    let stats = edge.stats();
    assert!(stats.responses >= 15, "{stats:?}");
    let stray = stats
        .dropped
        .iter()
        .find(|(reason, _)| *reason == DropReason::StrayResponse);
    assert_eq!(stray.map(|(_, count)| *count), Some(0), "{stats:?}");
    edge.stop().await;
}
