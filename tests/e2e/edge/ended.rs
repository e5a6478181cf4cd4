//! Calls that an operator ends, with `windlass edge` (E22).

use std::time::Duration;

use serde_json::Value;

use super::{Plan, await_free};
use crate::common::process::free_udp;
use crate::common::sipp::{Load, SIPP, server};
use crate::common::{TempDir, has_program, lock_machine, wait_for};

/// Calls in this state, once there are as many.
fn await_calls(plan: &Plan, state: &str, count: usize) -> Vec<Value> {
    let what = format!("{count} {state} calls");
    wait_for(&what, Duration::from_secs(10), || {
        let listed = plan.ask_edge(&["calls", "list", "--state", state]);
        let calls = listed["calls"].as_array().unwrap().clone();
        (calls.len() == count).then_some(calls)
    })
}

/// Records of calls that were ended with this cause.
fn ended_with(records: &[Value], cause: u16) -> usize {
    let is_one = |record: &&Value| record["ended_by"] == "admin" && record["cause"] == cause;
    records.iter().filter(is_one).count()
}

#[test]
fn e22_confirmed_calls_end_with_bye_to_both_sides() {
    if !has_program(SIPP) {
        return;
    }
    let _lock = lock_machine();
    let callee = free_udp("127.0.0.1");
    let (plan, [public, _]) = Plan::udp("e22", callee);
    let plan = plan.with_admin();
    let relay = plan.start();
    let directory = plan.directory.path();
    let mut answers = server(directory, "uas_quick", &callee.to_string(), &["-m", "8"]);
    // Callers that wait to be hung up on: one user's, and another's.
    let to = public.to_string();
    let more = |user, calls| ["-i", "127.0.0.1", "-r", "20", "-s", user, "-m", calls];
    let anna = Load::start(directory, "uac_ended", &to, &more("anna", "6"));
    let calls = await_calls(&plan, "confirmed", 6);

    // One of them by its number.
    let id = calls[0]["id"].as_str().unwrap();
    let ended = plan.ask_edge(&[
        "calls",
        "end",
        id,
        "--cause",
        "480",
        "--text",
        "Moved house",
    ]);
    assert_eq!(ended["ended"], 1);
    await_calls(&plan, "confirmed", 5);

    // The others of the user, and nobody else's.
    let berta = TempDir::new("e22-berta");
    let berta_calls = Load::start(berta.path(), "uac_ended", &to, &more("berta", "2"));
    await_calls(&plan, "confirmed", 7);
    let ended = plan.ask_edge(&["calls", "end", "--user", "anna", "--cause", "402"]);
    assert_eq!(ended["ended"], 5);
    let anna = anna.finish();
    assert_eq!((anna.successful, anna.failed), (6, 0), "{}", anna.screen);
    let left = await_calls(&plan, "confirmed", 2);
    let is_hers = |call: &Value| call["callee"].as_str().unwrap().starts_with("sip:berta@");
    assert!(left.iter().all(is_hers), "{left:?}");
    plan.ask_edge(&["calls", "end", "--all"]);
    let outcome = berta_calls.finish();
    assert_eq!(
        (outcome.successful, outcome.failed),
        (2, 0),
        "{}",
        outcome.screen
    );
    let status = answers.wait(Duration::from_secs(20));
    assert!(status.success(), "{status}\n{}", answers.log());

    let records = plan.records(8);
    assert_eq!(records.len(), 8, "each call once: {records:?}");
    let of = [480, 402, 200].map(|cause| ended_with(&records, cause));
    assert_eq!(of, [1, 5, 2], "{records:?}");
    let moved = records
        .iter()
        .find(|record| record["cause"] == 480)
        .unwrap();
    assert_eq!(moved["cause_text"], "Moved house");
    await_free(&relay);
}

#[test]
fn e22_early_calls_end_with_cancel() {
    if !has_program(SIPP) {
        return;
    }
    let _lock = lock_machine();
    let callee = free_udp("127.0.0.1");
    let (plan, [public, _]) = Plan::udp("e22-early", callee);
    let plan = plan.with_admin();
    let relay = plan.start();
    let directory = plan.directory.path();
    let mut answers = server(
        directory,
        "uas_cancelled",
        &callee.to_string(),
        &["-m", "3"],
    );
    let more = ["-i", "127.0.0.1", "-r", "20", "-m", "3"];
    let callers = Load::start(directory, "uac_given_up", &public.to_string(), &more);
    await_calls(&plan, "early", 3);
    let ended = plan.ask_edge(&["calls", "end", "--state", "early", "--cause", "503"]);
    assert_eq!(ended["ended"], 3);
    let callers = callers.finish();
    assert_eq!(
        (callers.successful, callers.failed),
        (3, 0),
        "{}",
        callers.screen
    );
    let status = answers.wait(Duration::from_secs(20));
    assert!(status.success(), "{status}\n{}", answers.log());
    assert_eq!(ended_with(&plan.records(3), 503), 3);
    await_free(&relay);
}
