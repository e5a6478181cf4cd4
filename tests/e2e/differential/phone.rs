//! What the phones of a story say: offers in their own style, answers to what they heard.

use std::fmt::Write as _;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const FINGERPRINT: &str = "sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:\
                           00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";

/// How a phone protects its media.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    Plain,
    Sdes,
    Dtls,
    Both,
    /// RTP/AVP with crypto attributes.
    Opportunistic,
}

/// One m= line of a story.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Audio,
    Video,
    T38,
    Data,
}

/// How the lines of one SDP say that media rests.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hold {
    /// At the level of the session.
    pub(super) session: &'static str,
    pub(super) zero_address: bool,
}

/// One party.
#[derive(Clone)]
pub(super) struct Phone {
    pub(super) tag: &'static str,
    pub(super) host: String,
    pub(super) port: usize,
    pub(super) security: Security,
    pub(super) feedback: bool,
    pub(super) ice: bool,
    pub(super) trickles: bool,
    pub(super) mux: bool,
    pub(super) mids: bool,
    pub(super) rtcp: bool,
    pub(super) many_codecs: bool,
    pub(super) directions: bool,
    pub(super) hold: Hold,
    pub(super) version: usize,
}

impl Phone {
    pub(super) fn new(tag: &'static str, host: &str, port: usize) -> Self {
        Self {
            tag,
            host: host.to_owned(),
            port,
            security: Security::Plain,
            feedback: false,
            ice: false,
            trickles: false,
            mux: false,
            mids: false,
            rtcp: false,
            many_codecs: false,
            directions: false,
            hold: Hold::default(),
            version: 1,
        }
    }

    /// A phone that is called over IPv6 answers so, and stays there.
    pub(super) fn take_family(&mut self, heard: &str) {
        let last = self.host.rsplit(['.', ':']).next().unwrap();
        if heard.contains("\r\nc=IN IP6 ") {
            self.host = format!("2001:db8::{last}");
        } else if heard.contains("\r\nc=IN IP4 ") {
            self.host = format!("198.51.100.{last}");
        }
    }

    fn head(&self) -> String {
        let family = if self.host.contains(':') {
            "IP6"
        } else {
            "IP4"
        };
        let (tag, host, version) = (self.tag, &self.host, self.version + 1);
        let at = match (self.hold.zero_address, family) {
            (true, "IP6") => "::",
            (true, _) => "0.0.0.0",
            _ => host,
        };
        format!(
            "v=0\r\no={tag} 1 {version} IN {family} {host}\r\ns=call of {tag}\r\n\
             c=IN {family} {at}\r\nt=0 0\r\n{}",
            self.hold.session
        )
    }

    /// An offer of these lines; `false` is a line turned down.
    pub(super) fn offer(&self, lines: &[(Kind, bool)], rng: &mut StdRng) -> String {
        let mut text = self.head();
        for (index, &(kind, wanted)) in lines.iter().enumerate() {
            let port = if wanted { self.port + 2 * index } else { 0 };
            let profile = match (self.security, self.feedback) {
                (Security::Plain | Security::Opportunistic, false) => "RTP/AVP",
                (Security::Plain | Security::Opportunistic, true) => "RTP/AVPF",
                (Security::Sdes, false) => "RTP/SAVP",
                (Security::Sdes, true) => "RTP/SAVPF",
                (Security::Dtls | Security::Both, false) => "UDP/TLS/RTP/SAVP",
                (Security::Dtls | Security::Both, true) => "UDP/TLS/RTP/SAVPF",
            };
            let formats = match kind {
                Kind::Audio if self.many_codecs => "8 0 9 18 97 101",
                Kind::Audio => "8 0 101",
                Kind::Video => "96 98",
                Kind::T38 | Kind::Data => "",
            };
            self.line(&mut text, kind, port, profile, formats, rng);
            if matches!(kind, Kind::T38 | Kind::Data) || !wanted {
                continue;
            }
            let _ = match self.mids {
                true => write!(text, "a=mid:m{index}\r\n"),
                false => Ok(()),
            };
            if matches!(
                self.security,
                Security::Sdes | Security::Both | Security::Opportunistic
            ) {
                for (number, suite) in SUITES.iter().enumerate().take(1 + self.version % 3) {
                    text.push_str(&crypto(number + 1, suite, self.tag));
                }
            }
            if matches!(self.security, Security::Dtls | Security::Both) {
                let _ = write!(text, "a=setup:actpass\r\na=fingerprint:{FINGERPRINT}\r\n");
            }
            if self.mux {
                text.push_str("a=rtcp-mux\r\n");
            }
            if self.ice {
                self.candidates(&mut text, port, !self.mux);
            }
        }
        text
    }

    /// An answer to what was heard; lines beyond the first may be turned down.
    pub(super) fn answer(&self, heard: &str, choice: &mut StdRng, rng: &mut StdRng) -> String {
        let mut text = self.head();
        for (index, section) in heard.split("\r\nm=").skip(1).enumerate() {
            let words: Vec<&str> = section.lines().next().unwrap().splitn(4, ' ').collect();
            let kind = match words[0] {
                "audio" => Kind::Audio,
                "video" => Kind::Video,
                "image" => Kind::T38,
                _ => Kind::Data,
            };
            let turned_down = words[1] == "0" || index > 0 && choice.random_range(0..6) == 0;
            let port = if turned_down {
                0
            } else {
                self.port + 2 * index
            };
            let offered: Vec<&str> = words[3].split(' ').collect();
            let mut audio = |format: &&str| choice.random_range(0..3) > 0 || *format == "101";
            let mut formats: Vec<&str> = offered.iter().copied().filter(&mut audio).collect();
            if kind != Kind::Audio || formats.iter().all(|format| *format == "101") {
                formats = offered.clone();
            }
            self.line(&mut text, kind, port, words[2], &formats.join(" "), rng);
            if turned_down || matches!(kind, Kind::T38 | Kind::Data) {
                continue;
            }
            let has = |name: &str| section.contains(&format!("\r\na={name}"));
            if let Some(mid) = section.split("\r\na=mid:").nth(1) {
                let _ = write!(text, "a=mid:{}\r\n", mid.lines().next().unwrap());
            }
            let dtls = has("fingerprint:") && (!has("crypto:") || self.security != Security::Sdes);
            if dtls {
                let _ = write!(text, "a=setup:active\r\na=fingerprint:{FINGERPRINT}\r\n");
            } else if has("crypto:") {
                let suite = SUITES[self.version % 3];
                let mut lines = section.split("\r\na=crypto:").skip(1);
                if let Some(line) = lines.find(|line| line.contains(&format!(" {suite} "))) {
                    let number = line.split(' ').next().unwrap().parse().unwrap();
                    text.push_str(&crypto(number, suite, self.tag));
                } else if let Some(line) = section.split("\r\na=crypto:").nth(1) {
                    let words: Vec<&str> = line.split([' ', '\r']).collect();
                    if SUITES.contains(&words[1]) {
                        text.push_str(&crypto(words[0].parse().unwrap(), words[1], self.tag));
                    }
                }
            }
            let mux = has("rtcp-mux") && (self.mux || dtls);
            if mux {
                text.push_str("a=rtcp-mux\r\n");
            }
            if has("ice-ufrag:") && (self.ice || dtls) {
                self.candidates(&mut text, port, !mux);
            }
        }
        text
    }

    fn line(
        &self,
        text: &mut String,
        kind: Kind,
        port: usize,
        profile: &str,
        formats: &str,
        rng: &mut StdRng,
    ) {
        let directions = ["", "sendrecv", "sendonly", "recvonly", "inactive"];
        let mut direction = directions.choose(rng).unwrap();
        if !self.directions {
            direction = &"";
        }
        let _ = match kind {
            Kind::Audio => write!(text, "m=audio {port} {profile} {formats}\r\n"),
            Kind::Video => write!(text, "m=video {port} {profile} {formats}\r\na=foo:bar\r\n"),
            Kind::T38 => write!(
                text,
                "m=image {port} udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n\
                 a=T38FaxUdpEC:t38UDPRedundancy\r\n"
            ),
            Kind::Data => write!(
                text,
                "m=application {port} UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n"
            ),
        };
        for format in formats.split(' ') {
            text.push_str(match format {
                "18" => "a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n",
                "96" if kind == Kind::Video => {
                    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n\
                     a=rtcp-fb:96 nack pli\r\n"
                }
                "97" => "a=rtpmap:97 opus/48000/2\r\na=fmtp:97 useinbandfec=1\r\n",
                "98" => "a=rtpmap:98 VP8/90000\r\n",
                "101" => "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
                _ => "",
            });
        }
        if !direction.is_empty() {
            let _ = write!(text, "a={direction}\r\n");
        }
        if self.rtcp && port > 0 && matches!(kind, Kind::Audio | Kind::Video) && !self.mux {
            let _ = write!(text, "a=rtcp:{}\r\n", port + 1);
        }
    }

    fn candidates(&self, text: &mut String, port: usize, with_rtcp: bool) {
        let (tag, host) = (self.tag, &self.host);
        let _ = write!(
            text,
            "a=ice-ufrag:ufrag{tag}\r\na=ice-pwd:abcdefghijklmnopqrst{tag}\r\n\
             a=candidate:1 1 UDP 2130706431 {host} {port} typ host\r\n"
        );
        if with_rtcp {
            let _ = write!(
                text,
                "a=candidate:1 2 UDP 2130706430 {host} {} typ host\r\n",
                port + 1
            );
        }
    }
}

const SUITES: [&str; 3] = [
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AEAD_AES_128_GCM",
];

fn crypto(number: usize, suite: &str, tag: &str) -> String {
    let letters = if suite == "AEAD_AES_128_GCM" { 37 } else { 39 };
    let letter = tag.chars().next().unwrap();
    let key: String = std::iter::repeat_n(letter, letters).collect();
    format!("a=crypto:{number} {suite} inline:{key}A\r\n")
}
