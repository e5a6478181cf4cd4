use super::super::persist::StateError;
use super::*;

#[test]
fn bans_and_failures_go_on_after_a_restart() {
    let mut before = Bench::new(config());
    let scan = |from| Seen {
        user_agent: b"sipvicious",
        ..request(udp(from), "OPTIONS")
    };
    before.pass_s(100);
    before.judge(&scan("198.51.100.1:5060"));
    before.pass_s(60);
    // The second time: 120 s.
    before.judge(&scan("198.51.100.1:5060"));
    before.judge(&scan("198.51.100.2:5060"));
    let failure = Answered {
        credentials: Some(b"100@example.com"),
        ..answered(tcp("198.51.100.3:5060"), "REGISTER", 401)
    };
    for _ in 0..5 {
        before.screen.judge_response(&failure, before.now);
    }
    let state = before.screen.save(before.now);

    let mut after = Bench::new(config());
    let down = Duration::from_secs(90);
    after.screen.restore(&state, down, after.now).unwrap();
    assert!(after.is_denied("198.51.100.1:5060"));
    assert!(!after.is_denied("198.51.100.2:5060"), "it ended meanwhile");
    after.pass_s(30);
    assert!(!after.is_denied("198.51.100.1:5060"));
    // The third time of the one, the second of the other.
    let lasts = |from| after.judge(&scan(from)).banned.unwrap().lasts.as_secs();
    assert_eq!(lasts("198.51.100.1:5060"), 240);
    assert_eq!(lasts("198.51.100.2:5060"), 120);
    // The sixth failure.
    let verdict = after.screen.judge_response(&failure, after.now);
    assert!(verdict.banned.is_some());
}

#[test]
fn what_is_restored_is_what_was_saved() {
    let mut bench = Bench::new(config());
    let ip = "192.0.2.1".parse().unwrap();
    let hour = Duration::from_secs(3600);
    bench.screen.ban(ip, Some(5060), hour, bench.now).unwrap();
    bench.pass_s(10);
    bench.early("192.0.2.1:5060");
    let state = bench.screen.save(bench.now);
    assert_eq!(state.bans[0].first, Duration::from_secs(10));
    assert_eq!(state.bans[0].refused, 1);
    let again = Bench::new(config());
    again
        .screen
        .restore(&state, Duration::ZERO, again.now)
        .unwrap();
    assert_eq!(again.screen.save(again.now), state);
}

#[test]
fn a_later_format_is_refused() {
    let bench = Bench::new(config());
    let mut state = bench.screen.save(bench.now);
    state.version += 1;
    let result = bench.screen.restore(&state, Duration::ZERO, bench.now);
    assert_eq!(result, Err(StateError::Version(2)));
}
