//! The demo against a stand-in for edge and relay: what the phones do is right whatever the engine.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use windlass_ng::Value;

use super::sip::{Message, audio_address, rtcp_address, sdp, tag};
use super::*;

#[test]
fn relay_view_reads_the_first_stream_of_the_tag() {
    let peer = "[2001:db8::1]:4000".parse().unwrap();
    let reply = query_reply([("a".to_owned(), party(peer, [10, 9]))]);
    let view = relay_view(&reply, "a").unwrap();
    assert_eq!(view.latched, "[2001:db8::1]:4000".parse().ok());
    assert_eq!((view.packets_in, view.bytes_out), (10, 1548));
    assert_eq!(relay_view(&reply, "b"), None);
}

#[test]
fn demo_config_would_pass_its_own_preflight() {
    let place = Place::find(None);
    let config = place
        .config(SocketAddr::new(place.callee, 5080), 0)
        .unwrap();
    let edge = place.edge(SocketAddr::new(place.callee, 5080), 0);
    assert!(
        edge.listen
            .iter()
            .any(|l| l.is_ipv4() == edge.upstream.is_ipv4())
    );
    let Some(Edge::Zones(edge)) = config.edge else {
        panic!("{config:?}");
    };
    assert!(edge.settings.screen.is_some());
    for interface in &config.interfaces {
        assert_eq!(interface.ports.count(), 256);
        assert_eq!(interface.ports.min % 2, 0);
    }
}

#[test]
fn phones_without_relay_hear_each_other() {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (answered, calls) = mpsc::channel();
    let callee = Callee::start(loopback, answer(answered)).unwrap();
    let mut phone = Caller::new(Line::direct(loopback).unwrap(), callee.address());
    let pair = || Line::direct_pair(loopback).unwrap();
    let (ours, remote) = phone.invite("callee", pair()).unwrap();
    let theirs = calls.recv_timeout(Duration::from_secs(5)).unwrap();
    let length = Duration::from_millis(300);
    let conversation = Conversation::new(length);
    let heard = converse(&conversation, length, [ours, theirs]).unwrap();
    phone.bye(&remote).unwrap();
    for (heard, sent) in heard.iter().zip(conversation.sent.iter().rev()) {
        assert!(sent.count() > 5);
        assert_eq!(heard.packets, sent.count());
    }
    // The next call gets an echo.
    let (dialog, _) = phone.invite("callee", pair()).unwrap();
    let [rtp, _] = &dialog.lines;
    let [to, _] = dialog.told;
    let mut buffer = [0; 64];
    rtp.send_to(b"hello", to).unwrap();
    let echoed = rtp.receive(&mut buffer, Duration::from_secs(5)).unwrap();
    assert_eq!(echoed, Some((&b"hello"[..], to)));
}

/// Minimal proxy and relay between the phones: it rewrites SDP, record-routes, sends to the last
/// source of each port, and answers `query`.
struct StandIn {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

const GLANCE: Duration = Duration::from_millis(20);

impl StandIn {
    fn engine(upstream: SocketAddr) -> Engine {
        let mut this = Self {
            stop: Arc::default(),
            threads: Vec::new(),
        };
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let sip = [v4, upstream.ip()].map(|ip| Line::direct(ip).unwrap());
        let listen = sip.each_ref().map(Line::believed);
        let views: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let rtp = this.relay(v4, upstream.ip());
        let rtcp = this.relay(v4, upstream.ip());
        this.proxy(sip, upstream, [rtp.clone(), rtcp], Arc::clone(&views));
        let ng_udp = this.ng(views, rtp);
        Engine {
            ng_udp,
            edge: listen.to_vec(),
            stop: Box::new(move || {
                this.stop.store(true, Relaxed);
                this.threads.drain(..).for_each(|t| t.join().unwrap());
            }),
        }
    }

    /// Calls `each` for every datagram of a line.
    fn serve(
        &mut self,
        line: impl Fn() -> Arc<Line>,
        mut each: impl FnMut(&[u8], SocketAddr) + Send + 'static,
    ) {
        let (stop, line) = (Arc::clone(&self.stop), line());
        self.threads.push(thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !stop.load(Relaxed) {
                if let Some((bytes, from)) = line.receive(&mut buffer, GLANCE).unwrap() {
                    each(bytes, from);
                }
            }
        }));
    }

    /// Two ports; what comes to one leaves from the other.
    fn relay(&mut self, caller: IpAddr, callee: IpAddr) -> Pair {
        let lines = [caller, callee].map(|ip| Arc::new(Line::direct(ip).unwrap()));
        let pair = Pair {
            addresses: lines.each_ref().map(|line| line.believed()),
            peers: Arc::default(),
            packets: Arc::default(),
        };
        for side in [0, 1] {
            let (out, pair) = (Arc::clone(&lines[1 - side]), pair.clone());
            self.serve(
                || Arc::clone(&lines[side]),
                move |bytes, from| {
                    pair.packets[side].fetch_add(1, Relaxed);
                    let to = {
                        let mut peers = pair.peers.lock().unwrap();
                        peers[side] = Some(from);
                        peers[1 - side]
                    };
                    if let Some(to) = to {
                        out.send_to(bytes, to).unwrap();
                    }
                },
            );
        }
        pair
    }

    fn proxy(
        &mut self,
        sip: [Line; 2],
        upstream: SocketAddr,
        media: [Pair; 2],
        tags: Arc<Mutex<HashMap<String, usize>>>,
    ) {
        let [outer, inner] = sip.map(Arc::new);
        let caller: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let (seen, out, [rtp, rtcp]) = (Arc::clone(&caller), Arc::clone(&inner), media);
        let towards_callee = rtp.addresses[1];
        let control_towards_callee = rtcp.addresses[1].port();
        self.serve(
            || Arc::clone(&outer),
            move |bytes, from| {
                if from.ip() == IpAddr::from([127, 0, 0, 66]) {
                    return;
                }
                *seen.lock().unwrap() = Some(from);
                let mut request = Message::parse(bytes).unwrap();
                let us = out.believed();
                request.headers.retain(|(name, value)| {
                    assert!(
                        name != "Route" || value.contains(&us.to_string()),
                        "{value}"
                    );
                    name != "Route"
                });
                let via = format!("SIP/2.0/UDP {us};branch=z9hG4bK{}", request.headers.len());
                request.headers.insert(0, ("Via".to_owned(), via));
                if request.method() == Some("INVITE") {
                    let route = ("Record-Route".to_owned(), format!("<sip:{us};lr>"));
                    request.headers.insert(1, route);
                    request.body = sdp("relay", towards_callee);
                    let control = format!("a=rtcp:{control_towards_callee}\r\n");
                    request.body.push_str(&control);
                }
                out.send_to(&request.bytes(), upstream).unwrap();
            },
        );
        let towards_caller = rtp.addresses[0];
        self.serve(
            || Arc::clone(&inner),
            move |bytes, _| {
                let mut response = Message::parse(bytes).unwrap();
                response.headers.remove(0);
                if let Some(audio) = audio_address(&response.body) {
                    rtp.peers.lock().unwrap()[1] = Some(audio);
                    rtcp.peers.lock().unwrap()[1] = Some(rtcp_address(&response.body, audio));
                    let names = ["From", "To"].map(|name| response.header(name).unwrap());
                    for (side, name) in names.into_iter().enumerate() {
                        let tag = tag(name).unwrap().to_owned();
                        tags.lock().unwrap().insert(tag, side);
                    }
                    response.body = sdp("relay", towards_caller);
                    let control = format!("a=rtcp:{}\r\n", rtcp.addresses[0].port());
                    response.body.push_str(&control);
                }
                let to = caller.lock().unwrap().unwrap();
                outer.send_to(&response.bytes(), to).unwrap();
            },
        );
    }

    fn ng(&mut self, tags: Arc<Mutex<HashMap<String, usize>>>, rtp: Pair) -> SocketAddr {
        let line = Arc::new(Line::direct(Ipv4Addr::LOCALHOST.into()).unwrap());
        let (address, out) = (line.believed(), Arc::clone(&line));
        self.serve(
            || Arc::clone(&line),
            move |bytes, from| {
                let blank = bytes.iter().position(|byte| *byte == b' ').unwrap();
                let view = |side: usize| {
                    let peer = rtp.peers.lock().unwrap()[side].unwrap();
                    let [received, sent] = [side, 1 - side].map(|s| rtp.packets[s].load(Relaxed));
                    party(peer, [received, sent])
                };
                let tags = tags.lock().unwrap();
                let parties = tags.iter().map(|(tag, side)| (tag.clone(), view(*side)));
                let mut reply = bytes[..=blank].to_vec();
                query_reply(parties).write_bencode(&mut reply);
                out.send_to(&reply, from).unwrap();
            },
        );
        address
    }
}

/// A party of a `query` reply that received and sent so many packets.
fn party(peer: SocketAddr, packets: [u64; 2]) -> Dict {
    let [received, sent] = packets.map(|packets| {
        let packets = i64::try_from(packets).unwrap();
        Dict::new()
            .with("packets", packets)
            .with("bytes", packets * 172)
    });
    let endpoint = Dict::new()
        .with("address", peer.ip().to_string())
        .with("port", i64::from(peer.port()));
    let stream = Dict::new()
        .with("endpoint", endpoint)
        .with("stats", received)
        .with("stats_out", sent);
    let media = Dict::new().with(
        "streams",
        [Value::from(stream)].into_iter().collect::<Value>(),
    );
    Dict::new().with(
        "medias",
        [Value::from(media)].into_iter().collect::<Value>(),
    )
}

fn query_reply(parties: impl IntoIterator<Item = (String, Dict)>) -> Dict {
    let mut tags = Dict::new();
    for (tag, party) in parties {
        tags.push(tag, party);
    }
    Dict::new().with("result", "ok").with("tags", tags)
}

/// Ports towards caller and callee.
#[derive(Clone)]
struct Pair {
    addresses: [SocketAddr; 2],
    peers: Arc<Mutex<[Option<SocketAddr>; 2]>>,
    packets: Arc<[AtomicU64; 2]>,
}

#[test]
fn demo_call_passes_through_whatever_relays_it() {
    let place = Place::find(None);
    let (answered, calls) = mpsc::channel();
    let callee = Callee::start(place.callee, answer(answered)).unwrap();
    let engine = StandIn::engine(callee.address());
    let options = Options {
        seconds: 1,
        json: true,
        keep: false,
        address: None,
    };
    let report = place.call(options, &engine, &calls).unwrap();
    (engine.stop)();
    assert!(report.passed(), "{report}");
    assert!(
        report.verdict().contains("found behind its NAT"),
        "{report}"
    );
    let [caller, callee] = &report.legs;
    assert_eq!(
        caller.sdp_before,
        "192.168.77.10:4000".parse::<SocketAddr>().unwrap()
    );
    assert_ne!(caller.source, caller.sdp_before);
    assert_eq!(caller.relay.latched, Some(caller.source));
    assert_eq!(callee.relay.latched, Some(callee.sdp_before));
}
