//! Requests of operators as data (spec §17): method, path, query and body in, an [`Order`] out, or
//! what is wrong with them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};

use super::reading::{
    ExplainBody, Query, ReloadBody, add_ban, aor_of, call_id, change_target, decoded, drain,
    dry_run, end_calls, filter, from_json, not_allowed, only, put_entry, source, unknown,
};
use super::role::Role;
use crate::limits;
use crate::proxy::CallFilter;
use crate::screen::address::Source;
use crate::screen::list::Rule;
use crate::target::Change;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Order {
    AddBan {
        ip: IpAddr,
        port: Option<u16>,
        /// `None`: as long as evidence that cannot be forged bans.
        lasts: Option<Duration>,
    },
    Ban(Source),
    Bans {
        limit: usize,
    },
    Call(u64),
    Calls(Box<Page>),
    ChangeTarget {
        id: String,
        change: Change,
    },
    Drain {
        /// Calls that are left after this are ended.
        deadline: Option<Duration>,
    },
    EndCall {
        id: u64,
        ending: Ending,
    },
    EndCalls {
        filter: Box<CallFilter>,
        max: usize,
        ending: Ending,
    },
    Events,
    Explain(Box<Puzzle>),
    Health,
    LiftBan(Source),
    Limit {
        class: String,
        key: Option<Vec<u8>>,
    },
    Limits,
    List {
        name: String,
    },
    Lists,
    Metrics,
    PutEntry {
        name: String,
        prefix: String,
        user: String,
        rule: Rule,
    },
    Ready,
    Registrations {
        aor: Option<Vec<u8>>,
        limit: usize,
        after: Option<Cursor>,
    },
    Reload {
        /// One file; `None`: all.
        file: Option<String>,
    },
    RemoveEntry {
        name: String,
        prefix: String,
        user: String,
    },
    RemoveRegistrations {
        aor: Vec<u8>,
    },
    Route(Box<DryRun>),
    Target(String),
    Targets,
    TestList {
        name: String,
        number: String,
        user: String,
    },
    Undrain,
}

/// One page of the list of calls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Page {
    pub(crate) filter: CallFilter,
    pub(crate) limit: usize,
    pub(crate) after: Option<Cursor>,
}

/// Where a list goes on: shards in their order, and in each of them by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) shard: usize,
    /// The last one that was told.
    pub(crate) after: Option<u64>,
}

impl Cursor {
    pub(crate) fn to_text(self) -> String {
        match self.after {
            Some(after) => format!("{:x}.{after:x}", self.shard),
            None => format!("{:x}.", self.shard),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (shard, after) = text.split_once('.')?;
        let shard = usize::from_str_radix(shard, 16).ok()?;
        let after = match after {
            "" => None,
            after => Some(u64::from_str_radix(after, 16).ok()?),
        };
        Some(Self { shard, after })
    }
}

/// What both sides of a call are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// SIP cause of the Reason (RFC 3326).
    pub(crate) cause: u16,
    pub(crate) text: String,
}

/// A request that is routed without being sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DryRun {
    pub(crate) number: String,
    /// Host of the Request-URI.
    pub(crate) host: String,
    pub(crate) user: String,
    pub(crate) zone: Option<String>,
    pub(crate) peer: Option<String>,
    pub(crate) method: String,
}

/// A message that is explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Puzzle {
    pub(crate) message: Vec<u8>,
    pub(crate) source: SocketAddr,
    /// `None`: the first one.
    pub(crate) zone: Option<String>,
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: u16,
    pub(crate) error: String,
    /// One line for each mistake, where there may be several.
    pub(crate) details: Vec<String>,
}

impl Refusal {
    pub(crate) fn new(status: u16, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            details: Vec::new(),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        match self.details.is_empty() {
            true => json!({ "error": self.error }),
            false => json!({ "error": self.error, "details": self.details }),
        }
    }
}

pub(super) fn bad(error: impl Into<String>) -> Refusal {
    Refusal::new(400, error)
}

impl Order {
    /// Who may give it.
    pub(crate) fn needs(&self) -> Role {
        match self {
            Self::Reload { .. } => Role::Admin,
            order if order.is_change() => Role::Operate,
            _ => Role::Read,
        }
    }

    /// Whether anything is different afterwards: then it is audited.
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::AddBan { .. }
            | Self::ChangeTarget { .. }
            | Self::Drain { .. }
            | Self::EndCall { .. }
            | Self::EndCalls { .. }
            | Self::LiftBan(_)
            | Self::PutEntry { .. }
            | Self::Reload { .. }
            | Self::RemoveEntry { .. }
            | Self::RemoveRegistrations { .. }
            | Self::Undrain => true,
            Self::Ban(_)
            | Self::Bans { .. }
            | Self::Call(_)
            | Self::Calls(_)
            | Self::Events
            | Self::Explain(_)
            | Self::Health
            | Self::Limit { .. }
            | Self::Limits
            | Self::List { .. }
            | Self::Lists
            | Self::Metrics
            | Self::Ready
            | Self::Registrations { .. }
            | Self::Route(_)
            | Self::Target(_)
            | Self::Targets
            | Self::TestList { .. } => false,
        }
    }

    /// Whether it is answered without knowing who asks: for balancers and supervisors.
    pub(crate) fn is_public(&self) -> bool {
        matches!(self, Self::Health | Self::Ready)
    }

    /// Reads a request. `path` and `query` are as they came, with their escapes.
    ///
    /// # Errors
    /// 400 for what is malformed, 404 for an unknown path, 405 for a method that the path has not,
    /// 422 for a body that says nothing useful.
    pub(crate) fn parse(
        method: &str,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let mut parts = Vec::new();
        for part in path.trim_start_matches('/').split('/') {
            parts.push(decoded(part, false).ok_or_else(|| bad("the path has a bad escape"))?);
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let query = Query::parse(query)?;
        match &parts[..] {
            ["healthz"] => only(method, "GET", || Ok(Self::Health)),
            ["readyz"] => only(method, "GET", || Ok(Self::Ready)),
            ["metrics"] => only(method, "GET", || Ok(Self::Metrics)),
            ["v1", rest @ ..] => Self::v1(method, rest, query, body),
            _ => Err(unknown(path)),
        }
    }

    fn v1(method: &str, path: &[&str], mut query: Query, body: &[u8]) -> Result<Self, Refusal> {
        let order = match path {
            ["calls"] => only(method, "GET", || {
                Ok(Self::Calls(Box::new(Page {
                    filter: filter(&mut query)?,
                    limit: query.limit()?,
                    after: query.cursor()?,
                })))
            }),
            ["calls", "end"] => only(method, "POST", || end_calls(body)),
            ["calls", id] => {
                let id = call_id(id)?;
                match method {
                    "GET" => Ok(Self::Call(id)),
                    "DELETE" => Ok(Self::EndCall {
                        id,
                        ending: Ending::new(query.cause()?, query.take("text"))?,
                    }),
                    _ => Err(not_allowed(method, "GET, DELETE")),
                }
            }
            ["limits"] => only(method, "GET", || Ok(Self::Limits)),
            ["limits", class] => only(method, "GET", || {
                let (class, key) = ((*class).to_owned(), None);
                Ok(Self::Limit { class, key })
            }),
            ["limits", class, key] => only(method, "GET", || {
                let key = Some(key.as_bytes().to_vec());
                let class = (*class).to_owned();
                Ok(Self::Limit { class, key })
            }),
            ["bans"] => match method {
                "GET" => Ok(Self::Bans {
                    limit: query.limit()?,
                }),
                "POST" => add_ban(body),
                _ => Err(not_allowed(method, "GET, POST")),
            },
            ["bans", address] => {
                let source = source(address)?;
                match method {
                    "GET" => Ok(Self::Ban(source)),
                    "DELETE" => Ok(Self::LiftBan(source)),
                    _ => Err(not_allowed(method, "GET, DELETE")),
                }
            }
            ["lists"] => only(method, "GET", || Ok(Self::Lists)),
            ["lists", name] => only(method, "GET", || {
                let name = (*name).to_owned();
                Ok(Self::List { name })
            }),
            ["lists", name, entry] => {
                let (name, entry) = ((*name).to_owned(), (*entry).to_owned());
                let user = query.take("user").unwrap_or_default();
                match method {
                    "GET" => Ok(Self::TestList {
                        name,
                        number: entry,
                        user,
                    }),
                    "PUT" => put_entry(name, entry, user, body),
                    "DELETE" => Ok(Self::RemoveEntry {
                        name,
                        prefix: entry,
                        user,
                    }),
                    _ => Err(not_allowed(method, "GET, PUT, DELETE")),
                }
            }
            ["targets"] => only(method, "GET", || Ok(Self::Targets)),
            ["targets", id] => match method {
                "GET" => Ok(Self::Target((*id).to_owned())),
                "PATCH" => change_target(id, body),
                _ => Err(not_allowed(method, "GET, PATCH")),
            },
            ["route"] => only(method, "GET", || dry_run(&mut query)),
            ["registrations"] => match method {
                "GET" => Ok(Self::Registrations {
                    aor: query.take("aor").map(|aor| aor_of(&aor)),
                    limit: query.limit()?,
                    after: query.cursor()?,
                }),
                "DELETE" => {
                    let aor = query.take("aor");
                    let aor = aor.ok_or_else(|| bad("`aor` is missing: user@domain"))?;
                    Ok(Self::RemoveRegistrations { aor: aor_of(&aor) })
                }
                _ => Err(not_allowed(method, "GET, DELETE")),
            },
            ["reload"] => only(method, "POST", || {
                let file = match body.is_empty() {
                    true => None,
                    false => from_json::<ReloadBody>(body)?.file,
                };
                Ok(Self::Reload { file })
            }),
            ["explain"] => only(method, "POST", || {
                let body: ExplainBody = from_json(body)?;
                Ok(Self::Explain(Box::new(Puzzle {
                    message: body.message.into_bytes(),
                    source: body.source,
                    zone: body.zone,
                })))
            }),
            ["events"] => only(method, "GET", || Ok(Self::Events)),
            ["drain"] => match method {
                "POST" => drain(body),
                "DELETE" => Ok(Self::Undrain),
                _ => Err(not_allowed(method, "POST, DELETE")),
            },
            _ => Err(unknown(&format!("/v1/{}", path.join("/")))),
        }?;
        query.refuse_rest()?;
        Ok(order)
    }
}

impl Ending {
    pub(super) fn new(cause: Option<u16>, text: Option<String>) -> Result<Self, Refusal> {
        let cause = cause.unwrap_or(200);
        if !(200..=699).contains(&cause) {
            return Err(bad("`cause` is no SIP status from 200 to 699"));
        }
        let text = text.unwrap_or_else(|| "Ended by operator".to_owned());
        if text.len() > limits::REASON_BYTES || text.chars().any(char::is_control) {
            let most = limits::REASON_BYTES;
            let error = format!("`text` has control characters or more than {most} bytes");
            return Err(bad(error));
        }
        Ok(Self { cause, text })
    }
}
