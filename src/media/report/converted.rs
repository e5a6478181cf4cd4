//! Reports about a stream that is converted on its way: what its receiver and its sender say to each
//! other, in the numbers of the other (RFC 3550 §6.4; spec: media-services §4.3).

use super::{BLOCK, Block, RECEIVER_HEAD, RECEIVER_REPORT, SENDER_HEAD, SENDER_REPORT};
use super::{read_block, split, word};

/// The figures of a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// RTP time of the report.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Octets of payload sent.
    pub octets: u32,
}

/// What a report block says of reception, with the number that it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    /// Packets lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost in all: 24 bits with a sign.
    pub lost: i32,
    /// Extended highest sequence number.
    pub highest: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
}

/// Writes a compound anew. `sends` gives the figures of a source, from its RTP time; `received` what
/// is said of reception in place of a block. `None` of either leaves it alone.
pub fn convert(
    compound: &[u8],
    out: &mut Vec<u8>,
    mut sends: impl FnMut(u32, u32) -> Option<Figures>,
    mut received: impl FnMut(&Block) -> Option<Reception>,
) {
    out.clear();
    let mut rest = compound;
    while let Some((packet, others)) = split(rest) {
        let at = out.len();
        out.extend_from_slice(packet);
        rest = others;
        let (Some(&[flags, kind]), Some(reporter)) = (packet.first_chunk::<2>(), word(packet, 4))
        else {
            continue;
        };
        let head = match kind {
            SENDER_REPORT => SENDER_HEAD,
            RECEIVER_REPORT => RECEIVER_HEAD,
            _ => continue,
        };
        if kind == SENDER_REPORT
            && packet.len() >= SENDER_HEAD
            && let Some(timestamp) = word(packet, 16)
            && let Some(figures) = sends(reporter, timestamp)
        {
            set(out, at + 16, figures.timestamp);
            set(out, at + 20, figures.packets);
            set(out, at + 24, figures.octets);
        }
        for block in 0..usize::from(flags & 0x1f) {
            let begin = head + BLOCK * block;
            let Some(told) = read_block(packet, begin, reporter) else {
                break;
            };
            let Some(reception) = received(&told) else {
                continue;
            };
            let lost = reception.lost.clamp(-0x80_0000, 0x7f_ffff).cast_unsigned() & 0xff_ffff;
            let fraction = u32::from(reception.fraction_lost) << 24;
            set(out, at + begin + 4, fraction | lost);
            set(out, at + begin + 8, reception.highest);
            set(out, at + begin + 12, reception.jitter);
        }
    }
    out.extend_from_slice(rest);
}

fn set(packet: &mut [u8], at: usize, word: u32) {
    if let Some(field) = packet.get_mut(at..at + 4) {
        field.copy_from_slice(&word.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// A sender report of 7 with a block about 9, and a name.
    const COMPOUND: [u32; 16] = [
        0x81c8_000c,
        7,
        0x0000_1234,
        0x5678_0000,
        1000,
        10,
        1600,
        9,
        0x40ff_fffe,
        100,
        80,
        0x1234_5678,
        32_768,
        0x81ca_0002,
        7,
        0,
    ];

    fn run(figures: Option<Figures>, reception: Option<Reception>) -> Vec<u8> {
        let mut out = Vec::new();
        let sends = |ssrc, timestamp| {
            assert_eq!((ssrc, timestamp), (7, 1000));
            figures
        };
        let received = |block: &Block| {
            assert_eq!((block.reporter, block.ssrc, block.jitter), (7, 9, 80));
            reception
        };
        convert(&bytes(&COMPOUND), &mut out, sends, received);
        out
    }

    #[test]
    fn what_is_not_converted_is_left_alone() {
        assert_eq!(run(None, None), bytes(&COMPOUND));
    }

    #[test]
    fn figures_and_blocks_are_written_anew() {
        let figures = Figures {
            timestamp: 6000,
            packets: 5,
            octets: 300,
        };
        let reception = Reception {
            fraction_lost: 3,
            lost: -1,
            highest: 0x1_0007,
            jitter: 480,
        };
        let mut expected = COMPOUND;
        expected[4..7].copy_from_slice(&[6000, 5, 300]);
        expected[8..11].copy_from_slice(&[0x03ff_ffff, 0x1_0007, 480]);
        assert_eq!(run(Some(figures), Some(reception)), bytes(&expected));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_keep_their_length(
            mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            kind in 200..=201u8,
        ) {
            if let Some(head) = bytes.first_chunk_mut::<4>() {
                *head = [0x80 | head[0] & 0x1f, kind, 0, head[3] & 0x1f];
            }
            let mut out = Vec::new();
            let figures = Figures { timestamp: 1, packets: 2, octets: 3 };
            let reception = Reception { fraction_lost: 1, lost: 2, highest: 3, jitter: 4 };
            convert(&bytes, &mut out, |_, _| Some(figures), |_| Some(reception));
            proptest::prop_assert_eq!(out.len(), bytes.len());
        }
    }
}
