//! DTLS-SRTP signalling: `setup` (RFC 4145), `fingerprint` (RFC 8122), `tls-id` (RFC 8842).

use std::fmt;

use crate::line::first_token;

/// Side that opens the DTLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setup {
    /// The author connects.
    Active,
    /// The other side chooses.
    Actpass,
    /// No connection for now.
    Holdconn,
    /// The other side connects.
    Passive,
}

impl Setup {
    /// The value of the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Actpass => "actpass",
            Self::Holdconn => "holdconn",
            Self::Passive => "passive",
        }
    }

    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        [Self::Active, Self::Actpass, Self::Holdconn, Self::Passive]
            .into_iter()
            .find(|setup| value.eq_ignore_ascii_case(setup.name().as_bytes()))
    }
}

/// Hash functions of RFC 8122 §5 that are still in use, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashFunction {
    /// 20 bytes; only for old peers.
    Sha1,
    /// 28 bytes.
    Sha224,
    /// 32 bytes; the usual one.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

impl HashFunction {
    /// All of them, weakest first.
    pub const ALL: [Self; 5] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    /// The name in the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// Length of a digest in bytes.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The function called `name`, whatever the case.
    pub fn from_name(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        Self::ALL
            .into_iter()
            .find(|hash| name.eq_ignore_ascii_case(hash.name().as_bytes()))
    }
}

/// A certificate's digest. Prints as `sha-256 AB:CD:…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Hash function of the digest.
    pub hash: HashFunction,
    /// The digest, [`HashFunction::digest_len`] bytes.
    pub digest: Vec<u8>,
}

impl Fingerprint {
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let (name, hex) = first_token(value);
        let hash = HashFunction::from_name(name)?;
        if hex.len() + 1 != hash.digest_len() * 3 {
            return None;
        }
        let digest: Option<Vec<u8>> = hex.split(|&byte| byte == b':').map(hex_byte).collect();
        let digest = digest.filter(|digest| digest.len() == hash.digest_len())?;
        Some(Self { hash, digest })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        for (index, byte) in self.digest.iter().enumerate() {
            let separator = if index == 0 { ' ' } else { ':' };
            write!(f, "{separator}{byte:02X}")?;
        }
        Ok(())
    }
}

fn hex_byte(pair: &[u8]) -> Option<u8> {
    let &[high, low] = pair else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
