//! A phone whose media is SRTP with keys by SDES (RFC 4568).

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use windlass_sdp::{CryptoLine, ParseOptions, SessionDescription};
use windlass_srtp::{Keys, MAX_OVERHEAD, Open, Seal, Suite};

use super::phone::Phone;
use super::sdp;

/// What [`Phone::packet`] says.
pub(crate) const SPEECH: [u8; 160] = [0xd5; 160];

pub(crate) struct SecurePhone {
    pub(crate) plain: Phone,
    suite: Suite,
    line: CryptoLine,
    seal: Seal,
    open: Option<Open>,
}

impl SecurePhone {
    /// `seed` makes its key.
    pub(crate) fn new(suite: Suite, seed: u8) -> Self {
        let line = line(suite, seed);
        Self {
            plain: Phone::new("127.0.0.1"),
            suite,
            seal: Seal::new(keys(&line)).unwrap(),
            line,
            open: None,
        }
    }

    /// Its offer or answer.
    pub(crate) fn sdp(&self, more: &str) -> String {
        let more = format!("a=crypto:{}\r\n{more}", self.line);
        sdp::audio(self.plain.address(), &more).replace("RTP/AVP", "RTP/SAVP")
    }

    /// Takes the relay's line of its own suite out of an offer or answer. Its own line gets that
    /// tag: an answer names the line of the offer (RFC 4568 §5.1.2).
    pub(crate) fn accept(&mut self, sdp: &str) {
        let theirs = crypto_lines(sdp);
        let of_suite = |line: &&CryptoLine| line.suite.known_name() == Some(self.suite.name());
        let found = theirs.iter().find(of_suite);
        let found = found.unwrap_or_else(|| panic!("no {} in {sdp}", self.suite));
        self.line.tag = found.tag;
        let keys = vec![keys(found)];
        match &mut self.open {
            Some(open) => open.rekey(keys).unwrap(),
            None => self.open = Some(Open::new(keys).unwrap()),
        }
    }

    /// From now on it sends under another key, and says so in its next SDP.
    pub(crate) fn change_key(&mut self, seed: u8) {
        let tag = self.line.tag;
        self.line = line(self.suite, seed);
        self.line.tag = tag;
        self.seal.rekey(keys(&self.line)).unwrap();
    }

    /// The next packet of speech, sealed.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        let packet = self.plain.packet();
        self.sealed(&packet)
    }

    pub(crate) fn sealed(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + MAX_OVERHEAD, 0);
        let length = match is_rtcp(packet) {
            true => self.seal.rtcp(&mut buffer, packet.len()),
            false => self.seal.rtp(&mut buffer, packet.len()),
        };
        buffer.truncate(length.unwrap());
        buffer
    }

    pub(crate) fn speak(&mut self, to: SocketAddr, packets: usize) {
        for _ in 0..packets {
            let packet = self.packet();
            self.plain.rtp.send_to(&packet, to).unwrap();
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Opens the next packet that comes; `None` if nothing does.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let packet = receive(&self.plain.rtp)?;
        Some(self.opened(packet))
    }

    /// The same for the RTCP socket.
    pub(crate) fn next_report(&mut self) -> Option<Vec<u8>> {
        let packet = receive(&self.plain.rtcp)?;
        Some(self.opened(packet))
    }

    /// Packets of speech until `expected` are there, or nothing comes for half a second.
    pub(crate) fn hear(&mut self, expected: usize) -> usize {
        for heard in 0..expected {
            let Some(packet) = self.next() else {
                return heard;
            };
            assert_eq!(packet[12..], SPEECH);
        }
        expected
    }

    fn opened(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        let open = self.open.as_mut().expect("an SDP of the relay");
        let opened = match is_rtcp(&packet) {
            true => open.rtcp(&mut packet),
            false => open.rtp(&mut packet),
        };
        packet.truncate(opened.expect("a packet under the key of the relay's SDP"));
        packet
    }
}

/// All of `a=crypto` in an SDP, whose keys the relay has to keep out of its log.
pub(crate) fn crypto_lines(sdp: &str) -> Vec<CryptoLine> {
    let session = SessionDescription::parse(sdp.as_bytes(), ParseOptions::default()).unwrap();
    let lines = session.media.into_iter().flat_map(|media| media.crypto);
    lines.collect()
}

/// The next datagram; `None` if nothing comes.
pub(crate) fn receive(socket: &UdpSocket) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 2048];
    let length = socket.recv(&mut buffer).ok()?;
    buffer.truncate(length);
    Some(buffer)
}

fn is_rtcp(packet: &[u8]) -> bool {
    (192..=223).contains(&packet[1])
}

/// A line whose key and salt are bytes from `seed` on.
pub(crate) fn line(suite: Suite, seed: u8) -> CryptoLine {
    let length = suite.key_len() + suite.salt_len();
    let key: Vec<u8> = (0..length).map(|at| seed.wrapping_add(at as u8)).collect();
    let suite = windlass_sdp::Suite::from_name(suite.name()).unwrap();
    CryptoLine::new(1, suite, &key, false)
}

fn keys(line: &CryptoLine) -> Keys {
    let suite = Suite::from_name(line.suite.known_name().unwrap()).unwrap();
    Keys::from_sdes(suite, &line.key_salt().unwrap()).unwrap()
}
