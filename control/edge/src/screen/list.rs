//! Lists of numbers that may or may not be called, or call (spec §12, stage 15).

use std::collections::HashMap;

use foldhash::quality::RandomState;

use super::csv::{self, FileErrors, Loaded, RowError};
use super::prefix::Prefixes;

/// What a list says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Allow,
    Deny,
}

impl Rule {
    /// The name in files and answers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }

    fn parse(text: &str) -> Result<Self, RowError> {
        match text {
            "allow" => Ok(Self::Allow),
            "deny" => Ok(Self::Deny),
            other => Err(RowError::Action(other.to_owned())),
        }
    }
}

/// One list: entries for all, and entries for single users.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    global: Prefixes<Rule>,
    /// By user@domain, the domain in lower case.
    users: HashMap<Box<str>, Prefixes<Rule>, RandomState>,
}

impl List {
    /// Reads a file with the columns `prefix`, `action` (allow or deny) and, if wanted, `user`
    /// (user@domain). A refused file leaves the list in use as it is: this makes a new one.
    pub(crate) fn read(
        file: &str,
        text: &str,
        skip_bad: bool,
    ) -> Result<(Self, Loaded), FileErrors> {
        let mut list = Self::default();
        let columns = ["prefix", "action", "user?"];
        let loaded = csv::read(file, text, &columns, skip_bad, |row| match row {
            [prefix, action, user] => list.insert(prefix, Rule::parse(action)?, user),
            _ => Ok(()),
        })?;
        Ok((list, loaded))
    }

    /// Adds an entry; `user` is empty for all users.
    pub(crate) fn insert(&mut self, prefix: &str, rule: Rule, user: &str) -> Result<(), RowError> {
        if user.is_empty() {
            return self.global.insert(prefix, rule);
        }
        let key = normal(user.as_bytes()).ok_or_else(|| RowError::User(user.to_owned()))?;
        self.users.entry(key).or_default().insert(prefix, rule)
    }

    /// Removes an entry; whether there was one.
    pub(crate) fn remove(&mut self, prefix: &str, user: &str) -> bool {
        if user.is_empty() {
            return self.global.remove(prefix).is_some();
        }
        let Some(key) = normal(user.as_bytes()) else {
            return false;
        };
        let Some(prefixes) = self.users.get_mut(&key) else {
            return false;
        };
        let is_removed = prefixes.remove(prefix).is_some();
        if prefixes.len() == 0 {
            self.users.remove(&key);
        }
        is_removed
    }

    /// The rule of the longest prefix. A user's own entries come first: what they say of a number
    /// holds, whatever the entries for all say.
    pub(crate) fn rule(&self, user: Option<&[u8]>, number: &[u8]) -> Option<Rule> {
        let own = || {
            if self.users.is_empty() {
                return None;
            }
            self.users.get(&normal(user?)?)?.longest(number)
        };
        let found = own().or_else(|| self.global.longest(number));
        found.map(|(_, rule)| *rule)
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.global.len() + self.users.values().map(Prefixes::len).sum::<usize>()
    }
}

/// user@domain with the domain in lower case (RFC 3261 §19.1.4).
fn normal(user: &[u8]) -> Option<Box<str>> {
    let (user, domain) = std::str::from_utf8(user).ok()?.split_once('@')?;
    if user.is_empty() || domain.is_empty() {
        return None;
    }
    Some(format!("{user}@{}", domain.to_ascii_lowercase()).into())
}
