//! Tables of number prefixes, searched for the longest.

use std::collections::HashMap;

use foldhash::quality::RandomState;

use super::csv::RowError;
use crate::limits;
use crate::message::uri::dialled;

/// Values by prefix. A look-up takes a probe per digit, whatever the number of entries.
#[derive(Clone, Debug)]
pub(crate) struct Prefixes<T> {
    entries: HashMap<Box<[u8]>, T, RandomState>,
    longest: usize,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::default(),
            longest: 0,
        }
    }
}

impl<T> Prefixes<T> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// An empty prefix matches every number. Digits, `+`, `*`, `#` and letters are taken.
    pub(crate) fn insert(&mut self, prefix: &str, value: T) -> Result<(), RowError> {
        let is_valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'*' | b'#');
        if prefix.len() > limits::NUMBER_DIGITS || !prefix.bytes().all(is_valid) {
            return Err(RowError::Prefix(prefix.to_owned()));
        }
        if self.entries.contains_key(prefix.as_bytes()) {
            return Err(RowError::Twice(prefix.to_owned()));
        }
        self.longest = self.longest.max(prefix.len());
        self.entries.insert(prefix.as_bytes().into(), value);
        Ok(())
    }

    pub(crate) fn remove(&mut self, prefix: &str) -> Option<T> {
        self.entries.remove(prefix.as_bytes())
    }

    /// The longest prefix of a number as it is dialled, with its length.
    pub(crate) fn longest(&self, number: &[u8]) -> Option<(usize, &T)> {
        let mut digits = [0; limits::NUMBER_DIGITS];
        let mut count = 0;
        for (place, digit) in digits.iter_mut().zip(dialled(number)) {
            *place = digit;
            count += 1;
        }
        (0..=count.min(self.longest)).rev().find_map(|length| {
            let value = self.entries.get(digits.get(..length)?)?;
            Some((length, value))
        })
    }
}
