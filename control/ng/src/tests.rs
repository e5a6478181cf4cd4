#![expect(clippy::disallowed_methods, reason = "tests need a start of time")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn request(dict: Dict) -> Request {
    Request::from_dict(&dict).unwrap()
}

fn strings(list: &[&str]) -> Value {
    Value::List(list.iter().map(|text| Value::from(*text)).collect())
}

#[derive(Default)]
struct Echo {
    served: AtomicUsize,
}

impl Handler for Echo {
    fn serve(&self, request: &Request, _source: SocketAddr) -> Reply {
        self.served.fetch_add(1, Relaxed);
        match request.command {
            Command::Ping => Reply::pong(),
            Command::List => {
                let list = (0..20_000)
                    .map(|i| Value::from(format!("call-{i}")))
                    .collect();
                Reply::ok(Dict::new().with("calls", Value::List(list)))
            }
            Command::Query => panic!("a defect"),
            _ => Reply::ok(Dict::new()).with_warning(errors::CALL_ID_NOT_FOUND),
        }
    }

    fn served(&self, _: SocketAddr, _: Option<Command>, _: Duration, _: bool) {}
}

fn ask(responder: &Responder, message: &[u8]) -> Option<String> {
    let source = SocketAddr::from(([127, 0, 0, 1], 9));
    let reply = responder.respond(message, source, true, Instant::now)?;
    Some(String::from_utf8_lossy(&reply).into_owned())
}

fn responder() -> (Arc<Echo>, Responder) {
    let echo = Arc::new(Echo::default());
    (echo.clone(), Responder::new(echo, Instant::now()))
}

#[test]
fn wire_examples_of_the_specification() {
    let (_, responder) = responder();
    assert_eq!(
        ask(&responder, b"abc d7:command4:pinge").unwrap(),
        "abc d6:result4:ponge"
    );
    assert_eq!(
        ask(&responder, b"abe d7:command3:foxe").unwrap(),
        "abe d6:result5:error12:error-reason20:Unrecognized commande"
    );
    let error = |message: &[u8]| ask(&responder, message).unwrap();
    assert!(error(b"1 ").contains(errors::NO_PAYLOAD));
    assert!(error(b"2 x").contains(errors::BAD_FORMAT));
    assert!(error(b"3 d1").contains(errors::BAD_BENCODE));
    assert!(error(b"5 de").contains("Dictionary contains no key"));
    assert_eq!(
        error(b"6 {\"a"),
        "6 {\"result\":\"error\",\"error-reason\":\"Failed to parse JSON document\"}"
    );
    assert_eq!(
        error(b"7 {\"command\":\"ping\"}"),
        "7 {\"result\":\"pong\"}"
    );
    assert_eq!(ask(&responder, b" d7:command4:pinge"), None);
    assert_eq!(ask(&responder, b"nospace"), None);
}

#[test]
fn a_duplicate_gets_the_same_reply_and_is_not_served_again() {
    let (echo, responder) = responder();
    let first = ask(&responder, b"same d7:command6:deletee").unwrap();
    let second = ask(&responder, b"same d7:command4:pinge").unwrap();
    assert_eq!(first, second);
    assert_eq!(echo.served.load(Relaxed), 1);
}

#[test]
fn replies_live_for_thirty_to_sixty_seconds() {
    let echo = Arc::new(Echo::default());
    let start = Instant::now();
    let responder = Responder::new(echo.clone(), start);
    let source = SocketAddr::from(([127, 0, 0, 1], 9));
    let at = |seconds, cookie: &str| {
        let message = format!("{cookie} d7:command4:pinge");
        responder.respond(message.as_bytes(), source, true, || {
            start + Duration::from_secs(seconds)
        });
        echo.served.load(Relaxed)
    };
    assert_eq!(at(0, "a"), 1);
    assert_eq!(at(29, "a"), 1);
    assert_eq!(at(31, "a"), 1);
    assert_eq!(at(62, "b"), 2);
    assert_eq!(at(62, "a"), 3);
}

#[test]
fn a_panic_is_answered_and_ends_nothing() {
    let (_, responder) = responder();
    assert!(
        ask(&responder, b"p d7:command5:querye")
            .unwrap()
            .contains(errors::INTERNAL)
    );
    assert!(
        ask(&responder, b"q d7:command4:pinge")
            .unwrap()
            .contains("pong")
    );
}

#[test]
fn a_long_reply_is_cut_at_whole_members_for_a_datagram() {
    let (_, responder) = responder();
    let reply = ask(&responder, b"l d7:command4:liste").unwrap();
    assert!(reply.len() <= limits::MAX_DATAGRAM);
    let (value, _) = bencode::decode(&reply.as_bytes()[2..]).unwrap();
    let dict = value.as_dict().unwrap();
    assert_eq!(dict.get("truncated"), Some(&Value::Int(1)));
    assert!(dict.get("calls").unwrap().as_list().unwrap().len() > 2000);
    let source = SocketAddr::from(([127, 0, 0, 1], 9));
    let whole = responder
        .respond(b"m d7:command4:liste", source, false, Instant::now)
        .unwrap();
    let (value, _) = bencode::decode(&whole[2..]).unwrap();
    assert_eq!(
        value
            .as_dict()
            .unwrap()
            .get("calls")
            .unwrap()
            .as_list()
            .unwrap()
            .len(),
        20_000
    );
}

#[test]
fn keys_and_flags_are_known_in_every_spelling() {
    let request = request(
        Dict::new()
            .with("address family", "ip6")
            .with(
                "FLAGS",
                strings(&["Strict Source", "port_latching", "replace-origin"]),
            )
            .with("replace", "SDP version,username")
            .with("delete delay", "7")
            .with("rtcp-mux", strings(&["offer", "require"]))
            .with("received-from", strings(&["IP4", "198.51.100.7"]))
            .with("direction", strings(&["ext", "Int"]))
            .with("supports", strings(&["load limit"]))
            .with("command", "offer"),
    );
    assert_eq!(request.address_family, Some(Family::Ip6));
    assert!(request.flags.strict_source && request.flags.port_latching);
    assert!(request.replace.origin && request.replace.sdp_version && request.replace.username);
    assert_eq!(request.delete_delay, Some(7));
    assert!(request.rtcp_mux.offer && request.rtcp_mux.require);
    assert_eq!(request.received_from.unwrap().to_string(), "198.51.100.7");
    assert_eq!(
        request.direction,
        [Some("ext".to_owned()), Some("Int".to_owned())]
    );
    assert!(request.supports_load_limit && request.ignored.is_empty());
}

#[test]
fn duplicate_keys_and_wrong_types_are_tolerated() {
    let mut list = vec![Value::Int(4)];
    list.push(Value::from("strict-source"));
    let request = request(
        Dict::new()
            .with("call-id", "a")
            .with("call-id", "b")
            .with("call-id", Value::Int(3))
            .with("flags", Value::List(list))
            .with("flags", strings(&["asymmetric"]))
            .with("delete-delay", "soon")
            .with("codec", "strip")
            .with("command", "delete"),
    );
    assert_eq!(request.call_id, Some(CallId::from("b")));
    assert!(request.flags.strict_source && request.flags.asymmetric);
    assert_eq!(request.delete_delay, None);
}

#[test]
fn the_unknown_is_ignored_with_the_nearest_name() {
    let request = request(
        Dict::new()
            .with("call_idd", "x")
            .with(
                "flags",
                strings(&["strict-sorce", "qqqqqqqq", "codec-strip-G722"]),
            )
            .with("replace", strings(&["orgin", "session-connection"]))
            .with("command", "offer"),
    );
    let found: Vec<_> = request
        .ignored
        .iter()
        .map(|i| (i.place, i.nearest))
        .collect();
    assert_eq!(
        found,
        [
            ("key", Some("call-id")),
            ("flag", Some("strict-source")),
            ("flag", None),
            ("replace", Some("origin"))
        ]
    );
}

#[test]
fn rtpp_flags_are_read_whole() {
    let flags = "replace=[origin SDP-version] direction=ext direction=int strict-source \
                 to-tag=T1 codec=[strip=[G722 opus] transcode=PCMA] RTP/SAVP AVPF \
                 address-family=IP6 rtcp-mux=[demux,accept] delete-delay=3 nonsense";
    let request = request(
        Dict::new()
            .with("rtpp-flags", flags)
            .with("command", "offer"),
    );
    assert!(request.replace.origin && request.replace.sdp_version);
    assert_eq!(
        request.direction,
        [Some("ext".to_owned()), Some("int".to_owned())]
    );
    assert!(request.flags.strict_source && request.flags.to_tag);
    assert_eq!(request.to_tag, Some(Tag::from("T1")));
    assert_eq!(
        request.transport_protocol.as_deref(),
        Some(&b"RTP/SAVPF"[..])
    );
    assert_eq!(request.address_family, Some(Family::Ip6));
    assert_eq!(request.delete_delay, Some(3));
    assert_eq!(request.ignored[0].text, "demux,accept");
    assert_eq!(request.ignored[1].text, "nonsense");
}

#[test]
fn bombs_end_in_an_error() {
    let deep = "l".repeat(100_000);
    assert_eq!(
        bencode::decode(deep.as_bytes()),
        Err(bencode::BencodeError::Depth)
    );
    let deep = format!("d1:a{}", "d1:a".repeat(100_000));
    assert!(bencode::decode(deep.as_bytes()).is_err());
    assert_eq!(
        bencode::decode(b"10485760:abc"),
        Err(bencode::BencodeError::Truncated)
    );
    assert!(bencode::decode(b"99999999999999999999:abc").is_err());
    assert!(bencode::decode(b"i99999999999999999999999e").is_err());
    let wide = format!("l{}e", "i1e".repeat(100_000));
    assert_eq!(
        bencode::decode(wide.as_bytes()),
        Err(bencode::BencodeError::TooMany)
    );
    assert_eq!(
        json::decode("[".repeat(100_000).as_bytes()),
        Err(errors::BAD_JSON)
    );
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert_eq!(json::decode(deep.as_bytes()), Err(errors::BAD_JSON));
    let nested = format!("a={}", "[".repeat(100_000));
    let _ = rtpp_flags::tokens(nested.as_bytes()).count();
}

#[test]
fn client_and_server_talk_over_udp_and_tcp() {
    use std::io::{Read, Write};
    let (echo, responder) = responder();
    let responder = Arc::new(responder);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let udp = server::UdpServer::start(any, 2, &responder).unwrap();
    let client = client::Client::connect(udp.local_addr()).unwrap();
    let reply = client
        .request(&Dict::new().with("command", "ping"))
        .unwrap();
    assert_eq!(reply.get_str("result"), Some("pong"));
    let refused = client.request(&Dict::new().with("command", "nothing"));
    assert!(matches!(refused, Err(client::ClientError::Refused(_))));

    let tcp = server::TcpServer::start(any, &responder).unwrap();
    let mut stream = std::net::TcpStream::connect(tcp.local_addr()).unwrap();
    stream
        .write_all(b"t1 d7:command4:pinget2 d7:command4:pi")
        .unwrap();
    stream.write_all(b"nge").unwrap();
    let expected = b"t1 d6:result4:ponget2 d6:result4:ponge";
    let mut replies = vec![0u8; expected.len()];
    stream.read_exact(&mut replies).unwrap();
    assert_eq!(replies, expected);
    assert!(echo.served.load(Relaxed) >= 3);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Int),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop::collection::vec(any::<u8>(), 0..8);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::vec((key, inner), 0..6).prop_map(|entries| {
                let mut dict = Dict::new();
                for (key, value) in entries {
                    dict.push_bytes(key, value);
                }
                Value::Dict(dict)
            }),
        ]
    })
}

proptest! {
    #[test]
    fn bencode_is_read_back(value in value(), tail in prop::collection::vec(any::<u8>(), 0..5)) {
        let mut text = Vec::new();
        bencode::encode(&value, &mut text);
        let length = text.len();
        prop_assert_eq!(bencode::Framer::default().advance(&text), Ok(Some(length)));
        text.extend_from_slice(&tail);
        prop_assert_eq!(bencode::decode(&text), Ok((value, length)));
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (_, responder) = responder();
        let mut message = b"c ".to_vec();
        message.extend_from_slice(&bytes);
        let _ = ask(&responder, &message);
        let _ = bencode::decode(&bytes);
        let _ = bencode::Framer::default().advance(&bytes);
        let _ = json::decode(&bytes);
        let _ = rtpp_flags::tokens(&bytes).count();
        let flags = Dict::new()
            .with("rtpp-flags", Value::Bytes(bytes.clone()))
            .with("flags", Value::List(vec![Value::Bytes(bytes)]))
            .with("command", "offer");
        let _ = Request::from_dict(&flags);
    }
}
