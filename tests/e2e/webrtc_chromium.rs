//! A browser in a call with a plain RTP phone: DTLS-SRTP, ICE and mux on one side, nothing of it on
//! the other (spec: media-behaviour §5–§7).

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use windlass_ng::{Dict, Value};

use super::common::browser::Browser;
use super::common::phone::{answer, offer};
use super::common::process::Relay;
use super::common::{sdp, wait_for};

/// A plain phone that talks all the time: a tone of 1 kHz in A-law.
struct Talker {
    address: SocketAddr,
    heard: Arc<Heard>,
    to: Arc<Mutex<Option<SocketAddr>>>,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Heard {
    packets: AtomicUsize,
    /// Packets of audio that is not silence.
    loud: AtomicUsize,
    /// Packets of RFC 4733 events.
    events: AtomicUsize,
    first_at: Mutex<Option<Instant>>,
}

/// One period of 1 kHz at 8 kHz, A-law.
const TONE: [u8; 8] = [0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4];

impl Talker {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut phone = Self {
            address: socket.local_addr().unwrap(),
            heard: Arc::default(),
            to: Arc::default(),
            ends: Arc::default(),
            threads: Vec::new(),
        };
        let speaking = socket.try_clone().unwrap();
        let (to, ends) = (phone.to.clone(), phone.ends.clone());
        phone.threads.push(std::thread::spawn(move || {
            let mut next = Instant::now();
            for number in 0u16.. {
                if ends.load(Relaxed) {
                    return;
                }
                if let Some(to) = *to.lock().unwrap() {
                    let mut packet = vec![0x80, 8];
                    packet.extend_from_slice(&number.to_be_bytes());
                    packet.extend_from_slice(&(u32::from(number) * 160).to_be_bytes());
                    packet.extend_from_slice(&0x5151_5151_u32.to_be_bytes());
                    packet.extend(TONE.iter().cycle().take(160));
                    let _ = speaking.send_to(&packet, to);
                }
                next += Duration::from_millis(20);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }));
        let (heard, ends) = (phone.heard.clone(), phone.ends.clone());
        phone.threads.push(std::thread::spawn(move || {
            let mut packet = [0; 2048];
            while !ends.load(Relaxed) {
                let Ok(length) = socket.recv(&mut packet) else {
                    continue;
                };
                match packet[1] & 0x7f {
                    8 => {
                        heard.packets.fetch_add(1, Relaxed);
                        heard
                            .first_at
                            .lock()
                            .unwrap()
                            .get_or_insert_with(Instant::now);
                        let is_loud = packet[12..length].iter().any(|&it| it & 0x7f ^ 0x55 > 32);
                        heard.loud.fetch_add(usize::from(is_loud), Relaxed);
                    }
                    101 | 110 | 126 => drop(heard.events.fetch_add(1, Relaxed)),
                    _ => {}
                }
            }
        }));
        phone
    }

    fn sdp(&self) -> String {
        // The browser's number for events of 8 kHz.
        sdp::audio(self.address, "")
            .replace("RTP/AVP 8 0 101", "RTP/AVP 8 126")
            .replace(":101 ", ":126 ")
    }

    fn talk_to(&self, sdp: &str) {
        *self.to.lock().unwrap() = Some(sdp::address(sdp, 0));
    }

    fn heard(&self) -> usize {
        self.heard.packets.load(Relaxed)
    }

    fn await_more(&self, packets: usize) {
        let before = self.heard();
        wait_for("audio of the browser", Duration::from_secs(20), || {
            (self.heard() >= before + packets).then_some(())
        });
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.ends.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// An offer of the browser for the phone.
fn to_plain(id: &str, sdp: &str) -> Dict {
    offer(id, sdp)
        .with("transport-protocol", "RTP/AVP")
        .with("ICE", "remove")
        .with("BUNDLE", Value::List(vec!["accept".into()]))
        .with("rtcp-mux", Value::List(vec!["demux".into()]))
}

/// An offer of the phone for the browser.
fn to_browser(id: &str, sdp: &str) -> Dict {
    offer(id, sdp)
        .with("transport-protocol", "UDP/TLS/RTP/SAVPF")
        .with("ICE", "force")
        .with("SDES", Value::List(vec!["off".into()]))
        .with(
            "rtcp-mux",
            Value::List(vec!["offer".into(), "require".into()]),
        )
}

fn sdp_of(relay: &Relay, request: Dict) -> String {
    let reply = relay.ask(request).unwrap();
    reply.get_str("sdp").unwrap().to_owned()
}

/// Audio goes both ways: the browser hears the tone, the phone hears the browser's beeps.
fn await_audio(browser: &mut Browser, phone: &Talker) {
    let stats = browser.await_stats("audio of the phone", |stats| {
        stats["received"].as_u64() > Some(50) && stats["energy"].as_f64() > Some(0.01)
    });
    assert_eq!(stats["dtls"], "connected", "{stats}");
    phone.await_more(50);
    wait_for("a beep of the browser", Duration::from_secs(10), || {
        (phone.heard.loud.load(Relaxed) > 0).then_some(())
    });
}

#[test]
fn a_browser_calls_a_plain_phone() {
    let Some(mut browser) = Browser::start("browser-calls") else {
        return;
    };
    let relay = Relay::start("");
    let phone = Talker::new();
    let shown = sdp_of(
        &relay,
        to_plain("c1", &browser.sdp(json!({ "do": "offer" }))),
    );
    assert!(
        shown.contains("RTP/AVP ") && !shown.contains("candidate"),
        "{shown}"
    );
    phone.talk_to(&shown);
    let answered = sdp_of(&relay, answer("c1", &phone.sdp()));
    let answered_at = Instant::now();
    browser.ask(json!({ "do": "accept", "sdp": answered }));
    await_audio(&mut browser, &phone);
    let first = phone.heard.first_at.lock().unwrap().unwrap();
    println!(
        "first audio {:?} after the answer",
        first.saturating_duration_since(answered_at)
    );

    // Muted, it sends silence; on hold, nothing.
    browser.ask(json!({ "do": "mute", "on": true }));
    phone.await_more(20);
    browser.ask(json!({ "do": "mute", "on": false }));

    // Digits of the browser are events at the phone.
    browser.ask(json!({ "do": "dtmf", "tones": "42" }));
    wait_for("events", Duration::from_secs(10), || {
        (phone.heard.events.load(Relaxed) >= 6).then_some(())
    });

    // An ICE restart: new credentials, and audio goes on.
    let again = browser.sdp(json!({ "do": "offer", "options": { "iceRestart": true } }));
    sdp_of(&relay, to_plain("c1", &again));
    let answered = sdp_of(&relay, answer("c1", &phone.sdp()));
    browser.ask(json!({ "do": "accept", "sdp": answered }));
    let before = browser.stats()["received"].as_u64().unwrap_or(0);
    browser.await_stats("audio after the restart", |stats| {
        stats["received"].as_u64() > Some(before + 100)
    });
    phone.await_more(50);

    // Hold, and back.
    browser.ask(json!({ "do": "direction", "to": "inactive" }));
    let held = browser.sdp(json!({ "do": "offer" }));
    sdp_of(&relay, to_plain("c1", &held));
    let on_hold = phone.sdp() + "a=inactive\r\n";
    let answered = sdp_of(&relay, answer("c1", &on_hold));
    browser.ask(json!({ "do": "accept", "sdp": answered }));
    browser.ask(json!({ "do": "direction", "to": "sendrecv" }));
    let back = browser.sdp(json!({ "do": "offer" }));
    sdp_of(&relay, to_plain("c1", &back));
    let answered = sdp_of(&relay, answer("c1", &phone.sdp()));
    browser.ask(json!({ "do": "accept", "sdp": answered }));
    let before = browser.stats()["received"].as_u64().unwrap_or(0);
    browser.await_stats("audio after the hold", |stats| {
        stats["received"].as_u64() > Some(before + 50)
    });
    phone.await_more(50);
}

#[test]
fn a_plain_phone_calls_a_browser() {
    let Some(mut browser) = Browser::start("browser-is-called") else {
        return;
    };
    let relay = Relay::start("");
    let phone = Talker::new();
    let shown = sdp_of(&relay, to_browser("c2", &phone.sdp()));
    let answered = browser.sdp(json!({ "do": "answer", "sdp": shown }));
    let answered = sdp_of(&relay, answer("c2", &answered));
    assert!(answered.contains("RTP/AVP "), "{answered}");
    phone.talk_to(&answered);
    await_audio(&mut browser, &phone);
    browser.ask(json!({ "do": "close" }));
}
