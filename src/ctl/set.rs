//! `set`: values that take effect at once.

use std::time::Duration;

use super::{Fault, Printed, Scene};
use crate::call::Timeouts;
use crate::observe::levels::Levels;

/// The longest time that can be set, as in the configuration.
const YEAR_S: u64 = 31_536_000;

/// Fewer open files than this are refused, as rtpengine does.
const MIN_OPEN_FILES: u64 = 65_536;

/// Names that can be set.
const NAMES: [&str; 17] = [
    "controltos",
    "deletedelay",
    "finaltimeout",
    "loglevel",
    "maxbw",
    "maxcpu",
    "maxload",
    "maxopenfiles",
    "maxsessions",
    "offertimeout",
    "redisallowederrors",
    "rediscmdtimeout",
    "redisconnecttimeout",
    "redisdisable",
    "redisdisabletime",
    "silenttimeout",
    "timeout",
];

impl Scene<'_> {
    /// `set NAME VALUE`.
    pub(super) fn set(self, words: &[&str]) -> Printed {
        let (&name, rest) = words.split_first().ok_or(Fault::Incomplete)?;
        if !NAMES.contains(&name) {
            return Err(Fault::unknown(name, rest));
        }
        let (&value, more) = rest.split_first().ok_or(Fault::Incomplete)?;
        let outcome = match name {
            "controltos" => self.set_control_tos(value),
            "maxopenfiles" => self.set_open_files(value),
            "maxsessions" => self.set_max_sessions(value),
            "maxcpu" => self.set_max_cpu(value),
            "maxload" => self.set_max_load(value),
            "maxbw" => self.set_max_bandwidth(value),
            "timeout" => self.set_timeout(value, |timeouts, time| timeouts.media = time),
            "silenttimeout" => self.set_timeout(value, |timeouts, time| timeouts.silent = time),
            "offertimeout" => self.set_timeout(value, |timeouts, time| timeouts.offer = time),
            "finaltimeout" => self.set_final_timeout(value),
            "deletedelay" => self.set_delete_delay(value),
            "loglevel" => return self.set_log_level(value, more),
            "redisdisable" => return Ok("No redis write to disable\n".to_owned()),
            name => match self.keep(name, value) {
                Some(outcome) => outcome,
                None => return Err(Fault::unknown(name, rest)),
            },
        };
        Ok(match outcome {
            Ok(done) => format!("Success setting {done}\n"),
            Err(reason) => format!("{reason}\n"),
        })
    }

    fn set_open_files(self, text: &str) -> Outcome {
        let files = whole("open_files", text)?;
        let files = u64::try_from(files).unwrap_or(0);
        if files < MIN_OPEN_FILES {
            let reason = format!("can't set it under {MIN_OPEN_FILES}");
            return Err(failed("open_files", text, &reason));
        }
        let set = self.console.process.set_max_open_files(files);
        set.map_err(|errno| failed("open_files", text, &format!("errno = {errno}")))?;
        Ok(format!("open_files to {files}"))
    }

    fn set_control_tos(self, text: &str) -> Outcome {
        let tos = whole("control-tos", text).ok();
        let Some(tos) = tos.and_then(|tos| u8::try_from(tos).ok()) else {
            return Err(format!("Invalid control-tos value {text}"));
        };
        let set = self.console.process.set_control_tos(tos);
        set.map_err(|reason| failed("control-tos", text, &reason))?;
        self.console.kept().control_tos = tos;
        Ok(format!("control-tos to {tos}"))
    }

    fn set_max_sessions(self, text: &str) -> Outcome {
        let number = whole("maxsessions", text)?;
        let max = match number {
            -1 => None,
            number => Some(u64::try_from(number).map_err(|_| {
                let reason = "either positive or -1 values allowed";
                failed("maxsessions", text, reason)
            })?),
        };
        let mut limits = self.calls.limits();
        limits.max_sessions = max;
        self.calls.set_limits(limits);
        Ok(match max {
            Some(max) => format!("maxsessions to {max}"),
            None => "maxsessions to -1; disable feature".to_owned(),
        })
    }

    fn set_max_cpu(self, text: &str) -> Outcome {
        let max = fraction("maxcpu", text)?;
        let mut limits = self.calls.limits();
        limits.load.cpu_percent = Some(max).filter(|max| *max > 0.0);
        self.calls.set_limits(limits);
        Ok(format!("maxcpu to {max:.1}"))
    }

    fn set_max_load(self, text: &str) -> Outcome {
        let max = fraction("maxload", text)?;
        let mut limits = self.calls.limits();
        limits.load.average_1min = Some(max).filter(|max| *max > 0.0);
        self.calls.set_limits(limits);
        Ok(format!("maxload to {max:.2}"))
    }

    fn set_max_bandwidth(self, text: &str) -> Outcome {
        let max = u64::try_from(whole("maxbw", text)?)
            .map_err(|_| failed("maxbw", text, "only positive values allowed"))?;
        let mut limits = self.calls.limits();
        limits.load.bytes_per_s = Some(max).filter(|max| *max > 0);
        self.calls.set_limits(limits);
        Ok(format!("maxbw to {max}"))
    }

    /// Zero would end every call at once.
    fn set_timeout(self, text: &str, put: impl FnOnce(&mut Timeouts, Duration)) -> Outcome {
        let time = seconds("timeout", text)?;
        if time.is_zero() {
            return Err(failed("timeout", text, "only positive values allowed"));
        }
        let mut timeouts = self.calls.timeouts();
        put(&mut timeouts, time);
        self.calls.set_timeouts(timeouts);
        Ok(format!("timeout to {}", time.as_secs()))
    }

    fn set_final_timeout(self, text: &str) -> Outcome {
        let time = seconds("timeout", text)?;
        let mut timeouts = self.calls.timeouts();
        timeouts.total = Some(time).filter(|time| !time.is_zero());
        self.calls.set_timeouts(timeouts);
        Ok(format!("timeout to {}", time.as_secs()))
    }

    fn set_delete_delay(self, text: &str) -> Outcome {
        let time = seconds("delete-delay", text);
        let time = time.map_err(|_| "Invalid delete-delay value".to_owned())?;
        let mut timeouts = self.calls.timeouts();
        timeouts.delete_delay = time;
        self.calls.set_timeouts(timeouts);
        Ok(format!("delete-delay to {}", time.as_secs()))
    }

    fn set_log_level(self, word: &str, more: &[&str]) -> Printed {
        let mut levels = self.console.levels();
        let (subsystem, text) = match more.first() {
            Some(text) => (Some(word), *text),
            // A subsystem alone lacks its level.
            None if levels.level(word).is_some() => return Err(Fault::Incomplete),
            None => (None, word),
        };
        let level = match whole("loglevel", text) {
            Ok(level) => level,
            Err(reason) => return Ok(format!("{reason}\n")),
        };
        let changed = match subsystem {
            None => Levels::all(level),
            Some(name) => levels
                .with(name, level)
                .ok_or_else(|| Fault::unknown(name, more))?,
        };
        Ok(
            match self.console.process.set_log_filter(&changed.filter()) {
                Ok(()) => {
                    *levels = changed;
                    format!("Success setting loglevel to {level}\n")
                }
                Err(reason) => format!("{}\n", failed("loglevel", text, &reason)),
            },
        )
    }

    /// A value that is only kept; `None`: there is none of this name.
    fn keep(self, name: &str, text: &str) -> Option<Outcome> {
        let mut kept = self.console.kept();
        let (option, range, place) = match name {
            "redisallowederrors" => {
                let any = i64::MIN..=i64::MAX;
                ("redis-allowed-errors", any, &mut kept.redis_allowed_errors)
            }
            "redisdisabletime" => {
                let range = 0..=i64::MAX;
                ("redis-disable-time", range, &mut kept.redis_disable_time)
            }
            "redisconnecttimeout" => {
                let range = 1..=i64::MAX;
                (
                    "redis-connect-timeout",
                    range,
                    &mut kept.redis_connect_timeout,
                )
            }
            "rediscmdtimeout" => {
                let range = 0..=i64::MAX;
                ("redis-cmd-timeout", range, &mut kept.redis_cmd_timeout)
            }
            _ => return None,
        };
        Some(match whole(option, text) {
            Ok(number) if range.contains(&number) => {
                *place = number;
                Ok(format!("{option} to {number}"))
            }
            Ok(_) => {
                let least = match range.start() {
                    1 => "> 0".to_owned(),
                    least => format!(">= {least}"),
                };
                Err(format!("Invalid {option} value {text}, must be {least}"))
            }
            Err(reason) => Err(reason),
        })
    }
}

/// The set value, or the whole line that says why not.
type Outcome = Result<String, String>;

fn failed(name: &str, text: &str, reason: &str) -> String {
    format!("Fail setting {name} to {text}; {reason}")
}

fn whole(name: &str, text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| failed(name, text, why_not(text)))
}

fn fraction(name: &str, text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let number = number.filter(|number| number.is_finite());
    number.ok_or_else(|| failed(name, text, why_not(text)))
}

fn seconds(name: &str, text: &str) -> Result<Duration, String> {
    let number = u64::try_from(whole(name, text)?).ok();
    let number = number.filter(|number| *number <= YEAR_S);
    let number = number.ok_or_else(|| {
        let reason = format!("only values from 0 to {YEAR_S} allowed");
        failed(name, text, &reason)
    })?;
    Ok(Duration::from_secs(number))
}

fn why_not(text: &str) -> &'static str {
    match text.contains(|c: char| c.is_ascii_digit()) {
        true => "not a number, or too large",
        false => "no digits found",
    }
}
