//! A configuration as rtpengine's options and their values, for people.

use std::time::Duration;

use super::file::LEARNING;
use super::setting::Group;
use super::topic::{MosBasis, MosModel, for_each_group};
use super::{Config, Interface};

macro_rules! grouped {
    ($($field:ident: $group:ident,)*) => {
        impl Config {
            /// Every option that takes effect, under rtpengine's name, with its value. Secrets are
            /// left out.
            pub fn options(&self) -> Vec<(&'static str, String)> {
                let mut options = self.plain_options();
                options.extend(self.media.destinations.options());
                $(options.extend(self.$field.options());)*
                options
            }
        }
    };
}

for_each_group!(grouped);

impl Config {
    fn plain_options(&self) -> Vec<(&'static str, String)> {
        let seconds = |time: Duration| time.as_secs().to_string();
        let (timeouts, limits) = (&self.timeouts, &self.limits);
        let max_sessions = limits.max_sessions.map(|max| max.to_string());
        let ports = self.interfaces.first().map(|first| first.ports);
        let ports = ports.unwrap_or_default();
        let mut learning = LEARNING.iter();
        let learning = learning.find(|(_, mode)| *mode == self.media.learning);
        let list = |addresses: &[std::net::SocketAddr]| {
            let addresses = addresses.iter().map(ToString::to_string);
            addresses.collect::<Vec<_>>().join(";")
        };
        let interfaces: Vec<String> = self.interfaces.iter().map(interface).collect();
        let workers = self.workers.unwrap_or(0);
        vec![
            (
                "max-sessions",
                max_sessions.unwrap_or_else(|| "-1".to_owned()),
            ),
            ("timeout", seconds(timeouts.media)),
            ("silent-timeout", seconds(timeouts.silent)),
            (
                "final-timeout",
                seconds(timeouts.final_limit.unwrap_or_default()),
            ),
            ("offer-timeout", seconds(timeouts.offer)),
            ("delete-delay", seconds(timeouts.delete_delay)),
            ("tos", self.media.tos.to_string()),
            ("port-min", ports.min.to_string()),
            ("port-max", ports.max.to_string()),
            ("num-threads", workers.to_string()),
            ("max-cpu", format!("{:.1}", limits.max_cpu.unwrap_or(0.0))),
            ("max-load", format!("{:.2}", limits.max_load.unwrap_or(0.0))),
            (
                "max-bandwidth",
                limits.max_bandwidth.unwrap_or(0).to_string(),
            ),
            ("interface", interfaces.join(";")),
            ("mos", self.mos()),
            (
                "endpoint-learning",
                learning.map_or("", |(word, _)| word).to_owned(),
            ),
            ("listen-ng", list(&self.ng.udp)),
            ("listen-tcp-ng", list(&self.ng.tcp)),
            ("listen-cli", list(&self.control.cli)),
            ("listen-http", list(&self.control.http)),
            ("listen-https", list(&self.control.https)),
        ]
    }
}

impl Config {
    /// The values of the list `mos`.
    fn mos(&self) -> String {
        let basis = match self.quality.mos {
            MosBasis::Conversational => "CQ",
            MosBasis::Listening => "LQ",
        };
        let model = match self.quality.mos_model {
            MosModel::Legacy => ";legacy",
            MosModel::G107 => "",
            MosModel::G107Fullband => ";g107.2",
        };
        format!("{basis}{model}")
    }
}

fn interface(interface: &Interface) -> String {
    let Interface { name, address, .. } = interface;
    match interface.advertise {
        Some(advertised) => format!("{name}/{address}!{advertised}"),
        None => format!("{name}/{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_no_secrets_and_no_doubles() {
        let mut config = Config::default();
        config.mqtt.password = Some("geheim".parse().unwrap());
        config.redis.read = "geheim@192.0.2.1:6379/3".parse().ok();
        let options = config.options();
        for (name, value) in &options {
            assert!(!value.contains("geheim"), "{name}");
            let same = options.iter().filter(|(other, _)| other == name);
            assert_eq!(same.count(), 1, "{name}");
        }
        let value = |name| options.iter().find(|(other, _)| *other == name);
        for (name, expected) in [
            ("timeout", "60"),
            ("max-sessions", "-1"),
            ("no-redis-required", "0"),
            ("homer-protocol", "udp"),
            ("redis", "…@192.0.2.1:6379/3"),
            ("redis-write", "(null)"),
            ("redis-allowed-errors", "-1"),
            ("mqtt-pass", "…"),
        ] {
            assert_eq!(
                value(name).map(|(_, value)| value.as_str()),
                Some(expected),
                "{name}"
            );
        }
    }
}
