//! What goes into a recording (media-behaviour §13), with real sockets.

use std::sync::Mutex;

use super::media_08_reports::{report, reporting};
use super::*;
use crate::dataplane::tap::{PacketTap, Recorded, Recordings};
use crate::flow::Taps;

/// Source, destination and bytes of a packet.
type Taken = (SocketAddr, SocketAddr, Vec<u8>);

#[derive(Clone, Debug, Default)]
struct Tape(Arc<Mutex<Vec<Taken>>>);

impl Recordings for Tape {
    fn tap(&self, _recording: u64) -> Option<Box<dyn PacketTap>> {
        Some(Box::new(self.clone()))
    }
}

impl PacketTap for Tape {
    fn packet(&self, _now: Instant, source: SocketAddr, destination: SocketAddr, datagram: &[u8]) {
        let taken = (source, destination, datagram.to_vec());
        self.0.lock().unwrap().push(taken);
    }
}

/// What a recording of a packet of the first party takes in; the second one's port is where it
/// leaves from.
fn taken(recorded: Recorded) -> (Bench, Vec<Taken>) {
    let tape = Tape::default();
    let services = Services {
        recordings: Arc::new(tape.clone()),
        recorded,
        ..Services::default()
    };
    let bench = Bench::with(services, false).unwrap();
    let specs = [0, 1].map(|side| {
        let mut spec = bench.spec(side);
        spec.taps = Some(Box::new(Taps {
            recording: Some(1),
            events: None,
        }));
        FlowChange::Install(spec)
    });
    let leases = [bench.lease(0), bench.lease(1)];
    let stats = leases[1].stats().clone();
    bench.apply(specs.into(), leases.into());
    bench.send(0, &rtp(1));
    bench.hear(1);
    await_count(&stats.packets_out, 1);
    // It is recorded beside being counted; the next packet comes after both.
    bench.send(0, &rtp(2));
    bench.hear(1);
    let packets = tape.0.lock().unwrap().clone();
    let first = packets.into_iter().filter(|(.., bytes)| *bytes == rtp(1));
    (bench, first.collect())
}

#[test]
fn packets_are_recorded_as_they_come_as_they_leave_or_both() {
    for (recorded, comes, leaves) in [
        (Recorded::Ingress, true, false),
        (Recorded::Egress, false, true),
        (Recorded::Both, true, true),
    ] {
        let (bench, packets) = taken(recorded);
        let [first, second] = [0, 1].map(|side| bench.phones[side].local_addr().unwrap());
        let expected = [
            comes.then(|| (first, bench.locals[0], rtp(1))),
            leaves.then(|| (bench.locals[1], second, rtp(1))),
        ];
        let expected: Vec<Taken> = expected.into_iter().flatten().collect();
        assert_eq!(packets, expected, "{recorded:?}");
    }
}

/// What leaves a port is recorded whoever made it.
#[test]
fn reports_of_our_own_are_in_a_recording_of_what_leaves() {
    for (recorded, is_taken) in [(Recorded::Egress, true), (Recorded::Ingress, false)] {
        let tape = Tape::default();
        let services = Services {
            recordings: Arc::new(tape.clone()),
            recorded,
            report_interval: Duration::from_millis(200),
            ..Services::default()
        };
        let bench = Bench::with(services, false).unwrap();
        let specs = [0, 1].map(|side| {
            let mut spec = reporting(&bench, side);
            spec.taps = Some(Box::new(Taps {
                recording: Some(1),
                events: None,
            }));
            FlowChange::Install(spec)
        });
        bench.apply(specs.into(), [bench.lease(0), bench.lease(1)].into());
        bench.send(0, &rtp(1));
        let heard = report(&bench, 1);
        // The next one comes after the first was recorded.
        report(&bench, 1);
        let packets = tape.0.lock().unwrap().clone();
        let from_to = (bench.locals[1], bench.phones[1].local_addr().unwrap());
        let mut reports = packets.iter().filter(|(.., bytes)| *bytes == heard);
        let taken = reports.next().map(|(from, to, _)| (*from, *to));
        assert_eq!(taken, is_taken.then_some(from_to), "{recorded:?}");
    }
}
