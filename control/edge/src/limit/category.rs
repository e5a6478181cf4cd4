//! Categories of called numbers, from list files (spec §19, `[[category]]`).

use crate::screen::csv::{self, FileErrors, Loaded};
use crate::screen::prefix::Prefixes;

/// All categories, in the order of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Categories {
    categories: Vec<(String, Prefixes<()>)>,
}

impl Categories {
    /// Adds the category `name` with the text of its `file`: CSV with the column `prefix`.
    pub(crate) fn add(
        &mut self,
        name: &str,
        file: &str,
        text: &str,
        skip_bad: bool,
    ) -> Result<Loaded, FileErrors> {
        let mut prefixes = Prefixes::default();
        let loaded = csv::read(file, text, &["prefix"], skip_bad, |row| {
            prefixes.insert(row.first().unwrap_or(&""), ())
        })?;
        self.categories.push((name.to_owned(), prefixes));
        Ok(loaded)
    }

    /// Whether the number is in the category.
    pub(crate) fn holds(&self, name: &str, number: &[u8]) -> bool {
        let mut named = self.categories.iter().filter(|(n, _)| n == name);
        named.any(|(_, prefixes)| prefixes.longest(number).is_some())
    }

    /// The category with the longest prefix of the number.
    pub(crate) fn of(&self, number: &[u8]) -> Option<&str> {
        let found = self.categories.iter().filter_map(|(name, prefixes)| {
            let (length, ()) = prefixes.longest(number)?;
            Some((length, name))
        });
        // Of equal ones, the first.
        let best = found.reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map(|(_, name)| name.as_str())
    }
}
