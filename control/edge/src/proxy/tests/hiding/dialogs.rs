//! What is no call: subscriptions, single requests, registrations.

use super::*;
use crate::config::{RegisterMode, TokenSecret, Trust};

fn outside(method: &str, extra: &str) -> String {
    let text = request(
        &format!("{method} sip:bob@edge.example"),
        "198.51.100.7:5060;branch=z9hG4bKout",
        ("a", ""),
        &format!("1 {method}"),
        &format!("User-Agent: Phone/9\r\nContact: <sip:alice@198.51.100.7:5060>\r\n{extra}"),
        "",
    );
    text.replace("Call-ID: c1", "Call-ID: outer-id")
}

fn of_method<'a>(sent: &'a [Sent], method: &str) -> &'a Sent {
    let mut all = sent.iter();
    all.find(|s| s.line().starts_with(method)).expect(method)
}

#[test]
fn subscription_works_without_state_and_tells_nothing() {
    for hides_call_id in [true, false] {
        let secret = |byte| TokenSecret::new([byte; TokenSecret::BYTES]);
        let mut world = hidden_of(
            |hide| hide.call_id = hides_call_id,
            |config| config.token_secrets = vec![secret(1)],
        );
        let sent = world.recv(ALICE, &outside("SUBSCRIBE", "Event: dialog\r\n"));
        let subscribe = of_method(&sent, "SUBSCRIBE").clone();
        assert!(subscribe.all(HeaderId::RecordRoute).is_empty());
        let ok = first(&pbx().answers(&mut world, &subscribe, "200 OK", "b", ""));
        assert_eq!(ok.all(HeaderId::CallId), ["outer-id"]);
        let (caller, callee) = (Leg::of_caller(&ok), Leg::of_callee(&subscribe, "b"));
        // Nothing of it is kept: not after a minute, and not after a restart with the same keys.
        world.assert_forgotten();
        for cseq in 1..4 {
            if cseq == 3 {
                // Both sides know the call by what they were told under the key before.
                world.proxy.change_secrets(&[secret(2), secret(1)]);
            }
            let notify = first(&pbx().says(&mut world, &callee, "NOTIFY", cseq, ""));
            assert_eq!(notify.line(), "NOTIFY sip:alice@198.51.100.7:5060 SIP/2.0");
            assert_eq!((notify.to, notify.listener), (addr(ALICE), UDP));
            assert_eq!(notify.all(HeaderId::CallId), ["outer-id"]);
            let ok = first(&phone().answers(&mut world, &notify, "200 OK", "", ""));
            assert_eq!(ok.all(HeaderId::CallId), subscribe.all(HeaderId::CallId));
            let again = first(&phone().says(&mut world, &caller, "SUBSCRIBE", cseq + 1, ""));
            assert_eq!(again.line(), format!("SUBSCRIBE {TARGET} SIP/2.0"));
            assert_eq!(again.all(HeaderId::Route), ["<sip:10.0.0.20:5070;lr>"]);
            assert_eq!(again.all(HeaderId::CallId), subscribe.all(HeaderId::CallId));
            pbx().answers(&mut world, &again, "200 OK", "", "");
        }
        assert_hidden(&world, hides_call_id);
    }
}

#[test]
fn subscriber_on_a_connection_is_reached_by_it() {
    let mut world = hidden(|_| {});
    let phone = phone_on_tcp();
    let text = outside("SUBSCRIBE", "").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let sent = world.recv_by(phone.flow, text.as_bytes());
    let subscribe = of_method(&sent, "SUBSCRIBE").clone();
    pbx().answers(&mut world, &subscribe, "200 OK", "b", "");
    let callee = Leg::of_callee(&subscribe, "b");
    let notify = first(&pbx().says(&mut world, &callee, "NOTIFY", 1, ""));
    assert_eq!(notify.way, phone.flow.into());
}

#[test]
fn single_requests_pass_and_tell_nothing() {
    let mut world = hidden(|_| {});
    for method in ["OPTIONS", "MESSAGE", "PUBLISH", "INFO"] {
        let sent = world.recv(ALICE, &outside(method, ""));
        let sent = of_method(&sent, method).clone();
        assert_eq!(sent.all(HeaderId::Contact), ["<sip:10.0.0.1:5060>"]);
        let back = first(&pbx().answers(&mut world, &sent, "200 OK", "b", ""));
        assert_eq!(back.all(HeaderId::Via).len(), 1);
        assert_eq!(back.all(HeaderId::CallId), ["outer-id"]);
        let contact = &back.all(HeaderId::Contact)[0];
        assert!(contact.starts_with("<sip:192.0.2.1:5060>"), "{contact}");
        world.assert_forgotten();
    }
    assert_hidden(&world, true);
}

fn register(contacts: &str) -> String {
    outside("REGISTER", "")
        .replace("<sip:t@x.example>", "<sip:f@x.example>")
        .replace("<sip:alice@198.51.100.7:5060>", contacts)
}

#[test]
fn phone_registers_and_hears_of_its_own_contacts() {
    let mut world = hidden_of(|_| {}, |config| config.register.mode = RegisterMode::Path);
    let sent = world.recv(ALICE, &register("<sip:alice@198.51.100.7:5060>"));
    let register = of_method(&sent, "REGISTER");
    assert_eq!(
        register.all(HeaderId::Contact),
        ["<sip:alice@198.51.100.7:5060>"]
    );
    assert_eq!(register.all(HeaderId::Via).len(), 1);
    let path = register.all(HeaderId::Path).join(", ");
    let granted = format!(
        "Contact: <sip:f@10.0.0.30>;expires=9, <sip:alice@198.51.100.7:5060>;expires=60, \
         <sip:f@10.0.0.31>;expires=9\r\nPath: {path}\r\nService-Route: <sip:10.0.0.20;lr>\r\n\
         Server: PBX/1.0\r\n"
    );
    let ok = response(register, "200 OK", "b", &granted, "");
    let ok = world.recv_on(CORE_SIDE, PROXY, ok.as_bytes());
    assert_eq!(
        ok[0].all(HeaderId::Contact),
        ["<sip:alice@198.51.100.7:5060>;expires=60"]
    );
    assert!(ok[0].all(HeaderId::Path).is_empty());
    assert_eq!(ok[0].all(HeaderId::CallId), ["outer-id"]);
    let public = world.sent.iter().filter(|s| s.listener != CORE_SIDE);
    for sent in public {
        let text = sent.text();
        assert!(!OF_INNER.iter().any(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn machine_inside_registers_outside_and_is_called_by_its_contact() {
    let mut world = hidden_of(
        |_| {},
        |config| {
            config.zones[CORE].calls_out = true;
            config.zones[PUBLIC].trust = Trust::Peer;
        },
    );
    let leg = Leg {
        uri: "sip:198.51.100.7:5060".to_owned(),
        from: "<sip:trunk@carrier.example>;tag=i".to_owned(),
        to: "<sip:trunk@carrier.example>".to_owned(),
        call_id: "inner-id".to_owned(),
        routes: Vec::new(),
    };
    let sent = pbx().says(&mut world, &leg, "REGISTER", 1, "");
    let register = of_method(&sent, "REGISTER").clone();
    assert_eq!((register.to, register.listener), (addr(ALICE), UDP));
    let contact = register.all(HeaderId::Contact).concat();
    assert!(contact.starts_with("<sip:192.0.2.1:5060;way="), "{contact}");
    let granted = format!("Contact: {contact};expires=60, <sip:other@198.51.100.9>\r\n");
    let ok = response(&register, "200 OK", "r", &granted, "");
    let ok = first(&world.recv(ALICE, &ok));
    assert_eq!(
        ok.all(HeaderId::Contact),
        [format!("<{TARGET}>;audio;expires=60")]
    );
    assert_eq!(ok.all(HeaderId::CallId), ["inner-id"]);
    // The carrier calls.
    let invite = phone().invites(&mut world, &uri_in(&contact));
    assert_eq!(invite.line(), format!("INVITE {TARGET} SIP/2.0"));
    assert_eq!(
        (invite.to, invite.listener),
        (addr("10.0.0.21:5062"), CORE_SIDE)
    );
    assert_hidden(&world, true);
    // Nobody else's: the Contact is for the zone that it was told to.
    let from_inside = Agent {
        flow: datagram(CORE_SIDE, "10.0.0.66:5060"),
        ..pbx()
    };
    let leg = Leg {
        uri: uri_in(&contact),
        ..leg
    };
    let sent = from_inside.says(&mut world, &leg, "INVITE", 1, "");
    assert!(
        sent[0].line().starts_with("SIP/2.0 403"),
        "{}",
        sent[0].line()
    );
}
