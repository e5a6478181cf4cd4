//! Random stories of offers, answers, queries and deletes, told to Debian's rtpengine and to
//! Windlass. Both replies say the same, but for what [`known::KNOWN_DIFFERENCES`] names.
//!
//! rtpengine 10.5 edits the received text in place; Windlass, like later releases, prints a new
//! SDP. So replies are compared as facts (`picture`), not as text.
//!
//! An excuse is checked like everything else: it applies only where both sides say what its reason
//! predicts, and the test fails if it no longer applies in any story. What would differ but is not
//! sent is in [`unsent::NOT_SENT`], which the generator obeys.

mod equal;
mod known;
mod pair;
mod phone;
mod picture;
mod story;
mod topic;
mod unsent;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use windlass_ng::Dict;
use windlass_ng::client::{Client, ClientError, ClientOptions};

use self::known::{Asked, KNOWN_DIFFERENCES, Told};
use self::pair::Pair;
use self::picture::{Picture, Ports};
use self::story::Story;
use crate::common::process::{Process, Relay, free_udp};
use crate::common::{TempDir, has_program, lock_machine, rtpengine, wait_for};

const INTERFACES: [(&str, &str); 3] = [("ext", "127.0.0.1"), ("ext", "::1"), ("int", "127.0.0.2")];

/// Stories that meet every known difference.
const STORIES: u64 = 3000;

/// Stories to tell; a thousand take three seconds.
fn stories() -> u64 {
    std::env::var("WINDLASS_DIFFERENTIAL").map_or(STORIES, |text| text.parse().unwrap())
}

#[test]
fn replies_are_those_of_rtpengine_but_for_known_differences() {
    if !has_program(rtpengine::RTPENGINE) {
        return;
    }
    let _lock = lock_machine();
    let directory = TempDir::new("rtpengine");
    let (_peer, peer_ng) = start_rtpengine(&directory);
    let interfaces: String = INTERFACES
        .iter()
        .map(|(name, address)| {
            format!("[[interface]]\nname = \"{name}\"\naddress = \"{address}\"\n")
        })
        .collect();
    let relay = Relay::start_with(&interfaces, "[ports]\nmin = 20000\nmax = 24999\n");
    let (ours, theirs) = (client(relay.ng), client(peer_ng));
    wait_for("rtpengine", Duration::from_secs(10), || {
        theirs.request(&Dict::new().with("command", "ping")).ok()
    });
    let mut found: BTreeMap<String, Vec<Mismatch>> = BTreeMap::new();
    let mut applied = vec![0_u64; KNOWN_DIFFERENCES.len()];
    let mut clean = 0;
    for seed in 0..stories() {
        // A port that is leased again by chance can look like the same port: told twice.
        let mut attempt = |number| tell(seed, number, [&ours, &theirs], &mut applied);
        let mismatch = attempt(0).and_then(|_| attempt(1));
        match mismatch {
            Some(mismatch) => found.entry(mismatch.kind()).or_default().push(mismatch),
            None => clean += 1,
        }
    }
    for (difference, count) in KNOWN_DIFFERENCES.iter().zip(&applied) {
        println!(
            "{count:5} replies: {} ({})",
            difference.what, difference.why
        );
    }
    println!("{clean} of {} stories without a difference", stories());
    for (kind, mismatches) in &found {
        println!("{} times: {kind}", mismatches.len());
    }
    for mismatches in found.values_mut() {
        mismatches.sort_by_key(|mismatch| mismatch.told.len());
        for mismatch in mismatches.iter().take(4) {
            println!("{}", mismatch.told);
        }
    }
    assert!(found.is_empty(), "left Windlass, right rtpengine");
    // Fewer stories need not meet every difference.
    if stories() >= STORIES {
        let stale = KNOWN_DIFFERENCES.iter().zip(&applied);
        let stale: Vec<_> = stale.filter(|(_, count)| **count == 0).collect();
        let stale: Vec<_> = stale
            .iter()
            .map(|(difference, _)| difference.what)
            .collect();
        assert!(stale.is_empty(), "stale excuses: {stale:#?}");
    }
    assert_eq!(relay.leased_ports(), 0);
}

/// A reply that was not the same.
struct Mismatch {
    told: String,
    differences: Vec<String>,
}

impl Mismatch {
    /// The first name that differs, to gather what is alike.
    fn kind(&self) -> String {
        let name = self.differences[0].split(": ").next().unwrap();
        name.replace(char::is_numeric, "N")
    }
}

/// Tells one story to both, up to the first difference. Counts the known differences that it met.
fn tell(seed: u64, attempt: usize, relays: [&Client; 2], applied: &mut [u64]) -> Option<Mismatch> {
    let mut story = Story::new(seed, attempt);
    let mut ports = [Ports::default(), Ports::default()];
    let mut told = format!("seed {seed} {:?}\n", story.topics);
    let mut past: Vec<Told> = Vec::new();
    let mut mismatch = None;
    for step in 0..story.length() {
        let request = story.next();
        let replies = relays.map(|relay| relay.request(&request));
        told.push_str(&describe(&request, &replies));
        let [our_reply, their_reply] = replies;
        if let Ok(reply) = &our_reply {
            story.hear(&request, reply);
        }
        let mut pair = Pair {
            ours: Picture::of(our_reply, step, &mut ports[0]),
            theirs: Picture::of(their_reply, step, &mut ports[1]),
            renamed: Vec::new(),
        };
        let [ours, theirs] = [&pair.ours, &pair.theirs].map(Clone::clone);
        let asked = Asked {
            request: &request,
            topics: &story.topics,
            unanswered: story.unanswered,
            relays_ice: story.relays_ice(),
            step,
            past: &past,
        };
        for (difference, count) in KNOWN_DIFFERENCES.iter().zip(applied.iter_mut()) {
            let before = pair.differences().len();
            if before == 0 {
                break;
            }
            (difference.equalise)(&asked, &mut pair);
            *count += u64::from(pair.differences().len() < before);
        }
        let differences = pair.differences();
        for (line, from, to) in pair.renamed {
            ports[1].rename(line, &from, &to);
        }
        past.push(Told {
            request,
            ours,
            theirs,
        });
        if !differences.is_empty() {
            told.push_str(&format!("=> {}\n", differences.join("\n=> ")));
            mismatch = Some(Mismatch {
                told: std::mem::take(&mut told),
                differences,
            });
        }
        if mismatch.is_some() || story.is_over() {
            break;
        }
    }
    for relay in relays {
        let _ = relay.request(&story.delete(0));
    }
    mismatch
}

fn client(address: SocketAddr) -> Client {
    let options = ClientOptions {
        tries: 1,
        interval: Duration::from_secs(3),
    };
    Client::connect(address, options).unwrap()
}

fn start_rtpengine(directory: &TempDir) -> (Process, SocketAddr) {
    let ng = free_udp("127.0.0.1");
    let mut more = vec!["--port-min=25000".to_owned(), "--port-max=29999".to_owned()];
    more.extend(INTERFACES.map(|(name, address)| format!("--interface={name}/{address}")));
    (rtpengine::start(directory, ng, &more), ng)
}

fn describe(request: &Dict, replies: &[Result<Dict, ClientError>; 2]) -> String {
    let mut text = String::from("---");
    for (key, value) in request.iter().filter(|(key, _)| *key != b"sdp") {
        let mut json = Vec::new();
        value.write_json(&mut json);
        let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(&json));
        text.push_str(&format!(" {key}={value}"));
    }
    text.push('\n');
    let columns = [
        request.get_str("sdp"),
        replies[0]
            .as_ref()
            .ok()
            .and_then(|reply| reply.get_str("sdp")),
        replies[1]
            .as_ref()
            .ok()
            .and_then(|reply| reply.get_str("sdp")),
    ];
    for (title, column) in ["sent", "Windlass", "rtpengine"].iter().zip(columns) {
        for line in column.unwrap_or_default().lines() {
            text.push_str(&format!("    {title:9} {line}\n"));
        }
    }
    text
}
