//! Our certificate: self-signed, made anew before it ages, shared by the sessions that began with it.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, RsaKeySize, SerialNumber};
use rtc_dtls::crypto as library;
use rtc_dtls::crypto_provider::{RTCCryptoProvider, SignatureScheme, providers::AwsLcRsProvider};
use zeroize::Zeroizing;

use crate::fingerprint::{Fingerprint, HashFunction};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clocks of peers may be behind ours.
const VALID_BEFORE: Duration = DAY;
const VALID_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Upper bound of a common name (RFC 5280, ub-common-name 64), as other engines keep it.
const COMMON_NAME: usize = 63;

/// The key of a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256: small and fast.
    #[default]
    EcdsaP256,
    /// RSA with this many bits: 2048, 3072 or 4096.
    Rsa(u16),
}

/// The hash of a certificate's own signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureHash {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-384; RSA only.
    Sha384,
    /// SHA-512; RSA only.
    Sha512,
}

/// What a certificate is made of.
#[derive(Clone, Debug, Default)]
pub struct CertificateConfig {
    /// Common name, the software's id; cut to 63 characters.
    pub common_name: String,
    /// Kind of key.
    pub key: KeyKind,
    /// Hash of the signature.
    pub signature: SignatureHash,
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The crypto library refused its own key.
    #[error("key is unusable: {0}")]
    Key(String),
    /// No certificate could be encoded or signed.
    #[error("certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// No random numbers.
    #[error("no random numbers")]
    Random,
    /// A key length that is not offered.
    #[error("RSA key of {0} bits, expected 2048, 3072 or 4096")]
    RsaBits(u16),
    /// ECDSA on P-256 is signed with SHA-256.
    #[error("ECDSA on P-256 goes with SHA-256")]
    SignatureHash,
}

/// A certificate with its key.
///
/// Keep it in an `Arc`: a session holds the one that it began with, so replacing the current one
/// (when [`Certificate::renewal_due`]) touches new sessions alone.
pub struct Certificate {
    der: Vec<u8>,
    key: KeyKind,
    not_before: SystemTime,
    not_after: SystemTime,
    pub(crate) library: library::Certificate,
}

impl Certificate {
    /// Makes a self-signed certificate, valid from a day before `now` to 30 days after it, with a
    /// random serial number of 64 bits. A key of 4096 bits takes seconds. Randomness comes from the
    /// crypto library, whose keys cannot be made from any other.
    ///
    /// # Errors
    ///
    /// [`CertificateError`]: a kind of key that is not offered, or a failure of the crypto library.
    pub fn generate(config: &CertificateConfig, now: SystemTime) -> Result<Self, CertificateError> {
        let (pair, scheme) = match config.key {
            KeyKind::EcdsaP256 if config.signature == SignatureHash::Sha256 => (
                KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?,
                SignatureScheme::EcdsaP256Sha256,
            ),
            KeyKind::EcdsaP256 => return Err(CertificateError::SignatureHash),
            KeyKind::Rsa(bits) => {
                let size = match bits {
                    2048 => RsaKeySize::_2048,
                    3072 => RsaKeySize::_3072,
                    4096 => RsaKeySize::_4096,
                    other => return Err(CertificateError::RsaBits(other)),
                };
                let algorithm = match config.signature {
                    SignatureHash::Sha256 => &rcgen::PKCS_RSA_SHA256,
                    SignatureHash::Sha384 => &rcgen::PKCS_RSA_SHA384,
                    SignatureHash::Sha512 => &rcgen::PKCS_RSA_SHA512,
                };
                let pair = KeyPair::generate_rsa_for(algorithm, size)?;
                (pair, SignatureScheme::RsaPkcs1Sha256)
            }
        };
        let mut serial = [0; 8];
        aws_lc_rs::rand::fill(&mut serial).map_err(|_| CertificateError::Random)?;
        let mut name = DistinguishedName::new();
        let common_name: String = config.common_name.chars().take(COMMON_NAME).collect();
        name.push(DnType::CommonName, common_name);
        let (not_before, not_after) = (now - VALID_BEFORE, now + VALID_FOR);
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = name;
        parameters.serial_number = Some(SerialNumber::from(serial.to_vec()));
        parameters.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(not_before);
        parameters.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(not_after);
        let certificate = parameters.self_signed(&pair)?;

        let pkcs8 = Zeroizing::new(pair.serialize_der());
        let signer = AwsLcRsProvider::new()
            .crypto()
            .import_signing_key(scheme, &pkcs8)
            .map_err(|error| CertificateError::Key(error.to_string()))?;
        Ok(Self {
            der: certificate.der().to_vec(),
            key: config.key,
            not_before,
            not_after,
            library: library::Certificate::from_signing_key(
                vec![certificate.der().clone()],
                signer,
            ),
        })
    }

    /// The value for `a=fingerprint`.
    pub fn fingerprint(&self, hash: HashFunction) -> Fingerprint {
        Fingerprint::of(hash, &self.der)
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Kind of key.
    pub fn key(&self) -> KeyKind {
        self.key
    }

    /// Whether less than half of its lifetime is left.
    pub fn renewal_due(&self, now: SystemTime) -> bool {
        let lifetime = self.not_after.duration_since(self.not_before);
        let left = self.not_after.duration_since(now);
        left.unwrap_or_default() < lifetime.unwrap_or_default() / 2
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("key", &self.key)
            .field(
                "fingerprint",
                &self.fingerprint(HashFunction::Sha256).to_string(),
            )
            .finish_non_exhaustive()
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    // X.509 counts seconds.
    Duration::from_secs(since.unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-06-01T00:00:00Z
    fn june() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_272_000)
    }

    fn generate(config: &CertificateConfig) -> Result<Certificate, CertificateError> {
        Certificate::generate(config, june())
    }

    #[test]
    fn validity_and_name_are_as_asked() {
        let config = CertificateConfig {
            common_name: "w".repeat(80),
            ..CertificateConfig::default()
        };
        let certificate = generate(&config).unwrap();
        let holds = |needle: &[u8]| certificate.der().windows(needle.len()).any(|w| w == needle);
        assert!(holds(b"260531000000Z"), "a day before");
        assert!(holds(b"260701000000Z"), "30 days after");
        assert!(holds(&b"w".repeat(63)));
        assert!(!holds(&b"w".repeat(64)));
    }

    #[test]
    fn renewal_is_due_when_half_of_the_lifetime_is_over() {
        let certificate = generate(&CertificateConfig::default()).unwrap();
        assert!(!certificate.renewal_due(june()));
        assert!(!certificate.renewal_due(june() + 14 * DAY));
        assert!(certificate.renewal_due(june() + 15 * DAY));
        assert!(certificate.renewal_due(june() + 60 * DAY));
    }

    #[test]
    fn serial_numbers_differ() {
        let config = CertificateConfig::default();
        let serial = |certificate: &Certificate| {
            // [0] { INTEGER 2 }, the version, comes before it.
            let (der, version) = (certificate.der(), [0xa0, 3, 2, 1, 2, 2]);
            let at = der.windows(6).position(|w| w == version).unwrap() + 6;
            let len = usize::from(der[at]);
            assert!(
                (7..=9).contains(&len) && der[at + 1] < 0x80,
                "positive, of 64 bits"
            );
            der[at + 1..=at + len].to_vec()
        };
        let (a, b) = (generate(&config).unwrap(), generate(&config).unwrap());
        assert_ne!(serial(&a), serial(&b));
    }

    #[test]
    fn odd_kinds_of_keys_are_refused() {
        let with = |key, signature| CertificateConfig {
            common_name: "x".into(),
            key,
            signature,
        };
        let error = generate(&with(KeyKind::Rsa(1024), SignatureHash::Sha256)).unwrap_err();
        assert!(matches!(error, CertificateError::RsaBits(1024)));
        let error = generate(&with(KeyKind::EcdsaP256, SignatureHash::Sha512)).unwrap_err();
        assert!(matches!(error, CertificateError::SignatureHash));
    }

    #[test]
    fn debug_shows_no_key() {
        let certificate = generate(&CertificateConfig::default()).unwrap();
        let text = format!("{certificate:?}");
        assert!(text.starts_with("Certificate { key: EcdsaP256, fingerprint: \"sha-256 "));
    }
}
