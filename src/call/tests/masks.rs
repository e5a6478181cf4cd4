//! What differs from run to run, by a placeholder.

use super::numbered;

/// Attributes whose value is drawn, and how long that is.
const DRAWN: [(&str, usize); 5] = [
    ("a=rtpengine:", 12),
    ("a=tls-id:", 32),
    ("a=ice-ufrag:", 8),
    ("a=ice-pwd:", 26),
    ("a=fingerprint:sha-256 ", 95),
];

/// The text with ports by order of appearance, and drawn values of ours by their length.
pub(super) fn masked(sdp: &str) -> String {
    let hidden: String = sdp.lines().map(|line| masked_line(line) + "\n").collect();
    numbered(&hidden)
}

fn masked_line(line: &str) -> String {
    for (name, length) in DRAWN {
        if line.starts_with(name) && line.len() == name.len() + length {
            return format!("{name}<{length}>");
        }
    }
    if let Some((before, key)) = line.split_once(" inline:") {
        let key_end = key.find(['|', ' ']).unwrap_or(key.len());
        let (key, after) = key.split_at(key_end);
        return format!("{before} inline:<{}>{after}", key.len());
    }
    match line
        .strip_prefix("a=candidate:")
        .and_then(|value| value.split_once(' '))
    {
        Some((foundation, rest)) if foundation.len() == 16 => format!("a=candidate:F {rest}"),
        _ => line.to_owned(),
    }
}

/// The same, from the first m= line on.
pub(super) fn masked_medias(sdp: &str) -> String {
    let masked = masked(sdp);
    let start = masked.find("\nm=").map_or(masked.len(), |at| at + 1);
    masked[start..].to_owned()
}
