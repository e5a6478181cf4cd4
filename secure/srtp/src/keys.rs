//! Keys as signalling gives them: suite, master key and salt, key identifier, session parameters.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::limits::MAX_MKI;
use crate::suite::Suite;

/// The master key of one direction, and how it is used. Printing shows no key; memory is wiped on
/// drop. Serialising does give the key away: what is written belongs encrypted, or into memory.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "KeysState", into = "KeysState")]
pub struct Keys {
    suite: Suite,
    key: AesKey,
    /// Salts of 12 bytes are followed by zeros: so RFC 7714 §11 fits them into the derivation.
    salt: Zeroizing<[u8; 14]>,
    mki: Option<Mki>,
    parameters: Parameters,
}

impl Keys {
    /// Keys without identifier and session parameters.
    ///
    /// # Errors
    /// [`KeysError::KeyLength`], [`KeysError::SaltLength`].
    pub fn new(suite: Suite, key: &[u8], salt: &[u8]) -> Result<Self, KeysError> {
        if salt.len() != suite.salt_len() {
            return Err(KeysError::SaltLength {
                suite,
                len: salt.len(),
            });
        }
        let mut padded = Zeroizing::new([0; 14]);
        for (to, from) in padded.iter_mut().zip(salt) {
            *to = *from;
        }
        Ok(Self {
            suite,
            key: AesKey::new(suite, key)?,
            salt: padded,
            mki: None,
            parameters: Parameters::default(),
        })
    }

    /// From master key and salt in one, as `inline:` of SDES has them (RFC 4568 §6.1).
    ///
    /// # Errors
    /// [`KeysError::KeyLength`], [`KeysError::SaltLength`].
    pub fn from_sdes(suite: Suite, key_salt: &[u8]) -> Result<Self, KeysError> {
        let (key, salt) =
            key_salt
                .split_at_checked(suite.key_len())
                .ok_or(KeysError::KeyLength {
                    suite,
                    len: key_salt.len(),
                })?;
        Self::new(suite, key, salt)
    }

    /// What the client and what the server of a DTLS association sends with, from
    /// [`Suite::exporter_len`] bytes of the exporter `EXTRACTOR-dtls_srtp` (RFC 5764 §4.2).
    ///
    /// # Errors
    /// [`KeysError::KeyLength`], [`KeysError::SaltLength`].
    pub fn from_exporter(suite: Suite, material: &[u8]) -> Result<(Self, Self), KeysError> {
        let too_short = KeysError::KeyLength {
            suite,
            len: material.len(),
        };
        let (client_key, rest) = material
            .split_at_checked(suite.key_len())
            .ok_or(too_short)?;
        let (server_key, rest) = rest.split_at_checked(suite.key_len()).ok_or(too_short)?;
        let (client_salt, server_salt) =
            rest.split_at_checked(suite.salt_len()).ok_or(too_short)?;
        Ok((
            Self::new(suite, client_key, client_salt)?,
            Self::new(suite, server_key, server_salt)?,
        ))
    }

    /// The same, named by `mki` in every packet.
    #[must_use]
    pub fn with_mki(self, mki: Mki) -> Self {
        let mki = Some(mki);
        Self { mki, ..self }
    }

    /// The same with these session parameters.
    #[must_use]
    pub fn with_parameters(self, parameters: Parameters) -> Self {
        Self { parameters, ..self }
    }

    /// Cipher and authentication.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Master key identifier.
    pub fn mki(&self) -> Option<Mki> {
        self.mki
    }

    /// Session parameters.
    pub fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Whether both are the same secret used with the same suite; compared in constant time.
    pub fn is_same_master(&self, other: &Self) -> bool {
        let is_same = self.key.as_slice().ct_eq(other.key.as_slice())
            & self.salt.as_slice().ct_eq(other.salt.as_slice());
        self.suite == other.suite && bool::from(is_same)
    }

    pub(crate) fn key(&self) -> &AesKey {
        &self.key
    }

    pub(crate) fn salt(&self) -> &[u8; 14] {
        &self.salt
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("suite", &self.suite)
            .field("key", &"…")
            .field("mki", &self.mki)
            .field("parameters", &self.parameters)
            .finish()
    }
}

/// Master key identifier: a number, and in how many bytes packets carry it (RFC 4568 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u64, u8)", into = "(u64, u8)")]
pub struct Mki {
    value: u64,
    length: u8,
}

impl Mki {
    /// `length` is 1 to 128 bytes, big-endian with zeros in front.
    ///
    /// # Errors
    /// [`KeysError::Mki`] for another length, or one that the value does not fit in.
    pub fn new(value: u64, length: u8) -> Result<Self, KeysError> {
        let fits = length >= 8 || value >> (8 * u32::from(length)) == 0;
        if !(1..=MAX_MKI).contains(&length) || !fits {
            return Err(KeysError::Mki { value, length });
        }
        Ok(Self { value, length })
    }

    /// The number.
    pub fn value(self) -> u64 {
        self.value
    }

    /// Bytes in a packet.
    pub fn length(self) -> usize {
        usize::from(self.length)
    }

    /// The bytes of the identifier, last one first.
    fn reversed(self) -> impl Iterator<Item = u8> {
        let value = self.value.to_le_bytes().into_iter();
        value.chain(std::iter::repeat(0)).take(self.length())
    }

    pub(crate) fn write(self, to: &mut [u8]) {
        for (to, from) in to.iter_mut().rev().zip(self.reversed()) {
            *to = from;
        }
    }

    pub(crate) fn is(self, bytes: &[u8]) -> bool {
        bytes.iter().rev().copied().eq(self.reversed())
    }
}

impl From<Mki> for (u64, u8) {
    fn from(mki: Mki) -> Self {
        (mki.value, mki.length)
    }
}

impl TryFrom<(u64, u8)> for Mki {
    type Error = KeysError;

    fn try_from((value, length): (u64, u8)) -> Result<Self, KeysError> {
        Self::new(value, length)
    }
}

/// Session parameters that leave out a part of the protection (RFC 4568 §6.3). `KDR` is not among
/// them: only rate 0 is done, and signalling has to refuse another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// RTP payload stays in the clear.
    pub unencrypted_srtp: bool,
    /// RTCP stays in the clear.
    pub unencrypted_srtcp: bool,
    /// RTP carries no tag, and everything that comes is believed: there is no replay protection
    /// either. Not with AEAD suites, of which the tag is a part (RFC 7714).
    pub unauthenticated_srtp: bool,
}

/// Why keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// Several keys of one direction need identifiers, all different and of one length.
    #[error("several keys, but not each with its own identifier of the same length")]
    Ambiguous,
    /// No key, or more than one direction may have.
    #[error("{0} keys instead of 1 to 8")]
    Count(usize),
    /// The cryptographic library does not take the key.
    #[error("the cryptographic library refuses the key")]
    Library,
    /// The master key has not the length of the suite.
    #[error("{len} bytes are no master key of {suite}")]
    KeyLength {
        /// The suite.
        suite: Suite,
        /// Bytes that were given.
        len: usize,
    },
    /// The identifier does not fit its length.
    #[error("identifier {value} does not fit {length} bytes, or they are not 1 to 128")]
    Mki {
        /// The number.
        value: u64,
        /// Bytes for it.
        length: u8,
    },
    /// Several keys of one direction have the same suite and parameters.
    #[error("keys of one direction differ in suite or session parameters")]
    Mixed,
    /// The master salt has not the length of the suite.
    #[error("{len} bytes are no master salt of {suite}")]
    SaltLength {
        /// The suite.
        suite: Suite,
        /// Bytes that were given.
        len: usize,
    },
}

/// An AES key of a length that AES has. Wiped on drop.
#[derive(Clone)]
pub(crate) enum AesKey {
    Aes128([u8; 16]),
    Aes192([u8; 24]),
    Aes256([u8; 32]),
}

impl AesKey {
    /// `key` must have the length of the suite.
    fn new(suite: Suite, key: &[u8]) -> Result<Self, KeysError> {
        let mut new = Self::zeroed(suite);
        let len = key.len();
        if len != suite.key_len() {
            return Err(KeysError::KeyLength { suite, len });
        }
        for (to, from) in new.as_mut_slice().iter_mut().zip(key) {
            *to = *from;
        }
        Ok(new)
    }

    /// A key to be filled in.
    pub(crate) fn zeroed(suite: Suite) -> Self {
        match suite.key_len() {
            32 => Self::Aes256([0; 32]),
            24 => Self::Aes192([0; 24]),
            _ => Self::Aes128([0; 16]),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Aes128(key) => key,
            Self::Aes192(key) => key,
            Self::Aes256(key) => key,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        match self {
            Self::Aes128(key) => key,
            Self::Aes192(key) => key,
            Self::Aes256(key) => key,
        }
    }
}

impl Drop for AesKey {
    fn drop(&mut self) {
        self.as_mut_slice().zeroize();
    }
}

/// [`Keys`] as they are stored. Wiped on drop.
#[derive(Serialize, Deserialize)]
struct KeysState {
    suite: Suite,
    key: Vec<u8>,
    salt: Vec<u8>,
    mki: Option<Mki>,
    parameters: Parameters,
}

impl Drop for KeysState {
    fn drop(&mut self) {
        self.key.zeroize();
        self.salt.zeroize();
    }
}

impl From<Keys> for KeysState {
    fn from(keys: Keys) -> Self {
        let salt = keys.salt.get(..keys.suite.salt_len()).unwrap_or_default();
        Self {
            suite: keys.suite,
            key: keys.key.as_slice().to_vec(),
            salt: salt.to_vec(),
            mki: keys.mki,
            parameters: keys.parameters,
        }
    }
}

impl TryFrom<KeysState> for Keys {
    type Error = KeysError;

    fn try_from(state: KeysState) -> Result<Self, KeysError> {
        let keys = Self::new(state.suite, &state.key, &state.salt)?;
        let (mki, parameters) = (state.mki, state.parameters);
        Ok(Self {
            mki,
            parameters,
            ..keys
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key() {
        let keys = Keys::from_sdes(Suite::AesCm128HmacSha1_80, &[0xab; 30]).unwrap();
        let printed = format!("{keys:?}");
        assert!(printed.contains('…') && !printed.contains("ab") && !printed.contains("171"));
    }

    #[test]
    fn lengths_are_those_of_the_suite() {
        for suite in Suite::ALL {
            let len = suite.key_len() + suite.salt_len();
            assert!(Keys::from_sdes(suite, &vec![1; len]).is_ok());
            assert!(Keys::from_sdes(suite, &vec![1; len - 1]).is_err());
            assert!(Keys::from_sdes(suite, &vec![1; len + 1]).is_err());
            assert!(Keys::from_sdes(suite, &[]).is_err());
        }
    }

    #[test]
    fn exporter_gives_both_keys_before_both_salts() {
        let suite = Suite::AeadAes128Gcm;
        let material: Vec<u8> = (0..56).collect();
        let (client, server) = Keys::from_exporter(suite, &material).unwrap();
        let expected = Keys::new(suite, &material[..16], &material[32..44]).unwrap();
        assert!(client.is_same_master(&expected));
        let expected = Keys::new(suite, &material[16..32], &material[44..]).unwrap();
        assert!(server.is_same_master(&expected));
        assert!(!server.is_same_master(&client));
        assert!(Keys::from_exporter(suite, &material[..55]).is_err());
    }

    #[test]
    fn identifier_has_zeros_in_front() {
        let mki = Mki::new(0x0102, 4).unwrap();
        let mut bytes = [0xff; 4];
        mki.write(&mut bytes);
        assert_eq!(bytes, [0, 0, 1, 2]);
        assert!(mki.is(&bytes) && !mki.is(&[0, 1, 2]) && !mki.is(&[1, 0, 1, 2]));
        assert!(Mki::new(256, 1).is_err() && Mki::new(255, 1).is_ok());
        assert!(Mki::new(1, 0).is_err() && Mki::new(1, 129).is_err());
        assert!(Mki::new(u64::MAX, 128).is_ok());
    }

    #[test]
    fn keys_survive_storage() {
        let keys = Keys::from_sdes(Suite::AeadAes256Gcm, &[7; 44]).unwrap();
        let keys = keys.with_mki(Mki::new(3, 2).unwrap());
        let text = serde_json::to_string(&keys).unwrap();
        let read: Keys = serde_json::from_str(&text).unwrap();
        assert!(read.is_same_master(&keys));
        assert_eq!(read.mki(), keys.mki());
        let cut = text.replacen("[7,", "[", 1);
        assert!(serde_json::from_str::<Keys>(&cut).is_err());
    }
}
