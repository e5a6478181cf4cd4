//! Look-ups over a zone in memory, in virtual time; `driver` asks a real server on loopback.

mod driver;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

/// DNS as these tests have it. A name that is not in it does not exist.
#[derive(Default)]
struct Zone {
    records: HashMap<Query, Answer>,
    asked: Vec<Query>,
}

fn query(name: &str, kind: RecordKind) -> Query {
    let name = name.into();
    Query { name, kind }
}

impl Zone {
    fn with(mut self, name: &str, kind: RecordKind, records: Records) -> Self {
        let ttl = Duration::from_secs(60);
        let answer = Answer::Records { records, ttl };
        self.records.insert(query(name, kind), answer);
        self
    }

    fn a(self, name: &str, ip: &str) -> Self {
        let ip: IpAddr = ip.parse().unwrap();
        let kind = if ip.is_ipv4() {
            RecordKind::A
        } else {
            RecordKind::Aaaa
        };
        self.with(name, kind, Records::Addresses(vec![ip]))
    }

    fn srv(self, name: &str, records: &[(u16, u16, u16, &str)]) -> Self {
        let srv = |&(priority, weight, port, host): &(u16, u16, u16, &str)| Srv {
            priority,
            weight,
            port,
            host: host.into(),
        };
        let records = Records::Srv(records.iter().map(srv).collect());
        self.with(name, RecordKind::Srv, records)
    }

    fn naptr(self, name: &str, records: &[(u16, u16, &str, &str)]) -> Self {
        let naptr = |&(order, preference, service, replacement): &(u16, u16, &str, &str)| Naptr {
            order,
            preference,
            flags: b"S"[..].into(),
            service: service.as_bytes().into(),
            replacement: replacement.into(),
        };
        let records = Records::Naptr(records.iter().map(naptr).collect());
        self.with(name, RecordKind::Naptr, records)
    }

    fn failing(mut self, name: &str, kind: RecordKind) -> Self {
        self.records.insert(query(name, kind), Answer::Failed);
        self
    }

    fn answer(&mut self, resolve: &mut Resolve, now: Instant, rng: &mut SmallRng) {
        while let Some(query) = resolve.poll_query() {
            self.asked.push(query.clone());
            let nothing = Answer::Nothing { ttl: None };
            let answer = self.records.get(&query).cloned().unwrap_or(nothing);
            resolve.handle_answer(now, query, answer, rng);
        }
    }
}

struct Bench {
    resolve: Resolve,
    zone: Zone,
    rng: SmallRng,
    now: Instant,
    tokens: u64,
}

impl Bench {
    fn new(zone: Zone) -> Self {
        Self::with(ResolveConfig::default(), zone)
    }

    #[expect(clippy::disallowed_methods, reason = "an instant to begin with")]
    fn with(config: ResolveConfig, zone: Zone) -> Self {
        Self {
            resolve: Resolve::new(config),
            zone,
            rng: SmallRng::seed_from_u64(1),
            now: Instant::now(),
            tokens: 0,
        }
    }

    fn begin(&mut self, uri: &str) -> (u64, Option<Resolved>) {
        self.begin_to(&Destination::parse(uri.as_bytes()).unwrap())
    }

    fn begin_to(&mut self, destination: &Destination) -> (u64, Option<Resolved>) {
        self.tokens += 1;
        let (now, token) = (self.now, self.tokens);
        let end = self.resolve.resolve(now, token, destination, &mut self.rng);
        (token, end)
    }

    /// Resolves with all answers coming at once.
    fn resolve(&mut self, uri: &str) -> Resolved {
        self.resolve_to(&Destination::parse(uri.as_bytes()).unwrap())
    }

    fn resolve_to(&mut self, destination: &Destination) -> Resolved {
        let (token, end) = self.begin_to(destination);
        end.unwrap_or_else(|| {
            self.zone.answer(&mut self.resolve, self.now, &mut self.rng);
            let (done, end) = self.resolve.poll_done().unwrap();
            assert_eq!(done, token);
            end
        })
    }

    /// The same in short form, like `UDP 192.0.2.1:5060`.
    fn ways(&mut self, uri: &str) -> Vec<String> {
        let addresses = self.resolve(uri).unwrap();
        let show = |a: &Address| format!("{} {}", a.protocol.via(), a.peer);
        addresses.iter().map(show).collect()
    }

    fn asked(&self, kind: RecordKind) -> usize {
        self.zone.asked.iter().filter(|q| q.kind == kind).count()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.resolve.handle_timeout(self.now, &mut self.rng);
    }
}

fn address(uri: &str) -> Option<String> {
    let direct = Destination::parse(uri.as_bytes()).unwrap().direct()?;
    Some(format!("{} {}", direct.protocol.via(), direct.peer))
}

#[test]
fn numeric_hosts_need_no_dns() {
    let expected = [
        ("sip:192.0.2.1", "UDP 192.0.2.1:5060"),
        ("sip:bob@192.0.2.1:5070", "UDP 192.0.2.1:5070"),
        ("sips:192.0.2.1", "TLS 192.0.2.1:5061"),
        ("sips:192.0.2.1:5060;transport=tcp", "TLS 192.0.2.1:5060"),
        ("sip:[2001:db8::1]:5070", "UDP [2001:db8::1]:5070"),
        ("sip:192.0.2.1;transport=TCP", "TCP 192.0.2.1:5060"),
        ("sip:192.0.2.1;transport=tls", "TLS 192.0.2.1:5061"),
        ("sip:192.0.2.1;transport=ws", "WS 192.0.2.1:80"),
        ("sips:192.0.2.1;transport=ws", "WSS 192.0.2.1:443"),
        ("sip:bob@example.com;maddr=192.0.2.9", "UDP 192.0.2.9:5060"),
    ];
    for (uri, way) in expected {
        assert_eq!(address(uri).as_deref(), Some(way), "{uri}");
    }
    assert_eq!(address("sip:example.com"), None);
}

#[test]
fn certificate_is_that_of_the_domain_also_beside_maddr() {
    let name = |uri: &str| {
        let destination = Destination::parse(uri.as_bytes()).unwrap();
        destination.direct().unwrap().server_name
    };
    assert_eq!(
        name("sips:Example.com;maddr=192.0.2.9").as_deref(),
        Some("example.com")
    );
    assert_eq!(name("sips:192.0.2.9"), None);
}

#[test]
fn uris_without_a_destination_are_refused() {
    let expected = [
        ("tel:+1234", DestinationError::Scheme),
        ("http://example.com", DestinationError::Scheme),
        ("sip:", DestinationError::Syntax),
        ("sip:192.0.2.1:0", DestinationError::Port),
        ("sip:a..b", DestinationError::Host),
        (
            "sip:example.com;transport=sctp",
            DestinationError::Transport,
        ),
        (
            "sips:example.com;transport=udp",
            DestinationError::Transport,
        ),
        ("sip:example.com;maddr=a/b", DestinationError::Host),
    ];
    for (uri, error) in expected {
        assert_eq!(Destination::parse(uri.as_bytes()), Err(error), "{uri}");
    }
    let long = format!("sip:{}.example", ["abcdefgh"; 30].join("."));
    assert_eq!(
        Destination::parse(long.as_bytes()),
        Err(DestinationError::Host)
    );
}

proptest::proptest! {
    #[test]
    fn no_uri_panics(rest in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
        let _ = Destination::parse(&rest);
        let uri = [&b"sip:"[..], &rest].concat();
        if let Ok(destination) = Destination::parse(&uri) {
            let direct = destination.direct();
            assert_eq!(direct.is_some(), matches!(destination.host, Host::Ip(_)));
        }
    }
}

#[test]
fn naptr_names_protocol_and_srv_name() {
    // The example of RFC 3263 §4.1.
    let zone = Zone::default()
        .naptr(
            "example.com",
            &[
                (50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
                (90, 50, "SIP+D2T", "_sip._tcp.example.com"),
                (100, 50, "SIP+D2U", "_sip._udp.example.com"),
            ],
        )
        .srv(
            "_sips._tcp.example.com",
            &[(0, 1, 5061, "server1.example.com")],
        )
        .srv(
            "_sip._tcp.example.com",
            &[(0, 1, 5060, "server1.example.com")],
        )
        .a("server1.example.com", "192.0.2.1");
    let mut bench = Bench::new(zone);
    assert_eq!(bench.ways("sip:bob@example.com"), ["TLS 192.0.2.1:5061"]);
    bench.resolve = Resolve::new(ResolveConfig {
        protocols: vec![Protocol::Udp, Protocol::Tcp],
        ..ResolveConfig::default()
    });
    assert_eq!(bench.ways("sip:bob@example.com"), ["TCP 192.0.2.1:5060"]);
}

#[test]
fn sips_uses_secure_services_only() {
    let zone = Zone::default()
        .naptr("example.com", &[(1, 1, "SIP+D2U", "_sip._udp.example.com")])
        .srv("_sip._udp.example.com", &[(0, 1, 5060, "a.example.com")])
        .srv("_sips._tcp.example.com", &[(0, 1, 5071, "a.example.com")])
        .a("a.example.com", "192.0.2.1");
    let mut bench = Bench::new(zone);
    let addresses = bench.resolve("sips:bob@example.com").unwrap();
    assert_eq!(
        addresses,
        [Address {
            protocol: Protocol::Tls,
            peer: "192.0.2.1:5071".parse().unwrap(),
            // RFC 5922: the domain of the URI, not the host that SRV names.
            server_name: Some("example.com".into()),
        }]
    );
}

#[test]
fn srv_without_naptr_by_preference_of_protocols() {
    let zone = Zone::default()
        .srv("_sip._tcp.example.com", &[(0, 1, 5080, "a.example.com")])
        .srv("_sip._udp.example.com", &[(0, 1, 5070, "a.example.com")])
        .a("a.example.com", "192.0.2.1");
    let mut bench = Bench::new(zone);
    let ways = bench.ways("sip:example.com");
    assert_eq!(ways, ["UDP 192.0.2.1:5070", "TCP 192.0.2.1:5080"]);
    assert_eq!(
        bench.ways("sip:example.com;transport=tcp"),
        ["TCP 192.0.2.1:5080"]
    );
}

#[test]
fn responses_follow_the_sent_by() {
    let zone = Zone::default()
        .srv("_sip._tcp.example.com", &[(0, 1, 5080, "a.example.com")])
        .a("a.example.com", "192.0.2.1")
        .a("example.com", "192.0.2.7");
    let mut bench = Bench::new(zone);
    for (host, port, peer) in [
        ("192.0.2.3", None, "192.0.2.3:5060"),
        ("example.com", None, "192.0.2.1:5080"),
        ("example.com", Some(5070), "192.0.2.7:5070"),
    ] {
        let destination = Destination::of_sent_by(Protocol::Tcp, host.as_bytes(), port).unwrap();
        let addresses = bench.resolve_to(&destination).unwrap();
        assert_eq!(addresses[0].peer, peer.parse().unwrap());
        assert_eq!(addresses[0].protocol, Protocol::Tcp);
    }
    assert_eq!(bench.asked(RecordKind::Naptr), 0);
}

#[test]
fn a_port_leaves_srv_aside() {
    let zone = Zone::default()
        .srv("_sip._udp.example.com", &[(0, 1, 5070, "a.example.com")])
        .a("example.com", "192.0.2.7");
    let mut bench = Bench::new(zone);
    assert_eq!(bench.ways("sip:example.com:5099"), ["UDP 192.0.2.7:5099"]);
    assert_eq!(bench.asked(RecordKind::Naptr), 0);
    assert_eq!(bench.asked(RecordKind::Srv), 0);
}

#[test]
fn host_of_the_uri_serves_without_srv() {
    let zone = Zone::default()
        .a("example.com", "192.0.2.7")
        .a("example.com", "2001:db8::7");
    let mut bench = Bench::new(zone);
    assert_eq!(
        bench.ways("sip:EXAMPLE.com."),
        ["UDP [2001:db8::7]:5060", "UDP 192.0.2.7:5060"]
    );
    assert_eq!(
        bench.ways("sips:example.com"),
        ["TLS [2001:db8::7]:5061", "TLS 192.0.2.7:5061"]
    );
    assert_eq!(
        bench.ways("sip:example.com;transport=wss")[0],
        "WSS [2001:db8::7]:443"
    );
    bench.resolve = Resolve::new(ResolveConfig {
        families: Families::V4,
        ..ResolveConfig::default()
    });
    assert_eq!(bench.ways("sip:example.com"), ["UDP 192.0.2.7:5060"]);
}

#[test]
fn srv_root_means_no_service() {
    let zone = Zone::default()
        .srv("_sip._udp.example.com", &[(0, 0, 0, "")])
        .a("example.com", "192.0.2.7");
    let mut bench = Bench::new(zone);
    let uri = "sip:example.com;transport=udp";
    assert_eq!(bench.resolve(uri), Err(ResolveError::NoSuchName));
    assert_eq!(ResolveError::NoSuchName.code(), 478);
}

#[test]
fn srv_weights_share_the_first_place() {
    let host = |n: u16| format!("h{n}.example");
    let records: Vec<Srv> = [(10, 60), (10, 30), (10, 10), (20, 0), (10, 0)]
        .iter()
        .zip(0..)
        .map(|(&(priority, weight), n)| Srv {
            priority,
            weight,
            port: 5060,
            host: host(n).into(),
        })
        .collect();
    let mut rng = SmallRng::seed_from_u64(7);
    let mut first = HashMap::<Box<str>, u32>::new();
    for _ in 0..10_000 {
        let ordered = order::by_weight(&records, &mut rng);
        assert_eq!(ordered.len(), 5);
        assert_eq!(
            &*ordered[4].host, "h3.example",
            "higher priority value last"
        );
        *first.entry(ordered[0].host.clone()).or_default() += 1;
    }
    let share = |n: u16| first.get(host(n).as_str()).copied().unwrap_or_default();
    assert!((5700..6200).contains(&share(0)), "{first:?}");
    assert!((2800..3200).contains(&share(1)), "{first:?}");
    assert!((850..1150).contains(&share(2)), "{first:?}");
    // Weight 0 has a small chance (RFC 2782), here 1 in 101.
    assert!((40..200).contains(&share(4)), "{first:?}");
}

#[test]
fn answers_serve_until_their_ttl() {
    let mut bench = Bench::new(Zone::default().a("example.com", "192.0.2.7"));
    let uri = "sip:example.com:5060";
    bench.resolve(uri).unwrap();
    bench.pass(Duration::from_secs(59));
    assert!(bench.begin(uri).1.is_some());
    assert_eq!(bench.asked(RecordKind::A), 1);
    bench.pass(Duration::from_secs(2));
    assert!(bench.begin(uri).1.is_none());
}

#[test]
fn that_there_is_nothing_is_remembered() {
    let mut bench = Bench::new(Zone::default());
    let uri = "sip:nowhere.example";
    assert_eq!(bench.resolve(uri), Err(ResolveError::NoSuchName));
    let asked = bench.zone.asked.len();
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.resolve(uri), Err(ResolveError::NoSuchName));
    assert_eq!(bench.zone.asked.len(), asked);
    bench.pass(Duration::from_secs(2));
    assert!(bench.begin(uri).1.is_none());
}

#[test]
fn negative_ttl_is_that_of_the_soa_and_bounded() {
    let mut bench = Bench::new(Zone::default());
    for (name, ttl, lasts) in [("a.example", 10, 10), ("b.example", 90_000, 300)] {
        for kind in [RecordKind::A, RecordKind::Aaaa] {
            let ttl = Some(Duration::from_secs(ttl));
            let nothing = Answer::Nothing { ttl };
            bench.zone.records.insert(query(name, kind), nothing);
        }
        let uri = format!("sip:{name}:5060");
        assert_eq!(bench.resolve(&uri), Err(ResolveError::NoSuchName));
        bench.pass(Duration::from_secs(lasts) - Duration::from_millis(1));
        assert!(bench.begin(&uri).1.is_some(), "{name}");
        bench.pass(Duration::from_millis(2));
        assert!(bench.begin(&uri).1.is_none(), "{name}");
        bench
            .zone
            .answer(&mut bench.resolve, bench.now, &mut bench.rng);
        while bench.resolve.poll_done().is_some() {}
    }
}

#[test]
fn parked_request_ends_after_its_deadline() {
    let mut bench = Bench::new(Zone::default());
    let (token, end) = bench.begin("sip:example.com");
    assert_eq!(end, None);
    assert_eq!(
        bench.resolve.next_timeout(),
        Some(bench.now + Duration::from_secs(2))
    );
    bench.pass(Duration::from_millis(1999));
    assert_eq!(bench.resolve.poll_done(), None);
    bench.pass(Duration::from_millis(1));
    let end = Err(ResolveError::Unavailable);
    assert_eq!(bench.resolve.poll_done(), Some((token, end)));
    assert_eq!(ResolveError::Unavailable.code(), 503);
    assert_eq!(bench.resolve.next_timeout(), None);
}

#[test]
fn stale_answers_serve_when_servers_are_silent() {
    let zone = Zone::default()
        .srv("_sip._udp.example.com", &[(0, 1, 5070, "a.example.com")])
        .a("a.example.com", "192.0.2.1");
    let mut bench = Bench::new(zone);
    let way = bench.resolve("sip:example.com").unwrap();
    bench.pass(Duration::from_secs(3600));
    let (token, end) = bench.begin("sip:example.com");
    assert_eq!(end, None, "the servers are asked first");
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.resolve.poll_done(), Some((token, Ok(way))));
    // A day later the answers are too old.
    bench.pass(Duration::from_secs(90_000));
    let (token, _) = bench.begin("sip:example.com");
    bench.pass(Duration::from_secs(2));
    let end = Err(ResolveError::Unavailable);
    assert_eq!(bench.resolve.poll_done(), Some((token, end)));
}

#[test]
fn stale_answers_serve_at_once_after_a_failure() {
    let mut bench = Bench::new(Zone::default().a("example.com", "192.0.2.7"));
    let uri = "sip:example.com:5060";
    let way = bench.resolve(uri).unwrap();
    let zone = std::mem::take(&mut bench.zone);
    bench.zone = zone
        .failing("example.com", RecordKind::A)
        .failing("example.com", RecordKind::Aaaa);
    bench.pass(Duration::from_secs(100));
    assert_eq!(
        bench.resolve(uri),
        Ok(way.clone()),
        "SERVFAIL with a stale answer"
    );
    assert_eq!(
        bench.begin(uri).1,
        Some(Ok(way.clone())),
        "not asked again yet"
    );
    bench.pass(Duration::from_secs(6));
    assert_eq!(bench.begin(uri).1, None, "asked again");
}

#[test]
fn failing_servers_without_a_stale_answer() {
    let zone = Zone::default()
        .failing("example.com", RecordKind::A)
        .failing("example.com", RecordKind::Aaaa);
    let mut bench = Bench::new(zone);
    let uri = "sip:example.com:5060";
    assert_eq!(bench.resolve(uri), Err(ResolveError::Unavailable));
    // For five seconds it costs neither time nor a query.
    assert_eq!(bench.begin(uri).1, Some(Err(ResolveError::Unavailable)));
    bench.zone = std::mem::take(&mut bench.zone).a("example.com", "192.0.2.7");
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.ways(uri), ["UDP 192.0.2.7:5060"]);
}

#[test]
fn one_family_serves_when_the_other_fails() {
    let zone = Zone::default()
        .a("example.com", "192.0.2.7")
        .failing("example.com", RecordKind::Aaaa);
    let mut bench = Bench::new(zone);
    assert_eq!(bench.ways("sip:example.com:5060"), ["UDP 192.0.2.7:5060"]);
}

#[test]
fn server_that_fails_for_naptr_costs_nothing_but_the_deadline() {
    let zone = Zone::default()
        .failing("example.com", RecordKind::Naptr)
        .srv("_sip._udp.example.com", &[(0, 1, 5070, "a.example.com")])
        .a("a.example.com", "192.0.2.1");
    let mut bench = Bench::new(zone);
    assert_eq!(bench.ways("sip:example.com"), ["UDP 192.0.2.1:5070"]);
    // One that does not even answer: everything else is known by the deadline.
    bench.resolve.clear();
    let (token, _) = bench.begin("sip:example.com");
    while let Some(query) = bench.resolve.poll_query() {
        if query.kind != RecordKind::Naptr {
            let nothing = Answer::Nothing { ttl: None };
            let answer = bench.zone.records.get(&query).cloned().unwrap_or(nothing);
            let now = bench.now;
            bench
                .resolve
                .handle_answer(now, query, answer, &mut bench.rng);
        }
    }
    assert_eq!(bench.resolve.poll_done(), None);
    bench.pass(Duration::from_secs(2));
    let (done, end) = bench.resolve.poll_done().unwrap();
    assert_eq!(done, token);
    assert_eq!(end.unwrap()[0].peer, "192.0.2.1:5070".parse().unwrap());
}

#[test]
fn failed_srv_is_not_taken_for_none() {
    // The service may be on another port: the host with the default port is a guess.
    let zone = Zone::default()
        .failing("_sip._udp.example.com", RecordKind::Srv)
        .a("example.com", "192.0.2.7");
    let mut bench = Bench::new(zone);
    assert_eq!(
        bench.resolve("sip:example.com;transport=udp"),
        Err(ResolveError::Unavailable)
    );
}

#[test]
fn requests_for_one_name_share_its_queries() {
    let mut bench = Bench::new(Zone::default().a("example.com", "192.0.2.7"));
    let (first, _) = bench.begin("sip:example.com:5060");
    let (second, _) = bench.begin("sip:example.com:5060");
    bench
        .zone
        .answer(&mut bench.resolve, bench.now, &mut bench.rng);
    assert_eq!(bench.asked(RecordKind::A), 1);
    let mut done = [
        bench.resolve.poll_done().unwrap(),
        bench.resolve.poll_done().unwrap(),
    ];
    done.sort_by_key(|(token, _)| *token);
    assert_eq!(
        done.map(|(token, end)| (token, end.is_ok())),
        [(first, true), (second, true)]
    );
}

#[test]
fn forgotten_request_has_no_end() {
    let mut bench = Bench::new(Zone::default().a("example.com", "192.0.2.7"));
    let (token, _) = bench.begin("sip:example.com:5060");
    bench.resolve.forget(token);
    bench
        .zone
        .answer(&mut bench.resolve, bench.now, &mut bench.rng);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.resolve.poll_done(), None);
}

#[test]
fn answers_that_nobody_asked_for_are_not_kept() {
    let mut bench = Bench::new(Zone::default());
    let poison = Answer::Records {
        records: Records::Addresses(vec!["203.0.113.66".parse().unwrap()]),
        ttl: Duration::from_secs(86_400),
    };
    let now = bench.now;
    let name = query("example.com", RecordKind::A);
    bench
        .resolve
        .handle_answer(now, name, poison, &mut bench.rng);
    assert_eq!(bench.resolve.cached(), 0);
}

#[test]
fn tables_are_bounded() {
    let mut bench = Bench::new(Zone::default());
    let mut busy = 0;
    for n in 0..400 {
        let (_, end) = bench.begin(&format!("sip:n{n}.example:5060"));
        busy += usize::from(end == Some(Err(ResolveError::Busy)));
    }
    // Two queries each.
    assert_eq!(busy, 400 - crate::limits::DNS_QUERIES / 2);
    let mut bench = Bench::new(Zone::default().a("kept.example", "192.0.2.1"));
    for n in 0..crate::limits::DNS_CACHE {
        bench.resolve("sip:kept.example:5060").unwrap();
        let _ = bench.resolve(&format!("sip:n{n}.example:5060"));
    }
    assert_eq!(bench.resolve.cached(), crate::limits::DNS_CACHE);
    assert_eq!(
        bench.asked(RecordKind::A),
        crate::limits::DNS_CACHE + 1,
        "used answers stay"
    );
}
