use proptest::prelude::*;

use super::*;
use crate::limits::{MAX_REMEMBERED, MAX_SOURCES, RTP_WINDOW};
use crate::testing::{
    SSRC, keys, keys_of, open, open_rtcp, pair, pair_of, picture, rtcp, rtp, rtp_of, rtp_progress,
    seal, seal_rtcp, sealed_at,
};
use crate::{Mki, Parameters, Seal, Suite};

const CM: Suite = Suite::AesCm128HmacSha1_80;
const GCM: Suite = Suite::AeadAes128Gcm;

fn parameters() -> impl Iterator<Item = Parameters> {
    (0..8u8).map(|bits| Parameters {
        unencrypted_srtp: bits & 1 != 0,
        unencrypted_srtcp: bits & 2 != 0,
        unauthenticated_srtp: bits & 4 != 0,
    })
}

/// Plain, with two CSRCs, with an extension, with both and padding.
fn shapes(sequence: u16, payload: usize) -> [Vec<u8>; 4] {
    let plain = rtp_of(SSRC, sequence, payload);
    let extension = [0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0];
    let with = |flags: u8, inserted: &[u8]| {
        let mut packet = [&plain[..12], inserted, &plain[12..]].concat();
        packet[0] |= flags;
        packet
    };
    let mut padded = with(0x32, &[&[9; 8][..], &extension].concat());
    padded.extend([0, 0, 3]);
    [
        with(0, &[]),
        with(2, &[9; 8]),
        with(0x10, &extension),
        padded,
    ]
}

#[test]
fn every_suite_round_trips() {
    for suite in Suite::ALL {
        for parameters in parameters() {
            for mki in [
                None,
                Some(Mki::new(5, 1).unwrap()),
                Some(Mki::new(5, 128).unwrap()),
            ] {
                let mut keys = keys(suite).with_parameters(parameters);
                if let Some(mki) = mki {
                    keys = keys.with_mki(mki);
                }
                let (mut sender, mut receiver) = pair_of(keys);
                let mut sequence = 0;
                for payload in [0, 1, 15, 16, 17, 52, 53, 160, 1000, 1488] {
                    for shape in 0..4 {
                        sequence += 1;
                        let packet = &shapes(sequence, payload)[shape];
                        let sealed = seal(&mut sender, packet).unwrap();
                        assert_eq!(sealed.len(), packet.len() + sender.rtp_overhead());
                        let opened = open(&mut receiver, &sealed);
                        assert_eq!(opened.as_ref(), Ok(packet), "{suite} {parameters:?}");
                    }
                    let report = [rtcp(SSRC), vec![0x55; payload]].concat();
                    let sealed = seal_rtcp(&mut sender, &report).unwrap();
                    assert_eq!(sealed.len(), report.len() + sender.rtcp_overhead());
                    assert_eq!(open_rtcp(&mut receiver, &sealed), Ok(report));
                }
            }
        }
    }
}

#[test]
fn payload_leaves_encrypted_unless_told_otherwise() {
    for suite in Suite::ALL {
        for is_clear in [false, true] {
            let (mut sender, _) = pair_of(keys(suite).with_parameters(Parameters {
                unencrypted_srtp: is_clear,
                unencrypted_srtcp: is_clear,
                ..Parameters::default()
            }));
            let is_null = matches!(suite, Suite::NullHmacSha1_80 | Suite::NullHmacSha1_32);
            let (packet, report) = (rtp(1), rtcp(SSRC));
            let sealed = seal(&mut sender, &packet).unwrap();
            assert_eq!(sealed[..12], packet[..12]);
            assert_eq!(sealed[12..172] == packet[12..], is_clear || is_null);
            let sealed = seal_rtcp(&mut sender, &report).unwrap();
            assert_eq!(sealed[..8], report[..8]);
            assert_eq!(sealed[8..32] == report[8..], is_clear || is_null);
        }
    }
}

#[test]
fn no_bit_can_be_changed() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let sealed = seal(&mut sender, &shapes(7, 20)[3]).unwrap();
        let report = seal_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
        let before = picture(&receiver);
        for bit in 0..8 * sealed.len() {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.rtp(&mut forged).is_err(), "{suite}, bit {bit}");
        }
        for bit in 0..8 * report.len() {
            let mut forged = report.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.rtcp(&mut forged).is_err(), "{suite}, bit {bit}");
        }
        assert_eq!(picture(&receiver), before);
        assert!(open(&mut receiver, &sealed).is_ok());
        assert!(open_rtcp(&mut receiver, &report).is_ok());
    }
}

#[test]
fn cut_packets_are_refused() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let sealed = seal(&mut sender, &rtp_of(SSRC, 1, 30)).unwrap();
        let report = seal_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
        for len in 0..sealed.len() {
            assert!(open(&mut receiver, &sealed[..len]).is_err());
        }
        for len in 0..report.len() {
            assert!(open_rtcp(&mut receiver, &report[..len]).is_err());
        }
    }
}

#[test]
fn a_packet_is_accepted_once() {
    for suite in [CM, GCM] {
        let (mut sender, mut receiver) = pair(suite);
        let sealed: Vec<_> = (1..=5)
            .map(|n| seal(&mut sender, &rtp(n)).unwrap())
            .collect();
        for order in [0, 3, 1, 4, 2] {
            assert!(open(&mut receiver, &sealed[order]).is_ok());
        }
        for (packet, index) in sealed.iter().zip(1..) {
            let replayed = Err(Refusal::Replayed { index });
            assert_eq!(open(&mut receiver, packet), replayed);
        }
    }
}

#[test]
fn what_left_the_window_is_refused() {
    let (mut sender, mut receiver) = pair(CM);
    let late: Vec<_> = (100..102)
        .map(|n| seal(&mut sender, &rtp(n)).unwrap())
        .collect();
    let newest = u16::try_from(100 + RTP_WINDOW).unwrap();
    let newest = seal(&mut sender, &rtp(newest)).unwrap();
    open(&mut receiver, &newest).unwrap();
    assert_eq!(
        open(&mut receiver, &late[0]),
        Err(Refusal::Replayed { index: 100 })
    );
    assert!(open(&mut receiver, &late[1]).is_ok());
}

#[test]
fn late_packets_before_the_wrap_open_after_it() {
    for suite in [CM, GCM] {
        let (mut sender, mut receiver) = pair(suite);
        let numbers = [65_530, 65_533, 0, 65_531, 2, 65_534, 1, 65_532, 65_535, 3];
        let sealed = numbers.map(|n| (n, seal(&mut sender, &rtp(n)).unwrap()));
        for (number, packet) in sealed {
            assert_eq!(open(&mut receiver, &packet), Ok(rtp(number)), "{number}");
        }
        assert_eq!(receiver.progress().next().unwrap().rtp, Some(0x1_0003));
    }
}

#[test]
fn late_joiner_finds_the_first_two_periods_alone() {
    for suite in Suite::ALL {
        for (index, opens) in [(40_000, true), (0x1_9c40, true), (0x2_9c40, false)] {
            let (_, mut receiver) = pair(suite);
            let opened = open(&mut receiver, &sealed_at(suite, index));
            assert_eq!(opened.is_ok(), opens, "{suite} {index:#x}");
        }
    }
}

#[test]
fn stream_is_found_again_after_a_long_gap() {
    for suite in Suite::ALL {
        for gap in [1, 1000, 20_000, 32_767, 40_000, 65_535, 80_000, 98_000] {
            let (_, mut receiver) = pair(suite);
            open(&mut receiver, &sealed_at(suite, 5000)).unwrap();
            // In AEAD the first packet after a gap that the estimate misses is lost. What lands
            // on the window is not worse off.
            let after = (5000 + gap)..(5000 + gap + 2);
            let opened: Vec<_> = after
                .map(|index| open(&mut receiver, &sealed_at(suite, index)))
                .collect();
            assert!(opened[1].is_ok(), "{suite}, gap {gap}: {opened:?}");
            let is_near = gap < 1 << 15;
            assert!(opened[0].is_ok() || !is_near, "{suite}, gap {gap}");
        }
    }
}

#[test]
fn old_recordings_never_rewind_the_stream() {
    for suite in [CM, Suite::AesCm128HmacSha1_32, GCM] {
        let (_, mut receiver) = pair(suite);
        // The first period, the one before the present one, the window, and its border.
        let recorded = [1, 2, 300, 0x1_0010, 0x1_ffff, 0x2_0000, 0x2_0010];
        let recorded = recorded.map(|index| sealed_at(suite, index));
        for packet in [&recorded[0], &sealed_at(suite, 60_000), &recorded[3]] {
            open(&mut receiver, packet).unwrap();
        }
        for index in [0x1_8000, 0x2_0000, 0x2_0010, 0x2_0500] {
            open(&mut receiver, &sealed_at(suite, index)).unwrap();
        }
        let before = picture(&receiver);
        for packet in &recorded {
            assert!(open(&mut receiver, packet).is_err());
        }
        assert_eq!(picture(&receiver), before);
        assert!(open(&mut receiver, &sealed_at(suite, 0x2_0501)).is_ok());
    }
}

#[test]
fn forged_sources_add_nothing() {
    for suite in [CM, GCM] {
        let (mut sender, mut receiver) = pair(suite);
        open(&mut receiver, &seal(&mut sender, &rtp(1)).unwrap()).unwrap();
        let before = picture(&receiver);
        for ssrc in 0..10_000 {
            let forged = [rtp_of(ssrc, 1, 40), vec![1; 16]].concat();
            assert_eq!(open(&mut receiver, &forged), Err(Refusal::BadTag));
            let forged = [rtcp(ssrc), vec![1; 20]].concat();
            assert_eq!(open_rtcp(&mut receiver, &forged), Err(Refusal::BadTag));
        }
        assert_eq!(picture(&receiver), before);
        assert!(open(&mut receiver, &seal(&mut sender, &rtp(2)).unwrap()).is_ok());
    }
}

#[test]
fn sources_that_made_room_are_remembered() {
    let (mut sender, mut receiver) = pair(CM);
    let mut both = |receiver: &mut Open, ssrc, sequence| {
        let sealed = seal(&mut sender, &rtp_of(ssrc, sequence, 20)).unwrap();
        let report = seal_rtcp(&mut sender, &rtcp(ssrc)).unwrap();
        open(receiver, &sealed).unwrap();
        open_rtcp(receiver, &report).unwrap();
        [sealed, report]
    };
    let count = u32::try_from(MAX_SOURCES).unwrap();
    let recorded: Vec<_> = (0..3 * count)
        .map(|ssrc| both(&mut receiver, ssrc, 10))
        .collect();
    assert_eq!(receiver.sources.len(), MAX_SOURCES);
    for [sealed, report] in &recorded {
        assert!(open(&mut receiver, sealed).unwrap_err().is_replay());
        assert!(open_rtcp(&mut receiver, report).unwrap_err().is_replay());
    }
    for ssrc in 0..count {
        both(&mut receiver, ssrc, 11);
    }
    assert_eq!(receiver.sources.len(), MAX_SOURCES);
}

#[test]
fn the_least_recently_used_source_makes_room() {
    let (mut sender, mut receiver) = pair(CM);
    let mut hear = |receiver: &mut Open, ssrc, sequence| {
        let sealed = seal(&mut sender, &rtp_of(ssrc, sequence, 20)).unwrap();
        open(receiver, &sealed).unwrap();
    };
    let count = u32::try_from(MAX_SOURCES).unwrap();
    for ssrc in 0..count {
        hear(&mut receiver, ssrc, 1);
    }
    hear(&mut receiver, 0, 2);
    hear(&mut receiver, count, 1);
    assert!(receiver.sources.live(0).is_some());
    assert!(receiver.sources.live(1).is_none());
}

#[test]
fn known_sources_go_on_when_no_more_can_be_remembered() {
    let (mut sender, mut receiver) = pair(GCM);
    let all = u32::try_from(MAX_SOURCES + MAX_REMEMBERED).unwrap();
    for ssrc in 0..all {
        let progress = Progress {
            ssrc,
            ..rtp_progress(9)
        };
        receiver.resume(progress).unwrap();
    }
    for ssrc in [0, 1, all - 1] {
        let sealed = seal(&mut sender, &rtp_of(ssrc, 10, 20)).unwrap();
        assert!(open(&mut receiver, &sealed).is_ok());
    }
    let sealed = seal(&mut sender, &rtp_of(all, 10, 20)).unwrap();
    assert_eq!(open(&mut receiver, &sealed), Err(Refusal::TooManySources));
    assert_eq!(receiver.progress().count(), MAX_SOURCES + MAX_REMEMBERED);
}

#[test]
fn packets_name_their_key() {
    for suite in [CM, GCM] {
        let [one, two, three] =
            [1, 2, 3].map(|n| keys_of(suite, n).with_mki(Mki::new(n.into(), 4).unwrap()));
        let mut receiver = Open::new(vec![one.clone(), two.clone()]).unwrap();
        let [mut first, mut second, mut stranger] =
            [one, two, three].map(|keys| Seal::new(keys).unwrap());
        let before = seal(&mut first, &rtp(1)).unwrap();
        assert_eq!(open(&mut receiver, &before), Ok(rtp(1)));
        let after = seal(&mut second, &rtp(2)).unwrap();
        assert_eq!(open(&mut receiver, &after), Ok(rtp(2)));
        let report = seal_rtcp(&mut second, &rtcp(SSRC)).unwrap();
        assert_eq!(open_rtcp(&mut receiver, &report), Ok(rtcp(SSRC)));
        assert!(open(&mut receiver, &before).unwrap_err().is_replay());
        let strange = seal(&mut stranger, &rtp(3)).unwrap();
        assert_eq!(open(&mut receiver, &strange), Err(Refusal::UnknownMki));
        let strange = seal_rtcp(&mut stranger, &rtcp(SSRC)).unwrap();
        assert_eq!(open_rtcp(&mut receiver, &strange), Err(Refusal::UnknownMki));
    }
}

#[test]
fn keys_that_packets_cannot_tell_apart_are_refused() {
    let mki = |value, length| Mki::new(value, length).unwrap();
    let named = |value, length| keys_of(CM, 1).with_mki(mki(value, length));
    let refused = |keys| Open::new(keys).err();
    assert_eq!(refused(vec![]), Some(KeysError::Count(0)));
    assert_eq!(refused(vec![named(1, 1); 9]), Some(KeysError::Count(9)));
    let ambiguous = Some(KeysError::Ambiguous);
    assert_eq!(refused(vec![keys(CM), keys(CM)]), ambiguous);
    assert_eq!(refused(vec![named(1, 1), named(1, 1)]), ambiguous);
    assert_eq!(refused(vec![named(1, 1), named(2, 2)]), ambiguous);
    assert_eq!(refused(vec![keys(CM), named(1, 1)]), ambiguous);
    let other = keys(GCM).with_mki(mki(2, 1));
    assert_eq!(refused(vec![named(1, 1), other]), Some(KeysError::Mixed));
}

#[test]
fn rollover_counter_survives_new_keys() {
    for suite in [CM, GCM] {
        for roc in [0, 1, 2, 3] {
            let mut receiver = Open::new(vec![keys_of(suite, 9)]).unwrap();
            receiver.resume(rtp_progress(0x2_4000)).unwrap();
            receiver.rekey(vec![keys(suite)]).unwrap();
            // Whether the sender kept its counter, lost it, or is a period off.
            let index = roc << 16 | 0x4001;
            let packet = sealed_at(suite, index);
            assert_eq!(open(&mut receiver, &packet), Ok(rtp(0x4001)), "{roc}");
            assert!(open(&mut receiver, &packet).unwrap_err().is_replay());
        }
    }
}

#[test]
fn a_key_that_stays_keeps_its_replays_out() {
    let named = |seed| keys_of(CM, seed).with_mki(Mki::new(seed.into(), 1).unwrap());
    let mut sender = Seal::new(named(1)).unwrap();
    let mut receiver = Open::new(vec![named(1)]).unwrap();
    let recorded = seal(&mut sender, &rtp(1)).unwrap();
    open(&mut receiver, &recorded).unwrap();
    receiver.rekey(vec![named(2), named(1)]).unwrap();
    assert!(open(&mut receiver, &recorded).unwrap_err().is_replay());
    assert!(receiver.rekey(vec![]).is_err());
    assert!(open(&mut receiver, &seal(&mut sender, &rtp(2)).unwrap()).is_ok());
}

#[test]
fn without_tags_everything_is_believed_and_nothing_remembered() {
    let parameters = Parameters {
        unauthenticated_srtp: true,
        ..Parameters::default()
    };
    let keys = keys(CM).with_parameters(parameters);
    let mut receiver = Open::new(vec![keys.clone()]).unwrap();
    let ahead = u16::MAX / 2;
    for number in [1, 1, ahead, 2] {
        let sealed = seal(&mut Seal::new(keys.clone()).unwrap(), &rtp(number)).unwrap();
        assert_eq!(sealed.len(), 172);
        assert_eq!(open(&mut receiver, &sealed), Ok(rtp(number)));
    }
    for ssrc in 0..5000 {
        let mut packet = rtp_of(ssrc, 1, 20);
        receiver.rtp(&mut packet).unwrap();
    }
    assert_eq!(receiver.progress().count(), MAX_SOURCES);
    // RTCP has its tag all the same.
    let forged = [rtcp(SSRC), vec![1; 14]].concat();
    assert_eq!(open_rtcp(&mut receiver, &forged), Err(Refusal::BadTag));
}

#[test]
fn clear_rtcp_needs_its_tag() {
    for suite in Suite::ALL {
        let clear = Parameters {
            unencrypted_srtcp: true,
            ..Parameters::default()
        };
        let mut sender = Seal::new(keys(suite).with_parameters(clear)).unwrap();
        let (_, mut receiver) = pair(suite);
        let sealed = seal_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
        assert_eq!(sealed[..32], rtcp(SSRC));
        let mut forged = sealed.clone();
        forged[20] ^= 1;
        assert_eq!(open_rtcp(&mut receiver, &forged), Err(Refusal::BadTag));
        assert_eq!(open_rtcp(&mut receiver, &sealed), Ok(rtcp(SSRC)));
        assert!(open_rtcp(&mut receiver, &sealed).unwrap_err().is_replay());
    }
}

#[test]
fn reordered_rtcp_opens_once() {
    let (mut sender, mut receiver) = pair(GCM);
    let sealed: Vec<_> = (0..200)
        .map(|_| seal_rtcp(&mut sender, &rtcp(SSRC)).unwrap())
        .collect();
    for at in [0, 150, 149, 151, 24] {
        assert!(open_rtcp(&mut receiver, &sealed[at]).is_ok(), "{at}");
    }
    for at in [0, 149, 150, 23, 24] {
        assert!(
            open_rtcp(&mut receiver, &sealed[at])
                .unwrap_err()
                .is_replay()
        );
    }
}

#[test]
fn resuming_never_goes_back() {
    let (_, mut receiver) = pair(CM);
    receiver.resume(rtp_progress(5000)).unwrap();
    receiver.resume(rtp_progress(4000)).unwrap();
    assert!(
        open(&mut receiver, &sealed_at(CM, 5000))
            .unwrap_err()
            .is_replay()
    );
    assert!(open(&mut receiver, &sealed_at(CM, 5001)).is_ok());
}

proptest! {
    #[test]
    fn no_input_panics_or_changes_anything(
        suite in proptest::sample::select(&Suite::ALL[..]),
        start in prop_oneof![Just(vec![]), Just(vec![0x80]), Just(vec![0x90]), Just(vec![0x8f])],
        rest in prop::collection::vec(any::<u8>(), 0..200),
        is_known in any::<bool>(),
    ) {
        let (mut sender, mut receiver) = pair(suite);
        open(&mut receiver, &seal(&mut sender, &rtp(1)).unwrap()).unwrap();
        let before = picture(&receiver);
        let mut bytes = [start, rest].concat();
        if is_known && bytes.len() >= 12 {
            bytes[8..12].copy_from_slice(&SSRC.to_be_bytes());
        }
        prop_assert!(open(&mut receiver, &bytes).is_err());
        prop_assert!(open_rtcp(&mut receiver, &bytes).is_err());
        prop_assert_eq!(picture(&receiver), before);
    }

    #[test]
    fn no_order_of_arrival_opens_a_packet_twice(
        is_aead in any::<bool>(),
        first in any::<u16>(),
        arrivals in prop::collection::vec(0..400u16, 1..200),
    ) {
        let (mut sender, mut receiver) = pair(if is_aead { GCM } else { CM });
        let packets: Vec<_> = (0..400)
            .map(|n| seal(&mut sender, &rtp_of(SSRC, first.wrapping_add(n), 20)).unwrap())
            .collect();
        let mut opened = std::collections::BTreeSet::new();
        for number in arrivals {
            let accepted = open(&mut receiver, &packets[usize::from(number)]).is_ok();
            // All are within the window, so each opens once; but an unknown source is not found
            // beyond its first two periods, and nothing lies before its first packet there.
            prop_assert_eq!(accepted, opened.insert(number));
        }
    }
}
