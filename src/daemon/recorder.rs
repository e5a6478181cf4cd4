//! The recordings of running calls: opened by commands, fed by the data plane.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use windlass_ng::CallId;

use crate::call::{self, RecordedSdp};
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
        Some(Box::new(Tap(self.of(recording)?)))
    }
}

struct Tap(Recording);

impl PacketTap for Tap {
    #[expect(
        clippy::disallowed_methods,
        reason = "a recording has the clock of the wall"
    )]
    fn packet(&self, source: SocketAddr, destination: SocketAddr, datagram: &[u8]) {
        self.0
            .packet(SystemTime::now(), source, destination, datagram);
    }
}

fn moment(since_1970: Duration) -> SystemTime {
    UNIX_EPOCH + since_1970
}
