//! DTLS-SRTP without ICE, where the other side is OpenSSL with libsrtp: certificates and fingerprints
//! of all kinds, ciphers one by one, flights in pieces, lost, doubled and turned round, and clients
//! that are too old.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use windlass_dtls::is_dtls;
use windlass_ng::{Dict, Value};

use crate::common::aiortc::python;
use crate::common::phone::{Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::sdp;
use crate::common::secure_party::{Agreed, Manner, SecureParty};
use crate::common::secure_phone::{SPEECH, receive};

fn list(words: &[&str]) -> Value {
    words.iter().copied().collect()
}

fn sdp_of(relay: &Relay, request: Dict) -> String {
    let reply = relay.ask(request).unwrap();
    reply.get_str("sdp").unwrap().to_owned()
}

/// What happens to datagrams on their way, either way.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Good,
    /// Of each flight the last datagram comes first.
    TurnedRound,
    /// Every third one is lost.
    Lossy,
    /// Each comes twice.
    Doubled,
}

impl Way {
    /// What arrives of a flight; `passed` is how many datagrams came this way before.
    fn pass(self, flight: Vec<Vec<u8>>, passed: &mut usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for datagram in flight {
            *passed += 1;
            match self {
                Self::Lossy if *passed % 3 == 2 => {}
                Self::Doubled => out.extend([datagram.clone(), datagram]),
                _ => out.push(datagram),
            }
        }
        if self == Self::TurnedRound {
            out.reverse();
        }
        out
    }
}

/// A phone that speaks DTLS-SRTP by OpenSSL, with rtcp-mux, in a call with a plain one.
struct Scene {
    phone: Phone,
    party: SecureParty,
    fingerprint: String,
    is_client: bool,
    plain: Phone,
    /// Where each of them sends.
    to: [SocketAddr; 2],
    /// Fingerprint of the relay's certificate by its SDP.
    theirs: String,
}

impl Scene {
    /// The OpenSSL phone calls.
    fn new(relay: &Relay, python: &Path, id: &str, manner: &Manner<'_>) -> Self {
        let (phone, plain) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
        let mut party = SecureParty::start(python);
        let fingerprint = party.speaks_dtls(manner);
        let soon = Some(Duration::from_millis(2));
        phone.rtp.set_read_timeout(soon).unwrap();
        let mut scene = Self {
            to: [phone.address(); 2],
            phone,
            party,
            fingerprint,
            is_client: manner.is_client,
            plain,
            theirs: String::new(),
        };
        scene.calls(relay, id);
        scene
    }

    /// An offer of the phone as it is now, and its answer.
    fn calls(&mut self, relay: &Relay, id: &str) {
        let setup = if self.is_client { "active" } else { "passive" };
        let fingerprint = &self.fingerprint;
        let more = format!("a=rtcp-mux\r\na=setup:{setup}\r\na=fingerprint:{fingerprint}\r\n");
        let offered = sdp::audio(self.phone.address(), &more);
        let request = offer(id, &offered.replace("RTP/AVP", "UDP/TLS/RTP/SAVP"))
            .with("transport-protocol", "RTP/AVP")
            .with("rtcp-mux", list(&["demux"]));
        let shown = sdp_of(relay, request);
        let answered = sdp_of(relay, answer(id, &sdp::audio(self.plain.address(), "")));
        let theirs = answered
            .lines()
            .find_map(|line| line.strip_prefix("a=fingerprint:"));
        self.theirs = theirs.unwrap().to_owned();
        self.to = [sdp::address(&answered, 0), sdp::address(&shown, 0)];
    }

    /// One turn of the handshake; `passed` counts each way.
    fn turn(&mut self, way: Way, passed: &mut [usize; 2]) -> (Option<Agreed>, Option<String>) {
        let mut flight = Vec::new();
        while let Some(datagram) = receive(&self.phone.rtp) {
            if is_dtls(&datagram) {
                flight.push(datagram);
            }
        }
        let flight = way.pass(flight, &mut passed[0]);
        let progress = self.party.turn(&flight);
        for datagram in way.pass(progress.send, &mut passed[1]) {
            self.phone.rtp.send_to(&datagram, self.to[0]).unwrap();
        }
        (progress.connected, progress.error)
    }

    fn connect(&mut self, way: Way) -> Agreed {
        let deadline = Instant::now() + Duration::from_secs(12);
        let mut passed = [0; 2];
        loop {
            let (agreed, error) = self.turn(way, &mut passed);
            if let Some(agreed) = agreed {
                let is_theirs = agreed.peer.contains(&self.theirs);
                assert!(is_theirs, "{agreed:?} {}", self.theirs);
                return agreed;
            }
            let name = &self.fingerprint;
            assert_eq!(error, None, "{name}");
            assert!(Instant::now() < deadline, "{name} {passed:?}");
        }
    }

    /// RTP and RTCP both ways. Until the relay has the last flight, packets may be too early.
    fn talk(&mut self, way: Way) {
        let deadline = Instant::now() + Duration::from_secs(8);
        let mut passed = [0; 2];
        let soon = Some(Duration::from_millis(2));
        for socket in [&self.plain.rtp, &self.plain.rtcp] {
            socket.set_read_timeout(soon).unwrap();
        }
        let reports = [self.phone.report(), self.plain.report()];
        // Packets and reports that the plain phone has heard, and the other one.
        let mut heard = [[0; 2]; 2];
        while heard.as_flattened().iter().any(|heard| *heard < 10) {
            assert!(Instant::now() < deadline, "{heard:?}");
            for packet in [self.phone.packet(), reports[0].clone()] {
                let sealed = self.party.seal(&packet);
                self.phone.rtp.send_to(&sealed, self.to[0]).unwrap();
            }
            let packet = self.plain.packet();
            self.plain.rtp.send_to(&packet, self.to[1]).unwrap();
            let rtcp = SocketAddr::new(self.to[1].ip(), self.to[1].port() + 1);
            self.plain.rtcp.send_to(&reports[1], rtcp).unwrap();
            while let Some(packet) = receive(&self.plain.rtp) {
                assert_eq!(packet[12..], SPEECH);
                heard[0][0] += 1;
            }
            while let Some(report) = receive(&self.plain.rtcp) {
                assert_eq!(report, reports[0]);
                heard[0][1] += 1;
            }
            let mut flight = Vec::new();
            while let Some(packet) = receive(&self.phone.rtp) {
                if is_dtls(&packet) {
                    flight.push(packet);
                    continue;
                }
                let opened = self.party.open(&packet).expect("an authentic packet");
                match opened[1] == 201 {
                    true => assert_eq!(opened, reports[1]),
                    false => assert_eq!(opened[12..], SPEECH),
                }
                heard[1][usize::from(opened[1] == 201)] += 1;
            }
            let flight = way.pass(flight, &mut passed[0]);
            let progress = self.party.turn(&flight);
            for datagram in way.pass(progress.send, &mut passed[1]) {
                self.phone.rtp.send_to(&datagram, self.to[0]).unwrap();
            }
        }
    }
}

#[test]
fn certificates_and_fingerprints_of_every_kind() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let kinds = [
        ("RSA", "sha-1"),
        ("P-384", "sha-512"),
        ("P-256", "sha-224"),
        ("RSA", "sha-384"),
        ("P-256", "sha-256"),
    ];
    for (number, (key, hash)) in kinds.into_iter().enumerate() {
        for is_client in [true, false] {
            let manner = Manner {
                is_client,
                key,
                hash,
                ..Manner::default()
            };
            let id = format!("kind-{number}-{is_client}");
            let mut scene = Scene::new(&relay, &python, &id, &manner);
            scene.connect(Way::Good);
            scene.talk(Way::Good);
        }
    }
}

/// The strongest profile that both know; and each of them, with one that knows no other.
#[test]
fn every_profile_and_cipher_there_is() {
    let Some(python) = python() else { return };
    let all = [
        "AES_CM_128_HMAC_SHA1_32",
        "AES_CM_128_HMAC_SHA1_80",
        "AEAD_AES_128_GCM",
        "AEAD_AES_256_GCM",
    ];
    for kind in ["prime256v1", "RSA"] {
        let relay = Relay::start(&format!("[dtls]\ncert_cipher = \"{kind}\"\n"));
        let of_kind = if kind == "RSA" { "RSA" } else { "ECDSA" };
        let ciphers = ["AES128-GCM-SHA256", "CHACHA20-POLY1305"];
        for (number, cipher) in ciphers.into_iter().enumerate() {
            let cipher = format!("ECDHE-{of_kind}-{cipher}");
            for is_client in [true, false] {
                let profiles = &all[2 * number + usize::from(is_client)..][..1];
                let manner = Manner {
                    is_client,
                    // A server of OpenSSL signs with the key that the cipher names.
                    key: if of_kind == "RSA" { "RSA" } else { "P-256" },
                    ciphers: &cipher,
                    profiles,
                    ..Manner::default()
                };
                let id = format!("{cipher}-{is_client}");
                let mut scene = Scene::new(&relay, &python, &id, &manner);
                let agreed = scene.connect(Way::Good);
                assert_eq!(
                    (agreed.cipher.as_str(), agreed.profile.as_str()),
                    (cipher.as_str(), profiles[0])
                );
                scene.talk(Way::Good);
            }
        }
        let manner = Manner {
            profiles: &all,
            ..Manner::default()
        };
        let mut scene = Scene::new(&relay, &python, "all", &manner);
        assert_eq!(scene.connect(Way::Good).profile, "AEAD_AES_256_GCM");
    }
}

#[test]
fn flights_in_pieces_on_bad_ways() {
    let Some(python) = python() else { return };
    let relay = Relay::start("[dtls]\nmtu = 576\n");
    std::thread::scope(|scope| {
        for way in [Way::TurnedRound, Way::Lossy, Way::Doubled] {
            for is_client in [true, false] {
                let (relay, python) = (&relay, &python);
                scope.spawn(move || {
                    let manner = Manner {
                        is_client,
                        key: "RSA",
                        mtu: 256,
                        ..Manner::default()
                    };
                    let id = format!("way-{}-{is_client}", way as u8);
                    let mut scene = Scene::new(relay, python, &id, &manner);
                    scene.connect(way);
                    scene.talk(way);
                });
            }
        }
    });
    let log = relay.process.log();
    assert!(!log.contains("DTLS failed"), "{log}");
}

/// DTLS 1.0, and 1.2 with ciphers of its time: an alert at once, a line in the log that says why, and
/// no media, whoever opens the association. Who comes back with something better is served.
#[test]
fn what_is_too_old_is_refused_at_once() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let old = [
        ("1.0", "ALL:@SECLEVEL=0", "does not offer DTLS 1.2"),
        (
            "1.2",
            "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0",
            "no common cipher",
        ),
    ];
    for (number, (version, ciphers, reason)) in old.into_iter().enumerate() {
        let manner = Manner {
            version,
            ciphers,
            ..Manner::default()
        };
        let mut scene = Scene::new(&relay, &python, &format!("old-{number}"), &manner);
        let began = Instant::now();
        let error = loop {
            let (agreed, error) = scene.turn(Way::Good, &mut [0; 2]);
            assert!(agreed.is_none(), "{agreed:?}");
            if let Some(error) = error {
                break error;
            }
            assert!(began.elapsed() < Duration::from_secs(3), "no alert");
        };
        assert!(error.contains("alert"), "{error}");
        let log = relay.process.log();
        let line = log.lines().find(|line| line.contains(reason));
        assert!(
            line.is_some_and(|line| line.contains(&format!("old-{number}"))),
            "{log}"
        );
        scene.phone.speak(scene.to[0], 5);
        scene.plain.speak(scene.to[1], 5);
        assert_eq!((scene.plain.hear(1), scene.phone.hear(1)), (0, 0));
        // It has another certificate now, and its SDP would say so: the same call, offered again.
        let good = Manner::default();
        scene.fingerprint = scene.party.speaks_dtls(&good);
        scene.calls(&relay, &format!("old-{number}"));
        scene.connect(Way::Good);
        scene.talk(Way::Good);
    }
}

/// The relay opens the association, and the server is too old.
#[test]
fn an_old_server_is_named_in_the_log() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    let manner = Manner {
        is_client: false,
        version: "1.0",
        ciphers: "ALL:@SECLEVEL=0",
        ..Manner::default()
    };
    let mut scene = Scene::new(&relay, &python, "old-server", &manner);
    let deadline = Instant::now() + Duration::from_secs(5);
    while !relay.process.log().contains("peer gave up with alert") {
        let (agreed, _) = scene.turn(Way::Good, &mut [0; 2]);
        assert!(agreed.is_none(), "{agreed:?}");
        assert!(Instant::now() < deadline, "{}", relay.process.log());
    }
}
