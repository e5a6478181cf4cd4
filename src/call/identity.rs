//! The identity that a relay shows: certificate fingerprint, candidate foundations, loop mark.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};
use windlass_dtls::{Certificate, CertificateConfig, CertificateError};
use windlass_sdp::{Fingerprint, HashFunction, Text};

/// Drawn once when the relay starts.
#[derive(Debug)]
pub struct Identity {
    certificate: RwLock<Arc<Certificate>>,
    /// What the next certificate is made of.
    renewal: CertificateConfig,
    foundations: Vec<(IpAddr, Text)>,
    loop_id: Text,
    software: String,
}

impl Identity {
    /// An identity for a relay with these local addresses, and a new certificate as of `unix`, the time
    /// since 1970. `software` goes into SDP names and
    /// STUN; other characters than letters, digits and `-` become `-`.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn new(
        renewal: CertificateConfig,
        unix: Duration,
        addresses: impl IntoIterator<Item = IpAddr>,
        software: &str,
        rng: &mut impl Rng,
    ) -> Result<Self, CertificateError> {
        let certificate = Certificate::generate(&renewal, SystemTime::UNIX_EPOCH + unix)?;
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let mut foundations: Vec<(IpAddr, Text)> = Vec::new();
        for address in addresses {
            if !foundations.iter().any(|(known, _)| *known == address) {
                let foundation = Alphanumeric.sample_string(rng, FOUNDATION_LENGTH);
                foundations.push((address, foundation.into()));
            }
        }
        let loop_id = rng.random::<u64>() >> 16;
        Ok(Self {
            certificate: RwLock::new(Arc::new(certificate)),
            renewal,
            foundations,
            loop_id: format!("{loop_id:012x}").into(),
            software: software.chars().map(plain).collect(),
        })
    }

    /// The certificate of DTLS associations that begin now.
    pub fn certificate(&self) -> Arc<Certificate> {
        let certificate = self.certificate.read();
        certificate.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a new certificate, if the present one is past half of its life (spec: media-behaviour
    /// §6). Calls keep theirs. `unix` is the time since 1970. Gives back whether there is a new one.
    ///
    /// # Errors
    /// There is none; the old one stays.
    pub fn renew_certificate(&self, unix: Duration) -> Result<bool, CertificateError> {
        let now = SystemTime::UNIX_EPOCH + unix;
        if !self.certificate().renewal_due(now) {
            return Ok(false);
        }
        let fresh = Arc::new(Certificate::generate(&self.renewal, now)?);
        *self
            .certificate
            .write()
            .unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(true)
    }

    /// Foundation of host candidates on a local address: the same in all calls.
    pub(crate) fn foundation(&self, address: IpAddr) -> Text {
        let known = self.foundations.iter().find(|(known, _)| *known == address);
        known.map_or_else(|| "1".into(), |(_, foundation)| foundation.clone())
    }

    /// Value of `a=rtpengine:` (flag `loop-protect`).
    pub(crate) fn loop_id(&self) -> &Text {
        &self.loop_id
    }

    /// Identifier of this run of the relay.
    pub fn instance(&self) -> String {
        String::from_utf8_lossy(self.loop_id.as_bytes()).into_owned()
    }

    /// Name and version of the software.
    pub fn software(&self) -> &str {
        &self.software
    }
}

const FOUNDATION_LENGTH: usize = 16;

/// Characters of a ufrag (RFC 8445 §5.3 asks for 24 bits at least).
const UFRAG_LENGTH: usize = 8;
/// Characters of a password (RFC 8445 §5.3 asks for 128 bits at least).
const PASSWORD_LENGTH: usize = 26;

/// New ICE credentials.
pub(crate) fn credentials(rng: &mut dyn rand::RngCore) -> super::model::media::Credentials {
    super::model::media::Credentials {
        ufrag: Alphanumeric.sample_string(rng, UFRAG_LENGTH).into(),
        pwd: Alphanumeric.sample_string(rng, PASSWORD_LENGTH).into(),
    }
}

/// Fingerprint of a certificate as SDP has it (RFC 8122).
pub(crate) fn fingerprint(certificate: &Certificate, hash: HashFunction) -> Fingerprint {
    let digest = certificate.fingerprint(super::agents::hash(hash));
    Fingerprint {
        hash,
        digest: digest.digest().to_vec(),
    }
}

/// Random bytes as lower-case hexadecimal digits.
pub(crate) fn hex(rng: &mut dyn rand::RngCore, bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rng.fill_bytes(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
