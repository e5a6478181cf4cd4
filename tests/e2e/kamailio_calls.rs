//! Kamailio with its rtpengine module as the proxy, sipp as caller and callee.

use crate::common::kamailio::{self, KAMAILIO};
use crate::common::process::{Relay, free_udp};
use crate::common::sipp::{Carrier, SIPP};
use crate::common::{TempDir, calls, has_program, lock_machine};

/// A proxy as operators write it: every SDP through the relay, Record-Route, BYE ends the media.
fn routes(callee: u16) -> String {
    format!(
        r#"request_route {{
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
    let ng = relay.ng.to_string();
    let _kamailio = kamailio::start(&directory, proxy, "", &ng, &routes(callee));
    let target = format!("127.0.0.1:{proxy}");
    calls::run(&relay, &target, callee, Carrier::Udp);
}
