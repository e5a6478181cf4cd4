//! End to end: the real binary, real sockets, real peers.
#![expect(clippy::disallowed_methods, reason = "tests wait for other processes")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test ends at the first surprise"
)]

mod bleed;
mod common;
mod ctl;
mod demo;
mod differential;
mod dtls_phone;
mod dtmf;
mod edge;
mod edge_calls;
mod hostile;
mod kamailio_calls;
mod kamailio_scenarios;
mod links;
mod logging;
mod media_destinations;
mod nat_latching;

mod ng_protocol;
mod privileges;
mod proxy_fixtures;
mod readers;
mod relay_basics;
mod rungs;
mod services;
mod sigterm;
mod srtp_peers;
mod srtp_sdes;
mod transform;
mod webrtc_aiortc;
mod webrtc_chromium;
