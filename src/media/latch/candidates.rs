//! Sources that have to prove themselves by a run (spec: media-behaviour §3.1).

use std::net::SocketAddr;
use std::time::Instant;

use super::run::Run;
use super::{Arrival, Kind, SILENCE};
use crate::limits::LATCH_CANDIDATES;

/// The sources whose runs are counted: made when the first one has to prove itself, which most
/// flows never see.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates(Option<Box<Slots>>);

type Slots = [Option<Candidate>; LATCH_CANDIDATES];

/// A source that has to prove itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    address: SocketAddr,
    pub(super) run: Run,
    pub(super) first_at: Instant,
    last_at: Instant,
}

impl Candidates {
    /// Counts a packet towards its source's run. RTCP teaches nothing.
    pub(super) fn count(&mut self, now: Instant, arrival: &Arrival) -> Option<Candidate> {
        if matches!(arrival.kind, Kind::Rtcp { .. }) {
            return None;
        }
        let known = |slot: &Option<Candidate>| {
            slot.is_some_and(|candidate| candidate.address == arrival.from)
        };
        // A host has one place, however many ports it sends from: it cannot push others out.
        let of_host = |slot: &Option<Candidate>| {
            slot.is_some_and(|candidate| candidate.address.ip() == arrival.from.ip())
        };
        let slots = self.0.get_or_insert_default();
        let position = slots
            .iter()
            .position(known)
            .or_else(|| slots.iter().position(of_host))
            .or_else(|| {
                let slots = slots.iter().enumerate();
                // An empty slot comes before any candidate.
                let oldest =
                    slots.min_by_key(|(_, slot)| slot.map(|c| (c.run.length(), c.last_at)));
                oldest.map(|(index, _)| index)
            })?;
        let slot = slots.get_mut(position)?;
        let candidate = match slot {
            Some(candidate) if candidate.address == arrival.from => candidate,
            slot => slot.insert(Candidate {
                address: arrival.from,
                run: Run::new(now),
                first_at: now,
                last_at: now,
            }),
        };
        candidate.run.observe(now, arrival.kind);
        candidate.last_at = now;
        Some(*candidate)
    }

    /// Whether there is a candidate other than this source.
    pub(super) fn has_others(&self, address: SocketAddr) -> bool {
        let mut candidates = self.0.iter().flat_map(|slots| slots.iter().flatten());
        candidates.any(|candidate| candidate.address != address)
    }

    pub(super) fn forget(&mut self, address: SocketAddr) {
        self.retain(|candidate| candidate.address != address);
    }

    pub(super) fn forget_silent(&mut self, now: Instant) {
        self.retain(|candidate| now.saturating_duration_since(candidate.last_at) < SILENCE);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    fn retain(&mut self, keeps: impl Fn(&Candidate) -> bool) {
        let Some(slots) = &mut self.0 else { return };
        for slot in slots.iter_mut() {
            *slot = slot.filter(|candidate| keeps(candidate));
        }
        if slots.iter().all(Option::is_none) {
            self.0 = None;
        }
    }
}
