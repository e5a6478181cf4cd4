//! Reading single values from a node, leniently.

use std::net::IpAddr;

use crate::{limits::LIST_MEMBERS, tape::Node};

/// Text, lossily; nothing if the node is no string.
pub(super) fn text(node: Node<'_>) -> Option<String> {
    node.as_bytes().map(lossy)
}

/// Text of a string or an integer, where a peer may send either (`digit`).
pub(super) fn text_or_int(node: Node<'_>) -> Option<String> {
    text(node).or_else(|| node.as_int().map(|int| int.to_string()))
}

/// An opaque name; an empty one counts as absent.
pub(super) fn name<'t, T: From<&'t [u8]>>(node: Node<'t>) -> Option<T> {
    node.as_bytes()
        .filter(|bytes| !bytes.is_empty())
        .map(T::from)
}

/// An IP address, an IPv6 one also in brackets.
pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(text).parse().ok()?;
    // `::ffff:a.b.c.d` is the IPv4 address that it means.
    Some(address.to_canonical())
}

/// A number that cannot be negative.
pub(super) fn unsigned(node: Node<'_>) -> Option<u32> {
    node.to_int().and_then(|int| u32::try_from(int).ok())
}

/// `on` or `off`, and what else people write for them.
pub(super) fn switch(node: Node<'_>) -> Option<bool> {
    if let Some(int) = node.as_int() {
        return Some(int != 0);
    }
    let word = node.as_bytes()?;
    let among = |words: [&str; 6]| {
        words
            .iter()
            .any(|w| word.eq_ignore_ascii_case(w.as_bytes()))
    };
    if among(["on", "yes", "true", "1", "enable", "enabled"]) {
        Some(true)
    } else if among(["off", "no", "false", "0", "disable", "disabled"]) {
        Some(false)
    } else {
        None
    }
}

/// Replaces the old value, unless there is no new one.
pub(super) fn update<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}

/// Appends within the bound of lists.
pub(super) fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < LIST_MEMBERS {
        list.push(item);
    }
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
