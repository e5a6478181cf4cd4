//! Quality by what the parties report, with real sockets (media-behaviour §9.1).

use super::media_08_reports::{bench, report, reporting, rtp_of};
use super::*;
use crate::flow::quality::Quality;
use crate::media::own_report::{self, Heard, Sent};
use crate::media::report::{Basis, Said, read};

const CALLER: u32 = 70;
const CALLEE: u32 = 90;

/// What is known of how a source hears.
fn quality(stats: &FlowStats, ssrc: u32) -> Option<Quality> {
    let source = stats
        .ssrcs
        .iter()
        .find(|source| source.ssrc.load(Relaxed) == ssrc)?;
    Some(source.quality.get()?.lock().unwrap().clone())
}

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

fn sender_report(ssrc: u32, ntp_middle: u32) -> Vec<u8> {
    let sent = Sent {
        ntp: u64::from(ntp_middle) << 16,
        timestamp: 0,
        packets: 1,
        octets: 160,
    };
    compound(ssrc, Some(sent), &[])
}

fn block(ssrc: u32, last_sender_report: u32) -> Heard {
    Heard {
        ssrc,
        fraction_lost: 13,
        jitter: 96,
        last_sender_report,
        delay: 1,
        ..Heard::default()
    }
}

fn listening(report_interval: Duration) -> Services {
    let mut services = Services {
        report_interval,
        name: "0123456789ab".into(),
        ..Services::default()
    };
    services.scoring.basis = Basis::Listening;
    services
}

/// Both parties have sent.
fn talking(bench: &Bench) {
    for (side, ssrc) in [(0, CALLER), (1, CALLEE)] {
        bench.send(side, &rtp_of(ssrc, 1));
        assert_eq!(bench.hear(1 - side).0, rtp_of(ssrc, 1));
    }
}

#[test]
fn a_report_belongs_to_the_one_who_made_it() {
    let bench = Bench::with(listening(Duration::from_secs(5)), false).unwrap();
    let stats = bench.install(|_| {});
    talking(&bench);
    bench.send(0, &sender_report(CALLER, 0x1234_5678));
    bench.hear(1);
    bench.send(1, &compound(CALLEE, None, &[block(CALLER, 0x1234_5678)]));
    bench.hear(0);
    // Jitter 12 ms: it is the callee that hears so.
    let heard = quality(&stats[1], CALLEE).unwrap();
    let average = heard.scored.average();
    assert_eq!((average.jitter_ms, average.loss_percent), (12, 5));
    assert_eq!(quality(&stats[0], CALLER), None);
    // A party that never sent anything reports as well.
    bench.send(1, &compound(95, None, &[block(CALLER, 0x1234_5678)]));
    bench.hear(0);
    assert_eq!(quality(&stats[1], 95).unwrap().scored.samples, 1);
    let source = stats[1].ssrcs.slot(1).unwrap();
    assert_eq!(source.packets.load(Relaxed), 0);
    // Its first packet is no gap, whatever its number.
    bench.send(1, &rtp_of(95, 40_000));
    bench.hear(0);
    assert_eq!(
        (source.packets.load(Relaxed), source.lost.load(Relaxed)),
        (1, 0)
    );
}

#[test]
fn blocks_that_do_not_count() {
    let bench = Bench::with(listening(Duration::from_secs(5)), false).unwrap();
    let stats = bench.install(|_| {});
    talking(&bench);
    for heard in [
        // Answers to nothing.
        block(CALLER, 0),
        Heard {
            delay: 0,
            ..block(CALLER, 7)
        },
        // About what did not go there: its own, and nobody's.
        block(CALLEE, 7),
        block(4711, 7),
    ] {
        bench.send(1, &compound(CALLEE, None, &[heard]));
        bench.hear(0);
        assert_eq!(quality(&stats[1], CALLEE), None, "{heard:?}");
    }
    // The second one within a second.
    for jitter in [96, 800] {
        let heard = Heard {
            jitter,
            ..block(CALLER, 7)
        };
        bench.send(1, &compound(CALLEE, None, &[heard]));
        bench.hear(0);
    }
    let average = quality(&stats[1], CALLEE).unwrap().scored;
    assert_eq!((average.samples, average.average().jitter_ms), (1, 12));
}

#[test]
fn reports_of_our_own_are_samples() {
    let bench = Bench::with(listening(Duration::from_millis(100)), false).unwrap();
    let leases = [bench.lease(0), bench.lease(1)];
    let stats = [leases[0].stats().clone(), leases[1].stats().clone()];
    let specs = [reporting(&bench, 0), reporting(&bench, 1)];
    bench.apply(specs.map(FlowChange::Install).into(), leases.into());
    talking(&bench);
    let deadline = clock() + PATIENCE;
    for (side, ssrc) in [(0, CALLER), (1, CALLEE)] {
        // No phone reports anything, and yet there are scores.
        let score = loop {
            assert!(clock() < deadline);
            match quality(&stats[side], ssrc) {
                Some(quality) if quality.scored.samples > 0 => break quality.scored.average(),
                _ => std::thread::yield_now(),
            }
        };
        assert_eq!((score.mos, score.loss_percent), (Some(43), 0));
        assert_eq!(score.round_trip_us, 0);
    }
    // On the wire a block answers to no report that the party did not send.
    let said = read(&report(&bench, 0));
    let [Said::Sends { ssrc, .. }, Said::Received(block)] = said[..] else {
        panic!("{said:?}");
    };
    assert_eq!((ssrc, block.reporter, block.ssrc), (CALLEE, CALLEE, CALLER));
    assert_eq!((block.last_sender_report, block.delay), (0, 0));
}

#[test]
fn a_silent_call_keeps_getting_reports_for_every_source() {
    let bench = bench();
    let leases = [bench.lease(0), bench.lease(1)];
    let specs = [reporting(&bench, 0), reporting(&bench, 1)];
    bench.apply(specs.map(FlowChange::Install).into(), leases.into());
    // A source, and the music on hold that takes its place.
    for ssrc in [CALLER, 71] {
        bench.send(0, &rtp_of(ssrc, 1));
        bench.hear(1);
    }
    for _ in 0..2 {
        let sent = [report(&bench, 1), report(&bench, 1)].map(|compound| read(&compound));
        for (said, expected) in sent.iter().zip([CALLER, 71]) {
            let [Said::Sends { ssrc, .. }] = said[..] else {
                panic!("{said:?}");
            };
            assert_eq!(ssrc, expected);
        }
    }
    // The caller is told of both, each time.
    for _ in 0..2 {
        let said = read(&report(&bench, 0));
        let heard = said.iter().map(|said| match said {
            Said::Received(block) => block.ssrc,
            _ => panic!("nothing was sent to it: {said:?}"),
        });
        assert_eq!(heard.collect::<Vec<_>>(), [CALLER, 71]);
    }
}
