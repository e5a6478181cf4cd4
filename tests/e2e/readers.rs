//! Who may learn the ids of calls, asked from another host (security 12).
//!
//! ```text
//! proxies 10.1.0.2 and 10.1.0.3 - 10.1.0.1 relay
//! ```

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use windlass_ng::{Dict, bencode};

use crate::common::netns::Network;
use crate::common::process::Process;
use crate::common::{TempDir, has_program, is_root, lock_machine, sdp, wait_for};

const NG: &str = "10.1.0.1:2223";
const CLI: &str = "10.1.0.1:2224";
const REFUSAL: &str = "--control-read";

struct Scene {
    // The relay ends before its network does.
    _relay: Process,
    _directory: TempDir,
    network: Network,
}

impl Scene {
    /// A relay in rtpengine's manner, with more arguments.
    fn new(more: &[&str]) -> Self {
        let network = Network::new(&["proxy", "relay"]);
        network.join(("proxy", "10.1.0.2/24"), ("relay", "10.1.0.1/24"));
        network.on("proxy", "ip address add 10.1.0.3/24 dev to-relay");
        let directory = TempDir::new("readers");
        let mut command = network.command("relay", env!("CARGO_BIN_EXE_windlass"));
        command.args([
            "run",
            "--rtpengine-compat",
            "--config-file=none",
            "-f",
            "-E",
        ]);
        command
            .args(["-i", "10.1.0.1", "-n", NG, "-c", CLI])
            .args(more);
        let relay = Process::start(command, &directory.path().join("log"));
        wait_for("the relay", Duration::from_secs(10), || {
            relay.log().contains("ready").then_some(())
        });
        Self {
            _relay: relay,
            _directory: directory,
            network,
        }
    }

    /// The reply to a request from an address of a host.
    fn ask(&self, host: &str, from: &str, request: &Dict) -> String {
        self.network.inside(host, || {
            let socket = UdpSocket::bind((from, 0)).unwrap();
            let timeout = Some(Duration::from_secs(10));
            socket.set_read_timeout(timeout).unwrap();
            let cookie = socket.local_addr().unwrap().to_string();
            let mut message = format!("{cookie} ").into_bytes();
            request.write_bencode(&mut message);
            socket.send_to(&message, NG).unwrap();
            let mut buffer = [0; 65_535];
            let length = socket.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        })
    }

    /// What a line of the operator prints.
    fn run(&self, host: &str, line: &str) -> String {
        let to: SocketAddr = CLI.parse().unwrap();
        self.network.inside(host, || {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.write_all(format!("{line}\n").as_bytes()).unwrap();
            let mut printed = String::new();
            stream.read_to_string(&mut printed).unwrap();
            printed
        })
    }

    fn offer(&self) {
        let media = "10.1.0.2:4000".parse().unwrap();
        let offer = command("offer")
            .with("call-id", "secret-id")
            .with("from-tag", "F")
            .with("sdp", sdp::audio(media, ""));
        let reply = self.ask("proxy", "10.1.0.2", &offer);
        assert!(reply.ends_with("6:result2:oke"), "{reply}");
    }
}

fn command(name: &'static str) -> Dict {
    Dict::new().with("command", name)
}

fn is_missing() -> bool {
    !is_root() || !has_program("/usr/sbin/ip")
}

#[test]
fn a_neighbour_that_nobody_named_lists_no_calls() {
    if is_missing() {
        return;
    }
    let _lock = lock_machine();
    let scene = Scene::new(&[]);
    scene.offer();
    let list = command("list");
    let refused = scene.ask("proxy", "10.1.0.2", &list);
    assert!(refused.contains("6:result5:error"), "{refused}");
    assert!(refused.contains(REFUSAL), "{refused}");
    for line in [
        "list sessions all",
        "list sessions own",
        "terminate all",
        "standby",
    ] {
        let printed = scene.run("proxy", line);
        assert!(printed.contains(REFUSAL), "{line}: {printed}");
    }
    let by_ng = command("cli").with("body", "list sessions all");
    let refused = scene.ask("proxy", "10.1.0.2", &by_ng);
    assert!(refused.contains(REFUSAL), "{refused}");
    // Who knows the id, or is this host, is told.
    let query = command("query").with("call-id", "secret-id");
    let reply = scene.ask("proxy", "10.1.0.3", &query);
    assert!(reply.contains("6:result2:oke"), "{reply}");
    let reply = scene.ask("relay", "10.1.0.1", &list);
    assert!(reply.contains("9:secret-id"), "{reply}");
    assert!(
        scene
            .run("relay", "list sessions all")
            .contains("secret-id")
    );
}

#[test]
fn of_those_who_are_allowed_only_the_readers_list_calls() {
    if is_missing() {
        return;
    }
    let _lock = lock_machine();
    let scene = Scene::new(&["--control-allow=10.1.0.0/24", "--control-read=10.1.0.3"]);
    scene.offer();
    let list = command("list");
    let refused = scene.ask("proxy", "10.1.0.2", &list);
    assert!(refused.contains(REFUSAL), "{refused}");
    let reply = scene.ask("proxy", "10.1.0.3", &list);
    let (_, payload) = reply.split_once(' ').unwrap();
    assert!(bencode::decode(payload.as_bytes(), 100).is_ok());
    assert!(payload.contains("5:callsl9:secret-ide"), "{reply}");
}

#[test]
fn a_port_alone_is_reached_over_both_families() {
    if is_missing() {
        return;
    }
    let _lock = lock_machine();
    let scene = Scene::new(&["-c", "3001", "-N", "3002", "--listen-http=3003"]);
    scene.network.inside("relay", || {
        for port in [3001, 3002, 3003] {
            for host in ["127.0.0.1", "::1", "10.1.0.1"] {
                let ip: std::net::IpAddr = host.parse().unwrap();
                TcpStream::connect((ip, port)).unwrap_or_else(|e| panic!("{host} {port}: {e}"));
            }
        }
    });
}
