//! What is looked at, and repaired, in a request before anything else (RFC 3261 §16.3, §16.4).

use super::Proxy;
use super::route::request_uri;
use crate::cookie::Branch as BranchId;
use crate::message::{HeaderId, Message, NameAddr, Parsed, Span, Start, Via, values};
use crate::transaction::Packet;

impl Proxy {
    /// RFC 3261 §16.3, in the order of the specification.
    /// `is_ours`: it is answered here, so that no hop is needed.
    pub(super) fn check(
        &self,
        message: &Message,
        is_ours: bool,
    ) -> Result<(), ((u16, &'static str), Vec<u8>)> {
        if message.parsed.unknown_scheme {
            return Err(((416, "Unsupported URI Scheme"), Vec::new()));
        }
        if matches!(message.parsed.max_forwards, Some((_, 0))) && !is_ours {
            return Err(((483, "Too Many Hops"), Vec::new()));
        }
        let hash = self.loop_hash(message);
        let bytes = &message.bytes;
        let looped = message
            .values(HeaderId::Via)
            .filter_map(|value| Via::parse(bytes, value))
            .filter(|via| self.is_own(bytes, via.host, via.port))
            .filter_map(|via| BranchId::read(via.branch?.of(bytes), self.key))
            .any(|branch| branch.loop_hash == hash);
        if looped {
            return Err(((482, "Loop Detected"), Vec::new()));
        }
        let mut required = message.values(HeaderId::ProxyRequire).peekable();
        if required.peek().is_some() {
            let mut header = b"Unsupported: ".to_vec();
            for (n, value) in required.enumerate() {
                header.extend_from_slice(if n > 0 { b", " } else { b"" });
                header.extend_from_slice(message.text(value));
            }
            header.extend_from_slice(b"\r\n");
            return Err(((420, "Bad Extension"), header));
        }
        Ok(())
    }

    /// Hash of the fields that identify a request that comes back (RFC 5393 §4.2).
    pub(super) fn loop_hash(&self, message: &Message) -> u64 {
        let uri = match message.parsed.start {
            Start::Request { uri } => message.text(uri),
            _ => b"",
        };
        let cseq = message.parsed.cseq.to_be_bytes();
        let fixed = [
            uri,
            message.sender_tag(),
            message.to_tag().unwrap_or_default(),
            message.call_id(),
            &cseq,
        ];
        let routes = message
            .values(HeaderId::Route)
            .chain(message.values(HeaderId::ProxyRequire))
            .chain(message.values(HeaderId::Authorization))
            .map(|span| message.text(span));
        self.key.hash(fixed.into_iter().chain(routes))
    }

    /// A strict router put our Record-Route in the Request-URI, and the Request-URI behind the last
    /// Route (RFC 3261 §16.4): both go where a loose router leaves them.
    pub(super) fn repair_strict_route(&mut self, message: &mut Message) {
        let (Start::Request { uri: own }, uri) = (message.parsed.start, request_uri(message))
        else {
            return;
        };
        let bytes = message.bytes.clone();
        let is_recorded = uri.param(&bytes, "did").is_some();
        let rows = || {
            message
                .parsed
                .headers
                .iter()
                .filter(|h| h.id == HeaderId::Route)
        };
        let (Some(first), Some(last)) = (rows().next(), rows().next_back()) else {
            return;
        };
        if !is_recorded
            || uri.param(&bytes, "lr").is_none()
            || !self.is_own(&bytes, uri.host, uri.port)
        {
            return;
        }
        let (mut before, mut target) = (None, Span::default());
        for value in values(&bytes, last.value) {
            before = Some(target).filter(|span| !span.is_empty());
            target = value;
        }
        let addr = NameAddr::parse(&bytes, target).unwrap_or_default();
        let splices = &mut self.scratch.splices;
        splices.clear();
        splices.replace(own, &[addr.uri.of(&bytes)]);
        splices.insert(first.row.from(), &[b"Route: <", own.of(&bytes), b">\r\n"]);
        match before {
            Some(before) => splices.remove(Span::new(before.to(), target.to())),
            None => splices.remove(last.row),
        }
        let repaired: Packet = splices.render(&bytes, bytes.len()).into();
        let mut parsed = Parsed::default();
        if parsed
            .parse(&repaired, &self.config.limits.of_stream())
            .is_ok()
        {
            *message = Message {
                bytes: repaired,
                parsed,
            };
        }
    }
}
