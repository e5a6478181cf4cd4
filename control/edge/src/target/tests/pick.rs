use rand::Rng;

use super::*;
use crate::resolve::{Address, ResolveError};
use crate::transport::Protocol;

/// One request and its clock.
struct Call {
    pick: Pick,
    pools: Arc<Pools>,
    now: Instant,
    rng: SmallRng,
}

impl Call {
    fn new(pools: &Arc<Pools>, route: RouteConfig) -> Self {
        Self::of(pools, route, Kind::Invite)
    }

    fn of(pools: &Arc<Pools>, route: RouteConfig, kind: Kind) -> Self {
        let now = start();
        let rule = rule(pools, route);
        let pick = Pick::new(now, pools.clone(), rule, kind, &Seen::default(), None);
        Self {
            pick,
            pools: pools.clone(),
            now,
            rng: rng(),
        }
    }

    fn start(&mut self) -> Step {
        self.pick.start(self.now, &mut self.rng)
    }

    fn next(&mut self, outcome: Outcome) -> Step {
        self.pick.next(self.now, outcome, &mut self.rng)
    }

    fn resolved(&mut self, result: Result<Vec<Address>, ResolveError>) -> Step {
        self.pick.resolved(self.now, result, &mut self.rng)
    }

    /// Lets time pass until the pick wants something.
    fn wait(&mut self) -> Step {
        self.now = self.pick.next_timeout().unwrap();
        let outcome = self.pick.timed_out(self.now).unwrap();
        self.next(outcome)
    }

    fn answer(&mut self) -> Option<Held> {
        assert_eq!(end(self.next(Outcome::Final(200))), End::Answered);
        self.pick.take_held()
    }
}

fn tried(step: Step) -> Attempt {
    match step {
        Step::Try(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

/// The target that is tried, in short: `p-1`.
fn id(step: Step) -> String {
    tried(step).target.unwrap().id.to_string()
}

fn end(step: Step) -> End {
    match step {
        Step::Done(end) => end,
        other => panic!("{other:?}"),
    }
}

fn relay(code: u16, attempt: usize) -> End {
    End::Relay { code, attempt }
}

/// A response of our own, without the time of a Retry-After.
fn refusal(step: Step) -> u16 {
    match end(step) {
        End::Refuse { code, retry_after } => {
            assert_eq!(retry_after.is_some(), code == 503);
            code
        }
        other => panic!("{other:?}"),
    }
}

fn address(n: u8) -> Address {
    Address {
        protocol: Protocol::Udp,
        peer: ([198, 51, 100, n], 5060).into(),
        server_name: Some("pbx.example.com".into()),
    }
}

fn contact(uri: &str) -> Contact {
    Contact::parse(uri.as_bytes()).unwrap()
}

/// A way to fail: of a call, and of a probe.
type Failure<'a> = (&'a dyn Fn(&mut Call) -> Step, Option<ProbeResult>);

#[test]
fn e11_next_target_answers_in_less_than_five_seconds() {
    let dead = |call: &mut Call| call.next(Outcome::Unreachable);
    let busy = |call: &mut Call| call.next(Outcome::Final(503));
    let silent = |call: &mut Call| call.wait();
    let failures: [Failure<'_>; 3] = [
        (&dead, Some(ProbeResult::Unreachable)),
        (&busy, Some(ProbeResult::Answered(503))),
        (&silent, None),
    ];
    for (fail_call, fail_probe) in failures {
        let mut config = pool("p", 2);
        config.probe = Probe::Always;
        let pools = pools(&[config]);
        let mut call = Call::new(&pools, to(&["p"]));
        let began = call.now;
        assert_eq!(id(call.start()), "p-1");
        let second = tried(fail_call(&mut call));
        assert_eq!(second.number, 2, "both are in the record of the call");
        assert_eq!(&*second.target.unwrap().id, "p-2");
        call.answer().unwrap().release();
        assert!(call.now - began < secs(5), "{fail_probe:?}");
        // Probing marks it down, and calls go to the second one at once.
        let mut probes = Probes::new(&pools);
        let is_first = |probe: &ToProbe| &*probe.target.id == "p-1";
        let alive = Some(ProbeResult::Answered(200));
        probes.run(
            secs(100),
            |probe| if is_first(probe) { fail_probe } else { alive },
        );
        assert_eq!(
            events(&pools),
            [("p-1".into(), Health::Down, Cause::Misses(3))]
        );
        let mut call = Call::new(&pools, to(&["p"]));
        assert_eq!(id(call.start()), "p-2");
        call.answer().unwrap().release();
        // And up again.
        probes.run(secs(34), |_| alive);
        assert_eq!(events(&pools), [("p-1".into(), Health::Up, Cause::Answer)]);
        let mut call = Call::new(&pools, to(&["p"]));
        assert_eq!(id(call.start()), "p-1");
        call.answer().unwrap().release();
        assert_eq!(calls(&pools), [0, 0]);
    }
}

/// A prober and its clock.
struct Probes {
    prober: Prober,
    now: Instant,
    rng: SmallRng,
}

impl Probes {
    fn new(pools: &Arc<Pools>) -> Self {
        let (now, mut rng) = (start(), rng());
        let prober = Prober::new(now, pools.clone(), &mut rng);
        Self { prober, now, rng }
    }

    fn run(&mut self, time: Duration, end: impl Fn(&ToProbe) -> Option<ProbeResult>) {
        let until = self.now + time;
        while let Some(at) = self.prober.next_timeout().filter(|at| *at <= until) {
            self.now = at;
            while let Some(probe) = self.prober.poll(at, &mut self.rng) {
                if let Some(result) = end(&probe) {
                    self.prober.handle_result(probe.number, result);
                }
            }
        }
        self.now = until;
    }
}

#[test]
fn target_that_does_not_answer_calls_is_down_after_three() {
    for outcome in [Outcome::Unreachable, Outcome::NoResponse] {
        let pools = pools(&[pool("p", 2)]);
        for expected in ["p-1", "p-1", "p-1", "p-2"] {
            let mut call = Call::new(&pools, to(&["p"]));
            let mut tried = id(call.start());
            assert_eq!(tried, expected);
            if tried == "p-1" {
                tried = id(call.next(outcome.clone()));
            }
            assert_eq!(tried, "p-2");
            call.answer().unwrap().release();
        }
        // The default probes it from now on.
        Probes::new(&pools).run(secs(34), |_| Some(ProbeResult::Answered(200)));
        assert!(target(&pools, "p-1").is_usable());
    }
}

#[test]
fn target_that_answers_others_is_not_taken_down_by_what_it_never_answers() {
    let pools = pools(&[pool("p", 1)]);
    let mut ignored: Vec<Call> = (0..5).map(|_| Call::new(&pools, to(&["p"]))).collect();
    for call in &mut ignored {
        tried(call.start());
    }
    let mut customer = Call::new(&pools, to(&["p"]));
    tried(customer.start());
    customer.answer().unwrap().release();
    for call in &mut ignored {
        end(call.next(Outcome::NoResponse));
    }
    assert!(pools.is_available("p"));
    // Nobody gets an answer any more.
    for _ in 0..3 {
        let mut call = Call::new(&pools, to(&["p"]));
        tried(call.start());
        end(call.next(Outcome::NoResponse));
    }
    assert!(!pools.is_available("p"));
}

#[test]
fn calls_refused_with_503_take_no_target_from_the_others() {
    let pools = pools(&[pool("p", 1)]);
    for _ in 0..10 {
        let mut call = Call::new(&pools, to(&["p"]));
        tried(call.start());
        assert_eq!(end(call.next(Outcome::Final(503))), relay(503, 1));
    }
    assert!(pools.is_available("p"));
}

#[test]
fn e12_two_targets_with_ten_channels_and_thirty_calls() {
    for algorithm in [
        Algorithm::Resource(Slots::Absolute),
        Algorithm::Hash(HashKey::CallId),
    ] {
        let mut config = pool("p", 2);
        config.algorithm = algorithm;
        for target in &mut config.targets {
            target.resources = vec![("channels".into(), 10)];
        }
        let pools = pools(&[config]);
        let mut running = Vec::new();
        let mut refused = 0;
        for _ in 0..30 {
            let mut call = Call::new(&pools, to(&["p"]));
            match call.start() {
                Step::Try(_) => running.extend(call.answer()),
                done => {
                    assert_eq!(refusal(done), 503);
                    refused += 1;
                }
            }
        }
        assert_eq!(
            (calls(&pools), refused),
            (vec![10, 10], 10),
            "{algorithm:?}"
        );
        // A slot is free as soon as its call has ended.
        running.pop().unwrap().release();
        let mut call = Call::new(&pools, to(&["p"]));
        tried(call.start());
        running.extend(call.answer());
        running.into_iter().for_each(Held::release);
        assert_eq!(calls(&pools), [0, 0]);
        assert!(pools.targets().all(|t| t.resources()[0].used() == 0));
    }
}

#[test]
fn full_targets_give_way_to_the_next_group_and_pool() {
    let mut first = pool("p", 2);
    first.targets[1].group = 1;
    for target in &mut first.targets {
        target.resources = vec![("channels".into(), 1)];
    }
    let second = PoolConfig::new("q", "core", &["sip:192.0.2.9"]);
    let pools = pools(&[first, second]);
    let mut began = Vec::new();
    for expected in ["p-1", "p-2", "q-1", "q-1"] {
        let mut call = Call::new(&pools, to(&["p", "q"]));
        assert_eq!(id(call.start()), expected);
        began.push(call);
    }
    for mut call in began {
        assert_eq!(end(call.next(Outcome::Cancelled)), End::Cancelled);
    }
    assert_eq!(calls(&pools), [0, 0, 0]);
}

#[test]
fn route_takes_the_resources_that_it_names() {
    let mut config = pool("p", 2);
    config.targets[0].resources = vec![("channels".into(), 5), ("video".into(), 1)];
    config.targets[1].resources = vec![("channels".into(), 5)];
    let pools = pools(&[config]);
    let mut route = to(&["p"]);
    route.resources = Some(vec!["video".into()]);
    let mut call = Call::new(&pools, route.clone());
    assert_eq!(id(call.start()), "p-1");
    let held = call.answer().unwrap();
    let used = |at: usize| target(&pools, "p-1").resources()[at].used();
    assert_eq!((used(0), used(1)), (0, 1));
    // The other target has no video at all.
    assert_eq!(refusal(Call::new(&pools, route).start()), 503);
    held.release();
    assert_eq!((used(0), used(1)), (0, 0));
}

#[test]
fn requests_other_than_invite_take_no_slot() {
    let mut config = pool("p", 1);
    config.targets[0].resources = vec![("channels".into(), 0)];
    let pools = pools(&[config]);
    let mut call = Call::of(&pools, to(&["p"]), Kind::Other);
    tried(call.start());
    assert!(call.answer().is_none());
    assert_eq!(refusal(Call::new(&pools, to(&["p"])).start()), 503);
}

#[test]
fn answers_are_relayed_at_once() {
    let pools = pools(&[pool("p", 2)]);
    for code in [302, 401, 403, 404, 407, 423, 480, 486, 487, 600, 603] {
        let mut call = Call::new(&pools, to(&["p"]));
        tried(call.start());
        assert_eq!(end(call.next(Outcome::Final(code))), relay(code, 1));
    }
    assert_eq!(calls(&pools), [0, 0]);
    assert!(pools.targets().all(|t| t.live().misses() == 0));
}

#[test]
fn failures_go_on_to_the_next_target() {
    let pools = pools(&[pool("p", 2)]);
    for code in [408, 500, 502, 504, 580] {
        let mut call = Call::new(&pools, to(&["p"]));
        assert_eq!(id(call.start()), "p-1");
        assert_eq!(id(call.next(Outcome::Final(code))), "p-2", "{code}");
        assert_eq!(calls(&pools), [0, 1], "the first slot is free");
        call.answer().unwrap().release();
    }
    let mut route = to(&["p"]);
    route.failover.codes = vec![CodeRange(404, 404)];
    let mut call = Call::new(&pools, route);
    tried(call.start());
    assert_eq!(id(call.next(Outcome::Final(404))), "p-2");
    assert_eq!(end(call.next(Outcome::Final(500))), relay(500, 2));
}

#[test]
fn registrar_that_refuses_a_user_is_no_failed_node() {
    let mut config = pool("p", 3);
    config.algorithm = Algorithm::Hash(HashKey::Aor);
    let pools = pools(&[config]);
    let mut route = to(&["p"]);
    route.failover.codes.push(CodeRange(403, 404));
    for code in [401, 403, 404, 423] {
        let mut call = Call::of(&pools, route.clone(), Kind::Register);
        tried(call.start());
        assert_eq!(end(call.next(Outcome::Final(code))), relay(code, 1));
    }
    let mut call = Call::of(&pools, route.clone(), Kind::Register);
    let first = id(call.start());
    let second = id(call.next(Outcome::Final(503)));
    assert_ne!(first, second);
    let mut call = Call::of(&pools, route, Kind::Register);
    assert_eq!(id(call.start()), first, "one failure moves nobody");
}

#[test]
fn lowest_class_of_failures_is_relayed() {
    let pools = pools(&[pool("p", 3)]);
    let ends = |outcomes: [Outcome; 3]| {
        let mut route = to(&["p"]);
        route.failover.codes.push(CodeRange(480, 484));
        let mut call = Call::new(&pools, route);
        tried(call.start());
        let [first, second, third] = outcomes;
        tried(call.next(first));
        tried(call.next(second));
        let end = end(call.next(third));
        let up = Change {
            state: Some(Admin::Up),
            ..Change::default()
        };
        for id in ["p-1", "p-2", "p-3"] {
            pools.set(id, &up).unwrap();
        }
        end
    };
    let code = Outcome::Final;
    assert_eq!(ends([code(503), code(500), code(503)]), relay(503, 1));
    assert_eq!(ends([code(500), code(480), code(503)]), relay(480, 2));
    assert_eq!(ends([code(480), code(484), code(480)]), relay(484, 2));
    let local = End::Refuse {
        code: 408,
        retry_after: None,
    };
    assert_eq!(ends([code(500), Outcome::NoResponse, code(503)]), local);
    assert!(matches!(
        ends([Outcome::Unreachable, Outcome::Unreachable, Outcome::Unreachable]),
        End::Refuse { code: 503, retry_after: Some(after) } if (secs(5)..=secs(30)).contains(&after)
    ));
}

#[test]
fn all_targets_down_is_503_with_retry_after() {
    let pools = pools(&[pool("p", 2)]);
    for target in pools.targets() {
        (0..3).for_each(|_| drop(target.miss()));
    }
    for kind in [Kind::Invite, Kind::Other] {
        let mut call = Call::of(&pools, to(&["p"]), kind);
        assert_eq!(refusal(call.start()), 503);
    }
    assert!(!pools.is_available("p"));
}

#[test]
fn cancelled_request_tries_nothing_more() {
    let pools = pools(&[pool("p", 2)]);
    let mut call = Call::new(&pools, to(&["p"]));
    tried(call.start());
    assert_eq!(end(call.next(Outcome::Cancelled)), End::Cancelled);
    // The 487 of the branch comes later, and changes nothing.
    assert_eq!(end(call.next(Outcome::Final(487))), End::Cancelled);
    assert_eq!(end(call.resolved(Ok(vec![address(1)]))), End::Cancelled);
    assert_eq!(calls(&pools), [0, 0]);
    assert_eq!(call.pick.next_timeout(), None);
}

#[test]
fn early_media_ends_the_search() {
    let pools = pools(&[pool("p", 2)]);
    let mut call = Call::new(&pools, to(&["p"]));
    tried(call.start());
    call.pick.progress(183, true);
    assert_eq!(end(call.next(Outcome::Final(500))), relay(500, 1));
    let mut route = to(&["p"]);
    route.failover.after_early_media = true;
    let mut call = Call::new(&pools, route);
    tried(call.start());
    call.pick.progress(183, true);
    assert_eq!(id(call.next(Outcome::Final(500))), "p-2");
    // Ringing is no media.
    let mut call = Call::new(&pools, to(&["p"]));
    tried(call.start());
    call.pick.progress(180, false);
    assert_eq!(id(call.next(Outcome::Final(500))), "p-2");
}

#[test]
fn timers_follow_the_responses() {
    let pools = pools(&[pool("p", 2)]);
    let mut route = to(&["p"]);
    route.failover.ringing_timeout = Some(secs(15));
    let mut call = Call::new(&pools, route);
    let began = call.now;
    let due = |call: &Call| call.pick.next_timeout().unwrap() - began;
    tried(call.start());
    assert_eq!(due(&call), secs(4), "answer timeout");
    assert_eq!(call.pick.timed_out(began + secs(3)), None);
    call.pick.progress(100, false);
    assert_eq!(due(&call), secs(15), "ringing timeout");
    assert_eq!(
        call.pick.timed_out(began + secs(15)),
        Some(Outcome::NotRinging)
    );
    call.pick.progress(180, false);
    assert_eq!(due(&call), secs(120), "time for all");
    assert_eq!(
        call.pick.timed_out(began + secs(120)),
        Some(Outcome::RingTimeout)
    );
    assert_eq!(refusal(call.wait()), 408);
    assert_eq!(call.now - began, secs(120));
    assert_eq!(calls(&pools), [0, 0]);
    assert_eq!(target(&pools, "p-1").live().misses(), 0, "it rang");
}

#[test]
fn target_that_does_not_ring_gives_way() {
    let pools = pools(&[pool("p", 2)]);
    let mut route = to(&["p"]);
    route.failover.ringing_timeout = Some(secs(15));
    let mut call = Call::new(&pools, route);
    tried(call.start());
    call.pick.progress(100, false);
    assert_eq!(id(call.wait()), "p-2");
}

#[test]
fn total_time_bounds_silent_targets() {
    let mut route = to(&["p"]);
    route.failover.ring_timeout = secs(10);
    let pools = pools(&[pool("p", 9)]);
    let mut call = Call::new(&pools, route.clone());
    let began = call.now;
    let mut step = call.start();
    let mut attempts = 0;
    while let Step::Try(_) = step {
        attempts += 1;
        step = call.wait();
    }
    assert_eq!((attempts, refusal(step)), (3, 408));
    assert_eq!(call.now - began, secs(10));
    // Other requests have a time of their own.
    let mut call = Call::of(&pools, route, Kind::Other);
    tried(call.start());
    call.pick.progress(100, false);
    assert_eq!(call.pick.next_timeout(), Some(call.now + secs(30)));
}

#[test]
fn attempts_are_bounded() {
    let pools = pools(&[pool("p", 100)]);
    let mut call = Call::new(&pools, to(&["p"]));
    let mut step = call.start();
    let mut attempts = 0;
    while let Step::Try(_) = step {
        attempts += 1;
        step = call.next(Outcome::Final(500));
    }
    assert_eq!(attempts, crate::limits::ATTEMPTS);
    assert_eq!(end(step), relay(500, 1));
}

fn named() -> Arc<Pools> {
    let uris = ["sip:pbx.example.com", "sip:192.0.2.9"];
    pools(&[PoolConfig::new("p", "core", &uris)])
}

#[test]
fn each_address_of_a_name_is_tried_before_the_next_target() {
    let pools = named();
    for outcome in [
        Outcome::Final(503),
        Outcome::Unreachable,
        Outcome::NoResponse,
    ] {
        let outcome_is_miss = !matches!(outcome, Outcome::Final(_));
        let mut call = Call::new(&pools, to(&["p"]));
        assert!(matches!(call.start(), Step::Resolve(_)));
        let first = tried(call.resolved(Ok(vec![address(1), address(2)])));
        assert_eq!((first.address, first.number), (address(1), 1));
        let second = tried(call.next(outcome.clone()));
        assert_eq!((second.address, second.number), (address(2), 2));
        assert_eq!(calls(&pools), [1, 0], "one call, whatever its attempts");
        assert_eq!(id(call.next(outcome)), "p-2");
        assert_eq!(calls(&pools), [0, 1]);
        call.answer().unwrap().release();
        let misses = u32::from(outcome_is_miss);
        assert_eq!(target(&pools, "p-1").live().misses(), misses, "of one call");
        target(&pools, "p-1").works();
    }
    // Any other failure is that of the service, not of one of its servers.
    let mut call = Call::new(&pools, to(&["p"]));
    call.start();
    tried(call.resolved(Ok(vec![address(1), address(2)])));
    assert_eq!(id(call.next(Outcome::Final(500))), "p-2");
}

#[test]
fn dead_address_of_a_name_is_tried_last_for_a_while() {
    let pools = named();
    let list = || Ok(vec![address(1), address(2)]);
    let mut call = Call::new(&pools, to(&["p"]));
    call.start();
    tried(call.resolved(list()));
    assert_eq!(tried(call.wait()).address, address(2));
    call.answer().unwrap().release();
    let failed = call.now;
    let first = |after: Duration| {
        let mut call = Call::new(&pools, to(&["p"]));
        call.now = failed + after;
        call.pick = Pick::new(
            call.now,
            pools.clone(),
            rule(&pools, to(&["p"])),
            Kind::Other,
            &Seen::default(),
            None,
        );
        call.start();
        tried(call.resolved(list())).address
    };
    assert_eq!(first(secs(29)), address(2));
    assert_eq!(first(secs(30)), address(1));
    assert_eq!(target(&pools, "p-1").live().misses(), 0, "the name works");
}

#[test]
fn silent_addresses_are_bounded() {
    let pools = named();
    let target = target(&pools, "p-1");
    let now = start();
    for n in 0..=crate::limits::ADDRESSES {
        target.note_silent(now, &address(u8::try_from(n).unwrap()));
    }
    let mut addresses = [address(0), address(1), address(99)];
    target.put_back_silent(now, &mut addresses);
    assert_eq!(
        addresses,
        [address(0), address(99), address(1)],
        "the oldest has left"
    );
}

#[test]
fn name_without_addresses_gives_way_and_is_no_miss() {
    let pools = named();
    let mut call = Call::new(&pools, to(&["p"]));
    call.start();
    assert_eq!(id(call.resolved(Err(ResolveError::Unavailable))), "p-2");
    assert_eq!(target(&pools, "p-1").live().misses(), 0);
    assert_eq!(calls(&pools), [0, 1]);
    let mut call = Call::new(&pools, to(&["p"]));
    call.start();
    assert_eq!(
        id(call.resolved(Ok(Vec::new()))),
        "p-2",
        "an empty list is none"
    );
}

#[test]
fn request_uri_is_a_destination_where_the_rule_says_so() {
    let pools = pools(&[pool("p", 1)]);
    let mut route = to(&["p"]);
    route.to = RouteTo::RequestUri;
    let mut call = Call::new(&pools, route.clone());
    assert_eq!(refusal(call.start()), 503, "none was given");
    let uri = crate::resolve::Destination::parse(b"sip:bob@example.net").unwrap();
    let rule = rule(&pools, route);
    let seen = Seen::default();
    call.pick = Pick::new(call.now, pools, rule, Kind::Invite, &seen, Some(uri));
    assert!(matches!(call.start(), Step::Resolve(_)));
    let attempt = tried(call.resolved(Ok(vec![address(1)])));
    assert!(attempt.target.is_none());
    assert_eq!(refusal(call.next(Outcome::Unreachable)), 503);
    let mut call = Call::new(&call.pools, to(&["p"]));
    call.start();
    assert_eq!(refusal(call.resolved(Err(ResolveError::NoSuchName))), 478);
}

#[test]
fn redirections_are_passed_on_by_default() {
    let pools = pools(&[pool("p", 2)]);
    let mut call = Call::new(&pools, to(&["p"]));
    tried(call.start());
    let contacts = vec![contact("sip:bob@192.0.2.2")];
    let step = call.next(Outcome::Redirected(302, contacts));
    assert_eq!(end(step), relay(302, 1));
}

#[test]
fn redirections_are_followed_to_peers_alone() {
    let pools = pools(&[pool("p", 2)]);
    let mut route = to(&["p"]);
    route.failover.redirects = Redirects::Follow;
    let mut call = Call::new(&pools, route.clone());
    tried(call.start());
    let stranger = contact("sip:bob@203.0.113.66");
    let peer = contact("sip:bob@192.0.2.2;user=phone?Subject=x");
    let step = call.next(Outcome::Redirected(302, vec![stranger.clone(), peer]));
    let attempt = tried(step);
    assert_eq!(&*attempt.target.unwrap().id, "p-2");
    assert_eq!(
        attempt.request_uri.as_deref(),
        Some("sip:bob@192.0.2.2;user=phone")
    );
    assert_eq!(calls(&pools), [0, 1]);
    // It points back: that was not tried as a redirection yet, and then no more.
    let back = || Outcome::Redirected(302, vec![contact("sip:bob@192.0.2.1")]);
    tried(call.next(back()));
    assert_eq!(end(call.next(back())), relay(302, 3));
    let mut call = Call::new(&pools, route);
    tried(call.start());
    let step = call.next(Outcome::Redirected(302, vec![stranger]));
    assert_eq!(end(step), relay(302, 1));
    assert_eq!(calls(&pools), [0, 0]);
}

#[test]
fn contact_becomes_a_request_uri_without_headers() {
    for uri in [
        "sip:b?c@192.0.2.2;x=y",
        "sip:b?c@192.0.2.2;x=y?",
        "sip:b?c@192.0.2.2;x=y?a=b",
    ] {
        assert_eq!(&*contact(uri).uri, "sip:b?c@192.0.2.2;x=y");
    }
}

#[test]
fn redirection_after_early_media_is_passed_on() {
    let pools = pools(&[pool("p", 2)]);
    let mut route = to(&["p"]);
    route.failover.redirects = Redirects::Follow;
    let mut call = Call::new(&pools, route);
    tried(call.start());
    call.pick.progress(183, true);
    let contacts = vec![contact("sip:bob@192.0.2.2")];
    let step = call.next(Outcome::Redirected(302, contacts));
    assert_eq!(end(step), relay(302, 1));
}

#[test]
fn five_redirections_are_followed() {
    let pools = pools(&[pool("p", 1)]);
    let mut route = to(&["p"]);
    route.failover.redirects = Redirects::Follow;
    let mut call = Call::new(&pools, route);
    let mut step = call.start();
    let mut followed = 0;
    while let Step::Try(_) = step {
        followed += 1;
        let next = contact(&format!("sip:{followed}@192.0.2.1"));
        step = call.next(Outcome::Redirected(302, vec![next]));
    }
    assert_eq!((followed - 1, end(step)), (5, relay(302, 6)));
}

#[test]
fn answer_of_a_target_that_was_given_up_counts_there() {
    let pools = pools(&[pool("p", 2)]);
    let mut call = Call::new(&pools, to(&["p"]));
    let first = tried(call.start());
    tried(call.wait());
    assert_eq!(calls(&pools), [0, 1]);
    assert_eq!(end(call.pick.answered_late(&first)), End::Answered);
    assert_eq!(calls(&pools), [1, 0]);
    // A second answer belongs to the same call.
    assert_eq!(end(call.pick.answered_late(&first)), End::Answered);
    call.pick.take_held().unwrap().release();
    assert!(call.pick.take_held().is_none());
    assert_eq!(calls(&pools), [0, 0]);
}

#[test]
fn every_way_gives_back_what_it_took() {
    let mut config = pool("p", 3);
    config
        .targets
        .push(TargetConfig::new("sip:pbx.example.com"));
    config.algorithm = Algorithm::LeastCalls;
    for target in &mut config.targets {
        target.resources = vec![("channels".into(), 2)];
        target.probe = Some(Probe::Never);
    }
    let pools = pools(&[config]);
    let mut chance = rng();
    let mut route = to(&["p"]);
    route.failover.redirects = Redirects::Follow;
    route.failover.ringing_timeout = Some(secs(10));
    for _ in 0..3000 {
        let mut call = Call::new(&pools, route.clone());
        call.rng = SmallRng::seed_from_u64(chance.random());
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut step = call.start();
        let last = loop {
            step = match step {
                Step::Done(end) => break end,
                Step::Resolve(_) if chance.random_bool(0.1) => call.next(Outcome::Cancelled),
                Step::Resolve(_) if chance.random_bool(0.3) => {
                    call.resolved(Err(ResolveError::Unavailable))
                }
                Step::Resolve(_) => call.resolved(Ok(vec![address(1), address(2)])),
                Step::Try(attempt) => {
                    attempts.push(attempt);
                    match chance.random_range(0..9) {
                        0 => call.next(Outcome::Cancelled),
                        1 => call.next(Outcome::Final(200)),
                        2 => call.next(Outcome::Final(503)),
                        3 => call.next(Outcome::Final(500)),
                        4 => call.next(Outcome::Unreachable),
                        5 => call.wait(),
                        6 => {
                            call.pick.progress(180, chance.random_bool(0.1));
                            call.wait()
                        }
                        7 => {
                            let contact = contact("sip:bob@192.0.2.2");
                            call.next(Outcome::Redirected(302, vec![contact]))
                        }
                        _ => call.pick.answered_late(&attempts[0]),
                    }
                }
            }
        };
        let held = call.pick.take_held();
        assert_eq!(held.is_some(), last == End::Answered);
        held.into_iter().for_each(Held::release);
        assert_eq!(calls(&pools), [0; 4]);
        assert!(pools.targets().all(|t| t.resources()[0].used() == 0));
    }
}
