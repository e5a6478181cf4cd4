//! Reading `a=` lines: the attributes known at each level, and those that fall back to the session.

use crate::attribute::codec::{encoding, format_of, payload_type_of};
use crate::attribute::{
    Attribute, AttributeClass, Candidate, Codec, CryptoLine, Direction, Extmap, Fingerprint,
    RtcpAttribute, Setup,
};
use crate::limits::FINGERPRINTS;
use crate::line::{first_token, number, tokens};
use crate::media::Media;
use crate::session::SessionPart;
use crate::text::{Source, Text};

/// Session values that a media without its own takes.
#[derive(Debug, Default)]
pub(super) struct Fallback {
    direction: Option<Direction>,
    extmaps: Vec<Extmap>,
    extmap_allow_mixed: bool,
    setup: Option<Setup>,
    fingerprint: Option<Fingerprint>,
    more_fingerprints: Vec<Fingerprint>,
    tls_id: Option<Text>,
    ice_ufrag: Option<Text>,
    ice_pwd: Option<Text>,
    ice_options: Option<Text>,
    ice_lite: bool,
    end_of_candidates: bool,
}

impl Fallback {
    /// Takes an attribute that may stand at both levels. `false` if it is not one of those.
    fn read(&mut self, name: &[u8], value: &[u8], source: &Source) -> bool {
        let text = || Some(source.text(value)).filter(|text| !text.is_empty());
        match name {
            b"extmap" => self.read_extmap(value, source),
            b"extmap-allow-mixed" => self.extmap_allow_mixed = true,
            b"setup" => self.setup = Setup::parse(value).or(self.setup),
            b"fingerprint" => self.read_fingerprint(value),
            b"tls-id" => self.tls_id = text(),
            b"ice-ufrag" => self.ice_ufrag = text(),
            b"ice-pwd" => self.ice_pwd = text(),
            b"ice-options" => self.ice_options = text(),
            b"ice-lite" => self.ice_lite = true,
            b"end-of-candidates" => self.end_of_candidates = true,
            _ => return false,
        }
        true
    }

    /// The first extension of a repeated id counts, so that the list copied to every media stays
    /// small.
    fn read_extmap(&mut self, value: &[u8], source: &Source) {
        if let Some(new) = Extmap::parse(value, source)
            && self.extmaps.iter().all(|old| old.id != new.id)
        {
            self.extmaps.push(new);
        }
    }

    fn read_fingerprint(&mut self, value: &[u8]) {
        let Some(new) = Fingerprint::parse(value) else {
            return;
        };
        match &self.fingerprint {
            Some(old) if new.hash < old.hash => {}
            Some(old) if new.hash == old.hash => {
                let is_known = *old == new || self.more_fingerprints.contains(&new);
                if !is_known && self.more_fingerprints.len() + 1 < FINGERPRINTS {
                    self.more_fingerprints.push(new);
                }
            }
            _ => {
                self.fingerprint = Some(new);
                self.more_fingerprints.clear();
            }
        }
    }

    fn read_direction(&mut self, direction: Direction) {
        let old = self.direction.unwrap_or(direction);
        self.direction = Some(old.stronger(direction));
    }
}

/// A session part under construction.
#[derive(Debug, Default)]
pub(super) struct PartReader {
    pub(super) part: SessionPart,
    pub(super) fallback: Fallback,
}

impl PartReader {
    pub(super) fn read_attribute(&mut self, line: &[u8], source: &Source) {
        let (name, value) = name_and_value(line);
        let value = value.unwrap_or_default();
        let class = if self.fallback.read(name, value, source) {
            AttributeClass::Consumed
        } else if let Some(direction) = Direction::from_name(name) {
            self.fallback.read_direction(direction);
            AttributeClass::Direction
        } else {
            match name {
                b"group" => {
                    let mut words = tokens(value);
                    if words.next() == Some(b"BUNDLE") {
                        let mids = words.map(|mid| source.text(mid)).collect();
                        self.part.bundle_groups.push(mids);
                        AttributeClass::Consumed
                    } else {
                        AttributeClass::Retained
                    }
                }
                b"rtpengine" => {
                    self.part.loop_ids.push(source.text(value));
                    AttributeClass::Consumed
                }
                b"rtcp-fb" => AttributeClass::Retained,
                _ if is_media_only(name) => AttributeClass::Consumed,
                _ => AttributeClass::Generic,
            }
        };
        self.part.attributes.push(Attribute {
            text: source.text(line),
            class,
            name_len: name.len(),
        });
    }
}

/// A media under construction.
#[derive(Debug)]
pub(super) struct MediaReader {
    pub(super) media: Media,
    own: Fallback,
    /// Position of each payload type in `media.codecs`, plus one; 0 is "not there".
    positions: [u8; 128],
}

impl MediaReader {
    pub(super) fn new(media: Media) -> Self {
        Self {
            media,
            own: Fallback::default(),
            positions: [0; 128],
        }
    }

    /// Appends a payload type of the `m=` line; a second time it is ignored.
    pub(super) fn add_payload_type(&mut self, payload_type: u8) {
        if let Some(position) = self.positions.get_mut(usize::from(payload_type))
            && *position == 0
            && let Ok(new) = u8::try_from(self.media.codecs.len() + 1)
        {
            *position = new;
            self.media
                .codecs
                .push(Codec::from_payload_type(payload_type));
        }
    }

    fn codec_mut(&mut self, payload_type: u8) -> Option<&mut Codec> {
        let position = *self.positions.get(usize::from(payload_type))?;
        self.media
            .codecs
            .get_mut(usize::from(position).checked_sub(1)?)
    }

    pub(super) fn read_attribute(&mut self, line: &[u8], source: &Source) {
        let (name, value) = name_and_value(line);
        let value = value.unwrap_or_default();
        let class = if self.own.read(name, value, source) {
            AttributeClass::Consumed
        } else if let Some(direction) = Direction::from_name(name) {
            self.own.read_direction(direction);
            AttributeClass::Direction
        } else if is_media_only(name) {
            self.read_media_only(name, value, source);
            AttributeClass::Consumed
        } else if name == b"rtcp-fb" && first_token(value).0 != b"*" {
            self.read_feedback(value, source);
            AttributeClass::Consumed
        } else if name == b"rtpengine" {
            AttributeClass::Consumed
        } else {
            AttributeClass::Generic
        };
        self.media.attributes.push(Attribute {
            text: source.text(line),
            class,
            name_len: name.len(),
        });
    }

    /// Reads an attribute of [`is_media_only`]. An unreadable value is dropped; an earlier good one
    /// stays.
    fn read_media_only(&mut self, name: &[u8], value: &[u8], source: &Source) {
        let text = || Some(source.text(value)).filter(|text| !text.is_empty());
        let media = &mut self.media;
        match name {
            b"rtpmap" => self.read_rtpmap(value, source),
            b"fmtp" => {
                if let Some((payload_type, format)) = format_of(value)
                    && !format.trim_ascii().is_empty()
                    && let Some(codec) = self.codec_mut(payload_type)
                {
                    codec.fmtp.push(source.text(format));
                }
            }
            b"rtcp" => media.rtcp = RtcpAttribute::parse(value).or(media.rtcp),
            b"rtcp-mux" => media.rtcp_mux = true,
            b"mid" => media.mid = text(),
            b"label" => media.label = text(),
            b"ptime" => media.ptime = millis(value).or(media.ptime),
            b"maxptime" => media.maxptime = millis(value).or(media.maxptime),
            b"crypto" => media.crypto.extend(CryptoLine::parse(value, source)),
            b"candidate" => media
                .ice
                .candidates
                .extend(Candidate::parse_in(value, source)),
            // remote-candidates and ice-mismatch: never believed, never copied.
            _ => {}
        }
    }

    fn read_rtpmap(&mut self, value: &[u8], source: &Source) {
        if let Some((payload_type, rest)) = payload_type_of(value)
            && let Some((name, clock_rate, channels)) = encoding(rest, source)
            && let Some(codec) = self.codec_mut(payload_type)
        {
            codec.name = name;
            codec.clock_rate = clock_rate;
            codec.channels = channels;
        }
    }

    fn read_feedback(&mut self, value: &[u8], source: &Source) {
        if let Some((payload_type, feedback)) = payload_type_of(value)
            && !feedback.is_empty()
            && let Some(codec) = self.codec_mut(payload_type)
        {
            codec.rtcp_fb.push(source.text(feedback));
        }
    }

    /// The media, with missing values taken from its session part.
    pub(super) fn finish(self, session: &Fallback) -> Media {
        let Self { mut media, own, .. } = self;
        let or = |own: Option<Text>, session: &Option<Text>| own.or_else(|| session.clone());
        media.direction = own.direction.or(session.direction);
        media.extmaps = if own.extmaps.is_empty() {
            session.extmaps.clone()
        } else {
            own.extmaps
        };
        media.extmap_allow_mixed = own.extmap_allow_mixed || session.extmap_allow_mixed;
        media.setup = own.setup.or(session.setup);
        let named = match own.fingerprint {
            Some(_) => (own.fingerprint, own.more_fingerprints),
            None => (
                session.fingerprint.clone(),
                session.more_fingerprints.clone(),
            ),
        };
        (media.fingerprint, media.more_fingerprints) = named;
        media.tls_id = or(own.tls_id, &session.tls_id);
        media.ice.ufrag = or(own.ice_ufrag, &session.ice_ufrag);
        media.ice.pwd = or(own.ice_pwd, &session.ice_pwd);
        media.ice.options = or(own.ice_options, &session.ice_options);
        media.ice.lite = own.ice_lite || session.ice_lite;
        media.ice.end_of_candidates = own.end_of_candidates || session.end_of_candidates;
        // Descriptions live as long as their call.
        media.codecs.shrink_to_fit();
        media.attributes.shrink_to_fit();
        media.ice.candidates.shrink_to_fit();
        media
    }
}

fn name_and_value(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match crate::line::split_at_byte(line, b':') {
        Some((name, value)) => (name, Some(value)),
        None => (line, None),
    }
}

/// Attributes that mean something in a media only. At session level they are dropped.
fn is_media_only(name: &[u8]) -> bool {
    matches!(
        name,
        b"candidate"
            | b"crypto"
            | b"fmtp"
            | b"ice-mismatch"
            | b"label"
            | b"maxptime"
            | b"mid"
            | b"ptime"
            | b"remote-candidates"
            | b"rtcp"
            | b"rtcp-mux"
            | b"rtpmap"
    )
}

fn millis(value: &[u8]) -> Option<u32> {
    number(value.trim_ascii()).filter(|&millis| millis > 0)
}
