//! WebRTC (ICE, DTLS-SRTP, rtcp-mux) with aiortc on one side and a plain phone on the other: what each
//! says, the other hears, sample for sample.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use windlass_ng::{Dict, Value};

use crate::common::aiortc::{WebRtc, python};
use crate::common::phone::{Call, Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::{sdp, wait_for};

/// A-law of the value that `webrtc_party.py` sends, and that a phone's packets decode to.
const ALAW: u8 = 0xd5;
const SAMPLE: i64 = 8;

fn list(words: &[&str]) -> Value {
    words.iter().copied().collect()
}

/// A browser calls a phone; gives back the call.
fn browser_calls(relay: &Relay, id: &str, browser: &mut WebRtc, phone: &Phone) -> Call {
    let offered = browser.offer();
    let request = offer(id, &offered)
        .with("transport-protocol", "RTP/AVP")
        .with("ICE", "remove")
        .with("rtcp-mux", list(&["demux"]));
    let reply = relay.ask(request).unwrap();
    let shown = reply.get_str("sdp").unwrap();
    assert!(
        shown.contains(" RTP/AVP ") && !shown.contains("ice-ufrag"),
        "{shown}"
    );
    let shown_to_callee = sdp::address(shown, 0);
    let reply = relay
        .ask(answer(id, &sdp::audio(phone.address(), "")))
        .unwrap();
    let answered = reply.get_str("sdp").unwrap();
    browser.accept(answered);
    Call {
        id: id.to_owned(),
        shown_to_callee,
        shown_to_caller: sdp::address(answered, 0),
    }
}

/// A phone calls a browser.
fn phone_calls(relay: &Relay, id: &str, phone: &Phone, browser: &mut WebRtc) -> Call {
    let request = offer(id, &sdp::audio(phone.address(), ""))
        .with("transport-protocol", "UDP/TLS/RTP/SAVPF")
        .with("ICE", "force")
        .with("SDES", "off")
        .with("rtcp-mux", list(&["offer", "require"]))
        .with("flags", list(&["generate-mid"]));
    let reply = relay.ask(request).unwrap();
    let shown = reply.get_str("sdp").unwrap();
    let shown_to_callee = sdp::address(shown, 0);
    let answered = browser.answer(shown);
    let reply = relay.ask(answer(id, &answered)).unwrap();
    let shown_to_caller = sdp::address(reply.get_str("sdp").unwrap(), 0);
    Call {
        id: id.to_owned(),
        shown_to_callee,
        shown_to_caller,
    }
}

/// The phone speaks until the browser has heard `frames` more, and hears what the browser says.
fn talk(phone: &mut Phone, to: SocketAddr, browser: &mut WebRtc, frames: u64) {
    let before = browser.heard().frames;
    let mut heard = 0;
    phone
        .rtp
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let at = Instant::now();
        let packet = phone.packet();
        phone.rtp.send_to(&packet, to).unwrap();
        heard += hear(&phone.rtp);
        let now = browser.heard();
        if now.frames >= before + frames && heard >= frames {
            assert_eq!(now.values, [SAMPLE], "{now:?}");
            assert_eq!(now.state, "connected");
            break;
        }
        assert!(at < deadline, "{now:?}, phone heard {heard}");
        std::thread::park_timeout(Duration::from_millis(20).saturating_sub(at.elapsed()));
    }
}

/// Takes what a phone has heard, and looks at every sample.
fn hear(socket: &UdpSocket) -> u64 {
    let mut buffer = [0; 2048];
    let mut heard = 0;
    while let Ok(length) = socket.recv(&mut buffer) {
        let packet = &buffer[..length];
        if packet[1] & 0x7f != 8 {
            continue;
        }
        assert_eq!(packet.len(), 172, "{packet:02x?}");
        assert!(
            packet[12..].iter().all(|sample| *sample == ALAW),
            "{packet:02x?}"
        );
        heard += 1;
    }
    heard
}

#[test]
fn a_browser_calls_a_phone() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    let call = browser_calls(&relay, "browser", &mut browser, &phone);
    talk(&mut phone, call.shown_to_callee, &mut browser, 100);
    let log = relay.process.log();
    assert!(
        log.contains("ICE pair selected") && log.contains("DTLS connected"),
        "{log}"
    );
    let deleted = call.delete(&relay);
    assert_eq!(deleted.get_str("result"), Some("ok"));
    // The close_notify of the relay ends the connection of the browser.
    wait_for("the end", Duration::from_secs(5), || {
        (browser.heard().state == "closed").then_some(())
    });
}

#[test]
fn a_phone_calls_a_browser() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut phone, mut browser) = (Phone::new("127.0.0.1"), WebRtc::start(&python));
    let call = phone_calls(&relay, "phone", &phone, &mut browser);
    talk(&mut phone, call.shown_to_caller, &mut browser, 100);
    let query = Dict::new()
        .with("command", "query")
        .with("call-id", "phone");
    let reply = relay.ask(query).unwrap().to_bencode();
    let reply = String::from_utf8_lossy(&reply);
    assert!(reply.contains("DTLS fingerprint verified"), "{reply}");
    assert!(
        reply.contains("12:crypto suite16:AEAD_AES_256_GCM"),
        "{reply}"
    );
    browser.close();
    wait_for("the browser's good-bye", Duration::from_secs(5), || {
        relay
            .process
            .log()
            .contains("DTLS closed by the party")
            .then_some(())
    });
    call.delete(&relay);
}
