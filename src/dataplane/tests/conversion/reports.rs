//! RTCP of a direction that is converted (media-services §4.3).

use super::*;
use crate::flow::Reports;
use crate::flow::port::PortHandle;
use crate::media::own_report::{self, Heard, Sent};
use crate::media::report::{Basis, Said, read};

const CALLEE: u32 = 90;

fn compound(ssrc: u32, sent: Option<Sent>, heard: &[Heard]) -> Vec<u8> {
    let reporter = own_report::Reporter {
        ssrc,
        name: b"phone",
        mid: None,
    };
    let mut out = Vec::new();
    own_report::write(reporter, sent.as_ref(), heard, &mut out);
    out
}

fn sender_report(timestamp: u32) -> Vec<u8> {
    let sent = Sent {
        ntp: 0x1234_5678 << 16,
        timestamp,
        packets: 1000,
        octets: 160_000,
    };
    compound(SSRC, Some(sent), &[])
}

fn word(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(packet[at..at + 4].try_into().unwrap())
}

/// Packets of 40 ms at another clock, and one of the caller's was lost.
fn line() -> Line {
    let mut conversion = to(format(96, "L16", 16_000, 1));
    conversion.ptime_ms = 40;
    let mut line = Line::new(conversion);
    for packet in 0..10 {
        if packet == 5 {
            line.sequence += 1;
            line.timestamp += 160;
        }
        line.be_silent();
        line.world.pass(20);
    }
    line.world.heard.clear();
    line
}

#[test]
fn a_sender_report_is_of_what_went_out() {
    let mut line = line();
    let report = sender_report(line.timestamp);
    line.world
        .arrive((party(1), local(PORTS[0]), report.clone()));
    let heard = line.packets().remove(0);
    let sent = line.stats[1].sent.slot(0).unwrap();
    let packets = u32::try_from(sent.packets.load(Relaxed)).unwrap();
    assert!((3..=5).contains(&packets), "{packets}");
    assert_eq!(
        (word(&heard, 20), word(&heard, 24)),
        (packets, packets * 1280)
    );
    // The same moment by the clock of the output: what left, what waits, and what is held back.
    let ahead = word(&heard, 16).wrapping_sub(sent.last_timestamp.load(Relaxed));
    assert!((640..2000).contains(&ahead), "{ahead}");
    // Nothing else is changed.
    assert_eq!(heard[..16], report[..16]);
    assert_eq!(heard[28..], report[28..]);
    // A source that sent nothing through the chain is passed on as it is.
    let other = compound(
        77,
        Some(Sent {
            ntp: 1,
            timestamp: 2,
            packets: 3,
            octets: 4,
        }),
        &[],
    );
    line.world
        .arrive((party(1), local(PORTS[0]), other.clone()));
    assert_eq!(line.packets(), [other]);
}

#[test]
fn the_source_is_told_of_its_own_way() {
    let mut line = line();
    let block = Heard {
        ssrc: SSRC,
        fraction_lost: 99,
        lost: 1234,
        highest: 77,
        jitter: 320,
        last_sender_report: 0x1234_5678,
        delay: 1,
    };
    let report = compound(CALLEE, None, &[block]);
    let ask = |line: &mut Line, report: Vec<u8>| {
        line.world.arrive((party(2), local(PORTS[1]), report));
        let heard = line.world.heard.drain(..);
        let mut to_caller = heard.filter(|(_, to, _)| *to == party(1));
        to_caller.next().unwrap().2
    };
    let heard = ask(&mut line, report.clone());
    let said = read(&heard);
    let [Said::Received(told)] = said[..] else {
        panic!("{said:?}");
    };
    // One of eleven; the highest number is the caller's; jitter at its clock.
    assert_eq!((told.fraction_lost, told.lost), (23, 1));
    assert_eq!(word(&heard, 16), 1010);
    assert_eq!(told.jitter, 160);
    assert_eq!((told.last_sender_report, told.delay), (0x1234_5678, 1));
    // Since then nothing was lost.
    for _ in 0..4 {
        line.be_silent();
    }
    line.world.heard.clear();
    let heard = ask(&mut line, report);
    let said = read(&heard);
    assert!(
        matches!(said[..], [Said::Received(told)] if (told.fraction_lost, told.lost) == (0, 1))
    );
    // Of a stream that is not converted, it is told what was said.
    let other = compound(CALLEE, None, &[Heard { ssrc: 33, ..block }]);
    assert_eq!(ask(&mut line, other.clone()), other);
}

/// Ports for RTCP: the RTP flows of their streams are what converts.
#[test]
fn reports_on_ports_of_their_own_are_of_the_same_stream() {
    let mut line = line();
    let ports = [30_010, 30_012];
    let changes = [0, 1].map(|side: usize| {
        let (own, other) = (ports[side], ports[1 - side]);
        let phone = 11 + u16::try_from(side).unwrap();
        let mut spec = line.world.spec(own, other, party(phone));
        spec.component = Component::Rtcp;
        spec.rtp_sibling = Some(local(PORTS[side]));
        spec.sinks[0].carries = Carries::Rtcp;
        FlowChange::Install(spec)
    });
    let leases = ports.map(|port| {
        let handle = PortHandle::new(local(port));
        PortLease::new(local(port), handle, Arc::new(Returned::default())).into()
    });
    line.apply(changes.into(), leases.into());
    let report = sender_report(line.timestamp);
    line.world.arrive((party(11), local(ports[0]), report));
    let (_, to, heard) = line.world.heard.remove(0);
    assert_eq!((to, heard[1]), (party(12), 200));
    let sent = line.stats[1].sent.slot(0).unwrap();
    assert_eq!(u64::from(word(&heard, 20)), sent.packets.load(Relaxed));
    let block = Heard {
        ssrc: SSRC,
        jitter: 320,
        ..Heard::default()
    };
    let report = compound(CALLEE, None, &[block]);
    line.world.arrive((party(12), local(ports[1]), report));
    let (_, to, heard) = line.world.heard.remove(0);
    assert_eq!(
        (to, word(&heard, 16), word(&heard, 20)),
        (party(11), 1010, 160)
    );
}

#[test]
fn quality_is_in_the_clock_of_the_source() {
    let mut world = World::new();
    world.flows.scoring.basis = Basis::Listening;
    let mut line = Line::with(world, to(format(96, "L16", 16_000, 1)), |_| {});
    for _ in 0..10 {
        line.be_silent();
        line.world.pass(20);
    }
    let report = sender_report(line.timestamp);
    line.world.arrive((party(1), local(PORTS[0]), report));
    line.world.pass(100);
    let block = Heard {
        ssrc: SSRC,
        jitter: 320,
        last_sender_report: 0x1234_5678,
        delay: 1,
        ..Heard::default()
    };
    let report = compound(CALLEE, None, &[block]);
    line.world.arrive((party(2), local(PORTS[1]), report));
    let sources = line.stats[1].ssrcs.iter();
    let mut quality = sources.filter_map(|source| source.quality.get());
    let quality = quality.next().unwrap().lock().unwrap().clone();
    // 320 ticks of 16 kHz.
    assert_eq!(quality.lowest.unwrap().sample.jitter_ms, 20);
}

#[test]
fn reports_of_our_own_are_of_what_went_out() {
    let mut conversion = to(pcmu());
    conversion.ptime_ms = 40;
    let mut line = Line::with(World::new(), conversion, |specs| {
        for spec in specs {
            spec.sinks[0].carries = Carries::Rtp;
            spec.reports = Some(Box::new(Reports {
                via: spec.local,
                mid: None,
            }));
        }
    });
    for _ in 0..10 {
        line.be_silent();
    }
    line.packets();
    line.world.pass(7000);
    let packets = line.packets();
    let report = packets.iter().find(|packet| packet[1] == 200).unwrap();
    assert_eq!(word(report, 4), SSRC);
    assert_eq!((word(report, 20), word(report, 24)), (5, 1600));
}
