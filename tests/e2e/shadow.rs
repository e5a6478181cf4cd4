//! `windlass shadow` between a proxy and Debian's rtpengine.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use windlass_ng::client::{Client, ClientOptions};
use windlass_ng::{Dict, Value};

use crate::common::process::{Process, free_udp, is_bound};
use crate::common::{TempDir, has_program, rtpengine, wait_for};

struct Scene {
    directory: TempDir,
    _rtpengine: Process,
    shadow: Process,
    listen: SocketAddr,
}

impl Scene {
    /// `None` without rtpengine. The shadow's relay has the media address given.
    fn start(name: &str, address: &str) -> Option<Self> {
        if !has_program(rtpengine::RTPENGINE) {
            return None;
        }
        let directory = TempDir::new(name);
        let [listen, upstream] = [free_udp("127.0.0.1"), free_udp("127.0.0.1")];
        let rtpengine = rtpengine::start(&directory, upstream, &rtpengine::on_loopback());
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        command
            .current_dir(directory.path())
            .args(["shadow", "--interface", address]);
        command.args([
            "--listen",
            &listen.to_string(),
            "--upstream",
            &upstream.to_string(),
        ]);
        let shadow = Process::start(command, &directory.path().join("shadow.log"));
        wait_for("the shadow", Duration::from_secs(10), || {
            (is_bound("udp", listen) && is_bound("tcp", listen)).then_some(())
        });
        Some(Self {
            directory,
            _rtpengine: rtpengine,
            shadow,
            listen,
        })
    }

    fn client(&self) -> Client {
        let options = ClientOptions {
            tries: 1,
            interval: Duration::from_secs(3),
        };
        Client::connect(self.listen, options).unwrap()
    }

    /// The process that compares, if there is one.
    fn comparing(&self) -> Option<u32> {
        let id = self.shadow.id();
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        tasks.flatten().find_map(|task| {
            let text = std::fs::read_to_string(task.path().join("children")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        })
    }

    /// Ends the shadow, and gives its report and whether all was the same.
    fn report(mut self) -> (String, bool) {
        self.shadow.terminate();
        self.shadow.wait(Duration::from_secs(10));
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        command
            .current_dir(self.directory.path())
            .args(["shadow", "report"]);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (text, output.status.success())
    }
}

fn sdp(address: &str, port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
    )
}

fn request(command: &str, call: &str) -> Dict {
    Dict::new()
        .with("command", command)
        .with("call-id", call)
        .with("from-tag", "F")
        .with("ICE", "remove")
        .with("replace", Value::List(vec!["origin".into()]))
}

/// Offer, answer and delete; the proxy gets rtpengine's replies.
fn call(client: &Client, call: &str) {
    let offer = request("offer", call).with("sdp", sdp("198.51.100.1", 4000));
    let reply = client.request(&offer).unwrap();
    let port = reply
        .get_str("sdp")
        .unwrap()
        .split("m=audio ")
        .nth(1)
        .unwrap();
    let port: u16 = port.split(' ').next().unwrap().parse().unwrap();
    assert!(
        (42000..=43000).contains(&port),
        "{port} is no port of rtpengine"
    );
    let answer = request("answer", call)
        .with("to-tag", "T")
        .with("sdp", sdp("198.51.100.2", 5000));
    client.request(&answer).unwrap();
    let delete = request("delete", call).with("delete-delay", 0);
    client.request(&delete).unwrap();
}

#[test]
fn equal_replies_are_counted_and_nothing_is_changed() {
    let Some(scene) = Scene::start("shadow-equal", "192.0.2.1") else {
        return;
    };
    let client = scene.client();
    assert!(client.request(&Dict::new().with("command", "ping")).is_ok());
    for number in 0..20 {
        call(&client, &format!("call-{number}"));
    }
    let (report, _) = scene.report();
    assert!(
        report.starts_with("61 requests: 40 with the same reply, 20 with another\n"),
        "{report}"
    );
    // 10.5 has keys in its reply to `delete` that depend on media; offer and answer are the same.
    assert!(!report.contains("  offer "), "{report}");
    assert!(!report.contains("  answer "), "{report}");
    assert!(
        report.contains("  1 not compared: about media\n"),
        "{report}"
    );
}

#[test]
fn what_would_be_another_is_told_with_the_reason() {
    let Some(scene) = Scene::start("shadow-other", "2001:db8::1") else {
        return;
    };
    call(&scene.client(), "a");
    let (report, is_equal) = scene.report();
    assert!(!is_equal, "{report}");
    let told = "times  offer audio c=: not the same\n    rtpengine: c=IN IP4 <address 1>\n    \
        Windlass:  c=IN IP6 <address 1>\n    because:   address of interface";
    assert!(report.contains(told), "{report}");
}

#[test]
fn a_comparison_that_hangs_or_dies_holds_up_nobody() {
    let Some(scene) = Scene::start("shadow-dies", "192.0.2.1") else {
        return;
    };
    let client = scene.client();
    call(&client, "first");
    let comparing = wait_for("the comparing process", Duration::from_secs(10), || {
        scene.comparing()
    });
    let pid = nix::unistd::Pid::from_raw(comparing.cast_signed());
    nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
    // More than the pipe and the queue hold.
    for number in 0..250 {
        call(&client, &format!("stopped-{number}"));
    }
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    wait_for("another comparing process", Duration::from_secs(20), || {
        call(&client, "again");
        scene.comparing().filter(|id| *id != comparing)
    });
    for number in 0..20 {
        call(&client, &format!("later-{number}"));
    }
    let (report, _) = scene.report();
    assert!(
        report.contains("not compared: comparison was behind"),
        "{report}"
    );
    assert!(!report.contains("  offer "), "{report}");
}
