//! What strangers send, and what they cannot do with it.

use super::*;
use windlass_dtls::is_client_hello;

/// The first datagram of the peer's agent.
fn check_of(world: &mut World) -> Vec<u8> {
    let mut buffer = [0; windlass_ice::limits::MESSAGE];
    let ice = world.peer.ice.as_mut().unwrap();
    ice.handle_timeout(world.now, &mut world.rng);
    let transmit = ice.poll_transmit(&mut buffer).expect("a check");
    buffer[..transmit.len].to_vec()
}

fn hello_of(world: &mut World) -> Vec<u8> {
    let mut hello = Vec::new();
    let dtls = world.peer.dtls.as_mut().unwrap();
    dtls.poll_transmit(&mut hello).unwrap();
    assert!(is_client_hello(&hello));
    hello
}

#[test]
fn the_gate_is_open_before_the_answer_that_leads_through_it_leaves() {
    let mut world = World::new().with_ice().with_dtls(Role::Passive, 1);
    world.apply();
    let (check, hello) = (check_of(&mut world), hello_of(&mut world));
    world.arrives(stranger(), &hello);
    world.arrives(theirs(), &hello);
    assert_eq!(world.refused, 2, "nobody has shown to be the party");
    world.arrives(theirs(), &check);
    // Nothing of the shard's has left yet.
    world.arrives(theirs(), &hello);
    world.arrives(stranger(), &hello);
    assert_eq!(world.refused, 3);
    world.run(Duration::from_millis(500));
    world.assert_keys_fit();
}

#[test]
fn checks_for_others_and_answers_to_nothing_never_reach_the_agent() {
    let mut world = World::new().with_ice();
    world.apply();
    let check = check_of(&mut world);
    let mut for_another = World::new().with_ice();
    for_another.peer.ice = Some(for_another.peer_ice("them", "oursx"));
    let for_another = check_of(&mut for_another);
    let mut answer = check.clone();
    (answer[0], answer[1]) = (1, 1);
    world.arrives(stranger(), &for_another);
    world.arrives(stranger(), &answer);
    assert_eq!((world.refused, world.shard.take_departures().len()), (2, 0));
    world.arrives(stranger(), &check);
    assert_eq!(world.refused, 2);
    world.run(5 * SECOND);
    assert!(world.found.paths.rtp.unwrap().is_selected);
}

#[test]
fn a_hello_that_comes_a_moment_before_its_source_is_known_costs_no_second() {
    let mut world = World::new().with_ice().with_dtls(Role::Passive, 1);
    // A NAT shows another address than SDP says.
    world.spec.ice.as_mut().unwrap().remote.clear();
    world.apply();
    let (check, hello) = (check_of(&mut world), hello_of(&mut world));
    world.arrives(theirs(), &check);
    assert!(world.found.sources.is_empty());
    // It has our answer, and we do not have its answer to our check.
    world.shard.handle_timeout(world.now, 4);
    world.arrives(theirs(), &hello);
    assert_eq!(world.refused, 0);
    world.run(Duration::from_millis(500));
    world.assert_keys_fit();
}

#[test]
fn what_is_found_is_told_at_most_every_50_ms_but_keys_at_once() {
    let mut world = World::new().with_ice().with_dtls(Role::Passive, 1);
    world.apply();
    world.run(5 * SECOND);
    world.assert_keys_fit();
    let times = world.found_at.windows(2).map(|two| two[1] - two[0]);
    // The pair comes first, and the keys may follow at once.
    assert!(times.filter(|time| *time < FOUND_INTERVAL).count() <= 1);
    assert!(world.found_at.len() >= 2);
    // The latest was told.
    assert!(world.found.paths.rtp.unwrap().is_selected);
}

#[test]
fn what_a_call_did_not_take_in_is_said_again() {
    let mut world = World::new().with_dtls(Role::Passive, 1);
    world.apply();
    world.run(SECOND);
    let keys = world.found.keys.rtp.take();
    assert!(keys.is_some());
    for times in 1..6 {
        world.shard.tell_again(world.spec.number, world.now);
        let before = world.now;
        world.run(20 * SECOND);
        assert_eq!(world.found.keys.rtp.take(), keys, "{times}");
        let last = *world.found_at.last().unwrap() - before;
        assert!(last >= FOUND_INTERVAL && last < 10 * SECOND, "{last:?}");
    }
    // It was taken in.
    world.run(60 * SECOND);
    assert_eq!(world.found.keys.rtp, None);
    // Another call knows nothing of it.
    world.shard.apply(8, 1, vec![world.spec.clone()], world.now);
    let told = world.shard.take_outputs();
    assert!(
        told.iter().any(|output| matches!(
            output,
            Output::Found { call: 8, found, .. } if found.keys.rtp == keys
        )),
        "{told:?}"
    );
}

#[test]
fn hellos_that_nobody_answers_take_no_room_of_those_who_do() {
    let mut world = World::new().with_dtls(Role::Active, 1);
    let own = world.spec.clone();
    // Many calls name the address of one who is not there.
    let dtls = world.peer.dtls.take();
    for call in 1000..1000 + HANDSHAKES_PER_SOURCE as u64 {
        let spec = AgentSpec {
            number: AgentNumber::default(),
            ..own.clone()
        };
        world.shard.apply(call, 0, vec![spec], world.now);
    }
    while !world.shard.take_outputs().is_empty() {}
    world.peer.dtls = dtls;
    world.spec = own;
    world.spec.dtls.as_mut().unwrap().role = Some(Role::Passive);
    world.peer.dtls = Some(world.session(Role::Passive, 1));
    world.apply();
    world.run(SECOND);
    world.assert_keys_fit();
}

#[test]
fn a_thread_does_a_few_things_at_a_time() {
    let mut world = World::new().with_dtls(Role::Active, 1);
    for call in 1000..1020 {
        let spec = AgentSpec {
            number: AgentNumber::default(),
            ..world.spec.clone()
        };
        world.shard.apply(call, 0, vec![spec], world.now);
    }
    world.shard.take_outputs();
    // All 20 repeat their hello.
    world.now += 2 * SECOND;
    for (is_more_due, hellos) in [(true, 8), (true, 8), (false, 4)] {
        assert_eq!(world.shard.handle_timeout(world.now, 8), is_more_due);
        assert_eq!(world.shard.take_departures().len(), hellos);
    }
}

#[test]
fn more_candidates_than_an_agent_has_room_for_are_cut() {
    let mut world = World::new().with_ice();
    let ice = world.spec.ice.as_mut().unwrap();
    let best = ice.candidates.pop().unwrap();
    for port in 0..30_u16 {
        ice.candidates.push(LocalCandidate {
            component: IceComponent::Rtp,
            address: SocketAddr::new(ours().ip(), 31_000 + port),
            priority: best.priority - 1000 - u32::from(port),
        });
    }
    ice.candidates.push(best);
    world.apply();
    world.run(5 * SECOND);
    let path = world.found.paths.rtp.expect("ICE goes on with the best");
    assert_eq!((path.local, path.is_selected), (ours(), true));
}

#[test]
fn the_rtcp_port_of_a_further_port_set_is_for_rtcp() {
    let mut world = World::new().with_dtls(Role::Passive, 1);
    let further = addr("203.0.113.1:30003");
    world.spec.mux = false;
    world.spec.ports.rtcp = Some(addr("203.0.113.1:30001"));
    world.spec.rtcp_ports = vec![addr("203.0.113.1:30001"), further];
    world.peer.at = world.peer.rtcp_at();
    world.spec.signalled.rtcp = Some(world.peer.at);
    world.apply();
    let hello = hello_of(&mut world);
    world.arrives_on(further, world.peer.at, &hello);
    world.run(SECOND);
    assert!(world.found.keys.rtcp.is_some());
    assert_eq!(world.found.keys.rtp, None);
}

#[test]
fn any_certificate_of_the_party_is_good() {
    for role in [Role::Active, Role::Passive] {
        let mut world = World::new().with_dtls(role, 1);
        let weak = certificate(2).fingerprint(HashFunction::Sha1);
        let named = vec![weak, fingerprint(2), fingerprint(1)];
        world.spec.dtls.as_mut().unwrap().fingerprints = Some(named);
        world.apply();
        world.run(SECOND);
        world.assert_keys_fit();
        // A weak match excuses nothing.
        let mut world = World::new().with_dtls(role, 1);
        let weak = certificate(1).fingerprint(HashFunction::Sha1);
        let named = vec![weak, fingerprint(2)];
        world.spec.dtls.as_mut().unwrap().fingerprints = Some(named);
        world.apply();
        world.run(5 * SECOND);
        assert_eq!(world.found.keys.rtp, None);
    }
}
