use super::*;

#[test]
fn the_message_after_thirty_in_two_seconds_begins_a_flood() {
    let mut bench = Bench::new(config());
    let from = "198.51.100.9:5060";
    for n in 1..=30 {
        assert_eq!(bench.early(from).action, Action::Pass, "{n}");
        bench.pass_ms(10);
    }
    let early = bench.early(from);
    assert_eq!(
        (early.action, early.stage),
        (Action::Drop, Some(Stage::Flood))
    );
    assert_eq!(early.alert.unwrap().event, Event::Flood);
    // Told once, and held for 120 s from the begin of the flood.
    let early = bench.early("198.51.100.9:6000");
    assert_eq!((early.action, early.alert), (Action::Drop, None));
    bench.pass_ms(119_900);
    assert_eq!(bench.early(from).action, Action::Drop);
    bench.pass_ms(100);
    assert_eq!(bench.early(from).action, Action::Pass);
}

#[test]
fn thirty_in_any_two_seconds_are_no_flood() {
    let mut bench = Bench::new(config());
    // 14 a second for ten minutes, in the worst rhythm: all at once.
    for second in 0..600 {
        for n in 0..14 {
            let early = bench.early("198.51.100.9:5060");
            assert_eq!(early.action, Action::Pass, "{second} {n}");
        }
        bench.pass_s(1);
    }
}

#[test]
fn a_steady_excess_is_found() {
    let mut bench = Bench::new(config());
    let mut passed = 0;
    // 16 a second.
    while bench.early("198.51.100.9:5060").action == Action::Pass {
        passed += 1;
        assert!(passed < 100);
        bench.pass_ms(62);
    }
    assert!((30..=32).contains(&passed), "{passed}");
}

#[test]
fn many_addresses_of_a_network_flood_together() {
    let bench = Bench::new(config());
    let mut passed = 0;
    for n in 0..=255 {
        for _ in 0..2 {
            let early = bench.early(&format!("198.51.100.{n}:5060"));
            passed += u32::from(early.action == Action::Pass);
        }
    }
    assert_eq!(passed, 300);
    assert_eq!(bench.early("198.51.101.1:5060").action, Action::Pass);
    let passed = (0..400).filter(|n| {
        let early = bench.early(&format!("[2001:db8::{n:x}]:5060"));
        early.action == Action::Pass
    });
    assert_eq!(passed.count(), 300);
    assert_eq!(bench.early("[2001:db8:0:1::1]:5060").action, Action::Pass);
}

#[test]
fn peers_and_registered_flows_have_a_class_of_their_own() {
    let mut bench = Bench::new(config());
    let phone = "198.51.100.9:5060";
    bench.screen.bind(addr(phone), Bond::Binding).unwrap();
    let neighbour = "198.51.100.9:5062";
    bench.screen.bind(addr(neighbour), Bond::Binding).unwrap();
    let passed = (0..400).filter(|_| bench.early(phone).action == Action::Pass);
    assert_eq!(passed.count(), 300);
    // What is too much is dropped; nothing is held, and the other phone behind the NAT loses nothing.
    assert_eq!(bench.early(neighbour).action, Action::Pass);
    bench.pass_ms(2001);
    assert_eq!(bench.early(phone).action, Action::Pass);
    // A trunk of 40 calls a second, or somebody who sends in its name, is not cut off.
    for n in 0..10_000 {
        let early = bench.early("203.0.113.1:5060");
        assert_eq!(
            (early.action, early.level),
            (Action::Pass, Level::Trusted),
            "{n}"
        );
    }
    bench.screen.unbind(addr(neighbour), Bond::Binding);
    bench.screen.unbind(addr(phone), Bond::Binding);
    bench.pass_s(3);
    let passed = (0..400).filter(|_| bench.early(phone).action == Action::Pass);
    assert_eq!(passed.count(), 30);
}

#[test]
fn e17_a_flood_takes_nothing_from_others() {
    let mut bench = Bench::new(config());
    let (mut floods, mut passed) = (0, 0);
    for ms in 0..10_000_u64 {
        let early = bench.early("198.51.100.66:5060");
        floods += u32::from(early.alert.is_some());
        passed += u32::from(early.action == Action::Pass);
        // 50 calls a second of a peer, two messages each.
        if ms % 10 == 0 {
            assert_eq!(bench.early("203.0.113.2:5060").action, Action::Pass, "{ms}");
        }
        bench.pass_ms(1);
    }
    assert_eq!((floods, passed), (1, 30));
    // Nor from its neighbours.
    assert_eq!(bench.early("198.51.100.67:5060").action, Action::Pass);
}

#[test]
fn another_window_starts_anew() {
    let mut bench = Bench::new(config());
    bench.pass_s(100_000);
    let from = "198.51.100.9:5060";
    for seconds in [2, 20, 1, 3] {
        let mut next = config();
        next.zones[0].flood.window = Duration::from_secs(seconds);
        bench.screen = bench.screen.reload(next, Arc::default()).unwrap();
        for n in 0..50 {
            assert_eq!(bench.early(from).action, Action::Pass, "{seconds} {n}");
            bench.pass_ms(seconds * 40);
        }
    }
}

#[test]
fn inside_nothing_is_counted() {
    let bench = Bench::new(config());
    let arrival = Arrival {
        zone: 2,
        ..udp("10.0.0.7:5060")
    };
    for _ in 0..1000 {
        let early = bench.screen.judge_before_parsing(&arrival, b"", bench.now);
        assert_eq!(early.action, Action::Pass);
    }
}

#[test]
fn strangers_get_their_share_of_a_busy_shard() {
    let t0 = origin();
    let mut share = share::Share::new(30, t0);
    let mut now = t0;
    let mut taken = 0;
    for _ in 0..100 {
        if share.may_take(Level::Untrusted, true, now) {
            share.spend(Level::Untrusted, Duration::from_millis(1), now);
            taken += 1;
        }
        assert!(share.may_take(Level::Trusted, true, now));
        now += Duration::from_millis(1);
    }
    assert_eq!(taken, 30);
    assert!(share.may_take(Level::Untrusted, true, now), "a new period");
    share.spend(Level::Untrusted, Duration::from_millis(50), now);
    assert!(!share.may_take(Level::Untrusted, true, now));
    assert!(share.may_take(Level::Untrusted, false, now), "nobody waits");
}
