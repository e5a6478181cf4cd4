//! sdp-rewriting §4: `o=`, `s=` and the `replace` option, row by row.

use super::sdp_05_ports::OFFER;
use super::*;

const SECOND: &str = "o=carol 2 9 IN IP4 198.51.100.11\ns=other\n";

fn sdp_of(head: &str) -> String {
    format!("v=0\n{head}c=IN IP4 198.51.100.10\nt=0 0\nm=audio 2000 RTP/AVP 8\n")
}

fn first() -> String {
    sdp_of("o=alice 1 5 IN IP4 198.51.100.10\ns=call\n")
}

/// `o=` and `s=` of the two SDPs that a receiver sees after another.
fn heads(replace: &[&str], second: &str) -> [String; 2] {
    let mut bench = Bench::new();
    [first(), sdp_of(second)].map(|sdp| {
        let sdp = bench.sdp(offer(&sdp).with("replace", strings(replace)));
        sdp.lines().skip(1).take(2).collect::<Vec<_>>().join("|")
    })
}

fn replaced(replace: &[&str]) -> [String; 2] {
    heads(replace, SECOND)
}

#[test]
fn without_options_all_is_the_senders() {
    assert_eq!(
        replaced(&[]),
        [
            "o=alice 1 5 IN IP4 198.51.100.10|s=call",
            "o=carol 2 9 IN IP4 198.51.100.11|s=other"
        ]
    );
    // Known to older releases alone.
    assert_eq!(replaced(&["session-connection"]), replaced(&[]));
}

#[test]
fn origin_is_the_address_alone() {
    assert_eq!(
        replaced(&["origin"]),
        [
            "o=alice 1 5 IN IP4 203.0.113.1|s=call",
            "o=carol 2 9 IN IP4 203.0.113.1|s=other"
        ]
    );
}

#[test]
fn username_stays_what_it_was() {
    assert_eq!(
        replaced(&["username"]),
        [
            "o=alice 1 5 IN IP4 198.51.100.10|s=call",
            "o=alice 2 9 IN IP4 198.51.100.11|s=other"
        ]
    );
}

#[test]
fn a_full_origin_stays_but_for_its_version() {
    assert_eq!(
        replaced(&["origin-full"]),
        [
            "o=alice 1 5 IN IP4 203.0.113.1|s=call",
            "o=alice 1 6 IN IP4 203.0.113.1|s=other"
        ]
    );
    let same = "o=carol 2 9 IN IP4 198.51.100.11\ns=call\n";
    assert_eq!(
        heads(&["origin-full"], same)[1],
        "o=alice 1 5 IN IP4 203.0.113.1|s=call"
    );
}

#[test]
fn a_session_name_is_the_first_of_its_sender() {
    assert_eq!(
        replaced(&["session-name"]),
        [
            "o=alice 1 5 IN IP4 198.51.100.10|s=call",
            "o=carol 2 9 IN IP4 198.51.100.11|s=call"
        ]
    );
    // The first, whether or not it was asked for at the time.
    let mut bench = Bench::new();
    bench.sdp(offer(&first()));
    bench.sdp(offer(&sdp_of(SECOND)));
    let third = sdp_of("o=- 1 1 IN IP4 198.51.100.10\ns=third\n");
    let sdp = bench.sdp(offer(&third).with("replace", strings(&["session-name"])));
    assert!(sdp.contains("\ns=call\n"), "{sdp}");
}

#[test]
fn a_version_counts_what_changed() {
    let [one, two] = replaced(&["SDP-version"]);
    assert_eq!(one, "o=alice 1 5 IN IP4 198.51.100.10|s=call");
    assert_eq!(two, "o=carol 2 6 IN IP4 198.51.100.11|s=other");
    // A new version of the sender is no change of its own.
    let same = "o=alice 1 77 IN IP4 198.51.100.10\ns=call\n";
    assert_eq!(heads(&["SDP-version"], same)[1], one);
}

#[test]
fn a_forced_version_is_one_more_than_ours() {
    let [one, two] = replaced(&["force-increment-sdp-ver"]);
    assert_eq!(one, "o=alice 1 5 IN IP4 198.51.100.10|s=call");
    assert_eq!(two, "o=carol 2 6 IN IP4 198.51.100.11|s=other");
}

#[test]
fn each_receiver_has_an_origin_of_its_own() {
    let mut bench = Bench::new();
    let replace = || strings(&["origin-full"]);
    bench.sdp(offer(&first()).with("replace", replace()));
    let reply = "v=0\no=bob 77 3 IN IP4 198.51.100.20\ns=-\nc=IN IP4 198.51.100.20\nt=0 0\n\
        m=audio 3000 RTP/AVP 8\n";
    let sdp = bench.sdp(answer(reply).with("replace", replace()));
    assert!(
        sdp.starts_with("v=0\no=bob 77 3 IN IP4 203.0.113.1\ns=-\n"),
        "{sdp}"
    );
}

#[test]
fn an_address_of_ours_is_that_of_the_first_usable_media() {
    let mut bench = Bench::dual_homed();
    let two = sdp_of("o=alice 1 5 IN IP4 198.51.100.10\ns=-\n")
        .replace("m=audio", "m=video 0 RTP/AVP 96\nm=audio");
    let request = offer(&two)
        .with("direction", strings(&["ext", "int"]))
        .with("replace", strings(&["origin"]))
        .with("media-address", "192.0.2.77");
    let sdp = bench.sdp(request);
    assert!(
        sdp.contains("\no=alice 1 5 IN IP4 198.51.100.99\n"),
        "{sdp}"
    );
}

#[test]
fn without_a_sender_the_origin_is_ours() {
    let mut bench = Bench::new();
    let reply = bench.ask(Dict::new().with("command", "create"));
    let sdp = reply.get_str("sdp").unwrap().replace("\r\n", "\n");
    let lines: Vec<&str> = sdp.lines().collect();
    let origin: Vec<&str> = lines[1].split(' ').collect();
    assert_eq!(origin[0], "o=-");
    assert!(origin[1].parse::<u64>().is_ok() && origin[2].parse::<u64>().is_ok());
    assert_eq!(origin[3..], ["IN", "IP4", "203.0.113.1"]);
    assert_eq!(lines[2..4], ["s=windlass-1", "t=0 0"]);
}

#[test]
fn versions_of_the_example() {
    let version = |bench: &mut Bench, input: &str, replace: &[&str]| {
        let sdp = bench.sdp(offer(input).with("replace", strings(replace)));
        let origin = sdp.lines().nth(1).unwrap().to_owned();
        origin.split(' ').nth(2).unwrap().to_owned()
    };
    let mut bench = Bench::new();
    assert_eq!(version(&mut bench, OFFER, &["SDP-version"]), "1");
    assert_eq!(version(&mut bench, OFFER, &["SDP-version"]), "1");
    let changed = OFFER
        .replace("7027 1 IN", "7027 9 IN")
        .replace("foo:bar", "foo:baz");
    assert_eq!(version(&mut bench, &changed, &["SDP-version"]), "2");
    let again = changed.replace("foo:baz", "foo:qux");
    let forced = ["SDP-version", "force-increment-sdp-ver"];
    assert_eq!(version(&mut bench, &again, &forced), "4");
    assert_eq!(version(&mut Bench::new(), &changed, &[]), "9");
}
