//! SDES: `a=crypto` (RFC 4568 §9, RFC 6188, RFC 7714). Keys stay text here;
//! [`CryptoLine::key_salt`] decodes them.

use std::fmt;

use crate::attribute::base64;
use crate::limits::FURTHER_KEYS;
use crate::line::{first_token, number, split_at_byte, tokens};
use crate::text::{Source, Text};

/// One `a=crypto` line with its keys. Prints as the value of the attribute.
#[derive(Clone, PartialEq, Eq)]
pub struct CryptoLine {
    /// Ties an answer to an offer.
    pub tag: u32,
    /// Cipher and authentication.
    pub suite: Suite,
    /// Master key and salt, base64, as received or to be printed.
    pub key: Text,
    /// Packets the key is good for.
    pub lifetime: Option<Lifetime>,
    /// Master key identifier.
    pub mki: Option<Mki>,
    /// Further keys that the sender of the line may use, told apart by their identifiers
    /// (RFC 4568 §6.1); none without an identifier of the first key.
    pub further: Vec<FurtherKey>,
    /// Session parameters: which protection is left out.
    pub parameters: SessionParameters,
}

impl CryptoLine {
    /// A line without lifetime, MKI and parameters. `pad` keeps the `=` at the end of the key.
    pub fn new(tag: u32, suite: Suite, key_salt: &[u8], pad: bool) -> Self {
        Self {
            tag,
            suite,
            key: base64::encode(key_salt, pad).into(),
            lifetime: None,
            mki: None,
            further: Vec::new(),
            parameters: SessionParameters::default(),
        }
    }

    /// The same, without keeping the text alive that it was read from. Parameters that change no
    /// protection are left out.
    #[must_use]
    pub fn detached(&self) -> Self {
        let suite = match &self.suite {
            Suite::Unknown(name) => Suite::Unknown(name.detached()),
            known => known.clone(),
        };
        Self {
            suite,
            key: self.key.detached(),
            further: self.further.iter().map(FurtherKey::detached).collect(),
            parameters: SessionParameters {
                others: Vec::new(),
                ..self.parameters.clone()
            },
            ..self.clone()
        }
    }

    /// Master key followed by master salt. `None` only in lines not made by the parser or
    /// [`CryptoLine::new`], or of an unknown suite with an unreadable key.
    pub fn key_salt(&self) -> Option<Vec<u8>> {
        base64::decode(self.key.as_bytes())
    }

    pub(crate) fn parse(value: &[u8], source: &Source) -> Option<Self> {
        // RFC 4568 has nothing else, and the suite may be printed as text.
        if !value.is_ascii() {
            return None;
        }
        let (tag, rest) = first_token(value);
        let (suite, rest) = first_token(rest);
        let (keys, parameters) = first_token(rest);
        let suite = Suite::parse(suite, source)?;
        let mut keys = keys.split(|&byte| byte == b';');
        let first = KeyParameter::parse(keys.next()?, &suite, source)?;
        let mut line = Self {
            tag: number(tag)?,
            suite,
            key: first.key,
            lifetime: first.lifetime,
            mki: first.mki,
            further: Vec::new(),
            parameters: SessionParameters::parse(parameters, source),
        };
        for key in keys.take(FURTHER_KEYS) {
            // One that packets could not be told by is of no use; the others are.
            if let Some(key) = KeyParameter::parse(key, &line.suite, source)
                && let Some(mki) = key.mki
                && line.mki.is_some_and(|first| first.length == mki.length)
                && line.mki != Some(mki)
                && line.further.iter().all(|known| known.mki != mki)
            {
                line.further.push(FurtherKey {
                    key: key.key,
                    lifetime: key.lifetime,
                    mki,
                });
            }
        }
        Some(line)
    }
}

/// A key of a line behind the first one.
#[derive(Clone, PartialEq, Eq)]
pub struct FurtherKey {
    /// Master key and salt, base64.
    pub key: Text,
    /// Packets the key is good for.
    pub lifetime: Option<Lifetime>,
    /// Master key identifier, as long as that of the first key.
    pub mki: Mki,
}

impl FurtherKey {
    /// Master key followed by master salt, as of [`CryptoLine::key_salt`].
    pub fn key_salt(&self) -> Option<Vec<u8>> {
        base64::decode(self.key.as_bytes())
    }

    fn detached(&self) -> Self {
        Self {
            key: self.key.detached(),
            ..self.clone()
        }
    }
}

impl fmt::Debug for FurtherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FurtherKey")
            .field("key", &"…")
            .field("lifetime", &self.lifetime)
            .field("mki", &self.mki)
            .finish()
    }
}

/// `inline:KEY|LIFETIME|MKI:LENGTH` (RFC 4568 §9.2).
struct KeyParameter {
    key: Text,
    lifetime: Option<Lifetime>,
    mki: Option<Mki>,
}

impl KeyParameter {
    fn parse(value: &[u8], suite: &Suite, source: &Source) -> Option<Self> {
        let (method, info) = split_at_byte(value, b':')?;
        if !method.eq_ignore_ascii_case(b"inline") {
            return None;
        }
        let mut fields = info.split(|&byte| byte == b'|');
        let key = fields.next()?;
        let len = base64::decode(key)?.len();
        let expected = suite.key_len().zip(suite.salt_len());
        let fits = expected.map_or(len > 0, |(key, salt)| len == key + salt);
        let parameter = fits.then(|| Self {
            key: source.text(key),
            lifetime: None,
            mki: None,
        })?;
        fields.try_fold(parameter, Self::with_field)
    }

    /// Takes `2^31`, `1048576` or `1:4`; `None` if the field is neither or comes twice.
    fn with_field(mut self, field: &[u8]) -> Option<Self> {
        if let Some((value, length)) = split_at_byte(field, b':') {
            let mki = Mki {
                value: number(value)?,
                length: number(length).filter(|length| (1..=128).contains(length))?,
            };
            return match self.mki.replace(mki) {
                None => Some(self),
                Some(_) => None,
            };
        }
        match self.lifetime.replace(Lifetime::parse(field)?) {
            None => Some(self),
            Some(_) => None,
        }
    }
}

impl fmt::Debug for CryptoLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CryptoLine")
            .field("tag", &self.tag)
            .field("suite", &self.suite)
            .field("key", &"…")
            .field("lifetime", &self.lifetime)
            .field("mki", &self.mki)
            .field("further", &self.further)
            .field("parameters", &self.parameters)
            .finish()
    }
}

impl fmt::Display for CryptoLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.tag, self.suite)?;
        print_key(f, &self.key, self.lifetime, self.mki)?;
        for further in &self.further {
            f.write_str(";")?;
            print_key(f, &further.key, further.lifetime, Some(further.mki))?;
        }
        write!(f, "{}", self.parameters)
    }
}

fn print_key(
    f: &mut fmt::Formatter<'_>,
    key: &Text,
    lifetime: Option<Lifetime>,
    mki: Option<Mki>,
) -> fmt::Result {
    write!(f, "inline:{key}")?;
    if let Some(lifetime) = lifetime {
        write!(f, "|{lifetime}")?;
    }
    match mki {
        Some(mki) => write!(f, "|{}:{}", mki.value, mki.length),
        None => Ok(()),
    }
}

/// Cipher and authentication of SRTP, in the order in which they are offered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// RFC 7714.
    AeadAes256Gcm,
    /// RFC 7714.
    AeadAes128Gcm,
    /// RFC 6188.
    Aes256CmHmacSha1_80,
    /// RFC 6188.
    Aes256CmHmacSha1_32,
    /// RFC 6188.
    Aes192CmHmacSha1_80,
    /// RFC 6188.
    Aes192CmHmacSha1_32,
    /// RFC 4568; supported by every implementation.
    AesCm128HmacSha1_80,
    /// RFC 4568.
    AesCm128HmacSha1_32,
    /// RFC 4568 has only the 80 bit form of F8.
    F8_128HmacSha1_80,
    /// F8 with a short tag.
    F8_128HmacSha1_32,
    /// Authentication only.
    NullHmacSha1_80,
    /// Authentication only.
    NullHmacSha1_32,
    /// A suite we cannot do, by its name.
    Unknown(Text),
}

impl Suite {
    /// The twelve we know, in the order in which they are offered.
    pub const ALL: [Self; 12] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes256CmHmacSha1_80,
        Self::Aes256CmHmacSha1_32,
        Self::Aes192CmHmacSha1_80,
        Self::Aes192CmHmacSha1_32,
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::F8_128HmacSha1_80,
        Self::F8_128HmacSha1_32,
        Self::NullHmacSha1_80,
        Self::NullHmacSha1_32,
    ];

    /// The known suite of that name, whatever the case; also for the `SDES` options of ng.
    pub fn from_name(name: impl AsRef<[u8]>) -> Option<Self> {
        let name = name.as_ref();
        Self::ALL.into_iter().find(|suite| {
            let known = suite.known_name();
            known.is_some_and(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        })
    }

    /// Whether it is one of the twelve.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    /// Bytes of the master key; `None` for an unknown suite.
    pub fn key_len(&self) -> Option<usize> {
        Some(match self {
            Self::AeadAes256Gcm | Self::Aes256CmHmacSha1_80 | Self::Aes256CmHmacSha1_32 => 32,
            Self::Aes192CmHmacSha1_80 | Self::Aes192CmHmacSha1_32 => 24,
            Self::Unknown(_) => return None,
            _ => 16,
        })
    }

    /// Bytes of the master salt; `None` for an unknown suite.
    pub fn salt_len(&self) -> Option<usize> {
        Some(match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 12,
            Self::Unknown(_) => return None,
            _ => 14,
        })
    }

    /// The name in the attribute, for the twelve.
    pub fn known_name(&self) -> Option<&'static str> {
        Some(match self {
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes256CmHmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes256CmHmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::Aes192CmHmacSha1_80 => "AES_192_CM_HMAC_SHA1_80",
            Self::Aes192CmHmacSha1_32 => "AES_192_CM_HMAC_SHA1_32",
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::F8_128HmacSha1_80 => "F8_128_HMAC_SHA1_80",
            Self::F8_128HmacSha1_32 => "F8_128_HMAC_SHA1_32",
            Self::NullHmacSha1_80 => "NULL_HMAC_SHA1_80",
            Self::NullHmacSha1_32 => "NULL_HMAC_SHA1_32",
            Self::Unknown(_) => return None,
        })
    }

    fn parse(name: &[u8], source: &Source) -> Option<Self> {
        if name.is_empty() {
            return None;
        }
        // RFC 6188 writes AES_256_CM, a good part of the world AES_CM_256.
        let swapped = match name {
            b"AES_CM_256_HMAC_SHA1_80" => Some(Self::Aes256CmHmacSha1_80),
            b"AES_CM_256_HMAC_SHA1_32" => Some(Self::Aes256CmHmacSha1_32),
            b"AES_CM_192_HMAC_SHA1_80" => Some(Self::Aes192CmHmacSha1_80),
            b"AES_CM_192_HMAC_SHA1_32" => Some(Self::Aes192CmHmacSha1_32),
            _ => None,
        };
        let known = Self::from_name(name).or(swapped);
        Some(known.unwrap_or_else(|| Self::Unknown(source.text(name))))
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.known_name(), self) {
            (Some(name), _) => f.write_str(name),
            (None, Self::Unknown(name)) => fmt::Display::fmt(name, f),
            (None, _) => Ok(()),
        }
    }
}

/// Packets a master key may protect, 2 to 2^48. Prints as a power of two where it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(u64);

impl Lifetime {
    /// Lifetime printed if one is wanted and none was given.
    pub const DEFAULT: Self = Self(1 << 31);

    /// `None` outside 2 to 2^48.
    pub fn new(packets: u64) -> Option<Self> {
        (2..=1 << 48).contains(&packets).then_some(Self(packets))
    }

    /// The number of packets.
    pub fn packets(self) -> u64 {
        self.0
    }

    fn parse(field: &[u8]) -> Option<Self> {
        let packets = match field.strip_prefix(b"2^") {
            Some(exponent) => 1u64.checked_shl(number(exponent)?)?,
            None => number(field)?,
        };
        Self::new(packets)
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_power_of_two() {
            write!(f, "2^{}", self.0.trailing_zeros())
        } else {
            write!(f, "{}", self.0)
        }
    }
}

/// Master key identifier: a number, and in how many bytes packets carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mki {
    /// The identifier.
    pub value: u64,
    /// 1 to 128 bytes, big-endian, zeros in front.
    pub length: u8,
}

/// Session parameters (RFC 4568 §6.3) that change what is protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionParameters {
    /// `UNENCRYPTED_SRTP`.
    pub unencrypted_srtp: bool,
    /// `UNENCRYPTED_SRTCP`.
    pub unencrypted_srtcp: bool,
    /// `UNAUTHENTICATED_SRTP`.
    pub unauthenticated_srtp: bool,
    /// `KDR`, `FEC_ORDER`, `WSH` and the like, as received; not printed.
    pub others: Vec<Text>,
}

impl SessionParameters {
    fn parse(value: &[u8], source: &Source) -> Self {
        let mut parameters = Self::default();
        for token in tokens(value) {
            match token {
                b"UNENCRYPTED_SRTP" => parameters.unencrypted_srtp = true,
                b"UNENCRYPTED_SRTCP" => parameters.unencrypted_srtcp = true,
                b"UNAUTHENTICATED_SRTP" => parameters.unauthenticated_srtp = true,
                _ => parameters.others.push(source.text(token)),
            }
        }
        parameters
    }
}

impl fmt::Display for SessionParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (is_set, word) in [
            (self.unencrypted_srtp, " UNENCRYPTED_SRTP"),
            (self.unencrypted_srtcp, " UNENCRYPTED_SRTCP"),
            (self.unauthenticated_srtp, " UNAUTHENTICATED_SRTP"),
        ] {
            if is_set {
                f.write_str(word)?;
            }
        }
        Ok(())
    }
}
