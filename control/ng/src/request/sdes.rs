//! SDES options (§8.4).

use super::escape::unescape;
use crate::names::{names, same};

/// Options for offering and answering `a=crypto`. Suite names are kept as sent; compare them with
/// [`SdesOptions::names_suite`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SdesOptions {
    /// Do not offer SDES.
    pub off: bool,
    /// `UNENCRYPTED_SRTP` in every offered suite: set, cleared, or untouched.
    pub unencrypted_srtp: Option<bool>,
    /// `UNENCRYPTED_SRTCP`, likewise.
    pub unencrypted_srtcp: Option<bool>,
    /// `UNAUTHENTICATED_SRTP`, likewise.
    pub unauthenticated_srtp: Option<bool>,
    /// Append the key lifetime `|2^31`.
    pub lifetime: bool,
    /// Keep the base64 padding of keys.
    pub pad: bool,
    /// Keep the suite and key of the previous answer.
    pub keep_selected: bool,
    /// Add no suite of our own.
    pub no_new: bool,
    /// Prefer SDES over DTLS when the sender offers both.
    pub prefer: bool,
    /// Suites of the whitelist.
    pub only: Vec<String>,
    /// Suites of the blacklist.
    pub no: Vec<String>,
    /// Order of suites in our offer.
    pub order: Vec<String>,
    /// Preference for the suite answered to the offerer.
    pub offerer_pref: Vec<String>,
}

names! {
    pub(crate) enum SdesValue {
        Off = b"off" | b"no" | b"disable" | b"disabled",
        UnencryptedSrtp = b"unencrypted-srtp",
        UnencryptedSrtcp = b"unencrypted-srtcp",
        UnauthenticatedSrtp = b"unauthenticated-srtp",
        EncryptedSrtp = b"encrypted-srtp",
        EncryptedSrtcp = b"encrypted-srtcp",
        AuthenticatedSrtp = b"authenticated-srtp",
        Lifetime = b"lifetime",
        Pad = b"pad",
        Static = b"static",
        NoNew = b"nonew" | b"no-new",
        Prefer = b"prefer" | b"priority",
    }
}

impl SdesOptions {
    /// Whether `list` (one of [`Self::only`] and the like) names this suite.
    pub fn names_suite(list: &[String], suite: &str) -> bool {
        list.iter().any(|name| name.eq_ignore_ascii_case(suite))
    }

    pub(crate) fn apply(&mut self, value: &[u8]) -> bool {
        match SdesValue::lookup(value) {
            Some(SdesValue::Off) => self.off = true,
            Some(SdesValue::UnencryptedSrtp) => self.unencrypted_srtp = Some(true),
            Some(SdesValue::UnencryptedSrtcp) => self.unencrypted_srtcp = Some(true),
            Some(SdesValue::UnauthenticatedSrtp) => self.unauthenticated_srtp = Some(true),
            Some(SdesValue::EncryptedSrtp) => self.unencrypted_srtp = Some(false),
            Some(SdesValue::EncryptedSrtcp) => self.unencrypted_srtcp = Some(false),
            Some(SdesValue::AuthenticatedSrtp) => self.unauthenticated_srtp = Some(false),
            Some(SdesValue::Lifetime) => self.lifetime = true,
            Some(SdesValue::Pad) => self.pad = true,
            Some(SdesValue::Static) => self.keep_selected = true,
            Some(SdesValue::NoNew) => self.no_new = true,
            Some(SdesValue::Prefer) => self.prefer = true,
            None => return self.apply_suites(value),
        }
        true
    }

    fn apply_suites(&mut self, value: &[u8]) -> bool {
        type List = fn(&mut SdesOptions) -> &mut Vec<String>;
        const PREFIXES: [(&[u8], List); 4] = [
            (b"only-", |sdes| &mut sdes.only),
            (b"no-", |sdes| &mut sdes.no),
            (b"order:", |sdes| &mut sdes.order),
            (b"offerer-pref:", |sdes| &mut sdes.offerer_pref),
        ];
        for (prefix, list) in PREFIXES {
            if let Some((head, names)) = value.split_at_checked(prefix.len())
                && same(head, prefix)
                && !names.is_empty()
            {
                let names = names.split(|&b| b == b';').filter(|name| !name.is_empty());
                let names = names.map(|name| String::from_utf8_lossy(&unescape(name)).into_owned());
                let list = list(self);
                let room = crate::limits::LIST_MEMBERS.saturating_sub(list.len());
                list.extend(names.take(room));
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_words() {
        let mut sdes = SdesOptions::default();
        for value in [
            "no-AES_CM_128_HMAC_SHA1_32",
            "only-AEAD_AES_256_GCM",
            "order:A;B",
            "offerer_pref:C;",
            "unencrypted_srtp",
            "encrypted_srtcp",
            "nonew",
        ] {
            assert!(sdes.apply(value.as_bytes()), "{value}");
        }
        assert!(!sdes.apply(b"nonsense"));
        assert_eq!(sdes.no, ["AES_CM_128_HMAC_SHA1_32"]);
        assert_eq!(sdes.order, ["A", "B"]);
        assert_eq!(sdes.offerer_pref, ["C"]);
        assert!(SdesOptions::names_suite(&sdes.only, "aead_aes_256_gcm"));
        assert_eq!(
            (sdes.unencrypted_srtp, sdes.unencrypted_srtcp),
            (Some(true), Some(false))
        );
        assert!(sdes.no_new && !sdes.off);
    }
}
