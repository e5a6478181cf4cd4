//! The way that the packets of a stream take through this host, and why no faster one.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Where the packets of a flow are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// By a worker, for this reason.
    UserSpace(WhyUp),
    /// In the kernel, by tc at ingress.
    Tc,
    /// In the kernel, by XDP outside of the driver.
    XdpGeneric,
    /// In the kernel, by XDP in the driver.
    XdpNative,
}

impl Path {
    /// A word for replies and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserSpace(_) => "user space",
            Self::Tc => "tc",
            Self::XdpGeneric => "xdp-generic",
            Self::XdpNative => "xdp-native",
        }
    }

    /// Why a worker forwards it; `None` if the kernel does.
    pub fn why_up(self) -> Option<WhyUp> {
        match self {
            Self::UserSpace(why) => Some(why),
            Self::Tc | Self::XdpGeneric | Self::XdpNative => None,
        }
    }

    /// Whether the kernel forwards its packets.
    pub fn is_kernel(self) -> bool {
        self.why_up().is_none()
    }

    fn code(self) -> u8 {
        match self {
            Self::UserSpace(why) => why as u8,
            Self::Tc => 253,
            Self::XdpGeneric => 254,
            Self::XdpNative => 255,
        }
    }

    fn of_code(code: u8) -> Self {
        let why = WhyUp::ALL.get(usize::from(code)).copied();
        match code {
            253 => Self::Tc,
            254 => Self::XdpGeneric,
            255 => Self::XdpNative,
            _ => Self::UserSpace(why.unwrap_or_default()),
        }
    }
}

impl Default for Path {
    fn default() -> Self {
        Self::UserSpace(WhyUp::default())
    }
}

/// A path that one thread writes and others read.
#[derive(Debug, Default)]
pub struct SharedPath(AtomicU8);

impl SharedPath {
    /// The path.
    pub fn get(&self) -> Path {
        Path::of_code(self.0.load(Relaxed))
    }

    /// Another one from now on.
    pub fn set(&self, path: Path) {
        self.0.store(path.code(), Relaxed);
    }
}

macro_rules! reasons {
    ($(#[$first:meta])* $default:ident $default_text:literal $($(#[$doc:meta])* $name:ident $text:literal)*) => {
        /// Why a stream is forwarded by a worker and not by the kernel.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum WhyUp {
            $(#[$first])* #[default] $default,
            $($(#[$doc])* $name,)*
        }

        impl WhyUp {
            /// All of them.
            pub const ALL: &[Self] = &[Self::$default, $(Self::$name,)*];

            /// In words, for replies and logs.
            pub fn text(self) -> &'static str {
                match self { Self::$default => $default_text, $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// Kernel flows are switched off, or this host does not let us.
    Off "kernel flows are off"
    /// The source is not settled, or signalling may still move it.
    Learning "the source is not settled"
    /// All is well, and is to stay so for a while first.
    Trial "settled just now"
    /// Datagrams that are not looked into, or a port for RTCP.
    NoRtp "no RTP"
    /// The keys of one side, or none yet.
    Secured "SRTP"
    /// ICE or DTLS is in use.
    Agent "ICE or DTLS"
    /// Its packets are recorded, or what leaves with them is.
    Recorded "recorded"
    /// Digits are played or replaced on the way out, or were: what leaves has numbers of its own.
    Renumbered "digits or reports on the way out"
    /// Packets are withheld or changed on the way, or there are several ways.
    Rules "packets are changed, withheld or copied"
    /// Audio is decoded and encoded on the way.
    Converted "audio is converted"
    /// Lines share the port.
    Bundle "lines share the port"
    /// Each packet is looked at before it passes (loops, short packets).
    Guarded "packets are checked for loops or length"
    /// RTCP of our own is made from what passes.
    Reports "RTCP of our own"
    /// On hold, discarded, or nobody to send to.
    Held "held, or nobody to send to"
    /// It comes from this host or goes to it.
    OwnHost "from or to this host"
    /// More synchronisation sources than the kernel keeps figures of.
    Sources "too many synchronisation sources"
    /// The source says nothing.
    Silent "silent"
    /// Signalling has changed the call.
    Signalled "signalling changed the call"
    /// The party moved, or another source may be the party.
    Moved "the source moved"
    /// A synchronisation source appeared that was not known.
    NewSource "a new synchronisation source"
    /// The kernel passes up what it was to forward.
    PassedUp "the kernel passes packets up"
    /// No program is at the interface of its address.
    NoProgram "no program at its interface"
    /// No way leads to the destination, or another one than before.
    NoRoute "no route, or another one"
    /// XDP needs to know the neighbour.
    NoNeighbour "the neighbour is not known"
    /// There is room for no more.
    Full "no room for more kernel flows"
    /// The system refuses it.
    Refused "refused by the system"
    /// A defect.
    Shut "shut after a defect"
}

impl WhyUp {
    /// Whether something looks at its packets that the kernel does not do, for as long as the call is as it
    /// is.
    pub fn needs_worker(self) -> bool {
        matches!(
            self,
            Self::NoRtp
                | Self::Secured
                | Self::Agent
                | Self::Recorded
                | Self::Renumbered
                | Self::Rules
                | Self::Converted
                | Self::Bundle
                | Self::Guarded
                | Self::Reports
        )
    }
}

impl fmt::Display for WhyUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_read_as_it_was_written() {
        let up = WhyUp::ALL.iter().copied().map(Path::UserSpace);
        let shared = SharedPath::default();
        assert_eq!(shared.get(), Path::UserSpace(WhyUp::Off));
        for path in up.chain([Path::Tc, Path::XdpGeneric, Path::XdpNative]) {
            shared.set(path);
            assert_eq!(shared.get(), path);
        }
    }
}
