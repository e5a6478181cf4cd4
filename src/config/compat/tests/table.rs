//! Every option of rtpengine, a value for it, and where that value is to be found.

use std::time::Duration;

use super::{PortRange, config_of, read_line, without_habits};
use crate::config::compat::options::{OPTIONS, Takes};
use crate::config::topic::{
    CertificateCipher, HomerProtocol, MosBasis, MosModel, MqttScope, OffloadMode, Pmtu,
    RecordingFormat, RecordingMethod, RedisFormat, Signature, SsrcReporting,
};
use crate::config::{Config, LogFormat, compat};
use crate::media::latch::Learning;
use crate::observe::levels::Levels;
use crate::observe::log::CallPrefix;

type Landed = fn(&Config) -> bool;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn is(value: Option<&str>, expected: &str) -> bool {
    value == Some(expected)
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn list(values: &[impl ToString]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    values.join(" ")
}

/// The level that a part of the log has.
fn level(config: &Config, subsystem: &str) -> i64 {
    let levels = Levels::of_filter(&config.log.level);
    levels.level(subsystem).unwrap()
}

/// Options that say what to read or to print, or are obeyed by the process; tested by themselves.
const ELSEWHERE: [&str; 12] = [
    "config-file",
    "config-section",
    "version",
    "codecs",
    "foreground",
    "log-stderr",
    "nftables-start",
    "nftables-stop",
    "nftables-status",
    "interfaces-config",
    "templates",
    "transcode-config",
];

#[rustfmt::skip]
const TABLE: [(&str, &str, Landed); 120] = [
    ("silence-detect", "0.5", |c| c.audio.silence_detect == Some(0.5)),
    ("codec-num-threads", "3", |c| c.audio.codec_threads == 3),
    ("cn-payload", "40;1", |c| c.audio.cn_payload == [40, 1]),
    ("table", "-1", |c| c.offload.mode == OffloadMode::Off),
    ("pidfile", "/run/x.pid", |c| is(c.process.pidfile.as_deref(), "/run/x.pid")),
    ("interface", "ext/192.0.2.1!198.51.100.1", |c| c.interfaces[0].name == "ext" && c.interfaces[0].advertised().to_string() == "198.51.100.1"),
    ("save-interface-ports", "true", |c| c.signalling.save_interface_ports),
    ("port-min", "20001", |c| c.interfaces[0].ports == PortRange { min: 20_002, max: 39_999 }),
    ("port-max", "50000", |c| c.interfaces[0].ports == PortRange { min: 30_000, max: 49_999 }),
    ("tos", "184", |c| c.media.tos == 184),
    ("listen-ng", "127.0.0.1:9;[::1]:9", |c| list(&c.ng.udp) == "127.0.0.1:9 [::1]:9"),
    ("listen-tcp-ng", "127.0.0.1:9", |c| list(&c.ng.tcp) == "127.0.0.1:9"),
    ("listen-cli", "127.0.0.1:9", |c| list(&c.control.cli) == "127.0.0.1:9"),
    ("listen-http", "127.0.0.1:9", |c| list(&c.control.http) == "127.0.0.1:9"),
    ("listen-https", "127.0.0.1:9", |c| list(&c.control.https) == "127.0.0.1:9"),
    ("https-cert", "/c.pem", |c| is(c.control.https_cert.as_deref(), "/c.pem")),
    ("https-key", "/k.pem", |c| is(c.control.https_key.as_deref(), "/k.pem")),
    ("control-allow", "10.0.0.0/8;192.0.2.1", |c| list(&c.control.allow) == "10.0.0.0/8 192.0.2.1"),
    ("control-read", "10.0.0.7", |c| list(&c.control.read) == "10.0.0.7"),
    ("media-forbid", "10.0.0.0/8;2001:db8::/32", |c| list(&c.media.destinations.forbid) == "10.0.0.0/8 2001:db8::/32"),
    ("media-host-ports", "10000-20000;7000", |c| list(&c.media.destinations.host_ports) == "10000-20000 7000"),
    ("http-idle-timeout", "7", |c| c.control.http_idle_timeout == secs(7)),
    ("control-tos", "96", |c| c.control.tos == 96),
    ("control-pmtu", "dont", |c| c.control.pmtu == Some(Pmtu::Dont)),
    ("ng-client-timeout", "70", |c| c.control.client_timeout == ms(70)),
    ("ng-client-retries", "2", |c| c.control.client_retries == 2),
    ("timeout", "30", |c| c.timeouts.media == secs(30)),
    ("silent-timeout", "31", |c| c.timeouts.silent == secs(31)),
    ("final-timeout", "32", |c| c.timeouts.final_limit == Some(secs(32))),
    ("offer-timeout", "33", |c| c.timeouts.offer == secs(33)),
    ("delete-delay", "0", |c| c.timeouts.delete_delay == secs(0)),
    ("max-sessions", "0", |c| c.limits.max_sessions == Some(0)),
    ("max-load", "0.8", |c| c.limits.max_load == Some(0.8)),
    ("max-cpu", "90", |c| c.limits.max_cpu == Some(90.0)),
    ("max-bandwidth", "1000000", |c| c.limits.max_bandwidth == Some(1_000_000)),
    ("num-threads", "3", |c| c.workers == Some(3)),
    ("sip-source", "true", |c| c.signalling.sip_source),
    ("endpoint-learning", "delayed", |c| c.media.learning == Learning::Delayed),
    ("reject-invalid-sdp", "true", |c| c.signalling.reject_invalid_sdp),
    ("software-id", "my relay/1", |c| c.signalling.software_id == "my-relay-1"),
    ("b2b-url", "http://%%:8/", |c| is(c.signalling.b2b_url.as_deref(), "http://%%:8/")),
    ("xmlrpc-format", "2", |c| c.signalling.xmlrpc_format == 2),
    ("dtls-passive", "true", |c| c.dtls.passive),
    ("dtls-cert-cipher", "rsa", |c| c.dtls.cert_cipher == CertificateCipher::Rsa),
    ("dtls-rsa-key-size", "4096", |c| c.dtls.rsa_key_size == 4096),
    ("dtls-signature", "SHA-1", |c| c.dtls.signature == Signature::Sha1),
    ("dtls-mtu", "576", |c| c.dtls.mtu == 576),
    ("dtls-ciphers", "HIGH:!aNULL", |c| is(c.dtls.ciphers.as_deref(), "HIGH:!aNULL")),
    ("mos", "LQ;legacy", |c| (c.quality.mos, c.quality.mos_model) == (MosBasis::Listening, MosModel::Legacy)),
    ("measure-rtp", "true", |c| c.quality.measure_rtp),
    ("ssrc-reporting", "inline", |c| c.quality.ssrc_reporting == SsrcReporting::Inline),
    ("rtcp-interval", "2000", |c| c.quality.rtcp_interval == secs(2)),
    ("jitter-buffer", "8", |c| c.jitter_buffer.packets == 8),
    ("jb-clock-drift", "true", |c| c.jitter_buffer.clock_drift),
    ("jb-adaptive", "true", |c| c.jitter_buffer.adaptive),
    ("jb-adaptive-min", "20", |c| c.jitter_buffer.adaptive_min == ms(20)),
    ("jb-adaptive-max", "1000", |c| c.jitter_buffer.adaptive_max == secs(1)),
    ("recording-dir", "/rec", |c| is(c.recording.dir.as_deref(), "/rec")),
    ("recording-method", "proc", |c| c.recording.method == RecordingMethod::Proc),
    ("recording-format", "eth", |c| c.recording.format == RecordingFormat::Ethernet),
    ("record-egress", "true", |c| c.recording.egress),
    ("record-both", "true", |c| c.recording.both),
    ("vsc-start-rec", "*1", |c| is(c.recording.start_code.as_deref(), "*1")),
    ("vsc-stop-rec", "*2", |c| is(c.recording.stop_code.as_deref(), "*2")),
    ("vsc-start-stop-rec", "*3", |c| is(c.recording.start_stop_code.as_deref(), "*3")),
    ("vsc-pause-rec", "*4", |c| is(c.recording.pause_code.as_deref(), "*4")),
    ("vsc-pause-resume-rec", "*5", |c| is(c.recording.pause_resume_code.as_deref(), "*5")),
    ("vsc-start-pause-resume-rec", "*6", |c| is(c.recording.start_pause_resume_code.as_deref(), "*6")),
    ("dtmf-log-dest", "192.0.2.9:99", |c| text(c.dtmf.log_dest.as_ref()) == "192.0.2.9:99"),
    ("dtmf-log-ng-tcp", "true", |c| c.dtmf.log_ng_tcp),
    ("dtmf-no-suppress", "true", |c| !c.dtmf.suppress),
    ("dtmf-digit-delay", "900", |c| c.dtmf.digit_delay == ms(900)),
    ("dtmf-no-log-injects", "true", |c| !c.dtmf.log_injects),
    ("log-level", "7", |c| c.log.level == "debug"),
    ("log-level-core", "-1", |c| level(c, "core") == -1),
    ("log-level-rtcp", "3", |c| level(c, "rtcp") == 3),
    ("log-level-ice", "7", |c| level(c, "ice") == 7),
    ("log-level-crypto", "4", |c| level(c, "crypto") == 4),
    ("log-level-srtp", "4", |c| level(c, "srtp") == 4),
    ("log-level-codec", "7", |c| level(c, "codec") == 7),
    ("log-level-http", "0", |c| level(c, "http") == 3),
    ("log-level-control", "7", |c| level(c, "control") == 7),
    ("log-facility", "local3", |c| c.syslog.facility.to_string() == "local3"),
    ("log-facility-cdr", "local0", |c| text(c.syslog.cdr.as_ref()) == "local0"),
    ("log-facility-rtcp", "local1", |c| text(c.syslog.rtcp.as_ref()) == "local1"),
    ("log-facility-dtmf", "local2", |c| text(c.syslog.dtmf.as_ref()) == "local2"),
    ("log-format", "parsable", |c| c.syslog.call_prefix == CallPrefix::Parsable),
    ("log-name", "relay", |c| c.syslog.name == "relay"),
    ("no-log-timestamps", "true", |c| !c.syslog.timestamps),
    ("split-logs", "true", |c| c.syslog.split_lines),
    ("max-log-line-length", "-1", |c| c.syslog.max_line_length == Some(0)),
    ("log-mark-prefix", "<", |c| c.syslog.mark_prefix == "<"),
    ("log-mark-suffix", ">", |c| c.syslog.mark_suffix == ">"),
    ("redis", "pw@192.0.2.9:6379/1", |c| text(c.redis.read.as_ref()) == "pw@192.0.2.9:6379/1"),
    ("redis-write", "redis:6379/2", |c| text(c.redis.write.as_ref()) == "redis:6379/2"),
    ("redis-subscribe", "redis:6379/3", |c| text(c.redis.subscribe.as_ref()) == "redis:6379/3"),
    ("subscribe-keyspace", "4;5", |c| c.redis.keyspaces == [4, 5]),
    ("redis-num-threads", "2", |c| c.redis.threads == Some(2)),
    ("redis-expires", "60", |c| c.redis.expires == secs(60)),
    ("no-redis-required", "true", |c| !c.redis.required),
    ("redis-allowed-errors", "3", |c| c.redis.allowed_errors == Some(3)),
    ("redis-disable-time", "20", |c| c.redis.disable_time == secs(20)),
    ("redis-cmd-timeout", "500", |c| c.redis.command_timeout == ms(500)),
    ("redis-connect-timeout", "600", |c| c.redis.connect_timeout == ms(600)),
    ("redis-format", "json", |c| c.redis.format == RedisFormat::Json),
    ("redis-resolve-on-reconnect", "true", |c| c.redis.resolve_again),
    ("redis-tcp-keepalive-time", "11", |c| c.redis.keepalive_time == secs(11)),
    ("redis-tcp-keepalive-intvl", "12", |c| c.redis.keepalive_interval == secs(12)),
    ("redis-tcp-keepalive-probes", "13", |c| c.redis.keepalive_probes == 13),
    ("active-switchover", "true", |c| c.redis.active_switchover),
    ("homer", "[2001:db8::9]:9060", |c| text(c.homer.server.as_ref()) == "[2001:db8::9]:9060"),
    ("homer-protocol", "tcp", |c| c.homer.protocol == HomerProtocol::Tcp),
    ("homer-id", "7", |c| c.homer.id == 7),
    ("homer-disable-rtcp-stats", "true", |c| !c.homer.rtcp),
    ("homer-enable-ng", "true", |c| c.homer.ng),
    ("homer-ng-capture-proto", "60", |c| c.homer.ng_type == 60),
    ("graphite", "carbon:2003", |c| text(c.graphite.server.as_ref()) == "carbon:2003"),
    ("graphite-interval", "10", |c| c.graphite.interval == secs(10)),
    ("graphite-prefix", "relay.", |c| c.graphite.prefix == "relay."),
    ("graphite-timeout", "4", |c| c.graphite.timeout == secs(4)),
];

#[rustfmt::skip]
const MQTT: [(&str, &str, Landed); 15] = [
    ("mqtt-host", "broker", |c| is(c.mqtt.host.as_deref(), "broker")),
    ("mqtt-port", "8883", |c| c.mqtt.port == 8883),
    ("mqtt-id", "me", |c| is(c.mqtt.id.as_deref(), "me")),
    ("mqtt-keepalive", "15", |c| c.mqtt.keepalive == secs(15)),
    ("mqtt-user", "u", |c| is(c.mqtt.user.as_deref(), "u")),
    ("mqtt-pass", "p", |c| c.mqtt.password.as_ref().is_some_and(|p| p.reveal() == "p")),
    ("mqtt-cafile", "/ca.pem", |c| is(c.mqtt.ca_file.as_deref(), "/ca.pem")),
    ("mqtt-capath", "/ca", |c| is(c.mqtt.ca_path.as_deref(), "/ca")),
    ("mqtt-certfile", "/c.pem", |c| is(c.mqtt.cert_file.as_deref(), "/c.pem")),
    ("mqtt-keyfile", "/k.pem", |c| is(c.mqtt.key_file.as_deref(), "/k.pem")),
    ("mqtt-tls-alpn", "mqtt", |c| is(c.mqtt.tls_alpn.as_deref(), "mqtt")),
    ("mqtt-publish-qos", "2", |c| c.mqtt.qos == 2),
    ("mqtt-publish-topic", "t/x", |c| is(c.mqtt.topic.as_deref(), "t/x")),
    ("mqtt-publish-interval", "1000", |c| c.mqtt.interval == secs(1)),
    ("mqtt-publish-scope", "call", |c| c.mqtt.scope == MqttScope::Call),
];

fn table() -> impl Iterator<Item = (&'static str, &'static str, Landed)> {
    TABLE.into_iter().chain(MQTT)
}

/// Other options that an option needs beside it.
fn beside(name: &str) -> &'static str {
    match name {
        "interface" => "",
        "listen-https" => "interface=192.0.2.1\nhttps-cert=/c.pem\n",
        _ => "interface=192.0.2.1\n",
    }
}

fn file(name: &str, value: &str) -> String {
    let ng = match name {
        "listen-ng" => "",
        _ => "listen-ng=127.0.0.1:2223\n",
    };
    format!("[rtpengine]\n{}{ng}{name} = {value}\n", beside(name))
}

#[test]
fn every_used_option_is_in_the_table() {
    for row in OPTIONS.iter().filter(|row| row.is_used) {
        let times = table().filter(|(name, ..)| *name == row.name).count()
            + ELSEWHERE.iter().filter(|name| **name == row.name).count();
        assert_eq!(times, 1, "{}", row.name);
    }
    assert_eq!(
        OPTIONS.iter().filter(|row| row.is_used).count(),
        120 + 15 + 12
    );
}

#[test]
fn every_option_lands_in_its_field_from_the_file() {
    for (name, value, landed) in table() {
        let config = config_of(&file(name, value), &[]);
        assert!(landed(&config), "{name}: {config:#?}");
        let untouched = config_of(&file("foreground", "true"), &[]);
        assert!(!landed(&untouched), "{name} proves nothing");
    }
}

#[test]
fn every_option_lands_in_its_field_from_the_command_line() {
    for (name, value, landed) in table() {
        let takes = OPTIONS.iter().find(|row| row.name == name).unwrap().takes;
        let mut arguments: Vec<String> = match takes {
            Takes::Flag => vec![format!("--{name}")],
            Takes::List => value.split(';').map(|v| format!("--{name}={v}")).collect(),
            Takes::Number | Takes::Value => vec![format!("--{name}"), value.to_owned()],
        };
        let words: Vec<&str> = beside(name).split_whitespace().collect();
        arguments.extend(words.iter().map(|word| format!("--{word}")));
        if name != "listen-ng" {
            arguments.push("--listen-ng=127.0.0.1:2223".to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let config = read_line(&arguments).unwrap().config;
        assert!(landed(&config), "{name}: {config:#?}");
    }
}

#[test]
fn short_forms_are_those_of_the_table() {
    let letters: String = OPTIONS.iter().filter_map(|row| row.short).collect();
    let mut unique: Vec<char> = letters.chars().collect();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), letters.len(), "{letters}");
    let known = "vfpiSmMTnNclutoFsadbxLErwkqgGy";
    assert!(
        known
            .chars()
            .all(|letter| unique.binary_search(&letter).is_ok())
    );
    assert_eq!(known.len(), letters.len());
}

#[test]
fn options_without_a_meaning_are_named_once() {
    let unused: Vec<_> = OPTIONS.iter().filter(|row| !row.is_used).collect();
    assert!(unused.len() >= 79);
    let mut arguments = vec!["-f", "--interface=192.0.2.1", "--listen-ng=127.0.0.1:2223"];
    let given: Vec<String> = unused
        .iter()
        .map(|row| match row.takes {
            Takes::Flag => format!("--{}", row.name),
            _ => format!("--{}=7", row.name),
        })
        .collect();
    arguments.extend(given.iter().map(String::as_str));
    let run = read_line(&arguments).unwrap();
    assert_eq!(run.warnings.len(), 1, "{:#?}", run.warnings);
    for row in unused {
        assert!(run.warnings[0].contains(row.name), "{}", row.name);
    }
    assert_eq!(
        run.config,
        read_line(&arguments[..3]).unwrap().config,
        "they changed something"
    );
}

#[test]
fn import_of_every_option_is_a_file_that_says_the_same() {
    for (name, value, _) in table() {
        let text = file(name, value);
        let toml = compat::import(&text, "rtpengine").unwrap();
        let again = crate::config::file::parse(
            &toml,
            &crate::config::Flags::default(),
            &crate::config::names::Names::unseen(),
        );
        let said = without_habits(config_of(&text, &[]));
        assert_eq!(without_habits(again.unwrap()), said, "{name}:\n{toml}");
    }
}

#[test]
fn log_goes_to_the_syslog_unless_stderr_is_wanted() {
    let text = file("tos", "0");
    let config = |more: &[&str]| config_of(&text, more);
    assert_eq!(config(&[]).log.format, LogFormat::Rtpengine);
    assert!(config(&[]).syslog.engine);
    assert_eq!(config(&[]).syslog.name, "rtpengine");
    assert!(!config(&["-E"]).syslog.engine);
    assert!(config(&["--log-stderr=false"]).syslog.engine);
    let toml = compat::import(&file("log-stderr", "false"), "rtpengine");
    let toml = toml.unwrap();
    assert!(toml.contains("engine = true"), "{toml}");
}
