//! What a caller hears of a hidden network while its call is changed from both sides (E06).

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{Plan, await_free, listen};
use crate::common::process::free_udp;
use crate::common::sip::{Dialog, Party, any_sdp};
use crate::common::sipp::{Load, SIPP, received, server};
use crate::common::{has_program, lock_machine};

/// The caller, the edge inside, and the callee.
const OUTSIDE: &str = "127.0.0.9";
const CORE: &str = "127.0.0.2";
const INSIDE: &str = "127.0.0.3";

/// A network that is hidden from the caller's, and the edge outside.
fn hiding(name: &str, hides_call_id: bool, callee: &str) -> (Plan, SocketAddr) {
    let (public, core) = (free_udp("127.0.0.1"), free_udp(CORE));
    let mut plan = Plan::new(
        name,
        vec![listen("udp", public)],
        vec![listen("udp", core)],
        &format!("sip:{callee}"),
    );
    plan.peers = "127.0.0.9/32";
    plan.more = format!(
        "[[link]]\nzones = [\"public\", \"core\"]\nhide = true\nhide_callid = {hides_call_id}\n"
    );
    (plan, public)
}

/// Call-IDs of messages.
fn call_ids(messages: &[String]) -> Vec<&str> {
    let rows = messages.iter().flat_map(|message| message.lines());
    let mut ids: Vec<&str> = rows
        .filter_map(|row| row.strip_prefix("Call-ID: "))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// A call of sipp that succeeds on both sides; what caller and callee received.
fn call(directory: &Path, [caller, callee]: [&str; 2], (to, at): (&str, &str)) -> [Vec<String>; 2] {
    let mut answers = server(directory, callee, at, &["-m", "1"]);
    let messages = format!("{caller}.messages");
    let more = [
        "-i",
        OUTSIDE,
        "-m",
        "1",
        "-trace_msg",
        "-message_file",
        &messages,
    ];
    let outcome = Load::start(directory, caller, to, &more).finish();
    assert_eq!(outcome.successful, 1, "{}", outcome.screen);
    let status = answers.wait(Duration::from_secs(10));
    assert!(status.success(), "{callee}: {status}\n{}", answers.log());
    [caller, callee].map(|name| received(directory, name))
}

#[test]
fn e06_caller_hears_nothing_of_a_hidden_network() {
    if !has_program(SIPP) {
        return;
    }
    let _lock = lock_machine();
    for hides_call_id in [false, true] {
        let callee = free_udp(INSIDE).to_string();
        let (plan, public) = hiding("e06", hides_call_id, &callee);
        let relay = plan.start();
        let directory = plan.directory.path();
        let to = public.to_string();
        // The first is changed by both, and ended by the callee; the second is ended by the caller.
        for scenarios in [["uac_changes", "uas_changes"], ["uac_quick", "uas_quick"]] {
            let [outside, inside] = call(directory, scenarios, (&to, &callee));
            let mut secrets = vec![CORE, INSIDE, "InnerPBX", "pbx.inner.example"];
            let inner = call_ids(&inside);
            match hides_call_id {
                true => secrets.extend(&inner),
                false => assert_eq!(inner, call_ids(&outside)),
            }
            assert!(outside.len() > 2, "{outside:?}");
            for message in &outside {
                for secret in &secrets {
                    assert!(!message.contains(secret), "{secret} in {message}");
                }
            }
            let seen = inside.iter().find(|message| message.contains("\nINVITE "));
            let invite = seen.expect("an INVITE");
            assert_eq!(invite.matches("\nVia:").count(), 1, "{invite}");
            assert!(!invite.contains("Record-Route"), "{invite}");
        }
        await_free(&relay);
    }
}

/// A phone transfers one of its calls with a PBX to the party of another one (RFC 5589 §7).
#[test]
fn attended_transfer_names_the_call_as_the_pbx_knows_it() {
    let callee = free_udp(INSIDE);
    let (plan, public) = hiding("transfer", true, &callee.to_string());
    let relay = plan.start();
    let mut alice = Party::udp("alice", OUTSIDE, public);
    let mut pbx = Party::udp_at("pbx", callee, public);
    let sdp = any_sdp(callee.ip());
    let mut call = |tag: &str| {
        let mut out = alice.request("INVITE", "sip:bob@example.com", "", &sdp);
        let invite = pbx.expect("INVITE");
        pbx.reply(&invite, "200 OK", tag, "", &sdp);
        out.answered(&alice.expect("200"));
        alice.ack(&out, "");
        pbx.expect("ACK");
        (out, Dialog::of_callee(&invite, tag))
    };
    let ((mut first, _), (second, inside)) = (call("b1"), call("b2"));
    let own_tag = second.local.split(";tag=").nth(1).unwrap();
    let refer_to = format!(
        "Refer-To: <{}?Replaces={}%3Bto-tag%3Db2%3Bfrom-tag%3D{own_tag}>\r\n",
        second.target, second.call_id
    );
    alice.again(&mut first, "REFER", &refer_to, "");
    let refer = pbx.expect("REFER");
    let told = refer.header("Refer-To");
    let expected = format!(
        "<sip:pbx@{callee}?Replaces={}%3Bto-tag%3Db2%3Bfrom-tag%3D{own_tag}>",
        inside.call_id
    );
    assert_ne!(inside.call_id, second.call_id);
    assert_eq!(told, expected);
    pbx.reply(&refer, "202 Accepted", "", "", "");
    alice.expect("202");
    drop(relay);
}
