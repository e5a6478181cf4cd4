//! DTMF codes that control the recording of a call (spec: ng-protocol §6 `vsc-…`, flag
//! `recording-vsc`).

use std::time::{Duration, Instant};

use windlass_ng::request::VscCodes;
use windlass_ng::{ListWriter, Request};

use super::leg::LegIndex;
use super::serve::Calls;
use super::state::{Call, Now};
use crate::media::dtmf::{Digit, Trigger};

/// Effect of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Start,
    Stop,
    StartStop,
    Pause,
    PauseResume,
    StartPauseResume,
}

impl Action {
    /// Name in the options.
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start-rec",
            Self::Stop => "stop-rec",
            Self::StartStop => "start-stop-rec",
            Self::Pause => "pause-rec",
            Self::PauseResume => "pause-resume-rec",
            Self::StartPauseResume => "start-pause-resume-rec",
        }
    }
}

/// The codes of a call, and what its parties typed of them.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    codes: Vec<(Action, String)>,
    gap: Duration,
    typed: Vec<(LegIndex, Vec<Trigger>)>,
}

impl Codes {
    /// The codes of a request, else those of the configuration. `None`: there are none.
    fn of(request: &VscCodes, configured: &VscCodes, gap: Duration) -> Option<Self> {
        let pairs = [
            (Action::Start, &request.start, &configured.start),
            (Action::Stop, &request.stop, &configured.stop),
            (
                Action::StartStop,
                &request.start_stop,
                &configured.start_stop,
            ),
            (Action::Pause, &request.pause, &configured.pause),
            (
                Action::PauseResume,
                &request.pause_resume,
                &configured.pause_resume,
            ),
            (
                Action::StartPauseResume,
                &request.start_pause_resume,
                &configured.start_pause_resume,
            ),
        ];
        let codes = pairs.into_iter().filter_map(|(action, own, general)| {
            let code = own.as_ref().or(general.as_ref())?;
            if Trigger::new(code, gap).is_none() {
                tracing::warn!(
                    code,
                    action = action.name(),
                    "no code of DTMF digits; ignored"
                );
                return None;
            }
            Some((action, code.clone()))
        });
        let codes: Vec<(Action, String)> = codes.collect();
        (!codes.is_empty()).then(|| Self {
            codes,
            gap,
            typed: Vec::new(),
        })
    }

    /// Effect of a party's digit.
    fn on_digit(&mut self, leg: LegIndex, digit: Digit, now: Instant) -> Vec<Action> {
        let known = self.typed.iter().position(|(of, _)| *of == leg);
        let index = known.unwrap_or_else(|| {
            let triggers = self
                .codes
                .iter()
                .filter_map(|(_, code)| Trigger::new(code, self.gap));
            self.typed.push((leg, triggers.collect()));
            self.typed.len() - 1
        });
        let triggers = self
            .typed
            .get_mut(index)
            .map(|(_, triggers)| triggers.as_mut_slice());
        let codes = self.codes.iter().zip(triggers.unwrap_or_default());
        let completed = codes
            .filter_map(|((action, _), trigger)| trigger.on_digit(digit, now).then_some(*action));
        completed.collect()
    }

    /// Form in `query`.
    pub(crate) fn describe(&self, list: &mut ListWriter<'_>) {
        for (action, code) in &self.codes {
            list.dict(|dict| {
                dict.put("type", action.name());
                dict.put("trigger", code.as_str());
                dict.put("active", 1_u64);
            });
        }
    }
}

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
