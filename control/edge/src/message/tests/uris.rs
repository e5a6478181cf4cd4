use proptest::prelude::*;

use super::super::properties;
use super::super::uri::{Scheme, Uri, UriError, dialled, dials, unescaped};
use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text.as_bytes(), whole(text.as_bytes())).unwrap()
}

fn equal(a: &str, b: &str) -> bool {
    let forth = uri(a).equals(a.as_bytes(), &uri(b), b.as_bytes());
    let back = uri(b).equals(b.as_bytes(), &uri(a), a.as_bytes());
    assert_eq!(forth, back, "{a} {b}");
    forth
}

/// RFC 3261 §19.1.4, the examples in their order.
#[test]
fn rfc3261_19_1_4() {
    for [a, b] in [
        [
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
        ],
        ["sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"],
        ["sip:carol@chicago.com", "sip:carol@chicago.com;security=on"],
        [
            "sip:carol@chicago.com;newparam=5",
            "sip:carol@chicago.com;security=on",
        ],
        [
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ],
        [
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ],
    ] {
        assert!(equal(a, b), "{a} {b}");
    }
    for [a, b] in [
        [
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ],
        ["sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"],
        ["sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"],
        [
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
        ],
        [
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ],
        ["sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"],
        // "Note that equality is not transitive."
        [
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ],
    ] {
        assert!(!equal(a, b), "{a} {b}");
    }
}

#[test]
fn further_rules_of_comparison() {
    assert!(!equal("sip:a@b", "sips:a@b"), "scheme");
    assert!(!equal("sip:a@b", "sip:b"), "user");
    assert!(!equal("sip:a:one@b", "sip:a:two@b"), "password");
    for param in ["user=phone", "ttl=1", "method=INVITE", "maddr=192.0.2.1"] {
        assert!(!equal("sip:a@b", &format!("sip:a@b;{param}")), "{param}");
    }
    assert!(
        !equal("sip:a%40b@c", "sip:a@c"),
        "an escaped reserved character stays escaped"
    );
    assert!(equal("sip:a%3b@c", "sip:a%3B@c"));
    assert!(
        equal("sip:[2001:db8::10]", "sip:[2001:DB8:0::10]"),
        "RFC 5954"
    );
    assert!(!equal("sip:a@b?x=1&x=1", "sip:a@b?x=1&x=2"));
    assert!(equal("tel:+1-201-555-0123", "tel:+12015550123"), "RFC 3966");
    assert!(!equal("tel:5550123;phone-context=a", "tel:5550123"));
    let many = format!("sip:a@b{}", ";x".repeat(33));
    assert!(!equal(&many, &many), "too many to compare");
}

#[test]
fn parts_of_a_uri() {
    let text = "sips:a;p=1?q:secret@[2001:db8::9]:5071;lr;maddr=x?Route=%3Csip:r%3E&X=1";
    let uri = uri(text);
    let part = |span: Span| std::str::from_utf8(span.of(text.as_bytes())).unwrap();
    assert_eq!(uri.scheme, Scheme::Sips);
    assert_eq!(part(uri.user), "a;p=1?q");
    assert_eq!(part(uri.userinfo), "a;p=1?q:secret@");
    assert_eq!((part(uri.host), uri.port), ("[2001:db8::9]", Some(5071)));
    assert_eq!(uri.param(text.as_bytes(), "LR"), Some(&b""[..]));
    assert_eq!(uri.param(text.as_bytes(), "maddr"), Some(&b"x"[..]));
    let headers: Vec<_> = uri.headers(text.as_bytes()).collect();
    assert_eq!(
        headers,
        [(&b"Route"[..], &b"%3Csip:r%3E"[..]), (b"X", b"1")]
    );
}

#[test]
fn malformed_uris() {
    for (text, error) in [
        ("sip:", UriError::Syntax),
        ("sip:a@", UriError::Syntax),
        ("sip:@b", UriError::Syntax),
        ("sip:b:65536", UriError::Syntax),
        ("sip:b:", UriError::Syntax),
        ("sip:2001:db8::10", UriError::Syntax),
        ("sip:[2001:db8::10", UriError::Syntax),
        ("sip:b lr", UriError::Syntax),
        (":b", UriError::Syntax),
        ("isbn:2983792873", UriError::UnknownScheme),
    ] {
        assert_eq!(
            Uri::parse(text.as_bytes(), whole(text.as_bytes())),
            Err(error),
            "{text}"
        );
    }
}

#[test]
fn address_of_record_is_canonical() {
    let mut key = Vec::new();
    let text = "sip:%61lice%40home@EXAMPLE.com:5070;transport=tcp";
    uri(text).address_of_record(text.as_bytes(), &mut key);
    assert_eq!(key, b"alice%40home@example.com");
    assert_eq!(unescaped(b"%00%4x%4%"), &b"%00%254x%254%25"[..]);
    assert_eq!(unescaped(b"%%41B"), &b"%25AB"[..]);
}

#[test]
fn number_is_dialled_without_what_writes_it_otherwise() {
    let number = |user: &[u8]| String::from_utf8(dialled(user).collect()).unwrap();
    for user in [
        "+8820099",
        "+88%320099",
        "%2b882-00.99",
        "(+882) 0099",
        "+8820099;isub=1",
        "+8820099%3Bx",
    ] {
        assert_eq!(number(user.as_bytes()), "+8820099", "{user}");
    }
    // What is escaped twice is dialled as it is written.
    assert_eq!(number(b"88%2532"), "88%32");
    assert_eq!(number(b"5%4"), "5%4");
    assert!(dials(b"+88%3200", b"+882") && !dials(b"+88%3200", b"+883"));
    assert!(!dials(b"88", b"882"));
}

proptest! {
    #[test]
    fn uris_hold_their_properties(text in "(sip|sips|tel):[a-cA-C%0-9@:;=?&\\[\\].-]{0,40}") {
        properties::uri(text.as_bytes());
    }

    #[test]
    fn name_addrs_hold_their_properties(text in "[\" a,<>;=\\\\]{0,10}<?sip:[a@b;?]{0,8}>?[;a=,\" ]{0,8}") {
        properties::name_addr(text.as_bytes());
    }

    #[test]
    fn digests_hold_their_properties(text in "Digest [a,=\" \\\\]{0,20}(realm|nc|stale)=[\"a0-9\\\\]{0,12}") {
        properties::digest(text.as_bytes());
    }
}
