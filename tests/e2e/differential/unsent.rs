//! What would differ, and is therefore in no story. The generator obeys this list: it keeps topics
//! apart that are named together here, and checks each request before it is sent.

use windlass_ng::{Dict, Value};

use super::topic::Topic;

/// One difference that no story meets.
pub(super) struct Unsent {
    pub(super) what: &'static str,
    pub(super) why: &'static str,
    pub(super) rule: Rule,
}

/// How an unsent difference is recognised.
pub(super) enum Rule {
    /// Topics that no story has both of.
    Together(&'static [(Topic, Topic)]),
    /// Requests that are not made: the request, and what the story sent before it.
    Request(fn(&Dict, &[Dict]) -> bool),
}

pub(super) const NOT_SENT: &[Unsent] = &[
    Unsent {
        what: "address-family for an interface without it, or with another source address",
        why: "the family that a leg returns to is not told",
        rule: Rule::Together(&[
            (Topic::Family, Topic::Interfaces),
            (Topic::Family, Topic::SignalledSource),
        ]),
    },
    Unsent {
        what: "media-address with ICE, with a zero address, or with replace=origin",
        why: "later releases print it in candidates and not in o=, and prefer the zero address",
        rule: Rule::Together(&[
            (Topic::MediaAddress, Topic::Ice),
            (Topic::MediaAddress, Topic::Hold),
            (Topic::MediaAddress, Topic::Replace),
        ]),
    },
    Unsent {
        what: "media-address with address-family",
        why: "it hides the family that ports follow",
        rule: Rule::Together(&[(Topic::MediaAddress, Topic::Family)]),
    },
    Unsent {
        what: "ICE on hold, or of lines that come and go",
        why: "10.5 begins anew where later releases keep the agent",
        rule: Rule::Together(&[(Topic::Lines, Topic::Ice), (Topic::Hold, Topic::Ice)]),
    },
    Unsent {
        what: "SDP-version with original-sendrecv, ICE, mid or keys",
        why: "the version follows the text, and the text differs",
        rule: Rule::Together(&[
            (Topic::Replace, Topic::Ice),
            (Topic::Replace, Topic::Mids),
            (Topic::Replace, Topic::OriginalDirections),
            (Topic::Replace, Topic::Opportunistic),
            (Topic::Replace, Topic::Security),
        ]),
    },
    Unsent {
        what: "OSRTP with other ways to key",
        why: "10.5 mixes them in a later offer",
        rule: Rule::Together(&[(Topic::Opportunistic, Topic::Security)]),
    },
    Unsent {
        what: "interfaces in a query",
        why: "10.5 shows the address of the interface of the moment",
        rule: Rule::Together(&[(Topic::Interfaces, Topic::Queries)]),
    },
    Unsent {
        what: "ICE=optional; ICE=force-relay in a first offer without ICE",
        why: "later releases pass the media by",
        rule: Rule::Request(|request, past| {
            let mode = request.get_str("ICE");
            mode == Some("optional")
                || mode == Some("force-relay")
                    && past.iter().all(|earlier| !is(earlier, "offer"))
                    && !sdp(request).contains("a=ice-ufrag")
        }),
    },
    Unsent {
        what: "exchanges after the first answer to an offer with ICE=force-relay",
        why: "10.5 makes agents of its own then, which no party has heard of",
        rule: Rule::Request(|request, past| {
            let relays = |earlier: &Dict| earlier.get_str("ICE") == Some("force-relay");
            is(request, "offer")
                && past
                    .iter()
                    .any(|earlier| is(earlier, "offer") && relays(earlier))
        }),
    },
    Unsent {
        what: "a direction both of the session and of the media",
        why: "10.5 prefers the session's, later releases the media's",
        rule: Rule::Request(|request, _| {
            let has_direction = |text: &str| {
                let words = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
                words.iter().any(|word| text.contains(word))
            };
            let (session, medias) = sdp(request).split_once("\r\nm=").unwrap_or_default();
            has_direction(session) && has_direction(medias)
        }),
    },
    Unsent {
        what: "rtcp-mux options that contradict each other",
        why: "which of offer and demux wins is not told",
        rule: Rule::Request(|request, _| {
            let options = words(request.get("rtcp-mux"));
            let offers = options.contains(&"offer") || options.contains(&"require");
            offers && options.contains(&"demux")
        }),
    },
    Unsent {
        what: "replace, rtcp-mux or ICE options in a later offer of a party that its first did not have",
        why: "10.5 counts its own offer as agreed to, shows the address of the moment, and turns ICE \
              on again; later releases keep what the receiver is known for",
        rule: Rule::Request(|request, past| {
            let first = past.iter().find(|earlier| is(earlier, "offer"));
            is(request, "offer")
                && first.is_some_and(|first| {
                    let same = |key: &str| first.get(key) == request.get(key);
                    !["replace", "rtcp-mux", "ICE"].into_iter().all(same)
                })
        }),
    },
    Unsent {
        what: "SDES=only-, SDES=nonew, SDES=order:, DTLS=passive, OSRTP=offer-legacy",
        why: "not known to 10.5, or without effect there",
        rule: Rule::Request(|request, _| {
            let sdes = words(request.get("SDES"));
            let newer = |word: &&str| {
                word.starts_with("only-") || word.starts_with("order:") || *word == "nonew"
            };
            sdes.iter().any(newer)
                || request.get_str("DTLS") == Some("passive")
                || words(request.get("OSRTP")).contains(&"offer-legacy")
        }),
    },
    Unsent {
        what: "SDES=no- of a suite that the phone offers",
        why: "10.5 may take away every suite of the sender; later releases leave one",
        rule: Rule::Request(|request, _| {
            let sdes = words(request.get("SDES"));
            let mut suites = sdes.iter().filter_map(|word| word.strip_prefix("no-"));
            suites.any(|suite| sdp(request).contains(&format!(" {suite} ")))
        }),
    },
    Unsent {
        what: "telephone events of another clock rate than 8000",
        why: "10.5 adds them for the clock rates of other codecs; later releases keep those listed",
        rule: Rule::Request(|request, _| {
            let mut events = sdp(request).split("telephone-event/").skip(1);
            events.any(|clock| !clock.starts_with("8000\r\n"))
        }),
    },
    Unsent {
        what: "codec lists that convert; a list of codecs offered in an answer that strips none",
        why: "10.5 takes away in an answer what the list does not have",
        rule: Rule::Request(|request, _| {
            let codec = request.get("codec").and_then(Value::as_dict);
            let has = |list: &str| codec.is_some_and(|codec| codec.get(list).is_some());
            let converts = ["transcode", "accept", "consume", "set"];
            converts.into_iter().any(has) || is(request, "answer") && has("offer") && !has("strip")
        }),
    },
    Unsent {
        what: "requests after a delete of single parties",
        why: "a party that 10.5 has marked for deletion has no associations any more",
        rule: Rule::Request(|_, past| {
            past.iter()
                .any(|earlier| is(earlier, "delete") && is_of_party(earlier))
        }),
    },
];

fn is(request: &Dict, command: &str) -> bool {
    request.get_str("command") == Some(command)
}

/// Whether a delete of this story's call names a party.
fn is_of_party(request: &Dict) -> bool {
    request.get("from-tag").is_some() && request.get_str("call-id") != Some("nobody")
}

fn sdp(request: &Dict) -> &str {
    request.get_str("sdp").unwrap_or_default()
}

fn words(list: Option<&Value>) -> Vec<&str> {
    let list = list.and_then(Value::as_list).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}
