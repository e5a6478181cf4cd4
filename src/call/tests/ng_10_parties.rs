//! ng-protocol §10.2, §10.3: which parties an offer or answer is between.

use super::ng_10_offer_answer::{HOST, OTHER, answer_of};
use super::*;

/// The tags of a call with those that each hears and its earlier ones, as one line.
fn parties(bench: &mut Bench) -> String {
    let reply = bench.ask(command("query"));
    let text = |value: &Value| value.as_bytes().unwrap().escape_ascii().to_string();
    let tags = at(&reply, "tags").as_dict().unwrap();
    let party = |(key, party): (&[u8], &Value)| {
        let party = party.as_dict().unwrap();
        let heard = party.get("subscriptions").unwrap().as_list().unwrap();
        let heard: Vec<_> = heard
            .iter()
            .map(|peer| text(peer.as_dict().unwrap().get("tag").unwrap()))
            .collect();
        let aliases = party.get("tag-aliases").and_then(Value::as_list);
        let aliases: Vec<_> = aliases.unwrap_or_default().iter().map(text).collect();
        let (key, heard) = (key.escape_ascii(), heard.join("+"));
        match aliases.is_empty() {
            true => format!("{key}<{heard}"),
            false => format!("{key}({})<{heard}", aliases.join("+")),
        }
    };
    tags.iter().map(party).collect::<Vec<_>>().join(" ")
}

#[test]
fn who_an_offer_or_answer_is_between() {
    // (command, from, to, branch, flags), then the parties: TAG(ALIASES)<HEARD.
    type Step = (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    );
    type Row = (&'static [Step], &'static str);
    const O: &str = "offer";
    const A: &str = "answer";
    let rows: [Row; 20] = [
        (&[(O, "F", "", "", "")], "F< <untagged 1><F"),
        (&[(O, "F", "T", "", "")], "F< <untagged 1><F"),
        (
            &[(O, "F", "", "", ""), (O, "F", "", "", "")],
            "F< <untagged 1><F",
        ),
        (&[(O, "F", "", "", ""), (A, "F", "T", "", "")], "F<T T<F"),
        // Known sender, unknown to-tag: another receiver, found again by that tag.
        (
            &[
                (O, "F", "", "", ""),
                (A, "F", "T", "", ""),
                (O, "F", "X", "", ""),
            ],
            "F<T T<F <untagged 2><F",
        ),
        (
            &[
                (O, "F", "", "", ""),
                (A, "F", "T", "", ""),
                (O, "F", "X", "", ""),
                (A, "F", "X", "", ""),
            ],
            "F<X T< X<F",
        ),
        (&[(O, "F", "T", "", ""), (O, "F", "T", "", "")], "F<T T<F"),
        // Branches.
        (
            &[
                (O, "F", "", "b1", ""),
                (O, "F", "", "b2", ""),
                (O, "F", "", "b1", ""),
            ],
            "F< <untagged 1><F <untagged 2><F",
        ),
        (
            &[(O, "F", "", "", ""), (O, "F", "", "b1", "")],
            "F< <untagged 1><F <untagged 2><F",
        ),
        (
            &[
                (O, "F", "", "b1", ""),
                (O, "F", "", "b2", ""),
                (A, "F", "T", "b2", ""),
            ],
            "F<T <untagged 1>< T<F",
        ),
        (
            &[
                (O, "F", "", "b1", ""),
                (O, "F", "", "b2", ""),
                (A, "F", "T1", "b1", ""),
                (A, "F", "T2", "b2", ""),
                (A, "F", "T1", "b1", ""),
            ],
            "F<T1 T1<F T2<",
        ),
        // The tag goes before the branch.
        (
            &[
                (O, "F", "", "b1", ""),
                (O, "F", "", "b2", ""),
                (A, "F", "T1", "b1", ""),
                (A, "F", "T1", "b2", ""),
            ],
            "F<T1 T1<F <untagged 2><",
        ),
        // In the other direction.
        (
            &[
                (O, "F", "", "", ""),
                (A, "F", "T", "", ""),
                (O, "T", "F", "", ""),
            ],
            "F<T T<F",
        ),
        (
            &[
                (O, "F", "", "", ""),
                (A, "F", "T", "", ""),
                (O, "Z", "F", "", ""),
            ],
            "F<T+Z T<F Z<F",
        ),
        // A second tag in an answer is the same party, as long as nothing fixed the first.
        (
            &[
                (O, "F", "", "", ""),
                (A, "F", "t1", "", ""),
                (A, "F", "t2", "", ""),
            ],
            "F<t2 t2(t1)<F",
        ),
        (
            &[
                (O, "F", "", "", ""),
                (A, "F", "t1", "", ""),
                (A, "F", "t2", "", "new-branch"),
            ],
            "F<t2 t1< t2<F",
        ),
        (
            &[
                (O, "F", "", "", ""),
                (A, "F", "t1", "", "final"),
                (A, "F", "t2", "", ""),
            ],
            "F<t2 t1< t2<F",
        ),
        (
            &[
                (O, "F", "", "", ""),
                (A, "F", "t1", "", "final"),
                (A, "F", "t2", "", "provisional"),
            ],
            "F<t2 t2(t1)<F",
        ),
        (
            &[
                (O, "F", "", "", ""),
                (A, "F", "t1", "", "final"),
                (O, "F", "t1", "", ""),
                (A, "F", "t2", "", ""),
            ],
            "F<t2 t2(t1)<F",
        ),
        // An earlier tag is known, and the live one again.
        (
            &[
                (O, "F", "", "", ""),
                (A, "F", "t1", "", ""),
                (A, "F", "t2", "", ""),
                (A, "F", "t1", "", ""),
            ],
            "F<t1 t1(t2)<F",
        ),
    ];
    for (steps, expected) in rows {
        let mut bench = Bench::new();
        for &(name, from, to, branch, flag) in steps {
            let (host, port) = if name == O {
                (HOST, 2000)
            } else {
                (OTHER, 3000)
            };
            let mut request = message(name, &audio(host, port, "")).with("from-tag", from);
            for (key, value) in [("to-tag", to), ("via-branch", branch)] {
                if !value.is_empty() {
                    request.push(key, value);
                }
            }
            match flag {
                "" => {}
                "final" => {
                    request.push("SIP-message-type", "reply");
                    request.push("SIP-code", 200);
                }
                flag => request.push("flags", strings(&[flag])),
            }
            bench.sdp(request);
        }
        assert_eq!(parties(&mut bench), expected, "{steps:?}");
    }
}

#[test]
fn a_provisional_reply_fixes_no_tag() {
    for (kind, code) in [("reply", 183), ("request", 200), ("reply", 0)] {
        let mut bench = Bench::new();
        bench.sdp(offer(&audio(HOST, 2000, "")));
        let first = answer_of("t1", &audio(OTHER, 3000, ""));
        bench.sdp(first.with("SIP-message-type", kind).with("SIP-code", code));
        bench.sdp(answer_of("t2", &audio(OTHER, 3000, "")));
        assert_eq!(parties(&mut bench), "F<t2 t2(t1)<F", "{kind} {code}");
    }
}

#[test]
fn an_alias_key_finds_the_party_of_a_known_offer() {
    let other_text = |port| audio(HOST, port, "a=x\n");
    for (key, sdp, is_known) in [
        ("SDP", audio(HOST, 2000, ""), true),
        ("sdp", other_text(2000), false),
        ("address", other_text(2000), true),
        ("endpoint", other_text(2002), false),
        ("none", audio(HOST, 2000, ""), false),
        ("off", audio(HOST, 2000, ""), false),
    ] {
        let mut bench = Bench::new();
        bench.sdp(offer(&audio(HOST, 2000, "")).with("alias-key", key));
        bench.sdp(message("offer", &sdp).with("from-tag", "G"));
        let expected = match is_known {
            true => "F(G)< <untagged 1><F",
            false => "F< <untagged 1><F G< <untagged 3><G",
        };
        assert_eq!(parties(&mut bench), expected, "{key}");
    }
}

#[test]
fn an_answer_of_a_new_party_is_to_the_same_lines() {
    let two = |host: &str, port: u16| {
        audio(host, port, "") + &format!("m=video {} RTP/AVP 96\na=rtpmap:96 VP8/90000\n", port + 2)
    };
    let mut bench = Bench::new();
    bench.sdp(offer(&two(HOST, 2000)));
    let first = bench.sdp(answer_of("t1", &two(OTHER, 3000)));
    let flags = strings(&["new-branch"]);
    let second = bench.sdp(answer_of("t2", &two("198.51.100.30", 4000)).with("flags", flags));
    for line in [0, 1] {
        // Ports of its own for another endpoint (§10.4), but not none.
        assert_ne!(port(&second, line), 0, "{second}");
        assert_ne!(port(&second, line), port(&first, line));
    }
    let reply = bench.ask(command("query").with("from-tag", "t2"));
    assert_eq!(keys(&reply, "tags"), ["F", "t2"]);
}
