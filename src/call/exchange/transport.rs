//! The transport of both legs (spec: sdp-rewriting §8, last paragraph; ng-protocol §8.6), and
//! what passes without being touched.

use windlass_ng::request::{IceMode, TransportProtocol};
use windlass_sdp::Transport;

use super::MediaExchange;
use crate::call::model::dialogue::Role;
use crate::call::model::media::{LegacyPair, Media, Passthrough, TurnedDown};

impl MediaExchange<'_> {
    pub(super) fn negotiate_transport(&mut self) {
        let said = &self.description.transport;
        let changed = self.sender.transport != *said;
        let is_downgraded = self.role == Role::Answer
            && self.sender.transport.is_srtp()
            && said.is_rtp()
            && !said.is_srtp()
            && !self.description.is_osrtp()
            && !self.sender.extra(|extras| extras.legacy.is_some());
        if is_downgraded || self.sender.extra(|extras| extras.is_downgraded) {
            if is_downgraded {
                tracing::warn!("SRTP was offered and is answered in plain: no media passes");
            }
            self.sender.extras_mut().is_downgraded = is_downgraded;
        }
        if self.role == Role::Offer && self.receiver.extra(|extras| extras.is_downgraded) {
            self.receiver.extras_mut().is_downgraded = false;
        }
        // An answer cannot make plain RTP into OSRTP that was not offered; a later one can take up
        // what an earlier one, a provisional one or that of another fork, turned down.
        let was_offered = self.sender.extra(|extras| extras.offered_osrtp);
        let may_be_osrtp = self.role == Role::Offer || self.sender.is_secure() || was_offered;
        self.sender.transport.clone_from(said);
        set_osrtp(self.sender, self.description.is_osrtp() && may_be_osrtp);
        if self.role == Role::Answer {
            match self.request.transport_protocol {
                Some(wanted) if said.is_rtp() => self.receiver.transport = transport(wanted),
                _ if self.request.transport_protocol_accept => {
                    self.receiver.transport.clone_from(said);
                }
                _ => {}
            }
            self.judge_osrtp();
            return;
        }
        // Answers to earlier offers are over.
        for media in [&mut *self.sender, &mut *self.receiver] {
            if let Some(extras) = media.extras.as_deref_mut() {
                extras.offered_osrtp = false;
                extras.turned_down = None;
            }
        }
        if self.is_first || changed {
            self.receiver.transport.clone_from(said);
            set_osrtp(self.receiver, self.description.is_osrtp());
        }
        if let Some(wanted) = self.request.transport_protocol
            && said.is_rtp()
        {
            self.receiver.transport = transport(wanted);
            set_osrtp(self.receiver, false);
        }
        let osrtp = &self.request.osrtp;
        let (is_rtp, is_srtp) = (
            self.receiver.transport.is_rtp(),
            self.receiver.transport.is_srtp(),
        );
        if osrtp.offer && is_rtp && !is_srtp {
            set_osrtp(self.receiver, true);
        }
        if osrtp.offer_legacy && is_srtp && self.is_first {
            self.receiver.extras_mut().legacy = Some(LegacyPair::RtpFirst);
        }
        if let Some(extras) = self.receiver.extras.as_deref_mut() {
            extras.offered_osrtp = extras.osrtp;
        }
    }

    /// An offer of OSRTP that is answered in plain is turned down (RFC 8643 §3.1): both sides are
    /// plain from then on, unless the request accepts it in the answerer's place, or a later answer
    /// to the same offer has keys. The relay itself, where it is the answerer, takes the keys.
    fn judge_osrtp(&mut self) {
        let is_taken = self.sender.is_secure() || self.request.osrtp.accept || self.by_relay;
        let Some(extras) = self.receiver.extras.as_deref_mut() else {
            return;
        };
        if !is_taken && extras.osrtp {
            extras.osrtp = false;
            extras.turned_down = Some(TurnedDown {
                sdes: std::mem::take(&mut extras.sdes),
                dtls: extras.dtls.take(),
            });
        } else if is_taken && let Some(offered) = extras.turned_down.take() {
            extras.osrtp = true;
            extras.sdes = offered.sdes;
            extras.dtls = offered.dtls;
        }
    }

    /// Keys and candidates of the sender that go to the receiver as they are.
    pub(super) fn negotiate_passthrough(&mut self) {
        let has_ice = self.description.ice.is_present();
        let passthrough = match (self.role, self.request.passthrough, self.request.ice.mode) {
            (Role::Offer, Some(true), _) => Some(Passthrough::Plain),
            (Role::Offer, _, Some(IceMode::Optional)) if has_ice => Some(Passthrough::Optional),
            (Role::Offer, _, Some(IceMode::ForceRelay)) if has_ice => Some(Passthrough::Relay),
            (Role::Offer, _, _) => None,
            (Role::Answer, Some(false), _) => None,
            (Role::Answer, _, mode) => {
                let wanted = match mode {
                    Some(IceMode::Optional) => Some(Passthrough::Optional),
                    Some(IceMode::ForceRelay) => Some(Passthrough::Relay),
                    _ => None,
                };
                let offered = self.receiver.extras.as_deref();
                let both = has_ice && offered.is_some_and(|extras| extras.ice.theirs.is_some());
                match (offered.and_then(|extras| extras.passthrough), wanted) {
                    (Some(Passthrough::Plain), _) => Some(Passthrough::Plain),
                    (_, Some(wanted)) if both => Some(wanted),
                    (passed @ Some(_), Some(_)) => passed,
                    // An answerer without ICE takes our address; the offerer then deals with us
                    // alone.
                    (passed, _) => passed.filter(|_| has_ice),
                }
            }
        };
        if self.role == Role::Answer
            && passthrough.is_none()
            && self.receiver.is_passed_through()
            && let Some(extras) = self.receiver.extras.as_deref_mut()
        {
            // An offerer whose candidates were to pass through, and then were not.
            extras.ice.is_active |= extras.ice.theirs.is_some() && self.request.ice.mode.is_some();
        }
        for media in [&mut *self.sender, &mut *self.receiver] {
            if passthrough.is_some() || media.is_passed_through() {
                media.extras_mut().passthrough = passthrough;
            }
        }
    }
}

fn set_osrtp(media: &mut Media, osrtp: bool) {
    if osrtp || media.extra(|extras| extras.osrtp) {
        media.extras_mut().osrtp = osrtp;
    }
}

fn transport(protocol: TransportProtocol) -> Transport {
    match protocol {
        TransportProtocol::RtpAvp => Transport::RtpAvp,
        TransportProtocol::RtpSavp => Transport::RtpSavp,
        TransportProtocol::RtpAvpf => Transport::RtpAvpf,
        TransportProtocol::RtpSavpf => Transport::RtpSavpf,
        TransportProtocol::UdpTlsRtpSavp => Transport::UdpTlsRtpSavp,
        TransportProtocol::UdpTlsRtpSavpf => Transport::UdpTlsRtpSavpf,
        TransportProtocol::Udptl => Transport::Udptl,
    }
}
