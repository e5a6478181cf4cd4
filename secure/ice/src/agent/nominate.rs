//! Which pair is used (RFC 8445 §8, §12.1; spec: media-behaviour §5).

use std::time::Instant;

use rand::RngCore;

use super::consent::{Liveness, Use};
use super::event::Event;
use super::pair::{Pair, Stage};
use super::{Agent, Component, Freshness, Mode, Nomination, Phase, Role};
use crate::limits;

impl Agent {
    /// Puts the best complete set of working pairs to use, as far as nothing is selected, and has it
    /// nominated a little later.
    pub(super) fn settle(&mut self, now: Instant, rng: &mut dyn RngCore) {
        if self.current.remote.is_none() {
            return;
        }
        let decides = self.current.is_unchecked(self.config.mode);
        if let Some(set) = self.best_set(now, decides) {
            for (component, id) in set {
                let used = self.current.used.get(component).as_ref();
                let is_same = used.is_some_and(|used| used.pair == id);
                let is_settled = self.current.is_selected(component);
                let is_better = !is_same && (!is_settled || decides);
                if is_better || decides && !is_settled {
                    self.put_to_use(id, decides, now, rng);
                }
            }
            let is_open = self
                .current
                .components()
                .any(|c| !self.current.is_selected(c));
            let is_ours = self.role == Role::Controlling && self.config.mode == Mode::Full;
            if is_open && is_ours && self.current.nomination == Nomination::Idle {
                let at = now + limits::NOMINATION_DELAY;
                self.current.nomination = Nomination::Scheduled(at);
            }
        }
        self.complete();
    }

    /// The best working pair of each component; `None` unless all components have one. Pairs of RTP
    /// and RTCP between the same two hosts go before others. What is selected stays, unless `anew`.
    fn best_set(&self, now: Instant, anew: bool) -> Option<Vec<(Component, u32)>> {
        let ranked = |component| {
            let selected = self.current.used.get(component).as_ref();
            let selected = selected.filter(|used| used.is_selected && !anew);
            let fits = |pair: &&Pair| match selected {
                Some(used) => pair.id == used.pair,
                None => pair.works() && self.is_current(pair.id, now),
            };
            let of_component = |pair: &&Pair| pair.component == component;
            let pairs = self.current.pairs.iter();
            let mut ranked: Vec<&Pair> = pairs.filter(of_component).filter(fits).collect();
            ranked.sort_by_key(|pair| std::cmp::Reverse(pair.priority));
            ranked
        };
        let rtp = ranked(Component::Rtp);
        let first = *rtp.first()?;
        if !self.current.has_rtcp {
            return Some(vec![(Component::Rtp, first.id)]);
        }
        let rtcp = ranked(Component::Rtcp);
        let hosts = |pair: &Pair| Some((self.current.address_of(pair)?.ip(), pair.remote.ip()));
        let mate = |pair: &Pair| rtcp.iter().find(|mate| hosts(mate) == hosts(pair));
        let mates = rtp.iter().find_map(|pair| Some((*pair, *mate(pair)?)));
        let (rtp, rtcp) = mates.or_else(|| Some((first, *rtcp.first()?)))?;
        Some(vec![(Component::Rtp, rtp.id), (Component::Rtcp, rtcp.id)])
    }

    /// Whether the peer's last answer on a pair is recent enough to send media on it.
    pub(super) fn is_current(&self, id: u32, now: Instant) -> bool {
        let is_asked =
            (self.config.mode, self.config.freshness) == (Mode::Full, Freshness::Consent);
        !is_asked || self.current.pair(id).is_some_and(|pair| pair.is_fresh(now))
    }

    /// Has the best set checked again with USE-CANDIDATE.
    pub(super) fn nominate(&mut self, now: Instant) {
        self.current.nomination = Nomination::Idle;
        let Some(set) = self.best_set(now, false) else {
            return;
        };
        for (component, id) in set {
            if !self.current.is_selected(component) {
                self.current.trigger(id, true);
                self.current.nomination = Nomination::Running;
            }
        }
    }

    /// The peer nominates a pair that works. The first nomination counts; a later one if the peer
    /// means it (RFC 8445 §8.1.1 allows one), if the pair is better (RFC 5245 §8.1.1.2, where
    /// every check may nominate), or if nothing is heard on the one in use.
    pub(super) fn accept_nomination(&mut self, id: u32, now: Instant, rng: &mut dyn RngCore) {
        let Some(pair) = self.current.pair(id) else {
            return;
        };
        let used = self.current.used.get(pair.component).as_ref();
        let accepted = match used.filter(|used| used.is_selected) {
            None => true,
            Some(used) if used.pair == id => false,
            Some(used) => {
                let before = self.current.pair(used.pair);
                let is_better = before.is_none_or(|before| before.priority < pair.priority);
                let remote = self.current.remote.as_ref();
                let is_meant = remote.is_some_and(|remote| remote.has_ice2);
                is_meant || is_better || used.is_in_doubt(now)
            }
        };
        if !accepted {
            return;
        }
        if self.is_current(id, now) {
            self.put_to_use(id, true, now, rng);
            self.complete();
        } else {
            // It worked long ago: not without asking (RFC 7675 §5.1).
            self.recheck(id);
        }
    }

    /// From now on media goes this way.
    pub(super) fn put_to_use(
        &mut self,
        id: u32,
        is_selected: bool,
        now: Instant,
        rng: &mut dyn RngCore,
    ) {
        let Some(pair) = self.current.pair_mut(id) else {
            return;
        };
        let component = pair.component;
        let remote = pair.remote;
        let proven = *pair.proven.get_or_insert(now);
        let at = usize::from(pair.local);
        let Some(local) = self.current.locals.get(at).map(|local| local.address) else {
            return;
        };
        let used = self.current.used.get_mut(component);
        match used {
            Some(used) if used.pair == id => used.is_selected = is_selected,
            _ => {
                *used = Some(Use {
                    pair: id,
                    local,
                    remote,
                    is_selected,
                    heard: now,
                    liveness: Liveness::new(
                        self.config.mode,
                        self.config.freshness,
                        proven,
                        now,
                        rng,
                    ),
                });
            }
        }
        if let Some(previous) = &mut self.previous {
            *previous.used.get_mut(component) = None;
        }
        if is_selected {
            self.current.prune(component, id);
            self.tell(Event::Selected {
                component,
                local,
                remote,
            });
        } else {
            self.tell(Event::Usable {
                component,
                local,
                remote,
            });
        }
    }

    /// Ends the checks once all components have a selected pair.
    pub(super) fn complete(&mut self) {
        let mut components = self.current.components();
        if self.current.phase == Phase::Completed
            || !components.all(|component| self.current.is_selected(component))
        {
            return;
        }
        self.current.phase = Phase::Completed;
        self.current.nomination = Nomination::Idle;
        if let Some(previous) = &mut self.previous {
            previous.end();
        }
        self.tell(Event::Completed);
    }

    /// A role conflict has been decided, or the peer is lite. All pairs change their priority.
    pub(super) fn switch_role(&mut self, role: Role) {
        self.role = role;
        self.current.nomination = Nomination::Idle;
        let locals = &self.current.locals;
        for pair in &mut self.current.pairs {
            let local = locals.get(usize::from(pair.local));
            pair.rank(role, local.map_or(0, |local| local.priority));
            if matches!(pair.stage, Stage::Nominating(_)) {
                pair.stage = Stage::Succeeded;
            }
        }
        self.current
            .triggered
            .retain(|triggered| !triggered.nominates);
        self.is_unsettled = true;
        self.tell(Event::RoleChanged(role));
    }

    /// What the peer has shown before its credentials were known counts from now on.
    pub(super) fn adopt_early(&mut self, now: Instant, rng: &mut dyn RngCore) {
        if self.current.remote.is_none() {
            return;
        }
        let is_unchecked = self.current.is_unchecked(self.config.mode);
        let mut nominated = Vec::new();
        for at in 0..self.current.pairs.len() {
            let Some(pair) = self.current.pairs.get_mut(at) else {
                break;
            };
            if !pair.is_open() {
                continue;
            }
            let id = pair.id;
            match self.config.mode {
                Mode::Lite if pair.is_authenticated || is_unchecked => {
                    pair.stage = Stage::Succeeded;
                    pair.is_authenticated = true;
                    if pair.is_nominated {
                        nominated.push(id);
                    }
                }
                Mode::Full if pair.is_authenticated => self.current.trigger(id, false),
                _ => {}
            }
        }
        for id in nominated {
            self.accept_nomination(id, now, rng);
        }
    }
}
