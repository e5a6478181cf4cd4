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
                (2, b't') if is(name, b"to") => Self::To,
                (3, b'v') if is(name, b"via") => Self::Via,
                (4, b'c') if is(name, b"cseq") => Self::CSeq,
                (4, b'd') if is(name, b"date") => Self::Date,
                (4, b'f') if is(name, b"from") => Self::From,
                (4, b'j') if is(name, b"join") => Self::Join,
                (4, b'p') if is(name, b"path") => Self::Path,
                (4, b'r') if is(name, b"rack") => Self::RAck,
                (4, b'r') if is(name, b"rseq") => Self::RSeq,
                (5, b'a') if is(name, b"allow") => Self::Allow,
                (5, b'e') if is(name, b"event") => Self::Event,
                (5, b'r') if is(name, b"route") => Self::Route,
                (6, b'm') if is(name, b"min-se") => Self::MinSe,
                (6, b'r') if is(name, b"reason") => Self::Reason,
                (6, b's') if is(name, b"server") => Self::Server,
                (7, b'c') if is(name, b"call-id") => Self::CallId,
                (7, b'c') if is(name, b"contact") => Self::Contact,
                (7, b'e') if is(name, b"expires") => Self::Expires,
                (7, b'p') if is(name, b"privacy") => Self::Privacy,
                (7, b'r') if is(name, b"require") => Self::Require,
                (7, b's') if is(name, b"subject") => Self::Subject,
                (7, b'w') if is(name, b"warning") => Self::Warning,
                (8, b'r') if is(name, b"refer-to") => Self::ReferTo,
                (8, b'r') if is(name, b"replaces") => Self::Replaces,
                (8, b'r') if is(name, b"reply-to") => Self::ReplyTo,
                (9, b'd') if is(name, b"diversion") => Self::Diversion,
                (9, b's') if is(name, b"supported") => Self::Supported,
                (10, b'u') if is(name, b"user-agent") => Self::UserAgent,
                (11, b'i') if is(name, b"in-reply-to") => Self::InReplyTo,
                (11, b'm') if is(name, b"min-expires") => Self::MinExpires,
                (11, b'r') if is(name, b"referred-by") => Self::ReferredBy,
                (11, b'r') if is(name, b"retry-after") => Self::RetryAfter,
                (11, b'u') if is(name, b"unsupported") => Self::Unsupported,
                (12, b'a') if is(name, b"allow-events") => Self::AllowEvents,
                (12, b'c') if is(name, b"content-type") => Self::ContentType,
                (12, b'h') if is(name, b"history-info") => Self::HistoryInfo,
                (12, b'm') if is(name, b"max-forwards") => Self::MaxForwards,
                (12, b'r') if is(name, b"record-route") => Self::RecordRoute,
                (13, b'a') if is(name, b"authorization") => Self::Authorization,
                (13, b'p') if is(name, b"proxy-require") => Self::ProxyRequire,
                (13, b's') if is(name, b"service-route") => Self::ServiceRoute,
                (13, b't') if is(name, b"target-dialog") => Self::TargetDialog,
                (14, b'c') if is(name, b"content-length") => Self::ContentLength,
                (15, b'r') if is(name, b"remote-party-id") => Self::RemotePartyId,
                (15, b's') if is(name, b"session-expires") => Self::SessionExpires,
                (16, b'c') if is(name, b"content-encoding") => Self::ContentEncoding,
                (16, b'w') if is(name, b"www-authenticate") => Self::WwwAuthenticate,
                (18, b'p') if is(name, b"proxy-authenticate") => Self::ProxyAuthenticate,
                (19, b'a') if is(name, b"authentication-info") => Self::AuthenticationInfo,
                (19, b'p') if is(name, b"p-asserted-identity") => Self::PAssertedIdentity,
                (19, b'p') if is(name, b"proxy-authorization") => Self::Authorization,
                (20, b'p') if is(name, b"p-preferred-identity") => Self::PPreferredIdentity,
                _ => Self::Other,
            },
        }
    }
}

/// Compares a name with one in lower case, of the same length, all bytes at once. A name holds no
/// control bytes, so that the bit that tells cases apart tells nothing else apart.
fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    name.first_chunk::<N>().is_some_and(|name| {
        let pairs = name.iter().zip(lower);
        pairs.fold(0, |odd, (a, b)| odd | ((a | 0x20) ^ b)) == 0
    })
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
