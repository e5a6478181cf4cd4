//! Rules that keep screening from hurting customers.

use super::*;

const PHONE: &str = "198.51.100.9:5060";

fn scan(arrival: Arrival) -> Seen<'static> {
    Seen {
        user_agent: b"sipvicious",
        ..request(arrival, "OPTIONS")
    }
}

#[test]
fn e16_forged_datagrams_do_not_ban_a_registered_phone() {
    let mut bench = Bench::new(config());
    bench.screen.bind(addr(PHONE), Bond::Binding).unwrap();
    let aors: [&[u8]; 1] = [b"100@example.com"];
    let call = Seen {
        aors: &aors,
        ..request(udp(PHONE), "INVITE")
    };
    for second in 0..120 {
        for _ in 0..5 {
            let verdict = bench.judge(&scan(udp(PHONE)));
            assert_eq!(verdict.action, Action::Drop);
            assert!(verdict.banned.is_none());
            assert_eq!(verdict.alerts[0].action, "drop");
        }
        // The same in the name of another port of the phone's address.
        for _ in 0..50 {
            bench.early("198.51.100.9:9999");
            bench.judge(&scan(udp("198.51.100.9:9999")));
        }
        assert_eq!(bench.early(PHONE).action, Action::Pass, "{second}");
        assert_eq!(bench.judge(&call).action, Action::Pass, "{second}");
        bench.pass_s(1);
    }
    assert_eq!(bench.bans(), [""; 0]);
}

#[test]
fn peers_and_never_ban_are_never_banned() {
    let mut config = config();
    config.never_ban = vec!["192.0.2.0/24".parse().unwrap()];
    let bench = Bench::new(config);
    for from in ["203.0.113.1:5060", "192.0.2.7:5060"] {
        let verdict = bench.judge(&scan(tcp(from)));
        assert_eq!(verdict.action, Action::Drop);
        assert!(verdict.banned.is_none());
        assert!(!bench.is_denied(from));
    }
}

#[test]
fn proven_evidence_bans_another_port_of_a_protected_address_alone() {
    let bench = Bench::new(config());
    bench.screen.bind(addr(PHONE), Bond::Dialog).unwrap();
    // Behind the same NAT, a scanner over TCP.
    assert!(
        bench
            .judge(&scan(tcp("198.51.100.9:4000")))
            .banned
            .is_some()
    );
    assert_eq!(bench.bans(), ["198.51.100.9:4000"]);
    assert!(bench.is_denied("198.51.100.9:4000"));
    assert!(!bench.is_denied(PHONE));
    assert!(bench.judge(&scan(tcp(PHONE))).banned.is_none());
}

#[test]
fn a_live_binding_ends_what_strangers_did_to_the_address() {
    let bench = Bench::new(config());
    bench.judge(&scan(udp(PHONE)));
    assert!(bench.is_denied(PHONE));
    bench.screen.bind(addr(PHONE), Bond::Binding).unwrap();
    assert!(!bench.is_denied(PHONE));
    // An operator means it.
    let ip = addr(PHONE).ip();
    bench.screen.unbind(addr(PHONE), Bond::Binding);
    bench
        .screen
        .ban(ip, None, Duration::from_secs(60), bench.now)
        .unwrap();
    bench.screen.bind(addr(PHONE), Bond::Binding).unwrap();
    assert!(bench.is_denied(PHONE));
}

#[test]
fn an_accepted_request_makes_a_source_trusted_and_a_proven_failure_ends_it() {
    let mut bench = Bench::new(config());
    let options = Seen {
        to_us: true,
        ..request(udp(PHONE), "OPTIONS")
    };
    assert_eq!(bench.judge(&options).action, Action::Drop);
    bench.screen.accepted(addr(PHONE), bench.now);
    assert_eq!(bench.judge(&options).action, Action::Answer);
    assert_eq!(bench.early(PHONE).level, Level::Trusted);
    assert_eq!(bench.early("198.51.100.9:5062").level, Level::Untrusted);
    bench.pass_s(3600);
    assert_eq!(bench.judge(&options).action, Action::Drop);
    bench.screen.accepted(addr(PHONE), bench.now);
    // Anybody can make this one fail.
    let failure = Answered {
        credentials: Some(b"100@example.com"),
        ..answered(udp(PHONE), "REGISTER", 401)
    };
    bench.screen.judge_response(&failure, bench.now);
    assert_eq!(bench.early(PHONE).level, Level::Trusted);
    let proven = Answered {
        arrival: tcp(PHONE),
        ..failure
    };
    bench.screen.judge_response(&proven, bench.now);
    assert_eq!(bench.early(PHONE).level, Level::Untrusted);
}

#[test]
fn a_reload_that_names_a_peer_lifts_its_ban() {
    let bench = Bench::new(config());
    bench.judge(&scan(tcp(PHONE)));
    assert_eq!(bench.bans().len(), 1);
    let mut next = config();
    next.peers[0].sources.push(peer_source("198.51.100.0/24"));
    let screen = bench.screen.reload(next, Arc::default()).unwrap();
    assert_eq!(bench.bans().len(), 1, "it is not in force yet");
    screen.spare();
    assert_eq!(screen.level(addr(PHONE), bench.now), Level::Trusted);
    assert_eq!(screen.bans().len(), 0);
}
