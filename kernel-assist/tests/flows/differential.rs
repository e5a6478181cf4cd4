//! Both programs against the reference, packet for packet.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use windlass_kernel_assist::flows::trial::{Program, Verdict};
use windlass_kernel_assist::flows::{
    Flow, Flows, Fragmentation, Marker, NextHop, PayloadTypes, Reason,
};

use crate::frame::{Frame, Sum, rtp};
use crate::load;
use crate::reference::{Known, Outcome, Reference};

/// splitmix64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.word() % bound as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.word().to_le_bytes()[0]
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub(crate) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// The loopback: always there, and long enough for every packet.
const LOOPBACK: NonZeroU32 = NonZeroU32::MIN;

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn ethernet(vlan: Option<u16>) -> NextHop {
    NextHop::Ethernet {
        interface: LOOPBACK,
        source: [2, 0, 0, 0, 0, 0x11],
        destination: [2, 0, 0, 0, 0, 0x22],
        vlan,
    }
}

const V4: [&str; 4] = ["192.0.2.1", "198.51.100.7", "192.0.2.9", "203.0.113.5"];
const V6: [&str; 4] = [
    "2001:db8::1",
    "2001:db8:7::7",
    "2001:db8::9",
    "2001:db8:5::fffe:5",
];

/// A flow of every kind, by number: all pairs of families, with everything that can be asked for.
fn flow(number: u16, chance: &mut Chance) -> Flow {
    let host = |hosts: [&str; 4], which: usize, port: u16| {
        SocketAddr::new(hosts[which].parse().unwrap(), port)
    };
    let (arrives, leaves) = (
        if number & 1 == 0 { V4 } else { V6 },
        if number & 2 == 0 { V4 } else { V6 },
    );
    let vlan = [None, None, None, Some(100), Some(4094)];
    let mut flow = Flow::new(
        host(arrives, 0, 30_000 + number),
        Some(host(arrives, 1, 41_000)),
        [
            host(leaves, 2, 31_000 + number),
            host(leaves, 3, 0x8000 | chance.short()),
        ],
        ethernet(chance.one_of(&vlan)),
    );
    flow.vlan = chance.one_of(&vlan);
    flow.forwarded = [0, 8, 18, 96, 97, 101, 127].into_iter().collect();
    if chance.one_in(2) {
        flow.watched = PayloadTypes::default().with(101);
    }
    if chance.one_in(3) {
        flow.source = None;
    }
    if chance.one_in(3) {
        flow.ssrc = Some(0x1111_1111);
    }
    if chance.one_in(3) {
        flow.marker = Marker::PassUp;
    }
    if chance.one_in(2) {
        flow.dscp = Some(46);
    }
    flow.clock_rate = chance.one_of(&[0, 8000, 48_000, 90_000]);
    flow.hop_limit = chance.one_of(&[64, 255, 1]);
    flow.fragmentation = chance.one_of(&[
        Fragmentation::Keep,
        Fragmentation::Allow,
        Fragmentation::Forbid,
    ]);
    flow
}

/// A payload that flows forward, or one with something wrong about it.
fn payload(chance: &mut Chance, sequence: &mut u16) -> Vec<u8> {
    let ssrc = match chance.below(12) {
        0 => 0x2222_2222,
        1 => 0,
        2 => chance.one_of(&[3, 4, 5, 6]),
        _ => 0x1111_1111,
    };
    *sequence = match chance.below(20) {
        0 => sequence.wrapping_sub(1),
        1 => sequence.wrapping_add(50),
        2 => *sequence,
        3 => sequence.wrapping_sub(30),
        _ => sequence.wrapping_add(1),
    };
    let number = match chance.below(40) {
        0 => chance.short(),
        1 => sequence.wrapping_add(2999),
        2 => sequence.wrapping_sub(2999),
        3 => sequence.wrapping_sub(3000),
        _ => *sequence,
    };
    let second = match chance.below(10) {
        0 => chance.byte(),
        1 => chance.one_of(&[191, 192, 200, 201, 223, 224, 72, 76, 101, 0xe5]),
        2 => 0x80 | chance.one_of(&[0, 8, 96]),
        _ => chance.one_of(&[0, 8, 18, 96, 127]),
    };
    let csrcs = if chance.one_in(6) {
        chance.byte() & 15
    } else {
        0
    };
    let (extended, padded) = (chance.one_in(5), chance.one_in(5));
    let first = match chance.below(12) {
        // STUN, DTLS, TURN channels, and what is nothing.
        0 => chance.byte(),
        1 => chance.one_of(&[0, 3, 4, 19, 20, 63, 64, 79, 127, 192]),
        _ => 0x80 | csrcs | u8::from(extended) << 4 | u8::from(padded) << 5,
    };
    let mut packet = rtp(first, second, number, u32::from(number) * 160, ssrc);
    for _ in 0..csrcs {
        packet.extend(chance.word().to_le_bytes().first_chunk::<4>().unwrap());
    }
    if extended {
        let words = if chance.one_in(5) {
            chance.short()
        } else {
            chance.short() & 7
        };
        packet.extend([0xbe, 0xde]);
        packet.extend(words.to_be_bytes());
        packet.resize(packet.len() + 4 * usize::from(words & 7), 0x5a);
    }
    let media = match chance.below(8) {
        0 => chance.below(4),
        1 => chance.below(1300),
        _ => 160,
    };
    packet.extend(std::iter::repeat_with(|| chance.byte()).take(media));
    if padded && chance.one_in(2) {
        *packet.last_mut().unwrap() = chance.byte() & 3;
    }
    if chance.one_in(15) {
        packet.truncate(1 + chance.below(16));
    }
    packet
}

fn frame(flows: &[Flow], chance: &mut Chance, sequences: &mut [u16]) -> Vec<u8> {
    let which = chance.below(flows.len());
    let flow = &flows[which];
    let hosts = if flow.local.is_ipv4() { V4 } else { V6 };
    let source = SocketAddr::new(hosts[1].parse().unwrap(), 41_000);
    let payload = payload(chance, &mut sequences[which]);
    let mut frame = Frame::new(source, flow.local, payload);
    frame.vlan = flow.vlan;
    frame.tos = chance.byte();
    frame.id = chance.short();
    frame.hops = chance.byte();
    frame.fragment = chance.one_of(&[0, 0x4000]);
    match chance.below(14) {
        0 => frame.from.set_port(41_001),
        1 => frame.from.set_ip(hosts[3].parse().unwrap()),
        2 => frame.to.set_port(chance.short()),
        3 => frame.to.set_ip(hosts[1].parse().unwrap()),
        4 => frame.vlan = chance.one_of(&[None, Some(0), Some(100), Some(0xe064), Some(4094)]),
        5 => frame.sum = Sum::Zero,
        6 => frame.sum = Sum::Partial,
        7 => frame.sum = Sum::Wrong(chance.short() | 1),
        8 => frame.fragment = chance.one_of(&[0x2000, 0x0001, 0x6000, 0x1fff, 0x8000]),
        9 => frame.trailer = vec![0x77; 1 + chance.below(40)],
        _ => {}
    }
    let mut built = frame.build();
    match chance.below(10) {
        // A bit of the headers, and with it perhaps their sum.
        0 => {
            let at = chance.below(built.len().min(90));
            built[at] ^= 1 << chance.below(8);
            if chance.one_in(2) && frame.to.is_ipv4() && built[14] & 0xf0 == 0x40 {
                built[24..26].fill(0);
                let sum = !crate::frame::ones_sum(&built[14..34]);
                built[24..26].copy_from_slice(&sum.to_be_bytes());
            }
        }
        1 if chance.one_in(2) => built.truncate(14 + chance.below(built.len() - 14)),
        _ => {}
    }
    built
}

/// The program and the reference, with the same flows.
struct Pair {
    program: Program,
    flows: Flows,
    reference: Reference,
}

impl Pair {
    fn new(program: Program, flows: &[Flow]) -> Option<Self> {
        let mut kernel = load(64)?;
        let mut reference = Reference::default();
        for flow in flows {
            kernel.insert(flow, &[]).unwrap();
            reference.flows.insert(flow.local, Known::new(flow.clone()));
        }
        Some(Self {
            program,
            flows: kernel,
            reference,
        })
    }

    fn compare(&mut self, frame: &[u8]) -> Outcome {
        // Only at a real ingress does the system count the Ethernet header in while it takes a tag
        // out; here the sum would be off without any program.
        let is_tagged = frame[12..14] == [0x81, 0];
        let program = match self.program {
            Program::TcWithSum if is_tagged => Program::Tc,
            program => program,
        };
        let is_tc = matches!(program, Program::Tc | Program::TcWithSum);
        let tried = match self.flows.try_packet(program, frame, 1) {
            Ok(tried) => tried,
            // The system makes no buffer of less than the header that is announced.
            Err(_) if is_tc && frame.len() < 54 => {
                let wanted = self.reference.take(frame, frame, self.program, 0);
                assert_eq!(wanted, Outcome::NotOurs);
                return wanted;
            }
            Err(error) => panic!("{:?}: {error}: {frame:02x?}", self.program),
        };
        let local = Reference::local(frame);
        let figures = local.and_then(|local| self.flows.read(local));
        let now = figures.as_ref().map_or(0, |figures| figures.last_ns);
        let wanted = self.reference.take(frame, &tried.packet, self.program, now);
        let got = (tried.verdict, &tried.packet[..]);
        let expected = match &wanted {
            Outcome::NotOurs | Outcome::Up(_) => (Verdict::PassUp, frame),
            Outcome::Forward(rewritten) => (Verdict::Forward, &rewritten[..]),
        };
        assert_eq!(got, expected, "{:?} {wanted:?}: {frame:02x?}", self.program);
        if let (Some(figures), Some(known)) = (
            figures,
            local.and_then(|local| self.reference.flows.get(&local)),
        ) {
            let up: u64 = known.up.values().sum();
            assert_eq!(
                (figures.packets, figures.bytes, figures.passed_up),
                (known.packets, known.bytes, up)
            );
            assert_eq!(figures.sources.len(), known.sources.len());
            for (got, wanted) in figures.sources.iter().zip(&known.sources) {
                assert_eq!(
                    (
                        got.ssrc,
                        got.packets,
                        got.bytes,
                        got.late,
                        got.order,
                        got.jitter_16
                    ),
                    (
                        wanted.ssrc,
                        wanted.packets,
                        wanted.bytes,
                        wanted.late,
                        wanted.order(),
                        wanted.jitter_16
                    ),
                    "{frame:02x?}"
                );
            }
            for reason in Reason::ALL {
                let is_known = known.up.contains_key(reason);
                assert_eq!(figures.reasons.contains(*reason), is_known, "{reason:?}");
            }
        }
        wanted
    }
}

const PROGRAMS: [Program; 4] = [
    Program::Tc,
    Program::TcWithSum,
    Program::Xdp,
    Program::XdpGeneric,
];

#[test]
fn programs_do_what_the_reference_does() {
    let mut chance = Chance(0x5749_4e44_4c41_5353);
    let flows: Vec<Flow> = (0..48).map(|number| flow(number, &mut chance)).collect();
    let mut sequences: Vec<u16> = flows.iter().map(|_| chance.short()).collect();
    let frames: Vec<Vec<u8>> = (0..8000)
        .map(|_| frame(&flows, &mut chance, &mut sequences))
        .collect();
    for program in PROGRAMS {
        let Some(mut pair) = Pair::new(program, &flows) else {
            return;
        };
        let mut forwarded = 0;
        for frame in &frames {
            let outcome = pair.compare(frame);
            forwarded += usize::from(matches!(outcome, Outcome::Forward(_)));
        }
        assert!((1500..7000).contains(&forwarded), "{forwarded}");
        // What the programs have counted over all flows is the sum of them; and every reason that
        // needs no network has occurred.
        for (reason, count) in pair.flows.passed_up() {
            let known = pair.reference.flows.values();
            let wanted: u64 = known.filter_map(|known| known.up.get(&reason)).sum();
            assert_eq!(count, wanted, "{reason:?}");
            let is_of_content = match reason {
                Reason::Lease => false,
                Reason::Checksum => program == Program::XdpGeneric,
                _ => reason < Reason::Route,
            };
            assert_eq!(count > 0, is_of_content, "{program:?}: {reason:?}");
        }
    }
}

#[test]
fn a_packet_that_ends_anywhere_is_passed_up() {
    let mut chance = Chance(7);
    let flows: Vec<Flow> = (0..4).map(|number| flow(number, &mut chance)).collect();
    for program in PROGRAMS {
        let Some(mut pair) = Pair::new(program, &flows) else {
            return;
        };
        for flow in &flows {
            let hosts = if flow.local.is_ipv4() { V4 } else { V6 };
            let source = SocketAddr::new(hosts[1].parse().unwrap(), 41_000);
            // CSRC, extension, padding.
            let mut payload = rtp(0xb1, 8, 1, 2, 0x1111_1111);
            payload.extend([0, 0, 0, 9, 0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
            payload.extend([0x55; 20]);
            payload.push(3);
            let mut frame = Frame::new(source, flow.local, payload);
            frame.vlan = flow.vlan;
            let whole = frame.build();
            assert!(matches!(pair.compare(&whole), Outcome::Forward(_)));
            for length in 14..whole.len() {
                assert_eq!(pair.compare(&whole[..length]), Outcome::NotOurs, "{length}");
            }
            // The same with lengths that agree: a shorter datagram.
            for length in 1..frame.payload.len() {
                let mut shorter = frame.clone();
                shorter.payload.truncate(length);
                pair.compare(&shorter.build());
            }
        }
    }
}

#[test]
fn options_extension_headers_and_two_tags_are_passed_up() {
    let Some(mut flows) = load(4) else { return };
    let local = addr("192.0.2.1:30000");
    let local6 = addr("[2001:db8::1]:30000");
    for local in [local, local6] {
        let ways = [addr("192.0.2.9:31000"), addr("203.0.113.5:5000")];
        flows
            .insert(&Flow::new(local, None, ways, ethernet(None)), &[])
            .unwrap();
    }
    let media = [rtp(0x80, 8, 1, 1, 1), vec![0; 160]].concat();
    let plain = Frame::new(addr("198.51.100.7:41000"), local, media.clone()).build();
    let mut options = plain.clone();
    options[14] = 0x46;
    options.splice(34..34, [1, 1, 1, 1]);
    let total = u16::from_be_bytes([options[16], options[17]]) + 4;
    options[16..18].copy_from_slice(&total.to_be_bytes());
    options[24..26].fill(0);
    let sum = !crate::frame::ones_sum(&options[14..38]);
    options[24..26].copy_from_slice(&sum.to_be_bytes());
    let plain6 = Frame::new(addr("[2001:db8:7::7]:41000"), local6, media).build();
    // Hop-by-hop, and a fragment that is the only one.
    let mut extended = plain6.clone();
    extended[20] = 0;
    extended.splice(54..54, [17, 0, 1, 4, 0, 0, 0, 0]);
    let total = u16::from_be_bytes([extended[18], extended[19]]) + 8;
    extended[18..20].copy_from_slice(&total.to_be_bytes());
    let mut fragment = extended.clone();
    fragment[20] = 44;
    let tags = |frame: &[u8], kind: [u8; 2]| {
        let mut tagged = frame.to_vec();
        tagged.splice(12..12, [kind[0], kind[1], 0, 100, 0x81, 0, 0, 100]);
        tagged
    };
    let refused = [
        options,
        extended,
        fragment,
        tags(&plain, [0x81, 0]),
        tags(&plain6, [0x88, 0xa8]),
    ];
    for program in PROGRAMS {
        for taken in [&plain, &plain6] {
            let tried = flows.try_packet(program, taken, 1).unwrap();
            assert_eq!(tried.verdict, Verdict::Forward);
        }
        for frame in &refused {
            let tried = flows.try_packet(program, frame, 1).unwrap();
            assert_eq!((tried.verdict, &tried.packet), (Verdict::PassUp, frame));
        }
    }
}
