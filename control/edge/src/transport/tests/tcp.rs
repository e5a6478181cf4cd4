use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

async fn phone(edge: &Edge) -> TcpStream {
    TcpStream::connect(edge.address()).await.unwrap()
}

#[tokio::test]
async fn messages_come_and_go_in_both_families() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let mut edge = Edge::one(bind, ListenerKind::Tcp);
        let mut phone = phone(&edge).await;
        let two = format!("\r\n\r\n{REQUEST}{REQUEST}");
        phone.write_all(two.as_bytes()).await.unwrap();
        expect_bytes(&mut phone, "\r\n").await;
        // The shard hears of what is said, not that somebody is there.
        let (flow, text) = edge.message().await;
        assert_eq!(text, REQUEST);
        assert_eq!(flow.peer, phone.local_addr().unwrap());
        assert_eq!(edge.message().await, (flow, REQUEST.to_owned()));
        edge.reply(flow, RESPONSE);
        expect_bytes(&mut phone, RESPONSE).await;
        drop(phone);
        assert_eq!(edge.closed().await, flow);
        let late = edge
            .sender
            .send(&Destination::Flow(flow), RESPONSE.as_bytes().into(), 1);
        assert_eq!(late, Err(io::ErrorKind::NotConnected));
        assert_eq!(edge.sender.connection(0, flow.connection), None);
    }
}

#[tokio::test]
async fn a_connection_is_known_by_number_and_by_peer() {
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tcp);
    let mut phone = phone(&edge).await;
    phone.write_all(REQUEST.as_bytes()).await.unwrap();
    let (flow, _) = edge.message().await;
    let info = edge.sender.connection(0, flow.connection).unwrap();
    assert_eq!((info.flow, info.protocol), (flow, Protocol::Tcp));
    assert_eq!((info.names.len(), info.uses), (0, 0));
    assert_eq!(edge.sender.connection(1, flow.connection), None);
    assert_eq!(edge.sender.open_flow(0, flow.peer, None), Some(flow));
    // What is sent to that address takes the connection that is there.
    edge.open(flow.peer, None, 0).unwrap();
    expect_bytes(&mut phone, REQUEST).await;
    edge.sender.close(flow);
    expect_end(&mut phone).await;
    assert_eq!(edge.closed().await, flow);
    assert_eq!(edge.closed_for(CloseReason::Asked), 1);
}

#[tokio::test]
async fn one_connection_is_opened_to_a_peer_and_used_again() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = server.local_addr().unwrap();
    let mut edge = Edge::one("127.0.0.2:0", ListenerKind::Tcp);
    edge.open(peer, None, 1).unwrap();
    edge.open(peer, None, 2).unwrap();
    let (mut stream, from) = soon(server.accept()).await.unwrap();
    assert_eq!(
        from.ip(),
        edge.address().ip(),
        "it leaves from the listener's address"
    );
    expect_bytes(&mut stream, &[REQUEST, REQUEST].concat()).await;
    stream.write_all(RESPONSE.as_bytes()).await.unwrap();
    let (flow, _) = edge.message().await;
    assert_eq!(flow.peer, peer);
    edge.reply(flow, REQUEST);
    expect_bytes(&mut stream, REQUEST).await;
    drop(stream);
    assert_eq!(edge.closed().await, flow);
    edge.open(peer, None, 3).unwrap();
    let (mut stream, _) = soon(server.accept()).await.unwrap();
    expect_bytes(&mut stream, REQUEST).await;
}

#[tokio::test]
async fn a_peer_that_refuses_makes_all_that_waits_unsendable() {
    // Bound, so that nobody else gets the port, and not listening.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let peer = deaf.local_addr().unwrap();
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tcp);
    for token in [7, 0, 8] {
        edge.open(peer, None, token).unwrap();
    }
    for token in [7, 8] {
        assert_eq!(
            edge.unsendable().await,
            (io::ErrorKind::ConnectionRefused, token)
        );
    }
    assert_eq!(edge.closed_for(CloseReason::Connect), 1);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed() {
    let streams = StreamLimits {
        queue: 20_000,
        ..StreamLimits::default()
    };
    let mut edge = Edge::start(vec![("127.0.0.1:0", ListenerKind::Tcp)], streams);
    let mut phone = phone(&edge).await;
    phone.write_all(REQUEST.as_bytes()).await.unwrap();
    let (flow, _) = edge.message().await;
    let long: Packet = vec![b'x'; 9_000].into();
    let mut sent = 0;
    let full = loop {
        let to = Destination::Flow(flow);
        match edge.sender.send(&to, long.clone(), 1) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        // The buffers of the system have room for some.
        assert!(sent < 10_000);
        tokio::task::yield_now().await;
    };
    assert_eq!(full, io::ErrorKind::StorageFull);
    // What waited comes back.
    assert_eq!(edge.unsendable().await.1, 1);
    while let Arrived::Unsendable { .. } = edge.arrived().await {}
    assert_eq!(edge.closed_for(CloseReason::QueueFull), 1);
    drop(phone);
}

#[tokio::test]
async fn a_request_without_length_is_refused_before_the_end() {
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tcp);
    let mut phone = phone(&edge).await;
    let request = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\n\
        To: <sip:b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n\r\n";
    phone.write_all(request.as_bytes()).await.unwrap();
    expect_bytes(&mut phone, "SIP/2.0 400 ").await;
    expect_end(&mut phone).await;
    edge.closed().await;
    assert_eq!(edge.closed_for(CloseReason::Framing), 1);
}

#[tokio::test]
async fn what_was_sent_leaves_before_the_connection_is_closed() {
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tcp);
    let mut phone = phone(&edge).await;
    phone.write_all(REQUEST.as_bytes()).await.unwrap();
    let (flow, _) = edge.message().await;
    // One message always has room, however long.
    let long = vec![b'x'; 300_000];
    let to = Destination::Flow(flow);
    edge.sender.send(&to, long.clone().into(), 0).unwrap();
    edge.sender.close(flow);
    let mut received = Vec::new();
    soon(phone.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.len(), long.len());
    assert_eq!(edge.closed().await, flow);
}

#[tokio::test]
async fn nothing_stays_open_once_the_transports_are_gone() {
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tcp);
    let mut phone = phone(&edge).await;
    phone.write_all(REQUEST.as_bytes()).await.unwrap();
    let (flow, _) = edge.message().await;
    let Edge {
        transports,
        mut sender,
        inbox,
        ..
    } = edge;
    let address = transports.locals()[0].1;
    let last = RESPONSE.as_bytes().into();
    sender.send(&Destination::Flow(flow), last, 0).unwrap();
    drop(transports);
    // What was sent last still leaves.
    expect_bytes(&mut phone, RESPONSE).await;
    expect_end(&mut phone).await;
    let to = Destination::Open {
        listener: 0,
        peer: address,
        server_name: None,
    };
    let late = sender.send(&to, REQUEST.as_bytes().into(), 1);
    assert_eq!(late, Err(io::ErrorKind::NotConnected));
    drop(inbox);
}

#[tokio::test]
async fn what_is_no_sip_is_closed() {
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Tcp);
    let mut phone = phone(&edge).await;
    phone.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    expect_end(&mut phone).await;
    edge.closed().await;
    assert_eq!(edge.closed_for(CloseReason::Framing), 1);
}
