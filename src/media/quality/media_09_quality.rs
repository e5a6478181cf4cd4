//! Scores, number by number (media-behaviour §9).

use super::{Model, Reception};

fn close(model: Model, measured: (f64, f64, f64), expected: f64) {
    let (round_trip_ms, jitter_ms, loss_percent) = measured;
    let score = model.mos(8000, round_trip_ms, jitter_ms, loss_percent);
    assert!(
        (score - expected).abs() < 0.001,
        "{model:?} {measured:?}: {score} and not {expected}"
    );
}

#[test]
fn g107_is_the_simplified_formula() {
    for (measured, expected) in [
        ((0.0, 0.0, 0.0), 4.336),
        ((40.0, 10.0, 0.0), 4.317),
        ((400.0, 20.0, 0.0), 4.020),
        ((40.0, 10.0, 1.0), 4.155),
        ((40.0, 10.0, 25.0), 3.118),
        // What the parabola makes of a stream of which little is left.
        ((40.0, 10.0, 50.0), 4.5),
        ((40.0, 10.0, 93.5), 4.5),
    ] {
        close(Model::G107, measured, expected);
    }
}

#[test]
fn legacy_is_the_formula_of_old_releases() {
    for (measured, expected) in [
        ((0.0, 0.0, 0.0), 4.404),
        ((100.0, 20.0, 0.0), 4.325),
        // From 160 ms on, delay weighs more.
        ((130.0, 10.0, 0.0), 4.319),
        ((400.0, 20.0, 2.0), 2.849),
        ((0.0, 0.0, 50.0), 1.0),
    ] {
        close(Model::Legacy, measured, expected);
    }
}

#[test]
fn full_band_codecs_have_a_formula_of_their_own() {
    for (clock_rate, measured, expected) in [
        // media-behaviour §9.
        (48_000, (200.0, 10.0, 2.0), 3.452),
        (48_000, (0.0, 0.0, 0.0), 4.408),
        // Delay counts beyond 100 ms alone.
        (48_000, (200.0, 0.0, 0.0), 4.408),
        (48_000, (800.0, 0.0, 0.0), 3.552),
        (48_000, (0.0, 0.0, 100.0), 1.106),
        // Other codecs stay narrow band.
        (8000, (40.0, 10.0, 1.0), 4.155),
        (16_000, (40.0, 10.0, 1.0), 4.155),
    ] {
        let (round_trip_ms, jitter_ms, loss_percent) = measured;
        let score = Model::Fullband.mos(clock_rate, round_trip_ms, jitter_ms, loss_percent);
        assert!(
            (score - expected).abs() < 0.001,
            "{clock_rate} {measured:?}: {score} and not {expected}"
        );
    }
    let narrow = Model::G107.mos(48_000, 40.0, 10.0, 1.0);
    assert!((narrow - 4.155).abs() < 0.001);
}

#[test]
fn the_payload_type_is_that_of_most_packets() {
    let mut source = Reception::new(1, 1);
    let mut after = |payload_types: &[u8]| {
        payload_types
            .iter()
            .for_each(|payload_type| source.observe_payload_type(*payload_type));
        source.payload_type()
    };
    assert_eq!(after(&[8, 8, 8]), 8);
    // A digit does not make it a stream of digits.
    assert_eq!(after(&[101, 101]), 8);
    // Of equals it is the one that came last.
    assert_eq!(after(&[101]), 101);
    assert_eq!(after(&[8]), 8);
    // There is room for a few.
    assert_eq!(after(&[0, 9, 18, 18, 18, 18, 18, 18, 18, 18]), 8);
}
