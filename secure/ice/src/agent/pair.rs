//! Candidate pairs and their states (RFC 8445 §6.1.2).

use std::net::SocketAddr;
use std::time::Instant;

use super::Role;
use super::candidate::{Component, hash};
use crate::limits;
use crate::stun::TransactionId;

/// A local candidate with one of the peer.
#[derive(Debug)]
pub(super) struct Pair {
    /// Names the pair in queues; never used again within a generation.
    pub(super) id: u32,
    pub(super) component: Component,
    /// Place in the list of local candidates.
    pub(super) local: u8,
    pub(super) remote: SocketAddr,
    pub(super) remote_priority: u32,
    pub(super) foundation: u64,
    pub(super) priority: u64,
    pub(super) stage: Stage,
    /// When the peer answered last.
    pub(super) proven: Option<Instant>,
    /// A request or a response with the right MESSAGE-INTEGRITY came on it.
    pub(super) is_authenticated: bool,
    /// The peer sent USE-CANDIDATE.
    pub(super) is_nominated: bool,
}

/// State of a pair (RFC 8445 §6.1.2.6).
#[derive(Debug)]
pub(super) enum Stage {
    Frozen,
    Waiting,
    InProgress(Check),
    Succeeded,
    /// Succeeded, and is checked again with USE-CANDIDATE.
    Nominating(Check),
    Failed,
    /// Consent is gone: RFC 7675 §5.1 forbids to use the pair again with these credentials.
    Lost,
}

/// A check that waits for its response.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) transaction: TransactionId,
    /// Role that it was sent in.
    pub(super) role: Role,
    /// How often it was sent.
    pub(super) sent: u8,
    /// How often it may be repeated.
    pub(super) repeats: u8,
    /// When it is sent again, or has failed.
    pub(super) next: Instant,
}

impl Check {
    pub(super) fn new(transaction: TransactionId, role: Role, repeats: u8, now: Instant) -> Self {
        Self {
            transaction,
            role,
            sent: 1,
            repeats,
            next: now + limits::RETRANSMIT,
        }
    }

    /// Starts to count anew, with the same transaction: the peer was heard.
    pub(super) fn renew(&mut self, now: Instant) {
        self.sent = 1;
        self.repeats = limits::RETRANSMISSIONS;
        self.next = now + limits::RETRANSMIT;
    }

    /// Whether it has been sent often enough.
    pub(super) fn is_spent(&self) -> bool {
        self.sent > self.repeats
    }

    /// Counts one more transmission.
    pub(super) fn again(&mut self, now: Instant) {
        self.next = now + limits::RETRANSMIT * (1 << self.sent.min(limits::RETRANSMISSIONS));
        self.sent += 1;
    }
}

impl Pair {
    pub(super) fn check(&self) -> Option<&Check> {
        match &self.stage {
            Stage::InProgress(check) | Stage::Nominating(check) => Some(check),
            _ => None,
        }
    }

    pub(super) fn check_mut(&mut self) -> Option<&mut Check> {
        match &mut self.stage {
            Stage::InProgress(check) | Stage::Nominating(check) => Some(check),
            _ => None,
        }
    }

    /// Whether it has succeeded.
    pub(super) fn works(&self) -> bool {
        matches!(self.stage, Stage::Succeeded | Stage::Nominating(_))
    }

    /// Whether a check is still to be started.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Frozen | Stage::Waiting)
    }

    /// Whether the peer's last answer is recent enough to send on the strength of it.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.proven
            .is_some_and(|proven| proven + limits::CONSENT_EXPIRY > now)
    }

    pub(super) fn rank(&mut self, role: Role, local_priority: u32) {
        self.priority = priority(role, local_priority, self.remote_priority);
    }
}

/// Priority of a pair (RFC 8445 §6.1.2.3).
pub(super) fn priority(role: Role, local: u32, remote: u32) -> u64 {
    let (controlling, controlled) = match role {
        Role::Controlling => (local, remote),
        Role::Controlled => (remote, local),
    };
    let (low, high) = (controlling.min(controlled), controlling.max(controlled));
    // Priorities end at 2^31 - 1; what a peer signals does not.
    let sum = (u64::from(low) << 32).saturating_add(2 * u64::from(high));
    sum.saturating_add(u64::from(controlling > controlled))
}

/// Foundation of a pair: that of the remote candidate on one local address.
pub(super) fn foundation(local: SocketAddr, remote: u64) -> u64 {
    let ip = match local.ip() {
        std::net::IpAddr::V4(ip) => hash(&ip.octets()),
        std::net::IpAddr::V6(ip) => hash(&ip.octets()),
    };
    ip ^ remote.rotate_left(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_is_that_of_the_controlling_side_for_both() {
        let (ours, theirs) = (2_130_706_431, 1_694_498_815);
        let here = priority(Role::Controlling, ours, theirs);
        assert_eq!(here, priority(Role::Controlled, theirs, ours));
        assert_eq!(here, (1_694_498_815 << 32) + 2 * 2_130_706_431 + 1);
        assert!(here > priority(Role::Controlled, ours, theirs));
        assert_eq!(priority(Role::Controlled, u32::MAX, u32::MAX), u64::MAX);
    }
}
