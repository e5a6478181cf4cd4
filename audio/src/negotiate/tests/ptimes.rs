use super::*;

fn forced(ms: u32) -> PtimeOptions {
    PtimeOptions {
        forced: Some(ms),
        forced_reverse: None,
    }
}

#[test]
fn rows_of_printed_packet_times() {
    assert_eq!(
        printed_ptime(forced(20), Some(30), Some(40)),
        (Some(20), Some(30))
    );
    assert_eq!(
        printed_ptime(PtimeOptions::default(), Some(30), Some(40)),
        (Some(30), Some(40))
    );
    let reverse = PtimeOptions {
        forced: None,
        forced_reverse: Some(60),
    };
    assert_eq!(printed_ptime(reverse, Some(30), None), (Some(30), Some(60)));
}

#[test]
fn packets_are_cut_only_where_something_asks_for_it() {
    let codec = &list("8")[0];
    let cut = |is_converted, forced, receiver, sender| {
        cut_ptime(codec, is_converted, forced, receiver, sender, None, None)
    };
    assert_eq!(cut(false, None, Some(40), Some(30)), None);
    assert_eq!(cut(false, Some(40), None, None), Some(40));
    assert_eq!(cut(true, Some(40), Some(10), Some(30)), Some(40));
    // The offer alone says 30: both ways.
    assert_eq!(cut(true, None, None, Some(30)), Some(30));
    assert_eq!(cut(true, None, Some(30), None), Some(30));
    assert_eq!(cut(true, None, None, None), Some(20));
}

#[test]
fn packet_times_fit_the_codec_and_the_receiver() {
    let [g722, pcma] = [&list("9")[0], &list("8")[0]];
    assert_eq!(
        cut_ptime(g722, true, Some(25), None, None, None, None),
        Some(20)
    );
    assert_eq!(
        cut_ptime(pcma, true, None, Some(60), None, None, Some(40)),
        Some(40)
    );
    assert_eq!(
        cut_ptime(pcma, true, None, None, None, Some(40), None),
        Some(40)
    );
    assert_eq!(
        cut_ptime(pcma, true, Some(100_000), None, None, None, None),
        Some(120)
    );
    assert_eq!(
        cut_ptime(pcma, true, Some(0), None, None, None, None),
        Some(1)
    );
}
