//! Which rule a request falls under: the peer's own rule, then the longest prefix, then the domain
//! (spec §14, decision order; a token in Request-URI or Route has decided before).

use std::sync::Arc;

use super::config::{Algorithm, ConfigError, Failover, HashKey, RouteConfig, RouteMatch, RouteTo};
use super::pools::{Pools, hash};
use crate::message::uri::dials;

/// What routing looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen<'a> {
    /// Of the listener that the request came by.
    pub(crate) from_zone: &'a str,
    /// The peer that it came from, if any.
    pub(crate) peer: Option<&'a str>,
    pub(crate) method: &'a [u8],
    pub(crate) call_id: &'a [u8],
    /// The Request-URI without parameters and headers, for `hash:ruri`.
    pub(crate) ruri: &'a [u8],
    /// User and host of it. The user is empty if there is none.
    pub(crate) ruri_user: &'a [u8],
    pub(crate) ruri_host: &'a [u8],
    /// Who sends: the key for "user" of spec §13, `user@domain` where an address of record is known.
    pub(crate) user: &'a [u8],
    /// The address of record that the request is about, `user@domain`: To of a REGISTER, of others
    /// the user who sends. Empty: that of [`Self::user`].
    pub(crate) aor: &'a [u8],
}

impl Seen<'_> {
    /// The hash of what an algorithm looks at; 0 for those that look at nothing.
    pub(super) fn key(&self, algorithm: Algorithm) -> u64 {
        let Algorithm::Hash(key) = algorithm else {
            return 0;
        };
        hash(&[match key {
            // The Call-ID has letters of both cases; two that differ in them alone share a target.
            HashKey::CallId => self.call_id,
            HashKey::Ruri => self.ruri,
            HashKey::User => self.user,
            HashKey::Aor if self.aor.is_empty() => self.user,
            HashKey::Aor => self.aor,
        }])
    }
}

/// A route, ready for use.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Place in the configuration, from 1.
    pub(crate) number: usize,
    pub(super) matching: RouteMatch,
    /// `None`: the destination in the Request-URI.
    pub(super) pools: Option<Vec<usize>>,
    pub(crate) failover: Failover,
    pub(super) resources: Option<Vec<Box<str>>>,
}

/// All routes, in the order in which they are tried.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    rules: Vec<Arc<Rule>>,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    /// No route: 404.
    NotFound,
    Rule(Arc<Rule>),
}

impl Routes {
    /// The routes of a configuration, over the pools of the same one.
    ///
    /// # Errors
    /// The first fault.
    pub(crate) fn new(configs: &[RouteConfig], pools: &Pools) -> Result<Self, ConfigError> {
        let mut rules = Vec::with_capacity(configs.len());
        for (at, config) in configs.iter().enumerate() {
            rules.push(Arc::new(Rule::new(at + 1, config, pools)?));
        }
        // The sort is stable: rules of one rank stay in the order of the configuration.
        rules.sort_by_key(|rule| rule.rank());
        Ok(Self { rules })
    }

    /// The first rule that fits.
    pub(crate) fn decide(&self, seen: &Seen<'_>) -> Decision {
        let rule = self.rules.iter().find(|rule| rule.mismatch(seen).is_none());
        rule.cloned().map_or(Decision::NotFound, Decision::Rule)
    }

    pub(super) fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }
}

impl Rule {
    fn new(number: usize, config: &RouteConfig, pools: &Pools) -> Result<Self, ConfigError> {
        config.failover.check()?;
        let index = |name: &String| {
            pools.index(name).ok_or_else(|| ConfigError::UnknownPool {
                route: number,
                pool: name.clone(),
            })
        };
        let to = match &config.to {
            RouteTo::RequestUri => None,
            RouteTo::Pools(names) if names.is_empty() => {
                return Err(ConfigError::NoPool { route: number });
            }
            RouteTo::Pools(names) => Some(names.iter().map(index).collect::<Result<Vec<_>, _>>()?),
        };
        let targets = || {
            let of_rule = to.iter().flatten().filter_map(|at| pools.pool(*at));
            of_rule.flat_map(|pool| &pool.targets)
        };
        for name in config.resources.iter().flatten() {
            if !targets().any(|t| t.resources.iter().any(|r| *r.name == **name)) {
                return Err(ConfigError::UnknownResource {
                    route: number,
                    resource: name.clone(),
                });
            }
        }
        let resources = config.resources.as_ref();
        Ok(Self {
            number,
            matching: config.matching.clone(),
            resources: resources.map(|names| names.iter().map(|n| n.as_str().into()).collect()),
            failover: config.failover.clone(),
            pools: to,
        })
    }

    /// Rules for a peer go first, then long prefixes before short ones.
    fn rank(&self) -> (bool, usize) {
        let prefix = self.matching.prefix.as_ref().map_or(0, String::len);
        (self.matching.peer.is_none(), usize::MAX - prefix)
    }

    /// The first condition that does not hold.
    pub(super) fn mismatch(&self, seen: &Seen<'_>) -> Option<&'static str> {
        let rule = &self.matching;
        let holds = |wanted: &Option<String>, given: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == given)
        };
        if rule.peer.is_some() && rule.peer.as_deref() != seen.peer {
            return Some("peer");
        }
        if !holds(&rule.from_zone, seen.from_zone) {
            return Some("from_zone");
        }
        let is_method = |method: &String| method.as_bytes() == seen.method;
        if !rule.methods.is_empty() && !rule.methods.iter().any(is_method) {
            return Some("method");
        }
        let domain = rule.domain.as_ref();
        if domain.is_some_and(|domain| !is_within(seen.ruri_host, domain.as_bytes())) {
            return Some("domain");
        }
        let prefix = rule.prefix.as_ref();
        if prefix.is_some_and(|prefix| !dials(seen.ruri_user, prefix.as_bytes())) {
            return Some("prefix");
        }
        None
    }
}

/// Whether a host is `domain`, or below it if that begins with `*.`.
fn is_within(host: &[u8], domain: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    match domain.strip_prefix(b"*") {
        None => host.eq_ignore_ascii_case(domain),
        Some(suffix) => {
            let at = host.len().checked_sub(suffix.len()).filter(|at| *at > 0);
            let end = at.and_then(|at| host.get(at..));
            end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        }
    }
}
