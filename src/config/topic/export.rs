//! Export of statistics: Homer, Graphite, MQTT.

use std::time::Duration;

use super::{COUNT, YEAR, YEAR_MS};
use crate::config::codec::{Flag, Maybe, Millis, Not, Seconds, Whole, Word, text};
use crate::config::host_port::{HostPort, Secret};
use crate::config::setting::settings;

settings! {
    /// HEP capture (spec: media-behaviour §17).
    pub struct Homer ["homer"] {
        /// The collector; `None`: nothing is sent.
        server: Option<HostPort> = None, Maybe(text(HOST_PORT)), "server", "homer";
        /// Transport protocol.
        protocol: HomerProtocol = HomerProtocol::Udp, Word(&HOMER_PROTOCOL), "protocol",
            "homer-protocol";
        /// The capture agent's number.
        id: u32 = 2001, Whole(0..=COUNT), "id", "homer-id";
        /// RTCP is sent, as JSON.
        rtcp: bool = true, Not, "rtcp", "homer-disable-rtcp-stats";
        /// ng requests and replies are sent.
        ng: bool = false, Flag, "ng", "homer-enable-ng";
        /// The HEP protocol type of ng.
        ng_type: u8 = 61, Whole(0..=255), "ng_type", "homer-ng-capture-proto";
    }
}

/// Transport protocols of the HEP collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HomerProtocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

const HOMER_PROTOCOL: [(&str, HomerProtocol); 2] =
    [("udp", HomerProtocol::Udp), ("tcp", HomerProtocol::Tcp)];

settings! {
    /// Carbon lines at an interval (spec: media-behaviour §20).
    pub struct Graphite ["graphite"] {
        /// The carbon server; `None`: nothing is sent.
        server: Option<HostPort> = None, Maybe(text(HOST_PORT)), "server", "graphite";
        /// Interval; zero: never.
        interval: Duration = Duration::ZERO, Seconds(0..=YEAR), "interval", "graphite-interval";
        /// Prefix of every name.
        prefix: String = String::new(), text("a string"), "prefix", "graphite-prefix";
        /// A connection that takes longer is given up; zero: the system's time-out.
        timeout: Duration = Duration::ZERO, Seconds(0..=YEAR), "timeout", "graphite-timeout";
    }
}

settings! {
    /// JSON statistics to an MQTT broker (spec: media-behaviour §20).
    pub struct Mqtt ["mqtt"] {
        /// The broker; `None`: nothing is sent.
        host: Option<String> = None, Maybe(text("a host")), "host", "mqtt-host";
        /// Its port.
        port: u16 = 1883, Whole(1..=65_535), "port", "mqtt-port";
        /// The client identifier; `None`: random.
        id: Option<String> = None, Maybe(text("a string")), "id", "mqtt-id";
        /// The keep-alive time.
        keepalive: Duration = Duration::from_secs(30), Seconds(1..=65_535), "keepalive",
            "mqtt-keepalive";
        /// The user to log in as.
        user: Option<String> = None, Maybe(text("a string")), "user", "mqtt-user";
        /// The user's password.
        password: Option<Secret> = None, Maybe(text("a string")), "password", "mqtt-pass";
        /// Authorities whose server certificates are accepted: a PEM file.
        ca_file: Option<String> = None, Maybe(text("a path")), "ca_file", "mqtt-cafile";
        /// The same as a directory.
        ca_path: Option<String> = None, Maybe(text("a path")), "ca_path", "mqtt-capath";
        /// The client's certificate, PEM.
        cert_file: Option<String> = None, Maybe(text("a path")), "cert_file", "mqtt-certfile";
        /// Its private key, PEM.
        key_file: Option<String> = None, Maybe(text("a path")), "key_file", "mqtt-keyfile";
        /// The protocol name offered in TLS (ALPN).
        tls_alpn: Option<String> = None, Maybe(text("a string")), "tls_alpn", "mqtt-tls-alpn";
        /// Quality of service, 0 to 2.
        qos: u8 = 0, Whole(0..=2), "qos", "mqtt-publish-qos";
        /// The topic; `None`: nothing is sent.
        topic: Option<String> = None, Maybe(text("a string")), "topic", "mqtt-publish-topic";
        /// Interval.
        interval: Duration = Duration::from_millis(5000), Millis(1..=YEAR_MS), "interval_ms",
            "mqtt-publish-interval";
        /// Scope of one message.
        scope: MqttScope = MqttScope::Global, Word(&MQTT_SCOPE), "scope", "mqtt-publish-scope";
    }
}

/// Scopes of an MQTT message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttScope {
    /// The process with all its calls.
    Global,
    /// The process without its calls.
    Summary,
    /// One call.
    Call,
    /// One media of a call.
    Media,
}

const MQTT_SCOPE: [(&str, MqttScope); 4] = [
    ("global", MqttScope::Global),
    ("summary", MqttScope::Summary),
    ("call", MqttScope::Call),
    ("media", MqttScope::Media),
];

const HOST_PORT: &str = "a host and port such as \"192.0.2.1:9060\"";
