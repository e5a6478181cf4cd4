//! SRTP with keys by SDES between the relay and peers that others wrote: ffmpeg, and baresip (with
//! libsrtp) behind Kamailio.

use std::net::SocketAddr;
use std::time::Duration;

use windlass_ng::{Dict, Value};
use windlass_srtp::Suite;

use crate::common::baresip::{BARESIP, Baresip, Protection};
use crate::common::kamailio::{self, KAMAILIO};
use crate::common::phone::{Phone, answer, offer};
use crate::common::process::{Process, Relay, free_udp};
use crate::common::secure_phone::{crypto_lines, line};
use crate::common::{TempDir, ffmpeg, has_program, lock_machine, sdp, tone, wait_for};

/// Where two ports in a row are free now.
fn two_ports() -> SocketAddr {
    Phone::new("127.0.0.1").address()
}

/// Speaks G.711 from one port to another; `more` are options of the output.
fn speak(
    directory: &TempDir,
    hertz: usize,
    protocol: &str,
    [from, to]: [SocketAddr; 2],
    more: &[&str],
) -> Process {
    let tone = format!("sine=frequency={hertz}:sample_rate=8000:duration=4");
    let url = format!(
        "{protocol}://127.0.0.1:{}?localport={}&pkt_size=172",
        to.port(),
        from.port()
    );
    let mut arguments = vec![
        "-re", "-f", "lavfi", "-i", &tone, "-c:a", "pcm_alaw", "-f", "rtp",
    ];
    arguments.extend(more);
    arguments.push(&url);
    ffmpeg::run(directory, &format!("speaks-{hertz}"), &arguments)
}

/// Writes a second of what an SDP describes. ffmpeg decodes by the last codec of a list, whatever
/// comes, so that there is one only.
fn listen(directory: &TempDir, hertz: usize, sdp: &str) -> Process {
    let (sdp_file, heard) = (format!("{hertz}.sdp"), format!("{hertz}.raw"));
    let others = ["a=rtpmap:0", "a=rtpmap:101", "a=fmtp:101"];
    let is_kept = |line: &&str| !others.iter().any(|other| line.starts_with(other));
    let lines: Vec<&str> = sdp.lines().filter(is_kept).collect();
    directory.file(
        &sdp_file,
        &(lines.join("\r\n").replace("AVP 8 0 101", "AVP 8") + "\r\n"),
    );
    let mut arguments = ffmpeg::OF_SDP.to_vec();
    arguments.extend([
        "-i", &sdp_file, "-t", "1", "-f", "s16le", "-ar", "8000", "-ac", "1", &heard,
    ]);
    ffmpeg::run(directory, &format!("hears-{hertz}"), &arguments)
}

/// What a listener of `listen` heard is the tone.
fn heard_it(directory: &TempDir, hertz: usize, mut listener: Process) {
    let status = listener.wait(Duration::from_secs(15));
    assert!(status.success(), "{}", listener.log());
    let heard = std::fs::read(directory.path().join(format!("{hertz}.raw"))).unwrap();
    tone::is_heard(&heard, hertz);
}

/// Nothing of a call was dropped, and it had media.
fn is_clean(relay: &Relay, id: &str) {
    let query = Dict::new().with("command", "query").with("call-id", id);
    let reply = relay.ask(query).unwrap();
    let totals = reply.get("totals").unwrap().as_dict().unwrap();
    for (protocol, at_least) in [("RTP", 40), ("RTCP", 1)] {
        let figures = totals.get(protocol).unwrap().as_dict().unwrap();
        let figure = |key| figures.get(key).and_then(Value::as_int).unwrap();
        assert!(figure("packets") >= at_least, "{protocol} {figures:?}");
        assert_eq!(figure("errors"), 0, "{protocol} {figures:?}");
    }
}

#[test]
fn ffmpeg_speaks_srtp_to_plain_rtp_and_hears_it() {
    if !has_program(ffmpeg::FFMPEG) {
        return;
    }
    let relay = Relay::start("");
    let directory = TempDir::new("ffmpeg");
    let reply = |request| {
        let reply = relay.ask(request).unwrap();
        reply.get_str("sdp").unwrap().to_owned()
    };
    let secure = |sdp: &str, line: &dyn std::fmt::Display| {
        format!("{}a=crypto:{line}\r\n", sdp.replace("RTP/AVP", "RTP/SAVP"))
    };

    // From SRTP to RTP.
    let (caller, callee) = (two_ports(), two_ports());
    let theirs = line(Suite::AesCm128HmacSha1_80, 1);
    let request = offer("to-plain", &secure(&sdp::audio(caller, ""), &theirs));
    reply(request.with("transport-protocol", "RTP/AVP"));
    let answered = reply(answer("to-plain", &sdp::audio(callee, "")));
    let to_plain = listen(&directory, 1000, &sdp::audio(callee, ""));
    let key = theirs.key.to_string();
    let protect = [
        "-srtp_out_suite",
        "AES_CM_128_HMAC_SHA1_80",
        "-srtp_out_params",
        &key,
    ];
    let ports = [caller, sdp::address(&answered, 0)];
    let _secure_speaker = speak(&directory, 1000, "srtp", ports, &protect);

    // From RTP to SRTP, with short tags.
    let (caller, callee) = (two_ports(), two_ports());
    let short = Suite::AesCm128HmacSha1_32;
    let request = offer("to-secure", &sdp::audio(caller, ""));
    let offered = reply(request.with("transport-protocol", "RTP/SAVP"));
    let ours = crypto_lines(&offered);
    let is_short = |line: &&windlass_sdp::CryptoLine| line.suite.known_name() == Some(short.name());
    let ours = ours.iter().find(is_short).unwrap();
    let mut theirs = line(short, 101);
    theirs.tag = ours.tag;
    let answered = reply(answer(
        "to-secure",
        &secure(&sdp::audio(callee, ""), &theirs),
    ));
    // What it opens is under our key.
    let to_secure = listen(&directory, 600, &secure(&sdp::audio(callee, ""), ours));
    let ports = [caller, sdp::address(&answered, 0)];
    let _plain_speaker = speak(&directory, 600, "rtp", ports, &[]);

    heard_it(&directory, 1000, to_plain);
    heard_it(&directory, 600, to_secure);
    is_clean(&relay, "to-plain");
    is_clean(&relay, "to-secure");
}

/// The proxy has media with keys for some, and without for others (`transport-protocol`). baresip
/// reads keys of 44 bytes with the `=` at their end only.
fn routes(plain: u16, secure: u16) -> String {
    format!(
        r#"request_route {{
    if (has_totag()) {{
        if (loose_route()) {{
            if (is_method("BYE")) {{ rtpengine_delete("delete-delay=0"); }}
            t_relay();
        }}
        exit;
    }}
    if (!is_method("INVITE")) {{ exit; }}
    record_route();
    t_on_reply("MEDIA");
    if ($rU == "plain") {{
        rtpengine_manage("replace-origin transport-protocol=RTP/AVP");
        $du = "sip:127.0.0.1:{plain}";
    }} else {{
        rtpengine_manage("replace-origin SDES-pad transport-protocol=RTP/SAVP");
        $du = "sip:127.0.0.1:{secure}";
    }}
    t_relay();
}}
onreply_route[MEDIA] {{
    if (has_body("application/sdp")) {{ rtpengine_manage("replace-origin"); }}
}}
"#
    )
}

/// Two calls at once, each of two seconds: who calls hangs up. All hear each other's tones, and the
/// relay is left without a port in use.
fn two_calls(
    relay: &Relay,
    directory: &TempDir,
    proxy: SocketAddr,
    [callers, callees]: [&[Baresip<'_>; 2]; 2],
) {
    let mut answering = callees.each_ref().map(|phone| phone.start(directory, None));
    callees.iter().for_each(Baresip::await_ready);
    let mut calling = Vec::new();
    for (caller, callee) in callers.iter().zip(callees) {
        let target = format!("sip:{}@{proxy}", callee.name);
        calling.push(caller.start(directory, Some(&target)));
    }
    wait_for("two calls with media", Duration::from_secs(10), || {
        let reply = relay.ask(Dict::new().with("command", "list")).unwrap();
        let calls = reply.get("calls").unwrap().as_list().unwrap();
        (calls.len() == 2).then_some(())
    });
    // Each hangs up after its time.
    for process in &mut calling {
        process.wait(Duration::from_secs(10));
    }
    for process in &mut answering {
        process.terminate();
        process.wait(Duration::from_secs(10));
    }
    for (caller, callee) in callers.iter().zip(callees) {
        let logs = [caller, callee].map(|phone| log_of(phone, directory));
        caller.heard(directory.path(), callee.hertz, &logs[0]);
        callee.heard(directory.path(), caller.hertz, &logs[1]);
    }
    wait_for("the end of the calls", Duration::from_secs(5), || {
        (relay.leased_ports() == 0).then_some(())
    });
}

fn log_of(phone: &Baresip<'_>, directory: &TempDir) -> String {
    let log = directory.path().join(format!("{}.log", phone.name));
    std::fs::read_to_string(log).unwrap()
}

/// What protected the media of a phone, by its log.
fn suite(log: &str) -> Option<&str> {
    let enabled = log.split_once("SRTP is Enabled (cryptosuite=");
    enabled.and_then(|(_, rest)| Some(rest.split_once(')')?.0))
}

#[test]
fn baresip_with_mandatory_srtp_talks_to_one_without() {
    if !has_program(BARESIP) || !has_program(KAMAILIO) {
        return;
    }
    let _lock = lock_machine();
    let relay = Relay::start("");
    let directory = TempDir::new("baresip");
    let port = || free_udp("127.0.0.1").port();
    let (proxy, plain, secure) = (port(), port(), port());
    let ng = relay.ng.to_string();
    let _kamailio = kamailio::start(&directory, proxy, "", &ng, &routes(plain, secure));
    // A caller offers this one first, a callee takes what is offered first.
    let (offered, taken) = (Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm);
    let phone = |name, port, hertz, suite: Option<Suite>| Baresip {
        protection: suite.map_or(Protection::None, |_| Protection::Sdes),
        ..Baresip::new(name, port, hertz)
    };
    let callees = [
        phone("plain", plain, 400, None),
        phone("secure", secure, 600, Some(taken)),
    ];
    let callers = [
        phone("alice", port(), 1000, Some(offered)),
        phone("bob", port(), 1400, None),
    ];
    let proxy = SocketAddr::from(([127, 0, 0, 1], proxy));
    two_calls(&relay, &directory, proxy, [&callers, &callees]);
    for (phone, expected) in [
        (&callers[0], Some(offered)),
        (&callees[0], None),
        (&callers[1], None),
        (&callees[1], Some(taken)),
    ] {
        let log = log_of(phone, &directory);
        assert_eq!(suite(&log), expected.map(Suite::name), "{log}");
    }
}

/// Each to one like it: mandatory SRTP with keys in SDP, and DTLS-SRTP. The relay ends both on both
/// sides.
#[test]
fn baresip_talks_to_baresip_with_mandatory_srtp_and_with_dtls() {
    if !has_program(BARESIP) || !has_program(KAMAILIO) {
        return;
    }
    let _lock = lock_machine();
    let relay = Relay::start("");
    let directory = TempDir::new("baresips");
    let [proxy, first, second, alice, bob] = [(); 5].map(|()| free_udp("127.0.0.1").port());
    let routes = routes(0, first).replace(
        "if ($rU == \"plain\") {",
        &format!(
            "if ($rU == \"dtls\") {{
        rtpengine_manage(\"replace-origin\");
        $du = \"sip:127.0.0.1:{second}\";
    }} else if ($rU == \"plain\") {{"
        ),
    );
    let ng = relay.ng.to_string();
    let _kamailio = kamailio::start(&directory, proxy, "", &ng, &routes);
    let phone = |name, port, hertz, protection| Baresip {
        protection,
        ..Baresip::new(name, port, hertz)
    };
    let callees = [
        phone("secure", first, 400, Protection::Sdes),
        phone("dtls", second, 600, Protection::Dtls),
    ];
    let callers = [
        phone("alice", alice, 1000, Protection::Sdes),
        phone("bob", bob, 1400, Protection::Dtls),
    ];
    let proxy = SocketAddr::from(([127, 0, 0, 1], proxy));
    two_calls(&relay, &directory, proxy, [&callers, &callees]);
    let log = relay.process.log();
    assert_eq!(log.matches("DTLS connected").count(), 4, "{log}");
    for phone in [&callers[0], &callees[0]] {
        let log = log_of(phone, &directory);
        assert!(suite(&log).is_some(), "{log}");
    }
}
