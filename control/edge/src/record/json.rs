//! JSON objects (RFC 8259), written field by field into one line.

use std::fmt::{self, Write as _};

use super::clock::Wall;

/// An object that is being written; its end is written by [`Self::end`].
#[derive(Debug)]
pub(super) struct Object<'a> {
    out: &'a mut String,
    is_first: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self {
            out,
            is_first: true,
        }
    }

    /// A text; bytes that are no UTF-8 become U+FFFD.
    pub(super) fn bytes(&mut self, name: &str, value: &[u8]) {
        self.text(name, &String::from_utf8_lossy(value));
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        quote(self.out, value);
    }

    /// A text, or `null`.
    pub(super) fn maybe(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, "null"),
        }
    }

    /// What is a JSON value as it is displayed: a number or a truth value.
    pub(super) fn raw(&mut self, name: &str, value: impl fmt::Display) {
        self.name(name);
        // Writing to a String does not fail.
        let _ = write!(self.out, "{value}");
    }

    /// What is displayed, as a text.
    pub(super) fn shown(&mut self, name: &str, value: impl fmt::Display) {
        self.text(name, &value.to_string());
    }

    /// A fraction; `null` for what is no number.
    pub(super) fn decimal(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.raw(name, format_args!("{value:.3}"));
        } else {
            self.raw(name, "null");
        }
    }

    pub(super) fn time(&mut self, name: &str, value: Option<Wall>) {
        match value {
            Some(wall) => self.shown(name, wall.rfc3339()),
            None => self.raw(name, "null"),
        }
    }

    /// An array of what `write` writes of each item.
    pub(super) fn array<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut String, T),
    ) {
        self.name(name);
        self.out.push('[');
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            write(self.out, item);
        }
        self.out.push(']');
    }

    pub(super) fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        let mut inner = Object::begin(self.out);
        write(&mut inner);
        inner.end();
    }

    pub(super) fn end(self) {
        self.out.push('}');
    }

    fn name(&mut self, name: &str) {
        if !self.is_first {
            self.out.push(',');
        }
        self.is_first = false;
        quote(self.out, name);
        self.out.push(':');
    }
}

/// A JSON string on one line.
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Line separators end a line for some readers.
            c if c < ' ' || matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
