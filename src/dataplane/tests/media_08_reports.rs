//! Reports of our own (media-behaviour §8), with real sockets.

use super::*;
use crate::flow::Reports;
use crate::media::own_report::{self, Sent};
use crate::media::report::{Block, Said, read};

/// A relay that reports all the time.
pub(super) fn bench() -> Bench {
    Bench::with(
        Services {
            report_interval: Duration::from_millis(200),
            name: "0123456789ab".into(),
            ..Services::default()
        },
        false,
    )
    .unwrap()
}

/// Both flows make reports, and pass none on.
pub(super) fn reporting(bench: &Bench, side: usize) -> FlowSpec {
    let mut spec = bench.spec(side);
    spec.sinks[0].carries = Carries::Rtp;
    spec.reports = Some(Box::new(Reports {
        via: bench.locals[side],
        mid: None,
    }));
    spec
}

/// A packet of a source.
pub(super) fn rtp_of(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = rtp(sequence);
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet
}

/// The next report at a phone, among whatever else it hears.
pub(super) fn report(bench: &Bench, side: usize) -> Vec<u8> {
    loop {
        let heard = bench.hear(side).0;
        if heard[1] >= 200 {
            return heard;
        }
    }
}

#[test]
fn reports_tell_of_both_directions_and_take_the_place_of_the_others() {
    let bench = bench();
    let leases = [bench.lease(0), bench.lease(1)];
    let stats = leases[0].stats().clone();
    let specs = [reporting(&bench, 0), reporting(&bench, 1)];
    bench.apply(specs.map(FlowChange::Install).into(), leases.into());
    let sender_report = {
        let reporter = own_report::Reporter {
            ssrc: 0x5151_5151,
            name: b"phone",
            mid: None,
        };
        let sent = Sent {
            ntp: 0x1234_5678 << 16,
            timestamp: 0,
            packets: 0,
            octets: 0,
        };
        let mut out = Vec::new();
        own_report::write(reporter, Some(&sent), &[], &mut out);
        out
    };
    bench.send(0, &sender_report);
    for sequence in [1, 2, 3, 5] {
        bench.send(0, &rtp(sequence));
    }
    // What went to the callee: four packets of the caller's stream.
    let said = read(&report(&bench, 1));
    let [Said::Sends { ssrc, .. }] = said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(ssrc, 0x5151_5151);
    // What came from the caller: a packet was lost, and its own report was taken note of.
    let heard = report(&bench, 0);
    assert_eq!(heard[..2], [0x81, 201]);
    let said = read(&heard);
    let [Said::Received(block)] = said[..] else {
        panic!("{said:?}");
    };
    let expected = Block {
        ssrc: 0x5151_5151,
        fraction_lost: 51,
        lost: 1,
        last_sender_report: 0x1234_5678,
        ..block
    };
    assert_eq!(block, expected);
    assert!(block.delay > 0 && block.reporter != 0x5151_5151);
    // It was taken in, neither passed on nor dropped.
    assert_eq!(stats.errors_in.load(Relaxed), 0);
}

#[test]
fn a_sender_report_counts_what_went_out() {
    let bench = bench();
    let leases = [bench.lease(0), bench.lease(1)];
    let specs = [reporting(&bench, 0), reporting(&bench, 1)];
    bench.apply(specs.map(FlowChange::Install).into(), leases.into());
    for sequence in 1..=4 {
        bench.send(0, &rtp(sequence));
    }
    let heard = report(&bench, 1);
    let word = |at: usize| u32::from_be_bytes(heard[at..at + 4].try_into().unwrap());
    assert_eq!((heard[1], word(4)), (200, 0x5151_5151));
    // The timestamp goes on from the last packet's, 640, on a clock of 8000 Hz.
    assert!((640..640 + 16_000).contains(&word(16)), "{}", word(16));
    assert_eq!((word(20), word(24)), (4, 640));
    let name = b"\x01\x0c0123456789ab";
    assert!(heard.windows(name.len()).any(|window| window == name));
    // Without reports of our own, those of the party pass.
    bench.apply(
        vec![
            FlowChange::Change(bench.spec(0)),
            FlowChange::Change(bench.spec(1)),
        ],
        Vec::new(),
    );
    bench.send(0, &REPORT);
    assert_eq!(report(&bench, 1), REPORT);
}
