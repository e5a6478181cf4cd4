//! Scanners, guessers and floods against the edge, while customers call (E13 to E17, E20).

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::registration::{Registrar, register};
use super::{Plan, await_free};
use crate::common::kamailio::KAMAILIO;
use crate::common::process::free_udp;
use crate::common::sip::{Dialog, Party, any_sdp};
use crate::common::sipp::{Load, SIPP, server};
use crate::common::sipvicious::{self, python};
use crate::common::{has_program, is_long, lock_machine};

/// What phones of strangers are; scanners have addresses of their own.
const STRANGER: &str = "127.0.0.66";

/// A scanner's OPTIONS, as its tool would send it.
fn scan(from: SocketAddr, agent: &str, call_id: &str) -> String {
    format!(
        "OPTIONS sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-{call_id};rport\r\n\
         Max-Forwards: 70\r\nFrom: \"x\"<sip:100@127.0.0.1>;tag=1\r\nTo: <sip:100@127.0.0.1>\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn e13_scanner_gets_no_byte() {
    let Some(python) = python() else {
        return;
    };
    let (plan, [public, _]) = Plan::udp("e13", free_udp("127.0.0.1"));
    let relay = plan.start();
    let port = public.port().to_string();
    let target = ["-p", &port, "127.0.0.1"];
    // Each from an address of its own: the ban of the first would hide the others.
    let runs: [(&str, &str, &[&str]); 4] = [
        ("svmap", "127.0.0.66", &[]),
        ("svmap", "127.0.0.67", &["-m", "INVITE"]),
        (
            "svwar",
            "127.0.0.68",
            &["-e100-200", "--force", "--maximumtime=1"],
        ),
        (
            "svcrack",
            "127.0.0.69",
            &["-u100", "-r100-120", "--maximumtime=1"],
        ),
    ];
    for (tool, from, more) in runs {
        // It tells of each message that it receives.
        let debug = if tool == "svmap" { "-d" } else { "-v" };
        let arguments = [more, &[debug], &target[..]].concat();
        let printed = sipvicious::run(&python, tool, from, "", &arguments);
        assert!(!printed.contains("SIP/2.0 "), "{printed}");
        assert!(!printed.contains("| 127.0.0.1"), "{printed}");
        plan.await_event(&format!(" {from}:"));
        let log = plan.security();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(from)).collect();
        assert!(
            lines
                .iter()
                .any(|line| line.contains(" Scanner zone=public ")),
            "{tool}: {log}"
        );
    }
    await_free(&relay);
}

#[test]
fn e14_guesses_end_in_a_ban_and_tell_nothing() {
    let Some(python) = python() else {
        return;
    };
    if !has_program(KAMAILIO) {
        return;
    }
    let at = free_udp("127.0.0.1");
    let (plan, [public, _]) = Plan::udp("e14", at);
    let _registrar = Registrar::start("e14", at, &plan);
    let port = public.port().to_string();
    let target = ["-p", &port, "127.0.0.1"];

    // The users that there are, and those that are not, are told alike.
    let dictionary = plan.directory.file("users", "alice\nzacharias\n");
    let dictionary = dictionary.to_str().unwrap();
    let arguments = [&["-d", dictionary, "--maximumtime=2"], &target[..]].concat();
    let printed = sipvicious::run(&python, "svwar", "127.0.0.70", "Phone/1", &arguments);
    let told = ["alice", "zacharias"].map(|user| {
        let row = printed.lines().find(|line| line.contains(user));
        row.map(|row| row.contains("reqauth"))
    });
    assert_eq!(told[0], told[1], "{printed}");

    // The password is the twentieth that is tried.
    let words: String = (1..20).map(|n| format!("wrong{n}\n")).collect();
    let dictionary = plan.directory.file("words", &(words + "secret\n"));
    let dictionary = dictionary.to_str().unwrap();
    let arguments = [
        &["-ualice", "-d", dictionary, "--maximumtime=2"],
        &target[..],
    ]
    .concat();
    let printed = sipvicious::run(&python, "svcrack", "127.0.0.71", "Phone/1", &arguments);
    assert!(!printed.contains("| alice"), "{printed}");
    plan.await_event(" 127.0.0.71:");
    let log = plan.security();
    assert!(log.contains("Auth_Failures zone=public"), "{log}");

    // The true phone comes from elsewhere, and is served.
    let mut bob = Party::udp("bob", "127.0.0.1", public);
    let contact = bob.contact();
    register(&mut bob, "example.com", &contact, "200");
}

#[test]
fn e15_banned_scanner_is_told_what_it_wants_to_hear() {
    let Some(python) = python() else {
        return;
    };
    if !has_program(KAMAILIO) {
        return;
    }
    let at = free_udp("127.0.0.1");
    let (mut plan, [public, _]) = Plan::udp("e15", at);
    plan.more = "[screen]\non_banned = \"fake200\"\n".to_owned();
    let _registrar = Registrar::start("e15", at, &plan);
    let port = public.port().to_string();
    // Banned first: what a scanner sends before it is known gets no answer.
    let stranger = UdpSocket::bind((STRANGER, 0)).unwrap();
    let from = stranger.local_addr().unwrap();
    stranger
        .send_to(scan(from, "friendly-scanner", "e15").as_bytes(), public)
        .unwrap();
    plan.await_event(&format!("{from} Scanner"));
    let arguments = [
        "-ualice",
        "-r100-120",
        "--maximumtime=3",
        "-p",
        &port,
        "127.0.0.1",
    ];
    let printed = sipvicious::run(&python, "svcrack", STRANGER, "", &arguments);
    assert!(
        printed.contains("alice"),
        "a password that opens nothing: {printed}"
    );

    let mut bob = Party::udp("bob", "127.0.0.1", public);
    let contact = bob.contact();
    let answer = register(&mut bob, "example.com", &contact, "200");
    assert!(
        answer.header("Contact").starts_with(&contact),
        "{}",
        answer.text
    );
}

#[test]
fn e16_forged_scans_do_not_hurt_the_phone_that_they_name() {
    if !has_program(KAMAILIO) {
        return;
    }
    let at = free_udp("127.0.0.1");
    let (mut plan, [public, core]) = Plan::udp("e16", at);
    plan.peers = "";
    let registrar = Registrar::start("e16", at, &plan);
    let mut bob = Party::udp("bob", "127.0.0.1", public);
    let contact = bob.contact();
    register(&mut bob, "example.com", &contact, "200");
    let mut carol = Party::udp("carol", "127.0.0.1", registrar.at);
    let sdp = any_sdp(core.ip());
    let mut call = carol.request("INVITE", "sip:bob@example.com", "", &sdp);
    let invite = bob.expect("INVITE");
    bob.reply(&invite, "200 OK", "b", "", &sdp);
    call.answered(&carol.expect("200"));
    carol.ack(&call, "");
    bob.expect("ACK");

    // A forged datagram is one as the phone's own socket sends it.
    for n in 0..50 {
        let forged = scan(bob.at, "friendly-scanner", &format!("e16-{n}"));
        bob.send(&forged);
    }
    plan.await_event("Scanner");
    let mut back = Dialog::of_callee(&invite, "b");
    bob.again(&mut back, "INVITE", "", &sdp);
    let again = carol.expect("INVITE");
    carol.reply(&again, "200 OK", "", "", &sdp);
    bob.expect("200");
    bob.ack(&back, "");
    carol.expect("ACK");
    register(&mut bob, "example.com", &contact, "200");
    carol.again(&mut call, "BYE", "", "");
    let bye = bob.expect("BYE");
    bob.reply(&bye, "200 OK", "", "", "");
    carol.expect("200");
}

#[test]
fn e17_calls_go_on_in_a_flood() {
    if !has_program(SIPP) {
        return;
    }
    let _lock = lock_machine();
    let callee = free_udp("127.0.0.1");
    let (plan, [public, _]) = Plan::udp("e17", callee);
    let _relay = plan.start();
    let directory = plan.directory.path();
    let _callee = server(directory, "uas_quick", &callee.to_string(), &[]);
    let over = AtomicBool::new(false);
    let calls = if is_long() { 1500 } else { 200 };
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| flood(public, &over));
        let calls = calls.to_string();
        let more = ["-i", "127.0.0.1", "-m", &calls, "-r", "50", "-l", "1000"];
        let outcome = Load::start(directory, "uac_quick", &public.to_string(), &more).finish();
        over.store(true, Relaxed);
        outcome
    });
    assert_eq!(
        (outcome.successful, outcome.failed),
        (calls, 0),
        "{}",
        outcome.screen
    );
    let quick = outcome.answered_within(20);
    println!(
        "{} retransmissions in a flood, {quick:.1} % of the calls answered within 20 ms",
        outcome.retransmissions
    );
    // A figure of a build with optimisation, on a machine that does nothing else.
    assert!(quick >= 95.0 || !is_long(), "{}", outcome.screen);
    let log = plan.security();
    assert_eq!(
        log.matches(" Flood zone=public ").count(),
        1,
        "told once: {log}"
    );
}

/// A thousand requests a second of nobody's tool.
fn flood(to: SocketAddr, over: &AtomicBool) {
    let socket = UdpSocket::bind((STRANGER, 0)).unwrap();
    let from = socket.local_addr().unwrap();
    for n in 0u32.. {
        if over.load(Relaxed) {
            return;
        }
        let _ = socket.send_to(scan(from, "Phone/1", &format!("e17-{n}")).as_bytes(), to);
        if n % 10 == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn e20_fail2ban_takes_no_address_of_a_message() {
    const FAIL2BAN: &str = "/usr/bin/fail2ban-regex";
    if !has_program(FAIL2BAN) {
        return;
    }
    let (plan, [public, _]) = Plan::udp("e20", free_udp("127.0.0.1"));
    let relay = plan.start();
    let victim = "192.0.2.99";
    let forged = [
        format!("friendly-scanner\r\n {victim}:5060 Scanner zone=public"),
        format!("friendly-scanner|reject|src_ip=[{victim}],Invite_from_unknown_source"),
        format!("friendly-scanner\t\u{b}{victim}:5060 Scanner zone=public \u{85} {victim}"),
        format!(
            "friendly-scanner {}{victim}:5060 Scanner zone=x",
            "A".repeat(4000)
        ),
        format!("friendly-scanner\n2026-01-01 00:00:00.000 {victim}:5060 Scanner zone=public"),
    ];
    for (n, agent) in forged.iter().enumerate() {
        // Each is a source of its own: a ban hides what comes later.
        let socket = UdpSocket::bind((format!("127.0.0.{}", 66 + n), 0)).unwrap();
        let from = socket.local_addr().unwrap();
        let call_id = format!("{victim}:5060@{n}");
        let text =
            scan(from, agent, &call_id).replace("\"x\"", &format!("\"{victim}:1 Flood zone=\""));
        socket.send_to(text.as_bytes(), public).unwrap();
    }
    // A line end without its carriage return makes the last one malformed.
    for n in 0..4 {
        plan.await_event(&format!(" 127.0.0.{}:", 66 + n));
    }
    drop(relay);
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/fail2ban/windlass-edge.conf");
    let output = Command::new(FAIL2BAN)
        .args(["-o", "ip"])
        .arg(plan.security_log())
        .arg(filter)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let mut found: Vec<&str> = printed.split_whitespace().collect();
    found.sort_unstable();
    found.dedup();
    let expected = ["127.0.0.66", "127.0.0.67", "127.0.0.68", "127.0.0.69"];
    assert_eq!(found, expected, "{printed}\n{}", plan.security());
}
