//! An offer on an established media is a proposal: what it says acts when its answer comes
//! (spec: ng-protocol §10.6; RFC 3261 §14.1, RFC 3264 §8).

use rand::Rng;
use rand::seq::IndexedRandom;

use super::*;

const PLAIN: &str = "m=audio 2000 RTP/AVP 8 101\na=rtpmap:101 telephone-event/8000\n";
const ANSWER: &str = "m=audio 3000 RTP/AVP 8 101\na=rtpmap:101 telephone-event/8000\n";
const ICE: &str = "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n";

fn re_offer(lines: &str) -> Dict {
    from_a(lines).with("to-tag", "T")
}

fn re_offer_at(host: &str, lines: &str) -> Dict {
    let family = if host.contains(':') { "IP6" } else { "IP4" };
    let sdp = party(host, lines).replace("IN IP4", &format!("IN {family}"));
    offer(&sdp).with("to-tag", "T")
}

/// What becomes of packets, by local address. Where the offerer may be heard from besides is a
/// thing of its own.
fn wires(bench: &Bench) -> BTreeMap<SocketAddr, String> {
    let flows = bench.books.flows.lock().unwrap();
    let wires = flows.iter().map(|(local, (spec, _))| {
        let mut spec = spec.clone();
        spec.peer.proposed = None;
        (*local, format!("{spec:#?}"))
    });
    wires.collect()
}

/// Makes an offer, and sees that all flows that were there stay as they were.
fn offer_changes_nothing(bench: &mut Bench, request: Dict) -> String {
    let before = wires(bench);
    let sdp = bench.sdp(request.clone());
    let after = wires(bench);
    for (local, wire) in before {
        assert_eq!(after.get(&local), Some(&wire), "{local}: {request:?}");
    }
    assert_eq!(bench.leased(), bench.flows());
    sdp
}

/// The tags of a query, without offers that wait.
fn agreed(bench: &mut Bench) -> Dict {
    let reply = bench.ask(command("query"));
    let tags = at(&reply, "tags").as_dict().unwrap();
    let parties = tags.iter().map(|(tag, party)| {
        let party = party.as_dict().unwrap().iter();
        let party = party.filter(|(key, _)| **key != *b"pending offers");
        let party: Vec<String> = party
            .map(|(key, value)| format!("{}={value:?}", key.escape_ascii()))
            .collect();
        (tag.escape_ascii().to_string(), party.join("\n"))
    });
    parties.fold(Dict::new(), |mut dict, (tag, party)| {
        dict.push(tag, party);
        dict
    })
}

#[test]
fn a_hold_that_is_refused_holds_nobody() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN));
    bench.sdp(from_b(ANSWER));
    let before = wires(&bench);
    let sdp = offer_changes_nothing(&mut bench, re_offer(&format!("{PLAIN}a=sendonly\n")));
    assert!(sdp.contains("a=sendonly\n"), "{sdp}");
    // 488: no answer comes. Hours later it is the same call.
    bench.wait(30);
    assert_eq!(wires(&bench), before);
    // The other side's next offer knows nothing of the hold.
    let sdp = bench.sdp(offer_of_b(ANSWER));
    assert!(sdp.contains("a=sendrecv\n"), "{sdp}");
    let sdp = bench.sdp(answer_of_a(PLAIN));
    assert!(sdp.contains("a=sendrecv\n"), "{sdp}");
}

#[test]
fn a_hold_acts_with_its_answer_and_so_does_its_end() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN));
    bench.sdp(from_b(ANSWER));
    let talking = wires(&bench);
    for hold in ["a=sendonly\n", "a=inactive\n"] {
        offer_changes_nothing(&mut bench, re_offer(&format!("{PLAIN}{hold}")));
        let back = hold.replace("sendonly", "recvonly");
        let sdp = bench.sdp(from_b(&format!("{ANSWER}{back}")));
        assert!(sdp.contains(&back), "{sdp}");
        let held = wires(&bench);
        assert_ne!(held, talking);
        // Resumed, refused, and resumed again.
        offer_changes_nothing(&mut bench, re_offer(PLAIN));
        assert_eq!(wires(&bench), held);
        offer_changes_nothing(&mut bench, re_offer(PLAIN));
        bench.sdp(from_b(ANSWER));
        assert_eq!(wires(&bench), talking);
    }
}

#[test]
fn whatever_is_offered_and_refused_leaves_the_call_as_it_was() {
    let key = |key: &str| {
        format!("m=audio 2000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\n")
    };
    let (k1, k2, k3) = (
        key("WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"),
        key("d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"),
        key("NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"),
    );
    let plain = (PLAIN.to_owned(), ANSWER.to_owned());
    let ice = (format!("{PLAIN}{ICE}"), format!("{ANSWER}{ICE}"));
    let mux = (
        format!("{PLAIN}a=rtcp-mux\n"),
        format!("{ANSWER}a=rtcp-mux\n"),
    );
    let two = (
        format!("{PLAIN}m=video 2002 RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
        format!("{ANSWER}m=video 3002 RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
    );
    let bundle = (
        "a=group:BUNDLE a0 v0\nm=audio 2000 RTP/AVP 8\na=mid:a0\na=rtcp-mux\n\
         m=video 2000 RTP/AVP 96\na=mid:v0\na=rtpmap:96 H264/90000\na=rtcp-mux\n"
            .to_owned(),
        two.1.clone(),
    );
    let rows: Vec<(&(String, String), Dict)> = vec![
        (&plain, re_offer(&format!("{PLAIN}a=recvonly\n"))),
        (&plain, re_offer_at("0.0.0.0", PLAIN)),
        (&plain, re_offer_at("198.51.100.99", PLAIN)),
        (&plain, re_offer_at("192.168.7.7", PLAIN)),
        (&plain, re_offer_at("2001:db8::7", PLAIN)),
        (&plain, re_offer(&PLAIN.replace("2000", "2222"))),
        (&plain, re_offer(&PLAIN.replace("audio 2000", "audio 0"))),
        (&plain, re_offer("m=image 2004 udptl t38\n")),
        (&plain, re_offer("m=audio 2000 RTP/AVP 0 9\n")),
        (&plain, re_offer(&PLAIN.replace("101", "96"))),
        (&plain, re_offer(&k1)),
        (&plain, re_offer(&two.0)),
        (&plain, re_offer(&ice.0)),
        (&plain, re_offer(&mux.0)),
        (
            &plain,
            re_offer(PLAIN).with("transport-protocol", "RTP/SAVP"),
        ),
        (&plain, re_offer(PLAIN).with("ICE", "force")),
        (&plain, re_offer(PLAIN).with("address-family", "IP6")),
        (&plain, offer_of_b(&format!("{ANSWER}a=sendonly\n"))),
        (&plain, offer_of_b("m=image 3004 udptl t38\n")),
        (&two, re_offer(PLAIN)),
        (&two, re_offer(&two.0.replace("video 2002", "video 0"))),
        (&mux, re_offer(PLAIN)),
        (&ice, re_offer(&ice.0.replace("abcd", "wxyz"))),
        (&ice, re_offer(PLAIN)),
        (&bundle, re_offer(&two.0)),
        (
            &bundle,
            re_offer(&bundle.0.replace("audio 2000", "audio 0")),
        ),
        (
            &bundle,
            offer_of_b(&two.1).with("BUNDLE", strings(&["reject"])),
        ),
    ];
    for ((first, answer), request) in rows {
        let text = format!("{request:?}");
        let mut bench = Bench::new();
        let bundles = |request: Dict| request.with("BUNDLE", strings(&["accept"]));
        bench.sdp(bundles(from_a(first)));
        bench.sdp(from_b(answer));
        // Once more, since an agreed mux lets go of a port with the next offer.
        bench.sdp(re_offer(first));
        bench.sdp(from_b(answer));
        let (before, seen) = (wires(&bench), agreed(&mut bench));
        offer_changes_nothing(&mut bench, request);
        assert_eq!(agreed(&mut bench), seen, "{text}");
        // The agreed SDP again, and all is as if nothing had been offered.
        bench.sdp(re_offer(first));
        bench.sdp(from_b(answer));
        assert_eq!(wires(&bench), before, "{text}");
        assert_eq!(bench.leased(), bench.flows(), "{text}");
        assert!(find(&bench.ask(command("query")), "tags/F/pending offers").is_none());
    }
    // The same with keys: until the answer comes, the old ones are in force.
    let mut bench = Bench::new();
    let passes = |request: Dict| request.with("SDES", strings(&["nonew"]));
    bench.sdp(passes(from_a(&k1)));
    bench.sdp(passes(from_b(&k2)));
    let before = wires(&bench);
    offer_changes_nothing(&mut bench, passes(re_offer(&k3)));
    assert_eq!(wires(&bench), before);
}

#[test]
fn new_ports_listen_and_the_offerer_is_heard_from_where_it_goes() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN));
    let shown_to_a = port(&bench.sdp(from_b(ANSWER)), 0);
    let sdp = offer_changes_nothing(&mut bench, re_offer_at("198.51.100.99", PLAIN));
    let shown_to_b = port(&sdp, 0);
    {
        let flows = bench.books.flows.lock().unwrap();
        let flow = |port: u16| {
            let mut all = flows.values().map(|(flow, _)| flow);
            all.find(|flow| flow.local.port() == port).unwrap()
        };
        // What B sends to the new port is as welcome as what it sends to the old one.
        let (new, of_a) = (flow(shown_to_b), flow(shown_to_a));
        assert_eq!(
            new.peer.signalled,
            Some("198.51.100.20:3000".parse().unwrap())
        );
        assert!(new.receive && new.sinks.iter().any(|sink| sink.via == of_a.local));
        assert_eq!(
            of_a.peer.signalled,
            Some("198.51.100.10:2000".parse().unwrap())
        );
        assert_eq!(
            of_a.peer.proposed,
            Some("198.51.100.99:2000".parse().unwrap())
        );
        assert_ne!(of_a.sinks[0].via.port(), shown_to_b);
    }
    // Offered once more, the same ports are shown.
    let again = offer_changes_nothing(&mut bench, re_offer_at("198.51.100.99", PLAIN));
    assert_eq!(port(&again, 0), shown_to_b);
    bench.sdp(from_b(ANSWER));
    let flows = bench.books.flows.lock().unwrap();
    let of_a = flows
        .values()
        .find(|(flow, _)| flow.local.port() == shown_to_a);
    let (of_a, _) = of_a.unwrap();
    assert_eq!(
        of_a.peer.signalled,
        Some("198.51.100.99:2000".parse().unwrap())
    );
    assert_eq!(of_a.peer.proposed, None);
    assert_eq!(of_a.sinks[0].via.port(), shown_to_b);
}

#[test]
fn media_of_a_line_that_is_new_flows_early() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN));
    bench.sdp(from_b(ANSWER));
    let video = "m=video 2002 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let sdp = offer_changes_nothing(&mut bench, re_offer(&format!("{PLAIN}{video}")));
    let shown = port(&sdp, 1);
    let flows = bench.books.flows.lock().unwrap();
    let mut all = flows.values().map(|(flow, _)| flow);
    let new = all.find(|flow| flow.local.port() == shown).unwrap();
    let to = flows.get(&new.sinks[0].via).unwrap();
    assert_eq!(
        to.0.peer.signalled,
        Some("198.51.100.10:2002".parse().unwrap())
    );
}

#[test]
fn of_two_offers_at_once_the_answered_one_counts() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN));
    bench.sdp(from_b(ANSWER));
    offer_changes_nothing(&mut bench, re_offer(&format!("{PLAIN}a=sendonly\n")));
    let fax = "m=image 3004 udptl t38\n";
    let sdp = offer_changes_nothing(&mut bench, offer_of_b(fax));
    assert!(sdp.contains("m=image"), "{sdp}");
    let sdp = bench.sdp(answer_of_a("m=image 2004 udptl t38\n"));
    assert!(sdp.contains("m=image"), "{sdp}");
    let faxing = wires(&bench);
    assert!(
        faxing.values().all(|wire| wire.contains("Opaque")),
        "{faxing:?}"
    );
    assert_eq!(bench.leased(), bench.flows());
    // Back to audio: nothing is left of the hold.
    bench.sdp(offer_of_b(ANSWER));
    let sdp = bench.sdp(answer_of_a(PLAIN));
    assert!(sdp.contains("a=sendrecv\n"), "{sdp}");
}

#[test]
fn options_that_are_no_sdp_act_at_once() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN));
    bench.sdp(from_b(ANSWER));
    let before = wires(&bench);
    let request = re_offer(&format!("{PLAIN}a=inactive\n"))
        .with("flags", strings(&["block-DTMF", "strict-source"]))
        .with("label", "caller");
    bench.sdp(request);
    let after = wires(&bench);
    assert_ne!(after, before);
    assert!(
        after
            .values()
            .any(|wire| wire.contains("strict_source: true"))
    );
    assert!(after.values().all(|wire| wire.contains("receive: true")));
    let reply = bench.ask(command("query"));
    assert_eq!(at(&reply, "tags/F/label"), &Value::from("caller"));
    // A command that comes while the offer waits is not undone by its answer.
    bench.ask(
        command("block media")
            .with("from-tag", "F")
            .with("flags", strings(&["directional"])),
    );
    bench.sdp(from_b(ANSWER));
    assert!(
        wires(&bench)
            .values()
            .any(|wire| wire.contains("drop_media: true"))
    );
}

#[test]
fn query_shows_what_is_agreed_and_what_is_offered() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN));
    bench.sdp(from_b(ANSWER));
    assert!(find(&bench.ask(command("query")), "tags/F/pending offers").is_none());
    bench.sdp(re_offer("m=image 2004 udptl t38\n"));
    let reply = bench.ask(command("query"));
    assert_eq!(at(&reply, "tags/F/medias/0/type"), &Value::from("audio"));
    assert_eq!(
        at(&reply, "tags/T/medias/0/protocol"),
        &Value::from("RTP/AVP")
    );
    let offered = "tags/F/pending offers/0";
    assert_eq!(at(&reply, &format!("{offered}/to-tag")), &Value::from("T"));
    assert_eq!(
        at(&reply, &format!("{offered}/medias/0/type")),
        &Value::from("image")
    );
    let endpoint = format!("{offered}/medias/0/streams/0/advertised endpoint/port");
    assert_eq!(at(&reply, &endpoint), &Value::from(2004_u64));
    bench.sdp(from_b("m=image 3004 udptl t38\n"));
    let reply = bench.ask(command("query"));
    assert!(find(&reply, offered).is_none());
    assert_eq!(at(&reply, "tags/F/medias/0/type"), &Value::from("image"));
}

#[test]
fn an_offer_to_another_fork_leaves_the_talk_with_the_first() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN).with("via-branch", "b1"));
    bench.sdp(
        message("answer", &party("198.51.100.20", ANSWER))
            .with("from-tag", "F")
            .with("to-tag", "T")
            .with("via-branch", "b1"),
    );
    let before = wires(&bench);
    let other = format!("{PLAIN}a=sendonly\n");
    let sdp = bench.sdp(from_a(&other).with("via-branch", "b2"));
    assert!(sdp.contains("a=sendonly"), "{sdp}");
    // The other one may hear early media; nothing else is new.
    for (local, wire) in wires(&bench) {
        let Some(before) = before.get(&local) else {
            continue;
        };
        let head = |wire: &str| wire.split("sinks").next().unwrap().to_owned();
        assert_eq!(head(&wire), head(before));
        let vias = |wire: &str| -> Vec<String> {
            let lines = wire.lines().filter(|line| line.contains("via: "));
            lines.map(str::to_owned).collect()
        };
        let after = vias(&wire);
        assert!(vias(before).iter().all(|via| after.contains(via)), "{wire}");
    }
    let lines = ANSWER.replace("3000", "4000") + "a=recvonly\n";
    let sdp = bench.sdp(
        message("answer", &party("198.51.100.30", &lines))
            .with("from-tag", "F")
            .with("to-tag", "U")
            .with("via-branch", "b2"),
    );
    assert!(sdp.contains("a=recvonly"), "{sdp}");
    let reply = bench.ask(command("query"));
    assert!(find(&reply, "tags/F/pending offers").is_none(), "{reply:?}");
    assert_eq!(bench.leased(), bench.flows());
}

#[test]
fn an_offer_that_waits_goes_with_its_party() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN).with("via-branch", "b1"));
    bench.sdp(from_b(ANSWER));
    bench.sdp(re_offer_at(
        "198.51.100.99",
        "m=audio 2000 RTP/AVP 8\nm=video 2002 RTP/AVP 96\n",
    ));
    let delete = command("delete")
        .with("from-tag", "F")
        .with("delete-delay", 0_i64);
    assert_eq!(said(&bench.ask(delete)), "ok");
    assert_eq!(
        (bench.leased(), bench.flows(), bench.calls.count()),
        (0, 0, 0)
    );
}

#[test]
fn an_offer_that_waits_is_a_sign_of_life() {
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN));
    bench.sdp(from_b(ANSWER));
    for _ in 0..4 {
        bench.wait(40);
        bench.sdp(re_offer(PLAIN));
    }
    assert_eq!(bench.calls.count(), 1);
    bench.wait(61);
    assert_eq!(bench.calls.count(), 0);
}

#[test]
fn candidates_that_trickle_in_belong_to_the_offer_that_waits() {
    let mut bench = Bench::new();
    let lines = format!("{PLAIN}{ICE}");
    bench.sdp(from_a(&lines));
    bench.sdp(from_b(&format!("{ANSWER}{ICE}")));
    let restarted = lines.replace("abcd", "wxyz");
    bench.sdp(re_offer(&restarted));
    let piece = format!("{restarted}a=candidate:1 1 UDP 2130706431 198.51.100.10 2000 typ host\n");
    let fragment = re_offer(&piece).with("flags", strings(&["fragment"]));
    assert_eq!(said(&bench.ask(fragment)), "ok");
    bench.sdp(from_b(&format!("{ANSWER}{ICE}")));
    let id = windlass_ng::CallId::from("call");
    let count = bench.calls.with_call(&id, |call| {
        let extras = call.legs[0].medias[0].extras.as_deref();
        extras.map(|extras| extras.ice.candidates.len())
    });
    assert_eq!(count, Some(Some(1)));
}

#[test]
fn no_offer_among_500_changes_what_is_agreed() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut bench = Bench::new();
    bench.sdp(from_a(PLAIN));
    bench.sdp(from_b(ANSWER));
    for _ in 0..500 {
        let before = wires(&bench);
        let hosts = [
            "198.51.100.10",
            "198.51.100.11",
            "2001:db8::7",
            "0.0.0.0",
            "10.1.1.1",
        ];
        let mut lines = String::new();
        for _ in 0..rng.random_range(1..3) {
            let port = *[0, 2000, 2000, 2002].choose(&mut rng).unwrap();
            lines += &match rng.random_range(0..4) {
                0 => format!("m=image {port} udptl t38\n"),
                1 => format!("m=audio {port} RTP/SAVP 8\n"),
                _ => format!("m=audio {port} RTP/AVP 8 101\n"),
            };
            for line in ["a=rtcp-mux\n", "a=sendonly\n", ICE] {
                if rng.random_range(0..4) == 0 {
                    lines += line;
                }
            }
        }
        let is_of_a = rng.random_range(0..2) == 0;
        let request = match is_of_a {
            true => re_offer_at(hosts.choose(&mut rng).unwrap(), &lines),
            false => offer_of_b(&lines),
        };
        bench.sdp(request.clone());
        let after = wires(&bench);
        let id = windlass_ng::CallId::from("call");
        let active: Vec<SocketAddr> = bench
            .calls
            .with_call(&id, |call| {
                let medias = call.legs.iter().flat_map(|leg| &leg.medias);
                let active = medias.filter(|media| !media.rejected && media.endpoint.is_some());
                let maps = active.flat_map(|media| &media.maps);
                maps.map(|map| map.main.rtp.local).collect()
            })
            .unwrap();
        for local in active {
            assert_eq!(
                after.get(&local),
                before.get(&local),
                "{local}: {request:?}"
            );
        }
        assert_eq!(bench.leased(), bench.flows());
        if rng.random_range(0..3) == 0 {
            let answer = match is_of_a {
                true => from_b(&lines),
                false => answer_of_a(&lines),
            };
            bench.sdp(answer);
            assert_eq!(bench.leased(), bench.flows());
        }
    }
}
