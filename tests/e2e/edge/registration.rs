//! Registrations at Kamailio through the edge, and calls back to the phone (E04, E05).

use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Plan, await_free, listen};
use crate::common::baresip::{BARESIP, Baresip};
use crate::common::kamailio::{self, KAMAILIO};
use crate::common::process::{Process, Relay, free_udp};
use crate::common::sip::{Message, Party, any_sdp, sdp};
use crate::common::{TempDir, has_program, phone, wait_for};

/// A registrar of which alice has a password, and others are believed.
pub(super) const REGISTRAR: &str = r#"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "xlog.so"
modparam("registrar", "use_path", 1)
modparam("registrar", "path_mode", 0)
modparam("registrar", "max_expires", 60)
request_route {
    if (is_method("REGISTER")) {
        if ($tU != "bob" && !pv_www_authenticate("$td", "secret", "0")) {
            www_challenge("$td", "0");
            exit;
        }
        save("location");
        if (reg_fetch_contacts("location", "$tu", "caller")) {
            xlog("L_ERR", "path of $tU: $(ulc(caller=>path))\n");
        }
        exit;
    }
    if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
    if (has_totag()) {
        if (loose_route() || is_method("ACK")) { t_relay(); }
        exit;
    }
    if (!is_method("INVITE")) { exit; }
    record_route();
    if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
    t_relay();
}
"#;

/// Kamailio behind an edge.
pub(super) struct Registrar {
    pub(super) at: SocketAddr,
    pub(super) kamailio: Process,
    pub(super) relay: Relay,
    _directory: TempDir,
}

impl Registrar {
    /// `plan` is for a registrar at `at`.
    pub(super) fn start(name: &str, at: SocketAddr, plan: &Plan) -> Self {
        let relay = plan.start();
        let directory = TempDir::new(&format!("{name}-registrar"));
        let ng = relay.ng.to_string();
        let kamailio = kamailio::start(&directory, at.port(), "", &ng, REGISTRAR);
        Self {
            at,
            kamailio,
            relay,
            _directory: directory,
        }
    }
}

/// A REGISTER of a party; the answer with this status.
pub(super) fn register(party: &mut Party, domain: &str, contacts: &str, status: &str) -> Message {
    let rows = format!("Contact: {contacts}\r\nExpires: 60\r\n");
    let address = party.address_of_record(domain);
    party.request_as("REGISTER", &format!("sip:{domain}"), &address, &rows, "");
    party.expect(status)
}

#[test]
fn e04_registered_phone_is_called_over_its_connection() {
    if !has_program(KAMAILIO) || !has_program(BARESIP) {
        return;
    }
    let [at, public, core] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let mut plan = Plan::new(
        "e04",
        vec![listen("tcp", public)],
        vec![listen("udp", core)],
        &format!("sip:{at}"),
    );
    plan.peers = "";
    let registrar = Registrar::start("e04", at, &plan);

    // A phone with a password, by TCP.
    let directory = &plan.directory;
    let port = free_udp("127.0.0.1").port();
    let alice = Baresip {
        proxy: Some(("tcp", public)),
        password: Some("secret"),
        ..Baresip::new("alice", port, 400)
    };
    let mut running = alice.start(directory, None);
    let path = wait_for("a stored path", Duration::from_secs(10), || {
        let log = registrar.kamailio.log();
        let found = log.split("path of alice: ").nth(1)?;
        Some(found.lines().next()?.to_owned())
    });
    assert!(
        path.contains(&format!("@{core}")) && path.contains(";lr"),
        "{path}"
    );

    // Somebody calls it at the registrar.
    let mut media = phone::Phone::new("127.0.0.1");
    let mut carol = Party::udp("carol", "127.0.0.1", registrar.at);
    let mut call = carol.request("INVITE", "sip:alice@example.com", "", &sdp(media.address()));
    let answer = carol.expect("200");
    call.answered(&answer);
    carol.ack(&call, "");
    media.speak(answer.media(), 50);
    assert!(media.hear(50) >= 49, "baresip speaks");
    carol.again(&mut call, "BYE", "", "");
    carol.expect("200");

    // Its connection is gone: so is the way to it.
    running.signal(Signal::SIGKILL);
    running.wait(Duration::from_secs(5));
    let sdp = any_sdp(carol.at.ip());
    carol.request("INVITE", "sip:alice@example.com", "", &sdp);
    let refusal = wait_for("a refusal", Duration::from_secs(5), || {
        carol
            .next(Duration::from_secs(1))
            .filter(|message| !message.kind().starts_with('1'))
    });
    assert!(matches!(refusal.kind(), "430" | "480"), "{}", refusal.text);
    await_free(&registrar.relay);
}

#[test]
fn e04_call_comes_by_the_connection_that_registered() {
    if !has_program(KAMAILIO) {
        return;
    }
    let [at, public, core] = std::array::from_fn(|_| free_udp("127.0.0.1"));
    let mut plan = Plan::new(
        "e04-connection",
        vec![listen("tcp", public)],
        vec![listen("udp", core)],
        &format!("sip:{at}"),
    );
    plan.peers = "";
    let registrar = Registrar::start("e04-connection", at, &plan);
    let mut bob = Party::tcp("bob", public);
    // Nobody listens there.
    let contact = "<sip:bob@192.0.2.44:5060;transport=tcp>";
    register(&mut bob, "example.com", contact, "200");
    let mut carol = Party::udp("carol", "127.0.0.1", registrar.at);
    let sdp = any_sdp(carol.at.ip());
    let mut call = carol.request("INVITE", "sip:bob@example.com", "", &sdp);
    let invite = bob.expect("INVITE");
    assert_eq!(invite.uri(), "sip:bob@192.0.2.44:5060;transport=tcp");
    assert_ne!(invite.media().port(), 4000, "its media is the relay's");
    bob.reply(&invite, "200 OK", "b", "", &any_sdp(public.ip()));
    call.answered(&carol.expect("200"));
    carol.ack(&call, "");
    bob.expect("ACK");
    carol.again(&mut call, "BYE", "", "");
    let bye = bob.expect("BYE");
    bob.reply(&bye, "200 OK", "", "", "");
    carol.expect("200");
}

#[test]
fn e05_alias_stands_for_the_contacts_and_all_are_removed() {
    if !has_program(KAMAILIO) {
        return;
    }
    let at = free_udp("127.0.0.1");
    let (mut plan, [public, _]) = Plan::udp("e05", at);
    plan.peers = "";
    plan.more = "[register]\nmode = \"alias\"\n".to_owned();
    let registrar = Registrar::start("e05", at, &plan);
    let mut bob = Party::udp("bob", "127.0.0.1", public);
    let own = format!("<sip:bob@{};x-line=1>", bob.at);
    let other = format!("<sip:bob@{};x-line=2>", bob.at);
    let answer = register(&mut bob, "example.com", &format!("{own}, {other}"), "200");
    let granted = answer.all("Contact");
    assert_eq!(granted.len(), 2, "{}", answer.text);
    for contact in [&own, &other] {
        let is_there = granted.iter().any(|it| it.starts_with(contact.as_str()));
        assert!(is_there, "{contact} as it was: {granted:?}");
    }
    // The registrar never saw where the phone is, and reaches it.
    let mut carol = Party::udp("carol", "127.0.0.1", registrar.at);
    let sdp = any_sdp(carol.at.ip());
    carol.request("INVITE", "sip:bob@example.com", "", &sdp);
    let invite = bob.expect("INVITE");
    assert!(
        [own, other].contains(&format!("<{}>", invite.uri())),
        "{}",
        invite.text
    );
    let second = bob.expect("INVITE");
    assert_ne!(second.uri(), invite.uri(), "each contact is called");
    for (invite, tag) in [(invite, "b1"), (second, "b2")] {
        bob.reply(&invite, "486 Busy Here", tag, "", "");
        bob.expect("ACK");
    }
    carol.expect("486");

    let address = bob.address_of_record("example.com");
    let rows = "Contact: *\r\nExpires: 0\r\n";
    bob.request_as("REGISTER", "sip:example.com", &address, rows, "");
    let answer = bob.expect("200");
    assert_eq!(answer.all("Contact"), Vec::<&str>::new(), "{}", answer.text);
    carol.request("INVITE", "sip:bob@example.com", "", &sdp);
    carol.expect("404");
    bob.hears_nothing(Duration::from_millis(100));
}

#[test]
fn e05_binding_lasts_as_long_as_granted() {
    let at = free_udp("127.0.0.1");
    let (mut plan, [public, core]) = Plan::udp("e05-granted", at);
    plan.peers = "";
    plan.more = "[register]\nmode = \"alias\"\nmax_contacts_per_aor = 1\n".to_owned();
    let _relay = plan.start();
    let mut registrar = Party::udp_at("registrar", at, core);
    let mut bob = Party::udp("bob", "127.0.0.1", public);
    let ask = |bob: &mut Party, line: u32| {
        let contact = format!("<sip:bob@{};x-line={line}>", bob.at);
        let rows = format!("Contact: {contact}\r\nExpires: 3600\r\n");
        let address = bob.address_of_record("example.com");
        bob.request_as("REGISTER", "sip:example.com", &address, &rows, "");
        contact
    };
    let contact = ask(&mut bob, 1);
    let request = registrar.expect("REGISTER");
    let alias = request.header("Contact").to_owned();
    assert!(alias.contains(&core.to_string()), "{alias}");
    // Asked for an hour, granted a second.
    let rows = format!("Contact: {alias};expires=1\r\n");
    registrar.reply_as(&request, "200 OK", "r", &rows);
    let answer = bob.expect("200");
    assert_eq!(answer.header("Contact"), format!("{contact};expires=1"));
    ask(&mut bob, 2);
    bob.expect("403");
    std::thread::sleep(Duration::from_millis(2200));
    ask(&mut bob, 2);
    registrar.expect("REGISTER");
}
