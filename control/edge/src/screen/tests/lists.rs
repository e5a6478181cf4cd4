use proptest::prelude::*;

use super::super::csv::RowError;
use super::super::list::{List, Rule};
use super::*;

fn list(text: &str) -> List {
    List::read("deny.csv", text, false).unwrap().0
}

#[test]
fn the_longest_prefix_decides() {
    let list = list("# premium\nprefix,action\n900,deny\n9001,allow\n\n90015 , deny\n");
    let rule = |number: &[u8]| list.rule(None, number);
    assert_eq!(rule(b"900555"), Some(Rule::Deny));
    assert_eq!(rule(b"900155"), Some(Rule::Deny));
    assert_eq!(rule(b"900165"), Some(Rule::Allow));
    assert_eq!(rule(b"90-01.(65);phone-context=x"), Some(Rule::Allow));
    assert_eq!(rule(b"90%30555"), Some(Rule::Deny));
    assert_eq!(rule(b"%39%300%31%2D65%3bx"), Some(Rule::Allow));
    assert_eq!(rule(b"90"), None);
    assert_eq!(rule(b""), None);
    assert_eq!(rule(&[b'9'; 500]), None);
}

#[test]
fn entries_of_a_user_come_before_those_of_all() {
    let list =
        list("action,user,prefix\nallow,100@Example.com,900\ndeny,,9\ndeny,101@example.com,\n");
    let rule = |user: &[u8], number: &[u8]| list.rule(Some(user), number);
    assert_eq!(rule(b"100@example.COM", b"9001"), Some(Rule::Allow));
    assert_eq!(rule(b"100@example.com", b"91"), Some(Rule::Deny));
    assert_eq!(rule(b"101@example.com", b"5"), Some(Rule::Deny));
    assert_eq!(rule(b"102@example.com", b"5"), None);
    assert_eq!(list.rule(None, b"9001"), Some(Rule::Deny));
    assert_eq!(list.len(), 3);
}

#[test]
fn every_bad_row_is_told_with_its_line() {
    let text = "prefix,action\n1,deny\n1 2,deny\n2,reject\n\n# note\n3\n1,allow\n";
    let errors = List::read("lists/deny.csv", text, false).unwrap_err();
    let lines: Vec<_> = errors.rows.iter().map(|row| row.line).collect();
    assert_eq!(lines, [3, 4, 7, 8]);
    assert_eq!(errors.rows[3].reason, RowError::Twice("1".to_owned()));
    let told = errors.to_string();
    let second = told.lines().nth(1).unwrap();
    assert_eq!(
        second,
        "lists/deny.csv:4: \"reject\" is no action; allow and deny are"
    );
    let (list, loaded) = List::read("lists/deny.csv", text, true).unwrap();
    assert_eq!((list.len(), loaded.rows), (1, 1));
    assert_eq!(loaded.skipped.rows, errors.rows);
}

#[test]
fn a_header_is_needed_and_known() {
    let error = |text| {
        List::read("f", text, true).unwrap_err().rows[0]
            .reason
            .clone()
    };
    assert_eq!(error(""), RowError::NoHeader);
    assert_eq!(error("# only this"), RowError::NoHeader);
    assert_eq!(error("1,deny\n"), RowError::Unknown("1".to_owned()));
    assert_eq!(error("prefix\n1\n"), RowError::Missing("action"));
}

proptest! {
    #[test]
    fn any_text_is_a_list_or_is_refused(text in "(prefix,action,user\n)?([0-9a,#\n]|deny|allow|x@y)*") {
        if let Ok((list, loaded)) = List::read("f", &text, true) {
            prop_assert_eq!(list.len(), loaded.rows);
        }
    }
}

#[test]
fn an_edit_changes_one_entry() {
    let mut list = list("prefix,action\n900,deny\n");
    list.insert("901", Rule::Deny, "").unwrap();
    list.insert("9", Rule::Deny, "100@example.com").unwrap();
    assert!(list.insert("9", Rule::Deny, "nobody").is_err());
    assert!(list.remove("900", ""));
    assert!(!list.remove("900", ""));
    assert!(list.remove("9", "100@example.com"));
    assert!(!list.remove("9", "100@example.com"));
    assert_eq!(list.len(), 1);
}

#[test]
fn calls_to_denied_numbers_are_refused_and_a_reload_swaps_the_list() {
    let mut config = config();
    for (name, side) in [
        ("called", config::Side::Called),
        ("callers", config::Side::Caller),
    ] {
        config.lists.push(config::ListFile {
            name: name.to_owned(),
            side,
        });
    }
    let bench = Bench::new(config.clone());
    *bench.screen.list("called").unwrap().write() = list("prefix,action\n900,deny\n");
    *bench.screen.list("callers").unwrap().write() = list("prefix,action\n66,deny\n");
    let call = |from: &'static str, to: &'static str| Seen {
        from_user: from.as_bytes(),
        ruri_user: to.as_bytes(),
        ..request(udp("192.0.2.1:5060"), "INVITE")
    };
    assert_eq!(code(&bench.judge(&call("100", "9005"))), Some(403));
    assert_eq!(code(&bench.judge(&call("665", "200"))), Some(403));
    assert_eq!(bench.judge(&call("900", "66")).action, Action::Pass);
    // The list goes on in the next configuration, until its file is read again.
    let screen = bench.screen.reload(config, Arc::default()).unwrap();
    assert_eq!(
        code(&screen.judge(&call("100", "9005"), bench.now)),
        Some(403)
    );
    *screen.list("called").unwrap().write() = List::default();
    assert_eq!(
        screen.judge(&call("100", "9005"), bench.now).action,
        Action::Pass
    );
}
