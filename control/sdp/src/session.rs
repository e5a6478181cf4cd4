//! A received description: session parts and media (RFC 8866 §5).

use std::net::IpAddr;
use std::sync::Arc;

use crate::attribute::{Attribute, AttributeClass, Bandwidth};
use crate::error::{ParseError, Reason};
use crate::limits::Limits;
use crate::media::Media;
use crate::text::Text;
use crate::write::print::write_address;

/// Parser options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// A piece of a description (trickle ICE, RFC 8840): the first line need not be `v=0`.
    pub fragment: bool,
    /// An empty line is an error; otherwise it ends the description.
    pub reject_invalid: bool,
    /// The bounds.
    pub limits: Limits,
}

/// A parsed description. Nothing in it has been rewritten; session values have been filled in
/// where a media falls back to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionDescription {
    /// Session parts, one per `v=` line (nearly always one). Never empty after parsing.
    pub parts: Vec<SessionPart>,
    /// The media of all parts in order.
    pub media: Vec<Media>,
    /// One byte stood behind the last complete line and was ignored (spec: ng-protocol §2).
    pub has_stray_byte: bool,
}

/// The lines from a `v=` to the first `m=`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPart {
    /// `o=`.
    pub origin: Option<Origin>,
    /// `s=`, may be empty.
    pub name: Option<Text>,
    /// `i=`.
    pub info: Option<Text>,
    /// `u=`.
    pub uri: Option<Text>,
    /// `e=`, each.
    pub emails: Vec<Text>,
    /// `p=`, each.
    pub phones: Vec<Text>,
    /// `c=`.
    pub connection: Option<IpAddr>,
    /// `b=`.
    pub bandwidth: Bandwidth,
    /// The first `t=`.
    pub timing: Option<Text>,
    /// Whole lines that the reference drops: `k=`, `r=`, `z=` and any further `t=`.
    pub retained: Vec<Text>,
    /// `a=group:BUNDLE`, the mids of each.
    pub bundle_groups: Vec<Vec<Text>>,
    /// Values of `a=rtpengine:`, by which a relay knows its own output.
    pub loop_ids: Vec<Text>,
    /// Every attribute in order.
    pub attributes: Vec<Attribute>,
}

impl SessionPart {
    /// The attributes that are carried as they are, in order.
    pub fn generics(&self) -> impl Iterator<Item = &Attribute> {
        let is_generic = |attribute: &&Attribute| attribute.class == AttributeClass::Generic;
        self.attributes.iter().filter(is_generic)
    }

    /// The same with those only [`crate::write::Carry::All`] carries.
    pub fn generics_and_retained(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| {
            matches!(
                attribute.class,
                AttributeClass::Generic | AttributeClass::Retained
            )
        })
    }
}

impl SessionDescription {
    /// Parses a copy of `input` up to its first empty line.
    ///
    /// # Errors
    /// The faults of [`Reason`]. A typed attribute that makes no sense is no error: it is dropped.
    pub fn parse(input: &[u8], options: ParseOptions) -> Result<Self, ParseError> {
        Self::parse_shared(&input.into(), options)
    }

    /// Parses `input` up to its first empty line, without a copy: every [`Text`] of the description
    /// is a slice of it.
    ///
    /// # Errors
    /// As [`SessionDescription::parse`].
    pub fn parse_shared(input: &Arc<[u8]>, options: ParseOptions) -> Result<Self, ParseError> {
        crate::parser::Parser::new(input, options)?.parse()
    }

    /// The `o=` that counts: of the first part that has one.
    pub fn origin(&self) -> Option<&Origin> {
        self.parts.iter().find_map(|part| part.origin.as_ref())
    }

    /// The `s=` that counts: of the last part that has one.
    pub fn name(&self) -> Option<&Text> {
        self.parts.iter().rev().find_map(|part| part.name.as_ref())
    }

    /// The part whose info, timing and attributes count: the last.
    pub fn last_part(&self) -> Option<&SessionPart> {
        self.parts.last()
    }

    /// The part `media` stands in.
    pub fn part_of(&self, media: &Media) -> Option<&SessionPart> {
        self.parts.get(media.part)
    }

    /// The connection address of `media`: its own, else that of its part.
    ///
    /// # Errors
    /// [`ParseError::is_incomplete`] if neither has one.
    pub fn address_of(&self, media: &Media) -> Result<IpAddr, ParseError> {
        media
            .connection
            .or_else(|| self.part_of(media)?.connection)
            .ok_or_else(|| ParseError::new(media.line, Reason::NoAddress))
    }

    /// All `a=rtpengine:` values.
    pub fn loop_ids(&self) -> impl Iterator<Item = &Text> {
        self.parts.iter().flat_map(|part| &part.loop_ids)
    }

    /// All BUNDLE groups.
    pub fn bundle_groups(&self) -> impl Iterator<Item = &[Text]> {
        self.parts
            .iter()
            .flat_map(|part| part.bundle_groups.iter().map(Vec::as_slice))
    }
}

/// `o=` (RFC 8866 §5.2). Numbers stay text: they may exceed 64 bits, and the address may be a
/// name or nonsense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Often `-`.
    pub username: Text,
    /// Identifies the session together with username and address.
    pub session_id: Text,
    /// Grows with every change of the description.
    pub version: Text,
    /// `IN`.
    pub network: Text,
    /// `IP4` or `IP6`.
    pub family: Text,
    /// Address as received.
    pub address: Text,
}

impl Origin {
    /// `- 0 0 IN IP4 0.0.0.0`, for a description whose author gave none.
    pub fn unknown() -> Self {
        Self {
            username: "-".into(),
            session_id: "0".into(),
            version: "0".into(),
            network: "IN".into(),
            family: "IP4".into(),
            address: "0.0.0.0".into(),
        }
    }

    /// The same in a buffer of its own, which keeps no longer text alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        let fields = [
            &self.username,
            &self.session_id,
            &self.version,
            &self.network,
            &self.family,
            &self.address,
        ];
        let bytes: Vec<u8> = fields
            .iter()
            .flat_map(|field| field.as_bytes())
            .copied()
            .collect();
        let all = Text::from(bytes);
        let mut end = 0;
        let [username, session_id, version, network, family, address] = fields.map(|field| {
            let start = end;
            end += field.len();
            all.part(start..end)
        });
        Self {
            username,
            session_id,
            version,
            network,
            family,
            address,
        }
    }

    /// Puts in an address together with its family.
    pub fn set_address(&mut self, address: IpAddr) {
        let family = family_name(address).as_bytes();
        let mut line = Vec::with_capacity(64);
        line.extend_from_slice(b"IN");
        line.extend_from_slice(family);
        write_address(&mut line, address);
        // One text for the three.
        let line = Text::from(line.as_slice());
        self.network = line.part(0..2);
        self.family = line.part(2..2 + family.len());
        self.address = line.part(2 + family.len()..line.len());
    }

    /// The address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.as_str()?.parse().ok()
    }

    /// Adds one to the version; a version that is no number becomes 1.
    pub fn increment_version(&mut self) {
        let old = self.version.as_bytes();
        if old.is_empty() || !old.iter().all(u8::is_ascii_digit) {
            self.version = "1".into();
            return;
        }
        let mut digits = old.to_vec();
        for digit in digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                self.version = digits.into();
                return;
            }
            *digit = b'0';
        }
        digits.insert(0, b'1');
        self.version = digits.into();
    }
}

/// `IP4` or `IP6`.
pub(crate) fn family_name(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}
