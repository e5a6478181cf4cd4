//! Reception quality of a stream: loss, order, jitter (RFC 3550 §A.1, §A.3, §A.8), and the
//! estimated listener score (ITU-T G.107, simplified; spec: media-behaviour §9).

/// Reception of one synchronisation source.
#[derive(Clone, Copy, Debug)]
pub struct Reception {
    /// Synchronisation source.
    pub ssrc: u32,
    base: u32,
    /// Extended highest sequence number.
    highest: u32,
    /// Bit n: `highest - n` has arrived.
    window: u64,
    received: u64,
    /// Duplicates and packets older than the window.
    duplicates: u64,
    reordered: u64,
    /// Interarrival jitter in timestamp units, times 16.
    jitter_16: u32,
    transit: Option<u32>,
    payload_types: PayloadTypes,
}

/// Packets per payload type of a source. A source uses one or two types, and events; further types
/// are not counted.
#[derive(Clone, Copy, Debug, Default)]
struct PayloadTypes {
    counts: [u32; 4],
    types: [u8; 4],
    /// The place of the one that came most often, the latest of several.
    first: u8,
}

impl PayloadTypes {
    fn count(&mut self, payload_type: u8) {
        let most = self.counts.get(usize::from(self.first)).copied();
        let slots = self.counts.iter_mut().zip(&mut self.types).zip(0..);
        for ((count, known), place) in slots {
            if *count != 0 && *known != payload_type {
                continue;
            }
            *count = count.saturating_add(1);
            *known = payload_type;
            if *count >= most.unwrap_or_default() {
                self.first = place;
            }
            return;
        }
    }
}

/// Packets of a source that were counted elsewhere, by one who sees numbers and keeps none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Those among them that were not ahead of all before.
    pub late: u64,
    /// Extended highest sequence number, as in [`Reception::handed_down`].
    pub highest: u32,
    /// Interarrival jitter in timestamp units, times 16.
    pub jitter_16: u32,
}

/// A jump of the sequence number beyond this is a restart of the source, not loss (RFC 3550
/// §A.1, `MAX_DROPOUT`).
const MAX_DROPOUT: u16 = 3000;

impl Reception {
    /// The source of a first packet.
    pub fn new(ssrc: u32, sequence: u16) -> Self {
        // One cycle above zero, so that packets from before the first one have a number, too.
        let base = 0x1_0000 + u32::from(sequence);
        Self {
            ssrc,
            base,
            highest: base.wrapping_sub(1),
            window: 0,
            received: 0,
            duplicates: 0,
            reordered: 0,
            jitter_16: 0,
            transit: None,
            payload_types: PayloadTypes::default(),
        }
    }

    /// A source of which no packet has come.
    pub fn unheard(ssrc: u32) -> Self {
        Self::new(ssrc, 0)
    }

    /// Takes the payload type of a packet in.
    pub fn observe_payload_type(&mut self, payload_type: u8) {
        self.payload_types.count(payload_type);
    }

    /// The payload type of most packets.
    pub fn payload_type(&self) -> u8 {
        let PayloadTypes { types, first, .. } = &self.payload_types;
        types.get(usize::from(*first)).copied().unwrap_or_default()
    }

    /// Takes one packet in. `arrival` is its arrival time in timestamp units.
    pub fn observe(&mut self, sequence: u16, timestamp: u32, arrival: Option<u32>) {
        if self.window == 0 {
            // The first one, whatever number was expected.
            *self = Self::new(self.ssrc, sequence);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low half is what is compared"
        )]
        let highest = self.highest as u16;
        let ahead = sequence.wrapping_sub(highest);
        if ahead != 0 && ahead < MAX_DROPOUT {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
            self.window = self.window.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.received += 1;
        } else {
            let behind = highest.wrapping_sub(sequence);
            if behind >= MAX_DROPOUT {
                // The source began anew; what was lost so far stays lost.
                let missing = self.lost();
                *self = Self {
                    base: 0x1_0000 + u32::from(sequence),
                    highest: 0x1_0000 + u32::from(sequence),
                    window: 1,
                    received: self.received + 1,
                    ..*self
                };
                let expected = self.received + missing;
                self.base = self
                    .highest
                    .wrapping_add(1)
                    .wrapping_sub(truncated(expected));
                self.transit = None;
                return;
            }
            let bit = 1u64.checked_shl(u32::from(behind)).unwrap_or(0);
            if bit == 0 || self.window & bit != 0 {
                self.duplicates += 1;
                return;
            }
            self.window |= bit;
            self.received += 1;
            self.reordered += 1;
            return;
        }
        let Some(arrival) = arrival else { return };
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = transit.wrapping_sub(before).cast_signed().unsigned_abs();
            // A change of the timestamp's base is no jitter.
            if difference < 1 << 20 {
                let jitter = self.jitter_16;
                self.jitter_16 = jitter.wrapping_add(difference) - ((jitter + 8) >> 4);
            }
        }
    }

    /// Where another count of the same source begins: the extended highest sequence number as that of
    /// the kernel has it, one cycle above [`Self::highest`], and the jitter times 16. `None` before
    /// the first packet.
    pub fn handed_down(&self) -> Option<(u32, u32)> {
        (self.window != 0).then_some((self.highest, self.jitter_16))
    }

    /// The source was first heard elsewhere: the extended number of its first packet, one cycle above
    /// zero. Nothing changes if it is known.
    pub fn begin_elsewhere(&mut self, first: u32) {
        if self.window == 0 {
            self.base = first;
            self.highest = first.wrapping_sub(1);
            // What is before the first packet may still come, and is not missing.
            self.window = 1 << 63;
        }
    }

    /// Takes in what was counted elsewhere since [`Self::handed_down`], or the last call.
    pub fn absorb(&mut self, counted: &Counted) {
        let Counted {
            packets,
            late,
            highest,
            jitter_16,
        } = *counted;
        if self.window == 0 {
            return;
        }
        let ahead = packets.saturating_sub(late);
        let step = highest.wrapping_sub(self.highest);
        // Packets that were looked at here may be ahead of those.
        let step = if step < 1 << 31 { step } else { 0 };
        if step > 0 {
            // Nobody knows which of them are missing: none that comes late is taken for a double.
            let all_came = u64::from(step) <= ahead;
            self.highest = self.highest.wrapping_add(step);
            let before = self.window.checked_shl(step).unwrap_or(0);
            let came = match all_came {
                true => 1u64.checked_shl(step).unwrap_or(0).wrapping_sub(1),
                false => 1,
            };
            self.window = before | came;
        }
        self.received += ahead;
        // What came late fills what was missing; the rest came twice.
        let filled = late.min(self.lost());
        self.received += filled;
        self.reordered += filled;
        self.duplicates += late - filled;
        self.jitter_16 = jitter_16;
        self.transit = None;
    }

    /// Packets that arrived, duplicates not counted.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets expected less packets received, not below 0.
    pub fn lost(&self) -> u64 {
        let expected = u64::from(self.highest.wrapping_sub(self.base).wrapping_add(1));
        expected.saturating_sub(self.received)
    }

    /// Packets that arrived twice, or much too late.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets that arrived after one with a higher number.
    pub fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Extended highest sequence number.
    pub fn highest(&self) -> u32 {
        self.highest.wrapping_sub(0x1_0000)
    }

    /// Interarrival jitter in timestamp units.
    pub fn jitter(&self) -> u32 {
        self.jitter_16 >> 4
    }
}

/// Keeps a count inside the sequence space.
fn truncated(count: u64) -> u32 {
    u32::try_from(count & 0xffff_ffff).unwrap_or(u32::MAX)
}

/// Model that computes the mean opinion score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    /// G.107, simplified, for narrow-band codecs, whatever the codec is.
    #[default]
    G107,
    /// G.107.2, simplified, for codecs of full band; G.107 for others.
    Fullband,
    /// The formula of old releases.
    Legacy,
}

/// RTP clock of the codecs that count as full band, in Hz.
const FULLBAND_CLOCK: u32 = 48_000;

impl Model {
    /// Mean opinion score 1.0–4.5: RTP clock of the codec in Hz, round trip in ms (0: listening
    /// quality), jitter in ms, loss in per cent.
    ///
    /// The numbers are those that collectors know from rtpengine. So are their limits: the parabola
    /// of G.107 has its lowest point at a loss of 15.7 %, and praises more than 33 %.
    pub fn mos(
        self,
        clock_rate: u32,
        round_trip_ms: f64,
        jitter_ms: f64,
        loss_percent: f64,
    ) -> f64 {
        let rating = match self {
            Self::Fullband if clock_rate == FULLBAND_CLOCK => {
                fullband(round_trip_ms, jitter_ms, loss_percent)
            }
            Self::G107 | Self::Fullband => g107(round_trip_ms, jitter_ms, loss_percent),
            Self::Legacy => legacy(round_trip_ms, jitter_ms, loss_percent),
        };
        if rating < 0.0 {
            1.0
        } else if rating > 100.0 {
            4.5
        } else {
            1.0 + 0.035 * rating + 7e-6 * rating * (rating - 60.0) * (100.0 - rating)
        }
    }
}

/// ITU-T G.107.2, on the scale of the narrow band (spec: media-behaviour §9).
fn fullband(round_trip_ms: f64, jitter_ms: f64, loss_percent: f64) -> f64 {
    let delay = round_trip_ms / 2.0 + jitter_ms;
    let equipment_impairment = 10.2 + 121.8 * loss_percent / (loss_percent + 4.3);
    let delay_impairment = match delay > 100.0 {
        true => {
            let x = (delay / 100.0).log2();
            let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
            37.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
        }
        false => 0.0,
    };
    (148.0 - delay_impairment - equipment_impairment) / 1.48
}

fn g107(round_trip_ms: f64, jitter_ms: f64, loss_percent: f64) -> f64 {
    let delay = round_trip_ms / 2.0 + jitter_ms;
    let mut delay_impairment = 0.024 * delay;
    if delay > 177.3 {
        delay_impairment += 0.11 * (delay - 177.3);
    }
    let r = match loss_percent > 93.0 {
        true => 0.0,
        false => 93.2 - loss_percent,
    };
    0.18 * r * r - 27.9 * r + 1126.62 - delay_impairment
}

fn legacy(round_trip_ms: f64, jitter_ms: f64, loss_percent: f64) -> f64 {
    let effective = round_trip_ms + 2.0 * jitter_ms + 10.0;
    let delay_impairment = match effective < 160.0 {
        true => effective / 40.0,
        false => (effective - 120.0) / 10.0,
    };
    93.2 - delay_impairment - 2.5 * loss_percent
}

#[cfg(test)]
mod media_09_quality;
#[cfg(test)]
mod tests {
    use super::*;

    fn after(sequences: &[u16]) -> Reception {
        let mut reception = Reception::new(1, sequences[0]);
        for &sequence in sequences {
            reception.observe(sequence, 0, None);
        }
        reception
    }

    #[test]
    fn loss_is_expected_less_received() {
        assert_eq!(after(&[10, 11, 12]).lost(), 0);
        let gap = after(&[10, 14]);
        assert_eq!((gap.lost(), gap.received()), (3, 2));
        assert_eq!(after(&[65_534, 65_535, 0, 1]).lost(), 0);
        assert_eq!(after(&[65_534, 1]).lost(), 2);
    }

    #[test]
    fn late_and_double_packets_are_told_apart() {
        let late = after(&[10, 12, 11]);
        assert_eq!(
            (late.lost(), late.reordered(), late.duplicates()),
            (0, 1, 0)
        );
        let double = after(&[10, 11, 11, 10]);
        assert_eq!(
            (double.lost(), double.reordered(), double.duplicates()),
            (0, 0, 2)
        );
        assert_eq!(after(&[10, 9]).reordered(), 1);
    }

    #[test]
    fn a_source_may_be_known_before_its_first_packet() {
        let mut reception = Reception::unheard(1);
        assert_eq!((reception.lost(), reception.received()), (0, 0));
        for sequence in [700, 701, 703] {
            reception.observe(sequence, 0, None);
        }
        assert_eq!((reception.lost(), reception.received()), (1, 3));
        assert_eq!(reception.highest(), 703);
    }

    #[test]
    fn a_restart_of_the_source_is_no_loss() {
        let restarted = after(&[10, 11, 12, 40_000, 40_001]);
        assert_eq!((restarted.lost(), restarted.received()), (0, 5));
        let lossy = after(&[10, 12, 40_000]);
        assert_eq!(lossy.lost(), 1);
    }

    fn absorb(reception: &mut Reception, packets: u64, late: u64, step: u32) {
        let (highest, jitter_16) = reception.handed_down().unwrap();
        reception.absorb(&Counted {
            packets,
            late,
            highest: highest.wrapping_add(step),
            jitter_16,
        });
    }

    #[test]
    fn what_was_counted_elsewhere_is_part_of_the_stream() {
        let mut reception = after(&[65_530, 65_531, 65_533]);
        absorb(&mut reception, 100, 0, 100);
        assert_eq!((reception.received(), reception.lost()), (103, 1));
        assert_eq!(reception.highest(), 65_633);
        // Two of ten are missing, and one of them was seen here, late.
        absorb(&mut reception, 8, 0, 10);
        assert_eq!(reception.lost(), 3);
        reception.observe(104, 0, None);
        assert_eq!((reception.lost(), reception.reordered()), (2, 1));
        // One fills a gap, and the others came twice.
        absorb(&mut reception, 4, 4, 0);
        assert_eq!((reception.lost(), reception.reordered()), (0, 3));
        assert_eq!(reception.duplicates(), 2);
        // What all came is known to have come.
        absorb(&mut reception, 5, 0, 5);
        reception.observe(110, 0, None);
        assert_eq!((reception.duplicates(), reception.lost()), (3, 0));
        // Here is the next one, and the other count has not seen it.
        reception.observe(113, 0, None);
        let highest = reception.highest();
        reception.absorb(&Counted {
            highest: highest + 0x1_0000 - 1,
            ..Counted::default()
        });
        assert_eq!((reception.highest(), reception.lost()), (highest, 0));
        let mut unheard = Reception::unheard(1);
        assert_eq!(unheard.handed_down(), None);
        unheard.absorb(&Counted::default());
        assert_eq!(unheard.received(), 0);
        unheard.begin_elsewhere(0x1_0000 + 500);
        absorb(&mut unheard, 3, 0, 4);
        assert_eq!((unheard.received(), unheard.lost()), (3, 1));
        assert_eq!(unheard.highest(), 503);
        unheard.begin_elsewhere(7);
        assert_eq!(unheard.highest(), 503);
    }

    #[test]
    fn steady_arrival_has_no_jitter() {
        let mut steady = Reception::new(1, 0);
        let mut shaky = Reception::new(1, 0);
        for i in 0..100u16 {
            let timestamp = u32::from(i) * 160;
            steady.observe(i, timestamp, Some(timestamp + 5000));
            let late = if i % 2 == 0 { 0 } else { 80 };
            shaky.observe(i, timestamp, Some(timestamp + late));
        }
        assert_eq!(steady.jitter(), 0);
        assert!((70..=80).contains(&shaky.jitter()), "{}", shaky.jitter());
    }
}
