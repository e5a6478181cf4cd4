//! Two SDPs side by side: which lines stayed, changed, came and went.

/// Comparison of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Printed as received.
    Same(&'a str),
    /// Printed differently.
    Changed {
        /// The received line.
        was: &'a str,
        /// The printed line.
        now: &'a str,
    },
    /// Printed, but not received.
    Added(&'a str),
    /// Received, but not printed.
    Dropped(&'a str),
}

/// The lines of a text: those of the session, then those of each media.
pub(crate) fn sections(text: &str) -> Vec<Vec<&str>> {
    let mut sections = vec![Vec::new()];
    for line in text.lines().take_while(|line| !line.is_empty()) {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    sections
}

/// Compares one section with what it was printed from: the printed lines in order, then those
/// that are gone.
pub(crate) fn compare<'a>(said: &[&'a str], printed: &[&'a str]) -> Vec<Line<'a>> {
    let mut left: Vec<Option<&str>> = said.iter().copied().map(Some).collect();
    let mut take = |fits: &dyn Fn(&str) -> bool| {
        let found = left.iter_mut().find(|line| line.is_some_and(fits));
        found.and_then(Option::take)
    };
    let same: Vec<bool> = printed
        .iter()
        .map(|line| take(&|said| said == *line).is_some())
        .collect();
    let mut lines: Vec<Line<'a>> = Vec::with_capacity(printed.len());
    for (now, same) in printed.iter().copied().zip(same) {
        lines.push(if same {
            Line::Same(now)
        } else if let Some(was) = key(now).and_then(|k| take(&|said| key(said) == Some(k))) {
            Line::Changed { was, now }
        } else {
            Line::Added(now)
        });
    }
    lines.extend(left.into_iter().flatten().map(Line::Dropped));
    lines
}

/// Common part of two lines that say the same of different things; `None` if a line stands alone.
fn key(line: &str) -> Option<&str> {
    let Some(attribute) = line.strip_prefix("a=") else {
        return line.get(..1);
    };
    match name(line) {
        "sendrecv" | "sendonly" | "recvonly" | "inactive" => Some("direction"),
        "candidate" | "crypto" | "ssrc" | "ssrc-group" => None,
        "rtpmap" | "fmtp" | "rtcp-fb" | "extmap" => attribute.split([' ', '/']).next(),
        name => Some(name),
    }
}

/// The letter of a line, or the name of an attribute.
pub(crate) fn name(line: &str) -> &str {
    match line.strip_prefix("a=") {
        Some(attribute) => attribute.split(':').next().unwrap_or(attribute),
        None => line.split('=').next().unwrap_or(line),
    }
}

/// The payload type that an attribute speaks of.
pub(crate) fn payload_type(line: &str) -> Option<u8> {
    let value = line.strip_prefix("a=")?.split_once(':')?.1;
    value.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_change_come_and_go() {
        let said = [
            "m=audio 2000 RTP/AVP 8 0",
            "a=rtpmap:0 PCMU/8000",
            "a=sendrecv",
            "a=x",
        ];
        let printed = [
            "m=audio 30000 RTP/AVP 8",
            "c=IN IP4 203.0.113.1",
            "a=x",
            "a=sendonly",
        ];
        assert_eq!(
            compare(&said, &printed),
            [
                Line::Changed {
                    was: said[0],
                    now: printed[0]
                },
                Line::Added(printed[1]),
                Line::Same("a=x"),
                Line::Changed {
                    was: "a=sendrecv",
                    now: "a=sendonly"
                },
                Line::Dropped(said[1]),
            ]
        );
    }
}
