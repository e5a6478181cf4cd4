//! SRTP in the programs: vectors, and packet for packet against what user space does.

use std::net::SocketAddr;
use std::time::Duration;

use windlass_kernel_assist::flows::srtp::{MAX_SRTP, Reach, Srtp, SrtpEnd, SrtpKeys, Tag};
use windlass_kernel_assist::flows::trial::{Program, Tried, Verdict};
use windlass_kernel_assist::flows::{Attach, Config, Flow, Flows, FlowsError, Reason};
use windlass_srtp::{Keys, Open, Seal, Suite};

use crate::differential::{Chance, addr, ethernet};
use crate::frame::{Frame, Sum, rtp};
use crate::netns::{Network, V4, V6};
use crate::{is_skipped, load};

const SSRC: u32 = 0xcafe_babe;

/// Flows with SRTP; `None` without the rights.
fn load_srtp(max_flows: u32) -> Option<Flows> {
    let config = Config {
        max_flows,
        srtp: true,
    };
    match Flows::load(config) {
        Ok(flows) => Some(flows),
        Err(error) => is_skipped(&error),
    }
}

const LONG: Suite = Suite::AesCm128HmacSha1_80;
const SHORT: Suite = Suite::AesCm128HmacSha1_32;

/// Master keys of a suite, made from a seed.
fn master(suite: Suite, seed: u8) -> Keys {
    let of = |length: u8| -> Vec<u8> { (0..length).map(|at| seed ^ at.wrapping_mul(29)).collect() };
    Keys::new(suite, &of(16), &of(14)).unwrap()
}

/// The same for a program.
fn session(keys: &Keys) -> SrtpKeys {
    let session = keys.rtp_session().unwrap();
    SrtpKeys {
        cipher: session.cipher,
        salt: session.salt,
        authentication: session.authentication,
        tag: match session.tag_bytes {
            10 => Tag::Long,
            _ => Tag::Short,
        },
    }
}

fn end(keys: &Keys, reach: Reach) -> Option<SrtpEnd> {
    let keys = session(keys);
    Some(SrtpEnd { keys, reach })
}

/// A flow from one party to another.
fn flow(srtp: &Srtp, is_to_v6: bool) -> Flow {
    let way = match is_to_v6 {
        true => ["[2001:db8::9]:31000", "[2001:db8:5::5]:42000"],
        false => ["192.0.2.9:31000", "203.0.113.5:42000"],
    };
    let mut flow = Flow::new(
        addr("192.0.2.1:30000"),
        Some(addr("198.51.100.7:41000")),
        way.map(addr),
        ethernet(None),
    );
    flow.ssrc = Some(SSRC);
    (flow.opens, flow.seals) = (srtp.open.is_some(), srtp.seal.is_some());
    flow
}

fn frame(payload: Vec<u8>) -> Frame {
    Frame::new(addr("198.51.100.7:41000"), addr("192.0.2.1:30000"), payload)
}

fn try_tc(flows: &Flows, frame: &Frame) -> Tried {
    flows.try_packet(Program::Tc, &frame.build(), 1).unwrap()
}

/// The content of a datagram that was forwarded, which has the right lengths and sums.
fn content(tried: &Tried) -> Vec<u8> {
    assert_eq!(tried.verdict, Verdict::Forward);
    let packet = &tried.packet;
    let (l3, pseudo) = match packet[12..14] {
        [0x08, 0x00] => (20, packet[26..34].to_vec()),
        _ => (40, packet[22..54].to_vec()),
    };
    let udp = &packet[14 + l3..];
    let length = u16::from_be_bytes([udp[4], udp[5]]);
    assert_eq!(usize::from(length), udp.len());
    let of_ip = match l3 {
        20 => u16::from_be_bytes([packet[16], packet[17]]) - 20,
        _ => u16::from_be_bytes([packet[18], packet[19]]),
    };
    assert_eq!(of_ip, length);
    if udp[6..8] != [0, 0] {
        let header = [&pseudo[..], &[0, 17], &length.to_be_bytes()].concat();
        let sum = crate::frame::ones_sum(&[&header[..], udp].concat());
        assert_eq!(sum, 0xffff);
    } else {
        assert_eq!(l3, 20);
    }
    udp[8..].to_vec()
}

fn speech(sequence: u16, length: usize) -> Vec<u8> {
    let mut packet = rtp(0x80, 0, sequence, u32::from(sequence) * 160, SSRC);
    let [_, low] = sequence.to_be_bytes();
    packet.extend(
        (0..=255_u8)
            .cycle()
            .take(length)
            .map(|at| at.wrapping_mul(7) ^ low),
    );
    packet
}

/// RFC 3711 B.2: the keystream of this key and salt, for SSRC 0 and index 0.
#[test]
fn the_keystream_is_that_of_rfc_3711() {
    let Some(mut flows) = load_srtp(1) else {
        return;
    };
    let keys = SrtpKeys {
        cipher: 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes(),
        salt: [
            0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd,
        ],
        authentication: [0; 20],
        tag: Tag::Long,
    };
    let seal = Some(SrtpEnd {
        keys,
        reach: Reach::default(),
    });
    let srtp = Srtp { open: None, seal };
    let mut flow = flow(&srtp, false);
    flow.ssrc = Some(0);
    flows.insert_srtp(&flow, &srtp, &[]).unwrap();
    let mut packet = rtp(0x80, 0, 0, 0, 0);
    packet.resize(12 + 48, 0);
    let sealed = content(&try_tc(&flows, &frame(packet)));
    let expected = "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab\
                    41e95b3bb0a2e8dd477901e4fca894c0";
    let shown: String = sealed[12..60]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(shown, expected);
}

/// The packet that libsrtp tests itself with.
#[test]
fn a_packet_of_libsrtp_is_opened_and_sealed() {
    let key = 0xe1f9_7a0d_3e01_8be0_d64f_a32c_06de_4139_u128.to_be_bytes();
    let salt = [
        0x0e, 0xc6, 0x75, 0xad, 0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6,
    ];
    let keys = Keys::new(LONG, &key, &salt).unwrap();
    let mut plain = rtp(0x80, 0x0f, 0x1234, 0xdeca_fbad, SSRC);
    plain.extend([0xab; 16]);
    let mut sealed = plain[..12].to_vec();
    let behind = 0x4e55_dc4c_e799_78d8_8ca4_d215_949d_2402_u128;
    sealed.extend(behind.to_be_bytes());
    sealed.extend([0xb7, 0x8d, 0x6a, 0xcc, 0x99, 0xea, 0x17, 0x9b, 0x8d, 0xbb]);
    let near = Reach {
        highest: 0x1233,
        window: 1,
    };
    for (srtp, before, after) in [
        (
            Srtp {
                open: end(&keys, near),
                seal: None,
            },
            &sealed,
            &plain,
        ),
        (
            Srtp {
                open: None,
                seal: end(&keys, near),
            },
            &plain,
            &sealed,
        ),
    ] {
        let Some(mut flows) = load_srtp(1) else {
            return;
        };
        let flow = flow(&srtp, false);
        flows.insert_srtp(&flow, &srtp, &[]).unwrap();
        let tried = try_tc(&flows, &frame(before.clone()));
        assert_eq!(&content(&tried), after);
    }
}

/// Random packets of all shapes, some of them harmed: what the program forwards is what user space
/// would send, and what it passes up is as it came.
#[test]
fn programs_and_user_space_open_and_seal_alike() {
    // The verifier takes its time with each: they serve all rounds.
    let Some(mut flows) = load_srtp(2) else {
        return;
    };
    let mut chance = Chance(7);
    for round in 0..24_u16 {
        let suites = [LONG, SHORT];
        let (opens, seals) = (round % 3 != 1, round % 3 != 0);
        let (theirs, ours) = (
            master(suites[usize::from(round & 1)], 3),
            master(suites[usize::from(round >> 1 & 1)], 9),
        );
        // Over the end of a cycle, with rollover counters of their own.
        let first = chance.short() | 0xff00;
        let (rollover, cycles) = match round % 2 {
            0 => (0, 1),
            _ => (1, 0xffff_fffe),
        };
        let reach = |rollover: u64| Reach {
            highest: rollover << 16 | u64::from(first - 1),
            window: 1,
        };
        let srtp = Srtp {
            open: end(&theirs, reach(rollover)).filter(|_| opens),
            seal: end(&ours, reach(cycles)).filter(|_| seals),
        };
        let flow = flow(&srtp, round % 4 == 3);
        flows.insert_srtp(&flow, &srtp, &[]).unwrap();
        // Who speaks, and user space as it would be.
        let resumed = |rollover| windlass_srtp::Progress {
            ssrc: SSRC,
            rtp: Some(reach(rollover).highest),
            rtcp: None,
        };
        let mut phone = Seal::new(theirs.clone()).unwrap();
        phone.resume(resumed(rollover)).unwrap();
        let mut open = Open::new(vec![theirs]).unwrap();
        open.resume(resumed(rollover)).unwrap();
        let mut seal = Seal::new(ours).unwrap();
        seal.resume(resumed(cycles)).unwrap();
        let mut sequence = first;
        let mut forwarded = 0;
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for _ in 0..400 {
            let length = chance.below(MAX_SRTP - 40);
            let mut packet = speech(sequence, length);
            if chance.one_in(8) {
                // CSRC and an extension.
                packet[0] |= 0x12;
                packet.splice(12..12, [7; 8]);
                packet.splice(20..20, [0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
            }
            let mut wire = packet.clone();
            let mut is_harmed = chance.one_in(8) && !sent.is_empty();
            if is_harmed {
                // Again what was sent before.
                wire = sent[chance.below(sent.len())].clone();
            } else if opens {
                wire.resize(packet.len() + 16, 0);
                let sealed = phone.rtp(&mut wire, packet.len()).unwrap();
                wire.truncate(sealed);
                let at = chance.below(wire.len());
                // Not what says whose it is, and is looked at before.
                if chance.one_in(6) && at > 3 && !(8..12).contains(&at) {
                    wire[at] ^= 1 << chance.below(8);
                    is_harmed = true;
                }
            }
            if !is_harmed {
                sent.push(wire.clone());
            }
            sequence = sequence.wrapping_add(1 + u16::from(chance.one_in(9)));
            let sum = chance.one_of(&[Sum::Whole, Sum::Whole, Sum::Partial, Sum::Zero]);
            let frame = Frame {
                sum,
                ..frame(wire.clone())
            };
            // A packet of another length has no sum of its device any more.
            let keeps_length = opens && seals && round & 1 == round >> 1 & 1;
            let program = match sum {
                Sum::Whole if keeps_length => Program::TcWithSum,
                _ => Program::Tc,
            };
            let tried = flows.try_packet(program, &frame.build(), 1).unwrap();
            if tried.verdict == Verdict::PassUp {
                assert_eq!(tried.packet, frame.build(), "passed up as it came");
                assert!(is_harmed, "{:?}", flows.read(flow.local));
                continue;
            }
            assert!(!is_harmed, "round {round}");
            let mut expected = wire;
            if opens {
                let length = open.rtp(&mut expected).unwrap();
                expected.truncate(length);
                assert_eq!(expected, packet);
            }
            if seals {
                let length = expected.len();
                expected.resize(length + 16, 0);
                let sealed = seal.rtp(&mut expected, length).unwrap();
                expected.truncate(sealed);
            }
            let is_partial = sum == Sum::Partial;
            let got = if is_partial {
                bare(&tried)
            } else {
                content(&tried)
            };
            assert_eq!(got, expected, "round {round}");
            forwarded += 1;
        }
        assert!(forwarded > 250, "{forwarded} {:?}", flows.read(flow.local));
        let reached = flows.withdraw_srtp(flow.local).unwrap();
        let progress = |of: Option<windlass_srtp::Progress>| of.unwrap().rtp.unwrap();
        if let Some(reach) = reached.open {
            assert_eq!(reach.highest, progress(open.progress_of(SSRC)));
        }
        if let Some(reach) = reached.seal {
            assert_eq!(reach.highest, progress(seal.progress_of(SSRC)));
        }
        flows.settle().unwrap();
    }
}

/// The content where the sum is one for a device to complete.
fn bare(tried: &Tried) -> Vec<u8> {
    assert_eq!(tried.verdict, Verdict::Forward);
    let headers = if tried.packet[12..14] == [0x08, 0x00] {
        42
    } else {
        62
    };
    tried.packet[headers..].to_vec()
}

/// What went through is not taken again: not there, and not by whoever the state goes back to.
#[test]
fn no_packet_is_taken_twice_over_moves() {
    let Some(mut flows) = load_srtp(1) else {
        return;
    };
    let keys = master(LONG, 5);
    let mut phone = Seal::new(keys.clone()).unwrap();
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for sequence in 0..200 {
        let mut packet = speech(sequence, 160);
        packet.resize(172 + 10, 0);
        phone.rtp(&mut packet, 172).unwrap();
        packets.push(packet);
    }
    let start = Reach {
        highest: 0,
        window: 1,
    };
    let mut srtp = Srtp {
        open: end(&keys, start),
        seal: None,
    };
    let flow = flow(&srtp, false);
    flows.insert_srtp(&flow, &srtp, &[]).unwrap();
    let forwards = |flows: &Flows, packet: &Vec<u8>| {
        try_tc(flows, &frame(packet.clone())).verdict == Verdict::Forward
    };
    // Index 0 was used before; 7 is late.
    assert!(!forwards(&flows, &packets[0]));
    let order = (1..7).chain(8..100).collect::<Vec<usize>>();
    assert!(order.iter().all(|at| forwards(&flows, &packets[*at])));
    assert!(order.iter().all(|at| !forwards(&flows, &packets[*at])));
    // Older than the window: unknown, and so for user space.
    assert!(!forwards(&flows, &packets[7]));
    let reached = flows.withdraw_srtp(flow.local).unwrap();
    let open = reached.open.unwrap();
    assert_eq!(
        open,
        Reach {
            highest: 99,
            window: u64::MAX
        }
    );
    assert_eq!(reached.seal, None);
    assert!(!forwards(&flows, &packets[100]), "it is user space's now");
    flows.settle().unwrap();
    // Down again: the same packets are as old as before.
    srtp.open = end(&keys, open);
    flows.insert_srtp(&flow, &srtp, &[]).unwrap();
    assert!(
        packets[..100]
            .iter()
            .all(|packet| !forwards(&flows, packet))
    );
    assert!(forwards(&flows, &packets[102]) && forwards(&flows, &packets[101]));
    let figures = flows.read(flow.local).unwrap();
    assert!(figures.reasons.iter().eq([Reason::Replayed]), "{figures:?}");
    assert_eq!(figures.packets, 2);
    // Keys do not stay behind.
    let last = flows.withdraw_srtp(flow.local).unwrap();
    assert_eq!(last.open.unwrap().highest, 102);
    assert!(matches!(
        flows.withdraw_srtp(flow.local),
        Err(FlowsError::NoFlow(_))
    ));
}

/// A sealed stream never uses an index twice, and does not follow a packet that claims to be far
/// ahead.
#[test]
fn no_keystream_is_used_twice() {
    let Some(mut flows) = load_srtp(1) else {
        return;
    };
    let keys = master(SHORT, 5);
    let srtp = Srtp {
        open: None,
        seal: end(
            &keys,
            Reach {
                highest: 50,
                window: 1,
            },
        ),
    };
    let flow = flow(&srtp, false);
    flows.insert_srtp(&flow, &srtp, &[]).unwrap();
    let forwards =
        |sequence: u16| try_tc(&flows, &frame(speech(sequence, 20))).verdict == Verdict::Forward;
    assert!(!forwards(50) && forwards(51) && !forwards(51));
    assert!(forwards(60) && forwards(55) && !forwards(55));
    assert!(!forwards(60 + 129) && forwards(60 + 128));
    assert!(!forwards(60 + 64), "too old");
}

#[test]
fn flows_without_keys_or_ends_are_refused() {
    let keys = master(LONG, 5);
    let srtp = Srtp {
        open: end(&keys, Reach::default()),
        seal: None,
    };
    let flow = flow(&srtp, false);
    let is_keys = |result| matches!(result, Err(FlowsError::Keys(_)));
    if let Some(mut plain) = load(2) {
        assert!(is_keys(plain.insert_srtp(&flow, &srtp, &[])));
    }
    let Some(mut flows) = load_srtp(2) else {
        return;
    };
    assert!(is_keys(flows.insert(&flow, &[])));
    assert!(is_keys(flows.insert_srtp(&flow, &Srtp::default(), &[])));
    let any = Flow {
        ssrc: None,
        ..flow.clone()
    };
    assert!(matches!(
        flows.insert_srtp(&any, &srtp, &[]),
        Err(FlowsError::Flow(_))
    ));
    flows.insert_srtp(&flow, &srtp, &[]).unwrap();
    let plain = Flow {
        opens: false,
        ..flow.clone()
    };
    assert!(is_keys(flows.replace(&plain)));
    // XDP has no SRTP, and passes it up.
    let sealed = frame(speech(1, 160)).build();
    for program in [Program::Xdp, Program::XdpGeneric] {
        let tried = flows.try_packet(program, &sealed, 1).unwrap();
        assert_eq!(
            (tried.verdict, tried.packet),
            (Verdict::PassUp, sealed.clone())
        );
    }
    let reasons = flows.read(flow.local).unwrap().reasons;
    assert!(reasons.iter().eq([Reason::Crypt]));
    // Ending it in the plain way ends it, too.
    flows.remove([flow.local]).unwrap();
    assert!(flows.is_empty());
}

/// Longer packets, RTCP and other sources are for user space.
#[test]
fn what_the_program_does_not_do_is_passed_up() {
    let Some(mut flows) = load_srtp(1) else {
        return;
    };
    let keys = master(LONG, 5);
    let srtp = Srtp {
        open: None,
        seal: end(&keys, Reach::default()),
    };
    let flow = flow(&srtp, false);
    flows.insert_srtp(&flow, &srtp, &[]).unwrap();
    let most = MAX_SRTP - 12 - 10;
    assert_eq!(
        try_tc(&flows, &frame(speech(1, most))).verdict,
        Verdict::Forward
    );
    let mut rtcp = speech(2, 40);
    rtcp[1] = 200;
    let mut other = speech(3, 40);
    other[8] ^= 1;
    for payload in [speech(2, most + 1), speech(2, 1200), rtcp, other] {
        let frame = frame(payload);
        let tried = try_tc(&flows, &frame);
        assert_eq!(
            (tried.verdict, tried.packet),
            (Verdict::PassUp, frame.build())
        );
    }
    let reasons = flows.read(flow.local).unwrap().reasons;
    assert!(
        reasons
            .iter()
            .eq([Reason::Rtcp, Reason::Ssrc, Reason::Long])
    );
}

/// What a packet of 160 bytes of speech costs, in ns, and what a plain one does; what the buffer and
/// the way out cost is not in it.
#[test]
#[ignore = "a measurement"]
fn what_a_packet_costs() {
    let Some(mut flows) = load_srtp(2) else {
        return;
    };
    let (theirs, ours) = (master(LONG, 3), master(LONG, 9));
    let start = Reach::default();
    for (name, opens, seals) in [
        ("plain", false, false),
        ("opened", true, false),
        ("sealed", false, true),
        ("opened and sealed", true, true),
    ] {
        let srtp = Srtp {
            open: end(&theirs, start).filter(|_| opens),
            seal: end(&ours, start).filter(|_| seals),
        };
        let flow = flow(&srtp, false);
        match opens || seals {
            true => flows.insert_srtp(&flow, &srtp, &[]).unwrap(),
            false => flows.insert(&flow, &[]).unwrap(),
        }
        let mut phone = Seal::new(theirs.clone()).unwrap();
        let mut costs = Vec::new();
        for sequence in 1..4000 {
            let mut packet = speech(sequence, 160);
            if opens {
                packet.resize(172 + 10, 0);
                phone.rtp(&mut packet, 172).unwrap();
            }
            let tried = try_tc(&flows, &frame(packet));
            assert_eq!(tried.verdict, Verdict::Forward);
            costs.push(tried.duration.as_nanos());
        }
        costs.sort_unstable();
        println!("{name}: {} ns", costs[costs.len() / 2]);
        flows.remove([flow.local]).unwrap();
    }
}

/// Over real interfaces, with sums that are whole, or left to the next device: the callee's system
/// checks all of them.
#[test]
fn sealed_media_goes_from_host_to_host() {
    const PACKETS: u16 = 60;
    let Some(mut network) = Network::new() else {
        return;
    };
    let mut flows = load_srtp(8).unwrap();
    network.attach(&mut flows, Attach::Tc);
    network.set_offload("r", "to-b", false);
    let (theirs, ours) = (master(LONG, 3), master(SHORT, 9));
    let at = |host: &str, port| SocketAddr::new(host.parse().unwrap(), port);
    let ways = [(V4, V4), (V4, V6), (V6, V4), (V6, V6)];
    for ((arrives, leaves), leaves_sums) in
        ways.into_iter().flat_map(|way| [(way, true), (way, false)])
    {
        network.set_offload("a", "to-r", leaves_sums);
        for (opens, seals) in [(true, false), (false, true), (true, true)] {
            let what = (arrives[0], leaves[0], leaves_sums, opens, seals);
            let (local, from) = (at(arrives[1], 30_000), at(leaves[2], 31_000));
            let caller = network.socket("a", at(arrives[0], 40_000));
            let callee = network.socket("b", at(leaves[3], 50_000));
            // Nobody answers that a port is closed.
            let _relay = network.socket("r", local);
            caller.connect(local).unwrap();
            let start = Reach::default();
            let srtp = Srtp {
                open: end(&theirs, start).filter(|_| opens),
                seal: end(&ours, start).filter(|_| seals),
            };
            let source = Some(caller.local_addr().unwrap());
            let ends = [from, callee.local_addr().unwrap()];
            let mut flow = Flow::new(local, source, ends, network.to_callee(None));
            flow.ssrc = Some(SSRC);
            (flow.opens, flow.seals) = (opens, seals);
            flows.insert_srtp(&flow, &srtp, &[]).unwrap();
            let mut phone = Seal::new(theirs.clone()).unwrap();
            let mut other = Open::new(vec![ours.clone()]).unwrap();
            callee
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            for sequence in 1..PACKETS {
                let plain = speech(sequence, 100 + usize::from(sequence));
                let mut packet = plain.clone();
                if opens {
                    packet.resize(plain.len() + 10, 0);
                    phone.rtp(&mut packet, plain.len()).unwrap();
                }
                caller.send(&packet).unwrap();
                let mut heard = [0; 2048];
                let (length, who) = callee.recv_from(&mut heard).expect("it is heard");
                assert_eq!(who, from, "{what:?}");
                let mut heard = heard[..length].to_vec();
                if seals {
                    let length = other.rtp(&mut heard).unwrap();
                    heard.truncate(length);
                }
                assert_eq!(heard, plain, "{what:?}");
            }
            flows.remove([local]).unwrap();
        }
    }
}
