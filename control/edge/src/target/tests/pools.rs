use std::sync::Barrier;

use super::*;

fn up(admin: Admin) -> Change {
    Change {
        state: Some(admin),
        ..Change::default()
    }
}

fn with_slots(max: u32) -> PoolConfig {
    let mut config = pool("p", 2);
    for target in &mut config.targets {
        target.resources = vec![("channels".into(), max)];
    }
    config
}

#[test]
fn shards_never_take_more_slots_than_there_are() {
    let pools = pools(&[with_slots(10)]);
    let target = target(&pools, "p-1");
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                for round in 0..2000 {
                    let held: Vec<Held> = (0..4).filter_map(|_| target.reserve(None)).collect();
                    let used = target.resources()[0].used();
                    assert!(used <= 10, "{used} in round {round}");
                    held.into_iter().for_each(Held::release);
                }
            });
        }
    });
    assert_eq!(
        (target.resources()[0].used(), target.live().calls()),
        (0, 0)
    );
    let held: Vec<Held> = (0..11).filter_map(|_| target.reserve(None)).collect();
    assert_eq!(held.len(), 10);
    held.into_iter().for_each(Held::release);
}

#[test]
fn one_missing_slot_takes_none() {
    let mut config = pool("p", 1);
    config.targets[0].resources = vec![("channels".into(), 5), ("video".into(), 0)];
    let pools = pools(&[config]);
    let target = target(&pools, "p-1");
    assert!(target.reserve(None).is_none());
    assert!(target.resources().iter().all(|r| r.used() == 0));
    assert_eq!(target.live().calls(), 0);
}

#[test]
fn reload_keeps_counts_and_states_of_targets_that_stay() {
    let before = pools(&[with_slots(10)]);
    let held = target(&before, "p-2").reserve(None).unwrap();
    before.set("p-2", &up(Admin::Drain)).unwrap();
    before
        .set(
            "p-1",
            &Change {
                weight: Some(7),
                ..Change::default()
            },
        )
        .unwrap();
    let mut config = with_slots(20);
    config.targets.remove(0);
    config.targets.push(TargetConfig::new("sip:192.0.2.77"));
    let after = Pools::new(&[config], Some(&before)).unwrap();
    let stays = target(&after, "p-1");
    assert_eq!((&*stays.uri, stays.live().calls()), ("sip:192.0.2.2", 1));
    assert_eq!(
        (stays.live().admin(), stays.live().weight()),
        (Admin::Drain, 1)
    );
    let channels = &stays.resources()[0];
    assert_eq!((channels.used(), channels.max()), (1, 20));
    assert_eq!(target(&after, "p-2").live().calls(), 0);
    // The call began before the reload and ends after it.
    held.release();
    assert_eq!((stays.live().calls(), channels.used()), (0, 0));
    assert_eq!(
        after.poll_event().unwrap().admin,
        Admin::Drain,
        "events go on"
    );
}

#[test]
fn refused_reload_changes_nothing() {
    let before = pools(&[with_slots(10)]);
    let bad = PoolConfig::new("q", "core", &["sip:192.0.2.1:0"]);
    assert!(Pools::new(&[with_slots(20), bad], Some(&before)).is_err());
    assert_eq!(target(&before, "p-1").resources()[0].max(), 10);
}

#[test]
fn calls_are_held_again_after_a_restart() {
    let before = pools(&[with_slots(1)]);
    let state = target(&before, "p-1").reserve(None).unwrap().save();
    let after = pools(&[with_slots(1)]);
    let held = [after.hold(&state).unwrap(), after.hold(&state).unwrap()];
    assert_eq!(
        target(&after, "p-1").resources()[0].used(),
        2,
        "calls that are there count"
    );
    assert!(target(&after, "p-1").reserve(None).is_none());
    held.into_iter().for_each(Held::release);
    assert_eq!(calls(&after), [0, 0]);
    let gone = HeldState {
        uri: "sip:192.0.2.99".to_owned(),
        ..state
    };
    assert!(after.hold(&gone).is_none());
}

#[test]
fn operator_lists_and_changes_targets() {
    let pools = pools(&[with_slots(10)]);
    let held = target(&pools, "p-2").reserve(None).unwrap();
    let change = Change {
        state: Some(Admin::Drain),
        weight: Some(5),
        resources: vec![("channels".into(), 3)],
    };
    let view = pools.set("p-2", &change).unwrap();
    assert_eq!(view, pools.list()[1]);
    assert_eq!(
        (view.admin, view.health, view.weight),
        (Admin::Drain, Health::Up, 5)
    );
    assert_eq!(
        (view.calls, view.resources),
        (1, vec![("channels".into(), 1, 3)])
    );
    assert_eq!(events(&pools), [("p-2".into(), Health::Up, Cause::Admin)]);
    pools.set("p-2", &change).unwrap();
    assert_eq!(events(&pools), [], "the same state is no change");
    assert!(!target(&pools, "p-2").is_usable());
    assert_eq!(target(&pools, "p-2").live().calls(), 1, "its calls go on");
    held.release();
}

#[test]
fn refused_change_changes_nothing() {
    let pools = pools(&[with_slots(10)]);
    let before = pools.list();
    let refused = |id: &str, change: &Change| pools.set(id, change).unwrap_err().to_string();
    let mut change = up(Admin::Down);
    assert_eq!(refused("x-1", &change), "there is no target x-1");
    change.weight = Some(70_000);
    assert_eq!(refused("p-1", &change), "weight 70000 is above 65535");
    change.weight = Some(1);
    change.resources = vec![("channels".into(), 1), ("video".into(), 1)];
    assert_eq!(refused("p-1", &change), "target p-1 has no resource video");
    assert_eq!(pools.list(), before);
}

#[test]
fn up_forgets_failures() {
    let pools = pools(&[pool("p", 1)]);
    let target = target(&pools, "p-1");
    (0..3).for_each(|_| pools.tell(target.miss()));
    assert!(!pools.is_available("p"));
    pools.set("p-1", &up(Admin::Up)).unwrap();
    assert!(pools.is_available("p"));
    assert_eq!(target.live().misses(), 0);
    assert_eq!(events(&pools).len(), 2);
}

#[test]
fn events_are_bounded() {
    let pools = pools(&[pool("p", 1)]);
    for _ in 0..crate::limits::TARGET_EVENTS {
        pools.set("p-1", &up(Admin::Down)).unwrap();
        pools.set("p-1", &up(Admin::Up)).unwrap();
    }
    assert_eq!(events(&pools).len(), crate::limits::TARGET_EVENTS);
}

#[test]
fn faults_of_a_configuration_are_named() {
    let good = pool("p", 1);
    let with = |change: &dyn Fn(&mut PoolConfig)| {
        let mut config = good.clone();
        change(&mut config);
        Pools::new(&[config], None).unwrap_err().to_string()
    };
    let same = |c: &mut PoolConfig| c.targets.push(c.targets[0].clone());
    assert_eq!(with(&same), "pool p has sip:192.0.2.1 twice");
    assert_eq!(with(&|c| c.targets.clear()), "pool p has no target");
    let weight = |c: &mut PoolConfig| c.targets[0].weight = 65_536;
    assert_eq!(
        with(&weight),
        "pool p: a weight is 65536, but 65535 is the limit"
    );
    let tel = |c: &mut PoolConfig| c.targets[0].uri = "tel:1".into();
    let text = "pool p: target tel:1: its scheme is neither sip nor sips";
    assert_eq!(with(&tel), text);
    let twice = |c: &mut PoolConfig| {
        c.targets[0].resources = vec![("a".into(), 1), ("a".into(), 2)];
    };
    assert_eq!(
        with(&twice),
        "pool p has the resource a twice on sip:192.0.2.1"
    );
    let interval = |c: &mut PoolConfig| c.probing.interval = Duration::ZERO;
    assert_eq!(with(&interval), "the probing interval is zero");
    let alive = |c: &mut PoolConfig| c.probing.alive = vec![CodeRange(100, 200)];
    assert_eq!(
        with(&alive),
        "codes 100-200 are no range of final responses"
    );
    let double = Pools::new(&[good.clone(), good.clone()], None).unwrap_err();
    assert_eq!(double.to_string(), "there are two pools called p");
}
