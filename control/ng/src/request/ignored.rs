//! Parts of a request that were not understood.

use crate::shown::write_escaped;
use crate::{
    limits::{IGNORED_ENTRIES, IGNORED_TEXT_BYTES},
    names,
};

/// A key, flag or value that had no effect. Requests never fail over these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// Position in the request.
    pub what: What,
    /// Its text, escaped and shortened.
    pub text: String,
    candidates: &'static [&'static str],
}

/// Kinds of ignored text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A dictionary key.
    Key,
    /// A member of `flags`.
    Flag,
    /// A value of the named key.
    Value {
        /// The key, or group of flags.
        group: &'static str,
    },
    /// A template that is not configured.
    Template,
}

impl Ignored {
    /// The known name it may have been meant for. Costs some microseconds.
    pub fn nearest(&self) -> Option<&'static str> {
        names::nearest(self.text.as_bytes(), self.candidates.iter().copied())
    }
}

/// The bounded list of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct IgnoredList(pub(crate) Vec<Ignored>);

impl IgnoredList {
    pub(crate) fn push(&mut self, what: What, text: &[u8], known: &'static [&'static str]) {
        if self.0.len() >= IGNORED_ENTRIES {
            return;
        }
        let mut shown = String::new();
        // Writing to a String cannot fail.
        let _ = write_escaped(text.get(..IGNORED_TEXT_BYTES).unwrap_or(text), &mut shown);
        self.0.push(Ignored {
            what,
            text: shown,
            candidates: known,
        });
    }
}
