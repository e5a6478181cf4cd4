//! End to end: the real binary, real sockets, real peers.
#![expect(clippy::disallowed_methods, reason = "tests wait for other processes")]

mod common;
mod edge_calls;
mod kamailio_calls;

mod ng_protocol;
mod relay_basics;
mod sigterm;
