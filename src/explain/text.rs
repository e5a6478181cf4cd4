//! Layout of lines.

use std::borrow::Cow;

use windlass_ng::shown::needs_escape;

use super::exchange::Explained;

/// The column in which reasons begin, where the line leaves room.
const REASONS: usize = 50;

/// Longer lines of SDP are cut: keys, certificates and candidates say nothing to people.
const LINE: usize = 74;

/// Whether keys that peers or the relay put into an SDP are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// `<redacted>` stands in their place: explanations are pasted into tickets.
    #[default]
    Redacted,
    /// They stand as they are.
    Shown,
}

impl Keys {
    /// A line of an SDP with its mark and the reason beside it.
    pub(super) fn annotated(self, out: &mut String, explained: &Explained) {
        let line = self.of(&explained.line);
        let mut text = format!("{} {}", explained.mark, cut(&printable(&line)));
        if let Some(reason) = &explained.reason {
            let width = text.chars().count();
            let blanks = REASONS.saturating_sub(width).max(2);
            text.push_str(&" ".repeat(blanks));
            text.push_str("# ");
            text.push_str(&printable(&self.of(reason)));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }

    /// A line of the form `- text` below a heading.
    pub(super) fn item(self, out: &mut String, line: &str) {
        out.push_str("  - ");
        out.push_str(&printable(&self.of(line)));
        out.push('\n');
    }

    fn of(self, line: &str) -> Cow<'_, str> {
        match self {
            Self::Redacted => redacted(line),
            Self::Shown => Cow::Borrowed(line),
        }
    }
}

/// What a key stands behind, in lower case: SDES (RFC 4568 §9.2), ICE (RFC 8839 §5.4), MIKEY
/// (RFC 4567 §3.1), and the methods of `k=` (RFC 4566 §5.12).
const BEFORE_KEYS: [&str; 6] = [
    "inline:",
    "ice-pwd:",
    "key-mgmt:mikey ",
    "k=clear:",
    "k=base64:",
    "k=uri:",
];

/// A text with every key in it replaced, as far as the next blank or bar: the lifetime and the
/// MKI of an SDES key stay.
fn redacted(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    let mut out = String::new();
    let mut done = 0;
    loop {
        let (from, left) = (text.get(done..), lower.get(done..));
        let (Some(from), Some(left)) = (from, left) else {
            break;
        };
        let starts = BEFORE_KEYS.iter().filter_map(|before| {
            let start = left.find(before)?;
            Some((start, start + before.len()))
        });
        let Some((_, start)) = starts.min() else {
            break;
        };
        let (before, key) = from.split_at(start);
        let end = key
            .find(|c: char| matches!(c, '|' | ';' | '"' | '\'' | '`') || c.is_whitespace())
            .unwrap_or(key.len());
        out.push_str(before);
        out.push_str("<redacted>");
        done += start + end;
    }
    match text.get(done..) {
        Some(rest) if done > 0 => {
            out.push_str(rest);
            Cow::Owned(out)
        }
        _ => Cow::Borrowed(text),
    }
}

/// A text with nothing in it that moves a terminal's cursor or turns what stands beside it.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| if needs_escape(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

fn cut(line: &str) -> String {
    if line.chars().count() <= LINE {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(LINE - 3).collect();
    short.push_str("...");
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_form_are_redacted() {
        let cases = [
            (
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 INLINE:c2Vj/cmV0+Q==|2^20|1:4 KDR=1;inline:eA==|2^3",
                "a=crypto:1 AES_CM_128_HMAC_SHA1_80 INLINE:<redacted>|2^20|1:4 KDR=1;inline:<redacted>|2^3",
            ),
            ("a=ice-pwd:secret", "a=ice-pwd:<redacted>"),
            ("a=key-mgmt:mikey AQAF", "a=key-mgmt:mikey <redacted>"),
            ("k=clear:secret", "k=clear:<redacted>"),
            (
                "line 7 of the SDP: a=crypto:x y inline:secret",
                "line 7 of the SDP: a=crypto:x y inline:<redacted>",
            ),
            ("a=crypto:1 ä inline:", "a=crypto:1 ä inline:<redacted>"),
            ("a=rtpmap:8 PCMA/8000", "a=rtpmap:8 PCMA/8000"),
        ];
        for (line, expected) in cases {
            assert_eq!(redacted(line), expected);
            assert_eq!(Keys::Shown.of(line), line);
        }
    }
}
