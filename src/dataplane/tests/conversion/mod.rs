//! Audio that is converted on its way (media-services §4, §7), in virtual time.

mod digits;
mod heavy;
mod packets;
mod reports;
mod timed;

use windlass_audio::dtmf::{Event, Tone};
use windlass_audio::format::Format;
use windlass_audio::negotiate::{Route, Treatment};

use super::simulation::{World, local, party};
use super::*;
use crate::flow::SinkRules;
use crate::flow::conversion::{AudioDrop, Conversion};
use crate::media::g711;

pub(super) fn format(payload_type: u8, name: &str, clock: u32, channels: u8) -> Format {
    Format {
        payload_type,
        name: name.to_owned(),
        clock,
        channels,
        fmtp: String::new(),
    }
}

pub(super) fn pcma() -> Format {
    format(8, "PCMA", 8000, 1)
}

pub(in crate::dataplane::tests) fn pcmu() -> Format {
    format(0, "PCMU", 8000, 1)
}

pub(super) fn events(payload_type: u8, clock: u32) -> Format {
    format(payload_type, "telephone-event", clock, 1)
}

pub(super) fn route(from: Format, treatment: Treatment) -> Route {
    Route { from, treatment }
}

/// A-law to another codec, and events as they are.
pub(in crate::dataplane::tests) fn to(output: Format) -> Conversion {
    Conversion {
        routes: vec![
            route(pcma(), Treatment::Convert(output)),
            route(events(101, 8000), Treatment::Pass(101)),
        ],
        ptime_ms: 20,
        ..Conversion::default()
    }
}

/// A call whose caller's audio is converted for the callee.
pub(super) struct Line {
    pub(super) world: World,
    pub(super) events: Receiver<FlowEvent>,
    pub(super) stats: [Arc<FlowStats>; 2],
    /// Of the caller's next packet.
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
}

pub(super) const SSRC: u32 = 0x5151_5151;
pub(super) const PORTS: [u16; 2] = [30_000, 30_002];

impl Line {
    pub(super) fn new(conversion: Conversion) -> Self {
        Self::with(World::new(), conversion, |_| {})
    }

    /// The call with something else about its flows, on a world that is made so.
    pub(super) fn with(
        mut world: World,
        conversion: Conversion,
        alter: impl FnOnce(&mut [FlowSpec; 2]),
    ) -> Self {
        let (sender, events) = sync_channel(64);
        world.flows.events.sender = sender;
        let stats = world.install(1, PORTS, [party(1), party(2)], |specs| {
            specs[0].sinks[0].rules = Some(Box::new(rules(conversion)));
            alter(specs);
        });
        Self {
            world,
            events,
            stats,
            sequence: 1000,
            timestamp: 5000,
        }
    }

    /// Both flows as they would be told again.
    pub(super) fn specs(&self, conversion: Conversion) -> [FlowSpec; 2] {
        let [a, b] = PORTS;
        let mut specs = [
            self.world.spec(a, b, party(1)),
            self.world.spec(b, a, party(2)),
        ];
        specs[0].sinks[0].rules = Some(Box::new(rules(conversion)));
        specs
    }

    pub(super) fn change(&mut self, spec: FlowSpec) {
        self.apply(vec![FlowChange::Change(spec)], Vec::new());
    }

    pub(super) fn apply(
        &mut self,
        changes: Vec<FlowChange>,
        leases: Vec<LeasedFlow>,
    ) -> Vec<LeasedFlow> {
        let plan = Plan {
            call: 1,
            worker: 0,
            changes,
            agents: None,
        };
        let now = self.world.now();
        self.world.flows.apply(plan, leases, now).unwrap()
    }

    /// A packet of the caller, as it is.
    pub(super) fn arrive(&mut self, packet: Vec<u8>) -> Vec<String> {
        self.world.arrive((party(1), local(PORTS[0]), packet));
        self.told()
    }

    /// What is under a number comes from the caller, with the numbers that are next.
    pub(super) fn send(&mut self, payload_type: u8, payload: &[u8]) -> Vec<String> {
        let packet = packet(payload_type, self.sequence, self.timestamp, payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.arrive(packet)
    }

    /// The caller's next packet of audio.
    pub(super) fn say(&mut self, payload: &[u8]) -> Vec<String> {
        let told = self.send(8, payload);
        self.timestamp += u32::try_from(payload.len()).unwrap();
        told
    }

    pub(super) fn be_silent(&mut self) -> Vec<String> {
        self.say(&[0xd5; 160])
    }

    /// An event packet of the caller, of a digit.
    pub(super) fn event(&mut self, event: u8, duration: u16, is_end: bool) -> Vec<String> {
        let event = Event {
            event,
            is_end,
            volume: 10,
            duration,
        };
        self.send(101, &event.to_bytes())
    }

    /// A digit in the caller's audio, packet by packet.
    pub(super) fn whistle(&mut self, event: u8, packets: usize) -> Vec<String> {
        let mut tone = Tone::of_event(event, 10, 8000).unwrap();
        let mut told = Vec::new();
        for _ in 0..packets {
            let mut samples = Vec::new();
            tone.generate(160, &mut samples);
            let mut payload = Vec::new();
            windlass_audio::codec::g711::Law::A.encode(&samples, &mut payload);
            told.extend(self.say(&payload));
            self.world.pass(20);
        }
        told
    }

    /// What the callee heard since: `type:sequence@timestamp[length]`, `M` with a marker.
    pub(super) fn told(&mut self) -> Vec<String> {
        self.packets().iter().map(|packet| words(packet)).collect()
    }

    /// The same as it came.
    pub(super) fn packets(&mut self) -> Vec<Vec<u8>> {
        let heard = self.world.heard.drain(..);
        let callee = heard.filter(|(_, to, _)| *to == party(2));
        callee.map(|(.., packet)| packet).collect()
    }

    pub(super) fn dropped(&self, reason: AudioDrop) -> u64 {
        self.world.flows.desk.stats.dropped[reason as usize].load(Relaxed)
    }
}

pub(in crate::dataplane::tests) fn rules(conversion: Conversion) -> SinkRules {
    SinkRules {
        conversion: Some(Box::new(conversion)),
        ..SinkRules::default()
    }
}

pub(super) fn packet(payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = rtp(sequence);
    packet.truncate(12);
    packet[1] = payload_type;
    packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn words(packet: &[u8]) -> String {
    let header = crate::media::rtp::RtpHeader::parse(packet).unwrap();
    let marker = if header.marker { "M" } else { "" };
    let length = packet.len() - header.payload_at;
    let (number, sequence, timestamp) = (header.payload_type, header.sequence, header.timestamp);
    format!("{number}:{sequence}@{timestamp}[{length}]{marker}")
}

/// The loudest sample of a packet of µ-law.
pub(super) fn loudest(packet: &[u8]) -> u16 {
    let mut samples = Vec::new();
    windlass_audio::codec::g711::Law::Mu.decode(&packet[12..], &mut samples);
    let loud = samples.iter().map(|sample| sample.unsigned_abs());
    loud.max().unwrap_or_default()
}

pub(super) fn silence() -> u8 {
    g711::silence(g711::Law::Mu)
}
