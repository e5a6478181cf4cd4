//! The programs on packets by hand, without a network (`BPF_PROG_TEST_RUN`): for tests and
//! measurements.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::Flows;
use crate::sys::bpf;

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The one of tc.
    Tc,
    /// The one of tc, on a packet whose device has taken the sum of all of it
    /// (`CHECKSUM_COMPLETE`). Fails with `EBADMSG` if the program leaves another sum than that of
    /// the packet. Linux 6.17.
    TcWithSum,
    /// The one of XDP in the driver.
    Xdp,
    /// The one of generic XDP.
    XdpGeneric,
}

/// What a program says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the sockets of this host.
    PassUp,
    /// To the next hop.
    Forward,
    /// Nowhere, or an answer that is not known.
    Drop,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What becomes of the packet.
    pub verdict: Verdict,
    /// The packet.
    pub packet: Vec<u8>,
    /// What a run took, on average.
    pub duration: Duration,
}

/// Room for what a program adds to a packet.
const ROOM: usize = 64;

const CHECKSUM_COMPLETE: u32 = 1 << 2;

impl Flows {
    /// Runs a program on an Ethernet frame, `repeat` times on what the run before has left, in the
    /// network namespace of the caller. It counts as any other packet, and goes nowhere.
    ///
    /// # Errors
    /// The system's: a frame shorter than its header.
    pub fn try_packet(&self, program: Program, frame: &[u8], repeat: u32) -> io::Result<Tried> {
        let (fd, flags) = match program {
            Program::Tc => (&self.programs.tc, 0),
            Program::TcWithSum => (&self.programs.tc, CHECKSUM_COMPLETE),
            Program::Xdp => (&self.programs.xdp, 0),
            Program::XdpGeneric => (&self.programs.generic, 0),
        };
        let mut packet = vec![0; frame.len() + ROOM];
        let ran = bpf::run(fd.as_fd(), frame, &mut packet, repeat, flags)?;
        packet.truncate(ran.bytes);
        // TC_ACT_UNSPEC and TC_ACT_REDIRECT; XDP_PASS and XDP_REDIRECT.
        let verdict = match (program, ran.answer) {
            (Program::Tc | Program::TcWithSum, u32::MAX) => Verdict::PassUp,
            (Program::Tc | Program::TcWithSum, 7) => Verdict::Forward,
            (Program::Xdp | Program::XdpGeneric, 2) => Verdict::PassUp,
            (Program::Xdp | Program::XdpGeneric, 4) => Verdict::Forward,
            _ => Verdict::Drop,
        };
        Ok(Tried {
            verdict,
            packet,
            duration: Duration::from_nanos(ran.duration_ns.into()),
        })
    }
}
