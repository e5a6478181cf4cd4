//! The bundled edge as the proxy, sipp as caller and callee.

use crate::common::calls;
use crate::common::process::{Relay, free_udp};
use crate::common::sipp::SIPP;
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
    calls::run(&relay, &edge.to_string(), callee);
}
