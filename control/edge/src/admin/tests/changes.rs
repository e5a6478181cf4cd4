//! Bans, lists, limits, targets and routes, changed while the edge runs.

use serde_json::json;

use super::*;
use crate::guard::{CallLimit, NumberList};

#[tokio::test]
async fn a_ban_silences_and_its_end_does_not() {
    let mut caller = Phone::new("127.0.0.1:0");
    let mut callee = Phone::new("127.0.0.3:0");
    let running = Running::start(&[callee.address()], |_, _| {}).await;
    let (us, edge) = (caller.address(), running.edge.local_addr());
    let body = json!({ "address": us.to_string(), "duration": "1h" }).to_string();
    let (status, ban) = running.ask("POST", "/v1/bans", &body).await;
    assert_eq!(
        (status, &ban["address"]),
        (200, &json!(us.to_string())),
        "{ban}"
    );
    caller.send(&invite(us, edge, "100", "b1"), edge).await;
    let path = format!("/v1/bans/{us}");
    until(async || running.get(&path).await["refused"] == 1).await;
    let bans = running.get("/v1/bans").await;
    assert_eq!(bans["bans"].as_array().unwrap().len(), 1);
    assert_eq!(running.ask("DELETE", &path, "").await.0, 200);
    assert_eq!(running.ask("DELETE", &path, "").await.0, 404);
    caller.send(&invite(us, edge, "100", "b2"), edge).await;
    let (received, _) = callee.recv("INVITE").await;
    assert!(received.contains("Call-ID: b2"), "{received}");
    // What is an upstream's is never banned.
    let body = json!({ "address": "127.0.0.3" }).to_string();
    assert_eq!(running.ask("POST", "/v1/bans", &body).await.0, 409);
}

#[tokio::test]
async fn an_entry_of_a_list_holds_at_once_and_in_its_file() {
    const FILE: &str = "# of the fraud team\nprefix,action\n900,deny\n";
    let mut caller = Phone::new("127.0.0.1:0");
    let running = Running::start(&["127.0.0.3:9".parse().unwrap()], |config, dir| {
        let screen = config.screen.as_mut().unwrap();
        screen.lists.push(NumberList {
            name: "deny".to_owned(),
            file: dir.write("deny.csv", FILE),
            caller: false,
        });
    })
    .await;
    let (us, edge) = (caller.address(), running.edge.local_addr());
    let text = || std::fs::read_to_string(running.dir.0.join("deny.csv")).unwrap();
    let action = async |number: &str| {
        let path = format!("/v1/lists/deny/{number}");
        running.get(&path).await["action"].clone()
    };
    assert_eq!(
        (action("9001").await, action("100").await),
        (json!("deny"), Value::Null)
    );
    let (status, put) = running
        .ask("PUT", "/v1/lists/deny/10", r#"{"action":"deny"}"#)
        .await;
    assert_eq!((status, &put["entries"]), (200, &json!(2)), "{put}");
    assert_eq!(text(), format!("{FILE}10,deny\n"));
    caller.send(&invite(us, edge, "100", "l1"), edge).await;
    caller.recv("SIP/2.0 403").await;
    // An entry that is none changes neither.
    let (status, refused) = running
        .ask("PUT", "/v1/lists/deny/1%202", r#"{"action":"deny"}"#)
        .await;
    assert_eq!(status, 422, "{refused}");
    assert!(
        refused["error"].as_str().unwrap().contains("deny.csv:5:"),
        "{refused}"
    );
    assert_eq!(text(), format!("{FILE}10,deny\n"));
    assert_eq!(running.ask("DELETE", "/v1/lists/deny/10", "").await.0, 200);
    assert_eq!(running.ask("DELETE", "/v1/lists/deny/10", "").await.0, 404);
    assert_eq!(text(), FILE);
    assert_eq!(action("100").await, Value::Null);
    assert_eq!(running.get("/v1/lists").await["lists"][0]["entries"], 1);
    assert_eq!(running.ask("GET", "/v1/lists/none", "").await.0, 404);
}

#[tokio::test]
async fn limits_show_who_holds_their_places() {
    let (mut caller, mut callee) = (Phone::new("127.0.0.1:0"), Phone::new("127.0.0.3:0"));
    let running = Running::start(&[callee.address()], |config, _| {
        let screen = config.screen.as_mut().unwrap();
        screen.limits.push(CallLimit {
            name: "per-source".to_owned(),
            key: "{src_ip}".to_owned(),
            category: None,
            calls: Some(1),
            cps: None,
            max_call: None,
        });
    })
    .await;
    let edge = running.edge.local_addr();
    set_up(edge, &mut caller, &mut callee, "u1").await;
    let limits = running.get("/v1/limits").await;
    assert_eq!(limits["limits"][0]["in_use"], 1, "{limits}");
    let class = running.get("/v1/limits/per-source").await;
    assert_eq!(class["keys"], json!([{ "key": "127.0.0.1", "in_use": 1 }]));
    let calls = running.get("/v1/calls?class=per-source").await;
    assert_eq!(calls["calls"][0]["limits"], json!(["per-source"]));
    let key = running.get("/v1/limits/per-source/192.0.2.1").await;
    assert_eq!(key["keys"], json!([{ "key": "192.0.2.1", "in_use": 0 }]));
    assert_eq!(running.ask("GET", "/v1/limits/none", "").await.0, 404);
    let us = caller.address();
    caller.send(&invite(us, edge, "100", "u2"), edge).await;
    caller.recv("SIP/2.0 403").await;
}

#[tokio::test]
async fn drained_target_gets_no_calls_and_the_dry_run_says_so() {
    let (mut caller, mut second) = (Phone::new("127.0.0.1:0"), Phone::new("127.0.0.3:0"));
    let first = Phone::new("127.0.0.3:0");
    let running = Running::start(&[first.address(), second.address()], |_, _| {}).await;
    let (us, edge) = (caller.address(), running.edge.local_addr());
    let change = async |id: &str, body: &str| {
        let path = format!("/v1/targets/{id}");
        running.ask("PATCH", &path, body).await
    };
    let (status, target) = change("pbx-1", r#"{"state":"drain"}"#).await;
    assert_eq!(
        (status, &target["state"]),
        (200, &json!("drain")),
        "{target}"
    );
    caller.send(&invite(us, edge, "100", "t1"), edge).await;
    second.recv("INVITE").await;
    let run = running.get("/v1/route?number=100&zone=public").await;
    let states: Vec<&Value> = run["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| &target["state"])
        .collect();
    assert_eq!(states, [&json!("tried 1"), &json!("drain")], "{run}");
    let run = running.get("/v1/route?number=100&zone=core").await;
    assert_eq!(
        (&run["route"], &run["passed"][0]["differs"]),
        (&Value::Null, &json!("from_zone"))
    );
    assert_eq!(change("pbx-9", r#"{"weight":1}"#).await.0, 404);
    assert_eq!(change("pbx-1", r#"{"resources":{"x":1}}"#).await.0, 422);
    assert_eq!(change("pbx-1", r#"{"weight":70000}"#).await.0, 422);
    let (_, target) = change("pbx-1", r#"{"state":"up","weight":7}"#).await;
    assert_eq!(
        (&target["state"], &target["weight"]),
        (&json!("up"), &json!(7))
    );
}
