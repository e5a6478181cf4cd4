//! From bytes to [`SessionDescription`] (RFC 8866 §5; spec: sdp-rewriting §1).

use std::net::IpAddr;

use crate::attribute::{Bandwidth, Codec, Direction, Origin, Rtcp, Transport};
use crate::error::Reason;
use crate::media::MediaDescription;
use crate::{ParseError, SessionDescription, Text, limits};

/// How strictly an SDP is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// The body is a trickle fragment (RFC 8840): it need not start with `v=0`.
    pub fragment: bool,
    /// An empty line is an error instead of the end.
    pub reject_invalid: bool,
}

pub(crate) fn parse(text: &[u8], options: ParseOptions) -> Result<SessionDescription, ParseError> {
    let fail = |line, reason| ParseError { line, reason };
    if text.len() > limits::MAX_BYTES {
        return Err(fail(
            1,
            Reason::TooMuch {
                what: "bytes",
                limit: limits::MAX_BYTES,
            },
        ));
    }
    let mut parser = Parser::default();
    let mut lines = text.split(|&byte| byte == b'\n').zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if options.reject_invalid && lines.peek().is_some() {
                return Err(fail(number, Reason::NoEquals));
            }
            break;
        }
        // Another parser may take them for the end of the line, or of the text.
        if line.iter().any(|&byte| byte == b'\r' || byte == 0) {
            return Err(fail(number, Reason::ControlByte));
        }
        let Some((&letter, value)) = line
            .split_first()
            .and_then(|(letter, rest)| Some((letter, rest.strip_prefix(b"=")?)))
        else {
            return Err(fail(number, Reason::NoEquals));
        };
        if number == 1 && !options.fragment && (letter, value) != (b'v', &b"0"[..]) {
            return Err(fail(number, Reason::Version));
        }
        parser
            .line(letter, value)
            .map_err(|reason| fail(number, reason))?;
    }
    if parser.sdp.loop_ids.is_empty() && !options.fragment {
        return Err(fail(1, Reason::Empty));
    }
    parser.finish();
    Ok(parser.sdp)
}

#[derive(Default)]
struct Parser {
    sdp: SessionDescription,
    /// The m= line that lines belong to now.
    media: Option<MediaDescription>,
    section_lines: usize,
    /// This session part had its origin.
    has_origin: bool,
    has_connection: bool,
    allow_mixed: bool,
    session_extmaps: Vec<Text>,
}

impl Parser {
    fn line(&mut self, letter: u8, value: &[u8]) -> Result<(), Reason> {
        self.section_lines += 1;
        if self.section_lines > limits::MAX_SECTION_LINES {
            let limit = limits::MAX_SECTION_LINES;
            return Err(Reason::TooMuch {
                what: "lines of one section",
                limit,
            });
        }
        match (letter, self.media.is_some()) {
            (b'v', _) => self.version(value),
            (b'm', _) => self.media_line(value),
            (b'c', _) => self.connection(value),
            (b'a', false) => {
                self.session_attribute(value);
                Ok(())
            }
            (b'a', true) => {
                if let Some(media) = &mut self.media {
                    media_attribute(media, value);
                }
                Ok(())
            }
            (b'b', _) => {
                let level = match &mut self.media {
                    Some(media) => &mut media.bandwidth,
                    None => &mut self.sdp.bandwidth,
                };
                level.read(value);
                Ok(())
            }
            (b'i', true) => {
                if let Some(media) = &mut self.media {
                    media.info = Some(value.into());
                }
                Ok(())
            }
            (b'o' | b's' | b't' | b'u' | b'e' | b'p', true) => Err(Reason::Misplaced),
            (b'o', false) => self.origin(value),
            (b's', false) => {
                self.sdp.name = value.into();
                Ok(())
            }
            (b't', false) => set(&mut self.sdp.timing, value),
            (b'i', false) => set(&mut self.sdp.info, value),
            (b'u', false) => set(&mut self.sdp.uri, value),
            (b'e', false) => set(&mut self.sdp.email, value),
            (b'p', false) => set(&mut self.sdp.phone, value),
            (b'k' | b'r' | b'z', _) => Ok(()),
            _ => Err(Reason::LineType),
        }
    }

    /// Each `v=0` starts a session part; medias of all parts make one list.
    fn version(&mut self, value: &[u8]) -> Result<(), Reason> {
        if value != b"0" {
            return Err(Reason::Version);
        }
        self.close_media();
        self.sdp.loop_ids.push(None);
        self.has_origin = false;
        self.has_connection = false;
        // What the part before said holds for its own medias, and not for the ones to come.
        let (connection, direction) = (self.sdp.connection.take(), self.sdp.direction.take());
        for media in &mut self.sdp.media {
            media.connection = media.connection.or(connection);
            media.direction = media.direction.or(direction);
        }
        self.sdp.inherited.clear();
        self.session_extmaps.clear();
        self.allow_mixed = false;
        self.section_lines = 0;
        Ok(())
    }

    fn origin(&mut self, value: &[u8]) -> Result<(), Reason> {
        if std::mem::replace(&mut self.has_origin, true) {
            return Err(Reason::Duplicate);
        }
        let mut tokens = tokens(value);
        let mut next = || tokens.next().map(Text::from).ok_or(Reason::Origin);
        let (username, session_id, session_version) = (next()?, next()?, next()?);
        let (_network, address_type, address) = (next()?, next()?, next()?);
        if tokens.next().is_some() {
            return Err(Reason::Origin);
        }
        if self.sdp.origin.is_none() {
            self.sdp.origin = Some(Origin {
                username,
                session_id,
                session_version,
                address_type,
                address,
            });
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Reason> {
        let address = connection_address(value).ok_or(Reason::Connection)?;
        let slot = match &mut self.media {
            Some(media) => &mut media.connection,
            None if std::mem::replace(&mut self.has_connection, true) => {
                return Err(Reason::Duplicate);
            }
            None => {
                self.sdp.connection = Some(address);
                return Ok(());
            }
        };
        if slot.replace(address).is_some() {
            return Err(Reason::Duplicate);
        }
        Ok(())
    }

    fn media_line(&mut self, value: &[u8]) -> Result<(), Reason> {
        self.close_media();
        if self.sdp.media.len() >= limits::MAX_MEDIA {
            let limit = limits::MAX_MEDIA;
            return Err(Reason::TooMuch {
                what: "m= lines",
                limit,
            });
        }
        self.section_lines = 0;
        let mut parts = value.splitn(4, |&byte| byte == b' ');
        let mut next = || {
            parts
                .next()
                .filter(|part| !part.is_empty())
                .ok_or(Reason::Media)
        };
        let (kind, port, transport) = (next()?, next()?, next()?);
        let formats = parts.next().unwrap_or_default();
        let (port, count) = match port.iter().position(|&byte| byte == b'/') {
            Some(slash) => {
                let (port, count) = port.split_at(slash);
                (
                    port,
                    number(count.get(1..).unwrap_or_default()).ok_or(Reason::Media)?,
                )
            }
            None => (port, 1),
        };
        let port: u16 = number(port).ok_or(Reason::Media)?;
        if !(1..=10).contains(&count) {
            return Err(Reason::Media);
        }
        let transport = Transport::from_name(transport);
        let mut media = MediaDescription::new(kind.into(), port, count, transport);
        media.formats = formats.trim_ascii().into();
        if media.transport.is_rtp() {
            for format in tokens(formats) {
                if media.codecs.len() >= limits::MAX_FORMATS {
                    let limit = limits::MAX_FORMATS;
                    return Err(Reason::TooMuch {
                        what: "formats of one m= line",
                        limit,
                    });
                }
                match number::<u8>(format).filter(|&payload_type| payload_type < 128) {
                    Some(payload_type) => {
                        if !media.codecs.iter().any(|c| c.payload_type == payload_type) {
                            media.codecs.push(Codec::from_payload_type(payload_type));
                        }
                    }
                    None if port == 0 => {}
                    None => return Err(Reason::PayloadType),
                }
            }
        }
        self.media = Some(media);
        Ok(())
    }

    fn session_attribute(&mut self, attribute: &[u8]) {
        let (name, value) = split_attribute(attribute);
        if let Some(direction) = Direction::from_name(name) {
            self.sdp.direction = Some(direction.or_stronger(self.sdp.direction));
            return;
        }
        match name {
            b"rtpengine" => {
                if let Some(id) = self.sdp.loop_ids.last_mut() {
                    *id = Some(value.into());
                }
            }
            b"setup" | b"fingerprint" | b"tls-id" | b"ice-ufrag" | b"ice-pwd" | b"ice-options"
            | b"ice-lite" | b"end-of-candidates" => self.sdp.inherited.push(attribute.into()),
            b"extmap" => {
                if is_extmap(value) {
                    self.session_extmaps.push(value.into());
                }
            }
            b"extmap-allow-mixed" => self.allow_mixed = true,
            // Groups tie m= lines together by ids and ports that are regenerated here; the rest
            // have no meaning at session level.
            b"group" | b"rtcp-fb" | b"candidate" | b"remote-candidates" | b"ice-mismatch"
            | b"rtcp" | b"rtcp-mux" | b"crypto" | b"rtpmap" | b"fmtp" | b"mid" | b"label"
            | b"ptime" | b"maxptime" => {}
            _ => self.sdp.attributes.push(attribute.into()),
        }
    }

    /// Ends the current m= line: it inherits what it does not say itself.
    fn close_media(&mut self) {
        let Some(mut media) = self.media.take() else {
            return;
        };
        for name in ["setup", "fingerprint", "tls-id"] {
            let has_name = |text: &Text| split_attribute(text.as_bytes()).0 == name.as_bytes();
            if !media.keying.iter().any(has_name) {
                media
                    .keying
                    .extend(self.sdp.inherited.iter().filter(|t| has_name(t)).cloned());
            }
        }
        media
            .keying
            .sort_by_key(|text| keying_rank(split_attribute(text.as_bytes()).0));
        for attribute in &self.sdp.inherited {
            let (name, value) = split_attribute(attribute.as_bytes());
            media.has_ice |= matches!(name, b"ice-ufrag" | b"ice-pwd");
            media.trickle |= name == b"ice-options" && tokens(value).any(|o| o == b"trickle");
        }
        if media.extmaps.is_empty() {
            media.extmaps.clone_from(&self.session_extmaps);
        }
        media.extmap_allow_mixed |= self.allow_mixed;
        // Descriptions are kept for the life of a call.
        media.codecs.shrink_to_fit();
        media.attributes.shrink_to_fit();
        self.sdp.media.push(media);
    }

    fn finish(&mut self) {
        self.close_media();
        // The session level is kept for the life of a call.
        self.sdp.loop_ids.shrink_to_fit();
        self.sdp.attributes.shrink_to_fit();
    }
}

/// Keying attributes are printed in this order.
fn keying_rank(name: &[u8]) -> u8 {
    match name {
        b"crypto" => 0,
        b"setup" => 1,
        b"fingerprint" => 2,
        _ => 3,
    }
}

fn media_attribute(media: &mut MediaDescription, attribute: &[u8]) {
    let (name, value) = split_attribute(attribute);
    // Direction, mid and ICE count for other transports, too.
    if !media.transport.is_rtp() && name != b"end-of-candidates" {
        media.verbatim.push(attribute.into());
    }
    if let Some(direction) = Direction::from_name(name) {
        media.direction = Some(direction.or_stronger(media.direction));
        return;
    }
    match name {
        b"rtpmap" => read_rtpmap(media, value),
        b"fmtp" => {
            if let Some((codec, rest)) = codec_of(media, value) {
                // Of several the first counts, as it does for those who read line by line.
                codec.fmtp.get_or_insert_with(|| rest.into());
            }
        }
        b"rtcp-fb" if value.first() == Some(&b'*') => media.attributes.push(attribute.into()),
        b"rtcp-fb" => {
            if let Some((codec, rest)) = codec_of(media, value) {
                codec.feedback.push(rest.into());
            }
        }
        b"rtcp" => media.rtcp = read_rtcp(value).or(media.rtcp),
        b"rtcp-mux" => media.rtcp_mux = true,
        b"mid" => media.mid = Some(value.into()),
        b"label" => media.label = Some(value.into()),
        b"ptime" if is_number(value) => media.ptime = Some(value.into()),
        b"maxptime" if is_number(value) => media.maxptime = Some(value.into()),
        b"extmap" => {
            if is_extmap(value) {
                media.extmaps.push(value.into());
            }
        }
        b"extmap-allow-mixed" => media.extmap_allow_mixed = true,
        b"crypto" | b"setup" | b"fingerprint" | b"tls-id" => {
            if !value.is_empty() {
                media.keying.push(attribute.into());
            }
        }
        b"ice-ufrag" | b"ice-pwd" | b"candidate" => media.has_ice = true,
        b"ice-options" => media.trickle |= tokens(value).any(|option| option == b"trickle"),
        b"ice-lite" | b"end-of-candidates" | b"remote-candidates" | b"ice-mismatch"
        | b"rtpengine" => {}
        _ => media.attributes.push(attribute.into()),
    }
}

/// `PT name/clock[/channels]`; without a clock the line is ignored.
fn read_rtpmap(media: &mut MediaDescription, value: &[u8]) {
    let Some((codec, rest)) = codec_of(media, value) else {
        return;
    };
    let mut parts = rest.splitn(3, |&byte| byte == b'/');
    let (Some(name), Some(clock)) = (parts.next(), parts.next().and_then(number)) else {
        return;
    };
    if name.is_empty() {
        return;
    }
    codec.name = name.into();
    codec.clock_rate = clock;
    codec.channels = parts.next().and_then(number).unwrap_or(1);
}

/// The codec whose payload type starts the value, and what follows.
fn codec_of<'a, 'v>(
    media: &'a mut MediaDescription,
    value: &'v [u8],
) -> Option<(&'a mut Codec, &'v [u8])> {
    let space = value.iter().position(|&byte| byte == b' ')?;
    let (payload_type, rest) = value.split_at_checked(space)?;
    let payload_type: u8 = number(payload_type)?;
    let codec = media
        .codecs
        .iter_mut()
        .find(|codec| codec.payload_type == payload_type)?;
    Some((codec, rest.trim_ascii_start()))
}

fn read_rtcp(value: &[u8]) -> Option<Rtcp> {
    let mut parts = tokens(value);
    let port = number(parts.next()?)?;
    let rest: Vec<&[u8]> = parts.collect();
    let address = match rest.as_slice() {
        [] => None,
        [network, kind, address] if network.eq_ignore_ascii_case(b"IN") => {
            Some(typed_address(kind, address)?)
        }
        _ => return None,
    };
    Some(Rtcp { port, address })
}

fn connection_address(value: &[u8]) -> Option<IpAddr> {
    let mut parts = tokens(value);
    let (network, kind, address) = (parts.next()?, parts.next()?, parts.next()?);
    if !network.eq_ignore_ascii_case(b"IN") || parts.next().is_some() {
        return None;
    }
    // A TTL or a count of addresses belongs to multicast; the address is what counts.
    let address = address.split(|&byte| byte == b'/').next()?;
    typed_address(kind, address)
}

fn typed_address(kind: &[u8], address: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = std::str::from_utf8(address).ok()?.parse().ok()?;
    let fits = match address {
        IpAddr::V4(_) => kind.eq_ignore_ascii_case(b"IP4"),
        IpAddr::V6(_) => kind.eq_ignore_ascii_case(b"IP6"),
    };
    fits.then_some(address)
}

/// `id[/direction] uri`, id 1–14 or 16–255 (RFC 8285 §4).
fn is_extmap(value: &[u8]) -> bool {
    let mut parts = tokens(value);
    let id = parts
        .next()
        .and_then(|id| id.split(|&byte| byte == b'/').next())
        .and_then(number);
    id.is_some_and(|id: u16| (1..256).contains(&id) && id != 15) && parts.next().is_some()
}

impl Bandwidth {
    fn read(&mut self, value: &[u8]) {
        let mut parts = value.splitn(2, |&byte| byte == b':');
        let (Some(kind), Some(amount)) = (parts.next(), parts.next()) else {
            return;
        };
        let known = Self::TYPES
            .iter()
            .position(|known| known.as_bytes() == kind);
        if let Some(slot) = known.and_then(|index| self.values.get_mut(index))
            && is_number(amount)
        {
            *slot = Some(amount.into());
        }
    }
}

fn set(slot: &mut Option<Text>, value: &[u8]) -> Result<(), Reason> {
    *slot = Some(value.into());
    Ok(())
}

/// Name and value of an attribute, split at the first colon.
pub(crate) fn split_attribute(attribute: &[u8]) -> (&[u8], &[u8]) {
    match attribute.iter().position(|&byte| byte == b':') {
        Some(colon) => {
            let (name, rest) = attribute.split_at(colon);
            (name, rest.get(1..).unwrap_or_default())
        }
        None => (attribute.trim_ascii_end(), &[]),
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b' ')
        .filter(|token| !token.is_empty())
}

fn is_number(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_digit)
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    if !is_number(digits) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
