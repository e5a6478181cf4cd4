//! STUN binding requests on SIP ports (RFC 5626 §4.4.2 and §8): the address that we see, told to
//! the one who asks. No state, no authentication, no other method.

use std::net::{IpAddr, SocketAddr};

/// A datagram that can only be STUN (RFC 8489 §5): no SIP message starts with such a byte.
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|b| *b < 4) && datagram.get(4..8) == Some(&COOKIE)
}

/// The response to a binding request from `source`; `None` to anything else, which is dropped.
///
/// A request with an attribute that must be understood, and is not, gets 420 (RFC 8489 §6.3.1).
pub(super) fn respond(datagram: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let (header, attributes) = datagram.split_first_chunk::<20>()?;
    let ([0x00, 0x01, a, b], rest) = header.split_first_chunk()? else {
        return None;
    };
    if usize::from(u16::from_be_bytes([*a, *b])) != attributes.len() {
        return None;
    }
    let transaction: &[u8; 12] = rest.last_chunk()?;
    let unknown = unknown_attributes(attributes)?;
    let mut body = Vec::with_capacity(32);
    let class = if unknown.is_empty() {
        append(&mut body, XOR_MAPPED_ADDRESS, &mapped(source, transaction));
        SUCCESS
    } else {
        append(&mut body, ERROR_CODE, b"\0\0\x04\x14Unknown Attribute");
        append(&mut body, UNKNOWN_ATTRIBUTES, unknown.as_flattened());
        ERROR
    };
    let mut response = Vec::with_capacity(20 + body.len());
    response.extend(class);
    response.extend(u16::try_from(body.len()).ok()?.to_be_bytes());
    response.extend(COOKIE);
    response.extend(transaction);
    response.extend(body);
    Some(response)
}

/// The types of attributes that must be understood and are not; `None` if they are malformed.
fn unknown_attributes(mut bytes: &[u8]) -> Option<Vec<[u8; 2]>> {
    let mut unknown = Vec::new();
    while !bytes.is_empty() {
        let (kind, rest) = bytes.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length)).next_multiple_of(4);
        bytes = rest.get(length..)?;
        let [high, _] = kind;
        if *high < 0x80 && !UNDERSTOOD.contains(kind) && unknown.len() < UNKNOWN_NAMED {
            unknown.push(*kind);
        }
    }
    Some(unknown)
}

/// The value of XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
fn mapped(source: SocketAddr, transaction: &[u8; 12]) -> Vec<u8> {
    let pad = COOKIE.iter().chain(transaction);
    let port = source.port().to_be_bytes();
    let mut value = vec![0];
    let (family, ip) = match source.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    value.push(family);
    value.extend(port.iter().zip(&COOKIE).map(|(a, b)| a ^ b));
    value.extend(ip.iter().zip(pad).map(|(a, b)| a ^ b));
    value
}

fn append(body: &mut Vec<u8>, kind: [u8; 2], value: &[u8]) {
    body.extend(kind);
    // Ours are a few bytes long.
    body.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const ERROR: [u8; 2] = [0x01, 0x11];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];
const ERROR_CODE: [u8; 2] = [0x00, 0x09];
const UNKNOWN_ATTRIBUTES: [u8; 2] = [0x00, 0x0a];
/// USERNAME, MESSAGE-INTEGRITY, REALM, NONCE, and integrity by SHA-256: credentials that nobody asked
/// for change nothing here.
const UNDERSTOOD: [[u8; 2]; 5] = [[0, 0x06], [0, 0x08], [0, 0x14], [0, 0x15], [0, 0x1c]];
/// Attributes named in a 420, so that it stays about as long as the request.
const UNKNOWN_NAMED: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stun_types::attribute::{ErrorCode, UnknownAttributes, XorMappedAddress};
    use stun_types::message::{BINDING, Message, MessageClass, MessageType, MessageWriteVec};
    use stun_types::prelude::*;

    use super::*;

    fn request() -> Vec<u8> {
        Message::builder_request(BINDING, MessageWriteVec::new()).finish()
    }

    #[test]
    fn the_source_is_told_as_another_implementation_reads_it() {
        for source in ["192.0.2.7:40000", "[2001:db8::7]:5060"] {
            let source: SocketAddr = source.parse().unwrap();
            let request = request();
            assert!(is_stun(&request));
            let response = respond(&request, source).unwrap();
            let read = Message::from_bytes(&response).unwrap();
            assert_eq!(
                read.get_type(),
                MessageType::from_class_method(MessageClass::Success, BINDING)
            );
            let asked = Message::from_bytes(&request).unwrap();
            assert_eq!(read.transaction_id(), asked.transaction_id());
            let mapped = read.attribute::<XorMappedAddress>().unwrap();
            assert_eq!(mapped.addr(read.transaction_id()), source);
        }
    }

    #[test]
    fn an_attribute_that_must_be_understood_is_refused() {
        let mut request = request();
        // CHANGE-REQUEST of RFC 3489.
        request.extend([0, 3, 0, 4, 0, 0, 0, 6]);
        request[3] = 8;
        let response = respond(&request, "192.0.2.7:1".parse().unwrap()).unwrap();
        let read = Message::from_bytes(&response).unwrap();
        assert_eq!(read.attribute::<ErrorCode>().unwrap().code(), 420);
        let unknown = read.attribute::<UnknownAttributes>().unwrap();
        assert!(unknown.has_attribute(stun_types::attribute::AttributeType::new(3)));
    }

    #[test]
    fn only_requests_are_answered() {
        let source = "192.0.2.7:1".parse().unwrap();
        let response = respond(&request(), source).unwrap();
        // Two servers that answered each other's answers would never stop.
        assert_eq!(respond(&response, source), None);
        assert_eq!(respond(&request()[..19], source), None);
        assert!(!is_stun(b"OPTIONS sip:a SIP/2.0\r\n\r\n"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_datagram_panics_or_is_amplified(attributes in any::<Vec<u8>>()) {
            let mut datagram = request();
            datagram[2..4].copy_from_slice(&u16::try_from(attributes.len()).unwrap().to_be_bytes());
            datagram.extend(attributes);
            if let Some(response) = respond(&datagram, "[::1]:1".parse().unwrap()) {
                prop_assert!(response.len() <= datagram.len() + 48);
            }
        }
    }
}
