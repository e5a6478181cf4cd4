//! ng-protocol §8.2, §10.4, §12, sdp-rewriting §5, §10: modes in an answer, options, flags, new
//! ports.

use super::ng_12_query::words;
use super::*;

const HOST: &str = "198.51.100.10";
const OTHER: &str = "198.51.100.20";

/// A phone with ICE and more lines.
fn ice(host: &str, port: u16, ufrag: &str, more: &str) -> String {
    let lines = format!(
        "a=ice-ufrag:{ufrag}\na=ice-pwd:pppppppppppppppppppppp\n\
         a=candidate:1 1 udp 2130706431 {host} {port} typ host\n{more}"
    );
    audio(host, port, &lines)
}

fn plain(host: &str, port: u16) -> String {
    audio(host, port, "")
}

fn has(sdp: &str, line: &str) -> bool {
    sdp.lines().any(|known| known == line)
}

/// The values of a line.
fn values<'a>(sdp: &'a str, name: &str) -> Vec<&'a str> {
    let values = sdp.lines().filter_map(|line| line.strip_prefix(name));
    values.collect()
}

#[test]
fn an_answer_may_ask_for_the_lines_to_pass() {
    for mode in ["optional", "force-relay"] {
        let mut bench = Bench::new();
        // Even if the offer had us in between.
        let shown = bench.sdp(offer(&ice(HOST, 2000, "aaaa", "")).with("ICE", "force"));
        assert!(!has(&shown, "a=ice-ufrag:aaaa"), "{shown}");
        let shown = bench.sdp(answer(&ice(OTHER, 3000, "bbbb", "")).with("ICE", mode));
        assert!(has(&shown, "a=ice-ufrag:bbbb"), "{mode}: {shown}");
        assert!(has(&shown, &format!("c=IN IP4 {OTHER}")), "{mode}: {shown}");
        assert_eq!(port(&shown, 0), 3000, "{mode}: {shown}");
        let candidates = values(&shown, "a=candidate:");
        let theirs = candidates.iter().filter(|line| line.contains(OTHER));
        let ours = candidates
            .iter()
            .filter(|line| line.contains("203.0.113.1"));
        assert!(theirs.count() == 1 && ours.count() > 0, "{mode}: {shown}");
        let kind = if mode == "optional" { "host" } else { "relay" };
        assert!(
            candidates.last().unwrap().contains(&format!("typ {kind}")),
            "{mode}: {shown}"
        );
        let flags = words(&bench.ask(command("query")), "tags/F/medias/0/flags");
        assert!(flags.contains(&"passthrough".to_owned()), "{flags:?}");
    }
}

#[test]
fn an_answer_without_ice_passes_where_the_offer_did() {
    for (offered, mode) in [
        ("optional", "optional"),
        ("force-relay", "force-relay"),
        ("optional", "force-relay"),
    ] {
        let mut bench = Bench::new();
        let shown = bench.sdp(offer(&ice(HOST, 2000, "aaaa", "")).with("ICE", offered));
        assert!(has(&shown, "a=ice-ufrag:aaaa"), "{shown}");
        let said = audio(OTHER, 3000, "a=x-own:1\n");
        let shown = bench.sdp(answer(&said).with("ICE", mode));
        // Nothing of ours, and no ICE that would find nobody.
        assert!(has(&shown, &format!("c=IN IP4 {OTHER}")), "{mode}: {shown}");
        assert_eq!(port(&shown, 0), 3000, "{mode}: {shown}");
        assert!(has(&shown, "a=x-own:1"), "{mode}: {shown}");
        assert!(
            !shown.contains("a=candidate:") && !shown.contains("a=ice-"),
            "{mode}: {shown}"
        );
        assert!(!shown.contains("203.0.113.1"), "{mode}: {shown}");
    }
    // Where the offer had us in between, an answer without ICE has us, too.
    let mut bench = Bench::new();
    bench.sdp(offer(&ice(HOST, 2000, "aaaa", "")).with("ICE", "force"));
    let shown = bench.sdp(answer(&plain(OTHER, 3000)).with("ICE", "optional"));
    assert!(has(&shown, "c=IN IP4 203.0.113.1"), "{shown}");
}

#[test]
fn a_party_is_shown_the_options_that_it_has() {
    let options = |text: &str| format!("a=ice-options:{text}\n");
    for (said, shown) in [
        ("trickle ice2", &["trickle ice2"][..]),
        ("trickle", &["trickle"]),
        ("ice2", &["ice2"]),
    ] {
        let mut bench = Bench::new();
        bench.sdp(offer(&ice(HOST, 2000, "aaaa", &options(said))));
        let answer = bench.sdp(answer(&ice(OTHER, 3000, "bbbb", "")));
        assert_eq!(values(&answer, "a=ice-options:"), shown, "{said}: {answer}");
    }
    // By its latest SDP, also where that was an answer.
    let mut bench = Bench::new();
    bench.sdp(offer(&ice(HOST, 2000, "aaaa", &options("ice2"))));
    bench.sdp(answer(&ice(OTHER, 3000, "bbbb", &options("ice2"))));
    let again = |more: &str| offer(&ice(HOST, 2000, "aaaa", more)).with("to-tag", "T");
    let shown = bench.sdp(again(""));
    assert_eq!(values(&shown, "a=ice-options:"), ["ice2"], "{shown}");
    let shown = bench.sdp(answer(&ice(OTHER, 3000, "bbbb", "")));
    assert!(values(&shown, "a=ice-options:").is_empty(), "{shown}");
    let shown = bench.sdp(again(""));
    assert!(values(&shown, "a=ice-options:").is_empty(), "{shown}");
}

#[test]
fn who_controls_is_told_of_every_rtp_line() {
    let flags = |bench: &mut Bench| {
        let reply = bench.ask(command("query"));
        ["F", "T"].map(|tag| words(&reply, &format!("tags/{tag}/medias/0/flags")))
    };
    let mut bench = Bench::new();
    bench.sdp(offer(&plain(HOST, 2000)));
    bench.sdp(answer(&plain(OTHER, 3000)));
    let both = ["initialized", "send", "recv"];
    let controlling = [&both[..], &["ICE controlling"]].concat();
    assert_eq!(flags(&mut bench)[0], both);
    assert_eq!(flags(&mut bench)[1], controlling);
    // The other party's later offer changes nothing.
    let from_other = message("offer", &plain(OTHER, 3000)).with("from-tag", "T");
    bench.sdp(from_other.with("to-tag", "F"));
    assert_eq!(flags(&mut bench)[1], controlling);
    // What is no RTP has none of it.
    let fax = |host: &str, port: u16| party(host, &format!("m=image {port} udptl t38\n"));
    let mut bench = Bench::new();
    bench.sdp(offer(&fax(HOST, 2000)));
    bench.sdp(answer(&fax(OTHER, 3000)));
    assert_eq!(flags(&mut bench)[1], both);
    // With ICE it is the same, unless the offerer is lite.
    for (more, of_offerer) in [("", false), ("a=ice-lite\n", true)] {
        let mut bench = Bench::new();
        bench.sdp(offer(
            &ice(HOST, 2000, "aaaa", "").replace("t=0 0\n", &format!("t=0 0\n{more}")),
        ));
        bench.sdp(answer(&ice(OTHER, 3000, "bbbb", "")));
        let is = flags(&mut bench).map(|flags| flags.contains(&"ICE controlling".to_owned()));
        assert_eq!(is, [of_offerer, true], "{more}");
    }
}

#[test]
fn other_ports_are_another_generation_of_ice() {
    let mut bench = Bench::new();
    let no_latching = |request: Dict| request.with("flags", strings(&["no-port-latching"]));
    let first = bench.sdp(no_latching(offer(&ice(HOST, 2000, "aaaa", ""))));
    bench.sdp(answer(&ice(OTHER, 3000, "bbbb", "")));
    let again = |port| offer(&ice(HOST, port, "aaaa", "")).with("to-tag", "T");
    let same = bench.sdp(no_latching(again(2000)));
    let ours = |sdp: &str| {
        let one = |name| values(sdp, name).first().copied().unwrap().to_owned();
        (port(sdp, 0), one("a=ice-ufrag:"), one("a=ice-pwd:"))
    };
    assert_eq!(ours(&same), ours(&first));
    let moved = bench.sdp(no_latching(again(2010)));
    let (before, after) = (ours(&first), ours(&moved));
    assert!(
        before.0 != after.0 && before.1 != after.1 && before.2 != after.2,
        "{first}{moved}"
    );
    let candidates = |sdp: &str| values(sdp, "a=candidate:").join("\n");
    assert!(
        candidates(&moved).contains(&format!(" {} typ host", after.0)),
        "{moved}"
    );
    assert_ne!(candidates(&moved), candidates(&first));
}

#[test]
fn media_address_is_shown_for_lines_that_pass_too() {
    for mode in ["optional", "force-relay"] {
        for (more, expected) in [
            (Dict::new(), HOST),
            (
                Dict::new().with("media-address", "192.0.2.77"),
                "192.0.2.77",
            ),
        ] {
            let mut request = offer(&ice(HOST, 2000, "aaaa", "")).with("ICE", mode);
            request.extend(more.into_entries());
            let shown = Bench::new().sdp(request);
            let line = format!("c=IN IP4 {expected}");
            assert!(has(&shown, &line), "{mode}: {shown}");
            assert_eq!(port(&shown, 0), 2000, "{mode}: {shown}");
        }
    }
}

/// ng-protocol §15: what others get wrong there.
#[test]
fn priorities_below_the_partys_do_not_wrap() {
    for theirs in [2_130_706_431_u32, 16_777_216, 255, 1] {
        let said = ice(HOST, 2000, "aaaa", "").replace("2130706431", &theirs.to_string());
        let shown = Bench::new().sdp(offer(&said).with("ICE", "optional"));
        let candidates = values(&shown, "a=candidate:").into_iter();
        let ours = candidates.filter(|line| !line.contains(HOST));
        let priorities: Vec<u32> = ours
            .map(|line| line.split(' ').nth(3).unwrap().parse().unwrap())
            .collect();
        assert!(priorities.len() > 1, "{shown}");
        assert!(
            priorities
                .iter()
                .all(|ours| (1..=theirs.max(255)).contains(ours)),
            "{theirs}: {priorities:?}"
        );
    }
}
