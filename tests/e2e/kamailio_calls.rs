//! Kamailio with its rtpengine module as the proxy, sipp as caller and callee.

use std::process::Command;
use std::time::Duration;

use crate::common::calls;
use crate::common::process::{Process, Relay, free_udp};
use crate::common::sipp::SIPP;
use crate::common::{TempDir, has_program, lock_machine, wait_for};

const KAMAILIO: &str = "/usr/sbin/kamailio";

/// A proxy as operators write it: every SDP through the relay, Record-Route, BYE ends the media.
fn config(port: u16, callee: u16, ng: &str) -> String {
    format!(
        r#"#!KAMAILIO
debug=2
log_stderror=yes
children=2
disable_tcp=yes
listen=udp:127.0.0.1:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "udp:{ng}")
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ rtpengine_delete(); t_relay(); }} exit; }}
    if (has_totag()) {{
        if (loose_route()) {{
            if (is_method("BYE")) {{ rtpengine_delete("delete-delay=0"); }}
            if (is_method("INVITE")) {{ rtpengine_manage("replace-origin trust-address"); t_on_reply("MEDIA"); }}
            t_relay();
        }}
        exit;
    }}
    t_check_trans();
    if (is_method("INVITE")) {{
        record_route();
        rtpengine_manage("replace-origin trust-address");
        t_on_reply("MEDIA");
        t_on_failure("FAILED");
    }}
    $du = "sip:127.0.0.1:{callee}";
    t_relay();
}}
onreply_route[MEDIA] {{
    if (has_body("application/sdp")) {{ rtpengine_manage("replace-origin trust-address"); }}
}}
failure_route[FAILED] {{
    rtpengine_delete();
}}
"#
    )
}

#[test]
fn fifty_calls_with_all_of_their_media() {
    if !has_program(KAMAILIO) || !has_program(SIPP) {
        return;
    }
    let _lock = lock_machine();
    let relay = Relay::start("");
    let (proxy, callee) = (free_udp("127.0.0.1").port(), free_udp("127.0.0.1").port());
    let directory = TempDir::new("kamailio");
    let path = directory.path().to_string_lossy().into_owned();
    let config = directory.file(
        "kamailio.cfg",
        &config(proxy, callee, &relay.ng.to_string()),
    );
    let mut command = Command::new(KAMAILIO);
    command
        .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y", &path])
        .arg("-f")
        .arg(config);
    let kamailio = Process::start(command, &directory.path().join("kamailio.log"));
    wait_for(
        "Kamailio's ping of the relay",
        Duration::from_secs(15),
        || {
            let log = kamailio.log();
            assert!(!log.contains("CRITICAL"), "{log}");
            relay
                .process
                .log()
                .contains("creating")
                .then_some(())
                .or_else(|| {
                    std::net::UdpSocket::bind(("127.0.0.1", proxy))
                        .is_err()
                        .then_some(())
                })
        },
    );
    calls::run(&relay, &format!("127.0.0.1:{proxy}"), callee);
}
