//! The certificate that DTLS-SRTP associations show (RFC 5763), self-signed.

use std::fmt;

use aws_lc_rs::digest;
use windlass_sdp::{Fingerprint, HashFunction};

/// A certificate with its private key.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    key: Vec<u8>,
}

/// The certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate: {0}")]
pub struct CertificateError(#[from] rcgen::Error);

impl Certificate {
    /// A new self-signed certificate for a new ECDSA P-256 key.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate(common_name: &str) -> Result<Self, CertificateError> {
        let key = rcgen::KeyPair::generate()?;
        let mut parameters = rcgen::CertificateParams::default();
        let mut name = rcgen::DistinguishedName::new();
        name.push(rcgen::DnType::CommonName, common_name);
        parameters.distinguished_name = name;
        let certificate = parameters.self_signed(&key)?;
        Ok(Self {
            der: certificate.der().to_vec(),
            key: key.serialize_der(),
        })
    }

    /// The certificate (X.509, DER).
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The private key (PKCS #8, DER).
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Digest of the certificate (RFC 8122 §5).
    pub fn fingerprint(&self, hash: HashFunction) -> Fingerprint {
        let algorithm = match hash {
            HashFunction::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            HashFunction::Sha224 => &digest::SHA224,
            HashFunction::Sha256 => &digest::SHA256,
            HashFunction::Sha384 => &digest::SHA384,
            HashFunction::Sha512 => &digest::SHA512,
        };
        Fingerprint {
            hash,
            digest: digest::digest(algorithm, &self.der).as_ref().to_vec(),
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.fingerprint(HashFunction::Sha256);
        write!(f, "Certificate({digest})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_has_its_length_and_certificates_differ() {
        let one = Certificate::generate("windlass").unwrap();
        let other = Certificate::generate("windlass").unwrap();
        for hash in HashFunction::ALL {
            let digest = one.fingerprint(hash).digest;
            assert_eq!(digest.len(), hash.digest_len());
            assert_ne!(digest, other.fingerprint(hash).digest);
        }
        assert!(!format!("{one:?}").contains("key"));
    }
}
