//! SRTP on one side or both (spec: media-behaviour §7; security, rows 2, 3, 6, 9).

use windlass_srtp::{Keys, Open, Seal, Suite};

use super::conversion::{pcmu, rules, to};
use super::*;
use crate::flow::agent::{AgentNumber, FlowAgent};
use crate::flow::secure::Protection;
use crate::flow::state::LeasedFlow;

const CM: Suite = Suite::AesCm128HmacSha1_80;
const GCM: Suite = Suite::AeadAes128Gcm;

fn keys(suite: Suite, seed: u8) -> Keys {
    let key = vec![seed; suite.key_len()];
    let salt = vec![seed ^ 0xff; suite.salt_len()];
    Keys::new(suite, &key, &salt).unwrap()
}

/// A phone with keys: what it sends is under `own`, what it hears under `ours`.
struct Phone {
    seal: Seal,
    open: Open,
}

impl Phone {
    fn new(own: Keys, ours: Keys) -> (Self, Security) {
        let phone = Self {
            seal: Seal::new(own.clone()).unwrap(),
            open: Open::new(vec![ours.clone()]).unwrap(),
        };
        let protection = Protection::new(vec![own], ours).unwrap();
        (phone, Security::Keyed(protection))
    }

    fn seal(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + windlass_srtp::MAX_OVERHEAD, 0);
        let is_rtcp = (192..=223).contains(&packet[1]);
        let length = match is_rtcp {
            true => self.seal.rtcp(&mut buffer, packet.len()).unwrap(),
            false => self.seal.rtp(&mut buffer, packet.len()).unwrap(),
        };
        buffer.truncate(length);
        buffer
    }

    fn open(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        let is_rtcp = (192..=223).contains(&packet[1]);
        let length = match is_rtcp {
            true => self.open.rtcp(&mut packet).unwrap(),
            false => self.open.rtp(&mut packet).unwrap(),
        };
        packet.truncate(length);
        packet
    }
}

pub(super) fn srtp_is_bridged_to_rtp_and_back(bench: Bench) {
    let (mut phone, security) = Phone::new(keys(CM, 1), keys(CM, 2));
    let stats = bench.install(|spec| spec.security = security);
    for sequence in 1..40 {
        bench.send(0, &phone.seal(&rtp(sequence)));
        assert_eq!(bench.hear(1).0, rtp(sequence));
        bench.send(1, &rtp(1000 + sequence));
        assert_eq!(phone.open(bench.hear(0).0), rtp(1000 + sequence));
    }
    bench.send(0, &phone.seal(&REPORT));
    assert_eq!(bench.hear(1).0, REPORT);
    bench.send(1, &REPORT);
    assert_eq!(phone.open(bench.hear(0).0), REPORT);
    // Bytes are those on the wire, with tags of ten bytes.
    assert_eq!(stats[0].bytes_in.load(Relaxed), 39 * 182 + 8 + 14);
    await_count(&stats[0].bytes_out, 39 * 182 + 8 + 14);
    assert_eq!(stats[0].errors_in.load(Relaxed), 0);
}

pub(super) fn srtp_is_bridged_to_srtp_of_another_suite(bench: Bench) {
    let (mut near, security) = Phone::new(keys(CM, 1), keys(CM, 2));
    let (mut far, other) = Phone::new(keys(GCM, 3), keys(GCM, 4));
    bench.install(|spec| spec.security = security);
    let mut second = bench.spec(1);
    second.security = other;
    bench.apply(vec![FlowChange::Change(second)], Vec::new());
    for sequence in [65_534, 65_535, 0, 1, 2] {
        bench.send(0, &near.seal(&rtp(sequence)));
        assert_eq!(far.open(bench.hear(1).0), rtp(sequence));
        bench.send(1, &far.seal(&rtp(sequence)));
        assert_eq!(near.open(bench.hear(0).0), rtp(sequence));
    }
}

pub(super) fn converted_audio_leaves_under_the_keys_of_its_receiver(bench: Bench) {
    let (mut near, security) = Phone::new(keys(CM, 1), keys(CM, 2));
    let (mut far, other) = Phone::new(keys(GCM, 3), keys(GCM, 4));
    bench.install(|spec| {
        spec.security = security;
        spec.sinks[0].rules = Some(Box::new(rules(to(pcmu()))));
    });
    let mut second = bench.spec(1);
    second.security = other;
    bench.apply(vec![FlowChange::Change(second)], Vec::new());
    for sequence in [65_534, 65_535, 0, 1, 2] {
        bench.send(0, &near.seal(&rtp(sequence)));
        let heard = far.open(bench.hear(1).0);
        assert_eq!((heard[1], &heard[2..4]), (0, &sequence.to_be_bytes()[..]));
        assert_eq!(heard[12..], [0xfe; 160]);
    }
    // What is no audio of the party does not come as far as a codec.
    bench.send(0, &rtp(3));
    bench.send(0, &near.seal(&rtp(4)));
    bench.send(0, &near.seal(&rtp(5)));
    assert_eq!(far.open(bench.hear(1).0)[2..4], 4u16.to_be_bytes());
}

/// What is not the party's is dropped before anything is learned, counted or kept alive by it.
pub(super) fn what_does_not_authenticate_teaches_nothing(bench: Bench) {
    let (mut phone, security) = Phone::new(keys(CM, 1), keys(CM, 2));
    let stats = bench.install(|spec| spec.security = security);
    let first = phone.seal(&rtp(1));
    let thief = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut bad = 0;
    for byte in 0..first.len() {
        let mut flipped = first.clone();
        flipped[byte] ^= 1;
        bench.send(0, &flipped);
        thief.send_to(&flipped, bench.locals[0]).unwrap();
        bad += 2;
        await_count(&stats[0].errors_in, bad);
    }
    for length in 0..first.len() {
        bench.send(0, &first[..length]);
        bad += 1;
        await_count(&stats[0].errors_in, bad);
    }
    for sequence in 1..8 {
        thief.send_to(&rtp(sequence), bench.locals[0]).unwrap();
        bench.send(0, &rtp(sequence));
        bad += 2;
    }
    await_count(&stats[0].errors_in, bad);
    assert_eq!(stats[0].last_packet_ms.load(Relaxed), 0);
    assert_eq!(stats[0].peer().learned, None);
    assert!(stats[0].ssrcs.iter().all(|source| !source.is_known()));
    assert_eq!(stats[1].packets_out.load(Relaxed), 0);
    // The phone itself is heard, once, and nobody who repeats it.
    bench.send(0, &first);
    assert_eq!(bench.hear(1).0, rtp(1));
    bench.send(0, &first);
    thief.send_to(&first, bench.locals[0]).unwrap();
    await_count(drops(&stats[0], DropReason::Replayed), 2);
    bench.send(0, &phone.seal(&rtp(2)));
    assert_eq!(bench.hear(1).0, rtp(2));
    await_count(&stats[1].packets_out, 2);
}

pub(super) fn nothing_passes_before_keys_are_known(bench: Bench) {
    let (mut phone, security) = Phone::new(keys(GCM, 1), keys(GCM, 2));
    let stats = bench.install(|spec| spec.security = Security::Awaited);
    bench.send(0, &phone.seal(&rtp(1)));
    bench.send(0, &rtp(2));
    await_count(drops(&stats[0], DropReason::AwaitsKeys), 2);
    bench.send(1, &rtp(3));
    await_count(drops(&stats[1], DropReason::AwaitsKeys), 1);
    assert_eq!(stats[0].packets_out.load(Relaxed), 0);
    let mut keyed = bench.spec(0);
    keyed.security = security;
    bench.apply(vec![FlowChange::Change(keyed)], Vec::new());
    bench.send(0, &phone.seal(&rtp(4)));
    assert_eq!(bench.hear(1).0, rtp(4));
    bench.send(1, &rtp(5));
    assert_eq!(phone.open(bench.hear(0).0), rtp(5));
}

/// A port that goes to another call, or another worker, takes nothing along: the keys are the
/// media's.
pub(super) fn what_was_heard_under_a_key_is_known_on_every_port(bench: Bench) {
    let (mut phone, security) = Phone::new(keys(CM, 1), keys(CM, 2));
    let stats = bench.install(|spec| spec.security = security.clone());
    let sealed = phone.seal(&rtp(1));
    bench.send(0, &sealed);
    assert_eq!(bench.hear(1).0, rtp(1));
    let removed = bench.apply(vec![FlowChange::Remove(bench.locals[0])], Vec::new());
    let leases: Vec<LeasedFlow> = removed.into_iter().collect();
    let mut again = bench.spec(0);
    again.security = security;
    let plan = plan(vec![FlowChange::Install(again)]);
    bench.dataplane.apply(plan, leases).unwrap();
    bench.send(0, &sealed);
    await_count(drops(&stats[0], DropReason::Replayed), 1);
    bench.send(0, &phone.seal(&rtp(2)));
    assert_eq!(bench.hear(1).0, rtp(2));
}

pub(super) fn new_keys_go_on_where_the_old_ones_stopped(bench: Bench) {
    let (own, ours) = (keys(CM, 1), keys(CM, 2));
    let mut phone = Seal::new(own.clone()).unwrap();
    let seal = |packet: &[u8], phone: &mut Seal| {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + windlass_srtp::MAX_OVERHEAD, 0);
        let length = phone.rtp(&mut buffer, packet.len()).unwrap();
        buffer.truncate(length);
        buffer
    };
    let first = Protection::new(vec![own], ours.clone()).unwrap();
    bench.install(|spec| spec.security = Security::Keyed(first.clone()));
    // Once round, so that the rollover counter is 1.
    for sequence in [65_535, 0, 1] {
        bench.send(0, &seal(&rtp(sequence), &mut phone));
        bench.hear(1);
    }
    let new = keys(CM, 9);
    phone.rekey(new.clone()).unwrap();
    let mut changed = bench.spec(0);
    let rekeyed = first.rekeyed(vec![new.clone()], ours, clock());
    changed.security = Security::Keyed(rekeyed.unwrap());
    bench.apply(vec![FlowChange::Change(changed)], Vec::new());
    bench.send(0, &seal(&rtp(2), &mut phone));
    assert_eq!(bench.hear(1).0, rtp(2));
    // A phone that begins anew with the new key is understood as well.
    let mut fresh = Seal::new(new).unwrap();
    let mut other = rtp(7);
    other[8] = 0x77;
    bench.send(0, &seal(&other, &mut fresh));
    assert_eq!(bench.hear(1).0, other);
}

/// Packets that are on their way while keys change are not lost; for a short time, once each, and
/// from where the party was heard.
pub(super) fn what_is_under_the_keys_of_before_may_come_late(bench: Bench) {
    let (mut phone, _) = Phone::new(keys(GCM, 1), keys(GCM, 2));
    let (mut renewed, _) = Phone::new(keys(GCM, 9), keys(GCM, 2));
    let first = Protection::new(vec![keys(GCM, 1)], keys(GCM, 2)).unwrap();
    let spec = |protection: &Protection| FlowSpec {
        security: Security::Keyed(protection.clone()),
        ..bench.spec(0)
    };
    let stats = bench.install(|flow| {
        *flow = spec(&first);
        flow.peer.is_authenticated = true;
    });
    bench.send(0, &phone.seal(&rtp(1)));
    assert_eq!(bench.hear(1).0, rtp(1));
    let late: Vec<_> = (2..6).map(|sequence| phone.seal(&rtp(sequence))).collect();
    let report = phone.seal(&REPORT);
    let rekeyed = |until| first.rekeyed(vec![keys(GCM, 9)], keys(GCM, 2), until);
    let change = |protection: &Protection| {
        let mut changed = spec(protection);
        changed.peer.is_authenticated = true;
        bench.apply(vec![FlowChange::Change(changed)], Vec::new());
    };
    change(&rekeyed(clock() + PATIENCE).unwrap());
    bench.send(0, &renewed.seal(&rtp(6)));
    assert_eq!(bench.hear(1).0, rtp(6));
    bench.send(0, &late[0]);
    assert_eq!(bench.hear(1).0, rtp(2));
    // Not twice, not from elsewhere, and no reports.
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let before = stats[0].errors_in.load(Relaxed);
    bench.send(0, &late[0]);
    stranger.send_to(&late[1], bench.locals[0]).unwrap();
    bench.send(0, &report);
    bench.send(0, &late[2]);
    assert_eq!(bench.hear(1).0, rtp(4));
    let dropped = stats[0].errors_in.load(Relaxed) - before;
    // A gate may have dropped the stranger's before it was counted.
    assert!((2..=3).contains(&dropped), "{dropped}");
    // Nor later.
    change(&rekeyed(clock()).unwrap());
    bench.send(0, &late[3]);
    bench.send(0, &renewed.seal(&rtp(7)));
    assert_eq!(bench.hear(1).0, rtp(7));
    // What goes to the party is under the keys of now: they are the only ones to seal with.
    bench.send(1, &rtp(900));
    assert_eq!(renewed.open(bench.hear(0).0), rtp(900));
}

/// A relay that ends in mid-call, and its successor on the same ports: one packet is lost, that
/// which came while nobody was there.
#[test]
fn a_successor_goes_on_and_accepts_nothing_twice() {
    let bench = Bench::new(false).unwrap();
    let (mut phone, security) = Phone::new(keys(CM, 1), keys(CM, 2));
    let Security::Keyed(protection) = &security else {
        panic!("{security:?}");
    };
    bench.install(|spec| spec.security = security.clone());
    let mut sealed = Vec::new();
    let mut heard = 0;
    for sequence in (65_500..=65_535).chain(0..20) {
        sealed.push(phone.seal(&rtp(sequence)));
        bench.send(0, sealed.last().unwrap());
        assert_eq!(bench.hear(1).0, rtp(sequence));
        bench.send(1, &rtp(sequence));
        phone.open(bench.hear(0).0);
        heard += 1;
    }
    let state = serde_json::to_vec(&protection.save()).unwrap();
    let Bench {
        dataplane,
        phones,
        locals,
        ..
    } = bench;
    drop(dataplane);
    phones[0].send_to(&phone.seal(&rtp(20)), locals[0]).unwrap();

    let mut bench = Bench::at(locals, Services::default(), false).unwrap();
    bench.phones = phones;
    let state = serde_json::from_slice(&state).unwrap();
    let restored = Protection::restore(state, windlass_srtp::Freshness::Exact).unwrap();
    let stats = bench.install(|spec| spec.security = Security::Keyed(restored));
    for old in &sealed {
        bench.send(0, old);
    }
    await_count(drops(&stats[0], DropReason::Replayed), sealed.len() as u64);
    for sequence in 21..40 {
        bench.send(0, &phone.seal(&rtp(sequence)));
        assert_eq!(bench.hear(1).0, rtp(sequence));
        // Its rollover counter is known: a phone that did not begin anew opens it.
        bench.send(1, &rtp(sequence));
        assert_eq!(phone.open(bench.hear(0).0), rtp(sequence));
        heard += 1;
    }
    assert_eq!(heard, 56 + 19, "of 76 that were sent");
}

/// The party is where its packets come from: they prove it (spec: media-behaviour §3.1, row Y).
pub(super) fn an_authentic_source_is_followed_at_once(bench: Bench) {
    let (mut phone, security) = Phone::new(keys(CM, 1), keys(CM, 2));
    bench.install(|spec| {
        spec.security = security;
        spec.peer.is_authenticated = true;
    });
    bench.send(0, &phone.seal(&rtp(1)));
    assert_eq!(bench.hear(1).0, rtp(1));
    // Behind another port of its NAT, after one packet.
    let moved = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    moved.set_read_timeout(Some(PATIENCE)).unwrap();
    let deadline = clock() + PATIENCE;
    let mut sequence = 2;
    let heard = loop {
        // A gate may be set for the old port as long as that was heard just now.
        moved
            .send_to(&phone.seal(&rtp(sequence)), bench.locals[0])
            .unwrap();
        sequence += 1;
        bench.phones[1]
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let mut buffer = [0; 2048];
        if bench.phones[1].recv(&mut buffer).is_ok() {
            break true;
        }
        assert!(clock() < deadline, "not heard from its new port");
    };
    assert!(heard);
    bench.send(1, &rtp(500));
    let mut buffer = [0; 2048];
    let length = moved.recv(&mut buffer).unwrap();
    assert_eq!(phone.open(buffer[..length].to_vec()), rtp(500));
}

/// What a source that is not heard sends is not opened, be it a copy of a packet of the party that is
/// still on its way.
pub(super) fn a_copy_from_elsewhere_uses_up_no_number(bench: Bench) {
    let party = bench.phones[0].local_addr().unwrap();
    let thief = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (mut phone, security) = Phone::new(keys(GCM, 1), keys(GCM, 2));
    let alter = |spec: &mut FlowSpec, learning| {
        spec.security = security.clone();
        // The port stays open to all.
        spec.agent = Some(FlowAgent {
            number: AgentNumber::default(),
            hears_all: true,
        });
        spec.peer.is_authenticated = true;
        spec.peer.learning = learning;
        spec.peer.strict_source = true;
        spec.peer.signalled = Some(party);
        spec.peer.signalled_private = false;
    };
    let stats = bench.install(|spec| alter(spec, Learning::Guarded));
    for sequence in 1..20 {
        if sequence == 10 {
            let mut spec = bench.spec(0);
            alter(&mut spec, Learning::Off);
            bench.apply(vec![FlowChange::Change(spec)], Vec::new());
        }
        let sealed = phone.seal(&rtp(sequence));
        thief.send_to(&sealed, bench.locals[0]).unwrap();
        let refused = drops(&stats[0], DropReason::UnexpectedSource);
        await_count(refused, sequence.into());
        bench.send(0, &sealed);
        assert_eq!(bench.hear(1).0, rtp(sequence));
    }
}

/// RTCP is numbered under its key: where both legs have the same one, it goes as it came.
pub(super) fn reports_keep_their_number_under_the_same_key(bench: Bench) {
    let shared = keys(GCM, 5);
    let (mut near, security) = Phone::new(shared.clone(), keys(GCM, 6));
    let (_, other) = Phone::new(keys(GCM, 7), shared);
    bench.install(|spec| spec.security = security);
    let mut second = bench.spec(1);
    second.security = other;
    bench.apply(vec![FlowChange::Change(second)], Vec::new());
    // The first ones are lost on their way to us.
    for _ in 0..5 {
        near.seal(&REPORT);
    }
    let sealed = near.seal(&REPORT);
    bench.send(0, &sealed);
    assert_eq!(bench.hear(1).0, sealed);
}
