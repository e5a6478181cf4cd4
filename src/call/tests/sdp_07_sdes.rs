//! sdp-rewriting §7: keys by SDP, and OSRTP.

use super::masks::masked_medias;
use super::*;
use crate::flow::secure::Security;

const RTP: &str = "m=audio 2000 RTP/AVP 8 0\n";
const KEY_1: &str = "zTphlYVUDtsZ/sLlfijcuu0O+W+RGoT79yLJDaPY";
const KEY_2: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const KEY_3: &str = "AAAAlYVUDtsZ/sLlfijcuu0O+W+RGoT79yLJDaPY";

fn caller(lines: &str) -> String {
    party("198.51.100.10", lines)
}

fn callee(lines: &str) -> String {
    party("198.51.100.20", lines)
}

fn savp(lines: &str) -> String {
    format!("m=audio 2000 RTP/SAVP 8 0\n{lines}")
}

/// Tag, suite and rest of every crypto line.
fn crypto(sdp: &str) -> Vec<(u32, &str, &str)> {
    let lines = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=crypto:"));
    lines
        .map(|line| {
            let mut fields = line.splitn(3, ' ');
            let tag = fields.next().unwrap().parse().unwrap();
            (tag, fields.next().unwrap(), fields.next().unwrap())
        })
        .collect()
}

fn tags(sdp: &str) -> Vec<u32> {
    crypto(sdp).iter().map(|(tag, ..)| *tag).collect()
}

/// Whether what arrives goes somewhere, on every port.
fn everybody_is_heard(bench: &Bench) -> bool {
    let flows = bench.books.flows.lock().unwrap();
    flows.values().all(|(flow, _)| !flow.sinks.is_empty())
}

#[test]
fn plain_offer_to_srtp_has_all_suites_in_order() {
    let mut bench = Bench::new();
    let request = offer(&caller(RTP))
        .with("transport-protocol", "RTP/SAVP")
        .with("DTLS", "off");
    let sdp = bench.sdp(request);
    let lines = crypto(&sdp);
    assert_eq!(tags(&sdp), (1..=12).collect::<Vec<_>>());
    assert_eq!(lines[0].1, "AEAD_AES_256_GCM");
    assert_eq!(lines[11].1, "NULL_HMAC_SHA1_32");
    let lengths: Vec<usize> = lines.iter().map(|line| line.2.len()).collect();
    // Base64 without padding of 44, 28, 46, 46, 38, 38, and 30 bytes.
    let expected = [59, 38, 62, 62, 51, 51, 40, 40, 40, 40, 40, 40].map(|length| length + 7);
    assert_eq!(lengths, expected);
    assert!(
        sdp.contains(" RTP/SAVP 8 0\n") && !sdp.contains("a=setup"),
        "{sdp}"
    );

    let answered = callee(&savp(&format!(
        "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{KEY_2}\n"
    )));
    let sdp = bench.sdp(answer(&answered));
    assert!(
        sdp.contains(" RTP/AVP 8 0\n") && crypto(&sdp).is_empty(),
        "{sdp}"
    );
}

#[test]
fn without_dtls_off_both_mechanisms_are_offered() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(offer(&caller(RTP)).with("transport-protocol", "RTP/SAVP"));
    assert_eq!(crypto(&sdp).len(), 12);
    assert!(
        sdp.contains("a=setup:actpass\na=fingerprint:sha-256 "),
        "{sdp}"
    );
    assert!(sdp.contains("a=tls-id:"), "{sdp}");
}

fn two_suites() -> String {
    caller(&savp(&format!(
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_1}|2^20|1:4\n\
         a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY_3}\n"
    )))
}

#[test]
fn received_suites_are_copied_then_ordered() {
    let mut bench = Bench::new();
    let request = offer(&two_suites()).with("DTLS", "off").with(
        "SDES",
        strings(&[
            "order:AES_CM_128_HMAC_SHA1_32;AES_256_CM_HMAC_SHA1_80",
            "no-NULL_HMAC_SHA1_80",
            "no-NULL_HMAC_SHA1_32",
            "no-F8_128_HMAC_SHA1_80",
            "no-F8_128_HMAC_SHA1_32",
        ]),
    );
    let sdp = bench.sdp(request);
    assert_eq!(tags(&sdp), [2, 5, 1, 3, 4, 6, 7, 8]);
    let lines = crypto(&sdp);
    assert_eq!(lines[0].2, format!("inline:{KEY_3}"));
    // The key is the sender's, with its MKI and without its lifetime.
    assert_eq!(lines[2].2, format!("inline:{KEY_1}|1:4"));
}

#[test]
fn only_leaves_one() {
    let mut bench = Bench::new();
    let request = offer(&two_suites())
        .with("DTLS", "off")
        .with("SDES", strings(&["only-AES_CM_128_HMAC_SHA1_32"]));
    assert_eq!(tags(&bench.sdp(request)), [2]);
}

#[test]
fn nonew_passes_the_received_ones_alone() {
    let mut bench = Bench::new();
    let request = offer(&two_suites())
        .with("DTLS", "off")
        .with("SDES", strings(&["nonew", "only-AES_CM_128_HMAC_SHA1_32"]));
    assert_eq!(tags(&bench.sdp(request)), [1, 2]);
}

#[test]
fn session_parameters_stand_in_every_line_and_lifetime_and_padding_on_request() {
    let mut bench = Bench::new();
    let request = offer(&caller(RTP))
        .with("transport-protocol", "RTP/SAVP")
        .with("DTLS", "off")
        .with(
            "SDES",
            strings(&[
                "unencrypted_srtp",
                "unencrypted_srtcp",
                "unauthenticated_srtp",
                "lifetime",
                "pad",
            ]),
        );
    let sdp = bench.sdp(request);
    for (_, suite, rest) in crypto(&sdp) {
        let end = "|2^31 UNENCRYPTED_SRTP UNENCRYPTED_SRTCP UNAUTHENTICATED_SRTP";
        assert!(rest.ends_with(end), "{suite} {rest}");
    }
    assert!(sdp.contains("=|2^31"), "{sdp}");
}

#[test]
fn an_answer_copies_the_key_of_a_common_suite() {
    let mut bench = Bench::new();
    bench.sdp(offer(&two_suites()).with("DTLS", "off"));
    let chosen = format!("a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY_2}\n");
    let sdp = bench.sdp(answer(&callee(&savp(&chosen))));
    assert_eq!(sdp.matches("a=crypto").count(), 1);
    assert!(sdp.contains(&chosen), "{sdp}");
    // Both parties have each other's keys: packets pass.
    assert!(everybody_is_heard(&bench));
}

#[test]
fn an_answer_without_a_common_suite_has_a_fresh_key_for_the_first() {
    let mut bench = Bench::new();
    bench.sdp(offer(&two_suites()).with("DTLS", "off"));
    let other = format!("a=crypto:3 AEAD_AES_256_GCM inline:{}\n", "A".repeat(59));
    let sdp = bench.sdp(answer(&callee(&savp(&other))));
    let lines = crypto(&sdp);
    assert_eq!(
        (lines.len(), lines[0].0, lines[0].1),
        (1, 1, "AES_CM_128_HMAC_SHA1_80")
    );
    assert_eq!(lines[0].2.len(), 7 + 40);
    // Keys differ: what comes under one goes out under the other.
    let flows = bench.books.flows.lock().unwrap();
    let keyed = flows.values().filter_map(|(flow, _)| match &flow.security {
        Security::Keyed(protection) => Some(protection.suites()),
        _ => None,
    });
    let mut suites: Vec<String> = keyed.collect();
    suites.sort();
    suites.dedup();
    assert_eq!(suites, ["AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80"]);
    assert!(flows.values().all(|(flow, _)| !flow.sinks.is_empty()));
    drop(flows);
    let again = bench.sdp(answer(&callee(&savp(&other))));
    assert_eq!(crypto(&again), lines);
}

#[test]
fn srtp_to_plain_is_answered_with_one_line() {
    let mut bench = Bench::new();
    let request = offer(&two_suites()).with("transport-protocol", "RTP/AVP");
    let sdp = bench.sdp(request);
    assert!(
        sdp.contains(" RTP/AVP 8 0\n") && crypto(&sdp).is_empty(),
        "{sdp}"
    );
    let request =
        answer(&callee("m=audio 3000 RTP/AVP 8\n")).with("SDES", strings(&["pad", "lifetime"]));
    let sdp = bench.sdp(request);
    assert!(sdp.contains(" RTP/SAVP 8\n"), "{sdp}");
    let lines = crypto(&sdp);
    assert_eq!(
        (lines.len(), lines[0].0, lines[0].1),
        (1, 1, "AES_CM_128_HMAC_SHA1_80")
    );
    assert!(lines[0].2.ends_with("|2^31"), "{}", lines[0].2);
}

#[test]
fn the_offerers_preference_moves_a_suite_ahead() {
    let mut bench = Bench::new();
    bench.sdp(offer(&two_suites()).with("transport-protocol", "RTP/AVP"));
    let request = answer(&callee("m=audio 3000 RTP/AVP 8\n"))
        .with("SDES", strings(&["offerer_pref:AES_CM_128_HMAC_SHA1_32"]));
    let sdp = bench.sdp(request);
    assert_eq!(crypto(&sdp)[0].1, "AES_CM_128_HMAC_SHA1_32");
    assert_eq!(tags(&sdp), [2]);
}

#[test]
fn osrtp_offer_keeps_the_plain_transport() {
    let mut bench = Bench::new();
    let sdp = bench.sdp(
        offer(&caller(RTP))
            .with("OSRTP", "offer")
            .with("DTLS", "off"),
    );
    assert!(sdp.contains(" RTP/AVP 8 0\n"), "{sdp}");
    assert_eq!(crypto(&sdp).len(), 12);
    // An answerer without SRTP gets plain RTP.
    let sdp = bench.sdp(answer(&callee("m=audio 3000 RTP/AVP 8\n")));
    assert!(
        sdp.contains(" RTP/AVP 8\n") && crypto(&sdp).is_empty(),
        "{sdp}"
    );
    assert!(everybody_is_heard(&bench));
}

#[test]
fn osrtp_of_a_client_is_answered_with_one_line() {
    let mut bench = Bench::new();
    let opportunistic = format!("{RTP}a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:{KEY_1}\n");
    bench.sdp(offer(&caller(&opportunistic)).with("transport-protocol", "RTP/AVP"));
    let accepted = answer(&callee("m=audio 3000 RTP/AVP 8\n"));
    let sdp = bench.sdp(accepted.with("OSRTP", strings(&["accept"])));
    assert!(sdp.contains(" RTP/AVP 8\n"), "{sdp}");
    assert_eq!(tags(&sdp), [4]);
}

#[test]
fn legacy_osrtp_is_offered_as_two_lines_on_one_port() {
    let mut bench = Bench::new();
    let request = offer(&caller(RTP))
        .with("transport-protocol", "RTP/SAVP")
        .with("OSRTP", "offer-legacy")
        .with("DTLS", "off");
    let sdp = bench.sdp(request);
    let lines: Vec<&str> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines.len(), 2, "{sdp}");
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
    assert!(
        lines[0].contains(" RTP/AVP ") && lines[1].contains(" RTP/SAVP "),
        "{sdp}"
    );
    let first = sdp.split("\nm=").nth(1).unwrap();
    assert!(!first.contains("a=crypto"), "{sdp}");
    // The answerer takes the plain one.
    let answered = "m=audio 3000 RTP/AVP 8\nm=audio 0 RTP/SAVP 8\n";
    let sdp = bench.sdp(answer(&callee(answered)));
    assert_eq!(sdp.matches("\nm=").count(), 1, "{sdp}");
    assert!(sdp.contains(" RTP/AVP 8\n"), "{sdp}");
}

#[test]
fn legacy_osrtp_of_a_client_is_one_media() {
    let mut bench = Bench::new();
    let double = format!(
        "m=audio 2000 RTP/AVP 8\nm=audio 2000 RTP/SAVP 8\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_1}\n"
    );
    let request = offer(&caller(&double))
        .with("OSRTP", "accept-legacy")
        .with("transport-protocol", "RTP/AVP");
    let sdp = bench.sdp(request);
    assert_eq!(sdp.matches("\nm=").count(), 1, "{sdp}");
    let sdp = bench.sdp(answer(&callee("m=audio 3000 RTP/AVP 8\n")));
    let first = sdp.split("\nm=").nth(1).unwrap();
    assert_eq!(first, "audio 0 RTP/AVP 8");
    assert!(sdp.contains(" RTP/SAVP 8\nc=IN IP4 203.0.113.1\n"), "{sdp}");
    assert_eq!(tags(&sdp), [1]);
}

#[test]
fn avp_to_savp() {
    let mut bench = Bench::new();
    let request = from_a("m=audio 2000 RTP/AVP 8 0\n")
        .with("transport-protocol", "RTP/SAVP")
        .with("DTLS", "off");
    assert_eq!(
        masked_medias(&bench.sdp(request)),
        "m=audio PORT0 RTP/SAVP 8 0
c=IN IP4 203.0.113.1
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=sendrecv
a=rtcp:PORT1
a=crypto:1 AEAD_AES_256_GCM inline:<59>
a=crypto:2 AEAD_AES_128_GCM inline:<38>
a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:<62>
a=crypto:4 AES_256_CM_HMAC_SHA1_32 inline:<62>
a=crypto:5 AES_192_CM_HMAC_SHA1_80 inline:<51>
a=crypto:6 AES_192_CM_HMAC_SHA1_32 inline:<51>
a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:<40>
a=crypto:8 AES_CM_128_HMAC_SHA1_32 inline:<40>
a=crypto:9 F8_128_HMAC_SHA1_80 inline:<40>
a=crypto:10 F8_128_HMAC_SHA1_32 inline:<40>
a=crypto:11 NULL_HMAC_SHA1_80 inline:<40>
a=crypto:12 NULL_HMAC_SHA1_32 inline:<40>
"
    );
}

#[test]
fn savp_to_avp_is_answered_with_one_line() {
    let offered = format!(
        "m=audio 2000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_1}|2^20\n"
    );
    let run = |options: &[&str]| {
        let mut bench = Bench::new();
        let sdp = bench.sdp(from_a(&offered).with("transport-protocol", "RTP/AVP"));
        assert_eq!(
            masked_medias(&sdp),
            "m=audio PORT0 RTP/AVP 8\nc=IN IP4 203.0.113.1\na=rtpmap:8 PCMA/8000\na=sendrecv\n\
             a=rtcp:PORT1\n"
        );
        let sdp = bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n").with("SDES", strings(options)));
        masked_medias(&sdp)
    };
    let expected = "m=audio PORT0 RTP/SAVP 8
c=IN IP4 203.0.113.1
a=rtpmap:8 PCMA/8000
a=sendrecv
a=rtcp:PORT1
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<40>
";
    assert_eq!(run(&[]), expected);
    assert_eq!(
        run(&["pad", "lifetime"]),
        expected.replace("<40>", "<40>|2^31")
    );
}

/// 38 bytes of AES-192 want one `=`; 44 and 28 of GCM one and two.
#[test]
fn padding_is_kept_where_it_is_asked_for() {
    let request = from_a("m=audio 2000 RTP/AVP 8\n")
        .with("transport-protocol", "RTP/SAVP")
        .with("DTLS", "off")
        .with("flags", strings(&["pad-crypto"]));
    let sdp = Bench::new().sdp(request);
    let padding = |suite: &str| {
        let line = sdp.lines().find(|line| line.contains(suite)).unwrap();
        line.bytes().rev().take_while(|&byte| byte == b'=').count()
    };
    assert_eq!(padding("AEAD_AES_256_GCM"), 1);
    assert_eq!(padding("AEAD_AES_128_GCM"), 2);
    assert_eq!(padding("AES_192_CM_HMAC_SHA1_80"), 1);
    assert_eq!(padding("AES_CM_128_HMAC_SHA1_80"), 0);
}

#[test]
fn lifetimes_have_bounds_and_are_not_echoed() {
    for (field, is_good) in [
        ("2^1", true),
        ("2^48", true),
        ("1048576", true),
        ("2^0", false),
        ("2^49", false),
        ("x", false),
    ] {
        let lines = format!(
            "m=audio 2000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_1}|{field}\n"
        );
        let sdp = Bench::new().sdp(from_a(&lines).with("DTLS", "off"));
        let copied = sdp.contains(&format!("inline:{KEY_1}\n"));
        assert_eq!(copied, is_good, "{field}: {sdp}");
    }
}

#[test]
fn suites_of_our_last_offer_keep_tag_and_key() {
    let mut bench = Bench::new();
    let crypto = |sdp: &str| -> Vec<String> {
        let lines = sdp.lines().filter(|line| line.starts_with("a=crypto:"));
        lines.map(str::to_owned).collect()
    };
    let request = || {
        from_a("m=audio 2000 RTP/AVP 8\n")
            .with("transport-protocol", "RTP/SAVP")
            .with("DTLS", "off")
    };
    let first = crypto(&bench.sdp(request()));
    assert_eq!(crypto(&bench.sdp(request())), first);
}

#[test]
fn an_answer_keeps_its_line_while_the_suite_stays() {
    let offered = format!(
        "m=audio 2000 RTP/SAVP 8\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY_1}\n\
         a=crypto:9 AES_CM_128_HMAC_SHA1_32 inline:{KEY_2}\n"
    );
    let mut bench = Bench::new();
    bench.sdp(from_a(&offered).with("transport-protocol", "RTP/AVP"));
    let reply = || from_b("m=audio 3000 RTP/AVP 8\n");
    let first = bench.sdp(reply());
    assert_eq!(bench.sdp(reply()), first);
    assert!(
        first.contains("\na=crypto:3 AES_CM_128_HMAC_SHA1_80 "),
        "{first}"
    );
}

/// RFC 4568 §6.3: what is left unprotected is agreed on, so the answer repeats it.
#[test]
fn an_answer_repeats_the_session_parameters_of_the_offer() {
    let offered = format!(
        "m=audio 2000 RTP/SAVP 8\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_1} UNENCRYPTED_SRTCP KDR=1\n"
    );
    let run = |options: &[&str]| {
        let mut bench = Bench::new();
        bench.sdp(from_a(&offered).with("transport-protocol", "RTP/AVP"));
        let reply = from_b("m=audio 3000 RTP/AVP 8\n").with("SDES", strings(options));
        masked_medias(&bench.sdp(reply))
    };
    let line = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<40>";
    let repeated = run(&[]);
    assert!(
        repeated.ends_with(&format!("{line} UNENCRYPTED_SRTCP\n")),
        "{repeated}"
    );
    let cleared = run(&["encrypted_srtcp"]);
    assert!(cleared.ends_with(&format!("{line}\n")), "{cleared}");
}

#[test]
fn dtls_transports_have_crypto_lines_too_unless_told() {
    for transport in ["RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"] {
        let request = || from_a("m=audio 2000 RTP/AVP 8\n").with("transport-protocol", transport);
        let sdp = masked_medias(&Bench::new().sdp(request()));
        assert!(
            sdp.contains(
                "a=crypto:12 NULL_HMAC_SHA1_32 inline:<40>\na=setup:actpass\n\
                 a=fingerprint:sha-256 <95>\na=tls-id:<32>\n"
            ),
            "{sdp}"
        );
        let sdp = Bench::new().sdp(request().with("SDES", "off"));
        assert!(
            !sdp.contains("a=crypto") && sdp.contains("a=setup:"),
            "{sdp}"
        );
    }
}

#[test]
fn a_legacy_pair_is_offered_on_one_port() {
    let request = from_a("m=audio 2000 RTP/AVP 8\n")
        .with("transport-protocol", "RTP/SAVP")
        .with("OSRTP", strings(&["offer-legacy"]))
        .with("DTLS", "off")
        .with("SDES", strings(&["only-AES_CM_128_HMAC_SHA1_80"]));
    assert_eq!(
        masked_medias(&Bench::new().sdp(request)),
        "m=audio PORT0 RTP/AVP 8
c=IN IP4 203.0.113.1
a=rtpmap:8 PCMA/8000
a=sendrecv
a=rtcp:PORT1
m=audio PORT0 RTP/SAVP 8
c=IN IP4 203.0.113.1
a=rtpmap:8 PCMA/8000
a=sendrecv
a=rtcp:PORT1
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<40>
"
    );
}

#[test]
fn an_accepted_legacy_pair_is_answered_in_its_order() {
    let plain = "m=audio 2000 RTP/AVP 8\n".to_owned();
    let secure =
        format!("m=audio 2000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_1}\n");
    let rejected = "m=audio 0 RTP/AVP 8\n";
    let taken = "m=audio PORT0 RTP/SAVP 8\nc=IN IP4 203.0.113.1\na=rtpmap:8 PCMA/8000\n\
        a=sendrecv\na=rtcp:PORT1\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<40>\n";
    for (offered, expected) in [
        (format!("{plain}{secure}"), format!("{rejected}{taken}")),
        (format!("{secure}{plain}"), format!("{taken}{rejected}")),
    ] {
        let mut bench = Bench::new();
        let request = from_a(&offered)
            .with("OSRTP", strings(&["accept-legacy"]))
            .with("transport-protocol", "RTP/AVP");
        let sdp = bench.sdp(request);
        assert_eq!(sdp.matches("\nm=").count(), 1, "{sdp}");
        let sdp = bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n"));
        assert_eq!(masked_medias(&sdp), expected);
    }
}

#[test]
fn rfc_8643_is_answered_as_rtp_with_one_line() {
    let offered =
        format!("m=audio 2000 RTP/AVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_1}\n");
    let mut bench = Bench::new();
    bench.sdp(from_a(&offered).with("transport-protocol", "RTP/AVP"));
    assert_eq!(
        masked_medias(
            &bench.sdp(from_b("m=audio 3000 RTP/AVP 8\n").with("OSRTP", strings(&["accept"])))
        ),
        "m=audio PORT0 RTP/AVP 8\nc=IN IP4 203.0.113.1\na=rtpmap:8 PCMA/8000\na=sendrecv\n\
         a=rtcp:PORT1\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:<40>\n"
    );
}
