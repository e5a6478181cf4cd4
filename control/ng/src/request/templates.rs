//! Named option strings of the configuration.

use std::collections::HashMap;

use super::{Command, Ignored, ParseError, parser::Parser, rtpp_flags};

/// Templates by name. `default` applies to every command that takes options, the one named like
/// the command after it.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    strings: HashMap<Box<[u8]>, Box<[u8]>, foldhash::fast::RandomState>,
}

impl Templates {
    /// No templates.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces one, in the syntax of `rtpp-flags`.
    pub fn insert(&mut self, name: impl AsRef<[u8]>, string: impl AsRef<[u8]>) {
        self.strings
            .insert(name.as_ref().into(), string.as_ref().into());
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.strings.get(name).map(AsRef::as_ref)
    }

    /// Lists the parts of a string that would have no effect, for a check of the configuration.
    ///
    /// # Errors
    /// Requests would fail with the string.
    pub fn check(&self, string: &str) -> Result<Vec<Ignored>, ParseError> {
        let mut parser = Parser::new(Command::Offer, self);
        rtpp_flags::apply(&mut parser, string.as_bytes())?;
        Ok(parser.finish().ignored)
    }
}

impl<N: AsRef<[u8]>, S: AsRef<[u8]>> FromIterator<(N, S)> for Templates {
    fn from_iter<I: IntoIterator<Item = (N, S)>>(templates: I) -> Self {
        let mut all = Self::new();
        for (name, string) in templates {
            all.insert(name, string);
        }
        all
    }
}
