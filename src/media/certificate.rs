//! The certificate that DTLS-SRTP associations show (RFC 5763), self-signed.

use std::fmt;

use aws_lc_rs::digest;

/// A certificate with its private key.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    key: Vec<u8>,
}

/// Hash function of a fingerprint (RFC 8122 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// 20 bytes; only for old peers.
    Sha1,
    /// 28 bytes.
    Sha224,
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
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
    pub fn digest(&self, hash: Hash) -> Vec<u8> {
        let algorithm = match hash {
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha224 => &digest::SHA224,
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, &self.der).as_ref().to_vec()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest(Hash::Sha256);
        write!(f, "Certificate({digest:02x?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_has_its_length_and_certificates_differ() {
        let one = Certificate::generate("windlass").unwrap();
        let other = Certificate::generate("windlass").unwrap();
        let lengths = [
            (Hash::Sha1, 20),
            (Hash::Sha224, 28),
            (Hash::Sha256, 32),
            (Hash::Sha384, 48),
            (Hash::Sha512, 64),
        ];
        for (hash, length) in lengths {
            assert_eq!(one.digest(hash).len(), length);
            assert_ne!(one.digest(hash), other.digest(hash));
        }
        assert!(!format!("{one:?}").contains("key"));
    }
}
