//! The phone that answers every call (RFC 3261 §12.1.1, §13.3).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::nat::Line;
use super::now;
use super::phone::{Dialog, T1, USER_AGENT, token};
use super::sip::{Message, audio_address, host_port, rtcp_address, sdp, tag};
use crate::limits::DEMO_CALLS;

/// The phone that answers every call; runs on a thread until dropped.
#[derive(Debug)]
pub(super) struct Callee {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Callee {
    /// Listens on `ip`; `on_call` gets every call that was answered and acknowledged.
    pub(super) fn start(
        ip: IpAddr,
        on_call: impl FnMut(Dialog) + Send + 'static,
    ) -> io::Result<Self> {
        let sip = Line::direct(ip)?;
        let address = sip.believed();
        let stop = Arc::new(AtomicBool::new(false));
        let agent = Agent {
            sip,
            calls: HashMap::new(),
            on_call,
        };
        let seen = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("demo-callee".to_owned())
            .spawn(move || {
                if let Err(error) = agent.run(&seen) {
                    tracing::error!(%error, "the demo's answering phone stopped");
                }
            })?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// Its SIP address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// State of the answering phone.
struct Agent<F> {
    sip: Line,
    calls: HashMap<String, Answered>,
    on_call: F,
}

/// A call that it answered.
struct Answered {
    /// The 200, repeated until the ACK comes (RFC 3261 §13.3.1.4).
    ok: Vec<u8>,
    to: SocketAddr,
    resend_at: Instant,
    interval: Duration,
    began: Instant,
    invite_cseq: u32,
    /// Handed over with the ACK.
    dialog: Option<Dialog>,
    over: Arc<AtomicBool>,
}

impl<F: FnMut(Dialog)> Agent<F> {
    fn run(mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        while !stop.load(Relaxed) {
            let received = self.sip.receive(&mut buffer, T1 / 10)?;
            if let Some((datagram, from)) = received
                && let Some(request) = Message::parse(datagram)
            {
                self.take(&request, from)?;
            }
            self.resend(now())?;
        }
        for call in self.calls.values() {
            call.over.store(true, Relaxed);
        }
        Ok(())
    }

    fn take(&mut self, request: &Message, from: SocketAddr) -> io::Result<()> {
        let id = request.header("Call-ID").unwrap_or_default().to_owned();
        match request.method() {
            Some("INVITE") => self.invite(request, from, id),
            Some("ACK") => {
                if let Some(dialog) = self.calls.get_mut(&id).and_then(|c| c.dialog.take()) {
                    (self.on_call)(dialog);
                }
                Ok(())
            }
            Some("BYE") => {
                let status = match self.calls.remove(&id) {
                    Some(call) => {
                        call.over.store(true, Relaxed);
                        "200 OK"
                    }
                    None => "481 Call/Transaction Does Not Exist",
                };
                self.send(&request.response(status, ""), from)
            }
            Some("OPTIONS") => self.send(&request.response("200 OK", &token()), from),
            // It answers at once: nothing is left to cancel.
            Some("CANCEL") => {
                let response = request.response("481 Call/Transaction Does Not Exist", "");
                self.send(&response, from)
            }
            Some(_) => {
                let response = request
                    .response("405 Method Not Allowed", &token())
                    .with("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS");
                self.send(&response, from)
            }
            None => Ok(()),
        }
    }

    fn invite(&mut self, invite: &Message, from: SocketAddr, id: String) -> io::Result<()> {
        let cseq = invite.cseq().map_or(0, |(number, _)| number);
        if let Some(call) = self.calls.get(&id) {
            if call.invite_cseq == cseq {
                // Sent again because our answer was lost.
                return self.sip.send_to(&call.ok, from);
            }
            let refusal = invite.response("488 Not Acceptable Here", "");
            return self.send(&refusal, from);
        }
        if self.calls.len() >= DEMO_CALLS {
            return self.send(&invite.response("486 Busy Here", &token()), from);
        }
        let Some(audio) = audio_address(&invite.body) else {
            let refusal = invite.response("488 Not Acceptable Here", &token());
            return self.send(&refusal, from);
        };
        let own_tag = token();
        self.send(&invite.response("180 Ringing", &own_tag), from)?;
        let own = self.sip.believed();
        let lines = Line::direct_pair(own.ip())?;
        let [rtp, _] = &lines;
        let wrote = rtp.believed();
        let ok = invite
            .response("200 OK", &own_tag)
            .with("Contact", format!("<sip:callee@{}>", host_port(own)))
            .with("User-Agent", USER_AGENT)
            .with_sdp(sdp("callee", wrote))
            .bytes();
        self.sip.send_to(&ok, from)?;
        let over = Arc::new(AtomicBool::new(false));
        let time = now();
        let dialog = Dialog {
            call_id: id.clone(),
            own_tag,
            other_tag: tag(invite.header("From").unwrap_or_default())
                .unwrap_or_default()
                .to_owned(),
            wrote,
            told: [audio, rtcp_address(&invite.body, audio)],
            lines,
            over: Arc::clone(&over),
        };
        let call = Answered {
            ok,
            to: from,
            resend_at: time + T1,
            interval: T1,
            began: time,
            invite_cseq: cseq,
            dialog: Some(dialog),
            over,
        };
        self.calls.insert(id, call);
        Ok(())
    }

    fn send(&self, message: &Message, to: SocketAddr) -> io::Result<()> {
        self.sip.send_to(&message.bytes(), to)
    }

    /// Repeats answers that were not acknowledged; gives up on calls that never are.
    fn resend(&mut self, time: Instant) -> io::Result<()> {
        for call in self.calls.values_mut() {
            if call.dialog.is_some() && time >= call.resend_at {
                self.sip.send_to(&call.ok, call.to)?;
                call.interval = (call.interval * 2).min(T1 * 8);
                call.resend_at = time + call.interval;
            }
        }
        let limit = T1 * 64;
        self.calls
            .retain(|_, call| call.dialog.is_none() || time.duration_since(call.began) < limit);
        Ok(())
    }
}
