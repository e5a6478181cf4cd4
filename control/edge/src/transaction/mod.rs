//! Transactions: the four machines of RFC 3261 §17 with the Accepted state of RFC 6026.

pub(crate) mod timer;
