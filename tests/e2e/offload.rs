//! Settled media goes through the kernel, past the relay: over veth pairs, which loopback is not
//! (spec: dataplane §8).
//!
//! ```text
//! caller 10.1.0.2 - 10.1.0.1 relay 10.2.0.1 and fd02::1 - callee 10.2.0.2 and fd02::2
//! ```

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use windlass_kernel_assist::flows::{Attach, Config, Flows};
use windlass_ng::{Dict, Value};

use crate::common::netns::Network;
use crate::common::phone::{Call, Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::{has_program, is_root, lock_machine, sdp, wait_for};

const INTERFACES: &str = "[[interface]]\nname = \"one\"\naddress = \"10.1.0.1\"\n\
                          [[interface]]\nname = \"two\"\naddress = \"10.2.0.1\"\n\
                          [[interface]]\nname = \"two\"\naddress = \"fd02::1\"\n";

/// The window of signalling, and the trial, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Scene {
    // The relay ends before its network does.
    relay: Relay,
    network: Network,
    /// A veth takes frames of XDP only where a program is at its other end.
    _receivers: Vec<Flows>,
    _alone: File,
}

/// Whether this host lets us; in CI it must, if it gives us the rights.
fn is_possible() -> bool {
    if !is_root() || !has_program("/usr/sbin/ip") {
        println!("skipped: needs root and ip");
        return false;
    }
    match Flows::load(Config {
        max_flows: 1,
        srtp: false,
    }) {
        Ok(_) => true,
        Err(error) => {
            let missing = windlass_kernel_assist::rights::missing();
            let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!is_ci || !missing.is_empty(), "{error}");
            println!("skipped: {error}; missing: {missing:?}");
            false
        }
    }
}

impl Scene {
    fn new(mode: &str) -> Self {
        Self::with(mode, |network| {
            network.command("relay", env!("CARGO_BIN_EXE_windlass"))
        })
    }

    fn with(mode: &str, command: impl FnOnce(&Network) -> Command) -> Self {
        let alone = lock_machine();
        let network = Network::new(&["caller", "relay", "callee"]);
        network.join(("caller", "10.1.0.2/24"), ("relay", "10.1.0.1/24"));
        network.join(("relay", "10.2.0.1/24"), ("callee", "10.2.0.2/24"));
        network.on("relay", "ip address add fd02::1/64 dev to-callee nodad");
        network.on("callee", "ip address add fd02::2/64 dev to-relay nodad");
        let mut receivers = Vec::new();
        if mode == "xdp" {
            for host in ["caller", "callee"] {
                let mut flows = Flows::load(Config {
                    max_flows: 1,
                    srtp: false,
                })
                .unwrap();
                network.inside(host, || {
                    flows.attach("to-relay", Attach::XdpNative).unwrap();
                });
                receivers.push(flows);
            }
        }
        let command = command(&network);
        let relay = Relay::launch(
            command,
            INTERFACES,
            &format!("[offload]\nmode = \"{mode}\"\n"),
        );
        Self {
            relay,
            network,
            _receivers: receivers,
            _alone: alone,
        }
    }

    fn call(&self, callee: &str) -> Conversation<'_> {
        let caller = self.network.inside("caller", || Phone::new("10.1.0.2"));
        let callee = self.network.inside("callee", || Phone::new(callee));
        let family = match callee.address() {
            SocketAddr::V4(_) => "IP4",
            SocketAddr::V6(_) => "IP6",
        };
        let direction = Value::List(vec!["one".into(), "two".into()]);
        let more = Dict::new()
            .with("direction", direction)
            .with("address-family", family);
        let call = self.network.inside("relay", || {
            let id = format!("{family}-{}", caller.address().port());
            Call::set_up_with(&self.relay, &id, &caller, &callee, more)
        });
        Conversation {
            scene: self,
            call,
            caller,
            callee,
            sent: [0; 2],
            heard: [BTreeSet::new(), BTreeSet::new()],
        }
    }

    fn ask(&self, request: Dict) -> Dict {
        self.network
            .inside("relay", || self.relay.ask(request).unwrap())
    }

    /// Packets relayed since the start: by workers, and by the kernel.
    fn relayed(&self) -> [i64; 2] {
        let reply = self.ask(Dict::new().with("command", "statistics"));
        let totals = ["statistics", "totalstatistics"]
            .iter()
            .fold(&reply, |dict, key| {
                dict.get(key).unwrap().as_dict().unwrap()
            });
        ["relayedpackets_user", "relayedpackets_kernel"].map(|key| int(totals, key))
    }
}

fn int(dict: &Dict, key: &str) -> i64 {
    match dict.get(key) {
        Some(Value::Int(value)) => *value,
        other => panic!("{key}: {other:?}"),
    }
}

/// Two phones that talk, and what each has heard.
struct Conversation<'a> {
    scene: &'a Scene,
    call: Call,
    caller: Phone,
    callee: Phone,
    /// Packets of the caller, and of the callee.
    sent: [usize; 2],
    /// Numbers that came: of the caller's packets, and of the callee's.
    heard: [BTreeSet<u16>; 2],
}

impl Conversation<'_> {
    /// Both say so many packets, and hear what is there.
    fn talk(&mut self, packets: usize) {
        for _ in 0..packets {
            self.caller.speak(self.call.shown_to_caller, 1);
            self.callee.speak(self.call.shown_to_callee, 1);
            self.sent = self.sent.map(|sent| sent + 1);
            std::thread::park_timeout(Duration::from_millis(4));
            self.listen(Duration::from_millis(1));
        }
    }

    /// Takes what has come; no packet twice.
    fn listen(&mut self, patience: Duration) {
        for (socket, heard) in [(&self.callee.rtp, 0), (&self.caller.rtp, 1)] {
            socket.set_read_timeout(Some(patience)).unwrap();
            let mut buffer = [0; 2048];
            while let Ok(length) = socket.recv(&mut buffer) {
                assert_eq!(length, 172);
                assert_ne!(buffer[12], 0x66, "the stranger is heard");
                let number = u16::from_be_bytes([buffer[2], buffer[3]]);
                assert!(self.heard[heard].insert(number), "{number} came twice");
            }
        }
    }

    /// Everything that was said has been heard, once.
    fn assert_all_heard(&mut self, what: &str) {
        self.listen(Duration::from_millis(200));
        let heard = [self.heard[0].len(), self.heard[1].len()];
        assert_eq!(heard, self.sent, "{what}");
    }

    /// The stream at the port that a party sends to.
    fn stream(&self, tag: &str) -> Dict {
        let query = Dict::new().with("command", "query");
        let reply = self.scene.ask(query.with("call-id", self.call.id.as_str()));
        let tags = reply.get("tags").unwrap().as_dict().unwrap();
        let leg = tags.get(tag).unwrap().as_dict().unwrap();
        let first = |dict: &Dict, key: &str| match dict.get(key) {
            Some(Value::List(list)) => list[0].as_dict().unwrap().clone(),
            other => panic!("{key}: {other:?}"),
        };
        first(&first(leg, "medias"), "streams")
    }

    fn paths(&self) -> [String; 2] {
        ["caller", "callee"].map(|tag| self.stream(tag).get_str("path").unwrap().to_owned())
    }

    /// Talks until both directions take a path.
    fn talk_until(&mut self, path: &str) {
        let begin = Instant::now();
        while self.paths() != [path, path] {
            assert!(
                begin.elapsed() < PATIENCE,
                "{path}: {:?} {:?} {}",
                self.stream("caller"),
                self.stream("callee"),
                self.scene.relay.process.log()
            );
            self.talk(20);
        }
    }

    /// What `query` says of both directions is what was sent.
    fn assert_counted(&self, what: &str) {
        let counted = || {
            ["caller", "callee"].map(|tag| {
                let stream = self.stream(tag);
                let packets =
                    |key: &str| int(stream.get(key).unwrap().as_dict().unwrap(), "packets");
                [packets("stats"), packets("stats_out")]
            })
        };
        let [caller, callee] = self.sent.map(|sent| i64::try_from(sent).unwrap());
        let expected = [[caller, callee], [callee, caller]];
        let begin = Instant::now();
        while counted() != expected {
            assert!(
                begin.elapsed() < Duration::from_secs(3),
                "{what}: {:?}, not {expected:?}",
                counted()
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// The callee is offered the same again.
    fn offer_again(&self) {
        let id = self.call.id.as_str();
        let offered = offer(id, &sdp::audio(self.caller.address(), ""));
        self.scene.ask(offered);
        let answered = answer(id, &sdp::audio(self.callee.address(), ""));
        self.scene.ask(answered);
    }
}

fn strange(number: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x66; 160]);
    packet
}

const MODES: [(&str, &str); 3] = [("auto", "tc"), ("tc", "tc"), ("xdp", "xdp-native")];

#[test]
fn media_goes_on_while_the_relay_stands_still() {
    if !is_possible() {
        return;
    }
    for (mode, path) in MODES {
        let scene = Scene::new(mode);
        for callee in ["10.2.0.2", "fd02::2"] {
            let what = format!("{mode}, {callee}");
            let mut talk = scene.call(callee);
            talk.talk(20);
            talk.assert_all_heard(&what);
            assert_eq!(talk.paths(), ["user space"; 2], "{what}");
            assert!(talk.stream("caller").get_str("path reason").is_some());
            talk.talk_until(path);
            let flags = talk.stream("caller");
            let kernelized = Value::from("kernelized");
            let Some(Value::List(flags)) = flags.get("flags") else {
                panic!("{flags:?}");
            };
            assert!(flags.contains(&kernelized), "{what}: {flags:?}");
            talk.assert_counted(&what);
            let [user, kernel] = scene.relayed();
            let before = talk.sent[0];
            scene.relay.process.signal(Signal::SIGSTOP);
            talk.talk(200);
            talk.assert_all_heard(&what);
            scene.relay.process.signal(Signal::SIGCONT);
            talk.assert_counted(&what);
            let said = i64::try_from(talk.sent[0] - before).unwrap();
            let now = wait_for("the counters", Duration::from_secs(5), || {
                let now = scene.relayed();
                (now[1] >= kernel + 2 * said).then_some(now)
            });
            assert_eq!(now, [user, kernel + 2 * said], "{what}");
            let stream = talk.stream("caller");
            assert!(int(&stream, "last kernel packet") > int(&stream, "last user packet") - 1);
            let over = || talk.call.delete(&scene.relay);
            scene.network.inside("relay", over);
            // Nothing is forwarded of a call that is over.
            talk.caller.speak(talk.call.shown_to_caller, 20);
            talk.callee.speak(talk.call.shown_to_callee, 20);
            talk.assert_all_heard(&what);
        }
    }
}

#[test]
fn a_call_comes_up_for_signalling_and_loses_nothing() {
    if !is_possible() {
        return;
    }
    for (mode, path) in &MODES[1..] {
        let scene = Scene::new(mode);
        let mut talk = scene.call("10.2.0.2");
        for round in 0..2 {
            let what = format!("{mode}, {round}");
            talk.talk_until(path);
            talk.talk(50);
            talk.offer_again();
            assert_eq!(talk.paths(), ["user space"; 2], "{what}");
            talk.talk(50);
            talk.assert_all_heard(&what);
            talk.assert_counted(&what);
        }
        talk.talk_until(path);
        talk.talk(50);
        talk.assert_all_heard(mode);
        talk.assert_counted(mode);
        for tag in ["caller", "callee"] {
            let errors = talk.stream(tag);
            let errors = errors.get("stats").unwrap().as_dict().unwrap();
            assert_eq!(int(errors, "errors"), 0, "{mode}, {tag}");
        }
    }
}

/// security.md, rows 1 and 2, on the fast path.
#[test]
fn a_stranger_gets_nothing_and_is_not_heard() {
    if !is_possible() {
        return;
    }
    for (mode, path) in &MODES[1..] {
        let scene = Scene::new(mode);
        let mut talk = scene.call("10.2.0.2");
        talk.talk_until(path);
        // Beside the caller, as one NAT of both; on the other side; and with all that a packet tells.
        let beside = scene
            .network
            .inside("caller", || UdpSocket::bind("10.1.0.2:0").unwrap());
        let across = scene
            .network
            .inside("callee", || UdpSocket::bind("10.2.0.2:0").unwrap());
        let packet = talk.caller.packet();
        talk.caller.sequence = talk.caller.sequence.wrapping_sub(1);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        for _ in 0..200 {
            let next = talk.caller.sequence.wrapping_add(1);
            for number in [next, next.wrapping_add(1)] {
                for port in [talk.call.shown_to_caller, talk.call.shown_to_callee] {
                    // Each reaches one side of the relay.
                    let _ = beside.send_to(&strange(number, ssrc), port);
                    let _ = across.send_to(&strange(number, ssrc), port);
                }
            }
            talk.talk(1);
        }
        talk.assert_all_heard(mode);
        assert_eq!(talk.paths(), [*path; 2], "{mode}");
        for stranger in [beside, across] {
            stranger
                .set_read_timeout(Some(Duration::from_millis(100)))
                .unwrap();
            assert!(stranger.recv(&mut [0; 64]).is_err(), "{mode}");
        }
    }
}

/// security.md, row 6, on the fast path: garbage and good-looking media at one port, from a stranger
/// and in the caller's own name, takes nothing of other calls.
#[test]
fn a_flood_at_one_port_hurts_no_other_call() {
    /// Some 100,000 packets in all.
    const STEPS: usize = 250;
    const AT_ONCE: u16 = 200;
    if !is_possible() {
        return;
    }
    for (mode, path) in &MODES[1..] {
        let scene = Scene::new(mode);
        let mut flooded = scene.call("10.2.0.2");
        let mut other = scene.call("10.2.0.2");
        let begin = Instant::now();
        while [flooded.paths(), other.paths()] != [[*path; 2]; 2] {
            assert!(begin.elapsed() < PATIENCE, "{mode}");
            flooded.talk(20);
            other.talk(20);
        }
        let stranger = scene
            .network
            .inside("caller", || UdpSocket::bind("10.1.0.2:0").unwrap());
        let port = flooded.call.shown_to_caller;
        let before = scene.relay.process.cpu();
        for step in 0..STEPS {
            for number in 0..AT_ONCE {
                let mut packet = strange(number, 0x0bad_0bad);
                // No RTP, none of a payload type, RTP.
                match number % 3 {
                    0 => packet[..2].fill(0xff),
                    1 => packet[1] = 77,
                    _ => {}
                }
                stranger.send_to(&packet, port).unwrap();
                // What no latch can tell from the caller, and no RTP either.
                if number % 4 == 0 {
                    packet[0] = 0x40;
                    flooded.caller.rtp.send_to(&packet, port).unwrap();
                }
            }
            other.talk(1);
            if step % 5 == 0 {
                flooded.talk(1);
            }
        }
        let spent = scene.relay.process.cpu() - before;
        other.assert_all_heard(mode);
        assert_eq!(other.paths(), [*path; 2], "{mode}");
        flooded.assert_all_heard(mode);
        println!("{mode}: {spent:?} of the relay's CPU");
        stranger
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        assert!(stranger.recv(&mut [0; 64]).is_err(), "{mode}");
    }
}

#[test]
fn a_relay_that_is_killed_leaves_nothing_behind() {
    if !is_possible() {
        return;
    }
    for (mode, path) in &MODES[1..] {
        let mut scene = Scene::new(mode);
        let (caller, callee) = {
            let mut talk = scene.call("10.2.0.2");
            talk.talk_until(path);
            talk.assert_all_heard(mode);
            let Conversation {
                call,
                caller,
                callee,
                ..
            } = talk;
            ((caller, call.shown_to_caller), callee)
        };
        scene.relay.process.signal(Signal::SIGKILL);
        scene.relay.process.wait(Duration::from_secs(10));
        let (mut caller, port) = caller;
        caller.speak(port, 20);
        callee
            .rtp
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        assert!(callee.rtp.recv(&mut [0; 64]).is_err(), "{mode}");
        // And there is room for another program.
        let mut next = Flows::load(Config {
            max_flows: 1,
            srtp: false,
        })
        .unwrap();
        scene.network.inside("relay", || {
            next.attach("to-caller", Attach::XdpNative).unwrap();
        });
    }
}

#[test]
fn an_interface_that_comes_back_is_used_again() {
    if !is_possible() {
        return;
    }
    let scene = Scene::new("tc");
    let mut talk = scene.call("10.2.0.2");
    talk.talk_until("tc");
    scene.network.on("relay", "ip link del to-callee");
    // The caller speaks on, to nobody.
    talk.caller.speak(talk.call.shown_to_caller, 600);
    let stream = talk.stream("caller");
    assert_eq!(stream.get_str("path"), Some("user space"), "{stream:?}");
    let (relay, callee) = (("relay", "10.2.0.1/24"), ("callee", "10.2.0.2/24"));
    scene.network.join(relay, callee);
    talk.talk_until("tc");
    talk.listen(Duration::from_millis(200));
    let (sent, heard) = (talk.sent, [talk.heard[0].len(), talk.heard[1].len()]);
    talk.talk(50);
    talk.listen(Duration::from_millis(200));
    let more = [0, 1].map(|side: usize| talk.heard[side].len() - heard[side]);
    assert_eq!(more, [50, 50], "of {sent:?} before, {heard:?} were heard");
}

#[test]
fn a_taken_interface_and_missing_rights_leave_a_working_call() {
    if !is_possible() || !has_program("/usr/bin/setpriv") {
        return;
    }
    // Somebody else's program of XDP is there: tc is the next best path.
    let mut others = Flows::load(Config {
        max_flows: 1,
        srtp: false,
    })
    .unwrap();
    let scene = Scene::with("xdp", |network| {
        network.inside("relay", || {
            others.attach("to-caller", Attach::XdpNative).unwrap();
        });
        network.command("relay", env!("CARGO_BIN_EXE_windlass"))
    });
    let log = scene.relay.process.log();
    assert!(
        log.contains("path=\"tc\"") || log.contains("path=tc"),
        "{log}"
    );
    let mut talk = scene.call("10.2.0.2");
    let begin = Instant::now();
    while talk.stream("caller").get_str("path") != Some("tc") {
        assert!(begin.elapsed() < PATIENCE, "{:?}", talk.stream("caller"));
        talk.talk(20);
    }
    talk.talk(50);
    talk.assert_all_heard("xdp is taken");
    drop(talk);
    drop(scene);
    let scene = Scene::with("auto", |network| {
        let mut command = network.command("relay", "setpriv");
        command.args([
            "--inh-caps",
            "-all",
            "--bounding-set",
            "-bpf,-sys_admin",
            "--",
        ]);
        command.arg(env!("CARGO_BIN_EXE_windlass"));
        command
    });
    let log = scene.relay.process.log();
    let said = log.lines().filter(|line| line.contains("no kernel flows"));
    let said: Vec<_> = said.collect();
    assert_eq!(said.len(), 1, "{log}");
    assert!(said[0].contains("CAP_BPF"), "{log}");
    let mut talk = scene.call("10.2.0.2");
    talk.talk(100);
    talk.assert_all_heard("no rights");
    assert_eq!(
        talk.stream("caller").get_str("path reason"),
        Some("kernel flows are off")
    );
}
