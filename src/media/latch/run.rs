//! Runs: the packets by which a source shows that it sends one stream
//! (spec: media-behaviour §3.1).

use std::time::{Duration, Instant};

use super::Kind;

/// Packets that make a run.
pub(super) const LENGTH: usize = 4;

/// They come within this time.
const TIME: Duration = Duration::from_secs(1);

/// Steps between their sequence numbers.
const STEPS: std::ops::RangeInclusive<u16> = 1..=3;

/// The packets of one source, as far as they follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// SSRC of the last packet; `None` if it was not RTP.
    ssrc: Option<u32>,
    sequence: u16,
    /// Number of consecutive packets.
    packets: u8,
    last_at: Instant,
    /// Times between the last ones, in µs.
    gaps: [u32; LENGTH - 1],
}

impl Run {
    /// An empty run.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            ssrc: None,
            sequence: 0,
            packets: 0,
            last_at: now,
            gaps: [0; LENGTH - 1],
        }
    }

    /// Takes one packet in. RTCP neither makes nor breaks a run.
    pub(super) fn observe(&mut self, now: Instant, kind: Kind) {
        let (ssrc, sequence, sane) = match kind {
            Kind::Rtp {
                ssrc,
                sequence,
                negotiated,
            } => (Some(ssrc), sequence, negotiated),
            Kind::Opaque => (None, 0, true),
            Kind::Rtcp { .. } => return,
        };
        let step = sequence.wrapping_sub(self.sequence);
        let continues = self.ssrc == ssrc && (ssrc.is_none() || STEPS.contains(&step));
        self.packets = match (sane, continues) {
            (true, true) => self.packets.saturating_add(1),
            (true, false) => 1,
            (false, _) => 0,
        };
        self.ssrc = ssrc;
        self.sequence = sequence;
        let gap = now.saturating_duration_since(self.last_at).as_micros();
        self.gaps.rotate_left(1);
        let [.., last] = &mut self.gaps;
        *last = u32::try_from(gap).unwrap_or(u32::MAX);
        self.last_at = now;
    }

    /// The source sent on elsewhere, up to a packet of this SSRC and number.
    pub(super) fn go_on(&mut self, at: Instant, ssrc: u32, sequence: u16) {
        self.ssrc = Some(ssrc);
        self.sequence = sequence;
        self.last_at = at;
    }

    /// The SSRC of the last packet; `None`: it was not RTP.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// The longest of the last gaps between packets.
    pub(super) fn longest_gap(&self) -> Duration {
        let longest = self.gaps.iter().max().copied().unwrap_or_default();
        Duration::from_micros(longest.into())
    }

    /// Number of consecutive packets, up to the length of a run.
    pub(super) fn length(&self) -> usize {
        usize::from(self.packets).min(LENGTH)
    }

    /// Whether the last packet completes a run, or goes on with one.
    pub(super) fn is_complete(&self) -> bool {
        let gaps = self.gaps.iter().map(|&gap| u64::from(gap));
        self.length() == LENGTH && Duration::from_micros(gaps.sum()) <= TIME
    }

    /// Whether an RTP packet goes on where the source stopped, within so many numbers.
    pub(super) fn is_continued_by(&self, kind: Kind, within: u16) -> bool {
        match kind {
            Kind::Rtp { ssrc, sequence, .. } => {
                let step = sequence.wrapping_sub(self.sequence);
                self.ssrc == Some(ssrc) && (1..=within).contains(&step)
            }
            Kind::Rtcp { .. } | Kind::Opaque => false,
        }
    }
}
