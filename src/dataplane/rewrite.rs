//! What one sink changes of a packet, or withholds.

use crate::flow::extensions::ExtensionRules;
use crate::flow::{Change, SinkRules};
use crate::media::extension::{self, Elements, Form};
use crate::media::report;
use crate::media::rtp::{self, RtpHeader};

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    /// It goes as it is.
    Unchanged,
    /// It goes as it stands in the scratch buffer.
    Changed,
    /// It does not go.
    Withheld,
}

/// Applies the rules of a sink to an RTP packet, but for those on digits. `is_two_byte`: header
/// extensions go to the receiver in the two-byte form from now on.
pub(super) fn apply(
    rules: &SinkRules,
    header: &RtpHeader,
    datagram: &[u8],
    is_two_byte: &mut bool,
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
    let extensions = rules.extensions.as_ref();
    let extensions =
        extensions.filter(|rules| rules.mid.is_some() || extension::is_present(datagram));
    if silence.is_none() && extensions.is_none() {
        return Rewritten::Unchanged;
    }
    extend_only((extensions, header, datagram), is_two_byte, scratch);
    if let Some(&(_, byte)) = silence {
        let header = moved(header, datagram, scratch);
        if let Some(payload) = rtp::payload_mut(scratch, &header) {
            payload.fill(byte);
        }
    }
    Rewritten::Changed
}

/// Applies the rules for header extensions alone: a copy is in the scratch buffer in any case.
pub(super) fn extend_only(
    (extensions, header, packet): (Option<&ExtensionRules>, &RtpHeader, &[u8]),
    is_two_byte: &mut bool,
    scratch: &mut Vec<u8>,
) {
    let needed = |rules: &&ExtensionRules| rules.mid.is_some() || extension::is_present(packet);
    match extensions.filter(needed) {
        Some(rules) => extend(rules, header, packet, is_two_byte, scratch),
        None => {
            scratch.clear();
            scratch.extend_from_slice(packet);
        }
    }
}

/// The header of a packet whose block of extensions was made anew: its payload is elsewhere.
pub(super) fn moved(header: &RtpHeader, before: &[u8], after: &[u8]) -> RtpHeader {
    let payload_bytes = before.len().saturating_sub(header.payload_at);
    RtpHeader {
        payload_at: after.len().saturating_sub(payload_bytes),
        ..*header
    }
}

/// Makes the block of header extensions anew, for one receiver: its own MID first, then what is in
/// the lists of both lines (spec: media-behaviour §2.1).
fn extend(
    rules: &ExtensionRules,
    header: &RtpHeader,
    datagram: &[u8],
    is_two_byte: &mut bool,
    scratch: &mut Vec<u8>,
) {
    let both = rules.sender.intersection(rules.receiver);
    let mid = rules.mid.as_ref();
    let ours = mid.map(|mid| (mid.id, &*mid.value));
    let theirs = Elements::of(datagram, header);
    let passes = |&(id, _): &(u8, &[u8])| both.contains(id) && mid.is_none_or(|mid| mid.id != id);
    let elements = || ours.into_iter().chain(theirs.filter(passes));
    if !*is_two_byte && !rules.receiver.needs_two_bytes() {
        let fits = extension::write(datagram, header, elements(), Form::OneByte, scratch);
        if fits || !rules.allows_mixed {
            return;
        }
        *is_two_byte = true;
    }
    extension::write(datagram, header, elements(), Form::TwoByte, scratch);
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
    use crate::flow::extensions::{ExtensionIds, MidElement};
    use crate::flow::{PayloadTypes, Withhold};

    const PACKET: [u8; 16] = [0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 1, 2, 3, 4];

    fn run(rules: &SinkRules, packet: &[u8]) -> (Rewritten, Vec<u8>) {
        let header = RtpHeader::parse(packet).unwrap();
        let mut scratch = Vec::new();
        let rewritten = apply(rules, &header, packet, &mut false, &mut scratch);
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

    /// A packet of PCMU with a block of one-byte or two-byte elements, or without one.
    fn extended(profile: Option<u16>, elements: &[u8]) -> Vec<u8> {
        let mut packet = PACKET[..12].to_vec();
        if let Some(profile) = profile {
            packet[0] |= 0x10;
            packet.extend_from_slice(&profile.to_be_bytes());
            let words = u16::try_from(elements.len() / 4).unwrap();
            packet.extend_from_slice(&words.to_be_bytes());
            packet.extend_from_slice(elements);
        }
        packet.extend_from_slice(&PACKET[12..]);
        packet
    }

    fn one_byte(elements: &[u8]) -> Vec<u8> {
        extended(Some(0xbede), elements)
    }

    fn two_byte(elements: &[u8]) -> Vec<u8> {
        extended(Some(0x1000), elements)
    }

    fn ids(ids: &[u8]) -> ExtensionIds {
        ids.iter().copied().collect()
    }

    /// The lists of two lines.
    fn lists(sender: &[u8], receiver: &[u8]) -> ExtensionRules {
        ExtensionRules {
            sender: ids(sender),
            receiver: ids(receiver),
            ..ExtensionRules::default()
        }
    }

    fn ruled(extensions: ExtensionRules) -> SinkRules {
        SinkRules {
            change: Change {
                extensions: Some(extensions),
                ..Change::default()
            },
            ..SinkRules::default()
        }
    }

    /// What leaves for a packet.
    fn leaves(extensions: &ExtensionRules, packet: &[u8]) -> Vec<u8> {
        leaves_in(extensions, packet, &mut false)
    }

    fn leaves_in(extensions: &ExtensionRules, packet: &[u8], is_two_byte: &mut bool) -> Vec<u8> {
        let header = RtpHeader::parse(packet).unwrap();
        let mut scratch = Vec::new();
        let rules = ruled(extensions.clone());
        match apply(&rules, &header, packet, is_two_byte, &mut scratch) {
            Rewritten::Unchanged => packet.to_vec(),
            Rewritten::Changed => scratch,
            Rewritten::Withheld => panic!("withheld"),
        }
    }

    /// media-behaviour §2.1.
    #[test]
    fn without_lists_a_block_goes_through_byte_for_byte() {
        let rules = SinkRules::default();
        for packet in [
            one_byte(&[0x10, 0xaa, 0xf7, 1]),
            extended(Some(0x1234), &[1, 2, 3, 4]),
        ] {
            assert_eq!(run(&rules, &packet).0, Rewritten::Unchanged);
        }
    }

    /// media-behaviour §2.1, with its examples.
    #[test]
    fn elements_pass_that_are_in_both_lists() {
        let to_b = lists(&[3, 5, 6], &[3]);
        let packet = one_byte(&[0x30, 0xaa, 0x50, 0xbb, 0x70, 0xcc, 0, 0]);
        // Shorter, not padded.
        assert_eq!(leaves(&to_b, &packet), one_byte(&[0x30, 0xaa, 0, 0]));
        assert_eq!(leaves(&to_b, &one_byte(&[0x50, 0xbb, 0, 0])), PACKET);
        let to_a = lists(&[3], &[3, 5, 6]);
        let packet = one_byte(&[0x30, 0xaa, 0x60, 0xbb]);
        assert_eq!(leaves(&to_a, &packet), one_byte(&[0x30, 0xaa, 0, 0]));
        // One list is enough, whichever.
        for rules in [lists(&[3], &[]), lists(&[], &[3])] {
            assert_eq!(leaves(&rules, &one_byte(&[0x30, 0xaa, 0, 0])), PACKET);
        }
        // Order and number stay; what is no element is not kept.
        let all = lists(&[6, 3], &[3, 6]);
        let packet = one_byte(&[0x60, 0xaa, 0, 0x30, 0xbb, 0, 0, 0]);
        assert_eq!(leaves(&all, &packet), one_byte(&[0x60, 0xaa, 0x30, 0xbb]));
        assert_eq!(leaves(&all, &extended(Some(0x1234), &[1, 2, 3, 4])), PACKET);
        assert_eq!(leaves(&all, &PACKET), PACKET);
    }

    /// media-behaviour §2.1.
    #[test]
    fn the_form_is_the_receivers() {
        // A number above 14 in its list, in this packet or not.
        let high = lists(&[3, 20], &[3, 20]);
        let packet = one_byte(&[0x30, 0xaa, 0, 0]);
        assert_eq!(leaves(&high, &packet), two_byte(&[3, 1, 0xaa, 0]));
        // Otherwise one byte, whatever came.
        let low = lists(&[3], &[3]);
        for profile in [0x1000, 0x100f] {
            let packet = extended(Some(profile), &[3, 1, 0xaa, 0]);
            assert_eq!(leaves(&low, &packet), one_byte(&[0x30, 0xaa, 0, 0]));
        }
    }

    /// media-behaviour §2.1, the example: an element of 20 bytes.
    #[test]
    fn an_element_that_does_not_fit_changes_the_form_or_is_dropped() {
        let long = |id: u8| {
            let mut elements = vec![id, 20];
            elements.extend_from_slice(&[7; 20]);
            elements.extend_from_slice(&[4, 0]);
            two_byte(&elements)
        };
        let mut rules = lists(&[3, 4, 5], &[3, 4, 5]);
        let short = one_byte(&[0x50, 0xaa, 0, 0]);
        // A receiver of one form: the element goes, the rest stays.
        let mut is_two_byte = false;
        assert_eq!(leaves_in(&rules, &long(3), &mut is_two_byte), PACKET);
        let mixed = two_byte(&[4, 0, 5, 1, 0xaa, 0, 0, 0]);
        assert_eq!(leaves_in(&rules, &mixed, &mut is_two_byte), short);
        // One of both: this packet and all later ones are in the other form.
        rules.allows_mixed = true;
        assert_eq!(leaves_in(&rules, &short, &mut is_two_byte), short);
        assert_eq!(leaves_in(&rules, &long(3), &mut is_two_byte), long(3));
        assert!(is_two_byte);
        assert_eq!(
            leaves_in(&rules, &short, &mut is_two_byte),
            two_byte(&[5, 1, 0xaa, 0])
        );
    }

    /// media-behaviour §2.1, the example.
    #[test]
    fn mid_is_written_by_us() {
        let mid = |value: &[u8]| {
            Some(MidElement {
                id: 4,
                value: value.into(),
            })
        };
        let mut rules = lists(&[], &[4]);
        rules.mid = mid(b"m2");
        assert_eq!(leaves(&rules, &PACKET), one_byte(&[0x41, 0x6d, 0x32, 0]));
        // First, in place of that of the sender.
        let mut rules = lists(&[3, 4], &[3, 4]);
        rules.mid = mid(b"m2");
        let packet = one_byte(&[0x30, 0xaa, 0x40, b'x']);
        assert_eq!(
            leaves(&rules, &packet),
            one_byte(&[0x41, 0x6d, 0x32, 0x30, 0xaa, 0, 0, 0])
        );
        // A name that is too long for the form.
        rules.mid = mid(&[b'm'; 17]);
        assert_eq!(leaves(&rules, &packet), one_byte(&[0x30, 0xaa, 0, 0]));
    }

    #[test]
    fn silence_fills_the_payload_behind_a_new_block() {
        let mut rules = ruled(lists(&[3], &[3]));
        rules.change.silence = vec![(0, 0xff)];
        for packet in [
            one_byte(&[0x50, 0xbb, 0, 0]),
            one_byte(&[0x30, 0xaa, 0, 0]),
            PACKET.to_vec(),
        ] {
            let (rewritten, silent) = run(&rules, &packet);
            assert_eq!(rewritten, Rewritten::Changed);
            let payload_at = RtpHeader::parse(&silent).unwrap().payload_at;
            assert_eq!(silent[payload_at..], [0xff; 4]);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_return(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..120),
            sender in proptest::collection::vec(proptest::num::u8::ANY, 0..6),
            allows_mixed in proptest::bool::ANY,
        ) {
            let packet = [&[0x9f, 0, 0, 1][..], &bytes].concat();
            let Ok(header) = RtpHeader::parse(&packet) else {
                return Ok(());
            };
            let mut rules = lists(&sender, &sender);
            rules.allows_mixed = allows_mixed;
            rules.mid = Some(MidElement { id: 9, value: (&b"mid"[..]).into() });
            let mut scratch = Vec::new();
            apply(&ruled(rules), &header, &packet, &mut false, &mut scratch);
            let moved = moved(&header, &packet, &scratch);
            proptest::prop_assert_eq!(RtpHeader::parse(&scratch), Ok(moved));
        }
    }
}
