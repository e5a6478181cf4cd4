//! Queries and bodies of orders: their values, and what is wrong with them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use super::order::{Cursor, DryRun, Ending, Order, Refusal, bad};
use crate::limits;
use crate::proxy::{CallFilter, CallState};
use crate::screen::address::Source;
use crate::screen::list::Rule;
use crate::target::{Admin, Change};

/// The values of a query, each once.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut all: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name, true).ok_or_else(|| bad("the query has a bad escape"))?;
            let value = decoded(value, true);
            let value = value.ok_or_else(|| bad(format!("`{name}` has a bad escape")))?;
            if all.iter().any(|(other, _)| *other == name) {
                return Err(bad(format!("`{name}` is there twice")));
            }
            // Empty means that it does not matter.
            if !value.is_empty() {
                all.push((name, value));
            }
        }
        Ok(Self(all))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(at).1)
    }

    pub(super) fn cause(&mut self) -> Result<Option<u16>, Refusal> {
        let cause = self.take("cause").map(|text| text.parse());
        let error = "`cause` is no SIP status from 200 to 699";
        cause.transpose().map_err(|_| bad(error))
    }

    pub(super) fn limit(&mut self) -> Result<usize, Refusal> {
        let Some(text) = self.take("limit") else {
            return Ok(100);
        };
        let most = limits::LISTED;
        let limit = text.parse().ok().filter(|n| (1..=most).contains(n));
        limit.ok_or_else(|| bad(format!("`limit` is no number from 1 to {most}")))
    }

    pub(super) fn cursor(&mut self) -> Result<Option<Cursor>, Refusal> {
        let Some(text) = self.take("cursor") else {
            return Ok(None);
        };
        let cursor = Cursor::parse(&text);
        let error = "`cursor` is none that a list gave out";
        cursor.map(Some).ok_or_else(|| bad(error))
    }

    /// A misspelt condition would name more than was meant.
    pub(super) fn refuse_rest(self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(bad(format!("`{name}` means nothing here"))),
        }
    }
}

pub(super) fn filter(query: &mut Query) -> Result<CallFilter, Refusal> {
    let body = FilterBody {
        id: query.take("id"),
        user: query.take("user"),
        source: query.take("src").or_else(|| query.take("source")),
        target: query.take("target"),
        state: query.take("state"),
        peer: query.take("peer"),
        prefix: query.take("prefix"),
        class: query.take("class"),
        all: false,
    };
    body.filter()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FilterBody {
    id: Option<String>,
    user: Option<String>,
    #[serde(alias = "src")]
    source: Option<String>,
    target: Option<String>,
    state: Option<String>,
    peer: Option<String>,
    prefix: Option<String>,
    class: Option<String>,
    all: bool,
}

impl FilterBody {
    fn filter(self) -> Result<CallFilter, Refusal> {
        let source = self.source.map(|text| {
            let ip = text.parse::<IpAddr>();
            ip.map_err(|_| bad(format!("`src` is \"{text}\", expected an IP address")))
        });
        let target_ip = self.target.as_ref().and_then(|text| text.parse().ok());
        let state = match self.state.as_deref() {
            None => None,
            Some("early") => Some(CallState::Early),
            Some("confirmed") => Some(CallState::Confirmed),
            Some("ended") => Some(CallState::Ended),
            Some(other) => {
                let error = format!("`state` is \"{other}\", expected early, confirmed or ended");
                return Err(bad(error));
            }
        };
        Ok(CallFilter {
            id: self.id.map(|id| call_id(&id)).transpose()?,
            user: self.user,
            source: source.transpose()?,
            target: target_ip,
            target_id: self.target.filter(|_| target_ip.is_none()),
            state,
            peer: self.peer,
            prefix: self.prefix,
            class: self.class,
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndBody {
    filter: FilterBody,
    max: Option<usize>,
    cause: Option<u16>,
    text: Option<String>,
}

pub(super) fn end_calls(body: &[u8]) -> Result<Order, Refusal> {
    let body: EndBody = from_json(body)?;
    let all = body.filter.all;
    let filter = body.filter.filter()?;
    if filter == CallFilter::default() && !all {
        let error = "an empty filter names every call; say \"all\": true if that is meant";
        return Err(Refusal::new(422, error));
    }
    Ok(Order::EndCalls {
        filter: Box::new(filter),
        max: body.max.unwrap_or(usize::MAX),
        ending: Ending::new(body.cause, body.text)?,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BanBody {
    address: String,
    duration: Option<String>,
}

pub(super) fn add_ban(body: &[u8]) -> Result<Order, Refusal> {
    let body: BanBody = from_json(body)?;
    let source = source(&body.address)?;
    Ok(Order::AddBan {
        ip: source.ip(),
        port: source.only_port(),
        lasts: body.duration.map(|text| span(&text)).transpose()?,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryBody {
    action: String,
    user: Option<String>,
}

pub(super) fn put_entry(
    name: String,
    prefix: String,
    user: String,
    body: &[u8],
) -> Result<Order, Refusal> {
    let body: EntryBody = from_json(body)?;
    let rule = match body.action.as_str() {
        "allow" => Rule::Allow,
        "deny" => Rule::Deny,
        other => {
            let error = format!("`action` is \"{other}\", expected allow or deny");
            return Err(Refusal::new(422, error));
        }
    };
    Ok(Order::PutEntry {
        name,
        prefix,
        user: body.user.unwrap_or(user),
        rule,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TargetBody {
    state: Option<String>,
    weight: Option<u32>,
    resources: std::collections::BTreeMap<String, u32>,
}

pub(super) fn change_target(id: &str, body: &[u8]) -> Result<Order, Refusal> {
    let body: TargetBody = from_json(body)?;
    let state = match body.state.as_deref() {
        None => None,
        Some("up") => Some(Admin::Up),
        Some("drain") => Some(Admin::Drain),
        Some("down") => Some(Admin::Down),
        Some(other) => {
            let error = format!("`state` is \"{other}\", expected up, drain or down");
            return Err(Refusal::new(422, error));
        }
    };
    let change = Change {
        state,
        weight: body.weight,
        resources: body.resources.into_iter().collect(),
    };
    if change == Change::default() {
        let error = "nothing to change: give state, weight or resources";
        return Err(Refusal::new(422, error));
    }
    Ok(Order::ChangeTarget {
        id: id.to_owned(),
        change,
    })
}

pub(super) fn dry_run(query: &mut Query) -> Result<Order, Refusal> {
    let number = query.take("number");
    let number = number.ok_or_else(|| bad("`number` is missing: a number or a SIP URI"))?;
    let bare = number
        .strip_prefix("sips:")
        .or_else(|| number.strip_prefix("sip:"))
        .unwrap_or(&number);
    let (user, host) = bare.split_once('@').unwrap_or((bare, ""));
    if query.take("time").is_some() {
        return Err(bad("`time` means nothing yet: no route has a schedule"));
    }
    Ok(Order::Route(Box::new(DryRun {
        number: user.to_owned(),
        host: match query.take("domain") {
            Some(domain) => domain,
            None => host.to_owned(),
        },
        user: query.take("user").unwrap_or_default(),
        zone: query.take("zone"),
        peer: query.take("peer"),
        method: query.take("method").unwrap_or_else(|| "INVITE".to_owned()),
    })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReloadBody {
    pub(super) file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainBody {
    pub(super) message: String,
    pub(super) source: SocketAddr,
    pub(super) zone: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DrainBody {
    deadline: Option<String>,
}

pub(super) fn drain(body: &[u8]) -> Result<Order, Refusal> {
    let body = match body.is_empty() {
        true => DrainBody::default(),
        false => from_json(body)?,
    };
    let deadline = body.deadline.map(|text| span(&text)).transpose()?;
    Ok(Order::Drain { deadline })
}

pub(super) fn from_json<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::new(422, format!("body: {error}")))
}

/// A time such as `90s` or `1h30m`.
fn span(text: &str) -> Result<Duration, Refusal> {
    let span = windlass_toml::duration(text).filter(|span| *span <= limits::LONGEST_ORDER);
    let error = || format!("\"{text}\" is no time such as \"90s\" or \"1h30m\", a year at most");
    span.ok_or_else(|| Refusal::new(422, error()))
}

pub(super) fn call_id(text: &str) -> Result<u64, Refusal> {
    let error = format!("\"{text}\" is no number of a call: 16 hexadecimal digits");
    let is_hex = text.len() <= 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
    id.ok_or_else(|| bad(error))
}

/// An address, or an address with a port.
pub(super) fn source(text: &str) -> Result<Source, Refusal> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(text).parse() {
        return Ok(Source::whole(ip));
    }
    let address = text.parse().map(Source::port);
    let error = format!("\"{text}\" is no IP address, with or without a port");
    address.map_err(|_| bad(error))
}

/// user@domain as bindings are kept by: the domain in lower case.
pub(super) fn aor_of(text: &str) -> Vec<u8> {
    let bare = text.strip_prefix("sip:").unwrap_or(text);
    match bare.rsplit_once('@') {
        Some((user, domain)) => format!("{user}@{}", domain.to_ascii_lowercase()).into_bytes(),
        None => bare.to_ascii_lowercase().into_bytes(),
    }
}

pub(super) fn only(
    method: &str,
    allowed: &str,
    order: impl FnOnce() -> Result<Order, Refusal>,
) -> Result<Order, Refusal> {
    match method == allowed {
        true => order(),
        false => Err(not_allowed(method, allowed)),
    }
}

pub(super) fn not_allowed(method: &str, allowed: &str) -> Refusal {
    Refusal::new(405, format!("{method} is not among {allowed}"))
}

pub(super) fn unknown(path: &str) -> Refusal {
    Refusal::new(404, format!("there is nothing at {path}"))
}

/// Undoes `%xx` (RFC 3986 §2.1); in a query `+` is a space.
pub(super) fn decoded(text: &str, is_query: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
                u8::try_from(value).ok()?
            }
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}
