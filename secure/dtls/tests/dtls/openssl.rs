//! Against OpenSSL's command line over loopback. Skipped with a printed reason where it is missing.

#![expect(clippy::disallowed_methods, reason = "a real peer lives in real time")]

use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use windlass_dtls::{
    CloseReason, Connected, Event, FailReason, Fingerprint, KeyKind, Profile, Role, Session,
    SessionConfig,
};

use crate::link::{certificate, connected};

const LIMIT: Duration = Duration::from_secs(8);
const SRTP: &str = "SRTP_AES128_CM_SHA1_80";

/// Key and certificate in a directory of their own.
struct Identity {
    dir: PathBuf,
    fingerprint: Fingerprint,
}

impl Drop for Identity {
    fn drop(&mut self) {
        // Nothing depends on the directory being gone.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Identity {
    /// [`None`] without OpenSSL.
    fn new(key: KeyKind) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("dtls-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let algorithm: &[&str] = match key {
            KeyKind::EcdsaP256 => &["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
            KeyKind::Rsa(_) => &["rsa:2048"],
        };
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=peer"])
            .args(["-keyout", "key.pem", "-out", "cert.pem", "-newkey"])
            .args(algorithm)
            .current_dir(&dir)
            .output();
        let Ok(made) = made else {
            println!("skipped: no openssl");
            return None;
        };
        assert!(made.status.success(), "{made:?}");
        let printed = Command::new("openssl")
            .args([
                "x509",
                "-in",
                "cert.pem",
                "-noout",
                "-fingerprint",
                "-sha256",
            ])
            .current_dir(&dir)
            .output()
            .unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        let (_, hex) = printed.split_once('=').unwrap();
        let fingerprint = format!("sha-256 {hex}").parse().unwrap();
        Some(Self { dir, fingerprint })
    }

    /// Starts `openssl COMMAND` with the key, as a peer for DTLS-SRTP.
    fn start(&self, command: &str, arguments: &[&str]) -> Process {
        let mut child = Command::new("openssl")
            .arg(command)
            .args(["-cert", "cert.pem", "-key", "key.pem", "-use_srtp", SRTP])
            .args([
                "-keymatexport",
                "EXTRACTOR-dtls_srtp",
                "-keymatexportlen",
                "60",
            ])
            .args(arguments)
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let mut stdout = child.stdout.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let output = std::thread::spawn(move || {
            let errors = std::thread::spawn(move || {
                let mut text = String::new();
                let _ = stderr.read_to_string(&mut text);
                text
            });
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            text + &errors.join().unwrap()
        });
        Process {
            child,
            stdin,
            output: Some(output),
        }
    }
}

struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    output: Option<JoinHandle<String>>,
}

impl Process {
    /// Lets the peer close, and returns all that it has printed.
    fn finish(mut self) -> String {
        self.stdin = None;
        let end = Instant::now() + Duration::from_secs(1);
        while self.child.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill()
    }

    fn kill(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let output = self.output.take();
        output
            .map(|output| output.join().unwrap())
            .unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A session with a socket.
struct Driven {
    session: Session,
    socket: UdpSocket,
    peer: Option<SocketAddr>,
    events: Vec<Event>,
    /// Datagrams sent, and which of them are lost.
    sent: usize,
    lost: &'static [usize],
}

impl Driven {
    fn new(config: SessionConfig, peer: Option<SocketAddr>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        Self {
            session: Session::new(config, Instant::now()).unwrap(),
            socket,
            peer,
            events: Vec::new(),
            sent: 0,
            lost: &[],
        }
    }

    fn port(&self) -> String {
        self.socket.local_addr().unwrap().port().to_string()
    }

    /// Until `done`, or for the time limit.
    fn run(&mut self, limit: Duration, mut done: impl FnMut(&[Event]) -> bool) {
        let end = Instant::now() + limit;
        let mut datagram = [0; 2048];
        let mut buf = Vec::new();
        while !done(&self.events) && Instant::now() < end {
            while let Some(transmit) = self.session.poll_transmit(&mut buf) {
                self.sent += 1;
                if self.lost.contains(&self.sent) {
                    continue;
                }
                if let Some(to) = transmit.to.or(self.peer) {
                    // A peer that is not there yet refuses; it is sent again.
                    let _ = self.socket.send_to(&buf, to);
                }
            }
            if let Ok((len, from)) = self.socket.recv_from(&mut datagram) {
                self.session
                    .handle_datagram(from, &datagram[..len], Instant::now());
            }
            let due = self.session.poll_timeout();
            if due.is_some_and(|due| due <= Instant::now()) {
                self.session.handle_timeout(Instant::now());
            }
            self.events
                .extend(std::iter::from_fn(|| self.session.poll_event()));
        }
    }

    fn connect(&mut self) -> Connected {
        self.run(LIMIT, |events| !events.is_empty());
        connected(&self.events).unwrap_or_else(|| {
            panic!("{:?} {:?}", self.events, self.session.counters());
        })
    }
}

fn config(role: Role, ours: KeyKind, peer: &Identity) -> SessionConfig {
    let mut config = SessionConfig::new(certificate(ours, 0), role);
    config.fingerprints = Some(vec![peer.fingerprint.clone()]);
    config
}

/// What OpenSSL exports: client key, server key, client salt, server salt.
fn material(connected: &Connected, role: Role) -> String {
    let (client, server) = match role {
        Role::Active => (&connected.local, &connected.remote),
        Role::Passive => (&connected.remote, &connected.local),
    };
    [&client.key, &server.key, &client.salt, &server.salt]
        .into_iter()
        .flat_map(|secret| secret.as_bytes())
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// We are the server.
fn serve(ours: KeyKind, theirs: KeyKind, arguments: &[&str]) {
    serve_over(SessionConfig::MTU, &[], ours, theirs, arguments);
}

/// We are the server, with this MTU and these losses.
fn serve_over(
    mtu: usize,
    lost: &'static [usize],
    ours: KeyKind,
    theirs: KeyKind,
    arguments: &[&str],
) {
    let Some(identity) = Identity::new(theirs) else {
        return;
    };
    let mut config = config(Role::Passive, ours, &identity);
    config.mtu = mtu;
    let mut ours = Driven::new(config, None);
    ours.lost = lost;
    let address = format!("127.0.0.1:{}", ours.port());
    let common = ["-dtls1_2", "-connect", &address];
    let peer = identity.start("s_client", &[&common, arguments].concat());
    let connected = ours.connect();
    assert_eq!(connected.profile, Profile::Aes128CmSha1_80);
    // The peer prints after its own end of the handshake, and closes at the end of its input.
    ours.run(Duration::from_millis(200), |_| false);
    let output = std::thread::spawn(move || peer.finish());
    let closed = Event::Closed(CloseReason::CloseNotify);
    ours.run(LIMIT, |events| events.last() == Some(&closed));
    let output = output.join().unwrap();
    assert_eq!(ours.events.last(), Some(&closed), "{output}");
    assert!(
        output.contains(&material(&connected, Role::Passive)),
        "{output}"
    );
}

/// We are the client.
fn call(ours: KeyKind, theirs: KeyKind, arguments: &[&str]) {
    call_over(SessionConfig::MTU, &[], ours, theirs, arguments);
}

/// We are the client, with this MTU and these losses.
fn call_over(
    mtu: usize,
    lost: &'static [usize],
    ours: KeyKind,
    theirs: KeyKind,
    arguments: &[&str],
) {
    let Some(identity) = Identity::new(theirs) else {
        return;
    };
    let port = free_port().to_string();
    let common = [
        "-dtls1_2", "-accept", &port, "-Verify", "1", "-4", "-naccept", "1",
    ];
    let peer = identity.start("s_server", &[&common, arguments].concat());
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let mut config = config(Role::Active, ours, &identity);
    config.mtu = mtu;
    let mut ours = Driven::new(config, Some(address));
    ours.lost = lost;
    let connected = ours.connect();
    assert_eq!(connected.profile, Profile::Aes128CmSha1_80);
    ours.session.close();
    ours.run(Duration::from_millis(200), |_| false);
    let output = peer.finish();
    assert!(
        output.contains(&material(&connected, Role::Active)),
        "{output}"
    );
}

const ECDSA: KeyKind = KeyKind::EcdsaP256;
const RSA: KeyKind = KeyKind::Rsa(2048);

/// Runs cases beside each other: most of their time is waiting.
fn at_once(cases: &[&(dyn Fn() + Sync)]) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(case);
        }
    });
}

#[test]
fn openssl_clients_have_our_keys() {
    at_once(&[
        &|| serve(ECDSA, ECDSA, &[]),
        &|| serve(RSA, RSA, &[]),
        &|| serve(ECDSA, RSA, &[]),
        &|| serve(ECDSA, ECDSA, &["-cipher", "CHACHA20"]),
    ]);
}

#[test]
fn openssl_servers_have_our_keys() {
    at_once(&[
        &|| call(ECDSA, ECDSA, &[]),
        &|| call(RSA, RSA, &[]),
        &|| call(RSA, ECDSA, &["-cipher", "CHACHA20"]),
        // Asks for a cookie.
        &|| call(ECDSA, ECDSA, &["-listen"]),
    ]);
}

#[test]
fn openssl_clients_on_bad_paths_have_our_keys() {
    at_once(&[
        // Cookie request, our first flight twice, and our last one twice.
        &|| serve_over(SessionConfig::MTU, &[2, 4], ECDSA, ECDSA, &[]),
        &|| serve_over(300, &[], RSA, RSA, &["-mtu", "300"]),
        &|| serve_over(300, &[3, 6, 9], RSA, RSA, &["-mtu", "300"]),
    ]);
}

#[test]
fn openssl_servers_on_bad_paths_have_our_keys() {
    at_once(&[
        // Hello, and the flight with Finished twice.
        &|| call_over(SessionConfig::MTU, &[2], ECDSA, ECDSA, &[]),
        &|| call_over(300, &[], ECDSA, RSA, &["-mtu", "300"]),
        &|| call_over(300, &[3, 5, 8], RSA, RSA, &["-mtu", "300"]),
    ]);
}

#[test]
fn openssl_client_without_a_certificate_gets_no_keys() {
    let Some(identity) = Identity::new(ECDSA) else {
        return;
    };
    let mut ours = Driven::new(config(Role::Passive, ECDSA, &identity), None);
    let address = format!("127.0.0.1:{}", ours.port());
    let mut peer = Command::new("openssl")
        .args([
            "s_client",
            "-dtls1_2",
            "-use_srtp",
            SRTP,
            "-connect",
            &address,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut failed = false;
    let end = Instant::now() + LIMIT;
    while !failed && Instant::now() < end {
        ours.run(Duration::from_millis(20), |_| false);
        failed = ours.session.counters().handshakes_failed > 0;
    }
    let _ = peer.kill();
    let _ = peer.wait();
    assert!(failed);
    let reason = FailReason::NoCertificate;
    assert_eq!(ours.events, [Event::Setback(reason)]);
}

/// Offers of a peer that must not be taken up; the session then serves a good one.
#[test]
fn weak_offers_are_refused_and_end_nothing() {
    let Some(identity) = Identity::new(ECDSA) else {
        return;
    };
    let mut ours = Driven::new(config(Role::Passive, ECDSA, &identity), None);
    let address = format!("127.0.0.1:{}", ours.port());
    let weak: [&[&str]; 4] = [
        &["-dtls1_2", "-cipher", "eNULL:@SECLEVEL=0"],
        &["-dtls1_2", "-cipher", "AES128-SHA:AES256-SHA:@SECLEVEL=0"],
        &["-dtls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"],
        &["-dtls1", "-cipher", "ALL:@SECLEVEL=0"],
    ];
    for (index, arguments) in weak.into_iter().enumerate() {
        let mut peer = identity.start("s_client", &[arguments, &["-connect", &address]].concat());
        let refused = index as u64 + 1;
        let end = Instant::now() + LIMIT;
        while ours.session.counters().hellos_refused < refused && Instant::now() < end {
            ours.run(Duration::from_millis(20), |_| false);
        }
        let counters = *ours.session.counters();
        ours.run(Duration::from_millis(50), |_| false);
        let output = peer.kill();
        assert_eq!(counters.hellos_refused, refused, "{output}");
    }
    // Told once: anybody can make such offers.
    let setback = Event::Setback(FailReason::NoCommonCipher);
    assert_eq!(ours.events, [setback]);
    ours.events.clear();
    let _peer = identity.start("s_client", &["-dtls1_2", "-connect", &address]);
    ours.connect();
}
