//! RTP header extensions (RFC 8285 §5).

use crate::attribute::Direction;
use crate::line::{first_token, number, split_at_byte};
use crate::text::{Source, Text};

/// One `a=extmap` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extmap {
    /// 1 to 14 for one-byte headers, 16 to 255 for two-byte headers.
    pub id: u8,
    /// The part after `/`, if any.
    pub direction: Option<Direction>,
    /// URI that names the extension.
    pub uri: Text,
    /// Extension attributes after the URI; usually empty.
    pub parameters: Text,
}

impl Extmap {
    /// The same in buffers of its own, which keep no longer text alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            uri: self.uri.detached(),
            parameters: self.parameters.detached(),
            ..*self
        }
    }

    /// An extension in both directions without parameters.
    pub fn new(id: u8, uri: impl Into<Text>) -> Self {
        Self {
            id,
            direction: None,
            uri: uri.into(),
            parameters: Text::new(),
        }
    }

    pub(crate) fn parse(value: &[u8], source: &Source) -> Option<Self> {
        let (id, rest) = first_token(value);
        let (id, direction) = match split_at_byte(id, b'/') {
            Some((id, direction)) => (id, Some(Direction::from_name(direction)?)),
            None => (id, None),
        };
        let (uri, parameters) = first_token(rest);
        if uri.is_empty() {
            return None;
        }
        Some(Self {
            id: number(id).filter(|&id| id != 0 && id != 15)?,
            direction,
            uri: source.text(uri),
            parameters: source.text(parameters),
        })
    }
}
