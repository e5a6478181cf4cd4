//! Log lines about what peers send, each at most once a minute.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    limits::WARNED_TEXTS,
    request::{Command, Ignored, What},
};

const PERIOD: Duration = Duration::from_secs(60);

/// Texts logged within the last minute. Full of fresh ones, nothing new is logged.
#[derive(Debug, Default)]
pub(crate) struct Warned {
    texts: Mutex<HashMap<String, Instant, foldhash::fast::RandomState>>,
}

impl Warned {
    /// Logs what of a request had no effect, with what may have been meant.
    pub(crate) fn ignored(&self, command: Command, ignored: &[Ignored], now: Instant) {
        for entry in ignored {
            if !self.is_due(&entry.text, now) {
                continue;
            }
            let (text, command) = (&entry.text, command.name());
            let kind = match entry.what {
                What::Key => "key",
                What::Flag => "flag",
                What::Value { .. } => "value",
                What::Template => "template",
            };
            let of = match entry.what {
                What::Value { group } => group,
                _ => "",
            };
            match entry.nearest() {
                Some(nearest) => {
                    tracing::warn!(
                        command,
                        of,
                        text,
                        "unknown {kind} ignored; did you mean {nearest}?"
                    );
                }
                None => tracing::warn!(command, of, text, "unknown {kind} ignored"),
            }
        }
    }

    /// Whether this text was not logged within the last minute; it counts as logged now.
    pub(crate) fn is_due(&self, text: &str, now: Instant) -> bool {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |logged: &Instant| now.saturating_duration_since(*logged) < PERIOD;
        if let Some(logged) = texts.get_mut(text) {
            let due = !fresh(logged);
            if due {
                *logged = now;
            }
            return due;
        }
        if texts.len() >= WARNED_TEXTS {
            texts.retain(|_, logged| fresh(logged));
            if texts.len() >= WARNED_TEXTS {
                return false;
            }
        }
        texts.insert(text.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a starting point for passed-in time"
    )]
    fn once_a_minute_and_bounded() {
        let warned = Warned::default();
        let now = Instant::now();
        assert!(warned.is_due("a", now));
        assert!(!warned.is_due("a", now + Duration::from_secs(59)));
        assert!(warned.is_due("a", now + Duration::from_secs(60)));
        for i in 0..WARNED_TEXTS * 2 {
            warned.is_due(&i.to_string(), now + Duration::from_secs(61));
        }
        assert_eq!(warned.texts.lock().unwrap().len(), WARNED_TEXTS);
        assert!(warned.is_due("later", now + Duration::from_secs(200)));
    }
}
