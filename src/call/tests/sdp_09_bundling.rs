//! ng-protocol §8.9 and RFC 9143: what a bundle is made of, and who bundles.

use super::ng_05_commands::flow_of;
use super::*;

const GROUP: &str = "t=0 0\na=group:BUNDLE a v\n";

fn grouped(host: &str, lines: &str) -> String {
    party(host, lines).replace("t=0 0\n", GROUP)
}

fn bundled(lines: &str) -> Dict {
    offer(&grouped("198.51.100.10", lines)).with("BUNDLE", strings(&["accept"]))
}

const LINES: &str = "m=audio 2000 RTP/AVP 0\na=mid:a\nm=video 2000 RTP/AVP 96\n\
    a=rtpmap:96 VP8/90000\na=mid:v\n";
const TWO: &str = "m=audio 3000 RTP/AVP 0\nm=video 3002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";

#[test]
fn a_party_bundles_until_it_does_not_group() {
    let mut bench = Bench::new();
    bench.sdp(bundled(LINES));
    let sdp = bench.sdp(from_b(TWO));
    assert!(sdp.contains("\na=group:BUNDLE a v\n"), "{sdp}");
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
    bench.sdp(offer(&grouped("198.51.100.10", LINES)).with("to-tag", "T"));
    let sdp = bench.sdp(from_b(TWO));
    assert!(sdp.contains("\na=group:BUNDLE a v\n"), "{sdp}");
    bench.sdp(from_a(&LINES.replace("video 2000", "video 2002")).with("to-tag", "T"));
    let sdp = bench.sdp(from_b(TWO));
    assert!(!sdp.contains("BUNDLE"), "{sdp}");
    assert_ne!(port(&sdp, 0), port(&sdp, 1));
}

#[test]
fn lines_that_cannot_be_told_apart_are_no_bundle() {
    let mid = "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\n";
    for (more, is_bundle) in [("", false), (mid, true)] {
        let lines = format!(
            "m=audio 2000 RTP/AVP 0 100\na=mid:a\n{more}m=video 2000 RTP/AVP 105 100\na=mid:v\n{more}"
        );
        let mut bench = Bench::new();
        bench.sdp(bundled(&lines));
        let answered = "m=audio 3000 RTP/AVP 0\nm=video 3002 RTP/AVP 105\n";
        let sdp = bench.sdp(from_b(answered));
        assert_eq!(sdp.contains("a=group:BUNDLE"), is_bundle, "{sdp}");
        assert_eq!(port(&sdp, 0) == port(&sdp, 1), is_bundle);
    }
}

#[test]
fn a_bundle_only_line_of_port_0_shares_the_port() {
    let lines = LINES
        .replace("video 2000", "video 0")
        .replace("a=mid:v\n", "a=mid:v\na=bundle-only\n");
    let mut bench = Bench::new();
    let sdp = bench.sdp(bundled(&lines));
    assert_ne!(port(&sdp, 1), 0);
    let sdp = bench.sdp(from_b(TWO));
    assert!(sdp.contains("\na=group:BUNDLE a v\n"), "{sdp}");
    assert_eq!(port(&sdp, 0), port(&sdp, 1));
    // Nobody takes the group up.
    let sdp = Bench::new().sdp(offer(&grouped("198.51.100.10", &lines)));
    assert_eq!(port(&sdp, 1), 0);
}

#[test]
fn the_lines_of_an_offered_bundle_have_one_number_for_mid() {
    let lines = "m=audio 2000 RTP/AVP 0\na=extmap:1 urn:x\nm=video 2002 RTP/AVP 96\n";
    let sdp = Bench::new().sdp(from_a(lines).with("BUNDLE", strings(&["offer"])));
    let extensions: Vec<&str> = sdp
        .lines()
        .filter_map(|l| l.strip_prefix("a=extmap:"))
        .collect();
    let mid = "2 urn:ietf:params:rtp-hdrext:sdes:mid";
    assert_eq!(extensions, ["1 urn:x", mid, mid]);
    assert!(!sdp.contains("bundle-only"), "{sdp}");
}

#[test]
fn a_bundle_that_was_taken_up_is_offered_on_with_one_port() {
    let mut bench = Bench::new();
    let first = bench.sdp(from_a(TWO).with("BUNDLE", strings(&["offer"])));
    assert_ne!(port(&first, 0), port(&first, 1));
    let taken = LINES.replace("mid:a", "mid:1").replace("mid:v", "mid:2");
    let sdp = party("198.51.100.20", &taken).replace("t=0 0\n", "t=0 0\na=group:BUNDLE 1 2\n");
    bench.sdp(answer(&sdp));
    let sdp = bench.sdp(from_a(TWO).with("to-tag", "T"));
    assert!(sdp.contains("\na=group:BUNDLE 1 2\n"), "{sdp}");
    assert_eq!([port(&sdp, 0), port(&sdp, 1)], [port(&first, 0); 2]);
    assert!(sdp.contains("\na=mid:2\na=bundle-only\n"), "{sdp}");
    // The port that the second line had is served on.
    assert!(
        bench
            .books
            .flows
            .lock()
            .unwrap()
            .keys()
            .any(|local| local.port() == port(&first, 1))
    );
}

#[test]
fn ports_of_the_other_side_do_not_follow_a_bundle() {
    let mut bench = Bench::new();
    let apart = LINES.replace("video 2000", "video 2002");
    let first = bench.sdp(bundled(&apart));
    bench.sdp(from_b(TWO));
    let second = bench.sdp(offer(&grouped("198.51.100.10", LINES)).with("to-tag", "T"));
    assert_eq!(port(&first, 1), port(&second, 1));
}

const A_AUDIO: &str = "198.51.100.10:2000";
const A_VIDEO: &str = "198.51.100.10:2002";
const B_AUDIO: &str = "198.51.100.20:3000";
const B_VIDEO: &str = "198.51.100.20:3002";

/// The two lines of a bundling offerer that names a port for each, answered by one who does not
/// bundle.
fn taken_up(more: &str) -> Bench {
    let mut bench = Bench::new();
    let lines = LINES
        .replace("video 2000", "video 2002")
        .replace("a=mid", &format!("{more}a=mid"));
    bench.sdp(bundled(&lines));
    let sdp = bench.sdp(from_b(TWO));
    assert_eq!(port(&sdp, 0), port(&sdp, 1), "{sdp}");
    bench
}

/// The RTP sinks of a flow: where to, and for which line of its bundle.
fn media_sinks(flow: &FlowSpec) -> Vec<(SocketAddr, Option<u8>)> {
    let sinks = flow.sinks.iter();
    let media = sinks.filter(|sink| sink.carries == crate::flow::Carries::Rtp);
    let line = |sink: &crate::flow::Sink| sink.rules.as_deref()?.withhold.line;
    media.map(|sink| (sink.via, line(sink))).collect()
}

/// §4.3: what is in both lines is told apart by MID alone, else it belongs to the port.
#[test]
fn the_data_plane_knows_how_to_tell_lines_apart() {
    let mid = "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\n";
    let lines = format!(
        "m=audio 2000 RTP/AVP 0 100\na=mid:a\n{mid}m=video 2000 RTP/AVP 105 100\na=mid:v\n{mid}"
    );
    let mut bench = Bench::new();
    bench.sdp(bundled(&lines));
    bench.sdp(from_b(
        "m=audio 3000 RTP/AVP 0\nm=video 3002 RTP/AVP 105 100\n",
    ));
    let flow = flow_of(&bench, A_AUDIO);
    let bundle = flow.bundle.as_deref().unwrap();
    assert_eq!((bundle.mid, bundle.own), (Some(3), 0));
    let names: Vec<&[u8]> = bundle.lines.iter().map(|line| &*line.mid).collect();
    assert_eq!(names, [b"a", b"v"]);
    assert_eq!(
        [0, 105, 100, 8].map(|number| bundle.of_type(number)),
        [Some(0), Some(1), None, None]
    );
    let (audio, video) = (flow_of(&bench, B_AUDIO), flow_of(&bench, B_VIDEO));
    assert_eq!(
        media_sinks(&flow),
        [(audio.local, Some(0)), (video.local, Some(1))]
    );
    assert!(audio.bundle.is_none() && video.bundle.is_none());
}

/// What a party says on a line that it has accepted comes before its answer does: the line that is
/// there knows its name, and takes nothing of another (RFC 9143 §9.2).
#[test]
fn a_line_that_may_get_others_knows_its_name() {
    let one = "m=audio 3000 RTP/AVP 0\n";
    let mut bench = Bench::new();
    let shown = bench.sdp(from_a(one).with("BUNDLE", strings(&["offer"])));
    let shown_mid = format!("a=extmap:1 {MID}\n");
    assert!(shown.contains(&shown_mid), "{shown}");
    let said = format!("m=audio 2000 RTP/AVP 0\na=mid:1\n{shown_mid}");
    let group = "t=0 0\na=group:BUNDLE 1\n";
    bench.sdp(answer(
        &party("198.51.100.20", &said).replace("t=0 0\n", group),
    ));
    let name = |bench: &Bench| {
        let bundle = flow_of(bench, "198.51.100.20:2000").bundle;
        bundle.map(|bundle| (bundle.mid, bundle.named(b"1"), bundle.named(b"2")))
    };
    assert_eq!(name(&bench), Some((Some(1), Some(0), None)));
    // Also while a further line is offered to it.
    bench.sdp(from_a(TWO).with("to-tag", "T"));
    assert_eq!(name(&bench), Some((Some(1), Some(0), None)));
    // A party that does not bundle names nothing.
    assert!(flow_of(&bench, "198.51.100.10:3000").bundle.is_none());
}

/// §4.7
#[test]
fn media_to_a_bundling_party_goes_to_the_head_of_its_bundle() {
    for again in [false, true] {
        let mut bench = taken_up("");
        if again {
            // The other side re-offers.
            let mut request = offer(&party("198.51.100.20", TWO));
            request.set("from-tag", "T");
            let sdp = bench.sdp(request.with("to-tag", "F"));
            assert_eq!(port(&sdp, 0), port(&sdp, 1));
            let mut request = answer(&grouped(
                "198.51.100.10",
                &LINES.replace("video 2000", "video 2002"),
            ));
            request.set("from-tag", "T");
            request.set("to-tag", "F");
            bench.sdp(request);
        }
        let head = flow_of(&bench, A_AUDIO);
        for (source, line) in [(B_AUDIO, None), (B_VIDEO, None)] {
            assert_eq!(media_sinks(&flow_of(&bench, source)), [(head.local, line)]);
        }
        let reports = flow_of(&bench, "198.51.100.20:3003").sinks;
        let to: Vec<SocketAddr> = reports.iter().map(|sink| sink.via).collect();
        assert_eq!(to, [flow_of(&bench, "198.51.100.10:2001").local]);
    }
}

/// §4.9
#[test]
fn the_lines_of_a_bundle_may_all_send_to_its_port() {
    let mut bench = taken_up("");
    let head = flow_of(&bench, A_AUDIO);
    assert_eq!(
        *head.peer.others_signalled,
        [A_VIDEO.parse::<SocketAddr>().unwrap()]
    );
    let reports = flow_of(&bench, "198.51.100.10:2001");
    assert_eq!(
        *reports.peer.others_signalled,
        ["198.51.100.10:2003".parse::<SocketAddr>().unwrap()]
    );
    assert!(flow_of(&bench, B_AUDIO).peer.others_signalled.is_empty());
    // Once they name one port there is nothing else.
    bench.sdp(offer(&grouped("198.51.100.10", LINES)).with("to-tag", "T"));
    bench.sdp(from_b(TWO));
    assert!(flow_of(&bench, A_AUDIO).peer.others_signalled.is_empty());
}

/// RTCP of a shared port goes once to a shared port.
#[test]
fn reports_between_two_bundles_are_not_doubled() {
    let mut bench = Bench::new();
    bench.sdp(bundled(LINES).with("BUNDLE", strings(&["accept", "offer"])));
    let lines = LINES.replace(" 2000 ", " 3000 ");
    bench.sdp(answer(&grouped("198.51.100.20", &lines)));
    let flows = bench.books.flows.lock().unwrap();
    for (flow, _) in flows.values() {
        match flow.component {
            crate::flow::Component::Rtcp => assert_eq!(flow.sinks.len(), 1),
            crate::flow::Component::Rtp => {
                let [one, other] = media_sinks(flow).try_into().unwrap();
                assert_eq!((one.0, one.1, other.1), (other.0, Some(0), Some(1)));
            }
        }
    }
    assert_eq!(flows.len(), bench.leased());
}

/// §4.10
#[test]
fn groups_and_generated_mids_are_shown_to_the_bundling_party_alone() {
    let mut bench = Bench::new();
    let lines = "m=audio 2000 RTP/AVP 0\nm=video 2002 RTP/AVP 96\na=rtpmap:96 VP8/90000\n";
    let sdp = bench.sdp(from_a(lines).with("BUNDLE", strings(&["offer"])));
    assert!(sdp.contains("\na=group:BUNDLE 1 2\n"), "{sdp}");
    let taken = LINES.replace("mid:a", "mid:1").replace("mid:v", "mid:2");
    let taken = party("198.51.100.20", &taken).replace("t=0 0\n", "t=0 0\na=group:BUNDLE 2 1\n");
    let sdp = bench.sdp(answer(&taken));
    assert!(!sdp.contains("a=group") && !sdp.contains("a=mid"), "{sdp}");
    // The other side offers in its turn: its group is not for the first party.
    let mut request = offer(&taken);
    request.set("from-tag", "T");
    let sdp = bench.sdp(request.with("to-tag", "F"));
    assert!(!sdp.contains("a=group") && !sdp.contains("a=mid"), "{sdp}");
    let mut request = answer(&party("198.51.100.10", lines));
    request.set("from-tag", "T");
    request.set("to-tag", "F");
    let sdp = bench.sdp(request);
    // In the order of the lines, the head first.
    assert!(sdp.contains("\na=group:BUNDLE 1 2\n"), "{sdp}");
    for name in ["subscribe request", "create"] {
        let request = command(name)
            .with("from-tag", "T")
            .with("BUNDLE", strings(&["offer"]));
        let sdp = bench.sdp(request);
        assert!(
            !sdp.contains("a=group") && !sdp.contains("bundle-only"),
            "{name}: {sdp}"
        );
    }
}

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// The mids of the groups that the offerer of these lines is answered.
fn groups(lines: &[(&str, &str)]) -> Vec<String> {
    let mids: Vec<&str> = lines.iter().map(|(mid, _)| *mid).collect();
    let offered: String = lines
        .iter()
        .map(|(mid, line)| {
            let (formats, more) = line.split_once('\n').unwrap_or((line, ""));
            format!("m=audio 2000 RTP/AVP {formats}\na=mid:{mid}\n{more}")
        })
        .collect();
    let group = format!("t=0 0\na=group:BUNDLE {}\n", mids.join(" "));
    let sdp = party("198.51.100.10", &offered).replace("t=0 0\n", &group);
    let mut bench = Bench::new();
    bench.sdp(offer(&sdp).with("BUNDLE", strings(&["accept"])));
    let answered: String = lines
        .iter()
        .enumerate()
        .map(|(index, (_, line))| {
            let formats = line.split('\n').next().unwrap();
            format!("m=audio {} RTP/AVP {formats}\n", 3000 + 2 * index)
        })
        .collect();
    let shown = bench.sdp(from_b(&answered));
    let groups = shown
        .lines()
        .filter_map(|line| line.strip_prefix("a=group:BUNDLE "));
    groups.map(str::to_owned).collect()
}

/// §4.2
#[test]
fn a_line_that_fails_is_one_of_its_own_and_a_head_that_fails_is_the_end() {
    let with_mid = |number: u8| format!("0\na=extmap:{number} {MID}\n");
    let (four, five) = (with_mid(4), with_mid(5));
    // One line has a type that another one has.
    assert_eq!(groups(&[("a", "0"), ("v", "8"), ("w", "8")]), ["a"]);
    assert_eq!(groups(&[("a", "0"), ("v", "0"), ("w", "8")]), [""; 0]);
    // MID by another number than the head's, or without one.
    assert_eq!(groups(&[("a", &four), ("v", &four), ("w", &five)]), ["a v"]);
    assert_eq!(groups(&[("a", "8"), ("v", &four)]), ["a"]);
    // RTCP elsewhere than the head.
    let mux = "8\na=rtcp-mux\n";
    assert_eq!(groups(&[("a", "0"), ("v", mux), ("w", "9")]), ["a w"]);
    let long = "m".repeat(256);
    assert_eq!(
        groups(&[("a", &four), ("v", &four), (&long, &four)]),
        ["a v"]
    );
}

/// §4.4
#[test]
fn all_lines_of_an_offered_bundle_have_the_number_that_one_has() {
    let lines = format!(
        "m=audio 2000 RTP/AVP 0\na=extmap:3 urn:x\na=extmap:4 urn:y\n\
         m=video 2002 RTP/AVP 96\na=extmap:3 {MID}\n"
    );
    let sdp = Bench::new().sdp(from_a(&lines).with("BUNDLE", strings(&["offer"])));
    let extensions: Vec<&str> = sdp
        .lines()
        .filter_map(|l| l.strip_prefix("a=extmap:"))
        .collect();
    let mid = format!("3 {MID}");
    assert_eq!(extensions, ["4 urn:y", &mid, &mid]);
}

/// §4.4: the offerer's own MID is accepted whatever the answerer knows, and written to it.
#[test]
fn mid_of_an_accepted_bundle_is_answered_and_written() {
    let mid = format!("a=extmap:3 {MID}\n");
    let mut bench = taken_up(&mid);
    let again = bench.sdp(
        offer(&grouped(
            "198.51.100.10",
            &LINES.replace("a=mid", &format!("{mid}a=mid")),
        ))
        .with("to-tag", "T"),
    );
    // Towards the other side it is an extension like any other.
    assert_eq!(again.matches(&mid).count(), 2, "{again}");
    let sdp = bench.sdp(from_b(TWO));
    assert_eq!(sdp.matches(&mid).count(), 2, "{sdp}");
    for (source, name) in [(B_AUDIO, b"a"), (B_VIDEO, b"v")] {
        let sinks = flow_of(&bench, source).sinks;
        let rules = sinks.iter().find_map(|sink| sink.rules.as_deref()).unwrap();
        let written = rules
            .change
            .extensions
            .as_ref()
            .unwrap()
            .mid
            .as_ref()
            .unwrap();
        assert_eq!((written.id, &*written.value), (3, &name[..]));
    }
}

/// §4.1, §4.5: a party that bundles by its own offer is offered its bundle, until it is turned
/// down.
#[test]
fn a_bundling_offerer_is_offered_its_bundle() {
    for (option, bundles) in [("", true), ("reject", false)] {
        let mut bench = taken_up("");
        let mut request = offer(&party("198.51.100.20", TWO));
        request.set("from-tag", "T");
        let mut request = request.with("to-tag", "F");
        if !option.is_empty() {
            request.push("BUNDLE", strings(&[option]));
        }
        let sdp = bench.sdp(request);
        assert_eq!(sdp.contains("\na=group:BUNDLE a v\n"), bundles, "{sdp}");
        assert_eq!(sdp.contains("\na=mid:v\na=bundle-only\n"), bundles, "{sdp}");
        assert_eq!(port(&sdp, 0) == port(&sdp, 1), bundles);
    }
    // An SDP of the party itself ends it as well.
    let mut bench = taken_up("");
    let rejected = offer(&grouped("198.51.100.10", LINES)).with("to-tag", "T");
    bench.sdp(rejected.with("BUNDLE", strings(&["reject"])));
    let sdp = bench.sdp(from_b(TWO));
    assert!(!sdp.contains("a=group"), "{sdp}");
    bench.sdp(offer(&grouped("198.51.100.10", LINES)).with("to-tag", "T"));
    let sdp = bench.sdp(from_b(TWO));
    assert!(!sdp.contains("a=group"), "{sdp}");
}
