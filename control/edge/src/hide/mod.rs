//! Topology hiding (spec §10): what one zone is not told of another, and the texts that stand for it.
//!
//! - [`call_id`]: a Call-ID in the place of another, encrypted.
//! - [`Way`]: the way to a party, encrypted, in a Contact of ours. It keeps dialogs that the edge has
//!   no state for (subscriptions), and registrations of machines inside.
//! - [`Hidden`]: what a call keeps of its hidden parties. Its Contacts hold no more than the number
//!   of the call, so that they stay short.
//!
//! The edits themselves are `proxy::hide`.

pub(crate) mod call_id;
mod way;

pub(crate) use way::{Role, Way};

use std::sync::Arc;

use crate::limits::{CALLEE_TAGS, FORK_BYTES};

/// How much is hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hiding {
    /// The user of a Contact is hidden, too. Default on.
    pub user: bool,
    /// The Call-ID is replaced. Default off.
    pub call_id: bool,
    /// Hosts that a call came by. Default [`History::Hosts`].
    pub history: History,
    /// Stands in User-Agent and Server. `None`: those are removed.
    pub agent: Option<String>,
    /// URI parameters of a Contact that pass; none by default.
    pub uri_params: Vec<String>,
    /// Parameters of a Contact that pass beside feature tags (RFC 3840), `expires` and `q`.
    pub params: Vec<String>,
}

/// History-Info (RFC 7044) and Diversion (RFC 5806) of calls that cross.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// They pass as they are.
    Keep,
    /// Their hosts become ours.
    #[default]
    Hosts,
    /// They are removed.
    Remove,
}

impl Default for Hiding {
    fn default() -> Self {
        Self {
            user: true,
            call_id: false,
            history: History::default(),
            agent: None,
            uri_params: Vec::new(),
            params: Vec::new(),
        }
    }
}

impl Hiding {
    /// Whether a parameter of a Contact goes on.
    pub(crate) fn passes_param(&self, name: &[u8]) -> bool {
        name.first() == Some(&b'+') || is_among(FEATURES, name) || is_among(&self.params, name)
    }

    /// Whether a parameter of its URI does.
    pub(crate) fn passes_uri_param(&self, name: &[u8]) -> bool {
        is_among(&self.uri_params, name)
    }
}

fn is_among<T: AsRef<str>>(names: &[T], name: &[u8]) -> bool {
    let mut names = names.iter().map(|name| name.as_ref().as_bytes());
    names.any(|other| name.eq_ignore_ascii_case(other))
}

/// Feature tags of RFC 3840 §10, and what a Contact says of itself (RFC 3261 §20.10).
const FEATURES: &[&str] = &[
    "actor",
    "application",
    "audio",
    "automata",
    "class",
    "control",
    "data",
    "description",
    "duplex",
    "events",
    "expires",
    "extensions",
    "isfocus",
    "language",
    "methods",
    "mobility",
    "priority",
    "q",
    "schemes",
    "text",
    "type",
    "video",
];

/// No text panics, and what is read of one is written so.
#[cfg(any(test, fuzzing))]
pub(crate) fn any_text(text: &[u8]) {
    use crate::cookie::Key;
    let (keys, mask, mut again) = (
        crate::keys::TokenKeys::new(&[], Key(1, 2)),
        Key(3, 4),
        Vec::new(),
    );
    if let Some(call_id) = call_id::read(text, "wl-", &keys) {
        let shard = call_id::shard(text, "wl-", mask).unwrap_or_default();
        call_id::write(&call_id, "wl-", (shard, mask), &keys, &mut again);
        assert_eq!(again, text);
    }
    if let Some(way) = Way::read(text, b"c1", &keys) {
        again.clear();
        way.write(b"c1", &keys, &mut again);
        assert_eq!(again, text);
    }
}

/// What a call keeps of its hidden parties. Of the caller, [`crate::dialog::Party`] is enough.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    /// How it is hidden: as when it began.
    pub(crate) settings: Arc<Hiding>,
    /// Its Call-ID as the callee knows it.
    pub(crate) call_id: Box<[u8]>,
    forks: Vec<Fork>,
}

/// A callee: one of those that an INVITE rang at.
#[derive(Clone, Debug)]
pub(crate) struct Fork {
    tag: Box<[u8]>,
    /// The URI of its Contact, and the Route values toward it beyond us (RFC 3261 §12.1).
    pub(crate) target: Box<[u8]>,
    pub(crate) routes: Vec<Box<[u8]>>,
}

impl Hidden {
    pub(crate) fn new(settings: Arc<Hiding>, call_id: Box<[u8]>) -> Self {
        Self {
            settings,
            call_id,
            forks: Vec::new(),
        }
    }

    pub(crate) fn fork(&self, tag: &[u8]) -> Option<&Fork> {
        self.forks.iter().find(|fork| *fork.tag == *tag)
    }

    /// The callee with this tag is at `target`. `routes` is the way to it, if the message opened its
    /// dialog: that does not change later (RFC 3261 §12.2).
    pub(crate) fn learn(&mut self, tag: &[u8], target: &[u8], routes: Option<Vec<Box<[u8]>>>) {
        let of_routes = routes.iter().flatten().map(|route| route.len());
        if target.len() + of_routes.sum::<usize>() > FORK_BYTES {
            return;
        }
        if let Some(fork) = self.forks.iter_mut().find(|fork| *fork.tag == *tag) {
            fork.target = target.into();
            if let Some(routes) = routes {
                fork.routes = routes;
            }
        } else if self.forks.len() < CALLEE_TAGS && !tag.is_empty() {
            self.forks.push(Fork {
                tag: tag.into(),
                target: target.into(),
                routes: routes.unwrap_or_default(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_panics(text in "(wl-[0-9a-f]{2})?[A-Za-z0-9_=.-]{0,80}") {
            any_text(text.as_bytes());
        }
    }
}
