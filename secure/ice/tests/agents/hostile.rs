//! Datagrams of strangers, and of peers that do not keep to the rules.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use windlass_ice::agent::{
    Agent, CandidateRefused, Component, Event, Mode, Outcome, Refusal, RemoteCandidate,
    RemoteParameters, Role,
};
use windlass_ice::limits;
use windlass_ice::stun::{Class, IntegrityKey, Message, Tie, TransactionId, Writer};

use crate::net::*;

const ONE: &str = "192.0.2.1:10000";
const TWO: &str = "198.51.100.2:20000";
const THIEF: &str = "203.0.113.66:6666";

/// A request to be forged.
#[derive(Clone)]
struct Forged {
    username: Option<(String, String)>,
    key: Option<IntegrityKey>,
    tie: Tie,
    unknown: &'static [u16],
    nominates: bool,
    priority: u32,
}

impl Forged {
    /// What the true peer of `host` would send.
    fn of_peer(net: &Net, host: usize, peer: usize) -> Self {
        let ours = net.hosts[host].agent.credentials().ufrag().to_owned();
        let theirs = net.hosts[peer].agent.credentials().ufrag().to_owned();
        Self {
            username: Some((ours, theirs)),
            key: Some(net.hosts[host].key()),
            tie: Tie::Controlled(0),
            unknown: &[],
            nominates: false,
            priority: 1_853_824_767,
        }
    }

    fn write(&self, transaction: u8) -> Vec<u8> {
        let mut buffer = [0; limits::MESSAGE];
        let transaction = TransactionId([transaction; 12]);
        let mut writer = Writer::new(&mut buffer, Class::Request, transaction).unwrap();
        if let Some((ours, theirs)) = &self.username {
            writer.username(ours, theirs).unwrap();
        }
        writer
            .tie(self.tie)
            .unwrap()
            .priority(self.priority)
            .unwrap();
        if self.nominates {
            writer.use_candidate().unwrap();
        }
        for kind in self.unknown {
            writer.raw(*kind, &[]).unwrap();
        }
        seal(writer, self.key.as_ref())
    }
}

/// Adds integrity, if there is a key, and the fingerprint.
fn seal(mut writer: Writer<'_>, key: Option<&IntegrityKey>) -> Vec<u8> {
    if let Some(key) = key {
        writer.integrity(key).unwrap();
    }
    writer.fingerprint().unwrap();
    writer.as_bytes().to_vec()
}

/// Two agents that wait for each other: B's answer is in, A's checks are walled in.
fn waiting() -> Net {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(1, a, b);
    net.block(|_, _| true);
    net.introduce(A, B, Mode::Full);
    net
}

fn receive(net: &mut Net, host: usize, from: &str, bytes: &[u8]) -> Outcome {
    let local = net.hosts[host].sockets[0];
    let now = net.now;
    let agent = &mut net.hosts[host].agent;
    agent.handle_datagram(local, addr(from), bytes, now, &mut net.rng)
}

/// What the agent answers to a datagram.
fn reply(net: &mut Net, host: usize, from: &str, bytes: &[u8]) -> (Outcome, Option<Vec<u8>>) {
    let outcome = receive(net, host, from, bytes);
    let mut buffer = [0; limits::MESSAGE];
    let transmit = net.hosts[host].agent.poll_transmit(&mut buffer);
    let reply = transmit.map(|transmit| {
        assert_eq!(transmit.to, addr(from));
        buffer[..transmit.len].to_vec()
    });
    (outcome, reply)
}

fn code(reply: &[u8]) -> (u16, String) {
    let message = Message::parse(reply).unwrap();
    assert_eq!(message.class(), Class::Error);
    let error = message.error().unwrap();
    (
        error.code,
        String::from_utf8(error.reason.to_vec()).unwrap(),
    )
}

#[test]
fn each_error_of_the_spec_has_its_cause() {
    let mut net = waiting();
    let good = Forged::of_peer(&net, A, B);
    let ask = |net: &mut Net, forged: &Forged| {
        let (outcome, reply) = reply(net, A, TWO, &forged.write(1));
        (outcome, reply.map(|reply| code(&reply)))
    };
    let expect = |refusal, number, reason: &str| {
        (Outcome::Dropped(refusal), Some((number, reason.to_owned())))
    };

    let forged = Forged {
        username: None,
        ..good.clone()
    };
    assert_eq!(
        ask(&mut net, &forged),
        expect(Refusal::BadRequest, 400, "Bad request")
    );
    let forged = Forged {
        key: None,
        ..good.clone()
    };
    assert_eq!(
        ask(&mut net, &forged),
        expect(Refusal::BadRequest, 400, "Bad request")
    );
    let other = Some(("nobody".to_owned(), "else".to_owned()));
    let forged = Forged {
        username: other,
        ..good.clone()
    };
    assert_eq!(
        ask(&mut net, &forged),
        expect(Refusal::UnknownUser, 401, "Unauthorized")
    );
    let forged = Forged {
        key: Some(IntegrityKey::new(b"guessed")),
        ..good.clone()
    };
    assert_eq!(
        ask(&mut net, &forged),
        expect(Refusal::Unauthentic, 401, "Unauthorized")
    );
    let forged = Forged {
        unknown: &[0x7001, 0x7002],
        ..good.clone()
    };
    assert_eq!(
        ask(&mut net, &forged),
        expect(Refusal::UnknownAttribute, 420, "Unknown attribute")
    );
    let forged = Forged {
        tie: Tie::Controlling(0),
        ..good.clone()
    };
    assert_eq!(
        ask(&mut net, &forged),
        expect(Refusal::RoleConflict, 487, "Role conflict")
    );
    assert!(
        !net.hosts[A].agent.is_valid_source(addr(ONE), addr(TWO)),
        "no state so far"
    );
    net.name(A, &hosts(&[TWO]));

    let (outcome, answer) = reply(&mut net, A, TWO, &good.write(1));
    assert_eq!(outcome, Outcome::Taken);
    let answer = answer.unwrap();
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.class(), Class::Success);
    assert_eq!(answer.mapped(), Some(addr(TWO)));
    assert!(answer.is_authentic(&net.hosts[A].key()));
    assert!(net.hosts[A].agent.is_valid_source(addr(ONE), addr(TWO)));
}

#[test]
fn a_420_names_what_is_unknown_and_is_signed() {
    let mut net = waiting();
    let forged = Forged {
        unknown: &[0x7001, 0x7002],
        ..Forged::of_peer(&net, A, B)
    };
    let (_, answer) = reply(&mut net, A, TWO, &forged.write(1));
    let answer = answer.unwrap();
    assert!(
        Message::parse(&answer)
            .unwrap()
            .is_authentic(&net.hosts[A].key())
    );
    let named = [0x00, 0x0a, 0, 4, 0x70, 0x01, 0x70, 0x02];
    assert!(answer.windows(8).any(|window| window == named));
}

#[test]
fn strangers_get_no_more_bytes_than_they_sent() {
    let mut net = waiting();
    let good = Forged::of_peer(&net, A, B);
    let (mut sent, mut received) = (0, 0);
    for padding in 0..40 {
        for forged in [
            Forged {
                username: None,
                ..good.clone()
            },
            Forged {
                username: None,
                key: None,
                ..good.clone()
            },
            Forged {
                username: Some(("x".repeat(padding + 1), "y".into())),
                ..good.clone()
            },
            Forged {
                key: Some(IntegrityKey::new(b"guessed")),
                ..good.clone()
            },
        ] {
            let bytes = forged.write(1);
            let (outcome, answer) = reply(&mut net, A, THIEF, &bytes);
            assert!(matches!(outcome, Outcome::Dropped(_)));
            let answer = answer.map_or(0, |answer| answer.len());
            assert!(answer <= bytes.len());
            sent += bytes.len();
            received += answer;
        }
    }
    assert!(received > 0 && received < sent);
    // Later than any bound on replies.
    net.now += Duration::from_secs(10);
    // The smallest requests there are.
    for (len, expected) in [(28, 0), (36, 36), (40, 36), (48, 48)] {
        let mut buffer = [0; 64];
        let transaction = TransactionId([7; 12]);
        let mut writer = Writer::new(&mut buffer, Class::Request, transaction).unwrap();
        if len > 28 {
            writer.software(&"x".repeat(len - 32)).unwrap();
        }
        let bytes = seal(writer, None);
        assert_eq!(bytes.len(), len);
        let (_, answer) = reply(&mut net, A, THIEF, &bytes);
        assert_eq!(answer.map_or(0, |answer| answer.len()), expected, "{len}");
    }
}

#[test]
fn a_spray_with_wrong_credentials_leaves_no_state() {
    let mut net = waiting();
    net.hosts[A].agent.handle_timeout(net.now, &mut net.rng);
    let before = net.hosts[A].agent.save(net.now);
    let timeout = net.hosts[A].agent.poll_timeout();
    let good = Forged::of_peer(&net, A, B);
    for at in 0..5000_u16 {
        let forged = match at % 3 {
            0 => Forged {
                key: Some(IntegrityKey::new(&at.to_be_bytes())),
                ..good.clone()
            },
            1 => Forged {
                username: Some((at.to_string(), "x".into())),
                ..good.clone()
            },
            _ => Forged {
                username: None,
                ..good.clone()
            },
        };
        let from = format!("203.0.113.{}:{}", at % 256, 1024 + at);
        let outcome = receive(&mut net, A, &from, &forged.write(1));
        assert!(matches!(outcome, Outcome::Dropped(_)));
    }
    assert_eq!(net.hosts[A].agent.save(net.now), before);
    assert_eq!(net.hosts[A].agent.poll_timeout(), timeout);
    assert_eq!(net.hosts[A].agent.poll_event(), None);
    assert_eq!(net.hosts[A].agent.counters().unauthentic_in, 5000);
    // Even undrained, the queue of replies is bounded.
    let mut buffer = [0; limits::MESSAGE];
    let replies = std::iter::from_fn(|| net.hosts[A].agent.poll_transmit(&mut buffer));
    assert_eq!(replies.count(), 8);
    assert_eq!(net.hosts[A].agent.counters().unanswered_in, 4992);
}

#[test]
fn a_peer_that_moves_all_the_time_is_bounded() {
    let mut net = Net::pair(1, hosts(&[ONE]), hosts(&[TWO]));
    net.block(|_, _| true);
    let good = Forged::of_peer(&net, A, B);
    for at in 0..2000_u16 {
        let from = format!("198.51.100.7:{}", 1024 + at);
        receive(&mut net, A, &from, &good.write(at.to_be_bytes()[1]));
        while net.hosts[A].agent.poll_event().is_some() {}
    }
    let sources = net.hosts[A].agent.valid_sources().count();
    assert_eq!(sources, limits::LEARNED_CANDIDATES);
    // The last one counts: it is where the peer is now.
    let last = addr("198.51.100.7:3023");
    assert!(net.hosts[A].agent.is_valid_source(addr(ONE), last));
    // Once it can be asked, it has to answer.
    net.introduce(A, B, Mode::Full);
    assert_eq!(net.hosts[A].agent.valid_sources().count(), 0);
}

#[test]
fn a_request_that_is_sent_again_from_elsewhere_proves_nothing() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair_of(8, (Mode::Lite, a.clone()), (Mode::Full, b));
    net.introduce(A, B, Mode::Full);
    net.introduce(B, A, Mode::Lite);
    net.name(B, &a);
    net.complete();
    net.assert_connected(ONE, TWO);
    let requests: Vec<_> = net.hosts[B].sent_of(Class::Request);
    let requests: Vec<_> = requests.iter().map(|sent| sent.bytes.clone()).collect();
    assert!(requests.len() >= 2, "a check and a nomination");
    let sources = net.hosts[A].agent.valid_sources().count();
    // Also when the pair in use has been silent, where every nomination is welcome.
    for silence in [0, 13] {
        net.now += Duration::from_secs(silence);
        for bytes in &requests {
            let (outcome, answer) = reply(&mut net, A, THIEF, bytes);
            assert_eq!(outcome, Outcome::Dropped(Refusal::Replayed));
            assert_eq!(answer, None);
        }
    }
    assert_eq!(net.rtp(A).unwrap().remote, addr(TWO));
    assert!(!net.hosts[A].agent.is_valid_source(addr(ONE), addr(THIEF)));
    assert_eq!(net.hosts[A].agent.valid_sources().count(), sources);
    // Its own repetition is no replay.
    assert_eq!(receive(&mut net, A, TWO, &requests[0]), Outcome::Taken);
}

#[test]
fn a_source_that_was_not_signalled_has_to_answer_a_check() {
    let mut net = waiting();
    let forged = Forged::of_peer(&net, A, B);
    let is_known = |event: &Event| matches!(event, Event::Authenticated { .. });
    receive(&mut net, A, THIEF, &forged.write(1));
    net.pass(Duration::from_millis(50));
    let source = addr(THIEF);
    assert!(!net.hosts[A].agent.is_valid_source(addr(ONE), source));
    assert_eq!(net.hosts[A].count(is_known), 0);
    let check = net.hosts[A].sent_of(Class::Request)[0].bytes.clone();
    let key = net.hosts[B].key();
    receive(&mut net, A, THIEF, &success(&check, Some(&key)));
    net.pass(Duration::from_millis(1));
    assert!(net.hosts[A].agent.is_valid_source(addr(ONE), source));
    assert_eq!(net.hosts[A].count(is_known), 1);
    // One that was needs no more than its request.
    let mut net = waiting();
    net.name(A, &hosts(&[TWO]));
    let forged = Forged::of_peer(&net, A, B);
    receive(&mut net, A, TWO, &forged.write(1));
    assert!(net.hosts[A].agent.is_valid_source(addr(ONE), addr(TWO)));
}

#[test]
fn candidates_of_one_victim_get_few_checks() {
    let mut net = waiting();
    let mut refused = 0;
    for port in 1..=100 {
        let victim = SocketAddr::new(addr(THIEF).ip(), port);
        let candidate = RemoteCandidate {
            component: Component::Rtp,
            address: victim,
            priority: 1_000_000 + u32::from(port),
            foundation: b"1",
        };
        let added = net.hosts[A].agent.add_remote(candidate);
        let full = Err(CandidateRefused::TooManyOfHost(victim.ip()));
        refused += usize::from(added == full);
    }
    assert_eq!(refused, 92);
    net.pass(Duration::from_secs(120));
    assert_eq!(net.hosts[A].sent.len(), 8 * 8);
}

#[test]
fn candidates_of_many_victims_get_few_checks() {
    let mut net = waiting();
    for at in 1..=100 {
        let candidate = RemoteCandidate {
            component: Component::Rtp,
            address: format!("203.0.113.{at}:9").parse().unwrap(),
            priority: 1_000_000 + at,
            foundation: b"1",
        };
        net.hosts[A].agent.add_remote(candidate).unwrap();
    }
    net.pass(Duration::from_secs(120));
    assert_eq!(net.hosts[A].sent.len(), 16 * 8 + 84 * 5);
}

#[test]
fn a_flood_of_strangers_is_answered_a_few_times_a_second() {
    let mut net = waiting();
    let mut forged = Forged::of_peer(&net, A, B);
    forged.key = Some(IntegrityKey::new(b"guessed"));
    let bytes = forged.write(1);
    let mut answers = 0;
    for _ in 0..1000 {
        answers += usize::from(reply(&mut net, A, THIEF, &bytes).1.is_some());
        net.now += Duration::from_millis(10);
    }
    // Eight at once, and four in each of ten seconds.
    assert!((46..=48).contains(&answers), "{answers}");
    let counters = net.hosts[A].agent.counters();
    assert_eq!(counters.unauthentic_in, 1000);
    assert_eq!(counters.unanswered_in as usize, 1000 - answers);
    // The peer itself is always answered.
    let good = Forged::of_peer(&net, A, B);
    assert!(reply(&mut net, A, TWO, &good.write(2)).1.is_some());
}

#[test]
fn a_peer_that_moves_may_do_so_for_ever_also_where_each_place_worked() {
    let mut net = Net::pair_of(7, (Mode::Lite, hosts(&[ONE])), (Mode::Full, hosts(&[TWO])));
    net.introduce(A, B, Mode::Full);
    let mut forged = Forged {
        nominates: true,
        tie: Tie::Controlling(0),
        ..Forged::of_peer(&net, A, B)
    };
    for at in 0..200 {
        receive(&mut net, A, &place(at).to_string(), &forged.write(at));
        net.pass(Duration::from_millis(1));
        forged.nominates = false;
        assert_eq!(net.rtp(A).unwrap().remote, place(0), "still in use");
        assert!(net.hosts[A].agent.is_valid_source(addr(ONE), place(0)));
        assert!(net.hosts[A].agent.is_valid_source(addr(ONE), place(at)));
    }
    let sources = net.hosts[A].agent.valid_sources().count();
    assert_eq!(sources, limits::LEARNED_CANDIDATES);
}

#[test]
fn a_hundred_candidates_leave_room_for_a_learned_one() {
    let mut net = waiting();
    let candidates: Vec<_> = (0..100_u16)
        .map(|at| {
            let mut candidate = hosts(&[TWO])[0];
            let host = format!("203.0.113.{}", at / 8);
            candidate.address = SocketAddr::new(host.parse().unwrap(), 30_000 + at);
            candidate
        })
        .collect();
    net.name(A, &candidates);
    let good = Forged::of_peer(&net, A, B);
    assert_eq!(receive(&mut net, A, TWO, &good.write(1)), Outcome::Taken);
    net.pass(Duration::from_millis(1));
    assert_eq!(
        net.hosts[A].sent.last().unwrap().to,
        addr(TWO),
        "triggered ones go first"
    );
}

/// A's check, on its way to B.
fn open_check(net: &mut Net) -> Vec<u8> {
    let b = hosts(&[TWO]);
    net.name(A, &b);
    net.pass(Duration::from_millis(1));
    let sent = net.hosts[A].sent_of(Class::Request);
    sent.first().unwrap().bytes.clone()
}

fn success(request: &[u8], key: Option<&IntegrityKey>) -> Vec<u8> {
    let transaction = Message::parse(request).unwrap().transaction();
    let mut buffer = [0; 128];
    let mut writer = Writer::new(&mut buffer, Class::Success, transaction).unwrap();
    writer.mapped(addr(ONE)).unwrap();
    seal(writer, key)
}

#[test]
fn forged_responses_are_ignored() {
    let mut net = waiting();
    let request = open_check(&mut net);
    let key = net.hosts[B].key();
    let good = success(&request, Some(&key));
    let mut other = request.clone();
    other[8] ^= 1;
    let other = success(&other, Some(&key));
    let wrong = success(&request, Some(&IntegrityKey::new(b"guessed")));
    let none = success(&request, None);
    for (from, bytes, refusal) in [
        (THIEF, &good, Refusal::WrongPath),
        (TWO, &other, Refusal::UnknownTransaction),
        (TWO, &wrong, Refusal::Unauthentic),
        (TWO, &none, Refusal::Unauthentic),
    ] {
        let outcome = receive(&mut net, A, from, bytes);
        assert_eq!(outcome, Outcome::Dropped(refusal));
        assert_eq!(net.rtp(A), None);
    }
    // On another socket than the one that the request left.
    let now = net.now;
    let agent = &mut net.hosts[A].agent;
    let socket = addr("192.0.2.1:10004");
    let outcome = agent.handle_datagram(socket, addr(TWO), &good, now, &mut net.rng);
    assert_eq!(outcome, Outcome::Dropped(Refusal::WrongPath));
    // The true one still counts, once.
    assert_eq!(receive(&mut net, A, TWO, &good), Outcome::Taken);
    assert!(net.rtp(A).is_some());
    let again = receive(&mut net, A, TWO, &good);
    assert_eq!(again, Outcome::Dropped(Refusal::UnknownTransaction));
}

#[test]
fn an_error_without_integrity_fails_nothing() {
    let mut net = waiting();
    let request = open_check(&mut net);
    let transaction = Message::parse(&request).unwrap().transaction();
    for code in [400, 401, 487, 500] {
        let mut buffer = [0; 128];
        let mut writer = Writer::new(&mut buffer, Class::Error, transaction).unwrap();
        writer.error(code, "forged").unwrap();
        writer.fingerprint().unwrap();
        let len = writer.finish();
        let outcome = receive(&mut net, A, TWO, &buffer[..len]);
        assert_eq!(outcome, Outcome::Dropped(Refusal::Unauthentic));
    }
    let key = net.hosts[B].key();
    receive(&mut net, A, TWO, &success(&request, Some(&key)));
    assert!(net.rtp(A).is_some());
    assert_eq!(net.hosts[A].agent.role(), Role::Controlling);
}

#[test]
fn a_peer_that_says_role_conflict_for_ever_is_not_followed_for_ever() {
    let mut net = waiting();
    let b = hosts(&[TWO]);
    net.name(A, &b);
    let key = net.hosts[B].key();
    let mut answered = 0;
    for _ in 0..200 {
        net.pass(Duration::from_millis(20));
        let requests = net.hosts[A].sent_of(Class::Request);
        let fresh: Vec<_> = requests[answered..]
            .iter()
            .map(|sent| sent.bytes.clone())
            .collect();
        answered += fresh.len();
        for request in fresh {
            let transaction = Message::parse(&request).unwrap().transaction();
            let mut buffer = [0; 128];
            let mut writer = Writer::new(&mut buffer, Class::Error, transaction).unwrap();
            writer.error(487, "Role conflict").unwrap();
            writer.integrity(&key).unwrap().fingerprint().unwrap();
            let len = writer.finish();
            receive(&mut net, A, TWO, &buffer[..len]);
        }
    }
    assert_eq!(answered, usize::from(limits::ROLE_CONFLICTS) + 1);
}

#[test]
fn what_has_no_fingerprint_is_not_taken_for_stun() {
    let mut net = waiting();
    let good = Forged::of_peer(&net, A, B).write(1);
    let mut without = good[..good.len() - 8].to_vec();
    without[3] -= 8;
    assert_eq!(receive(&mut net, A, TWO, &without), Outcome::NotStun);
    let mut wrong = good.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(receive(&mut net, A, TWO, &wrong), Outcome::NotStun);
    for other in [&b""[..], b"\x16\xfe\xfd", &[0x80; 172], &[0; 20]] {
        assert_eq!(receive(&mut net, A, TWO, other), Outcome::NotStun);
    }
    assert_eq!(receive(&mut net, A, TWO, &good), Outcome::Taken);
}

#[test]
fn use_candidate_counts_only_for_the_controlled_side() {
    let mut net = waiting();
    let request = open_check(&mut net);
    let key = net.hosts[B].key();
    receive(&mut net, A, TWO, &success(&request, Some(&key)));
    let forged = Forged {
        nominates: true,
        ..Forged::of_peer(&net, A, B)
    };
    receive(&mut net, A, TWO, &forged.write(1));
    net.pass(Duration::from_millis(50));
    assert!(!net.rtp(A).unwrap().is_selected);
}

#[test]
fn a_later_nomination_of_a_peer_that_means_it_moves_the_pair() {
    let a = hosts(&[ONE]);
    let b = hosts(&[TWO]);
    let mut net = Net::pair(2, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    // A moves to another network: a request from elsewhere, with the worst priority.
    let forged = Forged {
        nominates: true,
        tie: Tie::Controlling(u64::MAX),
        ..Forged::of_peer(&net, B, A)
    };
    receive(&mut net, B, THIEF, &forged.write(9));
    net.pass(Duration::from_millis(1));
    let check = net.hosts[B].sent.last().unwrap().clone();
    assert_eq!(check.to, addr(THIEF));
    assert_eq!(
        net.rtp(B).unwrap().remote,
        addr(ONE),
        "not before it has answered"
    );
    let key = net.hosts[A].key();
    receive(&mut net, B, THIEF, &success(&check.bytes, Some(&key)));
    net.pass(Duration::from_millis(1));
    assert_eq!(net.rtp(B).unwrap().remote, addr(THIEF));
    assert_eq!(net.hosts[B].count(|event| *event == Event::Completed), 1);
}

#[test]
fn of_a_peer_that_nominates_with_every_check_the_best_pair_counts() {
    let b = hosts(&[TWO]);
    let mut net = Net::pair(3, hosts(&[ONE]), b);
    let parameters = RemoteParameters {
        credentials: net.hosts[A].agent.credentials().clone(),
        mode: Mode::Full,
        has_ice2: false,
    };
    let now = net.now;
    net.hosts[B].agent.set_remote(parameters, now).unwrap();
    net.block(|_, _| true);
    let key = net.hosts[A].key();
    let nominate = |net: &mut Net, at: u8, priority: u32| {
        let forged = Forged {
            nominates: true,
            priority,
            tie: Tie::Controlling(0),
            ..Forged::of_peer(net, B, A)
        };
        let from = place(at).to_string();
        receive(net, B, &from, &forged.write(at));
        net.pass(Duration::from_millis(50));
        let check = net.hosts[B]
            .sent_of(Class::Request)
            .last()
            .copied()
            .cloned();
        if let Some(check) = check.filter(|check| check.to == place(at)) {
            receive(net, B, &from, &success(&check.bytes, Some(&key)));
        }
        net.pass(Duration::from_millis(50));
        net.rtp(B).unwrap().remote
    };
    assert_eq!(nominate(&mut net, 1, 2000), place(1));
    assert_eq!(nominate(&mut net, 2, 3000), place(2), "better");
    assert_eq!(nominate(&mut net, 3, 1000), place(2), "worse");
    assert_eq!(nominate(&mut net, 1, 2000), place(2));
    // The better one falls silent.
    net.pass(Duration::from_secs(13));
    assert_eq!(nominate(&mut net, 1, 2000), place(1));
}

#[test]
fn another_branch_that_knows_our_password_is_answered_and_not_let_in() {
    let mut net = waiting();
    let mut forged = Forged::of_peer(&net, A, B);
    let (ours, _) = forged.username.clone().unwrap();
    forged.username = Some((ours, "another".to_owned()));
    let (outcome, answer) = reply(&mut net, A, THIEF, &forged.write(1));
    assert_eq!(outcome, Outcome::Taken);
    let answer = answer.unwrap();
    assert_eq!(Message::parse(&answer).unwrap().class(), Class::Success);
    assert!(!net.hosts[A].agent.is_valid_source(addr(ONE), addr(THIEF)));
}

/// A peer that offers a restart checks its new sockets before it knows our new credentials, if our
/// socket stays: whatever is answered then, it goes on to check under the old ones.
#[test]
fn who_is_about_to_restart_gets_no_answer_under_old_credentials() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(4, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    let known = Forged::of_peer(&net, A, B);
    let mut early = Forged::of_peer(&net, A, B);
    let (ours, _) = early.username.clone().unwrap();
    early.username = Some((ours, "renewed".to_owned()));
    let refused = Outcome::Dropped(Refusal::OtherPeer);
    assert_eq!(reply(&mut net, A, THIEF, &early.write(1)), (refused, None));
    // The answer is there, and the old generation waits for the new one to work.
    let start = net.start_with(Role::Controlled, a);
    net.hosts[A].agent.restart(start).unwrap();
    assert_eq!(reply(&mut net, A, THIEF, &early.write(2)), (refused, None));
    let (outcome, answer) = reply(&mut net, A, TWO, &known.write(3));
    assert_eq!((outcome, answer.is_some()), (Outcome::Taken, true));
}

#[test]
fn consent_comes_only_from_where_it_was_asked() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(4, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    let requests = net.hosts[A].sent_of(Class::Request).len();
    net.block(|_, _| true);
    net.pass(Duration::from_secs(7));
    let request = net.hosts[A].sent_of(Class::Request)[requests].bytes.clone();
    let good = success(&request, Some(&net.hosts[B].key()));
    let bad = success(&request, Some(&IntegrityKey::new(b"guessed")));
    let outcome = receive(&mut net, A, THIEF, &good);
    assert_eq!(outcome, Outcome::Dropped(Refusal::WrongPath));
    let outcome = receive(&mut net, A, TWO, &bad);
    assert_eq!(outcome, Outcome::Dropped(Refusal::Unauthentic));
    let unchanged = net.hosts[A].agent.counters().responses_in;
    assert_eq!(receive(&mut net, A, TWO, &good), Outcome::Taken);
    assert_eq!(net.hosts[A].agent.counters().responses_in, unchanged + 1);
}

#[test]
fn a_request_does_not_bring_back_a_pair_without_consent() {
    let (a, b) = (hosts(&[ONE]), hosts(&[TWO]));
    let mut net = Net::pair(5, a.clone(), b.clone());
    net.signal(&a, &b);
    net.complete();
    net.block(|_, _| true);
    net.pass(Duration::from_secs(40));
    let sent = net.hosts[A].sent.len();
    let forged = Forged::of_peer(&net, A, B);
    assert_eq!(receive(&mut net, A, TWO, &forged.write(1)), Outcome::Taken);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.hosts[A].sent.len(), sent + 1, "an answer, and no check");
    assert_eq!(net.rtp(A), None);
}

#[test]
fn an_early_nomination_is_taken_up_when_the_pair_in_use_is_silent() {
    let mut net = Net::pair(6, hosts(&[ONE]), hosts(&[TWO]));
    let parameters = RemoteParameters {
        credentials: net.hosts[A].agent.credentials().clone(),
        mode: Mode::Full,
        has_ice2: false,
    };
    let now = net.now;
    net.hosts[B].agent.set_remote(parameters, now).unwrap();
    net.block(|_, _| true);
    let key = net.hosts[A].key();
    let ask = |net: &mut Net, at: u8, nominates: bool| {
        let forged = Forged {
            nominates,
            priority: 1000 * u32::from(at),
            tie: Tie::Controlling(0),
            ..Forged::of_peer(net, B, A)
        };
        let from = place(at).to_string();
        receive(net, B, &from, &forged.write(at));
        net.pass(Duration::from_millis(50));
        let check = net.hosts[B]
            .sent_of(Class::Request)
            .last()
            .copied()
            .cloned();
        if let Some(check) = check.filter(|check| check.to == place(at)) {
            receive(net, B, &from, &success(&check.bytes, Some(&key)));
        }
        net.rtp(B).unwrap().remote
    };
    assert_eq!(ask(&mut net, 2, true), place(2));
    assert_eq!(ask(&mut net, 1, true), place(2), "the better one is in use");
    net.pass(Duration::from_secs(6));
    assert_eq!(ask(&mut net, 1, false), place(2));
    net.pass(Duration::from_secs(7));
    assert_eq!(ask(&mut net, 1, false), place(1));
}

/// One call of an agent.
#[derive(Clone, Debug)]
enum Step {
    Noise(Vec<u8>),
    /// A copy of a datagram that some agent sent, with one byte changed or none.
    Replay {
        at: usize,
        byte: usize,
        value: u8,
        from: u8,
    },
    Request {
        from: u8,
        nominates: bool,
        controlling: bool,
        good: bool,
    },
    Remote {
        to: u8,
        priority: u32,
        rtcp: bool,
    },
    Introduce,
    Restart,
    Mux,
    Replace,
    Time(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80).prop_map(Step::Noise),
        (any::<usize>(), any::<usize>(), any::<u8>(), 0..3_u8).prop_map(
            |(at, byte, value, from)| Step::Replay {
                at,
                byte,
                value,
                from
            }
        ),
        (0..40_u8, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(from, nominates, controlling, good)| Step::Request {
                from,
                nominates,
                controlling,
                good
            }
        ),
        (any::<u8>(), any::<u32>(), any::<bool>()).prop_map(|(to, priority, rtcp)| Step::Remote {
            to,
            priority,
            rtcp
        }),
        Just(Step::Introduce),
        Just(Step::Restart),
        Just(Step::Mux),
        Just(Step::Replace),
        any::<u16>().prop_map(Step::Time),
    ]
}

fn place(at: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, at], 20_000))
}

fn apply(net: &mut Net, step: Step) {
    let local = addr(ONE);
    let now = net.now;
    match step {
        Step::Noise(bytes) => {
            receive(net, A, TWO, &bytes);
        }
        Step::Replay {
            at,
            byte,
            value,
            from,
        } => {
            let all: Vec<_> = net.hosts.iter().flat_map(|host| &host.sent).collect();
            if all.is_empty() {
                return;
            }
            let mut bytes = all[at % all.len()].bytes.clone();
            let len = bytes.len();
            bytes[byte % len] ^= value;
            let agent = &mut net.hosts[A].agent;
            agent.handle_datagram(local, place(from), &bytes, now, &mut net.rng);
        }
        Step::Request {
            from,
            nominates,
            controlling,
            good,
        } => {
            let mut forged = Forged::of_peer(net, A, B);
            forged.nominates = nominates;
            if controlling {
                forged.tie = Tie::Controlling(u64::from(from) << 58);
            }
            if !good {
                forged.key = Some(IntegrityKey::new(b"guessed"));
            }
            let bytes = forged.write(from);
            let agent = &mut net.hosts[A].agent;
            agent.handle_datagram(local, place(from), &bytes, now, &mut net.rng);
        }
        Step::Remote { to, priority, rtcp } => {
            let component = if rtcp {
                Component::Rtcp
            } else {
                Component::Rtp
            };
            let mut candidate = hosts(&[TWO])[0];
            candidate.address = place(to);
            candidate.component = component;
            candidate.priority = priority;
            net.name(A, &[candidate]);
        }
        Step::Introduce => {
            let remote = net.hosts[A].agent.remote_credentials().cloned();
            if remote.is_none() {
                net.introduce(A, B, Mode::Full);
            }
        }
        Step::Restart => {
            let start = net.start_with(Role::Controlling, both(&[ONE]));
            net.hosts[A].agent.restart(start).unwrap();
        }
        Step::Mux => net.hosts[A].agent.use_mux(),
        Step::Replace => {
            let state = net.hosts[A].agent.save(now);
            let mode = config(Mode::Full);
            net.hosts[A].agent = Agent::restore(state, mode, now, &mut net.rng).unwrap();
        }
        Step::Time(ms) => net.pass(Duration::from_millis(ms.into())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_sequence_panics_or_grows(steps in prop::collection::vec(step(), 1..60), lite in any::<bool>()) {
        let mode = if lite { Mode::Lite } else { Mode::Full };
        let mut net = Net::pair_of(1, (mode, both(&[ONE])), (Mode::Full, both(&[TWO])));
        net.introduce(B, A, mode);
        net.name(B, &hosts(&[ONE]));
        for step in steps {
            apply(&mut net, step);
            let agent = &net.hosts[A].agent;
            prop_assert!(agent.valid_sources().count() <= 2 * limits::PAIRS);
            for component in Component::ALL {
                // Media goes only where somebody has proven to be the peer.
                if let Some(pair) = agent.pair(component) {
                    prop_assert!(agent.is_valid_source(pair.local, pair.remote));
                }
            }
        }
    }
}
