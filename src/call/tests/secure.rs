//! Keys that were agreed on by SDP, as the data plane gets them (spec: sdp-rewriting §7,
//! media-behaviour §7; security, rows 3 and 8).

use super::ng_05_commands::{FROM, TO, flow_of};
use super::*;
use crate::flow::FlowSpec;
use crate::flow::secure::{Protection, Security};

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const OTHER_KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

fn plain(host: &str) -> String {
    let port = if FROM.starts_with(host) { 2000 } else { 3000 };
    format!(
        "v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\n\
         m=audio {port} RTP/AVP 8 101\na=rtpmap:101 telephone-event/8000\n"
    )
}

fn secure(host: &str, key: &str) -> String {
    format!(
        "{}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\n",
        plain(host).replace("RTP/AVP", "RTP/SAVP")
    )
}

fn protection(flow: &FlowSpec) -> Protection {
    match &flow.security {
        Security::Keyed(protection) => protection.clone(),
        other => panic!("{other:?}"),
    }
}

fn crypto_lines(sdp: &str) -> Vec<&str> {
    let lines = sdp.lines().map(str::trim_end);
    lines.filter(|line| line.starts_with("a=crypto:")).collect()
}

/// SRTP towards the caller, RTP towards the callee.
fn bridged() -> Bench {
    let mut bench = Bench::new();
    let offer = offer(&secure("198.51.100.10", KEY)).with("transport-protocol", "RTP/AVP");
    let offered = bench.sdp(offer);
    assert!(offered.contains("RTP/AVP") && crypto_lines(&offered).is_empty());
    assert_eq!(flow_of(&bench, FROM).security, Security::Awaited);
    let answered = bench.sdp(answer(&plain("198.51.100.20")));
    assert!(answered.contains("RTP/SAVP"), "{answered}");
    assert_eq!(crypto_lines(&answered).len(), 1);
    bench
}

#[test]
fn one_side_has_keys_and_the_other_none() {
    let bench = bridged();
    let (caller, callee) = (flow_of(&bench, FROM), flow_of(&bench, TO));
    assert_eq!(protection(&caller).suites(), "AES_CM_128_HMAC_SHA1_80");
    assert_eq!(callee.security, Security::Plain);
    // Each hears the other.
    assert_eq!(caller.sinks[0].via, callee.local);
    assert_eq!(callee.sinks[0].via, caller.local);
}

#[test]
fn rtcp_is_under_the_keys_of_its_media() {
    let bench = bridged();
    let caller = flow_of(&bench, FROM);
    let flows = bench.books.flows.lock().unwrap();
    let mut flows = flows.values().map(|(flow, _)| flow);
    let rtcp = flows
        .find(|flow| flow.rtp_sibling == Some(caller.local))
        .unwrap();
    assert_eq!(protection(rtcp), protection(&caller));
}

#[test]
fn a_call_that_becomes_secure_on_one_side_alone() {
    let mut bench = Bench::new();
    let offer = offer(&plain("198.51.100.10")).with("transport-protocol", "RTP/SAVP");
    let offered = bench.sdp(offer);
    let lines = crypto_lines(&offered);
    let gcm = lines
        .iter()
        .find(|line| line.contains("AEAD_AES_128_GCM"))
        .unwrap();
    let tag: String = gcm["a=crypto:".len()..]
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    assert_eq!(flow_of(&bench, FROM).security, Security::Plain);
    let answer_sdp = format!(
        "{}a=crypto:{tag} AEAD_AES_128_GCM inline:{}\n",
        plain("198.51.100.20").replace("RTP/AVP", "RTP/SAVP"),
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw"
    );
    let answered = bench.sdp(answer(&answer_sdp));
    assert!(crypto_lines(&answered).is_empty());
    let callee = flow_of(&bench, TO);
    assert_eq!(protection(&callee).suites(), "AEAD_AES_128_GCM");
    assert_eq!(flow_of(&bench, FROM).security, Security::Plain);
}

#[test]
fn no_answer_without_keys_makes_a_secure_leg_plain() {
    let mut bench = Bench::new();
    bench.sdp(offer(&secure("198.51.100.10", KEY)));
    // The answerer says SAVP and gives no key.
    let silent = plain("198.51.100.20").replace("RTP/AVP", "RTP/SAVP");
    bench.sdp(answer(&silent));
    assert_eq!(flow_of(&bench, TO).security, Security::Awaited);
}

#[test]
fn the_same_keys_again_keep_what_was_received_under_them() {
    let mut bench = bridged();
    let before = protection(&flow_of(&bench, FROM));
    bench.sdp(offer(&secure("198.51.100.10", KEY)).with("transport-protocol", "RTP/AVP"));
    bench.sdp(answer(&plain("198.51.100.20")));
    assert_eq!(protection(&flow_of(&bench, FROM)), before);
}

#[test]
fn new_keys_of_an_offer_act_with_its_answer() {
    let mut bench = bridged();
    let before = protection(&flow_of(&bench, FROM));
    let again = || offer(&secure("198.51.100.10", OTHER_KEY)).with("transport-protocol", "RTP/AVP");
    bench.sdp(again());
    assert_eq!(protection(&flow_of(&bench, FROM)), before);
    bench.sdp(answer(&plain("198.51.100.20")));
    assert_ne!(protection(&flow_of(&bench, FROM)), before);
}

#[test]
fn a_call_that_turns_plain_has_no_keys_any_more() {
    let mut bench = bridged();
    bench.sdp(offer(&plain("198.51.100.10")).with("transport-protocol", "RTP/AVP"));
    bench.sdp(answer(&plain("198.51.100.20")));
    assert_eq!(flow_of(&bench, FROM).security, Security::Plain);
}

#[test]
fn digits_are_played_into_srtp() {
    let mut bench = bridged();
    let play = command("play DTMF").with("from-tag", "T").with("code", "5");
    let reply = bench.ask(play);
    assert_eq!(
        reply.get("result").and_then(Value::as_str),
        Some("ok"),
        "{reply:?}"
    );
}

#[test]
fn an_answer_in_plain_to_an_offer_of_srtp_opens_nothing() {
    let mut bench = Bench::new();
    bench.sdp(offer(&secure("198.51.100.10", KEY)));
    bench.sdp(answer(&plain("198.51.100.20")));
    assert_eq!(flow_of(&bench, TO).security, Security::Awaited);
    // One that has keys does.
    let again = offer(&secure("198.51.100.10", KEY)).with("transport-protocol", "RTP/SAVP");
    let offered = bench.sdp(again);
    let line = crypto_lines(&offered)[0];
    let answered = format!(
        "{}{line}\n",
        plain("198.51.100.20").replace("RTP/AVP", "RTP/SAVP")
    );
    bench.sdp(answer(&answered));
    assert!(matches!(flow_of(&bench, TO).security, Security::Keyed(_)));
}

#[test]
fn each_answer_is_to_what_was_offered() {
    let mut bench = Bench::new();
    let offered = bench.sdp(offer(&plain("198.51.100.10")).with("transport-protocol", "RTP/SAVP"));
    let line_of = |suite: &str| {
        let lines = crypto_lines(&offered);
        let line = lines.iter().find(|line| line.contains(suite)).unwrap();
        format!(
            "{}{line}\n",
            plain("198.51.100.20").replace("RTP/AVP", "RTP/SAVP")
        )
    };
    bench.sdp(answer(&line_of(" AES_CM_128_HMAC_SHA1_80 ")));
    let first = protection(&flow_of(&bench, TO));
    bench.sdp(answer(&line_of(" AEAD_AES_128_GCM ")));
    assert_eq!(
        protection(&flow_of(&bench, TO)).suites(),
        "AEAD_AES_128_GCM"
    );
    // Keys that come back find what came and went under them.
    bench.sdp(answer(&line_of(" AES_CM_128_HMAC_SHA1_80 ")));
    assert_eq!(protection(&flow_of(&bench, TO)), first);
}

/// A provisional answer, or that of another fork, is not the last word (RFC 8643 §3.1).
#[test]
fn osrtp_that_one_answer_turns_down_may_be_taken_up_by_another() {
    let line = |tag| format!("a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{OTHER_KEY}\n");
    let in_plain = || answer(&plain("198.51.100.20"));
    let with_keys = |tag| answer(&format!("{}{}", plain("198.51.100.20"), line(tag)));
    let opportunistic = secure("198.51.100.10", KEY).replace("RTP/SAVP", "RTP/AVP");
    let asked = || strings(&["offer"]);
    for (request, tag, is_of_caller) in [
        (
            offer(&plain("198.51.100.10")).with("OSRTP", asked()),
            7,
            false,
        ),
        (offer(&opportunistic), 1, true),
    ] {
        let mut bench = Bench::new();
        let offered = bench.sdp(request);
        assert!(crypto_lines(&offered).len() > 10, "{offered}");
        for _ in 0..2 {
            let answered = bench.sdp(in_plain());
            assert!(crypto_lines(&answered).is_empty(), "{answered}");
            for party in [FROM, TO] {
                assert_eq!(flow_of(&bench, party).security, Security::Plain);
            }
            let answered = bench.sdp(with_keys(tag));
            assert_eq!(crypto_lines(&answered).len(), usize::from(is_of_caller));
            let callee = flow_of(&bench, TO);
            assert_eq!(protection(&callee).suites(), "AES_CM_128_HMAC_SHA1_80");
            let caller = flow_of(&bench, FROM);
            assert_eq!(caller.security != Security::Plain, is_of_caller);
            assert_ne!(caller.security, Security::Awaited);
        }
        // What nobody offered, no answer can have.
        bench.sdp(in_plain());
        let again = offer(&plain("198.51.100.10")).with("to-tag", "T");
        assert!(crypto_lines(&bench.sdp(again)).is_empty());
        bench.sdp(with_keys(tag));
        assert_eq!(flow_of(&bench, TO).security, Security::Plain);
    }
}

/// The relay is the answerer, so it takes the keys.
#[test]
fn a_publisher_of_osrtp_is_answered_with_keys() {
    let mut bench = Bench::new();
    let opportunistic = secure("198.51.100.10", KEY).replace("RTP/SAVP", "RTP/AVP");
    let request = command("publish").with("from-tag", "P");
    let answered = bench.sdp(request.with("sdp", opportunistic));
    assert!(answered.contains(" RTP/AVP 8 101"), "{answered}");
    assert_eq!(crypto_lines(&answered).len(), 1, "{answered}");
    let publisher = flow_of(&bench, FROM);
    assert_eq!(protection(&publisher).suites(), "AES_CM_128_HMAC_SHA1_80");
    // Who subscribes to it without keys hears it in plain.
    let reply = bench.ask(command("subscribe request").with("from-tag", "P"));
    let tag = reply.get_str("to-tag").unwrap().to_owned();
    let heard = command("subscribe answer").with("to-tag", tag);
    let reply = bench.ask(heard.with("sdp", plain("198.51.100.20")));
    assert_eq!(said(&reply), "ok");
    let subscriber = flow_of(&bench, TO);
    assert_eq!(subscriber.security, Security::Plain);
    let publisher = flow_of(&bench, FROM);
    assert_eq!(publisher.sinks[0].via, subscriber.local);
}

/// Another fork's answer, the first one's again, and then a new key: what is on its way is under the
/// key that was in force, not under the latest one.
#[test]
fn what_comes_late_is_under_the_keys_that_were_in_force() {
    let mut bench = Bench::new();
    bench.sdp(offer(&secure("198.51.100.10", KEY)));
    let fork = KEY.replace('W', "X");
    let new = KEY.replace('W', "Y");
    for key in [OTHER_KEY, &fork, OTHER_KEY, &new] {
        bench.sdp(answer(&secure("198.51.100.20", key)));
    }
    let protection = protection(&flow_of(&bench, TO));
    let now = bench.now.instant;
    for (key, is_expected) in [(OTHER_KEY, true), (&fork, false)] {
        let said = secure("198.51.100.20", key);
        let said = windlass_sdp::SessionDescription::parse(said.as_bytes(), Default::default());
        let key = said.unwrap().media[0].crypto[0].key_salt().unwrap();
        let suite = windlass_srtp::Suite::AesCm128HmacSha1_80;
        let keys = windlass_srtp::Keys::from_sdes(suite, &key).unwrap();
        let mut seal = windlass_srtp::Seal::new(keys).unwrap();
        let mut packet = vec![0; 64];
        packet[0] = 0x80;
        let length = seal.rtp(&mut packet, 40).unwrap();
        packet.truncate(length);
        let opened = protection.open_late(&mut packet.clone(), now);
        assert_eq!(opened.is_ok(), is_expected);
        let later = now + crate::limits::LATE_KEYS;
        assert!(protection.open_late(&mut packet, later).is_err());
    }
}

/// Packets name the key that they are under (RFC 4568 §6.1, RFC 3711 §8.1).
#[test]
fn every_key_of_a_line_opens_what_names_it() {
    let two = secure(
        "198.51.100.10",
        &format!("{KEY}|1:4;inline:{OTHER_KEY}|2^31|2:4"),
    );
    let mut bench = Bench::new();
    let offered = bench.sdp(offer(&two));
    // What we seal is under one key, so it is one of ours.
    let first = crypto_lines(&offered)[0];
    assert!(first.starts_with("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"));
    assert!(!offered.contains(KEY) && !offered.contains(OTHER_KEY));
    let answered = bench.sdp(answer(&format!(
        "{}{first}\n",
        plain("198.51.100.20").replace("RTP/AVP", "RTP/SAVP")
    )));
    assert_eq!(crypto_lines(&answered).len(), 1);
    let protection = protection(&flow_of(&bench, FROM));
    let said = windlass_sdp::SessionDescription::parse(two.as_bytes(), Default::default());
    let line = said.unwrap().media[0].crypto[0].clone();
    let keys = [
        (line.key_salt(), 1),
        (line.further[0].key_salt(), 2),
        (line.key_salt(), 2),
    ];
    let opened = keys.map(|(key, mki)| {
        let suite = windlass_srtp::Suite::AesCm128HmacSha1_80;
        let keys = windlass_srtp::Keys::from_sdes(suite, &key.unwrap()).unwrap();
        let keys = keys.with_mki(windlass_srtp::Mki::new(mki, 4).unwrap());
        let mut seal = windlass_srtp::Seal::new(keys).unwrap();
        let mut packet = vec![0; 64];
        packet[0] = 0x80;
        packet[3] = u8::try_from(mki).unwrap();
        let length = seal.rtp(&mut packet, 40).unwrap();
        packet.truncate(length);
        protection
            .open(&mut packet, crate::media::demux::Protocol::Rtp)
            .is_ok()
    });
    assert_eq!(opened, [true, true, false]);
}

#[test]
fn a_line_that_cannot_be_used_is_left_out() {
    let mut bench = Bench::new();
    // An identifier that does not fit its length.
    let sdp = secure("198.51.100.10", KEY).replace(KEY, &format!("{KEY}|300:1"));
    bench.sdp(offer(&sdp).with("transport-protocol", "RTP/AVP"));
    let answered = bench.sdp(answer(&plain("198.51.100.20")));
    assert!(crypto_lines(&answered).is_empty(), "{answered}");
    assert_eq!(flow_of(&bench, FROM).security, Security::Awaited);
}

#[test]
fn the_log_says_why_there_are_no_keys() {
    let run = |offered: &str, more: Dict, answered: &str| {
        let mut bench = Bench::new();
        let (_, log) = logged(|| {
            let mut request = offer(offered);
            request.extend(more.into_entries());
            bench.sdp(request);
            bench.sdp(answer(answered));
        });
        let reasons = log.lines().filter_map(|line| line.split_once("reason="));
        let reasons: Vec<String> = reasons.map(|(_, reason)| reason.to_owned()).collect();
        assert!(!log.contains(KEY) && !log.contains(&KEY[..12]), "{log}");
        reasons
    };
    let (a, b) = ("198.51.100.10", "198.51.100.20");
    let few = || Dict::new().with("SDES", strings(&["nonew"]));
    let suite = "AES_CM_128_HMAC_SHA1_80";
    let fits = secure(b, KEY);
    assert!(run(&secure(a, KEY), few(), &fits).is_empty());
    assert!(run(&plain(a), Dict::new(), &plain(b)).is_empty());
    // The suite is another; there is no key; the suite is unknown, or the identifier is nonsense.
    let other = fits.replace(suite, "AES_CM_128_HMAC_SHA1_32");
    let reasons = run(&secure(a, KEY), few(), &other);
    let [reason] = reasons.as_slice() else {
        panic!("{reasons:?}");
    };
    assert!(reason.contains("AES_CM_128_HMAC_SHA1_32, and we offered AES_CM_128_HMAC_SHA1_80"));
    let silent = plain(b).replace("RTP/AVP", "RTP/SAVP");
    let reasons = run(&secure(a, KEY), few(), &silent);
    assert!(reasons[0].contains("the answer has no keys"), "{reasons:?}");
    for (offered, expected) in [
        (
            secure(a, KEY).replace(suite, "NEW_SUITE"),
            "NEW_SUITE (unknown)",
        ),
        (
            secure(a, &format!("{KEY}|300:1")),
            "AES_CM_128_HMAC_SHA1_80 (key or identifier unusable)",
        ),
    ] {
        let to_plain = Dict::new().with("transport-protocol", "RTP/AVP");
        let reasons = run(&offered, to_plain, &plain(b));
        let [reason] = reasons.as_slice() else {
            panic!("{reasons:?}");
        };
        assert!(reason.contains(expected), "{reason}");
        assert!(reason.contains("we can do AEAD_AES_256_GCM "), "{reason}");
    }
}

#[test]
fn keys_are_shown_nowhere() {
    let bench = bridged();
    let shown = format!("{:?}", flow_of(&bench, FROM));
    assert!(shown.contains("AES_CM_128_HMAC_SHA1_80"), "{shown}");
    assert!(
        !shown.contains(KEY) && !shown.contains("89, 83, 95"),
        "{shown}"
    );
}
