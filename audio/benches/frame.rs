//! What one direction costs per packet of 20 ms, from payload to payload, in µs of CPU of one
//! thread. What else the machine does costs cache, but is not counted.
//!
//! `cargo bench -p windlass-audio`; libraries that are not installed are left out. docs/spec/
//! media-services.md §15 has the reference's figures, with the network included.
use windlass_audio::catalogue::LibraryId;
use windlass_audio::chain::{Chain, Setup};
use windlass_audio::codec::g711::Law;
use windlass_audio::format::Format;
use windlass_audio::library::Libraries;
use windlass_audio::negotiate::{Route, Treatment};
use windlass_audio::packet::{Header, Out};

/// Packets of a round: 40 s of audio.
const PACKETS: u32 = 2000;

/// Rounds go on until so much was spent: the system counts in steps of some milliseconds.
const ENOUGH_NANOS: u64 = 300_000_000;

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

/// What this thread has had of a processor.
fn cpu_nanos() -> Option<u64> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    line.split(' ').next()?.parse().ok()
}

/// µs per packet of PCMA.
fn measure(setup: &Setup, audio: &[u8]) -> Option<f64> {
    let mut chain = Chain::new(setup.clone()).ok()?;
    let mut out = Out::default();
    let frames: Vec<&[u8]> = audio.chunks_exact(160).collect();
    let begin = cpu_nanos()?;
    let mut number: u32 = 0;
    loop {
        for frame in frames.iter().cycle().take(PACKETS as usize) {
            let header = Header {
                payload_type: 8,
                sequence: u16::try_from(number & 0xffff).unwrap_or_default(),
                timestamp: number.wrapping_mul(160),
                ssrc: 1,
                marker: false,
            };
            out.clear();
            chain.push(header, frame, &mut out);
            number += 1;
        }
        let spent = cpu_nanos()? - begin;
        if spent > ENOUGH_NANOS {
            let spent = u32::try_from(spent).unwrap_or(u32::MAX);
            return Some(f64::from(spent) / 1e3 / f64::from(number));
        }
    }
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
