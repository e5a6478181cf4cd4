//! Samples of quality, sentence by sentence (media-behaviour §9.1, §8).

use super::*;

const SCORING: Scoring = Scoring {
    basis: Basis::Conversational,
    model: Model::G107,
};
const LISTENING: Scoring = Scoring {
    basis: Basis::Listening,
    model: Model::G107,
};

#[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
fn clock() -> impl Fn(u64) -> Instant {
    let start = Instant::now();
    move |ms| start + Duration::from_millis(ms)
}

/// A block that answers to a sender report, kept for half a second.
fn block(reporter: u32, ssrc: u32, last_sender_report: u32) -> Block {
    Block {
        reporter,
        ssrc,
        fraction_lost: 0,
        lost: 0,
        jitter: 80,
        last_sender_report,
        delay: 65_536 / 2,
    }
}

#[test]
fn a_block_that_answers_to_nothing_is_no_sample() {
    let at = clock();
    let mut sources = Sources::default();
    sources.sent(7, 70, at(0));
    let unanswered = block(9, 7, 0);
    assert_eq!(
        sources.received(&unanswered, 8000, LISTENING, at(540)),
        None
    );
    let mut at_once = block(9, 7, 70);
    at_once.delay = 0;
    assert_eq!(sources.received(&at_once, 8000, LISTENING, at(540)), None);
    // Of an unknown codec nothing can be said.
    let answer = block(9, 7, 70);
    assert_eq!(sources.received(&answer, 0, LISTENING, at(540)), None);
    assert!(
        sources
            .received(&answer, 8000, LISTENING, at(540))
            .is_some()
    );
}

#[test]
fn the_round_trip_is_both_legs_once_both_are_known() {
    let at = clock();
    let mut sources = Sources::default();
    sources.sent(7, 70, at(0));
    sources.sent(9, 90, at(10));
    let first = sources.received(&block(9, 7, 70), 8000, SCORING, at(540));
    let first = first.unwrap();
    assert_eq!((first.round_trip_leg_us, first.round_trip_us), (40_000, 0));
    assert_eq!((first.mos, first.jitter_ms), (None, 10));
    let second = sources.received(&block(7, 9, 90), 8000, SCORING, at(570));
    let second = second.unwrap();
    assert_eq!(
        (second.round_trip_leg_us, second.round_trip_us),
        (60_000, 100_000)
    );
    assert_eq!(second.mos, Some(42));
    // From now on the first party's report has both, too.
    let third = sources.received(&block(9, 7, 70), 8000, SCORING, at(545));
    assert_eq!(third.unwrap().round_trip_us, 45_000 + 60_000);
}

#[test]
fn a_leg_that_cannot_be_is_unknown() {
    let at = clock();
    let mut sources = Sources::default();
    sources.sent(7, 70, at(0));
    for (ms, leg) in [(400, 0), (500, 0), (10_500, 10_000_000), (10_501, 0)] {
        let sample = sources.received(&block(9, 7, 70), 8000, LISTENING, at(ms));
        assert_eq!(sample.unwrap().round_trip_leg_us, leg, "{ms}");
    }
    // So is one to a sender report that did not pass here.
    let sample = sources.received(&block(9, 7, 71), 8000, LISTENING, at(540));
    assert_eq!(sample.unwrap().round_trip_leg_us, 0);
}

#[test]
fn a_measured_round_trip_counts_for_both_legs() {
    let at = clock();
    let mut sources = Sources::default();
    sources.measured(7, 123);
    let sample = sources
        .received(&block(9, 7, 70), 8000, SCORING, at(0))
        .unwrap();
    assert_eq!((sample.round_trip_us, sample.mos), (123_000, Some(42)));
}

#[test]
fn numbers_are_cut_before_any_use() {
    let at = clock();
    let mut sources = Sources::default();
    // media-behaviour §9.1; 159 units at 8000 Hz are 19.9 ms.
    for (fraction_lost, percent, tenths) in [(13, 5, 33), (11, 4, 35), (20, 7, 30)] {
        let block = Block {
            fraction_lost,
            jitter: 159,
            ..block(9, 7, 70)
        };
        let sample = sources.received(&block, 8000, LISTENING, at(0)).unwrap();
        assert_eq!((sample.loss_percent, sample.jitter_ms), (percent, 19));
        let exact = Model::G107.mos(8000, 0.0, 19.0, f64::from(percent));
        assert_eq!(sample.mos, Some(tenths), "{exact}");
        assert!((0.0..0.1).contains(&(exact - f64::from(tenths) / 10.0)));
    }
    assert_eq!(whole_percent(255), 99);
}

#[test]
fn blocks_beyond_a_length_that_is_too_short_are_read() {
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_be_bytes()).collect() };
    // 52 bytes that say that they are 36.
    let sender = words(&[
        0x81c8_0008,
        7,
        1,
        2,
        3,
        10,
        1600,
        9,
        0x0500_0001,
        100,
        80,
        0x1234_5678,
        32_768,
    ]);
    let heard = |said: &[Said]| {
        let blocks = said.iter().filter(|said| matches!(said, Said::Received(_)));
        blocks.count()
    };
    let said = read(&sender);
    assert_eq!(heard(&said), 1, "{said:?}");
    let Some(Said::Received(block)) = said.last() else {
        panic!("{said:?}");
    };
    assert_eq!((block.ssrc, block.fraction_lost, block.jitter), (9, 5, 80));
    // Of two blocks the length covers neither count nor datagram: what is inside of it counts.
    let mut two = sender.clone();
    two[0] = 0x82;
    assert_eq!(heard(&read(&two)), 0);
    // The head is not covered.
    let mut headless = sender.clone();
    headless[3] = 5;
    assert_eq!(heard(&read(&headless)), 0);
    // A receiver report of one block that is said to be 24 bytes long, and of which the end is missing.
    let receiver = words(&[0x81c9_0005, 9, 7, 0x0500_0001, 100, 80, 0x1234_5678, 32_768]);
    assert_eq!(heard(&read(&receiver)), 1);
    assert_eq!(heard(&read(&receiver[..28])), 0);
    // The next packet is where the length says: here it is one.
    let compound = [
        sender.get(..36).unwrap(),
        &words(&[0x81c9_0007, 9, 7, 0x0500_0001, 100, 80, 0x1234_5678, 32_768]),
    ]
    .concat();
    assert!(heard(&read(&compound)) >= 1);
    // What is no RTCP ends the reading.
    let mut other = compound;
    other[37] = 96;
    let said = read(&other);
    assert_eq!(heard(&said), 1, "{said:?}");
}
