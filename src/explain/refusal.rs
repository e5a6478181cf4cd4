//! Reasons for a refused request, longer than those of the protocol.

use windlass_ng::limits::REQUEST_ELEMENTS;
use windlass_ng::{Request, bencode, errors, json};
use windlass_sdp::{ParseOptions, SessionDescription};

use super::read::Message;
use crate::call::ports::Interfaces;

/// Fault of a message that is no request; `None` if the reply says enough.
pub(super) fn undecodable(message: &Message<'_>) -> Option<String> {
    match message.payload.first() {
        Some(b'{') => json::decode(message.payload, REQUEST_ELEMENTS)
            .err()
            .map(|error| error.to_string()),
        _ => bencode::decode(message.payload, REQUEST_ELEMENTS)
            .err()
            .map(|error| error.to_string()),
    }
}

/// Explanation of an error reply with `reason`, if there is more to say.
pub(super) fn explain(
    request: &Request,
    reason: &str,
    options: ParseOptions,
    interfaces: &Interfaces,
) -> Vec<String> {
    match reason {
        errors::SDP_PARSE | errors::SDP_INCOMPLETE => sdp(request, options),
        errors::UNKNOWN_CALL_ID | errors::UNKNOWN_CALL_ID_PARTY | errors::UNKNOWN_CALL_IDS => {
            vec!["no request before this one created a call of this call-id".to_owned()]
        }
        errors::DIALOGUE_ASSOCIATION => {
            vec!["from-tag and to-tag are of one party: it cannot talk to itself".to_owned()]
        }
        errors::OUT_OF_PORTS => {
            let addresses = interfaces.addresses().iter();
            let used = addresses.map(|address| {
                format!(
                    "interface `{}`, {}: {} of {} ports leased",
                    address.name,
                    address.address,
                    address.pool.used(),
                    address.pool.total()
                )
            });
            used.collect()
        }
        _ => Vec::new(),
    }
}

fn sdp(request: &Request, options: ParseOptions) -> Vec<String> {
    let Some(sdp) = &request.sdp else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(sdp);
    let line_of = |line: usize| {
        let text = line
            .checked_sub(1)
            .and_then(|index| text.lines().nth(index));
        text.map(|text| format!("line {line} of the SDP: {text}"))
    };
    match SessionDescription::parse(sdp, options) {
        Err(error) => {
            let mut out: Vec<String> = line_of(error.line).into_iter().collect();
            out.push(error.reason.to_string());
            out
        }
        Ok(sdp) => {
            let missing = |media: &&windlass_sdp::Media| {
                !media.is_rejected() && sdp.address_of(media).is_err()
            };
            let Some(media) = sdp.media.iter().find(missing) else {
                return vec!["more m= lines than a call may have".to_owned()];
            };
            let mut out: Vec<String> = line_of(media.line).into_iter().collect();
            out.push("neither this m= line nor the session has a c=".to_owned());
            out
        }
    }
}
