//! The error and warning strings of the protocol, literally as peers compare or log them.

macro_rules! strings {
    ($( $(#[$group:meta])* $NAME:ident = $text:literal; )+) => {
        $( $(#[$group])* #[doc = concat!("`", $text, "`")] pub const $NAME: &str = $text; )+
    };
}

// Decoding, before any command is known.
strings! {
    NO_PAYLOAD = "Invalid data (no payload)";
    BENCODE = "Could not decode bencode dictionary";
    JSON_PARSE = "Failed to parse JSON document";
    JSON_DICTIONARY = "Could not decode JSON dictionary";
    DATA_FORMAT = "Invalid NG data format";
    NO_COMMAND = "Dictionary contains no key \"command\"";
    UNRECOGNIZED_COMMAND = "Unrecognized command";
    NO_HANDLER = "No command handler";
}

// The key parser.
strings! {
    INVALID_TOKEN = "invalid token given";
    UNKNOWN_MANIPULATION = "unknown manipulation command";
    WRONG_CONTENT = "wrong content given";
    UNSUPPORTED_SECTION = "unsupported sdp section";
    WRONG_TYPE = "wrong type used";
    DESTINATION_WITHOUT_FAMILY = "Destination address without family specified";
    DESTINATION_UNPARSABLE = "Failed to parse destination address";
    FROM_TAG_EMPTY = "Empty/missing from-tag";
}

// Offer and answer.
strings! {
    NO_SDP = "No SDP body in message";
    NO_CALL_ID = "No call-id in message";
    NO_FROM_TAG = "No from-tag in message";
    NO_TO_TAG = "No to-tag in message";
    /// Offer, answer, query and recording.
    UNKNOWN_CALL_ID = "Unknown call-id";
    SDP_PARSE = "Failed to parse SDP";
    SDP_INCOMPLETE = "Incomplete SDP specification";
    DIALOGUE_ASSOCIATION = "Invalid dialogue association";
    SDP_REWRITE = "Error rewriting SDP";
    /// Both proxies fail over on this error.
    OUT_OF_PORTS = "Ran out of ports";
    /// Both proxies fail over on this error.
    SESSION_LIMIT = "Parallel session limit reached";
    /// OpenSIPS fails over on this one.
    CPU_LIMIT = "CPU usage limit exceeded";
    /// OpenSIPS fails over on this one.
    LOAD_LIMIT = "Load limit exceeded";
    /// OpenSIPS fails over on this one.
    BANDWIDTH_LIMIT = "Bandwidth limit exceeded";
}

// Delete, list, cli.
strings! {
    /// The only `warning`; an error with flag `fatal`.
    DELETE_NOT_FOUND = "Call-ID not found or tags didn't match";
    INVALID_LIMIT = "invalid limit, must be >= 0";
    NO_BODY = "No 'body' in message";
}

// Operations on a party.
strings! {
    /// The party operations spell it with capitals.
    UNKNOWN_CALL_ID_PARTY = "Unknown call-ID";
    NO_LABEL = "No monologue matching the given label";
    ADDRESS_UNPARSABLE = "Failed to parse network address";
    ADDRESS_NO_TAG = "Failed to match address to any tag";
    FROM_TAG_UNKNOWN = "From-tag given, but no such tag exists";
    FLOW_TO_TAG = "Media flow not found (to-tag not found)";
    FLOW_TO_LABEL = "Media flow not found (to-label not found)";
    FLOW_NOT_SUBSCRIBED = "Media flow not found (to-tag not subscribed)";
    NO_SUBSCRIPTIONS = "No eligible media subscriptions found";
    NO_PARTICIPANT = "No participant party specified";
}

// Media and DTMF.
strings! {
    NOT_PLAYING = "Not currently playing media";
    MOH_ONGOING = "Currently MoH ongoing, ignore stop media.";
    CODE_RANGE = "Out of range 'code' specified";
    NO_DTMF_INJECTION = "Monologue has no media capable of DTMF injection";
    NO_DTMF_SINK = "There is no sink media capable of DTMF playback";
    /// Built without transcoding.
    UNSUPPORTED = "unsupported";
}

// Publish, subscribe, connect, inject, transform, create, mesh.
strings! {
    UNKNOWN_CALL_IDS = "Unknown call-ID(s)";
    NO_MEDIAS = "No medias found (no monologues matched)";
    SUBSCRIPTION_REQUEST = "Failed to request subscription";
    SDP_CREATE = "Failed to create SDP";
    PUBLISH = "Publish error";
    TO_TAG_NOT_FOUND = "To-tag not found";
    FROM_TAG_NOT_FOUND = "From-tag not found";
    SUBSCRIPTION_ANSWER = "Failed to process subscription answer";
    UNSUBSCRIBE = "Failed to unsubscribe";
    NO_SOURCE_TAG = "No source-tag in message";
    SOURCE_TAG_NOT_FOUND = "Source-tag not found";
    INJECT_SELF = "Trying to inject to self";
    INJECT_START = "Failed to start inject";
    INJECT_STOP = "Failed to stop inject";
    MERGE = "Failed to merge two calls into one";
    MERGE_COLLISION = "Failed to merge two calls into one (tag collision)";
    TRANSFORM_LOOP = "Transform loop detected";
    TRANSFORM = "Failed to set up transform";
    CREATE_PARTY = "failed to set up call/monologue";
    CREATE_SDP = "failed to create SDP";
    CREATE_UNKNOWN_CALL_ID = "unknown call-ID";
    CREATE_FROM_TAG = "from-tag not found";
    CREATE_ANSWER = "failed to perform answer";
    MESH_UNKNOWN_CALL_IDS = "Unknown call ID(s)";
    MESH_COLLISION = "Failed to merge calls (tag collision)";
    MESH_FROM_TAG = "Given from-tag not found";
    MESH_TO_TAG = "Given to-tag not found";
}

// Ours: the reference has no counterpart.
strings! {
    /// A fault in the engine while this request was served; the call may be gone.
    INTERNAL = "Internal error";
    /// The reply cannot be sent over this transport even when shortened.
    REPLY_TOO_LARGE = "Reply too large for this transport";
}
