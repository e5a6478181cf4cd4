//! Places of an array.

/// Which entries of an array are free.
#[derive(Debug)]
pub(super) struct Slots {
    /// All from here on have never been taken.
    fresh: u32,
    size: u32,
    free: Vec<u32>,
    /// Given up, but perhaps under the hand of a program.
    retired: Vec<u32>,
}

impl Slots {
    pub(super) fn new(size: u32) -> Self {
        Self {
            fresh: 0,
            size,
            free: Vec::new(),
            retired: Vec::new(),
        }
    }

    /// All but these: what another process has taken. Numbers beyond the array are ignored.
    pub(super) fn without(size: u32, taken: impl Iterator<Item = u32>) -> Self {
        let mut is_taken = vec![false; usize::try_from(size).unwrap_or(0)];
        for index in taken {
            let place = usize::try_from(index).ok();
            if let Some(place) = place.and_then(|place| is_taken.get_mut(place)) {
                *place = true;
            }
        }
        let free = (0..size).zip(is_taken).rev();
        Self {
            fresh: size,
            size,
            free: free
                .filter_map(|(index, taken)| (!taken).then_some(index))
                .collect(),
            retired: Vec::new(),
        }
    }

    pub(super) fn take(&mut self) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        let index = (self.fresh < self.size).then_some(self.fresh)?;
        self.fresh += 1;
        Some(index)
    }

    /// Nobody uses it any more.
    pub(super) fn give_back(&mut self, index: u32) {
        self.free.push(index);
    }

    /// A program may still use it.
    pub(super) fn retire(&mut self, index: u32) {
        self.retired.push(index);
    }

    /// No program uses any longer what was retired.
    pub(super) fn reclaim(&mut self) {
        self.free.append(&mut self.retired);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(slots: &mut Slots) -> Vec<u32> {
        std::iter::from_fn(|| slots.take()).collect()
    }

    #[test]
    fn a_retired_place_is_not_given_out_before_it_is_reclaimed() {
        let mut slots = Slots::new(3);
        assert_eq!(all(&mut slots), [0, 1, 2]);
        slots.retire(1);
        assert_eq!(slots.take(), None);
        slots.give_back(2);
        assert_eq!(all(&mut slots), [2]);
        slots.reclaim();
        assert_eq!(all(&mut slots), [1]);
    }

    #[test]
    fn what_another_process_has_taken_stays_taken() {
        let mut slots = Slots::without(5, [3, 0, 99].into_iter());
        assert_eq!(all(&mut slots), [1, 2, 4]);
    }
}
