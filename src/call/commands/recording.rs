//! Recording of a call (spec: ng-protocol §5, media-behaviour §13).

use windlass_ng::request::RecordCall;
use windlass_ng::{Command, Dict, Reply, Request};

use super::{Refused, Scene};
use crate::call::serve::Calls;
use crate::call::state::{Call, Now, Recording};
use crate::observe::pcap::NotRecorded;

impl Calls {
    pub(super) fn record(&self, call: &mut Call, scene: &mut Scene<'_>) -> Result<Reply, Refused> {
        let request = scene.request;
        if let Some(metadata) = &request.metadata {
            let leg = request
                .from_tag
                .as_ref()
                .and_then(|tag| call.leg_by_tag(tag));
            match leg.and_then(|leg| call.legs.get_mut(leg)) {
                Some(leg) => leg.metadata = Some(metadata.as_str().into()),
                None => call.extras_mut().metadata = Some(metadata.as_str().into()),
            }
        }
        match request.command {
            Command::StartRecording => {
                let file = request.recording.file.as_deref();
                let started = self.start_recording(call, file, scene.rng.next_u64());
                // Without a directory nothing is recorded, as with rtpengine.
                if started == Err(NotRecorded::Outside) {
                    return Err("recording-file is not in the recording directory");
                }
            }
            Command::PauseRecording => call.pause_recording(),
            _ if request.recording.pause => call.pause_recording(),
            _ => self.stop_recording(call, request.flags.discard_recording(), scene.now),
        }
        Ok(Reply::ok(Dict::new()))
    }

    /// Applies the recording options of an offer or answer.
    pub(in crate::call) fn record_as_asked(
        &self,
        call: &mut Call,
        request: &Request,
        random: u64,
        now: Now,
    ) {
        match request.recording.record_call {
            // A paused recording goes on by `start recording` alone.
            Some(RecordCall::Start) if !call.is_recording_paused() => {
                // The call goes on; the log has the reason.
                let file = request.recording.file.as_deref();
                let _ = self.start_recording(call, file, random);
            }
            Some(RecordCall::Start) | None => {}
            Some(RecordCall::Stop) => self.stop_recording(call, false, now),
            Some(RecordCall::Discard) => self.stop_recording(call, true, now),
        }
    }

    /// Starts a recording, or goes on with one that is paused.
    ///
    /// # Errors
    /// Why the call is not recorded; told in the log.
    pub(in crate::call) fn start_recording(
        &self,
        call: &mut Call,
        file: Option<&str>,
        random: u64,
    ) -> Result<(), NotRecorded> {
        if let Some(recording) = call.recording_mut() {
            recording.is_paused = false;
            return Ok(());
        }
        let opened = self.recorder.open(call.number, &call.id, random, file);
        let file = opened.inspect_err(|reason| {
            tracing::error!(call_id = %call.id, file, "not recorded: {reason}");
        })?;
        call.extras_mut().recording = Some(Recording {
            file,
            is_paused: false,
        });
        Ok(())
    }

    /// Starts a recording that a DTMF code asks for; the log says why there is none.
    pub(in crate::call) fn record_by_code(&self, call: &mut Call, random: u64) {
        let _ = self.start_recording(call, None, random);
    }

    /// Ends a recording, or throws it away.
    pub(in crate::call) fn stop_recording(&self, call: &mut Call, discard: bool, now: Now) {
        let Some(extras) = call.extras.as_deref_mut() else {
            return;
        };
        if extras.recording.take().is_none() {
            return;
        }
        let metadata = extras
            .metadata
            .as_deref()
            .or_else(|| call.legs.iter().find_map(|leg| leg.metadata.as_deref()));
        match discard {
            true => self.recorder.discard(call.number),
            false => self
                .recorder
                .finish(call.number, call.created.unix, now.unix, metadata),
        }
    }
}

impl Call {
    pub(in crate::call) fn pause_recording(&mut self) {
        if let Some(recording) = self.recording_mut() {
            recording.is_paused = true;
        }
    }
}
