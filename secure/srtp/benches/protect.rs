//! Nanoseconds per packet of sealing and opening, beside libsrtp2 in the same run.
//!
//! `cargo bench -p windlass-srtp`; `LIBSRTP=/path/to/libsrtp2.so` takes another build of the peer.
//! Packets in buffers of their own are sealed and then opened, a batch at a time, with a running
//! sequence number; the figure is the median of the batches. The last column is our time in parts
//! of the peer's.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a benchmark ends at the first surprise"
)]

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/peer/mod.rs"]
mod peer;

use std::hint::black_box;
use std::time::Instant;

use peer::{Direction, Peer};
use windlass_srtp::{Keys, MAX_OVERHEAD, Open, Seal, Suite};

/// Packets between two readings of the clock.
const BATCH: u16 = 64;
/// Batches of a figure.
const BATCHES: usize = 2000;

fn main() {
    let peer = Peer::find();
    println!("suite                       bytes  what     ns  libsrtp2  ratio");
    for suite in Suite::ALL {
        for bytes in [172, 1200] {
            let ours = ours(suite, bytes);
            let theirs = peer.and_then(|peer| theirs(peer, suite, bytes));
            for (what, at) in [("seal", 0), ("open", 1)] {
                print!("{:<26} {bytes:>6}  {what} {:>6.0}", suite.name(), ours[at]);
                match theirs {
                    Some(theirs) => {
                        println!("  {:>8.0}  {:>5.2}", theirs[at], ours[at] / theirs[at]);
                    }
                    None => println!("         -      -"),
                }
            }
        }
    }
}

fn key_salt(suite: Suite) -> Vec<u8> {
    vec![0x5a; suite.key_len() + suite.salt_len()]
}

fn ours(suite: Suite, bytes: usize) -> [f64; 2] {
    let keys = Keys::from_sdes(suite, &key_salt(suite)).unwrap();
    let mut sender = Seal::new(keys.clone()).unwrap();
    let mut receiver = Open::new(vec![keys]).unwrap();
    measure(
        bytes,
        |buffer, len| sender.rtp(buffer, len).unwrap(),
        |buffer, len| receiver.rtp(&mut buffer[..len]).unwrap(),
    )
}

fn theirs(peer: &Peer, suite: Suite, bytes: usize) -> Option<[f64; 2]> {
    let material = key_salt(suite);
    let mut sender = peer.context(suite, &material, None, Direction::Seal)?;
    let mut receiver = peer.context(suite, &material, None, Direction::Open)?;
    Some(measure(
        bytes,
        |buffer, len| sender.seal_rtp(buffer, len).unwrap(),
        |buffer, len| receiver.open_rtp(&mut buffer[..len]).unwrap(),
    ))
}

/// Nanoseconds per packet of both steps, each of which gives the new length of a packet.
fn measure(
    bytes: usize,
    mut seal: impl FnMut(&mut [u8], usize) -> usize,
    mut open: impl FnMut(&mut [u8], usize) -> usize,
) -> [f64; 2] {
    let mut plain = vec![0; bytes + MAX_OVERHEAD];
    plain[..12].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0xca, 0xfe, 0xba, 0xbe]);
    let mut packets = vec![(plain, bytes); BATCH.into()];
    let mut sequence = 0_u16;
    let mut figures = [const { Vec::new() }; 2];
    for _ in 0..BATCHES {
        for (buffer, _) in &mut packets {
            buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
            sequence = sequence.wrapping_add(1);
        }
        figures[0].push(turn(&mut packets, &mut seal));
        figures[1].push(turn(&mut packets, &mut open));
        let is_whole = packets.iter().all(|(_, len)| *len == bytes);
        assert!(is_whole, "opened to what was sealed");
    }
    figures.map(|mut figures| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    })
}

fn turn(packets: &mut [(Vec<u8>, usize)], step: &mut impl FnMut(&mut [u8], usize) -> usize) -> f64 {
    let start = Instant::now();
    for (buffer, len) in packets.iter_mut() {
        *len = step(black_box(buffer), *len);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
}
