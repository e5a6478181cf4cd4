//! Certificate fingerprints as SDP carries them (RFC 8122 §5).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;

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

    /// The name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// The function called `name`, whatever the case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|hash| name.eq_ignore_ascii_case(hash.name()))
    }

    /// Bytes of a digest.
    pub fn digest_len(self) -> usize {
        self.algorithm().output_len()
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// Why a text is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// The digest is not made of hexadecimal pairs.
    #[error("digest is not hexadecimal")]
    Digest,
    /// The digest does not have the length of its hash function.
    #[error("digest of {hash} has {got} bytes, expected {expected}", hash = hash.name(), expected = hash.digest_len())]
    Length {
        /// The hash function named.
        hash: HashFunction,
        /// Bytes found.
        got: usize,
    },
    /// The hash function is not one of [`HashFunction::ALL`].
    #[error("unknown hash function `{0}`")]
    UnknownHash(String),
}

/// The digest of a certificate. Prints as `sha-256 AB:CD:…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: HashFunction,
    digest: Vec<u8>,
}

impl Fingerprint {
    /// From an already parsed attribute.
    ///
    /// # Errors
    ///
    /// [`FingerprintError::Length`] if `digest` does not have the length of `hash`.
    pub fn new(hash: HashFunction, digest: Vec<u8>) -> Result<Self, FingerprintError> {
        if digest.len() == hash.digest_len() {
            Ok(Self { hash, digest })
        } else {
            let got = digest.len();
            Err(FingerprintError::Length { hash, got })
        }
    }

    /// The fingerprint of a certificate in DER.
    pub fn of(hash: HashFunction, certificate: &[u8]) -> Self {
        let digest = digest::digest(hash.algorithm(), certificate);
        Self {
            hash,
            digest: digest.as_ref().to_vec(),
        }
    }

    /// The hash function.
    pub fn hash(&self) -> HashFunction {
        self.hash
    }

    /// The digest, [`HashFunction::digest_len`] bytes.
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// Whether `certificate` (DER) has this fingerprint; takes the same time for every digest.
    pub fn matches(&self, certificate: &[u8]) -> bool {
        let theirs = digest::digest(self.hash.algorithm(), certificate);
        verify_slices_are_equal(theirs.as_ref(), &self.digest).is_ok()
    }
}

/// Whether a certificate has one of the fingerprints of the strongest hash function named: a peer may
/// name several, and a match of a weak one must not excuse a strong one that fails (RFC 8122 §5).
/// Several of that hash function stand for several certificates.
pub(crate) fn accept(fingerprints: &[Fingerprint], certificate: &[u8]) -> bool {
    let strongest = fingerprints.iter().map(Fingerprint::hash).max();
    fingerprints
        .iter()
        .filter(|fingerprint| Some(fingerprint.hash) == strongest)
        .any(|fingerprint| fingerprint.matches(certificate))
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

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads the value of `a=fingerprint`. Any case; colons may be missing, blanks may surround.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let text = text.trim();
        let (name, hex) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let hash = HashFunction::from_name(name)
            .ok_or_else(|| FingerprintError::UnknownHash(name.chars().take(32).collect()))?;
        // Longer than any digest printed with colons: not worth a look.
        if hex.len() > 256 {
            return Err(FingerprintError::Digest);
        }
        let digits: Option<Vec<u8>> = hex
            .bytes()
            .filter(|byte| !matches!(byte, b':' | b' ' | b'\t'))
            .map(|byte| char::from(byte).to_digit(16)?.try_into().ok())
            .collect();
        let digits = digits.ok_or(FingerprintError::Digest)?;
        let pairs = digits.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(FingerprintError::Digest);
        }
        let digest = pairs
            .map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit))
            .collect();
        Self::new(hash, digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_is_printed_and_read_back() {
        for hash in HashFunction::ALL {
            let fingerprint = Fingerprint::of(hash, b"certificate");
            let text = fingerprint.to_string();
            assert_eq!(text.parse::<Fingerprint>().unwrap(), fingerprint);
            assert!(fingerprint.matches(b"certificate"));
            assert!(!fingerprint.matches(b"certificatf"));
        }
    }

    #[test]
    fn digest_is_that_of_the_standard() {
        // FIPS 180-2, B.1
        assert_eq!(
            Fingerprint::of(HashFunction::Sha1, b"abc").to_string(),
            "sha-1 A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D"
        );
    }

    #[test]
    fn case_and_missing_colons_are_tolerated() {
        let printed = Fingerprint::of(HashFunction::Sha256, b"x").to_string();
        let loose = printed.to_lowercase().replace(':', "");
        let loose = loose.replace("sha-256", " SHA-256 ");
        assert_eq!(
            loose.parse::<Fingerprint>().unwrap(),
            printed.parse().unwrap()
        );
    }

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        let error = |text: &str| text.parse::<Fingerprint>().unwrap_err();
        assert_eq!(
            error("md5 00:11"),
            FingerprintError::UnknownHash("md5".into())
        );
        let (hash, got) = (HashFunction::Sha1, 2);
        assert_eq!(error("sha-1 00:11"), FingerprintError::Length { hash, got });
        assert_eq!(error("sha-1 0g:11"), FingerprintError::Digest);
        assert_eq!(error("sha-1 00:1"), FingerprintError::Digest);
        assert_eq!(error(""), FingerprintError::UnknownHash(String::new()));
    }

    #[test]
    fn weak_match_does_not_excuse_a_strong_mismatch() {
        let weak = Fingerprint::of(HashFunction::Sha1, b"a");
        let strong = Fingerprint::of(HashFunction::Sha256, b"b");
        assert!(!accept(&[weak.clone(), strong.clone()], b"a"));
        assert!(accept(&[weak.clone(), strong], b"b"));
        assert!(accept(&[weak], b"a"));
        assert!(!accept(&[], b"a"));
    }
}
