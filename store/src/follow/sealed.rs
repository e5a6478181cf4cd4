//! Copies that leave the memory of the machine are sealed (spec/survive.md §4): AES-256-GCM with a
//! key of its own for each file or epoch, by HKDF (RFC 5869) from the operator's key and 32 random
//! bytes in front. The nonce is the number of the record: random ones would use up a key in days.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::limits;
use crate::record::Header;

/// Bytes of the tag behind what is sealed.
pub const TAG_BYTES: usize = 16;

/// Bytes that stand in front and make the key.
pub type Random = [u8; 32];

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Others than its owner may read the file.
    #[error("mode {0:o}: only its owner may read a key, chmod 600")]
    Mode(u32),
    /// The file is too short or too long.
    #[error("{0} bytes, a key has {min} to {max}", min = limits::KEY_MIN, max = limits::KEY_MAX)]
    Size(usize),
    /// The system's.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// What was sealed is not what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed under another key, or changed")]
pub struct OpenError;

/// The operator's key (`key_file`).
pub struct StateKey(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for StateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateKey(…)")
    }
}

impl StateKey {
    /// Reads a key file: any bytes, 32 at least, that only its owner may read.
    ///
    /// # Errors
    /// The system's, a file of another size, or one that others may read.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path)?;
        let mode = file.metadata()?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Mode(mode));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(limits::KEY_MAX + 1));
        file.take(limits::KEY_MAX as u64 + 1)
            .read_to_end(&mut bytes)?;
        Self::new(bytes)
    }

    /// A key of these bytes.
    ///
    /// # Errors
    /// Too few or too many.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        match bytes.len() {
            limits::KEY_MIN..=limits::KEY_MAX => Ok(Self(bytes)),
            len => Err(KeyError::Size(len)),
        }
    }

    /// The sealer of a file or an epoch.
    #[must_use]
    pub fn sealer(&self, random: &Random) -> Option<Sealer> {
        let secret = Salt::new(HKDF_SHA256, random).extract(&self.0);
        let key = secret.expand(&[b"windlass state 1"], &AES_256_GCM).ok()?;
        Some(Sealer(LessSafeKey::new(UnboundKey::from(key))))
    }
}

/// Seals and opens records under one key. A number must never stand for two contents.
pub struct Sealer(LessSafeKey);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(…)")
    }
}

impl Sealer {
    /// Seals a body, which gets a tag behind it.
    ///
    /// # Errors
    /// Bodies of gigabytes.
    pub fn seal(&self, header: &Header, body: &mut Vec<u8>) -> Result<(), OpenError> {
        let sealed = self
            .0
            .seal_in_place_append_tag(nonce(header), aad(header), body);
        sealed.map_err(|_| OpenError)
    }

    /// Opens a body; the tag is taken off.
    ///
    /// # Errors
    /// It is not what was sealed under this key with that header.
    pub fn open(&self, header: &Header, body: &mut Vec<u8>) -> Result<(), OpenError> {
        let opened = self.0.open_in_place(nonce(header), aad(header), body);
        let len = opened.map_err(|_| OpenError)?.len();
        body.truncate(len);
        Ok(())
    }
}

fn nonce(header: &Header) -> Nonce {
    let mut nonce = [0; 12];
    let (_, number) = nonce.split_at_mut(4);
    number.copy_from_slice(&header.number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

/// The header is not secret, but is held to belong to the body. Its length is the tag's business.
fn aad(header: &Header) -> Aad<[u8; 18]> {
    let mut bytes = [0; 18];
    let (number, rest) = bytes.split_at_mut(8);
    let (call, kind) = rest.split_at_mut(8);
    number.copy_from_slice(&header.number.to_be_bytes());
    call.copy_from_slice(&header.call.to_be_bytes());
    kind.copy_from_slice(&[header.kind as u8, header.format]);
    Aad::from(bytes)
}
