//! Lists of values over rows that are repeated, comma-joined, or both (RFC 3261 §7.3.1): an edit of
//! one value leaves the bytes of the others alone.

use super::header::HeaderId;
use super::span::{Cursor, Span, values};
use super::{Message, Splices};

impl Message {
    /// Removes the values of a list that `drops` names, by number and text. A row that loses all its
    /// values goes whole; otherwise a value takes the comma behind it along, the last one that before.
    pub(crate) fn remove_values(
        &self,
        id: HeaderId,
        splices: &mut Splices,
        mut drops: impl FnMut(usize, Span) -> bool,
    ) {
        let mut number = 0;
        for row in self.rows(id) {
            let verdicts = values(&self.bytes, row.value).map(|value| {
                number += 1;
                (value, drops(number - 1, value))
            });
            // The end of the last value that stays, and where a run of dropped ones behind it begins.
            let mut kept_to: Option<usize> = None;
            let mut dropping: Option<usize> = None;
            for (value, is_dropped) in verdicts {
                if is_dropped {
                    let from = match kept_to {
                        Some(_) => value.from(),
                        None => row.value.from(),
                    };
                    dropping = dropping.or(Some(from));
                    continue;
                }
                if let Some(from) = dropping.take() {
                    splices.remove(Span::new(from, value.from()));
                }
                kept_to = Some(value.to());
            }
            match (kept_to, dropping) {
                (None, Some(_)) => splices.remove(row.row),
                (Some(kept), Some(_)) => splices.remove(Span::new(kept, row.value.to())),
                (_, None) => {}
            }
        }
    }

    /// Removes the first `count` values of a list.
    pub(crate) fn remove_first_values(&self, id: HeaderId, count: usize, splices: &mut Splices) {
        self.remove_values(id, splices, |number, _| number < count);
    }

    /// Removes all rows whose header `drops`.
    pub(crate) fn remove_rows(
        &self,
        splices: &mut Splices,
        mut drops: impl FnMut(HeaderId, &[u8]) -> bool,
    ) {
        for row in &self.parsed.headers {
            if drops(row.id, self.text(row.name)) {
                splices.remove(row.row);
            }
        }
    }

    /// Elements of a list of tokens such as Supported or Allow.
    pub(crate) fn tokens(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        self.values(id).map(|value| {
            // Parameters, as in Accept, are no part of the token.
            let mut cursor = Cursor::new(&self.bytes, value);
            let token = cursor.take_while(|b| b != b';');
            token.trim(&self.bytes).of(&self.bytes)
        })
    }
}
