//! The control listeners beside ng, and their access policy.

use std::net::SocketAddr;
use std::time::Duration;

use windlass_ng::Network;

use super::{COUNT, YEAR};
use crate::config::codec::{List, Maybe, Millis, Seconds, Whole, Word, text};
use crate::config::host_port::Secret;
use crate::config::setting::settings;

settings! {
    /// The control listeners beside ng, and the access to all of them (spec: ng-protocol §1,
    /// security 12).
    pub struct Control ["control"] {
        /// Networks whose requests are answered, besides loopback addresses. A listener on an
        /// address that is not loopback needs this, `secret`, or for HTTPS `client_ca`.
        allow: Vec<Network> = Vec::new(), List(text(NETWORK)), "allow", "control-allow";
        /// Those of them that may list call-ids, besides this host; empty: all of `allow`.
        read: Vec<Network> = Vec::new(), List(text(NETWORK)), "read", "control-read";
        /// Secret that a request must carry when its source is not in `allow`.
        secret: Option<Secret> = None, Maybe(text("a string")), "secret";
        /// The authority, PEM, whose client certificates HTTPS accepts.
        client_ca: Option<String> = None, Maybe(text("a path")), "client_ca";
        /// TCP listeners of the command-line client.
        cli: Vec<SocketAddr> = Vec::new(), List(text(SOCKET_ADDRESS)), "cli";
        /// HTTP and WebSocket listeners.
        http: Vec<SocketAddr> = Vec::new(), List(text(SOCKET_ADDRESS)), "http";
        /// HTTPS and secure WebSocket listeners.
        https: Vec<SocketAddr> = Vec::new(), List(text(SOCKET_ADDRESS)), "https";
        /// Web pages whose scripts may send HTTP and WebSocket requests; empty: all, as with
        /// rtpengine. A browser on this host comes from a loopback address, whatever page it shows.
        origins: Vec<String> = Vec::new(), List(text("an origin such as \"https://example.com\"")),
            "origins";
        /// The certificate of the HTTPS listeners, PEM.
        https_cert: Option<String> = None, Maybe(text("a path")), "https_cert", "https-cert";
        /// Its private key, PEM; `None`: in the file of the certificate.
        https_key: Option<String> = None, Maybe(text("a path")), "https_key", "https-key";
        /// An HTTP connection without a request for this long is closed.
        http_idle_timeout: Duration = Duration::from_secs(5), Seconds(1..=YEAR),
            "http_idle_timeout", "http-idle-timeout";
        /// Bytes of an incomplete message over TCP for which a connection stays open. rtpengine
        /// closes beyond 1024, and so when a longer offer comes in two segments.
        tcp_message_bytes: u32 = 262_144, Whole(1024..=16_777_216), "tcp_message_bytes";
        /// TOS or traffic class of replies over UDP.
        tos: u8 = 0, Whole(0..=255), "tos", "control-tos";
        /// Path MTU discovery for replies over UDP; `None`: as the system does.
        pmtu: Option<Pmtu> = None, Maybe(Word(&PMTU)), "pmtu", "control-pmtu";
        /// Time that an ng request to another engine waits for its reply.
        client_timeout: Duration = Duration::from_millis(50), Millis(1..=60_000),
            "client_timeout_ms", "ng-client-timeout";
        /// Number of repeats of such a request.
        client_retries: u32 = 5, Whole(0..=COUNT), "client_retries", "ng-client-retries";
    }
}

/// Path MTU discovery of a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pmtu {
    /// Forbid fragments to what is larger than the known path MTU.
    Want,
    /// Let routers fragment.
    Dont,
}

const PMTU: [(&str, Pmtu); 2] = [("want", Pmtu::Want), ("dont", Pmtu::Dont)];

const NETWORK: &str = "a network such as \"10.0.0.0/8\"";

const SOCKET_ADDRESS: &str = "an address and port such as \"127.0.0.1:2223\" or \"[::1]:2223\"";
