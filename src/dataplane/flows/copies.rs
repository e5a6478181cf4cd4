//! Copies of the end of a digit, behind the packet that it went out with (RFC 4733 §2.5.1.4).

use std::net::SocketAddr;
use std::time::Instant;

use super::Flows;
use super::send::{count_source, send};
use crate::dataplane::backend::Backend;
use crate::flow::secure::Numbering;
use crate::media::rtp::{self, RtpHeader};

impl<B: Backend> Flows<B> {
    /// Sends the packet in the scratch buffer again from a flow, with the numbers that follow.
    pub(super) fn send_copies(
        &mut self,
        from: usize,
        destination: SocketAddr,
        copies: u16,
        now: Instant,
    ) {
        let Ok(header) = RtpHeader::parse(&self.scratch) else {
            return;
        };
        // The mark is that of the first packet alone.
        rtp::set_marker(&mut self.scratch, false);
        for copy in 1..=copies {
            let number = header.sequence.wrapping_add(copy);
            rtp::set_sequence(&mut self.scratch, number);
            let Some(sender) = self.entries.get_mut(from) else {
                return;
            };
            let (backend, sealed) = (&mut self.backend, &mut self.sealed);
            let copy = (&self.scratch[..], Numbering::Proven);
            if send(backend, sealed, sender, copy, destination).is_err() {
                continue;
            }
            if self.recorded.takes_egress() {
                sender.record_sent(now, destination, &self.scratch);
            }
            count_source(&sender.stats, &header.arrival(&self.scratch), &self.scratch);
            let octets = self.scratch.len().saturating_sub(header.payload_at);
            sender.count_sent(header.ssrc, header.timestamp, octets, now);
        }
    }
}
