//! Where two replies to one request differ.

use std::fmt;

use windlass_ng::{Dict, Value};

use crate::explain::compare::{Line, compare, name, sections};

/// One difference between the reply of rtpengine and that of Windlass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The command that was asked.
    pub command: String,
    /// Where it is: the reply, the session, or a media by its kind.
    pub place: String,
    /// What it is: a key of the reply, a letter of the SDP, or the name of an attribute.
    pub name: String,
    /// What rtpengine has there, without what each relay draws for itself; `None`: nothing.
    pub theirs: Option<String>,
    /// What Windlass has there.
    pub ours: Option<String>,
    /// Why Windlass has it so, as `windlass explain` says it.
    pub reason: Option<String>,
}

/// Without values and reason: differences of one kind have one text.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match (&self.theirs, &self.ours) {
            (Some(_), None) => "only rtpengine",
            (None, Some(_)) => "only Windlass",
            _ => "not the same",
        };
        write!(f, "{} {} {}: {side}", self.command, self.place, self.name)
    }
}

/// The keys of replies whose values are texts for people, or belong to the media that only one of
/// both relays sees.
const VALUES_ASIDE: [&str; 5] = ["sdp", "totals", "tags", "created", "last signal"];

/// What differs beside the SDP.
pub(super) fn of_replies(command: &str, theirs: &Dict, ours: &Dict) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut push = |name: &str, theirs: Option<String>, ours: Option<String>| {
        differences.push(Difference {
            command: command.to_owned(),
            place: "reply".to_owned(),
            name: name.to_owned(),
            theirs,
            ours,
            reason: None,
        });
    };
    let said = |reply: &Dict, key: &str| reply.get_str(key).map(str::to_owned);
    for key in ["result", "error-reason"] {
        let (theirs, ours) = (said(theirs, key), said(ours, key));
        if theirs != ours {
            push(key, theirs, ours);
        }
    }
    // After a refusal nothing else counts.
    if theirs.get_str("result") == Some("error") || ours.get_str("result") == Some("error") {
        return differences;
    }
    let keys = |reply: &Dict| -> Vec<String> {
        let names = reply
            .iter()
            .map(|(key, _)| String::from_utf8_lossy(key).into_owned());
        names.filter(|key| key != "result").collect()
    };
    let (their_keys, our_keys) = (keys(theirs), keys(ours));
    for key in &their_keys {
        if !our_keys.contains(key) {
            push(key, Some(shown(theirs, key)), None);
        }
    }
    for key in &our_keys {
        if !their_keys.contains(key) {
            push(key, None, Some(shown(ours, key)));
        }
    }
    differences
}

fn shown(reply: &Dict, key: &str) -> String {
    match reply.get(key) {
        Some(Value::Int(number)) => number.to_string(),
        Some(Value::Bytes(_)) if !VALUES_ASIDE.contains(&key) => reply
            .get_str(key)
            .unwrap_or("bytes")
            .chars()
            .take(120)
            .collect(),
        Some(Value::List(_)) => "a list".to_owned(),
        Some(Value::Dict(_)) => "a dictionary".to_owned(),
        _ => "a value".to_owned(),
    }
}

/// What differs in two SDPs that [`Names::plain`](super::names::Names::plain) made equal.
pub(super) fn of_sdps(command: &str, theirs: &str, ours: &str) -> Vec<Difference> {
    let (theirs, ours) = (sections(theirs), sections(ours));
    let nothing = Vec::new();
    let mut differences = Vec::new();
    for index in 0..theirs.len().max(ours.len()) {
        let theirs = theirs.get(index).unwrap_or(&nothing);
        let ours = ours.get(index).unwrap_or(&nothing);
        let place = match (index, ours.first().or_else(|| theirs.first())) {
            (0, _) | (_, None) => "session".to_owned(),
            (_, Some(line)) => {
                let kind = line.strip_prefix("m=").unwrap_or(line);
                kind.split(' ').next().unwrap_or_default().to_owned()
            }
        };
        let mut push = |line: &str, theirs: Option<&str>, ours: Option<&str>| {
            differences.push(Difference {
                command: command.to_owned(),
                place: place.clone(),
                name: match line.starts_with("a=") {
                    true => format!("a={}", name(line)),
                    false => format!("{}=", name(line)),
                },
                theirs: theirs.map(str::to_owned),
                ours: ours.map(str::to_owned),
                reason: None,
            });
        };
        for line in compare(theirs, ours) {
            match line {
                Line::Same(_) => {}
                Line::Changed { was, now } => push(now, Some(was), Some(now)),
                Line::Added(now) => push(now, None, Some(now)),
                Line::Dropped(was) => push(was, Some(was), None),
            }
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(differences: &[Difference]) -> Vec<String> {
        differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_that_differ_are_named_by_place_and_attribute() {
        let theirs = "v=0\ns=-\nm=audio <port 1> RTP/AVP 8 0\na=rtcp:<port 2>\na=sendrecv\n";
        let ours = "v=0\ns=-\nm=audio <port 1> RTP/AVP 8\na=sendrecv\na=ptime:20\n";
        assert_eq!(
            texts(&of_sdps("offer", theirs, ours)),
            [
                "offer audio m=: not the same",
                "offer audio a=ptime: only Windlass",
                "offer audio a=rtcp: only rtpengine",
            ]
        );
        assert_eq!(of_sdps("offer", ours, ours), []);
    }

    #[test]
    fn a_media_that_only_one_has_is_seen() {
        let theirs = "v=0\nm=audio 1 RTP/AVP 8\nm=video 2 RTP/AVP 96\n";
        let ours = "v=0\nm=audio 1 RTP/AVP 8\n";
        assert_eq!(
            texts(&of_sdps("answer", theirs, ours)),
            ["answer video m=: only rtpengine"]
        );
    }

    #[test]
    fn a_refusal_is_all_that_counts() {
        let ok = Dict::new().with("result", "ok").with("sdp", "v=0");
        let refused = Dict::new()
            .with("result", "error")
            .with("error-reason", "Ran out of ports");
        assert_eq!(
            texts(&of_replies("offer", &ok, &refused)),
            [
                "offer reply result: not the same",
                "offer reply error-reason: only Windlass"
            ]
        );
        let more = ok.clone().with("warning", "x");
        assert_eq!(
            texts(&of_replies("offer", &more, &ok)),
            ["offer reply warning: only rtpengine"]
        );
        assert_eq!(of_replies("offer", &ok, &ok), []);
    }
}
