//! Requests, many in flight: each lane sends its next one when its last was answered.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use windlass_ng::{Dict, Value};

/// What a lane does with each of its calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Offer, answer, delete.
    Whole,
    /// Offer and answer; every hundredth request lists all calls.
    SetUpAndList,
    /// Delete.
    Delete,
}

/// What the caller's media is protected by; the callee's is plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    /// Keys by SDP (RFC 4568).
    Sdes,
    /// Keys by DTLS (RFC 5763). No caller answers, so the relay's ClientHello and its repetitions
    /// are a part of the figure.
    Dtls,
}

impl Mode {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "plain" => Self::Plain,
            "sdes" => Self::Sdes,
            "dtls" => Self::Dtls,
            _ => return None,
        })
    }

    /// Transport and attributes of the caller.
    fn media(self) -> (&'static str, &'static str) {
        match self {
            Self::Plain => ("RTP/AVP", ""),
            Self::Sdes => (
                "RTP/SAVP",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 \
                 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n",
            ),
            Self::Dtls => (
                "UDP/TLS/RTP/SAVPF",
                "a=setup:actpass\r\na=fingerprint:sha-256 \
                 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:\
                 19:E5:7C:AB:3E:4B:65:2E:7D:46:3F:54:42:CD:54:F1\r\na=rtcp-mux\r\n",
            ),
        }
    }
}

pub(crate) struct Lanes {
    mode: Mode,
    socket: UdpSocket,
    times: Histogram<u64>,
    in_flight: usize,
    run: usize,
}

struct Lane {
    call: Option<usize>,
    step: usize,
    sent: Instant,
    message: Vec<u8>,
}

impl Lanes {
    pub(crate) fn new(relay: SocketAddr, in_flight: usize, mode: Mode) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(relay).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        Self {
            mode,
            socket,
            times: histogram(),
            in_flight,
            run: 0,
        }
    }

    /// The reply times so far, which are forgotten.
    pub(crate) fn forget(&mut self) -> Histogram<u64> {
        std::mem::replace(&mut self.times, histogram())
    }

    pub(crate) fn run(&mut self, work: Work, name: &str, calls: usize) {
        self.run += 1;
        let mut lanes: Vec<Lane> = (0..self.in_flight)
            .map(|_| Lane {
                call: None,
                step: 0,
                sent: Instant::now(),
                message: Vec::new(),
            })
            .collect();
        let mut next = 0;
        let mut busy = 0;
        for (index, lane) in lanes.iter_mut().enumerate() {
            busy += usize::from(self.advance(lane, index, work, name, &mut next, calls));
        }
        let mut buffer = vec![0; 65_536];
        while busy > 0 {
            let Ok(length) = self.socket.recv(&mut buffer) else {
                // Lost on the way: everything that waits is sent again.
                for lane in lanes.iter().filter(|lane| lane.call.is_some()) {
                    self.socket.send(&lane.message).unwrap();
                }
                continue;
            };
            let reply = &buffer[..length];
            let cookie = reply.split(|byte| *byte == b' ').next().unwrap();
            let Some(index) = lanes
                .iter()
                .position(|lane| lane.call.is_some() && lane.message.starts_with(cookie))
            else {
                continue;
            };
            assert!(
                !reply.windows(12).any(|window| window == b"error-reason"),
                "{}",
                String::from_utf8_lossy(reply)
            );
            let took = lanes[index].sent.elapsed().as_micros() as u64;
            self.times.saturating_record(took);
            if !self.advance(&mut lanes[index], index, work, name, &mut next, calls) {
                busy -= 1;
            }
        }
    }

    /// Sends the next request of a lane; `false`: there is none left.
    fn advance(
        &self,
        lane: &mut Lane,
        index: usize,
        work: Work,
        name: &str,
        next: &mut usize,
        calls: usize,
    ) -> bool {
        let steps = match work {
            Work::Whole => 3,
            Work::SetUpAndList => 2,
            Work::Delete => 1,
        };
        match lane.call {
            Some(_) if lane.step + 1 < steps => lane.step += 1,
            _ if *next >= calls => {
                lane.call = None;
                return false;
            }
            _ => {
                lane.call = Some(*next);
                lane.step = 0;
                *next += 1;
            }
        }
        let call = lane.call.unwrap();
        let id = format!("{name}-{call}");
        let request = match (work, lane.step) {
            (Work::Delete, _) | (Work::Whole, 2) => Dict::new()
                .with("call-id", id)
                .with("from-tag", "caller")
                .with("delete-delay", 0)
                .with("command", "delete"),
            (Work::SetUpAndList, 1) if call % 100 == 99 => {
                Dict::new().with("limit", 100_000).with("command", "list")
            }
            (_, step) => signal(step == 1, id, call, self.mode),
        };
        lane.message = format!("{}_{index}_{call}_{} ", self.run, lane.step).into_bytes();
        request.write_bencode(&mut lane.message);
        lane.sent = Instant::now();
        self.socket.send(&lane.message).unwrap();
        true
    }
}

fn signal(is_answer: bool, id: String, call: usize, mode: Mode) -> Dict {
    let port = 10_000 + call % 20_000 * 2;
    let (transport, secure) = match is_answer {
        true => Mode::Plain.media(),
        false => mode.media(),
    };
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} {transport} 8 0 101\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\na=sendrecv\r\na=ptime:20\r\n{secure}"
    );
    let mut request = Dict::new()
        .with("sdp", sdp)
        .with("call-id", id)
        .with("from-tag", "caller")
        .with("replace", Value::List(vec![Value::from("origin")]));
    if is_answer {
        request.push("to-tag", "callee");
    } else if mode != Mode::Plain {
        request.push("transport-protocol", "RTP/AVP");
    }
    request.push("command", if is_answer { "answer" } else { "offer" });
    request
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap()
}
