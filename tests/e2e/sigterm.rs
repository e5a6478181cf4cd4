//! The end of the process.

use std::net::UdpSocket;
use std::time::Duration;

use crate::common::phone::{Call, Phone};
use crate::common::process::Relay;

#[test]
fn sigterm_during_calls_ends_cleanly_and_frees_every_port() {
    let mut relay = Relay::start("");
    let mut phones: Vec<Phone> = (0..4).map(|_| Phone::new("127.0.0.1")).collect();
    let mut ports = Vec::new();
    for index in 0..100 {
        let [caller, callee, ..] = &phones[2 * (index % 2)..] else {
            unreachable!()
        };
        let call = Call::set_up(&relay, &format!("call-{index}"), caller, callee);
        ports.extend([call.shown_to_callee, call.shown_to_caller]);
    }
    for phone in &mut phones {
        phone.speak(ports[0], 20);
    }
    relay.process.terminate();
    let status = relay.process.wait(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    assert!(!relay.process.log().contains("panicked"));
    for port in ports {
        UdpSocket::bind(port).unwrap();
    }
}
