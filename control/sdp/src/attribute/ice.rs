//! ICE signalling (RFC 8839, RFC 8838 trickle, RFC 8445).

use std::fmt;
use std::net::SocketAddr;

use crate::line::{ip_address, number, tokens};
use crate::text::{Source, Text};

/// ICE attributes of one media, session values filled in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Ice {
    /// `a=ice-ufrag`.
    pub ufrag: Option<Text>,
    /// `a=ice-pwd`.
    pub pwd: Option<Text>,
    /// `a=ice-options`, as received. See [`Ice::has_option`].
    pub options: Option<Text>,
    /// `a=ice-lite`.
    pub lite: bool,
    /// The usable `a=candidate` lines, in order.
    pub candidates: Vec<Candidate>,
    /// `a=end-of-candidates`.
    pub end_of_candidates: bool,
}

impl Ice {
    /// Whether both credentials are there, so that an agent can work.
    pub fn is_present(&self) -> bool {
        self.ufrag.is_some() && self.pwd.is_some()
    }

    /// Whether `ice-options` lists `option`.
    pub fn has_option(&self, option: &str) -> bool {
        let options = self.options.as_ref().map(Text::as_bytes);
        tokens(options.unwrap_or_default()).any(|token| token == option.as_bytes())
    }
}

impl fmt::Debug for Ice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ice")
            .field("ufrag", &self.ufrag)
            .field("pwd", &self.pwd.as_ref().map(|_| "…"))
            .field("options", &self.options)
            .field("lite", &self.lite)
            .field("candidates", &self.candidates)
            .field("end_of_candidates", &self.end_of_candidates)
            .finish()
    }
}

/// One `a=candidate` line (RFC 8839 §5.1). Prints as the value of the attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Groups candidates of one interface and server.
    pub foundation: Text,
    /// 1 for RTP, 2 for RTCP.
    pub component: u16,
    /// `UDP`, or a name we do not use.
    pub transport: Text,
    /// Higher is better.
    pub priority: u32,
    /// Transport address of the candidate.
    pub address: SocketAddr,
    /// Candidate type.
    pub kind: CandidateKind,
    /// `raddr` and `rport`, where both are usable.
    pub related: Option<SocketAddr>,
    /// Extension attributes in pairs of name and value, as received.
    pub extensions: Text,
}

impl Candidate {
    /// Whether it can be paired with ours at all.
    pub fn is_udp(&self) -> bool {
        self.transport.eq_ignore_ascii_case("udp")
    }

    /// The same in buffers of its own, which keep no longer text alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            foundation: self.foundation.detached(),
            transport: self.transport.detached(),
            extensions: self.extensions.detached(),
            ..*self
        }
    }

    /// Reads the value of an `a=candidate` attribute. Host names (mDNS) are not resolved: `None`.
    pub fn parse(value: &Text) -> Option<Self> {
        Self::parse_in(value.as_bytes(), &Source::new(value.as_bytes().into()))
    }

    pub(crate) fn parse_in(value: &[u8], source: &Source) -> Option<Self> {
        // RFC 8839 has nothing else, and the rest may be printed as text.
        if !value.is_ascii() {
            return None;
        }
        // In trickle signalling the value may come with the name in front.
        let value = value.strip_prefix(b"candidate:").unwrap_or(value);
        let mut tokens = tokens(value);
        let foundation = source.text(tokens.next()?);
        let component = number(tokens.next()?).filter(|id| (1..=256).contains(id))?;
        let transport = source.text(tokens.next()?);
        let priority = number(tokens.next()?)?;
        let ip = ip_address(tokens.next()?)?;
        let port = number(tokens.next()?)?;
        if !tokens.next()?.eq_ignore_ascii_case(b"typ") {
            return None;
        }
        let kind = CandidateKind::parse(tokens.next()?)?;

        let (mut related_ip, mut related_port) = (None, None);
        let mut extensions = Vec::new();
        while let Some(name) = tokens.next() {
            // A name without a value is what some phones end their lines with.
            let Some(value) = tokens.next() else { break };
            match name {
                b"raddr" => related_ip = ip_address(value),
                b"rport" => related_port = number::<u16>(value),
                _ => {
                    if !extensions.is_empty() {
                        extensions.push(b' ');
                    }
                    extensions.extend_from_slice(name);
                    extensions.push(b' ');
                    extensions.extend_from_slice(value);
                }
            }
        }
        Some(Self {
            foundation,
            component,
            transport,
            priority,
            address: SocketAddr::new(ip, port),
            kind,
            related: related_ip.zip(related_port).map(SocketAddr::from),
            extensions: extensions.into(),
        })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {} {} typ {}",
            self.foundation,
            self.component,
            self.transport,
            self.priority,
            self.address.ip(),
            self.address.port(),
            self.kind.name(),
        )?;
        if let Some(related) = self.related {
            write!(f, " raddr {} rport {}", related.ip(), related.port())?;
        }
        if !self.extensions.is_empty() {
            write!(f, " {}", self.extensions)?;
        }
        Ok(())
    }
}

/// `typ` of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// An own interface.
    Host,
    /// Seen by the peer.
    PeerReflexive,
    /// A TURN server's.
    Relay,
    /// Seen by a STUN server.
    ServerReflexive,
}

impl CandidateKind {
    /// Token after `typ`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::PeerReflexive => "prflx",
            Self::Relay => "relay",
            Self::ServerReflexive => "srflx",
        }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        [
            Self::Host,
            Self::PeerReflexive,
            Self::Relay,
            Self::ServerReflexive,
        ]
        .into_iter()
        .find(|kind| word.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}
