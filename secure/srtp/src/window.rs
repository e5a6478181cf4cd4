//! Packet indices: which one a sequence number means (RFC 3711 §3.3.1, Appendix A), and which were
//! there already (§3.3.2).

/// Indices of one source: the highest one, and which of those below it were there. A ring of bits,
/// so that going on moves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window<const WORDS: usize> {
    highest: u64,
    bits: [u64; WORDS],
}

/// Where an index lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Above the highest one.
    Ahead,
    /// In the window, was there already.
    Seen,
    /// Below the window: cannot be known.
    TooOld,
    /// In the window, was not there yet.
    Unseen,
}

impl Place {
    pub(crate) fn is_new(self) -> bool {
        matches!(self, Self::Ahead | Self::Unseen)
    }
}

impl<const WORDS: usize> Window<WORDS> {
    const LEN: u64 = 64 * WORDS as u64;

    /// Nothing but `index` was there.
    pub(crate) fn starting_at(index: u64) -> Self {
        let mut window = Self::unused(index);
        window.insert(index);
        window
    }

    /// Nothing was there, but indices are about `near`.
    pub(crate) fn unused(near: u64) -> Self {
        Self {
            highest: near,
            bits: [0; WORDS],
        }
    }

    /// Everything up to `highest` was there.
    pub(crate) fn full(highest: u64) -> Self {
        Self {
            highest,
            bits: [u64::MAX; WORDS],
        }
    }

    /// As stored: bit `n` of the words is the index that is `n` modulo their number.
    pub(crate) fn from_words(highest: u64, bits: [u64; WORDS]) -> Self {
        Self { highest, bits }
    }

    /// All up to `highest` but those of the last [`TAIL`] whose bit of `tail` is not set; bit 0 is its
    /// own.
    pub(crate) fn with_tail(highest: u64, tail: u64) -> Self {
        let mut window = Self::full(highest);
        let unused = (0..TAIL).filter(|age| tail >> age & 1 == 0);
        for index in unused.filter_map(|age| highest.checked_sub(age)) {
            window.clear(index);
        }
        window
    }

    /// A bit for each of the last [`TAIL`] indices that is in it; bit 0 is that of the highest.
    pub(crate) fn tail(&self) -> u64 {
        let used = (0..TAIL).filter(|age| {
            let index = self.highest.checked_sub(*age);
            index.is_some_and(|index| self.place(index) == Place::Seen)
        });
        used.fold(0, |bits, age| bits | 1 << age)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the word is taken modulo their number"
    )]
    fn clear(&mut self, index: u64) {
        let (word, bit) = Self::bit(index);
        self.bits[word] &= !bit;
    }

    pub(crate) fn words(&self) -> &[u64; WORDS] {
        &self.bits
    }

    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the word is taken modulo their number"
    )]
    pub(crate) fn place(&self, index: u64) -> Place {
        let Some(age) = self.highest.checked_sub(index) else {
            return Place::Ahead;
        };
        if age >= Self::LEN {
            return Place::TooOld;
        }
        let (word, bit) = Self::bit(index);
        if self.bits[word] & bit == 0 {
            Place::Unseen
        } else {
            Place::Seen
        }
    }

    /// Marks an index that is in the window or above it.
    #[expect(
        clippy::indexing_slicing,
        reason = "the word is taken modulo their number"
    )]
    pub(crate) fn insert(&mut self, index: u64) {
        if let Some(gap) = index.checked_sub(self.highest)
            && gap > 0
        {
            if gap >= Self::LEN {
                self.bits = [0; WORDS];
            } else {
                for skipped in self.highest + 1..index {
                    let (word, bit) = Self::bit(skipped);
                    self.bits[word] &= !bit;
                }
            }
            self.highest = index;
        }
        let (word, bit) = Self::bit(index);
        self.bits[word] |= bit;
    }

    fn bit(index: u64) -> (usize, u64) {
        let at = index % Self::LEN;
        ((at / 64) as usize, 1 << (at % 64))
    }
}

/// The index nearest to `highest` with that sequence number: its rollover counter, or the one
/// before or after. May lie beyond 48 bits.
pub(crate) fn estimate(highest: u64, sequence: u16) -> u64 {
    let same = highest & !0xffff | u64::from(sequence);
    if same + HALF < highest {
        same + PERIOD
    } else if same > highest + HALF && same >= PERIOD {
        same - PERIOD
    } else {
        same
    }
}

/// Packets from one rollover of the sequence number to the next.
/// Indices of [`Window::tail`].
pub(crate) const TAIL: u64 = 64;

pub(crate) const PERIOD: u64 = 1 << 16;
const HALF: u64 = PERIOD / 2;

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Window<2>;

    #[test]
    fn estimate_is_the_nearest_index() {
        assert_eq!(estimate(0xffff, 0), 0x1_0000);
        assert_eq!(estimate(0x1_0000, 0xffff), 0xffff);
        assert_eq!(estimate(0x1_0005, 0x8005), 0x1_8005);
        assert_eq!(estimate(0x1_0005, 0x8006), 0x8006);
        assert_eq!(estimate(0x1_9000, 0x1000), 0x1_1000);
        assert_eq!(estimate(0x1_9000, 0x0fff), 0x2_0fff);
        // There is nothing before rollover counter 0.
        assert_eq!(estimate(5, 0xffff), 0xffff);
    }

    #[test]
    fn an_index_is_new_once() {
        let mut window = Small::starting_at(1000);
        assert_eq!(window.place(1000), Place::Seen);
        assert_eq!(window.place(1001), Place::Ahead);
        assert_eq!(window.place(999), Place::Unseen);
        window.insert(999);
        assert_eq!(window.place(999), Place::Seen);
        window.insert(1100);
        assert_eq!(window.place(999), Place::Seen);
        assert_eq!(window.place(1001), Place::Unseen);
        assert_eq!(window.place(973), Place::Unseen);
        assert_eq!(window.place(972), Place::TooOld);
        window.insert(1100 + 128);
        assert_eq!(window.place(1100), Place::TooOld);
        assert_eq!(window.place(1101), Place::Unseen);
    }

    #[test]
    fn agrees_with_a_set_of_all_indices() {
        let mut window = Small::starting_at(500);
        let mut there = std::collections::BTreeSet::from([500]);
        let mut state: u64 = 1;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let highest = *there.last().unwrap();
            let index = (highest + (state >> 33) % 200).saturating_sub(180);
            let expected = match () {
                () if index > highest => Place::Ahead,
                () if highest - index >= 128 => Place::TooOld,
                () if there.contains(&index) => Place::Seen,
                () => Place::Unseen,
            };
            assert_eq!(window.place(index), expected, "{index} of {highest}");
            if expected.is_new() {
                window.insert(index);
                there.insert(index);
            }
        }
    }

    #[test]
    fn full_window_takes_only_what_is_ahead() {
        let window = Small::full(300);
        assert!((0..=300).all(|index| !window.place(index).is_new()));
        assert!(window.place(301).is_new());
    }
}
