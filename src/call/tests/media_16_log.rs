//! What the log says of a call (media-behaviour §16).

use super::{Bench, answer, audio, numbered, offer};
use crate::call::Marks;
use windlass_ng::CallId;

/// What is logged at the end of a call.
fn end_of_a_call(marks: &Marks) -> String {
    let mut bench = Bench::new();
    bench.ask(offer(&audio("198.51.100.2", 4000, "")));
    bench.wait(62);
    bench.ask(answer(&audio("198.51.100.7", 5000, "")));
    let now = bench.now;
    let clock = bench.calls.packet_clock(now);
    let lines = bench.calls.with_call(&CallId::from("call"), |call| {
        call.final_stats(now, clock, marks)
    });
    lines.unwrap().join("\n")
}

#[test]
fn the_end_of_a_call_is_logged_with_every_stream() {
    assert_eq!(
        numbered(&end_of_a_call(&Marks::default())),
        "\
Final packet stats:
--- Tag 'F', created 1:02 ago for branch ''
------ Media #1 (audio over RTP/AVP) using unknown codec
--------- Port     203.0.113.1:PORT0 <>    198.51.100.2:4000 , SSRC 0, in 0 p, 0 b, 0 e, 0 ts, \
out 0 p, 0 b, 0 e
--------- Port     203.0.113.1:PORT1 <>    198.51.100.2:4001  (RTCP), SSRC 0, in 0 p, 0 b, 0 e, \
0 ts, out 0 p, 0 b, 0 e
--- Tag 'T', created 1:02 ago for branch ''
------ Media #1 (audio over RTP/AVP) using unknown codec
--------- Port     203.0.113.1:PORT2 <>    198.51.100.7:5000 , SSRC 0, in 0 p, 0 b, 0 e, 0 ts, \
out 0 p, 0 b, 0 e
--------- Port     203.0.113.1:PORT3 <>    198.51.100.7:5001  (RTCP), SSRC 0, in 0 p, 0 b, 0 e, \
0 ts, out 0 p, 0 b, 0 e"
    );
}

#[test]
fn marks_stand_around_addresses_and_tags() {
    let log = end_of_a_call(&Marks {
        prefix: "<<".to_owned(),
        suffix: ">>".to_owned(),
    });
    for marked in [
        "--- Tag '<<F>>', created 1:02 ago for branch '<<>>'",
        " <> <<   198.51.100.2:4000 >>, SSRC <<0>>, in",
        " <> <<   198.51.100.7:5000 >>, SSRC <<0>>, in",
    ] {
        assert!(log.contains(marked), "{marked}\n{log}");
    }
}
