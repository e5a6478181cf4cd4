//! RTP bleed and RTP injection: a stranger sprays every port of the relay before, while and after
//! its phones are found (spec: media-behaviour §3, §3.1; security, rows 1, 2 and 4).

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use windlass_ng::{Dict, Value};

use crate::common::phone::{Call, Phone, answer, offer};
use crate::common::process::Relay;
use crate::common::sdp;

/// All that the relay has.
const PORTS: std::ops::RangeInclusive<u16> = 26_000..=26_031;

/// Rounds of each phase: a run of the stranger is complete after the fourth.
const ROUNDS: usize = 12;

/// How long the modes of the reference learn after signalling.
const LEARNING: Duration = Duration::from_millis(3_200);

const MARK: [u8; 4] = [6, 6, 6, 6];

/// How a call learns where its phones are, and what a stranger gets for it.
struct Posture {
    /// `learning` of `[media]`; empty: the default.
    configured: &'static str,
    flags: &'static [&'static str],
    /// Who comes before the phones may get their media, until they speak or for good.
    bleeds: Bleeds,
    /// What a stranger says goes nowhere once the phones are found.
    is_shut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bleeds {
    Never,
    /// `heuristic`: until the phone speaks from where its SDP says.
    UntilHeard,
    /// `immediate`, `delayed`: the first, or the last within 3 s, is the party.
    Always,
}

const fn posture(
    configured: &'static str,
    flags: &'static [&'static str],
    bleeds: Bleeds,
    is_shut: bool,
) -> Posture {
    Posture {
        configured,
        flags,
        bleeds,
        is_shut,
    }
}

const POSTURES: [Posture; 14] = [
    posture("", &[], Bleeds::Never, true),
    posture("", &["strict-source"], Bleeds::Never, true),
    posture("", &["asymmetric"], Bleeds::Never, true),
    posture("", &["media-handover"], Bleeds::Never, true),
    posture("", &["port-latching"], Bleeds::Never, true),
    posture("", &["trust-address", "symmetric"], Bleeds::Never, true),
    posture("", &["endpoint-learning-off"], Bleeds::Never, false),
    posture(
        "",
        &["endpoint-learning-heuristic"],
        Bleeds::UntilHeard,
        false,
    ),
    posture("", &["endpoint-learning-immediate"], Bleeds::Always, false),
    posture("off", &["strict-source"], Bleeds::Never, true),
    posture("off", &[], Bleeds::Never, false),
    posture("heuristic", &["strict-source"], Bleeds::UntilHeard, true),
    posture("immediate", &["strict-source"], Bleeds::Always, true),
    posture("delayed", &["strict-source"], Bleeds::Always, true),
];

struct Stranger {
    socket: UdpSocket,
    sequence: u16,
}

impl Stranger {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.66:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            sequence: 700,
        }
    }

    /// Speech as consistent as a phone's, and a report, to every port.
    fn spray(&mut self) {
        self.sequence += 1;
        let mut packet = vec![0x80, 8];
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&(u32::from(self.sequence) * 160).to_be_bytes());
        packet.extend_from_slice(&MARK);
        packet.extend_from_slice(&[0x66; 160]);
        let report = [&[0x80, 201, 0, 1][..], &MARK].concat();
        for port in PORTS {
            for datagram in [&packet, &report] {
                let _ = self.socket.send_to(datagram, ("127.0.0.1", port));
            }
        }
    }

    /// Bytes that reached it.
    fn got(&self) -> usize {
        let mut buffer = [0; 2048];
        std::iter::from_fn(|| self.socket.recv(&mut buffer).ok()).sum()
    }
}

/// A call between two phones, which say everything twice: RTP and RTCP.
struct Talk {
    phones: [Phone; 2],
    at: [SocketAddr; 2],
}

impl Talk {
    fn new(relay: &Relay, id: &str, posture: &Posture) -> (Self, Call) {
        let phones = ["127.0.0.2", "127.0.0.3"].map(Phone::new);
        let flags: Value = posture.flags.iter().copied().collect();
        // A flag is for the party whose SDP it comes with.
        let ask = |request: Dict| {
            let reply = relay.ask(request.with("flags", flags.clone())).unwrap();
            sdp::address(reply.get_str("sdp").unwrap(), 0)
        };
        let call = Call {
            id: id.to_owned(),
            shown_to_callee: ask(offer(id, &sdp::audio(phones[0].address(), ""))),
            shown_to_caller: ask(answer(id, &sdp::audio(phones[1].address(), ""))),
        };
        let at = [call.shown_to_caller, call.shown_to_callee];
        (Self { phones, at }, call)
    }

    fn say(&mut self, phone: usize) {
        let (at, phone) = (self.at[phone], &mut self.phones[phone]);
        let packet = phone.packet();
        phone.rtp.send_to(&packet, at).unwrap();
        let rtcp = SocketAddr::new(at.ip(), at.port() + 1);
        phone.rtcp.send_to(&phone.report(), rtcp).unwrap();
        std::thread::park_timeout(Duration::from_millis(3));
    }

    /// What the phones heard: of each other, and of the stranger.
    fn heard(&self) -> (usize, usize) {
        let (mut speech, mut strange) = (0, 0);
        let mut buffer = [0; 2048];
        for socket in self
            .phones
            .iter()
            .flat_map(|phone| [&phone.rtp, &phone.rtcp])
        {
            let brief = Some(Duration::from_millis(60));
            socket.set_read_timeout(brief).unwrap();
            while let Ok(length) = socket.recv(&mut buffer) {
                let packet = &buffer[..length];
                let is_strange = packet[4..].windows(4).any(|word| word == MARK);
                speech += usize::from(!is_strange);
                strange += usize::from(is_strange);
            }
        }
        (speech, strange)
    }
}

#[test]
fn a_spray_over_all_ports_gets_nothing_and_is_not_heard() {
    for alike in POSTURES.chunk_by(|one, next| one.configured == next.configured) {
        let learning = match alike[0].configured {
            "" => String::new(),
            mode => format!("[media]\nlearning = \"{mode}\"\n"),
        };
        let (min, max) = (PORTS.start(), PORTS.end());
        let relay = Relay::start(&format!("[ports]\nmin = {min}\nmax = {max}\n{learning}"));
        for (number, posture) in alike.iter().enumerate() {
            let name = format!("{:?} {:?}", posture.configured, posture.flags);
            comes_first(&relay, &format!("first-{number}"), posture, &name);
            comes_later(&relay, &format!("later-{number}"), posture, &name);
        }
    }
}

/// The stranger is there before the phones have said anything.
fn comes_first(relay: &Relay, id: &str, posture: &Posture, name: &str) {
    let mut stranger = Stranger::new();
    let (mut talk, call) = Talk::new(relay, id, posture);
    for _ in 0..ROUNDS {
        stranger.spray();
        // One phone hears nothing yet, and says nothing.
        talk.say(1);
    }
    let (_, strange) = talk.heard();
    let got = stranger.got();
    if posture.bleeds == Bleeds::Never {
        assert_eq!(got, 0, "{name}: bytes before the phone speaks");
    } else {
        assert!(got > 0, "{name}: has become better than it says");
    }
    if posture.flags.contains(&"strict-source") && posture.bleeds == Bleeds::Never {
        assert_eq!(strange, 0, "{name}: heard before the phone speaks");
    }
    talk.say(0);
    // What was on its way.
    talk.heard();
    stranger.got();
    for _ in 0..ROUNDS {
        stranger.spray();
        talk.say(0);
        talk.say(1);
    }
    let (speech, strange) = talk.heard();
    if posture.bleeds != Bleeds::Always {
        assert_eq!(stranger.got(), 0, "{name}: bytes while the phones speak");
        assert_eq!(speech, 4 * ROUNDS, "{name}: while the phones speak");
        if posture.is_shut {
            assert_eq!(strange, 0, "{name}: heard while the phones speak");
        }
    }
    call.delete(relay);
}

/// The phones are found when the stranger comes.
fn comes_later(relay: &Relay, id: &str, posture: &Posture, name: &str) {
    let mut stranger = Stranger::new();
    let (mut talk, call) = Talk::new(relay, id, posture);
    if posture.configured == "delayed" {
        std::thread::park_timeout(LEARNING);
    }
    for phone in [0, 1, 0, 1] {
        talk.say(phone);
    }
    talk.heard();
    for _ in 0..ROUNDS {
        stranger.spray();
        talk.say(0);
        talk.say(1);
    }
    // And while one of them pauses.
    for _ in 0..ROUNDS {
        stranger.spray();
        talk.say(1);
    }
    let (speech, strange) = talk.heard();
    assert_eq!(
        stranger.got(),
        0,
        "{name}: bytes after the phones were found"
    );
    assert_eq!(speech, 6 * ROUNDS, "{name}: after the phones were found");
    if posture.is_shut {
        assert_eq!(strange, 0, "{name}: heard after the phones were found");
    }
    call.delete(relay);
}
