//! Calls between zones of different transports (E03).

use std::net::TcpListener;

use super::{Plan, listen};
use crate::common::process::free_udp;
use crate::common::sip::{Dialog, Party, any_sdp};

/// A transport of the matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Carrier {
    Udp,
    Tcp,
    Ws,
}

impl Carrier {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Ws => "ws",
        }
    }
}

/// Calls from one transport to another: one that the caller ends, and one that the callee ends.
fn call(from: Carrier, to: Carrier) {
    let name = format!("e03-{}-{}", from.name(), to.name());
    let [public, core, callee] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let target = format!("sip:{callee};transport={}", to.name());
    let plan = Plan::new(
        &name,
        vec![listen(from.name(), public)],
        vec![listen(to.name(), core)],
        &target,
    );
    let _relay = plan.start();
    let mut alice = match from {
        Carrier::Udp => Party::udp("alice", "127.0.0.1", public),
        Carrier::Tcp => Party::tcp("alice", public),
        Carrier::Ws => Party::ws("alice", public),
    };
    let listener = TcpListener::bind(callee).unwrap();
    let mut bob = (to == Carrier::Udp).then(|| Party::udp_at("bob", callee, core));
    let sdp = any_sdp(callee.ip());
    for caller_ends in [true, false] {
        let mut out = alice.request("INVITE", "sip:bob@example.com", "", &sdp);
        // The second call comes by the connection of the first.
        let bob = bob.get_or_insert_with(|| Party::accepted("bob", &listener));
        let invite = bob.expect("INVITE");
        let via = invite.header("Via");
        let expected = format!("SIP/2.0/{} ", to.name().to_uppercase());
        assert!(via.starts_with(&expected), "{via}");
        let ways = invite.all("Record-Route");
        for (way, carrier) in ways.iter().zip([to, from]) {
            let names = way.contains(&format!(";transport={}", carrier.name()));
            assert_eq!(names, carrier != Carrier::Udp, "{name}: {way}");
        }
        assert_eq!(ways.len(), 2);
        bob.reply(&invite, "180 Ringing", "b", "", "");
        bob.reply(&invite, "200 OK", "b", "", &sdp);
        out.answered(&alice.expect("200"));
        alice.ack(&out, "");
        bob.expect("ACK");
        let mut back = Dialog::of_callee(&invite, "b");
        let (ends, ended, dialog) = match caller_ends {
            true => (&mut alice, bob, &mut out),
            false => (bob, &mut alice, &mut back),
        };
        ends.again(dialog, "BYE", "", "");
        let bye = ended.expect("BYE");
        ended.reply(&bye, "200 OK", "", "", "");
        ends.expect("200");
    }
}

#[test]
fn e03_calls_pass_between_transports_and_end_from_both_sides() {
    let matrix = [
        (Carrier::Udp, Carrier::Tcp),
        (Carrier::Tcp, Carrier::Udp),
        (Carrier::Ws, Carrier::Udp),
        (Carrier::Ws, Carrier::Tcp),
    ];
    for (from, to) in matrix {
        call(from, to);
    }
}
