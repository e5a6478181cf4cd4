//! Session keys of one master key, for RTP and RTCP, and where things lie in a protected packet.

use crate::error::Refusal;
use crate::header::{RTCP_FIXED, RtpHeader, split, without};
use crate::keys::{Keys, KeysError, Mki};
use crate::limits::MAX_KEYS;
use crate::suite::CipherKind;
use crate::transform::{Aead, ENCRYPTED, Print, Separate};

/// One direction under one master key.
pub(crate) struct Session {
    keys: Keys,
    transforms: Transforms,
    layout: Layout,
}

enum Transforms {
    Aead { rtp: Aead, rtcp: Aead },
    Separate(Box<[Separate; 2]>),
}

/// Lengths of what follows a packet; equal for all keys of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    rtp_tag: usize,
    rtcp_tag: usize,
    mki: usize,
    /// AEAD: the tag comes with the payload, the identifier last.
    is_mki_last: bool,
}

/// Bytes of SRTCP's E bit and index.
const WORD: usize = 4;

impl Layout {
    fn of(keys: &Keys) -> Self {
        let suite = keys.suite();
        let is_aead = suite.cipher() == CipherKind::Gcm;
        let is_tagged = is_aead || !keys.parameters().unauthenticated_srtp;
        Self {
            rtp_tag: if is_tagged { suite.rtp_tag_len() } else { 0 },
            rtcp_tag: suite.rtcp_tag_len(),
            mki: keys.mki().map_or(0, Mki::length),
            is_mki_last: is_aead,
        }
    }

    /// Whether RTP has a tag.
    pub(crate) fn authenticates_rtp(&self) -> bool {
        self.rtp_tag > 0
    }

    /// What sealing adds to RTP.
    pub(crate) fn rtp_tail(&self) -> usize {
        self.rtp_tag + self.mki
    }

    /// What sealing adds to RTCP.
    pub(crate) fn rtcp_tail(&self) -> usize {
        self.rtcp_tag + WORD + self.mki
    }

    fn mki<'p>(&self, packet: &'p [u8], tag: usize) -> &'p [u8] {
        let behind = if self.is_mki_last { 0 } else { tag };
        let end = packet.len().saturating_sub(behind);
        let start = end.saturating_sub(self.mki);
        packet.get(start..end).unwrap_or_default()
    }
}

impl Session {
    pub(crate) fn new(keys: Keys) -> Result<Self, KeysError> {
        let transforms = match keys.suite().cipher() {
            CipherKind::Gcm => Transforms::Aead {
                rtp: Aead::rtp(&keys)?,
                rtcp: Aead::rtcp(&keys)?,
            },
            _ => Transforms::Separate(Box::new([Separate::rtp(&keys), Separate::rtcp(&keys)])),
        };
        Ok(Self {
            transforms,
            layout: Layout::of(&keys),
            keys,
        })
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Seals RTP of `len` bytes. `packet` is exactly as long as the sealed packet.
    pub(crate) fn seal_rtp(
        &self,
        packet: &mut [u8],
        len: usize,
        header: &RtpHeader,
        index: u64,
    ) -> Result<Print, Refusal> {
        let mki = self.layout.mki;
        let print = match &self.transforms {
            Transforms::Aead { rtp, .. } => rtp.seal_rtp(packet, len, header, index)?,
            Transforms::Separate(both) => {
                let [rtp, _] = &**both;
                rtp.seal_rtp(packet, len, header, index, mki)?
            }
        };
        self.write_mki(packet, self.layout.rtp_tag);
        Ok(print)
    }

    /// Finds the index among `candidates`, decrypts, and gives the length of the packet.
    /// A transform that destroys what does not authenticate tries the others on `copy`, if there
    /// is one.
    pub(crate) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: &RtpHeader,
        candidates: &[u64],
        copy: Option<&mut Vec<u8>>,
    ) -> Result<(usize, u64), Refusal> {
        let tail = self.layout.rtp_tail();
        let len = without(packet.len(), tail, header.payload_at)?;
        let index = match &self.transforms {
            Transforms::Aead { rtp, .. } => {
                let (sealed, _) = split(packet, len + self.layout.rtp_tag)?;
                open_one_of(rtp, sealed, header, candidates, copy)?
            }
            Transforms::Separate(both) => {
                let [rtp, _] = &**both;
                rtp.open_rtp(packet, len, header, candidates, self.layout.mki)?
            }
        };
        Ok((len, index))
    }

    /// Seals RTCP of `len` bytes. `packet` is exactly as long as the sealed packet.
    pub(crate) fn seal_rtcp(
        &self,
        packet: &mut [u8],
        len: usize,
        ssrc: u32,
        index: u32,
    ) -> Result<(), Refusal> {
        // A NULL cipher encrypts nothing, either: libsrtp refuses its E bit.
        let is_null = self.keys.suite().cipher() == CipherKind::Null;
        let is_clear = is_null || self.keys.parameters().unencrypted_srtcp;
        let word = if is_clear { index } else { index | ENCRYPTED };
        match &self.transforms {
            Transforms::Aead { rtcp, .. } => rtcp.seal_rtcp(packet, len, ssrc, word)?,
            Transforms::Separate(both) => {
                let [_, rtcp] = &**both;
                rtcp.seal_rtcp(packet, len, word, self.layout.mki)?;
            }
        }
        self.write_mki(packet, self.layout.rtcp_tag);
        Ok(())
    }

    /// The tag first, then `is_new` is asked about the index, then it decrypts. Gives the length
    /// of the packet and its index.
    pub(crate) fn open_rtcp(
        &self,
        packet: &mut [u8],
        ssrc: u32,
        is_new: impl Fn(u32) -> bool,
    ) -> Result<(usize, u32), Refusal> {
        let len = without(packet.len(), self.layout.rtcp_tail(), RTCP_FIXED)?;
        let before_word = match &self.transforms {
            Transforms::Aead { .. } => len + self.layout.rtcp_tag,
            Transforms::Separate(_) => len,
        };
        let (_, behind) = split(packet, before_word)?;
        let word = behind.first_chunk().copied().map_or(0, u32::from_be_bytes);
        let index = word & !ENCRYPTED;
        let replayed = Refusal::Replayed {
            index: index.into(),
        };
        match &self.transforms {
            Transforms::Aead { rtcp, .. } => {
                rtcp.open_rtcp(packet, len, ssrc, word)?;
                if !is_new(index) {
                    return Err(replayed);
                }
            }
            Transforms::Separate(both) => {
                let [_, rtcp] = &**both;
                rtcp.check_rtcp(packet, len, self.layout.mki)?;
                if !is_new(index) {
                    return Err(replayed);
                }
                rtcp.crypt_rtcp(packet, len, word)?;
            }
        }
        Ok((len, index))
    }

    fn write_mki(&self, packet: &mut [u8], tag: usize) {
        let Some(mki) = self.keys.mki() else {
            return;
        };
        let behind = if self.layout.is_mki_last { 0 } else { tag };
        let end = packet.len().saturating_sub(behind);
        let start = end.saturating_sub(self.layout.mki);
        mki.write(packet.get_mut(start..end).unwrap_or_default());
    }
}

fn open_one_of(
    aead: &Aead,
    sealed: &mut [u8],
    header: &RtpHeader,
    candidates: &[u64],
    copy: Option<&mut Vec<u8>>,
) -> Result<u64, Refusal> {
    let Some((first, others)) = candidates.split_first() else {
        return Err(Refusal::BadTag);
    };
    let Some(copy) = copy else {
        return aead.open_rtp(sealed, header, *first).map(|()| *first);
    };
    copy.clear();
    copy.extend_from_slice(sealed);
    if aead.open_rtp(sealed, header, *first).is_ok() {
        return Ok(*first);
    }
    for index in others {
        sealed.copy_from_slice(copy);
        if aead.open_rtp(sealed, header, *index).is_ok() {
            return Ok(*index);
        }
    }
    Err(Refusal::BadTag)
}

/// The master keys of what arrives, told apart by their identifiers.
pub(crate) struct Sessions {
    /// One at least.
    all: Vec<Session>,
    layout: Layout,
}

impl Sessions {
    /// Checks that packets can tell the keys apart.
    pub(crate) fn new(keys: Vec<Keys>) -> Result<Self, KeysError> {
        let count = keys.len();
        let Some(first) = keys.first().filter(|_| count <= MAX_KEYS) else {
            return Err(KeysError::Count(count));
        };
        let (suite, parameters) = (first.suite(), first.parameters());
        let length = first.mki().map(Mki::length);
        let layout = Layout::of(first);
        for (at, one) in keys.iter().enumerate() {
            if one.suite() != suite || one.parameters() != parameters {
                return Err(KeysError::Mixed);
            }
            let mut before = keys.iter().take(at);
            let is_twice = before.any(|other| other.mki() == one.mki());
            if is_twice || one.mki().map(Mki::length) != length {
                return Err(KeysError::Ambiguous);
            }
        }
        let all = keys.into_iter().map(Session::new);
        let all = all.collect::<Result<_, _>>()?;
        Ok(Self { all, layout })
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Keys> {
        self.all.iter().map(Session::keys)
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn for_rtp(&self, packet: &[u8]) -> Result<&Session, Refusal> {
        self.named(self.layout.mki(packet, self.layout.rtp_tag))
    }

    pub(crate) fn for_rtcp(&self, packet: &[u8]) -> Result<&Session, Refusal> {
        self.named(self.layout.mki(packet, self.layout.rtcp_tag))
    }

    fn named(&self, mki: &[u8]) -> Result<&Session, Refusal> {
        let is_named = |session: &&Session| match session.keys.mki() {
            Some(known) => known.is(mki),
            None => true,
        };
        self.all.iter().find(is_named).ok_or(Refusal::UnknownMki)
    }
}
