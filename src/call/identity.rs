//! The identity that a relay shows: certificate fingerprint, candidate foundations, loop mark.

use std::net::IpAddr;

use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};
use windlass_sdp::{Fingerprint, HashFunction, Text};

use crate::media::certificate::{Certificate, Hash};

/// Drawn once when the relay starts.
#[derive(Debug)]
pub struct Identity {
    certificate: Certificate,
    foundations: Vec<(IpAddr, Text)>,
    loop_id: Text,
    software: String,
}

impl Identity {
    /// An identity for a relay with these local addresses. `software` goes into SDP names and
    /// STUN; other characters than letters, digits and `-` become `-`.
    pub fn new(
        certificate: Certificate,
        addresses: impl IntoIterator<Item = IpAddr>,
        software: &str,
        rng: &mut impl Rng,
    ) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let mut foundations: Vec<(IpAddr, Text)> = Vec::new();
        for address in addresses {
            if !foundations.iter().any(|(known, _)| *known == address) {
                let foundation = Alphanumeric.sample_string(rng, FOUNDATION_LENGTH);
                foundations.push((address, foundation.into()));
            }
        }
        let loop_id = rng.random::<u64>() >> 16;
        Self {
            certificate,
            foundations,
            loop_id: format!("{loop_id:012x}").into(),
            software: software.chars().map(plain).collect(),
        }
    }

    /// The certificate of all DTLS associations.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Fingerprint of the certificate (RFC 8122).
    pub(crate) fn fingerprint(&self, hash: HashFunction) -> Fingerprint {
        let with = match hash {
            HashFunction::Sha1 => Hash::Sha1,
            HashFunction::Sha224 => Hash::Sha224,
            HashFunction::Sha256 => Hash::Sha256,
            HashFunction::Sha384 => Hash::Sha384,
            HashFunction::Sha512 => Hash::Sha512,
        };
        Fingerprint {
            hash,
            digest: self.certificate.digest(with),
        }
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
pub(crate) fn credentials(rng: &mut dyn rand::RngCore) -> super::media::Credentials {
    super::media::Credentials {
        ufrag: Alphanumeric.sample_string(rng, UFRAG_LENGTH).into(),
        pwd: Alphanumeric.sample_string(rng, PASSWORD_LENGTH).into(),
    }
}

/// Random bytes as lower-case hexadecimal digits.
pub(crate) fn hex(rng: &mut dyn rand::RngCore, bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rng.fill_bytes(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
