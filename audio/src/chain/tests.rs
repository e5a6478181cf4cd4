//! The rows of docs/spec/media-services.md §4 and §7, packet by packet.

use super::*;
use crate::catalogue;
use crate::codec::g711::Law;
use crate::dtmf::{Event, Tone};
use crate::testing::signal;

#[path = "mask_tests.rs"]
mod mask;

/// What the quietest code of A-law, 8, is in µ-law.
const SILENCE: u8 = 0xfe;

fn format(payload_type: u8, name: &str, clock: u32, channels: u8) -> Format {
    Format {
        payload_type,
        name: name.to_owned(),
        clock,
        channels,
        fmtp: String::new(),
    }
}

fn pcma() -> Format {
    format(8, "PCMA", 8000, 1)
}

fn pcmu() -> Format {
    format(0, "PCMU", 8000, 1)
}

fn events(payload_type: u8, clock: u32) -> Format {
    format(payload_type, "telephone-event", clock, 1)
}

fn convert(from: Format, to: Format) -> Route {
    Route {
        from,
        treatment: Treatment::Convert(to),
    }
}

/// A sender and the chain that it sends through.
struct Wire {
    chain: Chain,
    out: Out,
    header: Header,
}

impl Wire {
    fn new(setup: Setup) -> Self {
        Self {
            chain: Chain::new(setup).unwrap(),
            out: Out::default(),
            header: Header {
                payload_type: 8,
                sequence: 1000,
                timestamp: 5000,
                ssrc: 0xabcd,
                marker: false,
            },
        }
    }

    /// One packet, as `type:sequence@timestamp[length]`, `M` with a marker.
    fn push(&mut self, header: Header, payload: &[u8]) -> Vec<String> {
        self.out.clear();
        self.chain.push(header, payload, &mut self.out);
        self.told()
    }

    fn told(&self) -> Vec<String> {
        let packets = self.out.packets();
        let told = packets.map(|(header, payload)| {
            let marker = if header.marker { "M" } else { "" };
            let (number, sequence) = (header.payload_type, header.sequence);
            format!(
                "{number}:{sequence}@{}[{}]{marker}",
                header.timestamp,
                payload.len()
            )
        });
        told.collect()
    }

    /// The next packet of G.711 of so many ms.
    fn send(&mut self, ms: u32) -> Vec<String> {
        let header = self.header;
        self.header.sequence += 1;
        self.header.timestamp += ms * 8;
        self.push(header, &vec![0xd5; ms as usize * 8])
    }

    /// The next packet, with this audio.
    fn say(&mut self, samples: &[i16]) -> Vec<String> {
        let header = self.header;
        self.header.sequence += 1;
        self.header.timestamp += u32::try_from(samples.len()).unwrap();
        let mut payload = Vec::new();
        Law::A.encode(samples, &mut payload);
        self.push(header, &payload)
    }

    /// An event packet under 101; it has the next number.
    fn event(&mut self, timestamp: u32, duration: u16, is_end: bool) -> Vec<String> {
        let header = Header {
            payload_type: 101,
            timestamp,
            ..self.header
        };
        self.header.sequence += 1;
        let event = Event {
            event: 5,
            is_end,
            volume: 10,
            duration,
        };
        self.push(header, &event.to_bytes())
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        self.out
            .packets()
            .map(|(_, payload)| payload.to_vec())
            .collect()
    }
}

fn simple(ptime_ms: u32) -> Wire {
    Wire::new(Setup::new(vec![convert(pcma(), pcmu())], ptime_ms))
}

#[test]
fn the_first_packet_keeps_its_numbers_and_loses_its_marker() {
    let mut wire = simple(20);
    wire.header.marker = true;
    assert_eq!(wire.send(20), ["0:1000@5000[160]"]);
    assert_eq!(wire.out.packets().next().unwrap().0.ssrc, 0xabcd);
    assert_eq!(wire.payloads(), [vec![SILENCE; 160]]);
    assert_eq!(wire.send(20), ["0:1001@5160[160]"]);
}

#[test]
fn numbers_of_lost_packets_are_skipped_and_timestamps_are_not() {
    let mut wire = simple(20);
    wire.send(20);
    wire.header.sequence += 3;
    wire.header.timestamp += 480;
    assert_eq!(wire.send(20), ["0:1004@5160[160]"]);

    let mut setup = Setup::new(vec![convert(pcma(), pcmu())], 20);
    setup.timestamp_gaps = true;
    let mut wire = Wire::new(setup);
    wire.send(20);
    wire.header.sequence += 3;
    wire.header.timestamp += 480;
    assert_eq!(wire.send(20), ["0:1004@5640[160]"]);
}

#[test]
fn one_lost_packet_holds_the_next_until_one_more_comes() {
    let mut wire = simple(20);
    wire.send(20);
    wire.header.sequence += 1;
    assert!(wire.send(20).is_empty());
    assert_eq!(wire.send(20), ["0:1002@5160[160]", "0:1003@5320[160]"]);
}

#[test]
fn a_sender_that_begins_anew_is_continued() {
    let mut wire = simple(20);
    wire.send(20);
    wire.header.sequence += 200;
    wire.header.timestamp = 77;
    assert_eq!(wire.send(20), ["0:1001@5160[160]"]);
    wire.header.timestamp += 80_000;
    assert_eq!(wire.send(20), ["0:1002@5320[160]"]);
}

#[test]
fn a_new_source_has_numbers_of_its_own_and_nothing_of_the_old_one() {
    let mut wire = simple(20);
    wire.send(10);
    wire.header.ssrc = 7;
    wire.header.sequence = 40;
    wire.header.timestamp = 90;
    assert_eq!(wire.send(10), [] as [&str; 0]);
    assert_eq!(wire.send(10), ["0:40@90[160]"]);
    assert_eq!(wire.out.packets().next().unwrap().0.ssrc, 7);
}

#[test]
fn sources_are_bounded_and_the_oldest_goes() {
    let mut wire = simple(20);
    for ssrc in 0..10 {
        wire.header.ssrc = ssrc;
        wire.send(20);
    }
    let known: Vec<u32> = wire
        .chain
        .streams
        .iter()
        .map(|stream| stream.ssrc)
        .collect();
    assert_eq!(known, [9, 8, 7, 6]);
}

#[test]
fn packets_are_cut_to_another_length() {
    let mut wire = simple(20);
    assert!(wire.send(10).is_empty());
    assert_eq!(wire.send(10), ["0:1000@5000[160]"]);

    let mut wire = simple(20);
    assert_eq!(wire.send(40), ["0:1000@5000[160]", "0:1001@5160[160]"]);
    assert_eq!(wire.send(20), ["0:1002@5320[160]"]);

    let mut wire = simple(30);
    assert!(wire.send(20).is_empty());
    assert_eq!(wire.send(20), ["0:1000@5000[240]"]);
    assert_eq!(wire.send(20), ["0:1001@5240[240]"]);

    let mut wire = simple(20);
    assert_eq!(wire.send(30), ["0:1000@5000[160]"]);
    assert_eq!(wire.send(30), ["0:1001@5160[160]", "0:1002@5320[160]"]);
}

#[test]
fn audio_is_the_same_whatever_the_packets() {
    let samples = signal(16_000);
    let run = |chunk: usize, ptime: u32| {
        let mut wire = simple(ptime);
        let mut bytes = Vec::new();
        for piece in samples.chunks(chunk) {
            wire.say(piece);
            bytes.extend(wire.payloads().concat());
        }
        bytes
    };
    let whole = run(160, 20);
    for (chunk, ptime) in [(80, 20), (320, 20), (240, 30), (160, 40), (37, 20)] {
        let bytes = run(chunk, ptime);
        assert_eq!(bytes, whole[..bytes.len()], "{chunk} {ptime}");
        assert!(whole.len() - bytes.len() < 640);
    }
}

#[test]
fn converting_up_is_late_by_one_packet() {
    let route = convert(pcma(), format(96, "L16", 16_000, 1));
    let mut wire = Wire::new(Setup::new(vec![route], 20));
    assert!(wire.send(20).is_empty());
    assert_eq!(wire.send(20), ["96:1000@5000[640]"]);
    assert_eq!(wire.send(20), ["96:1001@5320[640]"]);
}

#[test]
fn g722_counts_in_its_own_clock() {
    let route = convert(pcma(), format(9, "G722", 8000, 1));
    let mut wire = Wire::new(Setup::new(vec![route], 20));
    assert!(wire.send(20).is_empty());
    assert_eq!(wire.send(20), ["9:1000@5000[160]"]);
    assert_eq!(wire.send(20), ["9:1001@5160[160]"]);
}

#[test]
fn g726_and_stereo_are_reached() {
    let route = convert(pcma(), format(97, "G726-32", 8000, 1));
    let mut wire = Wire::new(Setup::new(vec![route], 20));
    assert_eq!(wire.send(20), ["97:1000@5000[80]"]);
    let route = convert(pcma(), format(98, "L16", 8000, 2));
    let mut wire = Wire::new(Setup::new(vec![route], 20));
    assert_eq!(wire.send(20), ["98:1000@5000[640]"]);
    let route = convert(format(8, "L16", 8000, 2), pcma());
    let mut wire = Wire::new(Setup::new(vec![route], 20));
    let header = wire.header;
    assert_eq!(wire.push(header, &[0; 640]), ["8:1000@5000[160]"]);
}

#[test]
fn what_has_no_route_passes_among_the_others() {
    let mut wire = simple(20);
    wire.send(20);
    let header = Header {
        payload_type: 77,
        ..wire.header
    };
    wire.header.sequence += 1;
    wire.header.timestamp += 160;
    assert_eq!(wire.push(header, b"text"), ["77:1001@5160[4]"]);
    assert_eq!(wire.payloads(), [b"text"]);
    assert_eq!(wire.send(20), ["0:1002@5160[160]"]);
}

#[test]
fn another_codec_discards_what_was_left() {
    let routes = vec![convert(pcma(), pcmu()), convert(pcmu(), pcmu())];
    let mut wire = Wire::new(Setup::new(routes, 20));
    wire.send(10);
    wire.header.payload_type = 0;
    assert!(wire.send(10).is_empty());
    assert_eq!(wire.send(10), ["0:1000@5000[160]"]);
}

#[test]
fn an_event_changes_its_clock_and_audio_goes_on_behind_it() {
    let routes = vec![
        convert(pcma(), format(96, "L16", 48_000, 1)),
        Route {
            from: events(101, 8000),
            treatment: Treatment::Rescale(events(97, 48_000)),
        },
    ];
    let mut wire = Wire::new(Setup::new(routes, 20));
    wire.send(20);
    assert_eq!(wire.send(20), ["96:1000@5000[1920]"]);
    let at = wire.header.timestamp;
    assert_eq!(wire.event(at, 160, false), ["97:1001@5960[4]"]);
    assert_eq!(wire.payloads(), [[5, 10, 0x03, 0xc0]]);
    assert_eq!(wire.event(at, 320, false), ["97:1002@5960[4]"]);
    assert_eq!(wire.event(at, 320, true), ["97:1003@5960[4]"]);
    assert_eq!(wire.event(at, 320, true), ["97:1004@5960[4]"]);
    wire.header.timestamp += 320;
    assert_eq!(wire.send(20), ["96:1005@7880[1920]"]);
}

/// Events of the sender, none at the receiver.
fn to_tones() -> Setup {
    let routes = vec![
        convert(pcma(), pcmu()),
        Route {
            from: events(101, 8000),
            treatment: Treatment::Sound(pcmu()),
        },
    ];
    Setup::new(routes, 20)
}

#[test]
fn an_event_becomes_a_tone_and_audio_meanwhile_is_dropped() {
    let mut wire = Wire::new(to_tones());
    wire.send(20);
    let mut tone = Tone::of_event(5, 10, 8000).unwrap();
    let at = wire.header.timestamp;
    for n in 1..=3_u16 {
        let told = wire.event(at, n * 160, false);
        assert_eq!(told.len(), 1);
        let mut samples = Vec::new();
        tone.generate(160, &mut samples);
        let mut expected = Vec::new();
        Law::Mu.encode(&samples, &mut expected);
        assert_eq!(wire.payloads(), [expected]);
        assert!(wire.send(20).is_empty(), "audio beside the event");
    }
    assert!(wire.event(at, 480, true).is_empty());
    assert!(wire.event(at, 480, true).is_empty());
    assert_eq!(wire.send(20).len(), 1);
    assert_eq!(wire.payloads(), [vec![SILENCE; 160]]);
}

#[test]
fn audio_comes_back_when_the_end_of_an_event_was_lost() {
    let mut wire = Wire::new(to_tones());
    wire.send(20);
    let at = wire.header.timestamp;
    wire.event(at, 160, false);
    let silent = (0..20).take_while(|_| wire.send(20).is_empty()).count();
    assert_eq!(silent, 7);
}

#[test]
fn a_packet_of_an_event_that_was_lost_leaves_no_hole() {
    let mut wire = Wire::new(to_tones());
    wire.send(20);
    let at = wire.header.timestamp;
    assert_eq!(wire.event(at, 160, false).len(), 1);
    assert_eq!(wire.event(at, 480, false).len(), 2);
    // An event that claims a minute has 120 ms at most.
    assert_eq!(wire.event(at, 65_535, false).len(), 6);
}

/// The receiver has events, the sender has none.
fn to_events() -> Setup {
    let mut setup = Setup::new(vec![convert(pcma(), pcmu())], 20);
    setup.detect = true;
    setup.events = Some(events(96, 8000));
    setup
}

#[test]
fn a_tone_becomes_an_event() {
    let mut wire = Wire::new(to_events());
    let mut tone = Tone::of_event(5, 13, 8000).unwrap();
    wire.send(20);
    let mut told = Vec::new();
    for _ in 0..10 {
        let mut samples = Vec::new();
        tone.generate(160, &mut samples);
        told.extend(wire.say(&samples));
    }
    for _ in 0..4 {
        told.extend(wire.send(20));
    }
    // A frame leaks until two blocks of 12.75 ms have been heard.
    let expected = [
        "0:1001@5160[160]",
        "96:1002@5320[4]M",
        "96:1003@5320[4]",
        "96:1004@5320[4]",
        "96:1005@5320[4]",
        "96:1006@5320[4]",
        "96:1007@5320[4]",
        "96:1008@5320[4]",
        "96:1009@5320[4]",
        "96:1010@5320[4]",
        "96:1011@5320[4]",
        "96:1012@5320[4]",
        "96:1013@5320[4]",
        "96:1014@5320[4]",
        "0:1015@6920[160]",
        "0:1016@7080[160]",
        "0:1017@7240[160]",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_digit_is_played_as_an_event_in_the_time_of_the_audio() {
    let mut wire = Wire::new(to_events());
    let digit = Injection {
        event: 5,
        volume: 8,
        duration_ms: 100,
        pause_ms: 100,
    };
    wire.send(20);
    assert!(wire.chain.play_digit(digit));
    assert!(wire.chain.play_digit(digit));
    assert_eq!(wire.send(20), ["96:1001@5160[4]M"]);
    assert_eq!(wire.payloads(), [[5, 8, 0, 160]]);
    for n in [2, 3, 4] {
        assert_eq!(wire.send(20), [format!("96:{}@5160[4]", 1000 + n)]);
    }
    assert_eq!(
        wire.send(20),
        ["96:1005@5160[4]", "96:1006@5160[4]", "96:1007@5160[4]"]
    );
    assert_eq!(wire.payloads(), [[5, 0x88, 0x03, 0x20]; 3]);
    for n in 0..5 {
        let expected = format!("0:{}@{}[160]", 1008 + n, 5960 + n * 160);
        assert_eq!(wire.send(20), [expected]);
    }
    assert_eq!(wire.send(20), ["96:1013@6760[4]M"]);
}

#[test]
fn a_digit_is_played_as_a_tone_to_a_receiver_without_events() {
    let mut wire = simple(20);
    wire.send(20);
    wire.chain.play_digit(Injection {
        event: 1,
        volume: 10,
        duration_ms: 40,
        pause_ms: 20,
    });
    let mut samples = Vec::new();
    Tone::of_event(1, 10, 8000)
        .unwrap()
        .generate(320, &mut samples);
    let mut expected = Vec::new();
    Law::Mu.encode(&samples, &mut expected);
    for half in expected.chunks(160) {
        assert_eq!(wire.send(20).len(), 1);
        assert_eq!(wire.payloads(), [half]);
    }
    wire.send(20);
    assert_eq!(wire.payloads(), [vec![SILENCE; 160]]);
}

#[test]
fn digits_that_wait_are_bounded() {
    let mut chain = simple(20).chain;
    let digit = Injection {
        event: 1,
        volume: 10,
        duration_ms: 100,
        pause_ms: 100,
    };
    let taken = (0..1000).take_while(|_| chain.play_digit(digit)).count();
    assert_eq!(taken, MAX_INJECTIONS);
    let unknown = Injection { event: 16, ..digit };
    assert!(!simple(20).chain.play_digit(unknown));
}

#[test]
fn noise_for_a_receiver_without_it_is_a_frame_of_noise() {
    let routes = vec![
        convert(pcma(), pcmu()),
        Route {
            from: format(13, "CN", 8000, 1),
            treatment: Treatment::Sound(pcmu()),
        },
    ];
    let mut wire = Wire::new(Setup::new(routes, 20));
    wire.send(20);
    let header = Header {
        payload_type: 13,
        ..wire.header
    };
    wire.header.sequence += 1;
    assert_eq!(wire.push(header, &[40]), ["0:1001@5160[160]"]);
    assert!(wire.payloads()[0].iter().any(|code| *code != SILENCE));
    assert_eq!(wire.send(20), ["0:1002@5320[160]"]);
}

#[test]
fn what_is_to_be_dropped_leaves_nothing() {
    let routes = vec![
        convert(pcma(), pcmu()),
        Route {
            from: format(13, "CN", 8000, 1),
            treatment: Treatment::Drop,
        },
    ];
    let mut wire = Wire::new(Setup::new(routes, 20));
    wire.send(20);
    let header = Header {
        payload_type: 13,
        ..wire.header
    };
    wire.header.sequence += 1;
    assert!(wire.push(header, &[40]).is_empty());
    assert_eq!(wire.send(20), ["0:1001@5160[160]"]);
}

#[test]
fn a_chain_goes_on_from_its_state() {
    let mut wire = simple(20);
    wire.send(20);
    wire.send(20);
    wire.chain.play_digit(Injection {
        event: 1,
        volume: 10,
        duration_ms: 100,
        pause_ms: 100,
    });
    let text = serde_json::to_string(&wire.chain.save()).unwrap();
    let state: ChainState = serde_json::from_str(&text).unwrap();
    assert_eq!(state, wire.chain.save());
    let setup = wire.chain.setup().clone();
    wire.chain = Chain::restore(setup, state.clone()).unwrap();
    assert_eq!(wire.chain.save(), state);
    assert_eq!(wire.send(20), ["0:1002@5320[160]"]);
    assert_eq!(wire.chain.map_timestamp(0xabcd, 5328), Some(5328));
    assert_eq!(wire.chain.map_timestamp(1, 5328), None);
}

#[test]
fn a_state_of_another_version_is_refused() {
    let text = serde_json::to_string(&simple(20).chain.save()).unwrap();
    let other = serde_json::from_str(&text.replace("\"version\":1", "\"version\":9")).unwrap();
    let setup = simple(20).chain.setup().clone();
    assert_eq!(
        Chain::restore(setup, other).unwrap_err(),
        StateError::Version(9)
    );
}

#[test]
fn a_codec_that_is_not_supported_makes_no_chain() {
    let setup = Setup::new(vec![convert(pcma(), format(4, "G723", 8000, 1))], 30);
    assert!(matches!(Chain::new(setup), Err(ChainError::Codec(8, _))));
}

#[test]
fn no_packet_panics() {
    use proptest::prelude::*;
    let mut setup = to_tones();
    setup
        .routes
        .push(convert(format(9, "G722", 8000, 1), pcmu()));
    setup
        .routes
        .push(convert(format(97, "G726-40", 8000, 1), pcmu()));
    setup.detect = true;
    let packet = (
        0_u8..128,
        any::<u16>(),
        any::<u32>(),
        0_u32..6,
        prop::collection::vec(any::<u8>(), 0..2000),
    );
    let packets = prop::collection::vec(packet, 1..30);
    proptest!(ProptestConfig::with_cases(64), |(packets in packets)| {
        let mut chain = Chain::new(setup.clone()).unwrap();
        let mut out = Out::default();
        for (number, sequence, timestamp, ssrc, payload) in packets {
            let numbers = [8, 101, 9, 97, 77];
            let header = Header {
                payload_type: numbers[usize::from(number) % 5],
                sequence: sequence % 300,
                timestamp,
                ssrc,
                marker: false,
            };
            out.clear();
            chain.push(header, &payload, &mut out);
            prop_assert!(out.len() <= 16);
        }
    });
}

/// A chain with the library, if it is there.
fn with_opus(route: Route) -> Option<Wire> {
    let (libraries, results) = Libraries::open(&[catalogue::LibraryId::Opus]);
    if let Some((_, Err(error))) = results.first() {
        eprintln!("skipped: {error}");
        return None;
    }
    let mut setup = Setup::new(vec![route], 20);
    setup.libraries = libraries;
    Some(Wire::new(setup))
}

#[test]
fn opus_counts_at_48_khz_and_is_encoded_at_the_clock_of_its_source() {
    let opus = format(96, "opus", 48_000, 2);
    let Some(mut wire) = with_opus(convert(pcma(), opus.clone())) else {
        return;
    };
    assert_eq!(wire.chain.cost(), Cost::Heavy);
    let mut packets = Vec::new();
    for _ in 0..5 {
        let told = wire.send(20);
        assert_eq!(told.len(), 1, "nothing is held back");
        packets.push((
            wire.out.packets().next().unwrap().0,
            wire.payloads().concat(),
        ));
    }
    let times: Vec<u32> = packets.iter().map(|(header, _)| header.timestamp).collect();
    assert_eq!(times, [5000, 5960, 6920, 7880, 8840]);
    // Narrow band, mono, 20 ms: no clock above 8 kHz was needed.
    let (_, payload) = &packets[4];
    assert_eq!(payload[0] >> 3, 1);

    let back = with_opus(convert(
        Format {
            payload_type: 96,
            ..opus
        },
        pcma(),
    ));
    let mut back = back.unwrap();
    for (header, payload) in packets {
        let told = back.push(header, &payload);
        assert_eq!(told.len(), 1);
        assert!(told[0].ends_with("[160]"));
    }
}

#[test]
fn what_is_quiet_becomes_noise_for_a_receiver_that_has_it() {
    assert!(Silence::threshold_of(0.013) > 8 && Silence::threshold_of(0.012) <= 8);
    let mut setup = Setup::new(vec![convert(pcma(), pcmu())], 20);
    setup.silence = Some(Silence {
        threshold: Silence::threshold_of(0.013),
        noise: format(13, "CN", 8000, 1),
        payload: vec![32],
    });
    let mut wire = Wire::new(setup);
    assert_eq!(wire.send(20), ["13:1000@5000[1]"]);
    assert_eq!(wire.payloads(), [[32]]);
    assert_eq!(wire.say(&[500; 160]), ["0:1001@5160[160]"]);
    assert_eq!(wire.send(40), ["13:1002@5320[1]", "13:1003@5480[1]"]);
}

#[test]
fn gaps_are_filled_with_silence_or_noise() {
    let mut wire = simple(20);
    // Nothing is known of a source that has not spoken.
    wire.chain.fill(0xabcd, 160, None, &mut wire.out);
    assert!(wire.out.is_empty());
    let mut push = |sequence, timestamp| {
        wire.out.clear();
        let header = Header {
            sequence,
            timestamp,
            ..wire.header
        };
        wire.chain
            .push_in_order(header, &[0xd5; 160], Gaps::Filled, &mut wire.out);
        wire.out
            .packets()
            .next()
            .map(|(header, _)| (header.sequence, header.timestamp))
    };
    assert_eq!(push(1000, 5000), Some((1000, 5000)));
    wire.out.clear();
    wire.chain.fill(0xabcd, 160, None, &mut wire.out);
    assert_eq!(wire.told(), ["0:1001@5160[160]"]);
    assert_eq!(wire.payloads(), [vec![0xff; 160]]);
    wire.out.clear();
    let noise = cn::Description::white(30);
    wire.chain.fill(0xabcd, 160, Some(&noise), &mut wire.out);
    assert_eq!(wire.told(), ["0:1002@5320[160]"]);
    assert_ne!(wire.payloads(), [vec![0xff; 160]]);
    let mut push = |sequence, gaps| {
        wire.out.clear();
        let header = Header {
            sequence,
            timestamp: 5480,
            ..wire.header
        };
        wire.chain
            .push_in_order(header, &[0xd5; 160], gaps, &mut wire.out);
        wire.out.packets().next().map(|(header, _)| header.sequence)
    };
    // Two packets were lost, and two were made.
    assert_eq!(push(1003, Gaps::Filled), Some(1003));
    assert_eq!(push(1007, Gaps::Skipped), Some(1007));
}
