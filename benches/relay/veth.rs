//! A relay at the other end of a cable: two network namespaces joined by a veth pair. What the kernel
//! forwards passes an interface, which loopback is not.

use std::fs::File;
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use windlass_kernel_assist::flows::{Attach, Config, Flows};

use crate::process::Place;

/// Both namespaces; removed on drop.
pub(crate) struct Veth {
    prefix: String,
    /// A veth takes frames of XDP only where a program is at its other end.
    _receiver: Option<Flows>,
}

impl Veth {
    /// Makes them, and enters the generator's: sockets of this thread are there from now on.
    pub(crate) fn enter(offload: &str) -> Self {
        let prefix = format!("wlb{}", std::process::id());
        let (relay, generator) = (format!("{prefix}r"), format!("{prefix}g"));
        for line in [
            format!("netns add {relay}"),
            format!("netns add {generator}"),
            format!("-n {relay} link set lo up"),
            format!("-n {generator} link set lo up"),
            format!("-n {relay} link add media type veth peer name media netns {generator}"),
            format!("-n {relay} address add 192.0.2.1/24 dev media"),
            format!("-n {generator} address add 192.0.2.2/24 dev media"),
            format!("-n {generator} address add 192.0.2.3/24 dev media"),
            format!("-n {relay} link set media up"),
            format!("-n {generator} link set media up"),
        ] {
            let words = line.split(' ');
            let status = Command::new("ip").args(words).status().unwrap();
            assert!(status.success(), "ip {line}: {status}");
        }
        let namespace = File::open(format!("/run/netns/{generator}")).unwrap();
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        let receiver = (offload == "xdp").then(|| {
            let mut flows = Flows::load(Config {
                max_flows: 1,
                srtp: false,
            })
            .unwrap();
            flows.attach("media", Attach::XdpNative).unwrap();
            flows
        });
        Self {
            prefix,
            _receiver: receiver,
        }
    }

    /// Where relay and parties are.
    pub(crate) fn place(&self, offload: &str) -> Place {
        Place {
            relay: [192, 0, 2, 1],
            parties: [[192, 0, 2, 2], [192, 0, 2, 3]],
            namespace: Some(format!("{}r", self.prefix)),
            more: format!(
                "[control]\nallow = [\"192.0.2.0/24\"]\n[offload]\nmode = \"{offload}\"\n"
            ),
        }
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        for end in ["r", "g"] {
            let name = format!("{}{end}", self.prefix);
            let _ = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}
