//! Recording and DTMF.

use std::time::Duration;

use super::YEAR_MS;
use crate::config::codec::{Flag, Maybe, Millis, Not, Whole, Word, text};
use crate::config::host_port::HostPort;
use crate::config::setting::settings;
use crate::limits;

settings! {
    /// Recording of calls (spec: media-behaviour §13).
    pub struct Recording ["recording"] {
        /// Directory of the files; `None`: nothing is recorded.
        dir: Option<String> = None, Maybe(text("a path")), "dir", "recording-dir";
        /// Writer of recordings.
        method: RecordingMethod = RecordingMethod::Pcap, Word(&METHOD), "method",
            "recording-method";
        /// Headers before RTP in a capture file.
        format: RecordingFormat = RecordingFormat::Raw, Word(&FORMAT), "format",
            "recording-format";
        /// Bytes of the packets of one recording, at most.
        file_bytes: u64 = limits::RECORDING_BYTES, Whole(65_536..=1 << 50), "file_bytes";
        /// Bytes that recordings leave free on their disk.
        free_bytes: u64 = limits::RECORDING_FREE_BYTES, Whole(0..=1 << 50), "free_bytes";
        /// Bytes that may wait for the disk, of all recordings together.
        queue_bytes: u32 = limits::RECORDER_QUEUE_BYTES, Whole(65_536..=1 << 31), "queue_bytes";
        /// Media is recorded as it leaves, not as it comes.
        egress: bool = false, Flag, "egress", "record-egress";
        /// Media is recorded both as it comes and as it leaves.
        both: bool = false, Flag, "both", "record-both";
        /// DTMF digits that start a recording.
        start_code: Option<String> = None, Maybe(text(DIGITS)), "start_code", "vsc-start-rec";
        /// Digits that end it.
        stop_code: Option<String> = None, Maybe(text(DIGITS)), "stop_code", "vsc-stop-rec";
        /// Digits that start or end it.
        start_stop_code: Option<String> = None, Maybe(text(DIGITS)), "start_stop_code",
            "vsc-start-stop-rec";
        /// Digits that interrupt it.
        pause_code: Option<String> = None, Maybe(text(DIGITS)), "pause_code", "vsc-pause-rec";
        /// Digits that interrupt it or go on.
        pause_resume_code: Option<String> = None, Maybe(text(DIGITS)), "pause_resume_code",
            "vsc-pause-resume-rec";
        /// Digits that start it, interrupt it or go on.
        start_pause_resume_code: Option<String> = None, Maybe(text(DIGITS)),
            "start_pause_resume_code", "vsc-start-pause-resume-rec";
    }
}

/// Writers of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingMethod {
    /// This process, as capture files.
    Pcap,
    /// A recording daemon that reads along.
    Proc,
    /// Both writers.
    All,
}

const METHOD: [(&str, RecordingMethod); 3] = [
    ("pcap", RecordingMethod::Pcap),
    ("proc", RecordingMethod::Proc),
    ("all", RecordingMethod::All),
];

/// Headers before RTP in a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingFormat {
    /// IP and UDP headers.
    Raw,
    /// Ethernet, IP and UDP headers.
    Ethernet,
}

const FORMAT: [(&str, RecordingFormat); 2] = [
    ("raw", RecordingFormat::Raw),
    ("eth", RecordingFormat::Ethernet),
];

const DIGITS: &str = "DTMF digits";

settings! {
    /// DTMF events (spec: media-behaviour §11).
    pub struct Dtmf ["dtmf"] {
        /// Destination of a JSON datagram per digit; `None`: none is sent.
        log_dest: Option<HostPort> = None, Maybe(text("a host and port such as \"192.0.2.1:9999\"")),
            "log_dest", "dtmf-log-dest";
        /// Digits are told to every client of ng over TCP.
        log_ng_tcp: bool = false, Flag, "log_ng_tcp", "dtmf-log-ng-tcp";
        /// Audio is silenced while a digit is pressed.
        suppress: bool = true, Not, "suppress", "dtmf-no-suppress";
        /// A longer pause ends a sequence of digits.
        digit_delay: Duration = Duration::from_millis(2500), Millis(0..=YEAR_MS),
            "digit_delay_ms", "dtmf-digit-delay";
        /// Digits that were played by a request are reported too.
        log_injects: bool = true, Not, "log_injects", "dtmf-no-log-injects";
    }
}
