//! baresip through the edge: over TLS, and with each kind of media (E03, E10).

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use super::{Certificate, Plan, await_free, listen, secure};
use crate::common::baresip::{BARESIP, Baresip, Protection};
use crate::common::process::{Process, free_udp};
use crate::common::sip::{Party, any_sdp, sdp};
use crate::common::{TempDir, has_program, lock_machine, phone};

/// Key and certificate in one file, as baresip wants them.
fn both(certificate: &Certificate, directory: &TempDir) -> PathBuf {
    let parts = [&certificate.key, &certificate.chain];
    let text: String = parts
        .map(|path| std::fs::read_to_string(path).unwrap())
        .concat();
    directory.file("both.pem", &text)
}

#[test]
fn e03_phone_with_tls_is_called_over_tcp() {
    let files = TempDir::new("e03-to-tls-files");
    let Some(certificate) = Certificate::make(&files).filter(|_| has_program(BARESIP)) else {
        return;
    };
    let [public, core, at] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let mut plan = Plan::new(
        "e03-to-tls",
        vec![listen("tcp", public)],
        vec![secure("tls", core, &certificate)],
        &format!("sip:127.0.0.1:{};transport=tls", at.port() + 1),
    );
    plan.route = "failover = { answer_timeout = \"10s\" }".to_owned();
    let _relay = plan.start();
    let both = both(&certificate, &files);
    let phone = Baresip {
        certificate: Some(&both),
        ..Baresip::new("bob", at.port(), 400)
    };
    let _phone = phone.start(&plan.directory, None);
    phone.await_ready();
    let mut media = phone::Phone::new("127.0.0.1");
    let mut alice = Party::tcp("alice", public);
    let mut call = alice.request("INVITE", "sip:bob@127.0.0.1", "", &sdp(media.address()));
    let answer = alice.expect("200");
    let ways = answer.all("Record-Route");
    assert!(
        ways[0].contains(";transport=tls") && ways[1].contains(";transport=tcp"),
        "{ways:?}"
    );
    call.answered(&answer);
    alice.ack(&call, "");
    media.speak(answer.media(), 50);
    assert!(media.hear(50) >= 49);
    alice.again(&mut call, "BYE", "", "");
    alice.expect("200");
}

#[test]
fn e03_phone_with_tls_calls_one_with_tcp() {
    let files = TempDir::new("e03-from-tls-files");
    let Some(certificate) = Certificate::make(&files).filter(|_| has_program(BARESIP)) else {
        return;
    };
    let [public, core, at] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let plan = Plan::new(
        "e03-from-tls",
        vec![secure("tls", public, &certificate)],
        vec![listen("tcp", core)],
        &format!("sip:{at};transport=tcp"),
    );
    let _relay = plan.start();
    let listener = TcpListener::bind(at).unwrap();
    let both = both(&certificate, &files);
    let phone = Baresip {
        certificate: Some(&both),
        proxy: Some(("tls", public)),
        ..Baresip::new("alice", free_udp("127.0.0.1").port(), 400)
    };
    let target = format!("sip:bob@{public};transport=tls");
    let mut running = phone.start(&plan.directory, Some(&target));
    let mut bob = Party::accepted("bob", &listener);
    let invite = bob.expect("INVITE");
    let vias = invite.all("Via");
    assert!(
        vias[0].starts_with("SIP/2.0/TCP") && vias[1].starts_with("SIP/2.0/TLS"),
        "{vias:?}"
    );
    bob.reply(&invite, "200 OK", "b", "", &any_sdp(at.ip()));
    bob.expect("ACK");
    // It hangs up when its time is over.
    let bye = bob.expect("BYE");
    bob.reply(&bye, "200 OK", "", "", "");
    running.wait(Duration::from_secs(10));
}

#[test]
fn e10_audio_is_heard_with_each_kind_of_media() {
    if !has_program(BARESIP) {
        return;
    }
    let _lock = lock_machine();
    let ports: [u16; 6] = std::array::from_fn(|_| free_udp("127.0.0.1").port());
    let (mut plan, [public, _]) = {
        let first = format!("127.0.0.1:{}", ports[0]).parse().unwrap();
        Plan::udp("e10", first)
    };
    // A caller's answer is of the kind of its offer.
    plan.media = ["keep", "plain"];
    for (name, port) in [("2", ports[1]), ("3", ports[2])] {
        plan.more += &format!(
            "[[upstream]]\nname = \"of-{name}\"\nzone = \"core\"\n\
             [[upstream.target]]\nuri = \"sip:127.0.0.1:{port}\"\n\
             [[route]]\nmatch = {{ from_zone = \"public\", prefix = \"{name}\" }}\n\
             to = [\"of-{name}\"]\n"
        );
    }
    let relay = plan.start();
    let callees = [
        ("1", ports[0], 400),
        ("2", ports[1], 600),
        ("3", ports[2], 1800),
    ]
    .map(|(name, port, hertz)| Baresip::new(name, port, hertz));
    let callers = [
        ("alice", ports[3], 1000, Protection::None),
        ("bob", ports[4], 1400, Protection::Sdes),
        ("carol", ports[5], 2200, Protection::Dtls),
    ]
    .map(|(name, port, hertz, protection)| Baresip {
        protection,
        ..Baresip::new(name, port, hertz)
    });
    let directory = &plan.directory;
    let mut answering = callees.each_ref().map(|phone| phone.start(directory, None));
    callees.iter().for_each(Baresip::await_ready);
    let pairs = callers.iter().zip(&callees);
    let calling = pairs.map(|(caller, callee)| {
        let target = format!("sip:{}@{public}", callee.name);
        caller.start(directory, Some(&target))
    });
    let mut calling: Vec<Process> = calling.collect();
    for process in &mut calling {
        process.wait(Duration::from_secs(15));
    }
    for process in &mut answering {
        process.terminate();
        process.wait(Duration::from_secs(10));
    }
    for (caller, callee) in callers.iter().zip(&callees) {
        let log = [caller, callee].map(|phone| {
            let path = directory.path().join(format!("{}.log", phone.name));
            std::fs::read_to_string(path).unwrap()
        });
        caller.heard(directory.path(), callee.hertz, &log[0]);
        callee.heard(directory.path(), caller.hertz, &log[1]);
    }
    await_free(&relay);
}
