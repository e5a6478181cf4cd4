//! Ufrag and password of one side (RFC 8445 §5.3, RFC 8839 §5.4).

use std::fmt;

use rand::RngCore;
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::limits;

/// `ice-ufrag` and `ice-pwd` of one side and generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Credentials {
    ufrag: Box<str>,
    pwd: Password,
}

impl Credentials {
    /// Checks lengths (1 to 256 bytes) and that the ufrag has no colon, which would make USERNAME
    /// ambiguous. Peers that send less than RFC 8445 §5.3 asks for are served.
    pub fn new(ufrag: &str, pwd: &str) -> Result<Self, CredentialsError> {
        for text in [ufrag, pwd] {
            if text.is_empty() || text.len() > limits::CREDENTIAL {
                return Err(CredentialsError::Length(text.len()));
            }
        }
        if ufrag.contains(':') {
            return Err(CredentialsError::Colon);
        }
        Ok(Self {
            ufrag: ufrag.into(),
            pwd: Password(Zeroizing::new(pwd.to_owned())),
        })
    }

    /// New ones: 8 and 26 alphanumeric characters, 47 and 154 bits (spec: sdp-rewriting §10).
    pub fn generate(mut rng: &mut dyn RngCore) -> Self {
        Self {
            ufrag: Alphanumeric.sample_string(&mut rng, UFRAG_LENGTH).into(),
            pwd: Password(Zeroizing::new(
                Alphanumeric.sample_string(&mut rng, PASSWORD_LENGTH),
            )),
        }
    }

    /// `ice-ufrag`.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// `ice-pwd`.
    pub fn pwd(&self) -> &Password {
        &self.pwd
    }
}

/// `ice-pwd`. Not shown by `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The text, for SDP and for keys.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What makes ICE credentials unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The ufrag has a colon, which separates the two of a USERNAME.
    #[error("colon in ufrag")]
    Colon,
    /// Not 1 to 256 bytes.
    #[error("{0} bytes, expected 1 to {max}", max = limits::CREDENTIAL)]
    Length(usize),
}

const UFRAG_LENGTH: usize = 8;
const PASSWORD_LENGTH: usize = 26;

/// As stored; becomes [`Credentials`] by the checks of `new`.
#[derive(Deserialize)]
struct Parts {
    ufrag: String,
    pwd: Zeroizing<String>,
}

impl TryFrom<Parts> for Credentials {
    type Error = CredentialsError;

    fn try_from(parts: Parts) -> Result<Self, CredentialsError> {
        Self::new(&parts.ufrag, &parts.pwd)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn generated_ones_have_the_lengths_of_the_spec() {
        let mut rng = StdRng::seed_from_u64(1);
        let credentials = Credentials::generate(&mut rng);
        assert_eq!(credentials.ufrag().len(), 8);
        assert_eq!(credentials.pwd().expose().len(), 26);
        let all = format!("{}{}", credentials.ufrag(), credentials.pwd().expose());
        assert!(all.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(credentials, Credentials::generate(&mut rng));
    }

    #[test]
    fn the_password_is_not_shown() {
        let credentials = Credentials::new("abcd", "secret-secret-secret-secret").unwrap();
        assert!(!format!("{credentials:?}").contains("secret"));
    }

    #[test]
    fn unusable_ones_are_refused() {
        assert_eq!(Credentials::new("", "x"), Err(CredentialsError::Length(0)));
        assert_eq!(Credentials::new("a:b", "x"), Err(CredentialsError::Colon));
        let long = "x".repeat(257);
        assert_eq!(
            Credentials::new("a", &long),
            Err(CredentialsError::Length(257))
        );
        assert!(serde_json::from_str::<Credentials>(r#"{"ufrag":"a:b","pwd":"x"}"#).is_err());
    }
}
