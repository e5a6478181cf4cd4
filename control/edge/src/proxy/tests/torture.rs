//! RFC 4475 by spec §21: the messages as the RFC prints them, or their essence.

use proptest::prelude::*;

use super::*;
use crate::stats::DropReason;

/// Result at the edge: the status of its answer, `fwd`, or `drop`.
fn fate(text: &str) -> String {
    let mut world = World::new();
    let sent = world.recv_on(0, ALICE, crlf(text).as_bytes());
    let fate = sent
        .iter()
        .map(Sent::line)
        .find(|line| !line.starts_with("SIP/2.0 100"))
        .map_or_else(
            || "drop".into(),
            |line| match line.strip_prefix("SIP/2.0 ") {
                Some(rest) => rest[..3].to_owned(),
                None => "fwd".to_owned(),
            },
        );
    let options = request(
        "OPTIONS sip:x",
        "198.51.100.7;branch=z9hG4bKnext",
        ("n", ""),
        "1 OPTIONS",
        "",
        "",
    );
    assert!(
        world.recv(ALICE, &options)[0].line().starts_with("OPTIONS"),
        "still serves"
    );
    fate
}

fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

const HEAD: &str = "Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw\nMax-Forwards: 70\n\
    From: <sip:caller@example.com>;tag=938\nTo: <sip:user@example.com>\nCall-ID: x.1@example.com\nCSeq: 8 ";

fn with(line: &str, method: &str, more: &str) -> String {
    format!("{line}\n{HEAD}{method}\n{more}\n")
}

fn invite_line(line: &str) -> String {
    fate(&with(line, "INVITE", ""))
}

/// An INVITE in which `from` is replaced.
fn changed(from: &str, to: &str) -> String {
    let text = with(
        "INVITE sip:user@example.com SIP/2.0",
        "INVITE",
        "Content-Length: 0\n",
    );
    assert!(text.contains(from));
    fate(&text.replace(from, to))
}

#[test]
fn wsinv() {
    let text = "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\n\
TO :\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\n\
from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\n  ;\n  tag = 98asjd8\n\
MaX-fOrWaRdS: 0068\nCall-ID: wsinv.ndaksdj@192.0.2.1\nContent-Length   : 150\ncseq: 0009\n  INVITE\n\
Via  : SIP  /   2.0\n /UDP\n    192.0.2.2;branch=390skdjuw\ns :\n\
NewFangledHeader:   newfangled value\n continued newfangled value\n\
UnknownHeaderWithUnusualValue: ;;,,;;,;\nContent-Type: application/sdp\n\
Route:\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\n\
v:  SIP  / 2.0  / TCP     spindle.example.com   ;\n  branch  =   z9hG4bK9ikj8  ,\n\
\x20SIP  /    2.0   / UDP  192.168.255.111   ; branch=\n z9hG4bK30239\n\
m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\n      newvalue ;\n  secondparam ; q = 0.33\n\n";
    let text = crlf(text) + &"v".repeat(150);
    let mut world = World::new();
    // With its To tag it belongs to a call the upstream knows.
    let sent = world.recv(BOB, &text.replace("services.example.com", "198.51.100.8"));
    let out = sent
        .iter()
        .find(|s| s.line().starts_with("INVITE"))
        .unwrap();
    assert_eq!(out.to, addr("198.51.100.8:5060"));
    assert_eq!(out.all(HeaderId::MaxForwards), ["67"]);
    assert_eq!(out.all(HeaderId::Via).len(), 4);
    for kept in [
        "TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n",
        "cseq: 0009\r\n  INVITE\r\n",
        "UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n",
        "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n",
    ] {
        assert!(out.text().contains(kept), "{kept}");
    }
}

#[test]
fn intmeth() {
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    let uri = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com";
    let display = "To: \"BEL:\\\u{7} NUL:\\\u{0} DEL:\\\u{7f}\"\n <sip:1_unusual.URI~(to-be!sure)@example.com>";
    let text = with(
        &format!("{method} {uri} SIP/2.0"),
        method,
        "Content-Length: 0\n",
    );
    assert_eq!(
        fate(&text.replace("To: <sip:user@example.com>", display)),
        "fwd"
    );
}

#[test]
fn escapes_are_left_alone() {
    let line = "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0";
    let mut world = World::new();
    let sent = world.recv(ALICE, &crlf(&with(line, "INVITE", "")));
    assert_eq!(sent[1].line(), line);
    assert_eq!(
        invite_line("INVITE sip:null-%00-null@example.com SIP/2.0"),
        "fwd"
    );
    assert_eq!(
        fate(&with(
            "RE%47IST%45R sip:registrar.example.com SIP/2.0",
            "RE%47IST%45R",
            ""
        )),
        "fwd"
    );
}

#[test]
fn valid_oddities_are_forwarded() {
    assert_eq!(
        changed("From: <sip:caller", "From: caller<sip:caller"),
        "fwd",
        "lwsdisp"
    );
    assert_eq!(
        changed("caller@", &format!("{}@", "long".repeat(300))),
        "fwd",
        "longreq"
    );
    assert_eq!(
        invite_line("OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0"),
        "400"
    );
    let semicolon = with(
        "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0",
        "OPTIONS",
        "",
    );
    assert_eq!(fate(&semicolon), "fwd", "semiuri");
    let transports = "Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw\nVia: SIP/2.0/SCTP t2.example.com;branch=z9\n\
        Via: SIP/2.0/UNKNOWN t5.example.com;branch=z9hG4bK";
    assert_eq!(
        changed(
            "Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw",
            transports
        ),
        "fwd",
        "transports"
    );
    assert_eq!(
        changed(";branch=z9hG4bKkdjuw", ";branch=z9hG4bK"),
        "fwd",
        "badbranch"
    );
    assert_eq!(changed(";branch=z9hG4bKkdjuw", ""), "fwd", "inv2543");
    assert_eq!(
        changed(
            "Call-ID",
            "Contact: sip:a@example.com?Route=%3Csip:x%3E\nCall-ID"
        ),
        "fwd",
        "regbadct"
    );
}

#[test]
fn dblreq() {
    let mut world = World::new();
    let first = crlf(&with(
        "REGISTER sip:example.com SIP/2.0",
        "REGISTER",
        "Content-Length: 0\n",
    ));
    let sent = world.recv(
        ALICE,
        &format!("{first}INVITE sip:joe@example.com SIP/2.0\r\n"),
    );
    assert_eq!(sent.len(), 1);
    assert!(sent[0].text().ends_with("Content-Length: 0\r\n\r\n"));
}

#[test]
fn malformed_requests_get_400() {
    assert_eq!(
        changed("example.com;branch", "192.0.2.15;;,;,,;branch"),
        "400",
        "badinv01"
    );
    assert_eq!(
        changed("Content-Length: 0", "Content-Length: 9999"),
        "400",
        "clerr"
    );
    assert_eq!(
        changed("Content-Length: 0", "Content-Length: -999"),
        "400",
        "ncl"
    );
    assert_eq!(
        changed("Content-Length: 0", "Content-Length: 0\nl: 13"),
        "400",
        "mcl01"
    );
    assert_eq!(
        changed("CSeq: 8 ", "CSeq: 36893488147419103232 "),
        "400",
        "scalar02"
    );
    assert_eq!(changed("Forwards: 70", "Forwards: 300"), "400", "scalar02");
    assert_eq!(
        changed("To: <sip:user", "To: \"Mr. J. User <sip:user"),
        "400",
        "quotbal"
    );
    assert_eq!(
        changed(
            "<sip:user@example.com>",
            "\"Watson, Thomas\" < sip:t.watson@example.org >"
        ),
        "400",
        "badaspec"
    );
    assert_eq!(
        changed("From: <sip:caller", "From: Bell, Alexander <sip:caller"),
        "400",
        "baddn"
    );
    assert_eq!(
        changed("CSeq: 8 INVITE", "CSeq: 8 OPTIONS"),
        "400",
        "mismatch01"
    );
    let twice = "Call-ID: x.2@example.com\nMax-Forwards: 5\nTo: <sip:other@example.com>\nCall-ID";
    assert_eq!(changed("Call-ID", twice), "400", "multi01");
    assert_eq!(
        invite_line("INVITE <sip:user@example.com> SIP/2.0"),
        "400",
        "ltgtruri"
    );
    assert_eq!(
        invite_line("INVITE sip:user@example.com; lr SIP/2.0"),
        "400",
        "lwsruri"
    );
    assert_eq!(
        invite_line("INVITE  sip:user@example.com  SIP/2.0"),
        "400",
        "lwsstart"
    );
    assert_eq!(
        invite_line("INVITE sip:user@example.com SIP/2.0  "),
        "400",
        "trws"
    );
    assert_eq!(
        invite_line("INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"),
        "400",
        "escruri"
    );
    assert_eq!(
        invite_line("INVITE sip:user@example.com SIP/7.0"),
        "505",
        "badvers"
    );
    assert_eq!(
        invite_line("INVITE soap.beep://192.0.2.103:3002 SIP/2.0"),
        "416",
        "novelsc"
    );
    assert_eq!(
        invite_line("INVITE nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"),
        "416",
        "unkscm"
    );
    assert_eq!(changed("Forwards: 70", "Forwards: 0"), "483", "zeromf");
    assert_eq!(changed("Call-ID: x.1@example.com\n", ""), "drop", "insuf");
}

#[test]
fn stray_and_broken_responses_are_dropped() {
    for line in [
        "SIP/2.0 4294967301 better not break",
        "SIP/2.0 200 ",
        "SIP/2.0 200",
        "SIP/2.0 100 \u{437}\u{430}",
    ] {
        let mut world = World::new();
        assert!(world.recv(BOB, &crlf(&with(line, "INVITE", ""))).is_empty());
        let stats = world.proxy.stats.snapshot();
        let dropped =
            stats.dropped(DropReason::StrayResponse) + stats.dropped(DropReason::Malformed);
        assert_eq!(dropped, 1);
    }
}

#[test]
fn rfc5118_received_without_brackets() {
    let via = "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8:0:0::9:255;branch=z9hG4bKas3-111";
    let mut world = World::new();
    let text = with("INVITE sip:user@[2001:db8::10] SIP/2.0", "INVITE", "");
    let text = crlf(&text.replace("Call-ID", &format!("Via: {via}\nCall-ID")));
    let sent = world.recv(ALICE, &text);
    assert_eq!(sent[1].all(HeaderId::Via)[2], via);
    assert_eq!(
        invite_line("INVITE sip:user@2001:db8::10 SIP/2.0"),
        "400",
        "ipv6-bad"
    );
}

#[test]
fn keepalives_are_swallowed() {
    let mut world = World::new();
    for bytes in [&b""[..], b"\r\n\r\n", b"\0\0\0\0"] {
        assert!(world.recv_on(0, ALICE, bytes).is_empty());
    }
    assert_eq!(
        world.proxy.stats.snapshot().dropped(DropReason::Keepalive),
        3
    );
}

#[test]
fn bare_line_feeds_need_leniency() {
    let text = with("OPTIONS sip:user@example.com SIP/2.0", "OPTIONS", "");
    let mut world = World::new();
    assert!(world.recv(ALICE, &text).is_empty());
    let mut world = World::with(|c| c.limits.lenient_eol = true, &[EDGE]);
    world
        .proxy
        .handle_message(world.now, datagram(0, ALICE), text.as_bytes().into());
    assert!(world.proxy.poll().is_some());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut world = World::new();
        world.recv_on(0, ALICE, &bytes);
    }

    #[test]
    fn no_mutation_panics(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>()) {
        let mut world = World::new();
        let route = call(&mut world);
        let base = request("INVITE sip:bob@203.0.113.9:5070", "198.51.100.7:5060;branch=z9hG4bKm;rport", ("a", "b"), "9 INVITE", &route, "v=0");
        let base = base.replace("application/sdp", "multipart/mixed;boundary=x");
        let ok = response(&world.sent[1].clone(), "200 OK", "b", BOB_CONTACT, "v=1");
        for text in [base, ok] {
            let mut bytes = text.into_bytes();
            for (index, value) in &edits {
                let at = index.index(bytes.len());
                bytes[at] = *value;
            }
            bytes.truncate(bytes.len() - cut.index(40));
            world.proxy.handle_message(world.now, datagram(0, ALICE), bytes[..].into());
            while let Some(action) = world.proxy.poll() {
                if let Action::Media { token, .. } = action {
                    world.proxy.handle_media(world.now, token, Ok(MediaReply::default()));
                }
            }
        }
        world.proxy.handle_timeout(world.now + Duration::from_secs(200));
    }
}
