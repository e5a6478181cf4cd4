//! Authentication failures (E14).

use super::super::ban::Evidence;
use super::*;

const GUESSER: &str = "198.51.100.66:5060";
const USER: Option<&[u8]> = Some(b"100@example.com");

/// One guess over UDP as svcrack makes it: the number of the attempt that was not let in, and the
/// events. `nonce`: whether the guesser repeats the nonce that it was sent.
fn guess(bench: &mut Bench, from: &str, code: u16, nonce: bool) -> (u32, Vec<Event>) {
    let challenge = Answered {
        challenges: &[b"n1"],
        ..answered(udp(from), "REGISTER", 401)
    };
    bench.screen.judge_response(&challenge, bench.now);
    let mut told = Vec::new();
    for attempt in 1..=100 {
        if bench.is_denied(from) {
            return (attempt, told);
        }
        let answer = Answered {
            credentials: USER,
            nonce: if nonce { b"n1" } else { b"other" },
            ..answered(udp(from), "REGISTER", code)
        };
        let verdict = bench.screen.judge_response(&answer, bench.now);
        told.extend(events(&verdict));
        bench.pass_s(1);
    }
    (101, told)
}

#[test]
fn e14_the_seventh_guess_meets_a_ban_of_an_hour() {
    let mut bench = Bench::new(config());
    let (attempt, told) = guess(&mut bench, GUESSER, 401, true);
    assert_eq!(attempt, 7);
    let mut expected = vec![Event::RegisterBadPassword; 6];
    expected.push(Event::AuthFailures);
    assert_eq!(told, expected);
    let (_, ban) = bench.screen.bans()[0];
    assert_eq!(ban.evidence, Evidence::Verified);
    bench.pass_ms(3_598_900);
    assert!(bench.is_denied(GUESSER));
    bench.pass_ms(100);
    assert!(!bench.is_denied(GUESSER));
}

#[test]
fn e14_users_that_do_not_exist_count_the_same() {
    let mut bench = Bench::new(config());
    let (attempt, told) = guess(&mut bench, GUESSER, 404, true);
    assert_eq!(attempt, 7);
    assert_eq!(told[..6], [Event::RegisterUnknownUser; 6]);
}

#[test]
fn guesses_without_our_nonce_ban_for_a_minute() {
    let mut bench = Bench::new(config());
    assert_eq!(guess(&mut bench, GUESSER, 403, false).0, 7);
    let (_, ban) = bench.screen.bans()[0];
    assert_eq!(ban.evidence, Evidence::Unverified);
}

#[test]
fn six_in_more_than_the_window_are_no_attack() {
    let mut bench = Bench::new(config());
    for _ in 0..50 {
        let answer = Answered {
            credentials: USER,
            ..answered(tcp(GUESSER), "REGISTER", 401)
        };
        bench.screen.judge_response(&answer, bench.now);
        assert!(!bench.is_denied(GUESSER));
        bench.pass_s(61);
    }
}

#[test]
fn what_is_no_failure_is_not_counted() {
    let bench = Bench::new(config());
    let all = [
        // The first challenge, and one for a nonce that ran out.
        answered(tcp(GUESSER), "REGISTER", 401),
        Answered {
            credentials: USER,
            stale: true,
            ..answered(tcp(GUESSER), "REGISTER", 401)
        },
        answered(tcp(GUESSER), "INVITE", 403),
        answered(tcp(GUESSER), "INVITE", 404),
        // The callee, or a barring behind the upstream, may say so to a customer.
        Answered {
            credentials: USER,
            ..answered(tcp(GUESSER), "INVITE", 403)
        },
        Answered {
            credentials: USER,
            ..answered(tcp(GUESSER), "INVITE", 404)
        },
        answered(tcp(GUESSER), "REGISTER", 200),
    ];
    for _ in 0..20 {
        for answer in &all {
            let verdict = bench.screen.judge_response(answer, bench.now);
            assert!(verdict.alerts.is_empty() && verdict.banned.is_none());
        }
    }
    assert!(!bench.is_denied(GUESSER));
}

#[test]
fn datagrams_without_a_nonce_lock_nobody_out() {
    let bench = Bench::new(config());
    for n in 0..100 {
        let answer = Answered {
            credentials: USER,
            ..answered(udp(&format!("192.0.{n}.1:5060")), "REGISTER", 401)
        };
        bench.screen.judge_response(&answer, bench.now);
    }
    let seen = Seen {
        credentials: USER,
        ..request(udp("198.51.100.1:5060"), "REGISTER")
    };
    assert_eq!(bench.judge(&seen).action, Action::Pass);
}

#[test]
fn every_row_of_credentials_counts() {
    let bench = Bench::new(config());
    let others: [Credentials<'_>; 1] = [(b"100@example.com", b"n")];
    let mut banned = false;
    for n in 0..6 {
        let user = format!("{n}@elsewhere");
        let answer = Answered {
            credentials: Some(user.as_bytes()),
            others: &others,
            ..answered(tcp(GUESSER), "REGISTER", 401)
        };
        banned |= bench
            .screen
            .judge_response(&answer, bench.now)
            .banned
            .is_some();
    }
    assert!(banned);
    // The user of the second row is guessed at, and in the second row he is refused as well.
    let seen = Seen {
        credentials: Some(b"x@elsewhere"),
        others: &others,
        ..request(udp("192.0.2.98:5060"), "REGISTER")
    };
    assert_eq!(code(&bench.judge(&seen)), Some(403));
}

#[test]
fn a_user_that_is_guessed_at_is_refused_to_strangers_alone() {
    let bench = Bench::new(config());
    // From many places, one guess each.
    for n in 0..6 {
        let from = format!("192.0.{n}.1:5060");
        let answer = Answered {
            credentials: USER,
            ..answered(tcp(&from), "REGISTER", 401)
        };
        let verdict = bench.screen.judge_response(&answer, bench.now);
        let is_last = n == 5;
        assert_eq!(events(&verdict).contains(&Event::AuthFailures), is_last);
        assert!(verdict.banned.is_none());
    }
    let register = |from, user| Seen {
        credentials: Some(user),
        ..request(udp(from), "REGISTER")
    };
    let seen = register("192.0.2.99:5060", b"100@example.com");
    assert_eq!(code(&bench.judge(&seen)), Some(403));
    let other = register("192.0.2.99:5060", b"101@example.com");
    assert_eq!(bench.judge(&other).action, Action::Pass);
    // The user's own phone, after it moved to another port; its neighbour in the table does not
    // count.
    bench.screen.accepted(addr("192.0.2.99:7777"), bench.now);
    assert_eq!(bench.judge(&seen).action, Action::Pass);
    let seen = register("192.0.2.98:5060", b"100@example.com");
    assert_eq!(code(&bench.judge(&seen)), Some(403));
    // The same, which is known by its flow.
    let aors: [&[u8]; 1] = [b"100@example.com"];
    let own = Seen {
        aors: &aors,
        ..seen
    };
    assert_eq!(bench.judge(&own).action, Action::Pass);
    bench.screen.accepted(seen.arrival.source, bench.now);
    assert_eq!(bench.judge(&seen).action, Action::Pass);
}
