//! Names a proxy chose: opaque, case-sensitive byte strings.

use std::{fmt, sync::Arc};

use crate::shown::write_escaped;

macro_rules! opaque {
    ($( $(#[$meta:meta])* $Name:ident; )+) => { $(
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $Name(Arc<[u8]>);

        impl $Name {
            /// The bytes as they came.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// Whether there is no byte.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl<T: AsRef<[u8]> + ?Sized> From<&T> for $Name {
            fn from(bytes: &T) -> Self {
                Self(Arc::from(bytes.as_ref()))
            }
        }

        impl AsRef<[u8]> for $Name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl std::borrow::Borrow<[u8]> for $Name {
            fn borrow(&self) -> &[u8] {
                &self.0
            }
        }

        impl From<&$Name> for crate::value::Value {
            fn from(name: &$Name) -> Self {
                Self::from(&*name.0)
            }
        }

        impl crate::value::IntoKey for &$Name {
            fn into_key(self) -> crate::value::Key {
                std::borrow::Cow::Owned(self.0.to_vec())
            }
        }

        /// As text; what [`crate::shown`] names is escaped, so that a hostile name cannot forge
        /// a log line.
        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_escaped(&self.0, f)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"")?;
                write_escaped(&self.0, f)?;
                f.write_str("\"")
            }
        }
    )+ };
}

opaque! {
    /// The key of a call; the SIP Call-ID as a rule.
    CallId;
    /// A SIP tag: one party of a call.
    Tag;
    /// The id of a forked branch; the Via branch as a rule.
    Branch;
    /// A label the proxy gave a party.
    Label;
}

/// A session description, shared with whoever keeps it. It may hold keys (`a=crypto`,
/// `a=ice-pwd`), so debug output tells only its length.
#[derive(Clone, PartialEq, Eq)]
pub struct SdpBody(Arc<[u8]>);

impl SdpBody {
    /// The text, to be kept without a copy.
    pub fn shared(&self) -> &Arc<[u8]> {
        &self.0
    }
}

impl std::ops::Deref for SdpBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for SdpBody {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for SdpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SdpBody({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_cannot_forge_a_line() {
        let id = CallId::from(&b"a\r\n\x1b[0m\xff\\b\xc3\xa4"[..]);
        assert_eq!(id.to_string(), "a\\r\\n\\u{1b}[0m\\xff\\\\bä");
        assert_eq!(
            CallId::from("a\u{2028}b\u{202e}").to_string(),
            "a\\u{2028}b\\u{202e}"
        );
        assert_eq!(format!("{:?}", Tag::from("x")), "\"x\"");
        assert_eq!(
            format!("{:?}", SdpBody::from(&b"a=crypto:1"[..])),
            "SdpBody(10 bytes)"
        );
    }
}
