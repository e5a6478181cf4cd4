//! How replies are made equal where the difference is known; the longer ones of
//! [`KNOWN_DIFFERENCES`](super::known::KNOWN_DIFFERENCES).

use super::known::Asked;
use super::picture::Picture;
use super::topic::Topic;

/// Flags in a query that only one of both knows, or that say the same of every media.
const OTHER_FLAGS: [&str; 12] = [
    "transcoding",
    "trickle ICE",
    "rtcp-mux",
    "RTCP",
    "fallback RTCP",
    "SDES",
    "ICE controlling",
    "ICE",
    "DTLS role active",
    "DTLS role passive",
    "RTCP feedback",
    "unidirectional",
];

pub(super) fn both(ours: &mut Picture, theirs: &mut Picture, mut change: impl FnMut(&mut Picture)) {
    change(ours);
    change(theirs);
}

pub(super) fn forget(ours: &mut Picture, theirs: &mut Picture, is: impl Fn(&str) -> bool) {
    ours.forget(&is);
    theirs.forget(&is);
}

pub(super) fn sorted(words: &str) -> String {
    let mut words: Vec<&str> = words.split(' ').collect();
    words.sort_unstable();
    words.join(" ")
}

pub(super) fn mux_before_agreement(asked: &Asked<'_>, ours: &mut Picture, theirs: &mut Picture) {
    for line in 0..ours.lines() {
        let has_mux = |picture: &Picture| {
            let mux = picture.get(&format!("line {line} rtcp-mux"));
            !mux.is_empty()
        };
        let is_first = asked.unanswered < 2 && line == 0 && !asked.is_later();
        if !has_mux(ours) && !has_mux(theirs) || is_first || !asked.is("offer") {
            continue;
        }
        let what = ["rtcp", "rtcp-mux"].map(|fact| format!("line {line} {fact}"));
        forget(ours, theirs, |name| {
            what.iter().any(|what| what == name) || name == "origin"
        });
        both(ours, theirs, |picture| {
            if let Some(list) = picture.0.get_mut(&format!("line {line} candidates")) {
                list.retain(|candidate| candidate.starts_with("1 "));
            }
        });
    }
}

pub(super) fn keys_of_later_offers(asked: &Asked<'_>, ours: &mut Picture, theirs: &mut Picture) {
    if asked.is("offer") && (asked.unanswered > 1 || asked.is_later()) {
        forget(ours, theirs, |name| name.ends_with(" crypto"));
    }
    // Offers that cross, and lines that come back: what the receiver has is not settled.
    if asked.is("offer") && asked.is_later() {
        forget(ours, theirs, |name| {
            let unsettled = asked.unanswered > 1 || !name.starts_with("line 0 ");
            unsettled && (name.ends_with(" setup") || name.ends_with(" fingerprint"))
        });
    }
}

pub(super) fn ice_that_comes_back(asked: &Asked<'_>, ours: &mut Picture, theirs: &mut Picture) {
    if asked.topics.contains(&Topic::Ice) && (asked.is_later() || asked.is("query")) {
        let facts = [" port", " rtcp"];
        let ice = [" ice-ufrag", " ice-pwd", " ice-options", "-candidates"];
        let is_offer = asked.is("offer");
        forget(ours, theirs, |name| {
            facts.iter().any(|fact| name.ends_with(fact))
                || is_offer && name.ends_with(" candidates")
                || is_offer
                    && !name.starts_with("line 0 ")
                    && ice.iter().any(|fact| name.ends_with(fact))
        });
        both(ours, theirs, |picture| {
            for (name, facts) in &mut picture.0 {
                if name.ends_with(" candidates") {
                    for fact in facts {
                        *fact = fact.split(' ').take(5).collect::<Vec<_>>().join(" ");
                    }
                }
            }
        });
    }
}

pub(super) fn queries(asked: &Asked<'_>, ours: &mut Picture, theirs: &mut Picture) {
    if !asked.is("query") {
        return;
    }
    forget(ours, theirs, |name| {
        let second = name.contains(" stream 1 ");
        if asked.relays_ice {
            return name.starts_with("tag ");
        }
        name.ends_with(" suite")
            || name.ends_with(" family") && asked.topics.contains(&Topic::Family)
            || second && asked.mixes_rtcp()
            || asked.topics.contains(&Topic::Hold) && name.ends_with(" flags")
            || name.ends_with(" protocol") && asked.topics.contains(&Topic::Lines)
    });
    both(ours, theirs, |picture| {
        for facts in picture.0.values_mut() {
            facts.retain(|fact| !OTHER_FLAGS.contains(&fact.as_str()));
        }
        picture.forget(|name| name.starts_with("tag <untagged") && name.ends_with(" suite"));
    });
}

pub(super) fn relation_of_rtcp(asked: &Asked<'_>, ours: &mut Picture, theirs: &mut Picture) {
    let is_later = asked.is_later() || asked.is("query");
    if asked.topics.contains(&Topic::Mux) && is_later {
        both(ours, theirs, |picture| {
            for line in 0..picture.lines() {
                let port = picture.get(&format!("line {line} port")).concat();
                if let Some(rtcp) = picture.0.get_mut(&format!("line {line} rtcp")) {
                    let is_same = rtcp[0].split(" of ").next() == port.split(" of ").next();
                    rtcp[0] = if is_same { "same" } else { "other" }.to_owned();
                }
                if port != "0" {
                    picture.set(&format!("line {line} port"), &["open"]);
                }
            }
            picture.forget(|name| name.starts_with("tag ") && name.ends_with(" port"));
        });
    }
}

pub(super) fn lines_turned_down_in_queries(
    _: &Asked<'_>,
    ours: &mut Picture,
    theirs: &mut Picture,
) {
    let closed = |picture: &Picture| -> Vec<String> {
        let names = picture.0.keys().filter_map(|name| name.strip_suffix(" is"));
        names.map(|name| format!("{name} ")).collect()
    };
    // An endpoint without a port is left of a line that was turned down.
    let stale = |picture: &Picture| -> Vec<String> {
        let end = " stream 0 advertised endpoint";
        let facts = picture
            .0
            .iter()
            .filter(|(_, facts)| facts.iter().any(|fact| fact.ends_with(" 0")));
        let names = facts.filter_map(|(name, _)| name.strip_suffix(end));
        names.map(|name| format!("{name} ")).collect()
    };
    let stale = stale(theirs)
        .into_iter()
        .filter(|name| !name.contains("media 0"));
    let mut medias = [closed(ours), closed(theirs)].concat();
    medias.extend(stale);
    forget(ours, theirs, |name| {
        medias.iter().any(|media| name.starts_with(media.as_str()))
    });
}
