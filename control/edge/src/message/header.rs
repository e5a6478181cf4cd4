//! Names of header fields and methods: the ones that routing, media and screening care about.

use super::span::Span;

/// A header the edge reads; everything else is `Other` and passes untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HeaderId {
    Allow,
    AllowEvents,
    AuthenticationInfo,
    /// Authorization and Proxy-Authorization.
    Authorization,
    CallId,
    Contact,
    ContentEncoding,
    ContentLength,
    ContentType,
    CSeq,
    Date,
    Diversion,
    Event,
    Expires,
    From,
    HistoryInfo,
    InReplyTo,
    Join,
    MaxForwards,
    MinExpires,
    MinSe,
    Other,
    PAssertedIdentity,
    Path,
    PPreferredIdentity,
    Privacy,
    ProxyAuthenticate,
    ProxyRequire,
    RAck,
    Reason,
    RecordRoute,
    ReferredBy,
    ReferTo,
    RemotePartyId,
    Replaces,
    ReplyTo,
    Require,
    RetryAfter,
    Route,
    RSeq,
    Server,
    ServiceRoute,
    SessionExpires,
    Subject,
    Supported,
    TargetDialog,
    To,
    Unsupported,
    UserAgent,
    Via,
    Warning,
    WwwAuthenticate,
}

/// One header row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) id: HeaderId,
    pub(crate) name: Span,
    /// Trimmed, folding inside kept.
    pub(crate) value: Span,
    /// The row from the first byte of the name to past the line end.
    pub(crate) row: Span,
}

impl HeaderId {
    /// The header with this name, long or compact, in any case (RFC 3261 §7.3.3).
    pub(crate) fn of(name: &[u8]) -> Self {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        let first = name.first().map_or(0, u8::to_ascii_lowercase);
        match name {
            [single] => match single.to_ascii_lowercase() {
                b'b' => Self::ReferredBy,
                b'c' => Self::ContentType,
                b'e' => Self::ContentEncoding,
                b'f' => Self::From,
                b'i' => Self::CallId,
                b'k' => Self::Supported,
                b'l' => Self::ContentLength,
                b'm' => Self::Contact,
                b'o' => Self::Event,
                b'r' => Self::ReferTo,
                b's' => Self::Subject,
                b't' => Self::To,
                b'u' => Self::AllowEvents,
                b'v' => Self::Via,
                b'x' => Self::SessionExpires,
                _ => Self::Other,
            },
            // The length and one letter leave one candidate, or two.
            _ => match (name.len(), first) {
                (2, b't') if is("To") => Self::To,
                (3, b'v') if is("Via") => Self::Via,
                (4, b'c') if is("CSeq") => Self::CSeq,
                (4, b'd') if is("Date") => Self::Date,
                (4, b'f') if is("From") => Self::From,
                (4, b'j') if is("Join") => Self::Join,
                (4, b'p') if is("Path") => Self::Path,
                (4, b'r') if is("RAck") => Self::RAck,
                (4, b'r') if is("RSeq") => Self::RSeq,
                (5, b'a') if is("Allow") => Self::Allow,
                (5, b'e') if is("Event") => Self::Event,
                (5, b'r') if is("Route") => Self::Route,
                (6, b'm') if is("Min-SE") => Self::MinSe,
                (6, b'r') if is("Reason") => Self::Reason,
                (6, b's') if is("Server") => Self::Server,
                (7, b'c') if is("Call-ID") => Self::CallId,
                (7, b'c') if is("Contact") => Self::Contact,
                (7, b'e') if is("Expires") => Self::Expires,
                (7, b'p') if is("Privacy") => Self::Privacy,
                (7, b'r') if is("Require") => Self::Require,
                (7, b's') if is("Subject") => Self::Subject,
                (7, b'w') if is("Warning") => Self::Warning,
                (8, b'r') if is("Refer-To") => Self::ReferTo,
                (8, b'r') if is("Replaces") => Self::Replaces,
                (8, b'r') if is("Reply-To") => Self::ReplyTo,
                (9, b'd') if is("Diversion") => Self::Diversion,
                (9, b's') if is("Supported") => Self::Supported,
                (10, b'u') if is("User-Agent") => Self::UserAgent,
                (11, b'i') if is("In-Reply-To") => Self::InReplyTo,
                (11, b'm') if is("Min-Expires") => Self::MinExpires,
                (11, b'r') if is("Referred-By") => Self::ReferredBy,
                (11, b'r') if is("Retry-After") => Self::RetryAfter,
                (11, b'u') if is("Unsupported") => Self::Unsupported,
                (12, b'a') if is("Allow-Events") => Self::AllowEvents,
                (12, b'c') if is("Content-Type") => Self::ContentType,
                (12, b'h') if is("History-Info") => Self::HistoryInfo,
                (12, b'm') if is("Max-Forwards") => Self::MaxForwards,
                (12, b'r') if is("Record-Route") => Self::RecordRoute,
                (13, b'a') if is("Authorization") => Self::Authorization,
                (13, b'p') if is("Proxy-Require") => Self::ProxyRequire,
                (13, b's') if is("Service-Route") => Self::ServiceRoute,
                (13, b't') if is("Target-Dialog") => Self::TargetDialog,
                (14, b'c') if is("Content-Length") => Self::ContentLength,
                (15, b'r') if is("Remote-Party-ID") => Self::RemotePartyId,
                (15, b's') if is("Session-Expires") => Self::SessionExpires,
                (16, b'c') if is("Content-Encoding") => Self::ContentEncoding,
                (16, b'w') if is("WWW-Authenticate") => Self::WwwAuthenticate,
                (18, b'p') if is("Proxy-Authenticate") => Self::ProxyAuthenticate,
                (19, b'a') if is("Authentication-Info") => Self::AuthenticationInfo,
                (19, b'p') if is("P-Asserted-Identity") => Self::PAssertedIdentity,
                (19, b'p') if is("Proxy-Authorization") => Self::Authorization,
                (20, b'p') if is("P-Preferred-Identity") => Self::PPreferredIdentity,
                _ => Self::Other,
            },
        }
    }
}

/// A request method. Methods the edge has no rule for keep their bytes in the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    Ack,
    Bye,
    Cancel,
    Info,
    Invite,
    Message,
    Notify,
    Options,
    #[default]
    Other,
    Prack,
    Publish,
    Refer,
    Register,
    Subscribe,
    Update,
}

impl Method {
    /// Methods are case-sensitive (RFC 3261 §7.1).
    pub(crate) fn of(text: &[u8]) -> Self {
        match text {
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"INFO" => Self::Info,
            b"INVITE" => Self::Invite,
            b"MESSAGE" => Self::Message,
            b"NOTIFY" => Self::Notify,
            b"OPTIONS" => Self::Options,
            b"PRACK" => Self::Prack,
            b"PUBLISH" => Self::Publish,
            b"REFER" => Self::Refer,
            b"REGISTER" => Self::Register,
            b"SUBSCRIBE" => Self::Subscribe,
            b"UPDATE" => Self::Update,
            _ => Self::Other,
        }
    }

    /// May open a dialog, and is therefore record-routed outside of one.
    pub(crate) fn forms_dialog(self) -> bool {
        matches!(
            self,
            Self::Invite | Self::Notify | Self::Refer | Self::Subscribe
        )
    }
}
