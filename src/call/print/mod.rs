//! The SDP that a party is shown, regenerated from the state of both legs
//! (spec: sdp-rewriting §2–§12).

mod candidates;
mod line;
mod origin;

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use rand::RngCore;
use windlass_ng::Request;
use windlass_ng::request::SdpSection;
use windlass_sdp::write::{self, AttributeRules, Carry, Section, SectionRules};
use windlass_sdp::{MediaKind, Origin, SessionDescription, Text};

use super::exchange::Host;
use super::model::call::Call;
use super::model::dialogue::{Parties, Role};
use super::model::leg::{Leg, LegIndex, Printed};
use super::model::media::{Media, Said, read_again};
pub(super) use candidates::host_priority;
use line::MediaLine;
use origin::origin;

/// Input for printing a description.
pub(crate) struct Printing<'a> {
    pub(crate) request: &'a Request,
    pub(crate) role: Role,
    pub(crate) host: Host<'a>,
    pub(crate) rng: &'a mut dyn RngCore,
}

impl Call {
    /// Prints the sender's SDP for the receiver, and remembers what was printed. `sdp` is the
    /// sender's current one.
    pub(crate) fn print(
        &mut self,
        parties: Parties,
        sdp: &SessionDescription,
        with: &mut Printing<'_>,
    ) -> Vec<u8> {
        let (Some(sender), Some(receiver)) = (
            self.legs.get(parties.sender),
            self.legs.get(parties.receiver),
        ) else {
            return Vec::new();
        };
        let texts = Texts::new(sdp, sender, receiver, with.role);
        let mut session = write::Session::carried(sdp, Carry::All);
        if with.request.replace.session_name
            && let Some(name) = &sender.first_session_name
        {
            session.name = name.clone();
        }
        let copies_all = receiver
            .medias
            .iter()
            .any(|media| media.is_passed_through() || media.extra(|e| e.bypass_address.is_some()));
        for (index, shown) in receiver.medias.iter().enumerate() {
            let source = sender.medias.iter().find(|media| media.line == shown.line);
            let line = MediaLine {
                receiver,
                shown,
                source,
                index,
                texts: &texts,
                said: None,
                request: with.request,
                role: with.role,
                host: with.host,
            };
            line.print_into(&mut session.media);
        }
        finish_session(&mut session, receiver, with);
        session.bundle_groups = bundle_groups(receiver, with.role);
        if copies_all {
            let groups = sdp.bundle_groups().map(<[Text]>::to_vec);
            session.bundle_groups.extend(groups);
        }
        self.print_session(parties.receiver, session, sdp.origin(), with)
    }

    /// Prints an SDP of the relay's own making, one description per media of the leg. It has no
    /// bundles: each line has ports, credentials and keys of its own.
    pub(crate) fn print_for(
        &mut self,
        leg: LegIndex,
        mut session: write::Session,
        origin: Option<&Origin>,
        descriptions: &[windlass_sdp::Media],
        with: &mut Printing<'_>,
    ) -> Vec<u8> {
        let Some(receiver) = self.legs.get(leg) else {
            return Vec::new();
        };
        let nothing = SessionDescription::default();
        let texts = Texts::new(&nothing, receiver, receiver, Role::Offer);
        for (index, (shown, said)) in receiver.medias.iter().zip(descriptions).enumerate() {
            let line = MediaLine {
                receiver,
                shown,
                source: None,
                index,
                texts: &texts,
                said: Some(said),
                request: with.request,
                role: with.role,
                host: with.host,
            };
            line.print_into(&mut session.media);
        }
        finish_session(&mut session, receiver, with);
        self.print_session(leg, session, origin, with)
    }

    /// Gives a description its o= line, prints it and remembers what was printed.
    fn print_session(
        &mut self,
        leg: LegIndex,
        mut session: write::Session,
        received: Option<&Origin>,
        with: &mut Printing<'_>,
    ) -> Vec<u8> {
        let Some(receiver) = self.legs.get(leg) else {
            return Vec::new();
        };
        let medias = receiver.medias.iter();
        let mut advertised = medias.filter_map(|media| Some(media.ports()?.main.advertised));
        let printed = receiver.printed.as_ref();
        session.origin = origin(received, printed, advertised.next(), with.request, with.rng);
        let replace = &with.request.replace;
        let mut text = session.to_bytes();
        // A forced version makes a difference of its own.
        let changed = printed.is_some_and(|printed| printed.digest != digest(&text));
        if changed && (replace.sdp_version || replace.origin_full) {
            session.origin.increment_version();
            text = session.to_bytes();
        }
        if let Some(receiver) = self.legs.get_mut(leg) {
            receiver.printed = Some(Printed {
                origin: session.origin.detached(),
                digest: digest(&text),
            });
        }
        text
    }
}

/// Adds the session lines that depend on the medias.
fn finish_session(session: &mut write::Session, receiver: &Leg, with: &Printing<'_>) {
    let request = with.request;
    session.rules = rules(request);
    if request.flags.loop_protect() {
        session.loop_protect = Some(with.host.identity.loop_id().clone());
    }
    let usable = receiver.medias.iter().find(|media| !media.rejected);
    session.ice_lite =
        usable.is_some_and(|media| media.has_ice() && media.extra(|extras| extras.ice.lite));
}

/// The groups of a leg: what it offered and we accepted, or what we offer.
fn bundle_groups(leg: &Leg, role: Role) -> Vec<Vec<Text>> {
    let in_use = || leg.medias.iter().filter(|media| !media.rejected);
    if role == Role::Offer {
        let offered = in_use().filter(|media| media.extra(|extras| extras.bundle_offered));
        let mids: Vec<Text> = offered.filter_map(|media| media.mid.clone()).collect();
        return if mids.is_empty() {
            Vec::new()
        } else {
            vec![mids]
        };
    }
    let mut groups: Vec<(usize, Vec<Text>)> = Vec::new();
    for media in in_use() {
        let head = media
            .extras
            .as_deref()
            .and_then(|extras| extras.bundle_head);
        let (Some(head), Some(mid)) = (head, media.mid.clone()) else {
            continue;
        };
        match groups.iter_mut().find(|(known, _)| *known == head) {
            Some((_, mids)) => mids.push(mid),
            None => groups.push((head, vec![mid])),
        }
    }
    groups.into_iter().map(|(_, mids)| mids).collect()
}

/// `sdp-attr` of the request, as the printer takes it.
fn rules(request: &Request) -> AttributeRules {
    let mut rules = AttributeRules::default();
    if request.sdp_attr.is_empty() {
        return rules;
    }
    for (named, section) in [
        (SdpSection::Global, Section::Session),
        (SdpSection::None, Section::Session),
        (SdpSection::Audio, Section::Media(MediaKind::Audio)),
        (SdpSection::Video, Section::Media(MediaKind::Video)),
        (SdpSection::Image, Section::Media(MediaKind::Image)),
        (SdpSection::Message, Section::Media(MediaKind::Message)),
        (SdpSection::Text, Section::Media(MediaKind::Text)),
        (
            SdpSection::Application,
            Section::Media(MediaKind::Application),
        ),
        (SdpSection::Other, Section::Media(MediaKind::Other)),
    ] {
        let Some(given) = request.sdp_attr.section(named) else {
            continue;
        };
        let SectionRules {
            add,
            remove,
            substitute,
        } = rules.section_mut(section);
        let text = |text: &String| Text::from(text.as_str());
        add.extend(given.add.iter().map(text));
        remove.extend(given.remove.iter().map(text));
        let pairs = given.substitute.iter();
        substitute.extend(pairs.map(|(from, to)| (text(from), text(to))));
    }
    rules
}

/// The descriptions that medias refer to, each read once.
pub(super) struct Texts<'a> {
    current: &'a SessionDescription,
    current_medias: Option<Arc<[u8]>>,
    others: Vec<(Arc<[u8]>, SessionDescription)>,
}

impl<'a> Texts<'a> {
    fn new(current: &'a SessionDescription, sender: &Leg, receiver: &Leg, role: Role) -> Self {
        let mut texts = Self {
            current,
            current_medias: sender.said.clone(),
            others: Vec::new(),
        };
        for said in sender.medias.iter().filter_map(|media| media.said.as_ref()) {
            texts.add(said);
        }
        // An offer has nothing of its receiver's text, except where the sender has none.
        for media in &receiver.medias {
            let has_source = sender.medias.iter().any(|source| source.line == media.line);
            if let Some(said) = &media.said
                && (role == Role::Answer || !has_source || media.rejected)
            {
                texts.add(said);
            }
        }
        texts
    }

    fn add(&mut self, said: &Said) {
        let is_current = self.is_current(said);
        if is_current
            || self
                .others
                .iter()
                .any(|(text, _)| Arc::ptr_eq(text, &said.sdp))
        {
            return;
        }
        if let Some(read) = read_again(&said.sdp) {
            self.others.push((said.sdp.clone(), read));
        }
    }

    fn is_current(&self, said: &Said) -> bool {
        self.current_medias
            .as_ref()
            .is_some_and(|text| Arc::ptr_eq(text, &said.sdp))
    }

    /// The address of a media in the SDP that is being shown.
    fn address_of(&self, media: &Media) -> Option<IpAddr> {
        let said = media.said.as_ref().filter(|said| self.is_current(said))?;
        let description = self.current.media.get(said.index)?;
        self.current.address_of(description).ok()
    }

    /// The party's description of a media.
    fn of(&self, media: &Media) -> Option<&windlass_sdp::Media> {
        let said = media.said.as_ref()?;
        if self.is_current(said) {
            return self.current.media.get(said.index);
        }
        let (_, read) = self
            .others
            .iter()
            .find(|(text, _)| Arc::ptr_eq(text, &said.sdp))?;
        read.media.get(said.index)
    }
}

fn digest(text: &[u8]) -> u64 {
    foldhash::quality::FixedState::default().hash_one(text)
}

/// The address that is printed for a local port.
fn shown(advertised: IpAddr, request: &Request) -> IpAddr {
    request.media_address.unwrap_or(advertised)
}
