//! `publish`, `subscribe` and `create` with the flag `WebRTC`: browsers (aiortc) that deal with the
//! relay alone.

use std::time::{Duration, Instant};

use windlass_ng::{Dict, Value};

use crate::common::aiortc::{WebRtc, python};
use crate::common::phone::Phone;
use crate::common::process::Relay;
use crate::common::{sdp, wait_for};

const SAMPLE: i64 = 8;

fn command(name: &str, call: &str) -> Dict {
    Dict::new().with("command", name).with("call-id", call)
}

fn webrtc() -> Value {
    ["WebRTC"].into_iter().collect()
}

fn sdp_of(reply: &Dict) -> String {
    reply.get_str("sdp").unwrap().to_owned()
}

/// Waits until a browser has heard a second of what is said, and nothing else.
fn hears(browser: &mut WebRtc) {
    wait_for("what is said", Duration::from_secs(12), || {
        let heard = browser.heard();
        (heard.frames >= 50).then(|| assert_eq!(heard.values, [SAMPLE]))
    });
}

/// A line for a browser: its own ports, ICE and DTLS, and no group.
fn is_for_browsers(sdp: &str) {
    for word in [
        "UDP/TLS/RTP/SAVPF",
        "\r\na=ice-ufrag:",
        "\r\na=fingerprint:",
        "\r\na=rtcp-mux",
        "\r\na=mid:",
    ] {
        assert!(sdp.contains(word), "{word}: {sdp}");
    }
    assert!(!sdp.contains("a=group:BUNDLE"), "{sdp}");
}

#[test]
fn a_browser_publishes_and_others_listen() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let mut speaker = WebRtc::start(&python);
    let publish = command("publish", "stage")
        .with("from-tag", "speaker")
        .with("sdp", speaker.offer())
        .with("flags", webrtc());
    let answered = sdp_of(&relay.ask(publish).unwrap());
    is_for_browsers(&answered);
    assert!(answered.contains("\r\na=recvonly\r\n"), "{answered}");
    speaker.accept(&answered);

    let subscribe = || command("subscribe request", "stage").with("from-tag", "speaker");
    let mut listener = WebRtc::start(&python);
    let request = subscribe()
        .with("to-tag", "browser")
        .with("flags", webrtc());
    let offered = sdp_of(&relay.ask(request).unwrap());
    is_for_browsers(&offered);
    assert!(offered.contains("\r\na=sendonly\r\n"), "{offered}");
    let answered = listener.answer_in_silence(&offered);
    let reply = command("subscribe answer", "stage")
        .with("to-tag", "browser")
        .with("sdp", answered);
    relay.ask(reply).unwrap();

    // A phone listens, too.
    let phone = Phone::new("127.0.0.1");
    let request = subscribe()
        .with("to-tag", "phone")
        .with("transport-protocol", "RTP/AVP")
        .with("ICE", "remove");
    let offered = sdp_of(&relay.ask(request).unwrap());
    assert!(
        offered.contains(" RTP/AVP ") && !offered.contains("ice-ufrag"),
        "{offered}"
    );
    let reply = command("subscribe answer", "stage")
        .with("to-tag", "phone")
        .with("sdp", sdp::audio(phone.address(), "a=recvonly\r\n"));
    relay.ask(reply).unwrap();

    hears(&mut listener);
    assert_eq!(phone.hear(50), 50);

    // Who left hears no more; the others do.
    let leaves = command("unsubscribe", "stage").with("to-tag", "browser");
    relay.ask(leaves).unwrap();
    std::thread::park_timeout(Duration::from_millis(200));
    let before = listener.heard().frames;
    assert_eq!(phone.hear(50), 50);
    assert!(listener.heard().frames <= before + 2);
}

/// The relay calls a browser and a phone, and joins them.
#[test]
fn a_browser_that_the_relay_calls() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    let codecs = Dict::new().with("offer", Value::List(vec!["PCMA".into()]));
    let create = |tag: &str| {
        command("create", "called")
            .with("from-tag", tag)
            .with("codec", codecs.clone())
    };
    let answer = |tag: &str, sdp: &str| {
        command("create answer", "called")
            .with("from-tag", tag)
            .with("sdp", sdp)
    };
    let request = create("browser").with("flags", webrtc());
    let offered = sdp_of(&relay.ask(request).unwrap());
    is_for_browsers(&offered);
    let answered = browser.answer(&offered);
    relay.ask(answer("browser", &answered)).unwrap();
    let offered = sdp_of(&relay.ask(create("phone")).unwrap());
    let to = sdp::address(&offered, 0);
    let answered = sdp::audio(phone.address(), "").replace("8 0 101", "8");
    relay.ask(answer("phone", &answered)).unwrap();
    let connect = command("connect", "called")
        .with("from-tag", "browser")
        .with("to-tag", "phone");
    relay.ask(connect).unwrap();
    let deadline = Instant::now() + Duration::from_secs(12);
    let soon = Some(Duration::from_millis(1));
    phone.rtp.set_read_timeout(soon).unwrap();
    let mut heard = 0;
    while heard < 50 || browser.heard().frames < 50 {
        assert!(Instant::now() < deadline, "{heard} {:?}", browser.heard());
        let packet = phone.packet();
        phone.rtp.send_to(&packet, to).unwrap();
        heard += phone.hear(10);
        std::thread::park_timeout(Duration::from_millis(18));
    }
    assert_eq!(browser.heard().values, [SAMPLE]);
}
