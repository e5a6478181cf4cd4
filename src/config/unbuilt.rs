//! Settings that are read and checked but have no effect yet; a warning names those that are set.

use super::Config;

/// rtpengine's names of the settings of a configuration that change nothing in this build.
pub fn unbuilt(config: &Config) -> Vec<&'static str> {
    let defaults = Config::default().options();
    let is_unbuilt = |name: &str| {
        let is_group = |group: &&str| name == *group || name.starts_with(&format!("{group}-"));
        NAMES.contains(&name) || GROUPS.iter().any(is_group)
    };
    let options = config.options().into_iter().zip(defaults);
    let changed =
        options.filter(|((name, value), (_, default))| is_unbuilt(name) && value != default);
    changed.map(|((name, _), _)| name).collect()
}

const NAMES: [&str; 11] = [
    "control-pmtu",
    "dtls-ciphers",
    "dtls-signature",
    "dtmf-no-log-injects",
    "jitter-buffer",
    "log-facility-rtcp",
    "ng-client-retries",
    "ng-client-timeout",
    "no-redis-required",
    "subscribe-keyspace",
    "active-switchover",
];

/// With everything behind a dash.
const GROUPS: [&str; 5] = ["graphite", "homer", "jb", "mqtt", "redis"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_is_named() {
        assert_eq!(unbuilt(&Config::default()), [""; 0]);
        let mut config = Config::default();
        config.redis.read = "secret@127.0.0.1:6379/1".parse().ok();
        config.homer.server = "192.0.2.1:9060".parse().ok();
        config.jitter_buffer.packets = 4;
        config.control.tos = 16;
        let mut found = unbuilt(&config);
        found.sort_unstable();
        assert_eq!(found, ["homer", "jitter-buffer", "redis"]);
    }

    #[test]
    fn every_name_is_an_option() {
        let options = Config::default().options();
        for name in NAMES {
            assert!(options.iter().any(|(option, _)| *option == name), "{name}");
        }
    }
}
