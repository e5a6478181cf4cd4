//! List files (spec §19): CSV with a header line and `#` comments. One bad row refuses the file,
//! unless rows are skipped; either way each is told with file, line and reason.

use std::fmt;

use crate::limits;

/// What is wrong with a row, or with the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowError {
    #[error("{0:?} is no action; allow and deny are")]
    Action(String),
    #[error("{found} values, the header names {expected}")]
    Count { found: usize, expected: usize },
    #[error("no header line")]
    NoHeader,
    #[error("{0:?} is no prefix: at most {most} digits, letters, +, * and #", most = limits::NUMBER_DIGITS)]
    Prefix(String),
    #[error("more than {most} rows", most = limits::LIST_ROWS)]
    TooMany,
    #[error("{0:?} is listed twice")]
    Twice(String),
    #[error("column {0:?} is missing from the header")]
    Missing(&'static str),
    #[error("unknown column {0:?}")]
    Unknown(String),
    #[error("{0:?} is no user@domain")]
    User(String),
}

/// A bad row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadRow {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) reason: RowError,
}

/// The bad rows of a file that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileErrors {
    pub(crate) file: String,
    pub(crate) rows: Vec<BadRow>,
    /// Bad rows beyond those told.
    pub(crate) more: usize,
}

/// A file that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) rows: usize,
    /// Rows that were skipped.
    pub(crate) skipped: FileErrors,
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, row) in self.rows.iter().enumerate() {
            let line = if at == 0 { "" } else { "\n" };
            write!(f, "{line}{}:{}: {}", self.file, row.line, row.reason)?;
        }
        if self.more > 0 {
            write!(f, "\n{}: {} more bad rows", self.file, self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for FileErrors {}

/// Reads `text`; `take` gets the values of each row in the order of `columns`. A column whose name
/// ends with `?` may be missing: its value is empty then.
pub(crate) fn read(
    file: &str,
    text: &str,
    columns: &[&'static str],
    skip_bad: bool,
    mut take: impl FnMut(&[&str]) -> Result<(), RowError>,
) -> Result<Loaded, FileErrors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let mut lines = numbered.filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let mut errors = FileErrors {
        file: file.to_owned(),
        rows: Vec::new(),
        more: 0,
    };
    let mut bad = |line, reason| {
        if errors.rows.len() < limits::TOLD_ROWS {
            errors.rows.push(BadRow { line, reason });
        } else {
            errors.more += 1;
        }
    };
    let header = match lines.next() {
        Some((line, header)) => order(header, columns).map_err(|reason| (line, reason)),
        None => Err((1, RowError::NoHeader)),
    };
    let (order, width) = match header {
        Ok(header) => header,
        Err((line, reason)) => {
            bad(line, reason);
            return Err(errors);
        }
    };
    let mut rows = 0;
    for (line, row) in lines {
        if rows == limits::LIST_ROWS {
            bad(line, RowError::TooMany);
            return Err(errors);
        }
        let values: Vec<&str> = row.split(',').map(str::trim).collect();
        let result = if values.len() == width {
            let value = |at: &Option<usize>| at.and_then(|at| values.get(at)).unwrap_or(&"");
            let values: Vec<&str> = order.iter().map(|at| *value(at)).collect();
            take(&values)
        } else {
            let (found, expected) = (values.len(), width);
            Err(RowError::Count { found, expected })
        };
        match result {
            Ok(()) => rows += 1,
            Err(reason) => bad(line, reason),
        }
    }
    if !errors.rows.is_empty() && !skip_bad {
        return Err(errors);
    }
    let skipped = errors;
    Ok(Loaded { rows, skipped })
}

/// Where each of `columns` stands in the header, and the number of its columns.
fn order(header: &str, columns: &[&'static str]) -> Result<(Vec<Option<usize>>, usize), RowError> {
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let name = |column: &&'static str| column.trim_end_matches('?');
    let unknown = names
        .iter()
        .find(|n| !columns.iter().any(|c| name(c) == **n));
    if let Some(unknown) = unknown {
        return Err(RowError::Unknown((*unknown).to_owned()));
    }
    let order = columns.iter().map(|column| {
        let at = names.iter().position(|n| *n == name(column));
        if at.is_none() && !column.ends_with('?') {
            return Err(RowError::Missing(column));
        }
        Ok(at)
    });
    Ok((order.collect::<Result<_, _>>()?, names.len()))
}
