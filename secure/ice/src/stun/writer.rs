//! Builds a STUN message in the caller's buffer (RFC 8489 §6.1).

use std::net::SocketAddr;

use super::attribute::{Tie, kind, xor_address};
use super::integrity::IntegrityKey;
use super::message::{Class, TransactionId};
use super::{FINGERPRINT_MASK, HEADER, MAGIC_COOKIE};

/// A Binding message that grows by attributes. MESSAGE-INTEGRITY and FINGERPRINT come last, in this
/// order.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
    transaction: TransactionId,
}

impl<'b> Writer<'b> {
    /// Writes the header.
    pub fn new(
        buffer: &'b mut [u8],
        class: Class,
        transaction: TransactionId,
    ) -> Result<Self, Full> {
        let mut writer = Self {
            buffer,
            len: 0,
            transaction,
        };
        writer.put(&class.binding().to_be_bytes())?;
        writer.put(&[0, 0])?;
        writer.put(&MAGIC_COOKIE.to_be_bytes())?;
        writer.put(&transaction.0)?;
        Ok(writer)
    }

    /// USERNAME of a request: both ufrags, the receiver's first (RFC 8445 §7.2.2).
    pub fn username(&mut self, receiver: &str, sender: &str) -> Result<&mut Self, Full> {
        let parts = [receiver.as_bytes(), b":", sender.as_bytes()];
        self.attribute(kind::USERNAME, &parts)
    }

    /// SOFTWARE.
    pub fn software(&mut self, name: &str) -> Result<&mut Self, Full> {
        self.attribute(kind::SOFTWARE, &[name.as_bytes()])
    }

    /// PRIORITY.
    pub fn priority(&mut self, priority: u32) -> Result<&mut Self, Full> {
        self.attribute(kind::PRIORITY, &[&priority.to_be_bytes()])
    }

    /// USE-CANDIDATE.
    pub fn use_candidate(&mut self) -> Result<&mut Self, Full> {
        self.attribute(kind::USE_CANDIDATE, &[])
    }

    /// ICE-CONTROLLING or ICE-CONTROLLED.
    pub fn tie(&mut self, tie: Tie) -> Result<&mut Self, Full> {
        let (kind, number) = match tie {
            Tie::Controlled(number) => (kind::ICE_CONTROLLED, number),
            Tie::Controlling(number) => (kind::ICE_CONTROLLING, number),
        };
        self.attribute(kind, &[&number.to_be_bytes()])
    }

    /// XOR-MAPPED-ADDRESS.
    pub fn mapped(&mut self, address: SocketAddr) -> Result<&mut Self, Full> {
        let (value, len) = xor_address(address, &self.transaction);
        self.attribute(
            kind::XOR_MAPPED_ADDRESS,
            &[value.get(..len).unwrap_or_default()],
        )
    }

    /// ERROR-CODE with a code of 300 to 699.
    pub fn error(&mut self, code: u16, reason: &str) -> Result<&mut Self, Full> {
        let class = u8::try_from(code / 100).unwrap_or_default();
        let number = u8::try_from(code % 100).unwrap_or_default();
        let parts = [&[0, 0, class, number], reason.as_bytes()];
        self.attribute(kind::ERROR_CODE, &parts)
    }

    /// UNKNOWN-ATTRIBUTES.
    pub fn unknown_attributes(&mut self, types: &[u16]) -> Result<&mut Self, Full> {
        let length = u16::try_from(types.len() * 2).map_err(|_| Full)?;
        self.put(&kind::UNKNOWN_ATTRIBUTES.to_be_bytes())?;
        self.put(&length.to_be_bytes())?;
        for kind in types {
            self.put(&kind.to_be_bytes())?;
        }
        self.pad()
    }

    /// MESSAGE-INTEGRITY over what was written so far.
    pub fn integrity(&mut self, key: &IntegrityKey) -> Result<&mut Self, Full> {
        let tag = key.tag(self.as_bytes());
        self.attribute(kind::MESSAGE_INTEGRITY, &[&tag])
    }

    /// FINGERPRINT over what was written so far; must be the last.
    pub fn fingerprint(&mut self) -> Result<&mut Self, Full> {
        // The length field counts it already (RFC 8489 §14.7).
        self.say_length(self.len + 8)?;
        let crc = crc32fast::hash(self.as_bytes());
        let value = crc ^ FINGERPRINT_MASK;
        self.attribute(kind::FINGERPRINT, &[&value.to_be_bytes()])
    }

    /// Any attribute, by its type.
    pub fn raw(&mut self, kind: u16, value: &[u8]) -> Result<&mut Self, Full> {
        self.attribute(kind, &[value])
    }

    /// The message so far.
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// Bytes of the message, at the start of the buffer.
    pub fn finish(&self) -> usize {
        self.len
    }

    /// One attribute, whose value is all `parts` in a row.
    fn attribute(&mut self, kind: u16, parts: &[&[u8]]) -> Result<&mut Self, Full> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.put(&kind.to_be_bytes())?;
        self.put(&u16::try_from(length).map_err(|_| Full)?.to_be_bytes())?;
        for part in parts {
            self.put(part)?;
        }
        self.pad()
    }

    fn pad(&mut self) -> Result<&mut Self, Full> {
        let padding = self.len.next_multiple_of(4) - self.len;
        self.put([0; 3].get(..padding).unwrap_or_default())?;
        self.say_length(self.len)?;
        Ok(self)
    }

    fn say_length(&mut self, len: usize) -> Result<(), Full> {
        let length = u16::try_from(len.saturating_sub(HEADER)).map_err(|_| Full)?;
        let field = self.buffer.get_mut(2..4).ok_or(Full)?;
        field.copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len + bytes.len();
        let place = self.buffer.get_mut(self.len..end).ok_or(Full)?;
        place.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

/// The message does not fit the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message does not fit the buffer")]
pub struct Full;
