//! Load of the machine, for the limits on new calls (spec: media-behaviour §10): load average, CPU
//! usage, bandwidth. Text of `/proc` in, numbers out. The caller reads the files and the clock.

use std::time::{Duration, Instant};

/// Interval at which calling [`LoadSampler::sample`] gives new values.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// Source of the text for [`parse_load_average`].
pub const LOAD_AVERAGE_FILE: &str = "/proc/loadavg";

/// Source of the text for [`CpuTimes::parse`].
pub const CPU_FILE: &str = "/proc/stat";

/// Load of the machine at the last sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Load average of the last minute.
    pub average_1min: f64,
    /// Share of all CPUs' time that was not idle, 0–100 %.
    pub cpu_percent: f64,
    /// Relayed bytes per s.
    pub bytes_per_s: u64,
}

/// Limits on new calls; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadLimits {
    /// `max-load`: load average of the last minute.
    pub average_1min: Option<f64>,
    /// `max-cpu`: percent.
    pub cpu_percent: Option<f64>,
    /// `max-bandwidth`: bytes per s.
    pub bytes_per_s: Option<u64>,
}

/// A limit that was reached. The message is the one that proxies know and choose another node by
/// (spec: ng-protocol §14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadExceeded {
    /// [`LoadLimits::bytes_per_s`].
    #[error("Bandwidth limit exceeded")]
    Bandwidth,
    /// [`LoadLimits::cpu_percent`].
    #[error("CPU usage limit exceeded")]
    Cpu,
    /// [`LoadLimits::average_1min`].
    #[error("Load limit exceeded")]
    LoadAverage,
}

impl LoadLimits {
    /// Whether another call may begin. A limit is reached when the value is equal to it.
    ///
    /// # Errors
    /// The first limit that is reached, of load, CPU, bandwidth.
    pub fn check(&self, load: &Load) -> Result<(), LoadExceeded> {
        let reached = |limit: Option<f64>, value: f64| limit.is_some_and(|limit| value >= limit);
        if reached(self.average_1min, load.average_1min) {
            return Err(LoadExceeded::LoadAverage);
        }
        if reached(self.cpu_percent, load.cpu_percent) {
            return Err(LoadExceeded::Cpu);
        }
        let bandwidth = self.bytes_per_s;
        if bandwidth.is_some_and(|limit| load.bytes_per_s >= limit) {
            return Err(LoadExceeded::Bandwidth);
        }
        Ok(())
    }
}

/// Input of a sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading<'a> {
    /// Text of [`LOAD_AVERAGE_FILE`], if it could be read.
    pub load_average: Option<&'a str>,
    /// Text of [`CPU_FILE`], if it could be read.
    pub cpu: Option<&'a str>,
    /// Bytes relayed since the start.
    pub relayed_bytes: u64,
}

/// Turns readings into a [`Load`].
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadSampler {
    load: Load,
    cpu: Option<CpuTimes>,
    relayed: Option<(Instant, u64)>,
}

impl LoadSampler {
    /// Takes a sample, every [`SAMPLE_INTERVAL`]. What is missing or unreadable keeps its value;
    /// CPU and bandwidth are known from the second sample on.
    pub fn sample(&mut self, now: Instant, reading: &Reading<'_>) -> Load {
        if let Some(average) = reading.load_average.and_then(parse_load_average) {
            self.load.average_1min = average;
        }
        if let Some(times) = reading.cpu.and_then(CpuTimes::parse) {
            let used = self
                .cpu
                .replace(times)
                .and_then(|before| times.used_since(before));
            self.load.cpu_percent = used.unwrap_or(self.load.cpu_percent);
        }
        let bytes = reading.relayed_bytes;
        match self.relayed {
            Some((before, _)) if now <= before => {}
            Some((before, bytes_before)) => {
                let elapsed_us = now.saturating_duration_since(before).as_micros().max(1);
                let relayed = u128::from(bytes.saturating_sub(bytes_before));
                let rate = relayed * 1_000_000 / elapsed_us;
                self.load.bytes_per_s = u64::try_from(rate).unwrap_or(u64::MAX);
                self.relayed = Some((now, bytes));
            }
            None => self.relayed = Some((now, bytes)),
        }
        self.load
    }

    /// The last sample.
    pub fn load(&self) -> Load {
        self.load
    }
}

/// The load average of the last minute in the text of `/proc/loadavg`.
pub fn parse_load_average(text: &str) -> Option<f64> {
    let average: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    (average.is_finite() && average >= 0.0).then_some(average)
}

/// Time that all CPUs have spent since boot, in ticks (proc_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTimes {
    /// Ticks with nothing to do: idle and waiting for disks.
    pub idle: u64,
    /// All ticks.
    pub total: u64,
}

impl CpuTimes {
    /// Reads the `cpu` line in the text of `/proc/stat`.
    pub fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let mut times = Self { idle: 0, total: 0 };
        let mut fields = 0;
        // user nice system idle iowait irq softirq steal; guest and guest_nice, which follow, are
        // in user and nice already.
        for (index, field) in line.split_ascii_whitespace().take(8).enumerate() {
            let ticks: u64 = field.parse().ok()?;
            times.total = times.total.saturating_add(ticks);
            if matches!(index, 3 | 4) {
                times.idle = times.idle.saturating_add(ticks);
            }
            fields += 1;
        }
        (fields >= 4).then_some(times)
    }

    /// Share of the time since an earlier reading that was not idle, 0–100 %; `None` if no time
    /// has passed.
    #[expect(
        clippy::cast_precision_loss,
        reason = "ticks between two samples are few"
    )]
    pub fn used_since(self, before: Self) -> Option<f64> {
        let total = self.total.checked_sub(before.total)?;
        if total == 0 {
            return None;
        }
        // The iowait counter may go back a little.
        let idle = self.idle.saturating_sub(before.idle).min(total);
        Some((total - idle) as f64 * 100.0 / total as f64)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    use super::*;

    const STAT: &str = "cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 5\n";

    #[test]
    fn the_files_of_proc_are_read() {
        assert_eq!(
            parse_load_average("0.52 0.58 0.59 1/467 12345\n"),
            Some(0.52)
        );
        for bad in ["", "\n", "x 1 2", "-1", "NaN", "inf"] {
            assert_eq!(parse_load_average(bad), None, "{bad}");
        }
        let times = CpuTimes {
            idle: 850,
            total: 1000,
        };
        assert_eq!(CpuTimes::parse(STAT), Some(times));
        for bad in ["", "cpu0 1 2 3 4", "cpu 1 2 3", "cpu 1 2 x 4"] {
            assert_eq!(CpuTimes::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn usage_is_the_part_that_was_not_idle() {
        let times = |idle, total| CpuTimes { idle, total };
        assert_eq!(times(30, 200).used_since(times(5, 100)), Some(75.0));
        assert_eq!(times(4, 200).used_since(times(5, 100)), Some(100.0));
        assert_eq!(times(5, 100).used_since(times(5, 100)), None);
        assert_eq!(times(5, 99).used_since(times(5, 100)), None);
    }

    #[test]
    fn samples_follow_one_another() {
        let start = Instant::now();
        let mut sampler = LoadSampler::default();
        let first = Reading {
            load_average: Some("1.50 0 0"),
            cpu: Some(STAT),
            relayed_bytes: 1000,
        };
        let load = sampler.sample(start, &first);
        assert_eq!((load.average_1min, load.cpu_percent), (1.5, 0.0));
        assert_eq!(load.bytes_per_s, 0);
        let second = Reading {
            load_average: None,
            cpu: Some("cpu 150 0 50 800 50"),
            relayed_bytes: 51_000,
        };
        let load = sampler.sample(start + SAMPLE_INTERVAL, &second);
        let expected = Load {
            average_1min: 1.5,
            cpu_percent: 100.0,
            bytes_per_s: 100_000,
        };
        assert_eq!(load, expected);
        // Twice at the same time, and without any file: nothing changes.
        let third = Reading {
            relayed_bytes: 60_000,
            ..Reading::default()
        };
        assert_eq!(sampler.sample(start + SAMPLE_INTERVAL, &third), expected);
        assert_eq!(sampler.load(), expected);
    }

    #[test]
    fn a_limit_is_reached_at_its_value() {
        let load = Load {
            average_1min: 2.0,
            cpu_percent: 50.0,
            bytes_per_s: 1000,
        };
        let none = LoadLimits::default();
        let averages = |limit| LoadLimits {
            average_1min: Some(limit),
            ..none
        };
        assert_eq!(none.check(&load), Ok(()));
        assert_eq!(averages(2.1).check(&load), Ok(()));
        assert_eq!(averages(2.0).check(&load), Err(LoadExceeded::LoadAverage));
        let cpu = LoadLimits {
            cpu_percent: Some(50.0),
            bytes_per_s: Some(1),
            ..none
        };
        assert_eq!(cpu.check(&load), Err(LoadExceeded::Cpu));
        let bandwidth = LoadLimits {
            bytes_per_s: Some(1000),
            ..none
        };
        let error = bandwidth.check(&load).unwrap_err();
        assert_eq!(error.to_string(), "Bandwidth limit exceeded");
    }
}
