//! The harder ways of a call through Kamailio: forks, holds, late offers, two networks.

use std::time::{Duration, Instant};

use windlass_ng::{Dict, Value};

use crate::common::kamailio::{self, KAMAILIO};
use crate::common::process::{Process, Relay, free_udp};
use crate::common::sipp::{Phone, Place, SIPP};
use crate::common::{TempDir, has_program, lock_machine, wait_for};

/// Packets of the callers' tone: half a second.
const PACKETS: i64 = 25;

/// What is common to all: in-dialogue requests follow their route, BYE ends the media at once.
fn routes(initial: &str, more: &str) -> String {
    format!(
        r#"
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (has_totag()) {{
        if (loose_route()) {{
            if (is_method("BYE")) {{ rtpengine_delete("delete-delay=0"); }}
            if (is_method("INVITE|ACK") && has_body("application/sdp")) {{
                rtpengine_manage("replace-origin");
            }}
            t_on_reply("MEDIA");
            t_relay();
        }} else if (is_method("ACK") && t_check_trans()) {{
            t_relay();
        }}
        exit;
    }}
    t_check_trans();
    if (!is_method("INVITE")) {{ exit; }}
    record_route();
    t_on_reply("MEDIA");
    {initial}
    t_relay();
}}
{more}
"#
    )
}

/// Replies with SDP go through the relay.
const REPLIES: &str = r#"
onreply_route[MEDIA] {
    if (has_body("application/sdp")) { rtpengine_manage("replace-origin"); }
}
"#;

/// A relay, a proxy in front of it, and a directory of their own.
struct Scene {
    // In this order: the proxy goes before the relay.
    _proxy: Process,
    relay: Relay,
    directory: TempDir,
    port: u16,
}

impl Scene {
    fn new(name: &str, interfaces: &str, listen: &str, routes: &str) -> Self {
        let relay = Relay::start_with(interfaces, "");
        let directory = TempDir::new(name);
        let port = free_udp("127.0.0.1").port();
        let tone = vec![0xd5u8; 160 * PACKETS as usize];
        std::fs::write(directory.path().join("tone.pcma"), tone).unwrap();
        Self {
            _proxy: kamailio::start(&directory, port, listen, &relay.ng.to_string(), routes),
            relay,
            directory,
            port,
        }
    }

    fn callee(&self, scenario: &str, address: &str, port: u16) -> Phone {
        let at = Place {
            address,
            port,
            media_port: media_port(address),
        };
        Phone::callee(self.directory.path(), scenario, &at)
    }

    fn caller(&self, scenario: &str) -> Phone {
        let at = Place {
            address: "127.0.0.1",
            port: free_udp("127.0.0.1").port(),
            media_port: media_port("127.0.0.1"),
        };
        let target = format!("127.0.0.1:{}", self.port);
        Phone::caller(self.directory.path(), scenario, &at, &target, "service")
    }

    /// Waits until the parties of the one call are as `fits` has it.
    fn wait_until(&self, what: &str, fits: impl Fn(&[Party]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(6);
        while !fits(&self.parties()) {
            if Instant::now() > deadline {
                panic!("{what}: {:?}\n{}", self.parties(), self.logs());
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// What proxy and phones wrote.
    fn logs(&self) -> String {
        let files = std::fs::read_dir(self.directory.path()).unwrap();
        let mut out = String::new();
        for path in files.map(|file| file.unwrap().path()) {
            if path
                .extension()
                .is_some_and(|end| end == "log" || end == "messages")
            {
                let text = std::fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&text);
                out.push_str(&format!("== {}\n{text}\n", path.display()));
            }
        }
        out
    }

    /// The parties of the one call; none without a call.
    fn parties(&self) -> Vec<Party> {
        let list = Dict::new().with("command", "list");
        let reply = self.relay.ask(list).unwrap();
        let calls = reply.get("calls").unwrap().as_list().unwrap();
        let Some(id) = calls.first().and_then(Value::as_str) else {
            return Vec::new();
        };
        let query = Dict::new().with("command", "query").with("call-id", id);
        let Ok(reply) = self.relay.ask(query) else {
            return Vec::new();
        };
        let tags = reply.get("tags").unwrap().as_dict().unwrap();
        tags.iter().map(|(_, party)| Party::of(party)).collect()
    }

    /// The call is over, and nothing of it is left.
    fn is_over(&self) {
        wait_for("the end of the call", Duration::from_secs(3), || {
            self.parties().is_empty().then_some(())
        });
        assert_eq!(self.relay.leased_ports(), 0, "ports of the ended call");
    }
}

/// One party, as `query` describes it.
#[derive(Debug)]
struct Party {
    /// It answered, or it called.
    has_tag: bool,
    branch: Option<String>,
    flags: Vec<String>,
    packets_in: i64,
    packets_out: i64,
}

impl Party {
    fn of(value: &Value) -> Self {
        let party = value.as_dict().unwrap();
        let medias = party.get("medias").and_then(Value::as_list);
        let media = medias.and_then(|medias| medias.first()?.as_dict());
        let words = |value: &Value| -> Vec<String> {
            let list = value.as_list().unwrap_or_default();
            list.iter()
                .filter_map(|word| Some(word.as_str()?.to_owned()))
                .collect()
        };
        let packets = |key| {
            let streams = media?.get("streams")?.as_list()?;
            let stream = streams.first()?.as_dict()?;
            stream.get(key)?.as_dict()?.get("packets")?.as_int()
        };
        Self {
            has_tag: party.get_str("tag").is_some_and(|tag| !tag.is_empty()),
            branch: party.get_str("via-branch").map(str::to_owned),
            flags: media
                .and_then(|media| media.get("flags"))
                .map(words)
                .unwrap_or_default(),
            packets_in: packets("stats").unwrap_or(0),
            packets_out: packets("stats_out").unwrap_or(0),
        }
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|other| other == flag)
    }
}

/// The tone of the caller went to the callee, and came back.
fn both_talked(parties: &[Party]) -> bool {
    let talked = |party: &&Party| party.packets_in >= PACKETS && party.packets_out >= PACKETS;
    parties.iter().filter(talked).count() == 2
}

fn media_port(host: &str) -> u16 {
    free_udp(host).port() & !1
}

fn is_ready() -> bool {
    has_program(KAMAILIO) && has_program(SIPP)
}

const LOOPBACK: &str = "[[interface]]\naddress = \"127.0.0.1\"\n";

fn line<'a>(sdp: &'a str, start: &str) -> &'a str {
    let found = sdp.lines().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no {start} in {sdp}"))
}

/// Every branch has an offer of its own; the one that loses is deleted and its ports are free,
/// the other talks on.
#[test]
fn parallel_forking_and_delete_of_one_branch() {
    if !is_ready() {
        return;
    }
    let _lock = lock_machine();
    let (first, second) = (free_udp("127.0.0.1").port(), free_udp("127.0.0.1").port());
    let initial = format!(
        r#"$ru = "sip:service@127.0.0.1:{first}";
    append_branch("sip:service@127.0.0.1:{second}");
    t_on_branch("OFFER");"#
    );
    let more = r#"
branch_route[OFFER] {
    rtpengine_offer("replace-origin via-branch=auto-next");
}
onreply_route[MEDIA] {
    if (status =~ "^[3-6]") {
        rtpengine_delete("via-branch=auto-next delete-delay=0");
    } else if (has_body("application/sdp")) {
        rtpengine_answer("replace-origin via-branch=auto-next");
    }
}
"#;
    let scene = Scene::new("parallel", LOOPBACK, "", &routes(&initial, more));
    let slow = scene.callee("uas_slow", "127.0.0.1", first);
    let early = scene.callee("uas_early", "127.0.0.1", second);
    let caller = scene.caller("uac_short");
    scene.wait_until("two branches and the caller", |parties| {
        let branches = parties.iter().filter(|party| party.branch.is_some());
        parties.len() == 3 && branches.count() == 2
    });
    assert_eq!(scene.relay.leased_ports(), 6, "two for each");
    scene.wait_until("the answered call", both_talked);
    // The caller has two for each of its early dialogues; eight, had the branch kept its own.
    assert_eq!(
        scene.relay.leased_ports(),
        6,
        "the branch that lost is gone"
    );
    let answers = caller.finish();
    let offers = [slow.finish(), early.finish()];
    assert_ne!(
        line(&offers[0][0], "m="),
        line(&offers[1][0], "m="),
        "each branch has ports of its own"
    );
    let [of_early, of_slow] = &answers[..] else {
        panic!("183 and 200: {answers:?}");
    };
    assert_ne!(
        line(of_early, "m="),
        line(of_slow, "m="),
        "each early dialogue has an answer of its own"
    );
    scene.is_over();
}

/// A busy callee, then another one with the same call-id and tag.
#[test]
fn serial_forking() {
    if !is_ready() {
        return;
    }
    let _lock = lock_machine();
    let (busy, next) = (free_udp("127.0.0.1").port(), free_udp("127.0.0.1").port());
    let initial = format!(
        r#"rtpengine_manage("replace-origin");
    $du = "sip:127.0.0.1:{busy}";
    t_on_failure("NEXT");"#
    );
    let more = format!(
        r#"{REPLIES}
failure_route[NEXT] {{
    if (t_is_canceled()) {{ exit; }}
    rtpengine_delete();
    if (t_check_status("486")) {{
        $du = "sip:127.0.0.1:{next}";
        t_on_reply("MEDIA");
        rtpengine_offer("replace-origin");
        t_relay();
    }}
}}
"#
    );
    let scene = Scene::new("serial", LOOPBACK, "", &routes(&initial, &more));
    let busy = scene.callee("uas_busy", "127.0.0.1", busy);
    let next = scene.callee("uas_slow", "127.0.0.1", next);
    let caller = scene.caller("uac_short");
    scene.wait_until("the answered call", both_talked);
    assert_eq!(scene.parties().len(), 2);
    assert_eq!(scene.relay.leased_ports(), 4);
    assert_eq!(busy.finish().len(), 1);
    assert_eq!(next.finish().len(), 1);
    assert_eq!(caller.finish().len(), 1);
    scene.is_over();
}

/// The caller holds and resumes: directions pass, ports stay.
#[test]
fn hold_and_resume() {
    if !is_ready() {
        return;
    }
    let _lock = lock_machine();
    let callee = free_udp("127.0.0.1").port();
    let initial =
        format!("rtpengine_manage(\"replace-origin\");\n    $du = \"sip:127.0.0.1:{callee}\";");
    let scene = Scene::new("hold", LOOPBACK, "", &routes(&initial, REPLIES));
    let callee = scene.callee("uas_hold", "127.0.0.1", callee);
    let caller = scene.caller("uac_hold");
    scene.wait_until("the hold", |parties| {
        // From here: the holding party sends and does not receive.
        let holds = parties
            .iter()
            .any(|party| party.has("recv") && !party.has("send"));
        let held = parties
            .iter()
            .any(|party| party.has("send") && !party.has("recv"));
        holds && held
    });
    scene.wait_until("the resumed call", both_talked);
    let (offers, answers) = (callee.finish(), caller.finish());
    let directions = |sdps: &[String]| -> Vec<String> {
        let lines = sdps.iter().map(|sdp| {
            let found = sdp
                .lines()
                .find(|line| line.ends_with("ly") || line.ends_with("recv"));
            found.unwrap_or_default().to_owned()
        });
        lines.collect()
    };
    assert_eq!(
        directions(&offers),
        ["a=sendrecv", "a=sendonly", "a=sendrecv"]
    );
    assert_eq!(
        directions(&answers),
        ["a=sendrecv", "a=recvonly", "a=sendrecv"]
    );
    for sdps in [&offers, &answers] {
        for sdp in &sdps[1..] {
            assert_eq!(line(sdp, "m="), line(&sdps[0], "m="), "the ports stay");
        }
    }
    scene.is_over();
}

/// The INVITE has no SDP: the 200 offers, the ACK answers.
#[test]
fn late_offer() {
    if !is_ready() {
        return;
    }
    let _lock = lock_machine();
    let callee = free_udp("127.0.0.1").port();
    let initial = format!("$du = \"sip:127.0.0.1:{callee}\";");
    let scene = Scene::new("late", LOOPBACK, "", &routes(&initial, REPLIES));
    let callee = scene.callee("uas_late", "127.0.0.1", callee);
    let caller = scene.caller("uac_late");
    scene.wait_until("the answered call", both_talked);
    assert!(scene.parties().iter().all(|party| party.has_tag));
    let (answers, offers) = (callee.finish(), caller.finish());
    for sdps in [&answers, &offers] {
        assert_eq!(sdps.len(), 1, "{sdps:?}");
        assert_eq!(line(&sdps[0], "c="), "c=IN IP4 127.0.0.1");
    }
    assert_ne!(line(&answers[0], "m="), line(&offers[0], "m="));
    scene.is_over();
}

/// The caller is on one interface with IPv4, the callee on another with IPv6.
#[test]
fn between_networks_and_families() {
    if !is_ready() {
        return;
    }
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: this host has no IPv6 loopback");
        return;
    }
    let _lock = lock_machine();
    let (proxy6, callee) = (free_udp("::1").port(), free_udp("::1").port());
    let initial = format!(
        r#"rtpengine_manage("replace-origin direction=ext direction=int address-family=IP6");
    $fs = "udp:[::1]:{proxy6}";
    $du = "sip:[::1]:{callee}";"#
    );
    let interfaces = "[[interface]]\nname = \"ext\"\naddress = \"127.0.0.1\"\n\n\
                      [[interface]]\nname = \"int\"\naddress = \"::1\"\n";
    let listen = format!("listen=udp:[::1]:{proxy6}\n");
    let scene = Scene::new("networks", interfaces, &listen, &routes(&initial, REPLIES));
    let callee = scene.callee("uas_slow", "::1", callee);
    let caller = scene.caller("uac_short");
    scene.wait_until("the answered call", both_talked);
    let (offers, answers) = (callee.finish(), caller.finish());
    assert_eq!(line(&offers[0], "c="), "c=IN IP6 ::1");
    assert!(
        line(&offers[0], "o=").ends_with("IN IP6 ::1"),
        "{}",
        offers[0]
    );
    assert_eq!(line(&answers[0], "c="), "c=IN IP4 127.0.0.1");
    assert!(
        line(&answers[0], "o=").ends_with("IN IP4 127.0.0.1"),
        "{}",
        answers[0]
    );
    scene.is_over();
}
