//! Digits that the other party is not to hear.

use std::time::Duration;

use windlass_ng::{Dict, Value};

use crate::common::phone::{Call, Phone};
use crate::common::process::Relay;

/// Types a digit: three packets of 20 ms, the last one three times.
fn press(phone: &mut Phone, to: std::net::SocketAddr, event: u8, number: u32) {
    let begin = 0x4000 + number * 4000;
    for (end, duration) in [
        (0, 160),
        (0, 320),
        (0x80, 480),
        (0x80, 480),
        (0x80, 480_u16),
    ] {
        let mut packet = phone.packet();
        packet.truncate(12);
        packet[1] = if duration == 160 { 0x80 | 101 } else { 101 };
        packet[4..8].copy_from_slice(&begin.to_be_bytes());
        packet.extend_from_slice(&[event, end | 10]);
        packet.extend_from_slice(&duration.to_be_bytes());
        phone.rtp.send_to(&packet, to).unwrap();
    }
}

/// The digit that a phone hears next, in all the packets that come of it.
fn heard(phone: &Phone) -> u8 {
    let mut buffer = [0; 2048];
    let mut next = || {
        let length = phone.rtp.recv(&mut buffer).ok()?;
        assert_eq!((length, buffer[1] & 0x7f), (16, 101));
        Some(buffer[12])
    };
    let first = next().expect("a digit");
    phone
        .rtp
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    // The copies of the end of a code may be withheld: the block begins with the first of them.
    let others: Vec<u8> = std::iter::from_fn(next).collect();
    phone
        .rtp
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    assert!(
        others.len() >= 2 && others.iter().all(|code| *code == first),
        "{first} {others:?}"
    );
    first
}

#[test]
fn a_code_hides_the_digits_of_a_pin() {
    let relay = Relay::start("");
    let (mut caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let call = Call::set_up_with(&relay, "pin", &caller, &callee, Dict::new());
    caller.speak(call.shown_to_caller, 5);
    assert_eq!(callee.hear(5), 5);
    let flags: Value = ["directional"].into_iter().collect();
    let block = Dict::new()
        .with("command", "block DTMF")
        .with("call-id", "pin")
        .with("from-tag", "caller")
        .with("flags", flags)
        .with("trigger", "12")
        .with("DTMF-security-trigger", "zero")
        .with("trigger-end-digits", 3);
    relay.ask(block).unwrap();
    let typed = [1, 2, 7, 8, 9, 6];
    let expected = [1, 2, 0, 0, 0, 6];
    for (number, (event, expected)) in (0..).zip(typed.into_iter().zip(expected)) {
        press(&mut caller, call.shown_to_caller, event, number);
        assert_eq!(heard(&callee), expected, "digit {number}");
    }
    call.delete(&relay);
}
