//! Every bound of the crate, with the reason for its number.

use std::time::Duration;

/// Bytes of one datagram that are looked at. Records hold 2^14 bytes (RFC 6347 §4.1); handshake
/// datagrams of real peers stay below 1500.
pub(crate) const DATAGRAM_BYTES: usize = 16 * 1024;
/// Records taken from one datagram. The fullest one of a handshake (client, everything small) has 5.
pub(crate) const RECORDS: usize = 16;
/// Bytes of one handshake message. A self-signed certificate with a 4096-bit RSA key has 1.4 kB,
/// a chain of three of them fits.
pub(crate) const MESSAGE_BYTES: usize = 8 * 1024;
/// Messages that may be incomplete or early at once. The longest flight has 6 (server).
pub(crate) const MESSAGES_AHEAD: u16 = 8;
/// Bytes of all incomplete messages of one handshake: twice the largest message.
pub(crate) const UNFINISHED_BYTES: usize = 16 * 1024;
/// Separate pieces of one incomplete message. At the smallest MTU (200) the largest message has 48.
pub(crate) const PIECES: usize = 64;
/// Records under the new keys that are kept until the keys are there; a peer sends one Finished,
/// and repeats it.
pub(crate) const EARLY_RECORDS: usize = 4;
/// Bytes of such a record: Finished under any cipher stays below 100.
pub(crate) const EARLY_RECORD_BYTES: usize = 256;
/// Records of use that one handshake takes. A flight of 8 kB at the smallest MTU is 48 of them, and is
/// repeated 7 times.
pub(crate) const HANDSHAKE_RECORDS: u32 = 512;
/// How often a flight is sent again because the peer repeats its own. On top of the timer's 7.
pub(crate) const ANSWERED_REPEATS: u32 = 16;
/// Characters of a reason that the library gives. Its own are shorter; some quote what was received.
pub(crate) const REASON_CHARS: usize = 120;
/// Handshakes that a passive session has side by side: one of the peer, two of strangers.
pub(crate) const ATTEMPTS: usize = 3;
/// Of these, from one IP address, so that a host alone cannot have all.
pub(crate) const ATTEMPTS_OF_A_HOST: usize = 2;
/// How often a client tries again after a certificate that is not the peer's: a stranger who has seen
/// its hello can answer sooner.
pub(crate) const MISMATCHES: u32 = 3;
/// Bytes of a ClientHello. The largest real ones, with post-quantum key shares that DTLS 1.2 has no use
/// for, have 1.6 kB.
pub(crate) const HELLO_BYTES: usize = 2048;
/// ClientHellos in pieces that are put together at a time.
pub(crate) const HELLOS: usize = 2;
/// Associations that may begin at once in a session, as a server or as a client, established or not.
/// A peer begins one, two if it changes its mind about the path.
pub(crate) const STARTS: u32 = 5;
/// Of these, kept for hosts that are not among the last [`START_HOSTS`] that began one.
pub(crate) const STARTS_KEPT: u32 = 2;
/// Hosts of the last starts that are remembered.
pub(crate) const START_HOSTS: usize = 8;
/// Datagrams that wait for `poll_transmit`. The largest flight at the smallest MTU has 12; what is
/// over is lost, as on a network.
pub(crate) const OUTGOING_DATAGRAMS: usize = 64;
/// Events that wait for `poll_event`; the driver takes them after every call, which makes 2.
pub(crate) const EVENTS: usize = 16;
/// Certificate fingerprints of one media: five hash functions, several certificates (RFC 8122 §5).
pub(crate) const FINGERPRINTS: usize = 32;
/// Datagrams kept for a session whose role is not known yet: one flight, which is a ClientHello
/// in up to four pieces.
pub(crate) const HELD_DATAGRAMS: usize = 4;
/// Bytes of one such datagram: an Ethernet frame.
pub(crate) const HELD_DATAGRAM_BYTES: usize = 1500;
/// Smallest and largest datagram that a session may be told to send. Below 200 the headers (25 bytes
/// of each fragment) outweigh the contents.
pub(crate) const MTU: std::ops::RangeInclusive<usize> = 200..=DATAGRAM_BYTES;

/// First wait before a flight is sent again; doubled each time. RFC 6347 §4.2.4.1 says 1 s and lets
/// applications that are sensitive to delay take less: an answered call is mute until this is over.
/// 400 ms is above the round trip of a satellite-free path, so that nothing is sent twice for nothing.
pub(crate) const FIRST_RETRANSMIT: Duration = Duration::from_millis(400);
/// Longest wait between two sendings.
pub(crate) const LAST_RETRANSMIT: Duration = Duration::from_millis(6_400);
/// After this, one more association may begin. A client's patience is five times as long.
pub(crate) const START_INTERVAL: Duration = Duration::from_secs(2);
/// A cookie is good for this long, and up to twice as long: a client that repeats its hello comes back
/// with it after 30 s at the latest.
pub(crate) const COOKIE_WINDOW: Duration = Duration::from_secs(60);
/// Between two sendings of a flight that answer repetitions of the peer's.
pub(crate) const REPEAT_GAP: Duration = Duration::from_millis(50);
/// From the first proven hello to keys. A caller has hung up by then.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(30);
/// A client starts over if a peer that has answered once says nothing new for so long: it was repeated
/// five times to in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// An alert in the clear is believed if nothing else comes for so long; a forged one costs nothing
/// as long as the peer goes on.
pub(crate) const DOUBT: Duration = Duration::from_millis(1_500);
/// Record numbers by which the network's repetitions are told from the peer's: more than a flight has.
pub(crate) const RECORD_NUMBERS: usize = 64;
/// Before a client tries again after a handshake that went wrong.
pub(crate) const RECONNECT: Duration = Duration::from_secs(1);
/// An unfinished handshake of another source is given up for a new one, if there is no more room, when
/// it has made no progress for this long; its peer would have repeated itself twice.
pub(crate) const STALLED: Duration = Duration::from_secs(2);
/// How long the last flight can be sent again: longer than a peer goes on repeating (RFC 6347 §4.2.4
/// says two maximum segment lifetimes for TCP's sake; real peers give up after 60 s).
pub(crate) const LAST_FLIGHT: Duration = Duration::from_secs(60);
/// Record numbers that a restored session leaves unused, since its predecessor may have sent
/// something after it was saved.
pub(crate) const RESTORE_SKIP: u64 = 1024;
