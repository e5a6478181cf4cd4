//! A SIP party that a test leads message by message, where a real phone cannot be told to do what
//! is looked at. It has no transactions: what it sends goes out once, what comes is handed over.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, WebSocket};

/// How long a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) text: String,
    /// Who sent it; of a connection its other end.
    pub(crate) from: SocketAddr,
}

impl Message {
    pub(crate) fn line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The status of a response, the method of a request.
    pub(crate) fn kind(&self) -> &str {
        let line = self.line();
        match line.strip_prefix("SIP/2.0 ") {
            Some(rest) => rest.get(..3).unwrap_or_default(),
            None => line.split(' ').next().unwrap_or_default(),
        }
    }

    /// The Request-URI.
    pub(crate) fn uri(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// All values of a header, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let rows = head.lines().skip(1).filter_map(|row| row.split_once(':'));
        let rows = rows.filter(|(row, _)| row.trim().eq_ignore_ascii_case(name));
        rows.flat_map(|(_, value)| value.split(',').map(str::trim))
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let all = self.all(name);
        all.first()
            .unwrap_or_else(|| panic!("no {name}: {}", self.text))
    }

    pub(crate) fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }

    /// Where the SDP wants media.
    pub(crate) fn media(&self) -> SocketAddr {
        super::sdp::address(self.body(), 0)
    }
}

enum Link {
    Udp(UdpSocket),
    Stream(TcpStream, Vec<u8>),
    Ws(Box<WebSocket<TcpStream>>),
}

/// A party and its way to the edge.
pub(crate) struct Party {
    link: Link,
    /// Its own address.
    pub(crate) at: SocketAddr,
    /// Where its requests go.
    edge: SocketAddr,
    user: String,
    /// INVITEs that were sent, for the ACK of a refusal.
    invites: Vec<String>,
    /// Branches of those that were refused.
    refused: Vec<String>,
    /// Requests that came, by Via and CSeq.
    heard: Vec<String>,
    /// OPTIONS by which the edge asks whether it works are answered, and not handed over.
    pub(crate) answers_probes: bool,
}

impl Party {
    pub(crate) fn udp(user: &str, ip: &str, edge: SocketAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        Self::new(user, socket.local_addr().unwrap(), edge, Link::Udp(socket))
    }

    /// At a port that a configuration names.
    pub(crate) fn udp_at(user: &str, at: SocketAddr, edge: SocketAddr) -> Self {
        let socket = UdpSocket::bind(at).unwrap();
        Self::new(user, at, edge, Link::Udp(socket))
    }

    pub(crate) fn tcp(user: &str, edge: SocketAddr) -> Self {
        Self::on_stream(user, TcpStream::connect(edge).unwrap())
    }

    /// The next connection that the edge opens.
    pub(crate) fn accepted(user: &str, listener: &TcpListener) -> Self {
        Self::on_stream(user, listener.accept().unwrap().0)
    }

    fn on_stream(user: &str, stream: TcpStream) -> Self {
        let (at, edge) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        Self::new(user, at, edge, Link::Stream(stream, Vec::new()))
    }

    pub(crate) fn ws(user: &str, edge: SocketAddr) -> Self {
        let stream = TcpStream::connect(edge).unwrap();
        let at = stream.local_addr().unwrap();
        let mut request = format!("ws://{edge}/").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
        let (socket, _) = tungstenite::client(request, stream).unwrap();
        Self::new(user, at, edge, Link::Ws(Box::new(socket)))
    }

    fn new(user: &str, at: SocketAddr, edge: SocketAddr, link: Link) -> Self {
        Self {
            link,
            at,
            edge,
            user: user.to_owned(),
            invites: Vec::new(),
            refused: Vec::new(),
            heard: Vec::new(),
            answers_probes: true,
        }
    }

    /// The name of its protocol in Via.
    fn protocol(&self) -> &'static str {
        match self.link {
            Link::Udp(_) => "UDP",
            Link::Stream(..) => "TCP",
            Link::Ws(_) => "WS",
        }
    }

    pub(crate) fn contact(&self) -> String {
        let transport = match self.link {
            Link::Udp(_) => "",
            Link::Stream(..) => ";transport=tcp",
            Link::Ws(_) => ";transport=ws",
        };
        format!("<sip:{}@{}{transport}>", self.user, self.at)
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.send_to(text, self.edge);
    }

    fn send_to(&mut self, text: &str, to: SocketAddr) {
        match &mut self.link {
            Link::Udp(socket) => drop(socket.send_to(text.as_bytes(), to).unwrap()),
            Link::Stream(stream, _) => stream.write_all(text.as_bytes()).unwrap(),
            Link::Ws(socket) => socket.send(tungstenite::Message::text(text)).unwrap(),
        }
    }

    /// The next message; `None`: none within this time, or the connection is closed. A refusal of an
    /// INVITE is acknowledged, and handed over once; so is a request.
    pub(crate) fn next(&mut self, at_most: Duration) -> Option<Message> {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.receive(left)?;
            let is_refusal = matches!(message.kind().as_bytes(), [b'3'..=b'6', ..])
                && message.header("CSeq").ends_with(" INVITE");
            if !message.line().starts_with("SIP/2.0 ") {
                let (via, number) = (message.header("Via"), message.header("CSeq"));
                let key = format!("{via} {number}");
                if self.heard.contains(&key) {
                    continue;
                }
                self.heard.push(key);
            }
            if self.answers_probes && self.is_probe(&message) {
                self.reply(&message, "200 OK", "probed", "", "");
                continue;
            }
            if !is_refusal {
                return Some(message);
            }
            let via = message.header("Via").to_owned();
            let branch = via.split("branch=").nth(1).unwrap_or_default();
            let branch = branch.split(';').next().unwrap_or_default().to_owned();
            let sent = self.invites.iter().find(|text| text.contains(&branch));
            if let Some(sent) = sent.cloned() {
                self.same_transaction(&sent, "ACK", Some(message.header("To")));
            }
            if !self.refused.contains(&branch) {
                self.refused.push(branch);
                return Some(message);
            }
        }
    }

    /// Whether the edge asks if its target works. A ping of a phone goes no further than to it.
    fn is_probe(&self, message: &Message) -> bool {
        message
            .line()
            .starts_with(&format!("OPTIONS sip:{}", self.at))
            && message.all("Max-Forwards") == ["70"]
            && message.all("User-Agent").is_empty()
    }

    fn receive(&mut self, at_most: Duration) -> Option<Message> {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            let left = left.max(Duration::from_millis(1));
            let edge = self.edge;
            let (text, from) = match &mut self.link {
                Link::Udp(socket) => {
                    let mut buffer = vec![0; 65_535];
                    socket.set_read_timeout(Some(left)).unwrap();
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                        continue;
                    };
                    buffer.truncate(length);
                    (buffer, from)
                }
                Link::Stream(stream, read) => (next_of_stream(stream, read, left)?, edge),
                Link::Ws(socket) => {
                    socket.get_ref().set_read_timeout(Some(left)).unwrap();
                    match socket.read() {
                        Ok(message) if message.is_text() || message.is_binary() => {
                            (message.into_data().to_vec(), edge)
                        }
                        Ok(_) => continue,
                        Err(_) => return None,
                    }
                }
            };
            // A keepalive is no message.
            if text.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                continue;
            }
            let text = String::from_utf8_lossy(&text).into_owned();
            return Some(Message { text, from });
        }
    }

    /// The next message of a kind: a method or a status. What comes before is dropped if it is a
    /// provisional response or a repetition, and is otherwise a failure.
    #[track_caller]
    pub(crate) fn expect(&mut self, kind: &str) -> Message {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(message) = self.next(left) else {
                panic!("{}: no {kind}, but {before:?}", self.user);
            };
            if message.kind() == kind {
                return message;
            }
            let passes = message.kind().starts_with('1');
            assert!(passes, "{}: no {kind}, but {}", self.user, message.text);
            before.push(message.text);
        }
    }

    /// Its own address in a domain.
    pub(crate) fn address_of_record(&self, domain: &str) -> String {
        format!("<sip:{}@{domain}>", self.user)
    }

    /// A request outside of a dialog; gives the dialog that it begins.
    pub(crate) fn request(&mut self, method: &str, uri: &str, more: &str, body: &str) -> Dialog {
        let to = format!("<{}>", uri.split(';').next().unwrap_or(uri));
        self.request_as(method, uri, &to, more, body)
    }

    /// The same with a To of its own. A REGISTER is from the address that it is for.
    pub(crate) fn request_as(
        &mut self,
        method: &str,
        uri: &str,
        to: &str,
        more: &str,
        body: &str,
    ) -> Dialog {
        let from = match method {
            "REGISTER" => to.to_owned(),
            _ => format!("<sip:{}@{}>", self.user, self.at.ip()),
        };
        let dialog = Dialog {
            call_id: format!("{}-{}", token(), self.user),
            local: format!("{from};tag={}", token()),
            remote: to.to_owned(),
            target: uri.to_owned(),
            routes: Vec::new(),
            number: 1,
        };
        self.send_in(&dialog, method, more, body);
        dialog
    }

    /// The next request in a dialog.
    pub(crate) fn again(&mut self, dialog: &mut Dialog, method: &str, more: &str, body: &str) {
        dialog.number += 1;
        self.send_in(dialog, method, more, body);
    }

    /// An ACK of a 2xx.
    pub(crate) fn ack(&mut self, dialog: &Dialog, body: &str) {
        self.send_in(dialog, "ACK", "", body);
    }

    fn send_in(&mut self, dialog: &Dialog, method: &str, more: &str, body: &str) {
        let text = self.text(dialog, method, more, body);
        self.send(&text);
        if method == "INVITE" {
            self.invites.push(text);
        }
    }

    /// Gives up the INVITE that was sent last.
    pub(crate) fn cancel(&mut self) {
        let invite = self.invites.last().unwrap().clone();
        self.same_transaction(&invite, "CANCEL", None);
    }

    /// Gives up the INVITE of a call.
    pub(crate) fn cancel_of(&mut self, call_id: &str) {
        let invite = self.invites.iter().find(|text| text.contains(call_id));
        let invite = invite.unwrap().clone();
        self.same_transaction(&invite, "CANCEL", None);
    }

    /// The request as it would be sent.
    pub(crate) fn text(&self, dialog: &Dialog, method: &str, more: &str, body: &str) -> String {
        let mut text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bK{};rport\r\n",
            dialog.target,
            self.protocol(),
            self.at,
            token()
        );
        for route in &dialog.routes {
            let _ = write!(text, "Route: {route}\r\n");
        }
        let _ = write!(
            text,
            "Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n",
            dialog.local, dialog.remote, dialog.call_id, dialog.number
        );
        if method != "REGISTER" && method != "BYE" {
            let _ = write!(text, "Contact: {}\r\n", self.contact());
        }
        text.push_str(more);
        finish(text, body)
    }

    /// The CANCEL of a request, or the ACK of its refusal.
    fn same_transaction(&mut self, sent: &str, method: &str, to: Option<&str>) {
        let kept = [
            "Via:",
            "Route:",
            "From:",
            "To:",
            "Call-ID:",
            "CSeq:",
            "Max-Forwards:",
        ];
        let head = sent.split("\r\n\r\n").next().unwrap_or_default();
        let (line, rows) = head.split_once("\r\n").unwrap();
        let old = line.split(' ').next().unwrap();
        let mut text = format!("{method}{}\r\n", line.strip_prefix(old).unwrap());
        for row in rows.split("\r\n") {
            match to {
                Some(to) if row.starts_with("To:") => {
                    let _ = write!(text, "To: {to}\r\n");
                }
                _ if row.starts_with("CSeq:") => {
                    let _ = write!(text, "{}\r\n", row.replace(old, method));
                }
                _ if kept.iter().any(|name| row.starts_with(name)) => {
                    let _ = write!(text, "{row}\r\n");
                }
                _ => {}
            }
        }
        let text = finish(text, "");
        self.send(&text);
    }

    /// Answers a request where it came from. A tag makes the To its own.
    pub(crate) fn reply(
        &mut self,
        request: &Message,
        status: &str,
        tag: &str,
        more: &str,
        body: &str,
    ) {
        let more = format!("Contact: {}\r\n{more}", self.contact());
        self.answer(request, status, tag, &more, body);
    }

    /// The same with the Contact of `more`, if any.
    pub(crate) fn reply_as(&mut self, request: &Message, status: &str, tag: &str, more: &str) {
        self.answer(request, status, tag, more, "");
    }

    fn answer(&mut self, request: &Message, status: &str, tag: &str, more: &str, body: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        let head = request.text.split("\r\n\r\n").next().unwrap_or_default();
        for row in head.lines().skip(1) {
            let name = row.split(':').next().unwrap_or_default();
            match name {
                "Via" | "v" | "Record-Route" | "From" | "Call-ID" | "CSeq" => {
                    let _ = write!(text, "{row}\r\n");
                }
                "To" if tag.is_empty() || row.contains(";tag=") => {
                    let _ = write!(text, "{row}\r\n");
                }
                "To" => {
                    let _ = write!(text, "{row};tag={tag}\r\n");
                }
                _ => {}
            }
        }
        text.push_str(more);
        let text = finish(text, body);
        self.send_to(&text, request.from);
    }

    /// Nothing comes for a while.
    #[track_caller]
    pub(crate) fn hears_nothing(&mut self, how_long: Duration) {
        if let Some(message) = self.next(how_long) {
            panic!("{} hears {}", self.user, message.text);
        }
    }

    /// Whether the connection was closed by the other end, within this time.
    pub(crate) fn is_closed(&mut self, at_most: Duration) -> bool {
        let Link::Stream(stream, _) = &mut self.link else {
            return false;
        };
        stream.set_read_timeout(Some(at_most)).unwrap();
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}

/// What a party knows of a dialog.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) number: u32,
}

impl Dialog {
    /// The caller takes an answer.
    pub(crate) fn answered(&mut self, response: &Message) {
        self.remote = response.header("To").to_owned();
        let routes = response.all("Record-Route");
        self.routes = routes.iter().rev().map(|&route| route.to_owned()).collect();
        self.retarget(response);
    }

    /// The callee's side, of the INVITE that it answered with this tag.
    pub(crate) fn of_callee(invite: &Message, tag: &str) -> Self {
        let routes = invite.all("Record-Route");
        let mut dialog = Self {
            call_id: invite.header("Call-ID").to_owned(),
            local: format!("{};tag={tag}", invite.header("To")),
            remote: invite.header("From").to_owned(),
            target: String::new(),
            routes: routes.iter().map(|&route| route.to_owned()).collect(),
            number: 1,
        };
        dialog.retarget(invite);
        dialog
    }

    /// The target is what a Contact says.
    fn retarget(&mut self, message: &Message) {
        let contact = message.header("Contact");
        let uri = contact
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'));
        self.target = uri.map_or(contact, |(uri, _)| uri).to_owned();
    }
}

/// An SDP of one A-law stream.
pub(crate) fn sdp(at: SocketAddr) -> String {
    super::sdp::audio(at, "")
}

/// An SDP of somebody whose media nobody looks at.
pub(crate) fn any_sdp(ip: IpAddr) -> String {
    super::sdp::audio(SocketAddr::new(ip, 4000), "")
}

fn finish(mut text: String, body: &str) -> String {
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
    text
}

/// Unlike any other of this process.
fn token() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{}x{}", std::process::id(), NEXT.fetch_add(1, Relaxed))
}

/// The next message of a stream by its Content-Length; `None`: none in time, or closed.
fn next_of_stream(stream: &mut TcpStream, read: &mut Vec<u8>, left: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + left;
    loop {
        let skip = read
            .iter()
            .take_while(|&&byte| matches!(byte, b'\r' | b'\n'));
        let skip = skip.count();
        read.drain(..skip);
        let head = read.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
            let length = text
                .lines()
                .find_map(|row| row.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if read.len() >= head + 4 + length {
                return Some(read.drain(..head + 4 + length).collect());
            }
        }
        let left = deadline.checked_duration_since(Instant::now())?;
        stream
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .unwrap();
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(length) => read.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(_) => {}
        }
    }
}
