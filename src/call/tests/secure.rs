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
fn keys_are_shown_nowhere() {
    let bench = bridged();
    let shown = format!("{:?}", flow_of(&bench, FROM));
    assert!(shown.contains("AES_CM_128_HMAC_SHA1_80"), "{shown}");
    assert!(
        !shown.contains(KEY) && !shown.contains("89, 83, 95"),
        "{shown}"
    );
}
