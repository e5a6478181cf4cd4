//! The operator's command line (spec: media-behaviour §19): a line of words in, text out.
//!
//! No sockets here: the daemon takes lines over TCP, HTTP, WebSocket and ng. Everything except
//! calls is reached through [`Process`]. Values that an operator sets last until the process ends.

mod calls;
mod json;
mod list;
mod params;
mod set;
mod totals;
mod unused;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::call::{Calls, Limits, Now, Timeouts};
use crate::config::Config;
use crate::observe::levels::Levels;

/// Everything except calls that the command line reaches.
pub trait Process: Send + Sync {
    /// Replaces the filter of the log.
    ///
    /// # Errors
    /// The reason why it cannot.
    fn set_log_filter(&self, filter: &str) -> Result<(), String>;

    /// Files that the process may have open; `None`: not known.
    fn max_open_files(&self) -> Option<u64>;

    /// Changes that.
    ///
    /// # Errors
    /// The number of the system's error.
    fn set_max_open_files(&self, files: u64) -> Result<(), i32>;

    /// Marks replies to ng over UDP with a type of service.
    ///
    /// # Errors
    /// The reason why it cannot.
    fn set_control_tos(&self, tos: u8) -> Result<(), String>;

    /// The number of the process.
    fn id(&self) -> u32;
}

/// Rights of the author of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Reader,
    /// Nothing of calls whose ids it does not know (spec: security 12).
    Stranger,
}

/// Reply to an unnamed source that asks for call-ids.
pub const NO_READER: &str = "Call-ids are listed only for this host and for those named in \
                             `allow` or `read` of [control] (--control-allow, --control-read)";

/// Reply to an unnamed source whose command is about calls without naming them.
const NOT_ALL: &str = "All calls at once are for this host and for those named in `allow` or \
                       `read` of [control] (--control-allow, --control-read)";

/// The command line of one relay.
pub struct Console {
    process: Arc<dyn Process>,
    start: Start,
    levels: Mutex<Levels>,
    kept: Mutex<Kept>,
}

/// Values at the start.
struct Start {
    options: Vec<(&'static str, String)>,
    timeouts: Timeouts,
    limits: Limits,
    /// The filter of the log, which may say more than levels can.
    log_filter: String,
    levels: Levels,
    kept: Kept,
}

/// Values that only the command line knows of; of those for Redis nothing is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    control_tos: u8,
    redis_allowed_errors: i64,
    redis_disable_time: i64,
    redis_cmd_timeout: i64,
    redis_connect_timeout: i64,
}

impl Kept {
    fn of(config: &Config) -> Self {
        let redis = &config.redis;
        let number = |value: u128| i64::try_from(value).unwrap_or(i64::MAX);
        Self {
            control_tos: config.control.tos,
            redis_allowed_errors: redis.allowed_errors.map_or(-1, i64::from),
            redis_disable_time: number(u128::from(redis.disable_time.as_secs())),
            redis_cmd_timeout: number(redis.command_timeout.as_millis()),
            redis_connect_timeout: number(redis.connect_timeout.as_millis()),
        }
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

impl Console {
    /// The command line of a relay that was started with this configuration.
    pub fn new(config: &Config, process: Arc<dyn Process>, calls: &Calls) -> Self {
        let (levels, kept) = (Levels::of_filter(&config.log.level), Kept::of(config));
        Self {
            process,
            start: Start {
                options: config.options(),
                timeouts: calls.timeouts(),
                limits: calls.limits(),
                log_filter: config.log.level.clone(),
                levels,
                kept,
            },
            levels: Mutex::new(levels),
            kept: Mutex::new(kept),
        }
    }

    /// Carries out one line and returns the text to print.
    pub fn run(&self, calls: &Calls, line: &str, role: Role, now: Now) -> String {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let scene = Scene {
            console: self,
            calls,
            role,
            now,
        };
        let printed = scene.run(&words);
        printed.unwrap_or_else(|fault| format!("{fault}\n"))
    }

    /// Makes every part of the log say less (−1) or more (1).
    ///
    /// # Errors
    /// What stands against it.
    pub fn step_log_levels(&self, step: i64) -> Result<(), String> {
        let mut levels = self.levels();
        let changed = levels.stepped(step);
        self.process.set_log_filter(&changed.filter())?;
        *levels = changed;
        Ok(())
    }

    fn levels(&self) -> MutexGuard<'_, Levels> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Context of one line.
#[derive(Clone, Copy)]
struct Scene<'a> {
    console: &'a Console,
    calls: &'a Calls,
    role: Role,
    now: Now,
}

impl Scene<'_> {
    fn run(self, words: &[&str]) -> Printed {
        let (&command, words) = words.split_first().ok_or(Fault::Incomplete)?;
        if self.role == Role::Stranger && !is_for_all(command) {
            return Ok(format!("{NOT_ALL}\n"));
        }
        match command {
            "list" | "get" => self.list(words),
            "set" => self.set(words),
            "terminate" => self.terminate(words),
            "call" => self.call(words),
            "debug" => self.debug(words),
            "params" => self.params(words),
            "ksadd" | "ksrm" | "kslist" => unused::keyspace(command, words),
            "active" => self.set_ownership(true),
            "standby" => self.set_ownership(false),
            "media" => unused::media(words),
            "usage" | "help" => Ok(USAGE.to_owned()),
            other => Err(Fault::unknown(other, words)),
        }
    }
}

/// Whether any answered source may give a command: it shows values, or acts on a call whose id is
/// known. All other commands act on the relay or on all calls at once.
fn is_for_all(command: &str) -> bool {
    matches!(
        command,
        "list" | "get" | "terminate" | "call" | "debug" | "usage" | "help"
    )
}

/// Output of a command.
type Printed = Result<String, Fault>;

/// Reasons why a line is no command.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    /// Words are missing.
    #[error("More parameters required.")]
    Incomplete,
    /// A word is none that can stand there.
    #[error("Unknown command: {0}")]
    Unknown(String),
}

impl Fault {
    /// `word` and what follows it.
    fn unknown(word: &str, rest: &[&str]) -> Self {
        let mut words = vec![word];
        words.extend(rest);
        Self::Unknown(words.join(" "))
    }
}

const USAGE: &str = "
 help | usage                          : print this
 list|get numsessions                  : number of calls
 list|get sessions all|own|foreign     : one line per call
 list|get sessions CALLID              : one call
 list|get totals                       : statistics
 list|get counters                     : rates
 list|get interfaces                   : local addresses
 list|get jsonstats                    : statistics as JSON
 list|get transcoders                  : codec chains
 list|get NAME                         : a value: maxsessions maxcpu maxload maxbw maxopenfiles
                                         timeout silenttimeout offertimeout finaltimeout
                                         deletedelay controltos loglevels loglevel
                                         redisallowederrors redisdisabletime
                                         redisconnecttimeout rediscmdtimeout
 set NAME VALUE                        : change it
 set loglevel [SUBSYSTEM] N            : -1 to 8
 set redisdisable 0|1                  : stop writing to Redis
 terminate CALLID|all|own|foreign      : end calls
 call CALLID info|terminate            : print or end a call
 call CALLID debug [on|off]            : log its commands in full
 call CALLID tag TAG info              : print a party
 call CALLID tag TAG delay MS          : delay its media
 call CALLID tag TAG detect-dtmf [0|1] : look for tones in its audio
 debug CALLID [on|off]                 : as `call CALLID debug`
 params start|current|diff|revert      : all settings
 ksadd N | ksrm N | kslist             : Redis keyspaces
 active | standby                      : take over calls, or leave them
 media list files|dbs|caches|players   : media for playing, and likewise
 media add file PATH | db N | cache N
 media reload|evict file PATH | files | db N | dbs | cache N | caches
 media evict players

";
