//! Fields whose value is a few numbers and parameters: Expires and Min-Expires (RFC 3261 §20.19),
//! Session-Expires and Min-SE (RFC 4028), Reason (RFC 3326), RSeq and RAck (RFC 3262), Replaces,
//! Join and Target-Dialog (RFC 3891, 3911, 4538).

use super::Method;
use super::span::{Cursor, Span, is_lws, is_token, number, params};

/// A time in seconds. More than 2³²−1 counts as that (RFC 3261 §20.19); `None` if it is no number.
pub(crate) fn delta_seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = number(text, u64::from(u32::MAX));
    Some(seconds.map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX)))
}

/// A value that begins with seconds and goes on with parameters: Expires (without any), Min-SE,
/// Retry-After without its comment.
pub(crate) fn seconds(bytes: &[u8], value: Span) -> Option<u32> {
    let mut cursor = Cursor::new(bytes, value.trim(bytes));
    let digits = cursor.take_while(|b| b.is_ascii_digit());
    let seconds = delta_seconds(digits.of(bytes))?;
    params(cursor, |_| ()).then_some(seconds)
}

/// The party that refreshes a session (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresher {
    Uac,
    Uas,
}

/// A Session-Expires value (RFC 4028 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionExpires {
    /// Session interval in seconds.
    pub(crate) interval: u32,
    /// The digits, for an edit.
    pub(crate) interval_span: Span,
    pub(crate) refresher: Option<Refresher>,
}

impl SessionExpires {
    /// `None` if the value does not follow the grammar.
    pub(crate) fn parse(bytes: &[u8], value: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, value.trim(bytes));
        let interval_span = cursor.take_while(|b| b.is_ascii_digit());
        let mut refresher = None;
        let well_formed = params(cursor, |param| {
            if !param.name.of(bytes).eq_ignore_ascii_case(b"refresher") {
                return;
            }
            let text = param.value.unwrap_or_default().of(bytes);
            let named = match text {
                text if text.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
                text if text.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
                _ => None,
            };
            refresher = refresher.or(named);
        });
        let interval = delta_seconds(interval_span.of(bytes)).filter(|_| well_formed)?;
        Some(Self {
            interval,
            interval_span,
            refresher,
        })
    }
}

/// One Reason value (RFC 3326).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// `SIP`, `Q.850` or another.
    pub(crate) protocol: Span,
    pub(crate) cause: Option<u16>,
    /// With its quotes.
    pub(crate) text: Option<Span>,
}

impl Reason {
    /// `None` if the value does not follow the grammar.
    pub(crate) fn parse(bytes: &[u8], value: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, value.trim(bytes));
        let protocol = cursor.take_while(is_token);
        let (mut cause, mut text) = (None, None);
        let well_formed = params(cursor, |param| {
            let (name, value) = (param.name.of(bytes), param.value.unwrap_or_default());
            if name.eq_ignore_ascii_case(b"cause") {
                let number = number(value.of(bytes), u64::from(u16::MAX));
                cause = cause.or_else(|| u16::try_from(number?).ok());
            } else if name.eq_ignore_ascii_case(b"text") {
                text = text.or(param.value);
            }
        });
        (well_formed && !protocol.is_empty()).then_some(Self {
            protocol,
            cause,
            text,
        })
    }
}

/// The number of a reliable provisional response (RFC 3262 §7.1).
pub(crate) fn rseq(bytes: &[u8], value: Span) -> Option<u32> {
    let number = number(value.of(bytes), 0x7fff_ffff).filter(|n| *n > 0)?;
    u32::try_from(number).ok()
}

/// The response that a PRACK acknowledges (RFC 3262 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RAck {
    pub(crate) rseq: u32,
    pub(crate) cseq: u32,
    pub(crate) method: Method,
}

impl RAck {
    /// `None` if the value does not follow the grammar.
    pub(crate) fn parse(bytes: &[u8], value: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, value.trim(bytes));
        let mut number = || {
            let digits = cursor.take_while(|b| b.is_ascii_digit());
            let is_apart = cursor.peek().is_some_and(is_lws);
            cursor.skip_lws();
            let number = number(digits.of(bytes), 0x7fff_ffff).filter(|_| is_apart)?;
            u32::try_from(number).ok()
        };
        let rseq = number().filter(|n| *n > 0)?;
        let cseq = number()?;
        let method = cursor.take_while(is_token);
        (!method.is_empty() && cursor.peek().is_none()).then_some(Self {
            rseq,
            cseq,
            method: Method::of(method.of(bytes)),
        })
    }
}

/// A dialog named by another one: Replaces, Join and Target-Dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DialogRef {
    pub(crate) call_id: Span,
    /// Replaces and Join: `to-tag`; Target-Dialog: `remote-tag`.
    pub(crate) to_tag: Span,
    /// Replaces and Join: `from-tag`; Target-Dialog: `local-tag`.
    pub(crate) from_tag: Span,
    /// Only a dialog that is not confirmed is replaced (RFC 3891 §3).
    pub(crate) is_early_only: bool,
}

impl DialogRef {
    /// `None` if the value does not follow the grammar or names no tags.
    pub(crate) fn parse(bytes: &[u8], value: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, value.trim(bytes));
        let call_id = cursor.take_while(|b| b > b' ' && b != b';' && b != b',');
        let (mut to_tag, mut from_tag, mut is_early_only) = (None, None, false);
        let well_formed = params(cursor, |param| {
            let name = param.name.of(bytes);
            let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
            if is("to-tag") || is("remote-tag") {
                to_tag = to_tag.or(param.value);
            } else if is("from-tag") || is("local-tag") {
                from_tag = from_tag.or(param.value);
            }
            is_early_only |= is("early-only");
        });
        let (to_tag, from_tag) = (to_tag?, from_tag?);
        (well_formed && !call_id.is_empty()).then_some(Self {
            call_id,
            to_tag,
            from_tag,
            is_early_only,
        })
    }
}
