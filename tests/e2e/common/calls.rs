//! Many calls of sipp phones through a proxy, with their media watched in the relay.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use windlass_ng::{Dict, Value};

use super::TempDir;
use super::process::{Relay, free_udp};
use super::sipp;

const CALLS: u32 = 50;

/// Two seconds of 20 ms packets.
const PACKETS: i64 = 100;

/// Packets in and out of the two RTP flows of one call: `[in, out]` per leg.
type Flows = Vec<[i64; 2]>;

/// Places calls to `target`, whose proxy sends them to a callee at `callee_port`. Every call must
/// succeed, and every packet of every caller come back.
pub(crate) fn run(relay: &Relay, target: &str, callee_port: u16, carrier: sipp::Carrier) {
    let directory = TempDir::new(&format!("sipp-{callee_port}"));
    std::fs::write(
        directory.path().join("tone.pcma"),
        vec![0xd5u8; 160 * PACKETS as usize],
    )
    .unwrap();
    let media_port = free_udp("127.0.0.1").port() & !1;
    let callee = sipp::callee(directory.path(), "127.0.0.1", callee_port, media_port);
    let over = AtomicBool::new(false);
    let (outcome, calls) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(relay, &over));
        let outcome = sipp::caller(directory.path(), "127.0.0.1", target, CALLS, carrier);
        over.store(true, Relaxed);
        (outcome, watch.join().unwrap())
    });
    assert_eq!(
        (outcome.successful, outcome.failed),
        (u64::from(CALLS), 0),
        "{}\n{}",
        outcome.screen,
        callee.log()
    );
    println!("{CALLS} calls, {} retransmissions", outcome.retransmissions);
    assert_eq!(calls.len(), CALLS as usize);
    for (id, flows) in calls {
        let [[caller_in, caller_out], [callee_in, callee_out]] = flows[..] else {
            panic!("{id}: {flows:?}");
        };
        assert!(
            caller_in >= PACKETS - 2,
            "{id}: the caller spoke {caller_in} packets"
        );
        assert_eq!(callee_out, caller_in, "{id}: all reached the callee");
        assert_eq!(callee_in, callee_out, "{id}: all came back");
        assert_eq!(caller_out, callee_in, "{id}: all reached the caller");
    }
    assert_eq!(relay.leased_ports(), 0, "ports of ended calls");
}

/// The last counters of every call that was seen.
fn watch(relay: &Relay, over: &AtomicBool) -> BTreeMap<String, Flows> {
    let client = relay.client();
    let mut calls = BTreeMap::new();
    while !over.load(Relaxed) {
        let list = Dict::new()
            .with("command", "list")
            .with("limit", Value::Int(1000));
        let reply = client.request(&list).unwrap();
        for id in reply.get("calls").unwrap().as_list().unwrap() {
            let id = id.as_str().unwrap();
            let query = Dict::new().with("command", "query").with("call-id", id);
            // The call may have ended since.
            if let Ok(reply) = client.request(&query) {
                calls.insert(id.to_owned(), flows(&reply));
            }
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    calls
}

fn flows(reply: &Dict) -> Flows {
    let tags = reply.get("tags").unwrap().as_dict().unwrap();
    let flow = |leg: &Value| {
        let media = leg
            .as_dict()?
            .get("medias")?
            .as_list()?
            .first()?
            .as_dict()?;
        let stream = media.get("streams")?.as_list()?.first()?.as_dict()?;
        let packets = |key| stream.get(key)?.as_dict()?.get("packets")?.as_int();
        Some([packets("stats")?, packets("stats_out")?])
    };
    tags.iter().filter_map(|(_, leg)| flow(leg)).collect()
}
