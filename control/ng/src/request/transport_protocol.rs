//! The target transport of medias (`transport-protocol`, and the tokens of §9).

/// RTP profiles a media can be converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportProtocol {
    /// `RTP/AVP`
    RtpAvp,
    /// `RTP/SAVP`
    RtpSavp,
    /// `RTP/AVPF`
    RtpAvpf,
    /// `RTP/SAVPF`
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP`
    UdpTlsRtpSavp,
    /// `UDP/TLS/RTP/SAVPF`
    UdpTlsRtpSavpf,
    /// `udptl`
    Udptl,
}

const NAMES: [(TransportProtocol, &str); 7] = [
    (TransportProtocol::RtpAvp, "RTP/AVP"),
    (TransportProtocol::RtpSavp, "RTP/SAVP"),
    (TransportProtocol::RtpAvpf, "RTP/AVPF"),
    (TransportProtocol::RtpSavpf, "RTP/SAVPF"),
    (TransportProtocol::UdpTlsRtpSavp, "UDP/TLS/RTP/SAVP"),
    (TransportProtocol::UdpTlsRtpSavpf, "UDP/TLS/RTP/SAVPF"),
    (TransportProtocol::Udptl, "udptl"),
];

impl TransportProtocol {
    /// The name in an m-line.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(proto, _)| *proto == self)
            .map_or("", |(_, name)| name)
    }

    /// The protocol of that name, in any case.
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, n)| name.eq_ignore_ascii_case(n.as_bytes()))
            .map(|(p, _)| *p)
    }

    /// Whether it carries SRTP.
    pub fn is_secure(self) -> bool {
        !matches!(self, Self::RtpAvp | Self::RtpAvpf | Self::Udptl)
    }

    /// Whether it is one of the feedback profiles.
    pub fn has_feedback(self) -> bool {
        matches!(self, Self::RtpAvpf | Self::RtpSavpf | Self::UdpTlsRtpSavpf)
    }
}

/// Sum of the bare tokens of `rtpp-flags`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TransportBits {
    srtp: bool,
    avpf: bool,
    dtls: bool,
    given: bool,
}

impl TransportBits {
    /// Takes one token; `false` if it is no transport token. The six full names stand for their
    /// bits, so `SRTP` and `RTP/AVPF` combine to `RTP/SAVPF`.
    pub(crate) fn apply(&mut self, token: &[u8]) -> bool {
        let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
        if is("RTP") {
            self.srtp = false;
        } else if is("AVP") {
            self.avpf = false;
        } else if is("SRTP") {
            self.srtp = true;
        } else if is("AVPF") {
            self.avpf = true;
        } else if is("DTLS") {
            self.dtls = true;
        } else {
            match TransportProtocol::from_bytes(token) {
                None | Some(TransportProtocol::Udptl) => return false,
                Some(proto) => {
                    self.srtp |= proto.is_secure();
                    self.avpf |= proto.has_feedback();
                    self.dtls |= matches!(
                        proto,
                        TransportProtocol::UdpTlsRtpSavp | TransportProtocol::UdpTlsRtpSavpf
                    );
                }
            }
        }
        self.given = true;
        true
    }

    /// The result, if any token was given. DTLS implies SRTP.
    pub(crate) fn protocol(self) -> Option<TransportProtocol> {
        self.given
            .then_some(match (self.dtls, self.srtp, self.avpf) {
                (true, _, false) => TransportProtocol::UdpTlsRtpSavp,
                (true, _, true) => TransportProtocol::UdpTlsRtpSavpf,
                (false, false, false) => TransportProtocol::RtpAvp,
                (false, true, false) => TransportProtocol::RtpSavp,
                (false, false, true) => TransportProtocol::RtpAvpf,
                (false, true, true) => TransportProtocol::RtpSavpf,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combine(tokens: &[&str]) -> Option<TransportProtocol> {
        let mut bits = TransportBits::default();
        for token in tokens {
            assert!(bits.apply(token.as_bytes()), "{token}");
        }
        bits.protocol()
    }

    #[test]
    fn tokens_combine() {
        assert_eq!(combine(&[]), None);
        assert_eq!(combine(&["RTP"]), Some(TransportProtocol::RtpAvp));
        assert_eq!(
            combine(&["SRTP", "AVPF"]),
            Some(TransportProtocol::RtpSavpf)
        );
        assert_eq!(combine(&["DTLS"]), Some(TransportProtocol::UdpTlsRtpSavp));
        assert_eq!(
            combine(&["DTLS", "AVPF"]),
            Some(TransportProtocol::UdpTlsRtpSavpf)
        );
        assert_eq!(combine(&["rtp/savp"]), Some(TransportProtocol::RtpSavp));
        assert_eq!(
            combine(&["UDP/TLS/RTP/SAVPF"]),
            Some(TransportProtocol::UdpTlsRtpSavpf)
        );
        assert!(!TransportBits::default().apply(b"RTPX"));
    }
}
