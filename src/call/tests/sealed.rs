//! SRTP that passes under the parties' keys: packets go as they are or not at all
//! (spec: media-behaviour §2, §11; RFC 3711 §3.1).

use super::ng_05_commands::{FROM, flow_of, reason};
use super::*;
use crate::flow::{Change, FlowSpec, Payload};

fn secure(host: &str) -> String {
    format!(
        "v=0\no=- 1 1 IN IP4 {host}\ns=-\nc=IN IP4 {host}\nt=0 0\n\
         m=audio 2000 RTP/SAVP 8 101\na=rtpmap:101 telephone-event/8000\na=extmap:3 urn:x\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\n"
    )
}

/// A call whose SRTP passes.
fn passing(with: impl FnOnce(Dict) -> Dict) -> Bench {
    let mut bench = Bench::new();
    bench.sdp(with(offer(&secure("198.51.100.10"))));
    bench.sdp(answer(&secure("198.51.100.20")));
    bench
}

fn changes(flow: &FlowSpec) -> Vec<Change> {
    let rules = flow.sinks.iter().filter_map(|sink| sink.rules.as_deref());
    let changes = rules.map(|rules| rules.change.clone());
    changes
        .filter(|change| *change != Change::default())
        .collect()
}

#[test]
fn no_plain_digit_is_played_into_a_secure_leg() {
    let mut bench = passing(|offer| offer);
    let play = command("play DTMF").with("from-tag", "F").with("code", "5");
    assert_eq!(reason(&bench.ask(play)), windlass_ng::errors::NO_DTMF_SINK);
}

#[test]
fn nothing_is_changed_in_srtp() {
    let strip = Dict::new().with("strip", strings(&["urn:x"]));
    let hiding = |offer: Dict| offer.with("extmap", strip);
    let mut bench = passing(hiding);
    let caller = flow_of(&bench, FROM);
    assert!(matches!(
        caller.payload,
        Payload::Sealed {
            clock_rate: 8000,
            ..
        }
    ));
    assert_eq!(caller.sinks.len(), 2);
    assert_eq!(changes(&caller), []);
    bench.ask(command("silence media").with("from-tag", "F"));
    assert_eq!(changes(&flow_of(&bench, FROM)), []);
    let zero = command("block DTMF")
        .with("from-tag", "F")
        .with("DTMF-security", "zero");
    bench.ask(zero);
    assert_eq!(changes(&flow_of(&bench, FROM)), []);
    // Withholding needs no key.
    bench.ask(command("block media").with("from-tag", "F"));
    let blocked = flow_of(&bench, FROM);
    let rules = blocked.sinks[0].rules.as_deref().unwrap();
    assert!(rules.withhold.drop_media && !rules.withhold.passes(101));
}

#[test]
fn feedback_stays_in_srtcp() {
    let mut bench = Bench::new();
    bench.sdp(
        offer(&secure("198.51.100.10").replace("SAVP", "SAVPF"))
            .with("transport-protocol", "RTP/SAVP"),
    );
    bench.sdp(answer(&secure("198.51.100.20")));
    let caller = flow_of(&bench, FROM);
    assert_eq!(caller.sinks.len(), 2);
    assert_eq!(changes(&caller), []);
}
