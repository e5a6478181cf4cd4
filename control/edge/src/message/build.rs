//! Messages the edge makes itself: responses, and the ACK and CANCEL of a branch.

use std::net::SocketAddr;

use super::span::Span;
use super::{HeaderId, Message, Method, Via};

/// A response to `request`, which came from `source` (RFC 3261 §8.2.6). Via, From, To, Call-ID and
/// CSeq are copied from its bytes. `extra` is whole header lines.
pub(crate) fn response(
    request: &Message,
    source: SocketAddr,
    (status, reason): (u16, &str),
    to_tag: Option<&str>,
    extra: &[u8],
) -> Vec<u8> {
    let bytes = &request.bytes;
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(format!("SIP/2.0 {status} {reason}\r\n").as_bytes());
    let mut top = true;
    for header in &request.parsed.headers {
        match header.id {
            HeaderId::Via if top => {
                top = false;
                let via = request.parsed.via;
                out.extend_from_slice(Span::new(header.row.from(), via.value.from()).of(bytes));
                out.extend_from_slice(&received_via(bytes, &via, source));
                out.extend_from_slice(Span::new(via.value.to(), header.row.to()).of(bytes));
            }
            HeaderId::To => {
                out.extend_from_slice(Span::new(header.row.from(), header.value.to()).of(bytes));
                if let Some(tag) = to_tag.filter(|_| request.parsed.to.tag.is_none()) {
                    out.extend_from_slice(b";tag=");
                    out.extend_from_slice(tag.as_bytes());
                }
                out.extend_from_slice(b"\r\n");
            }
            HeaderId::Via | HeaderId::From | HeaderId::CallId | HeaderId::CSeq => {
                out.extend_from_slice(header.row.of(bytes));
            }
            _ => {}
        }
    }
    out.extend_from_slice(extra);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    out
}

/// The value of the top Via with `received` and `rport` filled in (RFC 3261 §18.2.1, RFC 3581 §4).
pub(crate) fn received_via(bytes: &[u8], via: &Via, source: SocketAddr) -> Vec<u8> {
    let mut splices = super::Splices::default();
    if let Some((whole, _)) = via.rport {
        splices.replace(whole, &[format!(";rport={}", source.port()).as_bytes()]);
    }
    if via.rport.is_some() || via.host_ip(bytes) != Some(source.ip()) {
        let received = format!(";received={}", source.ip());
        let old = via.received_param;
        let old = old.unwrap_or_else(|| Span::new(via.value.to(), via.value.to()));
        splices.replace(old, &[received.as_bytes()]);
    } else if let Some(old) = via.received_param {
        splices.remove(old);
    }
    splices
        .render(bytes, via.value.to())
        .split_off(via.value.from())
}

/// Kind of request made from the INVITE that was sent on a branch.
pub(crate) enum Sibling<'a> {
    /// Acknowledges a final response other than 2xx; takes its To (RFC 3261 §17.1.1.3).
    Ack(&'a Message),
    /// Cancels; with the Reason rows of the CANCEL that caused it (RFC 3261 §9.1, RFC 3326).
    Cancel(&'a [u8]),
}

/// The ACK or CANCEL of a branch: Request-URI, top Via, From, Call-ID, CSeq number and Route as
/// in the INVITE that was sent.
pub(crate) fn sibling(invite: &Message, sibling: Sibling<'_>) -> Vec<u8> {
    let bytes = &invite.bytes;
    let parsed = &invite.parsed;
    let name: &[u8] = match sibling {
        Sibling::Ack(_) => b"ACK",
        Sibling::Cancel(_) => b"CANCEL",
    };
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(name);
    let rest = Span::new(parsed.method_name.to(), parsed.start_line.to());
    out.extend_from_slice(rest.of(bytes));
    out.extend_from_slice(b"\r\nVia: ");
    out.extend_from_slice(parsed.via.value.of(bytes));
    out.extend_from_slice(b"\r\nMax-Forwards: 70\r\n");
    for header in &parsed.headers {
        match (header.id, &sibling) {
            (HeaderId::To, Sibling::Ack(response)) => {
                for row in response.rows(HeaderId::To) {
                    out.extend_from_slice(row.row.of(&response.bytes));
                }
            }
            (HeaderId::From | HeaderId::To | HeaderId::CallId | HeaderId::Route, _) => {
                out.extend_from_slice(header.row.of(bytes));
            }
            _ => {}
        }
    }
    out.extend_from_slice(format!("CSeq: {} ", parsed.cseq).as_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(b"\r\n");
    if let Sibling::Cancel(reasons) = sibling {
        out.extend_from_slice(reasons);
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    out
}

/// The key under which a server transaction is found (RFC 3261 §17.2.3). An ACK or CANCEL is looked
/// up with the method INVITE. Written to `key`, which is cleared first.
pub(crate) fn server_key(request: &Message, method: Method, key: &mut Vec<u8>) {
    key.clear();
    let bytes = &request.bytes;
    let parsed = &request.parsed;
    let name: &[u8] = if method == Method::Invite {
        b"INVITE"
    } else {
        parsed.method_name.of(bytes)
    };
    let port = parsed.via.port.unwrap_or(5060).to_be_bytes();
    let host = parsed.via.host.of(bytes);
    let mut add = |part: &[u8]| {
        key.extend_from_slice(part);
        key.push(0);
    };
    add(name);
    add(&host.to_ascii_lowercase());
    add(&port);
    if let Some(branch) = parsed.via.branch_id(bytes) {
        add(branch);
        return;
    }
    // RFC 2543: the request itself identifies it. The To tag of an ACK is ours, so it is left out.
    add(request.call_id());
    add(request.sender_tag());
    add(&parsed.cseq.to_be_bytes());
    add(parsed.via.value.of(bytes));
    if let super::Start::Request { uri } = parsed.start {
        add(uri.of(bytes));
    }
}
