//! ng-protocol §13: the counters of the relay, name by name.

use super::ng_12_query::{hear, int, text};
use super::*;
use windlass_ng::Command;

fn statistics(bench: &mut Bench) -> Dict {
    let reply = bench.ask(Dict::new().with("command", "statistics"));
    assert_eq!(keys(&reply, ""), ["statistics", "result"]);
    at(&reply, "statistics").as_dict().unwrap().clone()
}

/// A call of two that is set up, and one that is not answered.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.sdp(offer(&audio("198.51.100.10", 2000, "")));
    bench.sdp(answer(&audio("198.51.100.20", 3000, "")));
    bench
}

fn list(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn names_and_types() {
    let mut bench = bench();
    let source = SocketAddr::from(([127, 0, 0, 1], 2222));
    let took = Duration::from_millis(1);
    bench
        .calls
        .count_command(source, Some(Command::Offer), took, false);
    bench.wait(1);
    let dict = statistics(&mut bench);
    assert_eq!(
        keys(&dict, ""),
        list(
            "currentstatistics totalstatistics mos voip_metrics controlstatistics interfaces \
             transcoders poller_threads bufferpools lost"
        )
    );
    assert_eq!(
        keys(&dict, "currentstatistics"),
        list(
            "sessionsown sessionsforeign sessionstotal transcodedmedia mediacache playercache \
             packetrate_user byterate_user errorrate_user packetrate_kernel byterate_kernel \
             errorrate_kernel packetrate byterate errorrate media_userspace media_kernel \
             media_mixed"
        )
    );
    assert_eq!(
        keys(&dict, "totalstatistics"),
        list(
            "uptime managedsessions rejectedsessions timeoutsessions silenttimeoutsessions \
             finaltimeoutsessions offertimeoutsessions regularterminatedsessions \
             forcedterminatedsessions relayedpackets_user relayedpacketerrors_user \
             relayedbytes_user relayedpackets_kernel relayedpacketerrors_kernel \
             relayedbytes_kernel relayedpackets relayedpacketerrors relayedbytes \
             zerowaystreams onewaystreams avgcallduration totalcallsduration \
             totalcallsduration2 totalcallsduration_stddev"
        )
    );
    let is_text = |path: &str| at(&dict, path).as_bytes().is_some();
    for name in keys(&dict, "currentstatistics") {
        assert!(!is_text(&format!("currentstatistics/{name}")), "{name}");
    }
    for name in keys(&dict, "totalstatistics") {
        let expected = name == "uptime" || name.contains("duration");
        assert_eq!(
            is_text(&format!("totalstatistics/{name}")),
            expected,
            "{name}"
        );
    }
    assert_eq!(text(&dict, "totalstatistics/uptime"), "1");
    assert_eq!(text(&dict, "totalstatistics/avgcallduration"), "0.000000");

    let sums = |place: &str, name: &str| {
        for part in ["_total", "2_total", "_average", "_stddev"] {
            let path = format!("{place}/{name}{part}");
            assert!(is_text(&path), "{path}");
        }
        assert_eq!(int(&dict, &format!("{place}/{name}_samples_total")), 0);
    };
    sums("mos", "mos");
    for name in [
        "jitter",
        "rtt_e2e",
        "rtt_dsct",
        "packetloss",
        "jitter_measured",
    ] {
        sums("voip_metrics", name);
        sums("interfaces/0/voip_metrics", name);
    }
    sums("interfaces/0/voip_metrics", "mos");
    for name in list("packets_lost rtp_duplicates rtp_skips rtp_seq_resets rtp_reordered") {
        assert_eq!(int(&dict, &format!("voip_metrics/{name}")), 0);
    }

    assert_eq!(
        keys(&dict, "interfaces/0"),
        list("name address ports packets_lost duplicates voip_metrics ingress egress")
    );
    assert_eq!(text(&dict, "interfaces/0/name"), "default");
    assert_eq!(text(&dict, "interfaces/0/address"), "203.0.113.1");
    let ports = "interfaces/0/ports";
    assert_eq!(
        keys(&dict, ports),
        list("min max used used_pct free totals")
    );
    assert_eq!(int(&dict, &format!("{ports}/min")), 30_000);
    assert_eq!(int(&dict, &format!("{ports}/max")), 39_999);
    assert_eq!(int(&dict, &format!("{ports}/used")), 4);
    assert_eq!(text(&dict, &format!("{ports}/used_pct")), "0.04");
    assert_eq!(int(&dict, &format!("{ports}/free")), 9_996);
    assert_eq!(int(&dict, &format!("{ports}/totals")), 10_000);
    for way in ["ingress", "egress"] {
        let names = keys(&dict, &format!("interfaces/0/{way}"));
        assert_eq!(names, list("packets bytes errors"));
    }
}

#[test]
fn commands_are_counted_by_proxy() {
    const NAMES: &str = "ping offer answer delete query list startrec stoprec pauserec startfwd \
        stopfwd blkdtmf unblkdtmf blkmedia unblkmedia playmedia stopmedia playdtmf stats slnmedia \
        unslnmedia pub subreq subans unsub injstart injstop conn cli trnsfm create crtansw mesh";
    let mut bench = Bench::new();
    let took = Duration::from_micros(1500);
    for (host, command, failed) in [
        (1, Some(Command::Offer), false),
        (1, Some(Command::Offer), true),
        (1, None, true),
        (2, Some(Command::Offer), false),
        (2, Some(Command::CreateAnswer), false),
    ] {
        let source = SocketAddr::from(([127, 0, 0, host], 2222));
        bench.calls.count_command(source, command, took, failed);
    }
    let dict = statistics(&mut bench);
    let proxy = "controlstatistics/proxies/0";
    let mut expected = list("proxy");
    for name in list(NAMES) {
        expected.extend([format!("{name}count"), format!("{name}duration")]);
    }
    expected.push("errorcount".to_owned());
    assert_eq!(keys(&dict, proxy), expected);
    assert_eq!(text(&dict, &format!("{proxy}/proxy")), "127.0.0.1");
    assert_eq!(int(&dict, &format!("{proxy}/offercount")), 2);
    assert_eq!(text(&dict, &format!("{proxy}/offerduration")), "0.003000");
    assert_eq!(int(&dict, &format!("{proxy}/errorcount")), 2);
    let mut expected = list("proxies");
    expected.extend(list(NAMES).iter().map(|name| format!("total{name}count")));
    expected.push("straysdpbytes".to_owned());
    assert_eq!(keys(&dict, "controlstatistics"), expected);
    assert_eq!(int(&dict, "controlstatistics/totaloffercount"), 3);
    assert_eq!(int(&dict, "controlstatistics/totalcrtanswcount"), 1);
}

#[test]
fn sessions_count_when_they_end_and_packets_at_once() {
    let mut bench = bench();
    hear(&bench, "198.51.100.10:2000", 60, 0xaaaa);
    let totals = |bench: &mut Bench| {
        let dict = statistics(bench);
        let of = |name: &str| int(&dict, &format!("totalstatistics/{name}"));
        let current = |name: &str| int(&dict, &format!("currentstatistics/{name}"));
        for name in ["relayedpackets", "relayedbytes", "relayedpacketerrors"] {
            assert_eq!(of(name), of(&format!("{name}_user")));
            assert_eq!(of(&format!("{name}_kernel")), 0);
        }
        assert_eq!(current("sessionstotal"), current("sessionsown"));
        [
            current("sessionsown"),
            of("managedsessions"),
            of("relayedpackets"),
            of("relayedbytes"),
            of("relayedpacketerrors"),
            of("zerowaystreams"),
            of("onewaystreams"),
            of("regularterminatedsessions"),
            of("forcedterminatedsessions"),
        ]
    };
    assert_eq!(totals(&mut bench), [1, 0, 60, 10_320, 1, 0, 0, 0, 0]);
    bench.wait(1);
    let dict = statistics(&mut bench);
    assert_eq!(int(&dict, "currentstatistics/packetrate"), 60);
    assert_eq!(int(&dict, "currentstatistics/byterate"), 10_320);
    assert_eq!(int(&dict, "currentstatistics/errorrate"), 1);
    assert_eq!(int(&dict, "currentstatistics/media_userspace"), 1);
    bench.wait(1);
    bench.ask(command("delete").with("delete-delay", 0));
    assert_eq!(totals(&mut bench), [0, 1, 60, 10_320, 1, 0, 1, 1, 0]);
    let dict = statistics(&mut bench);
    let of = |name: &str| text(&dict, &format!("totalstatistics/{name}"));
    assert_eq!(of("avgcallduration"), "2.000000");
    assert_eq!(of("totalcallsduration"), "2.000000");
    assert_eq!(of("totalcallsduration2"), "4.000000");
    assert_eq!(of("totalcallsduration_stddev"), "0.000000");
    // One that nothing was heard of.
    bench.sdp(offer(&audio("198.51.100.10", 2000, "")));
    bench.ask(command("delete").with("delete-delay", 0));
    assert_eq!(totals(&mut bench), [0, 2, 60, 10_320, 1, 1, 1, 2, 0]);
    bench.sdp(offer(&audio("198.51.100.10", 2000, "")));
    bench.wait(3600);
    let dict = statistics(&mut bench);
    assert_eq!(int(&dict, "totalstatistics/offertimeoutsessions"), 1);
}

#[test]
fn refused_offers_are_counted_for_the_session_limit_alone() {
    use crate::observe::load::LoadExceeded;
    let mut bench = Bench::new();
    bench.calls.set_limits(Limits {
        max_sessions: Some(0),
        ..Limits::default()
    });
    bench.ask(offer(&audio("198.51.100.10", 2000, "")));
    bench.calls.set_limits(Limits::default());
    bench.calls.set_overload(Some(LoadExceeded::Cpu));
    bench.ask(offer(&audio("198.51.100.10", 2000, "")));
    let dict = statistics(&mut bench);
    assert_eq!(int(&dict, "totalstatistics/rejectedsessions"), 1);
}
