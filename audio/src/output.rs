//! Who the converted packets are: source, sequence numbers and timestamps of one stream.

use serde::{Deserialize, Serialize};

use crate::packet::Header;

/// The numbers of a stream that leaves. It takes over those of the stream that comes in with its
/// first packet, and counts on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    ssrc: u32,
    /// Of the packet that leaves next.
    sequence: u16,
    /// Of the sample that leaves next, in the clock of the output.
    timestamp: u32,
    /// Two moments that are the same one: input, output. For reports and for what passes.
    anchor: (u32, u32),
    /// Clocks in Hz.
    from_clock: u32,
    to_clock: u32,
}

impl Output {
    /// A stream whose first packet is made of this one: its numbers are taken over as they are,
    /// whatever the clocks.
    pub fn begin(first: &Header, from_clock: u32, to_clock: u32) -> Self {
        Self {
            ssrc: first.ssrc,
            sequence: first.sequence,
            timestamp: first.timestamp,
            anchor: (first.timestamp, first.timestamp),
            from_clock: from_clock.max(1),
            to_clock: to_clock.max(1),
        }
    }

    /// The source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The timestamp of the next sample.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Skips the numbers of packets that were lost on the way in, so that the receiver knows.
    pub fn skip(&mut self, lost: u16) {
        self.sequence = self.sequence.wrapping_add(lost);
    }

    /// Lets time pass without packets, in ticks of the output's clock.
    pub fn advance(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.wrapping_add(ticks);
    }

    /// Sets the timestamp of the next sample.
    pub fn move_to(&mut self, timestamp: u32) {
        self.timestamp = timestamp;
    }

    /// The header of the next packet, which has so many ticks of audio.
    pub fn next(&mut self, payload_type: u8, ticks: u32) -> Header {
        let header = self.next_at(payload_type, self.timestamp);
        self.timestamp = self.timestamp.wrapping_add(ticks);
        header
    }

    /// The header of a packet of another time, such as an event that goes on.
    pub fn next_at(&mut self, payload_type: u8, timestamp: u32) -> Header {
        let header = Header {
            payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            marker: false,
        };
        self.sequence = self.sequence.wrapping_add(1);
        header
    }

    /// Says that an input time is `ahead` ticks after the next sample that leaves.
    pub fn anchor(&mut self, input: u32, ahead: u32) {
        self.anchor = (input, self.timestamp.wrapping_add(ahead));
    }

    /// Says which clocks the input and the output have from now on, in Hz.
    pub fn set_clocks(&mut self, from: u32, to: u32) {
        self.from_clock = from.max(1);
        self.to_clock = to.max(1);
    }

    /// The clocks of the input and of the output, in Hz.
    pub fn clocks(&self) -> (u32, u32) {
        (self.from_clock, self.to_clock)
    }

    /// The output's time of an input time: for sender reports (RFC 3550 §6.4.1), and for packets
    /// that pass between converted ones.
    pub fn map(&self, input: u32) -> u32 {
        let (from, to) = self.anchor;
        // Clocks come from SDP, so the product may have more than 64 bits.
        let distance = i128::from(input.wrapping_sub(from).cast_signed());
        let ticks = distance * i128::from(self.to_clock) / i128::from(self.from_clock);
        // Modulo 2^32, as timestamps are.
        let [a, b, c, d, ..] = ticks.to_le_bytes();
        to.wrapping_add(u32::from_le_bytes([a, b, c, d]))
    }
}

/// The figures of a sender report towards the receiver of converted audio (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderFigures {
    /// The RTP time of the report.
    pub timestamp: u32,
    /// Packets that we sent to this receiver.
    pub packets: u32,
    /// Octets of payload in them.
    pub octets: u32,
}

impl SenderFigures {
    /// The figures of a report whose RTP time is `input`.
    pub fn of(output: &Output, input: u32, packets: u32, octets: u32) -> Self {
        Self {
            timestamp: output.map(input),
            packets,
            octets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Header = Header {
        payload_type: 8,
        sequence: 65535,
        timestamp: 4_000_000_000,
        ssrc: 0x1234,
        marker: true,
    };

    #[test]
    fn the_first_packet_has_the_numbers_of_the_input() {
        let mut output = Output::begin(&FIRST, 8000, 48_000);
        let header = output.next(96, 960);
        assert_eq!(header.sequence, 65535);
        assert_eq!(header.timestamp, 4_000_000_000);
        assert_eq!(header.ssrc, 0x1234);
        assert!(!header.marker);
        let header = output.next(96, 960);
        assert_eq!((header.sequence, header.timestamp), (0, 4_000_000_960));
    }

    #[test]
    fn reports_have_the_time_of_the_output() {
        let mut output = Output::begin(&FIRST, 8000, 48_000);
        assert_eq!(output.map(4_000_000_160), 4_000_000_960);
        assert_eq!(output.map(4_000_000_000 - 80), 4_000_000_000 - 480);
        output.next(96, 960);
        output.anchor(4_000_010_000, 480);
        let figures = SenderFigures::of(&output, 4_000_010_008, 5, 800);
        assert_eq!(figures.timestamp, 4_000_000_960 + 480 + 48);
        assert_eq!((figures.packets, figures.octets), (5, 800));
    }

    #[test]
    fn no_clock_is_too_high() {
        let output = Output::begin(&FIRST, 1, u32::MAX);
        let far = FIRST.timestamp.wrapping_add(1 << 31);
        assert_ne!(output.map(far), output.map(FIRST.timestamp + 1));
    }

    #[test]
    fn times_wrap_around() {
        let mut output = Output::begin(&FIRST, 16_000, 8000);
        output.anchor(u32::MAX - 9, 0);
        assert_eq!(output.map(10), output.timestamp().wrapping_add(10));
    }
}
