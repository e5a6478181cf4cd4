//! Every way in which packets are moved, against the same phones: steered ports, and a socket per
//! port.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use windlass_ng::Dict;

use crate::common::phone::{Call, Phone, offer};
use crate::common::process::{Process, Relay, free_udp};
use crate::common::{TempDir, has_program, is_root, sdp};

const PACKETS: usize = 50;

const LOOPBACK: &str = "[[interface]]\naddress = \"127.0.0.1\"\n";

/// Both, as far as this host lets us; in CI it must, if it gives us the rights at all.
pub(crate) fn rungs() -> Vec<&'static str> {
    static CAN_STEER: OnceLock<bool> = OnceLock::new();
    let can_steer =
        *CAN_STEER.get_or_init(|| is_root() && Relay::starts(LOOPBACK, &steering("required")));
    if can_steer {
        return vec!["off", "required"];
    }
    let missing = windlass_kernel_assist::rights::missing();
    let required = std::env::var("CI").is_ok_and(|ci| ci == "true") && missing.is_empty();
    assert!(
        !required,
        "ports cannot be steered, with all the rights for it"
    );
    println!("skipped: ports cannot be steered here; missing: {missing:?}");
    vec!["off"]
}

pub(crate) fn steering(rung: &str) -> String {
    format!("[dataplane]\nsteering = \"{rung}\"\n")
}

/// Both speak in turn; what each heard of the other, and what of a stranger's.
fn talk(phones: [&mut Phone; 2], call: &Call) -> [(usize, usize); 2] {
    let [caller, callee] = phones;
    for _ in 0..PACKETS {
        caller.speak(call.shown_to_caller, 1);
        callee.speak(call.shown_to_callee, 1);
    }
    [&caller.rtp, &callee.rtp].map(|socket| {
        let mut buffer = [0; 2048];
        let (mut speech, mut strange) = (0, 0);
        while speech < PACKETS
            && let Ok(length) = socket.recv(&mut buffer)
        {
            match buffer[..length].get(12) {
                Some(0x66) => strange += 1,
                _ => speech += 1,
            }
        }
        (speech, strange)
    })
}

/// RTP as consistent as can be, of somebody else.
fn strange(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&[6, 6, 6, 6]);
    packet.extend_from_slice(&[0x66; 160]);
    packet
}

#[test]
fn calls_come_and_go() {
    for rung in rungs() {
        let relay = Relay::start(&steering(rung));
        let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
        for id in 0..3 {
            let call = Call::set_up(&relay, &format!("call-{id}"), &caller, &callee);
            let heard = talk([&mut caller, &mut callee], &call);
            assert_eq!(heard, [(PACKETS, 0); 2], "{rung}");
            let mut rtcp = call.shown_to_caller;
            rtcp.set_port(rtcp.port() + 1);
            caller.rtcp.send_to(&caller.report(), rtcp).unwrap();
            assert_eq!(callee.hear_reports(1), 1, "{rung}");
            call.delete(&relay);
            assert_eq!(relay.leased_ports(), 0, "{rung}");
            for shown in [call.shown_to_callee, call.shown_to_caller] {
                UdpSocket::bind(shown).unwrap();
            }
        }
    }
}

#[test]
fn ipv4_and_ipv6_are_bridged() {
    if UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: this host has no IPv6 loopback");
        return;
    }
    let interfaces = format!("{LOOPBACK}[[interface]]\naddress = \"::1\"\n");
    for rung in rungs() {
        let relay = Relay::start_with(&interfaces, &steering(rung));
        let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("::1"));
        let family = Dict::new().with("address-family", "IP6");
        let call = Call::set_up_with(&relay, "bridge", &caller, &callee, family);
        assert!(call.shown_to_callee.is_ipv6() && call.shown_to_caller.is_ipv4());
        let heard = talk([&mut caller, &mut callee], &call);
        assert_eq!(heard, [(PACKETS, 0); 2], "{rung}");
        let mut rtcp = call.shown_to_callee;
        rtcp.set_port(rtcp.port() + 1);
        callee.rtcp.send_to(&callee.report(), rtcp).unwrap();
        assert_eq!(caller.hear_reports(1), 1, "{rung}");
    }
}

#[test]
fn a_flood_at_settled_ports_costs_the_call_nothing() {
    for rung in rungs() {
        let relay = Relay::start(&steering(rung));
        let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
        let call = Call::set_up(&relay, "flooded", &caller, &callee);
        // For three seconds after signalling another source may turn out to be the party.
        let set_up = Instant::now();
        while set_up.elapsed() < Duration::from_millis(3200) {
            assert_eq!(talk([&mut caller, &mut callee], &call), [(PACKETS, 0); 2]);
        }
        let stranger = UdpSocket::bind("127.0.0.66:0").unwrap();
        let is_over = AtomicBool::new(false);
        let (heard, sent) = std::thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let mut sent = 0_u64;
                while !is_over.load(Relaxed) {
                    for port in [call.shown_to_caller, call.shown_to_callee] {
                        for _ in 0..50 {
                            sent += 1;
                            let _ = stranger.send_to(&strange(sent as u16), port);
                        }
                    }
                    // Two cores are to be enough for phones, stranger and relay.
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                sent
            });
            let heard = talk([&mut caller, &mut callee], &call);
            is_over.store(true, Relaxed);
            (heard, flood.join().unwrap())
        });
        assert_eq!(heard, [(PACKETS, 0); 2], "{rung}: {sent} strange packets");
        assert!(sent > 1000, "{rung}: {sent}");
        assert_eq!(heard_by(&stranger), 0, "{rung}");
    }
}

/// security.md, row 1: nobody gets media for having sent to every port.
#[test]
fn a_spray_over_all_ports_gets_nothing() {
    const PORTS: std::ops::RangeInclusive<u16> = 28_000..=28_199;
    let range = format!("[ports]\nmin = {}\nmax = {}\n", PORTS.start(), PORTS.end());
    for rung in rungs() {
        let relay = Relay::start(&(steering(rung) + &range));
        let mut phones: Vec<[Phone; 2]> = Vec::new();
        let mut calls = Vec::new();
        for id in 0..3 {
            let pair = [Phone::new("127.0.0.1"), Phone::new("127.0.0.1")];
            calls.push(Call::set_up(&relay, &format!("c{id}"), &pair[0], &pair[1]));
            phones.push(pair);
        }
        // One whose callee has not answered, and whose caller already speaks.
        let mut early = Phone::new("127.0.0.1");
        let reply = relay.ask(offer("early", &sdp::audio(early.address(), "")));
        let shown = sdp::address(reply.unwrap().get_str("sdp").unwrap(), 0);
        let stranger = UdpSocket::bind("127.0.0.66:0").unwrap();
        let mut sequence = 100;
        for round in 0..40 {
            sequence += 1;
            for port in PORTS {
                let _ = stranger.send_to(&strange(sequence), ("127.0.0.1", port));
            }
            // The first call is settled from the start, the second later, the third never.
            for (index, (pair, call)) in phones.iter_mut().zip(&calls).enumerate() {
                if index == 0 || index == 1 && round > 20 {
                    pair[0].speak(call.shown_to_caller, 1);
                    pair[1].speak(call.shown_to_callee, 1);
                }
            }
            early.speak(shown, 1);
        }
        assert_eq!(heard_by(&stranger), 0, "{rung}: media for the stranger");
        let heard = {
            let [caller, callee] = &phones[0];
            [caller.hear(40), callee.hear(40)]
        };
        assert_eq!(heard, [40, 40], "{rung}");
    }
}

fn heard_by(stranger: &UdpSocket) -> usize {
    let patience = Some(Duration::from_millis(200));
    stranger.set_read_timeout(patience).unwrap();
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| stranger.recv(&mut buffer).ok()).count()
}

/// The binary without some of its rights.
fn without(rights: &str) -> Option<Command> {
    if !is_root() || !has_program("/usr/bin/setpriv") {
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps", "-all", "--bounding-set", rights, "--"]);
    command.arg(env!("CARGO_BIN_EXE_windlass"));
    Some(command)
}

#[test]
fn without_the_rights_it_relays_and_says_what_is_missing() {
    for (rights, reason) in [
        ("-bpf,-sys_admin", "Operation not permitted"),
        ("-net_admin,-sys_admin", "Operation not permitted"),
        ("-net_raw", "no raw socket on 127.0.0.1"),
    ] {
        let Some(command) = without(rights) else {
            return;
        };
        let relay = Relay::launch(command, LOOPBACK, "");
        let log = relay.process.log();
        let line = log.lines().find(|line| line.contains("not steered"));
        let line = line.unwrap_or_else(|| panic!("{rights}: not said: {log}"));
        assert!(line.contains(reason), "{rights}: {line}");
        let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
        let call = Call::set_up(&relay, "humble", &caller, &callee);
        assert_eq!(talk([&mut caller, &mut callee], &call), [(PACKETS, 0); 2]);
    }
}

#[test]
fn without_the_rights_it_does_not_start_where_steering_is_required() {
    let Some(mut command) = without("-bpf,-sys_admin") else {
        return;
    };
    let ng: SocketAddr = free_udp("127.0.0.1");
    let directory = TempDir::new("required");
    let config = format!("{LOOPBACK}[ng]\nudp = [\"{ng}\"]\n{}", steering("required"));
    let path = directory.file("windlass.toml", &config);
    command.arg("run").arg("--config").arg(path);
    let mut process = Process::start(command, &directory.path().join("log"));
    assert!(!process.wait(Duration::from_secs(10)).success());
    let log = process.log();
    assert!(log.contains("steering = \"required\""), "{log}");
    assert!(log.contains("CAP_BPF"), "{log}");
}
