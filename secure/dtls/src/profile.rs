//! SRTP protection profiles (RFC 5764 §4.1.2, RFC 7714 §14.2) and the keys that a handshake yields.

use std::fmt;

use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A protection profile. Not [`Eq`] to an SDES suite by accident: numbers are those of the IANA
/// registry "DTLS-SRTP Protection Profiles".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// `SRTP_AEAD_AES_256_GCM`, 0x0008.
    AeadAes256Gcm,
    /// `SRTP_AEAD_AES_128_GCM`, 0x0007.
    AeadAes128Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`, 0x0001.
    Aes128CmSha1_80,
    /// `SRTP_AES128_CM_HMAC_SHA1_32`, 0x0002.
    Aes128CmSha1_32,
}

impl Profile {
    /// All of them in the order in which they are preferred: GCM costs half of the others.
    pub const ALL: [Self; 4] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes128CmSha1_80,
        Self::Aes128CmSha1_32,
    ];

    /// The number on the wire.
    pub fn id(self) -> u16 {
        match self {
            Self::AeadAes256Gcm => 8,
            Self::AeadAes128Gcm => 7,
            Self::Aes128CmSha1_80 => 1,
            Self::Aes128CmSha1_32 => 2,
        }
    }

    /// The profile with this number.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.id() == id)
    }

    /// The name in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            Self::Aes128CmSha1_32 => "SRTP_AES128_CM_HMAC_SHA1_32",
        }
    }

    /// Bytes of a master key.
    pub fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => 16,
        }
    }

    /// Bytes of a master salt.
    pub fn salt_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 12,
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => 14,
        }
    }

    pub(crate) fn to_library(self) -> SrtpProtectionProfile {
        SrtpProtectionProfile::from(self.id())
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Secret bytes: not shown by `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(#[serde(with = "secret_bytes")] Zeroizing<Vec<u8>>);

impl Secret {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

mod secret_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(
        bytes: &Zeroizing<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_slice().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Zeroizing<Vec<u8>>, D::Error> {
        Vec::deserialize(deserializer).map(Zeroizing::new)
    }
}

/// Master key and salt of one direction (RFC 5764 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrtpKeys {
    /// [`Profile::key_len`] bytes.
    pub key: Secret,
    /// [`Profile::salt_len`] bytes.
    pub salt: Secret,
}

/// Keys of the client and of the server, from the exporter's output: client key, server key, client
/// salt, server salt (RFC 5764 §4.2). [`None`] if `material` has another length.
pub(crate) fn split(profile: Profile, material: &[u8]) -> Option<(SrtpKeys, SrtpKeys)> {
    let (client_key, rest) = material.split_at_checked(profile.key_len())?;
    let (server_key, rest) = rest.split_at_checked(profile.key_len())?;
    let (client_salt, server_salt) = rest.split_at_checked(profile.salt_len())?;
    if server_salt.len() != profile.salt_len() {
        return None;
    }
    let keys = |key: &[u8], salt: &[u8]| SrtpKeys {
        key: Secret::new(key.to_vec()),
        salt: Secret::new(salt.to_vec()),
    };
    Some((keys(client_key, client_salt), keys(server_key, server_salt)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_is_split_in_the_order_of_the_rfc() {
        for profile in Profile::ALL {
            let (key, salt) = (profile.key_len(), profile.salt_len());
            let parts = [vec![1; key], vec![2; key], vec![3; salt], vec![4; salt]];
            let (client, server) = split(profile, &parts.concat()).unwrap();
            assert_eq!(client.key.as_bytes(), parts[0]);
            assert_eq!(server.key.as_bytes(), parts[1]);
            assert_eq!(client.salt.as_bytes(), parts[2]);
            assert_eq!(server.salt.as_bytes(), parts[3]);
            assert!(split(profile, &parts.concat()[1..]).is_none());
            assert_eq!(Profile::from_id(profile.id()), Some(profile));
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let keys = SrtpKeys {
            key: Secret::new(vec![17; 16]),
            salt: Secret::new(vec![18; 14]),
        };
        assert_eq!(format!("{keys:?}"), "SrtpKeys { key: …, salt: … }");
    }
}
