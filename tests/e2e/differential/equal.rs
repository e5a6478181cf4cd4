//! How replies are made equal where the difference is known; the longer ones of
//! [`KNOWN_DIFFERENCES`](super::known::KNOWN_DIFFERENCES).

use windlass_ng::{Dict, Value};

use super::known::{Asked, Told};
use super::pair::{Pair, port};

pub(super) fn rejected_lines(asked: &Asked<'_>, pair: &mut Pair) {
    pair.lines(|line| {
        if line.ours("port") != ["0"] || line.theirs("port") != ["0"] {
            return;
        }
        let facts = [
            "attributes",
            "direction",
            "rtcp",
            "rtcp-mux",
            "crypto",
            "setup",
            "fingerprint",
            "ice-ufrag",
            "ice-pwd",
            "ice-options",
            "candidates",
            "ptime",
            "end-of-candidates",
        ];
        for fact in facts {
            let is_ours_bare = |ours: &[String]| ours.is_empty() || ours == ["sendrecv"];
            line.excuse(fact, |ours, _| is_ours_bare(ours));
        }
        // The words of the sender, where later releases show the receiver its own.
        let sent = asked.sent_words(line.number);
        for (fact, word) in [("protocol", 2), ("formats", 3)] {
            let word = sent.get(word).copied().unwrap_or_default();
            line.excuse(fact, |_, theirs| theirs == [word]);
        }
        // Or what a request has asked for meanwhile.
        let past = asked.past.iter().map(|told| &told.request);
        for request in past.chain([asked.request]) {
            if let Some(asked_for) = request.get_str("transport-protocol") {
                line.excuse("protocol", |_, theirs| theirs == [asked_for]);
            }
        }
        let is_open = |facts: &[String]| {
            let text = facts.concat();
            !text.ends_with(" 0.0.0.0") && !text.ends_with(" ::")
        };
        line.excuse("address", |ours, theirs| !is_open(ours) && is_open(theirs));
    });
}

pub(super) fn mux_before_agreement(asked: &Asked<'_>, pair: &mut Pair) {
    if !asked.is("offer") {
        return;
    }
    pair.lines(|line| {
        let name = format!("line {} rtcp-mux", line.number);
        let was_offered = asked.was(&name, |facts| !facts.is_empty());
        let was_offered_to_us = asked.past.iter().any(|told| {
            let sdp = told.request.get_str("sdp").unwrap_or_default();
            sdp.contains("a=rtcp-mux")
        });
        if !was_offered && !was_offered_to_us {
            return;
        }
        let is_apart = has_rtcp_port(line.ours("rtcp"), line.ours("port"));
        let is_shared = has_rtcp_port(line.theirs("rtcp"), line.theirs("port"));
        if is_apart != Some(false) && is_shared != Some(true) {
            line.excuse("rtcp", |ours, theirs| {
                !ours.is_empty() && !theirs.is_empty()
            });
            line.excuse("rtcp-mux", |ours, _| ours.is_empty());
            line.excuse("candidates", |ours, theirs| {
                let first = ours.iter().filter(|fact| fact.starts_with("1 "));
                first.eq(theirs)
            });
        }
    });
    // The text that changed counts as another version.
    if replaces_version(asked) {
        pair.excuse("origin", |ours, theirs| {
            without_version(ours) == without_version(theirs)
        });
    }
}

/// Whether RTCP has a port of its own; `None` without an `a=rtcp`.
fn has_rtcp_port(rtcp: &[String], rtp: &[String]) -> Option<bool> {
    let rtcp = rtcp.first()?;
    Some(port("rtcp", rtcp) != rtp.concat())
}

fn replaces_version(asked: &Asked<'_>) -> bool {
    let replace = asked.request.get("replace").and_then(Value::as_list);
    let mut words = replace.unwrap_or_default().iter().filter_map(Value::as_str);
    words.any(|word| word == "SDP-version")
}

/// An origin without its third word.
fn without_version(origin: &[String]) -> Vec<String> {
    let text = origin.concat();
    let words = text.split(' ').enumerate().filter(|(at, _)| *at != 2);
    words.map(|(_, word)| word.to_owned()).collect()
}

pub(super) fn ports_after_mux(asked: &Asked<'_>, pair: &mut Pair) {
    let was_muxed = |line: usize| {
        let name = format!("line {line} rtcp-mux");
        let mut past = asked.past.iter();
        past.any(|told| !told.ours.get(&name).is_empty())
    };
    pair.lines(|line| {
        let (ours, theirs) = (line.ours("port").concat(), line.theirs("port").concat());
        // Where mux ends, 10.5 itself gets new ports if it has but one.
        let ends = line.ours("rtcp-mux").is_empty() && asked.is_new(&theirs);
        // A port that was returned may be leased again, and has the name of its first use then.
        let again = ours.starts_with("RTCP of") && theirs.starts_with("RTP of");
        if was_muxed(line.number) && (step(&ours) > step(&theirs) || ends || again) {
            line.same_ports();
        }
    });
    if asked.is("query") && was_muxed(0) {
        pair.excuse_all(
            |name| name.ends_with(" stream 1 port"),
            |ours, theirs| step(&ours.concat()) > step(&theirs.concat()),
        );
    }
}

/// The step in the name of a port.
fn step(port: &str) -> Option<usize> {
    port.rsplit_once(" of ")?.1.parse().ok()
}

/// Flags that only later releases show.
const NEWER: [&str; 4] = ["RTCP feedback", "unidirectional", "RTCP", "trickle ICE"];

/// Flags that 10.5 keeps of an earlier exchange, or sets before there is an answer.
const LEFT: [&str; 9] = [
    "RTCP",
    "SDES",
    "ICE",
    "trickle ICE",
    "rtcp-mux",
    "DTLS role active",
    "DTLS role passive",
    "fallback RTCP",
    "ICE controlling",
];

pub(super) fn flags(asked: &Asked<'_>, pair: &mut Pair) {
    // 10.5 takes a zero address with `recvonly` for a media that is not sent to.
    let is_held = asked.past.iter().any(|told| {
        let sdp = told.request.get_str("sdp").unwrap_or_default();
        sdp.contains("c=IN IP4 0.0.0.0") && sdp.contains("a=recvonly")
    });
    // 10.5 forgets who controls when the answer to an offer of the other side has no ICE.
    let is_offered_back = asked.past.iter().any(|told| {
        told.request.get_str("command") == Some("offer")
            && told.request.get_str("from-tag") == Some("T")
            && told.request.get_str("ICE") == Some("force")
    });
    pair.excuse_all(
        |name| name.ends_with(" flags"),
        |ours, theirs| {
            let mut newer = ours.iter().filter(|flag| !theirs.contains(flag));
            let mut left = theirs.iter().filter(|flag| !ours.contains(flag));
            newer.all(|flag| {
                NEWER.contains(&flag.as_str())
                    || flag == "send" && is_held
                    || flag == "ICE controlling" && is_offered_back
            }) && left.all(|flag| LEFT.contains(&flag.as_str()))
        },
    );
}

pub(super) fn keys_not_taken_up(asked: &Asked<'_>, pair: &mut Pair) {
    if !asked.is("offer") || !(asked.unanswered > 1 || asked.is_later()) {
        return;
    }
    pair.lines(|line| {
        line.excuse("crypto", |ours, theirs| {
            ours.is_empty() && theirs.len() >= 10
        });
    });
}

pub(super) fn session_parameters(asked: &Asked<'_>, pair: &mut Pair) {
    if !asked.is("offer") || asked.past.is_empty() {
        return;
    }
    pair.lines(|line| {
        line.excuse("crypto", |ours, theirs| {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(our, their)| {
                    our == their || our.strip_suffix("  UNENCRYPTED_SRTP") == Some(their)
                })
        });
    });
}

pub(super) fn keys_that_were_not_offered(asked: &Asked<'_>, pair: &mut Pair) {
    let is_offer = |told: &&Told| told.request.get_str("command") == Some("offer");
    let offer = asked.past.iter().rev().find(is_offer);
    let offered = offer.and_then(|told| told.request.get_str("sdp"));
    if !asked.is("answer") || offered.is_none_or(|sdp| sdp.contains("a=crypto")) {
        return;
    }
    pair.lines(|line| {
        let has_dtls = !line.ours("fingerprint").is_empty();
        let excused = line.excuse("crypto", |ours, theirs| {
            has_dtls && ours.is_empty() && theirs.len() == 1
        });
        if excused {
            for fact in ["setup", "fingerprint"] {
                line.excuse(fact, |ours, theirs| !ours.is_empty() && theirs.is_empty());
            }
        }
    });
}

pub(super) fn moved_at_rest(asked: &Asked<'_>, pair: &mut Pair) {
    let past = asked.past.iter().map(|told| &told.request);
    let told: Vec<&Dict> = past.chain([asked.request]).collect();
    let rests = |request: &&Dict| {
        let sdp = request.get_str("sdp").unwrap_or_default();
        let words = [
            "a=sendonly",
            "a=recvonly",
            "a=inactive",
            "c=IN IP4 0.0.0.0",
            "a=ice-ufrag",
        ];
        words.iter().any(|word| sdp.contains(word))
    };
    let rested = told.iter().any(rests);
    pair.lines(|line| {
        let has_ice = !line.ours("candidates").is_empty();
        if (rested || has_ice) && has_moved(&told, line.number) {
            line.same_ports();
        }
    });
}

pub(super) fn ice_that_comes(asked: &Asked<'_>, pair: &mut Pair) {
    pair.lines(|line| {
        let was_without = asked.past.iter().any(|told| {
            let name = |fact| format!("line {} {fact}", line.number);
            let is_shown = !told.ours.get(&name("port")).is_empty();
            let sdp = told.request.get_str("sdp").unwrap_or_default();
            let has_ice = !told.ours.get(&name("candidates")).is_empty();
            is_shown && !(has_ice && sdp.contains("a=ice-ufrag"))
        });
        if was_without && !line.ours("candidates").is_empty() {
            line.same_ports();
        }
    });
}

/// Whether some party has named more than one endpoint for a line.
fn has_moved(told: &[&Dict], line: usize) -> bool {
    let endpoint = |request: &Dict| {
        let sdp = request.get_str("sdp")?;
        let port = sdp.split("\r\nm=").nth(line + 1)?.split(' ').nth(1)?;
        let address = sdp.split("\r\nc=").nth(1)?.lines().next()?;
        let flags = request
            .get("flags")
            .and_then(Value::as_list)
            .unwrap_or_default();
        let by_source = flags
            .iter()
            .any(|flag| flag.as_str() == Some("SIP-source-address"));
        // The author is the party of the to-tag in an answer.
        let tag = match request.get_str("command") {
            Some("answer") => request.get_str("to-tag"),
            _ => request.get_str("from-tag"),
        };
        Some((tag?.to_owned(), format!("{address} {port} {by_source}")))
    };
    let endpoints: Vec<(String, String)> = told.iter().filter_map(|told| endpoint(told)).collect();
    let other = |(tag, place): &(String, String)| {
        let mut all = endpoints.iter();
        all.any(|(other, elsewhere)| other == tag && elsewhere != place)
    };
    endpoints.iter().any(other)
}

pub(super) fn answers_to_relayed_ice(asked: &Asked<'_>, pair: &mut Pair) {
    if !asked.relays_ice || !asked.is("answer") {
        return;
    }
    pair.lines(|line| {
        let sdp = asked.request.get_str("sdp").unwrap_or_default();
        let is_theirs = |facts: &[String]| facts.concat().contains(" 127.0.0.");
        if asked.sent(line.number).contains("a=ice-ufrag") {
            let bypasses = line.excuse("address", |ours, theirs| {
                sdp.contains(&ours.concat()) && is_theirs(theirs)
            });
            if bypasses {
                line.excuse("port", |ours, theirs| ours != ["0"] && theirs != ["0"]);
            }
            line.excuse("rtcp", |ours, theirs| ours.is_empty() && theirs.len() == 1);
            line.excuse("candidates", |ours, theirs| {
                // The phone's own, then as many of the relay's.
                let count = |facts: &[String], words: [&str; 2]| {
                    let has = |fact: &&String| words.iter().any(|word| fact.contains(word));
                    facts.iter().filter(has).count()
                };
                let phone = [" 198.51.100.", " 2001:db8::"];
                let below_phone = [" 209715225", " 429496729"];
                count(ours, phone) == count(theirs, phone)
                    && count(ours, [" typ relay ", " typ relay "]) == count(theirs, below_phone)
            });
        } else {
            line.excuse("candidates", |ours, theirs| {
                ours.is_empty() && !theirs.is_empty()
            });
            for fact in ["ice-ufrag", "ice-pwd", "ice-options", "end-of-candidates"] {
                line.excuse(fact, |ours, theirs| ours.is_empty() && theirs.len() == 1);
            }
        }
    });
}
