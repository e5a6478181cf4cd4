//! Counters of the relay since its start (spec: ng-protocol §13).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windlass_ng::{Command, Dict, Value};

use super::model::call::Call;
use super::model::media::PortSet;
use super::model::traffic::Traffic;
use super::ports::Interfaces;
use super::timeouts::EndReason;
use super::turn::Turn;
use super::voip;
use crate::limits::COUNTED_PROXIES;

/// Counters of the whole relay.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Offers refused for the session limit.
    rejected: AtomicU64,
    /// SDPs with one byte behind their last line, which was ignored.
    stray_bytes: AtomicU64,
    ended: [AtomicU64; 6],
    packets: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    /// Packets and bytes among them that the kernel forwarded.
    below: [AtomicU64; 2],
    zero_way: AtomicU64,
    one_way: AtomicU64,
    /// Durations of ended calls, in microseconds, and their squares in seconds².
    durations: Mutex<Durations>,
    proxies: Mutex<BTreeMap<IpAddr, ProxyCounters>>,
    /// Traffic of ended calls, by interface.
    traffic: Mutex<Vec<Traffic>>,
    running: AtomicI64,
}

#[derive(Debug, Default)]
struct Durations {
    calls: u64,
    sum_s: f64,
    squares_s2: f64,
}

#[derive(Debug, Default)]
struct ProxyCounters {
    commands: BTreeMap<usize, (u64, Duration)>,
    errors: u64,
}

impl Statistics {
    pub(crate) fn call_created(&self) {
        self.running.fetch_add(1, Relaxed);
    }

    /// Two calls became one.
    pub(crate) fn calls_merged(&self) {
        self.running.fetch_sub(1, Relaxed);
    }

    pub(crate) fn offer_rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    /// One byte behind the last line of an SDP was ignored.
    pub(crate) fn stray_byte_ignored(&self) {
        self.stray_bytes.fetch_add(1, Relaxed);
    }

    /// Running calls.
    pub fn running(&self) -> u64 {
        u64::try_from(self.running.load(Relaxed)).unwrap_or(0)
    }

    /// A command was carried out.
    pub(crate) fn command_done(
        &self,
        proxy: IpAddr,
        command: Option<Command>,
        took: Duration,
        failed: bool,
    ) {
        let mut proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        let known = proxies.len() < COUNTED_PROXIES || proxies.contains_key(&proxy);
        let key = if known {
            proxy
        } else {
            IpAddr::from([0, 0, 0, 0])
        };
        let counters = proxies.entry(key).or_default();
        if failed {
            counters.errors += 1;
        }
        if let Some(command) = command {
            let entry = counters.commands.entry(command as usize).or_default();
            entry.0 += 1;
            entry.1 += took;
        }
    }

    /// A call ended; its counters go into the totals.
    pub(crate) fn call_ended(
        &self,
        call: &Call,
        reason: EndReason,
        duration: Duration,
        interfaces: &Interfaces,
    ) {
        self.running.fetch_sub(1, Relaxed);
        if let Some(counter) = self.ended.get(reason as usize) {
            counter.fetch_add(1, Relaxed);
        }
        let (mut heard, mut streams) = (0, 0);
        let mut ended = self.ended_traffic_mut();
        ended.resize_with(interfaces.addresses().len(), Traffic::default);
        for media in call.legs.iter().flat_map(|leg| &leg.medias) {
            for map in &media.maps {
                for port in map.ports() {
                    let index = interfaces.position(&map.interface, port.local.ip());
                    if let Some(traffic) = ended.get_mut(index) {
                        traffic.count(&port.stats);
                    }
                    let packets = port.stats.packets_in.load(Relaxed);
                    self.packets.fetch_add(packets, Relaxed);
                    self.bytes
                        .fetch_add(port.stats.bytes_in.load(Relaxed), Relaxed);
                    self.errors
                        .fetch_add(port.stats.errors_in.load(Relaxed), Relaxed);
                    for (sum, more) in self.below.iter().zip(port.stats.received_below()) {
                        sum.fetch_add(more, Relaxed);
                    }
                }
                streams += 1;
                // With ICE the party chooses among several sets.
                let is_heard = |set: &PortSet| set.rtp.stats.packets_in.load(Relaxed) > 0;
                heard += usize::from(map.sets().any(is_heard));
            }
        }
        drop(ended);
        if heard == 0 {
            self.zero_way.fetch_add(1, Relaxed);
        } else if heard < streams {
            self.one_way.fetch_add(1, Relaxed);
        }
        let mut durations = self
            .durations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let seconds = duration.as_secs_f64();
        durations.calls += 1;
        durations.sum_s += seconds;
        durations.squares_s2 += seconds * seconds;
    }

    /// Traffic of ended calls, by interface.
    pub(crate) fn ended_traffic(&self) -> Vec<Traffic> {
        self.ended_traffic_mut().clone()
    }

    fn ended_traffic_mut(&self) -> MutexGuard<'_, Vec<Traffic>> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `statistics` part of the reply. `sessions` are ours and those of others, `transcoders` are the medias
    /// that are converted, and the pairs of codecs with their numbers; `turn` is what the timers saw last, `running` what the
    /// calls that go on have carried until now.
    pub(crate) fn describe(
        &self,
        uptime: Duration,
        sessions: [u64; 2],
        (transcoded, chains): (u64, Vec<(String, u64)>),
        interfaces: &Interfaces,
        turn: &Turn,
        running: &Traffic,
    ) -> Dict {
        let chains = chains.into_iter().map(|(chain, count)| {
            let chain = Dict::new().with("chain", chain);
            chain.with("num", count).into()
        });
        Dict::new()
            .with(
                "currentstatistics",
                describe_current(sessions, transcoded, turn),
            )
            .with("totalstatistics", self.describe_totals(uptime, running))
            .with("mos", voip::describe_mos(turn))
            .with("voip_metrics", voip::describe_voip(turn))
            .with("controlstatistics", self.describe_control())
            .with("interfaces", voip::describe_interfaces(interfaces, turn))
            .with("transcoders", Value::List(chains.collect()))
            .with("poller_threads", Value::List(Vec::new()))
            .with("bufferpools", Dict::new())
    }

    fn describe_totals(&self, uptime: Duration, running: &Traffic) -> Dict {
        let ended = |reason: EndReason| {
            int(self
                .ended
                .get(reason as usize)
                .map_or(0, |counter| counter.load(Relaxed)))
        };
        let mut dict = Dict::new();
        dict.push("uptime", Value::from(uptime.as_secs().to_string()));
        // Of the calls that have ended, like everything about sessions here.
        let managed = {
            let durations = self.durations.lock();
            durations.unwrap_or_else(PoisonError::into_inner).calls
        };
        dict.push("managedsessions", int(managed));
        dict.push("rejectedsessions", int(self.rejected.load(Relaxed)));
        dict.push("timeoutsessions", ended(EndReason::Timeout));
        dict.push("silenttimeoutsessions", ended(EndReason::SilentTimeout));
        dict.push("finaltimeoutsessions", ended(EndReason::FinalTimeout));
        dict.push("offertimeoutsessions", ended(EndReason::OfferTimeout));
        dict.push("regularterminatedsessions", ended(EndReason::Regular));
        dict.push("forcedterminatedsessions", ended(EndReason::Forced));
        let [packets, bytes, errors] = running.ingress;
        let sums = [
            self.packets.load(Relaxed) + packets,
            self.errors.load(Relaxed) + errors,
            self.bytes.load(Relaxed) + bytes,
        ];
        let [packets, bytes] = running.below;
        let [ended_packets, ended_bytes] = self.below.each_ref().map(|sum| sum.load(Relaxed));
        // What is an error is passed up.
        let below = [ended_packets + packets, 0, ended_bytes + bytes];
        for (suffix, sums) in by_path(sums, below) {
            let names = ["relayedpackets", "relayedpacketerrors", "relayedbytes"];
            for (name, sum) in names.into_iter().zip(sums) {
                dict.push(format!("{name}{suffix}"), int(sum));
            }
        }
        dict.push("zerowaystreams", int(self.zero_way.load(Relaxed)));
        dict.push("onewaystreams", int(self.one_way.load(Relaxed)));
        let durations = self
            .durations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of calls is far below 2^52"
        )]
        let calls = durations.calls.max(1) as f64;
        let average = durations.sum_s / calls;
        let variance = (durations.squares_s2 / calls - average * average).max(0.0);
        for (name, seconds) in [
            ("avgcallduration", average),
            ("totalcallsduration", durations.sum_s),
            ("totalcallsduration2", durations.squares_s2),
            ("totalcallsduration_stddev", variance.sqrt()),
        ] {
            dict.push(name, Value::from(format!("{seconds:.6}")));
        }
        dict
    }

    fn describe_control(&self) -> Dict {
        let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut totals = vec![0_u64; Command::ALL.len()];
        let list = proxies.iter().map(|(address, counters)| {
            let mut dict = Dict::new();
            dict.push("proxy", Value::from(address.to_string()));
            for (command, total) in Command::ALL.iter().zip(&mut totals) {
                let done = counters.commands.get(&(*command as usize));
                let (count, took) = done.copied().unwrap_or_default();
                *total += count;
                let name = command.short_name();
                dict.push(format!("{name}count"), int(count));
                let took = Value::from(format!("{:.6}", took.as_secs_f64()));
                dict.push(format!("{name}duration"), took);
            }
            dict.push("errorcount", int(counters.errors));
            dict.into()
        });
        let mut dict = Dict::new();
        dict.push("proxies", Value::List(list.collect()));
        for (command, total) in Command::ALL.iter().zip(totals) {
            dict.push(format!("total{}count", command.short_name()), int(total));
        }
        dict.push("straysdpbytes", int(self.stray_bytes.load(Relaxed)));
        dict
    }
}

fn describe_current([own, foreign]: [u64; 2], transcoded: u64, turn: &Turn) -> Dict {
    let mut dict = Dict::new();
    dict.push("sessionsown", int(own));
    dict.push("sessionsforeign", int(foreign));
    dict.push("sessionstotal", int(own + foreign));
    dict.push("transcodedmedia", int(transcoded));
    dict.push("mediacache", int(0));
    dict.push("playercache", int(0));
    let rates = [turn.packet_rate, turn.byte_rate, turn.error_rate];
    let [packets, bytes] = turn.rates_below;
    for (suffix, rates) in by_path(rates, [packets, bytes, 0]) {
        for (name, rate) in ["packetrate", "byterate", "errorrate"]
            .into_iter()
            .zip(rates)
        {
            dict.push(format!("{name}{suffix}"), int(rate));
        }
    }
    let by_workers = turn.medias.saturating_sub(turn.medias_below);
    dict.push("media_userspace", int(by_workers));
    dict.push("media_kernel", int(turn.medias_below));
    dict.push("media_mixed", int(0));
    dict
}

/// Sums by suffix of their names: by workers, by the kernel, and together.
fn by_path(sums: [u64; 3], below: [u64; 3]) -> [(&'static str, [u64; 3]); 3] {
    let mut user = sums;
    for (sum, below) in user.iter_mut().zip(below) {
        *sum = sum.saturating_sub(below);
    }
    [("_user", user), ("_kernel", below), ("", sums)]
}

/// An integer of a reply; values that do not fit are cut at the largest that does.
fn int(value: u64) -> Value {
    Value::from(value)
}
