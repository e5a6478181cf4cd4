//! Sums over the reports of a stream's receivers (spec: ng-protocol §12, media-behaviour §9).

use std::time::Duration;

use crate::media::report::Sample;

/// Looks that are kept of a stream's course.
const COURSE: usize = 10;

/// Seconds between two looks, to begin with.
const FIRST_INTERVAL_S: u64 = 10;

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

/// One quality sample of a stream, with its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// The sample.
    pub sample: Sample,
    /// Time, in milliseconds on the clock of packets.
    pub at_ms: u64,
}

/// Sums over the reports of a stream's receivers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Mean opinion scores.
    pub mos: Sum,
    /// Jitter in ms.
    pub jitter_ms: Sum,
    /// Loss in per cent.
    pub loss_percent: Sum,
    /// Round trip from end to end in µs.
    pub round_trip_us: Sum,
    /// Round trip between us and the receiver in µs.
    pub round_trip_leg_us: Sum,
}

impl Sums {
    fn add(&mut self, sample: &Sample) {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        self.jitter_ms.add(sample.jitter_ms);
        self.loss_percent.add(sample.loss_percent);
        if !sample.round_trip_leg.is_zero() {
            self.round_trip_leg_us.add(us(sample.round_trip_leg));
        }
        if !sample.round_trip.is_zero() {
            self.round_trip_us.add(us(sample.round_trip));
        }
        if let Some(mos) = sample.mos {
            self.mos.add(mos);
        }
    }
}

/// Quality of one stream, by the reports of its receivers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    /// Packets lost in all, by the last report.
    pub lost: i32,
    /// Over the life of the stream.
    pub sums: Sums,
    /// The look with the lowest score.
    pub lowest: Option<Look>,
    /// The look with the highest score.
    pub highest: Option<Look>,
    /// Looks over the life of the stream.
    pub course: Vec<Look>,
    /// Seconds between two of them; 0: there are none yet.
    pub interval_s: u64,
    last_ms: Option<u64>,
    /// Sums that are not in those of the relay yet.
    fresh: Sums,
}

impl Quality {
    /// Takes a report in. Several within a second count as one.
    pub fn observe(&mut self, sample: Sample, lost: i32, at_ms: u64) {
        self.lost = lost;
        if self.last_ms.is_some_and(|last| at_ms < last + 1000) {
            return;
        }
        self.last_ms = Some(at_ms);
        self.sums.add(&sample);
        self.fresh.add(&sample);
        let Some(mos) = sample.mos else { return };
        let look = Look { sample, at_ms };
        let score = |look: &Look| look.sample.mos.unwrap_or_default();
        if self
            .lowest
            .as_ref()
            .is_none_or(|lowest| mos < score(lowest))
        {
            self.lowest = Some(look);
        }
        if self
            .highest
            .as_ref()
            .is_none_or(|highest| mos > score(highest))
        {
            self.highest = Some(look);
        }
        self.keep(look);
    }

    /// The samples since the last call.
    pub fn take_fresh(&mut self) -> Sums {
        std::mem::take(&mut self.fresh)
    }

    /// Keeps about ten looks over the whole life: when there are too many, every other one goes.
    fn keep(&mut self, look: Look) {
        self.interval_s = self.interval_s.max(FIRST_INTERVAL_S);
        let is_due = |last: &Look| look.at_ms >= last.at_ms + self.interval_s * 1000;
        if !self.course.last().is_none_or(is_due) {
            return;
        }
        if self.course.len() >= COURSE {
            let mut position = 0;
            self.course.retain(|_| {
                position += 1;
                position % 2 == 1
            });
            self.interval_s *= 2;
        }
        self.course.push(look);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(mos: f64) -> Sample {
        Sample {
            jitter_ms: 2.0,
            loss_percent: 1.0,
            round_trip_leg: Duration::from_millis(20),
            round_trip: Duration::from_millis(50),
            mos: Some(mos),
        }
    }

    #[test]
    fn extremes_and_means_are_kept() {
        let mut quality = Quality::default();
        for (second, mos) in [(0, 4.0), (1, 3.0), (2, 4.4)] {
            quality.observe(sample(mos), 5, second * 1000);
        }
        // Within the same second: not counted again.
        quality.observe(sample(1.0), 6, 2500);
        assert_eq!((quality.sums.mos.samples, quality.lost), (3, 6));
        assert!((quality.sums.mos.average() - 3.8).abs() < 1e-9);
        assert_eq!(quality.take_fresh(), quality.sums);
        assert_eq!(quality.take_fresh(), Sums::default());
        assert_eq!(quality.lowest.unwrap().at_ms, 1000);
        assert_eq!(quality.highest.unwrap().at_ms, 2000);
    }

    #[test]
    fn the_course_stays_short() {
        let mut quality = Quality::default();
        for second in 0..3600 {
            quality.observe(sample(4.0), 0, second * 1000);
        }
        assert!(
            (5..=COURSE).contains(&quality.course.len()),
            "{}",
            quality.course.len()
        );
        assert_eq!(quality.course[0].at_ms, 0);
    }
}
