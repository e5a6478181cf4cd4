//! `list` and `get`: calls, statistics, and the values in force.

use std::time::Duration;

use super::{Fault, Printed, Scene, json, totals};
use crate::observe::levels;

impl Scene<'_> {
    /// `list …`.
    pub(super) fn list(self, words: &[&str]) -> Printed {
        let (&what, rest) = words.split_first().ok_or(Fault::Incomplete)?;
        let (timeouts, limits) = (self.calls.timeouts(), self.calls.limits());
        let kept = *self.console.kept();
        let seconds = |name: &str, time: Duration| format!("{name}={}\n", time.as_secs());
        let limit = |what: &str, value: String| {
            format!("Maximum {what} configured on rtpengine: {value}\n")
        };
        Ok(match what {
            "numsessions" => self.count_sessions(),
            "sessions" => return self.sessions(rest),
            "totals" => totals::totals(&self.calls.statistics_dict(self.now)),
            "counters" => totals::counters(&self.calls.statistics_dict(self.now)),
            "interfaces" => totals::interfaces(&self.calls.statistics_dict(self.now)),
            "jsonstats" => json::write(&self.calls.statistics_dict(self.now)),
            "transcoders" => self.transcoders(),
            "timeout" => seconds("TIMEOUT", timeouts.media),
            "silenttimeout" => seconds("SILENT_TIMEOUT", timeouts.silent),
            "offertimeout" => seconds("OFFER_TIMEOUT", timeouts.offer),
            "finaltimeout" => seconds("FINAL_TIMEOUT", timeouts.total.unwrap_or_default()),
            "deletedelay" => format!("{}\n", timeouts.delete_delay.as_secs()),
            "maxsessions" => {
                let max = limits.max_sessions.map(|max| max.to_string());
                limit("sessions", max.unwrap_or_else(|| "-1".to_owned()))
            }
            "maxcpu" => {
                let max = limits.load.cpu_percent.unwrap_or(0.0);
                limit("CPU usage", format!("{max:.1}"))
            }
            "maxload" => {
                let max = limits.load.average_1min.unwrap_or(0.0);
                limit("load average", format!("{max:.2}"))
            }
            "maxbw" => limit(
                "bandwidth",
                limits.load.bytes_per_s.unwrap_or(0).to_string(),
            ),
            "maxopenfiles" => {
                let process = &self.console.process;
                let max = process.max_open_files().unwrap_or(0);
                limit(
                    "open-files",
                    format!("{max}; cat /proc/{}/limits", process.id()),
                )
            }
            "controltos" => format!("{}\n", kept.control_tos),
            "redisallowederrors" => format!("{}\n", kept.redis_allowed_errors),
            "redisdisabletime" => format!("{}\n", kept.redis_disable_time),
            "redisconnecttimeout" => format!("{}\n", kept.redis_connect_timeout),
            "rediscmdtimeout" => format!("{}\n", kept.redis_cmd_timeout),
            "loglevels" => levels::descriptions(),
            "loglevel" => return self.log_level(rest),
            other => return Err(Fault::unknown(other, rest)),
        })
    }

    fn count_sessions(self) -> String {
        let (own, foreign) = (self.calls.own_count(), self.calls.foreign_count());
        let (medias, _) = self.calls.transcoders();
        let (calls, families) = (own + foreign, self.calls.family_counts());
        format!(
            "Current sessions own: {own}\nCurrent sessions foreign: {foreign}\n\
             Current sessions total: {calls}\nCurrent transcoded media: {medias}\n\
             Current sessions ipv4 only media: {}\nCurrent sessions ipv6 only media: {}\n\
             Current sessions ip mixed  media: {}\n",
            families.ip4, families.ip6, families.mixed
        )
    }

    fn transcoders(self) -> String {
        let (_, chains) = self.calls.transcoders();
        if chains.is_empty() {
            return "No stats entries\n".to_owned();
        }
        let lines = chains.into_iter();
        lines
            .map(|(chain, count)| format!("{chain}: {count} transcoders\n"))
            .collect()
    }

    fn log_level(self, words: &[&str]) -> Printed {
        let levels = *self.console.levels();
        match words {
            [] => Ok(levels
                .iter()
                .map(|(name, level)| format!("{name} = {level}\n"))
                .collect()),
            [name, rest @ ..] => match levels.level(name) {
                Some(level) => Ok(format!("{level}\n")),
                None => Err(Fault::unknown(name, rest)),
            },
        }
    }
}
