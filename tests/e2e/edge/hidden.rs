//! What a caller hears of a hidden network while its call is changed from both sides (E06).

use std::path::Path;
use std::time::Duration;

use super::{Plan, await_free, listen};
use crate::common::process::free_udp;
use crate::common::sipp::{Load, SIPP, received, server};
use crate::common::{has_program, lock_machine};

/// The caller, the edge inside, and the callee.
const OUTSIDE: &str = "127.0.0.9";
const CORE: &str = "127.0.0.2";
const INSIDE: &str = "127.0.0.3";

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
        let (public, core) = (free_udp("127.0.0.1"), free_udp(CORE));
        let callee = free_udp(INSIDE).to_string();
        let mut plan = Plan::new(
            "e06",
            vec![listen("udp", public)],
            vec![listen("udp", core)],
            &format!("sip:{callee}"),
        );
        plan.peers = "127.0.0.9/32";
        plan.more = format!(
            "[[link]]\nzones = [\"public\", \"core\"]\nhide = true\nhide_callid = {hides_call_id}\n"
        );
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
