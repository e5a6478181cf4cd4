//! SRTP and SRTCP with keys by SDES, where the other side is libsrtp (pylibsrtp), in every suite that
//! it knows: to plain RTP, and between two of its suites.

use std::net::SocketAddr;

use windlass_ng::Dict;
use windlass_sdp::CryptoLine;
use windlass_srtp::Suite;

use crate::common::aiortc::python;
use crate::common::phone::{Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::sdp;
use crate::common::secure_party::SecureParty;
use crate::common::secure_phone::{SPEECH, crypto_lines, line, receive};

const SUITES: [Suite; 4] = [
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AeadAes128Gcm,
    Suite::AeadAes256Gcm,
];

fn sdp_of(relay: &Relay, request: Dict) -> String {
    let reply = relay.ask(request).unwrap();
    reply.get_str("sdp").unwrap().to_owned()
}

fn next(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port() + 1)
}

/// A phone whose SRTP is libsrtp's.
struct LibPhone {
    plain: Phone,
    party: SecureParty,
    line: CryptoLine,
}

impl LibPhone {
    fn new(python: &std::path::Path, suite: Suite, seed: u8) -> Self {
        Self {
            plain: Phone::new("127.0.0.1"),
            party: SecureParty::start(python),
            line: line(suite, seed),
        }
    }

    fn sdp(&self) -> String {
        let more = format!("a=crypto:{}\r\n", self.line);
        sdp::audio(self.plain.address(), &more).replace("RTP/AVP", "RTP/SAVP")
    }

    /// Takes the line of its suite out of an offer or answer of the relay.
    fn accept(&mut self, sdp: &str) {
        let suite = self.line.suite.known_name();
        let theirs = crypto_lines(sdp);
        let of_suite = |line: &&CryptoLine| line.suite.known_name() == suite;
        let found = theirs.iter().find(of_suite);
        let found = found.unwrap_or_else(|| panic!("no {suite:?} in {sdp}"));
        self.line.tag = found.tag;
        self.party.has_keys(&self.line, found);
    }
}

/// One side of a call: with libsrtp, or plain.
enum Side {
    Secure(Box<LibPhone>),
    Plain(Phone),
}

impl Side {
    fn phone(&mut self) -> &mut Phone {
        match self {
            Self::Secure(it) => &mut it.plain,
            Self::Plain(it) => it,
        }
    }

    fn sealed(&mut self, packet: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Secure(it) => it.party.seal(&packet),
            Self::Plain(_) => packet,
        }
    }

    fn opened(&mut self, packet: Option<Vec<u8>>) -> Vec<u8> {
        let packet = packet.expect("a packet");
        match self {
            Self::Secure(it) => it.party.open(&packet).expect("an authentic packet"),
            Self::Plain(_) => packet,
        }
    }

    /// RTP with numbers that wrap around twice, and RTCP.
    fn speaks_to(&mut self, other: &mut Self, at: SocketAddr) {
        for _ in 0..8 {
            let phone = self.phone();
            phone.sequence = phone.sequence.wrapping_add(20_000);
            if matches!(self, Self::Plain(_)) {
                // A phone without keys is followed far ahead after two packets.
                self.phone().speak(at, 2);
            }
            for _ in 0..3 {
                let packet = self.phone().packet();
                let sealed = self.sealed(packet.clone());
                self.phone().rtp.send_to(&sealed, at).unwrap();
                let mut heard = Vec::new();
                // One of those that were far ahead may have been followed already.
                for _ in 0..3 {
                    let next = receive(&other.phone().rtp);
                    heard = other.opened(next);
                    assert_eq!(heard[12..], SPEECH);
                    if heard[2..12] == packet[2..12] {
                        break;
                    }
                }
                assert_eq!(heard[2..12], packet[2..12]);
            }
        }
        for _ in 0..2 {
            let report = self.phone().report();
            let sealed = self.sealed(report.clone());
            self.phone().rtcp.send_to(&sealed, next(at)).unwrap();
            let heard = receive(&other.phone().rtcp);
            assert_eq!(other.opened(heard), report);
        }
    }
}

#[test]
fn libsrtp_talks_to_plain_rtp() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    for (number, suite) in SUITES.into_iter().enumerate() {
        let mut secure = LibPhone::new(&python, suite, number as u8);
        let mut plain = Side::Plain(Phone::new("127.0.0.1"));
        let address = plain.phone().address();
        let id = format!("calls-{suite}");
        let request = offer(&id, &secure.sdp()).with("transport-protocol", "RTP/AVP");
        let shown = sdp_of(&relay, request);
        let answered = sdp_of(&relay, answer(&id, &sdp::audio(address, "")));
        secure.accept(&answered);
        let mut secure = Side::Secure(Box::new(secure));
        secure.speaks_to(&mut plain, sdp::address(&answered, 0));
        plain.speaks_to(&mut secure, sdp::address(&shown, 0));

        // And is called.
        let mut secure = LibPhone::new(&python, suite, number as u8 + 50);
        let id = format!("is-called-{suite}");
        let request = offer(&id, &sdp::audio(address, "")).with("transport-protocol", "RTP/SAVP");
        let shown = sdp_of(&relay, request);
        secure.accept(&shown);
        let answered = sdp_of(&relay, answer(&id, &secure.sdp()));
        let mut secure = Side::Secure(Box::new(secure));
        plain.speaks_to(&mut secure, sdp::address(&answered, 0));
        secure.speaks_to(&mut plain, sdp::address(&shown, 0));
    }
}

#[test]
fn libsrtp_talks_to_libsrtp_in_another_suite() {
    let Some(python) = python() else { return };
    let relay = Relay::start("");
    for (at, suite) in SUITES.into_iter().enumerate() {
        let other = SUITES[(at + 1) % SUITES.len()];
        let mut caller = LibPhone::new(&python, suite, 1);
        let mut callee = LibPhone::new(&python, other, 101);
        let id = format!("from-{suite}");
        let shown = sdp_of(&relay, offer(&id, &caller.sdp()));
        callee.accept(&shown);
        let answered = sdp_of(&relay, answer(&id, &callee.sdp()));
        caller.accept(&answered);
        let (mut caller, mut callee) = (
            Side::Secure(Box::new(caller)),
            Side::Secure(Box::new(callee)),
        );
        caller.speaks_to(&mut callee, sdp::address(&answered, 0));
        callee.speaks_to(&mut caller, sdp::address(&shown, 0));
    }
}
