//! The choice of one target among usable ones of a group (spec §14).

use std::cmp::Ordering;
use std::sync::Arc;

use rand::Rng;

use super::config::{Algorithm, Slots};
use super::live::Target;

/// The target to try among `candidates`; `None` if there are none. `key` is the hash of what the
/// algorithm looks at. Targets without weight stand back.
pub(super) fn choose<'a>(
    candidates: &[&'a Arc<Target>],
    algorithm: Algorithm,
    key: u64,
    wanted: Option<&[Box<str>]>,
    rng: &mut impl Rng,
) -> Option<&'a Arc<Target>> {
    let weighted = candidates.iter().filter(|t| t.live.weight() > 0);
    let weighted: Vec<&Arc<Target>> = weighted.copied().collect();
    let among = if weighted.is_empty() {
        candidates
    } else {
        &weighted
    };
    match algorithm {
        Algorithm::First => among.first().copied(),
        Algorithm::Hash(_) => {
            let distance = |t: &Arc<Target>| distance(key, t);
            let nearer = |a: &&&Arc<Target>, b: &&&Arc<Target>| distance(a).total_cmp(&distance(b));
            among.iter().min_by(nearer).copied()
        }
        Algorithm::LeastCalls => least(among, rng, |a, b| {
            let load = |a: &Target, b: &Target| {
                u64::from(a.live.calls()) * u64::from(b.live.weight().max(1))
            };
            load(a, b).cmp(&load(b, a))
        }),
        Algorithm::Resource(slots) => least(among, rng, |a, b| {
            free(b, slots, wanted).total_cmp(&free(a, slots, wanted))
        }),
        Algorithm::Weight => by_weight(among, rng),
    }
}

/// Weighted rendezvous hashing: each target draws a number from key and URI, with the exponential
/// distribution of its weight, and the lowest one has the key. A target that leaves changes no
/// number of another.
fn distance(key: u64, target: &Target) -> f64 {
    let mixed = mix(key ^ target.hash);
    // 53 bits fill the mantissa; half a step keeps it from 0 and 1.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the value has 53 bits and fits exactly"
    )]
    let uniform = ((mixed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -uniform.ln() / f64::from(target.live.weight().max(1))
}

/// The finaliser of SplitMix64: every bit of the input moves half of the output.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The scarcest of the wanted resources; without any, a target has room for all.
fn free(target: &Target, slots: Slots, wanted: Option<&[Box<str>]>) -> f64 {
    let free = target.wanted(wanted).map(|r| match slots {
        Slots::Absolute => f64::from(r.free()),
        Slots::Relative => f64::from(r.free()) / f64::from(r.max().max(1)),
    });
    free.fold(f64::INFINITY, f64::min)
}

/// The first by `order`; among equals each with the same chance.
fn least<'a>(
    among: &[&'a Arc<Target>],
    rng: &mut impl Rng,
    order: impl Fn(&Target, &Target) -> Ordering,
) -> Option<&'a Arc<Target>> {
    let mut best: Option<&Arc<Target>> = None;
    let mut equals = 0;
    for target in among.iter().copied() {
        match best.map_or(Ordering::Less, |best| order(target, best)) {
            Ordering::Less => {
                best = Some(target);
                equals = 1;
            }
            Ordering::Equal => {
                equals += 1;
                if rng.random_range(0..equals) == 0 {
                    best = Some(target);
                }
            }
            Ordering::Greater => {}
        }
    }
    best
}

fn by_weight<'a>(among: &[&'a Arc<Target>], rng: &mut impl Rng) -> Option<&'a Arc<Target>> {
    let weights = || among.iter().map(|t| t.live.weight().max(1));
    let total: u32 = weights().sum();
    if total == 0 {
        return None;
    }
    let drawn = rng.random_range(0..total);
    let mut sum = 0;
    let chosen = weights().position(|weight| {
        sum += weight;
        drawn < sum
    });
    chosen.and_then(|at| among.get(at).copied())
}
