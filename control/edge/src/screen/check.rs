//! What is wrong with a configuration beyond the types of its values.

use std::collections::HashSet;

use super::config::Config;
use super::verdict::{Do, Stage};

/// One thing that is wrong; all are told at once (spec §18).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("zone {zone}: stage {stage} acts before a message is parsed and cannot {action}")]
    Action {
        zone: String,
        stage: &'static str,
        action: &'static str,
    },
    #[error("zone {zone}: stage {stage} rejects with {code}, not with 400 to 699")]
    Code {
        zone: String,
        stage: &'static str,
        code: u16,
    },
    #[error("zone {zone}: the window of a flood is zero")]
    FloodWindow { zone: String },
    #[error("limit {name:?}: {reason}")]
    Limit { name: String, reason: &'static str },
    #[error("rate {name:?} lets nothing through")]
    Rate { name: String },
    #[error("untrusted_share is {0} percent of 100")]
    Share(u8),
    #[error("two {kind} are called {name:?}")]
    Twice { kind: &'static str, name: String },
    #[error("peer {peer:?} is in a zone that is not there")]
    Zone { peer: String },
}

impl Config {
    /// All that is wrong; empty if the screen can be made. Patterns are checked when they are
    /// compiled.
    pub(crate) fn check(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        self.check_stages(&mut errors);
        for peer in &self.peers {
            let is_there = |zone: u16| usize::from(zone) < self.zones.len();
            if peer.zone.is_some_and(|zone| !is_there(zone)) {
                let peer = peer.name.clone();
                errors.push(ConfigError::Zone { peer });
            }
        }
        for rate in self.rates.iter().filter(|rate| rate.rate == 0) {
            let name = rate.name.clone();
            errors.push(ConfigError::Rate { name });
        }
        for limit in &self.limits {
            let reason = if limit.name.contains('\0') {
                "its name has a NUL"
            } else if (limit.calls, limit.cps, limit.max_call) == (None, None, None) {
                "neither calls at once, nor calls a second, nor a longest call"
            } else if !(400..700).contains(&limit.code) {
                "its code is not 400 to 699"
            } else {
                continue;
            };
            let name = limit.name.clone();
            errors.push(ConfigError::Limit { name, reason });
        }
        if self.untrusted_share > 100 {
            errors.push(ConfigError::Share(self.untrusted_share));
        }
        // Reloads tell tables apart by name.
        unique("zones", self.zones.iter().map(|z| &z.name), &mut errors);
        unique("peers", self.peers.iter().map(|p| &p.name), &mut errors);
        unique("rates", self.rates.iter().map(|r| &r.name), &mut errors);
        unique("lists", self.lists.iter().map(|l| &l.name), &mut errors);
        unique("limits", self.limits.iter().map(|l| &l.name), &mut errors);
        errors
    }

    fn check_stages(&self, errors: &mut Vec<ConfigError>) {
        for zone in &self.zones {
            for stage in Stage::ALL {
                let action = zone.stages.of(stage).action;
                let is_early = matches!(stage, Stage::Bans | Stage::Flood);
                let is_impossible = match action {
                    Do::Reject(_) => is_early,
                    Do::Fake200 => stage == Stage::Flood,
                    Do::Ban(_) => stage == Stage::Bans,
                    _ => false,
                };
                let (zone, stage) = (zone.name.clone(), stage.as_str());
                if is_impossible {
                    let action = action.as_str();
                    errors.push(ConfigError::Action {
                        zone,
                        stage,
                        action,
                    });
                } else if let Do::Reject(code) = action
                    && !(400..700).contains(&code)
                {
                    errors.push(ConfigError::Code { zone, stage, code });
                }
            }
            if zone.flood.window.is_zero() {
                let zone = zone.name.clone();
                errors.push(ConfigError::FloodWindow { zone });
            }
        }
    }
}

fn unique<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a String>,
    errors: &mut Vec<ConfigError>,
) {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            let name = name.clone();
            errors.push(ConfigError::Twice { kind, name });
        }
    }
}
