//! A received STUN message (RFC 8489 §5, §6.3).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::attribute::{ErrorCode, Tie, UnknownAttributes, kind, read_xor_address};
use super::integrity::{IntegrityKey, TAG};
use super::reader::Reader;
use super::{FINGERPRINT_MASK, HEADER, MAGIC_COOKIE};

/// Whether a datagram is to be read as STUN: length, leading zero bits, magic cookie (RFC 8489 §6.3;
/// spec: media-behaviour §2). Cheap enough for every packet.
pub fn is_stun(datagram: &[u8]) -> bool {
    match datagram.first_chunk::<HEADER>() {
        Some([first, _, _, _, 0x21, 0x12, 0xa4, 0x42, ..]) => {
            first >> 6 == 0 && datagram.len().is_multiple_of(4)
        }
        _ => false,
    }
}

/// What a datagram that [`is_stun`] is for, by a look at its header and at USERNAME. Nothing is checked
/// and nothing is copied: it sorts out what nobody can have asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance<'a> {
    /// A Binding request, and its USERNAME if there is one.
    Request(Option<&'a [u8]>),
    /// A response, be it an error.
    Response,
    /// An indication, or a method other than Binding.
    Other,
}

impl<'a> Glance<'a> {
    /// Looks at a datagram.
    pub fn at(datagram: &'a [u8]) -> Self {
        let mut reader = Reader::new(datagram);
        match reader.take_u16() {
            Some(BINDING_REQUEST) => Self::Request(Self::username(reader)),
            Some(BINDING_SUCCESS | BINDING_ERROR) => Self::Response,
            _ => Self::Other,
        }
    }

    fn username(mut reader: Reader<'a>) -> Option<&'a [u8]> {
        reader.take(HEADER - 2)?;
        // Whoever asks puts it first, or nearly so.
        for _ in 0..GLANCED {
            let (number, length) = (reader.take_u16()?, usize::from(reader.take_u16()?));
            let value = reader.take(length)?;
            if number == kind::USERNAME {
                return Some(value);
            }
            reader.take(length.next_multiple_of(4) - length)?;
        }
        None
    }
}

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

/// Attributes that [`Glance`] looks at: a check has nine, MESSAGE-INTEGRITY and what follows aside.
const GLANCED: usize = 12;

/// A Binding message in a buffer, checked once.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    transaction: TransactionId,
    username: Option<&'a [u8]>,
    software: Option<&'a [u8]>,
    error: Option<ErrorCode<'a>>,
    mapped: Option<SocketAddr>,
    priority: Option<u32>,
    tie: Option<Tie>,
    uses_candidate: bool,
    unknown: UnknownAttributes,
    integrity: Option<Checksum<'a, &'a [u8]>>,
    fingerprint: Option<Checksum<'a, u32>>,
}

/// A checksum, and the bytes that it covers.
#[derive(Clone, Copy, Debug)]
struct Checksum<'a, V> {
    before: &'a [u8],
    value: V,
}

impl<'a> Message<'a> {
    /// Reads header and attributes. Of attributes that come twice the first counts, and after
    /// MESSAGE-INTEGRITY only FINGERPRINT does (RFC 8489 §14, §14.5). Checksums are not checked here.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, StunError> {
        let mut reader = Reader::new(bytes);
        let truncated = StunError::Truncated(bytes.len());
        let kind = reader.take_u16().ok_or(truncated)?;
        let length = reader.take_u16().ok_or(truncated)?;
        let cookie = reader.take_array().ok_or(truncated)?;
        let transaction = TransactionId(reader.take_array().ok_or(truncated)?);
        if kind >> 14 != 0 || u32::from_be_bytes(cookie) != MAGIC_COOKIE {
            return Err(StunError::NotStun);
        }
        if usize::from(length) != reader.len() || length % 4 != 0 {
            return Err(StunError::Length {
                said: length,
                there: reader.len(),
            });
        }
        let (class, method) = Class::split(kind);
        if method != BINDING {
            return Err(StunError::Method(method));
        }
        let mut message = Self {
            bytes,
            class,
            transaction,
            username: None,
            software: None,
            error: None,
            mapped: None,
            priority: None,
            tie: None,
            uses_candidate: false,
            unknown: UnknownAttributes::default(),
            integrity: None,
            fingerprint: None,
        };
        while !reader.is_empty() {
            if message.fingerprint.is_some() {
                return Err(StunError::AfterFingerprint);
            }
            let at = bytes.len() - reader.len();
            let (Some(kind), Some(length)) = (reader.take_u16(), reader.take_u16()) else {
                return Err(truncated);
            };
            let length = usize::from(length);
            let value = reader.take(length).ok_or(StunError::Attribute(kind))?;
            let padding = length.next_multiple_of(4) - length;
            reader.take(padding).ok_or(StunError::Attribute(kind))?;
            let before = bytes.get(..at).unwrap_or_default();
            message
                .note(kind, value, before)
                .ok_or(StunError::Attribute(kind))?;
        }
        Ok(message)
    }

    /// Takes in one attribute; `None` if its value is not of its type.
    fn note(&mut self, kind: u16, value: &'a [u8], before: &'a [u8]) -> Option<()> {
        if self.integrity.is_some() && kind != kind::FINGERPRINT {
            return Some(());
        }
        match kind {
            kind::USERNAME => {
                self.username.get_or_insert(value);
            }
            kind::SOFTWARE => {
                self.software.get_or_insert(value);
            }
            kind::MESSAGE_INTEGRITY => {
                if value.len() != TAG {
                    return None;
                }
                self.integrity = Some(Checksum { before, value });
            }
            kind::FINGERPRINT => {
                let value = u32::from_be_bytes(value.try_into().ok()?);
                self.fingerprint = Some(Checksum { before, value });
            }
            kind::XOR_MAPPED_ADDRESS => {
                let address = read_xor_address(Reader::new(value), &self.transaction)?;
                self.mapped.get_or_insert(address);
            }
            kind::ERROR_CODE => {
                let error = ErrorCode::read(Reader::new(value))?;
                self.error.get_or_insert(error);
            }
            kind::PRIORITY => {
                let priority = u32::from_be_bytes(value.try_into().ok()?);
                self.priority.get_or_insert(priority);
            }
            kind::USE_CANDIDATE => self.uses_candidate = true,
            kind::ICE_CONTROLLED => {
                let tie = Tie::Controlled(u64::from_be_bytes(value.try_into().ok()?));
                self.tie.get_or_insert(tie);
            }
            kind::ICE_CONTROLLING => {
                let tie = Tie::Controlling(u64::from_be_bytes(value.try_into().ok()?));
                self.tie.get_or_insert(tie);
            }
            // Known, but of no use to ICE. The SHA-256 form comes beside the SHA-1 form from senders
            // that do not know yet which of them is understood (RFC 8489 §9.1.2).
            kind::MAPPED_ADDRESS | kind::UNKNOWN_ATTRIBUTES | kind::MESSAGE_INTEGRITY_SHA256 => {}
            _ if kind < 0x8000 => self.unknown.note(kind),
            _ => {}
        }
        Some(())
    }

    /// Request, indication or one of the two responses.
    pub fn class(&self) -> Class {
        self.class
    }

    /// What a response has in common with its request.
    pub fn transaction(&self) -> TransactionId {
        self.transaction
    }

    /// Bytes of the whole message.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a message has a header.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// USERNAME: of an ICE request, the receiver's ufrag, a colon, the sender's ufrag.
    pub fn username(&self) -> Option<&'a [u8]> {
        self.username
    }

    /// SOFTWARE. Text of a stranger: not to be printed as it is.
    pub fn software(&self) -> Option<&'a [u8]> {
        self.software
    }

    /// ERROR-CODE.
    pub fn error(&self) -> Option<ErrorCode<'a>> {
        self.error
    }

    /// XOR-MAPPED-ADDRESS: where the responder saw the request come from.
    pub fn mapped(&self) -> Option<SocketAddr> {
        self.mapped
    }

    /// PRIORITY: what the sender's address is worth if it is a peer-reflexive candidate.
    pub fn priority(&self) -> Option<u32> {
        self.priority
    }

    /// ICE-CONTROLLING or ICE-CONTROLLED.
    pub fn tie(&self) -> Option<Tie> {
        self.tie
    }

    /// USE-CANDIDATE: the sender nominates the pair.
    pub fn uses_candidate(&self) -> bool {
        self.uses_candidate
    }

    /// Attributes that should be understood, but are not: the request is answered with 420.
    pub fn unknown(&self) -> &UnknownAttributes {
        &self.unknown
    }

    /// Checks FINGERPRINT (RFC 8489 §7).
    pub fn fingerprint(&self) -> Fingerprint {
        match self.fingerprint {
            None => Fingerprint::Absent,
            Some(Checksum { before, value }) => {
                if crc32fast::hash(before) ^ FINGERPRINT_MASK == value {
                    Fingerprint::Right
                } else {
                    Fingerprint::Wrong
                }
            }
        }
    }

    /// Whether there is a MESSAGE-INTEGRITY at all.
    pub fn has_integrity(&self) -> bool {
        self.integrity.is_some()
    }

    /// Whether MESSAGE-INTEGRITY is there and was made with `key`.
    pub fn is_authentic(&self, key: &IntegrityKey) -> bool {
        self.integrity
            .is_some_and(|Checksum { before, value }| key.verify(before, value))
    }
}

/// What FINGERPRINT says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// There is none.
    Absent,
    /// It fits: this is STUN.
    Right,
    /// It does not fit: some other protocol, or a damaged message.
    Wrong,
}

/// Class of a message (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Error response.
    Error,
    /// Wants no response.
    Indication,
    /// Wants a response.
    Request,
    /// Success response.
    Success,
}

impl Class {
    /// Message type of a Binding message.
    pub(super) fn binding(self) -> u16 {
        BINDING
            | match self {
                Self::Request => 0x000,
                Self::Indication => 0x010,
                Self::Success => 0x100,
                Self::Error => 0x110,
            }
    }

    /// Class and method of a message type: the bits of the class lie between those of the method.
    fn split(kind: u16) -> (Self, u16) {
        let class = match kind & 0x110 {
            0x000 => Self::Request,
            0x010 => Self::Indication,
            0x100 => Self::Success,
            _ => Self::Error,
        };
        let method = kind & 0x000f | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2;
        (class, method)
    }
}

const BINDING: u16 = 1;

/// 96 random bits (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TransactionId(pub [u8; 12]);

/// Why a datagram is no STUN message that we can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StunError {
    /// Something follows FINGERPRINT, which has to be the last (RFC 8489 §14.7).
    #[error("attribute after the fingerprint")]
    AfterFingerprint,
    /// The value is cut off, or not of its type.
    #[error("attribute {0:#06x} is malformed")]
    Attribute(u16),
    /// The length field does not fit.
    #[error("length field says {said}, {there} bytes are there")]
    Length {
        /// Bytes after the header by the length field.
        said: u16,
        /// Bytes after the header.
        there: usize,
    },
    /// Not a Binding message.
    #[error("method {0:#05x} is not Binding")]
    Method(u16),
    /// Leading bits or magic cookie are another protocol's.
    #[error("not STUN")]
    NotStun,
    /// Ends within the header, or within that of an attribute.
    #[error("{0} bytes, cut off")]
    Truncated(usize),
}
