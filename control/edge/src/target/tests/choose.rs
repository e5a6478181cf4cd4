use std::collections::HashMap;

use super::*;
use crate::target::pick::candidates;

/// How often each target comes first among `draws`; the key is the number of the draw.
fn firsts(pools: &Pools, draws: u32) -> HashMap<String, u32> {
    let mut rng = rng();
    let mut counts = HashMap::new();
    for n in 0..draws {
        *counts.entry(first(pools, n, &mut rng)).or_default() += 1;
    }
    counts
}

fn first(pools: &Pools, n: u32, rng: &mut SmallRng) -> String {
    let pool = pools.pool(0).unwrap();
    let user = format!("user{n}@example.com");
    let seen = Seen {
        user: user.as_bytes(),
        ..Seen::default()
    };
    let group = candidates(pool, None, &[]);
    let key = seen.key(pool.algorithm);
    let chosen = crate::target::choose::choose(&group, pool.algorithm, key, None, rng);
    chosen.unwrap().id.to_string()
}

fn with(algorithm: Algorithm, weights: &[u32]) -> PoolConfig {
    let mut config = pool("p", u8::try_from(weights.len()).unwrap());
    config.algorithm = algorithm;
    for (target, weight) in config.targets.iter_mut().zip(weights) {
        target.weight = *weight;
    }
    config
}

fn is_about(count: Option<&u32>, expected: u32) -> bool {
    let (count, slack) = (count.copied().unwrap_or_default(), expected / 10);
    (expected - slack..=expected + slack).contains(&count)
}

#[test]
fn first_is_the_first_usable_one() {
    let pools = pools(&[with(Algorithm::First, &[1, 1, 1])]);
    assert_eq!(firsts(&pools, 10)["p-1"], 10);
    let down = Change {
        state: Some(Admin::Drain),
        ..Change::default()
    };
    pools.set("p-1", &down).unwrap();
    assert_eq!(firsts(&pools, 10)["p-2"], 10);
}

#[test]
fn weights_share_requests_and_keys() {
    for algorithm in [Algorithm::Weight, Algorithm::Hash(HashKey::User)] {
        let pools = pools(&[with(algorithm, &[5, 3, 2, 0])]);
        let counts = firsts(&pools, 10_000);
        assert!(
            is_about(counts.get("p-1"), 5000),
            "{algorithm:?} {counts:?}"
        );
        assert!(
            is_about(counts.get("p-2"), 3000),
            "{algorithm:?} {counts:?}"
        );
        assert!(
            is_about(counts.get("p-3"), 2000),
            "{algorithm:?} {counts:?}"
        );
        assert_eq!(counts.get("p-4"), None, "{algorithm:?}");
    }
}

#[test]
fn target_without_weight_serves_when_no_other_is_left() {
    for algorithm in [
        Algorithm::First,
        Algorithm::Weight,
        Algorithm::LeastCalls,
        Algorithm::Hash(HashKey::User),
        Algorithm::Resource(Slots::Absolute),
    ] {
        let pools = pools(&[with(algorithm, &[0, 1])]);
        assert_eq!(firsts(&pools, 5)["p-2"], 5, "{algorithm:?}");
        for _ in 0..3 {
            target(&pools, "p-2").miss();
        }
        assert_eq!(firsts(&pools, 5)["p-1"], 5, "{algorithm:?}");
    }
}

#[test]
fn failed_target_moves_its_own_keys_alone() {
    let pools = pools(&[with(Algorithm::Hash(HashKey::User), &[1; 5])]);
    let mut rng = rng();
    let mut placed =
        |pools: &Pools| -> Vec<String> { (0..5000).map(|n| first(pools, n, &mut rng)).collect() };
    let before = placed(&pools);
    for _ in 0..3 {
        target(&pools, "p-3").miss();
    }
    let after = placed(&pools);
    let mut moved_to = HashMap::<&str, u32>::new();
    for (before, after) in before.iter().zip(&after) {
        if before == "p-3" {
            *moved_to.entry(after).or_default() += 1;
        } else {
            assert_eq!(before, after);
        }
    }
    assert_eq!(
        moved_to.len(),
        4,
        "they spread over all others: {moved_to:?}"
    );
    target(&pools, "p-3").is_back();
    assert_eq!(placed(&pools), before);
}

#[test]
fn keys_are_what_the_algorithm_names() {
    let seen = Seen {
        call_id: b"c",
        ruri: b"sip:r@example.com",
        user: b"alice@example.com",
        ..Seen::default()
    };
    let with_aor = Seen {
        aor: b"Bob@Example.com",
        ..seen
    };
    let key = |seen: &Seen<'_>, key| seen.key(Algorithm::Hash(key));
    assert_eq!(key(&seen, HashKey::Aor), key(&seen, HashKey::User));
    assert_ne!(key(&with_aor, HashKey::Aor), key(&seen, HashKey::User));
    let lower = Seen {
        aor: b"bob@example.com",
        ..seen
    };
    assert_eq!(key(&with_aor, HashKey::Aor), key(&lower, HashKey::Aor));
    assert_ne!(key(&seen, HashKey::CallId), key(&seen, HashKey::Ruri));
    assert_eq!(seen.key(Algorithm::Weight), 0);
}

#[test]
fn least_calls_counts_by_weight() {
    let pools = pools(&[with(Algorithm::LeastCalls, &[1, 3])]);
    let mut rng = rng();
    let mut held = Vec::new();
    for _ in 0..40 {
        let id = first(&pools, 0, &mut rng);
        held.extend(target(&pools, &id).reserve(None));
    }
    assert_eq!(calls(&pools), [10, 30]);
    held.into_iter().for_each(Held::release);
    assert_eq!(calls(&pools), [0, 0]);
}

#[test]
fn equals_share_at_random() {
    let pools = pools(&[with(Algorithm::LeastCalls, &[1; 4])]);
    let counts = firsts(&pools, 4000);
    for id in ["p-1", "p-2", "p-3", "p-4"] {
        assert!(is_about(counts.get(id), 1000), "{counts:?}");
    }
}

#[test]
fn most_free_slots_absolute_or_relative() {
    // Free: 30 of 100, or 20 of 25.
    for (slots, chosen) in [(Slots::Absolute, "p-1"), (Slots::Relative, "p-2")] {
        let mut config = with(Algorithm::Resource(slots), &[1, 1]);
        config.targets[0].resources = vec![("channels".into(), 100)];
        config.targets[1].resources = vec![("channels".into(), 25)];
        let pools = pools(&[config]);
        let take = |id: &str, n: usize| -> Vec<Held> {
            (0..n)
                .filter_map(|_| target(&pools, id).reserve(None))
                .collect()
        };
        let held = [take("p-1", 70), take("p-2", 5)];
        assert_eq!(firsts(&pools, 3)[chosen], 3);
        held.into_iter().flatten().for_each(Held::release);
    }
}
