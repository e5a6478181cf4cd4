//! Kamailio before and behind the edge (E31), and a phone that calls another on its own side.

use std::net::SocketAddr;

use super::registration::{Registrar, register};
use super::{Plan, await_free};
use crate::common::kamailio::{self, KAMAILIO};
use crate::common::process::{Process, free_udp};
use crate::common::sip::{Dialog, Party, any_sdp};
use crate::common::sipp::{Load, SIPP, server};
use crate::common::{TempDir, has_program, lock_machine};

/// A proxy with two sockets that sends all calls to one address, and stays in their way.
struct Proxy {
    at: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl Proxy {
    fn start(name: &str, at: SocketAddr, to: SocketAddr, ng: &str) -> Self {
        let other = free_udp("127.0.0.1");
        let routes = format!(
            r#"
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); }}
        exit;
    }}
    if (!is_method("INVITE")) {{ exit; }}
    # In by one socket, out by the other: two Record-Routes.
    $fs = "udp:{other}";
    record_route();
    $du = "sip:{to}";
    t_relay();
}}
"#
        );
        let directory = TempDir::new(name);
        let listen = format!("listen=udp:{other}");
        let process = kamailio::start(&directory, at.port(), &listen, ng, &routes);
        Self {
            at,
            _process: process,
            _directory: directory,
        }
    }
}

#[test]
fn e31_proxies_on_both_sides_stay_in_the_way() {
    if !has_program(KAMAILIO) || !has_program(SIPP) {
        return;
    }
    let _lock = lock_machine();
    let [callee, inner, outer] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let (plan, [public, _]) = Plan::udp("e31", inner);
    let relay = plan.start();
    let ng = relay.ng.to_string();
    let _inner = Proxy::start("e31-inner", inner, callee, &ng);
    let outer = Proxy::start("e31-outer", outer, public, &ng);
    let directory = plan.directory.path();
    for (caller, callee_does) in [("uac_quick", "uas_quick"), ("uac_ended", "uas_ends")] {
        let running = server(directory, callee_does, &callee.to_string(), &[]);
        let more = ["-i", "127.0.0.1", "-m", "40", "-r", "20"];
        let outcome = Load::start(directory, caller, &outer.at.to_string(), &more).finish();
        assert_eq!(
            (outcome.successful, outcome.failed),
            (40, 0),
            "{}",
            outcome.screen
        );
        drop(running);
        let path = directory.join(format!("{callee_does}.messages"));
        let messages = std::fs::read_to_string(path).unwrap();
        let invite = messages.split("\nINVITE ").nth(1).unwrap();
        let invite = invite.split("-----------").next().unwrap();
        assert_eq!(invite.matches("\nRecord-Route:").count(), 6, "{invite}");
    }
    await_free(&relay);
}

#[test]
fn registered_phone_calls_another_of_its_side() {
    if !has_program(KAMAILIO) {
        return;
    }
    let at = free_udp("127.0.0.1");
    let (mut plan, [public, _]) = Plan::udp("same-side", at);
    plan.edge = "domains = [\"example.com\"]".to_owned();
    let registrar = Registrar::start("same-side", at, &plan);
    let mut bob = Party::udp("bob", "127.0.0.1", public);
    let contact = bob.contact();
    register(&mut bob, "example.com", &contact, "200");
    let mut alice = Party::udp("alice", "127.0.0.1", public);
    let sdp = any_sdp(public.ip());
    let mut out = alice.request("INVITE", "sip:bob@example.com", "", &sdp);
    let invite = bob.expect("INVITE");
    // The edge, the registrar, and the edge again.
    assert_eq!(invite.all("Via").len(), 4, "{}", invite.text);
    bob.reply(&invite, "200 OK", "b", "", &sdp);
    out.answered(&alice.expect("200"));
    alice.ack(&out, "");
    bob.expect("ACK");
    let mut back = Dialog::of_callee(&invite, "b");
    bob.again(&mut back, "INVITE", "", &sdp);
    let again = alice.expect("INVITE");
    alice.reply(&again, "200 OK", "", "", &sdp);
    bob.expect("200");
    bob.ack(&back, "");
    alice.expect("ACK");
    alice.again(&mut out, "BYE", "", "");
    let bye = bob.expect("BYE");
    bob.reply(&bye, "200 OK", "", "", "");
    alice.expect("200");
    await_free(&registrar.relay);
}
