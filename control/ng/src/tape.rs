//! A decoded message: one flat tape of values that borrow from the message.
//!
//! Both encodings decode to it, so everything above knows no encoding. A container records where
//! it ends, so skipping it costs one step and nothing ever recurses.

use std::borrow::Cow;

/// A decoded message. Values appear in message order, duplicates included.
#[derive(Clone, Debug, Default)]
pub struct Tape<'a> {
    tokens: Vec<Token<'a>>,
}

/// One entry of the tape.
#[derive(Clone, Debug)]
pub(crate) enum Token<'a> {
    Int(i64),
    Bytes(Cow<'a, [u8]>),
    /// The members follow; `end` is the index after the last.
    List {
        end: usize,
    },
    /// Keys (always [`Token::Bytes`]) and values follow in turn; `end` is the index after the last.
    Dict {
        end: usize,
    },
}

impl<'a> Tape<'a> {
    pub(crate) fn with_capacity(tokens: usize) -> Self {
        Self {
            tokens: Vec::with_capacity(tokens),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn push(&mut self, token: Token<'a>) {
        self.tokens.push(token);
    }

    /// Ends the container that starts at `at`: its members are all tokens after it.
    pub(crate) fn close(&mut self, at: usize) {
        let now = self.tokens.len();
        if let Some(Token::List { end } | Token::Dict { end }) = self.tokens.get_mut(at) {
            *end = now;
        }
    }

    /// The outermost value.
    pub fn root(&self) -> Node<'_> {
        Node {
            tokens: &self.tokens,
            at: 0,
        }
    }
}

/// One value on a tape.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
}

impl<'t> Node<'t> {
    /// The integer, if it is one.
    pub fn as_int(self) -> Option<i64> {
        match self.token()? {
            Token::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The integer, or the number a decimal string spells.
    pub fn to_int(self) -> Option<i64> {
        match self.token()? {
            Token::Int(int) => Some(*int),
            Token::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok(),
            _ => None,
        }
    }

    /// The byte string, if it is one.
    pub fn as_bytes(self) -> Option<&'t [u8]> {
        match self.token()? {
            Token::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether this is a list.
    pub fn is_list(self) -> bool {
        matches!(self.token(), Some(Token::List { .. }))
    }

    /// Whether this is a dictionary.
    pub fn is_dict(self) -> bool {
        matches!(self.token(), Some(Token::Dict { .. }))
    }

    /// The members of a list; nothing if it is none.
    pub fn members(self) -> Members<'t> {
        let end = match self.token() {
            Some(Token::List { end }) => *end,
            _ => 0,
        };
        Members {
            tokens: self.tokens,
            at: self.at + 1,
            end,
        }
    }

    /// The entries of a dictionary; nothing if it is none.
    pub fn entries(self) -> Entries<'t> {
        let end = match self.token() {
            Some(Token::Dict { end }) => *end,
            _ => 0,
        };
        Entries {
            members: Members {
                tokens: self.tokens,
                at: self.at + 1,
                end,
            },
        }
    }

    /// The last entry with exactly this key.
    pub fn get(self, key: &[u8]) -> Option<Self> {
        self.entries()
            .filter(|(k, _)| *k == key)
            .map(|(_, value)| value)
            .last()
    }

    /// A list of strings in any form peers send it: a list (members that are no strings are left
    /// out) or one string, split at commas.
    pub fn strings(self) -> Strings<'t> {
        match self.as_bytes() {
            Some(text) => Strings::Split(Some(text)),
            None => Strings::List(self.members()),
        }
    }

    fn token(self) -> Option<&'t Token<'t>> {
        self.tokens.get(self.at)
    }
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.token().fmt(f)
    }
}

/// See [`Node::members`].
#[derive(Clone, Debug)]
pub struct Members<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
    end: usize,
}

impl<'t> Iterator for Members<'t> {
    type Item = Node<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let node = Node {
            tokens: self.tokens,
            at: self.at,
        };
        self.at = match node.token()? {
            Token::List { end } | Token::Dict { end } => *end,
            Token::Int(_) | Token::Bytes(_) => self.at + 1,
        };
        Some(node)
    }
}

/// See [`Node::entries`].
#[derive(Clone, Debug)]
pub struct Entries<'t> {
    members: Members<'t>,
}

impl<'t> Iterator for Entries<'t> {
    type Item = (&'t [u8], Node<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.members.next()?.as_bytes()?;
        Some((key, self.members.next()?))
    }
}

/// See [`Node::strings`].
#[derive(Clone, Debug)]
pub enum Strings<'t> {
    /// The rest of a comma-separated string.
    Split(Option<&'t [u8]>),
    /// The rest of a list.
    List(Members<'t>),
}

impl<'t> Iterator for Strings<'t> {
    type Item = &'t [u8];

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Split(rest) => loop {
                let text = (*rest)?;
                let comma = text.iter().position(|&b| b == b',');
                let (item, after) = match comma.and_then(|at| text.split_at_checked(at)) {
                    Some((item, after)) => (item, after.get(1..)),
                    None => (text, None),
                };
                *rest = after;
                if !item.is_empty() {
                    return Some(item);
                }
            },
            Self::List(members) => members.find_map(Node::as_bytes),
        }
    }
}
