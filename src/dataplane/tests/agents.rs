//! STUN and DTLS on their way to the agents, and media that ICE has a say in (media-behaviour §2).

use super::*;
use crate::flow::agent::{AgentInbox, AgentNumber, Departure, FlowAgent, Handed};
use crate::media::latch::Validated;

/// Keeps what it is given, up to a number.
#[derive(Default)]
struct Taken(
    Mutex<Vec<(SocketAddr, SocketAddr, Vec<u8>)>>,
    /// Where media was heard, and where from.
    Mutex<Vec<(SocketAddr, SocketAddr)>>,
);

const ROOM: usize = 3;

impl AgentInbox for Taken {
    fn take(&self, _: AgentNumber, local: SocketAddr, from: SocketAddr, bytes: &[u8]) -> Handed {
        let mut taken = self.0.lock();
        if bytes == STRANGE {
            return Handed::Refused;
        }
        if taken.len() == ROOM {
            return Handed::NoRoom;
        }
        taken.push((local, from, bytes.to_vec()));
        Handed::Taken
    }

    fn hear(&self, _: AgentNumber, local: SocketAddr, from: SocketAddr) {
        self.1.lock().push((local, from));
    }
}

const STUN: [u8; 20] = [
    0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];
/// What no party can have sent.
const STRANGE: [u8; 14] = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9];
const DTLS: [u8; 14] = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];

fn with_agents(check: impl Fn(&Bench, &Taken)) {
    for is_steered in [false, true] {
        let taken = Arc::<Taken>::default();
        let services = Services {
            agents: taken.clone(),
            ..Services::default()
        };
        if let Some(bench) = Bench::with(services, is_steered) {
            check(&bench, &taken);
        }
    }
}

fn agent(hears_all: bool) -> Option<FlowAgent> {
    Some(FlowAgent {
        number: AgentNumber::default(),
        hears_all,
    })
}

#[test]
fn stun_and_dtls_are_the_agents_and_teach_nothing() {
    with_agents(|bench, taken| {
        let stats = bench.install(|spec| {
            spec.agent = agent(true);
            spec.peer.signalled = Some("10.0.0.9:9".parse().unwrap());
            spec.peer.signalled_private = true;
        });
        let from = bench.phones[0].local_addr().unwrap();
        for datagram in [&STUN[..], &DTLS, &STUN, &DTLS] {
            bench.send(0, datagram);
        }
        let busy = &stats[0].drops[DropReason::AgentBusy as usize];
        await_count(busy, 1);
        bench.send(0, &STRANGE);
        await_count(&stats[0].drops[DropReason::NotValidated as usize], 1);
        let expected: Vec<_> = [&STUN[..], &DTLS, &STUN]
            .map(|datagram| (bench.locals[0], from, datagram.to_vec()))
            .into();
        assert_eq!(*taken.0.lock(), expected);
        // It is no media.
        assert_eq!(stats[0].packets_in.load(Relaxed), 0);
        assert_eq!(stats[0].last_packet_ms.load(Relaxed), 0);
        assert_eq!(stats[0].peer().learned, None);
        // What agents say leaves from the port, whatever its latch says.
        let numbered = |number: u8| [&DTLS[..], &[number]].concat();
        let departure = |number: u8| Departure {
            worker: usize::from(number == 7),
            local: bench.locals[0],
            to: from,
            datagram: numbered(number),
        };
        // There is no worker for one of them.
        let all = (0..2 * u8::try_from(AGENT_SENDS).unwrap()).map(departure);
        bench.dataplane.send_all(all.collect());
        for number in (0..2 * u8::try_from(AGENT_SENDS).unwrap()).filter(|number| *number != 7) {
            assert_eq!(bench.hear(0), (numbered(number), bench.locals[0]));
        }
        assert_eq!(stats[0].packets_out.load(Relaxed), 0);
    });
}

#[test]
fn with_ice_exactly_the_valid_sources_are_heard_and_the_port_stays_open() {
    with_agents(|bench, taken| {
        let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let party = bench.phones[0].local_addr().unwrap();
        let validated = |spec: &mut FlowSpec| {
            spec.agent = agent(true);
            spec.peer.validated = Some(Box::new(Validated {
                sources: [party].into(),
                destination: Some(party),
            }));
            // SDP names nothing of use, as browsers do.
            spec.peer.signalled = Some("0.0.0.0:9".parse().unwrap());
        };
        let stats = bench.install(validated);
        for sequence in 0..20 {
            other.send_to(&rtp(sequence), bench.locals[0]).unwrap();
        }
        let refused = &stats[0].drops[DropReason::NotValidated as usize];
        await_count(refused, 20);
        for sequence in 0..20 {
            bench.send(0, &rtp(sequence));
            assert_eq!(bench.hear(1).0, rtp(sequence));
        }
        bench.send(1, &rtp(7));
        assert_eq!(bench.hear(0).0, rtp(7));
        // The party's other addresses are for the agent to hear, also while media flows.
        other.send_to(&STUN, bench.locals[0]).unwrap();
        let deadline = clock() + PATIENCE;
        while taken.0.lock().is_empty() {
            assert!(clock() < deadline);
            std::thread::yield_now();
        }
        // Without a pair there is nobody.
        let mut spec = bench.spec(0);
        spec.agent = agent(true);
        spec.peer.validated = Some(Box::default());
        bench.apply(vec![FlowChange::Change(spec)], Vec::new());
        bench.send(0, &rtp(21));
        await_count(refused, 21);
        bench.send(1, &rtp(22));
        let nowhere = &stats[1].drops[DropReason::NoDestination as usize];
        await_count(nowhere, 1);
    });
}

#[test]
fn the_agent_hears_of_media_from_another_pair() {
    with_agents(|bench, taken| {
        let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let party = bench.phones[0].local_addr().unwrap();
        let beside = other.local_addr().unwrap();
        bench.install(|spec| {
            spec.agent = agent(true);
            spec.peer.validated = Some(Box::new(Validated {
                sources: [party, beside].into(),
                destination: Some(party),
            }));
        });
        // One or two on their way while the party changes its mind are none.
        for sequence in [1, 2, 4, 5] {
            other.send_to(&rtp(sequence), bench.locals[0]).unwrap();
            assert_eq!(bench.hear(1).0, rtp(sequence));
            if sequence == 2 {
                bench.send(0, &rtp(3));
                assert_eq!(bench.hear(1).0, rtp(3));
            }
        }
        assert_eq!(*taken.1.lock(), []);
        for sequence in 6..20 {
            other.send_to(&rtp(sequence), bench.locals[0]).unwrap();
            assert_eq!(bench.hear(1).0, rtp(sequence));
        }
        assert_eq!(*taken.1.lock(), [(bench.locals[0], beside)]);
    });
}

#[test]
fn the_agent_hears_where_media_comes_from_while_keys_are_awaited() {
    with_agents(|bench, taken| {
        let stats = bench.install(|spec| {
            spec.agent = agent(true);
            spec.security = Security::Awaited;
        });
        let from = bench.phones[0].local_addr().unwrap();
        for sequence in 0..5 {
            bench.send(0, &rtp(sequence));
        }
        await_count(&stats[0].drops[DropReason::AwaitsKeys as usize], 5);
        assert_eq!(*taken.1.lock(), [(bench.locals[0], from)]);
    });
}
