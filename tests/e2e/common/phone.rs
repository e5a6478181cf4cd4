//! A phone's media side: one RTP socket and one RTCP socket.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use windlass_ng::{Dict, Value};

use super::process::Relay;
use super::sdp;

pub(crate) struct Phone {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    ssrc: u32,
    /// Of its last packet.
    pub(crate) sequence: u16,
}

impl Phone {
    pub(crate) fn new(host: &str) -> Self {
        for _ in 0..100 {
            let rtp = UdpSocket::bind((host, 0)).unwrap();
            let port = rtp.local_addr().unwrap().port();
            let Some(next) = port.checked_add(1) else {
                continue;
            };
            let Ok(rtcp) = UdpSocket::bind((host, next)) else {
                continue;
            };
            for socket in [&rtp, &rtcp] {
                socket
                    .set_read_timeout(Some(Duration::from_millis(500)))
                    .unwrap();
            }
            return Self {
                rtp,
                rtcp,
                ssrc: 0x1000_0000 + u32::from(port),
                sequence: port,
            };
        }
        panic!("no two ports in a row on {host}");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.rtp.local_addr().unwrap()
    }

    /// The next RTP packet of this phone.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, 8];
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&(u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(&[0xd5; 160]);
        packet
    }

    /// The RFC 4733 packets of one digit, with their last one three times.
    pub(crate) fn digit(&mut self, event: u8) -> Vec<Vec<u8>> {
        let timestamp = [0, 0, 0x40, 0];
        let mut packet = |end: u8, duration: u16| {
            let mut packet = self.packet();
            packet.truncate(12);
            packet[1] = 101;
            packet[4..8].copy_from_slice(&timestamp);
            packet.extend_from_slice(&[event, end | 10]);
            packet.extend_from_slice(&duration.to_be_bytes());
            packet
        };
        let mut packets: Vec<Vec<u8>> = (1..=3).map(|n| packet(0, n * 160)).collect();
        packets.extend((0..3).map(|_| packet(0x80, 480)));
        packets
    }

    /// A receiver report of this phone.
    pub(crate) fn report(&self) -> Vec<u8> {
        let mut report = vec![0x80, 201, 0, 1];
        report.extend_from_slice(&self.ssrc.to_be_bytes());
        report
    }

    pub(crate) fn speak(&mut self, to: SocketAddr, packets: usize) {
        for _ in 0..packets {
            let packet = self.packet();
            self.rtp.send_to(&packet, to).unwrap();
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// RTP packets that arrive until `expected` are there, or nothing comes for half a second.
    pub(crate) fn hear(&self, expected: usize) -> usize {
        count(&self.rtp, expected)
    }

    pub(crate) fn hear_reports(&self, expected: usize) -> usize {
        count(&self.rtcp, expected)
    }
}

fn count(socket: &UdpSocket, expected: usize) -> usize {
    let mut buffer = [0u8; 2048];
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut heard = 0;
    while heard < expected && Instant::now() < deadline && socket.recv(&mut buffer).is_ok() {
        heard += 1;
    }
    heard
}

/// Two phones in a call, with what the relay told each of the other.
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) shown_to_callee: SocketAddr,
    pub(crate) shown_to_caller: SocketAddr,
}

impl Call {
    pub(crate) fn set_up(relay: &Relay, id: &str, caller: &Phone, callee: &Phone) -> Self {
        Self::set_up_with(relay, id, caller, callee, Dict::new())
    }

    /// `more` goes into the offer.
    pub(crate) fn set_up_with(
        relay: &Relay,
        id: &str,
        caller: &Phone,
        callee: &Phone,
        more: Dict,
    ) -> Self {
        let mut request = offer(id, &sdp::audio(caller.address(), ""));
        for (key, value) in more.into_entries() {
            request.push(key, value);
        }
        let reply = relay.ask(request).unwrap();
        let shown_to_callee = sdp::address(reply.get_str("sdp").unwrap(), 0);
        let reply = relay
            .ask(answer(id, &sdp::audio(callee.address(), "")))
            .unwrap();
        let shown_to_caller = sdp::address(reply.get_str("sdp").unwrap(), 0);
        Self {
            id: id.to_owned(),
            shown_to_callee,
            shown_to_caller,
        }
    }

    pub(crate) fn delete(&self, relay: &Relay) -> Dict {
        relay
            .ask(
                Dict::new()
                    .with("command", "delete")
                    .with("call-id", self.id.as_str())
                    .with("from-tag", "caller")
                    .with("delete-delay", Value::Int(0)),
            )
            .unwrap()
    }
}

pub(crate) fn offer(id: &str, sdp: &str) -> Dict {
    Dict::new()
        .with("sdp", sdp)
        .with("call-id", id)
        .with("from-tag", "caller")
        .with("command", "offer")
}

pub(crate) fn answer(id: &str, sdp: &str) -> Dict {
    Dict::new()
        .with("sdp", sdp)
        .with("call-id", id)
        .with("from-tag", "caller")
        .with("to-tag", "callee")
        .with("command", "answer")
}
