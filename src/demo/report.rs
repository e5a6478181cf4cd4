//! Results of the demo, for people and for programs.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::audio::Heard;
use super::scanner::ScanReport;
use super::secure::SecureReport;
use super::speech::RATE;
use crate::media::quality::Model;

/// The outcome of one demo call.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Duration of the conversation.
    pub seconds: u64,
    /// Caller and callee.
    pub legs: [LegReport; 2],
    /// What somebody else learnt of the edge meanwhile.
    pub scan: ScanReport,
    /// The call of the phone with TLS, if there was one.
    pub secure: Option<SecureReport>,
}

/// One leg: the relay's view of it, and the audio that its phone heard.
#[derive(Clone, Debug, Serialize)]
pub struct LegReport {
    /// Name of the leg.
    pub name: String,
    /// Audio address and port that the phone wrote into its SDP.
    pub sdp_before: SocketAddr,
    /// Public source address of its packets.
    pub source: SocketAddr,
    /// Address in the SDP that the other phone got.
    pub sdp_after: SocketAddr,
    /// The relay's view of the leg just before the end.
    #[serde(flatten)]
    pub relay: RelayView,
    /// The audio that the phone received.
    pub heard: HeardReport,
}

/// The RTP stream of a leg in the relay's `query`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RelayView {
    /// Latched source of the phone's packets, which is also their destination.
    pub latched: Option<SocketAddr>,
    /// Packets that the relay received from the phone.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets that the relay sent to the phone.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
}

/// Quality of a received stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeardReport {
    /// Packets that the other phone sent.
    pub sent: u64,
    /// Packets of those that arrived.
    pub arrived: u64,
    /// The rest, in percent.
    pub loss_percent: f64,
    /// Interarrival jitter (RFC 3550 §6.4.1).
    pub jitter_ms: f64,
    /// Estimated mean opinion score, 1–4.5.
    pub mos: f64,
    /// Median of the time from send to arrival.
    pub latency_p50_us: u64,
    /// 99th percentile of it.
    pub latency_p99_us: u64,
    /// The shortest round trip by RTCP reports, if any came.
    pub round_trip_us: Option<u64>,
}

impl HeardReport {
    pub(super) fn new(heard: &Heard, sent: u64) -> Self {
        let arrived = heard.packets.min(sent);
        let loss_percent = if sent == 0 {
            100.0
        } else {
            (sent - arrived) as f64 * 100.0 / sent as f64
        };
        let jitter_ms = heard.jitter * 1000.0 / f64::from(RATE);
        let round_trip = heard.round_trip.unwrap_or(Duration::ZERO);
        Self {
            sent,
            arrived,
            loss_percent,
            jitter_ms,
            mos: Model::default().mos(
                RATE,
                round_trip.as_secs_f64() * 1000.0,
                jitter_ms,
                loss_percent,
            ),
            latency_p50_us: heard.latency_us.value_at_quantile(0.5),
            latency_p99_us: heard.latency_us.value_at_quantile(0.99),
            round_trip_us: heard
                .round_trip
                .map(|trip| u64::try_from(trip.as_micros()).unwrap_or(u64::MAX)),
        }
    }

    /// Whether at least 99.9 % arrived.
    fn is_good(&self) -> bool {
        self.sent > 0 && self.arrived * 1000 >= self.sent * 999
    }
}

impl Report {
    /// Whether enough packets arrived in all directions, and a scanner got no answer.
    pub fn passed(&self) -> bool {
        self.scan.answers == 0
            && self.secure.is_none_or(|call| call.is_good())
            && self.legs.iter().all(|leg| leg.heard.is_good())
    }

    /// The outcome in one line.
    pub fn verdict(&self) -> String {
        let mut failures: Vec<String> = self
            .legs
            .iter()
            .filter(|leg| !leg.heard.is_good())
            .map(|leg| {
                let HeardReport { arrived, sent, .. } = leg.heard;
                format!("{arrived} of {sent} packets reached the {}", leg.name)
            })
            .collect();
        let secure = self.secure.map_or_else(String::new, |call| {
            let SecureReport { sent, returned } = call;
            let told = format!("{returned} of {sent} packets came back to a phone with TLS");
            if !call.is_good() {
                failures.push(told.clone());
            }
            format!(", {told}")
        });
        if !failures.is_empty() {
            return format!("FAIL: {}; needed 99.9 %", failures.join(", "));
        }
        let ScanReport {
            requests, answers, ..
        } = self.scan;
        if answers > 0 {
            return format!("FAIL: a scanner got {answers} answers to {requests} requests");
        }
        let [caller, callee] = &self.legs;
        let bridge = if caller.sdp_before.is_ipv4() == callee.sdp_before.is_ipv4() {
            ""
        } else {
            ", IPv4 and IPv6 bridged"
        };
        let nat = match caller.relay.latched {
            Some(latched) if latched == caller.source && latched != caller.sdp_before => {
                ", the caller found behind its NAT"
            }
            _ => "",
        };
        format!(
            "PASS: {} and {} packets arrived of {} and {}{nat}{secure}, a scanner got no answer{bridge}",
            callee.heard.arrived, caller.heard.arrived, callee.heard.sent, caller.heard.sent
        )
    }

    fn rows(&self) -> Vec<[String; 3]> {
        let row = |title: &str, cell: &dyn Fn(&LegReport) -> String| {
            let [caller, callee] = &self.legs;
            [title.to_owned(), cell(caller), cell(callee)]
        };
        vec![
            row("leg", &|leg| leg.name.clone()),
            row("SDP as the phone wrote it", &|leg| {
                leg.sdp_before.to_string()
            }),
            row("SDP as the other phone got it", &|leg| {
                leg.sdp_after.to_string()
            }),
            row("its packets come from", &|leg| leg.source.to_string()),
            row("latched source", &|leg| {
                leg.relay
                    .latched
                    .map_or_else(|| "none".to_owned(), |source| source.to_string())
            }),
            row("relay received from it", &|leg| {
                traffic(leg.relay.packets_in, leg.relay.bytes_in)
            }),
            row("relay sent to it", &|leg| {
                traffic(leg.relay.packets_out, leg.relay.bytes_out)
            }),
            row("heard by it", &|leg| {
                format!("{} of {} packets", leg.heard.arrived, leg.heard.sent)
            }),
            row("  loss", &|leg| format!("{:.2} %", leg.heard.loss_percent)),
            row("  jitter", &|leg| format!("{:.2} ms", leg.heard.jitter_ms)),
            row("  MOS", &|leg| format!("{:.2}", leg.heard.mos)),
            row("  added latency p50", &|leg| {
                format!("{} µs", leg.heard.latency_p50_us)
            }),
            row("  added latency p99", &|leg| {
                format!("{} µs", leg.heard.latency_p99_us)
            }),
            row("  round trip by RTCP", &|leg| {
                leg.heard
                    .round_trip_us
                    .map_or_else(|| "none".to_owned(), |trip| format!("{trip} µs"))
            }),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = |column: fn(&[String; 3]) -> &String| {
            rows.iter()
                .map(|row| column(row).chars().count())
                .max()
                .unwrap_or(0)
        };
        let (titles, cells) = (width(|[title, ..]| title), width(|[_, caller, _]| caller));
        for (index, [title, caller, callee]) in rows.iter().enumerate() {
            writeln!(f, "{title:titles$}  {caller:cells$}  {callee}")?;
            if index == 0 {
                let last = width(|[.., callee]| callee);
                writeln!(f, "{}", "-".repeat(titles + cells + last + 4))?;
            }
        }
        write!(f, "\n{}", self.verdict())
    }
}

fn traffic(packets: u64, bytes: u64) -> String {
    format!("{packets} packets, {bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(name: &str, address: &str, sent: u64, arrived: u64) -> LegReport {
        LegReport {
            name: name.to_owned(),
            sdp_before: address.parse().unwrap(),
            source: "192.0.2.77:4000".parse().unwrap(),
            sdp_after: "192.0.2.1:30000".parse().unwrap(),
            relay: RelayView {
                latched: "192.0.2.77:4000".parse().ok(),
                ..RelayView::default()
            },
            heard: HeardReport {
                sent,
                arrived,
                loss_percent: 0.0,
                jitter_ms: 0.1,
                mos: 4.3,
                latency_p50_us: 80,
                latency_p99_us: 200,
                round_trip_us: None,
            },
        }
    }

    fn report(arrived: [u64; 2]) -> Report {
        let [at_caller, at_callee] = arrived;
        Report {
            seconds: 20,
            scan: ScanReport {
                source: "127.0.0.66:5060".parse().unwrap(),
                requests: 3,
                answers: 0,
            },
            secure: None,
            legs: [
                leg("caller", "192.168.77.10:4000", 1000, at_caller),
                leg("callee", "[2001:db8::1]:4000", 1000, at_callee),
            ],
        }
    }

    #[test]
    fn one_in_a_thousand_may_be_lost_in_each_direction() {
        let good = report([999, 1000]);
        assert!(good.passed());
        assert_eq!(
            good.verdict(),
            "PASS: 1000 and 999 packets arrived of 1000 and 1000, the caller found behind its \
             NAT, a scanner got no answer, IPv4 and IPv6 bridged"
        );
        let bad = report([998, 1000]);
        assert!(!bad.passed());
        assert_eq!(
            bad.verdict(),
            "FAIL: 998 of 1000 packets reached the caller; needed 99.9 %"
        );
    }

    #[test]
    fn a_scanner_that_learns_something_is_no_success() {
        let mut told = report([1000, 1000]);
        told.scan.answers = 1;
        assert!(!told.passed());
        let verdict = "FAIL: a scanner got 1 answers to 3 requests";
        assert_eq!(told.verdict(), verdict);
    }

    #[test]
    fn the_call_of_the_phone_with_tls_counts() {
        let mut heard = report([1000, 1000]);
        let call = |returned| Some(SecureReport { sent: 25, returned });
        heard.secure = call(25);
        assert!(heard.passed());
        let told = ", 25 of 25 packets came back to a phone with TLS,";
        assert!(heard.verdict().contains(told), "{}", heard.verdict());
        heard.secure = call(24);
        assert!(
            !heard.passed()
                && heard
                    .verdict()
                    .starts_with("FAIL: 24 of 25 packets came back")
        );
    }

    #[test]
    fn silence_is_no_success() {
        let mut silent = report([0, 0]);
        for leg in &mut silent.legs {
            leg.heard.sent = 0;
        }
        assert!(!silent.passed());
    }

    #[test]
    fn columns_are_aligned() {
        let text = report([1000, 1000]).to_string();
        let columns: Vec<usize> = text
            .lines()
            .filter(|line| line.starts_with("  "))
            .map(|line| {
                let (before, _) = line.rsplit_once("  ").unwrap();
                before.chars().count()
            })
            .collect();
        assert!(columns.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
