//! Packets that a flow refuses for what they are: those that go round in a loop, and those that
//! are cut short (spec: media-behaviour §2, step 3; ng-protocol §7, `block-short`).

use std::time::{Duration, Instant};

use crate::flow::Guards;
use crate::flow::stats::DropReason;
use crate::limits::GUARDED_PAYLOAD_TYPES;
use crate::media::rtp::Received;

/// Bytes by which packets are told apart.
const MARK: usize = 28;
/// Copies in a row that still pass.
const MAX_COPIES: u32 = 30;
/// Copies come within this time of each other.
const COPY_WITHIN: Duration = Duration::from_secs(1);

/// Packets of one size in a row from which on it counts as the size of their payload type.
const RUN: u8 = 10;
/// What one flow has seen.
#[derive(Debug)]
pub(super) struct Guard {
    guards: Guards,
    last: [Option<([u8; MARK], Instant)>; 2],
    /// Index of the older of `last`.
    older: usize,
    copies: u32,
    sizes: Vec<Size>,
}

/// The payload size of one payload type.
#[derive(Clone, Copy, Debug)]
struct Size {
    payload_type: u8,
    /// Once it is learned; shorter packets are refused.
    learned: Option<usize>,
    candidate: usize,
    run: u8,
}

impl Guard {
    pub(super) fn new(guards: Guards) -> Self {
        Self {
            guards,
            last: [None; 2],
            older: 0,
            copies: 0,
            sizes: Vec::new(),
        }
    }

    /// The reason why a packet is refused; `None` if it is not. `received` is that of RTP or SRTP.
    pub(super) fn refuses(
        &mut self,
        datagram: &[u8],
        received: Option<&Received>,
        now: Instant,
    ) -> Option<DropReason> {
        if self.guards.loops && self.is_looping(datagram, now) {
            return Some(DropReason::Looping);
        }
        let is_short =
            self.guards.short && received.is_some_and(|received| self.is_short(received));
        is_short.then_some(DropReason::Short)
    }

    fn is_looping(&mut self, datagram: &[u8], now: Instant) -> bool {
        let mut mark = [0; MARK];
        for (byte, seen) in mark.iter_mut().zip(datagram) {
            *byte = *seen;
        }
        let seen =
            self.last.iter_mut().flatten().find(|(known, at)| {
                *known == mark && now.saturating_duration_since(*at) < COPY_WITHIN
            });
        if let Some((_, at)) = seen {
            *at = now;
            self.copies = self.copies.saturating_add(1);
            return self.copies > MAX_COPIES;
        }
        self.copies = 0;
        if let Some(slot) = self.last.get_mut(self.older) {
            *slot = Some((mark, now));
        }
        self.older = 1 - self.older;
        false
    }

    fn is_short(&mut self, received: &Received) -> bool {
        let size = received.payload_bytes;
        let payload_type = received.payload_type;
        let mut sizes = self.sizes.iter_mut();
        let Some(known) = sizes.find(|known| known.payload_type == payload_type) else {
            if self.sizes.len() < GUARDED_PAYLOAD_TYPES {
                self.sizes.push(Size {
                    payload_type,
                    learned: None,
                    candidate: size,
                    run: 1,
                });
            }
            return false;
        };
        if known.learned.is_some_and(|learned| size < learned) {
            return true;
        }
        known.run = match known.candidate == size {
            true => known.run.saturating_add(1),
            false => 1,
        };
        known.candidate = size;
        if known.run >= RUN {
            known.learned = Some(size);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::rtp::RtpHeader;

    fn packet(payload_type: u8, sequence: u16, size: usize) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.resize(12 + size, 0x55);
        packet
    }

    fn refuses(guard: &mut Guard, packet: &[u8], now: Instant) -> Option<DropReason> {
        let header = RtpHeader::parse(packet).unwrap();
        guard.refuses(packet, Some(&header.arrival(packet)), now)
    }

    #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn copies_pass_thirty_times() {
        let now = start();
        let loops = Guards {
            loops: true,
            short: false,
        };
        let mut guard = Guard::new(loops);
        let pair = [packet(8, 1, 160), packet(8, 2, 160)];
        for packet in &pair {
            assert_eq!(refuses(&mut guard, packet, now), None);
        }
        // Two packets that go round take turns.
        for copy in 0..30 {
            assert_eq!(refuses(&mut guard, &pair[copy % 2], now), None, "{copy}");
        }
        let looping = Some(DropReason::Looping);
        assert_eq!(refuses(&mut guard, &pair[0], now), looping);
        assert_eq!(refuses(&mut guard, &pair[1], now), looping);
        // Anything else starts the count anew.
        assert_eq!(refuses(&mut guard, &packet(8, 3, 160), now), None);
        assert_eq!(refuses(&mut guard, &pair[1], now), None);
        // What repeats slowly is no loop.
        for second in 0..40 {
            let now = now + Duration::from_secs(1 + second);
            assert_eq!(refuses(&mut guard, &pair[0], now), None);
        }
    }

    #[test]
    fn packets_shorter_than_the_learned_size_are_refused() {
        let now = start();
        let short = Guards {
            loops: false,
            short: true,
        };
        let mut guard = Guard::new(short);
        let mut sizes = |payload_type, sizes: &[usize]| -> Vec<bool> {
            let refused = sizes
                .iter()
                .map(|&size| refuses(&mut guard, &packet(payload_type, 1, size), now).is_some());
            refused.collect()
        };
        assert_eq!(sizes(8, &[160; 9]), [false; 9]);
        assert_eq!(sizes(8, &[80, 160]), [false; 2]);
        assert_eq!(sizes(8, &[160; 9]), [false; 9]);
        assert_eq!(sizes(8, &[80, 159, 160, 240]), [true, true, false, false]);
        // Other payload types have sizes of their own.
        assert_eq!(sizes(101, &[4; 5]), [false; 5]);
        // A longer size may take its place.
        assert_eq!(sizes(8, &[240; 10]), [false; 10]);
        assert_eq!(sizes(8, &[160]), [true]);
    }
}
