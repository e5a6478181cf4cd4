//! What calls do beside beginning and ending: CANCEL, forks, and changes of media (E07 to E09, E30).

use std::net::SocketAddr;
use std::time::Duration;

use super::{Plan, await_free};
use crate::common::phone::Phone;
use crate::common::process::{Relay, free_udp};
use crate::common::sip::{Dialog, Message, Party, sdp};
use crate::common::{has_program, rtpengine, wait_for};

/// Two parties with media, and the edge between them.
struct Scene {
    relay: Relay,
    plan: Plan,
    alice: Party,
    bob: Party,
    /// Media of both.
    sound: [Phone; 2],
}

impl Scene {
    fn new(name: &str) -> Self {
        Self::with(name, "")
    }

    /// `edge` is more of its section.
    fn with(name: &str, edge: &str) -> Self {
        let callee = free_udp("127.0.0.1");
        let (mut plan, [public, core]) = Plan::udp(name, callee);
        plan.edge = edge.to_owned();
        Self {
            relay: plan.start(),
            plan,
            alice: Party::udp("alice", "127.0.0.1", public),
            bob: Party::udp_at("bob", callee, core),
            sound: std::array::from_fn(|_| Phone::new("127.0.0.1")),
        }
    }

    fn sdps(&self) -> [String; 2] {
        self.sound.each_ref().map(|phone| sdp(phone.address()))
    }

    /// An SDP shows media of the relay, not of a party.
    fn is_relayed(&self, message: &Message) {
        let own = self.sound.each_ref().map(Phone::address);
        assert!(!own.contains(&message.media()), "{}", message.text);
    }

    /// A call that is set up; both dialogs, and where each party was told to send.
    fn call(&mut self) -> ([Dialog; 2], [SocketAddr; 2]) {
        let [hers, his] = self.sdps();
        let mut out = self
            .alice
            .request("INVITE", "sip:bob@example.com", "", &hers);
        let invite = self.bob.expect("INVITE");
        self.is_relayed(&invite);
        self.bob.reply(&invite, "200 OK", "b", "", &his);
        let answer = self.alice.expect("200");
        self.is_relayed(&answer);
        out.answered(&answer);
        self.alice.ack(&out, "");
        self.bob.expect("ACK");
        let back = Dialog::of_callee(&invite, "b");
        ([out, back], [answer.media(), invite.media()])
    }

    /// Audio passes both ways.
    fn talk(&mut self, to: [SocketAddr; 2]) {
        let [hers, his] = &mut self.sound;
        hers.speak(to[0], 20);
        assert_eq!(his.hear(20), 20);
        his.speak(to[1], 20);
        assert_eq!(hers.hear(20), 20);
    }

    fn end(&mut self, out: &mut Dialog) {
        self.alice.again(out, "BYE", "", "");
        let bye = self.bob.expect("BYE");
        self.bob.reply(&bye, "200 OK", "", "", "");
        self.alice.expect("200");
    }

    fn is_free(&self) {
        await_free(&self.relay);
    }
}

#[test]
fn e07_cancel_before_and_after_ringing() {
    for rings in [false, true] {
        let mut scene = Scene::new(&format!("e07-{rings}"));
        let [hers, _] = scene.sdps();
        scene
            .alice
            .request("INVITE", "sip:bob@example.com", "", &hers);
        let invite = scene.bob.expect("INVITE");
        if rings {
            scene.bob.reply(&invite, "180 Ringing", "b", "", "");
            scene.alice.expect("180");
        }
        scene.alice.cancel();
        let ok = scene.alice.expect("200");
        assert!(ok.header("CSeq").ends_with(" CANCEL"), "{}", ok.text);
        if !rings {
            // It waits for a provisional response (RFC 3261 §9.1).
            scene.bob.hears_nothing(Duration::from_millis(100));
            scene.bob.reply(&invite, "180 Ringing", "b", "", "");
        }
        let cancel = scene.bob.expect("CANCEL");
        let branch = |message: &Message| message.header("Via").to_owned();
        assert_eq!(branch(&cancel), branch(&invite));
        scene.bob.reply_as(&cancel, "200 OK", "b", "");
        scene
            .bob
            .reply(&invite, "487 Request Terminated", "b", "", "");
        scene.bob.expect("ACK");
        scene.alice.expect("487");
        scene.is_free();
    }
}

#[test]
fn e07_cancel_that_crosses_the_answer_lets_the_call_be() {
    let mut scene = Scene::new("e07-crossing");
    let [hers, his] = scene.sdps();
    let mut out = scene
        .alice
        .request("INVITE", "sip:bob@example.com", "", &hers);
    let invite = scene.bob.expect("INVITE");
    scene.bob.reply(&invite, "180 Ringing", "b", "", "");
    scene.alice.expect("180");
    scene.alice.cancel();
    let cancel = scene.bob.expect("CANCEL");
    // He has answered already.
    scene.bob.reply(&invite, "200 OK", "b", "", &his);
    scene.bob.reply_as(&cancel, "200 OK", "b", "");
    let answers = [scene.alice.expect("200"), scene.alice.expect("200")];
    let answer = answers
        .iter()
        .find(|answer| answer.header("CSeq").ends_with(" INVITE"));
    out.answered(answer.expect("the answer"));
    scene.alice.ack(&out, "");
    scene.bob.expect("ACK");
    scene.end(&mut out);
    scene.is_free();
}

#[test]
fn e08_each_fork_has_its_answer() {
    let mut scene = Scene::new("e08");
    let [hers, his] = scene.sdps();
    let out = scene
        .alice
        .request("INVITE", "sip:bob@example.com", "", &hers);
    let invite = scene.bob.expect("INVITE");
    let kind_of = |scene: &mut Scene, kind: &str| {
        wait_for(kind, Duration::from_secs(5), || {
            let message = scene.alice.next(Duration::from_secs(1))?;
            (message.kind() == kind).then_some(message)
        })
    };
    let mut seen = Vec::new();
    for tag in ["x", "y"] {
        scene
            .bob
            .reply(&invite, "183 Session Progress", tag, "", &his);
        let early = kind_of(&mut scene, "183");
        assert!(
            early.header("To").ends_with(&format!(";tag={tag}")),
            "{}",
            early.text
        );
        scene.is_relayed(&early);
        seen.push(early.media());
    }
    // A fork that answers when the call is over gets ACK and BYE of the edge, so both answer first.
    let mut answered = Vec::new();
    for (tag, early) in ["x", "y"].into_iter().zip(seen) {
        scene.bob.reply(&invite, "200 OK", tag, "", &his);
        let answer = kind_of(&mut scene, "200");
        assert!(
            answer.header("To").ends_with(&format!(";tag={tag}")),
            "{}",
            answer.text
        );
        assert_eq!(answer.media(), early, "as it was told before");
        let mut out = out.clone();
        out.answered(&answer);
        scene.alice.ack(&out, "");
        let ack = scene.bob.expect("ACK");
        assert!(
            ack.header("To").ends_with(&format!(";tag={tag}")),
            "{}",
            ack.text
        );
        answered.push(out);
    }
    for out in &mut answered {
        scene.end(out);
    }
    scene.is_free();
}

#[test]
fn e09_reliable_ringing_and_update_are_answered_by_the_relay() {
    let mut scene = Scene::new("e09-prack");
    let [hers, his] = scene.sdps();
    let require = "Supported: 100rel\r\n";
    let mut out = scene
        .alice
        .request("INVITE", "sip:bob@example.com", require, &hers);
    let invite = scene.bob.expect("INVITE");
    scene.is_relayed(&invite);
    let reliable = "Require: 100rel\r\nRSeq: 1\r\n";
    scene
        .bob
        .reply(&invite, "183 Session Progress", "b", reliable, &his);
    let early = wait_for("a 183", Duration::from_secs(5), || {
        let message = scene.alice.next(Duration::from_secs(1))?;
        (message.kind() == "183").then_some(message)
    });
    scene.is_relayed(&early);
    out.answered(&early);
    scene
        .alice
        .again(&mut out, "PRACK", "RAck: 1 1 INVITE\r\n", "");
    let prack = scene.bob.expect("PRACK");
    scene.bob.reply(&prack, "200 OK", "", "", "");
    scene.alice.expect("200");
    scene.alice.again(&mut out, "UPDATE", "", &hers);
    let update = scene.bob.expect("UPDATE");
    scene.is_relayed(&update);
    scene.bob.reply(&update, "200 OK", "", "", &his);
    let updated = scene.alice.expect("200");
    scene.is_relayed(&updated);
    scene.bob.reply(&invite, "200 OK", "b", "", "");
    scene.alice.expect("200");
    let number = std::mem::replace(&mut out.number, 1);
    scene.alice.ack(&out, "");
    out.number = number;
    scene.bob.expect("ACK");
    scene.talk([updated.media(), update.media()]);
    scene.end(&mut out);
    scene.is_free();
}

#[test]
fn e09_late_offer_goes_through_the_relay() {
    let mut scene = Scene::new("e09-late");
    let [hers, his] = scene.sdps();
    let mut out = scene.alice.request("INVITE", "sip:bob@example.com", "", "");
    let invite = scene.bob.expect("INVITE");
    assert_eq!(invite.body(), "");
    scene.bob.reply(&invite, "200 OK", "b", "", &his);
    let offer = scene.alice.expect("200");
    scene.is_relayed(&offer);
    out.answered(&offer);
    scene.alice.ack(&out, &hers);
    let ack = scene.bob.expect("ACK");
    scene.is_relayed(&ack);
    scene.talk([offer.media(), ack.media()]);
    scene.end(&mut out);
    scene.is_free();
}

/// Hold, back again, and a change that is refused: audio goes on.
fn holds(mut scene: Scene) {
    let [hers, his] = scene.sdps();
    let ([mut out, _], mut told) = scene.call();
    scene.talk(told);
    for direction in ["sendonly", "sendrecv"] {
        let body = format!("{hers}a={direction}\r\n").replace("o=- 1 1", "o=- 1 2");
        scene.alice.again(&mut out, "INVITE", "", &body);
        let again = scene.bob.expect("INVITE");
        scene.is_relayed(&again);
        assert!(again.body().contains(direction), "{}", again.text);
        let answer = if direction == "sendonly" {
            "recvonly"
        } else {
            "sendrecv"
        };
        scene
            .bob
            .reply(&again, "200 OK", "", "", &format!("{his}a={answer}\r\n"));
        let answer = scene.alice.expect("200");
        scene.is_relayed(&answer);
        scene.alice.ack(&out, "");
        scene.bob.expect("ACK");
        told = [answer.media(), again.media()];
    }
    scene.talk(told);
    let elsewhere = Phone::new("127.0.0.1");
    scene
        .alice
        .again(&mut out, "INVITE", "", &sdp(elsewhere.address()));
    let again = scene.bob.expect("INVITE");
    scene.is_relayed(&again);
    scene
        .bob
        .reply(&again, "488 Not Acceptable Here", "", "", "");
    scene.bob.expect("ACK");
    scene.alice.expect("488");
    scene.talk(told);
    scene.end(&mut out);
    scene.is_free();
}

#[test]
fn e09_audio_goes_on_after_hold_and_refusal() {
    holds(Scene::new("e09-hold"));
}

#[test]
fn e30_call_by_another_windlass() {
    let other = Relay::start("[timeouts]\ndelete_delay = 0\n");
    let mut scene = Scene::with("e30", &format!("ng = \"{}\"\n", other.ng));
    let ([mut out, _], told) = scene.call();
    assert_eq!(scene.relay.leased_ports(), 0, "it is the other's");
    assert_ne!(other.leased_ports(), 0);
    scene.talk(told);
    scene.end(&mut out);
    holds(scene);
    await_free(&other);
}

#[test]
fn e30_call_by_rtpengine() {
    if !has_program(rtpengine::RTPENGINE) {
        return;
    }
    let ng = free_udp("127.0.0.1");
    let mut scene = Scene::with("e30-rtpengine", &format!("ng = \"{ng}\"\n"));
    let directory = &scene.plan.directory;
    let _rtpengine = rtpengine::start(directory, ng, &rtpengine::on_loopback());
    let ([mut out, _], told) = scene.call();
    assert_eq!(scene.relay.leased_ports(), 0, "it is the other's");
    scene.talk(told);
    scene.end(&mut out);
}
