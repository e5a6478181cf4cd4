//! What is done with media beside relaying it, and the listeners beside ng over UDP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use windlass_ng::client::{Client, ClientOptions};
use windlass_ng::{Dict, Value};

use crate::common::phone::{Call, Phone};
use crate::common::process::{Process, Relay, free_udp};
use crate::common::{TempDir, wait_for};

fn command(name: &'static str, call: &str) -> Dict {
    Dict::new().with("command", name).with("call-id", call)
}

/// Lets both streams settle, so that packets count from here on.
fn settle(call: &Call, caller: &mut Phone, callee: &mut Phone) {
    caller.speak(call.shown_to_caller, 5);
    assert_eq!(callee.hear(5), 5);
    callee.speak(call.shown_to_callee, 5);
    assert_eq!(caller.hear(5), 5);
}

#[test]
fn a_call_is_recorded_into_a_capture_file() {
    let directory = TempDir::new("recording");
    let dir = directory.path().display();
    let relay = Relay::start(&format!("[recording]\ndir = \"{dir}\"\n"));
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let more = Dict::new()
        .with("record-call", "yes")
        .with("metadata", "who:alice");
    let call = Call::set_up_with(&relay, "recorded", &caller, &callee, more);
    settle(&call, &mut caller, &mut callee);
    relay.ask(command("pause recording", "recorded")).unwrap();
    caller.speak(call.shown_to_caller, 5);
    assert_eq!(callee.hear(5), 5);
    let reply = relay.ask(command("start recording", "recorded")).unwrap();
    // Offers and answers name the file.
    assert!(reply.get("recordings").is_none());
    let mut files = std::fs::read_dir(directory.path().join("pcaps")).unwrap();
    let file = files.next().unwrap().unwrap().path().display().to_string();
    assert!(
        file.contains("/pcaps/recorded-") && file.ends_with(".pcap"),
        "{file}"
    );
    caller.speak(call.shown_to_caller, 5);
    assert_eq!(callee.hear(5), 5);
    call.delete(&relay);
    let metadata = wait_for("the metadata", Duration::from_secs(5), || {
        let mut files = std::fs::read_dir(directory.path().join("metadata")).ok()?;
        std::fs::read_to_string(files.next()?.ok()?.path()).ok()
    });
    assert!(
        metadata.starts_with(&file) && metadata.contains("who:alice"),
        "{metadata}"
    );
    assert!(
        metadata.contains("SDP mode: offer") && metadata.contains("call end time: "),
        "{metadata}"
    );
    let capture = std::fs::read(&file).unwrap();
    // Link type RAW, then records of 16 bytes and a packet of 200: IP, UDP, RTP.
    assert_eq!(capture[20..24], 101_u32.to_le_bytes());
    let packets = (capture.len() - 24) / (16 + 200);
    assert_eq!(packets, 15, "{} bytes", capture.len());
}

#[test]
fn dtmf_codes_control_the_recording() {
    let directory = TempDir::new("vsc");
    let dir = directory.path().display();
    let relay = Relay::start(&format!(
        "[recording]\ndir = \"{dir}\"\nstart_stop_code = \"5\"\n"
    ));
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let flags: Value = ["recording-vsc"].into_iter().collect();
    let call = Call::set_up_with(
        &relay,
        "coded",
        &caller,
        &callee,
        Dict::new().with("flags", flags),
    );
    settle(&call, &mut caller, &mut callee);
    let is_recording = || {
        let reply = relay.ask(command("query", "coded")).unwrap();
        reply.get("recording").is_some()
    };
    assert!(!is_recording());
    for packet in caller.digit(5) {
        caller.rtp.send_to(&packet, call.shown_to_caller).unwrap();
    }
    wait_for("the recording", Duration::from_secs(5), || {
        is_recording().then_some(())
    });
    assert_eq!(callee.hear(6), 6);
    caller.speak(call.shown_to_caller, 3);
    assert_eq!(callee.hear(3), 3);
    call.delete(&relay);
    let capture = wait_for("the capture", Duration::from_secs(5), || {
        let mut files = std::fs::read_dir(directory.path().join("pcaps")).ok()?;
        let capture = std::fs::read(files.next()?.ok()?.path()).ok()?;
        (capture.len() >= 24 + 3 * 216).then_some(capture)
    });
    assert_eq!(capture[20..24], 101_u32.to_le_bytes());
}

#[test]
fn digits_are_reported_and_played() {
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    listener
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let destination = listener.local_addr().unwrap();
    let relay = Relay::start(&format!(
        "[dtmf]\nlog_dest = \"{destination}\"\nlog_ng_tcp = true\n"
    ));
    let mut client = TcpStream::connect(relay.ng).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    client.write_all(b"1_1 d7:command4:pinge").unwrap();
    let mut buffer = [0; 4096];
    assert!(client.read(&mut buffer).unwrap() > 0);

    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let more = Dict::new().with("label", "alice");
    let call = Call::set_up_with(&relay, "digits", &caller, &callee, more);
    settle(&call, &mut caller, &mut callee);
    for packet in caller.digit(5) {
        caller.rtp.send_to(&packet, call.shown_to_caller).unwrap();
    }
    let length = listener.recv(&mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(
        text.starts_with(
            "{\"callid\":\"digits\",\"source_tag\":\"caller\",\"source_label\":\"alice\","
        ),
        "{text}"
    );
    assert!(
        text.ends_with("\"event\":5,\"duration\":60,\"volume\":10}"),
        "{text}"
    );
    let length = client.read(&mut buffer).unwrap();
    let pushed = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(pushed.contains(" d6:notify6:onDTMF4:datad"), "{pushed}");
    assert_eq!(callee.hear(6), 6);

    // A digit in the caller's place takes the caller's stream and leaves no gap in it.
    caller.speak(call.shown_to_caller, 1);
    assert_eq!(callee.hear(1), 1);
    let play = command("play DTMF", "digits")
        .with("from-tag", "caller")
        .with("code", "7")
        .with("duration", 100);
    relay.ask(play).unwrap();
    let mut sequences = Vec::new();
    let mut types = Vec::new();
    let mut ends = 0;
    callee
        .rtp
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    // The digit ends with three packets that say so (RFC 4733 §2.5.1.4). Then the caller goes on,
    // and is heard again at the latest after the pause.
    wait_for("the caller again", Duration::from_secs(10), || {
        if ends == 3 {
            caller.speak(call.shown_to_caller, 1);
        }
        while let Ok(length) = callee.rtp.recv(&mut buffer) {
            assert!(length >= 12);
            sequences.push(u16::from_be_bytes([buffer[2], buffer[3]]));
            types.push(buffer[1] & 0x7f);
            if types.last() == Some(&8) {
                return Some(());
            }
            ends += usize::from(buffer[13] & 0x80 != 0);
        }
        None
    });
    assert_eq!(ends, 3);
    assert!(
        types.len() >= 8 && types[..types.len() - 1].iter().all(|t| *t == 101),
        "{types:?}"
    );
    assert!(
        sequences
            .windows(2)
            .all(|pair| pair[1] == pair[0].wrapping_add(1)),
        "{sequences:?}"
    );
    call.delete(&relay);
}

#[test]
fn blocked_media_does_not_pass_and_comes_back() {
    let relay = Relay::start("");
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let call = Call::set_up(&relay, "blocked", &caller, &callee);
    settle(&call, &mut caller, &mut callee);
    let one_way = || {
        let flags: Value = ["directional"].into_iter().collect();
        Dict::new().with("from-tag", "caller").with("flags", flags)
    };
    let ask = |name: &'static str| {
        let mut request = command(name, "blocked");
        request.extend(one_way().into_entries());
        relay.ask(request).unwrap();
    };
    ask("block media");
    caller.speak(call.shown_to_caller, 5);
    assert_eq!(callee.hear(1), 0);
    callee.speak(call.shown_to_callee, 5);
    assert_eq!(caller.hear(5), 5);
    ask("unblock media");
    ask("silence media");
    caller.speak(call.shown_to_caller, 1);
    let mut buffer = [0; 2048];
    let length = callee.rtp.recv(&mut buffer).unwrap();
    assert_eq!(buffer[12..length], [0xd5; 160]);
    call.delete(&relay);
}

#[test]
fn a_subscriber_hears_a_party_of_a_call() {
    let relay = Relay::start("");
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let listener = Phone::new("127.0.0.1");
    let call = Call::set_up(&relay, "heard", &caller, &callee);
    settle(&call, &mut caller, &mut callee);
    let reply = relay
        .ask(command("subscribe request", "heard").with("from-tag", "caller"))
        .unwrap();
    let to_tag = reply.get_str("to-tag").unwrap();
    let answer = command("subscribe answer", "heard")
        .with("to-tag", to_tag)
        .with(
            "sdp",
            crate::common::sdp::audio(listener.address(), "a=recvonly\r\n"),
        );
    relay.ask(answer).unwrap();
    caller.speak(call.shown_to_caller, 20);
    assert_eq!((callee.hear(20), listener.hear(20)), (20, 20));
    relay
        .ask(command("unsubscribe", "heard").with("to-tag", to_tag))
        .unwrap();
    caller.speak(call.shown_to_caller, 5);
    assert_eq!((callee.hear(5), listener.hear(1)), (5, 0));
    call.delete(&relay);
    assert_eq!(relay.leased_ports(), 0);
}

/// The reply to one HTTP request, whole.
fn http(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let request = format!("{head}\r\nHost: relay\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn ng_is_taken_over_http() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let relay = Relay::start(&format!("[control]\nhttp = [\"{address}\"]\n"));
    let reply = http(address, "GET /ping HTTP/1.1", "");
    assert!(
        reply.starts_with("HTTP/1.1 200") && reply.ends_with("pong\n"),
        "{reply}"
    );
    let body = "{\"command\":\"list\"}";
    let head = format!(
        "POST /ng-plain HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    let reply = http(address, &head, body);
    assert!(
        reply.ends_with("{\"calls\":[],\"result\":\"ok\"}"),
        "{reply}"
    );
    drop(relay);
}

#[test]
fn a_call_without_media_is_told_to_the_sip_side() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let relay = Relay::start(&format!(
        "[signalling]\nb2b_url = \"http://{address}/\"\nxmlrpc_format = 2\n[timeouts]\nmedia = 1\n"
    ));
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    Call::set_up(&relay, "silent", &caller, &callee);
    let (mut stream, _) = server.accept().unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut request = String::new();
    let mut buffer = [0; 4096];
    while !request.contains("</methodCall>") {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "{request}");
        request.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    assert!(request.contains("dlg.terminate_dlg"), "{request}");
    for word in ["silent", "caller", "callee"] {
        assert!(request.contains(word), "{request}");
    }
}

#[test]
fn the_relay_runs_under_rtpengines_name_with_its_command_line() {
    let directory = TempDir::new("compat");
    let program = directory.path().join("rtpengine");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_windlass"), &program).unwrap();
    let ng = free_udp("127.0.0.1");
    let config = directory.file(
        "rtpengine.conf",
        "[rtpengine]\ninterface = one/127.0.0.1\nport-min = 24000\nport-max = 24999\n\
         templates = flags\nno-such-option = x\n[flags]\noffer = replace-origin\n",
    );
    let mut command = Command::new(&program);
    command.args(["-f", "-E", "-L", "7", "-t", "-1", "--delete-delay=0"]);
    command.arg(format!("--config-file={}", config.display()));
    command.arg(format!("--listen-ng={ng}"));
    let process = Process::start(command, &directory.path().join("log"));
    let options = ClientOptions {
        tries: 10,
        interval: Duration::from_millis(500),
    };
    let client = Client::connect(ng, options).unwrap();
    wait_for("the relay", Duration::from_secs(10), || {
        client.request(&Dict::new().with("command", "ping")).ok()
    });
    let phone = Phone::new("127.0.0.1");
    let sdp = crate::common::sdp::audio(phone.address(), "")
        .replace("o=- 1 1 IN IP4 127.0.0.1", "o=- 1 1 IN IP4 192.0.2.1");
    let reply = client
        .request(&crate::common::phone::offer("compat", &sdp))
        .unwrap();
    let shown = reply.get_str("sdp").unwrap();
    // The template applies, and the ports are those of the file.
    assert!(shown.contains("o=- 1 1 IN IP4 127.0.0.1\r\n"), "{shown}");
    let port = crate::common::sdp::address(shown, 0).port();
    assert!((24_000..25_000).contains(&port), "{port}");
    assert!(
        process.log().contains("no-such-option"),
        "{}",
        process.log()
    );
}

#[test]
fn without_foreground_the_command_ends_when_the_relay_works() {
    let directory = TempDir::new("background");
    let program = directory.path().join("rtpengine");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_windlass"), &program).unwrap();
    let ng = free_udp("127.0.0.1");
    let pidfile = directory.path().join("pid");
    let notified = directory.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&notified).unwrap();
    let start = |ng: &str| {
        let mut command = Command::new(&program);
        command.args(["--config-file=none", "-i", "127.0.0.1", "-n", ng, "-p"]);
        command.arg(&pidfile).env("NOTIFY_SOCKET", &notified);
        command.output().unwrap()
    };
    let started = start(&ng.to_string());
    assert!(started.status.success(), "{started:?}");
    let pid: i32 = std::fs::read_to_string(&pidfile)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let client = Client::connect(ng, ClientOptions::default()).unwrap();
    client
        .request(&Dict::new().with("command", "ping"))
        .unwrap();
    let mut buffer = [0; 20];
    let length = manager.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"READY=1");
    // What keeps it from starting is said by the command.
    let failed = start(&ng.to_string());
    assert!(!failed.status.success());
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("cannot listen on udp"), "{said}");
    assert!(pidfile.exists(), "the file is of the one that runs");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    wait_for("the end of the relay", Duration::from_secs(10), || {
        (!std::path::Path::new(&format!("/proc/{pid}/fd/1")).exists()).then_some(())
    });
}

#[test]
fn reports_of_the_parties_become_scores() {
    let relay = Relay::start("");
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let call = Call::set_up(&relay, "scored", &caller, &callee);
    settle(&call, &mut caller, &mut callee);
    let ssrc = |phone: &mut Phone| u32::from_be_bytes(phone.packet()[8..12].try_into().unwrap());
    let (of_caller, of_callee) = (ssrc(&mut caller), ssrc(&mut callee));
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_be_bytes()).collect() };
    // Each sends a report of its own, and then one about the other that answers to it.
    let rtcp = |mut shown: SocketAddr| {
        shown.set_port(shown.port() + 1);
        shown
    };
    let (from_caller, from_callee) = (rtcp(call.shown_to_caller), rtcp(call.shown_to_callee));
    let sends = |ssrc: u32, ntp: u32| words(&[0x80c8_0006, ssrc, ntp >> 16, ntp << 16, 0, 5, 860]);
    caller
        .rtcp
        .send_to(&sends(of_caller, 0x1111_2222), from_caller)
        .unwrap();
    callee
        .rtcp
        .send_to(&sends(of_callee, 0x3333_4444), from_callee)
        .unwrap();
    assert_eq!((callee.hear_reports(1), caller.hear_reports(1)), (1, 1));
    std::thread::sleep(Duration::from_millis(30));
    let heard = |from: u32, of: u32, ntp: u32| {
        words(&[0x81c9_0007, from, of, 0x0000_0003, 100, 80, ntp, 1])
    };
    callee
        .rtcp
        .send_to(&heard(of_callee, of_caller, 0x1111_2222), from_callee)
        .unwrap();
    assert_eq!(caller.hear_reports(1), 1);
    caller
        .rtcp
        .send_to(&heard(of_caller, of_callee, 0x3333_4444), from_caller)
        .unwrap();
    assert_eq!(callee.hear_reports(1), 1);

    let reply = relay.ask(command("query", "scored")).unwrap();
    let sources = reply.get("SSRC").unwrap().as_dict().unwrap();
    let of = |ssrc: u32| sources.get(ssrc.to_string()).unwrap().as_dict().unwrap();
    // Loss is what the relay counted itself, whatever a report says (media-behaviour §9.1).
    let lost = of(of_caller).get("cumulative loss").unwrap().as_int();
    assert_eq!(lost, Some(0));
    // A sample belongs to who reports. The first cannot know the other leg; the second one can.
    let average = of(of_caller).get("average MOS").unwrap().as_dict().unwrap();
    let value = |key: &str| average.get(key).unwrap().as_int().unwrap();
    assert_eq!(
        (value("MOS"), value("jitter"), value("samples")),
        (43, 10, 1)
    );
    assert!(value("round-trip time leg") >= 30_000, "{average:?}");
    assert!(value("round-trip time") >= 60_000, "{average:?}");
    call.delete(&relay);
}

#[test]
fn a_call_leaves_its_lines_in_the_log_and_signals_are_heard() {
    let mut relay = Relay::start("");
    let (mut caller, mut callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let call = Call::set_up(&relay, "logged", &caller, &callee);
    settle(&call, &mut caller, &mut callee);
    call.delete(&relay);
    for line in [
        "Received command 'offer' from 127.0.0.1:",
        "Creating new call",
        "Replying to 'answer' from 127.0.0.1:",
        "Final packet stats:",
        "--- Tag 'caller', created 0:0",
        "------ Media #1 (audio over RTP/AVP) using PCMA/8000",
        " in 5 p, 860 b, 0 e, ",
    ] {
        wait_for(line, Duration::from_secs(5), || {
            relay.process.log().contains(line).then_some(())
        });
    }
    // Less and less, until only errors are left.
    let level = || {
        let request = Dict::new()
            .with("command", "cli")
            .with("body", "list loglevel core");
        let reply = relay.ask(request).unwrap();
        reply.get_str("response").unwrap().to_owned()
    };
    for _ in 0..3 {
        let before = level();
        relay.process.signal(nix::sys::signal::Signal::SIGUSR1);
        wait_for("another level", Duration::from_secs(10), || {
            (level() != before).then_some(())
        });
    }
    let before = relay.process.log().len();
    relay.ask(command("query", "nobody")).unwrap_err();
    assert_eq!(relay.process.log().len(), before);
    relay.process.signal(nix::sys::signal::Signal::SIGHUP);
    let status = relay.process.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(42));
}
