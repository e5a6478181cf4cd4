//! Packets that leave: their numbers, their length, and what stays with them.

use std::sync::Mutex;

use super::*;
use crate::dataplane::offload::wish::Wish;
use crate::dataplane::tap::{PacketTap, Recorded, Recordings};
use crate::flow::bundle::{Bundle, BundledLine};
use crate::flow::extensions::{ExtensionIds, ExtensionRules, MidElement};
use crate::flow::path::WhyUp;
use crate::flow::{Change, Taps, Withhold};

#[test]
fn audio_leaves_in_the_codec_of_its_receiver_with_the_numbers_of_its_sender() {
    let mut line = Line::new(to(pcmu()));
    assert_eq!(line.be_silent(), ["0:1000@5000[160]"]);
    // The quietest code of A-law, 8, is 0xfe.
    line.send(8, &[0xd5; 160]);
    line.sequence -= 1;
    let packet = packet(8, line.sequence, 5160, &[0xd5; 160]);
    line.arrive(packet);
    assert_eq!(line.dropped(AudioDrop::Reorder), 1, "it came twice");
    line.sequence += 1;
    line.timestamp += 160;
    let packets = {
        let packet = self::packet(8, line.sequence, line.timestamp, &[0xd5; 160]);
        line.world.arrive((party(1), local(PORTS[0]), packet));
        line.packets()
    };
    assert_eq!(packets[0][8..12], SSRC.to_be_bytes());
    assert_eq!(packets[0][12..], [0xfe; 160]);
    let [caller, callee] = &line.stats;
    assert_eq!(caller.converted.get().unwrap().totals(), [3, 480, 480]);
    let sent = callee.sent.slot(0).unwrap();
    assert_eq!(sent.packets.load(Relaxed), 3);
    assert_eq!(sent.last_sequence.load(Relaxed), 1002);
    assert_eq!(callee.packets_out.load(Relaxed), 3);
    assert_eq!(caller.errors_in.load(Relaxed), 0);
    let codecs: Vec<_> = line.world.flows.desk.stats.codecs().collect();
    let of = |name| codecs.iter().find(|(known, ..)| *known == name).unwrap();
    assert_eq!(of("PCMA").1.frames.load(Relaxed), 3);
    assert_eq!(of("PCMA").1.micros.load(Relaxed), 60_000);
    assert_eq!(of("PCMU").2.frames.load(Relaxed), 3);
    assert_eq!(of("PCMU").1.frames.load(Relaxed), 0);
}

#[test]
fn packets_are_cut_to_the_length_of_the_receiver() {
    let mut line = Line::new(Conversion {
        ptime_ms: 40,
        ..to(pcma())
    });
    assert!(line.be_silent().is_empty());
    assert_eq!(line.be_silent(), ["8:1000@5000[320]"]);
    assert_eq!(
        line.say(&[0xd5; 640]),
        ["8:1001@5320[320]", "8:1002@5640[320]"]
    );
    // Nothing of this is a drop.
    assert_eq!(line.stats[0].errors_in.load(Relaxed), 0);
}

#[test]
fn other_clocks_and_a_type_without_a_route() {
    let mut line = Line::new(to(format(96, "L16", 16_000, 1)));
    line.be_silent();
    let told = line.be_silent();
    assert_eq!(told, ["96:1000@5000[640]"], "it is late by a packet");
    assert_eq!(line.send(77, &[1, 2, 3]), ["77:1001@5608[3]"]);
}

#[test]
fn a_source_that_begins_has_numbers_of_its_own() {
    let mut line = Line::new(to(pcmu()));
    line.be_silent();
    let mut other = packet(8, 7, 9, &[0xd5; 160]);
    other[8..12].copy_from_slice(&77u32.to_be_bytes());
    assert_eq!(line.arrive(other), ["0:7@9[160]"]);
    assert_eq!(line.be_silent(), ["0:1001@5160[160]"]);
    for ssrc in 0..100u32 {
        let mut other = packet(8, 7, 9, &[0xd5; 160]);
        other[8..12].copy_from_slice(&ssrc.to_be_bytes());
        line.arrive(other);
    }
    assert_eq!(line.be_silent().len(), 1);
}

#[test]
fn a_change_that_leaves_the_conversion_leaves_the_chain() {
    let mut conversion = to(pcmu());
    conversion.ptime_ms = 40;
    let mut line = Line::new(conversion.clone());
    line.be_silent();
    let [caller, _] = line.specs(conversion.clone());
    line.change(caller);
    // The half of a packet is still there.
    assert_eq!(line.be_silent(), ["0:1000@5000[320]"]);
    // Another one goes on with the numbers.
    let [caller, _] = line.specs(to(pcma()));
    line.change(caller);
    assert_eq!(line.be_silent(), ["8:1001@5320[160]"]);
    // And without one, packets pass as they are.
    let mut plain = line.world.spec(PORTS[0], PORTS[1], party(1));
    plain.sinks[0].rules = None;
    line.change(plain);
    assert_eq!(line.be_silent(), ["8:1003@5480[160]"]);
}

#[test]
fn numbers_go_with_the_port() {
    let mut line = Line::new(Conversion {
        ptime_ms: 40,
        ..to(pcmu())
    });
    for _ in 0..4 {
        line.be_silent();
    }
    let removals = PORTS.map(|port| FlowChange::Remove(local(port))).into();
    let leases = line.apply(removals, Vec::new());
    let specs = line.specs(to(pcmu()));
    line.apply(specs.map(FlowChange::Install).into(), leases);
    // Two went out so far.
    assert_eq!(line.be_silent(), ["0:1002@5640[160]"]);
}

#[test]
fn header_extensions_stay_as_both_lists_say() {
    let mut with = packet(8, 1000, 5000, &[]);
    with[0] |= 0x10;
    with.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x30, 0xaa, 0x50, 0xbb]);
    with.extend_from_slice(&[0xd5; 160]);
    let mut line = Line::new(to(pcmu()));
    line.world.arrive((party(1), local(PORTS[0]), with.clone()));
    let heard = line.packets().remove(0);
    assert_eq!(heard[12..20], with[12..20], "without lists it is copied");
    assert_eq!(heard.len(), with.len());
    let ids = |ids: &[u8]| ids.iter().copied().collect::<ExtensionIds>();
    let mut line = Line::with(World::new(), to(pcmu()), |specs| {
        let rules = specs[0].sinks[0].rules.as_mut().unwrap();
        rules.change.extensions = Some(ExtensionRules {
            sender: ids(&[3, 5]),
            receiver: ids(&[3, 4]),
            allows_mixed: false,
            mid: Some(MidElement {
                id: 4,
                value: (&b"m"[..]).into(),
            }),
        });
    });
    line.world.arrive((party(1), local(PORTS[0]), with));
    let heard = line.packets().remove(0);
    assert_eq!(heard[12..20], [0xbe, 0xde, 0, 1, 0x40, b'm', 0x30, 0xaa]);
    assert_eq!(heard[20..], [0xfe; 160]);
}

#[test]
fn media_that_is_dropped_leaves_its_events() {
    let mut line = Line::with(World::new(), to(pcmu()), |specs| {
        let rules = specs[0].sinks[0].rules.as_mut().unwrap();
        let mut events = PayloadTypes::default();
        events.insert(101);
        rules.withhold = Withhold {
            drop_media: true,
            events,
            ..Withhold::default()
        };
    });
    assert!(line.be_silent().is_empty());
    let withheld = drops(&line.stats[0], DropReason::Withheld).load(Relaxed);
    assert_eq!(withheld, 1);
    // One packet is missing between the two, and is not waited for.
    assert_eq!(line.event(5, 160, false), ["101:1001@5160[4]"]);
    assert!(line.be_silent().is_empty());
    assert_eq!(line.event(5, 320, true).len(), 1);
}

#[test]
fn who_is_muted_is_silent_in_any_codec() {
    for is_listed in [false, true] {
        let conversion = Conversion {
            mute: !is_listed,
            ..to(pcmu())
        };
        let mut line = Line::with(World::new(), conversion, |specs| {
            let rules = specs[0].sinks[0].rules.as_mut().unwrap();
            rules.change = Change {
                silence: vec![(8, 0xd5); usize::from(is_listed)],
                ..Change::default()
            };
        });
        let packet = packet(8, 1000, 5000, &[0x11; 160]);
        line.world.arrive((party(1), local(PORTS[0]), packet));
        assert_eq!(line.packets()[0][12..], [silence(); 160]);
    }
}

#[test]
fn a_codec_that_is_not_there_drops_and_counts() {
    let mut line = Line::new(to(format(18, "G729", 8000, 1)));
    assert!(line.be_silent().is_empty());
    let dropped = drops(&line.stats[0], DropReason::CodecError).load(Relaxed);
    assert_eq!((dropped, line.dropped(AudioDrop::CodecError)), (1, 1));
}

#[test]
fn a_party_that_wants_nothing_is_sent_nothing() {
    let mut line = Line::with(World::new(), to(pcmu()), |specs| {
        specs[1].peer.wants = false
    });
    assert!(line.be_silent().is_empty());
    let dropped = drops(&line.stats[0], DropReason::NoDestination).load(Relaxed);
    assert_eq!(dropped, 1);
}

#[test]
fn converted_audio_stays_with_its_worker() {
    let mut line = Line::new(to(pcmu()));
    for _ in 0..300 {
        line.be_silent();
        line.world.pass(20);
    }
    let flows = &line.world.flows;
    let place = |port| flows.by_local.get(local(port)).unwrap();
    let entry = &flows.entries[place(PORTS[0])];
    let target = Some(&flows.entries[place(PORTS[1])]);
    assert_eq!(
        Wish::of(entry, target, line.world.now()),
        Err(WhyUp::Converted)
    );
    assert!(WhyUp::Converted.needs_worker());
}

#[test]
fn lines_of_a_bundle_are_told_apart_before_they_are_converted() {
    let mut line = Line::with(World::new(), to(pcmu()), |specs| {
        let types = |number| {
            let mut types = PayloadTypes::default();
            types.insert(number);
            types
        };
        let bundled = |mid: &str, number| BundledLine {
            mid: mid.as_bytes().into(),
            types: types(number),
        };
        specs[0].bundle = Some(Box::new(Bundle {
            mid: None,
            lines: vec![bundled("a", 8), bundled("v", 96)],
            own: 0,
        }));
        let rules = specs[0].sinks[0].rules.as_mut().unwrap();
        rules.withhold.line = Some(0);
    });
    assert_eq!(line.be_silent(), ["0:1000@5000[160]"]);
    assert!(line.send(96, &[1, 2, 3]).is_empty());
    let withheld = drops(&line.stats[0], DropReason::Withheld).load(Relaxed);
    assert_eq!(withheld, 1);
}

#[derive(Clone, Debug, Default)]
struct Tape(Arc<Mutex<Vec<Vec<u8>>>>);

impl Recordings for Tape {
    fn tap(&self, _recording: u64) -> Option<Box<dyn PacketTap>> {
        Some(Box::new(self.clone()))
    }
}

impl PacketTap for Tape {
    fn packet(&self, _now: Instant, _from: SocketAddr, _to: SocketAddr, datagram: &[u8]) {
        self.0.lock().unwrap().push(datagram.to_vec());
    }
}

#[test]
fn recordings_have_what_came_and_what_left() {
    for (recorded, types) in [
        (Recorded::Ingress, &[8][..]),
        (Recorded::Egress, &[0]),
        (Recorded::Both, &[8, 0]),
    ] {
        let tape = Tape::default();
        let mut world = World::new();
        world.flows.recordings = Arc::new(tape.clone());
        world.flows.recorded = recorded;
        let mut line = Line::with(world, to(pcmu()), |specs| {
            for spec in specs {
                spec.taps = Some(Box::new(Taps {
                    recording: Some(1),
                    events: None,
                }));
            }
        });
        line.be_silent();
        let taken = tape.0.lock().unwrap();
        let numbers: Vec<_> = taken.iter().map(|packet| packet[1]).collect();
        assert_eq!(numbers, types, "{recorded:?}");
    }
}

#[test]
fn every_sink_has_its_own_conversion() {
    let mut line = Line::with(World::new(), to(pcmu()), |specs| {
        // The caller hears itself, as it is and in another codec.
        let mut echo = specs[1].sinks[0].clone();
        echo.via = specs[0].local;
        echo.rules = Some(Box::new(rules(to(format(96, "L16", 8000, 1)))));
        specs[0].sinks.push(echo);
    });
    let sent = packet(8, 1000, 5000, &[0xd5; 160]);
    line.world.arrive((party(1), local(PORTS[0]), sent));
    let heard: Vec<_> = line.world.heard.drain(..).collect();
    let lengths: Vec<_> = heard.iter().map(|(_, to, it)| (*to, it.len())).collect();
    assert_eq!(lengths, [(party(2), 172), (party(1), 332)]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_packet_stops_the_worker(
        packets in proptest::collection::vec(
            (0u8..128, proptest::num::u16::ANY, proptest::num::u32::ANY, 0u32..6,
                proptest::collection::vec(proptest::num::u8::ANY, 0..400)),
            1..60,
        ),
    ) {
        let mut line = Line::new(Conversion {
            detect: true,
            ..to(format(9, "G722", 8000, 1))
        });
        for (payload_type, sequence, timestamp, ssrc, payload) in packets {
            let payload_type = [8, 101, payload_type][usize::from(payload_type % 3)];
            let mut packet = packet(payload_type, sequence, timestamp, &payload);
            packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
            line.arrive(packet);
            line.world.pass(7);
        }
    }
}
