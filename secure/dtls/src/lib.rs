//! DTLS-SRTP sessions for a relay (RFC 5764): handshakes, the check of certificate fingerprints
//! (RFC 8122), and SRTP keys. No socket, no thread, no clock.
//!
//! One [`Session`] per component of a media (RTP, and RTCP unless multiplexed). Its driver
//!
//! 1. makes it when the role is known, with what the SDP said; what came earlier is kept in a
//!    [`HeldFlight`]. It says who the peer is ([`Session::set_peer`]) as far as it knows;
//! 2. gives it every datagram that [`is_dtls`] and whose source may speak ([`Session::handle_datagram`]),
//!    and the time it asked for ([`Session::poll_timeout`], [`Session::handle_timeout`]);
//! 3. after each of these calls takes everything from [`Session::poll_transmit`] and
//!    [`Session::poll_event`].
//!
//! A handshake costs a fraction of a millisecond of CPU, with RSA more: call this from threads that
//! no packet waits for. [`Session`] is [`Send`].
//!
//! DTLS 1.2 only (1.0 is refused), ECDHE with AES-128-GCM or ChaCha20-Poly1305, signed with ECDSA or RSA;
//! certificates of both sides, no resumption, no renegotiation. A server asks every client for a
//! cookie and remembers nothing until it comes back (RFC 6347 §4.2.1). The messages are made by
//! `rtc-dtls`; what was put in front of it, and why, stands in `library.rs`.
//!
//! Randomness is the crypto library's, not the caller's: its keys can be made from no other.
#![forbid(unsafe_code)]

mod association;
mod certificate;
mod cookie;
mod established;
mod fingerprint;
mod held;
mod library;
mod limits;
mod profile;
mod reassembly;
mod session;
mod starts;
mod wire;

pub use certificate::{Certificate, CertificateConfig, CertificateError, KeyKind, SignatureHash};
pub use established::ConnectedState;
pub use fingerprint::{Fingerprint, FingerprintError, HashFunction};
pub use held::{Held, HeldFlight};
pub use profile::{Profile, Secret, SrtpKeys};
pub use session::{
    CloseReason, Connected, Counters, Event, FailReason, Peer, Role, Session, SessionConfig,
    SessionError, Transmit, UnderWay,
};
pub use wire::{is_client_hello, is_dtls};

/// Sessions go from thread to thread.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Session>();
};
