use super::super::ban::Evidence;
use super::*;

const SCANNER: &str = "198.51.100.66:5060";

fn scan(arrival: Arrival) -> Seen<'static> {
    Seen {
        user_agent: b"friendly-scanner",
        ..request(arrival, "OPTIONS")
    }
}

#[test]
fn e13_a_scanner_gets_silence_a_line_and_a_ban() {
    let bench = Bench::new(config());
    for method in ["OPTIONS", "INVITE", "REGISTER"] {
        let verdict = bench.judge(&Seen {
            user_agent: b"friendly-scanner",
            ..request(udp(SCANNER), method)
        });
        assert_eq!(verdict.action, Action::Drop);
        assert_eq!(events(&verdict), [Event::Scanner]);
    }
    assert_eq!(bench.bans(), ["198.51.100.66"]);
    let early = bench.early("198.51.100.66:1234");
    assert_eq!(
        (early.action, early.stage),
        (Action::Drop, Some(Stage::Bans))
    );
    assert_eq!(early.level, Level::Denied);
    assert_eq!(bench.early("198.51.100.67:5060").action, Action::Pass);
}

#[test]
fn a_datagram_bans_for_a_minute_and_twice_as_long_each_time() {
    let mut bench = Bench::new(config());
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        let banned = bench.judge(&scan(udp(SCANNER))).banned.unwrap();
        assert_eq!(banned.lasts, Duration::from_secs(minutes * 60));
        assert_eq!(banned.ban.evidence, Evidence::Unverified);
        bench.pass_ms(minutes * 60_000 - 100);
        assert!(bench.is_denied(SCANNER), "{minutes}");
        bench.pass_ms(100);
        assert!(!bench.is_denied(SCANNER), "{minutes}");
    }
    // An hour of good conduct is a new start.
    bench.pass_s(3600);
    let banned = bench.judge(&scan(udp(SCANNER))).banned.unwrap();
    assert_eq!(banned.lasts, Duration::from_secs(60));
}

#[test]
fn a_stream_bans_for_an_hour_at_once() {
    let mut bench = Bench::new(config());
    let banned = bench.judge(&scan(tcp(SCANNER))).banned.unwrap();
    assert_eq!(banned.lasts, Duration::from_secs(3600));
    assert_eq!(banned.ban.evidence, Evidence::Verified);
    bench.pass_ms(3_599_900);
    assert!(bench.is_denied(SCANNER));
    bench.pass_ms(100);
    assert!(!bench.is_denied(SCANNER));
}

#[test]
fn better_evidence_makes_a_ban_longer_and_worse_does_not_shorten_it() {
    let bench = Bench::new(config());
    bench.judge(&scan(udp(SCANNER)));
    // It came before the ban, by another shard.
    bench.judge(&scan(tcp(SCANNER)));
    let (_, ban) = bench.screen.bans()[0];
    assert_eq!(
        bench.screen.remaining(&ban, bench.now),
        Duration::from_secs(3600)
    );
    bench.judge(&scan(udp(SCANNER)));
    let (_, ban) = bench.screen.bans()[0];
    assert_eq!(
        bench.screen.remaining(&ban, bench.now),
        Duration::from_secs(3600)
    );
    assert_eq!(ban.evidence, Evidence::Verified);
}

#[test]
fn the_end_of_a_ban_is_told_once() {
    let mut bench = Bench::new(config());
    bench.judge(&scan(udp(SCANNER)));
    bench.early(SCANNER);
    bench.early(SCANNER);
    let mut told = Vec::new();
    for _ in 0..7500 {
        bench.pass_s(1);
        let now = bench.now - bench.t0;
        bench.screen.handle_timeout(bench.now, |source, ban| {
            told.push((source.to_string(), ban.refused, now.as_secs()));
        });
    }
    assert_eq!(told, [("198.51.100.66".to_owned(), 2, 60)]);
    assert_eq!(bench.screen.bans().len(), 0, "forgotten after an hour");
}

#[test]
fn an_operator_bans_and_lifts_addresses_and_ports() {
    let bench = Bench::new(config());
    let ban = |ip: &str, port| {
        let lasts = Duration::from_secs(10);
        bench
            .screen
            .ban(ip.parse().unwrap(), port, lasts, bench.now)
    };
    ban("192.0.2.1", Some(5060)).unwrap();
    assert!(bench.is_denied("192.0.2.1:5060"));
    assert!(!bench.is_denied("192.0.2.1:5061"));
    ban("2001:db8::1", None).unwrap();
    assert!(bench.is_denied("[2001:db8::1]:1"));
    assert_eq!(ban("203.0.113.1", None).unwrap_err(), BanError::Protected);
    assert_eq!(bench.bans(), ["192.0.2.1:5060", "2001:db8::1"]);
    for (source, _) in bench.screen.bans() {
        assert!(bench.screen.lift(source).is_some());
        assert!(bench.screen.lift(source).is_none());
    }
    assert!(!bench.is_denied("192.0.2.1:5060"));
}

#[test]
fn an_address_is_the_same_through_a_socket_of_ipv6() {
    let bench = Bench::new(config());
    bench.judge(&scan(udp("[::ffff:198.51.100.66]:5060")));
    assert!(bench.is_denied(SCANNER));
}

#[test]
fn unverified_bans_make_room_and_verified_ones_stay() {
    let mut config = config();
    config.tables.bans = 0;
    let bench = Bench::new(config);
    // All in one /24, so in one part of the table, which has room for 16.
    let from = |n: u8| format!("198.51.100.{n}:5060");
    for n in 1..=10 {
        bench.judge(&scan(tcp(&from(n))));
    }
    for n in 11..=250 {
        bench.judge(&scan(udp(&from(n))));
    }
    assert_eq!(bench.bans().len(), 16);
    assert_eq!(bench.screen.usage().bans, 16);
    for n in (1..=10).chain(245..=250) {
        assert!(bench.is_denied(&from(n)), "{n}");
    }
}

#[test]
fn e15_fake200_answers_register_and_options_once_a_second() {
    let mut config = config();
    set(&mut config, Stage::Fingerprints, Do::Fake200);
    let mut bench = Bench::new(config);
    let fake = |bench: &Bench, method| {
        let seen = Seen {
            user_agent: b"friendly-scanner",
            ..request(udp(SCANNER), method)
        };
        bench.judge(&seen).action
    };
    assert_eq!(fake(&bench, "INVITE"), Action::Drop);
    assert_eq!(fake(&bench, "REGISTER"), Action::Fake200);
    assert_eq!(fake(&bench, "REGISTER"), Action::Drop);
    bench.pass_ms(999);
    assert_eq!(fake(&bench, "OPTIONS"), Action::Drop);
    bench.pass_ms(101);
    assert_eq!(fake(&bench, "OPTIONS"), Action::Fake200);
    assert!(may_fake(300, 300) && !may_fake(301, 300));
}

#[test]
fn e15_a_banned_source_can_be_lied_to_before_parsing() {
    let mut config = config();
    set(&mut config, Stage::Bans, Do::Fake200);
    let bench = Bench::new(config);
    bench.judge(&scan(tcp(SCANNER)));
    let early = |bytes: &[u8]| {
        let early = bench
            .screen
            .judge_before_parsing(&udp(SCANNER), bytes, bench.now);
        early.action
    };
    assert_eq!(early(b"INVITE sip:1@example.com SIP/2.0\r\n"), Action::Drop);
    assert_eq!(
        early(b"REGISTER sip:example.com SIP/2.0\r\n"),
        Action::Fake200
    );
    assert_eq!(early(b"REGISTER sip:example.com SIP/2.0\r\n"), Action::Drop);
    assert_eq!(early(b""), Action::Drop);
}
