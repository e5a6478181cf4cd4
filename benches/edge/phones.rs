//! Callers and callees on one thread: every message is theirs, so that what a proxy is given is the
//! same for each of them, and costs little.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// A request is sent again after this time (RFC 3261 T1), twice that, and so on.
const RETRANSMIT: Duration = Duration::from_millis(500);

/// A call that is not over by then has failed (64 times T1).
const GIVE_UP: Duration = Duration::from_secs(32);

/// What a run is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) calls: usize,
    /// Calls begun per second.
    pub(crate) rate: usize,
    /// Between ACK and BYE.
    pub(crate) hold: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) completed: usize,
    pub(crate) failed: usize,
    /// Requests and final responses that were sent again.
    pub(crate) retransmissions: usize,
    /// From INVITE to 180, in microseconds; the callee's turn is in it.
    pub(crate) setup_us: Histogram<u64>,
    /// The largest lag of the caller behind its plan: beyond some milliseconds the generator
    /// itself does not keep up.
    pub(crate) lag: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Invited,
    Talking,
    Leaving,
    Over,
}

#[derive(Clone, Debug)]
struct Call {
    state: State,
    began: Instant,
    sent: Instant,
    sends: u32,
    /// Of the 200 to the INVITE: ACK and BYE as they are to be sent.
    ack: String,
    bye: String,
    rang: bool,
}

pub(crate) struct Phones {
    caller: UdpSocket,
    callee: UdpSocket,
    proxy: SocketAddr,
    /// Tells calls of one run from those of another.
    run: usize,
    body: String,
}

impl Phones {
    /// The callee is at `callee_port` of loopback.
    pub(crate) fn new(proxy: SocketAddr, callee: UdpSocket) -> Self {
        let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
        for socket in [&caller, &callee] {
            socket.set_nonblocking(true).unwrap();
            nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::RcvBuf, &(4 << 20))
                .unwrap();
        }
        Self {
            caller,
            callee,
            proxy,
            run: 0,
            body: offer(),
        }
    }

    /// Places the calls, and waits until each of them is over or given up.
    pub(crate) fn run(&mut self, plan: Plan) -> Outcome {
        self.run += 1;
        let mut calls: Vec<Call> = Vec::with_capacity(plan.calls);
        let mut outcome = Outcome {
            completed: 0,
            failed: 0,
            retransmissions: 0,
            setup_us: Histogram::new_with_bounds(1, 60_000_000, 3).unwrap(),
            lag: Duration::ZERO,
        };
        let mut byes: VecDeque<(Instant, usize)> = VecDeque::new();
        let start = Instant::now();
        let gap = Duration::from_secs(1) / plan.rate as u32;
        let mut checked = start;
        while outcome.completed + outcome.failed < plan.calls {
            let now = Instant::now();
            let due = start + gap * calls.len() as u32;
            if calls.len() < plan.calls && now >= due {
                outcome.lag = outcome.lag.max(now - due);
                self.invite(calls.len());
                calls.push(Call {
                    state: State::Invited,
                    began: now,
                    sent: now,
                    sends: 1,
                    ack: String::new(),
                    bye: String::new(),
                    rang: false,
                });
            }
            if let Some(&(at, number)) = byes.front()
                && now >= at
            {
                byes.pop_front();
                let call = &mut calls[number];
                call.state = State::Leaving;
                (call.sent, call.sends) = (now, 1);
                self.send(&call.bye);
            }
            self.answer();
            self.hear(&mut calls, &mut byes, plan.hold, &mut outcome);
            if now - checked >= Duration::from_millis(50) {
                checked = now;
                self.repeat(&mut calls, now, &mut outcome);
            }
        }
        outcome
    }

    fn send(&self, message: &str) {
        let _ = self.caller.send_to(message.as_bytes(), self.proxy);
    }

    fn invite(&self, number: usize) {
        let head = self.head("INVITE", "sip:service@127.0.0.1", number, 1, "");
        let body = &self.body;
        self.send(&format!(
            "{head}Contact: <sip:caller@{}>\r\nUser-Agent: bench\r\nAllow: INVITE, ACK, BYE, CANCEL, \
             OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY\r\nSupported: 100rel, replaces, norefersub\r\n\
             Session-Expires: 1800\r\nMin-SE: 90\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.caller.local_addr().unwrap(),
            body.len()
        ));
    }

    /// Start line and the headers that every request has. `to_tag` with its `;tag=`.
    fn head(&self, method: &str, uri: &str, number: usize, cseq: u32, to_tag: &str) -> String {
        let run = self.run;
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK-{run}-{number}-{cseq}-{method}\r\n\
             From: \"Caller\" <sip:caller@127.0.0.1>;tag=c{run}-{number}\r\n\
             To: <sip:service@127.0.0.1>{to_tag}\r\nCall-ID: {run}-{number}@bench.example\r\n\
             CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n",
            self.caller.local_addr().unwrap()
        )
    }

    /// What came to the callees.
    fn answer(&self) {
        let mut buffer = [0; 8192];
        while let Ok((length, from)) = self.callee.recv_from(&mut buffer) {
            let Ok(message) = std::str::from_utf8(&buffer[..length]) else {
                continue;
            };
            let method = message.split(' ').next().unwrap_or_default();
            let copied = copied(message);
            let contact = format!(
                "Contact: <sip:service@{}>\r\n",
                self.callee.local_addr().unwrap()
            );
            let reply = |line: &str, tail: &str| {
                let text = format!("SIP/2.0 {line}\r\n{copied}{tail}");
                let _ = self.callee.send_to(text.as_bytes(), from);
            };
            match method {
                "INVITE" => {
                    reply(
                        "180 Ringing",
                        &format!("{contact}Content-Length: 0\r\n\r\n"),
                    );
                    let body = &self.body;
                    let tail = format!(
                        "{contact}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    reply("200 OK", &tail);
                }
                "BYE" | "OPTIONS" => reply("200 OK", "Content-Length: 0\r\n\r\n"),
                _ => {}
            }
        }
    }

    /// What came to the callers.
    fn hear(
        &self,
        calls: &mut [Call],
        byes: &mut VecDeque<(Instant, usize)>,
        hold: Duration,
        outcome: &mut Outcome,
    ) {
        let mut buffer = [0; 8192];
        while let Ok(length) = self.caller.recv(&mut buffer) {
            let now = Instant::now();
            let Ok(message) = std::str::from_utf8(&buffer[..length]) else {
                continue;
            };
            let code: u16 = message
                .get(8..11)
                .and_then(|it| it.parse().ok())
                .unwrap_or(0);
            let Some(number) = self.number(message) else {
                continue;
            };
            let is_bye = header(message, "CSeq").is_some_and(|value| value.ends_with("BYE"));
            let call = &mut calls[number];
            match (code, &call.state) {
                (180, State::Invited) if !call.rang => {
                    call.rang = true;
                    outcome
                        .setup_us
                        .saturating_record((now - call.began).as_micros() as u64);
                }
                (200, State::Invited) if !is_bye => {
                    (call.ack, call.bye) = self.in_dialog(message, number);
                    self.send(&call.ack);
                    call.state = State::Talking;
                    byes.push_back((now + hold, number));
                }
                (200, State::Talking | State::Leaving) if !is_bye => self.send(&call.ack),
                (200, State::Leaving) => {
                    call.state = State::Over;
                    outcome.completed += 1;
                }
                (300.., State::Over) | (..=199, _) => {}
                (300.., _) => {
                    call.state = State::Over;
                    outcome.failed += 1;
                }
                _ => {}
            }
        }
    }

    /// The call of a message of this run.
    fn number(&self, message: &str) -> Option<usize> {
        let id = header(message, "Call-ID")?;
        let (run, number) = id.strip_suffix("@bench.example")?.split_once('-')?;
        (run == self.run.to_string()).then(|| number.parse().ok())?
    }

    /// ACK and BYE by the route that the 200 has told (RFC 3261 §12.1.2).
    fn in_dialog(&self, ok: &str, number: usize) -> (String, String) {
        let contact = header(ok, "Contact").unwrap_or_default();
        let uri = contact
            .split_once('<')
            .and_then(|(_, uri)| uri.split_once('>'));
        let uri = uri.map_or(contact, |(uri, _)| uri);
        let to_tag = header(ok, "To").and_then(|to| to.split_once(";tag="));
        let to_tag = to_tag.map_or(String::new(), |(_, tag)| format!(";tag={tag}"));
        let mut routes: Vec<&str> = ok
            .split("\r\n")
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.strip_prefix("Record-Route: "))
            .flat_map(|value| value.split(", "))
            .collect();
        routes.reverse();
        let routes: String = routes
            .iter()
            .map(|route| format!("Route: {route}\r\n"))
            .collect();
        let whole = |method, cseq| {
            let head = self.head(method, uri, number, cseq, &to_tag);
            format!("{head}{routes}Content-Length: 0\r\n\r\n")
        };
        (whole("ACK", 1), whole("BYE", 2))
    }

    /// Sends again what had no answer, and gives up what waits too long.
    fn repeat(&self, calls: &mut [Call], now: Instant, outcome: &mut Outcome) {
        for (number, call) in calls.iter_mut().enumerate() {
            if matches!(call.state, State::Over | State::Talking) {
                continue;
            }
            if now - call.began > GIVE_UP {
                call.state = State::Over;
                outcome.failed += 1;
            } else if !call.rang || call.state == State::Leaving {
                let wait = RETRANSMIT * 2_u32.pow(call.sends.min(6) - 1);
                if now - call.sent > wait {
                    call.sends += 1;
                    outcome.retransmissions += 1;
                    match call.state {
                        State::Leaving => self.send(&call.bye),
                        _ => self.invite(number),
                    }
                }
            }
        }
    }
}

/// Headers that a response has from its request.
fn copied(request: &str) -> String {
    let mut copied = String::with_capacity(1024);
    for line in request.split("\r\n").take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => copied.push_str(line),
            "To" if line.contains(";tag=") => copied.push_str(line),
            "To" => {
                copied.push_str(line);
                copied.push_str(";tag=callee");
            }
            _ => continue,
        }
        copied.push_str("\r\n");
    }
    copied
}

fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = message.split("\r\n").take_while(|line| !line.is_empty());
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// An SDP as a desk phone has it.
fn offer() -> String {
    let lines = [
        "v=0",
        "o=caller 53655765 2353687637 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        "m=audio 60000 RTP/AVP 9 8 0 18 101",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:18 G729/8000",
        "a=fmtp:18 annexb=no",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=sendrecv",
    ];
    lines.iter().flat_map(|line| [line, "\r\n"]).collect()
}
