//! sdp-rewriting §7: the examples of SDES and OSRTP as whole sections.

use super::masks::masked_medias;
use super::*;

const KEY_1: &str = "zTphlYVUDtsZ/sLlfijcuu0O+W+RGoT79yLJDaPY";
const KEY_2: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

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
