use super::*;
use crate::testing::{
    SSRC, keys, open, open_rtcp, pair, picture, rtcp, rtp, rtp_of, seal, seal_rtcp,
};
use crate::{Refusal, Suite};

const CM: Suite = Suite::AesCm128HmacSha1_80;
const STALE: Freshness = Freshness::Stale { rtp: 3, rtcp: 5 };

/// Through a text, as a store has it.
fn stored<S: Serialize + for<'a> Deserialize<'a>>(state: &S) -> S {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

fn successor(open: &Open, freshness: Freshness) -> Open {
    Open::restore(stored(&open.save()), freshness).unwrap()
}

fn heir(seal: &Seal, freshness: Freshness) -> Seal {
    Seal::restore(stored(&seal.save()), freshness).unwrap()
}

#[test]
fn successor_opens_what_is_new_and_nothing_else() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let numbers = (0..16).map(|n: u16| 65_530_u16.wrapping_add(n));
        let packets: Vec<_> = numbers
            .map(|n| seal(&mut sender, &rtp(n)).unwrap())
            .collect();
        let report = seal_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
        for packet in packets[..8].iter().filter(|packet| **packet != packets[4]) {
            open(&mut receiver, packet).unwrap();
        }
        open_rtcp(&mut receiver, &report).unwrap();
        let mut receiver = successor(&receiver, Freshness::Exact);
        for packet in &packets {
            let is_new = *packet == packets[4] || packets[8..].contains(packet);
            assert_eq!(open(&mut receiver, packet).is_ok(), is_new);
        }
        assert!(open_rtcp(&mut receiver, &report).unwrap_err().is_replay());
        let report = seal_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
        assert!(open_rtcp(&mut receiver, &report).is_ok());
    }
}

#[test]
fn stale_state_opens_nothing_that_may_have_been_opened() {
    let (mut sender, mut receiver) = pair(CM);
    let packets: Vec<_> = (0..20)
        .map(|n| seal(&mut sender, &rtp(n)).unwrap())
        .collect();
    let reports: Vec<_> = (0..20)
        .map(|_| seal_rtcp(&mut sender, &rtcp(SSRC)).unwrap())
        .collect();
    open(&mut receiver, &packets[10]).unwrap();
    open_rtcp(&mut receiver, &reports[10]).unwrap();
    let mut receiver = successor(&receiver, STALE);
    for (at, (packet, report)) in packets.iter().zip(&reports).enumerate() {
        assert_eq!(open(&mut receiver, packet).is_ok(), at > 13, "{at}");
        assert_eq!(open_rtcp(&mut receiver, report).is_ok(), at > 15, "{at}");
    }
}

#[test]
fn no_skip_leads_away_from_the_stream() {
    let (mut sender, _) = pair(CM);
    seal(&mut sender, &rtp(100)).unwrap();
    let far = Freshness::Stale {
        rtp: u16::MAX,
        rtcp: u32::MAX,
    };
    let mut sender = heir(&sender, far);
    assert!(seal(&mut sender, &rtp(100 + MAX_SKIP)).is_err());
    assert!(seal(&mut sender, &rtp(101 + MAX_SKIP)).is_ok());
}

#[test]
fn heir_uses_no_keystream_again() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        seal(&mut sender, &rtp(65_535)).unwrap();
        seal(&mut sender, &rtp(2)).unwrap();
        seal_rtcp(&mut sender, &rtcp(SSRC)).unwrap();
        let mut exact = heir(&sender, Freshness::Exact);
        let other = rtp_of(SSRC, 2, 100);
        assert!(matches!(
            seal(&mut exact, &other),
            Err(Refusal::KeystreamReused { .. })
        ));
        for number in [3, 1] {
            let sealed = seal(&mut exact, &rtp(number)).unwrap();
            assert_eq!(open(&mut receiver, &sealed), Ok(rtp(number)));
        }
        assert_eq!(sealed_rtcp_index(&mut exact), 1);
        let mut stale = heir(&sender, STALE);
        for number in [65_535, 1, 2, 3, 5] {
            assert!(seal(&mut stale, &rtp_of(SSRC, number, 100)).is_err());
        }
        assert!(seal(&mut stale, &rtp(6)).is_ok());
        assert_eq!(sealed_rtcp_index(&mut stale), 6);
    }
}

fn sealed_rtcp_index(sender: &mut Seal) -> u32 {
    seal_rtcp(sender, &rtcp(SSRC)).unwrap();
    sender.progress_of(SSRC).unwrap().rtcp.unwrap()
}

#[test]
fn sources_that_made_room_survive() {
    let (mut sender, mut receiver) = pair(CM);
    let packets: Vec<_> = (0..100)
        .map(|ssrc| seal(&mut sender, &rtp_of(ssrc, 1, 20)).unwrap())
        .collect();
    for packet in &packets {
        open(&mut receiver, packet).unwrap();
    }
    let mut receiver = successor(&receiver, Freshness::Exact);
    let mut sender = heir(&sender, Freshness::Exact);
    for (packet, ssrc) in packets.iter().zip(0..) {
        assert!(open(&mut receiver, packet).unwrap_err().is_replay());
        assert!(seal(&mut sender, &rtp_of(ssrc, 1, 21)).is_err());
        let next = seal(&mut sender, &rtp_of(ssrc, 2, 20)).unwrap();
        assert!(open(&mut receiver, &next).is_ok());
    }
}

#[test]
fn expected_counter_survives_between_new_keys_and_first_packet() {
    let (_, mut receiver) = pair(CM);
    receiver
        .resume(crate::testing::rtp_progress(0x5_0000))
        .unwrap();
    receiver
        .rekey(vec![crate::testing::keys_of(CM, 1)])
        .unwrap();
    let copy = successor(&receiver, Freshness::Exact);
    assert_eq!(picture(&copy), picture(&receiver));
    assert!(picture(&copy).contains("327680"));
}

/// A state that version 1 wrote.
const STORED: &str = r#"{"version":1,
    "keys":[{"suite":"AEAD_AES_128_GCM","key":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],
        "salt":[2,2,2,2,2,2,2,2,2,2,2,2],"mki":[7,2],
        "parameters":{"unencrypted_srtp":false,"unencrypted_srtcp":true,
            "unauthenticated_srtp":false}}],
    "sources":[{"ssrc":3405691582,
        "rtp":{"highest":65541,"words":[63,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]},
        "expected":null,"rtcp":{"highest":4,"words":[31,0]}}],
    "remembered":[{"ssrc":5,"rtp":9,"rtcp":null}]}"#;

#[test]
fn state_of_version_1_is_read() {
    let state: OpenState = serde_json::from_str(STORED).unwrap();
    let receiver = Open::restore(state, Freshness::Exact).unwrap();
    let written: serde_json::Value = serde_json::from_str(&picture(&receiver)).unwrap();
    let expected: serde_json::Value = serde_json::from_str(STORED).unwrap();
    assert_eq!(written, expected);
}

/// The same of a sealer.
const STORED_SEAL: &str = r#"{"version":1,
    "keys":{"suite":"AES_CM_128_HMAC_SHA1_80","key":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],
        "salt":[2,2,2,2,2,2,2,2,2,2,2,2,2,2],"mki":null,
        "parameters":{"unencrypted_srtp":false,"unencrypted_srtcp":false,
            "unauthenticated_srtp":false}},
    "sources":[{"ssrc":3405691582,
        "rtp":{"highest":65541,"words":[63,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]},
        "next_rtcp":7}],
    "remembered":[{"ssrc":5,"rtp":9,"rtcp":3}]}"#;

#[test]
fn sealer_of_version_1_is_read() {
    let state: SealState = serde_json::from_str(STORED_SEAL).unwrap();
    let sender = Seal::restore(state, Freshness::Exact).unwrap();
    let expected: serde_json::Value = serde_json::from_str(STORED_SEAL).unwrap();
    assert_eq!(serde_json::to_value(sender.save()).unwrap(), expected);
}

#[test]
fn states_that_cannot_be_are_refused() {
    let refused = |from: &str, to: &str| {
        let text = STORED.replacen(from, to, 1);
        assert_ne!(text, STORED);
        let state = serde_json::from_str::<OpenState>(&text).unwrap();
        Open::restore(state, Freshness::Exact).unwrap_err()
    };
    let ssrc = SSRC;
    assert_eq!(
        refused("\"version\":1", "\"version\":2"),
        StateError::Version(2)
    );
    assert_eq!(refused("[31,0]", "[31]"), StateError::Source { ssrc });
    assert_eq!(
        refused("65541", "281474976710656"),
        StateError::Source { ssrc }
    );
    let many = vec![r#"{"ssrc":5,"rtp":9,"rtcp":null}"#; 5000].join(",");
    let many = format!("\"remembered\":[{many}]");
    let one = r#""remembered":[{"ssrc":5,"rtp":9,"rtcp":null}]"#;
    assert_eq!(refused(one, &many), StateError::Sources(5001));
    let text = STORED.replace("[7,2]", "[700,1]");
    assert!(serde_json::from_str::<OpenState>(&text).is_err());
}

#[test]
fn printing_a_state_shows_no_key() {
    let mut sender = Seal::new(keys(CM)).unwrap();
    seal(&mut sender, &rtp(1)).unwrap();
    let key = format!(
        "{:?}",
        serde_json::to_value(sender.save()).unwrap()["keys"]["key"]
    );
    assert!(key.len() > 16);
    for printed in [format!("{:?}", sender.save()), format!("{sender:?}")] {
        assert!(printed.contains('…') && !printed.contains(&key));
    }
    assert!(!format!("{:?}", sender.save()).contains("90, 127"));
}
