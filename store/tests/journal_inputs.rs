//! What the fuzz target `journal` holds, without a fuzzer: its corpus, and changes of it.

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[expect(
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "shared with the fuzz target"
)]
#[path = "../../tests/fuzz/src/store.rs"]
mod target;

#[test]
fn corpus_and_changes_of_it_hold() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/journal");
    let mut rng = StdRng::seed_from_u64(1);
    let mut inputs = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let whole = fs::read(entry.unwrap().path()).unwrap();
        target::journal(&whole);
        for _ in 0..5_000 {
            let mut input = whole.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..input.len());
                match rng.random_range(0..4) {
                    0 => input.truncate(at + 1),
                    1 => input.insert(at, rng.random()),
                    _ => input[at] = rng.random(),
                }
            }
            target::journal(&input);
            inputs += 1;
        }
    }
    assert!(inputs >= 20_000);
}
