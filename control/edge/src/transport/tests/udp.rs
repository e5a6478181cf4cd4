use stun_types::attribute::XorMappedAddress;
use stun_types::message::{BINDING, Message, MessageWriteVec};
use stun_types::prelude::*;
use tokio::net::UdpSocket;

use super::*;

async fn phone(bind: &str, edge: &Edge) -> UdpSocket {
    let phone = UdpSocket::bind(bind).await.unwrap();
    phone.connect(edge.address()).await.unwrap();
    phone
}

async fn recv(phone: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let length = soon(phone.recv(&mut bytes)).await.unwrap();
    bytes.truncate(length);
    bytes
}

#[tokio::test]
async fn datagrams_come_and_go_in_both_families() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let mut edge = Edge::one(bind, ListenerKind::Udp);
        let phone = phone(bind, &edge).await;
        phone.send(REQUEST.as_bytes()).await.unwrap();
        let (flow, text) = edge.message().await;
        assert_eq!(text, REQUEST);
        assert_eq!(
            flow,
            Flow {
                listener: 0,
                peer: phone.local_addr().unwrap(),
                connection: 0
            }
        );
        edge.reply(flow, RESPONSE);
        assert_eq!(recv(&phone).await, RESPONSE.as_bytes());
    }
}

#[tokio::test]
async fn a_socket_of_all_addresses_answers_from_the_one_that_was_asked() {
    for (bind, hosts) in [
        ("0.0.0.0:0", vec!["127.0.0.1", "127.0.0.2", "127.0.0.3"]),
        ("[::]:0", vec!["::1"]),
    ] {
        let mut edge = Edge::one(bind, ListenerKind::Udp);
        for host in hosts {
            let from = if host == "::1" {
                "[::1]:0"
            } else {
                "127.0.0.1:0"
            };
            let phone = UdpSocket::bind(from).await.unwrap();
            let asked = SocketAddr::new(host.parse().unwrap(), edge.address().port());
            // A connected socket hears nobody else.
            phone.connect(asked).await.unwrap();
            phone.send(REQUEST.as_bytes()).await.unwrap();
            let (flow, _) = edge.message().await;
            assert_ne!(flow.connection, 0);
            edge.reply(flow, RESPONSE);
            assert_eq!(recv(&phone).await, RESPONSE.as_bytes(), "{host}");
        }
    }
}

#[tokio::test]
async fn many_datagrams_leave_and_arrive_in_their_order() {
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Udp);
    let phone = phone("127.0.0.1:0", &edge).await;
    phone.send(REQUEST.as_bytes()).await.unwrap();
    let (flow, _) = edge.message().await;
    for n in 0..150 {
        let bytes = format!("{n} {RESPONSE}").into_bytes().into();
        edge.sender
            .send(&Destination::Flow(flow), bytes, n)
            .unwrap();
    }
    let mut failed = Vec::new();
    edge.sender.flush(&mut failed);
    assert_eq!(failed, []);
    for n in 0..150 {
        let start = format!("{n} ");
        assert!(recv(&phone).await.starts_with(start.as_bytes()), "{n}");
        phone.send(start.as_bytes()).await.unwrap();
        assert_eq!(edge.message().await.1, start);
    }
}

#[tokio::test]
async fn a_batch_leaves_from_the_addresses_that_were_asked() {
    for (bind, hosts) in [
        ("0.0.0.0:0", ["127.0.0.1", "127.0.0.2"]),
        ("[::]:0", ["::1", "::1"]),
    ] {
        let mut edge = Edge::one(bind, ListenerKind::Udp);
        let mut phones = Vec::new();
        for host in hosts {
            let asked = SocketAddr::new(host.parse().unwrap(), edge.address().port());
            let from = if asked.is_ipv4() { "127.0.0.1:0" } else { bind };
            let phone = UdpSocket::bind(from).await.unwrap();
            phone.connect(asked).await.unwrap();
            phone.send(REQUEST.as_bytes()).await.unwrap();
            let (flow, _) = edge.message().await;
            for n in 0..70 {
                let bytes = format!("{n} {RESPONSE}").into_bytes().into();
                let to = Destination::Flow(flow);
                edge.sender.send(&to, bytes, 0).unwrap();
            }
            phones.push(phone);
        }
        let mut failed = Vec::new();
        edge.sender.flush(&mut failed);
        assert_eq!(failed, []);
        for phone in phones {
            for n in 0..70 {
                let start = format!("{n} ");
                assert!(recv(&phone).await.starts_with(start.as_bytes()), "{n}");
            }
        }
    }
}

#[tokio::test]
async fn keepalives_are_taken_out_and_told() {
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Udp);
    let phone = phone("127.0.0.1:0", &edge).await;
    let peer = phone.local_addr().unwrap();
    for blank in ["", "\r\n\r\n", "\0\0\0\0"] {
        phone.send(blank.as_bytes()).await.unwrap();
        let Arrived::Keepalive { flow } = edge.arrived().await else {
            panic!("{blank:?}");
        };
        assert_eq!(flow.peer, peer);
    }
    let request = Message::builder_request(BINDING, MessageWriteVec::new()).finish();
    phone.send(&request).await.unwrap();
    assert!(matches!(edge.arrived().await, Arrived::Keepalive { .. }));
    let response = recv(&phone).await;
    let response = Message::from_bytes(&response).unwrap();
    let mapped = response.attribute::<XorMappedAddress>().unwrap();
    assert_eq!(mapped.addr(response.transaction_id()), peer);
}

#[tokio::test]
async fn a_datagram_that_nobody_takes_is_unsendable() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let mut edge = Edge::one(bind, ListenerKind::Udp);
        // Bound, so that nobody else gets the port, and deaf to all but one.
        let deaf = UdpSocket::bind(bind).await.unwrap();
        let somebody = UdpSocket::bind(bind).await.unwrap();
        deaf.connect(somebody.local_addr().unwrap()).await.unwrap();
        let gone = deaf.local_addr().unwrap();
        edge.open(gone, None, 77).unwrap();
        assert_eq!(
            edge.unsendable().await,
            (io::ErrorKind::ConnectionRefused, 77)
        );
        // The error that was waiting on the socket does not hit a datagram to somebody else.
        let phone = phone(bind, &edge).await;
        edge.open(gone, None, 0).unwrap();
        edge.open(phone.local_addr().unwrap(), None, 78).unwrap();
        assert_eq!(recv(&phone).await, REQUEST.as_bytes());
    }
}

#[tokio::test]
async fn what_no_route_leads_to_is_told_at_once() {
    let mut edge = Edge::one("127.0.0.1:0", ListenerKind::Udp);
    let to = Destination::Open {
        listener: 0,
        peer: "192.0.2.1:5060".parse().unwrap(),
        server_name: None,
    };
    edge.sender.send(&to, REQUEST.as_bytes().into(), 5).unwrap();
    let mut failed = Vec::new();
    edge.sender.flush(&mut failed);
    // A socket on loopback has no way out.
    assert!(matches!(failed[..], [Arrived::Unsendable { token: 5, .. }]));
}

#[tokio::test]
async fn long_messages_leave_in_fragments() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let mut edge = Edge::one(bind, ListenerKind::Udp);
        let phone = phone(bind, &edge).await;
        phone.send(&[b'x'; 65_000]).await.unwrap();
        let (flow, text) = edge.message().await;
        assert_eq!(text.len(), 65_000);
        edge.reply(flow, &text);
        let mut bytes = vec![0; 65_535];
        assert_eq!(soon(phone.recv(&mut bytes)).await.unwrap(), 65_000);
    }
}
