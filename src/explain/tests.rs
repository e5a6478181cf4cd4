//! Golden texts: `golden/NAME.in.txt` explained is `golden/NAME.out.txt`. With `WINDLASS_BLESS=1`
//! the latter is written anew, to be read in the diff.
#![expect(clippy::disallowed_methods, reason = "tests need a start of time")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::config::Flags;

/// The dual-homed host of the specification's examples.
fn explainer() -> Explainer {
    let interfaces = [
        "ext/203.0.113.1",
        "ext/2001:db8::1",
        "int/192.0.2.10!198.51.100.99",
    ];
    let flags = Flags {
        interface: interfaces.map(|text| text.parse().unwrap()).to_vec(),
        ..Flags::default()
    };
    let mut config = Config::load(None, &flags).unwrap();
    // The same on every host.
    config.audio.libraries.clear();
    let now = Now {
        instant: Instant::now(),
        unix: Duration::from_secs(1_700_000_000),
    };
    Explainer::new(&config, now).unwrap()
}

/// Certificates are drawn anew in every run; everything else is the same.
fn without_fingerprints(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| match line.split_once("a=fingerprint:") {
            Some((before, after)) if before.starts_with(['+', '~']) => {
                let reason = after.split_once('#').map_or("", |(_, reason)| reason);
                format!("{before}a=fingerprint:... #{reason}\n")
            }
            _ => format!("{line}\n"),
        });
    lines.collect()
}

fn check(name: &str, refused: &[bool]) {
    let path = |end: &str| {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/explain/golden");
        directory.join(format!("{name}.{end}.txt"))
    };
    let input = std::fs::read(path("in")).unwrap();
    let mut explainer = explainer();
    let mut text = String::new();
    let mut seen = Vec::new();
    for message in read::messages(&input).unwrap() {
        let explanation = explainer.explain(&message);
        text.push_str(&explanation.text);
        text.push('\n');
        seen.push(explanation.is_refused);
    }
    let text = without_fingerprints(&text);
    if std::env::var("WINDLASS_BLESS").is_ok() {
        std::fs::write(path("out"), &text).unwrap();
    }
    let expected = std::fs::read_to_string(path("out")).unwrap_or_default();
    assert!(text == expected, "{name}: explained as\n{text}");
    assert_eq!(seen, refused, "{name}: refused");
}

#[test]
fn plain_call() {
    check("plain", &[false; 5]);
}

#[test]
fn browser_to_phone() {
    check("browser", &[false; 2]);
}

#[test]
fn phone_to_browser() {
    check("webrtc", &[false; 2]);
}

#[test]
fn srtp_by_sdes() {
    check("sdes", &[false; 2]);
}

#[test]
fn between_interfaces_and_families() {
    check("interfaces", &[false; 3]);
}

#[test]
fn codecs_attributes_and_lines() {
    check("manipulations", &[false; 2]);
}

#[test]
fn forks_and_blocking() {
    check("forks", &[false; 6]);
}

#[test]
fn digits_and_reports() {
    check("digits", &[false, false, false, false, true]);
}

#[test]
fn refusals() {
    check(
        "refusals",
        &[true, true, true, true, true, false, true, true],
    );
}

#[test]
fn two_runs_say_the_same() {
    let input = br#"{"command":"create","call-id":"a","from-tag":"F","transport-protocol":"RTP/SAVP","DTLS":"off"}"#;
    let [message] = read::messages(input).unwrap()[..] else {
        panic!("one request");
    };
    let text = explainer().explain(&message).text;
    assert_eq!(text, explainer().explain(&message).text);
    assert!(text.contains("a=crypto:1 "), "{text}");
}

#[test]
fn keys_are_printed_on_demand_only() {
    let secrets = ["c2VjcmV0IG9mIHRoZSBjYWxsZXI", "hidden"];
    let input = format!(
        r#"{{"command":"offer","call-id":"a","from-tag":"F","flags":["pad-crypto"],"sdp":"v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nk=clear:{1}\nm=audio 4000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{0}2345678901234\n"}}"#,
        secrets[0], secrets[1]
    );
    let messages = read::messages(input.as_bytes()).unwrap();
    let redacted = explainer().explain(&messages[0]);
    let shown = explainer().with_keys(Keys::Shown).explain(&messages[0]);
    let sdp = redacted.reply.get_str("sdp").unwrap();
    let own = sdp
        .split("inline:")
        .nth(1)
        .and_then(|rest| rest.get(..20))
        .unwrap();
    for secret in secrets.into_iter().chain([own]) {
        let start = &secret[..secret.len().min(20)];
        assert!(!redacted.text.contains(start), "{start}: {}", redacted.text);
        assert!(shown.text.contains(start), "{start}: {}", shown.text);
    }
}
