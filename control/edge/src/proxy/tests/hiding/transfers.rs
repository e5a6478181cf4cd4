//! Attended transfer (RFC 5589 §7): a party of two calls has its other parties talk to each other.

use super::*;

/// The user part, host and parameters of the Refer-To, and its Replaces, unescaped.
fn referred(refer: &Sent) -> (String, String) {
    let value = refer.all(HeaderId::ReferTo).concat();
    let uri = uri_in(&value);
    let (uri, replaces) = uri.split_once("?Replaces=").expect("a Replaces");
    let replaces = replaces.replace("%3B", ";").replace("%3D", "=");
    (uri.to_owned(), replaces)
}

/// A call from outside; both ends of it.
fn call_in(world: &mut World, number: u32) -> (Leg, Leg) {
    let uri = "sip:bob@edge.example";
    let leg = Leg {
        uri: uri.to_owned(),
        from: format!("<sip:f@x.example>;tag=a{number}"),
        to: "<sip:t@x.example>".to_owned(),
        call_id: format!("outer-id-{number}"),
        routes: Vec::new(),
    };
    let sent = phone().says_with(world, &leg, "INVITE", number, ("", "offer"));
    let invite = forwarded(&sent);
    let tag = format!("b{number}");
    let ok = first(&pbx().answers(world, &invite, "200 OK", &tag, "answer"));
    let caller = Leg::of_caller(&ok);
    phone().says(world, &caller, "ACK", number, "");
    (caller, Leg::of_callee(&invite, &tag))
}

/// The Refer-To of somebody for another call of its own.
fn refer_to(other: &Leg) -> String {
    let tag = |end: &str| end.split(";tag=").nth(1).unwrap().to_owned();
    format!(
        "Refer-To: <{}?Replaces={}%3Bto-tag%3D{}%3Bfrom-tag%3D{}>\r\n",
        other.uri,
        other.call_id,
        tag(&other.to),
        tag(&other.from)
    )
}

#[test]
fn pbx_inside_is_told_of_its_own_call() {
    for hides_call_id in [true, false] {
        let mut world = hidden(|hide| hide.call_id = hides_call_id);
        let (first_call, _) = call_in(&mut world, 1);
        let (second_call, inside) = call_in(&mut world, 2);
        let extra = refer_to(&second_call);
        let sent = phone().says_with(&mut world, &first_call, "REFER", 12, (&extra, ""));
        let refer = first(&sent);
        assert_eq!(refer.listener, CORE_SIDE);
        let (uri, replaces) = referred(&refer);
        assert_eq!(uri, TARGET, "the PBX itself");
        let known = format!("{};to-tag=b2;from-tag=a2", inside.call_id);
        assert_eq!(replaces, known, "the call as the PBX knows it");
        assert_eq!(inside.call_id == second_call.call_id, !hides_call_id);
        assert_hidden(&world, hides_call_id);
    }
}

#[test]
fn phones_outside_meet_by_the_edge() {
    for hides_call_id in [true, false] {
        let mut world = hidden(|hide| hide.call_id = hides_call_id);
        let (outside, second_call) = call_in(&mut world, 2);
        let (_, first_call) = call_in(&mut world, 1);
        // The PBX has the first phone call the second one.
        let extra = refer_to(&second_call);
        let sent = pbx().says_with(&mut world, &first_call, "REFER", 12, (&extra, ""));
        let refer = first(&sent);
        assert_eq!(refer.listener, UDP);
        let (uri, replaces) = referred(&refer);
        assert!(uri.starts_with("sip:192.0.2.1:5060;did="), "{uri}");
        let known = format!("{};to-tag=a2;from-tag=b2", outside.call_id);
        assert_eq!(replaces, known, "the call as the phones know it");
        let leg = Leg {
            uri: uri.clone(),
            from: "<sip:f@x.example>;tag=n".to_owned(),
            to: "<sip:t@x.example>".to_owned(),
            call_id: "third".to_owned(),
            routes: Vec::new(),
        };
        let row = format!("Replaces: {replaces}\r\n");
        let sent = phone().says_with(&mut world, &leg, "INVITE", 21, (&row, "offer"));
        let invite = forwarded(&sent);
        assert_eq!(invite.to, addr(ALICE), "where the second phone is");
        let line = format!("INVITE {} SIP/2.0", phone().contact);
        assert_eq!(invite.line(), line);
        assert_eq!(invite.all(HeaderId::Replaces), [replaces]);
        // Nobody comes to a party by the call of another.
        let wrong = "Replaces: outer-id-1;to-tag=a2;from-tag=b2\r\n";
        let leg = Leg {
            call_id: "fourth".to_owned(),
            ..leg
        };
        let sent = phone().says_with(&mut world, &leg, "INVITE", 22, (wrong, "offer"));
        assert!(first(&sent).line().starts_with("SIP/2.0 403"), "{sent:?}");
        assert_hidden(&world, hides_call_id);
    }
}

#[test]
fn phone_inside_comes_to_a_phone_outside() {
    let mut world = hidden(|_| {});
    let (outside, inside) = call_in(&mut world, 2);
    // A pickup: another machine inside takes the call over from the PBX.
    let leg = Leg {
        uri: inside.uri.clone(),
        from: "<sip:p@x.example>;tag=p".to_owned(),
        to: "<sip:t@x.example>".to_owned(),
        call_id: "inner-id".to_owned(),
        routes: Vec::new(),
    };
    let row = format!("Replaces: {};to-tag=a2;from-tag=b2\r\n", inside.call_id);
    let sent = pbx().says_with(&mut world, &leg, "INVITE", 31, (&row, "offer"));
    let invite = forwarded(&sent);
    assert_eq!((invite.to, invite.listener), (addr(ALICE), UDP));
    let known = format!("{};to-tag=a2;from-tag=b2", outside.call_id);
    assert_eq!(invite.all(HeaderId::Replaces), [known]);
    assert_hidden(&world, true);
}
