//! Calls over the interface: listed, shown, ended (E22), explained; and the drain.

use serde_json::json;

use super::*;

fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1:0"), Phone::new("127.0.0.3:0"))
}

#[tokio::test]
async fn confirmed_call_is_found_and_ended_on_both_sides() {
    let (mut caller, mut callee) = phones();
    let running = Running::start(&[callee.address()], |config, dir| {
        config.cdr = Some(crate::guard::CdrConfig {
            file: dir.0.join("cdr.jsonl"),
            daily: false,
            missed: true,
            failed: true,
        });
    })
    .await;
    let edge = running.edge.local_addr();
    set_up(edge, &mut caller, &mut callee, "c1").await;
    until(async || running.get("/v1/calls?state=confirmed").await["calls"][0].is_object()).await;
    let list = running
        .get("/v1/calls?user=100&target=pbx-1&src=127.0.0.1")
        .await;
    let call = &list["calls"][0];
    let id = call["id"].as_str().unwrap();
    assert_eq!(call["state"], "confirmed");
    assert_eq!(call["caller"], "sip:a@x");
    assert_eq!(call["src"], caller.address().to_string());
    assert_eq!(
        (&call["target"], &call["zone_out"]),
        (&json!("pbx-1"), &json!("core"))
    );
    assert_eq!(
        (&call["from_tag"], &call["to_tag"]),
        (&json!("ac1"), &json!("b"))
    );
    assert_eq!(
        running.get(&format!("/v1/calls/{id}")).await["call_id"],
        "c1"
    );
    for other in [
        "user=nobody",
        "src=192.0.2.1",
        "peer=x",
        "state=early",
        "prefix=9",
    ] {
        let list = running.get(&format!("/v1/calls?{other}")).await;
        assert_eq!(list["calls"], json!([]), "{other}");
    }
    let path = format!("/v1/calls/{id}?cause=480&text=Moved+house");
    assert_eq!(
        running.ask("DELETE", &path, "").await,
        (200, json!({ "ended": 1 }))
    );
    for phone in [&mut callee, &mut caller] {
        let (bye, from) = phone.recv("BYE").await;
        assert!(
            bye.contains("\r\nReason: SIP;cause=480;text=\"Moved house\"\r\n"),
            "{bye}"
        );
        phone.send(&reply(&bye, "200 OK", "x", ""), from).await;
    }
    assert_eq!(running.ask("DELETE", &path, "").await.0, 404, "it is over");
    let Running { edge, dir } = running;
    edge.stop().await;
    // The last line is written when the edge is gone.
    let text = std::fs::read_to_string(dir.0.join("cdr.jsonl")).unwrap();
    let cdr: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(
        (&cdr["ended_by"], &cdr["code"]),
        (&json!("admin"), &json!(200))
    );
    assert_eq!(
        (&cdr["cause"], &cdr["cause_text"]),
        (&json!(480), &json!("Moved house"))
    );
}

#[tokio::test]
async fn early_calls_of_a_user_are_cancelled() {
    let (mut caller, mut callee) = phones();
    let running = Running::start(&[callee.address()], |_, _| {}).await;
    let edge = running.edge.local_addr();
    let us = caller.address();
    caller.send(&invite(us, edge, "100", "c2"), edge).await;
    let (received, from) = callee.recv("INVITE").await;
    callee
        .send(&reply(&received, "180 Ringing", "x", ""), from)
        .await;
    caller.recv("SIP/2.0 180").await;
    let nobody = r#"{"filter":{"user":"nobody"}}"#;
    let end = async |body| running.ask("POST", "/v1/calls/end", body).await;
    assert_eq!(end(nobody).await, (200, json!({ "ended": 0 })));
    let body = r#"{"filter":{"user":"100"},"max":5,"cause":503,"text":"Fraud"}"#;
    assert_eq!(end(body).await, (200, json!({ "ended": 1 })));
    let (cancel, from) = callee.recv("CANCEL").await;
    assert!(
        cancel.contains("Reason: SIP;cause=503;text=\"Fraud\""),
        "{cancel}"
    );
    callee.send(&reply(&cancel, "200 OK", "x", ""), from).await;
    let answer = reply(&received, "487 Request Terminated", "x", "");
    callee.send(&answer, from).await;
    caller.recv("SIP/2.0 487").await;
}

#[tokio::test]
async fn drain_refuses_new_calls_and_ends_those_left() {
    let (mut caller, mut callee) = phones();
    let running = Running::start(&[callee.address()], |_, _| {}).await;
    let edge = running.edge.local_addr();
    set_up(edge, &mut caller, &mut callee, "c3").await;
    let us = caller.address();
    assert_eq!(running.ask("POST", "/v1/drain", "").await.0, 200);
    caller.send(&invite(us, edge, "100", "c4"), edge).await;
    caller.recv("SIP/2.0 503").await;
    assert_eq!(running.ask("GET", "/readyz", "").await.0, 503);
    assert_eq!(running.ask("DELETE", "/v1/drain", "").await.0, 200);
    assert_eq!(running.ask("GET", "/readyz", "").await.0, 200);
    running
        .ask("POST", "/v1/drain", r#"{"deadline":"500ms"}"#)
        .await;
    // The last order counts: without a deadline nothing is ended.
    running.ask("POST", "/v1/drain", "{}").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let list = running.get("/v1/calls?state=confirmed").await;
    assert!(list["calls"][0].is_object(), "{list}");
    running
        .ask("POST", "/v1/drain", r#"{"deadline":"1ms"}"#)
        .await;
    let (bye, _) = callee.recv("BYE").await;
    assert!(bye.contains("text=\"Drained\""), "{bye}");
}

/// At its end the edge waits for calls, or ends them if it is told so (spec §18).
#[tokio::test]
async fn stop_ends_calls_if_told_so() {
    let (mut caller, mut callee) = phones();
    let running = Running::start(&[callee.address()], |config, _| {
        config.drain = Duration::from_secs(30);
        config.end_calls = true;
    })
    .await;
    let edge = running.edge.local_addr();
    set_up(edge, &mut caller, &mut callee, "c5").await;
    until(async || running.get("/v1/calls?state=confirmed").await["calls"][0].is_object()).await;
    let answering = async {
        for phone in [&mut callee, &mut caller] {
            let (bye, from) = phone.recv("BYE").await;
            phone.send(&reply(&bye, "200 OK", "x", ""), from).await;
        }
    };
    tokio::join!(running.edge.stop(), answering);
}

#[tokio::test]
async fn explain_says_what_each_stage_and_route_makes_of_a_message() {
    let (caller, callee) = phones();
    let running = Running::start(&[callee.address()], |config, dir| {
        let screen = config.screen.as_mut().unwrap();
        screen.lists.push(crate::guard::NumberList {
            name: "deny".to_owned(),
            file: dir.write("deny.csv", "prefix,action\n666,deny\n"),
            caller: false,
        });
        config.links.push(crate::config::Link {
            session_timer: crate::config::SessionTimer {
                insert: true,
                ..crate::config::SessionTimer::default()
            },
            ..crate::config::Link::new([0, 1])
        });
    })
    .await;
    let us = caller.address();
    let explain = async |number: &str, source: &str| {
        let message = invite(us, running.edge.local_addr(), number, "c6");
        let body = json!({ "message": message, "source": source }).to_string();
        running.ask("POST", "/v1/explain", &body).await
    };
    let (status, said) = explain("100", "192.0.2.9:5060").await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(
        said["verdict"],
        json!({ "action": "pass", "stage": null }),
        "{said}"
    );
    assert_eq!(said["stages"].as_array().unwrap().len(), 14);
    assert_eq!(said["routing"]["route"], 1);
    assert_eq!(said["target"], format!("pbx-1 sip:{}", callee.address()));
    let leaves: Vec<&str> = said["leaves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    assert!(leaves[0].starts_with("INVITE sip:100@"));
    let count = |name: &str| leaves.iter().filter(|l| l.starts_with(name)).count();
    assert_eq!(
        (count("Via: "), count("Record-Route: ")),
        (2, 2),
        "{leaves:?}"
    );
    assert!(leaves.contains(&"Max-Forwards: 69"), "{leaves:?}");
    assert!(
        !said["leaves"].to_string().contains("Session-Expires"),
        "{said}"
    );
    let message = invite(us, running.edge.local_addr(), "100", "c6");
    let message = message.replace("CSeq: ", "Supported: timer\r\nCSeq: ");
    let body = json!({ "message": message, "source": "192.0.2.9:5060" }).to_string();
    let (_, said) = running.ask("POST", "/v1/explain", &body).await;
    let leaves = said["leaves"].as_array().unwrap();
    for row in ["Session-Expires: 1800", "Min-SE: 90"] {
        assert!(leaves.contains(&json!(row)), "{leaves:?}");
    }
    let (_, said) = explain("666", "192.0.2.9:5060").await;
    let verdict = json!({ "action": "reject 403 Forbidden", "stage": "lists" });
    assert_eq!(
        (&said["verdict"], &said["leaves"]),
        (&verdict, &Value::Null)
    );
    running
        .ask("POST", "/v1/bans", r#"{"address":"192.0.2.9"}"#)
        .await;
    let (_, said) = explain("100", "192.0.2.9:5060").await;
    assert_eq!(
        said["verdict"],
        json!({ "action": "drop", "stage": "bans" })
    );
    // Nothing was counted, and nothing reserved.
    assert_eq!(running.get("/v1/bans/192.0.2.9").await["refused"], 0);
    assert_eq!(running.get("/v1/calls").await["calls"], json!([]));
    assert_eq!(running.get("/v1/targets/pbx-1").await["attempts"], 0);
    let body = json!({ "message": "INVITE x", "source": "192.0.2.9:1" }).to_string();
    let (_, said) = running.ask("POST", "/v1/explain", &body).await;
    assert!(
        said["malformed"].as_str().unwrap().starts_with("400"),
        "{said}"
    );
    let body = json!({ "message": "x", "source": "192.0.2.9:1", "zone": "moon" }).to_string();
    let (status, said) = running.ask("POST", "/v1/explain", &body).await;
    assert_eq!(
        (status, &said["error"]),
        (422, &json!("no zone is called \"moon\""))
    );
}
