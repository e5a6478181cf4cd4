//! DTMF codes that control the recording of a call (spec: ng-protocol §6 `vsc-…`, flag
//! `recording-vsc`).

use windlass_ng::Request;

use super::model::call::{Call, Now};
use super::model::codes::{Action, Codes};
use super::model::leg::LegIndex;
use super::serve::Calls;
use crate::media::dtmf::Digit;

impl Calls {
    /// Takes the codes of a request over, where it wants them.
    pub(super) fn take_codes(&self, call: &mut Call, request: &Request) {
        if !request.flags.recording_vsc() {
            return;
        }
        let (own, general) = (&request.recording.vsc, &self.defaults.codes);
        let codes = Codes::of(own, general, self.defaults.digit_gap());
        if codes.is_some() {
            call.extras_mut().codes = codes;
        }
    }

    /// Does what a party's digit asks for.
    pub(super) fn obey(&self, call: &mut Call, leg: LegIndex, digit: Digit, random: u64, now: Now) {
        let Some(codes) = call
            .extras
            .as_deref_mut()
            .and_then(|extras| extras.codes.as_mut())
        else {
            return;
        };
        let actions = codes.on_digit(leg, digit, now.instant);
        for action in &actions {
            let is_running = call.is_recording();
            let is_paused = call.is_recording_paused();
            tracing::info!(call_id = %call.id, action = action.name(), "DTMF code");
            match action {
                Action::Start => self.record_by_code(call, random),
                Action::Stop => call.end_recording(false),
                Action::StartStop if is_running || is_paused => {
                    call.end_recording(false);
                }
                Action::Pause => call.pause_recording(),
                Action::PauseResume | Action::StartPauseResume if is_running => {
                    call.pause_recording();
                }
                Action::PauseResume if !is_paused => {}
                Action::StartStop | Action::PauseResume | Action::StartPauseResume => {
                    self.record_by_code(call, random);
                }
            }
        }
        if actions.is_empty() {
            return;
        }
        if let Err(error) = self.carry_out(call, Vec::new()) {
            tracing::error!(call_id = %call.id, %error, "recording not changed");
        }
        self.settle_recording(call, now);
    }
}
