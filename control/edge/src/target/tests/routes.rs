use super::*;

fn matching(set: impl FnOnce(&mut RouteMatch)) -> RouteMatch {
    let mut matching = RouteMatch::default();
    set(&mut matching);
    matching
}

fn seen<'a>(host: &'a str, user: &'a str) -> Seen<'a> {
    Seen {
        from_zone: "public",
        method: b"INVITE",
        ruri_user: user.as_bytes(),
        ruri_host: host.as_bytes(),
        ..Seen::default()
    }
}

fn decided(routes: &Routes, seen: &Seen<'_>) -> Option<usize> {
    match routes.decide(seen) {
        Decision::Rule(rule) => Some(rule.number),
        Decision::NotFound => None,
    }
}

#[test]
fn peer_then_longest_prefix_then_order_of_the_file() {
    let pools = pools(&[pool("p", 1)]);
    let matches = [
        matching(|m| m.domain = Some("Example.com".into())),
        matching(|m| m.prefix = Some("+49".into())),
        matching(|m| m.prefix = Some("+4930".into())),
        matching(|m| m.peer = Some("carrier".into())),
        matching(|m| m.domain = Some("*.example.com".into())),
        matching(|m| m.methods = vec!["REGISTER".into(), "SUBSCRIBE".into()]),
        matching(|m| m.from_zone = Some("core".into())),
    ];
    let routes: Vec<_> = matches.map(|m| RouteConfig::new(m, &["p"])).into();
    let routes = Routes::new(&routes, &pools).unwrap();
    let number = |seen: &Seen<'_>| decided(&routes, seen);
    assert_eq!(number(&seen("EXAMPLE.com", "bob")), Some(1));
    assert_eq!(number(&seen("example.com.", "bob")), Some(1));
    assert_eq!(number(&seen("example.com", "+4940")), Some(2));
    assert_eq!(number(&seen("example.com", "+4930")), Some(3));
    assert_eq!(number(&seen("example.com", "+4-9%330")), Some(3));
    let of_peer = Seen {
        peer: Some("carrier"),
        ..seen("example.com", "+4930")
    };
    assert_eq!(number(&of_peer), Some(4));
    assert_eq!(number(&seen("sip.example.com", "bob")), Some(5));
    assert_eq!(number(&seen("badexample.com", "bob")), None);
    assert_eq!(number(&seen(".example.com", "bob")), None);
    let register = Seen {
        method: b"REGISTER",
        ..seen("x.example", "")
    };
    assert_eq!(number(&register), Some(6));
    let inside = Seen {
        from_zone: "core",
        ..seen("x.example", "")
    };
    assert_eq!(number(&inside), Some(7));
}

#[test]
fn all_conditions_must_hold() {
    let pools = pools(&[pool("p", 1)]);
    let both = matching(|m| {
        m.domain = Some("example.com".into());
        m.from_zone = Some("core".into());
    });
    let routes = Routes::new(&[RouteConfig::new(both, &["p"])], &pools).unwrap();
    assert_eq!(decided(&routes, &seen("example.com", "")), None);
}

#[test]
fn faults_of_routes_are_named() {
    let pools = pools(&[pool("p", 1)]);
    let fault = |config: RouteConfig| Routes::new(&[config], &pools).unwrap_err().to_string();
    assert_eq!(
        fault(to(&["p", "q"])),
        "route 1 names the pool q, which does not exist"
    );
    assert_eq!(fault(to(&[])), "route 1 names no pool");
    let mut config = to(&["p"]);
    config.resources = Some(vec!["video".into()]);
    let text = "route 1 asks for the resource video, which no target of its pools has";
    assert_eq!(fault(config), text);
    let mut config = to(&["p"]);
    config.failover.codes = vec![CodeRange(480, 490)];
    let text = "failover code 486 is an answer: no other target is tried after it";
    assert_eq!(fault(config), text);
    let mut config = to(&["p"]);
    config.failover.answer_timeout = Duration::ZERO;
    assert_eq!(fault(config), "the answer timeout is zero");
}

#[test]
fn explanation_names_rule_targets_and_reasons() {
    let mut config = pool("p", 6);
    config.targets[5].group = 1;
    for target in &mut config.targets[1..] {
        target.resources = vec![("channels".into(), 1)];
    }
    let pools = pools(&[config]);
    let set = |id: &str, admin| {
        let change = Change {
            state: Some(admin),
            ..Change::default()
        };
        pools.set(id, &change).unwrap();
    };
    set("p-2", Admin::Drain);
    set("p-3", Admin::Down);
    (0..3).for_each(|_| drop(target(&pools, "p-4").miss()));
    let held = target(&pools, "p-5").reserve(None).unwrap();
    let first = RouteConfig::new(matching(|m| m.peer = Some("carrier".into())), &["p"]);
    let mut second = to(&["p"]);
    second.resources = Some(vec!["channels".into()]);
    let routes = Routes::new(&[first, second], &pools).unwrap();
    let explained = routes.explain(&pools, &seen("example.com", "bob"), &mut rng());
    assert_eq!(
        explained.to_string(),
        "route 1 does not fit: peer\n\
         route 2 fits\n\
         p-5 sip:192.0.2.5 group 0: no free slot\n\
         p-6 sip:192.0.2.6 group 1: tried as number 1\n\
         p-1 sip:192.0.2.1 group 0: lacks a resource that the route asks for\n\
         p-2 sip:192.0.2.2 group 0: takes no new calls (drain)\n\
         p-3 sip:192.0.2.3 group 0: down: switched off\n\
         p-4 sip:192.0.2.4 group 0: down: it does not answer\n"
    );
    // It is what a call does.
    let Decision::Rule(rule) = routes.decide(&seen("example.com", "bob")) else {
        panic!();
    };
    let none = Seen::default();
    let mut pick = Pick::new(start(), pools.clone(), rule, Kind::Invite, &none, None);
    let Step::Try(attempt) = pick.start(start(), &mut rng()) else {
        panic!();
    };
    assert_eq!(&*attempt.target.unwrap().id, "p-6");
    held.release();
}

#[test]
fn explanation_of_the_ends_without_targets() {
    let pools = pools(&[pool("p", 1)]);
    let explain = |routes: &Routes| {
        routes
            .explain(&pools, &Seen::default(), &mut rng())
            .to_string()
    };
    assert_eq!(explain(&Routes::default()), "no route fits: 404\n");
    let mut config = to(&["p"]);
    let routes = Routes::new(&[config.clone()], &pools).unwrap();
    (0..3).for_each(|_| drop(target(&pools, "p-1").miss()));
    assert!(explain(&routes).ends_with("no target is left: 503\n"));
    config.to = RouteTo::RequestUri;
    let routes = Routes::new(&[config], &pools).unwrap();
    assert_eq!(explain(&routes), "route 1 fits: to the Request-URI\n");
}
