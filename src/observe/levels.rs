//! Log levels by subsystem, as rtpengine divides its log.

use super::log::{level_name, severity, stepped};
use super::subsystem::{SUBSYSTEMS, Subsystem, is_within};

/// A level for each subsystem, in syslog's numbers; below 0: off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    /// Level of everything outside the subsystems: libraries.
    rest: i64,
    levels: [i64; SUBSYSTEMS.len()],
}

impl Levels {
    /// The levels that a filter stands for.
    pub(crate) fn of_filter(filter: &str) -> Self {
        let rest = severity(filter);
        let directives: Vec<(&str, i64)> = filter
            .split(',')
            .filter_map(|directive| directive.trim().split_once('='))
            .map(|(target, level)| (target, severity(level)))
            .collect();
        let levels = SUBSYSTEMS.map(|subsystem| {
            let Some(module) = subsystem.targets.first() else {
                return if subsystem.name == "internals" {
                    -1
                } else {
                    rest
                };
            };
            let covering = directives
                .iter()
                .filter(|(target, _)| is_within(module, target));
            let nearest = covering.max_by_key(|(target, _)| target.len());
            nearest.map_or(rest, |(_, level)| *level)
        });
        Self { rest, levels }
    }

    /// One level for all subsystems.
    pub(crate) fn all(level: i64) -> Self {
        Self {
            rest: level,
            levels: [level; SUBSYSTEMS.len()],
        }
    }

    /// These levels with another one for one subsystem; `None` if there is no such subsystem.
    pub(crate) fn with(mut self, name: &str, level: i64) -> Option<Self> {
        let position = position(name)?;
        *self.levels.get_mut(position)? = level;
        Some(self)
    }

    /// Every level by one step that makes a difference: less for −1, more for 1.
    pub(crate) fn stepped(self, step: i64) -> Self {
        Self {
            rest: stepped(self.rest, step),
            levels: self.levels.map(|level| stepped(level, step)),
        }
    }

    /// The level of one subsystem; `None`: there is no such.
    pub(crate) fn level(&self, name: &str) -> Option<i64> {
        self.levels.get(position(name)?).copied()
    }

    /// Subsystems with their levels.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, i64)> {
        let names = SUBSYSTEMS.iter().map(|subsystem| subsystem.name);
        names.zip(self.levels)
    }

    /// The filter that brings them about.
    pub(crate) fn filter(&self) -> String {
        let mut directives = vec![level_name(self.rest).to_owned()];
        for (subsystem, level) in SUBSYSTEMS.iter().zip(self.levels) {
            let targets = subsystem.targets.iter();
            directives.extend(targets.map(|target| format!("{target}={}", level_name(level))));
        }
        directives.join(",")
    }
}

/// A line per subsystem.
pub(crate) fn descriptions() -> String {
    let line = |subsystem: &Subsystem| format!("{} - {}\n", subsystem.name, subsystem.description);
    SUBSYSTEMS.iter().map(line).collect()
}

fn position(name: &str) -> Option<usize> {
    SUBSYSTEMS
        .iter()
        .position(|subsystem| subsystem.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::check_filter;

    #[test]
    fn a_filter_names_every_module_of_a_subsystem() {
        let levels = Levels::of_filter("warn,hyper=off");
        assert_eq!(
            (levels.level("core"), levels.level("internals")),
            (Some(4), Some(-1))
        );
        let levels = levels.with("control", 7).unwrap();
        let filter = levels.filter();
        assert!(filter.starts_with("warn,windlass=warn,"), "{filter}");
        for directive in [
            "windlass_ng=debug",
            "windlass::daemon::link=debug",
            "windlass::call::exchange::ice=warn",
        ] {
            assert!(filter.split(',').any(|part| part == directive), "{filter}");
        }
        assert_eq!(Levels::of_filter(&filter), levels);
        assert_eq!(check_filter(&levels.filter()), Ok(()));
        assert_eq!(check_filter(&Levels::all(99).filter()), Ok(()));
        assert_eq!(levels.with("nothing", 7), None);
    }
}
