//! Metrics in Prometheus's text format (spec §15). Labels are names of the configuration, methods,
//! codes and stages: there are as many as those.

use std::fmt::{self, Write as _};

use super::desk::Desk;
use super::order::Cursor;
use crate::meter::{BOUNDS_US, Delays, Direction};
use crate::proxy::Snapshot;
use crate::screen::Usage;
use crate::stats::StatsSnapshot;
use crate::target::{Health, TargetView, state};

/// A text that is being written.
#[derive(Default)]
struct Page(String);

impl Page {
    /// What the lines that follow are.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}");
        let _ = writeln!(self.0, "# TYPE {PREFIX}{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let _ = write!(self.0, "{PREFIX}{name}");
        for (at, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if at == 0 { "{" } else { "," });
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// A family of one line.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl fmt::Display) {
        self.family(name, kind, help);
        self.line(name, &[], value);
    }

    fn histogram(&mut self, name: &str, help: &str, delays: &Delays) {
        self.family(name, "histogram", help);
        let mut sum = 0;
        let ends = BOUNDS_US.iter().map(|us| seconds(*us).to_string());
        let ends = ends.chain(["+Inf".to_owned()]);
        let counts = delays.counts.iter().copied().chain(std::iter::repeat(0));
        for (end, count) in ends.zip(counts) {
            sum += count;
            self.line(&format!("{name}_bucket"), &[("le", &end)], sum);
        }
        self.line(&format!("{name}_sum"), &[], seconds(delays.sum_us));
        self.line(&format!("{name}_count"), &[], sum);
    }
}

impl Desk {
    /// Everything that is counted.
    pub(super) async fn metrics(&self) -> String {
        let snapshot = self.snapshot();
        let mut states = [0_u64; 3];
        let mut at = Cursor::default();
        while at.shard < self.shards.len() {
            let after = at.after;
            let asked = self.ask(at.shard, move |proxy, _| proxy.census(after));
            let Some(page) = asked.await else {
                break;
            };
            states
                .iter_mut()
                .zip(page.found)
                .for_each(|(sum, n)| *sum += n);
            at = match page.next {
                Some(next) => Cursor {
                    after: Some(next),
                    ..at
                },
                None => Cursor {
                    shard: at.shard + 1,
                    after: None,
                },
            };
        }
        let mut page = Page::default();
        self.write_messages(&snapshot, &mut page);
        let stats = self.stats();
        write_calls(&stats, states, &mut page);
        let mut setup = Delays::default();
        let mut queue = Delays::default();
        for stats in &self.stats {
            stats.setup_delay.add_to(&mut setup);
            stats.queue_delay.add_to(&mut queue);
        }
        let help = "Time from an INVITE to the first sign of the callee.";
        page.histogram("setup_delay_seconds", help, &setup);
        let help = "Time that messages wait for their shard.";
        page.histogram("queue_delay_seconds", help, &queue);
        write_screen(&stats, &snapshot, &mut page);
        write_targets(&snapshot.routing.pools().list(), &mut page);
        page.family(
            "log_lines_lost_total",
            "counter",
            "Lines of logs that were lost.",
        );
        for (log, lost) in self.logs.lost() {
            page.line("log_lines_lost_total", &[("log", log)], lost);
        }
        page.family(
            "log_lines_waiting",
            "gauge",
            "Lines of logs that wait for the disk.",
        );
        for (log, waiting) in self.logs.waiting() {
            page.line("log_lines_waiting", &[("log", log)], waiting);
        }
        page.0
    }

    fn write_messages(&self, snapshot: &Snapshot, page: &mut Page) {
        let mut all = std::collections::BTreeMap::new();
        for counted in self.messages.iter().flat_map(|one| one.counts()) {
            let zone = snapshot.config.zones.get(counted.zone);
            let zone = zone.map_or("", |zone| zone.name.as_str());
            let direction = match counted.direction {
                Direction::In => "in",
                Direction::Out => "out",
            };
            let key = (counted.is_request, zone, direction, counted.what);
            *all.entry(key).or_insert(0) += counted.count;
        }
        for (name, label, is_request) in [
            ("requests_total", "method", true),
            ("responses_total", "code", false),
        ] {
            page.family(name, "counter", "Messages, by the zone of their listener.");
            for ((kind, zone, direction, what), count) in &all {
                if *kind == is_request {
                    let labels = [("zone", *zone), ("direction", direction), (label, what)];
                    page.line(name, &labels, count);
                }
            }
        }
    }
}

fn write_calls(stats: &StatsSnapshot, states: [u64; 3], page: &mut Page) {
    page.family("dialogs", "gauge", "Calls, by how far they are.");
    for (state, count) in ["early", "confirmed", "ended"].iter().zip(states) {
        page.line("dialogs", &[("state", state)], count);
    }
    let gauges = [
        (
            "transactions",
            "Requests being relayed.",
            stats.active_transactions,
        ),
        (
            "bindings",
            "Contacts that registrars granted.",
            stats.bindings,
        ),
        (
            "flows",
            "Flows that registered phones are reached by.",
            stats.flows,
        ),
        ("connections", "Connections open.", stats.connections),
    ];
    for (name, help, value) in gauges {
        page.single(name, "gauge", help, value);
    }
    let counters = [
        (
            "retransmissions_total",
            "Messages sent again.",
            stats.retransmissions,
        ),
        (
            "media_errors_total",
            "Requests to the relay that failed or timed out.",
            stats.media_failures,
        ),
    ];
    for (name, help, value) in counters {
        page.single(name, "counter", help, value);
    }
    page.family(
        "dropped_total",
        "counter",
        "Messages neither answered nor relayed.",
    );
    for (reason, count) in &stats.dropped {
        page.line("dropped_total", &[("reason", reason.as_str())], count);
    }
    for (name, help, counts) in [
        (
            "connections_refused_total",
            "Connections not taken.",
            &stats.connections_refused,
        ),
        (
            "connections_closed_total",
            "Connections closed.",
            &stats.connections_closed,
        ),
    ] {
        page.family(name, "counter", help);
        for (reason, count) in counts {
            page.line(name, &[("reason", reason)], count);
        }
    }
}

fn write_screen(stats: &StatsSnapshot, snapshot: &Snapshot, page: &mut Page) {
    let Some(screen) = &snapshot.screen else {
        return;
    };
    page.family(
        "verdicts_total",
        "counter",
        "Verdicts of stages that end the screening.",
    );
    for (stage, action, count) in stats.verdicts.iter().filter(|(.., count)| *count > 0) {
        let labels = [("stage", *stage), ("action", action)];
        page.line("verdicts_total", &labels, count);
    }
    let Usage {
        bans,
        floods,
        standings,
        guesses,
        users,
    } = screen.usage();
    page.family(
        "screen_entries",
        "gauge",
        "Entries of the tables of screening.",
    );
    for (table, count) in [
        ("bans", bans),
        ("floods", floods),
        ("standings", standings),
        ("guesses", guesses),
        ("users", users),
    ] {
        page.line("screen_entries", &[("table", table)], count);
    }
    let classes = screen.limits().classes();
    let totals = screen.limits().totals();
    page.family(
        "limit_calls",
        "gauge",
        "Calls that hold a place in a limit.",
    );
    for (class, (_, calls)) in classes.iter().zip(&totals) {
        page.line("limit_calls", &[("class", &class.name)], calls);
    }
    page.family("limit_keys", "gauge", "Keys of a limit with calls.");
    for (class, (keys, _)) in classes.iter().zip(&totals) {
        page.line("limit_keys", &[("class", &class.name)], keys);
    }
    page.family("list_entries", "gauge", "Entries of lists of numbers.");
    for (list, entries) in screen.lists() {
        page.line("list_entries", &[("list", &list.name)], entries);
    }
}

fn write_targets(targets: &[TargetView], page: &mut Page) {
    type Value = fn(&TargetView) -> f64;
    let families: [(&str, &str, &str, Value); 10] = [
        (
            "target_up",
            "gauge",
            "Whether a target takes requests.",
            |t| {
                let is_up = state(t.admin, t.health) == "up" && t.health == Health::Up;
                f64::from(u8::from(is_up))
            },
        ),
        ("target_calls", "gauge", "Calls on a target.", |t| {
            t.calls.into()
        }),
        ("target_invites_total", "counter", "INVITEs sent.", |t| {
            count(t.calling.invites)
        }),
        (
            "target_answered_total",
            "counter",
            "INVITEs answered.",
            |t| count(t.calling.answered),
        ),
        (
            "target_failed_total",
            "counter",
            "Requests that failed.",
            |t| count(t.failed),
        ),
        (
            "target_asr",
            "gauge",
            "Share of INVITEs that were answered.",
            |t| t.calling.asr().unwrap_or(f64::NAN),
        ),
        (
            "target_acd_seconds",
            "gauge",
            "Average length of a call.",
            |t| t.calling.acd().unwrap_or(f64::NAN),
        ),
        (
            "target_pdd_seconds",
            "gauge",
            "Average time until a call rings.",
            |t| t.calling.pdd().unwrap_or(f64::NAN),
        ),
        (
            "target_talk_seconds_total",
            "counter",
            "Length of all calls.",
            |t| seconds(t.calling.talk_ms.saturating_mul(1000)),
        ),
        ("target_misses", "gauge", "Misses in a row.", |t| {
            t.misses.into()
        }),
    ];
    for (name, kind, help, value) in families {
        page.family(name, kind, help);
        for target in targets {
            let labels = [("upstream", &*target.pool), ("target", &*target.id)];
            page.line(name, &labels, value(target));
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus counts in floating point"
)]
fn count(number: u64) -> f64 {
    number as f64
}

fn seconds(us: u64) -> f64 {
    count(us) / 1e6
}

const PREFIX: &str = "windlass_edge_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_end_no_line_and_ranges_add_up() {
        let mut page = Page::default();
        page.line("x", &[("a", "q\"\\\nq"), ("b", "")], 3);
        assert_eq!(page.0, "windlass_edge_x{a=\"q\\\"\\\\\\nq\",b=\"\"} 3\n");
        let mut page = Page::default();
        let mut delays = Delays {
            counts: vec![0; BOUNDS_US.len() + 1],
            sum_us: 2_500_000,
        };
        delays.counts[0] = 1;
        delays.counts[BOUNDS_US.len()] = 2;
        page.histogram("d", "Help.", &delays);
        let lines: Vec<&str> = page.0.lines().collect();
        assert_eq!(lines[2], "windlass_edge_d_bucket{le=\"0.0001\"} 1");
        assert!(lines.contains(&"windlass_edge_d_bucket{le=\"60\"} 1"));
        assert!(lines.contains(&"windlass_edge_d_bucket{le=\"+Inf\"} 3"));
        assert_eq!(lines[lines.len() - 2], "windlass_edge_d_sum 2.5");
        assert_eq!(lines[lines.len() - 1], "windlass_edge_d_count 3");
    }
}
