//! Recording of a call (spec: ng-protocol §5, media-behaviour §13).

use windlass_ng::request::RecordCall;
use windlass_ng::{Command, Dict, Reply, Request};

use super::{Refused, Scene};
use crate::call::model::call::{Call, Now, Recording, RecordingStatus};
use crate::call::serve::Calls;
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
            _ => call.end_recording(request.flags.discard_recording()),
        }
        Ok(Reply::ok(Dict::new()))
    }

    /// Applies the recording options of an offer or answer.
    pub(in crate::call) fn record_as_asked(&self, call: &mut Call, request: &Request, random: u64) {
        match request.recording.record_call {
            // A paused recording goes on by `start recording` alone.
            Some(RecordCall::Start) if !call.is_recording_paused() => {
                // The call goes on; the log has the reason.
                let file = request.recording.file.as_deref();
                let _ = self.start_recording(call, file, random);
            }
            Some(RecordCall::Start) | None => {}
            Some(RecordCall::Stop) => call.end_recording(false),
            Some(RecordCall::Discard) => call.end_recording(true),
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
            recording.status = RecordingStatus::Running;
            return Ok(());
        }
        let opened = self.recorder.open(call.number, &call.id, random, file);
        let file = opened.inspect_err(|reason| {
            tracing::error!(call_id = %call.id, file, "not recorded: {reason}");
        })?;
        call.extras_mut().recording = Some(Recording {
            file: file.into(),
            status: RecordingStatus::Running,
        });
        Ok(())
    }

    /// Starts a recording that a DTMF code asks for; the log says why there is none.
    pub(in crate::call) fn record_by_code(&self, call: &mut Call, random: u64) {
        let _ = self.start_recording(call, None, random);
    }

    /// A command was carried out: completes the recording that it ended, or throws it away.
    pub(in crate::call) fn settle_recording(&self, call: &mut Call, now: Now) {
        let Some(extras) = call.extras.as_deref_mut() else {
            return;
        };
        let is_over = |recording: &mut Recording| match recording.status {
            RecordingStatus::Ending { .. } => true,
            RecordingStatus::Running | RecordingStatus::Paused => false,
        };
        let Some(recording) = extras.recording.take_if(is_over) else {
            return;
        };
        let metadata = extras
            .metadata
            .as_deref()
            .or_else(|| call.legs.iter().find_map(|leg| leg.metadata.as_deref()));
        match recording.status {
            RecordingStatus::Ending { is_discarded: true } => self.recorder.discard(call.number),
            _ => self
                .recorder
                .finish(call.number, call.created.unix, now.unix, metadata),
        }
    }

    /// A command was not carried out: throws away the recording that it opened.
    pub(in crate::call) fn take_back_recording(&self, call: &Call, draft: &Call) {
        if call.recording_file().is_none() && draft.recording_file().is_some() {
            self.recorder.discard(draft.number);
        }
    }
}

impl Call {
    pub(in crate::call) fn pause_recording(&mut self) {
        if let Some(recording) = self.recording_mut() {
            recording.status = RecordingStatus::Paused;
        }
    }

    /// Ends the recording, or throws it away, once the command is carried out.
    pub(in crate::call) fn end_recording(&mut self, is_discarded: bool) {
        if let Some(recording) = self.recording_mut() {
            recording.status = RecordingStatus::Ending { is_discarded };
        }
    }
}
