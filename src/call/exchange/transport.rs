//! The transport of both legs (spec: sdp-rewriting §8, last paragraph; ng-protocol §8.6), and
//! what passes without being touched.

use windlass_ng::request::{IceMode, TransportProtocol};
use windlass_sdp::Transport;

use super::MediaExchange;
use crate::call::dialogue::Role;
use crate::call::media::{LegacyPair, Media, Passthrough};

impl MediaExchange<'_> {
    pub(super) fn negotiate_transport(&mut self) {
        let said = &self.description.transport;
        let changed = self.sender.transport != *said;
        self.sender.transport.clone_from(said);
        set_osrtp(self.sender, self.description.is_osrtp());
        if self.role == Role::Answer {
            if self.request.transport_protocol_accept {
                self.receiver.transport.clone_from(said);
            }
            return;
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
            (Role::Answer, _, _) => {
                let offered = self.receiver.extras.as_deref();
                let offered = offered.and_then(|extras| extras.passthrough);
                // An answerer without ICE takes our address; the offerer then deals with us alone.
                offered.filter(|offered| has_ice || *offered == Passthrough::Plain)
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
