//! SDP without what every relay draws for itself: its addresses, ports, keys and numbers become
//! names. Two relays that did the same have the same text then.

use std::collections::HashMap;

use windlass_sdp::Codec;

use crate::limits::SHADOW_NAMES;

/// What relays draw for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Address,
    Port,
    Key,
    Fingerprint,
    Credential,
    Origin,
    Version,
    Foundation,
    Mark,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Port => "port",
            Self::Key => "key",
            Self::Fingerprint => "fingerprint",
            Self::Credential => "credential",
            Self::Origin => "origin",
            Self::Version => "version",
            Self::Foundation => "foundation",
            Self::Mark => "mark",
        }
    }
}

/// The names of one relay in one call. A name is a number, given in the order of appearance, so that
/// the same port has the same name in a later SDP, and another one another.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    known: HashMap<(Kind, String), usize>,
}

impl Names {
    /// The SDP that a relay printed for one that it got; what stands in the latter is not its own.
    pub(super) fn plain(&mut self, said: &str, printed: &str) -> String {
        let mut addresses = Addresses {
            said: said.lines().flat_map(addresses_of).collect(),
            section: None,
        };
        let mut text = String::with_capacity(printed.len());
        for (index, section) in spelled_out(printed).iter().enumerate() {
            let address = section
                .iter()
                .find(|line| line.starts_with("c="))
                .and_then(|line| line.split(' ').nth(2).map(str::to_owned));
            addresses.section = address.filter(|_| index > 0);
            for line in section {
                text.push_str(&self.line(said, line, &addresses));
                text.push('\n');
            }
        }
        text
    }

    fn line(&mut self, said: &str, line: &str, addresses: &Addresses<'_>) -> String {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let name = line.split([':', '=']).next().unwrap_or_default();
        match (name, line.strip_prefix("a=")) {
            ("o", _) => self.origin(said, &mut words, addresses),
            ("c", _) => {
                if let Some(address) = words.get_mut(2) {
                    self.address(address, addresses);
                }
            }
            ("m", _) => {
                if let Some(port) = words.get_mut(1)
                    && addresses.are_own()
                {
                    self.rename(Kind::Port, port);
                }
            }
            (_, Some(attribute)) => self.attribute(said, attribute, &mut words, addresses),
            _ => {}
        }
        words.join(" ")
    }

    fn origin(&mut self, said: &str, words: &mut [String], addresses: &Addresses<'_>) {
        let theirs = said.lines().find(|line| line.starts_with("o="));
        let theirs: Vec<&str> = theirs.unwrap_or_default().split(' ').collect();
        let kinds = [Kind::Origin, Kind::Origin, Kind::Version];
        for (at, (word, kind)) in words.iter_mut().zip(kinds).enumerate() {
            if theirs.get(at) != Some(&word.as_str()) {
                self.rename(kind, word);
            }
        }
        if let Some(address) = words.get_mut(5) {
            self.address(address, addresses);
        }
    }

    fn attribute(
        &mut self,
        said: &str,
        attribute: &str,
        words: &mut [String],
        addresses: &Addresses<'_>,
    ) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let first = |words: &mut [String], value: String| {
            if let Some(word) = words.first_mut() {
                *word = format!("a={name}:{value}");
            }
        };
        match name {
            "rtcp" => {
                let address = words.get(3).or(addresses.section.as_ref());
                let is_own = address.is_some_and(|address| addresses.is_own(address));
                if is_own {
                    let mut port = value.split(' ').next().unwrap_or_default().to_owned();
                    self.rename(Kind::Port, &mut port);
                    first(words, port);
                }
                if let Some(address) = words.get_mut(3) {
                    self.address(address, addresses);
                }
            }
            "candidate" => {
                let is_own = words.get(4).is_some_and(|word| addresses.is_own(word));
                if !is_own {
                    return;
                }
                let mut foundation = value.split(' ').next().unwrap_or_default().to_owned();
                self.rename(Kind::Foundation, &mut foundation);
                first(words, foundation);
                for (at, kind) in [(4, Kind::Address), (5, Kind::Port)] {
                    if let Some(word) = words.get_mut(at) {
                        self.rename(kind, word);
                    }
                }
                // A related address, for relayed and reflexive ones.
                if let Some(at) = words.iter().position(|word| word == "raddr")
                    && let Some(word) = words.get_mut(at + 1)
                {
                    self.address(word, addresses);
                }
            }
            // Keys of the parties are named, too: what is compared here is written into a file.
            "crypto" => {
                for word in words.iter_mut() {
                    let Some((method, rest)) = word.split_once(':') else {
                        continue;
                    };
                    if method.eq_ignore_ascii_case("inline") {
                        let (key, more) = match rest.split_once('|') {
                            Some((key, more)) => (key, format!("|{more}")),
                            None => (rest, String::new()),
                        };
                        let mut key = key.to_owned();
                        self.secret(Kind::Key, said, &mut key);
                        *word = format!("inline:{key}{more}");
                    }
                }
            }
            "ice-ufrag" | "ice-pwd" => {
                let mut value = value.to_owned();
                self.secret(Kind::Credential, said, &mut value);
                first(words, value);
            }
            "fingerprint" => {
                if let Some(word) = words.get_mut(1)
                    && !said.contains(word.as_str())
                {
                    self.rename(Kind::Fingerprint, word);
                }
            }
            "tls-id" | "rtpengine" if !said.contains(value) => {
                let mut value = value.to_owned();
                self.rename(Kind::Mark, &mut value);
                first(words, value);
            }
            _ => {}
        }
    }

    fn address(&mut self, word: &mut String, addresses: &Addresses<'_>) {
        if addresses.is_own(word) {
            self.rename(Kind::Address, word);
        }
    }

    fn secret(&mut self, kind: Kind, said: &str, word: &mut String) {
        if said.contains(word.as_str()) {
            *word = format!("<{} of the sender>", kind.word());
        } else {
            self.rename(kind, word);
        }
    }

    /// 0 means refused and 9 unknown yet; they are nobody's.
    fn rename(&mut self, kind: Kind, word: &mut String) {
        if kind == Kind::Port && matches!(word.as_str(), "0" | "9") {
            return;
        }
        let next = 1 + self
            .known
            .keys()
            .filter(|(known, _)| *known == kind)
            .count();
        let is_full = self.known.len() >= SHADOW_NAMES;
        let key = (kind, std::mem::take(word));
        let number = match self.known.get(&key) {
            Some(&number) => number,
            // Beyond the bound all have one name.
            None if is_full => 0,
            None => *self.known.entry(key).or_insert(next),
        };
        *word = format!("<{} {number}>", kind.word());
    }
}

/// The lines of an SDP by section, with what the format leaves unsaid: the address and the direction
/// of the session stand in each media (RFC 8866 §5.7, §6.7), and static payload types have their
/// `a=rtpmap` (RFC 3551 §6). Some relays print these, others do not.
fn spelled_out(printed: &str) -> Vec<Vec<String>> {
    const DIRECTIONS: [&str; 4] = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
    let mut sections: Vec<Vec<String>> = vec![Vec::new()];
    for line in printed.lines().filter(|line| !line.is_empty()) {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line.trim_end().to_owned());
        }
    }
    let Some((session, medias)) = sections.split_first_mut() else {
        return sections;
    };
    let is_direction = |line: &str| DIRECTIONS.contains(&line);
    let take = |lines: &mut Vec<String>, is_it: &dyn Fn(&str) -> bool| {
        let at = lines.iter().position(|line| is_it(line))?;
        Some(lines.remove(at))
    };
    let address = take(session, &|line| line.starts_with("c="));
    let direction = take(session, &is_direction);
    for media in medias {
        if !media.iter().any(|line| line.starts_with("c="))
            && let Some(address) = &address
        {
            media.insert(media.len().min(1), address.clone());
        }
        if !media.iter().any(|line| is_direction(line)) {
            media.push(direction.as_deref().unwrap_or("a=sendrecv").to_owned());
        }
        let types: Vec<u8> = media
            .first()
            .filter(|line| line.contains(" RTP/") || line.contains("/RTP/"))
            .map(|line| {
                line.split(' ')
                    .skip(3)
                    .filter_map(|word| word.parse().ok())
                    .collect()
            })
            .unwrap_or_default();
        for payload_type in types {
            let begin = format!("a=rtpmap:{payload_type} ");
            if !media.iter().any(|line| line.starts_with(&begin))
                && let Some(encoding) = assigned(payload_type)
            {
                media.push(format!("{begin}{encoding}"));
            }
        }
    }
    sections
}

/// What RFC 3551 §6 assigns a payload type to, as `a=rtpmap` writes it.
fn assigned(payload_type: u8) -> Option<String> {
    let codec = Codec::from_payload_type(payload_type);
    let name = codec.name.as_str_lossy();
    let channels = codec.channels.map(|channels| format!("/{channels}"));
    let channels = channels.unwrap_or_default();
    (!name.is_empty()).then(|| format!("{name}/{}{channels}", codec.clock_rate))
}

/// Whose address is whose.
struct Addresses<'a> {
    said: Vec<&'a str>,
    section: Option<String>,
}

impl Addresses<'_> {
    /// Whether an address is the relay's: its sender did not name it.
    fn is_own(&self, address: &str) -> bool {
        !matches!(address, "0.0.0.0" | "::") && !self.said.contains(&address)
    }

    /// Whether the media of this section go to the relay.
    fn are_own(&self) -> bool {
        self.section
            .as_ref()
            .is_none_or(|address| self.is_own(address))
    }
}

/// The addresses in a line of SDP.
fn addresses_of(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(' ');
    words.filter(|word| {
        let address = word.split('/').next().unwrap_or_default();
        address.parse::<std::net::IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "v=0\no=a 1 2 IN IP4 198.51.100.1\ns=-\nc=IN IP4 198.51.100.1\nt=0 0\n\
        m=audio 4000 RTP/SAVP 8\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:THEIRS|2^31\n";

    fn printed(port: u16, address: &str, key: &str) -> String {
        format!(
            "v=0\no=a 1 2 IN IP4 {address}\ns=-\nt=0 0\nm=audio {port} RTP/SAVP 8\n\
             c=IN IP4 {address}\na=rtcp:{}\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\n\
             a=candidate:abc 1 UDP 2130706431 {address} {port} typ host\n",
            port + 1
        )
    }

    #[test]
    fn what_two_relays_draw_is_the_same() {
        let mut one = Names::default();
        let mut two = Names::default();
        let first = one.plain(SAID, &printed(30_000, "192.0.2.1", "OURS"));
        let second = two.plain(SAID, &printed(40_000, "203.0.113.9", "OTHER"));
        assert_eq!(first, second);
        assert!(first.contains("m=audio <port 1> RTP/SAVP 8"), "{first}");
        assert!(first.contains("a=rtcp:<port 2>"), "{first}");
        assert!(first.contains("inline:<key 1>|2^31"), "{first}");
        assert!(first.contains(" <address 1> <port 1> typ host"), "{first}");
    }

    #[test]
    fn another_port_in_a_later_sdp_is_another() {
        let mut names = Names::default();
        let first = names.plain(SAID, &printed(30_000, "192.0.2.1", "K"));
        assert_eq!(names.plain(SAID, &printed(30_000, "192.0.2.1", "K")), first);
        let moved = names.plain(SAID, &printed(30_010, "192.0.2.1", "K"));
        assert!(moved.contains("m=audio <port 3> "), "{moved}");
    }

    #[test]
    fn what_the_sender_wrote_stays_but_for_keys() {
        let mut names = Names::default();
        let same = names.plain(SAID, SAID);
        assert!(same.contains("c=IN IP4 198.51.100.1\n"), "{same}");
        assert!(same.contains("m=audio 4000 "), "{same}");
        assert!(!same.contains("THEIRS"), "{same}");
        let refused = names.plain(SAID, "v=0\nm=audio 0 RTP/AVP 8\nc=IN IP4 0.0.0.0\n");
        assert!(refused.contains("m=audio 0 RTP/AVP 8\nc=IN IP4 0.0.0.0\n"));
    }

    #[test]
    fn what_an_sdp_leaves_unsaid_is_no_difference() {
        let head = "v=0\no=a 1 2 IN IP4 192.0.2.1\ns=-\n";
        let short =
            format!("{head}c=IN IP4 192.0.2.1\nt=0 0\na=recvonly\nm=audio 4 RTP/AVP 8 101\n");
        let long = format!(
            "{head}t=0 0\nm=audio 4 RTP/AVP 8 101\nc=IN IP4 192.0.2.1\na=recvonly\n\
             a=rtpmap:8 PCMA/8000\n"
        );
        let plain = |printed: &str| Names::default().plain("", printed);
        assert_eq!(plain(&short), plain(&long));
        assert_ne!(plain(&long), plain(&long.replace("a=recvonly\n", "")));
    }

    #[test]
    fn names_are_bounded() {
        let mut names = Names::default();
        for port in 1..60_000 {
            let _ = names.plain("", &format!("m=audio {port} RTP/AVP 8\n"));
        }
        assert!(names.known.len() <= SHADOW_NAMES);
    }
}
