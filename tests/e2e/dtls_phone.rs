//! DTLS-SRTP without ICE (RFC 5764), RTP and RTCP on ports of their own, with a plain phone on the
//! other side.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
use crate::common::{is_long, sdp};

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

/// A ClientHello of DTLS 1.2 (RFC 6347 §4.2.2) that offers suites without encryption alone.
fn null_hello(random: u8) -> Vec<u8> {
    let suites = [0x00, 0x00, 0x00, 0x01, 0x00, 0x02, 0x00, 0x3b];
    let mut body = vec![0xfe, 0xfd];
    body.extend_from_slice(&[random; 32]);
    // No session, no cookie; one compression method, which is none.
    body.extend_from_slice(&[0, 0, 0, suites.len() as u8]);
    body.extend_from_slice(&suites);
    body.extend_from_slice(&[1, 0]);
    let length = [0, 0, body.len() as u8];
    let mut handshake = vec![1];
    handshake.extend_from_slice(&length);
    handshake.extend_from_slice(&[0; 5]);
    handshake.extend_from_slice(&length);
    handshake.extend_from_slice(&body);
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend_from_slice(&(handshake.len() as u16).to_be_bytes());
    record.extend_from_slice(&handshake);
    record
}

/// Hellos of strangers to every port: good ones, each from another certificate, and those without
/// a cipher.
struct Spray {
    sockets: Vec<UdpSocket>,
    hellos: Vec<Vec<u8>>,
}

impl Spray {
    fn new() -> Self {
        let mut hellos = vec![null_hello(1), null_hello(2)];
        for _ in 0..2 {
            let config = CertificateConfig::default();
            let certificate = Certificate::generate(&config, SystemTime::now()).unwrap();
            let any = certificate.fingerprint(HashFunction::Sha256);
            let mut session = session(&Arc::new(certificate), Role::Active);
            session.set_fingerprints(vec![any], Instant::now());
            session.handle_timeout(Instant::now());
            let mut buffer = vec![0; 2048];
            while session.poll_transmit(&mut buffer).is_some() {
                hellos.push(buffer.clone());
            }
        }
        assert!(hellos.len() >= 4, "a hello of a session");
        let sockets = (0..4).map(|_| UdpSocket::bind("127.0.0.66:0").unwrap());
        Self {
            sockets: sockets.collect(),
            hellos,
        }
    }

    fn round(&self, ports: std::ops::RangeInclusive<u16>) {
        for (number, port) in ports.enumerate() {
            let hello = &self.hellos[number % self.hellos.len()];
            let socket = &self.sockets[number % self.sockets.len()];
            let _ = socket.send_to(hello, ("127.0.0.1", port));
            if number % 64 == 63 {
                std::thread::park_timeout(Duration::from_micros(500));
            }
        }
    }
}

/// RFC 5764 says nothing of who may begin: without a look at the source, the first hello takes the
/// association (security, row 5).
#[test]
fn a_spray_of_hellos_during_set_up_hurts_no_call() {
    /// What the log's buffers and the like may take.
    const GROWTH_KIB: u64 = 8 * 1024;
    let calls: u16 = if is_long() { 1000 } else { 100 };
    let ports = 11_000..=10_999 + 6 * calls;
    let relay = Relay::start(&format!(
        "[ports]\nmin = {}\nmax = {}\n",
        ports.start(),
        ports.end()
    ));
    let callee = Phone::new("127.0.0.1");
    let config = CertificateConfig::default();
    let certificate = Arc::new(Certificate::generate(&config, SystemTime::now()).unwrap());
    let fingerprint = certificate.fingerprint(HashFunction::Sha256);
    let (spray, over) = (Spray::new(), AtomicBool::new(false));
    let mut lines = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                spray.round(ports.clone());
            }
        });
        let mut lines: Vec<(Line, SocketAddr)> = Vec::new();
        for number in 0..calls {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut line = Line::new(&socket, session(&certificate, Role::Active));
            // The system counts time-outs in ticks, 2 ms are some 9: who waits for each of 1,000 lines in
            // turn comes round to one every 10 to 20 s, and starts over each time.
            line.socket.set_nonblocking(true).unwrap();
            let more = format!("a=rtcp-mux\r\na=setup:active\r\na=fingerprint:{fingerprint}\r\n");
            let sdp = sdp::audio(socket.local_addr().unwrap(), &more);
            let id = format!("hello-{number}");
            let request = offer(&id, &sdp.replace("RTP/AVP", "UDP/TLS/RTP/SAVP"));
            relay
                .ask(request.with("transport-protocol", "RTP/AVP"))
                .unwrap();
            let reply = relay.ask(answer(&id, &sdp::audio(callee.address(), "")));
            let reply = reply.unwrap();
            let shown = reply.get_str("sdp").unwrap();
            assert!(shown.contains("a=setup:passive"), "{shown}");
            let theirs = shown
                .lines()
                .find_map(|line| line.strip_prefix("a=fingerprint:"));
            let theirs: Fingerprint = theirs.unwrap().parse().unwrap();
            line.session.set_fingerprints(vec![theirs], Instant::now());
            let at = sdp::address(shown, 0);
            line.turn(at);
            lines.push((line, at));
        }
        let began = Instant::now();
        let deadline = Instant::now() + Duration::from_secs(60);
        while lines.iter().any(|(line, _)| line.keys.is_none()) && Instant::now() < deadline {
            for (line, at) in lines.iter_mut().filter(|(line, _)| line.keys.is_none()) {
                line.turn(*at);
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        over.store(true, Relaxed);
        println!("{calls} calls connected after {:?}", began.elapsed());
        lines
    });
    let hurt = lines.iter().filter(|(line, _)| line.keys.is_none()).count();
    assert_eq!(hurt, 0, "of {calls} calls");
    // What is connected stays so, and costs nothing more.
    let before = relay.process.rss_kib();
    for _ in 0..50 {
        spray.round(ports.clone());
    }
    let mut phone = Phone::new("127.0.0.1");
    for (line, at) in &mut lines {
        line.send(phone.packet(), *at);
        assert_eq!(callee.hear(1), 1, "after the spray");
    }
    let after = relay.process.rss_kib();
    assert!(
        after < before + GROWTH_KIB,
        "{before} KiB, then {after} KiB"
    );
}
