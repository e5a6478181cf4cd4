//! The ways that ICE finds (RFC 8445), with aiortc and Chromium: lite on either side, candidates that
//! come later, a restart on the other IP version, and a party that agrees no longer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use windlass_ng::{Dict, Value};

use crate::common::aiortc::{WebRtc, python};
use crate::common::browser::Browser;
use crate::common::phone::{Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::{is_long, sdp, wait_for};

const SAMPLE: i64 = 8;

/// One interface with an address of each IP version.
const BOTH: &str = "[[interface]]\naddress = \"127.0.0.1\"\n\n[[interface]]\naddress = \"::1\"\n";

fn list(words: &[&str]) -> Value {
    words.iter().copied().collect()
}

fn sdp_of(relay: &Relay, request: Dict) -> String {
    let reply = relay.ask(request).unwrap();
    reply.get_str("sdp").unwrap().to_owned()
}

fn to_phone(id: &str, offered: &str) -> Dict {
    offer(id, offered)
        .with("transport-protocol", "RTP/AVP")
        .with("ICE", "remove")
        .with("rtcp-mux", list(&["demux"]))
}

fn to_browser(id: &str, phone: &Phone) -> Dict {
    offer(id, &sdp::audio(phone.address(), ""))
        .with("transport-protocol", "UDP/TLS/RTP/SAVPF")
        .with("ICE", "force")
        .with("SDES", "off")
        .with("rtcp-mux", list(&["offer", "require"]))
        .with("flags", list(&["generate-mid"]))
}

/// Lines of an SDP that are candidates.
fn candidates(sdp: &str) -> Vec<&str> {
    let lines = sdp.lines().filter_map(|line| line.strip_prefix("a="));
    lines
        .filter(|line| line.starts_with("candidate:"))
        .collect()
}

/// An SDP without the lines that `is_out` names.
fn without(sdp: &str, is_out: impl Fn(&str) -> bool) -> String {
    let lines = sdp.lines().filter(|line| !is_out(line));
    lines.flat_map(|line| [line, "\r\n"]).collect()
}

fn with_session_line(sdp: &str, line: &str) -> String {
    sdp.replacen("t=0 0\r\n", &format!("t=0 0\r\n{line}\r\n"), 1)
}

/// Both ways until both sides have heard `packets` more, every sample as it was sent.
fn talk(phone: &mut Phone, to: SocketAddr, browser: &mut WebRtc, packets: u64) {
    let before = browser.heard().frames;
    let mut heard = 0;
    let soon = Some(Duration::from_millis(1));
    phone.rtp.set_read_timeout(soon).unwrap();
    let deadline = Instant::now() + Duration::from_secs(12);
    loop {
        let at = Instant::now();
        let packet = phone.packet();
        phone.rtp.send_to(&packet, to).unwrap();
        let mut buffer = [0; 2048];
        while let Ok(length) = phone.rtp.recv(&mut buffer) {
            assert!(buffer[12..length].iter().all(|sample| *sample == 0xd5));
            heard += 1;
        }
        let now = browser.heard();
        if now.frames >= before + packets && heard >= packets {
            assert_eq!(now.values, [SAMPLE], "{now:?}");
            return;
        }
        assert!(at < deadline, "{now:?}, phone heard {heard}");
        std::thread::park_timeout(Duration::from_millis(20).saturating_sub(at.elapsed()));
    }
}

#[test]
fn the_relay_is_lite() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    let request = to_phone("lite", &browser.offer()).with("ICE-lite", "backward");
    let shown = sdp_of(&relay, request);
    let answered = sdp_of(&relay, answer("lite", &sdp::audio(phone.address(), "")));
    assert!(answered.contains("\r\na=ice-lite\r\n"), "{answered}");
    browser.accept(&answered);
    talk(&mut phone, sdp::address(&shown, 0), &mut browser, 50);

    let (mut phone, mut browser) = (Phone::new("127.0.0.1"), WebRtc::start(&python));
    let request = to_browser("lite-offer", &phone).with("ICE-lite", "forward");
    let shown = sdp_of(&relay, request);
    assert!(shown.contains("\r\na=ice-lite\r\n"), "{shown}");
    let answered = browser.answer(&shown);
    let shown = sdp_of(&relay, answer("lite-offer", &answered));
    talk(&mut phone, sdp::address(&shown, 0), &mut browser, 50);
    let log = relay.process.log();
    assert_eq!(log.matches("ICE pair selected").count(), 2, "{log}");
}

#[test]
fn the_party_is_lite() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let lite = || {
        let mut browser = WebRtc::start(&python);
        browser.is_lite();
        browser
    };
    let (mut browser, mut phone) = (lite(), Phone::new("127.0.0.1"));
    let offered = with_session_line(&browser.offer(), "a=ice-lite");
    let shown = sdp_of(&relay, to_phone("lite", &offered));
    let answered = sdp_of(&relay, answer("lite", &sdp::audio(phone.address(), "")));
    assert!(!answered.contains("a=ice-lite"), "{answered}");
    browser.accept(&answered);
    talk(&mut phone, sdp::address(&shown, 0), &mut browser, 50);

    let (mut phone, mut browser) = (Phone::new("127.0.0.1"), lite());
    let shown = sdp_of(&relay, to_browser("lite-answer", &phone));
    let answered = with_session_line(&browser.answer(&shown), "a=ice-lite");
    let shown = sdp_of(&relay, answer("lite-answer", &answered));
    talk(&mut phone, sdp::address(&shown, 0), &mut browser, 50);
    let log = relay.process.log();
    assert_eq!(log.matches("ICE pair selected").count(), 2, "{log}");
}

/// The browser has IPv6 alone, the phone IPv4.
#[test]
fn a_browser_and_a_phone_have_different_ip_versions() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: this host has no IPv6 loopback");
        return;
    }
    let Some(python) = python() else { return };
    let relay = Relay::start_with(BOTH, "");
    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    browser.is_on(&["::1"]);
    let request = to_phone("versions", &browser.offer()).with("address-family", "IP4");
    let shown = sdp_of(&relay, request);
    let answered = answer("versions", &sdp::audio(phone.address(), ""));
    let answered = sdp_of(&relay, answered.with("address-family", "IP6"));
    browser.accept(&answered);
    talk(&mut phone, sdp::address(&shown, 0), &mut browser, 50);
    assert!(browser.heard().remote[0].is_ipv6());
}

/// A piece of an offer: RFC 8840 §9.
fn fragment(offered: &str, candidates: &[String]) -> String {
    let mut out = String::new();
    for attribute in ["a=ice-ufrag:", "a=ice-pwd:"] {
        let line = offered.lines().find(|line| line.starts_with(attribute));
        out += &format!("{}\r\n", line.unwrap());
    }
    let mid = offered.lines().find(|line| line.starts_with("a=mid:"));
    out += &format!("m=audio 9 RTP/AVP 0\r\n{}\r\n", mid.unwrap());
    for candidate in candidates {
        out += &format!("a={candidate}\r\n");
    }
    out
}

/// Neither SDP names a candidate: first the relay is told of the browser's, later the browser of the
/// relay's, and then the relay of more that lead nowhere.
#[test]
fn candidates_come_later() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    let whole = browser.offer();
    let is_told = |line: &str| {
        line.starts_with("a=candidate:")
            || line.starts_with("a=end-of-candidates")
            || line.starts_with("a=rtcp:")
    };
    let port = sdp::address(&whole, 0).port();
    let offered = without(&whole, is_told)
        .replace(&format!("m=audio {port} "), "m=audio 9 ")
        .replace("c=IN IP4 127.0.0.1", "c=IN IP4 0.0.0.0");
    let offered = with_session_line(&offered, "a=ice-options:trickle");
    let shown = sdp_of(&relay, to_phone("trickle", &offered));
    let answered = sdp_of(&relay, answer("trickle", &sdp::audio(phone.address(), "")));
    let ours: Vec<String> = candidates(&answered)
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert!(!ours.is_empty(), "{answered}");
    browser.accept(&without(&answered, is_told));
    let tell = |candidates: &[String]| {
        let piece = fragment(&whole, candidates);
        let request = offer("trickle", &piece).with("flags", list(&["fragment"]));
        let reply = relay.ask(request).unwrap();
        assert_eq!(reply.get_str("sdp"), None);
    };
    let theirs: Vec<String> = candidates(&whole).into_iter().map(str::to_owned).collect();
    tell(&theirs);
    talk(&mut phone, sdp::address(&shown, 0), &mut browser, 25);
    // What comes while all is well disturbs nothing.
    for candidate in &ours {
        browser.take_candidate(candidate);
    }
    let dead = Phone::new("127.0.0.1").address().port();
    tell(&[
        format!("candidate:9 1 udp 2130706431 127.0.0.1 {dead} typ host"),
        "candidate:10 1 udp 2130706430 192.0.2.7 4000 typ host".to_owned(),
    ]);
    talk(&mut phone, sdp::address(&shown, 0), &mut browser, 100);
    let log = relay.process.log();
    assert_eq!(log.matches("DTLS connected").count(), 1, "{log}");
}

/// Candidates of one IP version.
fn of_version(sdp: &str, version: u8) -> String {
    let is_other =
        |line: &str| line.starts_with("a=candidate:") && line.contains("::1 ") != (version == 6);
    without(sdp, is_other)
}

/// An ICE restart that leaves IPv4 for IPv6, and one the other way (RFC 8445 §2.4): audio goes on from
/// sockets of the new version, or those of before, under the same keys. Chromium checks its new sockets before it has the
/// answer, under the credentials of before.
#[test]
fn a_restart_changes_the_ip_version() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: this host has no IPv6 loopback");
        return;
    }
    let Some(mut browser) = Browser::start("restart") else {
        return;
    };
    let relay = Relay::start_with(BOTH, "");
    let mut phone = Phone::new("127.0.0.1");
    let soon = Some(Duration::from_millis(1));
    phone.rtp.set_read_timeout(soon).unwrap();
    for versions in [[4, 6], [6, 4]] {
        let id = format!("from-IPv{}", versions[0]);
        for version in versions {
            let options = json!({ "iceRestart": true });
            let offered = browser.sdp(json!({ "do": "offer", "options": options }));
            let offered = of_version(&offered, version);
            assert!(!candidates(&offered).is_empty(), "{offered}");
            let to = sdp::address(&sdp_of(&relay, to_phone(&id, &offered)), 0);
            let answered = sdp_of(&relay, answer(&id, &sdp::audio(phone.address(), "")));
            let answered = of_version(&answered, version);
            assert!(!candidates(&answered).is_empty(), "{answered}");
            browser.ask(json!({ "do": "accept", "sdp": answered }));
            let mut heard = 0;
            let before = browser.stats()["received"].as_u64().unwrap_or(0);
            let what = format!("audio both ways over IPv{version}");
            wait_for(&what, Duration::from_secs(12), || {
                phone.speak(to, 5);
                heard += phone.hear(10);
                let stats = browser.stats();
                // From IPv6, which it prefers, it does not go as long as that answers.
                let is_there = version == 4 || stats["local"] == "::1" && stats["remote"] == "::1";
                let received = stats["received"].as_u64();
                (is_there && heard >= 50 && received > Some(before + 50)).then_some(())
            });
        }
        browser.ask(json!({ "do": "close" }));
    }
    let log = relay.process.log();
    assert_eq!(log.matches("DTLS connected").count(), 2, "{log}");
}

/// Chromium is full, the relay is lite.
#[test]
fn a_lite_relay_serves_chromium() {
    let Some(mut browser) = Browser::start("lite") else {
        return;
    };
    let relay = Relay::start("");
    let mut phone = Phone::new("127.0.0.1");
    let offered = browser.sdp(json!({ "do": "offer" }));
    let request = to_phone("lite", &offered).with("ICE-lite", "backward");
    let to = sdp::address(&sdp_of(&relay, request), 0);
    let answered = sdp_of(&relay, answer("lite", &sdp::audio(phone.address(), "")));
    assert!(answered.contains("\r\na=ice-lite\r\n"), "{answered}");
    browser.ask(json!({ "do": "accept", "sdp": answered }));
    let mut heard = 0;
    let soon = Some(Duration::from_millis(1));
    phone.rtp.set_read_timeout(soon).unwrap();
    wait_for("audio both ways", Duration::from_secs(12), || {
        phone.speak(to, 5);
        heard += phone.hear(10);
        let received = browser.stats()["received"].as_u64();
        (heard >= 50 && received > Some(50)).then_some(())
    });
}

/// A browser that is stopped answers no check: media to it ends (RFC 7675 §5.1), and what it heard
/// before stays all that it gets. In full length only, since that takes half a minute.
#[test]
fn media_ends_with_consent_in_full_length() {
    if !is_long() {
        println!("skipped: thirty seconds, with WINDLASS_LONG only");
        return;
    }
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    let shown = sdp_of(&relay, to_phone("consent", &browser.offer()));
    let answered = sdp_of(&relay, answer("consent", &sdp::audio(phone.address(), "")));
    browser.accept(&answered);
    let to = sdp::address(&shown, 0);
    talk(&mut phone, to, &mut browser, 25);
    let sent = || {
        let query = Dict::new()
            .with("command", "query")
            .with("call-id", "consent");
        let reply = relay.ask(query).unwrap();
        let tags = reply.get("tags").unwrap().as_dict().unwrap();
        let party = tags.get("caller").unwrap().as_dict().unwrap();
        let media = party.get("medias").unwrap().as_list().unwrap()[0].as_dict();
        let stream = media.unwrap().get("streams").unwrap().as_list().unwrap()[0].as_dict();
        let out = stream.unwrap().get("stats_out").unwrap().as_dict().unwrap();
        out.get("packets").and_then(Value::as_int).unwrap()
    };
    browser.signal(nix::sys::signal::Signal::SIGSTOP);
    let stopped = Instant::now();
    let before = sent();
    phone.speak(to, 10);
    assert_eq!(sent(), before + 10, "it may be a moment of silence");
    wait_for("the end of consent", Duration::from_secs(45), || {
        phone.speak(to, 5);
        std::thread::park_timeout(Duration::from_millis(200));
        relay
            .process
            .log()
            .contains("agrees no longer")
            .then_some(())
    });
    let after = stopped.elapsed();
    println!("media ended {after:?} after the party");
    assert!(after < Duration::from_secs(32), "{after:?}");
    let before = sent();
    phone.speak(to, 25);
    assert_eq!(sent(), before, "media to a party that has gone");
}
