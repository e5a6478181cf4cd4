//! What the receiver hears in place of digits: docs/spec/media-services.md §7.

use super::*;
use crate::chain::Mask;

/// A-law to µ-law with the events of both.
fn setup() -> Setup {
    let pass = Route {
        from: events(101, 8000),
        treatment: Treatment::Pass(101),
    };
    Setup::new(vec![convert(pcma(), pcmu()), pass], 20)
}

fn sounding() -> Setup {
    let sound = Route {
        from: events(101, 8000),
        treatment: Treatment::Sound(pcmu()),
    };
    Setup::new(vec![convert(pcma(), pcmu()), sound], 20)
}

/// The loudest sample of a µ-law payload.
fn loudest(payload: &[u8]) -> u16 {
    let mut samples = Vec::new();
    Law::Mu.decode(payload, &mut samples);
    let loud = samples.iter().map(|sample| sample.unsigned_abs());
    loud.max().unwrap_or_default()
}

/// A tone of a digit, with the digits that a search finds in what comes out.
fn digits_in(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut detector = dtmf::Detector::default();
    for payload in payloads {
        let mut samples = Vec::new();
        Law::Mu.decode(payload, &mut samples);
        detector.feed(&samples, |change| {
            if let Change::Begin { event, .. } = change {
                found.push(event);
            }
        });
    }
    found
}

fn press(wire: &mut Wire, event: u8, packets: usize) -> Vec<Vec<u8>> {
    let mut tone = Tone::of_event(event, 10, 8000).unwrap();
    let mut payloads = Vec::new();
    for _ in 0..packets {
        let mut samples = Vec::new();
        tone.generate(160, &mut samples);
        wire.say(&samples);
        payloads.extend(wire.payloads());
    }
    payloads
}

#[test]
fn another_event_goes_out_and_the_rule_holds_to_its_end() {
    let mut wire = Wire::new(setup());
    wire.send(20);
    wire.chain.set_mask(Mask::Digit {
        event: 0,
        volume: Some(33),
    });
    wire.event(5160, 160, false);
    assert_eq!(wire.payloads(), [[0, 33, 0, 160]]);
    wire.chain.set_mask(Mask::None);
    wire.event(5160, 320, true);
    assert_eq!(wire.payloads(), [[0, 0x80 | 33, 1, 64]]);
    // The next one is another event.
    wire.send(20);
    wire.event(5640, 160, true);
    assert_eq!(wire.payloads(), [[5, 0x80 | 10, 0, 160]]);
}

#[test]
fn a_dropped_event_leaves_no_gap() {
    for setup in [setup(), sounding()] {
        let mut wire = Wire::new(setup);
        assert_eq!(wire.send(20), ["0:1000@5000[160]"]);
        wire.chain.set_mask(Mask::Drop);
        for duration in [160, 320] {
            assert!(wire.event(5160, duration, duration == 320).is_empty());
        }
        wire.header.timestamp += 320;
        assert_eq!(wire.send(20), ["0:1001@5160[160]"]);
    }
}

#[test]
fn silence_or_a_tone_goes_out_for_an_event() {
    for (mask, is_loud) in [
        (Mask::Silence, false),
        (
            Mask::Tone {
                frequencies: [400, 0, 0, 0],
                volume: 10,
            },
            true,
        ),
    ] {
        for setup in [setup(), sounding()] {
            let mut wire = Wire::new(setup);
            wire.send(20);
            wire.chain.set_mask(mask);
            assert_eq!(wire.event(5160, 160, false), ["0:1001@5160[160]"]);
            let payloads = wire.payloads();
            assert_eq!(loudest(&payloads[0]) > 5000, is_loud);
            assert!(digits_in(&payloads).is_empty());
            // The sender's own tone beside it is not heard.
            assert!(press(&mut wire, 5, 1).is_empty());
            assert_eq!(wire.event(5160, 320, true), ["0:1002@5320[160]"]);
        }
    }
}

#[test]
fn a_digit_in_the_audio_is_covered() {
    let mut wire = Wire::new(Setup {
        detect: true,
        ..setup()
    });
    wire.send(20);
    wire.chain.set_mask(Mask::Drop);
    let covered = press(&mut wire, 5, 10);
    assert_eq!(covered.len(), 10);
    // What was heard before it was known.
    assert!(covered[3..].iter().all(|payload| loudest(payload) == 0));
    wire.send(60);
    wire.chain.set_mask(Mask::Digit {
        event: 0,
        volume: None,
    });
    let other = press(&mut wire, 5, 10);
    assert_eq!(digits_in(&other[3..]), [0]);
    wire.send(60);
    wire.chain.set_mask(Mask::None);
    assert_eq!(digits_in(&press(&mut wire, 5, 10)), [5]);
}

/// The reference sends the true digit here.
#[test]
fn a_digit_in_the_audio_becomes_another_event() {
    let mut setup = Setup::new(vec![convert(pcma(), pcmu())], 20);
    (setup.detect, setup.events) = (true, Some(events(101, 8000)));
    for (mask, expected) in [
        (
            Mask::Digit {
                event: 0,
                volume: None,
            },
            Some(0),
        ),
        (Mask::Drop, None),
        (Mask::None, Some(5)),
    ] {
        let mut wire = Wire::new(setup.clone());
        wire.chain.set_mask(mask);
        let payloads = press(&mut wire, 5, 10);
        let events = payloads.iter().filter(|payload| payload.len() == 4);
        let mut events = events.map(|payload| payload[0]);
        assert_eq!(events.next(), expected);
        assert!(events.all(|event| Some(event) == expected));
        assert!(
            payloads[3..]
                .iter()
                .all(|it| it.len() == 4 || loudest(it) == 0)
        );
    }
}

#[test]
fn who_is_muted_is_silent_and_still_presses_digits() {
    let mut wire = Wire::new(setup());
    wire.chain.set_muted(true);
    let silent = press(&mut wire, 5, 2);
    assert!(silent.iter().all(|payload| loudest(payload) == 0));
    assert_eq!(wire.event(5320, 160, false), ["101:1002@5320[4]"]);
}

#[test]
fn a_packet_that_passes_by_is_not_waited_for() {
    let mut wire = Wire::new(setup());
    wire.send(20);
    let header = wire.header;
    wire.header.sequence += 1;
    let held = wire.send(20);
    assert!(held.is_empty());
    wire.out.clear();
    wire.chain.skip(header, &mut wire.out);
    assert_eq!(wire.told(), ["0:1001@5160[160]"]);
}

#[test]
fn what_codecs_did_is_told() {
    let mut wire = Wire::new(setup());
    let header = wire.header;
    let verdict = wire.chain.push(header, &[0xd5; 400], &mut wire.out);
    let work = |codec, frames, samples| Work {
        codec: Some(codec),
        frames,
        micros: samples * 125,
        samples,
    };
    assert_eq!(verdict.decoded, work(CodecId::Pcma, 1, 400));
    assert_eq!(verdict.encoded, work(CodecId::Pcmu, 2, 320));
}
