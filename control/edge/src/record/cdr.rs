//! Call records (spec §15): one JSON line per finished call attempt.

use std::net::SocketAddr;

use super::clock::Wall;
use super::json::{Object, quote};
use crate::side::Side;

/// One finished call attempt. Texts are empty where there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cdr {
    pub(crate) id: String,
    pub(crate) call_id: Vec<u8>,
    pub(crate) from_tag: Vec<u8>,
    pub(crate) to_tag: Vec<u8>,
    /// URI of From.
    pub(crate) caller: Vec<u8>,
    /// URI of To.
    pub(crate) callee: Vec<u8>,
    pub(crate) ruri: Vec<u8>,
    /// Where the INVITE came from.
    pub(crate) src: Option<SocketAddr>,
    pub(crate) zone_in: String,
    pub(crate) zone_out: String,
    pub(crate) user: Vec<u8>,
    pub(crate) peer: Option<String>,
    /// The target that answered, or the last that was tried.
    pub(crate) target: Option<String>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) setup: Wall,
    /// `None`: not answered.
    pub(crate) answer: Option<Wall>,
    pub(crate) end: Wall,
    /// Code of the final response to the INVITE.
    pub(crate) code: u16,
    pub(crate) reason: Vec<u8>,
    pub(crate) ended_by: EndedBy,
    /// SIP cause and text that the edge gave to both sides when it ended the call.
    pub(crate) cause: Option<(u16, String)>,
    pub(crate) q850: Option<u8>,
    pub(crate) codecs: Vec<String>,
    pub(crate) media: Vec<Leg>,
    pub(crate) flags: Vec<&'static str>,
}

/// One target that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) target: String,
    pub(crate) start: Wall,
    /// 408 for silence, 503 for a transport error.
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// Media of one party, as the relay counted it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Leg {
    /// `caller` or `callee`.
    pub(crate) side: &'static str,
    pub(crate) packets: u64,
    /// Packets lost.
    pub(crate) loss: u64,
    pub(crate) jitter_ms: f64,
    /// `None`: not measured.
    pub(crate) mos: Option<f64>,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EndedBy {
    Admin,
    Callee,
    #[default]
    Caller,
    /// Longest duration or session timer.
    Expiry,
    /// Limit, credit or fraud.
    Limit,
    /// The media fell silent.
    Media,
    /// The process ended before the call did.
    Restart,
    /// Refused by the edge itself.
    Screen,
    /// A transaction timed out.
    Timeout,
}

impl From<Side> for EndedBy {
    fn from(side: Side) -> Self {
        match side {
            Side::Caller => Self::Caller,
            Side::Callee => Self::Callee,
        }
    }
}

impl EndedBy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Callee => "callee",
            Self::Caller => "caller",
            Self::Expiry => "expiry",
            Self::Limit => "limit",
            Self::Media => "media",
            Self::Restart => "restart",
            Self::Screen => "screen",
            Self::Timeout => "timeout",
        }
    }
}

/// Attempts that are written beside answered calls (spec §19, `[log] cdr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Nobody answered: cancelled, busy, declined, no answer.
    pub(crate) missed: bool,
    /// Refused, or no target worked.
    pub(crate) failed: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            missed: true,
            failed: true,
        }
    }
}

impl Selection {
    pub(crate) fn takes(self, cdr: &Cdr) -> bool {
        match (cdr.answer, cdr.code) {
            (Some(_), _) => true,
            (None, 408 | 480 | 486 | 487 | 600 | 603) => self.missed,
            (None, _) => self.failed,
        }
    }
}

impl Cdr {
    /// Time from answer to end; zero if nobody answered or the clock was set back.
    pub(crate) fn duration_ms(&self) -> u64 {
        self.answer
            .map_or(0, |answer| self.end.0.saturating_sub(answer.0))
    }

    /// The record as a line. It takes the record: a call has one.
    pub(crate) fn into_line(self) -> String {
        let mut line = String::with_capacity(1024);
        let mut object = Object::begin(&mut line);
        object.text("id", &self.id);
        object.bytes("call_id", &self.call_id);
        object.bytes("from_tag", &self.from_tag);
        object.bytes("to_tag", &self.to_tag);
        object.bytes("caller", &self.caller);
        object.bytes("callee", &self.callee);
        object.bytes("ruri", &self.ruri);
        let src = self.src.map(|src| src.to_string());
        object.maybe("src", src.as_deref());
        object.text("zone_in", &self.zone_in);
        object.text("zone_out", &self.zone_out);
        object.bytes("user", &self.user);
        object.maybe("peer", self.peer.as_deref());
        object.maybe("target", self.target.as_deref());
        object.array("attempts", &self.attempts, |out, attempt| {
            let mut object = Object::begin(out);
            object.text("target", &attempt.target);
            object.time("start", Some(attempt.start));
            object.raw("code", attempt.code);
            object.text("reason", &attempt.reason);
            object.end();
        });
        object.time("setup", Some(self.setup));
        object.time("answer", self.answer);
        object.time("end", Some(self.end));
        object.raw("duration_ms", self.duration_ms());
        object.raw("code", self.code);
        object.bytes("reason", &self.reason);
        object.text("ended_by", self.ended_by.as_str());
        match &self.cause {
            Some((cause, text)) => {
                object.raw("cause", cause);
                object.text("cause_text", text);
            }
            None => object.raw("cause", "null"),
        }
        match self.q850 {
            Some(cause) => object.raw("q850", cause),
            None => object.raw("q850", "null"),
        }
        object.array("codecs", &self.codecs, |out, codec| quote(out, codec));
        object.object("media", |media| {
            for leg in &self.media {
                media.object(leg.side, |object| {
                    object.raw("packets", leg.packets);
                    object.raw("loss", leg.loss);
                    object.decimal("jitter_ms", leg.jitter_ms);
                    if let Some(mos) = leg.mos {
                        object.decimal("mos", mos);
                    }
                });
            }
        });
        object.array("flags", &self.flags, |out, flag| quote(out, flag));
        object.end();
        line.push('\n');
        line
    }
}
