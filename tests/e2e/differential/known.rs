//! What differs on purpose, each with its reason.

use windlass_ng::{Dict, Value};

use super::equal::{self, both, forget, sorted};
use super::picture::Picture;
use super::topic::Topic;

/// The request and the story that it is from.
pub(super) struct Asked<'a> {
    pub(super) request: &'a Dict,
    pub(super) topics: &'a [Topic],
    /// Offers since the last answer.
    pub(super) unanswered: usize,
    pub(super) relays_ice: bool,
}

impl Asked<'_> {
    /// In a dialogue that both parties know.
    pub(super) fn is_later(&self) -> bool {
        self.request.get("to-tag").is_some()
    }

    /// RTCP shares the port of RTP at times.
    pub(super) fn mixes_rtcp(&self) -> bool {
        let may = [Topic::Mux, Topic::Ice];
        may.iter().any(|topic| self.topics.contains(topic))
    }

    /// Codecs are taken away.
    fn strips(&self) -> bool {
        let codec = self.request.get("codec").and_then(Value::as_dict);
        codec.is_some_and(|codec| codec.get("strip").is_some())
    }

    pub(super) fn is(&self, command: &str) -> bool {
        self.request.get_str("command") == Some(command)
    }
}

/// One difference, and how it is made equal before comparing.
pub(super) struct Difference {
    pub(super) what: &'static str,
    pub(super) why: &'static str,
    /// Ours, theirs.
    pub(super) equalise: fn(&Asked<'_>, &mut Picture, &mut Picture),
}

pub(super) const KNOWN_DIFFERENCES: &[Difference] = &[
    Difference {
        what: "a rejected media keeps its attributes",
        why: "10.5 edits the received text; later releases print kind, c= and mid only",
        equalise: |_, ours, theirs| {
            both(ours, theirs, |picture| {
                for line in 0..picture.lines() {
                    let at = format!("line {line} ");
                    let stays =
                        |name: &str| name == format!("{at}kind") || name == format!("{at}port");
                    if picture.get(&format!("{at}port")) == ["0"] {
                        picture.forget(|name| name.starts_with(&at) && !stays(name));
                    }
                }
            });
        },
    },
    Difference {
        what: "no tls-id",
        why: "added after 10.5",
        equalise: |_, ours, theirs| forget(ours, theirs, |name| name.ends_with(" tls-id")),
    },
    Difference {
        what: "force-relay without ICE in the offer; optional",
        why: "later releases pass the media by; not sent",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "a direction both of the session and of the media",
        why: "10.5 prefers the session's, later releases the media's; not sent",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "rtcp-mux options that contradict each other",
        why: "which of offer and demux wins is not told; not sent",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "another choice of codecs in a second answer to one offer",
        why: "10.5 narrows the offerer's codecs for good with the first answer; not sent",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "telephone events alone are no codecs",
        why: "10.5 prints an m= line without formats; later releases what is left",
        equalise: |asked, ours, theirs| {
            for line in 0..theirs.lines() {
                let formats = format!("line {line} formats");
                // Once it has printed no format, 10.5 no longer strips in the answer either.
                let strips = asked.is("answer") && asked.strips();
                if ours.get(&formats) == ["101"] && (theirs.get(&formats) == [""] || strips) {
                    let what = ["formats", "attributes"].map(|fact| format!("line {line} {fact}"));
                    forget(ours, theirs, |name| what.iter().any(|what| what == name));
                }
            }
        },
    },
    Difference {
        what: "codecs of the offer list come in the order of the offer",
        why: "later releases add them in the order of the list",
        equalise: |asked, ours, theirs| {
            if asked.topics.contains(&Topic::Codecs) {
                both(ours, theirs, |picture| {
                    for (name, facts) in &mut picture.0 {
                        if name.ends_with(" formats") {
                            facts[0] = sorted(&facts[0]);
                        }
                    }
                });
            }
        },
    },
    Difference {
        what: "replace=origin in a later offer than the first",
        why: "later releases keep the address that the receiver has seen; replace stays the same",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "other rtcp-mux or ICE options in a later offer",
        why: "10.5 counts its own offer as agreed to, and turns ICE on again where later releases \
              keep what the receiver is known for; the options stay the same",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "an answer repeats the mid of the other leg, and a later offer the one of its receiver; \
               generate-mid for media that are passed by",
        why: "later releases keep the first mid of each leg and offer that of the sender",
        equalise: |asked, ours, theirs| {
            both(ours, theirs, |picture| {
                for (name, facts) in &mut picture.0 {
                    if name.ends_with(" mid") {
                        *facts = vec!["some".to_owned()];
                    }
                }
            });
            if asked.is("offer") && asked.is_later() || asked.relays_ice {
                forget(ours, theirs, |name| name.ends_with(" mid"));
            }
        },
    },
    Difference {
        what: "rtcp-mux that was offered counts as agreed in the next offer, whatever was answered",
        why: "Windlass keeps a port for RTCP until the receiver has agreed; the version of the \
              origin differs with it",
        equalise: equal::mux_before_agreement,
    },
    Difference {
        what: "a moved endpoint on hold, or with ICE, gets new ports",
        why: "later releases keep the ports while the media rests or has ICE",
        equalise: |asked, ours, theirs| {
            let rests = [Topic::Hold, Topic::OriginalDirections, Topic::Ice];
            let moves = [Topic::Moves, Topic::SignalledSource];
            if moves.iter().any(|topic| asked.topics.contains(topic))
                && rests.iter().any(|topic| asked.topics.contains(topic))
            {
                forget(ours, theirs, |name| {
                    let port = [" port", " rtcp", " candidates"];
                    port.iter().any(|fact| name.ends_with(fact))
                });
            }
        },
    },
    Difference {
        what: "a line that was turned down keeps its ports",
        why: "later releases return them; the ports of lines beyond the first are compared within \
              one reply",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "OSRTP in a later offer follows the sender alone",
        why: "Windlass offers SRTP to a party that has used it, and OSRTP to one that answered it",
        equalise: |asked, ours, theirs| {
            let later = asked.is("offer") && asked.is_later();
            if later && asked.topics.contains(&Topic::Opportunistic) {
                forget(ours, theirs, |name| {
                    name.ends_with(" protocol") || name.ends_with(" crypto")
                });
            }
        },
    },
    Difference {
        what: "OSRTP that was answered in plain: a line of keys all the same",
        why: "later releases take it as turned down, unless the request says OSRTP=accept",
        equalise: |asked, ours, theirs| {
            if !asked.is("answer") || !asked.topics.contains(&Topic::Opportunistic) {
                return;
            }
            for line in 0..theirs.lines() {
                let fact = |name: &str| format!("line {line} {name}");
                let keys = fact("crypto");
                let is_plain = |picture: &Picture| {
                    let protocol = picture.get(&fact("protocol")).concat();
                    matches!(protocol.as_str(), "RTP/AVP" | "RTP/AVPF")
                };
                let turned_down = ours.get(&keys).is_empty() && is_plain(ours);
                if turned_down && theirs.get(&keys).len() == 1 && is_plain(theirs) {
                    theirs.forget(|name| name == keys);
                }
            }
        },
    },
    Difference {
        what: "SDES=only-, SDES=nonew, SDES=order:, DTLS=passive, offer-legacy, port-latching, SDP-version",
        why: "not known to 10.5, or without its effect there; not sent, or without effect on SDP",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "codecs of telephone events added for the clock rate of other codecs",
        why: "later releases keep the ones that are listed; not listed",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "flags of medias and streams in a query, and suites; streams of RTCP beside rtcp-mux",
        why: "some are newer than 10.5, others are left of an earlier exchange there",
        equalise: equal::queries,
    },
    Difference {
        what: "trickle without ICE",
        why: "10.5 prints ice-options and end-of-candidates where it prints no ICE",
        equalise: |_, ours, theirs| {
            for line in 0..theirs.lines() {
                if theirs.get(&format!("line {line} ice-ufrag")).is_empty() {
                    theirs.forget(|name| {
                        name == format!("line {line} ice-options")
                            || name == format!("line {line} end-of-candidates")
                    });
                }
            }
            let _ = ours;
        },
    },
    Difference {
        what: "ICE for data and fax; a direction that follows from a zero address",
        why: "later releases copy media without RTP as it is",
        equalise: |_, ours, theirs| {
            for line in 0..ours.lines() {
                if !ours
                    .get(&format!("line {line} protocol"))
                    .concat()
                    .contains("RTP/")
                {
                    forget(ours, theirs, |name| {
                        name == format!("line {line} direction")
                    });
                }
            }
        },
    },
    Difference {
        what: "codec offer in an answer takes away what it does not list",
        why: "later releases take away with strip only; not sent",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "SDES=no- may take away every suite of the sender",
        why: "later releases leave one; suites that phones offer are not taken away",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "address-family for an interface without it; media-address with ICE, with a zero \
               address, or with replace=origin; ICE on hold or of lines that \
               come and go; SDP-version with original-sendrecv, ICE, \
               mid or \
               keys; OSRTP with other ways to key",
        why: "the family that a leg returns to is not told; later releases print media-address in \
              candidates and not in o=, and prefer the zero address; not sent together",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "replace=origin shows the interface of the moment",
        why: "later releases keep the address that the receiver has seen",
        equalise: |asked, ours, theirs| {
            let moves = [Topic::Interfaces, Topic::Family];
            if asked.topics.contains(&Topic::Replace)
                && moves.iter().any(|topic| asked.topics.contains(topic))
            {
                forget(ours, theirs, |name| name == "origin");
            }
        },
    },
    Difference {
        what: "the reply to delete shows the parties of the tags that were given",
        why: "later releases show all parties of a call that ends; not compared",
        equalise: |_, _, _| {},
    },
    Difference {
        what: "a line turned down has streams without a port in a query",
        why: "not shown by Windlass, which opens both sides of a line that comes back at once; not \
              compared",
        equalise: equal::lines_turned_down_in_queries,
    },
    Difference {
        what: "force-relay and codec options leave formats without rtpmap; force-relay in an answer adds \
               candidates as optional does, with a wrapped priority",
        why: "later releases pass the media by in both directions",
        equalise: |asked, ours, theirs| {
            if asked.relays_ice {
                let facts = [" attributes", " rtcp", " rtcp-mux"];
                forget(ours, theirs, |name| {
                    facts.iter().any(|fact| name.ends_with(fact))
                });
            }
            if asked.relays_ice && (asked.unanswered != 1 || asked.is_later()) {
                forget(ours, theirs, |name| {
                    name.starts_with("line ") && !name.ends_with(" kind")
                });
            }
        },
    },
    Difference {
        what: "keys in a later offer: 10.5 starts from the suite that was answered, and offers both \
               SDES and DTLS again",
        why: "later releases offer the suites that they offered before, with the same tags, and add \
              session parameters to each; Windlass does not offer again what was not taken up",
        equalise: equal::keys_of_later_offers,
    },
    Difference {
        what: "DTLS=off in an answer to an offerer without SDES: a whole offer of suites",
        why: "later releases choose SDES where both are offered",
        equalise: |asked, ours, theirs| {
            for line in 0..theirs.lines() {
                if asked.is("answer") && theirs.get(&format!("line {line} crypto")).len() > 1 {
                    let facts = ["crypto", "setup", "fingerprint"];
                    let facts = facts.map(|fact| format!("line {line} {fact}"));
                    forget(ours, theirs, |name| facts.iter().any(|fact| fact == name));
                }
            }
        },
    },
    Difference {
        what: "the family of a leg follows its own address again in a later exchange",
        why: "later releases remember the family that was asked for",
        equalise: |asked, ours, theirs| {
            if asked.is_later() && asked.topics.contains(&Topic::Family) {
                let facts = [" address", " port", " rtcp", " family", " candidates"];
                forget(ours, theirs, |name| {
                    facts.iter().any(|fact| name.ends_with(fact))
                });
            }
        },
    },
    Difference {
        what: "ICE that comes back gets new ports",
        why: "ports are those of the other party's endpoint; Windlass returns the ones that only \
              ICE needed while there is none",
        equalise: equal::ice_that_comes_back,
    },
    Difference {
        what: "the offerer stays subscribed to branches that did not answer",
        why: "later releases subscribe it to the party that answered last",
        equalise: |asked, ours, theirs| {
            if asked.topics.contains(&Topic::Forks) {
                forget(ours, theirs, |name| {
                    name.ends_with(" subscriptions")
                        || name.ends_with(" subscribers")
                        || name.starts_with("tag <untagged ")
                });
            }
        },
    },
    Difference {
        what: "telephone events of another clock rate than the codecs of an answer are left out",
        why: "later releases keep what both parties listed",
        equalise: |asked, ours, theirs| {
            if asked.is("answer") && asked.topics.contains(&Topic::Codecs) {
                both(ours, theirs, |picture| {
                    for (name, facts) in &mut picture.0 {
                        if name.ends_with(" formats") {
                            let words = facts[0].split(' ').filter(|word| *word != "101");
                            facts[0] = words.collect::<Vec<_>>().join(" ");
                        }
                        if name.ends_with(" attributes") {
                            facts.retain(|fact| !fact.contains(":101 "));
                        }
                    }
                });
            }
        },
    },
    Difference {
        what: "a port for RTCP is kept after rtcp-mux was agreed",
        why: "Windlass returns it with the next offer, so that an end of the mux gets new ports; \
              later in such calls only the relation of RTP and RTCP is compared",
        equalise: equal::relation_of_rtcp,
    },
    Difference {
        what: "what a delete with a delay leaves for the next command",
        why: "a party marked for deletion has no associations any more; a story ends with a delete \
              of tags",
        equalise: |_, _, _| {},
    },
];
