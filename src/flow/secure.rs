//! The protection of media between us and one party: SRTP and SRTCP (RFC 3711; spec:
//! media-behaviour §7).
//!
//! Keys belong to a media, not to a port: its RTP and its RTCP flow share them, and so do all port
//! sets that its party may send to. What was received and sent under a key must be known wherever
//! the key is used, else a packet passes twice, or a keystream covers two packets; so a
//! [`Protection`] is shared by handle, and moves with its flows from worker to worker. Its locks
//! are never contended: all flows of a call live on one worker.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use windlass_srtp::{
    Freshness, Keys, KeysError, MAX_OVERHEAD, Open, OpenState, Refusal, Seal, SealState, StateError,
};

pub use windlass_srtp::Numbering;

use super::stats::DropReason;
use crate::media::demux::{Protocol, protocol};

/// What protects the packets between us and a party.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Security {
    /// Nothing: RTP and RTCP in the clear, or datagrams that are not looked into.
    #[default]
    Plain,
    /// Keys that are not known yet: nothing is taken from the party, and nothing goes to it.
    Awaited,
    /// SRTP and SRTCP.
    Keyed(Protection),
}

impl Security {
    /// How far numbers of packets from the party are to be believed.
    pub fn numbering(&self) -> Numbering {
        match self {
            Self::Keyed(protection) if protection.is_authenticated() => Numbering::Proven,
            _ => Numbering::Claimed,
        }
    }
}

/// SRTP and SRTCP under the keys of one party, with what was received and sent under them.
///
/// Two are equal if they are the same one.
#[derive(Clone)]
pub struct Protection(Arc<Inner>);

struct Inner {
    /// Tells it from all others of the process, also from earlier ones.
    number: u64,
    open_keys: Vec<Keys>,
    seal_keys: Keys,
    // Shared with the protection that has the same keys of this direction.
    open: Arc<Mutex<Open>>,
    seal: Arc<Mutex<Seal>>,
    late: Option<Late>,
}

/// Keys that the party had before. Nothing is sealed under them.
#[derive(Clone)]
struct Late {
    open: Arc<Mutex<Open>>,
    /// When no packet under them can be on its way any more.
    until: Instant,
}

/// A [`Protection`] as data: keys, and how far each source got in both directions. What is written
/// gives the keys away.
#[derive(Clone, Serialize, Deserialize)]
pub struct ProtectionState {
    open_keys: Vec<Keys>,
    seal_keys: Keys,
    open: OpenState,
    seal: SealState,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Protection {
    /// The protection of a media whose party sends under one of `open`, and hears what is under
    /// `seal`.
    ///
    /// # Errors
    /// The keys do not go together.
    pub fn new(open: Vec<Keys>, seal: Keys) -> Result<Self, KeysError> {
        let opener = Arc::new(Mutex::new(Open::new(open.clone())?));
        let sealer = Arc::new(Mutex::new(Seal::new(seal.clone())?));
        Ok(Self::of(open, seal, opener, sealer, None))
    }

    /// New keys for the same media. Numbers of packets go on, as RFC 3711 §8.1 and the reference
    /// have it; this one stays as it is, and in force until the other is. A direction whose keys stay
    /// the same is shared by both. Until `until`, what the party sent under the keys of this one can
    /// be opened ([`Self::open_late`]).
    ///
    /// # Errors
    /// The keys do not go together.
    pub fn rekeyed(&self, open: Vec<Keys>, seal: Keys, until: Instant) -> Result<Self, KeysError> {
        let keeps = is_same_list(&self.0.open_keys, &open);
        // Under keys that authenticate nothing, anybody's packet would be a late one.
        let late = match keeps {
            true => self.0.late.clone(),
            false => self.is_authenticated().then(|| Late {
                open: self.0.open.clone(),
                until,
            }),
        };
        let opener = match keeps {
            true => self.0.open.clone(),
            false => {
                let state = self.0.open.lock().save();
                let mut opener = match Open::restore(state, BEFORE_IN_FORCE) {
                    Ok(opener) => opener,
                    Err(_) => Open::new(open.clone())?,
                };
                opener.rekey(open.clone())?;
                Arc::new(Mutex::new(opener))
            }
        };
        let sealer = match is_same(&self.0.seal_keys, &seal) {
            true => self.0.seal.clone(),
            false => {
                let state = self.0.seal.lock().save();
                let mut sealer = match Seal::restore(state, BEFORE_IN_FORCE) {
                    Ok(sealer) => sealer,
                    Err(_) => Seal::new(seal.clone())?,
                };
                sealer.rekey(seal.clone())?;
                Arc::new(Mutex::new(sealer))
            }
        };
        Ok(Self::of(open, seal, opener, sealer, late))
    }

    /// What a successor needs to go on: no packet passes twice, and no keystream is used twice.
    pub fn save(&self) -> ProtectionState {
        ProtectionState {
            open_keys: self.0.open_keys.clone(),
            seal_keys: self.0.seal_keys.clone(),
            open: self.0.open.lock().save(),
            seal: self.0.seal.lock().save(),
        }
    }

    /// Goes on where another stopped; `freshness` says what may have happened since.
    ///
    /// # Errors
    /// The state is of a later version, or damaged.
    pub fn restore(state: ProtectionState, freshness: Freshness) -> Result<Self, StateError> {
        let open = Arc::new(Mutex::new(Open::restore(state.open, freshness)?));
        let seal = Arc::new(Mutex::new(Seal::restore(state.seal, freshness)?));
        Ok(Self::of(state.open_keys, state.seal_keys, open, seal, None))
    }

    fn of(
        open_keys: Vec<Keys>,
        seal_keys: Keys,
        open: Arc<Mutex<Open>>,
        seal: Arc<Mutex<Seal>>,
        late: Option<Late>,
    ) -> Self {
        Self(Arc::new(Inner {
            number: NUMBERS.fetch_add(1, Relaxed),
            open_keys,
            seal_keys,
            open,
            seal,
            late,
        }))
    }

    /// Name of the suite that the party is sent (RFC 4568 §6.2).
    pub fn suite(&self) -> &'static str {
        self.0.seal_keys.suite().name()
    }

    /// Whether these are its keys.
    pub fn has_keys(&self, open: &[Keys], seal: &Keys) -> bool {
        is_same_list(&self.0.open_keys, open) && is_same(&self.0.seal_keys, seal)
    }

    /// Whether what another one opens can be sealed by this one to the same bytes.
    pub fn seals_like(&self, opener: &Self) -> bool {
        matches!(opener.0.open_keys.as_slice(), [keys] if is_same(keys, &self.0.seal_keys))
    }

    /// Whether packets of the party prove by a tag that they are its own.
    pub fn is_authenticated(&self) -> bool {
        let mut keys = self.0.open_keys.iter();
        keys.all(|keys| keys.suite().rtp_tag_len() > 0 && !keys.parameters().unauthenticated_srtp)
    }

    /// Names of the suites: of what comes in, and of what goes out if that is another.
    pub fn suites(&self) -> String {
        let seal = self.0.seal_keys.suite().name();
        match self.0.open_keys.first().map(|keys| keys.suite().name()) {
            Some(open) if open != seal => format!("{open} in, {seal} out"),
            _ => seal.to_owned(),
        }
    }

    /// What signalling left out of the protection (RFC 4568 §6.3), in the words of SDP; `None`:
    /// nothing.
    pub fn left_out(&self) -> Option<String> {
        let parameters = self.0.seal_keys.parameters();
        let words = [
            (parameters.unencrypted_srtp, "UNENCRYPTED_SRTP"),
            (parameters.unencrypted_srtcp, "UNENCRYPTED_SRTCP"),
            (parameters.unauthenticated_srtp, "UNAUTHENTICATED_SRTP"),
        ];
        let words = words.into_iter().filter(|(is_out, _)| *is_out);
        let words: Vec<&str> = words.map(|(_, word)| word).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Authenticates and decrypts a packet of the party in place; what is left of it is plain.
    ///
    /// # Errors
    /// It is not the party's, or was here before. The packet is void then.
    pub fn open(&self, packet: &mut Vec<u8>, protocol: Protocol) -> Result<(), DropReason> {
        let mut open = self.0.open.lock();
        let opened = match protocol {
            Protocol::Rtp => open.rtp(packet),
            Protocol::Rtcp => open.rtcp(packet),
            Protocol::Stun | Protocol::Dtls | Protocol::Unknown => {
                return Err(DropReason::Malformed);
            }
        };
        packet.truncate(opened?);
        Ok(())
    }

    /// Whether packets may still be on their way that are under the party's keys of before.
    pub fn expects_late(&self, now: Instant) -> bool {
        self.0.late.as_ref().is_some_and(|late| now < late.until)
    }

    /// The same as [`Self::open`] under the keys that the party had before, for RTP alone: RTCP is
    /// numbered under its key and may go out as it came, and the next report makes up for a lost one.
    ///
    /// # Errors
    /// It is not the party's, was here before, or comes too late.
    pub fn open_late(&self, packet: &mut Vec<u8>, now: Instant) -> Result<(), DropReason> {
        let late = self.0.late.as_ref().filter(|late| now < late.until);
        let late = late.ok_or(DropReason::NotAuthentic)?;
        let opened = late.open.lock().rtp(packet)?;
        packet.truncate(opened);
        Ok(())
    }

    /// Encrypts a packet for the party in place. Its number is authentic, or our own.
    ///
    /// # Errors
    /// It cannot go out under this key: another packet with its number has, or it is neither RTP nor
    /// RTCP.
    pub fn seal(&self, packet: &mut Vec<u8>) -> Result<(), DropReason> {
        self.seal_numbered(packet, Numbering::Proven)
    }

    /// As [`Self::seal`], with a number that is to be believed as far as `numbering` says.
    ///
    /// # Errors
    /// It cannot go out under this key: another packet with its number has, its number is far ahead of
    /// the others without proof, or it is neither RTP nor RTCP.
    pub fn seal_numbered(
        &self,
        packet: &mut Vec<u8>,
        numbering: Numbering,
    ) -> Result<(), DropReason> {
        let (protocol, length) = (protocol(packet), packet.len());
        packet.resize(length + MAX_OVERHEAD, 0);
        let mut seal = self.0.seal.lock();
        let sealed = match protocol {
            Protocol::Rtp => seal.rtp_numbered(packet, length, numbering),
            Protocol::Rtcp => seal.rtcp(packet, length),
            Protocol::Stun | Protocol::Dtls | Protocol::Unknown => {
                return Err(DropReason::Malformed);
            }
        };
        packet.truncate(sealed?);
        Ok(())
    }
}

/// A new protection is made while packets still go by the old one: numbers of RTCP that were used in
/// between are skipped.
const BEFORE_IN_FORCE: Freshness = Freshness::Stale { rtp: 0, rtcp: 1024 };

fn is_same_list(known: &[Keys], keys: &[Keys]) -> bool {
    known.len() == keys.len() && known.iter().zip(keys).all(|(a, b)| is_same(a, b))
}

fn is_same(a: &Keys, b: &Keys) -> bool {
    a.is_same_master(b) && a.mki() == b.mki() && a.parameters() == b.parameters()
}

impl From<Refusal> for DropReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Replayed { .. } => Self::Replayed,
            _ => Self::NotAuthentic,
        }
    }
}

impl fmt::Debug for ProtectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProtectionState(…)")
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protection({})", self.0.seal_keys.suite().name())
    }
}

impl PartialEq for Protection {
    fn eq(&self, other: &Self) -> bool {
        self.0.number == other.0.number
    }
}

impl Eq for Protection {}

impl Hash for Protection {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
    }
}
