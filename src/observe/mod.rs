//! What the outside can see of the engine.

mod calendar;
pub mod cdr;
pub mod dtmf;
pub(crate) mod levels;
pub mod load;
pub mod log;
pub mod pcap;
pub(crate) mod subsystem;
pub mod supervisor;
pub mod syslog;
pub mod xmlrpc;
