//! Bundles (RFC 9143): all lines of a browser (aiortc) go over one transport, those of a phone over a
//! port each, and what a line says arrives on that line.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use windlass_ng::{Dict, Value};

use crate::common::aiortc::{WebRtc, python};
use crate::common::phone::{Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::sdp;

/// A-law that `webrtc_party.py` sends on a line, and the sample that it is.
fn alaw(line: usize) -> u8 {
    0xd5 ^ line as u8
}

fn sample(line: usize) -> i64 {
    8 + 16 * line as i64
}

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
        .with("BUNDLE", list(&["accept"]))
}

fn to_browser(id: &str, offered: &str) -> Dict {
    offer(id, offered)
        .with("transport-protocol", "UDP/TLS/RTP/SAVPF")
        .with("ICE", "force")
        .with("SDES", "off")
        .with("rtcp-mux", list(&["offer", "require"]))
        .with("BUNDLE", list(&["offer"]))
        .with("flags", list(&["generate-mid"]))
}

/// A phone with a port for each of its lines.
fn phones(lines: usize) -> Vec<Phone> {
    let phones = (0..lines).map(|_| Phone::new("127.0.0.1"));
    phones
        .inspect(|phone| {
            let soon = Some(Duration::from_millis(1));
            phone.rtp.set_read_timeout(soon).unwrap();
        })
        .collect()
}

fn sdp_of_phones(phones: &[Phone]) -> String {
    let lines = phones.iter().map(|phone| {
        let sdp = sdp::audio(phone.address(), "");
        sdp[sdp.find("m=").unwrap()..].to_owned()
    });
    let session = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";
    session.to_owned() + &lines.collect::<String>()
}

/// Where an SDP wants the media of each of its lines.
fn addresses(shown: &str) -> Vec<SocketAddr> {
    let lines = shown.matches("\r\nm=").count();
    (0..lines).map(|line| sdp::address(shown, line)).collect()
}

fn mids(sdp: &str) -> Vec<String> {
    let mids = sdp.lines().filter_map(|line| line.strip_prefix("a=mid:"));
    mids.map(str::to_owned).collect()
}

/// One port for all lines of a bundle.
fn is_bundled(sdp: &str) {
    let group = format!("a=group:BUNDLE {}\r\n", mids(sdp).join(" "));
    assert!(sdp.contains(&group), "{sdp}");
    let ports = addresses(sdp);
    assert!(ports.iter().all(|port| port == &ports[0]), "{sdp}");
}

/// A port for each line, and nothing of bundles.
fn is_apart(sdp: &str) {
    let mut ports = addresses(sdp);
    ports.sort();
    let lines = ports.len();
    ports.dedup();
    assert_eq!(ports.len(), lines, "{sdp}");
    for word in ["BUNDLE", "bundle-only", "ice-ufrag"] {
        assert!(!sdp.contains(word), "{word}: {sdp}");
    }
}

/// Takes what a phone has heard on a line: speech of that line, without a header extension, which
/// the phone has not agreed to.
fn hear(socket: &UdpSocket, line: usize) -> u64 {
    let mut buffer = [0; 2048];
    let mut heard = 0;
    while let Ok(length) = socket.recv(&mut buffer) {
        let packet = &buffer[..length];
        assert_eq!((packet[0], packet[1] & 0x7f), (0x80, 8), "line {line}");
        let is_of_line = |sample: &u8| *sample == alaw(line);
        assert!(packet[12..].iter().all(is_of_line), "line {line}");
        heard += 1;
    }
    heard
}

/// All lines at once, both ways, until each has heard `frames` more.
fn talk(
    phones: &mut [Phone],
    to: &[SocketAddr],
    browser: &mut WebRtc,
    mids: &[String],
    frames: u64,
) {
    assert_eq!([phones.len(), mids.len()], [to.len(); 2], "{to:?} {mids:?}");
    let before = browser.heard().lines;
    let before = |mid: &String| before.get(mid).map_or(0, |line| line.0);
    let mut heard = vec![0; phones.len()];
    let deadline = Instant::now() + Duration::from_secs(12);
    loop {
        let at = Instant::now();
        for (line, phone) in phones.iter_mut().enumerate() {
            let mut packet = phone.packet();
            packet[12..].fill(alaw(line));
            phone.rtp.send_to(&packet, to[line]).unwrap();
            heard[line] += hear(&phone.rtp, line);
        }
        let now = browser.heard();
        let has_heard = |mid: &String| {
            let line = now.lines.get(mid);
            line.is_some_and(|line| line.0 >= before(mid) + frames)
        };
        if heard.iter().all(|heard| *heard >= frames) && mids.iter().all(has_heard) {
            for (line, mid) in mids.iter().enumerate() {
                assert_eq!(now.lines[mid].1, [sample(line)], "line {mid}");
            }
            assert_eq!(now.remote.len(), 1, "one transport: {:?}", now.remote);
            return;
        }
        assert!(at < deadline, "{now:?}, phone heard {heard:?}");
        std::thread::park_timeout(Duration::from_millis(20).saturating_sub(at.elapsed()));
    }
}

/// One association for all lines.
fn one_transport(relay: &Relay) {
    let log = relay.process.log();
    assert_eq!(log.matches("DTLS connected").count(), 1, "{log}");
}

#[test]
fn two_lines_of_a_browser_are_two_ports_of_a_phone() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phones) = (WebRtc::start(&python), phones(2));
    let offered = browser.offer_of(&["audio", "audio"]);
    let shown = sdp_of(&relay, to_phone("bundle", &offered));
    is_apart(&shown);
    let answered = sdp_of(&relay, answer("bundle", &sdp_of_phones(&phones)));
    is_bundled(&answered);
    browser.accept(&answered);
    let mids = mids(&offered);
    talk(&mut phones, &addresses(&shown), &mut browser, &mids, 50);
    one_transport(&relay);
}

#[test]
fn two_ports_of_a_phone_are_two_lines_of_a_browser() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phones) = (WebRtc::start(&python), phones(2));
    let shown = sdp_of(&relay, to_browser("bundled", &sdp_of_phones(&phones)));
    let mids = mids(&shown);
    let answered = browser.answer(&shown);
    is_bundled(&answered);
    let shown = sdp_of(&relay, answer("bundled", &answered));
    is_apart(&shown);
    talk(&mut phones, &addresses(&shown), &mut browser, &mids, 50);
    one_transport(&relay);
}

#[test]
fn a_line_is_added_in_a_call() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phones) = (WebRtc::start(&python), phones(2));
    let offered = browser.offer();
    let shown = sdp_of(&relay, to_phone("added", &offered));
    let answered = sdp_of(&relay, answer("added", &sdp_of_phones(&phones[..1])));
    browser.accept(&answered);
    let first = addresses(&shown);
    talk(&mut phones[..1], &first, &mut browser, &mids(&offered), 25);
    let offered = browser.offer_more(&["audio"]);
    let shown = sdp_of(&relay, to_phone("added", &offered).with("to-tag", "callee"));
    is_apart(&shown);
    assert_eq!(addresses(&shown)[0], first[0], "the line that was there");
    talk(
        &mut phones[..1],
        &first,
        &mut browser,
        &mids(&offered)[..1],
        25,
    );
    let answered = sdp_of(&relay, answer("added", &sdp_of_phones(&phones)));
    is_bundled(&answered);
    browser.accept(&answered);
    let mids = mids(&offered);
    talk(&mut phones, &addresses(&shown), &mut browser, &mids, 50);
    one_transport(&relay);
}

/// The same from the other side: the phone adds a line, to a browser that bundles.
#[test]
fn a_phone_adds_a_line_in_a_call() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phones) = (WebRtc::start(&python), phones(2));
    let exchange = |browser: &mut WebRtc, phones: &[Phone]| {
        let shown = sdp_of(&relay, to_browser("adds", &sdp_of_phones(phones)));
        let answered = browser.answer(&shown);
        let back = sdp_of(&relay, answer("adds", &answered));
        (addresses(&back), mids(&shown))
    };
    let (to, mids) = exchange(&mut browser, &phones[..1]);
    talk(&mut phones[..1], &to, &mut browser, &mids, 25);
    let (more, mids) = exchange(&mut browser, &phones);
    assert_eq!(more[0], to[0], "the line that was there");
    // The browser speaks on the new line before the relay has its answer: the first phone hears
    // nothing of it.
    talk(&mut phones, &more, &mut browser, &mids, 50);
    one_transport(&relay);
}

/// A phone that shows the browser its own picture: what comes is sent back, under another source.
fn echo(phone: &Phone, to: SocketAddr) -> u64 {
    let mut buffer = [0; 2048];
    let mut pictures = 0;
    while let Ok(length) = phone.rtp.recv(&mut buffer) {
        let packet = &mut buffer[..length];
        assert_eq!(packet[0], 0x80, "no header extension");
        packet[8..12].copy_from_slice(&0x0707_0707_u32.to_be_bytes());
        phone.rtp.send_to(packet, to).unwrap();
        // The marker ends a picture.
        pictures += u64::from(packet[1] >> 7);
    }
    pictures
}

#[test]
fn sound_and_picture_share_a_transport() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let (mut browser, mut phones) = (WebRtc::start(&python), phones(2));
    let offered = browser.offer_of(&["audio", "video"]);
    let shown = sdp_of(&relay, to_phone("picture", &offered));
    is_apart(&shown);
    let ports = addresses(&shown);
    // The codec that the browser offers for its picture.
    let video = shown.split("\r\nm=video ").nth(1).unwrap();
    let formats = video.lines().next().unwrap().split_once("RTP/AVP ");
    let payload = formats.unwrap().1.split(' ').next().unwrap();
    let audio = sdp::audio(phones[0].address(), "");
    let port = phones[1].address().port();
    let answered =
        format!("{audio}m=video {port} RTP/AVP {payload}\r\na=rtpmap:{payload} VP8/90000\r\n");
    let answered = sdp_of(&relay, answer("picture", &answered));
    is_bundled(&answered);
    browser.accept(&answered);
    let mids = mids(&offered);
    let mut seen = 0;
    let deadline = Instant::now() + Duration::from_secs(12);
    loop {
        let at = Instant::now();
        let packet = phones[0].packet();
        phones[0].rtp.send_to(&packet, ports[0]).unwrap();
        seen += echo(&phones[1], ports[1]);
        let heard = hear(&phones[0].rtp, 0);
        let now = browser.heard();
        let frames = |line: usize| now.lines.get(&mids[line]).map_or(0, |line| line.0);
        if seen >= 10 && frames(0) >= 25 && frames(1) >= 5 {
            assert_eq!(now.lines[&mids[0]].1, [sample(0)]);
            one_transport(&relay);
            return;
        }
        assert!(at < deadline, "{now:?}, phone saw {seen}, heard {heard}");
        std::thread::park_timeout(Duration::from_millis(20).saturating_sub(at.elapsed()));
    }
}
