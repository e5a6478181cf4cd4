//! What the reports about how a party hears add up to (spec: ng-protocol §12, media-behaviour §9,
//! media-behaviour §9.1).

use crate::media::report::Sample;

/// Looks that are kept of a course: with a report every five seconds, all of five minutes. A longer
/// course is thinned out.
const COURSE: usize = 64;

/// Parts that a course is told in.
const PARTS: u64 = 10;

/// A sum of values, and of their squares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Number of samples.
    pub samples: u64,
    /// Their sum.
    pub total: f64,
    /// The sum of their squares.
    pub squares: f64,
}

impl Sum {
    /// Adds one value.
    pub fn add(&mut self, value: f64) {
        self.samples += 1;
        self.total += value;
        self.squares += value * value;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.samples += other.samples;
        self.total += other.total;
        self.squares += other.squares;
    }

    /// The mean; 0 without values.
    pub fn average(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let samples = self.samples.max(1) as f64;
        self.total / samples
    }

    /// The standard deviation; 0 without values.
    pub fn deviation(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let samples = self.samples.max(1) as f64;
        let average = self.average();
        (self.squares / samples - average * average).max(0.0).sqrt()
    }
}

/// One look at a stream, with its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The sample.
    pub sample: Sample,
    /// Time, in milliseconds on the clock of packets.
    pub at_ms: u64,
}

/// Sums over reports, for the counters of the relay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Mean opinion scores, 1.0 to 4.5.
    pub mos: Sum,
    /// Jitter in ms.
    pub jitter_ms: Sum,
    /// Loss in per cent.
    pub loss_percent: Sum,
    /// Round trip from end to end in µs.
    pub round_trip_us: Sum,
    /// Round trip between us and the reporter in µs.
    pub round_trip_leg_us: Sum,
}

impl Sums {
    /// Takes a sample in; what is unknown is left out.
    pub fn add(&mut self, sample: &Sample) {
        self.jitter_ms.add(f64::from(sample.jitter_ms));
        self.loss_percent.add(f64::from(sample.loss_percent));
        if sample.round_trip_leg_us > 0 {
            self.round_trip_leg_us
                .add(f64::from(sample.round_trip_leg_us));
        }
        if sample.round_trip_us > 0 {
            self.round_trip_us.add(f64::from(sample.round_trip_us));
        }
        if let Some(mos) = sample.mos {
            self.mos.add(f64::from(mos) / 10.0);
        }
    }
}

/// Whole sums over the samples that have a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scored {
    /// How many.
    pub samples: u64,
    mos: u64,
    jitter_ms: u64,
    loss_percent: u64,
    round_trip_leg_us: u64,
    round_trip_us: u64,
}

impl Scored {
    fn add(&mut self, sample: &Sample, mos: u8) {
        self.samples += 1;
        self.mos += u64::from(mos);
        self.jitter_ms += u64::from(sample.jitter_ms);
        self.loss_percent += u64::from(sample.loss_percent);
        self.round_trip_leg_us += u64::from(sample.round_trip_leg_us);
        self.round_trip_us += u64::from(sample.round_trip_us);
    }

    /// The mean of all, each cut off to a whole number.
    pub fn average(&self) -> Sample {
        let mean = |sum: u64| sum / self.samples.max(1);
        let word = |sum: u64| u32::try_from(mean(sum)).unwrap_or(u32::MAX);
        let byte = |sum: u64| u8::try_from(mean(sum)).unwrap_or(u8::MAX);
        Sample {
            jitter_ms: word(self.jitter_ms),
            loss_percent: byte(self.loss_percent),
            mos: Some(byte(self.mos)),
            round_trip_leg_us: word(self.round_trip_leg_us),
            round_trip_us: word(self.round_trip_us),
        }
    }
}

/// The looks that a reply tells of a course.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progression {
    /// Whole seconds between two of them, about.
    pub interval_s: u64,
    /// The looks, the first one of all among them.
    pub entries: Vec<Look>,
}

/// Quality at one party, by its reports about what it hears. Kept under the source that reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// Over all samples with a score.
    pub scored: Scored,
    /// The look with the lowest score.
    pub lowest: Option<Look>,
    /// The look with the highest score.
    pub highest: Option<Look>,
    /// Looks with a score, in order; at most [`COURSE`].
    course: Vec<Look>,
    /// Two looks of the course are at least that far apart, in ms; 0: all were kept.
    spacing_ms: u64,
    /// When the last look with a score was.
    last_scored_ms: u64,
    last_ms: Option<u64>,
    /// Sums that are not in those of the relay yet.
    fresh: Sums,
}

impl Quality {
    /// Takes a report in. Of several within a second the first one counts.
    pub fn observe(&mut self, sample: Sample, at_ms: u64) {
        if self.last_ms.is_some_and(|last| at_ms < last + 1000) {
            return;
        }
        self.last_ms = Some(at_ms);
        self.fresh.add(&sample);
        let Some(mos) = sample.mos else { return };
        self.scored.add(&sample, mos);
        let look = Look { sample, at_ms };
        let worst = self.lowest.get_or_insert(look);
        if worst.sample.mos > Some(mos) {
            *worst = look;
        }
        let best = self.highest.get_or_insert(look);
        if best.sample.mos < Some(mos) {
            *best = look;
        }
        self.last_scored_ms = at_ms;
        self.keep(look);
    }

    /// The samples since the last call.
    pub fn take_fresh(&mut self) -> Sums {
        std::mem::take(&mut self.fresh)
    }

    /// The first look, and then each that is at least a tenth of the whole time after the place of
    /// the last.
    pub fn progression(&self) -> Progression {
        let first_ms = self.course.first().map_or(0, |look| look.at_ms);
        let interval_s = self.last_scored_ms.saturating_sub(first_ms) / 1000 / PARTS;
        let mut place_ms = first_ms;
        let is_due = |look: &&Look| {
            let is_due = look.at_ms >= place_ms;
            if is_due {
                place_ms += interval_s * 1000;
            }
            is_due
        };
        Progression {
            interval_s,
            entries: self.course.iter().filter(is_due).copied().collect(),
        }
    }

    /// Keeps the course short: when it is full, looks must be twice as far apart as those in it.
    fn keep(&mut self, look: Look) {
        if self.course.len() >= COURSE {
            let (first, last) = (self.course.first(), self.course.last());
            let ends = first
                .zip(last)
                .map(|(first, last)| last.at_ms - first.at_ms);
            self.spacing_ms = ends.unwrap_or_default() / (COURSE as u64 / 2);
            let spacing_ms = self.spacing_ms;
            let mut before = None;
            self.course
                .retain(|look| is_apart(&mut before, look, spacing_ms));
        }
        let mut before = self.course.last().map(|look| look.at_ms);
        if is_apart(&mut before, &look, self.spacing_ms) {
            self.course.push(look);
        }
    }
}

/// Whether a look is far enough after the last one that was kept, and if so keeps its time.
fn is_apart(before: &mut Option<u64>, look: &Look, spacing_ms: u64) -> bool {
    let is_apart = before.is_none_or(|before| look.at_ms >= before + spacing_ms);
    if is_apart {
        *before = Some(look.at_ms);
    }
    is_apart
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(mos: Option<u8>, jitter_ms: u32) -> Sample {
        Sample {
            jitter_ms,
            loss_percent: 1,
            mos,
            round_trip_leg_us: 20_000,
            round_trip_us: 50_000,
        }
    }

    #[test]
    fn extremes_and_means_are_of_samples_with_a_score() {
        let mut quality = Quality::default();
        quality.observe(sample(None, 100), 0);
        assert_eq!((quality.lowest, quality.scored.samples), (None, 0));
        for (second, mos, jitter_ms) in [(1, 40, 2), (2, 30, 3), (3, 44, 3)] {
            quality.observe(sample(Some(mos), jitter_ms), second * 1000);
        }
        // Within the same second: not counted.
        quality.observe(sample(Some(10), 0), 3500);
        // 114 / 3 and 8 / 3, cut off.
        assert_eq!(quality.scored.samples, 3);
        assert_eq!(quality.scored.average(), sample(Some(38), 2));
        assert_eq!(quality.lowest.unwrap().at_ms, 2000);
        assert_eq!(quality.highest.unwrap().at_ms, 3000);
    }

    #[test]
    fn the_relay_counts_every_sample_once() {
        let mut quality = Quality::default();
        quality.observe(sample(None, 100), 0);
        quality.observe(sample(Some(43), 2), 1000);
        let fresh = quality.take_fresh();
        assert_eq!((fresh.jitter_ms.samples, fresh.mos.samples), (2, 1));
        assert!(
            (fresh.mos.total - 4.3).abs() < 1e-9 && (fresh.jitter_ms.total - 102.0).abs() < 1e-9
        );
        assert_eq!(quality.take_fresh(), Sums::default());
    }

    /// The progression of looks at these seconds.
    fn told(seconds: impl IntoIterator<Item = u64>) -> (u64, Vec<u64>) {
        let mut quality = Quality::default();
        for second in seconds {
            quality.observe(sample(Some(43), 2), second * 1000);
        }
        let Progression {
            interval_s,
            entries,
        } = quality.progression();
        let seconds = entries.iter().map(|look| look.at_ms / 1000);
        (interval_s, seconds.collect())
    }

    #[test]
    fn the_progression_is_told_in_tenths() {
        assert_eq!(told([]), (0, vec![]));
        assert_eq!(told([7]), (0, vec![7]));
        assert_eq!(told([7, 10]), (0, vec![7, 10]));
        let every_tenth = |from: u64| (0..11).map(|n| from + 6 * n).collect::<Vec<_>>();
        assert_eq!(told(5..=65), (6, every_tenth(5)));
        // Every five seconds: the first one in or after its place, which does not move with it.
        let each = (0..=12).map(|n| n * 5);
        assert_eq!(
            told(each),
            (6, vec![0, 10, 15, 20, 25, 30, 40, 45, 50, 55, 60])
        );
        // After a gap looks follow until the places have caught up.
        assert_eq!(
            told([0, 50, 51, 52, 53, 54, 55, 100]),
            (10, vec![0, 50, 51, 52, 53, 54, 100])
        );
    }

    #[test]
    fn a_long_course_stays_short() {
        let mut quality = Quality::default();
        for second in 0..36_000 {
            quality.observe(sample(Some(43), 2), second * 1000);
        }
        assert!((COURSE / 2..=COURSE).contains(&quality.course.len()));
        let Progression {
            interval_s,
            entries,
        } = quality.progression();
        assert_eq!((interval_s, entries[0].at_ms), (3599, 0));
        assert!((9..=11).contains(&entries.len()), "{}", entries.len());
    }
}
