//! Lists page by page, and the events of a call.

use super::*;
use crate::record::event::Event;

fn numbered(n: usize) -> String {
    invite("alice")
        .replace("z9hG4bKinv", &format!("z9hG4bKinv{n}"))
        .replace("Call-ID: c1", &format!("Call-ID: call{n}"))
        .replace("sip:bob@", &format!("sip:49{n}@"))
}

#[test]
fn pages_show_each_call_once() {
    let mut world = World::new();
    for n in 0..5 {
        world.recv(ALICE, &numbered(n));
    }
    let all = CallFilter::default();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = world.proxy.calls(world.now, &all, after, 2);
        assert!(page.found.len() <= 2);
        seen.extend(page.found.into_iter().map(|call| call.call_id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["call0", "call1", "call2", "call3", "call4"]);
    assert_eq!(world.proxy.census(None).found, [5, 0, 0]);
    let of = |filter: CallFilter| {
        let found = world.proxy.calls(world.now, &filter, None, 10).found;
        let mut ids: Vec<String> = found.into_iter().map(|call| call.call_id).collect();
        ids.sort();
        ids
    };
    let prefix = |text: &str| CallFilter {
        prefix: Some(text.to_owned()),
        ..CallFilter::default()
    };
    assert_eq!(of(prefix("493")), ["call3"]);
    assert_eq!(of(prefix("49")).len(), 5);
    let target = |id: &str| CallFilter {
        target_id: Some(id.to_owned()),
        ..CallFilter::default()
    };
    assert_eq!(of(target("upstream-1")).len(), 5);
    assert_eq!(of(target("upstream-2")), [""; 0]);
    let ended = world
        .proxy
        .end_calls(world.now, &prefix("49"), (None, 3), (200, "x"));
    assert_eq!(ended.found, 3, "no more than asked for");
    assert!(ended.next.is_some() || world.proxy.census(None).found[0] == 2);
}

/// Each state of a call is told once, in its order.
#[test]
fn a_call_tells_its_states() {
    let mut world = World::new();
    call(&mut world);
    world.pass(Duration::from_secs(5));
    let all = CallFilter::default();
    world
        .proxy
        .end_calls(world.now, &all, (None, 1), (200, "enough"));
    world.pull();
    world.assert_forgotten();
    let states: Vec<(&str, u16)> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::CallState { state, code, .. } => Some((*state, *code)),
            _ => None,
        })
        .collect();
    assert_eq!(states, [("early", 0), ("confirmed", 200), ("ended", 200)]);
    let target = world.proxy.routing.pools().list().remove(0);
    assert_eq!((target.calling.invites, target.calling.answered), (1, 1));
    assert_eq!((target.calling.talks, target.calling.talk_ms), (1, 5000));
    assert_eq!(target.calling.rings, 1);
}
