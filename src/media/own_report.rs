//! Own RTCP reports: a sender or receiver report and its reporter (RFC 3550 §6.4, §6.5; spec:
//! media-behaviour §8.1).

use std::time::Duration;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
/// Items of a source description (RFC 3550 §6.5.1, RFC 9143 §15.1).
const CNAME: u8 = 1;
const MID: u8 = 15;

/// Seconds from 1900, where NTP begins, to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// Blocks of a report: what fits the five bits of their count, less one (spec: media-behaviour §8.1).
const MAX_BLOCKS: usize = 30;

/// The 64 bits of an NTP timestamp, from the time since 1970.
pub fn ntp(unix: Duration) -> u64 {
    // Seconds wrap in 2036, as in all RTCP.
    let seconds = unix.as_secs().wrapping_add(NTP_TO_UNIX) << 32;
    seconds | ((u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000)
}

/// The middle 32 bits of an NTP timestamp, by which a report refers to another.
pub fn middle(ntp: u64) -> u32 {
    u32::try_from(ntp >> 16 & 0xffff_ffff).unwrap_or_default()
}

/// Sent packets and octets, for a sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// NTP time of the report.
    pub ntp: u64,
    /// The same on the clock of the stream.
    pub timestamp: u32,
    /// Packets so far.
    pub packets: u32,
    /// Bytes of payload so far.
    pub octets: u32,
}

/// Reception of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The source.
    pub ssrc: u32,
    /// Packets lost over the life of the source, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost in all.
    pub lost: u32,
    /// Extended highest sequence number.
    pub highest: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// The middle of the NTP timestamp of its last sender report; 0: none came.
    pub last_sender_report: u32,
    /// Time since that came, in 65,536ths of a second.
    pub delay: u32,
}

/// The reporter.
#[derive(Clone, Copy, Debug)]
pub struct Reporter<'a> {
    /// The source that is sent, or a number of our own.
    pub ssrc: u32,
    /// The relay.
    pub name: &'a [u8],
    /// The media, where it has a name (RFC 9143).
    pub mid: Option<&'a [u8]>,
}

/// The compound: a sender report if anything was sent, else a receiver report, and a description.
pub fn write(reporter: Reporter<'_>, sent: Option<&Sent>, heard: &[Heard], out: &mut Vec<u8>) {
    let heard = heard.get(..MAX_BLOCKS).unwrap_or(heard);
    let start = out.len();
    let count = u8::try_from(heard.len()).unwrap_or_default();
    let kind = match sent {
        Some(_) => SENDER_REPORT,
        None => RECEIVER_REPORT,
    };
    out.extend_from_slice(&[0x80 | count, kind, 0, 0]);
    out.extend_from_slice(&reporter.ssrc.to_be_bytes());
    if let Some(sent) = sent {
        out.extend_from_slice(&sent.ntp.to_be_bytes());
        for word in [sent.timestamp, sent.packets, sent.octets] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
    for block in heard {
        // 24 bits with a sign.
        let lost = block.lost.min(0x7f_ffff);
        for word in [
            block.ssrc,
            u32::from(block.fraction_lost) << 24 | lost,
            block.highest,
            block.jitter,
            block.last_sender_report,
            block.delay,
        ] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
    close(start, out);
    let start = out.len();
    out.extend_from_slice(&[0x81, SOURCE_DESCRIPTION, 0, 0]);
    out.extend_from_slice(&reporter.ssrc.to_be_bytes());
    item(CNAME, reporter.name, out);
    if let Some(mid) = reporter.mid {
        item(MID, mid, out);
    }
    // At least one zero ends the chunk, up to the next word.
    out.push(0);
    while !(out.len() - start).is_multiple_of(4) {
        out.push(0);
    }
    close(start, out);
}

fn item(kind: u8, text: &[u8], out: &mut Vec<u8>) {
    let text = text.get(..255).unwrap_or(text);
    out.extend_from_slice(&[kind, u8::try_from(text.len()).unwrap_or_default()]);
    out.extend_from_slice(text);
}

/// Writes the length of the packet that began at `start`: its 32-bit words less one.
fn close(start: usize, out: &mut [u8]) {
    let words = u16::try_from((out.len() - start) / 4 - 1).unwrap_or_default();
    if let Some(field) = out.get_mut(start + 2..start + 4) {
        field.copy_from_slice(&words.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::report::{Block, Said, read};
    use crate::media::rtcp::is_compound;

    #[test]
    fn what_is_written_can_be_read() {
        let unix = Duration::new(1_700_000_000, 500_000_000);
        let now = ntp(unix);
        assert_eq!(now, (1_700_000_000 + NTP_TO_UNIX) << 32 | 0x8000_0000);
        let reporter = Reporter {
            ssrc: 7,
            name: b"0123456789ab",
            mid: Some(b"a0"),
        };
        let sent = Sent {
            ntp: now,
            timestamp: 1600,
            packets: 10,
            octets: 1600,
        };
        let heard = Heard {
            ssrc: 9,
            fraction_lost: 64,
            lost: 3,
            highest: 0x1_0005,
            jitter: 80,
            last_sender_report: 0x1234_5678,
            delay: 32_768,
        };
        for sent in [Some(sent), None] {
            let mut out = Vec::new();
            write(reporter, sent.as_ref(), &[heard], &mut out);
            assert!(is_compound(&out) && out.len().is_multiple_of(4));
            let block = Said::Received(Block {
                reporter: 7,
                ssrc: 9,
                fraction_lost: 64,
                lost: 3,
                jitter: 80,
                last_sender_report: 0x1234_5678,
                delay: 32_768,
            });
            let sends = sent.map(|sent| Said::Sends {
                ssrc: 7,
                ntp_middle: middle(sent.ntp),
            });
            let expected: Vec<Said> = sends.into_iter().chain([block]).collect();
            assert_eq!(read(&out), expected);
            let description = &out[out.len() - 28..];
            assert_eq!(description[..8], [0x81, 202, 0, 6, 0, 0, 0, 7]);
            assert_eq!(&description[8..], b"\x01\x0c0123456789ab\x0f\x02a0\0\0");
        }
    }
}
