//! ng-protocol §5: what a subscriber or publisher is offered, by flags and options.

use super::ng_05_commands::{FROM, TO, connected, flow_of, reason};
use super::ng_05_subscriptions::PUBLISHED;
use super::*;

/// A subscription to the medias of `F`, with more keys.
fn subscribe(more: Dict) -> Dict {
    let mut request = command("subscribe request");
    request.extend(more.into_entries());
    request
}

fn from_f() -> Dict {
    Dict::new().with("from-tag", "F")
}

#[test]
fn flags_of_a_subscription() {
    let flags = |flags: &[&str]| from_f().with("flags", strings(flags));
    for (more, expected) in [
        (from_f(), "a=sendonly\n"),
        (flags(&["inactive"]), "a=inactive\n"),
        (flags(&["bidirectional"]), "a=sendrecv\n"),
        (flags(&["inactive", "bidirectional"]), "a=inactive\n"),
        (
            from_f().with("transport-protocol", "RTP/SAVP"),
            " RTP/SAVP 8 101\n",
        ),
        (
            from_f().with("transport-protocol", "RTP/SAVP"),
            "\na=crypto:1 ",
        ),
        (from_f().with("ICE", "force"), "\na=candidate:"),
        (
            from_f().with("rtcp-mux", strings(&["offer"])),
            "\na=rtcp-mux\n",
        ),
        (
            from_f().with("address-family", "IP6"),
            "c=IN IP6 2001:db8::1\n",
        ),
        (
            from_f().with("codec", Dict::new().with("strip", "PCMA")),
            " RTP/AVP 101\n",
        ),
    ] {
        let mut bench = connected();
        let sdp = bench.sdp(subscribe(more.clone()));
        assert!(sdp.contains(expected), "{more:?}: {sdp}");
        assert_eq!(sdp.matches("\nm=").count(), 1, "{more:?}");
    }
}

#[test]
fn the_reply_to_a_subscription() {
    let keys_of = |more: Dict| {
        let mut bench = connected();
        keys(&bench.ask(subscribe(more)), "")
    };
    let one = ["sdp", "from-tag", "from-tags", "to-tag", "result"];
    assert_eq!(keys_of(from_f()), one);
    assert_eq!(keys_of(Dict::new().with("from-tags", strings(&["F"]))), one);
    // `from-tag` is there for a single media alone.
    let several = ["sdp", "from-tags", "to-tag", "result"];
    assert_eq!(keys_of(Dict::new().with("all", "all")), several);
    assert_eq!(
        keys_of(Dict::new().with("flags", strings(&["all"]))),
        several
    );
    assert_eq!(keys_of(Dict::new().with("from-tags", "F,T")), several);
    let siprec = [
        "sdp",
        "from-tag",
        "from-tags",
        "to-tag",
        "tag-medias",
        "media-labels",
        "result",
    ];
    assert_eq!(
        keys_of(from_f().with("flags", strings(&["SIPREC"]))),
        siprec
    );

    let mut bench = connected();
    let request = subscribe(Dict::new().with("label", "caller"));
    let reply = bench.ask(request.with("to-tag", "S").with("to-label", "listener"));
    assert_eq!(reply.get_str("to-tag"), Some("S"));
    assert_eq!(at(&reply, "from-tags"), &strings(&["F"]));
    let listener = bench.ask(command("query").with("from-tag", "S"));
    assert_eq!(
        at(&listener, "tags/S/label").as_bytes(),
        Some(&b"listener"[..])
    );
    assert_eq!(keys(&listener, "tags"), ["F", "S"]);
}

#[test]
fn siprec_names_medias_by_number() {
    let mut bench = connected();
    let request = subscribe(Dict::new().with("flags", strings(&["all", "SIPREC"])));
    let reply = bench.ask(request);
    assert_eq!(keys(&reply, "tag-medias/0"), ["tag", "label", "medias"]);
    assert_eq!(
        keys(&reply, "tag-medias/1"),
        ["tag", "medias"],
        "without a label"
    );
    let media = keys(&reply, "tag-medias/0/medias/0");
    assert_eq!(media, ["index", "type", "label", "mode"]);
    assert_eq!(
        at(&reply, "tag-medias/0/medias/0/mode").as_bytes(),
        Some(&b"sendrecv"[..])
    );
    for number in keys(&reply, "media-labels") {
        number.parse::<u32>().unwrap();
        let sdp = reply.get_str("sdp").unwrap();
        assert!(sdp.contains(&format!("a=label:{number}\r\n")), "{sdp}");
    }
    assert_eq!(
        keys(&reply, "media-labels/0"),
        ["tag", "index", "type", "label", "mode"]
    );
}

#[test]
fn a_subscription_ends_for_one_source_or_for_all() {
    let mut bench = connected();
    let request = subscribe(Dict::new().with("from-tags", strings(&["F", "T"])));
    bench.ask(request.with("to-tag", "S"));
    let heard = |bench: &mut Bench| {
        let reply = bench.ask(command("query").with("from-tag", "S"));
        keys(&reply, "tags")
    };
    assert_eq!(heard(&mut bench), ["F", "T", "S"]);
    let leave = || command("unsubscribe").with("to-tag", "S");
    let one = leave()
        .with("from-tag", "T")
        .with("flags", strings(&["directional"]));
    assert_eq!(reason(&bench.ask(one)), "ok");
    assert_eq!(heard(&mut bench), ["F", "S"]);
    let leased = bench.leased();
    assert_eq!(reason(&bench.ask(leave())), "ok");
    assert!(heard(&mut bench).is_empty());
    let whole = bench.ask(command("query")).to_json();
    assert!(!String::from_utf8(whole).unwrap().contains("pub/sub"));
    assert!(bench.leased() < leased);
    assert_eq!(bench.flows(), bench.leased());
}

#[test]
fn a_party_of_an_offer_can_be_taken_out_as_well() {
    let mut bench = connected();
    assert_eq!(
        reason(&bench.ask(command("unsubscribe").with("to-tag", "T"))),
        "ok"
    );
    // It alone: the other one goes on, and hears nobody.
    let reply = bench.ask(command("query").with("from-tag", "F"));
    assert_eq!(keys(&reply, "tags"), ["F"]);
    assert!(keys(&bench.ask(command("query").with("from-tag", "T")), "tags").is_empty());
    assert_eq!(
        (bench.calls.count(), bench.leased(), bench.flows()),
        (1, 2, 2)
    );
    // Another answer takes its place.
    let answered = audio("198.51.100.20", 3000, "");
    bench.sdp(answer(&answered));
    assert_eq!(bench.leased(), 4);
    bench.ask(
        command("delete")
            .with("from-tag", "F")
            .with("delete-delay", 0),
    );
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
}

#[test]
fn connections_have_directions() {
    let hears = |bench: &Bench, sink: &str, source: &str| {
        let via = flow_of(bench, sink).local;
        flow_of(bench, source)
            .sinks
            .iter()
            .any(|sink| sink.via == via)
    };
    const THIRD: &str = "198.51.100.30:5000";
    for (flags, back) in [(&[][..], true), (&["directional"], false)] {
        let mut bench = connected();
        let sdp = PUBLISHED
            .replace('\n', "\r\n")
            .replace("sendonly", "sendrecv");
        bench.ask(command("publish").with("from-tag", "P").with("sdp", sdp));
        let request = command("connect").with("from-tag", "P").with("to-tag", "T");
        assert_eq!(
            reason(&bench.ask(request.with("flags", strings(flags)))),
            "ok"
        );
        assert!(hears(&bench, TO, THIRD));
        assert_eq!(hears(&bench, THIRD, TO), back, "{flags:?}");
        // A transfer ends what T heard; a directional connection adds to it.
        assert_eq!(hears(&bench, TO, FROM), !back, "{flags:?}");
    }
}

#[test]
fn supplementary_codecs_of_a_publisher_stay_beside_the_chosen_one() {
    let maps = "a=rtpmap:96 red/8000\na=rtpmap:97 red/48000\n\
                a=rtpmap:101 telephone-event/8000\na=rtpmap:110 telephone-event/48000\n";
    let shown = |formats: &str, maps: &str, accept: &[&str]| {
        let sdp = PUBLISHED.replace("8 0\n", &format!("{formats}\n")) + maps;
        let codec = Dict::new().with("accept", strings(accept));
        let request = command("publish").with("sdp", sdp.replace('\n', "\r\n"));
        let shown = Bench::new().sdp(request.with("codec", codec));
        let line = shown.lines().find(|line| line.starts_with("m=")).unwrap();
        line.split("RTP/AVP ").nth(1).unwrap().trim().to_owned()
    };
    assert_eq!(shown("8 96 97 101 110", maps, &[]), "8 96 101");
    let unknown = "a=rtpmap:96 foo/8000\na=rtpmap:101 telephone-event/8000\n";
    assert_eq!(shown("8 0 96 101", unknown, &["all"]), "8 0 101");
    assert_eq!(shown("8 0 96 101", unknown, &["all", "any"]), "8 0 96 101");
}

#[test]
fn a_publisher_is_to_send_one_codec() {
    let accept = |names: &[&str]| Dict::new().with("accept", strings(names));
    let maps =
        "a=rtpmap:96 opus/48000/2\na=rtpmap:98 foo/8000\na=rtpmap:101 telephone-event/8000\n";
    for (offered, codec, chosen) in [
        ("8 0", Dict::new(), "8"),
        ("8 0", accept(&["PCMU"]), "0"),
        ("8 0", accept(&["opus", "PCMU"]), "0"),
        ("8 0", accept(&["opus"]), "8"),
        ("96 8 0", accept(&["PCMU", "PCMA"]), "0"),
        ("96 8 0", accept(&["any", "PCMU"]), "0"),
        ("98 8", Dict::new(), "8"),
        ("98 8", accept(&["all"]), "8"),
        ("98 8", accept(&["any"]), "98"),
        ("98 8", accept(&["foo"]), "98"),
        ("98", accept(&["any"]), "98"),
        ("8 0", Dict::new().with("strip", "PCMA"), "0"),
    ] {
        let mut bench = Bench::new();
        let sdp = PUBLISHED.replace("8 0\n", &format!("{offered}\n")) + maps;
        let request = command("publish").with("sdp", sdp.replace('\n', "\r\n"));
        let shown = bench.sdp(request.with("codec", codec.clone()));
        assert!(
            shown.contains(&format!(" RTP/AVP {chosen}\n")),
            "{offered} {codec:?}: {shown}"
        );
    }
}
