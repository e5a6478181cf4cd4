//! Orders and roles as data.

use std::time::Duration;

use super::super::order::{Cursor, Ending, Order, Refusal};
use super::super::role::{Keys, Role};
use crate::proxy::{CallFilter, CallState};
use crate::screen::address::Source;
use crate::screen::list::Rule;
use crate::target::{Admin, Change};

fn parse(method: &str, path: &str, body: &str) -> Result<Order, Refusal> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    Order::parse(method, path, query, body.as_bytes())
}

#[test]
fn paths_and_bodies_are_orders() {
    let order = |method, path, body| parse(method, path, body).unwrap();
    let Order::Calls(page) = order(
        "GET",
        "/v1/calls?user=%2B49+1&src=192.0.2.1&target=pbx-1&state=early&limit=7&cursor=1.ff",
        "",
    ) else {
        panic!("a list");
    };
    let expected = CallFilter {
        user: Some("+49 1".to_owned()),
        source: Some("192.0.2.1".parse().unwrap()),
        target_id: Some("pbx-1".to_owned()),
        state: Some(CallState::Early),
        ..CallFilter::default()
    };
    assert_eq!((page.filter, page.limit), (expected, 7));
    let cursor = page.after.unwrap();
    assert_eq!((cursor.shard, cursor.after), (1, Some(255)));
    assert_eq!(cursor.to_text(), "1.ff");
    assert_eq!(Cursor::default().to_text(), "0.");
    let ending = |cause, text: &str| Ending {
        cause,
        text: text.to_owned(),
    };
    assert_eq!(
        order(
            "DELETE",
            "/v1/calls/00000000000000ff?cause=480&text=no+credit",
            ""
        ),
        Order::EndCall {
            id: 255,
            ending: ending(480, "no credit"),
        }
    );
    let filter = CallFilter {
        peer: Some("carrier".to_owned()),
        prefix: Some("00".to_owned()),
        class: Some("risky".to_owned()),
        ..CallFilter::default()
    };
    assert_eq!(
        order(
            "POST",
            "/v1/calls/end",
            r#"{"filter":{"peer":"carrier","prefix":"00","class":"risky"},"max":3}"#,
        ),
        Order::EndCalls {
            filter: Box::new(filter),
            max: 3,
            ending: ending(200, "Ended by operator"),
        }
    );
    assert_eq!(
        order(
            "POST",
            "/v1/bans",
            r#"{"address":"192.0.2.7","duration":"1h30m"}"#
        ),
        Order::AddBan {
            ip: "192.0.2.7".parse().unwrap(),
            port: None,
            lasts: Some(Duration::from_secs(5400)),
        }
    );
    assert_eq!(
        order("DELETE", "/v1/bans/%5B2001:db8::1%5D:5060", ""),
        Order::LiftBan(Source::port("[2001:db8::1]:5060".parse().unwrap()))
    );
    assert_eq!(
        order("PUT", "/v1/lists/deny/%2B88", r#"{"action":"deny"}"#),
        Order::PutEntry {
            name: "deny".to_owned(),
            prefix: "+88".to_owned(),
            user: String::new(),
            rule: Rule::Deny,
        }
    );
    assert_eq!(
        order(
            "PATCH",
            "/v1/targets/pbx-1",
            r#"{"state":"drain","weight":3,"resources":{"channels":9}}"#,
        ),
        Order::ChangeTarget {
            id: "pbx-1".to_owned(),
            change: Change {
                state: Some(Admin::Drain),
                weight: Some(3),
                resources: vec![("channels".to_owned(), 9)],
            },
        }
    );
    assert_eq!(
        order("POST", "/v1/reload", ""),
        Order::Reload { file: None }
    );
    let aor = b"Bob@x.example".to_vec();
    let path = "/v1/registrations?aor=sip:Bob@X.Example";
    assert_eq!(
        order("DELETE", path, ""),
        Order::RemoveRegistrations { aor }
    );
}

#[test]
fn mistakes_are_named() {
    for (method, path, body, status, says) in [
        ("GET", "/", "", 404, "nothing at /"),
        ("GET", "/v1/colls", "", 404, "nothing at /v1/colls"),
        ("PUT", "/v1/calls", "", 405, "PUT is not among GET"),
        ("GET", "/v1/calls?usr=bob", "", 400, "`usr` means nothing"),
        ("GET", "/v1/calls?user=a&user=b", "", 400, "twice"),
        ("GET", "/v1/calls?limit=0", "", 400, "`limit`"),
        ("GET", "/v1/calls?limit=999999999", "", 400, "`limit`"),
        ("GET", "/v1/calls?cursor=x", "", 400, "`cursor`"),
        ("GET", "/v1/calls?state=dead", "", 400, "early, confirmed"),
        ("GET", "/v1/calls?src=bob", "", 400, "an IP address"),
        ("GET", "/v1/calls/%zz", "", 400, "escape"),
        ("GET", "/v1/calls/0123456789abcdef0", "", 400, "hexadecimal"),
        ("DELETE", "/v1/calls/1?cause=99", "", 400, "200 to 699"),
        ("DELETE", "/v1/calls/1?text=a%0d%0aX:", "", 400, "control"),
        ("POST", "/v1/calls/end", "{}", 422, "missing field `filter`"),
        (
            "POST",
            "/v1/calls/end",
            r#"{"filter":{}}"#,
            422,
            "\"all\": true",
        ),
        (
            "POST",
            "/v1/calls/end",
            r#"{"filter":{"usr":"bob"}}"#,
            422,
            "unknown field `usr`",
        ),
        (
            "POST",
            "/v1/bans",
            r#"{"address":"bob"}"#,
            400,
            "no IP address",
        ),
        (
            "POST",
            "/v1/bans",
            r#"{"address":"192.0.2.1","duration":"5"}"#,
            422,
            "no time",
        ),
        ("PATCH", "/v1/targets/a", "{}", 422, "nothing to change"),
        (
            "PATCH",
            "/v1/targets/a",
            r#"{"state":"on"}"#,
            422,
            "up, drain",
        ),
        (
            "PUT",
            "/v1/lists/a/1",
            r#"{"action":"no"}"#,
            422,
            "allow or deny",
        ),
        ("GET", "/v1/route", "", 400, "`number`"),
        ("DELETE", "/v1/registrations", "", 400, "`aor`"),
        (
            "POST",
            "/v1/drain",
            r#"{"deadline":"soon"}"#,
            422,
            "no time",
        ),
    ] {
        let refusal = parse(method, path, body).expect_err(path);
        assert_eq!(refusal.status, status, "{path}: {}", refusal.error);
        assert!(refusal.error.contains(says), "{path}: {}", refusal.error);
    }
}

#[test]
fn who_looks_changes_nothing() {
    let needs = |method, path, body| parse(method, path, body).unwrap().needs();
    assert_eq!(needs("GET", "/v1/calls", ""), Role::Read);
    assert_eq!(needs("GET", "/metrics", ""), Role::Read);
    assert_eq!(needs("DELETE", "/v1/calls/1", ""), Role::Operate);
    assert_eq!(needs("POST", "/v1/drain", ""), Role::Operate);
    assert_eq!(needs("POST", "/v1/reload", ""), Role::Admin);
    let health = parse("GET", "/healthz", "").unwrap();
    assert!(health.is_public() && !health.is_change());
    assert!(!parse("GET", "/metrics", "").unwrap().is_public());
}

#[test]
fn tokens_have_names_and_roles() {
    let keys = Keys::parse(super::TOKENS).unwrap();
    let who = keys.of_token(b"oper-0123456789abcdef").unwrap();
    assert_eq!((who.name.as_str(), who.role), ("noc", Role::Operate));
    assert_eq!(keys.of_token(b"oper-0123456789abcdeX"), None);
    assert_eq!(keys.of_token(b""), None);
    assert!(!format!("{keys:?}").contains("0123456789"));
    let text = "[[certificate]]\nname = \"NOC.example.com\"\nrole = \"admin\"\n";
    let keys = Keys::parse(text).unwrap();
    let who = keys.of_names(["x", "noc.example.com"].into_iter()).unwrap();
    assert_eq!(who.role, Role::Admin);
    assert_eq!(keys.of_names(["example.com"].into_iter()), None);
}

#[test]
fn mistakes_in_tokens_have_their_places() {
    let text = "[[token]]\nname = \"a\"\nrole = \"root\"\ntoken = \"short\"\n[[tokn]]\n";
    let said: Vec<String> = Keys::parse(text)
        .unwrap_err()
        .iter()
        .map(|problem| format!("{:?} {}", problem.at, problem.message))
        .collect();
    assert_eq!(
        said,
        [
            "File { line: 3, column: 8 } `role` is \"root\", expected one of read, operate, admin",
            "File { line: 4, column: 9 } `token` has less than 16 bytes",
            "File { line: 5, column: 3 } unknown section `tokn`; did you mean `token`?",
        ]
    );
}
