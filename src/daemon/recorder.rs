//! The recordings of running calls: opened by commands, fed by the data plane.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use windlass_ng::CallId;

use super::now;
use crate::call::{self, Now, RecordedSdp};
use crate::dataplane::tap::{PacketTap, Recordings};
use crate::observe::pcap::{
    Ending, NotRecorded, Recorder, RecorderCounters, Recording, SdpEntry, SdpMode,
};

/// All recordings that are open, by the number of their call.
pub(super) struct OpenRecordings {
    recorder: Recorder,
    open: RwLock<HashMap<u64, Recording>>,
}

impl OpenRecordings {
    /// Without open recordings.
    pub(super) fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            open: RwLock::default(),
        }
    }

    /// What became of the packets of all recordings.
    pub(super) fn counters(&self) -> RecorderCounters {
        self.recorder.counters()
    }

    fn of(&self, call: u64) -> Option<Recording> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&call).cloned()
    }

    fn take(&self, call: u64) -> Option<Recording> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.remove(&call)
    }
}

impl fmt::Debug for OpenRecordings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRecordings").finish_non_exhaustive()
    }
}

impl call::Recorder for OpenRecordings {
    fn open(
        &self,
        call: u64,
        id: &CallId,
        random: u64,
        file: Option<&str>,
    ) -> Result<String, NotRecorded> {
        let file = file.map(Path::new);
        let recording = self.recorder.open(id.as_bytes(), random, file)?;
        let file = recording.file().display().to_string();
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(call, recording);
        Ok(file)
    }

    fn sdp(&self, call: u64, sdp: RecordedSdp<'_>) {
        let Some(recording) = self.of(call) else {
            return;
        };
        recording.sdp(SdpEntry {
            label: sdp
                .label
                .map(|label| String::from_utf8_lossy(label).into_owned()),
            started: moment(sdp.at),
            mode: match sdp.is_offer {
                true => SdpMode::Offer,
                false => SdpMode::Answer,
            },
            body: sdp.body.to_vec(),
        });
    }

    fn finish(&self, call: u64, started: Duration, ended: Duration, metadata: Option<&str>) {
        if let Some(recording) = self.take(call) {
            recording.finish(Ending {
                terminated: moment(ended),
                call_start: moment(started),
                call_end: moment(ended),
                metadata: metadata.unwrap_or_default().as_bytes().to_vec(),
            });
        }
    }

    fn discard(&self, call: u64) {
        if let Some(recording) = self.take(call) {
            recording.discard();
        }
    }
}

impl Recordings for OpenRecordings {
    fn tap(&self, recording: u64) -> Option<Box<dyn PacketTap>> {
        Some(Box::new(Tap {
            recording: self.of(recording)?,
            began: now(),
        }))
    }
}

struct Tap {
    recording: Recording,
    /// Both clocks at one moment: packets come with the clock of the data plane, which no step of the
    /// other one disturbs.
    began: Now,
}

impl PacketTap for Tap {
    fn packet(&self, now: Instant, source: SocketAddr, destination: SocketAddr, datagram: &[u8]) {
        let time = moment(since_1970(self.began, now));
        self.recording.packet(time, source, destination, datagram);
    }
}

/// The wall's clock at `now`, by both clocks at another moment.
fn since_1970(at: Now, now: Instant) -> Duration {
    match now.checked_duration_since(at.instant) {
        Some(later) => at.unix + later,
        None => at
            .unix
            .saturating_sub(at.instant.saturating_duration_since(now)),
    }
}

fn moment(since_1970: Duration) -> SystemTime {
    UNIX_EPOCH + since_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_have_the_time_of_the_wall() {
        let at = now();
        let second = Duration::from_secs(1);
        assert_eq!(since_1970(at, at.instant + second), at.unix + second);
        // A packet that was there when the tap was made.
        assert_eq!(since_1970(at, at.instant - second), at.unix - second);
    }
}
