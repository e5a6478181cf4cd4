//! Media of plain calls.

use std::time::Duration;

use windlass_ng::client::ClientError;
use windlass_ng::{Dict, Value};

use crate::common::phone::{Call, Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::{sdp, wait_for};

const PACKETS: usize = 50;

#[test]
fn audio_and_reports_flow_both_ways() {
    let relay = Relay::start("");
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let call = Call::set_up(&relay, "plain", &caller, &callee);
    caller.speak(call.shown_to_caller, PACKETS);
    assert_eq!(callee.hear(PACKETS), PACKETS);
    callee.speak(call.shown_to_callee, PACKETS);
    assert_eq!(caller.hear(PACKETS), PACKETS);
    let report = caller.report();
    let mut rtcp = call.shown_to_caller;
    rtcp.set_port(rtcp.port() + 1);
    caller.rtcp.send_to(&report, rtcp).unwrap();
    assert_eq!(callee.hear_reports(1), 1);
    // RTCP on the RTP port goes to the other party's RTCP port.
    caller.rtp.send_to(&report, call.shown_to_caller).unwrap();
    assert_eq!(callee.hear_reports(1), 1);

    let query = Dict::new()
        .with("command", "query")
        .with("call-id", "plain");
    let reply = relay.ask(query).unwrap();
    let totals = reply.get("totals").unwrap().as_dict().unwrap();
    let rtp = totals.get("RTP").unwrap().as_dict().unwrap();
    // The report on the RTP port counts there.
    assert_eq!(
        rtp.get("packets").unwrap().as_int(),
        Some(2 * PACKETS as i64 + 1)
    );
    assert_eq!(rtp.get("errors").unwrap().as_int(), Some(0));

    let reply = call.delete(&relay);
    assert_eq!(reply.get_str("result"), Some("ok"));
    assert_eq!(relay.leased_ports(), 0);
    for shown in [call.shown_to_callee, call.shown_to_caller] {
        std::net::UdpSocket::bind(shown).unwrap();
    }
}

#[test]
fn ipv4_and_ipv6_are_bridged() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: this host has no IPv6 loopback");
        return;
    }
    let relay = Relay::start_with(
        "[[interface]]\naddress = \"127.0.0.1\"\n[[interface]]\naddress = \"::1\"\n",
        "",
    );
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("::1"));
    let family = Dict::new().with("address-family", "IP6");
    let call = Call::set_up_with(&relay, "bridge", &caller, &callee, family);
    assert!(call.shown_to_callee.is_ipv6() && call.shown_to_caller.is_ipv4());
    caller.speak(call.shown_to_caller, PACKETS);
    assert_eq!(callee.hear(PACKETS), PACKETS);
    callee.speak(call.shown_to_callee, PACKETS);
    assert_eq!(caller.hear(PACKETS), PACKETS);
}

#[test]
fn a_held_party_hears_nothing_and_is_heard_again_after() {
    let relay = Relay::start("");
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let call = Call::set_up(&relay, "hold", &caller, &callee);
    let hold = sdp::audio(caller.address(), "a=sendonly\r\n");
    let mut request = offer("hold", &hold);
    request.push("to-tag", "callee");
    let reply = relay.ask(request.clone()).unwrap();
    assert!(reply.get_str("sdp").unwrap().contains("a=sendonly"));
    assert_eq!(
        sdp::address(reply.get_str("sdp").unwrap(), 0),
        call.shown_to_callee
    );
    relay
        .ask(answer(
            "hold",
            &sdp::audio(callee.address(), "a=recvonly\r\n"),
        ))
        .unwrap();
    callee.speak(call.shown_to_callee, 10);
    assert_eq!(caller.hear(1), 0);
    caller.speak(call.shown_to_caller, 10);
    assert_eq!(callee.hear(10), 10);
    let mut request = offer("hold", &sdp::audio(caller.address(), ""));
    request.push("to-tag", "callee");
    relay.ask(request).unwrap();
    relay
        .ask(answer("hold", &sdp::audio(callee.address(), "")))
        .unwrap();
    callee.speak(call.shown_to_callee, PACKETS);
    assert_eq!(caller.hear(PACKETS), PACKETS);
}

#[test]
fn media_lines_are_added_and_taken_away() {
    let relay = Relay::start("");
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    Call::set_up(&relay, "lines", &caller, &callee);
    let video = "m=video 41000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\na=mid:v\r\n";
    let mut request = offer("lines", &sdp::audio(caller.address(), video));
    request.push("to-tag", "callee");
    let reply = relay.ask(request).unwrap();
    assert_ne!(sdp::address(reply.get_str("sdp").unwrap(), 1).port(), 0);
    let turned_down = "m=video 0 RTP/AVP 96\r\n";
    let reply = relay
        .ask(answer("lines", &sdp::audio(callee.address(), turned_down)))
        .unwrap();
    let text = reply.get_str("sdp").unwrap();
    assert!(
        text.contains("m=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\n"),
        "{text}"
    );
    assert_eq!(relay.leased_ports(), 4);
}

#[test]
fn exhaustion_is_said_and_leaks_nothing() {
    let interface = "[[interface]]\naddress = \"127.0.0.1\"\nport_min = 31000\nport_max = 31007\n";
    let relay = Relay::start_with(interface, "");
    let phone = Phone::new("127.0.0.1");
    let sdp = sdp::audio(phone.address(), "");
    let mut set_up = 0;
    let refusal = loop {
        match relay.ask(offer(&format!("call-{set_up}"), &sdp)) {
            Ok(_) => set_up += 1,
            Err(ClientError::Refused { reason }) => break reason,
            Err(other) => panic!("{other}"),
        }
        assert!(set_up <= 2, "8 ports hold two calls");
    };
    assert_eq!(refusal, "Ran out of ports");
    assert_eq!(relay.leased_ports(), 4 * set_up);
    let list = relay.ask(Dict::new().with("command", "list")).unwrap();
    assert_eq!(
        list.get("calls").unwrap().as_list().unwrap().len() as i64,
        set_up
    );
    for index in 0..set_up {
        let delete = Dict::new()
            .with("command", "delete")
            .with("call-id", format!("call-{index}"))
            .with("delete-delay", Value::Int(0));
        relay.ask(delete).unwrap();
    }
    assert_eq!(relay.leased_ports(), 0);
}

#[test]
fn reports_of_our_own_take_the_place_of_the_parties() {
    let relay = Relay::start("[quality]\nrtcp_interval_ms = 100\n");
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let more = Dict::new().with("generate-RTCP", "on");
    let call = Call::set_up_with(&relay, "reports", &caller, &callee, more);
    let mut rtcp = call.shown_to_caller;
    rtcp.set_port(rtcp.port() + 1);
    let theirs = caller.report();
    caller.rtcp.send_to(&theirs, rtcp).unwrap();
    caller.speak(call.shown_to_caller, PACKETS);
    assert_eq!(callee.hear(PACKETS), PACKETS);
    callee.speak(call.shown_to_callee, PACKETS);
    assert_eq!(caller.hear(PACKETS), PACKETS);
    for phone in [&caller, &callee] {
        let mut buffer = [0; 512];
        let length = wait_for("a report", Duration::from_secs(5), || {
            phone.rtcp.recv(&mut buffer).ok()
        });
        assert_ne!(buffer[..length], theirs[..]);
        assert!((200..=201).contains(&buffer[1]), "{:?}", &buffer[..length]);
    }
    call.delete(&relay);
}
