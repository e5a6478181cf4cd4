//! A phone as a SIP user agent: what is common, and the one that calls (RFC 3261 §12–§15, §17.1).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::nat::Line;
use super::now;
use super::sip::{Message, audio_address, caller_routes, host_port, rtcp_address, sdp, tag, uri};

/// First retransmission of a request or of a 200 (RFC 3261 §17.1.1.1).
pub(super) const T1: Duration = Duration::from_millis(500);
/// Longest wait for a response; [`CallError::NoAnswer`] names it too.
const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const USER_AGENT: &str = concat!("windlass-demo/", env!("CARGO_PKG_VERSION"));

/// Reasons why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A response without a usable description or header.
    #[error("the {what} of the answer cannot be used: {text}")]
    BadAnswer {
        /// Part of the answer.
        what: &'static str,
        /// Its reason phrase.
        text: String,
    },
    /// The phone's socket failed.
    #[error("the phone's socket failed")]
    Io(#[from] io::Error),
    /// No response came.
    #[error("no answer to {0} within 10 s")]
    NoAnswer(&'static str),
    /// A final response other than success.
    #[error("{method} was refused: {status}")]
    Refused {
        /// Method of the request.
        method: &'static str,
        /// Status line of the response.
        status: String,
    },
}

/// An established call, seen from one phone.
#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) call_id: String,
    pub(super) own_tag: String,
    pub(super) other_tag: String,
    /// The audio address that this phone wrote.
    pub(super) wrote: SocketAddr,
    /// The audio and RTCP addresses that it was told.
    pub(super) told: [SocketAddr; 2],
    /// Lines for RTP and RTCP.
    pub(super) lines: [Line; 2],
    /// Set when the call is over.
    pub(super) over: Arc<AtomicBool>,
}

impl Dialog {
    /// Public source address of the phone's audio.
    pub(super) fn source(&self) -> io::Result<SocketAddr> {
        let [rtp, _] = &self.lines;
        rtp.outside()
    }
}

/// The phone that calls.
#[derive(Debug)]
pub(super) struct Caller {
    sip: Line,
    /// The edge: all its requests go there.
    proxy: SocketAddr,
    cseq: u32,
}

/// Dialog state of a caller, for requests within its call.
#[derive(Debug)]
pub(super) struct Remote {
    target: String,
    routes: Vec<String>,
    from: String,
    to: String,
    call_id: String,
}

impl Caller {
    pub(super) fn new(sip: Line, proxy: SocketAddr) -> Self {
        Self {
            sip,
            proxy,
            cseq: 0,
        }
    }

    /// Calls `callee` and waits until it answers.
    pub(super) fn invite(
        &mut self,
        callee: &str,
        lines: [Line; 2],
    ) -> Result<(Dialog, Remote), CallError> {
        let own_tag = token();
        let [rtp, _] = &lines;
        let wrote = rtp.believed();
        let host = host_port(self.sip.believed());
        let mut remote = Remote {
            target: format!("sip:{callee}@{}", host_port(self.proxy)),
            routes: Vec::new(),
            from: format!("<sip:caller@{host}>;tag={own_tag}"),
            to: format!("<sip:{callee}@{}>", host_port(self.proxy)),
            call_id: format!("{}@windlass-demo", token()),
        };
        let invite = self
            .request("INVITE", &remote)
            .with("Contact", format!("<sip:caller@{host}>"))
            .with_sdp(sdp("caller", wrote));
        let answer = self.transact("INVITE", &invite)?;
        let bad = |what, text: Option<&str>| CallError::BadAnswer {
            what,
            text: text.unwrap_or_default().to_owned(),
        };
        if !is_success(&answer) {
            self.acknowledge_failure(&invite, &answer)?;
            return Err(CallError::Refused {
                method: "INVITE",
                status: answer.start,
            });
        }
        let contact = answer.header("Contact");
        remote.target = uri(contact.ok_or_else(|| bad("contact", None))?).to_owned();
        remote.routes = caller_routes(&answer);
        let to = answer.header("To");
        remote.to = to.ok_or_else(|| bad("To header", None))?.to_owned();
        let ack = self.request("ACK", &remote);
        self.sip.send_to(&ack.bytes(), self.proxy)?;
        let other_tag = tag(&remote.to).ok_or_else(|| bad("To header", to))?;
        let audio =
            audio_address(&answer.body).ok_or_else(|| bad("description", Some(&answer.body)))?;
        let dialog = Dialog {
            call_id: remote.call_id.clone(),
            own_tag,
            other_tag: other_tag.to_owned(),
            wrote,
            told: [audio, rtcp_address(&answer.body, audio)],
            lines,
            over: Arc::default(),
        };
        Ok((dialog, remote))
    }

    /// Hangs up and waits until that is confirmed.
    pub(super) fn bye(&mut self, remote: &Remote) -> Result<(), CallError> {
        let bye = self.request("BYE", remote);
        let answer = self.transact("BYE", &bye)?;
        if is_success(&answer) {
            return Ok(());
        }
        Err(CallError::Refused {
            method: "BYE",
            status: answer.start,
        })
    }

    fn request(&mut self, method: &str, remote: &Remote) -> Message {
        // An ACK has the number of its INVITE.
        if method != "ACK" {
            self.cseq += 1;
        }
        let via = format!(
            "SIP/2.0/UDP {};rport;branch=z9hG4bK{}",
            host_port(self.sip.believed()),
            token()
        );
        let request = Message::new(format!("{method} {} SIP/2.0", remote.target))
            .with("Via", via)
            .with("Max-Forwards", "70");
        remote
            .routes
            .iter()
            .fold(request, |request, route| request.with("Route", route))
            .with("From", &remote.from)
            .with("To", &remote.to)
            .with("Call-ID", &remote.call_id)
            .with("CSeq", format!("{} {method}", self.cseq))
            .with("User-Agent", USER_AGENT)
    }

    /// Sends a request, again while nothing comes back, and returns the final response.
    fn transact(&self, method: &'static str, request: &Message) -> Result<Message, CallError> {
        let began = now();
        let bytes = request.bytes();
        let mut interval = T1;
        let mut resend_at = None;
        let mut buffer = vec![0; 65_536];
        loop {
            let time = now();
            if time.duration_since(began) > PATIENCE {
                return Err(CallError::NoAnswer(method));
            }
            match resend_at {
                None => {
                    self.sip.send_to(&bytes, self.proxy)?;
                    resend_at = Some(Some(time + interval));
                }
                Some(Some(due)) if time >= due => {
                    self.sip.send_to(&bytes, self.proxy)?;
                    interval *= 2;
                    resend_at = Some(Some(time + interval));
                }
                Some(_) => {}
            }
            let Some((datagram, _)) = self.sip.receive(&mut buffer, T1 / 10)? else {
                continue;
            };
            let Some(response) = Message::parse(datagram) else {
                continue;
            };
            let ours = response.header("Call-ID") == request.header("Call-ID")
                && response.cseq() == request.cseq();
            match response.status() {
                Some(200..) if ours => return Ok(response),
                // A provisional response ends the retransmissions of an INVITE.
                Some(_) if ours && method == "INVITE" => resend_at = Some(None),
                _ => {}
            }
        }
    }

    /// ACK of a failure: hop by hop, in the INVITE's transaction (RFC 3261 §17.1.1.3).
    fn acknowledge_failure(&self, invite: &Message, answer: &Message) -> io::Result<()> {
        let target = invite.start.strip_prefix("INVITE ").unwrap_or_default();
        let mut ack = Message::new(format!("ACK {target}"));
        for (name, source) in [
            ("Via", invite),
            ("Max-Forwards", invite),
            ("From", invite),
            ("To", answer),
            ("Call-ID", invite),
        ] {
            ack = ack.with(name, source.header(name).unwrap_or_default());
        }
        let ack = ack.with("CSeq", format!("{} ACK", self.cseq));
        self.sip.send_to(&ack.bytes(), self.proxy)
    }
}

fn is_success(response: &Message) -> bool {
    response
        .status()
        .is_some_and(|status| (200..300).contains(&status))
}

/// A random word for tags, branches and call-ids.
pub(super) fn token() -> String {
    format!("{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::mpsc;

    use super::super::callee::Callee;
    use super::*;

    #[test]
    fn phones_reach_each_other_without_anything_between() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (calls, answered) = mpsc::channel();
        let callee = Callee::start(loopback, move |dialog| calls.send(dialog).unwrap()).unwrap();
        let mut caller = Caller::new(Line::direct(loopback).unwrap(), callee.address());
        let lines = Line::direct_pair(loopback).unwrap();
        let (dialog, remote) = caller.invite("echo", lines).unwrap();
        let other = answered.recv_timeout(PATIENCE).unwrap();
        assert_eq!(dialog.call_id, other.call_id);
        assert_eq!(dialog.own_tag, other.other_tag);
        assert_eq!(dialog.other_tag, other.own_tag);
        assert_eq!([dialog.wrote, other.wrote], [other.told[0], dialog.told[0]]);
        assert!(!other.over.load(Relaxed));
        caller.bye(&remote).unwrap();
        assert!(other.over.load(Relaxed));
        let again = caller.bye(&remote).unwrap_err();
        assert!(matches!(again, CallError::Refused { method: "BYE", .. }));
    }

    #[test]
    fn a_call_without_audio_is_refused() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let callee = Callee::start(loopback, drop).unwrap();
        let mut caller = Caller::new(Line::direct(loopback).unwrap(), callee.address());
        let remote = Remote {
            target: "sip:x".to_owned(),
            routes: Vec::new(),
            from: "<sip:a>;tag=1".to_owned(),
            to: "<sip:b>".to_owned(),
            call_id: "1".to_owned(),
        };
        let invite = caller.request("INVITE", &remote);
        let answer = caller.transact("INVITE", &invite).unwrap();
        assert_eq!(answer.status(), Some(488));
        caller.acknowledge_failure(&invite, &answer).unwrap();
    }
}
