//! What a shard holds, page by page, for those who ask (spec §17): calls and bindings.
//!
//! A page looks at a bounded number of entries, so that calls go on while somebody reads a long
//! list.

use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;
use std::time::{Duration, Instant};

use super::Proxy;
use super::teardown::uri_of;
use crate::dialog::{Dialog, State};
use crate::limits;
use crate::message::uri::{dials, unescaped};
use crate::message::{NameAddr, Span, Uri};
use crate::register::Bound as Registered;
use crate::side::Side;

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// Not answered.
    Early,
    /// Answered.
    Confirmed,
    /// Over; it is remembered for messages that cross.
    Ended,
}

/// A call as the edge sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// Number of the call in this edge.
    pub id: u64,
    /// Call-ID, as the caller wrote it.
    pub call_id: String,
    /// Tags of caller and callee; the second is empty before the call is answered.
    pub tags: (String, String),
    /// How far it is.
    pub state: CallState,
    /// The URI of its From.
    pub caller: String,
    /// The Request-URI of its INVITE.
    pub callee: String,
    /// Who it belongs to, and the peer that it came from, as far as the screen knows.
    pub user: String,
    /// See `user`.
    pub peer: Option<String>,
    /// Address that the caller sends from.
    pub source: SocketAddr,
    /// Address that the call was sent to.
    pub target: SocketAddr,
    /// The target of an upstream that has the call.
    pub target_id: Option<String>,
    /// Names of the zones of caller and callee.
    pub zones: (String, String),
    /// Classes of limits that it holds a place in.
    pub classes: Vec<String>,
    /// Since its INVITE.
    pub age: Duration,
    /// Since it was answered.
    pub answered: Option<Duration>,
}

/// Which calls; without any of these, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// The one with this number.
    pub id: Option<u64>,
    /// User of the From or of the Request-URI, or who the call belongs to.
    pub user: Option<String>,
    /// Those from this address.
    pub source: Option<IpAddr>,
    /// Those to this address.
    pub target: Option<IpAddr>,
    /// Those on this target of an upstream.
    pub target_id: Option<String>,
    /// Those that are so far.
    pub state: Option<CallState>,
    /// Those of this peer.
    pub peer: Option<String>,
    /// Those whose called number begins so.
    pub prefix: Option<String>,
    /// Those that hold a place in this class of limits.
    pub class: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed<T> {
    pub(crate) found: T,
    /// The list goes on behind the entry with this number; `None`: it is at its end.
    pub(crate) next: Option<u64>,
}

/// A binding for those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) aor: Vec<u8>,
    pub(crate) contact: Vec<u8>,
    pub(crate) source: SocketAddr,
    pub(crate) zone: String,
    pub(crate) protocol: &'static str,
    pub(crate) expires: Duration,
}

impl Proxy {
    /// The calls that `filter` names behind the one with the number `after`, at most `most`.
    pub(crate) fn calls(
        &self,
        now: Instant,
        filter: &CallFilter,
        after: Option<u64>,
        most: usize,
    ) -> Listed<Vec<Call>> {
        let (chosen, next) = self.chosen(filter, after, most, |_| true);
        let found = chosen
            .iter()
            .filter_map(|id| Some(self.call(now, *id, self.dialogs.get(id)?)))
            .collect();
        Listed { found, next }
    }

    /// Ends the calls that `filter` names behind the one with the number `after`, at most `most`;
    /// how many those were.
    pub(crate) fn end_calls(
        &mut self,
        now: Instant,
        filter: &CallFilter,
        (after, most): (Option<u64>, usize),
        (cause, text): (u16, &str),
    ) -> Listed<usize> {
        let is_live = |dialog: &Dialog| dialog.state != State::Ended;
        let (chosen, next) = self.chosen(filter, after, most, is_live);
        for id in &chosen {
            self.end_call(now, *id, cause, text);
        }
        self.publish_gauges();
        let found = chosen.len();
        Listed { found, next }
    }

    /// How many calls are early, confirmed and ended, behind the one with the number `after`.
    pub(crate) fn census(&self, after: Option<u64>) -> Listed<[u64; 3]> {
        let mut found = [0; 3];
        let (chosen, next) = self.chosen(&CallFilter::default(), after, usize::MAX, |_| true);
        for dialog in chosen.iter().filter_map(|id| self.dialogs.get(id)) {
            let [early, confirmed, ended] = &mut found;
            *match dialog.state {
                State::Early => early,
                State::Confirmed => confirmed,
                State::Ended => ended,
            } += 1;
        }
        Listed { found, next }
    }

    /// Whether a call is not over, or its caller is still to be told that it is.
    pub(crate) fn has_calls(&self) -> bool {
        let waits = |dialog: &Dialog| dialog.ended.as_ref().is_some_and(|e| e.caller_waits);
        let mut dialogs = self.dialogs.values();
        dialogs.any(|dialog| dialog.state != State::Ended || waits(dialog))
    }

    fn chosen(
        &self,
        filter: &CallFilter,
        after: Option<u64>,
        most: usize,
        is_wanted: impl Fn(&Dialog) -> bool,
    ) -> (Vec<u64>, Option<u64>) {
        let takes = |id: u64| {
            let dialog = self.dialogs.get(&id);
            dialog.is_some_and(|dialog| is_wanted(dialog) && filter.takes(id, dialog))
        };
        if let Some(id) = filter.id {
            let is_named = after.is_none_or(|after| after < id) && most > 0 && takes(id);
            return (is_named.then_some(id).into_iter().collect(), None);
        }
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut chosen = Vec::new();
        let mut seen = None;
        for (count, id) in self.numbers.range((from, Bound::Unbounded)).enumerate() {
            if count == limits::LOOKED_AT || chosen.len() >= most {
                return (chosen, seen.or(after));
            }
            seen = Some(*id);
            if takes(*id) {
                chosen.push(*id);
            }
        }
        (chosen, None)
    }

    fn call(&self, now: Instant, id: u64, dialog: &Dialog) -> Call {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let zone = |side: Side| {
            let zone = self.config.zones.get(dialog.party(side).zone);
            zone.map_or_else(String::new, |zone| zone.name.clone())
        };
        let classes = dialog.slots.iter().flat_map(|slots| slots.classes());
        Call {
            id,
            call_id: text(&dialog.call_id),
            tags: (text(&dialog.caller_tag), text(tag_of(&dialog.ends[1]))),
            state: dialog.state.into(),
            caller: text(uri_of(&dialog.ends[0])),
            callee: text(&dialog.request_uri),
            user: text(&dialog.user),
            peer: dialog.peer.clone(),
            source: dialog.party(Side::Caller).flow.peer,
            target: dialog.party(Side::Callee).flow.peer,
            target_id: dialog.target.as_ref().map(|target| target.id.to_string()),
            zones: (zone(Side::Caller), zone(Side::Callee)),
            classes: classes.map(text).collect(),
            age: now.saturating_duration_since(dialog.began),
            answered: dialog
                .answered_at
                .map(|at| now.saturating_duration_since(at)),
        }
    }

    /// Bindings behind the one with the number `after`, at most `most`; `aor`: of that alone.
    pub(crate) fn registrations(
        &self,
        now: Instant,
        aor: Option<&[u8]>,
        after: Option<u64>,
        most: usize,
    ) -> Listed<Vec<Registration>> {
        let shown = |bound: Registered<'_>| {
            let zone = self.config.zones.get(self.zone_of(bound.flow));
            Registration {
                aor: bound.aor.to_vec(),
                contact: bound.contact.to_vec(),
                source: bound.flow.peer,
                zone: zone.map_or_else(String::new, |zone| zone.name.clone()),
                protocol: self.protocol_of(bound.flow.listener).via(),
                expires: bound.expires.saturating_duration_since(now),
            }
        };
        // The first shard tells of all.
        if self.shard > 0 {
            let found = Vec::new();
            return Listed { found, next: None };
        }
        let bindings = self.bindings.lock();
        if let Some(aor) = aor {
            let found = bindings.of(aor).map(shown).take(most).collect();
            return Listed { found, next: None };
        }
        let most = most.min(limits::LOOKED_AT);
        let mut found = Vec::new();
        let mut last = after;
        for (number, bound) in bindings.behind(after) {
            if found.len() == most {
                return Listed { found, next: last };
            }
            last = Some(number);
            found.push(shown(bound));
        }
        Listed { found, next: None }
    }

    /// Forgets the bindings of an address of record; how many there were. The registrar keeps its own.
    pub(crate) fn remove_registrations(&mut self, aor: &[u8]) -> usize {
        let mut bindings = self.bindings.lock();
        let count = bindings.of(aor).count();
        bindings.remove_all(aor);
        count
    }
}

fn tag_of(value: &[u8]) -> &[u8] {
    let addr = NameAddr::parse(value, Span::new(0, value.len())).unwrap_or_default();
    addr.tag.map_or(b"", |tag| tag.of(value))
}

impl CallState {
    /// The name in answers and events.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Ended => "ended",
        }
    }
}

impl From<State> for CallState {
    fn from(state: State) -> Self {
        match state {
            State::Early => Self::Early,
            State::Confirmed => Self::Confirmed,
            State::Ended => Self::Ended,
        }
    }
}

impl CallFilter {
    fn takes(&self, id: u64, dialog: &Dialog) -> bool {
        let is_at = |wanted: Option<IpAddr>, side: Side| {
            wanted.is_none_or(|ip| dialog.party(side).flow.peer.ip() == ip)
        };
        let user_of = |uri: &[u8]| {
            let parsed = Uri::parse(uri, Span::new(0, uri.len()));
            let user = |parsed: Uri| unescaped(parsed.user.of(uri)).into_owned();
            parsed.map_or_else(|_| Vec::new(), user)
        };
        let called = || user_of(&dialog.request_uri);
        let is_of = |user: &str| {
            let owner = dialog.user.as_slice();
            let bare = owner.split(|b| *b == b'@').next().unwrap_or_default();
            let user = user.as_bytes();
            [owner, bare].contains(&user)
                || user_of(uri_of(&dialog.ends[0])) == user
                || called() == user
        };
        let target = dialog.target.as_ref().map(|target| &*target.id);
        let holds = |class: &str| {
            let slots = dialog.slots.as_ref();
            slots.is_some_and(|slots| slots.classes().any(|c| c == class.as_bytes()))
        };
        self.id.is_none_or(|wanted| wanted == id)
            && self.state.is_none_or(|state| state == dialog.state.into())
            && is_at(self.source, Side::Caller)
            && is_at(self.target, Side::Callee)
            && self.user.as_ref().is_none_or(|user| is_of(user))
            && (self.peer.is_none() || self.peer == dialog.peer)
            && (self.target_id.is_none() || self.target_id.as_deref() == target)
            && (self.prefix.as_ref()).is_none_or(|p| dials(&called(), p.as_bytes()))
            && self.class.as_ref().is_none_or(|class| holds(class))
    }
}
