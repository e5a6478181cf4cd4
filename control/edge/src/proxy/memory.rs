//! Memory of requests in progress, in total and per source (spec: security promise 16).

use std::collections::HashMap;
use std::net::IpAddr;

/// Bytes held for requests in progress.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    held: usize,
    by_source: HashMap<IpAddr, usize, foldhash::quality::RandomState>,
}

impl Memory {
    /// Whether a request of this size fits the bounds: in all, and for its source if that is not
    /// trusted.
    pub(crate) fn has_room(
        &self,
        source: IpAddr,
        bytes: usize,
        (in_all, per_source): (usize, usize),
        is_stranger: bool,
    ) -> bool {
        let of_source = self.by_source.get(&source).copied().unwrap_or(0);
        let fits = !is_stranger || of_source.saturating_add(bytes) <= per_source;
        fits && self.held.saturating_add(bytes) <= in_all
    }

    /// A request takes `bytes` from now on; `held` is what it took before.
    pub(crate) fn change(&mut self, source: IpAddr, held: &mut usize, bytes: usize) {
        self.held = self.held.saturating_sub(*held).saturating_add(bytes);
        let of_source = self.by_source.entry(source).or_default();
        *of_source = of_source.saturating_sub(*held).saturating_add(bytes);
        if *of_source == 0 {
            self.by_source.remove(&source);
        }
        *held = bytes;
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0 && self.by_source.is_empty()
    }
}
