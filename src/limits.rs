//! Bounds of the engine, each with its reason (law 4 of ARCHITECTURE.md).

use std::time::Duration;

/// Bytes of log lines that may wait for whoever reads them: two seconds of 100 calls set up per second
/// at the level `debug`, or half a minute at `info`.
pub const LINE_QUEUE_BYTES: usize = 4 << 20;

/// Characters of a line for a syslog that is not told another bound (spec: media-behaviour §20).
pub const SYSLOG_LINE_CHARS: usize = 500;

/// How long the end of the process waits for a reader of the log that stalls: shorter than any service
/// manager waits before it kills.
pub const LINES_FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of packets and SDP that may wait for the recording disk, of all calls together: three
/// seconds of 500 calls in G.711, both ways, with what the queue needs around a packet.
pub const RECORDER_QUEUE_BYTES: u32 = 64 << 20;

/// Bytes of one recording: half a day of a call in G.711, so that only what is no call ends there.
pub const RECORDING_BYTES: u64 = 1 << 30;

/// Bytes that recordings leave free on their disk, for everything else that lives there.
pub const RECORDING_FREE_BYTES: u64 = 256 << 20;

/// Ports whose last call left a source behind that is remembered: a minute of 130 ends of calls per
/// second, two ports each.
pub const LEFT_SOURCES: usize = 16_384;
