//! Requests as types (spec: ng-protocol §2, §6–§9).

use std::net::{IpAddr, SocketAddr};

use crate::flags::{EFFECTIVE_PREFIXES, FlagSet, INERT_PREFIXES, nearest, normalised};
use crate::limits::MAX_IGNORED;
use crate::{Branch, CallId, Command, Dict, Tag, Value, errors, rtpp_flags};

/// A request, as far as the relay acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub command: Command,
    /// `call-id`.
    pub call_id: Option<CallId>,
    /// `from-tag`.
    pub from_tag: Option<Tag>,
    /// `to-tag`.
    pub to_tag: Option<Tag>,
    /// `via-branch`.
    pub via_branch: Option<Branch>,
    /// `sdp`.
    pub sdp: Option<Vec<u8>>,
    /// `flags`.
    pub flags: FlagSet,
    /// `replace`.
    pub replace: Replace,
    /// `rtcp-mux`.
    pub rtcp_mux: RtcpMux,
    /// `transport-protocol`, as written.
    pub transport_protocol: Option<Vec<u8>>,
    /// `address-family`.
    pub address_family: Option<Family>,
    /// `direction`: logical interface towards the sender and towards the receiver.
    pub direction: [Option<String>; 2],
    /// `received-from`.
    pub received_from: Option<IpAddr>,
    /// `label` / `from-label`.
    pub label: Option<Vec<u8>>,
    /// `metadata`.
    pub metadata: Option<Vec<u8>>,
    /// `endpoint-learning`.
    pub endpoint_learning: Option<EndpointLearning>,
    /// `delete-delay` in seconds.
    pub delete_delay: Option<i64>,
    /// `TOS`.
    pub tos: Option<i64>,
    /// `drop-traffic`: start or stop.
    pub drop_traffic: Option<bool>,
    /// `limit` of `list`.
    pub limit: Option<i64>,
    /// `supports` has `load limit`.
    pub supports_load_limit: bool,
    /// Keys, flags and values that mean nothing to the relay; at most [`MAX_IGNORED`].
    pub ignored: Vec<Ignored>,
}

/// `address-family`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `IP4`.
    Ip4,
    /// `IP6`.
    Ip6,
}

/// `endpoint-learning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointLearning {
    /// `off`
    Off,
    /// `immediate`
    Immediate,
    /// `delayed`
    Delayed,
    /// `heuristic`
    Heuristic,
    /// `guarded`
    Guarded,
}

/// `replace`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replace {
    /// `origin`
    pub origin: bool,
    /// `origin-full`
    pub origin_full: bool,
    /// `username`
    pub username: bool,
    /// `session-name`
    pub session_name: bool,
    /// `SDP-version`
    pub sdp_version: bool,
    /// `force-increment-sdp-ver`
    pub force_increment_sdp_ver: bool,
    /// `zero-address`
    pub zero_address: bool,
}

/// `rtcp-mux`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcpMux {
    /// `offer`
    pub offer: bool,
    /// `require`
    pub require: bool,
    /// `demux`
    pub demux: bool,
    /// `accept`
    pub accept: bool,
    /// `reject`
    pub reject: bool,
}

/// Something in a request that the relay does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Where it stood: `key`, `flag`, or the key whose value it is.
    pub place: &'static str,
    /// What it was.
    pub text: String,
    /// The known name that it resembles.
    pub nearest: Option<&'static str>,
}

/// Keys that the relay acts on, normalised.
const KEYS: &[&str] = &[
    "command",
    "call-id",
    "from-tag",
    "to-tag",
    "via-branch",
    "sdp",
    "flags",
    "replace",
    "rtpp-flags",
    "rtcp-mux",
    "transport-protocol",
    "address-family",
    "direction",
    "from-interface",
    "to-interface",
    "received-from",
    "label",
    "from-label",
    "metadata",
    "endpoint-learning",
    "delete-delay",
    "tos",
    "drop-traffic",
    "limit",
    "supports",
];

/// Keys that are known and have no effect yet, normalised.
const INERT_KEYS: &[&str] = &[
    "template",
    "ice",
    "ice-lite",
    "dtls",
    "dtls-reverse",
    "dtls-fingerprint",
    "sdes",
    "osrtp",
    "bundle",
    "inbound-peer",
    "outbound-peer",
    "peer",
    "interface",
    "media-address",
    "set-label",
    "to-label",
    "from-tags",
    "address",
    "all",
    "alias-key",
    "generate-rtcp",
    "media-echo",
    "ptime",
    "ptime-reverse",
    "passthrough",
    "audio-player",
    "record-call",
    "recording-file",
    "output-destination",
    "output-file",
    "recording-dir",
    "recording-path",
    "output-dir",
    "recording-pattern",
    "output-pattern",
    "recording-media-slot-offer",
    "recording-media-slot-answer",
    "recording-media-slots",
    "vsc-start-rec",
    "vsc-stop-rec",
    "vsc-start-stop-rec",
    "vsc-pause-rec",
    "vsc-pause-resume-rec",
    "vsc-start-pause-resume-rec",
    "dtmf-security",
    "dtmf-security-trigger",
    "dtmf-security-trigger-end",
    "trigger",
    "trigger-end",
    "end-trigger",
    "trigger-end-time",
    "trigger-end-digits",
    "delay-buffer",
    "dtmf-delay",
    "digit",
    "code",
    "volume",
    "frequency",
    "frequencies",
    "duration",
    "pause",
    "dtmf-log-dest",
    "file",
    "blob",
    "blob64",
    "db-id",
    "repeat-times",
    "repeat-duration",
    "start-pos",
    "moh",
    "xmlrpc-callback",
    "sip-message-type",
    "sip-code",
    "extmap",
    "codec",
    "codecs",
    "t38",
    "t.38",
    "t38-version",
    "sdp-attr",
    "sdp-media-remove",
    "source-tag",
    "source-call-id",
    "to-call-id",
    "calls",
    "tags",
    "medias",
    "media",
    "instance",
    "body",
    "repacketize",
];

impl Request {
    /// Reads a message.
    ///
    /// # Errors
    /// The words for the reply: no command, or none of this name. Nothing else can fail; what is
    /// not understood is in `ignored`.
    pub fn from_dict(dict: &Dict) -> Result<Self, &'static str> {
        let command = dict
            .get("command")
            .and_then(Value::as_bytes)
            .ok_or(errors::NO_COMMAND)?;
        let command = Command::from_bytes(command).ok_or(errors::UNKNOWN_COMMAND)?;
        let mut request = Self {
            command,
            call_id: None,
            from_tag: None,
            to_tag: None,
            via_branch: None,
            sdp: None,
            flags: FlagSet::default(),
            replace: Replace::default(),
            rtcp_mux: RtcpMux::default(),
            transport_protocol: None,
            address_family: None,
            direction: [None, None],
            received_from: None,
            label: None,
            metadata: None,
            endpoint_learning: None,
            delete_delay: None,
            tos: None,
            drop_traffic: None,
            limit: None,
            supports_load_limit: false,
            ignored: Vec::new(),
        };
        for (key, value) in dict.iter() {
            request.read_key(key, value);
        }
        Ok(request)
    }

    /// The address to use in place of the SDP's, when the request says so.
    pub fn sip_source_address(&self) -> Option<IpAddr> {
        self.received_from
            .filter(|_| self.flags.sip_source_address && !self.flags.trust_address)
    }

    fn read_key(&mut self, key: &[u8], value: &Value) {
        let name = normalised(key);
        let bytes = || value.as_bytes().map(<[u8]>::to_vec);
        match name.as_slice() {
            b"command" => {}
            b"call-id" => {
                self.call_id = value
                    .as_bytes()
                    .map(CallId::from)
                    .or_else(|| self.call_id.take())
            }
            b"from-tag" => {
                self.from_tag = value
                    .as_bytes()
                    .map(Tag::from)
                    .or_else(|| self.from_tag.take())
            }
            b"to-tag" => {
                self.to_tag = value
                    .as_bytes()
                    .map(Tag::from)
                    .or_else(|| self.to_tag.take())
            }
            b"via-branch" => {
                let branch = value.as_bytes().filter(|branch| !branch.is_empty());
                self.via_branch = branch.map(Branch::from).or_else(|| self.via_branch.take());
            }
            b"sdp" => self.sdp = bytes().or_else(|| self.sdp.take()),
            b"flags" => each(value, |flag| self.read_flag(flag)),
            b"replace" => each(value, |option| self.read_replace(option)),
            b"rtcp-mux" => each(value, |option| self.read_rtcp_mux(option)),
            b"rtpp-flags" => {
                if let Some(text) = value.as_bytes() {
                    self.read_rtpp_flags(text);
                }
            }
            b"transport-protocol" => self.transport_protocol = bytes(),
            b"address-family" => {
                self.address_family = match value.as_bytes().map(normalised).as_deref() {
                    Some(b"ip4") => Some(Family::Ip4),
                    Some(b"ip6") => Some(Family::Ip6),
                    _ => self.ignore_value("address-family", value),
                };
            }
            b"direction" => {
                let mut names = Vec::new();
                each(value, |name| names.push(name_of(name)));
                for (slot, name) in self.direction.iter_mut().zip(names) {
                    *slot = Some(name);
                }
            }
            b"from-interface" => self.set_interface(0, value),
            b"to-interface" => self.set_interface(1, value),
            b"received-from" => self.received_from = address_of(value).or(self.received_from),
            b"label" | b"from-label" => self.label = bytes(),
            b"metadata" => self.metadata = bytes(),
            b"endpoint-learning" => {
                if let Some(mode) = value.as_bytes() {
                    self.read_learning(mode);
                }
            }
            b"delete-delay" => self.delete_delay = value.as_int().or(self.delete_delay),
            b"tos" => self.tos = value.as_int().or(self.tos),
            b"limit" => self.limit = value.as_int().or(self.limit),
            b"drop-traffic" => {
                self.drop_traffic = match value.as_bytes().map(normalised).as_deref() {
                    Some(b"start") => Some(true),
                    Some(b"stop") => Some(false),
                    _ => self.ignore_value("drop-traffic", value),
                };
            }
            b"supports" => each(value, |feature| {
                self.supports_load_limit |= normalised(feature) == b"load-limit";
            }),
            other if INERT_KEYS.iter().any(|known| known.as_bytes() == other) => {}
            other => {
                let known = KEYS.iter().chain(INERT_KEYS).copied();
                self.ignore("key", key, nearest(other, known));
            }
        }
    }

    fn set_interface(&mut self, index: usize, value: &Value) {
        if let (Some(name), Some(slot)) = (value.as_bytes(), self.direction.get_mut(index)) {
            *slot = Some(name_of(name));
        }
    }

    fn read_flag(&mut self, flag: &[u8]) {
        let name = normalised(flag);
        if self.flags.set(&name) {
            return;
        }
        for (prefix, group) in EFFECTIVE_PREFIXES {
            if let Some(option) = name.strip_prefix(prefix.as_bytes()) {
                match *group {
                    "replace" => self.read_replace(option),
                    "rtcp-mux" => self.read_rtcp_mux(option),
                    _ => self.read_learning(option),
                }
                return;
            }
        }
        if !INERT_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix.as_bytes()))
        {
            self.ignore("flag", flag, nearest(&name, FlagSet::NAMES.iter().copied()));
        }
    }

    fn read_replace(&mut self, option: &[u8]) {
        let replace = &mut self.replace;
        match normalised(option).as_slice() {
            b"origin" => replace.origin = true,
            b"origin-full" => replace.origin_full = true,
            b"username" => replace.username = true,
            b"session-name" => replace.session_name = true,
            b"sdp-version" => replace.sdp_version = true,
            b"force-increment-sdp-ver" => replace.force_increment_sdp_ver = true,
            b"zero-address" => replace.zero_address = true,
            // c= lines are always new; older proxies' scripts still ask for it.
            b"session-connection" => {}
            other => {
                let known = [
                    "origin",
                    "origin-full",
                    "username",
                    "session-name",
                    "sdp-version",
                    "force-increment-sdp-ver",
                    "zero-address",
                ];
                self.ignore("replace", option, nearest(other, known));
            }
        }
    }

    fn read_rtcp_mux(&mut self, option: &[u8]) {
        let mux = &mut self.rtcp_mux;
        match normalised(option).as_slice() {
            b"offer" => mux.offer = true,
            b"require" => mux.require = true,
            b"demux" => mux.demux = true,
            b"accept" => mux.accept = true,
            b"reject" => mux.reject = true,
            other => {
                let known = ["offer", "require", "demux", "accept", "reject"];
                self.ignore("rtcp-mux", option, nearest(other, known));
            }
        }
    }

    fn read_learning(&mut self, mode: &[u8]) {
        self.endpoint_learning = match normalised(mode).as_slice() {
            b"off" => Some(EndpointLearning::Off),
            b"immediate" => Some(EndpointLearning::Immediate),
            b"delayed" => Some(EndpointLearning::Delayed),
            b"heuristic" => Some(EndpointLearning::Heuristic),
            b"guarded" => Some(EndpointLearning::Guarded),
            other => {
                let known = ["off", "immediate", "delayed", "heuristic", "guarded"];
                self.ignore("endpoint-learning", mode, nearest(other, known));
                return;
            }
        };
    }

    /// One string with everything in it (ng-protocol §9).
    fn read_rtpp_flags(&mut self, text: &[u8]) {
        let mut transport = rtpp_flags::TransportBits::default();
        for token in rtpp_flags::tokens(text) {
            match token {
                rtpp_flags::Token::Flag(flag) => {
                    if transport.read(flag) {
                        continue;
                    }
                    match normalised(flag).as_slice() {
                        b"internal" | b"external" => self.add_direction(flag),
                        _ => self.read_flag(flag),
                    }
                }
                rtpp_flags::Token::Pair(key, value) => match normalised(key).as_slice() {
                    b"direction" => match value.as_bytes() {
                        Some(name) => self.add_direction(name),
                        None => self.read_key(key, &value),
                    },
                    b"to-tag" => {
                        self.flags.to_tag = true;
                        self.read_key(key, &value);
                    }
                    b"from-tag" => {
                        self.flags.directional = true;
                        self.read_key(key, &value);
                    }
                    b"rtpp-flags" => {}
                    _ => self.read_key(key, &value),
                },
            }
        }
        if let Some(name) = transport.name() {
            self.transport_protocol = Some(name.as_bytes().to_vec());
        }
    }

    fn add_direction(&mut self, name: &[u8]) {
        match self.direction.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(name_of(name)),
            None => self.ignore("direction", name, None),
        }
    }

    fn ignore(&mut self, place: &'static str, text: &[u8], nearest: Option<&'static str>) {
        if self.ignored.len() < MAX_IGNORED {
            let text = text
                .get(..text.len().min(64))
                .unwrap_or_default()
                .escape_ascii();
            self.ignored.push(Ignored {
                place,
                text: text.to_string(),
                nearest,
            });
        }
    }

    fn ignore_value<T>(&mut self, place: &'static str, value: &Value) -> Option<T> {
        self.ignore(place, value.as_bytes().unwrap_or_default(), None);
        None
    }
}

/// Calls `read` for every string of a list, or for every part of one string split at commas.
fn each(value: &Value, mut read: impl FnMut(&[u8])) {
    match value {
        Value::List(list) => list.iter().filter_map(Value::as_bytes).for_each(read),
        Value::Bytes(bytes) => {
            for part in bytes.split(|&byte| byte == b',') {
                if !part.is_empty() {
                    read(part);
                }
            }
        }
        Value::Int(_) | Value::Dict(_) => {}
    }
}

fn name_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `[family, address]`, or the address alone.
fn address_of(value: &Value) -> Option<IpAddr> {
    let text = match value {
        Value::List(list) => list.iter().rev().find_map(Value::as_str)?,
        other => other.as_str()?,
    };
    let text = text.trim_start_matches('[').trim_end_matches(']');
    text.parse()
        .ok()
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}
