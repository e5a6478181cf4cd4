//! Sources whose packets are opened or sealed elsewhere for a while, as by the kernel: keys and state
//! go there, and the state comes back. Until then its packets are refused here ([`Refusal::Lent`]).

use std::fmt;

use zeroize::Zeroize;

#[cfg(doc)]
use crate::Refusal;
use crate::derive::{Label, derive};
use crate::keys::{Keys, Parameters};
use crate::open::{Open, Reception};
use crate::seal::Seal;
use crate::suite::{CipherKind, Suite};
use crate::window::{TAIL, Window};

/// Session keys of RTP under `AES_CM_128_HMAC_SHA1` (RFC 3711 §4.3). Printing shows no key; memory is
/// wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct RtpSession {
    /// Of AES-128.
    pub cipher: [u8; 16],
    /// The salt of the counter.
    pub salt: [u8; 14],
    /// Of HMAC-SHA1.
    pub authentication: [u8; 20],
    /// Length of the tag: 10 or 4.
    pub tag_bytes: usize,
}

/// How far the RTP of a source got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpReach {
    /// The source.
    pub ssrc: u32,
    /// Rollover counter and sequence number of the highest packet, 48 bits.
    pub highest: u64,
    /// A bit for each of the 64 packets up to it that was used; bit 0 is its own. What is before counts
    /// as used.
    pub window: u64,
}

impl Drop for RtpSession {
    fn drop(&mut self) {
        self.cipher.zeroize();
        self.salt.zeroize();
        self.authentication.zeroize();
    }
}

impl fmt::Debug for RtpSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RtpSession").finish_non_exhaustive()
    }
}

impl Keys {
    /// Session keys of RTP, where that is all that there is to know: `AES_CM_128_HMAC_SHA1_80` or `_32`
    /// without identifier and session parameters.
    pub fn rtp_session(&self) -> Option<RtpSession> {
        let suite = self.suite();
        let is_plain = self.mki().is_none() && self.parameters() == Parameters::default();
        let is_known = matches!(
            suite,
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32
        );
        if !is_plain || !is_known || suite.cipher() == CipherKind::Gcm {
            return None;
        }
        let mut session = RtpSession {
            cipher: [0; 16],
            salt: [0; 14],
            authentication: [0; 20],
            tag_bytes: suite.rtp_tag_len(),
        };
        derive(self, Label::RtpEncryption, &mut session.cipher);
        derive(self, Label::RtpSalt, &mut session.salt);
        derive(self, Label::RtpAuthentication, &mut session.authentication);
        Some(session)
    }
}

impl Open {
    /// What somebody else needs to open the RTP of a source, who does so from now on. `None`: another
    /// suite, several keys, nothing of the source was authenticated lately, or it was lent out before.
    pub fn lend(&mut self, ssrc: u32) -> Option<(RtpSession, RtpReach)> {
        let session = {
            let (sessions, _) = self.parts();
            let mut keys = sessions.keys();
            let (Some(only), None) = (keys.next(), keys.next()) else {
                return None;
            };
            only.rtp_session()?
        };
        let source = self.source_mut(ssrc)?;
        let Reception::Running(window) = &source.reception else {
            return None;
        };
        let lent = (session, reach(ssrc, window));
        if source.is_doubtful || std::mem::replace(&mut source.is_lent, true) {
            return None;
        }
        Some(lent)
    }

    /// The source is opened here again. What was received anywhere is not taken again.
    pub fn take_back(&mut self, reach: RtpReach) {
        if let Some(source) = self.source_mut(reach.ssrc) {
            let before = match &source.reception {
                Reception::Running(window) => Some(window),
                Reception::Unknown | Reception::Expected(_) => None,
            };
            source.reception = Reception::Running(joined(before, reach));
            source.is_lent = false;
        }
    }
}

impl Seal {
    /// What somebody else needs to seal the RTP of a source, who does so from now on. `None`: another
    /// suite, nothing of the source was sealed yet, or it was lent out before.
    pub fn lend(&mut self, ssrc: u32) -> Option<(RtpSession, RtpReach)> {
        let session = self.parts().0.rtp_session()?;
        let source = self.source_mut(ssrc)?;
        let lent = (session, reach(ssrc, source.rtp.as_ref()?));
        match std::mem::replace(&mut source.is_lent, true) {
            true => None,
            false => Some(lent),
        }
    }

    /// The source is sealed here again. What was sealed anywhere is not sealed again: not even a
    /// repeated packet, whose tag is not known here.
    pub fn take_back(&mut self, reach: RtpReach) {
        if let Some(source) = self.source_mut(reach.ssrc) {
            source.rtp = Some(joined(source.rtp.as_ref(), reach));
            source.is_lent = false;
        }
    }
}

fn reach<const WORDS: usize>(ssrc: u32, window: &Window<WORDS>) -> RtpReach {
    RtpReach {
        ssrc,
        highest: window.highest(),
        window: window.tail(),
    }
}

/// What was used here or there.
fn joined<const WORDS: usize>(before: Option<&Window<WORDS>>, reach: RtpReach) -> Window<WORDS> {
    let Some(before) = before else {
        return Window::with_tail(reach.highest, reach.window);
    };
    // Both have gone on, which they were not to: nothing up to there is certain.
    if before.highest() > reach.highest {
        return Window::full(before.highest());
    }
    let here = (0..TAIL).filter(|age| {
        let index = reach.highest.checked_sub(*age);
        index.is_some_and(|index| index <= before.highest() && !before.place(index).is_new())
    });
    let window = here.fold(reach.window, |bits, age| bits | 1 << age);
    Window::with_tail(reach.highest, window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    const SSRC: u32 = 7;

    fn keys(suite: Suite) -> Keys {
        Keys::new(suite, &vec![3; suite.key_len()], &vec![5; suite.salt_len()]).unwrap()
    }

    fn packet(sequence: u16) -> Vec<u8> {
        let mut packet = vec![0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3];
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet
    }

    fn sealed(seal: &mut Seal, sequence: u16) -> Result<Vec<u8>, Refusal> {
        let mut buffer = packet(sequence);
        let length = buffer.len();
        buffer.resize(length + 16, 0);
        let sealed = seal.rtp(&mut buffer, length)?;
        buffer.truncate(sealed);
        Ok(buffer)
    }

    #[test]
    fn what_was_opened_elsewhere_is_not_opened_again() {
        let keys = keys(Suite::AesCm128HmacSha1_80);
        let mut phone = Seal::new(keys.clone()).unwrap();
        let mut open = Open::new(vec![keys]).unwrap();
        let packets: Vec<_> = (0..100).map(|at| sealed(&mut phone, at).unwrap()).collect();
        let takes = |open: &mut Open, at: usize| open.rtp(&mut packets[at].clone()).is_ok();
        assert!(open.lend(SSRC).is_none());
        assert!([0, 1, 2, 5].iter().all(|at| takes(&mut open, *at)));
        let (session, reach) = open.lend(SSRC).unwrap();
        assert_eq!(session.tag_bytes, 10);
        assert!(open.lend(SSRC).is_none(), "once");
        assert_eq!(open.rtp(&mut packets[50].clone()), Err(Refusal::Lent));
        assert_eq!((reach.highest, reach.window), (5, 0b11_1001));
        // Packets 3 and 80 to 90 came there, of these not 85.
        let away = RtpReach {
            ssrc: SSRC,
            highest: 90,
            window: 0x7ff & !(1 << 5),
        };
        open.take_back(away);
        assert!(
            [0, 3, 4, 5, 20, 80, 90]
                .iter()
                .all(|at| !takes(&mut open, *at))
        );
        assert!([85, 70, 91, 99].iter().all(|at| takes(&mut open, *at)));
        // It cannot go back.
        open.take_back(away);
        assert!((0..=99).all(|at| !takes(&mut open, at)));
    }

    #[test]
    fn what_was_sealed_elsewhere_is_not_sealed_again() {
        let mut seal = Seal::new(keys(Suite::AesCm128HmacSha1_32)).unwrap();
        assert!(seal.lend(SSRC).is_none());
        sealed(&mut seal, 10).unwrap();
        let (session, reach) = seal.lend(SSRC).unwrap();
        assert_eq!((session.tag_bytes, reach.highest, reach.window), (4, 10, 1));
        assert!(seal.lend(SSRC).is_none(), "once");
        assert_eq!(sealed(&mut seal, 11), Err(Refusal::Lent));
        seal.take_back(RtpReach {
            highest: 20,
            window: 0b101,
            ..reach
        });
        for refused in [18, 20] {
            let result = sealed(&mut seal, refused);
            assert!(
                matches!(result, Err(Refusal::KeystreamReused { .. })),
                "{refused}"
            );
        }
        assert!(sealed(&mut seal, 19).is_ok() && sealed(&mut seal, 21).is_ok());
    }

    #[test]
    fn what_needs_more_than_session_keys_is_not_lent() {
        for suite in [Suite::AeadAes128Gcm, Suite::Aes256CmHmacSha1_80] {
            assert!(keys(suite).rtp_session().is_none(), "{suite}");
        }
        let plain = keys(Suite::AesCm128HmacSha1_80);
        assert!(plain.rtp_session().is_some());
        let mki = crate::keys::Mki::new(1, 1).unwrap();
        assert!(plain.clone().with_mki(mki).rtp_session().is_none());
        let parameters = Parameters {
            unencrypted_srtp: true,
            ..Parameters::default()
        };
        assert!(plain.with_parameters(parameters).rtp_session().is_none());
    }
}
