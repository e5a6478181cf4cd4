//! The driver against a name server on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NAPTR, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::super::*;
use crate::resolve::driver::DnsError;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// Answers what the tests ask for; `truncated.example` over TCP alone, `silent.example` never.
fn respond(request: &[u8], is_udp: bool, broken: bool) -> Option<Vec<u8>> {
    let request = Message::from_vec(request).ok()?;
    let query = request.queries.first()?.clone();
    let mut response = Message::new(request.metadata.id, MessageType::Response, OpCode::Query);
    response.metadata.recursion_desired = true;
    response.metadata.recursion_available = true;
    response.add_query(query.clone());
    let asked = query.name().to_ascii().to_ascii_lowercase();
    let mut add = |owner: &str, data: RData| {
        response.add_answer(Record::from_rdata(name(owner), 77, data));
    };
    match (&*asked, query.query_type()) {
        _ if broken => response.metadata.response_code = ResponseCode::ServFail,
        ("host.example.", RecordType::A) => {
            add("host.example.", RData::A(A::new(192, 0, 2, 1)));
            // A record that was not asked for.
            add("bank.example.", RData::A(A::new(203, 0, 113, 66)));
        }
        ("host.example.", RecordType::AAAA) => {
            let ip = AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
            add("host.example.", RData::AAAA(ip));
        }
        ("alias.example.", RecordType::A) => {
            add("alias.example.", RData::CNAME(CNAME(name("host.example."))));
            add("host.example.", RData::A(A::new(192, 0, 2, 1)));
        }
        ("_sip._udp.example.", RecordType::SRV) => {
            let srv = SRV::new(1, 2, 5070, name("Host.Example."));
            add("_sip._udp.example.", RData::SRV(srv));
        }
        ("domain.example.", RecordType::NAPTR) => {
            let naptr = NAPTR::new(
                10,
                20,
                b"S"[..].into(),
                b"SIP+D2U"[..].into(),
                Box::default(),
                name("_sip._udp.example."),
            );
            add("domain.example.", RData::NAPTR(naptr));
        }
        ("truncated.example.", RecordType::A) if is_udp => response.metadata.truncation = true,
        ("truncated.example.", RecordType::A) => {
            for n in 0..100 {
                add("truncated.example.", RData::A(A::new(192, 0, 2, n)));
            }
        }
        ("failing.example.", _) => response.metadata.response_code = ResponseCode::ServFail,
        ("silent.example.", _) => return None,
        _ => {
            response.metadata.response_code = ResponseCode::NXDomain;
            let soa = SOA::new(name("ns.example."), name("root.example."), 1, 2, 3, 4, 42);
            let soa = RData::SOA(soa);
            response.add_authority(Record::from_rdata(name("example."), 3600, soa));
        }
    }
    response.to_vec().ok()
}

struct Server {
    address: SocketAddr,
    over_tcp: Arc<AtomicUsize>,
    // Ends with the test.
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(false).await
    }

    /// A broken one answers all questions with SERVFAIL.
    async fn start_with(broken: bool) -> Self {
        // Both protocols on one port; another test may have the TCP port of the first try.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let over_tcp = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok((n, from)) = udp.recv_from(&mut buffer).await {
                if let Some(response) = respond(&buffer[..n], true, broken) {
                    udp.send_to(&response, from).await.unwrap();
                }
            }
        });
        let count = over_tcp.clone();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                while let Ok(length) = stream.read_u16().await {
                    let mut request = vec![0; length.into()];
                    stream.read_exact(&mut request).await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                    let Some(response) = respond(&request, false, broken) else {
                        continue;
                    };
                    let length = u16::try_from(response.len()).unwrap();
                    stream.write_u16(length).await.unwrap();
                    stream.write_all(&response).await.unwrap();
                }
            }
        });
        Self {
            address,
            over_tcp,
            _tasks: tasks,
        }
    }

    fn client(&self) -> Dns {
        Dns::new(&servers(&[self.address])).unwrap()
    }
}

fn servers(addresses: &[SocketAddr]) -> DnsServers {
    DnsServers {
        addresses: addresses.to_vec(),
        file: "/nonexistent/resolv.conf".into(),
        hosts: false,
        timeout: Duration::from_millis(200),
        retries: 1,
    }
}

async fn ask(dns: &Dns, name: &str, kind: RecordKind) -> Answer {
    let name = name.into();
    dns.ask(&Query { name, kind }).await
}

fn records(records: Records) -> Answer {
    let ttl = Duration::from_secs(77);
    Answer::Records { records, ttl }
}

#[tokio::test]
async fn records_of_all_kinds_are_read() {
    let server = Server::start().await;
    let dns = server.client();
    let ip = |text: &str| records(Records::Addresses(vec![text.parse().unwrap()]));
    assert_eq!(
        ask(&dns, "host.example", RecordKind::A).await,
        ip("192.0.2.1")
    );
    assert_eq!(
        ask(&dns, "host.example", RecordKind::Aaaa).await,
        ip("2001:db8::1")
    );
    assert_eq!(
        ask(&dns, "alias.example", RecordKind::A).await,
        ip("192.0.2.1")
    );
    let srv = Srv {
        priority: 1,
        weight: 2,
        port: 5070,
        host: "host.example".into(),
    };
    assert_eq!(
        ask(&dns, "_sip._udp.example", RecordKind::Srv).await,
        records(Records::Srv(vec![srv]))
    );
    let naptr = Naptr {
        order: 10,
        preference: 20,
        flags: b"S"[..].into(),
        service: b"SIP+D2U"[..].into(),
        replacement: "_sip._udp.example".into(),
    };
    assert_eq!(
        ask(&dns, "domain.example", RecordKind::Naptr).await,
        records(Records::Naptr(vec![naptr]))
    );
}

#[tokio::test]
async fn absence_has_the_time_of_its_soa() {
    let server = Server::start().await;
    let answer = ask(&server.client(), "nowhere.example", RecordKind::A).await;
    let ttl = Some(Duration::from_secs(42));
    assert_eq!(answer, Answer::Nothing { ttl });
}

#[tokio::test]
async fn truncated_answer_is_asked_for_over_tcp() {
    let server = Server::start().await;
    let answer = ask(&server.client(), "truncated.example", RecordKind::A).await;
    let Answer::Records {
        records: Records::Addresses(ips),
        ..
    } = answer
    else {
        panic!("{answer:?}");
    };
    assert_eq!(ips.len(), 100);
    assert!(server.over_tcp.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn failure_and_silence_are_no_answer() {
    let server = Server::start().await;
    let dns = server.client();
    // As the core asks: in a task.
    let client = dns.clone();
    let task = tokio::spawn(async move { ask(&client, "failing.example", RecordKind::A).await });
    assert_eq!(task.await.unwrap(), Answer::Failed);
    assert_eq!(
        ask(&dns, "silent.example", RecordKind::A).await,
        Answer::Failed
    );
}

#[tokio::test]
async fn second_server_answers_for_a_dead_one() {
    let server = Server::start().await;
    // Nobody reads there.
    let dead = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = Dns::new(&servers(&[dead.local_addr().unwrap(), server.address])).unwrap();
    let ip = "192.0.2.1".parse().unwrap();
    assert_eq!(
        ask(&dns, "host.example", RecordKind::A).await,
        records(Records::Addresses(vec![ip]))
    );
}

#[tokio::test]
async fn second_server_answers_for_a_broken_one() {
    let (broken, good) = (Server::start_with(true).await, Server::start().await);
    let dns = Dns::new(&servers(&[broken.address, good.address])).unwrap();
    let ip = "192.0.2.1".parse().unwrap();
    assert_eq!(
        ask(&dns, "host.example", RecordKind::A).await,
        records(Records::Addresses(vec![ip]))
    );
}

#[test]
fn servers_come_from_a_file() {
    let folder = std::env::temp_dir().join(format!("windlass-dns-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("resolv.conf");
    let config = DnsServers {
        file: file.clone(),
        ..DnsServers::default()
    };
    assert!(matches!(Dns::new(&config), Err(DnsError::Read { .. })));
    std::fs::write(&file, "search example.com\n").unwrap();
    let error = Dns::new(&config).unwrap_err();
    assert!(matches!(error, DnsError::NoServer { .. }));
    assert!(error.to_string().contains("resolv.conf"), "{error}");
    std::fs::write(&file, "nameserver 192.0.2.53\nnameserver fe80::1%eth0\n").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let _inside = runtime.as_ref().unwrap().enter();
    assert!(Dns::new(&config).is_ok());
    std::fs::remove_dir_all(&folder).unwrap();
}
