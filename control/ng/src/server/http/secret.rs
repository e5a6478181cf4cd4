//! The shared secret of a listener (RFC 6750).

use std::fmt;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Token of `Authorization: Bearer`. `Debug` does not show it; dropping wipes it.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// `None` if empty: that would guard nothing.
    pub fn new(secret: impl Into<String>) -> Option<Self> {
        let secret = Zeroizing::new(secret.into());
        (!secret.is_empty()).then_some(Self(secret))
    }

    /// Whether a request brings it. Takes as long for a nearly right one.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return false;
        };
        let Some((scheme, token)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ")
            && bool::from(token.trim_ascii().ct_eq(self.0.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_secret_will_do() {
        let secret = Secret::new("s3cret").unwrap();
        let brings = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(value.map(|value| (AUTHORIZATION, value.parse().unwrap())));
            secret.is_in(&headers)
        };
        assert!(brings(Some("Bearer s3cret")) && brings(Some("bearer s3cret")));
        for wrong in [
            "Bearer s3cre",
            "Bearer s3crets",
            "Bearer ",
            "Basic s3cret",
            "s3cret",
            "",
        ] {
            assert!(!brings(Some(wrong)), "{wrong}");
        }
        assert!(!brings(None));
        assert!(Secret::new("").is_none());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
