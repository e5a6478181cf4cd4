//! Keys, packets and pairs of both directions for the tests of this crate.

use crate::{Keys, MAX_OVERHEAD, Open, Progress, Refusal, Seal, Suite};

pub(crate) const SSRC: u32 = 0xcafe_babe;

pub(crate) fn keys(suite: Suite) -> Keys {
    keys_of(suite, 0x5a)
}

pub(crate) fn keys_of(suite: Suite, seed: u8) -> Keys {
    let len = suite.key_len() + suite.salt_len();
    let material: Vec<u8> = (0..len)
        .map(|at| seed ^ byte(at).wrapping_mul(37))
        .collect();
    Keys::from_sdes(suite, &material).unwrap()
}

/// The lowest eight bits.
pub(crate) fn byte(at: usize) -> u8 {
    at.to_le_bytes()[0]
}

pub(crate) fn pair(suite: Suite) -> (Seal, Open) {
    pair_of(keys(suite))
}

pub(crate) fn pair_of(keys: Keys) -> (Seal, Open) {
    (
        Seal::new(keys.clone()).unwrap(),
        Open::new(vec![keys]).unwrap(),
    )
}

/// A 20 ms packet of SSRC.
pub(crate) fn rtp(sequence: u16) -> Vec<u8> {
    rtp_of(SSRC, sequence, 160)
}

pub(crate) fn rtp_of(ssrc: u32, sequence: u16, payload: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 3, 0xe8]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..payload).map(byte));
    packet
}

/// A receiver report.
pub(crate) fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 201, 0, 7];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x77; 24]);
    packet
}

pub(crate) fn seal(seal: &mut Seal, plain: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut buffer = [plain, &[0; MAX_OVERHEAD]].concat();
    let len = seal.rtp(&mut buffer, plain.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

pub(crate) fn seal_rtcp(seal: &mut Seal, plain: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut buffer = [plain, &[0; MAX_OVERHEAD]].concat();
    let len = seal.rtcp(&mut buffer, plain.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

pub(crate) fn open(open: &mut Open, sealed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut buffer = sealed.to_vec();
    let len = open.rtp(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

pub(crate) fn open_rtcp(open: &mut Open, sealed: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut buffer = sealed.to_vec();
    let len = open.rtcp(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

/// What a sender with the rollover counter of `index` sends, whatever came before.
pub(crate) fn sealed_at(suite: Suite, index: u64) -> Vec<u8> {
    let mut sender = Seal::new(keys(suite)).unwrap();
    if let Some(before) = index.checked_sub(1) {
        sender.resume(rtp_progress(before)).unwrap();
    }
    seal(&mut sender, &rtp((index & 0xffff).try_into().unwrap())).unwrap()
}

pub(crate) fn rtp_progress(index: u64) -> Progress {
    Progress {
        ssrc: SSRC,
        rtp: Some(index),
        rtcp: None,
    }
}

/// All that can be told of a receiver's state.
pub(crate) fn picture(open: &Open) -> String {
    serde_json::to_string(&open.save()).unwrap()
}
