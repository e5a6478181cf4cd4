//! Headers that do not cross (spec §5).

use super::*;
use crate::config::{CORE, StripConfig, Trust};
use crate::guard::{PeerConfig, ScreenConfig};

fn strips(inward: &[&str], outward: &[&str]) -> StripConfig {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    StripConfig {
        inward: texts(inward),
        outward: texts(outward),
    }
}

const IDENTITIES: &str = "P-Asserted-Identity: <sip:1@x.example>\r\nP-Preferred-Identity: <sip:1@x.example>\r\n\
     Remote-Party-ID: <sip:1@x.example>;party=calling\r\np-charging-vector: icid-value=1\r\n\
     P-Charging-Function-Addresses: ccf=x\r\nX-Account: 7\r\nOrganization: O\r\n";

/// Which of the headers in question a message has.
fn left(sent: &Sent) -> Vec<&'static str> {
    let names = [
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "P-Charging-Vector",
        "P-Charging-Function-Addresses",
        "X-Account",
        "Organization",
    ];
    let text = sent.text().to_ascii_lowercase();
    let has = |name: &&str| text.contains(&format!("\r\n{}:", name.to_ascii_lowercase()));
    names.into_iter().filter(has).collect()
}

/// What is left of the headers in an INVITE, and in its answer.
fn crossing(change: impl FnOnce(&mut Config), privacy: &str) -> [Vec<&'static str>; 2] {
    let mut world = World::with(change, &[EDGE]);
    let rows = format!("{IDENTITIES}{privacy}");
    let sent = world.recv(ALICE, &invite_with("alice", &rows));
    assert!(
        sent.len() > 1,
        "{:?}",
        sent.iter().map(Sent::line).collect::<Vec<_>>()
    );
    let invite = forwarded(&sent);
    let extra = format!("{BOB_CONTACT}{rows}");
    let ok = world.recv(BOB, &response(&invite, "200 OK", "b", &extra, "bob"));
    for sent in [&invite, &ok[0]] {
        assert_eq!(sent.all(HeaderId::CallId), ["c1"]);
        assert!(sent.body().starts_with("relayed"), "{}", sent.text());
    }
    [left(&invite), left(&ok[0])]
}

const ALICE_ALONE: &str = "198.51.100.7";

const ALL: [&str; 7] = [
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
    "P-Charging-Vector",
    "P-Charging-Function-Addresses",
    "X-Account",
    "Organization",
];

#[test]
fn identities_of_strangers_are_removed() {
    let [request, response] = crossing(|_| {}, "");
    assert_eq!(request, ["X-Account", "Organization"]);
    assert_eq!(response, ALL, "the upstream is believed");
    let trusted = |config: &mut Config| config.zones[PUBLIC].trust = Trust::Peer;
    assert_eq!(crossing(trusted, ""), [ALL, ALL]);
}

#[test]
fn identity_of_who_wants_privacy_is_not_told_to_strangers() {
    for privacy in ["Privacy: id\r\n", "Privacy: header;ID ;user\r\n"] {
        let [_, response] = crossing(|_| {}, privacy);
        assert_eq!(response, ALL[3..], "{privacy}");
        let trusted = |config: &mut Config| config.zones[PUBLIC].trust = Trust::Peer;
        assert_eq!(crossing(trusted, privacy)[1], ALL);
    }
    let [_, response] = crossing(|_| {}, "Privacy: user;idle\r\n");
    assert_eq!(response, ALL);
}

#[test]
fn zones_and_peers_strip_what_they_are_told_to() {
    let zone = |config: &mut Config| {
        config.zones[PUBLIC].trust = Trust::Peer;
        config.zones[PUBLIC].strip = strips(&["X-*"], &["P-Charging-*", "*-ID"]);
        config.zones[CORE].strip = strips(&["Remote-*"], &["organization"]);
    };
    let [request, response] = crossing(zone, "");
    assert_eq!(request, ALL[..5]);
    assert_eq!(
        response,
        [
            "P-Asserted-Identity",
            "P-Preferred-Identity",
            "X-Account",
            "Organization"
        ]
    );
    let peer = |of_zone: usize, source: &'static str| {
        move |config: &mut Config| {
            config.zones[PUBLIC].trust = Trust::Peer;
            let mut screen = ScreenConfig::default();
            screen.peers.push(PeerConfig {
                name: "carrier".to_owned(),
                zone: Some(of_zone),
                source: vec![source.to_owned()],
                strip: strips(&["X-Account"], &["Organization"]),
                ..PeerConfig::default()
            });
            // It is known, whoever else is.
            screen.peers.push(PeerConfig {
                name: "other".to_owned(),
                source: vec![ALICE_ALONE.to_owned()],
                ..PeerConfig::default()
            });
            config.screen = Some(screen);
        }
    };
    let [request, response] = crossing(peer(PUBLIC, "198.51.100.0/24"), "");
    assert!(!request.contains(&"X-Account") && request.contains(&"Organization"));
    assert!(response.contains(&"X-Account") && !response.contains(&"Organization"));
    for other in [
        peer(PUBLIC, "198.51.101.0/24"),
        peer(CORE, "198.51.100.0/24"),
    ] {
        assert_eq!(crossing(other, ""), [ALL, ALL]);
    }
}

#[test]
fn star_leaves_a_message_whole() {
    let all = |config: &mut Config| {
        config.zones[PUBLIC].strip = strips(&["*"], &["*"]);
    };
    assert_eq!(crossing(all, ""), [Vec::<&str>::new(), Vec::new()]);
}
