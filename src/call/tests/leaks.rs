//! Ports never leak, whatever a proxy sends.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::*;

const SEQUENCES: u32 = 100_000;

fn random_sdp(rng: &mut StdRng) -> String {
    let host = ["198.51.100.10", "2001:db8::99", "0.0.0.0", "192.168.0.9"]
        .choose(rng)
        .unwrap();
    let mut port = || [0, 2000, 2000, 2002, 4000].choose(rng).copied().unwrap();
    let first = port();
    let second = port();
    let mut sdp = audio(host, first, "");
    let rng = &mut *rng;
    for line in ["a=rtcp-mux\n", "a=sendonly\n", "a=inactive\n"] {
        if rng.random_range(0..4) == 0 {
            sdp.push_str(line);
        }
    }
    match rng.random_range(0..8) {
        0 => sdp.push_str(&format!("m=video {second} RTP/AVP 96\n")),
        1 => sdp.push_str(&format!("m=image {second} udptl t38\n")),
        2 => sdp.push_str(&format!("m=message {second} TCP/MSRP *\n")),
        3 => sdp = sdp.replace("c=IN", "c=XX"),
        4 => sdp = sdp.replace("RTP/AVP 8", "RTP/SAVP 8"),
        _ => {}
    }
    sdp
}

fn random_request(rng: &mut StdRng) -> Dict {
    let tag = |rng: &mut StdRng| *["F", "T", "U"].choose(rng).unwrap();
    let command = *["offer", "offer", "answer", "delete"].choose(rng).unwrap();
    let mut request = Dict::new()
        .with("command", command)
        .with("call-id", format!("call-{}", rng.random_range(0..6)))
        .with("from-tag", tag(rng));
    if command == "answer" || rng.random_range(0..3) == 0 {
        request.push("to-tag", tag(rng));
    }
    if rng.random_range(0..3) == 0 {
        request.push("via-branch", *["b1", "b2", "b3"].choose(rng).unwrap());
    }
    if command == "delete" {
        request.push("delete-delay", i64::from(rng.random_range(0..3) * 5));
        request.push(
            "flags",
            strings(&[["to-tag", "fast", "fatal"].choose(rng).unwrap()]),
        );
        return request;
    }
    let muxes = ["offer", "require", "demux", "accept", "reject"];
    if rng.random_range(0..3) == 0 {
        request.push("rtcp-mux", strings(&[muxes.choose(rng).unwrap()]));
    }
    if rng.random_range(0..4) == 0 {
        request.push("address-family", *["IP4", "IP6"].choose(rng).unwrap());
    }
    if rng.random_range(0..4) == 0 {
        request.push(
            "direction",
            strings(&["ext", ["int", "ext", "none"].choose(rng).unwrap()]),
        );
    }
    let sdp = random_sdp(rng).replace('\n', "\r\n");
    request.with("sdp", sdp)
}

#[test]
fn ports_and_flows_are_one_over_100_000_random_commands() {
    // Few enough ports that they run out now and then.
    let ext = [("ext", "203.0.113.1", None), ("ext", "2001:db8::1", None)];
    let mut bench = Bench::on(
        &[ext[0], ext[1], ("int", "192.0.2.10", None)],
        30_000,
        30_059,
    );
    let mut rng = StdRng::seed_from_u64(2024);
    for step in 0..SEQUENCES {
        let request = random_request(&mut rng);
        let _ = bench.ask(request.clone());
        assert_eq!(bench.leased(), bench.flows(), "step {step}: {request:?}");
        if step % 50 == 0 {
            bench.wait(rng.random_range(0..20));
        }
    }
    bench.wait(3700);
    assert_eq!(
        (bench.calls.count(), bench.leased(), bench.flows()),
        (0, 0, 0)
    );
}
