//! The SIP and SDP that the built-in phones need (RFC 3261, RFC 4566). No library: the edge has the
//! full one.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// A request or response, headers in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Request line or status line.
    pub(super) start: String,
    /// Names in their long form, values trimmed.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Message {
    /// Reads a datagram; `None` if it is no SIP message.
    pub(super) fn parse(datagram: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(datagram).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        if !start.starts_with("SIP/2.0 ") && !start.ends_with(" SIP/2.0") {
            return None;
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let (_, folded) = headers.last_mut()?;
                folded.push(' ');
                folded.push_str(line.trim());
                continue;
            }
            let (name, value) = line.split_once(':')?;
            headers.push((long_form(name.trim()).to_owned(), value.trim().to_owned()));
        }
        Some(Self {
            start,
            headers,
            body: body.to_owned(),
        })
    }

    pub(super) fn new(start: String) -> Self {
        Self {
            start,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// A response that goes back the way `self` came.
    pub(super) fn response(&self, status: &str, to_tag: &str) -> Self {
        let mut response = Self::new(format!("SIP/2.0 {status}"));
        for (name, value) in &self.headers {
            let keep = ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"];
            if !keep.iter().any(|kept| kept.eq_ignore_ascii_case(name)) {
                continue;
            }
            let mut value = value.clone();
            if name.eq_ignore_ascii_case("To") && tag(&value).is_none() && !to_tag.is_empty() {
                value.push_str(";tag=");
                value.push_str(to_tag);
            }
            response.headers.push((name.clone(), value));
        }
        response
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn with_sdp(mut self, sdp: String) -> Self {
        self.body = sdp;
        self.with("Content-Type", "application/sdp")
    }

    /// The method of a request.
    pub(super) fn method(&self) -> Option<&str> {
        let (method, _) = self.start.split_once(' ')?;
        (method != "SIP/2.0").then_some(method)
    }

    /// The status of a response.
    pub(super) fn status(&self) -> Option<u16> {
        self.start
            .strip_prefix("SIP/2.0 ")?
            .split(' ')
            .next()?
            .parse()
            .ok()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Number and method of CSeq.
    pub(super) fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq")?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The bytes to send.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n", self.body.len());
        text.push_str(&self.body);
        text.into_bytes()
    }
}

fn long_form(name: &str) -> &str {
    match name {
        "v" => "Via",
        "f" => "From",
        "t" => "To",
        "i" => "Call-ID",
        "m" => "Contact",
        "l" => "Content-Length",
        "c" => "Content-Type",
        other => other,
    }
}

/// The tag parameter of a From or To.
pub(super) fn tag(value: &str) -> Option<&str> {
    let after_address = value.rsplit('>').next()?;
    after_address
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("tag="))
}

/// The URI of a Contact or Route: what stands in angle brackets, or all of it up to a parameter.
pub(super) fn uri(value: &str) -> &str {
    value
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .map_or_else(
            || value.split(';').next().unwrap_or(value).trim(),
            |(uri, _)| uri,
        )
}

/// The route set of a dialog's caller: Record-Route backwards (RFC 3261 §12.1.2).
pub(super) fn caller_routes(response: &Message) -> Vec<String> {
    let mut routes: Vec<String> = response
        .all("Record-Route")
        .flat_map(|value| value.split(','))
        .map(|route| route.trim().to_owned())
        .collect();
    routes.reverse();
    routes
}

/// `[::1]:5060` or `192.0.2.1:5060`, as URIs and Via write it.
pub(super) fn host_port(address: SocketAddr) -> String {
    address.to_string()
}

/// An audio description: G.711 A-law in 20 ms frames.
pub(super) fn sdp(name: &str, audio: SocketAddr) -> String {
    let family = match audio.ip() {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    };
    let (ip, port) = (audio.ip(), audio.port());
    format!(
        "v=0\r\no={name} 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

/// Address and port of the first audio line of a description.
pub(super) fn audio_address(sdp: &str) -> Option<SocketAddr> {
    let mut session = None;
    let mut media = None;
    let mut port = None;
    for line in sdp.lines().map(str::trim_end) {
        if let Some(rest) = line.strip_prefix("m=") {
            if port.is_some() {
                break;
            }
            let rest = rest.strip_prefix("audio ")?;
            port = Some(rest.split([' ', '/']).next()?.parse().ok()?);
        } else if let Some(rest) = line.strip_prefix("c=") {
            let address: IpAddr = rest.split(' ').nth(2)?.parse().ok()?;
            if port.is_some() {
                media = Some(address);
            } else {
                session = Some(address);
            }
        }
    }
    Some(SocketAddr::new(media.or(session)?, port?))
}

/// The RTCP address of the first audio line: `a=rtcp`, or the next port.
pub(super) fn rtcp_address(sdp: &str, audio: SocketAddr) -> SocketAddr {
    let explicit = sdp
        .lines()
        .find_map(|line| line.strip_prefix("a=rtcp:"))
        .and_then(|rest| {
            let mut words = rest.split_whitespace();
            let port = words.next()?.parse().ok()?;
            let ip = words.nth(2).and_then(|ip| ip.parse().ok());
            Some(SocketAddr::new(ip.unwrap_or_else(|| audio.ip()), port))
        });
    explicit.unwrap_or_else(|| SocketAddr::new(audio.ip(), audio.port().saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:echo@[::1]:5080 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nv: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK2\r\n\
        Record-Route: <sip:192.0.2.1;lr>\r\nf: <sip:a@example.com>;tag=x\r\n\
        To: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\n";

    #[test]
    fn response_keeps_what_routes_it() {
        let invite = Message::parse(INVITE.as_bytes()).unwrap();
        assert_eq!(invite.method(), Some("INVITE"));
        let ok = invite.response("200 OK", "y");
        assert_eq!(ok.all("Via").count(), 2);
        assert_eq!(tag(ok.header("To").unwrap()), Some("y"));
        let parsed = Message::parse(&ok.bytes()).unwrap();
        assert_eq!(parsed.status(), Some(200));
        assert_eq!(caller_routes(&parsed), ["<sip:192.0.2.1;lr>"]);
        assert_eq!(parsed.cseq(), Some((1, "INVITE")));
    }

    #[test]
    fn route_set_of_the_caller_is_reversed() {
        let ok = Message::new("SIP/2.0 200 OK".to_owned())
            .with("Record-Route", "<sip:c;lr>, <sip:b;lr>")
            .with("Record-Route", "<sip:a;lr>");
        assert_eq!(
            caller_routes(&ok),
            ["<sip:a;lr>", "<sip:b;lr>", "<sip:c;lr>"]
        );
    }

    #[test]
    fn media_address_of_the_line_wins() {
        let text = "c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 8\r\nc=IN IP6 2001:db8::1\r\n\
                    a=rtcp:4005\r\nm=video 1 RTP/AVP 9\r\n";
        let audio = audio_address(text).unwrap();
        assert_eq!(audio, "[2001:db8::1]:4000".parse::<SocketAddr>().unwrap());
        assert_eq!(rtcp_address(text, audio).port(), 4005);
        let own = sdp("x", "192.0.2.9:4002".parse().unwrap());
        assert_eq!(audio_address(&own), "192.0.2.9:4002".parse().ok());
    }

    #[test]
    fn nonsense_is_no_message() {
        assert_eq!(Message::parse(b"\r\n\r\n"), None);
        assert_eq!(Message::parse(&[0xff; 40]), None);
        assert_eq!(Message::parse(b"OPTIONS x SIP/2.0\r\nbad\r\n\r\n"), None);
    }
}
