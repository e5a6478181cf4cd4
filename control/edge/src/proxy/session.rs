//! Session timers (RFC 4028) as a proxy has them: intervals that are too short, those that it adds,
//! and the term of a call that follows from them.

use std::time::{Duration, Instant};

use super::Proxy;
use crate::config::SessionTimer;
use crate::dialog::State;
use crate::limits;
use crate::message::fields::{SessionExpires, seconds};
use crate::message::{Header, HeaderId, Message, Method};

/// What a request says, or is made to say, about the refreshes of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The Session-Expires that its 2xx gets if that has none, in seconds.
    pub(super) interval: u32,
    /// The rows are ours.
    pub(super) is_ours: bool,
}

impl Proxy {
    /// The Min-SE row of a 422 for a request between two zones whose session timer is too short
    /// (RFC 4028 §8.1).
    pub(super) fn too_short(
        &self,
        message: &Message,
        (from, to): (usize, usize),
    ) -> Option<Vec<u8>> {
        if !changes_session(message) {
            return None;
        }
        // Without the extension its sender would not understand the answer.
        let asked =
            session_expires(message).filter(|_| message.lists(HeaderId::Supported, "timer"))?;
        let least = self.config.session_timer(from, to).min_se;
        let row = || format!("Min-SE: {}\r\n", least.as_secs()).into_bytes();
        (asked < least).then(row)
    }

    /// What the call of an INVITE may take at most: less than others, if a sender that is trusted says
    /// so.
    pub(super) fn longest_call(&self, invite: &Message, is_trusted: bool) -> Duration {
        let name = self.config.max_call_header.as_ref().filter(|_| is_trusted);
        let said = name.and_then(|name| {
            let is_named = |header: &&Header| {
                let own = invite.text(header.name);
                own.eq_ignore_ascii_case(name.as_bytes())
            };
            let header = invite.parsed.headers.iter().find(is_named)?;
            let seconds = seconds(&invite.bytes, header.value)?;
            Some(Duration::from_secs(seconds.max(1).into()))
        });
        said.map_or(self.config.max_call, |said| said.min(self.config.max_call))
    }

    /// What a call may be over the Session-Expires that its parties agreed on: after that it ends.
    /// `filled` is the interval of a 2xx that got it from us.
    pub(super) fn follow_session_timer(
        &mut self,
        now: Instant,
        id: Option<u64>,
        ok: &Message,
        filled: Option<u32>,
    ) {
        let Some((id, dialog)) = id.and_then(|id| Some((id, self.dialogs.get_mut(&id)?))) else {
            return;
        };
        if dialog.state != State::Confirmed {
            return;
        }
        let filled = filled.map(|seconds| Duration::from_secs(seconds.into()));
        let term = session_expires(ok).or(filled);
        let term = term.and_then(|term| now.checked_add(term + limits::SESSION_GRACE));
        let expires = term.map_or(dialog.end_by, |at| at.min(dialog.end_by));
        if expires != dialog.expires {
            dialog.expires = expires;
            self.schedule_dialog(id);
        }
    }
}

impl SessionTimer {
    /// What becomes of a request: `None` if its 2xx stays as it is.
    pub(super) fn ask(&self, request: &Message) -> Option<Asked> {
        // The refreshes would be up to its sender, who has to know how (RFC 4028 §8.1).
        let knows = changes_session(request) && request.lists(HeaderId::Supported, "timer");
        if !self.insert || !knows {
            return None;
        }
        let asked = session_expires(request);
        let least = request.values(HeaderId::MinSe).next();
        let least = least.and_then(|value| seconds(&request.bytes, value));
        let own = self.interval.as_secs().max(self.min_se.as_secs());
        let own = own.max(u64::from(least.unwrap_or(0)));
        let interval = asked.map_or(own, |asked| asked.as_secs());
        Some(Asked {
            interval: u32::try_from(interval).unwrap_or(u32::MAX),
            is_ours: asked.is_none(),
        })
    }

    /// Rows that are added to a request.
    pub(super) fn request_rows(&self, request: &Message, asked: Option<Asked>, rows: &mut String) {
        let Some(asked) = asked.filter(|asked| asked.is_ours) else {
            return;
        };
        rows.push_str(&format!("Session-Expires: {}\r\n", asked.interval));
        if request.rows(HeaderId::MinSe).next().is_none() {
            rows.push_str(&format!("Min-SE: {}\r\n", self.min_se.as_secs()));
        }
    }
}

impl Asked {
    /// The interval that a 2xx to the request gets from us, because its sender ignored what was asked
    /// (RFC 4028 §8.2).
    pub(super) fn fills(self, response: &Message) -> Option<u32> {
        let is_ok = (200..300).contains(&response.parsed.status());
        let says = response.rows(HeaderId::SessionExpires).next().is_some();
        (is_ok && changes_session(response) && !says).then_some(self.interval)
    }
}

/// Rows that are added to a 2xx: the client refreshes, as nobody else knows of the timer.
pub(super) fn response_rows(filled: Option<u32>) -> String {
    filled.map_or_else(String::new, |interval| {
        format!("Session-Expires: {interval};refresher=uac\r\nRequire: timer\r\n")
    })
}

pub(super) fn changes_session(message: &Message) -> bool {
    matches!(message.method(), Method::Invite | Method::Update)
}

/// The interval of a message that has one.
fn session_expires(message: &Message) -> Option<Duration> {
    let value = message.values(HeaderId::SessionExpires).next()?;
    let said = SessionExpires::parse(&message.bytes, value)?;
    Some(Duration::from_secs(said.interval.into()))
}
