//! sdp-rewriting §6: direction, hold and rejected medias.

use super::*;

fn direction(sdp: &str) -> &str {
    let mut lines = sdp.lines().filter_map(|line| line.strip_prefix("a="));
    let is_direction =
        |line: &&str| ["sendrecv", "sendonly", "recvonly", "inactive"].contains(line);
    lines.find(is_direction).unwrap_or("none")
}

fn from_a(host: &str, more: &str) -> Dict {
    offer(&audio(host, 2000, more)).with("to-tag", "T")
}

fn connected() -> Bench {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("198.51.100.10", 2000, "")));
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    bench
}

#[test]
fn offers_and_answers_pass_their_direction() {
    for (offered, answered) in [
        ("sendrecv", "sendrecv"),
        ("sendonly", "recvonly"),
        ("recvonly", "sendonly"),
        ("inactive", "inactive"),
        ("sendrecv", "inactive"),
    ] {
        let mut bench = connected();
        let sdp = bench.sdp(from_a("198.51.100.10", &format!("a={offered}\n")));
        assert_eq!(direction(&sdp), offered);
        let sdp = bench.sdp(answer(&audio(
            "198.51.100.20",
            3000,
            &format!("a={answered}\n"),
        )));
        assert_eq!(direction(&sdp), answered, "answer to {offered}");
        // And it ends with the next offer.
        assert_eq!(
            direction(&bench.sdp(from_a("198.51.100.10", ""))),
            "sendrecv"
        );
    }
}

#[test]
fn a_zero_address_takes_receiving_away() {
    for (said, printed) in [
        ("", "sendonly"),
        ("a=sendrecv\n", "sendonly"),
        ("a=sendonly\n", "sendonly"),
        ("a=recvonly\n", "inactive"),
        ("a=inactive\n", "inactive"),
    ] {
        let mut bench = connected();
        let before = bench.sdp(from_a("198.51.100.10", ""));
        let sdp = bench.sdp(from_a("0.0.0.0", said));
        assert_eq!(direction(&sdp), printed, "{said}");
        assert!(sdp.contains("\nc=IN IP4 0.0.0.0\n"), "{sdp}");
        // Hold does not move the ports: the address counts as any, the port is the same.
        assert_eq!(port(&sdp, 0), port(&before, 0));
        let after = bench.sdp(from_a("198.51.100.10", ""));
        assert_eq!(after, before);
    }
}

#[test]
fn a_zero_address_in_an_answer_is_a_hold_too() {
    let mut bench = connected();
    bench.sdp(from_a("198.51.100.10", ""));
    let sdp = bench.sdp(answer(&audio("0.0.0.0", 3000, "")));
    assert_eq!(direction(&sdp), "sendonly");
    assert!(sdp.contains("\nc=IN IP4 0.0.0.0\n"), "{sdp}");
}

#[test]
fn a_zero_address_has_the_family_of_the_receiver() {
    let mut bench = Bench::new();
    let request = offer(&audio("0.0.0.0", 2000, "")).with("address-family", "IP6");
    let sdp = bench.sdp(request);
    assert!(sdp.contains("\nc=IN IP6 ::\n"), "{sdp}");
    assert_ne!(port(&sdp, 0), 0);
}

#[test]
fn with_zero_address_replaced_ours_stands_there() {
    for option in ["zero-address", "zero address"] {
        let request = offer(&audio("0.0.0.0", 2000, "")).with("replace", strings(&[option]));
        let sdp = Bench::new().sdp(request);
        assert!(sdp.contains("\nc=IN IP4 203.0.113.1\n"), "{sdp}");
        assert_eq!(direction(&sdp), "sendonly");
    }
}

const ICE: &str = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n\
    a=candidate:1 1 UDP 2130706431 198.51.100.10 2000 typ host\n";

#[test]
fn medias_with_ice_never_print_zero() {
    let sdp = Bench::new().sdp(offer(&audio("0.0.0.0", 2000, ICE)));
    assert!(sdp.contains("\nc=IN IP4 203.0.113.1\n"), "{sdp}");
    // Without trickle it is a hold all the same.
    assert_eq!(direction(&sdp), "sendonly");
    // And a receiver without ICE is shown it as any other.
    let removed = offer(&audio("0.0.0.0", 2000, ICE)).with("ICE", "remove");
    let sdp = Bench::new().sdp(removed);
    assert!(sdp.contains("\nc=IN IP4 0.0.0.0\n"), "{sdp}");
    assert_eq!(direction(&sdp), "sendonly");
    let trickle = format!("{ICE}a=ice-options:trickle\n");
    let sdp = Bench::new().sdp(offer(&audio("0.0.0.0", 2000, &trickle)));
    assert_eq!(direction(&sdp), "sendrecv");
    let sdp = Bench::new().sdp(offer(&audio("0.0.0.0", 9, ICE)));
    assert_eq!(direction(&sdp), "sendrecv");
}

#[test]
fn original_sendrecv_prints_what_is_there() {
    for (said, printed) in [
        ("", ""),
        ("a=sendonly\n", "a=sendonly\n"),
        ("a=sendrecv\n", "a=sendrecv\n"),
        ("a=x\na=recvonly\na=y\n", "a=x\na=recvonly\na=y\n"),
    ] {
        let request = offer(&audio("198.51.100.10", 2000, said))
            .with("flags", strings(&["original-sendrecv"]));
        let sdp = Bench::new().sdp(request);
        assert!(
            sdp.contains(&format!("PCMA/8000\n{printed}a=rtcp:")),
            "{said}: {sdp}"
        );
    }
}

const VIDEO: &str = "m=video 2002 RTP/AVP 96\na=rtpmap:96 VP8/90000\na=mid:v\n";

#[test]
fn port_0_closes_on_both_sides_and_any_other_opens_again() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("198.51.100.10", 2000, VIDEO)));
    bench.sdp(answer(&audio("198.51.100.20", 3000, VIDEO)));
    assert_eq!(bench.leased(), 8);
    let without = VIDEO.replace("2002", "0");
    let sdp = bench.sdp(from_a("198.51.100.10", &without));
    assert!(
        sdp.ends_with("m=video 0 RTP/AVP 96\nc=IN IP4 0.0.0.0\na=mid:v\n"),
        "{sdp}"
    );
    // Until the answer, the line is open.
    assert_eq!(bench.leased(), 8);
    let sdp = bench.sdp(answer(&audio("198.51.100.20", 3000, &without)));
    assert_eq!(bench.leased(), 4);
    assert!(sdp.ends_with("m=video 0 RTP/AVP 96\nc=IN IP4 0.0.0.0\na=mid:v\n"));
    let sdp = bench.sdp(from_a("198.51.100.10", VIDEO));
    assert_ne!(port(&sdp, 1), 0);
    assert_eq!(bench.leased(), 8);
}

#[test]
fn an_answer_rejects_for_the_offerer() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("198.51.100.10", 2000, VIDEO)));
    let sdp = bench.sdp(answer(&audio(
        "198.51.100.20",
        3000,
        &VIDEO.replace("2002", "0"),
    )));
    assert!(
        sdp.ends_with("m=video 0 RTP/AVP 96\nc=IN IP4 0.0.0.0\na=mid:v\n"),
        "{sdp}"
    );
    assert_eq!(bench.leased(), 4);
}

#[test]
fn an_unspecified_address_has_the_family_of_the_interface() {
    let six = audio("2001:db8::10", 2000, &VIDEO.replace("2002", "0"));
    let sdp = Bench::new().sdp(offer(&six));
    assert!(
        sdp.ends_with("m=video 0 RTP/AVP 96\nc=IN IP6 ::\na=mid:v\n"),
        "{sdp}"
    );
    let asked = offer(&audio("198.51.100.10", 2000, &VIDEO.replace("2002", "0")))
        .with("address-family", "IP6");
    let sdp = Bench::new().sdp(asked);
    assert!(
        sdp.ends_with("m=video 0 RTP/AVP 96\nc=IN IP6 ::\na=mid:v\n"),
        "{sdp}"
    );
}

/// ng-protocol §15: a legal answer that rejects all is no error.
#[test]
fn all_medias_may_be_rejected() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("198.51.100.10", 2000, "")));
    let sdp = bench.sdp(answer(&audio("198.51.100.20", 0, "")));
    assert!(
        sdp.ends_with("m=audio 0 RTP/AVP 8\nc=IN IP4 0.0.0.0\n"),
        "{sdp}"
    );
    assert_eq!(bench.leased(), 0);
    let sdp = Bench::new().sdp(offer(&audio("198.51.100.10", 0, "")));
    assert!(
        sdp.ends_with("m=audio 0 RTP/AVP 8\nc=IN IP4 0.0.0.0\n"),
        "{sdp}"
    );
}

#[test]
fn original_sendrecv_keeps_the_direction_of_the_session() {
    // A hold of the whole session is not lost; the direction of a media goes before it.
    let session =
        |more| audio("198.51.100.10", 2000, more).replace("t=0 0\n", "t=0 0\na=sendonly\n");
    let request = |more| offer(&session(more)).with("flags", strings(&["original-sendrecv"]));
    let sdp = Bench::new().sdp(request("a=x\n"));
    assert!(sdp.contains("\na=x\na=sendonly\na=rtcp:"), "{sdp}");
    let sdp = Bench::new().sdp(request("a=inactive\na=x\n"));
    assert!(sdp.contains("\na=inactive\na=x\na=rtcp:"), "{sdp}");
    assert!(!sdp.contains("sendonly"), "{sdp}");
}
