//! What a story is about: flags and keys of the requests, habits of the phones.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use windlass_ng::{Dict, Value};

use super::phone::{Hold, Kind, Phone, Security};
use super::unsent::{NOT_SENT, Rule};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Replace,
    Mux,
    Ice,
    Security,
    Opportunistic,
    Codecs,
    Interfaces,
    Family,
    MediaAddress,
    Sources,
    OriginalDirections,
    LoopProtect,
    Mids,
    RtcpAttribute,
    SignalledSource,
    Hold,
    Lines,
    Forks,
    Moves,
    Deletes,
    Queries,
    Pauses,
}

pub(super) const TOPICS: [Topic; 22] = [
    Topic::Replace,
    Topic::Mux,
    Topic::Ice,
    Topic::Security,
    Topic::Opportunistic,
    Topic::Codecs,
    Topic::Interfaces,
    Topic::Family,
    Topic::MediaAddress,
    Topic::Sources,
    Topic::OriginalDirections,
    Topic::LoopProtect,
    Topic::Mids,
    Topic::RtcpAttribute,
    Topic::SignalledSource,
    Topic::Hold,
    Topic::Lines,
    Topic::Forks,
    Topic::Moves,
    Topic::Deletes,
    Topic::Queries,
    Topic::Pauses,
];

/// Lists and keys of a request to be.
#[derive(Clone, Default)]
pub(super) struct Keys {
    pub(super) flags: Vec<&'static str>,
    lists: Vec<(&'static str, Vec<&'static str>)>,
    single: Vec<(&'static str, Value)>,
}

impl Keys {
    pub(super) fn extend(&mut self, more: &Self) {
        self.flags.extend(&more.flags);
        self.lists.extend(more.lists.iter().cloned());
        self.single.extend(more.single.iter().cloned());
    }

    /// Whether a key has this word as its value.
    pub(super) fn says(&self, word: &str) -> bool {
        self.single
            .iter()
            .any(|(_, value)| value.as_str() == Some(word))
    }

    fn list(&mut self, key: &'static str, values: Vec<&'static str>) {
        if !values.is_empty() {
            self.lists.push((key, values));
        }
    }

    /// A key with one of these words, or none of it.
    fn one(&mut self, key: &'static str, rng: &mut StdRng, from: &[&'static str]) {
        for word in one(rng, from) {
            self.single.push((key, Value::from(word)));
        }
    }

    pub(super) fn write(&self, request: &mut Dict) {
        let list = |values: &[&str]| Value::List(values.iter().map(|v| Value::from(*v)).collect());
        if !self.flags.is_empty() {
            request.push("flags", list(&self.flags));
        }
        for (key, values) in &self.lists {
            request.push(*key, list(values));
        }
        for (key, value) in &self.single {
            request.push(*key, value.clone());
        }
    }
}

fn one(rng: &mut StdRng, from: &[&'static str]) -> Vec<&'static str> {
    let chosen = *from.choose(rng).unwrap();
    match chosen {
        "" => Vec::new(),
        chosen => vec![chosen],
    }
}

fn some(rng: &mut StdRng, from: &[&'static str]) -> Vec<&'static str> {
    let mut chosen: Vec<_> = from.to_vec();
    chosen.shuffle(rng);
    chosen.truncate(rng.random_range(0..3));
    chosen
}

impl Topic {
    /// Whether a story is not about both.
    pub(super) fn excludes(self, other: Self) -> bool {
        NOT_SENT.iter().any(|unsent| match unsent.rule {
            Rule::Together(pairs) => {
                pairs.contains(&(self, other)) || pairs.contains(&(other, self))
            }
            Rule::Request(_) => false,
        })
    }

    /// Whether all offers of a call have the same keys.
    pub(super) fn is_for_good(self) -> bool {
        matches!(self, Self::Replace | Self::Mux | Self::Ice | Self::Codecs)
    }

    /// The phones of the story, before its first request.
    pub(super) fn dress(
        self,
        phones: &mut [Phone],
        lines: &mut Vec<(Kind, bool)>,
        rng: &mut StdRng,
    ) {
        let secure = [
            Security::Plain,
            Security::Sdes,
            Security::Dtls,
            Security::Both,
        ];
        let trickles = rng.random_range(0..5) == 0;
        for phone in phones.iter_mut() {
            match self {
                Self::Mux => phone.mux = rng.random(),
                Self::Ice => {
                    phone.trickles = trickles;
                    phone.ice = rng.random();
                    phone.mux = rng.random();
                }
                Self::Security => {
                    phone.security = *secure.choose(rng).unwrap();
                    phone.feedback = rng.random();
                    phone.version = rng.random_range(0..3);
                }
                Self::Opportunistic => {
                    let kinds = [Security::Plain, Security::Sdes, Security::Opportunistic];
                    phone.security = *kinds.choose(rng).unwrap();
                }
                Self::Codecs => phone.many_codecs = true,
                Self::OriginalDirections => phone.directions = true,
                Self::Mids => phone.mids = rng.random(),
                Self::RtcpAttribute => phone.rtcp = rng.random(),
                _ => {}
            }
        }
        let more: &[Kind] = match self {
            Self::Lines => &[Kind::Video, Kind::T38, Kind::Data],
            Self::Mids | Self::Ice | Self::Security | Self::Mux => &[Kind::Video],
            _ => &[],
        };
        if rng.random() {
            lines.extend(more.choose(rng).map(|kind| (*kind, true)));
        }
    }

    /// Changes of the phone that speaks next.
    pub(super) fn change(self, phone: &mut Phone, lines: &mut Vec<(Kind, bool)>, rng: &mut StdRng) {
        match self {
            Self::Hold => {
                phone.directions = rng.random();
                let sessions = ["", "", "a=sendonly\r\n", "a=inactive\r\n", "a=recvonly\r\n"];
                let session = sessions.choose(rng).unwrap();
                phone.hold = Hold {
                    session: if phone.directions { "" } else { session },
                    zero_address: rng.random_range(0..4) == 0,
                };
            }
            Self::Lines => {
                if lines.len() < 4 && rng.random_range(0..3) == 0 {
                    let kinds = [Kind::Audio, Kind::Video, Kind::T38, Kind::Data];
                    lines.push((*kinds.choose(rng).unwrap(), true));
                }
                for line in lines.iter_mut().skip(1) {
                    line.1 = rng.random_range(0..4) > 0;
                }
            }
            Self::Replace if rng.random() => phone.version += 1,
            Self::Moves if rng.random_range(0..3) == 0 => phone.port += 100,
            _ => {}
        }
    }

    /// Keys of an offer or answer.
    pub(super) fn keys(self, is_offer: bool, phone: &Phone, keys: &mut Keys, rng: &mut StdRng) {
        match self {
            Self::Replace => {
                let known = ["origin", "session-connection", "username", "session-name"];
                let more = ["SDP-version", "zero-address", "origin", "origin"];
                let mut values = some(rng, &known);
                values.extend(some(rng, &more));
                values.sort_unstable();
                values.dedup();
                keys.list("replace", values);
            }
            Self::Mux if is_offer => {
                let towards_receiver = ["", "", "offer", "require", "demux"];
                let towards_sender = ["", "accept", "reject"];
                let mut values = one(rng, &towards_receiver);
                values.extend(one(rng, &towards_sender));
                keys.list("rtcp-mux", values);
            }
            Self::Ice => {
                let modes = ["", "remove", "force", "default", "force-relay"];
                if is_offer || rng.random_range(0..4) == 0 {
                    let modes = match (is_offer, phone.ice) {
                        (true, true) => &modes[..],
                        (true, false) => &modes[..4],
                        (false, _) => &["", "remove", "default"],
                    };
                    keys.one("ICE", rng, modes);
                }
                if phone.trickles {
                    keys.flags.push("trickle-ICE");
                }
            }
            Self::Security if is_offer => {
                let profiles = [
                    "",
                    "RTP/AVP",
                    "RTP/SAVP",
                    "RTP/AVPF",
                    "RTP/SAVPF",
                    "UDP/TLS/RTP/SAVP",
                    "UDP/TLS/RTP/SAVPF",
                ];
                keys.one("transport-protocol", rng, &profiles);
                let sdes = [
                    "",
                    "",
                    "off",
                    "pad",
                    "unencrypted_srtp",
                    "lifetime",
                    "no-AEAD_AES_256_GCM",
                    "no-NULL_HMAC_SHA1_32",
                ];
                keys.list("SDES", one(rng, &sdes));
                keys.one("DTLS", rng, &["", "", "off"]);
            }
            Self::Security => {
                keys.one("DTLS", rng, &["", "", "", "off"]);
                keys.list("SDES", one(rng, &["", "", "", "off"]));
            }
            Self::Opportunistic => {
                let values = ["", "offer", "accept"];
                keys.list("OSRTP", one(rng, &values));
                keys.one("DTLS", rng, &["off"]);
                if is_offer && rng.random() {
                    keys.single
                        .push(("transport-protocol", Value::from("RTP/AVP")));
                }
            }
            Self::Codecs => {
                let names = [
                    "PCMU",
                    "PCMA",
                    "G722",
                    "G729",
                    "opus",
                    "telephone-event",
                    "G729/8000",
                ];
                let mut codec = Dict::new();
                let mut put = |key: &'static str, names: Vec<&str>| {
                    if !names.is_empty() {
                        codec.push(
                            key,
                            Value::List(names.into_iter().map(Value::from).collect()),
                        );
                    }
                };
                match rng.random_range(0..5) {
                    0 => put("strip", some(rng, &names)),
                    1 => {
                        put("strip", vec!["all"]);
                        put("offer", some(rng, &names[..5]));
                    }
                    2 => {
                        put("strip", vec!["all"]);
                        put("except", some(rng, &names[..5]));
                    }
                    3 if is_offer => put("mask", some(rng, &names[..4])),
                    4 if is_offer => put("offer", some(rng, &names[..5])),
                    _ => {}
                }
                keys.single.push(("codec", Value::Dict(codec)));
            }
            Self::Interfaces if is_offer => {
                let from = *["ext", "int"].choose(rng).unwrap();
                let to = *["ext", "int"].choose(rng).unwrap();
                keys.list("direction", vec![from, to]);
            }
            Self::Family if is_offer => {
                keys.one("address-family", rng, &["", "IP4", "IP6"]);
            }
            Self::MediaAddress => {
                keys.one("media-address", rng, &["", "192.0.2.77", "192.0.2.78"]);
            }
            Self::Sources => {
                let flags = [
                    "symmetric",
                    "asymmetric",
                    "port-latching",
                    "strict-source",
                    "media-handover",
                    "unidirectional",
                    "pierce-NAT",
                    "no-port-latching",
                ];
                keys.flags.extend(some(rng, &flags));
            }
            Self::OriginalDirections => keys.flags.extend(one(rng, &["", "original-sendrecv"])),
            Self::LoopProtect => keys.flags.push("loop-protect"),
            Self::Mids => keys.flags.extend(one(rng, &["", "generate-mid"])),
            Self::RtcpAttribute => {
                let flags = ["", "no-rtcp-attribute", "full-rtcp-attribute"];
                keys.flags.extend(one(rng, &flags));
            }
            Self::SignalledSource => {
                let flags = ["", "trust-address", "SIP-source-address"];
                keys.flags.extend(one(rng, &flags));
                keys.list("received-from", vec!["IP4", "192.0.2.99"]);
            }
            _ => {}
        }
    }
}
