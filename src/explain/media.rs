//! Reasons for the lines of an m= section.

use std::net::{IpAddr, SocketAddr};

use windlass_ng::request::{CodecSpec, IceMode, SdpSection};
use windlass_sdp::{Codec, MediaKind};

use super::compare::{name, payload_type};
use super::exchange::{MediaLine, Role};
use crate::call::ports::Family;

impl MediaLine<'_> {
    /// Reason for a line that was added or changed.
    pub(super) fn reason(&self, was: Option<&str>, now: &str) -> Option<String> {
        let exchange = self.exchange;
        let section = section(self.printed.kind);
        if let Some(reason) = exchange.manipulated(section, now) {
            return Some(reason);
        }
        let towards = exchange.receiver_name();
        let reason = match name(now) {
            "m" => self.m_reason(),
            "c" => self.c_reason(),
            "mid" => self.mid_reason(),
            "rtpmap" | "fmtp" | "rtcp-fb" => self.codec_reason(now),
            "sendrecv" | "sendonly" | "recvonly" | "inactive" => self.direction_reason(was),
            "rtcp" => self.rtcp_reason(),
            "rtcp-mux" => self.mux_reason(),
            "crypto" => self.crypto_reason(),
            "setup" => match exchange.role {
                Role::Answer => format!("the relay's role in DTLS with {towards}"),
                Role::Offer | Role::Own => "offers leave the role in DTLS open".to_owned(),
            },
            "fingerprint" => format!("the relay's certificate, for DTLS with {towards}"),
            "tls-id" => format!("the relay's association with {towards}"),
            "ice-ufrag" | "ice-pwd" | "ice-options" | "end-of-candidates" => self.ice_reason(),
            "candidate" => self.candidate_reason(now),
            "remote-candidates" => "the pair in use".to_owned(),
            "extmap-allow-mixed" => "goes with header extensions".to_owned(),
            "extmap" => "mid header extension, for the bundle".to_owned(),
            "ptime" => "ptime, ptime-reverse".to_owned(),
            "bundle-only" => "BUNDLE=strict".to_owned(),
            "label" => "the label of the source".to_owned(),
            _ => return None,
        };
        Some(reason)
    }

    /// Reason for a missing line.
    pub(super) fn drop(&self, line: &str) -> String {
        let exchange = self.exchange;
        if let Some(reason) = exchange.removed(section(self.printed.kind), line) {
            return reason;
        }
        if self.printed.port == 0 {
            return "the media is turned down".to_owned();
        }
        let request = exchange.request;
        let towards = exchange.receiver_name();
        let flags = &request.flags;
        match name(line) {
            "rtpmap" | "fmtp" | "rtcp-fb" => {
                let codec = payload_type(line).and_then(|number| self.said?.codec(number));
                codec.map_or_else(
                    || "no payload type of the m= line".to_owned(),
                    |codec| self.codec_drop(codec),
                )
            }
            "rtcp" if flags.no_rtcp_attribute() => "no-rtcp-attribute".to_owned(),
            "rtcp-mux" => match exchange.role {
                Role::Answer if request.rtcp_mux.reject => "rtcp-mux=reject".to_owned(),
                Role::Answer => format!("not agreed with {towards}"),
                Role::Offer | Role::Own => "rtcp-mux=demux".to_owned(),
            },
            "crypto" => self.key_drop("SDES=off"),
            "setup" | "fingerprint" => self.key_drop("DTLS=off"),
            "tls-id" if flags.no_tls_id() => "no-tls-id".to_owned(),
            "tls-id" => self.key_drop("DTLS=off"),
            "candidate" | "ice-ufrag" | "ice-pwd" | "ice-options" | "end-of-candidates"
            | "remote-candidates" | "ice-pacing" | "ice-lite" | "ice-mismatch" => self.ice_drop(),
            "extmap" => "extmap strip or mask".to_owned(),
            "extmap-allow-mixed" => "no header extension is left".to_owned(),
            "sendrecv" | "sendonly" | "recvonly" | "inactive" => {
                "overruled by another direction of the section".to_owned()
            }
            "bundle-only" => "BUNDLE is not passed on".to_owned(),
            "mid" => format!("{towards} gave no mid"),
            _ => "not read, so not carried on".to_owned(),
        }
    }

    fn m_reason(&self) -> String {
        let mut reasons = vec![self.port_reason()];
        if let Some(said) = self.said {
            if said.transport != self.printed.transport {
                reasons.push(self.transport_reason());
            }
            let left_out: Vec<String> = said
                .codecs
                .iter()
                .filter(|codec| self.printed.codec(codec.payload_type).is_none())
                .map(|codec| format!("{} {}", codec.payload_type, self.codec_drop(codec)))
                .collect();
            reasons.extend(left_out);
            let numbers = |media: &windlass_sdp::Media| -> Vec<u8> {
                media
                    .codecs
                    .iter()
                    .map(|codec| codec.payload_type)
                    .collect()
            };
            let (before, after) = (numbers(said), numbers(self.printed));
            let has_same = after.len() == before.len() && after.iter().all(|n| before.contains(n));
            if has_same && before != after {
                reasons.push("order by the codec options".to_owned());
            }
            for codec in &self.printed.codecs {
                if !before.contains(&codec.payload_type) {
                    reasons.push(match self.exchange.role {
                        Role::Answer => format!(
                            "{} is what was offered first: what was answered was not offered",
                            codec.payload_type
                        ),
                        Role::Offer | Role::Own => format!("{} added", codec.payload_type),
                    });
                }
            }
        }
        reasons.retain(|reason| !reason.is_empty());
        reasons.join("; ")
    }

    fn port_reason(&self) -> String {
        let exchange = self.exchange;
        let request = exchange.request;
        let said = self.said.map(|said| said.port);
        if self.printed.port == 0 {
            return match said {
                Some(0) => String::new(),
                _ if request.bundle.strict => "port 0: BUNDLE=strict".to_owned(),
                _ if request.flags.allow_no_codec_media() => {
                    "port 0: the codec options leave nothing, as allow-no-codec-media lets them"
                        .to_owned()
                }
                None => "port 0: a line that was hidden from the other party".to_owned(),
                Some(_) => "port 0: the media was turned down".to_owned(),
            };
        }
        let Some(port) = self.port else {
            return match said == Some(self.printed.port) {
                true => String::new(),
                false => "not a port of this relay".to_owned(),
            };
        };
        let was_shown = exchange.before.is_some_and(|before| {
            let known = before.port(port.local);
            known.is_some_and(|(party, _, port)| {
                port.is_selected
                    && before
                        .parties
                        .get(party)
                        .is_some_and(|party| party.was_told)
            })
        });
        let kept = if was_shown { ", as shown before" } else { "" };
        match self.shown.and_then(|shown| shown.bundled_with) {
            Some(_) => format!("port of the bundle on `{}`{kept}", port.interface),
            None => format!("local port on interface `{}`{kept}", port.interface),
        }
    }

    fn transport_reason(&self) -> String {
        let exchange = self.exchange;
        let request = exchange.request;
        let towards = exchange.receiver_name();
        let transport = self.printed.transport.name();
        let transport = transport.as_str_lossy();
        match exchange.role {
            Role::Answer if request.transport_protocol_accept => {
                "transport-protocol=accept".to_owned()
            }
            Role::Answer if request.transport_protocol.is_some() => {
                format!("{transport} by transport-protocol")
            }
            Role::Answer => format!("{transport} is what {towards} offered"),
            _ if request.flags.web_rtc() => format!("{transport} by flag WebRTC"),
            _ if request.transport_protocol.is_some() => {
                format!("{transport} by transport-protocol")
            }
            _ if request.osrtp.offer_legacy => "OSRTP=offer-legacy".to_owned(),
            _ => format!("{transport} is what {towards} uses since before"),
        }
    }

    /// Reason why the receiver is not offered a codec of the sender.
    fn codec_drop(&self, codec: &Codec) -> String {
        let exchange = self.exchange;
        let options = &exchange.request.codec;
        let named = |list: &[CodecSpec]| {
            let channels = u32::from(codec.channels_or_one());
            let name = codec.name.as_str_lossy();
            list.iter().find_map(|spec| {
                let is_all = spec.is_all();
                let fits = is_all || spec.matches(&name, codec.clock_rate, channels);
                fits.then(|| if is_all { "all" } else { spec.name.as_str() }.to_owned())
            })
        };
        for (option, list) in [
            ("strip", &options.strip),
            ("mask", &options.mask),
            ("consume", &options.consume),
        ] {
            if let Some(name) = named(list) {
                return format!("out by codec {option}={name}");
            }
        }
        match exchange.role {
            Role::Answer if exchange.request.flags.single_codec() => {
                "out by single-codec".to_owned()
            }
            Role::Answer => format!("out: {} did not offer it", exchange.receiver_name()),
            Role::Offer | Role::Own => "out by the codec options".to_owned(),
        }
    }

    fn codec_reason(&self, now: &str) -> String {
        let codec = payload_type(now).and_then(|number| self.said?.codec(number));
        match (name(now), codec) {
            ("rtpmap", Some(codec)) if codec.payload_type < 96 => {
                "static payload type, spelled out".to_owned()
            }
            (_, Some(_)) => "as the codec has it".to_owned(),
            (_, None) if self.exchange.role == Role::Answer => {
                format!("as {} offered it", self.exchange.receiver_name())
            }
            (_, None) => "goes with the payload type".to_owned(),
        }
    }

    fn c_reason(&self) -> String {
        let exchange = self.exchange;
        let request = exchange.request;
        let address = exchange.printed.address_of(self.printed).ok();
        if self.printed.port == 0 && address.is_some_and(|address| address.is_unspecified()) {
            return "no address: the media is turned down".to_owned();
        }
        if let Some(address) = request.media_address
            && self.port.is_some()
        {
            return format!("media-address={address}");
        }
        if address.is_some_and(|address| address.is_unspecified()) {
            let from = exchange.sender_name();
            return format!("{from} holds with a zero address, and that is passed on");
        }
        let Some(port) = self.port else {
            return "as received: this media does not pass the relay".to_owned();
        };
        let mut reason = format!("address of {}", self.interface_reason(&port.interface));
        if port.advertised != port.local.ip() {
            reason.push_str(&format!(", advertised for {}", port.local.ip()));
        }
        let family = self.family_reason(port.local);
        if !family.is_empty() {
            reason.push_str("; ");
            reason.push_str(&family);
        }
        reason
    }

    fn interface_reason(&self, interface: &str) -> String {
        let exchange = self.exchange;
        let [_, asked] = &exchange.request.direction;
        let [_, routed] = exchange.request.direction_peer;
        let known = exchange.interfaces;
        let remembered = exchange.party(exchange.receiver);
        let remembered = remembered.and_then(|party| party.interface.as_deref());
        let asked_now = asked.as_deref();
        let why = match (asked_now.or(remembered), asked_now.is_some()) {
            (Some(name), _) if !known.is_known(name) => match name {
                "internal" | "external" => format!("`{name}` is an old name for a family"),
                _ => format!("there is no `{name}`, so the first"),
            },
            (Some(_), true) => "direction".to_owned(),
            (Some(_), false) if routed.is_some() => "the route to the peer".to_owned(),
            (Some(_), false) => "an earlier direction".to_owned(),
            (None, _) => {
                let first = known.addresses().first();
                let is_alone = known
                    .addresses()
                    .iter()
                    .all(|a| first.is_some_and(|f| f.name == a.name));
                if is_alone {
                    return format!("interface `{interface}`");
                }
                "the first: no direction was given".to_owned()
            }
        };
        format!("interface `{interface}` ({why})")
    }

    /// Reason for the address family, where it is not obvious.
    fn family_reason(&self, local: SocketAddr) -> String {
        let exchange = self.exchange;
        let said = self
            .said
            .and_then(|said| exchange.said.address_of(said).ok());
        let family = Family::of(local.ip());
        let name = match family {
            Family::Ip4 => "IPv4",
            Family::Ip6 => "IPv6",
        };
        let asked = exchange.request.address_family;
        if asked == Some(family) {
            return "address-family".to_owned();
        }
        if said.is_none_or(|said| Family::of(said) == family) && asked.is_none() {
            return String::new();
        }
        let receiver = exchange.party(exchange.receiver);
        let endpoint = self.shown.and_then(|shown| shown.endpoint);
        if asked.is_some() {
            format!("the interface has no other address than {name}")
        } else if receiver.is_some_and(|party| party.family == Some(family)) {
            format!("{name} by an earlier address-family")
        } else if endpoint.is_some_and(|endpoint| Family::of(endpoint.ip()) == family) {
            format!("{} uses {name}", exchange.receiver_name())
        } else {
            format!("the interface has {name}")
        }
    }

    fn mid_reason(&self) -> String {
        let exchange = self.exchange;
        if exchange.role == Role::Answer {
            return format!("the mid that {} gave", exchange.receiver_name());
        }
        match exchange.request.flags.generate_mid() {
            true => "generate-mid".to_owned(),
            false => "BUNDLE needs it".to_owned(),
        }
    }

    fn direction_reason(&self, was: Option<&str>) -> String {
        let exchange = self.exchange;
        let from = exchange.sender_name();
        if self.source.is_some_and(|source| source.is_held) {
            return format!("{from} takes no media: it holds with a zero address");
        }
        let default = self.said.is_some_and(|said| said.direction.is_none());
        match was {
            None if exchange.role == Role::Own => "the relay's direction".to_owned(),
            None if default => "sendrecv is what no direction means".to_owned(),
            None => "stood at the session".to_owned(),
            Some(_) => format!("what {from} may do"),
        }
    }

    fn rtcp_reason(&self) -> String {
        let full = match self.exchange.request.flags.full_rtcp_attribute() {
            true => ", with address by full-rtcp-attribute",
            false => "",
        };
        let port = self.printed.rtcp.map(|rtcp| rtcp.port);
        match port == Some(self.printed.port) {
            true => format!("RTCP on the port of RTP: rtcp-mux{full}"),
            false if self.printed.rtcp_mux => {
                format!("port for RTCP if rtcp-mux is declined{full}")
            }
            false => format!("local port for RTCP{full}"),
        }
    }

    fn mux_reason(&self) -> String {
        let exchange = self.exchange;
        let options = &exchange.request.rtcp_mux;
        match exchange.role {
            Role::Answer => {
                format!(
                    "{} offered it; agreed by an option of its offer",
                    exchange.receiver_name()
                )
            }
            _ if exchange.request.flags.web_rtc() => "flag WebRTC".to_owned(),
            _ if options.require => "rtcp-mux=require".to_owned(),
            _ if options.offer => "rtcp-mux=offer".to_owned(),
            _ => format!("in use with {} since before", exchange.receiver_name()),
        }
    }

    fn crypto_reason(&self) -> String {
        let exchange = self.exchange;
        let towards = exchange.receiver_name();
        match exchange.role {
            Role::Answer => format!("the one suite that {towards} gets, tag as it offered"),
            Role::Offer | Role::Own => format!("a key of the relay's own for SRTP with {towards}"),
        }
    }

    fn key_drop(&self, off: &str) -> String {
        let exchange = self.exchange;
        let towards = exchange.receiver_name();
        let is_secure = self.shown.is_some_and(|shown| shown.is_secure);
        let has_dtls = self.printed.fingerprint.is_some();
        match (is_secure, exchange.role) {
            (false, _) => format!("plain RTP with {towards}"),
            (true, Role::Answer) if has_dtls => format!("keys with {towards} come by DTLS"),
            (true, Role::Answer) => format!("not what {towards} gets as its answer"),
            (true, _) if has_dtls || off == "DTLS=off" => off.to_owned(),
            (true, _) => "SDES options (only, no, off)".to_owned(),
        }
    }

    fn ice_reason(&self) -> String {
        let exchange = self.exchange;
        let towards = exchange.receiver_name();
        let why = match (exchange.role, exchange.request.ice.mode) {
            (Role::Answer, _) => format!("{towards} offered it"),
            _ if exchange.request.flags.web_rtc() => "flag WebRTC".to_owned(),
            (_, Some(IceMode::Force)) => "ICE=force".to_owned(),
            (_, Some(IceMode::Optional)) => "ICE=optional".to_owned(),
            (_, Some(IceMode::ForceRelay)) => "ICE=force-relay".to_owned(),
            _ if self.said.is_some_and(|said| said.ice.is_present()) => {
                format!("{} uses ICE", exchange.sender_name())
            }
            _ => format!("in use with {towards}"),
        };
        format!("the relay's own ICE: {why}")
    }

    fn candidate_reason(&self, now: &str) -> String {
        let value = now.strip_prefix("a=candidate:").unwrap_or(now);
        let component = match value.split(' ').nth(1) {
            Some("2") => "RTCP",
            _ => "RTP",
        };
        let address: Option<IpAddr> = value.split(' ').nth(4).and_then(|a| a.parse().ok());
        let port: Option<u16> = value.split(' ').nth(5).and_then(|port| port.parse().ok());
        let exchange = self.exchange;
        let receiver = exchange.party(exchange.receiver);
        let ports = receiver.into_iter().flat_map(|party| &party.medias);
        let mut ports = ports.flat_map(|media| &media.ports);
        let ours = ports.find(|ours| {
            Some(ours.local.port()) == port
                && (Some(ours.advertised) == address || exchange.request.media_address == address)
        });
        match ours {
            Some(ours) => format!("the relay's port for {component} on `{}`", ours.interface),
            None => format!("the relay's candidate for {component}"),
        }
    }

    fn ice_drop(&self) -> String {
        let exchange = self.exchange;
        let towards = exchange.receiver_name();
        let own = self.printed.ice.is_present();
        match (exchange.role, exchange.request.ice.mode) {
            _ if own => "ICE ends at the relay: its own stands here".to_owned(),
            (Role::Offer | Role::Own, Some(IceMode::Remove)) => "ICE=remove".to_owned(),
            (Role::Answer, _) => format!("{towards} did not offer ICE"),
            _ => format!("{towards} does not use ICE"),
        }
    }
}

/// The section of `sdp-attr` that counts for a media.
fn section(kind: MediaKind) -> SdpSection {
    match kind {
        MediaKind::Audio => SdpSection::Audio,
        MediaKind::Video => SdpSection::Video,
        MediaKind::Image => SdpSection::Image,
        MediaKind::Message => SdpSection::Message,
        MediaKind::Text => SdpSection::Text,
        MediaKind::Application => SdpSection::Application,
        MediaKind::Other => SdpSection::Other,
    }
}
