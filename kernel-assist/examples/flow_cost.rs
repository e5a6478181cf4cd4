//! What the programs cost: nanoseconds per packet, without a network (`BPF_PROG_TEST_RUN`).
//!
//! Every packet leaves as the same, or as one that the next flow takes, so that it can be run over
//! and over. It always is the same sequence number, so the jitter is not computed: two divisions.
//!
//! Two shared cores, Linux 6.18, 10,000 flows, ns per packet:
//!
//! | | tc | XDP |
//! |---|---|---|
//! | IPv4 to IPv4 | 462 | 234 |
//! | IPv6 to IPv6 | 475 | 243 |
//! | IPv4 to IPv6 and back | 573 | 271 |
//! | no flow, passed up | 103 | 94 |
//!
//! At tc every change goes through a function of the system, which knows about sums that devices
//! have taken or will take. What the buffer costs there, and the way out, are not in these numbers.
//!
//! `cargo run --release -p windlass-kernel-assist --example flow_cost [FLOWS]`, as root.

use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use windlass_kernel_assist::flows::trial::{Program, Verdict};
use windlass_kernel_assist::flows::{Config, Flow, Flows, NextHop};

const REPEAT: u32 = 1_000_000;
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let others = std::env::args()
        .nth(1)
        .map_or(Ok(10_000), |it| it.parse())?;
    let mut flows = Flows::load(Config {
        max_flows: others + 8,
        srtp: false,
    })?;
    let next_hop = NextHop::Ethernet {
        interface: NonZeroU32::MIN,
        source: [2, 0, 0, 0, 0, 1],
        destination: [2, 0, 0, 0, 0, 2],
        vlan: None,
    };
    let v4: [SocketAddr; 2] = ["198.51.100.7:41000".parse()?, "192.0.2.1:30000".parse()?];
    let v6: [SocketAddr; 2] = [
        "[2001:db8:7::7]:41000".parse()?,
        "[2001:db8::1]:30000".parse()?,
    ];
    // Company in the table.
    for number in 0..others {
        let host = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        flows.insert(&Flow::new((host, 30_000).into(), None, v4, next_hop), &[])?;
    }
    println!(
        "{} flows, {REPEAT} packets of 172 bytes, the median of {ROUNDS} rounds",
        flows.len()
    );
    for (name, arrives, leaves) in [
        ("IPv4 to IPv4", v4, v4),
        ("IPv6 to IPv6", v6, v6),
        ("IPv4 to IPv6 and back", v4, v6),
    ] {
        let there = Flow::new(arrives[1], Some(arrives[0]), leaves, next_hop);
        flows.insert(&there, &[])?;
        if arrives != leaves {
            flows.insert(
                &Flow::new(leaves[1], Some(leaves[0]), arrives, next_hop),
                &[],
            )?;
        }
        for program in [Program::Tc, Program::Xdp] {
            let costs = rounds(&flows, program, &frame(arrives))?;
            println!("{name:22} {program:?}: {costs} ns");
        }
        let locals: Vec<_> = [arrives[1], leaves[1]].into();
        let known = locals
            .into_iter()
            .filter(|local| flows.flow(*local).is_some());
        let mut known: Vec<_> = known.collect();
        known.dedup();
        flows.remove(known)?;
    }
    let stranger = ["198.51.100.7:41000".parse()?, "192.0.2.2:30000".parse()?];
    for program in [Program::Tc, Program::Xdp] {
        let costs = rounds(&flows, program, &frame(stranger))?;
        println!("{:22} {program:?}: {costs} ns", "no flow, passed up");
    }
    Ok(())
}

fn rounds(flows: &Flows, program: Program, frame: &[u8]) -> Result<u128, Box<dyn Error>> {
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        let tried = flows.try_packet(program, frame, REPEAT)?;
        if tried.verdict == Verdict::Drop {
            return Err("a packet was dropped".into());
        }
        costs.push(tried.duration.as_nanos());
    }
    costs.sort_unstable();
    Ok(costs.get(ROUNDS / 2).copied().unwrap_or_default())
}

/// RTP with 160 bytes of media, without a valid sum of UDP: nobody looks at it.
fn frame([from, to]: [SocketAddr; 2]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    match (from.ip(), to.ip()) {
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => {
            frame.extend([8, 0, 0x45, 0, 0, 200, 0, 1, 0x40, 0, 64, 17, 0, 0]);
            frame.extend(from.octets());
            frame.extend(to.octets());
            let words = frame
                .iter()
                .skip(14)
                .step_by(2)
                .zip(frame.iter().skip(15).step_by(2));
            let mut sum: u32 = words
                .map(|(high, low)| u32::from(*high) << 8 | u32::from(*low))
                .sum();
            sum = (sum & 0xffff) + (sum >> 16);
            let [_, _, high, low] = (!(sum + (sum >> 16))).to_be_bytes();
            frame.splice(24..26, [high, low]);
        }
        (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 180, 17, 64]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        _ => {}
    }
    for port in [from.port(), to.port(), 180, 0x5555] {
        frame.extend(port.to_be_bytes());
    }
    frame.extend([0x80, 8, 0, 1, 0, 0, 0, 160, 0, 0, 0, 1]);
    frame.resize(frame.len() + 160, 0x55);
    frame
}
