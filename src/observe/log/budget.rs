//! How much of the log strangers may fill (spec: security, row 16).
//!
//! Every request of a call writes a few lines. Who may ask without having been named, or makes calls
//! through the edge, could fill the disk with them; so each such host has a budget of logged
//! requests, and what is left out is counted.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::limits::{STRANGER_LOG_BURST, STRANGER_LOG_INTERVAL, STRANGER_LOG_SOURCES};

/// How often it is told what was left out.
const TOLD: Duration = Duration::from_secs(60);

/// The budgets of all strangers.
#[derive(Debug, Default)]
pub struct LogBudget(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    hosts: HashMap<IpAddr, Account, RandomState>,
    /// Of hosts that find no room in the table.
    others: Option<Account>,
    left_out: u64,
    told_at: Option<Instant>,
}

/// What one host may still have logged.
#[derive(Clone, Copy, Debug)]
struct Account {
    requests: u32,
    /// Until when the budget is made up for.
    at: Instant,
}

impl Account {
    fn new(now: Instant) -> Self {
        Self {
            requests: STRANGER_LOG_BURST,
            at: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        let earned = passed.as_nanos() / STRANGER_LOG_INTERVAL.as_nanos();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.requests = self.requests.saturating_add(earned).min(STRANGER_LOG_BURST);
        match self.requests {
            STRANGER_LOG_BURST => self.at = now,
            _ => self.at += STRANGER_LOG_INTERVAL * earned,
        }
    }

    fn spend(&mut self) -> bool {
        let left = self.requests.checked_sub(1);
        self.requests = left.unwrap_or(0);
        left.is_some()
    }
}

/// Requests that were left out, to be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut(pub u64);

impl LogBudget {
    /// Whether a request of a stranger is logged; now and then beside it, how many were not.
    pub fn spend(&self, from: IpAddr, now: Instant) -> (bool, Option<LeftOut>) {
        let mut books = self.0.lock();
        let host = host(from);
        if !books.hosts.contains_key(&host) && books.hosts.len() >= STRANGER_LOG_SOURCES {
            books.hosts.retain(|_, account| {
                account.refill(now);
                account.requests < STRANGER_LOG_BURST
            });
        }
        let has_room = books.hosts.len() < STRANGER_LOG_SOURCES;
        let account = match has_room || books.hosts.contains_key(&host) {
            true => books.hosts.entry(host).or_insert_with(|| Account::new(now)),
            false => books.others.get_or_insert_with(|| Account::new(now)),
        };
        account.refill(now);
        let is_logged = account.spend();
        books.left_out += u64::from(!is_logged);
        let told_at = *books.told_at.get_or_insert(now);
        let is_due = books.left_out > 0 && now.saturating_duration_since(told_at) >= TOLD;
        let told = is_due.then(|| {
            books.told_at = Some(now);
            LeftOut(std::mem::take(&mut books.left_out))
        });
        (is_logged, told)
    }
}

/// Who an address belongs to: an IPv6 host has a network of 64 bits to itself.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(budget: &LogBudget, from: &str, now: Instant) -> bool {
        budget.spend(from.parse().unwrap(), now).0
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "where virtual time begins")]
    fn a_host_has_its_burst_and_then_one_request_an_interval() {
        let (budget, t0) = (LogBudget::default(), Instant::now());
        let logged = (0..5_000).filter(|_| spend(&budget, "192.0.2.1", t0));
        assert_eq!(logged.count(), STRANGER_LOG_BURST as usize);
        assert!(spend(&budget, "192.0.2.2", t0), "others have their own");
        let later = t0 + STRANGER_LOG_INTERVAL * 3;
        let logged = (0..100).filter(|_| spend(&budget, "192.0.2.1", later));
        assert_eq!(logged.count(), 3);
        // Of one network of IPv6, all are one.
        let logged = (0..2_000).filter(|n| spend(&budget, &format!("2001:db8::{n:x}"), t0));
        assert_eq!(logged.count(), STRANGER_LOG_BURST as usize);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "where virtual time begins")]
    fn what_is_left_out_is_told_once_a_minute() {
        let (budget, t0) = (LogBudget::default(), Instant::now());
        let from = "192.0.2.1".parse().unwrap();
        for _ in 0..STRANGER_LOG_BURST + 7 {
            assert_eq!(budget.spend(from, t0).1, None);
        }
        let told = budget.spend(from, t0 + TOLD);
        assert_eq!(told, (true, Some(LeftOut(7))));
        assert_eq!(budget.spend(from, t0 + TOLD * 2).1, None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "where virtual time begins")]
    fn the_table_of_hosts_is_bounded() {
        let (budget, t0) = (LogBudget::default(), Instant::now());
        for n in 0..u32::try_from(STRANGER_LOG_SOURCES).unwrap() + 500 {
            budget.spend(IpAddr::from(n.to_be_bytes()), t0);
        }
        assert_eq!(budget.0.lock().hosts.len(), STRANGER_LOG_SOURCES);
        // Those that have all of their budget again make room.
        budget.spend("192.0.2.1".parse().unwrap(), t0 + TOLD);
        assert_eq!(budget.0.lock().hosts.len(), 1);
    }
}
