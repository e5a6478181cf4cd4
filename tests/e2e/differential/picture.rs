//! A reply as named facts, so that replies compare by what they say and not by their text.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use windlass_ng::client::ClientError;
use windlass_ng::{Dict, Value};

/// Ports of one relay by line, address and number, named after the place of their first appearance.
#[derive(Default)]
pub(super) struct Ports(HashMap<(usize, SocketAddr), String>);

impl Ports {
    /// Gives what is called `from` on this line the name `to`, which nothing else keeps.
    pub(super) fn rename(&mut self, line: usize, from: &str, to: &str) {
        self.0.retain(|(at, _), name| *at != line || name != to);
        for ((at, _), name) in &mut self.0 {
            if *at == line && name == from {
                to.clone_into(name);
            }
        }
    }

    /// On several addresses ports may by chance have one number. The relays listen on loopback; any
    /// other address is shown in the place of one that is not told, but for its family.
    fn name(&mut self, line: usize, at: SocketAddr, place: impl FnOnce() -> String) -> String {
        if at.port() == 0 {
            return "0".to_owned();
        }
        if let Some(name) = self.0.get(&(line, at)) {
            return name.clone();
        }
        let is_alias = |known: &SocketAddr| {
            let is_shown_for = !at.ip().is_loopback() || !known.ip().is_loopback();
            known.port() == at.port() && known.is_ipv4() == at.is_ipv4() && is_shown_for
        };
        let mut known = self.0.iter();
        let alias = known.find(|((on, known), _)| *on == line && is_alias(known));
        let name = alias.map_or_else(place, |(_, name)| name.clone());
        self.0.insert((line, at), name.clone());
        name
    }
}

/// Facts of a reply by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Picture(pub(super) BTreeMap<String, Vec<String>>);

impl fmt::Debug for Picture {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_map().entries(self.0.iter()).finish()
    }
}

impl Picture {
    pub(super) fn of(reply: Result<Dict, ClientError>, step: usize, ports: &mut Ports) -> Self {
        let mut picture = Self::default();
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                picture.say("error", error.to_string());
                return picture;
            }
        };
        for key in ["result", "warning"] {
            picture.say(key, reply.get_str(key).unwrap_or_default());
        }
        if let Some(sdp) = reply.get_str("sdp") {
            picture.read_sdp(sdp, step, ports);
        }
        if let Some(tags) = reply.get("tags").and_then(Value::as_dict) {
            picture.read_tags(tags, step, ports);
        }
        picture
    }

    fn say(&mut self, name: impl Into<String>, fact: impl Into<String>) {
        self.0.entry(name.into()).or_default().push(fact.into());
    }

    pub(super) fn get(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn set(&mut self, name: &str, facts: &[&str]) {
        let facts = facts.iter().map(|fact| (*fact).to_owned()).collect();
        self.0.insert(name.to_owned(), facts);
    }

    /// Forgets the facts that `is` names.
    pub(super) fn forget(&mut self, is: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| !is(name));
    }

    /// How many m= lines there are.
    pub(super) fn lines(&self) -> usize {
        let is = |name: &&String| name.ends_with(" kind") && name.starts_with("line ");
        self.0.keys().filter(is).count()
    }

    /// What is said otherwise in the other picture, each as `name: left | right`.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<&String> =
            self.0.keys().chain(other.0.keys()).collect();
        names
            .into_iter()
            .filter(|name| self.0.get(*name) != other.0.get(*name))
            .map(|name| format!("{name}: {:?} | {:?}", self.0.get(name), other.0.get(name)))
            .collect()
    }

    fn read_sdp(&mut self, sdp: &str, step: usize, ports: &mut Ports) {
        let mut sections = sdp.split("\r\nm=");
        let session = sections.next().unwrap();
        let mut session_facts: Vec<&str> = Vec::new();
        for line in session.lines() {
            match line.get(..2) {
                Some("o=") => self.say("origin", line),
                Some("s=") => self.say("session name", line),
                Some("a=") => session_facts.push(line),
                _ => {}
            }
        }
        let is_direction = |line: &&str| DIRECTIONS.contains(&line.get(2..).unwrap_or_default());
        let session_direction = session_facts.iter().copied().find(is_direction);
        session_facts.retain(|line| !is_direction(line));
        for fact in session_facts {
            let fact = match fact.starts_with("a=rtpengine:") {
                true => "a=rtpengine",
                false => fact,
            };
            self.say("session attributes", fact);
        }
        let session_address = session.lines().find(|line| line.starts_with("c="));
        for (line, section) in sections.enumerate() {
            let mut media = Media {
                picture: self,
                ports,
                line,
                step,
            };
            media.read(section, session_address, session_direction);
        }
    }

    fn read_tags(&mut self, tags: &Dict, step: usize, ports: &mut Ports) {
        for (tag, party) in tags.iter() {
            let tag = String::from_utf8_lossy(tag).into_owned();
            let party = party.as_dict().unwrap();
            for key in ["tag", "via-branch", "label"] {
                if let Some(text) = party.get_str(key) {
                    self.say(format!("tag {tag} {key}"), text);
                }
            }
            for key in ["subscriptions", "subscribers"] {
                let list = party.get(key).and_then(Value::as_list).unwrap_or_default();
                for entry in list {
                    let entry = entry.as_dict().unwrap();
                    let to = entry.get_str("tag").unwrap_or_default();
                    let kind = entry.get_str("type").unwrap_or_default();
                    self.say(format!("tag {tag} {key}"), format!("{to} {kind}"));
                }
            }
            let medias = party.get("medias").and_then(Value::as_list);
            for (line, media) in medias.unwrap_or_default().iter().enumerate() {
                let media = media.as_dict().unwrap();
                let at = format!("tag {tag} media {line}");
                let index = media.get("index").and_then(Value::as_int);
                self.say(format!("{at} index"), format!("{index:?}"));
                for key in ["type", "protocol"] {
                    let text = media.get_str(key).unwrap_or_default();
                    self.say(format!("{at} {key}"), text);
                }
                let streams = media.get("streams").and_then(Value::as_list);
                let is_open = |stream: &&Value| {
                    let port = stream.as_dict().and_then(|stream| stream.get("local port"));
                    port.and_then(Value::as_int).unwrap_or_default() > 0
                };
                if !streams
                    .unwrap_or_default()
                    .iter()
                    .any(|stream| is_open(&stream))
                {
                    self.say(format!("{at} is"), "closed");
                    continue;
                }
                self.say_flags(&format!("{at} flags"), media);
                for (number, stream) in streams.unwrap_or_default().iter().enumerate() {
                    let stream = stream.as_dict().unwrap();
                    let at = format!("{at} stream {number}");
                    let port = stream.get("local port").and_then(Value::as_int);
                    let port = u16::try_from(port.unwrap_or_default()).unwrap();
                    let family = stream.get_str("family").unwrap_or_default();
                    let unsaid = if family == "IPv6" { "::" } else { "0.0.0.0" };
                    let local = ip(stream.get_str("local address").unwrap_or(unsaid));
                    let local = SocketAddr::new(local, port);
                    let name = ports.name(line, local, || format!("{at} of {step}"));
                    self.say(format!("{at} port"), name);
                    self.say(format!("{at} family"), family);
                    let suite = stream.get_str("crypto suite").unwrap_or_default();
                    self.say(format!("{at} suite"), suite);
                    for key in ["endpoint", "advertised endpoint"] {
                        let Some(end) = stream.get(key).and_then(Value::as_dict) else {
                            continue;
                        };
                        let address = end.get_str("address").unwrap_or_default();
                        let port = end.get("port").and_then(Value::as_int).unwrap_or_default();
                        self.say(format!("{at} {key}"), format!("{address} {port}"));
                    }
                    self.say_flags(&format!("{at} flags"), stream);
                }
            }
        }
    }

    fn say_flags(&mut self, name: &str, of: &Dict) {
        let list = of.get("flags").and_then(Value::as_list).unwrap_or_default();
        let mut flags: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        flags.sort_unstable();
        self.set(name, &flags);
    }
}

/// An address; what is none stands for any.
fn ip(text: &str) -> IpAddr {
    let ip = text.parse();
    ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/// Payload types that need no rtpmap.
const STATIC: [&str; 5] = ["0", "3", "8", "9", "18"];

#[test]
fn ports_of_one_number_on_two_addresses_are_two() {
    let mut ports = Ports::default();
    let mut name = |address: &str, place: &str| {
        let at = SocketAddr::new(ip(address), 20_000);
        ports.name(0, at, || place.to_owned())
    };
    assert_eq!(name("127.0.0.1", "first"), "first");
    assert_eq!(name("::1", "second"), "second");
    assert_eq!(name("127.0.0.2", "third"), "third");
    assert_eq!(name("::", ""), "second");
    assert_eq!(name("::1", ""), "second");
    assert_eq!(name("127.0.0.1", ""), "first");
}

struct Media<'a> {
    picture: &'a mut Picture,
    ports: &'a mut Ports,
    line: usize,
    step: usize,
}

impl Media<'_> {
    fn say(&mut self, name: &str, fact: impl Into<String>) {
        let name = format!("line {} {name}", self.line);
        self.picture.say(name, fact);
    }

    fn port(&mut self, address: IpAddr, text: &str, role: &str) -> String {
        let at = SocketAddr::new(address, text.parse().unwrap());
        let (line, step) = (self.line, self.step);
        self.ports.name(line, at, || format!("{role} of {step}"))
    }

    fn read(&mut self, section: &str, address: Option<&str>, direction: Option<&str>) {
        let mut lines = section.lines();
        let words: Vec<&str> = lines.next().unwrap().splitn(4, ' ').collect();
        self.say("kind", words[0]);
        self.say("protocol", words[2]);
        self.say("formats", words[3]);
        let own = section.lines().find(|line| line.starts_with("c="));
        let shown = own.or(address).unwrap_or_default();
        let at = ip(shown.rsplit(' ').next().unwrap_or_default());
        let port = self.port(at, words[1], "RTP");
        self.say("port", port);
        self.say("address", shown);
        let mut own_direction = None;
        let mut others = Vec::new();
        for attribute in lines.filter_map(|line| line.strip_prefix("a=")) {
            let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            let words: Vec<&str> = value.split(' ').collect();
            match name {
                _ if DIRECTIONS.contains(&name) => own_direction = Some(attribute),
                "rtcp" => {
                    let at = words.get(3).map_or(at, |address| ip(address));
                    let port = self.port(at, words[0], "RTCP");
                    self.say("rtcp", format!("{port} {}", words[1..].join(" ")));
                }
                "crypto" => {
                    let parameters = words[3..].join(" ");
                    let more: String = words[2].split_inclusive('|').skip(1).collect();
                    let key = format!("{} {} {more} {parameters}", words[0], words[1]);
                    self.say("crypto", key.trim_end());
                }
                "setup" => self.say("setup", value),
                "fingerprint" => self.say("fingerprint", words[0]),
                "tls-id" | "ice-ufrag" | "ice-pwd" => self.say(name, value.len().to_string()),
                "candidate" => {
                    let role = format!("candidate {} {}", words[1], words[4]);
                    let port = self.port(ip(words[4]), words[5], &role);
                    let rport = |word: &&&str| word.parse::<u16>().is_err();
                    let more: Vec<&str> = words[6..].iter().filter(rport).copied().collect();
                    let rest = format!("{} {} {}", words[3], words[4], more.join(" "));
                    self.say("candidates", format!("{} {rest} {port}", words[1]));
                }
                "rtpmap" if STATIC.contains(&words[0]) => {}
                "rtcp-mux" | "mid" | "ptime" | "ice-options" | "end-of-candidates" => {
                    self.say(name, format!("[{value}]"));
                }
                _ => others.push(attribute.to_owned()),
            }
        }
        let direction =
            own_direction.or_else(|| direction.and_then(|line| line.strip_prefix("a=")));
        self.say("direction", direction.unwrap_or("sendrecv"));
        others.sort();
        let name = format!("line {} attributes", self.line);
        self.picture.0.insert(name, others);
    }
}
