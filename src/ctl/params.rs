//! `params`: all settings, at the start and now.

use super::{Fault, Printed, Scene};

impl Scene<'_> {
    /// `params start|current|diff|revert`.
    pub(super) fn params(self, words: &[&str]) -> Printed {
        let (&what, rest) = words.split_first().ok_or(Fault::Incomplete)?;
        match what {
            "start" => Ok(lines(&self.at_start())),
            "current" => Ok(lines(&self.current())),
            "diff" => {
                let pairs = self.at_start().into_iter().zip(self.current());
                let changed = pairs.filter(|((_, before), (_, now))| before != now);
                Ok(changed
                    .map(|((name, before), (_, now))| format!("{name}: {before} => {now}\n"))
                    .collect())
            }
            "revert" => self.revert(),
            other => Err(Fault::unknown(other, rest)),
        }
    }

    fn at_start(self) -> Vec<(String, String)> {
        let start = &self.console.start;
        let levels = start.levels.iter().map(level);
        let options = start.options.iter();
        let options = options.map(|(name, value)| ((*name).to_owned(), value.clone()));
        levels.chain(options).collect()
    }

    fn current(self) -> Vec<(String, String)> {
        let mut options = self.at_start();
        let levels = *self.console.levels();
        for (name, value) in self
            .changeable()
            .into_iter()
            .chain(levels.iter().map(level))
        {
            let place = options.iter_mut().find(|(option, _)| *option == name);
            if let Some((_, place)) = place {
                *place = value;
            }
        }
        options
    }

    /// Current values of everything that `set` can change.
    fn changeable(self) -> Vec<(String, String)> {
        let (timeouts, limits) = (self.calls.timeouts(), self.calls.limits());
        let kept = *self.console.kept();
        let max_sessions = limits.max_sessions.map(|max| max.to_string());
        let load = limits.load;
        let total = timeouts.total.unwrap_or_default();
        let values = [
            (
                "max-sessions",
                max_sessions.unwrap_or_else(|| "-1".to_owned()),
            ),
            ("timeout", timeouts.media.as_secs().to_string()),
            ("silent-timeout", timeouts.silent.as_secs().to_string()),
            ("final-timeout", total.as_secs().to_string()),
            ("offer-timeout", timeouts.offer.as_secs().to_string()),
            ("delete-delay", timeouts.delete_delay.as_secs().to_string()),
            ("max-cpu", format!("{:.1}", load.cpu_percent.unwrap_or(0.0))),
            (
                "max-load",
                format!("{:.2}", load.average_1min.unwrap_or(0.0)),
            ),
            ("max-bandwidth", load.bytes_per_s.unwrap_or(0).to_string()),
            ("control-tos", kept.control_tos.to_string()),
            (
                "redis-allowed-errors",
                kept.redis_allowed_errors.to_string(),
            ),
            ("redis-disable-time", kept.redis_disable_time.to_string()),
            ("redis-cmd-timeout", kept.redis_cmd_timeout.to_string()),
            (
                "redis-connect-timeout",
                kept.redis_connect_timeout.to_string(),
            ),
        ];
        let values = values.into_iter();
        values
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Restores all values of the start; prints the errors, usually none.
    fn revert(self) -> Printed {
        let start = &self.console.start;
        self.calls.set_timeouts(start.timeouts);
        self.calls.set_limits(start.limits);
        let tos = std::mem::replace(&mut *self.console.kept(), start.kept).control_tos;
        if tos != start.kept.control_tos
            && let Err(reason) = self.console.process.set_control_tos(start.kept.control_tos)
        {
            return Ok(format!("Fail reverting control-tos; {reason}\n"));
        }
        let mut levels = self.console.levels();
        if *levels == start.levels {
            return Ok(String::new());
        }
        Ok(
            match self.console.process.set_log_filter(&start.log_filter) {
                Ok(()) => {
                    *levels = start.levels;
                    String::new()
                }
                Err(reason) => format!("Fail reverting the log level; {reason}\n"),
            },
        )
    }
}

fn level((subsystem, level): (&'static str, i64)) -> (String, String) {
    (format!("log-level-{subsystem}"), level.to_string())
}

fn lines(options: &[(String, String)]) -> String {
    let lines = options.iter();
    lines
        .map(|(name, value)| format!("{name} = {value}\n"))
        .collect()
}
