//! ng-protocol §8.2: what each ICE mode shows to either party.

use super::*;

const HOST: &str = "198.51.100.10";
const OTHER: &str = "198.51.100.20";

fn ice(host: &str, port: u16) -> String {
    format!(
        "a=ice-ufrag:uuuu\na=ice-pwd:pppppppppppppppppppppp\n\
         a=candidate:1 1 udp 2130706431 {host} {port} typ host\n\
         a=candidate:1 2 udp 2130706430 {host} {} typ host\n",
        port + 1
    )
}

/// What an SDP shows of ICE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Nothing.
    None,
    /// Ours alone.
    Ours,
    /// What the other party said, and ours behind it.
    Both,
    /// What the other party said, and ours behind it as a relay.
    Relay,
    /// The other party's SDP, media address included.
    Theirs,
}

fn shown(sdp: &str) -> Shown {
    let candidates: Vec<&str> = sdp
        .lines()
        .filter(|line| line.starts_with("a=candidate:"))
        .collect();
    let ours = candidates
        .iter()
        .filter(|line| line.contains(" 203.0.113.1 "));
    let theirs = candidates
        .iter()
        .filter(|line| line.contains(" 198.51.100."));
    let relays = candidates.iter().filter(|line| line.contains(" typ relay"));
    let (ours, theirs, relays) = (ours.count(), theirs.count(), relays.count());
    assert_eq!(sdp.contains("a=ice-ufrag:"), ours + theirs > 0, "{sdp}");
    match (ours > 0, theirs > 0) {
        (false, false) if sdp.contains("\nc=IN IP4 198.51.100.") => Shown::Theirs,
        (false, false) => Shown::None,
        (true, false) => Shown::Ours,
        (true, true) if relays > 0 => Shown::Relay,
        _ => Shown::Both,
    }
}

#[test]
fn modes_of_an_offer() {
    use Shown::{Both, None as Nothing, Ours, Relay, Theirs};
    // Mode, the offer has ICE, what the receiver is shown.
    for (mode, offered, expected) in [
        ("", false, Nothing),
        ("", true, Ours),
        ("default", false, Nothing),
        ("default", true, Ours),
        ("remove", false, Nothing),
        ("remove", true, Nothing),
        ("force", false, Ours),
        ("force", true, Ours),
        ("optional", false, Ours),
        ("optional", true, Both),
        ("force-relay", false, Theirs),
        ("force-relay", true, Relay),
        // The last of several.
        ("force,remove", true, Nothing),
        ("remove,force", false, Ours),
    ] {
        let mut bench = Bench::new();
        let lines = if offered {
            ice(HOST, 2000)
        } else {
            String::new()
        };
        let mut request = offer(&audio(HOST, 2000, &lines));
        if !mode.is_empty() {
            request.push("ICE", mode);
        }
        assert_eq!(shown(&bench.sdp(request)), expected, "{mode} {offered}");
    }
}

#[test]
fn what_the_offerer_is_answered() {
    use Shown::{None as Nothing, Ours};
    // Mode of the offer, the offer has ICE, the answer has ICE, mode of the answer, what the
    // offerer is shown.
    for (mode, offered, answered, answer_mode, expected) in [
        ("", true, true, "", Ours),
        ("", true, false, "", Ours),
        ("", false, false, "", Nothing),
        ("remove", true, false, "", Ours),
        ("force", true, true, "", Ours),
        ("force", false, true, "", Nothing),
        ("force", false, true, "force", Nothing),
        ("force", true, true, "remove", Nothing),
        ("remove", true, false, "force", Ours),
    ] {
        let mut bench = Bench::new();
        let lines = |has: bool, host, port| if has { ice(host, port) } else { String::new() };
        let with_mode = |request: Dict, mode: &'static str| match mode {
            "" => request,
            mode => request.with("ICE", mode),
        };
        let offered_sdp = audio(HOST, 2000, &lines(offered, HOST, 2000));
        bench.sdp(with_mode(offer(&offered_sdp), mode));
        let answered_sdp = audio(OTHER, 3000, &lines(answered, OTHER, 3000));
        let text = bench.sdp(with_mode(answer(&answered_sdp), answer_mode));
        let row = (mode, offered, answered, answer_mode);
        assert_eq!(shown(&text), expected, "{row:?}: {text}");
    }
    let mut bench = Bench::new();
    let rejected = offer(&audio(HOST, 2000, &ice(HOST, 2000))).with("ICE", "remove");
    bench.sdp(rejected.with("flags", strings(&["ICE-reject"])));
    assert_eq!(shown(&bench.sdp(answer(&audio(OTHER, 3000, "")))), Nothing);
}

#[test]
fn later_offers_keep_what_is_known_of_the_receiver() {
    use Shown::{Both, None as Nothing, Ours};
    let plain = audio(HOST, 2000, "");
    let with_ice = audio(HOST, 2000, &ice(HOST, 2000));
    // The first offer, its answer has ICE, the later one with its keys, what that shows.
    let rows: [(&str, &'static str, bool, &str, Dict, Shown); 8] = [
        (&with_ice, "", true, &with_ice, Dict::new(), Ours),
        (&with_ice, "", false, &with_ice, Dict::new(), Nothing),
        (
            &with_ice,
            "",
            false,
            &with_ice,
            Dict::new().with("ICE", "force"),
            Ours,
        ),
        (
            &with_ice,
            "",
            false,
            &with_ice,
            Dict::new().with("ICE", "optional"),
            Both,
        ),
        (
            &with_ice,
            "",
            false,
            &with_ice,
            Dict::new().with("flags", strings(&["reset"])),
            Ours,
        ),
        (&plain, "force", true, &plain, Dict::new(), Ours),
        (&plain, "force", false, &plain, Dict::new(), Nothing),
        (&plain, "", false, &with_ice, Dict::new(), Nothing),
    ];
    for (first, mode, answered, second, more, expected) in rows {
        let mut bench = Bench::new();
        let mut request = offer(first);
        if !mode.is_empty() {
            request.push("ICE", mode);
        }
        bench.sdp(request);
        let lines = if answered {
            ice(OTHER, 3000)
        } else {
            String::new()
        };
        bench.sdp(answer(&audio(OTHER, 3000, &lines)));
        let mut request = offer(second).with("to-tag", "T");
        request.extend(more.clone().into_entries());
        let text = bench.sdp(request);
        assert_eq!(shown(&text), expected, "{mode} {answered} {more:?}: {text}");
    }
}

#[test]
fn we_are_lite_where_it_is_asked_for() {
    for (key, value, to_receiver, to_sender) in [
        ("ICE-lite", "off", false, false),
        ("ICE-lite", "forward", true, false),
        ("ICE-lite", "backward", false, true),
        ("ICE-lite", "both", true, true),
        ("ICE", "lite", true, false),
        ("ICE", "lite-fwd", true, false),
        ("ICE", "lite-back", false, true),
        ("ICE", "lite-both", true, true),
        ("ICE", "no-lite", false, false),
    ] {
        let mut bench = Bench::new();
        let request = offer(&audio(HOST, 2000, &ice(HOST, 2000)));
        let text = bench.sdp(request.with(key, value));
        assert_eq!(
            text.contains("\na=ice-lite\n"),
            to_receiver,
            "{key} {value}: {text}"
        );
        let text = bench.sdp(answer(&audio(OTHER, 3000, &ice(OTHER, 3000))));
        assert_eq!(
            text.contains("\na=ice-lite\n"),
            to_sender,
            "{key} {value}: {text}"
        );
    }
}
