//! Header extensions of both parties of a line (RFC 8285; spec: sdp-rewriting §2, header
//! extensions; ng-protocol §6, `extmap`).
//!
//! A party's list is what it said, or what it was shown: the sender's list without what is
//! stripped, masked or ours. Numbers never change on the way.

use windlass_ng::Request;
use windlass_sdp::{Extmap, SessionDescription};

use super::MediaExchange;
use super::lines::Line;
use crate::call::model::call::Call;
use crate::call::model::dialogue::{Parties, Role};
use crate::call::model::leg::Leg;
use crate::call::model::media::{Extensions, Media};

/// URI of the MID header extension (RFC 9143 §15.1).
pub(crate) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

impl MediaExchange<'_> {
    /// Reads the sender's list.
    pub(super) fn take_extensions(&mut self) {
        let said = self.description;
        if said.extmaps.is_empty() && self.sender.extras.is_none() {
            return;
        }
        let extensions = &mut self.sender.extras_mut().extensions;
        extensions
            .ours
            .retain(|ours| said.extmaps.iter().any(|other| is_same(ours, other)));
        extensions.list.clone_from(&said.extmaps);
        extensions.excludes_mixed = !said.extmaps.is_empty() && !said.extmap_allow_mixed;
    }
}

impl Call {
    /// Makes the receiver's lists from those of the sender, once it is known what is bundled.
    pub(super) fn pass_extensions(
        &mut self,
        parties: Parties,
        sdp: &SessionDescription,
        lines: &[Line],
        request: &Request,
        role: Role,
    ) {
        let [Some(sender), Some(receiver)] = self.legs_mut(parties) else {
            return;
        };
        for line in lines {
            let media = sender.medias.get_mut(line.sender);
            let to = line
                .receiver
                .and_then(|index| receiver.medias.get_mut(index));
            if let (Some(from), Some(to), Some(said)) = (media, to, sdp.media.get(line.said))
                && !from.rejected
                && said.transport.is_rtp()
            {
                pass(from, to, request, role);
            }
        }
        if role == Role::Offer {
            receiver.number_mids();
        }
    }
}

/// One line of [`Call::pass_extensions`].
fn pass(from: &mut Media, to: &mut Media, request: &Request, role: Role) {
    let options = &request.extmap;
    let is_bundled = from.extra(|extras| extras.bundle_head.is_some());
    let mut passed = Vec::new();
    if let Some(extras) = from.extras.as_deref_mut() {
        let Extensions {
            list,
            accepted,
            ours,
            ..
        } = &mut extras.extensions;
        let is_ours = |extmap: &Extmap| ours.iter().any(|other| is_same(other, extmap));
        let left = |extmap: &&Extmap| !is_ours(extmap) && !is_named(extmap, &options.strip);
        passed = list.iter().filter(left).cloned().collect();
        if role == Role::Offer {
            let is_accepted =
                |extmap: &&Extmap| is_named(extmap, &options.mask) || is_bundled && is_mid(extmap);
            let kept = passed.iter().filter(is_accepted);
            // They stay until the party's next offer, whatever it answers before.
            *accepted = kept.map(Extmap::detached).collect();
            passed.retain(|extmap| !is_named(extmap, &options.mask));
        }
    }
    if passed.is_empty() && to.extras.is_none() {
        return;
    }
    let extensions = &mut to.extras_mut().extensions;
    extensions.list = match role {
        Role::Offer => passed,
        Role::Answer => {
            let mut list = extensions.accepted.clone();
            for extmap in passed {
                if !list.iter().any(|known| known.id == extmap.id) {
                    list.push(extmap);
                }
            }
            list
        }
    };
}

impl Leg {
    /// Gives every line of an offered bundle a MID extension, all of them the same number: the
    /// one that a line of the bundle has, else the lowest that none uses.
    pub(crate) fn number_mids(&mut self) {
        let is_offered =
            |media: &Media| !media.rejected && media.extra(|extras| extras.bundle_offered);
        let bundled = || self.medias.iter().filter(|media| is_offered(media));
        let lists = || bundled().filter_map(|media| media.extras.as_deref());
        let known = || lists().flat_map(|extras| &extras.extensions.list);
        let given = known()
            .find(|extmap| is_mid(extmap))
            .map(|extmap| extmap.id);
        let mut free = (1..=255_u8)
            .filter(|id| *id != 15)
            .filter(|id| known().all(|extmap| extmap.id != *id));
        let Some(id) = given.or_else(|| free.next()) else {
            return;
        };
        for media in self.medias.iter_mut().filter(|media| is_offered(media)) {
            let extensions = &mut media.extras_mut().extensions;
            if extensions.list.iter().any(is_mid) {
                continue;
            }
            extensions.list.retain(|extmap| extmap.id != id);
            let mid = Extmap::new(id, MID);
            extensions.list.push(mid.clone());
            extensions.ours = vec![mid];
        }
    }
}

/// The MID extension among those of a line.
pub(crate) fn mid_of(list: &[Extmap]) -> Option<u8> {
    list.iter()
        .find(|extmap| is_mid(extmap))
        .map(|extmap| extmap.id)
}

fn is_mid(extmap: &Extmap) -> bool {
    extmap.uri.eq_ignore_ascii_case(MID)
}

fn is_same(one: &Extmap, other: &Extmap) -> bool {
    one.id == other.id && one.uri.eq_ignore_ascii_case(&other.uri)
}

/// Whether `strip` or `mask` names the extension.
pub(crate) fn is_named(extmap: &Extmap, names: &[String]) -> bool {
    names
        .iter()
        .any(|name| name.eq_ignore_ascii_case("all") || extmap.uri.eq_ignore_ascii_case(name))
}
