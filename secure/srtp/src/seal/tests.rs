use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::limits::{MAX_REMEMBERED, MAX_SOURCES, RTP_WINDOW};
use crate::testing::{
    SSRC, keys, keys_of, open, open_rtcp, pair, rtcp, rtp, rtp_of, rtp_progress, seal, seal_rtcp,
};
use crate::{Open, Suite};

const CM: Suite = Suite::AesCm128HmacSha1_80;
const GCM: Suite = Suite::AeadAes256Gcm;

fn with_payload(sequence: u16, byte: u8) -> Vec<u8> {
    let mut packet = rtp(sequence);
    packet[12..].fill(byte);
    packet
}

#[test]
fn repeated_packet_is_sealed_to_the_same_bytes() {
    for suite in Suite::ALL {
        let (mut sender, _) = pair(suite);
        let first = seal(&mut sender, &rtp(10)).unwrap();
        seal(&mut sender, &rtp(12)).unwrap();
        seal(&mut sender, &rtp(11)).unwrap();
        for number in [10, 11, 12] {
            assert!(seal(&mut sender, &rtp(number)).is_ok());
        }
        assert_eq!(seal(&mut sender, &rtp(10)).unwrap(), first);
    }
}

#[test]
fn other_packet_with_a_used_index_is_refused_and_wiped() {
    for suite in Suite::ALL {
        let (mut sender, _) = pair(suite);
        seal(&mut sender, &with_payload(10, 1)).unwrap();
        let mut buffer = [with_payload(10, 2), vec![0; 16]].concat();
        assert_eq!(
            sender.rtp(&mut buffer, 172),
            Err(Refusal::KeystreamReused { index: 10 })
        );
        assert!(buffer[..172].iter().all(|byte| *byte == 0));
        // The header counts as well: one nonce of GCM with two headers gives its key away.
        let mut marked = with_payload(10, 1);
        marked[1] |= 0x80;
        assert!(seal(&mut sender, &marked).is_err());
        assert!(seal(&mut sender, &with_payload(10, 1)).is_ok());
    }
}

#[test]
fn repeated_packet_without_its_tag_is_refused() {
    let (mut sender, _) = pair(CM);
    for number in 0..=u16::try_from(PRINTS).unwrap() {
        seal(&mut sender, &rtp(number)).unwrap();
    }
    assert!(seal(&mut sender, &rtp(1)).is_ok());
    assert_eq!(
        seal(&mut sender, &rtp(0)),
        Err(Refusal::KeystreamReused { index: 0 })
    );
}

#[test]
fn late_packet_takes_no_newer_one_its_tag() {
    let (mut sender, _) = pair(CM);
    for number in (0..200).filter(|number| *number != 100) {
        seal(&mut sender, &rtp(number)).unwrap();
    }
    seal(&mut sender, &rtp(100)).unwrap();
    // It has the place of the late one.
    let newer = 100 + u16::try_from(PRINTS).unwrap();
    assert!(seal(&mut sender, &rtp(newer)).is_ok());
}

#[test]
fn late_packets_get_the_rollover_counter_of_their_place() {
    for suite in [CM, GCM] {
        let (mut sender, mut receiver) = pair(suite);
        for number in [65_000, 65_500, 65_535, 1, 65_534, 400, 65_001, 0] {
            let sealed = seal(&mut sender, &rtp(number)).unwrap();
            assert_eq!(open(&mut receiver, &sealed), Ok(rtp(number)), "{number}");
        }
        assert_eq!(sender.progress().next().unwrap().rtp, Some(0x1_0190));
    }
}

/// Seals a packet that came in the clear.
fn claimed(sender: &mut Seal, packet: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut buffer = [packet, &[0; 16]].concat();
    let length = sender.rtp_numbered(&mut buffer, packet.len(), Numbering::Claimed)?;
    buffer.truncate(length);
    Ok(buffer)
}

#[test]
fn one_packet_far_ahead_does_not_mute_its_source() {
    for suite in [CM, GCM] {
        let (mut sender, mut receiver) = pair(suite);
        claimed(&mut sender, &rtp(99)).unwrap();
        for number in 100..200_u16 {
            // Under the address and the SSRC of the sender.
            for forged in [number + 128, number + 1500, number + 30_000] {
                let sealed = claimed(&mut sender, &with_payload(forged, 9));
                assert!(matches!(sealed, Err(Refusal::Early { .. })));
            }
            let sealed = claimed(&mut sender, &rtp(number)).unwrap();
            assert_eq!(open(&mut receiver, &sealed), Ok(rtp(number)));
        }
        // A sender that really went there is followed after two packets, in any order.
        let heard = [20_000, 20_002, 20_001, 20_003, 20_004];
        let sealed = heard.map(|number| claimed(&mut sender, &rtp(number)).is_ok());
        assert_eq!(sealed, [false, false, false, true, true]);
        // As is one that was not heard for a while.
        let sealed =
            [20_132, 20_300, 20_301, 20_302].map(|number| claimed(&mut sender, &rtp(number)));
        assert_eq!(
            sealed.map(|sealed| sealed.is_ok()),
            [true, false, false, true]
        );
    }
}

#[test]
fn what_left_the_window_is_not_sealed() {
    let (mut sender, _) = pair(CM);
    let newest = u16::try_from(RTP_WINDOW).unwrap() + 10;
    seal(&mut sender, &rtp(newest)).unwrap();
    assert!(seal(&mut sender, &rtp(11)).is_ok());
    assert_eq!(
        seal(&mut sender, &rtp(10)),
        Err(Refusal::Late { index: 10 })
    );
}

#[test]
fn sender_that_began_anew_goes_on_in_the_next_period() {
    for suite in [CM, GCM] {
        let (mut sender, mut receiver) = pair(suite);
        let first = seal(&mut sender, &rtp(20_000)).unwrap();
        open(&mut receiver, &first).unwrap();
        let run = u16::from(RESTART_RUN);
        for number in 100..100 + run - 1 {
            assert!(seal(&mut sender, &rtp(number)).is_err());
        }
        // What is not in sequence, or in the window, begins the count again.
        seal(&mut sender, &rtp(20_001)).unwrap();
        assert!(seal(&mut sender, &rtp(100 + run - 1)).is_err());
        for number in 200..200 + run - 1 {
            assert!(seal(&mut sender, &rtp(number)).is_err());
        }
        for number in 200 + run - 1..400 {
            let sealed = seal(&mut sender, &rtp(number)).unwrap();
            assert_eq!(open(&mut receiver, &sealed), Ok(rtp(number)));
        }
        assert_eq!(sender.progress().next().unwrap().rtp, Some(0x1_0000 + 399));
    }
}

#[test]
fn what_came_before_the_first_packet_does_not_move_the_stream() {
    let (mut sender, mut receiver) = pair(CM);
    for number in [2, 65_535, 3, 65_534, 4] {
        match seal(&mut sender, &rtp(number)) {
            Ok(sealed) => assert_eq!(open(&mut receiver, &sealed), Ok(rtp(number))),
            Err(refusal) => assert_eq!(
                refusal,
                Refusal::Late {
                    index: number.into()
                }
            ),
        }
    }
    assert_eq!(sender.progress_of(SSRC), Some(rtp_progress(4)));
    // But a sender that really went there is followed.
    for number in 50_000..50_100 {
        let _ = seal(&mut sender, &rtp(number));
    }
    assert_eq!(sender.progress_of(SSRC), Some(rtp_progress(50_099)));
    assert_eq!(sender.progress_of(1), None);
}

#[test]
fn indices_end() {
    for suite in [CM, GCM] {
        let (mut sender, _) = pair(suite);
        sender.resume(rtp_progress(MAX_RTP_INDEX - 1)).unwrap();
        assert!(seal(&mut sender, &rtp(0xffff)).is_ok());
        assert_eq!(seal(&mut sender, &rtp(0)), Err(Refusal::IndexExhausted));
        let almost = Progress {
            rtp: None,
            rtcp: Some(MAX_RTCP_INDEX - 1),
            ssrc: SSRC,
        };
        sender.resume(almost).unwrap();
        assert!(seal_rtcp(&mut sender, &rtcp(SSRC)).is_ok());
        let ended = seal_rtcp(&mut sender, &rtcp(SSRC));
        assert_eq!(ended, Err(Refusal::IndexExhausted));
    }
}

#[test]
fn rtcp_counts_per_source() {
    let (mut sender, mut receiver) = pair(CM);
    for (ssrc, index) in [(1, 0), (1, 1), (2, 0), (1, 2), (2, 1)] {
        let sealed = seal_rtcp(&mut sender, &rtcp(ssrc)).unwrap();
        let word = u32::from_be_bytes(sealed[32..36].try_into().unwrap());
        assert_eq!(word, 0x8000_0000 | index);
        assert!(open_rtcp(&mut receiver, &sealed).is_ok());
    }
}

#[test]
fn room_behind_the_packet_is_checked() {
    for suite in Suite::ALL {
        let (mut sender, _) = pair(suite);
        let (packet, report) = (rtp(1), rtcp(SSRC));
        let need = packet.len() + sender.rtp_overhead();
        let mut buffer = [packet, vec![0; 200]].concat();
        for len in 172..need {
            let refused = Err(Refusal::NoRoom { len, need });
            assert_eq!(sender.rtp(&mut buffer[..len], 172), refused);
        }
        assert!(sender.rtp(&mut buffer[..100], 172).is_err());
        assert_eq!(sender.rtp(&mut buffer[..need], 172), Ok(need));
        let need = report.len() + sender.rtcp_overhead();
        let mut buffer = [report, vec![0; 200]].concat();
        for len in 32..need {
            let refused = Err(Refusal::NoRoom { len, need });
            assert_eq!(sender.rtcp(&mut buffer[..len], 32), refused);
        }
        assert_eq!(sender.rtcp(&mut buffer[..need], 32), Ok(need));
    }
}

#[test]
fn what_is_no_rtp_is_not_sealed() {
    let (mut sender, _) = pair(CM);
    for len in 0..12 {
        assert!(seal(&mut sender, &rtp(1)[..len]).is_err());
    }
    for len in 0..8 {
        assert!(seal_rtcp(&mut sender, &rtcp(1)[..len]).is_err());
    }
    assert_eq!(sender.progress().count(), 0);
}

#[test]
fn sources_that_made_room_use_no_keystream_again() {
    let (mut sender, mut receiver) = pair(CM);
    seal(&mut sender, &rtp_of(0, 10, 20)).unwrap();
    seal_rtcp(&mut sender, &rtcp(0)).unwrap();
    for ssrc in 1..=u32::try_from(MAX_SOURCES).unwrap() {
        seal(&mut sender, &rtp_of(ssrc, 10, 20)).unwrap();
    }
    assert_eq!(sender.sources.len(), MAX_SOURCES);
    assert!(sender.sources.live(0).is_none());
    let again = seal(&mut sender, &rtp_of(0, 10, 21));
    assert_eq!(again, Err(Refusal::KeystreamReused { index: 10 }));
    let sealed = seal_rtcp(&mut sender, &rtcp(0)).unwrap();
    assert_eq!(sealed[35], 1);
    let sealed = seal(&mut sender, &rtp_of(0, 11, 20)).unwrap();
    assert!(open(&mut receiver, &sealed).is_ok());
}

#[test]
fn new_sources_end_where_none_may_be_forgotten() {
    let (mut sender, _) = pair(CM);
    let all = u32::try_from(MAX_SOURCES + MAX_REMEMBERED).unwrap();
    for ssrc in 0..all {
        let progress = Progress {
            ssrc,
            ..rtp_progress(9)
        };
        sender.resume(progress).unwrap();
    }
    let refused = Err(Refusal::TooManySources);
    assert_eq!(seal(&mut sender, &rtp_of(all, 10, 20)), refused);
    assert_eq!(seal_rtcp(&mut sender, &rtcp(all)), refused);
    assert!(seal(&mut sender, &rtp_of(0, 10, 20)).is_ok());
    sender.rekey(keys_of(CM, 1)).unwrap();
    // Under the new key there is nothing to be remembered.
    assert!(seal(&mut sender, &rtp_of(all, 10, 20)).is_ok());
}

#[test]
fn rollover_counter_and_rtcp_index_survive_new_keys() {
    let (mut sender, _) = pair(CM);
    sender.resume(rtp_progress(0x3_0001)).unwrap();
    seal_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
    sender.rekey(keys_of(CM, 1)).unwrap();
    let mut receiver = Open::new(vec![keys_of(CM, 1)]).unwrap();
    receiver.resume(rtp_progress(0x3_0000)).unwrap();
    // Nothing was sealed under the new key: also the last number is free again.
    let sealed = seal(&mut sender, &with_payload(1, 7)).unwrap();
    assert_eq!(open(&mut receiver, &sealed), Ok(with_payload(1, 7)));
    let sealed = seal_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
    assert_eq!(sealed[35], 1);
}

#[test]
fn same_key_again_forgets_nothing() {
    let (mut sender, _) = pair(CM);
    seal(&mut sender, &with_payload(1, 7)).unwrap();
    sender.rekey(keys(CM)).unwrap();
    assert!(seal(&mut sender, &with_payload(1, 8)).is_err());
}

proptest! {
    #[test]
    fn no_input_panics(
        suite in proptest::sample::select(&Suite::ALL[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        len in 0..120_usize,
    ) {
        let (mut sender, _) = pair(suite);
        for version in [None, Some(0x80)] {
            let mut buffer = bytes.clone();
            if let (Some(version), Some(first)) = (version, buffer.first_mut()) {
                *first = version | *first & 0x3f;
            }
            for sealed in [
                sender.rtp(&mut buffer.clone(), len),
                sender.rtcp(&mut buffer, len),
            ] {
                prop_assert!(sealed.unwrap_or_default() <= bytes.len());
            }
        }
    }

    #[test]
    fn no_keystream_protects_two_packets(
        is_aead in any::<bool>(),
        start in any::<u16>(),
        packets in prop::collection::vec((0..1500_u16, 0..3_u8), 1..150),
    ) {
        let (mut sender, _) = pair(if is_aead { GCM } else { CM });
        let mut used = BTreeMap::new();
        for (step, byte) in packets {
            let plain = with_payload(start.wrapping_add(step), byte);
            let Ok(sealed) = seal(&mut sender, &plain) else {
                continue;
            };
            let stream: Vec<_> = (12..44).map(|at| sealed[at] ^ plain[at]).collect();
            let before = used.insert(stream, plain.clone());
            prop_assert!(before.is_none_or(|before| before == plain));
        }
    }
}
