//! CPU of the whole machine per packet, less that of the same generator to a socket of the relay.
//!
//! `cargo test -p windlass-kernel-assist --test flows -- --ignored --nocapture`, on a machine that does
//! nothing else: all that runs beside is counted as well.

use std::net::{SocketAddr, UdpSocket};

use windlass_kernel_assist::flows::{Attach, Flow, NextHop};

use crate::frame::rtp;
use crate::load;
use crate::netns::{Network, V4};

const PACKETS: u64 = 200_000;
/// Packets that are sent before they are heard.
const BURST: u64 = 40;
const ROUNDS: usize = 5;

/// Ticks that all CPUs were busy (proc_stat(5)), in us.
fn busy_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let line = stat.lines().next().unwrap();
    let ticks = line.split_ascii_whitespace().skip(1);
    let ticks: Vec<u64> = ticks.map(|it| it.parse().unwrap()).collect();
    // user, nice, system, irq, softirq.
    [0, 1, 2, 5, 6].map(|at| ticks[at]).iter().sum::<u64>() * 10_000
}

/// CPU per packet in us, from one socket to the other. One thread sends and hears in turn, so
/// that nobody waits in a loop.
fn cost(sender: &UdpSocket, receiver: &UdpSocket, to: SocketAddr) -> f64 {
    let packet = [rtp(0x80, 8, 0, 0, 1), vec![0x55; 160]].concat();
    let mut buffer = [0; 256];
    let before = busy_us();
    for _ in 0..PACKETS / BURST {
        for _ in 0..BURST {
            sender.send_to(&packet, to).unwrap();
        }
        for _ in 0..BURST {
            receiver.recv(&mut buffer).unwrap();
        }
    }
    (busy_us() - before) as f64 / PACKETS as f64
}

#[test]
#[ignore = "a measurement"]
fn cpu_of_the_whole_machine_per_packet() {
    for how in [Attach::Tc, Attach::XdpNative, Attach::XdpGeneric] {
        let Some(mut network) = Network::new() else {
            return;
        };
        let mut flows = load(8).unwrap();
        let at = |host: &str, port| SocketAddr::new(host.parse().unwrap(), port);
        let caller = network.socket("a", at(V4[0], 40_000));
        let direct = network.socket("r", at(V4[1], 30_001));
        let callee = network.socket("b", at(V4[3], 50_000));
        let mut ways = vec![("known", network.to_callee(None))];
        if how == Attach::Tc {
            let interface = Some(network.interface("r", "to-b"));
            ways.push(("by routes", NextHop::Route { interface }));
        }
        network.attach(&mut flows, how);
        for (name, next_hop) in ways {
            let through = at(V4[1], 30_000);
            let leaves = [at(V4[2], 31_000), at(V4[3], 50_000)];
            let flow = Flow::new(through, Some(at(V4[0], 40_000)), leaves, next_hop);
            flows.insert(&flow, &[]).unwrap();
            let mut costs: Vec<(f64, f64)> = (0..ROUNDS)
                .map(|_| {
                    let own = cost(&caller, &direct, at(V4[1], 30_001));
                    (cost(&caller, &callee, through) - own, own)
                })
                .collect();
            costs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (relay, own) = costs[ROUNDS / 2];
            println!(
                "{how:?}, neighbour {name}: {relay:.2} us (to a socket of the relay {own:.2})"
            );
            assert!(flows.remove([through]).unwrap()[0].1.packets >= PACKETS);
        }
    }
}
