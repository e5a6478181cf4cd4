//! WebRTC (ICE, DTLS-SRTP, rtcp-mux) with aiortc on one side and a plain phone on the other: what each
//! says, the other hears, sample for sample.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use windlass_dtls::{Certificate, CertificateConfig, Role, Session, SessionConfig};
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

/// The request for a browser's offer to a phone.
fn to_phone(id: &str, offered: &str) -> Dict {
    offer(id, offered)
        .with("transport-protocol", "RTP/AVP")
        .with("ICE", "remove")
        .with("rtcp-mux", list(&["demux"]))
}

/// A browser calls a phone; gives back the call.
fn browser_calls(relay: &Relay, id: &str, browser: &mut WebRtc, phone: &Phone) -> Call {
    let offered = browser.offer();
    let reply = relay.ask(to_phone(id, &offered)).unwrap();
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

#[test]
fn a_re_offer_does_not_interrupt() {
    let Some(python) = python() else { return };
    let relay = Relay::start("[dataplane]\nsteering = \"off\"\n");
    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    let call = browser_calls(&relay, "again", &mut browser, &phone);
    talk(&mut phone, call.shown_to_callee, &mut browser, 25);
    let again = browser.offer_again();
    relay.ask(to_phone("again", &again)).unwrap();
    talk(&mut phone, call.shown_to_callee, &mut browser, 25);
    let reply = relay.ask(answer("again", &sdp::audio(phone.address(), "")));
    browser.accept(reply.unwrap().get_str("sdp").unwrap());
    talk(&mut phone, call.shown_to_callee, &mut browser, 25);
    let log = relay.process.log();
    assert_eq!(log.matches("DTLS connected").count(), 1, "{log}");
    call.delete(&relay);
}

#[test]
fn strangers_do_not_disturb() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    let offered = browser.offer();
    let reply = relay.ask(to_phone("spray", &offered)).unwrap();
    let to = sdp::address(reply.get_str("sdp").unwrap(), 0);
    let reply = relay.ask(answer("spray", &sdp::audio(phone.address(), "")));
    let reply = reply.unwrap();
    let answered = reply.get_str("sdp").unwrap();
    let port = sdp::address(answered, 0);
    // From the moment on at which the browser can know the port, and while it talks.
    let stop = Arc::new(AtomicBool::new(false));
    let spray = {
        let stop = stop.clone();
        std::thread::spawn(move || spray(port, &stop))
    };
    browser.accept(answered);
    talk(&mut phone, to, &mut browser, 100);
    stop.store(true, Relaxed);
    let (sent, came_back) = spray.join().unwrap();
    assert!(sent > 1000 && came_back == 0, "{sent} {came_back}");
    let log = relay.process.log();
    assert_eq!(log.matches("DTLS connected").count(), 1, "{log}");
    assert!(!log.contains("DTLS failed"), "{log}");
}

/// ClientHellos and RTP of a hundred strangers, until it is to stop: how many, and how many answers.
fn spray(port: SocketAddr, stop: &AtomicBool) -> (u64, u64) {
    let certificate = Certificate::generate(&CertificateConfig::default(), SystemTime::now());
    let config = SessionConfig::new(Arc::new(certificate.unwrap()), Role::Active);
    let mut hello = Vec::new();
    let mut session = Session::new(config, Instant::now()).unwrap();
    session.poll_transmit(&mut hello).unwrap();
    let rtp = Phone::new("127.0.0.1").packet();
    let sockets: Vec<UdpSocket> = (0..100)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    let (mut sent, mut came_back) = (0, 0);
    for socket in sockets.iter().cycle() {
        if stop.load(Relaxed) {
            break;
        }
        for datagram in [&hello, &rtp] {
            socket.send_to(datagram, port).unwrap();
            sent += 1;
        }
        std::thread::park_timeout(Duration::from_micros(500));
    }
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 2048];
        came_back += u64::from(socket.recv(&mut buffer).is_ok());
    }
    (sent, came_back)
}

/// A line of SDP, with another fingerprint if it is one.
fn forged(line: &str) -> String {
    let digest = line
        .strip_prefix("a=fingerprint:")
        .and_then(|value| value.split_once(' '));
    match digest {
        Some((hash, digest)) if digest.starts_with("00") => {
            format!("a=fingerprint:{hash} 11{}", &digest[2..])
        }
        Some((hash, digest)) => format!("a=fingerprint:{hash} 00{}", &digest[2..]),
        None => line.to_owned(),
    }
}

#[test]
fn another_certificate_than_signalled_gets_no_media() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    let offered = browser.offer();
    // aiortc prints several: all of them are somebody else's.
    let forged: Vec<String> = offered.lines().map(forged).collect();
    let forged = forged.join("\r\n") + "\r\n";
    let reply = relay.ask(to_phone("forged", &forged)).unwrap();
    let to = sdp::address(reply.get_str("sdp").unwrap(), 0);
    let reply = relay.ask(answer("forged", &sdp::audio(phone.address(), "")));
    browser.accept(reply.unwrap().get_str("sdp").unwrap());
    wait_for("the failure", Duration::from_secs(10), || {
        let log = relay.process.log();
        log.contains("fingerprint mismatch").then_some(())
    });
    phone.speak(to, 50);
    phone
        .rtp
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    assert_eq!(hear(&phone.rtp), 0);
    assert_eq!(browser.heard().frames, 0);
    assert!(!relay.process.log().contains("DTLS connected"));
}
