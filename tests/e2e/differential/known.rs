//! What differs on purpose, each with its reason.

use windlass_ng::{Dict, Value};

use super::equal;
use super::pair::Pair;
use super::picture::Picture;
use super::topic::Topic;

/// A request, and what the story told before it.
pub(super) struct Asked<'a> {
    pub(super) request: &'a Dict,
    pub(super) topics: &'a [Topic],
    /// Offers since the last answer.
    pub(super) unanswered: usize,
    pub(super) relays_ice: bool,
    /// The number of the request in its story, as in the names of ports.
    pub(super) step: usize,
    pub(super) past: &'a [Told],
}

/// An earlier request of the story, with both replies as they came.
pub(super) struct Told {
    pub(super) request: Dict,
    pub(super) ours: Picture,
    pub(super) theirs: Picture,
}

impl Asked<'_> {
    /// In a dialogue that both parties know.
    pub(super) fn is_later(&self) -> bool {
        self.request.get("to-tag").is_some()
    }

    pub(super) fn is(&self, command: &str) -> bool {
        self.request.get_str("command") == Some(command)
    }

    pub(super) fn is_about(&self, topic: Topic) -> bool {
        self.topics.contains(&topic)
    }

    /// The names in a list of `codec`.
    pub(super) fn codecs(&self, list: &str) -> Vec<&str> {
        let codec = self.request.get("codec").and_then(Value::as_dict);
        let list = codec
            .and_then(|codec| codec.get(list))
            .and_then(Value::as_list);
        list.unwrap_or_default()
            .iter()
            .filter_map(Value::as_str)
            .collect()
    }

    /// Whether a fact of theirs was so at an earlier step.
    pub(super) fn was(&self, name: &str, is: impl Fn(&[String]) -> bool) -> bool {
        self.past.iter().any(|told| is(told.theirs.get(name)))
    }

    /// Whether we showed this line with port 0 before.
    pub(super) fn was_turned_down(&self, line: usize) -> bool {
        let name = format!("line {line} port");
        self.past.iter().any(|told| told.ours.get(&name) == ["0"])
    }

    /// Whether a port has this name because it was first seen in this reply.
    pub(super) fn is_new(&self, port: &str) -> bool {
        port.ends_with(&format!(" of {}", self.step))
    }

    /// One m= line of the request, with its attributes.
    pub(super) fn sent(&self, line: usize) -> &str {
        let sdp = self.request.get_str("sdp").unwrap_or_default();
        sdp.split("\r\nm=").nth(line + 1).unwrap_or_default()
    }

    /// Words of the m= line of the request: kind, port, protocol, formats.
    pub(super) fn sent_words(&self, line: usize) -> Vec<&str> {
        let first = self.sent(line).lines().next().unwrap_or_default();
        first.splitn(4, ' ').collect()
    }
}

/// One difference, and how it is taken out before comparing.
pub(super) struct Difference {
    pub(super) what: &'static str,
    pub(super) why: &'static str,
    /// Takes out the facts that say what `why` predicts, and no others.
    pub(super) equalise: fn(&Asked<'_>, &mut Pair),
}

pub(super) const KNOWN_DIFFERENCES: &[Difference] = &[
    Difference {
        what: "a rejected media keeps its attributes and shows an address",
        why: "10.5 edits the received text; later releases print kind, c= and mid only",
        equalise: equal::rejected_lines,
    },
    Difference {
        what: "no tls-id",
        why: "added after 10.5",
        equalise: |_, pair| {
            pair.lines(|line| {
                line.excuse("tls-id", |ours, theirs| ours == ["32"] && theirs.is_empty());
            });
        },
    },
    Difference {
        what: "telephone events alone are no codecs",
        why: "10.5 prints an m= line without formats; later releases what is left",
        equalise: |asked, pair| {
            pair.lines(|line| {
                if line.excuse("formats", |ours, theirs| ours == ["101"] && theirs == [""]) {
                    let sent = asked.sent(line.number);
                    line.excuse("attributes", |ours, theirs| {
                        let is_sent = |fact: &String| sent.contains(&format!("a={fact}\r\n"));
                        theirs
                            .iter()
                            .all(|fact| ours.contains(fact) || is_sent(fact))
                    });
                }
            });
        },
    },
    Difference {
        what: "nothing is stripped from an answer to an m= line without formats",
        why: "10.5 has no codecs to compare it with",
        equalise: |asked, pair| {
            let strips = !asked.codecs("strip").is_empty();
            pair.lines(|line| {
                let name = format!("line {} formats", line.number);
                if strips && asked.is("answer") && asked.was(&name, |formats| formats == [""]) {
                    let sent = asked.sent(line.number);
                    let [.., formats] = &asked.sent_words(line.number)[..] else {
                        return;
                    };
                    if line.excuse("formats", |ours, theirs| {
                        ours == ["101"] && theirs == [*formats]
                    }) {
                        line.excuse("attributes", |_, theirs| {
                            let is_sent = |fact: &String| sent.contains(&format!("a={fact}\r\n"));
                            theirs.iter().all(is_sent)
                        });
                    }
                }
            });
        },
    },
    Difference {
        what: "an answer repeats the mid of the other leg",
        why: "later releases print the first mid of the leg itself",
        equalise: |asked, pair| {
            if asked.is("answer") {
                pair.lines(|line| {
                    line.excuse("mid", |ours, theirs| ours.len() == 1 && theirs.len() == 1);
                });
            }
        },
    },
    Difference {
        what: "a later offer repeats the mid of its receiver",
        why: "later releases offer that of the sender",
        equalise: |asked, pair| {
            if asked.is("offer") && asked.is_later() {
                pair.lines(|line| {
                    line.excuse("mid", |_, theirs| theirs.len() == 1);
                });
            }
        },
    },
    Difference {
        what: "rtcp-mux that was offered counts as agreed in the next offer, whatever was answered",
        why: "Windlass keeps a port for RTCP until the receiver has agreed",
        equalise: equal::mux_before_agreement,
    },
    Difference {
        what: "a port for RTCP is kept after rtcp-mux was agreed",
        why: "Windlass returns it with the next offer, so that an end of the mux gets new ports",
        equalise: equal::ports_after_mux,
    },
    Difference {
        what: "OSRTP that was answered in plain: a line of keys all the same",
        why: "later releases take it as turned down, unless the request says OSRTP=accept",
        equalise: |asked, pair| {
            if asked.is("answer") && asked.is_about(Topic::Opportunistic) {
                pair.lines(|line| {
                    let protocols = [line.ours("protocol"), line.theirs("protocol")].concat();
                    let plain = ["RTP/AVP", "RTP/AVPF"];
                    if protocols.iter().all(|is| plain.contains(&is.as_str())) {
                        line.excuse("crypto", |ours, theirs| {
                            ours.is_empty() && theirs.len() == 1
                        });
                    }
                });
            }
        },
    },
    Difference {
        what: "the reply to delete shows the parties of the tags that were given",
        why: "later releases show all parties of a call that ends",
        equalise: |asked, pair| {
            if asked.is("delete") {
                let shown = pair.theirs.clone();
                pair.ours.forget(|name| {
                    let is_party = |tag: &String| name.starts_with(tag.trim_end_matches("tag"));
                    let tags = shown.0.keys().filter(|tag| tag.ends_with(" tag"));
                    name.starts_with("tag ") && !tags.into_iter().any(is_party)
                });
            }
        },
    },
    Difference {
        what: "trickle without ICE",
        why: "10.5 prints ice-options and end-of-candidates where it prints no ICE",
        equalise: |_, pair| {
            pair.lines(|line| {
                if line.theirs("ice-ufrag").is_empty() {
                    line.excuse("ice-options", |ours, _| ours.is_empty());
                    line.excuse("end-of-candidates", |ours, _| ours.is_empty());
                }
            });
        },
    },
    Difference {
        what: "suites of a party that has not answered, or has none any more, in a query",
        why: "10.5 shows what it offered, and what is left of an earlier exchange",
        equalise: |asked, pair| {
            pair.excuse_all(
                |name| name.ends_with(" suite"),
                |ours, theirs| ours == [""] || theirs == [""] && asked.unanswered > 0,
            );
        },
    },
    Difference {
        what: "flags of medias and streams in a query",
        why: "some are newer than 10.5, others are left of an earlier exchange there",
        equalise: equal::flags,
    },
    Difference {
        what: "keys in a later offer: 10.5 offers what was not taken up again",
        why: "Windlass does not",
        equalise: equal::keys_not_taken_up,
    },
    Difference {
        what: "session parameters of keys in a later offer",
        why: "10.5 adds them to new lines of keys alone, later releases to each",
        equalise: equal::session_parameters,
    },
    Difference {
        what: "an answer with a line of keys to an offer that has DTLS alone",
        why: "10.5 answers with what is left of an earlier exchange; there is no line to answer",
        equalise: equal::keys_that_were_not_offered,
    },
    Difference {
        what: "OSRTP in a later offer follows the sender alone",
        why: "Windlass offers OSRTP to a party that has used it or answered it",
        equalise: |asked, pair| {
            if asked.is("offer") && asked.is_later() && asked.is_about(Topic::Opportunistic) {
                pair.lines(|line| {
                    let is_plain = line.ours("protocol") == ["RTP/AVP"];
                    line.excuse("crypto", |ours, theirs| {
                        is_plain && ours.is_empty() != theirs.is_empty()
                    });
                });
            }
        },
    },
    Difference {
        what: "an answer to relayed ICE shows an address of 10.5 with candidates of its own, the \
               priority of the second wrapped",
        why: "where both have ICE the media bypasses; an agent of our own towards the offerer alone \
              would fail (ng-protocol §8.2)",
        equalise: equal::answers_to_relayed_ice,
    },
    Difference {
        what: "codec options and generate-mid act on relayed ICE",
        why: "later releases pass the media by as it is",
        equalise: |asked, pair| {
            if asked.relays_ice && asked.is("offer") {
                let strips = !asked.codecs("strip").is_empty();
                pair.lines(|line| {
                    line.excuse("attributes", |ours, theirs| {
                        strips && theirs.iter().all(|fact| ours.contains(fact))
                    });
                    line.excuse("mid", |ours, theirs| ours.is_empty() && theirs.len() == 1);
                });
            }
        },
    },
    Difference {
        what: "strip=all in the answer of a later exchange takes telephone events alone",
        why: "what the answerer has chosen is shown: an answer without its events would disagree \
              with the answerer's packets",
        equalise: |asked, pair| {
            let strips = asked.codecs("strip").contains(&"all");
            if strips && asked.is("answer") && asked.is_later() {
                pair.lines(|line| {
                    line.excuse("formats", |ours, theirs| {
                        ours.concat().strip_suffix(" 101") == Some(theirs.concat().as_str())
                    });
                    line.excuse("attributes", |ours, theirs| {
                        let mut more = ours.iter().filter(|fact| !theirs.contains(fact));
                        more.all(|fact| fact.contains(":101 "))
                    });
                });
            }
        },
    },
    Difference {
        what: "codec options act on an answer to relayed ICE",
        why: "later releases pass the media by as it is",
        equalise: |asked, pair| {
            let is_about = asked.is_about(Topic::Codecs) && asked.is_about(Topic::Ice);
            if is_about && asked.relays_ice && asked.is("answer") {
                pair.lines(|line| {
                    line.excuse("formats", |ours, theirs| {
                        let ours = ours.concat();
                        let ours: Vec<&str> = ours.split(' ').collect();
                        theirs
                            .concat()
                            .split(' ')
                            .all(|format| ours.contains(&format))
                    });
                    line.excuse("attributes", |ours, theirs| {
                        theirs.iter().all(|fact| ours.contains(fact))
                    });
                });
            }
        },
    },
    Difference {
        what: "a line that was turned down keeps its ports",
        why: "later releases return them",
        equalise: |asked, pair| {
            pair.lines(|line| {
                let ours = line.ours("port").concat();
                if asked.was_turned_down(line.number) && asked.is_new(&ours) {
                    line.same_ports();
                }
            });
        },
    },
    Difference {
        what: "a moved endpoint on hold, or with ICE, gets new ports",
        why: "later releases keep the ports while the media rests or has ICE, and so meet the \
              endpoint later",
        equalise: equal::moved_at_rest,
    },
    Difference {
        what: "ICE on a line that had none gets new ports, or the old ones of its other addresses",
        why: "Windlass keeps the ports that serve without ICE, and returns those that only ICE needed \
              while there is none",
        equalise: equal::ice_that_comes,
    },
    Difference {
        what: "a zero address without RTP says a direction",
        why: "later releases copy media without RTP as it is",
        equalise: |asked, pair| {
            pair.lines(|line| {
                let is_rtp = line.ours("protocol").concat().contains("RTP/");
                let is_zero = asked.request.get_str("sdp").is_some_and(|sdp| {
                    sdp.contains("c=IN IP4 0.0.0.0\r\n") || sdp.contains("c=IN IP6 ::\r\n")
                });
                if !is_rtp && is_zero {
                    line.excuse("direction", |_, theirs| {
                        theirs == ["sendonly"] || theirs == ["inactive"]
                    });
                }
            });
        },
    },
    Difference {
        what: "replace=origin shows the interface of the moment",
        why: "later releases keep the address that the receiver has seen",
        equalise: |asked, pair| {
            let address = |origin: &[String]| -> Option<String> {
                let text = origin.concat();
                text.split_once(" IN ")
                    .map(|(_, address)| address.to_owned())
            };
            let moment = address(pair.theirs.get("line 0 address"));
            let was = |seen: &Option<String>| {
                let mut past = asked.past.iter();
                past.any(|told| address(told.ours.get("origin")) == *seen)
            };
            if asked.is_about(Topic::Replace) {
                pair.excuse("origin", |ours, theirs| {
                    was(&address(ours)) && (address(theirs) == moment || moment.is_none())
                });
            }
        },
    },
    Difference {
        what: "a stream for RTCP beside rtcp-mux in a query",
        why: "later releases show none",
        equalise: |_, pair| {
            pair.excuse_all(
                |name| name.ends_with(" stream 1 port"),
                |ours, theirs| ours == ["0"] && theirs != ["0"],
            );
        },
    },
    Difference {
        what: "no protocol of a media without RTP in a query",
        why: "later releases show the text",
        equalise: |_, pair| {
            pair.excuse_all(
                |name| name.starts_with("tag ") && name.ends_with(" protocol"),
                |ours, theirs| theirs == [""] && !ours.concat().contains("RTP/"),
            );
        },
    },
    Difference {
        what: "the offerer stays subscribed to branches that did not answer",
        why: "later releases subscribe it to the party that answered last",
        equalise: |asked, pair| {
            if asked.is_about(Topic::Forks) {
                let is_association =
                    |name: &str| name.ends_with(" subscriptions") || name.ends_with(" subscribers");
                pair.excuse_all(is_association, |ours, theirs| {
                    ours.iter().all(|other| theirs.contains(other))
                });
                pair.excuse_all(
                    |name| name.starts_with("tag <untagged") && is_association(name),
                    |_, theirs| theirs.is_empty(),
                );
            }
        },
    },
    Difference {
        what: "the family of a leg follows its own address again in a later exchange",
        why: "later releases remember the family that was asked for",
        equalise: |asked, pair| {
            if asked.is_about(Topic::Family) {
                pair.lines(|line| {
                    let differ = |ours: &[String], theirs: &[String]| {
                        let family = |text: &[String]| text.concat().get(5..8).map(str::to_owned);
                        family(ours) != family(theirs)
                    };
                    if !asked.past.is_empty() && line.excuse("address", differ) {
                        line.same_ports();
                        line.excuse("candidates", |ours, theirs| {
                            !ours.is_empty() && !theirs.is_empty()
                        });
                    }
                });
            }
        },
    },
    Difference {
        what: "a line that a later offer added gets other ports in the next exchange",
        why: "the endpoint is the same (ng-protocol §10.4)",
        equalise: |asked, pair| {
            pair.lines(|line| {
                let name = format!("line {} port", line.number);
                let sdps = asked
                    .past
                    .iter()
                    .filter(|told| !told.ours.get("line 0 port").is_empty());
                let first = sdps.map(|told| told.ours.get(&name)).next();
                let is_added = first.is_some_and(<[String]>::is_empty);
                if is_added && asked.is_new(&line.theirs("port").concat()) {
                    line.same_ports();
                }
            });
        },
    },
];
