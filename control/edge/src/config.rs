//! Configuration of an edge: plain data. The caller reads files and flags.

use std::net::SocketAddr;
use std::time::Duration;

use windlass_ng::Family;

pub use crate::message::limits::Limits;
pub use crate::transaction::timer::Timers;

/// One SIP edge front: its listeners, its upstream, and the relay that anchors the media.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// UDP addresses to listen on. An unspecified address is advertised as the local address that
    /// routes to the upstream, unless `advertise` names another.
    pub listen: Vec<SocketAddr>,
    /// `host[:port]` written in Via and Record-Route for the first listener, for 1:1 NAT.
    pub advertise: Option<String>,
    /// Index in `listen` of the socket that faces the upstream. By default the socket a call came
    /// by, or the first one of the upstream's address family; one is opened if there is none.
    pub upstream_listener: Option<usize>,
    /// Destination of every initial request.
    pub upstream: SocketAddr,
    /// The ng control address of the media relay.
    pub ng: SocketAddr,
    /// Options added to the ng requests.
    pub ng_options: NgOptions,
    /// Transaction timers.
    pub timers: Timers,
    /// Bounds of messages.
    pub limits: Limits,
    /// Bounds of tables.
    pub tables: Tables,
    /// Longest call; its dialog and media are forgotten then.
    pub max_call: Duration,
    /// Max-Forwards added to requests without one, and the highest value let through.
    pub max_forwards: u8,
    /// Longest wait for one answer of the media relay.
    pub media_timeout: Duration,
    /// Longest wait of [`crate::Edge::stop`] for transactions in progress.
    pub drain: Duration,
    /// Initial requests from the upstream go to the address in their Request-URI. Refused with 403
    /// otherwise.
    pub calls_from_upstream: bool,
}

/// Bounds of the tables of one edge (spec: new INVITEs get 503 when full; calls are never evicted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tables {
    /// Dialogs, early and confirmed.
    pub dialogs: usize,
    /// Requests being relayed, including those that linger for retransmissions.
    pub transactions: usize,
    /// Messages of one call that wait for the media relay.
    pub parked_per_call: usize,
    /// Bytes of all requests being relayed; more are answered 503.
    pub bytes: usize,
    /// The same of one source that is not the upstream.
    pub bytes_per_source: usize,
    /// Calls of one such source that are not answered yet.
    pub setups_per_source: usize,
    /// Refusals of INVITEs of one such source that wait for an ACK and are sent again until it
    /// comes; more are sent once, and again when their INVITE is. A source that is forged never
    /// sends one.
    pub unacknowledged_per_source: usize,
}

/// Parameters of the ng requests. The *client side* is everything that is not the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NgOptions {
    /// Interface labels of the relay for (client side, upstream side), sent as `direction`.
    pub direction: Option<(String, String)>,
    /// Address family of the SDP sent to (client side, upstream side). By default it is set only
    /// for a call whose sides are reached over different families.
    pub address_family: (Option<Family>, Option<Family>),
    /// Items of the `flags` list of every offer and answer.
    pub flags: Vec<String>,
    /// Further keys of requests whose SDP goes to the client side, e.g. `transport-protocol`.
    pub toward_client: Vec<(String, String)>,
    /// Further keys of requests whose SDP goes to the upstream side.
    pub toward_upstream: Vec<(String, String)>,
}

impl Config {
    /// The defaults for one listener, one upstream and one relay.
    pub fn new(listen: SocketAddr, upstream: SocketAddr, ng: SocketAddr) -> Self {
        Self {
            listen: vec![listen],
            advertise: None,
            upstream_listener: None,
            upstream,
            ng,
            ng_options: NgOptions::default(),
            timers: Timers::default(),
            limits: Limits::default(),
            tables: Tables::default(),
            max_call: Duration::from_secs(43_200),
            max_forwards: 70,
            media_timeout: Duration::from_secs(3),
            drain: Duration::from_millis(500),
            calls_from_upstream: true,
        }
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            dialogs: 100_000,
            transactions: 500_000,
            parked_per_call: 64,
            bytes: 256 << 20,
            bytes_per_source: 32 << 20,
            setups_per_source: 500,
            unacknowledged_per_source: 100,
        }
    }
}
