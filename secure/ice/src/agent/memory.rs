//! What an agent remembers of requests, so that strangers gain nothing by sending many, or one again.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::limits;
use crate::stun::TransactionId;

/// How many unauthenticated requests may be answered: a token bucket.
#[derive(Debug)]
pub(super) struct Replies {
    tokens: u32,
    /// Up to when tokens were added.
    counted: Option<Instant>,
}

impl Replies {
    pub(super) fn new() -> Self {
        Self {
            tokens: limits::ERRORS,
            counted: None,
        }
    }

    /// Whether one more may be answered now; if so, it is counted.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let mut counted = *self.counted.get_or_insert(now);
        while self.tokens < limits::ERRORS && counted + limits::ERROR_INTERVAL <= now {
            self.tokens += 1;
            counted += limits::ERROR_INTERVAL;
        }
        if self.tokens == limits::ERRORS {
            counted = now;
        }
        self.counted = Some(counted);
        let admits = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        admits
    }
}

/// The last authenticated requests and where each came from. The integrity of a request does not cover
/// its source: whoever has seen one can send it again from elsewhere.
#[derive(Debug, Default)]
pub(super) struct Requests(VecDeque<(TransactionId, SocketAddr)>);

impl Requests {
    /// Whether the request came from another source before; if it is a new one, it is remembered.
    pub(super) fn is_replayed(&mut self, transaction: TransactionId, from: SocketAddr) -> bool {
        if let Some((_, before)) = self.0.iter().find(|(known, _)| *known == transaction) {
            return *before != from;
        }
        if self.0.len() == limits::REQUESTS_KEPT {
            self.0.pop_front();
        }
        self.0.push_back((transaction, from));
        false
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
