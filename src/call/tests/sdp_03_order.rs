//! sdp-rewriting §3: the order of the output, and what stands for a line without a source.

use super::masks::masked;
use super::*;

/// Everything that one offer can show at once.
#[test]
fn every_line_has_its_place() {
    let key = "zTphlYVUDtsZ/sLlfijcuu0O+W+RGoT79yLJDaPY";
    let input = format!(
        "v=0\no=bob 9 8 IN IP4 198.51.100.10\ns=call\ni=info\nu=http://x\ne=a@b\ne=c@d\np=+1\n\
         c=IN IP4 198.51.100.10\nb=AS:64\nt=0 0\na=group:LS 1 2\na=tool:foo\n\
         m=audio 2000 RTP/SAVPF 8 97\na=maxptime:60\na=ptime:30\na=foo:1\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\na=inactive\na=extmap:5 urn:x\n\
         a=extmap-allow-mixed\na=rtpmap:97 iLBC/8000\na=fmtp:97 mode=20\na=label:main\n\
         a=rtcp-mux\na=mid:a\nb=AS:32\ni=media\nm=video 0 RTP/SAVPF 96\ni=gone\nb=AS:9\n\
         a=mid:v\na=label:none\na=rtpmap:96 VP8/90000\na=foo:2\n"
    )
    // i=, c= and b= may stand anywhere in a section; here they are where phones put them.
    .replace("a=mid:a\nb=AS:32\ni=media\n", "a=mid:a\n")
    .replace("RTP/SAVPF 8 97\n", "RTP/SAVPF 8 97\ni=media\nb=AS:32\n");
    let additions = Dict::new()
        .with(
            "global",
            Dict::new().with("add", strings(&["last:session"])),
        )
        .with("audio", Dict::new().with("add", strings(&["last:media"])));
    let request = offer(&input)
        .with("ICE", strings(&["force", "trickle"]))
        .with("ICE-lite", "both")
        .with("BUNDLE", strings(&["offer"]))
        .with("SDES", strings(&["nonew"]))
        .with("flags", strings(&["loop-protect", "full-rtcp-attribute"]))
        .with("sdp-attr", additions);
    assert_eq!(
        masked(&Bench::new().sdp(request)),
        "v=0
o=bob 9 8 IN IP4 198.51.100.10
s=call
i=info
u=http://x
e=a@b
e=c@d
p=+1
b=AS:64
t=0 0
a=rtpengine:<12>
a=ice-lite
a=group:BUNDLE a
a=group:LS 1 2
a=tool:foo
a=last:session
m=audio PORT0 RTP/SAVPF 8 97
i=media
c=IN IP4 203.0.113.1
b=AS:32
a=mid:a
a=label:main
a=rtpmap:8 PCMA/8000
a=rtpmap:97 iLBC/8000
a=fmtp:97 mode=20
a=extmap-allow-mixed
a=extmap:5 urn:x
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=foo:1
a=inactive
a=rtcp:PORT1 IN IP4 203.0.113.1
a=rtcp-mux
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<40>
a=setup:actpass
a=fingerprint:sha-256 <95>
a=tls-id:<32>
a=ptime:30
a=maxptime:60
a=ice-ufrag:<8>
a=ice-pwd:<26>
a=ice-options:trickle
a=candidate:F 1 UDP 2130706431 203.0.113.1 PORT0 typ host
a=candidate:F 1 UDP 2130706175 2001:db8::1 PORT2 typ host
a=candidate:F 2 UDP 2130706430 203.0.113.1 PORT1 typ host
a=candidate:F 2 UDP 2130706174 2001:db8::1 PORT3 typ host
a=end-of-candidates
a=last:media
m=video 0 RTP/SAVPF 96
i=gone
c=IN IP4 0.0.0.0
b=AS:9
a=mid:v
a=label:none
"
    );
}

#[test]
fn mixed_extensions_are_not_said_to_who_did_not_say_them() {
    let mut bench = Bench::new();
    let mixed = "\na=extmap-allow-mixed\na=extmap:3 urn:x\n";
    let sdp = bench.sdp(from_a("m=audio 2000 RTP/AVP 8\na=extmap:3 urn:x\n"));
    assert!(sdp.contains(mixed), "{sdp}");
    let both = "m=audio 3000 RTP/AVP 8\na=extmap-allow-mixed\na=extmap:3 urn:x\n";
    let sdp = bench.sdp(from_b(both));
    assert!(sdp.contains("\na=extmap:3 urn:x\n"), "{sdp}");
    assert!(!sdp.contains("allow-mixed"), "{sdp}");
    let mut bench = Bench::new();
    bench.sdp(from_a(both));
    assert!(bench.sdp(from_b(both)).contains(mixed));
}

#[test]
fn mixed_extensions_are_not_said_where_none_is_left() {
    let lines = "a=extmap-allow-mixed\na=extmap:5 urn:x\na=extmap:6 urn:y\n";
    let shown = |strip: &[&str]| {
        let extmap = Dict::new().with("strip", strings(strip));
        Bench::new().sdp(offer(&audio("198.51.100.10", 2000, lines)).with("extmap", extmap))
    };
    let sdp = shown(&["urn:x"]);
    assert!(
        sdp.contains("\na=extmap-allow-mixed\na=extmap:6 urn:y\na=sendrecv"),
        "{sdp}"
    );
    let sdp = shown(&["all"]);
    assert!(!sdp.contains("extmap"), "{sdp}");
}

const TWO: &str = "m=audio 2000 RTP/AVP 8\nm=video 2002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";

fn m_lines(sdp: &str) -> Vec<String> {
    let lines = sdp.lines().filter(|line| line.starts_with("m="));
    lines.map(str::to_owned).collect()
}

/// RFC 3264 §8 forbids to leave a line out; what is left out stays as it was.
#[test]
fn lines_that_a_re_offer_leaves_out_are_printed_from_old_state() {
    let mut bench = Bench::new();
    let first = bench.sdp(offer(&party("198.51.100.10", TWO)));
    bench.sdp(answer(&party("198.51.100.20", TWO)));
    let again = offer(&party("198.51.100.10", "m=audio 2000 RTP/AVP 8\n")).with("to-tag", "T");
    let second = bench.sdp(again);
    assert_eq!(m_lines(&second), m_lines(&first));
    assert_eq!(bench.leased(), 8);
    let third = bench.sdp(
        offer(&party(
            "198.51.100.10",
            &format!("{TWO}m=audio 2004 RTP/AVP 0\n"),
        ))
        .with("to-tag", "T"),
    );
    assert_eq!(m_lines(&third)[..2], m_lines(&first));
    assert_eq!(m_lines(&third).len(), 3);
}

#[test]
fn lines_that_an_answer_leaves_out_are_printed_from_old_state() {
    let short = || answer(&party("198.51.100.20", "m=audio 2000 RTP/AVP 8\n"));
    let mut bench = Bench::new();
    bench.sdp(offer(&party("198.51.100.10", TWO)));
    // Never answered: only port 0 turns a line down.
    let sdp = bench.sdp(short());
    assert_ne!(port(&sdp, 1), 0);
    let full = bench.sdp(answer(&party("198.51.100.20", TWO)));
    assert_ne!(port(&full, 1), 0);
    assert_eq!(m_lines(&bench.sdp(short())), m_lines(&full));
}

#[test]
fn the_order_of_lines_is_fixed_by_the_first_offer() {
    let mut bench = Bench::new();
    let first = bench.sdp(offer(&party("198.51.100.10", TWO)));
    let answered = bench.sdp(answer(&party("198.51.100.20", TWO)));
    let back = message("offer", &party("198.51.100.20", TWO))
        .with("from-tag", "T")
        .with("to-tag", "F");
    assert_eq!(m_lines(&bench.sdp(back)), m_lines(&answered));
    let again = offer(&party("198.51.100.10", TWO)).with("to-tag", "T");
    assert_eq!(m_lines(&bench.sdp(again)), m_lines(&first));
}

#[test]
fn rtp_without_any_codec_keeps_its_list() {
    let sdp = party(
        "198.51.100.10",
        "m=audio 0 RTP/AVP\nm=audio 0 RTP/AVP x y\nm=audio 2000 RTP/AVP 8\n",
    );
    let sdp = Bench::new().sdp(offer(&sdp));
    assert_eq!(
        m_lines(&sdp)[..2],
        ["m=audio 0 RTP/AVP 0", "m=audio 0 RTP/AVP x y"]
    );
}
