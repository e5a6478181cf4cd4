//! Ethernet frames with RTP, made field by field.

use std::net::{IpAddr, SocketAddr};

/// A frame to be built.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) vlan: Option<u16>,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// TOS or traffic class.
    pub(crate) tos: u8,
    pub(crate) id: u16,
    /// Flags and offset of IPv4.
    pub(crate) fragment: u16,
    pub(crate) hops: u8,
    pub(crate) sum: Sum,
    pub(crate) payload: Vec<u8>,
    /// Bytes behind the datagram.
    pub(crate) trailer: Vec<u8>,
}

/// What stands in the field for the sum of UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    Whole,
    /// That of the addresses, for a device to complete.
    Partial,
    Zero,
    Wrong(u16),
}

/// An RTP packet of this type, marker, sequence number, timestamp and source.
pub(crate) fn rtp(first: u8, second: u8, sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![first, second];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet
}

impl Frame {
    pub(crate) fn new(from: SocketAddr, to: SocketAddr, payload: Vec<u8>) -> Self {
        Self {
            vlan: None,
            from,
            to,
            tos: 0,
            id: 0x1234,
            fragment: 0x4000,
            hops: 61,
            sum: Sum::Whole,
            payload,
            trailer: Vec::new(),
        }
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.build_with([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
    }

    pub(crate) fn build_with(&self, destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
        let mut frame = [destination, source].concat();
        if let Some(tag) = self.vlan {
            frame.extend(0x8100u16.to_be_bytes());
            frame.extend(tag.to_be_bytes());
        }
        let datagram = u16::try_from(8 + self.payload.len()).unwrap();
        let mut udp = Vec::new();
        udp.extend(self.from.port().to_be_bytes());
        udp.extend(self.to.port().to_be_bytes());
        udp.extend(datagram.to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(&self.payload);
        let mut pseudo = octets(self.from.ip());
        pseudo.extend(octets(self.to.ip()));
        pseudo.extend([0, 17]);
        pseudo.extend(datagram.to_be_bytes());
        let whole = match !ones_sum(&[&pseudo[..], &udp[..]].concat()) {
            0 => 0xffff,
            sum => sum,
        };
        let check = match self.sum {
            Sum::Whole => whole,
            Sum::Partial => ones_sum(&pseudo),
            Sum::Zero => 0,
            Sum::Wrong(by) => whole ^ by,
        };
        udp[6..8].copy_from_slice(&check.to_be_bytes());
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                frame.extend(0x0800u16.to_be_bytes());
                let mut ip = vec![0x45, self.tos];
                ip.extend((20 + datagram).to_be_bytes());
                ip.extend(self.id.to_be_bytes());
                ip.extend(self.fragment.to_be_bytes());
                ip.extend([self.hops, 17, 0, 0]);
                ip.extend(from.octets());
                ip.extend(to.octets());
                let sum = !ones_sum(&ip);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                frame.extend(ip);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                frame.extend(0x86ddu16.to_be_bytes());
                frame.extend([0x60 | self.tos >> 4, self.tos << 4 | 0x0a, 0xbc, 0xde]);
                frame.extend(datagram.to_be_bytes());
                frame.extend([17, self.hops]);
                frame.extend(from.octets());
                frame.extend(to.octets());
            }
            mixed => panic!("{mixed:?}"),
        }
        frame.extend(udp);
        frame.extend(&self.trailer);
        frame
    }
}

pub(crate) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The ones' complement sum of 16-bit words (RFC 1071).
pub(crate) fn ones_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        sum += u32::from(word);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
