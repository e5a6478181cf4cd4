//! Headers that name hosts, software and other calls.

use proptest::prelude::*;

use super::*;
use crate::config::History;

fn raw(sent: &Sent, name: &str) -> Vec<String> {
    let rows = sent.message.parsed.headers.iter();
    let named = rows.filter(|h| {
        sent.message
            .text(h.name)
            .eq_ignore_ascii_case(name.as_bytes())
    });
    let value = named.map(|h| String::from_utf8_lossy(sent.message.text(h.value)).into_owned());
    value.collect()
}

fn call_with(world: &mut World, extra: &str) -> Sent {
    let text = invite_with("offer", extra).replace("Call-ID: c1", "Call-ID: outer-id");
    forwarded(&world.recv(ALICE, &text))
}

#[test]
fn software_is_removed_or_has_another_name() {
    let mut world = hidden(|_| {});
    let invite = call_with(&mut world, "User-Agent: Phone/9\r\n");
    assert!(raw(&invite, "User-Agent").is_empty());
    let mut world = hidden(|hide| hide.agent = Some("Edge".to_owned()));
    let invite = call_with(&mut world, "User-Agent: Phone/9\r\n");
    assert_eq!(raw(&invite, "User-Agent"), ["Edge"]);
    let ok = first(&pbx().answers(&mut world, &invite, "200 OK", "b", "answer"));
    assert_eq!(raw(&ok, "Server"), ["Edge"]);
    assert_eq!(raw(&ok, "Warning"), ["399 192.0.2.1:5060 \"late\""]);
}

#[test]
fn addresses_of_the_other_side_are_in_no_row() {
    let mut world = hidden(|_| {});
    let rows = "Reply-To: <sip:f@198.51.100.7:5070;x=y>\r\nReferred-By: \"f\" <sip:f@x.example>\r\n\
                Alert-Info: <http://198.51.100.7/ring.wav>\r\n\
                Call-Info: <https://user@[2001:db8::7]:8/x>;purpose=icon\r\n\
                Error-Info: <sip:sorry@x.example>\r\n";
    let invite = call_with(&mut world, rows);
    assert_eq!(raw(&invite, "Reply-To"), ["<sip:f@10.0.0.1:5060;x=y>"]);
    assert_eq!(raw(&invite, "Referred-By"), ["\"f\" <sip:f@x.example>"]);
    assert_eq!(raw(&invite, "Error-Info"), ["<sip:sorry@x.example>"]);
    for name in ["Alert-Info", "Call-Info"] {
        assert!(raw(&invite, name).is_empty(), "{name}");
    }
    let callee = Agent {
        agent: "P-Asserted-Identity: <sip:200@10.0.0.21>, <tel:+123>\r\n\
                P-Charging-Vector: icid-value=1;icid-generated-at=10.0.0.21\r\n",
        ..pbx()
    };
    let ok = first(&callee.answers(&mut world, &invite, "200 OK", "b", "answer"));
    let asserted = ["<sip:200@192.0.2.1:5060>, <tel:+123>"];
    assert_eq!(raw(&ok, "P-Asserted-Identity"), asserted);
    assert!(!ok.text().contains("10.0.0.21"), "{}", ok.text());
}

#[test]
fn hosts_that_a_call_came_by_are_ours_or_gone_or_stay() {
    let rows = "Diversion: <sip:1@phone.example:5070;x=y>;reason=busy, <tel:+123>\r\n\
                History-Info: \"a\" <sip:2@198.51.100.9?Reason=SIP%3Bcause%3D302>;index=1\r\n";
    let of = |history| {
        let mut world = hidden(|hide| hide.history = history);
        let invite = call_with(&mut world, rows);
        (raw(&invite, "Diversion"), raw(&invite, "History-Info"))
    };
    let (diversion, info) = of(History::Hosts);
    assert_eq!(
        diversion,
        ["<sip:1@10.0.0.1:5060;x=y>;reason=busy, <tel:+123>"]
    );
    assert_eq!(
        info,
        ["\"a\" <sip:2@10.0.0.1:5060?Reason=SIP%3Bcause%3D302>;index=1"]
    );
    assert_eq!(of(History::Remove), (Vec::new(), Vec::new()));
    assert!(of(History::Keep).0[0].contains("phone.example"));
    let mut world = hidden(|_| {});
    let invite = call_with(&mut world, "Diversion: <http://phone.example/>\r\n");
    assert!(
        raw(&invite, "Diversion").is_empty(),
        "what cannot be read is not told"
    );
}

#[test]
fn user_and_listed_parameters_of_a_contact_pass() {
    let contact = |sent: &Sent| sent.all(HeaderId::Contact).concat();
    let row = "Contact: <sip:alice@198.51.100.7:5060>";
    let named = "Contact: \"Al\" <sip:alice:pw@198.51.100.7:5060;ob;user=phone;x=1>;video;\
                 +sip.instance=\"<urn:uuid:1>\";priv=198.51.100.7;own";
    let text = invite("offer").replace(row, named);
    let mut world = hidden(|_| {});
    let plain = contact(&forwarded(&world.recv(ALICE, &text)));
    assert!(plain.starts_with("<sip:10.0.0.1:5060;did="), "{plain}");
    assert!(
        plain.ends_with(">;video;+sip.instance=\"<urn:uuid:1>\""),
        "{plain}"
    );
    let mut world = hidden(|hide| {
        hide.user = false;
        hide.uri_params = vec!["user".to_owned(), "ob".to_owned()];
        hide.params = vec!["OWN".to_owned()];
    });
    let shown = contact(&forwarded(&world.recv(ALICE, &text)));
    let start = "<sip:alice@10.0.0.1:5060;ob;user=phone;did=";
    assert!(shown.starts_with(start), "{shown}");
    assert!(shown.ends_with(";own"), "{shown}");
}

#[test]
fn calls_that_are_named_are_known_by_the_name_of_the_other_side() {
    let mut world = hidden(|_| {});
    let invite = call_with(&mut world, "");
    let shown = invite.all(HeaderId::CallId).concat();
    let named = |sent: &Sent| {
        [
            "Replaces",
            "Join",
            "Target-Dialog",
            "In-Reply-To",
            "Refer-To",
        ]
        .map(|name| raw(sent, name).concat())
    };
    let rows = |id: &str, escaped: &str| {
        format!(
            "Replaces: {id};to-tag=b;from-tag=a\r\nJoin: {id};to-tag=b;from-tag=a\r\n\
             Target-Dialog: {id};local-tag=a;remote-tag=b\r\nIn-Reply-To: {id}, {id}\r\n\
             Refer-To: <sip:c@x.example;y?Subject=z&Replaces={escaped}%3Bto-tag%3Db%3Bfrom-tag%3Da>\r\n"
        )
    };
    let expected = |id: &str, escaped: &str| {
        [
            format!("{id};to-tag=b;from-tag=a"),
            format!("{id};to-tag=b;from-tag=a"),
            format!("{id};local-tag=a;remote-tag=b"),
            format!("{id}, {id}"),
            format!("<sip:c@x.example;y?Subject=z&Replaces={escaped}%3Bto-tag%3Db%3Bfrom-tag%3Da>"),
        ]
    };
    // The phone names the call as it knows it, and the PBX hears the name that it was given.
    let second = invite_with("offer", &rows("outer-id", "outer-id")).replace("c1", "second");
    let second = second.replace("z9hG4bKinv", "z9hG4bKsec");
    let second = forwarded(&world.recv(ALICE, &second));
    assert_eq!(named(&second), expected(&shown, &shown));
    // And the other way round.
    let ok = first(&pbx().answers(&mut world, &invite, "200 OK", "b", "answer"));
    phone().says(&mut world, &Leg::of_caller(&ok), "ACK", 1, "");
    let callee = Leg::of_callee(&invite, "b");
    let sent = pbx().says_with(&mut world, &callee, "REFER", 2, (&rows(&shown, &shown), ""));
    assert_eq!(named(&first(&sent)), expected("outer-id", "outer-id"));
    // A call of the inner side alone keeps its secret; escapes are those of a URI.
    let sent = pbx().says_with(
        &mut world,
        &callee,
        "REFER",
        3,
        (&rows("inner-id@10.0.0.2", "inner-id%4010.0.0.2"), ""),
    );
    let text = first(&sent).text();
    assert!(!text.contains("inner-id"), "{text}");
    let replaced = named(&first(&sent))[0].clone();
    let id = replaced.split(';').next().unwrap();
    assert_eq!(named(&first(&sent)), expected(id, id));
    let callback = phone().says_with(
        &mut world,
        &Leg::of_caller(&ok),
        "REFER",
        4,
        (&rows(id, id), ""),
    );
    let known = expected("inner-id@10.0.0.2", "inner-id%4010.0.0.2");
    assert_eq!(named(&first(&callback)), known);
}

const EDITED: [&str; 16] = [
    "Contact",
    "Via",
    "Record-Route",
    "Route",
    "Path",
    "Warning",
    "History-Info",
    "Diversion",
    "Refer-To",
    "Replaces",
    "Join",
    "Target-Dialog",
    "In-Reply-To",
    "User-Agent",
    "Privacy",
    "P-Asserted-Identity",
];

/// What stands in such a header, or nearly.
fn value() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<sip:a@10.0.0.30;lr>",
        "sip:10.0.0.30",
        "<",
        ">",
        "\"",
        ",",
        ";",
        "=",
        "*",
        "tel:1",
        "?",
        "Replaces=",
        "%3B",
        "to-tag=a",
        "from-tag=b",
        "399 h \"t\"",
        " ",
        "a@b",
        "id",
        "[::1]",
        ":",
        "SIP/2.0/UDP 10.0.0.30;branch=z9hG4bKz",
        "\r\n ",
    ]);
    prop::collection::vec(pieces, 0..7).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_header_stops_the_edge(
        method in prop::sample::select(vec!["INVITE", "SUBSCRIBE", "REGISTER", "REFER", "OPTIONS"]),
        rows in prop::collection::vec((prop::sample::select(EDITED.to_vec()), value()), 0..6),
        from_inside in any::<bool>(),
    ) {
        let mut world = hidden_of(|_| {}, |config| config.zones[CORE].calls_out = true);
        let rows: String = rows.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (flow, via, uri) = match from_inside {
            true => (datagram(CORE_SIDE, PROXY), "10.0.0.20:5070", "sip:x@198.51.100.7:5060"),
            false => (datagram(UDP, ALICE), "198.51.100.7:5060", "sip:x@edge.example"),
        };
        let via = format!("{via};branch=z9hG4bKany");
        let text = request(&format!("{method} {uri}"), &via, ("a", ""), &format!("1 {method}"), &rows, "");
        let sent = world.recv_by(flow, text.as_bytes());
        let other = if from_inside { UDP } else { CORE_SIDE };
        let Some(sent) = sent.into_iter().find(|sent| sent.listener == other) else {
            return Ok(());
        };
        prop_assert!(sent.all(HeaderId::CallId) != ["c1"], "{}", sent.text());
        let answer = response(&sent, "200 OK", "b", &rows, "");
        let back = datagram(other, &sent.to.to_string());
        world.recv_by(back, answer.as_bytes());
    }
}
