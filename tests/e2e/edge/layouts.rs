//! The networks of docs/edge.md, with the configuration files that it shows: a call in each, with
//! audio both ways.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::common::netns::Network;
use crate::common::phone::Phone;
use crate::common::process::Process;
use crate::common::sip::{Dialog, Party, sdp};
use crate::common::{TempDir, has_program, is_root, lock_machine, wait_for};

/// Who is where in a layout.
struct Layout {
    file: &'static str,
    /// The phone's own address, and that of the edge for it.
    phone: &'static str,
    edge: &'static str,
    /// The PBX's address, and where it sends its own requests.
    pbx: &'static str,
    core: &'static str,
    /// Where the media of the phone and of the PBX goes.
    media: [&'static str; 2],
}

fn start(network: &Network, directory: &TempDir, file: &str) -> Process {
    let path = format!("{}/docs/edge/{file}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut command = network.command("edge", env!("CARGO_BIN_EXE_windlass"));
    command.args(["run", "--config", &path]);
    let process = Process::start(command, &directory.path().join("log"));
    wait_for("the edge", Duration::from_secs(30), || {
        let log = process.log();
        assert!(!log.contains("error:"), "{log}");
        log.contains("daemon: ready").then_some(())
    });
    process
}

/// A call from the phone to the PBX with audio, which the PBX changes and ends.
fn call(network: &Network, layout: &Layout) {
    let directory = TempDir::new(layout.file);
    let edge = start(network, &directory, layout.file);
    let to_edge: SocketAddr = layout.edge.parse().unwrap();
    let core: SocketAddr = layout.core.parse().unwrap();
    let pbx: SocketAddr = layout.pbx.parse().unwrap();
    let (mut alice, mut her_sound) = network.inside("phone", || {
        (
            Party::udp("alice", layout.phone, to_edge),
            Phone::new(layout.phone),
        )
    });
    let (mut bob, mut his_sound) = network.inside("pbx", || {
        let host = pbx.ip().to_string();
        (Party::udp_at("bob", pbx, core), Phone::new(&host))
    });
    let [hers, his] = [&her_sound, &his_sound].map(|phone| sdp(phone.address()));
    let mut out = alice.request("INVITE", "sip:bob@example.com", "", &hers);
    let invite = bob.expect("INVITE");
    bob.reply(&invite, "180 Ringing", "b", "", "");
    bob.reply(&invite, "200 OK", "b", "", &his);
    let answer = alice.expect("200");
    let media = layout
        .media
        .map(|address| address.parse::<IpAddr>().unwrap());
    let told = [&answer, &invite].map(|message| message.media());
    assert_eq!(
        told.map(|at| at.ip()),
        media,
        "{}\n{}",
        answer.text,
        edge.log()
    );
    let ways = answer.all("Record-Route");
    let names = |way: &&str| way.contains(&format!("<sip:{}", to_edge.ip()));
    assert!(ways.iter().any(names), "{ways:?}");
    out.answered(&answer);
    alice.ack(&out, "");
    bob.expect("ACK");
    her_sound.speak(told[0], 30);
    assert_eq!(his_sound.hear(30), 30, "{}", edge.log());
    his_sound.speak(told[1], 30);
    assert_eq!(her_sound.hear(30), 30, "{}", edge.log());

    let mut back = Dialog::of_callee(&invite, "b");
    bob.again(&mut back, "INVITE", "", &his);
    let again = alice.expect("INVITE");
    alice.reply(&again, "200 OK", "", "", &hers);
    bob.expect("200");
    bob.ack(&back, "");
    alice.expect("ACK");
    bob.again(&mut back, "BYE", "", "");
    let bye = alice.expect("BYE");
    alice.reply(&bye, "200 OK", "", "", "");
    bob.expect("200");
}

#[test]
fn layout_of_two_interfaces() {
    if !is_root() {
        return;
    }
    let _lock = lock_machine();
    let network = Network::new(&["phone", "edge", "pbx"]);
    network.join(("phone", "203.0.113.7/24"), ("edge", "203.0.113.1/24"));
    network.join(("edge", "192.0.2.10/24"), ("pbx", "192.0.2.20/24"));
    call(
        &network,
        &Layout {
            file: "two-interfaces",
            phone: "203.0.113.7",
            edge: "203.0.113.1:5060",
            pbx: "192.0.2.20:5060",
            core: "192.0.2.10:5060",
            media: ["203.0.113.1", "192.0.2.10"],
        },
    );
}

/// A firewall between phones, DMZ and LAN; it joins nobody to the LAN.
fn dmz() -> Network {
    let network = Network::new(&["phone", "fw", "edge", "pbx", "lan"]);
    network.join(("phone", "198.51.100.7/24"), ("fw", "198.51.100.1/24"));
    network.join(("fw", "203.0.113.25/29"), ("edge", "203.0.113.26/29"));
    network.on("fw", "sysctl -qw net.ipv4.ip_forward=1");
    network.default_route("phone", "198.51.100.1");
    network.default_route("edge", "203.0.113.25");
    network
}

/// Joins hosts to one LAN: a switch, whose ports need no address.
fn switch(network: &Network, hosts: &[(&str, &str)]) {
    network.on("lan", "ip link add switch type bridge");
    network.on("lan", "ip link set switch up");
    for (number, (host, address)) in hosts.iter().enumerate() {
        network.join(
            (host, address),
            ("lan", &format!("169.254.0.{}/32", number + 1)),
        );
        network.on("lan", &format!("ip link set to-{host} master switch"));
    }
    network.default_route("pbx", "192.0.2.1");
    // Phones reach the PBX by the edge only.
    network.on("fw", "nft add table ip f");
    network.on(
        "fw",
        "nft 'add chain ip f forward { type filter hook forward priority 0; }'",
    );
    network.on(
        "fw",
        "nft add rule ip f forward ip saddr 198.51.100.0/24 ip daddr 192.0.2.0/24 drop",
    );
    network.on(
        "fw",
        "nft add rule ip f forward ip saddr 192.0.2.0/24 ip daddr 198.51.100.0/24 drop",
    );
}

#[test]
fn layout_of_a_dmz() {
    if !is_root() || !has_program("/usr/sbin/nft") {
        return;
    }
    let _lock = lock_machine();
    let network = dmz();
    switch(
        &network,
        &[("fw", "192.0.2.1/24"), ("pbx", "192.0.2.20/24")],
    );
    call(
        &network,
        &Layout {
            file: "dmz",
            phone: "198.51.100.7",
            edge: "203.0.113.26:5060",
            pbx: "192.0.2.20:5060",
            core: "203.0.113.26:5080",
            media: ["203.0.113.26", "203.0.113.26"],
        },
    );
}

#[test]
fn layout_of_a_dmz_with_media_on_the_lan() {
    if !is_root() || !has_program("/usr/sbin/nft") {
        return;
    }
    let _lock = lock_machine();
    let network = dmz();
    let hosts = [
        ("fw", "192.0.2.1/24"),
        ("pbx", "192.0.2.20/24"),
        ("edge", "192.0.2.10/24"),
    ];
    switch(&network, &hosts);
    // SIP from the DMZ's address leaves by the firewall, as media of the LAN does not.
    network.on("edge", "ip rule add from 203.0.113.26 lookup 100");
    network.on("edge", "ip route add default via 203.0.113.25 table 100");
    call(
        &network,
        &Layout {
            file: "dmz-media-on-lan",
            phone: "198.51.100.7",
            edge: "203.0.113.26:5060",
            pbx: "192.0.2.20:5060",
            core: "203.0.113.26:5080",
            media: ["203.0.113.26", "192.0.2.10"],
        },
    );
}

#[test]
fn layout_of_one_to_one_nat() {
    if !is_root() || !has_program("/usr/sbin/nft") {
        return;
    }
    let _lock = lock_machine();
    let network = Network::new(&["phone", "nat", "edge", "pbx"]);
    network.join(("phone", "198.51.100.7/24"), ("nat", "198.51.100.1/24"));
    network.join(("nat", "10.0.0.1/24"), ("edge", "10.0.0.5/24"));
    network.join(("edge", "10.0.1.5/24"), ("pbx", "10.0.1.20/24"));
    network.default_route("phone", "198.51.100.1");
    network.default_route("edge", "10.0.0.1");
    network.on("nat", "sysctl -qw net.ipv4.ip_forward=1");
    network.on("nat", "nft add table ip n");
    network.on(
        "nat",
        "nft 'add chain ip n before { type nat hook prerouting priority -100; }'",
    );
    network.on(
        "nat",
        "nft 'add chain ip n after { type nat hook postrouting priority 100; }'",
    );
    network.on(
        "nat",
        "nft add rule ip n before ip daddr 203.0.113.50 dnat to 10.0.0.5",
    );
    network.on(
        "nat",
        "nft add rule ip n after ip saddr 10.0.0.5 snat to 203.0.113.50",
    );
    call(
        &network,
        &Layout {
            file: "one-to-one-nat",
            phone: "198.51.100.7",
            edge: "203.0.113.50:5060",
            pbx: "10.0.1.20:5060",
            core: "10.0.1.5:5060",
            media: ["203.0.113.50", "10.0.1.5"],
        },
    );
}
