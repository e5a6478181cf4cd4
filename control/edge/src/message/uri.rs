//! SIP URIs (RFC 3261 §19.1). Parsed for look-ups, never to be printed.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::limits::COMPARED_PARAMS;
use super::span::{Cursor, Span, number};

/// Reasons why a URI cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UriError {
    #[error("no scheme, host or valid port, or forbidden characters")]
    Syntax,
    #[error("neither sip, sips nor tel")]
    UnknownScheme,
}

/// Schemes the edge routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    #[default]
    Sip,
    Sips,
    /// RFC 3966.
    Tel,
}

/// A `sip:` or `sips:` URI; `tel:` has no host, and its number is the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) scheme: Scheme,
    /// With its parameters and escapes, without the password; empty if there is none.
    pub(crate) user: Span,
    /// User, password and the `@` behind them; empty if there is none.
    pub(crate) userinfo: Span,
    /// Host, with brackets if IPv6; empty for `tel:`.
    pub(crate) host: Span,
    pub(crate) port: Option<u16>,
    /// Parameters from the first semicolon after the host.
    pub(crate) params: Span,
    /// Behind the question mark.
    pub(crate) headers: Span,
}

impl Uri {
    pub(crate) fn parse(bytes: &[u8], span: Span) -> Result<Self, UriError> {
        let mut cursor = Cursor::new(bytes, span);
        if span
            .of(bytes)
            .iter()
            .any(|b| *b <= b' ' || matches!(b, b'<' | b'>' | b'"'))
        {
            return Err(UriError::Syntax);
        }
        let scheme =
            cursor.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if scheme.is_empty() || !cursor.eat(b':') {
            return Err(UriError::Syntax);
        }
        let scheme = match scheme.of(bytes) {
            name if name.eq_ignore_ascii_case(b"sip") => Scheme::Sip,
            name if name.eq_ignore_ascii_case(b"sips") => Scheme::Sips,
            name if name.eq_ignore_ascii_case(b"tel") => {
                let user = cursor.take_while(|b| b != b';');
                return Ok(Self {
                    scheme: Scheme::Tel,
                    user,
                    params: cursor.rest(),
                    ..Self::default()
                });
            }
            _ => return Err(UriError::UnknownScheme),
        };
        let (mut user, mut userinfo) = (Span::default(), Span::default());
        // The user part may hold `;` and `?`; an `@` ends it and occurs nowhere else unescaped.
        let start = cursor.at;
        if let Some(at) = cursor.rest().of(bytes).iter().position(|b| *b == b'@') {
            user = cursor.take_while(|b| b != b':' && b != b'@');
            cursor.at = start + at + 1;
            userinfo = Span::new(start, cursor.at);
            if user.is_empty() {
                return Err(UriError::Syntax);
            }
        }
        let start = cursor.at;
        if cursor.eat(b'[') {
            cursor.take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
            if !cursor.eat(b']') {
                return Err(UriError::Syntax);
            }
        } else {
            cursor.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        }
        let host = Span::new(start, cursor.at);
        if host.is_empty() {
            return Err(UriError::Syntax);
        }
        let mut port = None;
        if cursor.eat(b':') {
            let digits = cursor.take_while(|b| b.is_ascii_digit());
            let value = number(digits.of(bytes), 65_535).ok_or(UriError::Syntax)?;
            port = u16::try_from(value).ok();
        }
        let params = cursor.take_while(|b| b != b'?');
        if !params.is_empty() && params.of(bytes).first() != Some(&b';') {
            return Err(UriError::Syntax);
        }
        cursor.eat(b'?');
        Ok(Self {
            scheme,
            user,
            userinfo,
            host,
            port,
            params,
            headers: cursor.rest(),
        })
    }

    /// The value of a URI parameter; empty if it has none.
    pub(crate) fn param<'a>(&self, bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
        pairs(self.params.of(bytes), b';')
            .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The headers of the URI, escapes kept.
    pub(crate) fn headers<'a>(
        &self,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        pairs(self.headers.of(bytes), b'&')
    }

    /// Writes `user@host` in its canonical form, by which a registrar knows it (RFC 3261 §10.3): the
    /// user unescaped, the host in lower case. Written to `key`, which is cleared first.
    pub(crate) fn address_of_record(&self, bytes: &[u8], key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(&unescaped(self.user.of(bytes)));
        if !self.host.is_empty() {
            key.push(b'@');
            key.extend(self.host.of(bytes).iter().map(u8::to_ascii_lowercase));
        }
    }

    /// Whether two URIs are the same by RFC 3261 §19.1.4; `tel:` by RFC 3966 §5.
    pub(crate) fn equals(&self, bytes: &[u8], other: &Self, other_bytes: &[u8]) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        let (params, other_params) = (self.params.of(bytes), other.params.of(other_bytes));
        if self.scheme == Scheme::Tel {
            let digits = |text: &[u8]| -> Vec<u8> {
                let is_separator = |b: &u8| matches!(b, b'-' | b'.' | b'(' | b')');
                let kept = text.iter().filter(|b| !is_separator(b));
                kept.map(u8::to_ascii_lowercase).collect()
            };
            return digits(self.user.of(bytes)) == digits(other.user.of(other_bytes))
                && covers(params, other_params, |_| true)
                && covers(other_params, params, |_| true);
        }
        // An omitted port is another URI than the default port.
        same(self.userinfo.of(bytes), other.userinfo.of(other_bytes))
            && same_host(self.host.of(bytes), other.host.of(other_bytes))
            && self.port == other.port
            && covers(params, other_params, counts_alone)
            && covers(other_params, params, counts_alone)
            && self.same_headers(bytes, other, other_bytes)
    }

    fn same_headers(&self, bytes: &[u8], other: &Self, other_bytes: &[u8]) -> bool {
        let ours: Vec<_> = self.headers(bytes).take(COMPARED_PARAMS + 1).collect();
        let mut theirs: Vec<_> = other
            .headers(other_bytes)
            .take(COMPARED_PARAMS + 1)
            .collect();
        ours.len() == theirs.len()
            && ours.len() <= COMPARED_PARAMS
            && ours.iter().all(|(name, value)| {
                let twin = theirs
                    .iter()
                    .position(|(n, v)| same_ignoring_case(n, name) && same(v, value));
                twin.map(|at| theirs.swap_remove(at)).is_some()
            })
    }
}

/// Parameters that make a difference even if only one of the URIs has them.
fn counts_alone(name: &[u8]) -> bool {
    [&b"maddr"[..], b"method", b"transport", b"ttl", b"user"]
        .iter()
        .any(|n| same_ignoring_case(n, name))
}

/// Whether every parameter of `a` is the same in `b`, or not in `b` and does not `count` alone.
fn covers(a: &[u8], b: &[u8], counts: impl Fn(&[u8]) -> bool) -> bool {
    if pairs(a, b';').nth(COMPARED_PARAMS).is_some() {
        return false;
    }
    pairs(a, b';').all(|(name, value)| {
        match pairs(b, b';')
            .take(COMPARED_PARAMS)
            .find(|(n, _)| same_ignoring_case(n, name))
        {
            Some((_, other)) => same_ignoring_case(value, other),
            None => !counts(name),
        }
    })
}

/// The `name=value` pairs of a list; the value is empty if there is none.
fn pairs(text: &[u8], separator: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(move |b| *b == separator)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let equal = part.iter().position(|b| *b == b'=').unwrap_or(part.len());
            (
                part.get(..equal).unwrap_or_default(),
                part.get(equal + 1..).unwrap_or_default(),
            )
        })
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a == b || unescaped(a) == unescaped(b)
}

fn same_ignoring_case(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b) || unescaped(a).eq_ignore_ascii_case(&unescaped(b))
}

/// Hosts are compared as names, and IPv6 literals as addresses (RFC 5954 §4.2).
fn same_host(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b) || host_to_ip(a).is_some_and(|ip| host_to_ip(b) == Some(ip))
}

/// The text with `%HH` resolved where that means the same (RFC 3261 §19.1.4): not for reserved
/// characters, nor for those that would end the text in a look-up, control bytes and `%`. Those
/// escapes come out in upper case.
pub(crate) fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let escape = tail.split_at_checked(2).filter(|_| *first == b'%');
        let byte = escape.and_then(|(digits, _)| {
            let [high, low] = digits
                .first_chunk::<2>()?
                .map(|d| char::from(d).to_digit(16));
            u8::try_from(high? * 16 + low?).ok()
        });
        let (Some((digits, behind)), Some(byte)) = (escape, byte) else {
            match first {
                // A percent sign that escapes nothing must not begin an escape in what comes out.
                b'%' => out.extend_from_slice(b"%25"),
                byte => out.push(*byte),
            }
            continue;
        };
        rest = behind;
        if byte < b' ' || byte == 0x7f || b";/?:@&=+$,%".contains(&byte) {
            out.push(b'%');
            out.extend(digits.iter().map(u8::to_ascii_uppercase));
        } else {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

/// The number that a user part means to who dials it, byte by byte: without parameters and visual
/// separators (RFC 3966 §5.1.1), and with all escapes resolved. By RFC 3261 §19.1.4 an escaped `+` is
/// another character than `+`; upstreams dial both, so that look-ups must not tell them apart.
pub(crate) fn dialled(user: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = user;
    let bytes = std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        let escaped = match first {
            b'%' => digit(0).zip(digit(1)),
            _ => None,
        };
        let Some((high, low)) = escaped else {
            rest = tail;
            return Some(*first);
        };
        rest = tail.get(2..).unwrap_or_default();
        u8::try_from(high * 16 + low).ok()
    });
    bytes
        .take_while(|byte| *byte != b';')
        .filter(|byte| byte.is_ascii_graphic() || !byte.is_ascii())
        .filter(|byte| !matches!(byte, b'-' | b'.' | b'(' | b')'))
}

/// Whether a user part dials a number that begins so.
pub(crate) fn dials(user: &[u8], prefix: &[u8]) -> bool {
    let mut number = dialled(user);
    dialled(prefix).all(|byte| number.next() == Some(byte))
}

/// An IP literal, IPv6 with or without brackets (RFC 5118 §4.5).
pub(crate) fn host_to_ip(host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    if let Some(inner) = text.strip_prefix('[') {
        return inner
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()
            .map(IpAddr::V6);
    }
    text.parse::<Ipv4Addr>()
        .map(IpAddr::V4)
        .or_else(|_| text.parse::<Ipv6Addr>().map(IpAddr::V6))
        .ok()
}
