//! UDP packets with the headers that the system would have written (RFC 791, RFC 8200, RFC 768).

use std::net::{IpAddr, SocketAddr};

/// Bytes of an IPv4 header without options.
const IPV4_BYTES: usize = 20;
/// Bytes of an IPv6 header.
const IPV6_BYTES: usize = 40;
/// Bytes of a UDP header.
const UDP_BYTES: usize = 8;

/// Bytes of the longest headers.
pub(crate) const HEADER_BYTES: usize = IPV6_BYTES + UDP_BYTES;

/// Time to live and hop limit, as the system has them.
const HOPS: u8 = 64;

/// The protocol number of UDP.
const UDP: u8 = 17;

/// Addresses and TOS of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// TOS or traffic class.
    pub(crate) tos: u8,
}

/// Writes a whole packet and returns its length; `None` if it does not fit, or if the addresses
/// differ in family.
///
/// The identification and the sum of an IPv4 header are left 0: the system fills them in for raw
/// sockets (raw(7)). Routers may fragment: nobody would hear that they could not.
pub(crate) fn write(out: &mut [u8], way: Way, payload: &[u8]) -> Option<usize> {
    let datagram = UDP_BYTES + payload.len();
    let length = u16::try_from(datagram).ok()?;
    let ip = match (way.from.ip(), way.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = out.first_chunk_mut::<IPV4_BYTES>()?;
            let total = u16::try_from(IPV4_BYTES + datagram).ok()?;
            header.fill(0);
            let [a, b] = total.to_be_bytes();
            header[..4].copy_from_slice(&[0x45, way.tos, a, b]);
            header[8..10].copy_from_slice(&[HOPS, UDP]);
            header[12..16].copy_from_slice(&from.octets());
            header[16..20].copy_from_slice(&to.octets());
            IPV4_BYTES
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = out.first_chunk_mut::<IPV6_BYTES>()?;
            // Version, traffic class, flow label 0.
            header[..4].copy_from_slice(&[0x60 | way.tos >> 4, way.tos << 4, 0, 0]);
            header[4..6].copy_from_slice(&length.to_be_bytes());
            header[6..8].copy_from_slice(&[UDP, HOPS]);
            header[8..24].copy_from_slice(&from.octets());
            header[24..40].copy_from_slice(&to.octets());
            IPV6_BYTES
        }
        _ => return None,
    };
    let sum = addresses_sum(way.from.ip())
        + addresses_sum(way.to.ip())
        + u64::from(UDP)
        + 2 * u64::from(length)
        + u64::from(way.from.port())
        + u64::from(way.to.port())
        + sum(payload);
    let udp = out.get_mut(ip..)?.first_chunk_mut::<UDP_BYTES>()?;
    udp[..2].copy_from_slice(&way.from.port().to_be_bytes());
    udp[2..4].copy_from_slice(&way.to.port().to_be_bytes());
    udp[4..6].copy_from_slice(&length.to_be_bytes());
    udp[6..8].copy_from_slice(&checksum(sum).to_be_bytes());
    let end = ip + datagram;
    out.get_mut(ip + UDP_BYTES..end)?.copy_from_slice(payload);
    Some(end)
}

/// Writes the sum into the IPv4 header of a packet of [`write`], for those that no system sends.
pub(crate) fn complete(packet: &mut [u8]) {
    let is_v4 = packet.first().is_some_and(|first| first >> 4 == 4);
    if let Some(header) = packet.first_chunk_mut::<IPV4_BYTES>().filter(|_| is_v4) {
        let sum = !folded(sum(header));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The datagram in a packet of [`write`].
pub(crate) fn payload(packet: &[u8]) -> &[u8] {
    let is_v4 = packet.first().is_some_and(|first| first >> 4 == 4);
    let headers = if is_v4 { IPV4_BYTES } else { IPV6_BYTES } + UDP_BYTES;
    packet.get(headers..).unwrap_or_default()
}

fn addresses_sum(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    }
}

/// The sum of 16-bit words, not folded; an odd last byte counts as if a zero followed (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    // 32 bits at a time: folding adds the halves.
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let word = |bytes: [u8; 4]| u64::from(u32::from_be_bytes(bytes));
    let whole = words.map(|bytes| word(bytes.try_into().unwrap_or_default()));
    whole.sum::<u64>() + word(last)
}

/// What the header of UDP says: never 0, which means that there is none (RFC 768).
fn checksum(sum: u64) -> u16 {
    match !folded(sum) {
        0 => 0xffff,
        checksum => checksum,
    }
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(from: &str, to: &str) -> Way {
        Way {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            tos: 0xb8,
        }
    }

    /// The receiver's check: the sum over everything is all ones.
    fn receiver_sum(packet: &[u8]) -> u16 {
        let is_v4 = packet[0] >> 4 == 4;
        let (addresses, udp) = match is_v4 {
            true => (&packet[12..20], &packet[20..]),
            false => (&packet[8..40], &packet[40..]),
        };
        folded(sum(addresses) + 17 + udp.len() as u64 + sum(udp))
    }

    #[test]
    fn an_ipv4_packet_byte_by_byte() {
        let mut out = [0xee; 64];
        let way = way("192.0.2.1:30000", "198.51.100.9:4000");
        let length = write(&mut out, way, b"hello").unwrap();
        assert_eq!(length, 33);
        assert_eq!(
            out[..20],
            [
                0x45, 0xb8, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 9
            ]
        );
        assert_eq!(out[20..26], [0x75, 0x30, 0x0f, 0xa0, 0, 13]);
        assert_eq!(payload(&out[..length]), b"hello");
        assert_eq!(receiver_sum(&out[..length]), 0xffff);
        complete(&mut out[..length]);
        assert_eq!(folded(sum(&out[..20])), 0xffff);
    }

    #[test]
    fn an_ipv6_packet_byte_by_byte() {
        let mut out = [0xee; 128];
        let length = write(
            &mut out,
            way("[2001:db8::1]:30000", "[2001:db8::2]:2"),
            b"hi",
        )
        .unwrap();
        assert_eq!(length, 50);
        assert_eq!(out[..8], [0x6b, 0x80, 0, 0, 0, 10, 17, 64]);
        assert_eq!(payload(&out[..length]), b"hi");
        assert_eq!(receiver_sum(&out[..length]), 0xffff);
    }

    #[test]
    fn sums_are_right_for_every_length() {
        let body: Vec<u8> = (0..200u8).map(|byte| byte.wrapping_mul(151)).collect();
        let mut out = [0; 300];
        for length in 0..body.len() {
            let way = way("10.0.0.1:1", "10.255.255.254:65535");
            let length = write(&mut out, way, &body[..length]).unwrap();
            assert_eq!(receiver_sum(&out[..length]), 0xffff);
        }
        // A sum of 0 is sent as all ones.
        assert_eq!(checksum(0xffff), 0xffff);
        assert_eq!(checksum(0x1_fffe), 0xffff);
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut out = [0; 30];
        let v4 = way("10.0.0.1:1", "10.0.0.2:2");
        assert_eq!(write(&mut out, v4, b"too long"), None);
        assert_eq!(write(&mut out, way("10.0.0.1:1", "[::1]:2"), b""), None);
        assert_eq!(write(&mut [0; 70_000], v4, &[0; 65_530]), None);
    }
}
