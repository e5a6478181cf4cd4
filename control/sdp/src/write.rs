//! Printing a complete SDP, in the order of spec: sdp-rewriting §3.

use std::net::IpAddr;

use crate::attribute::{Bandwidth, Codec, Direction, Origin, Transport, address_type};
use crate::{SessionDescription, Text};

/// An SDP to be printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// `o=`.
    pub origin: Origin,
    /// `s=`.
    pub name: Text,
    /// `i=`.
    pub info: Option<Text>,
    /// `u=`.
    pub uri: Option<Text>,
    /// `e=`.
    pub email: Option<Text>,
    /// `p=`.
    pub phone: Option<Text>,
    /// `b=`.
    pub bandwidth: Bandwidth,
    /// `t=`; `0 0` if absent.
    pub timing: Option<Text>,
    /// Value of `a=rtpengine:` (loop protection).
    pub loop_id: Option<Text>,
    /// Attributes in order, everything behind `a=`.
    pub attributes: Vec<Text>,
    /// m= lines.
    pub media: Vec<Media>,
}

impl Session {
    /// Starts from the session level of a received SDP, as far as it is carried
    /// (spec: sdp-rewriting §2): the medias are the caller's.
    pub fn carried_from(received: &SessionDescription) -> Self {
        Self {
            origin: received.origin.clone().unwrap_or_default(),
            name: received.name.clone(),
            info: received.info.clone(),
            uri: received.uri.clone(),
            email: received.email.clone(),
            phone: received.phone.clone(),
            bandwidth: received.bandwidth.clone(),
            timing: received.timing.clone(),
            loop_id: None,
            attributes: received.attributes.clone(),
            media: Vec::new(),
        }
    }

    /// The text, lines ended by CRLF.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer {
            out: Vec::with_capacity(256 + 512 * self.media.len()),
        };
        out.line(b'v', &[b"0"]);
        let origin = &self.origin;
        out.line(
            b'o',
            &[
                origin.username.as_bytes(),
                b" ",
                origin.session_id.as_bytes(),
                b" ",
                origin.session_version.as_bytes(),
                b" IN ",
                origin.address_type.as_bytes(),
                b" ",
                origin.address.as_bytes(),
            ],
        );
        out.line(b's', &[self.name.as_bytes()]);
        out.optional(b'i', &self.info);
        out.optional(b'u', &self.uri);
        out.optional(b'e', &self.email);
        out.optional(b'p', &self.phone);
        out.bandwidth(&self.bandwidth);
        out.line(
            b't',
            &[self.timing.as_ref().map_or(&b"0 0"[..], Text::as_bytes)],
        );
        if let Some(id) = &self.loop_id {
            out.attribute("rtpengine", id.as_bytes());
        }
        out.attributes(&self.attributes);
        for media in &self.media {
            media.write(&mut out);
        }
        out.out
    }
}

/// An m= line to be printed, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, …
    pub kind: Text,
    /// Port; 0 for a rejected media, of which nothing is printed behind its mid and label.
    pub port: u16,
    /// Transport.
    pub transport: Transport,
    /// Format list.
    pub formats: Text,
    /// `i=`.
    pub info: Option<Text>,
    /// Address of `c=`; `None`: no c= line.
    pub connection: Option<IpAddr>,
    /// `b=`.
    pub bandwidth: Bandwidth,
    /// `a=mid`.
    pub mid: Option<Text>,
    /// `a=label`.
    pub label: Option<Text>,
    /// What stands below; nothing for a rejected media.
    pub body: Body,
}

/// The attributes of a media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// None: the media is rejected.
    Rejected,
    /// Copied as received, in order; mid and label are among them.
    Verbatim(Vec<Text>),
    /// Regenerated for RTP.
    Rtp(Box<RtpBody>),
}

/// The attributes of an RTP media.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtpBody {
    /// Printed as rtpmap, fmtp and rtcp-fb per payload type, in order.
    pub codecs: Vec<Codec>,
    /// `a=extmap-allow-mixed`.
    pub extmap_allow_mixed: bool,
    /// Values of `a=extmap`.
    pub extmaps: Vec<Text>,
    /// Carried attributes in order.
    pub attributes: Vec<Text>,
    /// `a=sendrecv` and so on.
    pub direction: Option<Direction>,
    /// `a=rtcp`: port, and address if it is to be printed.
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// `a=rtcp-mux`.
    pub rtcp_mux: bool,
    /// crypto, setup, fingerprint and tls-id lines in order.
    pub keying: Vec<Text>,
    /// `a=ptime`.
    pub ptime: Option<Text>,
    /// `a=maxptime`.
    pub maxptime: Option<Text>,
}

/// The format list of payload types.
pub fn format_list(codecs: &[Codec]) -> Text {
    let formats: Vec<String> = codecs
        .iter()
        .map(|codec| codec.payload_type.to_string())
        .collect();
    Text::from(formats.join(" "))
}

impl Media {
    fn write(&self, out: &mut Writer) {
        let mut transport = Vec::new();
        self.transport.write(&mut transport);
        out.line(
            b'm',
            &[
                self.kind.as_bytes(),
                b" ",
                self.port.to_string().as_bytes(),
                b" ",
                &transport,
                b" ",
                self.formats.as_bytes(),
            ],
        );
        out.optional(b'i', &self.info);
        if let Some(address) = self.connection {
            let kind = address_type(address).as_bytes();
            out.line(b'c', &[b"IN ", kind, b" ", address.to_string().as_bytes()]);
        }
        out.bandwidth(&self.bandwidth);
        if !matches!(self.body, Body::Verbatim(_)) {
            out.optional_attribute("mid", &self.mid);
            out.optional_attribute("label", &self.label);
        }
        match &self.body {
            Body::Rejected => {}
            Body::Verbatim(attributes) => out.attributes(attributes),
            Body::Rtp(body) => body.write(out),
        }
    }
}

impl RtpBody {
    fn write(&self, out: &mut Writer) {
        for codec in &self.codecs {
            write_codec(codec, out);
        }
        if self.extmap_allow_mixed {
            out.line(b'a', &[b"extmap-allow-mixed"]);
        }
        for extmap in &self.extmaps {
            out.attribute("extmap", extmap.as_bytes());
        }
        out.attributes(&self.attributes);
        if let Some(direction) = self.direction {
            out.line(b'a', &[direction.name().as_bytes()]);
        }
        if let Some((port, address)) = self.rtcp {
            let mut value = port.to_string();
            if let Some(address) = address {
                value.push_str(&format!(" IN {} {address}", address_type(address)));
            }
            out.attribute("rtcp", value.as_bytes());
        }
        if self.rtcp_mux {
            out.line(b'a', &[b"rtcp-mux"]);
        }
        out.attributes(&self.keying);
        out.optional_attribute("ptime", &self.ptime);
        out.optional_attribute("maxptime", &self.maxptime);
    }
}

fn write_codec(codec: &Codec, out: &mut Writer) {
    let payload_type = codec.payload_type.to_string();
    let payload_type = payload_type.as_bytes();
    if !codec.name.is_empty() {
        let clock_rate = codec.clock_rate.to_string();
        let channels = match codec.channels {
            1 => String::new(),
            more => format!("/{more}"),
        };
        out.line(
            b'a',
            &[
                b"rtpmap:",
                payload_type,
                b" ",
                codec.name.as_bytes(),
                b"/",
                clock_rate.as_bytes(),
                channels.as_bytes(),
            ],
        );
    }
    if let Some(fmtp) = &codec.fmtp {
        out.line(b'a', &[b"fmtp:", payload_type, b" ", fmtp.as_bytes()]);
    }
    for feedback in &codec.feedback {
        out.line(
            b'a',
            &[b"rtcp-fb:", payload_type, b" ", feedback.as_bytes()],
        );
    }
}

struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn line(&mut self, letter: u8, parts: &[&[u8]]) {
        self.out.push(letter);
        self.out.push(b'=');
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn optional(&mut self, letter: u8, value: &Option<Text>) {
        if let Some(value) = value {
            self.line(letter, &[value.as_bytes()]);
        }
    }

    fn attribute(&mut self, name: &str, value: &[u8]) {
        self.line(b'a', &[name.as_bytes(), b":", value]);
    }

    fn optional_attribute(&mut self, name: &str, value: &Option<Text>) {
        if let Some(value) = value {
            self.attribute(name, value.as_bytes());
        }
    }

    fn attributes(&mut self, attributes: &[Text]) {
        for attribute in attributes {
            self.line(b'a', &[attribute.as_bytes()]);
        }
    }

    fn bandwidth(&mut self, bandwidth: &Bandwidth) {
        for (kind, value) in Bandwidth::TYPES.iter().zip(&bandwidth.values) {
            if let Some(value) = value {
                self.line(b'b', &[kind.as_bytes(), b":", value.as_bytes()]);
            }
        }
    }
}
