//! What the programs are to do, in plain words of Rust: slow, and one step after the other.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use windlass_kernel_assist::flows::trial::Program;
use windlass_kernel_assist::flows::{Flow, Fragmentation, Marker, NextHop, Order, Reason};

use crate::frame::{Frame, Sum, ones_sum};

/// The way out of this program, or the reason for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No flow is meant.
    NotOurs,
    Up(Reason),
    Forward(Vec<u8>),
}

/// A flow with what it has seen.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) flow: Flow,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) up: HashMap<Reason, u64>,
    pub(crate) sources: Vec<KnownSource>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct KnownSource {
    pub(crate) ssrc: u32,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) late: u64,
    pub(crate) order: Option<(u32, u32)>,
    pub(crate) transit: Option<u32>,
    pub(crate) jitter_16: u32,
}

impl KnownSource {
    pub(crate) fn order(&self) -> Option<Order> {
        self.order.map(|(first, highest)| Order { first, highest })
    }
}

/// A datagram that was taken apart.
struct Datagram<'a> {
    vlan: u16,
    source: SocketAddr,
    destination: SocketAddr,
    tos: u8,
    id: u16,
    has_df: bool,
    check: u16,
    payload: &'a [u8],
    trailer: &'a [u8],
}

impl Datagram<'_> {
    fn arrived(&self) -> Frame {
        Frame::new(self.source, self.destination, self.payload.to_vec())
    }

    /// The sum of the addresses alone.
    fn partial(&self) -> u16 {
        let mut arrived = self.arrived();
        arrived.sum = Sum::Partial;
        stored(&arrived)
    }
}

/// What a frame has in the field for the sum of UDP.
fn stored(frame: &Frame) -> u16 {
    let built = Frame {
        vlan: None,
        ..frame.clone()
    }
    .build();
    word(&built, if frame.to.is_ipv4() { 40 } else { 60 }).unwrap()
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn take_apart(frame: &[u8]) -> Option<Datagram<'_>> {
    let mut kind = word(frame, 12)?;
    let mut packet = frame.get(14..)?;
    let mut vlan = 0;
    if kind == 0x8100 {
        vlan = word(packet, 0)? & 0x0fff;
        kind = word(packet, 2)?;
        packet = packet.get(4..)?;
    }
    let (from, to, tos, id, has_df, udp, trailer): (IpAddr, IpAddr, _, _, _, _, _);
    match kind {
        0x0800 => {
            let header: &[u8; 20] = packet.first_chunk()?;
            let fragment = word(header, 6)?;
            if header[0] != 0x45 || header[9] != 17 || fragment & 0x3fff != 0 {
                return None;
            }
            if ones_sum(header) != 0xffff {
                return None;
            }
            let total = usize::from(word(header, 2)?);
            udp = packet.get(20..total)?;
            trailer = packet.get(total..)?;
            from = IpAddr::from(<[u8; 4]>::try_from(&header[12..16]).ok()?);
            to = IpAddr::from(<[u8; 4]>::try_from(&header[16..20]).ok()?);
            tos = header[1];
            id = word(header, 4)?;
            has_df = fragment & 0x4000 != 0;
        }
        0x86dd => {
            let header: &[u8; 40] = packet.first_chunk()?;
            if header[0] >> 4 != 6 || header[6] != 17 {
                return None;
            }
            let total = 40 + usize::from(word(header, 4)?);
            udp = packet.get(40..total)?;
            trailer = packet.get(total..)?;
            from = IpAddr::from(<[u8; 16]>::try_from(&header[8..24]).ok()?);
            to = IpAddr::from(<[u8; 16]>::try_from(&header[24..40]).ok()?);
            tos = header[0] << 4 | header[1] >> 4;
            id = 0;
            has_df = true;
        }
        _ => return None,
    }
    if usize::from(word(udp, 4)?) != udp.len() || udp.len() <= 8 {
        return None;
    }
    Some(Datagram {
        vlan,
        source: SocketAddr::new(from, word(udp, 0)?),
        destination: SocketAddr::new(to, word(udp, 2)?),
        tos,
        id,
        has_df,
        check: word(udp, 6)?,
        payload: &udp[8..],
        trailer,
    })
}

/// Whether CSRC list, extension and padding fit.
fn is_rtp(packet: &[u8]) -> bool {
    let mut header = 12 + 4 * usize::from(packet[0] & 15);
    if packet[0] & 0x10 != 0 {
        let Some(words) = word(packet, header + 2) else {
            return false;
        };
        header += 4 + 4 * usize::from(words);
    }
    let Some(payload) = packet.get(header..) else {
        return false;
    };
    let padding = payload.last().map_or(0, |last| usize::from(*last));
    packet[0] & 0x20 == 0 || (1..=payload.len()).contains(&padding)
}

impl Known {
    pub(crate) fn new(flow: Flow) -> Self {
        Self {
            flow,
            packets: 0,
            bytes: 0,
            up: HashMap::new(),
            sources: Vec::new(),
        }
    }

    fn refuse(&self, datagram: &Datagram<'_>) -> Option<Reason> {
        let flow = &self.flow;
        let payload = datagram.payload;
        if datagram.vlan != flow.vlan.unwrap_or(0) {
            return Some(Reason::Vlan);
        }
        if flow.source.is_some_and(|source| source != datagram.source) {
            return Some(Reason::Source);
        }
        match payload[0] {
            0..=3 => return Some(Reason::Stun),
            20..=63 => return Some(Reason::Dtls),
            128..=191 => {}
            _ => return Some(Reason::NotRtp),
        }
        if payload.len() < 12 {
            return Some(Reason::Malformed);
        }
        let (marker, kind) = (payload[1] & 0x80 != 0, payload[1] & 0x7f);
        if (192..=223).contains(&payload[1]) {
            return Some(Reason::Rtcp);
        }
        if !flow.forwarded.contains(kind) {
            return Some(Reason::PayloadType);
        }
        if flow.watched.contains(kind) {
            return Some(Reason::Watched);
        }
        if marker && flow.marker == Marker::PassUp {
            return Some(Reason::Marker);
        }
        let ssrc = u32::from_be_bytes(payload[8..12].try_into().unwrap());
        if flow.ssrc.is_some_and(|expected| expected != ssrc) {
            return Some(Reason::Ssrc);
        }
        if !is_rtp(payload) {
            return Some(Reason::Malformed);
        }
        let Some(source) = self.sources.iter().find(|it| it.ssrc == ssrc) else {
            return (self.sources.len() == 4).then_some(Reason::Sources);
        };
        let (_, highest) = source.order?;
        let sequence = word(payload, 2).unwrap();
        let low = highest.to_be_bytes();
        let ahead = sequence.wrapping_sub(u16::from_be_bytes([low[2], low[3]]));
        (3000..=0x1_0000 - 3000)
            .contains(&u32::from(ahead))
            .then_some(Reason::Sequence)
    }

    /// `now` is the time of arrival that the program has used.
    fn count(&mut self, payload: &[u8], now: u64) {
        let bytes = payload.len() as u64;
        self.packets += 1;
        self.bytes += bytes;
        let ssrc = u32::from_be_bytes(payload[8..12].try_into().unwrap());
        let timestamp = u32::from_be_bytes(payload[4..8].try_into().unwrap());
        let sequence = word(payload, 2).unwrap();
        let at = self.sources.iter().position(|it| it.ssrc == ssrc);
        let at = at.unwrap_or_else(|| {
            self.sources.push(KnownSource {
                ssrc,
                ..KnownSource::default()
            });
            self.sources.len() - 1
        });
        let source = &mut self.sources[at];
        source.packets += 1;
        source.bytes += bytes;
        match &mut source.order {
            None => {
                let first = 0x1_0000 + u32::from(sequence);
                source.order = Some((first, first));
            }
            Some((_, highest)) => {
                // The number of this sequence that is nearest to the highest.
                let near = (0..3u32)
                    .map(|cycle| (*highest & !0xffff) + 0x1_0000 * cycle + u32::from(sequence))
                    .map(|number| number - 0x1_0000)
                    .min_by_key(|number| number.abs_diff(*highest))
                    .unwrap();
                if near <= *highest {
                    source.late += 1;
                    return;
                }
                *highest = near;
            }
        }
        let rate = u128::from(self.flow.clock_rate);
        if rate == 0 {
            return;
        }
        // Whole seconds, and what is left, each in whole units.
        let (seconds, rest) = (
            u128::from(now) / 1_000_000_000,
            u128::from(now) % 1_000_000_000,
        );
        let arrival = (seconds * rate + rest * rate / 1_000_000_000) % (1 << 32);
        let transit = (u32::try_from(arrival).unwrap()).wrapping_sub(timestamp);
        if let Some(before) = source.transit.replace(transit) {
            let difference = transit.wrapping_sub(before).cast_signed().unsigned_abs();
            if difference < 1 << 20 {
                let jitter = source.jitter_16;
                source.jitter_16 = jitter + difference - ((jitter + 8) >> 4);
            }
        }
    }

    /// The frame that leaves. `like` is the one that the program made: a number that it draws by
    /// chance is taken from there. `hides_tag`: the tag is beside the packet.
    fn rewrite(&self, datagram: &Datagram<'_>, like: &[u8], is_tc: bool) -> Vec<u8> {
        let flow = &self.flow;
        let NextHop::Ethernet {
            source,
            destination,
            vlan,
            ..
        } = flow.next_hop
        else {
            panic!("{:?} has no addresses", flow.next_hop);
        };
        let has_df = match flow.fragmentation {
            Fragmentation::Keep => datagram.has_df,
            Fragmentation::Allow => false,
            Fragmentation::Forbid => true,
        };
        let vlan = vlan.filter(|_| !is_tc);
        let id = match datagram.has_df && !has_df {
            true => word(like, 18 + if vlan.is_some() { 4 } else { 0 }).unwrap_or(0),
            false => datagram.id,
        };
        let dscp = flow.dscp.unwrap_or(datagram.tos >> 2);
        let arrived = datagram.arrived();
        let mut frame = Frame {
            vlan,
            from: flow.from,
            to: flow.to,
            tos: dscp << 2 | datagram.tos & 3,
            id,
            fragment: if has_df { 0x4000 } else { 0 },
            hops: flow.hop_limit,
            ..arrived.clone()
        };
        frame.trailer = datagram.trailer.to_vec();
        // A wrong sum is to stay wrong by as much. A partial one is completed, where nobody else
        // does that.
        let right = stored(&arrived);
        let partial = datagram.partial();
        let wanted = match datagram.check {
            0 if flow.to.is_ipv4() => 0,
            0 => stored(&frame),
            check if check == partial && !is_tc => stored(&frame),
            check => {
                let ones = |words: [u16; 3]| ones_sum(&words.map(u16::to_be_bytes).concat());
                match ones([stored(&frame), check, !right]) {
                    0 => 0xffff,
                    sum => sum,
                }
            }
        };
        frame.sum = Sum::Wrong(stored(&frame) ^ wanted);
        let mut built = frame.build_with(destination, source);
        if flow.to.is_ipv6() {
            // No flow label.
            let at = if vlan.is_some() { 18 } else { 14 };
            built[at + 1] &= 0xf0;
            built[at + 2] = 0;
            built[at + 3] = 0;
        }
        built
    }
}

/// All flows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reference {
    pub(crate) flows: HashMap<SocketAddr, Known>,
}

impl Reference {
    /// The key of a frame's flow.
    pub(crate) fn local(frame: &[u8]) -> Option<SocketAddr> {
        take_apart(frame).map(|it| it.destination)
    }

    pub(crate) fn take(
        &mut self,
        frame: &[u8],
        like: &[u8],
        program: Program,
        now: u64,
    ) -> Outcome {
        let Some(datagram) = take_apart(frame) else {
            return Outcome::NotOurs;
        };
        let Some(known) = self.flows.get_mut(&datagram.destination) else {
            return Outcome::NotOurs;
        };
        // Where nobody says whether the sum is left to a device.
        let is_unclear = program == Program::XdpGeneric && datagram.check == datagram.partial();
        let unclear = is_unclear.then_some(Reason::Checksum);
        if let Some(reason) = known.refuse(&datagram).or(unclear) {
            *known.up.entry(reason).or_default() += 1;
            return Outcome::Up(reason);
        }
        let is_tc = matches!(program, Program::Tc | Program::TcWithSum);
        let frame = known.rewrite(&datagram, like, is_tc);
        known.count(datagram.payload, now);
        Outcome::Forward(frame)
    }
}
