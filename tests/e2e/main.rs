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
mod dtls_openssl;
mod dtls_phone;
mod dtmf;
mod edge;
mod edge_calls;
mod hostile;
mod kamailio_calls;
mod kamailio_scenarios;
mod kamailio_secure;
mod libsrtp;
mod links;
mod logging;
mod media_destinations;
mod nat_latching;
mod offload;

mod ng_protocol;
mod privileges;
mod proxy_fixtures;
mod readers;
mod relay_basics;
mod rungs;
mod services;
mod shadow;
mod sigterm;
mod srtp_peers;
mod srtp_sdes;
mod transcoding;
mod transform;
mod webrtc_aiortc;
mod webrtc_bundle;
mod webrtc_chromium;
mod webrtc_paths;
mod webrtc_services;
