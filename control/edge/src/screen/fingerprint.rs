//! Fingerprints of scanners (spec §12, stage 5).

use std::hash::Hasher as _;

use regex::bytes::{RegexSet, RegexSetBuilder};
use siphasher::sip::SipHasher24;

use super::Seen;
use crate::limits;

/// Patterns of one part of a message: texts that it is, and regular expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patterns {
    /// Adds the list that comes with the edge. Default on.
    pub(crate) use_shipped: bool,
    /// Regular expressions, searched in the value.
    pub(crate) user_agent: Vec<String>,
    pub(crate) call_id: Vec<String>,
    /// Exact values, compared without case for hosts, with case for users.
    pub(crate) from_user: Vec<String>,
    pub(crate) from_host: Vec<String>,
    pub(crate) to_user: Vec<String>,
    pub(crate) to_host: Vec<String>,
    pub(crate) contact_user: Vec<String>,
    pub(crate) contact_host: Vec<String>,
    pub(crate) ruri_user: Vec<String>,
    /// Values of [`header_order`].
    pub(crate) header_order: Vec<u64>,
}

impl Default for Patterns {
    fn default() -> Self {
        Self {
            use_shipped: true,
            user_agent: Vec::new(),
            call_id: Vec::new(),
            from_user: Vec::new(),
            from_host: Vec::new(),
            to_user: Vec::new(),
            to_host: Vec::new(),
            contact_user: Vec::new(),
            contact_host: Vec::new(),
            ruri_user: Vec::new(),
            header_order: Vec::new(),
        }
    }
}

/// Why patterns cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("{field}: {reason}")]
    Regex { field: &'static str, reason: String },
    #[error("{field}: {count} patterns, at most {most} are taken", most = limits::PATTERNS)]
    TooMany { field: &'static str, count: usize },
}

/// The patterns, compiled.
#[derive(Debug)]
pub(crate) struct Fingerprints {
    user_agent: RegexSet,
    call_id: RegexSet,
    display: RegexSet,
    patterns: Patterns,
}

impl Fingerprints {
    /// Compiles each pattern once. Searching is linear in the value, whatever the pattern.
    pub(crate) fn compile(mut patterns: Patterns) -> Result<Self, PatternError> {
        let mut display = Vec::new();
        if patterns.use_shipped {
            let agents = SHIPPED_AGENTS.iter().map(|p| (*p).to_owned());
            patterns.user_agent.extend(agents);
            patterns.from_host.push("1.1.1.1".to_owned());
            patterns.from_user.push("nm".to_owned());
            display.push("(?i)sipvicious".to_owned());
        }
        Ok(Self {
            user_agent: compile("user_agent", &patterns.user_agent)?,
            call_id: compile("call_id", &patterns.call_id)?,
            display: compile("display", &display)?,
            patterns,
        })
    }

    /// What gives the message away, if anything does.
    pub(crate) fn find(&self, seen: &Seen<'_>) -> Option<&'static str> {
        let matches = |set: &RegexSet, value: &[u8]| {
            let value = value.get(..limits::MATCHED_BYTES).unwrap_or(value);
            !value.is_empty() && !set.is_empty() && set.is_match(value)
        };
        let p = &self.patterns;
        let user = |list: &[String], value: &[u8]| list.iter().any(|v| v.as_bytes() == value);
        let host = |list: &[String], value: &[u8]| {
            list.iter()
                .any(|v| v.as_bytes().eq_ignore_ascii_case(value))
        };
        if matches(&self.user_agent, seen.user_agent) {
            Some("User-Agent")
        } else if host(&p.from_host, seen.from_host) {
            Some("From host")
        } else if user(&p.from_user, seen.from_user) {
            Some("From user")
        } else if matches(&self.display, seen.from_display) {
            Some("From display name")
        } else if user(&p.to_user, seen.to_user) || host(&p.to_host, seen.to_host) {
            Some("To")
        } else if user(&p.contact_user, seen.contact_user)
            || host(&p.contact_host, seen.contact_host)
        {
            Some("Contact")
        } else if user(&p.ruri_user, seen.ruri_user) {
            Some("Request-URI user")
        } else if matches(&self.call_id, seen.call_id) {
            Some("Call-ID")
        } else if p.header_order.contains(&seen.header_order) {
            Some("header order")
        } else {
            None
        }
    }
}

fn compile(field: &'static str, patterns: &[String]) -> Result<RegexSet, PatternError> {
    if patterns.len() > limits::PATTERNS {
        let count = patterns.len();
        return Err(PatternError::TooMany { field, count });
    }
    RegexSetBuilder::new(patterns)
        .unicode(false)
        .size_limit(limits::PATTERN_BYTES)
        .dfa_size_limit(limits::PATTERN_BYTES)
        .build()
        .map_err(|error| PatternError::Regex {
            field,
            reason: error.to_string(),
        })
}

/// A number for the names of a message's headers in their order, without case: software writes
/// them the same way each time. It stays the same from version to version.
pub(crate) fn header_order<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0, 0);
    for name in names {
        for byte in name {
            hasher.write_u8(byte.to_ascii_lowercase());
        }
        hasher.write_u8(b'\n');
    }
    hasher.finish()
}

/// User-Agents of scanners (spec §12).
const SHIPPED_AGENTS: [&str; 11] = [
    "(?i)friendly-scanner",
    "(?i)sipvicious",
    "(?i)^sipcli",
    "(?i)sundayddr",
    "(?i)^sipsak",
    "VaxSIPUserAgent",
    "^iWar",
    "(?i)^sivus",
    "(?i)^smap",
    "(?i)^pplsip",
    r"(?i)^VoIP SIP v1[0-9x]",
];
