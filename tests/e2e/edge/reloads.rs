//! Another configuration under load (E28): 200 calls a second in a build with optimisation, and fewer in
//! one without.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Certificate, Plan, listen, secure};
use crate::common::process::{Relay, free_udp};
use crate::common::sip::{Party, any_sdp};
use crate::common::sipp::{Load, SIPP, received, server};
use crate::common::{TempDir, has_program, is_long, lock_machine, wait_for};

/// The certificate that a listener shows now, as PEM.
fn shown_at(tls: &str) -> String {
    let mut command = Command::new("/usr/bin/openssl");
    command.args(["s_client", "-connect", tls, "-showcerts"]);
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = text.find("-----BEGIN CERTIFICATE-----");
    let end = text.find("-----END CERTIFICATE-----");
    match (begin, end) {
        (Some(begin), Some(end)) => text[begin..end].to_owned(),
        _ => panic!("no certificate: {output:?}"),
    }
}

/// Changes the configuration of a running edge.
fn rewrite(relay: &Relay, old: &str, new: &str) {
    let text = std::fs::read_to_string(relay.file()).unwrap();
    assert!(text.contains(old), "{old}: {text}");
    std::fs::write(relay.file(), text.replace(old, new)).unwrap();
}

/// A reload that must be refused, with the place of the mistake.
#[track_caller]
fn is_refused(plan: &Plan, words: &[&str], place: &str) {
    let output = plan.edge(&[&["reload"], words].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains(place), "{place}: {printed}");
}

/// The line of a text, from 1.
fn line_of(path: &Path, part: &str) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    let at = text.lines().position(|line| line.contains(part));
    at.unwrap() + 1
}

#[test]
fn e28_calls_go_on_while_everything_is_read_again() {
    let files = TempDir::new("e28-files");
    let Some(certificate) = Certificate::make(&files).filter(|_| has_program(SIPP)) else {
        return;
    };
    let _lock = lock_machine();
    let [public, tls, core, first, second] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let mut plan = Plan::new(
        "e28",
        vec![listen("udp", public), secure("tls", tls, &certificate)],
        vec![listen("udp", core)],
        &format!("sip:{first}"),
    )
    .with_admin();
    let list = plan.directory.file("deny.csv", "prefix,action\n+88,deny\n");
    plan.more.push_str(&format!(
        "[[screen.list]]\nname = \"deny\"\nfile = \"{}\"\n",
        list.display()
    ));
    plan.edge = "setups_per_source = 100000\nbytes_per_source = 1000000000\n".to_owned();
    let relay = plan.start();
    let directory = plan.directory.path();
    let elsewhere = TempDir::new("e28-second");
    let _first = server(directory, "uas_quick", &first.to_string(), &[]);
    let _second = server(elsewhere.path(), "uas_quick", &second.to_string(), &[]);
    let before = shown_at(&tls.to_string());

    let (calls, rate): (u64, &str) = match is_long() {
        true => (12_000, "200"),
        false => (240, "40"),
    };
    let count = calls.to_string();
    let more = ["-i", "127.0.0.1", "-m", &count, "-r", rate, "-l", "5000"];
    let load = Load::start(directory, "uac_quick", &public.to_string(), &more);
    let mut alice = Party::udp("alice", "127.0.0.1", public);
    let rounds = if is_long() { 20 } else { 2 };
    let mut targets = [first, second];
    for round in 0..rounds {
        Certificate::make(&files).unwrap();
        plan.ask_edge(&["reload", "certificates"]);

        std::fs::write(&list, format!("prefix,action\n+99{round},deny\n")).unwrap();
        plan.ask_edge(&["reload", "deny.csv"]);
        let uri = format!("sip:+99{round}1@example.com");
        alice.request("INVITE", &uri, "", &any_sdp(core.ip()));
        alice.expect("403");

        let [old, new] = targets;
        rewrite(&relay, &format!("sip:{old}"), &format!("sip:{new}"));
        targets.reverse();
        let told = plan.ask_edge(&["reload"]);
        assert!(told["changed"].to_string().contains("upstreams"), "{told}");

        // A file with a mistake changes nothing.
        let good = std::fs::read_to_string(relay.file()).unwrap();
        rewrite(
            &relay,
            "[[upstream.target]]",
            "[[upstream.target]]\nurl = 5",
        );
        let line = line_of(&relay.file(), "url = 5");
        is_refused(&plan, &[], &format!("windlass.toml:{line}"));
        std::fs::write(relay.file(), good).unwrap();
        std::fs::write(&list, "prefix,action\n+1,deny\n+2,perhaps\n").unwrap();
        is_refused(&plan, &["deny.csv"], "deny.csv:3");
        alice.request("INVITE", &uri, "", &any_sdp(core.ip()));
        alice.expect("403");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_ne!(
        shown_at(&tls.to_string()),
        before,
        "the certificate is another one"
    );
    let outcome = load.finish();
    assert_eq!(
        (outcome.successful, outcome.failed),
        (calls, 0),
        "{}",
        outcome.screen
    );
    println!("{} retransmissions over reloads", outcome.retransmissions);
    for sipp in [directory, elsewhere.path()] {
        wait_for("calls at each target", Duration::from_secs(2), || {
            let invites = received(sipp, "uas_quick");
            invites
                .iter()
                .any(|text| text.contains("INVITE sip:"))
                .then_some(())
        });
    }
}
