//! Events (spec §15): what happens in the edge, for the log, the admin interface and webhooks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::clock::Wall;
use super::json::Object;
use crate::limits;
use crate::screen::address::Source;
use crate::screen::ban::{Ban, Evidence};
use crate::screen::verdict::Banned;
use crate::target::{Cause, TargetEvent};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Ban {
        ip: IpAddr,
        /// `None`: all ports.
        port: Option<u16>,
        reason: &'static str,
        verified: bool,
        lasts: Duration,
    },
    Unban {
        ip: IpAddr,
        port: Option<u16>,
        refused: u32,
    },
    Flood {
        source: SocketAddr,
        zone: String,
    },
    /// A call was refused by a limit.
    Limit {
        class: String,
        user: Vec<u8>,
        source: SocketAddr,
    },
    TargetState {
        target: String,
        state: &'static str,
        reason: String,
    },
    CallState {
        id: u64,
        state: &'static str,
        code: u16,
    },
    Registration {
        aor: Vec<u8>,
        source: SocketAddr,
        state: &'static str,
    },
    /// A configuration or list was loaded or refused.
    Config {
        what: String,
        error: Option<String>,
    },
}

impl Event {
    /// A ban came into force.
    pub(crate) fn of_ban(banned: &Banned) -> Self {
        Self::Ban {
            ip: banned.source.ip(),
            port: banned.source.only_port(),
            reason: banned.ban.reason.as_str(),
            verified: banned.ban.evidence == Evidence::Verified,
            lasts: banned.lasts,
        }
    }

    /// A target has changed its state.
    pub(crate) fn of_target(event: &TargetEvent) -> Self {
        Self::TargetState {
            target: event.id.to_string(),
            state: event.state(),
            reason: match event.cause {
                Cause::Admin => "operator".to_owned(),
                Cause::Answer => "it answered a probe".to_owned(),
                Cause::Misses(count) => format!("{count} misses in a row"),
            },
        }
    }

    /// A ban is over.
    pub(crate) fn of_end(source: Source, ban: &Ban) -> Self {
        Self::Unban {
            ip: source.ip(),
            port: source.only_port(),
            refused: ban.refused,
        }
    }

    /// The `event` of its JSON, and the name of an event stream's entry.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ban { .. } => "ban",
            Self::Unban { .. } => "unban",
            Self::Flood { .. } => "flood",
            Self::Limit { .. } => "limit",
            Self::TargetState { .. } => "target_state",
            Self::CallState { .. } => "call_state",
            Self::Registration { .. } => "registration",
            Self::Config { .. } => "config",
        }
    }

    /// The event as one JSON object, without a line end.
    pub(crate) fn to_json(&self, at: Wall) -> String {
        let mut out = String::with_capacity(256);
        let mut object = Object::begin(&mut out);
        object.time("time", Some(at));
        object.text("event", self.name());
        match self {
            Self::Ban {
                ip,
                port,
                reason,
                verified,
                lasts,
            } => {
                object.shown("ip", ip);
                if let Some(port) = port {
                    object.raw("port", port);
                }
                object.text("reason", reason);
                object.raw("verified", verified);
                object.raw("lasts_s", lasts.as_secs());
            }
            Self::Unban { ip, port, refused } => {
                object.shown("ip", ip);
                if let Some(port) = port {
                    object.raw("port", port);
                }
                object.raw("refused", refused);
            }
            Self::Flood { source, zone } => {
                object.shown("source", source);
                object.text("zone", zone);
            }
            Self::Limit {
                class,
                user,
                source,
            } => {
                object.text("class", class);
                object.bytes("user", user);
                object.shown("source", source);
            }
            Self::TargetState {
                target,
                state,
                reason,
            } => {
                object.text("target", target);
                object.text("state", state);
                object.text("reason", reason);
            }
            Self::CallState { id, state, code } => {
                object.shown("id", format_args!("{id:016x}"));
                object.text("state", state);
                object.raw("code", code);
            }
            Self::Registration { aor, source, state } => {
                object.bytes("aor", aor);
                object.shown("source", source);
                object.text("state", state);
            }
            Self::Config { what, error } => {
                object.text("what", what);
                object.maybe("error", error.as_deref());
            }
        }
        object.end();
        out
    }
}

/// An event with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) at: Wall,
    pub(crate) event: Event,
}

/// Tells events to whoever listens. Telling never waits: a listener that is slow loses the oldest,
/// and learns how many.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Arc<Told>>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(limits::QUEUED_EVENTS),
        }
    }
}

impl Events {
    pub(crate) fn tell(&self, at: Wall, event: Event) {
        // Nobody listens: nothing is lost.
        let _ = self.sender.send(Arc::new(Told { at, event }));
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Events from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Told>> {
        self.sender.subscribe()
    }
}
