//! What a flow has learned, as a value that travels with its port.
//!
//! A flow that is taken out of the data plane leaves with its state, and one that is put in with a
//! state goes on where it stopped: calls are joined, and move between workers, without learning
//! their sources anew.

use std::time::Instant;

use smallvec::SmallVec;

use super::conversion::ConversionState;
use super::lines::Lines;
use super::outgoing::Outgoing;
use super::outgoing_digits::Digits;
use super::port::PortLease;
use super::reporter::Reporter;
use crate::media::dtmf::Detector;
use crate::media::latch::Latch;
use crate::media::quality::Reception;
use crate::media::report::Sources;

/// What a flow has learned of its party and of the packets that passed.
#[derive(Debug)]
pub struct FlowState {
    /// The source of the party.
    pub latch: Latch,
    /// When the last packet was accepted.
    pub last_at: Instant,
    /// Reception per synchronisation source, in the order of the flow's counters.
    pub receptions: SmallVec<[Reception; 1]>,
    /// What few flows have.
    pub services: Option<Box<ServiceState>>,
    /// Round trips and sender reports of the sources that the flow hears.
    pub sources: Sources,
}

/// State of what few flows have.
#[derive(Debug, Default)]
pub struct ServiceState {
    /// Digits on their way in, by SSRC.
    pub(crate) detectors: Vec<(u32, Detector)>,
    /// Numbers of the packets that leave from the port, and digits that are played from it.
    pub(crate) outgoing: Outgoing,
    /// Digits on their way out of the port.
    pub(crate) digits: Digits,
    /// The lines that share the port, and what MID said of sources.
    pub(crate) lines: Option<Box<Lines>>,
    /// Reports to the party.
    pub(crate) reporter: Option<Box<Reporter>>,
    /// Header extensions go to the party in the two-byte form: one did not fit the other
    /// (media-behaviour §2.1).
    pub(crate) is_two_byte: bool,
    /// What becomes of the audio at sinks of the flow.
    pub(crate) conversions: Vec<ConversionState>,
}

/// A port with what its flow has learned, on its way into the data plane or out of it.
#[derive(Debug)]
pub struct LeasedFlow {
    /// The port.
    pub lease: PortLease,
    /// `None`: nothing yet.
    pub state: Option<Box<FlowState>>,
}

impl From<PortLease> for LeasedFlow {
    fn from(lease: PortLease) -> Self {
        Self { lease, state: None }
    }
}
