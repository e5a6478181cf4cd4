//! Places of calls, and targets that fail (E11, E12, E21).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Plan;
use crate::common::process::free_udp;
use crate::common::sip::{Dialog, Message, Party, any_sdp};

const PAUSE: Duration = Duration::from_millis(300);

/// Sends INVITEs at once; the dialogs that they would begin, in their order.
fn burst(alice: &mut Party, calls: usize) -> Vec<Dialog> {
    let sdp = any_sdp(alice.at.ip());
    let call = |_| alice.request("INVITE", "sip:bob@example.com", "", &sdp);
    (0..calls).map(call).collect()
}

/// All INVITEs that come until nothing comes any more.
fn invites(party: &mut Party) -> Vec<Message> {
    let mut all = Vec::new();
    while let Some(message) = party.next(PAUSE) {
        if message.kind() == "INVITE" {
            // Ringing, so that it is not repeated.
            party.reply(&message, "180 Ringing", &format!("b{}", all.len()), "", "");
            all.push(message);
        }
    }
    all
}

/// Final responses that come until nothing comes any more.
fn finals(party: &mut Party) -> Vec<Message> {
    let mut all = Vec::new();
    while let Some(message) = party.next(PAUSE) {
        if !message.kind().starts_with('1') {
            all.push(message);
        }
    }
    all
}

#[test]
fn e21_burst_is_admitted_up_to_the_limit_and_places_come_back() {
    let callee = free_udp("127.0.0.1");
    let (mut plan, [public, core]) = Plan::udp("e21", callee);
    plan.more = "[[limit]]\nname = \"per-source\"\nkey = \"{src_ip}\"\ncalls = 5\n".to_owned();
    plan.route = "failover = { answer_timeout = \"500ms\" }".to_owned();
    plan.pool = "probing = { interval = \"200ms\" }".to_owned();
    let relay = plan.start();
    let mut alice = Party::udp("alice", "127.0.0.1", public);
    let mut bob = Party::udp_at("bob", callee, core);
    let sdp = any_sdp(core.ip());

    let calls = burst(&mut alice, 50);
    let admitted = invites(&mut bob);
    assert_eq!(admitted.len(), 5);
    let refused = finals(&mut alice);
    assert_eq!(refused.len(), 45);
    for refusal in &refused {
        assert!(
            matches!(refusal.kind(), "403" | "486" | "503"),
            "{}",
            refusal.text
        );
    }
    let call_of = |invite: &Message| {
        let id = invite.header("Call-ID");
        calls
            .iter()
            .find(|call| call.call_id == id)
            .unwrap()
            .clone()
    };

    // One place comes back by a BYE, one by a refusal, one by a CANCEL.
    bob.reply(&admitted[0], "200 OK", "b0", "", &sdp);
    let mut first = call_of(&admitted[0]);
    first.answered(&alice.expect("200"));
    alice.ack(&first, "");
    bob.expect("ACK");
    alice.again(&mut first, "BYE", "", "");
    let bye = bob.expect("BYE");
    bob.reply(&bye, "200 OK", "", "", "");
    alice.expect("200");
    bob.reply(&admitted[1], "486 Busy Here", "b1", "", "");
    bob.expect("ACK");
    alice.expect("486");
    alice.cancel_of(&call_of(&admitted[2]).call_id);
    let cancel = bob.expect("CANCEL");
    bob.reply_as(&cancel, "200 OK", "", "");
    bob.reply(&admitted[2], "487 Request Terminated", "b2", "", "");
    bob.expect("ACK");
    let ends = finals(&mut alice);
    assert!(ends.iter().any(|end| end.kind() == "487"), "{ends:?}");

    burst(&mut alice, 5);
    let more = invites(&mut bob);
    assert_eq!(more.len(), 3, "as many as came back");
    finals(&mut alice);
    for (n, invite) in admitted[3..].iter().enumerate() {
        bob.reply(invite, "486 Busy Here", &format!("b{}", n + 3), "", "");
    }
    for (n, invite) in more.iter().enumerate() {
        bob.reply(invite, "486 Busy Here", &format!("b{n}"), "", "");
    }
    assert_eq!(finals(&mut alice).len(), 5);

    // The callee crashes.
    drop(bob);
    burst(&mut alice, 5);
    let dead = finals_within(&mut alice, 5);
    assert!(
        dead.iter()
            .all(|end| matches!(end.kind(), "408" | "500" | "503")),
        "{dead:?}"
    );
    let mut bob = [Party::udp_at("bob", callee, core)];
    serve_probes(&mut bob, Duration::from_secs(1));
    let [mut bob] = bob;
    burst(&mut alice, 6);
    assert_eq!(invites(&mut bob).len(), 5, "no place was lost");
    drop(relay);
}

/// As many final responses, within the time that a silent target has.
fn finals_within(party: &mut Party, count: usize) -> Vec<Message> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut all = Vec::new();
    while all.len() < count && Instant::now() < deadline {
        all.extend(finals(party));
    }
    assert_eq!(all.len(), count, "{all:?}");
    all
}

#[test]
fn e12_targets_take_the_calls_that_they_have_channels_for() {
    let [one, two] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let (mut plan, [public, core]) = Plan::udp("e12", one);
    let channels = "resources = { channels = 10 }";
    plan.targets = [one, two]
        .map(|at| format!("sip:{at}\n{channels}"))
        .to_vec();
    plan.pool = "algorithm = \"resource\"\n".to_owned();
    plan.route = "resources = [\"channels\"]".to_owned();
    let _relay = plan.start();
    let mut alice = Party::udp("alice", "127.0.0.1", public);
    let mut targets = [one, two].map(|at| Party::udp_at("pbx", at, core));
    burst(&mut alice, 30);
    let running = targets.each_mut().map(|target| invites(target).len());
    assert_eq!(running, [10, 10]);
    let refused = finals(&mut alice);
    let codes: Vec<&str> = refused.iter().map(Message::kind).collect();
    assert_eq!(codes, ["503"; 10]);
}

/// Two targets, the first of which `fails` says of; the second takes the call. The record's attempts.
fn failing(name: &str, fails: impl FnOnce(SocketAddr, SocketAddr) -> Option<Party>) -> Vec<u64> {
    let [one, two] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let (mut plan, [public, core]) = Plan::udp(name, one);
    plan.targets = [one, two].map(|at| format!("sip:{at}")).to_vec();
    plan.route = "failover = { answer_timeout = \"1s\" }".to_owned();
    let _relay = plan.start();
    let mut alice = Party::udp("alice", "127.0.0.1", public);
    let mut second = Party::udp_at("second", two, core);
    let mut first = fails(one, core);
    let begin = Instant::now();
    let mut call = burst(&mut alice, 1).remove(0);
    if let Some(first) = &mut first
        && name.contains("503")
    {
        let invite = first.expect("INVITE");
        first.reply(&invite, "503 Service Unavailable", "f", "", "");
    }
    let invite = second.expect("INVITE");
    println!("{name}: the next target after {:?}", begin.elapsed());
    second.reply(&invite, "200 OK", "s", "", &any_sdp(core.ip()));
    call.answered(&alice.expect("200"));
    alice.ack(&call, "");
    second.expect("ACK");
    alice.again(&mut call, "BYE", "", "");
    let bye = second.expect("BYE");
    second.reply(&bye, "200 OK", "", "", "");
    alice.expect("200");
    let record = plan.records(1).remove(0);
    assert_eq!(record["code"], 200, "{record}");
    let attempts = record["attempts"].as_array().unwrap();
    attempts
        .iter()
        .map(|attempt| attempt["code"].as_u64().unwrap())
        .collect()
}

#[test]
fn e11_next_target_takes_the_call() {
    let dead = failing("e11-dead", |_, _| None);
    assert_eq!(dead, [503, 200], "its port is closed");
    let refusing = failing("e11-503", |at, core| Some(Party::udp_at("first", at, core)));
    assert_eq!(refusing, [503, 200]);
    let silent = failing("e11-silent", |at, core| {
        Some(Party::udp_at("first", at, core))
    });
    assert_eq!(silent, [408, 200]);
}

#[test]
fn e11_probes_take_a_target_down_and_up_again() {
    let [one, two] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let (mut plan, [public, core]) = Plan::udp("e11-probes", one);
    plan.targets = [one, two].map(|at| format!("sip:{at}")).to_vec();
    plan.pool = "probe = \"always\"\nprobing = { interval = \"200ms\", timeout = \"100ms\", \
                 misses = 2 }"
        .to_owned();
    let _relay = plan.start();
    let mut alice = Party::udp("alice", "127.0.0.1", public);
    let mut targets = [one, two].map(|at| Party::udp_at("pbx", at, core));
    for target in &mut targets {
        target.answers_probes = false;
    }
    // The first answers no probe, the second does, for a second and a half.
    serve_probes(&mut targets[1..], Duration::from_millis(1500));
    burst(&mut alice, 1);
    assert_eq!(first_called(&mut targets), 1, "the first is down");
    serve_probes(&mut targets, Duration::from_millis(1500));
    burst(&mut alice, 1);
    assert_eq!(first_called(&mut targets), 0, "it is up again");
}

fn serve_probes(targets: &mut [Party], how_long: Duration) {
    let deadline = Instant::now() + how_long;
    while Instant::now() < deadline {
        for target in &mut *targets {
            if let Some(message) = target.next(Duration::from_millis(5))
                && message.kind() == "OPTIONS"
            {
                target.reply(&message, "200 OK", "p", "", "");
            }
        }
    }
}

/// Which target hears of the call first.
fn first_called(targets: &mut [Party]) -> usize {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        for (at, target) in targets.iter_mut().enumerate() {
            let Some(message) = target.next(Duration::from_millis(5)) else {
                continue;
            };
            match message.kind() {
                "INVITE" => {
                    target.reply(&message, "486 Busy Here", "b", "", "");
                    return at;
                }
                "OPTIONS" if at == 1 => target.reply(&message, "200 OK", "p", "", ""),
                _ => {}
            }
        }
    }
    panic!("nobody is called");
}
