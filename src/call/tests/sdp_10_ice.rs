//! sdp-rewriting §10 and ng-protocol §8.2: ICE.

use super::masks::masked_medias;
use super::*;

const ICE: &str = "m=audio 2000 RTP/AVP 8\n\
    a=candidate:1 1 UDP 2130706431 198.51.100.10 2000 typ host\n\
    a=candidate:1 2 UDP 2130706430 198.51.100.10 2001 typ host\n\
    a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n";
const PLAIN: &str = "m=audio 2000 RTP/AVP 8\n";

fn from_caller(lines: &str, mode: Option<&'static str>) -> Dict {
    let mut request = offer(&party("198.51.100.10", lines));
    if let Some(mode) = mode {
        request.push("ICE", mode);
    }
    request
}

fn from_callee(lines: &str) -> Dict {
    answer(&party("198.51.100.20", lines))
}

/// The lines of the m= section, ports by order and drawn values masked.
fn lines(sdp: &str) -> Vec<String> {
    let numbered = numbered(sdp);
    let (_, media) = numbered.split_once("\nm=").unwrap();
    let mask = |line: &str| match line.split_once(':') {
        Some((name @ ("a=ice-ufrag" | "a=ice-pwd"), value))
            if value.len() == 8 || value.len() == 26 =>
        {
            format!("{name}:<{}>", value.len())
        }
        Some(("a=candidate", value)) if value.split(' ').next().unwrap().len() == 16 => {
            format!("a=candidate:F {}", value.split_once(' ').unwrap().1)
        }
        _ => line.to_owned(),
    };
    media.lines().map(mask).collect()
}

#[test]
fn force_adds_ice_and_the_answer_has_none_for_an_offerer_without() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(from_caller(PLAIN, Some("force")));
    assert_eq!(
        lines(&sdp)[3..],
        [
            "a=sendrecv",
            "a=rtcp:PORT1",
            "a=ice-ufrag:<8>",
            "a=ice-pwd:<26>",
            "a=candidate:F 1 UDP 2130706431 203.0.113.1 PORT0 typ host",
            "a=candidate:F 1 UDP 2130706175 2001:db8::1 PORT2 typ host",
            "a=candidate:F 2 UDP 2130706430 203.0.113.1 PORT1 typ host",
            "a=candidate:F 2 UDP 2130706174 2001:db8::1 PORT3 typ host",
        ]
    );
    let sdp = bench.sdp(from_callee(ICE).with("ICE", "force"));
    assert!(
        !sdp.contains("a=ice") && !sdp.contains("a=candidate"),
        "{sdp}"
    );
}

#[test]
fn remove_hides_ice_from_the_receiver_and_still_answers_it() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(from_caller(ICE, Some("remove")));
    assert!(
        !sdp.contains("a=ice") && !sdp.contains("a=candidate"),
        "{sdp}"
    );
    let sdp = bench.sdp(from_callee(PLAIN));
    assert!(
        sdp.contains("a=ice-ufrag:") && sdp.matches("a=candidate").count() == 4,
        "{sdp}"
    );

    let mut bench = Bench::new();
    bench.sdp(from_caller(ICE, Some("remove")).with("flags", strings(&["ICE-reject"])));
    let sdp = bench.sdp(from_callee(PLAIN));
    assert!(
        !sdp.contains("a=ice") && !sdp.contains("a=candidate"),
        "{sdp}"
    );

    let mut bench = Bench::new();
    bench.sdp(from_caller(ICE, None));
    let sdp = bench.sdp(from_callee(ICE).with("ICE", "remove"));
    assert!(
        !sdp.contains("a=ice") && !sdp.contains("a=candidate"),
        "{sdp}"
    );
}

#[test]
fn default_is_our_own_ice_on_both_legs() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(from_caller(ICE, None));
    assert!(
        !sdp.contains("abcd") && sdp.matches("a=candidate").count() == 4,
        "{sdp}"
    );
    let sdp = bench.sdp(from_callee(ICE));
    assert!(
        !sdp.contains("abcd") && sdp.matches("a=candidate").count() == 4,
        "{sdp}"
    );
    // An answer without ICE turns it off for later offers, until a reset.
    bench.sdp(from_callee(PLAIN));
    let sdp = bench.sdp(from_caller(ICE, None).with("to-tag", "T"));
    assert!(!sdp.contains("a=ice"), "{sdp}");
    let reset = from_caller(ICE, None)
        .with("to-tag", "T")
        .with("flags", strings(&["reset"]));
    assert!(bench.sdp(reset).contains("a=ice-ufrag"));

    let mut bench = Bench::new();
    assert!(!bench.sdp(from_caller(PLAIN, None)).contains("a=ice"));
}

#[test]
fn force_relay_passes_ice_through_and_adds_relay_candidates() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(from_caller(
        &format!("{ICE}a=end-of-candidates\n"),
        Some("force-relay"),
    ));
    assert_eq!(
        lines(&sdp),
        [
            "audio 2000 RTP/AVP 8",
            "c=IN IP4 198.51.100.10",
            "a=candidate:1 1 UDP 2130706431 198.51.100.10 2000 typ host",
            "a=candidate:1 2 UDP 2130706430 198.51.100.10 2001 typ host",
            "a=ice-ufrag:abcd",
            "a=ice-pwd:abcdefghijklmnopqrstuvwx",
            "a=candidate:F 1 UDP 16777215 203.0.113.1 PORT0 typ relay raddr 203.0.113.1 rport PORT0",
            "a=candidate:F 1 UDP 16776959 2001:db8::1 PORT1 typ relay raddr 2001:db8::1 rport PORT1",
            "a=candidate:F 2 UDP 16777214 203.0.113.1 PORT2 typ relay raddr 203.0.113.1 rport PORT2",
            "a=candidate:F 2 UDP 16776958 2001:db8::1 PORT3 typ relay raddr 2001:db8::1 rport PORT3",
            "a=end-of-candidates",
        ]
    );
}

#[test]
fn force_relay_leaves_media_without_ice_alone() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(from_caller(
        "m=audio 2000 RTP/AVP 8\na=foo:bar\n",
        Some("force-relay"),
    ));
    assert_eq!(
        lines(&sdp),
        [
            "audio 2000 RTP/AVP 8",
            "c=IN IP4 198.51.100.10",
            "a=foo:bar"
        ]
    );
    assert_eq!(bench.leased(), 0);
}

#[test]
fn what_is_passed_by_keeps_the_direction_of_the_session() {
    for media in [ICE, "m=audio 2000 RTP/AVP 8\n"] {
        let mut request = from_caller(media, Some("force-relay"));
        let sdp = request.get_str("sdp").unwrap();
        let sdp = sdp.replace("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n");
        request.set("sdp", sdp);
        let sdp = Bench::new().sdp(request);
        let media = sdp.split("\nm=").nth(1).unwrap();
        assert_eq!(media.matches("\na=sendonly\n").count(), 1, "{sdp}");
    }
}

#[test]
fn optional_adds_a_candidate_below_all_of_the_clients() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(from_caller(ICE, Some("optional")));
    let lines = lines(&sdp);
    assert_eq!(lines[0], "audio 2000 RTP/AVP 8");
    assert_eq!(
        lines[6],
        "a=candidate:F 1 UDP 2097152255 203.0.113.1 PORT0 typ host"
    );
    assert!(
        lines.iter().filter(|line| line.contains(" F ")).count() == 0 && lines.len() == 10,
        "{lines:?}"
    );
}

#[test]
fn lite_trickle_and_ice2_are_said() {
    let mut bench = Bench::new();
    let request = from_caller(PLAIN, None)
        .with("ICE", strings(&["force", "trickle", "ice2"]))
        .with("ICE-lite", "both");
    let sdp = bench.sdp(request);
    assert!(sdp.contains("t=0 0\na=ice-lite\nm="), "{sdp}");
    assert!(
        sdp.contains("a=ice-options:trickle ice2\n") && sdp.ends_with("a=end-of-candidates\n"),
        "{sdp}"
    );
}

#[test]
fn a_restart_of_the_client_draws_new_credentials() {
    let mut bench = Bench::new();
    bench.sdp(from_caller(ICE, None));
    let ufrag = |sdp: &str| {
        sdp.lines()
            .find(|l| l.starts_with("a=ice-ufrag"))
            .unwrap()
            .to_owned()
    };
    let first = ufrag(&bench.sdp(from_callee(ICE)));
    bench.sdp(from_caller(ICE, None).with("to-tag", "T"));
    assert_eq!(ufrag(&bench.sdp(from_callee(ICE))), first);
    bench.sdp(from_caller(&ICE.replace("abcd\n", "efgh\n"), None).with("to-tag", "T"));
    assert_ne!(ufrag(&bench.sdp(from_callee(ICE))), first);
}

#[test]
fn fragments_are_taken_without_an_sdp_in_the_reply() {
    let mut bench = Bench::new();
    let early = message("offer", "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\nm=audio 9 RTP/AVP 0\na=mid:0\na=candidate:9 1 UDP 1 198.51.100.99 9 typ host\n")
        .with("from-tag", "F")
        .with("flags", strings(&["fragment"]));
    let reply = bench.ask(early.clone());
    assert_eq!(reply.get_str("result"), Some("ok"));
    assert!(reply.get("sdp").is_none());
    bench.sdp(from_caller(ICE, None));
    assert_eq!(bench.ask(early).get_str("result"), Some("ok"));
    // Nobody's piece does not live for ever.
    let mut bench = Bench::new();
    bench.ask(
        message("offer", "a=foo\n")
            .with("from-tag", "F")
            .with("flags", strings(&["fragment"])),
    );
    bench.wait(4);
    assert_eq!(bench.calls.count(), 0);
}

#[test]
fn zero_address_is_no_hold_for_ice() {
    let mut bench = Bench::new();
    let trickle = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\nm=audio 9 RTP/AVP 8\n\
        c=IN IP4 0.0.0.0\na=ice-options:trickle\na=ice-ufrag:abcd\n\
        a=ice-pwd:abcdefghijklmnopqrstuvwx\n";
    let sdp = bench.sdp(offer(trickle));
    assert!(
        sdp.contains("a=sendrecv") && sdp.contains("c=IN IP4 203.0.113.1"),
        "{sdp}"
    );
}

fn values<'a>(sdp: &'a str, name: &str) -> Vec<&'a str> {
    let values = sdp.lines().filter_map(|line| line.strip_prefix(name));
    values.collect()
}

#[test]
fn credentials_and_foundations_are_letters_and_digits() {
    let mut bench = Bench::new();
    let force = |id: &'static str| {
        let mut request = from_a("m=audio 2000 RTP/AVP 8\n").with("ICE", "force");
        request.set("call-id", id);
        request
    };
    let one = bench.sdp(force("one"));
    let two = bench.sdp(force("two"));
    let is_drawn = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    for (name, length) in [("a=ice-ufrag:", 8), ("a=ice-pwd:", 26)] {
        let drawn = values(&one, name)[0];
        assert!(drawn.len() == length && is_drawn(drawn), "{drawn}");
        assert_ne!(drawn, values(&two, name)[0]);
    }
    // Foundations are those of the interfaces, the same for all calls and components.
    let foundations = |sdp: &str| -> Vec<String> {
        let candidates = values(sdp, "a=candidate:").into_iter();
        let firsts = candidates.filter_map(|value| value.split(' ').next());
        firsts.map(str::to_owned).collect()
    };
    let of_one = foundations(&one);
    assert_eq!(of_one, foundations(&two));
    assert_eq!((&of_one[0], &of_one[1]), (&of_one[2], &of_one[3]));
    assert_ne!(of_one[0], of_one[1]);
    assert!(of_one.iter().all(|text| text.len() == 16 && is_drawn(text)));
}

#[test]
fn the_preferred_family_stands_first() {
    let request = from_a("m=audio 2000 RTP/AVP 8\n")
        .with("ICE", "force")
        .with("address-family", "IP6");
    let sdp = masked_medias(&Bench::new().sdp(request));
    assert!(
        sdp.ends_with(
            "a=candidate:F 1 UDP 2130706431 2001:db8::1 PORT0 typ host
a=candidate:F 1 UDP 2130706175 203.0.113.1 PORT2 typ host
a=candidate:F 2 UDP 2130706430 2001:db8::1 PORT1 typ host
a=candidate:F 2 UDP 2130706174 203.0.113.1 PORT3 typ host
"
        ),
        "{sdp}"
    );
}

#[test]
fn candidates_have_the_advertised_address_of_their_interface_alone() {
    let mut bench = Bench::dual_homed();
    let request = from_a("m=audio 2000 RTP/AVP 8\n")
        .with("ICE", "force")
        .with("direction", strings(&["ext", "int"]));
    let sdp = masked_medias(&bench.sdp(request));
    assert!(
        sdp.ends_with(
            "a=candidate:F 1 UDP 2130706431 198.51.100.99 PORT0 typ host
a=candidate:F 2 UDP 2130706430 198.51.100.99 PORT1 typ host
"
        ),
        "{sdp}"
    );
}

#[test]
fn remove_is_between_us_and_the_receiver() {
    let mut bench = Bench::new();
    assert_eq!(
        masked_medias(&bench.sdp(from_a(ICE).with("ICE", "remove"))),
        "m=audio PORT0 RTP/AVP 8\nc=IN IP4 203.0.113.1\na=rtpmap:8 PCMA/8000\na=sendrecv\n\
         a=rtcp:PORT1\n"
    );
    assert_eq!(
        masked_medias(&bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n"))),
        "m=audio PORT0 RTP/AVP 8
c=IN IP4 203.0.113.1
a=rtpmap:8 PCMA/8000
a=sendrecv
a=rtcp:PORT1
a=ice-ufrag:<8>
a=ice-pwd:<26>
a=candidate:F 1 UDP 2130706431 203.0.113.1 PORT0 typ host
a=candidate:F 1 UDP 2130706175 2001:db8::1 PORT2 typ host
a=candidate:F 2 UDP 2130706430 203.0.113.1 PORT1 typ host
a=candidate:F 2 UDP 2130706174 2001:db8::1 PORT3 typ host
"
    );
}

#[test]
fn relay_candidates_of_the_client_stay_and_its_groups_do() {
    let theirs = "a=candidate:7 1 UDP 16777215 198.51.100.66 9 typ relay raddr 198.51.100.10 \
        rport 2000\n";
    let sdp = party("198.51.100.10", &format!("{ICE}{theirs}"))
        .replace("t=0 0\n", "t=0 0\na=group:LS 1 2\n");
    let sdp = Bench::new().sdp(offer(&sdp).with("ICE", "force-relay"));
    assert!(
        sdp.contains(theirs) && sdp.contains("\na=group:LS 1 2\n"),
        "{sdp}"
    );
    assert_eq!(sdp.matches("typ relay").count(), 5, "{sdp}");
}

#[test]
fn optional_adds_host_candidates_below_the_clients() {
    let sdp = masked_medias(&Bench::new().sdp(from_a(ICE).with("ICE", "optional")));
    let (theirs, ours) = sdp.split_at(sdp.find("a=candidate:F").unwrap());
    assert_eq!(
        theirs,
        ICE.replace("RTP/AVP 8\n", "RTP/AVP 8\nc=IN IP4 198.51.100.10\n")
    );
    assert_eq!(
        ours.lines().next(),
        Some("a=candidate:F 1 UDP 2097152255 203.0.113.1 PORT0 typ host")
    );
    let priorities = ours.lines().map(|line| line.split(' ').nth(3).unwrap());
    let priorities: Vec<u64> = priorities.map(|text| text.parse().unwrap()).collect();
    assert!(
        priorities
            .iter()
            .all(|&priority| (1..2_130_706_430).contains(&priority))
    );
    // Without ICE in the offer ours is added as with `force`.
    let sdp = Bench::new().sdp(from_a("m=audio 2000 RTP/AVP 8\n").with("ICE", "optional"));
    assert!(
        sdp.contains("\na=candidate:") && sdp.contains("c=IN IP4 203.0.113.1"),
        "{sdp}"
    );
}

#[test]
fn options_are_said_one_by_one() {
    for (options, line) in [
        (&["force", "trickle"][..], Some("trickle")),
        (&["force", "ice2"][..], Some("ice2")),
        (&["force", "trickle", "ice2"][..], Some("trickle ice2")),
        (&["force"][..], None),
    ] {
        let request = from_a("m=audio 2000 RTP/AVP 8\n").with("ICE", strings(options));
        let sdp = Bench::new().sdp(request);
        assert_eq!(values(&sdp, "a=ice-options:").first().copied(), line);
        assert_eq!(
            sdp.ends_with("\na=end-of-candidates\n"),
            options.contains(&"trickle"),
            "{sdp}"
        );
    }
}

#[test]
fn a_client_that_trickles_is_answered_so() {
    let credentials = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n";
    let by_option = party(
        "198.51.100.10",
        &format!("m=audio 2000 RTP/AVP 8\n{credentials}a=ice-options:trickle\n"),
    );
    // By its address: not yet known, with port 9.
    let by_address = party("0.0.0.0", &format!("m=audio 9 RTP/AVP 8\n{credentials}"));
    for said in [by_option, by_address] {
        let mut bench = Bench::new();
        let sdp = bench.sdp(offer(&said));
        assert!(!sdp.contains("trickle"), "{sdp}");
        let sdp = bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n"));
        assert!(sdp.contains("\na=ice-options:trickle\n"), "{sdp}");
        assert!(sdp.ends_with("\na=end-of-candidates\n"), "{sdp}");
    }
}

#[test]
fn lite_is_said_once_for_who_is_told() {
    for (value, offered, answered) in [
        ("both", true, true),
        ("forward", true, false),
        ("backward", false, true),
        ("off", false, false),
    ] {
        let mut bench = Bench::new();
        let sdp = bench.sdp(from_a(ICE).with("ICE-lite", value));
        assert_eq!(
            sdp.contains("t=0 0\na=ice-lite\nm="),
            offered,
            "{value}: {sdp}"
        );
        let sdp = bench.sdp(from_b(ICE));
        assert_eq!(
            sdp.contains("t=0 0\na=ice-lite\nm="),
            answered,
            "{value}: {sdp}"
        );
    }
}

#[test]
fn either_credential_makes_a_restart() {
    for (old, new) in [("abcd\n", "efgh\n"), ("wx\n", "yz\n")] {
        let mut bench = Bench::new();
        bench.sdp(from_a(ICE));
        let first = bench.sdp(from_b(ICE));
        bench.sdp(from_a(&ICE.replace(old, new)).with("to-tag", "T"));
        let second = bench.sdp(from_b(ICE));
        for name in ["a=ice-ufrag:", "a=ice-pwd:"] {
            assert_ne!(values(&first, name), values(&second, name));
        }
    }
}
