use std::collections::BTreeMap;

use super::*;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

fn now() -> Now {
    #[expect(clippy::disallowed_methods, reason = "a test begins at any time")]
    let instant = Instant::now();
    Now {
        instant,
        unix: Duration::from_secs(1_800_000_000),
    }
}

fn config() -> Config {
    let flags = crate::config::Flags {
        interface: vec!["192.0.2.1".parse().unwrap()],
        ..crate::config::Flags::default()
    };
    Config::load(None, &flags).unwrap()
}

fn observer() -> Observer {
    Observer::new(config(), now()).unwrap()
}

fn request(command: &str, call: &str) -> Dict {
    Dict::new()
        .with("command", command)
        .with("call-id", call)
        .with("from-tag", "F")
        .with("ICE", "remove")
        .with("replace", Value::List(vec!["origin".into()]))
}

/// A reply as another relay gives it: the same, at other ports of another address.
fn elsewhere(request: &Dict) -> Dict {
    let mut other = config();
    other.interfaces[0].address = "203.0.113.77".parse().unwrap();
    let mut explainer = explainer(&other, now()).unwrap();
    let message = request.to_bencode();
    let message = Message {
        line: 0,
        cookie: None,
        payload: &message,
    };
    explainer.explain(&message).reply
}

fn observed(request: &Dict, reply: &Dict) -> Observed {
    Observed {
        request: request.to_bencode(),
        reply: reply.to_bencode(),
        took: Duration::from_micros(500),
    }
}

fn totals(observer: &mut Observer) -> Totals {
    match observer.turn(now()) {
        Some(Entry::Totals { totals, .. }) => totals,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_same_at_another_address_is_the_same() {
    let mut observer = observer();
    let offer = request("offer", "c").with("sdp", SDP);
    let reply = elsewhere(&offer);
    assert!(reply.get_str("sdp").unwrap().contains("203.0.113.77"));
    assert_eq!(observer.observe(&observed(&offer, &reply), now()), []);
    let totals = totals(&mut observer);
    assert_eq!((totals.requests, totals.same, totals.different), (1, 1, 0));
    assert_eq!(observer.turn(now()), None);
}

#[test]
fn another_line_is_named_with_the_reason() {
    let mut observer = observer();
    let offer = request("offer", "c").with("sdp", SDP);
    let mut reply = elsewhere(&offer);
    let sdp = reply.get_str("sdp").unwrap().to_owned();
    let sdp = sdp.replace("a=rtpmap:101 telephone-event/8000\r\n", "a=ptime:20\r\n");
    reply.set("sdp", sdp);
    let entries = observer.observe(&observed(&offer, &reply), now());
    let told: Vec<_> = entries
        .into_iter()
        .map(|entry| match entry {
            Entry::Difference {
                difference, reason, ..
            } => (difference, reason),
            Entry::Totals { .. } => panic!("no counts yet"),
        })
        .collect();
    let because = Some("as received".to_owned());
    let ours = "offer audio a=rtpmap: only Windlass".to_owned();
    let theirs = "offer audio a=ptime: only rtpengine".to_owned();
    assert_eq!(told, [(ours, because), (theirs, None)]);
}

#[test]
fn a_refusal_of_one_is_a_difference() {
    let mut observer = observer();
    let offer = request("offer", "c").with("sdp", SDP);
    let reply = Dict::new()
        .with("result", "error")
        .with("error-reason", "Ran out of ports");
    let entries = observer.observe(&observed(&offer, &reply), now());
    assert_eq!(entries.len(), 2, "{entries:?}");
}

#[test]
fn what_cannot_be_compared_is_counted_by_reason() {
    let mut observer = observer();
    let ok = Dict::new().with("result", "ok");
    let asked = [
        request("answer", "begun before")
            .with("to-tag", "T")
            .with("sdp", SDP),
        request("offer", "begun before")
            .with("to-tag", "T")
            .with("sdp", SDP),
        request("delete", "begun before"),
        request("query", "begun before"),
        Dict::new().with("command", "ping"),
    ];
    for request in &asked {
        assert_eq!(observer.observe(&observed(request, &ok), now()), []);
    }
    let broken = Observed {
        request: b"d".to_vec(),
        reply: b"x".to_vec(),
        took: Duration::ZERO,
    };
    assert_eq!(observer.observe(&broken, now()), []);
    observer.skip(Skipped::Behind, 3);
    let totals = totals(&mut observer);
    let expected = [
        (Skipped::Midway, 3),
        (Skipped::Media, 2),
        (Skipped::Unreadable, 1),
        (Skipped::Behind, 3),
    ];
    let expected: BTreeMap<String, u64> = expected
        .into_iter()
        .map(|(why, count)| (why.word().to_owned(), count))
        .collect();
    assert_eq!(totals.skipped, expected);
    assert_eq!(totals.requests, 9);
}

#[test]
fn few_examples_are_written_and_all_are_counted() {
    let mut observer = observer();
    let mut written = 0;
    for call in 0..2 * SHADOW_EXAMPLES {
        let offer = request("offer", &call.to_string()).with("sdp", SDP);
        let mut reply = elsewhere(&offer);
        reply.set("warning", "x");
        written += observer.observe(&observed(&offer, &reply), now()).len();
    }
    assert_eq!(written, SHADOW_EXAMPLES as usize);
    let totals = totals(&mut observer);
    let count = totals.differences["offer reply warning: only rtpengine"];
    assert_eq!(count, u64::from(2 * SHADOW_EXAMPLES));
}

#[test]
fn ended_calls_are_forgotten() {
    let mut observer = observer();
    let offer = request("offer", "c").with("sdp", SDP);
    observer.observe(&observed(&offer, &elsewhere(&offer)), now());
    let ok = Dict::new().with("result", "ok");
    observer.observe(&observed(&request("delete", "c"), &ok), now());
    let mut later = now();
    later.instant += Duration::from_secs(120);
    observer.turn(later);
    assert_eq!(observer.calls.len(), 0);
    assert_eq!(observer.explainer.calls().count(), 0);
}
