//! Names of header fields: the ones routing and media care about, long and compact.

use super::span::Span;

/// A header the edge reads; everything else is `Other` and passes untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderId {
    /// Authorization and Proxy-Authorization.
    Authorization,
    CallId,
    Contact,
    ContentLength,
    ContentType,
    CSeq,
    From,
    MaxForwards,
    Other,
    ProxyRequire,
    Reason,
    RecordRoute,
    Require,
    Route,
    To,
    Via,
}

/// One header row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) id: HeaderId,
    /// Trimmed, folding inside kept.
    pub(crate) value: Span,
    /// The row from the first byte of the name to past the line end.
    pub(crate) row: Span,
}

impl HeaderId {
    pub(crate) fn of(name: &[u8]) -> Self {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        match name {
            [single] => match single.to_ascii_lowercase() {
                b'v' => Self::Via,
                b'f' => Self::From,
                b't' => Self::To,
                b'i' => Self::CallId,
                b'm' => Self::Contact,
                b'l' => Self::ContentLength,
                b'c' => Self::ContentType,
                _ => Self::Other,
            },
            _ => match name.len() {
                2 if is("To") => Self::To,
                3 if is("Via") => Self::Via,
                4 if is("From") => Self::From,
                4 if is("CSeq") => Self::CSeq,
                5 if is("Route") => Self::Route,
                6 if is("Reason") => Self::Reason,
                7 if is("Call-ID") => Self::CallId,
                7 if is("Contact") => Self::Contact,
                7 if is("Require") => Self::Require,
                12 if is("Max-Forwards") => Self::MaxForwards,
                12 if is("Record-Route") => Self::RecordRoute,
                12 if is("Content-Type") => Self::ContentType,
                13 if is("Authorization") => Self::Authorization,
                13 if is("Proxy-Require") => Self::ProxyRequire,
                14 if is("Content-Length") => Self::ContentLength,
                19 if is("Proxy-Authorization") => Self::Authorization,
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
    Invite,
    Notify,
    #[default]
    Other,
    Prack,
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
            b"INVITE" => Self::Invite,
            b"NOTIFY" => Self::Notify,
            b"PRACK" => Self::Prack,
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
