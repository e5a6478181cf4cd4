//! How lines are laid out.

use windlass_ng::shown::needs_escape;

/// The column in which reasons begin, where the line leaves room.
const REASONS: usize = 50;

/// Longer lines of SDP are cut: keys, certificates and candidates say nothing to people.
const LINE: usize = 74;

/// A line that needs no reason.
pub(super) fn plain(out: &mut String, line: &str) {
    annotated(out, ' ', line, None);
}

/// A line with its mark and the reason beside it.
pub(super) fn annotated(out: &mut String, mark: char, line: &str, reason: Option<String>) {
    let mut text = format!("{mark} {}", cut(&printable(line)));
    if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
        let width = text.chars().count();
        let blanks = REASONS.saturating_sub(width).max(2);
        text.push_str(&" ".repeat(blanks));
        text.push_str("# ");
        text.push_str(&printable(&reason));
    }
    out.push_str(text.trim_end());
    out.push('\n');
}

/// A line of the form `- text` below a heading.
pub(super) fn item(out: &mut String, line: &str) {
    out.push_str("  - ");
    out.push_str(&printable(line));
    out.push('\n');
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
