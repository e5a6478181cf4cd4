//! Keys of rates and limits: texts with fields, such as `{user}|{category}`.

use std::io::Write as _;
use std::net::IpAddr;

use crate::limits;
use crate::message::uri::dialled;

/// A key with its fields, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Category,
    Method,
    Peer,
    RuriUser,
    SrcIp,
    User,
    Zone,
}

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("a brace is not closed in {0:?}")]
    Brace(String),
    #[error(
        "{0:?} is no field; there are category, method, peer, ruri_user, src_ip, user and zone"
    )]
    Field(String),
}

/// The values of the fields for one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) source: IpAddr,
    /// See [`User`]. It is never absent: the last resort is the source.
    pub(crate) user: &'a [u8],
    pub(crate) peer: Option<&'a str>,
    pub(crate) ruri_user: &'a [u8],
    pub(crate) method: &'a [u8],
    pub(crate) category: Option<&'a str>,
    pub(crate) zone: &'a str,
}

/// Who a call belongs to, by what is known best (spec §13, "Key for user").
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct User<'a> {
    /// Verified here.
    pub(crate) digest: Option<&'a [u8]>,
    /// AoR of the registered flow.
    pub(crate) aor: Option<&'a [u8]>,
    /// Credentials that the upstream accepted.
    pub(crate) accepted: Option<&'a [u8]>,
    pub(crate) peer: Option<&'a str>,
}

impl<'a> User<'a> {
    /// The best name; `None`: the source address is all there is.
    pub(crate) fn name(&self) -> Option<&'a [u8]> {
        self.digest
            .or(self.aor)
            .or(self.accepted)
            .or_else(|| self.peer.map(str::as_bytes))
    }
}

impl Template {
    /// `{ruri.user}` and `{ruri_user}` are the same.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| TemplateError::Brace(text.to_owned()))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Field(match name {
                "category" => Field::Category,
                "method" => Field::Method,
                "peer" => Field::Peer,
                "ruri_user" | "ruri.user" => Field::RuriUser,
                "src_ip" => Field::SrcIp,
                "user" => Field::User,
                "zone" => Field::Zone,
                other => return Err(TemplateError::Field(other.to_owned())),
            }));
            rest = after;
        }
        if rest.contains('}') {
            return Err(TemplateError::Brace(text.to_owned()));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    pub(super) fn names_category(&self) -> bool {
        self.parts.contains(&Part::Field(Field::Category))
    }

    /// Appends the key to `out`; false if a field has no value for this request, which then has no
    /// such key.
    pub(crate) fn render(&self, fields: &Fields<'_>, out: &mut Vec<u8>) -> bool {
        let most = out.len() + limits::KEY_BYTES;
        for part in &self.parts {
            let value = match part {
                Part::Text(text) => text.as_bytes(),
                Part::Field(Field::SrcIp) => {
                    // Writing to a Vec does not fail.
                    let _ = write!(out, "{}", fields.source.to_canonical());
                    continue;
                }
                Part::Field(Field::Category) => match fields.category {
                    Some(category) => category.as_bytes(),
                    None => return false,
                },
                Part::Field(Field::Peer) => match fields.peer {
                    Some(peer) => peer.as_bytes(),
                    None => return false,
                },
                Part::Field(Field::Method) => fields.method,
                Part::Field(Field::RuriUser) => {
                    // However it is spelled, a number has one bucket.
                    out.extend(dialled(fields.ruri_user));
                    continue;
                }
                Part::Field(Field::User) => fields.user,
                Part::Field(Field::Zone) => fields.zone.as_bytes(),
            };
            out.extend_from_slice(value);
        }
        out.truncate(most);
        true
    }
}
