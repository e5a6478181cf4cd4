//! What protects the two sides of a call: nothing, or SRTP with keys by SDES.

use windlass_sdp::{CryptoLine, ParseOptions, SessionDescription};
use windlass_srtp::{Keys, Open, Seal, Suite};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Rtp,
    SrtpCm,
    SrtpGcm,
    SrtpSrtp,
}

impl Mode {
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "rtp" => Self::Rtp,
            "srtp-cm" => Self::SrtpCm,
            "srtp-gcm" => Self::SrtpGcm,
            "srtp-srtp" => Self::SrtpSrtp,
            _ => panic!("--mode {name}: rtp, srtp-cm, srtp-gcm or srtp-srtp"),
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Rtp => "RTP on both sides",
            Self::SrtpCm => "AES_CM_128_HMAC_SHA1_80 to RTP and back",
            Self::SrtpGcm => "AEAD_AES_128_GCM to RTP and back",
            // Of one suite a relay may pass on what it gets; of two it has to open and seal.
            Self::SrtpSrtp => "AES_CM_128_HMAC_SHA1_80 to AEAD_AES_128_GCM and back",
        }
    }

    /// Of the caller and of the callee.
    pub(crate) fn suites(self) -> [Option<Suite>; 2] {
        let (cm, gcm) = (Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm);
        match self {
            Self::Rtp => [None, None],
            Self::SrtpCm => [Some(cm), None],
            Self::SrtpGcm => [Some(gcm), None],
            Self::SrtpSrtp => [Some(cm), Some(gcm)],
        }
    }
}

/// One side's own key, and the line that tells it.
pub(crate) struct Own {
    line: CryptoLine,
    suite: Suite,
}

impl Own {
    pub(crate) fn new(suite: Suite, random: u64) -> Self {
        let random = random.to_be_bytes();
        let length = suite.key_len() + suite.salt_len();
        let key: Vec<u8> = random.into_iter().cycle().take(length).collect();
        let known = windlass_sdp::Suite::from_name(suite.name()).unwrap();
        let line = CryptoLine::new(1, known, &key, false);
        Self { line, suite }
    }

    /// The line for an SDP.
    pub(crate) fn attribute(&self) -> String {
        format!("a=crypto:{}\r\n", self.line)
    }

    pub(crate) fn seal(&self) -> Seal {
        Seal::new(self.keys(&self.line)).unwrap()
    }

    /// Takes the relay's key of the same suite. An answer names the line of the offer.
    pub(crate) fn open(&mut self, sdp: &str) -> Open {
        let session = SessionDescription::parse(sdp.as_bytes(), ParseOptions::default()).unwrap();
        let mut lines = session.media.into_iter().flat_map(|media| media.crypto);
        let theirs = lines.find(|line| line.suite == self.line.suite).unwrap();
        self.line.tag = theirs.tag;
        Open::new(vec![self.keys(&theirs)]).unwrap()
    }

    fn keys(&self, line: &CryptoLine) -> Keys {
        Keys::from_sdes(self.suite, &line.key_salt().unwrap()).unwrap()
    }
}
