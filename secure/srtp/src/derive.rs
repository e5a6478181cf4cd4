//! Session keys from a master key (RFC 3711 §4.3, RFC 6188 §3, RFC 7714 §11), key derivation
//! rate 0: they are derived once.

use crate::keys::Keys;
use crate::transform::Aes;

/// What a session key is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Fills `out` with the session key of that label.
pub(crate) fn derive(keys: &Keys, label: Label, out: &mut [u8]) {
    let mut iv = [0; 16];
    for (to, from) in iv.iter_mut().zip(keys.salt()) {
        *to = *from;
    }
    let [_, _, _, _, _, _, _, at_label, ..] = &mut iv;
    *at_label ^= label as u8;
    out.fill(0);
    Aes::new(keys.key()).counter(&iv, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Suite;
    use crate::transform::tests::unhex;

    fn derived(suite: Suite, key: &str, salt: &str) -> [Vec<u8>; 3] {
        let keys = Keys::new(suite, &unhex(key), &unhex(salt)).unwrap();
        let mut out = [vec![0; suite.key_len()], vec![0; 20], vec![0; 14]];
        derive(&keys, Label::RtpEncryption, &mut out[0]);
        derive(&keys, Label::RtpAuthentication, &mut out[1]);
        derive(&keys, Label::RtpSalt, &mut out[2]);
        out
    }

    #[test]
    fn rfc3711_b3() {
        let [key, authentication, salt] = derived(
            Suite::AesCm128HmacSha1_80,
            "e1f97a0d3e018be0d64fa32c06de4139",
            "0ec675ad498afeebb6960b3aabe6",
        );
        assert_eq!(key, unhex("c61e7a93744f39ee10734afe3ff7a087"));
        assert_eq!(salt, unhex("30cbbc08863d8c85d49db34a9ae1"));
        assert_eq!(
            authentication,
            unhex("cebe321f6ff7716b6fd4ab49af256a156d38baa4")
        );
    }

    #[test]
    fn rfc6188_7_2() {
        let [key, authentication, salt] = derived(
            Suite::Aes256CmHmacSha1_80,
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
            "3b04803de51ee7c96423ab5b78d2",
        );
        assert_eq!(
            key,
            unhex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4")
        );
        assert_eq!(salt, unhex("fa31791685ca444a9e07c6c64e93"));
        assert_eq!(
            authentication,
            unhex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05")
        );
    }

    #[test]
    fn rfc6188_7_4() {
        let [key, authentication, salt] = derived(
            Suite::Aes192CmHmacSha1_80,
            "73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1",
            "c8522f3acd4ce86d5add78edbb11",
        );
        assert_eq!(
            key,
            unhex("31874736a8f1143870c26e4857d8a5b2c4a354407faadabb")
        );
        assert_eq!(salt, unhex("2372b82d639b6d8503a47adc0a6c"));
        assert_eq!(
            authentication,
            unhex("355b10973cd95b9eacf4061c7e1a7151e7cfbfcb")
        );
    }
}
