//! A phone in a browser (SIP.js over WSS, with ICE and DTLS-SRTP) and a plain one (E32).

use std::time::Duration;

use serde_json::json;

use super::{Certificate, Plan, await_free, listen, secure};
use crate::common::browser::Browser;
use crate::common::process::free_udp;
use crate::common::sipp::{SIPP, server};
use crate::common::{TempDir, has_program, is_long, sip_js};

/// The browser hears what it said, which the plain phone sends back.
fn await_echo(browser: &mut Browser) {
    let before = browser.stats()["received"].as_u64().unwrap_or(0);
    let stats = browser.await_stats("its own audio", |stats| {
        stats["received"].as_u64() > Some(before + 50) && stats["energy"].as_f64() > Some(0.0)
    });
    assert_eq!(stats["dtls"], "connected", "{stats}");
}

#[test]
fn e32_page_talks_to_a_plain_phone() {
    let files = TempDir::new("e32-files");
    let Some(certificate) = Certificate::make(&files).filter(|_| has_program(SIPP)) else {
        return;
    };
    let Some(modules) = sip_js::modules() else {
        return;
    };
    let Some(mut browser) = Browser::start_phone("e32-browser", modules) else {
        return;
    };
    let [wss, core, callee] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let mut plan = Plan::new(
        "e32",
        vec![secure("wss", wss, &certificate)],
        vec![listen("udp", core)],
        &format!("sip:{callee}"),
    );
    plan.media = ["webrtc", "plain"];
    let relay = plan.start();
    let media_port = (free_udp("127.0.0.1").port() & !1).to_string();
    let more = ["-mi", "127.0.0.1", "-mp", &media_port, "-rtp_echo"];
    let _callee = server(
        plan.directory.path(),
        "uas_page",
        &callee.to_string(),
        &more,
    );

    browser.ask(json!({ "do": "connect", "server": format!("wss://{wss}") }));
    browser.ask(json!({ "do": "call", "target": "sip:bob@example.com" }));
    await_echo(&mut browser);
    browser.ask(json!({ "do": "change", "hold": true }));
    browser.ask(json!({ "do": "change", "hold": false }));
    await_echo(&mut browser);
    if is_long() {
        std::thread::sleep(Duration::from_secs(60));
    }
    browser.ask(json!({ "do": "change", "hold": false }));
    await_echo(&mut browser);
    browser.ask(json!({ "do": "end" }));
    await_free(&relay);
}
