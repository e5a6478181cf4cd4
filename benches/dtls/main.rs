//! DTLS handshakes beside Debian's rtpengine: how many a second of CPU carries when many callers come
//! at once, and how long the audio of other calls is on its way meanwhile.
//!
//! How to run and read it: benches/README.md.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "numbers of a benchmark are small, and its indexes its own"
)]
#![expect(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

#[expect(dead_code, reason = "shared with the other benchmarks")]
#[path = "../relay/process.rs"]
mod process;

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use windlass_dtls::{
    Certificate, CertificateConfig, Event, Fingerprint, HashFunction, Role, Session, SessionConfig,
};
use windlass_ng::Dict;
use windlass_ng::client::Client;

use process::{Kind, Relay};

/// Calls that talk meanwhile.
const TALKING: usize = 20;

/// How long they talk alone, for what their packets take then.
const ALONE: Duration = Duration::from_secs(3);

/// After that a caller who is not connected counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one relay did in one round.
struct Round {
    /// CPU of one handshake, without that of the audio.
    handshake_ns: f64,
    /// From the first hello to the last connected caller.
    took_ms: f64,
    lost: usize,
    alone_us: Histogram<u64>,
    beside_us: Histogram<u64>,
}

fn main() {
    // `cargo test` and `cargo bench` pass flags of their own.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let number = |name: &str, default: usize| {
        let position = arguments.iter().position(|argument| argument == name);
        position.map_or(default, |at| arguments[at + 1].parse().unwrap())
    };
    let (handshakes, rounds) = (number("--handshakes", 500), number("--rounds", 3));
    let lock = File::create(std::env::temp_dir().join("windlass-machine.lock")).unwrap();
    lock.lock().unwrap();
    process::raise_descriptor_limit();
    let generator_core = process::cores() - 1;
    process::pin(std::process::id(), generator_core);
    println!(
        "{handshakes} handshakes at once beside {TALKING} calls, {rounds} rounds; relay on core 0, \
         generator on core {generator_core}"
    );
    let kinds = [Kind::Windlass, Kind::Rtpengine];
    let kinds: Vec<Kind> = kinds
        .into_iter()
        .filter(|kind| kind.is_installed())
        .collect();
    let mut results: Vec<Vec<Round>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (kind, results) in kinds.iter().zip(&mut results) {
            results.push(measure(*kind, handshakes));
        }
    }
    report(&kinds, &results);
}

fn measure(kind: Kind, handshakes: usize) -> Round {
    let relay = Relay::with_ports(kind, 10_000, 29_999);
    let client = relay.client();
    let talk = Talk::begin(&client);
    let certificate = Certificate::generate(&CertificateConfig::default(), SystemTime::now());
    let certificate = Arc::new(certificate.unwrap());
    let callers = (0..handshakes).map(|number| Caller::new(&client, &certificate, number));
    let mut callers: Vec<Caller> = callers.collect();
    talk.forget();
    let (cpu, since) = (relay.cpu_ns(), Instant::now());
    thread::sleep(ALONE);
    let audio_ns_per_s = (relay.cpu_ns() - cpu) as f64 / since.elapsed().as_secs_f64();
    let alone_us = talk.forget();
    let (cpu, since) = (relay.cpu_ns(), Instant::now());
    let mut missing = handshakes;
    while missing > 0 && since.elapsed() < PATIENCE {
        let before = missing;
        for caller in callers.iter_mut().filter(|caller| !caller.is_connected) {
            missing -= usize::from(caller.turn());
        }
        if missing == before {
            thread::sleep(Duration::from_micros(200));
        }
    }
    let took = since.elapsed();
    let cpu = (relay.cpu_ns() - cpu) as f64 - audio_ns_per_s * took.as_secs_f64();
    let beside_us = talk.forget();
    talk.end();
    Round {
        handshake_ns: cpu / handshakes as f64,
        took_ms: took.as_secs_f64() * 1000.0,
        lost: missing,
        alone_us,
        beside_us,
    }
}

/// Somebody who begins a handshake with the relay.
struct Caller {
    socket: UdpSocket,
    session: Session,
    relay: SocketAddr,
    is_connected: bool,
}

impl Caller {
    /// Sets up a call to a plain party.
    fn new(client: &Client, certificate: &Arc<Certificate>, number: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let fingerprint = certificate.fingerprint(HashFunction::Sha256);
        let secure = format!("a=rtcp-mux\r\na=setup:active\r\na=fingerprint:{fingerprint}\r\n");
        let (id, here) = (format!("handshake-{number}"), socket.local_addr().unwrap());
        let request = signal("offer", &id, here, "UDP/TLS/RTP/SAVPF", &secure);
        ask(
            client,
            request
                .with("transport-protocol", "RTP/AVP")
                .with("SDES", "off"),
        );
        let shown = ask(client, signal("answer", &id, here, "RTP/AVP", ""));
        let theirs = shown
            .lines()
            .find_map(|line| line.strip_prefix("a=fingerprint:"));
        let theirs: Fingerprint = theirs.unwrap().parse().unwrap();
        let config = SessionConfig::new(certificate.clone(), Role::Active);
        let mut session = Session::new(config, Instant::now()).unwrap();
        session.set_fingerprints(vec![theirs], Instant::now());
        Self {
            socket,
            session,
            relay: media(&shown),
            is_connected: false,
        }
    }

    /// Takes what has come, sends what is to be sent; whether it is connected now.
    fn turn(&mut self) -> bool {
        let mut buffer = vec![0; 2048];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let now = Instant::now();
            self.session.handle_datagram(from, &buffer[..length], now);
        }
        self.session.handle_timeout(Instant::now());
        while let Some(transmit) = self.session.poll_transmit(&mut buffer) {
            let to = transmit.to.unwrap_or(self.relay);
            self.socket.send_to(&buffer, to).unwrap();
        }
        while let Some(event) = self.session.poll_event() {
            self.is_connected |= matches!(event, Event::Connected(_));
        }
        self.is_connected
    }
}

/// Calls in the clear, a packet every 20 ms from each caller, all to one callee.
struct Talk {
    stop: Arc<AtomicBool>,
    times_us: Arc<std::sync::Mutex<Histogram<u64>>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Talk {
    fn begin(client: &Client) -> Self {
        let callee = UdpSocket::bind("127.0.0.1:0").unwrap();
        let brief = Some(Duration::from_millis(200));
        callee.set_read_timeout(brief).unwrap();
        let callers = (0..TALKING).map(|number| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let id = format!("talk-{number}");
            let here = socket.local_addr().unwrap();
            ask(client, signal("offer", &id, here, "RTP/AVP", ""));
            let there = callee.local_addr().unwrap();
            let shown = ask(client, signal("answer", &id, there, "RTP/AVP", ""));
            socket.connect(media(&shown)).unwrap();
            socket
        });
        let callers: Vec<UdpSocket> = callers.collect();
        let stop = Arc::new(AtomicBool::new(false));
        let times_us = Arc::new(std::sync::Mutex::new(histogram()));
        let began = Instant::now();
        let mouths = Arc::clone(&stop);
        let speak = move || {
            let mut due = Instant::now();
            for sequence in 0_u16.. {
                for (number, caller) in callers.iter().enumerate() {
                    let mut packet = vec![0x80, 8];
                    packet.extend_from_slice(&sequence.to_be_bytes());
                    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
                    packet.extend_from_slice(&(number as u32 + 1).to_be_bytes());
                    packet.extend_from_slice(&(began.elapsed().as_micros() as u64).to_be_bytes());
                    packet.resize(172, 0xd5);
                    caller.send(&packet).unwrap();
                }
                if mouths.load(Relaxed) {
                    break;
                }
                due += Duration::from_millis(20);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        };
        let (ears, times) = (Arc::clone(&stop), Arc::clone(&times_us));
        let hear = move || {
            let mut buffer = [0; 2048];
            while !ears.load(Relaxed) {
                if let Ok(length @ 20..) = callee.recv(&mut buffer) {
                    let sent = buffer[..length][12..].first_chunk::<8>().unwrap();
                    let now = began.elapsed().as_micros() as u64;
                    let took = now.saturating_sub(u64::from_be_bytes(*sent));
                    times.lock().unwrap().saturating_record(took);
                }
            }
        };
        Self {
            stop,
            times_us,
            threads: vec![thread::spawn(speak), thread::spawn(hear)],
        }
    }

    /// How long packets were on their way so far, which is forgotten.
    fn forget(&self) -> Histogram<u64> {
        std::mem::replace(&mut *self.times_us.lock().unwrap(), histogram())
    }

    fn end(self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap()
}

fn signal(command: &'static str, id: &str, at: SocketAddr, transport: &str, more: &str) -> Dict {
    let (ip, port) = (at.ip(), at.port());
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} {transport} 8\r\na=rtpmap:8 PCMA/8000\r\n{more}"
    );
    let request = Dict::new()
        .with("command", command)
        .with("call-id", id)
        .with("from-tag", "caller")
        .with("sdp", sdp);
    match command {
        "answer" => request.with("to-tag", "callee"),
        _ => request,
    }
}

fn ask(client: &Client, request: Dict) -> String {
    let reply = client.request(&request).unwrap();
    reply.get_str("sdp").unwrap().to_owned()
}

/// Where an SDP wants its media.
fn media(sdp: &str) -> SocketAddr {
    let port = sdp.split("m=audio ").nth(1).unwrap().split(' ').next();
    SocketAddr::from(([127, 0, 0, 1], port.unwrap().parse().unwrap()))
}

fn report(kinds: &[Kind], results: &[Vec<Round>]) {
    type Figure = (&'static str, fn(&Round) -> f64);
    let figures: [Figure; 7] = [
        ("CPU per handshake, us", |round| round.handshake_ns / 1e3),
        ("handshakes per CPU-second", |round| {
            1e9 / round.handshake_ns
        }),
        ("all connected after, ms", |round| round.took_ms),
        ("not connected", |round| round.lost as f64),
        ("audio p99 alone, us", |round| {
            round.alone_us.value_at_quantile(0.99) as f64
        }),
        ("audio p50 beside them, us", |round| {
            round.beside_us.value_at_quantile(0.5) as f64
        }),
        ("audio p99 beside them, us", |round| {
            round.beside_us.value_at_quantile(0.99) as f64
        }),
    ];
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    println!("\n| median | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
    for (name, of) in figures {
        let medians = results.iter().map(|rounds| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            format!("{:.0}", values[values.len() / 2])
        });
        println!("| {name} | {} |", medians.collect::<Vec<_>>().join(" | "));
    }
}
