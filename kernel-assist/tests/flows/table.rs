//! Insert, replace, remove, and hand over: what the programs make of it, and what is counted.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use windlass_kernel_assist::flows::handover::Handed;
use windlass_kernel_assist::flows::trial::{Program, Verdict};
use windlass_kernel_assist::flows::{
    Config, Flow, FlowError, Flows, FlowsError, Fragmentation, Marker, NextHop, Order,
    PayloadTypes, Reason, SourceFigures,
};

use crate::differential::{addr, ethernet};
use crate::frame::{Frame, rtp};
use crate::load;

const PEER: &str = "198.51.100.7:41000";

fn local(number: u16) -> SocketAddr {
    SocketAddr::new("192.0.2.1".parse().unwrap(), 30_000 + number)
}

fn flow(number: u16, to: &str) -> Flow {
    let ways = [addr("192.0.2.9:31000"), addr(to)];
    Flow::new(local(number), Some(addr(PEER)), ways, ethernet(None))
}

fn media(number: u16, sequence: u16) -> Vec<u8> {
    let packet = [
        rtp(0x80, 8, sequence, u32::from(sequence) * 160, 0xaa),
        vec![0x55; 160],
    ]
    .concat();
    Frame::new(addr(PEER), local(number), packet).build()
}

fn verdict(flows: &Flows, frame: &[u8]) -> Verdict {
    let verdicts = [Program::Tc, Program::Xdp]
        .map(|program| flows.try_packet(program, frame, 1).unwrap().verdict);
    assert_eq!(verdicts[0], verdicts[1]);
    verdicts[0]
}

#[test]
fn a_flow_is_in_force_from_insertion_to_removal() {
    let Some(mut flows) = load(8) else { return };
    assert_eq!(verdict(&flows, &media(1, 1)), Verdict::PassUp);
    flows.insert(&flow(1, "203.0.113.5:5000"), &[]).unwrap();
    assert_eq!(verdict(&flows, &media(1, 1)), Verdict::Forward);
    assert_eq!(verdict(&flows, &media(2, 1)), Verdict::PassUp);
    let other = flow(1, "203.0.113.6:5000");
    assert!(matches!(flows.insert(&other, &[]), Err(FlowsError::Exists(it)) if it == local(1)));
    assert!(matches!(
        flows.replace(&flow(2, "203.0.113.5:5000")),
        Err(FlowsError::NoFlow(_))
    ));
    assert_eq!(flows.flow(local(1)), Some(flow(1, "203.0.113.5:5000")));
    flows.replace(&other).unwrap();
    assert_eq!(flows.flow(local(1)), Some(other));
    let tried = flows.try_packet(Program::Xdp, &media(1, 2), 1).unwrap();
    assert_eq!(tried.packet[30..34], [203, 0, 113, 6]);
    // What was counted before the change is counted.
    assert_eq!(flows.read(local(1)).unwrap().packets, 3);
    let last = flows.remove([local(1)]).unwrap();
    assert_eq!(
        (last[0].0, last[0].1.packets, last[0].1.bytes),
        (local(1), 3, 3 * 172)
    );
    assert_eq!(verdict(&flows, &media(1, 1)), Verdict::PassUp);
    assert!(flows.read(local(1)).is_none() && flows.is_empty());
    assert!(matches!(
        flows.remove([local(1)]),
        Err(FlowsError::NoFlow(_))
    ));
}

#[test]
fn a_full_table_refuses_and_takes_again_what_was_given_back() {
    let Some(mut flows) = load(3) else { return };
    for number in 0..3 {
        flows
            .insert(&flow(number, "203.0.113.5:5000"), &[])
            .unwrap();
    }
    let fourth = flow(3, "203.0.113.5:5000");
    assert!(matches!(
        flows.insert(&fourth, &[]),
        Err(FlowsError::Full(3))
    ));
    // A full table can be changed, however often.
    for round in 0..700 {
        let changed = flow(round % 3, &format!("203.0.113.5:{}", 6000 + round));
        flows.replace(&changed).unwrap();
        assert_eq!(flows.flow(changed.local), Some(changed));
    }
    assert_eq!(verdict(&flows, &media(1, 1)), Verdict::Forward);
    // Withdrawn flows take up room until they are settled.
    flows.withdraw([local(1)]).unwrap();
    assert_eq!(verdict(&flows, &media(1, 2)), Verdict::PassUp);
    assert!(matches!(
        flows.insert(&fourth, &[]),
        Err(FlowsError::Full(3))
    ));
    assert_eq!(flows.settle().unwrap().len(), 1);
    flows.insert(&fourth, &[]).unwrap();
    assert_eq!(flows.read(local(3)).unwrap().packets, 0);
    assert_eq!(verdict(&flows, &media(3, 1)), Verdict::Forward);
    for config in [0, u32::MAX] {
        let refused = Flows::load(Config {
            max_flows: config,
            srtp: false,
        });
        assert!(matches!(refused, Err(FlowsError::MaxFlows(it)) if it == config));
    }
}

#[test]
fn figures_go_on_from_those_of_user_space() {
    let Some(mut flows) = load(2) else { return };
    let before = SourceFigures {
        ssrc: 0xaa,
        packets: 98,
        bytes: 98 * 172,
        late: 2,
        // Of 100, two were lost.
        order: Some(Order {
            first: 0x1_ff9d,
            highest: 0x2_0000,
        }),
        jitter_16: 800,
        transit: None,
        last_ns: 5,
    };
    flows
        .insert(&flow(0, "203.0.113.5:5000"), &[before])
        .unwrap();
    assert_eq!(flows.read(local(0)).unwrap().sources, [before]);
    assert_eq!((before.lost(), before.jitter()), (2, 50));
    // Three numbers further, then one of before.
    flows.try_packet(Program::Tc, &media(0, 3), 1).unwrap();
    flows.try_packet(Program::Tc, &media(0, 0xffff), 1).unwrap();
    let figures = flows.read(local(0)).unwrap();
    let source = figures.sources[0];
    assert_eq!(
        source.order,
        Some(Order {
            first: 0x1_ff9d,
            highest: 0x2_0003
        })
    );
    assert_eq!((source.packets, source.late, source.lost()), (100, 3, 3));
    assert_eq!(
        source.jitter_16, 800,
        "one packet has no distance to another"
    );
    // Whatever came late: the timestamp is that of the highest number.
    let after = flows.try_packet(Program::Tc, &media(0, 4), 1).unwrap();
    assert_eq!(after.verdict, Verdict::Forward);
    let figures = flows.read(local(0)).unwrap();
    assert_eq!(figures.sources[0].timestamp(8000), Some(640));
    assert_eq!(figures.packets, 3);
    let too_many = [before; 5];
    let refused = flows.insert(&flow(1, "203.0.113.5:5000"), &too_many);
    assert!(matches!(refused, Err(FlowsError::Sources(5))));
}

#[test]
fn what_nobody_renews_is_passed_up() {
    let Some(mut flows) = load(2) else { return };
    flows.insert(&flow(0, "203.0.113.5:5000"), &[]).unwrap();
    verdict(&flows, &media(0, 1));
    let now = flows.read(local(0)).unwrap().last_ns;
    flows.forward_until(now);
    assert_eq!(verdict(&flows, &media(0, 2)), Verdict::PassUp);
    flows.forward_until(now + 3_600_000_000_000);
    assert_eq!(verdict(&flows, &media(0, 3)), Verdict::Forward);
    let counted: Vec<_> = flows.passed_up().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [(Reason::Lease, 2)]);
}

/// An owner whose packets do not stop lets another thread wait.
#[test]
fn last_figures_can_be_waited_for_elsewhere() {
    let Some(mut flows) = load(2) else { return };
    let waiter = flows.waiter().unwrap();
    for number in 0..2 {
        flows
            .insert(&flow(number, "203.0.113.5:5000"), &[])
            .unwrap();
        verdict(&flows, &media(number, 1));
    }
    flows.withdraw([local(0)]).unwrap();
    assert_eq!(flows.read(local(0)), None);
    assert_eq!(flows.read_withdrawn(local(0)).unwrap().packets, 2);
    assert_eq!(flows.read_withdrawn(local(1)), None);
    let settling = flows.settling();
    waiter.wait().unwrap();
    // What is withdrawn meanwhile was not waited for.
    flows.withdraw([local(1)]).unwrap();
    let last = flows.settled(settling);
    assert_eq!(last.len(), 1);
    assert_eq!((last[0].0, last[0].1.packets), (local(0), 2));
    flows.insert(&flow(0, "203.0.113.5:5000"), &[]).unwrap();
    let full = flows.insert(&flow(1, "203.0.113.5:5000"), &[]);
    assert!(matches!(full, Err(FlowsError::Full(2))));
    assert_eq!(flows.settle().unwrap().len(), 1);
    flows.insert(&flow(1, "203.0.113.5:5000"), &[]).unwrap();
}

/// A flow whose packets are changed and removed while other CPUs are busy with them: each packet
/// is in the last figures, or passed up.
#[test]
fn no_packet_is_lost_to_the_count_by_a_removal() {
    let Some(mut flows) = load(4) else { return };
    let kept = flows.share().unwrap();
    let observer = Flows::from_fds(kept).unwrap();
    let is_over = AtomicBool::new(false);
    let (sent, last) = std::thread::scope(|scope| {
        let senders: Vec<_> = [Program::Tc, Program::Xdp]
            .map(|program| {
                let (observer, is_over) = (&observer, &is_over);
                scope.spawn(move || {
                    let (mut forwarded, mut sequence) = (0u64, 0u16);
                    while !is_over.load(Relaxed) {
                        sequence = sequence.wrapping_add(1);
                        let tried = observer.try_packet(program, &media(0, 1), 1).unwrap();
                        forwarded += u64::from(tried.verdict == Verdict::Forward);
                        // The ports say which form of the flow it was, and the address, too.
                        let to = u16::from_be_bytes([tried.packet[36], tried.packet[37]]);
                        let is_whole = tried.packet[33] == to.to_be_bytes()[1];
                        assert!(tried.verdict == Verdict::PassUp || is_whole);
                    }
                    forwarded
                })
            })
            .into_iter()
            .collect();
        let mut last = 0;
        for round in 0..40u8 {
            let to = |host: u8| format!("203.0.113.{host}:{}", 0x5000 + u16::from(host));
            flows.insert(&flow(0, &to(round)), &[]).unwrap();
            for other in 100..110 {
                flows.replace(&flow(0, &to(other))).unwrap();
                let wanted = 2 * u64::from(other - 99);
                while flows.read(local(0)).unwrap().packets < wanted {
                    std::thread::yield_now();
                }
            }
            last += flows.remove([local(0)]).unwrap()[0].1.packets;
        }
        is_over.store(true, Relaxed);
        let sent: u64 = senders.into_iter().map(|it| it.join().unwrap()).sum();
        (sent, last)
    });
    assert_eq!(sent, last);
}

#[test]
fn another_owner_finds_everything_as_it_was() {
    let Some(mut flows) = load(5) else { return };
    for number in 0..3 {
        flows
            .insert(&flow(number, "203.0.113.5:5000"), &[])
            .unwrap();
    }
    flows.replace(&flow(2, "203.0.113.6:5000")).unwrap();
    flows.remove([local(1)]).unwrap();
    verdict(&flows, &media(0, 7));
    let figures = flows.read(local(0)).unwrap();
    let names =
        |handed: &[Handed]| -> Vec<String> { handed.iter().map(|it| it.name.clone()).collect() };
    let shared = flows.share().unwrap();
    let handed = flows.into_fds();
    assert_eq!(names(&shared), names(&handed));
    drop(shared);
    let mut successor = Flows::from_fds(handed).unwrap();
    let mut locals: Vec<_> = successor.locals().collect();
    locals.sort();
    assert_eq!(locals, [local(0), local(2)]);
    assert_eq!(successor.flow(local(2)), Some(flow(2, "203.0.113.6:5000")));
    assert_eq!(successor.read(local(0)), Some(figures));
    // The places of the others are free, and theirs are not.
    for number in [1, 3, 4] {
        successor
            .insert(&flow(number, "203.0.113.7:5000"), &[])
            .unwrap();
    }
    let sixth = successor.insert(&flow(5, "203.0.113.7:5000"), &[]);
    assert!(matches!(sixth, Err(FlowsError::Full(5))));
    verdict(&successor, &media(0, 8));
    verdict(&successor, &media(4, 1));
    let of = |number| successor.read(local(number)).unwrap().packets;
    assert_eq!([0, 1, 2, 3, 4].map(of), [4, 0, 0, 0, 2]);
}

#[test]
fn descriptors_that_do_not_fit_are_named() {
    let Some(flows) = load(2) else { return };
    let refusal = |change: &dyn Fn(&mut Vec<Handed>)| {
        let mut handed = flows.share().unwrap();
        change(&mut handed);
        Flows::from_fds(handed).unwrap_err().to_string()
    };
    let missing = refusal(&|handed| handed.retain(|it| it.name != "flows.fence"));
    assert_eq!(missing, "flows.fence was not handed over: missing");
    let swapped = refusal(&|handed| {
        for it in handed.iter_mut() {
            it.name = match it.name.as_str() {
                "flows.specs" => "flows.figures".to_owned(),
                "flows.figures" => "flows.specs".to_owned(),
                name => name.to_owned(),
            };
        }
    });
    assert!(
        swapped.starts_with("flows.specs was not handed over: a map of type 2"),
        "{swapped}"
    );
    let file = refusal(&|handed| handed[0].fd = std::fs::File::open("/dev/null").unwrap().into());
    assert!(
        file.starts_with("flows.index was not handed over"),
        "{file}"
    );
    let programs = refusal(&|handed| {
        let at = |handed: &[Handed], name| handed.iter().position(|it| it.name == name).unwrap();
        let (tc, xdp) = (at(handed, "flows.tc"), at(handed, "flows.xdp"));
        handed[tc].name = "flows.xdp".to_owned();
        handed[xdp].name = "flows.tc".to_owned();
    });
    assert_eq!(
        programs,
        "flows.tc was not handed over: a program of another type"
    );
    let link = refusal(&|handed| {
        let fd = handed[0].fd.try_clone().unwrap();
        handed.push(Handed {
            name: "flows.link.tcx".to_owned(),
            fd,
        });
    });
    assert!(
        link.starts_with("flows.link.tcx was not handed over"),
        "{link}"
    );
}

#[test]
fn flows_that_cannot_be_are_refused() {
    let refused = |change: &dyn Fn(&mut Flow)| {
        let mut flows = load(2)?;
        let mut flow = flow(0, "203.0.113.5:5000");
        change(&mut flow);
        match flows.insert(&flow, &[]) {
            Err(FlowsError::Flow(error)) => Some(error),
            other => panic!("{other:?}"),
        }
    };
    type Change = dyn Fn(&mut Flow);
    let cases: [(&Change, FlowError); 9] = [
        (
            &|it| it.to = addr("0.0.0.0:1"),
            FlowError::Address(addr("0.0.0.0:1")),
        ),
        (
            &|it| it.to = addr("239.1.1.1:1"),
            FlowError::Address(addr("239.1.1.1:1")),
        ),
        (
            &|it| it.from.set_port(0),
            FlowError::Address(addr("192.0.2.9:0")),
        ),
        (&|it| it.dscp = Some(64), FlowError::Dscp(64)),
        (
            &|it| it.to = addr("[2001:db8::1]:1"),
            FlowError::Families {
                from: addr("192.0.2.9:31000"),
                to: addr("[2001:db8::1]:1"),
            },
        ),
        (&|it| it.hop_limit = 0, FlowError::HopLimit),
        (
            &|it| it.forwarded = it.forwarded.with(72),
            FlowError::PayloadType(72),
        ),
        (
            &|it| it.source = Some(addr("[2001:db8::1]:1")),
            FlowError::Source {
                local: local(0),
                expected: addr("[2001:db8::1]:1"),
            },
        ),
        (&|it| it.vlan = Some(4095), FlowError::Vlan(4095)),
    ];
    for (change, error) in cases {
        match refused(change) {
            Some(found) => assert_eq!(found, error),
            None => return,
        }
    }
}

#[test]
fn a_flow_is_read_back_as_it_was_written() {
    let Some(mut flows) = load(2) else { return };
    let mut written = Flow {
        local: addr("[2001:db8::1]:30000"),
        vlan: Some(7),
        source: None,
        ssrc: Some(0),
        forwarded: PayloadTypes::ALL,
        watched: PayloadTypes::default().with(101).with(96),
        marker: Marker::PassUp,
        clock_rate: 48_000,
        from: addr("[2001:db8::2]:30002"),
        to: addr("[2001:db8::3]:30004"),
        dscp: Some(0),
        hop_limit: 255,
        fragmentation: Fragmentation::Allow,
        next_hop: NextHop::Route { interface: None },
        opens: false,
        seals: false,
    };
    flows.insert(&written, &[]).unwrap();
    assert_eq!(flows.flow(written.local).as_ref(), Some(&written));
    written.fragmentation = Fragmentation::Forbid;
    written.next_hop = NextHop::Route {
        interface: NonZeroU32::new(3),
    };
    flows.replace(&written).unwrap();
    assert_eq!(flows.flow(written.local).as_ref(), Some(&written));
    // An address that is mapped into IPv6 is the IPv4 address.
    let mut mapped = flow(1, "203.0.113.5:5000");
    mapped.local = addr("[::ffff:192.0.2.1]:30001");
    flows.insert(&mapped, &[]).unwrap();
    assert_eq!(flows.flow(mapped.local), Some(flow(1, "203.0.113.5:5000")));
    assert_eq!(verdict(&flows, &media(1, 1)), Verdict::Forward);
}

#[test]
fn the_memory_of_the_maps_is_told() {
    let (Some(small), Some(large)) = (load(1000), load(11_000)) else {
        return;
    };
    let [small, large] = [small, large].map(|flows| flows.memory_bytes().unwrap());
    // What Config says of a flow.
    assert!(
        (520..700).contains(&((large - small) / 10_000)),
        "{small} {large}"
    );
}
