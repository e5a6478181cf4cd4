//! The security log (spec §16): one line per event, made so that nothing a message says can stand
//! where an address, an event or a line of ours is expected.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::clock::Wall;
use super::json::Object;
use crate::limits;
use crate::screen::address::Source;
use crate::screen::aging::{Aging, Rank};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    AuthFailures,
    BadToken,
    Banned,
    Flood,
    FraudCritical,
    InviteFromUnknownSource,
    LimitExceeded,
    Malformed,
    MethodDenied,
    RegisterBadPassword,
    RegisterUnknownUser,
    RegisterWrongDomain,
    RequestToUnknownDestination,
    Scanner,
}

impl Event {
    /// The name in the log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AuthFailures => "Auth_Failures",
            Self::BadToken => "Bad_Token",
            Self::Banned => "Banned",
            Self::Flood => "Flood",
            Self::FraudCritical => "Fraud_Critical",
            Self::InviteFromUnknownSource => "Invite_from_unknown_source",
            Self::LimitExceeded => "Limit_Exceeded",
            Self::Malformed => "Malformed",
            Self::MethodDenied => "Method_Denied",
            Self::RegisterBadPassword => "Register_Bad_Password",
            Self::RegisterUnknownUser => "Register_Unknown_User",
            Self::RegisterWrongDomain => "Register_Wrong_Domain",
            Self::RequestToUnknownDestination => "Request_to_unknown_destination",
            Self::Scanner => "Scanner",
        }
    }
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `TIME IP:PORT EVENT zone=… …`, which the shipped fail2ban filter reads.
    #[default]
    Fields,
    /// `TIME CALLID|reject|src_ip=[IP],EVENT zone=… …`, for jails that know that form.
    Pipe,
    /// One JSON object a line.
    Json,
}

/// One event. Everything from `method` on came from the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The socket's peer.
    pub(crate) source: SocketAddr,
    pub(crate) event: Event,
    pub(crate) zone: &'a str,
    pub(crate) protocol: &'a str,
    pub(crate) action: &'a str,
    pub(crate) method: &'a [u8],
    pub(crate) ruri: &'a [u8],
    pub(crate) from: &'a [u8],
    pub(crate) to: &'a [u8],
    pub(crate) user_agent: &'a [u8],
    pub(crate) call_id: &'a [u8],
}

/// Makes lines, and counts those of an address and event that are too many for the log. One for
/// all shards.
#[derive(Debug)]
pub(crate) struct SecurityLog {
    format: Format,
    /// Seconds east of UTC that times are written in.
    east_s: i32,
    paces: Aging<(Source, Event), Pace>,
    /// Keys that have a summary due.
    pending: Vec<(Source, Event)>,
}

/// The lines of an address and event in the second that began at `since`.
#[derive(Clone, Debug)]
struct Pace {
    since: Instant,
    lines: u32,
    left_out: u64,
    source: SocketAddr,
    zone: String,
    protocol: String,
}

impl SecurityLog {
    pub(crate) fn new(format: Format, east_s: i32) -> Self {
        Self {
            format,
            east_s,
            paces: Aging::new(limits::LOGGED_SOURCES),
            pending: Vec::new(),
        }
    }

    /// Appends to `out` what the log gets now: the line, or nothing if there were ten in this
    /// second; and what was left out in an earlier one.
    pub(crate) fn log(&mut self, line: &Line<'_>, now: Instant, wall: Wall, out: &mut String) {
        let key = (Source::whole(line.source.ip()), line.event);
        let make = || Pace {
            since: now,
            lines: 0,
            left_out: 0,
            source: line.source,
            zone: line.zone.to_owned(),
            protocol: line.protocol.to_owned(),
        };
        let Ok((pace, gone)) = self.paces.touch(&key, Rank::Unverified, make) else {
            return;
        };
        let is_over = now.saturating_duration_since(pace.since) >= SECOND;
        let due = is_over.then(|| std::mem::replace(pace, make()));
        pace.source = line.source;
        let is_written = pace.lines < limits::LOG_LINES_PER_SECOND;
        if is_written {
            pace.lines += 1;
        } else {
            pace.left_out += 1;
        }
        let is_first_left_out = pace.left_out == 1 && !is_written;
        let gone = gone.map(|((_, event), pace)| (event, pace));
        for (event, pace) in gone.into_iter().chain(due.map(|pace| (line.event, pace))) {
            self.summarise(event, &pace, wall, out);
        }
        if is_first_left_out {
            self.pending.push(key);
        }
        if is_written {
            self.write(line, None, wall, out);
        }
    }

    /// Appends the summaries of seconds that are over. To be called once a second.
    pub(crate) fn handle_timeout(&mut self, now: Instant, wall: Wall, out: &mut String) {
        let pending = std::mem::take(&mut self.pending);
        for key in pending {
            let Some(pace) = self.paces.get_mut(&key) else {
                continue;
            };
            if pace.left_out == 0 {
                continue;
            }
            if now.saturating_duration_since(pace.since) < SECOND {
                self.pending.push(key);
                continue;
            }
            let left_out = pace.left_out;
            let summary = pace.clone();
            (pace.left_out, pace.lines, pace.since) = (0, 0, now);
            debug_assert!(left_out > 0);
            self.summarise(key.1, &summary, wall, out);
        }
    }

    fn summarise(&self, event: Event, pace: &Pace, wall: Wall, out: &mut String) {
        if pace.left_out == 0 {
            return;
        }
        let line = Line {
            source: pace.source,
            event,
            zone: &pace.zone,
            protocol: &pace.protocol,
            action: "",
            method: b"",
            ruri: b"",
            from: b"",
            to: b"",
            user_agent: b"",
            call_id: b"",
        };
        self.write(&line, Some(pace.left_out), wall, out);
    }

    fn write(&self, line: &Line<'_>, repeated: Option<u64>, wall: Wall, out: &mut String) {
        let source = SocketAddr::new(line.source.ip().to_canonical(), line.source.port());
        let event = line.event.as_str();
        let time = wall.shifted(self.east_s).utc();
        // Writing to a String does not fail.
        match self.format {
            Format::Json => return self.write_json(line, repeated, wall, out),
            Format::Fields => {
                let _ = write!(out, "{} {} {source} {event}", time.date(), time.time());
            }
            Format::Pipe => {
                let _ = write!(out, "{} {} ", time.date(), time.time());
                encode(out, line.call_id, VALUE_BYTES);
                let _ = write!(out, "|reject|src_ip=[{}],{event}", source.ip());
            }
        }
        for (name, value, most) in values(line) {
            if repeated.is_some() && value.is_empty() {
                continue;
            }
            let _ = write!(out, " {name}=");
            encode(out, value, most);
        }
        if let Some(repeated) = repeated {
            let _ = write!(out, " repeated={repeated}");
        }
        out.push('\n');
    }

    fn write_json(&self, line: &Line<'_>, repeated: Option<u64>, wall: Wall, out: &mut String) {
        let source = SocketAddr::new(line.source.ip().to_canonical(), line.source.port());
        let mut object = Object::begin(out);
        object.time("time", Some(wall));
        object.shown("src", source);
        object.text("event", line.event.as_str());
        let mut text = String::new();
        for (name, value, most) in values(line) {
            if repeated.is_some() && value.is_empty() {
                continue;
            }
            text.clear();
            encode(&mut text, value, most);
            object.text(name, &text);
        }
        if let Some(repeated) = repeated {
            object.raw("repeated", repeated);
        }
        object.end();
        out.push('\n');
    }
}

/// The fields behind the event, each with the most bytes of it.
fn values<'a>(line: &Line<'a>) -> [(&'static str, &'a [u8], usize); 9] {
    [
        ("zone", line.zone.as_bytes(), NAME_BYTES),
        ("proto", line.protocol.as_bytes(), NAME_BYTES),
        ("method", line.method, NAME_BYTES),
        ("action", line.action.as_bytes(), NAME_BYTES),
        ("RURI", line.ruri, VALUE_BYTES),
        ("From", line.from, VALUE_BYTES),
        ("To", line.to, VALUE_BYTES),
        ("UA", line.user_agent, VALUE_BYTES),
        ("Call-ID", line.call_id, VALUE_BYTES),
    ]
}

/// Appends a value of at most `most` bytes; bytes that could end it or begin another are `%XX`.
fn encode(out: &mut String, value: &[u8], most: usize) {
    let start = out.len();
    for byte in value {
        let is_plain = byte.is_ascii_graphic() && !matches!(byte, b'"' | b'|' | b'[' | b']' | b'=');
        let width = if is_plain { 1 } else { 3 };
        if out.len() - start + width > most {
            break;
        }
        if is_plain {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Of a value (spec §16).
const VALUE_BYTES: usize = 128;
/// Of a method or the name of a zone: with them a line stays below 1 KiB.
const NAME_BYTES: usize = 32;
const SECOND: Duration = Duration::from_secs(1);
