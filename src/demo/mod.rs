//! A call from end to end inside one process: relay, edge and two phones on loopback.
//!
//! The caller speaks IPv4 and sits behind a simulated NAT, so its SDP names an address that it does
//! not have; the callee speaks IPv6. What a phone needs is built in: SIP in `sip`, `phone` and
//! `callee`, audio in `speech` and `audio`, the NAT in `nat`. The phones know nothing of the
//! relay; they use it through the edge like any other phone would. While they talk, a `scanner`
//! knocks at the edge, and a phone with TLS (`secure`) calls the callee as well.

mod audio;
mod callee;
mod nat;
mod phone;
mod report;
mod scanner;
mod secure;
mod sip;
mod speech;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use windlass_ng::client::{Client, ClientError, ClientOptions};
use windlass_ng::{Dict, Value};

use crate::config::topic::{Dataplane, Offload, OffloadMode};
use crate::config::{
    Config, Edge, Family, Interface, Ng, OneUpstream, PUBLIC, PortRange, ScreenConfig, Tables,
    Zones,
};
use audio::{Conversation, Stage, Talker};
use callee::Callee;
use nat::Line;
use phone::{Caller, Dialog};

pub use phone::CallError;
pub use report::{HeardReport, LegReport, RelayView, Report};
pub use scanner::ScanReport;
use secure::SecureEdge;
pub use secure::SecureReport;

/// Settings of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Duration of the conversation; at most [`Options::MAX_SECONDS`].
    pub seconds: u64,
    /// Print the report as JSON.
    pub json: bool,
    /// Stay, answering calls with an echo, until the process is asked to end.
    pub keep: bool,
    /// The address of relay and edge towards the caller; `None`: loopback.
    pub address: Option<Ipv4Addr>,
}

impl Options {
    /// Longest conversation: 16-bit sequence numbers at 50 packets a second.
    pub const MAX_SECONDS: u64 = 1200;
}

/// A running relay with its edge, as the demo needs it.
pub struct Engine {
    /// Its ng address.
    pub ng_udp: SocketAddr,
    /// SIP addresses of the edge.
    pub edge: Vec<SocketAddr>,
    /// Ends it.
    pub stop: Box<dyn FnOnce()>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("ng_udp", &self.ng_udp)
            .field("edge", &self.edge)
            .finish_non_exhaustive()
    }
}

/// Reasons why the demo could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call did not come about or did not end well.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The relay did not start.
    #[error("the relay did not start: {0}")]
    Engine(String),
    /// A socket or thread of the demo itself failed.
    #[error("the demo failed")]
    Io(#[from] io::Error),
    /// The relay's view of the call lacks a party.
    #[error("the relay knows no stream of the party with tag {0}")]
    NoStream(String),
    /// The relay could not be asked about the call.
    #[error("the relay did not answer `query`")]
    Query(#[from] ClientError),
}

/// Plays the demo on an engine that `start` starts. Prints the report; whether the call was good is
/// what it returns.
///
/// # Errors
/// The call could not be made at all.
pub fn run(
    options: Options,
    start: impl FnOnce(Config) -> Result<Engine, String>,
) -> Result<bool, Error> {
    let mut place = Place::find(options.address);
    place.secure = Some(SecureEdge::new(place.relay)?);
    let (answered, calls) = mpsc::channel();
    let callee = Callee::start(place.callee, answer(answered))?;
    // A phone is easier to set up for the usual port; the demo alone needs no certain one.
    let sip_port = if options.keep { 5060 } else { 0 };
    let config = place.config(callee.address(), sip_port)?;
    let engine = start(config).map_err(Error::Engine)?;
    let outcome = place.call(options, &engine, &calls).and_then(|report| {
        print(&report, options.json);
        if options.keep {
            keep(&engine, place.secure.as_ref().map(|edge| edge.address))?;
        }
        Ok(report.passed())
    });
    drop(callee);
    (engine.stop)();
    outcome
}

/// Behaviour of the callee: the first call is the demo's, all others get an echo.
fn answer(demo: mpsc::Sender<Dialog>) -> impl FnMut(Dialog) + Send + 'static {
    let mut demo = Some(demo);
    move |dialog| {
        if let Some(demo) = demo.take() {
            // Nobody waits for it any more only when the demo is over.
            let _ = demo.send(dialog);
            return;
        }
        let call_id = dialog.call_id.clone();
        let echoing = thread::Builder::new()
            .name("demo-echo".to_owned())
            .spawn(move || audio::echo(&dialog.lines, dialog.told, &dialog.over));
        if let Err(error) = echoing {
            tracing::error!(call_id, %error, "a call gets no echo");
        }
    }
}

/// Addresses of the players.
struct Place {
    /// Relay and edge towards the caller.
    relay: IpAddr,
    /// Public address of the caller's NAT.
    outside: IpAddr,
    callee: IpAddr,
    /// Where phones with TLS reach the edge.
    secure: Option<SecureEdge>,
}

impl Place {
    /// Takes what the host has: IPv6 if it can, and a second IPv4 loopback address for the NAT.
    fn find(relay: Option<Ipv4Addr>) -> Self {
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let nat = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        let outside = match relay {
            // Loopback addresses are out of place on a real network.
            Some(relay) => relay.into(),
            None if is_free(nat, 0) => nat,
            None => v4,
        };
        let callee = if is_free(v6, 0) {
            v6
        } else {
            eprintln!("This host has no IPv6: the callee uses IPv4 too, nothing is bridged.");
            v4
        };
        Self {
            relay: relay.map_or(v4, IpAddr::V4),
            outside,
            callee,
            secure: None,
        }
    }

    fn config(&self, upstream: SocketAddr, sip_port: u16) -> io::Result<Config> {
        let mut config = self.without_edge()?;
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut settings =
            Edge::OneUpstream(Box::new(self.edge(upstream, sip_port))).settings(nowhere);
        settings.screen = Some(ScreenConfig::default());
        if let (Some(zone), Some(secure)) = (settings.zones.get_mut(PUBLIC), &self.secure) {
            zone.listeners.push(secure.listener());
        }
        config.edge = Some(Edge::Zones(Box::new(Zones { settings, ng: None })));
        Ok(config)
    }

    /// Relay and edge towards the caller and, if that is IPv6, towards the callee.
    fn addresses(&self) -> Vec<(&'static str, IpAddr)> {
        let mut addresses = vec![("ext", self.relay)];
        if self.callee.is_ipv6() {
            addresses.push(("int", self.callee));
        }
        addresses
    }

    fn edge(&self, upstream: SocketAddr, sip_port: u16) -> OneUpstream {
        let bridges = self.callee.is_ipv6();
        let listen = |ip| {
            let is_free = is_free(ip, sip_port);
            SocketAddr::new(ip, if is_free { sip_port } else { 0 })
        };
        OneUpstream {
            listen: self.addresses().iter().map(|(_, ip)| listen(*ip)).collect(),
            advertise: None,
            upstream,
            ng: None,
            direction: bridges.then(|| ["ext".to_owned(), "int".to_owned()]),
            address_family: bridges.then_some(Family::Ip6),
            tables: Tables::default(),
        }
    }

    fn without_edge(&self) -> io::Result<Config> {
        let addresses = self.addresses();
        let ports = free_ports(&addresses)?;
        Ok(Config {
            interfaces: addresses
                .iter()
                .map(|(name, address)| Interface {
                    name: (*name).to_owned(),
                    address: *address,
                    advertise: None,
                    ports,
                    exclude_ports: Vec::new(),
                })
                .collect(),
            ng: Ng {
                udp: vec![(Ipv4Addr::LOCALHOST, 0).into()],
                tcp: Vec::new(),
            },
            // A demonstration changes nothing of the host.
            dataplane: Dataplane {
                reserve_ports: false,
                refuse_binds: false,
                ..Dataplane::default()
            },
            offload: Offload {
                mode: OffloadMode::Off,
            },
            ..Config::default()
        })
    }

    /// The caller's port, as the caller knows it, behind the NAT.
    fn behind_nat(&self, port: u16) -> io::Result<Line> {
        let inside = SocketAddr::from(([192, 168, 77, 10], port));
        Line::behind_nat(inside, self.outside)
    }

    fn call(
        &self,
        options: Options,
        engine: &Engine,
        calls: &mpsc::Receiver<Dialog>,
    ) -> Result<Report, Error> {
        let edge = engine
            .edge
            .iter()
            .find(|address| address.is_ipv4())
            .ok_or_else(|| Error::Engine("the edge listens nowhere".to_owned()))?;
        let mut phone = Caller::new(self.behind_nat(5060)?, *edge);
        let lines = [self.behind_nat(4000)?, self.behind_nat(4001)?];
        let (caller, remote) = phone.invite("callee", lines)?;
        // The ACK is on its way.
        let callee = calls
            .recv_timeout(Duration::from_secs(5))
            .map_err(|_| CallError::NoAnswer("ACK"))?;
        let legs = Legs::of(&caller, &callee)?;
        let length = Duration::from_secs(options.seconds.clamp(1, Options::MAX_SECONDS));
        if !options.json {
            println!("Two phones talk for {} s ...", length.as_secs());
        }
        let conversation = Conversation::new(length);
        let (heard, scan, secure) = thread::scope(|scope| {
            let scan = scope.spawn(|| scanner::scan(*edge, self.outside));
            let secure = self.secure.as_ref();
            let secure = secure.map(|edge| scope.spawn(move || edge.call()));
            let heard = converse(&conversation, length, [caller, callee]);
            let scan = scan
                .join()
                .map_err(|_| io::Error::other("the scanner's thread panicked"));
            let secure = secure.map(|call| {
                call.join()
                    .map_err(|_| io::Error::other("the thread of the phone with TLS panicked"))
            });
            (heard, scan, secure)
        });
        let secure = secure.transpose()?.transpose()?;
        let views = legs.ask(engine.ng_udp)?;
        phone.bye(&remote)?;
        Ok(legs.report(length, &conversation, heard?, views, (scan??, secure)))
    }
}

/// Lets both phones talk, then waits for what is on its way.
fn converse(
    conversation: &Conversation,
    length: Duration,
    dialogs: [Dialog; 2],
) -> io::Result<[audio::Heard; 2]> {
    const DRAIN: Duration = Duration::from_millis(200);
    const POLITENESS: Duration = Duration::from_millis(500);
    let [caller, callee] = dialogs;
    let talker = |side, dialog: Dialog, patience| {
        let [rtp, rtcp] = dialog.lines;
        let [to_rtp, to_rtcp] = dialog.told;
        Talker {
            side,
            conversation,
            rtp,
            rtcp,
            to_rtp,
            to_rtcp,
            patience,
        }
    };
    let caller = talker(0, caller, Duration::ZERO);
    let callee = talker(1, callee, POLITENESS);
    thread::scope(|scope| {
        let talks = [&caller, &callee].map(|talker| scope.spawn(|| talker.talk()));
        pause(length);
        conversation.enter(Stage::Draining);
        pause(DRAIN);
        conversation.enter(Stage::Over);
        let [caller, callee] = talks.map(|talk| {
            talk.join()
                .map_err(|_| io::Error::other("a phone's thread panicked"))?
        });
        Ok([caller?, callee?])
    })
}

/// Facts about both legs from their SIP messages.
struct Legs {
    call_id: String,
    tags: [String; 2],
    before: [SocketAddr; 2],
    sources: [SocketAddr; 2],
    after: [SocketAddr; 2],
}

impl Legs {
    fn of(caller: &Dialog, callee: &Dialog) -> io::Result<Self> {
        let [at_caller, _] = caller.told;
        let [at_callee, _] = callee.told;
        Ok(Self {
            call_id: caller.call_id.clone(),
            tags: [caller.own_tag.clone(), caller.other_tag.clone()],
            before: [caller.wrote, callee.wrote],
            sources: [caller.source()?, callee.source()?],
            after: [at_callee, at_caller],
        })
    }

    /// Asks the relay how it sees both legs.
    fn ask(&self, ng: SocketAddr) -> Result<[RelayView; 2], Error> {
        let relay = Client::connect(ng, ClientOptions::default())?;
        // The edge gives each call a name of its own at the relay, which begins with the Call-ID.
        let calls = relay.request(&Dict::new().with("command", "list"))?;
        let calls = calls.get("calls").and_then(Value::as_list);
        let mut names = calls.unwrap_or_default().iter().filter_map(Value::as_str);
        let prefix = format!("{};", self.call_id);
        let name = names.find(|name| name.starts_with(&prefix));
        let query = Dict::new()
            .with("command", "query")
            .with("call-id", name.unwrap_or(&self.call_id));
        let reply = relay.request(&query)?;
        let [caller, callee] = &self.tags;
        let view =
            |tag: &String| relay_view(&reply, tag).ok_or_else(|| Error::NoStream(tag.clone()));
        Ok([view(caller)?, view(callee)?])
    }

    fn report(
        self,
        length: Duration,
        conversation: &Conversation,
        heard: [audio::Heard; 2],
        views: [RelayView; 2],
        (scan, secure): (ScanReport, Option<SecureReport>),
    ) -> Report {
        let [at_caller, at_callee] = heard;
        let [caller_view, callee_view] = views;
        let [by_caller, by_callee] = &conversation.sent;
        let [caller_before, callee_before] = self.before;
        let [caller_source, callee_source] = self.sources;
        let [caller_after, callee_after] = self.after;
        let caller = LegReport {
            name: "caller".to_owned(),
            sdp_before: caller_before,
            source: caller_source,
            sdp_after: caller_after,
            relay: caller_view,
            heard: HeardReport::new(&at_caller, by_callee.count()),
        };
        let callee = LegReport {
            name: "callee".to_owned(),
            sdp_before: callee_before,
            source: callee_source,
            sdp_after: callee_after,
            relay: callee_view,
            heard: HeardReport::new(&at_callee, by_caller.count()),
        };
        Report {
            seconds: length.as_secs(),
            legs: [caller, callee],
            scan,
            secure,
        }
    }
}

/// The first RTP stream of a tag in a `query` reply (spec: ng-protocol §12).
fn relay_view(reply: &Dict, tag: &str) -> Option<RelayView> {
    let party = reply.get("tags")?.as_dict()?.get(tag)?.as_dict()?;
    let media = party.get("medias")?.as_list()?.first()?.as_dict()?;
    let stream = media.get("streams")?.as_list()?.first()?.as_dict()?;
    let count = |group: &str, key: &str| {
        let count = stream.get(group)?.as_dict()?.get(key)?.as_int()?;
        u64::try_from(count).ok()
    };
    let endpoint = stream.get("endpoint").and_then(|endpoint| {
        let endpoint = endpoint.as_dict()?;
        let ip: IpAddr = endpoint.get_str("address")?.parse().ok()?;
        let port = endpoint.get("port")?.as_int()?;
        Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
    });
    Some(RelayView {
        latched: endpoint,
        packets_in: count("stats", "packets")?,
        bytes_in: count("stats", "bytes")?,
        packets_out: count("stats_out", "packets")?,
        bytes_out: count("stats_out", "bytes")?,
    })
}

/// A range of ports that are free on all addresses now, below those the system gives away.
fn free_ports(addresses: &[(&str, IpAddr)]) -> io::Result<PortRange> {
    /// RTP and RTCP of both legs of as many calls as the answering phone takes.
    const COUNT: u16 = 256;
    for (_, ip) in addresses {
        UdpSocket::bind((*ip, 0))
            .map_err(|error| io::Error::new(error.kind(), format!("{ip}: {error}")))?;
    }
    for _ in 0..64 {
        let min = 10_000 + 2 * rand::random_range(0..10_000);
        let ports = PortRange {
            min,
            max: min + COUNT - 1,
        };
        let all_free = addresses
            .iter()
            .all(|(_, ip)| (ports.min..=ports.max).all(|port| is_free(*ip, port)));
        if all_free {
            return Ok(ports);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        format!("no {COUNT} free UDP ports in a row between 10000 and 30000"),
    ))
}

/// Whether a UDP port can be had; port 0 asks whether the address can.
fn is_free(ip: IpAddr, port: u16) -> bool {
    UdpSocket::bind((ip, port)).is_ok()
}

fn print(report: &Report, json: bool) {
    if json {
        let mut value = serde_json::json!(report);
        if let Some(object) = value.as_object_mut() {
            object.insert("passed".to_owned(), report.passed().into());
            object.insert("verdict".to_owned(), report.verdict().into());
        }
        println!("{value:#}");
    } else {
        println!("\n{report}");
    }
}

/// Says how to reach it and waits for SIGINT or SIGTERM.
fn keep(engine: &Engine, secure: Option<SocketAddr>) -> io::Result<()> {
    eprintln!("\nRelay and edge keep running. To try them with a phone, call");
    let is_plain = |edge: &&SocketAddr| edge.is_ipv4() && Some(**edge) != secure;
    for edge in engine.edge.iter().filter(is_plain) {
        eprintln!("    sip:echo@{edge}   (UDP, no registration)");
    }
    eprintln!("and you hear yourself. To look inside:");
    eprintln!("    windlass ng --relay {} list", engine.ng_udp);
    eprintln!("Ctrl-C ends it.");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "phones live in real time; they are the outside world of the engine"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "phones live in real time; they are the outside world of the engine"
)]
fn pause(time: Duration) {
    thread::sleep(time);
}
