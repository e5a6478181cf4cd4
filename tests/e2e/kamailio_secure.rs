//! What Kamailio's rtpengine module has to say for secure media: `RTP/SAVP`, `UDP/TLS/RTP/SAVPF`, DTLS
//! off, suites by name. A few lines of SIP carry the SDP; the media is that of aiortc and of phones.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use windlass_srtp::Suite;

use crate::common::aiortc::{WebRtc, python};
use crate::common::kamailio::{self, KAMAILIO};
use crate::common::phone::Phone;
use crate::common::process::{Relay, free_udp};
use crate::common::secure_phone::{SecurePhone, crypto_lines};
use crate::common::{TempDir, has_program, lock_machine, sdp};

/// What a proxy is told for whom it calls.
const TARGETS: [(&str, &str); 4] = [
    (
        "browser",
        "transport-protocol=UDP/TLS/RTP/SAVPF ICE=force SDES-off rtcp-mux-offer \
         rtcp-mux-require generate-mid",
    ),
    (
        "plain",
        "transport-protocol=RTP/AVP ICE=remove rtcp-mux-demux",
    ),
    // Keys in SDP alone, and of one suite.
    (
        "secure",
        "transport-protocol=RTP/SAVP DTLS=off SDES-only-AEAD_AES_128_GCM",
    ),
    (
        "feedback",
        "transport-protocol=RTP/SAVPF DTLS=off SDES-no-AEAD_AES_256_GCM",
    ),
];

fn routes(callee: u16) -> String {
    let branches = TARGETS.iter().map(|(user, flags)| {
        format!("    if ($rU == \"{user}\") {{ rtpengine_offer(\"replace-origin {flags}\"); }}\n")
    });
    format!(
        r#"request_route {{
    if (is_method("ACK")) {{ t_relay(); exit; }}
    if (!is_method("INVITE")) {{ exit; }}
    record_route();
    t_on_reply("MEDIA");
{}    $du = "sip:127.0.0.1:{callee}";
    t_relay();
}}
onreply_route[MEDIA] {{
    if (has_body("application/sdp")) {{ rtpengine_answer("replace-origin"); }}
}}
"#,
        branches.collect::<String>()
    )
}

/// Two user agents, and the proxy between them.
struct Scene {
    _proxy: crate::common::process::Process,
    relay: Relay,
    _directory: TempDir,
    caller: UdpSocket,
    callee: UdpSocket,
    proxy: u16,
}

impl Scene {
    fn new(name: &str) -> Self {
        let relay = Relay::start("");
        let directory = TempDir::new(name);
        let agent = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let patience = Some(Duration::from_secs(5));
            socket.set_read_timeout(patience).unwrap();
            socket
        };
        let (caller, callee) = (agent(), agent());
        let proxy = free_udp("127.0.0.1").port();
        let routes = routes(callee.local_addr().unwrap().port());
        Self {
            _proxy: kamailio::start(&directory, proxy, "", &relay.ng.to_string(), &routes),
            relay,
            _directory: directory,
            caller,
            callee,
            proxy,
        }
    }

    /// A call: what the callee is offered becomes its answer; gives back what the caller is answered.
    fn call(&self, user: &str, offered: &str, answer: impl FnOnce(&str) -> String) -> String {
        let own = self.caller.local_addr().unwrap();
        let request = format!(
            "INVITE sip:{user}@127.0.0.1:{proxy} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {own};branch=z9hG4bK-{user}\r\nMax-Forwards: 70\r\n\
             From: <sip:caller@{own}>;tag=caller\r\nTo: <sip:{user}@127.0.0.1>\r\n\
             Call-ID: {user}\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@{own}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{offered}",
            proxy = self.proxy,
            length = offered.len(),
        );
        let proxy = ("127.0.0.1", self.proxy);
        self.caller.send_to(request.as_bytes(), proxy).unwrap();
        let invite = receive(&self.callee, |text| {
            text.starts_with(&format!("INVITE sip:{user}@"))
        });
        let (head, offered) = invite.split_once("\r\n\r\n").unwrap();
        let answered = answer(offered);
        let copied = ["Via:", "From:", "Call-ID:", "CSeq:", "Record-Route:"];
        let is_copied = |line: &&str| copied.iter().any(|name| line.starts_with(name));
        let lines: Vec<&str> = head.lines().filter(is_copied).collect();
        let callee = self.callee.local_addr().unwrap();
        let reply = format!(
            "SIP/2.0 200 OK\r\n{}\r\nTo: <sip:{user}@127.0.0.1>;tag=callee\r\n\
             Contact: <sip:{user}@{callee}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{answered}",
            lines.join("\r\n"),
            answered.len()
        );
        self.callee.send_to(reply.as_bytes(), proxy).unwrap();
        // Of a call before this one it may come again.
        let is_of_call = |text: &str| text.contains(&format!("\r\nCall-ID: {user}\r\n"));
        let answered = receive(&self.caller, |text| {
            text.starts_with("SIP/2.0 200") && is_of_call(text)
        });
        answered.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

/// The next message that `is_it`.
fn receive(socket: &UdpSocket, is_it: impl Fn(&str) -> bool) -> String {
    let mut buffer = vec![0; 65_535];
    loop {
        let length = socket.recv(&mut buffer).expect("a message of SIP");
        let text = String::from_utf8_lossy(&buffer[..length]);
        if is_it(&text) {
            return text.into_owned();
        }
    }
}

/// Speech both ways between a plain phone and a browser.
fn talk(phone: &mut Phone, to: std::net::SocketAddr, browser: &mut WebRtc) {
    let soon = Some(Duration::from_millis(1));
    phone.rtp.set_read_timeout(soon).unwrap();
    let deadline = Instant::now() + Duration::from_secs(12);
    let mut heard = 0;
    while heard < 25 || browser.heard().frames < 25 {
        assert!(Instant::now() < deadline, "{heard} {:?}", browser.heard());
        let packet = phone.packet();
        phone.rtp.send_to(&packet, to).unwrap();
        heard += phone.hear(10);
        std::thread::park_timeout(Duration::from_millis(18));
    }
    assert_eq!(browser.heard().values, [8]);
}

#[test]
fn browsers_behind_kamailio() {
    if !has_program(KAMAILIO) {
        return;
    }
    let Some(python) = python() else { return };
    let _lock = lock_machine();
    let scene = Scene::new("kamailio-webrtc");
    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    let plain = sdp::audio(phone.address(), "");
    let answered = scene.call("browser", &plain, |offered| {
        assert!(offered.contains(" UDP/TLS/RTP/SAVPF "), "{offered}");
        assert!(!offered.contains("a=crypto"), "{offered}");
        browser.answer(offered)
    });
    assert!(answered.contains(" RTP/AVP "), "{answered}");
    talk(&mut phone, sdp::address(&answered, 0), &mut browser);

    let (mut browser, mut phone) = (WebRtc::start(&python), Phone::new("127.0.0.1"));
    let plain = sdp::audio(phone.address(), "");
    let mut to = None;
    let answered = scene.call("plain", &browser.offer(), |offered| {
        to = Some(sdp::address(offered, 0));
        plain
    });
    browser.accept(&answered);
    talk(&mut phone, to.unwrap(), &mut browser);
    let log = scene.relay.process.log();
    assert_eq!(log.matches("DTLS connected").count(), 2, "{log}");
}

/// DTLS off: nothing of it is offered, and the suites are those that the flags leave.
#[test]
fn keys_in_sdp_behind_kamailio() {
    if !has_program(KAMAILIO) {
        return;
    }
    let _lock = lock_machine();
    let scene = Scene::new("kamailio-sdes");
    for (user, protocol, suite, is_only) in [
        ("secure", "RTP/SAVP", Suite::AeadAes128Gcm, true),
        ("feedback", "RTP/SAVPF", Suite::Aes256CmHmacSha1_80, false),
    ] {
        let mut phone = Phone::new("127.0.0.1");
        let mut secure = SecurePhone::new(suite, 1);
        let plain = sdp::audio(phone.address(), "");
        let mut to = None;
        let answered = scene.call(user, &plain, |offered| {
            assert!(offered.contains(&format!(" {protocol} ")), "{offered}");
            for word in ["a=fingerprint", "a=setup", "a=tls-id"] {
                assert!(!offered.contains(word), "{offered}");
            }
            let lines = crypto_lines(offered);
            let suites: Vec<_> = lines.iter().map(|line| line.suite.known_name()).collect();
            assert_eq!(suites.len() == 1, is_only, "{suites:?}");
            assert!(!suites.contains(&Some("AEAD_AES_256_GCM")), "{suites:?}");
            secure.accept(offered);
            to = Some(sdp::address(offered, 0));
            secure.sdp("").replace("RTP/SAVP", protocol)
        });
        assert!(answered.contains(" RTP/AVP "), "{answered}");
        phone.speak(sdp::address(&answered, 0), 10);
        assert_eq!(secure.hear(10), 10);
        secure.speak(to.unwrap(), 10);
        assert_eq!(phone.hear(10), 10);
    }
}
