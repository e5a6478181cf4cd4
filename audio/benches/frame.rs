//! What one direction costs per packet of 20 ms, from payload to payload, in µs of one thread.
//!
//! `cargo bench -p windlass-audio`; libraries that are not installed are left out. docs/spec/
//! media-services.md §15 has the reference's figures, with the network included.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::time::Instant;

use windlass_audio::catalogue::LibraryId;
use windlass_audio::chain::{Chain, Setup};
use windlass_audio::codec::g711::Law;
use windlass_audio::format::Format;
use windlass_audio::library::Libraries;
use windlass_audio::negotiate::{Route, Treatment};
use windlass_audio::packet::{Header, Out};

/// Packets of a round: 40 s of audio.
const PACKETS: u32 = 2000;

/// Of so many rounds the median counts.
const ROUNDS: usize = 5;

fn format(text: &str, fmtp: &str) -> Format {
    let mut fields = text.split('/');
    let mut next = || fields.next();
    Format {
        payload_type: 96,
        name: next().unwrap_or_default().to_owned(),
        clock: next().and_then(|clock| clock.parse().ok()).unwrap_or(8000),
        channels: next().and_then(|count| count.parse().ok()).unwrap_or(1),
        fmtp: fmtp.to_owned(),
    }
}

/// Speech is not at hand; a chirp with pauses keeps codecs as busy.
fn signal() -> Vec<u8> {
    let mut payload = Vec::new();
    let samples: Vec<i16> = (0..16_000_i32)
        .map(|i| {
            let t = f64::from(i) / 8000.0;
            let swell = (t * 3.0).sin().max(0.0);
            #[expect(clippy::cast_possible_truncation, reason = "below full scale")]
            let value = (12_000.0 * swell * (t * 800.0 * (1.0 + t)).sin()) as i16;
            value
        })
        .collect();
    Law::A.encode(&samples, &mut payload);
    payload
}

/// µs per packet of PCMA.
fn measure(setup: &Setup, audio: &[u8]) -> Option<f64> {
    let mut rounds: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        let mut chain = Chain::new(setup.clone()).ok()?;
        let mut out = Out::default();
        let frames: Vec<&[u8]> = audio.chunks_exact(160).collect();
        let begin = Instant::now();
        let packets = frames.iter().cycle().zip(0..PACKETS);
        for (frame, number) in packets {
            let header = Header {
                payload_type: 8,
                sequence: u16::try_from(number).unwrap_or_default(),
                timestamp: number * 160,
                ssrc: 1,
                marker: false,
            };
            out.clear();
            chain.push(header, frame, &mut out);
        }
        rounds.push(begin.elapsed().as_secs_f64() * 1e6 / f64::from(PACKETS));
    }
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied()
}

fn main() {
    let wanted = [
        LibraryId::AmrNb,
        LibraryId::AmrWb,
        LibraryId::G729,
        LibraryId::Gsm,
        LibraryId::Opus,
        LibraryId::Speex,
    ];
    let (libraries, _) = Libraries::open(&wanted);
    let audio = signal();
    let pcma = Format {
        payload_type: 8,
        ..format("PCMA", "")
    };
    let rows = [
        ("PCMA -> PCMU", "PCMU/8000", 20, false),
        ("PCMA 20 -> 40 ms", "PCMA/8000", 40, false),
        ("PCMA -> L16/16000", "L16/16000", 20, false),
        ("PCMA -> G722", "G722/8000", 20, false),
        ("PCMA -> G726-32", "G726-32/8000", 20, false),
        ("PCMA -> GSM", "GSM/8000", 20, false),
        ("PCMA -> G729", "G729/8000", 20, false),
        ("PCMA -> AMR", "AMR/8000", 20, false),
        ("PCMA -> AMR-WB", "AMR-WB/16000", 20, false),
        ("PCMA -> speex/8000", "speex/8000", 20, false),
        ("PCMA -> opus", "opus/48000/2", 20, false),
        ("tone detector", "PCMA/8000", 20, true),
    ];
    for (name, to, ptime, detect) in rows {
        let route = Route {
            from: pcma.clone(),
            treatment: Treatment::Convert(format(to, "")),
        };
        let mut setup = Setup::new(vec![route], ptime);
        setup.libraries = libraries.clone();
        setup.detect = detect;
        match measure(&setup, &audio) {
            Some(micros) => println!("{name:<22}{micros:8.2} µs"),
            None => println!("{name:<22}not supported"),
        }
    }
}
