//! Real packets from one host to another, past the sockets of the relay between them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use windlass_kernel_assist::flows::{
    Attach, Config, Figures, Flow, Flows, FlowsError, NextHop, Point, Reason, Routes, Why,
};

use crate::frame::rtp;
use crate::load;
use crate::netns::{Network, V4, V6};

const ALL: [Attach; 3] = [Attach::Tc, Attach::XdpGeneric, Attach::XdpNative];

/// One stream: the caller, the port of the relay, and the callee.
struct Stream {
    caller: UdpSocket,
    /// Hears what is passed up.
    relay: UdpSocket,
    callee: UdpSocket,
    local: SocketAddr,
    from: SocketAddr,
    sequence: u16,
}

impl Stream {
    /// From hosts of the first family to those of the second.
    fn new(network: &Network, arrives: [&str; 4], leaves: [&str; 4]) -> Self {
        let at = |host: &str, port| SocketAddr::new(host.parse().unwrap(), port);
        let local = at(arrives[1], 30_000);
        let stream = Self {
            caller: network.socket("a", at(arrives[0], 40_000)),
            relay: network.socket("r", local),
            callee: network.socket("b", at(leaves[3], 50_000)),
            local,
            from: at(leaves[2], 31_000),
            sequence: 0,
        };
        stream.caller.connect(local).unwrap();
        stream
    }

    fn flow(&self, next_hop: NextHop) -> Flow {
        let source = self.caller.local_addr().unwrap();
        let to = self.callee.local_addr().unwrap();
        Flow::new(self.local, Some(source), [self.from, to], next_hop)
    }

    fn speak(&mut self, packets: u16, media: usize) {
        for _ in 0..packets {
            let payload = u8::try_from(self.sequence % 251).unwrap();
            let mut packet = rtp(0x80, 8, self.sequence, 0, 0xcafe);
            packet.resize(12 + media, payload);
            self.caller.send(&packet).unwrap();
            self.sequence += 1;
        }
    }

    /// Packets that the callee has heard, and that were passed up: waits for as many as are
    /// wanted, and takes what else there is.
    fn outcome(&self, heard: usize, passed_up: usize) -> (usize, usize) {
        let mut before = None;
        let mut hear = |packet: &[u8], source: SocketAddr| {
            assert_eq!(source, self.from);
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            let is_next = |before: u16| before + 1 == sequence;
            assert!(before.replace(sequence).is_none_or(is_next));
            let media = u8::try_from(sequence % 251).unwrap();
            assert!(packet[12..].iter().all(|byte| *byte == media));
        };
        (
            receive(&self.callee, heard, &mut hear),
            receive(&self.relay, passed_up, &mut |_, _| ()),
        )
    }
}

fn receive(socket: &UdpSocket, wanted: usize, each: &mut dyn FnMut(&[u8], SocketAddr)) -> usize {
    let mut buffer = [0; 4096];
    let mut count = 0;
    loop {
        socket.set_nonblocking(count >= wanted).unwrap();
        let Ok((length, source)) = socket.recv_from(&mut buffer) else {
            return count;
        };
        each(&buffer[..length], source);
        count += 1;
    }
}

fn read(flows: &Flows, stream: &Stream) -> Figures {
    flows.read(stream.local).unwrap()
}

#[test]
fn media_goes_from_host_to_host_in_every_way() {
    const PACKETS: u16 = 200;
    for how in ALL {
        let Some(mut network) = Network::new() else {
            return;
        };
        let mut flows = load(8).unwrap();
        network.attach(&mut flows, how);
        // The system of the relay completes sums that were left to it, so that the callee's
        // system checks all of them.
        network.set_offload("r", "to-b", false);
        let next_hops = match how {
            Attach::Tc => vec![
                network.to_callee(None),
                NextHop::Route {
                    interface: Some(network.interface("r", "to-b")),
                },
            ],
            _ => vec![network.to_callee(None)],
        };
        for (arrives, leaves) in [(V4, V4), (V4, V6), (V6, V4), (V6, V6)] {
            for leaves_sums in [true, false] {
                network.set_offload("a", "to-r", leaves_sums);
                for next_hop in &next_hops {
                    let what = (how, arrives[0], leaves[0], leaves_sums, next_hop);
                    let mut stream = Stream::new(&network, arrives, leaves);
                    flows.insert(&stream.flow(*next_hop), &[]).unwrap();
                    stream.speak(PACKETS, 160);
                    // An odd length, and the shortest.
                    stream.speak(1, 161);
                    stream.speak(1, 0);
                    let sent = usize::from(PACKETS) + 2;
                    if how == Attach::XdpGeneric && leaves_sums {
                        assert_eq!(stream.outcome(0, sent), (0, sent), "{what:?}");
                        let figures = &flows.remove([stream.local]).unwrap()[0].1;
                        assert!(figures.reasons.iter().eq([Reason::Checksum]), "{what:?}");
                        continue;
                    }
                    assert_eq!(stream.outcome(sent, 0), (sent, 0), "{what:?}");
                    let last = flows.remove([stream.local]).unwrap();
                    let figures = &last[0].1;
                    assert_eq!(figures.packets, sent as u64, "{what:?}");
                    assert_eq!(figures.bytes, 200 * 172 + 173 + 12, "{what:?}");
                    assert_eq!(
                        (figures.passed_up, figures.sources.len()),
                        (0, 1),
                        "{what:?}"
                    );
                    let source = figures.sources[0];
                    assert_eq!((source.ssrc, source.late, source.lost()), (0xcafe, 0, 0));
                    // The flow is gone, and the port hears.
                    stream.speak(1, 160);
                    assert_eq!(stream.outcome(0, 1), (0, 1), "{what:?}");
                }
            }
        }
    }
}

#[test]
fn an_unknown_neighbour_passes_up_until_it_is_known() {
    for how in ALL {
        let Some(mut network) = Network::new() else {
            return;
        };
        let mut flows = load(8).unwrap();
        network.attach(&mut flows, how);
        for (hosts, family) in [(V4, "ipv4"), (V6, "ipv6")] {
            let mut stream = Stream::new(&network, hosts, hosts);
            let route = NextHop::Route { interface: None };
            flows.insert(&stream.flow(route), &[]).unwrap();
            // No router, no route.
            stream.speak(1, 160);
            assert_eq!(stream.outcome(0, 1), (0, 1), "{how:?}");
            assert!(read(&flows, &stream).reasons.contains(Reason::Route));
            network.sysctl("r", &format!("{family}/conf/to-a/forwarding"), "1");
            stream.speak(1, 160);
            assert_eq!(stream.outcome(0, 1), (0, 1), "{how:?}");
            assert!(read(&flows, &stream).reasons.contains(Reason::Neighbour));
            // The relay speaks with the callee itself: now the system knows it.
            let relay = network.socket("r", stream.from);
            relay
                .send_to(&[], stream.callee.local_addr().unwrap())
                .unwrap();
            stream.callee.recv(&mut []).unwrap();
            stream.speak(20, 160);
            assert_eq!(stream.outcome(20, 0), (20, 0), "{how:?} {family}");
            let figures = read(&flows, &stream);
            assert_eq!((figures.packets, figures.passed_up), (20, 2));
            flows.remove([stream.local]).unwrap();
        }
    }
}

/// At tc with an interface, no packet has to go another way while the neighbour is asked for.
#[test]
fn the_system_says_where_a_flow_leaves() {
    let Some(network) = Network::new() else {
        return;
    };
    let mut routes = network.inside("r", || Routes::open().unwrap());
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    for addresses in [V4, V6] {
        let [_, _, from, callee] = addresses.map(ip);
        let way = routes.way(from, callee).unwrap();
        let interface = network.interface("r", "to-b");
        assert_eq!((way.interface, way.neighbour), (interface, callee));
        assert!(routes.way(from, from).is_err(), "it stays on the host");
        let foreign = ip(if from.is_ipv4() {
            "203.0.113.7"
        } else {
            "2001:db8:9::7"
        });
        assert!(routes.way(from, foreign).is_err(), "there is no route");
        network.ip("r", &format!("route add {foreign} via {callee}"));
        let through = routes.way(from, foreign).unwrap();
        assert_eq!((through.interface, through.neighbour), (interface, callee));
        assert_eq!(routes.neighbour(way).unwrap(), None);
        let mac = network.mac("b", "to-r");
        let text: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = text.join(":");
        network.ip(
            "r",
            &format!("neigh replace {callee} lladdr {text} dev to-b"),
        );
        assert_eq!(routes.neighbour(way).unwrap(), Some(mac));
        assert_eq!(
            routes.ethernet(interface).unwrap(),
            Some(network.mac("r", "to-b"))
        );
    }
}

#[test]
fn packets_wait_for_a_neighbour_at_tc() {
    let Some(mut network) = Network::new() else {
        return;
    };
    let mut flows = load(8).unwrap();
    network.attach(&mut flows, Attach::Tc);
    let interface = Some(network.interface("r", "to-b"));
    for hosts in [V4, V6] {
        let mut stream = Stream::new(&network, hosts, hosts);
        flows
            .insert(&stream.flow(NextHop::Route { interface }), &[])
            .unwrap();
        stream.speak(20, 160);
        assert_eq!(stream.outcome(20, 0), (20, 0));
        flows.remove([stream.local]).unwrap();
    }
}

#[test]
fn what_is_too_long_or_has_no_way_out_is_passed_up() {
    for how in ALL {
        let Some(mut network) = Network::new() else {
            return;
        };
        let mut flows = load(8).unwrap();
        network.attach(&mut flows, how);
        let mut stream = Stream::new(&network, V4, V4);
        flows
            .insert(&stream.flow(network.to_callee(None)), &[])
            .unwrap();
        network.ip("r", "link set to-b mtu 200");
        stream.speak(1, 160);
        stream.speak(1, 161);
        assert_eq!(stream.outcome(1, 1), (1, 1), "{how:?}");
        let figures = read(&flows, &stream);
        assert!(figures.reasons.iter().eq([Reason::Mtu]), "{figures:?}");
        network.ip("r", "link del to-b");
        stream.speak(3, 160);
        assert_eq!(stream.outcome(0, 3), (0, 3), "{how:?}");
        let figures = read(&flows, &stream);
        assert!(
            figures.reasons.iter().eq([Reason::Route, Reason::Mtu]),
            "{figures:?}"
        );
        assert_eq!((figures.packets, figures.passed_up), (1, 4));
        // And where they arrived.
        assert!(flows.attached().all(|it| !it.is_gone()));
        network.ip("r", "link del to-a");
        let gone: Vec<_> = flows.attached().collect();
        assert!(gone[0].is_gone() && gone[0].interface == "to-a", "{gone:?}");
        assert!(flows.detach("to-a") && !flows.detach("to-a"));
    }
}

#[test]
fn strangers_and_control_are_passed_up_on_the_wire() {
    for how in ALL {
        let Some(mut network) = Network::new() else {
            return;
        };
        let mut flows = load(8).unwrap();
        network.attach(&mut flows, how);
        let mut stream = Stream::new(&network, V4, V6);
        flows
            .insert(&stream.flow(network.to_callee(None)), &[])
            .unwrap();
        let stranger = network.socket("a", SocketAddr::new(V4[0].parse().unwrap(), 40_001));
        stranger
            .send_to(&rtp(0x80, 8, 0, 0, 1), stream.local)
            .unwrap();
        for payload in [
            rtp(0x80, 200, 0, 0, 1),
            vec![0, 1, 0, 0],
            vec![22, 254, 253],
            vec![9],
        ] {
            stream.caller.send(&payload).unwrap();
        }
        // Longer than the link: fragments.
        let long = [rtp(0x80, 8, 0, 0, 1), vec![0; 3000]].concat();
        stream.caller.send(&long).unwrap();
        stream.speak(1, 160);
        assert_eq!(stream.outcome(1, 6), (1, 6), "{how:?}");
        let reasons = read(&flows, &stream).reasons;
        let expected = [
            Reason::Source,
            Reason::Stun,
            Reason::Dtls,
            Reason::NotRtp,
            Reason::Rtcp,
        ];
        assert!(reasons.iter().eq(expected), "{how:?}: {reasons:?}");
    }
}

/// Caller, relay, callee, relay, caller: three flows, with a tag in the middle. At tc it is beside
/// the packet, as devices leave it; in XDP it is in the packet.
#[test]
fn tags_are_put_on_changed_and_taken_off() {
    for how in ALL {
        let Some(mut network) = Network::new() else {
            return;
        };
        let (mut relay, mut callee) = (load(8).unwrap(), load(8).unwrap());
        network.inside("r", || {
            relay.attach("to-a", how).unwrap();
            relay.attach("to-b", how).unwrap();
        });
        network.inside("b", || callee.attach("to-r", how).unwrap());
        match how {
            Attach::XdpNative => network.make_receiver("a"),
            _ => network.set_offload("a", "to-r", false),
        }
        let at = |host: &str, port| SocketAddr::new(host.parse().unwrap(), port);
        let mut stream = Stream::new(&network, V4, V6);
        let turning = (at(V6[2], 32_000), at(V6[3], 50_001));
        let home = network.socket("a", at(V4[0], 40_010));
        stream.from = at(V4[1], 31_001);
        stream.callee = home;
        let out = Flow::new(
            stream.local,
            None,
            [at(V6[2], 31_000), turning.1],
            network.over(("r", "b"), Some(200)),
        );
        let mut back = Flow::new(
            turning.1,
            Some(at(V6[2], 31_000)),
            [at(V6[3], 51_000), turning.0],
            network.over(("b", "r"), Some(300)),
        );
        back.vlan = Some(200);
        let mut end = Flow::new(
            turning.0,
            Some(at(V6[3], 51_000)),
            [stream.from, at(V4[0], 40_010)],
            network.over(("r", "a"), None),
        );
        end.vlan = Some(300);
        relay.insert(&out, &[]).unwrap();
        relay.insert(&end, &[]).unwrap();
        callee.insert(&back, &[]).unwrap();
        stream.speak(20, 160);
        assert_eq!(stream.outcome(20, 0), (20, 0), "{how:?}");
        assert_eq!(relay.read(turning.0).unwrap().packets, 20);
        // Another VLAN, and none.
        for vlan in [Some(301), None] {
            end.vlan = vlan;
            relay.replace(&end).unwrap();
            stream.speak(1, 160);
        }
        let has_both = || relay.read(turning.0).unwrap().passed_up >= 2;
        for _ in 0..2000 {
            if has_both() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        assert_eq!(stream.outcome(0, 0), (0, 0), "{how:?}");
        let figures = relay.read(turning.0).unwrap();
        assert!(figures.reasons.iter().eq([Reason::Vlan]), "{how:?}");
        assert_eq!((figures.packets, figures.passed_up), (20, 2), "{how:?}");
    }
}

#[test]
fn an_interface_is_taken_once_and_says_why() {
    let Some(network) = Network::new() else {
        return;
    };
    let mut flows = load(8).unwrap();
    let mut others = load(8).unwrap();
    network.inside("r", || {
        let attached = flows.attach("to-a", Attach::Auto).unwrap();
        let why = Why::Virtual(Some("veth".to_owned()));
        assert_eq!((attached.point, attached.why), (Point::Tcx, why));
        let again = flows.attach("to-a", Attach::XdpNative).unwrap_err();
        assert_eq!(again.to_string(), "to-a has these flows already");
        // At tc there is room for more, in XDP there is not.
        others.attach("to-a", Attach::Tc).unwrap();
        flows.attach("to-b", Attach::XdpNative).unwrap();
        for how in [Attach::XdpNative, Attach::XdpGeneric] {
            let taken = others.attach("to-b", how).unwrap_err();
            assert!(taken.is_taken(), "{taken}");
            assert!(
                taken.to_string().starts_with("cannot attach to to-b (xdp-"),
                "{taken}"
            );
        }
        let nowhere = flows.attach("nowhere", Attach::Auto).unwrap_err();
        assert!(
            matches!(&nowhere, FlowsError::Interface { interface, .. } if interface == "nowhere")
        );
        assert!(!nowhere.is_taken());
        let attached = flows.attached().map(|it| (it.interface, it.point));
        let wanted = [("to-a", Point::Tcx), ("to-b", Point::XdpNative)];
        assert!(attached.eq(wanted.map(|(name, point)| (name.to_owned(), point))));
        assert!(flows.detach("to-b"));
        others.attach("to-b", Attach::XdpGeneric).unwrap();
    });
}

#[test]
fn flows_outlive_their_owner_as_long_as_somebody_holds_them() {
    for how in ALL {
        let Some(mut network) = Network::new() else {
            return;
        };
        let mut flows = Flows::load(Config {
            max_flows: 4,
            srtp: false,
        })
        .unwrap();
        network.attach(&mut flows, how);
        let mut stream = Stream::new(&network, V4, V4);
        flows
            .insert(&stream.flow(network.to_callee(None)), &[])
            .unwrap();
        stream.speak(10, 160);
        // As with a holder: copies are all that is left.
        let held = flows.share().unwrap();
        let before = flows
            .attached()
            .map(|it| (it.index, it.interface, it.point));
        let before: Vec<_> = before.collect();
        drop(flows);
        stream.speak(10, 160);
        let mut successor = network.inside("r", || Flows::from_fds(held).unwrap());
        stream.speak(10, 160);
        assert_eq!(stream.outcome(30, 0), (30, 0), "{how:?}");
        assert_eq!(read(&successor, &stream).packets, 30);
        let after = successor
            .attached()
            .map(|it| (it.index, it.interface, it.point));
        assert!(after.eq(before));
        assert!(successor.attached().all(|it| it.why == Why::HandedOver));
        assert_eq!(successor.remove([stream.local]).unwrap()[0].1.packets, 30);
        successor
            .insert(&stream.flow(network.to_callee(None)), &[])
            .unwrap();
        drop(successor);
        stream.speak(1, 160);
        assert_eq!(stream.outcome(0, 1), (0, 1), "{how:?}");
    }
}
