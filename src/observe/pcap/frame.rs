//! The pcap file format (draft-ietf-opsawg-pcap) with IPv4 (RFC 791), IPv6 (RFC 8200), UDP (RFC
//! 768) and, if wanted, Ethernet headers made up around each payload.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use super::PcapFormat;

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
    let udp_length = u16::try_from(UDP_HEADER + payload.len()).ok()?;
    let addresses = Addresses::of(source.ip(), destination.ip());
    let ip_header = addresses.header(udp_length)?;
    let ethernet: &[u8] = match (format, &addresses) {
        (PcapFormat::Raw, _) => &[],
        (PcapFormat::Ethernet, Addresses::V4(..)) => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0],
        (PcapFormat::Ethernet, Addresses::V6(..)) => {
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd]
        }
    };
    let length = ethernet.len() + ip_header.len() + usize::from(udp_length);
    let length = u32::try_from(length).ok()?;
    let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    // The format's seconds end in 2106.
    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    for field in [seconds, time.subsec_micros(), length, length] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.extend_from_slice(ethernet);
    out.extend_from_slice(&ip_header);

    let mut udp = [0; UDP_HEADER];
    let (ports, rest) = udp.split_at_mut(4);
    let (source_port, destination_port) = ports.split_at_mut(2);
    source_port.copy_from_slice(&source.port().to_be_bytes());
    destination_port.copy_from_slice(&destination.port().to_be_bytes());
    let (length, checksum) = rest.split_at_mut(2);
    length.copy_from_slice(&udp_length.to_be_bytes());
    let mut sum = addresses.pseudo_header(udp_length);
    sum.add(&source.port().to_be_bytes());
    sum.add(&destination.port().to_be_bytes());
    sum.add(&udp_length.to_be_bytes());
    sum.add(payload);
    // 0 would say that there is no checksum.
    let value = match sum.finish() {
        0 => u16::MAX,
        value => value,
    };
    checksum.copy_from_slice(&value.to_be_bytes());
    out.extend_from_slice(&udp);
    out.extend_from_slice(payload);
    Some(())
}

const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
const HOPS: u8 = 64;

/// Addresses of both ends, of one family.
enum Addresses {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Addresses {
    fn of(source: IpAddr, destination: IpAddr) -> Self {
        let v6 = |address: IpAddr| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        match (source.to_canonical(), destination.to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Self::V4(source, destination),
            (source, destination) => Self::V6(v6(source), v6(destination)),
        }
    }

    /// The IP header; `None` if the length does not fit it.
    fn header(&self, udp_length: u16) -> Option<Vec<u8>> {
        let mut header = Vec::with_capacity(40);
        match self {
            Self::V4(source, destination) => {
                let [high, low] = udp_length.checked_add(20)?.to_be_bytes();
                let fixed = |checksum: [u8; 2]| {
                    let [c0, c1] = checksum;
                    [0x45, 0, high, low, 0, 0, 0x40, 0, HOPS, UDP, c0, c1]
                };
                let mut sum = Checksum::default();
                sum.add(&fixed([0, 0]));
                sum.add(&source.octets());
                sum.add(&destination.octets());
                header.extend_from_slice(&fixed(sum.finish().to_be_bytes()));
                header.extend_from_slice(&source.octets());
                header.extend_from_slice(&destination.octets());
            }
            Self::V6(source, destination) => {
                let [high, low] = udp_length.to_be_bytes();
                header.extend_from_slice(&[0x60, 0, 0, 0, high, low, UDP, HOPS]);
                header.extend_from_slice(&source.octets());
                header.extend_from_slice(&destination.octets());
            }
        }
        Some(header)
    }

    /// The part of the IP header that the UDP checksum covers (RFC 768, RFC 8200 §8.1).
    fn pseudo_header(&self, udp_length: u16) -> Checksum {
        let mut sum = Checksum::default();
        match self {
            Self::V4(source, destination) => {
                sum.add(&source.octets());
                sum.add(&destination.octets());
            }
            Self::V6(source, destination) => {
                sum.add(&source.octets());
                sum.add(&destination.octets());
            }
        }
        sum.add(&[0, UDP]);
        sum.add(&udp_length.to_be_bytes());
        sum
    }
}

/// The Internet checksum (RFC 1071).
#[derive(Default)]
struct Checksum(u32);

impl Checksum {
    /// Adds bytes; only the last part may be of odd length. 64 KiB of parts cannot overflow.
    fn add(&mut self, bytes: &[u8]) {
        let (pairs, odd) = bytes.as_chunks::<2>();
        for pair in pairs {
            self.0 += u32::from(u16::from_be_bytes(*pair));
        }
        if let [last] = odd {
            self.0 += u32::from(u16::from_be_bytes([*last, 0]));
        }
    }

    fn finish(self) -> u16 {
        let folded = (self.0 & 0xffff) + (self.0 >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        !u16::try_from(folded).unwrap_or(u16::MAX)
    }
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
    fn a_v4_packet_has_correct_checksums() {
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
        assert_eq!(packet[..10], [0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17]);
        assert_eq!(packet[12..20], [198, 51, 100, 2, 203, 0, 113, 1]);
        assert_eq!(packet[20..26], [0x0f, 0xa0, 0x75, 0x30, 0, 11]);
        assert_eq!(&packet[28..], b"abc");
        // A sum over everything, the checksum included, is all ones.
        let mut header = Checksum::default();
        header.add(&packet[..20]);
        assert_eq!(header.finish(), 0);
        let mut udp = Checksum::default();
        udp.add(&packet[12..20]);
        udp.add(&[0, 17, 0, 11]);
        udp.add(&packet[20..]);
        assert_eq!(udp.finish(), 0);
    }

    #[test]
    fn the_header_checksum_is_the_one_of_rfc_791() {
        let packet = record(PcapFormat::Raw, "192.0.2.1:1", "192.0.2.2:2", &[]);
        // By hand: 4500+001c+4000+4011+c000+0201+c000+0202 = 24930 -> 4932 -> ~ = b6cd
        assert_eq!(packet[26..28], [0xb6, 0xcd]);
    }

    #[test]
    fn a_v6_packet_has_a_correct_checksum() {
        let out = record(
            PcapFormat::Raw,
            "[2001:db8::1]:4000",
            "[2001:db8::2]:30000",
            b"abcd",
        );
        let packet = &out[16..];
        assert_eq!(packet.len(), 52);
        assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 12, 17, 64]);
        let mut udp = Checksum::default();
        udp.add(&packet[8..40]);
        udp.add(&[0, 17, 0, 12]);
        udp.add(&packet[40..]);
        assert_eq!(udp.finish(), 0);
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
