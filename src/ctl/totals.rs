//! Statistics for people: the structure of ng-protocol §13 as lines.

use std::fmt::Write as _;

use windlass_ng::{Command, Dict, Value};

/// Width of a description.
const WIDTH: usize = 48;

/// `list counters`.
pub(super) fn counters(statistics: &Dict) -> String {
    let mut out = "\nCurrent per-second counters:\n\n".to_owned();
    lines(&mut out, section(statistics, "currentstatistics"), &RATES);
    out
}

/// `list totals`.
pub(super) fn totals(statistics: &Dict) -> String {
    let mut out = "\nStatistics over currently running sessions:\n\n".to_owned();
    let current = section(statistics, "currentstatistics");
    lines(&mut out, current, &SESSIONS);
    lines(&mut out, current, &RATES);
    lines(&mut out, current, &STREAMS);
    out.push_str("\nTotal statistics (does not include current running sessions):\n\n");
    lines(&mut out, section(statistics, "totalstatistics"), &TOTALS);
    out.push_str("\n\nMOS statistics:\n\n");
    samples(&mut out, section(statistics, "mos"), &[("mos", "MOS")]);
    out.push_str("\n\nVoIP metrics:\n\n");
    let voip = section(statistics, "voip_metrics");
    samples(&mut out, voip, &METRICS);
    lines(&mut out, voip, &LOSSES);
    out.push_str("\n\nControl statistics:\n\n");
    control(&mut out, section(statistics, "controlstatistics"));
    for interface in list(statistics, "interfaces") {
        let (name, address) = (text(interface, "name"), text(interface, "address"));
        let _ = write!(out, "\n\nVoIP metrics for interface {name}/{address}:\n\n");
        let voip = section(Some(interface), "voip_metrics");
        samples(&mut out, voip, &[("mos", "MOS")]);
        samples(&mut out, voip, &METRICS);
        let losses = [
            ("Packets lost", "packets_lost", ""),
            ("RTP duplicates", "duplicates", ""),
        ];
        lines(&mut out, Some(interface), &losses);
    }
    lost(&mut out, section(statistics, "lost"));
    out.push('\n');
    out
}

/// What did not fit a queue or a disk; a section that rtpengine does not have.
fn lost(out: &mut String, lost: Option<&Dict>) {
    let mut lost = lost.into_iter().flat_map(Dict::iter).peekable();
    if lost.peek().is_some() {
        out.push_str("\n\nLost:\n\n");
    }
    for (name, count) in lost {
        let count = count.as_int().unwrap_or(0);
        line(out, &String::from_utf8_lossy(name), &count.to_string());
    }
}

/// `list interfaces`.
pub(super) fn interfaces(statistics: &Dict) -> String {
    let interfaces = list(statistics, "interfaces");
    interfaces.map(describe_interface).collect()
}

fn describe_interface(interface: &Dict) -> String {
    let address = text(interface, "address");
    let family = if address.contains(':') {
        "IPv6"
    } else {
        "IPv4"
    };
    let ports = section(Some(interface), "ports");
    let port = |key| ports.map(|ports| text(ports, key)).unwrap_or_default();
    let counters = |key: &str| {
        let counters = section(Some(interface), key);
        let count = |key| counters.map(|counters| text(counters, key));
        ["packets", "bytes", "errors"]
            .map(|key| count(key).unwrap_or_default())
            .join(" / ")
    };
    let voip = section(Some(interface), "voip_metrics");
    let metric = |name: &str| {
        let value = |what: &str| {
            let value = voip.map(|voip| text(voip, &format!("{name}_{what}")));
            value
                .and_then(|value| value.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        format!("avg {:.2}, stddev {:.2}", value("average"), value("stddev"))
    };
    let percent = port("used_pct").parse().unwrap_or(0.0_f64);
    format!(
        "Interface '{}' address '{address}' ({family})\n Port range: {} - {}\n \
         Ports used: {:>5} / {:>5} ({percent:>5.1}%)\n Packets/bytes/errors:\n  \
         Ingress: {}\n  Egress: {}\n Packets lost/duplicates: {} / {}\n MOS: {}\n \
         Jitter: {}\n RTT: {}\n",
        text(interface, "name"),
        port("min"),
        port("max"),
        port("used"),
        port("totals"),
        counters("ingress"),
        counters("egress"),
        text(interface, "packets_lost"),
        text(interface, "duplicates"),
        metric("mos"),
        // Reports of the peers first; without them, what was measured here.
        metric(if has_samples(voip, "jitter") {
            "jitter"
        } else {
            "jitter_measured"
        }),
        metric("rtt_e2e"),
    )
}

fn has_samples(voip: Option<&Dict>, name: &str) -> bool {
    let count = voip.and_then(|voip| voip.get(format!("{name}_samples_total")));
    count.and_then(Value::as_int).is_some_and(|count| count > 0)
}

/// One row per proxy.
fn control(out: &mut String, control: Option<&Dict>) {
    let titles = Command::ALL.iter().map(|command| title(*command));
    row(out, "Proxy", titles.map(str::to_owned));
    for proxy in control
        .into_iter()
        .flat_map(|control| list(control, "proxies"))
    {
        let counts = Command::ALL.iter();
        let counts = counts.map(|command| text(proxy, &format!("{}count", command.short_name())));
        row(out, &text(proxy, "proxy"), counts);
    }
}

fn row(out: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.map(|cell| format!(" {cell:>10} ")).collect();
    let _ = writeln!(out, "{first:>21} |{}", cells.join("|"));
}

fn title(command: Command) -> &'static str {
    match command {
        Command::Ping => "Ping",
        Command::Offer => "Offer",
        Command::Answer => "Answer",
        Command::Delete => "Delete",
        Command::Query => "Query",
        Command::List => "List",
        Command::StartRecording => "StartRec",
        Command::StopRecording => "StopRec",
        Command::PauseRecording => "PauseRec",
        Command::StartForwarding => "StartFwd",
        Command::StopForwarding => "StopFwd",
        Command::BlockDtmf => "BlkDTMF",
        Command::UnblockDtmf => "UnblkDTMF",
        Command::BlockMedia => "BlkMedia",
        Command::UnblockMedia => "UnblkMedia",
        Command::PlayMedia => "PlayMedia",
        Command::StopMedia => "StopMedia",
        Command::PlayDtmf => "PlayDTMF",
        Command::Statistics => "Stats",
        Command::SilenceMedia => "SlnMedia",
        Command::UnsilenceMedia => "UnslnMedia",
        Command::Publish => "Pub",
        Command::SubscribeRequest => "SubReq",
        Command::SubscribeAnswer => "SubAns",
        Command::Unsubscribe => "Unsub",
        Command::InjectStart => "InjStart",
        Command::InjectStop => "InjStop",
        Command::Connect => "Conn",
        Command::Cli => "CLI",
        Command::Transform => "TrnsFm",
        Command::Create => "Create",
        Command::CreateAnswer => "CrtAnsw",
        Command::Mesh => "Mesh",
    }
}

/// Description, key, unit.
type Line = (&'static str, &'static str, &'static str);

fn lines(out: &mut String, dict: Option<&Dict>, lines: &[Line]) {
    for (description, key, unit) in lines {
        let value = dict.map(|dict| text(dict, key)).unwrap_or_default();
        line(out, description, &format!("{value}{unit}"));
    }
}

/// Five lines per name.
fn samples(out: &mut String, dict: Option<&Dict>, names: &[(&str, &str)]) {
    let value = |key: String| dict.map(|dict| text(dict, &key)).unwrap_or_default();
    for (name, what) in names {
        for (description, key) in [
            (
                format!("Sum of all {what} values sampled"),
                format!("{name}_total"),
            ),
            (
                format!("Sum of all {what} square values sampled"),
                format!("{name}2_total"),
            ),
            (
                format!("Total number of {what} samples"),
                format!("{name}_samples_total"),
            ),
            (format!("Average {what}"), format!("{name}_average")),
            (
                format!("{what} standard deviation"),
                format!("{name}_stddev"),
            ),
        ] {
            line(out, &description, &value(key));
        }
    }
}

fn line(out: &mut String, description: &str, value: &str) {
    let _ = writeln!(out, " {description:<WIDTH$}:{value}");
}

fn section<'a>(dict: impl Into<Option<&'a Dict>>, key: &str) -> Option<&'a Dict> {
    dict.into()?.get(key)?.as_dict()
}

fn list<'a>(dict: &'a Dict, key: &str) -> impl Iterator<Item = &'a Dict> {
    let list = dict.get(key).and_then(Value::as_list).unwrap_or_default();
    list.iter().filter_map(Value::as_dict)
}

/// A number or text, as text.
fn text(dict: &Dict, key: &str) -> String {
    match dict.get(key) {
        Some(Value::Int(number)) => number.to_string(),
        Some(Value::Bytes(text)) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}

const SESSIONS: [Line; 4] = [
    ("Owned sessions", "sessionsown", ""),
    ("Foreign sessions", "sessionsforeign", ""),
    ("Total sessions", "sessionstotal", ""),
    ("Transcoded media", "transcodedmedia", ""),
];

const RATES: [Line; 9] = [
    ("Packets per second (userspace)", "packetrate_user", ""),
    ("Bytes per second (userspace)", "byterate_user", ""),
    ("Errors per second (userspace)", "errorrate_user", ""),
    ("Packets per second (kernel)", "packetrate_kernel", ""),
    ("Bytes per second (kernel)", "byterate_kernel", ""),
    ("Errors per second (kernel)", "errorrate_kernel", ""),
    ("Packets per second (total)", "packetrate", ""),
    ("Bytes per second (total)", "byterate", ""),
    ("Errors per second (total)", "errorrate", ""),
];

const STREAMS: [Line; 3] = [
    ("Userspace-only media streams", "media_userspace", ""),
    ("Kernel-only media streams", "media_kernel", ""),
    ("Mixed kernel/userspace media streams", "media_mixed", ""),
];

#[rustfmt::skip]
const TOTALS: [Line; 24] = [
    ("Uptime of rtpengine", "uptime", " seconds"),
    ("Total managed sessions", "managedsessions", ""),
    ("Total rejected sessions", "rejectedsessions", ""),
    ("Total timed-out sessions via TIMEOUT", "timeoutsessions", ""),
    ("Total timed-out sessions via SILENT_TIMEOUT", "silenttimeoutsessions", ""),
    ("Total timed-out sessions via FINAL_TIMEOUT", "finaltimeoutsessions", ""),
    ("Total timed-out sessions via OFFER_TIMEOUT", "offertimeoutsessions", ""),
    ("Total regular terminated sessions", "regularterminatedsessions", ""),
    ("Total forced terminated sessions", "forcedterminatedsessions", ""),
    ("Total relayed packets (userspace)", "relayedpackets_user", ""),
    ("Total relayed packet errors (userspace)", "relayedpacketerrors_user", ""),
    ("Total relayed bytes (userspace)", "relayedbytes_user", ""),
    ("Total relayed packets (kernel)", "relayedpackets_kernel", ""),
    ("Total relayed packet errors (kernel)", "relayedpacketerrors_kernel", ""),
    ("Total relayed bytes (kernel)", "relayedbytes_kernel", ""),
    ("Total relayed packets", "relayedpackets", ""),
    ("Total relayed packet errors", "relayedpacketerrors", ""),
    ("Total relayed bytes", "relayedbytes", ""),
    ("Total number of streams with no relayed packets", "zerowaystreams", ""),
    ("Total number of 1-way streams", "onewaystreams", ""),
    ("Average call duration", "avgcallduration", " seconds"),
    ("Total calls duration", "totalcallsduration", " seconds"),
    ("Total calls duration squared", "totalcallsduration2", " seconds squared"),
    ("Total calls duration standard deviation", "totalcallsduration_stddev", " seconds"),
];

const METRICS: [(&str, &str); 5] = [
    ("jitter", "jitter"),
    ("rtt_e2e", "end-to-end RTT"),
    ("rtt_dsct", "discrete RTT"),
    ("packetloss", "packet loss"),
    ("jitter_measured", "measured jitter"),
];

const LOSSES: [Line; 5] = [
    ("Packets lost", "packets_lost", ""),
    ("RTP duplicates", "rtp_duplicates", ""),
    ("RTP skips", "rtp_skips", ""),
    ("RTP sequence resets", "rtp_seq_resets", ""),
    ("RTP reordered", "rtp_reordered", ""),
];
