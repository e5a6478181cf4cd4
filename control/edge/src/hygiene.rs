//! Headers that do not cross a border of the edge (spec §5): those that the operator names for a zone
//! or a peer, and identities where nobody may be believed with them (RFC 3325).

use std::net::IpAddr;
use std::str::FromStr;

use smallvec::SmallVec;

use crate::config::{Config, Trust};
use crate::message::{HeaderId, Message, values};
use crate::screen::address::Networks;

/// Names of headers to remove, with `*` for any letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StripConfig {
    /// From what comes in.
    pub inward: Vec<String>,
    /// From what goes out.
    pub outward: Vec<String>,
}

/// A pattern of header names, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob(Box<[u8]>);

/// Why a text is no pattern of headers to remove.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GlobError {
    #[error("no message works without {0}")]
    Essential(String),
    #[error("a header is a name such as \"X-Account\", with * for any letters")]
    Name,
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        let is_letter = |b: u8| crate::message::span::is_token(b) || b == b'*';
        if text.is_empty() || !text.bytes().all(is_letter) {
            return Err(GlobError::Name);
        }
        if !text.contains('*') && is_essential(HeaderId::of(text.as_bytes())) {
            return Err(GlobError::Essential(text.to_owned()));
        }
        let full = full_name(text.as_bytes()).to_ascii_lowercase();
        Ok(Self(full.into()))
    }
}

impl Glob {
    /// Whether a name in its long form matches, in any case.
    fn matches(&self, name: &[u8]) -> bool {
        let (mut pattern, mut rest) = (&*self.0, name);
        // Where to go on if what follows the last star does not fit: one letter further.
        let mut again: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern.split_first(), rest.split_first()) {
                (Some((b'*', behind)), _) => {
                    pattern = behind;
                    again = Some((behind, rest));
                    continue;
                }
                (Some((letter, behind)), Some((byte, tail)))
                    if byte.to_ascii_lowercase() == *letter =>
                {
                    (pattern, rest) = (behind, tail);
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((behind, from)) = again else {
                return false;
            };
            let Some((_, tail)) = from.split_first() else {
                return false;
            };
            (pattern, rest) = (behind, tail);
            again = Some((behind, tail));
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Strips {
    inward: Box<[Glob]>,
    outward: Box<[Glob]>,
}

impl Strips {
    /// What is no pattern was refused before, or does nothing.
    fn new(config: &StripConfig) -> Self {
        let globs = |texts: &[String]| texts.iter().filter_map(|t| t.parse().ok()).collect();
        Self {
            inward: globs(&config.inward),
            outward: globs(&config.outward),
        }
    }
}

/// The rules of all zones and peers.
#[derive(Debug, Default)]
pub(crate) struct Hygiene {
    zones: Vec<(Trust, Strips)>,
    /// With the zone that a peer is bound to.
    peers: Option<Networks<(Option<usize>, Strips)>>,
}

/// One end of the way of a message: zone and address.
pub(crate) type End = (usize, IpAddr);

/// What leaves a message on its way.
#[derive(Debug)]
pub(crate) struct Removals<'a> {
    globs: SmallVec<[&'a [Glob]; 4]>,
    /// Identities that nobody has to assert, or to learn.
    identities: bool,
    charging: bool,
}

impl Hygiene {
    pub(crate) fn new(config: &Config) -> Self {
        let zones = config.zones.iter();
        let peers = config.screen.iter().flat_map(|screen| &screen.peers);
        let peers: Networks<_> = peers
            .filter(|peer| peer.strip != StripConfig::default())
            .flat_map(|peer| {
                let networks = peer.source.iter().filter_map(|text| text.parse().ok());
                let rule = (peer.zone, Strips::new(&peer.strip));
                networks.map(move |network| (network, rule.clone()))
            })
            .collect();
        Self {
            zones: zones
                .map(|zone| (zone.trust, Strips::new(&zone.strip)))
                .collect(),
            peers: (!peers.is_empty()).then_some(peers),
        }
    }

    /// What leaves a message between two ends.
    pub(crate) fn removals(&self, message: &Message, from: End, to: End) -> Removals<'_> {
        let mut globs: SmallVec<[&[Glob]; 4]> = SmallVec::new();
        let zone = |end: End| self.zones.get(end.0);
        let peer = |(zone, ip): End| {
            let mut of_ip = self.peers.iter().flat_map(move |peers| peers.of(ip));
            of_ip.find(move |(bound, _)| bound.is_none_or(|bound| bound == zone))
        };
        let inward = [
            zone(from).map(|(_, strips)| strips),
            peer(from).map(|(_, s)| s),
        ];
        let outward = [zone(to).map(|(_, strips)| strips), peer(to).map(|(_, s)| s)];
        globs.extend(inward.into_iter().flatten().map(|strips| &*strips.inward));
        globs.extend(outward.into_iter().flatten().map(|strips| &*strips.outward));
        globs.retain(|list| !list.is_empty());
        let is_strange = |end| zone(end).is_some_and(|(trust, _)| *trust == Trust::Untrusted);
        let from_stranger = is_strange(from);
        Removals {
            globs,
            identities: from_stranger || is_strange(to) && is_private(message),
            charging: from_stranger,
        }
    }
}

impl Removals<'_> {
    /// Nothing does.
    pub(crate) fn is_empty(&self) -> bool {
        self.globs.is_empty() && !self.identities && !self.charging
    }

    /// Whether this header does.
    pub(crate) fn take(&self, id: HeaderId, name: &[u8]) -> bool {
        let is_identity = matches!(
            id,
            HeaderId::PAssertedIdentity | HeaderId::PPreferredIdentity | HeaderId::RemotePartyId
        );
        is_identity && self.identities
            || self.charging && id == HeaderId::Other && is_charging(name)
            || !self.globs.is_empty() && !is_essential(id) && self.matches(full_name(name))
    }

    fn matches(&self, name: &[u8]) -> bool {
        let mut globs = self.globs.iter().copied().flatten();
        globs.any(|glob| glob.matches(name))
    }
}

const CHARGING: &[u8] = b"P-Charging-";

/// Whether a header is about charging in one network (RFC 7315 §4.5, §4.6).
pub(crate) fn is_charging(name: &[u8]) -> bool {
    let start = name.get(..CHARGING.len()).unwrap_or_default();
    start.eq_ignore_ascii_case(CHARGING)
}

/// The sender does not want its identity told to those who are not trusted (RFC 3325 §9.3).
fn is_private(message: &Message) -> bool {
    // Its values are separated by semicolons.
    let mut rows = message.rows(HeaderId::Privacy);
    rows.any(|row| {
        values(&message.bytes, row.value).any(|value| {
            let mut parts = message.text(value).split(|b| *b == b';');
            parts.any(|part| part.trim_ascii().eq_ignore_ascii_case(b"id"))
        })
    })
}

/// Without these a message is none, or is no answer to what it answers.
fn is_essential(id: HeaderId) -> bool {
    matches!(
        id,
        HeaderId::AuthenticationInfo
            | HeaderId::Authorization
            | HeaderId::CallId
            | HeaderId::Contact
            | HeaderId::ContentEncoding
            | HeaderId::ContentLength
            | HeaderId::ContentType
            | HeaderId::CSeq
            | HeaderId::Event
            | HeaderId::From
            | HeaderId::MaxForwards
            | HeaderId::Path
            | HeaderId::ProxyAuthenticate
            | HeaderId::RAck
            | HeaderId::RecordRoute
            | HeaderId::ReferTo
            | HeaderId::Require
            | HeaderId::Route
            | HeaderId::RSeq
            | HeaderId::To
            | HeaderId::Via
            | HeaderId::WwwAuthenticate
    )
}

/// The long form of a name (RFC 3261 §7.3.3 and later RFCs); any other name as it is.
fn full_name(name: &[u8]) -> &[u8] {
    let [single] = name else {
        return name;
    };
    match single.to_ascii_lowercase() {
        b'a' => b"Accept-Contact",
        b'b' => b"Referred-By",
        b'd' => b"Request-Disposition",
        b'j' => b"Reject-Contact",
        b'k' => b"Supported",
        b'n' => b"Identity-Info",
        b's' => b"Subject",
        b'u' => b"Allow-Events",
        b'x' => b"Session-Expires",
        b'y' => b"Identity",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(glob: &str, name: &str) -> bool {
        glob.parse::<Glob>()
            .unwrap()
            .matches(full_name(name.as_bytes()))
    }

    #[test]
    fn star_stands_for_any_letters_and_case_does_not_count() {
        for (glob, name, expected) in [
            ("X-*", "x-account", true),
            ("X-*", "X-", true),
            ("X-*", "AX-1", false),
            ("*-ID", "Session-ID", true),
            ("*-ID", "Session-ID2", false),
            ("P-*-Info", "P-Access-Network-Info", true),
            ("P-*-Info", "P-Info", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("*", "Organization", true),
            ("Subject", "s", true),
            ("s", "SUBJECT", true),
            ("Subject", "Subjects", false),
        ] {
            assert_eq!(takes(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn header_that_no_message_is_without_cannot_be_named() {
        let error = |text: &str| text.parse::<Glob>().unwrap_err();
        assert_eq!(error("Via"), GlobError::Essential("Via".to_owned()));
        assert_eq!(error("i"), GlobError::Essential("i".to_owned()));
        assert_eq!(error("X Y"), GlobError::Name);
        assert_eq!(error(""), GlobError::Name);
        let stars = ["*".parse().unwrap()];
        let all = Removals {
            globs: [&stars[..]].into_iter().collect(),
            identities: false,
            charging: false,
        };
        assert!(all.take(HeaderId::Subject, b"s"));
        assert!(!all.take(HeaderId::Via, b"v"));
    }
}
