//! Kamailio with its rtpengine module, as a peer.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use super::process::{Process, is_bound};
use super::{TempDir, wait_for};

pub(crate) const KAMAILIO: &str = "/usr/sbin/kamailio";

/// Starts Kamailio and waits until it listens on `port` of IPv4 loopback. `listen` are further
/// addresses, `routes` what it does; `ng` is the relay.
pub(crate) fn start(
    directory: &TempDir,
    port: u16,
    listen: &str,
    ng: &str,
    routes: &str,
) -> Process {
    let path = directory.path().to_string_lossy().into_owned();
    let config = directory.file(
        "kamailio.cfg",
        &format!("{}{routes}", head(port, listen, ng)),
    );
    let mut command = Command::new(KAMAILIO);
    command
        .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y", &path])
        .arg("-f")
        .arg(config);
    let kamailio = Process::start(command, &directory.path().join("kamailio.log"));
    wait_for("Kamailio", Duration::from_secs(15), || {
        let log = kamailio.log();
        assert!(!log.contains("CRITICAL"), "{log}");
        is_bound("udp", SocketAddr::from(([127, 0, 0, 1], port))).then_some(())
    });
    kamailio
}

fn head(port: u16, listen: &str, ng: &str) -> String {
    format!(
        r#"#!KAMAILIO
debug=2
log_stderror=yes
children=2
disable_tcp=yes
listen=udp:127.0.0.1:{port}
{listen}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
loadmodule "kex.so"
loadmodule "corex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "udp:{ng}")
"#
    )
}
