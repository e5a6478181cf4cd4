//! The bundled edge as the proxy, sipp as caller and callee.

use crate::common::calls;
use crate::common::process::{Relay, free_udp};
use crate::common::sipp::{Carrier, SIPP};
use crate::common::{has_program, lock_machine};

#[test]
fn fifty_calls_with_all_of_their_media() {
    if !has_program(SIPP) {
        return;
    }
    let _lock = lock_machine();
    let (edge, callee) = (free_udp("127.0.0.1"), free_udp("127.0.0.1").port());
    let relay = Relay::start(&format!(
        "[timeouts]\ndelete_delay = 0\n\
         [edge]\nlisten = [\"{edge}\"]\nupstream = \"127.0.0.1:{callee}\"\n"
    ));
    calls::run(&relay, &edge.to_string(), callee, Carrier::Udp);
}

/// Two zones, each with listeners of its own: the caller speaks `proto`, the callee UDP.
fn calls_between_zones(proto: &str, carrier: Carrier) {
    if !has_program(SIPP) {
        return;
    }
    let _lock = lock_machine();
    let [outside, inside, callee] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let relay = Relay::start(&format!(
        "[timeouts]\ndelete_delay = 0\n\
         [edge]\ncalls = 1000\n\
         [[zone]]\nname = \"public\"\ntrust = \"untrusted\"\n\
         [[zone.listen]]\nproto = \"{proto}\"\nbind = \"{outside}\"\n\
         [[zone]]\nname = \"core\"\ntrust = \"inside\"\nmedia = \"plain\"\n\
         [[zone.listen]]\nproto = \"udp\"\nbind = \"{inside}\"\n\
         [[upstream]]\nname = \"pbx\"\nzone = \"core\"\n\
         [[upstream.target]]\nuri = \"sip:{callee}\"\n\
         [[peer]]\nname = \"sipp\"\nzone = \"public\"\nsource = [\"127.0.0.1/32\"]\n\
         [[route]]\nmatch = {{ from_zone = \"public\" }}\nto = [\"pbx\"]\n"
    ));
    calls::run(&relay, &outside.to_string(), callee.port(), carrier);
}

#[test]
fn calls_pass_between_zones() {
    calls_between_zones("udp", Carrier::Udp);
}

#[test]
fn calls_over_tcp_pass_to_a_zone_of_udp() {
    calls_between_zones("tcp", Carrier::Tcp);
}
