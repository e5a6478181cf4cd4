use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::key::TemplateError;
use super::*;
use crate::screen::aging::Rank;

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

fn fields<'a>(user: &'a str, called: &'a str) -> Fields<'a> {
    Fields {
        source: IpAddr::from([192, 0, 2, 1]),
        user: user.as_bytes(),
        peer: None,
        ruri_user: called.as_bytes(),
        method: b"INVITE",
        category: None,
        zone: "public",
    }
}

fn class(name: &str, key: &str, calls: u32) -> Limit {
    Limit {
        calls: Some(calls),
        ..Limit::new(name, Template::parse(key).unwrap())
    }
}

fn limits(classes: Vec<Limit>) -> (Limits, Instant) {
    let t0 = origin();
    (Limits::new(classes, Arc::default(), t0), t0)
}

#[test]
fn e21_a_burst_of_fifty_gets_five_places() {
    let (limits, t0) = limits(vec![class("per-user", "{user}", 5)]);
    let admitted = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..5 {
            let (limits, admitted) = (&limits, &admitted);
            scope.spawn(move || {
                for _ in 0..10 {
                    if let Ok(slots) = limits.admit(&fields("100", "200"), t0) {
                        admitted.fetch_add(1, Ordering::Relaxed);
                        // The call goes on.
                        std::mem::forget(slots);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 5);
    assert_eq!(limits.size("per-user", b"100"), 5);
}

#[test]
fn e21_places_are_given_back_once() {
    let (limits, t0) = limits(vec![class("per-user", "{user}", 1)]);
    for _ in 0..100 {
        let slots = limits.admit(&fields("100", "200"), t0).unwrap();
        assert_eq!(limits.size("per-user", b"100"), 1);
        assert!(limits.admit(&fields("100", "200"), t0).is_err());
        drop(slots);
        assert_eq!(limits.size("per-user", b"100"), 0);
    }
    assert!(limits.counts.lock().calls.is_empty());
}

#[test]
fn a_call_gets_all_of_its_places_or_none() {
    let mut paced = class("paced", "{src_ip}", 100);
    paced.cps = Some(Pace { rate: 1, burst: 2 });
    let (limits, t0) = limits(vec![
        paced,
        class("all", "", 10),
        class("user", "{user}", 1),
    ]);
    let held = limits.admit(&fields("100", "200"), t0).unwrap();
    assert_eq!(held.classes().count(), 3);
    let refused = limits.admit(&fields("100", "200"), t0).unwrap_err();
    let class = "user".to_owned();
    assert_eq!(refused, Refused::Calls { class, code: 403 });
    assert_eq!(limits.size("all", b""), 1);
    assert_eq!(limits.size("paced", b"192.0.2.1"), 1);
    // The refused call took nothing of the pace.
    let _second = limits.admit(&fields("101", "200"), t0).unwrap();
    assert!(matches!(
        limits.admit(&fields("102", "200"), t0),
        Err(Refused::Pace { .. })
    ));
    assert_eq!(limits.size("all", b""), 2);
}

#[test]
fn calls_a_second_come_back_with_time() {
    let mut limit = Limit::new("cps", Template::parse("{user}").unwrap());
    limit.cps = Some(Pace { rate: 10, burst: 3 });
    let (limits, t0) = limits(vec![limit]);
    let admit = |ms| limits.admit(&fields("100", "1"), t0 + Duration::from_millis(ms));
    assert!(admit(0).is_ok() && admit(0).is_ok() && admit(0).is_ok());
    let Err(Refused::Pace { wait, .. }) = admit(0) else {
        panic!("a fourth at once");
    };
    assert_eq!(wait, Duration::from_millis(100));
    assert!(admit(99).is_err());
    assert!(admit(100).is_ok());
    assert!(admit(100).is_err());
    // Exactly ten a second in the long run.
    let admitted = (101..=10_100).filter(|ms| admit(*ms).is_ok());
    assert_eq!(admitted.count(), 100);
}

#[test]
fn paces_stay_within_their_bound() {
    let mut limit = Limit::new("cps", Template::parse("{user}").unwrap());
    limit.cps = Some(Pace { rate: 1, burst: 1 });
    let (limits, t0) = limits(vec![limit]);
    let most = bounds::PACES;
    for n in 0..most + 1000 {
        limits.admit(&fields(&n.to_string(), "1"), t0).unwrap();
    }
    assert_eq!(limits.counts.lock().paces.len(), most);
    let last = (most + 999).to_string();
    assert!(limits.admit(&fields(&last, "1"), t0).is_err());
}

#[test]
fn categories_are_part_of_keys_and_conditions() {
    let mut categories = Categories::default();
    let text = "prefix\n900\n0044\n";
    categories.add("HIGHRISK", "risk.csv", text, false).unwrap();
    categories
        .add("PREMIUM", "premium.csv", "prefix\n9001\n", false)
        .unwrap();
    assert!(
        categories
            .add("BAD", "bad.csv", "prefix\nx y\n", false)
            .is_err()
    );
    assert_eq!(categories.of(b"90012"), Some("PREMIUM"));
    assert_eq!(categories.of(b"90022"), Some("HIGHRISK"));
    assert_eq!(categories.of(b"1"), None);
    let mut risky = class("risky", "{user}|{category}", 1);
    risky.category = Some("HIGHRISK".to_owned());
    let by_category = class("each", "{category}", 10);
    let t0 = origin();
    let limits = Limits::new(vec![risky, by_category], Arc::new(categories), t0);
    let _first = limits.admit(&fields("100", "0044123"), t0).unwrap();
    assert!(limits.admit(&fields("100", "9009"), t0).is_err());
    let _second = limits.admit(&fields("100", "123"), t0).unwrap();
    let _third = limits.admit(&fields("101", "90015"), t0).unwrap();
    assert_eq!(
        limits.usage("risky"),
        [(b"100|HIGHRISK".to_vec(), 1), (b"101|HIGHRISK".to_vec(), 1)]
    );
    assert_eq!(
        limits.usage("each"),
        [(b"HIGHRISK".to_vec(), 1), (b"PREMIUM".to_vec(), 1)]
    );
}

#[test]
fn a_class_of_a_peer_is_for_its_calls_alone() {
    let mut limit = class("carrier-a", "{peer}", 1);
    limit.peer = Some("a".to_owned());
    let (limits, t0) = limits(vec![limit]);
    let of = |peer| Fields {
        peer,
        ..fields("100", "1")
    };
    let _held = limits.admit(&of(Some("a")), t0).unwrap();
    assert!(limits.admit(&of(Some("a")), t0).is_err());
    assert!(limits.peek(&of(Some("a")), t0).is_err());
    assert!(limits.admit(&of(Some("b")), t0).is_ok());
    assert!(limits.admit(&of(None), t0).is_ok());
}

#[test]
fn places_outlive_reload_and_restart() {
    let (limits, t0) = limits(vec![class("per-user", "{user}", 2)]);
    let held = limits.admit(&fields("100", "1"), t0).unwrap();
    let keys: Vec<_> = held.keys().map(<[u8]>::to_vec).collect();
    let next = limits.reload(vec![class("per-user", "{user}", 1)], Arc::default());
    assert!(next.admit(&fields("100", "1"), t0).is_err());
    drop(held);
    assert!(next.admit(&fields("100", "1"), t0).is_ok());

    let (after, t0) = self::limits(vec![class("per-user", "{user}", 1)]);
    let restored = after.restore(keys);
    assert!(after.admit(&fields("100", "1"), t0).is_err());
    drop(restored);
    assert!(after.admit(&fields("100", "1"), t0).is_ok());
}

#[test]
fn templates_name_their_fields() {
    let render = |text: &str| {
        let mut out = Vec::new();
        let template = Template::parse(text).unwrap();
        let fields = Fields {
            peer: Some("p"),
            ..fields("100", "200")
        };
        template
            .render(&fields, &mut out)
            .then(|| String::from_utf8(out).unwrap())
    };
    let all = "{src_ip}/{user}/{peer}/{ruri.user}/{ruri_user}/{method}/{zone}";
    assert_eq!(
        render(all).unwrap(),
        "192.0.2.1/100/p/200/200/INVITE/public"
    );
    assert_eq!(render("all").unwrap(), "all");
    assert_eq!(render("{category}"), None);
    let error = Template::parse("{nothing}").unwrap_err();
    assert_eq!(error, TemplateError::Field("nothing".to_owned()));
    for text in ["{user", "user}", "{user}}"] {
        let brace = TemplateError::Brace(text.to_owned());
        assert_eq!(Template::parse(text).unwrap_err(), brace);
    }
}

#[test]
fn number_has_one_key_however_it_is_spelled() {
    let key = |number| {
        let mut out = Vec::new();
        let template = Template::parse("{ruri_user}").unwrap();
        template.render(&fields("100", number), &mut out);
        out
    };
    assert_eq!(key("+88%320099"), key("+8820099"));
    assert_eq!(key("+88-200.99"), key("+8820099"));
}

#[test]
fn the_best_name_of_a_user_counts() {
    let mut user = User::default();
    assert_eq!(user.name(), None);
    user.peer = Some("peer");
    assert_eq!(user.name(), Some(&b"peer"[..]));
    user.accepted = Some(b"accepted");
    assert_eq!(user.name(), Some(&b"accepted"[..]));
    user.aor = Some(b"aor");
    assert_eq!(user.name(), Some(&b"aor"[..]));
    user.digest = Some(b"digest");
    assert_eq!(user.name(), Some(&b"digest"[..]));
}

#[test]
fn buckets_of_many_keys_stay_within_their_bound() {
    let t0 = origin();
    let buckets = Buckets::new(1000, t0);
    let pace = Pace { rate: 1, burst: 1 };
    for n in 0..100_000_u32 {
        buckets
            .take(&n.to_be_bytes(), Rank::Unverified, pace, t0)
            .unwrap();
    }
    assert!(
        buckets
            .take(&99_999_u32.to_be_bytes(), Rank::Unverified, pace, t0)
            .is_err()
    );
    assert!(buckets.peek(&99_999_u32.to_be_bytes(), pace, t0).is_err());
    let none = Pace { rate: 0, burst: 9 };
    assert!(buckets.take(b"x", Rank::Verified, none, t0).is_err());
}
