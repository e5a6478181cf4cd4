//! Acceptance of the edge with the peers of spec edge §22; each test names its check.

mod carriers;
mod chains;
mod dialogs;
mod ended;
mod hidden;
mod layouts;
mod many_calls;
mod pages;
mod phones;
mod registered;
mod registration;
mod reloads;
mod scanners;
mod shares;
mod strange;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use crate::common::process::{Relay, free_udp};
use crate::common::{TempDir, has_program, wait_for};

/// The usual edge of a test: a zone of strangers, and the core with one pool.
struct Plan {
    /// Tables `[[zone.listen]]` without their heading.
    public: Vec<String>,
    core: Vec<String>,
    /// In the public zone.
    trust: &'static str,
    /// Of the public zone and of the core.
    media: [&'static str; 2],
    /// URIs of the pool; more of the target after its URI.
    targets: Vec<String>,
    /// More of `[[upstream]]` and of `[[route]]`.
    pool: String,
    route: String,
    /// More of `[edge]`.
    edge: String,
    /// Networks of the public zone that are known. A flood of the others is one.
    peers: &'static str,
    /// Further tables.
    more: String,
    /// Logs are in it.
    directory: TempDir,
}

impl Plan {
    fn new(name: &str, public: Vec<String>, core: Vec<String>, target: &str) -> Self {
        Self {
            public,
            core,
            trust: "untrusted",
            media: ["plain", "plain"],
            targets: vec![target.to_owned()],
            pool: String::new(),
            route: String::new(),
            edge: String::new(),
            peers: "127.0.0.1/32",
            more: String::new(),
            directory: TempDir::new(name),
        }
    }

    /// UDP on both sides.
    fn udp(name: &str, target: SocketAddr) -> (Self, [SocketAddr; 2]) {
        let at = [free_udp("127.0.0.1"), free_udp("127.0.0.1")];
        let [public, core] = at.map(|at| vec![listen("udp", at)]);
        (Self::new(name, public, core, &format!("sip:{target}")), at)
    }

    fn security_log(&self) -> PathBuf {
        self.directory.path().join("security.log")
    }

    fn cdr(&self) -> PathBuf {
        self.directory.path().join("cdr.jsonl")
    }

    fn text(&self) -> String {
        let mut text = format!(
            "[timeouts]\ndelete_delay = 0\n[edge]\ncalls = 20000\n{}\n",
            self.edge
        );
        let zones = [
            ("public", self.trust, &self.public),
            ("core", "inside", &self.core),
        ];
        for ((name, trust, listeners), media) in zones.into_iter().zip(self.media) {
            let _ = writeln!(
                text,
                "[[zone]]\nname = \"{name}\"\ntrust = \"{trust}\"\nmedia = \"{media}\""
            );
            for listener in listeners {
                let _ = writeln!(text, "[[zone.listen]]\n{listener}");
            }
        }
        // What is no party of a test would take OPTIONS for a call.
        let probe = match self.pool.contains("probe") {
            true => "",
            false => "probe = \"never\"\n",
        };
        let _ = writeln!(
            text,
            "[[upstream]]\nname = \"pbx\"\nzone = \"core\"\n{probe}{}",
            self.pool
        );
        for target in &self.targets {
            let _ = writeln!(
                text,
                "[[upstream.target]]\nuri = {target}",
                target = quoted(target)
            );
        }
        let _ = writeln!(
            text,
            "[[route]]\nmatch = {{ from_zone = \"public\" }}\nto = [\"pbx\"]\n{}",
            self.route
        );
        if !self.peers.is_empty() {
            let _ = writeln!(
                text,
                "[[peer]]\nname = \"phones\"\nzone = \"public\"\nsource = [\"{}\"]",
                self.peers
            );
        }
        let _ = writeln!(
            text,
            "{}\n[log]\nlevel = \"debug\"\nsecurity = {{ file = \"{}\", format = \"fields\" }}\n\
             cdr = {{ file = \"{}\" }}",
            self.more,
            self.security_log().display(),
            self.cdr().display()
        );
        text
    }

    fn start(&self) -> Relay {
        Relay::start(&self.text())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("edge.sock")
    }

    /// Has the edge listen for operators.
    fn with_admin(mut self) -> Self {
        let admin = format!("[admin]\nunix = \"{}\"\n", self.socket().display());
        self.more.push_str(&admin);
        self
    }

    /// `windlass edge` with these words.
    fn edge(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        command
            .args(["edge", "--json", "--socket"])
            .arg(self.socket());
        command.args(words).output().unwrap()
    }

    /// The answer to one that must succeed.
    #[track_caller]
    fn ask_edge(&self, words: &[&str]) -> serde_json::Value {
        let output = self.edge(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What was logged of strangers so far.
    fn security(&self) -> String {
        std::fs::read_to_string(self.security_log()).unwrap_or_default()
    }

    /// Waits for a line of the security log.
    fn await_event(&self, part: &str) {
        wait_for(part, Duration::from_secs(5), || {
            self.security().contains(part).then_some(())
        });
    }

    /// Call records, once there are as many.
    fn records(&self, at_least: usize) -> Vec<serde_json::Value> {
        wait_for("call records", Duration::from_secs(10), || {
            let text = std::fs::read_to_string(self.cdr()).unwrap_or_default();
            let lines = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let lines: Vec<serde_json::Value> = lines.collect();
            (lines.len() >= at_least).then_some(lines)
        })
    }
}

/// The media of ended calls goes at once, if not in the same moment.
fn await_free(relay: &Relay) {
    wait_for("free ports", Duration::from_secs(5), || {
        (relay.leased_ports() == 0).then_some(())
    });
}

/// The URI of a target as TOML, with more keys of the target after it.
fn quoted(target: &str) -> String {
    match target.split_once('\n') {
        Some((uri, more)) => format!("\"{uri}\"\n{more}"),
        None => format!("\"{target}\""),
    }
}

fn listen(proto: &str, at: SocketAddr) -> String {
    format!("proto = \"{proto}\"\nbind = \"{at}\"")
}

/// The same with a certificate, for servers of which the edge trusts it as well.
fn secure(proto: &str, at: SocketAddr, certificate: &Certificate) -> String {
    let Certificate { chain, key } = certificate;
    format!(
        "{}\nserver_ca = \"{chain}\"\ncert = [{{ chain = \"{chain}\", key = \"{key}\" }}]",
        listen(proto, at),
        chain = chain.display(),
        key = key.display()
    )
}

/// A certificate that signs itself, of 127.0.0.1.
struct Certificate {
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// `None` where there is no openssl.
    fn make(directory: &TempDir) -> Option<Self> {
        const OPENSSL: &str = "/usr/bin/openssl";
        if !has_program(OPENSSL) {
            return None;
        }
        let [chain, key] = ["chain.pem", "key.pem"].map(|name| directory.path().join(name));
        // One that may sign others would be no server's own.
        let config = "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = more\n\
                      [name]\nCN = 127.0.0.1\n\
                      [more]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = CA:FALSE\n";
        let config = directory.file("openssl.cnf", config);
        let mut command = Command::new(OPENSSL);
        command.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
        command
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-config"])
            .arg(config);
        command.arg("-out").arg(&chain).arg("-keyout").arg(&key);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Some(Self { chain, key })
    }
}
