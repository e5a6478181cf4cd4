//! aioice (PyPI), an independent agent, over the loopback interface.
//!
//! Skipped with a reason where Python or the package is missing. `WINDLASS_TEST_PYTHON` names an
//! interpreter other than `python3`.
#![expect(clippy::disallowed_methods, reason = "the peer has a clock of its own")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use windlass_ice::Credentials;
use windlass_ice::agent::{
    Agent, Component, Mode, RemoteCandidate, RemoteParameters, Role, Start, State,
};
use windlass_ice::limits;

use crate::net::{config, hosts};

/// Says who it is, connects to whom it is told, and sends back what it hears.
const PEER: &str = r#"
import asyncio, sys
try:
    import aioice, aioice.ice
except ImportError:
    print("missing", flush=True)
    sys.exit()

aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]

async def main():
    controlling = sys.argv[1] == "controlling"
    peer = aioice.Connection(ice_controlling=controlling, use_ipv6=False)
    peer.remote_username, peer.remote_password = sys.argv[2:4]
    await peer.gather_candidates()
    host = peer.local_candidates[0]
    print("hello", peer.local_username, peer.local_password, host.port, host.priority, flush=True)
    port = int(sys.argv[4])
    await peer.add_remote_candidate(aioice.Candidate(
        "1", 1, "udp", 2130706431, "127.0.0.1", port, "host"))
    await peer.add_remote_candidate(None)
    await peer.connect()
    print("connected", flush=True)
    while True:
        await peer.send(b"echo " + await peer.recv())

asyncio.run(asyncio.wait_for(main(), 10))
"#;

/// Killed when the test ends, however it ends.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect_to(role: Role, mode: Mode) {
    let mut rng = StdRng::from_os_rng();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let timeout = Duration::from_millis(5);
    socket.set_read_timeout(Some(timeout)).unwrap();
    let local = socket.local_addr().unwrap();
    let start = Start {
        credentials: Credentials::generate(&mut rng),
        role,
        candidates: hosts(&[&local.to_string()]),
    };
    let began = Instant::now();
    let mut agent = Agent::new(config(mode), start, began).unwrap();

    let python = std::env::var("WINDLASS_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let their_role = match role {
        Role::Controlled => "controlling",
        Role::Controlling => "controlled",
    };
    let ours = agent.credentials();
    let child = Command::new(&python)
        .args(["-c", PEER, their_role, ours.ufrag(), ours.pwd().expose()])
        .arg(local.port().to_string())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => Peer(child),
        Err(error) => return skip(&format!("{python}: {error}")),
    };
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let hello = lines.next().unwrap().unwrap();
    let words: Vec<_> = hello.split_whitespace().collect();
    let [_, ufrag, pwd, port, priority] = words[..] else {
        return skip(&format!("{python} has no aioice"));
    };
    let parameters = RemoteParameters {
        credentials: Credentials::new(ufrag, pwd).unwrap(),
        mode: Mode::Full,
        has_ice2: false,
    };
    agent.set_remote(parameters, Instant::now()).unwrap();
    let remote = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    agent
        .add_remote(RemoteCandidate {
            component: Component::Rtp,
            address: remote,
            priority: priority.parse().unwrap(),
            foundation: b"1",
        })
        .unwrap();

    let mut buffer = [0; limits::MESSAGE];
    let mut echo = None;
    while echo.is_none() && began.elapsed() < Duration::from_secs(10) {
        while let Some(transmit) = agent.poll_transmit(&mut buffer) {
            socket
                .send_to(&buffer[..transmit.len], transmit.to)
                .unwrap();
        }
        let now = Instant::now();
        if agent.poll_timeout().is_some_and(|due| due <= now) {
            agent.handle_timeout(now, &mut rng);
            continue;
        }
        if agent.state() == State::Completed {
            let pair = agent.pair(Component::Rtp).unwrap();
            socket.send_to(b"media", pair.remote).unwrap();
        }
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let datagram = &buffer[..len];
            let outcome = agent.handle_datagram(local, from, datagram, Instant::now(), &mut rng);
            if outcome == windlass_ice::agent::Outcome::NotStun {
                assert!(agent.is_valid_source(local, from));
                echo = Some(datagram.to_vec());
            }
        }
    }
    assert_eq!(echo.as_deref(), Some(&b"echo media"[..]));
    assert_eq!(agent.counters().unauthentic_in, 0);
    assert_eq!(agent.counters().dropped_in, 0);
}

fn skip(reason: &str) {
    // Around the capture of output: a test that did not run should be seen.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

#[test]
fn we_control_aioice() {
    connect_to(Role::Controlling, Mode::Full);
}

#[test]
fn aioice_controls_us() {
    connect_to(Role::Controlled, Mode::Full);
}

#[test]
fn aioice_controls_us_who_are_lite() {
    connect_to(Role::Controlled, Mode::Lite);
}
