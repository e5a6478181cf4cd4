//! An ng daemon as the media relay, over UDP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use windlass_ng::client::{AsyncClient, ClientError, ClientOptions};
use windlass_ng::{Dict, Family, Value};

use super::{MediaCommand, MediaError, MediaFuture, MediaRelay, MediaReply, MediaRequest};

/// A connection to one ng daemon.
#[derive(Debug)]
pub(crate) struct NgRelay(AsyncClient);

impl NgRelay {
    /// The address that requests come from.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Opens a socket toward the daemon; it need not run yet. A request is sent `tries` times.
    pub(crate) async fn connect(daemon: SocketAddr, tries: u32) -> io::Result<Self> {
        let options = ClientOptions { tries, ..REPEATS };
        AsyncClient::connect(daemon, options).await.map(Self)
    }
}

/// As long as SIP waits for its own first answers: three seconds, with a request that got lost repeated
/// before the phone repeats its own (RFC 3261 §17.1.1.2: 500 ms).
const REPEATS: ClientOptions = ClientOptions {
    tries: 12,
    interval: Duration::from_millis(250),
};

impl MediaRelay for NgRelay {
    fn request(&self, request: MediaRequest) -> MediaFuture {
        let client = self.0.clone();
        Box::pin(async move {
            let reply = client.request(&dict(request)).await?;
            let sdp = reply.get("sdp").and_then(Value::as_bytes);
            Ok(MediaReply {
                sdp: sdp.unwrap_or_default().to_vec(),
                last_packets: last_packets(&reply),
            })
        })
    }
}

impl From<ClientError> for MediaError {
    fn from(error: ClientError) -> Self {
        let is_failover = error.is_failover();
        match error {
            ClientError::Timeout { .. } => Self::Timeout,
            ClientError::Refused { reason } if is_failover => Self::Full(reason),
            ClientError::Refused { reason } => Self::Refused(reason),
            ClientError::Busy { .. } => Self::Full(error.to_string()),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

/// When each party was last heard, in a reply to `query` (spec ng-protocol §12).
fn last_packets(reply: &Dict) -> Vec<(String, u64)> {
    let tags = reply.get("tags").and_then(Value::as_dict);
    let heard = tags.into_iter().flat_map(Dict::iter).map(|(tag, party)| {
        let of = |value: &Value, key: &str| value.as_dict().and_then(|dict| dict.get(key)).cloned();
        let medias = of(party, "medias").unwrap_or_else(|| list([]));
        let streams = medias.as_list().unwrap_or_default().iter();
        let streams = streams.filter_map(|media| of(media, "streams"));
        let last = streams.flat_map(|streams| {
            let times = streams.as_list().unwrap_or_default().iter();
            let times = times.filter_map(|stream| of(stream, "last packet")?.as_int());
            times.collect::<Vec<_>>()
        });
        let last = last.max().unwrap_or(0);
        let tag = String::from_utf8_lossy(tag).into_owned();
        (tag, u64::try_from(last).unwrap_or(0))
    });
    heard.collect()
}

/// Spec ng-protocol §6. A delete names the caller: with that tag, the call ends with all its
/// branches.
fn dict(request: MediaRequest) -> Dict {
    let command = match request.command {
        MediaCommand::Offer => "offer",
        MediaCommand::Answer => "answer",
        MediaCommand::Delete | MediaCommand::DeleteBranch => "delete",
        MediaCommand::Query => "query",
    };
    let mut dict = Dict::new()
        .with("command", command)
        .with("call-id", request.call_id);
    if request.command == MediaCommand::Query {
        // Of all parties.
        return dict;
    }
    dict.push("from-tag", request.from_tag);
    if matches!(request.command, MediaCommand::Offer | MediaCommand::Answer) {
        dict = dict
            .with_some("to-tag", request.to_tag)
            .with("replace", list(["origin"]));
    }
    dict = dict.with_some("sdp", request.sdp);
    if let Some(ip) = request.received_from {
        let family = Family::of(ip).name();
        dict.push("received-from", list([family, &ip.to_string()]));
    }
    if let Some((from, to)) = &request.direction {
        dict.push("direction", list([from.as_str(), to]));
    }
    dict = dict.with_some("address-family", request.address_family.map(Family::name));
    if !request.flags.is_empty() {
        dict.push("flags", list(request.flags.iter().map(String::as_str)));
    }
    // A list may be given as one string, separated by commas.
    for (key, value) in request.extra {
        if dict.get(&key).is_none() {
            dict.push(key, value);
        }
    }
    dict
}

fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
    Value::List(texts.into_iter().map(Value::from).collect())
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

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
            address_family: Some(Family::Ip6),
            flags: vec!["x".into()],
            extra: vec![
                ("rtcp-mux".into(), "demux,accept".into()),
                ("call-id".into(), "another".into()),
            ],
        }
    }

    #[test]
    fn offer_has_the_keys_of_ng() {
        let expected = Dict::new()
            .with("command", "offer")
            .with("call-id", "c")
            .with("from-tag", "a")
            .with("replace", list(["origin"]))
            .with("sdp", "v=0")
            .with("received-from", list(["IP4", "192.0.2.7"]))
            .with("direction", list(["ext", "int"]))
            .with("address-family", "IP6")
            .with("flags", list(["x"]))
            .with("rtcp-mux", "demux,accept");
        assert_eq!(dict(offer()), expected);
        let delete = MediaRequest {
            command: MediaCommand::Delete,
            to_tag: Some("b".into()),
            sdp: None,
            received_from: None,
            direction: None,
            address_family: None,
            flags: Vec::new(),
            extra: Vec::new(),
            ..offer()
        };
        let expected = Dict::new()
            .with("command", "delete")
            .with("call-id", "c")
            .with("from-tag", "a");
        assert_eq!(dict(delete), expected);
    }

    async fn replied(reply: &'static [u8]) -> Result<MediaReply, MediaError> {
        let daemon = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let relay = NgRelay::connect(daemon.local_addr().unwrap(), REPEATS.tries)
            .await
            .unwrap();
        let asked = tokio::spawn(relay.request(offer()));
        let mut buffer = [0; 1500];
        let (n, _) = daemon.recv_from(&mut buffer).await.unwrap();
        let first = buffer[..n].to_vec();
        // The first reply is lost: the same comes again.
        let (n, from) = daemon.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer[..n], first);
        let space = first.iter().position(|b| *b == b' ').unwrap();
        let reply = [&first[..=space], reply].concat();
        daemon.send_to(&reply, from).await.unwrap();
        asked.await.unwrap()
    }

    #[test]
    fn query_tells_when_each_party_was_last_heard() {
        let query = MediaRequest::bare(MediaCommand::Query, "c", String::new());
        let expected = Dict::new().with("command", "query").with("call-id", "c");
        assert_eq!(dict(query), expected);
        let media = |times: &[i64]| {
            let stream = |time: &i64| Value::from(Dict::new().with("last packet", *time));
            let streams = Value::List(times.iter().map(stream).collect());
            Value::from(Dict::new().with("streams", streams))
        };
        let party = |medias: Vec<Value>| Dict::new().with("medias", Value::List(medias));
        let tags = Dict::new()
            .with("a", party(vec![media(&[7, 9]), media(&[8])]))
            .with("b", party(Vec::new()));
        let reply = Dict::new().with("tags", tags);
        let heard = [("a".to_owned(), 9), ("b".to_owned(), 0)];
        assert_eq!(last_packets(&reply), heard);
    }

    #[tokio::test]
    async fn replies_are_sdp_or_errors_that_say_whether_to_ask_another() {
        let sdp = replied(b"d7:createdi5e6:result2:ok3:sdp1:xe").await;
        let expected = MediaReply {
            sdp: b"x".to_vec(),
            ..MediaReply::default()
        };
        assert_eq!(sdp, Ok(expected));
        let full = replied(b"d12:error-reason16:Ran out of ports6:result5:errore").await;
        assert_eq!(full, Err(MediaError::Full("Ran out of ports".into())));
        let refused = replied(b"d12:error-reason2:no6:result5:errore").await;
        assert_eq!(refused, Err(MediaError::Refused("no".into())));
        let broken = replied(b"d6:result").await.unwrap_err();
        assert!(matches!(broken, MediaError::Unreachable(_)), "{broken}");
        assert_eq!(
            [full.unwrap_err(), refused.unwrap_err(), broken].map(|error| error.is_failover()),
            [true, false, true]
        );
    }
}
