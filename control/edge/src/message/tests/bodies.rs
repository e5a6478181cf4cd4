use super::super::body::{Body, find};
use super::*;

fn with_body(content_type: &str, body: &str) -> Message {
    parse(
        request(&format!(
            "Content-Type: {content_type}\r\nContent-Length: {}\r\n",
            body.len()
        )) + body,
    )
}

/// The SDP that is found, or what is found instead.
fn found(content_type: &str, body: &str) -> String {
    let message = with_body(content_type, body);
    match find(&message) {
        Body::Sdp(sdp) => String::from_utf8(message.text(sdp).to_vec()).unwrap(),
        other => format!("{other:?}"),
    }
}

const MIXED: &str = "preamble\r\n--b\r\nContent-Type: application/isup;version=itu-t92+\r\n\
    Content-Disposition: signal\r\n\r\n\u{1}\u{2}--b\r\n\u{3}\r\n--b \t\r\nc:application/SDP\r\n\r\nv=0\r\ns=-\r\n\r\n--b--\r\nepilogue";

#[test]
fn one_part_is_replaced_and_the_others_stay() {
    let message = with_body("multipart/mixed ; boundary=\"b\"", MIXED);
    let Body::Sdp(sdp) = find(&message) else {
        panic!("no SDP");
    };
    assert_eq!(message.text(sdp), b"v=0\r\ns=-\r\n");
    let mut splices = Splices::default();
    splices.replace(sdp, &[b"NEW"]);
    let out = String::from_utf8(splices.render(&message.bytes, message.bytes.len())).unwrap();
    assert!(out.ends_with(&MIXED.replace("v=0\r\ns=-\r\n", "NEW")));
}

#[test]
fn whole_bodies() {
    assert_eq!(found("application/sdp", "v=0"), "v=0");
    assert_eq!(found("APPLICATION/SDP ;x=y", "v=0"), "v=0");
    assert_eq!(found("application/sdpx", "v=0"), "None");
    assert_eq!(found("application/sdp", ""), "None");
    assert_eq!(
        found("application/pkcs7-mime; smime-type=enveloped-data", "x"),
        "Sealed"
    );
    let zipped = with_body("application/sdp\r\nContent-Encoding: gzip", "x");
    assert_eq!(find(&zipped), Body::Sealed);
    let plain = with_body("application/sdp\r\ne: identity", "v=0");
    assert!(matches!(find(&plain), Body::Sdp(_)));
}

#[test]
fn nested_multipart() {
    let inner = "--in\r\nContent-Type: text/plain\r\n\r\nx\r\n--in\r\nContent-Type:\r\n application/sdp\r\n\r\nv=1\r\n--in--";
    let outer = format!(
        "--i\r\nContent-Type: multipart/alternative;boundary=in\r\n\r\n{inner}\r\n--i--\r\n"
    );
    assert_eq!(found("multipart/mixed;boundary=i", &outer), "v=1");
    let mut deep = "--b4\r\nContent-Type: application/sdp\r\n\r\nv=1\r\n--b4--".to_owned();
    for n in (0..4).rev() {
        deep = format!(
            "--b{n}\r\nContent-Type: multipart/mixed;boundary=b{}\r\n\r\n{deep}\r\n--b{n}--",
            n + 1
        );
    }
    assert_eq!(
        found("multipart/mixed;boundary=b0", &deep),
        "Sealed",
        "deeper than it is searched"
    );
    let many = "--b\r\n\r\nx\r\n".repeat(33) + "--b--";
    assert_eq!(
        found("multipart/mixed;boundary=b", &many),
        "Sealed",
        "more parts than are looked at"
    );
}

#[test]
fn sealed_parts() {
    let signed = "--s\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--s\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n--s--";
    assert_eq!(
        found(
            "multipart/signed;boundary=s;protocol=\"application/pkcs7-signature\"",
            signed
        ),
        "Sealed"
    );
    let nested =
        format!("--m\r\nContent-Type: multipart/signed;boundary=s\r\n\r\n{signed}\r\n--m--");
    assert_eq!(found("multipart/mixed;boundary=m", &nested), "Sealed");
    let beside = nested.replace(
        "--m--",
        "--m\r\nContent-Type: application/sdp\r\n\r\nplain\r\n--m--",
    );
    assert_eq!(found("multipart/mixed;boundary=m", &beside), "plain");
    let encoded = "--m\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w\r\n--m--";
    assert_eq!(found("multipart/mixed;boundary=m", encoded), "Sealed");
    assert_eq!(
        found(
            "multipart/mixed;boundary=m",
            &encoded.replace("base64", "binary")
        ),
        "dj0w"
    );
}

#[test]
fn broken_multipart_is_left_alone() {
    for (content_type, body) in [
        ("multipart/mixed", MIXED),
        ("multipart/mixed;boundary=\"\"", MIXED),
        ("multipart/mixed;boundary=other", MIXED),
        (
            "multipart/mixed;boundary=b",
            "--b\r\nContent-Type: application/sdp\r\n\r\nv=0",
        ),
        (
            "multipart/mixed;boundary=b",
            "--b\r\nContent-Type: application/sdp\r\nv=0\r\n--b--",
        ),
        (
            "multipart/mixed;boundary=b",
            "x--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--",
        ),
    ] {
        assert_eq!(found(content_type, body), "None", "{content_type} {body}");
    }
    assert_eq!(
        found(
            &format!("multipart/mixed;boundary={}", "b".repeat(71)),
            MIXED
        ),
        "None"
    );
}
