//! SRTP of flows: keys as the programs use them, and state on its way down and up (spec: dataplane
//! §9).
//!
//! Under `AES_CM_128_HMAC_SHA1_80` and `_32` (RFC 3711, RFC 4568 §6.2) a flow opens what arrives, seals
//! what leaves, or both, for one synchronisation source. Whoever owns the keys hands over how far the
//! source got ([`Reach`]) with [`Flows::insert_srtp`], uses neither keys nor numbers until
//! [`Flows::withdraw_srtp`] has given it back, and then goes on from there: no packet is accepted
//! twice, and no keystream is used twice.
//!
//! The programs use AES by tables: how long it takes depends on the key, which somebody who runs on
//! the same core at the same time might measure.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::flow::canonical;
use super::layout::{Crypt, Half, hold};
use super::{Flow, Flows, FlowsError, SourceFigures};

/// Bytes of the longest packet that is opened or sealed, header and tag included.
pub const MAX_SRTP: usize = 480;

/// Looks at a state that a program is busy with, before the CPU is given to others: a packet takes
/// some microseconds.
const LOOKS: u32 = 1 << 12;

/// Times that the CPU is given away: seconds on a busy host.
const YIELDS: u32 = 1 << 14;

/// Session keys of one direction (RFC 3711 §4.3), key derivation rate 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SrtpKeys {
    /// Of AES-128.
    pub cipher: [u8; 16],
    /// The salt of the counter.
    pub salt: [u8; 14],
    /// Of HMAC-SHA1.
    pub authentication: [u8; 20],
    /// Length of the tag.
    pub tag: Tag,
}

/// Length of the authentication tag (RFC 4568 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// 80 bits.
    Long,
    /// 32 bits.
    Short,
}

/// How far a source got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Rollover counter and sequence number of the highest packet, 48 bits.
    pub highest: u64,
    /// A bit for each of the 64 packets up to it that was used; bit 0 is its own. All before count as
    /// used.
    pub window: u64,
}

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SrtpEnd {
    /// Its keys.
    pub keys: SrtpKeys,
    /// What was received, or sent, under them.
    pub reach: Reach,
}

/// What a flow opens and seals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Srtp {
    /// What arrives comes under these; `None`: as plain RTP.
    pub open: Option<SrtpEnd>,
    /// What leaves goes under these; `None`: as plain RTP.
    pub seal: Option<SrtpEnd>,
}

/// How far the source of a flow got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Of what arrived.
    pub open: Option<Reach>,
    /// Of what left.
    pub seal: Option<Reach>,
}

impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeys")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

impl Tag {
    fn bytes(self) -> u32 {
        match self {
            Self::Long => 10,
            Self::Short => 4,
        }
    }
}

impl Flows {
    /// As [`Self::insert`], for a flow whose [`Flow::opens`] and [`Flow::seals`] say which ends `srtp`
    /// has. Nobody else may use the keys from now on.
    ///
    /// # Errors
    /// As [`Self::insert`]; [`FlowsError::Keys`]: the flow names other ends, or these flows were
    /// loaded without SRTP.
    pub fn insert_srtp(
        &mut self,
        flow: &Flow,
        srtp: &Srtp,
        sources: &[SourceFigures],
    ) -> Result<(), FlowsError> {
        let named = [flow.opens, flow.seals];
        if !self.has_srtp || named != [srtp.open.is_some(), srtp.seal.is_some()] {
            return Err(FlowsError::Keys(canonical(flow.local)));
        }
        self.insert_with(flow, Some(srtp), sources)
    }

    /// Ends a flow as [`Self::withdraw`] does, and gives its state back: from now on no program opens
    /// or seals a packet of it, and what one is busy with is waited for, which takes microseconds.
    ///
    /// # Errors
    /// As [`Self::withdraw`]; [`FlowsError::Keys`]: the state cannot be had, and the keys must not be
    /// used again.
    pub fn withdraw_srtp(&mut self, local: SocketAddr) -> Result<Reached, FlowsError> {
        let local = canonical(local);
        let entry = self.in_force.get(&local).copied();
        let entry = entry.ok_or(FlowsError::NoFlow(local))?;
        let flow = Flow::of_spec(&entry.spec).ok_or(FlowsError::NoFlow(local))?;
        self.withdraw_plain(local)?;
        let crypt = self.crypt(entry.spec.stats);
        let crypt = crypt.ok_or(FlowsError::Keys(local))?;
        let taken = crypt.take_back();
        let reached = Reached {
            open: flow.opens.then(|| crypt.open.reach()),
            seal: flow.seals.then(|| crypt.seal.reach()),
        };
        crypt.end();
        match taken {
            true => Ok(reached),
            false => Err(FlowsError::Keys(local)),
        }
    }

    pub(super) fn crypt(&self, index: u32) -> Option<&Crypt> {
        let entries = self.keys.memory.entries();
        entries.get(usize::try_from(index).ok()?)
    }
}

impl Crypt {
    /// Writes keys and state of a flow that is not in force yet.
    pub(super) fn begin(&self, srtp: &Srtp) {
        for (half, end) in [(&self.open, &srtp.open), (&self.seal, &srtp.seal)] {
            half.write(end.as_ref());
        }
        self.hold.store(hold::FREE, Release);
    }

    /// Keeps the programs from using it; false: one of them does not end.
    fn take_back(&self) -> bool {
        for _ in 0..YIELDS {
            for _ in 0..LOOKS {
                let taken =
                    self.hold
                        .compare_exchange_weak(hold::FREE, hold::USER, Acquire, Relaxed);
                if taken.is_ok() || taken == Err(hold::USER) {
                    return true;
                }
                std::hint::spin_loop();
            }
            std::thread::yield_now();
        }
        false
    }

    /// Forgets the keys, which nobody can use any more.
    pub(super) fn end(&self) {
        self.hold.store(hold::USER, Relaxed);
        for half in [&self.open, &self.seal] {
            half.write(None);
        }
    }
}

impl Half {
    fn reach(&self) -> Reach {
        Reach {
            highest: self.highest.load(Relaxed),
            window: self.window.load(Relaxed),
        }
    }

    fn write(&self, end: Option<&SrtpEnd>) {
        let prepared = end.map(Prepared::of).unwrap_or_default();
        let reach = end.map(|end| end.reach).unwrap_or_default();
        self.highest.store(reach.highest, Relaxed);
        self.window.store(reach.window, Relaxed);
        let words = [
            (&self.keys[..], &prepared.keys[..]),
            (&self.salt, &prepared.salt),
            (&self.inner, &prepared.inner),
            (&self.outer, &prepared.outer),
        ];
        for (to, from) in words {
            for (to, from) in to.iter().zip(from) {
                to.store(*from, Relaxed);
            }
        }
        self.tag.store(prepared.tag, Relaxed);
    }
}

/// Keys in the form that saves the programs work.
struct Prepared {
    keys: [u32; 44],
    salt: [u32; 4],
    inner: [u32; 5],
    outer: [u32; 5],
    tag: u32,
}

impl Default for Prepared {
    fn default() -> Self {
        Self {
            keys: [0; 44],
            salt: [0; 4],
            inner: [0; 5],
            outer: [0; 5],
            tag: 0,
        }
    }
}

impl Prepared {
    fn of(end: &SrtpEnd) -> Self {
        let keys = &end.keys;
        let mut salt = [0; 16];
        for (to, from) in salt.iter_mut().zip(keys.salt) {
            *to = from;
        }
        Self {
            keys: expand(&keys.cipher),
            salt: words(&salt),
            inner: pad(&keys.authentication, 0x36),
            outer: pad(&keys.authentication, 0x5c),
            tag: keys.tag.bytes(),
        }
    }
}

/// Big-endian words of bytes.
fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, four) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_be_bytes(four.try_into().unwrap_or_default());
    }
    words
}

/// Round keys of AES-128 (FIPS 197 §5.2).
#[expect(
    clippy::indexing_slicing,
    reason = "constant bounds, and a table for every byte"
)]
fn expand(key: &[u8; 16]) -> [u32; 44] {
    let mut keys = [0; 44];
    keys[..4].copy_from_slice(&words::<4>(key));
    let mut round: u8 = 1;
    for at in 4..44 {
        let mut word: u32 = keys[at - 1];
        if at % 4 == 0 {
            let bytes = word.rotate_left(8).to_be_bytes();
            word = u32::from_be_bytes(bytes.map(|byte| S_BOX[usize::from(byte)]));
            word ^= u32::from(round) << 24;
            round = double(round);
        }
        keys[at] = keys[at - 4] ^ word;
    }
    keys
}

/// SHA-1 behind a pad of HMAC (RFC 2104 §2).
fn pad(key: &[u8; 20], pad: u8) -> [u32; 5] {
    let mut block = [pad; 64];
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
    sha1(&block)
}

/// SHA-1 of one whole block, before the end mark (FIPS 180-4 §6.1.2).
#[expect(clippy::indexing_slicing, reason = "constant bounds")]
fn sha1(block: &[u8; 64]) -> [u32; 5] {
    const START: [u32; 5] = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];
    let mut schedule = [0_u32; 80];
    schedule[..16].copy_from_slice(&words::<16>(block));
    for at in 16..80 {
        let mixed = schedule[at - 3] ^ schedule[at - 8] ^ schedule[at - 14] ^ schedule[at - 16];
        schedule[at] = mixed.rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = START;
    for (at, word) in schedule.iter().enumerate() {
        let (mixed, constant) = match at {
            0..20 => (d ^ (b & (c ^ d)), 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => ((b & c) | (d & (b | c)), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let sum = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e);
        let sum = sum.wrapping_add(constant).wrapping_add(*word);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, sum);
    }
    let mut state = START;
    for (word, added) in state.iter_mut().zip([a, b, c, d, e]) {
        *word = word.wrapping_add(added);
    }
    state
}

/// Twice an element of the field of AES (FIPS 197 §4.2).
const fn double(byte: u8) -> u8 {
    byte << 1 ^ if byte & 0x80 != 0 { 0x1b } else { 0 }
}

/// FIPS 197 §5.1.1: the powers of 3 reach every element but 0, and those of its inverse meet them.
#[expect(clippy::indexing_slicing, reason = "a table for every byte")]
const S_BOX: [u8; 256] = {
    let mut table = [0; 256];
    let (mut element, mut inverse) = (1_u8, 1_u8);
    loop {
        element ^= double(element);
        inverse ^= inverse << 1;
        inverse ^= inverse << 2;
        inverse ^= inverse << 4;
        if inverse & 0x80 != 0 {
            inverse ^= 0x09;
        }
        let turned = inverse ^ inverse.rotate_left(1) ^ inverse.rotate_left(2);
        let turned = turned ^ inverse.rotate_left(3) ^ inverse.rotate_left(4);
        table[element as usize] = turned ^ 0x63;
        if element == 1 {
            break;
        }
    }
    table[0] = 0x63;
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 197 A.1.
    #[test]
    fn round_keys_are_those_of_fips_197() {
        let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes();
        let keys = expand(&key);
        assert_eq!(keys[4..6], [0xa0fa_fe17, 0x8854_2cb1]);
        assert_eq!(
            keys[40..],
            [0xd014_f9a8, 0xc9ee_2589, 0xe13f_0cc8, 0xb663_0ca6]
        );
    }

    /// FIPS 180-4, "abc".
    #[test]
    fn one_block_of_sha1() {
        let mut block = [0; 64];
        block[..4].copy_from_slice(b"abc\x80");
        block[63] = 24;
        let expected = [
            0xa999_3e36,
            0x4706_816a,
            0xba3e_2571,
            0x7850_c26c,
            0x9cd0_d89d,
        ];
        assert_eq!(sha1(&block), expected);
    }

    #[test]
    fn no_key_is_printed() {
        let keys = SrtpKeys {
            cipher: [0xa7; 16],
            salt: [0xa7; 14],
            authentication: [0xa7; 20],
            tag: Tag::Long,
        };
        let text = format!("{keys:?}");
        assert!(!text.contains("167") && !text.contains("a7"), "{text}");
    }
}
