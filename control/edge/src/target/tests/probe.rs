use super::*;

/// A prober with its clock; probes it has sent are in the hands of the test.
struct Bench {
    prober: Prober,
    pools: Arc<Pools>,
    now: Instant,
    rng: SmallRng,
}

impl Bench {
    fn new(configs: &[PoolConfig]) -> Self {
        let (pools, now, mut rng) = (pools(configs), start(), rng());
        Self {
            prober: Prober::new(now, pools.clone(), &mut rng),
            pools,
            now,
            rng,
        }
    }

    fn poll(&mut self) -> Vec<ToProbe> {
        let mut probes = Vec::new();
        while let Some(probe) = self.prober.poll(self.now, &mut self.rng) {
            probes.push(probe);
        }
        probes
    }

    /// The probes of some time, each with its moment, all ended by `result`; `None`: silence.
    fn run(&mut self, time: Duration, result: Option<ProbeResult>) -> Vec<(Duration, String)> {
        let began = self.now;
        let mut sent = Vec::new();
        while let Some(at) = self.prober.next_timeout().filter(|at| *at <= began + time) {
            assert!(at > self.now || at == began, "time goes on");
            self.now = at;
            for probe in self.poll() {
                sent.push((at - began, probe.target.id.to_string()));
                if let Some(result) = result {
                    self.prober.handle_result(probe.number, result);
                }
            }
        }
        self.now = began + time;
        sent
    }
}

fn always(targets: u8) -> PoolConfig {
    PoolConfig {
        probe: Probe::Always,
        ..pool("p", targets)
    }
}

const ALIVE: Option<ProbeResult> = Some(ProbeResult::Answered(200));

#[test]
fn targets_are_probed_every_thirty_seconds_and_apart() {
    let mut bench = Bench::new(&[always(20)]);
    let sent = bench.run(secs(300), ALIVE);
    assert!((180..=220).contains(&sent.len()), "{}", sent.len());
    let between = |from, to| {
        let times = sent.iter().map(|(at, _)| *at);
        let times: Vec<Duration> = times.filter(|at| (from..to).contains(at)).collect();
        times
    };
    let first = between(secs(0), secs(2));
    assert_eq!(first.len(), 20, "all at once: {first:?}");
    assert!(first.iter().max() < Some(&secs(1)) && first.iter().min() < first.iter().max());
    let second = between(secs(2), secs(36));
    assert!(second.iter().min() < Some(&secs(20)) && second.iter().max() > Some(&secs(28)));
    let of_one: Vec<Duration> = sent
        .iter()
        .filter(|(_, id)| id == "p-1")
        .map(|(at, _)| *at)
        .collect();
    assert!(
        of_one[1..]
            .windows(2)
            .all(|w| (secs(27)..=secs(33)).contains(&(w[1] - w[0])))
    );
    assert_eq!(events(&bench.pools), []);
}

#[test]
fn three_misses_are_down_and_one_answer_is_up() {
    let mut bench = Bench::new(&[always(1)]);
    // Two have been answered.
    bench.run(secs(35), ALIVE);
    let probes = bench.run(secs(66), None).len();
    assert_eq!((probes, bench.pools.is_available("p")), (2, true));
    bench.run(secs(40), None);
    let down = ("p-1".into(), Health::Down, Cause::Misses(3));
    assert_eq!(events(&bench.pools), [down]);
    bench.run(secs(300), None);
    assert_eq!(events(&bench.pools), [], "down is told once");
    bench.run(secs(34), ALIVE);
    assert_eq!(
        events(&bench.pools),
        [("p-1".into(), Health::Up, Cause::Answer)]
    );
    assert!(bench.pools.is_available("p"));
}

#[test]
fn codes_decide_what_is_alive() {
    for (code, is_alive) in [
        (200, true),
        (404, true),
        (405, true),
        (483, true),
        (501, true),
        (408, false),
        (500, false),
        (503, false),
    ] {
        let mut bench = Bench::new(&[always(1)]);
        bench.run(secs(150), Some(ProbeResult::Answered(code)));
        assert_eq!(bench.pools.is_available("p"), is_alive, "{code}");
    }
    let mut strict = always(1);
    strict.probing.alive = vec![CodeRange(200, 200)];
    let mut bench = Bench::new(&[strict]);
    bench.run(secs(150), Some(ProbeResult::Answered(404)));
    assert!(!bench.pools.is_available("p"));
    let mut bench = Bench::new(&[always(1)]);
    bench.run(secs(150), Some(ProbeResult::Unreachable));
    assert!(!bench.pools.is_available("p"));
}

#[test]
fn probe_mode_decides_who_is_probed() {
    let mut config = pool("p", 3);
    config.targets[0].probe = Some(Probe::Always);
    config.targets[1].probe = Some(Probe::WhenDown);
    config.targets[2].probe = Some(Probe::Never);
    let mut bench = Bench::new(&[config]);
    let probed = |sent: Vec<(Duration, String)>| {
        let mut ids: Vec<String> = sent.into_iter().map(|(_, id)| id).collect();
        ids.sort();
        ids.dedup();
        ids
    };
    assert_eq!(probed(bench.run(secs(1), ALIVE)), ["p-1", "p-2"], "at once");
    assert_eq!(probed(bench.run(secs(100), ALIVE)), ["p-1"]);
    for target in bench.pools.targets() {
        (0..3).for_each(|_| bench.pools.tell(target.miss()));
    }
    // Nothing would ever bring up a target that is never probed.
    assert!(target(&bench.pools, "p-3").is_usable());
    assert_eq!(events(&bench.pools).len(), 2);
    assert_eq!(probed(bench.run(secs(34), ALIVE)), ["p-1", "p-2"]);
    assert!(bench.pools.targets().all(|t| t.is_usable()));
    assert_eq!(probed(bench.run(secs(100), ALIVE)), ["p-1"]);
}

#[test]
fn calls_and_probes_count_together() {
    let mut config = always(1);
    config.probing.failed = vec![CodeRange(503, 503)];
    let bench = Bench::new(&[config]);
    let target = target(&bench.pools, "p-1");
    let judge = |codes: &[u16]| {
        for code in codes {
            bench.pools.judge(&target, *code);
        }
    };
    judge(&[503, 503, 200, 503, 503]);
    assert!(target.is_usable(), "an answer in between begins anew");
    judge(&[486, 503, 503, 404, 503, 500, 503]);
    assert!(target.is_usable());
    bench.pools.tell(target.miss());
    assert!(!target.is_usable());
    judge(&[200]);
    assert!(!target.is_usable(), "a late answer brings nothing up");
}

#[test]
fn operator_decides_over_probes() {
    let mut bench = Bench::new(&[always(2)]);
    let set = |bench: &Bench, id: &str, admin| {
        let change = Change {
            state: Some(admin),
            ..Change::default()
        };
        bench.pools.set(id, &change).unwrap();
    };
    set(&bench, "p-1", Admin::Down);
    set(&bench, "p-2", Admin::Drain);
    let sent = bench.run(secs(100), ALIVE);
    assert!(
        sent.iter().all(|(_, id)| id == "p-2") && !sent.is_empty(),
        "{sent:?}"
    );
    assert!(!bench.pools.is_available("p"), "an answer does not undo it");
}

#[test]
fn results_of_another_time_are_ignored() {
    let mut bench = Bench::new(&[always(1)]);
    bench.now = bench.prober.next_timeout().unwrap();
    let probe = bench.poll().remove(0);
    bench
        .prober
        .handle_result(probe.number + 1, ProbeResult::Unreachable);
    assert_eq!(target(&bench.pools, "p-1").live().misses(), 0);
    bench.now = bench.prober.next_timeout().unwrap();
    assert!(bench.poll().is_empty(), "this is its deadline");
    assert_eq!(target(&bench.pools, "p-1").live().misses(), 1);
    bench
        .prober
        .handle_result(probe.number, ProbeResult::Answered(200));
    assert_eq!(target(&bench.pools, "p-1").live().misses(), 1, "too late");
}

#[test]
fn reload_keeps_the_turn_of_targets_that_stay() {
    let mut bench = Bench::new(&[always(1)]);
    // The answer of the last one is no wait any more.
    bench.run(secs(40), ALIVE);
    let next = bench.prober.next_timeout();
    let after = Arc::new(Pools::new(&[always(1)], Some(&bench.pools)).unwrap());
    bench.prober.reload(bench.now, after, &mut bench.rng);
    assert_eq!(bench.prober.next_timeout(), next);
    let none = Arc::new(Pools::new(&[], None).unwrap());
    bench.prober.reload(bench.now, none, &mut bench.rng);
    assert_eq!(bench.prober.next_timeout(), None);
}

#[test]
fn reload_probes_what_is_new_or_down_at_once() {
    let config = |targets| PoolConfig {
        probe: Probe::WhenDown,
        ..pool("p", targets)
    };
    let mut bench = Bench::new(&[config(2)]);
    bench.run(secs(31), ALIVE);
    let down = target(&bench.pools, "p-1");
    (0..3).for_each(|_| bench.pools.tell(down.miss()));
    let after = Arc::new(Pools::new(&[config(3)], Some(&bench.pools)).unwrap());
    bench.pools = after.clone();
    bench.prober.reload(bench.now, after, &mut bench.rng);
    let mut sent: Vec<String> = bench
        .run(secs(1), ALIVE)
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    sent.sort();
    assert_eq!(sent, ["p-1", "p-3"]);
    assert!(bench.pools.targets().all(|target| target.is_usable()));
}
