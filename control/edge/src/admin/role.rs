//! Who may do what: roles, and the file of tokens (spec §17).

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use subtle::ConstantTimeEq as _;
use toml::de::DeTable;
use windlass_toml::{Place, Problem, Problems, Reader};

use crate::limits;

/// What somebody may do, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Looks.
    Read,
    /// Ends calls, bans, changes lists and targets, drains.
    Operate,
    /// Everything, reload included.
    Admin,
}

impl Role {
    /// The name in token files and answers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// For the audit: the name of a token or certificate, or the user of a Unix socket.
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// A secret that is shown to nobody.
#[derive(Clone)]
struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// The tokens and certificates of one file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    tokens: Vec<(Who, Secret)>,
    /// DNS names of client certificates.
    certificates: Vec<Who>,
}

const ROLES: [(&str, Role); 3] = [
    ("read", Role::Read),
    ("operate", Role::Operate),
    ("admin", Role::Admin),
];

impl Keys {
    /// Reads a file that only its owner and group may read.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Self, Problems> {
        let whole = |message: String| Problems {
            path: Some(path.to_owned()),
            list: vec![Problem {
                at: Place::Whole,
                message,
            }],
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| whole(format!("cannot be read: {error}")))?;
        let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.mode());
        if mode & 0o007 != 0 {
            let message =
                "everybody can read these tokens; take the rights of others away (chmod o-rwx)";
            return Err(whole(message.to_owned()));
        }
        Self::parse(&text).map_err(|list| Problems {
            path: Some(path.to_owned()),
            list,
        })
    }

    /// `[[token]]` with `name`, `role` and `token`; `[[certificate]]` with `name` and `role`.
    ///
    /// # Errors
    /// Everything that is wrong, in order of place.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader::new(text);
        for error in &errors {
            let at = Place::of(text, error.span().map_or(0, |span| span.start));
            reader.problem_at(at, error.message().trim().replace('\n', ", "));
        }
        let root = document.get_ref();
        reader.refuse_unknown("", root, &["token", "certificate"]);
        let mut keys = Self::default();
        for (at, table) in reader.tables(root, "token", &["name", "role", "token"]) {
            let who = who(&mut reader, table, at);
            let Some(token) = reader.string(table, "token") else {
                if !table.contains_key("token") {
                    reader.missing(at, "a token", "token");
                }
                continue;
            };
            if token.value.len() < limits::TOKEN_BYTES {
                let least = limits::TOKEN_BYTES;
                reader.problem_at(token.at, format!("`token` has less than {least} bytes"));
            }
            if let Some(who) = who {
                keys.tokens.push((who, Secret(token.value.into_bytes())));
            }
        }
        for (at, table) in reader.tables(root, "certificate", &["name", "role"]) {
            keys.certificates.extend(who(&mut reader, table, at));
        }
        if keys.tokens.len() + keys.certificates.len() > limits::TOKENS {
            let most = limits::TOKENS;
            reader.problem_at(Place::Whole, format!("more than {most} tokens"));
        }
        reader.problems.sort_by_key(|problem| problem.at);
        match reader.problems.is_empty() {
            true => Ok(keys),
            false => Err(reader.problems),
        }
    }

    /// Whose token it is. All are compared, each in constant time.
    pub(crate) fn of_token(&self, token: &[u8]) -> Option<Who> {
        let mut found = None;
        for (who, secret) in &self.tokens {
            if bool::from(secret.0.ct_eq(token)) {
                found = Some(who.clone());
            }
        }
        found
    }

    /// Whose certificate has one of these names.
    pub(crate) fn of_names<'n>(&self, names: impl Iterator<Item = &'n str>) -> Option<Who> {
        let names: Vec<&str> = names.collect();
        let is_his = |who: &&Who| {
            names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&who.name))
        };
        self.certificates.iter().find(is_his).cloned()
    }

    /// Whether nobody would be let in.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.certificates.is_empty()
    }
}

fn who(reader: &mut Reader<'_>, table: &DeTable<'_>, at: Place) -> Option<Who> {
    for key in ["name", "role"] {
        if !table.contains_key(key) {
            reader.missing(at, "an entry", key);
        }
    }
    let name = reader.string(table, "name");
    let role = reader.word(table, "role", &ROLES);
    Some(Who {
        name: name?.value,
        role: role?.value,
    })
}
