//! Agents that stop in a call, and others that go on.

use super::*;
use crate::agents::AgentState;
use crate::flow::secure::Protection;
use crate::media::demux::Protocol;
use windlass_srtp::{Freshness as Since, Seal};

fn rtp(sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let header = [0x80, 8, high, low, 0, 0, 0, 160, 1, 2, 3, 4];
    [&header[..], &[0xd5; 160]].concat()
}

/// The peer's side of media.
struct Media {
    open: Open,
    seal: Seal,
}

impl Media {
    fn of(world: &World) -> Self {
        let connected = world.peer.connected().unwrap();
        let suite = Suite::from_dtls_profile(connected.profile.id()).unwrap();
        let keys = |of: &windlass_dtls::SrtpKeys| {
            Keys::new(suite, of.key.as_bytes(), of.salt.as_bytes()).unwrap()
        };
        Self {
            open: Open::new(vec![keys(&connected.remote)]).unwrap(),
            seal: Seal::new(keys(&connected.local)).unwrap(),
        }
    }

    fn sealed(&mut self, sequence: u16) -> Vec<u8> {
        let plain = rtp(sequence);
        let mut buffer = [&plain[..], &[0; 64]].concat();
        let length = self.seal.rtp(&mut buffer, plain.len()).unwrap();
        buffer.truncate(length);
        buffer
    }

    fn opens(&mut self, mut packet: Vec<u8>) -> bool {
        self.open.rtp(&mut packet).is_ok()
    }
}

fn sealed(keys: &Protection, sequence: u16) -> Vec<u8> {
    let mut packet = rtp(sequence);
    keys.seal(&mut packet).unwrap();
    packet
}

/// The process ends without a word, and another has the ports and what was saved.
fn succeed(world: &mut World) {
    let saved = world.shard.save(CALL, world.now);
    let [(number, state)] = &saved[..] else {
        panic!("{saved:?}");
    };
    assert_eq!(*number, world.spec.number);
    let written = serde_json::to_string(state).unwrap();
    let read: AgentState = serde_json::from_str(&written).unwrap();
    assert!(
        !format!("{state:?}").contains(&"ours".repeat(6)),
        "a secret"
    );
    let settings = Settings {
        ice: ice_config(),
        mtu: SessionConfig::MTU,
    };
    world.inbox = Inbox::new(1);
    let gates = world.inbox.gates(0);
    world.shard = Shard::new(settings, gates, StdRng::seed_from_u64(3));
    world.spec.number = AgentNumber::default();
    world.found = Found::default();
    let agents = vec![(world.spec.clone(), read)];
    let failed = world
        .shard
        .restore(CALL, 0, agents, Since::Exact, world.now);
    assert!(failed.is_empty(), "{failed:?}");
    while world.exchange() {}
}

#[test]
fn media_and_consent_go_on_in_a_successor() {
    for role in [Role::Active, Role::Passive] {
        let mut world = World::new().with_ice().with_dtls(role, 1);
        world.apply();
        world.run(5 * SECOND);
        let mut media = Media::of(&world);
        let before = world.found.keys.rtp.clone().unwrap();
        let mut heard = Vec::new();
        for sequence in 65_500..=65_535 {
            let packet = media.sealed(sequence);
            heard.push(packet.clone());
            before.open(&mut packet.clone(), Protocol::Rtp).unwrap();
            assert!(media.opens(sealed(&before, sequence)));
        }
        let paths = world.found.paths;
        let sent = world.sent;
        succeed(&mut world);
        // The successor says at once what it knows: nothing is lost but what came meanwhile.
        assert_eq!((world.found.paths, world.sent), (paths, sent));
        assert_eq!(world.found.sources, [(ours(), theirs())]);
        let after = world.found.keys.rtp.clone().unwrap();
        for mut replay in heard {
            assert!(after.open(&mut replay, Protocol::Rtp).is_err());
        }
        for sequence in 0..50 {
            after
                .open(&mut media.sealed(sequence), Protocol::Rtp)
                .unwrap();
            assert!(media.opens(sealed(&after, sequence)), "{sequence}");
        }
        // The party still agrees, and nothing was begun anew.
        world.run(120 * SECOND);
        assert_eq!(world.found.paths, paths);
        assert_eq!(world.found.keys.rtp.as_ref(), Some(&after));
        assert!(world.peer.events.len() == 1, "{:?}", world.peer.events);
        // A new association of the party is taken beside the keys in use.
        world.peer.dtls = Some(world.session(Role::Passive, 1));
        world.run(5 * SECOND);
        assert_ne!(world.found.keys.rtp.as_ref(), Some(&after));
        world.assert_keys_fit();
    }
}

#[test]
fn what_cannot_go_on_begins_anew() {
    let mut world = World::new().with_ice().with_dtls(Role::Passive, 1);
    world.apply();
    world.run(5 * SECOND);
    let (_, state) = world.shard.save(CALL, world.now).pop().unwrap();
    let mut later = serde_json::to_value(&state).unwrap();
    later["version"] = 2.into();
    let later: AgentState = serde_json::from_value(later).unwrap();
    world.spec.number = AgentNumber::default();
    let agents = vec![(world.spec.clone(), later)];
    let failed = world.shard.restore(8, 0, agents, Since::Exact, world.now);
    let [(number, error)] = &failed[..] else {
        panic!("{failed:?}");
    };
    assert_eq!(*number, world.spec.number);
    assert_eq!(error.to_string(), "format 2, known is 1");
    // Keys without their association are enough for media.
    let mut bare = serde_json::to_value(&state).unwrap();
    bare["rtp"]["association"] = serde_json::Value::Null;
    let bare: AgentState = serde_json::from_value(bare).unwrap();
    world.spec.number = AgentNumber::default();
    let agents = vec![(world.spec.clone(), bare)];
    let failed = world.shard.restore(9, 0, agents, Since::Exact, world.now);
    assert!(failed.is_empty());
    let outputs = world.shard.take_outputs();
    let is_told = |output: &Output| {
        matches!(output, Output::Found { call: 9, found, .. }
            if found.keys.rtp.is_some() && found.paths.rtp.is_some())
    };
    assert!(outputs.iter().any(is_told), "{outputs:?}");
}
