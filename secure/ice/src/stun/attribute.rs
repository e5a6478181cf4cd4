//! Values of attributes (RFC 8489 §14, RFC 8445 §7.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::MAGIC_COOKIE;
use super::message::TransactionId;
use super::reader::Reader;
use crate::limits;

/// Types of attributes. Below 0x8000 an agent must know them to answer.
pub(super) mod kind {
    pub(in crate::stun) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(in crate::stun) const USERNAME: u16 = 0x0006;
    pub(in crate::stun) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(in crate::stun) const ERROR_CODE: u16 = 0x0009;
    pub(in crate::stun) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(in crate::stun) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub(in crate::stun) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(in crate::stun) const PRIORITY: u16 = 0x0024;
    pub(in crate::stun) const USE_CANDIDATE: u16 = 0x0025;
    pub(in crate::stun) const SOFTWARE: u16 = 0x8022;
    pub(in crate::stun) const FINGERPRINT: u16 = 0x8028;
    pub(in crate::stun) const ICE_CONTROLLED: u16 = 0x8029;
    pub(in crate::stun) const ICE_CONTROLLING: u16 = 0x802a;
}

/// ICE-CONTROLLING or ICE-CONTROLLED, with the tie-breaker (RFC 8445 §7.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tie {
    /// The sender takes itself to be controlled.
    Controlled(u64),
    /// The sender takes itself to be controlling.
    Controlling(u64),
}

/// ERROR-CODE (RFC 8489 §14.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    /// 300 to 699.
    pub code: u16,
    /// The reason phrase, as received.
    pub reason: &'a [u8],
}

impl<'a> ErrorCode<'a> {
    pub(super) fn read(mut value: Reader<'a>) -> Option<Self> {
        let [_, _, class, number] = value.take_array()?;
        let class = class & 0x07;
        if !(3..=6).contains(&class) || number > 99 {
            return None;
        }
        Some(Self {
            code: u16::from(class) * 100 + u16::from(number),
            reason: value.rest(),
        })
    }
}

/// The first types that a message had and that must be understood, but are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnknownAttributes {
    types: [u16; limits::UNKNOWN_ATTRIBUTES],
    len: usize,
}

impl UnknownAttributes {
    /// The types, in order; at most [`limits::UNKNOWN_ATTRIBUTES`].
    pub fn as_slice(&self) -> &[u16] {
        self.types.get(..self.len).unwrap_or_default()
    }

    pub(super) fn note(&mut self, kind: u16) {
        if self.as_slice().contains(&kind) {
            return;
        }
        if let Some(place) = self.types.get_mut(self.len) {
            *place = kind;
            self.len += 1;
        }
    }
}

/// XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
pub(super) fn read_xor_address(
    mut value: Reader<'_>,
    transaction: &TransactionId,
) -> Option<SocketAddr> {
    let [_, family] = value.take_array()?;
    let port = value.take_u16()? ^ COOKIE_HIGH;
    let ip = match family {
        FAMILY_IPV4 => {
            let ip = u32::from_be_bytes(value.take_array()?);
            IpAddr::V4(Ipv4Addr::from_bits(ip ^ MAGIC_COOKIE))
        }
        FAMILY_IPV6 => {
            let ip = u128::from_be_bytes(value.take_array()?);
            IpAddr::V6(Ipv6Addr::from_bits(ip ^ mask(transaction)))
        }
        _ => return None,
    };
    value.is_empty().then_some(SocketAddr::new(ip, port))
}

/// Length and bytes of an XOR-MAPPED-ADDRESS.
pub(super) fn xor_address(address: SocketAddr, transaction: &TransactionId) -> ([u8; 20], usize) {
    let mut value = [0; 20];
    let port = address.port() ^ COOKIE_HIGH;
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = value.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(2, &port.to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            put(1, &[FAMILY_IPV4]);
            put(4, &(ip.to_bits() ^ MAGIC_COOKIE).to_be_bytes());
            (value, 8)
        }
        IpAddr::V6(ip) => {
            put(1, &[FAMILY_IPV6]);
            put(4, &(ip.to_bits() ^ mask(transaction)).to_be_bytes());
            (value, 20)
        }
    }
}

const FAMILY_IPV4: u8 = 1;
const FAMILY_IPV6: u8 = 2;
const COOKIE_HIGH: u16 = 0x2112;

/// The magic cookie and the transaction ID in one, which hide an IPv6 address from NATs that rewrite
/// payloads.
fn mask(transaction: &TransactionId) -> u128 {
    let mut low = [0; 16];
    for (place, byte) in low.iter_mut().skip(4).zip(transaction.0) {
        *place = byte;
    }
    u128::from(MAGIC_COOKIE) << 96 | u128::from_be_bytes(low)
}
