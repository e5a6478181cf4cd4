//! Tokens that are not ours, those of others, and those of older keys.

use super::*;
use crate::config::{OnBadToken, TokenSecret};
use crate::record::security::Event;

fn answered(world: &mut World) -> (Leg, Leg) {
    let invite = phone().invites(world, "sip:bob@edge.example");
    let ok = first(&pbx().answers(world, &invite, "200 OK", "b", "answer"));
    let caller = Leg::of_caller(&ok);
    phone().says(world, &caller, "ACK", 1, "");
    (caller, Leg::of_callee(&invite, "b"))
}

/// The last digit is another one.
fn forged(leg: &Leg) -> Leg {
    let mut leg = leg.clone();
    let last = leg.uri.pop().unwrap();
    leg.uri.push(if last == '0' { '1' } else { '0' });
    leg
}

#[test]
fn forged_token_is_refused_and_logged_or_met_with_silence() {
    for silent in [false, true] {
        let mut world = hidden_of(
            |_| {},
            |config| {
                if silent {
                    config.zones[PUBLIC].on_bad_token = OnBadToken::Drop;
                }
            },
        );
        let (caller, callee) = answered(&mut world);
        let sent = phone().says(&mut world, &forged(&caller), "BYE", 2, "");
        match silent {
            true => assert!(sent.is_empty(), "{sent:?}"),
            false => assert_eq!(sent[0].line(), "SIP/2.0 403 Bad Token"),
        }
        assert_eq!(world.alerts.len(), 1);
        assert_eq!(world.alerts[0].event, Event::BadToken);
        assert_eq!(
            world.alerts[0].action,
            if silent { "drop" } else { "reject" }
        );
        assert!(
            phone()
                .says(&mut world, &forged(&caller), "ACK", 1, "")
                .is_empty()
        );
        // The zone of the PBX is told.
        let sent = pbx().says(&mut world, &forged(&callee), "BYE", 2, "");
        assert_eq!(sent[0].line(), "SIP/2.0 403 Bad Token");
        let bye = first(&phone().says(&mut world, &caller, "BYE", 3, ""));
        assert_eq!(bye.line(), format!("BYE {TARGET} SIP/2.0"));
    }
}

#[test]
fn token_is_of_its_call_and_its_side() {
    let mut world = hidden(|_| {});
    let (caller, _) = answered(&mut world);
    let refused = |world: &mut World, leg: &Leg, expected: &str| {
        let sent = phone().says(world, leg, "INFO", 5, "");
        assert!(sent[0].line().starts_with(expected), "{}", sent[0].line());
    };
    let other_call = Leg {
        call_id: "another".to_owned(),
        ..caller.clone()
    };
    refused(&mut world, &other_call, "SIP/2.0 403");
    let other_tag = Leg {
        to: caller.to.replace("tag=b", "tag=x"),
        ..caller.clone()
    };
    refused(&mut world, &other_tag, "SIP/2.0 481");
    // A new call to a Contact of a call leads nowhere.
    let initial = Leg {
        to: "<sip:t@x.example>".to_owned(),
        ..other_call
    };
    let sent = phone().says(&mut world, &initial, "INVITE", 8, "offer");
    assert!(
        sent[0].line().starts_with("SIP/2.0 403"),
        "{}",
        sent[0].line()
    );
    // Of a call that is over.
    let bye = first(&phone().says(&mut world, &caller, "BYE", 6, ""));
    pbx().answers(&mut world, &bye, "200 OK", "", "");
    world.assert_forgotten();
    refused(&mut world, &caller, "SIP/2.0 481");
}

#[test]
fn way_is_sealed_and_of_its_call() {
    let mut world = hidden(|_| {});
    let text = request(
        "SUBSCRIBE sip:bob@edge.example",
        "198.51.100.7:5060;branch=z9hG4bKs",
        ("a", ""),
        "1 SUBSCRIBE",
        "Contact: <sip:alice@198.51.100.7:5060>\r\n",
        "",
    );
    let sent = world.recv(ALICE, &text);
    let ok = first(&pbx().answers(&mut world, &sent[0], "200 OK", "b", ""));
    let leg = Leg::of_caller(&ok);
    for bad in [
        forged(&leg),
        Leg {
            call_id: "another".to_owned(),
            ..leg.clone()
        },
    ] {
        let sent = phone().says(&mut world, &bad, "SUBSCRIBE", 2, "");
        assert_eq!(sent[0].line(), "SIP/2.0 403 Bad Token");
    }
    let sent = phone().says(&mut world, &leg, "SUBSCRIBE", 2, "");
    assert_eq!(first(&sent).line(), format!("SUBSCRIBE {TARGET} SIP/2.0"));
}

#[test]
fn boxes_in_a_chain_do_not_take_each_others_call_ids_for_theirs() {
    let mut world = hidden(|_| {});
    let invite = phone().invites(&mut world, "sip:bob@edge.example");
    let of_first = invite.all(HeaderId::CallId).concat();
    assert!(of_first.starts_with("wl-"));
    // The second box hides as well, with another prefix; to it this is a Call-ID as any other.
    let mut second = hidden_of(|_| {}, |config| config.call_id_prefix = "w2-".to_owned());
    let text = request(
        "INVITE sip:bob@edge.example",
        "198.51.100.7:5060;branch=z9hG4bKx",
        ("a", ""),
        "1 INVITE",
        "Contact: <sip:alice@198.51.100.7:5060>\r\n",
        "offer",
    );
    let text = text.replace("Call-ID: c1", &format!("Call-ID: {of_first}"));
    let invite = forwarded(&second.recv(ALICE, &text));
    let of_second = invite.all(HeaderId::CallId).concat();
    assert!(of_second.starts_with("w2-") && of_second != of_first);
    let ok = first(&pbx().answers(&mut second, &invite, "200 OK", "b", "answer"));
    assert_eq!(ok.all(HeaderId::CallId).concat(), of_first);
    phone().says(&mut second, &Leg::of_caller(&ok), "ACK", 1, "");
    let bye = first(&pbx().says(&mut second, &Leg::of_callee(&invite, "b"), "BYE", 2, ""));
    assert_eq!(bye.all(HeaderId::CallId), [of_first]);
}

#[test]
fn call_that_comes_back_is_another_call() {
    // A proxy inside sends a call out again: to its sender, and with another Request-URI.
    let mut world = hidden_of(|_| {}, |config| config.zones[CORE].calls_out = true);
    let invite = phone().invites(&mut world, "sip:bob@edge.example");
    let text = invite.text();
    let text = text.replacen(
        "INVITE sip:bob@edge.example SIP/2.0\r\n",
        "INVITE sip:carol@198.51.100.8:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.20:5070;branch=z9hG4bKspiral\r\n\
         Record-Route: <sip:10.0.0.20:5070;lr>\r\n",
        1,
    );
    let sent = world.recv_on(CORE_SIDE, PROXY, text.as_bytes());
    let second = forwarded(&sent);
    assert_eq!(
        (second.to, second.listener),
        (addr("198.51.100.8:5060"), UDP)
    );
    let ids = [&invite, &second].map(|sent| sent.all(HeaderId::CallId).concat());
    assert!(ids[0] != ids[1] && ids[1] != "outer-id", "{ids:?}");
    let carol = Agent {
        flow: datagram(UDP, "198.51.100.8:5060"),
        host: "198.51.100.8:5060",
        contact: "sip:carol@198.51.100.8:5060",
        ..phone()
    };
    let ok = first(&carol.answers(&mut world, &second, "200 OK", "c", "answer"));
    assert_eq!(
        (ok.to, ok.all(HeaderId::CallId).concat()),
        (addr(PROXY), ids[0].clone())
    );
    let bye = first(&carol.says(&mut world, &Leg::of_callee(&second, "c"), "BYE", 2, ""));
    assert_eq!(
        (bye.to, bye.all(HeaderId::CallId).concat()),
        (addr(PROXY), ids[0].clone())
    );
}

#[test]
fn tokens_of_the_key_before_are_good_and_those_of_the_one_before_that_are_not() {
    let secret = |byte| TokenSecret::new([byte; TokenSecret::BYTES]);
    let mut world = hidden_of(|_| {}, |config| config.token_secrets = vec![secret(1)]);
    let (caller, callee) = answered(&mut world);
    world.proxy.change_secrets(&[secret(2), secret(1)]);
    let info = first(&phone().says(&mut world, &caller, "INFO", 2, ""));
    assert_eq!(info.line(), format!("INFO {TARGET} SIP/2.0"));
    // What is told from now on is of the new key.
    let update = first(&pbx().says(&mut world, &callee, "UPDATE", 3, "more"));
    let fresh = Leg {
        uri: uri_in(&update.all(HeaderId::Contact).concat()),
        ..caller.clone()
    };
    assert_ne!(fresh.uri, caller.uri);
    world.proxy.change_secrets(&[secret(2)]);
    let sent = phone().says(&mut world, &caller, "INFO", 4, "");
    assert_eq!(sent[0].line(), "SIP/2.0 403 Bad Token");
    let info = first(&phone().says(&mut world, &fresh, "INFO", 5, ""));
    assert_eq!(info.line(), format!("INFO {TARGET} SIP/2.0"));
}

#[test]
fn call_id_that_is_too_long_is_refused() {
    let mut world = hidden(|_| {});
    let long = "i".repeat(crate::limits::HIDDEN_CALL_ID_BYTES + 1);
    let text = invite("offer").replace("Call-ID: c1", &format!("Call-ID: {long}"));
    let sent = world.recv(ALICE, &text);
    assert!(
        first(&sent).line().starts_with("SIP/2.0 400"),
        "{}",
        first(&sent).line()
    );
    world.pass(Duration::from_secs(90));
    assert!(world.sent.iter().all(|s| s.listener == UDP));
}
