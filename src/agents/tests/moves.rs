//! Parties that are elsewhere than thought.

use super::*;
use crate::limits::HEARD_SOURCES;

/// The peer has a second address, which works as well.
fn with_two_addresses(is_controlling: bool) -> (World, SocketAddr) {
    let mut world = World::new().with_ice();
    let other = world.peer.rtcp_at();
    let candidate = |address, priority| LocalCandidate {
        component: IceComponent::Rtp,
        address,
        priority,
    };
    let start = Start {
        credentials: credentials("them"),
        role: match is_controlling {
            true => IceRole::Controlled,
            false => IceRole::Controlling,
        },
        candidates: vec![
            candidate(theirs(), 2_130_706_431),
            candidate(other, 2_130_706_175),
        ],
    };
    let mut agent = IceAgent::new(ice_config(), start, world.now).unwrap();
    agent.set_remote(parameters("ours"), world.now).unwrap();
    let remote = RemoteCandidate {
        component: IceComponent::Rtp,
        address: ours(),
        priority: 2_130_706_431,
        foundation: b"1",
    };
    agent.add_remote(remote).unwrap();
    world.peer.ice = Some(agent);
    let ice = world.spec.ice.as_mut().unwrap();
    ice.is_controlling = is_controlling;
    ice.remote.push(IceCandidate {
        component: Component::Rtp,
        address: other,
        priority: 2_130_706_175,
        foundation: b"2".as_slice().into(),
    });
    (world, other)
}

#[test]
fn the_pair_in_use_follows_the_media_of_a_party_that_nominates() {
    let (mut world, other) = with_two_addresses(false);
    world.apply();
    world.run(2 * SECOND);
    let remote = |world: &World| world.found.paths.rtp.unwrap().remote;
    assert_eq!(remote(&world), theirs());
    assert!(world.found.sources.contains(&(ours(), other)));
    // Nobody who has not shown to be the party is followed.
    world.hears_media(stranger());
    world.run(SECOND);
    assert_eq!(remote(&world), theirs());
    world.hears_media(other);
    world.run(SECOND);
    assert_eq!(remote(&world), other);
    // Not to and fro, and not for ever: consent is asked for there.
    world.hears_media(theirs());
    world.run(SECOND);
    assert_eq!(remote(&world), other);
    world.run(5 * SECOND);
    world.hears_media(theirs());
    world.run(60 * SECOND);
    assert_eq!(remote(&world), theirs());
}

#[test]
fn a_pair_that_we_nominated_stays() {
    let (mut world, other) = with_two_addresses(true);
    world.apply();
    world.run(2 * SECOND);
    world.hears_media(other);
    world.run(5 * SECOND);
    assert_eq!(world.found.paths.rtp.unwrap().remote, theirs());
}

/// Our hello goes to a party behind NAT that waits for it.
fn behind_nat() -> World {
    let mut world = World::new().with_dtls(Role::Active, 1);
    world.spec.signalled.rtp = Some(addr("10.0.0.9:4000"));
    world.spec.is_private = true;
    world.apply();
    world.run(Duration::from_millis(100));
    world
}

#[test]
fn our_hello_goes_where_media_of_a_party_behind_nat_comes_from() {
    let mut world = behind_nat();
    world.hears_media(theirs());
    world.run(Duration::from_millis(100));
    world.assert_keys_fit();
    // Whoever else sends gets none.
    let astray = world.astray.len();
    world.hears_media(stranger());
    world.run(60 * SECOND);
    assert_eq!(world.astray.len(), astray);
    // One with a public address is where SDP says.
    let mut world = World::new().with_dtls(Role::Active, 1);
    world.peer.is_gone = true;
    world.apply();
    world.hears_media(stranger());
    world.run(10 * SECOND);
    assert!(world.astray.is_empty());
}

#[test]
fn strangers_that_send_media_get_few_hellos_and_keep_none_from_the_party() {
    let mut world = behind_nat();
    world.hears_media(stranger());
    world.run(SECOND);
    world.hears_media(theirs());
    world.run(Duration::from_millis(100));
    world.assert_keys_fit();
    let mut world = behind_nat();
    let strangers = (5000..5100).map(|port| SocketAddr::new(stranger().ip(), port));
    for source in strangers.clone() {
        world.hears_media(source);
    }
    let hellos = |world: &World| {
        let all = world.astray.iter().filter(|to| to.ip() == stranger().ip());
        all.count()
    };
    world.run(35 * SECOND);
    // One each, and repetitions to the last ones.
    let sent = hellos(&world);
    assert!((100..100 + 10 * HEARD_SOURCES).contains(&sent), "{sent}");
    world.run(60 * SECOND);
    assert_eq!(hellos(&world), sent);
    for source in strangers {
        world.hears_media(source);
    }
    world.hears_media(theirs());
    world.run(Duration::from_millis(100));
    world.assert_keys_fit();
}
