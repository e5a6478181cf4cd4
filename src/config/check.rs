//! Draft to config: defaults, and the rules that join several settings.

use std::net::SocketAddr;
use std::time::Duration;

use windlass_edge::file;
use windlass_toml::{Place, Placed, Problem, nearest};

use super::check_interfaces::known_names;
use super::draft::{Draft, DraftEdge};
use super::names::Names;
use super::{
    Config, Edge, Limits, Log, Media, Ng, OneUpstream, PortRange, Tables, Timeouts, Zones,
};
use crate::observe::log;

/// Checks everything and reports every problem; the config is of use only if there was none.
pub(super) fn check(draft: Draft, names: &Names, problems: &mut Vec<Problem>) -> Config {
    let mut checker = Checker { problems, names };
    let defaults = Config::default();
    let ports = checker.common_ports(&draft);
    let interfaces = checker.interfaces(&draft, ports);
    let known = known_names(&draft);
    let aliases = checker.aliases(&draft, &known);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let access = checker.access(&draft);
    let ng = Ng {
        udp: checker.ng_listeners(draft.ng_udp.as_deref(), defaults.ng.udp),
        tcp: checker.ng_listeners(draft.ng_tcp.as_deref(), defaults.ng.tcp),
    };
    let control = &draft.groups.control;
    let others = [&control.http, &control.https];
    if ng.udp.is_empty() && ng.tcp.is_empty() && others.iter().all(|list| list.is_empty()) {
        checker.problem(
            Place::Whole,
            "no ng listener is left: nothing could be asked of the relay; \
             give `udp` in [ng] at least one address",
        );
    }
    let edge = match draft.zones {
        Some(zones) => Some(checker.zones(zones, &known, &ng.udp)),
        None => draft
            .edge
            .and_then(|edge| checker.edge(edge, &known, &ng.udp)),
    };
    let timeouts = Timeouts {
        media: seconds(draft.timeout_media, defaults.timeouts.media),
        silent: seconds(draft.timeout_silent, defaults.timeouts.silent),
        offer: seconds(draft.timeout_offer, defaults.timeouts.offer),
        final_limit: Some(seconds(draft.timeout_final, Duration::ZERO))
            .filter(|limit| !limit.is_zero()),
        delete_delay: seconds(draft.delete_delay, defaults.timeouts.delete_delay),
    };
    if let Some(level) = &draft.log_level
        && let Err(error) = log::check_filter(&level.value)
    {
        checker.problem(level.at, &error);
    }
    let groups = draft.groups;
    Config {
        interfaces,
        aliases,
        ng,
        access,
        control: groups.control,
        signalling: groups.signalling,
        templates: draft.templates,
        dtls: groups.dtls,
        ice: groups.ice,
        quality: groups.quality,
        jitter_buffer: groups.jitter_buffer,
        dataplane: groups.dataplane,
        offload: groups.offload,
        audio: groups.audio,
        recording: groups.recording,
        dtmf: groups.dtmf,
        redis: groups.redis,
        homer: groups.homer,
        graphite: groups.graphite,
        mqtt: groups.mqtt,
        syslog: groups.syslog,
        process: groups.process,
        media: Media {
            learning: draft.learning.map(|l| l.value).unwrap_or_default(),
            signalling_hops: values(draft.signalling_hops.unwrap_or_default()),
            tos: draft.tos.map_or(0, |tos| tos.value),
            destinations: draft.destinations,
        },
        timeouts,
        limits: Limits {
            max_sessions: draft
                .max_sessions
                .map(|max| usize::try_from(max.value).unwrap_or(usize::MAX)),
            max_load: draft.max_load,
            max_cpu: draft.max_cpu,
            max_bandwidth: draft.max_bandwidth,
        },
        log: Log {
            level: draft.log_level.map_or(defaults.log.level, |l| l.value),
            format: draft.log_format.map_or(defaults.log.format, |f| f.value),
        },
        workers: draft.workers.map(|count| usize::from(count.value)),
        edge,
    }
}

pub(super) struct Checker<'p> {
    problems: &'p mut Vec<Problem>,
    pub(super) names: &'p Names,
}

impl Checker<'_> {
    pub(super) fn problem(&mut self, at: Place, message: &str) {
        self.problems.push(Problem {
            at,
            message: message.to_owned(),
        });
    }

    fn common_ports(&mut self, draft: &Draft) -> PortRange {
        let default = PortRange::default();
        let at = first_place([draft.port_min, draft.port_max]);
        self.ports(at, draft.port_min, draft.port_max, default)
    }

    /// A range out of what was said, `default` filling in. Reported at the value that is wrong.
    pub(super) fn ports(
        &mut self,
        at: Place,
        min: Option<Placed<u16>>,
        max: Option<Placed<u16>>,
        default: PortRange,
    ) -> PortRange {
        let range = PortRange {
            min: min.map_or(default.min, |min| min.value),
            max: max.map_or(default.max, |max| max.value),
        };
        if min.is_none() && max.is_none() {
            return range;
        }
        let PortRange {
            min: low,
            max: high,
        } = range;
        if low > high {
            self.problem(at, &format!("port range {low}-{high} is upside down"));
        } else if range.count() < MIN_PORTS {
            self.problem(
                at,
                &format!(
                    "port range {low}-{high} has {} ports, one call needs {MIN_PORTS}",
                    range.count()
                ),
            );
        } else if low % 2 != 0 || high % 2 == 0 {
            let (from, to) = (low + low % 2, high - (1 - high % 2));
            self.problem(
                at,
                &format!(
                    "port range {low}-{high} does not consist of pairs: RTP takes an even port \
                     and RTCP the next, so write for example {from}-{to}"
                ),
            );
        }
        range
    }

    fn ng_listeners(
        &mut self,
        said: Option<&[Placed<SocketAddr>]>,
        default: Vec<SocketAddr>,
    ) -> Vec<SocketAddr> {
        let Some(said) = said else { return default };
        self.refuse_duplicates(said, &[]);
        said.iter().map(|listener| listener.value).collect()
    }

    fn refuse_duplicates(&mut self, said: &[Placed<SocketAddr>], others: &[SocketAddr]) {
        let mut seen: Vec<SocketAddr> = others.to_vec();
        for listener in said {
            if listener.value.port() != 0 && seen.contains(&listener.value) {
                self.problem(
                    listener.at,
                    &format!("{} is listened on twice", listener.value),
                );
            }
            seen.push(listener.value);
        }
    }

    fn edge(&mut self, edge: DraftEdge, names: &[&str], ng_udp: &[SocketAddr]) -> Option<Edge> {
        let listen = edge.listen.unwrap_or_default();
        if listen.is_empty() {
            self.problem(edge.at, "the edge has no `listen` address");
        }
        self.refuse_duplicates(&listen, ng_udp);
        if let Some(advertise) = &edge.advertise {
            self.check_host_port(advertise);
        }
        let direction = edge.direction.and_then(|d| self.direction(&d, names));
        if edge.upstream.is_none() && !edge.upstream_is_bad {
            self.problem(
                edge.at,
                "the edge has no `upstream`: where are calls to go?",
            );
        }
        let upstream = edge.upstream?;
        if upstream.value.port() == 0 {
            self.problem(upstream.at, "`upstream` needs a port");
        }
        if listen.iter().any(|l| l.value == upstream.value) {
            self.problem(upstream.at, "`upstream` is the edge itself");
        }
        self.check_relay(edge.at, edge.ng.as_ref(), ng_udp);
        let mut tables = Tables::default();
        let said = |table: &mut usize, said: Option<Placed<usize>>| {
            *table = said.map_or(*table, |said| said.value);
        };
        said(&mut tables.dialogs, edge.calls);
        said(&mut tables.setups_per_source, edge.setups_per_source);
        said(&mut tables.bytes_per_source, edge.bytes_per_source);
        // One source may take all that there is, if it is told so.
        tables.bytes = tables.bytes.max(tables.bytes_per_source);
        Some(Edge::OneUpstream(Box::new(OneUpstream {
            listen: values(listen),
            advertise: edge.advertise.map(|advertise| advertise.value),
            upstream: upstream.value,
            ng: edge.ng.map(|ng| ng.value),
            direction,
            address_family: edge.address_family.map(|family| family.value),
            tables,
        })))
    }

    /// What an edge of zones says of the rest of the file.
    fn zones(&mut self, edge: file::Read, names: &[&str], ng_udp: &[SocketAddr]) -> Edge {
        for name in &edge.interfaces {
            self.check_interface_name(name, names);
        }
        self.refuse_duplicates(&edge.datagrams, ng_udp);
        let place = edge.datagrams.first();
        let place = place.map_or(Place::Whole, |listener| listener.at);
        self.check_relay(place, edge.ng.as_ref(), ng_udp);
        Edge::Zones(Box::new(Zones {
            settings: edge.config,
            ng: edge.ng.map(|ng| ng.value),
        }))
    }

    fn check_relay(&mut self, at: Place, ng: Option<&Placed<SocketAddr>>, ng_udp: &[SocketAddr]) {
        if let Some(ng) = ng.filter(|ng| ng.value.port() == 0) {
            self.problem(ng.at, "`ng` needs a port");
        }
        if ng.is_none() && ng_udp.is_empty() {
            self.problem(
                at,
                "the edge needs a relay: give `udp` in [ng] an address, or set `ng` in [edge]",
            );
        }
    }

    fn check_interface_name(&mut self, name: &Placed<String>, names: &[&str]) {
        if names.contains(&name.value.as_str()) {
            return;
        }
        let hint = nearest(&name.value, names).map_or_else(
            || format!("there are {}", names.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        let message = format!("no interface is called \"{}\"; {hint}", name.value);
        self.problem(name.at, &message);
    }

    fn direction(
        &mut self,
        direction: &Placed<Vec<Placed<String>>>,
        names: &[&str],
    ) -> Option<[String; 2]> {
        for name in &direction.value {
            self.check_interface_name(name, names);
        }
        let [towards_caller, towards_upstream] = direction.value.as_slice() else {
            self.problem(
                direction.at,
                "`direction` takes two names: the interface towards callers, then the one towards \
                 `upstream`",
            );
            return None;
        };
        Some([towards_caller.value.clone(), towards_upstream.value.clone()])
    }

    fn check_host_port(&mut self, advertise: &Placed<String>) {
        let text = advertise.value.as_str();
        if !file::is_host_port(text) {
            let message = format!(
                "`advertise` is \"{text}\", expected a host such as \"sip.example.com\" or \
                 \"[2001:db8::1]\", with or without \":5060\""
            );
            self.problem(advertise.at, &message);
        }
    }
}

/// RTP and RTCP of two legs.
const MIN_PORTS: usize = 4;

pub(super) fn first_place(said: [Option<Placed<u16>>; 2]) -> Place {
    let [min, max] = said;
    min.or(max).map_or(Place::Whole, |value| value.at)
}

fn seconds(said: Option<Placed<u64>>, default: Duration) -> Duration {
    said.map_or(default, |said| Duration::from_secs(said.value))
}

fn values<T>(placed: Vec<Placed<T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}
