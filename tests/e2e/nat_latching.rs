//! Two networks with the relay between them, a real NAT before one phone, and a stranger.
//!
//! ```text
//! phone 192.168.50.2 - nat 198.51.100.7 - relay 203.0.113.1 | 10.9.0.1 - office phone 10.9.0.2
//!                                   stranger 203.0.113.66 /
//! ```

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use windlass_ng::client::{Client, ClientOptions};
use windlass_ng::{Dict, Value};

use crate::common::netns::Network;
use crate::common::phone::{Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::{has_program, is_root, lock_machine, sdp};

const PACKETS: usize = 50;

/// How long speech may be on its way, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

const PORTS: std::ops::RangeInclusive<u16> = 30000..=30099;

struct Scene {
    network: Network,
    relay: Relay,
    phone: Phone,
    office: Phone,
    stranger: UdpSocket,
}

impl Scene {
    fn new(ports: (u16, u16)) -> Self {
        let network = Network::new(&["phone", "nat", "relay", "strange", "office"]);
        network.join(("phone", "192.168.50.2/24"), ("nat", "192.168.50.1/24"));
        network.join(("nat", "198.51.100.7/24"), ("relay", "198.51.100.1/24"));
        network.join(("strange", "203.0.113.66/24"), ("relay", "203.0.113.1/24"));
        network.join(("office", "10.9.0.2/24"), ("relay", "10.9.0.1/24"));
        network.default_route("phone", "192.168.50.1");
        network.default_route("nat", "198.51.100.1");
        network.default_route("strange", "203.0.113.1");
        network.on("nat", "sysctl -q -w net.ipv4.ip_forward=1");
        network.on("nat", "nft add table ip nat");
        network.on(
            "nat",
            "nft 'add chain ip nat post { type nat hook postrouting priority 100 ; }'",
        );
        network.on(
            "nat",
            "nft add rule ip nat post oifname to-relay masquerade random",
        );
        let interfaces = format!(
            "[[interface]]\nname = \"ext\"\naddress = \"203.0.113.1\"\n\
             [[interface]]\nname = \"int\"\naddress = \"10.9.0.1\"\n\
             [ports]\nmin = {}\nmax = {}\n[timeouts]\ndelete_delay = 0\n",
            ports.0, ports.1
        );
        let command = network.command("relay", env!("CARGO_BIN_EXE_windlass"));
        let relay = Relay::launch(command, &interfaces, "");
        let phone = network.inside("phone", || Phone::new("192.168.50.2"));
        let office = network.inside("office", || Phone::new("10.9.0.2"));
        let stranger = network.inside("strange", || UdpSocket::bind("203.0.113.66:0").unwrap());
        stranger.set_nonblocking(true).unwrap();
        Self {
            network,
            relay,
            phone,
            office,
            stranger,
        }
    }

    fn ask(&self, request: &Dict) -> Dict {
        let ng = self.relay.ng;
        let client = self.network.inside("relay", || {
            Client::connect(ng, ClientOptions::default()).unwrap()
        });
        client.request(request).unwrap()
    }

    /// Sets the call up; where the phone and the office are to send.
    fn call(&self, id: &str, received_from: Option<&str>) -> (SocketAddr, SocketAddr) {
        let text = |words: &[&str]| Value::List(words.iter().map(|w| Value::from(*w)).collect());
        let mut request = offer(id, &sdp::audio(self.phone.address(), ""));
        request.push("direction", text(&["ext", "int"]));
        request.push("replace", text(&["origin"]));
        if let Some(address) = received_from {
            request.push("received-from", text(&["IP4", address]));
        }
        let reply = self.ask(&request);
        let to_office = reply.get_str("sdp").unwrap().to_owned();
        assert!(!to_office.contains("192.168.50."), "{to_office}");
        let mut request = answer(id, &sdp::audio(self.office.address(), ""));
        request.push("replace", text(&["origin"]));
        let reply = self.ask(&request);
        let to_phone = reply.get_str("sdp").unwrap().to_owned();
        assert!(
            !to_phone.contains("10.9.0."),
            "the private address is shown: {to_phone}"
        );
        (sdp::address(&to_phone, 0), sdp::address(&to_office, 0))
    }

    /// One RTP packet of the stranger to every port of the range, as consistent as can be.
    fn spray(&self, sequence: &mut u16) {
        *sequence = sequence.wrapping_add(1);
        let mut packet = vec![0x80, 8];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&(u32::from(*sequence) * 160).to_be_bytes());
        packet.extend_from_slice(&[6, 6, 6, 6]);
        packet.extend_from_slice(&[0x66; 160]);
        for port in PORTS {
            let _ = self.stranger.send_to(&packet, ("203.0.113.1", port));
        }
    }

    /// Both speak, and say how much each heard of the other and of the stranger.
    fn talk(&mut self, to_phone: SocketAddr, to_office: SocketAddr) -> [Heard; 2] {
        self.talk_until(to_phone, to_office, [PACKETS, PACKETS])
    }

    /// As [`Self::talk`], where phone and office are to hear at least so much.
    fn talk_until(
        &mut self,
        to_phone: SocketAddr,
        to_office: SocketAddr,
        expected: [usize; 2],
    ) -> [Heard; 2] {
        for _ in 0..PACKETS {
            let packet = self.phone.packet();
            self.phone.rtp.send_to(&packet, to_phone).unwrap();
            std::thread::park_timeout(Duration::from_millis(4));
            let packet = self.office.packet();
            self.office.rtp.send_to(&packet, to_office).unwrap();
        }
        let [phone, office] = expected;
        [
            listen(&self.phone.rtp, phone),
            listen(&self.office.rtp, office),
        ]
    }

    fn stranger_heard(&self) -> usize {
        let mut buffer = [0u8; 2048];
        std::iter::from_fn(|| self.stranger.recv(&mut buffer).ok()).count()
    }
}

#[derive(Debug, Default)]
struct Heard {
    speech: usize,
    strange: usize,
}

/// What arrives until this much speech is there, and then nothing more comes.
fn listen(socket: &UdpSocket, expected: usize) -> Heard {
    let mut heard = Heard::default();
    let mut buffer = [0u8; 2048];
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) if buffer[..length].get(12) == Some(&0x66) => heard.strange += 1,
            Ok(_) => heard.speech += 1,
            Err(_) if heard.speech >= expected || Instant::now() > deadline => return heard,
            Err(_) => {}
        }
    }
}

fn scene() -> Option<(std::fs::File, Scene)> {
    scene_with((*PORTS.start(), *PORTS.end()))
}

fn scene_with(ports: (u16, u16)) -> Option<(std::fs::File, Scene)> {
    if !is_root() || !has_program("/usr/sbin/nft") || !has_program("/usr/sbin/ip") {
        return None;
    }
    let lock = lock_machine();
    let random = Command::new("sh").args(["-c", "nft list tables"]).status();
    if !random.is_ok_and(|status| status.success()) {
        println!("skipped: this kernel has no nftables");
        return None;
    }
    Some((lock, Scene::new(ports)))
}

#[test]
fn a_phone_behind_nat_is_heard_with_its_sip_source_known() {
    let Some((_lock, mut scene)) = scene() else {
        return;
    };
    let (to_phone, to_office) = scene.call("known", Some("198.51.100.7"));
    let mut sequence = 100;
    // Before the phone's first packet a consistent stream may be heard, but gets nothing.
    for _ in 0..20 {
        scene.spray(&mut sequence);
    }
    scene.office.speak(to_office, 5);
    listen(&scene.office.rtp, 0);
    // The phone's address is that of its signalling: one packet is enough.
    scene.phone.speak(to_phone, 1);
    assert_eq!(listen(&scene.office.rtp, 1).speech, 1);
    let over = AtomicBool::new(false);
    let heard = std::thread::scope(|scope| {
        let stranger = scene.stranger.try_clone().unwrap();
        let over = &over;
        scope.spawn(move || {
            let mut sequence = 5000u16;
            while !over.load(Relaxed) {
                sequence = sequence.wrapping_add(1);
                let mut packet = vec![0x80, 8];
                packet.extend_from_slice(&sequence.to_be_bytes());
                packet.extend_from_slice(&[0, 0, 1, 1, 6, 6, 6, 6]);
                packet.extend_from_slice(&[0x66; 160]);
                for port in PORTS {
                    let _ = stranger.send_to(&packet, ("203.0.113.1", port));
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        let heard = scene.talk(to_phone, to_office);
        over.store(true, Relaxed);
        heard
    });
    let [phone, office] = heard;
    assert_eq!((phone.speech, office.speech), (PACKETS, PACKETS));
    assert_eq!(
        (phone.strange, office.strange),
        (0, 0),
        "the stranger was heard"
    );
    assert_eq!(scene.stranger_heard(), 0, "the stranger got media");
}

#[test]
fn a_phone_behind_nat_is_heard_without_any_hint() {
    let Some((_lock, mut scene)) = scene() else {
        return;
    };
    let (to_phone, to_office) = scene.call("blind", None);
    let [phone, office] = scene.talk_until(to_phone, to_office, [PACKETS - 5, PACKETS - 4]);
    // The run that proves the source is not forwarded.
    assert!(office.speech >= PACKETS - 4, "{office:?}");
    assert!(phone.speech >= PACKETS - 5, "{phone:?}");
    // After settling nobody else is heard, and nobody else hears.
    let mut sequence = 100;
    for _ in 0..20 {
        scene.spray(&mut sequence);
    }
    let [phone, office] = scene.talk(to_phone, to_office);
    assert_eq!((phone.speech, office.speech), (PACKETS, PACKETS));
    assert_eq!(
        (phone.strange, office.strange),
        (0, 0),
        "the stranger was heard"
    );
    assert_eq!(scene.stranger_heard(), 0, "the stranger got media");
    let query = Dict::new()
        .with("command", "query")
        .with("call-id", "blind");
    let reply = Value::from(scene.ask(&query));
    let mut text = Vec::new();
    reply.write_bencode(&mut text);
    assert!(
        String::from_utf8_lossy(&text).contains("198.51.100.7"),
        "the NAT is the endpoint"
    );
}

impl Scene {
    /// Consistent RTP of the stranger to one port, as of a phone.
    fn intrude(&self, port: SocketAddr, first: u16, packets: u16) {
        for sequence in first..first + packets {
            let mut packet = vec![0x80, 8];
            packet.extend_from_slice(&sequence.to_be_bytes());
            packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
            packet.extend_from_slice(&[6, 6, 6, 6]);
            packet.extend_from_slice(&[0x66; 160]);
            self.stranger.send_to(&packet, port).unwrap();
            std::thread::park_timeout(Duration::from_millis(4));
        }
    }
}

#[test]
fn a_pause_of_the_phone_lets_no_stranger_in() {
    let Some((_lock, mut scene)) = scene() else {
        return;
    };
    let (to_phone, to_office) = scene.call("mute", Some("198.51.100.7"));
    let [phone, office] = scene.talk(to_phone, to_office);
    assert_eq!((phone.speech, office.speech), (PACKETS, PACKETS));
    std::thread::park_timeout(Duration::from_millis(3300));
    scene.intrude(to_phone, 100, 20);
    assert_eq!(
        listen(&scene.office.rtp, 0).strange,
        0,
        "the stranger was heard"
    );
    let [phone, office] = scene.talk(to_phone, to_office);
    assert_eq!((phone.speech, office.speech), (PACKETS, PACKETS));
    assert_eq!(scene.stranger_heard(), 0, "the stranger got media");
}

#[test]
fn a_phone_that_goes_on_is_not_heard_in_the_next_call_on_its_port() {
    // Ports of two calls: the one after the next has the same as the first.
    let Some((_lock, mut scene)) = scene_with((31_000, 31_003)) else {
        return;
    };
    let (to_phone, to_office) = scene.call("first", None);
    scene.talk_until(to_phone, to_office, [PACKETS - 5, PACKETS - 4]);
    let delete = |scene: &Scene, id: &str| {
        let delete = Dict::new().with("command", "delete").with("call-id", id);
        scene.ask(&delete.with("delete-delay", 0));
    };
    delete(&scene, "first");
    scene.call("between", None);
    delete(&scene, "between");
    // Another phone, which is silent yet; the first one has not heard the BYE.
    let next = scene.network.inside("phone", || Phone::new("192.168.50.2"));
    let mut first = std::mem::replace(&mut scene.phone, next);
    let (again, _) = scene.call("next", None);
    assert_eq!(again, to_phone, "the port is another");
    first.speak(to_phone, PACKETS);
    assert_eq!(
        listen(&scene.office.rtp, 0).speech,
        0,
        "the first phone was heard"
    );
    scene.phone.speak(to_phone, PACKETS);
    let heard = listen(&scene.office.rtp, PACKETS - 4).speech;
    assert!(heard >= PACKETS - 4, "{heard}");
}

/// `connect` across calls: the phone was found behind its NAT in one call, and goes on in another.
#[test]
fn a_phone_that_is_connected_to_another_call_stays_found() {
    let Some((_lock, mut scene)) = scene() else {
        return;
    };
    let (to_phone, to_office) = scene.call("found", None);
    scene.talk(to_phone, to_office);
    let desk = scene.network.inside("office", || Phone::new("10.9.0.2"));
    let third = scene.network.inside("office", || Phone::new("10.9.0.2"));
    let request = |command: &'static str, phone: &Phone| {
        let text = |words: &[&str]| Value::List(words.iter().map(|w| Value::from(*w)).collect());
        Dict::new()
            .with("command", command)
            .with("call-id", "desk")
            .with("from-tag", "desk")
            .with("sdp", sdp::audio(phone.address(), ""))
            .with("direction", text(&["int", "int"]))
    };
    scene.ask(&request("offer", &desk));
    let reply = scene.ask(&request("answer", &third).with("to-tag", "third"));
    let to_desk = sdp::address(reply.get_str("sdp").unwrap(), 0);
    let connect = Dict::new()
        .with("command", "connect")
        .with("call-id", "desk")
        .with("from-tag", "desk")
        .with("to-call-id", "found")
        .with("to-tag", "caller");
    let reply = scene.ask(&connect);
    assert_eq!(reply.get_str("result"), Some("ok"), "{reply:?}");
    listen(&scene.phone.rtp, 0);
    // The phone says nothing yet.
    let mut desk = desk;
    desk.speak(to_desk, PACKETS);
    assert_eq!(
        listen(&scene.phone.rtp, PACKETS).speech,
        PACKETS,
        "the phone was lost"
    );
    // Had it to prove itself anew, the first three packets would be lost.
    scene.phone.speak(to_phone, PACKETS);
    assert_eq!(listen(&desk.rtp, PACKETS).speech, PACKETS);
    scene.intrude(to_phone, 100, 20);
    assert_eq!(listen(&desk.rtp, 0).strange, 0, "the stranger was heard");
    assert_eq!(scene.stranger_heard(), 0, "the stranger got media");
}
