//! CPU of a handshake, each side by itself, without a network: `cargo bench -p windlass-dtls`.
//!
//! Both sides run in one thread; the time that is spent in the calls of a side is its own. For
//! comparison `openssl speed`'s figures for the operations that any implementation has to do.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock, and ends at the first surprise"
)]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use windlass_dtls::{
    Certificate, CertificateConfig, Event, HashFunction, KeyKind, Role, Session, SessionConfig,
};

const HANDSHAKES: u32 = 300;

fn main() {
    println!("handshakes, per side and per CPU-second of that side");
    for key in [KeyKind::EcdsaP256, KeyKind::Rsa(2048)] {
        let (active, passive) = (certificate(key), certificate(key));
        // The first ones pay for the tables of the crypto library.
        measure(&active, &passive, 20);
        let (active, passive) = measure(&active, &passive, HANDSHAKES);
        for (name, time) in [("active", active), ("passive", passive)] {
            let each = time / HANDSHAKES;
            println!(
                "{key:?} {name:8} {:6.0} us  {:6.0} /s",
                each.as_secs_f64() * 1e6,
                1.0 / each.as_secs_f64()
            );
        }
    }
    println!(
        "openssl speed (sign, verify; derive key): a side signs once, verifies once, derives once"
    );
    for algorithm in ["ecdsap256", "rsa2048", "ecdhp256"] {
        let Ok(output) = Command::new("openssl")
            .args(["speed", "-seconds", "1", algorithm])
            .output()
        else {
            println!("no openssl");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{}", text.lines().last().unwrap_or_default());
    }
}

fn certificate(key: KeyKind) -> Arc<Certificate> {
    let config = CertificateConfig {
        common_name: "bench".into(),
        key,
        ..CertificateConfig::default()
    };
    Arc::new(Certificate::generate(&config, SystemTime::now()).unwrap())
}

/// Time of the active and of the passive side for `count` handshakes.
fn measure(
    active: &Arc<Certificate>,
    passive: &Arc<Certificate>,
    count: u32,
) -> (Duration, Duration) {
    let config = |ours: &Arc<Certificate>, theirs: &Certificate, role| {
        let mut config = SessionConfig::new(Arc::clone(ours), role);
        config.fingerprints = Some(vec![theirs.fingerprint(HashFunction::Sha256)]);
        config
    };
    let mut times = (Duration::ZERO, Duration::ZERO);
    for _ in 0..count {
        let now = Instant::now();
        let active = config(active, passive, Role::Active);
        let passive = config(passive, &active.certificate, Role::Passive);
        let mut active = timed(&mut times.0, || Session::new(active, now).unwrap());
        let mut passive = timed(&mut times.1, || Session::new(passive, now).unwrap());
        let mut connected = 0;
        while connected < 2 {
            connected += carry(&mut active, &mut passive, now, &mut times.1);
            connected += carry(&mut passive, &mut active, now, &mut times.0);
        }
    }
    times
}

/// Gives what `from` has to send to `to`, whose time it is, and counts their connections.
fn carry(from: &mut Session, to: &mut Session, now: Instant, time: &mut Duration) -> u32 {
    let address: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let mut buf = Vec::new();
    while from.poll_transmit(&mut buf).is_some() {
        timed(time, || to.handle_datagram(address, &buf, now));
    }
    let connected = |event| matches!(event, Some(Event::Connected(_)));
    u32::from(connected(to.poll_event()))
}

fn timed<T>(total: &mut Duration, call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    *total += start.elapsed();
    result
}
