//! A request for a pool with names, from the rule to the server that answers: `Pick` and `Resolve`
//! together, as the core drives them.

use super::*;
use crate::resolve::{Answer, Query, RecordKind, Records, Resolve, ResolveConfig, Srv};

/// Two servers behind `pbx.example.com`, the first one preferred.
fn dns(query: &Query) -> Answer {
    let records = match (&*query.name, query.kind) {
        ("_sip._udp.pbx.example.com", RecordKind::Srv) => {
            let srv = |priority, host: &str| Srv {
                priority,
                weight: 0,
                port: 5070,
                host: host.into(),
            };
            let all = [srv(1, "a.example.com"), srv(2, "b.example.com")];
            Records::Srv(all.into())
        }
        ("a.example.com", RecordKind::A) => Records::Addresses(vec![[192, 0, 2, 11].into()]),
        ("b.example.com", RecordKind::A) => Records::Addresses(vec![[192, 0, 2, 12].into()]),
        _ => return Answer::Nothing { ttl: None },
    };
    let ttl = secs(300);
    Answer::Records { records, ttl }
}

/// What happens to one request; servers of `dead` do not answer, others do.
fn place(pools: &Arc<Pools>, resolve: &mut Resolve, token: u64, dead: &[&str]) -> Vec<String> {
    let (mut now, mut rng) = (start(), rng());
    let rule = rule(pools, to(&["p"]));
    let seen = Seen::default();
    let mut pick = Pick::new(now, pools.clone(), rule, Kind::Invite, &seen, None);
    let mut tried = Vec::new();
    let mut step = pick.start(now, &mut rng);
    loop {
        step = match step {
            Step::Resolve(destination) => {
                let end = resolve.resolve(now, token, &destination, &mut rng);
                let end = end.unwrap_or_else(|| {
                    while let Some(query) = resolve.poll_query() {
                        let answer = dns(&query);
                        resolve.handle_answer(now, query, answer, &mut rng);
                    }
                    resolve.poll_done().unwrap().1
                });
                pick.resolved(now, end, &mut rng)
            }
            Step::Try(attempt) => {
                let peer = attempt.address.peer.to_string();
                let is_dead = dead.contains(&peer.as_str());
                tried.push(peer);
                let outcome = if is_dead {
                    now = pick.next_timeout().unwrap();
                    pick.timed_out(now).unwrap()
                } else {
                    Outcome::Final(200)
                };
                pick.next(now, outcome, &mut rng)
            }
            Step::Done(end) => {
                tried.push(format!("{end:?}"));
                pick.take_held().into_iter().for_each(Held::release);
                return tried;
            }
        };
    }
}

#[test]
fn servers_behind_a_name_then_the_next_target() {
    let uris = ["sip:pbx.example.com;transport=udp", "sip:192.0.2.1"];
    let pools = pools(&[PoolConfig::new("p", "core", &uris)]);
    let mut resolve = Resolve::new(ResolveConfig::default());
    let mut place = |token, dead: &[&str]| place(&pools, &mut resolve, token, dead);
    let (first, second, next) = ("192.0.2.11:5070", "192.0.2.12:5070", "192.0.2.1:5060");
    assert_eq!(place(1, &[]), [first, "Answered"]);
    assert_eq!(place(2, &[first]), [first, second, "Answered"]);
    // The dead one is known now.
    assert_eq!(
        place(3, &[first, second]),
        [second, first, next, "Answered"]
    );
    let refused = place(4, &[first, second, next]);
    assert_eq!(refused.len(), 4);
    assert!(refused[3].contains("408"), "{refused:?}");
    assert_eq!(calls(&pools), [0, 0]);
}
