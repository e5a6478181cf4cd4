//! ng-protocol §5: `play DTMF`.

use super::ng_05_commands::{FROM, TO, connected, flow_of, reason};
use super::*;

#[test]
fn a_digit_is_played_in_the_place_of_the_party_to_those_who_hear_it() {
    let mut bench = connected();
    let played = |bench: &mut Bench, more: Dict| {
        let mut request = command("play DTMF");
        request.extend(more.into_entries());
        let reply = bench.ask(request);
        let played = std::mem::take(&mut *bench.books.played.lock().unwrap());
        (reason(&reply).to_owned(), played)
    };
    let (from, to) = (flow_of(&bench, FROM).local, flow_of(&bench, TO).local);
    let code = || Dict::new().with("code", "5");
    let (reply, digits) = played(&mut bench, code().with("from-tag", "F"));
    assert_eq!(reply, "ok");
    assert_eq!((digits[0].from, digits[0].via, digits.len()), (from, to, 1));
    assert_eq!((digits[0].payload_type, digits[0].clock_rate), (101, 8000));
    let (_, digits) = played(&mut bench, code().with("label", "caller"));
    assert_eq!(digits[0].via, to);
    let (_, digits) = played(&mut bench, code().with("from-tag", "T"));
    assert_eq!((digits[0].from, digits[0].via, digits.len()), (to, from, 1));
    let (_, digits) = played(&mut bench, code().with("all", "all"));
    assert_eq!(digits.len(), 2);
    // Key, value, then duration, pause and level.
    let rows: [(&str, Value, (u32, u32, u8)); 11] = [
        ("duration", Value::Int(250), (250, 100, 8)),
        ("duration", Value::from("300"), (300, 100, 8)),
        ("duration", Value::Int(99), (100, 100, 8)),
        ("duration", Value::Int(5001), (5000, 100, 8)),
        ("pause", Value::Int(99), (250, 100, 8)),
        ("pause", Value::Int(200), (250, 200, 8)),
        ("pause", Value::Int(6000), (250, 5000, 8)),
        ("volume", Value::Int(-12), (250, 100, 12)),
        ("volume", Value::Int(12), (250, 100, 12)),
        ("volume", Value::from("-3"), (250, 100, 3)),
        ("frequency", Value::Int(1000), (250, 100, 8)),
    ];
    for (key, value, expected) in rows {
        let more = code().with("from-tag", "F").with(key, value.clone());
        let (_, digits) = played(&mut bench, more);
        let digit = digits[0];
        let found = (digit.duration_ms, digit.pause_ms, digit.volume);
        assert_eq!(found, expected, "{key}: {value:?}");
    }
    for (code, works) in [
        (Value::from("0"), true),
        (Value::from("#"), true),
        (Value::from("*"), true),
        (Value::from("D"), true),
        (Value::Int(15), true),
        (Value::Int(16), false),
        (Value::from("E"), false),
        (Value::from(""), false),
        (Value::Int(-1), false),
    ] {
        let more = Dict::new()
            .with("digit", code.clone())
            .with("from-tag", "F");
        let (reply, digits) = played(&mut bench, more);
        let expected = if works {
            "ok"
        } else {
            "Out of range 'code' specified"
        };
        assert_eq!(
            (&*reply, digits.len()),
            (expected, usize::from(works)),
            "{code:?}"
        );
    }
}

#[test]
fn digits_need_medias_and_somebody_who_understands_them() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("198.51.100.10", 2000, "")));
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    let play = command("play DTMF").with("from-tag", "F").with("code", "1");
    assert_eq!(
        reason(&bench.ask(play.clone())),
        "There is no sink media capable of DTMF playback"
    );
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("198.51.100.10", 0, "")));
    assert_eq!(
        reason(&bench.ask(play)),
        "Monologue has no media capable of DTMF injection"
    );
}
