//! The words of refusal, as proxies know them (spec: ng-protocol §14).

/// The message has a cookie and nothing else.
pub const NO_PAYLOAD: &str = "Invalid data (no payload)";
/// The payload starts like a bencode dictionary and is none.
pub const BAD_BENCODE: &str = "Could not decode bencode dictionary";
/// The payload starts like a JSON object and is no JSON.
pub const BAD_JSON: &str = "Failed to parse JSON document";
/// The payload is JSON and no object.
pub const JSON_NOT_OBJECT: &str = "Could not decode JSON dictionary";
/// The payload is neither.
pub const BAD_FORMAT: &str = "Invalid NG data format";
/// There is no `command`.
pub const NO_COMMAND: &str = "Dictionary contains no key \"command\"";
/// The command has no such name.
pub const UNKNOWN_COMMAND: &str = "Unrecognized command";
/// No `sdp`.
pub const NO_SDP: &str = "No SDP body in message";
/// No `call-id`.
pub const NO_CALL_ID: &str = "No call-id in message";
/// No `from-tag`.
pub const NO_FROM_TAG: &str = "No from-tag in message";
/// No `to-tag`.
pub const NO_TO_TAG: &str = "No to-tag in message";
/// No call has this id.
pub const UNKNOWN_CALL_ID: &str = "Unknown call-id";
/// The SDP is not SDP.
pub const SDP_PARSE_FAILED: &str = "Failed to parse SDP";
/// The SDP lacks an address, or has a payload type that is none.
pub const INCOMPLETE_SDP: &str = "Incomplete SDP specification";
/// The tags name no two parties.
pub const INVALID_DIALOGUE: &str = "Invalid dialogue association";
/// No free ports, or no interface.
pub const OUT_OF_PORTS: &str = "Ran out of ports";
/// As many calls as allowed.
pub const SESSION_LIMIT: &str = "Parallel session limit reached";
/// `delete` of what is not there.
pub const CALL_ID_NOT_FOUND: &str = "Call-ID not found or tags didn't match";
/// `list` with a negative limit.
pub const INVALID_LIMIT: &str = "invalid limit, must be >= 0";
/// A defect of the relay ended the command.
pub const INTERNAL: &str = "Internal error";
