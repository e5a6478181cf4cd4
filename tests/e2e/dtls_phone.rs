//! DTLS-SRTP without ICE (RFC 5764), RTP and RTCP on ports of their own, with a plain phone on the
//! other side.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use windlass::flow::secure::Protection;
use windlass::media::demux::protocol;
use windlass_dtls::{
    Certificate, CertificateConfig, Event, Fingerprint, HashFunction, Role, Session, SessionConfig,
    is_dtls,
};
use windlass_ng::Value;
use windlass_srtp::{Keys, Suite};

use crate::common::phone::{Call, Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::sdp;

/// One component of a phone that speaks DTLS-SRTP.
struct Line {
    socket: UdpSocket,
    session: Session,
    keys: Option<Protection>,
    heard: Vec<Vec<u8>>,
    events: Vec<Event>,
}

impl Line {
    fn new(socket: &UdpSocket, session: Session) -> Self {
        let socket = socket.try_clone().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(2)))
            .unwrap();
        Self {
            socket,
            session,
            keys: None,
            heard: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Takes what has come, and sends what is to be sent.
    fn turn(&mut self, relay: SocketAddr) {
        let mut buffer = vec![0; 2048];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let datagram = &buffer[..length];
            if is_dtls(datagram) {
                self.session.handle_datagram(from, datagram, Instant::now());
            } else if let Some(keys) = &self.keys {
                let mut packet = datagram.to_vec();
                // One under the keys of before may have been on its way.
                if keys.open(&mut packet, protocol(datagram)).is_ok() {
                    self.heard.push(packet);
                }
            }
        }
        self.session.handle_timeout(Instant::now());
        while let Some(transmit) = self.session.poll_transmit(&mut buffer) {
            let to = transmit.to.unwrap_or(relay);
            self.socket.send_to(&buffer, to).unwrap();
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::Connected(connected) = &event {
                let suite = Suite::from_dtls_profile(connected.profile.id()).unwrap();
                let keys = |of: &windlass_dtls::SrtpKeys| {
                    Keys::new(suite, of.key.as_bytes(), of.salt.as_bytes()).unwrap()
                };
                let open = vec![keys(&connected.remote)];
                self.keys = Some(Protection::new(open, keys(&connected.local)).unwrap());
            }
            self.events.push(event);
        }
    }

    fn send(&self, mut packet: Vec<u8>, to: SocketAddr) {
        self.keys.as_ref().unwrap().seal(&mut packet).unwrap();
        self.socket.send_to(&packet, to).unwrap();
    }
}

/// A phone with a certificate.
struct DtlsPhone {
    phone: Phone,
    rtp: Line,
    rtcp: Line,
    certificate: Arc<Certificate>,
    role: Role,
}

impl DtlsPhone {
    fn new(role: Role) -> Self {
        let phone = Phone::new("127.0.0.1");
        let config = CertificateConfig::default();
        let certificate = Arc::new(Certificate::generate(&config, SystemTime::now()).unwrap());
        Self {
            rtp: Line::new(&phone.rtp, session(&certificate, role)),
            rtcp: Line::new(&phone.rtcp, session(&certificate, role)),
            phone,
            certificate,
            role,
        }
    }

    fn sdp(&self, setup: &str, tls_id: &str) -> String {
        let fingerprint = self.certificate.fingerprint(HashFunction::Sha256);
        let more =
            format!("a=setup:{setup}\r\na=fingerprint:{fingerprint}\r\na=tls-id:{tls_id}\r\n");
        let plain = sdp::audio(self.phone.address(), &more);
        plain.replace("RTP/AVP", "UDP/TLS/RTP/SAVP")
    }

    /// Reads the relay's certificate.
    fn read(&mut self, sdp: &str) {
        let line = sdp
            .lines()
            .find_map(|line| line.strip_prefix("a=fingerprint:"));
        let fingerprint: Fingerprint = line.unwrap().parse().unwrap();
        for line in [&mut self.rtp, &mut self.rtcp] {
            line.session
                .set_fingerprints(vec![fingerprint.clone()], Instant::now());
        }
    }

    /// Another association (RFC 8842), which the SDP tells by its tls-id.
    fn renew(&mut self, sdp: &str) {
        for (line, socket) in [
            (&mut self.rtp, &self.phone.rtp),
            (&mut self.rtcp, &self.phone.rtcp),
        ] {
            *line = Line::new(socket, session(&self.certificate, self.role));
        }
        self.read(sdp);
    }

    fn turn(&mut self, relay: SocketAddr) {
        self.rtp.turn(relay);
        self.rtcp.turn(next(relay));
    }

    fn connect(&mut self, relay: SocketAddr) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.rtp.keys.is_none() || self.rtcp.keys.is_none() {
            assert!(
                Instant::now() < deadline,
                "{:?} {:?}",
                self.rtp.events,
                self.rtcp.events
            );
            self.turn(relay);
        }
    }

    /// Both ways, RTP and RTCP, every byte.
    fn talk(&mut self, relay: SocketAddr, plain: &mut Phone, to: SocketAddr) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        let mut reports = 0;
        let ours = plain.packet()[12..].to_vec();
        plain
            .rtp
            .set_read_timeout(Some(Duration::from_millis(2)))
            .unwrap();
        plain
            .rtcp
            .set_read_timeout(Some(Duration::from_millis(2)))
            .unwrap();
        self.rtp.heard.clear();
        self.rtcp.heard.clear();
        while heard.len() < 20
            || self.rtp.heard.len() < 20
            || reports == 0
            || self.rtcp.heard.is_empty()
        {
            assert!(Instant::now() < deadline, "{} {reports}", heard.len());
            let packet = self.phone.packet();
            said.push(packet.clone());
            self.rtp.send(packet, relay);
            self.rtcp.send(self.phone.report(), next(relay));
            let packet = plain.packet();
            plain.rtp.send_to(&packet, to).unwrap();
            plain.rtcp.send_to(&plain.report(), next(to)).unwrap();
            self.turn(relay);
            let mut buffer = [0; 2048];
            while let Ok(length) = plain.rtp.recv(&mut buffer) {
                heard.push(buffer[..length].to_vec());
            }
            while let Ok(length) = plain.rtcp.recv(&mut buffer) {
                assert_eq!(buffer[..length], self.phone.report());
                reports += 1;
            }
        }
        assert!(heard.iter().all(|packet| said.contains(packet)));
        assert!(self.rtp.heard.iter().all(|packet| packet[12..] == ours));
        assert!(
            self.rtcp
                .heard
                .iter()
                .all(|packet| *packet == plain.report())
        );
    }
}

fn session(certificate: &Arc<Certificate>, role: Role) -> Session {
    let config = SessionConfig::new(certificate.clone(), role);
    Session::new(config, Instant::now()).unwrap()
}

/// The RTCP port.
fn next(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port() + 1)
}

/// The DTLS phone calls, and the relay opens the associations; gives back the call.
fn dtls_calls(relay: &Relay, id: &str, tls_id: &str, one: &mut DtlsPhone, other: &Phone) -> Call {
    let request = offer(id, &one.sdp("actpass", tls_id)).with("transport-protocol", "RTP/AVP");
    let reply = relay.ask(request).unwrap();
    let shown_to_callee = sdp::address(reply.get_str("sdp").unwrap(), 0);
    let reply = relay.ask(answer(id, &sdp::audio(other.address(), "")));
    let reply = reply.unwrap();
    let answered = reply.get_str("sdp").unwrap();
    assert!(answered.contains("a=setup:active"), "{answered}");
    one.renew(answered);
    Call {
        id: id.to_owned(),
        shown_to_callee,
        shown_to_caller: sdp::address(answered, 0),
    }
}

#[test]
fn the_relay_opens_an_association_for_each_component_and_another_on_request() {
    for steering in ["auto", "off"] {
        let relay = Relay::start(&format!("[dataplane]\nsteering = \"{steering}\"\n"));
        let (mut one, mut other) = (DtlsPhone::new(Role::Passive), Phone::new("127.0.0.1"));
        let call = dtls_calls(
            &relay,
            "active",
            "first-association-of-20",
            &mut one,
            &other,
        );
        one.connect(call.shown_to_caller);
        one.talk(call.shown_to_caller, &mut other, call.shown_to_callee);
        let again = dtls_calls(
            &relay,
            "active",
            "second-association-of-2",
            &mut one,
            &other,
        );
        assert_eq!(again.shown_to_caller, call.shown_to_caller);
        one.connect(call.shown_to_caller);
        one.talk(call.shown_to_caller, &mut other, call.shown_to_callee);
        let log = relay.process.log();
        assert_eq!(log.matches("DTLS connected").count(), 4, "{log}");
        call.delete(&relay);
    }
}

#[test]
fn a_hello_before_the_answer_is_not_lost() {
    let relay = Relay::start("");
    let (mut one, mut other) = (DtlsPhone::new(Role::Active), Phone::new("127.0.0.1"));
    let flags: Value = ["generate-mid"].into_iter().collect();
    let request = offer("early", &sdp::audio(other.address(), ""))
        .with("transport-protocol", "UDP/TLS/RTP/SAVP")
        .with("SDES", "off")
        .with("flags", flags);
    let reply = relay.ask(request).unwrap();
    let shown = reply.get_str("sdp").unwrap();
    let to = sdp::address(shown, 0);
    one.read(shown);
    let began = Instant::now();
    one.turn(to);
    std::thread::park_timeout(Duration::from_millis(50));
    let reply = relay.ask(answer(
        "early",
        &one.sdp("active", "an-association-of-20-c"),
    ));
    let shown_to_caller = sdp::address(reply.unwrap().get_str("sdp").unwrap(), 0);
    one.connect(to);
    // It was not the repetition, which comes after a second.
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    one.talk(to, &mut other, shown_to_caller);
    // A party that says good-bye and comes back is taken, and its old keys are good until then.
    for line in [&mut one.rtp, &mut one.rtcp] {
        line.session.close();
    }
    one.turn(to);
    one.renew(shown);
    one.connect(to);
    one.talk(to, &mut other, shown_to_caller);
}
