//! The parts of a received description that are carried into the printed one.

use crate::attribute::{Attribute, AttributeClass, Direction};
use crate::media::{Media as Received, MediaKind};
use crate::session::{Origin, SessionDescription, SessionPart};
use crate::text::Text;
use crate::write::{AttributeRules, DirectionLine, Formats, Media, Session};

/// Amount that is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carry {
    /// As much as the reference carries. It drops `k=`, `r=`, `z=`, unknown `b=` types,
    /// session-level `a=rtcp-fb` and groups other than BUNDLE.
    #[default]
    Reference,
    /// Everything, including what the reference drops.
    All,
}

impl Session {
    /// A description with the session lines of `from` and no media: `o=`, `s=`, `i=`, `u=`, `e=`,
    /// `p=`, `b=`, `t=` and the attributes we do not make ourselves. A
    /// fragment without `o=` gets [`Origin::unknown`].
    pub fn carried(from: &SessionDescription, carry: Carry) -> Self {
        let none = SessionPart::default();
        let part = from.last_part().unwrap_or(&none);
        let mut session = Self {
            origin: from.origin().cloned().unwrap_or_else(Origin::unknown),
            name: from.name().cloned().unwrap_or_default(),
            info: part.info.clone(),
            uri: part.uri.clone(),
            emails: part.emails.clone(),
            phones: part.phones.clone(),
            bandwidth: part.bandwidth.clone(),
            timing: part.timing.clone().unwrap_or_else(|| "0 0".into()),
            retained: part.retained.clone(),
            loop_protect: None,
            moh: None,
            ice_lite: false,
            bundle_groups: Vec::new(),
            attributes: Vec::new(),
            rules: AttributeRules::default(),
            media: Vec::new(),
        };
        match carry {
            Carry::Reference => {
                session.bandwidth.others.clear();
                session.retained.clear();
                session.attributes = texts(part.generics());
            }
            Carry::All => session.attributes = texts(part.generics_and_retained()),
        }
        session
    }
}

impl Media {
    /// A media without codecs, attributes and address.
    pub fn new(kind: MediaKind, transport: Text, port: u16) -> Self {
        Self {
            kind,
            kind_text: kind.name().into(),
            port,
            port_count: 1,
            transport,
            formats: Formats::Codecs,
            info: None,
            connection: None,
            bandwidth: Default::default(),
            retained: Vec::new(),
            mid: None,
            label: None,
            bundle_only: false,
            rejected: false,
            verbatim: None,
            codecs: Vec::new(),
            extmap_allow_mixed: false,
            extmaps: Vec::new(),
            generics: Vec::new(),
            direction: DirectionLine::Print(Default::default()),
            rtcp: None,
            rtcp_mux: false,
            crypto: Vec::new(),
            setup: None,
            fingerprint: None,
            tls_id: None,
            ptime: None,
            maxptime: None,
            ice_ufrag: None,
            ice_pwd: None,
            ice_options: None,
            remote_candidates: None,
            candidates: Vec::new(),
            end_of_candidates: false,
        }
    }

    /// A media with the content of `from`: formats, codecs, `i=`, `b=`, mid, label, extensions,
    /// packet times, direction and generic attributes, and all attributes verbatim if it is not
    /// RTP. Ports are `from`'s. The caller adds address, RTCP, keys and ICE.
    pub fn carried(from: &Received, carry: Carry) -> Self {
        let mut media = Self::new(from.kind, from.transport.name(), from.port);
        media.kind_text = from.kind_text.clone();
        media.rejected = from.is_rejected();
        media.info = from.info.clone();
        media.bandwidth = from.bandwidth.clone();
        if carry == Carry::Reference {
            media.bandwidth.others.clear();
        } else {
            media.retained = from.retained.clone();
        }
        media.mid = from.mid.clone();
        media.label = from.label.clone();
        if from.codecs.is_empty() && !(from.transport.is_rtp() && from.formats.is_empty()) {
            media.formats = Formats::Text(from.formats.clone());
        }
        if !from.transport.is_rtp() {
            media.copy_attributes(from);
            return media;
        }
        media.codecs = from.codecs.clone();
        media.extmap_allow_mixed = from.extmap_allow_mixed;
        media.extmaps = from.extmaps.clone();
        media.generics = feedback_first(from.generics());
        media.direction = DirectionLine::Print(from.direction_or_default());
        media.ptime = from.ptime;
        media.maxptime = from.maxptime;
        media
    }

    /// All attributes as `from` has them, and the direction that the session gives it.
    pub fn copy_attributes(&mut self, from: &Received) {
        let mut attributes = texts(from.verbatim());
        attributes.extend(direction_of_session(from).map(|direction| direction.name().into()));
        self.verbatim = Some(attributes);
    }

    /// Leaves the direction as in `from`: in its place among the generic attributes, and absent if
    /// it is absent there (`original-sendrecv`). A session direction is printed in each media.
    pub fn copy_direction(&mut self, from: &Received) {
        self.direction = match direction_of_session(from) {
            Some(direction) => DirectionLine::Print(direction),
            None => DirectionLine::CopiedAmongGenerics,
        };
        self.generics = feedback_first(from.generics_with_direction());
    }
}

/// Carried attributes with those of `rtcp-fb:*`, which belong to the codecs, before all others.
fn feedback_first<'a>(attributes: impl Iterator<Item = &'a Attribute>) -> Vec<Text> {
    let (mut first, others): (Vec<&Attribute>, Vec<&Attribute>) =
        attributes.partition(|attribute| attribute.name() == b"rtcp-fb");
    first.extend(others);
    texts(first.into_iter())
}

/// The direction of a media that has it from the session.
fn direction_of_session(of: &Received) -> Option<Direction> {
    let is_direction = |attribute: &Attribute| attribute.class == AttributeClass::Direction;
    of.direction
        .filter(|_| !of.attributes.iter().any(is_direction))
}

fn texts<'a>(attributes: impl Iterator<Item = &'a Attribute>) -> Vec<Text> {
    attributes.map(|attribute| attribute.text.clone()).collect()
}
