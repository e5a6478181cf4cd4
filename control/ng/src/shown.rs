//! Text of peers on its way to people: terminals, logs, records.

use std::fmt::{self, Write};

/// Whether a character must be escaped before an operator sees it: it steers a terminal, ends a
/// line, or makes the text look like another one. These are the control characters (C0, DEL, C1),
/// the line and paragraph separators, all format characters (Unicode categories Cc, Zl, Zp, Cf;
/// among them the bidirectional controls and the tags), and the letters and variation selectors
/// that show as nothing (`Default_Ignorable_Code_Point`).
pub fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, joiner without a picture, Arabic letter mark.
            '\u{ad}' | '\u{34f}' | '\u{61c}'
            // Signs that span the digits behind them.
            | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{110bd}' | '\u{110cd}'
            // Hangul fillers, Khmer vowels and Mongolian selectors that show as nothing.
            | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{3164}' | '\u{ffa0}'
            // Zero width, marks and embeddings of direction, line and paragraph separators,
            // isolates, invisible operators.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Variation selectors, byte order mark, annotations.
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            // Controls of hieroglyphs, shorthand and music.
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // Tags and further variation selectors.
            | '\u{e0000}'..='\u{e0fff}')
}

/// Writes `bytes` for people: printable text as it is, a backslash and what [`needs_escape`]
/// escaped as Rust writes it, bytes that are not UTF-8 as `\xNN`. No two inputs look the same.
///
/// # Errors
/// Those of the writer.
pub fn write_escaped(bytes: &[u8], f: &mut impl Write) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if needs_escape(c) || c == '\\' {
                write!(f, "{}", Escape(c))?;
            } else {
                f.write_char(c)?;
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// A character in escaped form: `\n`, `\u{202e}`.
#[derive(Clone, Copy, Debug)]
pub struct Escape(
    /// The character; any.
    pub char,
);

impl fmt::Display for Escape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_hides_or_turns_text_is_escaped() {
        let hostile = [
            '\0',
            '\t',
            '\n',
            '\r',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e01ef}',
        ];
        for c in hostile {
            assert!(needs_escape(c), "{c:?}");
        }
        for c in [
            ' ', '\\', '~', '\u{a0}', 'ä', '\u{200a}', '‐', '\u{2070}', '中', '\u{fffd}', '😀',
        ] {
            assert!(!needs_escape(c), "{c:?}");
        }
    }

    #[test]
    fn no_two_inputs_look_the_same() {
        let shown = |bytes: &[u8]| {
            let mut text = String::new();
            write_escaped(bytes, &mut text).unwrap();
            text
        };
        assert_eq!(
            shown("a\u{202e}b\u{2028}".as_bytes()),
            "a\\u{202e}b\\u{2028}"
        );
        assert_eq!(shown(b"\\u{202e}"), "\\\\u{202e}");
        assert_eq!(shown(b"\xff\\xff\n"), "\\xff\\\\xff\\n");
    }
}
