use super::super::persist::StateError;
use super::super::saved::{self, TextError};
use super::*;
use crate::record::clock::Wall;

/// A screen that has something of everything that is saved.
fn busy() -> Bench {
    let mut bench = Bench::new(config());
    let hour = Duration::from_secs(3600);
    let ip = "192.0.2.1".parse().unwrap();
    bench.screen.ban(ip, Some(5060), hour, bench.now).unwrap();
    let ip = "2001:db8::7".parse().unwrap();
    bench.screen.ban(ip, None, hour, bench.now).unwrap();
    let scan = Seen {
        user_agent: b"sipvicious",
        ..request(udp("198.51.100.1:5060"), "OPTIONS")
    };
    bench.judge(&scan);
    let failure = Answered {
        credentials: Some(b"100@example.com"),
        ..answered(tcp("198.51.100.3:5060"), "REGISTER", 401)
    };
    bench.screen.judge_response(&failure, bench.now);
    bench
        .screen
        .accepted("198.51.100.9:5060".parse().unwrap(), bench.now);
    bench.pass_s(10);
    bench
}

#[test]
fn state_is_the_same_in_its_text() {
    let bench = busy();
    let state = bench.screen.save(bench.now);
    assert_eq!(
        (state.bans.len(), state.sources.len(), state.users.len()),
        (3, 1, 1)
    );
    assert_eq!(state.trusted.len(), 2, "the port, and the address");
    let text = saved::write(&state, Wall(1_767_225_600_000));
    assert_eq!(saved::read(&text), Ok((state, Wall(1_767_225_600_000))));
}

/// Written by the first version.
#[test]
fn text_of_the_first_version_is_read() {
    let text = "windlass-screen 1 1767225600000\n\
                ban 00000000000000000000ffffc000020113c4 - 1 1 0 3590000 0 10000 10000\n\
                trust 00000000000000000000ffffcb0071050000 3590000\nend 2\n";
    let (state, at) = saved::read(text).unwrap();
    assert_eq!(at, Wall(1_767_225_600_000));
    assert_eq!(state.bans[0].source.to_string(), "192.0.2.1:5060");
    assert_eq!(state.trusted[0].remaining, Duration::from_secs(3590));
}

#[test]
fn text_that_was_cut_or_changed_is_refused() {
    let bench = busy();
    let text = saved::write(&bench.screen.save(bench.now), Wall(1));
    for end in 0..text.len() - 1 {
        assert!(saved::read(&text[..end]).is_err(), "{end}");
    }
    let broken = text.replacen("trust 0", "trust x", 1);
    assert!(matches!(saved::read(&broken), Err(TextError::Line(_))));
    let later = text.replacen("screen 1", "screen 9", 1);
    assert_eq!(saved::read(&later), Err(TextError::Version(9)));
    let more = text.replacen("end", "ban\nend", 1);
    assert!(matches!(saved::read(&more), Err(TextError::Line(_))));
}

#[test]
fn trust_goes_on_after_a_restart_for_what_was_left_of_it() {
    let phone = "198.51.100.9:5060".parse().unwrap();
    let before = busy();
    let state = before.screen.save(before.now);
    for (down, is_trusted) in [(60, true), (3595, false)] {
        let after = Bench::new(config());
        let down = Duration::from_secs(down);
        after.screen.restore(&state, down, after.now).unwrap();
        let level = after.screen.level(phone, after.now);
        assert_eq!(level == Level::Trusted, is_trusted);
    }
}

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
