//! The pcap file format (draft-ietf-opsawg-pcap) with IPv4 (RFC 791), IPv6 (RFC 8200), UDP (RFC
//! 768) and, if wanted, Ethernet headers made up around each payload.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use super::PcapFormat;
use crate::media::udp::{self, HEADER_BYTES, Way};

/// The header of a file: times in µs, numbers with their low byte first.
pub(super) fn file_header(format: PcapFormat) -> Vec<u8> {
    let link_type: u32 = match format {
        PcapFormat::Raw => 101,
        PcapFormat::Ethernet => 1,
    };
    let mut header = Vec::with_capacity(24);
    header.extend_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    header.extend_from_slice(&2u16.to_le_bytes());
    header.extend_from_slice(&4u16.to_le_bytes());
    header.extend_from_slice(&[0; 8]);
    header.extend_from_slice(&SNAPSHOT_LENGTH.to_le_bytes());
    header.extend_from_slice(&link_type.to_le_bytes());
    header
}

/// No datagram with its headers is longer.
const SNAPSHOT_LENGTH: u32 = 0x0004_0000;

/// Appends a packet to `out`. `None`, and nothing appended, if it is too long for one datagram.
pub(super) fn append_record(
    format: PcapFormat,
    time: SystemTime,
    (source, destination): (SocketAddr, SocketAddr),
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    let way = Way {
        from: source,
        to: destination,
        tos: 0,
    };
    let way = in_one_family(way);
    let ethernet: &[u8] = match (format, way.from.is_ipv4()) {
        (PcapFormat::Raw, _) => &[],
        (PcapFormat::Ethernet, true) => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0],
        (PcapFormat::Ethernet, false) => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd],
    };
    let began = out.len();
    out.extend_from_slice(&[0; RECORD_HEADER]);
    out.extend_from_slice(ethernet);
    let at = out.len();
    out.resize(at + HEADER_BYTES + payload.len(), 0);
    let packet = out.get_mut(at..).unwrap_or_default();
    let Some(length) = udp::write(packet, way, payload) else {
        out.truncate(began);
        return None;
    };
    udp::complete(packet);
    out.truncate(at + length);
    let length = u32::try_from(ethernet.len() + length).ok()?;
    let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    // The format's seconds end in 2106.
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let fields = [seconds, time.subsec_micros(), length, length];
    let header = out.get_mut(began..at).unwrap_or_default();
    for (field, value) in header.chunks_exact_mut(4).zip(fields) {
        field.copy_from_slice(&value.to_le_bytes());
    }
    Some(())
}

/// Bytes in front of each packet.
const RECORD_HEADER: usize = 16;

/// Both ends as IPv4, or as IPv6.
fn in_one_family(way: Way) -> Way {
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let mapped = |end: SocketAddr| match end.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => end,
    };
    let (from, to) = (plain(way.from), plain(way.to));
    let (from, to) = match from.is_ipv4() == to.is_ipv4() {
        true => (from, to),
        false => (mapped(from), mapped(to)),
    };
    Way { from, to, ..way }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn record(format: PcapFormat, source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
        let time = UNIX_EPOCH + Duration::new(1_795_187_669, 123_456_789);
        let ends = (source.parse().unwrap(), destination.parse().unwrap());
        let mut out = Vec::new();
        append_record(format, time, ends, payload, &mut out).unwrap();
        out
    }

    #[test]
    fn the_file_header_names_the_link_type() {
        let raw = file_header(PcapFormat::Raw);
        assert_eq!(raw.len(), 24);
        assert_eq!(raw[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(raw[20..], [101, 0, 0, 0]);
        assert_eq!(file_header(PcapFormat::Ethernet)[20..], [1, 0, 0, 0]);
    }

    #[test]
    fn a_v4_packet_stands_behind_time_and_length() {
        let out = record(
            PcapFormat::Raw,
            "198.51.100.2:4000",
            "203.0.113.1:30000",
            b"abc",
        );
        assert_eq!(out[..4], 1_795_187_669_u32.to_le_bytes());
        assert_eq!(out[4..8], 123_456_u32.to_le_bytes());
        assert_eq!(out[8..16], [31, 0, 0, 0, 31, 0, 0, 0]);
        let packet = &out[16..];
        assert_eq!(packet.len(), 31);
        assert_eq!(packet[..10], [0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17]);
        assert_eq!(packet[12..20], [198, 51, 100, 2, 203, 0, 113, 1]);
        assert_eq!(packet[20..26], [0x0f, 0xa0, 0x75, 0x30, 0, 11]);
        assert_eq!(&packet[28..], b"abc");
    }

    #[test]
    fn the_header_checksum_is_the_one_of_rfc_791() {
        let packet = record(PcapFormat::Raw, "192.0.2.1:1", "192.0.2.2:2", &[]);
        // By hand: 4500+001c+4011+c000+0201+c000+0202 = 20930 -> 0932 -> ~ = f6cd
        assert_eq!(packet[26..28], [0xf6, 0xcd]);
    }

    #[test]
    fn a_v6_packet_has_its_header() {
        let out = record(
            PcapFormat::Raw,
            "[2001:db8::1]:4000",
            "[2001:db8::2]:30000",
            b"abcd",
        );
        let packet = &out[16..];
        assert_eq!(packet.len(), 52);
        assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 12, 17, 64]);
    }

    #[test]
    fn ethernet_says_which_ip_follows() {
        let v4 = record(PcapFormat::Ethernet, "192.0.2.1:1", "192.0.2.2:2", &[]);
        assert_eq!(v4.len(), 16 + 14 + 28);
        assert_eq!(v4[28..31], [8, 0, 0x45]);
        let v6 = record(
            PcapFormat::Ethernet,
            "[2001:db8::1]:1",
            "[2001:db8::2]:2",
            &[],
        );
        assert_eq!(v6[28..31], [0x86, 0xdd, 0x60]);
    }

    #[test]
    fn mapped_addresses_are_v4_and_mixed_ones_v6() {
        let mapped = record(PcapFormat::Raw, "[::ffff:192.0.2.1]:1", "192.0.2.2:2", &[]);
        assert_eq!(mapped[16], 0x45);
        let mixed = record(PcapFormat::Raw, "192.0.2.1:1", "[2001:db8::2]:2", &[]);
        assert_eq!(mixed[16], 0x60);
        assert_eq!(mixed[34..40], [0xff, 0xff, 192, 0, 2, 1]);
    }

    #[test]
    fn what_fits_no_datagram_is_refused() {
        let ends = (
            "192.0.2.1:1".parse().unwrap(),
            "192.0.2.2:2".parse().unwrap(),
        );
        let mut out = Vec::new();
        let mut append = |length| {
            append_record(
                PcapFormat::Raw,
                UNIX_EPOCH,
                ends,
                &vec![0xff; length],
                &mut out,
            )
        };
        assert_eq!(append(65_507), Some(()));
        assert_eq!(append(65_508), None);
        assert_eq!(append(70_000), None);
        assert_eq!(out.len(), 16 + 65_535);
    }
}
