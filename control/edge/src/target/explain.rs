//! Why a request goes where it goes, without sending it (`GET /v1/route`, `explain`; spec §17).

use std::fmt;
use std::sync::Arc;

use rand::Rng;

use super::choose::choose;
use super::live::{Admin, Health, Target};
use super::pick::candidates;
use super::pools::Pools;
use super::routes::{Routes, Seen};

/// The rules up to the one that fits, and the targets in the order in which they would be tried now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// Rules before, with the condition that does not hold.
    pub(crate) passed: Vec<(usize, &'static str)>,
    /// The rule that fits; `None`: 404.
    pub(crate) rule: Option<usize>,
    /// Whether it leads to the Request-URI instead of targets.
    pub(crate) by_request_uri: bool,
    pub(crate) targets: Vec<Verdict>,
}

/// What is said of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) id: String,
    pub(crate) uri: String,
    pub(crate) group: u8,
    pub(crate) state: Standing,
}

/// The part of a target in the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Drained,
    Failed,
    /// Usable, without a free slot.
    Full,
    /// It has not what the route asks for.
    LacksResource,
    SwitchedOff,
    /// Tried at this place, from 1.
    Tried(usize),
}

impl Routes {
    /// Explains the choice for a request. Takes no slot. Where chance decides, `rng` shows one case.
    pub(crate) fn explain(
        &self,
        pools: &Pools,
        seen: &Seen<'_>,
        rng: &mut impl Rng,
    ) -> Explanation {
        let mut explanation = Explanation {
            passed: Vec::new(),
            rule: None,
            by_request_uri: false,
            targets: Vec::new(),
        };
        for rule in self.rules() {
            if let Some(condition) = rule.mismatch(seen) {
                explanation.passed.push((rule.number, condition));
                continue;
            }
            explanation.rule = Some(rule.number);
            explanation.by_request_uri = rule.pools.is_none();
            let wanted = rule.resources.as_deref();
            let mut place = 0;
            for pool in rule.pools.iter().flatten().filter_map(|at| pools.pool(*at)) {
                let key = seen.key(pool.algorithm);
                let mut tried: Vec<Arc<Target>> = Vec::new();
                loop {
                    let group = candidates(pool, wanted, &tried);
                    let Some(target) = choose(&group, pool.algorithm, key, wanted, rng) else {
                        break;
                    };
                    tried.push(target.clone());
                    let is_full = target.wanted(wanted).any(|r| r.free() == 0);
                    let state = if is_full {
                        Standing::Full
                    } else {
                        place += 1;
                        Standing::Tried(place)
                    };
                    explanation.targets.push(Verdict::new(target, state));
                }
                let is_left = |t: &&Arc<Target>| !tried.iter().any(|other| Arc::ptr_eq(other, t));
                for target in pool.targets.iter().filter(is_left) {
                    let live = target.live();
                    let state = match (live.admin(), live.health()) {
                        (Admin::Down, _) => Standing::SwitchedOff,
                        (Admin::Drain, _) => Standing::Drained,
                        (Admin::Up, Health::Down) => Standing::Failed,
                        (Admin::Up, Health::Up) => Standing::LacksResource,
                    };
                    explanation.targets.push(Verdict::new(target, state));
                }
            }
            break;
        }
        explanation
    }
}

impl Verdict {
    fn new(target: &Target, state: Standing) -> Self {
        Self {
            id: target.id.to_string(),
            uri: target.uri.to_string(),
            group: target.group,
            state,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, condition) in &self.passed {
            writeln!(f, "route {rule} does not fit: {condition}")?;
        }
        match self.rule {
            None => return writeln!(f, "no route fits: 404"),
            Some(rule) if self.by_request_uri => {
                return writeln!(f, "route {rule} fits: to the Request-URI");
            }
            Some(rule) => writeln!(f, "route {rule} fits")?,
        }
        for target in &self.targets {
            let Verdict { id, uri, group, .. } = target;
            write!(f, "{id} {uri} group {group}: ")?;
            match target.state {
                Standing::Drained => writeln!(f, "takes no new calls (drain)")?,
                Standing::Failed => writeln!(f, "down: it does not answer")?,
                Standing::Full => writeln!(f, "no free slot")?,
                Standing::LacksResource => writeln!(f, "lacks a resource that the route asks for")?,
                Standing::SwitchedOff => writeln!(f, "down: switched off")?,
                Standing::Tried(place) => writeln!(f, "tried as number {place}")?,
            }
        }
        let is_tried = |target: &Verdict| matches!(target.state, Standing::Tried(_));
        if !self.targets.iter().any(is_tried) {
            writeln!(f, "no target is left: 503")?;
        }
        Ok(())
    }
}
