//! Counts of what was compared, as they are written and read again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_ng::shown::write_escaped;

use super::difference::Difference;
use crate::limits::SHADOW_KINDS;

/// Why a request was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skipped {
    /// The call began before this did.
    Midway,
    /// It asks for what only the relay of the media knows.
    Media,
    /// It, or the reply, cannot be read.
    Unreadable,
    /// More calls than are followed at a time.
    Full,
    /// The comparison was behind; the request was passed on all the same.
    Behind,
    /// Nobody answered it.
    Unanswered,
    /// The comparison failed on it.
    Failed,
}

impl Skipped {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Midway => "begun before",
            Self::Media => "about media",
            Self::Unreadable => "unreadable",
            Self::Full => "too many calls",
            Self::Behind => "comparison was behind",
            Self::Unanswered => "unanswered",
            Self::Failed => "comparison failed",
        }
    }
}

/// Durations by their order of magnitude: bucket n has those below 2^n microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations(Vec<u64>);

impl Durations {
    pub(super) fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        if self.0.len() <= bucket {
            self.0.resize(bucket + 1, 0);
        }
        if let Some(count) = self.0.get_mut(bucket) {
            *count += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// A bound, in microseconds, that this share of them is below.
    fn below(&self, share: f64) -> Option<u64> {
        let all: u64 = self.0.iter().sum();
        let mut seen = 0;
        self.0.iter().enumerate().find_map(|(bucket, count)| {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
            let is_reached = all > 0 && seen as f64 >= share * all as f64;
            is_reached.then(|| {
                1_u64
                    .checked_shl(u32::try_from(bucket).unwrap_or(63))
                    .unwrap_or(u64::MAX)
            })
        })
    }
}

/// Counts since the last line of counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests that came.
    pub requests: u64,
    /// Requests whose replies are the same.
    pub same: u64,
    /// Requests whose replies differ.
    pub different: u64,
    /// Requests that were not compared, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Differences by kind.
    pub differences: BTreeMap<String, u64>,
    /// Time from a request to rtpengine's reply.
    pub rtpengine: Durations,
    /// Time that Windlass took for the same.
    pub windlass: Durations,
}

impl Totals {
    pub(super) fn skip(&mut self, why: Skipped, count: u64) {
        *self.skipped.entry(why.word().to_owned()).or_default() += count;
    }

    pub(super) fn differ(&mut self, difference: &Difference) {
        let mut kind = difference.to_string();
        if self.differences.len() >= SHADOW_KINDS && !self.differences.contains_key(&kind) {
            "of further kinds".clone_into(&mut kind);
        }
        *self.differences.entry(kind).or_default() += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.same += other.same;
        self.different += other.different;
        for (mine, theirs) in [
            (&mut self.skipped, &other.skipped),
            (&mut self.differences, &other.differences),
        ] {
            for (key, count) in theirs {
                *mine.entry(key.clone()).or_default() += count;
            }
        }
        self.rtpengine.merge(&other.rtpengine);
        self.windlass.merge(&other.windlass);
    }
}

/// One line of the log, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum Entry {
    /// A difference, with an example.
    #[serde(rename_all = "kebab-case")]
    Difference {
        /// Seconds since 1970.
        time: u64,
        /// The call.
        call_id: String,
        /// The kind of difference.
        difference: String,
        /// What rtpengine has there.
        rtpengine: Option<String>,
        /// What Windlass has there.
        windlass: Option<String>,
        /// Why, as `windlass explain` says it.
        reason: Option<String>,
    },
    /// Counts since the last such line.
    Totals {
        /// Seconds since 1970.
        time: u64,
        /// The counts.
        totals: Totals,
    },
}

/// Puts a log into words.
#[derive(Clone, Debug, Default)]
pub struct Report {
    totals: Totals,
    examples: BTreeMap<String, Entry>,
    unreadable: u64,
}

impl Report {
    /// Takes one line of a log.
    pub fn add(&mut self, line: &str) {
        match serde_json::from_str::<Entry>(line) {
            Ok(Entry::Totals { totals, .. }) => self.totals.merge(&totals),
            Ok(entry) => {
                if let Entry::Difference { difference, .. } = &entry
                    && self.examples.len() < SHADOW_KINDS
                {
                    self.examples.entry(difference.clone()).or_insert(entry);
                }
            }
            Err(_) => self.unreadable += 1,
        }
    }

    /// Whether every reply that was compared is the same, and at least one was.
    pub fn is_equal(&self) -> bool {
        self.totals.different == 0 && self.totals.same > 0
    }

    /// The report, in lines.
    pub fn text(&self) -> String {
        let totals = &self.totals;
        let mut text = format!(
            "{} requests: {} with the same reply, {} with another\n",
            totals.requests, totals.same, totals.different
        );
        for (why, count) in &totals.skipped {
            let _ = writeln!(text, "  {count} not compared: {why}");
        }
        for (who, durations) in [
            ("rtpengine", &totals.rtpengine),
            ("Windlass", &totals.windlass),
        ] {
            if let (Some(half), Some(most)) = (durations.below(0.5), durations.below(0.99)) {
                let _ = writeln!(
                    text,
                    "  {who}: half of the replies below {half} us, 99 of 100 below {most} us"
                );
            }
        }
        if self.unreadable > 0 {
            let _ = writeln!(
                text,
                "  {} lines of the log cannot be read",
                self.unreadable
            );
        }
        let mut kinds: Vec<(&String, &u64)> = totals.differences.iter().collect();
        kinds.sort_by(|one, two| two.1.cmp(one.1).then(one.0.cmp(two.0)));
        for (kind, count) in kinds {
            let _ = writeln!(text, "\n{count} times  {}", shown(kind));
            if let Some(Entry::Difference {
                call_id,
                rtpengine,
                windlass,
                reason,
                ..
            }) = self.examples.get(kind)
            {
                let nothing = "(nothing)";
                let _ = writeln!(
                    text,
                    "    rtpengine: {}\n    Windlass:  {}",
                    shown(rtpengine.as_deref().unwrap_or(nothing)),
                    shown(windlass.as_deref().unwrap_or(nothing))
                );
                if let Some(reason) = reason {
                    let _ = writeln!(text, "    because:   {}", shown(reason));
                }
                let _ = writeln!(text, "    such as in {}", shown(call_id));
            }
        }
        text
    }
}

/// A text of peers, for a terminal.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let _ = write_escaped(text.as_bytes(), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_and_shows_an_example_of_each_kind() {
        let mut totals = Totals {
            requests: 3,
            same: 1,
            different: 1,
            ..Totals::default()
        };
        totals.skip(Skipped::Midway, 1);
        totals
            .differences
            .insert("offer audio a=ptime: only Windlass".to_owned(), 1);
        totals.rtpengine.add(Duration::from_micros(700));
        let example = Entry::Difference {
            time: 1,
            call_id: "c\u{1b}[2J".to_owned(),
            difference: "offer audio a=ptime: only Windlass".to_owned(),
            rtpengine: None,
            windlass: Some("a=ptime:20".to_owned()),
            reason: Some("as received".to_owned()),
        };
        let mut report = Report::default();
        for entry in [
            example,
            Entry::Totals {
                time: 2,
                totals: totals.clone(),
            },
            Entry::Totals { time: 3, totals },
        ] {
            report.add(&serde_json::to_string(&entry).unwrap());
        }
        report.add("{");
        let text = report.text();
        assert!(text.starts_with("6 requests: 2 with the same reply, 2 with another\n  2 not compared: begun before\n"), "{text}");
        assert!(
            text.contains("rtpengine: half of the replies below 1024 us"),
            "{text}"
        );
        assert!(text.contains("2 times  offer audio a=ptime: only Windlass\n    rtpengine: (nothing)\n    Windlass:  a=ptime:20\n    because:   as received\n"), "{text}");
        assert!(text.contains("1 lines of the log cannot be read"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(!report.is_equal());
    }

    #[test]
    fn kinds_are_bounded() {
        let mut totals = Totals::default();
        for number in 0..2 * SHADOW_KINDS {
            totals.differ(&Difference {
                command: "offer".to_owned(),
                place: "audio".to_owned(),
                name: format!("a={number}"),
                theirs: None,
                ours: None,
                reason: None,
            });
        }
        assert_eq!(totals.differences.len(), SHADOW_KINDS + 1);
        assert_eq!(totals.differences["of further kinds"], SHADOW_KINDS as u64);
    }
}
