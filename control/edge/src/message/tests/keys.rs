use super::super::build::server_key;
use super::*;

fn key(text: &str, method: Method) -> Vec<u8> {
    let mut key = Vec::new();
    server_key(&parse(text), method, &mut key);
    key
}

fn of(text: &str) -> Vec<u8> {
    let message = parse(text);
    match message.method() {
        Method::Ack | Method::Cancel => key(text, Method::Invite),
        method => key(text, method),
    }
}

fn as_method(text: &str, method: &str) -> String {
    text.replace("INVITE", method)
}

/// RFC 3261 §17.2.3, a branch with the cookie: branch, sent-by and method.
#[test]
fn rfc3261_matching() {
    let invite = request("");
    let key = of(&invite);
    assert_eq!(of(&as_method(&invite, "ACK")), key);
    assert_eq!(of(&as_method(&invite, "CANCEL")), key);
    assert_ne!(of(&as_method(&invite, "BYE")), key);
    for (from, to, is_same) in [
        ("c1", "c2", true),
        ("tag=a", "tag=b", true),
        ("CSeq: 1 ", "CSeq: 2 ", true),
        ("192.0.2.7;", "192.0.2.7:5060;", true),
        ("192.0.2.7;", "192.0.2.7:5061;", false),
        ("192.0.2.7;", "192.0.2.8;", false),
        ("z9hG4bK1", "z9hG4bK2", false),
    ] {
        assert_eq!(of(&invite.replace(from, to)) == key, is_same, "{from} {to}");
    }
    let named = invite.replace("192.0.2.7;", "Host.Example;");
    assert_eq!(
        of(&named),
        of(&named.replace("Host.Example", "hOST.example"))
    );
}

/// RFC 3261 §17.2.3, without the cookie or with nothing behind it: the request identifies itself.
#[test]
fn rfc2543_matching() {
    for branch in ["", ";branch=z9hG4bK", ";branch=1", ";branch"] {
        let invite = request("").replace(";branch=z9hG4bK1", branch);
        let key = of(&invite);
        let ack = as_method(&invite, "ACK").replace(
            "To: <sip:bob@example.com>",
            "To: <sip:bob@example.com>;tag=ours",
        );
        assert_eq!(of(&ack), key, "the To tag of an ACK is ours");
        assert_eq!(of(&as_method(&invite, "CANCEL")), key);
        assert_ne!(of(&as_method(&invite, "BYE")), key);
        for (from, to) in [
            ("c1", "c2"),
            ("tag=a", "tag=b"),
            ("CSeq: 1 ", "CSeq: 2 "),
            ("INVITE sip:bob", "INVITE sip:rob"),
            ("192.0.2.7", "192.0.2.8"),
        ] {
            assert_ne!(of(&invite.replace(from, to)), key, "{branch} {from} {to}");
        }
    }
}
