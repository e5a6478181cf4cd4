//! Crypto suites: names of SDES (RFC 4568 §6.2, RFC 6188, RFC 7714 §14.1), profiles of DTLS-SRTP
//! (RFC 5764 §4.1.2, RFC 7714 §14.2), lengths.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Cipher and authentication of SRTP, in the order in which they are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Suite {
    /// RFC 7714.
    #[serde(rename = "AEAD_AES_256_GCM")]
    AeadAes256Gcm,
    /// RFC 7714.
    #[serde(rename = "AEAD_AES_128_GCM")]
    AeadAes128Gcm,
    /// RFC 6188.
    #[serde(rename = "AES_256_CM_HMAC_SHA1_80")]
    Aes256CmHmacSha1_80,
    /// RFC 6188.
    #[serde(rename = "AES_256_CM_HMAC_SHA1_32")]
    Aes256CmHmacSha1_32,
    /// RFC 6188.
    #[serde(rename = "AES_192_CM_HMAC_SHA1_80")]
    Aes192CmHmacSha1_80,
    /// RFC 6188.
    #[serde(rename = "AES_192_CM_HMAC_SHA1_32")]
    Aes192CmHmacSha1_32,
    /// RFC 4568; supported by every implementation.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_80")]
    AesCm128HmacSha1_80,
    /// RFC 4568.
    #[serde(rename = "AES_CM_128_HMAC_SHA1_32")]
    AesCm128HmacSha1_32,
    /// RFC 4568 has only the 80 bit form of F8.
    #[serde(rename = "F8_128_HMAC_SHA1_80")]
    F8_128HmacSha1_80,
    /// F8 with a short tag.
    #[serde(rename = "F8_128_HMAC_SHA1_32")]
    F8_128HmacSha1_32,
    /// Authentication only.
    #[serde(rename = "NULL_HMAC_SHA1_80")]
    NullHmacSha1_80,
    /// Authentication only.
    #[serde(rename = "NULL_HMAC_SHA1_32")]
    NullHmacSha1_32,
}

/// What encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CipherKind {
    Counter,
    F8,
    Gcm,
    Null,
}

impl Suite {
    /// All of them, in the order in which they are offered.
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

    /// The suite of that name in `a=crypto`, whatever the case.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = |suite: &Self| suite.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(named)
    }

    /// The name in `a=crypto`.
    pub fn name(self) -> &'static str {
        match self {
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
        }
    }

    /// The suite of a protection profile of the `use_srtp` extension.
    pub fn from_dtls_profile(profile: u16) -> Option<Self> {
        let of_profile = |suite: &Self| suite.dtls_profile() == Some(profile);
        Self::ALL.into_iter().find(of_profile)
    }

    /// The number in the `use_srtp` extension; `None` if DTLS-SRTP does not have the suite.
    pub fn dtls_profile(self) -> Option<u16> {
        match self {
            Self::AesCm128HmacSha1_80 => Some(0x0001),
            Self::AesCm128HmacSha1_32 => Some(0x0002),
            Self::NullHmacSha1_80 => Some(0x0005),
            Self::NullHmacSha1_32 => Some(0x0006),
            Self::AeadAes128Gcm => Some(0x0007),
            Self::AeadAes256Gcm => Some(0x0008),
            _ => None,
        }
    }

    /// Bytes of the master key, and of a session's encryption key.
    pub fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::Aes256CmHmacSha1_80 | Self::Aes256CmHmacSha1_32 => 32,
            Self::Aes192CmHmacSha1_80 | Self::Aes192CmHmacSha1_32 => 24,
            _ => 16,
        }
    }

    /// Bytes of the master salt.
    pub fn salt_len(self) -> usize {
        match self.cipher() {
            CipherKind::Gcm => 12,
            CipherKind::Counter | CipherKind::F8 | CipherKind::Null => 14,
        }
    }

    /// Bytes of the tag of an SRTP packet.
    pub fn rtp_tag_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 16,
            Self::Aes256CmHmacSha1_32
            | Self::Aes192CmHmacSha1_32
            | Self::AesCm128HmacSha1_32
            | Self::F8_128HmacSha1_32
            | Self::NullHmacSha1_32 => 4,
            _ => 10,
        }
    }

    /// Bytes of the tag of an SRTCP packet: never the short one (RFC 3711 §5.2, RFC 4568 §6.2.2).
    pub fn rtcp_tag_len(self) -> usize {
        match self.cipher() {
            CipherKind::Gcm => 16,
            CipherKind::Counter | CipherKind::F8 | CipherKind::Null => 10,
        }
    }

    /// Bytes to ask of the exporter of DTLS (RFC 5764 §4.2): key and salt of both sides.
    pub fn exporter_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    pub(crate) fn cipher(self) -> CipherKind {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => CipherKind::Gcm,
            Self::F8_128HmacSha1_80 | Self::F8_128HmacSha1_32 => CipherKind::F8,
            Self::NullHmacSha1_80 | Self::NullHmacSha1_32 => CipherKind::Null,
            _ => CipherKind::Counter,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_profiles_find_their_suite() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_name(suite.name()), Some(suite));
            assert_eq!(Suite::from_name(&suite.name().to_lowercase()), Some(suite));
            if let Some(profile) = suite.dtls_profile() {
                assert_eq!(Suite::from_dtls_profile(profile), Some(suite));
            }
            let stored = serde_json::to_string(&suite).unwrap();
            assert_eq!(stored, format!("\"{suite}\""));
        }
        assert_eq!(Suite::from_name("AES_CM_128_HMAC_SHA1"), None);
        assert_eq!(Suite::from_dtls_profile(3), None);
    }

    #[test]
    fn short_tags_are_for_rtp_alone() {
        let suite = Suite::AesCm128HmacSha1_32;
        assert_eq!((suite.rtp_tag_len(), suite.rtcp_tag_len()), (4, 10));
        assert_eq!(Suite::AeadAes128Gcm.exporter_len(), 56);
    }
}
