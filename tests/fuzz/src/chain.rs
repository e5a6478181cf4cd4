//! Converted audio: whatever a party sends, its chain makes no more than a few packets of it.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use windlass_audio::catalogue::LibraryId;
use windlass_audio::chain::{Chain, Gaps, Mask, Setup};
use windlass_audio::dtx::{Dtx, DtxSettings, Tick};
use windlass_audio::format::Format;
use windlass_audio::jitter::{JitterBuffer, JitterSettings};
use windlass_audio::library::Libraries;
use windlass_audio::negotiate::{Route, Treatment};
use windlass_audio::packet::{Header, Out};

fn format(payload_type: u8, name: &str, clock: u32, channels: u8) -> Format {
    Format {
        payload_type,
        name: name.to_owned(),
        clock,
        channels,
        fmtp: String::new(),
    }
}

/// Codecs of others that are installed here.
static LIBRARIES: LazyLock<Libraries> =
    LazyLock::new(|| Libraries::open(&[LibraryId::Opus, LibraryId::AmrNb, LibraryId::Gsm]).0);

/// What the sender may use; those of libraries that are not there are left out.
fn routes(to: &Format, libraries: &Libraries) -> Vec<Route> {
    let mut senders = vec![
        format(0, "PCMU", 8000, 1),
        format(8, "PCMA", 8000, 1),
        format(9, "G722", 8000, 1),
        format(10, "L16", 44_100, 2),
        format(98, "G726-32", 8000, 1),
    ];
    for (library, sender) in [
        (LibraryId::Opus, format(96, "opus", 48_000, 2)),
        (LibraryId::AmrNb, format(97, "AMR", 8000, 1)),
        (LibraryId::Gsm, format(3, "GSM", 8000, 1)),
    ] {
        if libraries.has(library) {
            senders.push(sender);
        }
    }
    let convert = |from| Route {
        from,
        treatment: Treatment::Convert(to.clone()),
    };
    let mut routes: Vec<_> = senders.into_iter().map(convert).collect();
    routes.push(Route {
        from: format(101, "telephone-event", 8000, 1),
        treatment: Treatment::Pass(101),
    });
    routes.push(Route {
        from: format(102, "telephone-event", 48_000, 1),
        treatment: Treatment::Sound(to.clone()),
    });
    routes.push(Route {
        from: format(13, "CN", 8000, 1),
        treatment: Treatment::Sound(to.clone()),
    });
    routes
}

/// What stands before the chain.
enum Front {
    Nothing,
    Jitter(JitterBuffer),
    Dtx(Dtx),
}

/// Packets of a sender, each after a byte with its length and one that says what comes with it.
pub fn chain(data: &[u8]) {
    let Some((&kind, mut rest)) = data.split_first() else {
        return;
    };
    let libraries = LIBRARIES.clone();
    let output = match kind % 3 {
        0 => format(0, "PCMU", 8000, 1),
        1 => format(9, "G722", 8000, 1),
        _ => format(99, "L16", 48_000, 2),
    };
    let mut setup = Setup::new(routes(&output, &libraries), 20);
    setup.libraries = libraries;
    setup.detect = kind & 0x40 != 0;
    setup.events = (kind & 0x80 != 0).then(|| format(103, "telephone-event", 8000, 1));
    let mut chain = Chain::new(setup).expect("the codecs that were found");
    let mut front = match kind / 3 % 3 {
        0 => Front::Nothing,
        1 => Front::Jitter(JitterBuffer::new(JitterSettings {
            packets: 10,
            clock: 8000,
            follow_drift: true,
            adaptive: None,
        })),
        _ => Front::Dtx(Dtx::new(DtxSettings {
            delay: Duration::from_millis(40),
            longest: Some(Duration::from_millis(500)),
            buffer: 4,
            lag: Duration::from_millis(80),
            shift: Duration::from_millis(5),
            clock: 8000,
            ptime: Duration::from_millis(20),
        })),
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the targets need a start of time"
    )]
    let mut now = Instant::now();
    let mut out = Out::default();
    let mut header = Header {
        payload_type: 8,
        sequence: 1,
        timestamp: 1,
        ssrc: 1,
        marker: false,
    };
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let [length, payload_type, step, mask] = *head;
        let (payload, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        header.payload_type = payload_type & 0x7f;
        header.marker = payload_type & 0x80 != 0;
        header.sequence = header.sequence.wrapping_add(u16::from(step & 0x0f));
        header.timestamp = header.timestamp.wrapping_add(u32::from(step) * 160);
        header.ssrc = u32::from(step >> 5);
        chain.set_muted(mask & 0x80 != 0);
        chain.set_mask(match mask & 7 {
            0 => Mask::Drop,
            1 => Mask::Silence,
            2 => Mask::Digit {
                event: mask >> 3,
                volume: None,
            },
            3 => Mask::Tone {
                frequencies: [u16::from(mask), 400, 0, 0],
                volume: mask,
            },
            _ => Mask::None,
        });
        now += Duration::from_millis(u64::from(step & 0x1f));
        out.clear();
        match &mut front {
            Front::Nothing if mask & 0x40 != 0 => {
                chain.skip(header, &mut out);
            }
            Front::Nothing => {
                chain.push(header, payload, &mut out);
            }
            Front::Jitter(buffer) => {
                buffer.push(now, header, payload, header.payload_type == 101);
                while let Some((header, payload)) = buffer.poll(now) {
                    out.clear();
                    chain.push_in_order(header, payload, Gaps::Skipped, &mut out);
                }
            }
            Front::Dtx(dtx) => {
                dtx.push(now, header, payload);
                while let Some(tick) = dtx.poll(now) {
                    out.clear();
                    match tick {
                        Tick::Fill(ticks) => chain.fill(header.ssrc, ticks, None, &mut out),
                        Tick::Packet(header, payload) => {
                            chain.push_in_order(header, payload, Gaps::Filled, &mut out)
                        }
                    };
                }
            }
        }
        assert!(out.packets().all(|(_, payload)| payload.len() <= 24_000));
    }
    // What is learned is taken up by another.
    let again = Chain::restore(chain.setup().clone(), chain.save());
    assert!(again.is_ok());
}
