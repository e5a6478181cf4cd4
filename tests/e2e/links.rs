//! What links do to packets: smaller than a datagram, and with addresses that come and go.
//!
//! ```text
//! caller 10.1.0.2 - 10.1.0.1 relay 10.2.0.1 and fd02::1 - callee 10.2.0.2 and fd02::2
//! ```

use std::time::Duration;

use windlass_ng::{Dict, Value};

use crate::common::netns::Network;
use crate::common::phone::{Call, Phone};
use crate::common::process::Relay;
use crate::common::{has_program, is_root, lock_machine, wait_for};
use crate::rungs::{rungs, steering};

/// Around the size of both links, around what is queued for sending, and as long as is relayed.
const LENGTHS: [usize; 10] = [172, 1252, 1253, 1272, 1273, 1473, 2000, 2001, 5000, 9216];

struct Scene {
    // The relay ends before its network does.
    relay: Relay,
    network: Network,
}

impl Scene {
    /// `more` of the configuration.
    fn new(rung: &str, more: &str) -> Self {
        let network = Network::new(&["caller", "relay", "callee"]);
        network.join(("caller", "10.1.0.2/24"), ("relay", "10.1.0.1/24"));
        network.join(("relay", "10.2.0.1/24"), ("callee", "10.2.0.2/24"));
        network.on("relay", "ip address add fd02::1/64 dev to-callee nodad");
        network.on("callee", "ip address add fd02::2/64 dev to-relay nodad");
        let interfaces = "[[interface]]\nname = \"one\"\naddress = \"10.1.0.1\"\n\
                          [[interface]]\nname = \"two\"\naddress = \"10.2.0.1\"\n\
                          [[interface]]\nname = \"two\"\naddress = \"fd02::1\"\n";
        let command = network.command("relay", env!("CARGO_BIN_EXE_windlass"));
        let relay = Relay::launch(command, interfaces, &(steering(rung) + more));
        Self { relay, network }
    }

    fn call(&self, callee: &str) -> (Call, [Phone; 2]) {
        let caller = self.network.inside("caller", || Phone::new("10.1.0.2"));
        let callee = self.network.inside("callee", || Phone::new(callee));
        let family = if callee.address().is_ipv4() {
            "IP4"
        } else {
            "IP6"
        };
        let direction = Value::List(vec!["one".into(), "two".into()]);
        let more = Dict::new()
            .with("direction", direction)
            .with("address-family", family);
        let call = self.network.inside("relay", || {
            Call::set_up_with(&self.relay, family, &caller, &callee, more)
        });
        (call, [caller, callee])
    }
}

fn long(phone: &mut Phone, length: usize) -> Vec<u8> {
    let mut packet = phone.packet();
    let bytes = (0u8..=250).cycle();
    let missing = length - packet.len();
    packet.extend(bytes.take(missing));
    packet
}

/// Every packet of one phone arrives whole at the other, in order.
fn pass(from: &mut Phone, via: std::net::SocketAddr, to: &Phone, what: &str) {
    let mut buffer = [0; 16_384];
    for length in LENGTHS {
        let packet = long(from, length);
        from.rtp.send_to(&packet, via).unwrap();
        let heard = to.rtp.recv(&mut buffer);
        let heard = heard.unwrap_or_else(|error| panic!("{what}, {length} bytes: {error}"));
        assert!(buffer[..heard] == packet, "{what}: {heard} of {length}");
    }
}

#[test]
fn what_is_longer_than_a_link_or_a_route_carries_is_cut_and_put_together() {
    if !is_root() || !has_program("/usr/sbin/ip") {
        return;
    }
    for rung in rungs() {
        let _lock = lock_machine();
        for on_link in [true, false] {
            let scene = Scene::new(rung, "");
            if on_link {
                scene.network.on("relay", "ip link set to-callee mtu 1300");
                scene.network.on("callee", "ip link set to-relay mtu 1300");
            } else {
                let v4 = "ip route change 10.2.0.0/24 dev to-callee src 10.2.0.1 mtu 1300";
                scene.network.on("relay", v4);
                let v6 = "ip -6 route change fd02::/64 dev to-callee metric 256 mtu 1300";
                scene.network.on("relay", v6);
            }
            for address in ["10.2.0.2", "fd02::2"] {
                let (call, [mut caller, mut callee]) = scene.call(address);
                let what = format!("{rung}, link: {on_link}, {address}");
                pass(&mut caller, call.shown_to_caller, &callee, &what);
                pass(&mut callee, call.shown_to_callee, &caller, &what);
            }
        }
    }
}

#[test]
fn an_address_that_goes_and_returns_ends_no_call() {
    if !is_root() || !has_program("/usr/sbin/ip") {
        return;
    }
    for rung in rungs() {
        let _lock = lock_machine();
        let scene = Scene::new(rung, "");
        let (call, [mut caller, mut callee]) = scene.call("10.2.0.2");
        let talk = |caller: &mut Phone, callee: &mut Phone| {
            caller.speak(call.shown_to_caller, 20);
            callee.speak(call.shown_to_callee, 20);
            [callee.hear(20), caller.hear(20)]
        };
        assert_eq!(talk(&mut caller, &mut callee), [20, 20], "{rung}");
        let network = &scene.network;
        network.on("relay", "ip address del 10.2.0.1/24 dev to-callee");
        assert_eq!(talk(&mut caller, &mut callee), [0, 0], "{rung}");
        network.on("relay", "ip address add 10.2.0.1/24 dev to-callee");
        // The callee's question for the address may have gone unanswered; it asks again after a second.
        wait_for("the way back", Duration::from_secs(10), || {
            callee.speak(call.shown_to_callee, 1);
            (caller.hear(1) == 1).then_some(())
        });
        while caller.hear(1) == 1 {}
        assert_eq!(talk(&mut caller, &mut callee), [20, 20], "{rung}");
        // And the next one gets its ports.
        let (call, [mut caller, callee]) = scene.call("10.2.0.2");
        caller.speak(call.shown_to_caller, 5);
        assert_eq!(callee.hear(5), 5, "{rung}");
    }
}

/// The queues of IPv6 ports are on its loopback.
#[test]
fn without_a_loopback_of_ipv6_ports_have_sockets() {
    if !is_root() || !has_program("/usr/sbin/ip") {
        return;
    }
    let _lock = lock_machine();
    let network = Network::new(&["relay", "other"]);
    network.join(("relay", "10.2.0.1/24"), ("other", "10.2.0.2/24"));
    network.on("relay", "sysctl -q -w net.ipv6.conf.lo.disable_ipv6=1");
    network.on("relay", "ip address add fd02::1/64 dev to-other nodad");
    let interfaces = "[[interface]]\naddress = \"127.0.0.1\"\n\
                      [[interface]]\naddress = \"fd02::1\"\n";
    let command = network.command("relay", env!("CARGO_BIN_EXE_windlass"));
    let relay = Relay::launch(command, interfaces, "");
    let log = relay.process.log();
    let line = log.lines().find(|line| line.contains("not steered"));
    assert!(
        line.is_some_and(|line| line.contains("no shared socket")),
        "{log}"
    );
    let phones = || [Phone::new("127.0.0.1"), Phone::new("127.0.0.1")];
    let [mut caller, callee] = network.inside("relay", phones);
    let call = network.inside("relay", || Call::set_up(&relay, "v4", &caller, &callee));
    caller.speak(call.shown_to_caller, 20);
    assert_eq!(callee.hear(20), 20);
}

/// What the queues of a device, and VLANs, go by (`SO_PRIORITY`), follows the TOS.
#[test]
fn packets_have_the_priority_of_their_tos() {
    if !is_root() || !has_program("/usr/sbin/ip") || !has_program("/usr/sbin/nft") {
        return;
    }
    for rung in rungs() {
        let _lock = lock_machine();
        let scene = Scene::new(rung, "[media]\ntos = 184\n");
        let on_relay = |line: &str| scene.network.on("relay", line);
        on_relay("nft add table ip q");
        on_relay("nft 'add chain ip q out { type filter hook output priority 0 ; }'");
        on_relay("nft add rule ip q out ip dscp ef meta priority 0:4 counter");
        let (call, [mut caller, callee]) = scene.call("10.2.0.2");
        caller.speak(call.shown_to_caller, 20);
        assert_eq!(callee.hear(20), 20, "{rung}");
        let mut nft = scene.network.command("relay", "nft");
        let counted = nft.args(["list", "ruleset"]).output().unwrap().stdout;
        let counted = String::from_utf8(counted).unwrap();
        assert!(counted.contains("packets 20 "), "{rung}: {counted}");
    }
}
