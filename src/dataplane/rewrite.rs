//! Edits of a packet for one sink.

use std::time::Instant;

use crate::flow::{Change, SinkRules, Withhold};
use crate::media::extension;
use crate::media::report;
use crate::media::rtp::{self, RtpHeader, SealedHeader};

/// Result of the edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    /// The packet goes out unchanged.
    Unchanged,
    /// The packet goes out as it is in the scratch buffer.
    Changed,
    /// The packet is withheld.
    Withheld,
}

/// Applies the rules of a sink to an RTP packet, but for those on digits.
pub(super) fn apply(
    rules: &SinkRules,
    header: &RtpHeader,
    datagram: &[u8],
    scratch: &mut Vec<u8>,
) -> Rewritten {
    if !rules.withhold.is_meant_for(header.payload_type) {
        return Rewritten::Withheld;
    }
    let rules = &rules.change;
    let silence = rules
        .silence
        .iter()
        .find(|(payload_type, _)| *payload_type == header.payload_type);
    let hides = !rules.hidden_extensions.is_empty() && extension::is_present(datagram);
    if silence.is_none() && !hides {
        return Rewritten::Unchanged;
    }
    scratch.clear();
    scratch.extend_from_slice(datagram);
    if hides {
        extension::hide(scratch, &rules.hidden_extensions);
    }
    if let Some(&(_, byte)) = silence
        && let Some(payload) = rtp::payload_mut(scratch, header)
    {
        payload.fill(byte);
    }
    Rewritten::Changed
}

/// Applies the rules of a sink to an SRTP packet.
pub(super) fn apply_to_sealed(rules: &Withhold, header: &SealedHeader, now: Instant) -> Rewritten {
    match rules.passes_sealed(header.payload_type(), now) {
        true => Rewritten::Unchanged,
        false => Rewritten::Withheld,
    }
}

/// Applies the rules of a sink to an RTCP compound.
pub(super) fn apply_to_report(rules: &Change, compound: &[u8], scratch: &mut Vec<u8>) -> Rewritten {
    if !rules.drop_feedback || !report::without_feedback(compound, scratch) {
        return Rewritten::Unchanged;
    }
    match scratch.is_empty() {
        true => Rewritten::Withheld,
        false => Rewritten::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::PayloadTypes;

    const PACKET: [u8; 16] = [0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 1, 2, 3, 4];

    fn run(rules: &SinkRules, packet: &[u8]) -> (Rewritten, Vec<u8>) {
        let header = RtpHeader::parse(packet).unwrap();
        let mut scratch = Vec::new();
        let rewritten = apply(rules, &header, packet, &mut scratch);
        (rewritten, scratch)
    }

    #[test]
    fn media_is_withheld_without_its_events() {
        let mut events = PayloadTypes::default();
        events.insert(101);
        let rules = SinkRules {
            withhold: Withhold {
                drop_media: true,
                events,
                ..Withhold::default()
            },
            ..SinkRules::default()
        };
        assert_eq!(run(&rules, &PACKET).0, Rewritten::Withheld);
        let mut event = PACKET;
        event[1] = 101;
        assert_eq!(run(&rules, &event).0, Rewritten::Unchanged);
    }

    #[test]
    fn silence_fills_the_payload_alone() {
        let rules = SinkRules {
            change: Change {
                silence: vec![(0, 0xff)],
                ..Change::default()
            },
            ..SinkRules::default()
        };
        let (rewritten, packet) = run(&rules, &PACKET);
        assert_eq!(rewritten, Rewritten::Changed);
        assert_eq!(packet[..12], PACKET[..12]);
        assert_eq!(packet[12..], [0xff; 4]);
    }
}
