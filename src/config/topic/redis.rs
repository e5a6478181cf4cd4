//! State kept in Redis.

use std::time::Duration;

use super::{COUNT, YEAR, YEAR_MS};
use crate::config::codec::{
    Flag, List, Maybe, Millis, Not, Seconds, Whole, WholeOrNone, Word, text,
};
use crate::config::host_port::RedisAddress;
use crate::config::setting::settings;

settings! {
    /// State kept in Redis (spec: media-behaviour §15).
    pub struct Redis ["redis"] {
        /// The database calls are read from, and written to unless `write` is given.
        read: Option<RedisAddress> = None, Maybe(text(DATABASE)), "read", "redis";
        /// The database calls are written to.
        write: Option<RedisAddress> = None, Maybe(text(DATABASE)), "write", "redis-write";
        /// The database whose changes are followed; `None`: that of `read`.
        subscribe: Option<RedisAddress> = None, Maybe(text(DATABASE)), "subscribe",
            "redis-subscribe";
        /// Databases of other engines whose calls are kept ready to be taken over.
        keyspaces: Vec<u32> = Vec::new(), List(Whole(0..=COUNT)), "keyspaces",
            "subscribe-keyspace";
        /// Threads that read calls at start; `None`: one per core.
        threads: Option<u32> = None, WholeOrNone(0..=1024), "threads", "redis-num-threads";
        /// A call that is not written again is forgotten after this time.
        expires: Duration = Duration::from_secs(86_400), Seconds(1..=YEAR), "expires",
            "redis-expires";
        /// The relay does not start without Redis.
        required: bool = true, Not, "required", "no-redis-required";
        /// More errors in a row than this, and Redis is left alone; `None`: never.
        allowed_errors: Option<u32> = None, WholeOrNone(0..=COUNT), "allowed_errors",
            "redis-allowed-errors";
        /// Time for which it is not used after that.
        disable_time: Duration = Duration::from_secs(10), Seconds(0..=YEAR), "disable_time",
            "redis-disable-time";
        /// A command that takes longer has failed; zero: no limit.
        command_timeout: Duration = Duration::ZERO, Millis(0..=YEAR_MS), "command_timeout_ms",
            "redis-cmd-timeout";
        /// A connection that takes longer has failed.
        connect_timeout: Duration = Duration::from_millis(1000), Millis(0..=YEAR_MS),
            "connect_timeout_ms", "redis-connect-timeout";
        /// Form of a written call; both are read.
        format: RedisFormat = RedisFormat::Bencode, Word(&FORMAT), "format", "redis-format";
        /// The name is looked up again before each connection.
        resolve_again: bool = false, Flag, "resolve_again", "redis-resolve-on-reconnect";
        /// Idle time before TCP keep-alives; zero: there are none.
        keepalive_time: Duration = Duration::ZERO, Seconds(0..=YEAR), "keepalive_time",
            "redis-tcp-keepalive-time";
        /// Time between keep-alives.
        keepalive_interval: Duration = Duration::from_secs(1), Seconds(0..=YEAR),
            "keepalive_interval", "redis-tcp-keepalive-intvl";
        /// Unanswered keep-alives that end a connection.
        keepalive_probes: u32 = 3, Whole(0..=1000), "keepalive_probes",
            "redis-tcp-keepalive-probes";
        /// A call of another engine becomes ours with its first packet, too.
        active_switchover: bool = false, Flag, "active_switchover", "active-switchover";
    }
}

impl Redis {
    /// Takes the passwords that rtpengine takes from its environment, for databases named without
    /// one: every user of the host can read a command line.
    pub fn take_passwords(&mut self, variable: impl Fn(&str) -> Option<String>) {
        for (address, name) in [
            (&mut self.read, "RTPENGINE_REDIS_AUTH_PW"),
            (&mut self.write, "RTPENGINE_REDIS_WRITE_AUTH_PW"),
            (&mut self.subscribe, "RTPENGINE_REDIS_SUBSCRIBE_AUTH_PW"),
        ] {
            if let Some(address) = address
                && address.password.is_none()
            {
                address.password = variable(name).and_then(|text| text.parse().ok());
            }
        }
    }
}

/// Forms of a call in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisFormat {
    /// Bencode.
    Bencode,
    /// JSON.
    Json,
}

const FORMAT: [(&str, RedisFormat); 3] = [
    ("bencode", RedisFormat::Bencode),
    ("JSON", RedisFormat::Json),
    ("native", RedisFormat::Bencode),
];

const DATABASE: &str = "a database such as \"127.0.0.1:6379/0\" or \"secret@redis:6379/0\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_come_from_the_environment_unless_they_were_given() {
        let mut redis = Redis {
            read: "127.0.0.1:6379/1".parse().ok(),
            write: "given@127.0.0.1:6379/2".parse().ok(),
            ..Redis::default()
        };
        redis.take_passwords(|name| Some(name.to_lowercase()));
        let password = |address: &Option<RedisAddress>| {
            let password = address.as_ref()?.password.as_ref()?;
            Some(password.reveal().to_owned())
        };
        assert_eq!(
            password(&redis.read).as_deref(),
            Some("rtpengine_redis_auth_pw")
        );
        assert_eq!(password(&redis.write).as_deref(), Some("given"));
        assert_eq!(redis.subscribe, None);
    }
}
