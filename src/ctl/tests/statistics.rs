//! Statistics as text and as JSON.

use std::time::Duration;

use super::Operated;

#[test]
fn interfaces_are_described() {
    let operated = Operated::with_call();
    let interfaces = operated.run("list interfaces");
    assert_eq!(
        interfaces.lines().take(10).collect::<Vec<_>>().join("\n"),
        "Interface 'default' address '203.0.113.1' (IPv4)
 Port range: 30000 - 39999
 Ports used:     4 / 10000 (  0.0%)
 Packets/bytes/errors:
  Ingress: 0 / 0 / 0
  Egress: 0 / 0 / 0
 Packets lost/duplicates: 0 / 0
 MOS: avg 0.00, stddev 0.00
 Jitter: avg 0.00, stddev 0.00
 RTT: avg 0.00, stddev 0.00"
    );
    assert!(interfaces.contains("\nInterface 'default' address '2001:db8::1' (IPv6)\n"));
}

#[test]
fn totals_have_their_sections_and_columns() {
    let operated = Operated::with_call();
    let proxy = std::net::IpAddr::from([198, 51, 100, 1]);
    let offered = Some(windlass_ng::Command::Offer);
    let calls = &operated.bench.calls;
    calls.count_command((proxy, 1).into(), offered, Duration::from_millis(1), false);
    let totals = operated.run("list totals");
    let mut rest = totals.as_str();
    for section in [
        "\nStatistics over currently running sessions:\n\n Owned sessions                                  :1\n",
        "\nTotal statistics (does not include current running sessions):\n\n Uptime of rtpengine                             :2 seconds\n",
        "\nMOS statistics:\n\n Sum of all MOS values sampled                   :0.000000\n",
        "\nVoIP metrics:\n\n Sum of all jitter values sampled                :0.000000\n",
        "\nControl statistics:\n\n                Proxy |       Ping |      Offer |",
        "|       Mesh \n         198.51.100.1 |          0 |          1 |",
        "\nVoIP metrics for interface default/203.0.113.1:\n",
        "\nVoIP metrics for interface default/2001:db8::1:\n",
        "\nLost:\n\n flow_events                                     :3\n",
    ] {
        let at = rest
            .find(section)
            .unwrap_or_else(|| panic!("{section}\n{totals}"));
        rest = &rest[at + section.len()..];
    }
    assert!(
        totals
            .lines()
            .all(|line| !line.ends_with(':') || !line.starts_with("  "))
    );
    let counters = operated.run("list counters");
    let start =
        "\nCurrent per-second counters:\n\n Packets per second (userspace)                  :0\n";
    assert!(counters.starts_with(start), "{counters}");
    assert_eq!(counters.lines().count(), 12);
}

#[test]
fn statistics_are_json_with_plain_numbers() {
    let operated = Operated::with_call();
    let text = operated.run("list jsonstats");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (path, expected) in [
        ("/currentstatistics/sessionsown", 1.0),
        ("/totalstatistics/uptime", 2.0),
        ("/totalstatistics/avgcallduration", 0.0),
        ("/mos/mos_average", 0.0),
        ("/voip_metrics/rtt_dsct_stddev", 0.0),
        ("/voip_metrics/rtp_seq_resets", 0.0),
        ("/interfaces/0/ports/used_pct", 0.04),
        (
            "/interfaces/0/voip_metrics/jitter_measured_samples_total",
            0.0,
        ),
        ("/interfaces/1/egress/errors", 0.0),
        ("/lost/flow_events", 3.0),
    ] {
        let found = json.pointer(path).and_then(serde_json::Value::as_f64);
        assert_eq!(found, Some(expected), "{path}");
    }
    for path in [
        "/transcoders",
        "/poller_threads",
        "/bufferpools",
        "/interfaces/0/address",
    ] {
        let is_number = json.pointer(path).unwrap().is_number();
        assert!(!is_number, "{path}");
    }
}

#[test]
fn no_description_is_wider_than_its_column() {
    let totals = Operated::with_call().run("list totals");
    let lines = totals
        .lines()
        .filter(|line| line.starts_with(' ') && !line.contains('|'));
    for line in lines {
        assert_eq!(line.rfind(':'), Some(49), "{line}");
    }
}
