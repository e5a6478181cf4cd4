//! What the proxy modules send, replayed: see `tests/fixtures/proxies/README.md`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use windlass::call::{CallPicture, Now};
use windlass::config::{Config, Flags};
use windlass::explain::{Explainer, read};
use windlass_ng::{Dict, Templates, read_request};

const INTERFACES: [&str; 3] = [
    "ext/203.0.113.1",
    "ext/2001:db8::1",
    "int/192.0.2.10!198.51.100.99",
];

fn fixtures() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/proxies");
    let files = std::fs::read_dir(directory).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

#[test]
fn replies_and_state_are_as_expected() {
    let mut failures = String::new();
    for path in fixtures() {
        let input = std::fs::read(&path).unwrap();
        for failure in Replay::new().run(&input) {
            failures.push_str(&format!("{}: {failure}\n", path.display()));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn explain_takes_every_fixture() {
    for path in fixtures() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        command.arg("explain").arg(&path);
        for interface in INTERFACES {
            command.args(["--interface", interface]);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let input = std::fs::read_to_string(&path).unwrap();
        let is_refused = input.contains("\n#= error ");
        assert_eq!(output.status.success(), !is_refused, "{path:?}\n{text}");
        assert_eq!(text.contains("\nrefused: "), is_refused, "{path:?}\n{text}");
    }
}

/// One fixture on one relay.
struct Replay {
    explainer: Explainer,
    /// The SDP of every reply so far.
    sdps: Vec<String>,
}

/// What a request left behind.
struct Outcome<'a> {
    reply: Dict,
    call: Option<CallPicture>,
    ignored: Vec<String>,
    sdps: &'a [String],
    leased: usize,
}

impl Replay {
    fn new() -> Self {
        let flags = Flags {
            interface: INTERFACES.map(|text| text.parse().unwrap()).to_vec(),
            ..Flags::default()
        };
        let config = Config::load(None, &flags).unwrap();
        let now = Now {
            instant: Instant::now(),
            unix: Duration::from_secs(1_700_000_000),
        };
        Self {
            explainer: Explainer::new(&config, now).unwrap(),
            sdps: Vec::new(),
        }
    }

    /// What is not as it was expected.
    fn run(mut self, input: &[u8]) -> Vec<String> {
        let messages = read::messages(input).unwrap();
        let text = String::from_utf8_lossy(input);
        let expectations: Vec<(usize, &str)> = text
            .lines()
            .enumerate()
            .filter_map(|(index, line)| Some((index + 1, line.strip_prefix("#= ")?)))
            .collect();
        let mut failures = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            let next = messages.get(index + 1).map_or(usize::MAX, |next| next.line);
            let (request, _) = read_request(message.payload, &Templates::new());
            let request = request.unwrap();
            let explained = self.explainer.explain(message);
            let sdp = explained.reply.get_str("sdp").unwrap_or_default();
            self.sdps.push(sdp.to_owned());
            let calls = self.explainer.calls();
            let now = self.explainer.now();
            let outcome = Outcome {
                reply: explained.reply,
                call: request.call_id.and_then(|id| calls.picture(&id, now)),
                ignored: request.ignored.into_iter().map(|e| e.text).collect(),
                sdps: &self.sdps,
                leased: leased(&self.explainer),
            };
            let own = expectations
                .iter()
                .filter(|(line, _)| (message.line..next).contains(line));
            assert!(
                own.clone().count() > 0,
                "request {} expects nothing",
                index + 1
            );
            for (line, expected) in own {
                if let Err(is) = outcome.check(expected) {
                    failures.push(format!("line {line}: expected {expected}, but: {is}"));
                }
            }
        }
        failures
    }
}

fn leased(explainer: &Explainer) -> usize {
    let mut pools = Vec::new();
    for address in explainer.calls().interfaces().addresses() {
        if !pools
            .iter()
            .any(|known| std::sync::Arc::ptr_eq(known, &address.pool))
        {
            pools.push(address.pool.clone());
        }
    }
    pools.iter().map(|pool| pool.used()).sum()
}

impl Outcome<'_> {
    /// `Err` says what is, where it is not what was expected.
    fn check(&self, expected: &str) -> Result<(), String> {
        let words: Vec<&str> = expected.split_whitespace().collect();
        let rest = |n: usize| expected.splitn(n + 1, ' ').nth(n).unwrap_or_default();
        let must = |holds: bool, is: String| if holds { Ok(()) } else { Err(is) };
        let sdp = self.sdps.last().unwrap();
        let has = |text: &str| sdp.lines().any(|line| begins(line, text));
        match words[..] {
            ["sdp", "has", ..] => must(has(rest(2)), sdp.clone()),
            ["sdp", "lacks", ..] => must(!has(rest(2)), sdp.clone()),
            ["same", what, "as", number] => {
                let other = &self.sdps[number.parse::<usize>().unwrap() - 1];
                let equal = match what {
                    "sdp" => sdp == other,
                    _ => port(sdp).is_some() && port(sdp) == port(other),
                };
                must(equal, format!("{sdp}\n{other}"))
            }
            ["reply", "has", ..] => must(self.reply.get(rest(2)).is_some(), "it has not".into()),
            ["reply", "lacks", ..] => must(self.reply.get(rest(2)).is_none(), "it has".into()),
            ["parties", ..] => {
                let parties = self.parties();
                must(parties == rest(1), parties)
            }
            [listener, "hears", source] => {
                let heard = self.heard_by(listener);
                must(heard == [source], format!("{heard:?}"))
            }
            [party, "at", address] => {
                let at = self.endpoint_of(party);
                must(at.as_deref() == Some(address), format!("{at:?}"))
            }
            ["leased", number] => must(number.parse() == Ok(self.leased), self.leased.to_string()),
            ["ends", "in", seconds] => {
                let ends = self.call.as_ref().and_then(|call| call.ends_in);
                let is_so = ends.map(|ends| ends.as_secs()) == seconds.parse().ok();
                must(is_so, format!("{ends:?}"))
            }
            ["does", "not", "end"] => {
                let ends = self.call.as_ref().map(|call| call.ends_in);
                must(ends == Some(None), format!("{ends:?}"))
            }
            ["no", "call"] => must(self.call.is_none(), "it is there".into()),
            ["ignored", ..] => must(self.ignored == words[1..], format!("{:?}", self.ignored)),
            ["ok" | "pong" | "error", ..] => self.check_result(expected, must),
            _ => panic!("unknown expectation {expected}"),
        }
    }

    fn check_result(
        &self,
        expected: &str,
        must: impl Fn(bool, String) -> Result<(), String>,
    ) -> Result<(), String> {
        let result = self.reply.get_str("result").unwrap_or_default();
        let is = match (result, self.reply.get("warning")) {
            ("error", _) => {
                format!(
                    "error {}",
                    self.reply.get_str("error-reason").unwrap_or_default()
                )
            }
            (result, Some(_)) => format!("{result} with a warning"),
            (result, None) => result.to_owned(),
        };
        must(is == expected, is)
    }

    fn parties(&self) -> String {
        let Some(call) = &self.call else {
            return String::new();
        };
        let here = call.parties.iter().filter(|party| !party.is_gone);
        let names = here.map(|party| match (&party.tag, &party.branch) {
            (Some(tag), _) => tag.clone(),
            (None, Some(branch)) => format!("-@{branch}"),
            (None, None) => "-".to_owned(),
        });
        names.collect::<Vec<String>>().join(" ")
    }

    /// Where a party wants the RTP of its first m= line.
    fn endpoint_of(&self, tag: &str) -> Option<String> {
        let call = self.call.as_ref()?;
        let media = call.parties[call.party(tag)?].medias.first()?;
        Some(media.endpoint?.to_string())
    }

    fn heard_by(&self, listener: &str) -> Vec<&str> {
        let Some(call) = &self.call else {
            return Vec::new();
        };
        let party = call.party(listener).map(|index| &call.parties[index]);
        let heard = party.into_iter().flat_map(|party| &party.hears);
        let tags = heard.map(|index| call.parties[*index].tag.as_deref());
        tags.map(|tag| tag.unwrap_or("-")).collect()
    }
}

/// Whether a line begins with a text, in which `PORT` stands for any number.
fn begins(line: &str, text: &str) -> bool {
    let Some((before, after)) = text.split_once("PORT") else {
        return line.starts_with(text);
    };
    let rest = line.strip_prefix(before);
    rest.is_some_and(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()) == after)
}

fn port(sdp: &str) -> Option<&str> {
    let line = sdp.lines().find(|line| line.starts_with("m="))?;
    line.split(' ').nth(1)
}
