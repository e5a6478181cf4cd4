//! A phone's side of the audio: it speaks G.711 in 20 ms packets, listens, and measures what it
//! hears (RFC 3550 §6.4, §A.3, §A.8).

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::nat::Line;
use super::speech::{FRAME, RATE, Voice};
use super::{now, pause};

/// Time between two packets.
const FRAME_TIME: Duration = Duration::from_millis(20);
/// Interval at which a receiver checks whether the call is over.
const GLANCE: Duration = Duration::from_millis(50);
/// Timestamp units, and bytes, of a packet.
const FRAME_SAMPLES: u32 = RATE / 50;
const PCMA: u8 = 8;
const RTP_HEADER: usize = 12;

/// The clock and the stage of one call, shared by both phones, and when each packet was sent.
#[derive(Debug)]
pub(super) struct Conversation {
    epoch: Instant,
    stage: AtomicU8,
    /// Send times of the caller's and the callee's packets.
    pub(super) sent: [SendLog; 2],
}

/// Stage of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(super) enum Stage {
    /// Both speak and listen.
    Talking,
    /// Both only listen, until the packets in flight have arrived.
    Draining,
    /// The audio is over.
    Over,
}

impl Conversation {
    /// A call of at most `length`.
    pub(super) fn new(length: Duration) -> Self {
        // A second more than needed: the end is announced by a clock of its own.
        let packets = (length.as_secs() + 1) * 50;
        Self {
            epoch: now(),
            stage: AtomicU8::new(Stage::Talking as u8),
            sent: [SendLog::new(packets), SendLog::new(packets)],
        }
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
    }

    fn is_before(&self, stage: Stage) -> bool {
        self.stage.load(Relaxed) < stage as u8
    }

    fn elapsed(&self) -> Duration {
        now().duration_since(self.epoch)
    }

    fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Send times of one direction's packets, by sequence number from 0.
#[derive(Debug)]
pub(super) struct SendLog {
    /// Nanoseconds since the epoch plus one; 0: not sent, or arrived already.
    times: Box<[AtomicU64]>,
    count: AtomicU64,
}

impl SendLog {
    fn new(packets: u64) -> Self {
        Self {
            times: (0..packets.min(1 << 16))
                .map(|_| AtomicU64::new(0))
                .collect(),
            count: AtomicU64::new(0),
        }
    }

    /// Packets sent.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Notes the send time of a packet; `false` if the log is full.
    fn note(&self, sequence: u16, time_ns: u64) -> bool {
        let Some(slot) = self.times.get(usize::from(sequence)) else {
            return false;
        };
        slot.store(time_ns + 1, Relaxed);
        self.count.fetch_add(1, Relaxed);
        true
    }

    /// The send time of a packet that arrived for the first time.
    fn arrived(&self, sequence: u16) -> Option<u64> {
        let slot = self.times.get(usize::from(sequence))?;
        slot.swap(0, Relaxed).checked_sub(1)
    }
}

/// Audio that one phone received.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// Packets that arrived, each counted once.
    pub(super) packets: u64,
    /// Interarrival jitter in timestamp units.
    pub(super) jitter: f64,
    /// Time from send to arrival in microseconds.
    pub(super) latency_us: Histogram<u64>,
    /// The shortest round trip that RTCP showed, both ways through the relay.
    pub(super) round_trip: Option<Duration>,
    ssrc: u32,
    highest: u16,
    last_transit: Option<f64>,
    /// Middle bits of the last sender report's time, and when it came.
    last_report: Option<(u32, Duration)>,
}

impl Heard {
    fn new() -> io::Result<Self> {
        Ok(Self {
            packets: 0,
            jitter: 0.0,
            // 1 µs to 10 s at three digits: constants that the crate accepts.
            latency_us: Histogram::new_with_bounds(1, 10_000_000, 3).map_err(io::Error::other)?,
            round_trip: None,
            ssrc: 0,
            highest: 0,
            last_transit: None,
            last_report: None,
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "never negative; saturates"
    )]
    fn jitter_units(&self) -> u32 {
        self.jitter.round() as u32
    }

    /// Takes one RTP packet, received `arrival_ns` after the epoch.
    fn rtp(&mut self, packet: &[u8], arrival_ns: u64, sent: &SendLog) {
        let Some(header) = packet.first_chunk::<RTP_HEADER>() else {
            return;
        };
        let [flags, marker_type, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *header;
        if flags >> 6 != 2 || marker_type & 0x7f != PCMA {
            return;
        }
        let sequence = u16::from_be_bytes([s0, s1]);
        let Some(sent_ns) = sent.arrived(sequence) else {
            return;
        };
        self.packets += 1;
        self.ssrc = u32::from_be_bytes([c0, c1, c2, c3]);
        self.highest = self.highest.max(sequence);
        let latency_us = arrival_ns.saturating_sub(sent_ns) / 1000;
        self.latency_us.saturating_record(latency_us.max(1));
        let timestamp = u32::from_be_bytes([t0, t1, t2, t3]);
        let transit = arrival_ns as f64 * 1e-9 * f64::from(RATE) - f64::from(timestamp);
        if let Some(last) = self.last_transit.replace(transit) {
            self.jitter += ((transit - last).abs() - self.jitter) / 16.0;
        }
    }

    /// Takes one compound RTCP packet: the sender report and the first report block.
    fn rtcp(&mut self, packet: &[u8], at: Duration) {
        let word = |index: usize| {
            let bytes = packet.get(index * 4..)?.first_chunk()?;
            Some(u32::from_be_bytes(*bytes))
        };
        let Some(first) = word(0) else { return };
        let (is_report, blocks) = (first >> 16 & 0xff == 200, first >> 24 & 0x1f);
        let (Some(high), Some(low)) = (word(2), word(3)) else {
            return;
        };
        if !is_report {
            return;
        }
        self.last_report = Some((high << 16 | low >> 16, at));
        if blocks == 0 {
            return;
        }
        // Report block: ssrc, lost, highest, jitter, LSR, DLSR.
        let (Some(lsr), Some(dlsr)) = (word(11), word(12)) else {
            return;
        };
        if lsr != 0 {
            let trip = short_ntp(at).wrapping_sub(lsr).wrapping_sub(dlsr);
            // A negative difference of a few units is rounding.
            let trip = if trip > u32::MAX / 2 { 0 } else { trip };
            let trip = Duration::from_secs_f64(f64::from(trip) / 65_536.0);
            self.round_trip = Some(self.round_trip.map_or(trip, |best| best.min(trip)));
        }
    }
}

/// One phone in a conversation.
#[derive(Debug)]
pub(super) struct Talker<'c> {
    /// 0: the caller, 1: the callee.
    pub(super) side: usize,
    pub(super) conversation: &'c Conversation,
    pub(super) rtp: Line,
    pub(super) rtcp: Line,
    /// Destination of its audio, by the SDP that it got.
    pub(super) to_rtp: SocketAddr,
    pub(super) to_rtcp: SocketAddr,
    /// Time for which it lets the other phone begin.
    pub(super) patience: Duration,
}

impl Talker<'_> {
    /// Speaks and listens until the conversation is over.
    pub(super) fn talk(&self) -> io::Result<Heard> {
        let heard = Mutex::new(Heard::new()?);
        thread::scope(|scope| {
            let speaking = scope.spawn(|| self.speak(&heard));
            let reporting = scope.spawn(|| self.report(&heard));
            self.listen(&heard)?;
            for thread in [speaking, reporting] {
                thread
                    .join()
                    .map_err(|_| io::Error::other("a phone's thread panicked"))??;
            }
            io::Result::Ok(())
        })?;
        Ok(heard
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn speak(&self, heard: &Mutex<Heard>) -> io::Result<()> {
        let begin = now();
        // What is said to a phone behind NAT before its first packet showed where it is can reach
        // nobody. People do not talk into that gap either: who is called waits to hear somebody.
        while now().duration_since(begin) < self.patience && lock(heard).packets == 0 {
            pause(Duration::from_millis(2));
        }
        let mut voice = Voice::new(self.side as u64);
        let sent = self.sent(self.side);
        let mut due = now();
        let mut sequence: u16 = 0;
        while self.conversation.is_before(Stage::Draining) {
            let mut packet = [0; RTP_HEADER + FRAME];
            let (header, payload) = packet.split_at_mut(RTP_HEADER);
            header.copy_from_slice(&self.header(sequence));
            payload.copy_from_slice(&voice.frame());
            if !sent.note(sequence, self.conversation.elapsed_ns()) {
                break;
            }
            self.rtp.send_to(&packet, self.to_rtp)?;
            sequence = sequence.wrapping_add(1);
            due += FRAME_TIME;
            pause(due.saturating_duration_since(now()));
        }
        Ok(())
    }

    fn header(&self, sequence: u16) -> [u8; RTP_HEADER] {
        let marker = if sequence == 0 { 0x80 } else { 0 };
        let [s0, s1] = sequence.to_be_bytes();
        let samples = u32::from(sequence) * FRAME_SAMPLES;
        let [t0, t1, t2, t3] = samples.to_be_bytes();
        let [c0, c1, c2, c3] = self.ssrc().to_be_bytes();
        [0x80, marker | PCMA, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]
    }

    fn listen(&self, heard: &Mutex<Heard>) -> io::Result<()> {
        let from_other = self.sent(1 - self.side);
        let mut buffer = [0; 2048];
        while self.conversation.is_before(Stage::Over) {
            if let Some((packet, _)) = self.rtp.receive(&mut buffer, GLANCE)? {
                let arrival = self.conversation.elapsed_ns();
                lock(heard).rtp(packet, arrival, from_other);
            }
        }
        Ok(())
    }

    /// Sends a sender report each second and reads those of the other phone.
    fn report(&self, heard: &Mutex<Heard>) -> io::Result<()> {
        const EVERY: Duration = Duration::from_secs(1);
        let mut due = self.conversation.elapsed() + EVERY / 2;
        let mut buffer = [0; 2048];
        while self.conversation.is_before(Stage::Over) {
            let at = self.conversation.elapsed();
            if at >= due && self.conversation.is_before(Stage::Draining) {
                due += EVERY;
                let report = self.sender_report(&lock(heard), at);
                self.rtcp.send_to(&report, self.to_rtcp)?;
            }
            if let Some((packet, _)) = self.rtcp.receive(&mut buffer, GLANCE)? {
                let at = self.conversation.elapsed();
                lock(heard).rtcp(packet, at);
            }
        }
        Ok(())
    }

    /// SR with a report block once something was heard, and SDES (RFC 3550 §6.4.1, §6.5).
    fn sender_report(&self, heard: &Heard, at: Duration) -> Vec<u8> {
        let has_block = heard.packets > 0;
        let packets = u32::try_from(self.sent(self.side).count()).unwrap_or(u32::MAX);
        let mut words = vec![
            if has_block { 0x81c8_000c } else { 0x80c8_0006 },
            self.ssrc(),
        ];
        let fraction = (u64::from(at.subsec_nanos()) << 32) / 1_000_000_000;
        let timestamp = at.as_micros() * u128::from(RATE) / 1_000_000;
        words.extend([
            low_bits(at.as_secs()),
            low_bits(fraction),
            low_bits(u64::try_from(timestamp).unwrap_or(0)),
            packets,
            packets.saturating_mul(FRAME_SAMPLES),
        ]);
        if has_block {
            let expected = u64::from(heard.highest) + 1;
            let lost = expected.saturating_sub(heard.packets);
            let fraction_lost = lost * 256 / expected;
            let (lsr, delay) = heard.last_report.map_or((0, 0), |(lsr, came)| {
                (lsr, short_ntp(at.saturating_sub(came)))
            });
            words.extend([
                heard.ssrc,
                low_bits(fraction_lost.min(255) << 24 | lost.min(0x7f_ffff)),
                u32::from(heard.highest),
                heard.jitter_units(),
                lsr,
                delay,
            ]);
        }
        // SDES, one chunk: CNAME of four letters, then the end, padded.
        let name = if self.side == 0 { *b"call" } else { *b"echo" };
        words.extend([
            0x81ca_0003,
            self.ssrc(),
            u32::from_be_bytes([1, 4, name[0], name[1]]),
            u32::from_be_bytes([name[2], name[3], 0, 0]),
        ]);
        words.into_iter().flat_map(u32::to_be_bytes).collect()
    }

    fn sent(&self, side: usize) -> &SendLog {
        let [caller, callee] = &self.conversation.sent;
        if side == 0 { caller } else { callee }
    }

    fn ssrc(&self) -> u32 {
        if self.side == 0 {
            0xca11_e400
        } else {
            0xca11_ee00
        }
    }
}

/// Sends every packet back where the description said, until `over`.
pub(super) fn echo(lines: &[Line; 2], to: [SocketAddr; 2], over: &AtomicBool) -> io::Result<()> {
    let [rtp, rtcp] = lines;
    let [to_rtp, to_rtcp] = to;
    let reflect = |line: &Line, to: SocketAddr| -> io::Result<()> {
        let mut buffer = [0; 2048];
        while !over.load(Relaxed) {
            if let Some((packet, _)) = line.receive(&mut buffer, GLANCE)? {
                line.send_to(packet, to)?;
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let control = scope.spawn(|| reflect(rtcp, to_rtcp));
        reflect(rtp, to_rtp)?;
        control
            .join()
            .map_err(|_| io::Error::other("a phone's thread panicked"))?
    })
}

/// Middle 32 bits of an NTP time: units of 1/65536 s.
fn short_ntp(time: Duration) -> u32 {
    let fraction = u64::from(time.subsec_nanos()) * 65_536 / 1_000_000_000;
    low_bits(time.as_secs() << 16 | fraction)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "protocol fields are the low 32 bits of a longer count"
)]
fn low_bits(value: u64) -> u32 {
    value as u32
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16) -> Vec<u8> {
        let [s0, s1] = sequence.to_be_bytes();
        let timestamp = (u32::from(sequence) * 160).to_be_bytes();
        let mut packet = vec![0x80, PCMA, s0, s1];
        packet.extend(timestamp);
        packet.extend([0, 0, 0, 9, 1, 2, 3]);
        packet
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn heard_counts_each_packet_once_and_measures_its_way() {
        let sent = SendLog::new(50);
        let mut heard = Heard::new().unwrap();
        for sequence in 0..10 {
            assert!(sent.note(sequence, u64::from(sequence) * 20 * MS));
        }
        for sequence in [0, 1, 1, 2, 4, 3, 9] {
            heard.rtp(
                &packet(sequence),
                u64::from(sequence) * 20 * MS + 3 * MS,
                &sent,
            );
        }
        heard.rtp(&packet(40), 0, &sent);
        heard.rtp(&[0x80], 0, &sent);
        assert_eq!((sent.count(), heard.packets), (10, 6));
        assert_eq!(heard.latency_us.value_at_quantile(0.5), 3001);
        assert!(heard.jitter < 1e-6, "{}", heard.jitter);
    }

    #[test]
    fn late_packets_show_as_jitter() {
        let sent = SendLog::new(50);
        let mut heard = Heard::new().unwrap();
        for sequence in 0..2 {
            sent.note(sequence, 0);
        }
        heard.rtp(&packet(0), 0, &sent);
        // 16 ms late: 128 timestamp units, of which a sixteenth counts.
        heard.rtp(&packet(1), 36 * MS, &sent);
        assert!((heard.jitter - 8.0).abs() < 1e-6, "{}", heard.jitter);
    }

    #[test]
    fn round_trip_comes_from_the_report_block() {
        let conversation = Conversation::new(Duration::from_secs(1));
        let any = || Line::direct(std::net::Ipv4Addr::LOCALHOST.into()).unwrap();
        let to = any().believed();
        let talker = |side| Talker {
            side,
            conversation: &conversation,
            rtp: any(),
            rtcp: any(),
            to_rtp: to,
            to_rtcp: to,
            patience: Duration::ZERO,
        };
        let (caller, callee) = (talker(0), talker(1));
        let (mut at_caller, mut at_callee) = (Heard::new().unwrap(), Heard::new().unwrap());
        at_callee.packets = 1;
        let time = Duration::from_millis;
        at_callee.rtcp(&caller.sender_report(&at_caller, time(1000)), time(1010));
        let answer = callee.sender_report(&at_callee, time(1500));
        at_caller.rtcp(&answer, time(1530));
        let trip = at_caller.round_trip.unwrap();
        assert!(trip.abs_diff(time(40)) < time(1), "{trip:?}");
    }
}
