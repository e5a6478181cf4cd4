//! The kernel side of a flow: eBPF programs, their loader, and the tables shared with them.
//!
//! [`steer`] makes the datagrams of every leased port arrive at a few sockets, with no socket per
//! port. [`flows`] forwards settled streams without any socket. [`reserve`] keeps the system from giving
//! media ports away. [`layout`] is what both sides agree on.
#![deny(unsafe_code)]

pub mod flows;
pub mod layout;
pub mod limits;
pub mod reserve;
pub mod rights;
pub mod steer;
mod sys;
