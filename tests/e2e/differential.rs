//! The same random offers, answers and deletes to Debian's rtpengine and to Windlass: the same
//! replies, but for what [`KNOWN_DIFFERENCES`] names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use windlass_ng::client::{Client, ClientError, ClientOptions};
use windlass_ng::{Dict, Value};

use crate::common::process::{Process, Relay, free_udp};
use crate::common::{TempDir, has_program, lock_machine, wait_for};

const RTPENGINE: &str = "/usr/bin/rtpengine";

/// What differs on purpose, and how it is made equal before comparing. rtpengine 10.5 edits the
/// received text in place; Windlass, like later releases, prints a new SDP.
const KNOWN_DIFFERENCES: &[(&str, &str)] = &[
    (
        "c= stands per media, not per session",
        "the effective address of each media is compared",
    ),
    ("order of attributes", "they are sorted"),
    (
        "static payload types get an rtpmap",
        "rtpmaps of static payload types are left out",
    ),
    (
        "a missing direction is printed as a=sendrecv",
        "a=sendrecv is left out",
    ),
    (
        "b= and unknown session attributes keep other places",
        "only media attributes are compared",
    ),
    (
        "a rejected media keeps its attributes",
        "of a rejected media only kind and port count",
    ),
    (
        "an SDP of rejected medias only is refused",
        "such SDPs are not sent",
    ),
    (
        "a changed endpoint gets new ports at once",
        "endpoints of a leg do not change",
    ),
];

/// Sequences of commands; a few hundred take some seconds.
fn sequences() -> u64 {
    std::env::var("WINDLASS_DIFFERENTIAL").map_or(300, |text| text.parse().unwrap())
}

#[test]
fn replies_are_those_of_rtpengine_but_for_known_differences() {
    if !has_program(RTPENGINE) {
        return;
    }
    let _lock = lock_machine();
    for (difference, normalised) in KNOWN_DIFFERENCES {
        println!("known difference: {difference} ({normalised})");
    }
    let relay = Relay::start("[ports]\nmin = 20000\nmax = 24999\n");
    let peer_ng = free_udp("127.0.0.1");
    let directory = TempDir::new("rtpengine");
    let mut command = Command::new(RTPENGINE);
    command.args([
        "--config-file=none",
        "--table=-1",
        "--foreground",
        "--log-stderr",
    ]);
    command.args([
        "--interface=127.0.0.1",
        "--port-min=25000",
        "--port-max=29999",
    ]);
    command.arg(format!("--listen-ng={peer_ng}"));
    let _peer = Process::start(command, &directory.path().join("log"));
    let client = |address: SocketAddr| {
        let options = ClientOptions {
            tries: 1,
            interval: Duration::from_secs(3),
        };
        Client::connect(address, options).unwrap()
    };
    let (ours, theirs) = (client(relay.ng), client(peer_ng));
    wait_for("rtpengine", Duration::from_secs(10), || {
        theirs.request(&Dict::new().with("command", "ping")).ok()
    });
    for seed in 0..sequences() {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut story = Story::new(seed);
        let mut ports = [Ports::default(), Ports::default()];
        let mut told = String::new();
        for _ in 0..rng.random_range(2..10) {
            let request = story.next(&mut rng);
            told.push_str(&format!("{}\n", describe(&request)));
            let [our_ports, their_ports] = &mut ports;
            let ours = normalise(ours.request(&request), our_ports);
            let theirs = normalise(theirs.request(&request), their_ports);
            assert_eq!(
                ours, theirs,
                "left Windlass, right rtpengine; seed {seed}:\n{told}"
            );
        }
        for client in [&ours, &theirs] {
            let _ = client.request(&story.delete(0));
        }
    }
    assert_eq!(relay.leased_ports(), 0);
}

/// One call as a proxy would tell it.
struct Story {
    id: String,
    answered: bool,
    offerer: &'static str,
    /// Media lines of the last offer.
    lines: usize,
    has_offer: bool,
    replaces_origin: bool,
}

impl Story {
    fn new(seed: u64) -> Self {
        Self {
            id: format!("story-{seed}"),
            answered: false,
            offerer: "F",
            lines: 1,
            has_offer: false,
            replaces_origin: seed.is_multiple_of(2),
        }
    }

    fn next(&mut self, rng: &mut StdRng) -> Dict {
        match rng.random_range(0..10) {
            _ if !self.has_offer && rng.random_range(0..8) > 0 => self.offer(rng),
            0..=3 => self.offer(rng),
            4..=7 => self.answer(rng),
            8 => {
                let unknown = rng.random_range(0..3) == 0;
                if unknown {
                    return Dict::new()
                        .with("call-id", "nobody")
                        .with("from-tag", "F")
                        .with("command", "delete");
                }
                // Pending: the next offer or answer takes it back.
                self.delete(30)
            }
            _ => Dict::new().with("command", "ping"),
        }
    }

    fn offer(&mut self, rng: &mut StdRng) -> Dict {
        // Within a dialogue either party may offer.
        if self.answered && rng.random_range(0..3) == 0 {
            self.offerer = if self.offerer == "F" { "T" } else { "F" };
        }
        let other = if self.offerer == "F" { "T" } else { "F" };
        self.lines = self.lines.max(rng.random_range(1..3));
        let mut request = Dict::new()
            .with("sdp", self.sdp(self.offerer, rng, true))
            .with("call-id", self.id.as_str())
            .with("from-tag", self.offerer);
        if self.answered {
            request.push("to-tag", other);
        }
        if self.replaces_origin {
            request.push("replace", Value::List(vec![Value::from("origin")]));
        }
        self.has_offer = true;
        request.with("command", "offer")
    }

    fn answer(&mut self, rng: &mut StdRng) -> Dict {
        let other = if self.offerer == "F" { "T" } else { "F" };
        self.answered |= self.has_offer;
        let mut request = Dict::new();
        if self.replaces_origin {
            request.push("replace", Value::List(vec![Value::from("origin")]));
        }
        request
            .with("sdp", self.sdp(other, rng, false))
            .with("call-id", self.id.as_str())
            .with("from-tag", self.offerer)
            .with("to-tag", other)
            .with("command", "answer")
    }

    fn delete(&self, delay: i64) -> Dict {
        Dict::new()
            .with("call-id", self.id.as_str())
            .with("from-tag", "F")
            .with("delete-delay", Value::Int(delay))
            .with("flags", Value::List(vec![Value::from("fast")]))
            .with("command", "delete")
    }

    fn sdp(&self, tag: &str, rng: &mut StdRng, is_offer: bool) -> String {
        let (host, port) = if tag == "F" {
            ("198.51.100.10", 4000)
        } else {
            ("198.51.100.20", 6000)
        };
        let direction = [
            "",
            "",
            "a=sendrecv\r\n",
            "a=sendonly\r\n",
            "a=recvonly\r\n",
            "a=inactive\r\n",
        ];
        let mut text =
            format!("v=0\r\no={tag} 1 1 IN IP4 {host}\r\ns=call\r\nc=IN IP4 {host}\r\nt=0 0\r\n");
        for line in 0..self.lines {
            let direction = direction.choose(rng).unwrap();
            let at = port + 2 * line;
            if line == 0 {
                let formats = if is_offer { "8 0 101" } else { "8 101" };
                text.push_str(&format!(
                    "m=audio {at} RTP/AVP {formats}\r\na=rtpmap:101 telephone-event/8000\r\n\
                     a=fmtp:101 0-15\r\n{direction}"
                ));
            } else {
                let at = if rng.random_range(0..6) == 0 { 0 } else { at };
                text.push_str(&format!(
                    "m=video {at} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
                     a=fmtp:96 packetization-mode=1\r\na=foo:bar\r\n{direction}"
                ));
            }
        }
        text
    }
}

fn describe(request: &Dict) -> String {
    let command = request.get_str("command").unwrap_or_default();
    let tag = request.get_str("from-tag").unwrap_or_default();
    let sdp = request.get_str("sdp").unwrap_or_default();
    let lines: Vec<&str> = sdp
        .lines()
        .filter(|line| line.starts_with("m=") || line.starts_with("a=") && line.contains("ly"))
        .collect();
    format!("{command} from {tag}: {lines:?}")
}

/// Ports of one relay in the order of their appearance.
#[derive(Default)]
struct Ports(BTreeMap<u16, usize>);

impl Ports {
    fn name(&mut self, port: u16) -> String {
        let next = self.0.len();
        match port {
            0 => "0".to_owned(),
            port => format!("PORT{}", self.0.entry(port).or_insert(next)),
        }
    }
}

/// A reply, as far as it is to be the same.
fn normalise(reply: Result<Dict, ClientError>, ports: &mut Ports) -> Vec<String> {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return vec![error.to_string()],
    };
    let mut out = Vec::new();
    for key in ["result", "warning"] {
        out.push(format!("{key}: {:?}", reply.get_str(key)));
    }
    let Some(sdp) = reply.get_str("sdp") else {
        return out;
    };
    let mut sections = sdp.split("\r\nm=");
    let session = sections.next().unwrap();
    out.extend(
        session
            .lines()
            .filter(|l| l.starts_with("o=") || l.starts_with("s="))
            .map(str::to_owned),
    );
    let session_address = session.lines().find(|line| line.starts_with("c="));
    for section in sections {
        let mut lines = section.lines();
        let mut words = lines.next().unwrap().splitn(4, ' ');
        let kind = words.next().unwrap();
        let port: u16 = words.next().unwrap().parse().unwrap();
        if port == 0 {
            out.push(format!("m={kind} 0"));
            continue;
        }
        let rest: Vec<&str> = words.collect();
        // Video may be turned down and come back.
        let mut name = |port| match kind {
            "audio" => ports.name(port),
            _ => "PORT".to_owned(),
        };
        out.push(format!("m={kind} {} {}", name(port), rest.join(" ")));
        let own = section.lines().find(|line| line.starts_with("c="));
        out.push(own.or(session_address).unwrap_or("no address").to_owned());
        let mut attributes: Vec<String> = lines
            .filter(|line| line.starts_with("a=") && *line != "a=sendrecv")
            .filter(|line| !line.starts_with("a=rtpmap:8 ") && !line.starts_with("a=rtpmap:0 "))
            .map(|line| match line.strip_prefix("a=rtcp:") {
                Some(rtcp) => {
                    let port = rtcp.split(' ').next().unwrap().parse().unwrap();
                    format!("a=rtcp:{}", name(port))
                }
                None => line.to_owned(),
            })
            .collect();
        attributes.sort();
        out.extend(attributes);
    }
    out
}
