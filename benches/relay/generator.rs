//! Callers and callees: each side on an address of its own, a few sockets each.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use windlass_ng::client::Client;
use windlass_ng::{Dict, Value};
use windlass_srtp::{MAX_OVERHEAD, Open, Seal};

use crate::mode::{Mode, Own};
use crate::process::Place;

/// Sockets per side. The relay tells calls apart by its own ports.
const SOCKETS: usize = 8;

/// 20 ms of G.711.
const PACKET: usize = 172;

const INTERVAL: Duration = Duration::from_millis(20);

/// One direction of a call.
struct Stream {
    socket: usize,
    to: SocketAddr,
    ssrc: u32,
    sequence: u16,
    phase_us: u64,
    seal: Option<Seal>,
}

/// What arrived.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) packets: u64,
    latency_ns: Histogram<u32>,
}

impl Heard {
    pub(crate) fn latency_us(&self, quantile: f64) -> f64 {
        self.latency_ns.value_at_quantile(quantile) as f64 / 1000.0
    }
}

pub(crate) struct Load {
    mode: Mode,
    relay: [u8; 4],
    sockets: Vec<UdpSocket>,
    streams: Vec<Stream>,
    /// What opens SRTP, by the port of the relay that it comes from.
    open: HashMap<u16, Open>,
    started: Instant,
    next_socket: usize,
    random: u64,
}

impl Load {
    pub(crate) fn new(mode: Mode, place: &Place) -> Self {
        let open = |host: [u8; 4]| {
            let socket = UdpSocket::bind(SocketAddr::from((host, 0))).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(8 << 20);
            socket
        };
        let callers = (0..SOCKETS).map(|_| open(place.parties[0]));
        let callees = (0..SOCKETS).map(|_| open(place.parties[1]));
        Self {
            mode,
            relay: place.relay,
            sockets: callers.chain(callees).collect(),
            streams: Vec::new(),
            open: HashMap::new(),
            started: Instant::now(),
            next_socket: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    pub(crate) fn set_up(&mut self, client: &Client, call: &str) {
        let socket = self.next_socket % SOCKETS;
        self.next_socket += 1;
        let sides = [socket, SOCKETS + socket];
        let suites = self.mode.suites();
        let mut own = suites.map(|suite| Some(Own::new(suite?, self.random())));
        let sdp = |side: usize, own: &Option<Own>| {
            let local = self.sockets[side].local_addr().unwrap();
            format!(
                "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
                 m=audio {port} {transport} 8 0 101\r\na=rtpmap:8 PCMA/8000\r\n\
                 a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
                 a=fmtp:101 0-15\r\na=sendrecv\r\na=ptime:20\r\n{crypto}",
                ip = local.ip(),
                port = local.port(),
                transport = transport(own.is_some()),
                crypto = own.as_ref().map(Own::attribute).unwrap_or_default()
            )
        };
        let ask = |command: &'static str, sdp: String| {
            let mut request = Dict::new()
                .with("sdp", sdp)
                .with("call-id", call)
                .with("from-tag", "caller")
                .with("replace", Value::List(vec![Value::from("origin")]));
            if command == "answer" {
                request.push("to-tag", "callee");
            } else if suites[0].is_some() {
                request.push("transport-protocol", transport(suites[1].is_some()));
                request.push("DTLS", "off");
            }
            request.push("command", command);
            let reply = client.request(&request).unwrap();
            let sdp = reply.get_str("sdp").unwrap().to_owned();
            let line = sdp
                .lines()
                .find_map(|line| line.strip_prefix("m=audio "))
                .unwrap();
            let port: u16 = line.split(' ').next().unwrap().parse().unwrap();
            (SocketAddr::from((self.relay, port)), sdp)
        };
        let (shown_to_callee, offered) = ask("offer", sdp(sides[0], &own[0]));
        let mut open = Vec::new();
        if let Some(own) = &mut own[1] {
            open.push((shown_to_callee.port(), own.open(&offered)));
        }
        let (shown_to_caller, answered) = ask("answer", sdp(sides[1], &own[1]));
        if let Some(own) = &mut own[0] {
            open.push((shown_to_caller.port(), own.open(&answered)));
        }
        self.open.extend(open);
        for ((socket, to), own) in [(sides[0], shown_to_caller), (sides[1], shown_to_callee)]
            .into_iter()
            .zip(&own)
        {
            let random = self.random();
            self.streams.push(Stream {
                socket,
                to,
                ssrc: (random >> 32) as u32,
                sequence: random as u16,
                phase_us: random % INTERVAL.as_micros() as u64,
                seal: own.as_ref().map(Own::seal),
            });
        }
        self.streams.sort_by_key(|stream| stream.phase_us);
    }

    pub(crate) fn delete(&self, client: &Client, call: &str) {
        let request = Dict::new()
            .with("call-id", call)
            .with("from-tag", "caller")
            .with("delete-delay", Value::Int(0))
            .with("command", "delete");
        client.request(&request).unwrap();
    }

    pub(crate) fn forget_calls(&mut self) {
        self.streams.clear();
        self.open.clear();
    }

    /// Talks for this long, then listens to what is under way. Gives back what was sent and heard.
    pub(crate) fn run(&mut self, length: Duration) -> (u64, Heard) {
        let mut heard = Heard {
            packets: 0,
            latency_ns: Histogram::new_with_bounds(1, 10_000_000_000, 3).unwrap(),
        };
        let mut sent = 0;
        let start = Instant::now();
        let rounds = length.as_micros() as u64 / INTERVAL.as_micros() as u64;
        for round in 0..rounds {
            let base = round * INTERVAL.as_micros() as u64;
            let mut next = 0;
            while next < self.streams.len() {
                let elapsed = start.elapsed().as_micros() as u64;
                let mut due = 0;
                while let Some(stream) = self.streams.get_mut(next)
                    && base + stream.phase_us <= elapsed
                    && due < 64
                {
                    let mut buffer = [0; PACKET + MAX_OVERHEAD];
                    let packet = packet(stream, self.started, &mut buffer);
                    let socket = &self.sockets[stream.socket];
                    if socket.send_to(packet, stream.to).is_ok() {
                        sent += 1;
                    }
                    next += 1;
                    due += 1;
                }
                self.listen(&mut heard);
            }
        }
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            self.listen(&mut heard);
        }
        (sent, heard)
    }

    fn listen(&mut self, heard: &mut Heard) {
        let mut buffer = [0u8; 2048];
        for socket in &self.sockets {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let now = self.started.elapsed().as_nanos() as u64;
                let length = match self.open.get_mut(&from.port()) {
                    // Shorter ones are reports.
                    Some(open) if length > PACKET => open.rtp(&mut buffer[..length]).unwrap_or(0),
                    Some(_) => 0,
                    None => length,
                };
                if length != PACKET {
                    continue;
                }
                let mut stamp = [0u8; 8];
                stamp.copy_from_slice(&buffer[PACKET - 8..PACKET]);
                let _ = heard
                    .latency_ns
                    .record(now.saturating_sub(u64::from_be_bytes(stamp)).max(1));
                heard.packets += 1;
            }
        }
    }
}

fn transport(is_secure: bool) -> &'static str {
    if is_secure { "RTP/SAVP" } else { "RTP/AVP" }
}

/// The next packet of a stream, as it goes out.
fn packet<'a>(
    stream: &mut Stream,
    started: Instant,
    buffer: &'a mut [u8; PACKET + MAX_OVERHEAD],
) -> &'a [u8] {
    let packet = &mut buffer[..PACKET];
    packet.fill(0xd5);
    stream.sequence = stream.sequence.wrapping_add(1);
    packet[0] = 0x80;
    packet[1] = 8;
    packet[2..4].copy_from_slice(&stream.sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&(u32::from(stream.sequence) * 160).to_be_bytes());
    packet[8..12].copy_from_slice(&stream.ssrc.to_be_bytes());
    let stamp = started.elapsed().as_nanos() as u64;
    packet[PACKET - 8..].copy_from_slice(&stamp.to_be_bytes());
    let length = match &mut stream.seal {
        Some(seal) => seal.rtp(buffer, PACKET).unwrap(),
        None => PACKET,
    };
    &buffer[..length]
}
