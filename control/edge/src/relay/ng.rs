//! An ng daemon as the media relay: requests as bencoded dictionaries over UDP, repeated under one
//! cookie until answered.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{MediaCommand, MediaError, MediaFuture, MediaRelay, MediaReply, MediaRequest};
use crate::config::AddressFamily;

/// A connection to one ng daemon. Dropping it ends its reader.
#[derive(Debug)]
pub(crate) struct NgRelay {
    socket: Arc<UdpSocket>,
    pending: Arc<Pending>,
    reader: JoinHandle<()>,
}

/// Waiting requests by cookie.
#[derive(Debug, Default)]
struct Pending {
    next: AtomicU64,
    prefix: u64,
    waiting: Mutex<HashMap<String, oneshot::Sender<Vec<u8>>>>,
}

impl NgRelay {
    /// Opens a socket toward the daemon; it need not run yet.
    pub(crate) async fn connect(daemon: SocketAddr) -> io::Result<Self> {
        let any = if daemon.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = Arc::new(UdpSocket::bind(any).await?);
        socket.connect(daemon).await?;
        let pending = Arc::new(Pending {
            prefix: rand::random(),
            ..Pending::default()
        });
        let reader = tokio::spawn(read(socket.clone(), pending.clone()));
        Ok(Self {
            socket,
            pending,
            reader,
        })
    }
}

impl Drop for NgRelay {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl MediaRelay for NgRelay {
    fn request(&self, request: MediaRequest) -> MediaFuture {
        let (socket, pending) = (self.socket.clone(), self.pending.clone());
        Box::pin(async move {
            let (ticket, mut reply) = pending.ticket();
            let mut packet = ticket.cookie.clone().into_bytes();
            packet.push(b' ');
            encode(&request, &mut packet);
            let mut failure = MediaError::Timeout;
            for pause in REPEATS {
                if let Err(error) = socket.send(&packet).await {
                    failure = MediaError::Unreachable(error.to_string());
                }
                if let Ok(Ok(reply)) = tokio::time::timeout(pause, &mut reply).await {
                    return decode(&reply);
                }
            }
            Err(failure)
        })
    }
}

/// A cookie in use; forgotten when dropped, even if the request is abandoned.
struct Ticket {
    pending: Arc<Pending>,
    cookie: String,
}

impl Pending {
    fn ticket(self: &Arc<Self>) -> (Ticket, oneshot::Receiver<Vec<u8>>) {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let cookie = format!("{:016x}_{n}", self.prefix);
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(cookie.clone(), sender);
        drop(waiting);
        (
            Ticket {
                pending: self.clone(),
                cookie,
            },
            receiver,
        )
    }

    fn take(&self, cookie: &str) -> Option<oneshot::Sender<Vec<u8>>> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(cookie)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pending.take(&self.cookie);
    }
}

async fn read(socket: Arc<UdpSocket>, pending: Arc<Pending>) {
    let mut buffer = vec![0; 65_536];
    loop {
        // An error is the ICMP message of an earlier request; that request repeats itself.
        let Ok(n) = socket.recv(&mut buffer).await else {
            continue;
        };
        let datagram = buffer.get(..n).unwrap_or_default();
        let Some(space) = datagram.iter().position(|b| *b == b' ') else {
            continue;
        };
        let (cookie, reply) = datagram.split_at(space);
        let waiting = std::str::from_utf8(cookie)
            .ok()
            .and_then(|cookie| pending.take(cookie));
        if let Some(waiting) = waiting {
            // Nobody listens if the request was abandoned.
            let _ = waiting.send(reply.get(1..).unwrap_or_default().to_vec());
        }
    }
}

/// Spec ng-protocol §6. A delete names the caller: with that tag, the call ends with all its
/// branches.
fn encode(request: &MediaRequest, out: &mut Vec<u8>) {
    let command = match request.command {
        MediaCommand::Offer => "offer",
        MediaCommand::Answer => "answer",
        MediaCommand::Delete => "delete",
    };
    let text = |value: &str| {
        let mut out = Vec::new();
        string(value.as_bytes(), &mut out);
        out
    };
    let list = |values: &[&str]| {
        let mut out = vec![b'l'];
        values
            .iter()
            .for_each(|value| string(value.as_bytes(), &mut out));
        out.push(b'e');
        out
    };
    let mut entries: Vec<(&str, Vec<u8>)> = vec![
        ("call-id", text(&request.call_id)),
        ("command", text(command)),
    ];
    entries.push(("from-tag", text(&request.from_tag)));
    if request.command != MediaCommand::Delete {
        entries.extend(request.to_tag.as_deref().map(|tag| ("to-tag", text(tag))));
        entries.push(("replace", list(&["origin"])));
    }
    if let Some(sdp) = &request.sdp {
        let mut value = Vec::new();
        string(sdp, &mut value);
        entries.push(("sdp", value));
    }
    if let Some(ip) = request.received_from {
        let family = AddressFamily::of(SocketAddr::new(ip, 0)).as_str();
        entries.push(("received-from", list(&[family, &ip.to_string()])));
    }
    if let Some((from, to)) = &request.direction {
        entries.push(("direction", list(&[from, to])));
    }
    if let Some(family) = request.address_family {
        entries.push(("address-family", text(family.as_str())));
    }
    if !request.flags.is_empty() {
        let flags: Vec<_> = request.flags.iter().map(String::as_str).collect();
        entries.push(("flags", list(&flags)));
    }
    // A list may be given as one string, separated by commas.
    entries.extend(
        request
            .extra
            .iter()
            .map(|(key, value)| (key.as_str(), text(value))),
    );
    // Bencode wants its keys in order.
    entries.sort_by(|a, b| a.0.cmp(b.0));
    entries.dedup_by(|a, b| a.0 == b.0);
    out.push(b'd');
    for (key, value) in &entries {
        string(key.as_bytes(), out);
        out.extend_from_slice(value);
    }
    out.push(b'e');
}

fn decode(reply: &[u8]) -> Result<MediaReply, MediaError> {
    let field = |key: &str| find(reply, key.as_bytes());
    match field("result") {
        Some(b"ok") => Ok(MediaReply {
            sdp: field("sdp").unwrap_or_default().to_vec(),
        }),
        _ => {
            let reason = field("error-reason").unwrap_or(b"malformed reply");
            Err(MediaError::Refused(
                String::from_utf8_lossy(reason).into_owned(),
            ))
        }
    }
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(text);
}

/// The string under `key` of a bencoded dictionary; other values are stepped over.
fn find<'a>(dict: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut at = 1;
    if dict.first() != Some(&b'd') {
        return None;
    }
    loop {
        let (name, next) = take_string(dict, at)?;
        if name == key {
            return take_string(dict, next).map(|(value, _)| value);
        }
        at = skip(dict, next)?;
    }
}

fn take_string(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let colon = rest.iter().take(8).position(|b| *b == b':')?;
    let length: usize = std::str::from_utf8(rest.get(..colon)?).ok()?.parse().ok()?;
    let start = at + colon + 1;
    let end = start.checked_add(length)?;
    Some((bytes.get(start..end)?, end))
}

/// Behind the value that begins at `at`, without recursion.
fn skip(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match bytes.get(at)? {
            b'l' | b'd' => {
                depth += 1;
                at += 1;
            }
            b'e' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b'i' => at += bytes.get(at..)?.iter().position(|b| *b == b'e')? + 1,
            _ => at = take_string(bytes, at)?.1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Pauses behind the first request and each repeat. The daemon answers a repeated cookie from its
/// cache.
const REPEATS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> MediaRequest {
        MediaRequest {
            command: MediaCommand::Offer,
            call_id: "c".into(),
            from_tag: "a".into(),
            to_tag: None,
            sdp: Some(b"v=0".to_vec()),
            received_from: Some("192.0.2.7".parse().unwrap()),
            direction: Some(("ext".into(), "int".into())),
            address_family: Some(AddressFamily::Ip6),
            flags: vec!["x".into()],
            extra: vec![("rtcp-mux".into(), "demux,accept".into())],
        }
    }

    #[test]
    fn offer_is_a_sorted_dictionary() {
        let mut out = Vec::new();
        encode(&offer(), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "d14:address-family3:IP67:call-id1:c7:command5:offer9:directionl3:ext3:inte5:flagsl1:xe\
             8:from-tag1:a13:received-froml3:IP49:192.0.2.7e7:replacel6:origine\
             8:rtcp-mux12:demux,accept3:sdp3:v=0e"
        );
    }

    #[test]
    fn replies_are_read_past_what_is_not_needed() {
        let ok = b"d7:createdi5e4:tagsd1:ald1:xi1eeee6:result2:ok3:sdp3:abce";
        assert_eq!(
            decode(ok),
            Ok(MediaReply {
                sdp: b"abc".to_vec()
            })
        );
        let error = b"d6:result5:error12:error-reason2:noe";
        assert_eq!(decode(error), Err(MediaError::Refused("no".into())));
        for cut in 0..ok.len() {
            let _ = decode(&ok[..cut]);
        }
        assert!(decode(b"d9999999:").is_err());
    }

    #[tokio::test]
    async fn lost_request_is_repeated_under_its_cookie() {
        let daemon = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let relay = NgRelay::connect(daemon.local_addr().unwrap())
            .await
            .unwrap();
        let asked = tokio::spawn(relay.request(offer()));
        let mut buffer = [0; 1500];
        let n = daemon.recv(&mut buffer).await.unwrap();
        let first = buffer[..n].to_vec();
        let (n, from) = daemon.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer[..n], first);
        let space = first.iter().position(|b| *b == b' ').unwrap();
        let reply = [&first[..space], b" d6:result2:ok3:sdp1:xe"].concat();
        daemon.send_to(&reply, from).await.unwrap();
        assert_eq!(asked.await.unwrap(), Ok(MediaReply { sdp: b"x".to_vec() }));
        assert!(relay.pending.waiting.lock().unwrap().is_empty());
    }
}
