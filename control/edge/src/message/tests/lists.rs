use super::*;

const ROWS: &str = "Route: <sip:one;lr> , \"a, b\" <sip:two,2;lr>\r\nX: keep\r\nroute:<sip:three;lr>\r\n \
    ,<sip:four;lr>;x=\"y\"\r\n";

/// The Route rows without the values of these numbers.
fn without(dropped: &[usize]) -> String {
    let message = parse(request(ROWS));
    let mut splices = Splices::default();
    message.remove_values(HeaderId::Route, &mut splices, |number, _| {
        dropped.contains(&number)
    });
    let out = splices.render(&message.bytes, message.bytes.len());
    let left = parse(&out);
    let all = texts(&message, message.values(HeaderId::Route));
    let kept: Vec<_> = (0..4)
        .filter(|n| !dropped.contains(n))
        .map(|n| all[n])
        .collect();
    assert_eq!(texts(&left, left.values(HeaderId::Route)), kept);
    let text = String::from_utf8(out).unwrap();
    text.split_once("CSeq: 1 INVITE\r\n").unwrap().1.to_owned()
}

#[test]
fn joined_and_repeated_rows_are_one_sequence() {
    let message = parse(request(ROWS));
    assert_eq!(
        texts(&message, message.values(HeaderId::Route)),
        [
            "<sip:one;lr>",
            "\"a, b\" <sip:two,2;lr>",
            "<sip:three;lr>",
            "<sip:four;lr>;x=\"y\""
        ]
    );
}

#[test]
fn one_value_leaves_and_the_others_keep_their_bytes() {
    assert_eq!(without(&[]), format!("{ROWS}\r\n"));
    assert_eq!(without(&[0]), ROWS.replace("<sip:one;lr> , ", "") + "\r\n");
    assert_eq!(
        without(&[1, 3]),
        "Route: <sip:one;lr>\r\nX: keep\r\nroute:<sip:three;lr>\r\n\r\n"
    );
    assert_eq!(
        without(&[0, 1, 2]),
        "X: keep\r\nroute:<sip:four;lr>;x=\"y\"\r\n\r\n"
    );
    assert_eq!(without(&[0, 1, 2, 3]), "X: keep\r\n\r\n");
}

#[test]
fn every_choice_of_values_can_leave() {
    for choice in 0..16 {
        let dropped: Vec<usize> = (0..4).filter(|n| choice >> n & 1 == 1).collect();
        without(&dropped);
    }
}

#[test]
fn one_value_of_a_joined_row_is_edited_in_place() {
    let message = parse(request(
        "Contact: <sip:a@1>;q=1, \"B\" <sip:b@2;x>;expires=9,<sip:c@3>\r\n",
    ));
    let second = message.values(HeaderId::Contact).nth(1).unwrap();
    let addr = NameAddr::parse(&message.bytes, second).unwrap();
    let uri = addr.to_uri(&message.bytes).unwrap();
    let mut splices = Splices::default();
    splices.replace(uri.host, &[b"edge.example"]);
    let out = splices.render(&message.bytes, message.bytes.len());
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains(
            "Contact: <sip:a@1>;q=1, \"B\" <sip:b@edge.example;x>;expires=9,<sip:c@3>\r\n"
        )
    );
}

#[test]
fn rows_are_removed_by_name() {
    let message = parse(request(
        "P-Charging-Vector: x\r\nX: 1\r\np-charging-function-addresses: y\r\n z\r\n",
    ));
    let mut splices = Splices::default();
    message.remove_rows(&mut splices, |_, name| {
        name.to_ascii_lowercase().starts_with(b"p-charging-")
    });
    let out = splices.render(&message.bytes, message.bytes.len());
    assert_eq!(out, request("X: 1\r\n").as_bytes());
}

#[test]
fn tokens_of_lists() {
    let message = parse(request(
        "k: 100rel,timer\r\nSupported: path ;x=1\r\nAllow:\r\n",
    ));
    let supported: Vec<_> = message.tokens(HeaderId::Supported).collect();
    assert_eq!(supported, [&b"100rel"[..], b"timer", b"path"]);
    assert!(message.lists(HeaderId::Supported, "TIMER"));
    assert_eq!(message.tokens(HeaderId::Allow).count(), 0);
}
