//! sdp-rewriting §7, ng-protocol §8.4 and §8.6: transports and keys across offers and answers.

use super::*;

const RTP: &str = "m=audio 2000 RTP/AVP 8\n";
const ANSWER: &str = "m=audio 3000 RTP/AVP 8\n";
const KEY: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw";

/// Tag, suite and key of each line.
fn lines(sdp: &str) -> Vec<(u32, String, String)> {
    let crypto = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=crypto:"));
    let fields = crypto.map(|line| {
        let mut fields = line.split(' ').map(str::to_owned);
        let mut next = || fields.next().unwrap();
        (next().parse().unwrap(), next(), next())
    });
    fields.collect()
}

#[test]
fn an_answer_may_name_the_transport_of_the_offerer() {
    let mut bench = Bench::new();
    bench.sdp(from_a(RTP));
    let sdp = bench.sdp(from_b(ANSWER).with("transport-protocol", "RTP/AVPF"));
    assert!(sdp.contains(" RTP/AVPF 8\n"), "{sdp}");
}

#[test]
fn osrtp_that_is_answered_in_plain_is_turned_down() {
    let opportunistic = format!("{RTP}a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\n");
    let mut bench = Bench::new();
    bench.sdp(from_a(&opportunistic).with("transport-protocol", "RTP/AVP"));
    let sdp = bench.sdp(from_b(ANSWER));
    assert!(
        sdp.contains(" RTP/AVP 8\n") && lines(&sdp).is_empty(),
        "{sdp}"
    );
    let back = |sdp: &str, command: fn(&str) -> Dict| {
        command(sdp).with("from-tag", "T").with("to-tag", "F")
    };
    let sdp = bench.sdp(back(&party("198.51.100.20", ANSWER), offer));
    assert!(lines(&sdp).is_empty(), "{sdp}");
    let sdp = bench.sdp(back(&party("198.51.100.10", &opportunistic), |sdp| {
        message("answer", sdp)
    }));
    assert!(lines(&sdp).is_empty(), "{sdp}");
    let flows = bench.books.flows.lock().unwrap();
    assert!(flows.values().all(|(flow, _)| !flow.sinks.is_empty()));
}

#[test]
fn a_re_offer_goes_on_from_the_suite_that_was_agreed_on() {
    let mut bench = Bench::new();
    let secure = || from_a(RTP).with("transport-protocol", "RTP/SAVP");
    let first = lines(&bench.sdp(secure()));
    assert_eq!(first.len(), 12);
    let is_common = |line: &&(u32, String, String)| line.1 == "AES_CM_128_HMAC_SHA1_80";
    let (tag, suite, key) = first.iter().find(is_common).unwrap().clone();
    bench.sdp(from_b(&format!(
        "m=audio 3000 RTP/SAVP 8\na=crypto:{tag} {suite} inline:{KEY}\n"
    )));
    let second = lines(&bench.sdp(secure().with("to-tag", "T")));
    assert_eq!(second[0], (tag, suite, key));
    let tags: Vec<u32> = second.iter().map(|line| line.0).collect();
    assert_eq!(tags, (tag..tag + 12).collect::<Vec<u32>>());
    let is_old = |line: &(u32, String, String)| first.iter().any(|old| old.2 == line.2);
    assert!(!second[1..].iter().any(is_old));
}

/// The party may answer the first when it has seen the second: both must have the same keys.
#[test]
fn an_offer_that_is_repeated_before_its_answer_has_the_same_keys_and_ports() {
    let ice = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n";
    let moved = |lines: &str| offer(&party("198.51.100.99", lines)).with("to-tag", "T");
    let video = format!("{RTP}m=video 2002 RTP/AVP 96\na=rtpmap:96 H264/90000\n");
    let keys = |request: Dict| request.with("transport-protocol", "RTP/SAVPF");
    for (first, request) in [
        (keys(from_a(RTP)), keys(from_a(RTP).with("to-tag", "T"))),
        (from_a(RTP), keys(from_a(RTP).with("to-tag", "T"))),
        (from_a(RTP), keys(from_a(&video).with("to-tag", "T"))),
        (from_a(RTP), keys(moved(&format!("{RTP}{ice}")))),
        (keys(from_a(RTP)), keys(moved(RTP))),
    ] {
        let mut bench = Bench::new();
        let shown = bench.sdp(first);
        let is_common = |line: &&(u32, String, String)| line.1 == "AES_CM_128_HMAC_SHA1_80";
        let shown = lines(&shown);
        bench.sdp(from_b(&match shown.iter().find(is_common) {
            Some((tag, suite, _)) => {
                format!("m=audio 3000 RTP/SAVPF 8\na=crypto:{tag} {suite} inline:{KEY}\n")
            }
            None => ANSWER.to_owned(),
        }));
        let once = bench.sdp(request.clone());
        assert!(lines(&once).len() >= 12, "{once}");
        let attributes = |sdp: &str| -> Vec<String> {
            let names = ["m=", "a=rtcp:", "a=crypto:", "a=tls-id:", "a=ice-"];
            let is_made_up = |line: &&str| names.iter().any(|name| line.starts_with(name));
            sdp.lines().filter(is_made_up).map(str::to_owned).collect()
        };
        for _ in 0..2 {
            let flows = bench.flows();
            assert_eq!(attributes(&bench.sdp(request.clone())), attributes(&once));
            assert_eq!((bench.flows(), bench.leased()), (flows, flows));
        }
        // Unless it is to be new.
        let reset = bench.sdp(request.with("flags", strings(&["reset"])));
        assert_ne!(attributes(&reset), attributes(&once));
    }
}

#[test]
fn only_beats_no() {
    let name = "AES_CM_128_HMAC_SHA1_80";
    let options = [format!("only-{name}"), format!("no-{name}")];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let request = from_a(RTP).with("transport-protocol", "RTP/SAVP");
    let sdp = Bench::new().sdp(request.with("SDES", strings(&options)));
    let suites: Vec<String> = lines(&sdp).into_iter().map(|line| line.1).collect();
    assert_eq!(suites, [name]);
}

#[test]
fn the_preference_of_the_offerer_is_for_the_answer_alone() {
    let suites = [
        "AES_CM_128_HMAC_SHA1_80",
        "AES_CM_128_HMAC_SHA1_32",
        "F8_128_HMAC_SHA1_80",
    ];
    let [x, y, z] = suites;
    let offered: String = (1..)
        .zip(suites)
        .map(|(tag, suite)| format!("a=crypto:{tag} {suite} inline:{KEY}\n"))
        .collect();
    let mut bench = Bench::new();
    let preference = format!("offerer_pref:{z};{y}");
    let request = from_a(&format!("m=audio 2000 RTP/SAVP 8\n{offered}"));
    let shown = lines(&bench.sdp(request.with("SDES", strings(&[&preference]))));
    let order: Vec<&str> = shown.iter().take(3).map(|line| line.1.as_str()).collect();
    assert_eq!(order, [x, y, z]);
    let other = KEY.replace('M', "N");
    let sdp = bench.sdp(from_b(&format!(
        "m=audio 3000 RTP/SAVP 8\na=crypto:1 {x} inline:{other}\n"
    )));
    let [(tag, suite, key)] = lines(&sdp).try_into().unwrap();
    assert_eq!((tag, suite.as_str()), (3, z));
    assert!(!key.contains(&other) && !key.contains(KEY));
}
