//! Where media never goes, whatever SDP says.

use std::net::UdpSocket;
use std::time::Duration;

use windlass_ng::Dict;

use crate::common::phone::{Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::sdp;

/// RTP whose header is a cookie and whose payload is a request.
fn request_in_rtp(sequence: u16, payload: &str) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[1, 1, 1, 1, 7, 7, 7, 7]);
    packet.push(b' ');
    packet.extend_from_slice(payload.as_bytes());
    packet
}

#[test]
fn media_does_not_speak_to_the_control_port() {
    let relay = Relay::start("");
    let (caller, phone) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    // The callee says that it is where the relay takes its requests.
    let to_callee = relay
        .ask(offer("pivot", &sdp::audio(caller.address(), "")))
        .unwrap();
    assert_eq!(to_callee.get_str("result"), Some("ok"));
    let reply = relay
        .ask(answer("pivot", &sdp::audio(relay.ng, "")))
        .unwrap();
    let shown = sdp::address(reply.get_str("sdp").unwrap(), 0);
    let body = sdp::audio(phone.address(), "");
    let wanted = format!(
        "d7:call-id6:stolen7:command5:offer8:from-tag1:x3:sdp{}:{body}e",
        body.len()
    );
    for sequence in 1..20 {
        let packet = request_in_rtp(sequence, &wanted);
        caller.rtp.send_to(&packet, shown).unwrap();
        std::thread::park_timeout(Duration::from_millis(2));
    }
    let query = |id| Dict::new().with("command", "query").with("call-id", id);
    let reply = relay.ask(query("pivot")).unwrap();
    assert_eq!(reply.get_str("result"), Some("ok"));
    let stolen = relay.ask(query("stolen"));
    assert!(
        stolen.is_err() || stolen.unwrap().get_str("result") == Some("error"),
        "media made a call"
    );
}

#[test]
fn media_goes_to_no_network_that_is_closed() {
    let relay = Relay::start_with(
        "[[interface]]\naddress = \"127.0.0.1\"\n",
        "[media]\nforbid = [\"127.0.0.64/26\"]\n",
    );
    let mut caller = Phone::new("127.0.0.1");
    let closed = UdpSocket::bind("127.0.0.66:0").unwrap();
    closed
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    relay
        .ask(offer("closed", &sdp::audio(caller.address(), "")))
        .unwrap();
    let address = closed.local_addr().unwrap();
    let reply = relay
        .ask(answer("closed", &sdp::audio(address, "")))
        .unwrap();
    let shown = sdp::address(reply.get_str("sdp").unwrap(), 0);
    caller.speak(shown, 20);
    assert!(closed.recv(&mut [0; 2048]).is_err(), "media went there");
}

#[test]
fn media_of_others_on_this_host_is_no_request() {
    let media = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = media.local_addr().unwrap().port();
    let relay = Relay::start_with(
        "[[interface]]\naddress = \"127.0.0.1\"\n",
        &format!("[media]\nhost_ports = [\"{port}\"]\n[dataplane]\nreserve_ports = false\n"),
    );
    let ask = |socket: &UdpSocket, patience: Duration| {
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.send_to(b"a d7:command4:pinge", relay.ng).unwrap();
        socket.recv(&mut [0; 64]).is_ok()
    };
    assert!(!ask(&media, Duration::from_millis(500)));
    assert!(ask(&client, Duration::from_secs(5)));
}
