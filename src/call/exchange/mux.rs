//! RTP and RTCP on one port (RFC 5761; spec: ng-protocol §8.3).

use super::MediaExchange;
use crate::call::model::dialogue::Role;
use crate::call::model::media::{Endpoint, Mux, MuxPolicy};

impl MediaExchange<'_> {
    pub(super) fn negotiate_mux(&mut self, endpoint: Endpoint) {
        let theirs = self.description.is_rtcp_muxed(endpoint.rtp);
        match self.role {
            Role::Offer => self.offer_mux(theirs),
            Role::Answer => self.answer_mux(theirs),
        }
    }

    /// Applies rtcp-mux of an offer and the options.
    fn offer_mux(&mut self, theirs: bool) {
        let options = &self.request.rtcp_mux;
        let (sender, receiver) = (&mut *self.sender, &mut *self.receiver);
        if self.is_first {
            receiver.mux = Mux::default();
        }
        sender.mux.theirs = theirs;
        sender.mux.agreed &= theirs;
        sender.mux.policy = if options.reject {
            MuxPolicy::Reject
        } else if options.accept || options.demux {
            MuxPolicy::Accept
        } else {
            MuxPolicy::Follow
        };
        sender.mux.single = theirs && sender.mux.policy == MuxPolicy::Accept;
        if options.demux {
            receiver.mux = Mux {
                ours: false,
                agreed: false,
                single: false,
                ..receiver.mux
            };
        } else {
            let already = receiver.mux.agreed;
            receiver.mux.ours = theirs || options.offer || options.require || already;
            receiver.mux.single = options.require || already;
        }
        // The offerer may have several branches: what its offer to one says counts for that one.
        receiver.mux.offerer_policy = sender.mux.policy;
    }

    /// Applies rtcp-mux of an answer to both legs.
    fn answer_mux(&mut self, theirs: bool) {
        let (sender, receiver) = (&mut *self.sender, &mut *self.receiver);
        sender.mux.theirs = theirs;
        sender.mux.agreed = sender.mux.ours && theirs;
        receiver.mux.agreed = receiver.mux.theirs
            && match sender.mux.offerer_policy {
                MuxPolicy::Accept => true,
                MuxPolicy::Reject => false,
                MuxPolicy::Follow => sender.mux.agreed,
            };
        receiver.mux.ours = receiver.mux.agreed;
    }
}
