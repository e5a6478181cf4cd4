//! Time-outs, delayed deletion, exhaustion: no state of a call lasts for ever.

use super::*;

const HOST: &str = "198.51.100.10";

fn delete(delay: i64) -> Dict {
    Dict::new()
        .with("command", "delete")
        .with("call-id", "call")
        .with("from-tag", "F")
        .with("delete-delay", Value::Int(delay))
}

#[test]
fn a_call_that_is_never_answered_ends_with_the_offer_timeout() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    bench.wait(3599);
    assert_eq!(bench.calls.count(), 1);
    bench.wait(2);
    assert_eq!(
        (bench.calls.count(), bench.leased(), bench.flows()),
        (0, 0, 0)
    );
}

#[test]
fn a_call_without_media_ends_with_the_media_timeout() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    bench.sdp(answer(&audio(HOST, 3000, "")));
    bench.wait(59);
    assert_eq!(bench.calls.count(), 1);
    bench.wait(2);
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
}

#[test]
fn packets_on_one_stream_keep_a_call_alive() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    bench.sdp(answer(&audio(HOST, 3000, "")));
    for _ in 0..10 {
        bench.wait(30);
        let clock = bench.books.packet_clock_ms();
        let flows = bench.books.flows.lock().unwrap();
        let (_, lease) = flows.values().next().unwrap();
        lease
            .stats()
            .last_packet_ms
            .store(clock + 1, std::sync::atomic::Ordering::Relaxed);
    }
    assert_eq!(bench.calls.count(), 1);
}

#[test]
fn a_call_on_hold_ends_with_the_silent_timeout() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "a=inactive\n")));
    bench.sdp(answer(&audio(HOST, 3000, "a=inactive\n")));
    bench.wait(3000);
    assert_eq!(bench.calls.count(), 1);
    bench.wait(601);
    assert_eq!(bench.calls.count(), 0);
}

#[test]
fn a_call_of_rejected_medias_ends_too() {
    let mut bench = Bench::new();
    bench.ask(offer(&audio(HOST, 0, "")));
    bench.wait(3601);
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
}

#[test]
fn every_call_ends_with_the_final_timeout() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    for _ in 0..35 {
        bench.wait(1000);
        bench.sdp(offer(&audio(HOST, 2000, "")));
    }
    assert_eq!(bench.calls.count(), 1);
    bench.wait(1000);
    assert_eq!(bench.calls.count(), 0);
}

#[test]
fn a_delayed_deletion_is_carried_out_or_taken_back_by_an_offer() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio(HOST, 2000, "")));
    bench.ask(delete(-1));
    assert_eq!((bench.calls.count(), bench.leased()), (1, 4));
    bench.wait(29);
    bench.sdp(offer(&audio(HOST, 2000, "")));
    bench.wait(40);
    assert_eq!(bench.calls.count(), 1);
    bench.ask(delete(5));
    bench.wait(6);
    assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
}

#[test]
fn exhaustion_refuses_the_call_and_leaks_nothing() {
    let mut bench = Bench::on(&[("default", "203.0.113.1", None)], 30_000, 30_005);
    bench.sdp(offer(&audio(HOST, 2000, "")));
    assert_eq!(bench.leased(), 4);
    let mut second = offer(&audio(HOST, 2000, ""));
    second.push("call-id", "second");
    let reply = bench.ask(second);
    assert_eq!(reply.get_str("error-reason"), Some("Ran out of ports"));
    assert_eq!(
        (bench.leased(), bench.calls.count(), bench.flows()),
        (4, 1, 4)
    );
}

#[test]
fn an_offer_that_cannot_be_read_leaves_no_call() {
    let mut bench = Bench::new();
    for (sdp, reason) in [
        ("nonsense", "Failed to parse SDP"),
        (
            "v=0\nm=audio 2000 RTP/AVP 8\n",
            "Incomplete SDP specification",
        ),
        (
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 2000 RTP/AVP 200\n",
            "Incomplete SDP specification",
        ),
    ] {
        assert_eq!(bench.ask(offer(sdp)).get_str("error-reason"), Some(reason));
        assert_eq!((bench.calls.count(), bench.leased()), (0, 0));
    }
}

#[test]
fn the_reply_to_delete_has_the_streams_of_the_call() {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("198.51.100.10", 2000, "")));
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    let delete = Dict::new()
        .with("command", "delete")
        .with("call-id", "call")
        .with("from-tag", "F")
        .with("delete-delay", 0);
    let reply = bench.ask(delete);
    let tags = reply.get("tags").unwrap().as_dict().unwrap();
    for tag in ["F", "T"] {
        let party = tags.get(tag).unwrap().as_dict().unwrap();
        let media = party.get("medias").unwrap().as_list().unwrap()[0]
            .as_dict()
            .unwrap();
        assert_eq!(
            media.get("streams").unwrap().as_list().unwrap().len(),
            2,
            "{tag}"
        );
    }
    assert_eq!((bench.leased(), bench.flows()), (0, 0));
}
