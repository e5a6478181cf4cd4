//! Several sources on one line of time: what a party hears of a conference, or of music beside the
//! other party.
//!
//! A [`Mixer`] holds half a second or so of sums. A source is placed a little behind the moment that
//! is played, and its later audio by its timestamps. A listener gets everything, or everything but
//! its own: the sum less its part.
#![expect(
    clippy::indexing_slicing,
    reason = "places in the ring are taken modulo its length"
)]

use crate::limits::{MAX_MIXED, MAX_RATE, MIN_RATE};
use crate::sample;

/// The longest that a mixer holds, in ms (`audio-buffer-length`); more delay is no conversation.
const MAX_LENGTH_MS: u32 = 5000;

/// Sums of one channel, with the part of each source.
#[derive(Clone, Debug)]
pub struct Mixer {
    /// All sources.
    total: Vec<i32>,
    sources: Vec<Source>,
    /// The sample that is played next, counted from the begin.
    at: u64,
    /// How far behind it a new source is placed, in samples.
    delay: u64,
}

#[derive(Clone, Debug)]
struct Source {
    id: u32,
    part: Vec<i32>,
    /// A timestamp, and the sample that it belongs to.
    anchor: Option<(u32, u64)>,
}

impl Mixer {
    /// A mixer at a clock of samples in Hz, which holds `length_ms` and places a new source
    /// `delay_ms` behind what is played.
    pub fn new(rate: u32, length_ms: u32, delay_ms: u32) -> Self {
        let rate = rate.clamp(MIN_RATE, MAX_RATE);
        let length = u64::from(rate) * u64::from(length_ms.clamp(40, MAX_LENGTH_MS)) / 1000;
        let delay = u64::from(rate) * u64::from(delay_ms) / 1000;
        Self {
            total: vec![0; usize::try_from(length).unwrap_or(1)],
            sources: Vec::new(),
            at: 0,
            delay: delay.min(length / 2),
        }
    }

    /// Lets a source take part. Whether there is room; one that does so already counts as new.
    pub fn join(&mut self, id: u32) -> bool {
        self.leave(id);
        let has_room = self.sources.len() < MAX_MIXED;
        if has_room {
            self.sources.push(Source {
                id,
                part: vec![0; self.total.len()],
                anchor: None,
            });
        }
        has_room
    }

    /// Takes a source out, with what it has said that was not played yet.
    pub fn leave(&mut self, id: u32) {
        let Some(place) = self.sources.iter().position(|source| source.id == id) else {
            return;
        };
        let source = self.sources.swap_remove(place);
        for (total, part) in self.total.iter_mut().zip(source.part) {
            *total -= part;
        }
    }

    /// Adds audio of a source; `timestamp` counts in samples.
    pub fn add(&mut self, id: u32, timestamp: u32, samples: &[i16]) {
        let length = self.total.len() as u64;
        let Some(source) = self.sources.iter_mut().find(|source| source.id == id) else {
            return;
        };
        let samples = samples.get(..self.total.len() / 2).unwrap_or(samples);
        let by_time = source.anchor.and_then(|(known, place)| {
            let ahead = timestamp.wrapping_sub(known).cast_signed();
            place.checked_add_signed(i64::from(ahead))
        });
        let last = self.at + length - samples.len() as u64;
        let place = by_time
            .filter(|place| (self.at..=last).contains(place))
            .unwrap_or(self.at + self.delay);
        source.anchor = Some((timestamp, place));
        for (sample, place) in samples.iter().zip(place..) {
            let place = usize::try_from(place % length).unwrap_or_default();
            source.part[place] += i32::from(*sample);
            self.total[place] += i32::from(*sample);
        }
    }

    /// Appends the next samples for a listener; what it says itself is left out. For all listeners
    /// the same samples are next, until [`Self::advance`].
    pub fn hear(&self, listener: Option<u32>, samples: usize, out: &mut Vec<i16>) {
        let length = self.total.len();
        let own = self
            .sources
            .iter()
            .find(|source| listener == Some(source.id));
        let begin = usize::try_from(self.at % length as u64).unwrap_or_default();
        for place in (begin..)
            .take(samples.min(length))
            .map(|place| place % length)
        {
            let sum = self.total[place] - own.map_or(0, |own| own.part[place]);
            out.push(sample::saturate(sum));
        }
    }

    /// Lets time pass: so many samples have been heard.
    pub fn advance(&mut self, samples: usize) {
        let length = self.total.len();
        let samples = samples.min(length);
        let begin = usize::try_from(self.at % length as u64).unwrap_or_default();
        for place in (begin..begin + samples).map(|place| place % length) {
            self.total[place] = 0;
            for source in &mut self.sources {
                source.part[place] = 0;
            }
        }
        self.at += samples as u64;
    }

    /// Whether nothing is waiting to be heard, so that all listeners may share silence.
    pub fn is_silent(&self) -> bool {
        self.total.iter().all(|sum| *sum == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(mixer: &mut Mixer, listener: Option<u32>) -> Vec<i16> {
        let mut out = Vec::new();
        mixer.hear(listener, 160, &mut out);
        mixer.advance(160);
        out
    }

    fn with(sources: &[u32]) -> Mixer {
        let mut mixer = Mixer::new(8000, 500, 5);
        for id in sources {
            assert!(mixer.join(*id));
        }
        mixer
    }

    #[test]
    fn a_new_source_begins_5_ms_behind_and_ends_so() {
        let mut mixer = with(&[1]);
        assert_eq!(frame(&mut mixer, None), [0; 160]);
        mixer.add(1, 5000, &[100; 160]);
        let first = frame(&mut mixer, None);
        assert_eq!(first[..40], [0; 40]);
        assert_eq!(first[40..], [100; 120]);
        mixer.add(1, 5160, &[200; 160]);
        let second = frame(&mut mixer, None);
        assert_eq!(second[..40], [100; 40]);
        assert_eq!(second[40..], [200; 120]);
        let last = frame(&mut mixer, None);
        assert_eq!(last[..40], [200; 40]);
        assert_eq!(last[40..], [0; 120]);
        assert!(mixer.is_silent());
    }

    #[test]
    fn a_party_hears_all_but_itself() {
        let mut mixer = with(&[1, 2, 3]);
        for (id, value) in [(1, 1), (2, 20), (3, 300)] {
            mixer.add(id, 0, &[value; 160]);
        }
        let heard = |listener| {
            let mut out = Vec::new();
            mixer.hear(listener, 160, &mut out);
            out[100]
        };
        assert_eq!(heard(None), 321);
        assert_eq!(heard(Some(1)), 320);
        assert_eq!(heard(Some(2)), 301);
        assert_eq!(heard(Some(3)), 21);
        assert_eq!(heard(Some(4)), 321);
    }

    #[test]
    fn sums_saturate_only_when_they_are_heard() {
        let mut mixer = with(&[1, 2, 3]);
        for id in 1..=3 {
            mixer.add(id, 0, &[20_000; 160]);
        }
        let mut out = Vec::new();
        mixer.hear(None, 160, &mut out);
        assert_eq!(out[100], i16::MAX);
        mixer.leave(3);
        mixer.leave(2);
        out.clear();
        mixer.hear(None, 160, &mut out);
        assert_eq!(out[100], 20_000);
    }

    #[test]
    fn later_audio_is_placed_by_its_time_and_beyond_the_ring_anew() {
        let mut mixer = with(&[1]);
        mixer.add(1, 0, &[1; 160]);
        // One packet is missing.
        mixer.add(1, 320, &[3; 160]);
        let _ = frame(&mut mixer, None);
        let gap = frame(&mut mixer, None);
        assert_eq!((gap[39], gap[40], gap[159]), (1, 0, 0));
        assert_eq!(frame(&mut mixer, None)[40], 3);
        // A minute later, and a jump back: both begin anew.
        mixer.add(1, 480_000, &[7; 160]);
        assert_eq!(frame(&mut mixer, None)[40], 7);
        mixer.add(1, 9, &[8; 160]);
        assert_eq!(frame(&mut mixer, None)[40], 8);
    }

    #[test]
    fn sources_are_bounded() {
        let mut mixer = Mixer::new(8000, 40, 5);
        let joined = (0..100).filter(|id| mixer.join(*id)).count();
        assert_eq!(joined, MAX_MIXED);
        // What is no member says nothing, and what is too long is cut.
        mixer.add(500, 0, &[1; 160]);
        assert!(mixer.is_silent());
        mixer.add(1, 0, &[1; 10_000]);
        let mut out = Vec::new();
        mixer.hear(None, 10_000, &mut out);
        assert_eq!(out.len(), 320);
        mixer.advance(10_000);
        assert!(mixer.is_silent());
    }
}
