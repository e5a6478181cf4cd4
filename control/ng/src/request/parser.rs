//! Turns the keys of a decoded dictionary into a [`Request`].

use super::{
    Branch, CallId, CodecSpec, Command, Flag, Request, SdpBody, TransportProtocol, What,
    codec::{CodecList, ExtmapList},
    flag_value,
    ignored::IgnoredList,
    key::RequestKey,
    medias,
    options::{BundleValue, DtlsValue, IceValue, OsrtpValue, RtcpMuxValue, T38Value},
    read::{ip, lossy, name, push, text, update},
    rtpp_flags,
    sdes::SdesValue,
    templates::Templates,
    transport_protocol::TransportBits,
};
use crate::{errors, limits::TEMPLATE_DEPTH, names::same, tape::Node};

/// Reasons why a decoded dictionary is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// `medias` has a destination that is no endpoint.
    #[error("{0}")]
    Destination(&'static str),
    /// An entry of `tags` names no party.
    #[error("{0}")]
    Mesh(&'static str),
    /// No key `command`, or one that is no string.
    #[error("{}", errors::NO_COMMAND)]
    NoCommand,
    /// `sdp-attr` or `sdp-media-remove` is malformed.
    #[error("{0}")]
    SdpManipulation(&'static str),
    /// A command outside the protocol.
    #[error("{}", errors::UNRECOGNIZED_COMMAND)]
    UnknownCommand,
}

impl ParseError {
    /// The `error-reason` of the reply.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoCommand => errors::NO_COMMAND,
            Self::UnknownCommand => errors::UNRECOGNIZED_COMMAND,
            Self::Destination(reason) | Self::Mesh(reason) | Self::SdpManipulation(reason) => {
                reason
            }
        }
    }
}

impl Request {
    /// Reads a decoded dictionary. Templates apply first: `default`, then the one named like the
    /// command; then the keys in order.
    ///
    /// # Errors
    /// Without a known command, and for malformed SDP manipulations and destinations.
    pub fn parse(node: Node<'_>, templates: &Templates) -> Result<Self, ParseError> {
        let command = node.get(b"command").or_else(|| {
            let mut entries = node.entries();
            entries
                .find(|(key, _)| same(key, b"command"))
                .map(|(_, value)| value)
        });
        let command = command
            .and_then(Node::as_bytes)
            .ok_or(ParseError::NoCommand)?;
        let command = Command::from_bytes(command).ok_or(ParseError::UnknownCommand)?;
        let mut parser = Parser::new(command, templates);
        if command.takes_options() {
            for name in ["default", command.name()] {
                if let Some(template) = templates.get(name.as_bytes()) {
                    rtpp_flags::apply(&mut parser, template)?;
                }
            }
            for (key, value) in node.entries() {
                parser.key(key, value)?;
            }
        } else {
            for (key, value) in node.entries() {
                parser.raw_key(key, value);
            }
        }
        Ok(parser.finish())
    }
}

/// A request being read.
pub(super) struct Parser<'p> {
    pub(super) request: Request,
    pub(super) ignored: IgnoredList,
    /// Sum of the bare transport tokens of a §9 string so far.
    pub(super) transport: TransportBits,
    /// Inside a string of §9: how many interfaces it named singly. Outside: `None`.
    pub(super) string_directions: Option<usize>,
    templates: &'p Templates,
    template_depth: usize,
}

impl<'p> Parser<'p> {
    pub(super) fn new(command: Command, templates: &'p Templates) -> Self {
        Self {
            request: Request::new(command),
            ignored: IgnoredList::default(),
            transport: TransportBits::default(),
            string_directions: None,
            templates,
            template_depth: 0,
        }
    }

    pub(super) fn finish(self) -> Request {
        Request {
            ignored: self.ignored.0,
            ..self.request
        }
    }

    /// The few keys of commands that do not take options.
    fn raw_key(&mut self, key: &[u8], value: Node<'_>) {
        let request = &mut self.request;
        match RequestKey::lookup(key) {
            Some(RequestKey::CallId) => {
                update(&mut request.call_id, value.as_bytes().map(CallId::from))
            }
            Some(RequestKey::FromTag) => update(&mut request.from_tag, name(value)),
            Some(RequestKey::ToTag) => update(&mut request.to_tag, name(value)),
            Some(RequestKey::Limit) => update(&mut request.limit, value.to_int()),
            Some(RequestKey::Body) => update(&mut request.rare.body, text(value)),
            _ => {}
        }
    }

    /// Reads one key of the dictionary, or of a §9 string.
    pub(super) fn key(&mut self, key: &[u8], value: Node<'_>) -> Result<(), ParseError> {
        match RequestKey::lookup(key) {
            Some(known) => self.known_key(known, value),
            None => {
                match codec_shorthand(key) {
                    Some(list) => self.codec_list(list, value),
                    None => self.ignored.push(What::Key, key, RequestKey::SPELLINGS),
                }
                Ok(())
            }
        }
    }

    fn known_key(&mut self, key: RequestKey, value: Node<'_>) -> Result<(), ParseError> {
        use RequestKey as K;
        let request = &mut self.request;
        match key {
            K::Command => {}
            K::CallId => update(&mut request.call_id, value.as_bytes().map(CallId::from)),
            K::FromTag => {
                update(&mut request.from_tag, name(value));
                if self.string_directions.is_some() {
                    request.flags.insert(Flag::Directional);
                }
            }
            K::ToTag => {
                update(&mut request.to_tag, name(value));
                if self.string_directions.is_some() {
                    request.flags.insert(Flag::ToTag);
                }
            }
            K::ViaBranch => update(&mut request.via_branch, name::<Branch>(value)),
            K::Sdp => update(&mut request.sdp, value.as_bytes().map(SdpBody::from)),
            K::Flags => {
                for flag in value.strings() {
                    flag_value::apply(self, flag);
                }
            }
            K::RtppFlags => {
                if let Some(string) = value.as_bytes() {
                    rtpp_flags::apply(self, string)?;
                }
            }
            K::Template => {
                if let Some(name) = value.as_bytes() {
                    self.template(name)?;
                }
            }
            K::Direction => self.direction(value),
            K::TransportProtocol => self.transport_protocol(value),
            K::ReceivedFrom => update(&mut request.received_from, received_from(value)),
            K::Supports => {
                for feature in value.strings() {
                    if same(feature, b"load-limit") {
                        self.request.supports_load_limit = true;
                    } else {
                        self.ignored_value("supports", feature, &["load limit"]);
                    }
                }
            }
            K::Codec => self.codec(value),
            K::Extmap => self.extmap(value),
            K::SdpAttr => request
                .sdp_attr
                .apply(value)
                .map_err(ParseError::SdpManipulation)?,
            K::SdpMediaRemove => {
                if !value.is_list() && value.as_bytes().is_none() {
                    return Err(ParseError::SdpManipulation(errors::WRONG_TYPE));
                }
                for kind in value.strings() {
                    push(
                        &mut request.sdp_media_remove,
                        lossy(kind).to_ascii_lowercase(),
                    );
                }
            }
            K::Tags => request.rare.tags = medias::mesh(value).map_err(ParseError::Mesh)?,
            K::Medias => {
                request.rare.medias = medias::read(value).map_err(ParseError::Destination)?;
            }
            _ if self.group(key, value) => {}
            _ => self.scalar(key, value),
        }
        Ok(())
    }

    /// Lists of keywords (§8). `false` if the key is none of them.
    fn group(&mut self, key: RequestKey, value: Node<'_>) -> bool {
        use RequestKey as K;
        type Apply = fn(&mut Request, &[u8]) -> bool;
        let (apply, group, known): (Apply, _, _) = match key {
            K::Replace => (
                |r, v| r.replace.apply(v),
                "replace",
                super::ReplaceSet::SPELLINGS,
            ),
            K::Ice => (
                |r, v| r.ice.apply(&mut r.ice_lite, v),
                "ICE",
                IceValue::SPELLINGS,
            ),
            K::RtcpMux => (
                |r, v| r.rtcp_mux.apply(v),
                "rtcp-mux",
                RtcpMuxValue::SPELLINGS,
            ),
            K::Bundle => (|r, v| r.bundle.apply(v), "BUNDLE", BundleValue::SPELLINGS),
            K::Sdes => (|r, v| r.sdes.apply(v), "SDES", SdesValue::SPELLINGS),
            K::Dtls => (|r, v| r.dtls.apply(v), "DTLS", DtlsValue::SPELLINGS),
            K::Osrtp => (|r, v| r.osrtp.apply(v), "OSRTP", OsrtpValue::SPELLINGS),
            K::T38 => (|r, v| r.t38.apply(v), "T38", T38Value::SPELLINGS),
            _ => return false,
        };
        for word in value.strings() {
            if !apply(&mut self.request, word) {
                self.ignored_value(group, word, known);
            }
        }
        true
    }

    pub(super) fn ignored_value(
        &mut self,
        group: &'static str,
        value: &[u8],
        known: &'static [&'static str],
    ) {
        self.ignored.push(What::Value { group }, value, known);
    }

    fn template(&mut self, name: &[u8]) -> Result<(), ParseError> {
        match self.templates.get(name) {
            Some(string) if self.template_depth < TEMPLATE_DEPTH => {
                self.template_depth += 1;
                let applied = rtpp_flags::apply(self, string);
                self.template_depth -= 1;
                applied
            }
            _ => {
                self.ignored.push(What::Template, name, &[]);
                Ok(())
            }
        }
    }

    /// A list names both interfaces; in a string of §9, single ones fill the next place.
    fn direction(&mut self, value: Node<'_>) {
        match (value.as_bytes(), self.string_directions) {
            (Some(one), Some(_)) => self.next_direction(one),
            _ => {
                for (slot, interface) in self.request.direction.iter_mut().zip(value.strings()) {
                    *slot = Some(lossy(interface));
                }
            }
        }
    }

    /// Takes one interface of a §9 string.
    pub(super) fn next_direction(&mut self, interface: &[u8]) {
        let at = self.string_directions.unwrap_or(0);
        match self.request.direction.get_mut(at) {
            Some(slot) => {
                *slot = Some(lossy(interface));
                self.string_directions = Some(at + 1);
            }
            None => self.ignored_value("direction", interface, &[]),
        }
    }

    fn transport_protocol(&mut self, value: Node<'_>) {
        let Some(word) = value.as_bytes() else { return };
        self.transport = TransportBits::default();
        if word.eq_ignore_ascii_case(b"accept") {
            self.request.transport_protocol_accept = true;
        } else if let Some(protocol) = TransportProtocol::from_bytes(word) {
            self.request.transport_protocol = Some(protocol);
        } else {
            self.ignored_value(
                "transport-protocol",
                word,
                &[
                    "rtp/avp",
                    "rtp/savp",
                    "rtp/avpf",
                    "rtp/savpf",
                    "udp/tls/rtp/savp",
                    "udp/tls/rtp/savpf",
                    "udptl",
                    "accept",
                ],
            );
        }
    }

    fn codec(&mut self, value: Node<'_>) {
        for (list, codecs) in value.entries() {
            match CodecList::lookup(list) {
                Some(list) => self.codec_list(list, codecs),
                None => self.ignored_value("codec", list, CodecList::SPELLINGS),
            }
        }
    }

    fn codec_list(&mut self, list: CodecList, codecs: Node<'_>) {
        for codec in codecs.strings() {
            self.codec_value(list, codec);
        }
    }

    /// Adds one codec to one list, if the command can transcode or the list needs no transcoding.
    pub(super) fn codec_value(&mut self, list: CodecList, codec: &[u8]) {
        if !list.is_transcoding() || self.request.command.takes_transcoding() {
            push(list.of(&mut self.request.codec), CodecSpec::parse(codec));
        }
    }

    fn extmap(&mut self, value: Node<'_>) {
        for (list, uris) in value.entries() {
            let target = match ExtmapList::lookup(list) {
                Some(ExtmapList::Strip) => &mut self.request.extmap.strip,
                Some(ExtmapList::Mask) => &mut self.request.extmap.mask,
                None => {
                    self.ignored_value("extmap", list, ExtmapList::SPELLINGS);
                    continue;
                }
            };
            for uri in uris.strings() {
                push(target, lossy(uri));
            }
        }
    }
}

/// `codec-strip`, `transcode`, ... used as a key of their own.
fn codec_shorthand(key: &[u8]) -> Option<CodecList> {
    let prefix = b"codec-";
    match key.split_at_checked(prefix.len()) {
        Some((head, list)) if same(head, prefix) => CodecList::lookup(list),
        _ => CodecList::lookup(key),
    }
}

/// `[family, address]`, or the address alone.
fn received_from(value: Node<'_>) -> Option<std::net::IpAddr> {
    match value.as_bytes() {
        Some(address) => ip(address),
        None => value.members().filter_map(Node::as_bytes).find_map(ip),
    }
}
