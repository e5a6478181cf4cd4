//! How often a session begins an association: each costs a key exchange and a signature, and whoever
//! receives what is sent to his address can ask for one, also while another is established.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use crate::limits;

/// A token bucket. The last of its tokens are kept for hosts that have not begun one lately, so that
/// one host cannot keep another from it.
#[derive(Debug)]
pub(crate) struct Starts {
    tokens: u32,
    /// Up to when tokens were added.
    counted: Option<Instant>,
    /// Hosts of the last starts.
    hosts: VecDeque<IpAddr>,
}

impl Starts {
    pub(crate) fn new() -> Self {
        Self {
            tokens: limits::STARTS,
            counted: None,
            hosts: VecDeque::new(),
        }
    }

    /// Whether an association may begin now; if so, it is counted. `host` is its client's; [`None`]
    /// if we are the client.
    pub(crate) fn admits(&mut self, host: Option<IpAddr>, now: Instant) -> bool {
        let mut counted = *self.counted.get_or_insert(now);
        while self.tokens < limits::STARTS && counted + limits::START_INTERVAL <= now {
            self.tokens += 1;
            counted += limits::START_INTERVAL;
        }
        if self.tokens == limits::STARTS {
            counted = now;
        }
        self.counted = Some(counted);
        let is_known = host.is_some_and(|host| self.hosts.contains(&host));
        let reserved = if is_known { limits::STARTS_KEPT } else { 0 };
        if self.tokens <= reserved {
            return false;
        }
        self.tokens -= 1;
        if let Some(host) = host.filter(|_| !is_known) {
            if self.hosts.len() == limits::START_HOSTS {
                self.hosts.pop_front();
            }
            self.hosts.push_back(host);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_host_does_not_take_what_is_kept_for_others() {
        #[expect(clippy::disallowed_methods, reason = "tests need a start of time")]
        let start = Instant::now();
        let host = |number| Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)));
        let mut starts = Starts::new();
        let first = (0..100).filter(|_| starts.admits(host(1), start)).count();
        assert_eq!(first, 3);
        assert!(starts.admits(host(2), start) && starts.admits(host(3), start));
        assert!(!starts.admits(host(4), start) && !starts.admits(None, start));
        // Over ten minutes a host gets no more than its share.
        let later = |second| start + limits::START_INTERVAL * second / 2;
        let admitted = (1..=600).filter(|second| starts.admits(host(1), later(*second)));
        assert_eq!(admitted.count(), 298);
        assert!(starts.admits(host(4), later(600)));
    }
}
