//! Screening, limits and logs.

use super::*;

const SCREEN: &str = r#"
[screen]
on_banned = "fake200"
never_ban = ["10.0.0.0/8"]
ban = "2h"
unverified_ban = "30s"
[screen.flood]
limit = 40
window = "3s"
hold = "1m"
[screen.fingerprints]
user_agent = ["(?i)mass-?scan"]
from_user = ["nm"]
[screen.methods]
deny_code = 503
allow = ["INVITE", "ACK"]
[screen.auth_failures]
max = 4
window = "60s"
[[screen.rate]]
name = "gw"
key = "{ruri_user}"
methods = ["INVITE"]
rate = 7

[[peer]]
name = "carrier"
max_call = "2h"
zone = "public"
source = ["203.0.113.0/29"]
limits = { calls = 400, cps = 40 }

[[limit]]
name = "per-user"
key = "{user}"
calls = 5

[log]
security = { file = "log/security.log", format = "json" }
cdr = { file = "/var/log/cdr.jsonl", rotate = "daily", missed = false }
"#;

#[test]
fn screen_limits_and_logs_are_read() {
    let (read, problems) = reading(&format!("{WHOLE}{SCREEN}"));
    assert_eq!(problems, []);
    let config = read.unwrap().config;
    let screen = config.screen.as_ref().unwrap();
    assert_eq!(screen.on_banned, crate::OnBanned::Fake200);
    assert_eq!(screen.ban, Some(Duration::from_secs(7200)));
    assert_eq!(
        (screen.flood.limit, screen.flood.hold),
        (40, Duration::from_secs(60))
    );
    assert_eq!(screen.fingerprints.user_agent, ["(?i)mass-?scan"]);
    assert!(screen.fingerprints.use_shipped);
    assert_eq!(screen.methods.deny_code, Some(503));
    assert_eq!(screen.auth_failures.max, 4);
    assert_eq!((screen.rates[0].rate, screen.rates[0].burst), (7, 50));
    let peer = &screen.peers[0];
    assert_eq!(
        (peer.zone, peer.calls, peer.cps),
        (Some(0), Some(400), Some(40))
    );
    assert_eq!(
        (&*screen.limits[0].key, screen.limits[0].calls),
        ("{user}", Some(5))
    );
    let security = config.security_log.unwrap();
    assert_eq!(security.file, Path::new("/etc/windlass/log/security.log"));
    assert_eq!(security.format, crate::LogFormat::Json);
    let cdr = config.cdr.unwrap();
    assert_eq!(cdr.file, Path::new("/var/log/cdr.jsonl"));
    assert!(cdr.daily && !cdr.missed && cdr.failed);
}

#[test]
fn zones_are_screened_by_default() {
    let (read, _) = reading(WHOLE);
    assert_eq!(
        read.unwrap().config.screen,
        Some(crate::ScreenConfig::default())
    );
}

#[test]
fn mistakes_of_the_screen_are_told() {
    let text = r#"
[screen]
never_ban = ["10.0.0.0/40"]
[screen.fingerprints]
user_agent = ["("]
[[limit]]
name = "a"
key = "{who}"
calls = 1
[[limit]]
name = "b"
key = "{user}"
"#;
    let whole = format!("{WHOLE}{text}");
    let (_, problems) = reading(&whole);
    for (what, beside) in [
        ("10.0.0.0/40", "never_ban ="),
        ("user_agent", "user_agent ="),
        ("\"who\" is no field", "name = \"a\""),
        ("limit \"b\": neither", "name = \"b\""),
    ] {
        let before = &whole[..whole.find(beside).unwrap()];
        let line = before.matches('\n').count() + 1;
        let told = |(at, message): &(usize, String)| *at == line && message.contains(what);
        assert!(problems.iter().any(told), "{line}: {what}: {problems:?}");
    }
}

#[test]
fn lists_and_categories_name_files_that_must_be_there() {
    let text = r#"
[screen]
[[screen.list]]
name = "global"
file = "no/deny.csv"
[[category]]
name = "RISKY"
file = "/no/risky.csv"
[[limit]]
name = "risky"
key = "{user}"
category = "RISKI"
calls = 1
"#;
    let (read, problems) = reading(&format!("{WHOLE}{text}"));
    let told = |what: &str| problems.iter().any(|(_, message)| message.contains(what));
    for what in [
        "/etc/windlass/no/deny.csv: ",
        "/no/risky.csv: ",
        "no category is called \"RISKI\"",
    ] {
        assert!(told(what), "{what}: {problems:?}");
    }
    let screen = read.unwrap().config.screen.unwrap();
    assert!(!screen.lists[0].caller);
}
