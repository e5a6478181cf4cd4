//! Protocols of a packet: its kind, whether its source may be heard, and its reception quality.
//! Sans-IO: no socket, clock or thread.

pub mod demux;
pub mod dtmf;
pub mod extension;
pub mod g711;
pub mod latch;
pub mod own_report;
pub mod quality;
pub mod reach;
pub mod red;
pub mod report;
pub mod rtcp;
pub mod rtp;
pub(crate) mod udp;
