//! SRTP with keys by SDES (RFC 3711, RFC 4568) between phones of the tests and the relay.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use windlass_ng::{Dict, Value};
use windlass_srtp::Suite;

use crate::common::phone::{Call, Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::secure_phone::{SPEECH, SecurePhone, crypto_lines, receive};
use crate::common::{TempDir, is_long, sdp, wait_for};

const PACKETS: usize = 10;

/// How long packets under the keys of before are taken.
const LATE_KEYS: Duration = Duration::from_secs(2);

/// What the most common phones have.
const CM: Suite = Suite::AesCm128HmacSha1_80;

fn reply_sdp(relay: &Relay, request: Dict) -> String {
    let reply = relay.ask(request).unwrap();
    reply.get_str("sdp").unwrap().to_owned()
}

fn with_rtcp(rtp: SocketAddr) -> SocketAddr {
    SocketAddr::new(rtp.ip(), rtp.port() + 1)
}

/// A caller with SRTP, a callee without.
struct Bridge {
    call: Call,
    caller: SecurePhone,
    callee: Phone,
}

impl Bridge {
    fn set_up(relay: &Relay, id: &str, suite: Suite) -> Self {
        Self::set_up_with(relay, id, suite, Dict::new())
    }

    /// `more` goes into the offer.
    fn set_up_with(relay: &Relay, id: &str, suite: Suite, more: Dict) -> Self {
        let (caller, callee) = (SecurePhone::new(suite, 1), Phone::new("127.0.0.1"));
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut bridge = Self {
            call: Call {
                id: id.to_owned(),
                shown_to_callee: unknown,
                shown_to_caller: unknown,
            },
            caller,
            callee,
        };
        bridge.negotiate(relay, "", "", more);
        bridge.talk(PACKETS);
        bridge
    }

    /// Offer and answer, both with the keys that are in force at the phones.
    fn negotiate(&mut self, relay: &Relay, of_caller: &str, of_callee: &str, more: Dict) {
        let mut request =
            offer(&self.call.id, &self.caller.sdp(of_caller)).with("transport-protocol", "RTP/AVP");
        request.extend(more.into_entries());
        let shown = reply_sdp(relay, request);
        assert!(shown.contains(" RTP/AVP ") && !shown.contains("a=crypto"));
        self.call.shown_to_callee = sdp::address(&shown, 0);
        let theirs = sdp::audio(self.callee.address(), of_callee);
        let shown = reply_sdp(relay, answer(&self.call.id, &theirs));
        assert!(shown.contains(" RTP/SAVP "), "{shown}");
        self.call.shown_to_caller = sdp::address(&shown, 0);
        self.caller.accept(&shown);
    }

    fn caller_speaks(&mut self, packets: usize) {
        self.caller.speak(self.call.shown_to_caller, packets);
        for _ in 0..packets {
            let heard = receive(&self.callee.rtp).expect("what the caller said");
            assert_eq!(heard[12..], SPEECH);
        }
    }

    fn callee_speaks(&mut self, packets: usize) {
        self.callee.speak(self.call.shown_to_callee, packets);
        assert_eq!(self.caller.hear(packets), packets);
    }

    /// Both skip numbers, as if that many packets had been lost. Those of the caller are authentic; a
    /// phone without keys is followed far ahead after two packets.
    fn go_on_at(&mut self, caller: u16, callee: u16) {
        self.caller.plain.sequence = caller;
        let gap = callee.wrapping_sub(self.callee.sequence);
        self.callee.sequence = callee;
        if gap >= 128 {
            self.callee.speak(self.call.shown_to_callee, 2);
        }
    }

    /// Both speak, and lose nothing.
    fn talk(&mut self, packets: usize) {
        self.caller_speaks(packets);
        self.callee_speaks(packets);
    }

    /// Sends from the caller's own socket, where nothing but its keys tells it from an attacker.
    fn attack(&self, packet: &[u8]) {
        let to = self.call.shown_to_caller;
        self.caller.plain.rtp.send_to(packet, to).unwrap();
    }
}

/// Reports of both sides arrive, on the RTCP ports or on those of RTP.
fn reports_pass(bridge: &mut Bridge, is_muxed: bool) {
    let report = bridge.caller.plain.report();
    let sealed = bridge.caller.sealed(&report);
    let (caller, callee) = (&bridge.caller.plain, &bridge.callee);
    let from_callee = callee.report();
    let heard = if is_muxed {
        let call = &bridge.call;
        caller.rtp.send_to(&sealed, call.shown_to_caller).unwrap();
        callee
            .rtp
            .send_to(&from_callee, call.shown_to_callee)
            .unwrap();
        (receive(&callee.rtp), bridge.caller.next())
    } else {
        let to_caller = with_rtcp(bridge.call.shown_to_caller);
        let to_callee = with_rtcp(bridge.call.shown_to_callee);
        caller.rtcp.send_to(&sealed, to_caller).unwrap();
        callee.rtcp.send_to(&from_callee, to_callee).unwrap();
        (receive(&callee.rtcp), bridge.caller.next_report())
    };
    assert_eq!(heard, (Some(report), Some(from_callee)), "{is_muxed}");
}

#[test]
fn every_suite_is_bridged_to_plain_rtp() {
    let relay = Relay::start("");
    for suite in Suite::ALL {
        let mut bridge = Bridge::set_up(&relay, suite.name(), suite);
        reports_pass(&mut bridge, false);
        let mux = "a=rtcp-mux\r\n";
        bridge.negotiate(&relay, mux, mux, Dict::new());
        bridge.talk(PACKETS);
        reports_pass(&mut bridge, true);
        bridge.call.delete(&relay);
    }
    assert_eq!(relay.leased_ports(), 0);
}

#[test]
fn every_suite_is_bridged_to_another_one() {
    let relay = Relay::start("");
    for (near, far) in Suite::ALL
        .into_iter()
        .zip(Suite::ALL.into_iter().cycle().skip(5))
    {
        let id = near.name();
        let (mut caller, mut callee) = (SecurePhone::new(near, 1), SecurePhone::new(far, 101));
        let offered = reply_sdp(&relay, offer(id, &caller.sdp("")));
        assert_eq!(crypto_lines(&offered).len(), Suite::ALL.len());
        callee.accept(&offered);
        let answered = reply_sdp(&relay, answer(id, &callee.sdp("")));
        caller.accept(&answered);
        let (to_callee, to_caller) = (sdp::address(&offered, 0), sdp::address(&answered, 0));
        caller.speak(to_caller, PACKETS);
        assert_eq!(callee.hear(PACKETS), PACKETS, "{near} to {far}");
        callee.speak(to_callee, PACKETS);
        assert_eq!(caller.hear(PACKETS), PACKETS, "{far} to {near}");
        report_passes(&mut caller, &mut callee, with_rtcp(to_caller));
        report_passes(&mut callee, &mut caller, with_rtcp(to_callee));
    }
}

fn report_passes(from: &mut SecurePhone, to: &mut SecurePhone, at: SocketAddr) {
    let report = from.plain.report();
    let sealed = from.sealed(&report);
    from.plain.rtcp.send_to(&sealed, at).unwrap();
    assert_eq!(to.next_report(), Some(report));
}

/// The same ports, other keys: from the answer on both sides use the new ones.
#[test]
fn new_keys_in_mid_call_lose_nothing() {
    let relay = Relay::start("");
    for suite in [CM, Suite::AeadAes256Gcm, Suite::F8_128HmacSha1_80] {
        let mut bridge = Bridge::set_up(&relay, suite.name(), suite);
        let mut too_late = Vec::new();
        for seed in [2, 3] {
            let late = bridge.caller.packet();
            too_late.push(bridge.caller.packet());
            bridge.caller.change_key(seed);
            bridge.negotiate(&relay, "", "", Dict::new());
            bridge.talk(PACKETS);
            // What was on its way comes through, once.
            for expected in [1, 0] {
                bridge.attack(&late);
                assert_eq!(bridge.callee.hear(1), expected);
            }
            bridge.talk(PACKETS);
        }
        reports_pass(&mut bridge, false);
        // Later the old keys are of no use to anybody.
        std::thread::park_timeout(LATE_KEYS);
        for packet in &too_late {
            bridge.attack(packet);
        }
        assert_eq!(bridge.callee.hear(1), 0);
        bridge.talk(PACKETS);
    }
}

/// Between two that have keys, one of them changes its own.
#[test]
fn new_keys_of_one_side_are_passed_on() {
    let relay = Relay::start("");
    let (mut caller, mut callee) = (SecurePhone::new(CM, 1), SecurePhone::new(CM, 101));
    for seed in [2, 3, 4] {
        let offered = reply_sdp(&relay, offer("both", &caller.sdp("")));
        callee.accept(&offered);
        let answered = reply_sdp(&relay, answer("both", &callee.sdp("")));
        caller.accept(&answered);
        caller.speak(sdp::address(&answered, 0), PACKETS);
        assert_eq!(callee.hear(PACKETS), PACKETS);
        callee.speak(sdp::address(&offered, 0), PACKETS);
        assert_eq!(caller.hear(PACKETS), PACKETS);
        caller.change_key(seed);
    }
}

#[test]
fn a_held_call_goes_on_under_its_keys() {
    let relay = Relay::start("");
    let mut bridge = Bridge::set_up(&relay, "hold", CM);
    bridge.negotiate(&relay, "a=sendonly\r\n", "a=recvonly\r\n", Dict::new());
    bridge.callee.speak(bridge.call.shown_to_callee, PACKETS);
    assert_eq!(bridge.caller.hear(1), 0);
    bridge.caller_speaks(PACKETS);
    bridge.negotiate(&relay, "", "", Dict::new());
    bridge.talk(PACKETS);
}

/// The rollover counter is in no packet: both sides have to count the wraps.
#[test]
fn sequence_numbers_wrap() {
    let relay = Relay::start("");
    for suite in [CM, Suite::AeadAes128Gcm] {
        let mut bridge = Bridge::set_up(&relay, suite.name(), suite);
        let mut wraps = 0;
        for _ in 0..20 {
            let before = bridge.caller.plain.sequence;
            // As if so many packets had been lost.
            let after = |phone: &Phone| phone.sequence.wrapping_add(20_000);
            bridge.go_on_at(after(&bridge.caller.plain), after(&bridge.callee));
            bridge.talk(3);
            wraps += usize::from(bridge.caller.plain.sequence < before);
        }
        assert!(wraps >= 5, "{wraps}");
        // And once more without a gap.
        for _ in 0..6 {
            let after = |phone: &Phone| {
                let left = (u16::MAX - 9).saturating_sub(phone.sequence);
                phone.sequence + left.min(20_000)
            };
            bridge.go_on_at(after(&bridge.caller.plain), after(&bridge.callee));
            bridge.talk(1);
        }
        bridge.talk(PACKETS);
        assert!(bridge.callee.sequence < 100);
    }
}

/// What was heard on the way, and sent again or changed, goes nowhere and hurts nobody.
#[test]
fn replayed_and_changed_packets_are_not_forwarded() {
    let relay = Relay::start("");
    let thief = UdpSocket::bind("127.0.0.1:0").unwrap();
    for suite in [CM, Suite::AesCm128HmacSha1_32, Suite::AeadAes128Gcm] {
        let mut bridge = Bridge::set_up(&relay, suite.name(), suite);
        let to = bridge.call.shown_to_caller;
        let heard: Vec<_> = (0..5).map(|_| bridge.caller.packet()).collect();
        for packet in &heard {
            bridge.attack(packet);
            assert_eq!(bridge.callee.hear(1), 1);
        }
        let report = bridge.caller.plain.report();
        let report = bridge.caller.sealed(&report);
        let at = with_rtcp(to);
        for _ in 0..2 {
            bridge.caller.plain.rtcp.send_to(&report, at).unwrap();
        }
        assert_eq!(bridge.callee.hear_reports(2), 1);
        for packet in heard.iter().chain([&bridge.caller.packet()]) {
            bridge.attack(packet);
            thief.send_to(packet, to).unwrap();
            for bit in (0..packet.len() * 8).step_by(7) {
                let mut changed = packet.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                bridge.attack(&changed);
                thief.send_to(&changed, to).unwrap();
            }
            // So that no buffer overflows.
            std::thread::park_timeout(Duration::from_millis(5));
        }
        // The last of them was new, and authentic.
        assert_eq!(bridge.callee.hear(2), 1, "{suite}");
        bridge.talk(PACKETS);
    }
}

/// A provisional answer in plain, and one with keys after it (RFC 8643).
#[test]
fn osrtp_may_begin_in_plain() {
    let relay = Relay::start("");
    let (mut caller, mut callee) = (SecurePhone::new(CM, 1), SecurePhone::new(CM, 101));
    let opportunistic = |sdp: String| sdp.replace("RTP/SAVP", "RTP/AVP");
    let offered = reply_sdp(&relay, offer("osrtp", &opportunistic(caller.sdp(""))));
    let plain = sdp::audio(callee.plain.address(), "");
    let answered = reply_sdp(&relay, answer("osrtp", &plain));
    let (to_callee, to_caller) = (sdp::address(&offered, 0), sdp::address(&answered, 0));
    caller.plain.speak(to_caller, PACKETS);
    assert_eq!(callee.plain.hear(PACKETS), PACKETS);
    callee.plain.speak(to_callee, PACKETS);
    assert_eq!(caller.plain.hear(PACKETS), PACKETS);
    callee.accept(&offered);
    let answered = reply_sdp(&relay, answer("osrtp", &opportunistic(callee.sdp(""))));
    caller.accept(&answered);
    caller.speak(to_caller, PACKETS);
    assert_eq!(callee.hear(PACKETS), PACKETS);
    callee.speak(to_callee, PACKETS);
    assert_eq!(caller.hear(PACKETS), PACKETS);
}

#[test]
fn plain_rtp_has_no_way_into_a_secure_leg() {
    let relay = Relay::start("");
    let mut bridge = Bridge::set_up(&relay, "plain", CM);
    let (mut thief, at) = (Phone::new("127.0.0.1"), bridge.call.shown_to_caller);
    for _ in 0..PACKETS {
        let packet = bridge.caller.plain.packet();
        bridge.attack(&packet);
        let report = bridge.caller.plain.report();
        bridge
            .caller
            .plain
            .rtcp
            .send_to(&report, with_rtcp(at))
            .unwrap();
    }
    thief.speak(at, PACKETS);
    assert_eq!(
        (bridge.callee.hear(1), bridge.callee.hear_reports(1)),
        (0, 0)
    );
    bridge.talk(PACKETS);
}

/// A hundred thousand packets of others beside a call: it loses none of its own, and the relay
/// does not grow.
#[test]
fn a_flood_of_bad_packets_hurts_nobody() {
    /// A million where `WINDLASS_LONG` is set.
    const BAD: usize = 100;
    /// What the log's buffers and the like may take.
    const GROWTH_KIB: u64 = 8 * 1024;
    let rounds = if is_long() { 10_000 } else { 1_000 };
    let relay = Relay::start("");
    let mut bridge = Bridge::set_up(&relay, "flood", CM);
    let mut thief = Phone::new("127.0.0.1");
    let to = bridge.call.shown_to_caller;
    let mut before = 0;
    for round in 0..rounds {
        if round == rounds / 10 {
            before = relay.process.rss_kib();
        }
        for number in 0..BAD {
            let mut packet = match number % 4 {
                0 => bridge.caller.plain.packet(),
                1 => bridge.caller.packet(),
                _ => thief.packet(),
            };
            if number % 4 == 1 {
                // Its tag.
                *packet.last_mut().unwrap() ^= 1;
            }
            if number % 4 == 3 {
                // Another source each time.
                let source = (round * BAD + number) as u32;
                packet[8..12].copy_from_slice(&source.to_be_bytes());
            }
            match number % 2 {
                0 => thief.rtp.send_to(&packet, to).unwrap(),
                _ => bridge.caller.plain.rtp.send_to(&packet, to).unwrap(),
            };
        }
        // That it is heard tells that all before it were looked at: no buffer overflows.
        bridge.caller_speaks(1);
        if round % 10 == 0 {
            bridge.callee_speaks(1);
        }
    }
    let after = relay.process.rss_kib();
    assert!(
        after < before + GROWTH_KIB,
        "{before} KiB, then {after} KiB"
    );
    bridge.talk(PACKETS);
    assert_eq!(bridge.callee.hear(1), 0);
}

#[test]
fn a_recording_holds_what_was_said() {
    let directory = TempDir::new("srtp-recording");
    let dir = directory.path().display();
    let relay = Relay::start(&format!("[recording]\ndir = \"{dir}\"\n"));
    let record = Dict::new().with("record-call", "yes");
    let bridge = Bridge::set_up_with(&relay, "recorded", CM, record);
    bridge.call.delete(&relay);
    let captured = wait_for("the capture", Duration::from_secs(5), || {
        let mut files = std::fs::read_dir(directory.path().join("pcaps")).ok()?;
        let capture = std::fs::read(files.next()?.ok()?.path()).ok()?;
        // A header of 24 bytes, then records of 16 and a packet of 200: IP, UDP, RTP.
        (capture.len() == 24 + 2 * PACKETS * 216).then_some(capture)
    });
    for record in captured[24..].chunks(216) {
        assert_eq!(record[16 + 20 + 8 + 12..], SPEECH);
    }
}

#[test]
fn digits_are_reported_from_srtp_and_played_into_it() {
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = Some(Duration::from_secs(5));
    listener.set_read_timeout(patience).unwrap();
    let destination = listener.local_addr().unwrap();
    let relay = Relay::start(&format!("[dtmf]\nlog_dest = \"{destination}\"\n"));
    let mut bridge = Bridge::set_up(&relay, "digits", CM);
    for packet in bridge.caller.plain.digit(5) {
        let packet = bridge.caller.sealed(&packet);
        bridge.attack(&packet);
    }
    let reported = String::from_utf8(receive(&listener).expect("a digit")).unwrap();
    assert!(
        reported.contains("\"source_tag\":\"caller\"") && reported.contains("\"event\":5,"),
        "{reported}"
    );
    assert_eq!(bridge.callee.hear(6), 6);
    bridge.talk(1);
    let play = Dict::new()
        .with("command", "play DTMF")
        .with("call-id", "digits")
        .with("from-tag", "callee")
        .with("code", "7")
        .with("duration", 100);
    relay.ask(play).unwrap();
    let mut events = Vec::new();
    while events
        .iter()
        .filter(|event: &&Vec<u8>| event[1] & 0x80 != 0)
        .count()
        < 3
    {
        let packet = bridge.caller.next().expect("more of the digit");
        assert_eq!(packet[1] & 0x7f, 101);
        events.push(packet[12..].to_vec());
    }
    assert!(events.len() >= 6, "{events:?}");
    assert!(events.iter().all(|event| event[0] == 7), "{events:?}");
}

/// At the level debug, and of a call that is to be logged in full.
#[test]
fn no_key_is_in_the_log() {
    let relay = Relay::start("");
    let (mut caller, mut callee) = (SecurePhone::new(CM, 1), SecurePhone::new(CM, 101));
    let mut keys = Vec::new();
    let flags: Value = ["debug"].into_iter().collect();
    for seed in [2, 3] {
        let request = offer("logged", &caller.sdp("")).with("flags", flags.clone());
        let offered = reply_sdp(&relay, request);
        callee.accept(&offered);
        let answered = reply_sdp(&relay, answer("logged", &callee.sdp("")));
        caller.accept(&answered);
        for sdp in [caller.sdp(""), callee.sdp(""), offered, answered] {
            keys.extend(crypto_lines(&sdp));
        }
        caller.change_key(seed);
    }
    // What is refused may be logged with what it said.
    for broken in [
        caller.sdp("").replace("a=crypto:", "a=crypto:x"),
        caller.sdp("m=audio"),
    ] {
        let _ = relay.ask(offer("broken", &broken).with("flags", flags.clone()));
    }
    keys.extend(crypto_lines(&caller.sdp("")));
    for command in ["query", "list", "delete"] {
        let request = Dict::new().with("command", command);
        relay.ask(request.with("call-id", "logged")).unwrap();
    }
    let log = wait_for("the log", Duration::from_secs(5), || {
        let log = relay.process.log();
        log.contains("'delete'").then_some(log)
    });
    assert!(log.contains("AES_CM_128_HMAC_SHA1_80 inline:…"), "{log}");
    for line in keys {
        let bytes = line.key_salt().unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{:?}", &bytes[..8]);
        for shown in [
            line.key.to_string(),
            hex,
            list[1..list.len() - 1].to_owned(),
        ] {
            assert!(!log.contains(&shown), "{shown}");
        }
    }
}
