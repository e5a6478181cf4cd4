//! Vectors of RFC 7714 §16 and §17: they begin at session keys.

use zeroize::Zeroizing;

use super::*;
use crate::header::{RtpHeader, rtcp_ssrc};
use crate::keys::AesKey;

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

pub(crate) fn unhex_array<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().unwrap()
}

const RTP: &str = "8040f17b8041f8d35501a0b2\
    47616c6c696120657374206f6d6e6973206469766973\
    6120696e207061727465732074726573";
const RTCP: &str = "81c8000d4d617273\
    4e5450314e545032525450200000042a0000e930\
    4c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const RTCP_INDEX: u32 = 0x5d4;

fn aes128() -> AesKey {
    AesKey::Aes128(unhex_array("000102030405060708090a0b0c0d0e0f"))
}

fn aes256() -> AesKey {
    AesKey::Aes256(unhex_array(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ))
}

fn aead(key: &AesKey, encrypts: bool) -> Aead {
    let salt = unhex_array("517569642070726f2071756f");
    Aead::of_session(key, Zeroizing::new(salt), encrypts).unwrap()
}

fn rtp(key: &AesKey, encrypts: bool, expected: &str) {
    let aead = aead(key, encrypts);
    let plain = unhex(RTP);
    let header = RtpHeader::parse(&plain).unwrap();
    let mut packet = [plain.clone(), vec![0; 16]].concat();
    aead.seal_rtp(&mut packet, plain.len(), &header, 0xf17b)
        .unwrap();
    assert_eq!(packet, unhex(expected));
    aead.open_rtp(&mut packet, &header, 0xf17b).unwrap();
    assert_eq!(packet[..plain.len()], plain);
}

fn rtcp(key: &AesKey, word: u32, expected: &str) {
    let aead = aead(key, true);
    let plain = unhex(RTCP);
    let ssrc = rtcp_ssrc(&plain).unwrap();
    let mut packet = [plain.clone(), vec![0; 20]].concat();
    aead.seal_rtcp(&mut packet, plain.len(), ssrc, word)
        .unwrap();
    assert_eq!(packet, unhex(expected));
    aead.open_rtcp(&mut packet, plain.len(), ssrc, word)
        .unwrap();
    assert_eq!(packet[..plain.len()], plain);
}

#[test]
fn rfc7714_16_1_1() {
    rtp(
        &aes128(),
        true,
        "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a\
         51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
    );
}

#[test]
fn rfc7714_16_1_3() {
    let expected = format!("{RTP}22493f82d2bce397e9d79e3b19aa4216");
    rtp(&aes128(), false, &expected);
}

#[test]
fn rfc7714_16_2_3() {
    let expected = format!("{RTP}a866d5910f887463067ceefec45215d4");
    rtp(&aes256(), false, &expected);
}

#[test]
fn rfc7714_16_2_1() {
    rtp(
        &aes256(),
        true,
        "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a02\
         76ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
    );
}

#[test]
fn rfc7714_17_1() {
    rtcp(
        &aes128(),
        ENCRYPTED | RTCP_INDEX,
        "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda\
         4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
    );
}

#[test]
fn rfc7714_17_2() {
    rtcp(
        &aes256(),
        ENCRYPTED | RTCP_INDEX,
        "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be\
         8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
    );
}

#[test]
fn rfc7714_17_3() {
    rtcp(
        &aes128(),
        RTCP_INDEX,
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeef\
         deadbeefdeadbeefdeadbeef841dd9683dd78ec92ae58790125f62b3000005d4",
    );
}

#[test]
fn rfc7714_17_4() {
    rtcp(
        &aes256(),
        RTCP_INDEX,
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeef\
         deadbeefdeadbeefdeadbeef91db4afbfeee5a978fab4393ed2615fe000005d4",
    );
}
