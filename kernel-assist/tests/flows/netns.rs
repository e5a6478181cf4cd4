//! Three hosts in a row: network namespaces joined by veth pairs.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;
use std::{io, thread};

use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{setsockopt, sockopt};
use windlass_kernel_assist::flows::{Attach, Config, Flows, NextHop};

/// Caller, relay, callee; removed at the end of the test.
pub(crate) struct Network {
    prefix: String,
    /// Keeps the peers of veth pairs ready for frames of XDP, which takes a program there.
    receivers: Vec<Flows>,
    _alone: File,
}

const HOSTS: [&str; 3] = ["a", "r", "b"];

/// Addresses of the four ends of both cables: of the caller, of the relay at either side, of the
/// callee.
pub(crate) const V4: [&str; 4] = ["192.0.2.1", "192.0.2.2", "198.51.100.2", "198.51.100.1"];
pub(crate) const V6: [&str; 4] = [
    "2001:db8:1::1",
    "2001:db8:1::2",
    "2001:db8:2::2",
    "2001:db8:2::1",
];

impl Network {
    /// `None` without the rights.
    pub(crate) fn new() -> Option<Self> {
        crate::load(1)?;
        // The one lock of tests with namespaces on this machine.
        let alone = File::create(std::env::temp_dir().join("windlass-machine.lock")).unwrap();
        alone.lock().unwrap();
        let network = Self {
            prefix: format!("wlk{}", std::process::id()),
            receivers: Vec::new(),
            _alone: alone,
        };
        for host in HOSTS {
            run(&format!("ip netns add {}", network.name(host)));
            network.ip(host, "link set lo up");
        }
        network.join(("a", [V4[0], V6[0]]), ("r", [V4[1], V6[1]]));
        network.join(("r", [V4[2], V6[2]]), ("b", [V4[3], V6[3]]));
        Some(network)
    }

    fn name(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// `ip` on a host.
    pub(crate) fn ip(&self, host: &str, line: &str) {
        run(&format!("ip -n {} {line}", self.name(host)));
    }

    fn join(&self, one: (&str, [&str; 2]), other: (&str, [&str; 2])) {
        let (to_other, to_one) = (format!("to-{}", other.0), format!("to-{}", one.0));
        let peer = format!("peer name {to_one} netns {}", self.name(other.0));
        self.ip(one.0, &format!("link add {to_other} type veth {peer}"));
        for (host, device, [v4, v6]) in [(one.0, to_other, one.1), (other.0, to_one, other.1)] {
            self.ip(host, &format!("address add {v4}/24 dev {device}"));
            self.ip(host, &format!("address add {v6}/64 dev {device} nodad"));
            self.ip(host, &format!("link set {device} up"));
        }
    }

    pub(crate) fn sysctl(&self, host: &str, name: &str, value: &str) {
        let name = name.to_owned();
        let path = format!("/proc/sys/net/{name}");
        self.inside(host, || std::fs::write(path, value).unwrap());
    }

    /// Does something on a host: sockets opened there stay there.
    pub(crate) fn inside<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name(host))).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    pub(crate) fn socket(&self, host: &str, address: SocketAddr) -> UdpSocket {
        let socket = self.inside(host, || UdpSocket::bind(address).unwrap());
        // A frame of XDP takes a whole page of it.
        setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20)).unwrap();
        let patience = Some(Duration::from_secs(2));
        socket.set_read_timeout(patience).unwrap();
        socket
    }

    pub(crate) fn interface(&self, host: &str, device: &str) -> NonZeroU32 {
        let index = self.inside(host, || if_nametoindex(device).unwrap());
        NonZeroU32::new(index).unwrap()
    }

    pub(crate) fn mac(&self, host: &str, device: &str) -> [u8; 6] {
        let mut ip = Command::new("ip");
        ip.args(["-n", &self.name(host), "-br", "link", "show", device]);
        let line = String::from_utf8(ip.output().unwrap().stdout).unwrap();
        let text = line.split_ascii_whitespace().nth(2).unwrap();
        let bytes: Vec<u8> = text
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        bytes.try_into().unwrap()
    }

    /// The callee as a known neighbour of the relay.
    pub(crate) fn to_callee(&self, vlan: Option<u16>) -> NextHop {
        self.over(("r", "b"), vlan)
    }

    /// The way from one host to another that it has a cable to.
    pub(crate) fn over(&self, (from, to): (&str, &str), vlan: Option<u16>) -> NextHop {
        let (device, peer) = (format!("to-{to}"), format!("to-{from}"));
        NextHop::Ethernet {
            interface: self.interface(from, &device),
            source: self.mac(from, &device),
            destination: self.mac(to, &peer),
            vlan,
        }
    }

    /// Attaches flows where the caller's packets arrive.
    pub(crate) fn attach(&mut self, flows: &mut Flows, how: Attach) {
        if how == Attach::XdpNative {
            self.make_receiver("b");
        }
        if how == Attach::XdpGeneric {
            // Else all that comes from a veth is passed up.
            self.set_offload("a", "to-r", false);
        }
        self.inside("r", || flows.attach("to-a", how).unwrap());
    }

    /// A veth takes frames from XDP only where it runs programs itself.
    pub(crate) fn make_receiver(&mut self, host: &str) {
        let mut receiver = Flows::load(Config {
            max_flows: 1,
            srtp: false,
        })
        .unwrap();
        self.inside(host, || receiver.attach("to-r", Attach::XdpNative).unwrap());
        self.receivers.push(receiver);
    }

    /// Lets a device leave sums to others, or not (`ETHTOOL_STXCSUM`).
    pub(crate) fn set_offload(&self, host: &str, device: &str, is_on: bool) {
        #[repr(C)]
        struct Value {
            command: u32,
            data: u32,
        }
        const ETHTOOL_STXCSUM: u32 = 0x17;
        const SIOCETHTOOL: libc::Ioctl = 0x8946;
        self.inside(host, || {
            let mut value = Value {
                command: ETHTOOL_STXCSUM,
                data: is_on.into(),
            };
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            // SAFETY: integers and addresses, all of which may be 0.
            let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
            for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
                *to = from.cast_signed();
            }
            request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut value).cast();
            // SAFETY: the request names a value of the size that the command has.
            let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &mut request) };
            assert_eq!(result, 0, "{}", io::Error::last_os_error());
        });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in HOSTS {
            let mut ip = Command::new("ip");
            let _ = ip.args(["netns", "del", &self.name(host)]).status();
        }
    }
}

fn run(line: &str) {
    let status = Command::new("sh").args(["-c", line]).status().unwrap();
    assert!(status.success(), "{line}: {status}");
}
