//! Output of the engine for others: logs, records, captures, notifications.

mod calendar;
pub mod cdr;
pub mod dtmf;
pub(crate) mod levels;
pub mod lines;
pub mod load;
pub mod log;
pub mod pcap;
pub(crate) mod subsystem;
pub mod supervisor;
pub mod syslog;
pub mod xmlrpc;
