//! Keys by DTLS (RFC 5763, RFC 8842; spec: ng-protocol §8.5, sdp-rewriting §8).

use windlass_ng::request::{DtlsRole, FingerprintHash};
use windlass_sdp::{HashFunction, Setup};

use super::MediaExchange;
use crate::call::identity::hex;
use crate::call::model::dialogue::Role;
use crate::call::model::media::{Dtls, Extras, Media, OurCertificate};

/// Bytes of a `tls-id`.
const TLS_ID_BYTES: usize = 16;

impl MediaExchange<'_> {
    /// `by_sdes`: the receiver was known to use SDES alone before this offer.
    pub(super) fn negotiate_dtls(&mut self, by_sdes: bool) {
        if self.sender.is_passed_through() {
            for media in [&mut *self.sender, &mut *self.receiver] {
                if let Some(extras) = media.extras.as_deref_mut() {
                    extras.dtls = None;
                }
            }
            return;
        }
        self.take_theirs();
        match self.role {
            Role::Offer => self.offer_dtls(by_sdes),
            Role::Answer => self.answer_dtls(),
        }
    }

    /// Reads the sender's DTLS attributes.
    fn take_theirs(&mut self) {
        let description = self.description;
        let Some(fingerprint) = description
            .fingerprint
            .clone()
            .filter(|_| self.sender.is_secure())
        else {
            if let Some(extras) = self.sender.extras.as_deref_mut() {
                let dtls = extras.dtls.take().filter(|_| self.role == Role::Answer);
                extras.declined_dtls = dtls.or_else(|| extras.declined_dtls.take());
            }
            return;
        };
        if let Some(extras) = self.sender.extras.as_deref_mut()
            && let Some(offered) = extras.declined_dtls.take()
        {
            extras.dtls.get_or_insert(offered);
        }
        let hash = fingerprint.hash;
        let dtls = self.association(Side::Sender, hash);
        dtls.fingerprint = Some(fingerprint);
        dtls.more_fingerprints
            .clone_from(&description.more_fingerprints);
        dtls.theirs = description.setup;
        dtls.their_tls_id.clone_from(&description.tls_id);
    }

    /// Whether an earlier offer has settled that the receiver uses SDES and no DTLS.
    pub(super) fn is_settled_on_sdes(&self) -> bool {
        let is_settled = |extras: &Extras| extras.sdes.is_active && extras.dtls.is_none();
        !self.is_first && self.receiver.extra(is_settled)
    }

    fn offer_dtls(&mut self, by_sdes: bool) {
        let options = &self.request.dtls;
        for media in [&mut *self.sender, &mut *self.receiver] {
            if let Some(extras) = media.extras.as_deref_mut() {
                extras.declined_dtls = None;
            }
        }
        let passive = match options.role {
            Some(role) => role == DtlsRole::Passive,
            None => self.host.defaults.dtls_passive,
        };
        if let Some(dtls) = dtls_of(self.sender) {
            dtls.prefers_passive = passive;
        }
        let (is_secure, is_first) = (self.receiver.is_secure(), self.is_first);
        let decided = self.receiver.extras.as_deref();
        let has = decided.is_some_and(|extras| extras.dtls.is_some());
        let is_offered = is_secure && (has && !is_first || !options.off && !by_sdes);
        if !is_offered {
            if let Some(extras) = self.receiver.extras.as_deref_mut() {
                extras.dtls = None;
            }
            return;
        }
        let hash = options
            .fingerprint
            .map_or(HashFunction::Sha256, hash_function);
        let omit = self.request.flags.no_tls_id();
        let dtls = self.association(Side::Receiver, hash);
        dtls.ours = Setup::Actpass;
        dtls.omit_tls_id = omit;
    }

    fn answer_dtls(&mut self) {
        if dtls_of(self.sender).is_some()
            && let Some(extras) = self.sender.extras.as_deref_mut()
        {
            // DTLS wins where both were answered.
            extras.sdes.is_active = false;
            if let Some(dtls) = extras.dtls.as_mut() {
                dtls.ours = role_for(dtls.theirs, false, None);
            }
        }
        let (off, omit) = (self.request.dtls.off, self.request.flags.no_tls_id());
        let Some(extras) = self.receiver.extras.as_deref_mut() else {
            return;
        };
        let has_sdes = !extras.sdes.theirs.is_empty();
        let Some(dtls) = extras.dtls.as_mut() else {
            return;
        };
        if has_sdes && (off || extras.sdes.is_preferred) {
            extras.dtls = None;
            return;
        }
        extras.sdes.is_active = false;
        extras.sdes.ours.clear();
        dtls.ours = role_for(dtls.theirs, dtls.prefers_passive, Some(dtls.ours));
        dtls.omit_tls_id = omit;
    }

    /// The association with a party, made if there is none; `hash` is then that of our
    /// fingerprint.
    fn association(&mut self, side: Side, hash: HashFunction) -> &mut Dtls {
        let replaced = self.replaced_extras().map(|(_, receiver)| receiver);
        let replaced = replaced.and_then(|extras| extras.dtls.as_ref());
        let replaced = replaced.filter(|_| matches!(side, Side::Receiver));
        let tls_id_before = replaced.map(|dtls| dtls.tls_id.clone());
        let media = match side {
            Side::Sender => &mut *self.sender,
            Side::Receiver => &mut *self.receiver,
        };
        let rng = &mut *self.rng;
        let identity = self.host.identity;
        media.extras_mut().dtls.get_or_insert_with(|| Dtls {
            fingerprint: None,
            more_fingerprints: Vec::new(),
            theirs: None,
            ours: Setup::Actpass,
            their_tls_id: None,
            tls_id: tls_id_before.unwrap_or_else(|| tls_id(rng)),
            hash,
            omit_tls_id: false,
            prefers_passive: false,
            certificate: OurCertificate(identity.certificate()),
        })
    }
}

/// A new `tls-id` (RFC 8842 §4).
pub(super) fn tls_id(rng: &mut dyn rand::RngCore) -> windlass_sdp::Text {
    hex(rng, TLS_ID_BYTES).into()
}

enum Side {
    Sender,
    Receiver,
}

fn dtls_of(media: &mut Media) -> Option<&mut Dtls> {
    media.extras.as_deref_mut()?.dtls.as_mut()
}

/// Our answer to what a party said (RFC 5763 §5); a role once taken stays if it can.
fn role_for(theirs: Option<Setup>, prefers_passive: bool, before: Option<Setup>) -> Setup {
    match theirs {
        Some(Setup::Active) => Setup::Passive,
        Some(Setup::Passive) => Setup::Active,
        Some(Setup::Actpass) => match before {
            Some(role @ (Setup::Active | Setup::Passive)) => role,
            _ if prefers_passive => Setup::Passive,
            _ => Setup::Active,
        },
        Some(Setup::Holdconn) | None => Setup::Holdconn,
    }
}

fn hash_function(hash: FingerprintHash) -> HashFunction {
    match hash {
        FingerprintHash::Sha1 => HashFunction::Sha1,
        FingerprintHash::Sha224 => HashFunction::Sha224,
        FingerprintHash::Sha256 => HashFunction::Sha256,
        FingerprintHash::Sha384 => HashFunction::Sha384,
        FingerprintHash::Sha512 => HashFunction::Sha512,
    }
}
